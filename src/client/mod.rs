//! The client that trusts nobody it need not: it verifies everything the exchange says before it shows it, seals to it or
//! signs it.
//!
//! What it starts from is small: the partner cards that officials confirmed and this machine pinned. From them follow key
//! cards, from key cards every signature. The exchange is believed about routing only: what exists, who is in what, what time
//! it is there. Nothing here prints; the command line does.

pub mod agent;
pub mod api;
pub mod approval;
pub mod assigned;
pub mod bare;
pub mod calls;
pub mod cases;
pub mod chase;
pub mod clock;
pub mod deadlines;
pub mod decisions;
pub mod directory;
pub mod dossier;
mod enforce;
pub mod error;
pub mod explanations;
mod facts;
pub mod file_names;
mod files;
pub mod forecast;
pub mod form_lines;
pub mod inbox;
pub mod inspection;
pub mod interests;
pub mod joining;
mod judging;
mod kept_key;
pub mod labels;
pub mod letters;
mod lineage;
pub mod loading;
pub mod log;
pub mod media;
mod named;
pub mod naming;
pub mod news;
mod opened_here;
pub mod opening;
pub mod own_keys;
pub mod own_standing;
pub mod pages;
pub mod panel;
mod participation;
pub mod parties;
pub mod partner_cards;
pub mod partner_status;
pub mod policies;
pub mod preview;
pub mod profile;
mod profile_file;
pub mod progress;
pub mod proposal_check;
pub mod proposals;
pub mod ranking;
pub mod receipt;
pub mod records;
mod registrars;
pub mod relay;
pub mod review_batch;
pub mod review_form;
pub mod reviews;
pub mod roles;
pub mod signing;
pub mod signing_look;
pub mod suggest;
pub mod summary_form;
pub mod text_diff;
pub mod titles;
pub mod transport;
mod unasked;
pub mod unfinished;
pub mod unlock;
pub mod uploads;
mod vault_makers;
pub mod vaults;
pub mod verified;
pub mod verify;
pub mod version_changes;
pub mod visibility;
mod witness;
pub mod zone;

#[cfg(test)]
mod testing;

pub use error::{ClientError, ExitClass, Result};
pub use profile::{Home, Profile};
pub use progress::{NoProgress, ProgressListener, ProgressStep};

use crate::{
    domain::{
        ambient::{Clock, Rng, SystemClock, SystemRng},
        id::{MemberId, VaultId},
    },
    remembered::Remembered,
    sealing::{
        identity::{Keyring, Prompt, read_identity_file},
        jws::SigningKey,
        private_key::unprotected,
        signer::Signer,
        statement::{Statement, sign_statement},
        vault::VaultSecret,
    },
};
use api::ApiClient;
use jiff::Timestamp;
use std::{
    fmt, fs,
    path::Path,
    sync::{Arc, OnceLock},
};
use tokio::sync::OnceCell;
use transport::Transport;
use unasked::Unasked;
use unlock::KeyHolder;
use witness::Witness;
use zeroize::Zeroizing;

/// The time and randomness that the client works with.
#[derive(Debug, Clone)]
pub struct Ambient {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}

impl Ambient {
    /// The machine's own.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), rng: Arc::new(SystemRng) }
    }
}

/// The private key in the file, in PEM and free of a passphrase, which `prompt` is asked for.
fn read_private_key(path: &Path, prompt: &impl Prompt) -> Result<Zeroizing<Vec<u8>>> {
    opened_private_key(files::read_private(path)?, path, prompt)
}

fn opened_private_key(content: Zeroizing<Vec<u8>>, path: &Path, prompt: &impl Prompt) -> Result<Zeroizing<Vec<u8>>> {
    unprotected(content, &path.display().to_string(), prompt)
        .map_err(|error| ClientError::local(error.to_string(), error.help()))
}

/// One member's way to one exchange. Cheap to clone; clones share what was verified so far.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// Hears warnings.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// Loads the identities of a profile; asks a person for passphrases if it is told that it may.
type KeyringLoader = Box<dyn Fn(MayAsk) -> Result<Keyring> + Send + Sync>;

/// Whether a person may be asked for a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MayAsk {
    Yes,
    No,
}

const RSA_IDENTITY: &str = "one of your identities is an `ssh-rsa` key, and how long it takes to open something with it can reveal the key \
                            (RUSTSEC-2023-0071): make another with `entente keys new`, and have your registrar name it in your key card";

/// How many vaults' identities are remembered: some for each proposal of a large call.
const VAULTS: usize = 65_536;

struct Inner {
    home: Home,
    profile: Profile,
    ambient: Ambient,
    api: ApiClient,
    load_keyring: KeyringLoader,
    keyring: OnceCell<Arc<Keyring>>,
    private_key: OwnKey,
    signer: OnceLock<Arc<dyn Signer>>,
    member: OnceCell<MemberId>,
    directory: directory::DirectoryCache,
    policies: enforce::PolicyCache,
    vaults: Remembered<VaultId, Arc<VaultSecret>, VAULTS>,
    on_warning: OnceLock<Listener>,
}

/// The private key of the profile.
enum OwnKey {
    /// PEM, free of a passphrase.
    Opened(Zeroizing<Vec<u8>>),
    /// Something else holds it.
    Held(Arc<dyn Signer>),
}

impl Client {
    /// A client for a profile. Reads the certificate and its key now, identities only when something is to be opened: `prompt` is asked
    /// for the passphrase of each then, once. May wait for a person.
    pub fn new(home: Home, profile: Profile, prompt: impl Prompt, ambient: Ambient) -> Result<Self> {
        Self::with_holder(home, profile, prompt, ambient, None)
    }

    /// The same, with the keys that a process of this account holds: nobody is asked for their passphrases.
    pub fn with_holder(
        home: Home,
        profile: Profile,
        prompt: impl Prompt,
        ambient: Ambient,
        holder: Option<Arc<KeyHolder>>,
    ) -> Result<Self> {
        let path = &profile.private_key;
        let content = files::read_private(path)?;
        let held = holder.as_ref().and_then(|holder| holder.signer(&content, &profile.certificate));
        let private_key = match held {
            Some(signer) => OwnKey::Held(signer),
            None => OwnKey::Opened(opened_private_key(content, path, &prompt)?),
        };
        let transport = match &private_key {
            OwnKey::Opened(pem) => Transport::new(&profile, pem, ambient.clone())?,
            OwnKey::Held(signer) => Transport::by_signer(&profile, signer.clone(), ambient.clone())?,
        };
        let witness = Witness::new(home.clone(), profile.name.clone(), transport.clock().clone());
        let paths = profile.identities.clone();
        let load_keyring = move |may_ask| {
            if paths.is_empty() {
                return Err(ClientError::usage(
                    "the profile names no identity, so nothing can be opened",
                    "make one with `entente keys new` and name it in the profile",
                ));
            }
            let mut keyring = Keyring::new();
            for path in &paths {
                let (content, name) = (read_identity_file(path)?, path.display().to_string());
                let held = holder.as_ref().and_then(|holder| holder.keyring(&content));
                keyring.add(match (held, may_ask) {
                    (Some(held), _) => held,
                    (None, MayAsk::Yes) => Keyring::parse(&content, &name, &prompt)?,
                    (None, MayAsk::No) => Keyring::parse(&content, &name, &Unasked(prompt.clone()))?,
                });
            }
            Ok(keyring)
        };
        Ok(Self(Arc::new(Inner {
            home,
            profile,
            ambient,
            api: ApiClient::new(transport, witness),
            load_keyring: Box::new(load_keyring),
            keyring: OnceCell::new(),
            private_key,
            signer: OnceLock::new(),
            member: OnceCell::new(),
            directory: directory::DirectoryCache::default(),
            policies: enforce::PolicyCache::default(),
            vaults: Remembered::default(),
            on_warning: OnceLock::new(),
        })))
    }

    /// The routes of the exchange, as they are: what they answer is not verified yet.
    #[must_use]
    pub fn api(&self) -> &ApiClient {
        &self.0.api
    }

    /// The folder with profiles, pins and records.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.0.home
    }

    /// The profile in use.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.0.profile
    }

    /// The instant by this machine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.ambient.clock.now()
    }

    /// The instant by the exchange's clock, as far as it was heard; deadlines go by it.
    #[must_use]
    pub fn exchange_now(&self) -> Timestamp {
        self.api().transport().clock().now()
    }

    /// Who the caller is: the member of the profile, or the one to whom the certificate belongs, as the exchange says.
    pub async fn member_id(&self) -> Result<MemberId> {
        let member = self.0.member.get_or_try_init(|| async {
            if let Some(member) = &self.profile().member {
                return Ok(member.clone());
            }
            self.api().me().await?.member.ok_or_else(|| {
                ClientError::usage(
                    "no key card is published for this certificate",
                    "ask your partner's registrar to publish one; then `entente me` names you",
                )
            })
        });
        member.await.cloned()
    }

    /// Has statements signed by another key than the private key of the profile, such as one on a card. The connection goes on with the
    /// profile's. The first signer that is set or used stays.
    #[must_use]
    pub fn with_signer(self, signer: Arc<dyn Signer>) -> Self {
        // A second one would be a mistake of the program and changes nothing.
        let _ = self.0.signer.set(signer);
        self
    }

    /// What statements are signed with: the key of the profile's certificate, if no other signer was set.
    pub fn signer(&self) -> Result<Arc<dyn Signer>> {
        if let Some(signer) = self.0.signer.get() {
            return Ok(signer.clone());
        }
        let pem = match &self.0.private_key {
            OwnKey::Opened(pem) => pem,
            OwnKey::Held(signer) => return Ok(self.0.signer.get_or_init(|| signer.clone()).clone()),
        };
        let profile = self.profile();
        let certificate = fs::read(&profile.certificate);
        let certificate = certificate.map_err(|error| ClientError::io("read", &profile.certificate, &error))?;
        let key = SigningKey::from_pem(pem, &certificate).map_err(|error| {
            ClientError::local(error.to_string(), "check `certificate` and `private_key` of the profile")
        })?;
        Ok(self.0.signer.get_or_init(|| Arc::new(key)).clone())
    }

    /// A statement, signed. Waits for the signer, and so perhaps for a person.
    ///
    /// # Errors
    /// Among others [`ClientError::NotSigned`], with which the act is to be given up.
    async fn signed<T: Statement>(&self, statement: &T) -> Result<String> {
        let (signer, statement) = (self.signer()?, statement.clone());
        blocking(move || Ok(sign_statement(&*signer, &statement)?)).await
    }

    /// The identities of the profile, loaded on first use.
    pub async fn keyring(&self) -> Result<Arc<Keyring>> {
        let client = self.clone();
        let load = || {
            blocking(move || {
                let keyring = (client.0.load_keyring)(MayAsk::Yes)?;
                Ok(client.loaded(keyring))
            })
        };
        self.0.keyring.get_or_try_init(load).await.cloned()
    }

    /// The same, if nobody has to be asked for that, nor for what they open: for what is left out otherwise.
    async fn unasked_keyring(&self) -> Option<Arc<Keyring>> {
        if let Some(keyring) = self.0.keyring.get() {
            return Some(keyring.clone()).filter(|keyring| !keyring.has_plugin());
        }
        let client = self.clone();
        let loaded = blocking(move || (client.0.load_keyring)(MayAsk::No)).await.ok();
        let loaded = loaded.filter(|keyring| !keyring.has_plugin())?;
        Some(self.0.keyring.get_or_init(|| async { self.loaded(loaded) }).await.clone())
    }

    fn loaded(&self, keyring: Keyring) -> Arc<Keyring> {
        if keyring.has_rsa() {
            self.warn(RSA_IDENTITY);
        }
        Arc::new(keyring)
    }

    /// Has a listener hear, in a sentence, what does not stand in the way but should not be so. The first listener that is set stays.
    #[must_use]
    pub fn on_warning(self, hear: impl Fn(&str) + Send + Sync + 'static) -> Self {
        // A second one would be a mistake of the program and changes nothing.
        let _ = self.0.on_warning.set(Box::new(hear));
        self
    }

    fn warn(&self, sentence: &str) {
        if let Some(hear) = self.0.on_warning.get() {
            hear(sentence);
        }
    }

    fn ambient(&self) -> &Ambient {
        &self.0.ambient
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("profile", &self.0.profile).finish_non_exhaustive()
    }
}

/// Runs work that takes its time (cryptography, files, a person at a prompt) away from the network's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ClientError::local(format!("a task ended early: {error}"), "try again")),
    }
}
