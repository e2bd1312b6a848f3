//! The titles that a member has opened, as they stay on the member's machine: one file for each profile, by the digest of the manifest.
//!
//! What the summaries say is sealed under a key of the member's own, which is sealed to the member ([`KeptKey`]). Beside it stands in the
//! clear of which version it is, so that a title goes without anybody's identity. INVARIANT: commands in several terminals change the file
//! in turns, by what is on disk then, and each writes it whole. A file that cannot be read is set aside and never stops a command: all
//! that is in it can be opened again.

use crate::{
    client::{ClientError, Home, Result, files, kept_key::KeptKey, profile_file::ProfileFile},
    domain::id::{CallId, ProposalId, Sha256},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// The most titles that are kept. With more, those that were opened first go.
pub(super) const MOST: usize = 10_000;
/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;
/// How much is kept sealed, in bytes: what is written can be read, with all that stands beside it.
const MAX_SEALED: usize = 32 << 20;
/// The longest title that is kept, and the longest name of an organisation, in characters.
const MAX_TITLE: usize = 300;
const MAX_ORGANISATION: usize = 200;
/// How many organisations of a proposal are kept, and how long they are together, in bytes.
const MAX_ORGANISATIONS: usize = 32;
const MAX_NAMES: usize = 1 << 10;
/// Of how many proposals it is known that their titles went.
const MOST_FORGOTTEN: usize = 1000;

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
        let mut room = MAX_NAMES;
        let organisations = organisations.into_iter().take(MAX_ORGANISATIONS);
        Self {
            title: line(title, MAX_TITLE),
            organisations: organisations.take_while(|name| fits(&mut room, name.len())).collect(),
        }
    }
}

/// Whether so much fits into the room that is left, from which it is taken then.
fn fits(room: &mut usize, length: usize) -> bool {
    let left = room.checked_sub(length);
    *room = left.unwrap_or(*room);
    left.is_some()
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
    /// Proposals whose titles went since the member may not see them, the latest last. They stand in a file of their own, which has no
    /// titles. A list that was begun before puts no title of theirs back.
    #[serde(skip)]
    forgotten: Vec<ProposalId>,
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TitleChange {
    Nothing,
    Added,
    /// Titles went, perhaps besides others that came.
    Removed,
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
    pub(super) fn open(&self, key: &KeptKey, wanted: &BTreeSet<TitlePlace>) -> Vec<(TitlePlace, KnownTitle)> {
        let wanted = self.titles.iter().filter(|title| wanted.contains(&title.place()));
        let opened = wanted.filter_map(|title| {
            let text = key.open(&title.place().about(), &title.sealed)?;
            Some((title.place(), serde_json::from_slice(&text).ok()?))
        });
        opened.collect()
    }

    /// Takes titles out.
    pub(super) fn remove(&mut self, is_lost: impl Fn(&TitlePlace) -> bool) -> TitleChange {
        let before = self.titles.len();
        self.titles.retain(|title| !is_lost(&title.place()));
        if self.titles.len() < before { TitleChange::Removed } else { TitleChange::Nothing }
    }

    /// Takes the title of a proposal out, and none in until the proposal is [recalled](Self::recall).
    fn forget(&mut self, proposal: ProposalId) -> TitleChange {
        if !self.forgotten.contains(&proposal) {
            self.forgotten.push(proposal);
            let surplus = self.forgotten.len().saturating_sub(MOST_FORGOTTEN);
            self.forgotten.drain(..surplus);
        }
        self.remove(|place| place.proposal == proposal)
    }

    /// Whether no title of a proposal is taken in.
    pub(super) fn is_forgotten(&self, proposal: ProposalId) -> bool {
        self.forgotten.contains(&proposal)
    }

    /// Takes titles of these proposals in again: the exchange has shown them since, to somebody who may read them.
    pub(super) fn recall(&mut self, proposals: &BTreeSet<ProposalId>) {
        self.forgotten.retain(|proposal| !proposals.contains(proposal));
    }

    /// Puts titles in, each in the place of an earlier one of its proposal. Under another key than the file's all others go.
    pub(super) fn put(&mut self, key: &KeptKey, opened: &[(TitlePlace, KnownTitle)]) {
        if self.key != key.sealed() {
            key.sealed().clone_into(&mut self.key);
            self.titles.clear();
        }
        let is_welcome = |(place, _): &&(TitlePlace, KnownTitle)| !self.forgotten.contains(&place.proposal);
        let opened: Vec<_> = opened.iter().filter(is_welcome).collect();
        let newer: BTreeSet<ProposalId> = opened.iter().map(|(place, _)| place.proposal).collect();
        self.titles.retain(|title| !newer.contains(&title.proposal));
        self.titles.extend(opened.into_iter().map(|(place, title)| {
            let text = serde_json::to_vec(title).expect("a title has string keys");
            let TitlePlace { proposal, call, manifest, access } = *place;
            let sealed = key.seal(&place.about(), &text);
            SealedTitle { proposal, call, manifest, access, sealed }
        }));
        let mut room = MAX_SEALED;
        let latest = self.titles.iter().rev().take(MOST);
        let kept = latest.take_while(|title| fits(&mut room, title.sealed.len())).count();
        self.titles.drain(..self.titles.len() - kept);
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
        let Some(content) = files::read(&path)? else { return Ok(FoundTitles::File(self.no_titles(profile))) };
        Ok(match serde_json::from_slice(&content) {
            Ok(file) => FoundTitles::File(TitleFile { forgotten: self.forgotten_titles(profile), ..file }),
            // Where it is malformed, and nothing that is in it.
            Err(error) => FoundTitles::Damaged(format!("malformed in line {}", error.line())),
        })
    }

    /// A file without titles.
    fn no_titles(&self, profile: &str) -> TitleFile {
        TitleFile { forgotten: self.forgotten_titles(profile), ..TitleFile::default() }
    }

    /// Changes the titles of a profile in a turn of its own. `change` says what there is to write. A file that cannot be used is set aside
    /// first; the answer says so.
    pub(super) fn change_titles(
        &self,
        profile: &str,
        change: impl FnOnce(&mut TitleFile) -> Result<TitleChange>,
    ) -> Result<Option<PathBuf>> {
        let _turn = self.titles_file(profile).turn()?;
        let (mut file, aside) = match self.titles(profile)? {
            FoundTitles::File(file) => (file, None),
            FoundTitles::Damaged(_) => (self.no_titles(profile), Some(self.set_titles_aside(profile)?)),
        };
        let forgotten = file.forgotten.clone();
        match change(&mut file)? {
            TitleChange::Nothing => {}
            TitleChange::Added => self.write_titles(profile, &file)?,
            // What is to go does not stay because the disk is full. All else that goes with it can be opened again.
            TitleChange::Removed => {
                let written = self.write_titles(profile, &file);
                written.or_else(|_| files::remove(&self.titles_path(profile)).map(drop))?;
            }
        }
        if file.forgotten != forgotten {
            let text = serde_json::to_vec(&file.forgotten).expect("identifiers are text");
            files::write_by(&self.forgotten_titles_path(profile), &self.titles_file(profile).beginning(), &text)?;
        }
        Ok(aside)
    }

    /// Removes the title of a proposal that the member may not see, and what was opened of its judging. So does what was set aside: it may be in there.
    pub(in crate::client) fn forget_title(&self, profile: &str, proposal: ProposalId) -> Result<()> {
        files::remove(&self.titles_aside_path(profile))?;
        // What its reviews said goes in any case.
        self.forget_judging(profile, proposal)?;
        let aside = self.change_titles(profile, |file| Ok(file.forget(proposal)))?;
        aside.map_or(Ok(()), |aside| files::remove(&aside).map(drop))
    }

    /// Removes all titles of a profile, and what was opened of judging: it is another member's now, or none's.
    pub(in crate::client) fn forget_titles(&self, profile: &str) -> Result<()> {
        self.titles_file(profile).remove_unfinished();
        self.forget_all_judging(profile)?;
        files::remove(&self.titles_aside_path(profile))?;
        files::remove(&self.forgotten_titles_path(profile))?;
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
        self.titles_file(profile).write(&text)
    }

    fn titles_file(&self, profile: &str) -> ProfileFile {
        ProfileFile { folder: self.root().join("titles"), profile: profile.to_owned() }
    }

    /// The proposals whose titles went. A file that says something else says nothing.
    fn forgotten_titles(&self, profile: &str) -> Vec<ProposalId> {
        let content = files::read(&self.forgotten_titles_path(profile)).ok().flatten();
        content.and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default()
    }

    fn forgotten_titles_path(&self, profile: &str) -> PathBuf {
        self.root().join("titles").join(format!("{profile}.json.forgotten"))
    }

    pub(in crate::client) fn titles_path(&self, profile: &str) -> PathBuf {
        self.titles_file(profile).path()
    }

    fn titles_aside_path(&self, profile: &str) -> PathBuf {
        self.root().join("titles").join(format!("{profile}.json.damaged"))
    }
}

#[cfg(test)]
mod tests;
