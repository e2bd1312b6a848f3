//! What the client holds once it is verified: members, calls, vaults and versions of proposals. The functions that verify
//! have files of their own; what they return is declared here, so that none of them has to import another.

use super::{ClientError, Result};
use crate::{
    domain::{
        call as rules,
        id::{MemberId, PartnerCode, Sha256},
    },
    sealing::{
        card::KeyCard,
        statement::{CallPublication, Manifest, VaultStatement},
    },
    wire::{
        call::{Call, CallText},
        proposal::Vault,
        review::Review,
    },
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A call whose publication verified.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedCall {
    /// As the exchange states it; what the publication says too has been compared.
    pub call: Call,
    pub publication: CallPublication,
    /// The text that was signed.
    pub text: CallText,
    /// The same, as the rules see it.
    pub rules: rules::CallText,
    pub signed_by: MemberId,
}

impl VerifiedCall {
    /// Content opens after this instant: what the exchange says, but never before the signed schedule.
    #[must_use]
    pub fn sealed_until(&self) -> Timestamp {
        self.rules.schedule.sealed_until(&[]).max(self.call.sealed_until.0)
    }

    /// Whether every deadline and grace period has passed at `now`.
    #[must_use]
    pub fn is_opened(&self, now: Timestamp) -> bool {
        now > self.sealed_until()
    }

    /// Refuses what must wait for the opening.
    pub fn require_opened(&self, now: Timestamp) -> Result<()> {
        if self.is_opened(now) {
            return Ok(());
        }
        Err(ClientError::usage(
            format!(
                "the call is sealed until {} by its signed schedule, and by this machine's clock it is {now:.0}",
                self.sealed_until()
            ),
            "wait until then; if the clock of this machine is wrong, set it",
        ))
    }
}

/// Which version of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionChoice {
    /// For a party the version that waits for signatures or bytes, if there is one; else the one that stands.
    #[default]
    Newest,
    /// The version that stands.
    Standing,
    /// That version, for its parties.
    Number(u32),
    /// For parties: what is uploaded, signed by nobody yet.
    Working,
}

/// A version whose signatures and vaults verified.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedManifest {
    pub manifest: Manifest,
    pub sha256: Sha256,
    pub signed_by: BTreeMap<PartnerCode, MemberId>,
    pub is_standing: bool,
    /// Whether it was made under the text of the call that is in force; otherwise an amendment let it stand.
    pub is_current_text: bool,
}

/// A vault whose statement verified.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedVault {
    pub vault: Vault,
    pub statement: VaultStatement,
    pub signed_by: MemberId,
}

/// A member whose key card verified to the pinned partner card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedMember {
    pub card: KeyCard,
}

impl VerifiedMember {
    /// Who it is.
    #[must_use]
    pub fn id(&self) -> &MemberId {
        &self.card.member
    }

    /// The age recipients; whatever is wrapped to the member is wrapped to each of them.
    #[must_use]
    pub fn recipients(&self) -> &[String] {
        &self.card.recipients
    }
}

/// The newest review of each reviewer: those in force, and those that were reopened.
pub(super) fn newest(reviews: Vec<Review>) -> (Vec<Review>, Vec<Review>) {
    let mut newest: BTreeMap<MemberId, Review> = BTreeMap::new();
    for review in reviews {
        let is_newer = newest.get(&review.reviewer).is_none_or(|known| known.revision < review.revision);
        if is_newer {
            newest.insert(review.reviewer.clone(), review);
        }
    }
    newest.into_values().partition(|review| review.reopened_at.is_none())
}
