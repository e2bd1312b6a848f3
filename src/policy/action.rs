//! The complete list of operations that somebody can be permitted, and on what kind of thing each is done.
//!
//! An operation that is not here cannot be permitted. The same names stand in `policies/schema.cedarschema`; loading refuses
//! a schema that differs.

use std::fmt;

/// What an action is done on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// The exchange as a whole.
    Exchange,
    /// One partner: its members' key cards.
    Partner,
    /// A program.
    Program,
    /// A call.
    Call,
    /// A proposal.
    Proposal,
}

impl ResourceKind {
    /// The name of the entity type in the schema.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "Exchange",
            Self::Partner => "Partner",
            Self::Program => "Program",
            Self::Call => "Call",
            Self::Proposal => "Proposal",
        }
    }

    /// The kind whose entity type has this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let kinds = [Self::Exchange, Self::Partner, Self::Program, Self::Call, Self::Proposal];
        kinds.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The action that decides whether a thing of this kind may be known of.
    pub(super) fn view(self) -> Option<Action> {
        match self {
            Self::Exchange | Self::Partner => None,
            Self::Program => Some(Action::ViewProgram),
            Self::Call => Some(Action::ViewCall),
            Self::Proposal => Some(Action::View),
        }
    }
}

/// What an action needs beside the caller and the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Nothing.
    None,
    /// `context.owner`: the party whose restricted slots are meant.
    Owner,
    /// `context.subject`: the member that something is done to.
    Subject,
    /// `context.subject` and `context.role`: the member, and the role in the call that they gain or lose.
    Role,
}

macro_rules! actions {
    ($($kind:ident { $($(#[$doc:meta])* $name:ident,)* })*) => {
        /// An operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action { $($($(#[$doc])* $name,)*)* }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// Its name in the schema, the policies and the reasons.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)*)* }
            }

            /// What it is done on.
            #[must_use]
            pub fn kind(self) -> ResourceKind {
                match self { $($(Self::$name)|* => ResourceKind::$kind,)* }
            }
        }
    };
}

actions! {
    Exchange {
        /// List partners, members and key cards.
        ReadDirectory,
        /// List the programs one may view.
        ListPrograms,
        /// Create a program.
        CreateProgram,
        /// Read the policies in force.
        ReadPolicies,
        /// Ask what waits for oneself.
        ReadInbox,
    }
    Partner {
        /// Publish a key card of one of the partner's members.
        PublishKeyCard,
        /// Read versions that the partner's policy officers proposed, scheduled or replaced.
        ViewPolicyDrafts,
        /// Propose a version of the partner's policies.
        ProposePolicy,
        /// Approve one.
        ApprovePolicy,
        /// Take one back before it takes effect.
        WithdrawPolicy,
        /// Ask why a member of the partner may or may not do something on a proposal that the member may know of.
        ExplainMembers,
        /// Propose guardrails; the partner is the host.
        ProposeGuardrails,
        /// Approve them.
        ApproveGuardrails,
        /// Take them back before they take effect.
        WithdrawGuardrails,
        /// Ask how much waits for each member of the partner.
        CountWaiting,
    }
    Program {
        /// Know that the program exists, and its partners.
        ViewProgram,
        /// Draft a call under the program.
        CreateCall,
    }
    Call {
        /// Know that the call exists, and its text.
        ViewCall,
        /// Change a draft.
        EditCall,
        /// Publish a draft.
        PublishCall,
        /// Publish a new version of the text.
        AmendCall,
        /// Move a deadline for all or for one partner.
        ExtendCall,
        /// End the call, without decisions or after them, or bring it back.
        CancelCall,
        /// Give the subject a role in the call.
        GrantRole,
        /// Take a role in the call from the subject.
        RevokeRole,
        /// See the roles of members.
        ViewRoles,
        /// Read what was signed about roles, to check who is an officer, reviewer or decider.
        ViewRoll,
        /// Fetch one's wrapped key of the call's vault, and wrap it to further officers.
        UseCallVault,
        /// See how many visible proposals stand where.
        ViewProgress,
        /// See as an observer how many visible proposals stand where, and every extension.
        ObserveCall,
        /// Read entries about the call's running that only officers may read.
        ViewCallLog,
        /// Begin a proposal.
        CreateProposal,
    }
    Proposal {
        /// Know that the proposal exists: its parties, topic and status.
        View,
        /// Fetch manifests, documents and wrapped keys for the panel.
        Read,
        /// Fetch documents and wrapped keys of one party's restricted slots.
        ReadStaff,
        /// Change what the row says.
        Edit,
        /// Store or remove a sealed document.
        Upload,
        /// Sign a manifest.
        Sign,
        /// Take the proposal back.
        Withdraw,
        /// Undo a withdrawal.
        Reinstate,
        /// Ask the subject to join one's own party.
        AddMember,
        /// Take the subject out of one's own party, or the invitation back.
        RemoveMember,
        /// Join the party that one is asked to join, or decline.
        AnswerInvitation,
        /// Consent to the subject joining a party after the deadline.
        ConsentToJoin,
        /// Move the deadline for this proposal alone.
        ExtendProposal,
        /// Fetch the reviews and their wrapped keys.
        ViewDeliberation,
        /// Make the subject a reviewer of this proposal.
        Assign,
        /// Take an assignment back.
        Unassign,
        /// Decline one's own assignment.
        DeclineAssignment,
        /// Take that back.
        ResumeAssignment,
        /// Declare a conflict of one's own.
        DeclareConflict,
        /// Declare that one has no conflict.
        DeclareClear,
        /// Lift the subject's declared conflict.
        LiftConflict,
        /// Hand in a review.
        Review,
        /// Let a reviewer change a review that is in, or take that back.
        ReopenReview,
        /// Send those who decide the proposal's line of the ranking, sealed.
        SendRanking,
        /// Take that line back.
        WithdrawRanking,
        /// Fetch the line that was sent.
        ReadRanking,
        /// Wrap a key of the panel, a party's restricted slots or the letters to a further reader.
        WrapKey,
        /// Make the deliberation's vault and wrap its key to a further reader.
        WrapDeliberation,
        /// Propose or sign a decision for one's partner.
        Decide,
        /// Take back one's signature or the decision, while signatures are missing.
        WithdrawDecision,
        /// Send a sealed letter to the parties.
        SendLetter,
        /// Take a letter back that nobody has fetched.
        WithdrawLetter,
        /// Fetch a letter and its wrapped key.
        ReadLetter,
        /// Read the entries that are for the parties and the officers.
        ViewPartyLog,
        /// Read the entries that are for the officers.
        ViewOfficerLog,
        /// Read the entries that say when something was handed in or given more time, and who stepped aside.
        ObserveProposal,
        /// Ask who may see the proposal, and why.
        Explain,
    }
}

impl Action {
    /// The action that decides whether the caller may know of the thing at all; there is none for the exchange and its partners,
    /// whose existence is no secret.
    #[must_use]
    pub fn view(self) -> Option<Self> {
        // Who answers for an owner's policies asks about its proposals without having a part in them.
        if self == Self::Explain { Some(self) } else { self.kind().view() }
    }

    /// Whether the owners and the reader's own partner are asked too, and not the guardrails alone. Reviews speak of what the
    /// proposal says, hence the deliberation is among them.
    #[must_use]
    pub fn is_three_sided(self) -> bool {
        matches!(self, Self::View | Self::Read | Self::ReadStaff | Self::ViewDeliberation)
    }

    /// Whether a member who is asked to join a party does it as if they had joined: they look, and they answer.
    #[must_use]
    pub fn is_for_invited(self) -> bool {
        matches!(self, Self::View | Self::Read | Self::ReadStaff | Self::ReadLetter | Self::AnswerInvitation)
    }

    /// Whether it is still done once a call is closed: what reads, what keeps reading possible, what takes access from somebody, and what
    /// parties do with their own members, labels and proposals. By the dates of the call nothing of it changes what was judged.
    #[must_use]
    pub fn is_done_in_a_closed_call(self) -> bool {
        match self.kind() {
            ResourceKind::Exchange | ResourceKind::Partner | ResourceKind::Program => true,
            ResourceKind::Call | ResourceKind::Proposal => matches!(
                self,
                Self::ViewCall
                    | Self::ViewRoles
                    | Self::ViewRoll
                    | Self::UseCallVault
                    | Self::ViewProgress
                    | Self::ObserveCall
                    | Self::ViewCallLog
                    // Closing is taken back by it, and by its own rules a closed call is neither cancelled nor closed again.
                    | Self::CancelCall
                    | Self::RevokeRole
                    | Self::Sign
                    | Self::Edit
                    | Self::Withdraw
                    | Self::AddMember
                    | Self::AnswerInvitation
                    | Self::ConsentToJoin
                    | Self::View
                    | Self::Read
                    | Self::ReadStaff
                    | Self::ViewDeliberation
                    | Self::WrapKey
                    | Self::WrapDeliberation
                    | Self::ReadLetter
                    | Self::ReadRanking
                    | Self::ViewPartyLog
                    | Self::ViewOfficerLog
                    | Self::ObserveProposal
                    | Self::Explain
                    | Self::RemoveMember
                    | Self::DeclareConflict
                    | Self::DeclareClear
                    | Self::LiftConflict
            ),
        }
    }

    /// What it needs beside the caller and the thing.
    #[must_use]
    pub fn extra(self) -> Extra {
        match self {
            Self::ReadStaff => Extra::Owner,
            Self::GrantRole | Self::RevokeRole => Extra::Role,
            Self::AddMember | Self::RemoveMember | Self::ConsentToJoin | Self::Assign | Self::LiftConflict => {
                Extra::Subject
            }
            _ => Extra::None,
        }
    }

    /// Its place in [`Action::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
