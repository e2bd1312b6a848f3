//! Files as people have them, and as an attacker would make them; none is read as a whole.

use super::*;
use proptest::prelude::*;
use std::io::Cursor;

const ODT: &str = "application/vnd.oasis.opendocument.text";

fn faults(content: &[u8], media_type: &str) -> Vec<FileFault> {
    inspect(&mut Cursor::new(content), content.len() as u64, media_type).unwrap()
}

/// An archive with these parts, stored as they are; `flags` of each as in the list.
fn zip(parts: &[(&str, &[u8])], flags: u16) -> Vec<u8> {
    let (mut archive, mut list) = (Vec::new(), Vec::new());
    for (name, content) in parts {
        let (at, size, name_size) = (
            u32::try_from(archive.len()).unwrap(),
            u32::try_from(content.len()).unwrap(),
            u16::try_from(name.len()).unwrap(),
        );
        let common = |bytes: &mut Vec<u8>| {
            bytes.extend([20, 0]);
            bytes.extend(flags.to_le_bytes());
            bytes.extend([0; 10]);
            bytes.extend(size.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend(name_size.to_le_bytes());
            bytes.extend([0; 2]);
        };
        archive.extend(b"PK\x03\x04");
        common(&mut archive);
        archive.extend(name.as_bytes());
        archive.extend(*content);
        list.extend(b"PK\x01\x02\x14\x00");
        common(&mut list);
        list.extend([0; 10]);
        list.extend(at.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let count = u16::try_from(parts.len()).unwrap().to_le_bytes();
    let from = u32::try_from(archive.len()).unwrap();
    archive.extend(&list);
    archive.extend(b"PK\x05\x06\x00\x00\x00\x00");
    archive.extend(count);
    archive.extend(count);
    archive.extend(u32::try_from(list.len()).unwrap().to_le_bytes());
    archive.extend(from.to_le_bytes());
    archive.extend([0; 2]);
    archive
}

fn pdf(trailer: &str) -> Vec<u8> {
    let body = format!("%PDF-1.7\n{}\n", "1 0 obj << /Length 9 >> endobj\n".repeat(2000));
    format!("{body}xref\n0 1\n{trailer}\nstartxref\n{}\n%%EOF\n", body.len()).into_bytes()
}

#[test]
fn empty_file_is_found_whatever_its_type() {
    for media_type in ["application/pdf", DOCX, "text/csv", "application/octet-stream"] {
        assert_eq!(faults(b"", media_type), [FileFault::Empty], "{media_type}");
    }
    assert!(faults(b"\0", "application/octet-stream").is_empty());
}

#[test]
fn pdf_without_its_end_is_found() {
    let whole = pdf("trailer << /Size 1 /Root 1 0 R >>");
    assert!(faults(&whole, "application/pdf").is_empty());
    for cut in [9, 1000, whole.len() - 8] {
        assert_eq!(faults(&whole[..cut], "application/pdf"), [FileFault::BreaksOff("PDF")], "{cut}");
    }
    // A mail program puts a line behind it.
    assert!(faults(&[&whole[..], b"\r\n\r\n--boundary--"].concat(), "application/pdf").is_empty());
}

#[test]
fn pdf_with_a_password_is_found_by_table_and_by_stream() {
    let by_table = pdf("trailer << /Size 1 /Encrypt 4 0 R /Root 1 0 R >>");
    assert_eq!(faults(&by_table, "application/pdf"), [FileFault::Encrypted("PDF")]);
    // The last table of a file made for the web is at its beginning, and its trailer with it.
    let head = "%PDF-1.7\n";
    let table = "xref\n0 1\ntrailer << /Size 1 /Encrypt 4 0 R >>\nstartxref\n0\n%%EOF\n";
    let linear = format!("{head}{table}{}\nstartxref\n{}\n%%EOF\n", "filler ".repeat(10_000), head.len());
    assert_eq!(faults(linear.as_bytes(), "application/pdf"), [FileFault::Encrypted("PDF")]);
    let stream = |entry: &str| {
        let object = format!("7 0 obj << /Type /XRef {entry} /Size 8 >> stream\n/Encrypt \0\u{1}endstream endobj\n");
        let before = format!("%PDF-1.7\n{}", "filler ".repeat(5000));
        format!("{before}{object}{}startxref\n{}\n%%EOF", "x".repeat(20_000), before.len()).into_bytes()
    };
    assert_eq!(faults(&stream("/Encrypt 4 0 R"), "application/pdf"), [FileFault::Encrypted("PDF")]);
    assert!(faults(&stream("/EncryptMetadata true"), "application/pdf").is_empty(), "a name that only begins so");
    // A number that leads nowhere is not followed.
    assert!(faults(b"%PDF-1.7\nstartxref\n99999999999\n%%EOF", "application/pdf").is_empty());
}

#[test]
fn office_file_is_one_of_its_kind_and_has_no_macros() {
    let word: &[(&str, &[u8])] = &[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w/>")];
    assert!(faults(&zip(word, 0), DOCX).is_empty());
    assert_eq!(faults(&zip(word, 0), XLSX), [FileFault::OtherArchive("Excel workbook")]);
    let plain: &[(&str, &[u8])] = &[("plan.pdf", b"%PDF-")];
    assert_eq!(faults(&zip(plain, 0), DOCX), [FileFault::OtherArchive("Word document")]);
    let with_macros = [word, &[("word\\VbaProject.bin", b"x")]].concat();
    assert_eq!(faults(&zip(&with_macros, 0), DOCX), [FileFault::Macros]);
    assert_eq!(faults(&zip(word, 0)[..80], DOCX), [FileFault::BreaksOff("Word document")]);
    assert_eq!(faults(&zip(word, 1), DOCX), [FileFault::Encrypted("Word document")]);
}

#[test]
fn open_document_begins_with_its_media_type() {
    let odt: &[(&str, &[u8])] = &[("mimetype", ODT.as_bytes()), ("content.xml", b"<o/>")];
    assert!(faults(&zip(odt, 0), ODT).is_empty());
    assert_eq!(faults(&zip(&odt[1..], 0), ODT), [FileFault::OtherArchive("text document")]);
    let with_macros = [odt, &[("Basic/Standard/Module1.xml", b"x")]].concat();
    assert_eq!(faults(&zip(&with_macros, 0), ODT), [FileFault::Macros]);
}

#[test]
fn archive_with_a_password_or_without_its_end_is_found() {
    let parts: &[(&str, &[u8])] = &[("data.csv", b"a,b")];
    assert!(faults(&zip(parts, 0), "application/zip").is_empty());
    assert!(faults(&zip(&[], 0), "application/zip").is_empty());
    assert_eq!(faults(&zip(parts, 1), "application/zip"), [FileFault::Encrypted("zip archive")]);
    assert_eq!(faults(&zip(parts, 0)[..30], "application/zip"), [FileFault::BreaksOff("zip archive")]);
}

#[test]
fn hostile_list_of_parts_is_not_believed() {
    let parts: &[(&str, &[u8])] = &[("data.csv", b"a,b")];
    let whole = zip(parts, 0);
    let end = whole.len() - 22;
    for (at, bytes) in [
        // Longer than the file, beyond its end, elsewhere, and by a record that is not there.
        (end + 12, [0, 0, 0, 0x7f]),
        (end + 16, [0xff, 0xff, 0, 0]),
        (end + 16, [1, 0, 0, 0]),
        (end + 12, [0xff; 4]),
        (end + 16, [0xff; 4]),
    ] {
        let mut broken = whole.clone();
        broken[at..at + 4].copy_from_slice(&bytes);
        assert_eq!(faults(&broken, "application/zip"), [FileFault::Unreadable], "{at} {bytes:?}");
    }
}

#[test]
fn image_ends_with_its_mark() {
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 5000], b"\0\0\0\0IEND\xaeB`\x82"].concat();
    assert!(faults(&png, "image/png").is_empty());
    assert_eq!(faults(&png[..4000], "image/png"), [FileFault::BreaksOff("PNG image")]);
    assert_eq!(faults(&[0xff, 0xd8, 0xff, 0, 0], "image/jpeg"), [FileFault::BreaksOff("JPEG image")]);
}

/// Counts what is read.
struct Counting<R>(R, u64);

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1 += count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for Counting<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn large_file_is_not_read_as_a_whole() {
    let large = vec![b' '; 64 << 20];
    for media_type in ["application/pdf", DOCX, ODT, "application/zip", "image/png"] {
        let mut counting = Counting(Cursor::new(&large), 0);
        inspect(&mut counting, large.len() as u64, media_type).unwrap();
        assert!(counting.1 < 3 << 20, "{media_type}: {}", counting.1);
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(mut content in proptest::collection::vec(any::<u8>(), 0..400), which in 0_usize..6) {
        let media_type = ["application/pdf", DOCX, ODT, "application/zip", "image/png", "image/jpeg"][which];
        inspect(&mut Cursor::new(&content), content.len() as u64, media_type).unwrap();
        content.extend(zip(&[("a", &content.clone())], 0));
        inspect(&mut Cursor::new(&content), content.len() as u64, media_type).unwrap();
        content.extend(b"startxref\n7\n%%EOF");
        inspect(&mut Cursor::new(&content), content.len() as u64, media_type).unwrap();
    }
}
