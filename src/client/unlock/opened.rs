//! The files of a profile that a passphrase protects, opened: what `entente unlock` asks for, and hands to the holder through a pipe.
//!
//! Decides which files are worth holding: those that need a passphrase. A file that can be read without one is read by each command, since
//! every program that could ask the holder could read it too. Passphrases of age files and private keys stay with the command that asked
//! for them; an ssh key is handed over as it is on disk, with its passphrase, since there is no other form of it.

use super::{
    lease::HoldLimits,
    place::SocketPlace,
    protocol::{read_piece, write_piece},
};
use crate::{
    client::{ClientError, Profile, Result, files},
    domain::id::Sha256,
    sealing::{
        held::{IdentityProtection, OpenedIdentity},
        identity::{MAX_IDENTITY_FILE, Prompt, SecretText, read_identity_file},
        jws::SigningKey,
        private_key::unprotected,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    io::{self, Read, Write},
    path::PathBuf,
    time::Duration,
};
use zeroize::Zeroizing;

/// The longest plan that is taken, in bytes, and the longest secret.
const MAX_PLAN: usize = 1 << 20;
const MAX_SECRET: usize = 1 << 20;
/// The most files of a profile.
const MAX_FILES: usize = 64;

/// The opened files of a profile.
pub struct OpenedKeys {
    pub(super) profile: String,
    /// Of all key files of the profile, see [`keys_digest`].
    pub(super) keys: Sha256,
    pub(super) files: Vec<OpenedFile>,
    /// What is not held, and why, for people.
    pub left_out: Vec<String>,
}

/// One of them.
pub(super) struct OpenedFile {
    /// Its path, to be shown.
    pub(super) file: String,
    /// Of its content as it is on disk.
    pub(super) sha256: Sha256,
    pub(super) key: OpenedKey,
}

/// What is in it.
pub(super) enum OpenedKey {
    Identity(OpenedIdentity),
    /// In PEM, free of a passphrase, with its certificate.
    PrivateKey {
        pem: Zeroizing<Vec<u8>>,
        certificate: Vec<u8>,
    },
}

/// The private key of a certificate, both in PEM.
pub(super) fn signing_key(pem: &[u8], certificate: &[u8]) -> Result<SigningKey> {
    SigningKey::from_pem(pem, certificate)
        .map_err(|error| ClientError::local(error.to_string(), "check `certificate` and `private_key` of the profile"))
}

impl fmt::Debug for OpenedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// SHA-256 over what the profile's keys are in: another one means that a file was changed, added or taken out.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn keys_digest(profile: &Profile) -> Result<Sha256> {
    let mut digests = String::new();
    for path in &profile.identities {
        digests.push_str(&Sha256::of(&read_identity_file(path)?).to_string());
    }
    digests.push_str(&Sha256::of(&files::read_private(&profile.private_key)?).to_string());
    digests.push_str(&Sha256::of(&files::read(&profile.certificate)?.unwrap_or_default()).to_string());
    Ok(Sha256::of(digests.as_bytes()))
}

/// Opens what a passphrase protects, identities first; `prompt` is asked for the passphrase of each file, once.
///
/// # Errors
/// When a passphrase is wrong or missing, or no file of the profile needs one.
pub fn open(profile: &Profile, prompt: &impl Prompt) -> Result<OpenedKeys> {
    let keys = keys_digest(profile)?;
    let mut opened = OpenedKeys { profile: profile.name.clone(), keys, files: Vec::new(), left_out: Vec::new() };
    for path in &profile.identities {
        let (name, content) = (path.display().to_string(), read_identity_file(path)?);
        match OpenedIdentity::open(&content, &name, prompt)? {
            IdentityProtection::Passphrase(identity) => {
                let (sha256, key) = (Sha256::of(&content), OpenedKey::Identity(identity));
                opened.files.push(OpenedFile { file: name, sha256, key });
            }
            IdentityProtection::Bare => opened.left_out.push(format!("`{name}` needs no passphrase")),
            IdentityProtection::Plugin => {
                opened.left_out.push(format!("`{name}` is for a plugin, which asks by itself each time"));
            }
        }
    }
    let path = &profile.private_key;
    let (name, content) = (path.display().to_string(), files::read_private(path)?);
    let sha256 = Sha256::of(&content);
    let pem = unprotected(content, &name, prompt)
        .map_err(|error| ClientError::local(error.to_string(), error.help().to_owned()))?;
    if Sha256::of(&pem) == sha256 {
        opened.left_out.push(format!("`{name}` needs no passphrase"));
    } else {
        let certificate = &profile.certificate;
        let certificate = fs::read(certificate).map_err(|error| ClientError::io("read", certificate, &error))?;
        signing_key(&pem, &certificate)?;
        let key = OpenedKey::PrivateKey { pem, certificate };
        opened.files.push(OpenedFile { file: name, sha256, key });
    }
    if opened.files.is_empty() {
        let what =
            format!("no passphrase protects the keys of the profile `{}`, so there is nothing to unlock", profile.name);
        let help = "protect them: `entente keys new --passphrase` makes a protected identity, and README.md shows how a private key is \
                    protected";
        return Err(ClientError::usage(what, help));
    }
    Ok(opened)
}

/// What a holder is started with: where it listens, how long, and which secrets follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    socket: PathBuf,
    record: PathBuf,
    profile: String,
    keys: Sha256,
    total_seconds: u64,
    idle_seconds: u64,
    files: Vec<PlannedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedFile {
    file: String,
    sha256: Sha256,
    secret: PlannedSecret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlannedSecret {
    Identity,
    /// The passphrase follows it.
    SshIdentity,
    /// The certificate follows it.
    PrivateKey,
}

/// What a holder was started with.
pub(super) struct Handover {
    pub(super) place: SocketPlace,
    pub(super) limits: HoldLimits,
    pub(super) opened: OpenedKeys,
}

impl Handover {
    /// Writes it into the pipe to the holder. The secrets are not in the JSON: they follow it, one after the other.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let planned = |opened: &OpenedFile| PlannedFile {
            file: opened.file.clone(),
            sha256: opened.sha256,
            secret: match &opened.key {
                OpenedKey::Identity(OpenedIdentity { passphrase: None, .. }) => PlannedSecret::Identity,
                OpenedKey::Identity(_) => PlannedSecret::SshIdentity,
                OpenedKey::PrivateKey { .. } => PlannedSecret::PrivateKey,
            },
        };
        let plan = Plan {
            socket: self.place.socket.clone(),
            record: self.place.record.clone(),
            profile: self.opened.profile.clone(),
            keys: self.opened.keys,
            total_seconds: self.limits.total.as_secs(),
            idle_seconds: self.limits.idle.as_secs(),
            files: self.opened.files.iter().map(planned).collect(),
        };
        write_piece(to, &serde_json::to_vec(&plan)?)?;
        for opened in &self.opened.files {
            match &opened.key {
                OpenedKey::Identity(OpenedIdentity { content, passphrase }) => {
                    write_piece(to, content)?;
                    if let Some(passphrase) = passphrase {
                        write_piece(to, passphrase.expose().as_bytes())?;
                    }
                }
                OpenedKey::PrivateKey { pem, certificate } => {
                    write_piece(to, pem)?;
                    write_piece(to, certificate)?;
                }
            }
        }
        to.flush()
    }

    /// Reads it from the pipe.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let plan: Plan = serde_json::from_slice(&read_piece(from, MAX_PLAN)?)?;
        if plan.files.len() > MAX_FILES {
            return Err(malformed("the profile names more files than are held"));
        }
        let mut files = Vec::new();
        for PlannedFile { file, sha256, secret } in plan.files {
            let most = match secret {
                PlannedSecret::PrivateKey => MAX_SECRET,
                _ => usize::try_from(MAX_IDENTITY_FILE).expect("64 KiB fit"),
            };
            let content = read_piece(from, most)?;
            let key = match secret {
                PlannedSecret::Identity => OpenedKey::Identity(OpenedIdentity { content, passphrase: None }),
                PlannedSecret::SshIdentity => {
                    let passphrase = read_piece(from, MAX_SECRET)?;
                    let passphrase = str::from_utf8(&passphrase).map_err(|_| malformed("a passphrase is not text"))?;
                    let passphrase = Some(SecretText::from(passphrase.to_owned()));
                    OpenedKey::Identity(OpenedIdentity { content, passphrase })
                }
                PlannedSecret::PrivateKey => {
                    OpenedKey::PrivateKey { pem: content, certificate: read_piece(from, MAX_SECRET)?.to_vec() }
                }
            };
            files.push(OpenedFile { file, sha256, key });
        }
        let seconds = Duration::from_secs;
        Ok(Self {
            place: SocketPlace { socket: plan.socket, record: plan.record },
            limits: HoldLimits { total: seconds(plan.total_seconds), idle: seconds(plan.idle_seconds) },
            opened: OpenedKeys { profile: plan.profile, keys: plan.keys, files, left_out: Vec::new() },
        })
    }
}
