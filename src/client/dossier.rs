//! The dossier of a call: one file with all that was signed in it and when, as far as one member is shown it, and without any content.
//!
//! INVARIANT: nothing in a dossier is believed because it is in there. It is signed as a whole by the member who exported it, so that nothing
//! can be taken out, put in or changed unnoticed; each statement in it is by its own signer, whose key cards are in it, too, and partner
//! cards count only if the reader pinned or gave them. What no signature says is the exchange's word, as the exporter heard it.

mod cards;
mod case;
mod export;
mod history;
mod panel;
mod report;
mod roll;
mod verify;

pub use self::{
    report::{DossierFault, DossierReport, DossierTally},
    verify::verify,
};

use super::{ClientError, Result, verify::invalid};
use crate::{
    domain::{
        decision::Outcome,
        entry::EntryKind,
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256, Slug},
        member::CallRole,
        proposal::Status,
        reference::{CallCode, Reference},
    },
    sealing::{canonical, card::PartnerCard},
    wire::{Time, call::StatedRoles, directory::PublishedKeyCard, entry::payloads::Payload},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a dossier says that it is. Another number is another form.
const FORM: &str = "entente-dossier/1";
/// The largest dossier, in bytes: a call with a thousand proposals has some 40 MiB. A reader holds it a few times over in memory.
pub const MAX_DOSSIER: usize = 256 << 20;
/// The most entries of the log that are exported.
const MOST_ENTRIES: usize = 500_000;
/// The most extensions of a call that are read: for each signature of a party all of them are looked at.
const MOST_EXTENSIONS: usize = 1000;

/// The frame of the file, around the body and around the exporter's signature.
const FRAME: [&str; 3] = ["{\"body\":", ",\"signature\":\"", "\"}"];

/// What is in a dossier, as it is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dossier {
    pub form: String,
    pub call: CallId,
    pub code: CallCode,
    /// The partner that leads its program.
    pub lead: PartnerCode,
    /// Of type `entente-call+jws`: the publication in force.
    pub publication: String,
    /// Who exported it, by which roles in the call, and when.
    pub exported_by: MemberId,
    pub exported_as: BTreeSet<CallRole>,
    pub exported_at: Time,
    /// Entries of the log about the call itself, in their order.
    pub entries: Vec<DossierEntry>,
    /// What was signed about roles in the call, in its order.
    pub roles: Vec<StatedRoles>,
    /// What of the call itself the exporter is not shown.
    pub not_shown: BTreeSet<DossierPart>,
    /// In the order of their references.
    pub proposals: Vec<DossierCase>,
    /// The key cards of everybody who signed something in it, the newest first.
    pub key_cards: BTreeMap<MemberId, Vec<PublishedKeyCard>>,
    pub partner_cards: BTreeMap<PartnerCode, PartnerCard>,
}

/// A proposal in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DossierCase {
    pub proposal: ProposalId,
    pub reference: Reference,
    pub topic: Option<Slug>,
    pub parties: BTreeSet<PartnerCode>,
    pub status: Status,
    /// The version that stands, and its digest.
    pub version: Option<u32>,
    pub manifest_sha256: Option<Sha256>,
    /// The outcome of the decision in force.
    pub decided: Option<Outcome>,
    /// What of it the exporter is not shown.
    pub not_shown: BTreeSet<DossierPart>,
    /// Entries of the log about it, in their order.
    pub entries: Vec<DossierEntry>,
    /// What was signed and is in none of these entries.
    pub statements: Vec<DossierLine>,
}

/// An entry of the log, as it was shown. Which call or proposal it is about says the place where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DossierEntry {
    pub seq: u64,
    pub at: Time,
    pub kind: EntryKind,
    pub actor: Option<MemberId>,
    pub payload: String,
    pub salt: String,
}

/// A statement beside the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DossierLine {
    /// The kind of entry that records such a statement.
    pub kind: EntryKind,
    /// Who signed, as the exchange says or as the certificate in it names them.
    pub by: Option<MemberId>,
    /// When it was recorded: for a version or a label, when the last party had signed.
    pub at: Option<Time>,
    pub statement: String,
}

/// What a dossier is about, part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DossierPart {
    Texts,
    Roles,
    Invitations,
    Manifests,
    Labels,
    Declarations,
    Assignments,
    Reviews,
    Rankings,
    Decisions,
    Letters,
}

impl DossierPart {
    pub const ALL: [Self; 11] = [
        Self::Texts,
        Self::Roles,
        Self::Invitations,
        Self::Manifests,
        Self::Labels,
        Self::Declarations,
        Self::Assignments,
        Self::Reviews,
        Self::Rankings,
        Self::Decisions,
        Self::Letters,
    ];

    /// What people read.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Texts => "texts of the call",
            Self::Roles => "statements about roles",
            Self::Invitations => "invitations and acceptances",
            Self::Manifests => "signatures of parties",
            Self::Labels => "signatures under labels",
            Self::Declarations => "declarations of interest",
            Self::Assignments => "assignments",
            Self::Reviews => "reviews",
            Self::Rankings => "lines of the ranking",
            Self::Decisions => "signatures of funders",
            Self::Letters => "letters",
        }
    }

    /// The part that a signed entry belongs to.
    fn of(kind: EntryKind) -> Option<Self> {
        Some(match kind {
            EntryKind::CallPublished | EntryKind::CallAmended => Self::Texts,
            EntryKind::MemberInvited | EntryKind::MemberJoined => Self::Invitations,
            EntryKind::ManifestSigned => Self::Manifests,
            EntryKind::LabelSigned => Self::Labels,
            EntryKind::ConflictDeclared | EntryKind::ClearDeclared | EntryKind::ConflictLifted => Self::Declarations,
            EntryKind::ReviewerAssigned => Self::Assignments,
            EntryKind::ReviewSubmitted => Self::Reviews,
            EntryKind::RankingSent => Self::Rankings,
            EntryKind::DecisionSigned => Self::Decisions,
            EntryKind::LetterSent => Self::Letters,
            _ => return None,
        })
    }
}

impl DossierEntry {
    fn payload(&self) -> Option<Payload> {
        Payload::parse(self.kind, &self.payload).ok()
    }
}

/// The statement in the payload of an entry, if its kind has one.
fn statement_of(payload: &Payload) -> Option<&str> {
    Some(match payload {
        Payload::CallPublished(entry) => &entry.publication,
        Payload::CallAmended(entry) => &entry.publication,
        Payload::MemberInvited(entry) => &entry.statement,
        Payload::MemberJoined(entry) => &entry.statement,
        Payload::ManifestSigned(entry) => &entry.manifest,
        Payload::LabelSigned(entry) => &entry.statement,
        Payload::ConflictDeclared(entry) | Payload::ClearDeclared(entry) => &entry.statement,
        Payload::ConflictLifted(entry) => &entry.statement,
        Payload::ReviewerAssigned(entry) => &entry.statement,
        Payload::ReviewSubmitted(entry) => &entry.statement,
        Payload::RankingSent(entry) => &entry.statement,
        Payload::DecisionSigned(entry) => &entry.statement,
        Payload::LetterSent(entry) => &entry.statement,
        _ => return None,
    })
}

impl Dossier {
    /// What is signed of it.
    fn body(&self) -> Result<Vec<u8>> {
        canonical::to_vec(self).map_err(|error| unreadable(&error.to_string()))
    }
}

/// The file: the body, and the exporter's signature over its digest.
fn framed(body: &[u8], signature: &str) -> Result<Vec<u8>> {
    let [before, between, after] = FRAME.map(str::as_bytes);
    let bytes = [before, body, between, signature.as_bytes(), after, b"\n"].concat();
    if bytes.len() > MAX_DOSSIER {
        return Err(ClientError::local(
            format!("the dossier would have {} bytes, and {MAX_DOSSIER} are read", bytes.len()),
            "keep the receipts of the proposals instead, which their parties print",
        ));
    }
    Ok(bytes)
}

/// The body and the signature of a file, as they are in it.
fn taken_apart(bytes: &[u8]) -> Option<(&[u8], &str)> {
    let [before, between, after] = FRAME.map(str::as_bytes);
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_prefix(before)?.strip_suffix(after)?;
    // A compact JWS has no quotation mark.
    let quoted = bytes.iter().rposition(|byte| *byte == b'"')?;
    let (body, signature) = bytes.split_at(quoted + 1);
    Some((body.strip_suffix(between)?, str::from_utf8(signature).ok()?))
}

/// Reads a dossier: what is in it, the digest of that, and the signature that should be over it.
fn read(bytes: &[u8]) -> Result<(Dossier, Sha256, &str)> {
    if bytes.len() > MAX_DOSSIER {
        return Err(unreadable(&format!("it is longer than {MAX_DOSSIER} bytes")));
    }
    let (body, signature) = taken_apart(bytes).ok_or_else(|| unreadable("it has not the form of one"))?;
    let dossier: Dossier = crate::reading::json(body).map_err(|fault| unreadable(&fault.to_string()))?;
    if dossier.form != FORM {
        return Err(unreadable(&format!("it is in the form `{}`, and this program reads `{FORM}`", dossier.form)));
    }
    check_order(&dossier)?;
    Ok((dossier, Sha256::of(body), signature))
}

/// Refuses duplicates, and entries out of their order.
fn check_order(dossier: &Dossier) -> Result<()> {
    let mut proposals = HashSet::new();
    if let Some(case) = dossier.proposals.iter().find(|case| !proposals.insert(case.proposal)) {
        return Err(invalid(format!("the dossier has two parts about `{}`", case.reference)));
    }
    let mut numbers = HashSet::new();
    let lists = dossier.proposals.iter().map(|case| &case.entries).chain([&dossier.entries]);
    for entries in lists {
        if let Some(entry) = entries.iter().find(|entry| !numbers.insert(entry.seq)) {
            return Err(invalid(format!("the dossier has entry {} of the log twice", entry.seq)));
        }
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].seq > pair[1].seq) {
            return Err(invalid(format!("entry {} of the log is out of its order in the dossier", pair[1].seq)));
        }
    }
    let mut statements = HashSet::new();
    let lines = dossier.proposals.iter().flat_map(|case| &case.statements).map(|line| &line.statement);
    if lines.chain(dossier.roles.iter().map(|stated| &stated.statement)).any(|line| !statements.insert(line)) {
        return Err(invalid("the dossier has a statement twice"));
    }
    Ok(())
}

fn unreadable(fault: &str) -> ClientError {
    ClientError::unverified(
        format!("it is not a dossier that can be read: {fault}"),
        "take the file as `entente dossier` wrote it",
    )
}

#[cfg(test)]
mod tests;
