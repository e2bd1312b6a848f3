//! Certificates as real national PKIs issue them, each rule with the smallest chain that shows it.

use crate::http::{
    leaf::PeerIdentity,
    refusal::CertificateRefusal,
    test_pki::{Ca, Held, day, der, instant_of_day, member_uri},
    trust::{PartnerTrust, Registry},
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, GeneralSubtree, IsCa,
    NameConstraints, SanType,
};

/// Arcs under 2.5.29.
const POLICIES: u64 = 32;
const MAPPINGS: u64 = 33;
const POLICY_CONSTRAINTS: u64 = 36;
const INHIBIT_ANY: u64 = 54;

fn critical(arc: u64, value: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, arc], value.to_vec());
    extension.set_criticality(true);
    extension
}

/// 1.2.3.`n`, or the policy that stands for any.
fn policy(n: Option<u8>) -> Vec<u8> {
    match n {
        Some(n) => der(6, &[&[0x2a, 3, n]]),
        None => der(6, &[&[0x55, 0x1d, 0x20, 0]]),
    }
}

fn policies(list: &[Option<u8>]) -> CustomExtension {
    let each: Vec<_> = list.iter().map(|n| der(0x30, &[&policy(*n)])).collect();
    critical(POLICIES, &der(0x30, &[&each.concat()]))
}

fn requires_policy(skip: u8) -> CustomExtension {
    critical(POLICY_CONSTRAINTS, &der(0x30, &[&[0x80, 1, skip]]))
}

fn maps(from: u8, to: u8) -> CustomExtension {
    critical(MAPPINGS, &der(0x30, &[&der(0x30, &[&policy(Some(from)), &policy(Some(to))])]))
}

fn registry(partners: Vec<PartnerTrust>) -> Registry {
    let (registry, faults) = Registry::build(1, partners);
    assert_eq!(faults, []);
    registry
}

fn judge(registry: &Registry, held: &Held, between: &[&Ca]) -> Result<PeerIdentity, CertificateRefusal> {
    let between: Vec<_> = between.iter().map(|ca| ca.der.clone()).collect();
    registry.identify(&held.der, &between, instant_of_day(1))
}

/// A member's certificate under an authority under an anchor, each with these extensions.
fn through(above: Vec<CustomExtension>, below: Vec<CustomExtension>) -> Result<(), CertificateRefusal> {
    let root = Ca::new("Root");
    let between = root.subordinate_with("Between", |params| params.custom_extensions = above);
    let held = between.leaf(|params| {
        params.subject_alt_names = vec![member_uri("ISR:avi")];
        params.custom_extensions = below;
    });
    judge(&registry(vec![root.of("ISR")]), &held, &[&between]).map(drop)
}

#[test]
fn policies_that_hold_from_end_to_end_pass_and_others_do_not() {
    assert_eq!(through(vec![policies(&[Some(1)])], vec![policies(&[Some(1)])]), Ok(()));
    let required = || vec![policies(&[Some(1)]), requires_policy(0)];
    assert_eq!(through(required(), vec![policies(&[Some(1)])]), Ok(()));
    assert_eq!(through(required(), vec![policies(&[Some(2), Some(1)])]), Ok(()));
    assert_eq!(through(required(), vec![policies(&[None])]), Ok(()));
    assert_eq!(through(required(), vec![policies(&[Some(2)])]), Err(CertificateRefusal::NoPolicy));
    assert_eq!(through(required(), vec![]), Err(CertificateRefusal::NoPolicy));
    assert_eq!(through(vec![policies(&[Some(1)])], vec![policies(&[Some(2)])]), Ok(()), "nobody requires one");
    assert_eq!(through(vec![policies(&[Some(1)])], vec![requires_policy(0)]), Err(CertificateRefusal::NoPolicy));
    let none_for_any = |skip| vec![policies(&[Some(1)]), requires_policy(0), critical(INHIBIT_ANY, &[2, 1, skip])];
    assert_eq!(through(none_for_any(0), vec![policies(&[None])]), Err(CertificateRefusal::NoPolicy));
    assert_eq!(through(none_for_any(1), vec![policies(&[None])]), Ok(()));
    assert_eq!(through(none_for_any(0), vec![policies(&[Some(1)])]), Ok(()));
}

#[test]
fn mapped_policies_are_followed() {
    let mapped = || vec![policies(&[Some(1)]), requires_policy(0), maps(1, 2)];
    assert_eq!(through(mapped(), vec![policies(&[Some(2)])]), Ok(()));
    assert_eq!(through(mapped(), vec![policies(&[Some(1)])]), Err(CertificateRefusal::NoPolicy));
    let no_mapping = Ca::with("Root", |params| {
        params.custom_extensions = vec![critical(POLICY_CONSTRAINTS, &der(0x30, &[&[0x81, 1, 0]]))];
    });
    let between = no_mapping.subordinate_with("Between", |params| params.custom_extensions = mapped());
    let held = between.leaf(|params| params.custom_extensions = vec![policies(&[Some(2)])]);
    assert_eq!(
        judge(&registry(vec![no_mapping.of("ISR")]), &held, &[&between]).map(drop),
        Err(CertificateRefusal::NoPolicy)
    );
}

#[test]
fn critical_extension_that_cannot_be_honoured_is_named() {
    let refusal = through(vec![critical(46, &[0x30, 0])], vec![]).unwrap_err();
    assert_eq!(refusal.slug(), "critical-extension");
    assert!(refusal.to_string().contains("freshestCRL") && refusal.to_string().contains("2.5.29.46"), "{refusal}");
    let qualifier = der(0x30, &[&policy(Some(9)), &[5, 0]]);
    let odd = der(0x30, &[&der(0x30, &[&policy(Some(1)), &der(0x30, &[&qualifier])])]);
    let refusal = through(vec![], vec![critical(POLICIES, &odd)]).unwrap_err();
    assert!(refusal.to_string().contains("certificatePolicies"), "{refusal}");
    assert!(matches!(
        through(vec![critical(POLICY_CONSTRAINTS, &[5, 0])], vec![]),
        Err(CertificateRefusal::Malformed(_))
    ));
}

/// A member with these names under an authority with these constraints.
fn named(constraints: NameConstraints, change: impl FnOnce(&mut CertificateParams)) -> Result<(), CertificateRefusal> {
    let root = Ca::new("Root");
    let between = root.subordinate_with("Between", |params| params.name_constraints = Some(constraints));
    judge(&registry(vec![root.of("ISR")]), &between.leaf(change), &[&between]).map(drop)
}

fn permitted(subtrees: Vec<GeneralSubtree>) -> NameConstraints {
    NameConstraints { permitted_subtrees: subtrees, excluded_subtrees: Vec::new() }
}

fn excluded(subtrees: Vec<GeneralSubtree>) -> NameConstraints {
    NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees: subtrees }
}

fn email(address: &str) -> SanType {
    SanType::Rfc822Name(address.try_into().unwrap())
}

fn directory(country: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, DnValue::PrintableString(country.try_into().unwrap()));
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name
}

#[test]
fn constraints_on_e_mail_addresses_are_kept() {
    let own = || vec![GeneralSubtree::Rfc822Name("example.org".into())];
    let with = |names: Vec<SanType>| move |params: &mut CertificateParams| params.subject_alt_names = names;
    assert_eq!(named(permitted(own()), with(vec![email("avi@example.org"), member_uri("ISR:avi")])), Ok(()));
    assert_eq!(
        named(permitted(own()), with(vec![member_uri("ISR:avi")])),
        Ok(()),
        "without an address nothing is broken"
    );
    let refused = Err(CertificateRefusal::NameConstraint("e-mail address"));
    assert_eq!(named(permitted(own()), with(vec![email("avi@elsewhere.org")])), refused);
    assert_eq!(named(excluded(own()), with(vec![email("avi@example.org")])), refused);
    assert_eq!(named(excluded(own()), with(vec![email("avi@elsewhere.org")])), Ok(()));
    // The older place of an address.
    let in_subject = |address: &'static str| {
        move |params: &mut CertificateParams| {
            let kind = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
            params.distinguished_name.push(kind, DnValue::Ia5String(address.try_into().unwrap()));
        }
    };
    assert_eq!(named(permitted(own()), in_subject("avi@example.org")), Ok(()));
    assert_eq!(named(permitted(own()), in_subject("avi@elsewhere.org")), refused);
}

#[test]
fn constraints_on_directory_names_are_kept() {
    let subject = |name: DistinguishedName| move |params: &mut CertificateParams| params.distinguished_name = name;
    let israel = || vec![GeneralSubtree::DirectoryName(directory("IL", None))];
    assert_eq!(named(permitted(israel()), subject(directory("IL", Some("Kinneret Sensing")))), Ok(()));
    let refused = Err(CertificateRefusal::NameConstraint("directory name"));
    assert_eq!(named(permitted(israel()), subject(directory("KR", Some("Kinneret Sensing")))), refused);
    assert_eq!(named(permitted(israel()), |_| {}), refused, "a subject outside");
    let lab = || vec![GeneralSubtree::DirectoryName(directory("IL", Some("Kinneret Sensing")))];
    assert_eq!(named(excluded(lab()), subject(directory("IL", Some("kinneret  SENSING")))), refused);
    assert_eq!(named(excluded(lab()), subject(directory("IL", Some("Ｋinneret Sensing")))), refused, "who could tell?");
    assert_eq!(named(excluded(lab()), subject(directory("IL", Some("Carmel Institute")))), Ok(()));
}

#[test]
fn constraint_of_a_kind_that_is_not_compared_refuses_the_names_it_is_about() {
    let root = Ca::new("Root");
    // Permitted: URIs at example.org.
    let uris = der(0x30, &[&der(0xa0, &[&der(0x30, &[&der(0x86, &[b"example.org"])])])]);
    let between = root.subordinate_with("Between", |params| params.custom_extensions = vec![critical(30, &uris)]);
    let registry = registry(vec![root.of("ISR")]);
    let held = between.member("ISR:avi");
    assert_eq!(judge(&registry, &held, &[&between]).map(drop), Err(CertificateRefusal::NameConstraint("URI")));
    assert!(judge(&registry, &between.leaf(|_| {}), &[&between]).is_ok());
}

#[test]
fn constraints_on_uris_are_kept_by_host() {
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let with = |list: u8, names: Vec<SanType>| {
        let value = der(0x30, &[&der(list, &[&der(0x30, &[&der(0x86, &[b".example.org"])])])]);
        let root = Ca::with("Root", |params| params.custom_extensions = vec![critical(30, &value)]);
        judge(&registry(vec![root.of("ISR")]), &root.leaf(|params| params.subject_alt_names = names), &[]).map(drop)
    };
    let (permitted, excluded) = (0xa0, 0xa1);
    let refused = Err(CertificateRefusal::NameConstraint("URI"));
    assert_eq!(with(permitted, vec![uri("https://a.example.org/avi")]), Ok(()));
    assert_eq!(with(permitted, vec![uri("https://a.elsewhere.org/avi")]), refused);
    assert_eq!(with(excluded, vec![uri("https://a.elsewhere.org/avi")]), Ok(()));
    assert_eq!(with(excluded, vec![uri("https://a.example.org/avi")]), refused);
    // A URI without a host must be refused (RFC 5280, 4.2.1.10): a key card names such a partner's certificates alone.
    assert_eq!(with(permitted, vec![member_uri("ISR:avi")]), refused);
    assert_eq!(with(excluded, vec![member_uri("ISR:avi")]), refused);
    assert_eq!(with(permitted, vec![]), Ok(()));
}

#[test]
fn constraint_on_other_names_refuses_those_of_its_type_alone() {
    let (login, number) = ([1, 3, 6, 1, 4, 1, 311, 20, 2, 3], [1, 2, 3]);
    let base = der(0xa0, &[&der(6, &[&[0x2a, 3]]), &der(0xa0, &[&der(0x0c, &[b"1"])])]);
    let value = der(0x30, &[&der(0xa1, &[&der(0x30, &[&base])])]);
    let root = Ca::with("Root", |params| params.custom_extensions = vec![critical(30, &value)]);
    let registry = registry(vec![root.of("ISR")]);
    let with = |id: &[u64]| {
        let name = SanType::OtherName((id.to_vec(), "avi".into()));
        let held = root.leaf(|params| params.subject_alt_names = vec![name, member_uri("ISR:avi")]);
        judge(&registry, &held, &[]).map(drop)
    };
    assert_eq!(with(&login), Ok(()));
    assert_eq!(with(&number), Err(CertificateRefusal::NameConstraint("other name")));
}

#[test]
fn constraints_of_an_anchor_are_kept_as_those_of_an_authority() {
    let root = Ca::with("Root", |params| {
        params.name_constraints = Some(permitted(vec![GeneralSubtree::Rfc822Name("example.org".into())]));
        params.custom_extensions = vec![policies(&[Some(1)]), requires_policy(0)];
    });
    let registry = registry(vec![root.of("ISR")]);
    let with = |address: &str, n: u8| {
        judge(
            &registry,
            &root.leaf(|params| {
                params.subject_alt_names = vec![email(address)];
                params.custom_extensions = vec![policies(&[Some(n)])];
            }),
            &[],
        )
        .map(drop)
    };
    assert_eq!(with("avi@example.org", 1), Ok(()));
    assert_eq!(with("avi@example.org", 2), Err(CertificateRefusal::NoPolicy));
    assert_eq!(with("avi@elsewhere.org", 1), Err(CertificateRefusal::NameConstraint("e-mail address")));
}

#[test]
fn certificate_without_an_end_is_accepted() {
    let forever = time::OffsetDateTime::from_unix_timestamp(253_402_300_799).unwrap();
    let root = Ca::with("Root", |params| params.not_after = forever);
    let between = root.subordinate_with("Between", |params| params.not_after = forever);
    let held = between.leaf(|params| params.not_after = forever);
    let peer = judge(&registry(vec![root.of("ISR")]), &held, &[&between]).unwrap();
    assert_eq!((peer.not_after, peer.recheck_at), (jiff::Timestamp::MAX, jiff::Timestamp::MAX));
}

#[test]
fn surplus_cross_certificates_do_not_disturb() {
    let (root, bridge) =
        (Ca::with("Root", |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(1))), Ca::new("Bridge"));
    let between = root.subordinate("Between");
    // The bridge vouches for both keys, in certificates that could not be used at all.
    let odd = |params: &mut CertificateParams| {
        params.custom_extensions = vec![critical(46, &[0x30, 0])];
        params.not_after = day(-1);
    };
    let (cross_root, cross_between) = (bridge.cross(&root, odd), bridge.cross(&between, odd));
    let held = between.member("ISR:avi");
    let registry = registry(vec![root.of("ISR")]);
    for order in [[&cross_root, &cross_between, &between], [&between, &cross_between, &cross_root]] {
        let peer = judge(&registry, &held, &order).unwrap();
        assert_eq!(peer.recheck_at, instant_of_day(100), "by the certificates of the way alone");
    }
}

#[test]
fn path_through_another_partners_anchor_is_refused() {
    let (isr, kor) = (Ca::new("Israel"), Ca::new("Korea"));
    // Korea's authority vouches for Israel's: by TLS alone Israel's members would be Korea's.
    let cross = kor.cross(&isr, |_| {});
    let registry = registry(vec![isr.of("ISR"), kor.of("KOR")]);
    let unnamed = isr.leaf(|_| {});
    assert_eq!(judge(&registry, &unnamed, &[&cross]).unwrap().partner.as_str(), "ISR", "its own anchor's, always");
    let below = isr.subordinate("Below");
    let held = below.leaf(|_| {});
    let refused = judge(&registry, &held, &[&below, &cross]);
    assert_eq!(refused.unwrap().partner.as_str(), "ISR");
    // Nor do they become Korea's when their own anchor does not hold.
    let later = Ca::with("Israel", |params| params.not_after = day(0));
    let cross = kor.cross(&later, |_| {});
    let expired = Registry::build(1, vec![later.of("ISR"), kor.of("KOR")]).0;
    assert_eq!(judge(&expired, &later.leaf(|_| {}), &[&cross]), Err(CertificateRefusal::AnchorExpired));
    let korea_alone = Registry::build(1, vec![kor.of("KOR")]).0;
    assert!(judge(&korea_alone, &later.leaf(|_| {}), &[&cross]).is_ok(), "the path itself holds");
}

#[test]
fn key_of_another_partners_anchor_counts_on_the_way_alone() {
    let (isr, kor) = (Ca::new("Israel"), Ca::new("Korea"));
    let cross = kor.cross(&isr, |_| {});
    // Israel is enrolled and shut out by its second anchor, so its members could come as Korea's alone.
    let mut broken = isr.of("ISR");
    broken.anchors.push(b"no certificate".to_vec().into());
    let (registry, faults) = Registry::build(1, vec![broken, kor.of("KOR")]);
    assert_eq!(faults.len(), 1);
    let refused = Err(CertificateRefusal::OtherPartnersAnchor { other: "ISR".parse().unwrap() });
    assert_eq!(judge(&registry, &isr.leaf(|_| {}), &[&cross]).map(drop), refused);
    let below = isr.subordinate("Below");
    assert_eq!(judge(&registry, &below.leaf(|_| {}), &[&below, &cross]).map(drop), refused);
    // A client that sends that certificate along without needing it is not refused.
    for between in [vec![&cross], vec![&cross, &isr]] {
        let peer = judge(&registry, &kor.member("KOR:min"), &between).unwrap();
        assert_eq!(peer.partner.as_str(), "KOR");
    }
    // Nor is who has two ways, one of them through that key.
    let office = kor.subordinate("Office");
    let by_israel = isr.cross(&office, |_| {});
    let held = office.member("KOR:min");
    for between in [[&by_israel, &cross, &office], [&office, &cross, &by_israel]] {
        assert_eq!(judge(&registry, &held, &between).unwrap().partner.as_str(), "KOR");
    }
}
