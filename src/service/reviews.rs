//! Declarations of interest and sealed reviews.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError,
    calls::required_reason,
    cursors::SealedCursors,
    manifests, quotas,
    sealed_bytes::Base64Ciphertext,
    state::{self, ProposalState},
    stepwise::{STEP, StepwisePage},
    surplus_keys,
    unit::{Act, Subject, View},
    vaults,
    verified::Verified,
};
use crate::{
    domain::{
        Refusal,
        call::Phase,
        id::{MemberId, ProposalId, ReviewId},
        member::Declared,
        set_aside::SetAside,
        vault::VaultKind,
    },
    policy::{Action, Permit, Resource, counts},
    sealing::statement::{DeclarationStatement, ReviewStatement, Signed},
    storage::{
        reviews::{self, ReviewRow},
        stated::{NewStated, NumberedPosition, Stated},
        vaults as vault_store,
    },
    wire::{
        entry::payloads::{
            ConflictLifted, InterestDeclared, Payload, ReviewFetched, ReviewReinstated, ReviewReopened, ReviewSubmitted,
        },
        page::Page,
        review::{Declaration, DeclareConflict, LiftConflict, Review, SubmitReview},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::BTreeSet;

/// Largest sealed review, in bytes.
pub const MAX_REVIEW: usize = 1 << 20;

/// Declares whether the caller has a conflict of interest. From a conflict on, the proposal does not exist for the caller.
pub async fn declare(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &DeclareConflict,
) -> Result<Answer> {
    let verified = Verified::of(&body.statement).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let action = if body.conflict { Action::DeclareConflict } else { Action::DeclareClear };
    let permit = act.authorize(action, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    if body.conflict != body.ground.is_some() {
        return Err(ServiceError::Malformed("name a ground with a conflict, and only then".into()));
    }
    let me = act.me.id.clone();
    // An all-clear may become a conflict at any time; the way back is an officer's.
    if !body.conflict && proposal.facts.declared_clear.contains(&me) {
        return Err(Refusal::AlreadyDeclared { member: me }.into());
    }
    let (now, declared) = (act.now, if body.conflict { Declared::Conflict } else { Declared::Clear });
    let signed = signed_declaration(&mut act, &proposal, &me, declared, verified).await?;
    if signed.statement.ground != body.ground {
        return Err(Refusal::Statement { fault: "it names another ground than the declaration".into() }.into());
    }
    reviews::declare(&mut act.tx, &permit, id, body.ground, stated(&signed), now).await?;
    let subject = Subject::proposal(&proposal);
    let payload = InterestDeclared { member: me.clone(), ground: body.ground, statement: signed.jws };
    if body.conflict {
        act.log(subject, Payload::ConflictDeclared(payload)).await?;
        surplus_keys::remove_all_keys(&mut act, &permit, &proposal, &me).await?;
    } else {
        act.log(subject, Payload::ClearDeclared(payload)).await?;
    }
    act.finish(Answer::done()).await
}

/// Takes a member's declaration off the record, with a reason; the member declares again.
pub async fn lift(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    member: &MemberId,
    body: &LiftConflict,
) -> Result<Answer> {
    let verified = Verified::of(&body.statement).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    act.authorize(Action::View, Resource::Proposal(&proposal.facts))?;
    let subject = act.member(member).await?;
    let resource = Resource::ProposalMember { proposal: &proposal.facts, subject: &subject };
    let permit = act.authorize(Action::LiftConflict, resource)?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let reason = required_reason(Some(&body.reason))?;
    if !proposal.facts.conflicts.contains(member) {
        return Err(Refusal::NoConflict { member: member.clone() }.into());
    }
    let signed = signed_declaration(&mut act, &proposal, member, Declared::Lifted, verified).await?;
    let now = act.now;
    reviews::lift(&mut act.tx, &permit, id, member, stated(&signed), now).await?;
    let payload = ConflictLifted { member: member.clone(), reason: reason.to_owned(), statement: signed.jws };
    act.log(Subject::proposal(&proposal), payload).await?;
    act.finish(Answer::done()).await
}

/// A statement about a member's interest, which is the next one in its chain.
async fn signed_declaration(
    act: &mut Act<'_>,
    proposal: &ProposalState,
    member: &MemberId,
    declared: Declared,
    verified: Verified<DeclarationStatement>,
) -> Result<Signed<DeclarationStatement>> {
    let signed = act.signed(verified).await?;
    let last = reviews::last_declaration(&mut act.tx, proposal.row.id, member).await?;
    let (before, last) = last.map_or((0, None), |(number, sha256)| (number, Some(sha256)));
    let said = &signed.statement;
    let names_it = said.reference.as_ref().is_none_or(|reference| *reference == proposal.reference());
    if said.proposal != proposal.row.id || !names_it || said.member != *member || said.declared != declared {
        let fault = format!("it must say this proposal and its reference, `{member}` and `{declared}`");
        return Err(Refusal::Statement { fault }.into());
    }
    let next = before.saturating_add(1);
    if said.number != next || said.previous != last {
        let fault = format!("the next statement about `{member}` is number {next} and names the one before");
        return Err(Refusal::Statement { fault }.into());
    }
    // Nobody is kept from declaring a conflict. Nothing follows it then: to lift it would be one more.
    let is_first_conflict = declared == Declared::Conflict && !proposal.facts.conflicts.contains(member);
    if !is_first_conflict {
        quotas::check_declarations(act, before)?;
    }
    Ok(signed)
}

fn stated(signed: &Signed<DeclarationStatement>) -> NewStated<'_> {
    NewStated { number: signed.statement.number, statement: &signed.jws, sha256: signed.payload_sha256 }
}

/// A page of what was stated about interests in a proposal: for officers about everybody, for others about themselves.
pub async fn declarations(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Declaration>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    let sees_all = view.may(Action::ViewOfficerLog, Resource::Proposal(&proposal.facts));
    if !sees_all {
        view.authorize(Action::DeclareConflict, Resource::Proposal(&proposal.facts))?;
    }
    let me = view.me.id.clone();
    let of = (!sees_all).then_some(&me);
    let cursors = SealedCursors::of(exchange, "declarations", &principal.member).within("proposal", &id);
    let mut page = StepwisePage::<NumberedPosition, _>::new(limit, cursors, cursor)?;
    while page.is_open() {
        let rows = reviews::some_declarations(&mut view.tx, id, of, page.after(), STEP).await?;
        let item = |(member, stated): (MemberId, Stated)| {
            let position = NumberedPosition { member: member.clone(), number: stated.number };
            let declaration = Declaration {
                member,
                number: stated.number,
                statement: stated.statement,
                stated_by: stated.by,
                stated_at: stated.at.into(),
            };
            (position, declaration)
        };
        page.add(rows.into_iter().map(item).collect());
    }
    Ok(page.finish())
}

/// Hands in a sealed review of the version that stands. After a reopening it is the next revision.
pub async fn submit(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &SubmitReview,
) -> Result<Answer> {
    let verified = Verified::<ReviewStatement>::of(&body.statement).await?;
    let sealed = Base64Ciphertext::of(&body.ciphertext, MAX_REVIEW).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Review, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    need_review(&proposal)?;
    let me = act.me.id.clone();
    if proposal.facts.reviewed.contains(&me) {
        return Err(Refusal::AlreadyReviewed { member: me }.into());
    }
    if proposal.row.is_decided {
        return Err(Refusal::DecisionFinal.into());
    }
    let statement = act.signed(verified).await?.statement;
    manifests::require_standing(&proposal, statement.manifest_sha256)?;
    let (ciphertext, sha256) = sealed.checked()?;
    let earlier = reviews::of_proposal(&mut act.tx, id).await?;
    let revision = 1 + earlier.iter().filter(|row| row.reviewer == me).map(|row| row.revision).max().unwrap_or(0);
    let fits = statement.proposal == id
        && statement.reviewer == me
        && statement.revision == revision
        && statement.sha256 == sha256
        && statement.call_text_sha256 == proposal.call.row.text_sha256;
    if !fits {
        let fault = format!("it must say this proposal, call text and reviewer, revision {revision}, and these bytes");
        return Err(Refusal::Statement { fault }.into());
    }
    if !vault_store::of_proposal(&mut act.tx, id).await?.iter().any(|vault| vault.kind == VaultKind::Deliberation) {
        let fault = "an officer has not made the deliberation vault yet".to_owned();
        return Err(Refusal::WrapRefused { fault }.into());
    }
    let row = ReviewRow {
        id: ReviewId::new(&*exchange.clock, &*exchange.rng),
        proposal: id,
        reviewer: me,
        revision,
        manifest: statement.manifest_sha256,
        statement: body.statement.clone(),
        ciphertext,
        submitted_at: act.now,
        reopened: None,
    };
    reviews::submit(&mut act.tx, &permit, &row).await?;
    let payload = ReviewSubmitted {
        review: row.id,
        reviewer: row.reviewer.clone(),
        revision,
        manifest_sha256: row.manifest,
        sha256: statement.sha256,
        statement: row.statement.clone(),
    };
    act.log(Subject::proposal(&proposal), payload).await?;
    act.finish(Answer::created(format!("/v1/reviews/{}", row.id), &answer(&proposal, row, None, false))).await
}

/// A page of the reviews of a proposal: all for members who may see the deliberation, the own ones for a reviewer.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Review>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    let deliberation = view.authorize(Action::ViewDeliberation, Resource::Proposal(&proposal.facts));
    let sees_all = deliberation.is_ok();
    if let (Err(of_all), Err(of_own)) =
        (deliberation, view.authorize(Action::Review, Resource::Proposal(&proposal.facts)))
    {
        // Of two reasons the one that the caller can do something about.
        return Err(if matches!(of_all, ServiceError::Refused(_)) { of_all } else { of_own });
    }
    let me = view.me.id.clone();
    let of = (!sees_all).then_some(&me);
    let cursors = SealedCursors::of(exchange, "reviews", &principal.member).within("proposal", &id);
    let mut page = StepwisePage::<NumberedPosition, _>::new(limit, cursors, cursor)?;
    while page.is_open() {
        let rows = reviews::some(&mut view.tx, id, of, page.after(), STEP).await?;
        let reviewers: BTreeSet<MemberId> = rows.iter().map(|row| row.reviewer.clone()).collect();
        let (reviewers, facts): (Vec<MemberId>, _) = (reviewers.into_iter().collect(), &proposal.facts);
        let aside = state::set_aside(exchange, &mut view.tx, facts, &reviewers, counts::review_set_aside).await?;
        let item = |row: ReviewRow| {
            let position = NumberedPosition { member: row.reviewer.clone(), number: row.revision };
            let set_aside = aside.get(&row.reviewer).copied();
            (position, answer(&proposal, row, set_aside, false))
        };
        page.add(rows.into_iter().map(item).collect());
    }
    Ok(page.finish())
}

/// Fetches a sealed review. Leaves an entry.
pub async fn fetch(exchange: &Exchange, context: &RequestContext, id: ReviewId) -> Result<Review> {
    let mut act = Act::begin_read(exchange, context).await?;
    let row = reviews::find(&mut act.tx, id).await?.ok_or(ServiceError::Hidden)?;
    let proposal = act.proposal(row.proposal).await?;
    act.authorize(Action::View, Resource::Proposal(&proposal.facts))?;
    let sees_all = act.authorize(Action::ViewDeliberation, Resource::Proposal(&proposal.facts));
    if row.reviewer != act.me.id
        && let Err(refused) = sees_all
    {
        return Err(concealed(refused));
    }
    let payload = ReviewFetched { review: row.id, reviewer: row.reviewer.clone(), revision: row.revision };
    act.log(Subject::proposal(&proposal), payload).await?;
    let reviewer = [row.reviewer.clone()];
    let aside = state::set_aside(exchange, &mut act.tx, &proposal.facts, &reviewer, counts::review_set_aside).await?;
    act.finish_read(answer(&proposal, row, aside.get(&reviewer[0]).copied(), true)).await
}

/// A caller who may not see the deliberation does not learn whether others have reviewed: they get the answer for an unknown review.
fn concealed(refused: ServiceError) -> ServiceError {
    match refused {
        ServiceError::Denied(_) | ServiceError::Refused(Refusal::NotDeclared { .. }) => ServiceError::Hidden,
        other => other,
    }
}

/// A review, with its proposal and the permit to reopen it. Who may not know of it gets the answer for an unknown one.
async fn to_reopen(act: &mut Act<'_>, id: ReviewId) -> Result<(ReviewRow, ProposalState, Permit)> {
    let row = reviews::find(&mut act.tx, id).await?.ok_or(ServiceError::Hidden)?;
    let proposal = act.proposal(row.proposal).await?;
    let whole = Resource::Proposal(&proposal.facts);
    let permit = act.authorize(Action::ReopenReview, whole).map_err(|refused| {
        let knows = row.reviewer == act.me.id || act.authorize(Action::ViewDeliberation, whole).is_ok();
        if knows { refused } else { concealed(refused) }
    })?;
    Ok((row, proposal, permit))
}

/// Whether it is its reviewer's newest revision.
async fn is_latest(act: &mut Act<'_>, row: &ReviewRow) -> Result<bool> {
    let rows = reviews::of_proposal(&mut act.tx, row.proposal).await?;
    Ok(rows.iter().all(|other| other.reviewer != row.reviewer || other.revision <= row.revision))
}

/// Reopens a review, with a reason, so that its reviewer can hand in a new revision.
pub async fn reopen(exchange: &Exchange, context: &RequestContext, id: ReviewId, reason: &str) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let (row, proposal, permit) = to_reopen(&mut act, id).await?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let reason = required_reason(Some(reason))?;
    if proposal.row.is_decided {
        return Err(Refusal::DecisionFinal.into());
    }
    if row.reopened.is_some() || !is_latest(&mut act, &row).await? {
        return Err(Refusal::NoReview { member: row.reviewer }.into());
    }
    let now = act.now;
    reviews::reopen(&mut act.tx, &permit, &row, now).await?;
    let (review, revision, reason) = (row.id, row.revision, reason.to_owned());
    let payload = ReviewReopened { review, reviewer: row.reviewer.clone(), revision, reason };
    act.log(Subject::proposal(&proposal), payload).await?;
    // The others' reviews close again until the own one is back in.
    for vault in vault_store::of_proposal(&mut act.tx, row.proposal).await? {
        if vault.kind == VaultKind::Deliberation {
            let deliberation = act.authorize(Action::ReopenReview, Resource::Proposal(&proposal.facts))?;
            vaults::remove_keys(&mut act, &deliberation, Subject::proposal(&proposal), &vault, &row.reviewer).await?;
        }
    }
    act.finish(Answer::done()).await
}

/// Takes a reopening back, with a reason, as long as the reviewer has handed in nothing since: the review counts again. Its reviewer
/// gets a key to the others' reviews from an officer, as at the first time.
pub async fn reinstate(exchange: &Exchange, context: &RequestContext, id: ReviewId, reason: &str) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let (row, proposal, permit) = to_reopen(&mut act, id).await?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let reason = required_reason(Some(reason))?;
    if proposal.row.is_decided {
        return Err(Refusal::DecisionFinal.into());
    }
    if proposal.facts.reviewed.contains(&row.reviewer) {
        return Err(Refusal::AlreadyReviewed { member: row.reviewer }.into());
    }
    // The reviewer's newest revision is reopened, and only that one can be taken back.
    if !is_latest(&mut act, &row).await? {
        return Err(Refusal::NoReview { member: row.reviewer }.into());
    }
    reviews::reinstate(&mut act.tx, &permit, &row).await?;
    let (review, revision, reason) = (row.id, row.revision, reason.to_owned());
    act.log(Subject::proposal(&proposal), ReviewReinstated { review, reviewer: row.reviewer, revision, reason })
        .await?;
    act.finish(Answer::done()).await
}

pub(super) fn need_review(proposal: &ProposalState) -> Result<()> {
    match proposal.call.phase {
        Phase::Review => Ok(()),
        phase => Err(Refusal::WrongPhase { phase, needed: "a call under review" }.into()),
    }
}

fn answer(proposal: &ProposalState, row: ReviewRow, set_aside: Option<SetAside>, with_content: bool) -> Review {
    Review {
        id: row.id,
        proposal: row.proposal,
        reference: proposal.reference(),
        reviewer: row.reviewer,
        revision: row.revision,
        manifest_sha256: row.manifest,
        submitted_at: row.submitted_at.into(),
        reopened_at: row.reopened.as_ref().map(|reopening| reopening.at.into()),
        reopened_by: row.reopened.and_then(|reopening| reopening.by),
        set_aside,
        statement: row.statement,
        ciphertext: with_content.then(|| BASE64_STANDARD.encode(row.ciphertext)),
    }
}
