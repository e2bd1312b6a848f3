//! The kinds of things that can wait for a member.
//!
//! A closed list, without free text: an item says what is to be done, with what and by when, and nothing of what anybody wrote.

use super::worded;
use jiff::SignedDuration;

worded! {
    /// What an item of an inbox asks for.
    pub enum ItemKind: "a kind of item, one of" {
        /// Answer the invitation to join a party.
        Invited = "invited",
        /// Sign again: an amendment voided the version that was signed.
        Void = "void",
        /// Sign the version that another party has signed.
        Sign = "sign",
        /// Send the documents that the signed version names and that have not arrived.
        BytesMissing = "bytes_missing",
        /// Hand in before the deadline, which is near.
        DeadlineNear = "deadline_near",
        /// Sign the label that another party has signed.
        SignLabel = "sign_label",
        /// Read a letter.
        ReadLetter = "read_letter",
        /// Say whether there is a conflict of interest.
        Declare = "declare",
        /// Pass keys on to members who lack them.
        PassKeys = "pass_keys",
        /// Assign somebody in place of a reviewer who declined.
        Declined = "declined",
        /// Read what is to be reviewed.
        Read = "read",
        /// Hand in a review.
        Review = "review",
        /// Sign the decision that another nation has signed.
        SignDecision = "sign_decision",
        /// Approve the version of policies that a colleague has proposed.
        ApprovePolicy = "approve_policy",
        /// Have the key card renewed, which runs out soon.
        CardExpiring = "card_expiring",
        /// Renew key cards of colleagues, which run out soon.
        RenewMembers = "renew_members",
    }
}

/// How long before its deadline a proposal that is not handed in becomes an item.
pub const DEADLINE_IS_NEAR: SignedDuration = SignedDuration::from_hours(14 * 24);
