//! Whether what a member signed about a proposal still counts: a review, or a signature under a decision that is not final.
//!
//! Nothing of it is stored. It follows from the facts at the instant of the question, so it ends when what it follows from ends: a
//! conflict that is lifted, a role that is given back. Server and client ask this same function, each of its own facts.

use super::facts::{MemberFacts, ProposalFacts};
use crate::domain::{id::MemberId, member::CallRole, name::is_same, set_aside::SetAside};
use std::collections::BTreeSet;

/// Why the member's review is set aside, if it is. `holder` is the member by their newest key card, whatever its time; `None` if
/// they have no key card or it was revoked.
#[must_use]
pub fn review_set_aside(proposal: &ProposalFacts, member: &MemberId, holder: Option<&MemberFacts>) -> Option<SetAside> {
    let has_part = proposal.call.has_role(member, CallRole::Reviewer) && proposal.assigned.contains(member);
    set_aside(proposal, member, holder, has_part)
}

/// Why the member's signature under a decision is set aside, if it is.
#[must_use]
pub fn signature_set_aside(
    proposal: &ProposalFacts,
    member: &MemberId,
    holder: Option<&MemberFacts>,
) -> Option<SetAside> {
    set_aside(proposal, member, holder, proposal.call.has_role(member, CallRole::Decider))
}

fn set_aside(
    proposal: &ProposalFacts,
    member: &MemberId,
    holder: Option<&MemberFacts>,
    has_part: bool,
) -> Option<SetAside> {
    if proposal.conflicts.contains(member) {
        return Some(SetAside::Conflict);
    }
    let Some(holder) = holder else { return Some(SetAside::Card) };
    if proposal.party_members.contains(member) || works_at_one_of(holder, &proposal.organisations) {
        return Some(SetAside::SameOrganisation);
    }
    (!has_part).then_some(SetAside::Role)
}

/// Whether the member works at one of these organisations, as policies compare them. An unknown employer is equal to none.
#[must_use]
pub fn works_at_one_of(member: &MemberFacts, organisations: &BTreeSet<String>) -> bool {
    organisations.iter().any(|organisation| is_same(&member.organisation, organisation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            call::{LetterAudience, Phase},
            proposal::Status,
        },
        policy::facts::{CallFacts, ProgramFacts},
    };
    use std::sync::Arc;

    fn id(member: &str) -> MemberId {
        member.parse().unwrap()
    }

    fn holder(member: &str, organisation: &str) -> MemberFacts {
        MemberFacts { id: id(member), organisation: organisation.into(), roles: [].into(), host: false }
    }

    fn facts() -> ProposalFacts {
        let program = ProgramFacts {
            id: "prog_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            lead: "USA".parse().unwrap(),
            partners: ["USA", "ISR"].map(|code| code.parse().unwrap()).into(),
        };
        let call = CallFacts {
            id: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            eligible: program.partners.clone(),
            funders: program.partners.clone(),
            program: Arc::new(program),
            draft: false,
            phase: Phase::Review,
            opened: true,
            closed: false,
            letters: LetterAudience::AllParties,
            roles: [(CallRole::Reviewer, [id("GBR:ann")].into()), (CallRole::Decider, [id("GBR:dora")].into())].into(),
        };
        ProposalFacts {
            id: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            call: Arc::new(call),
            parties: ["ISR".parse().unwrap()].into(),
            party_members: [id("ISR:avi")].into(),
            invited: [].into(),
            organisations: ["Kinneret Sensing".to_owned(), String::new()].into(),
            topic: None,
            status: Status::Submitted,
            conflicts: [].into(),
            assigned: [id("GBR:ann")].into(),
            declared_clear: [].into(),
            reviewed: [].into(),
            decided: false,
            label: None,
        }
    }

    #[test]
    fn each_reason_sets_a_review_aside_and_ends_with_what_it_follows_from() {
        let (good, ann) = (facts(), id("GBR:ann"));
        let of = |facts: &ProposalFacts, holder: Option<&MemberFacts>| review_set_aside(facts, &ann, holder);
        let elsewhere = holder("GBR:ann", "Elsewhere");
        assert_eq!(of(&good, Some(&elsewhere)), None);
        assert_eq!(of(&good, Some(&holder("GBR:ann", " "))), None, "an unknown employer is equal to none");
        assert_eq!(of(&good, None), Some(SetAside::Card));
        assert_eq!(of(&good, Some(&holder("GBR:ann", " kinneret SENSING"))), Some(SetAside::SameOrganisation));
        let conflicted = ProposalFacts { conflicts: [ann.clone()].into(), ..good.clone() };
        assert_eq!(of(&conflicted, Some(&elsewhere)), Some(SetAside::Conflict));
        let unassigned = ProposalFacts { assigned: [].into(), ..good.clone() };
        assert_eq!(of(&unassigned, Some(&elsewhere)), Some(SetAside::Role));
        let call = Arc::new(CallFacts {
            roles: [(CallRole::Decider, [id("GBR:dora")].into())].into(),
            ..(*good.call).clone()
        });
        assert_eq!(of(&ProposalFacts { call, ..good }, Some(&elsewhere)), Some(SetAside::Role));
    }

    #[test]
    fn signature_takes_the_role_of_a_decider_and_no_assignment() {
        let (facts, dora) = (facts(), holder("GBR:dora", "Ministry"));
        assert_eq!(signature_set_aside(&facts, &dora.id, Some(&dora)), None);
        let ann = holder("GBR:ann", "Ministry");
        assert_eq!(signature_set_aside(&facts, &ann.id, Some(&ann)), Some(SetAside::Role));
    }
}
