//! A new releasability label for a version.

use super::{Statement, StatementError, check_milliseconds, check_version, invalid};
use crate::domain::{
    id::{ProposalId, Sha256},
    label::Label,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the parties release a version to from now on, in the place of what was signed with it or since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LabelStatement {
    /// The proposal.
    pub proposal: ProposalId,
    /// Digest of the manifest of the version that stands.
    pub manifest_sha256: Sha256,
    /// Counts the relabellings of the proposal, from 1.
    pub number: u32,
    /// Digest of the label statement that is in force for this version; none if it is the manifest's own label that is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Sha256>,
    /// The label; without one there is no restriction from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// When the party that proposed it says it was made.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
}

impl Statement for LabelStatement {
    const TYP: &'static str = "entente-label+jws";

    fn validate(&self) -> Result<(), StatementError> {
        check_version("number", self.number)?;
        if let Some(label) = &self.label {
            label.check(&BTreeSet::new()).map_err(invalid)?;
        }
        check_milliseconds("stated_at", self.stated_at)
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
