//! stub
use super::{Client, Result};
use crate::{
    domain::id::{MemberId, ProposalId},
    sealing::statement::{Manifest, ManifestDocument},
    wire::proposal::Proposal,
};

/// What a signature would say, or says.
#[derive(Debug, Clone, PartialEq)]
pub struct Signing {
    pub manifest: Manifest,
    pub documents: Vec<SigningDocument>,
    /** Whether another party proposed this version. */
    pub is_countersignature: bool,
}

/// A document of the manifest and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct SigningDocument {
    pub document: ManifestDocument,
    pub uploaded_by: Option<MemberId>,
    /** Whether it was sealed on this machine, or opened and verified here. */
    pub is_own: bool,
}

impl Client {
    /// What signing would sign now: the version that waits, or the next one from what is uploaded.
    pub async fn plan_signature(&self, _id: ProposalId) -> Result<Signing> {
        todo!()
    }
    /// Signs what was planned.
    pub async fn sign(&self, _plan: &Signing) -> Result<Proposal> {
        todo!()
    }
}
