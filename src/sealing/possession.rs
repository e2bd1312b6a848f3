//! Proof that somebody who names an age recipient has its identity, without sealing anything to them first.
//!
//! An age identity decrypts and signs nothing. The registrar who invites somebody therefore sends a public key made for this; who answers agrees on a
//! secret between that key and their identity (X25519), and authenticates with it what they answer. The inviter's half travels with the invitation, sealed to
//! the registrars: no machine has to remember whom it invited.
//!
//! Identities of other kinds (ssh keys, plugins) cannot answer; that is said, not passed over.

pub use super::statement::PossessionChallenge;
use super::{
    identity::Keyring,
    recipient,
    seal::{SealError, open_bytes, seal_bytes},
};
use crate::domain::{ambient::Rng, id::Sha256};
use aws_lc_rs::{
    agreement::{self, PrivateKey, UnparsedPublicKey, X25519},
    hmac,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

/// What an answer is authenticated with besides the agreed secret, so that it proves nothing anywhere else.
const CONTEXT: &[u8] = b"entente.recipient-possession.v1";
const KEY_BYTES: usize = 32;

/// Why a challenge cannot be made, answered or checked.
#[derive(Debug, thiserror::Error)]
pub enum PossessionError {
    #[error("the challenge is malformed")]
    Malformed,
    #[error("the challenge cannot be opened with this identity: it was sealed to other registrars")]
    Closed,
    #[error("the answer does not prove that the sender has the identity of `{0}`")]
    Unproven(String),
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl PossessionChallenge {
    /// A new challenge, whose private half these recipients can open.
    pub fn new(registrars: &[String], rng: &dyn Rng) -> Result<Self, PossessionError> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        rng.fill(&mut *secret);
        let key = PrivateKey::from_private_key(&X25519, &*secret).map_err(|_| PossessionError::Malformed)?;
        let public = key.compute_public_key().map_err(|_| PossessionError::Malformed)?;
        Ok(Self {
            public_key: BASE64_STANDARD.encode(public.as_ref()),
            sealed_private_key: BASE64_STANDARD.encode(seal_bytes(registrars, &*secret)?),
        })
    }

    /// The answer for a recipient, bound to what is said beside it; none if the keyring has no X25519 identity of it.
    pub fn answer(&self, keyring: &Keyring, recipient: &str, said: &Sha256) -> Result<Option<String>, PossessionError> {
        let Some(secret) = keyring.x25519_secret(recipient) else { return Ok(None) };
        let secret = Zeroizing::new(
            recipient::bech32_bytes("age-secret-key-", secret.expose()).ok_or(PossessionError::Malformed)?,
        );
        let theirs = BASE64_STANDARD.decode(&self.public_key).map_err(|_| PossessionError::Malformed)?;
        let key = agreed(&secret, &theirs)?;
        let tag = hmac::sign(&key, &message(&theirs, recipient, said));
        Ok(Some(BASE64_STANDARD.encode(tag.as_ref())))
    }

    /// Checks an answer with the identity of a registrar to whom the challenge is sealed.
    pub fn check(
        &self,
        registrar: &Keyring,
        recipient: &str,
        said: &Sha256,
        answer: &str,
    ) -> Result<(), PossessionError> {
        let sealed = BASE64_STANDARD.decode(&self.sealed_private_key).map_err(|_| PossessionError::Malformed)?;
        let secret = open_bytes(&registrar.identities(), &sealed, KEY_BYTES).map_err(|_| PossessionError::Closed)?;
        let public = BASE64_STANDARD.decode(&self.public_key).map_err(|_| PossessionError::Malformed)?;
        let unproven = || PossessionError::Unproven(recipient.to_owned());
        let theirs = recipient::bech32_bytes("age", recipient).ok_or_else(unproven)?;
        let answer = BASE64_STANDARD.decode(answer).map_err(|_| unproven())?;
        let key = agreed(&secret, &theirs)?;
        hmac::verify(&key, &message(&public, recipient, said), &answer).map_err(|_| unproven())
    }
}

/// The key that both sides come to.
fn agreed(mine: &[u8], theirs: &[u8]) -> Result<hmac::Key, PossessionError> {
    let mine = PrivateKey::from_private_key(&X25519, mine).map_err(|_| PossessionError::Malformed)?;
    let theirs = UnparsedPublicKey::new(&X25519, theirs);
    agreement::agree(&mine, theirs, PossessionError::Malformed, |secret| Ok(hmac::Key::new(hmac::HMAC_SHA256, secret)))
}

fn message(challenge: &[u8], recipient: &str, said: &Sha256) -> Vec<u8> {
    [CONTEXT, challenge, recipient.as_bytes(), said.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ambient::SystemRng,
        sealing::identity::{NewIdentity, NoPrompt, new_identity},
    };

    fn keyring(identity: &NewIdentity) -> Keyring {
        Keyring::parse(identity.secret().expose().as_bytes(), "identity", &NoPrompt).unwrap()
    }

    #[test]
    fn only_who_has_the_identity_answers_and_only_for_what_is_said() {
        let (registrar, avi, eve) = (new_identity(), new_identity(), new_identity());
        let challenge = PossessionChallenge::new(&[registrar.recipient().to_owned()], &SystemRng).unwrap();
        let said = Sha256::of(b"request");
        let answer = challenge.answer(&keyring(&avi), avi.recipient(), &said).unwrap().unwrap();
        let check = |recipient: &str, said: &Sha256, answer: &str| {
            challenge.check(&keyring(&registrar), recipient, said, answer)
        };
        check(avi.recipient(), &said, &answer).unwrap();
        for (recipient, said, answer) in [
            (eve.recipient(), &said, &*answer),
            (avi.recipient(), &Sha256::of(b"another"), &answer),
            (avi.recipient(), &said, "AAAA"),
            (avi.recipient(), &said, ""),
            ("age1nobody", &said, &answer),
        ] {
            let refused = check(recipient, said, answer);
            assert!(matches!(refused, Err(PossessionError::Unproven(_))), "{recipient} {answer}");
        }
        assert_eq!(challenge.answer(&keyring(&eve), avi.recipient(), &said).unwrap(), None);
        let forged = PossessionChallenge::new(&[registrar.recipient().to_owned()], &SystemRng).unwrap();
        let forged = PossessionChallenge { public_key: forged.public_key, ..challenge.clone() };
        let answer = forged.answer(&keyring(&avi), avi.recipient(), &said).unwrap().unwrap();
        let refused = forged.check(&keyring(&registrar), avi.recipient(), &said, &answer);
        assert!(matches!(refused, Err(PossessionError::Unproven(_))), "a public key of another challenge");
        let refused = challenge.check(&keyring(&eve), avi.recipient(), &said, &answer);
        assert!(matches!(refused, Err(PossessionError::Closed)));
    }
}
