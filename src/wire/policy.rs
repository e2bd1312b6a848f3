//! Bodies about policies.

use super::{Time, answer, request};
use crate::domain::{
    id::{MemberId, PartnerCode, ProposalId, Sha256},
    policy::{PolicyOwner, PolicyStatus},
    reference::Reference,
};
use std::collections::BTreeMap;

answer! {
    /// A version of an owner's policies. Clients verify both signatures and the digest before they believe any of it.
    pub struct PolicyVersion {
        /// A partner's code, or `guardrails`.
        pub owner: PolicyOwner,
        /// From 1; 0 for the guardrails that come with the program, which nobody signs.
        pub version: u32,
        pub status: PolicyStatus,
        /// SHA-256 of the text.
        pub text_sha256: Sha256,
        /// Cedar; left out in lists.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub text: Option<String>,
        /// When it takes effect, if approved by then.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub active_at: Option<Time>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub proposed: Option<PolicySignature>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub approved: Option<PolicySignature>,
        /// What it would change, as the approving officer saw it: a `PreviewSummary` in canonical JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub preview: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub withdrawn_by: Option<MemberId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub withdrawn_at: Option<Time>,
    }

    /// What a change would do to who sees what, as far as this question looked.
    pub struct Preview {
        /// Proposals looked at that the answer could tell of: of policies and key cards the nation's own, and those of others on which it tells
        /// something.
        pub considered: u32,
        pub items: Vec<PreviewedChange>,
        /// The member would be an officer and needs a key to the call's vault, through which officers open every proposal.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub needs_call_key: bool,
        /// Pass it as `cursor` to look on; none when all were looked at.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
    }

    /// Something that one member could do and then could not, or the other way round.
    pub struct PreviewedChange {
        pub proposal: ProposalId,
        /// What people call the proposal.
        pub reference: Reference,
        pub member: MemberId,
        /// `View` or `Read`.
        pub action: String,
        /// Whether they gain it; else they lose it.
        pub gains: bool,
        /// Whether the member's nation gains its first access to this proposal of the owner.
        pub admits_nation: bool,
        /// Loses `Read`, and has fetched a document of the proposal already.
        pub has_fetched: bool,
        /// Gains `Read`, and a key would have to be wrapped to them.
        pub needs_key: bool,
    }

    /// What a version would change, in sum: what a policy officer reads before approving, and signs for.
    pub struct PreviewSummary {
        pub owner: PolicyOwner,
        pub version: u32,
        /// Digest of the statement that proposed it.
        pub policy_sha256: Sha256,
        pub made_at: Time,
        /// Proposals looked at.
        pub considered: u64,
        /// By the nation of those who gain.
        pub gains: BTreeMap<PartnerCode, Tally>,
        /// By the nation of those who lose.
        pub losses: BTreeMap<PartnerCode, Tally>,
        /// Nations that would gain their first access to proposals of the owner's, and to how many.
        pub admits: BTreeMap<PartnerCode, u64>,
        /// Keys that would have to be wrapped.
        pub keys_needed: u64,
        /// Members and proposals where content was fetched before it is lost: what was read stays read.
        pub fetched_before: u64,
    }

    /// How much changes for a nation.
    pub struct Tally {
        pub members: u64,
        /// Members and proposals that change from hidden to known, or the other way round.
        pub views: u64,
        /// The same for content.
        pub readings: u64,
    }

    /// A policy officer's signature.
    pub struct PolicySignature {
        pub member: MemberId,
        /// Compact JWS of type `entente-policy+jws` or `entente-policy-approval+jws`.
        pub statement: String,
        pub signed_at: Time,
    }
}

request! {
    /// Proposes a version.
    pub struct ProposePolicy {
        /// Cedar; at most 64 KiB.
        pub text: String,
        /// Compact JWS of type `entente-policy+jws`, signed by a policy officer of the partner that writes these policies.
        pub statement: String,
    }

    /// Approves a version that another policy officer proposed.
    pub struct ApprovePolicy {
        /// Compact JWS of type `entente-policy-approval+jws`.
        pub approval: String,
        /// The [`PreviewSummary`] whose digest the approval names, in canonical JSON; at most 64 KiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub preview: Option<String>,
    }
}
