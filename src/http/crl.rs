//! Revocation lists: whether one can be relied on, and reading a folder of them.
//!
//! A list that cannot be used is a fault that somebody is told about; it is never skipped, because skipping one would
//! let a revoked certificate in.

use super::anchor::{Anchor, check_signature_algorithm};
use crate::domain::id::PartnerCode;
use jiff::Timestamp;
use rustls::{
    RootCertStore,
    pki_types::{CertificateRevocationListDer, Der, TrustAnchor, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use x509_parser::{prelude::FromDer, revocation_list::CertificateRevocationList, x509::SubjectPublicKeyInfo};

/// A revocation list that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    /// The whole list.
    pub der: CertificateRevocationListDer<'static>,
    /// When it was made.
    pub this_update: Timestamp,
    /// From then on it shuts out everybody it covers.
    pub next_update: Timestamp,
    /// Its issuer in DER, as certificates name theirs.
    pub(super) issuer_der: Vec<u8>,
}

/// Why a revocation list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlFault {
    #[error("holds no revocation list")]
    Empty,
    #[error("is malformed: {0}")]
    Malformed(String),
    #[error("names no next update")]
    NoNextUpdate,
    #[error("expired at {0}")]
    Expired(Timestamp),
    #[error("has a weak or unknown signature")]
    Signature,
    #[error("is of a kind that cannot be used: {0}")]
    Unsupported(String),
    #[error("comes from none of the partner's anchors")]
    Foreign,
}

impl CrlFault {
    /// What the operator or the partner can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Empty => "give revocation lists as PEM (`-----BEGIN X509 CRL-----`) or DER",
            Self::Expired(_) => "fetch the partner's current revocation list",
            Self::Malformed(_) | Self::NoNextUpdate | Self::Signature => "ask the partner for the list again",
            Self::Unsupported(_) => "ask the partner for a complete, direct list (no delta, no indirect list)",
            Self::Foreign => "check that the file is under the right partner's code, or enrol the CA that signs it",
        }
    }
}

/// Reads every list in a PEM or DER file. Dates are not judged: one that has expired must keep shutting people out.
pub fn read_crls(pem_or_der: &[u8]) -> Result<Vec<RevocationList>, CrlFault> {
    let is_pem = pem_or_der.windows(11).any(|window| window == b"-----BEGIN ");
    let lists: Vec<CertificateRevocationListDer<'static>> = if is_pem {
        CertificateRevocationListDer::pem_slice_iter(pem_or_der)
            .collect::<Result<_, _>>()
            .map_err(|error| CrlFault::Malformed(error.to_string()))?
    } else {
        (!pem_or_der.is_empty()).then(|| pem_or_der.to_vec().into()).into_iter().collect()
    };
    if lists.is_empty() { Err(CrlFault::Empty) } else { lists.into_iter().map(RevocationList::read).collect() }
}

/// Judges the lists in a file against their partner's anchors at `now`: what the operator is told on `--check`.
pub fn check_crls(pem_or_der: &[u8], anchors: &[Anchor], now: Timestamp) -> Result<Vec<RevocationList>, CrlFault> {
    let lists = read_crls(pem_or_der)?;
    for list in &lists {
        if now >= list.next_update {
            return Err(CrlFault::Expired(list.next_update));
        }
        let named = || anchors.iter().filter(|anchor| anchor.subject_der == list.issuer_der);
        // A list of an intermediate cannot be traced before a member shows the intermediate.
        let of_anchor = named().next().is_some();
        if of_anchor && !named().any(|anchor| list.is_signed_by(anchor)) {
            return Err(CrlFault::Foreign);
        }
    }
    Ok(lists)
}

impl RevocationList {
    fn read(der: CertificateRevocationListDer<'static>) -> Result<Self, CrlFault> {
        let (rest, list) = CertificateRevocationList::from_der(&der).map_err(|e| CrlFault::Malformed(e.to_string()))?;
        if !rest.is_empty() {
            return Err(CrlFault::Malformed("bytes follow the list".into()));
        }
        check_signature_algorithm(&list.signature_algorithm).map_err(|_| CrlFault::Signature)?;
        let next_update = list.next_update().ok_or(CrlFault::NoNextUpdate)?;
        accepted_by_rustls(&der)?;
        Ok(Self {
            this_update: instant(list.last_update().timestamp())?,
            next_update: instant(next_update.timestamp())?,
            issuer_der: list.issuer().as_raw().to_vec(),
            der: der.clone(),
        })
    }

    /// Whether this anchor's key signed the list, as far as the parser can verify: the handshake verifies it in any case.
    pub(super) fn is_signed_by(&self, anchor: &Anchor) -> bool {
        let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return false };
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&anchor.der) else { return false };
        let key: &SubjectPublicKeyInfo<'_> = certificate.public_key();
        list.verify_signature(key).is_ok()
    }
}

/// The files of a folder that hold one partner's lists, and files that belong to nobody.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CrlFiles {
    pub by_partner: BTreeMap<PartnerCode, Vec<PathBuf>>,
    /// Files whose name is no partner code: very likely a misspelling, so never passed over in silence.
    pub strays: Vec<PathBuf>,
}

impl CrlFiles {
    /// Looks through `<CODE>.pem`, `<CODE>.crl` and the files in `<CODE>/`. Hidden files and `README*` are not lists.
    pub fn find(folder: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        for path in entries(folder)? {
            let is_folder = path.is_dir();
            let name = if is_folder { path.file_name() } else { path.file_stem() };
            let code = name.and_then(|name| name.to_str()).and_then(|name| name.parse::<PartnerCode>().ok());
            let is_list = is_folder || matches!(path.extension().and_then(|e| e.to_str()), Some("pem" | "crl"));
            match code {
                Some(code) if is_folder => files.by_partner.entry(code).or_default().extend(entries(&path)?),
                Some(code) if is_list => files.by_partner.entry(code).or_default().push(path),
                _ => files.strays.push(path),
            }
        }
        Ok(files)
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !name.starts_with("README") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Has rustls parse the list, the only way to learn what it cannot use (delta and indirect lists, odd scopes).
fn accepted_by_rustls(der: &CertificateRevocationListDer<'static>) -> Result<(), CrlFault> {
    // Any anchor will do: parsing a list does not look at it.
    let nobody = TrustAnchor {
        subject: Der::from_slice(&[]),
        subject_public_key_info: Der::from_slice(&[]),
        name_constraints: None,
    };
    let store = Arc::new(RootCertStore { roots: vec![nobody] });
    WebPkiClientVerifier::builder_with_provider(store, super::tls::provider())
        .with_crls([der.clone()])
        .build()
        .map(|_| ())
        .map_err(|error| CrlFault::Unsupported(error.to_string()))
}

fn instant(seconds: i64) -> Result<Timestamp, CrlFault> {
    Timestamp::from_second(seconds).map_err(|_| CrlFault::Malformed("a date is out of range".into()))
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests {
    use super::*;
    use crate::http::test_pki::{Ca, day, instant_of_day};

    #[test]
    fn list_of_the_anchor_is_accepted_in_both_encodings() {
        let ca = Ca::new("Root");
        let list = ca.crl(&[7], day(30));
        let pem = format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", base64(&list));
        for bytes in [list.to_vec(), pem.into_bytes()] {
            let lists = check_crls(&bytes, &[ca.anchor()], instant_of_day(1)).unwrap();
            assert_eq!(lists[0].next_update, instant_of_day(30));
        }
    }

    #[test]
    fn each_fault_of_a_list_is_told_apart() {
        let (ca, namesake) = (Ca::new("Root"), Ca::new("Root"));
        let list = ca.crl(&[7], day(30));
        let now = instant_of_day(1);
        assert_eq!(check_crls(&list, &[namesake.anchor()], now), Err(CrlFault::Foreign));
        assert_eq!(check_crls(&list, &[ca.anchor()], instant_of_day(30)), Err(CrlFault::Expired(instant_of_day(30))));
        assert_eq!(check_crls(b"", &[], now), Err(CrlFault::Empty));
        assert!(matches!(check_crls(&list[..40], &[], now), Err(CrlFault::Malformed(_))));
        assert!(matches!(check_crls(&ca.der, &[], now), Err(CrlFault::Malformed(_))));
    }

    #[test]
    fn folder_is_read_by_partner_code_and_strays_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), "x").unwrap();
        std::fs::create_dir(folder.path().join("KOR")).unwrap();
        for name in ["ISR.crl", "USA.pem", "KOR/a.crl", "KOR/b", "isr.crl", "GBR.txt", ".hidden", "README.md"] {
            put(name);
        }
        let files = CrlFiles::find(folder.path()).unwrap();
        let found: Vec<_> = files.by_partner.iter().map(|(code, paths)| (code.as_str(), paths.len())).collect();
        assert_eq!(found, [("ISR", 1), ("KOR", 2), ("USA", 1)]);
        let strays: Vec<_> = files.strays.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(strays, ["GBR.txt", "isr.crl"]);
    }

    fn base64(bytes: &[u8]) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD.encode(bytes)
    }
}
