//! A member's own keys: making, protecting, storing and loading age identities.
//!
//! Decides what may serve as an identity (X25519 in a plain or passphrase-protected file, ssh keys, plugins) and refuses a
//! plain file that others on the machine can read, where the system shows that. Secrets are [`SecretText`]: no `Serialize`,
//! nothing in `Debug`, wiped when dropped. Nothing secret is ever put in an error.

use crate::platform;
use age::secrecy::{ExposeSecret, SecretString};
use jiff::Timestamp;
use std::{
    fmt, fs,
    io::{self, BufReader, Read, Write},
    path::Path,
};
use zeroize::Zeroizing;

pub use age::Identity;

/// The longest identity file read, in bytes.
pub const MAX_IDENTITY_FILE: u64 = 64 * 1024;
/// The scrypt work factor for protecting an identity file: N = 2^18, what stock `age` uses (about a second, 256 MiB).
pub const DEFAULT_WORK_FACTOR: u8 = 18;
/// The largest work factor that is accepted when opening one.
const MAX_WORK_FACTOR: u8 = 22;

/// What to do where a passphrase is needed and nobody can be asked.
pub const NOBODY_TO_ASK: &str =
    "run it at a terminal, or name a file whose first line is the passphrase: `--passphrase-file`";

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot {verb} `{path}`: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Others on this machine can read a file that holds an unprotected secret.
    #[error("identity file `{path}` can be read by others (mode {mode:04o}); run `chmod 600 {quoted}`")]
    Permissions {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
        /// The path as a shell takes it.
        quoted: String,
    },
    /// A file would be overwritten.
    #[error("`{0}` exists already; an identity is never overwritten, choose another name")]
    Exists(String),
    /// Longer than [`MAX_IDENTITY_FILE`].
    #[error("`{0}` is longer than 64 KiB: it is not an identity file")]
    TooLarge(String),
    /// Not an identity of any kind.
    #[error("`{name}` is not an identity file: {problem}")]
    Shape {
        /// The file.
        name: String,
        /// What is wrong, without its content.
        problem: String,
    },
    /// An age file, but encrypted to recipients.
    #[error("`{0}` is encrypted to a recipient, not with a passphrase")]
    NotPassphrase(String),
    /// No passphrase could be asked for.
    #[error("`{0}` needs a passphrase, and there is no terminal to ask at")]
    NoPassphrase(String),
    /// The file that was named for passphrases gives none.
    #[error("{}", .0.what)]
    PassphraseFile(PassphraseFault),
    /// The passphrase does not open the file.
    #[error("the passphrase for `{0}` is wrong")]
    WrongPassphrase(String),
    /// The file asks for more work than anybody would choose.
    #[error("`{0}` asks for an scrypt work factor above 22; it was not made by an ordinary tool")]
    ExcessiveWork(String),
    /// A passphrase nobody should use.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// A work factor outside 1 to 22.
    #[error("the scrypt work factor must be 1 to 22")]
    WorkFactor,
    /// An ssh key of a kind that cannot decrypt.
    #[error("the ssh key in `{0}` cannot be used; wanted an `ssh-ed25519` or `ssh-rsa` key in OpenSSH format")]
    SshKind(String),
    /// The plugin's program is not installed.
    #[error("`{name}` needs the program `{binary}`, which is not on the PATH; install it")]
    PluginMissing {
        /// The file or recipient.
        name: String,
        /// The plugin's program.
        binary: String,
    },
}

/// Why a file that was named for passphrases gives none, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassphraseFault {
    pub what: String,
    pub help: String,
}

/// A secret in text form: an identity or a passphrase.
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// The secret itself; keep it no longer than needed.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// Asks the person at the keyboard; also serves plugins, which may want a touch or a PIN.
pub trait Prompt: Clone + Send + Sync + 'static {
    /// A passphrase or PIN; `None` if it cannot be had.
    fn passphrase(&self, purpose: &str) -> Option<SecretText>;

    /// The passphrase of a file. Unlike a plugin's PIN, which a device asks for each time and takes a few times only, it may be remembered.
    fn file_passphrase(&self, purpose: &str) -> Option<SecretText> {
        self.passphrase(purpose)
    }

    /// The passphrases that opened other files before: one often protects an identity and a private key, and nobody types it for each.
    fn opened_before(&self) -> Vec<SecretText> {
        Vec::new()
    }

    /// A passphrase that was typed has opened an identity or a private key.
    fn has_opened(&self, _passphrase: &SecretText) {}

    /// The passphrase of a file, if it is given already: nobody is asked for it.
    fn given(&self, _purpose: &str) -> Option<SecretText> {
        None
    }

    /// Why there is no passphrase, if a file that was named for it is the reason.
    fn passphrase_fault(&self) -> Option<PassphraseFault> {
        None
    }

    /// Shows a message, such as a request to touch a hardware key.
    fn message(&self, text: &str);

    /// Asks a question with two answers; `None` if it cannot be asked.
    fn confirm(&self, _text: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        None
    }

    /// Asks for a line that is not secret; `None` if it cannot be had.
    fn line(&self, _purpose: &str) -> Option<String> {
        None
    }
}

/// A prompt that nobody answers.
#[derive(Debug, Clone, Copy)]
pub struct NoPrompt;

impl Prompt for NoPrompt {
    fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
        None
    }

    fn message(&self, _text: &str) {}
}

/// A freshly made X25519 identity.
#[derive(Debug)]
pub struct NewIdentity {
    secret: SecretText,
    recipient: String,
}

/// Makes an X25519 identity.
pub fn new_identity() -> NewIdentity {
    let identity = age::x25519::Identity::generate();
    NewIdentity { secret: SecretText(identity.to_string()), recipient: identity.to_public().to_string() }
}

impl NewIdentity {
    /// The secret half, `AGE-SECRET-KEY-1…`.
    pub fn secret(&self) -> &SecretText {
        &self.secret
    }

    /// The public half, `age1…`.
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// The content of an identity file, as stock `age-keygen` writes it.
    pub fn file_text(&self, created: Timestamp) -> SecretText {
        let secret = self.secret.expose();
        format!("# created: {created:.0}\n# public key: {}\n{secret}\n", self.recipient).into()
    }
}

/// Protects the text of an identity file with a passphrase: an armored age file that stock `age -d` opens. The work factor
/// is [`DEFAULT_WORK_FACTOR`] but in tests.
pub fn protect(file_text: &SecretText, passphrase: &SecretText, work_factor: u8) -> Result<Vec<u8>, IdentityError> {
    if passphrase.expose().is_empty() {
        return Err(IdentityError::EmptyPassphrase);
    }
    if !(1..=MAX_WORK_FACTOR).contains(&work_factor) {
        return Err(IdentityError::WorkFactor);
    }
    let mut recipient = age::scrypt::Recipient::new(passphrase.0.clone());
    recipient.set_work_factor(work_factor);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .expect("one passphrase recipient is always accepted");
    let write = || -> io::Result<Vec<u8>> {
        let armor = age::armor::ArmoredWriter::wrap_output(Vec::new(), age::armor::Format::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armor)?;
        writer.write_all(file_text.expose().as_bytes())?;
        writer.finish()?.finish()
    };
    Ok(write().expect("writing to memory does not fail"))
}

/// Writes a new identity file that only its owner can read, and makes sure that it is on disk. On Windows it gets the access list of its
/// folder.
pub fn write_identity_file(path: &Path, content: &[u8]) -> Result<(), IdentityError> {
    let mut file = platform::create_private(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => IdentityError::Exists(path.display().to_string()),
        _ => io_error("create", path, source),
    })?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|source| io_error("write", path, source))
}

/// The identities a member can open things with.
#[derive(Default)]
pub struct Keyring {
    identities: Vec<Box<dyn age::Identity + Send + Sync>>,
    recipients: Vec<String>,
    /// The X25519 identities among them, as text, by recipient.
    x25519: Vec<(String, SecretText)>,
    has_plugin: bool,
}

impl Keyring {
    /// A keyring with no identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads the identities of a file: age identities (plain, or protected by a passphrase), an ssh private key, or plugin
    /// identities. Asks for passphrases now, once. A file that is not passphrase-protected by age must be readable by
    /// its owner alone, which is not checked on Windows.
    pub fn load(path: &Path, prompt: &impl Prompt) -> Result<Self, IdentityError> {
        Self::parse(&read_identity_file(path)?, &path.display().to_string(), prompt)
    }

    /// Reads identities as [`Keyring::load`] does, from memory; `name` is for messages.
    pub fn parse(content: &[u8], name: &str, prompt: &impl Prompt) -> Result<Self, IdentityError> {
        if content.len() as u64 > MAX_IDENTITY_FILE {
            return Err(IdentityError::TooLarge(name.to_owned()));
        }
        if is_age_file(content) {
            Self::parse_identities(&unprotect(content, name, prompt)?, name, prompt)
        } else if content.starts_with(b"-----BEGIN") {
            Self::parse_ssh(content, name, prompt)
        } else {
            Self::parse_identities(content, name, prompt)
        }
    }

    /// One identity that stands for all that something else holds.
    pub(super) fn of_held(identity: Box<dyn age::Identity + Send + Sync>, recipients: Vec<String>) -> Self {
        Self { identities: vec![identity], recipients, ..Self::default() }
    }

    /// Adds the identities of another keyring.
    pub fn add(&mut self, other: Self) {
        self.identities.extend(other.identities);
        self.recipients.extend(other.recipients);
        self.x25519.extend(other.x25519);
        self.has_plugin |= other.has_plugin;
    }

    /// The X25519 identity of a recipient, `AGE-SECRET-KEY-1…`.
    pub(super) fn x25519_secret(&self, recipient: &str) -> Option<&SecretText> {
        self.x25519.iter().find(|(named, _)| named == recipient).map(|(_, secret)| secret)
    }

    /// The identities, in the order in which they are tried.
    pub fn identities(&self) -> Vec<&dyn age::Identity> {
        self.identities.iter().map(|identity| &**identity as &dyn age::Identity).collect()
    }

    /// The recipients of those identities that give them: all but plugins' identities.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }

    /// Whether one of them is an `ssh-rsa` key, whose use takes a time that depends on the key (RUSTSEC-2023-0071).
    pub fn has_rsa(&self) -> bool {
        self.recipients.iter().any(|recipient| recipient.starts_with("ssh-rsa "))
    }

    /// Whether one of them is a plugin's, which may ask for a PIN or a touch whenever it opens something.
    pub fn has_plugin(&self) -> bool {
        self.has_plugin
    }

    /// Whether there is no identity at all.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    pub(super) fn parse_identities(content: &[u8], name: &str, prompt: &impl Prompt) -> Result<Self, IdentityError> {
        let shape = |problem: String| IdentityError::Shape { name: name.to_owned(), problem };
        let text = str::from_utf8(content).map_err(|_| shape("it is not text".to_owned()))?;
        // The library's message names the line, never its content.
        let file = age::IdentityFile::from_buffer(BufReader::new(content)).map_err(|error| shape(error.to_string()))?;
        let x25519: Vec<_> = text
            .lines()
            .filter_map(|line| line.parse::<age::x25519::Identity>().ok())
            .map(|identity| (identity.to_public().to_string(), SecretText(identity.to_string())))
            .collect();
        let recipients: Vec<_> = x25519.iter().map(|(recipient, _)| recipient.clone()).collect();
        let identities = file.with_callbacks(Callbacks(prompt.clone())).into_identities();
        let identities = identities.map_err(|error| from_decrypt(error, name))?;
        if identities.is_empty() {
            return Err(shape("it holds no identity".to_owned()));
        }
        // What is not X25519 there is a plugin's.
        let has_plugin = identities.len() > recipients.len();
        Ok(Self { identities, recipients, x25519, has_plugin })
    }

    fn parse_ssh(content: &[u8], name: &str, prompt: &impl Prompt) -> Result<Self, IdentityError> {
        use age::ssh::Identity::{Encrypted, Unencrypted, Unsupported};
        let unusable = || IdentityError::SshKind(name.to_owned());
        let key = match age::ssh::Identity::from_buffer(BufReader::new(content), None).map_err(|_| unusable())? {
            Unencrypted(key) => Unencrypted(key),
            // Opened now, so that the passphrase is asked for once and not at each file.
            Encrypted(key) => {
                let passphrase = ask(prompt, name)?;
                Unencrypted(key.decrypt(passphrase.0).map_err(|error| from_decrypt(error, name))?)
            }
            Unsupported(_) => return Err(unusable()),
        };
        let recipient = age::ssh::Recipient::try_from(key.clone()).map_err(|_| unusable())?;
        Ok(Self { identities: vec![Box::new(key)], recipients: vec![recipient.to_string()], ..Self::default() })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("recipients", &self.recipients).finish_non_exhaustive()
    }
}

/// Lends a [`Prompt`] to the age library.
#[derive(Clone)]
struct Callbacks<P>(P);

impl<P: Prompt> age::Callbacks for Callbacks<P> {
    fn display_message(&self, message: &str) {
        self.0.message(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        self.0.confirm(message, yes, no)
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.0.line(description)
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        self.0.passphrase(description).map(|passphrase| passphrase.0)
    }
}

/// Reads an identity file as it is. One that is not passphrase-protected by age must be readable by its owner alone, which is not checked
/// on Windows.
pub fn read_identity_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let file = fs::File::open(path).map_err(|source| io_error("open", path, source))?;
    let metadata = file.metadata().map_err(|source| io_error("read", path, source))?;
    // Enough room from the start: growing would leave copies of the secret behind.
    let room = usize::try_from(metadata.len().min(MAX_IDENTITY_FILE)).expect("64 KiB fit");
    let mut content = Zeroizing::new(Vec::with_capacity(room + 64));
    file.take(MAX_IDENTITY_FILE + 1).read_to_end(&mut content).map_err(|source| io_error("read", path, source))?;
    if !is_age_file(&content) {
        check_permissions(path, &metadata)?;
    }
    Ok(content)
}

pub(super) fn is_age_file(content: &[u8]) -> bool {
    content.starts_with(b"age-encryption.org/") || content.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// The text in a file that a passphrase protects.
pub(super) fn unprotect(content: &[u8], name: &str, prompt: &impl Prompt) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    if prompt.given(&purpose(name)).is_none() {
        for passphrase in prompt.opened_before() {
            if let Ok(text) = unprotect_with(content, name, || Ok(passphrase)) {
                return Ok(text);
            }
        }
    }
    let mut asked = None;
    let text =
        unprotect_with(content, name, || ask(prompt, name).inspect(|passphrase| asked = Some(passphrase.clone())))?;
    if let Some(passphrase) = asked {
        prompt.has_opened(&passphrase);
    }
    Ok(text)
}

fn unprotect_with(
    content: &[u8],
    name: &str,
    passphrase: impl FnOnce() -> Result<SecretText, IdentityError>,
) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let armor = age::armor::ArmoredReader::new(content);
    let decryptor = age::Decryptor::new_buffered(armor).map_err(|error| from_decrypt(error, name))?;
    if !decryptor.is_scrypt() {
        return Err(IdentityError::NotPassphrase(name.to_owned()));
    }
    let mut identity = age::scrypt::Identity::new(passphrase()?.0);
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let reader = reader.map_err(|error| from_decrypt(error, name))?;
    let mut text = Zeroizing::new(Vec::with_capacity(content.len()));
    reader.take(MAX_IDENTITY_FILE).read_to_end(&mut text).map_err(|error| from_decrypt(error.into(), name))?;
    Ok(text)
}

fn purpose(name: &str) -> String {
    format!("passphrase for `{name}`")
}

fn ask(prompt: &impl Prompt, name: &str) -> Result<SecretText, IdentityError> {
    let passphrase = prompt.file_passphrase(&purpose(name));
    passphrase.ok_or_else(|| match prompt.passphrase_fault() {
        Some(fault) => IdentityError::PassphraseFile(fault),
        None => IdentityError::NoPassphrase(name.to_owned()),
    })
}

fn from_decrypt(error: age::DecryptError, name: &str) -> IdentityError {
    use age::DecryptError as E;
    let name = name.to_owned();
    match error {
        E::DecryptionFailed | E::KeyDecryptionFailed | E::NoMatchingKeys => IdentityError::WrongPassphrase(name),
        E::ExcessiveWork { .. } => IdentityError::ExcessiveWork(name),
        E::PluginResolve(age::plugin::ResolveError::MissingPlugin { binary_name }) => {
            IdentityError::PluginMissing { name, binary: binary_name }
        }
        E::InvalidHeader | E::InvalidMac | E::UnknownFormat | E::Io(_) => {
            IdentityError::Shape { name, problem: "the age file is damaged or cut short".to_owned() }
        }
        other => IdentityError::Shape { name, problem: other.to_string() },
    }
}

fn check_permissions(path: &Path, metadata: &fs::Metadata) -> Result<(), IdentityError> {
    let Some(mode) = platform::mode_for_others(path, metadata, None) else { return Ok(()) };
    let path = path.display().to_string();
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c));
    let quoted = if plain { path.clone() } else { format!("'{}'", path.replace('\'', r"'\''")) };
    Err(IdentityError::Permissions { path, mode, quoted })
}

fn io_error(verb: &'static str, path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Io { verb, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests;
