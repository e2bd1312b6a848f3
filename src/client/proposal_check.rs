//! What is still missing of a proposal, by whom: slots, signatures, bytes, invitations that nobody has answered, versions that an
//! amendment voided. For its parties, before the deadline.

use super::{
    Client, ClientError, Result,
    opening::working,
    verified::VersionChoice,
    version_changes::{SlotChange, changed_slots},
};
use crate::{
    domain::{
        call::{Audience, CallText},
        id::{MemberId, PartnerCode, ProposalId, Slug},
        proposal::Status,
        reference::Reference,
    },
    wire::{
        Time,
        proposal::{Document, Place, Proposal},
    },
};
use serde::Serialize;
use std::collections::BTreeSet;

/// What is missing of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProposalCheck {
    pub proposal: ProposalId,
    pub reference: Reference,
    pub status: Status,
    /// The last instant for signatures.
    pub deadline_at: Time,
    /// The last instant for the bytes of a version that every party signed.
    pub grace_until: Time,
    /// Whether a version stands and nothing is missing of what was signed since.
    pub is_complete: bool,
    pub parties: Vec<PartyCheck>,
    /// What was put in, replaced or taken out since the newest version that somebody signed: no signature covers it.
    pub unsigned: Vec<SlotChange>,
}

/// What one party has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartyCheck {
    pub party: PartnerCode,
    /// Its time zone, by the partner card that is pinned here.
    pub zone: Option<String>,
    pub members: BTreeSet<MemberId>,
    pub missing: Vec<MissingPart>,
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingPart {
    pub what: MissingKind,
    /// Who can do it; none: nobody has joined the party yet.
    pub who: BTreeSet<MemberId>,
    /// What they type.
    pub command: String,
}

/// Of which kind it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MissingKind {
    /// A required slot is empty. One without a party may be filled by any of them.
    Slot { slot: Slug, is_shared: bool },
    /// The party has not signed this version, or, without one, nobody has signed anything.
    Signature { version: Option<u32> },
    /// A version that an amendment voided is to be signed again.
    SignatureAgain { version: u32, since: Time, reason: Option<String> },
    /// Bytes that a signed version names are not with the exchange.
    Bytes { slot: Slug, is_shared: bool },
    /// The invitation is not accepted.
    Acceptance,
}

impl Client {
    /// What is missing of a proposal that the member is a party of.
    pub async fn check_proposal(&self, id: ProposalId) -> Result<ProposalCheck> {
        let proposal = self.api().proposal(id).await?;
        if !proposal.mine.is_party && !proposal.mine.is_invited {
            return Err(ClientError::usage(
                "you are not a party of this proposal",
                "its parties check it; `entente proposal status` shows you what you may know",
            ));
        }
        let call = self.call(proposal.call).await?;
        let (documents, vaults) = (self.api().documents(id).await?, self.api().vaults(id).await?);
        let unsigned = if proposal.version.is_some() || proposal.pending.is_some() {
            let newest = self.verified_manifest(&proposal, &call, &vaults, VersionChoice::Newest).await?.manifest;
            let awaited = |change: &SlotChange| {
                let places = proposal.pending.iter().flat_map(|pending| &pending.awaiting_documents);
                places.into_iter().any(|place| place.slot == change.slot && place.party == change.party)
            };
            let mut changes = changed_slots(&newest.documents, &working(&documents, &vaults));
            changes.retain(|change| !awaited(change));
            changes
        } else {
            Vec::new()
        };
        let mut zones = std::collections::BTreeMap::new();
        for party in proposal.parties.keys() {
            if let Some(pinned) = self.home().pinned(party)? {
                zones.insert(party.clone(), pinned.card.zone);
            }
        }
        let parties: Vec<PartyCheck> = proposal
            .parties
            .iter()
            .map(|(party, members)| PartyCheck {
                party: party.clone(),
                zone: zones.get(party).cloned(),
                members: members.clone(),
                missing: missing_of(&proposal, party, &documents, &call.rules, !unsigned.is_empty()),
            })
            .collect();
        let is_complete = proposal.status == Status::Submitted
            && unsigned.is_empty()
            && parties.iter().all(|party| party.missing.is_empty());
        Ok(ProposalCheck {
            proposal: id,
            reference: proposal.reference.clone(),
            status: proposal.status,
            deadline_at: proposal.deadline_at,
            grace_until: proposal.grace_until,
            is_complete,
            parties,
            unsigned,
        })
    }
}

/// Required slots that hold nothing; restricted ones are asked of each party.
#[must_use]
pub fn empty_slots(proposal: &Proposal, documents: &[Document], rules: &CallText) -> Vec<Place> {
    let holds = |slot: &Slug, party: Option<&PartnerCode>| {
        documents.iter().any(|document| document.slot == *slot && document.party.as_ref() == party)
    };
    let mut empty = Vec::new();
    for slot in rules.all_slots().into_iter().filter(|slot| slot.required) {
        let owners: Vec<Option<PartnerCode>> = match slot.audience {
            Audience::Panel => vec![None],
            Audience::Staff => proposal.parties.keys().cloned().map(Some).collect(),
        };
        let missing = owners.into_iter().filter(|party| !holds(&slot.name, party.as_ref()));
        empty.extend(missing.map(|party| Place { slot: slot.name.clone(), party }));
    }
    empty
}

/// What a party has to do, the first thing first.
fn missing_of(
    proposal: &Proposal,
    party: &PartnerCode,
    documents: &[Document],
    rules: &CallText,
    has_unsigned: bool,
) -> Vec<MissingPart> {
    let reference = &proposal.reference;
    let members = &proposal.parties[party];
    let by_members = |what, command| MissingPart { what, who: members.clone(), command };
    let is_its = |place: &&Place| place.party.as_ref().is_none_or(|owner| owner == party);
    let mut missing: Vec<MissingPart> = proposal
        .invited
        .iter()
        .filter(|member| member.partner() == party)
        .map(|member| MissingPart {
            what: MissingKind::Acceptance,
            who: [member.clone()].into(),
            command: format!("entente proposal accept {reference}"),
        })
        .collect();
    if !matches!(proposal.status, Status::Preparing | Status::Committed | Status::Submitted) {
        return missing;
    }
    let empty = empty_slots(proposal, documents, rules);
    // After the parties committed to a version, only its very bytes are still missing.
    let is_open = proposal.status != Status::Committed;
    for place in empty.iter().filter(is_its).filter(|_| is_open) {
        let command = if place.slot.as_str() == crate::domain::call::SUMMARY_SLOT {
            format!("entente proposal summary {reference} --file FILE")
        } else {
            format!("entente proposal put {reference} {} FILE", place.slot)
        };
        let what = MissingKind::Slot { slot: place.slot.clone(), is_shared: place.party.is_none() };
        missing.push(by_members(what, command));
    }
    let sign = || format!("entente proposal sign {reference}");
    match (&proposal.pending, &proposal.void) {
        (Some(pending), _) if pending.awaiting_signatures.contains(party) => {
            missing.push(by_members(MissingKind::Signature { version: Some(pending.version) }, sign()));
        }
        (None, Some(void)) => {
            let what =
                MissingKind::SignatureAgain { version: void.version, since: void.since, reason: void.reason.clone() };
            missing.push(by_members(what, sign()));
        }
        (None, None) if proposal.version.is_none() || has_unsigned => {
            missing.push(by_members(MissingKind::Signature { version: None }, sign()));
        }
        _ => {}
    }
    let awaited = proposal.pending.iter().flat_map(|pending| &pending.awaiting_documents);
    for place in awaited.filter(is_its) {
        let what = MissingKind::Bytes { slot: place.slot.clone(), is_shared: place.party.is_none() };
        missing.push(by_members(what, format!("entente proposal resume {reference}")));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{call, proposal};
    use serde_json::json;

    fn stored(slots: &[(&str, Option<&str>)]) -> Vec<Document> {
        let document = |(slot, party): &(&str, Option<&str>)| {
            serde_json::from_value(json!({
                "id": "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "slot": slot, "party": party,
                "vault": "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "sha256": "0".repeat(64), "size": 1,
                "media_type": "application/pdf", "uploaded_by": "ISR:avi", "uploaded_at": "2026-03-05T00:00:00Z",
            }))
            .unwrap()
        };
        slots.iter().map(document).collect()
    }

    fn said(proposal: &Proposal, party: &str, documents: &[Document]) -> Vec<String> {
        let missing = missing_of(proposal, &party.parse().unwrap(), documents, &call().rules, false);
        missing.into_iter().map(|part| part.command.replace("entente proposal ", "")).collect()
    }

    #[test]
    fn each_party_hears_what_is_missing_of_its_own_and_of_all() {
        let mut preparing = proposal();
        (preparing.status, preparing.invited) = (Status::Preparing, ["USA:bob".parse().unwrap()].into());
        let documents = stored(&[("plan", None), ("owners", Some("ISR"))]);
        let reference = &preparing.reference;
        assert_eq!(
            said(&preparing, "ISR", &documents),
            [format!("summary {reference} --file FILE"), format!("sign {reference}")]
        );
        assert_eq!(
            said(&preparing, "USA", &documents),
            [
                format!("accept {reference}"),
                format!("summary {reference} --file FILE"),
                format!("put {reference} owners FILE"),
                format!("sign {reference}")
            ]
        );
    }

    #[test]
    fn signature_is_missed_of_whom_the_version_waits_for_and_bytes_of_whose_they_are() {
        let all = stored(&[("summary", None), ("plan", None), ("owners", Some("ISR")), ("owners", Some("USA"))]);
        let mut waiting = proposal();
        waiting.status = Status::Preparing;
        waiting.pending = Some(
            serde_json::from_value(json!({
                "version": 1, "manifest_sha256": "0".repeat(64), "signed_by": ["ISR"], "awaiting_signatures": ["USA"],
                "awaiting_documents": [{ "slot": "owners", "party": "ISR" }],
            }))
            .unwrap(),
        );
        let reference = waiting.reference.clone();
        assert_eq!(said(&waiting, "USA", &all), [format!("sign {reference}")]);
        assert_eq!(said(&waiting, "ISR", &all), [format!("resume {reference}")]);
        let mut stands = proposal();
        stands.version = Some(1);
        assert!(said(&stands, "ISR", &all).is_empty() && said(&stands, "USA", &all).is_empty());
        let mut voided = proposal();
        (voided.status, voided.void) = (
            Status::Preparing,
            Some(
                serde_json::from_value(json!({ "version": 1, "since": "2026-03-20T00:00:00Z", "reason": "slots" }))
                    .unwrap(),
            ),
        );
        let missing = missing_of(&voided, &"ISR".parse().unwrap(), &all, &call().rules, false);
        assert!(matches!(&missing[..], [MissingPart { what: MissingKind::SignatureAgain { version: 1, .. }, .. }]));
    }
}
