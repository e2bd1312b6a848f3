//! Bodies about conflicts, assignments and sealed reviews.

use super::{Time, answer, policy::PreviewedChange, problem::LineFault, request};
use crate::domain::{
    decision::Outcome,
    id::{MemberId, PartnerCode, ProposalId, ReviewId, Sha256, Slug},
    member::{ConflictGround, DeclineReason},
    reference::Reference,
    set_aside::SetAside,
};
use std::collections::BTreeSet;

request! {
    /// Declares whether the caller has a conflict of interest with a proposal.
    pub struct DeclareConflict {
        pub conflict: bool,
        /// With a conflict only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub ground: Option<ConflictGround>,
        /// Compact JWS of type `entente-declaration+jws` that says the same: the next number, and what came before.
        pub statement: String,
    }

    /// Takes a conflict off the record.
    pub struct LiftConflict {
        pub reason: String,
        /// Compact JWS of type `entente-declaration+jws` that declares it `lifted`.
        pub statement: String,
    }

    /// Assigns reviewers, all or none; at most 20 at a time.
    pub struct Assign {
        pub assignments: Vec<Pair>,
        /// Only say what it would do.
        #[serde(default)]
        pub dry_run: bool,
    }

    /// A reviewer and a proposal.
    pub struct Pair {
        pub proposal: ProposalId,
        pub reviewer: MemberId,
        /// Compact JWS of type `entente-assignment+jws`; a dry run does without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub statement: Option<String>,
    }

    /// Declines the caller's own assignment.
    pub struct DeclineAssignment {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<DeclineReason>,
    }

    /// Hands in a sealed review.
    pub struct SubmitReview {
        /// Compact JWS of type `entente-review+jws`.
        pub statement: String,
        /// The age file sealed to the proposal's deliberation vault, standard base64; at most 1 MiB of ciphertext.
        pub ciphertext: String,
    }

    /// Sends those who decide the proposal's line of the ranking.
    pub struct SendRanking {
        /// Compact JWS of type `entente-ranking+jws`.
        pub statement: String,
        /// The age file sealed to the proposal's deliberation vault, standard base64; at most 64 KiB of ciphertext.
        pub ciphertext: String,
    }
}

impl Assign {
    /// The most lines of one request: others wait for their turn at writing until all are written.
    pub const MOST: usize = 20;
}

answer! {
    /// What a bulk assignment did, or found while trying.
    pub struct Assigned {
        pub dry_run: bool,
        /// How many assignments were made, or could be.
        pub accepted: u32,
        /// With a dry run: the fault of each line that has one. Without one, any fault refuses the whole as `lines-refused`.
        pub faults: Vec<LineFault>,
        /// With a dry run: what the lines that could be done would change.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub changes: Vec<PreviewedChange>,
    }

    /// Where a reviewer stands with a proposal.
    pub struct Assignment {
        pub proposal: ProposalId,
        /// What people call the proposal.
        pub reference: Reference,
        pub reviewer: MemberId,
        pub assigned_at: Time,
        pub assigned_by: MemberId,
        /// Compact JWS of type `entente-assignment+jws`; left out where the assignment is older than such statements.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub statement: Option<String>,
        /// None until declared.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub conflict: Option<bool>,
        pub has_reviewed: bool,
        /// When the reviewer handed a review in for the first time, which was late after the call's `reviews_due_at`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub handed_in_at: Option<Time>,
        /// Why the assignment no longer counts, and with it the review, if it is so now: `conflict`, `card`, `same-organisation` or
        /// `role`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub set_aside: Option<SetAside>,
        /// When the review was reopened, while no other revision is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reopened_at: Option<Time>,
        /// The officer who reopened it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reopened_by: Option<MemberId>,
        /// That the reviewer declined: then it is no assignment any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub declined: Option<DeclinedAssignment>,
    }

    /// That a reviewer declined. It does not count against them: it is no conflict of interest.
    pub struct DeclinedAssignment {
        pub declined_at: Time,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<DeclineReason>,
        /// When somebody else was assigned; until then the reviewer can take it back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub replaced_at: Option<Time>,
    }

    /// Where judging a proposal stands, for officers.
    pub struct PanelLine {
        pub proposal: ProposalId,
        /// What people call the proposal.
        pub reference: Reference,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub topic: Option<Slug>,
        pub parties: BTreeSet<PartnerCode>,
        /// The officers and deciders who declared to have no conflict.
        pub clear: BTreeSet<MemberId>,
        /// Without their statements, which the list of the proposal's own has.
        pub assignments: Vec<Assignment>,
        /// The reviewers among them who hold a key to what the panel reads, for each recipient of their key card.
        pub with_key: BTreeSet<MemberId>,
        /// Whether there is a vault to seal reviews to.
        pub has_deliberation: bool,
        /// The funders that have signed a decision that is not final.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        pub signed_by: BTreeSet<PartnerCode>,
        /// The outcome of the decision in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub decided: Option<Outcome>,
        /// Another one as soon as anything is on record that can change who judges the proposal, how, or what was decided and sent. What a
        /// client made of its reviews and decision holds while this is the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub state_sha256: Option<Sha256>,
        /// Every reviewer of the call, if that was asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub candidates: Vec<PanelCandidate>,
    }

    /// A reviewer of the call, and whether the caller could assign them to a proposal now.
    pub struct PanelCandidate {
        pub reviewer: MemberId,
        /// None until declared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub conflict: Option<bool>,
        /// Whether they work where a member of a party works.
        pub same_organisation: bool,
        /// Why they cannot be assigned; none if they can.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub refusal: Option<CandidateRefusal>,
    }

    /// Why somebody cannot be assigned.
    pub struct CandidateRefusal {
        /// Slug of the problem.
        pub problem: String,
        pub detail: String,
    }

    /// What was stated about a member's interest in a proposal.
    pub struct Declaration {
        pub member: MemberId,
        /// Which statement about this member, from 1.
        pub number: u32,
        /// Compact JWS of type `entente-declaration+jws`.
        pub statement: String,
        pub stated_by: MemberId,
        pub stated_at: Time,
    }

    /// What an officer's ranking says of a proposal, sealed.
    pub struct RankingLine {
        pub proposal: ProposalId,
        /// What people call the proposal.
        pub reference: Reference,
        pub sent_by: MemberId,
        pub sent_at: Time,
        /// Compact JWS of type `entente-ranking+jws`.
        pub statement: String,
        /// Standard base64; left out where the line is answered to its sender.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub ciphertext: Option<String>,
    }

    /// A sealed review.
    pub struct Review {
        pub id: ReviewId,
        pub proposal: ProposalId,
        /// What people call the proposal.
        pub reference: Reference,
        pub reviewer: MemberId,
        pub revision: u32,
        pub manifest_sha256: Sha256,
        pub submitted_at: Time,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reopened_at: Option<Time>,
        /// The officer who reopened it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reopened_by: Option<MemberId>,
        /// Why it no longer counts though it stays on record, if it is so now: `conflict`, `card`, `same-organisation` or `role`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub set_aside: Option<SetAside>,
        pub statement: String,
        /// Standard base64; left out in lists.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ciphertext: Option<String>,
    }
}
