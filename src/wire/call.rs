//! Bodies about calls.

use super::{Time, answer, request};
use crate::domain::{
    Refusal,
    call::{self, AmendmentEffect, Audience, ExtensionScope, LetterAudience, Moved, Phase},
    id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Sha256, Slug, VaultId},
    member::CallRole,
    reference::{CallCode, Reference},
    review::{self, Points},
};
use jiff::SignedDuration;
use std::collections::BTreeSet;

request! {
    /// What a call says. Signed and published as a whole, identified by the SHA-256 of its RFC 8785 canonical JSON.
    pub struct CallText {
        /// What people call it, and what the references of its proposals begin with: 3 to 12 capital letters or digits, a letter first. Unique
        /// among the published calls of a program; an amendment keeps it.
        pub code: CallCode,
        pub title: String,
        pub text: String,
        /// Topics a proposal names one of; policies may depend on it. Empty: proposals have no topic.
        #[serde(default)]
        pub topics: BTreeSet<Slug>,
        pub criteria: Vec<Criterion>,
        /// Least weighted total a proposal needs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub total_threshold: Option<f64>,
        pub slots: Vec<Slot>,
        /// Partners whose members may be parties.
        pub eligible: BTreeSet<PartnerCode>,
        pub parties: PartyRule,
        /// Partners that must all sign each decision.
        pub funders: BTreeSet<PartnerCode>,
        /// Those of `officer`, `reviewer` and `decider` that one member may have together. Left out: a member has one of them alone.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        pub combined_roles: BTreeSet<CallRole>,
        /// Whom a letter about a decision is for. Left out: `all-parties`. With `one-party` each letter names its party and is sealed to
        /// that party's `staff` vault, which each party makes before it signs. An amendment keeps it.
        #[serde(default, skip_serializing_if = "LetterAudience::is_all_parties")]
        pub letters: LetterAudience,
        pub schedule: Schedule,
    }

    /// One thing that reviewers score, from 0 to `max` in multiples of `step`.
    pub struct Criterion {
        pub name: Slug,
        pub title: String,
        pub max: f64,
        pub step: f64,
        /// Share in the weighted total, 1 to 1000.
        #[serde(default = "one")]
        pub weight: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub threshold: Option<f64>,
    }

    /// A named place for a document.
    pub struct Slot {
        pub name: Slug,
        pub title: String,
        pub required: bool,
        pub media_types: BTreeSet<String>,
        /// Largest ciphertext, in bytes.
        pub max_bytes: u64,
        /// `panel` or `staff`.
        pub audience: Audience,
    }

    /// Who has to be in a proposal together.
    pub struct PartyRule {
        pub at_least: u32,
        pub at_most: u32,
        #[serde(default)]
        pub required: BTreeSet<PartnerCode>,
    }

    /// The instants of a call, all inclusive.
    pub struct Schedule {
        pub opens_at: Time,
        pub deadline_at: Time,
        pub grace_seconds: u32,
        pub reviews_due_at: Time,
        /// The last instant to which anybody's deadline is moved, at most 366 days after the deadline. Without it: `reviews_due_at`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub extendable_until: Option<Time>,
    }

    /// Drafts a call under a program.
    pub struct DraftCall {
        pub program: ProgramId,
        pub text: CallText,
    }

    /// Replaces the text of a draft.
    pub struct EditCall {
        pub text: CallText,
    }

    /// Publishes a draft, or amends a published call: the signed publication statement says the whole text.
    pub struct PublishCall {
        /// Compact JWS of type `entente-call+jws`.
        pub publication: String,
        /// Compact JWS of type `entente-vault+jws` for the call vault; with the first publication only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub vault: Option<String>,
        /// Compact JWS of type `entente-roll+jws` that says who has which role; with the first publication only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub roll: Option<String>,
        /// The call vault's identity, wrapped to each officer; with the first publication only.
        #[serde(default)]
        pub keys: Vec<super::proposal::WrappedKeyIn>,
        /// Reason of an amendment, shown to every partner of the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
        /// How many proposals an amendment voids, as a dry run said; needed if any were handed in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub voids: Option<u32>,
        /// Only say what it would do.
        #[serde(default)]
        pub dry_run: bool,
    }

    /// Moves the deadline of everyone, or of what `partner` or `proposal` names, or with `reviews` the date by which reviews are due; one
    /// of the three at most.
    pub struct ExtendCall {
        pub until: Time,
        pub reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub partner: Option<PartnerCode>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub proposal: Option<ProposalId>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub reviews: bool,
        /// Only say what it would do.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub dry_run: bool,
    }

    /// An act that needs a reason.
    pub struct Reason {
        pub reason: String,
    }

    /// Grants roles in a call; replaces the member's roles there. Empty takes them all away. Members lay down roles of their own by it.
    pub struct GrantRoles {
        pub roles: BTreeSet<CallRole>,
        /// Compact JWS of type `entente-role+jws`, once the call is published: the next number, what came before and these roles.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub statement: Option<String>,
    }
}

fn one() -> u32 {
    1
}

answer! {
    /// A call as the caller may see it.
    pub struct Call {
        pub id: CallId,
        pub program: ProgramId,
        /// The partner that leads the program.
        pub lead: PartnerCode,
        pub phase: Phase,
        /// Counts up with each publication; 0 is a draft.
        pub version: u32,
        pub text: CallText,
        pub text_sha256: Sha256,
        /// Compact JWS of the publication in force; none for a draft.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub publication: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub vault: Option<VaultId>,
        /// The deadline for everyone, extensions included.
        pub deadline_at: Time,
        /// The deadline for proposals of the caller's partner; later than everyone's if theirs was extended.
        pub my_deadline_at: Time,
        /// Content opens after this instant: the last deadline of anyone and its grace period.
        pub sealed_until: Time,
        /// When reviews are due, extensions included.
        pub reviews_due_at: Time,
        /// The roles of the caller in this call.
        pub my_roles: BTreeSet<CallRole>,
    }

    /// What an amendment does, or would do.
    pub struct Amended {
        pub effect: AmendmentEffect,
        pub call: Call,
        /// How many proposals that the caller may see were handed in and are void until every party signs again.
        pub voided: u32,
    }

    /// What an extension does, or would do.
    pub struct Extended {
        /// By which it can be withdrawn; none for a dry run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub number: Option<u32>,
        /// What held before.
        pub from: Time,
        pub until: Time,
        /// From the one to the other.
        pub seconds: u64,
        /// When the grace period after a later deadline ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub grace_until: Option<Time>,
        pub call: Call,
    }

    /// An extension in force.
    pub struct CallExtension {
        pub number: u32,
        pub until: Time,
        /// The partner for whose proposals the deadline was moved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub partner: Option<PartnerCode>,
        /// The proposal for which it was moved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub proposal: Option<ProposalId>,
        /// What people call the proposal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reference: Option<Reference>,
        /// Whether the date by which reviews are due was moved, and no deadline.
        pub reviews: bool,
        pub reason: String,
        pub made_by: MemberId,
        pub made_at: Time,
    }

    /// A member's roles in a call.
    pub struct RoleHolder {
        pub member: MemberId,
        pub roles: BTreeSet<CallRole>,
    }

    /// What was signed about the roles in a published call.
    pub struct StatedRoles {
        /// Which statement about them, from 1.
        pub number: u32,
        /// Compact JWS: the first of type `entente-roll+jws`, each later one of type `entente-role+jws`.
        pub statement: String,
        pub stated_by: MemberId,
        pub stated_at: Time,
    }

    /// How a call stands, counting only what the caller may see.
    pub struct Progress {
        pub phase: Phase,
        /// Proposals by status.
        pub proposals: std::collections::BTreeMap<String, u32>,
        pub assignments: u32,
        pub reviews: u32,
        /// Reviews that were reopened and that no other revision has followed.
        #[serde(default)]
        pub reopened: u32,
        pub decided: u32,
    }
}

impl ExtendCall {
    /// What it moves; none if it names more than one thing.
    #[must_use]
    pub fn moved(&self) -> Option<Moved> {
        match (&self.partner, self.proposal, self.reviews) {
            (None, None, false) => Some(Moved::Deadline(ExtensionScope::Everyone)),
            (Some(partner), None, false) => Some(Moved::Deadline(ExtensionScope::Partner(partner.clone()))),
            (None, Some(proposal), false) => Some(Moved::Deadline(ExtensionScope::Proposal(proposal))),
            (None, None, true) => Some(Moved::Reviews),
            _ => None,
        }
    }
}

impl CallText {
    /// The text as the rules see it.
    pub fn to_domain(&self) -> Result<call::CallText, Refusal> {
        let total_threshold = self.total_threshold.map(|n| points(n, "total_threshold")).transpose()?;
        let criteria = self.criteria.iter().map(Criterion::to_domain).collect::<Result<_, _>>()?;
        Ok(call::CallText {
            code: self.code.clone(),
            title: self.title.clone(),
            text: self.text.clone(),
            topics: self.topics.clone(),
            criteria,
            total_threshold,
            slots: self.slots.iter().map(Slot::to_domain).collect(),
            eligible: self.eligible.clone(),
            parties: call::PartyRule {
                at_least: self.parties.at_least,
                at_most: self.parties.at_most,
                required: self.parties.required.clone(),
            },
            funders: self.funders.clone(),
            combined_roles: self.combined_roles.clone(),
            letters: self.letters,
            schedule: call::Schedule {
                opens_at: self.schedule.opens_at.0,
                deadline_at: self.schedule.deadline_at.0,
                grace: SignedDuration::from_secs(i64::from(self.schedule.grace_seconds)),
                reviews_due_at: self.schedule.reviews_due_at.0,
                extendable_until: self.schedule.extendable_until.map(|until| until.0),
            },
        })
    }

    /// The canonical JSON that is signed and digested.
    #[must_use]
    pub fn canonical(&self) -> String {
        serde_json_canonicalizer::to_string(self).expect("a call text has no values that JSON cannot say")
    }

    /// The digest that manifests, reviews and publications name the text by.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.canonical().as_bytes())
    }
}

impl Criterion {
    fn to_domain(&self) -> Result<review::Criterion, Refusal> {
        Ok(review::Criterion {
            name: self.name.clone(),
            title: self.title.clone(),
            max: points(self.max, "max")?,
            step: points(self.step, "step")?,
            weight: self.weight,
            threshold: self.threshold.map(|n| points(n, "threshold")).transpose()?,
        })
    }
}

impl Slot {
    fn to_domain(&self) -> call::Slot {
        call::Slot {
            name: self.name.clone(),
            title: self.title.clone(),
            required: self.required,
            media_types: self.media_types.clone(),
            max_bytes: self.max_bytes,
            audience: self.audience,
        }
    }
}

fn points(number: f64, what: &str) -> Result<Points, Refusal> {
    Points::from_number(number).ok_or_else(|| Refusal::CallText {
        fault: format!("`{what}` is a multiple of 0.01 from 0 to 10000, not {number}"),
    })
}
