//! Distinguishes an age v1 file from anything else, without a key and without the age library.
//!
//! This is all the host can check of what it stores: that the bytes begin with a well-formed header
//! (<https://c2sp.org/age>, stricter than some readers: no legacy stanza bodies), that a stanza for a key of the usual kind has what
//! its holder needs, and that the length fits whole STREAM chunks, so plaintext, armored text and most truncations are refused
//! before they are stored. A file that is sealed to a passphrase is refused too: nobody's key opens it. It never reads a payload
//! byte, never learns what is inside, and cannot promise that the file opens.

use std::mem;

/// The longest header taken, in bytes.
pub const MAX_HEADER_LEN: u64 = 64 * 1024;
/// The most stanzas taken.
pub const MAX_STANZAS: usize = 64;

const VERSION_LINE: &[u8] = b"age-encryption.org/v1\n";
const VERSION_PREFIX: usize = b"age-encryption.org/".len();
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const NONCE: u64 = 16;
const TAG: u64 = 16;
const SEALED_CHUNK: u64 = 64 * 1024 + TAG;

/// Why bytes have not the shape of an age file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// No bytes at all.
    #[error("the file is empty; even an empty document is not empty once sealed")]
    Empty,
    /// Plaintext, most likely.
    #[error("the file is not sealed: it does not begin with the age version line `age-encryption.org/v1`")]
    NotAge,
    /// Text form of an age file.
    #[error("the file is armored (`-----BEGIN AGE ENCRYPTED FILE-----`); send the binary form, made without `--armor`")]
    Armored,
    /// An age file of another version.
    #[error("the file is an age file of an unknown version; wanted `age-encryption.org/v1`")]
    Version,
    /// The header passes [`MAX_HEADER_LEN`].
    #[error("the age header is longer than 64 KiB")]
    HeaderTooLong,
    /// The header has more than [`MAX_STANZAS`].
    #[error("the age header has more than {MAX_STANZAS} recipient stanzas")]
    TooManyStanzas,
    /// Sealed to a passphrase.
    #[error("the file is sealed to a passphrase, which no member's key opens; seal it to a recipient")]
    Passphrase,
    /// A line of the header breaks the format.
    #[error("line {line} of the age header is malformed: {problem}")]
    Header {
        /// Counted from 1.
        line: usize,
        /// What was wanted.
        problem: &'static str,
    },
    /// The file ends where it cannot.
    #[error("the age file is cut short: {0}")]
    Truncated(&'static str),
}

/// How far the check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderProgress {
    /// The header is not complete; push more.
    Header,
    /// The header is well formed; what follows is payload, of which only the length counts.
    Payload,
}

/// What is known of a file that has the shape of an age file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Length of the header in bytes, its last line feed included.
    pub header_len: u64,
    /// Length of the plaintext in bytes; the format does not hide it.
    pub plaintext_len: u64,
}

/// An incremental check of the shape of an age file; holds at most one header line.
#[derive(Debug)]
pub struct HeaderCheck {
    state: HeaderState,
    line: Vec<u8>,
    lines: usize,
    stanzas: usize,
    /// Whether the stanza that is being read is one for an X25519 key.
    is_x25519: bool,
    header_len: u64,
    failed: Option<ShapeError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderState {
    Version,
    Armor,
    StanzaOrEnd,
    Body,
    Payload,
}

/// The length of the age file with a header of this length that holds so much plaintext.
#[must_use]
pub fn sealed_len(header_len: u64, plaintext_len: u64) -> u64 {
    let chunks = plaintext_len.div_ceil(SEALED_CHUNK - TAG).max(1);
    header_len + NONCE + plaintext_len + chunks * TAG
}

impl Default for HeaderCheck {
    fn default() -> Self {
        Self::new()
    }
}

impl HeaderCheck {
    /// A check that has seen nothing.
    pub fn new() -> Self {
        Self {
            state: HeaderState::Version,
            line: Vec::new(),
            lines: 0,
            stanzas: 0,
            is_x25519: false,
            header_len: 0,
            failed: None,
        }
    }

    /// Checks a whole file that lies in memory.
    pub fn check(bytes: &[u8]) -> Result<Shape, ShapeError> {
        let mut check = Self::new();
        check.push(bytes)?;
        check.finish(bytes.len() as u64)
    }

    /// Takes the next bytes of the file, in chunks of any size. Once it has said [`HeaderProgress::Payload`] nothing
    /// more need be pushed; once it has failed it fails for good.
    pub fn push(&mut self, chunk: &[u8]) -> Result<HeaderProgress, ShapeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        for byte in chunk {
            if self.state == HeaderState::Payload {
                break;
            }
            if let Err(error) = self.take(*byte) {
                self.failed = Some(error.clone());
                return Err(error);
            }
        }
        Ok(if self.state == HeaderState::Payload { HeaderProgress::Payload } else { HeaderProgress::Header })
    }

    /// The length of the header in bytes, once it is complete.
    #[must_use]
    pub fn header_len(&self) -> Option<u64> {
        (self.state == HeaderState::Payload && self.failed.is_none()).then_some(self.header_len)
    }

    /// The verdict, given the length of the whole file in bytes.
    pub fn finish(&self, total_len: u64) -> Result<Shape, ShapeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.state {
            HeaderState::Version if total_len == 0 => return Err(ShapeError::Empty),
            HeaderState::Armor => return Err(ShapeError::NotAge),
            HeaderState::Version | HeaderState::StanzaOrEnd | HeaderState::Body => {
                return Err(ShapeError::Truncated("the header is incomplete"));
            }
            HeaderState::Payload => {}
        }
        let payload =
            total_len.checked_sub(self.header_len).ok_or(ShapeError::Truncated("the header is incomplete"))?;
        let chunks = payload.checked_sub(NONCE).ok_or(ShapeError::Truncated("the payload nonce is missing"))?;
        let (whole, last) = (chunks / SEALED_CHUNK, chunks % SEALED_CHUNK);
        let plaintext_len = match (whole, last) {
            (0, 0) => return Err(ShapeError::Truncated("there is no payload chunk")),
            (_, 0) => chunks - whole * TAG,
            // Only an empty file has an empty chunk, and it is the only one then.
            (0, TAG) => 0,
            (_, ..=TAG) => {
                return Err(ShapeError::Truncated("the last payload chunk is shorter than its tag and a byte"));
            }
            (_, _) => chunks - (whole + 1) * TAG,
        };
        Ok(Shape { header_len: self.header_len, plaintext_len })
    }

    fn take(&mut self, byte: u8) -> Result<(), ShapeError> {
        self.header_len += 1;
        if self.header_len > MAX_HEADER_LEN {
            return Err(ShapeError::HeaderTooLong);
        }
        match self.state {
            HeaderState::Version => self.take_version(byte),
            HeaderState::Armor => {
                let at = self.line.len();
                self.line.push(byte);
                match ARMOR.get(at) {
                    Some(wanted) if *wanted == byte && at + 1 == ARMOR.len() => Err(ShapeError::Armored),
                    Some(wanted) if *wanted == byte => Ok(()),
                    _ => Err(ShapeError::NotAge),
                }
            }
            HeaderState::StanzaOrEnd | HeaderState::Body if byte != b'\n' => {
                self.line.push(byte);
                Ok(())
            }
            HeaderState::StanzaOrEnd => {
                let line = mem::take(&mut self.line);
                self.lines += 1;
                self.take_stanza_or_end(&line)
            }
            HeaderState::Body => {
                let line = mem::take(&mut self.line);
                self.lines += 1;
                self.take_body(&line)
            }
            HeaderState::Payload => Ok(()),
        }
    }

    fn take_version(&mut self, byte: u8) -> Result<(), ShapeError> {
        let at = self.line.len();
        if at == 0 && byte == ARMOR[0] {
            self.line.push(byte);
            self.state = HeaderState::Armor;
            return Ok(());
        }
        if VERSION_LINE[at] != byte {
            return Err(if at < VERSION_PREFIX { ShapeError::NotAge } else { ShapeError::Version });
        }
        self.line.push(byte);
        if self.line.len() == VERSION_LINE.len() {
            self.line.clear();
            self.lines = 1;
            self.state = HeaderState::StanzaOrEnd;
        }
        Ok(())
    }

    fn take_stanza_or_end(&mut self, line: &[u8]) -> Result<(), ShapeError> {
        if let Some(mac) = line.strip_prefix(b"--- ") {
            if !is_32_bytes(mac) {
                return Err(self.malformed("wanted `--- ` and 43 base64 characters"));
            }
            if self.stanzas == 0 {
                return Err(self.malformed("there is no recipient stanza before the MAC"));
            }
            self.state = HeaderState::Payload;
            return Ok(());
        }
        let args =
            line.strip_prefix(b"-> ").ok_or_else(|| self.malformed("wanted a stanza `-> ` or the MAC `--- `"))?;
        let is_arg = |arg: &[u8]| !arg.is_empty() && arg.iter().all(u8::is_ascii_graphic);
        if !args.split(|byte| *byte == b' ').all(is_arg) {
            return Err(self.malformed("stanza arguments are visible ASCII, one space apart"));
        }
        self.stanzas += 1;
        if self.stanzas > MAX_STANZAS {
            return Err(ShapeError::TooManyStanzas);
        }
        let mut args = args.split(|byte| *byte == b' ');
        let kind = args.next().unwrap_or_default();
        if kind == b"scrypt" {
            return Err(ShapeError::Passphrase);
        }
        self.is_x25519 = kind == b"X25519";
        if self.is_x25519 && !(args.next().is_some_and(is_32_bytes) && args.next().is_none()) {
            return Err(self.malformed("an X25519 stanza has one argument, 32 bytes in base64"));
        }
        self.state = HeaderState::Body;
        Ok(())
    }

    fn take_body(&mut self, line: &[u8]) -> Result<(), ShapeError> {
        if line.len() > 64 || !is_base64(line) {
            return Err(self.malformed("a stanza body is base64 in lines of 64, ended by a shorter line"));
        }
        if self.is_x25519 && !is_32_bytes(line) {
            return Err(self.malformed("the body of an X25519 stanza is 32 bytes"));
        }
        if line.len() < 64 {
            self.state = HeaderState::StanzaOrEnd;
        }
        Ok(())
    }

    fn malformed(&self, problem: &'static str) -> ShapeError {
        ShapeError::Header { line: self.lines, problem }
    }
}

/// Base64 of 32 bytes: a key's share, a wrapped file key, a MAC.
fn is_32_bytes(text: &[u8]) -> bool {
    text.len() == 43 && is_base64(text)
}

/// Unpadded standard base64 whose unused bits are zero (RFC 4648 section 3.5, as the age format demands).
fn is_base64(text: &[u8]) -> bool {
    let value =
        |byte: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|b| *b == byte);
    let unused = match text.len() % 4 {
        0 => 0,
        1 => return false,
        2 => 0b1111,
        _ => 0b11,
    };
    text.iter().all(|byte| value(*byte).is_some())
        && text.last().is_none_or(|byte| value(*byte).is_some_and(|bits| bits & unused == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header made by hand with one stanza, then `payload` zero bytes.
    fn sample(payload: usize) -> Vec<u8> {
        let word = "A".repeat(43);
        let mut bytes = format!("age-encryption.org/v1\n-> X25519 {word}\n{word}\n--- {word}\n").into_bytes();
        bytes.resize(bytes.len() + payload, 0);
        bytes
    }

    fn header_of(lines: &str) -> Result<Shape, ShapeError> {
        let mut bytes = lines.as_bytes().to_vec();
        bytes.resize(bytes.len() + 32, 0);
        HeaderCheck::check(&bytes)
    }

    fn in_pieces(bytes: &[u8], cuts: &[usize]) -> Result<Shape, ShapeError> {
        let mut check = HeaderCheck::new();
        let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at((*cuts.next().unwrap_or(&1)).clamp(1, rest.len()));
            check.push(piece)?;
            rest = tail;
        }
        check.finish(bytes.len() as u64)
    }

    #[test]
    fn plaintext_is_refused() {
        for text in ["%PDF-1.7", "PK\u{3}\u{4}", "-", "-----BEGIN CERTIFICATE-----", "Age-encryption.org/v1\n"] {
            assert_eq!(HeaderCheck::check(text.as_bytes()), Err(ShapeError::NotAge), "{text}");
        }
        assert!(ShapeError::NotAge.to_string().contains("does not begin with the age version line"));
        assert_eq!(HeaderCheck::check(b""), Err(ShapeError::Empty));
    }

    #[test]
    fn armored_and_other_versions_are_refused_with_their_own_words() {
        let armored = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl";
        assert_eq!(HeaderCheck::check(armored), Err(ShapeError::Armored));
        assert_eq!(HeaderCheck::check(b"age-encryption.org/v2\n"), Err(ShapeError::Version));
        assert_eq!(HeaderCheck::check(b"age-encryption.org/v1\r\n"), Err(ShapeError::Version));
    }

    #[test]
    fn malformed_header_lines_are_refused() {
        let mac = "A".repeat(43);
        let full = "A".repeat(64);
        let line = |header: &str| match header_of(&format!("age-encryption.org/v1\n{header}\n")) {
            Err(ShapeError::Header { line, .. }) => line,
            other => panic!("{header}: {other:?}"),
        };
        assert_eq!(line("hello"), 2);
        assert_eq!(line("->X25519"), 2);
        assert_eq!(line("-> "), 2);
        assert_eq!(line("-> a  b"), 2);
        assert_eq!(line("-> a "), 2);
        assert_eq!(line("-> a\u{e9}"), 2);
        assert_eq!(line(&format!("--- {mac}")), 2, "no stanza");
        assert_eq!(line(&format!("-> a\n{full}A")), 3, "too wide");
        assert_eq!(line(&format!("-> a\n{full}\n--- {mac}")), 4, "no short line at the end of the body");
        assert_eq!(line("-> a\nAA=="), 3, "padding");
        assert_eq!(line("-> a\nAB"), 3, "bits left over");
        assert_eq!(line(&format!("-> a\n\n--- {mac}A")), 4);
        assert_eq!(line(&format!("-> a\n\n--- {}B", "A".repeat(42))), 4, "bits left over");
        assert_eq!(line(&format!("-> a\n\n---  {mac}")), 4);
        assert!(header_of(&format!("age-encryption.org/v1\n-> a b c\n{full}\n\n-> d\nAAA\n--- {mac}\n")).is_ok());
    }

    #[test]
    fn file_sealed_to_a_passphrase_is_refused() {
        let (mac, salt) = ("A".repeat(43), "A".repeat(22));
        for stanzas in ["-> scrypt SALT 18\nMAC\n", "-> scrypt\n\n", "-> a\n\n-> scrypt SALT 18\nMAC\n"] {
            let stanzas = stanzas.replace("SALT", &salt).replace("MAC", &mac);
            let found = header_of(&format!("age-encryption.org/v1\n{stanzas}--- {mac}\n"));
            assert_eq!(found, Err(ShapeError::Passphrase), "{stanzas}");
        }
        assert!(header_of(&format!("age-encryption.org/v1\n-> scryptic\n\n--- {mac}\n")).is_ok());
    }

    #[test]
    fn stanza_that_no_x25519_key_opens_is_refused() {
        let word = "A".repeat(43);
        let stanza = |arguments: &str, body: &str| {
            header_of(&format!("age-encryption.org/v1\n-> X25519{arguments}\n{body}\n--- {word}\n"))
        };
        let share = format!(" {word}");
        assert!(stanza(&share, &word).is_ok());
        let left_over = format!(" {}B", "A".repeat(42));
        for arguments in ["", " abc", &share[..43], &format!("{share}A"), &format!("{share} {word}"), &left_over] {
            assert!(matches!(stanza(arguments, &word), Err(ShapeError::Header { line: 2, .. })), "{arguments}");
        }
        for body in ["", "AAAA", &word[1..], &format!("{word}A"), &format!("{}\n", "A".repeat(64))] {
            assert!(matches!(stanza(&share, body), Err(ShapeError::Header { line: 3, .. })), "{body}");
        }
    }

    #[test]
    fn header_is_bounded() {
        let stanzas = "-> a\n\n".repeat(MAX_STANZAS + 1);
        assert_eq!(header_of(&format!("age-encryption.org/v1\n{stanzas}")), Err(ShapeError::TooManyStanzas));
        let endless = format!("age-encryption.org/v1\n-> {}", "a".repeat(70_000));
        assert_eq!(header_of(&endless), Err(ShapeError::HeaderTooLong));
    }

    #[test]
    fn payload_length_must_be_whole_chunks() {
        let chunk = 65_552;
        for (payload, plaintext) in
            [(32, 0), (33, 1), (16 + chunk, 65_536), (16 + chunk + 17, 65_537), (16 + 2 * chunk, 131_072)]
        {
            assert_eq!(HeaderCheck::check(&sample(payload)).unwrap().plaintext_len, plaintext, "{payload}");
        }
        for payload in [0, 15, 16, 17, 31, 16 + chunk + 1, 16 + chunk + 16] {
            assert!(matches!(HeaderCheck::check(&sample(payload)), Err(ShapeError::Truncated(_))), "{payload}");
        }
    }

    #[test]
    fn file_cut_inside_its_header_is_refused() {
        let whole = sample(32);
        let header = HeaderCheck::check(&whole).unwrap().header_len;
        for len in 1..header {
            let cut = &whole[..usize::try_from(len).unwrap()];
            assert_eq!(HeaderCheck::check(cut), Err(ShapeError::Truncated("the header is incomplete")), "{len}");
        }
    }

    #[cfg(feature = "client")]
    #[test]
    fn real_files_have_the_shape_and_their_truncations_have_not() {
        use crate::sealing::{identity::new_identity, seal::seal_bytes};
        let recipient = [new_identity().recipient().to_owned()];
        for len in [0_usize, 1, 65_535, 65_536, 65_537] {
            let sealed = seal_bytes(&recipient, &vec![7; len]).unwrap();
            let shape = HeaderCheck::check(&sealed).unwrap();
            assert_eq!(shape.plaintext_len, len as u64);
            let header = usize::try_from(shape.header_len).unwrap();
            for cut in [header - 1, header, header + 15, header + 16, header + 31] {
                assert!(matches!(HeaderCheck::check(&sealed[..cut]), Err(ShapeError::Truncated(_))), "{len} at {cut}");
            }
            if len == 65_537 {
                for cut in [sealed.len() - 1, sealed.len() - 16] {
                    assert!(matches!(HeaderCheck::check(&sealed[..cut]), Err(ShapeError::Truncated(_))), "{cut}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_chunking_never_matters(
            noise in prop::collection::vec(any::<u8>(), 0..300),
            keep in 0_usize..200,
            cuts in prop::collection::vec(1_usize..40, 1..6),
        ) {
            let mut damaged = sample(40);
            damaged.truncate(keep);
            damaged.extend_from_slice(&noise);
            for bytes in [noise.as_slice(), damaged.as_slice()] {
                prop_assert_eq!(HeaderCheck::check(bytes), in_pieces(bytes, &cuts));
                prop_assert_eq!(HeaderCheck::check(bytes), in_pieces(bytes, &[1]));
            }
        }

        #[test]
        fn text_like_headers_never_panic_and_chunking_never_matters(
            lines in prop::collection::vec("(-> [a-z]{1,3}( [A-Z]{1,3})?|-> X25519 A{43}|--- A{43}|[A-Z]{0,66}|---.{0,5})", 0..8),
            cuts in prop::collection::vec(1_usize..40, 1..6),
        ) {
            let bytes = format!("age-encryption.org/v1\n{}\n{}", lines.join("\n"), "\0".repeat(32)).into_bytes();
            prop_assert_eq!(HeaderCheck::check(&bytes), in_pieces(&bytes, &cuts));
        }
    }
}
