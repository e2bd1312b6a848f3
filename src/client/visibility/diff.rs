//! Two visibility manifests of one partner, compared: who gained and who lost access to what, and what changed that decides on it.
//!
//! A cause is named only if both manifests show it. Where they show none, it is of the kind that the partner does not learn, such
//! as the declaration of another nation's member; that is said too, and not guessed at.

use super::VisibilityManifest;
use crate::{
    domain::{
        call::Phase,
        id::{CallId, MemberId, ProposalId},
        policy::PolicyOwner,
        proposal::Status,
        reference::Reference,
    },
    wire::visibility::{MemberAccess, SeenProposal},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Something that a member can do now and could not then, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessChange {
    pub proposal: ProposalId,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    pub member: MemberId,
    /// `view`, `read`, `read_restricted:<partner>` or `read_reviews`.
    pub what: String,
    /// Whether they gain it.
    pub gains: bool,
    /// Whatever changed between the two that decides on it.
    pub causes: Vec<AccessCause>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum AccessCause {
    /// The policies of an owner that is asked; none where nothing was in force.
    Policy { owner: PolicyOwner, from: Option<u32>, to: Option<u32> },
    /// The member's key card, by its serial number; none where none was in force.
    Membership { from: Option<u64>, to: Option<u64> },
    /// What the member is in the call or the proposal.
    Role { from: BTreeSet<String>, to: BTreeSet<String> },
    /// Whether the member is assigned.
    Assignment { assigned: bool },
    /// What the member declared; none without a declaration.
    Declaration { conflict: Option<bool> },
    /// Whether the member's own review is in.
    Review { is_in: bool },
    /// The labels of the proposal.
    Label { from: BTreeSet<String>, to: BTreeSet<String> },
    /// Where the call stands.
    Phase { from: Phase, to: Phase },
    /// Where the proposal stands; none where it was not shown.
    Status { from: Option<Status>, to: Option<Status> },
    /// Whether the proposal is decided on.
    Decision { decided: bool },
    /// Nothing that the partner is shown.
    #[serde(rename = "not_told")]
    Undisclosed,
}

/// What changed from `old` to `new`, by proposal and member.
#[must_use]
pub fn compare(old: &VisibilityManifest, new: &VisibilityManifest) -> Vec<AccessChange> {
    let (then, now) = (abilities(old), abilities(new));
    let nothing = BTreeSet::new();
    let mut changes = Vec::new();
    let keys: BTreeSet<_> = then.keys().chain(now.keys()).collect();
    for key in keys {
        let (before, after) = (then.get(key).unwrap_or(&nothing), now.get(key).unwrap_or(&nothing));
        if before == after {
            continue;
        }
        let (proposal, member) = key;
        let causes = causes(old, new, *proposal, member);
        let seen = new.proposals.get(proposal).or_else(|| old.proposals.get(proposal));
        let reference = seen.and_then(|seen| seen.reference.clone());
        changes.extend(before.symmetric_difference(after).map(|what| AccessChange {
            proposal: *proposal,
            reference: reference.clone(),
            member: member.clone(),
            what: what.clone(),
            gains: after.contains(what),
            causes: causes.clone(),
        }));
    }
    changes
}

fn abilities(manifest: &VisibilityManifest) -> BTreeMap<(ProposalId, MemberId), BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for proposal in manifest.proposals.values() {
        for MemberAccess { member, sees, reads, reads_restricted_of, reads_reviews, .. } in &proposal.access {
            let plain = [("view", *sees), ("read", *reads), ("read_reviews", *reads_reviews)];
            let mut abilities: BTreeSet<String> =
                plain.into_iter().filter(|(_, may)| *may).map(|(what, _)| what.to_owned()).collect();
            abilities.extend(reads_restricted_of.iter().map(|owner| format!("read_restricted:{owner}")));
            all.insert((proposal.proposal, member.clone()), abilities);
        }
    }
    all
}

fn causes(old: &VisibilityManifest, new: &VisibilityManifest, id: ProposalId, member: &MemberId) -> Vec<AccessCause> {
    let call = [old, new].iter().find_map(|manifest| manifest.proposals.get(&id)).map(|proposal| proposal.call);
    let (then, now) = (ManifestFacts::of(old, id, call, member), ManifestFacts::of(new, id, call, member));
    let mut causes = BTreeSet::new();

    let mut asked = BTreeSet::from([PolicyOwner::Guardrails, PolicyOwner::Partner(member.partner().clone())]);
    let owners = then.proposal.or(now.proposal).map(|proposal| &proposal.owners);
    asked.extend(owners.into_iter().flatten().cloned().map(PolicyOwner::Partner));
    for owner in asked {
        let version = |manifest: &VisibilityManifest| {
            let found = manifest.head.policies.iter().find(|policy| policy.owner == owner);
            found.map(|policy| policy.version)
        };
        let (from, to) = (version(old), version(new));
        if from != to {
            causes.insert(AccessCause::Policy { owner, from, to });
        }
    }

    let card =
        |manifest: &VisibilityManifest| manifest.members.get(member).map(|known| (known.key_card_sha256, known.serial));
    // Somebody else's member is listed only where they are named, so that one is missing says nothing of the card.
    let is_ours = *member.partner() == new.head.partner;
    let (from, to) = (card(old), card(new));
    if from != to && (is_ours || from.is_some() && to.is_some()) {
        causes.insert(AccessCause::Membership { from: from.map(|card| card.1), to: to.map(|card| card.1) });
    }

    let (from, to) = if let (Some(mut from), Some(mut to)) = (then.parts(), now.parts()) {
        let (was, assigned) = (from.remove("assigned"), to.remove("assigned"));
        if was != assigned {
            causes.insert(AccessCause::Assignment { assigned });
        }
        (from, to)
    } else {
        (then.roles_in_call(), now.roles_in_call())
    };
    if from != to {
        causes.insert(AccessCause::Role { from, to });
    }
    if let (Some(from), Some(to)) = (then.access, now.access) {
        if from.conflict != to.conflict {
            causes.insert(AccessCause::Declaration { conflict: to.conflict });
        }
        if let (Some(was), Some(is_in)) = (from.reviewed, to.reviewed)
            && was != is_in
        {
            causes.insert(AccessCause::Review { is_in });
        }
    }

    if let (Some(from), Some(to)) = (then.phase(), now.phase())
        && from != to
    {
        causes.insert(AccessCause::Phase { from, to });
    }
    match (then.proposal, now.proposal) {
        (Some(from), Some(to)) => {
            if from.status != to.status {
                causes.insert(AccessCause::Status { from: Some(from.status), to: Some(to.status) });
            }
            if from.decided != to.decided {
                causes.insert(AccessCause::Decision { decided: to.decided });
            }
            if from.labels != to.labels {
                let labels = |labels: &Option<BTreeSet<String>>| labels.clone().unwrap_or_default();
                causes.insert(AccessCause::Label { from: labels(&from.labels), to: labels(&to.labels) });
            }
        }
        // An owner is shown all of its own from the moment that they are handed in.
        (None, Some(to)) if to.is_own => drop(causes.insert(AccessCause::Status { from: None, to: Some(to.status) })),
        _ => {}
    }
    if causes.is_empty() {
        causes.insert(AccessCause::Undisclosed);
    }
    causes.into_iter().collect()
}

/// What one manifest states about a member and a proposal.
struct ManifestFacts<'a> {
    manifest: &'a VisibilityManifest,
    call: Option<CallId>,
    member: &'a MemberId,
    proposal: Option<&'a SeenProposal>,
    access: Option<&'a MemberAccess>,
}

impl<'a> ManifestFacts<'a> {
    fn of(manifest: &'a VisibilityManifest, id: ProposalId, call: Option<CallId>, member: &'a MemberId) -> Self {
        let proposal = manifest.proposals.get(&id);
        let access = proposal.and_then(|proposal| proposal.access.iter().find(|access| access.member == *member));
        Self { manifest, call, member, proposal, access }
    }

    fn is_ours(&self) -> bool {
        *self.member.partner() == self.manifest.head.partner
    }

    /// What the member is, the assignment included; `None` if the manifest does not show it.
    fn parts(&self) -> Option<BTreeSet<String>> {
        if let Some(access) = self.access {
            return Some(access.parts.clone());
        }
        // On its own proposals an owner sees all its members who have a part.
        let is_told = self.is_ours() && self.proposal.is_some_and(|proposal| proposal.is_own);
        is_told.then(BTreeSet::new)
    }

    /// The roles of one of the partner's own members, which are shown whether they see the proposal or not; of others there are none.
    fn roles_in_call(&self) -> BTreeSet<String> {
        let call = self.call.and_then(|call| self.manifest.calls.get(&call));
        let roles = call.and_then(|call| call.roles.get(self.member));
        roles.into_iter().flatten().map(ToString::to_string).collect()
    }

    fn phase(&self) -> Option<Phase> {
        let of_call = || self.call.and_then(|call| self.manifest.calls.get(&call)).map(|call| call.phase);
        self.proposal.map(|proposal| proposal.phase).or_else(of_call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::visibility::{Head, Line};
    use serde_json::{Value, json};

    const PROPOSAL: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
    const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

    /// The manifest for Korea: of a proposal of Israel's, one of its reviewers reads it.
    fn manifest(versions: &[(&str, u32)], reviewer: bool, phase: &str, proposal: Option<Value>) -> VisibilityManifest {
        let policies: Vec<Value> =
            versions.iter().map(|(owner, version)| json!({ "owner": owner, "version": version })).collect();
        let head: Head = serde_json::from_value(json!({
            "host": "USA", "partner": "KOR", "by": "KOR:seo", "at": "2026-04-01T00:00:00Z", "seq": 7,
            "policies": policies,
        }))
        .unwrap();
        let mut manifest = VisibilityManifest::new(head);
        let roles = if reviewer { json!({ "KOR:minjun": ["reviewer"] }) } else { json!({}) };
        let call = json!({ "line": "call", "call": CALL, "phase": phase, "roles": roles });
        for line in [Some(call), proposal].into_iter().flatten() {
            match serde_json::from_value(line).unwrap() {
                Line::Call(call) => drop(manifest.calls.insert(call.call, call)),
                Line::Proposal(proposal) => drop(manifest.proposals.insert(proposal.proposal, proposal)),
                other => panic!("{other:?}"),
            }
        }
        manifest
    }

    fn seen(reads: bool, parts: &[&str], labels: &[&str]) -> Value {
        let mut proposal = json!({
            "line": "proposal", "proposal": PROPOSAL, "call": CALL, "owners": ["ISR"], "is_own": false,
            "status": "submitted", "phase": "review", "decided": false,
            "access": [{ "member": "KOR:minjun", "parts": parts, "sees": true, "reads": reads, "reads_reviews": false,
                        "conflict": false, "reviewed": false, "by": [] }],
        });
        if !labels.is_empty() {
            proposal["labels"] = json!(labels);
        }
        proposal
    }

    fn causes_of(old: &VisibilityManifest, new: &VisibilityManifest) -> Vec<AccessCause> {
        let changes = compare(old, new);
        assert!(!changes.is_empty() && changes.iter().all(|change| change.causes == changes[0].causes), "{changes:?}");
        changes[0].causes.clone()
    }

    #[test]
    fn causes_are_what_both_tell_and_what_differs() {
        let (assigned, reviewer) = (&["assigned", "reviewer"][..], &["reviewer"][..]);
        let versions = &[("ISR", 1), ("KOR", 1), ("USA", 1)][..];
        let old = manifest(versions, true, "review", Some(seen(true, assigned, &[])));
        assert!(compare(&old, &old).is_empty());

        let policy = |owner: &str, to| AccessCause::Policy { owner: owner.parse().unwrap(), from: Some(1), to };
        let others = manifest(&[("ISR", 2), ("KOR", 1), ("USA", 9)], true, "review", Some(seen(false, assigned, &[])));
        assert_eq!(causes_of(&old, &others), [policy("ISR", Some(2))], "of the United States nobody is asked");
        let gone = manifest(&[("ISR", 1), ("USA", 1)], true, "review", None);
        assert_eq!(causes_of(&old, &gone), [policy("KOR", None)]);

        let unassigned = manifest(versions, true, "review", Some(seen(false, reviewer, &[])));
        assert_eq!(causes_of(&old, &unassigned), [AccessCause::Assignment { assigned: false }]);
        let labelled = manifest(versions, true, "review", Some(seen(false, assigned, &["ISR"])));
        let label = AccessCause::Label { from: BTreeSet::new(), to: ["ISR".to_owned()].into() };
        assert_eq!(causes_of(&old, &labelled), [label]);

        // A proposal that is hidden altogether: roles and phase are those shown of the call.
        let role = AccessCause::Role { from: ["reviewer".to_owned()].into(), to: BTreeSet::new() };
        assert_eq!(causes_of(&old, &manifest(versions, false, "review", None)), [role]);
        let phase = AccessCause::Phase { from: Phase::Review, to: Phase::Cancelled };
        assert_eq!(causes_of(&old, &manifest(versions, true, "cancelled", None)), [phase]);
        assert_eq!(causes_of(&old, &manifest(versions, true, "review", None)), [AccessCause::Undisclosed]);
    }
}
