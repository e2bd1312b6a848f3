//! Uploads that can be resumed, as a member's own program sends them: request by request.

use super::{census::files, exchange::fresh_key, stage::Stage, world::Raw};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    domain::id::{ProposalId, Sha256},
    sealing::{identity::new_identity, seal::seal_bytes},
    wire::{UPLOAD_MEDIA_TYPE, problem::Problem, proposal::ResumableUpload},
};
use reqwest::{Method, RequestBuilder, Response};

/// A document of about this size, sealed to nobody of this world.
pub(crate) fn sealed(size: usize) -> Vec<u8> {
    seal_bytes(&[new_identity().recipient().to_owned()], &vec![7; size]).unwrap()
}

pub(crate) fn metadata(media_type: &str, sha256: Option<Sha256>) -> String {
    let pair = |name: &str, value: &str| format!("{name} {}", BASE64_STANDARD.encode(value));
    let digest = sha256.map(|sha256| pair("sha256", &sha256.to_string()));
    [pair("media_type", media_type)].into_iter().chain(digest).collect::<Vec<_>>().join(",")
}

/// One member's connection, and the proposal to which they upload.
pub(crate) struct Sender {
    pub(crate) raw: Raw,
    pub(crate) proposal: ProposalId,
}

impl Sender {
    pub(crate) fn new(stage: &Stage, member: &str, proposal: ProposalId) -> Self {
        Self { raw: stage.raw(Some(stage.credential(member))), proposal }
    }

    /// The request that begins one for the annex.
    pub(crate) fn beginning(&self, size: usize, sha256: Option<Sha256>) -> RequestBuilder {
        self.begins("annex", "application/octet-stream", size, sha256)
    }

    pub(crate) fn begins(&self, slot: &str, media_type: &str, size: usize, sha256: Option<Sha256>) -> RequestBuilder {
        let path = format!("/v1/proposals/{}/documents/{slot}/uploads", self.proposal);
        let request = self.raw.request(Method::POST, &path).header("Idempotency-Key", fresh_key());
        let request = request.header("Tus-Resumable", "1.0.0").header("Upload-Length", size);
        request.header("Upload-Metadata", metadata(media_type, sha256))
    }

    pub(crate) async fn begin(&self, size: usize, sha256: Option<Sha256>) -> String {
        address(self.beginning(size, sha256).send().await.unwrap())
    }

    pub(crate) fn appending(&self, path: &str, offset: usize) -> RequestBuilder {
        let request = self.raw.request(Method::PATCH, path).header("Tus-Resumable", "1.0.0");
        request.header("Upload-Offset", offset).header("Content-Type", UPLOAD_MEDIA_TYPE)
    }

    pub(crate) async fn append(&self, path: &str, offset: usize, bytes: &[u8]) -> Response {
        self.appending(path, offset).body(bytes.to_vec()).send().await.unwrap()
    }

    /// The offset that is told.
    pub(crate) async fn offset(&self, path: &str) -> usize {
        let response = self.raw.request(Method::HEAD, path).header("Tus-Resumable", "1.0.0").send().await.unwrap();
        assert_eq!(response.status(), 200);
        offset(&response)
    }

    pub(crate) async fn shown(&self, path: &str) -> ResumableUpload {
        self.raw.request(Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) fn removing(&self, path: &str) -> RequestBuilder {
        self.raw.request(Method::DELETE, path).header("Idempotency-Key", fresh_key()).header("Tus-Resumable", "1.0.0")
    }
}

pub(crate) fn address(begun: Response) -> String {
    assert_eq!((begun.status().as_u16(), &begun.headers()["tus-resumable"]), (201, &"1.0.0".parse().unwrap()));
    assert!(begun.headers().contains_key("upload-expires"));
    begun.headers()["location"].to_str().unwrap().to_owned()
}

pub(crate) fn offset(response: &Response) -> usize {
    assert_eq!(response.headers()["tus-resumable"], "1.0.0");
    response.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
}

pub(crate) async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    (status, response.json::<Problem>().await.unwrap().slug().to_owned())
}

/// How many files of uploads that are not at their end there are.
pub(crate) fn kept(stage: &Stage) -> usize {
    files(&stage.blobs_folder().join("resumable")).len()
}
