//! Extensions: a later deadline for everyone, one partner or one proposal, a later date for reviews; and taking either back.
//!
//! An extension takes nothing from anybody, so an officer makes it alone. Taking it back leaves those whom it reaches at least 72 hours:
//! nobody is late because of it, whatever they did or planned by it, and no phase comes back or is left out.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError,
    calls::{answer, etag, finish, need, required_reason},
    cursors::{EXAMINED, SealedCursors},
    parties, quotas,
    state::{self, CallState},
    unit::{Act, Reads, Rehearsal, Subject, View},
};
use crate::{
    domain::{
        Refusal,
        call::{self as rules, Extension, ExtensionScope, Moved, Phase},
        id::{CallId, PartnerCode, ProposalId},
        reference::Reference,
        text::choices,
    },
    policy::{Action, Permit, Resource},
    storage::{
        extensions::{self, ExtensionRow},
        proposals,
    },
    wire::{
        call::{CallExtension, ExtendCall, Extended, Reason},
        entry::payloads::{ExtensionMade, ExtensionTakenBack, Payload},
        page::{Page, PageRoom},
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How many extensions a list reads at a time.
const AT_ONCE: u32 = 100;

/// Moves a deadline or the date for reviews, or says what that would do. To say it takes no turn at writing.
pub async fn extend(exchange: &Exchange, context: &RequestContext, id: CallId, body: &ExtendCall) -> Result<Answer> {
    if body.dry_run {
        let mut act = Rehearsal::rehearse(exchange, context).await?;
        let (call, authorized) = call_to_extend(&mut act, id, body).await?;
        if let Some(answer) = act.replayed()? {
            return Ok(answer);
        }
        let (extended, _) = examined(&mut act, &call, &authorized, body).await?;
        let tag = etag(&call, &act.policies, &act.me);
        return Ok(Answer::json(200, &extended).with_etag(tag));
    }
    let mut act = Act::begin(exchange, context).await?;
    let (call, authorized) = call_to_extend(&mut act, id, body).await?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let (mut extended, reason) = examined(&mut act, &call, &authorized, body).await?;
    let number =
        make(&mut act, &authorized.permit, authorized.subject, id, &authorized.moved, body.until.0, reason).await?;
    let call = act.call(id).await?;
    if matches!(authorized.moved, Moved::Deadline(_)) {
        parties::follow_newest_employers(&mut act, &authorized.permit, &call, only_proposal(&authorized.moved)).await?;
    }
    (extended.number, extended.call) = (Some(number), answer(&call, &act.me.id));
    let tag = etag(&call, &act.policies, &act.me);
    act.finish(Answer::json(200, &extended).with_etag(tag)).await
}

async fn call_to_extend<T: Reads>(
    act: &mut Act<'_, T>,
    id: CallId,
    body: &ExtendCall,
) -> Result<(CallState, AuthorizedExtension)> {
    let call = act.call(id).await?;
    act.authorize(Action::ExtendCall, Resource::Call(&call.facts))?;
    let named_twice =
        || ServiceError::Malformed("name a partner, a proposal or the reviews, not several of them".into());
    let moved = body.moved().ok_or_else(named_twice)?;
    let authorized = AuthorizedExtension::of(act, &call, moved).await?;
    Ok((call, authorized))
}

/// The planned extension, if it is possible, and its reason.
async fn examined<'b, T: Reads>(
    act: &mut Act<'_, T>,
    call: &CallState,
    authorized: &AuthorizedExtension,
    body: &'b ExtendCall,
) -> Result<(Extended, &'b str)> {
    act.check_match(&etag(call, &act.policies, &act.me))?;
    if let Some(partner) = body.partner.as_ref().filter(|partner| !call.text.eligible.contains(*partner)) {
        let choices = choices(&call.text.eligible);
        return Err(Refusal::NotEligible { partner: partner.clone(), choices }.into());
    }
    authorized.need_phase(call)?;
    let reason = required_reason(Some(&body.reason))?;
    quotas::check_extensions(act, call.row.id).await?;
    let (present, until) = (authorized.instant(call, &call.row.extensions, call.row.reviews_until), body.until.0);
    if until <= present || until <= act.now {
        return Err(Refusal::ExtensionBackwards { until, present: present.max(act.now) }.into());
    }
    let schedule = &call.text.schedule;
    match authorized.moved {
        Moved::Deadline(_) => schedule.check_extension(until)?,
        Moved::Reviews => schedule.check_review_date(until, act.now)?,
    }
    let grace_until = matches!(authorized.moved, Moved::Deadline(_)).then(|| schedule.grace_end(until).into());
    let extended = Extended {
        number: None,
        from: present.into(),
        until: body.until,
        seconds: u64::try_from(until.duration_since(present).as_secs()).unwrap_or_default(),
        grace_until,
        call: answer(call, &act.me.id),
    };
    Ok((extended, reason))
}

/// Puts a later instant on record and in the log; its number.
pub(super) async fn make(
    act: &mut Act<'_>,
    permit: &Permit,
    subject: Subject,
    call: CallId,
    moved: &Moved,
    until: Timestamp,
    reason: &str,
) -> Result<u32> {
    let number = extensions::make(&mut act.tx, permit, call, moved, until, reason, act.now).await?;
    let partner = match moved {
        Moved::Deadline(ExtensionScope::Partner(partner)) => Some(partner.clone()),
        _ => None,
    };
    let reviews = *moved == Moved::Reviews;
    let payload = ExtensionMade { number, until: until.into(), partner, reviews, reason: reason.to_owned() };
    let payload = match only_proposal(moved) {
        Some(_) => Payload::ProposalExtended(payload),
        None => Payload::CallExtended(payload),
    };
    act.log(subject, payload).await?;
    Ok(number)
}

/// Takes an extension back. If less than 72 hours would be left without it, a shorter one takes its place.
pub async fn withdraw(
    exchange: &Exchange,
    context: &RequestContext,
    id: CallId,
    number: u32,
    body: &Reason,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(id).await?;
    act.authorize(Action::ExtendCall, Resource::Call(&call.facts))?;
    let on_record = extensions::of_call(&mut act.tx, id).await?;
    let extension = on_record.iter().find(|extension| extension.number == number).ok_or(ServiceError::Hidden)?;
    let authorized = AuthorizedExtension::of(&mut act, &call, extension.moved.clone()).await?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let reason = required_reason(Some(&body.reason))?;
    if extension.is_withdrawn {
        return Err(Refusal::ExtensionWithdrawn { number }.into());
    }
    authorized.need_phase(&call)?;
    let present = authorized.instant(&call, &call.row.extensions, call.row.reviews_until);
    let (others, reviews_until) = in_force(on_record.iter().filter(|other| other.number != number));
    let without = authorized.instant(&call, &others, reviews_until);
    let shorter = rules::taken_back(present, without, act.now)?;
    extensions::withdraw(&mut act.tx, &authorized.permit, id, extension, reason, act.now).await?;
    let payload = ExtensionTakenBack { number, reason: reason.to_owned() };
    act.log(authorized.subject, authorized.taken_back(payload)).await?;
    if let Some(until) = shorter {
        make(&mut act, &authorized.permit, authorized.subject, id, &authorized.moved, until, reason).await?;
    }
    finish(act, id).await
}

/// A page of the extensions in force: those for everyone and of the date for reviews, that of the caller's own partner, and of the
/// proposals that the caller is a party of. Officers and observers read the others too, as far as they may know of the proposal.
///
/// It examines so many: it can be short, or empty, and still have a `next`.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    id: CallId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<CallExtension>> {
    let cursors = SealedCursors::of(exchange, "extensions", &principal.member).within("call", &id);
    let mut passed: u32 = cursors.open(cursor)?.unwrap_or(0);
    let mut view = View::open(exchange, principal).await?;
    let call = Arc::new(view.call(id).await?);
    let sees_all = [Action::ViewCallLog, Action::ObserveCall]
        .into_iter()
        .any(|action| view.may(action, Resource::Call(&call.facts)));
    let (mut items, mut room): (Vec<CallExtension>, _) = (Vec::new(), PageRoom::new(limit));
    for _ in 0..EXAMINED / AT_ONCE as usize {
        let rows = extensions::some_in_force(&mut view.tx, id, passed, AT_ONCE).await?;
        let is_last = rows.len() < AT_ONCE as usize;
        let extended = rows.iter().filter_map(|row| only_proposal(&row.moved)).collect();
        let seen = seen_among(&mut view, &call, sees_all, extended).await?;
        for row in rows {
            let number = row.number;
            let is_shown = match &row.moved {
                Moved::Reviews | Moved::Deadline(ExtensionScope::Everyone) => true,
                Moved::Deadline(ExtensionScope::Partner(partner)) => sees_all || partner == view.me.id.partner(),
                Moved::Deadline(ExtensionScope::Proposal(proposal)) => seen.contains_key(proposal),
            };
            if is_shown {
                let item = described(row, &seen);
                if !room.takes(&item) {
                    return Ok(Page { items, next: Some(cursors.seal(passed)) });
                }
                items.push(item);
            }
            passed = number;
        }
        if is_last {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: Some(cursors.seal(passed)) })
}

/// The proposals under the call about which the caller learns here, with their references.
async fn seen_among(
    view: &mut View<'_>,
    call: &Arc<CallState>,
    sees_all: bool,
    proposals: BTreeSet<ProposalId>,
) -> Result<BTreeMap<ProposalId, Reference>> {
    let ids: Vec<ProposalId> = proposals.into_iter().collect();
    let rows = proposals::some(&mut view.tx, &ids).await?;
    let states = rows.into_iter().map(|row| state::proposal_state(row, Arc::clone(call), view.now));
    let states = states.filter(|state| sees_all || state.facts.shows_as_party(&view.me.id)).collect();
    let seen = view.seen_among(states).await?;
    Ok(seen.into_iter().map(|state| (state.row.id, state.reference())).collect())
}

/// The subject of an extension, with the permit for it.
struct AuthorizedExtension {
    moved: Moved,
    permit: Permit,
    subject: Subject,
    /// Of the one proposal, if it is about one.
    parties: BTreeSet<PartnerCode>,
}

impl AuthorizedExtension {
    /// An officer with a conflict gets no permit for a proposal, and learns nothing about it.
    async fn of<T: Reads>(act: &mut Act<'_, T>, call: &CallState, moved: Moved) -> Result<Self> {
        let Some(proposal) = only_proposal(&moved) else {
            let permit = act.authorize(Action::ExtendCall, Resource::Call(&call.facts))?;
            return Ok(Self { moved, permit, subject: Subject::call(call), parties: BTreeSet::new() });
        };
        let proposal = act.proposal(proposal).await?;
        let permit = act.authorize(Action::ExtendProposal, Resource::Proposal(&proposal.facts))?;
        if proposal.row.call != call.row.id {
            return Err(ServiceError::Hidden);
        }
        Ok(Self { moved, permit, subject: Subject::proposal(&proposal), parties: proposal.facts.parties })
    }

    /// The instant that holds for it by these deadlines and this date for reviews.
    fn instant(&self, call: &CallState, deadlines: &[Extension], reviews_until: Option<Timestamp>) -> Timestamp {
        let schedule = &call.text.schedule;
        match &self.moved {
            Moved::Deadline(ExtensionScope::Everyone) => schedule.deadline_for(deadlines, None),
            Moved::Deadline(ExtensionScope::Partner(partner)) => schedule.partner_deadline(deadlines, partner),
            Moved::Deadline(ExtensionScope::Proposal(id)) => {
                schedule.deadline_for(deadlines, Some((*id, &self.parties)))
            }
            Moved::Reviews => reviews_until.map_or(schedule.reviews_due_at, |until| until.max(schedule.reviews_due_at)),
        }
    }

    fn need_phase(&self, call: &CallState) -> Result<()> {
        let phases = [Phase::Announced, Phase::Open, Phase::Grace, Phase::Review];
        match self.moved {
            Moved::Deadline(_) => need(call, &phases[..3], "a published call that nobody has opened yet"),
            Moved::Reviews => need(call, &phases, "a published call that goes on"),
        }
    }

    /// The entry that says that it was taken back.
    fn taken_back(&self, payload: ExtensionTakenBack) -> Payload {
        match only_proposal(&self.moved) {
            Some(_) => Payload::ProposalExtensionWithdrawn(payload),
            None => Payload::ExtensionWithdrawn(payload),
        }
    }
}

/// The deadlines and the date for reviews that extensions on record come to.
fn in_force<'r>(on_record: impl Iterator<Item = &'r ExtensionRow>) -> (Vec<Extension>, Option<Timestamp>) {
    let (mut deadlines, mut reviews_until) = (Vec::new(), None);
    for row in on_record.filter(|row| !row.is_withdrawn) {
        match &row.moved {
            Moved::Deadline(scope) => deadlines.push(Extension { scope: scope.clone(), until: row.until }),
            Moved::Reviews => reviews_until = reviews_until.max(Some(row.until)),
        }
    }
    (deadlines, reviews_until)
}

fn only_proposal(moved: &Moved) -> Option<ProposalId> {
    match moved {
        Moved::Deadline(ExtensionScope::Proposal(proposal)) => Some(*proposal),
        _ => None,
    }
}

fn described(row: ExtensionRow, seen: &BTreeMap<ProposalId, Reference>) -> CallExtension {
    let (partner, proposal) = match &row.moved {
        Moved::Deadline(ExtensionScope::Partner(partner)) => (Some(partner.clone()), None),
        moved => (None, only_proposal(moved)),
    };
    CallExtension {
        number: row.number,
        until: row.until.into(),
        partner,
        proposal,
        reference: proposal.and_then(|id| seen.get(&id).cloned()),
        reviews: row.moved == Moved::Reviews,
        reason: row.reason,
        made_by: row.made_by,
        made_at: row.made_at.into(),
    }
}
