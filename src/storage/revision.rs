//! The revision of a call, from which clients learn that something about it has changed.

use super::{StoreError, WriteTx, args};
use crate::domain::id::CallId;

/// Says that something about the call has changed.
pub(super) async fn touch(tx: &mut WriteTx, id: CallId) -> Result<(), StoreError> {
    tx.execute("UPDATE calls SET revision = revision + 1 WHERE call_id = $1", args![id]).await?;
    Ok(())
}
