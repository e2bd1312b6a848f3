//! Vaults: an age key pair made on a member's machine, whose identity leaves it only wrapped.
//!
//! Content is sealed once, to the vault's recipient; readers get the vault's identity wrapped to them, one small age file
//! each. The plaintext of a wrapped key is an ordinary identity file, so stock tools follow the same path:
//! `age -d -i me.key wrapped.age > vault.key`, then `age -d -i vault.key document.age`.
//!
//! The member who wraps must first have verified the reader's key card; this file cannot know whose a recipient is.

use super::{
    recipient::RecipientError,
    seal::{SealError, open_bytes, seal_bytes},
};
use age::secrecy::ExposeSecret;
use std::fmt;
use zeroize::Zeroizing;

/// The longest wrapped key taken, in bytes.
pub const MAX_WRAPPED_LEN: usize = 64 * 1024;
/// The longest identity text inside a wrapped key, in bytes.
const MAX_IDENTITY_TEXT: usize = 4096;

/// Why a vault cannot be wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Sealing or opening the wrapped key failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// More than any wrapped key has.
    #[error("the wrapped key is longer than 64 KiB")]
    TooLarge,
    /// It opened, but there is no identity in it.
    #[error("the wrapped key does not hold the identity of a vault")]
    NotAnIdentity,
    /// It holds the identity of another vault.
    #[error("the wrapped key opens another vault; somebody substituted it (wanted `{wanted}`, found `{found}`)")]
    Substituted {
        /// The recipient in the signed vault statement.
        wanted: String,
        /// The recipient of the identity that was wrapped.
        found: String,
    },
}

impl From<RecipientError> for VaultError {
    fn from(error: RecipientError) -> Self {
        Self::Seal(error.into())
    }
}

/// The identity of a vault. Never printed, never serialized, wiped when dropped; [`VaultSecret::wrap`] is the only way out.
pub struct VaultSecret {
    identity: age::x25519::Identity,
    recipient: String,
}

impl VaultSecret {
    /// A new vault.
    pub fn generate() -> Self {
        Self::from_identity(age::x25519::Identity::generate())
    }

    /// The vault's recipient: content is sealed to it.
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// The vault's identity, to open content and other vaults wrapped to it.
    pub fn identity(&self) -> &dyn age::Identity {
        &self.identity
    }

    /// The wrapped key for one reader: an age file sealed to `recipient` (a member's or another vault's).
    pub fn wrap(&self, recipient: &str) -> Result<Vec<u8>, VaultError> {
        let secret = self.identity.to_string();
        let text = Zeroizing::new(format!("{}\n", secret.expose_secret()));
        Ok(seal_bytes(&[recipient.to_owned()], text.as_bytes())?)
    }

    /// Opens a wrapped key. `expected_recipient` is what the signed vault statement says; an identity of another
    /// vault is refused, so that nobody can be made to seal to a key of the host's.
    pub fn unwrap(
        wrapped: &[u8],
        identities: &[&dyn age::Identity],
        expected_recipient: &str,
    ) -> Result<Self, VaultError> {
        if wrapped.len() > MAX_WRAPPED_LEN {
            return Err(VaultError::TooLarge);
        }
        let text = match open_bytes(identities, wrapped, MAX_IDENTITY_TEXT) {
            Err(SealError::TooLarge(_)) => return Err(VaultError::NotAnIdentity),
            opened => opened?,
        };
        let text = str::from_utf8(&text).map_err(|_| VaultError::NotAnIdentity)?;
        let identity = text.strip_suffix('\n').unwrap_or(text).parse().map_err(|_| VaultError::NotAnIdentity)?;
        let vault = Self::from_identity(identity);
        if vault.recipient != expected_recipient {
            return Err(VaultError::Substituted { wanted: expected_recipient.to_owned(), found: vault.recipient });
        }
        Ok(vault)
    }

    fn from_identity(identity: age::x25519::Identity) -> Self {
        let recipient = identity.to_public().to_string();
        Self { identity, recipient }
    }
}

impl fmt::Debug for VaultSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultSecret").field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::{
        header::HeaderCheck,
        identity::{Keyring, NoPrompt, new_identity},
    };

    fn member() -> Keyring {
        Keyring::parse(new_identity().secret().expose().as_bytes(), "me", &NoPrompt).unwrap()
    }

    #[test]
    fn member_opens_content_through_the_wrapped_key() {
        let (vault, avi) = (VaultSecret::generate(), member());
        let document = seal_bytes(&[vault.recipient().to_owned()], b"proposal").unwrap();
        let wrapped = vault.wrap(&avi.recipients()[0]).unwrap();
        assert!(HeaderCheck::check(&wrapped).is_ok());
        let opened = VaultSecret::unwrap(&wrapped, &avi.identities(), vault.recipient()).unwrap();
        assert_eq!(*open_bytes(&[opened.identity()], &document, 100).unwrap(), b"proposal");
    }

    #[test]
    fn vault_wrapped_to_a_vault_opens_through_it() {
        let (call, panel, officer) = (VaultSecret::generate(), VaultSecret::generate(), member());
        let to_officer = call.wrap(&officer.recipients()[0]).unwrap();
        let to_call = panel.wrap(call.recipient()).unwrap();
        let call = VaultSecret::unwrap(&to_officer, &officer.identities(), call.recipient()).unwrap();
        let opened = VaultSecret::unwrap(&to_call, &[call.identity()], panel.recipient()).unwrap();
        assert_eq!(opened.recipient(), panel.recipient());
    }

    #[test]
    fn wrapped_key_is_an_identity_file_for_stock_tools() {
        let (vault, avi) = (VaultSecret::generate(), member());
        let wrapped = vault.wrap(&avi.recipients()[0]).unwrap();
        let text = open_bytes(&avi.identities(), &wrapped, 1000).unwrap();
        assert!(text.starts_with(b"AGE-SECRET-KEY-1") && text.ends_with(b"\n"));
        assert_eq!(Keyring::parse(&text, "vault.key", &NoPrompt).unwrap().recipients(), [vault.recipient()]);
    }

    #[test]
    fn stock_age_reads_the_whole_path() {
        let run = |args: &[&std::ffi::OsStr]| std::process::Command::new("age").args(args).output();
        if run(&["--version".as_ref()]).is_err() {
            assert!(std::env::var_os("ENTENTE_REQUIRE_AGE").is_none(), "`age` is required and not installed");
            eprintln!("NOT PROVEN: `age` is not on the PATH, so interoperation with the stock tool was not tried");
            return;
        }
        let (vault, me, folder) = (VaultSecret::generate(), new_identity(), tempfile::tempdir().unwrap());
        let put = |name: &str, content: &[u8]| {
            let path = folder.path().join(name).into_os_string();
            std::fs::write(&path, content).unwrap();
            path
        };
        let open = |identity: &std::ffi::OsStr, file: &std::ffi::OsStr| {
            let output = run(&["-d".as_ref(), "-i".as_ref(), identity, file]).unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let document = vec![7; 200_000];
        let mine = put("me.key", me.secret().expose().as_bytes());
        let wrapped = put("wrapped.age", &vault.wrap(me.recipient()).unwrap());
        let sealed = put("document.age", &seal_bytes(&[vault.recipient().to_owned()], &document).unwrap());
        let vault_key = put("vault.key", &open(&mine, &wrapped));
        assert_eq!(open(&vault_key, &sealed), document);
    }

    #[test]
    fn substituted_vault_is_noticed() {
        let (vault, hosts, avi) = (VaultSecret::generate(), VaultSecret::generate(), member());
        let wrapped = hosts.wrap(&avi.recipients()[0]).unwrap();
        let refused = VaultSecret::unwrap(&wrapped, &avi.identities(), vault.recipient()).unwrap_err();
        assert!(matches!(refused, VaultError::Substituted { .. }));
        assert!(refused.to_string().starts_with("the wrapped key opens another vault; somebody substituted it"));
    }

    #[test]
    fn key_wrapped_to_somebody_else_does_not_open() {
        let (vault, avi, kim) = (VaultSecret::generate(), member(), member());
        let wrapped = vault.wrap(&avi.recipients()[0]).unwrap();
        let refused = VaultSecret::unwrap(&wrapped, &kim.identities(), vault.recipient());
        assert!(matches!(refused, Err(VaultError::Seal(SealError::NoMatchingIdentity))));
    }

    #[test]
    fn other_content_in_a_wrapped_key_is_refused() {
        let avi = member();
        for content in [b"hello".to_vec(), vec![0xff; 60], vec![b'A'; 5000], Vec::new()] {
            let wrapped = seal_bytes(avi.recipients(), &content).unwrap();
            let refused = VaultSecret::unwrap(&wrapped, &avi.identities(), "age1x");
            assert!(matches!(refused, Err(VaultError::NotAnIdentity)));
        }
        assert!(matches!(VaultSecret::unwrap(&vec![0; 70_000], &[], "age1x"), Err(VaultError::TooLarge)));
    }

    #[test]
    fn wrapping_to_what_is_no_recipient_is_refused() {
        let refused = VaultSecret::generate().wrap("AGE-SECRET-KEY-1XYZ");
        assert!(matches!(refused, Err(VaultError::Seal(SealError::Recipient(RecipientError::Secret)))));
    }

    #[test]
    fn secrets_travel_between_threads() {
        fn check<T: Send + Sync>() {}
        check::<VaultSecret>();
        check::<Keyring>();
        check::<crate::sealing::jws::SigningKey>();
    }

    #[test]
    fn secret_is_not_shown() {
        assert!(!format!("{:?}", VaultSecret::generate()).contains("SECRET-KEY"));
    }
}
