//! Calls and proposals as policies see them, on the member's machine: what it verified itself, and what it took unverified.
//!
//! Only this file separates the two: [`VerifiedFacts`] follow from signatures, key cards and clocks; nobody signs
//! [`UnverifiedFacts`] yet.

use super::{
    Client, ClientError, Result,
    participation::{Interests, Roles},
    verified::{VerifiedCall, VersionChoice, newest},
};
use crate::{
    domain::{
        call::{self as rules, Phase},
        decision::Outcome,
        id::{MemberId, PartnerCode, ProposalId, Slug},
        label::Label,
        member::CallRole,
        proposal::Status,
    },
    policy::facts::{CallFacts, ProgramFacts, ProposalFacts},
    sealing::statement::{ReviewStatement, Signed, verify_signed},
    wire::{
        call::Call,
        proposal::{Proposal, Vault},
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What this machine verified of a proposal, or knows itself.
pub(super) struct VerifiedFacts {
    /// The call's eligible partners, funders, schedule, program and roles as signed, opened by this machine's clock *and* the
    /// exchange's word.
    pub(super) call: CallFacts,
    /// Who is assigned, as officers of the call signed it.
    pub(super) assigned: BTreeSet<MemberId>,
    /// Who is clear and who has a conflict, as they signed it themselves.
    pub(super) interests: Interests,
    /// The owners. All of them signed what is handed in; before that, and for a party's own hand-over, they are as shown.
    pub(super) owners: BTreeSet<PartnerCode>,
    /// Where the party members work, by their key cards.
    pub(super) organisations: BTreeSet<String>,
    /// Whether every funder signed the decision. That a decision is kept from this machine it cannot notice.
    pub(super) decided: bool,
    /// What all owners signed about the release of the version that stands. For a party's own hand-over it is as shown: that
    /// wraps to owners alone, who are in every label.
    pub(super) label: Option<Label>,
}

/// What the exchange states and nobody signs yet, so that this machine cannot verify it.
#[derive(Default)]
pub(super) struct UnverifiedFacts {
    pub(super) topic: Option<Slug>,
    pub(super) party_members: BTreeSet<MemberId>,
    /// Whose review is in. Where it matters, the reviews themselves are verified.
    pub(super) reviewed: BTreeSet<MemberId>,
}

impl Client {
    /// A published call as policies see it, with the roles that were signed.
    pub(super) async fn call_facts(&self, call: &VerifiedCall) -> Result<CallFacts> {
        let roles = self.verified_roles(call).await?;
        Ok(call_facts(&call.call, &call.rules, &roles, self.now()))
    }

    /// A published call as policies see it on the machine of a party, who does not hear who judges.
    pub(super) async fn party_call_facts(&self, call: &VerifiedCall) -> Result<CallFacts> {
        let roles = self.unsigned_roles(call).await?;
        Ok(call_facts(&call.call, &call.rules, &roles, self.now()))
    }

    /// Nobody's roles, and the partners of the program as the exchange states them; its lead is the one that signed the call.
    pub(super) async fn unsigned_roles(&self, call: &VerifiedCall) -> Result<Roles> {
        let mut partners = match self.api().program(call.call.program).await {
            Err(error) if error.is_not_found() => call.rules.eligible.union(&call.rules.funders).cloned().collect(),
            program => program?.partners,
        };
        partners.insert(call.call.lead.clone());
        Ok(Roles::unsigned(BTreeMap::new(), partners))
    }

    /// A proposal as policies see it: to a member who judges it, with roles, assignments and declarations as they were signed and only if
    /// the parties signed that it is handed in; to a party without, since a party does not hear who judges.
    pub(super) async fn proposal_facts(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        vaults: &[Vault],
    ) -> Result<ProposalFacts> {
        let mut label = proposal.label.clone();
        let (mut assignments, mut interests) = (Vec::new(), Interests::default());
        let roles =
            if proposal.mine.is_party { self.unsigned_roles(call).await? } else { self.verified_roles(call).await? };
        if !proposal.mine.is_party {
            let standing = self.verified_manifest(proposal, call, vaults, VersionChoice::Standing).await?;
            label = self.label_in_force(proposal, &standing).await?.label;
            assignments = self.verified_assignments(proposal.id, proposal.call, &roles).await?;
            interests = self.interests(proposal, &roles).await?;
        }
        let decided = match self.api().decision(proposal.id).await? {
            Some(decision) if decision.body.final_at.is_some() => {
                self.check_decision(&decision.body, proposal, call).await?;
                decision.body.outcome != Outcome::Rescind
            }
            _ => false,
        };
        let party_members: BTreeSet<MemberId> = proposal.parties.values().flatten().cloned().collect();
        let verified = VerifiedFacts {
            call: call_facts(&call.call, &call.rules, &roles, self.now()),
            assigned: assignments.iter().map(|line| line.reviewer.clone()).collect(),
            interests,
            owners: proposal.parties.keys().cloned().collect(),
            organisations: self.organisations_of(proposal, call).await?,
            decided,
            label,
        };
        let reviewed = assignments.into_iter().filter(|line| line.has_reviewed).map(|line| line.reviewer).collect();
        let unverified = UnverifiedFacts { topic: proposal.topic.clone(), party_members, reviewed };
        Ok(proposal_facts(proposal.id, proposal.status, verified, unverified))
    }

    /// Where members work, by their newest key cards.
    pub(super) async fn organisations(&self, members: &BTreeSet<MemberId>) -> Result<BTreeSet<String>> {
        let mut organisations = BTreeSet::new();
        for member in members {
            organisations.insert(self.issued_member(member).await?.card.organisation.clone());
        }
        Ok(organisations)
    }

    /// Where the members of a proposal's parties work, by the key card that was the newest at the deadline, or when they joined after it: what
    /// a registrar writes later takes nobody out of the judging. When a card was published and a member joined is the exchange's word, and
    /// where no chain of cards reaches that far, so is where they worked.
    pub(super) async fn organisations_of(&self, proposal: &Proposal, call: &VerifiedCall) -> Result<BTreeSet<String>> {
        Ok(self.organisations_by_party(proposal, call).await?.into_values().flatten().collect())
    }

    /// The same for each party.
    pub(super) async fn organisations_by_party(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<BTreeMap<PartnerCode, BTreeSet<String>>> {
        let deadline_at = proposal.deadline_at.0.max(call.rules.schedule.deadline_at);
        let mut parties = BTreeMap::new();
        for (party, members) in &proposal.parties {
            let mut organisations = BTreeSet::new();
            for member in members {
                let joined_at = proposal.joined_late.get(member).map(|joined_at| joined_at.0);
                let newest = self.issued_member(member).await?;
                match self.employer_at(&newest, joined_at.unwrap_or(deadline_at).max(deadline_at)).await? {
                    Some(organisation) => organisations.extend([organisation]),
                    None => organisations.extend(proposal.organisations.iter().cloned()),
                }
            }
            parties.insert(party.clone(), organisations);
        }
        Ok(parties)
    }

    /// Who signed a review of the version that stands. What does not verify is no review.
    pub(super) async fn reviewers(&self, proposal: &Proposal) -> Result<BTreeSet<MemberId>> {
        let mut reviewers = BTreeSet::new();
        for review in newest(self.api().reviews(proposal.id).await?).0 {
            let Ok(signed): Result<Signed<ReviewStatement>, _> = verify_signed(&review.statement) else { continue };
            let ReviewStatement { proposal: about, manifest_sha256, reviewer, revision, .. } = &signed.statement;
            let fits = *about == proposal.id
                && Some(*manifest_sha256) == proposal.manifest_sha256
                && *reviewer == review.reviewer
                && *revision == review.revision;
            if !fits {
                continue;
            }
            match self.check_signed_by(&signed, &review.reviewer, review.submitted_at.0).await {
                Ok(()) => reviewers.extend([review.reviewer]),
                Err(ClientError::Unverified { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reviewers)
    }
}

pub(super) fn call_facts(call: &Call, text: &rules::CallText, roles: &Roles, now: Timestamp) -> CallFacts {
    let sealed_until = text.schedule.sealed_until(&[]).max(call.sealed_until.0);
    // For policies a closed call is under review, as the exchange has it: closing hides nothing.
    let closed = call.phase == Phase::Closed;
    let phase = if closed { Phase::Review } else { call.phase };
    let opened = phase == Phase::Review && now > sealed_until;
    CallFacts {
        id: call.id,
        program: Arc::new(ProgramFacts { id: call.program, lead: call.lead.clone(), partners: roles.partners.clone() }),
        draft: call.publication.is_none(),
        phase: if phase == Phase::Review && !opened { Phase::Grace } else { phase },
        opened,
        closed,
        letters: text.letters,
        eligible: text.eligible.clone(),
        funders: text.funders.clone(),
        roles: CallFacts::roles_in_effect(&roles.by_member, &BTreeSet::new()),
    }
}

/// The facts of a decision, from what was verified and what was not.
pub(super) fn proposal_facts(
    id: ProposalId,
    status: Status,
    verified: VerifiedFacts,
    unverified: UnverifiedFacts,
) -> ProposalFacts {
    let VerifiedFacts { mut call, owners, assigned, interests, organisations, decided, label } = verified;
    // The role is without effect for a party, as the exchange has it.
    if let Some(observers) = call.roles.get_mut(&CallRole::Observer) {
        observers.retain(|member| !unverified.party_members.contains(member));
    }
    ProposalFacts {
        id,
        parties: owners,
        organisations,
        topic: unverified.topic,
        status,
        conflicts: interests.conflicts,
        declared_clear: interests.clear,
        reviewed: unverified.reviewed,
        decided,
        label,
        assigned,
        party_members: unverified.party_members,
        // Only the one who asks somebody to join wraps to them before they have joined.
        invited: BTreeSet::new(),
        call: Arc::new(call),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::client::testing::{at, call, proposal};
    use crate::policy::{Action, Engine, Guardrails, PartnerRules, Resource, Standing, facts::MemberFacts};

    pub(crate) const OPEN: &str = r#"@id("all-released") @side("release") @reason("everything")
permit(principal, action, resource is Proposal);
@id("all-read") @side("reader") @reason("everything")
permit(principal, action, resource is Proposal);"#;

    /// The built-in guardrails, and nations that permit whatever these do.
    pub(crate) fn engine(nations: &[&str]) -> Engine {
        let rules = |code: &&str| Arc::new(PartnerRules::parse(code, &code.parse().unwrap(), OPEN).unwrap());
        Engine::new(Arc::new(Guardrails::built_in()), nations.iter().map(rules))
    }

    fn members(handles: &[&str]) -> BTreeSet<MemberId> {
        handles.iter().map(|handle| handle.parse().unwrap()).collect()
    }

    /// Who judges: roles, assignments and declarations; or nobody.
    #[derive(Default)]
    pub(crate) struct Panel {
        roles: BTreeMap<MemberId, BTreeSet<CallRole>>,
        assigned: BTreeSet<MemberId>,
        interests: Interests,
        reviewed: BTreeSet<MemberId>,
    }

    pub(crate) fn panel() -> Panel {
        let role = |member: &str, role| (member.parse().unwrap(), BTreeSet::from([role]));
        Panel {
            roles: BTreeMap::from([
                role("USA:officer", CallRole::Officer),
                role("ISR:decider", CallRole::Decider),
                role("GBR:clear", CallRole::Reviewer),
                role("GBR:done", CallRole::Reviewer),
                role("GBR:silent", CallRole::Reviewer),
                role("GBR:partial", CallRole::Reviewer),
                role("GBR:watching", CallRole::Observer),
            ]),
            assigned: members(&["GBR:clear", "GBR:done", "GBR:silent", "GBR:partial"]),
            interests: Interests {
                clear: members(&["USA:officer", "ISR:decider", "GBR:clear", "GBR:done"]),
                conflicts: members(&["GBR:partial"]),
            },
            reviewed: members(&["GBR:done"]),
        }
    }

    pub(crate) fn facts(phase: Phase, now: &str, panel: Panel) -> ProposalFacts {
        let (signed, proposal) = (call(), proposal());
        let stated = Call { phase, ..signed.call };
        let partners = ["ISR", "USA", "GBR"].map(|code| code.parse().unwrap()).into();
        let roles = Roles::unsigned(panel.roles, partners);
        let verified = VerifiedFacts {
            call: call_facts(&stated, &signed.rules, &roles, at(now)),
            assigned: panel.assigned,
            interests: panel.interests,
            owners: proposal.parties.keys().cloned().collect(),
            organisations: ["Kinneret Sensing".to_owned()].into(),
            decided: false,
            label: None,
        };
        let party_members = proposal.parties.values().flatten().cloned().collect();
        let unverified = UnverifiedFacts { topic: None, party_members, reviewed: panel.reviewed };
        proposal_facts(proposal.id, Status::Submitted, verified, unverified)
    }

    pub(crate) const OPENED: &str = "2026-04-03T00:00:00Z";
    const EVERYBODY: [&str; 10] = [
        "ISR:avi",
        "USA:dana",
        "ISR:other",
        "USA:officer",
        "ISR:decider",
        "GBR:clear",
        "GBR:done",
        "GBR:silent",
        "GBR:partial",
        "GBR:watching",
    ];

    fn who_may(engine: &Engine, action: Action, resource: Resource<'_>, organisation: &str) -> Vec<&'static str> {
        let may = |who: &&&str| {
            let id: MemberId = who.parse().unwrap();
            let member = MemberFacts { id, organisation: organisation.into(), roles: [].into(), host: false };
            engine.explain(&member, action, resource).standing == Standing::Permitted
        };
        EVERYBODY.iter().filter(may).copied().collect()
    }

    #[test]
    fn each_vault_is_read_only_by_those_it_is_for() {
        let engine = engine(&["ISR", "USA", "GBR"]);
        let facts = facts(Phase::Review, OPENED, panel());
        let owner = "ISR".parse().unwrap();
        let (whole, staff) = (Resource::Proposal(&facts), Resource::StaffSlots { proposal: &facts, owner: &owner });
        for (action, resource, wanted) in [
            (Action::Read, whole, vec!["ISR:avi", "USA:dana", "USA:officer", "ISR:decider", "GBR:clear", "GBR:done"]),
            (Action::ReadLetter, whole, vec!["ISR:avi", "USA:dana", "USA:officer"]),
            (Action::ReadStaff, staff, vec!["ISR:avi", "USA:officer", "ISR:decider"]),
            (Action::ViewDeliberation, whole, vec!["USA:officer", "ISR:decider", "GBR:done"]),
        ] {
            assert_eq!(who_may(&engine, action, resource, "Elsewhere"), wanted, "{action}");
        }
        let parties = vec!["ISR:avi", "USA:dana"];
        assert_eq!(who_may(&engine, Action::Read, whole, " kinneret sensing"), parties, "the same organisation");
    }

    #[test]
    fn party_wraps_to_parties_only() {
        // A party's client does not learn who judges.
        let facts = facts(Phase::Open, "2026-03-10T00:00:00Z", Panel::default());
        let engine = engine(&["ISR", "USA", "GBR"]);
        let may = who_may(&engine, Action::Read, Resource::Proposal(&facts), "Elsewhere");
        assert_eq!(may, ["ISR:avi", "USA:dana"]);
    }

    #[test]
    fn opening_takes_both_clocks() {
        let engine = engine(&["ISR", "USA", "GBR"]);
        let parties = ["ISR:avi", "USA:dana"];
        for (phase, now) in
            [(Phase::Review, "2026-04-01T17:00:00Z"), (Phase::Grace, OPENED), (Phase::Cancelled, OPENED)]
        {
            let facts = facts(phase, now, panel());
            assert!(!facts.call.opened && facts.call.phase != Phase::Review, "{phase}");
            assert_eq!(who_may(&engine, Action::Read, Resource::Proposal(&facts), "Elsewhere"), parties, "{phase}");
        }
        let [review, closed] = [Phase::Review, Phase::Closed].map(|phase| {
            let facts = facts(phase, OPENED, panel());
            who_may(&engine, Action::Read, Resource::Proposal(&facts), "Elsewhere")
        });
        assert!(review == closed && review.len() > parties.len(), "closing hides nothing: {review:?} {closed:?}");
    }
}
