//! What a change would do to who sees what, in sum, and a signature under the sum: so that a member who agreed to a change can show what
//! they saw of it before.
//!
//! The exchange finds the differences. A sum is made of them here; of policies it goes into the approval, of everything else it is a
//! file that the member who asked may sign and that anybody can check.

use super::{Client, ClientError, Result, pages::Pages, verify::invalid};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
        label::Label,
        member::{CallRole, PartnerRole},
    },
    reading,
    sealing::{
        canonical,
        statement::{PreviewStatement, Signed, StatementError, verify_signed},
    },
    wire::{
        Time,
        policy::{Preview, PreviewedChange, Tally},
        proposal::LabelPreview,
        review::Pair,
    },
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A change that was looked at before it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PreviewedAct {
    /// Reviewers are assigned.
    Assign { call: CallId, assignments: Vec<Pair> },
    /// An assignment is taken back.
    Unassign { proposal: ProposalId, reviewer: MemberId },
    /// A member has these roles in a call, and no others.
    Roles { call: CallId, member: MemberId, roles: BTreeSet<CallRole> },
    /// A member's key card says another organisation or other roles.
    KeyCard { member: MemberId, organisation: Option<String>, roles: Option<BTreeSet<PartnerRole>> },
    /// A member no longer has a key card in force.
    KeyCardRevoked { member: MemberId },
    /// A proposal has another label, or none.
    Label { proposal: ProposalId, label: Option<Label> },
}

/// What a change would do, in sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeSummary {
    pub change: PreviewedAct,
    /// Who asked: another member may learn less or more.
    pub by: MemberId,
    pub made_at: Time,
    /// Proposals looked at.
    pub considered: u64,
    pub sums: Sums,
}

/// Changes added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// By the nation of those who gain.
    pub gains: BTreeMap<PartnerCode, Tally>,
    /// By the nation of those who lose.
    pub losses: BTreeMap<PartnerCode, Tally>,
    /// Nations that would gain their first access to proposals, and to how many.
    pub admits: BTreeMap<PartnerCode, u64>,
    /// Keys that would have to be wrapped.
    pub keys_needed: u64,
    /// Members and proposals where content was fetched before it is lost: what was read stays read.
    pub fetched_before: u64,
}

/// A sum and the member who answers for it, as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedSummary {
    /// [`ChangeSummary`] in canonical JSON.
    pub summary: String,
    /// Compact JWS of type `entente-preview+jws` over its digest.
    pub statement: String,
}

/// A sum whose signature verified.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedSummary {
    pub summary: ChangeSummary,
    /// Whether the signer is a policy officer.
    pub is_policy_officer: bool,
}

/// Adds changes up without keeping them: there may be millions.
#[derive(Debug, Default)]
pub(super) struct ChangeCounter {
    gains: BTreeMap<PartnerCode, CountedAccess>,
    losses: BTreeMap<PartnerCode, CountedAccess>,
    admitted: BTreeSet<(PartnerCode, ProposalId)>,
    keys_needed: u64,
    fetched_before: u64,
}

/// Each member counts once, however many proposals they gain or lose.
#[derive(Debug, Default)]
struct CountedAccess {
    members: BTreeSet<MemberId>,
    views: u64,
    readings: u64,
}

impl ChangeCounter {
    pub(super) fn add(&mut self, changes: &[PreviewedChange]) {
        for change in changes {
            let nation = change.member.partner();
            let of = if change.gains { &mut self.gains } else { &mut self.losses };
            let counted = of.entry(nation.clone()).or_default();
            if !counted.members.contains(&change.member) {
                counted.members.insert(change.member.clone());
            }
            *(if change.action == "View" { &mut counted.views } else { &mut counted.readings }) += 1;
            if change.admits_nation {
                self.admitted.insert((nation.clone(), change.proposal));
            }
            self.keys_needed += u64::from(change.needs_key);
            self.fetched_before += u64::from(change.has_fetched);
        }
    }

    pub(super) fn sums(self) -> Sums {
        let tallies = |of: BTreeMap<PartnerCode, CountedAccess>| {
            let tally =
                |CountedAccess { members, views, readings }| Tally { members: members.len() as u64, views, readings };
            of.into_iter().map(|(code, counted)| (code, tally(counted))).collect()
        };
        let mut admits = BTreeMap::new();
        for (code, _) in self.admitted {
            *admits.entry(code).or_default() += 1;
        }
        Sums {
            gains: tallies(self.gains),
            losses: tallies(self.losses),
            admits,
            keys_needed: self.keys_needed,
            fetched_before: self.fetched_before,
        }
    }
}

impl Client {
    /// What giving a member these roles in a call, and no others, would change among the proposals that the caller may know of.
    pub async fn preview_roles(
        &self,
        call: CallId,
        member: &MemberId,
        roles: &BTreeSet<CallRole>,
    ) -> Result<(Vec<PreviewedChange>, ChangeSummary)> {
        let (mut found, mut cursor, mut pages) = (Found::default(), None, Pages::default());
        loop {
            let answer = self.api().preview_roles(call, member, roles, cursor).await?;
            cursor = pages.follow(found.add(answer))?;
            if cursor.is_none() {
                break;
            }
        }
        self.summed(PreviewedAct::Roles { call, member: member.clone(), roles: roles.clone() }, found).await
    }

    /// What taking an assignment back would change.
    pub async fn preview_unassignment(
        &self,
        proposal: ProposalId,
        reviewer: &MemberId,
    ) -> Result<(Vec<PreviewedChange>, ChangeSummary)> {
        let mut found = Found::default();
        found.add(self.api().preview_unassignment(proposal, reviewer).await?);
        self.summed(PreviewedAct::Unassign { proposal, reviewer: reviewer.clone() }, found).await
    }

    /// What another key card of a member, or none, would change.
    pub async fn preview_member(&self, act: &PreviewedAct) -> Result<(Vec<PreviewedChange>, ChangeSummary)> {
        let (mut found, mut cursor, mut pages) = (Found::default(), None, Pages::default());
        loop {
            cursor = pages.follow(found.add(self.api().preview_member(act, cursor).await?))?;
            if cursor.is_none() {
                break;
            }
        }
        self.summed(act.clone(), found).await
    }

    /// The sum of what a dry run of assignments found.
    pub async fn sum_assignments(
        &self,
        call: CallId,
        pairs: &[(ProposalId, MemberId)],
        changes: &[PreviewedChange],
    ) -> Result<ChangeSummary> {
        let pair = |(proposal, reviewer): &(ProposalId, MemberId)| Pair {
            proposal: *proposal,
            reviewer: reviewer.clone(),
            statement: None,
        };
        let assignments: Vec<Pair> = pairs.iter().map(pair).collect();
        let proposals: BTreeSet<ProposalId> = pairs.iter().map(|(proposal, _)| *proposal).collect();
        let found = Found { considered: proposals.len() as u64, changes: changes.to_vec(), needs_call_key: false };
        Ok(self.summed(PreviewedAct::Assign { call, assignments }, found).await?.1)
    }

    /// The sum of what another label would change.
    pub async fn sum_label(
        &self,
        proposal: ProposalId,
        label: Option<&Label>,
        preview: &LabelPreview,
    ) -> Result<ChangeSummary> {
        if preview.then.as_ref() != label {
            return Err(invalid("the exchange answered about another label than was asked for"));
        }
        let sums = Sums {
            gains: preview.gains.clone(),
            losses: preview.losses.clone(),
            admits: BTreeMap::new(),
            keys_needed: preview.keys_needed,
            fetched_before: preview.fetched_before,
        };
        self.summary(PreviewedAct::Label { proposal, label: preview.then.clone() }, 1, sums).await
    }

    /// Signs a sum.
    pub async fn sign_summary(&self, summary: &ChangeSummary) -> Result<SignedSummary> {
        let text = canonical::to_vec(summary).map_err(StatementError::from)?;
        let text = String::from_utf8(text).map_err(|_| invalid("canonical JSON is text"))?;
        let statement = PreviewStatement {
            host: self.host().await?,
            by: summary.by.clone(),
            made_at: summary.made_at.0,
            summary_sha256: Sha256::of(text.as_bytes()),
        };
        let statement = self.signed(&statement).await?;
        Ok(SignedSummary { summary: text, statement })
    }

    /// Verifies a signed sum: that it is what was signed, for this exchange, with a key that the member's present key card names. When
    /// it was made is the signer's word, so a card that was replaced since speaks for nothing here.
    pub async fn verify_summary(&self, signed: &SignedSummary) -> Result<VerifiedSummary> {
        let statement: Signed<PreviewStatement> = verify_signed(&signed.statement)?;
        let says = &statement.statement;
        if Sha256::of(signed.summary.as_bytes()) != says.summary_sha256 {
            return Err(invalid("the summary is not the one that was signed"));
        }
        let summary: ChangeSummary = serde_json::from_str(&signed.summary)
            .map_err(|error| reading::worded(&error.to_string()))
            .map_err(|fault| invalid(format!("what was signed is not a summary of a change: {fault}")))?;
        let canonical = canonical::to_vec(&summary).map_err(StatementError::from)?;
        if canonical != signed.summary.as_bytes() {
            return Err(invalid("the summary is not in canonical form"));
        }
        if summary.by != says.by || summary.made_at.0 != says.made_at {
            return Err(invalid("the summary names another member or time than the signature"));
        }
        if says.host != self.host().await? {
            return Err(invalid(format!("it is of another exchange, the one that `{}` hosts", says.host)));
        }
        let card = &self.fetch_member(&says.by).await?.card;
        if !card.pins(&statement.signer_spki) || card.check_usable(self.now()).is_err() {
            return Err(invalid(format!(
                "it is not signed with a key that the present key card of `{}` names",
                says.by
            )));
        }
        let is_policy_officer = card.roles.contains(&PartnerRole::PolicyOfficer);
        Ok(VerifiedSummary { summary, is_policy_officer })
    }

    async fn summed(&self, change: PreviewedAct, found: Found) -> Result<(Vec<PreviewedChange>, ChangeSummary)> {
        let mut adding = ChangeCounter::default();
        adding.add(&found.changes);
        let mut sums = adding.sums();
        // Officers open every proposal with one key.
        sums.keys_needed += u64::from(found.needs_call_key);
        let summary = self.summary(change, found.considered, sums).await?;
        Ok((found.changes, summary))
    }

    async fn summary(&self, change: PreviewedAct, considered: u64, sums: Sums) -> Result<ChangeSummary> {
        let made_at = in_milliseconds(self.now()).into();
        Ok(ChangeSummary { change, by: self.member_id().await?, made_at, considered, sums })
    }
}

/// What several questions found.
#[derive(Debug, Default)]
struct Found {
    considered: u64,
    changes: Vec<PreviewedChange>,
    needs_call_key: bool,
}

impl Found {
    /// Where to go on.
    fn add(&mut self, answer: Preview) -> Option<String> {
        self.considered += u64::from(answer.considered);
        self.changes.extend(answer.items);
        self.needs_call_key |= answer.needs_call_key;
        answer.next
    }
}

/// Instants are kept in milliseconds; what is signed must be what is kept.
pub(super) fn in_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

impl ClientError {
    /// The file is no signed summary.
    #[must_use]
    pub fn no_summary(place: &str) -> Self {
        Self::usage(format!("`{place}` holds no signed summary"), "`--signed-summary` of a preview writes one")
    }
}
