//! The keys that are held, and what is done with them on a question. Decides what a held key does: it opens the headers of files and signs
//! what this program signs, and nothing else.

use super::{
    lease::{HoldLimits, Lease, Moment},
    opened::{OpenedFile, OpenedKey, OpenedKeys, signing_key},
    protocol::{Base64Text, HeldFile, HeldKeys, HolderAnswer, HolderQuestion, HolderStatus, Reply},
};
use crate::{
    client::Result,
    domain::id::Sha256,
    sealing::{
        held::{HeaderStanza, HeldFault, is_ours_to_sign},
        identity::Keyring,
        jws::SigningKey,
        signer::Signer,
    },
};

/// Keys, and how long they are held.
pub(super) struct HeldSecrets {
    profile: String,
    keys: Sha256,
    lease: Lease,
    files: Vec<HeldFile>,
    identities: Vec<(Sha256, Keyring)>,
    private_key: Option<SigningKey>,
    missing: Vec<String>,
}

impl HeldSecrets {
    /// Holds what was opened, from now on. `missing` is what the system did not give to protect it.
    pub(super) fn new(opened: OpenedKeys, limits: HoldLimits, missing: &[&str], now: Moment) -> Result<Self> {
        let (mut files, mut identities, mut private_key) = (Vec::new(), Vec::new(), None);
        for OpenedFile { file, sha256, key } in opened.files {
            let keys = match key {
                OpenedKey::Identity(identity) => {
                    let keyring = identity.keyring(&file)?;
                    let recipients = keyring.recipients().to_vec();
                    identities.push((sha256, keyring));
                    HeldKeys::Identity { recipients }
                }
                OpenedKey::PrivateKey { pem, certificate } => {
                    let key = signing_key(&pem, &certificate)?;
                    let spki_sha256 = key.spki_sha256();
                    private_key = Some(key);
                    HeldKeys::PrivateKey { spki_sha256 }
                }
            };
            files.push(HeldFile { file, sha256, keys });
        }
        let missing = missing.iter().map(|sentence| (*sentence).to_owned()).collect();
        let (profile, keys, lease) = (opened.profile, opened.keys, Lease::new(limits, now));
        Ok(Self { profile, keys, lease, files, identities, private_key, missing })
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn status(&self) -> HolderStatus {
        HolderStatus {
            profile: self.profile.clone(),
            keys: self.keys,
            process: std::process::id(),
            until: self.lease.until(),
            idle_until: self.lease.idle_until(),
            files: self.files.clone(),
            missing: self.missing.clone(),
        }
    }

    /// What is answered to a question other than to lock, which is for the owner of these.
    pub(super) fn answer(&mut self, question: &HolderQuestion, now: Moment) -> Reply {
        match question {
            HolderQuestion::Status {} => HolderAnswer::Status(self.status()).into(),
            HolderQuestion::FileKey { file, stanzas } => {
                self.lease.touch(now);
                self.file_key(file, stanzas)
            }
            HolderQuestion::Sign { message } => {
                self.lease.touch(now);
                self.sign(message).unwrap_or_else(|reason| HolderAnswer::Refused { reason }).into()
            }
            HolderQuestion::Lock {} => HolderAnswer::Locked {}.into(),
        }
    }

    fn file_key(&self, file: &Sha256, stanzas: &[HeaderStanza]) -> Reply {
        let Some((_, keyring)) = self.identities.iter().find(|(held, _)| held == file) else {
            return HolderAnswer::Refused { reason: "the identities of that file are not held".to_owned() }.into();
        };
        match keyring.file_key(stanzas) {
            Ok(file_key) => Reply { answer: HolderAnswer::FileKey { is_found: file_key.is_some() }, file_key },
            Err(HeldFault::Damaged) => HolderAnswer::Damaged {}.into(),
            Err(HeldFault::Silent(reason)) => HolderAnswer::Refused { reason }.into(),
        }
    }

    fn sign(&self, message: &Base64Text) -> Result<HolderAnswer, String> {
        let key = self.private_key.as_ref().ok_or("the private key is not held")?;
        let message = message.bytes().ok_or("the message is not base64")?;
        if !is_ours_to_sign(&message) {
            return Err("a held key signs statements of Entente and its connections, nothing else".to_owned());
        }
        let signature = key.sign(&message).map_err(|error| error.to_string())?;
        Ok(HolderAnswer::Signature { signature: Base64Text::of(&signature) })
    }
}
