//! The roles of members: vouched for by their partner, or granted within a call.

use super::worded;

worded! {
    /// A role that a partner's registrar vouches for in the member's key card.
    pub enum PartnerRole: "a partner-level role, one of" {
        /// Enrols the partner's members and publishes their key cards.
        Registrar = "registrar",
        /// Writes the partner's policies.
        PolicyOfficer = "policy_officer",
        /// Holds shares of opening keys.
        Custodian = "custodian",
        /// May create programs (at the host) and calls (at the lead or a participating partner).
        ProgramOfficer = "program_officer",
        /// A process of the partner's own that tells its members that something waits for them: it asks how much, and nothing else. No
        /// other role goes with it.
        Relay = "relay",
    }
}

worded! {
    /// A role that a member has in one call.
    pub enum CallRole: "a role in a call, one of" {
        /// Runs the call's procedure.
        Officer = "officer",
        /// Assesses proposals assigned to them.
        Reviewer = "reviewer",
        /// Signs funding decisions for a funding partner.
        Decider = "decider",
        /// Sees that things happen, never content. Without effect beside another role, and for a party.
        Observer = "observer",
    }
}

impl DeclineReason {
    /// What people read.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Time => "no time",
            Self::Field => "another field",
            Self::Absence => "away or ill",
            Self::Other => "another reason",
        }
    }
}

impl CallRole {
    /// The attribute of a call that policies ask for the members with this role.
    #[must_use]
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Officer => "officers",
            Self::Reviewer => "reviewers",
            Self::Decider => "deciders",
            Self::Observer => "observers",
        }
    }

    /// The role whose members are in this attribute of a call.
    #[must_use]
    pub fn of_attribute(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.attribute() == name)
    }
}

worded! {
    /// What is on the record about a member's interest in a proposal.
    pub enum Declared: "a declaration, one of" {
        /// The member has no conflict.
        Clear = "clear",
        /// The member has one.
        Conflict = "conflict",
        /// A conflict was taken off the record; the member declares again.
        Lifted = "lifted",
    }
}

worded! {
    /// Why a reviewer declines an assignment. A closed list, as of conflicts: a reviewer may have read the proposal.
    pub enum DeclineReason: "a reason to decline, one of" {
        /// No time before reviews are due.
        Time = "time",
        /// Another field than the reviewer's own.
        Field = "field",
        /// Away or ill.
        Absence = "absence",
        /// Any other reason that is no conflict of interest.
        Other = "other",
    }
}

worded! {
    /// Why a member cannot judge a proposal. A closed list: free text here would be content the host can read.
    pub enum ConflictGround: "a ground of conflict, one of" {
        /// Employed by, or recently employed by, one of the parties.
        Employment = "employment",
        /// A close relative is involved.
        Family = "family",
        /// Works or recently published together with the team.
        Collaboration = "collaboration",
        /// Stands to gain or lose money.
        Financial = "financial",
        /// Leads or advises a competing effort.
        Competition = "competition",
        /// Any other reason that would make an outsider doubt.
        Other = "other",
    }
}
