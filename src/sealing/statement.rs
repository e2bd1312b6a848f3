//! What members sign: call publications, vaults, invitations, manifests, labels, reviews, decisions, letters, wraps and policies.
//!
//! Each statement is a JWS whose payload has exactly one byte form; [`verify_signed`] proves the signature and that the
//! statement is well formed in itself. Whether the signer is the member meant is [`check_signer`](super::card::check_signer)'s
//! question, and whether that member may say so is policy's.

pub use self::decision::{DecisionStatement, LetterStatement, decision_digest};
pub use self::part::{AssignmentStatement, DeclarationStatement, RoleStatement, RollStatement};
pub use self::party::{AcceptanceStatement, InvitationStatement};
use super::{
    canonical::{self, CanonicalError, MAX_SAFE_INTEGER},
    jws::{self, JwsError, SigningKey},
    recipient::{self, RecipientError},
};
pub use crate::domain::vault::{VaultKind, WrapTarget};
use crate::domain::{
    id::{CallId, MemberId, PartnerCode, ProposalId, Sha256, Slug, VaultId},
    label::Label,
    policy::PolicyOwner,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

mod decision;
mod part;
mod party;

const MAX_PARTIES: usize = 32;
const MAX_DOCUMENTS: usize = 1024;

/// Why a statement is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The signature or its envelope.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// The JSON in it.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// A recipient in it.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// Other members than the statement has, or of other types.
    #[error("malformed statement: {0}")]
    Malformed(String),
    /// The statement could be written in another way too, such as a time with an offset or a set out of order.
    #[error("the statement is not in its one form: a time, set or absent member is written in another way")]
    NotNormal,
    /// A rule within the statement is broken.
    #[error("{0}")]
    Invalid(String),
    /// A key card is signed by a key that is no registrar's.
    #[error("the key card of `{member}` is not signed by a registrar of `{partner}`")]
    NotRegistrar {
        /// Whose card it claims to be.
        member: MemberId,
        /// Whose registrars were expected.
        partner: PartnerCode,
    },
    /// A registrar vouched for a member of another partner.
    #[error("`{member}` is no member of `{partner}`; a registrar vouches for its own partner only")]
    ForeignMember {
        /// Whose card it claims to be.
        member: MemberId,
        /// The partner it was held against.
        partner: PartnerCode,
    },
    /// The card's validity has not begun.
    #[error("the key card of `{member}` is valid only from {valid_from}")]
    CardNotYetValid {
        /// Whose card.
        member: MemberId,
        /// When it begins.
        valid_from: Timestamp,
    },
    /// The card's validity is over.
    #[error("the key card of `{member}` was valid until {valid_until}; its registrar must issue a new one")]
    CardExpired {
        /// Whose card.
        member: MemberId,
        /// When it ended.
        valid_until: Timestamp,
    },
    /// The card was revoked.
    #[error("the key card of `{member}` is revoked")]
    CardRevoked {
        /// Whose card.
        member: MemberId,
    },
    /// The signer's key is not pinned by the card of the member it should be.
    #[error("the signature is by a key that the key card of `{member}` does not name")]
    SignerNotPinned {
        /// Who should have signed.
        member: MemberId,
    },
}

/// Something a member signs.
pub trait Statement: Serialize + DeserializeOwned {
    /// The `typ` of its JWS; tells statements apart, so that one can never pass for another.
    const TYP: &'static str;

    /// Checks the rules within the statement itself.
    fn validate(&self) -> Result<(), StatementError>;

    /// When it says that it was made, if it says so.
    fn stated_at(&self) -> Option<Timestamp> {
        None
    }

    /// SHA-256 of the statement's canonical JSON, the form in which other statements refer to it.
    fn digest(&self) -> Result<Sha256, StatementError> {
        Ok(canonical::digest(self)?)
    }
}

/// A statement whose signature was verified; the signer is a key, not yet a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    /// What was signed.
    pub statement: T,
    /// SHA-256 of the signer's `SubjectPublicKeyInfo`.
    pub signer_spki: Sha256,
    /// The certificate that came with it, DER. It hints at a member; see [`leaf`](super::leaf).
    pub leaf: Vec<u8>,
    /// SHA-256 of the payload, equal to the statement's digest.
    pub payload_sha256: Sha256,
    /// The JWS as it came.
    pub jws: String,
}

/// Signs a statement, if it is well formed.
pub fn sign_statement<T: Statement>(key: &SigningKey, statement: &T) -> Result<String, StatementError> {
    statement.validate()?;
    Ok(jws::sign(key, T::TYP, statement)?)
}

/// Verifies the signature of a statement and that it is well formed in itself.
pub fn verify_signed<T: Statement>(jws: &str) -> Result<Signed<T>, StatementError> {
    let verified = jws::verify(jws, T::TYP)?;
    let statement: T =
        serde_json::from_slice(&verified.payload).map_err(|error| StatementError::Malformed(error.to_string()))?;
    statement.validate()?;
    // INVARIANT: one statement, one digest. What reads the same must be the same bytes.
    if canonical::to_vec(&statement)? != verified.payload {
        return Err(StatementError::NotNormal);
    }
    let payload_sha256 = Sha256::of(&verified.payload);
    let (signer_spki, leaf) = (verified.spki_sha256, verified.leaf);
    Ok(Signed { statement, signer_spki, leaf, payload_sha256, jws: jws.to_owned() })
}

/// The text of a call as published, and the vault that proposals are wrapped to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallPublication {
    /// The call.
    pub call: CallId,
    /// Version of the text, from 1.
    pub version: u32,
    /// The text itself: criteria, slots, deadlines, rules.
    pub text: Value,
    /// SHA-256 of the text's canonical JSON.
    pub text_sha256: Sha256,
    /// The call's opening vault.
    pub vault: VaultId,
    /// The vault's age recipient.
    pub recipient: String,
    /// The partner that hosts the call.
    pub host: PartnerCode,
}

impl Statement for CallPublication {
    const TYP: &'static str = "entente-call+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("version", self.version)?;
        recipient::check(&self.recipient)?;
        if !self.text.is_object() {
            return Err(invalid("the text of a call is a JSON object"));
        }
        if canonical::digest(&self.text)? != self.text_sha256 {
            return Err(invalid("`text_sha256` is not the digest of the call's text"));
        }
        Ok(())
    }
}

/// That a vault exists, what it is for and which recipient opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultStatement {
    /// The vault.
    pub vault: VaultId,
    /// Who its content is for.
    pub kind: VaultKind,
    /// The call it belongs to.
    pub call: CallId,
    /// The proposal it belongs to; every kind but `call` has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalId>,
    /// The party it belongs to; only `staff` has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartnerCode>,
    /// Its age recipient.
    pub recipient: String,
}

impl Statement for VaultStatement {
    const TYP: &'static str = "entente-vault+jws";

    fn validate(&self) -> Result<(), StatementError> {
        recipient::check(&self.recipient)?;
        if self.proposal.is_some() == (self.kind == VaultKind::Call) {
            return Err(invalid("every vault but the call's own belongs to one proposal"));
        }
        if self.party.is_some() != (self.kind == VaultKind::Staff) {
            return Err(invalid("a `staff` vault belongs to one party, and no other kind does"));
        }
        Ok(())
    }
}

/// A document's place in a proposal and the digest of its ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestDocument {
    /// The slot of the call it fills.
    pub slot: Slug,
    /// The party it belongs to, where each party hands in its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartnerCode>,
    /// The vault it is sealed to.
    pub vault: VaultId,
    /// That vault's age recipient.
    pub recipient: String,
    /// SHA-256 of the ciphertext.
    pub sha256: Sha256,
    /// Length of the ciphertext in bytes.
    pub size: u64,
    /// Media type of the plaintext, such as `application/pdf`.
    pub media_type: String,
}

/// What exactly was handed in; signed by each party. age binds nothing to its place, this does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The call.
    pub call: CallId,
    /// The call text the parties saw.
    pub call_text_sha256: Sha256,
    /// The proposal.
    pub proposal: ProposalId,
    /// Version of the proposal, from 1.
    pub version: u32,
    /// The partners that own it jointly.
    pub parties: BTreeSet<PartnerCode>,
    /// Its documents, sorted by slot then party, each place once.
    pub documents: Vec<ManifestDocument>,
    /// Whom it is releasable to; without, no label restricts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
}

impl Manifest {
    /// The manifest with its documents in the order that is signed.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.documents.sort_by(|a, b| (&a.slot, &a.party).cmp(&(&b.slot, &b.party)));
        self
    }

    /// The document in a place, if there is one.
    pub fn document(&self, slot: &Slug, party: Option<&PartnerCode>) -> Option<&ManifestDocument> {
        self.documents.iter().find(|document| document.slot == *slot && document.party.as_ref() == party)
    }
}

impl Statement for Manifest {
    const TYP: &'static str = "entente-manifest+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("version", self.version)?;
        if self.parties.is_empty() || self.parties.len() > MAX_PARTIES {
            return Err(invalid(format_args!("a proposal has 1 to {MAX_PARTIES} parties")));
        }
        if self.documents.is_empty() || self.documents.len() > MAX_DOCUMENTS {
            return Err(invalid(format_args!("a manifest has 1 to {MAX_DOCUMENTS} documents")));
        }
        for pair in self.documents.windows(2) {
            if (&pair[0].slot, &pair[0].party) >= (&pair[1].slot, &pair[1].party) {
                return Err(invalid("documents must be sorted by slot then party, each place once"));
            }
        }
        if let Some(label) = &self.label {
            label.check(&self.parties).map_err(invalid)?;
        }
        let mut vaults = BTreeMap::new();
        for document in &self.documents {
            recipient::check(&document.recipient)?;
            if let Some(party) = document.party.as_ref().filter(|party| !self.parties.contains(party)) {
                return Err(invalid(format_args!(
                    "a document belongs to `{party}`, which is no party of the proposal"
                )));
            }
            if document.size == 0 || document.size > MAX_SAFE_INTEGER {
                return Err(invalid("the size of a sealed document is 1 to 9007199254740991 bytes"));
            }
            if !is_media_type(&document.media_type) {
                return Err(invalid("a media type looks like `application/pdf`, in lower case and without parameters"));
            }
            if *vaults.entry(&document.vault).or_insert(&document.recipient) != &document.recipient {
                return Err(invalid(format_args!("`{}` is given two recipients", document.vault)));
            }
        }
        Ok(())
    }
}

/// What the parties release a version to from now on, in the place of what was signed with it or since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Digest of the manifest of the version that stands.
    pub manifest_sha256: Sha256,
    /// Counts the relabellings of the proposal, from 1.
    pub number: u32,
    /// Digest of the label statement that is in force for this version; none if it is the manifest's own label that is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Sha256>,
    /// The label; none: from now on no label restricts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// When the party that proposed it says it was made.
    pub stated_at: Timestamp,
}

impl Statement for LabelStatement {
    const TYP: &'static str = "entente-label+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("number", self.number)?;
        if let Some(label) = &self.label {
            label.check(&BTreeSet::new()).map_err(invalid)?;
        }
        if self.stated_at.subsec_nanosecond() % 1_000_000 != 0 {
            return Err(invalid("`stated_at` has at most milliseconds"));
        }
        Ok(())
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}

/// A reviewer's sealed review of exactly the version they read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Digest of the manifest that was read.
    pub manifest_sha256: Sha256,
    /// The call text whose criteria were applied.
    pub call_text_sha256: Sha256,
    /// Who reviewed.
    pub reviewer: MemberId,
    /// Revision of the review, from 1.
    pub revision: u32,
    /// SHA-256 of the sealed review.
    pub sha256: Sha256,
}

impl Statement for ReviewStatement {
    const TYP: &'static str = "entente-review+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("revision", self.revision)
    }
}

/// That somebody who holds a vault wrapped its identity to one more reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrapStatement {
    /// The vault whose identity is wrapped.
    pub vault: VaultId,
    /// Who can unwrap it now.
    pub to: WrapTarget,
    /// The age recipient it was wrapped to.
    pub recipient: String,
    /// SHA-256 of the wrapped key, an age file.
    pub sha256: Sha256,
}

impl Statement for WrapStatement {
    const TYP: &'static str = "entente-wrap+jws";

    fn validate(&self) -> Result<(), StatementError> {
        recipient::check(&self.recipient)?;
        if self.to == WrapTarget::Vault(self.vault) {
            return Err(invalid("a vault cannot be wrapped to itself"));
        }
        Ok(())
    }
}

/// One version of an owner's policies, proposed by a policy officer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyStatement {
    /// Whose policies.
    pub owner: PolicyOwner,
    /// Version, from 1.
    pub version: u32,
    /// SHA-256 of the text.
    pub text_sha256: Sha256,
    /// When it takes effect, if approved by then.
    pub active_at: Timestamp,
    /// Digest of the statement of the approved version before; the versions of an owner form a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Sha256>,
}

impl Statement for PolicyStatement {
    const TYP: &'static str = "entente-policy+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("version", self.version)?;
        if self.active_at.subsec_nanosecond() % 1_000_000 != 0 {
            return Err(invalid("`active_at` has at most milliseconds"));
        }
        Ok(())
    }
}

/// That a second policy officer approves a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyApproval {
    /// Whose policies.
    pub owner: PolicyOwner,
    /// Version.
    pub version: u32,
    /// Digest of the [`PolicyStatement`] that is approved.
    pub policy_sha256: Sha256,
    /// Digest of the canonical JSON of what the approving officer was told that the version would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_sha256: Option<Sha256>,
}

impl Statement for PolicyApproval {
    const TYP: &'static str = "entente-policy-approval+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("version", self.version)
    }
}

/// What a member was told that a change would do to who sees what, before it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviewStatement {
    /// The partner that hosts the exchange that was asked.
    pub host: PartnerCode,
    /// Who asked.
    pub by: MemberId,
    /// When.
    pub made_at: Timestamp,
    /// Digest of the canonical JSON of what they were told.
    pub summary_sha256: Sha256,
}

impl Statement for PreviewStatement {
    const TYP: &'static str = "entente-preview+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if self.made_at.subsec_nanosecond() % 1_000_000 != 0 {
            return Err(invalid("`made_at` has at most milliseconds"));
        }
        Ok(())
    }
}

pub(super) fn invalid(problem: impl fmt::Display) -> StatementError {
    StatementError::Invalid(problem.to_string())
}

fn check_version(what: &str, version: u32) -> Result<(), StatementError> {
    if version == 0 { Err(invalid(format_args!("`{what}` begins at 1"))) } else { Ok(()) }
}

/// `type/subtype` (RFC 6838 section 4.2) in lower case.
fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b))
            && name.as_bytes()[0].is_ascii_alphanumeric()
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
