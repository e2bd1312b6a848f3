//! Declarations of interest, assignments and sealed reviews.

use super::{
    Arg, Row, Sql, StoreError, Tx, WriteTx, args, many,
    stated::{NewStated, NumberedPosition, Stated},
};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId, ReviewId, Sha256},
        member::{ConflictGround, DeclineReason},
        reopening::Reopening,
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;

/// A review; the reviewer's latest has the highest revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRow {
    pub id: ReviewId,
    pub proposal: ProposalId,
    pub reviewer: MemberId,
    pub revision: u32,
    pub manifest: Sha256,
    pub statement: String,
    pub ciphertext: Vec<u8>,
    pub submitted_at: Timestamp,
    pub reopened: Option<Reopening>,
}

/// An assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentRow {
    pub reviewer: MemberId,
    pub assigned_by: MemberId,
    pub assigned_at: Timestamp,
    /// Compact JWS; none for an assignment from before statements were required.
    pub statement: Option<String>,
    /// None while it is in force.
    pub declined: Option<DeclinedRow>,
    /// When a review came for the first time.
    pub handed_in_at: Option<Timestamp>,
}

/// That a reviewer declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclinedRow {
    pub reason: Option<DeclineReason>,
    pub declined_at: Timestamp,
    /// When somebody else was assigned.
    pub replaced_at: Option<Timestamp>,
}

/// Records what a member declared about a proposal. A conflict replaces an earlier all-clear.
pub async fn declare(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    ground: Option<ConflictGround>,
    statement: NewStated<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let action = if ground.is_some() { Action::DeclareConflict } else { Action::DeclareClear };
    assert!(permit.covers_proposal(&[action], proposal));
    tx.execute(
        "INSERT INTO declarations (proposal_id, member, conflict, ground, declared_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (proposal_id, member) DO UPDATE SET conflict = excluded.conflict, ground = excluded.ground, \
         declared_at = excluded.declared_at",
        args![proposal, permit.principal(), ground.is_some(), ground.map(ConflictGround::as_str), now],
    )
    .await?;
    keep_declaration(tx, proposal, permit.principal(), permit.principal(), statement, now).await
}

async fn keep_declaration(
    tx: &mut WriteTx,
    proposal: ProposalId,
    member: &MemberId,
    by: &MemberId,
    statement: NewStated<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO declaration_statements (proposal_id, member, number, statement, statement_sha256, stated_by, stated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        args![proposal, member, statement.number, statement.statement, statement.sha256, by, now],
    )
    .await?;
    Ok(())
}

/// The declarations about a proposal, everybody's or one member's, in their order.
pub async fn declarations(
    tx: &mut Tx,
    proposal: ProposalId,
    member: Option<&MemberId>,
) -> Result<Vec<(MemberId, Stated)>, StoreError> {
    let sql = "SELECT member, number, statement, statement_sha256, stated_by, stated_at FROM declaration_statements \
               WHERE proposal_id = $1 AND ($2 = '' OR member = $2) ORDER BY member, number";
    let member = member.map(ToString::to_string).unwrap_or_default();
    let rows = tx.fetch_all(sql, args![proposal, member]).await?;
    rows.iter().map(|row| Ok((row.parse("member")?, Stated::read(row)?))).collect()
}

/// The number and the digest of what was stated last about one member's interest in a proposal.
pub async fn last_declaration(
    tx: &mut Tx,
    proposal: ProposalId,
    member: &MemberId,
) -> Result<Option<(u32, Sha256)>, StoreError> {
    let sql = "SELECT number, statement_sha256 FROM declaration_statements WHERE proposal_id = $1 AND member = $2 \
               ORDER BY number DESC LIMIT 1";
    let row = tx.fetch_optional(sql, args![proposal, member]).await?;
    row.map(|row| {
        let number = u32::try_from(row.int("number")?);
        let number = number.map_err(|_| StoreError::corrupt("number", "a small number"))?;
        Ok((number, row.parse("statement_sha256")?))
    })
    .transpose()
}

/// What was stated about everybody's interest in a proposal, or one member's, after a position, so many.
pub async fn some_declarations(
    tx: &mut Tx,
    proposal: ProposalId,
    member: Option<&MemberId>,
    after: Option<&NumberedPosition>,
    limit: u32,
) -> Result<Vec<(MemberId, Stated)>, StoreError> {
    let sql = "SELECT member, number, statement, statement_sha256, stated_by, stated_at FROM declaration_statements \
               WHERE proposal_id = $1 AND ($2 = '' OR member = $2) AND (member > $3 OR (member = $3 AND number > $4)) \
               ORDER BY member, number LIMIT $5";
    let (member, (after, number)) =
        (member.map(ToString::to_string).unwrap_or_default(), NumberedPosition::bounds(after));
    let rows = tx.fetch_all(sql, args![proposal, member, after, number, limit]).await?;
    rows.iter().map(|row| Ok((row.parse("member")?, Stated::read(row)?))).collect()
}

/// Takes a declaration off the record, so that the member has to declare again.
pub async fn lift(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    member: &MemberId,
    statement: NewStated<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::LiftConflict], proposal) && permit.subject() == Some(member));
    let sql = "DELETE FROM declarations WHERE proposal_id = $1 AND member = $2";
    tx.execute(sql, args![proposal, member]).await?;
    keep_declaration(tx, proposal, member, permit.principal(), statement, now).await
}

/// A page of a proposal's assignments, declined ones too, all or one reviewer's, by reviewer and after one.
pub async fn some_assignments(
    tx: &mut Tx,
    proposal: ProposalId,
    reviewer: Option<&MemberId>,
    after: Option<&MemberId>,
    limit: u32,
) -> Result<Vec<AssignmentRow>, StoreError> {
    let sql = "SELECT reviewer, assigned_by, assigned_at, statement, reason, declined_at, replaced_at, \
               CASE WHEN declined_at IS NULL THEN (SELECT r.submitted_at FROM reviews r \
               WHERE r.proposal_id = a.proposal_id AND r.reviewer = a.reviewer AND r.revision = 1) END AS handed_in_at FROM (\
               SELECT proposal_id, reviewer, assigned_by, assigned_at, statement, NULL AS reason, NULL AS declined_at, \
               NULL AS replaced_at FROM assignments \
               UNION ALL SELECT proposal_id, reviewer, assigned_by, assigned_at, statement, reason, declined_at, replaced_at \
               FROM declined_assignments) a \
               WHERE proposal_id = $1 AND ($2 = '' OR reviewer = $2) AND reviewer > $3 ORDER BY reviewer LIMIT $4";
    let [reviewer, after] = [reviewer, after].map(|member| member.map(ToString::to_string).unwrap_or_default());
    let rows = tx.fetch_all(sql, args![proposal, reviewer, after, limit]).await?;
    let read = |row: &Row| {
        Ok(AssignmentRow {
            reviewer: row.parse("reviewer")?,
            assigned_by: row.parse("assigned_by")?,
            assigned_at: row.time("assigned_at")?,
            statement: row.opt_text("statement")?,
            declined: declined(row)?,
            handed_in_at: row.opt_time("handed_in_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The assignments to these proposals, declined ones too, without their statements, by proposal and reviewer.
pub async fn assignments_among(
    tx: &mut Tx,
    proposals: &[ProposalId],
) -> Result<Vec<(ProposalId, AssignmentRow)>, StoreError> {
    let mut found = Vec::new();
    for some in proposals.chunks(many::AT_ONCE) {
        let marks = many::marks(1, some.len());
        let sql = format!(
            "SELECT a.proposal_id, a.reviewer, a.assigned_by, a.assigned_at, NULL AS reason, NULL AS declined_at, \
             NULL AS replaced_at, r.submitted_at AS handed_in_at FROM assignments a LEFT JOIN reviews r \
             ON r.proposal_id = a.proposal_id AND r.reviewer = a.reviewer AND r.revision = 1 \
             WHERE a.proposal_id IN ({marks}) \
             UNION ALL SELECT proposal_id, reviewer, assigned_by, assigned_at, reason, declined_at, replaced_at, \
             NULL AS handed_in_at FROM declined_assignments WHERE proposal_id IN ({marks}) ORDER BY 1, 2"
        );
        for row in tx.fetch_all(Sql::once(sql), some.iter().map(Arg::text).collect()).await? {
            let assignment = AssignmentRow {
                reviewer: row.parse("reviewer")?,
                assigned_by: row.parse("assigned_by")?,
                assigned_at: row.time("assigned_at")?,
                statement: None,
                declined: declined(&row)?,
                handed_in_at: row.opt_time("handed_in_at")?,
            };
            found.push((row.parse("proposal_id")?, assignment));
        }
    }
    Ok(found)
}

fn declined(row: &Row) -> Result<Option<DeclinedRow>, StoreError> {
    let Some(declined_at) = row.opt_time("declined_at")? else { return Ok(None) };
    let (reason, replaced_at) = (row.opt_parse("reason")?, row.opt_time("replaced_at")?);
    Ok(Some(DeclinedRow { reason, declined_at, replaced_at }))
}

/// That a member declined an assignment to a proposal.
pub async fn find_declined(
    tx: &mut Tx,
    proposal: ProposalId,
    reviewer: &MemberId,
) -> Result<Option<DeclinedRow>, StoreError> {
    let sql =
        "SELECT reason, declined_at, replaced_at FROM declined_assignments WHERE proposal_id = $1 AND reviewer = $2";
    let row = tx.fetch_optional(sql, args![proposal, reviewer]).await?;
    row.as_ref().map_or(Ok(None), declined)
}

/// Notes that the principal declines their assignment, which is none from then on.
pub async fn decline(
    tx: &mut WriteTx,
    permit: &Permit,
    (call, proposal): (CallId, ProposalId),
    reason: Option<DeclineReason>,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::DeclineAssignment], proposal));
    let me = permit.principal();
    let sql = "INSERT INTO declined_assignments (proposal_id, reviewer, call_id, assigned_by, assigned_at, statement, reason, declined_at) \
               SELECT proposal_id, reviewer, $3, assigned_by, assigned_at, statement, $4, $5 FROM assignments \
               WHERE proposal_id = $1 AND reviewer = $2";
    tx.execute(sql, args![proposal, me, call, reason.map(DeclineReason::as_str), now]).await?;
    tx.execute("DELETE FROM assignments WHERE proposal_id = $1 AND reviewer = $2", args![proposal, me]).await?;
    Ok(())
}

/// Makes what the principal declined an assignment again, as it was.
pub async fn resume(tx: &mut WriteTx, permit: &Permit, proposal: ProposalId) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::ResumeAssignment], proposal));
    let me = permit.principal();
    let sql = "INSERT INTO assignments (proposal_id, reviewer, assigned_by, assigned_at, statement) \
               SELECT proposal_id, reviewer, assigned_by, assigned_at, statement FROM declined_assignments \
               WHERE proposal_id = $1 AND reviewer = $2";
    tx.execute(sql, args![proposal, me]).await?;
    tx.execute("DELETE FROM declined_assignments WHERE proposal_id = $1 AND reviewer = $2", args![proposal, me])
        .await?;
    Ok(())
}

/// An assignment to be made: of the permit's subject to a proposal, by the compact JWS.
#[derive(Debug)]
pub struct NewAssignment<'a> {
    pub permit: &'a Permit,
    pub proposal: ProposalId,
    pub reviewer: &'a MemberId,
    pub statement: &'a str,
}

/// Assigns reviewers to proposals. Those who declined there are replaced, and one who is assigned again has declined nothing.
pub async fn assign(tx: &mut WriteTx, new: &[NewAssignment<'_>], now: Timestamp) -> Result<(), StoreError> {
    assert!(new.iter().all(|NewAssignment { permit, proposal, reviewer, .. }| {
        permit.covers_proposal(&[Action::Assign], *proposal) && permit.subject() == Some(*reviewer)
    }));
    let into = "INSERT INTO assignments (proposal_id, reviewer, assigned_by, assigned_at, statement)";
    let values = new.iter().map(|new| args![new.proposal, new.reviewer, new.permit.principal(), now, new.statement]);
    many::insert(tx, into, values.collect()).await?;
    let mut proposals: Vec<ProposalId> = new.iter().map(|new| new.proposal).collect();
    proposals.sort_unstable();
    proposals.dedup();
    for some in proposals.chunks(many::AT_ONCE) {
        let again = "DELETE FROM declined_assignments WHERE EXISTS (SELECT 1 FROM assignments a \
                     WHERE a.proposal_id = declined_assignments.proposal_id AND a.reviewer = declined_assignments.reviewer)";
        let ids: Vec<Arg> = some.iter().map(Arg::text).collect();
        let sql = format!("{again} AND proposal_id IN ({})", many::marks(1, some.len()));
        tx.execute(Sql::once(sql), ids.clone()).await?;
        let replaced = "UPDATE declined_assignments SET replaced_at = $1 WHERE replaced_at IS NULL";
        let sql = format!("{replaced} AND proposal_id IN ({})", many::marks(2, some.len()));
        tx.execute(Sql::once(sql), args![now].into_iter().chain(ids).collect()).await?;
    }
    Ok(())
}

/// Takes an assignment back, or one that was declined: its reviewer cannot take that back any more.
pub async fn unassign(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    reviewer: &MemberId,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Unassign], proposal));
    for sql in [
        "DELETE FROM assignments WHERE proposal_id = $1 AND reviewer = $2",
        "DELETE FROM declined_assignments WHERE proposal_id = $1 AND reviewer = $2",
    ] {
        tx.execute(sql, args![proposal, reviewer]).await?;
    }
    Ok(())
}

const COLUMNS: &str = "SELECT review_id, proposal_id, reviewer, revision, manifest_sha256, statement, ciphertext, \
                       submitted_at, reopened_at, reopened_by FROM reviews";

/// Every revision of every review of a proposal, by reviewer and revision, without their ciphertext: each can have a mebibyte.
pub async fn of_proposal(tx: &mut Tx, proposal: ProposalId) -> Result<Vec<ReviewRow>, StoreError> {
    let listed = COLUMNS.replace("ciphertext", "substr(ciphertext, 1, 0) AS ciphertext");
    let sql = Sql::built(format!("{listed} WHERE proposal_id = $1 ORDER BY reviewer, revision"));
    tx.fetch_all(sql, args![proposal]).await?.iter().map(read).collect()
}

/// The same after a position, so many; of one reviewer or of all.
pub async fn some(
    tx: &mut Tx,
    proposal: ProposalId,
    reviewer: Option<&MemberId>,
    after: Option<&NumberedPosition>,
    limit: u32,
) -> Result<Vec<ReviewRow>, StoreError> {
    let listed = COLUMNS.replace("ciphertext", "substr(ciphertext, 1, 0) AS ciphertext");
    let sql = Sql::built(format!(
        "{listed} WHERE proposal_id = $1 AND ($2 = '' OR reviewer = $2) \
         AND (reviewer > $3 OR (reviewer = $3 AND revision > $4)) ORDER BY reviewer, revision LIMIT $5"
    ));
    let (reviewer, (after, revision)) =
        (reviewer.map(ToString::to_string).unwrap_or_default(), NumberedPosition::bounds(after));
    tx.fetch_all(sql, args![proposal, reviewer, after, revision, limit]).await?.iter().map(read).collect()
}

/// One review.
pub async fn find(tx: &mut Tx, id: ReviewId) -> Result<Option<ReviewRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE review_id = $1"));
    tx.fetch_optional(sql, args![id]).await?.as_ref().map(read).transpose()
}

/// Hands in a review.
pub async fn submit(tx: &mut WriteTx, permit: &Permit, row: &ReviewRow) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Review], row.proposal) && *permit.principal() == row.reviewer);
    tx.execute(
        "INSERT INTO reviews (review_id, proposal_id, reviewer, revision, manifest_sha256, statement, ciphertext, \
         submitted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        args![
            row.id,
            row.proposal,
            row.reviewer,
            row.revision,
            row.manifest,
            row.statement,
            row.ciphertext,
            row.submitted_at
        ],
    )
    .await?;
    Ok(())
}

/// Reopens a review.
pub async fn reopen(tx: &mut WriteTx, permit: &Permit, row: &ReviewRow, now: Timestamp) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::ReopenReview], row.proposal));
    let sql = "UPDATE reviews SET reopened_at = $2, reopened_by = $3 WHERE review_id = $1";
    tx.execute(sql, args![row.id, now, permit.principal()]).await?;
    Ok(())
}

/// Takes the reopening of a review back.
pub async fn reinstate(tx: &mut WriteTx, permit: &Permit, row: &ReviewRow) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::ReopenReview], row.proposal));
    tx.execute("UPDATE reviews SET reopened_at = NULL, reopened_by = NULL WHERE review_id = $1", args![row.id]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<ReviewRow, StoreError> {
    Ok(ReviewRow {
        id: row.parse("review_id")?,
        proposal: row.parse("proposal_id")?,
        reviewer: row.parse("reviewer")?,
        revision: u32::try_from(row.int("revision")?).map_err(|_| StoreError::corrupt("revision", "a small number"))?,
        manifest: row.parse("manifest_sha256")?,
        statement: row.text("statement")?,
        ciphertext: row.bytes("ciphertext")?,
        submitted_at: row.time("submitted_at")?,
        reopened: reopening(row)?,
    })
}

/// What the columns `reopened_at` and `reopened_by` say.
fn reopening(row: &Row) -> Result<Option<Reopening>, StoreError> {
    let Some(at) = row.opt_time("reopened_at")? else { return Ok(None) };
    Ok(Some(Reopening { at, by: row.opt_parse("reopened_by")? }))
}
