//! Bodies about the log.

pub mod payloads;

use super::{Time, answer};
use crate::domain::{
    entry::EntryKind,
    id::{CallId, MemberId, ProgramId, ProposalId},
    reference::{CallCode, Reference},
};

answer! {
    /// A page of the log.
    pub struct EntryPage {
        pub items: Vec<Entry>,
        /// The cursor of the page after this one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next: Option<String>,
        /// On the last page: the cursor to go on from, whenever there may be something new.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bookmark: Option<String>,
    }

    /// One accepted act.
    pub struct Entry {
        /// Counts up without gaps over the whole exchange; a reader sees those it may.
        pub seq: u64,
        pub at: Time,
        pub kind: EntryKind,
        /// The member who acted; none for acts of the host's operator.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub actor: Option<MemberId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub program: Option<ProgramId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub call: Option<CallId>,
        /// The code of the call; no part of what was logged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub code: Option<CallCode>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub proposal: Option<ProposalId>,
        /// What people call the proposal; no part of what was logged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reference: Option<Reference>,
        /// RFC 8785 canonical JSON, as a string so that it can be digested as is.
        // Its fields by kind are in `payloads`.
        pub payload: String,
        /// 32 random bytes in standard base64, digested together with the payload.
        pub salt: String,
    }
}
