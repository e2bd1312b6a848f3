//! `entente key`: wraps vault keys for whom policy admits and who lacks one, and tries one's own. The client checks each reader's
//! key card before it wraps; what it refuses is listed with the reason. A key of one's own is discarded only when that is asked for.

use super::{
    act::{self, DryRun, Question},
    cell::TableCell,
    context::{Context, joined},
    error::{CliError, Exit, Result},
    output::Screen,
    table::Table,
};
use crate::{
    client::{
        Client, ClientError,
        forecast::PanelForecast,
        naming::{CallName, IdName, ProposalName},
        own_keys::{CheckedKey, KeyState},
        panel::{LackingSteps, PanelKey, Prepared},
        titles::Titles,
        vaults::Wrapped,
    },
    domain::{
        id::{CallId, MemberId, ProposalId, WrappedKeyId},
        text::counted,
    },
    wire::proposal::MissingKey,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Share vault keys with the members whom policy admits
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Wrap keys for everybody whom policy admits and who lacks one
    #[command(after_help = "Examples:
  entente key share $PROPOSAL
  entente key share --call $CALL
      every proposal, after the opening, and the call's own vault
  entente key share --call $CALL --dry-run   who would get which key
  entente key share $PROPOSAL --to-call

Officers run it after the opening, after each assignment and after each review that came in. It also makes the vaults \
that reviews are sealed to. When a member has a new identity, somebody who holds the keys runs it: that member needs a \
key for each recipient on their key card. With `--to-call` a party wraps its vaults to the call once more, when \
officers say that they cannot open them.")]
    Share(ShareArgs),
    /// List who may read but lacks a key
    #[command(after_help = "Examples:
  entente key missing $PROPOSAL
  entente key missing --call $CALL   officers who lack a key to the call's vault")]
    Missing(KeyScope),
    /// Try each wrapped key that is for you, and say which opens
    #[command(after_help = "Examples:
  entente key check $PROPOSAL
  entente key check --call $CALL         the officers' keys to the call's vault
  entente key check $PROPOSAL --remove   discard those that do not open
  entente key check $PROPOSAL --discard $KEY
      discard this one without trying it; the first letters of it will do

A discarded key is listed as missing, unless you have another one for the same recipient. Any member who holds a key \
can wrap you a new one with `entente key share`. Before your registrar takes an old recipient off your key card, run \
this command with only the new identity in the profile: each vault must have a key that opens.")]
    Check(Check),
}

/// A proposal or a call.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("place").required(true).args(["proposal", "call"]))]
pub struct KeyScope {
    /// The proposal
    proposal: Option<ProposalName>,
    /// This call's own vault, for officers
    #[arg(long)]
    call: Option<CallName>,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    scope: KeyScope,
    /// Discard those of your keys that do not open
    #[arg(long)]
    remove: bool,
    /// Discard those for recipients that your key card no longer names
    #[arg(long)]
    remove_replaced: bool,
    /// Discard this key without trying to open it
    #[arg(long, value_name = "KEY", conflicts_with_all = ["remove", "remove_replaced"])]
    discard: Option<IdName<WrappedKeyId>>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["proposal", "call"]))]
pub struct ShareArgs {
    /// The proposal
    proposal: Option<ProposalName>,
    /// Every submitted proposal of this call
    #[arg(long)]
    call: Option<CallName>,
    /// Wrap to the call's vault once more, beside what is there
    #[arg(long, conflicts_with = "call")]
    to_call: bool,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Runs the command.
pub(super) async fn run(command: KeyCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        KeyCommand::Share(args) => share(args, context, &client).await,
        KeyCommand::Missing(scope) => {
            let missing = match scope.find(&client).await? {
                CallOrProposal::Call(call) => client.api().missing_call_keys(call).await?,
                CallOrProposal::Proposal(proposal) => client.api().missing_keys(proposal).await?,
            };
            context.out.answer(&json!({ "items": missing }), |screen| show_missing(screen, &missing))
        }
        KeyCommand::Check(args) => check(context, &client, &args).await,
    }
}

/// Who lacks a key.
pub(super) fn show_missing(screen: &mut Screen, missing: &[MissingKey]) {
    let mut table = Table::new(["WHO LACKS A KEY", "KIND", "FOR"]);
    for key in missing {
        let (holder, kind) = (key.holder.to_string(), screen.named(&key.kind, &key.vault));
        let shown = joined(key.recipients.iter().map(|recipient| short(recipient)));
        let recipients = TableCell::new(shown, joined(&key.recipients));
        table.row([holder.into(), kind.into(), recipients]);
    }
    screen.table(&table, "nobody lacks a key");
}

/// What became of trying one's own keys.
pub(super) fn show_checked(screen: &mut Screen, checked: &[CheckedKey], discarded: &[WrappedKeyId]) {
    let mut table = Table::new(["KIND", "FOR", "WRAPPED BY", "STATE", "KEY"]);
    for key in checked {
        let (id, wrapped_by, mut state) = key_state(key);
        if !key.is_on_card {
            state = format!("{state} (not on your key card)");
        }
        if id.is_some_and(|id| discarded.contains(&id)) {
            state = format!("{state} (discarded)");
        }
        let recipient = TableCell::new(short(&key.recipient), key.recipient.as_str());
        let kind = screen.named(&key.kind, &key.vault);
        table.row([kind.into(), recipient, joined(wrapped_by).into(), state.into(), joined(id).into()]);
    }
    screen.table(&table, "no key is for you");
}

/// A call or a proposal that was found.
enum CallOrProposal {
    Call(CallId),
    Proposal(ProposalId),
}

impl KeyScope {
    async fn find(&self, client: &Client) -> Result<CallOrProposal> {
        match (&self.call, &self.proposal) {
            (Some(call), _) => Ok(CallOrProposal::Call(client.find_call(call).await?)),
            (None, Some(proposal)) => Ok(CallOrProposal::Proposal(client.find_proposal(proposal).await?.id)),
            (None, None) => Err(unnamed()),
        }
    }
}

fn unnamed() -> CliError {
    CliError::usage("name a proposal or `--call`")
}

/// Discards a key of one's own by its identifier.
async fn discard(context: &Context, client: &Client, scope: &KeyScope, key: &IdName<WrappedKeyId>) -> Result<()> {
    let key = match scope.find(client).await? {
        CallOrProposal::Call(call) => client.discard_one_of_call(call, key).await?,
        CallOrProposal::Proposal(proposal) => client.discard_one(proposal, key).await?,
    };
    context.out.done(&format!(
        "`{key}` is discarded; a member who holds a key can wrap you a new one with `entente key share`"
    ))
}

/// Tries one's own keys, and discards those that one asked to.
async fn check(context: &Context, client: &Client, args: &Check) -> Result<()> {
    if let Some(key) = &args.discard {
        return discard(context, client, &args.scope, key).await;
    }
    let checked = match args.scope.find(client).await? {
        CallOrProposal::Call(call) => client.check_call_keys(call).await?,
        CallOrProposal::Proposal(proposal) => client.check_keys(proposal).await?,
    };
    let me = client.member_id().await?;
    let mut discarded = Vec::new();
    for key in &checked {
        if let Some(id) = unwanted(key, args, &me) {
            client.discard_key(key.vault, id).await?;
            discarded.push(id);
        }
    }
    let items: Vec<Value> = checked.iter().map(|key| described(key, &discarded)).collect();
    context.out.answer(&json!({ "items": items }), |screen| show_checked(screen, &checked, &discarded))?;
    let left = checked.iter().filter(|key| matches!(key.found, KeyState::Broken { .. } | KeyState::Missing));
    let left = left.filter(|key| key_state(key).0.is_none_or(|id| !discarded.contains(&id))).count();
    if left == 0 {
        return Ok(());
    }
    let help = "discard what does not open with `--remove`; a member who holds a key can wrap what is missing with `entente key share`";
    let message = counted(left, "key does not open or is missing", "keys do not open or are missing");
    Err(CliError { exit: Exit::Unverified, ..CliError::failed(message) }.help(help))
}

/// The key, if it is the member's own and to be discarded.
fn unwanted(key: &CheckedKey, args: &Check, me: &MemberId) -> Option<WrappedKeyId> {
    let is_broken = matches!(key.found, KeyState::Broken { .. });
    let is_unwanted = args.remove && is_broken || args.remove_replaced && !key.is_on_card;
    key_state(key).0.filter(|_| is_unwanted && key.holder == me.to_string())
}

/// Which key it is, whose work, and what became of it.
fn key_state(key: &CheckedKey) -> (Option<WrappedKeyId>, Option<&MemberId>, String) {
    match &key.found {
        KeyState::Opens { key, wrapped_by } => (Some(*key), Some(wrapped_by), "opens".to_owned()),
        KeyState::Broken { key, wrapped_by, fault } => {
            (Some(*key), Some(wrapped_by), format!("DOES NOT OPEN: {fault}"))
        }
        KeyState::Elsewhere { key, wrapped_by, fault } => (Some(*key), Some(wrapped_by), format!("not tried: {fault}")),
        KeyState::Missing => (None, None, "MISSING".to_owned()),
    }
}

fn described(key: &CheckedKey, discarded: &[WrappedKeyId]) -> Value {
    let (found, fault) = match &key.found {
        KeyState::Opens { .. } => ("opens", None),
        KeyState::Broken { fault, .. } => ("broken", Some(fault)),
        KeyState::Elsewhere { fault, .. } => ("elsewhere", Some(fault)),
        KeyState::Missing => ("missing", None),
    };
    let (id, wrapped_by, _) = key_state(key);
    json!({
        "vault": key.vault, "kind": key.kind, "holder": key.holder, "recipient": key.recipient, "is_on_card": key.is_on_card,
        "key": id, "wrapped_by": wrapped_by, "found": found, "fault": fault.map(ToString::to_string),
        "discarded": id.is_some_and(|id| discarded.contains(&id)),
    })
}

/// The ends of a recipient: enough to distinguish one's own.
fn short(recipient: &str) -> String {
    match (recipient.get(..10), recipient.get(recipient.len().saturating_sub(6)..)) {
        (Some(head), Some(tail)) if recipient.len() > 20 => format!("{head}…{tail}"),
        _ => recipient.to_owned(),
    }
}

/// Passes keys on, or says which it would.
async fn share(args: ShareArgs, context: &Context, client: &Client) -> Result<()> {
    let ShareArgs { proposal, call, to_call, dry_run } = args;
    if let Some(call) = call {
        let call = client.find_call(&call).await?;
        if dry_run.is_meant() {
            return foresee(context, client, &client.forecast_panel(call).await?).await;
        }
        return show(context, client, &client.prepare_panel(call).await?).await;
    }
    let found = client.find_proposal(&proposal.ok_or_else(unnamed)?).await?;
    if to_call {
        let forecast = client.forecast_keys_to_call(&found);
        if !act::goes_ahead(context, dry_run, Question::Never, forecast).await? {
            return Ok(());
        }
        let wrapped = client.wrap_to_call(found.id).await?;
        return context.out.answer(&json!({ "wrapped_to_call": wrapped }), |screen| {
            let wrapped = counted(wrapped, "vault was", "vaults were");
            screen.line(&format!("{wrapped} wrapped to the call's vault, beside what was there"));
        });
    }
    if dry_run.is_meant() {
        return foresee(context, client, &client.forecast_keys(&found).await?).await;
    }
    show(context, client, &client.prepare_proposal(found.id).await?).await
}

/// Which keys would be passed on to whom.
async fn foresee(
    context: &Context,
    client: &Client,
    PanelForecast { prepared, forecast }: &PanelForecast,
) -> Result<()> {
    let (titles, zone) = (titles_of(context, client, prepared).await, context.zone()?);
    let mut answer = prepared_json(prepared);
    for (name, value) in
        [("act", json!(forecast.act)), ("effects", json!(forecast.effects)), ("undo", json!(forecast.undo))]
    {
        answer[name] = value;
    }
    act::shown(context, &answer, |screen| {
        if !screen.is_csv() {
            act::show(screen, forecast, &zone);
            screen.gap();
        }
        show_prepared(screen, prepared, &titles, true);
    })
}

/// What was passed on, for programs.
fn prepared_json(prepared: &Prepared) -> Value {
    let Prepared { vaults_made, wrapped: Wrapped { done, refused }, skipped, lacking } = prepared;
    let why = |error: &ClientError| error.to_string();
    let wrapped_json: Vec<Value> = done.iter().map(key_json).collect();
    let refused_json = refused.iter().map(|(key, error)| {
        let key = key_json(key);
        json!({ "key": key, "fault": why(error), "help": error.help() })
    });
    let refused_json: Vec<Value> = refused_json.collect();
    let skipped_json: Vec<Value> = skipped
        .iter()
        .map(|(found, error)| {
            let (id, reference) = (found.id, &found.reference);
            json!({ "proposal": id, "reference": reference, "fault": why(error), "help": error.help() })
        })
        .collect();
    let vaults: Vec<ProposalId> = vaults_made.iter().map(|found| found.id).collect();
    json!({
        "vaults_made": vaults, "wrapped": wrapped_json, "refused": refused_json, "skipped": skipped_json,
        "undeclared": lacking.undeclared, "unassigned": lacking.unassigned, "own_undeclared": lacking.own_undeclared,
    })
}

/// What was passed on; an error if something was not.
async fn show(context: &Context, client: &Client, prepared: &Prepared) -> Result<()> {
    let titles = titles_of(context, client, prepared).await;
    context.out.answer(&prepared_json(prepared), |screen| show_prepared(screen, prepared, &titles, false))?;
    let Prepared { wrapped: Wrapped { refused, .. }, skipped, .. } = prepared;
    let first = refused.iter().map(|(_, error)| error).chain(skipped.iter().map(|(_, error)| error)).next();
    let Some(first) = first else { return Ok(()) };
    let exit = match first {
        ClientError::Problem { .. } | ClientError::NothingNamed { .. } => Exit::Refused,
        ClientError::Unverified { .. } => Exit::Unverified,
        ClientError::Transport { .. } => Exit::Unreachable,
        ClientError::Usage { .. }
        | ClientError::NotShown { .. }
        | ClientError::Local { .. }
        | ClientError::NotSigned(_) => Exit::Failed,
    };
    let (keys, proposals) =
        (counted(refused.len(), "key was", "keys were"), counted(skipped.len(), "proposal was", "proposals were"));
    let message = format!("{keys} not wrapped, {proposals} left out");
    Err(CliError { exit, ..CliError::failed(message) }.help(first.help()))
}

/// What was wrapped for whom, or would be.
pub(super) fn show_prepared(screen: &mut Screen, prepared: &Prepared, titles: &Titles, is_foreseen: bool) {
    let Prepared { vaults_made, wrapped: Wrapped { done, refused }, skipped, lacking } = prepared;
    let mut table = Table::new(["PROPOSAL", "TITLE", "FOR", "KIND", "KEY"]).cutting("TITLE");
    let mut row = |PanelKey { proposal, key }: &PanelKey, state: String| {
        let title = proposal.as_ref().and_then(|found| titles.title(found.id));
        let proposal = proposal.as_ref().map(|found| screen.named(found, &found.id)).unwrap_or_default();
        let kind = screen.named(&key.kind, &key.vault);
        table.row([proposal, title.unwrap_or_default().to_owned(), key.holder.to_string(), kind, state]);
    };
    for key in done {
        row(key, if is_foreseen { "would be wrapped" } else { "wrapped" }.to_owned());
    }
    for (key, error) in refused {
        row(key, format!("REFUSED: {error}"));
    }
    screen.table(&table, "nobody lacks a key");
    for found in vaults_made.iter().filter(|_| !is_foreseen) {
        screen.line(&format!("{}: reviews can be sealed now", screen.named(found, &found.id)));
    }
    for (found, error) in skipped {
        screen.line(&format!("{}: left out: {error}", screen.named(found, &found.id)));
    }
    show_lacking(screen, lacking);
}

/// The titles of the proposals whose keys these are, as far as this machine has them.
async fn titles_of(context: &Context, client: &Client, prepared: &Prepared) -> Titles {
    if context.out.is_json() {
        return Titles::default();
    }
    let Wrapped { done, refused } = &prepared.wrapped;
    let keys = done.iter().chain(refused.iter().map(|(key, _)| key));
    let proposals: BTreeSet<ProposalId> = keys.filter_map(|key| Some(key.proposal.as_ref()?.id)).collect();
    client.kept_titles(&proposals).await
}

/// A key for programs, with its proposal.
fn key_json(PanelKey { proposal, key }: &PanelKey) -> Value {
    let mut answer = json!(key);
    answer["proposal"] = json!(proposal.as_ref().map(|found| found.id));
    answer["reference"] = json!(proposal.as_ref().and_then(|found| found.reference.clone()));
    answer
}

/// What is missing before more keys can be passed on.
fn show_lacking(screen: &mut Screen, lacking: &LackingSteps) {
    if lacking.own_undeclared > 0 {
        let proposals = counted(lacking.own_undeclared, "proposal", "proposals");
        screen
            .line(&format!("missing: you have not declared on {proposals}; `entente todo --kind declare` lists them"));
    }
    if lacking.unassigned > 0 {
        let have = counted(lacking.unassigned, "proposal has", "proposals have");
        screen.line(&format!("missing: {have} no reviewer; `entente assignment add` assigns some"));
    }
    if !lacking.undeclared.is_empty() {
        let have = counted(lacking.undeclared.len(), "reviewer has", "reviewers have");
        screen.line(&format!("missing: {have} not declared: {}", joined(lacking.undeclared.keys())));
    }
}
