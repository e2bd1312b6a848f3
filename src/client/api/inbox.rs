//! The routes of what waits: for the caller, and, for a relay, how much for each member of its nation.

use super::{ApiClient, Paging, Result};
use crate::wire::inbox::{Inbox, Waiting, WaitingPage};

impl ApiClient {
    /// What waits for the caller.
    pub async fn inbox(&self) -> Result<Inbox> {
        self.read("/v1/inbox").await
    }

    /// How much waits for each member of the caller's nation, page after page; for its relay.
    pub async fn waiting(&self) -> Result<Vec<Waiting>> {
        self.all("/v1/waiting", &[]).await
    }

    /// One page of the same.
    pub async fn waiting_page(&self, paging: &Paging) -> Result<WaitingPage> {
        self.page("/v1/waiting", &[], paging).await
    }
}
