//! The ranking that officers send to those who decide: a sealed line for each proposal, by the policies that decide on that proposal's
//! reviews.
//!
//! The server sees no score, no total and no order. It never holds one file about several proposals, so that who is kept from one of them
//! learns nothing of it from the lines about the others.

use super::{
    Answer, Exchange, RequestContext, Result, ServiceError,
    described::RANKING_READERS,
    manifests, reviews,
    sealed_bytes::Base64Ciphertext,
    state::ProposalState,
    unit::{Act, Subject},
    verified::Verified,
};
use crate::{
    domain::{
        Refusal,
        id::{ProposalId, Sha256},
        vault::VaultKind,
    },
    policy::{Action, Resource},
    sealing::statement::RankingStatement,
    storage::{
        rankings::{self, RankingRow},
        vaults,
    },
    wire::{
        entry::payloads::{Payload, RankingNamed, RankingSent},
        review::{RankingLine, SendRanking},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};

/// Largest sealed line, in bytes.
pub const MAX_RANKING_LINE: usize = 64 << 10;

/// Sends the line about a proposal, in the place of an earlier one.
pub async fn send(exchange: &Exchange, context: &RequestContext, id: ProposalId, body: &SendRanking) -> Result<Answer> {
    let verified = Verified::<RankingStatement>::of(&body.statement).await?;
    let sealed = Base64Ciphertext::of(&body.ciphertext, MAX_RANKING_LINE).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let whole = Resource::Proposal(&proposal.facts);
    let permit = act.authorize(Action::SendRanking, whole)?;
    // Who may not see the reviews says nothing that follows from them.
    act.authorize(Action::ViewDeliberation, whole)?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    reviews::need_review(&proposal)?;
    let signed = act.signed(verified).await?;
    act.require_recent(&signed)?;
    let statement = signed.statement;
    manifests::require_standing(&proposal, statement.manifest_sha256)?;
    let (ciphertext, sha256) = sealed.checked()?;
    let fits = statement.proposal == id
        && statement.reference == proposal.reference()
        && statement.call_text_sha256 == proposal.call.row.text_sha256
        && statement.sha256 == sha256;
    if !fits {
        let fault = "it must say this proposal and its reference, the call text in force, and these bytes".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    if !vaults::of_proposal(&mut act.tx, id).await?.iter().any(|vault| vault.kind == VaultKind::Deliberation) {
        let fault = "an officer has not made the deliberation vault yet".to_owned();
        return Err(Refusal::WrapRefused { fault }.into());
    }
    let before = rankings::find(&mut act.tx, id).await?;
    let row = RankingRow {
        proposal: id,
        sent_by: act.me.id.clone(),
        sent_at: act.now,
        statement: body.statement.clone(),
        ciphertext,
    };
    rankings::send(&mut act.tx, &permit, &row).await?;
    let payload = RankingSent {
        manifest_sha256: statement.manifest_sha256,
        sha256,
        statement: row.statement.clone(),
        in_place_of: before.map(|before| Sha256::of(&before.ciphertext)),
    };
    act.log(Subject::proposal(&proposal), payload).await?;
    act.finish(Answer::json(200, &line(&proposal, row, false))).await
}

/// Takes the line about a proposal back.
pub async fn withdraw(exchange: &Exchange, context: &RequestContext, id: ProposalId) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let whole = Resource::Proposal(&proposal.facts);
    let permit = act.authorize(Action::WithdrawRanking, whole)?;
    // As for sending: who may not see the reviews has no say about what follows from them.
    act.authorize(Action::ViewDeliberation, whole)?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let row = rankings::find(&mut act.tx, id).await?.ok_or(ServiceError::Hidden)?;
    rankings::withdraw(&mut act.tx, &permit, id).await?;
    let named = RankingNamed { sha256: Sha256::of(&row.ciphertext) };
    act.log(Subject::proposal(&proposal), Payload::RankingWithdrawn(named)).await?;
    act.finish(Answer::done()).await
}

/// Fetches the line about a proposal. Leaves an entry.
pub async fn fetch(exchange: &Exchange, context: &RequestContext, id: ProposalId) -> Result<RankingLine> {
    let mut act = Act::begin_read(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    for action in RANKING_READERS {
        act.authorize(*action, Resource::Proposal(&proposal.facts))?;
    }
    let row = rankings::find(&mut act.tx, id).await?.ok_or(ServiceError::Hidden)?;
    let named = RankingNamed { sha256: Sha256::of(&row.ciphertext) };
    act.log(Subject::proposal(&proposal), Payload::RankingFetched(named)).await?;
    act.finish_read(line(&proposal, row, true)).await
}

fn line(proposal: &ProposalState, row: RankingRow, with_content: bool) -> RankingLine {
    RankingLine {
        proposal: row.proposal,
        reference: proposal.reference(),
        sent_by: row.sent_by,
        sent_at: row.sent_at.into(),
        statement: row.statement,
        ciphertext: with_content.then(|| BASE64_STANDARD.encode(row.ciphertext)),
    }
}
