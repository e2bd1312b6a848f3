//! What an entry of the log says, in a sentence: who did what, to which.
//!
//! A reader gives the names of things and the form of instants ([`LogNames`]); the words are here, so that every screen says the same.

use crate::{
    domain::{
        call::AmendmentEffect,
        entry::EntryKind,
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Slug},
        policy::PolicyOwner,
        text::counted,
    },
    wire::entry::{
        Entry,
        payloads::{
            CallAmended, DecisionFinal, DecisionSigned, DocumentNamed, ExtensionMade, KeyRemoved, LabelInForce,
            LetterSent, Payload, PolicyApproved, ProposalCreated, RolesChanged, VaultCreated,
        },
    },
};
use jiff::Timestamp;
use std::fmt::Display;

/// How a reader knows the things that entries are about.
pub trait LogNames {
    fn call(&self, id: CallId) -> String {
        format!("call {id}")
    }

    fn proposal(&self, id: ProposalId) -> String {
        format!("proposal {id}")
    }

    fn program(&self, id: ProgramId) -> String {
        format!("program {id}")
    }

    fn instant(&self, at: Timestamp) -> String;
}

/// The sentence that an entry is for a reader. One that this version cannot read in full says its kind alone.
#[must_use]
pub fn sentence(entry: &Entry, names: &impl LogNames) -> String {
    let Ok(payload) = Payload::parse(entry.kind, &entry.payload) else {
        return format!("{}: {}, on {}", who(entry), entry.kind, about(entry, names));
    };
    Telling { entry, names }.of(&payload)
}

/// Who acted.
fn who(entry: &Entry) -> String {
    match (&entry.actor, entry.kind) {
        (Some(member), _) => member.to_string(),
        (None, EntryKind::DocumentDropped) => "the exchange".to_owned(),
        (None, _) => "the host's operator".to_owned(),
    }
}

/// What people call the call that an entry is about.
fn call_of(entry: &Entry, call: CallId, names: &impl LogNames) -> String {
    entry.code.as_ref().map_or_else(|| names.call(call), ToString::to_string)
}

/// The thing that an entry is about.
fn about(entry: &Entry, names: &impl LogNames) -> String {
    match (entry.proposal, entry.call, entry.program) {
        (Some(proposal), ..) => match &entry.reference {
            Some(reference) => reference.to_string(),
            None => names.proposal(proposal),
        },
        (None, Some(call), _) => call_of(entry, call, names),
        (None, None, Some(program)) => names.program(program),
        (None, None, None) => "the exchange".to_owned(),
    }
}

struct Telling<'e, N> {
    entry: &'e Entry,
    names: &'e N,
}

impl<N: LogNames> Telling<'_, N> {
    fn of(&self, payload: &Payload) -> String {
        let (who, it) = (who(self.entry), about(self.entry, self.names));
        match payload {
            Payload::PartnerEnrolled(told) => format!("{who} enrolled the partner {}", told.partner),
            Payload::PartnerChanged(told) => format!("{who} replaced the partner card of {}", told.partner),
            Payload::PartnerSuspended(told) => {
                format!("{who} suspended {}: {}", told.partner, told.reason.as_str().replace('_', " "))
            }
            Payload::PartnerResumed(told) => format!("{who} let {} go on, which was suspended", told.partner),
            Payload::PartnerRemoved(told) => format!("{who} removed the partner {}", told.partner),
            Payload::ListsWaived(told) => {
                format!("{who} recorded that {} no longer publishes revocation lists", told.partner)
            }
            Payload::ClockAccepted(told) => {
                format!("{who} accepted that the log is ahead of the clock, until {}", self.names.instant(told.until.0))
            }
            Payload::KeyCardPublished(told) if told.is_active => {
                format!("{who} issued key card {} of {}", told.serial, told.member)
            }
            Payload::KeyCardPublished(told) => format!("{who} revoked the key card of {}", told.member),
            Payload::PolicyProposed(told) => {
                format!("{who} proposed version {} of {}", told.version, policies(&told.owner))
            }
            Payload::PolicyApproved(PolicyApproved { owner, version, effective_at, .. }) => {
                let from = effective_at.as_ref().map(|at| format!(", in force from {}", self.names.instant(at.0)));
                format!("{who} approved version {version} of {}{}", policies(owner), from.unwrap_or_default())
            }
            Payload::PolicyWithdrawn(told) => {
                format!("{who} withdrew version {} of {}", told.version, policies(&told.owner))
            }
            Payload::ProgramCreated(told) => {
                let others: Vec<_> = told.partners.iter().filter(|partner| **partner != told.lead).collect();
                let with = if others.is_empty() { String::new() } else { format!(", with {}", listed(&others)) };
                format!("{who} created {it}, led by {}{with}", told.lead)
            }
            Payload::CallDrafted(_) => format!("{who} drafted {it}"),
            Payload::CallEdited(_) => format!("{who} edited the draft of {it}"),
            Payload::CallDeleted(_) => format!("{who} deleted the draft of {it}"),
            Payload::CallPublished(_) => format!("{who} published {it}"),
            Payload::CallAmended(told) => amended(&who, &it, told),
            Payload::CallExtended(told) | Payload::ProposalExtended(told) => self.extended(&who, &it, told),
            Payload::ExtensionWithdrawn(told) | Payload::ProposalExtensionWithdrawn(told) => {
                format!("{who} took back extension {} of {it}: {}", told.number, told.reason)
            }
            Payload::CallCancelled(told) => format!("{who} cancelled {it}: {}", told.reason),
            Payload::CallReopened(told) => format!("{who} brought {it} back: {}", told.reason),
            Payload::CallClosed(_) => format!("{who} closed {it}"),
            Payload::RoleGranted(told) => {
                format!("{who} gave {} a role in {it}, who now has {}", told.member, roles(told))
            }
            Payload::RoleRevoked(told) if self.is_own(&told.member) => {
                format!("{who} laid down a role in {it}, and now has {}", roles(told))
            }
            Payload::RoleRevoked(told) => {
                format!("{who} took a role in {it} from {}, who now has {}", told.member, roles(told))
            }
            _ => self.of_proposal(payload, &who, &it),
        }
    }

    fn of_proposal(&self, payload: &Payload, who: &str, it: &str) -> String {
        match payload {
            Payload::ProposalCreated(told) => self.begun(who, it, told),
            Payload::MemberInvited(told) => format!("{who} asked {} to join {it}", told.member),
            Payload::InvitationWithdrawn(told) => format!("{who} withdrew the invitation of {} to {it}", told.member),
            Payload::InvitationDeclined(_) => format!("{who} declined to join {it}"),
            Payload::ConsentGiven(told) => format!("{who} consented that {} joins {it}", told.member),
            Payload::ConsentWithdrawn(told) => format!("{who} took back the consent that {} joins {it}", told.member),
            Payload::MemberJoined(_) => format!("{who} joined {it}"),
            Payload::MemberRemoved(told) if self.is_own(&told.member) => format!("{who} left {it}"),
            Payload::MemberRemoved(told) => format!("{who} took {} out of {it}", told.member),
            Payload::DocumentStored(told) => {
                format!("{who} uploaded {} to {it}", document(&told.slot, told.party.as_ref()))
            }
            Payload::DocumentRemoved(told) => {
                format!("{who} took {} out of {it}", document(&told.slot, told.party.as_ref()))
            }
            Payload::DocumentDropped(DocumentNamed { slot, party, .. }) => {
                format!("{who} dropped an earlier {} of {it}, which was replaced", document(slot, party.as_ref()))
            }
            Payload::ManifestSigned(told) => {
                format!("{who} signed version {} of {it} for {}", told.version, told.partner)
            }
            Payload::ProposalSubmitted(told) => {
                format!("{it} is submitted: version {} has every signature and every document", told.version)
            }
            Payload::LabelSigned(told) => format!("{who} signed label {} of {it} for {}", told.number, told.partner),
            Payload::LabelInForce(LabelInForce { label, .. }) => match label {
                Some(label) => format!("the label of {it} is now {label}"),
                None => format!("{it} is now without a label"),
            },
            Payload::WithdrawalWished(told) => format!("{who} asked for {} to withdraw {it}", told.partner),
            Payload::WithdrawalUnwished(told) => format!("{who} no longer asks for {} to withdraw {it}", told.partner),
            Payload::ProposalWithdrawn(_) => format!("{who} withdrew {it}"),
            Payload::ProposalReinstated(_) => format!("{who} brought {it} back"),
            Payload::VaultCreated(VaultCreated { kind, party, .. }) => {
                let party = party.as_ref().map(|party| format!(" of {party}")).unwrap_or_default();
                format!("{who} made the {kind} vault{party} for {it}")
            }
            Payload::KeyWrapped(told) => format!("{who} passed on a key for {it} to {}", told.holder),
            Payload::KeyRemoved(KeyRemoved { holder, discarded, .. }) => match discarded {
                Some(discarded) => {
                    format!("{who} discarded a key for {it} that {} had passed on", discarded.wrapped_by)
                }
                None => format!("{who} removed the keys of {holder} for {it}"),
            },
            Payload::KeyFetched(told) => {
                format!("{who} fetched {} for {it}", counted(told.keys.len() as u64, "key", "keys"))
            }
            _ => judged(payload, who, it),
        }
    }

    fn is_own(&self, member: &MemberId) -> bool {
        self.entry.actor.as_ref() == Some(member)
    }

    fn begun(&self, who: &str, it: &str, told: &ProposalCreated) -> String {
        let call = self.entry.call.map(|call| format!(" under {}", call_of(self.entry, call, self.names)));
        let call = call.unwrap_or_default();
        let parties: Vec<_> = told.parties.keys().collect();
        let topic = told.topic.as_ref().map(|topic| format!(", on {topic}")).unwrap_or_default();
        format!("{who} began {it}{call}, for {}{topic}", listed(&parties))
    }

    fn extended(&self, who: &str, it: &str, told: &ExtensionMade) -> String {
        let ExtensionMade { until, partner, reviews, reason, .. } = told;
        let what = if *reviews { "the date for reviews" } else { "the deadline" };
        let whose = partner.as_ref().map(|partner| format!(" for {partner}")).unwrap_or_default();
        format!("{who} moved {what} of {it}{whose} to {}: {reason}", self.names.instant(until.0))
    }
}

fn judged(payload: &Payload, who: &str, it: &str) -> String {
    match payload {
        Payload::DocumentFetched(told) => {
            format!("{who} fetched {} of {it}", document(&told.slot, told.party.as_ref()))
        }
        Payload::ConflictDeclared(told) => {
            let ground = told.ground.as_ref().map(|ground| format!(" ({ground})")).unwrap_or_default();
            format!("{who} declared a conflict of interest{ground} with {it}")
        }
        Payload::ClearDeclared(_) => format!("{who} declared to have no conflict of interest with {it}"),
        Payload::ConflictLifted(told) => {
            format!("{who} lifted the conflict of {} with {it}: {}", told.member, told.reason)
        }
        Payload::ReviewerAssigned(told) => format!("{who} assigned {} to review {it}", told.reviewer),
        Payload::ReviewerUnassigned(told) => format!("{who} took the assignment of {it} from {}", told.reviewer),
        Payload::AssignmentDeclined(told) => {
            let reason = told.reason.map(|reason| format!(" ({})", reason.in_words())).unwrap_or_default();
            format!("{who} declined to review {it}{reason}")
        }
        Payload::AssignmentResumed(_) => format!("{who} is to review {it} after all, having declined it"),
        Payload::ReviewSubmitted(told) if told.revision > 1 => {
            format!("{who} handed in revision {} of the review of {it}", told.revision)
        }
        Payload::ReviewSubmitted(_) => format!("{who} handed in the review of {it}"),
        Payload::ReviewReopened(told) => {
            format!("{who} reopened the review of {it} by {}: {}", told.reviewer, told.reason)
        }
        Payload::ReviewReinstated(told) => {
            format!("{who} took back the reopening of the review of {it} by {}: {}", told.reviewer, told.reason)
        }
        Payload::ReviewFetched(told) => format!("{who} fetched the review of {it} by {}", told.reviewer),
        Payload::RankingSent(told) => {
            let instead = if told.in_place_of.is_some() { ", in place of an earlier one" } else { "" };
            format!("{who} sent those who decide the line of the ranking about {it}{instead}")
        }
        Payload::RankingWithdrawn(_) => format!("{who} took back the line of the ranking about {it}"),
        Payload::RankingFetched(_) => format!("{who} fetched the line of the ranking about {it}"),
        Payload::DecisionSigned(DecisionSigned { outcome, partner, in_place_of, .. }) => {
            let instead = in_place_of.as_ref().map(|member| format!(", in place of {member}")).unwrap_or_default();
            format!("{who} signed the decision `{outcome}` on {it} for {partner}{instead}")
        }
        Payload::DecisionUnsigned(told) => {
            format!("{who} took back the signature of {} under the decision on {it}", told.partner)
        }
        Payload::DecisionWithdrawn(_) => format!("{who} took back the last signature: nothing is proposed for {it}"),
        Payload::DecisionFinal(DecisionFinal { outcome, superseded, .. }) => {
            let instead = superseded.as_ref().map(|superseded| match &superseded.reason {
                Some(reason) => format!(", in place of an earlier decision: {reason}"),
                None => ", in place of an earlier decision".to_owned(),
            });
            format!("the decision on {it} is final: `{outcome}`{}", instead.unwrap_or_default())
        }
        Payload::LetterSent(LetterSent { party: Some(party), .. }) => {
            format!("{who} sent {party}, a party of {it}, a letter of its own")
        }
        Payload::LetterSent(_) => format!("{who} sent the parties of {it} a letter"),
        Payload::LetterWithdrawn(_) => format!("{who} took back a letter about {it}"),
        Payload::LetterFetched(_) => format!("{who} fetched a letter about {it}"),
        // The others are about the exchange, a call or what the parties do.
        other => format!("{who}: {}, on {it}", other.kind()),
    }
}

fn amended(who: &str, it: &str, told: &CallAmended) -> String {
    let CallAmended { version, effect, voids, reason, .. } = told;
    let effect = match effect {
        AmendmentEffect::Keeps => "what was handed in stands".to_owned(),
        AmendmentEffect::Resubmit => {
            format!("{} to be handed in again", counted(*voids, "proposal has", "proposals have"))
        }
    };
    format!("{who} amended {it} to version {version}, {effect}: {reason}")
}

/// The roles that a member has from then on.
fn roles(told: &RolesChanged) -> String {
    let roles: Vec<_> = told.roles.iter().collect();
    match roles.len() {
        0 => "no role".to_owned(),
        1 => format!("the role {}", listed(&roles)),
        _ => format!("the roles {}", listed(&roles)),
    }
}

fn policies(owner: &PolicyOwner) -> String {
    match owner {
        PolicyOwner::Guardrails => "the guardrails".to_owned(),
        PolicyOwner::Partner(code) => format!("the policies of {code}"),
    }
}

fn document(slot: &Slug, party: Option<&PartnerCode>) -> String {
    party.map_or_else(|| format!("`{slot}`"), |party| format!("`{slot}` of {party}"))
}

/// `a`, `a and b`, `a, b and c`.
fn listed<T: Display>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(ToString::to_string).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Plain;

    impl LogNames for Plain {
        fn call(&self, _: CallId) -> String {
            "the call".to_owned()
        }

        fn proposal(&self, _: ProposalId) -> String {
            "the proposal".to_owned()
        }

        fn instant(&self, at: Timestamp) -> String {
            at.to_string()
        }
    }

    fn told(kind: &str, payload: &serde_json::Value) -> String {
        let entry: Entry = serde_json::from_value(json!({
            "seq": 1, "at": "2026-04-01T15:00:00Z", "kind": kind, "actor": "ISR:avi",
            "call": "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "proposal": "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
            "payload": payload.to_string(), "salt": "",
        }))
        .unwrap();
        sentence(&entry, &Plain)
    }

    #[test]
    fn entry_says_who_did_what_to_which() {
        let named = json!({ "member": "ISR:avi" });
        assert_eq!(told("proposal.member_removed", &named), "ISR:avi left the proposal");
        let named = json!({ "member": "ISR:gal" });
        assert_eq!(told("proposal.member_removed", &named), "ISR:avi took ISR:gal out of the proposal");
        assert_eq!(told("proposal.withdrawn", &json!({})), "ISR:avi withdrew the proposal");
        let role = json!({ "member": "ISR:gal", "roles": ["officer", "reviewer"], "statement": null });
        assert!(told("call.role_granted", &role).ends_with("the roles officer and reviewer"));
        let none = json!({ "member": "ISR:gal", "roles": [], "statement": null });
        assert!(told("call.role_revoked", &none).ends_with("from ISR:gal, who now has no role"));
    }

    #[test]
    fn every_kind_has_a_sentence_of_its_own() {
        for (payload, fields) in crate::wire::entry::payloads::tests::samples() {
            let kind = payload.kind();
            let said = told(kind.as_str(), &fields);
            assert!(!said.contains(kind.as_str()), "{said}");
        }
    }

    #[test]
    fn entry_of_an_earlier_version_says_its_kind() {
        let said = told("manifest.signed", &json!({ "another": "form" }));
        assert_eq!(said, "ISR:avi: manifest.signed, on the proposal");
    }
}
