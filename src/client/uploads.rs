//! stub
use super::{Client, Result, progress::Progress, proposals::Summary, records::UploadRecord};
use crate::{
    domain::id::{ProposalId, Slug},
    wire::proposal::Document,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

impl Client {
    /// Seals a file to the vault of its slot and uploads it. The media type follows from the name and the first bytes unless named.
    pub async fn put_document(
        &self,
        _id: ProposalId,
        _slot: &Slug,
        _file: &Path,
        _media_type: Option<&str>,
        _progress: Arc<dyn Progress>,
    ) -> Result<Document> {
        todo!()
    }
    pub async fn put_summary(
        &self,
        _id: ProposalId,
        _summary: &Summary,
        _progress: Arc<dyn Progress>,
    ) -> Result<Document> {
        todo!()
    }
    /// Uploads that were interrupted.
    pub fn interrupted_uploads(&self) -> Result<Vec<UploadRecord>> {
        todo!()
    }
    /// Sends a sealed file again, without sealing anew.
    pub async fn resume_upload(&self, _record: &UploadRecord, _progress: Arc<dyn Progress>) -> Result<Document> {
        todo!()
    }
    /// Forgets an interrupted upload.
    pub fn discard_upload(&self, _record: &UploadRecord) -> Result<()> {
        todo!()
    }
    #[doc(hidden)]
    pub fn unused(&self) -> PathBuf {
        todo!()
    }
}
