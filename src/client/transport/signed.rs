//! The key of a connection where it is with a [`Signer`], which shows it to nobody: rustls' own trait, by way of ours.
//!
//! Signs what rustls hands over, once for each connection, and waits for the signer meanwhile.

use crate::sealing::signer::{SignatureAlgorithm, Signer, SignerError};
use rustls::{Error, OtherError, SignatureScheme, sign};
use std::sync::Arc;

/// A private key that a signer has.
#[derive(Debug)]
pub(super) struct ConnectionKey(pub(super) Arc<dyn Signer>);

impl sign::SigningKey for ConnectionKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn sign::Signer>> {
        let scheme = scheme(self.0.algorithm());
        offered.contains(&scheme).then(|| Box::new(Self(self.0.clone())) as Box<dyn sign::Signer>)
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match self.0.algorithm() {
            SignatureAlgorithm::Es256 | SignatureAlgorithm::Es384 => rustls::SignatureAlgorithm::ECDSA,
            SignatureAlgorithm::EdDsa => rustls::SignatureAlgorithm::ED25519,
        }
    }
}

impl sign::Signer for ConnectionKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(message).map_err(|fault| Error::Other(OtherError(Arc::new(fault))))?;
        Ok(match self.0.algorithm() {
            SignatureAlgorithm::Es256 | SignatureAlgorithm::Es384 => der(&signature),
            SignatureAlgorithm::EdDsa => signature,
        })
    }

    fn scheme(&self) -> SignatureScheme {
        scheme(self.0.algorithm())
    }
}

/// The fault of the signer, if that is why there is no connection.
pub(super) fn signer_fault(error: &Error) -> Option<&SignerError> {
    match error {
        Error::Other(OtherError(fault)) => fault.downcast_ref(),
        _ => None,
    }
}

fn scheme(algorithm: SignatureAlgorithm) -> SignatureScheme {
    match algorithm {
        SignatureAlgorithm::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureAlgorithm::Es384 => SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureAlgorithm::EdDsa => SignatureScheme::ED25519,
    }
}

/// The two numbers of a signature by ECDSA, each half of it, as TLS wants them: a DER sequence of integers (RFC 3279, section 2.2.3).
fn der(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let numbers = [integer(r), integer(s)].concat();
    sequence(0x30, &numbers)
}

fn integer(digits: &[u8]) -> Vec<u8> {
    let leading = digits.iter().take_while(|byte| **byte == 0).count();
    let digits = &digits[leading.min(digits.len().saturating_sub(1))..];
    // A first bit that is set would mean a negative number.
    let is_negative = digits.first().is_some_and(|byte| byte & 0x80 != 0);
    let whole = [if is_negative { &[0][..] } else { &[] }, digits].concat();
    sequence(0x02, &whole)
}

/// A value with its tag and length; none of these is as long as 128 bytes.
fn sequence(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).ok().filter(|length| *length < 0x80).expect("P-384 makes 102 bytes at most");
    [&[tag, length][..], value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_signature_are_written_as_der_has_them() {
        assert_eq!(der(&[0, 1, 0x80, 2]), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 2]);
        assert_eq!(der(&[0, 0, 0x7f, 0xff]), [0x30, 7, 2, 1, 0, 2, 2, 0x7f, 0xff]);
        assert_eq!(der(&[0xff; 96]).len(), 2 + 2 * (2 + 49));
    }

    #[test]
    fn signature_of_the_signer_verifies_in_the_form_of_tls() {
        use crate::dev_pki::testing::self_signed;
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
        use rustls::sign::SigningKey as _;
        let issued = self_signed(rcgen::KeyPair::generate().unwrap(), |_| ());
        let key = crate::sealing::jws::SigningKey::from_pem(
            issued.key.serialize_pem().as_bytes(),
            issued.certificate.pem().as_bytes(),
        );
        let key = ConnectionKey(Arc::new(key.unwrap()));
        let offered = [SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256];
        let signer = key.choose_scheme(&offered).unwrap();
        let signature = signer.sign(b"a handshake").unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, issued.key.public_key_raw());
        public.verify(b"a handshake", &signature).unwrap();
        assert!(key.choose_scheme(&offered[..1]).is_none(), "the key cannot do that");
    }
}
