//! Identities that another process holds: what it is asked, what it answers, and which files it is given.
//!
//! It gets the stanzas of one header and answers with the key of that one file, as age asks its plugins. An identity is never among the
//! answers, so what uses it cannot copy it. Nor does a signature go further than its purpose: [`is_ours_to_sign`] says what a held key
//! signs.

use super::{
    header::{MAX_HEADER_LEN, MAX_STANZAS},
    identity::{self, IdentityError, Keyring, Prompt, SecretText},
};
use age::{DecryptError, secrecy::ExposeSecret};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// The length of the key of one file, in bytes.
pub const FILE_KEY_LEN: usize = FILE_KEY_BYTES;

/// The key of one file.
pub type FileKeyBytes = Zeroizing<[u8; FILE_KEY_LEN]>;

/// A stanza of a header: the file key, wrapped to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderStanza {
    pub tag: String,
    pub args: Vec<String>,
    /// In base64 without padding, as in the header.
    pub body: String,
}

/// Why what holds an identity gives no file key, although it may be for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeldFault {
    /// The header was changed, or has another form than age gives it.
    #[error("the header is damaged")]
    Damaged,
    /// It did not answer.
    #[error("{0}")]
    Silent(String),
}

/// Something that holds identities and opens headers with them.
pub trait IdentityHolder: Send + Sync {
    /// The file key of the header with these stanzas; none if it is for none of the identities.
    ///
    /// # Errors
    /// When the header is damaged, or there is no answer.
    fn file_key(&self, stanzas: &[HeaderStanza]) -> Result<Option<FileKeyBytes>, HeldFault>;
}

/// What is asked with where the identities are not.
struct HeldIdentity(Arc<dyn IdentityHolder>);

impl age::Identity for HeldIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        let stanzas: Vec<HeaderStanza> = stanzas.iter().map(HeaderStanza::of).collect();
        match self.0.file_key(&stanzas) {
            Ok(key) => key.map(|key| Ok(FileKey::init_with_mut(|bytes| bytes.copy_from_slice(&*key)))),
            Err(HeldFault::Damaged) => Some(Err(DecryptError::InvalidHeader)),
            Err(fault @ HeldFault::Silent(_)) => Some(Err(DecryptError::Io(io::Error::other(fault)))),
        }
    }
}

impl HeaderStanza {
    fn of(stanza: &Stanza) -> Self {
        Self { tag: stanza.tag.clone(), args: stanza.args.clone(), body: BASE64_STANDARD_NO_PAD.encode(&stanza.body) }
    }

    fn read(&self) -> Option<Stanza> {
        let body = BASE64_STANDARD_NO_PAD.decode(&self.body).ok()?;
        Some(Stanza { tag: self.tag.clone(), args: self.args.clone(), body })
    }

    /// Whether stanzas fit into one header of a file that is taken here.
    #[must_use]
    pub fn fit_one_header(stanzas: &[Self]) -> bool {
        let length = |stanza: &Self| {
            let args: usize = stanza.args.iter().map(|arg| arg.len() + 1).sum();
            stanza.tag.len() + args + stanza.body.len()
        };
        let most = usize::try_from(MAX_HEADER_LEN).expect("64 KiB fit");
        stanzas.len() <= MAX_STANZAS && stanzas.iter().map(length).sum::<usize>() <= most
    }
}

impl Keyring {
    /// The identities that something else holds; their recipients are public.
    pub fn held(recipients: Vec<String>, holder: Arc<dyn IdentityHolder>) -> Self {
        Self::of_held(Box::new(HeldIdentity(holder)), recipients)
    }

    /// The file key of the header with these stanzas; none if it is for none of these identities.
    ///
    /// # Errors
    /// When the header is damaged.
    pub fn file_key(&self, stanzas: &[HeaderStanza]) -> Result<Option<FileKeyBytes>, HeldFault> {
        let stanzas: Option<Vec<Stanza>> = stanzas.iter().map(HeaderStanza::read).collect();
        let stanzas = stanzas.ok_or(HeldFault::Damaged)?;
        let found = self.identities().into_iter().find_map(|identity| identity.unwrap_stanzas(&stanzas));
        let key = found.transpose().map_err(|_| HeldFault::Damaged)?;
        Ok(key.map(|key| {
            // Filled where it stays: a copy on the way would not be wiped.
            let mut bytes = Zeroizing::new([0; FILE_KEY_LEN]);
            bytes.copy_from_slice(key.expose_secret());
            bytes
        }))
    }
}

/// An identity file that was opened to be held: as it is read without asking, but for an ssh key, which keeps its passphrase.
pub struct OpenedIdentity {
    pub content: Zeroizing<Vec<u8>>,
    pub passphrase: Option<SecretText>,
}

impl fmt::Debug for OpenedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenedIdentity(..)")
    }
}

/// What holding an identity file would be good for.
#[derive(Debug)]
pub enum IdentityProtection {
    /// A passphrase, which was given.
    Passphrase(OpenedIdentity),
    /// None: every program that could ask for it can read the file.
    Bare,
    /// A plugin, which asks by itself for a PIN or a touch, at the terminal of the command.
    Plugin,
}

impl OpenedIdentity {
    /// Opens an identity file if a passphrase protects it, which `prompt` is asked for; `name` is for messages.
    ///
    /// # Errors
    /// When it is not an identity file, or the passphrase is wrong or missing.
    pub fn open(content: &[u8], name: &str, prompt: &impl Prompt) -> Result<IdentityProtection, IdentityError> {
        if identity::is_age_file(content) {
            let content = identity::unprotect(content, name, prompt)?;
            let keyring = Keyring::parse_identities(&content, name, prompt)?;
            if keyring.recipients().len() < keyring.identities().len() {
                return Ok(IdentityProtection::Plugin);
            }
            return Ok(IdentityProtection::Passphrase(Self { content, passphrase: None }));
        }
        let hearing = Hearing { prompt: prompt.clone(), heard: Arc::default() };
        let keyring = Keyring::parse(content, name, &hearing)?;
        let heard = hearing.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(match heard {
            Some(passphrase) => IdentityProtection::Passphrase(Self {
                content: Zeroizing::new(content.to_vec()),
                passphrase: Some(passphrase),
            }),
            None if keyring.recipients().len() < keyring.identities().len() => IdentityProtection::Plugin,
            None => IdentityProtection::Bare,
        })
    }

    /// The identities in it.
    ///
    /// # Errors
    /// When it was not made by [`OpenedIdentity::open`].
    pub fn keyring(&self, name: &str) -> Result<Keyring, IdentityError> {
        Keyring::parse(&self.content, name, &Answering(self.passphrase.clone()))
    }
}

/// A prompt that notes what was answered.
#[derive(Clone)]
struct Hearing<P> {
    prompt: P,
    heard: Arc<Mutex<Option<SecretText>>>,
}

impl<P: Prompt> Prompt for Hearing<P> {
    fn passphrase(&self, purpose: &str) -> Option<SecretText> {
        self.prompt.passphrase(purpose)
    }

    fn file_passphrase(&self, purpose: &str) -> Option<SecretText> {
        let given = self.prompt.file_passphrase(purpose)?;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(given.clone());
        Some(given)
    }

    fn passphrase_fault(&self) -> Option<identity::PassphraseFault> {
        self.prompt.passphrase_fault()
    }

    fn message(&self, text: &str) {
        self.prompt.message(text);
    }
}

/// A prompt with one answer.
#[derive(Clone)]
struct Answering(Option<SecretText>);

impl Prompt for Answering {
    fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
        self.0.clone()
    }

    fn message(&self, _text: &str) {}
}

/// What a client of TLS 1.3 signs begins so (RFC 8446, section 4.4.3); the digest of the handshake follows.
const HANDSHAKE: &[u8] = b"TLS 1.3, client CertificateVerify\0";
const HANDSHAKE_BLANKS: usize = 64;

/// Whether a message is one that a member's key signs here: a statement of this program, or the handshake of a client with a server.
/// Anything else, such as a certificate or a letter, has another form, and a held key does not sign it.
#[must_use]
pub fn is_ours_to_sign(message: &[u8]) -> bool {
    if let Some((blanks, rest)) = message.split_at_checked(HANDSHAKE_BLANKS)
        && blanks.iter().all(|byte| *byte == b' ')
    {
        return rest.strip_prefix(HANDSHAKE).is_some_and(|digest| matches!(digest.len(), 32 | 48));
    }
    let Ok(text) = str::from_utf8(message) else { return false };
    let Some((header, payload)) = text.split_once('.') else { return false };
    let is_payload = BASE64_URL_SAFE_NO_PAD.decode(payload).is_ok();
    let Some(header) = BASE64_URL_SAFE_NO_PAD.decode(header).ok().filter(|_| is_payload) else { return false };
    let header: Option<serde_json::Value> = serde_json::from_slice(&header).ok();
    let typ = header.as_ref().and_then(|header| header.get("typ")?.as_str());
    typ.is_some_and(|typ| typ.starts_with("entente-") && typ.ends_with("+jws"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            identity::{NoPrompt, new_identity, protect},
            seal::{SealError, open_bytes, seal_bytes},
        },
        *,
    };
    use jiff::Timestamp;

    const SSH_LOCKED: &str = include_str!("testdata/id_ed25519_locked");

    #[derive(Clone)]
    struct Says(&'static str);

    impl Prompt for Says {
        fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
            Some(self.0.to_owned().into())
        }

        fn message(&self, _text: &str) {}
    }

    /// Holds a keyring in this process.
    struct Here(Keyring);

    impl IdentityHolder for Here {
        fn file_key(&self, stanzas: &[HeaderStanza]) -> Result<Option<FileKeyBytes>, HeldFault> {
            assert!(HeaderStanza::fit_one_header(stanzas));
            self.0.file_key(stanzas)
        }
    }

    /// Has gone.
    struct Gone;

    impl IdentityHolder for Gone {
        fn file_key(&self, _stanzas: &[HeaderStanza]) -> Result<Option<FileKeyBytes>, HeldFault> {
            Err(HeldFault::Silent("it has ended".into()))
        }
    }

    fn opened(content: &[u8], passphrase: &'static str) -> OpenedIdentity {
        match OpenedIdentity::open(content, "me.age", &Says(passphrase)).unwrap() {
            IdentityProtection::Passphrase(opened) => opened,
            IdentityProtection::Bare | IdentityProtection::Plugin => panic!("a passphrase protects it"),
        }
    }

    fn elsewhere(keyring: Keyring) -> Keyring {
        Keyring::held(keyring.recipients().to_vec(), Arc::new(Here(keyring)))
    }

    #[test]
    fn held_identity_opens_what_is_sealed_to_it_and_nothing_else() {
        let new = new_identity();
        let file = protect(&new.file_text(Timestamp::UNIX_EPOCH), &"open sesame".to_owned().into(), 2).unwrap();
        let held = elsewhere(opened(&file, "open sesame").keyring("me.age").unwrap());
        assert_eq!(held.recipients(), [new.recipient()]);
        let sealed = seal_bytes(held.recipients(), b"for them").unwrap();
        assert_eq!(*open_bytes(&held.identities(), &sealed, 100).unwrap(), b"for them");
        let other = seal_bytes(&[new_identity().recipient().to_owned()], b"for others").unwrap();
        let refused = open_bytes(&held.identities(), &other, 100).unwrap_err();
        assert!(matches!(refused, SealError::NoMatchingIdentity), "{refused}");
    }

    #[test]
    fn held_ssh_key_opens_without_asking_again() {
        let held = elsewhere(opened(SSH_LOCKED.as_bytes(), "correct horse").keyring("id").unwrap());
        let sealed = seal_bytes(held.recipients(), b"for them").unwrap();
        assert_eq!(*open_bytes(&held.identities(), &sealed, 100).unwrap(), b"for them");
    }

    #[test]
    fn holder_that_has_gone_is_told_from_a_file_for_somebody_else() {
        let recipient = new_identity().recipient().to_owned();
        let held = Keyring::held(vec![recipient.clone()], Arc::new(Gone));
        let sealed = seal_bytes(&[recipient], b"x").unwrap();
        let refused = open_bytes(&held.identities(), &sealed, 100).unwrap_err().to_string();
        assert!(refused.contains("it has ended"), "{refused}");
    }

    #[test]
    fn bare_identity_and_that_of_a_plugin_are_not_held() {
        let bare = new_identity().secret().clone();
        let found = OpenedIdentity::open(bare.expose().as_bytes(), "me.key", &NoPrompt).unwrap();
        assert!(matches!(found, IdentityProtection::Bare));
        let refused = OpenedIdentity::open(SSH_LOCKED.as_bytes(), "id", &NoPrompt).err().unwrap();
        assert!(matches!(refused, IdentityError::NoPassphrase(_)));
    }

    #[test]
    fn stanzas_of_more_than_a_header_do_not_fit() {
        let stanza = |length: usize| HeaderStanza { tag: "X25519".into(), args: vec![], body: "A".repeat(length) };
        assert!(HeaderStanza::fit_one_header(&vec![stanza(43); MAX_STANZAS]));
        assert!(!HeaderStanza::fit_one_header(&vec![stanza(43); MAX_STANZAS + 1]));
        assert!(!HeaderStanza::fit_one_header(&[stanza(70_000)]));
        let damaged = HeaderStanza { body: "=".into(), ..stanza(0) };
        assert_eq!(Keyring::new().file_key(&[damaged]), Err(HeldFault::Damaged));
    }

    #[test]
    fn only_statements_and_handshakes_are_signed() {
        let statement = |header: &str| {
            let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
            format!("{}.{}", encode(header), encode(r#"{"a":1}"#)).into_bytes()
        };
        let handshake = |digest: usize| [&[b' '; 64][..], HANDSHAKE, &vec![7; digest]].concat();
        for ours in [statement(r#"{"alg":"ES256","typ":"entente-review+jws"}"#), handshake(32), handshake(48)] {
            assert!(is_ours_to_sign(&ours));
        }
        let of_a_server = String::from_utf8_lossy(&handshake(32)).replace("client", "server").into_bytes();
        for other in [
            b"I owe you a thousand".to_vec(),
            statement(r#"{"alg":"ES256","typ":"JWT"}"#),
            statement(r#"{"alg":"ES256"}"#),
            [statement(r#"{"typ":"entente-review+jws"}"#), b".x".to_vec()].concat(),
            handshake(20),
            of_a_server,
            vec![0x30, 0x82, 1, 0],
            Vec::new(),
        ] {
            assert!(!is_ours_to_sign(&other), "{other:?}");
        }
    }
}
