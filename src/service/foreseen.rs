//! Facts for an act that take long to find: they are found on a snapshot before the act's turn, because others wait while one writes.
//!
//! In its turn the act reads which acts were done in between. If they can have changed what was found, it gives its turn back and searches
//! again; after the last search it makes do with what it finds within its turn, so that steady acts of others cannot keep it from being done.

use super::{
    Result, ServiceError,
    unit::{Act, Reads},
};
use crate::{
    domain::{
        entry::EntryKind,
        id::{CallId, MemberId, ProposalId},
    },
    policy::Engine,
    storage::{StoreError, entries, proposals},
    wire::entry::payloads::KeyCardPublished,
};
use std::{collections::BTreeSet, sync::Arc};

/// So often an act looks at most.
pub(super) const LOOKS: u32 = 4;

/// The refusal where the last look does not hold either, and nothing can take its place. Nothing was done.
pub(super) fn never_the_same() -> ServiceError {
    StoreError::Unavailable("others changed each time what the act had looked at".into()).into()
}

/// When a look was taken.
#[derive(Debug)]
pub(super) struct Foresight {
    policies: Arc<Engine>,
    /// The last entry of the log by then.
    last: u64,
}

impl Foresight {
    pub(super) async fn of<T: Reads>(look: &mut Act<'_, T>) -> Result<Self> {
        Ok(Self { policies: Arc::clone(&look.policies), last: entries::last(&mut look.tx).await? })
    }

    /// The proposals under a call that can be others than they were at the look, by entries of any but these kinds; none if all of
    /// them can.
    pub(super) async fn changed<T: Reads>(
        &self,
        act: &mut Act<'_, T>,
        call: CallId,
        but: &[EntryKind],
    ) -> Result<Option<BTreeSet<ProposalId>>> {
        if !Arc::ptr_eq(&self.policies, &act.policies) {
            return Ok(None);
        }
        let since = entries::since(&mut act.tx, self.last, call, but).await?;
        let Some(mut changed) = since.proposals else { return Ok(None) };
        // Of entries about no call, policies are compared above, and a key card can say that a member works elsewhere now.
        let member = |payload: &String| serde_json::from_str(payload).map(|card: KeyCardPublished| card.member);
        let members: Result<BTreeSet<MemberId>, _> = since.cards.iter().map(member).collect();
        let members = members.map_err(|_| StoreError::Corrupt {
            place: "log_entries.payload".into(),
            expected: "what is logged of a key card".into(),
        })?;
        changed.extend(proposals::of_members(&mut act.tx, call, &members).await?);
        Ok(Some(changed))
    }
}
