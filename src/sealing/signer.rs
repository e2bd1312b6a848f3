//! Who signs statements: something that holds a private key and shows it to nobody.
//!
//! A signer is given bytes and returns a signature, so a card or a helper program can take the place of a file. It never
//! decides what is signed: it gets the finished statement. What it returns counts only once it verifies under the signer's own
//! certificate, see [`jws::sign`](super::jws::sign).

use std::fmt;

/// A private key with its certificate, wherever the key is. Others learn of it what is public and signatures, nothing else.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The certificate of the key, DER. Each statement carries it.
    fn certificate(&self) -> &[u8];

    /// What the key signs with.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs a message. May take its time, and may ask a person for a PIN or a touch: call it where waiting holds up nobody.
    ///
    /// # Errors
    /// The signature in the form of [`SignatureAlgorithm`], or what the user has to know if there is none.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// How statements are signed (RFC 7518, RFC 8037). The signature is as a JWS has it: for a curve of NIST the two numbers one after
/// the other, each as long as the curve's, not the DER form that many cards return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256: 64 bytes.
    Es256,
    /// ECDSA on P-384 with SHA-384: 96 bytes.
    Es384,
    /// Ed25519: 64 bytes.
    EdDsa,
}

impl SignatureAlgorithm {
    /// As the header of a JWS names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Why a signer did not sign. What it says inside is for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The key is not there: a card that was taken out, a helper program that does not start.
    #[error("the signing key is not available: {0}")]
    Absent(String),
    /// The key may not be used: a wrong PIN, a touch that did not come, a card that is blocked.
    #[error("the signing key was not unlocked: {0}")]
    Refused(String),
    /// It signed something else, or with another key than its certificate is for.
    #[error("the signature does not belong to the certificate: another key signed")]
    OtherKey,
    /// Anything else.
    #[error("the signing key failed: {0}")]
    Failed(String),
}

impl SignerError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Absent(_) => "it was not sent; connect the card and run the command again",
            Self::Refused(_) => {
                "it was not sent; run the command again with the right PIN, and ask your card office about a blocked card"
            }
            Self::OtherKey => "it was not sent; check that `certificate` of the profile is that of the card or the key",
            Self::Failed(_) => {
                "it was not sent; run the command again, and if it stays so use another key that your key card names"
            }
        }
    }
}
