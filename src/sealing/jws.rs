//! Signatures: compact JWS (RFC 7515) whose header carries the signer's certificate and whose payload is canonical JSON.
//!
//! Proves that the holder of the leaf certificate's key signed exactly these payload bytes as exactly this type of
//! statement. It does **not** say whether that key is anybody's: the caller compares the returned SPKI digest with a pin
//! from a card. Certificate dates are not looked at either, so an old signature stays provable; cards hold the dates.
//!
//! One form only: header members `alg`, `typ`, `x5c`; `ES256`, `ES384` or `EdDSA` with Ed25519; base64url without
//! padding; payload RFC 8785. Whatever could make two readers disagree is refused.

use super::{
    canonical::{self, CanonicalError},
    signer::{SignatureAlgorithm, Signer, SignerError},
};
use crate::domain::id::Sha256;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt;
use x509_parser::{oid_registry, prelude::FromDer};
use zeroize::Zeroize;

/// The longest JWS taken, in bytes: 1 MiB.
pub const MAX_JWS_LEN: usize = 1 << 20;
/// The longest leaf certificate taken, in bytes.
const MAX_LEAF_LEN: usize = 16 * 1024;

/// Why a JWS is refused, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than [`MAX_JWS_LEN`].
    #[error("the signed statement is longer than 1 MiB")]
    TooLarge,
    /// Not three parts.
    #[error("not a compact JWS: wanted three parts with a dot between them")]
    Parts,
    /// `=` somewhere.
    #[error("the {0} of the JWS has base64 padding; base64url in a JWS has none")]
    Padding(&'static str),
    /// Not base64url.
    #[error("the {0} of the JWS is not base64url")]
    Base64(&'static str),
    /// Header is not a JSON object of the wanted shape.
    #[error("the header of the JWS is malformed: {0}")]
    Header(String),
    /// A `crit` member.
    #[error("the header of the JWS has `crit`; no extension is supported")]
    Critical,
    /// A key or a link to one in the header.
    #[error("the header of the JWS brings its own key in `{0}`; the key must come from a certificate in `x5c`")]
    EmbeddedKey(String),
    /// Any other member.
    #[error("the header of the JWS has the unknown member `{0}`; only `alg`, `typ` and `x5c` are taken")]
    UnknownMember(String),
    /// Another algorithm, or none.
    #[error("the JWS is signed with `{0}`; only `ES256`, `ES384` and `EdDSA` are taken")]
    Algorithm(String),
    /// `alg` does not fit the certificate.
    #[error("the JWS says `{said}`, but the key in its certificate signs with `{fits}`")]
    AlgorithmMismatch {
        /// What the header says.
        said: String,
        /// What the key can do.
        fits: &'static str,
    },
    /// Another type of statement.
    #[error("the JWS is a `{found}`, wanted a `{wanted}`")]
    Type {
        /// What the reader asked for.
        wanted: String,
        /// What the header says.
        found: String,
    },
    /// `x5c` is not one certificate.
    #[error("`x5c` must hold exactly the signer's certificate, in base64 of its DER form")]
    Chain,
    /// The certificate cannot be read.
    #[error("the certificate is malformed: {0}")]
    Leaf(String),
    /// RSA, P-521, Ed448 …
    #[error("the certificate's key is of a kind that cannot sign here; wanted P-256, P-384 or Ed25519")]
    KeyKind,
    /// The signature is not by the leaf's key over these bytes.
    #[error("the signature does not match: the statement was changed, or another key signed it")]
    Signature,
    /// The payload is not canonical JSON.
    #[error("the payload of the JWS is refused: {0}")]
    Payload(#[from] CanonicalError),
    /// The PEM holds no usable private key.
    #[error("no usable private key in the PEM; wanted PKCS #8 or SEC 1")]
    PrivateKey,
    /// The PEM holds no certificate.
    #[error("no certificate in the PEM")]
    NoCertificate,
    /// Key and certificate are of different pairs.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// There is no signature.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// A private key from a file with its certificate: a member's, a registrar's or the exchange's. Never printed, never serialized;
/// zeroized when dropped.
pub struct SigningKey {
    key: EncodingKey,
    algorithm: SignatureAlgorithm,
    leaf: Vec<u8>,
    spki_sha256: Sha256,
}

/// What a verified JWS proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedJws {
    /// The signed bytes: canonical JSON.
    pub payload: Vec<u8>,
    /// The signer's certificate, DER.
    pub leaf: Vec<u8>,
    /// SHA-256 of the certificate's `SubjectPublicKeyInfo`: the signer's key, whatever certificate it is in.
    pub spki_sha256: Sha256,
}

impl SigningKey {
    /// Reads a private key (PKCS #8 or SEC 1) and its certificate (the first in the PEM), and tries them on each other.
    pub fn from_pem(key_pem: &[u8], cert_pem: &[u8]) -> Result<Self, JwsError> {
        let leaf = CertificateDer::from_pem_slice(cert_pem).map_err(|_| JwsError::NoCertificate)?.to_vec();
        let public = LeafKey::read(&leaf)?;
        let mut private = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| JwsError::PrivateKey)?;
        let key = encoding_key(&private, public.algorithm);
        private.zeroize();
        let key = Self { key: key?, algorithm: public.algorithm, leaf, spki_sha256: public.spki_sha256 };
        // The public half is never read out of the private key: what counts is that signatures verify.
        let probe = b"does this key belong to this certificate";
        let signature = crypto::sign(probe, &key.key, library(key.algorithm)).map_err(|_| JwsError::KeyMismatch)?;
        if public.verifies(&signature, probe) { Ok(key) } else { Err(JwsError::KeyMismatch) }
    }

    /// SHA-256 of the key's `SubjectPublicKeyInfo`, the form in which cards pin it.
    pub fn spki_sha256(&self) -> Sha256 {
        self.spki_sha256
    }
}

impl Signer for SigningKey {
    fn certificate(&self) -> &[u8] {
        &self.leaf
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let failed = |error: &dyn fmt::Display| SignerError::Failed(error.to_string());
        let signature = crypto::sign(message, &self.key, library(self.algorithm)).map_err(|error| failed(&error))?;
        URL_SAFE_NO_PAD.decode(signature).map_err(|error| failed(&error))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("spki_sha256", &self.spki_sha256).finish_non_exhaustive()
    }
}

/// Has the canonical JSON of `payload` signed as a statement of type `typ`.
pub fn sign(signer: &dyn Signer, typ: &str, payload: &impl Serialize) -> Result<String, JwsError> {
    let public = LeafKey::read(signer.certificate()).map_err(|error| SignerError::Failed(error.to_string()))?;
    let algorithm = signer.algorithm();
    let header = json!({"alg": algorithm.name(), "typ": typ, "x5c": [STANDARD.encode(signer.certificate())]});
    let header = URL_SAFE_NO_PAD.encode(canonical::to_vec(&header)?);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(canonical::to_vec(payload)?));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(message.as_bytes())?);
    // A card may hold another key than that of the certificate; nobody would believe what it signs.
    if public.algorithm != algorithm || !public.verifies(&signature, message.as_bytes()) {
        return Err(SignerError::OtherKey.into());
    }
    let jws = format!("{message}.{signature}");
    if jws.len() > MAX_JWS_LEN { Err(JwsError::TooLarge) } else { Ok(jws) }
}

/// Verifies a JWS of type `typ` under the certificate it carries.
pub fn verify(jws: &str, typ: &str) -> Result<VerifiedJws, JwsError> {
    if jws.len() > MAX_JWS_LEN {
        return Err(JwsError::TooLarge);
    }
    let mut parts = jws.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(JwsError::Parts);
    };
    let (algorithm, leaf) = read_header(&decode("header", header)?, typ)?;
    decode("signature", signature)?;
    let payload_bytes = decode("payload", payload)?;
    let public = LeafKey::read(&leaf)?;
    if algorithm != public.algorithm.name() {
        return Err(JwsError::AlgorithmMismatch { said: algorithm, fits: public.algorithm.name() });
    }
    let message = &jws[..header.len() + 1 + payload.len()];
    if !public.verifies(signature, message.as_bytes()) {
        return Err(JwsError::Signature);
    }
    canonical::parse(&payload_bytes)?;
    Ok(VerifiedJws { payload: payload_bytes, leaf, spki_sha256: public.spki_sha256 })
}

/// SHA-256 of the `SubjectPublicKeyInfo` of a DER certificate: how cards pin keys.
pub fn spki_sha256(certificate: &[u8]) -> Result<Sha256, JwsError> {
    parse_certificate(certificate).map(|certificate| Sha256::of(certificate.tbs_certificate.subject_pki.raw))
}

/// The same, for a certificate whose key can sign here: P-256, P-384 or Ed25519.
pub fn check_key(certificate: &[u8]) -> Result<Sha256, JwsError> {
    LeafKey::read(certificate).map(|key| key.spki_sha256)
}

/// What the key of a certificate signs with, and SHA-256 of its `SubjectPublicKeyInfo`.
pub fn key_of(certificate: &[u8]) -> Result<(SignatureAlgorithm, Sha256), JwsError> {
    LeafKey::read(certificate).map(|key| (key.algorithm, key.spki_sha256))
}

/// The public key of a certificate, if it can sign here.
pub(super) struct LeafKey {
    algorithm: SignatureAlgorithm,
    key: DecodingKey,
    spki_sha256: Sha256,
}

impl LeafKey {
    pub(super) fn read(leaf: &[u8]) -> Result<Self, JwsError> {
        let certificate = parse_certificate(leaf)?;
        let spki = &certificate.tbs_certificate.subject_pki;
        let point = spki.subject_public_key.data.as_ref();
        let kind = &spki.algorithm.algorithm;
        let (algorithm, key) = if *kind == oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve =
                spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).ok_or(JwsError::KeyKind)?;
            // Uncompressed points only, as RFC 5480 requires of everybody and RFC 7518 of the curve.
            let (algorithm, len) = if curve == oid_registry::OID_EC_P256 {
                (SignatureAlgorithm::Es256, 65)
            } else if curve == oid_registry::OID_NIST_EC_P384 {
                (SignatureAlgorithm::Es384, 97)
            } else {
                return Err(JwsError::KeyKind);
            };
            if point.len() != len || point[0] != 4 {
                return Err(JwsError::KeyKind);
            }
            (algorithm, DecodingKey::from_ec_der(point))
        } else if *kind == oid_registry::OID_SIG_ED25519 && point.len() == 32 {
            (SignatureAlgorithm::EdDsa, DecodingKey::from_ed_der(point))
        } else {
            return Err(JwsError::KeyKind);
        };
        Ok(Self { algorithm, key, spki_sha256: Sha256::of(spki.raw) })
    }

    pub(super) fn verifies(&self, signature: &str, message: &[u8]) -> bool {
        crypto::verify(signature, message, &self.key, library(self.algorithm)).unwrap_or(false)
    }
}

fn parse_certificate(der: &[u8]) -> Result<x509_parser::certificate::X509Certificate<'_>, JwsError> {
    if der.len() > MAX_LEAF_LEN {
        return Err(JwsError::Leaf("longer than 16 KiB".to_owned()));
    }
    match x509_parser::certificate::X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(JwsError::Leaf("bytes follow it".to_owned())),
        Err(error) => Err(JwsError::Leaf(error.to_string())),
    }
}

fn encoding_key(private: &PrivateKeyDer<'_>, algorithm: SignatureAlgorithm) -> Result<EncodingKey, JwsError> {
    let sec1 = |der: &[u8], signing: &'static EcdsaSigningAlgorithm| {
        let pair = EcdsaKeyPair::from_private_key_der(signing, der).map_err(|_| JwsError::KeyMismatch)?;
        let document = pair.to_pkcs8v1().map_err(|_| JwsError::PrivateKey)?;
        Ok(EncodingKey::from_ec_der(document.as_ref()))
    };
    match (private, algorithm) {
        (PrivateKeyDer::Pkcs8(key), SignatureAlgorithm::EdDsa) => Ok(EncodingKey::from_ed_der(key.secret_pkcs8_der())),
        (PrivateKeyDer::Pkcs8(key), _) => Ok(EncodingKey::from_ec_der(key.secret_pkcs8_der())),
        (PrivateKeyDer::Sec1(key), SignatureAlgorithm::Es256) => {
            sec1(key.secret_sec1_der(), &ECDSA_P256_SHA256_FIXED_SIGNING)
        }
        (PrivateKeyDer::Sec1(key), SignatureAlgorithm::Es384) => {
            sec1(key.secret_sec1_der(), &ECDSA_P384_SHA384_FIXED_SIGNING)
        }
        _ => Err(JwsError::KeyMismatch),
    }
}

/// Checks the header; gives what it says of `alg` and the certificate in `x5c`.
fn read_header(bytes: &[u8], typ: &str) -> Result<(String, Vec<u8>), JwsError> {
    let header = canonical::parse_unique(bytes).map_err(|error| JwsError::Header(error.to_string()))?;
    let Value::Object(header) = header else { return Err(JwsError::Header("wanted a JSON object".to_owned())) };
    for member in header.keys() {
        match member.as_str() {
            "alg" | "typ" | "x5c" => {}
            "crit" => return Err(JwsError::Critical),
            "jwk" | "jku" | "x5u" => return Err(JwsError::EmbeddedKey(member.clone())),
            _ => return Err(JwsError::UnknownMember(member.chars().take(80).collect())),
        }
    }
    let algorithm = text(&header, "alg")?;
    if !["ES256", "ES384", "EdDSA"].contains(&algorithm.as_str()) {
        return Err(JwsError::Algorithm(algorithm));
    }
    let found = text(&header, "typ")?;
    if found != typ {
        return Err(JwsError::Type { wanted: typ.to_owned(), found });
    }
    let leaf = match header.get("x5c").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::String(leaf)]) => STANDARD.decode(leaf).map_err(|_| JwsError::Chain)?,
        _ => return Err(JwsError::Chain),
    };
    Ok((algorithm, leaf))
}

fn text(header: &Map<String, Value>, member: &str) -> Result<String, JwsError> {
    let text = header.get(member).and_then(Value::as_str);
    let text = text.ok_or_else(|| JwsError::Header(format!("wanted the text member `{member}`")))?;
    Ok(text.chars().take(80).collect())
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, JwsError> {
    if text.contains('=') {
        return Err(JwsError::Padding(part));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwsError::Base64(part))
}

fn library(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::Es256 => Algorithm::ES256,
        SignatureAlgorithm::Es384 => Algorithm::ES384,
        SignatureAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made once by `sign` with an Ed25519 key that was then thrown away; holds the form still.
    const GOLDEN: &str = include_str!("testdata/golden.jws");

    /// `GOLDEN` with one part replaced.
    fn with(part: usize, text: &str) -> String {
        let mut parts: Vec<&str> = GOLDEN.trim().split('.').collect();
        parts[part] = text;
        parts.join(".")
    }

    /// `GOLDEN` with its header changed; the signature no longer matches, so a refusal must come before it is looked at.
    fn with_header(change: impl FnOnce(&mut Map<String, Value>)) -> Result<VerifiedJws, JwsError> {
        let header = URL_SAFE_NO_PAD.decode(GOLDEN.split('.').next().unwrap()).unwrap();
        let mut header: Map<String, Value> = serde_json::from_slice(&header).unwrap();
        change(&mut header);
        verify(&with(0, &URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).unwrap())), "entente-golden+jws")
    }

    #[test]
    fn golden_statement_still_verifies() {
        let verified = verify(GOLDEN.trim(), "entente-golden+jws").unwrap();
        assert_eq!(verified.payload, br#"{"party":"ISR","size":42}"#);
        assert_eq!(verified.spki_sha256, spki_sha256(&verified.leaf).unwrap());
    }

    #[test]
    fn other_type_is_refused() {
        let error = verify(GOLDEN.trim(), "entente-manifest+jws").unwrap_err();
        assert_eq!(error.to_string(), "the JWS is a `entente-golden+jws`, wanted a `entente-manifest+jws`");
    }

    #[test]
    fn algorithms_but_three_are_refused() {
        for alg in ["none", "None", "HS256", "HS384", "RS256", "PS512", "ES512", "ES256K", "Ed448", ""] {
            let refused = with_header(|header| drop(header.insert("alg".into(), alg.into())));
            assert_eq!(refused, Err(JwsError::Algorithm(alg.to_owned())));
        }
        let refused = with_header(|header| drop(header.remove("alg")));
        assert!(matches!(refused, Err(JwsError::Header(_))));
    }

    #[test]
    fn algorithm_of_another_key_kind_is_refused() {
        let refused = with_header(|header| drop(header.insert("alg".into(), "ES256".into())));
        assert_eq!(refused, Err(JwsError::AlgorithmMismatch { said: "ES256".to_owned(), fits: "EdDSA" }));
    }

    #[test]
    fn extensions_and_embedded_keys_are_refused() {
        assert_eq!(with_header(|h| drop(h.insert("crit".into(), json!(["b64"])))), Err(JwsError::Critical));
        for member in ["jwk", "jku", "x5u"] {
            let refused = with_header(|h| drop(h.insert(member.into(), json!({}))));
            assert_eq!(refused, Err(JwsError::EmbeddedKey(member.to_owned())));
        }
        for member in ["kid", "b64", "x5t#S256"] {
            let refused = with_header(|h| drop(h.insert(member.into(), json!(true))));
            assert_eq!(refused, Err(JwsError::UnknownMember(member.to_owned())));
        }
    }

    #[test]
    fn certificate_chain_must_be_one_leaf() {
        for x5c in [json!([]), json!(["AA==", "AA=="]), json!("AA=="), json!([1]), json!(["AA"]), json!(["-_=="])] {
            assert_eq!(with_header(|h| drop(h.insert("x5c".into(), x5c))), Err(JwsError::Chain));
        }
        let refused = with_header(|h| drop(h.insert("x5c".into(), json!(["AAAA"]))));
        assert!(matches!(refused, Err(JwsError::Leaf(_))));
    }

    #[test]
    fn repeated_header_member_is_refused() {
        let refused = verify(&with(0, &URL_SAFE_NO_PAD.encode(r#"{"alg":"none","alg":"EdDSA"}"#)), "x");
        assert!(matches!(refused, Err(JwsError::Header(problem)) if problem.contains("member `alg` appears twice")));
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let golden = GOLDEN.trim();
        for at in (0..golden.len()).step_by(7) {
            let mut bytes = golden.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(verify(std::str::from_utf8(&bytes).unwrap(), "entente-golden+jws").is_err(), "{at}");
        }
        let payload = URL_SAFE_NO_PAD.encode(r#"{"party":"KOR","size":42}"#);
        assert_eq!(verify(&with(1, &payload), "entente-golden+jws"), Err(JwsError::Signature));
        assert_eq!(verify(&with(2, ""), "entente-golden+jws"), Err(JwsError::Signature));
    }

    #[test]
    fn other_encodings_are_refused() {
        let typ = "entente-golden+jws";
        for (text, error) in [
            (String::new(), JwsError::Parts),
            ("a.b".to_owned(), JwsError::Parts),
            (format!("{}.e30", GOLDEN.trim()), JwsError::Parts),
            (with(0, "e30="), JwsError::Padding("header")),
            (with(1, "e30="), JwsError::Padding("payload")),
            (with(2, "e30="), JwsError::Padding("signature")),
            (with(1, "e3 0"), JwsError::Base64("payload")),
            (with(1, "e31"), JwsError::Base64("payload")),
            (with(2, "+/"), JwsError::Base64("signature")),
            (GOLDEN.replace('.', "\n."), JwsError::Base64("header")),
            ("a".repeat(MAX_JWS_LEN + 1), JwsError::TooLarge),
        ] {
            assert_eq!(verify(text.trim(), typ), Err(error), "{}", &text[..text.len().min(40)]);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(noise in ".{0,200}", part in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(verify(&noise, "entente-golden+jws").is_err());
            prop_assert!(verify(&with(part, &URL_SAFE_NO_PAD.encode(&bytes)), "entente-golden+jws").is_err());
            let refused = with_header(|header| drop(header.insert("x5c".into(), json!([STANDARD.encode(&bytes)]))));
            prop_assert!(refused.is_err());
        }
    }

    #[cfg(feature = "client")]
    mod with_keys {
        use super::*;
        use crate::sealing::testing::{Card, certificate, signing_key};

        /// Signs payload bytes as they are, canonical or not.
        fn sign_raw(key: &SigningKey, payload: &[u8]) -> String {
            let jws = sign(key, "t", &json!({})).unwrap();
            let message = format!("{}.{}", jws.split('.').next().unwrap(), URL_SAFE_NO_PAD.encode(payload));
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).unwrap()))
        }

        #[test]
        fn each_key_kind_signs_and_verifies() {
            for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
                let key = signing_key(algorithm);
                let verified = verify(&sign(&key, "t", &json!({"b": 1, "a": "x"})).unwrap(), "t").unwrap();
                assert_eq!(verified.payload, br#"{"a":"x","b":1}"#);
                assert_eq!((verified.spki_sha256, verified.leaf.as_slice()), (key.spki_sha256(), key.certificate()));
            }
        }

        #[test]
        fn signer_that_shows_no_key_signs_and_verifies() {
            let card = Card::new();
            let verified = verify(&sign(&card, "t", &json!({"a": 1})).unwrap(), "t").unwrap();
            assert_eq!(
                (verified.payload.as_slice(), verified.leaf.as_slice()),
                (&br#"{"a":1}"#[..], card.certificate())
            );
        }

        #[test]
        fn signer_that_holds_another_key_than_its_certificate_signs_nothing() {
            let other = Card { certificate: Card::new().certificate, ..Card::new() };
            assert_eq!(sign(&other, "t", &json!({})), Err(JwsError::Signer(SignerError::OtherKey)));
            let other = Card { algorithm: SignatureAlgorithm::Es256, ..Card::new() };
            assert_eq!(sign(&other, "t", &json!({})), Err(JwsError::Signer(SignerError::OtherKey)));
        }

        #[test]
        fn reason_why_a_signer_fails_is_passed_on() {
            let refused = SignerError::Refused("the PIN is wrong, 2 tries are left".into());
            let card = Card { fails: Some(refused.clone()), ..Card::new() };
            let error = sign(&card, "t", &json!({})).unwrap_err();
            assert_eq!(error, JwsError::Signer(refused));
            assert_eq!(error.to_string(), "the signing key was not unlocked: the PIN is wrong, 2 tries are left");
        }

        #[test]
        fn rsa_key_is_refused() {
            let (key, cert) = certificate(&rcgen::PKCS_RSA_SHA256);
            assert_eq!(SigningKey::from_pem(key.as_bytes(), cert.as_bytes()).unwrap_err(), JwsError::KeyKind);
        }

        #[test]
        fn key_of_another_certificate_is_refused() {
            let (key, _) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
            for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
                let (_, cert) = certificate(algorithm);
                let refused = SigningKey::from_pem(key.as_bytes(), cert.as_bytes()).unwrap_err();
                assert_eq!(refused, JwsError::KeyMismatch);
            }
        }

        #[test]
        fn files_without_key_or_certificate_are_refused() {
            let (key, cert) = certificate(&rcgen::PKCS_ED25519);
            assert_eq!(SigningKey::from_pem(b"", cert.as_bytes()).unwrap_err(), JwsError::PrivateKey);
            assert_eq!(SigningKey::from_pem(key.as_bytes(), key.as_bytes()).unwrap_err(), JwsError::NoCertificate);
        }

        #[test]
        fn certificate_of_another_signer_is_refused() {
            let (ours, theirs) = (signing_key(&rcgen::PKCS_ED25519), signing_key(&rcgen::PKCS_ED25519));
            let swapped = sign(&ours, "t", &json!({})).unwrap();
            let header = sign(&theirs, "t", &json!({})).unwrap();
            let (_, rest) = swapped.split_once('.').unwrap();
            let swapped = format!("{}.{rest}", header.split('.').next().unwrap());
            assert_eq!(verify(&swapped, "t"), Err(JwsError::Signature));
        }

        #[test]
        fn signed_payload_that_is_not_canonical_is_refused() {
            let key = signing_key(&rcgen::PKCS_ECDSA_P256_SHA256);
            assert!(verify(&sign_raw(&key, br#"{"a":1}"#), "t").is_ok());
            for payload in [r#"{"b":1,"a":1}"#, r#"{"a": 1}"#, "not json", r#"{"a":1,"a":1}"#, ""] {
                let refused = verify(&sign_raw(&key, payload.as_bytes()), "t");
                assert!(matches!(refused, Err(JwsError::Payload(_))), "{payload}");
            }
        }

        #[test]
        fn sec1_key_is_read_like_pkcs8() {
            use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
            let (key, cert) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
            let pkcs8 = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.secret_der()).unwrap();
            let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
            let sec1 = STANDARD.encode(sec1.as_ref());
            let sec1 = format!("-----BEGIN EC PRIVATE KEY-----\n{sec1}\n-----END EC PRIVATE KEY-----\n");
            assert!(SigningKey::from_pem(sec1.as_bytes(), cert.as_bytes()).is_ok());
        }

        #[test]
        fn key_is_not_shown() {
            let shown = format!("{:?}", signing_key(&rcgen::PKCS_ED25519));
            assert!(shown.starts_with("SigningKey { spki_sha256: ") && shown.len() < 110, "{shown}");
        }
    }
}
