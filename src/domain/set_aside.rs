//! Why a review, or a signature under a decision that is not final, no longer counts though it stays on record. The words alone:
//! whether one of them applies follows from facts at an instant and is policy's to say.

use super::worded;

worded! {
    /// Why something that a member signed about a proposal is set aside.
    pub enum SetAside: "a reason to set aside, one of" {
        /// They declared a conflict of interest, and nobody has lifted it.
        Conflict = "conflict",
        /// Their registrar revoked their key card.
        Card = "card",
        /// They belong to a party, or work where a member of a party works.
        SameOrganisation = "same-organisation",
        /// They no longer have the role in the call, or the assignment, in which they signed.
        Role = "role",
    }
}

impl SetAside {
    /// What to say of the member.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Conflict => "has declared a conflict of interest",
            Self::Card => "no longer has a key card",
            Self::SameOrganisation => "works where a member of a party works",
            Self::Role => "no longer has this part in the call",
        }
    }
}
