//! What a member looks at before signing: the summary, and the documents that others put in, opened from the very ciphertexts that the
//! signature would name.

use super::{
    Client, ClientError, Result,
    cases::file_name,
    file_names::distinct,
    files,
    opening::OpenedDocument,
    progress::{NoProgress, ProgressListener},
    proposals::Summary,
    signing::{Signing, SigningDocument},
    verified::VersionChoice,
};
use crate::{
    domain::{call::SUMMARY_SLOT, id::Sha256},
    reading,
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// Where a document is opened to that is read at once.
#[derive(Clone, Default)]
struct Opened(Arc<Mutex<Zeroizing<Vec<u8>>>>);

impl Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Client {
    /// The summary that a signature would name; none while this machine alone holds it.
    ///
    /// # Errors
    /// Among others when another one was put in since that was planned.
    pub async fn summary_before_signing(&self, plan: &Signing) -> Result<Option<Summary>> {
        let summary = plan.documents.iter().find(|line| line.document.slot.as_str() == SUMMARY_SLOT);
        let Some(line) = summary.filter(|line| line.uploaded_by.is_some()) else { return Ok(None) };
        let (id, slot, to) = (plan.manifest.proposal, &line.document.slot, Opened::default());
        let opened = self.open_document_to(id, slot, None, choice(plan), to.clone(), Arc::new(NoProgress)).await?;
        check_same(&opened, line.document.sha256)?;
        let text = to.0.lock().unwrap_or_else(PoisonError::into_inner);
        let malformed = |_| ClientError::local("the summary is malformed", "open it as a document instead");
        reading::json(&text).map(Some).map_err(malformed)
    }

    /// Opens what others put in and a signature would name, as far as it is open to the member, into files of a folder; those that are
    /// not for this member are left out.
    pub async fn open_before_signing(
        &self,
        plan: &Signing,
        into: &Path,
        progress: impl Fn(&str) -> Arc<dyn ProgressListener>,
    ) -> Result<Vec<(OpenedDocument, PathBuf)>> {
        fs::create_dir_all(into).map_err(|error| ClientError::io("create", into, &error))?;
        let (mut opened, mut names) = (Vec::new(), Vec::new());
        for line in plan.documents.iter().filter(|line| !line.is_own) {
            let (slot, party) = (&line.document.slot, line.document.party.as_ref());
            let name = distinct(&file_name(slot, party, &line.document.media_type), &names);
            let path = into.join(&name);
            let meter = progress(&name);
            names.push(name);
            match self.open_document(plan.manifest.proposal, slot, party, choice(plan), &path, meter).await {
                Ok(document) => {
                    if let Err(error) = check_same(&document, line.document.sha256) {
                        files::remove(&path)?;
                        return Err(error);
                    }
                    opened.push((document, path));
                }
                Err(error) if party.is_some() && error.is_withheld() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(opened)
    }
}

impl Signing {
    /// What others put in.
    pub fn of_others(&self) -> impl Iterator<Item = &SigningDocument> {
        self.documents.iter().filter(|line| !line.is_own)
    }
}

/// Where the documents of a plan are found.
fn choice(plan: &Signing) -> VersionChoice {
    if plan.is_countersignature() { VersionChoice::Number(plan.manifest.version) } else { VersionChoice::Working }
}

fn check_same(opened: &OpenedDocument, planned: Sha256) -> Result<()> {
    if opened.document.sha256 == planned {
        return Ok(());
    }
    let what = format!("slot `{}` holds another file than when it was looked at", opened.document.slot);
    Err(ClientError::unverified(what, "look again: `entente proposal sign`"))
}
