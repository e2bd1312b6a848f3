//! Bodies about decisions and letters.

use super::{Time, answer, request};
use crate::domain::{
    decision::Outcome,
    id::{DecisionId, DocumentId, MemberId, PartnerCode, ProposalId, Sha256},
    reference::Reference,
    set_aside::SetAside,
};
use std::collections::{BTreeMap, BTreeSet};

request! {
    /// Proposes a decision, or adds the caller's partner's signature to the one that waits for it.
    pub struct SignDecision {
        /// Compact JWS of type `entente-decision+jws`.
        pub decision: String,
    }

    /// Sends a sealed letter to a proposal's parties.
    pub struct SendLetter {
        /// Compact JWS of type `entente-letter+jws`.
        pub statement: String,
        /// The age file sealed to the proposal's `parties` vault, or to the `staff` vault of the party that the statement names; standard
        /// base64, at most 1 MiB of ciphertext.
        pub ciphertext: String,
    }
}

answer! {
    /// The decision on a proposal.
    pub struct Decision {
        pub id: DecisionId,
        pub proposal: ProposalId,
        /// What people call the proposal.
        pub reference: Reference,
        pub revision: u32,
        pub outcome: Outcome,
        pub manifest_sha256: Sha256,
        /// Digest of the final decision that it takes the place of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub supersedes: Option<Sha256>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
        /// The signature of each funding partner.
        pub signatures: BTreeMap<PartnerCode, Signature>,
        /// The funders that have not signed, or whose signature is set aside.
        pub missing: BTreeSet<PartnerCode>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub final_at: Option<Time>,
        /// The final decisions that it superseded, the first of them first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[cfg_attr(feature = "server", schema(no_recursion))]
        pub before: Vec<Decision>,
        /// The proposed one that is to take its place, for officers and deciders. This one is in force until that is final.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "server", schema(no_recursion))]
        pub next: Option<Box<Decision>>,
    }

    /// A funding partner's signature.
    pub struct Signature {
        pub member: MemberId,
        pub jws: String,
        pub signed_at: Time,
        /// Why it counts as missing though it stays on record, if it is so now: `conflict`, `card`, `same-organisation` or `role`.
        /// Under a final decision every signature stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub set_aside: Option<SetAside>,
    }

    /// A sealed letter.
    pub struct Letter {
        pub id: DocumentId,
        pub proposal: ProposalId,
        /// What people call the proposal.
        pub reference: Reference,
        pub sent_by: MemberId,
        pub sent_at: Time,
        /// Whether the decision that it is about was superseded since.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub is_superseded: bool,
        /// The party that it is for, as its statement says; left out if it is for all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub party: Option<PartnerCode>,
        pub statement: String,
        /// Standard base64; left out in lists.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ciphertext: Option<String>,
    }
}
