//! What certificates and revocation lists have in common: a key signed them. Says which bytes were signed, by which algorithm, and
//! whether a key did it (RFC 5280, 4.1.1 and 5.1.1).
//!
//! Algorithms are those of the TLS provider, no others. Nothing here says whether a signer may sign; never rely on this alone.

use super::crypto::provider;

/// One DER element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) contents: &'a [u8],
    /// Tag and length included.
    pub(super) whole: &'a [u8],
}

/// The elements that these bytes are made of, one after another; nothing when they are anything else.
pub(super) fn elements(mut bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = element(bytes)?;
        found.push(element);
        bytes = rest;
    }
    Some(found)
}

/// A certificate or a revocation list in its three parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedDer<'a> {
    bytes: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> SignedDer<'a> {
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (outer, rest) = element(der)?;
        let parts = elements(outer.contents)?;
        let [signed, algorithm, signature] = parts[..] else { return None };
        let is_shaped = (outer.tag, signed.tag, algorithm.tag) == (SEQUENCE, SEQUENCE, SEQUENCE) && rest.is_empty();
        is_shaped.then_some(Self {
            bytes: signed.whole,
            algorithm: algorithm.contents,
            signature: whole_bits(signature)?,
        })
    }

    /// Whether the key of this `SubjectPublicKeyInfo` (DER) made the signature.
    pub(super) fn is_by(&self, spki: &[u8]) -> bool {
        let Some((outer, _)) = element(spki) else { return false };
        let Some(parts) = elements(outer.contents) else { return false };
        let [kind, key] = parts[..] else { return false };
        let Some(key) = whole_bits(key) else { return false };
        let algorithms = provider().signature_verification_algorithms.all;
        algorithms
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.algorithm)
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == kind.contents)
            .any(|algorithm| algorithm.verify_signature(key, self.bytes, self.signature).is_ok())
    }
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The first element and what follows it. Long tags and indefinite lengths do not occur in what is read here.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&[tag, first], after) = bytes.split_first_chunk::<2>()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (length, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81..=0x84 => {
            let (digits, after) = after.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), after)
        }
        _ => return None,
    };
    let (contents, rest) = after.split_at_checked(length)?;
    let whole = &bytes[..bytes.len() - rest.len()];
    Some((Element { tag, contents, whole }, rest))
}

/// The bytes of a BIT STRING without unused bits.
fn whole_bits(element: Element<'_>) -> Option<&[u8]> {
    let (unused, bits) = element.contents.split_first()?;
    (element.tag == BIT_STRING && *unused == 0).then_some(bits)
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests {
    use super::*;
    use crate::http::test_pki::{Ca, day};

    #[test]
    fn signature_is_of_the_signing_key_alone() {
        let (ca, other) = (Ca::new("Root"), Ca::new("Root"));
        let (key, stranger) = (ca.anchor().spki_der, other.anchor().spki_der);
        let (leaf, list) = (ca.member("ISR:avi"), ca.crl(&[7], day(30)));
        for der in [&*leaf.der, &*list] {
            let signed = SignedDer::read(der).unwrap();
            assert!(signed.is_by(&key) && !signed.is_by(&stranger) && !signed.is_by(b""));
            let mut changed = der.to_vec();
            let middle = changed.len() / 3;
            changed[middle] ^= 1;
            assert!(SignedDer::read(&changed).is_none_or(|changed| !changed.is_by(&key)));
            assert!(SignedDer::read(&[der, &[0]].concat()).is_none());
        }
    }

    #[test]
    fn rsa_keys_verify_their_own_signatures() {
        for pem in [&include_bytes!("fixtures/rsa-2048.pem")[..], include_bytes!("fixtures/pss.pem")] {
            use rustls::pki_types::{CertificateDer, pem::PemObject};
            let der = CertificateDer::from_pem_slice(pem).unwrap();
            let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
            assert!(SignedDer::read(&der).unwrap().is_by(certificate.public_key().raw));
        }
    }

    #[test]
    fn bytes_that_are_no_elements_are_nothing() {
        for wrong in [&[0x30][..], &[0x30, 2, 1], &[0x30, 0x80, 0, 0], &[0x1f, 1, 0], &[0x30, 0x85, 0, 0, 0, 0, 1, 0]] {
            assert_eq!(elements(wrong), None, "{wrong:?}");
        }
        assert_eq!(elements(&[]), Some(vec![]));
        assert_eq!(elements(&[2, 1, 7, 5, 0]).unwrap().len(), 2);
    }
}
