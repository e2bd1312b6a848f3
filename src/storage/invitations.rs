//! Invitations to parties, and the signatures by which members joined.

use super::{Row, Sql, StoreError, Tx, WriteTx, args, many, stated::NumberedPosition};
use crate::{
    domain::id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
    policy::{Action, Permit},
};
use jiff::Timestamp;

/// An invitation, and what its member answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRow {
    pub member: MemberId,
    /// Which of the member's to this proposal, from 1. Those before it were accepted, and the member has left since.
    pub number: u32,
    pub invited_by: MemberId,
    pub invited_at: Timestamp,
    /// Digest of the statement.
    pub sha256: Sha256,
    /// Compact JWS of type `entente-invitation+jws`.
    pub statement: String,
    /// The officer who consented to the member joining after the deadline, and where the member worked by then.
    pub consent: Option<(MemberId, String)>,
    /// Compact JWS of type `entente-acceptance+jws`, with the instant at which it was accepted.
    pub acceptance: Option<(String, Timestamp)>,
}

const COLUMNS: &str = "SELECT member, number, invited_by, invited_at, sha256, statement, consented_by, consented_for, acceptance, \
     accepted_at \
     FROM party_invitations WHERE proposal_id = $1";

/// The newest invitation of a member.
pub async fn find(tx: &mut Tx, proposal: ProposalId, member: &MemberId) -> Result<Option<InvitationRow>, StoreError> {
    let sql = format!("{COLUMNS} AND member = $2 ORDER BY number DESC LIMIT 1");
    let row = tx.fetch_optional(Sql::built(sql), args![proposal, member]).await?;
    row.as_ref().map(read).transpose()
}

/// The invitations to the parties of a proposal, of members who have left since, too; by member, the first of each first, so many after a
/// position.
pub async fn of_proposal(
    tx: &mut Tx,
    proposal: ProposalId,
    after: Option<&NumberedPosition>,
    limit: u32,
) -> Result<Vec<InvitationRow>, StoreError> {
    let sql = format!("{COLUMNS} AND (member > $2 OR (member = $2 AND number > $3)) ORDER BY member, number LIMIT $4");
    let (member, number) = NumberedPosition::bounds(after);
    tx.fetch_all(Sql::built(sql), args![proposal, member, number, limit]).await?.iter().map(read).collect()
}

/// How many invitations to a party were ever kept, but for those that were declined or taken back.
pub async fn count(tx: &mut Tx, proposal: ProposalId, partner: &PartnerCode) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS invitations FROM party_invitations WHERE proposal_id = $1 AND partner = $2";
    tx.fetch_one(sql, args![proposal, partner]).await?.count("invitations")
}

/// Keeps an invitation by the principal, beside those of the same member that were accepted.
pub async fn invite(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    member: &MemberId,
    (statement, sha256): (&str, Sha256),
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::AddMember, Action::Edit], proposal));
    tx.execute(
        "INSERT INTO party_invitations (proposal_id, member, number, partner, invited_by, invited_at, sha256, statement) \
         SELECT $1, $2, COALESCE(MAX(e.number), 0) + 1, $3, $4, $5, $6, $7 FROM party_invitations e \
         WHERE e.proposal_id = $1 AND e.member = $2",
        args![proposal, member, member.partner(), permit.principal(), now, sha256, statement],
    )
    .await?;
    Ok(())
}

/// An invitation to a party of a proposal that begins.
#[derive(Debug)]
pub struct FirstInvitation<'a> {
    pub member: &'a MemberId,
    /// Compact JWS.
    pub statement: &'a str,
    /// Its digest.
    pub sha256: Sha256,
}

/// Keeps the invitations by the principal with which a proposal begins: the first of each member.
pub async fn invite_first(
    tx: &mut WriteTx,
    permit: &Permit,
    (call, proposal): (CallId, ProposalId),
    invitations: &[FirstInvitation<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_call(&[Action::CreateProposal], call));
    let into = "INSERT INTO party_invitations (proposal_id, member, number, partner, invited_by, invited_at, sha256, statement)";
    let values = invitations.iter().map(|FirstInvitation { member, statement, sha256 }| {
        args![proposal, member, 1, member.partner(), permit.principal(), now, sha256, statement]
    });
    many::insert(tx, into, values.collect()).await
}

/// Takes back an invitation that nobody has accepted, or declines it.
pub async fn remove(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    member: &MemberId,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::RemoveMember, Action::Edit, Action::AnswerInvitation], proposal));
    let sql = "DELETE FROM party_invitations WHERE proposal_id = $1 AND member = $2 AND acceptance IS NULL";
    tx.execute(sql, args![proposal, member]).await?;
    Ok(())
}

/// Keeps the principal's acceptance.
pub async fn accept(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    acceptance: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::AnswerInvitation], proposal));
    let sql = "UPDATE party_invitations SET acceptance = $3, accepted_at = $4 \
               WHERE proposal_id = $1 AND member = $2 AND acceptance IS NULL";
    tx.execute(sql, args![proposal, permit.principal(), acceptance, now]).await?;
    Ok(())
}

/// Notes that the principal consents to the member of this organisation joining after the deadline, or, without one, takes the consent back.
pub async fn set_consent(
    tx: &mut WriteTx,
    permit: &Permit,
    proposal: ProposalId,
    member: &MemberId,
    organisation: Option<&str>,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::ConsentToJoin], proposal));
    let by = organisation.map(|_| permit.principal());
    let sql = "UPDATE party_invitations SET consented_by = $3, consented_for = $4 \
               WHERE proposal_id = $1 AND member = $2 AND acceptance IS NULL";
    tx.execute(sql, args![proposal, member, by, organisation]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<InvitationRow, StoreError> {
    let consent = match (row.opt_parse("consented_by")?, row.opt_text("consented_for")?) {
        (Some(by), Some(organisation)) => Some((by, organisation)),
        _ => None,
    };
    let acceptance = match (row.opt_text("acceptance")?, row.opt_time("accepted_at")?) {
        (Some(statement), Some(at)) => Some((statement, at)),
        _ => None,
    };
    Ok(InvitationRow {
        member: row.parse("member")?,
        number: u32::try_from(row.int("number")?).map_err(|_| StoreError::corrupt("number", "a small number"))?,
        invited_by: row.parse("invited_by")?,
        invited_at: row.time("invited_at")?,
        sha256: row.parse("sha256")?,
        statement: row.text("statement")?,
        consent,
        acceptance,
    })
}
