//! Bodies about who can see what, and why.

use super::answer;
use crate::domain::{
    id::{MemberId, PartnerCode, ProposalId},
    policy::PolicyOwner,
    reference::Reference,
};
use std::collections::BTreeSet;

answer! {
    /// How the exchange decides about one member and one proposal now, and by which policies.
    pub struct Explanation {
        pub member: MemberId,
        pub proposal: ProposalId,
        /// What people call the proposal.
        pub reference: Reference,
        /// `View`, `Read`, `ReadStaff` or `ViewDeliberation`, as policies call it.
        pub action: String,
        /// `permitted`, `denied` or `hidden`.
        pub outcome: String,
        /// Whether they may know of the proposal, then the action itself if they may.
        pub steps: Vec<ExplainedStep>,
        /// The smallest sets of acts after each of which it would be permitted; none when only another policy would do.
        pub would_permit: Vec<Vec<String>>,
    }

    /// One action put to the sides that have a say.
    pub struct ExplainedStep {
        pub action: String,
        pub sides: Vec<ExplainedSide>,
    }

    /// What one side said.
    pub struct ExplainedSide {
        /// `guardrails`, `release` or `reader`.
        pub side: String,
        /// Whose policies were asked.
        pub owner: PolicyOwner,
        /// The version in force; none when the partner has no policies, which is a no.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub version: Option<u32>,
        pub permitted: bool,
        pub reasons: Vec<ExplainedReason>,
    }

    /// A policy that decided, or what was missing.
    pub struct ExplainedReason {
        /// Its `@id`; none when no policy applied.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub policy: Option<String>,
        /// Its `@reason`, or what is missing.
        pub reason: String,
        /// As it was signed, with its annotations.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub text: Option<String>,
    }

    /// A member who may see a proposal.
    pub struct Reader {
        pub member: MemberId,
        /// What they are: `party`, `officer`, `reviewer`, `assigned`, `decider`, `observer`.
        pub parts: BTreeSet<String>,
        /// Whether they may read the content.
        pub reads: bool,
        /// The parties whose restricted slots they may read.
        pub reads_restricted_of: BTreeSet<PartnerCode>,
        /// Whether they may read the reviews.
        pub reads_reviews: bool,
    }
}
