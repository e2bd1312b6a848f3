//! The titles that a member has opened, as they stay on the member's machine: one file for each profile, by the digest of the manifest.
//!
//! What the summaries say is sealed under a key of the member's own, which is sealed to the member ([`LocalKey`]). Beside it stands in the
//! clear of which version it is, so that a title goes without anybody's identity. INVARIANT: commands in several terminals change the file
//! in turns, by what is on disk then, and each writes it whole. A file that cannot be read is set aside and never stops a command: all
//! that is in it can be opened again.

use crate::{
    client::{ClientError, Home, Result, files},
    domain::id::{CallId, ProposalId, Sha256},
    platform,
    sealing::{
        identity::Keyring,
        local_key::LocalKey,
        seal::{SealError, check_recipients},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::PathBuf,
};

/// The most titles that are kept. With more, those that were opened first go.
pub(super) const MOST: usize = 10_000;
/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;
/// The longest title that is kept, and how long and how many the organisations are, in characters.
const MAX_TITLE: usize = 300;
const MAX_ORGANISATION: usize = 200;
const MAX_ORGANISATIONS: usize = 32;

/// What a summary says of a proposal, as far as lists show it or find by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownTitle {
    pub title: String,
    /// Where the team works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organisations: Vec<String>,
}

impl KnownTitle {
    /// What is kept of it: one line, and not more than lists have room for.
    pub(super) fn new<'o>(title: &str, organisations: impl IntoIterator<Item = &'o str>) -> Self {
        let organisations: BTreeSet<String> = organisations
            .into_iter()
            .map(|name| line(name, MAX_ORGANISATION))
            .filter(|name| !name.is_empty())
            .collect();
        Self {
            title: line(title, MAX_TITLE),
            organisations: organisations.into_iter().take(MAX_ORGANISATIONS).collect(),
        }
    }
}

/// A text on one line, of so many characters at most.
fn line(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let cut: String = line.chars().take(most - 1).collect();
    format!("{}…", cut.trim_end())
}

/// By what a member opens a summary. Where that is gone the title is, too, until it is opened by something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Access {
    /// As a member of a party, or as one who is asked to be.
    Party,
    /// As an assigned reviewer who declared to be clear.
    Assignment,
    /// As an officer or decider who declared to be clear.
    Office,
}

/// Of which version of which proposal a title is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TitlePlace {
    pub(super) proposal: ProposalId,
    pub(super) call: CallId,
    pub(super) manifest: Sha256,
    pub(super) access: Access,
}

impl TitlePlace {
    /// What its title is sealed about.
    fn about(&self) -> String {
        let Self { proposal, call, manifest, .. } = self;
        format!("{proposal} {call} {manifest}")
    }
}

/// A title as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedTitle {
    proposal: ProposalId,
    call: CallId,
    manifest: Sha256,
    access: Access,
    /// A [`KnownTitle`], standard base64.
    sealed: String,
}

impl SealedTitle {
    fn place(&self) -> TitlePlace {
        let Self { proposal, call, manifest, access, .. } = *self;
        TitlePlace { proposal, call, manifest, access }
    }
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TitleFile {
    /// The key to the titles, an age file to the member, standard base64; empty before there is a title.
    key: String,
    /// Those that were opened first come first.
    titles: Vec<SealedTitle>,
}

/// The key to the titles, and the same as it stands in the file.
#[derive(Debug)]
pub(super) struct TitleKey {
    key: LocalKey,
    sealed: String,
}

impl TitleKey {
    /// For a file that has none: sealed to those recipients that can be sealed to here.
    pub(super) fn new(key: LocalKey, recipients: &[String]) -> Result<Self> {
        let here: Vec<String> = recipients
            .iter()
            .filter(|recipient| check_recipients(std::slice::from_ref(*recipient)).is_ok())
            .cloned()
            .collect();
        let sealed = BASE64_STANDARD.encode(key.seal_to(&here)?);
        Ok(Self { key, sealed })
    }

    /// As it stands in a file.
    pub(super) fn sealed(&self) -> &str {
        &self.sealed
    }

    /// That of a file.
    pub(super) fn unseal(keyring: &Keyring, sealed: String) -> Result<Self, SealError> {
        let content = BASE64_STANDARD.decode(&sealed).map_err(|_| SealError::Damaged)?;
        Ok(Self { key: LocalKey::unseal(&keyring.identities(), &content)?, sealed })
    }
}

impl TitleFile {
    /// The key as it stands there, if there is one.
    pub(super) fn sealed_key(&self) -> Option<&str> {
        Some(&*self.key).filter(|key| !key.is_empty())
    }

    /// Of which versions there are titles.
    pub(super) fn places(&self) -> BTreeSet<TitlePlace> {
        self.titles.iter().map(SealedTitle::place).collect()
    }

    /// Opens those titles that are wanted. One that does not open is left out.
    pub(super) fn open(&self, key: &TitleKey, wanted: &BTreeSet<TitlePlace>) -> Vec<(TitlePlace, KnownTitle)> {
        let wanted = self.titles.iter().filter(|title| wanted.contains(&title.place()));
        let opened = wanted.filter_map(|title| {
            let sealed = BASE64_STANDARD.decode(&title.sealed).ok()?;
            let text = key.key.open(&title.place().about(), &sealed)?;
            Some((title.place(), serde_json::from_slice(&text).ok()?))
        });
        opened.collect()
    }

    /// Takes titles out; whether there were any.
    pub(super) fn remove(&mut self, is_lost: impl Fn(&TitlePlace) -> bool) -> bool {
        let before = self.titles.len();
        self.titles.retain(|title| !is_lost(&title.place()));
        self.titles.len() < before
    }

    /// Puts titles in, each in the place of an earlier one of its proposal. Under another key than the file's all others go.
    pub(super) fn put(&mut self, key: &TitleKey, opened: &[(TitlePlace, KnownTitle)]) {
        if self.key != key.sealed {
            *self = Self { key: key.sealed.clone(), titles: Vec::new() };
        }
        let newer: BTreeSet<ProposalId> = opened.iter().map(|(place, _)| place.proposal).collect();
        self.titles.retain(|title| !newer.contains(&title.proposal));
        self.titles.extend(opened.iter().map(|(place, title)| {
            let text = serde_json::to_vec(title).expect("a title has string keys");
            let TitlePlace { proposal, call, manifest, access } = *place;
            let sealed = BASE64_STANDARD.encode(key.key.seal(&place.about(), &text));
            SealedTitle { proposal, call, manifest, access, sealed }
        }));
        let surplus = self.titles.len().saturating_sub(MOST);
        self.titles.drain(..surplus);
    }
}

/// What was found where the titles of a profile are.
pub(super) enum FoundTitles {
    /// An empty one, if there is none.
    File(TitleFile),
    /// Why it cannot be used.
    Damaged(String),
}

impl Home {
    /// The titles of a profile.
    pub(super) fn titles(&self, profile: &str) -> Result<FoundTitles> {
        let path = self.titles_path(profile);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MAX_FILE => return Ok(FoundTitles::Damaged("it is too long".to_owned())),
            Ok(metadata) if !metadata.is_file() => return Ok(FoundTitles::Damaged("it is not a file".to_owned())),
            // Reading it says what is wrong.
            _ => {}
        }
        let Some(content) = files::read(&path)? else { return Ok(FoundTitles::File(TitleFile::default())) };
        Ok(match serde_json::from_slice(&content) {
            Ok(file) => FoundTitles::File(file),
            // Where it is malformed, and nothing that is in it.
            Err(error) => FoundTitles::Damaged(format!("malformed in line {}", error.line())),
        })
    }

    /// Changes the titles of a profile in a turn of its own. `change` says whether there is anything to write. A file that cannot be used
    /// is set aside first; the answer says so.
    pub(super) fn change_titles(
        &self,
        profile: &str,
        change: impl FnOnce(&mut TitleFile) -> Result<bool>,
    ) -> Result<Option<PathBuf>> {
        let _turn = self.titles_turn(profile)?;
        let (mut file, aside) = match self.titles(profile)? {
            FoundTitles::File(file) => (file, None),
            FoundTitles::Damaged(_) => (TitleFile::default(), Some(self.set_titles_aside(profile)?)),
        };
        if change(&mut file)? {
            self.write_titles(profile, &file)?;
        }
        Ok(aside)
    }

    /// Removes the title of a proposal that the member may not see. So does what was set aside: it may be in there.
    pub(in crate::client) fn forget_title(&self, profile: &str, proposal: ProposalId) -> Result<()> {
        let is_there = |path: PathBuf| path.try_exists().unwrap_or(true);
        if !is_there(self.titles_path(profile)) && !is_there(self.titles_aside_path(profile)) {
            return Ok(());
        }
        files::remove(&self.titles_aside_path(profile))?;
        let aside = self.change_titles(profile, |file| Ok(file.remove(|place| place.proposal == proposal)))?;
        aside.map_or(Ok(()), |aside| files::remove(&aside).map(drop))
    }

    /// Removes all titles of a profile: it is another member's now, or none's.
    pub(in crate::client) fn forget_titles(&self, profile: &str) -> Result<()> {
        files::remove(&self.titles_aside_path(profile))?;
        files::remove(&self.titles_path(profile)).map(drop)
    }

    /// Removes what was set aside, in which there may be titles that the member may not see any more.
    pub(super) fn forget_titles_aside(&self, profile: &str) -> Result<()> {
        files::remove(&self.titles_aside_path(profile)).map(drop)
    }

    /// Keeps a file that cannot be used under another name, in the place of an earlier one; where it is then.
    fn set_titles_aside(&self, profile: &str) -> Result<PathBuf> {
        let (path, aside) = (self.titles_path(profile), self.titles_aside_path(profile));
        fs::rename(&path, &aside).map_err(|error| ClientError::io("set aside", &path, &error))?;
        Ok(aside)
    }

    fn write_titles(&self, profile: &str, file: &TitleFile) -> Result<()> {
        let path = self.titles_path(profile);
        if file.titles.is_empty() {
            return files::remove(&path).map(drop);
        }
        let text = serde_json::to_vec(file).expect("our records have string keys and whole numbers");
        files::write(&path, &text)
    }

    /// The only command on this machine that changes the titles of a profile, until what is returned is dropped.
    fn titles_turn(&self, profile: &str) -> Result<File> {
        let folder = self.root().join("titles");
        // No profile has a name that begins like this.
        let path = folder.join(format!(".{profile}.lock"));
        let lock = || -> io::Result<File> {
            platform::make_private_folder(&folder)?;
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| ClientError::io("lock", &path, &error))
    }

    pub(super) fn titles_path(&self, profile: &str) -> PathBuf {
        self.root().join("titles").join(format!("{profile}.json"))
    }

    fn titles_aside_path(&self, profile: &str) -> PathBuf {
        self.root().join("titles").join(format!("{profile}.json.damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ambient::SystemRng,
        sealing::identity::{NewIdentity, NoPrompt, new_identity},
    };

    const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

    struct Desk {
        home: Home,
        me: NewIdentity,
        key: TitleKey,
        _folder: tempfile::TempDir,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (home, me) = (Home::locate(Some(&folder.path().join("home"))).unwrap(), new_identity());
            let key = TitleKey::new(LocalKey::generate(&SystemRng), &[me.recipient().to_owned()]).unwrap();
            Self { home, me, key, _folder: folder }
        }

        fn keyring(&self) -> Keyring {
            Keyring::parse(self.me.secret().expose().as_bytes(), "mine", &NoPrompt).unwrap()
        }

        fn put(&self, titles: &[(TitlePlace, KnownTitle)]) {
            let put = |file: &mut TitleFile| {
                file.put(&self.key, titles);
                Ok(true)
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
        let key = TitleKey::unseal(&desk.keyring(), file.sealed_key().unwrap().to_owned()).unwrap();
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
        for content in [&b"{\"key\": \"x\", \"titles\": [{"[..], b"", b"[]", &[0xff; 8]] {
            files::write(&desk.home.titles_path("work"), content).unwrap();
            assert!(matches!(desk.home.titles("work").unwrap(), FoundTitles::Damaged(_)));
            let aside = desk.home.change_titles("work", |_| Ok(false)).unwrap().unwrap();
            assert_eq!(fs::read(&aside).unwrap(), content);
            desk.put(&[titled(1)]);
            assert_eq!(desk.file().places(), [place(1)].into());
            desk.home.forget_title("work", place(1).proposal).unwrap();
            assert!(!aside.exists());
        }
    }

    #[test]
    fn what_is_kept_is_one_line_and_bounded() {
        let kept = KnownTitle::new(&format!("A\n title\t{}", "x".repeat(400)), ["B", " ", "B", "A\u{a0}C"]);
        assert_eq!(kept.title.chars().count(), MAX_TITLE);
        assert!(kept.title.starts_with("A title xxx") && kept.title.ends_with('…'));
        assert_eq!(kept.organisations, ["A C", "B"]);
    }
}
