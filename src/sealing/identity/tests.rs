//! Which files serve as identities, how they are protected, and what a keyring says of itself.

use super::*;
use crate::sealing::seal::{open_bytes, seal_bytes};

const SSH: &str = include_str!("../testdata/id_ed25519");
const SSH_PUBLIC: &str = include_str!("../testdata/id_ed25519.pub");
const SSH_LOCKED: &str = include_str!("../testdata/id_ed25519_locked");
const SSH_LOCKED_PUBLIC: &str = include_str!("../testdata/id_ed25519_locked.pub");
const RSA: &str = include_str!("../testdata/id_rsa");
const RSA_PUBLIC: &str = include_str!("../testdata/id_rsa.pub");

#[derive(Clone)]
struct Says(&'static str);

impl Prompt for Says {
    fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
        Some(self.0.to_owned().into())
    }

    fn message(&self, _text: &str) {}
}

fn opens(keyring: &Keyring) {
    let sealed = seal_bytes(keyring.recipients(), b"for them").unwrap();
    assert_eq!(*open_bytes(&keyring.identities(), &sealed, 100).unwrap(), b"for them");
}

#[test]
fn identity_file_is_what_stock_tools_write() {
    let new = new_identity();
    let text = new.file_text("2026-03-04T05:06:07.89Z".parse().unwrap());
    let lines: Vec<&str> = text.expose().lines().collect();
    assert_eq!(lines[0], "# created: 2026-03-04T05:06:07Z");
    assert_eq!(lines[1], format!("# public key: {}", new.recipient()));
    assert!(lines[2].starts_with("AGE-SECRET-KEY-1"));
    let keyring = Keyring::parse(text.expose().as_bytes(), "me.key", &NoPrompt).unwrap();
    assert_eq!(keyring.recipients(), [new.recipient()]);
    opens(&keyring);
}

#[test]
fn protected_identity_opens_with_its_passphrase_only() {
    let new = new_identity();
    let text = new.file_text(Timestamp::UNIX_EPOCH);
    let file = protect(&text, &"open sesame".to_owned().into(), 2).unwrap();
    assert!(file.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
    let keyring = Keyring::parse(&file, "me.age", &Says("open sesame")).unwrap();
    assert_eq!(keyring.recipients(), [new.recipient()]);
    opens(&keyring);
    let refused = Keyring::parse(&file, "me.age", &Says("open")).unwrap_err();
    assert_eq!(refused.to_string(), "the passphrase for `me.age` is wrong");
    let refused = Keyring::parse(&file, "me.age", &NoPrompt).unwrap_err();
    assert!(matches!(refused, IdentityError::NoPassphrase(_)));
}

#[test]
fn empty_passphrase_and_absurd_work_are_refused() {
    let text = new_identity().file_text(Timestamp::UNIX_EPOCH);
    assert!(matches!(protect(&text, &String::new().into(), 2), Err(IdentityError::EmptyPassphrase)));
    for factor in [0, 23, 64] {
        assert!(matches!(protect(&text, &"x".to_owned().into(), factor), Err(IdentityError::WorkFactor)));
    }
}

#[test]
fn age_file_for_a_recipient_is_no_identity_file() {
    let sealed = seal_bytes(&[new_identity().recipient().to_owned()], b"x").unwrap();
    let refused = Keyring::parse(&sealed, "me.age", &Says("x")).unwrap_err();
    assert!(matches!(refused, IdentityError::NotPassphrase(_)));
}

#[test]
fn ssh_keys_open_what_is_sealed_to_them() {
    for (secret, public) in [(SSH, SSH_PUBLIC), (RSA, RSA_PUBLIC)] {
        let keyring = Keyring::parse(secret.as_bytes(), "id", &NoPrompt).unwrap();
        assert_eq!(keyring.recipients(), [public.trim()]);
        opens(&keyring);
    }
}

#[test]
fn locked_ssh_key_opens_with_its_passphrase_only() {
    let keyring = Keyring::parse(SSH_LOCKED.as_bytes(), "id", &Says("correct horse")).unwrap();
    assert_eq!(keyring.recipients(), [SSH_LOCKED_PUBLIC.trim()]);
    opens(&keyring);
    let refused = Keyring::parse(SSH_LOCKED.as_bytes(), "id", &Says("wrong horse")).unwrap_err();
    assert!(matches!(refused, IdentityError::WrongPassphrase(_)));
}

#[test]
fn plugin_identity_names_the_program_it_needs() {
    // `age-plugin-entente-test` with no data, bech32 in capitals.
    let text = plugin_text("entente-test");
    let refused = Keyring::parse(text.as_bytes(), "hw.key", &NoPrompt).unwrap_err().to_string();
    assert!(refused.contains("needs the program `age-plugin-entente-test`"), "{refused}");
}

fn plugin_text(name: &str) -> String {
    age::plugin::Identity::default_for_plugin(name).unwrap().to_string()
}

#[test]
fn other_content_is_refused_without_repeating_it() {
    for content in ["", "# only a comment\n", "hunter2\n", "AGE-SECRET-KEY-1QQQ\n", "-----BEGIN RSA PRIVATE KEY-----\n"]
    {
        let refused = Keyring::parse(content.as_bytes(), "x", &NoPrompt).unwrap_err().to_string();
        assert!(!refused.contains("hunter2") && !refused.contains("QQQ"), "{refused}");
    }
    let long = vec![b'#'; 70_000];
    assert!(matches!(Keyring::parse(&long, "x", &NoPrompt), Err(IdentityError::TooLarge(_))));
}

#[test]
fn secrets_are_not_shown() {
    let new = new_identity();
    let keyring = Keyring::parse(new.secret().expose().as_bytes(), "x", &NoPrompt).unwrap();
    assert!(!format!("{new:?} {keyring:?}").contains("AGE-SECRET"));
}

#[cfg(unix)]
#[test]
fn plain_identity_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my key");
    write_identity_file(&path, new_identity().secret().expose().as_bytes()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Keyring::load(&path, &NoPrompt).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = Keyring::load(&path, &NoPrompt).unwrap_err().to_string();
    let shown = path.display();
    assert_eq!(
        refused,
        format!("identity file `{shown}` can be read by others (mode 0640); run `chmod 600 '{shown}'`")
    );
    let protected = folder.path().join("protected");
    let text = new_identity().file_text(Timestamp::UNIX_EPOCH);
    fs::write(&protected, protect(&text, &"x".to_owned().into(), 2).unwrap()).unwrap();
    fs::set_permissions(&protected, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Keyring::load(&protected, &Says("x")).is_ok(), "the passphrase protects it");
}

#[test]
fn identity_file_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("me.key");
    write_identity_file(&path, b"first").unwrap();
    assert!(matches!(write_identity_file(&path, b"second"), Err(IdentityError::Exists(_))));
    assert_eq!(fs::read(&path).unwrap(), b"first");
}

#[test]
fn plugin_among_held_identities_is_not_overlooked() {
    let identity = || Box::new(age::x25519::Identity::generate()) as Box<dyn age::Identity + Send + Sync>;
    let plugin = || Keyring { identities: vec![identity()], has_plugin: true, ..Keyring::new() };
    // One identity stands for three recipients.
    let held = || Keyring::of_held(identity(), ["age1a", "age1b", "age1c"].map(str::to_owned).into());
    assert!(!held().has_plugin());
    for (mut keyring, other) in [(held(), plugin()), (plugin(), held())] {
        keyring.add(other);
        assert!(keyring.has_plugin());
    }
}
