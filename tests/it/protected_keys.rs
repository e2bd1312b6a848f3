//! A private key under a passphrase serves as a bare one does, once the passphrase is there, and says what it wants when it is not.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, id},
};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, process::Output};
use tokio::process::Command;

#[tokio::test]
async fn protected_private_key_connects_and_signs_with_its_passphrase_alone() {
    let stage = Stage::open().await;
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        eprintln!("*** OPENSSL IS NOT INSTALLED: NO PRIVATE KEY WAS PROTECTED BY ANOTHER PROGRAM ***");
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
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        folder.join(name).display().to_string()
    };
    let (right, wrong) = (file("right", "open sesame\n"), file("wrong", "close sesame\n"));
    let protected = folder.join("dana.key").display().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "2048", "-in", &text("private_key")]);
    openssl.args(["-passout", &format!("file:{right}"), "-out", &protected]);
    assert!(ended(openssl).await.status.success());
    assert!(fs::read_to_string(&protected).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    fs::set_permissions(&protected, fs::Permissions::from_mode(0o600)).unwrap();

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
        said.contains("needs a passphrase, and there is nobody to ask") && said.contains("--passphrase-file"),
        "{said}"
    );
    stage.stop().await;
}
