//! What members sign: call publications, vaults, invitations, manifests, labels, reviews, rankings, decisions, letters, wraps and
//! policies.
//!
//! Each statement is a JWS whose payload has exactly one byte form; [`verify_signed`] proves the signature and that the
//! statement is well formed in itself. Whether the signer is the member meant is [`check_signer`](super::card::check_signer)'s
//! question, and whether that member may say so is policy's.

mod acceptance;
mod assignment;
mod call_publication;
mod decision;
mod declaration;
mod dossier;
mod invitation;
mod join_request;
mod label;
mod letter;
mod manifest;
mod member_invitation;
mod policy;
mod policy_approval;
mod preview;
mod ranking;
mod renewal;
mod review;
mod role;
mod roll;
mod trust_list;
mod vault;
mod vouched;
mod wrap;

pub(super) use self::vouched::{check_name, check_roles};
pub use self::{
    acceptance::AcceptanceStatement,
    assignment::AssignmentStatement,
    call_publication::CallPublication,
    decision::{DecisionStatement, decision_digest},
    declaration::DeclarationStatement,
    dossier::DossierStatement,
    invitation::InvitationStatement,
    join_request::JoinRequest,
    label::LabelStatement,
    letter::LetterStatement,
    manifest::{Manifest, ManifestDocument},
    member_invitation::{MemberInvitation, PossessionChallenge},
    policy::PolicyStatement,
    policy_approval::PolicyApproval,
    preview::PreviewStatement,
    ranking::RankingStatement,
    renewal::RenewalStatement,
    review::ReviewStatement,
    role::RoleStatement,
    roll::RollStatement,
    trust_list::TrustList,
    vault::VaultStatement,
    vouched::MAX_KEYS,
    wrap::WrapStatement,
};
use super::{
    canonical::{self, CanonicalError},
    jws::{self, JwsError},
    recipient::RecipientError,
    signer::Signer,
};
pub use crate::domain::vault::{VaultKind, WrapTarget};
use crate::{
    domain::id::{MemberId, PartnerCode, Sha256},
    reading::{self, ReadingFault},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// How far after the act a statement may say that it was made: clocks of members' machines are apart.
pub const STATED_AHEAD: SignedDuration = SignedDuration::from_mins(10);

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
    /// The statement could be written in another way too, such as a time with an offset or a set out of order. Where, and the one form.
    #[error("the statement is not in canonical form: {0}")]
    NotNormal(String),
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
    #[error("`{member}` is not a member of `{partner}`; a registrar vouches for its own partner only")]
    ForeignMember {
        /// Whose card it claims to be.
        member: MemberId,
        /// The partner whose registrars were expected.
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
pub trait Statement: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The `typ` of its JWS; distinguishes statements, so that one can never pass for another.
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

/// Has a statement signed, if it is well formed.
pub fn sign_statement<T: Statement>(signer: &dyn Signer, statement: &T) -> Result<String, StatementError> {
    statement.validate()?;
    Ok(jws::sign(signer, T::TYP, statement)?)
}

/// Verifies the signature of a statement and that it is well formed in itself.
pub fn verify_signed<T: Statement>(jws: &str) -> Result<Signed<T>, StatementError> {
    let verified = jws::verify(jws, T::TYP)?;
    let statement: T = read(&verified.payload)?;
    statement.validate()?;
    // INVARIANT: one statement, one digest. What reads the same must be the same bytes.
    if canonical::to_vec(&statement)? != verified.payload {
        return Err(not_normal(&verified.payload, &statement));
    }
    let payload_sha256 = Sha256::of(&verified.payload);
    let (signer_spki, leaf) = (verified.spki_sha256, verified.leaf);
    Ok(Signed { statement, signer_spki, leaf, payload_sha256, jws: jws.to_owned() })
}

/// The statement that a payload says, which may be in another form than the canonical one.
fn read<T: Statement>(payload: &[u8]) -> Result<T, StatementError> {
    // A value that is twice in a set is refused with the canonical form.
    reading::value(payload).and_then(reading::typed_as_signed).map_err(|fault| match fault {
        nul @ ReadingFault::Nul { .. } => invalid(nul),
        other => StatementError::Malformed(other.to_string()),
    })
}

/// How a statement differs from its canonical form.
fn not_normal<T: Statement>(payload: &[u8], statement: &T) -> StatementError {
    let (given, wanted) = (reading::value(payload).ok(), serde_json::to_value(statement).ok());
    let fault = given.zip(wanted).and_then(|(given, wanted)| reading::difference(&given, &wanted));
    StatementError::NotNormal(fault.unwrap_or_else(|| {
        "spacing, order of members, escapes or forms of numbers are other ones than those of RFC 8785".into()
    }))
}

pub(super) fn invalid(problem: impl fmt::Display) -> StatementError {
    StatementError::Invalid(problem.to_string())
}

/// Refuses a time with more than milliseconds.
fn check_milliseconds(name: &str, at: Timestamp) -> Result<(), StatementError> {
    if at.subsec_nanosecond() % 1_000_000 != 0 {
        return Err(invalid(format_args!("`{name}` has at most milliseconds")));
    }
    Ok(())
}

fn check_version(what: &str, version: u32) -> Result<(), StatementError> {
    if version == 0 { Err(invalid(format_args!("`{what}` begins at 1"))) } else { Ok(()) }
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
