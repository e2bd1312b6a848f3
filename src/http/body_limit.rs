//! How many bytes a JSON body may have, and how many of them are read before anything is asked of the database.

use crate::share_table::SMALL_BODY_BYTES;

pub(super) const MIB: usize = 1 << 20;

/// How many bytes a JSON body may have.
#[derive(Debug, Clone, Copy)]
pub(super) enum BodyLimit {
    /// A few fields, a reason, a statement.
    Small,
    /// As many as the operator allows in general.
    General,
    /// The same, of a body whose arrival is judged by a deadline: up to a MiB of it is read before anything is asked of the database.
    Arrival,
    /// This many, even where the operator allows fewer: it carries ciphertext.
    Ciphertext(usize),
}

impl BodyLimit {
    pub(super) fn bytes(self, general: usize) -> usize {
        match self {
            Self::Small => general.min(SMALL_BODY_BYTES),
            Self::General | Self::Arrival => general,
            Self::Ciphertext(bytes) => general.max(bytes),
        }
    }

    /// How many bytes are read before anything is asked of the database.
    pub(super) fn read_first(self) -> usize {
        match self {
            Self::Arrival => MIB,
            Self::Small | Self::General | Self::Ciphertext(_) => SMALL_BODY_BYTES,
        }
    }
}
