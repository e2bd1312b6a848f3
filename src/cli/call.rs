//! `entente call`: calls for proposals: new files, draft, publish, amend, extend, cancel, close, roles and progress.

pub(super) mod chase;
mod extend;
mod file;
mod new;
mod print;
mod role;
pub(super) mod show;
mod templates;

use super::{
    act::{self, DryRun, Question},
    context::{Context, ListArgs, reason},
    error::{CliError, Result},
    output::Style,
    prompt::Consent,
};
use crate::{
    client::{
        Client,
        naming::{CallName, ProgramName},
    },
    domain::{call::AmendmentEffect, id::CallId},
    wire::call::Call,
};
use clap::{Args, Subcommand};
use std::{future::ready, path::PathBuf};

/// Run calls for proposals
#[derive(Debug, Subcommand)]
pub enum CallCommand {
    /// Write a call file to fill in, from a template or from an earlier call
    #[command(after_help = "Examples:
  entente call new > call.toml
  entente call new --from joint-foundation --to call.toml
  entente call new --from $CALL --to next-year.toml

The dates and the code are blank: `entente call draft` names what is still to be filled in. Of an earlier call, the text in \
force is taken once its signature verified. Templates need no connection:

  bilateral-industry   one company from each of two nations, with all comments
  joint-foundation     five criteria, the proposal as revised after an interview
  multilateral-panel   at least three partners, one panel, national money
  short-first-stage    four pages, two criteria, GO or NO-GO")]
    New(new::NewCallFile),
    /// Draft a call; you become its first officer
    #[command(after_help = "Examples:
  entente call new > call.toml
  entente call draft --program $PROGRAM --file call.toml")]
    Draft {
        /// The program it runs under
        #[arg(long)]
        program: ProgramName,
        /// The call, TOML or JSON; `-` is standard input
        #[arg(long)]
        file: PathBuf,
    },
    /// Replace the text of a draft
    #[command(after_help = "Examples:\n  entente call edit $CALL --file call.toml")]
    Edit {
        /// The call
        call: CallName,
        /// The new text, TOML or JSON; `-` is standard input
        #[arg(long)]
        file: PathBuf,
    },
    /// Publish a draft: make its opening key, sign its text, let everybody concerned see it
    #[command(after_help = "Examples:\n  entente call publish $CALL --dry-run
      who would see it, and who would hold its key
  entente call publish $CALL
  entente call publish $CALL --yes        in a script

Asks first: a published call can be amended and cancelled, and no longer deleted. Only an officer of the nation that leads the program can: everybody's client checks their signature. Give the other \
officers their role first: the opening key is wrapped to the officers of that moment (and to later ones when they are \
given the role).")]
    Publish {
        /// The call
        call: CallName,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Amend a published call
    #[command(after_help = "Examples:
  entente call amend $CALL --file call.toml \\
      --reason 'typing error in section 2' --dry-run
  entente call amend $CALL --file call.toml --reason 'typing error in section 2'

A change of criteria, slots, topics, parties or eligibility voids the proposals that were handed in, until every party \
signs again. The command says how many these are and asks first. Clarifications and a new schedule void nothing. \
`--dry-run` says whether a change voids. A deadline or grace period can only become longer, and no date moves further \
than 366 days from now. The funders, and the opening of an open call, cannot change. Only an officer of the nation that \
leads the program can amend.")]
    Amend(Amend),
    /// Move the deadline later, for everybody, one partner or one proposal, or the date by which reviews are due
    #[command(after_help = "Examples:
  entente call extend $CALL --until '2026-04-01 17:00 Asia/Seoul' \\
      --reason 'server outage'
  entente call extend $CALL --until 2026-04-02T15:00:00Z --reason 'holiday' \\
      --partner ISR
  entente call extend $CALL --until 2026-06-01T15:00:00Z --reason illness \\
      --reviews --dry-run

Shows the present and the new instant, and asks first; `--yes` goes on in a script. For one proposal (`--proposal`) \
first declare that you have no conflict: `entente conflict declare $PROPOSAL --none`.")]
    Extend(extend::Extend),
    /// Take an extension back; those whom it gave more time keep 72 hours
    #[command(after_help = "Examples:
  entente call show $CALL    extensions with their numbers
  entente call withdraw-extension $CALL 2 \\
      --reason 'meant another call' --dry-run
  entente call withdraw-extension $CALL 2 --reason 'meant another call'

If less than 72 hours would be left without it, a shorter one, of 72 hours from now, takes its place. An extension that \
gives no more than that stays.")]
    WithdrawExtension {
        /// The call
        call: CallName,
        /// The number of the extension
        number: u32,
        /// Why; logged
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Cancel a call
    #[command(after_help = "Examples:
  entente call cancel $CALL --reason 'budget withdrawn' --dry-run
  entente call cancel $CALL --reason 'budget withdrawn'
  entente call cancel $CALL --reason 'budget withdrawn' --yes    in a script

Asks first. `entente call reopen` brings it back.")]
    Cancel {
        /// The call
        call: CallName,
        /// Why; shown to every partner of the call
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Close a call whose decisions are in force and whose letters are sent
    #[command(after_help = "Examples:
  entente call close $CALL --dry-run
  entente call close $CALL
  entente call close $CALL --yes    in a script

Asks first. From then on the call is read, and nothing is judged, decided or answered: it leaves inboxes, but for letters that were \
not read and keys to pass on, and shows as closed in lists. `entente call reopen` brings it back.")]
    Close {
        /// The call
        call: CallName,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Bring a cancelled or closed call back
    #[command(after_help = "Examples:
  entente call reopen $CALL --reason 'the budget was restored' --dry-run
      which dates would move
  entente call reopen $CALL --reason 'the budget was restored'

If less than 72 hours are left of a deadline that had not passed when it was cancelled, the deadline of everyone moves to \
72 hours from now. The date by which reviews are due moves in the same way.")]
    Reopen {
        /// The call
        call: CallName,
        /// Why; shown to every partner of the call
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete a call that was never published
    #[command(after_help = "Examples:
  entente call delete $CALL
  entente call delete $CALL --yes    in a script

Asks first: nobody brings it back. A published call is cancelled instead.")]
    Delete {
        /// The call
        call: CallName,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// List calls
    #[command(after_help = "Examples:
  entente call list
  entente --json call list --all | \\
      jq -r '.items[] | select(.phase == \"open\") | .text.code'")]
    List {
        /// Under this program only
        #[arg(long)]
        program: Option<ProgramName>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a call, its publication verified: deadlines in UTC, your zone and each party's
    #[command(after_help = "Examples:
  entente call show $CALL
  entente call show $CALL --text")]
    Show {
        /// The call
        call: CallName,
        /// With the whole text
        #[arg(long)]
        text: bool,
    },
    /// Print a call as one HTML page, good on paper
    #[command(after_help = "Examples:
  entente call print $CALL --to call.html
  entente call print $CALL > call.html

The page has the text, criteria, documents and dates, in UTC and in each partner's zone, and says who signed it. It runs \
nothing and fetches nothing. A published call is printed once its signature verified.")]
    Print(print::Print),
    /// Give, take away and list roles in a call
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Show how a call stands, counting what you may see
    #[command(after_help = "Examples:\n  entente call progress $CALL")]
    Progress {
        /// The call
        call: CallName,
    },
    /// Show what holds a call up and on whom it waits, by reviewer and by proposal (officers)
    #[command(after_help = "Examples:
  entente call chase $CALL
  entente --csv call chase $CALL > chase.csv

By reviewer: how many are assigned, declared, readable (with a key), in, in late, late (not in), set aside and declined. By proposal: what is to be done \
next, and by whom; those with a late review first. Only submitted proposals that are not decided are shown.

If reviews need more time, move the date; everybody sees the new one: `entente call extend $CALL --reviews --until ... --reason ...`.")]
    Chase {
        /// The call
        call: CallName,
    },
}

#[derive(Debug, Args)]
pub struct Amend {
    /// The call
    call: CallName,
    /// The whole new text, TOML or JSON; `-` is standard input
    #[arg(long)]
    file: PathBuf,
    /// Why; shown to every partner of the call
    #[arg(long)]
    reason: String,
    /// Only say what it would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) async fn run(command: CallCommand, context: &Context) -> Result<()> {
    let command = match command {
        CallCommand::New(args) => return new::run(&args, context).await,
        command => command,
    };
    let client = context.client().await?;
    match command {
        CallCommand::New(_) => Ok(()),
        CallCommand::Draft { program, file } => {
            let text = file::read(&file)?;
            let call = client.draft_call(client.find_program(&program).await?, &text).await?;
            show::call(context, &call, None, false)?;
            let code = &call.text.code;
            context.out.note(&format!("next: entente call role set {code} MEMBER --role officer, then call publish"));
            Ok(())
        }
        CallCommand::Edit { call, file } => {
            let text = file::read(&file)?;
            let call = client.edit_call(client.find_call(&call).await?, &text).await?;
            show::call(context, &call, None, false)
        }
        CallCommand::Publish { call, dry_run, consent } => {
            let plan = client.plan_publication(client.find_call(&call).await?).await?;
            let forecast = ready(Ok(client.forecast_publication(&plan)));
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            let call = client.publish_planned(&plan).await?;
            show::call(context, &call, None, false)
        }
        CallCommand::Amend(args) => amend(&args, &client, context).await,
        CallCommand::Extend(args) => extend::run(args, &client, context).await,
        CallCommand::WithdrawExtension { call, number, reason: why, dry_run } => {
            let (why, call) = (reason(&why)?, client.find_call(&call).await?);
            let forecast = client.forecast_withdrawn_extension(call, number);
            if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
                return Ok(());
            }
            let shown = client.api().withdraw_extension(call, number, why).await?;
            let extensions = client.api().extensions(call).await?;
            show::call(context, &shown, Some(&extensions), false)
        }
        CallCommand::Cancel { call, reason: why, dry_run, consent } => {
            let (why, call) = (reason(&why)?, client.find_call(&call).await?);
            let forecast = client.forecast_cancellation(call);
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            let call = client.api().cancel_call(call, why).await?;
            show::call(context, &call, None, false)
        }
        CallCommand::Close { call, dry_run, consent } => {
            let call = client.find_call(&call).await?;
            let forecast = client.forecast_closing(call);
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            let call = client.api().close_call(call).await?;
            show::call(context, &call, None, false)
        }
        CallCommand::Reopen { call, reason: why, dry_run } => {
            let (why, call) = (reason(&why)?, client.find_call(&call).await?);
            if !act::goes_ahead(context, dry_run, Question::Never, client.forecast_reopening(call)).await? {
                return Ok(());
            }
            let shown = client.api().reopen_call(call, why).await?;
            let extensions = client.api().extensions(call).await?;
            show::call(context, &shown, Some(&extensions), false)
        }
        CallCommand::Delete { call, dry_run, consent } => {
            let id = client.find_call(&call).await?;
            let forecast = client.forecast_deletion(id);
            if !act::goes_ahead(context, dry_run, Question::Always(consent), forecast).await? {
                return Ok(());
            }
            client.delete_draft(id).await?;
            context.out.done(&format!("deleted {call}"))
        }
        CallCommand::List { program, list } => {
            let program = match &program {
                Some(name) => Some(client.find_program(name).await?),
                None => None,
            };
            let calls = list.collect(async |paging| client.api().calls(program, &paging).await).await?;
            show::list(context, &calls)?;
            list.note_more(&context.out, &calls);
            Ok(())
        }
        CallCommand::Show { call, text } => {
            let call = client.find_call(&call).await?;
            let extensions = client.api().extensions(call).await?;
            show::call(context, &verified(&client, call).await?, Some(&extensions), text)
        }
        CallCommand::Print(args) => print::run(&args, &client, context).await,
        CallCommand::Role(command) => role::run(command, &client, context).await,
        CallCommand::Progress { call } => chase::progress(context, &client, client.find_call(&call).await?).await,
        CallCommand::Chase { call } => chase::run(context, &client, client.find_call(&call).await?).await,
    }
}

/// A call: a draft as the exchange has it, anything published only once its publication verified.
pub(super) async fn verified(client: &Client, id: CallId) -> Result<Call> {
    let call = client.api().call(id).await?.body;
    if call.publication.is_none() {
        return Ok(call);
    }
    Ok(client.call(id).await?.call.clone())
}

async fn amend(args: &Amend, client: &Client, context: &Context) -> Result<()> {
    let (text, why) = (file::read(&args.file)?, reason(&args.reason)?);
    let id = client.find_call(&args.call).await?;
    let mut amended = client.preview_amendment(id, &text, why).await?;
    let voided = amended.voided;
    if !args.dry_run {
        if voided > 0 {
            let (act, consequence) = (format!("amending {}", args.call), voids(voided));
            context.keyboard().consent(args.consent, &act, &consequence).await?;
        }
        amended = client.amend_call(id, &text, why, (voided > 0).then_some(voided)).await?;
    }
    context.out.answer(&amended, |screen| {
        let Call { id, version, text, .. } = &amended.call;
        let call = screen.named(&text.code, id);
        if args.dry_run {
            screen.line(&format!("would publish version {} of {call}", version + 1));
        } else {
            screen.line(&format!("published version {version} of {call}"));
        }
        match amended.effect {
            AmendmentEffect::Keeps => screen.styled(&[(Style::Green, "proposals handed in stand as they are")]),
            AmendmentEffect::Resubmit => screen.styled(&[(Style::Yellow, &voids(voided))]),
        }
    })?;
    if args.dry_run {
        context.out.note("dry run: nothing was done");
    }
    Ok(())
}

/// What becomes of proposals that were handed in, of those that the reader may see.
fn voids(proposals: u32) -> String {
    match proposals {
        0 => "no proposal that you may see was handed in".into(),
        1 => "1 proposal that you may see is void until every party signs it again".into(),
        more => format!("{more} proposals that you may see are void until every party signs them again"),
    }
}

impl From<crate::domain::Refusal> for CliError {
    fn from(refusal: crate::domain::Refusal) -> Self {
        crate::client::ClientError::from(refusal).into()
    }
}
