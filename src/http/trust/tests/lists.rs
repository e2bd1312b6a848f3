//! What is found in the folder of revocation lists and what is not: lists that break, vanish or were there before a restart.

use super::*;
use crate::metrics::FigureRecorder;

/// Whether avi's certificate is refused as `slug` after `bytes` came as ISR's only list, and how many faults and notices there are.
async fn after_first_list(isr: &Ca, avi: &Held, bytes: &[u8]) -> (Result<(), &'static str>, usize, usize) {
    after_first_file(isr, avi, "ISR.crl", bytes).await
}

async fn after_first_file(isr: &Ca, avi: &Held, name: &str, bytes: &[u8]) -> (Result<(), &'static str>, usize, usize) {
    let (world, _) = Changing::start(vec![isr.of("ISR")]).await;
    assert_eq!(world.check(avi), Ok(()), "without any list everybody passes");
    world.put(name, bytes);
    let reloaded = world.trust.reload().await.unwrap();
    (world.check(avi), reloaded.faults.len(), reloaded.notices.len())
}

#[tokio::test]
async fn first_list_that_cannot_be_used_shuts_its_issuer_out() {
    let isr = Ca::new("A");
    let avi = isr.member("ISR:avi");
    let good = isr.crl(&[avi.serial], day(30));
    let odd = |odd: OddList| isr.odd_crl(&odd).to_vec();
    let list = || OddList::revoking(&[avi.serial]);
    for (bytes, faults, notices) in [
        (good[..40].to_vec(), 1, 0),
        (b"garbage".to_vec(), 1, 0),
        (odd(list().with(27, &[2, 1, 1])), 1, 1),
        (odd(list().scoped(&[&[0x82, 1, 0xff]])), 1, 1),
        (odd(list().scoped(&[&[0x83, 2, 1, 6]])), 1, 0),
    ] {
        let found = after_first_list(&isr, &avi, &bytes).await;
        assert_eq!(found, (Err("revocation-unknown"), faults, notices));
    }
    let scoped = odd(list().scoped(&[&[0x81, 1, 0xff]]));
    assert_eq!(after_first_list(&isr, &avi, &scoped).await, (Err("revoked"), 0, 0), "no name is needed");
    let endless = odd(OddList { next_update: Some("99991231235959Z"), ..list() });
    assert_eq!(after_first_list(&isr, &avi, &endless).await, (Err("revoked"), 0, 0), "no end is one");
}

#[tokio::test]
async fn broken_file_of_a_partner_freezes_no_other_list_of_it() {
    let root = Ca::new("Root");
    let (first, second) = (root.subordinate("First"), root.subordinate("Second"));
    let (avi, noa) = (first.member("ISR:avi"), second.member("ISR:noa"));
    let (world, _) = Changing::start(vec![root.of("ISR")]).await;
    let check = |held: &Held, by: &Ca| {
        let judged = world.trust.registry().identify(&held.der, std::slice::from_ref(&by.der), instant_of_day(1));
        judged.map(drop).map_err(|refusal| refusal.slug())
    };
    world.put("ISR/first.crl", &first.crl(&[], day(30)));
    world.put("ISR/second.crl", b"half a file");
    assert_eq!(world.trust.reload().await.unwrap().faults.len(), 1);
    assert_eq!((check(&avi, &first), check(&noa, &second)), (Ok(()), Err("revocation-unknown")));
    world.put("ISR/first.crl", &first.crl_of(day(1), &[avi.serial], day(30)));
    world.trust.reload().await.unwrap();
    assert_eq!(check(&avi, &first), Err("revoked"), "taken up beside the broken file");
    world.put("ISR/second.crl", &second.crl(&[], day(30)));
    assert_eq!(world.trust.reload().await.unwrap().faults, []);
    assert_eq!(check(&noa, &second), Ok(()));
    world.put("ISR/second.crl", b"half a file again");
    world.trust.reload().await.unwrap();
    assert_eq!((check(&avi, &first), check(&noa, &second)), (Err("revoked"), Ok(())), "by the last good list");
}

#[tokio::test]
async fn damaged_or_older_list_opens_nothing() {
    let isr = Ca::new("A");
    let (avi, noa) = (isr.member("ISR:avi"), isr.member("ISR:noa"));
    let (world, _) = Changing::start(vec![isr.of("ISR")]).await;
    world.put("ISR.crl", &isr.crl_of(day(0), &[avi.serial], day(30)));
    world.trust.reload().await.unwrap();
    let mut damaged = isr.crl_of(day(1), &[], day(30)).to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    world.put("ISR.crl", &damaged);
    let faults = world.trust.reload().await.unwrap().faults;
    assert!(matches!(&faults[..], [TrustFault::Crl { fault: CrlFault::Foreign, .. }]), "{faults:?}");
    assert_eq!((world.check(&avi), world.check(&noa)), (Err("revoked"), Ok(())));
    world.put("ISR.crl", &isr.crl_of(day(-1), &[], day(30)));
    let faults = world.trust.reload().await.unwrap().faults;
    assert!(matches!(&faults[..], [TrustFault::CrlOlder { .. }]), "{faults:?}");
    assert_eq!(world.check(&avi), Err("revoked"));
}

#[tokio::test]
async fn of_lists_of_one_date_the_higher_number_counts_and_of_one_number_both() {
    let isr = Ca::new("A");
    let (avi, noa) = (isr.member("ISR:avi"), isr.member("ISR:noa"));
    let (world, _) = Changing::start(vec![isr.of("ISR")]).await;
    let put = async |number: u64, serials: &[u64]| {
        world.put("ISR.crl", &isr.crl_numbered(number, day(0), serials, day(30)));
        world.trust.reload().await.unwrap();
        (world.check(&avi), world.check(&noa))
    };
    assert_eq!(put(1, &[]).await, (Ok(()), Ok(())));
    assert_eq!(put(2, &[avi.serial]).await, (Err("revoked"), Ok(())));
    assert_eq!(put(1, &[]).await, (Err("revoked"), Ok(())), "an older one opens nothing");
    assert_eq!(put(300, &[]).await, (Ok(()), Ok(())), "a hold that was lifted");
    assert_eq!(put(300, &[noa.serial]).await, (Ok(()), Err("revoked")), "nobody can tell which of two is meant");
    assert_eq!(put(300, &[avi.serial]).await, (Err("revoked"), Err("revoked")));
}

#[tokio::test]
async fn damaged_list_of_an_intermediate_leaves_the_one_before_it_in_force() {
    let root = Ca::new("Root");
    let between = root.subordinate("Between");
    let (avi, noa) = (between.member("ISR:avi"), between.member("ISR:noa"));
    let (world, _) = Changing::start(vec![root.of("ISR")]).await;
    world.put("ISR.crl", &between.crl_of(day(0), &[avi.serial], day(30)));
    world.trust.reload().await.unwrap();
    for n in 1..10 {
        let mut damaged = between.crl_of(day(n), &[], day(30)).to_vec();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        world.put("ISR.crl", &damaged);
        world.trust.reload().await.unwrap();
        let registry = world.trust.registry();
        let check = |held: &Held| registry.identify(&held.der, std::slice::from_ref(&between.der), instant_of_day(1));
        assert_eq!(check(&avi), Err(CertificateRefusal::Revoked), "{n}");
        assert!(check(&noa).is_ok(), "{n}");
    }
}

#[tokio::test]
async fn folder_that_cannot_be_read_is_a_fault_and_opens_nothing() {
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let (avi, min) = (isr.member("ISR:avi"), kor.member("KOR:min"));
    let (world, _) = Changing::start(vec![isr.of("ISR")]).await;
    world.put("ISR.crl", &isr.crl(&[avi.serial], day(30)));
    world.trust.reload().await.unwrap();
    // Away altogether, which no account may read, not even the one that tests run as.
    let (here, away) = (world.crls.path().to_owned(), world.crls.path().with_extension("away"));
    std::fs::rename(&here, &away).unwrap();
    world.partners.lock().unwrap().push(kor.of("KOR"));
    let reloaded = world.trust.reload().await.unwrap();
    assert!(matches!(&reloaded.faults[..], [TrustFault::Folder { .. }]), "{:?}", reloaded.faults);
    assert_eq!(world.check(&avi), Err("revoked"));
    assert_eq!(world.check(&min), Err("revocation-unknown"), "nobody can say whether it has lists");
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(world.trust.reload().await.unwrap().faults, []);
    assert_eq!((world.check(&avi), world.check(&min)), (Err("revoked"), Ok(())), "it has none");
    let started = Trust::start(Calendar::at_day(1), Some(away), async || Ok(Vec::new())).await;
    assert!(matches!(started, Err(TrustError::Folder(_))));
}

#[tokio::test]
async fn file_counts_as_its_partners_however_its_name_is_written() {
    let isr = Ca::new("A");
    let avi = isr.member("ISR:avi");
    let list = isr.crl(&[avi.serial], day(30));
    for name in ["ISR.CRL", "ISR.der", "ISR.Pem", "isr.crl", "ISR", "ISR.crl.2026", "ISR/list", "isr/list.bin"] {
        assert_eq!(after_first_file(&isr, &avi, name, &list).await, (Err("revoked"), 0, 0), "{name}");
        assert_eq!(after_first_file(&isr, &avi, name, b"x").await, (Err("revocation-unknown"), 1, 0), "{name}");
    }
}

#[tokio::test]
async fn empty_folder_of_a_partner_shuts_it_out_and_an_empty_folder_of_all_is_a_fault() {
    let (isr, kor) = (Ca::new("A"), Ca::new("B"));
    let (world, started) = Changing::start(vec![isr.of("ISR"), kor.of("KOR")]).await;
    let folder = world.crls.path().to_owned();
    assert_eq!(started.faults, [TrustFault::EmptyFolder { folder: folder.clone() }]);
    world.put("README.md", b"lists go here");
    assert_eq!(world.trust.reload().await.unwrap().faults.len(), 1);
    std::fs::create_dir(folder.join("ISR")).unwrap();
    let faults = world.trust.reload().await.unwrap().faults;
    assert_eq!(faults, [TrustFault::NoLists { partner: "ISR".parse().unwrap(), before: ListRecord::Never }]);
    assert_eq!(world.check(&isr.member("ISR:avi")), Err("revocation-unknown"));
    assert_eq!(world.check(&kor.member("KOR:min")), Ok(()));
}

#[tokio::test]
async fn partner_that_had_lists_needs_them_after_a_restart_too() {
    let isr = Ca::new("A");
    let (avi, noa) = (isr.member("ISR:avi"), isr.member("ISR:noa"));
    let (before, _) = Changing::start(vec![isr.of("ISR")]).await;
    let list = isr.crl(&[avi.serial], day(30));
    before.put("ISR/a.crl", &list);
    assert_eq!(before.trust.reload().await.unwrap().faults, []);
    let (world, started) = Changing::start_with(before.partners, tempfile::tempdir().unwrap()).await;
    let [TrustFault::EmptyFolder { .. }, lacking] = &started.faults[..] else { panic!("{:?}", started.faults) };
    assert_eq!(
        lacking.to_string(),
        "`ISR` needs revocation lists and has none that can be used: its certificates are refused; there were lists in \
         `ISR/a.crl`"
    );
    assert!(lacking.help().contains("partner waive-lists"));
    for held in [&avi, &noa] {
        assert_eq!(world.check(held), Err("revocation-unknown"));
    }
    // Without the setting, too.
    let office = Office(Arc::clone(&world.partners));
    let (trust, _) = Trust::start(Calendar::at_day(1), None, office).await.unwrap();
    assert_eq!(identify(&trust.registry(), &noa), Err(CertificateRefusal::RevocationUnknown));
    // Under another name they are as good.
    world.put("ISR.pem", &list);
    assert_eq!(world.trust.reload().await.unwrap().faults, []);
    assert_eq!((world.check(&avi), world.check(&noa)), (Err("revoked"), Ok(())));
    let record = world.partners.lock().unwrap()[0].record.clone();
    assert_eq!(record, ListRecord::Found(vec!["ISR.pem".into()]));
}

#[tokio::test]
async fn partner_whose_lists_are_waived_needs_none_unless_there_is_a_file() {
    let isr = Ca::new("A");
    let avi = isr.member("ISR:avi");
    let (world, _) = Changing::start(vec![isr.of("ISR")]).await;
    let list = isr.crl(&[avi.serial], day(30));
    world.put("ISR.crl", &list);
    world.trust.reload().await.unwrap();
    let waive = || world.partners.lock().unwrap()[0].record = ListRecord::Waived;
    waive();
    world.put("ISR.crl", b"half a file");
    world.trust.reload().await.unwrap();
    assert_eq!(world.check(&avi), Err("revoked"), "a broken file is no absence");
    std::fs::remove_file(world.crls.path().join("ISR.crl")).unwrap();
    world.trust.reload().await.unwrap();
    assert_eq!(world.check(&avi), Ok(()));
    world.put("ISR.crl", &list);
    world.trust.reload().await.unwrap();
    assert_eq!(world.check(&avi), Err("revoked"));
    std::fs::remove_file(world.crls.path().join("ISR.crl")).unwrap();
    let faults = world.trust.reload().await.unwrap().faults;
    assert!(matches!(&faults[..], [TrustFault::EmptyFolder { .. }, TrustFault::CrlsGone { .. }]), "{faults:?}");
    assert_eq!(world.check(&avi), Err("revoked"), "they were found again since");
}

#[tokio::test]
async fn first_file_that_was_a_mistake_is_taken_back_by_waiving() {
    let isr = Ca::new("A");
    let avi = isr.member("ISR:avi");
    let (world, _) = Changing::start(vec![isr.of("ISR")]).await;
    world.put("ISR.txt", b"their list comes on Monday");
    world.trust.reload().await.unwrap();
    std::fs::remove_file(world.crls.path().join("ISR.txt")).unwrap();
    let faults = world.trust.reload().await.unwrap().faults;
    assert!(matches!(&faults[..], [TrustFault::EmptyFolder { .. }, TrustFault::NoLists { .. }]), "{faults:?}");
    assert_eq!(world.check(&avi), Err("revocation-unknown"), "a list may have been on its way");
    world.partners.lock().unwrap()[0].record = ListRecord::Waived;
    world.trust.reload().await.unwrap();
    assert_eq!(world.check(&avi), Ok(()));
}

#[tokio::test]
async fn list_counts_though_it_cannot_be_recorded_which_is_a_fault_until_it_is() {
    let ca = Ca::new("A");
    let (avi, noa) = (ca.member("READONLY:avi"), ca.member("READONLY:noa"));
    let (world, _) = Changing::start(vec![ca.of("READONLY")]).await;
    world.put("READONLY.crl", &ca.crl(&[avi.serial], day(30)));
    for _ in 0..2 {
        let faults = world.trust.reload().await.unwrap().faults;
        assert!(matches!(&faults[..], [TrustFault::NotRecorded { .. }]), "{faults:?}");
        assert_eq!((world.check(&avi), world.check(&noa)), (Err("revoked"), Ok(())));
    }
}

/// Two reloads at once, the database stuck, lists of many found: each waits for one limit.
#[tokio::test(start_paused = true)]
async fn stuck_writer_holds_up_no_revocation_and_the_next_reload_for_one_limit_in_all() {
    let codes = ["PA", "PB", "PC", "STUCK"];
    let cas = codes.map(Ca::new);
    let held: Vec<_> = codes.iter().zip(&cas).map(|(code, ca)| ca.member(&format!("{code}:avi"))).collect();
    let (world, _) = Changing::start(codes.iter().zip(&cas).map(|(code, ca)| ca.of(code)).collect()).await;
    for ((code, ca), held) in codes.iter().zip(&cas).zip(&held) {
        world.put(&format!("{code}.crl"), &ca.crl(&[held.serial], day(30)));
    }
    let began = tokio::time::Instant::now();
    let (first, second) = tokio::join!(world.trust.reload(), world.trust.reload());
    assert!(began.elapsed() < RECORDING + RECORDING / 2, "{:?}", began.elapsed());
    for reloaded in [first, second] {
        let faults = reloaded.unwrap().faults;
        let is_unrecorded = |fault: &TrustFault| matches!(fault, TrustFault::NotRecorded { .. });
        assert!(faults.len() == codes.len() && faults.iter().all(is_unrecorded), "{faults:?}");
    }
    for held in &held {
        assert_eq!(world.check(held), Err("revoked"));
    }
}

#[tokio::test]
async fn lists_that_are_waived_have_no_date_any_more() {
    let recorder = FigureRecorder::default();
    let _recording = ::metrics::set_default_local_recorder(&recorder);
    let isr = Ca::new("A");
    let (world, _) = Changing::start(vec![isr.of("ISR")]).await;
    let dated = |days| format!("{}", instant_of_day(days).as_second());
    let is_told = |date: &str| {
        let line = format!("entente_crl_expires_timestamp_seconds{{partner=\"ISR\"}} {date}");
        let figures = recorder.render();
        assert!(figures.lines().any(|found| found == line), "{line} in {figures}");
    };
    world.put("ISR.crl", &isr.crl(&[], day(3)));
    world.trust.reload().await.unwrap();
    is_told(&dated(3));
    world.partners.lock().unwrap()[0].record = ListRecord::Waived;
    std::fs::remove_file(world.crls.path().join("ISR.crl")).unwrap();
    world.trust.reload().await.unwrap();
    is_told("inf");
    world.put("ISR.crl", &isr.crl(&[], day(30)));
    world.trust.reload().await.unwrap();
    is_told(&dated(30));
}

/// On each of which the new key of an authority signs another list.
const DAYS: [&str; 5] = ["20260101000000Z", "20260102000000Z", "20260103000000Z", "20260104000000Z", "20260105000000Z"];

/// Lists as OpenSSL's stock configuration makes them, which name no key; the new key's come daily, the old one's hardly ever.
#[tokio::test]
async fn list_of_a_key_stays_however_many_newer_ones_another_key_of_its_name_signs() {
    let (old, new) = (Ca::new("Root"), Ca::new("Root"));
    let (avi, noa, min) = (old.member("ISR:avi"), old.member("ISR:noa"), new.member("ISR:min"));
    let anchors = vec![old.der.clone(), new.der.clone()];
    let (world, _) = Changing::start(vec![PartnerTrust { anchors, ..old.of("ISR") }]).await;
    world.put("ISR/old.crl", &old.odd_crl(&OddList::revoking(&[avi.serial])));
    for this_update in DAYS {
        world.put("ISR/new.crl", &new.odd_crl(&OddList { this_update, ..OddList::revoking(&[]) }));
        assert_eq!(world.trust.reload().await.unwrap().faults, []);
        let judged = [&avi, &noa, &min].map(|held| world.check(held));
        assert_eq!(judged, [Err("revoked"), Ok(()), Ok(())], "{this_update}");
    }
    // What is new of a key takes the place of what it had, and nothing piles up.
    let registry = world.trust.registry();
    let lists = &registry.lists[&"ISR".parse::<PartnerCode>().unwrap()];
    assert_eq!(lists.digests().count(), 3, "whether any are needed, and one of each key");
    std::fs::remove_file(world.crls.path().join("ISR/old.crl")).unwrap();
    let faults = world.trust.reload().await.unwrap().faults;
    assert!(matches!(&faults[..], [TrustFault::CrlsGone { .. }]), "{faults:?}");
    assert_eq!(world.check(&avi), Err("revoked"));
}

/// Nobody knows whose an intermediate's list is before a member shows the certificate.
#[tokio::test]
async fn list_in_the_folder_stays_though_no_member_has_shown_whose_it_is() {
    let root = Ca::new("Root");
    let (old, new) = (root.subordinate("Issuing"), root.subordinate("Issuing"));
    let (avi, noa) = (old.member("ISR:avi"), old.member("ISR:noa"));
    let (world, _) = Changing::start(vec![root.of("ISR")]).await;
    world.put("ISR/old.crl", &old.odd_crl(&OddList::revoking(&[avi.serial])));
    for this_update in DAYS {
        world.put("ISR/new.crl", &new.odd_crl(&OddList { this_update, ..OddList::revoking(&[]) }));
        assert_eq!(world.trust.reload().await.unwrap().faults, []);
    }
    let registry = world.trust.registry();
    let check = |held: &Held| registry.identify(&held.der, std::slice::from_ref(&old.der), instant_of_day(1)).map(drop);
    assert_eq!((check(&avi), check(&noa)), (Err(CertificateRefusal::Revoked), Ok(())));
}
