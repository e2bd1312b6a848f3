//! Bodies about what waits for a member: words of a closed list, identifiers and instants, never a title or a reason.

use super::{Time, answer, page::Page};
use crate::domain::{
    id::{CallId, DocumentId, MemberId, ProposalId},
    inbox::ItemKind,
    policy::PolicyOwner,
    reference::{CallCode, Reference},
};

answer! {
    /// What waits for the caller, computed when it is asked for and kept nowhere.
    pub struct Inbox {
        /// What is due first comes first, and what has no end comes last; of several that are due at the same time, those of one kind
        /// come together.
        pub items: Vec<InboxItem>,
        /// Whether something that the caller may do was left out: some of what is here has to be done before the rest is shown.
        pub more: bool,
        /// The next deadline of what the caller takes part in, whether anything waits for the caller there or not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub next_deadline: Option<NextDeadline>,
        /// The server's clock, by which the items were found.
        pub now: Time,
    }

    /// One thing that waits.
    pub struct InboxItem {
        /// What is to be done.
        pub kind: ItemKind,
        /// The call that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub call: Option<CallId>,
        /// What people call it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub code: Option<CallCode>,
        /// The proposal that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub proposal: Option<ProposalId>,
        /// What people call it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reference: Option<Reference>,
        /// With `read_letter`: which letter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub letter: Option<DocumentId>,
        /// With `approve_policy`: whose policies they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub owner: Option<PolicyOwner>,
        /// The version that is to be approved or signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub version: Option<u32>,
        /// With `renew_members`: how many key cards run out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub members: Option<u32>,
        /// The last instant for it, if there is one. It can have passed: a review that is late is still waited for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub due_at: Option<Time>,
        /// Since when it waits, if that is on record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub since: Option<Time>,
    }

    /// A deadline that comes.
    pub struct NextDeadline {
        pub call: CallId,
        /// What people call it.
        pub code: CallCode,
        pub at: Time,
    }

    /// How much waits for one member, for the relay of the member's nation: a number and an instant, and nothing of what it is.
    pub struct Waiting {
        pub member: MemberId,
        /// How many different things wait in the member's inbox: what is to be done, in which call or on whose policies. To do the same
        /// with several proposals of a call is one thing, so the number tells nothing of how many proposals there are.
        pub items: u32,
        /// The first instant after now at which one of them is due.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub next_due_at: Option<Time>,
    }
}

impl InboxItem {
    /// An item about nothing yet.
    #[must_use]
    pub fn new(kind: ItemKind) -> Self {
        Self {
            kind,
            call: None,
            code: None,
            proposal: None,
            reference: None,
            letter: None,
            owner: None,
            version: None,
            members: None,
            due_at: None,
            since: None,
        }
    }
}

impl Inbox {
    /// The most items of an inbox.
    pub const MOST: usize = 500;
}

/// A page of `GET /v1/waiting`: the members of the relay's nation whose key card is in force, also those for whom nothing waits.
pub type WaitingPage = Page<Waiting>;
