//! Evaluates a predicate for one proposal in memory: the same condition that lists send to the database.
//!
//! A preview asks it millions of times, once for each member and proposal, where a full decision each time would take minutes. A list asks
//! it if the condition is too long for the database, and decides on each proposal after that. It never decides what anybody gets to see.

use super::{
    facts::{CallFacts, ProposalFacts},
    predicate::{Atom, Flag, Members, Piece, Predicate, RowFact, Set, Text, Value},
};
use crate::domain::{
    id::{MemberId, PartnerCode, Slug},
    label::Label,
    member::CallRole,
    name::{folded, folds_to},
};
use std::collections::BTreeSet;

impl Predicate {
    /// Whether it is true of the proposal, asked by `me`, who has these roles in its call. What only rows can show counts as not known,
    /// and so as no.
    #[must_use]
    pub fn holds(&self, me: &MemberId, proposal: &ProposalFacts, roles: HeldRoles) -> bool {
        let mut known = |atom: &Atom| match atom {
            Atom::Mine(Members::With(role)) => Some(roles.has(*role)),
            atom => holds(atom, me, proposal),
        };
        self.value(&mut known) == Some(true)
    }

    /// The same, where it is known what the rows show.
    #[must_use]
    pub fn holds_with(
        &self,
        me: &MemberId,
        proposal: &ProposalFacts,
        roles: HeldRoles,
        rows: &dyn Fn(&RowFact) -> bool,
    ) -> bool {
        let mut known = |atom: &Atom| match atom {
            Atom::Mine(Members::With(role)) => Some(roles.has(*role)),
            Atom::Row(fact) => Some(rows(fact)),
            atom => holds(atom, me, proposal),
        };
        self.value(&mut known) == Some(true)
    }

    /// What is left of it once the proposal and its call are known, and not who asks.
    #[must_use]
    pub fn of(&self, proposal: &ProposalFacts) -> Self {
        self.replaced(&mut |atom| match atom {
            Atom::Mine(_) => None,
            atom => settled(atom, proposal).map(Self::Const),
        })
    }
}

/// The roles of one member in a call. Finding them in a large panel takes longer than the rest of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldRoles([bool; CallRole::ALL.len()]);

impl HeldRoles {
    /// Those of one member.
    #[must_use]
    pub fn of(member: &MemberId, call: &CallFacts) -> Self {
        let mut held = Self::default();
        for role in CallRole::ALL {
            held.0[*role as usize] = call.has_role(member, *role);
        }
        held
    }

    fn has(self, role: CallRole) -> bool {
        self.0[role as usize]
    }
}

fn holds(atom: &Atom, me: &MemberId, proposal: &ProposalFacts) -> Option<bool> {
    match atom {
        // Conditions are made of the actions alone that lists and previews ask about, which are for those who are asked to join, too.
        Atom::Mine(Members::PartyMembers) => Some(proposal.shows_as_party(me)),
        Atom::Mine(members) => Some(mine(*members, proposal).contains(me)),
        atom => settled(atom, proposal),
    }
}

/// Whether an atom is true that does not depend on the caller; `None` for one that does.
fn settled(atom: &Atom, proposal: &ProposalFacts) -> Option<bool> {
    let call = &proposal.call;
    Some(match atom {
        Atom::Flag(Flag::Draft) => call.draft,
        Atom::Flag(Flag::Opened) => call.opened,
        Atom::Flag(Flag::Closed) => call.closed,
        Atom::Flag(Flag::Decided) => proposal.decided,
        Atom::Flag(Flag::Labelled) => proposal.label.is_some(),
        Atom::HasTopic => proposal.topic.is_some(),
        Atom::Equals(text, value) => read(*text, proposal).is_some_and(|found| found == value),
        Atom::Same(one, other) => {
            read(*one, proposal).zip(read(*other, proposal)).is_some_and(|(one, other)| one == other)
        }
        Atom::Like(text, pattern) => read(*text, proposal).is_some_and(|found| Piece::fit(pattern, found)),
        Atom::Contains(set, Value::Written(value)) => contains(*set, value, proposal),
        Atom::Contains(set, Value::Of(text)) => {
            read(*text, proposal).is_some_and(|value| contains(*set, value, proposal))
        }
        Atom::Within(set, values) => within(*set, values, proposal),
        Atom::Mine(_) | Atom::Row(_) => return None,
    })
}

fn read(text: Text, proposal: &ProposalFacts) -> Option<&str> {
    match text {
        Text::Phase => Some(proposal.call.phase.as_str()),
        Text::Lead => Some(proposal.call.program.lead.as_str()),
        Text::Status => Some(proposal.status.as_str()),
        Text::Topic => proposal.topic.as_ref().map(Slug::as_str),
    }
}

fn contains(set: Set, value: &str, proposal: &ProposalFacts) -> bool {
    let among = |codes: &BTreeSet<PartnerCode>| codes.iter().any(|code| code.as_str() == value);
    let program = &proposal.call.program;
    match set {
        Set::Participants => program.lead.as_str() == value || among(&program.partners),
        Set::Eligible => among(&proposal.call.eligible),
        Set::Funders => among(&proposal.call.funders),
        Set::OfficerPartners => proposal.call.officers().iter().any(|id| id.partner().as_str() == value),
        Set::Parties => among(&proposal.parties),
        Set::Organisations => proposal.organisations.iter().any(|name| folds_to(name, value)),
        Set::ReleasableTo => proposal.label.as_ref().is_some_and(|label| among(&label.releasable_to)),
        Set::Caveats => {
            proposal.label.as_ref().is_some_and(|label| label.caveats.iter().any(|caveat| caveat.as_str() == value))
        }
    }
}

fn within(set: Set, values: &BTreeSet<String>, proposal: &ProposalFacts) -> bool {
    let among = |codes: &BTreeSet<PartnerCode>| codes.iter().all(|code| values.contains(code.as_str()));
    let program = &proposal.call.program;
    match set {
        Set::Participants => values.contains(program.lead.as_str()) && among(&program.partners),
        Set::Eligible => among(&proposal.call.eligible),
        Set::Funders => among(&proposal.call.funders),
        Set::OfficerPartners => proposal.call.officers().iter().all(|id| values.contains(id.partner().as_str())),
        Set::Parties => among(&proposal.parties),
        Set::Organisations => proposal
            .organisations
            .iter()
            .map(|name| folded(name))
            .filter(|name| !name.is_empty())
            .all(|name| values.contains(&name)),
        Set::ReleasableTo => proposal.label.as_ref().is_none_or(|label| among(&label.releasable_to)),
        Set::Caveats => {
            let all = |label: &Label| label.caveats.iter().all(|caveat| values.contains(caveat.as_str()));
            proposal.label.as_ref().is_none_or(all)
        }
    }
}

fn mine(members: Members, proposal: &ProposalFacts) -> &BTreeSet<MemberId> {
    match members {
        Members::With(role) => proposal.call.with(role),
        Members::PartyMembers => &proposal.party_members,
        Members::Conflicts => &proposal.conflicts,
        Members::Assigned => &proposal.assigned,
        Members::DeclaredClear => &proposal.declared_clear,
        Members::Reviewed => &proposal.reviewed,
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::{
        Action, Resource, Standing,
        cases::{Sources, World},
    };
    use serde_json::json;

    #[test]
    fn predicate_holds_of_what_the_engine_permits() {
        let engine = Sources::shipped().engine();
        let worlds = [
            World::new(),
            World::new().with("proposal", &json!({"topic": "nuclear-fusion", "assigned": [], "decided": true})),
            World::new().with("proposal", &json!({"topic": null, "conflicts": ["ISR:officer"], "declared_clear": []})),
            World::new().with("call", &json!({"opened": false, "phase": "open"})),
            World::new().with("proposal", &json!({"status": "withdrawn", "parties": ["KOR", "GBR"]})),
            World::new().with("proposal", &json!({"releasable_to": ["KOR"], "caveats": ["propin"]})),
        ];
        let mut permitted = 0;
        for world in worlds {
            let proposal = world.proposal();
            for member in world.members() {
                let roles = super::HeldRoles::of(&member.id, &proposal.call);
                for action in [Action::View, Action::Read, Action::ViewDeliberation] {
                    let standing = engine.authorize(&member, action, Resource::Proposal(&proposal)).standing();
                    let expected = standing == Standing::Permitted;
                    let predicate = engine.predicate(&member, action).unwrap();
                    assert_eq!(predicate.holds(&member.id, &proposal, roles), expected, "{} {action}", member.id);
                    permitted += u32::from(expected);
                }
            }
        }
        assert!(permitted > 20, "{permitted}");
    }
}
