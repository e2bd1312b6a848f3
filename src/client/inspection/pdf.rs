//! The end of a PDF, and whether it asks for a password: its last trailer says so, in the clear.

use super::{FileFault, last_of, piece, tail};
use std::io::{self, Read, Seek};

const KIND: &str = "PDF";
/// Readers look for the mark of the end in the last kilobyte; some programs put a little more behind it.
const END_WITHIN: usize = 2048;
/// In so many bytes before the end a trailer is looked for that stands there.
const TRAILER_WITHIN: usize = 16 << 10;
/// So much is read from where the trailer or the table before it begins.
const TABLE: usize = 1 << 20;

pub(super) fn faults(content: &mut (impl Read + Seek), length: u64) -> io::Result<Vec<FileFault>> {
    let end = tail(content, length, TRAILER_WITHIN)?;
    let last = &end[end.len().saturating_sub(END_WITHIN)..];
    if last_of(last, b"%%EOF").is_none() {
        return Ok(vec![FileFault::BreaksOff(KIND)]);
    }
    if last_of(&end, b"trailer").is_some_and(|at| names_encryption(&end[at..])) {
        return Ok(vec![FileFault::Encrypted(KIND)]);
    }
    let Some(from) = startxref(&end).filter(|from| *from < length) else { return Ok(Vec::new()) };
    let table = piece(content, from, TABLE)?;
    let is_table = table.trim_ascii_start().starts_with(b"xref");
    // A table has its trailer behind it; a stream has it in its dictionary.
    let trailer = if is_table {
        first_of(&table, b"trailer").map(|at| until(&table[at..], b"startxref"))
    } else {
        Some(until(&table, b"stream"))
    };
    Ok(if trailer.is_some_and(names_encryption) { vec![FileFault::Encrypted(KIND)] } else { Vec::new() })
}

/// Where the last table or stream of references is, by the number before the end.
fn startxref(end: &[u8]) -> Option<u64> {
    const WORD: &[u8] = b"startxref";
    let after = end[last_of(end, WORD)? + WORD.len()..].trim_ascii_start();
    let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&after[..digits]).ok()?.parse().ok()
}

/// Whether a dictionary has the name `/Encrypt`, and not one that only begins so.
fn names_encryption(dictionary: &[u8]) -> bool {
    const NAME: &[u8] = b"/Encrypt";
    let ends = |at: usize| dictionary.get(at + NAME.len()).is_none_or(|next| !next.is_ascii_alphanumeric());
    dictionary.windows(NAME.len()).enumerate().any(|(at, window)| window == NAME && ends(at))
}

fn first_of(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}

fn until<'b>(bytes: &'b [u8], word: &[u8]) -> &'b [u8] {
    &bytes[..first_of(bytes, word).unwrap_or(bytes.len())]
}
