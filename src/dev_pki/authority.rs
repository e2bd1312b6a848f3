//! A certificate authority of the development PKI, what it can be asked to issue, and bad certificates for tests.

use super::{DevPkiError, Result, write_new};
use crate::{
    domain::{
        ambient::Rng,
        id::{MemberId, Sha256},
    },
    sealing::{identity::SecretText, jws},
};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevocationReason, RevokedCertParams, SanType, SerialNumber,
};
use std::path::Path;
use time::OffsetDateTime;

/// A certificate authority that can still sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, PEM.
    pub certificate: String,
    valid: (Timestamp, Timestamp),
}

/// A certificate and its private key.
#[derive(Debug, Clone)]
pub struct CertificateAndKey {
    /// PEM.
    pub certificate: String,
    /// PKCS #8 in PEM.
    pub private_key: SecretText,
    pub serial: Vec<u8>,
    /// SHA-256 of the `SubjectPublicKeyInfo`, as cards pin it.
    pub spki: Sha256,
    /// Its last instant.
    pub valid_until: Timestamp,
}

/// What a certificate says; tests bend it.
#[derive(Debug, Clone)]
pub struct LeafProfile {
    pub common_name: String,
    /// URI in the subject alternative name.
    pub uri: Option<String>,
    /// DNS names and IP addresses in the subject alternative name.
    pub names: Vec<String>,
    pub valid_from: Timestamp,
    pub valid_until: Timestamp,
    pub usage: CertificatePurpose,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificatePurpose {
    Client,
    Server,
    /// No extended key usage at all, which an exchange must refuse.
    Unstated,
}

impl Authority {
    pub(super) fn new(name: (&str, &str), valid: (Timestamp, Timestamp), rng: &dyn Rng) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished(name.0, Some(name.1));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (instant(valid.0)?, instant(valid.1)?);
        params.serial_number = Some(SerialNumber::from_slice(&serial(rng)));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate, valid })
    }

    /// What an ordinary certificate of `member` says, for as long as the authority lasts.
    pub fn member(&self, member: &MemberId) -> LeafProfile {
        LeafProfile {
            common_name: member.to_string(),
            uri: Some(member.san_uri()),
            names: Vec::new(),
            valid_from: self.valid.0,
            valid_until: self.valid.1,
            usage: CertificatePurpose::Client,
        }
    }

    /// A certificate of `member` that ended a second before `now`. A member of another partner makes it one that claims
    /// what this authority cannot vouch for; so does [`Authority::issue`] with any other [`LeafProfile`].
    ///
    /// # Errors
    /// When the times cannot stand in a certificate.
    pub fn expired(&self, member: &MemberId, now: Timestamp, rng: &dyn Rng) -> Result<CertificateAndKey> {
        let valid_until = now - SignedDuration::from_secs(1);
        let valid_from = valid_until - SignedDuration::from_hours(24);
        self.issue(&LeafProfile { valid_from, valid_until, ..self.member(member) }, rng)
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    /// When a name or an instant cannot stand in a certificate.
    pub fn issue(&self, leaf: &LeafProfile, rng: &dyn Rng) -> Result<CertificateAndKey> {
        let mut params = CertificateParams::new(leaf.names.clone())?;
        if let Some(uri) = &leaf.uri {
            let uri = uri.as_str().try_into().map_err(|_| DevPkiError::Unsayable(uri.clone()))?;
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.distinguished_name = distinguished(&leaf.common_name, None);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match leaf.usage {
            CertificatePurpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            CertificatePurpose::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            CertificatePurpose::Unstated => Vec::new(),
        };
        (params.not_before, params.not_after) = (instant(leaf.valid_from)?, instant(leaf.valid_until)?);
        let serial = serial(rng).to_vec();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(CertificateAndKey {
            spki: jws::spki_sha256(certificate.der())?,
            certificate: certificate.pem(),
            private_key: key.serialize_pem().into(),
            serial,
            valid_until: leaf.valid_until,
        })
    }

    /// A revocation list, PEM, that names `revoked` and is good for as long as the authority. `number` grows with each.
    ///
    /// # Errors
    /// When an instant cannot stand in it.
    pub fn crl(&self, revoked: &[&CertificateAndKey], number: u64) -> Result<String> {
        let (this_update, next_update) = (instant(self.valid.0)?, instant(self.valid.1)?);
        let revoked_certs = revoked.iter().map(|credential| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&credential.serial),
            revocation_time: this_update,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.pem()?)
    }

    pub(super) fn write(&self, folder: &Path, name: &str) -> Result<()> {
        let key = SecretText::from(self.issuer.key().serialize_pem());
        write_pair(folder, name, &self.certificate, &key)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("valid", &self.valid).finish_non_exhaustive()
    }
}

impl CertificateAndKey {
    /// Writes `folder/name.crt` and `folder/name.key`.
    ///
    /// # Errors
    /// When one exists already or cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        write_pair(folder, name, &self.certificate, &self.private_key)
    }
}

fn write_pair(folder: &Path, name: &str, certificate: &str, key: &SecretText) -> Result<()> {
    write_new(&folder.join(format!("{name}.crt")), certificate.as_bytes(), false)?;
    write_new(&folder.join(format!("{name}.key")), key.expose().as_bytes(), true)
}

fn distinguished(common_name: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn instant(at: Timestamp) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| DevPkiError::Unsayable(at.to_string()))
}

/// A positive serial number of 16 bytes that needs no padding in DER.
fn serial(rng: &dyn Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    bytes[0] = bytes[0] & 0x3f | 0x40;
    bytes
}
