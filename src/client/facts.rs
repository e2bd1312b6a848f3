//! Calls and proposals as policies see them, on the member's machine: what it verified itself, and what it was told.
//!
//! This is the one place that tells the two apart: [`Verified`] facts follow from signatures, key cards and clocks; [`Told`] ones
//! nobody signs yet. With those the host can still lie about who does what in a call; it cannot lie about what the nations
//! permit to whoever does it.

use super::{Client, ClientError, Result, calls::VerifiedCall, opening::Version, reviews::in_force};
use crate::{
    domain::{
        call::{self as rules, Phase},
        id::{MemberId, PartnerCode, ProposalId, Slug},
        label::Label,
        member::CallRole,
        proposal::Status,
    },
    policy::facts::{CallFacts, ProgramFacts, ProposalFacts},
    sealing::statement::{ReviewStatement, Signed, verify_signed},
    wire::{
        call::{Call, RoleHolder},
        proposal::{Proposal, Vault},
        review::Assignment,
    },
};
use jiff::Timestamp;
use std::{collections::BTreeSet, sync::Arc};

/// What this machine verified of a proposal, or knows itself.
pub(super) struct Verified {
    /// The call's eligible partners, funders and schedule as signed, opened by this machine's clock *and* the exchange's word.
    /// The roles in it are told.
    pub(super) call: CallFacts,
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

/// What is the exchange's word alone, since nobody signs it yet: of the call its roles and the program's partners, and this.
#[derive(Default)]
pub(super) struct Told {
    pub(super) topic: Option<Slug>,
    pub(super) party_members: BTreeSet<MemberId>,
    /// Who is assigned, with a conflict or clear, and whose review is in.
    pub(super) assignments: Vec<Assignment>,
}

impl Client {
    /// A call as policies see it, with the roles that the exchange states.
    pub(super) async fn call_facts(
        &self,
        call: &Call,
        text: &rules::CallText,
        roles: &[RoleHolder],
    ) -> Result<CallFacts> {
        let program = self.told_program(call, text).await?;
        Ok(call_facts(call, text, program, roles, self.now()))
    }

    /// A proposal as policies see it: by whoever judges it, with the roles and assignments that the exchange states and only if
    /// the parties signed that it is handed in; by a party without, since a party does not hear who judges.
    pub(super) async fn proposal_facts(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        vaults: &[Vault],
    ) -> Result<ProposalFacts> {
        let (mut roles, mut assignments) = (Vec::new(), Vec::new());
        let mut label = proposal.label.clone();
        if !proposal.mine.is_party {
            let standing = self.verified_manifest(proposal, call, vaults, Version::Standing).await?;
            label = self.label_in_force(proposal, &standing).await?.label;
            roles = self.api().roles(proposal.call).await?;
            assignments = self.api().assignments(proposal.id).await?;
        }
        let decided = match self.api().decision(proposal.id).await? {
            Some(decision) if decision.body.final_at.is_some() => {
                self.check_decision(&decision.body, proposal, call).await?;
                true
            }
            _ => false,
        };
        let party_members: BTreeSet<MemberId> = proposal.parties.values().flatten().cloned().collect();
        let verified = Verified {
            call: self.call_facts(&call.call, &call.rules, &roles).await?,
            owners: proposal.parties.keys().cloned().collect(),
            organisations: self.organisations(&party_members).await?,
            decided,
            label,
        };
        let told = Told { topic: proposal.topic.clone(), party_members, assignments };
        Ok(proposal_facts(proposal.id, proposal.status, verified, told))
    }

    /// Where members work, by their key cards.
    pub(super) async fn organisations(&self, members: &BTreeSet<MemberId>) -> Result<BTreeSet<String>> {
        let mut organisations = BTreeSet::new();
        for member in members {
            organisations.insert(self.issued_member(member).await?.card.organisation.clone());
        }
        Ok(organisations)
    }

    /// Who signed a review of the version that stands. What does not verify is no review.
    pub(super) async fn reviewers(&self, proposal: &Proposal) -> Result<BTreeSet<MemberId>> {
        let mut reviewers = BTreeSet::new();
        for review in in_force(self.api().reviews(proposal.id).await?) {
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

    /// A program as the exchange states it; its lead is the one that signed the call.
    pub(super) async fn told_program(&self, call: &Call, text: &rules::CallText) -> Result<ProgramFacts> {
        let mut partners = match self.api().program(call.program).await {
            Err(error) if error.is_not_found() => text.eligible.union(&text.funders).cloned().collect(),
            program => program?.partners,
        };
        partners.insert(call.lead.clone());
        Ok(ProgramFacts { id: call.program, lead: call.lead.clone(), partners })
    }
}

fn call_facts(
    call: &Call,
    text: &rules::CallText,
    program: ProgramFacts,
    roles: &[RoleHolder],
    now: Timestamp,
) -> CallFacts {
    let sealed_until = text.schedule.sealed_until(&[]).max(call.sealed_until.0);
    let opened = call.phase == Phase::Review && now > sealed_until;
    let bearing = |role: CallRole| -> BTreeSet<MemberId> {
        let bearers = roles.iter().filter(|holder| holder.roles.contains(&role));
        bearers.map(|holder| holder.member.clone()).collect()
    };
    CallFacts {
        id: call.id,
        program: Arc::new(program),
        draft: call.publication.is_none(),
        phase: if call.phase == Phase::Review && !opened { Phase::Grace } else { call.phase },
        opened,
        eligible: text.eligible.clone(),
        funders: text.funders.clone(),
        officers: bearing(CallRole::Officer),
        reviewers: bearing(CallRole::Reviewer),
        deciders: bearing(CallRole::Decider),
        observers: bearing(CallRole::Observer),
    }
}

/// The facts of a decision, from what was verified and what was told.
pub(super) fn proposal_facts(id: ProposalId, status: Status, verified: Verified, told: Told) -> ProposalFacts {
    let Verified { call, owners, organisations, decided, label } = verified;
    let who = |wanted: fn(&Assignment) -> bool| -> BTreeSet<MemberId> {
        told.assignments.iter().filter(|line| wanted(line)).map(|line| line.reviewer.clone()).collect()
    };
    let (assigned, conflicts) = (who(|_| true), who(|line| line.conflict == Some(true)));
    let mut declared_clear = who(|line| line.conflict == Some(false));
    // Nobody is shown the declarations of officers and deciders: that a key is asked for one is the exchange's word for it.
    declared_clear.extend(call.officers.union(&call.deciders).filter(|member| !assigned.contains(member)).cloned());
    ProposalFacts {
        id,
        parties: owners,
        organisations,
        topic: told.topic.clone(),
        status,
        conflicts,
        declared_clear,
        reviewed: who(|line| line.has_reviewed),
        decided,
        label,
        assigned,
        party_members: told.party_members,
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

    pub(crate) fn roles() -> Vec<RoleHolder> {
        let role = |member: &str, role| RoleHolder { member: member.parse().unwrap(), roles: [role].into() };
        vec![
            role("USA:officer", CallRole::Officer),
            role("ISR:decider", CallRole::Decider),
            role("GBR:clear", CallRole::Reviewer),
            role("GBR:watching", CallRole::Observer),
        ]
    }

    pub(crate) fn assignments() -> Vec<Assignment> {
        let assignment = |reviewer: &str, conflict, has_reviewed| Assignment {
            proposal: proposal().id,
            reviewer: reviewer.parse().unwrap(),
            assigned_at: at("2026-04-02T00:00:00Z").into(),
            conflict,
            has_reviewed,
        };
        vec![
            assignment("GBR:clear", Some(false), false),
            assignment("GBR:done", Some(false), true),
            assignment("GBR:silent", None, false),
            assignment("GBR:partial", Some(true), false),
        ]
    }

    pub(crate) fn facts(phase: Phase, now: &str, roles: &[RoleHolder], assignments: Vec<Assignment>) -> ProposalFacts {
        let (signed, proposal) = (call(), proposal());
        let stated = Call { phase, ..signed.call };
        let partners = ["ISR", "USA", "GBR"].map(|code| code.parse().unwrap()).into();
        let program = ProgramFacts { id: stated.program, lead: stated.lead.clone(), partners };
        let verified = Verified {
            call: call_facts(&stated, &signed.rules, program, roles, at(now)),
            owners: proposal.parties.keys().cloned().collect(),
            organisations: ["Kinneret Sensing".to_owned()].into(),
            decided: false,
            label: None,
        };
        let party_members = proposal.parties.values().flatten().cloned().collect();
        proposal_facts(proposal.id, Status::Submitted, verified, Told { topic: None, party_members, assignments })
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
        let facts = facts(Phase::Review, OPENED, &roles(), assignments());
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
        // A party's client is not told who judges.
        let facts = facts(Phase::Open, "2026-03-10T00:00:00Z", &[], Vec::new());
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
            let facts = facts(phase, now, &roles(), assignments());
            assert!(!facts.call.opened && facts.call.phase != Phase::Review, "{phase}");
            assert_eq!(who_may(&engine, Action::Read, Resource::Proposal(&facts), "Elsewhere"), parties, "{phase}");
        }
    }
}
