//! Decisions signed by every funder, and the sealed letters that tell the parties.

use super::{
    Answer, Asked, Exchange, Principal, Result, ServiceError, manifests,
    state::{self, ProposalState},
    unit::{Act, Subject, View},
    vaults,
};
use crate::{
    domain::{
        Refusal, decision as rules,
        entry::EntryKind,
        id::{DecisionId, DocumentId, MemberId, PartnerCode, ProposalId, Sha256},
        set_aside::SetAside,
    },
    policy::{Action, Resource, counts},
    sealing::statement::{DecisionStatement, LetterStatement},
    storage::{
        Tx,
        decisions::{self, DecisionRow, LetterRow},
    },
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

/// A decision on the table, and which of its signatures are set aside at this instant.
struct OnTable {
    row: DecisionRow,
    set_aside: BTreeMap<MemberId, SetAside>,
}

impl OnTable {
    /// The decision of a proposal, if there is one. Under a final one every signature stays, whatever came later.
    async fn find(exchange: &Exchange, tx: &mut Tx, proposal: &ProposalState) -> Result<Option<Self>> {
        let Some(row) = decisions::current(tx, proposal.row.id).await? else { return Ok(None) };
        let mut set_aside = BTreeMap::new();
        if row.final_at.is_none() {
            let signers: Vec<MemberId> = row.signatures.values().map(|signature| signature.member.clone()).collect();
            set_aside = state::set_aside(exchange, tx, &proposal.facts, &signers, counts::signature_set_aside).await?;
        }
        Ok(Some(Self { row, set_aside }))
    }

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

/// Proposes a decision or adds the caller's partner's signature to the one on the table. The last signature makes it final, if each of
/// the others counts at that instant; one that is set aside is missing, and another decider of its partner signs in its place.
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
    let current = OnTable::find(exchange, &mut act.tx, &proposal).await?;
    act.check_match(&etag(current.as_ref()))?;
    let now = act.now;
    let mut others = BTreeMap::new();
    let row = match current {
        Some(OnTable { row, .. }) if row.final_at.is_some() => return Err(Refusal::DecisionFinal.into()),
        Some(OnTable { row, .. }) if row.outcome != statement.outcome || row.manifest != statement.manifest_sha256 => {
            return Err(Refusal::DecisionDiffers { outcome: row.outcome.to_string() }.into());
        }
        Some(table) => {
            let counting = table.counting();
            // Who has signed signs again when nothing else makes it final: one that was set aside counts again.
            if counting.signatures.contains_key(&partner) && !counting.is_final(funders) {
                return Err(Refusal::AlreadySigned { manifest: table.row.manifest, partner }.into());
            }
            others = counting.signatures;
            table.row
        }
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
    others.insert(partner.clone(), act.me.id.clone());
    let is_final = rules::Decision { outcome: row.outcome, signatures: others }.is_final(funders);
    let replaced = row.signatures.get(&partner).map(|signature| signature.member.clone());
    decisions::sign(&mut act.tx, &permit, &row, &body.decision, is_final, now).await?;
    let subject = Subject::proposal(&proposal);
    let mut payload = json!({
        "decision": row.id, "outcome": row.outcome, "partner": partner, "manifest_sha256": row.manifest,
        "statement": body.decision,
    });
    if let Some(replaced) = replaced {
        payload["in_place_of"] = json!(replaced);
    }
    act.log(EntryKind::DecisionSigned, subject, &payload).await?;
    if is_final {
        let payload = json!({ "decision": row.id, "outcome": row.outcome, "manifest_sha256": row.manifest });
        act.log(EntryKind::DecisionFinal, subject, &payload).await?;
    }
    let current = OnTable::find(exchange, &mut act.tx, &proposal).await?.ok_or(ServiceError::Hidden)?;
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
    let table = OnTable::find(exchange, &mut act.tx, &proposal).await?.ok_or(Refusal::NoDecision)?;
    act.check_match(&etag(Some(&table)))?;
    let row = table.row;
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
    let table = OnTable::find(exchange, &mut view.tx, &proposal).await?;
    let is_final = table.as_ref().is_some_and(|table| table.row.final_at.is_some());
    let follows = view.may(Action::ViewOfficerLog, resource)
        || view.may(Action::Decide, resource)
        || is_final && view.may(Action::ViewPartyLog, resource);
    let table = table.filter(|_| follows).ok_or(ServiceError::Hidden)?;
    let tag = etag(Some(&table));
    Ok((answer(table, &proposal.call.text.funders), tag))
}

/// Sends a sealed letter about a final decision.
pub async fn send_letter(exchange: &Exchange, asked: &Asked, id: ProposalId, body: &SendLetter) -> Result<Answer> {
    let mut act = Act::begin(exchange, asked).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::SendLetter, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let table = OnTable::find(exchange, &mut act.tx, &proposal).await?.ok_or(Refusal::NoDecision)?;
    if table.row.final_at.is_none() {
        let missing: Vec<String> = table.missing(&proposal.call.text.funders).iter().map(ToString::to_string).collect();
        return Err(Refusal::DecisionOpen { missing: missing.join(", ") }.into());
    }
    let decision = table.row;
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

/// Names a state of the table: which decision, who has signed it and whose signature counts.
fn etag(table: Option<&OnTable>) -> String {
    let Some(OnTable { row, set_aside }) = table else { return "\"none\"".to_owned() };
    let signed = row.signatures.iter().map(|(partner, signature)| {
        let aside = set_aside.get(&signature.member).map_or("", |aside| aside.as_str());
        format!("{partner} {} {} {aside}\n", signature.member, signature.signed_at)
    });
    let signed = Sha256::of(signed.collect::<String>().as_bytes()).to_string();
    format!("\"{}.{}.{}\"", row.revision, row.signatures.len(), &signed[..16])
}

fn answer(table: OnTable, funders: &BTreeSet<PartnerCode>) -> Decision {
    let missing = table.missing(funders);
    let OnTable { row, set_aside } = table;
    let signature = |signed: decisions::DecisionSignatureRow| Signature {
        set_aside: set_aside.get(&signed.member).copied(),
        member: signed.member,
        jws: signed.jws,
        signed_at: signed.signed_at.into(),
    };
    Decision {
        id: row.id,
        proposal: row.proposal,
        revision: row.revision,
        outcome: row.outcome,
        manifest_sha256: row.manifest,
        signatures: row.signatures.into_iter().map(|(partner, signed)| (partner, signature(signed))).collect(),
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
