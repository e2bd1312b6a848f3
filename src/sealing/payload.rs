//! The payload of a sealed file as it is written: chunks of 64 KiB, each encrypted with ChaCha20-Poly1305 under its number, the last one
//! marked (the STREAM construction of the age format).
//!
//! The age library draws the keys and makes the header. Its own payload writer takes two to three times as long for the same bytes as
//! `aws-lc`, which is here for TLS; so this part of the format is ours, and the public vectors hold it to the byte. What is read is
//! opened by the library.

use age_core::{
    format::{FileKey, Stanza},
    primitives::hkdf,
    secrecy::ExposeSecret,
};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::{
    cell::OnceCell,
    collections::HashSet,
    io::{self, Write},
};
use zeroize::Zeroizing;

/// The longest chunk of plaintext.
pub(super) const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
/// The nonce of a payload, which stands between header and chunks.
pub(super) const NONCE: usize = 16;

/// Encrypts what is written to it and passes it on chunk by chunk. Without [`PayloadWriter::finish`] the file is cut short.
pub(super) struct PayloadWriter<W> {
    key: LessSafeKey,
    number: u64,
    /// The plaintext of the chunk that is not full, or not known to be the last.
    chunk: Zeroizing<Vec<u8>>,
    inner: W,
}

impl<W: Write> PayloadWriter<W> {
    /// Begins a payload. The pair of key and nonce must be fresh: they are drawn for each file.
    pub(super) fn new(file_key: &FileKey, nonce: &[u8; NONCE], inner: W) -> Self {
        let key = Zeroizing::new(hkdf(nonce, b"payload", file_key.expose_secret()));
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).expect("the key has 32 bytes");
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK + TAG));
        Self { key: LessSafeKey::new(key), number: 0, chunk, inner }
    }

    /// Writes the last chunk, which is empty only if there was no plaintext at all.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.pass_on(true)?;
        Ok(self.inner)
    }

    fn pass_on(&mut self, is_last: bool) -> io::Result<()> {
        // Eleven bytes of the number, and whether it is the last.
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.number.to_be_bytes());
        nonce[11] = u8::from(is_last);
        self.number = self.number.checked_add(1).expect("no file has so many chunks");
        let sealed =
            self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut *self.chunk);
        sealed.map_err(|_| io::Error::other("a chunk could not be encrypted"))?;
        let passed_on = self.inner.write_all(&self.chunk);
        // Whatever came of it, these bytes are not encrypted again.
        self.chunk.clear();
        passed_on
    }
}

impl<W: Write> Write for PayloadWriter<W> {
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        if plaintext.is_empty() {
            return Ok(0);
        }
        // A full chunk goes on only when there is more: as the last one it is marked.
        if self.chunk.len() == CHUNK {
            self.pass_on(false)?;
        }
        let len = plaintext.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&plaintext[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A recipient, and the key that it was asked to wrap: with it the payload is encrypted here.
pub(super) struct NotingRecipient<'r> {
    recipient: &'r dyn age::Recipient,
    file_key: &'r OnceCell<FileKey>,
}

impl<'r> NotingRecipient<'r> {
    pub(super) fn new(recipient: &'r dyn age::Recipient, file_key: &'r OnceCell<FileKey>) -> Self {
        Self { recipient, file_key }
    }
}

impl age::Recipient for NotingRecipient<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let copy = FileKey::init_with_mut(|bytes| bytes.copy_from_slice(file_key.expose_secret()));
        // All recipients are asked for the same one.
        let _ = self.file_key.set(copy);
        self.recipient.wrap_file_key(file_key)
    }
}
