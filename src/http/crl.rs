//! Revocation lists: whether one can be relied on, and for which certificates it speaks.
//!
//! A list that cannot be used is a fault that is reported to the operator; it is never skipped without a word. Two legal kinds say nothing
//! about members' certificates as a whole and are set aside, which is reported too: delta lists, and lists of CA or attribute
//! certificates alone. Rules are from RFC 5280, 5.

mod files;
mod points;

pub use files::CrlFiles;
pub(super) use points::PointName;

use super::{
    anchor::{Anchor, check_signature_algorithm, instant},
    signed::{Element, SignedDer, elements},
};
use crate::domain::id::Sha256;
use jiff::Timestamp;
use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{ParsedExtension, X509Extension},
    oid_registry::asn1_rs::oid,
    prelude::FromDer,
    revocation_list::CertificateRevocationList,
};

/// The longest file that is read: a million revoked certificates.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// The most lists that one file may hold.
const MAX_LISTS: usize = 100;

/// A revocation list that can be used.
#[derive(Debug)]
pub struct RevocationList {
    /// When it was made.
    pub this_update: Timestamp,
    /// From then on it shuts out everybody it covers; the end of time when its issuer set none (`99991231235959Z`).
    pub next_update: Timestamp,
    /// Its issuer, for people.
    pub issuer: String,
    /// Of the whole list.
    pub sha256: Sha256,
    pub(super) scope: Scope,
    /// Its number, big-endian and without zeros in front; none is the lowest.
    number: Vec<u8>,
    der: CertificateRevocationListDer<'static>,
    revoked: HashSet<Box<[u8]>>,
    /// Keys (by their digest) that were found to have signed it, or not. Only keys of accepted issuers are ever asked about.
    signers: Mutex<HashMap<Sha256, bool>>,
}

/// What a list speaks for: a later list of the same scope takes its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    /// The issuer in DER, as certificates name theirs.
    pub(super) issuer_der: Vec<u8>,
    /// Which of the issuer's keys signed it, if it says so.
    pub(super) key_id: Option<Vec<u8>>,
    /// Names of the distribution point whose certificates it is about; all certificates when the list names no point.
    pub(super) points: Vec<PointName>,
}

/// The content of a file of revocation lists.
#[derive(Debug)]
pub enum RevocationFile {
    List(Box<RevocationList>),
    /// A legal list that has no say here.
    Aside(Aside),
}

/// Why a legal list has no say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Aside {
    #[error("is a delta list, which only adds to a complete one")]
    Delta,
    #[error("is about certificates of authorities alone")]
    AuthoritiesOnly,
    #[error("is about attribute certificates alone")]
    AttributesOnly,
}

/// Why a revocation list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlFault {
    #[error("holds no revocation list")]
    Empty,
    #[error("is longer than {MAX_FILE_BYTES} bytes")]
    TooLong,
    #[error("comes after the first {MAX_LISTS} of its file and is not read")]
    TooMany,
    #[error("is malformed: {0}")]
    Malformed(String),
    #[error("names no next update")]
    NoNextUpdate,
    #[error("has a weak or unknown signature")]
    Signature,
    #[error("is of a kind that cannot be used: {0}")]
    Unsupported(String),
    #[error("names one of the partner's anchors as its issuer, but that anchor did not sign it")]
    Foreign,
    #[error("is signed by an anchor that may not sign revocation lists: its key usage lacks `cRLSign`")]
    NoCrlSign,
}

impl CrlFault {
    /// What the operator or the partner can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Empty => "give revocation lists as PEM (`-----BEGIN X509 CRL-----`) or DER",
            Self::TooLong => "ask the partner for a list for each distribution point",
            Self::TooMany => "divide the file into several in the partner's folder",
            Self::Malformed(_) | Self::NoNextUpdate | Self::Signature => "ask the partner for the list again",
            Self::Unsupported(_) => "ask the partner for a complete, direct list for all reasons",
            Self::Foreign => "check that the file is under the right partner's code, or enrol the CA that signs it",
            Self::NoCrlSign => {
                "ask the partner for a CA certificate with the key usage `cRLSign`, or for the list of one that has it"
            }
        }
    }
}

/// Reads every list in a PEM or DER file, each by itself: one that cannot be used does not hide the others. Dates are not judged here:
/// one that has expired must keep shutting people out.
pub fn read_crls(pem_or_der: &[u8]) -> Vec<Result<RevocationFile, CrlFault>> {
    if pem_or_der.len() as u64 > MAX_FILE_BYTES {
        return vec![Err(CrlFault::TooLong)];
    }
    let is_pem = pem_or_der.windows(11).any(|window| window == b"-----BEGIN ");
    // A sequence, as all that is DER here begins.
    if !is_pem && pem_or_der.first() == Some(&0x30) {
        return vec![read(pem_or_der.to_vec().into())];
    }
    let mut lists = CertificateRevocationListDer::pem_slice_iter(pem_or_der);
    let mut found: Vec<_> = lists
        .by_ref()
        .take(MAX_LISTS)
        .map(|der| der.map_err(|error| CrlFault::Malformed(error.to_string())).and_then(read))
        .collect();
    if lists.next().is_some() {
        found.push(Err(CrlFault::TooMany));
    }
    if found.is_empty() {
        found.push(Err(CrlFault::Empty));
    }
    found
}

fn read(der: CertificateRevocationListDer<'static>) -> Result<RevocationFile, CrlFault> {
    let malformed = |what: &str| CrlFault::Malformed(what.to_owned());
    let (rest, list) = CertificateRevocationList::from_der(&der).map_err(|e| CrlFault::Malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed("bytes follow the list"));
    }
    list.tbs_cert_list.extensions_map().map_err(|error| CrlFault::Malformed(error.to_string()))?;
    let mut scope = Scope { issuer_der: list.issuer().as_raw().to_vec(), key_id: None, points: Vec::new() };
    let mut number = Vec::new();
    for extension in list.extensions() {
        if let ParsedExtension::CRLNumber(found) = extension.parsed_extension() {
            number = found.to_bytes_be();
        }
        if let Some(aside) = read_extension(extension, &mut scope)? {
            return Ok(RevocationFile::Aside(aside));
        }
    }
    if list.signature_algorithm != list.tbs_cert_list.signature {
        return Err(malformed("its two signature algorithms differ"));
    }
    check_signature_algorithm(&list.signature_algorithm).map_err(|_| CrlFault::Signature)?;
    let date = |time| instant(time).map_err(|_| malformed("a date is out of range"));
    let next_update = list.next_update().ok_or(CrlFault::NoNextUpdate)?;
    let mut revoked = HashSet::new();
    for entry in list.iter_revoked_certificates() {
        // A critical extension of an entry may make it an entry of another issuer's certificate.
        if let Some(extension) = entry.extensions().iter().find(|extension| extension.critical) {
            let oid = extension.oid.to_id_string();
            return Err(CrlFault::Unsupported(format!("an entry has the critical extension `{oid}`")));
        }
        revoked.insert(serial(entry.raw_serial()).into());
    }
    let (this_update, next_update) = (date(list.last_update())?, date(next_update)?);
    let (issuer, sha256) = (list.issuer().to_string(), Sha256::of(&der));
    let signers = Mutex::default();
    let list = RevocationList { this_update, next_update, issuer, sha256, scope, number, der, revoked, signers };
    Ok(RevocationFile::List(Box::new(list)))
}

/// What an extension says of the list's scope, or that the list has no say here at all.
fn read_extension(extension: &X509Extension<'_>, scope: &mut Scope) -> Result<Option<Aside>, CrlFault> {
    if extension.oid == oid!(2.5.29.27) {
        return Ok(Some(Aside::Delta));
    }
    if extension.oid == oid!(2.5.29.28) {
        return read_point(extension.value, scope);
    }
    match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => {
            scope.key_id = authority.key_identifier.as_ref().map(|id| id.0.to_vec());
        }
        ParsedExtension::CRLNumber(_) => {}
        _ if extension.critical => {
            let oid = extension.oid.to_id_string();
            return Err(CrlFault::Unsupported(format!("it has the critical extension `{oid}`")));
        }
        _ => {}
    }
    Ok(None)
}

/// The issuing distribution point of RFC 5280, 5.2.5.
fn read_point(value: &[u8], scope: &mut Scope) -> Result<Option<Aside>, CrlFault> {
    let malformed = || CrlFault::Malformed("its issuing distribution point cannot be read".into());
    let unsupported = |what: &str| CrlFault::Unsupported(what.to_owned());
    let outer = elements(value).ok_or_else(malformed)?;
    let [Element { tag: 0x30, contents, .. }] = outer[..] else { return Err(malformed()) };
    let mut aside = None;
    for part in elements(contents).ok_or_else(malformed)? {
        let is_set = part.contents.iter().any(|byte| *byte != 0);
        match part.tag {
            0xa0 => scope.points = points::of_list(part.contents, &scope.issuer_der).ok_or_else(malformed)?,
            0x82 if is_set => aside = Some(Aside::AuthoritiesOnly),
            0x83 => return Err(unsupported("it covers some reasons for revocation only")),
            0x84 if is_set => return Err(unsupported("it is an indirect list, for certificates of other issuers")),
            0x85 if is_set => aside = Some(Aside::AttributesOnly),
            // Of users alone, 0x81, is of all that are looked up.
            0x81 | 0x82 | 0x84 | 0x85 => {}
            _ => return Err(malformed()),
        }
    }
    Ok(aside)
}

impl RevocationList {
    /// Whether this key (a `SubjectPublicKeyInfo` in DER) signed the list.
    pub(super) fn is_signed_by(&self, spki: &[u8]) -> bool {
        let key = Sha256::of(spki);
        if let Some(known) = self.signers().get(&key) {
            return *known;
        }
        // Not under the lock: a long list takes a while to hash.
        let is_by = SignedDer::read(&self.der).is_some_and(|list| list.is_by(spki));
        self.signers().insert(key, is_by);
        is_by
    }

    /// What is newer ranks higher: by its date, and of one date by its number (RFC 5280, 5.2.3).
    pub(super) fn rank(&self) -> (Timestamp, usize, &[u8]) {
        (self.this_update, self.number.len(), &self.number)
    }

    /// The keys that were found to have signed it, by their digest.
    pub(super) fn proved_by(&self) -> Vec<Sha256> {
        self.signers().iter().filter(|(_, signed)| **signed).map(|(key, _)| *key).collect()
    }

    /// Whether the list speaks for this certificate of its issuer (RFC 5280, 6.3.3 b).
    pub(super) fn covers(&self, certificate: &X509Certificate<'_>) -> bool {
        let points = &self.scope.points;
        points.is_empty() || points::of_certificate(certificate).iter().any(|name| points.contains(name))
    }

    pub(super) fn revokes(&self, certificate: &X509Certificate<'_>) -> bool {
        self.revoked.contains(serial(certificate.raw_serial()))
    }

    /// Judges whether a list that names an anchor is really its own. A list of an intermediate, or of another key of the same
    /// name, cannot be traced before a member shows the certificate.
    pub(super) fn check_origin(&self, anchors: &[Anchor]) -> Result<(), CrlFault> {
        let own = |anchor: &&Anchor| {
            anchor.subject_der == self.scope.issuer_der
                && match (&self.scope.key_id, &anchor.key_id) {
                    (Some(list), Some(anchor)) => list == anchor,
                    _ => true,
                }
        };
        let named: Vec<_> = anchors.iter().filter(own).collect();
        let signers: Vec<_> = named.iter().filter(|anchor| self.is_signed_by(&anchor.spki_der)).collect();
        match (named.is_empty(), signers.is_empty()) {
            (false, true) => Err(CrlFault::Foreign),
            // Of several certificates for one key one that allows it is enough.
            (false, false) if !signers.iter().any(|anchor| anchor.signs_lists) => Err(CrlFault::NoCrlSign),
            _ => Ok(()),
        }
    }

    fn signers(&self) -> std::sync::MutexGuard<'_, HashMap<Sha256, bool>> {
        self.signers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A serial number without the zeros that some encoders put before it.
fn serial(raw: &[u8]) -> &[u8] {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    &raw[zeros.min(raw.len().saturating_sub(1))..]
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
