//! The key to what a profile keeps sealed on this machine, and the same as it stands in a file.

use super::Result;
use crate::sealing::{
    identity::Keyring,
    local_key::LocalKey,
    seal::{SealError, check_recipients},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

/// The key, and the same sealed to the member.
#[derive(Debug)]
pub(super) struct KeptKey {
    key: LocalKey,
    sealed: String,
}

impl KeptKey {
    /// For a file that has none: sealed to those recipients that can be sealed to here.
    pub(super) fn new(key: LocalKey, recipients: &[String]) -> Result<Self> {
        let here: Vec<String> = recipients
            .iter()
            .filter(|recipient| check_recipients(std::slice::from_ref(*recipient)).is_ok())
            .cloned()
            .collect();
        let sealed = BASE64_STANDARD.encode(key.seal_to(&here)?);
        Ok(Self { key, sealed })
    }

    /// As it stands in a file.
    pub(super) fn sealed(&self) -> &str {
        &self.sealed
    }

    /// That of a file.
    pub(super) fn unseal(keyring: &Keyring, sealed: String) -> Result<Self, SealError> {
        let content = BASE64_STANDARD.decode(&sealed).map_err(|_| SealError::Damaged)?;
        Ok(Self { key: LocalKey::unseal(&keyring.identities(), &content)?, sealed })
    }

    /// A text about something, sealed, as it stands in a file.
    pub(super) fn seal(&self, about: &str, text: &[u8]) -> String {
        BASE64_STANDARD.encode(self.key.seal(about, text))
    }

    /// The text; `None` if it was sealed with another key, about something else, or is damaged.
    pub(super) fn open(&self, about: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.key.open(about, &BASE64_STANDARD.decode(sealed).ok()?)
    }
}
