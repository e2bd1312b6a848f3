//! Payloads about the exchange as a whole: partners, its clock, key cards, policies and programs.

use super::payload;
use crate::{
    domain::{
        id::{MemberId, PartnerCode, Sha256},
        policy::PolicyOwner,
        suspension::SuspensionReason,
    },
    wire::Time,
};
use std::collections::BTreeSet;

payload! {
    /// A partner was enrolled, or its card was replaced.
    pub struct PartnerRecorded {
        pub partner: PartnerCode,
        /// Fingerprint of the card.
        pub card_sha256: Sha256,
        /// The card, as canonical JSON in a string.
        pub card: String,
    }

    /// A partner takes no part from now on.
    pub struct PartnerSuspended {
        pub partner: PartnerCode,
        /// `own_request`, `keys_in_doubt`, `agreement_ended` or `host_decision`.
        pub reason: SuspensionReason,
    }

    /// A partner that was suspended takes part again.
    pub struct PartnerResumed {
        pub partner: PartnerCode,
        /// When it was suspended.
        pub suspended_at: Time,
    }

    /// A partner on which nothing depended is no longer enrolled.
    pub struct PartnerRemoved {
        pub partner: PartnerCode,
        /// Fingerprint of its last card.
        pub card_sha256: Sha256,
    }

    /// A partner no longer publishes revocation lists.
    pub struct ListsWaived {
        pub partner: PartnerCode,
        /// Names of the files that had them; empty when there were none yet.
        pub files: Vec<String>,
    }

    /// The operator accepted that the log is ahead of the clock.
    pub struct ClockAccepted {
        /// Time stands still until the clock has come here.
        pub until: Time,
        /// How far the clock was behind, in whole seconds.
        pub behind_seconds: i64,
    }

    /// A registrar published a member's key card.
    pub struct KeyCardPublished {
        pub member: MemberId,
        /// The number of the card, higher than that of the member's card before.
        pub serial: u64,
        /// False on a card that revokes the member.
        pub is_active: bool,
        /// Of the compact JWS of the card.
        pub key_card_sha256: Sha256,
    }

    /// A version of policies was proposed.
    pub struct PolicyProposed {
        /// A partner's code, or `guardrails`.
        pub owner: PolicyOwner,
        /// From 1, by owner.
        pub version: u32,
        /// Of the text in Cedar.
        pub text_sha256: Sha256,
        /// Of type `entente-policy+jws`.
        pub statement: String,
    }

    /// A second policy officer approved a version of policies.
    pub struct PolicyApproved {
        /// A partner's code, or `guardrails`.
        pub owner: PolicyOwner,
        /// From 1, by owner.
        pub version: u32,
        /// Of the text in Cedar.
        pub text_sha256: Sha256,
        /// When it takes effect.
        pub effective_at: Option<Time>,
        /// The proposer's, of type `entente-policy+jws`.
        pub statement: String,
        /// The approver's, of type `entente-policy-approval+jws`.
        pub approval: String,
    }

    /// A version of policies was taken back before it took effect.
    pub struct PolicyWithdrawn {
        /// A partner's code, or `guardrails`.
        pub owner: PolicyOwner,
        /// From 1, by owner.
        pub version: u32,
    }

    /// A program was created.
    pub struct ProgramCreated {
        pub lead: PartnerCode,
        /// The partners that take part, the lead among them.
        pub partners: BTreeSet<PartnerCode>,
    }
}
