//! Payloads about judging a proposal: interests, assignments, reviews, decisions and letters.

use super::payload;
use crate::domain::{
    decision::Outcome,
    id::{DecisionId, DocumentId, MemberId, PartnerCode, ReviewId, Sha256},
    member::{ConflictGround, DeclineReason},
};

payload! {
    /// A member declared a conflict of interest, or that there is none.
    pub struct InterestDeclared {
        pub member: MemberId,
        /// With a conflict only.
        pub ground: Option<ConflictGround>,
        /// Of type `entente-declaration+jws`.
        pub statement: String,
    }

    /// An officer took a member's conflict off the record.
    pub struct ConflictLifted {
        pub member: MemberId,
        /// 1 to 1000 characters.
        pub reason: String,
        /// Of type `entente-declaration+jws`.
        pub statement: String,
    }

    /// A reviewer was assigned.
    pub struct ReviewerAssigned {
        pub reviewer: MemberId,
        /// Of type `entente-assignment+jws`.
        pub statement: String,
    }

    /// An assignment was taken back.
    pub struct ReviewerUnassigned {
        pub reviewer: MemberId,
    }

    /// A reviewer declined their assignment.
    pub struct AssignmentDeclined {
        pub reviewer: MemberId,
        /// Left out if none was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<DeclineReason>,
    }

    /// A reviewer took back that they declined their assignment.
    pub struct AssignmentResumed {
        pub reviewer: MemberId,
    }

    /// A sealed review was handed in.
    pub struct ReviewSubmitted {
        pub review: ReviewId,
        pub reviewer: MemberId,
        /// From 1, by reviewer.
        pub revision: u32,
        /// The version that was reviewed.
        pub manifest_sha256: Sha256,
        /// Of the sealed review.
        pub sha256: Sha256,
        /// Of type `entente-review+jws`.
        pub statement: String,
    }

    /// A review was reopened, so that its reviewer can hand in another revision.
    pub struct ReviewReopened {
        pub review: ReviewId,
        pub reviewer: MemberId,
        /// The revision that was reopened.
        pub revision: u32,
        /// 1 to 1000 characters.
        pub reason: String,
    }

    /// A reopening was taken back, before another revision was handed in: the review counts again.
    pub struct ReviewReinstated {
        pub review: ReviewId,
        pub reviewer: MemberId,
        /// The revision that counts again.
        pub revision: u32,
        /// 1 to 1000 characters.
        pub reason: String,
    }

    /// A sealed review was fetched.
    pub struct ReviewFetched {
        pub review: ReviewId,
        pub reviewer: MemberId,
        pub revision: u32,
    }

    /// A sealed line of the ranking was sent to those who decide.
    pub struct RankingSent {
        /// The version that was ranked.
        pub manifest_sha256: Sha256,
        /// Of the sealed line.
        pub sha256: Sha256,
        /// Of type `entente-ranking+jws`.
        pub statement: String,
        /// Digest of the sealed line whose place it takes; left out when there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub in_place_of: Option<Sha256>,
    }

    /// A sealed line of the ranking was taken back or fetched.
    pub struct RankingNamed {
        /// Of the sealed line.
        pub sha256: Sha256,
    }

    /// A funder signed a decision.
    pub struct DecisionSigned {
        pub decision: DecisionId,
        pub outcome: Outcome,
        /// The funder that signed.
        pub partner: PartnerCode,
        /// The version that was decided on.
        pub manifest_sha256: Sha256,
        /// Of type `entente-decision+jws`.
        pub statement: String,
        /// Whose signature for the same funder it replaces; left out when there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub in_place_of: Option<MemberId>,
    }

    /// A funder took its signature back.
    pub struct DecisionUnsigned {
        pub decision: DecisionId,
        /// The funder whose signature it was.
        pub partner: PartnerCode,
    }

    /// The last signature was taken back: the decision is off the table.
    pub struct DecisionWithdrawn {
        pub decision: DecisionId,
    }

    /// The last funder signed: the decision is in force.
    pub struct DecisionFinal {
        pub decision: DecisionId,
        pub outcome: Outcome,
        /// The version that was decided on.
        pub manifest_sha256: Sha256,
        /// The decision that it takes the place of: these fields stand beside the others. A first decision has none.
        #[serde(flatten)]
        pub superseded: Option<SupersededDecision>,
    }

    /// Which decision another takes the place of.
    pub struct SupersededDecision {
        /// Digest of that decision.
        pub supersedes: Sha256,
        /// 1 to 1000 characters; none where it follows a rescission and gives none.
        pub reason: Option<String>,
    }

    /// A sealed letter was sent to the parties, or to one of them.
    pub struct LetterSent {
        pub letter: DocumentId,
        /// Of the sealed letter.
        pub sha256: Sha256,
        /// The party that it is for; left out if it is for all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub party: Option<PartnerCode>,
        /// Of type `entente-letter+jws`.
        pub statement: String,
    }

    /// A letter was taken back or fetched.
    pub struct LetterNamed {
        pub letter: DocumentId,
    }
}
