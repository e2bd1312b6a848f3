//! Requests of those who attack, for the tests and for `benches/attacks.rs`: as large as they may be, or broken off.

use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    domain::{
        id::{MemberId, ProposalId, Sha256, VaultId},
        vault::WrapTarget,
    },
    sealing::{
        jws::SigningKey,
        seal::seal_bytes,
        statement::{WrapStatement, sign_statement},
    },
};
use serde_json::json;

/// One key to the vault, wrapped to its own wrapper again, as often as a request may bring it.
pub(crate) fn wrapped_keys(key: &SigningKey, vault: VaultId, member: &MemberId, recipient: &str) -> String {
    let ciphertext = seal_bytes(&[recipient.to_owned()], b"nothing").unwrap();
    let to = WrapTarget::Member(member.clone());
    let statement = WrapStatement { vault, to, recipient: recipient.to_owned(), sha256: Sha256::of(&ciphertext) };
    let statement = sign_statement(key, &statement).unwrap();
    let key = json!({ "statement": statement, "ciphertext": BASE64_STANDARD.encode(ciphertext) });
    json!({ "keys": vec![key; 128] }).to_string()
}

/// The header of an upload of a document over HTTP/1.1, under a key of its own. What comes after it is up to the attacker.
pub(crate) fn upload_head(
    proposal: ProposalId,
    (slot, media_type): (&str, &str),
    key: &str,
    digest: &Sha256,
    length: usize,
) -> String {
    let digest = BASE64_STANDARD.encode(digest.as_bytes());
    format!(
        "PUT /v1/proposals/{proposal}/documents/{slot} HTTP/1.1\r\nhost: localhost\r\nidempotency-key: {key}\r\n\
         content-type: application/vnd.age\r\nentente-media-type: {media_type}\r\n\
         repr-digest: sha-256=:{digest}:\r\ncontent-length: {length}\r\n\r\n"
    )
}
