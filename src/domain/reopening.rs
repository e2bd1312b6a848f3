//! That a review was reopened. Its reviewer still owes one, so it is not set aside: it ends with the next revision, or when an officer takes
//! it back.

use super::id::MemberId;
use jiff::Timestamp;

/// That an officer reopened a review, so that its reviewer can hand in another revision. Until then the review counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reopening {
    pub at: Timestamp,
    /// The officer; none where only the log says it.
    pub by: Option<MemberId>,
}
