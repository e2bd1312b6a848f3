//! Who is at the other end of a connection, as far as TLS shows.
//!
//! The anchor that vouches for the certificate decides the partner; names inside the certificate never do, they are only
//! checked against it. Which member of the partner it is, and whether that member's key card pins this certificate, is
//! decided later, from the database.

use super::{
    leaf::PeerIdentity,
    refusal::{CertificateRefusal, EdgeRefusal},
    trust::{Registry, Trust},
};
use crate::{
    domain::suspension::Suspension,
    service::{Credential, endings::ListsHeld},
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

/// The verified peer of a connection: an extractor for handlers, cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer {
    state: Arc<ConnectionState>,
    /// Whether the present request is one of those that are left to registrars of a suspended partner.
    is_left_to_registrars: bool,
}

#[derive(Debug)]
struct ConnectionState {
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
        let state =
            ConnectionState { identity, intermediates, address, trust, generation: generation.into(), recheck_at };
        Self { state: Arc::new(state), is_left_to_registrars: false }
    }

    /// The same peer for one request.
    #[must_use]
    pub(super) fn for_request(self, is_left_to_registrars: bool) -> Self {
        Self { is_left_to_registrars, ..self }
    }

    /// Where the connection comes from. For the operator's eyes; no rule may depend on it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// Whether the partner's card in force names the key as a registrar's. It permits nothing: it keeps a place in what all share.
    #[must_use]
    pub fn is_registrar(&self) -> bool {
        self.state.trust.registry().is_registrar(&self.partner, &self.spki_sha256)
    }

    /// Since when and why the partner takes no part.
    #[must_use]
    pub fn suspension(&self) -> Option<Suspension> {
        self.state.trust.registry().suspension(&self.partner)
    }

    /// Until when the partner's revocation lists hold.
    #[must_use]
    pub fn lists(&self) -> ListsHeld {
        self.state.trust.registry().lists_of(&self.partner)
    }

    /// Whether the partner takes part, or this is a registrar's request by which it puts its keys in order before it does.
    fn check_suspension(&self) -> Result<(), String> {
        match self.suspension() {
            Some(suspension) if !self.outlasts_suspension() => Err(suspension.of(&self.partner)),
            _ => Ok(()),
        }
    }

    /// Judges the certificate by the trust now in force. Costs next to nothing while that is what it was.
    pub fn still_accepted(&self) -> Result<(), CertificateRefusal> {
        let trust = &self.state.trust;
        self.recheck(&trust.registry(), trust.clock().now())
    }

    /// Judges another certificate by the trust now in force.
    pub(super) fn would_accept(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
    ) -> Result<PeerIdentity, CertificateRefusal> {
        let trust = &self.state.trust;
        trust.registry().identify(leaf, above, trust.clock().now())
    }

    /// Judges the certificate again if trust has changed or a date has passed since it was last judged.
    fn recheck(&self, registry: &Registry, now: Timestamp) -> Result<(), CertificateRefusal> {
        let state = &*self.state;
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
        self.still_accepted().map_err(|refusal| refusal.to_string())?;
        self.check_suspension()
    }

    fn outlasts_suspension(&self) -> bool {
        self.is_left_to_registrars && self.is_registrar()
    }
}

impl Deref for Peer {
    type Target = PeerIdentity;

    fn deref(&self) -> &PeerIdentity {
        &self.state.identity
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = EdgeRefusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, EdgeRefusal> {
        parts.extensions.get::<Self>().cloned().ok_or(EdgeRefusal::CertificateRequired)
    }
}
