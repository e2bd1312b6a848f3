//! The first key card of a partner, which nobody vouches for but the certificate on the connection: it counts as long as that does.

use crate::harness::exchange::{Exchange, Nation};
use entente::{
    domain::{id::Sha256, member::PartnerRole},
    service::{
        Credential, Idempotency, ServiceError,
        directory::{self, CertificateHolder},
        member_certificates::OfferedCertificate,
    },
    storage::members,
    wire::directory::PublishKeyCard,
};
use futures_util::poll;
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::task::yield_now;

/// A certificate that counts until it is revoked.
#[derive(Debug, Default)]
struct Certificate {
    is_revoked: AtomicBool,
}

impl Credential for Certificate {
    fn check(&self) -> Result<(), String> {
        if self.is_revoked.load(Ordering::SeqCst) { Err("it was revoked".to_owned()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn first_key_card_is_refused_when_its_certificate_is_revoked_before_its_turn() {
    let usa = Nation::new("USA");
    let world = Exchange::start(&[&usa]).await;
    let (exchange, registrar) = (Arc::clone(&world.running.exchange), &usa.registrar);
    let certificate = Arc::new(Certificate::default());
    let peer = CertificateHolder {
        partner: registrar.member.partner().clone(),
        certificate: registrar.signing.spki_sha256(),
        named: Some(registrar.member.clone()),
        credential: certificate.clone(),
    };
    let key_card = usa.vouch(registrar, &[PartnerRole::Registrar], 1);
    let body = PublishKeyCard { key_card, certificates: vec![registrar.certificate_pem.clone()], without: [].into() };
    let judged = [Ok(OfferedCertificate {
        der: CertificateDer::from_pem_slice(registrar.certificate_pem.as_bytes()).unwrap().to_vec(),
        named: Some(registrar.member.clone()),
        not_after: Timestamp::MAX,
    })];
    let sha256 = Sha256::of(b"PUT");
    let idempotency = Idempotency { key: "first".to_owned(), request_sha256: sha256, address_sha256: sha256 };
    let publish = || directory::publish_first_card(&exchange, &idempotency, &peer, &registrar.member, &body, &judged);
    let published = async || {
        let found = members::find(&mut exchange.db.read().await.unwrap(), &registrar.member).await;
        found.unwrap().is_some()
    };

    let turn = exchange.db.write().await.unwrap();
    let mut waiting = pin!(publish());
    while exchange.db.members_waiting() == 0 {
        assert!(poll!(&mut waiting).is_pending(), "it waits for its turn");
        yield_now().await;
    }
    certificate.is_revoked.store(true, Ordering::SeqCst);
    drop(turn);
    let refused = waiting.await;
    assert!(matches!(refused, Err(ServiceError::CertificateRefused(_))), "{refused:?}");
    assert!(!published().await);

    certificate.is_revoked.store(false, Ordering::SeqCst);
    assert_eq!(publish().await.unwrap().status, 200);
    assert!(published().await);
    world.stop().await;
}
