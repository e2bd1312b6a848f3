//! Which certificates a key card is known to name, for shares: authorities issue as many certificates as they like, and key cards are
//! signed one by one.
//!
//! It lets nobody in: whoever asks is looked up each time. It is what was found the last time.

use crate::domain::id::Sha256;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many are remembered; beyond that all begin anew as strangers.
const REMEMBERED: usize = 65_536;

/// Certificates, by their keys, that a key card in force named when they last asked for something.
#[derive(Debug, Default)]
pub(super) struct KnownMembers(Mutex<BTreeSet<Sha256>>);

impl KnownMembers {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Notes what was found.
    pub(super) fn note(&self, certificate: Sha256, has_key_card: bool) {
        let mut members = self.lock();
        if !has_key_card {
            members.remove(&certificate);
        } else if !members.contains(&certificate) {
            if members.len() >= REMEMBERED {
                members.clear();
            }
            members.insert(certificate);
        }
    }

    pub(super) fn contains(&self, certificate: &Sha256) -> bool {
        self.lock().contains(certificate)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Sha256>> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
