//! What this machine remembers of earlier work, so that the exchange cannot turn time back: the newest key card of each
//! member, the publications of each call, the version of each proposal and of each partner's policies, the line of the
//! ranking about each proposal. And what it was in the middle of: sealed files that are not uploaded yet ([`uploads`]),
//! drafts of reviews.
//!
//! Everything here is the member's own; nothing of it travels. Content stands here sealed only.

mod uploads;

pub use uploads::{Source, UploadRecord};

use super::{
    ClientError, Home, Result, files,
    witness::{SeenDecision, SeenEntry, SeenReview, SeenState},
};
use crate::{
    domain::{
        call::LetterAudience,
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256, VaultId},
        policy::PolicyOwner,
        reference::CallCode,
    },
    sealing::{card::KeyCard, statement::CallPublication},
    wire::{
        Time,
        call::{CallText, Schedule},
    },
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The newest key card of a member that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct SeenCard {
    serial: u64,
    sha256: Sha256,
}

/// The publications of a call that were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SeenCall {
    /// Of the text that this machine drafted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drafted: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published: Option<SeenPublication>,
    /// The last statement about roles that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roles: Option<SeenVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenPublication {
    lead: PartnerCode,
    vault: VaultId,
    recipient: String,
    /// Digest of the text by version.
    versions: BTreeMap<u32, Sha256>,
    /// What the newest of them gives, which no later one takes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<PublicationTerms>,
}

/// What a publication gives to those who go by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PublicationTerms {
    deadline_at: Time,
    grace_seconds: u32,
    funders: BTreeSet<PartnerCode>,
    #[serde(default, skip_serializing_if = "LetterAudience::is_all_parties")]
    letters: LetterAudience,
}

impl PublicationTerms {
    fn by(publication: &CallPublication) -> Option<Self> {
        let text: CallText = serde_json::from_value(publication.text.clone()).ok()?;
        let Schedule { deadline_at, grace_seconds, .. } = text.schedule;
        Some(Self { deadline_at, grace_seconds, funders: text.funders, letters: text.letters })
    }

    fn takes_from(&self, before: &Self) -> bool {
        self.deadline_at < before.deadline_at
            || self.grace_seconds < before.grace_seconds
            || self.funders != before.funders
            || self.letters != before.letters
    }
}

/// The version of a proposal that stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct SeenVersion {
    version: u32,
    sha256: Sha256,
}

/// The line of the ranking that was seen last.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenLine {
    stated_at: Time,
    sha256: Sha256,
}

/// The label of a version that was in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct SeenLabel {
    manifest: Sha256,
    number: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
}

impl Home {
    /// The serial of the newest key card of a member that was seen here.
    pub(super) fn seen_serial(&self, member: &MemberId) -> Result<Option<u64>> {
        let seen: Option<SeenCard> = read_record(&self.card_path(member))?;
        Ok(seen.map(|seen| seen.serial))
    }

    /// Refuses a key card that is older than one seen before, or another one of the same serial; remembers a newer one.
    pub(super) fn see_card(&self, card: &KeyCard, sha256: Sha256) -> Result<()> {
        let path = self.card_path(&card.member);
        let now = SeenCard { serial: card.serial, sha256 };
        match read_record::<SeenCard>(&path)? {
            Some(seen) if seen == now => Ok(()),
            Some(seen) if now.serial <= seen.serial => Err(ClientError::unverified(
                format!(
                    "the key card of `{}` has serial {}, but this machine has seen {} with other keys; the exchange \
                     may be showing keys that were replaced",
                    card.member, now.serial, seen.serial
                ),
                format!(
                    "ask the member's registrar for the present serial; what was seen is kept in `{}`",
                    path.display()
                ),
            )),
            _ => write_record(&path, &now),
        }
    }

    /// Refuses a version of policies that is older than one seen in force, or another one of the same number.
    pub(super) fn see_policy(&self, owner: &PolicyOwner, version: u32, sha256: Sha256) -> Result<()> {
        let path = self.root().join("seen").join("policies").join(format!("{owner}.json"));
        let now = SeenVersion { version, sha256 };
        match read_record::<SeenVersion>(&path)? {
            Some(seen) if seen == now => Ok(()),
            // The program's own guardrails change with the program.
            Some(seen) if seen.version == 0 => write_record(&path, &now),
            Some(seen) if now.version <= seen.version => Err(ClientError::unverified(
                format!(
                    "version {version} of the policies of `{owner}` is shown as in force, but this machine has seen version {}",
                    seen.version
                ),
                format!(
                    "do not go on; ask the partner's policy officers. What was seen is kept in `{}`",
                    path.display()
                ),
            )),
            _ => write_record(&path, &now),
        }
    }

    /// The partner that hosts the exchange, as it was said first; refuses another.
    pub(super) fn see_host(&self, host: PartnerCode) -> Result<PartnerCode> {
        let path = self.root().join("seen").join("host.json");
        match read_record::<PartnerCode>(&path)? {
            Some(seen) if seen == host => Ok(host),
            Some(seen) => Err(ClientError::unverified(
                format!("the exchange says that `{host}` hosts it, and said `{seen}` before"),
                format!("do not go on; ask `{seen}`. What was seen is kept in `{}`", path.display()),
            )),
            None => write_record(&path, &host).map(|()| host),
        }
    }

    /// Remembers the text that this machine drafted for a call.
    pub(super) fn see_draft(&self, call: CallId, text_sha256: Sha256) -> Result<()> {
        let path = self.call_path(call);
        let seen: SeenCall = read_record(&path)?.unwrap_or_default();
        write_record(&path, &SeenCall { drafted: Some(text_sha256), ..seen })
    }

    /// The digest of the text that this machine drafted last for a call.
    pub(super) fn drafted(&self, call: CallId) -> Result<Option<Sha256>> {
        Ok(read_record::<SeenCall>(&self.call_path(call))?.and_then(|seen| seen.drafted))
    }

    /// Refuses a publication that goes back on one seen before: an earlier version, another text of the same version, another
    /// lead or another vault, an earlier deadline, a shorter grace period or other funders. Remembers it otherwise.
    pub(super) fn see_publication(&self, publication: &CallPublication) -> Result<()> {
        let path = self.call_path(publication.call);
        let mut seen: SeenCall = read_record(&path)?.unwrap_or_default();
        let refused = |fault: &str| {
            let code = publication.text["code"].as_str();
            let name = code.map_or_else(|| publication.call.to_string(), str::to_owned);
            let what = format!("the publication of `{name}` {fault}");
            let help = format!("do not go on; ask the call's officers. What was seen is kept in `{}`", path.display());
            Err(ClientError::unverified(what, help))
        };
        let known = seen.published.get_or_insert_with(|| SeenPublication {
            lead: publication.host.clone(),
            vault: publication.vault,
            recipient: publication.recipient.clone(),
            versions: BTreeMap::new(),
            given: None,
        });
        if known.lead != publication.host {
            return refused("is signed for another partner than before");
        }
        if known.vault != publication.vault || known.recipient != publication.recipient {
            return refused("names another vault than before; what is sealed to it may be for somebody else");
        }
        if known.versions.last_key_value().is_some_and(|(version, _)| publication.version < *version) {
            return refused("is older than one that was seen here");
        }
        let digest = known.versions.insert(publication.version, publication.text_sha256);
        if digest.is_some_and(|digest| digest != publication.text_sha256) {
            return refused("has another text than before under the same version");
        }
        let given = PublicationTerms::by(publication);
        if let (Some(now), Some(before)) = (&given, &known.given)
            && now.takes_from(before)
        {
            return refused("takes time away, or a funder, that one seen here gave, or has letters for others");
        }
        if digest.is_some() && known.given == given {
            return Ok(());
        }
        known.given = given;
        write_record(&path, &seen)
    }

    /// Refuses less stated about a call's roles than was seen before, or something else in its place. Remembers it otherwise: the digests of all
    /// statements, the roll first.
    pub(super) fn see_roles(&self, call: CallId, code: &CallCode, digests: &[Sha256]) -> Result<()> {
        let path = self.call_path(call);
        let mut seen: SeenCall = read_record(&path)?.unwrap_or_default();
        let version = u32::try_from(digests.len()).unwrap_or(u32::MAX);
        let now = digests.last().map(|last| SeenVersion { version, sha256: *last });
        let is_there = |before: &SeenVersion| {
            let place = (before.version as usize).checked_sub(1);
            place.and_then(|place| digests.get(place)) == Some(&before.sha256)
        };
        let goes_back = seen.roles.as_ref().is_some_and(|before| !is_there(before));
        if goes_back {
            let what = format!("statements about the roles in `{code}` that were seen here are gone or have changed");
            let help = format!("do not go on; ask the call's officers. What was seen is kept in `{}`", path.display());
            return Err(ClientError::unverified(what, help));
        }
        if seen.roles == now {
            return Ok(());
        }
        seen.roles = now;
        write_record(&path, &seen)
    }

    /// Whether all these statements about the roles in a call were seen here, with no other in the place of the last.
    pub(super) fn has_seen_roles(&self, call: CallId, digests: &[Sha256]) -> Result<bool> {
        let seen: Option<SeenCall> = read_record(&self.call_path(call))?;
        let last = u32::try_from(digests.len()).ok().zip(digests.last());
        let seen = seen.and_then(|seen| seen.roles);
        Ok(seen.is_some_and(|seen| last == Some((seen.version, &seen.sha256))))
    }

    /// The digest of the text of a version of a call that was seen here.
    pub(super) fn seen_text(&self, call: CallId, version: u32) -> Result<Option<Sha256>> {
        let seen: Option<SeenCall> = read_record(&self.call_path(call))?;
        Ok(seen.and_then(|seen| seen.published).and_then(|published| published.versions.get(&version).copied()))
    }

    /// Refuses a standing version that is older than one that stood before; remembers it otherwise.
    pub(super) fn see_version(&self, proposal: ProposalId, version: u32, sha256: Sha256) -> Result<()> {
        let path = self.root().join("seen").join("proposals").join(format!("{proposal}.json"));
        let now = SeenVersion { version, sha256 };
        match read_record::<SeenVersion>(&path)? {
            Some(seen) if seen == now => Ok(()),
            Some(seen) if version <= seen.version => Err(ClientError::unverified(
                format!(
                    "version {version} of `{}` is shown as the one that stands, but {} stood before",
                    self.seen_name(proposal),
                    seen.version
                ),
                format!("do not go on; ask the call's officers. What was seen is kept in `{}`", path.display()),
            )),
            _ => write_record(&path, &now),
        }
    }

    /// Refuses a label of a version that was replaced before; remembers it otherwise. Number 0 is the manifest's own.
    pub(super) fn see_label(
        &self,
        proposal: ProposalId,
        manifest: Sha256,
        number: u32,
        sha256: Option<Sha256>,
    ) -> Result<()> {
        let path = self.root().join("seen").join("labels").join(format!("{proposal}.json"));
        let now = SeenLabel { manifest, number, sha256 };
        match read_record::<SeenLabel>(&path)? {
            Some(seen) if seen == now => Ok(()),
            Some(seen) if seen.manifest == manifest && number <= seen.number => Err(ClientError::unverified(
                format!(
                    "label {number} of `{}` is shown as the one in force, but {} was before",
                    self.seen_name(proposal),
                    seen.number
                ),
                format!("do not go on; ask the parties. What was seen is kept in `{}`", path.display()),
            )),
            _ => write_record(&path, &now),
        }
    }

    /// Refuses a line of the ranking that was signed before one seen here; remembers it otherwise.
    pub(super) fn see_ranking_line(&self, proposal: ProposalId, stated_at: Timestamp, sha256: Sha256) -> Result<()> {
        let path = self.root().join("seen").join("rankings").join(format!("{proposal}.json"));
        let now = SeenLine { stated_at: stated_at.into(), sha256 };
        match read_record::<SeenLine>(&path)? {
            Some(seen) if seen == now => Ok(()),
            Some(seen) if stated_at < seen.stated_at.0 => Err(ClientError::unverified(
                format!(
                    "the line that is shown was signed at {stated_at}, and one of {} was seen here",
                    seen.stated_at.0
                ),
                format!("do not rely on it; ask the call's officers. What was seen is kept in `{}`", path.display()),
            )),
            _ => write_record(&path, &now),
        }
    }

    /// The newest state of a proposal that was seen here.
    pub(super) fn seen_state(&self, proposal: ProposalId) -> Result<Option<SeenState>> {
        read_record(&self.state_path(proposal))
    }

    /// What a proposal was called when it was seen here last; else its identifier.
    pub(super) fn seen_name(&self, proposal: ProposalId) -> String {
        let reference = self.seen_state(proposal).ok().flatten().and_then(|seen| seen.reference);
        reference.map_or_else(|| proposal.to_string(), |reference| reference.to_string())
    }

    pub(super) fn write_seen_state(&self, proposal: ProposalId, state: &SeenState) -> Result<()> {
        write_record(&self.state_path(proposal), state)
    }

    /// The proposals of which a state was seen here.
    pub(super) fn seen_states(&self) -> Result<Vec<ProposalId>> {
        let found = files::names(&self.root().join("seen").join("states"), "json")?;
        Ok(found.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Keeps a state that an amendment made void, under another name.
    pub(super) fn put_seen_state_aside(&self, proposal: ProposalId) -> Result<()> {
        let path = self.state_path(proposal);
        std::fs::rename(&path, path.with_extension("json.before-amendment"))
            .map_err(|error| ClientError::io("put aside", &path, &error))
    }

    /// The newest review that was handed in with a profile.
    pub(super) fn seen_review(&self, profile: &str, proposal: ProposalId) -> Result<Option<SeenReview>> {
        read_record(&self.review_path(profile, proposal))
    }

    pub(super) fn write_seen_review(&self, profile: &str, proposal: ProposalId, review: &SeenReview) -> Result<()> {
        write_record(&self.review_path(profile, proposal), review)
    }

    /// The decision on a proposal that was seen here to be final.
    pub(super) fn seen_decision(&self, proposal: ProposalId) -> Result<Option<SeenDecision>> {
        read_record(&self.decision_path(proposal))
    }

    pub(super) fn write_seen_decision(&self, proposal: ProposalId, decision: &SeenDecision) -> Result<()> {
        write_record(&self.decision_path(proposal), decision)
    }

    /// The last entry of the log that was seen here.
    pub(super) fn seen_entry(&self) -> Result<Option<SeenEntry>> {
        read_record(&self.root().join("seen").join("log.json"))
    }

    pub(super) fn write_seen_entry(&self, entry: &SeenEntry) -> Result<()> {
        write_record(&self.root().join("seen").join("log.json"), entry)
    }

    /// The entry with the highest number that the member of a profile was shown.
    pub(super) fn seen_end(&self, profile: &str) -> Result<Option<SeenEntry>> {
        read_record(&self.seen_end_path(profile))
    }

    pub(super) fn write_seen_end(&self, profile: &str, entry: &SeenEntry) -> Result<()> {
        write_record(&self.seen_end_path(profile), entry)
    }

    /// Forgets what the member of a profile was shown of the log: the profile is another member's now, or none's.
    pub(super) fn forget_seen_end(&self, profile: &str) -> Result<()> {
        files::remove(&self.seen_end_path(profile)).map(drop)
    }

    /// The newest version of a call's text that was seen here; 0 for none.
    pub(super) fn seen_call_version(&self, call: CallId) -> Result<u32> {
        let seen: Option<SeenCall> = read_record(&self.call_path(call))?;
        let published = seen.and_then(|seen| seen.published);
        Ok(published
            .and_then(|published| published.versions.last_key_value().map(|(version, _)| *version))
            .unwrap_or(0))
    }

    pub(super) fn state_path(&self, proposal: ProposalId) -> PathBuf {
        self.root().join("seen").join("states").join(format!("{proposal}.json"))
    }

    pub(super) fn review_path(&self, profile: &str, proposal: ProposalId) -> PathBuf {
        self.root().join("seen").join("reviews").join(profile).join(format!("{proposal}.json"))
    }

    pub(super) fn decision_path(&self, proposal: ProposalId) -> PathBuf {
        self.root().join("seen").join("decisions").join(format!("{proposal}.json"))
    }

    /// The drafts of a profile, by proposal.
    pub(super) fn drafts(&self, profile: &str) -> Result<Vec<ProposalId>> {
        let found = files::names(&self.root().join("drafts").join(profile), "age")?;
        Ok(found.iter().filter_map(|name| name.parse().ok()).collect())
    }

    pub(super) fn draft_path(&self, profile: &str, proposal: ProposalId) -> PathBuf {
        self.root().join("drafts").join(profile).join(format!("{proposal}.age"))
    }

    /// An officer's note on a proposal, for the ranking.
    pub(super) fn note_path(&self, profile: &str, proposal: ProposalId) -> PathBuf {
        self.root().join("notes").join(profile).join(format!("{proposal}.age"))
    }

    fn seen_end_path(&self, profile: &str) -> PathBuf {
        self.root().join("seen").join("logs").join(format!("{profile}.json"))
    }

    fn card_path(&self, member: &MemberId) -> PathBuf {
        let folder = self.root().join("seen").join("members").join(member.partner().as_str());
        folder.join(format!("{}.json", member.handle()))
    }

    fn call_path(&self, call: CallId) -> PathBuf {
        self.root().join("seen").join("calls").join(format!("{call}.json"))
    }
}

pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = files::read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| files::damaged(path, &error))
}

pub(super) fn write_record(path: &Path, record: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(record).expect("our records have string keys and whole numbers");
    files::write(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{Nation, at};
    use serde_json::json;

    const PROPOSAL: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
    const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        (folder, home)
    }

    #[test]
    fn statements_about_roles_only_go_on_from_those_that_were_seen() {
        let (_folder, home) = home();
        let call: CallId = CALL.parse().unwrap();
        let digests = |text: &str| text.bytes().map(|letter| Sha256::of(&[letter])).collect::<Vec<_>>();
        home.see_roles(call, &"BIRD26".parse().unwrap(), &digests("abc")).unwrap();
        home.see_roles(call, &"BIRD26".parse().unwrap(), &digests("abc")).unwrap();
        assert!(home.has_seen_roles(call, &digests("abc")).unwrap());
        // Fewer, others in the place of the last, and more that go on from others.
        for other in ["ab", "", "abx", "abxy", "abxcyz"] {
            assert!(home.see_roles(call, &"BIRD26".parse().unwrap(), &digests(other)).is_err(), "{other}");
            assert!(!home.has_seen_roles(call, &digests(other)).unwrap(), "{other}");
        }
        assert!(!home.has_seen_roles(call, &digests("abcd")).unwrap(), "not all of them");
        home.see_roles(call, &"BIRD26".parse().unwrap(), &digests("abcd")).unwrap();
        assert!(home.see_roles(call, &"BIRD26".parse().unwrap(), &digests("abc")).is_err());
    }

    fn publication(version: u32, title: &str) -> CallPublication {
        let text = json!({ "title": title });
        CallPublication {
            call: CALL.parse().unwrap(),
            version,
            text_sha256: crate::sealing::canonical::digest(&text).unwrap(),
            text,
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            recipient: "age1a".into(),
            host: "USA".parse().unwrap(),
        }
    }

    #[test]
    fn key_card_that_turns_time_back_is_refused() {
        let (_folder, home) = home();
        let avi = Nation::new("ISR").member("avi");
        let (second, first) = (KeyCard { serial: 2, ..avi.card.clone() }, avi.card);
        let digest = |text: &str| Sha256::of(text.as_bytes());
        home.see_card(&first, digest("1")).unwrap();
        home.see_card(&first, digest("1")).unwrap();
        assert!(home.see_card(&first, digest("1 with other keys")).is_err());
        home.see_card(&second, digest("2")).unwrap();
        let refused = home.see_card(&first, digest("1")).unwrap_err();
        assert_eq!(refused.class().code(), 4);
        assert_eq!(home.seen_serial(&first.member).unwrap(), Some(2));
        assert!(first.valid_until > at("2026-06-01T00:00:00Z"));
    }

    #[test]
    fn publication_that_turns_time_back_is_refused() {
        let (_folder, home) = home();
        home.see_draft(CALL.parse().unwrap(), Sha256::of(b"draft")).unwrap();
        home.see_publication(&publication(1, "a")).unwrap();
        assert!(home.see_publication(&publication(1, "b")).is_err(), "another text of the same version");
        home.see_publication(&publication(2, "b")).unwrap();
        assert!(home.see_publication(&publication(1, "a")).is_err(), "an older version");
        let other = CallPublication { recipient: "age1b".into(), ..publication(3, "b") };
        assert!(home.see_publication(&other).is_err(), "another vault");
        assert_eq!(home.drafted(CALL.parse().unwrap()).unwrap(), Some(Sha256::of(b"draft")));
        let seen = home.seen_text(CALL.parse().unwrap(), 1).unwrap();
        assert_eq!(seen, Some(publication(1, "a").text_sha256));
    }

    #[test]
    fn publication_that_takes_away_what_an_earlier_one_gave_is_refused() {
        let (_folder, home) = home();
        let first = crate::client::testing::call().publication;
        home.see_publication(&first).unwrap();
        let next = |version, change: &dyn Fn(&mut serde_json::Value)| {
            let mut text = first.text.clone();
            change(&mut text);
            let text_sha256 = crate::sealing::canonical::digest(&text).unwrap();
            CallPublication { version, text, text_sha256, ..first.clone() }
        };
        let taken: [&dyn Fn(&mut serde_json::Value); 3] = [
            &|text| text["schedule"]["deadline_at"] = "2026-04-01T14:59:59Z".into(),
            &|text| text["schedule"]["grace_seconds"] = 7199.into(),
            &|text| text["funders"] = serde_json::json!(["USA"]),
        ];
        for change in taken {
            assert_eq!(home.see_publication(&next(2, change)).unwrap_err().class().code(), 4);
        }
        let later = next(2, &|text| text["schedule"]["deadline_at"] = "2026-04-02T15:00:00Z".into());
        home.see_publication(&later).unwrap();
        home.see_publication(&later).unwrap();
        assert!(home.see_publication(&next(3, &|_| {})).is_err(), "it was given more since");
    }

    #[test]
    fn standing_version_that_turns_time_back_is_refused() {
        let (_folder, home) = home();
        let id = PROPOSAL.parse().unwrap();
        home.see_version(id, 2, Sha256::of(b"2")).unwrap();
        home.see_version(id, 2, Sha256::of(b"2")).unwrap();
        assert!(home.see_version(id, 1, Sha256::of(b"1")).is_err());
        assert!(home.see_version(id, 2, Sha256::of(b"other")).is_err());
        home.see_version(id, 3, Sha256::of(b"3")).unwrap();
    }

    #[test]
    fn label_that_was_replaced_does_not_come_back() {
        let (_folder, home) = home();
        let (id, one, two) = (PROPOSAL.parse().unwrap(), Sha256::of(b"one"), Sha256::of(b"two"));
        home.see_label(id, one, 0, None).unwrap();
        home.see_label(id, one, 2, Some(Sha256::of(b"2"))).unwrap();
        home.see_label(id, one, 2, Some(Sha256::of(b"2"))).unwrap();
        assert!(home.see_label(id, one, 0, None).is_err());
        assert!(home.see_label(id, one, 2, Some(Sha256::of(b"other"))).is_err());
        home.see_label(id, two, 0, None).unwrap();
    }

    #[test]
    fn line_of_the_ranking_that_was_replaced_does_not_come_back() {
        let (_folder, home) = home();
        let (id, first, second) = (PROPOSAL.parse().unwrap(), Sha256::of(b"first"), Sha256::of(b"second"));
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        home.see_ranking_line(id, at(10), first).unwrap();
        home.see_ranking_line(id, at(10), first).unwrap();
        home.see_ranking_line(id, at(11), second).unwrap();
        assert!(home.see_ranking_line(id, at(10), first).is_err());
    }
}
