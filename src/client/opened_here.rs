//! What a member has opened on this machine: documents of proposals and reviews, so that lists can say what was not looked at yet.
//!
//! Opening for arithmetic, as the ranking does, is no reading. The record holds identifiers and no content, stays on this machine, and
//! nothing depends on it but a hint.

use super::{
    Client, Home, Result,
    records::{read_record, write_record},
};
use crate::domain::id::{ProposalId, ReviewId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf};

/// What was opened of a proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenedHere {
    /// Whether a document was.
    #[serde(default)]
    pub(super) is_opened: bool,
    /// Which reviews.
    #[serde(default)]
    pub(super) reviews: BTreeSet<ReviewId>,
}

impl Home {
    /// What was opened of a proposal with a profile.
    pub(super) fn opened_here(&self, profile: &str, proposal: ProposalId) -> Result<OpenedHere> {
        Ok(read_record(&self.opened_path(profile, proposal))?.unwrap_or_default())
    }

    fn see_opened(&self, profile: &str, proposal: ProposalId, add: impl FnOnce(&mut OpenedHere)) -> Result<()> {
        let before = self.opened_here(profile, proposal)?;
        let mut opened = before.clone();
        add(&mut opened);
        if opened == before { Ok(()) } else { write_record(&self.opened_path(profile, proposal), &opened) }
    }

    fn opened_path(&self, profile: &str, proposal: ProposalId) -> PathBuf {
        self.root().join("seen").join("opened").join(profile).join(format!("{proposal}.json"))
    }
}

impl Client {
    /// Remembers that a document of a proposal was opened. What was opened stays open if it cannot be remembered.
    pub(super) fn remember_opened(&self, proposal: ProposalId) {
        self.remember(proposal, |opened| opened.is_opened = true);
    }

    /// The same of reviews.
    pub(super) fn remember_opened_reviews(&self, proposal: ProposalId, reviews: impl IntoIterator<Item = ReviewId>) {
        self.remember(proposal, |opened| opened.reviews.extend(reviews));
    }

    fn remember(&self, proposal: ProposalId, add: impl FnOnce(&mut OpenedHere)) {
        if let Err(error) = self.home().see_opened(&self.profile().name, proposal, add) {
            self.warn(&format!("what was opened is not remembered on this machine: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opened_documents_and_reviews_are_remembered_by_profile() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        let proposal = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
        let review = "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
        assert_eq!(home.opened_here("work", proposal).unwrap(), OpenedHere::default());
        home.see_opened("work", proposal, |opened| opened.is_opened = true).unwrap();
        home.see_opened("work", proposal, |opened| opened.reviews.extend([review])).unwrap();
        let both = OpenedHere { is_opened: true, reviews: [review].into() };
        assert_eq!(home.opened_here("work", proposal).unwrap(), both);
        assert_eq!(home.opened_here("other", proposal).unwrap(), OpenedHere::default());
    }
}
