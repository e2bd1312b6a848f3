//! A small PKI for tests: authorities, members and revocation lists on a calendar of days, judged by a clock that only
//! moves when a test sets it.

use super::{anchor::Anchor, trust::PartnerTrust};
use crate::{
    dev_pki::testing::{Issued, TestAuthority, authority, dns, uri},
    domain::ambient::Clock,
    storage::partners::ListRecord,
};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, KeyIdMethod, KeyPair,
    RevokedCertParams, SanType,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use time::OffsetDateTime;

/// Day 0 is 1 January 2026.
const DAY_ZERO: i64 = 1_767_225_600;

/// Day `n`, as certificates are made with.
pub(super) fn day(n: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(DAY_ZERO + n * 86_400).unwrap()
}

/// Day `n`, as the code under test measures time.
pub(super) fn instant_of_day(n: i64) -> Timestamp {
    Timestamp::from_second(DAY_ZERO + n * 86_400).unwrap()
}

/// A clock that stands at a day until moved.
#[derive(Debug)]
pub(super) struct Calendar(Mutex<Timestamp>);

impl Calendar {
    pub(super) fn at_day(n: i64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(instant_of_day(n))))
    }

    pub(super) fn pass(&self, days: i64) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_hours(24 * days);
    }
}

impl Clock for Calendar {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A certificate authority, valid from day -100 to day 1000 unless changed.
pub(super) struct Ca {
    pub(super) der: CertificateDer<'static>,
    authority: TestAuthority,
}

/// A certificate with its key.
pub(super) struct Held {
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) key: KeyPair,
    pub(super) serial: u64,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    pub(super) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::made(Self::params(name, change), KeyPair::generate().unwrap(), None)
    }

    /// An authority below this one.
    pub(super) fn subordinate(&self, name: &str) -> Self {
        self.subordinate_with(name, |_| {})
    }

    pub(super) fn subordinate_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::made(Self::params(name, change), KeyPair::generate().unwrap(), Some(self))
    }

    /// This authority's word for another's key and name.
    pub(super) fn cross(&self, other: &Self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (_, read) = x509_parser::parse_x509_certificate(&other.der).unwrap();
        let name = read.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
        let key = KeyPair::try_from(other.authority.issuer.key().serialize_der()).unwrap();
        Self::made(Self::params(&name, change), key, Some(self))
    }

    fn made(params: CertificateParams, key: KeyPair, by: Option<&Self>) -> Self {
        let authority = TestAuthority::made(params, key, by.map(|by| &by.authority));
        Self { der: authority.certificate.der().clone(), authority }
    }

    fn params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        authority(name, |params| {
            (params.not_before, params.not_after) = (day(-100), day(1000));
            change(params);
        })
    }

    pub(super) fn anchor(&self) -> Anchor {
        Anchor::read(self.der.clone()).unwrap()
    }

    /// This authority as the only anchor of a partner.
    pub(super) fn of(&self, code: &str) -> PartnerTrust {
        let anchors = vec![self.der.clone()];
        let (code, record) = (code.parse().unwrap(), ListRecord::Never);
        PartnerTrust { code, anchors, registrars: BTreeSet::new(), crls: Vec::new(), record, suspension: None }
    }

    /// A member's certificate, valid from day -10 to day 100.
    pub(super) fn member(&self, member: &str) -> Held {
        self.leaf(|params| params.subject_alt_names = vec![member_uri(member)])
    }

    /// A client certificate without a member, changed at will.
    pub(super) fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Held {
        static SERIAL: AtomicU64 = AtomicU64::new(1000);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let Issued { certificate, key } = self.authority.issue(|params| {
            params.serial_number = Some(serial.into());
            (params.not_before, params.not_after) = (day(-10), day(100));
            change(params);
        });
        Held { der: certificate.der().clone(), pem: certificate.pem(), key, serial }
    }

    /// A server's certificate for `localhost`.
    pub(super) fn server(&self) -> Held {
        self.leaf(|params| {
            params.subject_alt_names = vec![dns("localhost")];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A revocation list of day 0.
    pub(super) fn crl(&self, serials: &[u64], next_update: OffsetDateTime) -> CertificateRevocationListDer<'static> {
        self.crl_of(day(0), serials, next_update)
    }

    pub(super) fn crl_of(
        &self,
        this_update: OffsetDateTime,
        serials: &[u64],
        next_update: OffsetDateTime,
    ) -> CertificateRevocationListDer<'static> {
        self.crl_numbered(1, this_update, serials, next_update)
    }

    pub(super) fn crl_numbered(
        &self,
        number: u64,
        this_update: OffsetDateTime,
        serials: &[u64],
        next_update: OffsetDateTime,
    ) -> CertificateRevocationListDer<'static> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: this_update,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.authority.issuer).unwrap().into()
    }

    /// A list of a kind that rcgen does not make, put together by hand (RFC 5280, 5.1).
    pub(super) fn odd_crl(&self, odd: &OddList) -> CertificateRevocationListDer<'static> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&self.der).unwrap();
        let time = |text: &str| der(0x18, &[text.as_bytes()]);
        let ecdsa_with_sha256 = der(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
        let entries: Vec<_> = odd
            .serials
            .iter()
            .map(|serial| der(0x30, &[&der(2, &[&[0], &serial.to_be_bytes()]), &time("20260101000000Z")]))
            .collect();
        let revoked = if entries.is_empty() { Vec::new() } else { der(0x30, &[&entries.concat()]) };
        let extensions: Vec<_> = odd
            .extensions
            .iter()
            .map(|(id, value)| {
                let id = der(6, &[&[0x55, 0x1d, *id]]);
                der(0x30, &[&id, &[1, 1, 0xff], &der(4, &[value])])
            })
            .collect();
        let signed = der(
            0x30,
            &[
                &[2, 1, 1],
                &ecdsa_with_sha256,
                certificate.subject().as_raw(),
                &time(odd.this_update),
                &odd.next_update.map(time).unwrap_or_default(),
                &revoked,
                &der(0xa0, &[&der(0x30, &[&extensions.concat()])]),
            ],
        );
        let signature = rcgen::SigningKey::sign(self.authority.issuer.key(), &signed).unwrap();
        der(0x30, &[&signed, &ecdsa_with_sha256, &der(3, &[&[0], &signature])]).into()
    }
}

/// What is odd about a revocation list.
pub(super) struct OddList {
    pub(super) this_update: &'static str,
    pub(super) next_update: Option<&'static str>,
    pub(super) serials: Vec<u64>,
    /// Critical extensions: the last arc of 2.5.29, and the value.
    pub(super) extensions: Vec<(u8, Vec<u8>)>,
}

impl OddList {
    /// Current, of everything, revoking these.
    pub(super) fn revoking(serials: &[u64]) -> Self {
        let (this_update, next_update) = ("20260101000000Z", Some("20260131000000Z"));
        Self { this_update, next_update, serials: serials.to_vec(), extensions: Vec::new() }
    }

    pub(super) fn with(mut self, extension: u8, value: &[u8]) -> Self {
        self.extensions.push((extension, value.to_vec()));
        self
    }

    /// With an issuing distribution point of these parts.
    pub(super) fn scoped(self, parts: &[&[u8]]) -> Self {
        self.with(28, &der(0x30, parts))
    }
}

/// One DER element.
pub(super) fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = u16::try_from(contents.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = if length < 0x80 { vec![tag, low] } else { vec![tag, 0x82, high, low] };
    [head, contents].concat()
}

impl Held {
    pub(super) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

pub(super) fn member_uri(member: &str) -> SanType {
    uri(&format!("urn:entente:member:{member}"))
}
