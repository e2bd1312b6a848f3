//! The faults of a file in a backup or a folder of documents.

use std::fmt;

/// The state of a document in a copy or a folder of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    Missing,
    /// Another size, this one.
    Size(u64),
    /// Other bytes.
    Digest,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there"),
            Self::Size(found) => write!(f, "has {found} bytes, another number than when it was stored"),
            Self::Digest => f.write_str("has other bytes than when it was stored"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
        }
    }
}
