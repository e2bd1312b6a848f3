//! What is wrong with a file before it is sealed: afterwards nobody can look before the deadline has passed, and a reviewer finds a file
//! that does not open when it is too late.
//!
//! It looks at the beginning, the end and lists of parts, never at the whole, and never unpacks anything: what is looked at of a hostile file is
//! bounded. What it finds nothing wrong with may still be wrong.

mod archive;
mod pdf;

use super::{
    Client, ClientError, Result, blocking,
    media::{self, DOCX, PPTX, SNIFFED, XLSX},
};
use crate::domain::{
    call::SUMMARY_SLOT,
    id::{ProposalId, Slug},
};
use archive::{Archive, ListedPart};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// Something that is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    Empty,
    /// Its end is missing, as after a download that broke off.
    BreaksOff(&'static str),
    /// It opens with a password alone.
    Encrypted(&'static str),
    /// It is a zip archive of something else.
    OtherArchive(&'static str),
    /// It has macros.
    Macros,
    /// Its list of parts is longer than anybody's document has, or contradicts itself.
    Unreadable,
}

impl FileFault {
    /// What is wrong, as a sentence goes on after the name of the file.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::Empty => "is empty".to_owned(),
            Self::BreaksOff(kind) => format!("breaks off: the end of a {kind} is missing"),
            Self::Encrypted(kind) => {
                format!("is a {kind} that opens with a password alone; those who review it have none")
            }
            Self::OtherArchive(kind) => format!("is a zip archive, but not a {kind}"),
            Self::Macros => "has macros, which those who review it may not be allowed to open".to_owned(),
            Self::Unreadable => "has a list of parts that cannot be read".to_owned(),
        }
    }
}

impl Client {
    /// What is wrong with a file that is to go into a slot. The media type follows from the name unless one is given.
    ///
    /// # Errors
    /// Among others when the slot does not take such a file, or its first bytes are another kind's: that is refused in any case.
    pub async fn inspect_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        file: &Path,
        media_type: Option<&str>,
    ) -> Result<Vec<FileFault>> {
        if slot.as_str() == SUMMARY_SLOT {
            return Ok(Vec::new());
        }
        let proposal = self.api().proposal(id).await?;
        let slot = self.call(proposal.call).await?.rules.slot(slot)?;
        let (file, media_type) = (file.to_owned(), media_type.map(str::to_owned));
        blocking(move || {
            let failed = |error: io::Error| ClientError::io("read", &file, &error);
            let mut content = File::open(&file).map_err(failed)?;
            let length = content.metadata().map_err(failed)?.len();
            if length == 0 {
                return Ok(vec![FileFault::Empty]);
            }
            let mut head = Vec::with_capacity(SNIFFED);
            content.by_ref().take(SNIFFED as u64).read_to_end(&mut head).map_err(failed)?;
            let media_type = media::decide(&slot, &file, &head, media_type.as_deref())?;
            inspect(&mut content, length, &media_type).map_err(failed)
        })
        .await
    }
}

/// What is wrong with a file of this type and length. Types that are not known here have no faults but one.
pub fn inspect(content: &mut (impl Read + Seek), length: u64, media_type: &str) -> io::Result<Vec<FileFault>> {
    if length == 0 {
        return Ok(vec![FileFault::Empty]);
    }
    match media_type {
        "application/pdf" => pdf::faults(content, length),
        DOCX => office(content, length, ("Word document", "word/")),
        XLSX => office(content, length, ("Excel workbook", "xl/")),
        PPTX => office(content, length, ("PowerPoint presentation", "ppt/")),
        "application/vnd.oasis.opendocument.text" => open_document(content, length, ("text document", media_type)),
        "application/vnd.oasis.opendocument.spreadsheet" => open_document(content, length, ("spreadsheet", media_type)),
        "application/zip" => {
            let archive = archive::read(content, length)?;
            Ok(archive_faults(&archive, "zip archive").into_iter().collect())
        }
        "image/png" => ends(content, length, b"IEND", "PNG image"),
        "image/jpeg" => ends(content, length, &[0xff, 0xd9], "JPEG image"),
        _ => Ok(Vec::new()),
    }
}

/// Bytes of a file from a place on, at most so many.
fn piece(content: &mut (impl Read + Seek), from: u64, most: usize) -> io::Result<Vec<u8>> {
    content.seek(SeekFrom::Start(from))?;
    let mut piece = Vec::with_capacity(most.min(1 << 16));
    content.take(most as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

/// The last bytes of a file, at most so many.
fn tail(content: &mut (impl Read + Seek), length: u64, most: usize) -> io::Result<Vec<u8>> {
    piece(content, length.saturating_sub(most as u64), most)
}

/// Where a word is found last.
fn last_of(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).rposition(|window| window == word)
}

/// An image ends with its mark; cameras put a little behind it.
fn ends(content: &mut (impl Read + Seek), length: u64, mark: &[u8], kind: &'static str) -> io::Result<Vec<FileFault>> {
    let end = tail(content, length, 4096)?;
    Ok(if last_of(&end, mark).is_some() { Vec::new() } else { vec![FileFault::BreaksOff(kind)] })
}

fn archive_faults(archive: &Archive, kind: &'static str) -> Option<FileFault> {
    match archive {
        Archive::NoEnd => Some(FileFault::BreaksOff(kind)),
        Archive::Unreadable => Some(FileFault::Unreadable),
        Archive::Parts(parts) => parts.iter().any(|part| part.is_encrypted).then_some(FileFault::Encrypted(kind)),
    }
}

fn office(
    content: &mut (impl Read + Seek),
    length: u64,
    (kind, folder): (&'static str, &str),
) -> io::Result<Vec<FileFault>> {
    let archive = archive::read(content, length)?;
    let Archive::Parts(parts) = &archive else { return Ok(archive_faults(&archive, kind).into_iter().collect()) };
    let mut faults: Vec<FileFault> = archive_faults(&archive, kind).into_iter().collect();
    let has = |is: &dyn Fn(&str) -> bool| parts.iter().any(|ListedPart { name, .. }| is(&name.to_lowercase()));
    if !has(&|name| name == "[content_types].xml") || !has(&|name| name.starts_with(folder)) {
        faults.push(FileFault::OtherArchive(kind));
    }
    if has(&|name| name.ends_with("vbaproject.bin") || name.contains("/macrosheets/")) {
        faults.push(FileFault::Macros);
    }
    Ok(faults)
}

/// Its first part is its media type, as it is.
fn open_document(
    content: &mut (impl Read + Seek),
    length: u64,
    (kind, media_type): (&'static str, &str),
) -> io::Result<Vec<FileFault>> {
    let archive = archive::read(content, length)?;
    let Archive::Parts(parts) = &archive else { return Ok(archive_faults(&archive, kind).into_iter().collect()) };
    let mut faults: Vec<FileFault> = archive_faults(&archive, kind).into_iter().collect();
    let head = piece(content, 0, 256)?;
    let is_it = head.get(30..).is_some_and(|after| {
        after.strip_prefix(b"mimetype").is_some_and(|rest| rest.starts_with(media_type.as_bytes()))
    });
    if !is_it {
        faults.push(FileFault::OtherArchive(kind));
    }
    if parts.iter().any(|part| part.name.starts_with("Basic/") || part.name.starts_with("Scripts/")) {
        faults.push(FileFault::Macros);
    }
    Ok(faults)
}

#[cfg(test)]
mod tests;
