//! Anchors that national PKIs really have, made with OpenSSL where rcgen cannot (`fixtures/README.md`).

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/src/http/fixtures/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn strong_keys_of_each_kind_are_accepted() {
    for name in ["rsa-2048", "p384", "p521", "ed25519", "pss"] {
        let anchor = check_anchor(&fixture(name), now()).unwrap_or_else(|fault| panic!("{name} {fault}"));
        assert_eq!(anchor.subject, format!("C=XX, CN={name}"));
    }
}

#[test]
fn weak_keys_and_signatures_are_refused() {
    let fault = |name: &str| check_anchor(&fixture(name), now()).unwrap_err();
    assert_eq!(fault("rsa-1024"), AnchorFault::WeakKey("RSA with 1024 bits".into()));
    assert_eq!(fault("sha1"), AnchorFault::WeakSignature("SHA-1"));
    assert_eq!(fault("md5"), AnchorFault::WeakSignature("MD5"));
    assert_eq!(fault("pss-sha1"), AnchorFault::WeakSignature("RSASSA-PSS with SHA-1"));
    assert!(matches!(fault("brainpool"), AnchorFault::UnsupportedKey(_)));
    assert!(matches!(fault("ed448"), AnchorFault::UnsupportedKey(_)));
}

#[test]
fn version_1_certificate_is_refused() {
    assert_eq!(check_anchor(&fixture("version-1"), now()), Err(AnchorFault::OldVersion));
}

#[test]
fn file_must_hold_exactly_one_whole_certificate_and_no_key() {
    let one = fixture("ed25519");
    let two = [&one[..], &fixture("p384")].concat();
    assert_eq!(check_anchor(&two, now()), Err(AnchorFault::Several(2)));
    assert_eq!(check_anchors(&two, now()).unwrap().len(), 2);
    assert_eq!(check_anchors(&[&one[..], &one].concat(), now()), Err(vec![(2, AnchorFault::Duplicate)]));
    for nothing in [&b""[..], b"-----BEGIN NOTHING-----\nAA==\n-----END NOTHING-----\n"] {
        assert_eq!(check_anchor(nothing, now()), Err(AnchorFault::Empty));
    }
    let key = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    assert_eq!(check_anchor(&[&one[..], key].concat(), now()), Err(AnchorFault::PrivateKey));
    let anchor = check_anchor(&one, now()).unwrap();
    assert!(check_anchor(&anchor.der, now()).is_ok(), "DER is taken too");
    for broken in [&anchor.der[..100], &[&anchor.der[..], b"x"].concat(), b"garbage"] {
        assert!(matches!(check_anchor(broken, now()), Err(AnchorFault::Malformed(_))));
    }
}

#[test]
fn all_faults_of_a_file_are_reported_with_their_place() {
    let file = [fixture("sha1"), fixture("p384"), fixture("version-1")].concat();
    let faults = check_anchors(&file, now()).unwrap_err();
    assert_eq!(faults, [(1, AnchorFault::WeakSignature("SHA-1")), (3, AnchorFault::OldVersion)]);
    assert!(faults.iter().all(|(_, fault)| !fault.help().is_empty()));
}

#[cfg(feature = "client")]
mod made {
    use super::*;
    use crate::http::test_pki::{Ca, day, instant_of_day};
    use rcgen::{
        BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, DnType, ExtendedKeyUsagePurpose,
        GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints,
    };

    fn check(change: impl FnOnce(&mut CertificateParams)) -> Result<Anchor, AnchorFault> {
        check_anchor(&Ca::with("Root", change).der, instant_of_day(1))
    }

    #[test]
    fn dates_are_judged_at_enrolment_and_not_when_loaded() {
        let expired = Ca::with("Root", |params| params.not_after = day(0));
        assert_eq!(check_anchor(&expired.der, instant_of_day(1)), Err(AnchorFault::Expired(instant_of_day(0))));
        assert!(Anchor::read(expired.der).is_ok());
        assert_eq!(check(|params| params.not_before = day(2)), Err(AnchorFault::NotYetValid(instant_of_day(2))));
    }

    #[test]
    fn only_a_ca_that_may_issue_client_certificates_is_accepted() {
        assert_eq!(check(|params| params.is_ca = IsCa::NoCa), Err(AnchorFault::NotAuthority));
        assert_eq!(check(|params| params.is_ca = IsCa::ExplicitNoCa), Err(AnchorFault::NotAuthority));
        assert_eq!(check(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]), Err(AnchorFault::NoCertSign));
        assert_eq!(check(|params| params.key_usages.clear()), Err(AnchorFault::NoCertSign));
        let servers = vec![ExtendedKeyUsagePurpose::ServerAuth];
        assert_eq!(check(|params| params.extended_key_usages = servers), Err(AnchorFault::NotForClients));
        assert_eq!(
            check(|params| params.distinguished_name = rcgen::DistinguishedName::new()),
            Err(AnchorFault::NoSubject)
        );
    }

    #[test]
    fn path_length_is_read() {
        let anchor = check(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1))).unwrap();
        assert_eq!(anchor.path_len, Some(1));
        assert_eq!(check(|_| {}).unwrap().path_len, None);
    }

    #[test]
    fn name_constraints_that_can_be_compared_are_taken_and_malformed_ones_are_not() {
        let directory = || {
            let mut name = rcgen::DistinguishedName::new();
            name.push(DnType::CountryName, "IL");
            GeneralSubtree::DirectoryName(name)
        };
        let of = |permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>| {
            check(|params| {
                params.name_constraints =
                    Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
            })
        };
        let dns = || GeneralSubtree::DnsName("gov.il".into());
        let network = || GeneralSubtree::IpAddress(CidrSubnet::V4([10, 0, 0, 0], [255, 0, 0, 0]));
        assert!(of(vec![dns(), network()], vec![]).is_ok());
        assert!(of(vec![directory()], vec![]).is_ok());
        let mail = || GeneralSubtree::Rfc822Name("gov.il".into());
        assert!(of(vec![dns()], vec![mail()]).is_ok());
        let gap = GeneralSubtree::IpAddress(CidrSubnet::V4([10, 0, 0, 0], [255, 0, 255, 0]));
        assert!(matches!(of(vec![gap], vec![]), Err(AnchorFault::Malformed(_))));
        let no_name = GeneralSubtree::DnsName("gov il/".into());
        assert!(matches!(of(vec![no_name], vec![]), Err(AnchorFault::Malformed(_))));
    }

    /// Name constraints that rcgen cannot write, by hand: permitted, one subtree.
    fn constraint(tag: u8, content: &[u8]) -> Result<Anchor, AnchorFault> {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let name = [&[tag, length(content)], content].concat();
        let subtree = [&[0x30, length(&name)], &name[..]].concat();
        let permitted = [&[0xa0, length(&subtree)], &subtree[..]].concat();
        let value = [&[0x30, length(&permitted)], &permitted[..]].concat();
        check(|params| {
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], value);
            extension.set_criticality(true);
            params.custom_extensions = vec![extension];
        })
    }

    #[test]
    fn rarer_name_constraints_are_taken_or_refused_by_their_kind() {
        assert!(constraint(0x86, b"gov.il").is_ok() && constraint(0x86, b".gov.il").is_ok());
        for no_host in [&b"https://gov.il"[..], b"localhost", b""] {
            assert!(matches!(constraint(0x86, no_host), Err(AnchorFault::Malformed(_))), "{no_host:?}");
        }
        assert!(constraint(0xa0, &[6, 2, 0x2a, 3, 0xa0, 2, 5, 0]).is_ok());
        assert_eq!(constraint(0x83, &[5, 0]), Err(AnchorFault::NameConstraint("X.400 addresses")));
        assert_eq!(constraint(0x88, &[0x2a, 3, 4]), Err(AnchorFault::NameConstraint("registered identifiers")));
        assert!(constraint(0x82, b"gov.il").is_ok());
        assert!(matches!(constraint(0x87, &[10, 0, 0]), Err(AnchorFault::Malformed(_))));
    }

    #[test]
    fn extension_nobody_understands_is_refused_when_critical() {
        let with = |critical: bool| {
            check(|params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                extension.set_criticality(critical);
                params.custom_extensions = vec![extension];
            })
        };
        assert_eq!(with(true), Err(AnchorFault::CriticalExtension("1.2.3.4".into())));
        assert!(with(false).is_ok());
    }

    #[test]
    fn rules_on_policies_that_are_applied_are_enrolled_when_critical() {
        // From the first certificate below on a policy is required: `policyConstraints` of RFC 5280, 4.2.1.11.
        let with = |value: Vec<u8>| {
            check(|params| {
                let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 36], value);
                extension.set_criticality(true);
                params.custom_extensions = vec![extension];
            })
        };
        let enrolled = with(vec![0x30, 3, 0x80, 1, 0]);
        assert!(enrolled.is_ok(), "{enrolled:?}");
        assert!(matches!(with(vec![5, 0]), Err(AnchorFault::Malformed(_))), "what cannot be read is not enrolled");
    }

    #[test]
    fn damaged_self_signature_is_refused() {
        let mut der = Ca::new("Root").der.to_vec();
        *der.last_mut().unwrap() ^= 1;
        assert_eq!(check_anchor(&der, instant_of_day(1)), Err(AnchorFault::BadSelfSignature));
    }

    #[test]
    fn subordinate_ca_may_be_an_anchor() {
        let below = Ca::new("Root").subordinate("For research");
        assert!(check_anchor(&below.der, instant_of_day(1)).is_ok());
    }
}
