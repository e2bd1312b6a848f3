//! What a command and the holder of its keys say to each other: one question and one answer a conversation, each with its length before it.
//!
//! Decides what is too long or too much before it is looked at, on both sides. File keys are not part of the JSON: they follow it as bytes
//! of their own, in buffers that are wiped.

use crate::{
    domain::id::Sha256,
    sealing::{
        held::{FILE_KEY_LEN, FileKeyBytes, HeaderStanza},
        jws::MAX_JWS_LEN,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// The longest question, in bytes: room for the longest statement in base64.
pub const MAX_QUESTION: usize = 2 * MAX_JWS_LEN;
/// The longest answer, in bytes.
pub const MAX_ANSWER: usize = 256 << 10;

/// A question to a holder of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum HolderQuestion {
    /// What is held, and how long.
    Status {},
    /// The file key of a header, by the identities of a file.
    FileKey { file: Sha256, stanzas: Vec<HeaderStanza> },
    /// A signature by the private key.
    Sign { message: Base64Text },
    /// That everything is forgotten at once.
    Lock {},
}

/// What a holder of keys answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum HolderAnswer {
    Status(HolderStatus),
    /// Whether there is a file key; it follows, see [`Reply`].
    FileKey {
        is_found: bool,
    },
    /// The header is damaged.
    Damaged {},
    Signature {
        signature: Base64Text,
    },
    /// Everything is forgotten.
    Locked {},
    /// It was not done.
    Refused {
        reason: String,
    },
}

/// What is held, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderStatus {
    /// The profile whose keys they are.
    pub profile: String,
    /// SHA-256 over the files that the profile's keys are in.
    pub keys: Sha256,
    /// The number of the process.
    pub process: u32,
    /// When they are forgotten at the latest.
    pub until: Timestamp,
    /// When they are forgotten if nothing uses them.
    pub idle_until: Timestamp,
    pub files: Vec<HeldFile>,
    /// What the system did not give to protect them.
    pub missing: Vec<String>,
}

/// A file whose keys are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFile {
    /// Its path, to be shown.
    pub file: String,
    /// SHA-256 of its content, protected as it is on disk. Another content is another key.
    pub sha256: Sha256,
    pub keys: HeldKeys,
}

/// Which keys a file has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HeldKeys {
    /// Identities, with their recipients.
    Identity { recipients: Vec<String> },
    /// The private key of the certificate with this `SubjectPublicKeyInfo`.
    PrivateKey { spki_sha256: Sha256 },
}

/// Bytes that are not secret, in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base64Text(String);

impl Base64Text {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(BASE64_STANDARD.encode(bytes))
    }

    /// The bytes, if it is base64.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(&self.0).ok()
    }
}

impl HolderQuestion {
    /// Reads a question as it came.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_QUESTION {
            return Err("the question is too long".to_owned());
        }
        let question: Self = serde_json::from_slice(bytes).map_err(|error| format!("malformed question: {error}"))?;
        if let Self::FileKey { stanzas, .. } = &question
            && !HeaderStanza::fit_one_header(stanzas)
        {
            return Err("the stanzas are more than a header has".to_owned());
        }
        Ok(question)
    }
}

/// An answer, with the file key if it is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    pub answer: HolderAnswer,
    pub file_key: Option<FileKeyBytes>,
}

impl From<HolderAnswer> for Reply {
    fn from(answer: HolderAnswer) -> Self {
        Self { answer, file_key: None }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl Reply {
    /// Writes an answer, and the file key after it.
    ///
    /// # Errors
    /// When the other side does not read.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        write_json(to, &self.answer)?;
        if let Some(key) = &self.file_key {
            to.write_all(&**key)?;
        }
        to.flush()
    }

    /// Reads an answer, and the file key after it.
    ///
    /// # Errors
    /// When it does not come whole, or is no answer.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let bytes = read_piece(from, MAX_ANSWER)?;
        let answer: HolderAnswer = serde_json::from_slice(&bytes).map_err(malformed)?;
        let file_key = match answer {
            HolderAnswer::FileKey { is_found: true } => {
                let mut key = Zeroizing::new([0; FILE_KEY_LEN]);
                from.read_exact(&mut *key)?;
                Some(key)
            }
            _ => None,
        };
        Ok(Self { answer, file_key })
    }
}

/// Writes a question.
///
/// # Errors
/// When the other side does not read.
pub fn ask(to: &mut impl Write, question: &HolderQuestion) -> io::Result<()> {
    write_json(to, question)?;
    to.flush()
}

fn write_json(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    write_piece(to, &serde_json::to_vec(value).map_err(malformed)?)
}

fn malformed(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Writes bytes with their length before them.
///
/// # Errors
/// When the other side does not read.
pub fn write_piece(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(bytes)
}

/// Reads bytes with their length before them, into a buffer that is wiped. A length of more than `most` is refused before anything is read.
///
/// # Errors
/// When they are too many, or do not come whole.
pub fn read_piece(from: &mut impl Read, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than it may be"));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza() -> HeaderStanza {
        HeaderStanza { tag: "X25519".into(), args: vec!["abc".into()], body: "AAAA".into() }
    }

    fn read_back(question: &HolderQuestion) -> HolderQuestion {
        let mut sent = Vec::new();
        ask(&mut sent, question).unwrap();
        HolderQuestion::parse(&read_piece(&mut sent.as_slice(), MAX_QUESTION).unwrap()).unwrap()
    }

    #[test]
    fn questions_and_answers_read_back() {
        let file = Sha256::of(b"file");
        let questions = [
            HolderQuestion::Status {},
            HolderQuestion::FileKey { file, stanzas: vec![stanza()] },
            HolderQuestion::Sign { message: Base64Text::of(&[1, 2, 3]) },
            HolderQuestion::Lock {},
        ];
        for question in questions {
            assert_eq!(read_back(&question), question);
        }
        let status = HolderStatus {
            profile: "work".into(),
            keys: file,
            process: 7,
            until: Timestamp::UNIX_EPOCH,
            idle_until: Timestamp::UNIX_EPOCH,
            files: vec![HeldFile {
                file: "avi.age".into(),
                sha256: file,
                keys: HeldKeys::Identity { recipients: vec!["age1x".into()] },
            }],
            missing: vec!["memory is not locked".into()],
        };
        let key = Reply {
            answer: HolderAnswer::FileKey { is_found: true },
            file_key: Some(Zeroizing::new([7; FILE_KEY_LEN])),
        };
        for reply in [HolderAnswer::Status(status).into(), key, HolderAnswer::FileKey { is_found: false }.into()] {
            let mut sent = Vec::new();
            reply.write(&mut sent).unwrap();
            assert_eq!(Reply::read(&mut sent.as_slice()).unwrap(), reply);
        }
    }

    #[test]
    fn file_key_is_neither_in_the_json_nor_shown() {
        let reply = Reply {
            answer: HolderAnswer::FileKey { is_found: true },
            file_key: Some(Zeroizing::new([b'k'; FILE_KEY_LEN])),
        };
        let mut sent = Vec::new();
        reply.write(&mut sent).unwrap();
        assert!(sent.ends_with(&[b'k'; FILE_KEY_LEN]));
        assert_eq!(read_piece(&mut sent.as_slice(), MAX_ANSWER).unwrap().len() + 4 + FILE_KEY_LEN, sent.len());
        assert!(!format!("{reply:?}").contains("107"), "{reply:?}");
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_read() {
        let mut endless = [0xff_u8; 4].as_slice().chain(io::repeat(0));
        let refused = read_piece(&mut endless, MAX_QUESTION).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let cut = [0, 0, 0, 9, 1, 2];
        assert_eq!(read_piece(&mut cut.as_slice(), 100).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(HolderQuestion::parse(&vec![b' '; MAX_QUESTION + 1]).is_err());
    }

    #[test]
    fn other_questions_are_refused() {
        let file = Sha256::of(b"file");
        let many = HolderQuestion::FileKey { file, stanzas: vec![stanza(); 65] };
        let many = serde_json::to_string(&many).unwrap();
        for text in
            ["", "{}", r#"{"ask":"identity"}"#, r#"{"ask":"sign"}"#, r#"{"ask":"status","more":1}"#, many.as_str()]
        {
            assert!(HolderQuestion::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn longest_statement_fits_a_question() {
        let message = Base64Text::of(&vec![b'x'; MAX_JWS_LEN]);
        let question = HolderQuestion::Sign { message };
        assert!(serde_json::to_vec(&question).unwrap().len() <= MAX_QUESTION);
        assert_eq!(read_back(&question), question);
    }
}
