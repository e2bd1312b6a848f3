//! stub
use super::{Client, Result, progress::Progress, proposals::Summary};
use crate::{
    domain::id::{MemberId, PartnerCode, ProposalId, Sha256, Slug},
    sealing::statement::ManifestDocument,
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Which version of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// For a party the version that waits for signatures, if there is one, then the one that stands.
    #[default]
    Newest,
    /// The version that stands.
    Standing,
    Number(u32),
    /// For parties: what is uploaded, signed by nobody yet.
    Working,
}

/// A version whose signatures verified.
#[derive(Debug, Clone)]
pub struct VerifiedManifest {
    pub manifest: crate::sealing::statement::Manifest,
    pub sha256: Sha256,
    pub signed_by: BTreeMap<PartnerCode, MemberId>,
    pub is_standing: bool,
}

/// A document that was opened.
#[derive(Debug, Clone)]
pub struct OpenedDocument {
    pub document: ManifestDocument,
    pub size: u64,
    /** Empty for what nobody signed yet. */
    pub signed_by: BTreeMap<PartnerCode, MemberId>,
}

impl Client {
    /// Verifies a version of a proposal.
    pub async fn manifest(&self, _id: ProposalId, _version: Version) -> Result<VerifiedManifest> {
        todo!()
    }
    /// Opens a document into a new file, only once all is verified.
    pub async fn open_document(
        &self,
        _id: ProposalId,
        _slot: &Slug,
        _party: Option<&PartnerCode>,
        _version: Version,
        _out: &Path,
        _progress: Arc<dyn Progress>,
    ) -> Result<OpenedDocument> {
        todo!()
    }
    /// Fetches the ciphertext of a document as it is, verified against its manifest, into a new file.
    pub async fn download_document(
        &self,
        _id: ProposalId,
        _slot: &Slug,
        _party: Option<&PartnerCode>,
        _version: Version,
        _out: &Path,
        _progress: Arc<dyn Progress>,
    ) -> Result<OpenedDocument> {
        todo!()
    }
    pub async fn read_summary(&self, _id: ProposalId, _version: Version) -> Result<Summary> {
        todo!()
    }
}
