//! Whose certificate is it, and is it accepted? Each rule with the smallest PKI that shows it.

use super::*;
use crate::http::{
    crl::CrlFault,
    path::MAX_INTERMEDIATES,
    test_pki::{Ca, Calendar, Held, OddList, day, instant_of_day, member_uri},
};
use futures_util::{FutureExt, future::BoxFuture};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use std::{
    future::{pending, ready},
    sync::Mutex,
};

mod expiry;
mod lists;

fn registry(partners: Vec<PartnerTrust>) -> Registry {
    let (registry, faults) = Registry::build(1, partners);
    assert_eq!(faults, []);
    registry
}

fn identify(registry: &Registry, held: &Held) -> Result<PeerIdentity, CertificateRefusal> {
    registry.identify(&held.der, &[], instant_of_day(1))
}

#[test]
fn accepted_certificate_yields_partner_member_and_pins() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi.levi");
    let peer = identify(&registry(vec![ca.of("ISR")]), &held).unwrap();
    assert_eq!(peer.partner.as_str(), "ISR");
    assert_eq!(peer.san_member.unwrap().to_string(), "ISR:avi.levi");
    assert_eq!(peer.fingerprint, Sha256::of(&held.der));
    assert_eq!(peer.spki_sha256, Sha256::of(&rcgen::PublicKeyData::subject_public_key_info(&held.key)));
    assert_eq!((peer.not_after, peer.recheck_at), (instant_of_day(100), instant_of_day(100)));
}

#[test]
fn same_named_cas_of_two_partners_are_told_apart() {
    let (isr, kor) = (Ca::new("National Root CA"), Ca::new("National Root CA"));
    let registry = registry(vec![isr.of("ISR"), kor.of("KOR")]);
    assert_eq!(identify(&registry, &isr.member("ISR:avi")).unwrap().partner.as_str(), "ISR");
    assert_eq!(identify(&registry, &kor.member("KOR:min")).unwrap().partner.as_str(), "KOR");
    let stranger = Ca::new("National Root CA");
    assert_eq!(identify(&registry, &stranger.member("ISR:avi")), Err(CertificateRefusal::BadSignature));
}

#[test]
fn partner_cannot_vouch_for_a_member_of_another() {
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let registry = registry(vec![isr.of("ISR"), kor.of("KOR")]);
    let refusal = identify(&registry, &isr.member("KOR:min")).unwrap_err();
    assert_eq!(refusal.slug(), "claims-other-partner");
    assert_eq!(refusal.to_string(), "the certificate is vouched for by `ISR` but claims a member of `KOR`");
}

#[test]
fn certificate_names_at_most_one_member_and_names_it_well() {
    let ca = Ca::new("Root");
    let registry = registry(vec![ca.of("ISR")]);
    let with = |names: Vec<SanType>| identify(&registry, &ca.leaf(|params| params.subject_alt_names = names));
    assert_eq!(with(vec![]).unwrap().san_member, None);
    let other = SanType::URI("https://example.org".try_into().unwrap());
    assert!(with(vec![other, member_uri("ISR:avi")]).unwrap().san_member.is_some());
    assert_eq!(with(vec![member_uri("ISR:avi"), member_uri("ISR:noa")]), Err(CertificateRefusal::SeveralMembers));
    assert_eq!(with(vec![member_uri("ISR:Avi")]), Err(CertificateRefusal::MalformedMember));
    for uri in ["URN:entente:member:ISR:avi", "urn:entente:partner:ISR"] {
        assert_eq!(
            with(vec![SanType::URI(uri.try_into().unwrap())]),
            Err(CertificateRefusal::MalformedMember),
            "{uri}"
        );
    }
}

#[test]
fn refused_certificate_is_of_the_partner_to_whose_anchor_its_signatures_lead() {
    let (isr, kor, other) = (Ca::new("A"), Ca::new("B"), Ca::new("A"));
    let registry = registry(vec![isr.of("ISR"), kor.of("KOR")]);
    let judge = |held: &Held| registry.judge(&held.der, &[], instant_of_day(1)).unwrap_err();
    let without_purpose = |ca: &Ca| ca.leaf(|params| params.extended_key_usages = vec![]);
    let expired = isr.leaf(|params| params.not_after = day(0));
    for (held, partner, slug, problem) in [
        (&expired, "ISR", "expired", "certificate-refused"),
        (&without_purpose(&isr), "ISR", "no-client-auth", "certificate-refused"),
        (&kor.member("ISR:avi"), "KOR", "claims-other-partner", "certificate-claims-other-partner"),
    ] {
        let refused = judge(held);
        assert_eq!(refused.partner, Some(partner.parse().unwrap()), "{slug}");
        assert_eq!((refused.refusal.slug(), refused.problem()), (slug, problem));
        assert!(refused.key.is_some() && refused.key == key_of(&held.der));
    }
    // An authority of the same name, whatever else is wrong with the certificate, and one that nobody enrolled.
    for held in [other.member("ISR:avi"), without_purpose(&other), Ca::new("C").member("ISR:avi")] {
        assert_eq!(judge(&held).partner, None);
    }
    let refused = registry.judge(&CertificateDer::from(vec![0x30, 0]), &[], instant_of_day(1)).unwrap_err();
    assert_eq!((refused.refusal.slug(), refused.key, refused.partner), ("malformed", None, None));
}

#[test]
fn only_a_client_certificate_that_is_no_ca_passes() {
    let ca = Ca::new("Root");
    let registry = registry(vec![ca.of("ISR")]);
    let purposes = |purposes: Vec<ExtendedKeyUsagePurpose>| {
        identify(&registry, &ca.leaf(|params| params.extended_key_usages = purposes))
    };
    assert_eq!(purposes(vec![]), Err(CertificateRefusal::NoClientAuth));
    assert_eq!(purposes(vec![ExtendedKeyUsagePurpose::ServerAuth]), Err(CertificateRefusal::NoClientAuth));
    assert_eq!(purposes(vec![ExtendedKeyUsagePurpose::Any]), Err(CertificateRefusal::NoClientAuth));
    let authority = ca.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(identify(&registry, &authority), Err(CertificateRefusal::IsAuthority));
    let signer = ca.leaf(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    assert_eq!(identify(&registry, &signer), Err(CertificateRefusal::IsAuthority));
    let encryption = ca.leaf(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    assert_eq!(identify(&registry, &encryption), Err(CertificateRefusal::NoDigitalSignature));
    let anchor_itself = registry.identify(&ca.der, &[], instant_of_day(1));
    assert_eq!(anchor_itself, Err(CertificateRefusal::IsAuthority));
}

#[test]
fn dates_of_leaf_and_anchor_are_judged_at_the_given_instant() {
    let ca = Ca::with("Root", |params| params.not_after = day(50));
    let registry = registry(vec![ca.of("ISR")]);
    let held = ca.member("ISR:avi");
    let at = |day| registry.identify(&held.der, &[], instant_of_day(day)).map(|peer| peer.recheck_at);
    assert_eq!(at(-11), Err(CertificateRefusal::NotYetValid));
    assert_eq!(at(50), Ok(instant_of_day(50)));
    assert_eq!(at(51), Err(CertificateRefusal::AnchorExpired));
    assert_eq!(at(101), Err(CertificateRefusal::Expired));
    let peer = identify(&registry, &held).unwrap();
    assert_eq!((peer.not_after, peer.chain_ends_at), (instant_of_day(100), instant_of_day(50)));
}

#[test]
fn revocation_lists_refuse_the_revoked_and_fail_closed() {
    let (ca, other) = (Ca::new("Root"), Ca::new("Root"));
    let (good, bad) = (ca.member("ISR:avi"), ca.member("ISR:noa"));
    let with = |list| registry(vec![PartnerTrust { crls: vec![list], ..ca.of("ISR") }]);
    let current = with(ca.crl(&[bad.serial], day(30)));
    assert_eq!(identify(&current, &bad), Err(CertificateRefusal::Revoked));
    let peer = identify(&current, &good).unwrap();
    assert_eq!((peer.recheck_at, peer.chain_ends_at), (instant_of_day(30), instant_of_day(100)), "lists are renewed");
    assert_eq!(identify(&with(ca.crl(&[], day(1))), &good), Err(CertificateRefusal::RevocationListExpired));
    assert_eq!(identify(&with(other.crl(&[], day(30))), &good), Err(CertificateRefusal::RevocationListForeign));
    let of_another_name = Ca::new("Elsewhere").crl(&[], day(30));
    assert_eq!(identify(&with(of_another_name), &good), Err(CertificateRefusal::RevocationUnknown));
}

#[test]
fn one_partners_list_says_nothing_about_another() {
    let (isr, kor) = (Ca::new("Root"), Ca::new("Root"));
    let min = kor.member("KOR:min");
    let list = isr.crl(&[min.serial], day(1));
    let registry = registry(vec![PartnerTrust { crls: vec![list], ..isr.of("ISR") }, kor.of("KOR")]);
    assert!(identify(&registry, &min).is_ok());
}

#[test]
fn newest_list_of_an_issuer_counts() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let (old, new) = (ca.crl_of(day(-5), &[], day(30)), ca.crl_of(day(0), &[held.serial], day(30)));
    for crls in [vec![old.clone(), new.clone()], vec![new, old]] {
        let registry = registry(vec![PartnerTrust { crls, ..ca.of("ISR") }]);
        assert_eq!(identify(&registry, &held), Err(CertificateRefusal::Revoked));
    }
}

#[test]
fn ca_that_renews_its_key_under_its_name_works_with_a_list_for_each() {
    let (old, new) = (Ca::new("Root"), Ca::new("Root"));
    let (avi, noa) = (old.member("ISR:avi"), new.member("ISR:noa"));
    let anchors = vec![old.der.clone(), new.der.clone()];
    let crls = vec![old.crl(&[avi.serial], day(30)), new.crl(&[], day(30))];
    let both = registry(vec![PartnerTrust { anchors: anchors.clone(), crls, ..old.of("ISR") }]);
    assert_eq!(identify(&both, &avi), Err(CertificateRefusal::Revoked));
    assert!(identify(&both, &noa).is_ok());
    let crls = vec![old.crl(&[], day(30))];
    let one = registry(vec![PartnerTrust { anchors, crls, ..old.of("ISR") }]);
    assert!(identify(&one, &avi).is_ok());
    assert_eq!(
        identify(&one, &noa),
        Err(CertificateRefusal::RevocationListForeign),
        "no list of its own: fails closed"
    );
}

#[test]
fn intermediates_count_as_far_as_the_anchor_allows() {
    let chain = |root: &Ca| {
        let middle = root.subordinate("Middle");
        let lower = middle.subordinate("Lower");
        (lower.member("ISR:avi"), vec![lower.der, middle.der])
    };
    let free = Ca::new("Root");
    let (held, between) = chain(&free);
    let open = registry(vec![free.of("ISR")]);
    assert!(open.identify(&held.der, &between, instant_of_day(1)).is_ok());
    let with_root = [between.clone(), vec![free.der.clone()]].concat();
    assert!(open.identify(&held.der, &with_root, instant_of_day(1)).is_ok());
    assert_eq!(open.identify(&held.der, &between[1..], instant_of_day(1)), Err(CertificateRefusal::UnknownIssuer));
    let many = vec![between[0].clone(); MAX_INTERMEDIATES + 1];
    assert_eq!(open.identify(&held.der, &many, instant_of_day(1)), Err(CertificateRefusal::PathTooLong));

    let tight = Ca::with("Root", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1)));
    let (held, between) = chain(&tight);
    let closed = registry(vec![tight.of("ISR")]);
    assert_eq!(closed.identify(&held.der, &between, instant_of_day(1)), Err(CertificateRefusal::PathTooLong));
    assert!(closed.identify(&tight.member("ISR:noa").der, &between, instant_of_day(1)).is_ok());
}

#[test]
fn key_shared_by_two_partners_vouches_for_neither() {
    let ca = Ca::new("Root");
    let (registry, faults) = Registry::build(1, vec![ca.of("ISR"), ca.of("KOR")]);
    assert_eq!(faults.len(), 2);
    assert_eq!(identify(&registry, &ca.member("ISR:avi")), Err(CertificateRefusal::UnknownIssuer));
}

#[test]
fn key_that_a_second_partner_claims_stays_the_one_s_that_is_in_force() {
    // Israel's second anchor has ended, and its first vouches for the key of that.
    let (first, second) = (Ca::new("First"), Ca::with("Second", |params| params.not_after = day(0)));
    let isr = || PartnerTrust { anchors: vec![first.der.clone(), second.der.clone()], ..first.of("ISR") };
    let (cross, held) = (first.cross(&second, |_| {}), second.member("ISR:avi"));
    let gathered = |partners| TrustMaterial::gather(partners, None);
    let (before, _) = Registry::empty().next(gathered(vec![isr()]));
    let (both, faults) = before.next(gathered(vec![isr(), second.of("KOR")]));
    assert_eq!(faults.len(), 2, "{faults:?}");
    for registry in [before, both] {
        let judged = registry.identify(&held.der, std::slice::from_ref(&cross.der), instant_of_day(1));
        assert_eq!(judged.map(|peer| peer.partner.to_string()), Ok("ISR".to_owned()));
    }
}

/// Trust whose source the test can change.
struct Changing {
    partners: Arc<Mutex<Vec<PartnerTrust>>>,
    trust: Arc<Trust>,
    crls: tempfile::TempDir,
}

/// A database of partners; without any it is away.
struct Office(Arc<Mutex<Vec<PartnerTrust>>>);

impl PartnerSource for Office {
    fn partners(&self) -> BoxFuture<'static, Result<Vec<PartnerTrust>, SourceError>> {
        let partners = self.0.lock().unwrap().clone();
        ready(if partners.is_empty() { Err("database away".into()) } else { Ok(partners) }).boxed()
    }

    fn record_lists(&self, found: Vec<FoundLists>) -> BoxFuture<'static, Result<(), SourceError>> {
        let has = |nation: &str| found.iter().any(|found| found.partner.as_str() == nation);
        // Nations for which nothing can be written, and for which the writer is stuck.
        if has("READONLY") {
            return ready(Err("the disk is full".into())).boxed();
        }
        if has("STUCK") {
            return pending().boxed();
        }
        let mut partners = self.0.lock().unwrap();
        if partners.is_empty() {
            return ready(Err("database away".into())).boxed();
        }
        for FoundLists { partner, files, .. } in found {
            partners.iter_mut().find(|known| known.code == partner).unwrap().record = ListRecord::Found(files);
        }
        ready(Ok(())).boxed()
    }
}

impl Changing {
    async fn start(partners: Vec<PartnerTrust>) -> (Self, Reloaded) {
        let partners = Arc::new(Mutex::new(partners));
        let crls = tempfile::tempdir().unwrap();
        Self::start_with(partners, crls).await
    }

    async fn start_with(partners: Arc<Mutex<Vec<PartnerTrust>>>, crls: tempfile::TempDir) -> (Self, Reloaded) {
        let folder = Some(crls.path().to_owned());
        let (trust, reloaded) = Trust::start(Calendar::at_day(1), folder, Office(Arc::clone(&partners))).await.unwrap();
        (Self { partners, trust, crls }, reloaded)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.crls.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn check(&self, held: &Held) -> Result<(), &'static str> {
        identify(&self.trust.registry(), held).map(|_| ()).map_err(|refusal| refusal.slug())
    }
}

#[tokio::test]
async fn reload_takes_up_partners_and_lists_and_counts_generations() {
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let (avi, min) = (isr.member("ISR:avi"), kor.member("KOR:min"));
    let (world, first) = Changing::start(vec![isr.of("ISR")]).await;
    assert_eq!((first.generation, first.changed), (1, true));
    let same = world.trust.reload().await.unwrap();
    assert_eq!((same.generation, same.changed), (1, false), "nothing changed, nobody is judged again");
    world.partners.lock().unwrap().push(kor.of("KOR"));
    world.put("ISR.crl", &isr.crl(&[avi.serial], day(30)));
    let second = world.trust.reload().await.unwrap();
    assert_eq!((second.generation, second.partners, second.faults), (2, 2, vec![]));
    assert_eq!((world.check(&avi), world.check(&min)), (Err("revoked"), Ok(())));
    world.partners.lock().unwrap().remove(0);
    world.trust.reload().await.unwrap();
    assert_eq!(world.check(&avi), Err("unknown-issuer"));
}

#[tokio::test]
async fn failed_source_leaves_trust_in_force_and_delays_no_revocation() {
    let isr = Ca::new("A");
    let (avi, noa) = (isr.member("ISR:avi"), isr.member("ISR:noa"));
    let (world, _) = Changing::start(vec![isr.of("ISR")]).await;
    let partners = std::mem::take(&mut *world.partners.lock().unwrap());
    world.put("ISR.crl", &isr.crl(&[avi.serial], day(30)));
    let faults = world.trust.reload().await.unwrap().faults;
    let away = "the partners cannot be loaded: database away";
    assert!(faults.iter().any(|fault| fault.to_string().starts_with(away)), "{faults:?}");
    assert_eq!((world.check(&avi), world.check(&noa)), (Err("revoked"), Ok(())));
    *world.partners.lock().unwrap() = partners;
    assert_eq!(world.trust.reload().await.unwrap().faults, []);
    assert_eq!((world.check(&avi), world.check(&noa)), (Err("revoked"), Ok(())));
}

#[tokio::test]
async fn start_whose_source_fails_is_refused() {
    let started = Trust::start(Calendar::at_day(1), None, Office(Arc::default())).await;
    assert_eq!(started.unwrap_err().to_string(), "cannot load the partners: database away");
}

#[tokio::test]
async fn broken_list_keeps_the_last_good_one_and_delays_nobody_else() {
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let (avi, noa, min) = (isr.member("ISR:avi"), isr.member("ISR:noa"), kor.member("KOR:min"));
    let (world, _) = Changing::start(vec![isr.of("ISR"), kor.of("KOR")]).await;
    world.put("ISR.crl", &isr.crl(&[avi.serial], day(30)));
    world.trust.reload().await.unwrap();
    world.put("ISR.crl", b"half a file");
    world.put("KOR.crl", &kor.crl(&[min.serial], day(30)));
    let reloaded = world.trust.reload().await.unwrap();
    assert!(matches!(&reloaded.faults[..], [TrustFault::Crl { file: Some(_), .. }]), "{:?}", reloaded.faults);
    assert_eq!(world.check(&avi), Err("revoked"), "still by the last good list");
    assert_eq!((world.check(&noa), world.check(&min)), (Ok(()), Err("revoked")));
    std::fs::remove_file(world.crls.path().join("ISR.crl")).unwrap();
    let reloaded = world.trust.reload().await.unwrap();
    assert!(matches!(&reloaded.faults[..], [TrustFault::CrlsGone { .. }]), "{:?}", reloaded.faults);
    assert_eq!(world.check(&avi), Err("revoked"), "a list that vanishes opens nothing");
}

#[tokio::test]
async fn broken_list_with_changed_anchors_shuts_the_partner_out() {
    let (old, new) = (Ca::new("A"), Ca::new("B"));
    let (world, _) = Changing::start(vec![old.of("ISR")]).await;
    *world.partners.lock().unwrap() = vec![new.of("ISR")];
    world.put("ISR.crl", b"half a file");
    world.trust.reload().await.unwrap();
    assert_eq!(world.check(&old.member("ISR:avi")), Err("unknown-issuer"));
    assert_eq!(world.check(&new.member("ISR:avi")), Err("revocation-unknown"));
}

#[tokio::test]
async fn file_of_nobody_is_reported() {
    let (world, _) = Changing::start(vec![Ca::new("A").of("ISR")]).await;
    world.put("KOR.crl", b"x");
    world.put("ISR-old.crl", b"x");
    let faults = world.trust.reload().await.unwrap().faults;
    assert!(matches!(&faults[..], [TrustFault::Stray { .. }, TrustFault::Stray { .. }]), "{faults:?}");
    assert!(faults.iter().all(|fault| fault.partner().is_none() && !fault.help().is_empty()));
}

#[test]
fn issuer_that_may_sign_no_lists_has_none() {
    let root = Ca::new("Root");
    let mute = root.subordinate_with("Mute", |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    let avi = mute.member("ISR:avi");
    let crls = vec![mute.odd_crl(&OddList::revoking(&[]))];
    let registry = registry(vec![PartnerTrust { crls, ..root.of("ISR") }]);
    let judged = registry.identify(&avi.der, std::slice::from_ref(&mute.der), instant_of_day(1));
    assert_eq!(judged, Err(CertificateRefusal::NoCrlSign));
    let anchor = Ca::with("Mute", |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    let crls = vec![anchor.odd_crl(&OddList::revoking(&[]))];
    let (registry, faults) = Registry::build(1, vec![PartnerTrust { crls, ..anchor.of("ISR") }]);
    assert!(matches!(&faults[..], [TrustFault::Crl { fault: CrlFault::NoCrlSign, .. }]), "{faults:?}");
    assert_eq!(identify(&registry, &anchor.member("ISR:avi")), Err(CertificateRefusal::RevocationUnknown));
}
