//! The versions that parties signed: the manifest of each, and which of the documents that it names are here.

use super::{Result, state::ProposalState};
use crate::{
    domain::id::ProposalId,
    sealing::statement::{Manifest, ManifestDocument},
    storage::{
        StoreError, Tx,
        documents::{self, DocumentRow},
        proposals,
    },
};
use std::collections::BTreeMap;

/// The manifest of a version.
pub(super) async fn of_version(tx: &mut Tx, id: ProposalId, version: u32) -> Result<Manifest> {
    let body = proposals::manifest_body(tx, id, version).await?.unwrap_or_default();
    let damaged = || StoreError::Corrupt { place: "body".into(), expected: "a manifest".into() };
    Ok(serde_json::from_str(&body).map_err(|_| damaged())?)
}

/// The manifest of the version that stands.
pub(super) async fn standing(tx: &mut Tx, proposal: &ProposalState) -> Result<Option<Manifest>> {
    match proposal.standing() {
        Some(version) => Ok(Some(of_version(tx, proposal.row.id, version.number).await?)),
        None => Ok(None),
    }
}

/// Whether a manifest names a stored document.
pub(super) fn names(manifest: &Manifest, row: &DocumentRow) -> bool {
    manifest.document(&row.slot, row.party.as_ref()).is_some_and(|document| document.sha256 == row.sha256)
}

/// The stored documents that a manifest names: of several with the same bytes the newest that is not damaged.
pub(super) async fn held(tx: &mut Tx, id: ProposalId, manifest: &Manifest) -> Result<Vec<DocumentRow>> {
    let digests: Vec<_> = manifest.documents.iter().map(|document| document.sha256).collect();
    let mut rows = documents::with_digests(tx, id, &digests).await?;
    rows.retain(|row| names(manifest, row));
    // The last of a place counts.
    rows.sort_by_key(|row| (!row.is_damaged, row.id));
    let best: BTreeMap<_, _> = rows.into_iter().map(|row| ((row.slot.clone(), row.party.clone()), row)).collect();
    let mut best: Vec<_> = best.into_values().collect();
    best.sort_by_key(|row| row.id);
    Ok(best)
}

/// The documents of a manifest whose bytes are not here.
pub(super) fn missing<'a>(
    manifest: &'a Manifest,
    held: &'a [DocumentRow],
) -> impl Iterator<Item = &'a ManifestDocument> {
    manifest.documents.iter().filter(|document| {
        !held
            .iter()
            .any(|row| row.slot == document.slot && row.party == document.party && row.sha256 == document.sha256)
    })
}
