//! The revision of a call, from which clients learn that something about it has changed.

use super::{StoreError, WriteTx, args};
use crate::domain::id::{CallId, ProposalId};

/// Says that something about the call has changed.
pub(super) async fn touch(tx: &mut WriteTx, id: CallId) -> Result<(), StoreError> {
    tx.execute("UPDATE calls SET revision = revision + 1 WHERE call_id = $1", args![id]).await?;
    Ok(())
}

/// Says the same of the call of a proposal if somebody who is or was party to it observes the call: whether that role is in effect follows
/// from it.
pub(super) async fn touch_if_observed(tx: &mut WriteTx, proposal: ProposalId) -> Result<(), StoreError> {
    let sql = "UPDATE calls SET revision = revision + 1 \
               WHERE call_id = (SELECT p.call_id FROM proposals p WHERE p.proposal_id = $1) AND EXISTS (\
               SELECT 1 FROM call_roles r WHERE r.call_id = calls.call_id AND r.role = 'observer' AND r.member IN (\
               SELECT p.created_by FROM proposals p WHERE p.proposal_id = $1 \
               UNION SELECT s.member FROM proposal_members s WHERE s.proposal_id = $1 \
               UNION SELECT i.member FROM party_invitations i WHERE i.proposal_id = $1 AND i.accepted_at IS NOT NULL))";
    tx.execute(sql, args![proposal]).await?;
    Ok(())
}
