//! The payload of each kind of entry: what the log says beside who acted, when, and on which call or proposal.
//!
//! An entry is digested over the bytes of its payload and its salt. So the fields of a released payload never change
//! their names, and an optional field keeps its form: most are written as `null` when they are empty, and the few that
//! are left out say so. Instants are RFC 3339 in UTC, digests are SHA-256 in lower-case hexadecimal, and statements are
//! compact JWS.

mod calls;
mod directory;
mod judgements;
mod proposals;

#[cfg(test)]
pub(crate) mod tests;

use crate::domain::entry::EntryKind;

pub use calls::*;
pub use directory::*;
pub use judgements::*;
pub use proposals::*;

/// The fields of one kind of entry, or of several kinds that say the same.
macro_rules! payload {
    ($($(#[$meta:meta])* pub struct $name:ident { $($fields:tt)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($fields)* }
    )*};
}
use payload;

/// A kind alone has a payload type of the same name; kinds that share a type name it in brackets.
macro_rules! kinds {
    ($($kind:ident $(($shared:ident))?,)*) => {
        /// The payload of an entry. It knows the kind of its entry, so that the two cannot disagree.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Payload { $($kind(kinds!(@type $kind $($shared)?)),)* }

        impl Payload {
            /// The kind of entry that it is the payload of.
            #[must_use]
            pub fn kind(&self) -> EntryKind {
                match self { $(Self::$kind(_) => EntryKind::$kind,)* }
            }

            /// Reads the payload of an entry of this kind.
            ///
            /// # Errors
            /// When the text is not JSON, or lacks a field that this version writes: an earlier version wrote it.
            pub fn parse(kind: EntryKind, json: &str) -> Result<Self, serde_json::Error> {
                match kind { $(EntryKind::$kind => serde_json::from_str(json).map(Self::$kind),)* }
            }

            fn to_value(&self) -> Result<serde_json::Value, serde_json::Error> {
                match self { $(Self::$kind(fields) => serde_json::to_value(fields),)* }
            }
        }

        $(kinds!(@from $kind $($shared)?);)*
    };
    (@type $kind:ident) => { $kind };
    (@type $kind:ident $shared:ident) => { $shared };
    (@from $kind:ident) => {
        impl From<$kind> for Payload {
            fn from(fields: $kind) -> Self {
                Self::$kind(fields)
            }
        }
    };
    (@from $kind:ident $shared:ident) => {};
}

kinds! {
    PartnerEnrolled(PartnerRecorded),
    PartnerChanged(PartnerRecorded),
    PartnerSuspended,
    PartnerResumed,
    PartnerRemoved,
    ListsWaived,
    ClockAccepted,
    KeyCardPublished,
    PolicyProposed,
    PolicyApproved,
    PolicyWithdrawn,
    ProgramCreated,
    CallDrafted(DraftText),
    CallEdited(DraftText),
    CallPublished,
    CallAmended,
    CallExtended(ExtensionMade),
    ProposalExtended(ExtensionMade),
    ExtensionWithdrawn(ExtensionTakenBack),
    ProposalExtensionWithdrawn(ExtensionTakenBack),
    CallCancelled(ReasonStated),
    CallReopened(ReasonStated),
    CallClosed,
    CallDeleted(DraftText),
    RoleGranted(RolesChanged),
    RoleRevoked(RolesChanged),
    ProposalCreated,
    MemberInvited,
    InvitationWithdrawn(PartyMemberNamed),
    InvitationDeclined(PartyMemberNamed),
    ConsentGiven(JoinConsent),
    ConsentWithdrawn(JoinConsent),
    MemberJoined,
    MemberRemoved(PartyMemberNamed),
    DocumentStored,
    DocumentRemoved,
    DocumentDropped(DocumentNamed),
    ManifestSigned,
    ProposalSubmitted,
    LabelSigned,
    LabelInForce,
    WithdrawalWished(WithdrawalWish),
    WithdrawalUnwished(WithdrawalWish),
    ProposalWithdrawn,
    ProposalReinstated,
    VaultCreated,
    KeyWrapped,
    KeyRemoved,
    KeyFetched,
    DocumentFetched(DocumentNamed),
    ConflictDeclared(InterestDeclared),
    ClearDeclared(InterestDeclared),
    ConflictLifted,
    ReviewerAssigned,
    ReviewerUnassigned,
    AssignmentDeclined,
    AssignmentResumed,
    ReviewSubmitted,
    ReviewReopened,
    ReviewReinstated,
    ReviewFetched,
    RankingSent,
    RankingWithdrawn(RankingNamed),
    RankingFetched(RankingNamed),
    DecisionSigned,
    DecisionUnsigned,
    DecisionWithdrawn,
    DecisionFinal,
    LetterSent,
    LetterWithdrawn(LetterNamed),
    LetterFetched(LetterNamed),
}

impl Payload {
    /// Its one form in bytes: RFC 8785 canonical JSON.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.to_value()
            .and_then(|value| serde_json_canonicalizer::to_string(&value))
            .expect("our payloads have string keys and finite numbers")
    }
}
