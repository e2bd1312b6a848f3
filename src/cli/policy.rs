//! `entente policy`: a nation's policies: written from recipes, checked, tried, proposed, approved by a second officer, shown with
//! who signed them.

pub(super) mod cookbook;
pub(super) mod explanation;
mod preview;
mod trial;
pub(super) mod visibility;

use super::{
    act::{self, DryRun, Question},
    cell::TableCell,
    context::{Context, whole},
    error::{CliError, Result, read_input},
    key_card::instant_argument,
    output::Screen,
    prompt::Consent,
    table::Table,
    time::Zone,
};
use crate::{
    client::{
        naming::ProposalName,
        policies::{ListedPolicy, check_text},
    },
    domain::policy::{MAX_POLICY_TEXT, PolicyOwner},
    policy::{PolicyError, trial::WORLD},
    reading,
    wire::policy::{PolicySignature, PolicyVersion},
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Write and look at policies of partners and the guardrails
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check a text as the exchange would, without connecting
    #[command(after_help = "Examples:
  entente policy check ISR.cedar
  entente policy check draft.cedar --owner ISR
  entente policy check guardrails.cedar

Names file and line of each fault, and what to write instead; exit code 2.")]
    Check(TextFile),
    /// Try a text against cases, with the code the exchange decides with, without connecting
    #[command(after_help = "Examples:
  entente policy test ISR.cedar --cases cases.json
  entente policy test ISR.cedar --cases cases/ --with USA.cedar \\
      --with KOR.cedar --everybody
  entente policy test draft.cedar --owner ISR --cases cases.json \\
      --guardrails guardrails.cedar
  entente --json policy test ISR.cedar --cases cases/ | \\
    jq -r '.items[] | select(.passed | not) | .name'

Without `--everybody`, only nations whose policies are given are asked. Exit code 1 when a case fails, 2 when the text \
or the cases are invalid. docs/policies.md says what a case can hold.")]
    Test(trial::TestArgs),
    /// Print a policy text to begin with: the starter, and recipes beneath it
    #[command(after_help = "Examples:
  entente policy example --list
  entente policy example > ISR.cedar
  entente policy example topic assigned-reviewers > ISR.cedar
  entente policy example topic assigned-reviewers --cases > cases.json

The recipes are those of docs/policies.md; put your own nation's code in the place of theirs.")]
    Example {
        /// Recipes to put beneath the starter
        #[arg(value_name = "RECIPE")]
        recipes: Vec<String>,
        /// Print the cases that show them instead
        #[arg(long, conflicts_with = "list")]
        cases: bool,
        /// List the recipes
        #[arg(long, conflicts_with = "recipes")]
        list: bool,
    },
    /// Print the world that cases start from
    #[command(after_help = "Examples:\n  entente policy world > world.json")]
    World,
    /// List what waits for you or for its time, then what is in force, each verified
    #[command(after_help = "Examples:
  entente policy list
  entente --json policy list | \\
      jq -r '.items[] | select(.verified | not) | .policy.owner'")]
    List,
    /// Show an owner's policies: those in force, or one version
    #[command(after_help = "Examples:
  entente policy show ISR
  entente policy show guardrails
  entente policy show ISR --version 3 --text > ISR.cedar")]
    Show {
        /// Code of a partner, or `guardrails`
        owner: PolicyOwner,
        /// This version [default: the one in force]
        #[arg(long)]
        version: Option<u32>,
        /// The text alone, as it was signed
        #[arg(long)]
        text: bool,
    },
    /// List an owner's versions, as far as you may know of them
    #[command(after_help = "Examples:\n  entente policy history ISR")]
    History {
        /// Code of a partner, or `guardrails`
        owner: PolicyOwner,
    },
    /// Propose a text as the next version (policy officers)
    #[command(after_help = "Examples:
  entente policy propose ISR.cedar
  entente policy propose ISR.cedar --dry-run
  entente policy propose draft.cedar --owner ISR \\
      --active-at '2026-04-01 00:00 Asia/Jerusalem'
  entente policy propose guardrails.cedar --active-at 2026-04-05T00:00:00Z

A second policy officer of your partner approves it; until then nothing changes. Guardrails are the \
host's and are announced three days ahead.")]
    Propose {
        #[command(flatten)]
        file: TextFile,
        /// When it takes effect [default: as soon as it is approved]
        #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
        active_at: Option<Timestamp>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Show what a version would change: who gains and who loses access to which proposals (policy officers)
    #[command(after_help = "Examples:
  entente policy preview ISR 3
  entente policy preview ISR 3 --all
  entente --json policy preview ISR 3 | jq .summary")]
    Preview {
        #[command(flatten)]
        version: Numbered,
        /// Every change, however many
        #[arg(long)]
        all: bool,
    },
    /// Check a signed summary of what some change would do, and show it
    #[command(after_help = "Examples:\n  entente policy summary avi-leaves.json

`--signed-summary` of a dry run or of `entente member preview` writes such a file. Fails with exit code 4 if its signature does not verify.")]
    Summary {
        /// The file
        file: PathBuf,
    },
    /// Approve a version that another policy officer proposed, after a look at what it would change
    #[command(after_help = "Examples:
  entente policy show ISR --version 3
  entente policy approve ISR 3 --dry-run    what `entente policy preview` shows
  entente policy approve ISR 3
  entente policy approve ISR 3 --yes        in a script")]
    Approve {
        #[command(flatten)]
        version: Numbered,
        #[command(flatten)]
        dry_run: DryRun,
        #[command(flatten)]
        consent: Consent,
    },
    /// Take a version back that has not taken effect (policy officers)
    #[command(after_help = "Examples:\n  entente policy withdraw ISR 3")]
    Withdraw {
        #[command(flatten)]
        version: Numbered,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Propose the text of an earlier version as the next one (policy officers)
    #[command(after_help = "Examples:\n  entente policy restore ISR 2\n  entente policy restore ISR 2 --dry-run")]
    Restore {
        #[command(flatten)]
        version: Numbered,
        /// When it takes effect [default: as soon as it is approved]
        #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
        active_at: Option<Timestamp>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Explain why a member may or may not see a proposal: which policies of which side, and what would change it
    #[command(after_help = "Examples:
  entente policy explain --proposal $PROPOSAL
  entente policy explain --proposal $PROPOSAL --member ISR:yael --action view
  entente policy explain --proposal $PROPOSAL --member USA:dana \\
      --action read-restricted --owner ISR

Ask about yourself; as a policy officer about members of your nation, as far as they may know of the \
proposal, and about everybody on your nation's own proposals.")]
    Explain(explanation::Explain),
    /// List everybody who may see a proposal of your nation's (policy officers)
    #[command(
        after_help = "Examples:\n  entente policy who $PROPOSAL\n  entente --json policy who $PROPOSAL | jq -r '.items[].member'"
    )]
    Who {
        /// The proposal
        proposal: ProposalName,
    },
    /// Fetch the signed list of what your members see, and of who sees your nation's proposals (policy officers)
    #[command(after_help = "Examples:
  entente policy visibility --out today.jsonl
  entente --quiet policy visibility --out visibility/2026-04-01.jsonl
  jq -r 'select(.line == \"proposal\") | .proposal' today.jsonl

The file is verified, then kept unchanged. It leaves out proposals with which you have a conflict yourself.")]
    Visibility(visibility::Visibility),
    /// Compare two visibility manifests: who gained and who lost access to what, and what may have caused it
    #[command(after_help = "Examples:
  entente policy diff yesterday.jsonl today.jsonl
  entente --json policy diff yesterday.jsonl today.jsonl | \\
      jq '.items[] | select(.gains)'

Both files are verified; nothing is sent. If several causes are named, any of them may be the reason: `entente policy \
explain` says which.")]
    Diff(visibility::Diff),
}

#[derive(Debug, Args)]
pub struct TextFile {
    /// The text, Cedar; `-` is standard input
    file: PathBuf,
    /// Code of a partner, or `guardrails` [default: the file's name]
    #[arg(long)]
    owner: Option<PolicyOwner>,
}

#[derive(Debug, Args)]
pub struct Numbered {
    /// Code of a partner, or `guardrails`
    owner: PolicyOwner,
    /// Number of the version
    version: u32,
}

/// Runs the command.
pub(super) async fn run(command: PolicyCommand, context: &Context) -> Result<()> {
    match command {
        PolicyCommand::Check(file) => check(&file, context),
        PolicyCommand::Test(args) => trial::run(&args, context),
        PolicyCommand::Example { recipes, cases, list } => example(&recipes, cases, list, context),
        PolicyCommand::World => context.out.bytes(WORLD.as_bytes()),
        PolicyCommand::Explain(args) => explanation::explain(&args, context).await,
        PolicyCommand::Who { proposal } => explanation::who(&proposal, context).await,
        PolicyCommand::Visibility(args) => visibility::fetch(&args, context).await,
        PolicyCommand::Diff(args) => visibility::diff(&args, context).await,
        PolicyCommand::Preview { version: Numbered { owner, version }, all } => {
            preview::preview(&owner, version, all, context).await
        }
        PolicyCommand::Summary { file } => super::preview::verify(&file, context).await,
        PolicyCommand::List => list(context).await,
        PolicyCommand::Show { owner, version, text } => show_version(&owner, version, text, context).await,
        PolicyCommand::History { owner } => history(&owner, context).await,
        PolicyCommand::Propose { file, active_at, dry_run } => propose(&file, active_at, dry_run, context).await,
        PolicyCommand::Approve { version: Numbered { owner, version }, dry_run, .. } if dry_run.is_meant() => {
            preview::preview(&owner, version, false, context).await?;
            context.out.note("dry run: nothing was done");
            Ok(())
        }
        PolicyCommand::Approve { version, consent, .. } => approve(&version, consent, context).await,
        PolicyCommand::Withdraw { version, dry_run } => withdraw(&version, dry_run, context).await,
        PolicyCommand::Restore { version, active_at, dry_run } => restore(&version, active_at, dry_run, context).await,
    }
}

async fn list(context: &Context) -> Result<()> {
    let (client, zone) = (context.client().await?, context.zone()?);
    let (waiting, listed) = (client.list_waiting_policies().await?, client.list_policies().await?);
    let as_json = |one: &ListedPolicy| {
        let fault = one.verified.as_ref().err().map(ToString::to_string);
        json!({ "policy": one.policy, "verified": fault.is_none(), "fault": fault })
    };
    let all = |listed: &[ListedPolicy]| listed.iter().map(as_json).collect::<Vec<_>>();
    let answer = json!({ "waiting": all(&waiting), "items": all(&listed) });
    context.out.answer(&answer, |screen| {
        if !waiting.is_empty() {
            show_waiting(screen, &waiting, &zone);
            screen.gap();
        }
        show_in_force(screen, &listed, &zone);
    })?;
    match waiting.into_iter().chain(listed).find_map(|one| one.verified.err()) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

async fn show_version(owner: &PolicyOwner, version: Option<u32>, text: bool, context: &Context) -> Result<()> {
    let (client, zone) = (context.client().await?, context.zone()?);
    let policy = match version {
        Some(number) => client.policy_version(owner, number).await?,
        None => client.policy(owner).await?,
    };
    if text && !context.out.is_json() {
        return context.out.bytes(policy.text.as_deref().unwrap_or_default().as_bytes());
    }
    context.out.answer(&policy, |screen| show(screen, &policy, &zone))
}

async fn history(owner: &PolicyOwner, context: &Context) -> Result<()> {
    let (client, zone) = (context.client().await?, context.zone()?);
    let versions = client.api().policy_versions(owner).await?;
    context.out.answer(&whole(&versions), |screen| show_versions(screen, &versions, &zone))
}

/// What waits for a signature or for its time, one version a line.
pub(super) fn show_waiting(screen: &mut Screen, waiting: &[ListedPolicy], zone: &Zone) {
    let mut table = Table::new(["WAITING", "VERSION", "FOR", "TAKES EFFECT", "VERIFIED", "SIGNED BY"]);
    for one in waiting {
        let verified = one.verified.as_ref().map_or_else(|error| format!("NO: {error}"), |()| "yes".into());
        let policy = &one.policy;
        let awaits = if policy.approved.is_none() { "a second officer" } else { "its time" };
        let at = since(policy).or(policy.active_at.map(|at| at.0)).map(|at| zone.cell(at)).unwrap_or_default();
        let (owner, version) = (policy.owner.to_string(), policy.version.to_string());
        table.row([owner.into(), version.into(), awaits.into(), at, verified.into(), signers(policy).into()]);
    }
    screen.table(&table, "nothing waits");
}

/// What is in force, one owner a line.
pub(super) fn show_in_force(screen: &mut Screen, listed: &[ListedPolicy], zone: &Zone) {
    let mut table = Table::new(["OWNER", "VERSION", "IN FORCE SINCE", "VERIFIED", "SIGNED BY"]);
    for one in listed {
        let verified = one.verified.as_ref().map_or_else(|error| format!("NO: {error}"), |()| "yes".into());
        let policy = &one.policy;
        let since = since(policy).map_or_else(|| "always".into(), |at| zone.cell(at));
        let (owner, version) = (policy.owner.to_string(), policy.version.to_string());
        table.row([owner.into(), version.into(), since, verified.into(), signers(policy).into()]);
    }
    screen.table(&table, "no policies are in force");
}

/// The versions of one owner, one a line.
pub(super) fn show_versions(screen: &mut Screen, versions: &[PolicyVersion], zone: &Zone) {
    let mut table = Table::new(["VERSION", "STATUS", "TAKES EFFECT", "SIGNED BY", "TEXT"]);
    for policy in versions {
        let at = since(policy).or(policy.active_at.map(|at| at.0));
        let (at, digest) = (at.map(|at| zone.cell(at)).unwrap_or_default(), policy.text_sha256.to_string());
        let (version, status) = (policy.version.to_string(), policy.status.to_string());
        let digest = TableCell::new(&digest[..12], digest.as_str());
        table.row([version.into(), status.into(), at, signers(policy).into(), digest]);
    }
    screen.table(&table, "no versions that you may know of");
}

async fn propose(file: &TextFile, active_at: Option<Timestamp>, dry_run: DryRun, context: &Context) -> Result<()> {
    let (client, zone) = (context.client().await?, context.zone()?);
    let (owner, place, text) = read(file)?;
    let forecast = client.forecast_proposed_policy(&owner, &place, &text, active_at);
    if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
        return Ok(());
    }
    let proposed = client.propose_policy(&owner, &place, &text, active_at).await?;
    print_version(context, &proposed, &zone)
}

async fn approve(Numbered { owner, version }: &Numbered, consent: Consent, context: &Context) -> Result<()> {
    let (client, zone) = (context.client().await?, context.zone()?);
    let policy = client.policy_version(owner, *version).await?;
    let preview = preview::before_approval(&client, owner, *version, context).await?;
    let act = format!("approving version {version} of {owner}");
    context.keyboard().consent(consent, &act, "what somebody reads because of it stays read").await?;
    let approved = client.approve_policy(&policy, &preview).await?;
    print_version(context, &approved, &zone)
}

async fn withdraw(Numbered { owner, version }: &Numbered, dry_run: DryRun, context: &Context) -> Result<()> {
    let (client, zone) = (context.client().await?, context.zone()?);
    let forecast = client.forecast_withdrawn_policy(owner, *version);
    if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
        return Ok(());
    }
    let withdrawn = client.api().withdraw_policy(owner, *version).await?;
    print_version(context, &withdrawn, &zone)
}

/// Proposes the text of an earlier version.
async fn restore(version: &Numbered, active_at: Option<Timestamp>, dry_run: DryRun, context: &Context) -> Result<()> {
    let (client, zone) = (context.client().await?, context.zone()?);
    let Numbered { owner, version } = version;
    let forecast = client.forecast_restored_policy(owner, *version, active_at);
    if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
        return Ok(());
    }
    let earlier = client.policy_version(owner, *version).await?;
    let text = earlier.text.as_deref().unwrap_or_default();
    let proposed = client.propose_policy(owner, &owner.to_string(), text, active_at).await?;
    print_version(context, &proposed, &zone)
}

fn check(file: &TextFile, context: &Context) -> Result<()> {
    let (owner, place, text) = read(file)?;
    match check_text(&owner, &place, &text) {
        Ok(()) => context.out.done(&format!("the policies of {owner} can be proposed")),
        Err(error) => Err(refused(error)),
    }
}

/// A text that cannot be taken: file, line, what is wrong, what to do.
fn refused(error: PolicyError) -> CliError {
    let place = error.line().map_or_else(|| error.place().to_owned(), |line| format!("{}:{line}", error.place()));
    CliError::usage(format!("{place}: {}", error.what())).help(error.help())
}

fn example(names: &[String], cases: bool, list: bool, context: &Context) -> Result<()> {
    if !list {
        let text = if cases { cookbook::cases(names)? } else { cookbook::text(names)? };
        return context.out.bytes(text.as_bytes());
    }
    let recipes = cookbook::recipes();
    let items: Vec<_> = recipes
        .iter()
        .map(|recipe| json!({ "name": recipe.name, "title": recipe.title, "owner": recipe.owner.as_str() }))
        .collect();
    context.out.answer(&whole(&items), |screen| show_recipes(screen, &recipes))
}

/// The recipes that come with the program, one a line.
pub(super) fn show_recipes(screen: &mut Screen, recipes: &[cookbook::Recipe]) {
    let mut table = Table::new(["RECIPE", "WRITTEN FOR", "WHAT IT DOES"]);
    for recipe in recipes {
        table.row([recipe.name.to_owned(), recipe.owner.to_string(), recipe.title.to_owned()]);
    }
    screen.table(&table, "no recipes");
}

/// Owner, name and text of a file.
fn read(file: &TextFile) -> Result<(PolicyOwner, String, String)> {
    let place = file.file.display().to_string();
    let content = read_input(&file.file, MAX_POLICY_TEXT as u64)?;
    let text = reading::text(&content).map_err(|fault| CliError::usage(format!("`{place}`: {fault}")))?.into_owned();
    let owner = file.owner.clone().or_else(|| owner_of(&file.file)).ok_or_else(|| {
        CliError::usage(format!("whose policies `{place}` holds is not clear"))
            .help("name the owner with `--owner`, or the file after it: `ISR.cedar`")
    })?;
    Ok((owner, place, text))
}

fn owner_of(file: &Path) -> Option<PolicyOwner> {
    file.file_stem()?.to_str()?.parse().ok()
}

fn print_version(context: &Context, policy: &PolicyVersion, zone: &Zone) -> Result<()> {
    context.out.answer(policy, |screen| fields(screen, policy, zone))
}

fn show(screen: &mut Screen, policy: &PolicyVersion, zone: &Zone) {
    fields(screen, policy, zone);
    screen.gap();
    screen.paragraph(policy.text.as_deref().unwrap_or_default());
}

fn fields(screen: &mut Screen, policy: &PolicyVersion, zone: &Zone) {
    let signed = |signature: &PolicySignature| format!("{} at {}", signature.member, zone.both(signature.signed_at.0));
    let mut fields = vec![
        ("owner", policy.owner.to_string()),
        ("version", policy.version.to_string()),
        ("status", policy.status.to_string()),
    ];
    if let Some(at) = since(policy).or(policy.active_at.map(|at| at.0)) {
        fields.push(("takes effect", zone.both(at)));
    }
    match (&policy.proposed, &policy.approved) {
        (None, _) => fields.push(("signed", "by nobody: these come with the program".into())),
        (Some(proposed), approved) => {
            fields.push(("proposed by", signed(proposed)));
            fields.push(("approved by", approved.as_ref().map_or_else(|| "nobody yet".into(), signed)));
        }
    }
    if let (Some(member), Some(at)) = (&policy.withdrawn_by, policy.withdrawn_at) {
        fields.push(("withdrawn by", format!("{member} at {}", zone.both(at.0))));
    }
    fields.push(("text", policy.text_sha256.to_string()));
    screen.fields(&fields);
}

/// When an approved version takes effect.
fn since(policy: &PolicyVersion) -> Option<Timestamp> {
    let approved = policy.approved.as_ref()?;
    policy.active_at.map(|at| at.0.max(approved.signed_at.0))
}

fn signers(policy: &PolicyVersion) -> String {
    let signatures = policy.proposed.iter().chain(&policy.approved);
    let members: Vec<_> = signatures.map(|signature| signature.member.to_string()).collect();
    if members.is_empty() { "comes with the program".into() } else { members.join(", ") }
}
