//! Joint proposals: begin, list, show, withdraw. Who is in their parties is `parties`' business.

use super::{
    Answer, Exchange, LONGEST_LOOK, Principal, RequestContext, Result, ServiceError,
    cursors::SealedCursors,
    described::{describe, describe_page},
    labels, parties, quotas,
    state::{self, CallState},
    unit::{Act, Subject, View},
    vaults,
    verified::Verified,
    wraps::{Holders, VaultSought, Wraps},
};
use crate::{
    domain::{
        Refusal,
        call::Phase,
        decision::Outcome,
        id::{MemberId, PartnerCode, ProposalId},
        proposal::{Sort, Status},
        reference::Reference,
        text::choices,
    },
    policy::{Action, Resource},
    sealing::statement::{VaultKind, VaultStatement},
    storage::{
        decisions,
        proposals::{self, NewProposalRow},
        references,
        visible::PageRequest,
        withdrawals::{self, WishRow},
    },
    wire::{
        entry::payloads::{Payload, ProposalCreated, ProposalReinstated, ProposalWithdrawn, WithdrawalWish},
        page::Page,
        proposal::{Count, CreateProposal, Filter, Proposal},
    },
};
use std::{collections::BTreeSet, sync::Arc};

/// More vaults than a proposal begins with: of three kinds one each, so what comes after is refused without a look.
const MOST_VAULTS: usize = 4;

/// Begins a joint proposal with its vaults.
pub async fn create(exchange: &Exchange, context: &RequestContext, body: &CreateProposal) -> Result<Answer> {
    let keys: Vec<_> = body.vaults.iter().map(|new| &*new.keys).collect();
    let (wraps, invitations) =
        (Wraps::of_all(&keys, CreateProposal::MOST_KEYS).await?, parties::verified(&body.invitations).await?);
    let made_vaults = body.vaults.iter().map(|new| &*new.statement).take(MOST_VAULTS);
    let made_vaults = Verified::<VaultStatement>::of_each(made_vaults).await?;
    let mut act = Act::begin(exchange, context).await?;
    let call = act.call(body.call).await?;
    let permit = act.authorize(Action::CreateProposal, Resource::Call(&call.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    // A member who uses an identifier that another member made gets the same answer whether there is a proposal by that name or not.
    if !body.id.is_of(&act.me.id) {
        let fault = format!("the identifier of a proposal that `{}` begins ends with a check that says so", act.me.id);
        return Err(ServiceError::Malformed(fault));
    }
    let owners: BTreeSet<PartnerCode> = body.parties.keys().cloned().collect();
    let deadline_at = call.deadline_of(body.id, &owners);
    match call.phase {
        Phase::Open | Phase::Grace | Phase::Review if act.arrived_at <= deadline_at => {}
        Phase::Open | Phase::Grace | Phase::Review => {
            return Err(Refusal::DeadlinePassed { deadline_at, arrived_at: act.arrived_at }.into());
        }
        phase => return Err(Refusal::WrongPhase { phase, needed: "an open call" }.into()),
    }
    call.text.parties.check(&call.text.eligible, &body.parties)?;
    if !body.parties.get(act.me.id.partner()).is_some_and(|members| members.contains(&act.me.id)) {
        return Err(Refusal::PartyRule { fault: format!("`{}` is not among the members", act.me.id) }.into());
    }
    match &body.topic {
        Some(topic) if !call.text.topics.contains(topic) => {
            return Err(Refusal::UnknownTopic { topic: topic.clone(), choices: choices(&call.text.topics) }.into());
        }
        None if !call.text.topics.is_empty() => {
            return Err(ServiceError::Malformed("the call has topics; name one".into()));
        }
        _ => {}
    }
    if proposals::find(&mut act.tx, body.id).await?.is_some() {
        // Who meets a taken one made it.
        return Err(Refusal::Exists { what: body.id.to_string() }.into());
    }
    let asked_to_join = parties::asked_at_the_beginning(&mut act, body, invitations).await?;
    quotas::check_proposals(&mut act, body.call).await?;
    let reference = free_reference(&mut act, &call).await?;
    let (id, topic) = (body.id, body.topic.as_ref());
    let new = NewProposalRow { id, call: body.call, reference: &reference, topic, parties: &owners };
    proposals::create(&mut act.tx, &permit, new, act.now).await?;
    let subject = Subject { proposal: Some(body.id), ..Subject::call(&call) };
    let arrived_at = act.arrived_at.into();
    let payload = ProposalCreated { topic: body.topic.clone(), parties: body.parties.clone(), arrived_at };
    act.log(subject, payload).await?;
    parties::keep_first_invitations(&mut act, &permit, (body.call, body.id), subject, &asked_to_join).await?;
    let asked: Vec<MemberId> = asked_to_join.into_iter().map(|(member, _)| member).collect();
    let row = proposals::find(&mut act.tx, body.id).await?.ok_or(ServiceError::Hidden)?;
    let proposal = state::proposal_state(row, Arc::new(call), act.now);
    let call = &proposal.call;
    let holders = Holders::of(&mut act, &wraps, call).await?;
    let mut kinds = BTreeSet::new();
    for (made_vault, wraps) in made_vaults.into_iter().zip(wraps) {
        let kind = made_vault.clone().signed()?.statement.kind;
        let vault = vaults::verified(&mut act, made_vault, kind, body.call, Some(body.id)).await?;
        let is_own = vault.party.as_ref().is_none_or(|party| party == act.me.id.partner());
        if !is_own || !matches!(kind, VaultKind::Panel | VaultKind::Parties | VaultKind::Staff) {
            let fault = "a proposal begins with a `panel`, a `parties` and the caller's own `staff` vault".to_owned();
            return Err(Refusal::Statement { fault }.into());
        }
        kinds.insert(kind);
        vaults::create(&mut act, &permit, subject, &vault).await?;
        wraps.add_for(&holders, &mut act, &permit, &proposal, &vault, &asked).await?;
        vaults::require_call_vault_key(&mut act, &vault, call).await?;
    }
    if !kinds.contains(&VaultKind::Panel) || !kinds.contains(&VaultKind::Parties) {
        let fault = "the `panel` or the `parties` vault is missing".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    let answer = Answer::created(
        format!("/v1/proposals/{}", body.id),
        &describe(&mut act.tx, &proposal, &act.me, &act.policies).await?,
    );
    act.finish(answer).await
}

/// A reference under the call that no proposal has, drawn by chance. It follows from nothing that the caller sends: to refuse a number that is
/// taken would say that somebody has it.
async fn free_reference(act: &mut Act<'_>, call: &CallState) -> Result<Reference> {
    let mut draw = 0;
    loop {
        let reference = Reference::drawn(&call.text.code, draw, &*act.exchange.rng);
        if !references::is_number_taken(&mut act.tx, call.row.id, reference.number()).await? {
            return Ok(reference);
        }
        draw += 1;
    }
}

/// Adds the `staff` vault of the caller's own party, for its restricted documents.
pub async fn create_staff_vault(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &crate::wire::proposal::NewVault,
) -> Result<Answer> {
    let made_vault = Verified::of(&body.statement).await?;
    let wraps = Wraps::of(&body.keys).await?.decided(exchange, context, VaultSought::Made(&made_vault)).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Upload, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let vault = vaults::verified(&mut act, made_vault, VaultKind::Staff, proposal.row.call, Some(id)).await?;
    if vault.party.as_ref() != Some(act.me.id.partner()) {
        return Err(Refusal::Statement { fault: "a party makes its own `staff` vault only".into() }.into());
    }
    vaults::create(&mut act, &permit, Subject::proposal(&proposal), &vault).await?;
    wraps.add(&mut act, &permit, &proposal, &vault).await?;
    vaults::require_call_vault_key(&mut act, &vault, &proposal.call).await?;
    act.finish(Answer::done()).await
}

/// Takes a proposal back. Before every party has signed a version any of them does; after that each has to wish it, and the last wish
/// withdraws it. The parties of one that was funded or put on the reserve list step back in the same way; the decision stays on record.
///
/// Its inverse is [`reinstate`].
pub async fn withdraw(exchange: &Exchange, context: &RequestContext, id: ProposalId) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Withdraw, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    if proposal.status == Status::Withdrawn {
        let (status, needed) = (proposal.status.to_string(), "one that was not withdrawn");
        return Err(Refusal::WrongStatus { status, needed }.into());
    }
    let in_force = decisions::final_ones(&mut act.tx, id).await?.pop();
    if in_force.is_some_and(|decision| decision.outcome == Outcome::Decline) {
        return Err(Refusal::DecisionFinal.into());
    }
    let (now, subject) = (act.now, Subject::proposal(&proposal));
    if proposal.versions.standing().or(proposal.versions.committed()).is_some() {
        let partner = act.me.id.partner().clone();
        let mut wishes = withdrawals::wishes(&mut act.tx, id).await?;
        if wishes.contains_key(&partner) {
            return Err(Refusal::AlreadyWished { partner }.into());
        }
        withdrawals::wish(&mut act.tx, &permit, id, now).await?;
        let (member, wished_at) = (act.me.id.clone(), now);
        wishes.insert(partner.clone(), WishRow { member, wished_at });
        act.log(subject, Payload::WithdrawalWished(WithdrawalWish { partner })).await?;
        if proposal.row.parties.keys().any(|party| !wishes.contains_key(party)) {
            return finish(act, id).await;
        }
    }
    proposals::set_withdrawn(&mut act.tx, &permit, id, Some(now)).await?;
    act.log(subject, ProposalWithdrawn {}).await?;
    finish(act, id).await
}

/// Takes the caller's party's wish to withdraw back; a proposal that was withdrawn stands again, until the deadline.
pub async fn reinstate(exchange: &Exchange, context: &RequestContext, id: ProposalId) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Reinstate, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let partner = act.me.id.partner().clone();
    let has_wished = withdrawals::wishes(&mut act.tx, id).await?.contains_key(&partner);
    let (is_withdrawn, deadline_at) = (proposal.status == Status::Withdrawn, proposal.limits.deadline_at);
    if !is_withdrawn && !has_wished {
        let (status, needed) = (proposal.status.to_string(), "a withdrawn one, or a wish of your party to withdraw it");
        return Err(Refusal::WrongStatus { status, needed }.into());
    }
    if is_withdrawn && act.arrived_at > deadline_at {
        return Err(Refusal::DeadlinePassed { deadline_at, arrived_at: act.arrived_at }.into());
    }
    if is_withdrawn {
        parties::require_no_roles(&proposal)?;
        if let Some(label) = &proposal.row.label {
            labels::check_place(&mut act, &proposal, label).await?;
        }
    }
    let subject = Subject::proposal(&proposal);
    if has_wished {
        withdrawals::take_back(&mut act.tx, &permit, id).await?;
        act.log(subject, Payload::WithdrawalUnwished(WithdrawalWish { partner })).await?;
    }
    if is_withdrawn {
        proposals::set_withdrawn(&mut act.tx, &permit, id, None).await?;
        let arrived_at = act.arrived_at.into();
        act.log(subject, ProposalReinstated { arrived_at }).await?;
    }
    finish(act, id).await
}

/// A page of the proposals that the caller may know of. It examines so many: it can be short, or empty, and still have a `next`.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    filter: &Filter,
    (sort, cursor, limit): (Sort, Option<&str>, u32),
) -> Result<Page<Proposal>> {
    let mut cursors = SealedCursors::of(exchange, "proposals", &principal.member).within("sort", &sort);
    for (parameter, value) in filter.query() {
        if let Some(value) = value {
            cursors = cursors.within(parameter, &value);
        }
    }
    let page = PageRequest { sort, after: cursors.open(cursor)?, limit };
    let mut view = View::open(exchange, principal).await?;
    let (found, next) = view.proposals(filter, page).await?;
    let items = describe_page(&mut view, found).await?;
    Ok(Page { items, next: next.map(|position| cursors.seal(position)) })
}

/// How many proposals there are that the caller may know of.
pub async fn count(exchange: &Exchange, principal: &Principal, filter: &Filter) -> Result<Count> {
    let turn = exchange.long_work.count(principal).await?;
    let mut view = View::open(exchange, principal).await?;
    view.tx.hold(turn, LONGEST_LOOK).await?;
    Ok(Count { proposals: view.count_proposals(filter).await? })
}

/// One proposal.
pub async fn show(exchange: &Exchange, principal: &Principal, id: ProposalId) -> Result<Proposal> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    describe(&mut view.tx, &proposal, &view.me, &view.policies).await
}

async fn finish(mut act: Act<'_>, id: ProposalId) -> Result<Answer> {
    let proposal = act.proposal(id).await?;
    let answer = Answer::json(200, &describe(&mut act.tx, &proposal, &act.me, &act.policies).await?);
    act.finish(answer).await
}
