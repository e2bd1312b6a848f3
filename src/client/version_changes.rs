//! What changed between two versions of a proposal: each verified by itself, and then slot by slot, label and summary.
//!
//! Digests are of ciphertexts, as the parties signed them: the same file sealed again has another. Who put a file in and when is the exchange's
//! word.

use super::{
    Client, ClientError, Result, blocking,
    labels::LabelChange,
    log::{LogFilter, LogReader},
    opening::working,
    proposals::{MAX_SUMMARY, Summary},
    verified::VersionChoice,
    verify::invalid,
};
use crate::{
    domain::{
        call::SUMMARY_SLOT,
        entry::EntryKind,
        id::{MemberId, PartnerCode, ProposalId, Sha256, Slug},
        label::Label,
        reference::Reference,
        vault::VaultKind,
    },
    sealing::{seal::open_bytes, statement::ManifestDocument},
    wire::{
        Time,
        entry::payloads::{DocumentStored, Payload},
    },
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Two versions, and what of them differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionComparison {
    pub proposal: ProposalId,
    pub reference: Reference,
    pub before: ComparedVersion,
    pub after: ComparedVersion,
    /// Slots that hold something else.
    pub slots: Vec<SlotChange>,
    /// How many are as they were.
    pub unchanged: usize,
    /// None where both have the same, or one of them is not signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelChange>,
    pub summary: SummaryChange,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedVersion {
    /// None for what is uploaded and signed by nobody.
    pub version: Option<u32>,
    pub manifest_sha256: Option<Sha256>,
    /// The text of the call that it was made under.
    pub call_text_sha256: Option<Sha256>,
    pub signed_by: BTreeMap<PartnerCode, MemberId>,
}

/// A slot that holds something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotChange {
    pub slot: Slug,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<PartnerCode>,
    /// None where it was empty.
    pub before: Option<SlotContent>,
    /// None where it is empty now.
    pub after: Option<SlotContent>,
}

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotContent {
    pub sha256: Sha256,
    pub size: u64,
    pub media_type: String,
    /// By the exchange's log; none where it says nothing of it to this member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put: Option<PutIn>,
}

/// Who put a file in, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PutIn {
    pub by: MemberId,
    pub at: Time,
}

/// What of the summary changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SummaryChange {
    /// The very same file, or another one that says the same.
    Same,
    Changed {
        fields: Vec<SummaryFieldChange>,
    },
    /// One of the two is not open here: why.
    Closed {
        why: String,
    },
}

/// A field of the summary that says something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SummaryFieldChange {
    pub field: String,
    pub before: String,
    pub after: String,
}

/// One side of a comparison.
struct Side {
    version: ComparedVersion,
    documents: Vec<ManifestDocument>,
    /// None for what nobody has signed, too.
    label: Option<Label>,
}

impl Client {
    /// What changed from one version to another.
    pub async fn compare_versions(
        &self,
        id: ProposalId,
        before: VersionChoice,
        after: VersionChoice,
    ) -> Result<VersionComparison> {
        let reference = self.api().proposal(id).await?.reference;
        let (before, after) = (self.side(id, before).await?, self.side(id, after).await?);
        let mut slots = changed_slots(&before.documents, &after.documents);
        let stored = if slots.is_empty() { Vec::new() } else { self.stored(id).await? };
        note_who_put_in(&stored, &mut slots);
        let places = |documents: &[ManifestDocument]| -> BTreeSet<_> {
            documents.iter().map(|document| (document.slot.clone(), document.party.clone())).collect()
        };
        let all = places(&before.documents).union(&places(&after.documents)).count();
        let summary = self.summary_change(id, (&before, &after), &stored).await?;
        let are_signed = before.version.version.is_some() && after.version.version.is_some();
        let label = (are_signed && before.label != after.label)
            .then_some(LabelChange { before: before.label, after: after.label });
        Ok(VersionComparison {
            proposal: id,
            reference,
            before: before.version,
            after: after.version,
            unchanged: all - slots.len(),
            slots,
            label,
            summary,
        })
    }

    async fn side(&self, id: ProposalId, choice: VersionChoice) -> Result<Side> {
        if choice == VersionChoice::Working {
            let (documents, vaults) = (self.api().documents(id).await?, self.api().vaults(id).await?);
            let version = ComparedVersion {
                version: None,
                manifest_sha256: None,
                call_text_sha256: None,
                signed_by: BTreeMap::new(),
            };
            return Ok(Side { version, documents: working(&documents, &vaults), label: None });
        }
        let verified = self.manifest(id, choice).await?;
        let manifest = verified.manifest;
        let version = ComparedVersion {
            version: Some(manifest.version),
            manifest_sha256: Some(verified.sha256),
            call_text_sha256: Some(manifest.call_text_sha256),
            signed_by: verified.signed_by,
        };
        Ok(Side { version, documents: manifest.documents, label: manifest.label })
    }

    /// What was put into the proposal, and by whom, as far as the log says it to this member.
    async fn stored(&self, id: ProposalId) -> Result<Vec<(DocumentStored, MemberId)>> {
        let filter =
            LogFilter { kinds: [EntryKind::DocumentStored].into(), proposals: [id].into(), ..LogFilter::default() };
        let read = LogReader::new(filter, None).rest(self.api(), usize::MAX, Duration::ZERO).await?;
        let stored = read.entries.into_iter().filter_map(|entry| {
            match (Payload::parse(entry.kind, &entry.payload), entry.actor) {
                (Ok(Payload::DocumentStored(stored)), Some(by)) => Some((stored, by)),
                _ => None,
            }
        });
        Ok(stored.collect())
    }

    async fn summary_change(
        &self,
        id: ProposalId,
        (before, after): (&Side, &Side),
        stored: &[(DocumentStored, MemberId)],
    ) -> Result<SummaryChange> {
        let of = |side: &Side| side.documents.iter().find(|document| document.slot.as_str() == SUMMARY_SLOT).cloned();
        let (one, other) = (of(before), of(after));
        if one == other {
            return Ok(SummaryChange::Same);
        }
        let mut read = Vec::new();
        for (side, document) in [(before, one), (after, other)] {
            let which = side.version.version.map_or("what is uploaded".into(), |number| format!("version {number}"));
            let Some(document) = document else {
                return Ok(SummaryChange::Closed { why: format!("there is no summary in {which}") });
            };
            match self.summary_in(id, &document, stored).await {
                Ok(summary) => read.push(summary),
                Err(error @ (ClientError::Transport { .. } | ClientError::Unverified { .. })) => return Err(error),
                Err(error) => {
                    return Ok(SummaryChange::Closed { why: format!("the summary of {which} is not shown: {error}") });
                }
            }
        }
        let fields = changed_fields(&read[0], &read[1]);
        Ok(if fields.is_empty() { SummaryChange::Same } else { SummaryChange::Changed { fields } })
    }

    /// A summary that a version names: one that was replaced since is no longer in the list of documents, and its parties can fetch it still.
    async fn summary_in(
        &self,
        id: ProposalId,
        document: &ManifestDocument,
        stored: &[(DocumentStored, MemberId)],
    ) -> Result<Summary> {
        let held = stored.iter().rev().find(|(stored, _)| stored.sha256 == document.sha256);
        let (held, _) = held.ok_or_else(|| {
            ClientError::not_shown("the log shows you nothing of it", "its parties can compare the versions")
        })?;
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        let vault = self.find_vault(&vaults, VaultKind::Panel, None, &proposal, &call).await?;
        let vault = vault
            .filter(|vault| vault.vault.id == document.vault && vault.statement.recipient == document.recipient)
            .ok_or_else(|| invalid("the vault of the summary is not the one that was signed for"))?;
        let secret = self.open_vault(&vault, &call).await?;
        let sealed = Arc::new(Mutex::new(Vec::new()));
        // Not a byte more than was signed, and that of a summary is little.
        let most = document.size.min(2 * MAX_SUMMARY as u64);
        let fetched = self.api().ciphertext(id, held.document, most, |piece| {
            sealed.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece);
            async { Ok(()) }
        });
        fetched.await?;
        let sealed = std::mem::take(&mut *sealed.lock().unwrap_or_else(PoisonError::into_inner));
        if Sha256::of(&sealed) != document.sha256 {
            return Err(invalid("the summary that the exchange sent is another one than was signed"));
        }
        blocking(move || {
            let text = open_bytes(&[secret.identity()], &sealed, MAX_SUMMARY)?;
            // What is wrong with it is not repeated: the message could hold a piece of it.
            serde_json::from_slice(&text)
                .map_err(|_| ClientError::local("the summary is malformed", "open it as a document instead"))
        })
        .await
    }
}

/// Notes who put each of them in and when.
fn note_who_put_in(stored: &[(DocumentStored, MemberId)], slots: &mut [SlotChange]) {
    for (stored, by) in stored {
        let there = slots.iter_mut().filter(|change| change.slot == stored.slot && change.party == stored.party);
        let there = there.flat_map(|change| change.before.iter_mut().chain(change.after.iter_mut()));
        for content in there.filter(|content| content.sha256 == stored.sha256) {
            content.put = Some(PutIn { by: by.clone(), at: stored.arrived_at });
        }
    }
}

/// The slots that hold something else, in the order of their names.
#[must_use]
pub(super) fn changed_slots(before: &[ManifestDocument], after: &[ManifestDocument]) -> Vec<SlotChange> {
    let by_place = |documents: &[ManifestDocument]| -> BTreeMap<(Slug, Option<PartnerCode>), SlotContent> {
        let content = |document: &ManifestDocument| SlotContent {
            sha256: document.sha256,
            size: document.size,
            media_type: document.media_type.clone(),
            put: None,
        };
        documents.iter().map(|each| ((each.slot.clone(), each.party.clone()), content(each))).collect()
    };
    let (mut before, mut after) = (by_place(before), by_place(after));
    let places: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    let changes = places.into_iter().filter_map(|place| {
        let (before, after) = (before.remove(&place), after.remove(&place));
        (before != after).then_some(SlotChange { slot: place.0, party: place.1, before, after })
    });
    changes.collect()
}

/// The fields of a summary that say something else.
fn changed_fields(before: &Summary, after: &Summary) -> Vec<SummaryFieldChange> {
    let lines = |summary: &Summary| -> [(&'static str, String); 4] {
        let team = summary.team.iter().map(|member| {
            let role = member.role.as_deref().map(|role| format!(", {role}")).unwrap_or_default();
            format!("{}, {}{role}", member.name, member.organisation)
        });
        let budget = summary.budget.iter().map(|line| {
            let party = line.party.as_ref().map(|party| format!(" ({party})")).unwrap_or_default();
            format!("{}{party}: {} {}", line.item, line.amount, line.currency)
        });
        let joined = |lines: Vec<String>| lines.join("\n");
        [
            ("title", summary.title.clone()),
            ("abstract", summary.abstract_text.clone()),
            ("team", joined(team.collect())),
            ("budget", joined(budget.collect())),
        ]
    };
    let pairs = lines(before).into_iter().zip(lines(after));
    let changed = pairs.filter(|((_, before), (_, after))| before != after);
    changed.map(|((field, before), (_, after))| SummaryFieldChange { field: field.to_owned(), before, after }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(slot: &str, party: Option<&str>, content: &str) -> ManifestDocument {
        ManifestDocument {
            slot: slot.parse().unwrap(),
            party: party.map(|party| party.parse().unwrap()),
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            recipient: "age1".into(),
            sha256: Sha256::of(content.as_bytes()),
            size: 5,
            media_type: "application/pdf".into(),
        }
    }

    #[test]
    fn slots_that_were_added_replaced_and_emptied_are_named() {
        let before = [document("owners", Some("ISR"), "a"), document("plan", None, "b"), document("old", None, "c")];
        let after = [document("owners", Some("USA"), "a"), document("plan", None, "x"), document("old", None, "c")];
        let named: Vec<String> = changed_slots(&before, &after)
            .into_iter()
            .map(|SlotChange { slot, party, before, after }| {
                let party = party.map(|party| party.to_string()).unwrap_or_default();
                format!("{slot} {party} {} {}", before.is_some(), after.is_some())
            })
            .collect();
        assert_eq!(named, ["owners ISR true false", "owners USA false true", "plan  true true"]);
        assert!(changed_slots(&after, &after).is_empty());
    }
}
