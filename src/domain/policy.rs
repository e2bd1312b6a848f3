//! The life of a nation's policies: versions that are proposed, approved by a second pair of eyes, in force at an instant, and
//! followed by others.
//!
//! Versions count up for each owner. The version in force is the highest whose time has come, so going back to an earlier text
//! is a new version with that text, and nothing is ever rewritten.

use super::{
    Refusal,
    id::{IdError, MemberId, PartnerCode, Sha256},
    worded,
};
use jiff::{SignedDuration, Timestamp};
use std::{fmt, str::FromStr};

/// The most policies that one owner can have.
pub const MAX_POLICIES: usize = 100;

/// The longest text of one owner's policies, in bytes.
pub const MAX_POLICY_TEXT: usize = 64 << 10;

/// How long before they take effect new guardrails are announced to everybody.
pub const GUARDRAILS_NOTICE: SignedDuration = SignedDuration::from_hours(72);

/// How far ahead a version's time may lie.
const FARTHEST: SignedDuration = SignedDuration::from_hours(24 * 366);

/// Whose policies they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyOwner {
    /// The platform's, which the host's policy officers answer for.
    Guardrails,
    /// A partner's own.
    Partner(PartnerCode),
}

impl PolicyOwner {
    /// The partner whose policy officers write them.
    #[must_use]
    pub fn written_by<'a>(&'a self, host: &'a PartnerCode) -> &'a PartnerCode {
        match self {
            Self::Guardrails => host,
            Self::Partner(code) => code,
        }
    }
}

impl fmt::Display for PolicyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guardrails => f.pad("guardrails"),
            Self::Partner(code) => f.pad(code.as_str()),
        }
    }
}

impl FromStr for PolicyOwner {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No code of a partner is in lower case.
        if text == "guardrails" { Ok(Self::Guardrails) } else { text.parse().map(Self::Partner) }
    }
}

worded! {
    /// Where a version stands.
    pub enum PolicyStatus: "a status of policies, one of" {
        /// Waits for a second policy officer.
        Proposed = "proposed",
        /// Approved; its time has not come.
        Scheduled = "scheduled",
        /// What is asked now.
        InForce = "in_force",
        /// A later version is in force.
        Superseded = "superseded",
        /// Taken back before its time.
        Withdrawn = "withdrawn",
    }
}

/// A version as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    pub number: u32,
    /// Digest of the statement that proposed it.
    pub statement: Sha256,
    pub proposed_by: MemberId,
    /// The time that was signed for.
    pub active_at: Timestamp,
    pub approved_at: Option<Timestamp>,
    pub is_withdrawn: bool,
}

impl PolicyVersion {
    /// When it takes effect: at the time that was signed for, but never before it was approved.
    #[must_use]
    pub fn effective_at(&self) -> Option<Timestamp> {
        self.approved_at.filter(|_| !self.is_withdrawn).map(|approved_at| approved_at.max(self.active_at))
    }

    fn is_open(&self) -> bool {
        self.approved_at.is_none() && !self.is_withdrawn
    }
}

/// The version in force at `now`.
#[must_use]
pub fn in_force(versions: &[PolicyVersion], now: Timestamp) -> Option<&PolicyVersion> {
    let has_come = |version: &&PolicyVersion| version.effective_at().is_some_and(|at| at <= now);
    versions.iter().filter(has_come).max_by_key(|version| version.number)
}

/// The next instant after `now` at which another version takes effect.
#[must_use]
pub fn next_change(versions: &[PolicyVersion], now: Timestamp) -> Option<Timestamp> {
    let present = number_in_force(versions, now);
    let later = versions.iter().filter(|version| version.number > present).filter_map(PolicyVersion::effective_at);
    later.filter(|at| *at > now).min()
}

/// The number of the version in force at `now`; 0 where none is.
#[must_use]
pub fn number_in_force(versions: &[PolicyVersion], now: Timestamp) -> u32 {
    in_force(versions, now).map_or(0, |version| version.number)
}

/// Where a version stands while the one of number `present` is in force.
#[must_use]
pub fn status(version: &PolicyVersion, present: u32) -> PolicyStatus {
    match version.effective_at() {
        _ if version.is_withdrawn => PolicyStatus::Withdrawn,
        None => PolicyStatus::Proposed,
        Some(_) if version.number == present => PolicyStatus::InForce,
        Some(_) if version.number < present => PolicyStatus::Superseded,
        Some(_) => PolicyStatus::Scheduled,
    }
}

/// The digest of the statement a new version must name as the one it follows.
#[must_use]
pub fn followed(versions: &[PolicyVersion]) -> Option<Sha256> {
    let approved = versions.iter().filter(|version| version.effective_at().is_some());
    approved.max_by_key(|version| version.number).map(|version| version.statement)
}

/// Checks that a version with this number, predecessor and time can be proposed now. `last` is the highest number so far, that of versions
/// which were taken back included; 0 before the first.
pub fn check_proposal(
    versions: &[PolicyVersion],
    last: u32,
    number: u32,
    follows: Option<Sha256>,
    active_at: Timestamp,
    now: Timestamp,
) -> Result<(), Refusal> {
    if let Some(open) = versions.iter().find(|version| version.is_open()) {
        return Err(Refusal::PolicyWaiting { version: open.number });
    }
    let expected = last + 1;
    if number != expected || follows != followed(versions) {
        return Err(Refusal::PolicyOutdated { given: number, expected });
    }
    check_active_at(active_at, now)
}

/// Checks that a version with this time can be proposed now.
pub fn check_active_at(active_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if active_at > now + FARTHEST {
        let fault = "it would take effect more than a year from now".to_owned();
        return Err(Refusal::Statement { fault });
    }
    Ok(())
}

/// Checks that a version can be approved now by `approver`.
pub fn check_approval(
    owner: &PolicyOwner,
    version: &PolicyVersion,
    approver: &MemberId,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !version.is_open() {
        let status = if version.is_withdrawn { "withdrawn" } else { "approved" };
        return Err(Refusal::PolicySettled { version: version.number, status });
    }
    // Policy says so too; a rule of the domain does not depend on what guardrails say.
    if version.proposed_by == *approver {
        return Err(Refusal::SecondOfficer { member: approver.clone() });
    }
    let earliest = now + GUARDRAILS_NOTICE;
    if *owner == PolicyOwner::Guardrails && version.active_at < earliest {
        return Err(Refusal::NoticeTooShort { active_at: version.active_at, earliest });
    }
    Ok(())
}

/// Checks that a version can be taken back: until it has taken effect.
pub fn check_withdrawal(version: &PolicyVersion, now: Timestamp) -> Result<(), Refusal> {
    if version.is_withdrawn {
        return Err(Refusal::PolicySettled { version: version.number, status: "withdrawn" });
    }
    match version.effective_at() {
        Some(at) if at <= now => Err(Refusal::PolicySettled { version: version.number, status: "in force or past" }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn version(number: u32, active_at: i64, approved_at: Option<i64>) -> PolicyVersion {
        PolicyVersion {
            number,
            statement: Sha256::of(&number.to_be_bytes()),
            proposed_by: "ISR:drafter".parse().unwrap(),
            active_at: at(active_at),
            approved_at: approved_at.map(at),
            is_withdrawn: false,
        }
    }

    fn status_at(versions: &[PolicyVersion], number: u32, now: i64) -> PolicyStatus {
        let version = versions.iter().find(|version| version.number == number).unwrap();
        status(version, number_in_force(versions, at(now)))
    }

    #[test]
    fn version_takes_effect_at_its_time_and_never_before_it_was_approved() {
        let versions = [version(1, 0, Some(10)), version(2, 100, Some(20))];
        for (now, expected) in [(9, 0), (10, 1), (99, 1), (100, 2)] {
            assert_eq!(number_in_force(&versions, at(now)), expected, "{now}");
        }
        assert_eq!(next_change(&versions, at(0)), Some(at(10)));
        assert_eq!(next_change(&versions, at(10)), Some(at(100)));
        assert_eq!(next_change(&versions, at(100)), None);
    }

    #[test]
    fn earlier_version_does_not_come_back_when_its_own_time_comes_later() {
        let versions = [version(1, 0, Some(0)), version(2, 500, Some(10)), version(3, 100, Some(20))];
        assert_eq!(number_in_force(&versions, at(100)), 3);
        assert_eq!(number_in_force(&versions, at(500)), 3);
        assert_eq!(status_at(&versions, 2, 500), PolicyStatus::Superseded);
        assert_eq!(next_change(&versions, at(100)), None);
    }

    #[test]
    fn each_version_has_one_status() {
        let withdrawn = PolicyVersion { is_withdrawn: true, ..version(3, 0, Some(40)) };
        let versions = [
            version(1, 0, Some(0)),
            version(2, 20, Some(10)),
            withdrawn,
            version(4, 90, Some(50)),
            version(5, 0, None),
        ];
        let expected = [
            PolicyStatus::Superseded,
            PolicyStatus::InForce,
            PolicyStatus::Withdrawn,
            PolicyStatus::Scheduled,
            PolicyStatus::Proposed,
        ];
        for (number, expected) in (1..).zip(expected) {
            assert_eq!(status_at(&versions, number, 60), expected, "{number}");
        }
        assert_eq!(followed(&versions), Some(versions[3].statement));
    }

    #[test]
    fn proposal_names_the_next_number_and_what_it_follows() {
        let versions = [version(1, 0, Some(0)), version(2, 50, Some(10))];
        let follows = Some(versions[1].statement);
        let check = |number, follows, active_at| check_proposal(&versions, 2, number, follows, at(active_at), at(20));
        assert_eq!(check(3, follows, 0), Ok(()));
        assert_eq!(check(2, follows, 0), Err(Refusal::PolicyOutdated { given: 2, expected: 3 }));
        assert!(check(3, Some(versions[0].statement), 0).is_err());
        assert!(check(3, None, 0).is_err());
        assert!(check(3, follows, 400 * 86_400).is_err());
        // One that was taken back keeps its number.
        assert_eq!(check_proposal(&versions, 3, 4, follows, at(0), at(20)), Ok(()));
        let waiting = [version(1, 0, None)];
        assert_eq!(check_proposal(&waiting, 1, 2, None, at(0), at(0)), Err(Refusal::PolicyWaiting { version: 1 }));
    }

    #[test]
    fn nobody_approves_their_own_and_guardrails_are_announced_first() {
        let (partner, other) = (PolicyOwner::Partner("ISR".parse().unwrap()), "ISR:approver".parse().unwrap());
        let open = version(1, 100, None);
        assert_eq!(check_approval(&partner, &open, &other, at(0)), Ok(()));
        assert_eq!(
            check_approval(&partner, &open, &open.proposed_by, at(0)),
            Err(Refusal::SecondOfficer { member: open.proposed_by.clone() })
        );
        assert!(check_approval(&partner, &version(1, 0, Some(0)), &other, at(0)).is_err());
        assert!(check_approval(&PolicyOwner::Guardrails, &open, &other, at(0)).is_err());
        let in_time = version(1, GUARDRAILS_NOTICE.as_secs(), None);
        assert_eq!(check_approval(&PolicyOwner::Guardrails, &in_time, &other, at(0)), Ok(()));
        assert!(check_approval(&PolicyOwner::Guardrails, &in_time, &other, at(1)).is_err());
    }

    #[test]
    fn version_can_be_taken_back_until_it_has_taken_effect() {
        assert_eq!(check_withdrawal(&version(1, 0, None), at(100)), Ok(()));
        assert_eq!(check_withdrawal(&version(1, 50, Some(0)), at(49)), Ok(()));
        assert!(check_withdrawal(&version(1, 50, Some(0)), at(50)).is_err());
        let withdrawn = PolicyVersion { is_withdrawn: true, ..version(1, 50, None) };
        assert!(check_withdrawal(&withdrawn, at(0)).is_err());
    }
}
