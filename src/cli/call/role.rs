//! `entente call role`: who has which role in a call. A change is shown with what was before it, and asks first where a nation would be
//! left without an officer or a decider.

use super::show;
use crate::{
    cli::{
        context::{Context, joined, whole},
        error::Result,
        output::Screen,
        preview::PreviewArgs,
        prompt::Consent,
    },
    client::{
        Client,
        naming::CallName,
        roles::{RoleChange, RolePlan},
    },
    domain::{id::MemberId, member::CallRole},
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::BTreeSet;

/// Give, take away and list roles in a call
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Give members further roles; those that they have stay
    #[command(after_help = "Examples:
  entente call role add $CALL GBR:grace --role reviewer
  entente call role add $CALL GBR:grace KOR:jiwoo ISR:maya --role reviewer
  entente call role add $CALL GBR:grace --role reviewer --dry-run

Shows the roles before and after. Once a nation has an officer in the call, only its own officers name its deciders, and only \
they give its officers and deciders a further role or take a role from them.")]
    Add(RoleAdd),
    /// Take roles from a member; the others stay
    #[command(after_help = "Examples:
  entente call role remove $CALL ISR:noa --role observer
  entente call role remove $CALL ISR:noa --role decider --dry-run

Shows the roles before and after. Asks first if the nation of the member would have no officer or no decider left. Members lay \
down roles of their own in the same way.")]
    Remove(RoleRemove),
    /// Set all roles of a member; they replace those the member has
    #[command(after_help = "Examples:
  entente call role set $CALL GBR:grace --role reviewer
  entente call role set $CALL ISR:noa --role decider --role observer
  entente call role set $CALL GBR:grace --none   takes all roles away
  entente call role set $CALL GBR:grace --role reviewer --dry-run
      what it would change

Shows the roles before and after. Asks first if the nation of the member would have no officer or no decider left. `--none` also \
lays down your own roles. Once a nation has an officer in the call, only its own officers name its deciders, and only they give \
its officers and deciders a further role or take a role from them.")]
    Set(RoleSet),
    /// List who has which role
    #[command(after_help = "Examples:\n  entente call role list $CALL")]
    List {
        /// The call
        call: CallName,
    },
}

#[derive(Debug, Args)]
pub struct RoleAdd {
    /// The call
    call: CallName,
    /// The members; each gets all of the roles
    #[arg(required = true)]
    members: Vec<MemberId>,
    /// officer, reviewer, decider or observer; may be given several times
    #[arg(long, required = true)]
    role: Vec<CallRole>,
    #[command(flatten)]
    how: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct RoleRemove {
    /// The call
    call: CallName,
    /// The member
    member: MemberId,
    /// officer, reviewer, decider or observer; may be given several times
    #[arg(long, required = true)]
    role: Vec<CallRole>,
    #[command(flatten)]
    how: ChangeArgs,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("roles").required(true).args(["role", "none"]))]
pub struct RoleSet {
    /// The call
    call: CallName,
    /// The member
    member: MemberId,
    /// officer, reviewer, decider or observer; may be given several times
    #[arg(long)]
    role: Vec<CallRole>,
    /// Take all roles away
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    how: ChangeArgs,
    #[command(flatten)]
    consent: Consent,
}

/// How a change of roles is made, or only looked at.
#[derive(Debug, Args)]
struct ChangeArgs {
    /// Confirm this many role statements whose signer's card was later revoked as stolen
    #[arg(long, value_name = "NUMBER", conflicts_with = "dry_run")]
    vouch: Option<u32>,
    /// Only say what it would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    shown: PreviewArgs,
}

/// Runs the command.
pub(super) async fn run(command: RoleCommand, client: &Client, context: &Context) -> Result<()> {
    let (call, member, change, how, consent) = match command {
        RoleCommand::List { call } => {
            let holders = client.api().roles(client.find_call(&call).await?).await?;
            return context.out.answer(&whole(&holders), |screen| show::holders(screen, &holders));
        }
        RoleCommand::Add(args) if args.members.len() > 1 => return add_to_many(args, client, context).await,
        RoleCommand::Add(RoleAdd { call, mut members, role, how }) => {
            let member = members.remove(0);
            (call, member, RoleChange::Add(role.into_iter().collect()), how, None)
        }
        RoleCommand::Remove(RoleRemove { call, member, role, how, consent }) => {
            (call, member, RoleChange::Remove(role.into_iter().collect()), how, Some(consent))
        }
        RoleCommand::Set(RoleSet { call, member, role, none: _, how, consent }) => {
            (call, member, RoleChange::Set(role.into_iter().collect()), how, Some(consent))
        }
    };
    how.shown.only_with(how.dry_run)?;
    let plan = client.plan_roles(client.find_call(&call).await?, &member, &change).await?;
    let warning = plan.warning();
    if how.dry_run {
        context.out.aside(|screen| fields(screen, &plan));
        if let Some(warning) = &warning {
            context.out.warn(warning);
        }
        let (changes, summary) = client.preview_roles(plan.call, &plan.member, &plan.after).await?;
        return how.shown.show(context, client, (&changes, &summary)).await;
    }
    if let (Some(warning), Some(consent)) = (&warning, consent) {
        let act = format!("{member}, now {}, would be {}", roles(&plan.before), roles(&plan.after));
        context.keyboard().agree(consent, &format!("{act}: {warning}")).await?;
    }
    if plan.changes() {
        client.change_roles(&plan, how.vouch).await?;
    }
    let answer = json!({ "member": plan.member, "roles": plan.after, "before": plan.before });
    context.out.answer(&answer, |screen| fields(screen, &plan))
}

/// Gives several members the same roles, one after another. What cannot be planned for one of them is refused before the first gets any;
/// run again, it goes on with those who do not have them yet.
async fn add_to_many(args: RoleAdd, client: &Client, context: &Context) -> Result<()> {
    let RoleAdd { call, members, role, how } = args;
    how.shown.only_with(how.dry_run)?;
    let (call, change) = (client.find_call(&call).await?, RoleChange::Add(role.into_iter().collect()));
    let mut plans = Vec::with_capacity(members.len());
    for member in &members {
        plans.push(client.plan_roles(call, member, &change).await?);
    }
    if how.dry_run {
        context.out.note(
            "dry run: nothing was done; for one member alone it also says which proposals they would gain access to",
        );
    } else {
        for plan in plans.iter().filter(|plan| plan.changes()) {
            client.change_roles(plan, how.vouch).await?;
        }
    }
    let items = plans.iter().map(|plan| json!({ "member": plan.member, "roles": plan.after, "before": plan.before }));
    let answer = json!({ "dry_run": how.dry_run, "items": items.collect::<Vec<_>>() });
    context.out.answer(&answer, |screen| {
        for plan in &plans {
            fields(screen, plan);
            screen.gap();
        }
    })
}

/// The change, before it is made and afterwards.
fn fields(screen: &mut Screen, plan: &RolePlan) {
    let (before, after) = (roles(&plan.before), roles(&plan.after));
    let after = if plan.changes() { after } else { format!("{after}, as before") };
    screen.fields(&[("member", plan.member.to_string()), ("before", before), ("after", after)]);
}

fn roles(roles: &BTreeSet<CallRole>) -> String {
    if roles.is_empty() { "without a role".to_owned() } else { joined(roles) }
}
