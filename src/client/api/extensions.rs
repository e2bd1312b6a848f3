//! The routes of a call's extensions.

use super::{ApiClient, Result, Tagged, because};
use crate::{
    domain::id::CallId,
    wire::call::{Call, CallExtension, ExtendCall, Extended},
};
use http::Method;

impl ApiClient {
    /// What an extension would do, and the `ETag` of the call that this was found for.
    pub async fn preview_extension(&self, id: CallId, body: &ExtendCall) -> Result<Tagged<Extended>> {
        let body = ExtendCall { dry_run: true, ..body.clone() };
        self.transport.send(Method::POST, &format!("/v1/calls/{id}/extend"), Some(&body), None).await
    }

    pub async fn extend_call(&self, id: CallId, body: &ExtendCall) -> Result<Extended> {
        self.write(Method::POST, &format!("/v1/calls/{id}/extend"), body).await
    }

    /// The same, unless the call has changed since it had this `ETag`.
    pub async fn extend_call_as_seen(&self, id: CallId, etag: Option<&str>, body: &ExtendCall) -> Result<Extended> {
        let path = format!("/v1/calls/{id}/extend");
        self.transport.send(Method::POST, &path, Some(body), etag).await.map(|tagged| tagged.body)
    }

    /// The extensions in force that the caller may know of.
    pub async fn extensions(&self, id: CallId) -> Result<Vec<CallExtension>> {
        self.all(&format!("/v1/calls/{id}/extensions"), &[]).await
    }

    pub async fn withdraw_extension(&self, id: CallId, number: u32, reason: &str) -> Result<Call> {
        self.write(Method::POST, &format!("/v1/calls/{id}/extensions/{number}/withdraw"), &because(reason)).await
    }
}
