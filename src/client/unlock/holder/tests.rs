//! A holder in this process: what it opens and signs, whom it serves, and what ends it.

use super::*;
use crate::{
    client::{
        Profile,
        unlock::{
            KeyHolder, link,
            opened::{OpenedFile, OpenedKey, keys_digest, open},
            protocol::{Base64Text, ask},
        },
    },
    sealing::{
        identity::{NoPrompt, Prompt, SecretText, new_identity, protect, write_identity_file},
        jws,
        seal::{open_bytes, seal_bytes},
    },
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{os::unix::fs::PermissionsExt, path::PathBuf};
use tokio::{sync::oneshot, task::JoinHandle};

const HOUR: Duration = Duration::from_hours(1);
const LIMITS: HoldLimits = HoldLimits { total: Duration::from_hours(8), idle: Duration::from_hours(4) };

/// A clock that a test sets.
#[derive(Debug, Default)]
struct Hand(Mutex<SignedDuration>);

impl Hand {
    fn goes_on(&self, time: Duration) {
        *self.0.lock().unwrap() += SignedDuration::try_from(time).unwrap();
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + *self.0.lock().unwrap()
    }
}

#[derive(Clone)]
struct Says(&'static str);

impl Prompt for Says {
    fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
        Some(self.0.to_owned().into())
    }

    fn message(&self, _text: &str) {}
}

/// A home with a profile whose identity is protected.
struct Bench {
    folder: tempfile::TempDir,
    home: Home,
    profile: Profile,
    recipient: String,
    clock: Arc<Hand>,
}

/// A holder that serves.
struct Served {
    done: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Served {
    async fn ends(self) {
        self.done.await.unwrap();
    }
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let root = folder.path().join("h");
        let home = Home::locate(Some(&root)).unwrap();
        let issued = crate::dev_pki::testing::self_signed(rcgen::KeyPair::generate().unwrap(), |_| ());
        let path = |name: &str| folder.path().join(name);
        fs::write(path("me.crt"), issued.certificate.pem()).unwrap();
        write_identity_file(&path("me.key"), issued.key.serialize_pem().as_bytes()).unwrap();
        let identity = new_identity();
        let text = identity.file_text(Timestamp::UNIX_EPOCH);
        let protected = protect(&text, &"open sesame".to_owned().into(), 2).unwrap();
        write_identity_file(&path("me.age"), &protected).unwrap();
        let profile = Profile {
            name: "work".into(),
            server: "https://exchange.example:8443".into(),
            server_ca: vec![path("me.crt")],
            certificate: path("me.crt"),
            private_key: path("me.key"),
            identities: vec![path("me.age")],
            member: None,
            zone: None,
        };
        home.save_profile(&profile).unwrap();
        let (recipient, clock) = (identity.recipient().to_owned(), Arc::default());
        Self { folder, home, profile, recipient, clock }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    fn place(&self) -> SocketPlace {
        SocketPlace { socket: self.socket(), ..SocketPlace::new(&self.home, "work").unwrap() }
    }

    fn opened(&self) -> OpenedKeys {
        open(&self.profile, &Says("open sesame")).unwrap()
    }

    fn begin(&self, opened: OpenedKeys, limits: HoldLimits) -> Result<Arc<Holding>> {
        Holding::begin(self.place(), opened, limits, &["memory is not locked"], self.clock.clone())
    }

    fn serves(&self, opened: OpenedKeys, limits: HoldLimits) -> Served {
        self.serves_only(opened, limits, system::admits)
    }

    fn serves_only(
        &self,
        opened: OpenedKeys,
        limits: HoldLimits,
        admits: impl Fn(u32) -> bool + Send + 'static,
    ) -> Served {
        let holding = self.begin(opened, limits).unwrap();
        let (end, ending) = oneshot::channel::<()>();
        let ending = async move {
            if ending.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let done = tokio::spawn(holding.serve(ending, admits));
        Served { done, end }
    }

    /// One question and its answer, as a command has it.
    async fn asks(&self, question: HolderQuestion) -> io::Result<Reply> {
        let socket = self.socket();
        let converse = move || {
            let mut connection = HolderConnection::connect(&socket, Duration::from_mins(1))?;
            ask(&mut connection, &question)?;
            Reply::read(&mut connection)
        };
        tokio::task::spawn_blocking(converse).await.unwrap()
    }

    async fn status(&self) -> HolderStatus {
        match self.asks(HolderQuestion::Status {}).await.unwrap().answer {
            HolderAnswer::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    async fn is_refused(&self, question: HolderQuestion) -> String {
        match self.asks(question).await.unwrap().answer {
            HolderAnswer::Refused { reason } => reason,
            other => panic!("{other:?}"),
        }
    }
}

/// A question that counts as use.
fn use_of_another_file() -> HolderQuestion {
    HolderQuestion::FileKey { file: crate::domain::id::Sha256::of(b"another"), stanzas: Vec::new() }
}

#[tokio::test]
async fn holder_tells_what_it_holds_and_how_long() {
    let bench = Bench::new();
    let served = bench.serves(bench.opened(), LIMITS);
    let status = bench.status().await;
    assert_eq!(status.profile, "work");
    assert_eq!(status.until, Timestamp::UNIX_EPOCH + SignedDuration::from_hours(8));
    assert_eq!(status.idle_until, Timestamp::UNIX_EPOCH + SignedDuration::from_hours(4));
    assert_eq!(status.files.len(), 1, "the private key needs no passphrase");
    assert!(serde_json::to_string(&status).unwrap().contains(&bench.recipient));
    assert_eq!(status.missing, ["memory is not locked"]);
    assert_eq!(status.keys, keys_digest(&bench.profile).unwrap());
    served.end.send(()).unwrap();
    served.done.await.unwrap();
    assert!(!bench.socket().exists());
}

#[tokio::test]
async fn keys_are_forgotten_when_their_time_has_passed() {
    let bench = Bench::new();
    let served = bench.serves(bench.opened(), LIMITS);
    for _ in 0..4 {
        bench.clock.goes_on(HOUR + HOUR / 2);
        bench.is_refused(use_of_another_file()).await;
    }
    bench.clock.goes_on(2 * HOUR);
    assert_eq!(bench.is_refused(HolderQuestion::Status {}).await, ENDED);
    served.ends().await;
    assert!(!bench.socket().exists());
}

#[tokio::test]
async fn keys_that_nothing_uses_are_forgotten_and_looking_at_them_is_no_use() {
    let bench = Bench::new();
    let served = bench.serves(bench.opened(), LIMITS);
    bench.clock.goes_on(3 * HOUR);
    bench.status().await;
    bench.clock.goes_on(HOUR);
    assert_eq!(bench.is_refused(use_of_another_file()).await, ENDED);
    served.ends().await;
}

#[tokio::test]
async fn locking_forgets_at_once() {
    let bench = Bench::new();
    let served = bench.serves(bench.opened(), LIMITS);
    assert_eq!(bench.asks(HolderQuestion::Lock {}).await.unwrap().answer, HolderAnswer::Locked {});
    assert!(!bench.socket().exists(), "who hears that it is locked finds no socket");
    served.ends().await;
    let again = bench.serves(bench.opened(), LIMITS);
    again.end.send(()).unwrap();
    again.done.await.unwrap();
}

#[tokio::test]
async fn connections_that_say_nothing_hold_up_no_end() {
    for locks in [false, true] {
        let bench = Bench::new();
        let served = bench.serves(bench.opened(), LIMITS);
        // All places but one are taken, and then all, with others that wait for one.
        let connect = || std::os::unix::net::UnixStream::connect(bench.socket()).unwrap();
        let mut silent: Vec<_> = (1..CONVERSATIONS).map(|_| connect()).collect();
        bench.status().await;
        if locks {
            let home = bench.home.clone();
            let lock = tokio::task::spawn_blocking(move || link::lock(&home, "work").unwrap());
            // The lock is free once what is open has ended.
            until_gone(&bench).await;
            silent.clear();
            assert!(lock.await.unwrap());
            served.ends().await;
        } else {
            silent.extend((0..CONVERSATIONS).map(|_| connect()));
            served.end.send(()).unwrap();
            tokio::time::timeout(Duration::from_secs(4), served.done).await.expect("it ends").unwrap();
        }
        assert!(!bench.socket().exists());
        drop(silent);
    }
}

async fn until_gone(bench: &Bench) {
    for _ in 0..600 {
        if !bench.socket().exists() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("the socket is still there");
}

#[tokio::test]
async fn account_that_is_not_let_in_hears_nothing() {
    let bench = Bench::new();
    let served = bench.serves_only(bench.opened(), LIMITS, |_| false);
    let refused = bench.asks(HolderQuestion::Status {}).await.unwrap_err();
    assert_ne!(refused.kind(), io::ErrorKind::TimedOut, "{refused}");
    assert!(bench.asks(HolderQuestion::Lock {}).await.is_err());
    assert!(bench.socket().exists(), "it did not lock either");
    served.end.send(()).unwrap();
    served.done.await.unwrap();
}

#[tokio::test]
async fn holder_is_found_and_locked_by_what_the_home_folder_says() {
    let bench = Bench::new();
    let served = bench.serves(bench.opened(), LIMITS);
    fs::write(bench.home.root().join("profiles").join("work.toml"), "server = ").unwrap();
    let home = bench.home.clone();
    let found = tokio::task::spawn_blocking(move || {
        let found = KeyHolder::find(&home, "work").unwrap().is_some();
        (found, link::lock(&home, "work").unwrap(), KeyHolder::find(&home, "work").unwrap().is_none())
    });
    assert_eq!(found.await.unwrap(), (true, true, true));
    served.ends().await;
    assert!(!bench.place().is_written_down());
}

#[tokio::test]
async fn only_one_holder_lives_for_a_profile_and_a_socket_that_was_left_is_replaced() {
    let bench = Bench::new();
    fs::write(bench.socket(), "").unwrap();
    let served = bench.serves(bench.opened(), LIMITS);
    let refused = bench.begin(bench.opened(), LIMITS).err().unwrap();
    assert!(refused.to_string().contains("another `entente unlock` was faster"), "{refused}");
    bench.status().await;
    served.end.send(()).unwrap();
    served.done.await.unwrap();
}

#[tokio::test]
async fn held_private_key_signs_statements_and_nothing_else() {
    let bench = Bench::new();
    let pem = zeroize::Zeroizing::new(fs::read(&bench.profile.private_key).unwrap());
    let certificate = fs::read(&bench.profile.certificate).unwrap();
    let sha256 = crate::domain::id::Sha256::of(&pem);
    let key = OpenedKey::PrivateKey { pem, certificate };
    let mut opened = bench.opened();
    opened.files.push(OpenedFile { file: "me.key".into(), sha256, key });
    let served = bench.serves(opened, LIMITS);
    let refused = bench.is_refused(HolderQuestion::Sign { message: Base64Text::of(b"I owe you a thousand") }).await;
    assert!(refused.contains("nothing else"), "{refused}");
    let holder = bench.holder().await;
    let content = fs::read(&bench.profile.private_key).unwrap();
    let signer = holder.signer(&content, &bench.profile.certificate).unwrap();
    let sign = move || jws::sign(&*signer, "entente-review+jws", &json!({ "a": 1 })).unwrap();
    let signed = tokio::task::spawn_blocking(sign).await.unwrap();
    assert_eq!(jws::verify(&signed, "entente-review+jws").unwrap().payload, br#"{"a":1}"#);
    assert!(holder.signer(b"another key", &bench.profile.certificate).is_none());
    served.end.send(()).unwrap();
    served.done.await.unwrap();
}

impl Bench {
    /// What a command finds.
    async fn holder(&self) -> Arc<KeyHolder> {
        let socket = self.socket();
        let find = move || KeyHolder::at(socket, "work").unwrap().unwrap();
        tokio::task::spawn_blocking(find).await.unwrap()
    }
}

#[tokio::test]
async fn held_identity_opens_for_a_command_and_keys_of_other_files_are_asked_for() {
    let bench = Bench::new();
    let served = bench.serves(bench.opened(), LIMITS);
    let holder = bench.holder().await;
    assert!(holder.is_up_to_date(&bench.profile).unwrap());
    let content = fs::read(&bench.profile.identities[0]).unwrap();
    let keyring = holder.keyring(&content).unwrap();
    assert_eq!(keyring.recipients(), std::slice::from_ref(&bench.recipient));
    let sealed = seal_bytes(keyring.recipients(), b"for them").unwrap();
    let open = move || open_bytes(&keyring.identities(), &sealed, 100).map(|text| text.to_vec());
    assert_eq!(tokio::task::spawn_blocking(open).await.unwrap().unwrap(), b"for them");
    // The file was replaced.
    let other = protect(&new_identity().file_text(Timestamp::UNIX_EPOCH), &"x".to_owned().into(), 2).unwrap();
    assert!(holder.keyring(&other).is_none());
    fs::write(&bench.profile.identities[0], other).unwrap();
    assert!(!holder.is_up_to_date(&bench.profile).unwrap());
    served.end.send(()).unwrap();
    served.done.await.unwrap();
}

#[tokio::test]
async fn holder_of_another_profile_is_not_used() {
    let bench = Bench::new();
    let served = bench.serves(bench.opened(), LIMITS);
    let socket = bench.socket();
    let find = move || KeyHolder::at(socket, "other").unwrap();
    assert!(tokio::task::spawn_blocking(find).await.unwrap().is_none());
    served.end.send(()).unwrap();
    served.done.await.unwrap();
}

#[test]
fn where_nobody_holds_keys_there_is_nothing_to_lock() {
    let bench = Bench::new();
    assert!(KeyHolder::at(bench.socket(), "work").unwrap().is_none());
    assert!(!link::lock(&bench.home, "work").unwrap());
}

#[test]
fn wrong_passphrase_and_keys_without_one_open_nothing() {
    let mut bench = Bench::new();
    let refused = open(&bench.profile, &Says("open")).unwrap_err();
    assert!(refused.to_string().contains("is wrong"), "{refused}");
    assert!(open(&bench.profile, &NoPrompt).is_err());
    bench.profile.identities.clear();
    let refused = open(&bench.profile, &NoPrompt).unwrap_err();
    assert!(refused.to_string().contains("nothing to unlock"), "{refused}");
}

#[test]
fn what_a_holder_is_started_with_reads_back_and_is_not_in_the_json() {
    let bench = Bench::new();
    let handover = Handover { place: bench.place(), limits: LIMITS, opened: bench.opened() };
    let mut sent = Vec::new();
    handover.write(&mut sent).unwrap();
    let plan = read_piece(&mut sent.as_slice(), 1 << 20).unwrap();
    assert!(!String::from_utf8_lossy(&plan).contains("AGE-SECRET-KEY"));
    let read = Handover::read(&mut sent.as_slice()).unwrap();
    assert_eq!((&read.place, read.limits, read.opened.profile.as_str()), (&bench.place(), LIMITS, "work"));
    let mut again = Vec::new();
    Handover { place: bench.place(), limits: LIMITS, opened: read.opened }.write(&mut again).unwrap();
    assert_eq!(again, sent);
    assert!(Handover::read(&mut &sent[..sent.len() - 1]).is_err(), "it is cut short");
}
