//! The way of a command to the holder of its profile's keys: what is held there, and how it is used in place of the keys themselves.
//!
//! Decides when a holder is not used: if it is another profile's, or holds other keys than the files that the profile names. It is compared
//! by the digests of those files, since a protected file does not say in the clear for whom it is.

use super::{
    holder::take_lock,
    opened::keys_digest,
    place::SocketPlace,
    protocol::{Base64Text, HeldKeys, HolderAnswer, HolderQuestion, HolderStatus, Reply, ask},
};
use crate::{
    client::{ClientError, Home, Profile, Result},
    domain::id::Sha256,
    platform::holder::HolderConnection,
    sealing::{
        held::{FileKeyBytes, HeaderStanza, HeldFault, IdentityHolder},
        identity::Keyring,
        jws::key_of,
        signer::{SignatureAlgorithm, Signer, SignerError},
    },
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// How long a conversation with the holder may take: an old ssh key takes its time.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the process of a holder may take to end.
const ENDING: Duration = Duration::from_secs(10);

const GONE: &str = "what held your keys has ended; run the command again, it asks for the passphrase then";

/// A holder of a profile's keys that answers.
#[derive(Debug)]
pub struct KeyHolder {
    socket: PathBuf,
    status: HolderStatus,
}

impl KeyHolder {
    /// The holder of a profile's keys, if one answers.
    ///
    /// # Errors
    /// When something is there that does not answer as a holder does.
    pub fn find(home: &Home, profile: &str) -> Result<Option<Arc<Self>>> {
        match SocketPlace::found(home, profile)? {
            Some(place) => Self::at(place.socket, profile),
            None => Ok(None),
        }
    }

    pub(super) fn at(socket: PathBuf, profile: &str) -> Result<Option<Arc<Self>>> {
        let status = match converse(&socket, &HolderQuestion::Status {}) {
            Ok(Reply { answer: HolderAnswer::Status(status), .. }) => status,
            // Its time has passed at this moment.
            Ok(_) => return Ok(None),
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(unanswered(&socket, &error)),
        };
        let found = (status.profile == profile).then(|| Arc::new(Self { socket, status }));
        Ok(found)
    }

    /// What it holds, and how long.
    #[must_use]
    pub fn status(&self) -> &HolderStatus {
        &self.status
    }

    /// Whether it holds what the files of the profile have in them now.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn is_up_to_date(&self, profile: &Profile) -> Result<bool> {
        Ok(self.status.keys == keys_digest(profile)?)
    }

    /// The identities of the file with this content, if it holds them.
    pub(in crate::client) fn keyring(self: &Arc<Self>, content: &[u8]) -> Option<Keyring> {
        let file = Sha256::of(content);
        let recipients = self.status.files.iter().find_map(|held| match &held.keys {
            HeldKeys::Identity { recipients } if held.sha256 == file => Some(recipients.clone()),
            _ => None,
        })?;
        Some(Keyring::held(recipients, Arc::new(HeldFileKeys { holder: self.clone(), file })))
    }

    /// The private key in the file with this content, if it holds it and it is that of the certificate.
    pub(in crate::client) fn signer(self: &Arc<Self>, content: &[u8], certificate: &Path) -> Option<Arc<dyn Signer>> {
        let file = Sha256::of(content);
        let held = self.status.files.iter().find_map(|held| match &held.keys {
            HeldKeys::PrivateKey { spki_sha256 } if held.sha256 == file => Some(*spki_sha256),
            _ => None,
        })?;
        let certificate = CertificateDer::from_pem_slice(&fs::read(certificate).ok()?).ok()?.to_vec();
        let (algorithm, spki_sha256) = key_of(&certificate).ok()?;
        let signer = HeldSigner { holder: self.clone(), certificate, algorithm };
        (spki_sha256 == held).then(|| Arc::new(signer) as Arc<dyn Signer>)
    }

    fn ask(&self, question: &HolderQuestion) -> Result<Reply, String> {
        match converse(&self.socket, question) {
            Ok(Reply { answer: HolderAnswer::Refused { reason }, .. }) => {
                Err(format!("{reason}; run the command again"))
            }
            Ok(reply) => Ok(reply),
            Err(_) => Err(GONE.to_owned()),
        }
    }
}

/// Has the holder of a profile's keys forget them and end, and waits for its end; whether there was one. The profile itself is not looked
/// at: keys are locked, too, after it was removed or damaged.
///
/// # Errors
/// When something is there that does not answer as a holder does.
pub fn lock(home: &Home, profile: &str) -> Result<bool> {
    let Some(place) = SocketPlace::found(home, profile)? else { return Ok(false) };
    let mut was_held = match converse(&place.socket, &HolderQuestion::Lock {}) {
        Ok(reply) => reply.answer == HolderAnswer::Locked {},
        Err(error) if is_absence(&error) => false,
        Err(error) => return Err(unanswered(&place.socket, &error)),
    };
    // As long as it lives it has its lock, whether it answers or not.
    let lock = match take_lock(&place)? {
        Some(lock) => lock,
        None => {
            was_held = true;
            wait_for_end(&place)?
        }
    };
    // A killed holder left them.
    let _ = fs::remove_file(&place.socket);
    place.forget();
    drop(lock);
    Ok(was_held)
}

/// The lock of a holder that is ending.
fn wait_for_end(place: &SocketPlace) -> Result<File> {
    let path = place.lock_path();
    let failed = |error: io::Error| ClientError::io("lock", &path, &error);
    let lock = place.open_lock().map_err(failed)?;
    let (tell, told) = mpsc::channel();
    // The system waits for a lock without limit. The thread ends with this process at the latest.
    thread::spawn(move || tell.send(lock.lock().map(|()| lock)));
    told.recv_timeout(ENDING)
        .map_err(|_| {
            let what = "the process that holds your keys does not end";
            ClientError::local(what, "end the processes `entente unlock` of this account")
        })?
        .map_err(failed)
}

fn converse(socket: &Path, question: &HolderQuestion) -> io::Result<Reply> {
    let mut connection = HolderConnection::connect(socket, PATIENCE)?;
    ask(&mut connection, question)?;
    Reply::read(&mut connection)
}

/// Whether an error means that nobody is there, or no longer.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::NotFound | E::ConnectionRefused | E::ConnectionReset | E::BrokenPipe | E::UnexpectedEof | E::NotADirectory
    )
}

fn unanswered(socket: &Path, error: &io::Error) -> ClientError {
    let what = format!("what holds your keys does not answer at `{}`: {error}", socket.display());
    ClientError::local(what, "end it and remove the file, then run `entente unlock`; `--no-unlock` goes on without it")
}

/// Identities that a holder opens headers with.
struct HeldFileKeys {
    holder: Arc<KeyHolder>,
    file: Sha256,
}

impl IdentityHolder for HeldFileKeys {
    fn file_key(&self, stanzas: &[HeaderStanza]) -> Result<Option<FileKeyBytes>, HeldFault> {
        let question = HolderQuestion::FileKey { file: self.file, stanzas: stanzas.to_vec() };
        match self.holder.ask(&question).map_err(HeldFault::Silent)? {
            Reply { answer: HolderAnswer::FileKey { .. }, file_key } => Ok(file_key),
            Reply { answer: HolderAnswer::Damaged {}, .. } => Err(HeldFault::Damaged),
            _ => Err(HeldFault::Silent(GONE.to_owned())),
        }
    }
}

/// A private key that a holder signs with.
#[derive(Debug)]
struct HeldSigner {
    holder: Arc<KeyHolder>,
    certificate: Vec<u8>,
    algorithm: SignatureAlgorithm,
}

impl Signer for HeldSigner {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let question = HolderQuestion::Sign { message: Base64Text::of(message) };
        let reply = self.holder.ask(&question).map_err(SignerError::Failed)?;
        let signature = match reply.answer {
            HolderAnswer::Signature { signature } => signature.bytes(),
            _ => None,
        };
        signature.ok_or_else(|| SignerError::Failed(GONE.to_owned()))
    }
}
