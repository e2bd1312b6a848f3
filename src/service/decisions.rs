//! Decisions signed by every funder, and the sealed letters that inform the parties.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError,
    cursors::SealedCursors,
    manifests,
    sealed_bytes::Base64Ciphertext,
    state::{self, ProposalState},
    stepwise::{STEP, StepwisePage},
    unit::{Act, Subject, View},
    vault_access::reading_of_party,
    verified::Verified,
};
use crate::{
    domain::{
        Refusal,
        call::LetterAudience,
        decision as rules,
        id::{DecisionId, DocumentId, MemberId, PartnerCode, ProposalId, Sha256},
        reference::Reference,
        set_aside::SetAside,
        text::choices,
    },
    policy::{Action, Resource, counts},
    sealing::statement::{DecisionStatement, LetterStatement, decision_digest, verify_signed},
    storage::{
        Tx,
        decisions::{self, DecisionRow, DecisionSignatureRow, LetterRow},
    },
    wire::{
        decision::{Decision, Letter, SendLetter, SignDecision, Signature},
        entry::payloads::{
            DecisionFinal, DecisionSigned, DecisionUnsigned, DecisionWithdrawn, LetterNamed, LetterSent, Payload,
            SupersededDecision,
        },
        page::Page,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::{BTreeMap, BTreeSet};

/// Largest sealed letter, in bytes.
pub const MAX_LETTER: usize = 1 << 20;

/// The decisions on a proposal: the final ones in their order, of which the last is in force, and the pending one.
struct Decisions {
    finals: Vec<DecisionRow>,
    pending: Option<PendingDecision>,
}

/// A decision that is not final yet, and which of its signatures are set aside at this instant. Under a final one every signature stays,
/// whatever came later.
struct PendingDecision {
    row: DecisionRow,
    set_aside: BTreeMap<MemberId, SetAside>,
}

impl Decisions {
    async fn of(exchange: &Exchange, tx: &mut Tx, proposal: &ProposalState) -> Result<Self> {
        let finals = decisions::final_ones(tx, proposal.row.id).await?;
        let pending = match decisions::on_table(tx, proposal.row.id).await? {
            Some(row) => {
                let signers: Vec<MemberId> = row.signatures.values().map(|signed| signed.member.clone()).collect();
                let rule = counts::signature_set_aside;
                Some(PendingDecision {
                    set_aside: state::set_aside(exchange, tx, &proposal.facts, &signers, rule).await?,
                    row,
                })
            }
            None => None,
        };
        Ok(Self { finals, pending })
    }

    fn in_force(&self) -> Option<&DecisionRow> {
        self.finals.last()
    }
}

impl PendingDecision {
    /// The signatures that count.
    fn counting(&self) -> rules::Decision {
        let signatures = self.row.signatures.iter().map(|(partner, row)| (partner.clone(), row.member.clone()));
        let signatures = signatures.filter(|(_, member)| !self.set_aside.contains_key(member)).collect();
        rules::Decision { outcome: self.row.outcome, signatures }
    }

    fn missing(&self, funders: &BTreeSet<PartnerCode>) -> BTreeSet<PartnerCode> {
        self.counting().missing(funders).into_iter().cloned().collect()
    }
}

fn terms(row: &DecisionRow) -> rules::Terms<'_> {
    let DecisionRow { outcome, manifest, supersedes, reason, .. } = row;
    rules::Terms { outcome: *outcome, manifest: *manifest, supersedes: *supersedes, reason: reason.as_deref() }
}

/// The digest that identifies a decision, as its signers signed it.
fn digest(row: &DecisionRow) -> Sha256 {
    decision_digest(row.proposal, row.manifest, row.outcome, row.supersedes.as_ref(), row.reason.as_deref())
}

/// Proposes a decision or adds the caller's partner's signature to the pending one. The last signature makes it final, if each of
/// the others counts at that instant; one that is set aside is missing, and another decider of its partner signs in its place. Over a
/// final decision another one comes the same way, which names it and says why.
///
/// If two deciders propose different outcomes at once, the first wins and the second learns which decision is pending.
pub async fn sign(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &SignDecision,
) -> Result<Answer> {
    let verified = Verified::<DecisionStatement>::of(&body.decision).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Decide, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let statement = act.signed(verified).await?.statement;
    let partner = act.me.id.partner().clone();
    if statement.proposal != id || statement.partner != partner {
        let fault = "it is for another proposal or partner".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    let funders = &proposal.call.text.funders;
    if !funders.contains(&partner) {
        return Err(Refusal::NotFunder { partner }.into());
    }
    manifests::require_standing(&proposal, statement.manifest_sha256)?;
    let known = Decisions::of(exchange, &mut act.tx, &proposal).await?;
    act.check_match(&etag(&known))?;
    let said = rules::Terms {
        outcome: statement.outcome,
        manifest: statement.manifest_sha256,
        supersedes: statement.supersedes,
        reason: statement.reason.as_deref(),
    };
    let before = known.finals.last().map(|row| (terms(row), digest(row)));
    said.check_follows(before.as_ref().map(|(terms, digest)| (terms, *digest)))?;
    let now = act.now;
    let mut others = BTreeMap::new();
    let row = match known.pending {
        Some(pending) if terms(&pending.row) != said => {
            return Err(Refusal::DecisionDiffers { outcome: pending.row.outcome.to_string() }.into());
        }
        Some(pending) => {
            let counting = pending.counting();
            // Who has signed signs again when nothing else makes it final: one that was set aside counts again.
            if counting.signatures.contains_key(&partner) && !counting.is_final(funders) {
                return Err(Refusal::AlreadySigned { manifest: pending.row.manifest, partner }.into());
            }
            others = counting.signatures;
            pending.row
        }
        None => {
            let row = DecisionRow {
                id: DecisionId::new(&*exchange.clock, &*exchange.rng),
                proposal: id,
                revision: decisions::next_revision(&mut act.tx, id).await?,
                outcome: statement.outcome,
                manifest: statement.manifest_sha256,
                supersedes: statement.supersedes,
                reason: statement.reason.clone(),
                final_at: None,
                signatures: BTreeMap::new(),
            };
            decisions::propose(&mut act.tx, &permit, &row, now).await?;
            row
        }
    };
    others.insert(partner.clone(), act.me.id.clone());
    let is_final = rules::Decision { outcome: row.outcome, signatures: others }.is_final(funders);
    let replaced = row.signatures.get(&partner).map(|signature| signature.member.clone());
    decisions::sign(&mut act.tx, &permit, &row, &body.decision, is_final, now).await?;
    let subject = Subject::proposal(&proposal);
    let (decision, outcome, manifest_sha256) = (row.id, row.outcome, row.manifest);
    let payload = DecisionSigned {
        decision,
        outcome,
        partner,
        manifest_sha256,
        statement: body.decision.clone(),
        in_place_of: replaced,
    };
    act.log(subject, payload).await?;
    if is_final {
        let superseded = before.map(|(_, supersedes)| SupersededDecision { supersedes, reason: row.reason.clone() });
        act.log(subject, DecisionFinal { decision, outcome, manifest_sha256, superseded }).await?;
    }
    let known = Decisions::of(exchange, &mut act.tx, &proposal).await?;
    let tag = etag(&known);
    let shown = answer(known, &proposal).ok_or(ServiceError::Hidden)?;
    act.finish(Answer::json(200, &shown).with_etag(tag)).await
}

/// Takes the caller's partner's signature back, until the last funder has signed.
pub async fn unsign(exchange: &Exchange, context: &RequestContext, id: ProposalId) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::WithdrawDecision, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let partner = act.me.id.partner().clone();
    let known = Decisions::of(exchange, &mut act.tx, &proposal).await?;
    act.check_match(&etag(&known))?;
    let nothing = if known.finals.is_empty() { Refusal::NoDecision } else { Refusal::DecisionFinal };
    let row = known.pending.ok_or(nothing)?.row;
    if !row.signatures.contains_key(&partner) {
        return Err(Refusal::NoDecision.into());
    }
    let now = act.now;
    decisions::unsign(&mut act.tx, &permit, &row, &partner, now).await?;
    let subject = Subject::proposal(&proposal);
    act.log(subject, DecisionUnsigned { decision: row.id, partner }).await?;
    if row.signatures.len() == 1 {
        act.log(subject, DecisionWithdrawn { decision: row.id }).await?;
    }
    act.finish(Answer::done()).await
}

/// The decision in force, or the pending one, and its `ETag`: for officers and deciders at any time, for the parties once one is final.
pub async fn show(exchange: &Exchange, principal: &Principal, id: ProposalId) -> Result<(Decision, String)> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    let resource = Resource::Proposal(&proposal.facts);
    let mut known = Decisions::of(exchange, &mut view.tx, &proposal).await?;
    let follows = view.may(Action::ViewOfficerLog, resource) || view.may(Action::Decide, resource);
    if !follows {
        if !view.may(Action::ViewPartyLog, resource) {
            return Err(ServiceError::Hidden);
        }
        known.pending = None;
    }
    let tag = etag(&known);
    let shown = answer(known, &proposal).ok_or(ServiceError::Hidden)?;
    Ok((shown, tag))
}

/// Sends a sealed letter about a final decision.
pub async fn send_letter(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &SendLetter,
) -> Result<Answer> {
    let verified = Verified::<LetterStatement>::of(&body.statement).await?;
    let sealed = Base64Ciphertext::of(&body.ciphertext, MAX_LETTER).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::SendLetter, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let mut known = Decisions::of(exchange, &mut act.tx, &proposal).await?;
    let Some(decision) = known.finals.pop() else {
        let pending = known.pending.ok_or(Refusal::NoDecision)?;
        let missing: Vec<String> =
            pending.missing(&proposal.call.text.funders).iter().map(ToString::to_string).collect();
        return Err(Refusal::DecisionOpen { missing: missing.join(", ") }.into());
    };
    let statement = act.signed(verified).await?.statement;
    let (ciphertext, sha256) = sealed.checked()?;
    check_audience(&proposal, statement.party.as_ref())?;
    let fits = statement.proposal == id
        && statement.manifest_sha256 == decision.manifest
        && statement.sha256 == sha256
        && statement.reference.as_ref().is_none_or(|signed| *signed == proposal.reference())
        && is_about(&statement, &decision);
    if !fits {
        let fault =
            "it must say this proposal and its reference, the decision in force, the version decided on, and these bytes".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    let row = LetterRow {
        id: DocumentId::new(&*exchange.clock, &*exchange.rng),
        proposal: id,
        sent_by: act.me.id.clone(),
        sent_at: act.now,
        party: statement.party,
        statement: body.statement.clone(),
        ciphertext,
        is_withdrawn: false,
    };
    decisions::send_letter(&mut act.tx, &permit, &row).await?;
    let payload = LetterSent {
        letter: row.id,
        sha256: statement.sha256,
        party: row.party.clone(),
        statement: row.statement.clone(),
    };
    act.log(Subject::proposal(&proposal), payload).await?;
    act.finish(Answer::created(format!("/v1/proposals/{id}/letters/{}", row.id), &letter(&proposal, row, false, false)))
        .await
}

/// Takes a letter back.
pub async fn withdraw_letter(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    letter: DocumentId,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::WithdrawLetter, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let row = decisions::find_letter(&mut act.tx, letter).await?;
    let row = row.filter(|row| row.proposal == id && !row.is_withdrawn).ok_or(ServiceError::Hidden)?;
    let now = act.now;
    decisions::withdraw_letter(&mut act.tx, &permit, &row, now).await?;
    act.log(Subject::proposal(&proposal), Payload::LetterWithdrawn(LetterNamed { letter: row.id })).await?;
    act.finish(Answer::done()).await
}

/// A page of the letters of a proposal that stand.
pub async fn list_letters(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Letter>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    view.authorize(Action::ReadLetter, Resource::Proposal(&proposal.facts))?;
    let in_force = decisions::final_ones(&mut view.tx, id).await?.pop();
    // A party has no part in letters that are for another one alone.
    let own = proposal.facts.shows_as_party(&principal.member).then(|| principal.member.partner());
    let cursors = SealedCursors::of(exchange, "letters", &principal.member).within("proposal", &id);
    let mut page = StepwisePage::<DocumentId, _>::new(limit, cursors, cursor)?;
    while page.is_open() {
        let rows = decisions::letters(&mut view.tx, id, own, page.after().copied(), STEP).await?;
        let item = |row: LetterRow| {
            let is_superseded = is_superseded(&row, in_force.as_ref());
            (row.id, letter(&proposal, row, is_superseded, false))
        };
        page.add(rows.into_iter().map(item).collect());
    }
    Ok(page.finish())
}

/// Fetches a sealed letter. Leaves an entry.
pub async fn fetch_letter(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    which: DocumentId,
) -> Result<Letter> {
    let mut act = Act::begin_read(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    act.authorize(Action::ReadLetter, Resource::Proposal(&proposal.facts))?;
    let row = decisions::find_letter(&mut act.tx, which).await?;
    let row = row.filter(|row| row.proposal == id && !row.is_withdrawn).ok_or(ServiceError::Hidden)?;
    // It is sealed to where that party's restricted documents are.
    if let Some(owner) = &row.party {
        let (action, resource) = reading_of_party(&proposal, owner, &act.me.id);
        act.authorize(action, resource)?;
    }
    act.log(Subject::proposal(&proposal), Payload::LetterFetched(LetterNamed { letter: row.id })).await?;
    let in_force = decisions::final_ones(&mut act.tx, id).await?.pop();
    let is_superseded = is_superseded(&row, in_force.as_ref());
    act.finish_read(letter(&proposal, row, is_superseded, true)).await
}

/// Names the final decisions and the pending one: who has signed it and whose signature counts.
fn etag(known: &Decisions) -> String {
    if known.finals.is_empty() && known.pending.is_none() {
        return "\"none\"".to_owned();
    }
    let rows = known.finals.iter().chain(known.pending.as_ref().map(|pending| &pending.row));
    let mut said: Vec<String> = rows.map(|row| format!("{} {}\n", row.id, row.revision)).collect();
    if let Some(PendingDecision { row, set_aside }) = &known.pending {
        said.extend(row.signatures.iter().map(|(partner, signature)| {
            let aside = set_aside.get(&signature.member).map_or("", |aside| aside.as_str());
            format!("{partner} {} {} {aside}\n", signature.member, signature.signed_at)
        }));
    }
    let newest = known.pending.as_ref().map(|pending| &pending.row).or(known.in_force()).map_or(0, |row| row.revision);
    format!("\"{newest}.{}\"", &Sha256::of(said.concat().as_bytes()).to_string()[..16])
}

/// The decision in force with those before it and the pending one; or the pending one alone.
fn answer(mut known: Decisions, proposal: &ProposalState) -> Option<Decision> {
    let (funders, reference) = (&proposal.call.text.funders, proposal.reference());
    let described = |missing, row, set_aside: &_| decision(&reference, missing, row, set_aside);
    let pending = known.pending.map(|pending| described(pending.missing(funders), pending.row, &pending.set_aside));
    let Some(in_force) = known.finals.pop() else { return pending };
    let finals = |row: DecisionRow| described(BTreeSet::new(), row, &BTreeMap::new());
    let before = known.finals.into_iter().map(finals).collect();
    Some(Decision { before, next: pending.map(Box::new), ..finals(in_force) })
}

fn decision(
    reference: &Reference,
    missing: BTreeSet<PartnerCode>,
    row: DecisionRow,
    set_aside: &BTreeMap<MemberId, SetAside>,
) -> Decision {
    let signature = |signed: DecisionSignatureRow| Signature {
        set_aside: set_aside.get(&signed.member).copied(),
        member: signed.member,
        jws: signed.jws,
        signed_at: signed.signed_at.into(),
    };
    Decision {
        id: row.id,
        proposal: row.proposal,
        reference: reference.clone(),
        revision: row.revision,
        outcome: row.outcome,
        manifest_sha256: row.manifest,
        supersedes: row.supersedes,
        reason: row.reason,
        signatures: row.signatures.into_iter().map(|(partner, signed)| (partner, signature(signed))).collect(),
        missing,
        final_at: row.final_at.map(Into::into),
        before: Vec::new(),
        next: None,
    }
}

/// Refuses a letter that is not for whom the call's text says that letters are.
fn check_audience(proposal: &ProposalState, party: Option<&PartnerCode>) -> Result<()> {
    let parties = &proposal.facts.parties;
    let fault = match (proposal.call.text.letters, party) {
        (LetterAudience::AllParties, None) => return Ok(()),
        (LetterAudience::OneParty, Some(party)) if parties.contains(party) => return Ok(()),
        (LetterAudience::AllParties, Some(_)) => {
            "it names a `party`, and under this call a letter is for all parties; leave that out".to_owned()
        }
        (LetterAudience::OneParty, _) => {
            format!("under this call each letter is for one party; name it in `party`, one of {}", choices(parties))
        }
    };
    Err(Refusal::Statement { fault }.into())
}

/// Whether a letter's statement is about the decision. One that names none is about a first one.
fn is_about(letter: &LetterStatement, decision: &DecisionRow) -> bool {
    letter.decision_sha256.map_or(decision.supersedes.is_none(), |named| named == digest(decision))
}

/// Whether the decision that a letter is about is no longer in force.
fn is_superseded(row: &LetterRow, in_force: Option<&DecisionRow>) -> bool {
    let said = verify_signed::<LetterStatement>(&row.statement);
    !said.is_ok_and(|said| in_force.is_some_and(|in_force| is_about(&said.statement, in_force)))
}

fn letter(proposal: &ProposalState, row: LetterRow, is_superseded: bool, with_content: bool) -> Letter {
    Letter {
        id: row.id,
        proposal: row.proposal,
        reference: proposal.reference(),
        sent_by: row.sent_by,
        sent_at: row.sent_at.into(),
        is_superseded,
        party: row.party,
        statement: row.statement,
        ciphertext: with_content.then(|| BASE64_STANDARD.encode(row.ciphertext)),
    }
}
