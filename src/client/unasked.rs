//! A prompt that takes what is given already and asks nobody: for what is shown if it can be, and left out if it cannot.

use crate::sealing::identity::{Prompt, SecretText};

/// Answers as another prompt does, as far as that takes no person.
#[derive(Debug, Clone)]
pub(super) struct Unasked<P>(pub(super) P);

impl<P: Prompt> Prompt for Unasked<P> {
    fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
        None
    }

    fn file_passphrase(&self, purpose: &str) -> Option<SecretText> {
        self.0.given(purpose)
    }

    fn given(&self, purpose: &str) -> Option<SecretText> {
        self.0.given(purpose)
    }

    fn message(&self, _text: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::identity::{IdentityError, Keyring, new_identity, protect};

    /// Somebody at a terminal, and perhaps a file with the passphrase.
    #[derive(Clone)]
    struct Person {
        file: Option<&'static str>,
    }

    impl Prompt for Person {
        fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
            panic!("somebody was asked")
        }

        fn given(&self, _purpose: &str) -> Option<SecretText> {
            self.file.map(|text| text.to_owned().into())
        }

        fn message(&self, _text: &str) {
            panic!("somebody was told")
        }
    }

    #[test]
    fn passphrase_that_is_given_is_taken_and_nobody_is_asked_for_another() {
        let identity = new_identity();
        let protected = protect(identity.secret(), &"open sesame".to_owned().into(), 2).unwrap();
        let load = |content: &[u8], file| Keyring::parse(content, "me.age", &Unasked(Person { file }));
        assert_eq!(load(&protected, Some("open sesame")).unwrap().recipients(), [identity.recipient()]);
        assert!(matches!(load(&protected, None), Err(IdentityError::NoPassphrase(_))));
        assert!(load(identity.secret().expose().as_bytes(), None).is_ok(), "a bare one takes no passphrase");
    }
}
