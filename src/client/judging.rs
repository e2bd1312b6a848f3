//! What a member verified and opened of the judging of a call's proposals, kept sealed on their machine: a ranking or the letters of a
//! thousand proposals are not made of thousands of reviews each time.
//!
//! A proposal is known under a mark. The mark is of everything that was signed for the call as a whole, of the key cards of all who have a
//! part in judging, and of what the exchange states about the proposal; it is made here, each time, of what is verified now. So what is
//! known holds as long as all of that does. INVARIANT: the exchange gains nothing by stating less than there is: it could hold back the
//! reviews and declarations themselves. Only officers have marks, since to others the exchange shows no panels.

use super::{
    Client, ClientError, Home, Result, blocking, files, kept_key::KeptKey, participation::Roles,
    profile_file::ProfileFile, verified::VerifiedCall,
};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId, Sha256},
        member::CallRole,
    },
    sealing::local_key::LocalKey,
    wire::{proposal::Proposal, review::PanelLine},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    sync::Arc,
};

/// The most proposals of which something is kept, of one kind.
const MOST: usize = 10_000;
/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;
/// The longest text that is kept of a proposal, in bytes: what has more is opened again.
const MAX_TEXT: usize = 32 << 10;
/// How much is kept sealed, in bytes.
const MAX_SEALED: usize = 32 << 20;

/// What is known of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KnownKind {
    /// What its reviews come to.
    Reviews,
    /// The decision in force.
    Decision,
}

/// The mark of each proposal.
pub(super) type Marks = BTreeMap<ProposalId, Sha256>;

/// A call, its proposals as they are shown now, and their marks.
pub(super) struct CallJudging {
    pub(super) call: Arc<VerifiedCall>,
    pub(super) roles: Roles,
    pub(super) rows: Vec<Proposal>,
    pub(super) marks: Marks,
}

/// A text that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownItem {
    kind: KnownKind,
    proposal: ProposalId,
    call: CallId,
    mark: Sha256,
    /// Standard base64.
    sealed: String,
}

impl KnownItem {
    /// What the text is sealed about.
    fn about(kind: KnownKind, proposal: ProposalId, mark: Sha256) -> String {
        format!("{kind:?} {proposal} {mark}")
    }
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownFile {
    /// The key to the texts, an age file to the member, standard base64; empty before there is one.
    key: String,
    /// Those that were kept first come first.
    items: Vec<KnownItem>,
}

impl Client {
    /// The mark of each submitted proposal of a call, to its officers: while it is the same, what was made of the proposal's reviews and
    /// decision holds. One that has none is not known.
    pub async fn judging_marks(&self, id: CallId) -> Result<BTreeMap<ProposalId, Sha256>> {
        Ok(self.judging(id).await?.marks)
    }

    /// A call with its proposals and their marks.
    pub(super) async fn judging(&self, id: CallId) -> Result<CallJudging> {
        let call = self.call(id).await?;
        let roles = self.verified_roles(&call).await?;
        let rows = self.api().all_proposals(Some(id)).await?;
        let is_officer = roles.members_with(CallRole::Officer).contains(&self.member_id().await?);
        let marks = if is_officer { self.marks(&call, &roles, &rows).await? } else { Marks::new() };
        Ok(CallJudging { call, roles, rows, marks })
    }

    async fn marks(&self, call: &VerifiedCall, roles: &Roles, rows: &[Proposal]) -> Result<Marks> {
        let panel = match self.api().panel(call.call.id, false).await {
            Ok(panel) => panel,
            // The role is a matter of minutes: then everything is opened.
            Err(error) if error.slug() == Some("denied") => return Ok(Marks::new()),
            Err(error) => return Err(error),
        };
        let lines: BTreeMap<ProposalId, &PanelLine> = panel.iter().map(|line| (line.proposal, line)).collect();
        let mut judges = roles.all_named();
        judges.extend(panel.iter().flat_map(|line| &line.assignments).map(|line| line.reviewer.clone()));
        let mut common =
            format!("{} {}\n{}", call.publication.text_sha256, roles.state(), self.cards_of(&judges).await?);
        // Whom the exchange says to have no part any more does not count, also where nobody signed that.
        for holder in self.api().roles(call.call.id).await? {
            // Writing to memory does not fail.
            let _ = writeln!(common, "{} {:?}", holder.member, holder.roles);
        }
        let common = Sha256::of(common.as_bytes());
        let mark = |row: &Proposal| {
            let line = lines.get(&row.id)?;
            let mut text = format!("{common} {} {}", line.state_sha256?, row.manifest_sha256?);
            // Writing to memory does not fail.
            let _ = write!(text, " {} {:?} {:?}", row.deadline_at.0, row.parties, row.joined_late);
            for assignment in &line.assignments {
                let _ = write!(text, "\n{} {:?}", assignment.reviewer, assignment.set_aside);
            }
            Some((row.id, Sha256::of(text.as_bytes())))
        };
        Ok(rows.iter().filter_map(mark).collect())
    }

    /// The key cards of members as they are in force, in words. Of somebody whose card does not verify that is said.
    async fn cards_of(&self, members: &BTreeSet<MemberId>) -> Result<String> {
        let mut cards = String::new();
        for member in members {
            let card = match self.recent_member(member).await {
                Ok(member) => {
                    let card = &member.card;
                    format!("{} {:?} {} {:?}", card.serial, card.status, card.organisation, card.roles)
                }
                Err(error @ ClientError::Transport { .. }) => return Err(error),
                Err(error) => format!("no card: {error}"),
            };
            // Writing to memory does not fail.
            let _ = writeln!(cards, "{member} {card}");
        }
        Ok(cards)
    }

    /// What is known of these proposals. What does not open is not known.
    pub(super) async fn known<T: DeserializeOwned>(&self, kind: KnownKind, marks: &Marks) -> BTreeMap<ProposalId, T> {
        let file = self.home().known_judging(&self.profile().name);
        let is_wanted = |item: &&KnownItem| item.kind == kind && marks.get(&item.proposal) == Some(&item.mark);
        if !file.items.iter().any(|item| is_wanted(&item)) {
            return BTreeMap::new();
        }
        let Ok(keyring) = self.keyring().await else { return BTreeMap::new() };
        let sealed = file.key.clone();
        let Ok(Ok(key)) = blocking(move || Ok(KeptKey::unseal(&keyring, sealed))).await else { return BTreeMap::new() };
        let open = |item: &KnownItem| {
            let text = key.open(&KnownItem::about(kind, item.proposal, item.mark), &item.sealed)?;
            Some((item.proposal, serde_json::from_slice(&text).ok()?))
        };
        file.items.iter().filter(is_wanted).filter_map(open).collect()
    }

    /// Keeps what was found of proposals now, and drops what is kept of others of the call. That it cannot be kept is said, and stops
    /// nothing.
    pub(super) async fn keep_known<T: Serialize>(
        &self,
        kind: KnownKind,
        call: CallId,
        marks: &Marks,
        found: &BTreeMap<ProposalId, T>,
    ) {
        if let Err(error) = self.try_to_keep(kind, call, marks, found).await {
            self.warn(&format!("what was opened is not kept on this machine: {error}"));
        }
    }

    async fn try_to_keep<T: Serialize>(
        &self,
        kind: KnownKind,
        call: CallId,
        marks: &Marks,
        found: &BTreeMap<ProposalId, T>,
    ) -> Result<()> {
        let texts = found.iter().filter_map(|(id, found)| {
            let text = serde_json::to_vec(found).expect("our records have string keys and whole numbers");
            Some((*id, *marks.get(id)?, text)).filter(|(_, _, text)| text.len() <= MAX_TEXT)
        });
        let texts: Vec<_> = texts.collect();
        let (home, profile) = (self.home().clone(), self.profile().name.clone());
        let present = home.known_judging(&profile);
        let is_outdated = |item: &KnownItem| item.call == call && marks.get(&item.proposal) != Some(&item.mark);
        if texts.is_empty() && !present.items.iter().any(is_outdated) {
            return Ok(());
        }
        let keyring = self.keyring().await?;
        let mut recipients = keyring.recipients().to_vec();
        if recipients.is_empty() {
            recipients = self.member(&self.member_id().await?).await?.recipients().to_vec();
        }
        let (new, marks) = (LocalKey::generate(&*self.ambient().rng), marks.clone());
        blocking(move || {
            home.change_known_judging(&profile, |file| {
                file.items.retain(|item| item.call != call || marks.get(&item.proposal) == Some(&item.mark));
                if texts.is_empty() {
                    return Ok(());
                }
                let key = match KeptKey::unseal(&keyring, file.key.clone()) {
                    Ok(key) => key,
                    // There is none, or it is sealed to other keys than the member's.
                    Err(_) => {
                        file.items.clear();
                        KeptKey::new(new, &recipients)?
                    }
                };
                key.sealed().clone_into(&mut file.key);
                file.put(&key, (kind, call), &texts);
                Ok(())
            })
        })
        .await
    }
}

impl KnownFile {
    /// Puts texts in, each in the place of an earlier one.
    fn put(&mut self, key: &KeptKey, (kind, call): (KnownKind, CallId), texts: &[(ProposalId, Sha256, Vec<u8>)]) {
        let newer: BTreeSet<ProposalId> = texts.iter().map(|(id, ..)| *id).collect();
        self.items.retain(|item| item.kind != kind || !newer.contains(&item.proposal));
        self.items.extend(texts.iter().map(|(proposal, mark, text)| {
            let sealed = key.seal(&KnownItem::about(kind, *proposal, *mark), text);
            KnownItem { kind, proposal: *proposal, call, mark: *mark, sealed }
        }));
        let mut room = MAX_SEALED;
        let fits = |item: &&KnownItem| {
            let left = room.checked_sub(item.sealed.len());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let kept = self.items.iter().rev().take(2 * MOST).take_while(fits).count();
        self.items.drain(..self.items.len() - kept);
    }
}

impl Home {
    /// What is known. A file that cannot be used says nothing: everything in it can be opened again.
    fn known_judging(&self, profile: &str) -> KnownFile {
        let path = self.judging_file(profile).path();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_FILE) {
            return KnownFile::default();
        }
        let content = files::read(&path).ok().flatten();
        content.and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default()
    }

    fn change_known_judging(&self, profile: &str, change: impl FnOnce(&mut KnownFile) -> Result<()>) -> Result<()> {
        let place = self.judging_file(profile);
        let _turn = place.turn()?;
        let mut file = self.known_judging(profile);
        change(&mut file)?;
        if file.items.is_empty() {
            return files::remove(&place.path()).map(drop);
        }
        place.write(&serde_json::to_vec(&file).expect("our records have string keys and whole numbers"))
    }

    /// Removes what is known of a proposal whose judging the member may not see any more.
    pub(super) fn forget_judging(&self, profile: &str, proposal: ProposalId) -> Result<()> {
        if !self.known_judging(profile).items.iter().any(|item| item.proposal == proposal) {
            return Ok(());
        }
        let forgotten = self.change_known_judging(profile, |file| {
            file.items.retain(|item| item.proposal != proposal);
            Ok(())
        });
        // What is to go does not stay because the disk is full.
        forgotten.or_else(|_| self.forget_all_judging(profile))
    }

    /// Removes all of it: the profile is another member's now, or none's.
    pub(super) fn forget_all_judging(&self, profile: &str) -> Result<()> {
        let place = self.judging_file(profile);
        place.remove_unfinished();
        files::remove(&place.path()).map(drop)
    }

    fn judging_file(&self, profile: &str) -> ProfileFile {
        ProfileFile { folder: self.root().join("judging"), profile: profile.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ambient::SystemRng,
        sealing::identity::{Keyring, NoPrompt, new_identity},
    };

    const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

    fn proposal(number: u8) -> ProposalId {
        format!("prop_01J9ZQ4N6M8V7X5T3R2P1K0HG{number}").parse().unwrap()
    }

    #[test]
    fn text_is_known_under_its_mark_alone_and_goes_with_its_proposal() {
        let folder = tempfile::tempdir().unwrap();
        let (home, me) = (Home::locate(Some(&folder.path().join("home"))).unwrap(), new_identity());
        let key = KeptKey::new(LocalKey::generate(&SystemRng), &[me.recipient().to_owned()]).unwrap();
        let (call, mark) = (CALL.parse().unwrap(), Sha256::of(b"mark"));
        let put = |kind, texts: &[(ProposalId, Sha256, Vec<u8>)]| {
            home.change_known_judging("work", |file| {
                key.sealed().clone_into(&mut file.key);
                file.put(&key, (kind, call), texts);
                Ok(())
            })
            .unwrap();
        };
        put(KnownKind::Reviews, &[(proposal(1), mark, b"zqOchre".to_vec()), (proposal(2), mark, b"two".to_vec())]);
        put(KnownKind::Decision, &[(proposal(1), mark, b"fund".to_vec())]);
        let content = fs::read(home.judging_file("work").path()).unwrap();
        assert!(memchr::memmem::find(&content, b"zqOchre").is_none(), "it is sealed");
        let file = home.known_judging("work");
        assert_eq!(file.items.len(), 3);
        let keyring = Keyring::parse(me.secret().expose().as_bytes(), "mine", &NoPrompt).unwrap();
        let again = KeptKey::unseal(&keyring, file.key.clone()).unwrap();
        let item = &file.items[0];
        let about = |mark| KnownItem::about(item.kind, item.proposal, mark);
        assert_eq!(**again.open(&about(mark), &item.sealed).unwrap(), *b"zqOchre");
        assert!(again.open(&about(Sha256::of(b"other")), &item.sealed).is_none(), "a mark cannot be exchanged");
        home.forget_judging("work", proposal(1)).unwrap();
        assert_eq!(home.known_judging("work").items.len(), 1, "both kinds of it go");
        home.forget_judging("work", proposal(2)).unwrap();
        assert!(!home.judging_file("work").path().exists());
        // A malformed file says nothing, and the next change takes its place.
        fs::write(home.judging_file("work").path(), "{").unwrap();
        assert_eq!(home.known_judging("work"), KnownFile::default());
        put(KnownKind::Reviews, &[(proposal(1), mark, b"one".to_vec())]);
        assert_eq!(home.known_judging("work").items.len(), 1);
    }
}
