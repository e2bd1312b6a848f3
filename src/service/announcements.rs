//! Signed bytes that are not uploaded yet count towards the quota at once, so colleagues' uploads cannot block them. They count for each
//! nation that may upload them, from its signature until they have arrived.

use super::{
    Result, quotas,
    state::ProposalState,
    unit::Act,
    versions::{held, missing, of_version},
};
use crate::{
    domain::id::{PartnerCode, ProposalId, Sha256, Slug},
    policy::Permit,
    sealing::statement::{Manifest, ManifestDocument},
    storage::{
        Tx,
        announced::{self, AnnouncedBytes, Announcement},
        proposals::{self, SignatureRow},
    },
};
use std::collections::BTreeMap;

/// Whether the caller's partner has room for what it would still have to send once the caller has signed the version.
pub(super) async fn check(act: &mut Act<'_>, proposal: &ProposalState, manifest: &Manifest) -> Result<()> {
    let (id, me) = (proposal.row.id, act.me.id.clone());
    let mut rest = missing_of(&mut act.tx, id, manifest).await?;
    // What the committed version waits for still may come, too.
    rest.extend(missing_of_committed(&mut act.tx, proposal).await?);
    let then = to_send(&rest, me.partner());
    let AnnouncedBytes { here, elsewhere, elsewhere_by_member } = announced::of_partner(&mut act.tx, &me, id).await?;
    // To sign for less is always possible, for a nation that is past its quota as well.
    if then <= here {
        return Ok(());
    }
    quotas::check_announced(act, elsewhere.saturating_add(then), elsewhere_by_member.saturating_add(then)).await
}

/// Counts again what each party has still to send: of the committed version, and of the newest one if it has signed that. The proposal is as
/// the act has made it.
pub(super) async fn recount(act: &mut Act<'_>, permit: &Permit, proposal: &ProposalState) -> Result<()> {
    let id = proposal.row.id;
    let committed = missing_of_committed(&mut act.tx, proposal).await?;
    let (mut pending, mut signers, mut before) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(version) = proposal.versions.committed() {
        before = proposals::signatures(&mut act.tx, id, version.number).await?;
    }
    if let Some(version) = proposal.versions.pending() {
        let manifest = of_version(&mut act.tx, id, version.number).await?;
        pending = missing_of(&mut act.tx, id, &manifest).await?;
        signers = proposals::signatures(&mut act.tx, id, version.number).await?;
    }
    let of = |partner: &PartnerCode| {
        let signer = |of: &[SignatureRow]| of.iter().find(|row| row.partner == *partner).map(|row| row.member.clone());
        let newest = signer(&signers);
        let bytes = to_send(committed.iter().chain(pending.iter().filter(|_| newest.is_some())), partner);
        let member = newest.or_else(|| signer(&before)).filter(|_| bytes > 0)?;
        Some((partner.clone(), Announcement { member, bytes }))
    };
    let announced: BTreeMap<PartnerCode, Announcement> = proposal.row.parties.keys().filter_map(of).collect();
    Ok(announced::replace(&mut act.tx, permit, id, &announced).await?)
}

/// The same once a document is here, if any was announced.
pub(super) async fn recount_after_upload(act: &mut Act<'_>, permit: &Permit, id: ProposalId) -> Result<()> {
    if !announced::is_awaited(&mut act.tx, id).await? {
        return Ok(());
    }
    let proposal = act.proposal(id).await?;
    recount(act, permit, &proposal).await
}

async fn missing_of_committed(tx: &mut Tx, proposal: &ProposalState) -> Result<Vec<ManifestDocument>> {
    let Some(version) = proposal.versions.committed() else { return Ok(Vec::new()) };
    let manifest = of_version(tx, proposal.row.id, version.number).await?;
    missing_of(tx, proposal.row.id, &manifest).await
}

async fn missing_of(tx: &mut Tx, id: ProposalId, manifest: &Manifest) -> Result<Vec<ManifestDocument>> {
    let held = held(tx, id, manifest).await?;
    Ok(missing(manifest, &held).cloned().collect())
}

/// The bytes of those of these documents that members of the partner may upload, each counted once: what belongs to all parties any of them may
/// send.
fn to_send<'a>(documents: impl IntoIterator<Item = &'a ManifestDocument>, partner: &PartnerCode) -> u64 {
    let theirs = documents.into_iter().filter(|document| document.party.as_ref().is_none_or(|party| party == partner));
    let sizes: BTreeMap<(&Slug, Sha256), u64> =
        theirs.map(|document| ((&document.slot, document.sha256), document.size)).collect();
    sizes.into_values().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(slot: &str, party: Option<&str>, content: &[u8], size: u64) -> ManifestDocument {
        ManifestDocument {
            slot: slot.parse().unwrap(),
            party: party.map(|party| party.parse().unwrap()),
            vault: "vault_00000000000000000000000000".parse().unwrap(),
            recipient: String::new(),
            sha256: Sha256::of(content),
            size,
            media_type: "application/pdf".into(),
        }
    }

    #[test]
    fn party_has_to_send_its_own_documents_and_those_of_all_each_once() {
        let documents = [
            document("plan", None, b"plan", 1),
            document("owners", Some("ISR"), b"theirs", 10),
            document("owners", Some("USA"), b"ours", 100),
            // Two versions name it.
            document("plan", None, b"plan", 1),
            document("plan", None, b"another plan", 1000),
        ];
        assert_eq!(to_send(&documents, &"ISR".parse().unwrap()), 1011);
        assert_eq!(to_send(&documents, &"USA".parse().unwrap()), 1101);
    }
}
