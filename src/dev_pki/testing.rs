//! Certificates for tests that the development PKI never makes: of any kind of key, and with anything in them that a test wants.
//!
//! Compiled for tests alone: of this library, and of `tests/it` by its path. So it names nothing else of the library.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

/// A certificate authority.
pub(crate) struct TestAuthority {
    pub(crate) certificate: Certificate,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

impl TestAuthority {
    /// One of its own, but for what `change` does to it.
    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::made(authority(name, change), KeyPair::generate().unwrap(), None)
    }

    /// An authority with these words and this key, vouched for by another or by itself.
    pub(crate) fn made(params: CertificateParams, key: KeyPair, by: Option<&Self>) -> Self {
        let certificate = match by {
            Some(by) => params.signed_by(&key, &by.issuer),
            None => params.self_signed(&key),
        };
        Self { certificate: certificate.unwrap(), issuer: Issuer::new(params, key) }
    }

    /// A client's certificate for a new key, but for what `change` does to it.
    pub(crate) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = named("somebody");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Issued { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

/// What the certificate of an authority says, but for what `change` does to it.
pub(crate) fn authority(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    change(&mut params);
    params
}

/// A certificate that only its own key vouches for.
pub(crate) fn self_signed(key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Issued {
    let mut params = CertificateParams::default();
    change(&mut params);
    Issued { certificate: params.self_signed(&key).unwrap(), key }
}

/// A URI as an alternative name, such as a member's.
pub(crate) fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// A DNS name as an alternative name.
pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
