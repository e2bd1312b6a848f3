//! Which media type a file is of: by its name or by what the person says, and only if its first bytes agree and the slot takes it.
//!
//! Without this a reviewer would find an invalid PDF weeks after the deadline; here it is found at once.

use super::{ClientError, Result};
use crate::domain::call::Slot;
use std::path::Path;

/// How many of the first bytes are looked at.
pub const SNIFFED: usize = 4096;

pub(super) const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
pub(super) const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
pub(super) const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
const ANY: &str = "application/octet-stream";

/// Media types by file name extension.
const BY_EXTENSION: &[(&str, &str)] = &[
    ("pdf", "application/pdf"),
    ("docx", DOCX),
    ("xlsx", XLSX),
    ("pptx", PPTX),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("tgz", "application/gzip"),
    ("csv", "text/csv"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("bin", ANY),
    ("dat", ANY),
];

/// The media type under which a file goes into a slot. `head` is its beginning, at most [`SNIFFED`] bytes.
pub fn decide(slot: &Slot, file: &Path, head: &[u8], named: Option<&str>) -> Result<String> {
    let extension = file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    let by_name = extension.as_deref().and_then(|found| BY_EXTENSION.iter().find(|(known, _)| *known == found));
    let by_name = by_name.map(|(_, media_type)| *media_type);
    let wanted = named.or(by_name).filter(|wanted| slot.media_types.contains(*wanted));
    // A slot for any bytes takes any file, whatever its name.
    let any = named.is_none().then_some(ANY).filter(|any| slot.media_types.contains(*any));
    let Some(media_type) = wanted.or(any) else {
        let given = named.or(by_name).unwrap_or("a file of unknown kind");
        let allowed: Vec<&str> = slot.media_types.iter().map(String::as_str).collect();
        return Err(ClientError::usage(
            format!("slot `{}` takes {}, not {given}", slot.name, allowed.join(", ")),
            "convert the file, or name its type with `--media-type`",
        ));
    };
    if is_plausible(media_type, head) {
        return Ok(media_type.to_owned());
    }
    Err(ClientError::usage(
        format!("`{}` does not begin like a file of type {media_type}", file.display()),
        "open it once to see whether it is what its name says, then convert or rename it",
    ))
}

/// Whether bytes can be the beginning of such a file. Types not known here are plausible.
fn is_plausible(media_type: &str, head: &[u8]) -> bool {
    match media_type {
        // Readers look for the mark in the first kilobyte.
        "application/pdf" => head.windows(5).take(1024).any(|window| window == b"%PDF-"),
        "application/zip" => head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06"),
        DOCX | XLSX | PPTX => head.starts_with(b"PK\x03\x04"),
        _ if media_type.starts_with("application/vnd.oasis.opendocument.") => head.starts_with(b"PK\x03\x04"),
        "application/gzip" => head.starts_with(&[0x1f, 0x8b]),
        "image/png" => head.starts_with(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" => head.starts_with(&[0xff, 0xd8, 0xff]),
        "application/json" => is_text(head) && head.trim_ascii_start().first().is_some_and(|b| b"{[".contains(b)),
        _ if media_type.starts_with("text/") => is_text(head),
        _ => true,
    }
}

/// UTF-8 without control characters that no text has; the end may be cut within a character.
fn is_text(head: &[u8]) -> bool {
    let valid = match str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&head[..error.valid_up_to()]).expect("valid up to there")
        }
        Err(_) => return false,
    };
    !head.is_empty() && !valid.chars().any(|c| c.is_control() && !"\t\n\r\u{c}".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::Audience;

    fn slot(media_types: &[&str]) -> Slot {
        Slot {
            name: "plan".parse().unwrap(),
            title: "Plan".into(),
            required: true,
            media_types: media_types.iter().map(|&media_type| media_type.to_owned()).collect(),
            max_bytes: 1000,
            audience: Audience::Panel,
        }
    }

    fn decided(types: &[&str], file: &str, head: &[u8], named: Option<&str>) -> Option<String> {
        decide(&slot(types), Path::new(file), head, named).ok()
    }

    #[test]
    fn name_bytes_and_slot_must_agree() {
        let pdf = Some("application/pdf".to_owned());
        assert_eq!(decided(&["application/pdf"], "a.PDF", b"\n%PDF-1.7 \xe2\xe3", None), pdf);
        assert_eq!(decided(&["application/pdf"], "a", b"%PDF-1.7", Some("application/pdf")), pdf);
        for (types, file, head, named) in [
            (&["application/pdf"][..], "a.pdf", &b"PK\x03\x04"[..], None),
            (&["application/pdf"], "a.pdf", b"", None),
            (&["application/pdf"], "a.docx", b"PK\x03\x04", None),
            (&["application/pdf"], "a", b"%PDF-1.7", None),
            (&[DOCX], "a.docx", b"\xd0\xcf\x11\xe0 old Word", None),
            (&["text/csv"], "a.csv", b"a,b\n\0\x01", None),
            (&["text/csv"], "a.csv", b"a,b\n\xff\xfe", None),
            (&["application/json"], "a.json", b"name: x", None),
            (&[ANY], "a.pdf", b"%PDF-1.7", Some("application/pdf")),
        ] {
            assert_eq!(decided(types, file, head, named), None, "{types:?} {file}");
        }
        assert_eq!(decided(&[DOCX], "a.docx", b"PK\x03\x04", None).as_deref(), Some(DOCX));
        assert_eq!(decided(&["text/csv"], "a.csv", "a,\u{5d0}".as_bytes(), None).as_deref(), Some("text/csv"));
        assert!(decided(&["application/json"], "a.json", b" {\"a\":1}", None).is_some());
    }

    #[test]
    fn character_cut_at_the_end_of_the_look_is_still_text() {
        let text = "\u{5d0}".as_bytes();
        assert!(is_text(&[b"a", &text[..1]].concat()));
    }

    #[test]
    fn slot_for_any_bytes_takes_any_file() {
        for file in ["data.bin", "data.hdf5", "data", "plan.pdf"] {
            assert_eq!(decided(&[ANY], file, &[0, 1, 2], None).as_deref(), Some(ANY), "{file}");
        }
        let both = [ANY, "application/pdf"];
        assert_eq!(decided(&both, "plan.pdf", b"%PDF-", None).as_deref(), Some("application/pdf"));
    }
}
