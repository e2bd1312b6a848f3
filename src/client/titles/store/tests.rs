//! What is kept of titles, what opens it, and what goes.

use super::*;
use crate::{
    domain::ambient::SystemRng,
    sealing::{
        identity::{Keyring, NewIdentity, NoPrompt, new_identity},
        local_key::LocalKey,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};

const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

struct Desk {
    home: Home,
    me: NewIdentity,
    key: KeptKey,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (home, me) = (Home::locate(Some(&folder.path().join("home"))).unwrap(), new_identity());
        let key = KeptKey::new(LocalKey::generate(&SystemRng), &[me.recipient().to_owned()]).unwrap();
        Self { home, me, key, _folder: folder }
    }

    fn keyring(&self) -> Keyring {
        Keyring::parse(self.me.secret().expose().as_bytes(), "mine", &NoPrompt).unwrap()
    }

    fn put(&self, titles: &[(TitlePlace, KnownTitle)]) {
        let put = |file: &mut TitleFile| {
            file.put(&self.key, titles);
            Ok(TitleChange::Added)
        };
        self.home.change_titles("work", put).unwrap();
    }

    fn file(&self) -> TitleFile {
        match self.home.titles("work").unwrap() {
            FoundTitles::File(file) => file,
            FoundTitles::Damaged(fault) => panic!("{fault}"),
        }
    }
}

fn place(number: usize) -> TitlePlace {
    TitlePlace {
        proposal: format!("prop_{number:026}").parse().unwrap(),
        call: CALL.parse().unwrap(),
        manifest: Sha256::of(&number.to_be_bytes()),
        access: Access::Office,
    }
}

fn titled(number: usize) -> (TitlePlace, KnownTitle) {
    (place(number), KnownTitle::new(&format!("Lodestone {number}"), ["Kinneret Sensing"]))
}

#[test]
fn thousand_titles_are_read_with_one_opening_by_the_identity() {
    let desk = Desk::new();
    let titles: Vec<_> = (0..1000).map(titled).collect();
    desk.put(&titles);
    let file = desk.file();
    let key = KeptKey::unseal(&desk.keyring(), file.sealed_key().unwrap().to_owned()).unwrap();
    // From here on there is no identity: the one key opens all of them.
    assert_eq!(file.open(&key, &file.places()), titles);
    let some = (10..20).map(place).collect();
    assert_eq!(file.open(&key, &some), titles[10..20]);
}

#[test]
fn nothing_of_a_title_is_in_the_clear() {
    let desk = Desk::new();
    desk.put(&[titled(1)]);
    let content = fs::read_to_string(desk.home.titles_path("work")).unwrap();
    for word in ["Lodestone", "Kinneret", &BASE64_STANDARD.encode("Lodestone")[..8]] {
        assert!(!content.contains(word), "{word}");
    }
    assert!(content.contains(&place(1).manifest.to_string()), "of which version it is stands there");
}

#[test]
fn title_of_another_proposal_or_under_another_key_does_not_open() {
    let desk = Desk::new();
    desk.put(&[titled(1), titled(2)]);
    let mut file = desk.file();
    let (first, second) = (file.titles[0].sealed.clone(), file.titles[1].sealed.clone());
    (file.titles[0].sealed, file.titles[1].sealed) = (second, first);
    assert!(file.open(&desk.key, &file.places()).is_empty(), "swapped");
    assert!(desk.file().open(&Desk::new().key, &file.places()).is_empty());
}

#[test]
fn newer_version_takes_the_place_of_an_earlier_one_and_the_oldest_titles_go() {
    let desk = Desk::new();
    let (older, newer) = (titled(1), (TitlePlace { manifest: Sha256::of(b"newer"), ..place(1) }, titled(2).1));
    desk.put(&[older]);
    desk.put(std::slice::from_ref(&newer));
    assert_eq!(desk.file().places(), [newer.0].into());
    let many: Vec<_> = (2..=MOST + 1).map(titled).collect();
    desk.put(&many);
    let places = desk.file().places();
    assert_eq!(places.len(), MOST);
    assert!(!places.contains(&newer.0) && places.contains(&place(2)));
}

#[test]
fn title_goes_without_anybodys_identity_and_the_file_with_the_last() {
    let desk = Desk::new();
    desk.put(&[titled(1), titled(2)]);
    desk.home.forget_title("work", place(1).proposal).unwrap();
    assert_eq!(desk.file().open(&desk.key, &desk.file().places()), [titled(2)]);
    desk.home.forget_title("work", place(2).proposal).unwrap();
    assert!(!desk.home.titles_path("work").exists());
    desk.home.forget_title("work", place(2).proposal).unwrap();
}

#[test]
fn file_that_cannot_be_used_is_set_aside_and_goes_with_what_may_not_be_seen() {
    let desk = Desk::new();
    for (number, content) in [&b"{\"key\": \"x\", \"titles\": [{"[..], b"", b"[]", &[0xff; 8]].into_iter().enumerate() {
        files::write(&desk.home.titles_path("work"), content).unwrap();
        assert!(matches!(desk.home.titles("work").unwrap(), FoundTitles::Damaged(_)));
        let aside = desk.home.change_titles("work", |_| Ok(TitleChange::Nothing)).unwrap().unwrap();
        assert_eq!(fs::read(&aside).unwrap(), content);
        desk.put(&[titled(number)]);
        assert_eq!(desk.file().places(), [place(number)].into());
        desk.home.forget_title("work", place(number).proposal).unwrap();
        assert!(!aside.exists());
    }
}

#[test]
fn what_is_kept_is_one_line_and_bounded() {
    let kept = KnownTitle::new(&format!("A\n title\t{}", "x".repeat(400)), ["B", " ", "B", "A\u{a0}C"]);
    assert_eq!(kept.title.chars().count(), MAX_TITLE);
    assert!(kept.title.starts_with("A title xxx") && kept.title.ends_with('…'));
    assert_eq!(kept.organisations, ["A C", "B"]);
    let names: Vec<String> = (10..50).map(|number| format!("{number}{}", "ä".repeat(190))).collect();
    let kept = KnownTitle::new("A", names.iter().map(|name| &**name));
    assert_eq!(kept.organisations, names[..2], "a kibibyte of names");
}

#[test]
fn what_is_written_is_never_too_long_to_be_read() {
    let desk = Desk::new();
    desk.put(&[titled(0)]);
    let mut file = desk.file();
    let long = |number: usize| {
        let TitlePlace { proposal, call, manifest, access } = place(number);
        SealedTitle { proposal, call, manifest, access, sealed: "x".repeat(12 << 20) }
    };
    file.titles.extend((1..=4).map(long));
    file.put(&desk.key, &[titled(5)]);
    assert_eq!(file.places(), [place(3), place(4), place(5)].into());
}

#[test]
fn list_that_was_begun_before_puts_no_title_back() {
    let desk = Desk::new();
    desk.put(&[titled(1)]);
    desk.home.forget_title("work", place(1).proposal).unwrap();
    desk.put(&[titled(1), titled(2)]);
    assert_eq!(desk.file().places(), [place(2)].into());
    // Nor before there is any file of titles.
    desk.home.forget_title("other", place(3).proposal).unwrap();
    assert!(matches!(desk.home.titles("other"), Ok(FoundTitles::File(file)) if file.is_forgotten(place(3).proposal)));
    let recall = |file: &mut TitleFile| {
        file.recall(&[place(1).proposal].into());
        Ok(TitleChange::Nothing)
    };
    desk.home.change_titles("work", recall).unwrap();
    desk.put(&[titled(1)]);
    assert_eq!(desk.file().places(), [place(1), place(2)].into());
    let mut file = desk.file();
    for number in 0..=MOST_FORGOTTEN {
        file.forget(place(number).proposal);
    }
    assert_eq!(file.forgotten.len(), MOST_FORGOTTEN);
    assert!(!file.is_forgotten(place(0).proposal) && file.is_forgotten(place(1).proposal));
    desk.home.forget_titles("work").unwrap();
    assert!(desk.file().forgotten.is_empty());
}

#[test]
fn what_a_kill_left_goes_with_the_next_turn_and_other_profiles_files_stay() {
    let desk = Desk::new();
    desk.put(&[titled(1)]);
    let folder = desk.home.root().join("titles");
    let (ours, others) = (folder.join(".new-work-aB3xY9"), folder.join(".new-work-2-aB3xY9"));
    fs::write(&ours, "half").unwrap();
    fs::write(&others, "half").unwrap();
    desk.put(&[titled(2)]);
    assert!(!ours.exists() && others.exists());
}
