//! What about partners' trust cannot be used, or has no say, and what the operator can do about it.

use super::super::{
    anchor::AnchorFault,
    crl::{Aside, CrlFault},
};
use crate::{domain::id::PartnerCode, storage::partners::ListRecord};
use jiff::Timestamp;
use std::path::PathBuf;

/// Something about a partner's trust that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    #[error(
        "the partners cannot be loaded: {error}; the known ones stay in force, and their revocation lists are loaded"
    )]
    Source { error: String },
    #[error("an anchor of `{partner}` {fault}")]
    Anchor { partner: PartnerCode, fault: AnchorFault },
    #[error("the anchor `{subject}` of `{partner}` expired at {at}: certificates under it are refused")]
    AnchorExpired { partner: PartnerCode, subject: String, at: Timestamp },
    #[error("`{partner}` has no anchor")]
    NoAnchor { partner: PartnerCode },
    #[error("`{partner}` and `{other}` have an anchor with the same key")]
    SharedKey { partner: PartnerCode, other: PartnerCode },
    #[error("a revocation list of `{partner}`{} {fault}", in_file(.file.as_ref()))]
    Crl { partner: PartnerCode, file: Option<PathBuf>, fault: CrlFault },
    #[error(
        "the revocation list of `{issuer}`, `{partner}`, expired at {at}: certificates that depend on it are refused"
    )]
    CrlExpired { partner: PartnerCode, issuer: String, at: Timestamp },
    #[error("`{}` cannot be read: {error}", .file.display())]
    Unreadable { partner: PartnerCode, file: PathBuf, error: String },
    #[error("the folder of revocation lists `{}` cannot be read: {error}", .folder.display())]
    Folder { folder: PathBuf, error: String },
    #[error("the folder of revocation lists `{}` is empty", .folder.display())]
    EmptyFolder { folder: PathBuf },
    #[error("`{partner}` needs revocation lists and has none that can be used: its certificates are refused{}", found(.before))]
    NoLists { partner: PartnerCode, before: ListRecord },
    #[error("it cannot be recorded that `{partner}` has revocation lists: {error}")]
    NotRecorded { partner: PartnerCode, error: String },
    #[error("the revocation list of `{issuer}`, `{partner}`, is gone; the last one stays in force")]
    CrlsGone { partner: PartnerCode, issuer: String },
    #[error("the revocation list of `{issuer}`, `{partner}`, is older than the one in force, which stays")]
    CrlOlder { partner: PartnerCode, issuer: String },
    #[error("`{}` belongs to no enrolled partner", .file.display())]
    Stray { file: PathBuf },
}

/// A revocation list that is in order and has no say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a revocation list of `{partner}`{} {aside}; it is ignored", in_file(.file.as_ref()))]
pub struct TrustNotice {
    pub partner: PartnerCode,
    pub file: Option<PathBuf>,
    pub aside: Aside,
}

impl TrustFault {
    /// The partner it shuts out or leaves with old trust, if it is about one.
    #[must_use]
    pub fn partner(&self) -> Option<&PartnerCode> {
        match self {
            Self::Anchor { partner, .. }
            | Self::AnchorExpired { partner, .. }
            | Self::NoAnchor { partner }
            | Self::SharedKey { partner, .. }
            | Self::Crl { partner, .. }
            | Self::CrlExpired { partner, .. }
            | Self::Unreadable { partner, .. }
            | Self::NoLists { partner, .. }
            | Self::NotRecorded { partner, .. }
            | Self::CrlsGone { partner, .. }
            | Self::CrlOlder { partner, .. } => Some(partner),
            Self::Source { .. } | Self::Stray { .. } | Self::Folder { .. } | Self::EmptyFolder { .. } => None,
        }
    }

    /// Whether it is only that time has passed: figures and alerts of their own say what that shuts out, and to try again fixes nothing.
    #[must_use]
    pub fn is_of_time(&self) -> bool {
        matches!(self, Self::AnchorExpired { .. } | Self::CrlExpired { .. })
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Source { .. } => "see that the database can be read; it is tried again",
            Self::Anchor { fault, .. } => fault.help(),
            Self::AnchorExpired { .. } => "enrol the partner's card with its current CA certificates, without this one",
            Self::NoAnchor { .. } => "enrol the partner again with its CA certificate",
            Self::SharedKey { .. } => "one key cannot vouch for two partners: each needs a CA of its own",
            Self::Crl { fault, .. } => fault.help(),
            Self::CrlExpired { .. } => {
                "fetch the partner's current list; or, if that authority no longer has members, remove its list and restart \
                 the server"
            }
            Self::Unreadable { .. } => "make the file readable for the server's account",
            Self::Folder { .. } => "make the folder readable for the server's account",
            Self::EmptyFolder { .. } => {
                "mount or fill it; or, if no partner publishes revocation lists, leave out `trust.crl_folder`"
            }
            Self::NoLists { .. } => {
                "put current lists of its authorities into the folder; or, if it no longer publishes any, remove its files \
                 there and say so with `entente-server partner waive-lists CODE`"
            }
            Self::NotRecorded { .. } => "see that the database can be written; it is tried again",
            Self::CrlsGone { .. } => {
                "put the list back; or, if that authority no longer publishes one, restart the server; or, if the partner \
                 no longer publishes any at all, say so with `entente-server partner waive-lists CODE`"
            }
            Self::CrlOlder { .. } => {
                "fetch the partner's current list; or, if the older one is meant to count again, restart the server"
            }
            Self::Stray { .. } => {
                "name the file or folder after an enrolled partner's code, such as `ISR.crl`, or remove it"
            }
        }
    }
}

fn found(before: &ListRecord) -> String {
    match before {
        ListRecord::Found(files) => format!("; there were lists in `{}`", files.join("`, `")),
        ListRecord::Never | ListRecord::Waived => String::new(),
    }
}

fn in_file(file: Option<&PathBuf>) -> String {
    file.map(|file| format!(" in `{}`", file.display())).unwrap_or_default()
}
