//! Bodies about policies.

use super::{Time, answer, request};
use crate::domain::{
    id::{MemberId, Sha256},
    policy::{PolicyOwner, PolicyStatus},
};

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
        #[serde(skip_serializing_if = "Option::is_none")]
        pub withdrawn_by: Option<MemberId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub withdrawn_at: Option<Time>,
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
    }
}
