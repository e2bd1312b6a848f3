//! Where to look for what waits for a member: one statement a kind, which begins at the member's own rows.
//!
//! Nothing here is an item. What is found may be hidden from the member, or may wait for nobody any more by the rules of the domain: the
//! service decides on each. Each statement names a bounded number of rows, and what it costs follows what the member takes part in, not how
//! much the exchange holds.

use super::{
    Arg, Row, Sql, StoreError, Tx, args,
    vaults::{self, VaultRow},
};
use crate::domain::id::{CallId, DocumentId, MemberId, PartnerCode, ProposalId, Sha256};
use jiff::Timestamp;

/// A proposal on which something may wait for the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub proposal: ProposalId,
    pub since: Option<Timestamp>,
}

/// An invitation that the member has not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInvitation {
    pub proposal: ProposalId,
    pub since: Timestamp,
    /// The officer who consented to the member joining after the deadline, and where the member worked by then.
    pub consent: Option<(MemberId, String)>,
}

/// A letter that the member has not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadLetter {
    pub proposal: ProposalId,
    pub letter: DocumentId,
    pub since: Timestamp,
}

/// A proposal of the member's own that is not handed in, or not as its newest version has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfinishedProposal {
    pub proposal: ProposalId,
    /// The newest version that the member's party has signed; 0 if it has signed none.
    pub signed: u32,
    /// When the newest version was proposed.
    pub newest_at: Option<Timestamp>,
}

/// A relabelling that the member's party has not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsignedLabel {
    pub proposal: ProposalId,
    pub number: u32,
    /// The manifest of the version that it is about.
    pub manifest: Sha256,
    pub since: Timestamp,
}

/// A proposal that the member is to review, whose key the member has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToReview {
    pub proposal: ProposalId,
    /// When the member declared to have no conflict.
    pub since: Timestamp,
    /// Whether the member has fetched a document of it. A summary is fetched for the title in a list, too, so it counts alone where the
    /// panel has nothing else to read.
    pub has_read: bool,
}

/// A member who lacks a key to a vault that the asking member can open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingHolder {
    pub proposal: ProposalId,
    /// Without its statement.
    pub vault: VaultRow,
    pub holder: MemberId,
}

/// The key cards of a partner that run out within some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiringCards {
    pub cards: u64,
    pub first_at: Timestamp,
}

/// The proposals that the member is asked to join, the newest first, and so many by each inviting partner at most: none fills the place of the
/// others.
pub async fn invitations(
    tx: &mut Tx,
    me: &MemberId,
    by_each: u32,
    limit: u32,
) -> Result<Vec<OpenInvitation>, StoreError> {
    let sql = "SELECT n.proposal_id, n.since, n.consented_by, n.consented_for FROM (\
               SELECT i.proposal_id, i.invited_at AS since, i.consented_by, i.consented_for, \
               ROW_NUMBER() OVER (PARTITION BY m.partner ORDER BY i.invited_at DESC, i.proposal_id) AS place \
               FROM party_invitations i JOIN members m ON m.member = i.invited_by \
               WHERE i.member = $1 AND i.acceptance IS NULL) n \
               WHERE n.place <= $2 ORDER BY n.since DESC, n.proposal_id LIMIT $3";
    let row = |row: &Row| {
        Ok(OpenInvitation {
            proposal: row.parse("proposal_id")?,
            since: row.time("since")?,
            consent: row.opt_parse("consented_by")?.zip(row.opt_text("consented_for")?),
        })
    };
    tx.fetch_all(sql, args![me, by_each, limit]).await?.iter().map(row).collect()
}

/// The member's own proposals that are not finished, the newest first.
pub async fn unfinished(tx: &mut Tx, me: &MemberId, limit: u32) -> Result<Vec<UnfinishedProposal>, StoreError> {
    let sql = "SELECT p.proposal_id, \
               (SELECT MAX(s.version) FROM manifest_signatures s WHERE s.proposal_id = p.proposal_id AND s.partner = $2) AS signed, \
               (SELECT MAX(m.created_at) FROM manifests m WHERE m.proposal_id = p.proposal_id) AS newest_at \
               FROM proposal_members q JOIN proposals p ON p.proposal_id = q.proposal_id JOIN calls c ON c.call_id = p.call_id \
               WHERE q.member = $1 AND p.withdrawn_at IS NULL AND c.cancelled_at IS NULL AND c.closed_at IS NULL \
               AND (p.complete_under < c.baseline OR p.complete_under = 0 OR EXISTS (SELECT 1 FROM manifests m \
                    WHERE m.proposal_id = p.proposal_id AND m.complete_at IS NULL AND NOT EXISTS (SELECT 1 FROM manifests n \
                    WHERE n.proposal_id = m.proposal_id AND n.version > m.version))) \
               ORDER BY p.created_at DESC, p.proposal_id LIMIT $3";
    let row = |row: &Row| {
        Ok(UnfinishedProposal {
            proposal: row.parse("proposal_id")?,
            signed: small("signed", row.opt_int("signed")?.unwrap_or_default())?,
            newest_at: row.opt_time("newest_at")?,
        })
    };
    tx.fetch_all(sql, args![me, me.partner(), limit]).await?.iter().map(row).collect()
}

/// The newest relabellings of the member's own proposals, where they wait for the member's party.
pub async fn unsigned_labels(tx: &mut Tx, me: &MemberId, limit: u32) -> Result<Vec<UnsignedLabel>, StoreError> {
    let sql = "SELECT l.proposal_id, l.number, l.manifest_sha256, l.created_at FROM proposal_members q \
               JOIN label_statements l ON l.proposal_id = q.proposal_id \
               WHERE q.member = $1 AND l.in_force_at IS NULL \
               AND NOT EXISTS (SELECT 1 FROM label_statements n WHERE n.proposal_id = l.proposal_id AND n.number > l.number) \
               AND NOT EXISTS (SELECT 1 FROM label_signatures s WHERE s.proposal_id = l.proposal_id AND s.number = l.number \
                               AND s.partner = $2) \
               ORDER BY l.created_at, l.proposal_id LIMIT $3";
    let row = |row: &Row| {
        Ok(UnsignedLabel {
            proposal: row.parse("proposal_id")?,
            number: small("number", row.int("number")?)?,
            manifest: row.parse("manifest_sha256")?,
            since: row.time("created_at")?,
        })
    };
    tx.fetch_all(sql, args![me, me.partner(), limit]).await?.iter().map(row).collect()
}

/// The letters about the member's own proposals that the member has not fetched, so many of each: the first of each, then the second, the
/// oldest first. Many about one proposal keep no other from sight.
pub async fn unread_letters(tx: &mut Tx, me: &MemberId, limit: u32) -> Result<Vec<UnreadLetter>, StoreError> {
    // What was fetched is on the log alone. Payloads are canonical JSON, so that of a letter has one form.
    let sql = "SELECT proposal_id, letter_id, sent_at FROM (SELECT l.proposal_id, l.letter_id, l.sent_at, \
               ROW_NUMBER() OVER (PARTITION BY l.proposal_id ORDER BY l.sent_at, l.letter_id) AS place \
               FROM proposal_members q \
               JOIN letters l ON l.proposal_id = q.proposal_id \
               WHERE q.member = $1 AND l.withdrawn_at IS NULL AND (l.party IS NULL OR l.party = $2) \
               AND NOT EXISTS (SELECT 1 FROM log_entries e \
                    WHERE e.proposal_id = l.proposal_id AND e.actor = $1 AND e.kind = 'letter.fetched' \
                    AND e.payload = '{\"letter\":\"' || l.letter_id || '\"}')) AS unread \
               WHERE place <= 5 ORDER BY place, sent_at, letter_id LIMIT $3";
    let row = |row: &Row| {
        Ok(UnreadLetter {
            proposal: row.parse("proposal_id")?,
            letter: row.parse("letter_id")?,
            since: row.time("sent_at")?,
        })
    };
    tx.fetch_all(sql, args![me, me.partner(), limit]).await?.iter().map(row).collect()
}

/// The proposals that the member is to review and can open, whose review is not in.
pub async fn to_review(tx: &mut Tx, me: &MemberId, limit: u32) -> Result<Vec<ToReview>, StoreError> {
    // Payloads are canonical JSON, so that the slot in one has one form.
    let sql = "SELECT a.proposal_id, d.declared_at, EXISTS (SELECT 1 FROM log_entries e \
                    WHERE e.proposal_id = a.proposal_id AND e.actor = $1 AND e.kind = 'document.fetched' \
                    AND (e.payload NOT LIKE '%\"slot\":\"summary\"%' OR NOT EXISTS (SELECT 1 FROM documents f \
                         WHERE f.proposal_id = a.proposal_id AND f.removed_at IS NULL AND f.party IS NULL \
                         AND f.slot <> 'summary'))) AS has_read \
               FROM assignments a \
               JOIN declarations d ON d.proposal_id = a.proposal_id AND d.member = a.reviewer AND NOT d.conflict \
               WHERE a.reviewer = $1 AND NOT EXISTS (SELECT 1 FROM reviews r \
                    WHERE r.proposal_id = a.proposal_id AND r.reviewer = a.reviewer AND r.reopened_at IS NULL \
                    AND r.revision = (SELECT MAX(l.revision) FROM reviews l \
                                      WHERE l.proposal_id = r.proposal_id AND l.reviewer = r.reviewer)) \
               AND EXISTS (SELECT 1 FROM vaults v JOIN wrapped_keys k ON k.vault_id = v.vault_id \
                    WHERE v.proposal_id = a.proposal_id AND v.kind = 'panel' AND k.holder = a.reviewer) \
               ORDER BY d.declared_at, a.proposal_id LIMIT $2";
    let row = |row: &Row| {
        Ok(ToReview {
            proposal: row.parse("proposal_id")?,
            since: row.time("declared_at")?,
            has_read: row.bool("has_read")?,
        })
    };
    tx.fetch_all(sql, args![me, limit]).await?.iter().map(row).collect()
}

/// The proposals in calls that the member runs where a reviewer declined and nobody was assigned since, the longest first.
pub async fn declined_assignments(tx: &mut Tx, me: &MemberId, limit: u32) -> Result<Vec<Candidate>, StoreError> {
    let sql = "SELECT d.proposal_id, MIN(d.declined_at) AS since FROM call_roles r \
               JOIN declined_assignments d ON d.call_id = r.call_id AND d.replaced_at IS NULL \
               WHERE r.member = $1 AND r.role = 'officer' \
               GROUP BY d.proposal_id ORDER BY MIN(d.declined_at), d.proposal_id LIMIT $2";
    tx.fetch_all(sql, args![me, limit]).await?.iter().map(candidate).collect()
}

/// The proposals with a decision that waits for the signature of the member's nation, in calls where the member decides, the longest first.
pub async fn unsigned_decisions(tx: &mut Tx, me: &MemberId, limit: u32) -> Result<Vec<Candidate>, StoreError> {
    let sql = "SELECT s.proposal_id, s.proposed_at AS since FROM call_roles r JOIN decisions s ON s.call_id = r.call_id \
               WHERE r.member = $1 AND r.role = 'decider' AND s.final_at IS NULL AND s.withdrawn_at IS NULL \
               AND NOT EXISTS (SELECT 1 FROM decision_signatures g WHERE g.decision_id = s.decision_id AND g.partner = $2) \
               ORDER BY s.proposed_at, s.proposal_id LIMIT $3";
    tx.fetch_all(sql, args![me, me.partner(), limit]).await?.iter().map(candidate).collect()
}

/// Members of the panel who lack a key of a proposal on which the member, an officer who can open it, has declared to have no conflict.
/// Reviewers are named for the panel's vault, and for that of the reviews once theirs is in; deciders for every vault.
///
/// First comes one place of each holder in each call, then another one of each: where one cannot be helped, the others are found. Of what the
/// member has declared on, the newest proposals are looked at, as many as `declared` says. The calls are few and chosen first, and of each
/// holder the keys are looked at before all else, for most lack none.
pub async fn lacking_on_panel(
    tx: &mut Tx,
    me: &MemberId,
    now: Timestamp,
    declared: u32,
    limit: u32,
) -> Result<Vec<LackingHolder>, StoreError> {
    let sql = format!(
        "WITH led AS MATERIALIZED (SELECT r.call_id FROM call_roles r JOIN calls c ON c.call_id = r.call_id \
               WHERE r.member = $1 AND r.role = 'officer' AND c.cancelled_at IS NULL AND EXISTS \
               (SELECT 1 FROM wrapped_keys k WHERE k.vault_id = c.vault_id AND k.holder = r.member)) \
         SELECT v.vault_id, v.kind, v.call_id, v.proposal_id, v.party, v.recipient, '' AS statement, v.created_by, o.member AS holder, \
         ROW_NUMBER() OVER (PARTITION BY v.call_id, o.member ORDER BY v.proposal_id, v.vault_id) AS turn \
         FROM (SELECT e.proposal_id, e.member, p.call_id FROM declarations e \
               JOIN proposals p ON p.proposal_id = e.proposal_id \
               JOIN led ON led.call_id = p.call_id \
               WHERE e.member = $1 AND NOT e.conflict AND p.withdrawn_at IS NULL \
               ORDER BY e.proposal_id DESC LIMIT $4) d \
         JOIN declarations o ON o.proposal_id = d.proposal_id AND o.member <> d.member AND NOT o.conflict \
         JOIN vaults v ON v.proposal_id = d.proposal_id AND v.kind IN ('panel', 'staff', 'deliberation') \
         WHERE {LACKS} \
         AND NOT EXISTS (SELECT 1 FROM call_roles q WHERE q.call_id = d.call_id AND q.member = o.member AND q.role = 'officer') \
         AND (EXISTS (SELECT 1 FROM call_roles q WHERE q.call_id = d.call_id AND q.member = o.member AND q.role = 'decider') \
              OR v.kind = 'panel' AND EXISTS (SELECT 1 FROM assignments a \
                    WHERE a.proposal_id = d.proposal_id AND a.reviewer = o.member) \
              OR v.kind = 'deliberation' AND EXISTS (SELECT 1 FROM reviews w \
                    WHERE w.proposal_id = d.proposal_id AND w.reviewer = o.member)) \
         AND {TAKES_PART} ORDER BY turn, v.call_id, o.member LIMIT $3"
    );
    // Planned for this member: one plan for all of them would look at twice as much in PostgreSQL.
    tx.fetch_all(Sql::once(sql), args![me, now, limit, declared]).await?.iter().map(lacking).collect()
}

/// Members of the parties who lack a key of a proposal to which the member is party and can open it, the newest proposals first.
pub async fn lacking_in_parties(
    tx: &mut Tx,
    me: &MemberId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<LackingHolder>, StoreError> {
    let sql = format!(
        "SELECT v.vault_id, v.kind, v.call_id, v.proposal_id, v.party, v.recipient, '' AS statement, v.created_by, o.member AS holder \
         FROM proposal_members q \
         JOIN proposals p ON p.proposal_id = q.proposal_id \
         JOIN proposal_members o ON o.proposal_id = q.proposal_id AND o.member <> q.member \
         JOIN vaults v ON v.proposal_id = q.proposal_id AND v.kind IN ('panel', 'staff', 'parties') \
         WHERE q.member = $1 AND p.withdrawn_at IS NULL \
         AND (v.kind <> 'staff' OR v.party = q.partner AND o.partner = q.partner) \
         AND EXISTS (SELECT 1 FROM wrapped_keys k WHERE k.vault_id = v.vault_id AND k.holder = q.member) \
         AND {LACKS} AND {TAKES_PART} ORDER BY q.proposal_id DESC, v.vault_id, o.member LIMIT $3"
    );
    tx.fetch_all(Sql::built(sql), args![me, now, limit]).await?.iter().map(lacking).collect()
}

/// Officers who lack a key to the vault of a call that the member, an officer there too, can open.
pub async fn lacking_officers(
    tx: &mut Tx,
    me: &MemberId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(CallId, MemberId)>, StoreError> {
    let sql = format!(
        "SELECT v.call_id, o.member FROM call_roles r \
         JOIN calls v ON v.call_id = r.call_id \
         JOIN call_roles o ON o.call_id = r.call_id AND o.role = 'officer' AND o.member <> r.member \
         WHERE r.member = $1 AND r.role = 'officer' AND v.cancelled_at IS NULL \
         AND EXISTS (SELECT 1 FROM wrapped_keys k WHERE k.vault_id = v.vault_id AND k.holder = r.member) \
         AND {TAKES_PART} AND {LACKS} ORDER BY v.call_id DESC, o.member LIMIT $3"
    );
    let rows = tx.fetch_all(Sql::built(sql), args![me, now, limit]).await?;
    rows.iter().map(|row| Ok((row.parse("call_id")?, row.parse("member")?))).collect()
}

/// The key cards of a partner that are active now and run out by then; none if there is none.
pub async fn expiring_cards(
    tx: &mut Tx,
    partner: &PartnerCode,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<ExpiringCards>, StoreError> {
    let sql = "SELECT COUNT(*) AS cards, MIN(valid_until) AS first_at FROM members \
               WHERE partner = $1 AND status = 'active' AND valid_until > $2 AND valid_until <= $3";
    let row = tx.fetch_one(sql, args![partner, now, until]).await?;
    let cards = row.count("cards")?;
    Ok(row.opt_time("first_at")?.map(|first_at| ExpiringCards { cards, first_at }))
}

/// The calls in which the member has a role, each with its revision.
pub async fn calls_with_role(tx: &mut Tx, me: &MemberId, limit: u32) -> Result<Vec<(CallId, u64)>, StoreError> {
    let sql = "SELECT DISTINCT c.call_id, c.revision FROM call_roles r JOIN calls c ON c.call_id = r.call_id \
               WHERE r.member = $1 AND r.role <> 'observer' AND c.cancelled_at IS NULL AND c.closed_at IS NULL ORDER BY c.call_id DESC LIMIT $2";
    revisions_of(&tx.fetch_all(sql, args![me, limit]).await?)
}

/// The revisions of these calls.
pub async fn revisions(tx: &mut Tx, calls: &[CallId]) -> Result<Vec<(CallId, u64)>, StoreError> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT call_id, revision FROM calls WHERE {}", tx.dialect().among("call_id", 1));
    revisions_of(&tx.fetch_all(Sql::built(sql), vec![Arg::texts(calls)]).await?)
}

/// The condition that the member `o` has a key card in force at the instant `$2`, and their partner takes part: for others no key is wrapped.
const TAKES_PART: &str = "EXISTS (SELECT 1 FROM members h JOIN partners n ON n.partner = h.partner \
                          WHERE h.member = o.member AND h.status = 'active' AND h.valid_from <= $2 AND h.valid_until >= $2 \
                          AND n.suspended_at IS NULL)";

/// The condition that the member `o` lacks a key to the vault `v` for some recipient of the newest key card. `IS TRUE` keeps SQLite from making
/// a join of it, which would come last, after conditions that most rows need not be put to.
const LACKS: &str = "EXISTS (SELECT 1 FROM member_recipients m WHERE m.member = o.member AND NOT EXISTS \
                     (SELECT 1 FROM wrapped_keys k WHERE k.vault_id = v.vault_id AND k.holder = m.member \
                      AND k.recipient = m.recipient)) IS TRUE";

fn candidate(row: &Row) -> Result<Candidate, StoreError> {
    Ok(Candidate { proposal: row.parse("proposal_id")?, since: row.opt_time("since")? })
}

fn lacking(row: &Row) -> Result<LackingHolder, StoreError> {
    let (vault, proposal) = (vaults::read(row)?, row.parse("proposal_id")?);
    Ok(LackingHolder { proposal, vault, holder: row.parse("holder")? })
}

fn revisions_of(rows: &[Row]) -> Result<Vec<(CallId, u64)>, StoreError> {
    rows.iter().map(|row| Ok((row.parse("call_id")?, row.count("revision")?))).collect()
}

fn small(column: &str, number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::corrupt(column, "a small number"))
}
