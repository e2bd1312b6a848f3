//! Why a rule of procedure says no: one variant a rule, each with the facts that a caller needs to act on it.
//!
//! The text here is the detail; status, slug, title and remedy stand in `wire::problem`.

use super::{
    id::{CallId, MemberId, PartnerCode, ProposalId, Sha256, Slug},
    phase::Phase,
    text::{LimitNoun, counted},
};
use jiff::Timestamp;

/// A broken rule of procedure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the call is in phase `{phase}`; this needs {needed}")]
    WrongPhase { phase: Phase, needed: &'static str },
    #[error("there can be no more than {}", what.counted(*limit))]
    QuotaReached { what: LimitNoun, limit: u64 },
    #[error(
        "there can be no more than {}; there is room for this again at {again_at}, it is {now}",
        quota.noun().counted(*limit)
    )]
    DailyQuotaReached { quota: DailyQuota, limit: u64, left: u64, again_at: Timestamp, now: Timestamp },
    #[error("the deadline for this proposal passed at {deadline_at}; the request had arrived at {arrived_at}")]
    DeadlinePassed { deadline_at: Timestamp, arrived_at: Timestamp },
    #[error("bytes were accepted until {until}, the end of the grace period; the last one arrived at {arrived_at}")]
    GracePassed { until: Timestamp, arrived_at: Timestamp },
    #[error(
        "this file in `{slot}` is not part of the signed version; after the deadline only files of the version that every party signed can \
         follow"
    )]
    NotCommitted { slot: Slug },
    #[error("the call stays sealed until {until}; it is {now}")]
    StillSealed { until: Timestamp, now: Timestamp },
    #[error("{fault}")]
    CallText { fault: String },
    #[error("{until} is not later than {present}, the present date")]
    ExtensionBackwards { until: Timestamp, present: Timestamp },
    #[error("{until} is after {bound}, the last instant to which this can be moved")]
    ExtensionTooFar { until: Timestamp, bound: Timestamp },
    #[error("the extension ends at {until}, within 72 hours of now, {now}; it can no longer be withdrawn")]
    ExtensionReliedOn { until: Timestamp, now: Timestamp },
    #[error("extension {number} was withdrawn before")]
    ExtensionWithdrawn { number: u32 },
    #[error("{fault}")]
    ScheduleFixed { fault: String },
    #[error(
        "parties would have to sign again what they handed in, and the deadline for everyone is {deadline_at}; it is {now}"
    )]
    NoTimeToSign { deadline_at: Timestamp, now: Timestamp },
    #[error("the funders of a published call are fixed: {funders}")]
    FundersFixed { funders: String },
    #[error("an amendment cannot take out partners that may take part: {partners}")]
    EligibleFixed { partners: String },
    #[error(
        "the amendment voids {}; the request {}",
        counted(*voids, "proposal", "proposals"),
        given.map_or_else(|| "does not confirm how many".to_owned(), |given| format!("says {given}"))
    )]
    VoidsDiffer { voids: u32, given: Option<u32> },
    #[error("partner `{partner}` is not eligible under this call; it can be one of: {choices}")]
    NotEligible { partner: PartnerCode, choices: String },
    #[error("the parties do not meet the call's rule: {fault}")]
    PartyRule { fault: String },
    #[error("the call has no topic `{topic}`; topics: {choices}")]
    UnknownTopic { topic: Slug, choices: String },
    #[error("the call has no slot `{slot}`; slots: {choices}")]
    UnknownSlot { slot: Slug, choices: String },
    #[error("slot `{slot}` takes {allowed}, not `{given}`")]
    MediaType { slot: Slug, allowed: String, given: String },
    #[error("slot `{slot}` takes at most {limit} bytes of ciphertext, the document has {size}")]
    TooLarge { slot: Slug, limit: u64, size: u64 },
    #[error("the manifest does not fit the proposal: {fault}")]
    ManifestMismatch { fault: String },
    #[error("the label does not fit: {fault}")]
    Label { fault: String },
    #[error("label {expected} is the next one of this proposal, the statement says {given}")]
    LabelTaken { expected: u32, given: u32 },
    #[error("required slot `{slot}`{} is empty", party.as_ref().map(|p| format!(" of party `{p}`")).unwrap_or_default())]
    SlotEmpty { slot: Slug, party: Option<PartnerCode> },
    #[error("party `{partner}` has signed manifest `{manifest}` before")]
    AlreadySigned { manifest: Sha256, partner: PartnerCode },
    #[error("version {expected} is the next one of this proposal, the manifest says {given}")]
    VersionTaken { expected: u32, given: u32 },
    #[error("the proposal is {status}; this needs {needed}")]
    WrongStatus { status: String, needed: &'static str },
    #[error(
        "a submitted proposal under the call has no decision in force, waits for signatures under another, or has no letter that was sent since"
    )]
    CallUnfinished,
    #[error("the call was reopened within 72 hours of now; it can be closed again from {until} on")]
    ReopenedLately { until: Timestamp },
    #[error("`{member}` is not a member of party `{partner}`")]
    NotOfParty { member: MemberId, partner: PartnerCode },
    #[error("`{member}` is the last member of party `{partner}` on this proposal")]
    LastOfParty { member: MemberId, partner: PartnerCode },
    #[error(
        "the deadline was {deadline_at}; `{member}` is the only party member of their organisation, which keeps that organisation from judging"
    )]
    StillCounted { member: MemberId, deadline_at: Timestamp },
    #[error("`{member}` has no open invitation to a party of this proposal")]
    NotInvited { member: MemberId },
    #[error(
        "the deadline was {deadline_at}; after it, a member of an organisation that is new to the proposal joins only with the consent of \
         an officer of another nation, and none has consented to `{member}`"
    )]
    NeedsConsent { member: MemberId, deadline_at: Timestamp },
    #[error("`{member}` would be {roles} of one call, whose text keeps these apart")]
    RolesCombined { member: MemberId, roles: String },
    #[error("`{member}` {fault}")]
    Unsuitable { member: MemberId, fault: String },
    #[error("`{member}` has no key card in force")]
    NoKeyCard { member: MemberId },
    #[error("`{member}` has not declared yet whether a conflict of interest with this proposal exists")]
    NotDeclared { member: MemberId, proposal: ProposalId },
    #[error("`{member}` has made a declaration for this proposal before")]
    AlreadyDeclared { member: MemberId },
    #[error("no conflict of `{member}` is on record for this proposal")]
    NoConflict { member: MemberId },
    #[error("`{member}` is already assigned to this proposal")]
    AlreadyAssigned { member: MemberId },
    #[error("`{member}` is not assigned to this proposal")]
    NotAssigned { member: MemberId },
    #[error("somebody else was assigned since `{member}` declined")]
    AssignmentReplaced { member: MemberId },
    #[error("the review of `{member}` is already in")]
    AlreadyReviewed { member: MemberId },
    #[error("there is no submitted review of `{member}`")]
    NoReview { member: MemberId },
    #[error("the review is bound to manifest `{given}`, the standing version is `{standing}`")]
    OtherVersion { given: Sha256, standing: Sha256 },
    #[error("the proposal has a decision with outcome `{outcome}`; this one says otherwise")]
    DecisionDiffers { outcome: String },
    #[error("all funding partners have signed; the decision is final")]
    DecisionFinal,
    #[error("`{partner}` has asked to withdraw the proposal before; the other parties have to ask for it, too")]
    AlreadyWished { partner: PartnerCode },
    #[error("the proposal has no decision")]
    NoDecision,
    #[error("the decision still lacks signatures of {missing}")]
    DecisionOpen { missing: String },
    #[error("partner `{partner}` does not fund under this call")]
    NotFunder { partner: PartnerCode },
    #[error("`{what}` exists already")]
    Exists { what: String },
    #[error("the statement does not fit: {fault}")]
    Statement { fault: String },
    #[error("key card serial {given} is not above the present {present}")]
    StaleKeyCard { given: u64, present: u64 },
    #[error("{fault}")]
    MemberCertificate { fault: String },
    #[error("`{member}` is {roles} by the card before, and would no longer be")]
    OfficeDropped { member: MemberId, roles: String },
    #[error("policy still lets `{holder}` read what this vault protects")]
    StillAdmitted { holder: MemberId },
    #[error(
        "you have wrapped a key to this vault for that recipient of `{holder}` before; a key cannot be overwritten"
    )]
    AlreadyWrapped { holder: String },
    #[error(
        "{most} {} wrapped a key to this vault for that recipient of `{holder}`, and no more are kept",
        if *most == 1 { format!("member of `{partner}` has") } else { format!("members of `{partner}` have") }
    )]
    WrappedOften { holder: String, partner: PartnerCode, most: u64 },
    #[error("it is the last key to the vault of the call; without it nobody could open a proposal under the call")]
    LastKey { call: CallId },
    #[error("the wrapped key is refused: {fault}")]
    WrapRefused { fault: String },
    #[error("version {version} waits for a second policy officer")]
    PolicyWaiting { version: u32 },
    #[error("version {given} was made from an older state; the next version is {expected}")]
    PolicyOutdated { given: u32, expected: u32 },
    #[error("version {version} is {status}")]
    PolicySettled { version: u32, status: &'static str },
    #[error("`{member}` proposed it; it takes another policy officer of the same partner to approve")]
    SecondOfficer { member: MemberId },
    #[error(
        "version {version} of the guardrails rests on a signature of `{member}`; without it nobody could do anything"
    )]
    SignedGuardrails { member: MemberId, version: u32 },
    #[error("guardrails are announced three days ahead: it takes effect at {active_at}, the earliest is {earliest}")]
    NoticeTooShort { active_at: Timestamp, earliest: Timestamp },
    #[error("{fault}")]
    PolicyInvalid { fault: String },
}

/// What is bounded within 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DailyQuota {
    Calls,
    KeyCards,
    PolicyVersions,
    StoredBytes,
    StoredBytesOfPartner,
}

impl DailyQuota {
    /// What it counts.
    #[must_use]
    pub fn noun(self) -> LimitNoun {
        match self {
            Self::Calls => LimitNoun::new("call", "calls", "that one partner's members draft within 24 hours"),
            Self::KeyCards => LimitNoun::new("key card", "key cards", "of one member published within 24 hours"),
            Self::PolicyVersions => {
                LimitNoun::new("version", "versions", "of one owner's policies proposed within 24 hours")
            }
            Self::StoredBytes => {
                LimitNoun::bytes("that acts and logged reads of one member add to the database within 24 hours")
            }
            Self::StoredBytesOfPartner => LimitNoun::bytes(
                "that acts and logged reads of one partner's members add to the database within 24 hours",
            ),
        }
    }

    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls-of-day",
            Self::KeyCards => "key-cards-of-day",
            Self::PolicyVersions => "policy-versions-of-day",
            Self::StoredBytes => "stored-bytes-of-day",
            Self::StoredBytesOfPartner => "stored-bytes-of-day-of-partner",
        }
    }

    /// Whether it is counted in bytes.
    #[must_use]
    pub fn is_of_bytes(self) -> bool {
        matches!(self, Self::StoredBytes | Self::StoredBytesOfPartner)
    }
}
