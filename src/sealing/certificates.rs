//! Certificates of members: making a key with a request for one, and signing one as the nation's authority.
//!
//! The same rules as at the exchange's door ([`check_member_certificate`]) are asked of a certificate before a key card names its key, so that nobody is vouched
//! for who cannot connect. What a member's certificate must contain stands in docs/operations.md.

use super::{
    card::normal_pem,
    identity::SecretText,
    jws::{self, JwsError, SigningKey},
    leaf,
};
use crate::domain::{
    ambient::Rng,
    id::{MemberId, Sha256},
};
use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use jiff::Timestamp;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, CertificateSigningRequestDer, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

/// Why a certificate, or a request for one, is refused.
#[derive(Debug, thiserror::Error)]
pub enum MemberCertificateError {
    #[error("the certificate request is malformed or not signed by its own key: {0}")]
    Request(rcgen::Error),
    #[error("the certificate request asks for another key than the one that signed the request to join")]
    OtherKey,
    #[error("the certificate of the authority cannot be used: {0}")]
    Authority(String),
    #[error("the certificate cannot be made: {0}")]
    Unmade(rcgen::Error),
    #[error("the certificate cannot be used here: {0}")]
    Unfit(String),
    #[error(transparent)]
    Key(#[from] JwsError),
    #[error("`{0}` cannot stand in a certificate")]
    Unsayable(String),
}

type Result<T, E = MemberCertificateError> = std::result::Result<T, E>;

/// A new key of a member, with what is needed to have it certified.
#[derive(Debug)]
pub struct NewCertificateKey {
    /// PKCS #8 in PEM.
    pub private_key: SecretText,
    /// PKCS #10 in PEM.
    pub request: String,
    /// Signs the request to join; its certificate is its own, and counts for nothing else.
    pub signing_key: SigningKey,
}

impl NewCertificateKey {
    /// Makes a P-256 key for a member.
    pub fn new(member: &MemberId, now: Timestamp, rng: &dyn Rng) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(MemberCertificateError::Unmade)?;
        let mut params = member_params(member, (now, now + jiff::SignedDuration::from_hours(24)))?;
        params.serial_number = Some(serial(rng));
        let own = params.self_signed(&key).map_err(MemberCertificateError::Unmade)?.pem();
        let private_key = SecretText::from(key.serialize_pem());
        let signing_key = SigningKey::from_pem(private_key.expose().as_bytes(), own.as_bytes())?;
        let mut asked = CertificateParams::default();
        asked.distinguished_name = params.distinguished_name;
        asked.subject_alt_names = params.subject_alt_names;
        let request = asked.serialize_request(&key).and_then(|request| request.pem());
        Ok(Self { private_key, request: request.map_err(MemberCertificateError::Unmade)?, signing_key })
    }
}

/// A request for a certificate that asks for nothing but a member's: a national PKI may copy what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCertificateRequest {
    /// SHA-256 of the `SubjectPublicKeyInfo`; the request's own signature proves that its sender has that key.
    pub key: Sha256,
    /// The request alone, PEM, written again from its bytes.
    pub pem: String,
}

impl CheckedCertificateRequest {
    /// Checks a PKCS #10 request in PEM.
    pub fn new(pem: &str, member: &MemberId) -> Result<Self> {
        let unfit = |problem: &str| MemberCertificateError::Unfit(problem.to_owned());
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| unfit("the request for it is not in PEM"))?;
        let request = CertificateSigningRequestParams::from_der(&der).map_err(MemberCertificateError::Request)?;
        let CertificateParams { subject_alt_names, is_ca, key_usages, extended_key_usages, .. } = &request.params;
        let names_the_member = match subject_alt_names.as_slice() {
            [SanType::URI(uri)] => uri.as_str() == member.san_uri(),
            _ => false,
        };
        if !names_the_member {
            return Err(unfit("the request for it asks for other names than the member's URI"));
        }
        if *is_ca != IsCa::NoCa || !key_usages.is_empty() || !extended_key_usages.is_empty() {
            return Err(unfit("the request for it asks for usages; those are the authority's to set"));
        }
        let body = STANDARD.encode(&*der);
        let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
        let pem =
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", lines.join("\n"));
        Ok(Self { key: Sha256::of(&request.public_key.subject_public_key_info()), pem })
    }
}

/// An authority whose key is at hand.
pub struct MemberAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    not_after: Timestamp,
}

impl MemberAuthority {
    /// Reads an authority's certificate and private key, PEM; the key is that of the certificate.
    pub fn from_pem(certificate: &str, private_key: &SecretText) -> Result<Self> {
        let wrong = |problem: &dyn std::fmt::Display| MemberCertificateError::Authority(problem.to_string());
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| wrong(&"it is not in PEM"))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| wrong(&"its encoding is wrong"))?;
        if !parsed.is_ca() {
            return Err(wrong(&"it is not the certificate of an authority"));
        }
        let not_after =
            Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|error| wrong(&error))?;
        let key = KeyPair::from_pem(private_key.expose()).map_err(|error| wrong(&error))?;
        if key.subject_public_key_info() != parsed.public_key().raw {
            return Err(wrong(&"the private key does not belong to it"));
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(|error| wrong(&error))?;
        // What stands beside it in the file, such as the key, goes to nobody.
        let certificate = normal_pem(certificate.as_bytes()).map_err(|error| wrong(&error))?.swap_remove(0);
        Ok(Self { issuer, certificate, not_after })
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Past this nothing that it signs is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// A certificate, PEM, for the key of a request; of the request nothing but the key is taken.
    pub fn issue(
        &self,
        member: &MemberId,
        request: &str,
        valid: (Timestamp, Timestamp),
        rng: &dyn Rng,
    ) -> Result<String> {
        let request = CertificateSigningRequestParams::from_pem(request).map_err(MemberCertificateError::Request)?;
        let key = SubjectPublicKeyInfo::from_der(&request.public_key.subject_public_key_info())
            .map_err(MemberCertificateError::Request)?;
        let mut params = member_params(member, valid)?;
        params.serial_number = Some(serial(rng));
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(&key, &self.issuer).map_err(MemberCertificateError::Unmade)?.pem())
    }
}

impl std::fmt::Debug for MemberAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberAuthority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// What a certificate says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertifiedKey {
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub pin: Sha256,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// What a certificate of an authority says, as partner cards have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityCertificate {
    pub subject: String,
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub key: Sha256,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Reads a certificate of an authority, DER. Refuses one of version 1, one that is no authority's, and one that may not sign certificates;
/// the exchange looks at more when it enrols a card.
pub fn read_authority(der: &[u8]) -> Result<AuthorityCertificate> {
    let wrong = |problem: &str| MemberCertificateError::Authority(problem.to_owned());
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| wrong("its encoding is wrong"))?;
    if certificate.version() != X509Version::V3 || !certificate.is_ca() {
        return Err(wrong("it is not the certificate of an authority"));
    }
    let usage = certificate.key_usage().map_err(|_| wrong("it has an extension twice"))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(wrong("its key usage lacks `keyCertSign`"));
    }
    let instant = |seconds| Timestamp::from_second(seconds).map_err(|_| wrong("a date is out of range"));
    Ok(AuthorityCertificate {
        subject: certificate.subject().to_string(),
        key: Sha256::of(certificate.public_key().raw),
        not_before: instant(certificate.validity().not_before.timestamp())?,
        not_after: instant(certificate.validity().not_after.timestamp())?,
    })
}

/// Refuses the first certificate of a PEM as that of a member who cannot connect or sign with it: of version 1, an authority's, without
/// `clientAuth` or digital signatures, with a key of another kind than P-256, P-384 or Ed25519, or of somebody else.
pub fn check_member_certificate(pem: &[u8], member: &MemberId) -> Result<CertifiedKey> {
    let unfit = |problem: &str| MemberCertificateError::Unfit(problem.to_owned());
    let der = CertificateDer::from_pem_slice(pem).map_err(|_| unfit("it is not a certificate in PEM"))?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| unfit("its encoding is wrong"))?;
    if certificate.version() != X509Version::V3 {
        return Err(unfit("it is not of version 3; have the authority add extensions"));
    }
    if certificate.is_ca() {
        return Err(unfit("it is an authority's"));
    }
    let twice = |_| unfit("it has an extension twice");
    if certificate.key_usage().map_err(twice)?.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(unfit("its key usage lacks `digitalSignature`"));
    }
    if !certificate.extended_key_usage().map_err(twice)?.is_some_and(|usage| usage.value.client_auth) {
        return Err(unfit("its extended key usage lacks `clientAuth`"));
    }
    let pin = jws::check_key(&der)?;
    leaf::check_name(&der, member).map_err(|error| MemberCertificateError::Unfit(error.to_string()))?;
    let instant = |seconds| Timestamp::from_second(seconds).map_err(|_| unfit("a date is out of range"));
    Ok(CertifiedKey {
        pin,
        not_before: instant(certificate.validity().not_before.timestamp())?,
        not_after: instant(certificate.validity().not_after.timestamp())?,
    })
}

/// Refuses certificates, the member's first, that do not lead to one of these authorities at an instant.
pub fn check_chain(pem: &[u8], anchors: &[Vec<u8>], at: Timestamp) -> Result<()> {
    let unfit = |problem: String| MemberCertificateError::Unfit(problem);
    let mut chain = CertificateDer::pem_slice_iter(pem).filter_map(std::result::Result::ok);
    let leaf = chain.next().ok_or_else(|| unfit("it is not a certificate in PEM".to_owned()))?;
    let above: Vec<CertificateDer<'_>> = chain.collect();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(anchors.iter().map(|anchor| CertificateDer::from(anchor.as_slice())));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| unfit(error.to_string()))?;
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let verified = verifier.verify_client_cert(&leaf, &above, at);
    verified
        .map(drop)
        .map_err(|error| unfit(format!("it does not lead to an authority of the nation's card ({error})")))
}

/// The last instant at which the first certificate of a PEM is valid.
pub fn end_of(pem: &[u8]) -> Result<Timestamp> {
    let unfit = || MemberCertificateError::Unfit("it is not a certificate in PEM".to_owned());
    let der = CertificateDer::from_pem_slice(pem).map_err(|_| unfit())?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| unfit())?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).map_err(|_| unfit())
}

fn member_params(member: &MemberId, valid: (Timestamp, Timestamp)) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    let uri = member.san_uri();
    params.subject_alt_names =
        vec![SanType::URI(uri.as_str().try_into().map_err(|_| MemberCertificateError::Unsayable(uri.clone()))?)];
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, member.to_string());
    params.distinguished_name = name;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (instant(valid.0)?, instant(valid.1)?);
    Ok(params)
}

fn instant(at: Timestamp) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| MemberCertificateError::Unsayable(at.to_string()))
}

/// A positive serial number of 16 bytes that needs no padding in DER.
fn serial(rng: &dyn Rng) -> SerialNumber {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}
