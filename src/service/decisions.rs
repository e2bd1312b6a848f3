//! Decisions signed by every funder, and the sealed letters that tell the parties.

use super::{
    Answer, Asked, Exchange, Principal, Result, ServiceError, manifests,
    unit::{Act, Subject, View},
    vaults,
};
use crate::{
    domain::{
        Refusal, decision as rules,
        entry::EntryKind,
        id::{DecisionId, DocumentId, PartnerCode, ProposalId, Sha256},
    },
    policy::{Action, Resource},
    sealing::statement::{DecisionStatement, LetterStatement},
    storage::decisions::{self, DecisionRow, LetterRow},
    wire::{
        decision::{Decision, Letter, SendLetter, SignDecision, Signature},
        page::Page,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Largest sealed letter, in bytes.
const MAX_LETTER: usize = 1 << 20;

/// Proposes a decision or adds the caller's partner's signature to the one on the table. The last signature makes it final.
///
/// Of two deciders who propose different outcomes at once, the first wins and the second learns what is on the table.
pub async fn sign(exchange: &Exchange, asked: &Asked, id: ProposalId, body: &SignDecision) -> Result<Answer> {
    let mut act = Act::begin(exchange, asked).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Decide, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let statement = act.signed::<DecisionStatement>(&body.decision).await?.statement;
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
    let current = decisions::current(&mut act.tx, id).await?;
    act.check_match(&etag(current.as_ref()))?;
    let now = act.now;
    let row = match current {
        Some(row) if row.final_at.is_some() => return Err(Refusal::DecisionFinal.into()),
        Some(row) if row.outcome != statement.outcome || row.manifest != statement.manifest_sha256 => {
            return Err(Refusal::DecisionDiffers { outcome: row.outcome.to_string() }.into());
        }
        Some(row) if row.signatures.contains_key(&partner) => {
            return Err(Refusal::AlreadySigned { manifest: row.manifest, partner }.into());
        }
        Some(row) => row,
        None => {
            let row = DecisionRow {
                id: DecisionId::new(&*exchange.clock, &*exchange.rng),
                proposal: id,
                revision: decisions::next_revision(&mut act.tx, id).await?,
                outcome: statement.outcome,
                manifest: statement.manifest_sha256,
                final_at: None,
                signatures: BTreeMap::new(),
            };
            decisions::propose(&mut act.tx, &permit, &row, now).await?;
            row
        }
    };
    let mut signatures: BTreeMap<_, _> =
        row.signatures.iter().map(|(partner, signature)| (partner.clone(), signature.member.clone())).collect();
    signatures.insert(partner.clone(), act.me.id.clone());
    let is_final = rules::Decision { outcome: row.outcome, signatures }.is_final(funders);
    decisions::sign(&mut act.tx, &permit, &row, &body.decision, is_final, now).await?;
    let subject = Subject::proposal(&proposal);
    let payload = json!({
        "decision": row.id, "outcome": row.outcome, "partner": partner, "manifest_sha256": row.manifest,
        "statement": body.decision,
    });
    act.log(EntryKind::DecisionSigned, subject, &payload).await?;
    if is_final {
        let payload = json!({ "decision": row.id, "outcome": row.outcome, "manifest_sha256": row.manifest });
        act.log(EntryKind::DecisionFinal, subject, &payload).await?;
    }
    let current = decisions::current(&mut act.tx, id).await?.ok_or(ServiceError::Hidden)?;
    let tag = etag(Some(&current));
    let answer = Answer::json(200, &answer(current, funders)).with_etag(tag);
    act.finish(answer).await
}

/// Takes the caller's partner's signature back, until the last funder has signed.
pub async fn unsign(exchange: &Exchange, asked: &Asked, id: ProposalId) -> Result<Answer> {
    let mut act = Act::begin(exchange, asked).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::WithdrawDecision, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let partner = act.me.id.partner().clone();
    let row = decisions::current(&mut act.tx, id).await?.ok_or(Refusal::NoDecision)?;
    act.check_match(&etag(Some(&row)))?;
    if row.final_at.is_some() {
        return Err(Refusal::DecisionFinal.into());
    }
    if !row.signatures.contains_key(&partner) {
        return Err(Refusal::NoDecision.into());
    }
    let now = act.now;
    decisions::unsign(&mut act.tx, &permit, &row, &partner, now).await?;
    let subject = Subject::proposal(&proposal);
    let payload = json!({ "decision": row.id, "partner": partner });
    act.log(EntryKind::DecisionUnsigned, subject, &payload).await?;
    if row.signatures.len() == 1 {
        act.log(EntryKind::DecisionWithdrawn, subject, &json!({ "decision": row.id })).await?;
    }
    act.finish(Answer::done()).await
}

/// The decision on the table and its `ETag`: for officers and deciders at any time, for the parties once it is final.
pub async fn show(exchange: &Exchange, principal: &Principal, id: ProposalId) -> Result<(Decision, String)> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    let resource = Resource::Proposal(&proposal.facts);
    let row = decisions::current(&mut view.tx, id).await?;
    let is_final = row.as_ref().is_some_and(|row| row.final_at.is_some());
    let follows = view.may(Action::ViewOfficerLog, resource)
        || view.may(Action::Decide, resource)
        || is_final && view.may(Action::ViewPartyLog, resource);
    let row = row.filter(|_| follows).ok_or(ServiceError::Hidden)?;
    let tag = etag(Some(&row));
    Ok((answer(row, &proposal.call.text.funders), tag))
}

/// Sends a sealed letter about a final decision.
pub async fn send_letter(exchange: &Exchange, asked: &Asked, id: ProposalId, body: &SendLetter) -> Result<Answer> {
    let mut act = Act::begin(exchange, asked).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::SendLetter, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let decision = decisions::current(&mut act.tx, id).await?.ok_or(Refusal::NoDecision)?;
    if decision.final_at.is_none() {
        let signatures =
            decision.signatures.iter().map(|(partner, row)| (partner.clone(), row.member.clone())).collect();
        let open = rules::Decision { outcome: decision.outcome, signatures };
        let missing: Vec<String> = open.missing(&proposal.call.text.funders).iter().map(ToString::to_string).collect();
        return Err(Refusal::DecisionOpen { missing: missing.join(", ") }.into());
    }
    let statement = act.signed::<LetterStatement>(&body.statement).await?.statement;
    let ciphertext = vaults::sealed_bytes(&body.ciphertext, MAX_LETTER)?;
    let fits = statement.proposal == id
        && statement.manifest_sha256 == decision.manifest
        && statement.sha256 == Sha256::of(&ciphertext);
    if !fits {
        let fault = "it must say this proposal, the version decided on, and these bytes".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    let row = LetterRow {
        id: DocumentId::new(&*exchange.clock, &*exchange.rng),
        proposal: id,
        sent_by: act.me.id.clone(),
        sent_at: act.now,
        statement: body.statement.clone(),
        ciphertext,
        is_withdrawn: false,
    };
    decisions::send_letter(&mut act.tx, &permit, &row).await?;
    let payload = json!({ "letter": row.id, "sha256": statement.sha256, "statement": row.statement });
    act.log(EntryKind::LetterSent, Subject::proposal(&proposal), &payload).await?;
    act.finish(Answer::created(format!("/v1/proposals/{id}/letters/{}", row.id), &letter(row, false))).await
}

/// Takes a letter back.
pub async fn withdraw_letter(exchange: &Exchange, asked: &Asked, id: ProposalId, letter: DocumentId) -> Result<Answer> {
    let mut act = Act::begin(exchange, asked).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::WithdrawLetter, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let row = decisions::find_letter(&mut act.tx, letter).await?;
    let row = row.filter(|row| row.proposal == id && !row.is_withdrawn).ok_or(ServiceError::Hidden)?;
    let now = act.now;
    decisions::withdraw_letter(&mut act.tx, &permit, &row, now).await?;
    act.log(EntryKind::LetterWithdrawn, Subject::proposal(&proposal), &json!({ "letter": row.id })).await?;
    act.finish(Answer::done()).await
}

/// The letters of a proposal that stand.
pub async fn list_letters(exchange: &Exchange, principal: &Principal, id: ProposalId) -> Result<Page<Letter>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    view.authorize(Action::ReadLetter, Resource::Proposal(&proposal.facts))?;
    let rows = decisions::letters(&mut view.tx, id).await?;
    let items = rows.into_iter().filter(|row| !row.is_withdrawn).map(|row| letter(row, false)).collect();
    Ok(Page { items, next: None })
}

/// Fetches a sealed letter. Leaves an entry.
pub async fn fetch_letter(exchange: &Exchange, asked: &Asked, id: ProposalId, which: DocumentId) -> Result<Letter> {
    let mut act = Act::begin(exchange, asked).await?;
    let proposal = act.proposal(id).await?;
    act.authorize(Action::ReadLetter, Resource::Proposal(&proposal.facts))?;
    let row = decisions::find_letter(&mut act.tx, which).await?;
    let row = row.filter(|row| row.proposal == id && !row.is_withdrawn).ok_or(ServiceError::Hidden)?;
    act.log(EntryKind::LetterFetched, Subject::proposal(&proposal), &json!({ "letter": row.id })).await?;
    act.finish_read(letter(row, true)).await
}

/// Names a state of the table: which decision, and who has signed it.
fn etag(row: Option<&DecisionRow>) -> String {
    match row {
        None => "\"none\"".to_owned(),
        Some(row) => format!("\"{}.{}\"", row.revision, row.signatures.len()),
    }
}

fn answer(row: DecisionRow, funders: &BTreeSet<PartnerCode>) -> Decision {
    let missing = funders.iter().filter(|funder| !row.signatures.contains_key(funder)).cloned().collect();
    Decision {
        id: row.id,
        proposal: row.proposal,
        revision: row.revision,
        outcome: row.outcome,
        manifest_sha256: row.manifest,
        signatures: row
            .signatures
            .into_iter()
            .map(|(partner, s)| (partner, Signature { member: s.member, jws: s.jws, signed_at: s.signed_at.into() }))
            .collect(),
        missing,
        final_at: row.final_at.map(Into::into),
    }
}

fn letter(row: LetterRow, with_content: bool) -> Letter {
    Letter {
        id: row.id,
        proposal: row.proposal,
        sent_by: row.sent_by,
        sent_at: row.sent_at.into(),
        statement: row.statement,
        ciphertext: with_content.then(|| BASE64_STANDARD.encode(row.ciphertext)),
    }
}
