//! Where partners are kept, and where it is recorded whose revocation lists were found.

use crate::{
    domain::{
        id::{PartnerCode, Sha256},
        suspension::Suspension,
    },
    storage::partners::{FoundLists, ListRecord},
};
use futures_util::{FutureExt, future::BoxFuture};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::BTreeSet;

/// A partner as storage knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerTrust {
    pub code: PartnerCode,
    /// Its CA certificates.
    pub anchors: Vec<CertificateDer<'static>>,
    /// The keys of those who sign its key cards.
    pub registrars: BTreeSet<Sha256>,
    /// Revocation lists from elsewhere than the folder.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// What is on record of its lists in the folder.
    pub record: ListRecord,
    /// None while it takes part.
    pub suspension: Option<Suspension>,
}

/// Why partners cannot be loaded, or their lists recorded.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Where partners are kept.
pub trait PartnerSource: Send + Sync {
    /// All that are enrolled.
    fn partners(&self) -> BoxFuture<'static, Result<Vec<PartnerTrust>, SourceError>>;

    /// Records whose lists were found, of all these partners or of none; not of one whose record has changed since.
    fn record_lists(&self, found: Vec<FoundLists>) -> BoxFuture<'static, Result<(), SourceError>>;
}

/// Partners alone, for a caller who changes nothing.
impl<F, R> PartnerSource for F
where
    F: Fn() -> R + Send + Sync,
    R: Future<Output = Result<Vec<PartnerTrust>, SourceError>> + Send + 'static,
{
    fn partners(&self) -> BoxFuture<'static, Result<Vec<PartnerTrust>, SourceError>> {
        self().boxed()
    }

    fn record_lists(&self, _: Vec<FoundLists>) -> BoxFuture<'static, Result<(), SourceError>> {
        std::future::ready(Ok(())).boxed()
    }
}
