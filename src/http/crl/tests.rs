//! Each kind of list alone: used, set aside, or refused with its fault.

use super::*;
use crate::http::test_pki::{Ca, OddList, day, der, instant_of_day};

fn only(bytes: &[u8]) -> Result<Found, CrlFault> {
    let mut found = read_crls(bytes);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn list(bytes: &[u8]) -> RevocationList {
    match only(bytes) {
        Ok(Found::List(list)) => *list,
        other => panic!("{other:?}"),
    }
}

fn aside(bytes: &[u8]) -> Aside {
    match only(bytes) {
        Ok(Found::Aside(aside)) => aside,
        other => panic!("{other:?}"),
    }
}

fn fault(bytes: &[u8]) -> CrlFault {
    only(bytes).map(drop).unwrap_err()
}

fn revokes(list: &RevocationList, leaf: &[u8]) -> bool {
    list.revokes(&x509_parser::parse_x509_certificate(leaf).unwrap().1)
}

fn pem(der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", STANDARD.encode(der))
}

#[test]
fn list_is_read_in_both_encodings() {
    let ca = Ca::new("Root");
    let (bad, good) = (ca.member("ISR:avi"), ca.member("ISR:noa"));
    let der = ca.crl(&[bad.serial], day(30));
    for bytes in [der.to_vec(), pem(&der).into_bytes()] {
        let list = list(&bytes);
        assert_eq!((list.this_update, list.next_update), (instant_of_day(0), instant_of_day(30)));
        assert!(revokes(&list, &bad.der) && !revokes(&list, &good.der));
        assert!(list.is_signed_by(&ca.anchor().spki_der) && !list.is_signed_by(&Ca::new("Root").anchor().spki_der));
        assert_eq!(list.check_origin(&[ca.anchor()]), Ok(()));
    }
}

#[test]
fn list_in_a_file_counts_though_another_one_is_damaged() {
    let ca = Ca::new("Root");
    let der = ca.crl(&[7], day(30));
    let file = format!("{}{}{}", pem(&der[..40]), pem(&der), pem(b"garbage"));
    let found = read_crls(file.as_bytes());
    assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn each_fault_of_a_list_is_told_apart() {
    let ca = Ca::new("Root");
    let der = ca.crl(&[7], day(30));
    assert_eq!(fault(b""), CrlFault::Empty);
    assert!(matches!(fault(&der[..40]), CrlFault::Malformed(_)));
    assert!(matches!(fault(&[&*der, &[0]].concat()), CrlFault::Malformed(_)));
    assert!(matches!(fault(&ca.der), CrlFault::Malformed(_)));
    let endless = OddList { next_update: None, ..OddList::revoking(&[]) };
    assert_eq!(fault(&ca.odd_crl(&endless)), CrlFault::NoNextUpdate);
    let unknown = fault(&ca.odd_crl(&OddList::revoking(&[]).with(99, &[5, 0])));
    assert_eq!(unknown.to_string(), "is of a kind that cannot be used: it has the critical extension `2.5.29.99`");
    assert_eq!(fault(&vec![b' '; usize::try_from(MAX_FILE_BYTES).unwrap() + 1]), CrlFault::TooLong);
}

#[test]
fn year_9999_means_no_end() {
    let ca = Ca::new("Root");
    let odd = OddList { next_update: Some("99991231235959Z"), ..OddList::revoking(&[7]) };
    assert_eq!(list(&ca.odd_crl(&odd)).next_update, Timestamp::MAX);
}

#[test]
fn delta_list_and_lists_of_other_certificates_are_set_aside() {
    let ca = Ca::new("Root");
    let with = |odd: OddList| aside(&ca.odd_crl(&odd));
    assert_eq!(with(OddList::revoking(&[7]).with(27, &[2, 1, 1])), Aside::Delta);
    assert_eq!(with(OddList::revoking(&[7]).scoped(&[&[0x82, 1, 0xff]])), Aside::AuthoritiesOnly);
    assert_eq!(with(OddList::revoking(&[7]).scoped(&[&[0x85, 1, 0xff]])), Aside::AttributesOnly);
}

#[test]
fn distribution_point_without_a_name_is_understood_and_partial_or_indirect_lists_are_refused() {
    let ca = Ca::new("Root");
    let held = ca.member("ISR:avi");
    let users = list(&ca.odd_crl(&OddList::revoking(&[held.serial]).scoped(&[&[0x81, 1, 0xff]])));
    let (_, leaf) = x509_parser::parse_x509_certificate(&held.der).unwrap();
    assert!(users.covers(&leaf) && users.revokes(&leaf));
    for (part, word) in [(&[0x83, 2, 1, 6][..], "reasons"), (&[0x84, 1, 0xff], "indirect")] {
        let fault = fault(&ca.odd_crl(&OddList::revoking(&[]).scoped(&[part])));
        assert!(fault.to_string().contains(word), "{fault}");
    }
    for odd in [&[0x86, 1, 0][..], &[0x81], &[0xa0, 2, 0xa1, 0]] {
        assert!(only(&ca.odd_crl(&OddList::revoking(&[]).scoped(&[odd]))).is_err(), "{odd:?}");
    }
}

#[test]
fn list_of_a_named_point_covers_the_certificates_that_name_it() {
    let ca = Ca::new("Root");
    let point = |address: &str| {
        let name = der(0xa0, &[&der(0xa0, &[&der(0x86, &[address.as_bytes()])])]);
        list(&ca.odd_crl(&OddList::revoking(&[]).scoped(&[&name])))
    };
    let sharded = ca.leaf(|params| {
        params.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris: vec!["http://a/7.crl".into()] }];
    });
    let plain = ca.member("ISR:avi");
    let covers = |list: &RevocationList, der: &[u8]| list.covers(&x509_parser::parse_x509_certificate(der).unwrap().1);
    assert!(covers(&point("http://a/7.crl"), &sharded.der));
    assert!(!covers(&point("http://a/8.crl"), &sharded.der));
    assert!(!covers(&point("http://a/7.crl"), &plain.der));
}

#[test]
fn list_that_names_an_anchor_is_signed_by_it_and_by_one_that_may() {
    let (ca, namesake) = (Ca::new("Root"), Ca::new("Root"));
    let forged = {
        let mut der = ca.crl(&[7], day(30)).to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        list(&der)
    };
    assert_eq!(forged.check_origin(&[ca.anchor()]), Err(CrlFault::Foreign));
    // It names another key than the anchor's: a renewed one's, which only a member's chain can show.
    assert_eq!(list(&namesake.crl(&[], day(30))).check_origin(&[ca.anchor()]), Ok(()));
    assert_eq!(list(&namesake.odd_crl(&OddList::revoking(&[]))).check_origin(&[ca.anchor()]), Err(CrlFault::Foreign));
    let mute = Ca::with("Mute", |params| params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign]);
    assert_eq!(list(&mute.odd_crl(&OddList::revoking(&[]))).check_origin(&[mute.anchor()]), Err(CrlFault::NoCrlSign));
}

#[test]
fn folder_is_read_by_partner_code_and_strays_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| std::fs::write(folder.path().join(name), "x").unwrap();
    std::fs::create_dir(folder.path().join("KOR")).unwrap();
    for name in ["ISR.crl", "USA.pem", "KOR/a.crl", "KOR/b", "isr.crl", "GBR.txt", ".hidden", "README.md"] {
        put(name);
    }
    let files = CrlFiles::find(folder.path()).unwrap();
    let found: Vec<_> = files.by_partner.iter().map(|(code, paths)| (code.as_str(), paths.len())).collect();
    assert_eq!(found, [("ISR", 1), ("KOR", 2), ("USA", 1)]);
    let strays: Vec<_> = files.strays.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(strays, ["GBR.txt", "isr.crl"]);
}
