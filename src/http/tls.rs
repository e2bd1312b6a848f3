//! The TLS side of the API listener: version, algorithms, the server's own certificate, and the question to the registry.
//!
//! A resumed session would skip client verification, so sessions are never resumed: no tickets, no session cache, no early data. Each
//! handshake gets a configuration made of the trust and the certificate in force at that moment, and a verifier that
//! remembers whom it accepted; nothing outlives a change of trust but the connections themselves, which are judged again
//! per request.

use super::{
    anchor::instant,
    crypto::provider,
    leaf::PeerIdentity,
    refusal::RefusedCertificate,
    trust::{Registry, Reloaded, Trust, TrustError, unix},
};
use crate::{domain::ambient::Clock, metrics};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
};
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use x509_parser::prelude::FromDer;

/// Where the server's certificate and key are, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
}

/// Why the server's own certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read `{}`: {cause}", .file.display())]
    Certificate { file: PathBuf, cause: String },
    #[error("cannot read the private key `{}`: {cause}", .file.display())]
    PrivateKey { file: PathBuf, cause: String },
    #[error("the private key `{}` is not the one of the certificate", .file.display())]
    Mismatch { file: PathBuf },
    #[error("the certificate `{}` expired at {at}", .file.display())]
    Expired { file: PathBuf, at: Timestamp },
    #[error("the certificate `{}` is not valid before {at}", .file.display())]
    NotYetValid { file: PathBuf, at: Timestamp },
    #[error("the certificate `{}` is not for TLS servers", .file.display())]
    NotForServers { file: PathBuf },
}

impl CertificateError {
    /// The setting it is about.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::PrivateKey { .. } | Self::Mismatch { .. } => "api.private_key",
            _ => "api.certificate",
        }
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "give a PEM file with the server's certificate first, then its intermediates",
            Self::PrivateKey { .. } => "give a PEM file with an unencrypted key that the server's account can read",
            Self::Mismatch { .. } => "give the key that was made for this certificate",
            Self::Expired { .. } => "renew the certificate; a running server takes it up by itself",
            Self::NotYetValid { .. } => "use it from that time on, and check this machine's clock",
            Self::NotForServers { .. } => "ask your CA for one with the extended key usage `serverAuth`",
        }
    }
}

/// The server's certificate and key, found fit for use.
#[derive(Debug)]
pub struct ServerCertificate {
    key: Arc<CertifiedKey>,
    not_after: Timestamp,
}

impl ServerCertificate {
    /// Reads and judges both files at `now`.
    pub fn read(files: &CertificateFiles, now: Timestamp) -> Result<Self, CertificateError> {
        let file = || files.certificate.clone();
        let bad = |cause: String| CertificateError::Certificate { file: file(), cause };
        let text = std::fs::read(&files.certificate).map_err(|error| bad(error.to_string()))?;
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
        let leaf = chain.first().ok_or_else(|| bad("it holds no certificate".into()))?;
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(leaf).map_err(|e| bad(e.to_string()))?;
        let instant = |time| instant(time).map_err(|fault| bad(fault.to_string()));
        let not_before = instant(parsed.validity().not_before)?;
        let not_after = instant(parsed.validity().not_after)?;
        if now > not_after {
            return Err(CertificateError::Expired { file: file(), at: not_after });
        }
        if now < not_before {
            return Err(CertificateError::NotYetValid { file: file(), at: not_before });
        }
        let purposes = parsed.extended_key_usage().map_err(|error| bad(error.to_string()))?;
        if purposes.is_some_and(|purposes| !purposes.value.server_auth && !purposes.value.any) {
            return Err(CertificateError::NotForServers { file: file() });
        }
        let key_file = || files.private_key.clone();
        let bad_key = |cause: String| CertificateError::PrivateKey { file: key_file(), cause };
        let pem = zeroize::Zeroizing::new(std::fs::read(&files.private_key).map_err(|e| bad_key(e.to_string()))?);
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| bad_key(error.to_string()))?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(_) => CertificateError::Mismatch { file: key_file() },
            error => bad_key(error.to_string()),
        })?;
        Ok(Self { key: Arc::new(key), not_after })
    }
}

/// Everything a handshake needs, renewed by [`Tls::reload`] without touching a connection.
#[derive(Debug)]
pub struct Tls {
    trust: Arc<Trust>,
    files: CertificateFiles,
    certificate: ArcSwap<SingleCertAndKey>,
    expires_at: ArcSwap<Timestamp>,
}

/// What a reload of trust and certificate came to; one may fail without the other.
#[derive(Debug)]
pub struct TlsReloaded {
    pub trust: Result<Reloaded, TrustError>,
    pub certificate: Result<(), CertificateError>,
}

impl TlsReloaded {
    /// Whether everything is as its sources say.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.certificate.is_ok() && self.trust.as_ref().is_ok_and(Reloaded::is_as_its_sources_say)
    }
}

impl Tls {
    /// Reads the server's certificate; trust has been started before.
    pub fn start(files: CertificateFiles, trust: Arc<Trust>) -> Result<Arc<Self>, CertificateError> {
        let certificate = ServerCertificate::read(&files, trust.clock().now())?;
        metrics::certificate_expires(certificate.not_after);
        let expires_at = ArcSwap::from_pointee(certificate.not_after);
        let certificate = ArcSwap::from_pointee(SingleCertAndKey::from(certificate.key));
        Ok(Arc::new(Self { trust, files, certificate, expires_at }))
    }

    /// Loads trust and certificate again. Whatever fails stays as it was, said in the log and the metrics.
    pub async fn reload(&self) -> TlsReloaded {
        let certificate = self.reload_certificate().await;
        TlsReloaded { certificate, trust: self.trust.reload().await }
    }

    /// When the server's certificate expires.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        **self.expires_at.load()
    }

    /// The trust in force.
    #[must_use]
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The configuration for one handshake, and the witness that will know whom it accepted.
    pub(super) fn for_handshake(&self) -> (Arc<ServerConfig>, Arc<HandshakeVerifier>) {
        let registry = self.trust.registry();
        let witness =
            Arc::new(HandshakeVerifier { registry, clock: Arc::clone(self.trust.clock()), judged: OnceLock::new() });
        let time = Arc::new(ClockTime(Arc::clone(self.trust.clock())));
        let mut config = ServerConfig::builder_with_details(provider(), time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has suites and groups for TLS 1.3")
            .with_client_cert_verifier(Arc::clone(&witness) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(self.certificate.load_full());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // INVARIANT: nothing to resume from, so no handshake passes without the witness being asked.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        (Arc::new(config), witness)
    }

    async fn reload_certificate(&self) -> Result<(), CertificateError> {
        let (files, now) = (self.files.clone(), self.trust.clock().now());
        let read = tokio::task::spawn_blocking(move || ServerCertificate::read(&files, now));
        let read = read.await.expect("reading does not panic");
        metrics::reload("certificate", read.is_ok());
        match read {
            Ok(certificate) => {
                metrics::certificate_expires(certificate.not_after);
                self.expires_at.store(Arc::new(certificate.not_after));
                self.certificate.store(Arc::new(SingleCertAndKey::from(certificate.key)));
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, help = error.help(), "the certificate could not be reloaded; the old one stays");
                Err(error)
            }
        }
    }
}

/// The client verifier of one handshake. It asks the registry, and remembers the answer, so that the connection belongs
/// to exactly the identity that the handshake proved and nothing is verified twice.
#[derive(Debug)]
pub(super) struct HandshakeVerifier {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    judged: OnceLock<Result<PeerIdentity, RefusedCertificate>>,
}

impl HandshakeVerifier {
    /// The answer to the certificate, once one was shown.
    pub(super) fn judged(&self) -> Option<&Result<PeerIdentity, RefusedCertificate>> {
        self.judged.get()
    }

    pub(super) fn generation(&self) -> u64 {
        self.registry.generation()
    }
}

impl ClientCertVerifier for HandshakeVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.registry.hints()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let judged = self.registry.judge(leaf, intermediates, self.clock.now());
        let answer =
            judged.as_ref().map(|_| ClientCertVerified::assertion()).map_err(|refused| refused.refusal.to_tls());
        // A second certificate in one handshake would be a fault of rustls; the connection keeps the first answer.
        if self.judged.set(judged).is_err() {
            return Err(Error::General("a handshake showed two certificates".into()));
        }
        answer
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Lets rustls read the time from the injected clock.
#[derive(Debug)]
struct ClockTime(Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0.now()))
    }
}
