//! Puts a dossier together from what the exchange shows to the member who exports it, and signs it.

use super::{Dossier, DossierCase, DossierEntry, DossierLine, DossierPart, FORM, MOST_ENTRIES, framed, statement_of};
use crate::{
    client::{
        Client, ClientError, Result,
        log::{LogFilter, LogReader},
        progress::{ProgressListener, ProgressStep},
        verify::invalid,
    },
    domain::{
        entry::{EntryKind, Readers},
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
        member::{CallRole, Declared},
        proposal::Status,
    },
    sealing::{
        leaf,
        statement::{
            DeclarationStatement, DossierStatement, LabelStatement, Manifest, Signed, Statement, verify_signed,
        },
    },
    wire::{Time, call::Call, decision::Decision, entry::Entry, proposal::Proposal},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How many proposals, or members, are asked about side by side.
const AT_ONCE: usize = 4;

/// The kinds of entries in a dossier: all that can be about a call, without drafts, documents and keys on their way, and who fetched what.
/// Roles have a chain of their own.
fn kinds() -> Vec<EntryKind> {
    let is_left_out = |kind: &EntryKind| {
        matches!(
            kind,
            EntryKind::CallDrafted
                | EntryKind::CallEdited
                | EntryKind::CallDeleted
                | EntryKind::RoleGranted
                | EntryKind::RoleRevoked
                | EntryKind::DocumentStored
                | EntryKind::DocumentRemoved
                | EntryKind::DocumentDropped
                | EntryKind::DocumentFetched
                | EntryKind::VaultCreated
                | EntryKind::KeyWrapped
                | EntryKind::KeyRemoved
                | EntryKind::KeyFetched
                | EntryKind::ReviewFetched
                | EntryKind::RankingFetched
                | EntryKind::LetterFetched
        )
    };
    let is_of_call =
        |kind: &EntryKind| !matches!(kind.readers(true), Readers::Members | Readers::PolicyOfficers | Readers::Program);
    EntryKind::ALL.iter().copied().filter(|kind| is_of_call(kind) && !is_left_out(kind)).collect()
}

/// The entries that are exported, by what they are about.
type Entries = HashMap<Option<ProposalId>, Vec<DossierEntry>>;

/// A proposal while it is put together.
struct Collected {
    case: DossierCase,
    /// The statements that it has already.
    known: HashSet<String>,
}

impl Client {
    /// The dossier of a call, signed: what the member is shown of it as an officer, a decider or an observer.
    pub async fn export_dossier(&self, id: CallId, progress: &Arc<dyn ProgressListener>) -> Result<Vec<u8>> {
        // It asks for most of what the client can ask: the futures of those who wait for it stay small.
        Box::pin(self.gather_dossier(id, progress)).await
    }

    async fn gather_dossier(&self, id: CallId, progress: &Arc<dyn ProgressListener>) -> Result<Vec<u8>> {
        let call = self.api().call(id).await?.body;
        let (roles, publication) = exporter(&call, id)?;
        let me = self.member_id().await?;
        let mut entries = self.entries_of(id).await?;
        let mut not_shown = BTreeSet::new();
        let judges = roles.contains(&CallRole::Officer) || roles.contains(&CallRole::Decider);
        let stated = if judges {
            shown(self.api().role_statements(id).await, DossierPart::Roles, &mut not_shown)?
        } else {
            not_shown.insert(DossierPart::Roles);
            Vec::new()
        };
        let mut proposals = self.api().all_proposals(Some(id)).await?;
        proposals.retain(|proposal| proposal.call == id);
        proposals.sort_by(|one, other| one.reference.cmp(&other.reference));
        let total = proposals.len() as u64;
        let parts: Vec<_> = proposals
            .into_iter()
            .map(|proposal| {
                let entries = entries.remove(&Some(proposal.id)).unwrap_or_default();
                (proposal, entries)
            })
            .collect();
        let done = AtomicU64::new(0);
        let (roles_shown, done) = (&roles, &done);
        let cases: Vec<DossierCase> = stream::iter(parts)
            .map(|(proposal, entries)| async move {
                let case = self.collect(proposal, entries, roles_shown).await?;
                progress.update(ProgressStep::Exporting, done.fetch_add(1, Ordering::Relaxed) + 1, total);
                Ok::<_, ClientError>(case)
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut dossier = Dossier {
            form: FORM.to_owned(),
            call: id,
            code: call.text.code.clone(),
            lead: call.lead.clone(),
            publication,
            exported_by: me,
            exported_as: roles,
            exported_at: self.exchange_now().into(),
            entries: entries.remove(&None).unwrap_or_default(),
            roles: stated,
            not_shown,
            proposals: cases,
            key_cards: BTreeMap::new(),
            partner_cards: BTreeMap::new(),
        };
        // The exchange's clock is heard by the second.
        let exported_at = dossier.times().fold(dossier.exported_at.0, Timestamp::max);
        dossier.exported_at = in_milliseconds(exported_at).into();
        self.add_cards(&mut dossier).await?;
        self.close(dossier).await
    }

    /// The entries about the call that are shown, by proposal.
    async fn entries_of(&self, call: CallId) -> Result<Entries> {
        let filter = LogFilter { kinds: kinds().into_iter().collect(), calls: [call].into(), ..LogFilter::default() };
        let read = LogReader::new(filter, None).rest(self.api(), MOST_ENTRIES, Duration::ZERO).await?;
        if read.left_out.is_some() {
            return Err(ClientError::local(
                format!("the log has more than {MOST_ENTRIES} entries about the call, and a dossier takes no more"),
                "keep the log itself with `entente log`, and the receipts of the proposals",
            ));
        }
        let mut entries = Entries::new();
        for Entry { seq, at, kind, actor, proposal, payload, salt, .. } in read.entries {
            entries.entry(proposal).or_default().push(DossierEntry { seq, at, kind, actor, payload, salt });
        }
        Ok(entries)
    }

    /// What is shown of a proposal. Nothing is asked for that its row says is kept from the member: each refusal is counted.
    async fn collect(
        &self,
        proposal: Proposal,
        entries: Vec<DossierEntry>,
        roles: &BTreeSet<CallRole>,
    ) -> Result<DossierCase> {
        let (api, id) = (self.api(), proposal.id);
        let is_officer = roles.contains(&CallRole::Officer);
        let is_clear = proposal.mine.is_clear && (is_officer || roles.contains(&CallRole::Decider));
        let reads = is_clear && proposal.status == Status::Submitted;
        // Officers read everything that is logged about a proposal, unless a nation's policies keep it from them.
        let has_log = is_officer && entries.iter().any(|entry| entry.kind == EntryKind::ProposalCreated);
        let mut collected = Collected::new(&proposal, entries);
        if reads {
            for version in collected.shown(api.manifests(id).await, DossierPart::Manifests)? {
                for (party, jws) in version.signatures {
                    let by = self.signer_named::<Manifest>(&jws, &party).await;
                    collected.add(EntryKind::ManifestSigned, by, version.committed_at, jws);
                }
            }
            for label in collected.shown(api.labels(id).await, DossierPart::Labels)? {
                for (party, jws) in label.signatures {
                    let by = self.signer_named::<LabelStatement>(&jws, &party).await;
                    collected.add(EntryKind::LabelSigned, by, label.in_force_at.or(Some(label.stated_at)), jws);
                }
            }
            for review in collected.shown(api.reviews(id).await, DossierPart::Reviews)? {
                let (by, at) = (Some(review.reviewer), Some(review.submitted_at));
                collected.add(EntryKind::ReviewSubmitted, by, at, review.statement);
            }
            if proposal.ranking_sent_at.is_some() {
                let line = api.ranking_line(id).await.map(|line| vec![line]);
                for line in collected.shown(line, DossierPart::Rankings)? {
                    collected.add(EntryKind::RankingSent, Some(line.sent_by), Some(line.sent_at), line.statement);
                }
            }
        }
        if is_clear {
            let decision = api.decision(id).await.map(|decision| decision.into_iter().collect());
            for decision in collected.shown(decision, DossierPart::Decisions)? {
                collected.add_decision(decision.body);
            }
        }
        if is_officer {
            for stated in collected.shown(api.declarations(id).await, DossierPart::Declarations)? {
                let said = verify_signed::<DeclarationStatement>(&stated.statement);
                let kind = said.map_or(EntryKind::ConflictDeclared, |signed| kind_of(signed.statement.declared));
                collected.add(kind, Some(stated.stated_by), Some(stated.stated_at), stated.statement);
            }
            for assignment in collected.shown(api.assignments(id).await, DossierPart::Assignments)? {
                let (by, at) = (Some(assignment.assigned_by), Some(assignment.assigned_at));
                if let Some(statement) = assignment.statement {
                    collected.add(EntryKind::ReviewerAssigned, by, at, statement);
                }
            }
        }
        if proposal.letters > 0 {
            for letter in collected.shown(api.letters(id).await, DossierPart::Letters)? {
                collected.add(EntryKind::LetterSent, Some(letter.sent_by), Some(letter.sent_at), letter.statement);
            }
        }
        let not_shown = &mut collected.case.not_shown;
        if has_log {
            // What its list keeps back is in the log, with the times.
            not_shown.clear();
        } else {
            not_shown.insert(DossierPart::Invitations);
        }
        if !is_officer {
            // Deciders see declarations of their own, observers those of conflicts.
            not_shown.extend([DossierPart::Declarations, DossierPart::Assignments, DossierPart::Letters]);
        }
        if !has_log && !reads {
            not_shown.extend([
                DossierPart::Manifests,
                DossierPart::Labels,
                DossierPart::Reviews,
                DossierPart::Rankings,
                DossierPart::Decisions,
            ]);
        }
        Ok(collected.case)
    }

    /// Who signed for a party, as the certificate names them; else as the key cards do. None: nobody knows.
    async fn signer_named<T: Statement>(&self, jws: &str, party: &PartnerCode) -> Option<MemberId> {
        let signed: Signed<T> = verify_signed(jws).ok()?;
        if let Some(named) = leaf::named(&signed.leaf).into_iter().find(|named| named.partner() == party) {
            return Some(named);
        }
        let signer = self.verified_signer(&signed, &BTreeSet::from([party.clone()])).await.ok()?;
        Some(signer.card.member.clone())
    }

    /// The key cards of all who signed, and the cards of their partners, as the exchange has them.
    async fn add_cards(&self, dossier: &mut Dossier) -> Result<()> {
        let signers = dossier.signers();
        let cards: Vec<_> = stream::iter(signers)
            .map(|member| async move {
                match self.api().key_cards(&member).await {
                    Err(error) if error.is_not_found() => Ok((member, Vec::new())),
                    cards => Ok::<_, ClientError>((member, cards?)),
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        dossier.key_cards = cards.into_iter().filter(|(_, cards)| !cards.is_empty()).collect();
        let partners: BTreeSet<PartnerCode> =
            dossier.key_cards.keys().map(|member| member.partner().clone()).chain([dossier.lead.clone()]).collect();
        for partner in partners {
            match self.offered_partner(&partner).await {
                Err(error) if error.is_not_found() => {}
                offered => {
                    dossier.partner_cards.insert(partner, offered?.card);
                }
            }
        }
        Ok(())
    }

    /// Signs it.
    async fn close(&self, dossier: Dossier) -> Result<Vec<u8>> {
        let body = dossier.body()?;
        let statement = DossierStatement {
            call: dossier.call,
            member: dossier.exported_by,
            roles: dossier.exported_as,
            sha256: Sha256::of(&body),
            stated_at: dossier.exported_at.0,
        };
        framed(&body, &self.signed(&statement).await?)
    }
}

/// The instant as statements say it, no earlier.
fn in_milliseconds(at: Timestamp) -> Timestamp {
    let further = i64::from(at.subsec_nanosecond() % 1_000_000 != 0);
    Timestamp::from_millisecond(at.as_millisecond() + further).unwrap_or(at)
}

/// By which roles the member exports the call, and its publication.
fn exporter(call: &Call, id: CallId) -> Result<(BTreeSet<CallRole>, String)> {
    if call.id != id {
        return Err(invalid("the exchange answered with another call"));
    }
    let roles: BTreeSet<CallRole> = call.my_roles.iter().copied().filter(|role| *role != CallRole::Reviewer).collect();
    if roles.is_empty() {
        return Err(ClientError::usage(
            format!("you have no part in `{}` by which there is a dossier for you", call.text.code),
            "its officers, deciders and observers export it; parties have `entente proposal receipt`",
        ));
    }
    let publication = call.publication.clone().ok_or_else(|| {
        ClientError::usage(
            format!("`{}` is not published yet", call.text.code),
            "publish it with `entente call publish`",
        )
    })?;
    Ok((roles, publication))
}

/// What is shown; nothing, with a note of it, if the exchange refuses.
fn shown<T>(list: Result<Vec<T>>, part: DossierPart, not_shown: &mut BTreeSet<DossierPart>) -> Result<Vec<T>> {
    match list {
        Err(error) if error.problem().is_some_and(|problem| matches!(problem.status, 403 | 404)) => {
            not_shown.insert(part);
            Ok(Vec::new())
        }
        list => list,
    }
}

impl Collected {
    fn new(proposal: &Proposal, entries: Vec<DossierEntry>) -> Self {
        let payloads = entries.iter().filter_map(DossierEntry::payload);
        let known = payloads.filter_map(|payload| statement_of(&payload).map(str::to_owned)).collect();
        let case = DossierCase {
            proposal: proposal.id,
            reference: proposal.reference.clone(),
            topic: proposal.topic.clone(),
            parties: proposal.parties.keys().cloned().collect(),
            status: proposal.status,
            version: proposal.version,
            manifest_sha256: proposal.manifest_sha256,
            decided: proposal.decided,
            not_shown: BTreeSet::new(),
            entries,
            statements: Vec::new(),
        };
        Self { case, known }
    }

    fn shown<T>(&mut self, list: Result<Vec<T>>, part: DossierPart) -> Result<Vec<T>> {
        shown(list, part, &mut self.case.not_shown)
    }

    fn add(&mut self, kind: EntryKind, by: Option<MemberId>, at: Option<Time>, statement: String) {
        if self.known.insert(statement.clone()) {
            self.case.statements.push(DossierLine { kind, by, at, statement });
        }
    }

    /// The signatures of a decision, of those before it and of the one that is to take its place.
    fn add_decision(&mut self, decision: Decision) {
        let Decision { signatures, before, next, .. } = decision;
        for before in before {
            self.add_decision(before);
        }
        for signature in signatures.into_values() {
            self.add(EntryKind::DecisionSigned, Some(signature.member), Some(signature.signed_at), signature.jws);
        }
        if let Some(next) = next {
            self.add_decision(*next);
        }
    }
}

/// The kind of entry that records a declaration.
fn kind_of(declared: Declared) -> EntryKind {
    match declared {
        Declared::Clear => EntryKind::ClearDeclared,
        Declared::Conflict => EntryKind::ConflictDeclared,
        Declared::Lifted => EntryKind::ConflictLifted,
    }
}

impl Dossier {
    /// When what is in it was recorded.
    fn times(&self) -> impl Iterator<Item = Timestamp> {
        let cases = self.proposals.iter();
        let entries = cases.clone().flat_map(|case| &case.entries).chain(&self.entries).map(|entry| entry.at.0);
        let lines = cases.flat_map(|case| &case.statements).filter_map(|line| line.at.map(|at| at.0));
        entries.chain(lines).chain(self.roles.iter().map(|stated| stated.stated_at.0))
    }

    /// Everybody who signed something in it, and who exports it.
    fn signers(&self) -> BTreeSet<MemberId> {
        let cases = self.proposals.iter();
        let entries = cases.clone().flat_map(|case| &case.entries).chain(&self.entries);
        let signed = entries.filter(|entry| DossierPart::of(entry.kind).is_some());
        let lines = cases.flat_map(|case| &case.statements).filter_map(|line| line.by.as_ref());
        let stated = self.roles.iter().map(|stated| &stated.stated_by);
        let all = signed.filter_map(|entry| entry.actor.as_ref()).chain(lines).chain(stated);
        all.chain([&self.exported_by]).cloned().collect()
    }
}
