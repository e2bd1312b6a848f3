//! What a relay remembers between two rounds: what each member was told, and whom it could not tell. Never what waits for whom.
//!
//! How often somebody was told, and when somebody is tried again, goes by this machine's own clock, which the exchange cannot set.
//!
//! The file is there whole or as it was before. Where it is damaged, everybody of whom it says nothing any more counts as told just now:
//! a fault of a disk mails nobody twice.

use super::schedule::{Habit, MemberLoad, SentNotices};
use crate::{
    client::{ClientError, Result, files},
    domain::id::MemberId,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

/// So often a member is told within [`A_DAY`] at most, whatever the exchange says.
pub const MOST_A_DAY: usize = 6;
const A_DAY: SignedDuration = SignedDuration::from_hours(24);
/// The longest state that is read, in bytes: some 400 for each of as many members as a partner can have.
const MAX_STATE: u64 = 16 << 20;
/// What is known of members whom the exchange no longer names is kept so long.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// After a failure a member is tried again after this time, and after twice as long each time that fails, too.
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(5);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);

/// What is remembered of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct NoticeRecord {
    /// By the exchange's clock.
    #[serde(flatten)]
    told: SentNotices,
    /// When the member was told, or may have been: the last few times.
    #[serde(default)]
    told_at: Vec<Timestamp>,
    /// How often in a row the member could not be told.
    #[serde(default)]
    failures: u8,
    /// Before this instant it is not tried again.
    #[serde(default)]
    again_at: Option<Timestamp>,
}

/// The state of a relay.
#[derive(Debug)]
pub struct RelayState {
    path: PathBuf,
    members: BTreeMap<MemberId, NoticeRecord>,
    /// Whether members of whom nothing is remembered may have been told all the same.
    has_forgotten: bool,
    /// Held so that no second relay tells the same members; none where nobody is told.
    _lock: Option<File>,
}

impl RelayState {
    /// Takes the state in a file, which need not be there yet. Returns a warning where it is damaged.
    ///
    /// # Errors
    /// When another relay works with it, or the file can be neither read nor set aside.
    pub fn open(path: &Path) -> Result<(Self, Option<String>)> {
        let absolute = std::path::absolute(path).map_err(|error| ClientError::io("find", path, &error))?;
        // Before it is read: another one may write until it ends.
        let lock = lock(&absolute)?;
        let state = Self { _lock: Some(lock), ..Self::peek(&absolute)? };
        if !state.has_forgotten {
            return Ok((state, None));
        }
        let aside = state.path.with_extension("damaged");
        fs::rename(&state.path, &aside).map_err(|error| ClientError::io("set aside", &state.path, &error))?;
        let warning = format!(
            "`{}` was damaged and is set aside as `{}`; members of whom it said nothing any more count as told today",
            state.path.display(),
            aside.display()
        );
        Ok((state, Some(warning)))
    }

    /// The state as it is, beside a relay that may work with it. It is not to be written.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn peek(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| ClientError::io("find", path, &error))?;
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let content = if size > MAX_STATE { Some(Vec::new()) } else { files::read(&path)? };
        let (members, has_forgotten) = content.map_or_else(|| (BTreeMap::new(), false), |content| read(&content));
        Ok(Self { path, members, has_forgotten, _lock: None })
    }

    /// What a member was told.
    pub(super) fn told(&self, member: &MemberId, load: &MemberLoad, now: Timestamp, habit: &Habit) -> SentNotices {
        match self.members.get(member) {
            Some(remembered) => remembered.told,
            None if self.has_forgotten => SentNotices::just_now(load, now, habit),
            None => SentNotices::default(),
        }
    }

    /// Whether the member could not be told a short while ago.
    pub(super) fn waits(&self, member: &MemberId, here: Timestamp) -> bool {
        let again_at = self.members.get(member).and_then(|remembered| remembered.again_at);
        // One that lies further ahead than any can was noted by a clock that was wrong.
        again_at.is_some_and(|again_at| again_at > here && again_at.duration_since(here) <= LONGEST_WAIT)
    }

    /// Whether the member was told as often as is possible within a day.
    pub(super) fn has_enough(&self, member: &MemberId, here: Timestamp) -> bool {
        let told_at = self.members.get(member).map_or(&[][..], |remembered| &remembered.told_at);
        told_at.iter().filter(|at| is_within_a_day(**at, here)).count() >= MOST_A_DAY
    }

    /// Notes what counts as told to a member to whom nothing was said.
    pub(super) fn note(&mut self, member: &MemberId, told: SentNotices) {
        self.members.entry(member.clone()).or_default().told = told;
    }

    /// Notes, before it is done, that a member is told.
    pub(super) fn begin(&mut self, member: &MemberId, after: SentNotices, here: Timestamp) {
        let remembered = self.members.entry(member.clone()).or_default();
        remembered.told = after;
        remembered.told_at.retain(|at| is_within_a_day(*at, here));
        remembered.told_at.push(here);
    }

    /// The member was told, or may have been.
    pub(super) fn succeed(&mut self, member: &MemberId) {
        let remembered = self.members.entry(member.clone()).or_default();
        (remembered.failures, remembered.again_at) = (0, None);
    }

    /// The member was not told, which is certain: `before` is what they were told before.
    pub(super) fn take_back(&mut self, member: &MemberId, before: SentNotices) {
        let remembered = self.members.entry(member.clone()).or_default();
        remembered.told = before;
        remembered.told_at.pop();
    }

    /// The member is tried again later, as far as they have not had enough: `before` is what they were told before.
    pub(super) fn fail(&mut self, member: &MemberId, before: SentNotices, here: Timestamp) {
        let remembered = self.members.entry(member.clone()).or_default();
        remembered.told = before;
        remembered.failures = remembered.failures.saturating_add(1);
        let wait = (FIRST_WAIT * (1 << i32::from(remembered.failures.min(10) - 1))).min(LONGEST_WAIT);
        remembered.again_at = here.checked_add(wait).ok();
    }

    /// Forgets members whom the exchange has not named for long.
    pub(super) fn retain(&mut self, present: &BTreeSet<&MemberId>, here: Timestamp) {
        self.members.retain(|member, remembered| {
            present.contains(member) || remembered.told_at.last().is_some_and(|at| here.duration_since(*at) < KEPT)
        });
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written: a relay that goes on would tell everybody again after its next start.
    pub fn write(&self) -> Result<()> {
        let content = serde_json::to_vec(&json!({ "version": 1, "members": self.members }));
        files::write(&self.path, &content.expect("our state has string keys and finite numbers"))
    }
}

/// Whether two instants are less than a day apart, whichever comes first: what a clock said that was wrong by more counts as long ago.
fn is_within_a_day(at: Timestamp, here: Timestamp) -> bool {
    here.duration_since(at).abs() < A_DAY
}

/// What a file says of members, and whether it has lost something.
fn read(content: &[u8]) -> (BTreeMap<MemberId, NoticeRecord>, bool) {
    let Ok(Value::Object(mut state)) = serde_json::from_slice(content) else { return (BTreeMap::new(), true) };
    let Some(Value::Object(told)) = state.remove("members") else { return (BTreeMap::new(), true) };
    let count = told.len();
    let members: BTreeMap<MemberId, NoticeRecord> = told
        .into_iter()
        .filter_map(|(member, remembered)| Some((member.parse().ok()?, serde_json::from_value(remembered).ok()?)))
        .collect();
    let has_lost = members.len() < count || state.get("version") != Some(&json!(1));
    (members, has_lost)
}

/// Keeps other relays from this state.
fn lock(path: &Path) -> Result<File> {
    let path = path.with_extension("lock");
    let failed = |error: std::io::Error| ClientError::io("lock", &path, &error);
    if let Some(folder) = path.parent() {
        crate::platform::make_private_folder(folder).map_err(failed)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(ClientError::local(
            format!("another relay works with `{}`", path.with_extension("json").display()),
            "end that one first; two of them would tell everybody twice",
        )),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{civil::Time, tz::TimeZone};

    fn id(member: &str) -> MemberId {
        member.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn habit() -> Habit {
        Habit { digest_at: Time::midnight(), zone: TimeZone::UTC }
    }

    const LOAD: MemberLoad = MemberLoad { items: 1, next_due_at: None };

    #[test]
    fn what_was_told_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.json");
        let now = at("2026-03-01T08:00:00Z");
        let told = SentNotices { at: Some(now), due_at: Some(now), has_digest: true, ..SentNotices::default() };
        let (mut state, warning) = RelayState::open(&path).unwrap();
        assert!(warning.is_none() && state.told(&id("ISR:avi"), &LOAD, now, &habit()) == SentNotices::default());
        assert!(RelayState::open(&path).unwrap_err().to_string().contains("another relay"));
        state.begin(&id("ISR:avi"), told, now);
        state.fail(&id("ISR:gal"), SentNotices::default(), now);
        state.write().unwrap();
        drop(state);
        let (state, warning) = RelayState::open(&path).unwrap();
        assert!(warning.is_none());
        assert_eq!(state.told(&id("ISR:avi"), &LOAD, now, &habit()), told);
        assert!(state.waits(&id("ISR:gal"), now) && !state.waits(&id("ISR:gal"), now + FIRST_WAIT));
        assert!(!state.waits(&id("ISR:avi"), now));
    }

    #[test]
    fn damaged_state_is_set_aside_and_tells_nobody_twice() {
        let now = at("2026-03-01T08:00:00Z");
        let half = r#"{"version":1,"members":{"ISR:avi":{"at":"2026-02-28T08:00:00Z","due_at":null,"day":"2026-02-28","has_digest":true},"ISR:gal":7}}"#;
        for (content, known) in [("", false), ("{\"version\":1", false), ("[]", false), (half, true)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("relay.json");
            fs::write(&path, content).unwrap();
            let (state, warning) = RelayState::open(&path).unwrap();
            assert!(warning.unwrap().contains("set aside"), "{content}");
            assert_eq!(fs::read_to_string(path.with_extension("damaged")).unwrap(), content);
            let gal = state.told(&id("ISR:gal"), &LOAD, now, &habit());
            assert_eq!(gal, SentNotices::just_now(&LOAD, now, &habit()), "{content}");
            let avi = state.told(&id("ISR:avi"), &LOAD, now, &habit());
            assert_eq!(avi.at == Some(at("2026-02-28T08:00:00Z")), known, "{content}");
        }
    }

    #[test]
    fn member_who_cannot_be_told_is_tried_less_and_less_often() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, _) = RelayState::open(&folder.path().join("relay.json")).unwrap();
        let (now, avi) = (at("2026-03-01T08:00:00Z"), id("ISR:avi"));
        let mut waits = Vec::new();
        for _ in 0..12 {
            state.fail(&avi, SentNotices::default(), now);
            waits.push(state.members[&avi].again_at.unwrap().duration_since(now));
        }
        assert_eq!(waits[..3], [FIRST_WAIT, FIRST_WAIT * 2, FIRST_WAIT * 4]);
        assert_eq!(waits[11], LONGEST_WAIT);
        // A clock that was set back keeps nobody from being told.
        assert!(!state.waits(&avi, now - LONGEST_WAIT));
        state.succeed(&avi);
        assert!(!state.waits(&avi, now));
    }

    #[test]
    fn member_has_enough_after_six_times_within_a_day_and_what_was_not_done_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, _) = RelayState::open(&folder.path().join("relay.json")).unwrap();
        let (began, avi, hour) = (at("2026-03-01T08:00:00Z"), id("ISR:avi"), SignedDuration::from_hours(1));
        for count in 0..6 {
            assert!(!state.has_enough(&avi, began + hour * count));
            state.begin(&avi, SentNotices::default(), began + hour * count);
        }
        assert!(state.has_enough(&avi, began + hour * 23) && !state.has_enough(&avi, began + hour * 24));
        // A clock that is set back a little gives nothing; one that was wrong by far does not keep the member from being told.
        assert!(state.has_enough(&avi, began - hour) && !state.has_enough(&avi, began - hour * 24 * 30));
        state.take_back(&avi, SentNotices::default());
        assert!(!state.has_enough(&avi, began + hour * 23));
        state.begin(&avi, SentNotices::default(), began + hour * 23);
        state.fail(&avi, SentNotices::default(), began + hour * 23);
        assert!(state.has_enough(&avi, began + hour * 23), "a failure alone takes nothing back");
    }

    #[test]
    fn members_who_left_are_forgotten_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, _) = RelayState::open(&folder.path().join("relay.json")).unwrap();
        let now = at("2026-06-01T08:00:00Z");
        for (member, day) in [("ISR:avi", "2026-01-01T08:00:00Z"), ("ISR:gal", "2026-05-01T08:00:00Z")] {
            // What the exchange's clock said counts for nothing.
            state.begin(&id(member), SentNotices { at: Some(now), ..SentNotices::default() }, at(day));
        }
        state.retain(&BTreeSet::new(), now);
        assert_eq!(state.members.keys().cloned().collect::<Vec<_>>(), [id("ISR:gal")]);
    }
}
