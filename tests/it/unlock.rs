//! `entente unlock`: a passphrase is asked for once, commands go on without it, and nothing of it is left where others find it.

use crate::harness::{
    process::{PATIENCE, ended, entente, until},
    stage::{Stage, id},
};
use entente::{
    client::{Home, Profile},
    sealing::identity::protect,
};
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument};
use serde_json::Value;
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

const PASSPHRASE: &str = "open sesame, said the forty";
const ASKED: &str = "needs a passphrase, and there is no terminal to ask at";

/// A member whose identity and private key a passphrase protects.
struct Member {
    home: String,
    /// The file with the passphrase.
    passphrase: String,
    folder: PathBuf,
}

impl Member {
    fn of(stage: &Stage, member: &str) -> Self {
        let folder = stage.plan.dir.join("protected");
        fs::create_dir(&folder).unwrap();
        let root = stage.home(&id(member));
        fs::set_permissions(&root, Permissions::from_mode(0o700)).unwrap();
        let home = Home::locate(Some(&root)).unwrap();
        let profile = home.profile(None).unwrap();
        let passphrase = private_file(&folder, "passphrase", format!("{PASSPHRASE}\n").as_bytes());
        let key = protected_key(&fs::read_to_string(&profile.private_key).unwrap());
        let identity = fs::read_to_string(&profile.identities[0]).unwrap();
        let identity = protect(&identity.into(), &PASSPHRASE.to_owned().into(), 2).unwrap();
        let private_key = private_file(&folder, "member.key", key.as_bytes()).into();
        let identities = vec![private_file(&folder, "member.age", &identity).into()];
        home.save_profile(&Profile { private_key, identities, ..profile }).unwrap();
        Self { home: root.display().to_string(), passphrase, folder }
    }

    fn command(&self, words: &[&str]) -> Command {
        entente(&[&["--home", &self.home], words].concat())
    }

    async fn runs(&self, words: &[&str]) -> Output {
        ended(self.command(words)).await
    }

    /// Runs a command that is to succeed; what it answers.
    async fn succeeds(&self, words: &[&str]) -> String {
        let output = self.runs(words).await;
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that is to fail with exit code 1; what it says.
    async fn fails(&self, words: &[&str]) -> String {
        let output = self.runs(words).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        said
    }

    async fn unlocks(&self, words: &[&str]) -> String {
        self.succeeds(&[&["--passphrase-file", &self.passphrase, "unlock"], words].concat()).await
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&self.succeeds(&["--json", "unlock", "--status"]).await).unwrap()
    }

    async fn process(&self) -> u64 {
        self.status().await["process"].as_u64().unwrap()
    }

    async fn is_asked(&self) -> bool {
        let output = self.runs(&["me"]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        // The time can pass between finding the keys and using them.
        let has_just_ended = said.contains("what held your keys has ended") || said.contains("were held has passed");
        assert!(output.status.success() || said.contains(ASKED) || has_just_ended, "{said}");
        said.contains(ASKED)
    }

    /// The files of sockets that are there.
    fn sockets(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(Path::new(&self.home).join("unlocked")).into_iter().flatten().flatten();
        files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "sock")).collect()
    }
}

/// No process outlives its test.
impl Drop for Member {
    fn drop(&mut self) {
        let lock = std::process::Command::new(env!("CARGO_BIN_EXE_entente"))
            .args(["--home", &self.home, "--quiet", "lock"])
            .env_clear()
            .stdin(Stdio::null())
            .output();
        assert!(std::thread::panicking() || lock.unwrap().status.success());
    }
}

fn private_file(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn protected_key(pem: &str) -> String {
    let (_, document) = SecretDocument::from_pem(pem).unwrap();
    let bare = PrivateKeyInfo::try_from(document.as_bytes()).unwrap();
    let parameters = pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(2048, b"8 bytes.", &[7; 16]).unwrap();
    let protected = bare.encrypt_with_params(parameters, PASSPHRASE).unwrap();
    assert!(EncryptedPrivateKeyInfo::try_from(protected.as_bytes()).is_ok());
    protected.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap().to_string()
}

async fn kill(process: u64, signal: &str) {
    let killed = Command::new("sh").args(["-c", &format!("kill -{signal} {process}")]).status().await.unwrap();
    assert!(killed.success());
}

#[tokio::test]
async fn passphrase_is_asked_once_and_commands_go_on_without_it_until_it_is_locked() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    assert!(dana.is_asked().await);
    let said = dana.unlocks(&["--for", "1h"]).await;
    assert!(said.contains("member.age") && said.contains("member.key"), "{said}");
    let me: Value = serde_json::from_str(&dana.succeeds(&["--json", "me"]).await).unwrap();
    assert_eq!(me["member"], "USA:dana");
    let call = stage.call.to_string();
    // It opens what is wrapped to the identity, and connects by the private key.
    let checked = dana.succeeds(&["--json", "key", "check", "--call", &call]).await;
    assert!(checked.contains("opens"), "{checked}");
    dana.succeeds(&["call", "show", &call]).await;
    let status = dana.status().await;
    assert_eq!((&status["unlocked"], status["files"].as_array().unwrap().len()), (&Value::Bool(true), 2));
    // Again is no harm, and asks nothing. Another time is not taken unsaid.
    dana.succeeds(&["unlock"]).await;
    let output = dana.runs(&["unlock", "--for", "30m"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("run `entente lock` first"), "{said}");
    for aside in [&["--no-unlock", "me"][..], &["agent", "run", "--once"]] {
        assert!(dana.fails(aside).await.contains(ASKED), "{aside:?}");
    }
    let mut aside = dana.command(&["me"]);
    aside.env("ENTENTE_NO_UNLOCK", "1");
    assert!(String::from_utf8_lossy(&ended(aside).await.stderr).contains(ASKED));

    dana.succeeds(&["lock"]).await;
    assert!(dana.sockets().is_empty());
    assert_eq!(dana.status().await["unlocked"], false);
    assert!(dana.is_asked().await);
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn held_private_key_signs_statements_for_a_command() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    dana.unlocks(&[]).await;
    let call = stage.call.to_string();
    let signed = dana.succeeds(&["--json", "call", "role", "set", &call, "USA:bob", "--role", "observer"]).await;
    assert!(signed.contains("USA:bob"), "{signed}");
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn passphrase_is_neither_among_the_arguments_nor_in_the_environment_and_core_dumps_are_off() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    dana.unlocks(&[]).await;
    let process = Path::new("/proc").join(dana.process().await.to_string());
    let arguments = fs::read(process.join("cmdline")).unwrap();
    assert_eq!(arguments.split(|byte| *byte == 0).skip(1).collect::<Vec<_>>(), [&b"unlock"[..], b"--hold", b""]);
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    // Only the administrator may look at the rest of a process that cannot be dumped.
    match fs::read(process.join("environ")) {
        Ok(environment) => {
            assert!(rustix::process::geteuid().is_root());
            let environment = String::from_utf8_lossy(&environment).into_owned();
            for secret in [PASSPHRASE, "AGE-SECRET-KEY", "PRIVATE KEY"] {
                assert!(!environment.contains(secret), "{secret}");
            }
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}"),
    }
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn wrong_passphrase_leaves_nothing_and_faults_of_its_file_are_told() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    let wrong = private_file(&dana.folder, "wrong", b"close sesame\n");
    let said = dana.fails(&["--passphrase-file", &wrong, "unlock"]).await;
    assert!(said.contains("the passphrase for") && said.contains("is wrong"), "{said}");
    assert!(dana.sockets().is_empty());
    assert_eq!(dana.status().await["unlocked"], false);
    assert!(dana.fails(&["unlock"]).await.contains(ASKED));

    let missing = dana.folder.join("missing").display().to_string();
    let said = dana.fails(&["--passphrase-file", &missing, "me"]).await;
    assert!(said.contains(&format!("error: the passphrase file `{missing}` does not exist")), "{said}");
    fs::set_permissions(&dana.passphrase, Permissions::from_mode(0o644)).unwrap();
    let said = dana.fails(&["--passphrase-file", &dana.passphrase, "unlock"]).await;
    assert!(said.contains("can be read by others (mode 0644)") && said.contains("chmod 600"), "{said}");
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn after_a_killed_holder_commands_ask_and_it_can_be_unlocked_again() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    dana.unlocks(&[]).await;
    kill(dana.process().await, "KILL").await;
    until("the holder is gone", async || dana.is_asked().await.then_some(())).await;
    assert_eq!(dana.sockets().len(), 1, "its socket is left");
    dana.unlocks(&[]).await;
    assert!(!dana.is_asked().await);
    for signal in ["TERM", "HUP"] {
        kill(dana.process().await, signal).await;
        until("the socket is gone", async || dana.sockets().is_empty().then_some(())).await;
        assert!(dana.is_asked().await);
        dana.unlocks(&[]).await;
    }
    // A holder whose socket is gone ends, for nobody would find it. It has its lock as long as it lives.
    let socket = dana.sockets().remove(0);
    let lock = fs::File::open(Path::new(&dana.home).join("unlocked").join("default.lock")).unwrap();
    assert!(lock.try_lock().is_err());
    fs::remove_file(&socket).unwrap();
    until("the holder is gone", async || lock.try_lock().ok()).await;
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn keys_are_forgotten_when_their_time_has_passed() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    dana.unlocks(&["--for", "1s"]).await;
    until("the time has passed", async || dana.is_asked().await.then_some(())).await;
    until("the socket is gone", async || dana.sockets().is_empty().then_some(())).await;
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn one_of_two_at_once_holds_the_keys_and_the_other_says_so() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    let words = ["--passphrase-file", &dana.passphrase, "unlock"];
    let (one, other) = tokio::join!(dana.runs(&words), dana.runs(&words));
    assert!(one.status.success() || other.status.success());
    for output in [one, other].iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("another `entente unlock` was faster"), "{said}");
    }
    assert!(!dana.is_asked().await);
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn keys_of_a_file_that_changed_are_not_used_and_unlocked_again() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    dana.unlocks(&[]).await;
    let before = dana.process().await;
    let home = Home::locate(Some(Path::new(&dana.home))).unwrap();
    let profile = home.profile(None).unwrap();
    // Protected again, by other random numbers: another content.
    let key = fs::read_to_string(&profile.private_key).unwrap();
    fs::write(&profile.private_key, format!("{key}\n")).unwrap();
    assert!(dana.is_asked().await);
    dana.unlocks(&[]).await;
    assert_ne!(dana.process().await, before);
    assert!(!dana.is_asked().await);
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn holder_in_the_foreground_serves_until_a_signal_stops_it() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    let session = dana.folder.join("session");
    fs::create_dir(&session).unwrap();
    fs::set_permissions(&session, Permissions::from_mode(0o700)).unwrap();
    let in_session = |words: &[&str]| {
        let mut command = dana.command(words);
        command.env("XDG_RUNTIME_DIR", &session);
        command
    };
    let mut holder = in_session(&["--json", "--passphrase-file", &dana.passphrase, "unlock", "--foreground"]);
    let mut holder = holder.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(line.contains("\"unlocked\":true"), "{line}");
    assert_eq!(fs::metadata(session.join("entente")).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(ended(in_session(&["me"])).await.status.success());
    assert!(!dana.is_asked().await, "it is found without the session's folder, too");
    kill(holder.id().unwrap().into(), "TERM").await;
    assert!(timeout(PATIENCE, holder.wait()).await.unwrap().unwrap().success());
    assert!(!ended(in_session(&["me"])).await.status.success());
    // It is locked from elsewhere, too.
    let words = ["--passphrase-file", &dana.passphrase, "unlock"];
    assert!(ended(in_session(&words)).await.status.success());
    assert_eq!(dana.status().await["unlocked"], true);
    assert!(dana.succeeds(&["lock"]).await.contains("are forgotten"));
    assert!(!ended(in_session(&["me"])).await.status.success());
    drop(dana);
    stage.stop().await;
}

#[tokio::test]
async fn keys_are_locked_whatever_became_of_the_profile() {
    let stage = Stage::open().await;
    let dana = Member::of(&stage, "USA:dana");
    let profile = Path::new(&dana.home).join("profiles").join("default.toml");
    let whole = fs::read(&profile).unwrap();
    dana.unlocks(&[]).await;
    fs::write(&profile, "server = ").unwrap();
    assert_eq!(dana.status().await["unlocked"], true);
    assert!(dana.succeeds(&["lock"]).await.contains("are forgotten"));
    assert!(dana.sockets().is_empty());
    fs::write(&profile, &whole).unwrap();
    dana.unlocks(&[]).await;
    dana.succeeds(&["profile", "remove", "default"]).await;
    assert!(dana.sockets().is_empty(), "the profile's keys are locked with it");
    fs::write(&profile, &whole).unwrap();
    assert!(dana.is_asked().await);
    drop(dana);
    stage.stop().await;
}
