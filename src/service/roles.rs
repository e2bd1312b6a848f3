//! Who bears which role in a call, and what goes with a role that is taken away.
//!
//! Each role that a member gains or loses is asked of policy by itself: a nation has more say about some than about others.

use super::{
    Answer, Asked, Exchange, Principal, Result, ServiceError,
    calls::refuse_recused,
    state::{self, CallState},
    unit::{Act, Subject, View},
    vaults,
};
use crate::{
    domain::{
        Refusal,
        entry::EntryKind,
        id::{CallId, MemberId},
        member::CallRole,
    },
    policy::{Action, Permit, Resource},
    sealing::statement::{RoleStatement, Signed},
    storage::{calls, labels, proposals, stated::NewStated},
    wire::{
        call::{GrantRoles, RoleHolder, StatedRoles},
        page::Page,
    },
};
use serde_json::json;
use std::collections::BTreeSet;

/// Replaces a member's roles in a call. Taking the officer's role away removes the member's key to the call vault.
pub async fn set(
    exchange: &Exchange,
    asked: &Asked,
    id: CallId,
    member: &MemberId,
    body: &GrantRoles,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, asked).await?;
    let call = act.call(id).await?;
    let present = call.row.roles.get(member).cloned().unwrap_or_default();
    let gains = body.roles.difference(&present).next().is_some();
    let permits = role_permits(&mut act, &call, member, &present, &body.roles).await?;
    if let Some(answer) = act.replayed().await? {
        return Ok(answer);
    }
    let answer = Answer::json(200, &RoleHolder { member: member.clone(), roles: body.roles.clone() });
    let Some(permit) = permits.last() else { return act.finish(answer).await };
    let standing = proposals::standing_under(&mut act.tx, id, member, &act.me.id).await?;
    refuse_recused(&act, standing)?;
    let gains_office = !present.contains(&CallRole::Officer) && body.roles.contains(&CallRole::Officer);
    // An officer holds the key to the call's vault, and with it to every proposal under the call.
    let is_outside = gains_office && labels::leave_out(&mut act.tx, id, member.partner()).await?;
    if gains && standing.is_party || is_outside {
        // The reason stays unsaid: it would tell of a proposal that the officer may not know of.
        return Err(Refusal::Unsuitable { member: member.clone(), fault: "cannot take this part".into() }.into());
    }
    let loses_office = present.contains(&CallRole::Officer) && !body.roles.contains(&CallRole::Officer);
    if loses_office && call.facts.officers.len() == 1 {
        let fault = "is the last officer of the call; grant the role to somebody else first".to_owned();
        return Err(Refusal::Unsuitable { member: member.clone(), fault }.into());
    }
    let change = signed_change(&mut act, &call, member, body).await?;
    let stated = change.as_ref().map(|signed| NewStated {
        number: signed.statement.number,
        statement: &signed.jws,
        sha256: signed.payload_sha256,
    });
    calls::set_roles(&mut act.tx, &permits, id, member, &body.roles, stated, act.now).await?;
    let kind = if gains { EntryKind::RoleGranted } else { EntryKind::RoleRevoked };
    let statement = change.as_ref().map(|signed| &signed.jws);
    let payload = json!({ "member": member, "roles": body.roles, "statement": statement });
    act.log(kind, Subject::call(&call), &payload).await?;
    if let Some(vault) = call.row.vault.filter(|_| loses_office) {
        vaults::remove_keys(&mut act, permit, Subject::call(&call), vault, member).await?;
    }
    if !body.roles.is_superset(&present) {
        vaults::remove_lost_keys(&mut act, permit, id, member).await?;
    }
    act.finish(answer).await
}

/// The statement that a change in a published call comes with. What is changed in a draft is signed with its publication.
async fn signed_change(
    act: &mut Act<'_>,
    call: &CallState,
    member: &MemberId,
    body: &GrantRoles,
) -> Result<Option<Signed<RoleStatement>>> {
    let refuse = |fault: &str| ServiceError::from(Refusal::Statement { fault: fault.to_owned() });
    let statement = match (&body.statement, &call.row.publication) {
        (Some(statement), Some(_)) => statement,
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            return Err(refuse("roles of a published call change by a statement of type `entente-role+jws`"));
        }
        (Some(_), None) => return Err(refuse("roles of a draft are signed with its publication, not by themselves")),
    };
    let signed = act.signed::<RoleStatement>(statement).await?;
    let before = calls::role_statements(&mut act.tx, call.row.id).await?;
    let RoleStatement { call: of, number, previous, member: whose, roles } = &signed.statement;
    if *of != call.row.id || whose != member || *roles != body.roles {
        return Err(refuse("it must say this call, this member and these roles"));
    }
    if *number as usize != before.len() + 1 || Some(*previous) != before.last().map(|last| last.sha256) {
        return Err(refuse("the roles have changed since it was made; read the changes and sign the next one"));
    }
    Ok(Some(signed))
}

/// What was signed about the roles since the call was published, in its order; the first is the roll.
pub async fn statements(exchange: &Exchange, principal: &Principal, id: CallId) -> Result<Page<StatedRoles>> {
    let mut view = View::open(exchange, principal).await?;
    let call = view.call(id).await?;
    view.authorize(Action::ViewRoles, Resource::Call(&call.facts))?;
    let items = calls::role_statements(&mut view.tx, id).await?.into_iter().map(|stated| StatedRoles {
        number: stated.number,
        statement: stated.statement,
        stated_by: stated.by,
        stated_at: stated.at.into(),
    });
    Ok(Page { items: items.collect(), next: None })
}

/// A permit for each role that the member gains, then for each that they lose; none when nothing changes.
async fn role_permits(
    act: &mut Act<'_>,
    call: &CallState,
    member: &MemberId,
    present: &BTreeSet<CallRole>,
    wanted: &BTreeSet<CallRole>,
) -> Result<Vec<Permit>> {
    // Whether the caller may know of the call comes before what is known of the member.
    act.authorize(Action::ViewRoles, Resource::Call(&call.facts))?;
    let in_force = state::member(act.exchange, &mut act.tx, member, act.now).await?;
    let mut permits = Vec::new();
    for role in wanted.difference(present).copied() {
        let subject = in_force.as_ref().ok_or_else(|| Refusal::NoKeyCard { member: member.clone() })?;
        permits.push(act.authorize(Action::GrantRole, Resource::CallRole { call: &call.facts, subject, role })?);
    }
    // Who has left, and has no key card in force any more, loses a role all the same.
    let subject = in_force.unwrap_or_else(|| state::bare_member(act.exchange, member));
    for role in present.difference(wanted).copied() {
        let resource = Resource::CallRole { call: &call.facts, subject: &subject, role };
        permits.push(act.authorize(Action::RevokeRole, resource)?);
    }
    Ok(permits)
}

/// Who bears which role.
pub async fn list(exchange: &Exchange, principal: &Principal, id: CallId) -> Result<Page<RoleHolder>> {
    let mut view = View::open(exchange, principal).await?;
    let call = view.call(id).await?;
    view.authorize(Action::ViewRoles, Resource::Call(&call.facts))?;
    let items = call.row.roles.into_iter().map(|(member, roles)| RoleHolder { member, roles }).collect();
    Ok(Page { items, next: None })
}
