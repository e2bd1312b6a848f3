//! The visibility manifest of a partner: one JSON object a line, in this order: the head, the calls in which its members have roles,
//! proposals, members, and a signature over all the bytes before it (ADR 15).

use super::Time;
use crate::domain::{
    call::Phase,
    id::{CallId, MemberId, PartnerCode, ProposalId},
    member::{CallRole, PartnerRole},
    policy::PolicyOwner,
    proposal::Status,
    reference::Reference,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The media type of a manifest.
pub const MEDIA_TYPE: &str = "application/x-ndjson";

/// A line of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    Head(Head),
    Call(CallRoles),
    Proposal(SeenProposal),
    Member(KnownMember),
    Signature(SignatureLine),
}

/// Whose manifest of which moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The partner that hosts the exchange.
    pub host: PartnerCode,
    pub partner: PartnerCode,
    /// The policy officer who asked: what is kept from them for a conflict of their own is left out.
    pub by: MemberId,
    pub at: Time,
    /// The number of the last entry in the log.
    pub seq: u64,
    /// Which version of whose policies is in force; 0 is the guardrails that are built in.
    pub policies: Vec<VersionInForce>,
}

/// A version in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInForce {
    pub owner: PolicyOwner,
    pub version: u32,
}

/// The roles that the partner's members have in a call that they may know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRoles {
    pub call: CallId,
    pub phase: Phase,
    pub roles: BTreeMap<MemberId, BTreeSet<CallRole>>,
}

/// A proposal, with everybody who sees it, if it is the partner's own, and else with the partner's members who do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenProposal {
    pub proposal: ProposalId,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    pub call: CallId,
    pub owners: BTreeSet<PartnerCode>,
    /// Whether everybody is listed, as for an owner.
    pub is_own: bool,
    pub status: Status,
    pub phase: Phase,
    pub decided: bool,
    /// To whom it may be released, where it has labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeSet<String>>,
    pub access: Vec<MemberAccess>,
}

/// What one member sees of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberAccess {
    pub member: MemberId,
    /// What they are: `party`, `officer`, `reviewer`, `assigned`, `decider`, `observer`.
    pub parts: BTreeSet<String>,
    /// Whether they may know of it. If not, they are a member of the owner that asks, who has a part in it.
    pub sees: bool,
    pub reads: bool,
    /// The parties whose restricted slots they may read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reads_restricted_of: BTreeSet<PartnerCode>,
    pub reads_reviews: bool,
    /// Told of the partner's own members: whether they declared a conflict, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<bool>,
    /// Told of the partner's own members: whether their review is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<bool>,
    /// The policies that decided, as `<owner>/<id>`: on reading if they read, else on knowing of it.
    pub by: BTreeSet<String>,
}

/// A member of the partner, or one who is named above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownMember {
    pub member: MemberId,
    /// SHA-256 of the key card in force, as it was signed.
    pub key_card_sha256: crate::domain::id::Sha256,
    pub serial: u64,
    pub organisation: String,
    pub roles: BTreeSet<PartnerRole>,
}

/// The end of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureLine {
    /// Compact JWS of type `entente-visibility+jws`, by the key of the exchange's own certificate.
    pub statement: String,
    /// What leads from that certificate to an authority: DER, standard base64.
    pub intermediates: Vec<String>,
}
