//! TLS of the connection to the exchange: what the profile's files make of it, and what its failures say.

use super::signed::ConnectionKey;
use crate::{
    client::{ClientError, Profile, Result},
    sealing::signer::Signer,
};
use jiff::Timestamp;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{error::Error as _, fs, io, path::Path, sync::Arc};

/// The authorities that may vouch for the exchange.
pub(in crate::client) fn roots(profile: &Profile) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for path in &profile.server_ca {
        for certificate in certificates(path)? {
            let unusable =
                |error| ClientError::local(format!("`{}`: {error}", path.display()), "give a CA certificate");
            roots.add(certificate).map_err(unusable)?;
        }
    }
    Ok(roots)
}

pub(super) fn tls(profile: &Profile, private_key: &[u8]) -> Result<ClientConfig> {
    let key = PrivateKeyDer::from_pem_slice(private_key).map_err(|_| {
        let what = format!("no usable private key in `{}`", profile.private_key.display());
        ClientError::local(what, "give a PKCS #8 or SEC 1 key in PEM")
    })?;
    trusting(profile)?.with_client_auth_cert(certificates(&profile.certificate)?, key).map_err(|error| {
        let (certificate, key) = (profile.certificate.display(), profile.private_key.display());
        let what = match error {
            rustls::Error::InconsistentKeys(_) => "do not belong together".to_owned(),
            other => format!("cannot be used: {other}"),
        };
        ClientError::local(
            format!("certificate `{certificate}` and private key `{key}` {what}"),
            "name the certificate and the key that it was made for",
        )
    })
}

/// The same, where the private key is with a signer.
pub(super) fn by_signer(profile: &Profile, signer: Arc<dyn Signer>) -> Result<ClientConfig> {
    let key = CertifiedKey::new(certificates(&profile.certificate)?, Arc::new(ConnectionKey(signer)));
    Ok(trusting(profile)?.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
}

fn trusting(profile: &Profile) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    Ok(config.expect("the provider has TLS 1.3").with_root_certificates(roots(profile)?))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).map_err(|error| ClientError::io("read", path, &error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        ClientError::local(format!("no certificate in `{}`", path.display()), "give certificates in PEM")
    })
}

/// The TLS failure behind an error. It hides inside I/O errors, one in another, whose `source` skips what they hold.
pub(super) fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// Whether the other side's alert says that it does not take the profile's certificate. Other alerts come of a server that
/// speaks another TLS, and say nothing about anybody's certificate.
pub(super) fn is_about_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    // A certificate whose signature does not verify is answered with `DecryptError`.
    let signs =
        [Alert::NoCertificate, Alert::CertificateRequired, Alert::UnknownCA, Alert::AccessDenied, Alert::DecryptError];
    let faults = [
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
    ];
    signs.contains(&alert) || faults.contains(&alert)
}

/// Why the exchange does not take a certificate, as far as its alert says.
pub(super) fn refused_because(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateExpired => {
            "the certificate of the profile has expired, or is not valid yet, by the exchange's clock"
        }
        Alert::CertificateRevoked => "the certificate of the profile is revoked",
        Alert::UnknownCA => "the certificate of the profile is from no authority of a partner's card",
        Alert::NoCertificate | Alert::CertificateRequired => "the exchange saw no certificate of the profile",
        Alert::UnsupportedCertificate => {
            "the certificate of the profile is of a kind that the exchange does not take, or from no authority of a partner's card"
        }
        _ => "the exchange refused the certificate of the profile",
    }
}

/// What is wrong with a server's certificate, in words where there are better ones.
pub(super) fn certificate_fault(fault: &CertificateError) -> String {
    match fault {
        // An authority of the same name but with another key shows as a bad signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no CA in it issued the certificate".to_owned()
        }
        other => other.to_string(),
    }
}

/// In words, that a certificate is not valid yet, or no longer valid, by this machine's clock, which may be the one that is wrong.
pub(super) fn untimely(fault: &CertificateError) -> Option<String> {
    let (state, limit, now) = match fault {
        CertificateError::NotValidYetContext { time, not_before } => ("is not valid yet", Some(not_before), Some(time)),
        CertificateError::NotValidYet => ("is not valid yet", None, None),
        CertificateError::ExpiredContext { time, not_after } => ("has expired", Some(not_after), Some(time)),
        CertificateError::Expired => ("has expired", None, None),
        _ => return None,
    };
    let shown = |at: &UnixTime| {
        let at = i64::try_from(at.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        at.map_or_else(|| "an impossible time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    };
    let limit = limit.map(|at| format!(" (limit: {})", shown(at))).unwrap_or_default();
    let now = now.map(|at| format!(": {}", shown(at))).unwrap_or_default();
    Some(format!("{state}{limit} by this machine's clock{now}; the clock may be wrong"))
}
