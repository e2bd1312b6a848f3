//! Compares what several parties sign with their signatures: versions, labels and decisions; and the texts of calls.

use super::{Named, Verifier, document_key, signed::Signatures};
use crate::{
    domain::id::{PartnerCode, Sha256},
    sealing::statement::{LabelStatement, Manifest, decision_digest},
    service::Result,
    storage::{
        StoreError,
        db::tables::{
            Column,
            ColumnKind::{Int, Text},
            Snapshot,
        },
    },
    wire::call::CallText,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A complete version, and what it names documents by.
pub(super) struct Complete {
    pub(super) what: String,
    pub(super) documents: Vec<Sha256>,
}

/// The parties of each proposal, which never change.
type Parties = HashMap<String, BTreeSet<PartnerCode>>;

/// The required signers of a call's decisions, by each of its texts and the instant from which it counted.
pub(super) struct Funders {
    calls: HashMap<String, String>,
    texts: HashMap<String, Vec<(i64, BTreeSet<PartnerCode>)>>,
}

impl Funders {
    /// Those of the text that was in force when a decision on the proposal became final. A text that came at the same instant may have
    /// come before it or after it, so there can be several, of which one is enough. None of a call without any text.
    fn at(&self, proposal: &str, at: i64) -> Vec<&BTreeSet<PartnerCode>> {
        let Some(texts) = self.calls.get(proposal).and_then(|call| self.texts.get(call)) else { return Vec::new() };
        let before = texts.iter().rfind(|(since, _)| *since < at);
        let same = texts.iter().filter(|(since, _)| *since == at);
        before.into_iter().chain(same).map(|(_, funders)| funders).collect()
    }
}

const MANIFESTS: &[Column] = &[
    ("proposal_id", Text),
    ("version", Int),
    ("sha256", Text),
    ("body", Text),
    ("committed_at", Int),
    ("complete_at", Int),
];

const LABELS: &[Column] = &[
    ("proposal_id", Text),
    ("number", Int),
    ("manifest_sha256", Text),
    ("sha256", Text),
    ("body", Text),
    ("in_force_at", Int),
];

const DECISIONS: &[Column] = &[
    ("decision_id", Text),
    ("proposal_id", Text),
    ("outcome", Text),
    ("manifest_sha256", Text),
    ("final_at", Int),
    ("supersedes", Text),
    ("reason", Text),
];

/// The schema from which on decisions say what they supersede and why.
const SUPERSEDING: i64 = 14;

const CALL_TEXTS: &[Column] = &[("call_id", Text), ("version", Int), ("text_json", Text), ("published_at", Int)];

const PROPOSALS: &[Column] = &[("proposal_id", Text), ("call_id", Text)];

const NUMBERS: &[Column] = &[("proposal_id", Text), ("number", Text)];

const CALLS: &[Column] = &[("call_id", Text), ("text_json", Text), ("text_sha256", Text), ("code", Text)];

/// The schema from which on calls have codes and proposals numbers.
const REFERENCES: i64 = 26;

impl Verifier<'_> {
    /// Every version and label is what its parties signed, all of them where it counts; the versions that are complete.
    pub(super) async fn versions(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        signatures: &Signatures,
    ) -> Result<Vec<Complete>> {
        let (mut complete, mut parties, mut numbers) = (Vec::new(), Parties::new(), HashMap::new());
        let report = &mut self.report;
        if report.verified.state.schema >= REFERENCES {
            snapshot
                .each("proposals", &NUMBERS[..1], NUMBERS, |cells| {
                    let row = Named { columns: NUMBERS, cells: &cells };
                    numbers.insert(row.text("proposal_id").to_owned(), row.text("number").to_owned());
                    Ok::<_, StoreError>(())
                })
                .await?;
        }
        snapshot
            .each("manifests", &MANIFESTS[..2], MANIFESTS, |cells| {
                let row = Named { columns: MANIFESTS, cells: &cells };
                let proposal = row.text("proposal_id");
                let what = format!("version {} of proposal {proposal}", row.int("version"));
                match manifest(&row, signatures) {
                    Ok(manifest)
                        if numbers.get(proposal).is_some_and(|number| number != manifest.reference.number()) =>
                    {
                        report.found(what, "its manifest names another reference than the proposal has");
                    }
                    Ok(manifest) => {
                        if row.cell("complete_at").is_some() {
                            let documents = manifest.documents.iter().map(|named| {
                                let (party, vault) = (named.party.as_ref(), named.vault.to_string());
                                let place = [named.slot.as_str(), party.map_or("", PartnerCode::as_str), &vault];
                                document_key(proposal, place, &named.sha256, named.size)
                            });
                            complete.push(Complete { what, documents: documents.collect() });
                        }
                        parties.insert(proposal.to_owned(), manifest.parties);
                    }
                    Err(fault) => report.found(what, fault),
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        snapshot
            .each("label_statements", &LABELS[..2], LABELS, |cells| {
                let row = Named { columns: LABELS, cells: &cells };
                if let Err(fault) = label(&row, signatures, &parties) {
                    let what = format!("label {} of proposal {}", row.int("number"), row.text("proposal_id"));
                    report.found(what, fault);
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(complete)
    }

    /// The required signers of decisions. A text that cannot be read is found by [`Verifier::signed`].
    pub(super) async fn funders(&mut self, snapshot: &mut Snapshot<'_>) -> Result<Funders> {
        let mut funders = Funders { calls: HashMap::new(), texts: HashMap::new() };
        snapshot
            .each("call_texts", &CALL_TEXTS[..2], CALL_TEXTS, |cells| {
                let row = Named { columns: CALL_TEXTS, cells: &cells };
                if let Ok(text) = serde_json::from_str::<CallText>(row.text("text_json")) {
                    let of_call = funders.texts.entry(row.text("call_id").to_owned()).or_default();
                    of_call.push((row.int("published_at"), text.funders));
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        snapshot
            .each("proposals", &PROPOSALS[..1], PROPOSALS, |cells| {
                let row = Named { columns: PROPOSALS, cells: &cells };
                funders.calls.insert(row.text("proposal_id").to_owned(), row.text("call_id").to_owned());
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(funders)
    }

    /// Every decision is what its signatures say, and a final one has those of the call's funders.
    pub(super) async fn decisions(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        signatures: &Signatures,
        funders: &Funders,
    ) -> Result<()> {
        let report = &mut self.report;
        let columns = if report.verified.state.schema < SUPERSEDING { &DECISIONS[..5] } else { DECISIONS };
        snapshot
            .each("decisions", &columns[..1], columns, |cells| {
                let row = Named { columns, cells: &cells };
                let of_all = signatures.get(&("decision_signatures", row.text("decision_id").to_owned()));
                let what = format!("decision {} on proposal {}", row.text("decision_id"), row.text("proposal_id"));
                let supersedes = row.cell("supersedes").map(|_| row.text("supersedes"));
                let reason = row.cell("reason").map(|_| row.text("reason"));
                let (proposal, manifest) = (row.text("proposal_id"), row.text("manifest_sha256"));
                let digest = decision_digest(proposal, manifest, row.text("outcome"), supersedes, reason);
                if let Err(fault) = agree(of_all, &digest, None) {
                    report.found(what, fault);
                } else if row.cell("final_at").is_some() {
                    let asked = funders.at(row.text("proposal_id"), row.int("final_at"));
                    let answers: Vec<_> = asked.iter().map(|funders| agree(of_all, &digest, Some(funders))).collect();
                    if answers.is_empty() {
                        report.found(what, "is final and its call has no text that says who decides");
                    } else if let Some(fault) = answers.into_iter().reduce(Result::or).and_then(Result::err) {
                        report.found(what, format!("is final and {fault}"));
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(())
    }

    /// The text of every call, drafts too, has the digest it is known by.
    pub(super) async fn texts(&mut self, snapshot: &mut Snapshot<'_>) -> Result<()> {
        let report = &mut self.report;
        let has_code = report.verified.state.schema >= REFERENCES;
        let columns = if has_code { CALLS } else { &CALLS[..3] };
        snapshot
            .each("calls", &columns[..1], columns, |cells| {
                let row = Named { columns, cells: &cells };
                let what = || format!("the text of call {}", row.text("call_id"));
                if !row.has_digest("text_json", "text_sha256") {
                    report.found(what(), "does not have the digest on record");
                } else if has_code
                    && let Ok(text) = serde_json::from_str::<CallText>(row.text("text_json"))
                    && text.code.as_str() != row.text("code")
                {
                    report.found(what(), "has another code than is on record");
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(())
    }
}

fn manifest(row: &Named<'_>, signatures: &Signatures) -> Result<Manifest, String> {
    let digest = body_digest(row)?;
    let manifest: Manifest =
        serde_json::from_str(row.text("body")).map_err(|_| "its manifest cannot be read".to_owned())?;
    if manifest.proposal.to_string() != row.text("proposal_id") || i64::from(manifest.version) != row.int("version") {
        return Err("its manifest is of another proposal or version".to_owned());
    }
    let counts = row.cell("committed_at").or(row.cell("complete_at")).is_some();
    let of_all = signatures.get(&("manifest_signatures", row.key(&MANIFESTS[..2])));
    agree(of_all, &digest, counts.then_some(&manifest.parties))?;
    Ok(manifest)
}

fn label(row: &Named<'_>, signatures: &Signatures, parties: &Parties) -> Result<(), String> {
    let digest = body_digest(row)?;
    let label: LabelStatement =
        serde_json::from_str(row.text("body")).map_err(|_| "its statement cannot be read".to_owned())?;
    if label.proposal.to_string() != row.text("proposal_id")
        || i64::from(label.number) != row.int("number")
        || label.manifest_sha256.to_string() != row.text("manifest_sha256")
    {
        return Err("its statement is of another proposal, number or version".to_owned());
    }
    let parties = parties.get(row.text("proposal_id")).filter(|_| row.cell("in_force_at").is_some());
    agree(signatures.get(&("label_signatures", row.key(&LABELS[..2]))), &digest, parties)
}

fn body_digest(row: &Named<'_>) -> Result<Sha256, String> {
    let digest = Sha256::of(row.text("body").as_bytes());
    if digest.to_string() == row.text("sha256") {
        Ok(digest)
    } else {
        Err("its body does not have the digest on record".to_owned())
    }
}

/// Whether each signature that verifies is under this digest, and every one of these partners has signed.
fn agree(
    signatures: Option<&BTreeMap<String, Option<Sha256>>>,
    digest: &Sha256,
    parties: Option<&BTreeSet<PartnerCode>>,
) -> Result<(), String> {
    let has_signed = |party: &&PartnerCode| signatures.is_some_and(|all| all.contains_key(party.as_str()));
    let others = signatures.into_iter().flatten().filter(|(_, under)| under.is_some_and(|under| under != *digest));
    let others: Vec<&str> = others.map(|(partner, _)| partner.as_str()).collect();
    if !others.is_empty() {
        return Err(format!("is not what was signed for {}", others.join(" and ")));
    }
    let missing = parties.into_iter().flatten().filter(|party| !has_signed(party));
    let missing: Vec<&str> = missing.map(PartnerCode::as_str).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("has no signature for {}", missing.join(" and "))) }
}
