//! Keys that went with a role and that the act left behind, since a member of a panel can hold thousands and others wait while an act
//! writes. They are removed afterwards, few in a turn, until none is left.
//!
//! Nobody uses one of them meanwhile: policy refuses their holder, and the server hands keys out by policy. Each is decided on in the unit of
//! work in which it goes, and goes only if the policies of the act refuse its holder as well as those of then: what a nation's policies
//! take away for a while is not removed. A server that stops leaves them to the members who may remove surplus keys.

use super::{
    Exchange, Result, state,
    surplus_keys::{HeldStretch, held_after},
    time,
    unit::{Subject, new_entry},
    vaults::removed,
};
use crate::{
    domain::id::{CallId, MemberId, VaultId},
    policy::Engine,
    storage::{Tx, entries, vaults},
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Whose keys under which call are to be looked at, and by which policies the act was decided that left them.
#[derive(Debug, Default)]
pub struct LeftoverKeys {
    noted: Mutex<BTreeMap<(CallId, MemberId), Arc<Engine>>>,
    came: Notify,
}

impl LeftoverKeys {
    /// Notes that a member may hold keys that an act left behind.
    pub(super) fn note(&self, call: CallId, holder: &MemberId, policies: Arc<Engine>) {
        self.lock().insert((call, holder.clone()), policies);
        self.came.notify_one();
    }

    /// Waits until an act notes something.
    pub async fn wait(&self) {
        self.came.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(CallId, MemberId), Arc<Engine>>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what was left behind of all that is noted. How many vaults their holders lost the keys to.
///
/// # Errors
/// The last one, after all others have been looked at. What failed stays noted.
pub async fn remove_noted(exchange: &Exchange) -> Result<u64> {
    let noted = mem::take(&mut *exchange.leftover_keys.lock());
    let (mut removed, mut failed) = (0, None);
    for ((call, holder), policies) in noted {
        let left = Leftover { exchange, call, holder, policies };
        match left.remove().await {
            Ok(count) => removed += count,
            Err(error) => {
                // Unless another act has noted the same member since.
                exchange.leftover_keys.lock().entry((call, left.holder)).or_insert(left.policies);
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(removed), Err)
}

/// What an act left behind.
struct Leftover<'e> {
    exchange: &'e Exchange,
    call: CallId,
    holder: MemberId,
    policies: Arc<Engine>,
}

impl Leftover<'_> {
    async fn remove(&self) -> Result<u64> {
        let (mut removed, mut after) = (0, None);
        loop {
            // On a snapshot first, so that no turn is taken for keys that stay.
            let mut tx = self.exchange.db.read().await?;
            let now = time::of_view(self.exchange, &mut tx).await?;
            let policies = self.exchange.rules.at(&mut tx, &self.exchange.host, now).await?;
            let mut found = self.next(&mut tx, &policies, after, now).await?;
            drop(tx);
            if !found.surplus.is_empty() {
                let Some(gone) = self.remove_next(after).await? else { continue };
                removed += gone.surplus.len() as u64;
                found = gone;
            }
            match found.next {
                None => return Ok(removed),
                next => after = next,
            }
        }
    }

    /// Removes what is surplus of the next keys, which it returns; none if the policies have changed and must be read first.
    async fn remove_next(&self, after: Option<VaultId>) -> Result<Option<HeldStretch>> {
        let Self { exchange, holder, .. } = self;
        let mut tx = exchange.db.write().await?;
        let now = time::of_act(exchange, &mut tx).await?;
        let Some(policies) = exchange.rules.known(&mut tx, now).await? else { return Ok(None) };
        let found = self.next(&mut tx, &policies, after, now).await?;
        let Some(call) = state::call(&mut tx, self.call, now).await? else { return Ok(Some(found)) };
        let held: Vec<_> = found.surplus.iter().map(|(_, vault)| (vault, holder)).collect();
        vaults::drop_held_keys(&mut tx, &held).await?;
        let entries = found.surplus.iter().map(|(proposal, vault)| {
            let subject = Subject { proposal: Some(*proposal), ..Subject::call(&call) };
            new_entry(exchange, subject, None, now, &removed(vault, holder).into())
        });
        entries::append_all(&mut tx, &entries.collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(Some(found))
    }

    /// The next keys that the holder has, and which of them both policies refuse.
    async fn next(
        &self,
        tx: &mut Tx,
        policies: &Arc<Engine>,
        after: Option<VaultId>,
        now: Timestamp,
    ) -> Result<HeldStretch> {
        let Some(call) = state::call(tx, self.call, now).await? else { return Ok(HeldStretch::default()) };
        let call = Arc::new(call);
        let mut found = held_after(self.exchange, tx, policies, &call, &self.holder, after, now).await?;
        if !found.surplus.is_empty() && !Arc::ptr_eq(policies, &self.policies) {
            let then = held_after(self.exchange, tx, &self.policies, &call, &self.holder, after, now).await?;
            found.surplus.retain(|(_, vault)| then.surplus.iter().any(|(_, other)| other.id == vault.id));
        }
        Ok(found)
    }
}
