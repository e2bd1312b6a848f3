//! The list of parts at the end of a zip archive. Nothing is unpacked, and what is read is bounded: a hostile list costs as much as a long one.

use super::{last_of, piece, tail};
use std::io::{self, Read, Seek};

/// What the record at the end begins with, and its least length. A comment of 64 KiB at most may follow it.
const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const MOST_END: usize = END_LENGTH + 0xffff;
/// The same of archives that are larger than 4 GiB, and what leads to it.
const LARGE_END: &[u8] = b"PK\x06\x06";
const LARGE_LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_LENGTH: usize = 20;
/// What each part's line begins with, and its length before the name.
const PART: &[u8] = b"PK\x01\x02";
const PART_LENGTH: usize = 46;
/// The longest list that is read, in bytes.
const MOST_LIST: u64 = 16 << 20;

/// What is known of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Archive {
    /// The record at its end is not there.
    NoEnd,
    /// The list is longer than is read, or is not one.
    Unreadable,
    Parts(Vec<ListedPart>),
}

/// A part, as the list has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListedPart {
    pub(super) name: String,
    pub(super) is_encrypted: bool,
}

/// Reads the list of parts.
pub(super) fn read(content: &mut (impl Read + Seek), length: u64) -> io::Result<Archive> {
    let end = tail(content, length, MOST_END + LOCATOR_LENGTH)?;
    let Some(at) = last_of(&end, END).filter(|at| end.len() - at >= END_LENGTH) else { return Ok(Archive::NoEnd) };
    let record = &end[at..];
    let (mut size, mut from) = (u64::from(u32_at(record, 12)), u64::from(u32_at(record, 16)));
    if size == u64::from(u32::MAX) || from == u64::from(u32::MAX) {
        let locator = at.checked_sub(LOCATOR_LENGTH).map(|at| &end[at..]);
        let Some(locator) = locator.filter(|locator| locator.starts_with(LARGE_LOCATOR)) else {
            return Ok(Archive::Unreadable);
        };
        let large = piece(content, u64_at(locator, 8), 56)?;
        if !large.starts_with(LARGE_END) || large.len() < 56 {
            return Ok(Archive::Unreadable);
        }
        (size, from) = (u64_at(&large, 40), u64_at(&large, 48));
    }
    if size > MOST_LIST || from.checked_add(size).is_none_or(|end| end > length) {
        return Ok(Archive::Unreadable);
    }
    let list = piece(content, from, usize::try_from(size).unwrap_or(0))?;
    Ok(parts(&list).map_or(Archive::Unreadable, Archive::Parts))
}

fn parts(mut list: &[u8]) -> Option<Vec<ListedPart>> {
    let mut parts = Vec::new();
    while !list.is_empty() {
        if !list.starts_with(PART) || list.len() < PART_LENGTH {
            // What a signature of the archive's own begins with, which may follow the parts.
            return list.starts_with(b"PK\x05\x05").then_some(parts);
        }
        let (name, extra, comment) = (u16_at(list, 28), u16_at(list, 30), u16_at(list, 32));
        let bytes = list.get(PART_LENGTH..PART_LENGTH + name)?;
        let name_text = String::from_utf8_lossy(bytes).replace('\\', "/");
        parts.push(ListedPart { name: name_text, is_encrypted: u16_at(list, 8) & 1 == 1 });
        list = list.get(PART_LENGTH + name + extra + comment..)?;
    }
    Some(parts)
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | (u64::from(u32_at(bytes, at + 4)) << 32)
}
