//! Payloads about calls: their texts, their deadlines and who has which role.

use super::payload;
use crate::{
    domain::{
        call::AmendmentEffect,
        id::{MemberId, PartnerCode, Sha256, VaultId},
        member::CallRole,
    },
    wire::Time,
};
use std::collections::BTreeSet;

payload! {
    /// A call was drafted, its draft was edited, or the draft was deleted.
    pub struct DraftText {
        /// Of the draft's text in canonical JSON: the new text, or the one that was deleted.
        pub text_sha256: Sha256,
    }

    /// A call was published.
    pub struct CallPublished {
        /// Always 1.
        pub version: u32,
        /// Of the text in canonical JSON.
        pub text_sha256: Sha256,
        /// The call's vault.
        pub vault: VaultId,
        /// The age recipient of the vault.
        pub recipient: String,
        /// Of type `entente-call+jws`.
        pub publication: String,
    }

    /// The text of a published call was amended.
    pub struct CallAmended {
        /// Of the new text, from 2.
        pub version: u32,
        /// Of the new text in canonical JSON.
        pub text_sha256: Sha256,
        /// What becomes of the proposals that were handed in.
        pub effect: AmendmentEffect,
        /// How many proposals it made void.
        pub voids: u32,
        /// 1 to 1000 characters.
        pub reason: String,
        /// Of type `entente-call+jws`.
        pub publication: String,
    }

    /// A deadline or the date for reviews was moved. If it is for one proposal, the entry itself names the proposal.
    pub struct ExtensionMade {
        /// From 1, by call.
        pub number: u32,
        /// The new deadline or date.
        pub until: Time,
        /// The partner that has more time, if it is one alone.
        pub partner: Option<PartnerCode>,
        /// Whether it moves the date for reviews.
        pub reviews: bool,
        /// 1 to 1000 characters.
        pub reason: String,
    }

    /// An extension was taken back.
    pub struct ExtensionTakenBack {
        /// The number of the extension.
        pub number: u32,
        /// 1 to 1000 characters.
        pub reason: String,
    }

    /// A call was cancelled, or one that was cancelled or closed was brought back.
    pub struct ReasonStated {
        /// 1 to 1000 characters.
        pub reason: String,
    }

    /// A call was closed. The entry says everything.
    pub struct CallClosed {}

    /// The roles of a member in a call were replaced.
    pub struct RolesChanged {
        pub member: MemberId,
        /// All roles that the member has from now on.
        pub roles: BTreeSet<CallRole>,
        /// Of type `entente-role+jws`; none while the call is a draft.
        pub statement: Option<String>,
    }
}
