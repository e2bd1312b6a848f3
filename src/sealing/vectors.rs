//! Public vectors against what is ours: C2SP CCTV for age files, RFC 8785 for canonical JSON, Wycheproof for signatures. Where we differ
//! on purpose, the case is listed here with its reason; a difference that is not listed fails, and so does a listed one that is gone.

use super::{
    canonical,
    header::HeaderCheck,
    identity::{Keyring, NoPrompt},
    jws::LeafKey,
    payload::{NONCE, PayloadWriter},
    seal::open_with,
    testing,
};
use crate::domain::id::Sha256;
use age_core::format::FileKey;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

/// One vector of CCTV: what is expected, with which identities, and the file.
struct AgeVector {
    fields: Vec<(String, String)>,
    file: Vec<u8>,
}

impl AgeVector {
    fn all() -> BTreeMap<String, Self> {
        let text = include_str!("../../tests/vectors/cctv-age.json");
        let vectors: BTreeMap<String, String> = serde_json::from_str(text).unwrap();
        vectors.into_iter().map(|(name, vector)| (name, Self::read(&BASE64_STANDARD.decode(vector).unwrap()))).collect()
    }

    fn read(vector: &[u8]) -> Self {
        let end = vector.windows(2).position(|two| two == b"\n\n").unwrap();
        let head = std::str::from_utf8(&vector[..end]).unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let mut vector = Self { fields: head.lines().map(field).collect(), file: vector[end + 2..].to_vec() };
        if vector.one("compressed").is_some() {
            vector.file = miniz_oxide::inflate::decompress_to_vec_zlib(&vector.file).unwrap();
        }
        vector
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.of(name).next()
    }

    fn expects(&self) -> &str {
        self.one("expect").unwrap()
    }
}

/// Compares the names of the cases that differ with those that are listed with a reason.
fn assert_listed(differ: &[&str], listed: &[(&str, &[&str])]) {
    let differ: BTreeSet<&str> = differ.iter().copied().collect();
    let listed: BTreeSet<&str> = listed.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let (unlisted, gone): (Vec<_>, Vec<_>) =
        (differ.difference(&listed).collect(), listed.difference(&differ).collect());
    assert!(
        unlisted.is_empty() && gone.is_empty(),
        "differ and are not listed: {unlisted:?}; listed and do not: {gone:?}"
    );
}

#[test]
fn client_opens_what_age_opens_and_nothing_else() {
    let (mut opened, mut refused, mut differ) = (0, 0, Vec::new());
    let vectors = AgeVector::all();
    for (name, vector) in &vectors {
        let mut keyring = Keyring::new();
        for identity in vector.of("identity").filter(|identity| !identity.starts_with("AGE-SECRET-KEY-PQ-")) {
            keyring.add(Keyring::parse(identity.as_bytes(), name, &NoPrompt).unwrap());
        }
        let mut plaintext = Vec::new();
        let result = open_with(&keyring.identities(), vector.file.as_slice(), &mut plaintext, &mut |_| ());
        let is_open = match (&result, vector.expects()) {
            (Ok(_), "success") => {
                assert_eq!(Some(Sha256::of(&plaintext).to_string().as_str()), vector.one("payload"), "{name}");
                opened += 1;
                continue;
            }
            (Ok(_), _) => true,
            (Err(_), "success") => false,
            (Err(_), _) => {
                refused += 1;
                continue;
            }
        };
        println!("{name}: expected {}, opened {is_open}: {result:?}", vector.expects());
        differ.push(name.as_str());
    }
    println!("{opened} opened, {refused} refused, {} differ", differ.len());
    assert_eq!(opened + refused + differ.len(), vectors.len());
    assert_listed(&differ, DIFFERENCES_OF_OPENING);
}

#[test]
fn payload_is_written_as_age_writes_it_to_the_byte() {
    let mut written = 0;
    for (name, vector) in &AgeVector::all() {
        let (true, None, Some(key)) = (vector.expects() == "success", vector.one("armored"), vector.one("file key"))
        else {
            continue;
        };
        let Ok(shape) = HeaderCheck::check(&vector.file) else { continue };
        let Some(identity) = vector.one("identity").filter(|identity| !identity.starts_with("AGE-SECRET-KEY-PQ-"))
        else {
            continue;
        };
        let keyring = Keyring::parse(identity.as_bytes(), name, &NoPrompt).unwrap();
        let mut plaintext = Vec::new();
        open_with(&keyring.identities(), vector.file.as_slice(), &mut plaintext, &mut |_| ()).unwrap();
        let (beginning, payload) = vector.file.split_at(usize::try_from(shape.header_len).unwrap() + NONCE);
        let key = FileKey::init_with_mut(|bytes| {
            for (byte, digits) in bytes.iter_mut().zip(key.as_bytes().chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
            }
        });
        let mut writer = PayloadWriter::new(&key, beginning.last_chunk().unwrap(), Vec::new());
        writer.write_all(&plaintext).unwrap();
        assert!(writer.finish().unwrap() == payload, "{name}");
        written += 1;
    }
    assert_eq!(written, 14);
}

const DIFFERENCES_OF_OPENING: &[(&str, &[&str])] = &[
    (
        "armored files are refused: the exchange stores the binary form alone",
        &[
            "armor_crlf",
            "armor_full_last_line",
            "armor_hybrid",
            "armor_no_eol",
            "armor_scrypt",
            "armor_whitespace_outside",
            "armor_x25519",
        ],
    ),
    (
        "post-quantum identities are not read by the version of the age library in use",
        &["hybrid", "hybrid_and_x25519", "hybrid_grease", "hybrid_multiple_recipients"],
    ),
    ("files sealed to a passphrase are refused: no member's key opens them", &["scrypt"]),
];

#[test]
fn server_takes_every_binary_file_that_opens_and_refuses_malformed_headers() {
    let mut differ = Vec::new();
    let vectors = AgeVector::all();
    for (name, vector) in &vectors {
        let checked = HeaderCheck::check(&vector.file);
        // What the header alone says: that a key fits, or that a payload is whole, takes a key.
        let wanted = match vector.expects() {
            "success" => vector.one("armored").is_none(),
            "header failure" | "armor failure" => false,
            _ => checked.is_ok(),
        };
        if checked.is_ok() != wanted {
            println!("{name}: expected {}: {checked:?}", vector.expects());
            differ.push(name.as_str());
        }
    }
    assert_listed(&differ, DIFFERENCES_OF_THE_HEADER);
}

const DIFFERENCES_OF_THE_HEADER: &[(&str, &[&str])] = &[
    ("files sealed to a passphrase are refused: no member's key opens them", &["scrypt"]),
    (
        "arguments and bodies are checked for X25519 alone: a reader ignores stanzas of other types",
        &[
            "hybrid_extra_argument",
            "hybrid_identity",
            "hybrid_long_file_key",
            "hybrid_long_share",
            "hybrid_low_order",
            "hybrid_not_canonical_enc",
            "hybrid_short_share",
        ],
    ),
    ("that a share is of low order is seen only with a key", &["x25519_identity", "x25519_low_order"]),
];

/// RFC 8785, appendix B: the bits of a number and its form.
const NUMBERS: &[(u64, &str)] = &[
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn numbers_are_written_as_rfc_8785_says() {
    for (bits, form) in NUMBERS {
        assert_eq!(String::from_utf8(canonical::to_vec(&f64::from_bits(*bits)).unwrap()).unwrap(), *form, "{bits:x}");
    }
    // Values that JSON cannot say.
    for bits in [0x7fff_ffff_ffff_ffff, 0x7ff0_0000_0000_0000, 0xfff0_0000_0000_0000] {
        let written = canonical::to_vec(&f64::from_bits(bits));
        assert!(written.is_err() || written == Ok(b"null".to_vec()), "{bits:x}: {written:?}");
    }
}

#[test]
fn forms_of_numbers_are_read_back_as_what_was_written() {
    let differ: Vec<&str> =
        NUMBERS.iter().map(|(_, form)| *form).filter(|form| canonical::parse(form.as_bytes()).is_err()).collect();
    assert_listed(
        &differ,
        &[(
            "integers past 2^53 - 1 are refused: readers round them in different ways",
            &["9007199254740992", "-9007199254740992"],
        )],
    );
}

#[test]
fn values_are_written_as_rfc_8785_says() {
    // Section 3.2.2.
    let given = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let wanted = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
    let value: Value = canonical::parse_unique(given.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(canonical::to_vec(&value).unwrap()).unwrap(), wanted);
    assert_eq!(canonical::parse(wanted.as_bytes()).unwrap(), value);
    // Section 3.2.3: by UTF-16 code units.
    let given = json!({
        "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh", "1": "One",
        "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis",
    });
    let written = String::from_utf8(canonical::to_vec(&given).unwrap()).unwrap();
    let order = ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"];
    let places: Vec<usize> = order.iter().map(|name| written.find(name).unwrap()).collect();
    assert!(places.is_sorted(), "{written}");
}

/// Signatures of Wycheproof: for each public key the cases, each with the message, the signature and whether it is valid.
#[derive(Deserialize)]
struct Signatures {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    public_key_der: String,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    tc_id: u32,
    comment: String,
    flags: Vec<String>,
    msg: String,
    sig: String,
    result: String,
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A certificate of another's public key. Its own signature is wrong, which the reading of statements leaves to others.
fn certificate_of(spki: &[u8], kind: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let (_, certificate) = testing::certificate(kind);
    let mut der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap().to_vec();
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    let own = parsed.tbs_certificate.subject_pki.raw.to_vec();
    assert_eq!(own.len(), spki.len(), "keys of one kind take the same room");
    let at = der.windows(own.len()).position(|window| window == own).unwrap();
    der[at..at + spki.len()].copy_from_slice(spki);
    der
}

/// Every signature is judged as Wycheproof says, by what judges statements: how many are valid, and how many are not.
fn judged(text: &str, kind: &'static rcgen::SignatureAlgorithm) -> (u32, u32) {
    let signatures: Signatures = serde_json::from_str(text).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in signatures.groups {
        let leaf = LeafKey::read(&certificate_of(&hex(&group.public_key_der), kind)).unwrap();
        for case in group.tests {
            let accepted = leaf.verifies(&BASE64_URL_SAFE_NO_PAD.encode(hex(&case.sig)), &hex(&case.msg));
            let Case { tc_id, comment, flags, result, .. } = case;
            assert!(result == "valid" || result == "invalid", "{result}");
            assert_eq!(accepted, result == "valid", "{tc_id}: {comment} {flags:?}");
            *if accepted { &mut valid } else { &mut invalid } += 1;
        }
    }
    (valid, invalid)
}

#[test]
fn signatures_of_wycheproof_are_judged_as_it_says() {
    let p256 = include_str!("../../tests/vectors/wycheproof-ecdsa_secp256r1_sha256_p1363.json");
    assert_eq!(judged(p256, &rcgen::PKCS_ECDSA_P256_SHA256), (173, 89));
    let p384 = include_str!("../../tests/vectors/wycheproof-ecdsa_secp384r1_sha384_p1363.json");
    assert_eq!(judged(p384, &rcgen::PKCS_ECDSA_P384_SHA384), (193, 87));
    let ed25519 = include_str!("../../tests/vectors/wycheproof-ed25519.json");
    assert_eq!(judged(ed25519, &rcgen::PKCS_ED25519), (88, 63));
}
