//! `entente open`: a bare age file with identities of one's own choice; a file that is not whole leaves nothing.

use crate::harness::{
    process::{ended, entente},
    scratch::scratch,
};
use entente::sealing::{
    identity::{new_identity, write_identity_file},
    seal::seal_bytes,
};
use std::{fs, path::Path, process::Output};

async fn open(folder: &Path, words: &[&str]) -> Output {
    let home = folder.join("home").display().to_string();
    let mut command = entente(&[&["--home", &home, "open"], words].concat());
    command.current_dir(folder);
    ended(command).await
}

#[tokio::test]
async fn bare_age_file_is_opened_with_the_identities_that_are_named_and_nothing_is_left_of_a_damaged_one() {
    let folder = scratch();
    let folder = folder.path();
    let (mine, other, content) = (new_identity(), new_identity(), vec![7; 200_000]);
    for (name, identity) in [("mine.txt", &mine), ("other.txt", &other)] {
        let text = identity.file_text("2026-03-01T00:00:00Z".parse().unwrap());
        write_identity_file(&folder.join(name), text.expose().as_bytes()).unwrap();
    }
    let sealed = seal_bytes(&[mine.recipient().to_owned()], &content).unwrap();
    fs::write(folder.join("whole.age"), &sealed).unwrap();
    fs::write(folder.join("short.age"), &sealed[..sealed.len() - 1]).unwrap();

    let output = open(folder, &["whole.age", "--identity", "other.txt", "--identity", "mine.txt"]).await;
    assert!(output.status.success() && output.stdout == content);
    let output = open(folder, &["whole.age", "-i", "mine.txt", "-o", "plain"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(folder.join("plain")).unwrap(), content);
    // What is there already stays.
    let output = open(folder, &["whole.age", "-i", "mine.txt", "-o", "plain"]).await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("cannot write `plain`"));

    let output = open(folder, &["whole.age", "-i", "other.txt", "-o", "nothing"]).await;
    let refused = String::from_utf8_lossy(&output.stderr);
    assert!(refused.contains("it is sealed to somebody else") && refused.contains("with `--identity`"), "{refused}");
    for words in [&["short.age", "-i", "mine.txt"][..], &["short.age", "-i", "mine.txt", "-o", "nothing"]] {
        let output = open(folder, words).await;
        assert!(!output.status.success() && output.stdout.is_empty());
        let refused = String::from_utf8_lossy(&output.stderr);
        assert!(refused.contains("get the file again from its sender"), "{refused}");
    }
    assert!(!folder.join("nothing").exists());
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "home").collect();
    names.sort();
    assert_eq!(names, ["mine.txt", "other.txt", "plain", "short.age", "whole.age"]);
}
