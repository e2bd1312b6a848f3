//! What expires while it is in force: it is reported, and only those who depend on it are shut out.

use super::*;
use crate::metrics::FigureRecorder;

/// Trust on a clock that the test moves, with lists that come with the partners.
struct Calm {
    calendar: Arc<Calendar>,
    partners: Arc<Mutex<Vec<PartnerTrust>>>,
    trust: Arc<Trust>,
}

impl Calm {
    async fn start(partner: PartnerTrust) -> Self {
        let (calendar, partners) = (Calendar::at_day(1), Arc::new(Mutex::new(vec![partner])));
        let office = Office(Arc::clone(&partners));
        let (trust, started) = Trust::start(calendar.clone(), None, office).await.unwrap();
        assert_eq!(started.faults, []);
        Self { calendar, partners, trust }
    }

    fn set(&self, partner: PartnerTrust) {
        *self.partners.lock().unwrap() = vec![partner];
    }

    fn check(&self, held: &Held) -> Result<(), CertificateRefusal> {
        self.trust.registry().identify(&held.der, &[], self.calendar.now()).map(drop)
    }
}

#[tokio::test]
async fn anchor_that_expires_is_told_and_neither_shuts_out_nor_holds_back_another() {
    let recorder = FigureRecorder::default();
    let _recording = ::metrics::set_default_local_recorder(&recorder);
    let expires = |days: i64| {
        let at = instant_of_day(days).as_second();
        let line = format!("entente_anchor_expires_timestamp_seconds{{partner=\"ISR\"}} {at}");
        let figures = recorder.render();
        assert!(figures.lines().any(|found| found == line), "{line} in {figures}");
    };
    let (old, new) = (Ca::with("Old", |params| params.not_after = day(20)), Ca::new("New"));
    let (avi, noa) = (old.member("ISR:avi"), new.member("ISR:noa"));
    let both = || PartnerTrust { anchors: vec![old.der.clone(), new.der.clone()], ..old.of("ISR") };
    let world = Calm::start(both()).await;
    expires(20);
    world.calendar.pass(19);
    assert_eq!(world.trust.reload().await.unwrap().faults, [], "it counts to its last instant");
    world.calendar.pass(1);
    for _ in 0..2 {
        let reloaded = world.trust.reload().await.unwrap();
        let [fault @ TrustFault::AnchorExpired { .. }] = &reloaded.faults[..] else { panic!("{:?}", reloaded.faults) };
        assert!(!reloaded.changed && reloaded.is_as_its_sources_say(), "nothing is to be tried again");
        assert_eq!(
            fault.to_string(),
            "the anchor `CN=Old` of `ISR` expired at 2026-01-21T00:00:00Z: certificates under it are refused"
        );
        assert!(fault.help().contains("current CA certificates"));
        assert_eq!((world.check(&avi), world.check(&noa)), (Err(CertificateRefusal::AnchorExpired), Ok(())));
    }
    expires(1000);
    // The other one's lists go on being taken up.
    world.set(PartnerTrust { crls: vec![new.crl(&[noa.serial], day(30))], ..both() });
    assert_eq!(world.trust.reload().await.unwrap().faults.len(), 1);
    assert_eq!(world.check(&noa), Err(CertificateRefusal::Revoked));
    world.set(PartnerTrust { crls: vec![new.crl(&[], day(30))], ..new.of("ISR") });
    assert_eq!(world.trust.reload().await.unwrap().faults, []);
    expires(1000);
}

#[tokio::test]
async fn list_that_expires_is_told_though_another_key_of_its_authority_has_a_newer_one() {
    let (old, new) = (Ca::new("Root"), Ca::new("Root"));
    let (avi, noa) = (old.member("ISR:avi"), new.member("ISR:noa"));
    let odd = |ca: &Ca, this_update, next_update| {
        ca.odd_crl(&OddList { this_update, next_update: Some(next_update), ..OddList::revoking(&[]) })
    };
    let with = |crls| PartnerTrust { anchors: vec![old.der.clone(), new.der.clone()], crls, ..old.of("ISR") };
    let of_old = odd(&old, "20260101000000Z", "20260106000000Z");
    let of_new = odd(&new, "20260102000000Z", "20260131000000Z");
    let world = Calm::start(with(vec![of_old, of_new.clone()])).await;
    let first = world.trust.registry().crl_expiries().map(|(_, at)| at).collect::<Vec<_>>();
    assert_eq!(first, [instant_of_day(5)]);
    world.calendar.pass(4);
    let faults = world.trust.reload().await.unwrap().faults;
    let [fault @ TrustFault::CrlExpired { .. }] = &faults[..] else { panic!("{faults:?}") };
    let told = "the revocation list of `CN=Root`, `ISR`, expired at 2026-01-06T00:00:00Z: certificates that depend on it are \
                refused";
    assert_eq!(fault.to_string(), told);
    assert!(fault.help().contains("current list"));
    assert_eq!((world.check(&avi), world.check(&noa)), (Err(CertificateRefusal::RevocationListExpired), Ok(())));
    world.set(with(vec![odd(&old, "20260105000000Z", "20260131000000Z"), of_new]));
    assert_eq!(world.trust.reload().await.unwrap().faults, []);
    assert_eq!((world.check(&avi), world.check(&noa)), (Ok(()), Ok(())));
}

/// A list of an authority that is no anchor has no known signer until a member under it comes.
#[tokio::test]
async fn newer_list_of_an_intermediate_ends_the_fault_before_any_member_has_come() {
    let root = Ca::new("Root");
    let issuing = root.subordinate_with("Issuing", |_| {});
    let avi = issuing.member("ISR:avi");
    let list = |this_update, next_update| {
        issuing.odd_crl(&OddList { this_update, next_update: Some(next_update), ..OddList::revoking(&[]) })
    };
    let with = |crls| PartnerTrust { crls, ..root.of("ISR") };
    let world = Calm::start(with(vec![list("20260101000000Z", "20260106000000Z")])).await;
    let accepted = || {
        let now = world.calendar.now();
        world.trust.registry().identify(&avi.der, std::slice::from_ref(&issuing.der), now).map(drop)
    };
    assert_eq!(accepted(), Ok(()), "and now it is known whose list it is");
    world.calendar.pass(5);
    assert_eq!(world.trust.reload().await.unwrap().faults.len(), 1);
    world.set(with(vec![list("20260105000000Z", "20260131000000Z")]));
    assert_eq!(world.trust.reload().await.unwrap().faults, []);
    let told = world.trust.registry().crl_expiries().map(|(_, at)| at).collect::<Vec<_>>();
    assert_eq!(told, [instant_of_day(30)]);
    assert_eq!(accepted(), Ok(()));
}
