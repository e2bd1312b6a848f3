//! What would let somebody in: the smallest set of acts after which a decision would be another one.
//!
//! Found by deciding again with the acts' effects put into the facts, so it is true of whatever policies are in force. It names acts alone:
//! if none is found, a policy would have to change.

use super::{
    Action, Engine, Standing,
    facts::{MemberFacts, ProposalFacts, Resource},
};
use crate::domain::{
    call::Phase,
    id::{PartnerCode, ProposalId},
    member::CallRole,
    proposal::Status,
};
use std::{fmt, sync::Arc};

/// Something that can happen to a proposal, its call or the member's part in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactChange {
    /// The member declares to be free of conflict.
    DeclareClear,
    /// An officer assigns the member.
    Assign,
    /// The member's own review is in.
    Review,
    /// An officer of another nation lifts the member's conflict.
    LiftConflict,
    /// The call opens.
    Open,
    /// The proposal is handed in.
    Submit,
    /// The member becomes a reviewer of the call.
    BecomeReviewer,
    /// The member becomes a decider of the call.
    BecomeDecider,
    /// The member becomes an officer of the call.
    BecomeOfficer,
    /// Every funder has signed a decision.
    Decide,
    /// The owners release it to the member's nation as well, by its label.
    Relabel,
}

impl FactChange {
    /// Every change, in the order in which they are tried.
    const ALL: [Self; 11] = [
        Self::DeclareClear,
        Self::Assign,
        Self::Review,
        Self::LiftConflict,
        Self::Open,
        Self::Submit,
        Self::BecomeReviewer,
        Self::BecomeDecider,
        Self::BecomeOfficer,
        Self::Decide,
        Self::Relabel,
    ];

    /// What happens, in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeclareClear => "the member declares to have no conflict of interest",
            Self::Assign => "an officer assigns the member as reviewer of this proposal",
            Self::Review => "the member's own review is in",
            Self::LiftConflict => "an officer of another nation lifts the member's conflict",
            Self::Open => "every deadline and grace period of the call passes",
            Self::Submit => "a version of the proposal stands",
            Self::BecomeReviewer => "an officer makes the member a reviewer of the call",
            Self::BecomeDecider => "an officer makes the member a decider of the call",
            Self::BecomeOfficer => "an officer makes the member an officer of the call",
            Self::Decide => "every funder signs a decision",
            Self::Relabel => "every owner signs a label that releases the proposal to the member's nation",
        }
    }

    /// The proposal as it would be; none when nothing would change, or when what has happened cannot be undone.
    fn applied(self, member: &MemberFacts, proposal: &ProposalFacts) -> Option<ProposalFacts> {
        let mut then = proposal.clone();
        let id = member.id.clone();
        let grant = |then: &mut ProposalFacts, role| Arc::make_mut(&mut then.call).grant(id.clone(), role);
        let changed = match self {
            Self::DeclareClear => !then.conflicts.contains(&id) && then.declared_clear.insert(id.clone()),
            Self::Assign => then.call.has_role(&id, CallRole::Reviewer) && then.assigned.insert(id.clone()),
            Self::Review => then.assigned.contains(&id) && then.reviewed.insert(id.clone()),
            Self::LiftConflict => then.conflicts.remove(&id),
            Self::Open => {
                !then.call.opened && {
                    let call = Arc::make_mut(&mut then.call);
                    (call.opened, call.phase) = (true, Phase::Review);
                    true
                }
            }
            Self::Submit => {
                let open = matches!(then.status, Status::Preparing | Status::Committed);
                if open {
                    then.status = Status::Submitted;
                }
                open
            }
            Self::BecomeReviewer => grant(&mut then, CallRole::Reviewer),
            Self::BecomeDecider => grant(&mut then, CallRole::Decider),
            Self::BecomeOfficer => grant(&mut then, CallRole::Officer),
            Self::Decide => !std::mem::replace(&mut then.decided, true),
            Self::Relabel => {
                then.label.as_mut().is_some_and(|label| label.releasable_to.insert(member.id.partner().clone()))
            }
        };
        changed.then_some(then)
    }
}

impl fmt::Display for FactChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The most acts that are tried together: made a reviewer, assigned, declared.
const MOST: usize = 3;

impl Engine {
    /// The proposal on which `principal` need only declare to be free of conflict for a denied action to be permitted.
    ///
    /// Found by deciding again as if they had declared, so it is true of whatever policies are loaded: none when something
    /// else stands in the way as well, when they may not declare, or when they may not even know of the proposal.
    #[must_use]
    pub fn awaits_declaration(
        &self,
        principal: &MemberFacts,
        action: Action,
        resource: Resource<'_>,
    ) -> Option<ProposalId> {
        let proposal = resource.proposal()?;
        let standing = |action, resource| self.explain(principal, action, resource).standing;
        let declared = FactChange::DeclareClear.applied(principal, proposal)?;
        let awaits = standing(action, resource) == Standing::Denied
            && standing(action, resource.of(&declared)) == Standing::Permitted
            && standing(Action::DeclareClear, Resource::Proposal(proposal)) == Standing::Permitted;
        awaits.then_some(proposal.id)
    }

    /// The smallest sets of changes, each of which alone would let the member do the action on the proposal; empty when it is
    /// permitted already, or when no such set of three changes or fewer would.
    pub fn what_would_permit(
        &self,
        member: &MemberFacts,
        action: Action,
        proposal: &ProposalFacts,
        owner: Option<&PartnerCode>,
    ) -> Vec<Vec<FactChange>> {
        let permitted = |facts: &ProposalFacts| {
            let resource = match owner {
                Some(owner) => Resource::StaffSlots { proposal: facts, owner },
                None => Resource::Proposal(facts),
            };
            self.explain(member, action, resource).standing == Standing::Permitted
        };
        if permitted(proposal) {
            return Vec::new();
        }
        let mut reached: Vec<(Vec<FactChange>, ProposalFacts)> = vec![(Vec::new(), proposal.clone())];
        for _ in 0..MOST {
            let mut next: Vec<(Vec<FactChange>, ProposalFacts)> = Vec::new();
            for (made, facts) in &reached {
                for change in FactChange::ALL.into_iter().filter(|change| !made.contains(change)) {
                    let Some(then) = change.applied(member, facts) else { continue };
                    let made: Vec<FactChange> = made.iter().copied().chain([change]).collect();
                    // The same acts in another order lead to the same facts.
                    if !next.iter().any(|(_, known)| *known == then) {
                        next.push((made, then));
                    }
                }
            }
            let enough: Vec<_> =
                next.iter().filter(|(_, facts)| permitted(facts)).map(|(made, _)| made.clone()).collect();
            if !enough.is_empty() {
                return enough;
            }
            reached = next;
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cases::{Sources, World};
    use serde_json::json;

    fn found(who: &str, action: Action, world: &World) -> Vec<Vec<FactChange>> {
        let engine = Sources::shipped().engine();
        engine.what_would_permit(&world.member(who), action, &world.proposal(), None)
    }

    #[test]
    fn reviewer_who_is_not_assigned_is_told_both_steps() {
        let world = World::new().with("proposal", &json!({"assigned": [], "declared_clear": []}));
        assert!(
            found("KOR:reviewer", Action::Read, &world).contains(&vec![FactChange::DeclareClear, FactChange::Assign])
        );
        assert!(found("KOR:reviewer", Action::View, &world).contains(&vec![FactChange::Assign]));
    }

    #[test]
    fn nation_outside_the_label_is_told_that_the_owners_can_relabel() {
        let world = World::new().with("proposal", &json!({"releasable_to": ["GBR"]}));
        assert_eq!(found("KOR:reviewer", Action::Read, &world), [[FactChange::Relabel]]);
    }

    #[test]
    fn what_is_permitted_needs_nothing_and_a_nation_without_part_cannot_be_helped() {
        let world = World::new();
        assert!(found("ISR:company", Action::Read, &world).is_empty());
        assert!(found("FRA:visitor", Action::Read, &world).is_empty());
    }

    #[test]
    fn every_set_that_is_told_does_permit_and_no_part_of_it_does() {
        let engine = Sources::shipped().engine();
        let worlds = [
            World::new(),
            World::new().with("call", &json!({"opened": false, "phase": "open"})),
            World::new().with("proposal", &json!({"releasable_to": ["GBR"], "assigned": []})),
            World::new()
                .with("proposal", &json!({"conflicts": ["KOR:reviewer"], "assigned": [], "declared_clear": []})),
        ];
        let mut changed = 0;
        for world in worlds {
            for member in world.members() {
                for action in [Action::View, Action::Read, Action::ViewDeliberation] {
                    for set in engine.what_would_permit(&member, action, &world.proposal(), None) {
                        let after = |made: &[FactChange]| {
                            let mut facts = world.proposal();
                            for change in made {
                                facts = change.applied(&member, &facts).unwrap_or(facts);
                            }
                            engine.explain(&member, action, Resource::Proposal(&facts)).standing == Standing::Permitted
                        };
                        assert!(after(&set), "{} {action}: {set:?}", member.id);
                        assert!(!after(&set[..set.len() - 1]), "{} {action}: {set:?}", member.id);
                        changed += 1;
                    }
                }
            }
        }
        assert!(changed > 10, "{changed}");
    }
}
