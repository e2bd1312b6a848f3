//! A partner that takes no part for a while, and the word that says why. Every member of the exchange reads it.

use super::{id::PartnerCode, worded};
use jiff::Timestamp;

worded! {
    /// Why a partner is suspended.
    pub enum SuspensionReason: "a reason for a suspension, one of" {
        /// Its own officials asked for it.
        OwnRequest = "own_request",
        /// Somebody else may have the keys of its authority, its registrars or its members.
        KeysInDoubt = "keys_in_doubt",
        /// The agreement under which it takes part has ended.
        AgreementEnded = "agreement_ended",
        /// The host decided so.
        HostDecision = "host_decision",
    }
}

impl SuspensionReason {
    /// The reason in a sentence, after the partner's code.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::OwnRequest => "its own officials asked for it",
            Self::KeysInDoubt => "somebody else may have its keys",
            Self::AgreementEnded => "its agreement has ended",
            Self::HostDecision => "the host decided so",
        }
    }
}

/// A suspension that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspension {
    pub since: Timestamp,
    pub reason: SuspensionReason,
}

impl Suspension {
    /// What is said of the partner.
    #[must_use]
    pub fn of(&self, partner: &PartnerCode) -> String {
        format!("`{partner}` is suspended since {:.0}: {}", self.since, self.reason.sentence())
    }
}
