//! Sealing and opening: streams in, streams out, in constant memory.
//!
//! Seals to age recipients and opens with age identities; never asks whether somebody may. What is opened is proven chunk
//! by chunk, but that a file was cut short shows only at its end: code that shows content uses [`open_bytes`], or
//! [`open_signed`] into something that is thrown away when it fails.

use super::{
    header::{HeaderCheck, HeaderProgress, ShapeError},
    payload::{CHUNK, NONCE, NotingRecipient, PayloadWriter},
    recipient::{self, RecipientError},
};
use crate::domain::id::Sha256;
use aws_lc_rs::digest::{Context, SHA256};
use std::{
    cell::OnceCell,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};
use zeroize::Zeroizing;

/// Ciphertext is buffered in pieces of this size.
const BUFFER: usize = 256 * 1024;

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The input is no age file.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A recipient is malformed.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// Nobody to seal to.
    #[error("there is no recipient to seal to")]
    NoRecipient,
    /// Well shaped, but no usable key.
    #[error("the recipient `{0}` has a malformed key; was it copied whole?")]
    MalformedRecipient(String),
    /// The plugin's program is not installed.
    #[error("the recipient `{recipient}` needs the program `{binary}`, which is not on the PATH; install it")]
    PluginMissing {
        /// The recipient.
        recipient: String,
        /// The plugin's program.
        binary: String,
    },
    /// A plugin failed, or recipients do not go together.
    #[error("the recipients cannot be sealed to: {0}")]
    Recipients(String),
    /// It is sealed to somebody else.
    #[error("none of your identities opens this; it is sealed to somebody else")]
    NoMatchingIdentity,
    /// A plugin failed while opening.
    #[error("cannot open: {0}")]
    Identity(String),
    /// Bytes were changed.
    #[error("the sealed file is damaged: it was changed or cut short after it was sealed")]
    Damaged,
    /// The end is missing.
    #[error("the sealed file is cut short; fetch it again")]
    Truncated,
    /// Not the ciphertext that was announced.
    #[error("the sealed file has the digest `{found}`, but `{wanted}` was signed; this is another file")]
    Digest {
        /// The digest that was signed.
        wanted: Sha256,
        /// The digest of what came.
        found: Sha256,
    },
    /// More plaintext than the caller takes.
    #[error("the content is longer than {0} bytes")]
    TooLarge(usize),
}

/// A file after sealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// SHA-256 of the ciphertext.
    pub sha256: Sha256,
    /// Length of the ciphertext in bytes.
    pub size: u64,
}

/// A file after opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// SHA-256 of the ciphertext that was read.
    pub sealed: Sealed,
    /// Length of the plaintext in bytes.
    pub size: u64,
}

/// Seals `reader` to each of `recipients` and writes the age file to `writer`; the digest is taken on the way.
/// `progress` is called with the plaintext bytes read so far. On an error the output is worthless: throw it away.
pub fn seal_to(
    recipients: &[String],
    mut reader: impl Read,
    writer: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Sealed, SealError> {
    let recipients = parse_recipients(recipients)?;
    let file_key = OnceCell::new();
    let noting: Vec<_> = recipients.iter().map(|recipient| NotingRecipient::new(&**recipient, &file_key)).collect();
    let encryptor =
        age::Encryptor::with_recipients(noting.iter().map(|recipient| recipient as _)).map_err(from_encrypt)?;
    // The library writes the header and the nonce at once; its own payload is never begun.
    let mut beginning = Vec::new();
    drop(encryptor.wrap_output(&mut beginning)?);
    let nonce = beginning.last_chunk::<NONCE>().expect("a nonce stands behind the header");
    let file_key = file_key.into_inner().expect("each recipient was asked to wrap it");
    let mut output = BufWriter::with_capacity(BUFFER, Digesting::new(writer));
    output.write_all(&beginning)?;
    let mut payload = PayloadWriter::new(&file_key, nonce, output);
    copy(&mut reader, &mut payload, progress)?;
    let mut output = payload.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    output.inner.flush()?;
    Ok(output.sealed())
}

/// Opens the age file in `reader` with the first identity that fits and writes the plaintext to `writer`. `progress` is called with
/// the plaintext bytes written so far. Bytes reach `writer` before the end of the file is proven: on an error throw the
/// output away.
pub fn open_with(
    identities: &[&dyn age::Identity],
    reader: impl Read,
    writer: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Opened, SealError> {
    let mut digesting = Digesting::new(reader);
    let size = open_through(identities, &mut digesting, writer, progress)?;
    Ok(Opened { sealed: digesting.sealed(), size })
}

/// Opens the age file in `reader` and writes the plaintext to `writer`, proven to the end and, if `expected` is given, to be the
/// ciphertext with that digest. Bytes reach `writer` before that: on an error throw the output away.
pub fn open_signed(
    identities: &[&dyn age::Identity],
    reader: impl Read,
    writer: impl Write,
    expected: Option<&Sha256>,
    progress: &mut dyn FnMut(u64),
) -> Result<Opened, SealError> {
    let mut digesting = Digesting::new(reader);
    let opened = open_through(identities, &mut digesting, BufWriter::with_capacity(BUFFER, writer), progress);
    if let Err(SealError::Io(error)) = opened {
        return Err(error.into());
    }
    // What does not open may be another file than the one that was signed, and only its digest shows it: one changed bit of a
    // header looks like a file for somebody else, like a damaged one or like no age file at all.
    io::copy(&mut digesting, &mut io::sink())?;
    let sealed = digesting.sealed();
    if let Some(wanted) = expected.filter(|wanted| **wanted != sealed.sha256) {
        return Err(SealError::Digest { wanted: *wanted, found: sealed.sha256 });
    }
    Ok(Opened { sealed, size: opened? })
}

/// Seals something small.
pub fn seal_bytes(recipients: &[String], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut sealed = Vec::new();
    seal_to(recipients, plaintext, &mut sealed, &mut |_| ())?;
    Ok(sealed)
}

/// Opens something small; refuses plaintext longer than `max` bytes.
pub fn open_bytes(
    identities: &[&dyn age::Identity],
    sealed: &[u8],
    max: usize,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let shape = HeaderCheck::check(sealed)?;
    let len = usize::try_from(shape.plaintext_len).ok().filter(|len| *len <= max).ok_or(SealError::TooLarge(max))?;
    // Enough room from the start: growing would leave copies of the plaintext behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(len));
    open_with(identities, sealed, &mut *plaintext, &mut |_| ())?;
    Ok(plaintext)
}

/// Checks that each recipient can be sealed to here, its key read and its plugin found.
pub fn check_recipients(recipients: &[String]) -> Result<(), SealError> {
    parse_recipients(recipients).map(drop)
}

fn parse_recipients(recipients: &[String]) -> Result<Vec<Box<dyn age::Recipient>>, SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipient);
    }
    recipients.iter().map(|text| parse_recipient(text)).collect()
}

fn parse_recipient(text: &str) -> Result<Box<dyn age::Recipient>, SealError> {
    recipient::check(text)?;
    let shown = || text.chars().take(40).collect::<String>();
    if text.starts_with("ssh-") {
        let ssh = text.parse::<age::ssh::Recipient>().map_err(|_| SealError::MalformedRecipient(shown()))?;
        return Ok(Box::new(ssh));
    }
    if let Ok(native) = text.parse::<age::x25519::Recipient>() {
        return Ok(Box::new(native));
    }
    if let Ok(tag) = text.parse::<age::tag::Recipient>() {
        return Ok(Box::new(tag));
    }
    if let Ok(tag) = text.parse::<age::tagpq::Recipient>() {
        return Ok(Box::new(tag));
    }
    // All else is a plugin's: also `age1pq1…`, which the library cannot seal to but `age-plugin-pq` can.
    let plugin: age::plugin::Recipient = text.parse().map_err(|_| SealError::MalformedRecipient(shown()))?;
    let name = plugin.plugin().to_owned();
    match age::plugin::RecipientPluginV1::new(&name, &[plugin], &[], age::NoCallbacks) {
        Ok(plugin) => Ok(Box::new(plugin)),
        Err(age::plugin::ResolveError::MissingPlugin { binary_name }) => {
            Err(SealError::PluginMissing { recipient: shown(), binary: binary_name })
        }
        Err(_) => Err(SealError::MalformedRecipient(shown())),
    }
}

/// Opens what passes through `digesting`; the length of the plaintext.
fn open_through(
    identities: &[&dyn age::Identity],
    digesting: &mut Digesting<impl Read>,
    mut writer: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, SealError> {
    let mut input = BufReader::with_capacity(BUFFER, digesting);
    let header = read_header(&mut input)?;
    let decryptor = age::Decryptor::new_buffered(header.as_slice().chain(input)).map_err(from_decrypt)?;
    let mut plaintext = decryptor.decrypt(identities.iter().copied()).map_err(from_decrypt)?;
    let mut piece = Zeroizing::new(vec![0; CHUNK]);
    let mut size = 0;
    loop {
        let len = read_some(&mut plaintext, &mut piece).map_err(from_payload)?;
        if len == 0 {
            break;
        }
        writer.write_all(&piece[..len])?;
        size += len as u64;
        progress(size);
    }
    writer.flush()?;
    Ok(size)
}

/// Reads until the header is complete and well formed, so that the library never sees an endless one.
fn read_header(input: &mut impl BufRead) -> Result<Vec<u8>, SealError> {
    let (mut check, mut header, mut total) = (HeaderCheck::new(), Vec::new(), 0);
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            check.finish(total)?;
            return Err(SealError::Truncated);
        }
        let progress = check.push(chunk)?;
        header.extend_from_slice(chunk);
        let len = chunk.len();
        total += len as u64;
        input.consume(len);
        if progress == HeaderProgress::Payload {
            return Ok(header);
        }
    }
}

fn copy(reader: &mut impl Read, writer: &mut impl Write, progress: &mut dyn FnMut(u64)) -> Result<(), SealError> {
    let mut piece = Zeroizing::new(vec![0; CHUNK]);
    let mut total = 0;
    loop {
        let len = read_some(reader, &mut piece)?;
        if len == 0 {
            return Ok(());
        }
        writer.write_all(&piece[..len])?;
        total += len as u64;
        progress(total);
    }
}

fn read_some(reader: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn from_encrypt(error: age::EncryptError) -> SealError {
    match error {
        age::EncryptError::Io(error) => SealError::Io(error),
        age::EncryptError::MissingRecipients => SealError::NoRecipient,
        other => SealError::Recipients(other.to_string()),
    }
}

fn from_decrypt(error: age::DecryptError) -> SealError {
    use age::DecryptError as E;
    match error {
        E::NoMatchingKeys => SealError::NoMatchingIdentity,
        E::DecryptionFailed | E::InvalidHeader | E::InvalidMac | E::UnknownFormat => SealError::Damaged,
        E::Io(error) => from_payload(error),
        E::ExcessiveWork { .. } => SealError::Identity("the passphrase asks for too much work".to_owned()),
        other => SealError::Identity(other.to_string()),
    }
}

/// The library reports a payload that does not decrypt as one of these two kinds of I/O error.
fn from_payload(error: io::Error) -> SealError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => SealError::Truncated,
        io::ErrorKind::InvalidData => SealError::Damaged,
        _ => SealError::Io(error),
    }
}

/// Takes digest and length of the bytes that pass through a reader or writer.
struct Digesting<I> {
    inner: I,
    hashing: Hashing,
    size: u64,
}

/// Where the digest is taken: to hash takes longer than to encrypt, so what is long is hashed beside it.
enum Hashing {
    Here(Context),
    Beside { pieces: SyncSender<Vec<u8>>, thread: JoinHandle<Context> },
}

/// So many bytes are hashed before a thread is worth it.
const HASHED_HERE: u64 = 1 << 20;
/// How many pieces wait to be hashed at most.
const PIECES: usize = 4;

impl<I> Digesting<I> {
    fn new(inner: I) -> Self {
        Self { inner, hashing: Hashing::Here(Context::new(&SHA256)), size: 0 }
    }

    fn see(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.hashing {
            Hashing::Here(digest) => {
                digest.update(bytes);
                // Where no thread can be had it goes on here.
                if self.size > HASHED_HERE
                    && let Ok(beside) = Hashing::beside(digest.clone())
                {
                    self.hashing = beside;
                }
            }
            Hashing::Beside { pieces, .. } => {
                pieces.send(bytes.to_vec()).expect("the other thread takes pieces as long as there are any");
            }
        }
    }

    fn sealed(self) -> Sealed {
        let digest = match self.hashing {
            Hashing::Here(digest) => digest,
            Hashing::Beside { pieces, thread } => {
                drop(pieces);
                thread.join().expect("hashing does not panic")
            }
        };
        let digest = digest.finish();
        let bytes = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Sealed { sha256: Sha256::from_bytes(bytes), size: self.size }
    }
}

impl Hashing {
    /// Goes on on another thread, which ends with the last piece.
    fn beside(mut digest: Context) -> io::Result<Self> {
        let (pieces, taken) = sync_channel::<Vec<u8>>(PIECES);
        let thread = thread::Builder::new().spawn(move || {
            for piece in taken {
                digest.update(&piece);
            }
            digest
        })?;
        Ok(Self::Beside { pieces, thread })
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        self.see(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.see(&buffer[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::identity::{Keyring, NoPrompt, new_identity};

    fn someone() -> (Keyring, Vec<String>) {
        let new = new_identity();
        let keyring = Keyring::parse(new.secret().expose().as_bytes(), "me", &NoPrompt).unwrap();
        let recipients = keyring.recipients().to_vec();
        (keyring, recipients)
    }

    /// Gives at most `0` bytes at a time, and is interrupted now and then.
    struct Slow<'a>(usize, &'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.2 = !self.2;
            if self.2 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = self.0.min(self.1.len()).min(buffer.len());
            buffer[..len].copy_from_slice(&self.1[..len]);
            self.1 = &self.1[len..];
            Ok(len)
        }
    }

    #[test]
    fn what_is_sealed_opens_whatever_its_size_and_pace() {
        let (keyring, recipients) = someone();
        // The longest are hashed beside.
        for len in [0_usize, 1, 65_535, 65_536, 65_537, 300_000, 3_000_000] {
            let plaintext: Vec<u8> = (0..=250).cycle().take(len).collect();
            let (mut file, mut seen) = (Vec::new(), 0);
            let sealed = seal_to(&recipients, Slow(10_007, &plaintext, false), &mut file, &mut |at| seen = at).unwrap();
            assert_eq!(seen, len as u64);
            assert_eq!(sealed, Sealed { sha256: Sha256::of(&file), size: file.len() as u64 });
            let mut out = Vec::new();
            let reader = Slow(4_099, &file, false);
            let opened = open_with(&keyring.identities(), reader, &mut out, &mut |at| seen = at).unwrap();
            assert_eq!((out, seen), (plaintext, len as u64));
            assert_eq!(opened, Opened { sealed, size: len as u64 });
        }
    }

    #[test]
    fn each_of_several_recipients_opens() {
        let ((one, first), (two, second)) = (someone(), someone());
        let sealed = seal_bytes(&[first, second].concat(), b"both").unwrap();
        for keyring in [one, two] {
            assert_eq!(*open_bytes(&keyring.identities(), &sealed, 4).unwrap(), b"both");
        }
    }

    #[test]
    fn somebody_else_cannot_open() {
        let ((_, recipients), (other, _)) = (someone(), someone());
        let sealed = seal_bytes(&recipients, b"x").unwrap();
        let refused = open_bytes(&other.identities(), &sealed, 10).unwrap_err();
        assert_eq!(refused.to_string(), "none of your identities opens this; it is sealed to somebody else");
        assert!(matches!(open_bytes(&[], &sealed, 10), Err(SealError::NoMatchingIdentity)));
    }

    #[test]
    fn whatever_is_wrong_with_a_file_is_told() {
        let ((keyring, recipients), (other, _)) = (someone(), someone());
        let sealed = seal_bytes(&recipients, &vec![1; 200_000]).unwrap();
        let header = usize::try_from(HeaderCheck::check(&sealed).unwrap().header_len).unwrap();
        let chunk = 64 * 1024 + 16;
        let mut flipped = sealed.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let longer = [sealed.as_slice(), b"more"].concat();
        let attempts: [(&str, &[u8], &Keyring); 8] = [
            ("Truncated", &sealed[..header + 16 + 2 * chunk], &keyring),
            ("Damaged", &sealed[..header + 16 + chunk + 500], &keyring),
            ("Damaged", &sealed[..sealed.len() - 1], &keyring),
            ("Truncated", &sealed[..header + 16], &keyring),
            ("Shape", &sealed[..header - 5], &keyring),
            ("Damaged", &flipped, &keyring),
            ("Damaged", &longer, &keyring),
            ("NoMatchingIdentity", &sealed, &other),
        ];
        for (wanted, bytes, keyring) in attempts {
            let refused = open_signed(&keyring.identities(), bytes, io::sink(), None, &mut |_| ()).unwrap_err();
            assert!(format!("{refused:?}").starts_with(wanted), "{wanted}: {refused:?}");
        }
    }

    #[test]
    fn bytes_after_a_full_last_chunk_are_noticed() {
        let (keyring, recipients) = someone();
        let sealed = seal_bytes(&recipients, &vec![1; 65_536]).unwrap();
        let longer = [sealed.as_slice(), &[0; 17]].concat();
        let refused = open_with(&keyring.identities(), longer.as_slice(), io::sink(), &mut |_| ());
        assert!(matches!(refused, Err(SealError::Damaged)));
    }

    #[test]
    fn other_ciphertext_than_was_signed_is_refused() {
        let (keyring, recipients) = someone();
        let sealed = seal_bytes(&recipients, b"swapped by the host").unwrap();
        let signed = Sha256::of(b"what the party signed");
        let refused = open_signed(&keyring.identities(), sealed.as_slice(), io::sink(), Some(&signed), &mut |_| ());
        assert!(matches!(refused, Err(SealError::Digest { .. })));
    }

    #[test]
    fn file_changed_in_any_byte_is_told_from_the_one_that_was_signed() {
        let (keyring, recipients) = someone();
        let sealed = seal_bytes(&recipients, b"a page").unwrap();
        let signed = Sha256::of(&sealed);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let refused =
                open_signed(&keyring.identities(), changed.as_slice(), io::sink(), Some(&signed), &mut |_| ());
            assert!(matches!(refused, Err(SealError::Digest { .. })), "byte {at}: {refused:?}");
        }
    }

    #[test]
    fn file_for_somebody_else_is_not_called_another_file() {
        let (keyring, _) = someone();
        let others = seal_bytes(&someone().1, b"for somebody else").unwrap();
        let signed = Sha256::of(&others);
        let refused = open_signed(&keyring.identities(), others.as_slice(), io::sink(), Some(&signed), &mut |_| ());
        assert!(matches!(refused, Err(SealError::NoMatchingIdentity)), "{refused:?}");
    }

    #[test]
    fn plaintext_is_not_taken_for_a_sealed_file() {
        let (keyring, _) = someone();
        let refused = open_bytes(&keyring.identities(), b"%PDF-1.7", 100);
        assert!(matches!(refused, Err(SealError::Shape(ShapeError::NotAge))));
    }

    #[test]
    fn content_past_the_limit_is_refused() {
        let (keyring, recipients) = someone();
        let sealed = seal_bytes(&recipients, b"12345").unwrap();
        assert!(matches!(open_bytes(&keyring.identities(), &sealed, 4), Err(SealError::TooLarge(4))));
    }

    #[test]
    fn unusable_recipients_are_refused() {
        let refuse = |text: &str| check_recipients(&[text.to_owned()]).unwrap_err();
        assert!(matches!(check_recipients(&[]), Err(SealError::NoRecipient)));
        assert!(matches!(refuse("hello"), SealError::Recipient(_)));
        let typo = new_identity().recipient().replace("age1", "age1q");
        assert!(matches!(refuse(&typo), SealError::MalformedRecipient(_)));
        let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"; // no point of the curve
        assert!(matches!(refuse(ssh), SealError::MalformedRecipient(_)));
    }
}
