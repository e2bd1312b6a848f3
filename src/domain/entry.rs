//! The acts that the log records, and who may read the record of each.
//!
//! There is no other audit trail: whatever changed anything is one of these.

use super::worded;
use std::collections::BTreeSet;

worded! {
    /// What an entry records.
    pub enum EntryKind: "a kind of entry, one of" {
        PartnerEnrolled = "partner.enrolled",
        PartnerChanged = "partner.changed",
        PartnerSuspended = "partner.suspended",
        PartnerResumed = "partner.resumed",
        PartnerRemoved = "partner.removed",
        ListsWaived = "partner.lists_waived",
        ClockAccepted = "clock.accepted",
        KeyCardPublished = "key_card.published",
        PolicyProposed = "policy.proposed",
        PolicyApproved = "policy.approved",
        PolicyWithdrawn = "policy.withdrawn",
        ProgramCreated = "program.created",
        CallDrafted = "call.drafted",
        CallEdited = "call.edited",
        CallPublished = "call.published",
        CallAmended = "call.amended",
        CallExtended = "call.extended",
        ProposalExtended = "proposal.extended",
        ExtensionWithdrawn = "call.extension_withdrawn",
        ProposalExtensionWithdrawn = "proposal.extension_withdrawn",
        CallCancelled = "call.cancelled",
        CallReopened = "call.reopened",
        CallClosed = "call.closed",
        CallDeleted = "call.deleted",
        RoleGranted = "call.role_granted",
        RoleRevoked = "call.role_revoked",
        ProposalCreated = "proposal.created",
        MemberInvited = "proposal.member_invited",
        InvitationWithdrawn = "proposal.invitation_withdrawn",
        InvitationDeclined = "proposal.invitation_declined",
        ConsentGiven = "proposal.consent_given",
        ConsentWithdrawn = "proposal.consent_withdrawn",
        MemberJoined = "proposal.member_joined",
        MemberRemoved = "proposal.member_removed",
        DocumentStored = "document.stored",
        DocumentRemoved = "document.removed",
        DocumentDropped = "document.dropped",
        ManifestSigned = "manifest.signed",
        ProposalSubmitted = "proposal.submitted",
        LabelSigned = "label.signed",
        LabelInForce = "label.in_force",
        WithdrawalWished = "proposal.withdrawal_wished",
        WithdrawalUnwished = "proposal.withdrawal_unwished",
        ProposalWithdrawn = "proposal.withdrawn",
        ProposalReinstated = "proposal.reinstated",
        VaultCreated = "vault.created",
        KeyWrapped = "key.wrapped",
        KeyRemoved = "key.removed",
        KeyFetched = "key.fetched",
        DocumentFetched = "document.fetched",
        ConflictDeclared = "interest.declared_conflict",
        ClearDeclared = "interest.declared_clear",
        ConflictLifted = "interest.conflict_lifted",
        ReviewerAssigned = "reviewer.assigned",
        ReviewerUnassigned = "reviewer.unassigned",
        AssignmentDeclined = "reviewer.declined",
        AssignmentResumed = "reviewer.resumed",
        ReviewSubmitted = "review.submitted",
        ReviewReopened = "review.reopened",
        ReviewReinstated = "review.reinstated",
        ReviewFetched = "review.fetched",
        RankingSent = "ranking.sent",
        RankingWithdrawn = "ranking.withdrawn",
        RankingFetched = "ranking.fetched",
        DecisionSigned = "decision.signed",
        DecisionUnsigned = "decision.unsigned",
        DecisionWithdrawn = "decision.withdrawn",
        DecisionFinal = "decision.final",
        LetterSent = "letter.sent",
        LetterWithdrawn = "letter.withdrawn",
        LetterFetched = "letter.fetched",
    }
}

worded! {
    /// Who may read an entry, beside its own actor and observers ([`EntryKind::is_for_observers`]); always under policy, never a
    /// conflicted member.
    pub enum Readers: "a circle of readers, one of" {
        /// Every member.
        Members = "members",
        /// The policy officers of the actor's partner.
        PolicyOfficers = "policy_officers",
        /// Every member who may view the program.
        Program = "program",
        /// Every member who may view the call.
        Call = "call",
        /// The call's officers.
        CallOfficers = "call_officers",
        /// The proposal's parties and the call's officers.
        Parties = "parties",
        /// The call's officers, if they may view the proposal.
        Officers = "officers",
    }
}

impl EntryKind {
    /// The kinds that a word names: one kind (`proposal.submitted`), or all that begin with it up to a dot (`proposal`).
    #[must_use]
    pub fn named(word: &str) -> Vec<Self> {
        let begins =
            |kind: &Self| kind.as_str().strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        Self::ALL.iter().copied().filter(begins).collect()
    }

    /// Every word that [`EntryKind::named`] understands beside the kinds themselves.
    #[must_use]
    pub fn families() -> BTreeSet<&'static str> {
        Self::ALL.iter().filter_map(|kind| kind.as_str().split_once('.')).map(|(family, _)| family).collect()
    }

    /// Whether observers may read it, too: it says when something was handed in, who got more time, or who stepped aside. No kind is among
    /// them that says who judges, or how something was judged or decided.
    #[must_use]
    pub fn is_for_observers(self) -> bool {
        matches!(
            self,
            Self::ProposalExtended
                | Self::ProposalExtensionWithdrawn
                | Self::ProposalSubmitted
                | Self::ProposalWithdrawn
                | Self::ProposalReinstated
                | Self::ConflictDeclared
                | Self::ConflictLifted
        )
    }

    /// Whether an entry about a proposal leaves all that officers are shown of its judging as it was: somebody read something, got a key, or
    /// prepared a document.
    #[must_use]
    pub fn leaves_judging(self) -> bool {
        matches!(
            self,
            Self::DocumentStored
                | Self::DocumentRemoved
                | Self::DocumentDropped
                | Self::DocumentFetched
                | Self::VaultCreated
                | Self::KeyWrapped
                | Self::KeyRemoved
                | Self::KeyFetched
                | Self::ReviewFetched
                | Self::RankingSent
                | Self::RankingWithdrawn
                | Self::RankingFetched
                | Self::LetterFetched
        )
    }

    /// The circle that may read entries of this kind. `on_proposal` distinguishes the two uses of vault and key entries.
    #[must_use]
    pub fn readers(self, on_proposal: bool) -> Readers {
        match self {
            Self::PartnerEnrolled
            | Self::PartnerChanged
            | Self::PartnerSuspended
            | Self::PartnerResumed
            | Self::PartnerRemoved
            | Self::ListsWaived
            | Self::ClockAccepted
            | Self::KeyCardPublished
            | Self::PolicyApproved => Readers::Members,
            Self::PolicyProposed | Self::PolicyWithdrawn => Readers::PolicyOfficers,
            Self::ProgramCreated => Readers::Program,
            Self::CallPublished
            | Self::CallAmended
            | Self::CallExtended
            | Self::ExtensionWithdrawn
            | Self::CallCancelled
            | Self::CallReopened
            | Self::CallClosed => Readers::Call,
            Self::CallDrafted | Self::CallEdited | Self::CallDeleted | Self::RoleGranted | Self::RoleRevoked => {
                Readers::CallOfficers
            }
            // An extension for one proposal reveals that it exists: for its own circle only.
            Self::ProposalExtended
            | Self::ProposalExtensionWithdrawn
            | Self::ProposalCreated
            | Self::MemberInvited
            | Self::InvitationWithdrawn
            | Self::InvitationDeclined
            | Self::ConsentGiven
            | Self::ConsentWithdrawn
            | Self::MemberJoined
            | Self::MemberRemoved
            | Self::DocumentStored
            | Self::DocumentRemoved
            | Self::DocumentDropped
            | Self::ManifestSigned
            | Self::ProposalSubmitted
            | Self::LabelSigned
            | Self::LabelInForce
            | Self::WithdrawalWished
            | Self::WithdrawalUnwished
            | Self::ProposalWithdrawn
            | Self::ProposalReinstated
            | Self::LetterSent
            | Self::LetterWithdrawn
            | Self::LetterFetched
            | Self::DecisionFinal => Readers::Parties,
            Self::VaultCreated | Self::KeyWrapped | Self::KeyRemoved | Self::KeyFetched if !on_proposal => {
                Readers::CallOfficers
            }
            Self::VaultCreated
            | Self::KeyWrapped
            | Self::KeyRemoved
            | Self::KeyFetched
            | Self::DocumentFetched
            | Self::ConflictDeclared
            | Self::ClearDeclared
            | Self::ConflictLifted
            | Self::ReviewerAssigned
            | Self::ReviewerUnassigned
            | Self::AssignmentDeclined
            | Self::AssignmentResumed
            | Self::ReviewSubmitted
            | Self::ReviewReopened
            | Self::ReviewReinstated
            | Self::ReviewFetched
            | Self::RankingSent
            | Self::RankingWithdrawn
            | Self::RankingFetched
            | Self::DecisionSigned
            | Self::DecisionUnsigned
            | Self::DecisionWithdrawn => Readers::Officers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_names_one_kind_or_a_family() {
        assert_eq!(EntryKind::named("proposal.submitted"), [EntryKind::ProposalSubmitted]);
        assert_eq!(EntryKind::named("key_card"), [EntryKind::KeyCardPublished]);
        let keys = [EntryKind::KeyWrapped, EntryKind::KeyRemoved, EntryKind::KeyFetched];
        assert_eq!(EntryKind::named("key"), keys, "a family ends at its dot");
        for nothing in ["", "prop", "proposal.", "proposal.submitted.again", "Proposal"] {
            assert!(EntryKind::named(nothing).is_empty(), "{nothing}");
        }
        assert!(EntryKind::families().iter().all(|family| !EntryKind::named(family).is_empty()));
    }
}
