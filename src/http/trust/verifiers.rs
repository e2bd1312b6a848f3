//! One anchor at a time: what a certificate must be like to pass by it.

use super::{
    super::{
        anchor::{Anchor, AnchorFault},
        crypto::provider,
        path::{OtherHolder, PresentedCertificates},
        refusal::CertificateRefusal,
        revocation::{Issuer, Lists},
    },
    TrustFault, unix,
};
use crate::domain::{
    id::{PartnerCode, Sha256},
    suspension::Suspension,
};
use jiff::Timestamp;
use rustls::{
    RootCertStore,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{collections::BTreeSet, sync::Arc};

/// A partner's anchors, each with its verifier, and its lists.
#[derive(Debug)]
pub(super) struct PartnerVerifiers {
    pub(super) anchors: Vec<Anchor>,
    pub(super) verifiers: Vec<Arc<AnchorVerifier>>,
    pub(super) lists: Arc<Lists>,
    /// The keys of those who sign its key cards.
    pub(super) registrars: BTreeSet<Sha256>,
    /// None while it takes part.
    pub(super) suspension: Option<Suspension>,
    /// Over all of it: shows whether anything changed.
    pub(super) digest: Sha256,
}

impl PartnerVerifiers {
    pub(super) fn build(
        partner: &PartnerCode,
        anchors: Vec<Anchor>,
        lists: Arc<Lists>,
        registrars: BTreeSet<Sha256>,
        suspension: Option<Suspension>,
    ) -> Result<Self, TrustFault> {
        let verifiers = anchors
            .iter()
            .map(|anchor| AnchorVerifier::build(anchor, Arc::clone(&lists)).map(Arc::new))
            .collect::<Result<_, _>>()
            .map_err(|fault| TrustFault::Anchor { partner: partner.clone(), fault })?;
        let parts = anchors.iter().map(|anchor| Sha256::of(&anchor.der)).chain(lists.digests());
        let suspended = suspension.map(|found| Sha256::of(format!("{} {}", found.since, found.reason).as_bytes()));
        let parts = parts.chain(registrars.iter().copied()).chain(suspended);
        let digest: Vec<u8> = parts.flat_map(|digest| *digest.as_bytes()).collect();
        Ok(Self { verifiers, lists, registrars, suspension, digest: Sha256::of(&digest), anchors })
    }

    /// The keys it vouches by.
    pub(super) fn keys(&self) -> impl Iterator<Item = Sha256> {
        self.anchors.iter().map(|anchor| anchor.spki_sha256)
    }
}

/// One anchor with its partner's lists.
#[derive(Debug)]
pub(super) struct AnchorVerifier {
    pub(super) anchor: Anchor,
    verifier: Arc<dyn ClientCertVerifier>,
    lists: Arc<Lists>,
}

/// What is known of a certificate that passes by an anchor.
pub(super) struct Accepted {
    /// When the first of it and the authorities above it ends.
    pub(super) chain_ends_at: Timestamp,
    /// When to look again: then, or when a revocation list is to be newer.
    pub(super) recheck_at: Timestamp,
}

impl AnchorVerifier {
    fn build(anchor: &Anchor, lists: Arc<Lists>) -> Result<Self, AnchorFault> {
        let malformed = |error: String| AnchorFault::Malformed(error);
        let mut roots = RootCertStore::empty();
        roots.add(anchor.der.clone()).map_err(|error| malformed(error.to_string()))?;
        // Revocation is looked up here and not there: rustls refuses legal lists, and of several by one name takes the first.
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let verifier = builder.build().map_err(|error| malformed(error.to_string()))?;
        Ok(Self { anchor: anchor.clone(), verifier, lists })
    }

    /// Until when the certificate passes by this anchor, as things stand, or why it does not.
    pub(super) fn accepts(
        &self,
        shown: &PresentedCertificates<'_>,
        other_holder: OtherHolder<'_>,
        now: Timestamp,
    ) -> Result<Accepted, CertificateRefusal> {
        let path = shown.path_to(&self.anchor, other_holder, now)?;
        if path.is_plain {
            let between: Vec<_> = path.between.iter().map(|link| link.der.clone()).collect();
            let verified = self.verifier.verify_client_cert(shown.leaf.der, &between, unix(now));
            verified.map_err(|error| CertificateRefusal::from_tls(&error))?;
        }
        if now > self.anchor.not_after || now < self.anchor.not_before {
            return Err(CertificateRefusal::AnchorExpired);
        }
        let anchor = &self.anchor;
        let issuer = match path.between.first() {
            Some(authority) => authority.as_issuer()?,
            None => {
                Issuer { subject_der: &anchor.subject_der, spki_der: &anchor.spki_der, signs_lists: anchor.signs_lists }
            }
        };
        let listed = self.lists.check(&shown.leaf.read, issuer, now)?;
        let chain_ends_at = path.not_after.min(anchor.not_after);
        Ok(Accepted { chain_ends_at, recheck_at: chain_ends_at.min(listed) })
    }
}
