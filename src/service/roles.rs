//! The roles of members in a call, and what goes with a role that is taken away.
//!
//! Each role that a member gains or loses is asked of policy by itself: a nation has more say about some than about others.

use super::{
    Answer, Exchange, LONGEST_LOOK, Principal, RequestContext, Result, ServiceError,
    comparison::{Comparison, PreviewAudience},
    cursors::SealedCursors,
    explanation::Hearing,
    preview::PreviewScan,
    quotas,
    state::{self, CallState, ProposalState},
    stepwise::{STEP, StepwisePage},
    surplus_keys::{self, HeldStretch},
    ties::{is_left_out, is_party, refuse_recused},
    unit::{Act, Subject, View},
    vault_access::require_other_holder,
    vaults,
    verified::Verified,
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId},
        member::CallRole,
        proposal::{Sort, Status},
    },
    policy::{Action, Permit, Resource, facts::MemberFacts},
    sealing::statement::{RoleStatement, Signed},
    storage::{
        calls,
        stated::{NewStated, Stated},
        vaults as vault_store,
        visible::{ListPosition, PageRequest},
    },
    wire::{
        call::{GrantRoles, RoleHolder, StatedRoles},
        entry::payloads::{Payload, RolesChanged},
        page::{MAX_PAGE, Page},
        policy::Preview,
        proposal::Filter,
    },
};
use jiff::Timestamp;
use std::{collections::BTreeSet, sync::Arc};

/// Replaces a member's roles in a call. Taking the officer's role away removes the member's key to the call vault. The first keys to proposals
/// that go with a role go at once, the others soon after (`leftover_keys`).
///
/// Officers do; and members lay down roles of their own, for nobody asked them before.
pub async fn set(
    exchange: &Exchange,
    context: &RequestContext,
    id: CallId,
    member: &MemberId,
    body: &GrantRoles,
) -> Result<Answer> {
    let verified = Verified::of_some(body.statement.as_deref()).await?;
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(id).await?;
    let present = call.row.roles.get(member).cloned().unwrap_or_default();
    let gains = body.roles.difference(&present).next().is_some();
    let lays_down = *member == act.me.id && !gains && body.roles != present;
    // Whether the caller may know of the call comes before what is known of the member.
    let first = if lays_down { Action::ViewCall } else { Action::ViewRoles };
    act.authorize(first, Resource::Call(&call.facts))?;
    let subject = state::member(exchange, &mut act.tx, member, act.now).await?;
    let permits =
        role_permits(exchange, &call, member, subject, &body.roles, |action, resource| act.authorize(action, resource))
            .map_err(|refused| act.unless_repeated(refused))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let answer = Answer::json(200, &RoleHolder { member: member.clone(), roles: body.roles.clone() });
    let Some(permit) = permits.last() else { return act.finish(answer).await };
    call.text.check_new_roles(member, &present, &body.roles)?;
    // Only a caller who has signed for the change learns what the rules know of hidden proposals.
    let change = signed_change(&mut act, &call, member, body, verified).await?;
    if change.is_some() && !lays_down {
        quotas::check_role_changes(exchange, &mut act.tx, id, &act.me.id).await?;
    }
    check_suits(&mut act, &call, member, &body.roles).await?;
    let stated = change.as_ref().map(|signed| NewStated {
        number: signed.statement.number,
        statement: &signed.jws,
        sha256: signed.payload_sha256,
    });
    calls::set_roles(&mut act.tx, &permits, id, member, &body.roles, stated, act.now).await?;
    let kind = if gains { Payload::RoleGranted } else { Payload::RoleRevoked };
    let statement = change.map(|signed| signed.jws);
    let payload = RolesChanged { member: member.clone(), roles: body.roles.clone(), statement };
    act.log(Subject::call(&call), kind(payload)).await?;
    let loses_office = present.contains(&CallRole::Officer) && !body.roles.contains(&CallRole::Officer);
    if let Some(vault) = call.row.vault.filter(|_| loses_office)
        && let Some(vault) = vault_store::find(&mut act.tx, vault).await?
    {
        vaults::remove_keys(&mut act, permit, Subject::call(&call), &vault, member).await?;
    }
    // They get new keys to what a new role lets them read; what an invitation gave them ends with it.
    let HeldStretch { surplus, next } = surplus_keys::first_held(&mut act, id, member).await?;
    surplus_keys::remove_surplus(&mut act, permit, &call, member, surplus).await?;
    let policies = Arc::clone(&act.policies);
    let answer = act.finish(answer).await?;
    if next.is_some() {
        // Others would wait for the removal of thousands. Policy refuses the holder from now on.
        exchange.leftover_keys.note(id, member, policies);
    }
    Ok(answer)
}

/// Whether the member may be given these roles, and the one who asks may give them.
async fn check_suits(
    act: &mut Act<'_>,
    call: &CallState,
    member: &MemberId,
    wanted: &BTreeSet<CallRole>,
) -> Result<()> {
    let present = call.row.roles.get(member).cloned().unwrap_or_default();
    let gains = wanted.difference(&present).next().is_some();
    if gains || *member != act.me.id {
        refuse_recused(&mut act.tx, call, &act.me.id, act.now).await?;
    }
    let gains_office = !present.contains(&CallRole::Officer) && wanted.contains(&CallRole::Officer);
    let now = act.now;
    if gains && is_party(&mut act.tx, call, member, now).await?
        || gains_office && is_left_out(&mut act.tx, call, member, now).await?
    {
        return Err(unsuitable(member));
    }
    check_last_officer(call, member, wanted)
}

fn is_alive(proposal: &ProposalState) -> bool {
    !matches!(proposal.status, Status::Withdrawn | Status::Lapsed)
}

/// The reason stays unsaid: it would reveal a proposal that the officer may not know of.
fn unsuitable(member: &MemberId) -> ServiceError {
    Refusal::Unsuitable { member: member.clone(), fault: "cannot take this part".into() }.into()
}

fn check_last_officer(call: &CallState, member: &MemberId, wanted: &BTreeSet<CallRole>) -> Result<()> {
    let loses_office = call.row.has_role(member, CallRole::Officer) && !wanted.contains(&CallRole::Officer);
    if loses_office && call.facts.officers().len() == 1 {
        let fault = "is the last officer of the call; grant the role to somebody else first".to_owned();
        return Err(Refusal::Unsuitable { member: member.clone(), fault }.into());
    }
    Ok(())
}

/// What other roles of a member would change, among the proposals that the caller may know of. Refuses what [`set`] would, but for
/// what it would refuse because of proposals that the caller may not know of.
pub async fn preview(
    exchange: &Exchange,
    principal: &Principal,
    id: CallId,
    member: &MemberId,
    wanted: &BTreeSet<CallRole>,
    cursor: Option<&str>,
) -> Result<Preview> {
    let roles = wanted.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",");
    let cursors = SealedCursors::of(exchange, "preview of roles", &principal.member)
        .within("call", &id)
        .within("member", member)
        .within("roles", &roles);
    let mut after: Option<ListPosition> = cursors.open(cursor)?;
    let authorized = async || -> Result<_> {
        let mut view = View::open(exchange, principal).await?;
        let call = state::call(&mut view.tx, id, view.now).await?.ok_or(ServiceError::Hidden)?;
        view.authorize(Action::ViewRoles, Resource::Call(&call.facts))?;
        let subject = state::member(exchange, &mut view.tx, member, view.now).await?;
        role_permits(exchange, &call, member, subject, wanted, |action, resource| view.authorize(action, resource))?;
        Ok((view, call))
    };
    drop(authorized().await?);
    let turn = exchange.long_work.scan(principal).await?;
    let (mut view, call) = authorized().await?;
    view.tx.hold(turn, LONGEST_LOOK).await?;
    let present = call.row.roles.get(member).cloned().unwrap_or_default();
    let mut scan = PreviewScan::default();
    if present == *wanted {
        return scan.finish(&mut view.tx, None).await;
    }
    call.text.check_new_roles(member, &present, wanted)?;
    let gains = wanted.difference(&present).next().is_some();
    if call.row.publication.is_some() && (gains || *member != view.me.id) {
        quotas::check_role_changes(exchange, &mut view.tx, id, &view.me.id).await?;
    }
    refuse_recused(&mut view.tx, &call, &view.me.id, view.now).await?;
    check_last_officer(&call, member, wanted)?;
    let loses_office = present.contains(&CallRole::Officer) && !wanted.contains(&CallRole::Officer);
    if let Some(vault) = call.row.vault.filter(|_| loses_office) {
        let vault = vault_store::find(&mut view.tx, vault).await?.ok_or(ServiceError::Hidden)?;
        require_other_holder(&mut view.tx, &vault, member).await?;
    }
    let then = Arc::new(with_roles(&call, member, wanted, view.now));
    let mut comparison = Comparison::new(exchange, &view.me.id, view.policies.clone(), view.policies.clone(), view.now);
    let filter = Filter { call: Some(id), ..Filter::default() };
    let enough = 'looking: loop {
        let (seen, next) = view.proposals(&filter, PageRequest { sort: Sort::Created, after, limit: MAX_PAGE }).await?;
        if seen.is_empty() && next.is_some() {
            // The list looked at as many as one of its pages may.
            break next;
        }
        for proposal in seen {
            let is_outside = wanted.contains(&CallRole::Officer)
                && proposal.row.label.as_ref().is_some_and(|label| !label.admits(member.partner()));
            if is_alive(&proposal) && (gains && proposal.facts.party_members.contains(member) || is_outside) {
                return Err(unsuitable(member));
            }
            let changed = state::proposal_state(proposal.row.clone(), then.clone(), view.now);
            let audience = PreviewAudience::Insiders(Hearing::of(&view.me, &proposal.facts));
            if scan.visit(&mut comparison, &mut view.tx, (&proposal, &changed), audience).await? {
                break 'looking Some(ListPosition { created_at: proposal.row.created_at, id: proposal.row.id });
            }
        }
        after = next;
        if after.is_none() {
            break None;
        }
    };
    let mut found = scan.finish(&mut view.tx, enough.map(|position| cursors.seal(position))).await?;
    if let Some(vault) = call.row.vault.filter(|_| wanted.contains(&CallRole::Officer)) {
        let lacking = vault_store::recipients_without_key(&mut view.tx, vault, std::slice::from_ref(member)).await?;
        found.needs_call_key = !lacking.is_empty();
    }
    Ok(found)
}

/// The call as it would be if the member had these roles.
fn with_roles(call: &CallState, member: &MemberId, roles: &BTreeSet<CallRole>, now: Timestamp) -> CallState {
    let mut row = call.row.clone();
    if roles.is_empty() {
        row.roles.remove(member);
    } else {
        row.roles.insert(member.clone(), roles.clone());
    }
    state::call_state(row, call.program.clone(), call.wire_text.clone(), call.text.clone(), now)
}

/// The statement that a change in a published call comes with. What is changed in a draft is signed with its publication.
async fn signed_change(
    act: &mut Act<'_>,
    call: &CallState,
    member: &MemberId,
    body: &GrantRoles,
    verified: Option<Verified<RoleStatement>>,
) -> Result<Option<Signed<RoleStatement>>> {
    let refuse = |fault: &str| ServiceError::from(Refusal::Statement { fault: fault.to_owned() });
    let verified = match (verified, &call.row.publication) {
        (Some(verified), Some(_)) => verified,
        (None, None) => return Ok(None),
        // An observer is not shown who has which role, and so cannot sign the next statement about it. Nor need they: nobody passes a key on,
        // nor counts a signature, because of that role.
        (None, Some(_)) if *member == act.me.id && is_observer_alone(call, member) && body.roles.is_empty() => {
            return Ok(None);
        }
        (None, Some(_)) => {
            return Err(refuse("roles of a published call change by a statement of type `entente-role+jws`"));
        }
        (Some(_), None) => return Err(refuse("roles of a draft are signed with its publication, not by themselves")),
    };
    let signed = act.signed(verified).await?;
    // Clients believe nobody else, whatever the guardrails say.
    let present = call.row.roles.get(member).cloned().unwrap_or_default();
    let lays_down = act.me.id == *member && body.roles.is_subset(&present);
    if !call.row.has_role(&act.me.id, CallRole::Officer) && !lays_down {
        return Err(refuse("an officer of the call signs it, or the member who lays down roles of their own"));
    }
    let before = calls::last_role_statement(&mut act.tx, call.row.id).await?;
    let RoleStatement { call: of, number, previous, member: whose, roles } = &signed.statement;
    if *of != call.row.id || whose != member || *roles != body.roles {
        return Err(refuse("it must say this call, this member and these roles"));
    }
    if before.is_none_or(|(last, sha256)| *number != last + 1 || *previous != sha256) {
        return Err(refuse("the roles have changed since it was made; read the changes and sign the next one"));
    }
    Ok(Some(signed))
}

fn is_observer_alone(call: &CallState, member: &MemberId) -> bool {
    call.row.roles.get(member).is_some_and(|roles| roles.len() == 1 && roles.contains(&CallRole::Observer))
}

/// A page of what was signed about the roles since the call was published, in its order; the first is the roll.
pub async fn statements(
    exchange: &Exchange,
    principal: &Principal,
    id: CallId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<StatedRoles>> {
    let mut view = View::open(exchange, principal).await?;
    let call = view.call(id).await?;
    // Guardrails from before the panel read the roll let officers read it all the same.
    if !view.may(Action::ViewRoles, Resource::Call(&call.facts)) {
        view.authorize(Action::ViewRoll, Resource::Call(&call.facts))?;
    }
    let cursors = SealedCursors::of(exchange, "role statements", &principal.member).within("call", &id);
    let mut page = StepwisePage::<u32, _>::new(limit, cursors, cursor)?;
    while page.is_open() {
        let after = page.after().copied().unwrap_or(0);
        let rows = calls::some_role_statements(&mut view.tx, id, after, STEP).await?;
        let item = |stated: Stated| StatedRoles {
            number: stated.number,
            statement: stated.statement,
            stated_by: stated.by,
            stated_at: stated.at.into(),
        };
        page.add(rows.into_iter().map(|stated| (stated.number, item(stated))).collect());
    }
    Ok(page.finish())
}

/// A permit for each role that the member gains, then for each that they lose; none when nothing changes.
fn role_permits(
    exchange: &Exchange,
    call: &CallState,
    member: &MemberId,
    in_force: Option<MemberFacts>,
    wanted: &BTreeSet<CallRole>,
    authorize: impl Fn(Action, Resource<'_>) -> Result<Permit>,
) -> Result<Vec<Permit>> {
    let present = call.row.roles.get(member).cloned().unwrap_or_default();
    let mut permits = Vec::new();
    for role in wanted.difference(&present).copied() {
        let subject = in_force.as_ref().ok_or_else(|| Refusal::NoKeyCard { member: member.clone() })?;
        permits.push(authorize(Action::GrantRole, Resource::CallRole { call: &call.facts, subject, role })?);
    }
    // Who has left, and has no key card in force any more, loses a role all the same.
    let subject = in_force.unwrap_or_else(|| state::bare_member(exchange, member));
    for role in present.difference(wanted).copied() {
        let resource = Resource::CallRole { call: &call.facts, subject: &subject, role };
        permits.push(authorize(Action::RevokeRole, resource)?);
    }
    Ok(permits)
}

/// The members and their roles.
pub async fn list(exchange: &Exchange, principal: &Principal, id: CallId) -> Result<Page<RoleHolder>> {
    let mut view = View::open(exchange, principal).await?;
    let call = view.call(id).await?;
    view.authorize(Action::ViewRoles, Resource::Call(&call.facts))?;
    let items = call.row.roles.into_iter().map(|(member, roles)| RoleHolder { member, roles }).collect();
    Ok(Page { items, next: None })
}
