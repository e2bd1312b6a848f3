//! The phases of a call, by name. Which one a call is in follows from its schedule, in `call`.

use super::worded;

worded! {
    /// Where a call stands.
    pub enum Phase: "a phase, one of" {
        /// Being written; only its officers see it.
        Draft = "draft",
        /// Published, not yet accepting.
        Announced = "announced",
        /// Accepting proposals.
        Open = "open",
        /// Past the last deadline; announced bytes may still arrive.
        Grace = "grace",
        /// Past every deadline and grace: content may be opened, reviewed and decided on.
        Review = "review",
        /// Ended by its officers without decisions.
        Cancelled = "cancelled",
        /// Ended by its officers once all was decided and answered: it is read, and nothing is judged until one of them reopens it.
        Closed = "closed",
    }
}
