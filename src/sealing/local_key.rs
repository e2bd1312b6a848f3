//! The key to what a member keeps on their own machine: many small texts under one symmetric key, which is sealed to the member.
//!
//! One opening with the member's identity gives all of them, so a thousand are read in the time of one. Each text is bound to what it is
//! about: in another place it does not open. Where the texts are and how long they stay is not decided here.

use super::{
    identity::Identity,
    seal::{SealError, open_bytes, seal_bytes},
};
use crate::domain::ambient::Rng;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use std::fmt;
use zeroize::Zeroizing;

/// In bytes.
const KEY_LEN: usize = 32;

/// A symmetric key of a member's own. Never printed, wiped when dropped; [`LocalKey::seal_to`] is the only way out.
pub struct LocalKey {
    secret: Zeroizing<[u8; KEY_LEN]>,
    key: RandomizedNonceKey,
}

impl LocalKey {
    /// A new key.
    pub fn generate(rng: &dyn Rng) -> Self {
        let mut secret = Zeroizing::new([0; KEY_LEN]);
        rng.fill(secret.as_mut_slice());
        Self::from_secret(secret)
    }

    /// The key, sealed to its holder.
    pub fn seal_to(&self, recipients: &[String]) -> Result<Vec<u8>, SealError> {
        seal_bytes(recipients, self.secret.as_slice())
    }

    /// Opens a key that was sealed to its holder.
    pub fn unseal(identities: &[&dyn Identity], sealed: &[u8]) -> Result<Self, SealError> {
        let text = open_bytes(identities, sealed, KEY_LEN)?;
        let mut secret = Zeroizing::new([0; KEY_LEN]);
        if text.len() != KEY_LEN {
            return Err(SealError::Damaged);
        }
        secret.copy_from_slice(&text);
        Ok(Self::from_secret(secret))
    }

    /// Seals a text about something.
    pub fn seal(&self, about: &str, text: &[u8]) -> Vec<u8> {
        let mut content = text.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(about), &mut content);
        let nonce = nonce.expect("a text that is in memory is not too long for the algorithm");
        [nonce.as_ref().as_slice(), &content].concat()
    }

    /// Opens a text about something; `None` if it was sealed with another key, about something else, or is damaged.
    pub fn open(&self, about: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, content) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut content = Zeroizing::new(content.to_vec());
        let len = self.key.open_in_place(nonce, Aad::from(about), &mut content).ok()?.len();
        content.truncate(len);
        Some(content)
    }

    fn from_secret(secret: Zeroizing<[u8; KEY_LEN]>) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, secret.as_slice());
        Self { secret, key: key.expect("the key has the length that the algorithm takes") }
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ambient::SystemRng,
        sealing::identity::{Keyring, NewIdentity, NoPrompt, new_identity},
    };

    fn keyring(of: &NewIdentity) -> Keyring {
        Keyring::parse(of.secret().expose().as_bytes(), "mine", &NoPrompt).unwrap()
    }

    #[test]
    fn text_opens_with_the_same_key_and_about_the_same_thing_only() {
        let (mine, other) = (LocalKey::generate(&SystemRng), LocalKey::generate(&SystemRng));
        let sealed = mine.seal("prop_1", b"Lodestone");
        assert_eq!(*mine.open("prop_1", &sealed).unwrap(), b"Lodestone");
        assert!(mine.open("prop_2", &sealed).is_none() && other.open("prop_1", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(mine.open("prop_1", &damaged).is_none(), "byte {at}");
            assert!(mine.open("prop_1", &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn equal_texts_are_sealed_differently() {
        let key = LocalKey::generate(&SystemRng);
        assert_ne!(key.seal("a", b"same"), key.seal("a", b"same"));
    }

    #[test]
    fn key_opens_for_its_holder_alone() {
        let (me, somebody) = (new_identity(), new_identity());
        let key = LocalKey::generate(&SystemRng);
        let sealed = key.seal_to(&[me.recipient().to_owned()]).unwrap();
        let again = LocalKey::unseal(&keyring(&me).identities(), &sealed).unwrap();
        assert_eq!(*again.open("a", &key.seal("a", b"text")).unwrap(), b"text");
        let refused = LocalKey::unseal(&keyring(&somebody).identities(), &sealed).unwrap_err();
        assert!(matches!(refused, SealError::NoMatchingIdentity), "{refused}");
    }

    #[test]
    fn something_else_than_a_key_is_refused() {
        let me = new_identity();
        for content in [&[7; KEY_LEN - 1][..], &[7; KEY_LEN + 1]] {
            let sealed = seal_bytes(&[me.recipient().to_owned()], content).unwrap();
            assert!(LocalKey::unseal(&keyring(&me).identities(), &sealed).is_err(), "{}", content.len());
        }
    }
}
