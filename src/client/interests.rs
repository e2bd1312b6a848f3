//! Declarations of interest for a whole call: what a member has still to declare, a plan of what will be, and carrying it out.
//!
//! A plan is made of what the exchange shows at that moment, so one that is made again plans only what is left. Each declaration is a
//! statement of its own, as [`Client::declare`] makes it. A proposal that nobody named is never declared upon.

use super::{Client, ClientError, Result, naming::ProposalName};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId},
        member::{CallRole, ConflictGround},
        proposal::Status,
        reference::{CallCode, Reference},
        text::counted,
    },
    wire::proposal::Proposal,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Every proposal of a call on which the member can declare.
#[derive(Debug, Clone)]
pub struct InterestSheet {
    pub call: CallId,
    pub code: CallCode,
    pub proposals: Vec<Proposal>,
    /// The names of the parties' members, as the exchange states them.
    pub names: BTreeMap<MemberId, String>,
}

/// What the member says of one proposal: a line of a file, or a row that was picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedInterest {
    /// Where it is said, as a person counts lines.
    pub line: u64,
    pub proposal: ProposalName,
    /// None: no conflict.
    pub ground: Option<ConflictGround>,
}

/// A declaration that will be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedDeclaration {
    pub proposal: ProposalId,
    pub reference: Reference,
    /// None: no conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ground: Option<ConflictGround>,
    /// Whether a conflict ends an assignment of the member's.
    pub ends_assignment: bool,
    /// Whether a conflict sets a review of the member's aside.
    pub sets_review_aside: bool,
}

/// What will be declared, and what will not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct InterestPlan {
    /// Conflicts first: what is not to be read is closed before anything opens.
    pub declarations: Vec<PlannedDeclaration>,
    /// On record already as without conflict, and said so again.
    pub already: Vec<Reference>,
    /// Shown to the member, undeclared, and not named: they stay as they are.
    pub unnamed: Vec<Reference>,
    /// Named and not shown to the member, as is a proposal with which they declared a conflict.
    pub not_shown: Vec<String>,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct DeclaredInterests {
    pub clear: usize,
    pub conflicts: usize,
    /// What the exchange refused, and why.
    pub refused: Vec<(Reference, ClientError)>,
}

impl InterestSheet {
    /// What will be declared if the member says this.
    ///
    /// # Errors
    /// When a line names a proposal of another call, names what another line does, or names several proposals.
    pub fn plan(&self, stated: &[StatedInterest]) -> Result<InterestPlan> {
        let (mut plan, mut named) = (InterestPlan::default(), BTreeMap::new());
        for said in stated {
            let Some(proposal) = self.find(said)? else {
                plan.not_shown.push(said.proposal.to_string());
                continue;
            };
            if let Some(first) = named.insert(proposal.id, said.line) {
                return Err(ClientError::usage(
                    format!("line {}: {} is in line {first} already", said.line, proposal.reference),
                    "leave one of the lines out",
                ));
            }
            if said.ground.is_none() && proposal.mine.is_clear {
                plan.already.push(proposal.reference.clone());
                continue;
            }
            let is_conflict = said.ground.is_some();
            plan.declarations.push(PlannedDeclaration {
                proposal: proposal.id,
                reference: proposal.reference.clone(),
                ground: said.ground,
                ends_assignment: is_conflict && proposal.mine.is_assigned,
                sets_review_aside: is_conflict && proposal.mine.has_reviewed,
            });
        }
        plan.declarations.sort_by_key(|declaration| declaration.ground.is_none());
        let unnamed =
            self.proposals.iter().filter(|proposal| !proposal.mine.is_clear && !named.contains_key(&proposal.id));
        plan.unnamed = unnamed.map(|proposal| proposal.reference.clone()).collect();
        Ok(plan)
    }

    /// The proposal that a line means, if it is shown.
    fn find(&self, said: &StatedInterest) -> Result<Option<&Proposal>> {
        let is_meant = |proposal: &&Proposal| match &said.proposal {
            ProposalName::Id(id) => proposal.id == *id,
            ProposalName::Reference(reference) => proposal.reference == *reference,
            ProposalName::Begins(beginning) => beginning.begins(&proposal.id.to_string()),
        };
        if let ProposalName::Reference(reference) = &said.proposal
            && *reference.code() != self.code
        {
            return Err(ClientError::usage(
                format!("line {}: {reference} is not a proposal of {}", said.line, self.code),
                "take the sheet of its own call for it",
            ));
        }
        let mut meant = self.proposals.iter().filter(is_meant);
        match (meant.next(), meant.next()) {
            (Some(_), Some(_)) => Err(ClientError::usage(
                format!("line {}: `{}` is the beginning of several proposals", said.line, said.proposal),
                "write the reference",
            )),
            (found, _) => Ok(found),
        }
    }
}

impl InterestPlan {
    /// How many conflicts will be declared.
    #[must_use]
    pub fn conflicts(&self) -> usize {
        self.declarations.iter().filter(|declaration| declaration.ground.is_some()).count()
    }

    /// What will be declared, in a few words: `no conflict with 28 proposals and a conflict with 2`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let conflicts = self.conflicts();
        let clear = self.declarations.len() - conflicts;
        let of = |count: usize| counted(count as u64, "proposal", "proposals");
        match (clear, conflicts) {
            (clear, 0) => format!("no conflict with {}", of(clear)),
            (0, conflicts) => format!("a conflict with {}", of(conflicts)),
            (clear, conflicts) => format!("no conflict with {}, and a conflict with {}", of(clear), of(conflicts)),
        }
    }
}

impl Client {
    /// The proposals of a call on which the member can declare: what they may know of there and are not party to.
    ///
    /// # Errors
    /// When they have no part in judging under the call.
    pub async fn interest_sheet(&self, call: CallId) -> Result<InterestSheet> {
        let call = self.call(call).await?;
        let judges = [CallRole::Officer, CallRole::Reviewer, CallRole::Decider];
        if !judges.iter().any(|role| call.call.my_roles.contains(role)) {
            return Err(ClientError::usage(
                format!(
                    "you neither run {}, review nor decide under it, so there is nothing to declare",
                    call.text.code
                ),
                "`entente call list` shows your roles",
            ));
        }
        let mut proposals = self.api().all_proposals(Some(call.call.id)).await?;
        proposals.retain(|proposal| {
            !proposal.mine.is_party && matches!(proposal.status, Status::Submitted | Status::Committed)
        });
        proposals.sort_by_key(|proposal| proposal.reference.to_string());
        let partners: BTreeSet<_> = proposals.iter().flat_map(|proposal| proposal.parties.keys()).collect();
        let mut names = BTreeMap::new();
        for partner in partners {
            let members = self.api().all_members(Some(partner)).await?;
            names.extend(members.into_iter().map(|member| (member.member, member.name)));
        }
        let in_them: BTreeSet<&MemberId> =
            proposals.iter().flat_map(|proposal| proposal.parties.values().flatten()).collect();
        names.retain(|member, _| in_them.contains(member));
        Ok(InterestSheet { call: call.call.id, code: call.text.code.clone(), proposals, names })
    }

    /// Declares what was planned, each as a statement of its own, and notes what was done. What the exchange refuses is left out.
    ///
    /// # Errors
    /// When the exchange cannot be reached or nothing can be signed; what was declared by then is declared, and another plan has the rest.
    pub async fn declare_planned(&self, plan: &InterestPlan, done: &mut DeclaredInterests) -> Result<()> {
        for PlannedDeclaration { proposal, reference, ground, .. } in &plan.declarations {
            match self.declare_of(*proposal, reference.clone(), *ground).await {
                Ok(()) => {}
                // Another machine of the member's was first.
                Err(error) if error.slug() == Some("already-declared") => {}
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => {
                    done.refused.push((reference.clone(), error));
                    continue;
                }
            }
            match ground {
                Some(_) => done.conflicts += 1,
                None => done.clear += 1,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::proposal;

    /// The first references of the code that have their check digits.
    fn references() -> [String; 3] {
        let references = (48_170..).map(|number| format!("WATER26-{number}"));
        let mut references = references.filter(|reference| Reference::typed(reference).is_ok());
        std::array::from_fn(|_| references.next().unwrap())
    }

    fn sheet() -> InterestSheet {
        let rows = (1..).zip(references()).map(|(at, reference)| {
            let mut row = Proposal { reference: reference.parse().unwrap(), ..proposal() };
            row.id = format!("prop_01J9ZQ4N6M8V7X5T3R2P1K0HG{at}").parse().unwrap();
            row.mine.is_party = false;
            row
        });
        let code = "WATER26".parse().unwrap();
        InterestSheet { call: proposal().call, code, proposals: rows.collect(), names: BTreeMap::new() }
    }

    fn said(line: u64, proposal: &str, ground: Option<ConflictGround>) -> StatedInterest {
        StatedInterest { line, proposal: proposal.parse().unwrap(), ground }
    }

    #[test]
    fn what_is_ticked_is_a_conflict_and_comes_first_and_the_rest_is_clear() {
        let family = Some(ConflictGround::Family);
        let plan = sheet().plan(&[said(2, &references()[0], None), said(3, &references()[1], family)]).unwrap();
        let planned: Vec<_> =
            plan.declarations.iter().map(|planned| (planned.reference.to_string(), planned.ground)).collect();
        assert_eq!(planned, [(references()[1].clone(), family), (references()[0].clone(), None)]);
        assert_eq!(plan.in_words(), "no conflict with 1 proposal, and a conflict with 1 proposal");
        let unnamed: Vec<String> = plan.unnamed.iter().map(ToString::to_string).collect();
        assert_eq!(unnamed, references()[2..], "what nobody named stays as it is");
    }

    #[test]
    fn what_is_on_record_is_not_planned_again_but_may_become_a_conflict() {
        let mut sheet = sheet();
        sheet.proposals[0].mine.is_clear = true;
        let plan = sheet.plan(&[said(2, &references()[0], None)]).unwrap();
        assert!(plan.declarations.is_empty() && plan.already.len() == 1, "{plan:?}");
        let plan = sheet.plan(&[said(2, &references()[0], Some(ConflictGround::Other))]).unwrap();
        assert_eq!((plan.declarations.len(), plan.conflicts()), (1, 1));
        // As after a conflict was declared.
        sheet.proposals.remove(0);
        let plan = sheet.plan(&[said(2, &references()[0], Some(ConflictGround::Other))]).unwrap();
        assert_eq!((plan.declarations.len(), plan.not_shown.as_slice()), (0, &references()[..1]));
    }

    #[test]
    fn line_that_means_nothing_here_is_refused_with_its_number() {
        let refused = |stated: &[StatedInterest]| sheet().plan(stated).unwrap_err().to_string();
        let twice = refused(&[said(2, &references()[0], None), said(5, &references()[0], None)]);
        assert_eq!(twice, format!("line 5: {} is in line 2 already", references()[0]));
        assert_eq!(refused(&[said(3, "BIRD26-48179", None)]), "line 3: BIRD26-48179 is not a proposal of WATER26");
        assert!(refused(&[said(4, "prop_01J9ZQ4N6M8V", None)]).contains("line 4: "));
    }
}
