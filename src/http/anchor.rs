//! What a partner's trust anchor must be like before anybody relies on it.
//!
//! rustls takes a subject, a key and name constraints out of an anchor and looks at nothing else: it would use one that
//! has expired, is no CA or carries rules it cannot apply. So an anchor is judged here, once when it is enrolled
//! ([`check_anchor`]) and, but for its dates, again whenever a server loads it ([`Anchor::read`]). Dates of an enrolled
//! anchor are judged for each certificate it vouches for.
//!
//! Rules are from RFC 5280 (4.1, 4.2.1 and 6.1); those on algorithms from what the provider can verify.

use crate::domain::id::Sha256;
use jiff::Timestamp;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use x509_parser::{
    certificate::X509Certificate,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    num_bigint::BigUint,
    oid_registry::{Oid, asn1_rs::oid},
    prelude::FromDer,
    public_key::PublicKey,
    signature_algorithm::SignatureAlgorithm,
    time::ASN1Time,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Version},
};

/// A partner's CA certificate that was found fit to vouch for members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The whole certificate.
    pub der: CertificateDer<'static>,
    /// Its subject as text, for people.
    pub subject: String,
    /// SHA-256 of its `SubjectPublicKeyInfo`: what distinguishes two CAs of one name.
    pub spki_sha256: Sha256,
    /// First instant at which it is valid.
    pub not_before: Timestamp,
    /// Last instant at which it is valid.
    pub not_after: Timestamp,
    /// How many CA certificates may stand between it and a member's; any number when absent.
    pub path_len: Option<u32>,
    /// Its subject in DER, as certificates name their issuer.
    pub(super) subject_der: Vec<u8>,
    /// Its whole `SubjectPublicKeyInfo`.
    pub(super) spki_der: Vec<u8>,
    /// How its revocation lists name its key, if it says so.
    pub(super) key_id: Option<Vec<u8>>,
    /// Whether its key usage has `cRLSign`.
    pub(super) signs_lists: bool,
}

/// Why a certificate cannot be an anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorFault {
    #[error("holds no certificate")]
    Empty,
    #[error("holds {0} certificates; one is expected")]
    Several(usize),
    #[error("holds a private key")]
    PrivateKey,
    #[error("is malformed: {0}")]
    Malformed(String),
    #[error("is an X.509 version 1 or 2 certificate, which cannot say that it is a CA")]
    OldVersion,
    #[error("has no subject name")]
    NoSubject,
    #[error("expired at {0}")]
    Expired(Timestamp),
    #[error("is not valid before {0}")]
    NotYetValid(Timestamp),
    #[error("is not a CA certificate: its basic constraints do not say so")]
    NotAuthority,
    #[error("may not sign certificates: its key usage lacks `keyCertSign`")]
    NoCertSign,
    #[error("may not issue client certificates: its extended key usage lacks `clientAuth`")]
    NotForClients,
    #[error("has a weak key: {0}")]
    WeakKey(String),
    #[error("has a key of a kind that cannot be verified here: {0}")]
    UnsupportedKey(String),
    #[error("has a weak signature: {0}")]
    WeakSignature(&'static str),
    #[error("has a signature of a kind that cannot be verified here: `{0}`")]
    UnsupportedSignature(String),
    #[error("names itself as issuer, but another key signed it")]
    BadSelfSignature,
    #[error("has a name constraint on {0}, which cannot be honoured")]
    NameConstraint(&'static str),
    #[error("has a critical extension `{0}`, which cannot be honoured")]
    CriticalExtension(String),
    #[error("is given twice")]
    Duplicate,
}

impl AnchorFault {
    /// What the operator or the partner can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Empty => "give the CA certificate as PEM (`-----BEGIN CERTIFICATE-----`) or DER",
            Self::Several(_) | Self::Duplicate => "give each anchor once, in a file of its own or one after another",
            Self::PrivateKey => {
                "only the certificate is wanted: take the key out of the file, and treat it as disclosed if the file \
                 was sent to anybody"
            }
            Self::Malformed(_) | Self::BadSelfSignature => "ask the partner for the certificate again",
            Self::OldVersion | Self::NoSubject | Self::NotAuthority | Self::NoCertSign | Self::NotForClients => {
                "ask the partner for the certificate of the CA that issues its members' client certificates"
            }
            Self::Expired(_) => "ask the partner for its current CA certificate",
            Self::NotYetValid(_) => "enrol it from that time on, and check this machine's clock",
            Self::WeakKey(_) | Self::UnsupportedKey(_) => {
                "the partner needs a CA with an RSA key of 2048 to 8192 bits, a P-256, P-384 or P-521 key, or Ed25519"
            }
            Self::WeakSignature(_) | Self::UnsupportedSignature(_) => {
                "the partner needs a CA certificate signed with SHA-256, SHA-384 or SHA-512, or Ed25519"
            }
            Self::NameConstraint(_) | Self::CriticalExtension(_) => {
                "ask the partner for a CA without it, for example a subordinate CA for this use"
            }
        }
    }
}

/// Judges one CA certificate, PEM or DER, for enrolment at `now`.
pub fn check_anchor(pem_or_der: &[u8], now: Timestamp) -> Result<Anchor, AnchorFault> {
    let mut certificates = certificates_in(pem_or_der)?;
    match (certificates.pop(), certificates.len()) {
        (None, _) => Err(AnchorFault::Empty),
        (Some(only), 0) => check_one(only, now),
        (Some(_), others) => Err(AnchorFault::Several(others + 1)),
    }
}

/// Judges all CA certificates in a file, PEM or DER, for enrolment at `now`.
///
/// # Errors
/// All faults, each with the place of its certificate in the file (from 1).
pub fn check_anchors(pem_or_der: &[u8], now: Timestamp) -> Result<Vec<Anchor>, Vec<(usize, AnchorFault)>> {
    let certificates = certificates_in(pem_or_der).map_err(|fault| vec![(1, fault)])?;
    if certificates.is_empty() {
        return Err(vec![(1, AnchorFault::Empty)]);
    }
    let (mut anchors, mut faults) = (Vec::<Anchor>::new(), Vec::new());
    for (place, certificate) in certificates.into_iter().enumerate() {
        match check_one(certificate, now) {
            Ok(anchor) if anchors.iter().any(|other| other.der == anchor.der) => {
                faults.push((place + 1, AnchorFault::Duplicate));
            }
            Ok(anchor) => anchors.push(anchor),
            Err(fault) => faults.push((place + 1, fault)),
        }
    }
    if faults.is_empty() { Ok(anchors) } else { Err(faults) }
}

impl Anchor {
    /// Reads an enrolled anchor: every rule but those on dates.
    pub fn read(der: CertificateDer<'static>) -> Result<Self, AnchorFault> {
        let (rest, certificate) =
            X509Certificate::from_der(&der).map_err(|error| AnchorFault::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(AnchorFault::Malformed("bytes follow the certificate".into()));
        }
        if certificate.version() != X509Version::V3 {
            return Err(AnchorFault::OldVersion);
        }
        if certificate.subject().iter().next().is_none() {
            return Err(AnchorFault::NoSubject);
        }
        check_dates_and_usage(&certificate)?;
        check_key(certificate.public_key())?;
        check_signature(&certificate)?;
        check_extensions(&certificate)?;
        // What rustls itself would stumble over.
        RootCertStore::empty().add(der.clone()).map_err(|error| AnchorFault::Malformed(error.to_string()))?;
        let path_len = certificate
            .basic_constraints()
            .map_err(malformed)?
            .and_then(|constraints| constraints.value.path_len_constraint);
        Ok(Self {
            subject: certificate.subject().to_string(),
            spki_sha256: Sha256::of(certificate.public_key().raw),
            not_before: instant(certificate.validity().not_before)?,
            not_after: instant(certificate.validity().not_after)?,
            path_len,
            subject_der: certificate.subject().as_raw().to_vec(),
            spki_der: certificate.public_key().raw.to_vec(),
            key_id: certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            }),
            signs_lists: signs_lists(&certificate).map_err(malformed)?,
            der: der.clone(),
        })
    }
}

/// Every certificate in a PEM or DER file.
fn certificates_in(pem_or_der: &[u8]) -> Result<Vec<CertificateDer<'static>>, AnchorFault> {
    let is_pem = pem_or_der.windows(11).any(|window| window == b"-----BEGIN ");
    if !is_pem {
        let der = (!pem_or_der.is_empty()).then(|| CertificateDer::from(pem_or_der.to_vec()));
        return Ok(der.into_iter().collect());
    }
    if pem_or_der.windows(16).any(|window| window == b"PRIVATE KEY-----") {
        return Err(AnchorFault::PrivateKey);
    }
    CertificateDer::pem_slice_iter(pem_or_der)
        .collect::<Result<_, _>>()
        .map_err(|error| AnchorFault::Malformed(error.to_string()))
}

fn check_one(der: CertificateDer<'static>, now: Timestamp) -> Result<Anchor, AnchorFault> {
    let anchor = Anchor::read(der)?;
    if now > anchor.not_after {
        return Err(AnchorFault::Expired(anchor.not_after));
    }
    if now < anchor.not_before {
        return Err(AnchorFault::NotYetValid(anchor.not_before));
    }
    Ok(anchor)
}

fn check_dates_and_usage(certificate: &X509Certificate<'_>) -> Result<(), AnchorFault> {
    let validity = certificate.validity();
    if validity.not_before > validity.not_after {
        return Err(AnchorFault::Malformed("it ends before it begins".into()));
    }
    if !certificate.basic_constraints().map_err(malformed)?.is_some_and(|constraints| constraints.value.ca) {
        return Err(AnchorFault::NotAuthority);
    }
    if !certificate.key_usage().map_err(malformed)?.is_some_and(|usage| usage.value.key_cert_sign()) {
        return Err(AnchorFault::NoCertSign);
    }
    let purposes = certificate.extended_key_usage().map_err(malformed)?;
    if purposes.is_some_and(|purposes| !purposes.value.client_auth && !purposes.value.any) {
        return Err(AnchorFault::NotForClients);
    }
    Ok(())
}

fn check_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), AnchorFault> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == oid!(1.2.840.113549.1.1.1) {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
            return Err(AnchorFault::Malformed("its RSA key cannot be read".into()));
        };
        let bits = BigUint::from_bytes_be(rsa.modulus).bits();
        return match bits {
            0..2048 => Err(AnchorFault::WeakKey(format!("RSA with {bits} bits"))),
            2048..=8192 => Ok(()),
            _ => Err(AnchorFault::UnsupportedKey(format!("RSA with {bits} bits"))),
        };
    }
    if *algorithm == oid!(1.2.840.10045.2.1) {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let known = [oid!(1.2.840.10045.3.1.7), oid!(1.3.132.0.34), oid!(1.3.132.0.35)];
        return match curve {
            Some(curve) if known.contains(&curve) => Ok(()),
            Some(curve) => Err(AnchorFault::UnsupportedKey(format!("elliptic curve `{}`", curve.to_id_string()))),
            None => Err(AnchorFault::UnsupportedKey("elliptic curve without a name".into())),
        };
    }
    if *algorithm == oid!(1.3.101.112) {
        return Ok(());
    }
    Err(AnchorFault::UnsupportedKey(format!("`{}`", algorithm.to_id_string())))
}

fn check_signature(certificate: &X509Certificate<'_>) -> Result<(), AnchorFault> {
    if certificate.signature_algorithm != certificate.signature {
        return Err(AnchorFault::Malformed("its two signature algorithms differ".into()));
    }
    check_signature_algorithm(&certificate.signature_algorithm)?;
    if certificate.subject().as_raw() == certificate.issuer().as_raw() {
        match certificate.verify_signature(None) {
            // Kinds the parser cannot verify, though the TLS provider can; nothing depends on an anchor's own signature.
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => {}
            Err(_) => return Err(AnchorFault::BadSelfSignature),
        }
    }
    Ok(())
}

/// Refuses signatures of hashes that can be forged or that the provider does not know.
pub(super) fn check_signature_algorithm(algorithm: &AlgorithmIdentifier<'_>) -> Result<(), AnchorFault> {
    let weak: [(Oid<'_>, &'static str); 6] = [
        (oid!(1.2.840.113549.1.1.2), "MD2"),
        (oid!(1.2.840.113549.1.1.4), "MD5"),
        (oid!(1.2.840.113549.1.1.5), "SHA-1"),
        (oid!(1.3.14.3.2.29), "SHA-1"),
        (oid!(1.2.840.10045.4.1), "SHA-1"),
        (oid!(1.2.840.10040.4.3), "SHA-1"),
    ];
    if let Some((_, hash)) = weak.iter().find(|(oid, _)| *oid == algorithm.algorithm) {
        return Err(AnchorFault::WeakSignature(hash));
    }
    let strong = [
        oid!(1.2.840.113549.1.1.11),
        oid!(1.2.840.113549.1.1.12),
        oid!(1.2.840.113549.1.1.13),
        oid!(1.2.840.10045.4.3.2),
        oid!(1.2.840.10045.4.3.3),
        oid!(1.2.840.10045.4.3.4),
        oid!(1.3.101.112),
    ];
    if strong.contains(&algorithm.algorithm) {
        return Ok(());
    }
    if algorithm.algorithm == oid!(1.2.840.113549.1.1.10) {
        let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(algorithm) else {
            return Err(AnchorFault::Malformed("its RSASSA-PSS parameters cannot be read".into()));
        };
        // The default of RFC 4055, when no hash is named, is SHA-1.
        let hash = parameters.hash_algorithm_oid();
        let strong = [oid!(2.16.840.1.101.3.4.2.1), oid!(2.16.840.1.101.3.4.2.2), oid!(2.16.840.1.101.3.4.2.3)];
        return if strong.contains(hash) { Ok(()) } else { Err(AnchorFault::WeakSignature("RSASSA-PSS with SHA-1")) };
    }
    Err(AnchorFault::UnsupportedSignature(algorithm.algorithm.to_id_string()))
}

fn check_extensions(certificate: &X509Certificate<'_>) -> Result<(), AnchorFault> {
    certificate.extensions_map().map_err(malformed)?;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::NameConstraints(constraints) => {
                let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
                if subtrees.iter().all(|subtrees| subtrees.is_none()) {
                    return Err(AnchorFault::Malformed("its name constraints are empty".into()));
                }
                for subtree in subtrees.into_iter().flatten().flatten() {
                    check_name_constraint(&subtree.base)?;
                }
            }
            ParsedExtension::ParseError { .. } => {
                let oid = extension.oid.to_id_string();
                return Err(AnchorFault::Malformed(format!("its extension `{oid}` cannot be read")));
            }
            // Nothing here applies them; without criticality they ask for nothing.
            ParsedExtension::UnsupportedExtension { .. } | ParsedExtension::Unparsed if extension.critical => {
                return Err(AnchorFault::CriticalExtension(extension_name(&extension.oid)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_name_constraint(base: &GeneralName<'_>) -> Result<(), AnchorFault> {
    let no = |what: &str| AnchorFault::Malformed(format!("a name constraint holds no {what}"));
    Err(AnchorFault::NameConstraint(match base {
        GeneralName::DNSName(name) => {
            let labels = name.strip_prefix('.').unwrap_or(name);
            return if labels.is_empty() || is_dns_name(labels) { Ok(()) } else { Err(no("DNS name")) };
        }
        GeneralName::IPAddress(address) => {
            let (_, mask) = address.split_at(address.len() / 2);
            let ones: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
            let set: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
            let contiguous = ones == set && mask.windows(2).all(|pair| pair[0] == 0xff || pair[1] == 0);
            return if matches!(address.len(), 8 | 32) && contiguous { Ok(()) } else { Err(no("IP network")) };
        }
        GeneralName::RFC822Name(address) => {
            return if address.is_ascii() && !address.is_empty() { Ok(()) } else { Err(no("e-mail address")) };
        }
        GeneralName::URI(host) => {
            let is_host = host.contains('.') && is_dns_name(host.strip_prefix('.').unwrap_or(host));
            return if is_host { Ok(()) } else { Err(no("host")) };
        }
        // A certificate with an other name of that type is refused, and nobody needs one here.
        GeneralName::DirectoryName(_) | GeneralName::OtherName(..) => return Ok(()),
        GeneralName::RegisteredID(_) => "registered identifiers",
        GeneralName::X400Address(_) => "X.400 addresses",
        GeneralName::EDIPartyName(_) => "EDI party names",
        GeneralName::Invalid(..) => return Err(AnchorFault::Malformed("a name constraint cannot be read".into())),
    }))
}

fn is_dns_name(name: &str) -> bool {
    name.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    })
}

fn malformed(error: X509Error) -> AnchorFault {
    AnchorFault::Malformed(error.to_string())
}

/// How people know an extension, beside its number.
pub(super) fn extension_name(oid: &Oid<'_>) -> String {
    let number = oid.to_id_string();
    let name = match number.as_str() {
        "2.5.29.9" => "subjectDirectoryAttributes",
        "2.5.29.16" => "privateKeyUsagePeriod",
        "2.5.29.18" => "issuerAltName",
        "2.5.29.35" => "authorityKeyIdentifier",
        "2.5.29.14" => "subjectKeyIdentifier",
        "2.5.29.46" => "freshestCRL",
        "1.3.6.1.5.5.7.1.1" => "authorityInfoAccess",
        "1.3.6.1.5.5.7.1.3" => "qcStatements",
        "1.3.6.1.5.5.7.1.7" => "ipAddrBlocks",
        "1.3.6.1.5.5.7.1.11" => "subjectInfoAccess",
        "1.3.6.1.5.5.7.1.24" => "tlsFeature",
        "2.16.840.1.113730.1.1" => "netscapeCertType",
        _ => return number,
    };
    format!("{name} ({number})")
}

/// Whether a certificate's key may sign revocation lists: its key usage says so, or it has none (RFC 5280, 6.3.3 f).
pub(super) fn signs_lists(certificate: &X509Certificate<'_>) -> Result<bool, X509Error> {
    Ok(certificate.key_usage()?.is_none_or(|usage| usage.value.crl_sign()))
}

/// The instant that a certificate or a list names. `99991231235959Z` means that there is no end (RFC 5280, 4.1.2.5), and is later
/// than the last instant that a `Timestamp` can hold: it becomes that last instant.
pub(super) fn instant(time: ASN1Time) -> Result<Timestamp, AnchorFault> {
    let seconds = time.timestamp();
    if seconds > Timestamp::MAX.as_second() {
        return Ok(Timestamp::MAX);
    }
    Timestamp::from_second(seconds).map_err(|_| AnchorFault::Malformed("a date is out of range".into()))
}

#[cfg(test)]
mod tests;
