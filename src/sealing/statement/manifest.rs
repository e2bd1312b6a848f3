//! What exactly was handed in, as every party signs it.

use super::{Statement, StatementError, check_version, invalid};
use crate::{
    domain::{
        call::{MAX_DOCUMENTS, MAX_PARTIES, is_media_type},
        id::{CallId, PartnerCode, ProposalId, Sha256, Slug, VaultId},
        label::Label,
        reference::Reference,
    },
    sealing::{canonical::MAX_SAFE_INTEGER, recipient},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A document's place in a proposal and the digest of its ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ManifestDocument {
    /// The slot of the call it fills.
    pub slot: Slug,
    /// The party it belongs to, where each party hands in its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartnerCode>,
    /// The vault it is sealed to.
    pub vault: VaultId,
    /// That vault's age recipient.
    pub recipient: String,
    /// SHA-256 of the ciphertext.
    pub sha256: Sha256,
    /// Length of the ciphertext in bytes.
    pub size: u64,
    /// Media type of the plaintext, such as `application/pdf`.
    pub media_type: String,
}

/// What exactly was handed in; signed by each party. age binds nothing to its place, this does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The call.
    pub call: CallId,
    /// The call text the parties saw.
    pub call_text_sha256: Sha256,
    /// The proposal.
    pub proposal: ProposalId,
    /// What people call the proposal: signed, so that nobody can tell them another one by it.
    pub reference: Reference,
    /// Version of the proposal, from 1.
    pub version: u32,
    /// The partners that own it jointly.
    pub parties: BTreeSet<PartnerCode>,
    /// Its documents, sorted by slot then party, each place once.
    pub documents: Vec<ManifestDocument>,
    /// Whom it is releasable to; without one there is no restriction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
}

impl Manifest {
    /// The manifest with its documents in the order that is signed.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.documents.sort_by(|a, b| (&a.slot, &a.party).cmp(&(&b.slot, &b.party)));
        self
    }

    /// The document in a place, if there is one.
    pub fn document(&self, slot: &Slug, party: Option<&PartnerCode>) -> Option<&ManifestDocument> {
        self.documents.iter().find(|document| document.slot == *slot && document.party.as_ref() == party)
    }
}

impl Statement for Manifest {
    const TYP: &'static str = "entente-manifest+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("version", self.version)?;
        if self.parties.is_empty() || self.parties.len() > MAX_PARTIES {
            return Err(invalid(format_args!("a proposal has 1 to {MAX_PARTIES} parties")));
        }
        if self.documents.is_empty() || self.documents.len() > MAX_DOCUMENTS {
            return Err(invalid(format_args!("a manifest has 1 to {MAX_DOCUMENTS} documents")));
        }
        for pair in self.documents.windows(2) {
            if (&pair[0].slot, &pair[0].party) >= (&pair[1].slot, &pair[1].party) {
                return Err(invalid("documents must be sorted by slot then party, each place once"));
            }
        }
        if let Some(label) = &self.label {
            label.check(&self.parties).map_err(invalid)?;
        }
        let mut vaults = BTreeMap::new();
        for document in &self.documents {
            recipient::check(&document.recipient)?;
            if let Some(party) = document.party.as_ref().filter(|party| !self.parties.contains(party)) {
                return Err(invalid(format_args!(
                    "a document belongs to `{party}`, which is not a party of the proposal"
                )));
            }
            if document.size == 0 || document.size > MAX_SAFE_INTEGER {
                return Err(invalid("the size of a sealed document is 1 to 9007199254740991 bytes"));
            }
            if !is_media_type(&document.media_type) {
                return Err(invalid("a media type looks like `application/pdf`, in lower case and without parameters"));
            }
            if *vaults.entry(&document.vault).or_insert(&document.recipient) != &document.recipient {
                return Err(invalid(format_args!("`{}` is given two recipients", document.vault)));
            }
        }
        Ok(())
    }
}
