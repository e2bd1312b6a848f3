//! What a leaf certificate says of its holder: read before anybody vouched for it, and as far as an anchor then did.

use super::{anchor, refusal::CertificateRefusal};
use crate::domain::id::{MemberId, PartnerCode, Sha256};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, prelude::FromDer, time::ASN1Time, x509::X509Version};

/// What an accepted certificate says about its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The partner whose anchor vouches for the certificate.
    pub partner: PartnerCode,
    /// The member named in the certificate, always of `partner`; absent when the partner's PKI cannot issue the URI.
    pub san_member: Option<MemberId>,
    /// SHA-256 of the leaf's `SubjectPublicKeyInfo`, as key cards pin it.
    pub spki_sha256: Sha256,
    /// SHA-256 of the whole leaf.
    pub fingerprint: Sha256,
    /// Last instant at which the leaf is valid.
    pub not_after: Timestamp,
    /// The leaf certificate.
    pub leaf_der: CertificateDer<'static>,
    /// From then on the certificate must be judged again, even if trust has not changed.
    pub recheck_at: Timestamp,
    /// When the first of the certificate and the authorities above it ends.
    pub chain_ends_at: Timestamp,
}

/// What a leaf says, before anybody vouched for it.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) not_after: Timestamp,
    pub(super) spki_sha256: Sha256,
    pub(super) member: Option<MemberId>,
}

impl Leaf {
    /// Reads a certificate and applies the rules that need no anchor: a client's, no CA's, at most one member.
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Self, CertificateRefusal> {
        let (rest, certificate) = x509_parser::certificate::X509Certificate::from_der(der)
            .map_err(|_| CertificateRefusal::Malformed("its encoding is wrong"))?;
        if !rest.is_empty() {
            return Err(CertificateRefusal::Malformed("bytes follow it"));
        }
        if certificate.version() != X509Version::V3 {
            return Err(CertificateRefusal::Malformed("it is not of version 3"));
        }
        let twice = |_| CertificateRefusal::Malformed("it has an extension twice");
        if certificate.basic_constraints().map_err(twice)?.is_some_and(|constraints| constraints.value.ca) {
            return Err(CertificateRefusal::IsAuthority);
        }
        let usage = certificate.key_usage().map_err(twice)?;
        if usage.as_ref().is_some_and(|usage| usage.value.key_cert_sign()) {
            return Err(CertificateRefusal::IsAuthority);
        }
        // RFC 8446 4.4.2.2: when the extension is present, the bit must be set.
        if usage.is_some_and(|usage| !usage.value.digital_signature()) {
            return Err(CertificateRefusal::NoDigitalSignature);
        }
        // Stricter than RFC 5280 and webpki: neither a missing extension nor `anyExtendedKeyUsage` will do, or a
        // partner's server and signature certificates would open this door too.
        if !certificate.extended_key_usage().map_err(twice)?.is_some_and(|purposes| purposes.value.client_auth) {
            return Err(CertificateRefusal::NoClientAuth);
        }
        let mut member = None;
        let names = certificate.subject_alternative_name().map_err(twice)?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                // URN schemes and namespaces ignore case (RFC 8141), so other spellings are ours too, and malformed.
                GeneralName::URI(uri) if uri.to_ascii_lowercase().starts_with("urn:entente:") => {
                    let named = MemberId::from_san_uri(uri).map_err(|_| CertificateRefusal::MalformedMember)?;
                    if member.replace(named).is_some() {
                        return Err(CertificateRefusal::SeveralMembers);
                    }
                }
                GeneralName::Invalid(..) => {
                    return Err(CertificateRefusal::Malformed("an alternative name cannot be read"));
                }
                _ => {}
            }
        }
        Ok(Self {
            not_after: instant(certificate.validity().not_after)?,
            spki_sha256: Sha256::of(certificate.public_key().raw),
            member,
        })
    }
}

/// SHA-256 of the key in a certificate, if it can be read.
pub(super) fn key_of(der: &CertificateDer<'_>) -> Option<Sha256> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    Some(Sha256::of(certificate.public_key().raw))
}

fn instant(time: ASN1Time) -> Result<Timestamp, CertificateRefusal> {
    anchor::instant(time).map_err(|_| CertificateRefusal::Malformed("a date is out of range"))
}
