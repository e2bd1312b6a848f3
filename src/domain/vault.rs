//! Vaults: key pairs whose identity exists only wrapped, and who may hold a wrapped key.

use super::{
    id::{IdError, MemberId, VaultId},
    worded,
};
use std::{fmt, str::FromStr};

worded! {
    /// Who a vault's content is for.
    pub enum VaultKind: "a kind of vault, one of" {
        /// The opening key of a call, wrapped to its officers.
        Call = "call",
        /// A proposal's documents, for its parties and the panel.
        Panel = "panel",
        /// A party's restricted documents: hidden from the counterpart and the reviewers.
        Staff = "staff",
        /// Letters to the parties; never for reviewers.
        Parties = "parties",
        /// Reviews and discussion of a proposal; never for its parties.
        Deliberation = "deliberation",
    }
}

worded! {
    /// Whether a key card stands.
    pub enum CardStatus: "a status of a key card, one of" {
        /// The keys may be used.
        Active = "active",
        /// The keys must no longer be used.
        Revoked = "revoked",
    }
}

/// Whom a vault's identity is wrapped to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WrapTarget {
    /// A member, by a recipient of their key card.
    Member(MemberId),
    /// Another vault.
    Vault(VaultId),
}

impl fmt::Display for WrapTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(member) => member.fmt(f),
            Self::Vault(vault) => vault.fmt(f),
        }
    }
}

impl FromStr for WrapTarget {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        // A partner code has capital letters only, so the two texts cannot meet.
        if text.starts_with("vault_") { text.parse().map(Self::Vault) } else { text.parse().map(Self::Member) }
    }
}
