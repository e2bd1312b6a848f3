//! Who is at the other end of a connection, as far as TLS can tell.
//!
//! The anchor that vouches for the certificate decides the partner; names inside the certificate never do, they are only
//! checked against it. Which member of the partner it is, and whether that member's key card pins this certificate, is
//! decided later, from the database.

use super::{
    anchor,
    refusal::{CertificateRefusal, EdgeRefusal},
    trust::{Registry, Trust},
};
use crate::{
    domain::id::{MemberId, PartnerCode, Sha256},
    service::Credential,
};
use axum::{extract::FromRequestParts, http::request::Parts};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};
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
}

/// The verified peer of a connection: an extractor for handlers, cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer(Arc<State>);

#[derive(Debug)]
struct State {
    identity: PeerIdentity,
    intermediates: Vec<CertificateDer<'static>>,
    address: SocketAddr,
    trust: Arc<Trust>,
    /// Generation of the registry that last accepted the certificate, and until when that holds (seconds).
    generation: AtomicU64,
    recheck_at: AtomicI64,
}

impl Peer {
    /// The peer of a fresh connection, accepted by the registry of this generation.
    #[must_use]
    pub fn new(
        identity: PeerIdentity,
        intermediates: Vec<CertificateDer<'static>>,
        generation: u64,
        address: SocketAddr,
        trust: Arc<Trust>,
    ) -> Self {
        let recheck_at = AtomicI64::new(identity.recheck_at.as_second());
        Self(Arc::new(State { identity, intermediates, address, trust, generation: generation.into(), recheck_at }))
    }

    /// Where the connection comes from. For the operator's eyes; no rule may depend on it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Judges the certificate by the trust now in force. Costs next to nothing while that is what it was.
    pub fn still_accepted(&self) -> Result<(), CertificateRefusal> {
        let trust = &self.0.trust;
        self.recheck(&trust.registry(), trust.clock().now())
    }

    /// Judges the certificate again if trust has changed or a date has passed since it was last judged.
    fn recheck(&self, registry: &Registry, now: Timestamp) -> Result<(), CertificateRefusal> {
        let state = &*self.0;
        let same_trust = state.generation.load(Ordering::Acquire) == registry.generation();
        if same_trust && now.as_second() < state.recheck_at.load(Ordering::Acquire) {
            return Ok(());
        }
        let again = registry.identify(&state.identity.leaf_der, &state.intermediates, now)?;
        if again.partner != state.identity.partner {
            // The anchor moved to another partner; who is at the other end must be found out afresh.
            return Err(CertificateRefusal::UnknownIssuer);
        }
        state.recheck_at.store(again.recheck_at.as_second(), Ordering::Release);
        state.generation.store(registry.generation(), Ordering::Release);
        Ok(())
    }
}

impl Credential for Peer {
    fn check(&self) -> Result<(), String> {
        self.still_accepted().map_err(|refusal| refusal.to_string())
    }
}

impl Deref for Peer {
    type Target = PeerIdentity;

    fn deref(&self) -> &PeerIdentity {
        &self.0.identity
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = EdgeRefusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, EdgeRefusal> {
        parts.extensions.get::<Self>().cloned().ok_or(EdgeRefusal::CertificateRequired)
    }
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

fn instant(time: ASN1Time) -> Result<Timestamp, CertificateRefusal> {
    anchor::instant(time).map_err(|_| CertificateRefusal::Malformed("a date is out of range"))
}
