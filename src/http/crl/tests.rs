//! Each kind of list alone: used, set aside, or refused with its fault.

use super::*;
use crate::http::test_pki::{Ca, OddList, day, der, instant_of_day};

fn only(bytes: &[u8]) -> Result<RevocationFile, CrlFault> {
    let mut found = read_crls(bytes);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn list(bytes: &[u8]) -> RevocationList {
    match only(bytes) {
        Ok(RevocationFile::List(list)) => *list,
        other => panic!("{other:?}"),
    }
}

fn aside(bytes: &[u8]) -> Aside {
    match only(bytes) {
        Ok(RevocationFile::Aside(aside)) => aside,
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

/// A directory name of country and name, as the contents of a `Name`.
fn directory(country: &str, name: &str) -> Vec<u8> {
    [step(6, country), step(3, name)].concat()
}

/// One step of a directory name, its last arc under 2.5.4.
fn step(kind: u8, value: &str) -> Vec<u8> {
    der(0x31, &[&attribute(kind, value)])
}

fn attribute(kind: u8, value: &str) -> Vec<u8> {
    der(0x30, &[&der(6, &[&[0x55, 4, kind]]), &der(0x0c, &[value.as_bytes()])])
}

#[test]
fn point_named_by_a_directory_name_or_relative_to_the_issuer_covers_the_certificates_that_name_it() {
    let ca = Ca::new("Root");
    let list = |name: &[u8]| list(&ca.odd_crl(&OddList::revoking(&[]).scoped(&[&der(0xa0, &[name])])));
    let leaf = |point: &[&[u8]]| {
        let value = der(0x30, &[&der(0x30, point)]);
        ca.leaf(|params| {
            params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 31], value)];
        })
    };
    let covers = |list: &RevocationList, held: &crate::http::test_pki::Held| {
        list.covers(&x509_parser::parse_x509_certificate(&held.der).unwrap().1)
    };
    let full = |name: &[u8]| der(0xa0, &[&der(0xa4, &[&der(0x30, &[name])])]);
    let relative = |value: &str| der(0xa1, &[&attribute(3, value)]);
    // The issuer's own name and one step more.
    let below = |value: &str| full(&[step(3, "Root"), step(3, value)].concat());
    let point = |name: &[u8]| leaf(&[&der(0xa0, &[name])]);

    let named = list(&full(&directory("IL", "Point 7")));
    assert!(covers(&named, &point(&full(&directory("IL", "Point 7")))));
    assert!(!covers(&named, &point(&full(&directory("IL", "Point 8")))));
    for list in [list(&relative("7")), list(&below("7"))] {
        assert!(covers(&list, &point(&relative("7"))));
        assert!(covers(&list, &point(&below("7"))));
        assert!(!covers(&list, &point(&relative("8"))) && !covers(&list, &point(&below("8"))));
        // Some reasons alone, and another issuer's lists.
        assert!(!covers(&list, &leaf(&[&der(0xa0, &[&relative("7")]), &[0x81, 2, 1, 6]])));
        assert!(!covers(
            &list,
            &leaf(&[&der(0xa0, &[&relative("7")]), &der(0xa2, &[&full(&directory("IL", "x"))[2..]])])
        ));
    }
    let with_tag = list(&der(0xa0, &[&der(0x82, &[b"a.example"]), &der(0x86, &[b"http://a"])]));
    assert!(covers(&with_tag, &point(&der(0xa0, &[&der(0x82, &[b"a.example"])]))));
    assert!(!covers(&with_tag, &point(&der(0xa0, &[&der(0x86, &[b"a.example"])]))), "a name of another kind");
}

#[test]
fn lists_after_the_hundredth_of_a_file_are_told_of() {
    let list = pem(&Ca::new("Root").crl(&[], day(30)));
    assert!(read_crls(list.repeat(MAX_LISTS).as_bytes()).iter().all(Result::is_ok));
    let found = read_crls(list.repeat(MAX_LISTS + 2).as_bytes());
    assert_eq!(found.len(), MAX_LISTS + 1);
    let fault = found.into_iter().find_map(Result::err).unwrap();
    assert_eq!(
        (&fault, fault.to_string().as_str()),
        (&CrlFault::TooMany, "comes after the first 100 of its file and is not read")
    );
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
    let own = list(&mute.odd_crl(&OddList::revoking(&[])));
    assert_eq!(own.check_origin(&[mute.anchor()]), Err(CrlFault::NoCrlSign));
    // Another certificate for the same key allows it.
    let renewed = namesake.cross(&mute, |_| {});
    assert_eq!(own.check_origin(&[mute.anchor(), renewed.anchor()]), Ok(()));
    assert_eq!(own.check_origin(&[renewed.anchor(), mute.anchor()]), Ok(()));
}

#[test]
fn folder_is_read_by_partner_code_and_strays_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| std::fs::write(folder.path().join(name), "x").unwrap();
    std::fs::create_dir(folder.path().join("KOR")).unwrap();
    std::fs::create_dir(folder.path().join("FRA")).unwrap();
    assert!(CrlFiles::find(tempfile::tempdir().unwrap().path()).unwrap().is_empty());
    let isr = ["ISR.crl", "ISR.CRL", "ISR.der", "isr.pem", "ISR", "ISR.crl.bak"];
    for name in isr.iter().chain(&["USA.pem", "KOR/a.crl", "KOR/b", "ISR-old.crl", "lists.txt", ".hidden", "README.md"])
    {
        put(name);
    }
    let files = CrlFiles::find(folder.path()).unwrap();
    let found: Vec<_> = files.by_partner.iter().map(|(code, paths)| (code.as_str(), paths.len())).collect();
    assert_eq!(found, [("FRA", 0), ("ISR", isr.len()), ("KOR", 2), ("LISTS", 1), ("USA", 1)]);
    let strays: Vec<_> = files.strays.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(strays, ["ISR-old.crl"]);
    assert!(!files.is_empty());
}
