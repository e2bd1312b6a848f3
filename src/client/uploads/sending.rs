//! Sending what is sealed: a small file at once, a large one from the byte that the exchange has reached, and a new one while it is
//! still being sealed.
//!
//! INVARIANT: the last byte of a file leaves this machine once its record is written and its source was seen not to have changed. So the
//! exchange has no document of this machine's that its records do not know.

use super::sealing::{AT_ONCE, Following, Unsealed};
use crate::{
    client::{
        Client, ClientError, Result,
        progress::ProgressListener,
        records::UploadRecord,
        transport::{GrowingFile, Upload},
    },
    domain::id::{ProposalId, Slug},
    wire::proposal::Document,
};
use std::{path::Path, sync::Arc};
use tokio::sync::watch;

impl Client {
    /// Seals a file and sends it at the same time. Sealing goes on to its end when sending fails, so that nothing is sealed twice.
    pub(super) async fn seal_and_send(&self, new: Unsealed, progress: Arc<dyn ProgressListener>) -> Result<Document> {
        let (proposal, slot, media_type) = new.destination();
        let (following, followed) = Following::begin();
        let upload = following.upload.clone();
        let sending = async {
            let mut sized = followed.clone();
            let size = sized.wait_for(|growing| growing.size.is_some()).await.map(|growing| growing.size);
            // Sealing has ended without one, and says why.
            let Ok(Some(size)) = size else { return Err(ClientError::local("nothing was sealed", "try again")) };
            let path = uploads_of(proposal, &slot);
            let address = self.api().transport().begin_upload(&path, size, &media_type, None).await?;
            upload.note(self.home(), &self.profile().name, &address)?;
            self.api().transport().send_on(&address, Some(0), followed.clone(), &progress).await
        };
        let (sealed, sent) = tokio::join!(self.seal_followed(new, progress.clone(), following), sending);
        match sealed {
            Ok(record) => self.settle(&record, sent).await,
            Err(error) => {
                if let Some(address) = upload.address() {
                    self.api().transport().give_up_upload(&address).await;
                }
                Err(error)
            }
        }
    }

    /// Sends a sealed file, from its beginning or from the byte that the exchange has reached.
    pub(super) async fn send_sealed(
        &self,
        record: &UploadRecord,
        sealed: &Path,
        progress: &Arc<dyn ProgressListener>,
    ) -> Result<Document> {
        if record.size <= AT_ONCE {
            let upload = Upload {
                file: sealed,
                sha256: record.sha256,
                size: record.size,
                media_type: &record.media_type,
                idempotency_key: &record.idempotency_key,
            };
            return self.api().put_document(record.proposal, &record.slot, &upload, progress).await;
        }
        let (path, size) = (sealed.to_owned(), Some(record.size));
        let whole = GrowingFile { path, ready: record.size, size, ..GrowingFile::default() };
        let (_kept, growing) = watch::channel(whole);
        let transport = self.api().transport();
        if let Some(address) = &record.upload {
            match transport.send_on(address, None, growing.clone(), progress).await {
                // It is over, or another file took its place.
                Err(error) if error.is_not_found() => {}
                sent => return sent,
            }
        }
        let path = uploads_of(record.proposal, &record.slot);
        let sha256 = Some(record.sha256);
        let address = transport.begin_upload(&path, record.size, &record.media_type, sha256).await?;
        let noted = address.clone();
        self.home().change_upload(&self.profile().name, record, |now| now.upload = Some(noted))?;
        transport.send_on(&address, Some(0), growing, progress).await
    }
}

fn uploads_of(proposal: ProposalId, slot: &Slug) -> String {
    format!("/v1/proposals/{proposal}/documents/{slot}/uploads")
}
