//! What all pages have: whose console it is, where it listens, who is in, and the keys.

use super::{
    address::Address,
    assets::Assets,
    keys::{Lock, Unlocking},
    sessions::Sessions,
    who::Who,
};
use crate::{
    client::{Ambient, Home, Result},
    sealing::identity::SecretText,
};
use std::sync::Arc;

/// The console of one member.
#[derive(Clone)]
pub(super) struct Console(Arc<ConsoleParts>);

pub(super) struct ConsoleParts {
    pub(super) home: Home,
    /// The name of the profile, by which its member acts.
    pub(super) profile: String,
    /// Who that is, as far as this machine knows.
    pub(super) who: Who,
    pub(super) ambient: Ambient,
    pub(super) address: Address,
    /// The name of the cookie, another one each time that a console starts.
    pub(super) cookie: String,
    pub(super) sessions: Sessions,
    pub(super) lock: Lock,
    pub(super) assets: Assets,
}

impl Console {
    pub(super) fn new(shared: ConsoleParts) -> Self {
        Self(Arc::new(shared))
    }

    /// Opens the keys with what was typed, if they are not open.
    ///
    /// # Errors
    /// When the profile or a file of it cannot be used.
    pub(super) async fn open(&self, typed: Vec<SecretText>) -> Result<Unlocking> {
        // Read each time: a renewed certificate counts without another start.
        let profile = self.home.profile(Some(&self.profile))?;
        self.lock.open(self.home.clone(), profile, self.ambient.clone(), typed).await
    }

    /// An address that lets one browser in.
    pub(super) fn new_address(&self) -> String {
        let word = self.sessions.new_word(&*self.ambient.rng);
        format!("{}/enter?word={}", self.address.origin, word.expose())
    }
}

impl std::ops::Deref for Console {
    type Target = ConsoleParts;

    fn deref(&self) -> &ConsoleParts {
        &self.0
    }
}
