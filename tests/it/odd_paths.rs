//! Paths that are no UTF-8: what was done is told, and what could not be kept is refused before anything is made.

#![cfg(unix)]

use crate::harness::{process::Site, scratch::scratch};
use entente::dev_pki::cast::{ISR, USA};
use serde_json::Value;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Output,
};

/// A name with a byte that begins no letter.
fn odd(folder: &Path, name: &str) -> PathBuf {
    let mut bytes = b"odd-\xff-".to_vec();
    bytes.extend(name.as_bytes());
    folder.join(OsStr::from_bytes(&bytes))
}

/// Runs the program with words that need not be text.
async fn run(home: &Path, words: &[&OsStr]) -> Output {
    let mut command = crate::harness::process::entente(&["--json"]);
    command.arg("--home").arg(home).args(words);
    crate::harness::process::ended(command).await
}

fn words<'w>(text: &'w str, paths: &[&'w Path]) -> Vec<&'w OsStr> {
    let mut paths = paths.iter();
    let word = |word: &'w str| if word == "?" { paths.next().unwrap().as_os_str() } else { OsStr::new(word) };
    text.split(' ').map(word).collect()
}

/// What the command answered, which succeeded.
async fn answered(home: &Path, text: &str, paths: &[&Path]) -> Value {
    let output = run(home, &words(text, paths)).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}: {told}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{text}: {told}"))
}

/// What the command said, which was refused.
async fn refused(home: &Path, text: &str, paths: &[&Path]) -> String {
    let output = run(home, &words(text, paths)).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}: {told}");
    told
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn files_of_any_name_are_written_and_told() {
    let folder = scratch();
    let (root, home) = (folder.path(), folder.path().join("home"));
    let identity = odd(root, "identity.key");
    let made = answered(&home, "keys new --plain --output ?", &[&identity]).await;
    assert!(made["file"].as_str().unwrap().contains("odd-\u{fffd}-identity.key"), "{made}");
    let shown = answered(&home, "keys show ?", &[&identity]).await;
    assert_eq!(shown["items"][0]["recipients"][0], made["recipient"]);
    // The development PKI has an authority of each nation.
    let pki = odd(root, "pki");
    answered(&home, "dev-pki ?", &[&pki]).await;
    let (ca, key, to) = (pki.join("ISR/ca.crt"), pki.join("ISR/ca.key"), odd(root, "office"));
    fs::create_dir(&to).unwrap();
    let asks = "partner card key ISR:registrar --plain --ca-certificate ? --ca-key ? --to ?";
    let key = answered(&home, asks, &[&ca, &key, &to]).await;
    assert!(key["private_key"].as_str().unwrap().ends_with("ISR-registrar.key"), "{key}");
}

#[tokio::test]
async fn invitations_and_welcomes_go_to_a_folder_of_any_name_and_a_home_that_no_profile_could_name_is_refused() {
    let site = Site::new(None);
    let world = site.world(&[USA, ISR]).await;
    let office = world.home(&"ISR:registrar".parse().unwrap());
    let (to, request) = (odd(&site.path("."), "office"), odd(&site.path("."), "request.json"));
    let invite = "member invite ISR:lior --name Lior --organisation Gilboa --to ?";
    let invited = answered(&office, invite, &[&to]).await;
    assert!(invited["items"][0]["invitation"].as_str().unwrap().ends_with("invitation-ISR-lior.json"), "{invited}");
    let fingerprint = world.pki.partners[&"ISR".parse().unwrap()].card.fingerprint().unwrap();
    let join = format!("join ? --plain --fingerprint {fingerprint} --to ?");
    let invitation = to.join("invitation-ISR-lior.json");

    let strange = odd(&site.path("."), "home");
    fs::create_dir(&strange).unwrap();
    let told = refused(&strange, &join, &[&invitation, &request]).await;
    assert!(told.contains("is not UTF-8") && names(&strange).is_empty() && !request.exists(), "{told}");
    let (home, identity) = (site.path("lior"), odd(&site.path("."), "identity.key"));
    fs::create_dir(&home).unwrap();
    answered(&home, "keys new --plain --output ?", &[&identity]).await;
    let told = refused(&home, &format!("{join} --identity ?"), &[&invitation, &request, &identity]).await;
    assert!(told.contains("is not UTF-8") && names(&home).is_empty() && !request.exists(), "{told}");

    let joined = answered(&home, &join, &[&invitation, &request]).await;
    assert!(joined["request"].as_str().unwrap().ends_with("request.json"), "{joined}");
    let [ca, key] = ["crt", "key"].map(|kind| site.path(&format!("pki/ISR/ca.{kind}")));
    let approve = "member approve ? --yes --ca-certificate ? --ca-key ? --to ?";
    let welcomed = answered(&office, approve, &[&request, &ca, &key, &to]).await;
    assert!(welcomed["items"][0]["welcome"].as_str().unwrap().ends_with("welcome-ISR-lior.json"), "{welcomed}");
    world.stop().await;
}
