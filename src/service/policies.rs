//! Policies: proposed by one policy officer, approved by a second, in force from a stated time, and never without both.
//!
//! The host's operator has no operation here: a partner's policies are its own officers' to write, the guardrails those of the
//! host's policy officers. Everybody reads what is in force, since every client evaluates it too.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError, aside,
    cursors::SealedCursors,
    quotas,
    stepwise::{STEP, StepwisePage},
    unit::{Act, Subject, View},
    verified::Verified,
};
use crate::{
    domain::{
        Refusal,
        id::{PartnerCode, Sha256},
        policy::{self as rules, MAX_POLICY_TEXT, PolicyOwner, PolicyStatus, PolicyVersion},
    },
    policy::{Action, GUARDRAILS, Guardrails, PartnerRules, Resource},
    sealing::statement::{PolicyApproval, PolicyStatement},
    storage::{
        StoreError, Turn, Tx, partners,
        policies::{self, ApprovalRow, PolicyRow, approve_action, propose_action, withdraw_action},
    },
    wire::{
        Time,
        entry::payloads::{PolicyApproved, PolicyProposed, PolicyWithdrawn},
        page::Page,
        policy::{self as wire, ApprovePolicy, PolicySignature, ProposePolicy},
    },
};

/// The versions in force of every owner that has policies, the guardrails first, without texts.
pub async fn list(exchange: &Exchange, principal: &Principal) -> Result<Page<wire::PolicyVersion>> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadPolicies, Resource::Exchange)?;
    let mut owners = policies::owners(&mut view.tx).await?;
    owners.retain(|owner| *owner != PolicyOwner::Guardrails);
    owners.insert(0, PolicyOwner::Guardrails);
    let mut items = Vec::with_capacity(owners.len());
    for owner in owners {
        items.extend(present(&mut view, &owner).await?.map(without_text));
    }
    Ok(Page { items, next: None })
}

/// The version of an owner that is in force, with its text.
pub async fn show(exchange: &Exchange, principal: &Principal, owner: &PolicyOwner) -> Result<wire::PolicyVersion> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadPolicies, Resource::Exchange)?;
    present(&mut view, owner).await?.ok_or(ServiceError::Hidden)
}

/// A page of an owner's versions that the caller may know of, lowest first. Without texts.
pub async fn list_versions(
    exchange: &Exchange,
    principal: &Principal,
    owner: &PolicyOwner,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<wire::PolicyVersion>> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadPolicies, Resource::Exchange)?;
    let cursors = SealedCursors::of(exchange, "versions of policies", &principal.member).within("owner", owner);
    let mut page = StepwisePage::<u32, _>::new(limit, cursors, cursor)?;
    let (is_writer, present) = (is_writer(&view, owner), number_in_force(&mut view.tx, owner, view.now).await?);
    while page.is_open() {
        let after = page.after().copied().unwrap_or(0);
        let rows = if is_writer || is_announced_to_all(owner) {
            policies::some(&mut view.tx, owner, is_writer, after, STEP).await?
        } else {
            let in_force = policies::find(&mut view.tx, owner, present).await?;
            in_force.into_iter().filter(|row| row.version.number > after).collect()
        };
        page.add(rows.into_iter().map(|row| (row.version.number, without_text(describe(row, present)))).collect());
    }
    Ok(page.finish())
}

/// One version, with its text.
pub async fn show_version(
    exchange: &Exchange,
    principal: &Principal,
    owner: &PolicyOwner,
    number: u32,
) -> Result<wire::PolicyVersion> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadPolicies, Resource::Exchange)?;
    let present = number_in_force(&mut view.tx, owner, view.now).await?;
    let row = policies::find(&mut view.tx, owner, number).await?.ok_or(ServiceError::Hidden)?;
    if !is_writer(&view, owner) && !is_known_to_others(owner, rules::status(&row.version, present)) {
        return Err(ServiceError::Hidden);
    }
    Ok(describe(row, present))
}

/// Proposes the next version of an owner's policies. A text that a database cannot evaluate is refused here, not at the first list.
pub async fn propose(
    exchange: &Exchange,
    context: &RequestContext,
    owner: &PolicyOwner,
    body: &ProposePolicy,
) -> Result<Answer> {
    let mut view = View::open(exchange, &context.principal).await?;
    let partner = writer(&mut view.tx, exchange, owner).await?;
    let may = view.may(propose_action(owner), Resource::Partner(&partner));
    drop(view);
    // Reading a text takes a while, so it is done before the turn, and for those who may propose one. Who may not has perhaps done so
    // before, which the act knows. A rehearsal keeps none.
    if may && !context.is_rehearsal {
        let turn = exchange.long_work.policy_text(&context.principal).await?;
        check_text(owner, body.text.clone(), Some(turn)).await?;
    }
    let verified = Verified::<PolicyStatement>::of(&body.statement).await?;
    let mut act = Act::begin(exchange, context).await?;
    let partner = writer(&mut act.tx, exchange, owner).await?;
    let permit = act.authorize(propose_action(owner), Resource::Partner(&partner))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    if context.is_rehearsal {
        // What is wrong with the text is said first, and a rehearsal has not read it.
        return Err(StoreError::Rehearsed.into());
    }
    // INVARIANT: no text is kept unread. The office was given between the look and the turn.
    if !may {
        check_text(owner, body.text.clone(), None).await?;
    }
    let signed = act.signed(verified).await?;
    let says = signed.statement;
    if says.owner != *owner || says.text_sha256 != Sha256::of(body.text.as_bytes()) {
        let fault = "it is for another owner or another text".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    let standing = policies::standing(&mut act.tx, owner, act.now).await?;
    let last = policies::last(&mut act.tx, owner).await?;
    rules::check_proposal(&standing, last, says.version, says.follows, says.active_at, act.now)?;
    quotas::check_policies(&mut act, owner).await?;
    let row = PolicyRow {
        owner: owner.clone(),
        text: body.text.clone(),
        statement: body.statement.clone(),
        version: PolicyVersion {
            number: says.version,
            statement: signed.payload_sha256,
            proposed_by: act.me.id.clone(),
            active_at: says.active_at,
            approved_at: None,
            is_withdrawn: false,
        },
        proposed_at: act.now,
        approval: None,
        withdrawn: None,
    };
    policies::propose(&mut act.tx, &permit, &partner, &row).await?;
    let payload = PolicyProposed {
        owner: owner.clone(),
        version: says.version,
        text_sha256: says.text_sha256,
        statement: body.statement.clone(),
    };
    act.log(Subject::default(), payload).await?;
    let location = format!("/v1/policies/{owner}/versions/{}", says.version);
    let answer = Answer::created(location, &describe(row, rules::number_in_force(&standing, act.now)));
    act.finish(answer).await
}

/// Approves a version that another policy officer proposed. It takes effect at the time that was signed for, or now if that
/// has passed.
pub async fn approve(
    exchange: &Exchange,
    context: &RequestContext,
    owner: &PolicyOwner,
    number: u32,
    body: &ApprovePolicy,
) -> Result<Answer> {
    let mut view = View::open(exchange, &context.principal).await?;
    let partner = writer(&mut view.tx, exchange, owner).await?;
    let may = view.may(approve_action(owner), Resource::Partner(&partner));
    let found = if may && !context.is_rehearsal { policies::find(&mut view.tx, owner, number).await? } else { None };
    drop(view);
    // The program may have been replaced by one with another schema since it was proposed. A version's text never changes.
    let is_read = found.is_some();
    if let Some(row) = found {
        let turn = exchange.long_work.policy_text(&context.principal).await?;
        check_text(owner, row.text, Some(turn)).await?;
    }
    let verified = Verified::<PolicyApproval>::of(&body.approval).await?;
    let mut act = Act::begin(exchange, context).await?;
    let partner = writer(&mut act.tx, exchange, owner).await?;
    let permit = act.authorize(approve_action(owner), Resource::Partner(&partner))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let row = policies::find(&mut act.tx, owner, number).await?.ok_or(ServiceError::Hidden)?;
    // As in `propose`: what changed between the look and the turn.
    if !is_read && !context.is_rehearsal {
        check_text(owner, row.text.clone(), None).await?;
    }
    rules::check_approval(owner, &row.version, &act.me.id, act.now)?;
    let says = act.signed(verified).await?.statement;
    if says.owner != *owner || says.version != number || says.policy_sha256 != row.version.statement {
        let fault = "it approves another version than this one".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    let preview_sha256 = body.preview.as_ref().map(|preview| Sha256::of(preview.as_bytes()));
    if preview_sha256 != says.preview_sha256
        || body.preview.as_ref().is_some_and(|preview| preview.len() > MAX_POLICY_TEXT)
    {
        let fault = "the preview that came with it is not the one it names, or longer than 64 KiB".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    let now = act.now;
    let (by, preview) = (act.me.id.clone(), body.preview.clone());
    let approval = ApprovalRow { statement: body.approval.clone(), by, at: now, preview };
    policies::approve(&mut act.tx, &permit, &partner, owner, number, &approval).await?;
    let present = number_in_force(&mut act.tx, owner, now).await?;
    let row = policies::find(&mut act.tx, owner, number).await?.ok_or(ServiceError::Hidden)?;
    // Key cards can have changed since it was proposed. What would not count takes the place of nothing that does.
    if let Err(fault) = super::rules::verify(&mut act.tx, &exchange.host, &row).await? {
        return Err(Refusal::PolicyInvalid { fault: format!("version {number} would not count: {fault}") }.into());
    }
    let payload = PolicyApproved {
        owner: owner.clone(),
        version: number,
        text_sha256: Sha256::of(row.text.as_bytes()),
        effective_at: row.version.effective_at().map(Time),
        statement: row.statement.clone(),
        approval: body.approval.clone(),
    };
    act.log(Subject::default(), payload).await?;
    let answer = Answer::json(200, &describe(row, present));
    act.finish(answer).await
}

/// Takes a version back that has not taken effect. What is in force stays so; a later version replaces it.
pub async fn withdraw(
    exchange: &Exchange,
    context: &RequestContext,
    owner: &PolicyOwner,
    number: u32,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let partner = writer(&mut act.tx, exchange, owner).await?;
    let permit = act.authorize(withdraw_action(owner), Resource::Partner(&partner))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let row = policies::find(&mut act.tx, owner, number).await?.ok_or(ServiceError::Hidden)?;
    rules::check_withdrawal(&row.version, act.now)?;
    let now = act.now;
    policies::withdraw(&mut act.tx, &permit, &partner, owner, number, now).await?;
    act.log(Subject::default(), PolicyWithdrawn { owner: owner.clone(), version: number }).await?;
    let present = number_in_force(&mut act.tx, owner, now).await?;
    let row = policies::find(&mut act.tx, owner, number).await?.ok_or(ServiceError::Hidden)?;
    let answer = Answer::json(200, &describe(row, present));
    act.finish(answer).await
}

/// The partner whose policy officers write these policies, if it is enrolled.
pub(super) async fn writer(tx: &mut Tx, exchange: &Exchange, owner: &PolicyOwner) -> Result<PartnerCode> {
    let partner = owner.written_by(&exchange.host);
    let row = partners::find(tx, partner).await?.ok_or(ServiceError::Hidden)?;
    Ok(row.partner)
}

/// Reads the text as the engine will, off the threads that serve others. The turn is held until it is read, also when the caller goes away.
async fn check_text(owner: &PolicyOwner, text: String, turn: Option<Turn>) -> Result<()> {
    let owner = owner.clone();
    let read = move || {
        let _turn = turn;
        match &owner {
            PolicyOwner::Guardrails => Guardrails::parse(&owner.to_string(), &text).map(drop),
            PolicyOwner::Partner(code) => PartnerRules::parse(code.as_str(), code, &text).map(drop),
        }
    };
    aside(read).await?.map_err(|error| Refusal::PolicyInvalid { fault: error.to_string() }.into())
}

/// Whether the caller is of those who write an owner's policies, and so knows of all versions.
fn is_writer(view: &View<'_>, owner: &PolicyOwner) -> bool {
    view.may(Action::ViewPolicyDrafts, Resource::Partner(owner.written_by(&view.exchange.host)))
}

/// Whether everybody hears of a version before it is in force.
fn is_announced_to_all(owner: &PolicyOwner) -> bool {
    *owner == PolicyOwner::Guardrails
}

/// Whether all members may know of an owner's version: of what is in force, and of what was announced to all.
fn is_known_to_others(owner: &PolicyOwner, status: PolicyStatus) -> bool {
    match status {
        PolicyStatus::InForce => true,
        PolicyStatus::Scheduled | PolicyStatus::Superseded => is_announced_to_all(owner),
        PolicyStatus::Proposed | PolicyStatus::Withdrawn => false,
    }
}

/// The number of an owner's version in force; 0 where none is.
async fn number_in_force(tx: &mut Tx, owner: &PolicyOwner, now: jiff::Timestamp) -> Result<u32> {
    Ok(rules::number_in_force(&policies::standing(tx, owner, now).await?, now))
}

async fn present(view: &mut View<'_>, owner: &PolicyOwner) -> Result<Option<wire::PolicyVersion>> {
    let present = number_in_force(&mut view.tx, owner, view.now).await?;
    match policies::find(&mut view.tx, owner, present).await? {
        Some(row) => Ok(Some(describe(row, present))),
        None => Ok((*owner == PolicyOwner::Guardrails).then(built_in)),
    }
}

/// The guardrails that come with the program, while no others were put in their place.
fn built_in() -> wire::PolicyVersion {
    wire::PolicyVersion {
        owner: PolicyOwner::Guardrails,
        version: 0,
        status: PolicyStatus::InForce,
        text_sha256: Sha256::of(GUARDRAILS.as_bytes()),
        text: Some(GUARDRAILS.to_owned()),
        active_at: None,
        proposed: None,
        approved: None,
        preview: None,
        withdrawn_by: None,
        withdrawn_at: None,
    }
}

fn without_text(version: wire::PolicyVersion) -> wire::PolicyVersion {
    wire::PolicyVersion { text: None, ..version }
}

/// A version while the one of number `present` is in force.
fn describe(row: PolicyRow, present: u32) -> wire::PolicyVersion {
    let status = rules::status(&row.version, present);
    let (withdrawn_by, withdrawn_at) = row.withdrawn.unzip();
    wire::PolicyVersion {
        owner: row.owner,
        version: row.version.number,
        status,
        text_sha256: Sha256::of(row.text.as_bytes()),
        text: Some(row.text),
        active_at: Some(row.version.active_at.into()),
        proposed: Some(PolicySignature {
            member: row.version.proposed_by,
            statement: row.statement,
            signed_at: row.proposed_at.into(),
        }),
        preview: row.approval.as_ref().and_then(|approval| approval.preview.clone()),
        approved: row.approval.map(|approval| PolicySignature {
            member: approval.by,
            statement: approval.statement,
            signed_at: approval.at.into(),
        }),
        withdrawn_by,
        withdrawn_at: withdrawn_at.map(Into::into),
    }
}
