//! Decisions, the signatures under them, and the sealed letters that inform the parties.
//!
//! The last final decision on a proposal is in force; a decision that is neither final nor withdrawn is pending.

use super::{Arg, Row, Sql, StoreError, Tx, WriteTx, args, many};
use crate::{
    domain::{
        decision::Outcome,
        id::{DecisionId, DocumentId, MemberId, PartnerCode, ProposalId, Sha256},
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A decision that was not withdrawn, with its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    pub id: DecisionId,
    pub proposal: ProposalId,
    pub revision: u32,
    pub outcome: Outcome,
    pub manifest: Sha256,
    /// Digest of the final decision that it takes the place of.
    pub supersedes: Option<Sha256>,
    pub reason: Option<String>,
    pub final_at: Option<Timestamp>,
    pub signatures: BTreeMap<PartnerCode, DecisionSignatureRow>,
}

/// A funder's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionSignatureRow {
    pub member: MemberId,
    pub jws: String,
    pub signed_at: Timestamp,
}

/// A letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterRow {
    pub id: DocumentId,
    pub proposal: ProposalId,
    pub sent_by: MemberId,
    pub sent_at: Timestamp,
    /// The party that it is for; none: all of them.
    pub party: Option<PartnerCode>,
    pub statement: String,
    pub ciphertext: Vec<u8>,
    pub is_withdrawn: bool,
}

/// The condition that a row `s` of `decisions` decides its proposal: it is the last final one, and no rescission.
pub(super) const DECIDES: &str = "s.final_at IS NOT NULL AND s.outcome <> 'rescind' AND NOT EXISTS (SELECT 1 FROM decisions l \
                                  WHERE l.proposal_id = s.proposal_id AND l.final_at IS NOT NULL AND l.revision > s.revision)";

/// The decision on the table, if any.
pub async fn on_table(tx: &mut Tx, proposal: ProposalId) -> Result<Option<DecisionRow>, StoreError> {
    let rows = load(tx, proposal, "withdrawn_at IS NULL AND final_at IS NULL").await?;
    Ok(rows.into_iter().next_back())
}

/// The final decisions in their order; the last of them is in force.
pub async fn final_ones(tx: &mut Tx, proposal: ProposalId) -> Result<Vec<DecisionRow>, StoreError> {
    load(tx, proposal, "final_at IS NOT NULL").await
}

async fn load(tx: &mut Tx, proposal: ProposalId, which: &'static str) -> Result<Vec<DecisionRow>, StoreError> {
    let sql = format!(
        "SELECT decision_id, revision, outcome, manifest_sha256, supersedes, reason, final_at FROM decisions \
         WHERE proposal_id = $1 AND {which} ORDER BY revision"
    );
    let mut found = Vec::new();
    for row in tx.fetch_all(Sql::built(sql), args![proposal]).await? {
        let id: DecisionId = row.parse("decision_id")?;
        let sql = "SELECT partner, member, jws, signed_at FROM decision_signatures WHERE decision_id = $1";
        let mut signatures = BTreeMap::new();
        for row in tx.fetch_all(sql, args![id]).await? {
            let signature = DecisionSignatureRow {
                member: row.parse("member")?,
                jws: row.text("jws")?,
                signed_at: row.time("signed_at")?,
            };
            signatures.insert(row.parse("partner")?, signature);
        }
        found.push(DecisionRow {
            id,
            proposal,
            revision: u32::try_from(row.int("revision")?)
                .map_err(|_| StoreError::corrupt("revision", "a small number"))?,
            outcome: row.parse("outcome")?,
            manifest: row.parse("manifest_sha256")?,
            supersedes: row.opt_parse("supersedes")?,
            reason: row.opt_text("reason")?,
            final_at: row.opt_time("final_at")?,
            signatures,
        });
    }
    Ok(found)
}

/// The revision that a new decision on the proposal gets.
pub async fn next_revision(tx: &mut Tx, proposal: ProposalId) -> Result<u32, StoreError> {
    let sql = "SELECT COALESCE(MAX(revision), 0) AS revision FROM decisions WHERE proposal_id = $1";
    let last = tx.fetch_one(sql, args![proposal]).await?.int("revision")?;
    u32::try_from(last + 1).map_err(|_| StoreError::corrupt("revision", "a small number"))
}

/// Puts a decision on the table; it has no signature yet.
pub async fn propose(tx: &mut WriteTx, permit: &Permit, row: &DecisionRow, now: Timestamp) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Decide], row.proposal));
    tx.execute(
        "INSERT INTO decisions (decision_id, proposal_id, call_id, revision, outcome, manifest_sha256, proposed_at, supersedes, \
         reason) VALUES ($1, $2, (SELECT p.call_id FROM proposals p WHERE p.proposal_id = $2), $3, $4, $5, $6, $7, $8)",
        args![
            row.id,
            row.proposal,
            row.revision,
            row.outcome.as_str(),
            row.manifest,
            now,
            row.supersedes,
            row.reason.as_deref()
        ],
    )
    .await?;
    Ok(())
}

/// Adds the principal's signature for its partner, in place of the one of that partner in `row`; `is_final` when it is the last one.
pub async fn sign(
    tx: &mut WriteTx,
    permit: &Permit,
    row: &DecisionRow,
    jws: &str,
    is_final: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Decide], row.proposal));
    let member = permit.principal();
    if row.signatures.contains_key(member.partner()) {
        let sql = "DELETE FROM decision_signatures WHERE decision_id = $1 AND partner = $2";
        tx.execute(sql, args![row.id, member.partner()]).await?;
    }
    let sql =
        "INSERT INTO decision_signatures (decision_id, partner, member, jws, signed_at) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, args![row.id, member.partner(), member, jws, now]).await?;
    if is_final {
        tx.execute("UPDATE decisions SET final_at = $2 WHERE decision_id = $1", args![row.id, now]).await?;
    }
    Ok(())
}

/// Takes a partner's signature back; the decision leaves the table with the last one.
pub async fn unsign(
    tx: &mut WriteTx,
    permit: &Permit,
    row: &DecisionRow,
    partner: &PartnerCode,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::WithdrawDecision], row.proposal) && row.final_at.is_none());
    let sql = "DELETE FROM decision_signatures WHERE decision_id = $1 AND partner = $2";
    tx.execute(sql, args![row.id, partner]).await?;
    tx.execute(
        "UPDATE decisions SET withdrawn_at = $2 WHERE decision_id = $1 \
         AND NOT EXISTS (SELECT 1 FROM decision_signatures s WHERE s.decision_id = $1)",
        args![row.id, now],
    )
    .await?;
    Ok(())
}

const LETTERS: &str =
    "SELECT letter_id, proposal_id, sent_by, sent_at, party, statement, ciphertext, withdrawn_at FROM letters";

/// The letters of a proposal that stand, so many after one of them, oldest first; of those to one party alone only this party's, if one is
/// named. Without their ciphertext: each can have a mebibyte.
pub async fn letters(
    tx: &mut Tx,
    proposal: ProposalId,
    of_party: Option<&PartnerCode>,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<LetterRow>, StoreError> {
    let listed = LETTERS.replace("ciphertext", "substr(ciphertext, 1, 0) AS ciphertext");
    let sql = Sql::built(format!(
        "{listed} WHERE proposal_id = $1 AND letter_id > $2 AND withdrawn_at IS NULL \
         AND (party IS NULL OR party = COALESCE($4, party)) ORDER BY letter_id LIMIT $3"
    ));
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    tx.fetch_all(sql, args![proposal, after, limit, of_party]).await?.iter().map(letter).collect()
}

/// One letter.
pub async fn find_letter(tx: &mut Tx, id: DocumentId) -> Result<Option<LetterRow>, StoreError> {
    let sql = Sql::built(format!("{LETTERS} WHERE letter_id = $1"));
    tx.fetch_optional(sql, args![id]).await?.as_ref().map(letter).transpose()
}

/// Sends a letter.
pub async fn send_letter(tx: &mut WriteTx, permit: &Permit, row: &LetterRow) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::SendLetter], row.proposal));
    tx.execute(
        "INSERT INTO letters (letter_id, proposal_id, sent_by, sent_at, party, statement, ciphertext) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        args![row.id, row.proposal, row.sent_by, row.sent_at, row.party, row.statement, row.ciphertext],
    )
    .await?;
    Ok(())
}

/// Takes a letter back.
pub async fn withdraw_letter(
    tx: &mut WriteTx,
    permit: &Permit,
    row: &LetterRow,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::WithdrawLetter], row.proposal));
    tx.execute("UPDATE letters SET withdrawn_at = $2 WHERE letter_id = $1", args![row.id, now]).await?;
    Ok(())
}

fn letter(row: &Row) -> Result<LetterRow, StoreError> {
    Ok(LetterRow {
        id: row.parse("letter_id")?,
        proposal: row.parse("proposal_id")?,
        sent_by: row.parse("sent_by")?,
        sent_at: row.time("sent_at")?,
        party: row.opt_parse("party")?,
        statement: row.text("statement")?,
        ciphertext: row.bytes("ciphertext")?,
        is_withdrawn: row.opt_time("withdrawn_at")?.is_some(),
    })
}

/// The funders that have signed decisions about these proposals that are not final, by proposal.
pub async fn pending_signatures_among(
    tx: &mut Tx,
    proposals: &[ProposalId],
) -> Result<Vec<(ProposalId, PartnerCode)>, StoreError> {
    let mut found = Vec::new();
    for some in proposals.chunks(many::AT_ONCE) {
        let marks = many::marks(1, some.len());
        let sql = format!(
            "SELECT s.proposal_id, g.partner FROM decisions s JOIN decision_signatures g ON g.decision_id = s.decision_id \
             WHERE s.final_at IS NULL AND s.withdrawn_at IS NULL AND s.proposal_id IN ({marks})"
        );
        for row in tx.fetch_all(Sql::once(sql), some.iter().map(Arg::text).collect()).await? {
            found.push((row.parse("proposal_id")?, row.parse("partner")?));
        }
    }
    Ok(found)
}
