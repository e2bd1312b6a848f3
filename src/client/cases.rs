//! Proposals opened into folders, one each, for reading offline: every document that is open to the member, verified, under names that
//! every system takes.
//!
//! A file that is there is never overwritten, unless it is one that was opened into the folder and is as it was, and the version that stands has another in
//! its place. What was opened is noted in the folder, so that opening again fetches only what changed.

use super::{
    Client, ClientError, Result, blocking,
    file_names::{distinct, safe},
    files,
    progress::ProgressListener,
    titles::Titles,
    verified::VersionChoice,
};
use crate::{
    domain::{
        call::SUMMARY_SLOT,
        id::{PartnerCode, ProposalId, Sha256, Slug},
        reference::Reference,
    },
    sealing::statement::ManifestDocument,
    wire::proposal::Proposal,
};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The note of what was opened into a folder.
const NOTE: &str = ".entente-opened.json";

/// A proposal that was opened into a folder.
#[derive(Debug)]
pub struct OpenedCase {
    pub folder: PathBuf,
    /// The version that stands, which is what was opened.
    pub version: u32,
    pub files: Vec<CaseFile>,
}

/// A document of it.
#[derive(Debug)]
pub struct CaseFile {
    pub slot: Slug,
    pub party: Option<PartnerCode>,
    pub name: String,
    pub state: CaseFileState,
}

/// What became of a document.
#[derive(Debug)]
pub enum CaseFileState {
    /// It was opened, into so many bytes.
    Opened(u64),
    /// It is there from before, as it was opened.
    Unchanged,
    /// Another file, or an edited one, has its name, and stays.
    Kept,
    /// It is not for this member: why.
    Closed(String),
    Failed(ClientError),
}

/// How a caller hears of the progress of a file, by its name.
pub type CaseProgress<'p> = &'p (dyn Fn(&str) -> Arc<dyn ProgressListener> + Sync);

/// What was opened into a folder, by the name of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct OpenedNote {
    files: BTreeMap<String, NotedFile>,
}

/// A file as it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NotedFile {
    /// Of the ciphertext, as the parties signed it.
    sealed: Sha256,
    /// Of what was opened.
    opened: Sha256,
}

/// What is there under the name of a document.
enum Present {
    Nothing,
    /// As it was opened, of this very ciphertext.
    Same,
    /// As it was opened, of an earlier one.
    Earlier,
    /// Nothing was noted of it: the note is gone, or it is somebody's own.
    Unknown,
    /// Somebody edited it, or it is no file.
    Edited,
}

impl Client {
    /// Opens the version of a proposal that stands into a folder of its own below `into`, which is named by its reference and title.
    ///
    /// # Errors
    /// When the version does not verify, or its folder cannot be made. What is wrong with one document is said beside it.
    pub async fn open_case(
        &self,
        proposal: &Proposal,
        titles: &Titles,
        into: &Path,
        progress: CaseProgress<'_>,
    ) -> Result<OpenedCase> {
        let verified = self.manifest(proposal.id, VersionChoice::Standing).await?;
        if verified.manifest.reference != proposal.reference {
            return Err(super::verify::invalid(
                "the exchange lists the proposal under another reference than was signed",
            ));
        }
        let folder = folder_of(into, &proposal.reference, titles.title(proposal.id))?;
        fs::create_dir_all(&folder).map_err(|error| ClientError::io("create", &folder, &error))?;
        let mut note = read_note(&folder);
        let (mut found, mut names) = (Vec::new(), Vec::new());
        for document in &verified.manifest.documents {
            let name = distinct(&file_name(&document.slot, document.party.as_ref(), &document.media_type), &names);
            names.push(name.clone());
            let state = self.open_into(proposal.id, document, &folder.join(&name), &mut note, progress(&name)).await;
            let state = match state {
                Ok(state) => state,
                Err(error) if document.party.is_some() && error.is_withheld() => {
                    CaseFileState::Closed(error.to_string())
                }
                Err(error) => CaseFileState::Failed(error),
            };
            let ManifestDocument { slot, party, .. } = document;
            found.push(CaseFile { slot: slot.clone(), party: party.clone(), name, state });
        }
        Ok(OpenedCase { folder, version: verified.manifest.version, files: found })
    }

    async fn open_into(
        &self,
        id: ProposalId,
        document: &ManifestDocument,
        path: &Path,
        note: &mut OpenedNote,
        progress: Arc<dyn ProgressListener>,
    ) -> Result<CaseFileState> {
        let (name, folder) = parts(path);
        let noted = note.files.get(&name).cloned();
        let (there, sealed) = (path.to_owned(), document.sha256);
        let present = blocking(move || present(&there, noted.as_ref(), sealed)).await?;
        // Beside it first: until the next one is whole and verified, what is there stays.
        let target = match present {
            Present::Same => return Ok(CaseFileState::Unchanged),
            Present::Edited => return Ok(CaseFileState::Kept),
            Present::Nothing => path.to_owned(),
            Present::Earlier | Present::Unknown => folder.join(format!(".{name}.next")),
        };
        if target != path {
            files::remove(&target)?;
        }
        let (slot, party) = (&document.slot, document.party.as_ref());
        let opened = self.open_document(id, slot, party, VersionChoice::Standing, &target, progress).await?;
        if opened.document.sha256 != document.sha256 {
            files::remove(&target)?;
            return Err(ClientError::unverified(
                "the version that stands changed while it was opened",
                "run the same command again",
            ));
        }
        let (there, new) = (path.to_owned(), target.clone());
        let is_compared = matches!(present, Present::Unknown);
        let (opened_sha256, is_same) = blocking(move || {
            let opened = digest(&new)?;
            Ok((opened, is_compared && digest(&there)? == opened))
        })
        .await?;
        if is_compared {
            files::remove(&target)?;
            if !is_same {
                return Ok(CaseFileState::Kept);
            }
        } else if target != path {
            fs::rename(&target, path).map_err(|error| ClientError::io("write", path, &error))?;
        }
        note.files.insert(name, NotedFile { sealed, opened: opened_sha256 });
        write_note(&folder, note)?;
        if is_same {
            return Ok(CaseFileState::Unchanged);
        }
        Ok(CaseFileState::Opened(opened.size))
    }
}

/// A name made of the slot, never of anything that another nation wrote.
#[must_use]
pub fn file_name(slot: &Slug, party: Option<&PartnerCode>, media_type: &str) -> String {
    let party = party.map(|party| format!("-{party}")).unwrap_or_default();
    let kind = if slot.as_str() == SUMMARY_SLOT { "json" } else { extension(media_type) };
    safe(&format!("{slot}{party}.{kind}"))
}

fn extension(media_type: &str) -> &'static str {
    match media_type {
        "application/pdf" => "pdf",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => "pptx",
        "application/vnd.oasis.opendocument.text" => "odt",
        "application/zip" => "zip",
        "application/json" => "json",
        "text/plain" => "txt",
        "text/csv" => "csv",
        "text/markdown" => "md",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        _ => "bin",
    }
}

/// The folder of a proposal: the one that begins with its reference, or else a new one with its title.
fn folder_of(into: &Path, reference: &Reference, title: Option<&str>) -> Result<PathBuf> {
    let reference = reference.to_string();
    let entries = match fs::read_dir(into) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries.map_err(|error| ClientError::io("read", into, &error))?),
    };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let names = entries.into_iter().flatten().filter_map(io::Result::ok).filter(is_folder);
    let mut there: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.strip_prefix(&reference).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
        .collect();
    there.sort();
    let new = || title.map_or_else(|| reference.clone(), |title| safe(&format!("{reference} {title}")));
    Ok(into.join(there.into_iter().next().unwrap_or_else(new)))
}

fn present(path: &Path, noted: Option<&NotedFile>, sealed: Sha256) -> Result<Present> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Present::Nothing),
        Err(error) => return Err(ClientError::io("read", path, &error)),
        // A link or a folder is somebody's own.
        Ok(metadata) if !metadata.is_file() => return Ok(Present::Edited),
        Ok(_) => {}
    }
    let Some(noted) = noted else { return Ok(Present::Unknown) };
    Ok(match (digest(path)? == noted.opened, noted.sealed == sealed) {
        (true, true) => Present::Same,
        (true, false) => Present::Earlier,
        (false, _) => Present::Edited,
    })
}

fn digest(path: &Path) -> Result<Sha256> {
    let read = || -> io::Result<Sha256> {
        let (mut file, mut digest, mut piece) = (fs::File::open(path)?, Context::new(&SHA256), vec![0; 1 << 16]);
        loop {
            let count = file.read(&mut piece)?;
            if count == 0 {
                return Ok(Sha256::from_bytes(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")));
            }
            digest.update(&piece[..count]);
        }
    };
    read().map_err(|error| ClientError::io("read", path, &error))
}

/// What was noted; nothing where the note is damaged: files of which nothing is known stay.
fn read_note(folder: &Path) -> OpenedNote {
    let bytes = files::read(&folder.join(NOTE)).ok().flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn write_note(folder: &Path, note: &OpenedNote) -> Result<()> {
    let text = serde_json::to_vec_pretty(note).expect("names and digests are text");
    files::write(&folder.join(NOTE), &text)
}

/// The name of a file and its folder.
fn parts(path: &Path) -> (String, PathBuf) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    (name, path.parent().unwrap_or(Path::new(".")).to_owned())
}
