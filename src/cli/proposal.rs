//! `entente proposal`: joint proposals from the first document to the signature of every party.

mod documents;
pub(super) mod label;
mod list;
pub(super) mod show;
pub(super) mod sign;
pub(super) mod tables;

use super::{
    act::{self, DryRun, Question},
    context::{Context, ListArgs, joined},
    error::{CliError, Result},
    prompt::Consent,
};
use crate::{
    client::{
        Client,
        naming::{CallName, ProposalName},
        parties::HandOver,
        proposals::NewProposal,
        verified::VersionChoice,
    },
    domain::{
        call::Phase,
        id::{MemberId, PartnerCode, Slug},
        proposal::{Parties, Relation, Status},
    },
    wire::proposal::Filter,
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
  entente proposal summary $PROPOSAL --file summary.json
  entente proposal summary $PROPOSAL                      shows it
  entente proposal summary $PROPOSAL --version standing

summary.json (or the same as TOML):
  {\"title\": \"…\", \"abstract\": \"…\",
   \"team\": [{\"name\": \"Avi Levi\", \"organisation\": \"Galil Optics\",
             \"role\": \"principal investigator\"}],
   \"budget\": [{\"item\": \"personnel\", \"party\": \"ISR\",
               \"amount\": 250000, \"currency\": \"USD\"}]}")]
    Summary {
        /// The proposal
        proposal: ProposalName,
        /// The summary, JSON or TOML; `-` is standard input
        #[arg(long)]
        file: Option<PathBuf>,
        #[command(flatten)]
        version: VersionArg,
    },
    /// Seal a document on this machine and put it into a slot
    #[command(after_help = "Examples:
  entente proposal put $PROPOSAL work-plan plan.pdf
  entente proposal put $PROPOSAL data measurements.bin \\
      --media-type application/octet-stream

Interrupted? Run the same command again: the file is not sealed a second time.")]
    Put {
        /// The proposal
        proposal: ProposalName,
        /// The slot, as the call names it
        slot: Slug,
        /// The document
        file: PathBuf,
        /// What kind of file it is [default: from its name and first bytes]
        #[arg(long, value_name = "TYPE")]
        media_type: Option<String>,
    },
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
        filter: FilterArgs,
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
    Member(PartyMemberCommand),
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
      the ciphertext, verified")]
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

/// Which proposals.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Of this call only
    #[arg(long)]
    call: Option<CallName>,
    /// Of calls in this phase only, such as `review`
    #[arg(long)]
    phase: Option<Phase>,
    /// On this topic only
    #[arg(long)]
    topic: Option<Slug>,
    /// With a party of this partner only
    #[arg(long, value_name = "PARTNER")]
    party: Option<PartnerCode>,
    /// In this status only, such as `submitted`
    #[arg(long)]
    status: Option<Status>,
    /// Those assigned to you only
    #[arg(long, conflicts_with_all = ["mine", "undeclared"])]
    assigned: bool,
    /// Those you are a party member of, or asked to become one, only
    #[arg(long, conflicts_with = "undeclared")]
    mine: bool,
    /// Those on which you have to declare a conflict of interest, or none, only
    #[arg(long)]
    undeclared: bool,
}

impl FilterArgs {
    /// The filter, once the call that it names is found.
    async fn filter(self, client: &Client) -> Result<Filter> {
        let Self { call, phase, topic, party, status, assigned, mine, undeclared } = self;
        let call = match &call {
            Some(name) => Some(client.find_call(name).await?),
            None => None,
        };
        let relations = [(assigned, Relation::Assigned), (mine, Relation::Party), (undeclared, Relation::Undeclared)];
        let mine = relations.into_iter().find_map(|(is_asked, relation)| is_asked.then_some(relation));
        Ok(Filter { call, phase, topic, party, status, mine, ..Filter::default() })
    }
}

/// Ask colleagues to join your own party, take members out, or consent to late joiners
#[derive(Debug, Subcommand)]
pub enum PartyMemberCommand {
    /// Ask a colleague to join your own party, with the keys that your party holds; if nobody has joined a party yet, the other parties ask
    #[command(after_help = "Examples:
  entente proposal member invite $PROPOSAL ISR:tamar

They can read what your party reads. They join the party with `entente proposal accept`.")]
    Invite {
        /// The proposal
        proposal: ProposalName,
        /// The colleague
        member: MemberId,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Consent to a member joining a party after the deadline from another organisation; for officers of other nations
    #[command(after_help = "Examples:
  entente proposal member consent $PROPOSAL ISR:tamar
  entente proposal member consent $PROPOSAL ISR:tamar --withdraw
      until they have joined

Once the member has joined, nobody of their organisation judges the proposal.")]
    Consent {
        /// The proposal
        proposal: ProposalName,
        /// Who is asked to join
        member: MemberId,
        /// Take the consent back
        #[arg(long)]
        withdraw: bool,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Remove a member of your own party, or take an invitation back; they keep only what they have downloaded
    #[command(after_help = "Examples:
  entente proposal member remove $PROPOSAL ISR:avi --dry-run
  entente proposal member remove $PROPOSAL ISR:avi

Asks before you take yourself out: only a colleague can ask you again.")]
    Remove {
        /// The proposal
        proposal: ProposalName,
        /// The member
        member: MemberId,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
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
            context.out.note(&format!("next: entente proposal summary {} --file summary.json", proposal.reference));
            if !proposal.invited.is_empty() {
                let who = joined(&proposal.invited);
                context.out.note(&format!("{who} joins with: entente proposal accept {}", proposal.reference));
            }
            Ok(())
        }
        ProposalCommand::Summary { proposal, file, version } => {
            let proposal = client.find_proposal(&proposal).await?.id;
            documents::summary(context, &client, proposal, file.as_deref(), version.version).await
        }
        ProposalCommand::Put { proposal, slot, file, media_type } => {
            let proposal = client.find_proposal(&proposal).await?.id;
            documents::put(context, &client, proposal, &slot, &file, media_type.as_deref()).await
        }
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
        ProposalCommand::Member(command) => party_member(command, &client, context).await,
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

async fn party_member(command: PartyMemberCommand, client: &Client, context: &Context) -> Result<()> {
    match command {
        PartyMemberCommand::Invite { proposal, member, dry_run } => {
            let id = client.find_proposal(&proposal).await?.id;
            let forecast = client.forecast_invitation(id, &member);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            let proposal = client.invite(id, &member).await?;
            show::one(context, client, &proposal).await?;
            context.out.note(&format!("{member} joins with: entente proposal accept {}", proposal.reference));
            Ok(())
        }
        PartyMemberCommand::Consent { proposal, member, withdraw, dry_run } => {
            let found = client.find_proposal(&proposal).await?;
            let forecast = client.forecast_consent(found.id, &member, withdraw);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            if withdraw {
                client.api().take_consent_back(found.id, &member).await?;
                return context.out.done(&format!("the consent to {member} joining a party of {found} is taken back"));
            }
            client.api().consent_to_join(found.id, &member).await?;
            context.out.done(&format!("{member} may join a party of {found}"))
        }
        PartyMemberCommand::Remove { proposal, member, dry_run, consent } => {
            let found = client.find_proposal(&proposal).await?;
            let forecast = client.forecast_removal(found.id, &member);
            if !act::goes_ahead(context, dry_run, Question::IfFinal(consent), forecast).await? {
                return Ok(());
            }
            client.remove_member(found.id, &member).await?;
            context.out.done(&format!("{member} has no further access to {found}"))?;
            context.out.note("what was downloaded before stays readable with the keys of that time");
            Ok(())
        }
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
fn place(slot: &Slug, party: Option<&PartnerCode>) -> String {
    party.map_or_else(|| slot.to_string(), |party| format!("{slot} ({party})"))
}

/// A summary or another small file of people's as JSON or TOML.
fn read_as<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Result<T> {
    let content = super::error::read_input(path, 1 << 20)?;
    super::input::read(&content).map_err(|fault| {
        CliError::usage(format!("`{}`: {fault}", path.display())).help("see `--help` for what goes in")
    })
}
