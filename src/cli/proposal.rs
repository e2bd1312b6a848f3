//! `entente proposal`: joint proposals from the first document to the signature of every party.

pub(super) mod cases;
pub(super) mod check;
pub(super) mod compare;
mod documents;
pub(super) mod label;
mod list;
mod members;
pub(super) mod show;
pub(super) mod sign;
mod summary;
pub(super) mod tables;

use super::{
    act::{self, DryRun, Question},
    context::{Context, ListArgs, joined},
    error::Result,
    prompt::Consent,
};
use crate::{
    client::{
        naming::{CallName, ProposalName},
        parties::HandOver,
        proposals::NewProposal,
        verified::VersionChoice,
    },
    domain::{
        id::{MemberId, PartnerCode, Slug},
        proposal::Parties,
    },
};
use clap::{Args, Subcommand};
use std::{future::ready, path::PathBuf};

/// Prepare, submit, follow and open joint proposals
#[derive(Debug, Subcommand)]
pub enum ProposalCommand {
    /// Begin a joint proposal; you are a member of your party, everybody else is asked to join
    #[command(after_help = "Examples:
  entente proposal create --call $CALL --with USA:bob --topic sensing --dry-run
  entente proposal create --call $CALL --with USA:bob --topic sensing
  entente proposal create --call $CALL --with USA:bob --with ISR:tamar

A proposal begins with at most 23 invitations. Invite further members afterwards with `entente proposal member invite`.")]
    Create(CreateProposalArgs),
    /// Seal the summary (title, abstract, team, budget) and put it in, or show it
    #[command(after_help = "Examples:
  entente proposal summary $PROPOSAL --form > summary.md   to fill in
  entente proposal summary $PROPOSAL --file summary.md
  entente proposal summary $PROPOSAL                      shows it
  entente proposal summary $PROPOSAL --version standing

The form is Markdown, with what is put in now. A program writes JSON (or the same as TOML):
  {\"title\": \"…\", \"abstract\": \"…\",
   \"team\": [{\"name\": \"Avi Levi\", \"organisation\": \"Galil Optics\",
             \"role\": \"principal investigator\"}],
   \"budget\": [{\"item\": \"personnel\", \"party\": \"ISR\",
               \"amount\": 250000, \"currency\": \"USD\"}]}")]
    Summary {
        /// The proposal
        proposal: ProposalName,
        /// The summary: the form filled in, JSON or TOML; `-` is standard input
        #[arg(long)]
        file: Option<PathBuf>,
        /// Print the form, filled with what is put in now
        #[arg(long, conflicts_with_all = ["file", "version"])]
        form: bool,
        #[command(flatten)]
        version: VersionArg,
    },
    /// Seal documents on this machine and put each into its slot
    #[command(after_help = "Examples:
  entente proposal put $PROPOSAL work-plan plan.pdf
  entente proposal put $PROPOSAL work-plan plan.pdf budget budget.xlsx
  entente proposal put $PROPOSAL data measurements.bin \\
      --media-type application/octet-stream

The files are looked at first: one that breaks off, opens with a password alone, has macros or is a plain archive under another name is \
refused, and then none is put in. Interrupted? Run the same command again: no file is sealed a second time before it is sent.")]
    Put(documents::Put),
    /// Take a document out of its slot
    #[command(after_help = "Examples:\n  entente proposal remove $PROPOSAL data")]
    Remove {
        /// The proposal
        proposal: ProposalName,
        /// The slot
        slot: Slug,
    },
    /// Send again what interrupted uploads left sealed on this machine
    #[command(after_help = "Examples:
  entente proposal resume              sends everything that is left
  entente proposal resume --list
  entente proposal resume --discard    forgets it")]
    Resume(documents::Resume),
    /// Show where a proposal stands and what is missing
    #[command(
        visible_alias = "show",
        after_help = "Examples:
  entente proposal status $PROPOSAL
  entente proposal show $PROPOSAL"
    )]
    Status {
        /// The proposal
        proposal: ProposalName,
    },
    /// Show what is still missing, by which party and by whom, and what they type
    #[command(after_help = "Examples:
  entente proposal check $PROPOSAL
  entente --json proposal check $PROPOSAL | jq .is_complete")]
    Check {
        /// The proposal
        proposal: ProposalName,
    },
    /// Print the receipt of the version that stands: one file that anybody can check offline, years later
    #[command(after_help = "Examples:
  entente proposal receipt $PROPOSAL > receipt.json
  entente verify receipt receipt.json

It has the signatures of all parties with the key cards and partner cards that vouch for them, and no content. Keep it with the \
fingerprints of the partner cards.")]
    Receipt {
        /// The proposal
        proposal: ProposalName,
    },
    /// Show what changed between two versions: documents, label and summary
    #[command(after_help = "Examples:
  entente proposal compare $PROPOSAL 2 3
  entente proposal compare $PROPOSAL standing newest
  entente proposal compare $PROPOSAL standing working
      what was put in since and is signed by nobody")]
    Compare {
        /// The proposal
        proposal: ProposalName,
        /// The earlier version: standing, newest, working (uploaded, not signed) or a number
        #[arg(value_parser = version)]
        before: VersionChoice,
        /// The later version
        #[arg(value_parser = version, default_value = "newest")]
        after: VersionChoice,
    },
    /// List the proposals that you may see
    #[command(after_help = "Examples:
  entente proposal list
  entente proposal list --call $CALL --all
  entente proposal list --assigned             what you have to review
  entente proposal list --status submitted --topic robotics --party ISR \\
      --sort -created
  entente proposal list --call $CALL --sort title
  entente proposal list --search 'lodestone kinneret'
  entente proposal list --call $CALL --count   how many there are

Titles are shown of proposals whose summary you may open. They are opened and verified on this machine, once, and kept there sealed \
to you; the exchange logs that you fetched the summary. `--no-titles` leaves them out.")]
    List {
        #[command(flatten)]
        filter: list::FilterArgs,
        #[command(flatten)]
        shown: list::RowArgs,
        /// Only say how many there are
        #[arg(long)]
        count: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Sign the manifest of what is put in; with every party's signature it is submitted
    #[command(after_help = "Examples:
  entente proposal sign $PROPOSAL --dry-run   shows what would be signed
  entente proposal sign $PROPOSAL
  entente proposal sign $PROPOSAL --new-version
      although another version waits for you
  entente proposal sign $PROPOSAL --rel-to GBR,KOR --caveat propin
      with a label

If a version waits for your party's signature, exactly that version is signed. If the documents have changed since, \
nothing is signed.")]
    Sign(sign::SignArgs),
    /// Show whom a proposal is releasable to, or relabel the standing version; every party has to sign
    #[command(after_help = "Examples:
  entente proposal label $PROPOSAL                the label in force, verified
  entente proposal label $PROPOSAL --rel-to GBR,KOR --dry-run
      who would gain and lose access
  entente proposal label $PROPOSAL --rel-to GBR --caveat no-contractors
  entente proposal label $PROPOSAL --sign         what another party proposed
  entente proposal label $PROPOSAL --none --yes   in a script

The owners are always in the label. When the last party signs it, members of the nations that it leaves out lose their \
keys.")]
    Label(label::Relabel),
    /// Withdraw a proposal; once every party has signed it, each of them has to withdraw it
    #[command(after_help = "Examples:
  entente proposal withdraw $PROPOSAL --dry-run
  entente proposal withdraw $PROPOSAL
  entente proposal withdraw $PROPOSAL --yes    in a script

Once every party has signed, the command records that your party wishes to withdraw. The others see that, and `entente \
proposal reinstate` takes it back. The last party's wish withdraws the proposal. After the deadline that cannot be \
undone. The command asks first, since nobody but the exchange says that a deadline was moved. A proposal that was funded or put on the reserve list is withdrawn in the same way. \
Its decision stays on record, but does not bring it back, and another proposal may be funded in its place.")]
    Withdraw {
        /// The proposal
        proposal: ProposalName,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Take a withdrawal back, or your party's wish for it
    #[command(after_help = "Examples:\n  entente proposal reinstate $PROPOSAL")]
    Reinstate {
        /// The proposal
        proposal: ProposalName,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Join the party that you are asked to join; then nobody who works where you work can judge the proposal
    #[command(after_help = "Examples:
  entente proposal list --mine                  shows what you are invited to
  entente proposal accept $PROPOSAL --dry-run
  entente proposal accept $PROPOSAL")]
    Accept {
        /// The proposal
        proposal: ProposalName,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Decline to join the party that you are asked to join
    #[command(after_help = "Examples:
  entente proposal decline $PROPOSAL
  entente proposal decline $PROPOSAL --yes    in a script

Asks first: you lose your keys to it, and somebody of its parties has to ask you again.")]
    Decline {
        /// The proposal
        proposal: ProposalName,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Ask colleagues to join your own party, take members out, or consent to late joiners
    #[command(subcommand)]
    Member(members::PartyMemberCommand),
    /// Hand the proposal over: ask a colleague of your own party to join, and take yourself out once they have
    #[command(after_help = "Examples:
  entente proposal hand-over $PROPOSAL ISR:tamar   asks them to join
  entente proposal hand-over $PROPOSAL ISR:tamar
      again, once they have accepted: takes you out

Before it takes you out, it asks.")]
    HandOver {
        /// The proposal
        proposal: ProposalName,
        /// The colleague
        member: MemberId,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Verify and open documents; nothing is shown before everything is verified
    #[command(after_help = "Examples:
  entente proposal open $PROPOSAL --output case/   every document you may read
  entente proposal open $PROPOSAL work-plan --output plan.pdf
  entente proposal open $PROPOSAL shareholders --party ISR --output -
  entente proposal open $PROPOSAL data --sealed --output data.age
      the ciphertext, verified
  entente proposal open --assigned $CALL --into reading/
      everything you have to review, a folder each

Opened again, only what changed is fetched; files that you edited stay.")]
    Open(documents::Open),
    /// Verify signatures and manifest of a version, and with --fetch the bytes too, without opening anything
    #[command(after_help = "Examples:
  entente proposal verify $PROPOSAL
  entente proposal verify $PROPOSAL --fetch --version 2")]
    Verify(documents::VerifyArgs),
}

#[derive(Debug, Args)]
pub struct CreateProposalArgs {
    /// The call
    #[arg(long)]
    call: CallName,
    /// A member of another party, or a further one of your own, to be asked to join
    #[arg(long, value_name = "MEMBER")]
    with: Vec<MemberId>,
    /// One of the call's topics
    #[arg(long)]
    topic: Option<Slug>,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Which version of a proposal.
#[derive(Debug, Clone, Args)]
pub struct VersionArg {
    /// newest, standing, working (uploaded, not signed) or a number
    #[arg(long = "version", value_name = "VERSION", default_value = "newest", value_parser = version)]
    version: VersionChoice,
}

/// Runs the command.
pub(super) async fn run(command: ProposalCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        ProposalCommand::Create(args) => {
            let me = client.member_id().await?;
            let mut parties = Parties::new();
            for member in args.with.into_iter().chain([me]) {
                parties.entry(member.partner().clone()).or_default().insert(member);
            }
            let call = client.find_call(&args.call).await?;
            let new = NewProposal { call, topic: args.topic, parties };
            if !act::goes_ahead(context, args.dry_run, Question::Never, client.forecast_creation(&new)).await? {
                return Ok(());
            }
            let proposal = client.create_proposal(&new).await?;
            show::one(context, &client, &proposal).await?;
            context.out.note(&format!("next: entente proposal summary {} --form > summary.md", proposal.reference));
            if !proposal.invited.is_empty() {
                let who = joined(&proposal.invited);
                context.out.note(&format!("{who} joins with: entente proposal accept {}", proposal.reference));
            }
            Ok(())
        }
        ProposalCommand::Summary { proposal, form: true, .. } => summary::print(context, &client, &proposal).await,
        ProposalCommand::Summary { proposal, file: Some(file), .. } => {
            let proposal = client.find_proposal(&proposal).await?.id;
            summary::put(context, &client, proposal, &file).await
        }
        ProposalCommand::Summary { proposal, version, .. } => {
            let proposal = client.find_proposal(&proposal).await?.id;
            let summary = client.read_summary(proposal, version.version).await?;
            context.out.answer(&summary, |screen| tables::summary(screen, &summary))
        }
        ProposalCommand::Put(args) => documents::put(context, &client, &args).await,
        ProposalCommand::Remove { proposal, slot } => {
            let found = client.find_proposal(&proposal).await?;
            let kept = client.remove_document(found.id, &slot).await?;
            for record in &kept {
                let versions = joined(&record.signed_versions);
                let version =
                    if versions.is_empty() { "a signed version".into() } else { format!("version {versions}") };
                let rest = "is not with the exchange yet; `entente proposal resume` sends it";
                context.out.note(&format!("the file that {version} names stays sealed here: it {rest}"));
            }
            context.out.done(&format!("slot `{slot}` of {found} is empty"))
        }
        ProposalCommand::Resume(args) => documents::resume(context, &client, &args).await,
        ProposalCommand::Status { proposal } => {
            let proposal = client.api().proposal(client.find_proposal(&proposal).await?.id).await?;
            show::one(context, &client, &proposal).await
        }
        ProposalCommand::Check { proposal } => check::run(&proposal, context, &client).await,
        ProposalCommand::Receipt { proposal } => {
            let found = client.find_proposal(&proposal).await?;
            let receipt = client.receipt(found.id).await?;
            context.out.bytes(&[receipt.as_slice(), b"\n"].concat())
        }
        ProposalCommand::Compare { proposal, before, after } => {
            compare::run(&proposal, (before, after), context, &client).await
        }
        ProposalCommand::List { filter, count: true, .. } => {
            let count = client.api().count_proposals(&filter.filter(&client).await?).await?;
            context.out.answer(&count, |screen| screen.line(&count.proposals.to_string()))
        }
        ProposalCommand::List { filter, shown, list, .. } => {
            list::run(filter.filter(&client).await?, shown, list, context, &client).await
        }
        ProposalCommand::Sign(args) => sign::run(args, context, &client).await,
        ProposalCommand::Label(args) => label::run(args, context, &client).await,
        ProposalCommand::Withdraw { proposal, dry_run, consent } => {
            let found = client.find_proposal(&proposal).await?;
            let which = act::name_in_question(&client, &found, dry_run, consent).await;
            let forecast = client.forecast_withdrawal(found.id, &which);
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            let proposal = client.api().withdraw_proposal(found.id).await?;
            show::one(context, &client, &proposal).await
        }
        ProposalCommand::Reinstate { proposal, dry_run } => {
            let id = client.find_proposal(&proposal).await?.id;
            if !act::goes_ahead(context, dry_run, Question::Never, client.forecast_reinstatement(id)).await? {
                return Ok(());
            }
            let proposal = client.api().reinstate_proposal(id).await?;
            show::one(context, &client, &proposal).await
        }
        ProposalCommand::Accept { proposal, dry_run } => {
            let id = client.find_proposal(&proposal).await?.id;
            if !act::goes_ahead(context, dry_run, Question::Never, client.forecast_acceptance(id)).await? {
                return Ok(());
            }
            let proposal = client.accept_invitation(id).await?;
            show::one(context, &client, &proposal).await
        }
        ProposalCommand::Decline { proposal, dry_run, consent } => {
            let me = client.member_id().await?;
            let found = client.find_proposal(&proposal).await?;
            // Also where nobody is asked: a member of a party leaves it by another command.
            let forecast = ready(Ok(client.forecast_declining(found.id).await?));
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            client.remove_member(found.id, &me).await?;
            context.out.done(&format!("you declined; {found} no longer concerns you"))
        }
        ProposalCommand::Member(command) => members::run(command, context, &client).await,
        ProposalCommand::HandOver { proposal, member, dry_run, consent } => {
            let found = client.find_proposal(&proposal).await?;
            let forecast = client.forecast_hand_over(found.id, &member).await?;
            // Who was shown that a colleague is asked to join did not agree to leave.
            let may_leave = consent.is_given() || forecast.is_final();
            if !act::goes_ahead(context, dry_run, Question::IfFinal(consent), ready(Ok(forecast))).await? {
                return Ok(());
            }
            match client.hand_over(found.id, &member, may_leave).await? {
                HandOver::Done => context.out.done(&format!("{found} is {member}'s now; you are out of it")),
                HandOver::Asked => {
                    context.out.done(&format!("{member} is asked to join; once they have, hand over again"))?;
                    context.out.note(&format!("{member} joins with: entente proposal accept {found}"));
                    Ok(())
                }
            }
        }
        ProposalCommand::Open(args) => documents::open(context, &client, &args).await,
        ProposalCommand::Verify(args) => documents::verify(context, &client, &args).await,
    }
}

fn version(text: &str) -> Result<VersionChoice, String> {
    match text {
        "newest" => Ok(VersionChoice::Newest),
        "standing" => Ok(VersionChoice::Standing),
        "working" => Ok(VersionChoice::Working),
        number => number
            .parse()
            .map(VersionChoice::Number)
            .map_err(|_| "wanted `newest`, `standing`, `working` or a number".to_owned()),
    }
}

/// A slot with its party, for people: `shareholders (ISR)`.
pub(super) fn place(slot: &Slug, party: Option<&PartnerCode>) -> String {
    party.map_or_else(|| slot.to_string(), |party| format!("{slot} ({party})"))
}
