//! How much one may keep on the exchange: what a member begins, what a party uploads, what a nation proposes. The operator sets the numbers;
//! who comes to the end of one hears the number.
//!
//! These bound what stays. What is under way at a time is divided by `http::shares`, and turns at writing by `storage::turns`.

use super::{
    Result,
    unit::{Act, Reads},
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, PartnerCode, ProposalId, Slug},
        policy::PolicyOwner,
    },
    storage::{documents, policies, proposals},
};
use jiff::SignedDuration;
use serde::Deserialize;

/// `[quotas]`. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Proposals that a member has begun under a call and that were never submitted, withdrawn ones included.
    pub proposals_per_member: u64,
    /// Documents of a proposal that a party has uploaded, replaced ones included.
    pub documents_per_party: u64,
    /// Their ciphertext.
    pub bytes_per_party: u64,
    /// Ciphertext of all documents on the exchange that members of a partner have uploaded, replaced ones included.
    pub bytes_per_partner: u64,
    /// Documents of one slot that a party has uploaded to a proposal.
    pub documents_per_slot: u64,
    /// So many days after it was replaced or taken out, a document that no version names goes; at least one.
    pub replaced_documents_days: u16,
    /// Versions of a proposal that any of its parties has proposed.
    pub versions_per_proposal: u64,
    /// Versions of an owner's policies that are proposed within 24 hours.
    pub policy_versions_per_day: u64,
    /// Reads that leave an entry in the log, of one member.
    pub logged_reads_per_minute: u32,
    /// Acts of one member; those of five minutes may come all at once.
    pub acts_per_minute_per_member: u32,
    /// Acts of all members of one partner, key cards aside; those of five minutes may come all at once.
    pub acts_per_minute_per_partner: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            proposals_per_member: 50,
            documents_per_party: 500,
            bytes_per_party: 64 << 30,
            bytes_per_partner: 256 << 30,
            documents_per_slot: 50,
            replaced_documents_days: 30,
            versions_per_proposal: 200,
            policy_versions_per_day: 50,
            logged_reads_per_minute: 3000,
            acts_per_minute_per_member: 600,
            acts_per_minute_per_partner: 6000,
        }
    }
}

/// Refuses one more once there are as many.
fn check(present: u64, limit: u64, what: &'static str) -> Result<()> {
    if present >= limit { Err(Refusal::QuotaReached { what, limit }.into()) } else { Ok(()) }
}

/// Whether the caller may begin another proposal under the call.
pub(super) async fn check_proposals(act: &mut Act<'_>, call: CallId) -> Result<()> {
    let begun = proposals::never_submitted(&mut act.tx, call, &act.me.id).await?;
    let limit = act.exchange.quotas.proposals_per_member;
    check(begun, limit, "proposals of one member that were never submitted, under one call")
}

/// Whether the caller's party may upload a document of this size to the slot.
pub(super) async fn check_documents<T: Reads>(
    act: &mut Act<'_, T>,
    id: ProposalId,
    slot: &Slug,
    size: u64,
) -> Result<()> {
    let party: PartnerCode = act.me.id.partner().clone();
    let (quotas, kept) = (act.exchange.quotas, documents::kept(&mut act.tx, id).await?);
    let of_party = || kept.iter().filter(|kept| *kept.uploaded_by.partner() == party);
    let in_slot = of_party().filter(|kept| kept.slot == *slot).map(|kept| kept.documents).sum();
    check(in_slot, quotas.documents_per_slot, "documents of one party in one slot, replaced ones included")?;
    let documents = of_party().map(|kept| kept.documents).sum();
    check(documents, quotas.documents_per_party, "documents of one party, replaced ones included")?;
    let bytes: u64 = of_party().map(|kept| kept.bytes).sum();
    let what = "bytes of one party's documents, replaced ones included";
    check_bytes(bytes, size, quotas.bytes_per_party, what)?;
    let of_partner = documents::bytes_of_partner(&mut act.tx, &party).await?;
    let what = "bytes of all documents that one partner has uploaded, replaced ones included";
    check_bytes(of_partner, size, quotas.bytes_per_partner, what)
}

/// Whether a version may be proposed whose documents that are not here yet have so many bytes. What all have signed is taken whatever its
/// party keeps by then, so it is counted before.
pub(super) async fn check_awaited(act: &mut Act<'_>, id: ProposalId, parties: usize, size: u64) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    let quotas = act.exchange.quotas;
    let kept = documents::kept(&mut act.tx, id).await?.iter().map(|kept| kept.bytes).sum();
    let limit = quotas.bytes_per_party.saturating_mul(parties as u64);
    check_bytes(kept, size, limit, "bytes of all parties' documents, replaced and announced ones included")?;
    let party: PartnerCode = act.me.id.partner().clone();
    let of_partner = documents::bytes_of_partner(&mut act.tx, &party).await?;
    let what = "bytes of all documents that one partner has uploaded or announces, replaced ones included";
    check_bytes(of_partner, size, quotas.bytes_per_partner, what)
}

/// Refuses what would be more than these bytes together with what there is.
fn check_bytes(present: u64, size: u64, limit: u64, what: &'static str) -> Result<()> {
    if present.saturating_add(size) > limit { Err(Refusal::QuotaReached { what, limit }.into()) } else { Ok(()) }
}

/// Whether another version of a proposal that has so many may be proposed.
pub(super) fn check_versions(act: &Act<'_>, versions: usize) -> Result<()> {
    check(versions as u64, act.exchange.quotas.versions_per_proposal, "versions of one proposal")
}

/// Whether another version of the owner's policies may be proposed now.
pub(super) async fn check_policies(act: &mut Act<'_>, owner: &PolicyOwner) -> Result<()> {
    let since = act.now.checked_sub(SignedDuration::from_hours(24)).expect("the clock stands after 1970");
    let proposed = policies::proposed_since(&mut act.tx, owner, since).await?;
    check(
        proposed,
        act.exchange.quotas.policy_versions_per_day,
        "versions of policies that are proposed within 24 hours",
    )
}
