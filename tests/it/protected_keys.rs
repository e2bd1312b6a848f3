//! A private key under a passphrase serves as a bare one does, once the passphrase is there, and says what it wants when it is not.

use crate::harness::{
    process::{PATIENCE, ended, entente},
    programs::has_all,
    stage::{Stage, id},
};
use entente::{
    client::{Home, Profile},
    sealing::identity::protect,
};
use serde_json::Value;
use std::{
    fs, mem,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Whether another program is there to protect keys with.
fn has_openssl() -> bool {
    has_all(&["openssl"], "NO PRIVATE KEY WAS PROTECTED BY ANOTHER PROGRAM")
}

/// Writes a private key under the passphrase that a file has.
async fn protect_key(key: &Path, passphrase: &Path, protected: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "2048", "-in"]).arg(key);
    openssl.arg("-passout").arg(format!("file:{}", passphrase.display())).arg("-out").arg(protected);
    assert!(ended(openssl).await.status.success());
    assert!(fs::read_to_string(protected).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    for_its_owner(protected);
}

fn for_its_owner(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A person at the terminal of a command.
struct Person {
    child: Child,
    screen: ChildStdout,
    keys: ChildStdin,
    /// On the screen and not looked at yet.
    unread: String,
}

impl Person {
    fn runs(line: &str) -> Self {
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", line, "/dev/null"]).env_clear().env("TERM", "dumb");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (screen, keys) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        Self { child, screen, keys, unread: String::new() }
    }

    /// Reads the screen until this stands there; what stood before it.
    async fn sees(&mut self, what: &str) -> String {
        loop {
            if let Some(at) = self.unread.find(what) {
                let rest = self.unread.split_off(at + what.len());
                return mem::replace(&mut self.unread, rest);
            }
            let mut piece = [0; 4096];
            let read = timeout(PATIENCE, self.screen.read(&mut piece)).await;
            let read = read.unwrap_or_else(|_| panic!("no `{what}` in {:?}", self.unread)).unwrap();
            assert_ne!(read, 0, "it ended without `{what}`: {:?}", self.unread);
            self.unread.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }

    async fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Interrupts the command and waits for its end; its exit code.
    async fn stops(mut self) -> Option<i32> {
        self.types("\u{3}").await;
        self.sees(" agent stopped").await;
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

#[tokio::test]
async fn agent_asks_once_for_the_passphrase_of_each_file_and_does_not_start_where_it_cannot() {
    let stage = Stage::open().await;
    if !has_openssl() {
        return stage.stop().await;
    }
    let proposal = stage.submitted().await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    let folder = stage.plan.dir.join("protected");
    fs::create_dir(&folder).unwrap();
    let (passphrase, key, identity) = (folder.join("passphrase"), folder.join("dana.key"), folder.join("dana.age"));
    fs::write(&passphrase, "open sesame\n").unwrap();
    for_its_owner(&passphrase);
    let root = stage.home(&id("USA:dana"));
    let home = Home::locate(Some(&root)).unwrap();
    let profile = home.profile(None).unwrap();
    protect_key(&profile.private_key, &passphrase, &key).await;
    let bare = fs::read_to_string(&profile.identities[0]).unwrap();
    fs::write(&identity, protect(&bare.into(), &"close sesame".to_owned().into(), 2).unwrap()).unwrap();
    for_its_owner(&identity);

    let by_key = Profile { private_key: key.clone(), ..profile.clone() };
    let by_identity = Profile { identities: vec![identity.clone()], ..profile };
    let by_both = Profile { private_key: key.clone(), ..by_identity.clone() };
    for profile in [by_key, by_identity, by_both] {
        home.save_profile(&profile).unwrap();
        let unasked = ended(entente(&["--home", &root.display().to_string(), "agent", "run"])).await;
        let said = String::from_utf8(unasked.stderr).unwrap();
        assert_eq!(unasked.status.code(), Some(1), "{said}");
        let (why, remedy) =
            ("needs a passphrase, and there is no terminal to ask at", "run it at a terminal, or name a file");
        assert!(said.contains(why) && said.contains(remedy), "{said}");
        assert!(unasked.stdout.is_empty(), "it has not started");
    }

    let program = env!("CARGO_BIN_EXE_entente");
    let mut person = Person::runs(&format!("exec {program} --home {} agent run --every 1s", root.display()));
    person.sees(&format!("Passphrase for the private key {}: ", key.display())).await;
    person.types("open sesame\n").await;
    person.sees(&format!("Passphrase for `{}`: ", identity.display())).await;
    person.types("close sesame\n").await;
    let mut shown = person.sees(" agent started").await;
    for reviewer in ["USA:carol", "ISR:maya"] {
        // Each in a round of its own.
        stage.assign(&[(proposal, reviewer)], false).await;
        stage.clear(proposal, &[reviewer]).await;
        shown.push_str(&person.sees(&format!("holder={reviewer}")).await);
    }
    assert!(!shown.contains("assphrase"), "{shown}");
    assert_eq!(person.stops().await, Some(0));
    stage.stop().await;
}

#[tokio::test]
async fn protected_private_key_connects_and_signs_with_its_passphrase_alone() {
    let stage = Stage::open().await;
    if !has_openssl() {
        return stage.stop().await;
    }
    let old = stage.home(&id("USA:dana")).display().to_string();
    let shown = ended(entente(&["--home", &old, "--json", "profile", "show"])).await;
    let profile: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let text = |name: &str| profile[name].as_str().unwrap().to_owned();
    let folder = stage.plan.dir.join("protected");
    fs::create_dir(&folder).unwrap();
    let file = |name: &str, content: &str| {
        fs::write(folder.join(name), content).unwrap();
        for_its_owner(&folder.join(name));
        folder.join(name).display().to_string()
    };
    let (right, wrong) = (file("right", "open sesame\n"), file("wrong", "close sesame\n"));
    let protected = folder.join("dana.key").display().to_string();
    protect_key(Path::new(&text("private_key")), Path::new(&right), Path::new(&protected)).await;

    let home = folder.join("home").display().to_string();
    let server_ca = profile["server_ca"][0].as_str().unwrap().to_owned();
    let run = async |words: &[&str]| -> Output { ended(entente(&[&["--home", &home], words].concat())).await };
    let (server, certificate) = (text("server"), text("certificate"));
    let add = ["profile", "add", "work", "--server", &server, "--server-ca", &server_ca, "--certificate"];
    let add = [&add[..], &[&certificate, "--private-key", &protected, "--passphrase-file"]].concat();
    let refused = run(&[&add[..], &[&wrong]].concat()).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(&format!("error: the passphrase for `{protected}` is wrong")), "{said}");
    let added = run(&[&add[..], &[&right]].concat()).await;
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));

    let me = run(&["--json", "--passphrase-file", &right, "me"]).await;
    assert!(me.status.success(), "{}", String::from_utf8_lossy(&me.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&me.stdout).unwrap()["member"], "USA:dana");
    let unasked = run(&["me"]).await;
    let said = String::from_utf8(unasked.stderr).unwrap();
    assert_eq!(unasked.status.code(), Some(1), "{said}");
    assert!(
        said.contains("needs a passphrase, and there is no terminal to ask at") && said.contains("--passphrase-file"),
        "{said}"
    );
    stage.stop().await;
}
