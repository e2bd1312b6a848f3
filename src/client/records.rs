//! stub
use crate::domain::id::{PartnerCode, ProposalId, Sha256, Slug, VaultId, DocumentId};
use serde::{Deserialize, Serialize};

/// What was sealed on this machine for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    pub proposal: ProposalId,
    pub slot: Slug,
    pub party: Option<PartnerCode>,
    pub vault: VaultId,
    pub recipient: String,
    pub sha256: Sha256,
    pub size: u64,
    pub media_type: String,
    pub idempotency_key: String,
    /// Name of the sealed file; gone once the exchange has it.
    pub sealed: Option<String>,
    /// The document as the exchange knows it, once uploaded.
    pub document: Option<DocumentId>,
}
