//! The routes of partners: which there are, and what the exchange goes by.

use super::{ApiClient, Result};
use crate::{
    domain::id::PartnerCode,
    wire::directory::{Partner, PartnerTrustReport},
};

impl ApiClient {
    pub async fn partners(&self) -> Result<Vec<Partner>> {
        self.all("/v1/partners", &[]).await
    }

    pub async fn partner(&self, code: &PartnerCode) -> Result<Partner> {
        self.read(&format!("/v1/partners/{code}")).await
    }

    /// What the exchange goes by when it judges the certificates of the caller's own partner. The exchange's word.
    pub async fn partner_trust(&self, code: &PartnerCode) -> Result<PartnerTrustReport> {
        self.read(&format!("/v1/partners/{code}/trust")).await
    }
}
