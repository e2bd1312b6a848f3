//! Calls: draft, publish, amend, cancel and delete.

use super::{
    Answer, Exchange, LONGEST_LOOK, Principal, RequestContext, Result, ServiceError,
    cursors::{EXAMINED, SealedCursors},
    foreseen::{LOOKS, never_the_same},
    parties, quotas,
    state::{self, CallState},
    unit::{Act, Reads, Rehearsal, Subject, View},
    vaults,
    verified::Verified,
    voided::{self, CountedVoids},
    wraps::Wraps,
};
use crate::{
    domain::{
        Refusal,
        call::{self as rules, AmendmentEffect, Phase},
        decision::is_reason,
        id::{CallId, MemberId, PartnerCode, ProgramId, Sha256},
        proposal::Status,
        reference::CallCode,
        text::counted,
    },
    policy::{Action, Engine, Permit, Resource, Standing, facts::MemberFacts},
    reading,
    sealing::statement::{CallPublication, RollStatement, Signed, VaultKind},
    storage::{
        calls::{self, NewText},
        members,
        stated::NewStated,
        vaults as vault_store,
    },
    wire::{
        call::{Amended, Call, CallText, DraftCall, EditCall, Progress, PublishCall},
        entry::payloads::{CallAmended, CallPublished, DraftText, Payload},
        page::{MAX_PAGE, Page, PageRoom},
        proposal::Filter,
    },
};
use jiff::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Drafts a call; its author becomes its first officer.
pub async fn draft(exchange: &Exchange, context: &RequestContext, body: &DraftCall) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let program = state::program(&mut act.tx, body.program).await?.ok_or(ServiceError::Hidden)?;
    let permit = act.authorize(Action::CreateCall, Resource::Program(&program.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    quotas::check_drafts(&mut act).await?;
    let text = body.text.to_domain()?;
    check_text(exchange, &text, &program.row.partners)?;
    check_deadline(&text, act.now)?;
    quotas::check_slot_sizes(exchange, &text)?;
    check_code(&mut act, body.program, None, &body.text.code).await?;
    let id = CallId::new(&*exchange.clock, &*exchange.rng);
    let (json, sha256) = (body.text.canonical(), body.text.digest());
    calls::draft(
        &mut act.tx,
        &permit,
        id,
        body.program,
        NewText { code: &body.text.code, json: &json, sha256 },
        act.now,
    )
    .await?;
    let subject = Subject { program: Some(body.program), call: Some(id), proposal: None };
    act.log(subject, Payload::CallDrafted(DraftText { text_sha256: sha256 })).await?;
    let call = act.call(id).await?;
    let answer = Answer::created(format!("/v1/calls/{id}"), &answer(&call, &act.me.id)).with_etag(etag(
        &call,
        &act.policies,
        &act.me,
    ));
    act.finish(answer).await
}

/// Replaces the text of a draft.
pub async fn edit(exchange: &Exchange, context: &RequestContext, id: CallId, body: &EditCall) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(id).await?;
    let permit = act.authorize(Action::EditCall, Resource::Call(&call.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    act.require_match(&etag(&call, &act.policies, &act.me))?;
    need(&call, &[Phase::Draft], "a draft; a published call is amended")?;
    let text = body.text.to_domain()?;
    check_text(exchange, &text, &call.program.row.partners)?;
    check_deadline(&text, act.now)?;
    quotas::check_slot_sizes(exchange, &text)?;
    check_code(&mut act, call.row.program, Some(id), &body.text.code).await?;
    let (json, sha256) = (body.text.canonical(), body.text.digest());
    calls::edit(&mut act.tx, &permit, id, NewText { code: &body.text.code, json: &json, sha256 }).await?;
    act.log(Subject::call(&call), Payload::CallEdited(DraftText { text_sha256: sha256 })).await?;
    finish(act, id).await
}

/// Publishes a draft with the vault that proposals will be wrapped to.
pub async fn publish(exchange: &Exchange, context: &RequestContext, id: CallId, body: &PublishCall) -> Result<Answer> {
    let wraps = Wraps::of(&body.keys).await?;
    let publication = Verified::of(&body.publication).await?;
    let made_vault = Verified::of_some(body.vault.as_deref()).await?;
    let roll = Verified::of_some(body.roll.as_deref()).await?;
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(id).await?;
    let permit = act.authorize(Action::PublishCall, Resource::Call(&call.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    act.require_match(&etag(&call, &act.policies, &act.me))?;
    need(&call, &[Phase::Draft], "a draft; a published call is amended")?;
    let (publication, text) = verified_publication(&mut act, &call, 1, publication).await?;
    if publication.text_sha256 != call.row.text_sha256 {
        return Err(statement("the publication says another text than the draft; edit the draft first"));
    }
    check_deadline(&text, act.now)?;
    // Others may have published under it since the draft.
    check_code(&mut act, call.row.program, Some(id), &text.code).await?;
    let Some(vault) = made_vault else { return Err(statement("the call vault's statement is missing")) };
    let vault = vaults::verified(&mut act, vault, VaultKind::Call, id, None).await?;
    if vault.id != publication.vault || vault.recipient != publication.recipient {
        return Err(statement("the publication names another vault than the one sent with it"));
    }
    let roll = verified_roll(&mut act, &call, roll).await?;
    // They were given under the draft's text of then.
    call.row.roles.iter().try_for_each(|(member, roles)| call.text.check_roles(member, roles))?;
    let new_text = NewText { code: &call.text.code, json: &call.row.text_json, sha256: call.row.text_sha256 };
    calls::publish(&mut act.tx, &permit, id, 1, 1, new_text, &body.publication, Some(vault.id), None, act.now).await?;
    let stated = NewStated { number: 1, statement: &roll.jws, sha256: roll.payload_sha256 };
    calls::open_roll(&mut act.tx, &permit, id, stated, act.now).await?;
    vaults::create(&mut act, &permit, Subject::call(&call), &vault).await?;
    wraps.add_to_call(&mut act, &permit, &call, &vault).await?;
    let officers = call.facts.officers().clone();
    let held = vault_store::member_holders(&mut act.tx, vault.id).await?;
    if let Some(member) = officers.into_iter().find(|officer| !held.contains_key(officer)) {
        let fault = format!("officer `{member}` would hold no key to the call vault");
        return Err(Refusal::WrapRefused { fault }.into());
    }
    let payload = CallPublished {
        version: 1,
        text_sha256: call.row.text_sha256,
        vault: vault.id,
        recipient: vault.recipient,
        publication: body.publication.clone(),
    };
    act.log(Subject::call(&call), payload).await?;
    finish(act, id).await
}

/// Amends a published call. What that does to proposals already handed in follows from what changed. A dry run says it, and takes no turn
/// at writing.
pub async fn amend(exchange: &Exchange, context: &RequestContext, id: CallId, body: &PublishCall) -> Result<Answer> {
    let verified = Verified::of(&body.publication).await?;
    for look in 1..=LOOKS {
        if let Some(answer) = amend_as_counted(exchange, context, id, body, &verified, look == LOOKS).await? {
            return Ok(answer);
        }
    }
    Err(never_the_same())
}

/// The same, unless others changed after the count what it follows from.
async fn amend_as_counted(
    exchange: &Exchange,
    context: &RequestContext,
    id: CallId,
    body: &PublishCall,
    verified: &Verified<CallPublication>,
    is_last: bool,
) -> Result<Option<Answer>> {
    let mut look = Rehearsal::rehearse(exchange, context).await?;
    let (mut call, _) = call_to_amend(&mut look, id).await?;
    if let Some(answer) = look.replayed()? {
        return Ok(Some(answer));
    }
    let mut effect = examined(&mut look, &call, body, verified).await?.effect;
    let mut counted = None;
    if effect != AmendmentEffect::Keeps {
        drop(look);
        let (queues, principal) = (&exchange.long_work, &context.principal);
        let turn =
            if body.dry_run { queues.count(principal).await? } else { queues.look_before_act(principal).await? };
        look = Rehearsal::rehearse(exchange, context).await?;
        look.tx.hold(turn, LONGEST_LOOK).await?;
        call = call_to_amend(&mut look, id).await?.0;
        if let Some(answer) = look.replayed()? {
            return Ok(Some(answer));
        }
        effect = examined(&mut look, &call, body, verified).await?.effect;
        counted = Some(CountedVoids::of(&mut look, &call, effect).await?);
    }
    if body.dry_run {
        let voided = counted.map_or(0, |counted| counted.voided);
        let amended = Amended { effect, call: answer(&call, &look.me.id), voided };
        return Ok(Some(Answer::json(200, &amended)));
    }
    drop(look);
    let mut act = Act::begin(exchange, context).await?;
    // Everything again: others acted meanwhile.
    let (call, permit) = call_to_amend(&mut act, id).await?;
    if let Some(answer) = act.replayed()? {
        return Ok(Some(answer));
    }
    let Amendment { version, publication, reason, effect } = examined(&mut act, &call, body, verified).await?;
    let voided = voided::in_turn(&mut act, &call, effect, counted.as_ref(), is_last).await?;
    let Some(voided) = voided else { return Ok(None) };
    if body.voids.unwrap_or(0) != voided {
        return Err(Refusal::VoidsDiffer { voids: voided, given: body.voids }.into());
    }
    let baseline = if effect == AmendmentEffect::Resubmit { version } else { call.row.baseline };
    let wire_text: CallText = reading::typed_as_signed(publication.text.clone())
        .map_err(|error| ServiceError::Malformed(format!("the text of the call: {error}")))?;
    let json = wire_text.canonical();
    let new_text = NewText { code: &wire_text.code, json: &json, sha256: publication.text_sha256 };
    let signed = &body.publication;
    calls::publish(&mut act.tx, &permit, id, version, baseline, new_text, signed, None, Some(reason), act.now).await?;
    let payload = CallAmended {
        version,
        text_sha256: publication.text_sha256,
        effect,
        voids: voided,
        reason: reason.to_owned(),
        publication: body.publication.clone(),
    };
    act.log(Subject::call(&call), payload).await?;
    let call = act.call(id).await?;
    parties::follow_newest_employers(&mut act, &permit, &call, None).await?;
    let amended = Amended { effect, call: answer(&call, &act.me.id), voided };
    let answer = Answer::json(200, &amended).with_etag(etag(&call, &act.policies, &act.me));
    act.finish(answer).await.map(Some)
}

/// A planned amendment.
struct Amendment<'b> {
    version: u32,
    publication: CallPublication,
    reason: &'b str,
    effect: AmendmentEffect,
}

async fn call_to_amend<T: Reads>(act: &mut Act<'_, T>, id: CallId) -> Result<(CallState, Permit)> {
    let call = act.call(id).await?;
    let permit = act.authorize(Action::AmendCall, Resource::Call(&call.facts))?;
    Ok((call, permit))
}

/// Plans the amendment, or refuses it.
async fn examined<'b, T: Reads>(
    act: &mut Act<'_, T>,
    call: &CallState,
    body: &'b PublishCall,
    verified: &Verified<CallPublication>,
) -> Result<Amendment<'b>> {
    act.require_match(&etag(call, &act.policies, &act.me))?;
    need(call, &[Phase::Announced, Phase::Open], "a published call before its deadline")?;
    let reason = required_reason(body.reason.as_deref())?;
    // The first version is the call's publication.
    quotas::check_amendments(act.exchange, call.row.version.saturating_sub(1))?;
    let version = call.row.version + 1;
    let (publication, text) = verified_publication(act, call, version, verified.clone()).await?;
    let vault = call.row.vault.ok_or(ServiceError::Hidden)?;
    let present = vault_store::find(&mut act.tx, vault).await?;
    if present.is_none_or(|present| publication.vault != present.id || publication.recipient != present.recipient) {
        return Err(statement("an amendment keeps the call's vault and its recipient"));
    }
    if text.slots != call.text.slots {
        quotas::check_slot_sizes(act.exchange, &text)?;
    }
    call.text.check_amendment(&text, call.phase, act.now)?;
    check_parties(act, call, &text).await?;
    let effect = call.text.amendment_effect(&text);
    if effect == AmendmentEffect::Resubmit && call.phase == Phase::Open {
        text.schedule.check_time_to_sign(&call.row.extensions, act.now)?;
    }
    Ok(Amendment { version, publication, reason, effect })
}

/// Deletes a call that was never published: nobody but its officers knew of it. Each keeps the entries of what they did to it themselves.
pub async fn delete(exchange: &Exchange, context: &RequestContext, id: CallId) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(id).await?;
    let permit = act.authorize(Action::CancelCall, Resource::Call(&call.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    act.require_match(&etag(&call, &act.policies, &act.me))?;
    if !call.facts.draft {
        let needed = "a call that was never published; a published one is cancelled";
        return Err(Refusal::WrongPhase { phase: call.phase, needed }.into());
    }
    calls::delete_draft(&mut act.tx, &permit, id).await?;
    let payload = DraftText { text_sha256: call.row.text_sha256 };
    act.log(Subject::call(&call), Payload::CallDeleted(payload)).await?;
    act.finish(Answer::done()).await
}

/// A page of the calls that the caller may know of. It can be short, or empty, and go on: so many are examined.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    program: Option<ProgramId>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Call>> {
    let mut cursors = SealedCursors::of(exchange, "calls", &principal.member);
    if let Some(program) = program {
        cursors = cursors.within("program", &program);
    }
    let mut after: Option<CallId> = cursors.open(cursor)?;
    let mut view = View::open(exchange, principal).await?;
    let (mut items, mut room): (Vec<Call>, _) = (Vec::new(), PageRoom::new(limit));
    for _ in 0..EXAMINED / MAX_PAGE as usize {
        let ids = calls::ids(&mut view.tx, program, after, MAX_PAGE).await?;
        let is_last = ids.len() < MAX_PAGE as usize;
        for id in ids {
            let before = after.replace(id);
            let Some(call) = state::call(&mut view.tx, id, view.now).await? else { continue };
            if !view.sees(Resource::Call(&call.facts)) {
                continue;
            }
            let item = answer(&call, &view.me.id);
            if !room.takes(&item) {
                return Ok(Page { next: before.map(|before| cursors.seal(before)), items });
            }
            items.push(item);
        }
        if is_last {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: after.map(|after| cursors.seal(after)) })
}

/// One call and its `ETag`.
pub async fn show(exchange: &Exchange, principal: &Principal, id: CallId) -> Result<(Call, String)> {
    let mut view = View::open(exchange, principal).await?;
    let call = view.call(id).await?;
    Ok((answer(&call, &view.me.id), etag(&call, &view.policies, &view.me)))
}

/// How a call stands, counted over what the caller may see.
pub async fn progress(exchange: &Exchange, principal: &Principal, id: CallId) -> Result<Progress> {
    let authorized = async || -> Result<_> {
        let mut view = View::open(exchange, principal).await?;
        let call = view.call(id).await?;
        if !view.may(Action::ObserveCall, Resource::Call(&call.facts)) {
            view.authorize(Action::ViewProgress, Resource::Call(&call.facts))?;
        }
        Ok((view, call))
    };
    drop(authorized().await?);
    let turn = exchange.long_work.count(principal).await?;
    let (mut view, call) = authorized().await?;
    view.tx.hold(turn, LONGEST_LOOK).await?;
    let mut progress =
        Progress { phase: call.phase, proposals: BTreeMap::new(), assignments: 0, reviews: 0, reopened: 0, decided: 0 };
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    for status in Status::ALL {
        let filter = Filter { call: Some(id), status: Some(*status), ..Filter::default() };
        let totals = view.proposal_totals(&filter).await?;
        if totals.proposals > 0 {
            progress.proposals.insert(status.to_string(), small(totals.proposals));
        }
        progress.assignments += small(totals.assignments);
        progress.reviews += small(totals.reviews);
        progress.reopened += small(totals.reopened);
        progress.decided += small(totals.decided);
    }
    Ok(progress)
}

/// The call as it travels.
pub(super) fn answer(call: &CallState, me: &MemberId) -> Call {
    let schedule = &call.text.schedule;
    Call {
        id: call.row.id,
        program: call.row.program,
        lead: call.program.row.lead.clone(),
        phase: call.phase,
        version: call.row.version,
        text: call.wire_text.clone(),
        text_sha256: call.row.text_sha256,
        publication: call.row.publication.clone(),
        vault: call.row.vault,
        deadline_at: schedule.deadline_for(&call.row.extensions, None).into(),
        my_deadline_at: schedule.partner_deadline(&call.row.extensions, me.partner()).into(),
        sealed_until: schedule.sealed_until(&call.row.extensions).into(),
        reviews_due_at: call.reviews_due_at().into(),
        my_roles: call.row.roles.get(me).cloned().unwrap_or_default(),
    }
}

/// Names the state that this caller is shown, and moves with that alone: members' roles are a part of it for callers who may read them.
pub(super) fn etag(call: &CallState, policies: &Engine, me: &MemberFacts) -> String {
    let may = policies.authorize(me, Action::ViewRoles, Resource::Call(&call.facts)).standing() == Standing::Permitted;
    let shown = json!({ "call": answer(call, &me.id), "roles": may.then_some(&call.row.roles) });
    format!("\"{}\"", Sha256::of(shown.to_string().as_bytes()))
}

pub(super) fn need(call: &CallState, phases: &[Phase], needed: &'static str) -> Result<()> {
    if phases.contains(&call.phase) { Ok(()) } else { Err(Refusal::WrongPhase { phase: call.phase, needed }.into()) }
}

pub(super) fn required_reason(reason: Option<&str>) -> Result<&str> {
    reason
        .map(str::trim)
        .filter(|reason| is_reason(reason))
        .ok_or_else(|| ServiceError::Malformed("a reason of 1 to 1000 characters is needed".into()))
}

fn statement(fault: &str) -> ServiceError {
    Refusal::Statement { fault: fault.to_owned() }.into()
}

async fn verified_publication<T: Reads>(
    act: &mut Act<'_, T>,
    call: &CallState,
    version: u32,
    verified: Verified<CallPublication>,
) -> Result<(CallPublication, rules::CallText)> {
    let publication = act.signed(verified).await?.statement;
    if publication.call != call.row.id || publication.version != version {
        return Err(statement("the publication is for another call or version"));
    }
    // Clients believe nobody else, whatever the guardrails say.
    let lead = &call.program.row.lead;
    if publication.host != *lead || act.me.id.partner() != lead {
        return Err(statement(&format!(
            "the publication is signed by an officer of `{lead}`, which leads, and names it"
        )));
    }
    let text: CallText = reading::typed_as_signed(publication.text.clone())
        .map_err(|fault| ServiceError::Malformed(format!("the text of the call: {fault}")))?;
    if text.digest() != publication.text_sha256 {
        let kept = serde_json::to_value(&text).ok();
        let fault = kept.and_then(|kept| reading::difference(&publication.text, &kept));
        let fault = fault.unwrap_or_else(|| "it has members or forms that this exchange would not keep".into());
        return Err(statement(&format!("the text of the call is not in canonical form: {fault}")));
    }
    let text = text.to_domain()?;
    check_text(act.exchange, &text, &call.program.row.partners)?;
    Ok((publication, text))
}

/// Checks that a text is consistent and within the limits of this exchange.
fn check_text(exchange: &Exchange, text: &rules::CallText, participants: &BTreeSet<PartnerCode>) -> Result<()> {
    text.validate(participants)?;
    quotas::check_slots(exchange, text)
}

/// Checks that somebody can still hand something in: dates of an earlier year are found when the call is drafted.
fn check_deadline(text: &rules::CallText, now: Timestamp) -> Result<()> {
    let deadline_at = text.schedule.deadline_at;
    if deadline_at > now {
        return Ok(());
    }
    Err(Refusal::CallText { fault: format!("the deadline, {deadline_at}, has already passed") }.into())
}

/// Checks that no other call of the program was published under the code. Everybody whom the program concerns sees those calls, so the
/// refusal tells its officers nothing new.
async fn check_code(act: &mut Act<'_>, program: ProgramId, besides: Option<CallId>, code: &CallCode) -> Result<()> {
    if calls::is_code_taken(&mut act.tx, program, code, besides).await? {
        let fault = format!("the code `{code}` is that of another call of the program; choose another one");
        return Err(Refusal::CallText { fault }.into());
    }
    Ok(())
}

/// Checks that an amendment does not close the call by requiring impossible parties: each needs a member who may join it.
async fn check_parties<T: Reads>(act: &mut Act<'_, T>, call: &CallState, next: &rules::CallText) -> Result<()> {
    if next.parties == call.text.parties && next.eligible == call.text.eligible {
        return Ok(());
    }
    let mut able = BTreeSet::new();
    for partner in &next.eligible {
        if members::is_one_free(&mut act.tx, partner, call.row.id, act.now).await? {
            able.insert(partner.clone());
        }
    }
    let (fewest, present) = (next.fewest_parties(), able.len());
    let fault = match next.parties.required.difference(&able).next() {
        Some(partner) => format!(
            "a party of `{partner}` is required, and `{partner}` has no member with a key card in force who is neither officer, reviewer nor decider"
        ),
        None if present < fewest => format!(
            "the call asks for {}, and only {present} of the eligible partners can be one: each needs a member with a key card \
             in force who is neither officer, reviewer nor decider",
            counted(fewest, "party", "parties")
        ),
        None => return Ok(()),
    };
    Err(Refusal::CallText { fault }.into())
}

/// The statement of the members' roles, the first link of what clients verify of roles.
async fn verified_roll(
    act: &mut Act<'_>,
    call: &CallState,
    verified: Option<Verified<RollStatement>>,
) -> Result<Signed<RollStatement>> {
    let verified = verified.ok_or_else(|| statement("the roll of those who have a role is missing"))?;
    let signed = act.signed(verified).await?;
    if signed.statement.call != call.row.id || signed.statement.partners != call.program.row.partners {
        return Err(statement("the roll is of another call, or names other partners than its program has"));
    }
    if signed.statement.roles != call.row.roles {
        return Err(statement("the roles have changed since the roll was made; read them and sign again"));
    }
    Ok(signed)
}

pub(super) async fn finish(mut act: Act<'_>, id: CallId) -> Result<Answer> {
    let call = act.call(id).await?;
    let answer = Answer::json(200, &answer(&call, &act.me.id)).with_etag(etag(&call, &act.policies, &act.me));
    act.finish(answer).await
}
