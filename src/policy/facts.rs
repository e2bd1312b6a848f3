//! What a decision is made from: plain values that the service fills in from storage within the same unit of work.
//!
//! No rule stands here. A fact that is missing must be left out so that less is permitted: an empty set, `false`.

use super::{Action, Extra, ResourceId, ResourceKind};
use crate::domain::{
    call::{LetterAudience, Phase, SEPARATED},
    id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Slug},
    label::Label,
    member::{CallRole, PartnerRole},
    proposal::Status,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A member, as their key card and the exchange know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFacts {
    pub id: MemberId,
    /// The employer, as in the key card; compared by `domain::name::folded`. Empty: unknown, equal to none.
    pub organisation: String,
    /// What the partner's registrar vouches for.
    pub roles: BTreeSet<PartnerRole>,
    /// Whether the member's partner hosts the exchange.
    pub host: bool,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFacts {
    pub id: ProgramId,
    pub lead: PartnerCode,
    /// The participating partners; the lead takes part whether it is named here or not.
    pub partners: BTreeSet<PartnerCode>,
}

/// A call at the instant of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFacts {
    pub id: CallId,
    pub program: Arc<ProgramFacts>,
    /// Not yet published.
    pub draft: bool,
    pub phase: Phase,
    /// Whether every deadline, extensions and grace included, has passed.
    pub opened: bool,
    /// Whether its officers have closed it. No policy is told: a closed call is in the phase `review` for them, so that closing it hides
    /// nothing from anybody.
    pub closed: bool,
    /// Whom letters are for by its text. No policy is told.
    pub letters: LetterAudience,
    pub eligible: BTreeSet<PartnerCode>,
    pub funders: BTreeSet<PartnerCode>,
    /// The members with each role that is in effect; a role that nobody has may be absent. See [`CallFacts::roles_in_effect`].
    pub roles: BTreeMap<CallRole, BTreeSet<MemberId>>,
}

/// A proposal at the instant of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalFacts {
    pub id: ProposalId,
    pub call: Arc<CallFacts>,
    /// The partners that own it jointly; never empty.
    pub parties: BTreeSet<PartnerCode>,
    /// Those who joined by their own signature.
    pub party_members: BTreeSet<MemberId>,
    /// Who is asked to join a party and has not answered; see [`ProposalFacts::invites`].
    pub invited: BTreeSet<MemberId>,
    /// The organisations of all party members.
    pub organisations: BTreeSet<String>,
    pub topic: Option<Slug>,
    pub status: Status,
    /// Members with a declared conflict that nobody lifted.
    pub conflicts: BTreeSet<MemberId>,
    /// Reviewers assigned to it.
    pub assigned: BTreeSet<MemberId>,
    /// Reviewers, officers and deciders who declared that they have no conflict.
    pub declared_clear: BTreeSet<MemberId>,
    /// Reviewers whose own review is in.
    pub reviewed: BTreeSet<MemberId>,
    /// Whether a decision is in force: every funder has signed it, and it was not rescinded since.
    pub decided: bool,
    /// Whom it is releasable to, if a label says so.
    pub label: Option<Label>,
}

impl<'a> Resource<'a> {
    /// The call that it is, or that it belongs to.
    #[must_use]
    pub fn call(self) -> Option<&'a CallFacts> {
        match self {
            Self::Exchange | Self::Partner(_) | Self::Program(_) => None,
            Self::Call(call) | Self::CallRole { call, .. } => Some(call),
            Self::Proposal(proposal) | Self::StaffSlots { proposal, .. } | Self::ProposalMember { proposal, .. } => {
                Some(&proposal.call)
            }
        }
    }
}

impl CallFacts {
    /// The members with each role, from who has one of them.
    pub fn roles_by(members_with: impl Fn(CallRole) -> BTreeSet<MemberId>) -> BTreeMap<CallRole, BTreeSet<MemberId>> {
        CallRole::ALL.iter().map(|role| (*role, members_with(*role))).collect()
    }

    /// The members with each role that is in effect, from the roles of each and from who is party to a proposal under the call.
    ///
    /// An observer is kept from content, and learns of every proposal. So that being named one takes nothing from anybody, nor shows a party
    /// its rivals, the role is without effect beside another one, and for a party.
    #[must_use]
    pub fn roles_in_effect(
        by_member: &BTreeMap<MemberId, BTreeSet<CallRole>>,
        parties: &BTreeSet<MemberId>,
    ) -> BTreeMap<CallRole, BTreeSet<MemberId>> {
        let is_in_effect = |role: CallRole, member: &MemberId, roles: &BTreeSet<CallRole>| {
            roles.contains(&role) && (role != CallRole::Observer || roles.len() == 1 && !parties.contains(member))
        };
        Self::roles_by(|role| {
            let holders = by_member.iter().filter(|(member, roles)| is_in_effect(role, member, roles));
            holders.map(|(member, _)| member.clone()).collect()
        })
    }

    /// The members with one role.
    #[must_use]
    pub fn with(&self, role: CallRole) -> &BTreeSet<MemberId> {
        static NOBODY: BTreeSet<MemberId> = BTreeSet::new();
        self.roles.get(&role).unwrap_or(&NOBODY)
    }

    /// The members who run the call.
    #[must_use]
    pub fn officers(&self) -> &BTreeSet<MemberId> {
        self.with(CallRole::Officer)
    }

    /// Whether the member has this role.
    #[must_use]
    pub fn has_role(&self, member: &MemberId, role: CallRole) -> bool {
        self.with(role).contains(member)
    }

    /// Whether the member runs the call, reviews or decides: who does is no party under it. Who observes it can be one.
    #[must_use]
    pub fn runs_or_judges(&self, member: &MemberId) -> bool {
        SEPARATED.iter().any(|role| self.has_role(member, *role))
    }

    /// The call as it would be without a member's roles.
    fn without(&self, member: &MemberId) -> Self {
        let mut call = self.clone();
        for members in call.roles.values_mut() {
            members.remove(member);
        }
        call
    }

    /// Gives the member a role; false when they had it.
    pub fn grant(&mut self, member: MemberId, role: CallRole) -> bool {
        self.roles.entry(role).or_default().insert(member)
    }
}

impl ProposalFacts {
    /// Whether the member is asked to join a party, and could. An invitation of somebody who runs the call, reviews, decides or is assigned
    /// to the proposal is without effect, so that nobody is kept from a role, nor let in beside it, by being asked.
    #[must_use]
    pub fn invites(&self, member: &MemberId) -> bool {
        self.invited.contains(member) && !self.call.runs_or_judges(member) && !self.assigned.contains(member)
    }

    /// The proposal as it would be if the member had no role in the call.
    #[must_use]
    pub fn without_roles_of(&self, member: &MemberId) -> Self {
        Self { call: Arc::new(self.call.without(member)), ..self.clone() }
    }

    /// The proposal as it would be if the member had no part in it but that they are asked to join a party: all that the one who asks
    /// them is to know.
    #[must_use]
    pub fn with_invitation_alone(&self, member: &MemberId) -> Self {
        let mut alone = self.without_roles_of(member);
        for members in [&mut alone.conflicts, &mut alone.assigned, &mut alone.declared_clear, &mut alone.reviewed] {
            members.remove(member);
        }
        alone
    }

    /// Whether the member looks at the proposal as its party members do: as one of them, or asked to become one.
    #[must_use]
    pub fn shows_as_party(&self, member: &MemberId) -> bool {
        self.party_members.contains(member) || self.invites(member)
    }

    /// Whether letters to this party alone are for the member: one of its own, under a call whose letters are for one party. What its nation
    /// releases of its restricted documents does not matter to that.
    #[must_use]
    pub fn gets_letters_alone(&self, member: &MemberId, party: &PartnerCode) -> bool {
        self.call.letters == LetterAudience::OneParty && member.partner() == party && self.shows_as_party(member)
    }

    /// The proposal as somebody looks at it who is asked to join a party: as if they had. None for everybody else.
    pub(super) fn as_joined(&self, member: &MemberId) -> Option<Self> {
        self.invites(member).then(|| {
            let mut joined = self.clone();
            joined.party_members.insert(member.clone());
            joined
        })
    }
}

/// What an action is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// The exchange as a whole.
    Exchange,
    /// A partner, for the key cards of its members.
    Partner(&'a PartnerCode),
    Program(&'a ProgramFacts),
    Call(&'a CallFacts),
    /// A call and the member who is to gain or lose a role in it.
    CallRole {
        call: &'a CallFacts,
        subject: &'a MemberFacts,
        role: CallRole,
    },
    Proposal(&'a ProposalFacts),
    /// The restricted slots of the party `owner`.
    StaffSlots {
        proposal: &'a ProposalFacts,
        owner: &'a PartnerCode,
    },
    /// A proposal and the member something is done to: added to or taken out of a party, assigned, freed of a conflict.
    ProposalMember {
        proposal: &'a ProposalFacts,
        subject: &'a MemberFacts,
    },
}

impl<'a> Resource<'a> {
    /// The kind of thing it is.
    #[must_use]
    pub fn kind(self) -> ResourceKind {
        match self {
            Self::Exchange => ResourceKind::Exchange,
            Self::Partner(_) => ResourceKind::Partner,
            Self::Program(_) => ResourceKind::Program,
            Self::Call(_) | Self::CallRole { .. } => ResourceKind::Call,
            Self::Proposal(_) | Self::StaffSlots { .. } | Self::ProposalMember { .. } => ResourceKind::Proposal,
        }
    }

    /// Its identifier.
    #[must_use]
    pub fn id(self) -> ResourceId {
        match self {
            Self::Exchange => ResourceId::Exchange,
            Self::Partner(code) => ResourceId::Partner(code.clone()),
            Self::Program(program) => ResourceId::Program(program.id),
            Self::Call(call) | Self::CallRole { call, .. } => ResourceId::Call(call.id),
            Self::Proposal(proposal) | Self::StaffSlots { proposal, .. } | Self::ProposalMember { proposal, .. } => {
                ResourceId::Proposal(proposal.id)
            }
        }
    }

    /// The member something is done to.
    #[must_use]
    pub fn subject(self) -> Option<&'a MemberFacts> {
        match self {
            Self::CallRole { subject, .. } | Self::ProposalMember { subject, .. } => Some(subject),
            _ => None,
        }
    }

    /// The party whose restricted slots are meant.
    #[must_use]
    pub fn owner(self) -> Option<&'a PartnerCode> {
        match self {
            Self::StaffSlots { owner, .. } => Some(owner),
            _ => None,
        }
    }

    /// The role that is gained or lost.
    pub(super) fn role(self) -> Option<CallRole> {
        match self {
            Self::CallRole { role, .. } => Some(role),
            _ => None,
        }
    }

    /// The proposal it is or belongs to.
    pub(super) fn proposal(self) -> Option<&'a ProposalFacts> {
        match self {
            Self::Proposal(proposal) | Self::StaffSlots { proposal, .. } | Self::ProposalMember { proposal, .. } => {
                Some(proposal)
            }
            _ => None,
        }
    }

    /// The same of another proposal, where it is of one.
    pub(super) fn of<'b>(self, other: &'b ProposalFacts) -> Resource<'b>
    where
        'a: 'b,
    {
        match self {
            Self::Proposal(_) => Resource::Proposal(other),
            Self::StaffSlots { owner, .. } => Resource::StaffSlots { proposal: other, owner },
            Self::ProposalMember { subject, .. } => Resource::ProposalMember { proposal: other, subject },
            rest => rest,
        }
    }

    /// Whether `action` can be asked for it: the right kind, with what the action needs. More than needed does no harm.
    pub(super) fn fits(self, action: Action) -> bool {
        self.kind() == action.kind()
            && match action.extra() {
                Extra::None => true,
                Extra::Owner => self.owner().is_some(),
                Extra::Subject => self.subject().is_some(),
                Extra::Role => self.subject().is_some() && self.role().is_some(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observers_role_is_in_effect_alone_and_for_no_party() {
        use CallRole::{Decider, Observer, Reviewer};
        let id = |member: &str| member.parse::<MemberId>().unwrap();
        let by_member = BTreeMap::from([
            (id("USA:walt"), BTreeSet::from([Observer])),
            (id("USA:opal"), BTreeSet::from([Observer])),
            (id("ISR:eitan"), BTreeSet::from([Decider, Observer])),
            (id("ISR:maya"), BTreeSet::from([Reviewer])),
        ]);
        let roles = CallFacts::roles_in_effect(&by_member, &[id("USA:opal"), id("ISR:maya")].into());
        assert_eq!(roles[&Observer], [id("USA:walt")].into());
        assert_eq!((&roles[&Decider], &roles[&Reviewer]), (&[id("ISR:eitan")].into(), &[id("ISR:maya")].into()));
    }
}
