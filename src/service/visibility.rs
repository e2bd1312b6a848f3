//! The visibility manifest of a partner: everything that its members can see, and everything of its own that others can see, at
//! one instant, signed by the exchange.
//!
//! It gives a policy officer what [`explanation`](super::explanation) would show them, proposal by proposal, and nothing of proposals with which
//! they are in conflict themselves. One snapshot; lines go out as they are made, by way of a file, and the signature over them comes last. So memory
//! does not grow with the length of the manifest, and the snapshot does not wait for the reader.

use super::{
    Exchange, Principal, Result, ServiceError, evaluation,
    explanation::{Hearing, parts},
    state::{self, CallState, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, Sha256},
        member::CallRole,
        policy::{PolicyOwner, in_force},
    },
    policy::{Action, Engine as Policies, Resource, Side, Standing, facts::MemberFacts},
    sealing::{jws::SigningKey, statement::sign_statement, visibility::VisibilityStatement},
    share_table::LONGEST_MANIFEST,
    storage::{Spool, Spooled, calls, entries, members, partners, policies, proposals},
    wire::{
        page::MAX_PAGE,
        visibility::{CallRoles, Head, KnownMember, Line, MemberAccess, SeenProposal, SignatureLine, VersionInForce},
    },
};
use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};
use zeroize::Zeroizing;

/// Lines are handed over in pieces of about this many bytes.
const PIECE: usize = 64 << 10;

/// The exchange's own certificate and key: those of its listener, read whenever something is to be signed, so that a renewed one
/// counts at once.
#[derive(Debug)]
pub struct ExchangeKey {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
}

impl ExchangeKey {
    /// One with these files, both PEM.
    #[must_use]
    pub fn new(certificate: PathBuf, private_key: PathBuf) -> Self {
        Self { certificate, private_key }
    }

    /// Why nothing can be signed with these files, if nothing can.
    ///
    /// # Errors
    /// The reason, for the operator.
    pub async fn check(&self) -> Result<(), String> {
        match self.read().await {
            Ok(_) => Ok(()),
            Err(ServiceError::CannotSign(cause)) => Err(cause),
            Err(other) => Err(other.to_string()),
        }
    }

    /// The key, and the certificates that follow its own.
    async fn read(&self) -> Result<(SigningKey, Vec<String>)> {
        let cannot = |cause: String| ServiceError::CannotSign(cause);
        let read = async |path: &PathBuf| {
            tokio::fs::read(path).await.map_err(|error| cannot(format!("`{}`: {error}", path.display())))
        };
        let (certificate, key) = (read(&self.certificate).await?, Zeroizing::new(read(&self.private_key).await?));
        let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| cannot(error.to_string()))?;
        let key = SigningKey::from_pem(&key, &certificate).map_err(|error| cannot(error.to_string()))?;
        Ok((key, chain.iter().skip(1).map(|certificate| BASE64_STANDARD.encode(certificate)).collect()))
    }
}

/// The manifest of a partner, of which what is made can be taken. Nothing is made before it is known that the caller may have it and that
/// it can be signed. It is made no slower for being taken slowly, since a snapshot and a turn are held for it.
pub async fn manifest(exchange: Arc<Exchange>, principal: Principal, partner: PartnerCode) -> Result<Spooled> {
    // A caller who may not have one takes nobody's turn; one who may is checked again once it comes, for the wait may be long.
    drop(authorized(&exchange, &principal, &partner).await?);
    let (spool, mut spooled) = exchange.spools.begin().await?;
    let making = tokio::spawn(async move {
        let (left, writing) = (spool.clone(), write(&exchange, &principal, &partner, spool));
        let made = tokio::select! {
            made = writing => made,
            () = left.given_up() => Err(ServiceError::Interrupted),
        };
        made.inspect_err(|error| {
            // Of a caller who has gone there is nothing to say.
            if !matches!(error, ServiceError::Interrupted) {
                tracing::warn!(%error, "a visibility manifest was not made to its end");
            }
        })
    });
    if spooled.begun().await.is_err() {
        making.await.map_err(|_| ServiceError::Interrupted)??;
    }
    Ok(spooled)
}

async fn write(exchange: &Exchange, principal: &Principal, partner: &PartnerCode, spool: Spool) -> Result<()> {
    let turn = exchange.long_work.manifest(principal).await?;
    let mut view = authorized(exchange, principal, partner).await?;
    view.tx.hold(turn, LONGEST_MANIFEST).await?;
    let (key, intermediates) = exchange.signer.read().await?;
    let seq = entries::last(&mut view.tx).await?;
    let head = Head {
        host: exchange.host.clone(),
        partner: partner.clone(),
        by: view.me.id.clone(),
        at: view.now.into(),
        seq,
        policies: versions(&mut view).await?,
    };
    let mut made = Manifest {
        partner,
        lines: VisibilityLines { spool, buffer: Vec::with_capacity(PIECE), digest: Context::new(&SHA256), count: 0 },
        named: BTreeSet::new(),
        known: BTreeMap::new(),
        calls: BTreeMap::new(),
        view,
    };
    made.lines.add(&Line::Head(head)).await?;
    // Who waits for it sees that it is being made, however long the next lines take.
    made.lines.hand_over().await?;
    made.write_calls().await?;
    made.write_proposals().await?;
    made.write_members().await?;
    let Manifest { lines, view, .. } = made;
    let (now, by) = (view.now, view.me.id.clone());
    drop(view);
    let statement = VisibilityStatement {
        host: exchange.host.clone(),
        partner: partner.clone(),
        by,
        at: now,
        seq,
        lines: lines.count,
        sha256: lines.digest(),
    };
    let statement = sign_statement(&key, &statement).map_err(|error| ServiceError::CannotSign(error.to_string()))?;
    lines.end(&Line::Signature(SignatureLine { statement, intermediates })).await
}

async fn authorized<'e>(exchange: &'e Exchange, principal: &Principal, partner: &PartnerCode) -> Result<View<'e>> {
    let mut view = View::open(exchange, principal).await?;
    partners::find(&mut view.tx, partner).await?.ok_or(ServiceError::Hidden)?;
    view.authorize(Action::ExplainMembers, Resource::Partner(partner))?;
    Ok(view)
}

/// A manifest that is being written.
struct Manifest<'a> {
    partner: &'a PartnerCode,
    lines: VisibilityLines,
    view: View<'a>,
    /// The named members; a manifest identifies nobody else.
    named: BTreeSet<MemberId>,
    /// The members that were looked up; none for one without a key card in force.
    known: BTreeMap<MemberId, Option<Arc<MemberFacts>>>,
    calls: BTreeMap<CallId, Arc<CallState>>,
}

impl Manifest<'_> {
    async fn write_calls(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let ids = calls::ids(&mut self.view.tx, None, after, MAX_PAGE).await?;
            for id in &ids {
                let call = self.call(*id).await?;
                let mut roles: BTreeMap<MemberId, BTreeSet<CallRole>> = BTreeMap::new();
                for role in CallRole::ALL.iter().copied() {
                    for member in call.row.holders(role).into_iter().filter(|id| id.partner() == self.partner) {
                        roles.entry(member).or_default().insert(role);
                    }
                }
                let mut shown = BTreeMap::new();
                for (member, roles) in roles {
                    let Some(facts) = self.member(&member).await? else { continue };
                    if self.view.policies.visible(&facts, Resource::Call(&call.facts)) {
                        shown.insert(member, roles);
                    }
                }
                // A party does not hear who judges under its call, nor who is asked to join one.
                let me = self.view.me.id.clone();
                let is_party = !shown.is_empty() && proposals::is_party_under(&mut self.view.tx, *id, &me).await?;
                if !shown.is_empty() && !is_party {
                    let line = CallRoles { call: *id, phase: call.phase, roles: shown };
                    self.lines.add(&Line::Call(line)).await?;
                }
            }
            match ids.last() {
                Some(last) if ids.len() == MAX_PAGE as usize => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    async fn write_proposals(&mut self) -> Result<()> {
        let mut after = None;
        loop {
            let rows = proposals::after(&mut self.view.tx, after, MAX_PAGE).await?;
            let is_last = rows.len() < MAX_PAGE as usize;
            for row in rows {
                after = Some(row.id);
                let call = self.call(row.call).await?;
                let proposal = Arc::new(state::proposal_state(row, call, self.view.now));
                if let Some(line) = self.proposal(&proposal).await? {
                    self.lines.add(&Line::Proposal(line)).await?;
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// The manifest's lines about a proposal.
    async fn proposal(&mut self, proposal: &Arc<ProposalState>) -> Result<Option<SeenProposal>> {
        let facts = &proposal.facts;
        let hearing = Hearing::of(&self.view.me, facts);
        if matches!(hearing, Hearing::Nobody) {
            return Ok(None);
        }
        let is_own = facts.parties.contains(self.partner) && self.view.may(Action::Explain, Resource::Proposal(facts));
        let mut asked = Vec::new();
        for (member, parts) in parts(proposal) {
            let is_ours = member.partner() == self.partner;
            if !is_ours && !is_own || !hearing.of_member(&member) {
                continue;
            }
            if let Some(who) = self.member(&member).await? {
                asked.push((who, parts, is_ours));
            }
        }
        let (policies, of) = (Arc::clone(&self.view.policies), Arc::clone(proposal));
        let decide = move |some: Vec<_>| -> Vec<MemberAccess> {
            let found = some.into_iter().filter_map(|(who, parts, is_ours): (Arc<MemberFacts>, _, _)| {
                let found = access(&policies, &who, parts, &of, is_ours);
                (found.sees || is_ours && is_own).then_some(found)
            });
            found.collect()
        };
        // What a decision costs is for the owners' policies to say.
        let access = evaluation::decided(self.view.exchange, &self.view.asker, asked, |_| usize::MAX, decide).await?;
        self.named.extend(access.iter().map(|found| found.member.clone()));
        if access.is_empty() && !is_own {
            return Ok(None);
        }
        Ok(Some(SeenProposal {
            proposal: facts.id,
            reference: Some(proposal.reference()),
            call: facts.call.id,
            owners: facts.parties.clone(),
            is_own,
            status: proposal.status,
            phase: facts.call.phase,
            decided: facts.decided,
            labels: facts.label.as_ref().map(|label| [label.to_string()].into()),
            access,
        }))
    }

    /// Every member of the partner with a key card in force, and who was named.
    async fn write_members(&mut self) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let rows = members::page(&mut self.view.tx, Some(self.partner), after.as_deref(), MAX_PAGE).await?;
            let is_last = rows.len() < MAX_PAGE as usize;
            for row in rows {
                after = Some(row.member.to_string());
                if row.is_in_force(self.view.now) {
                    self.lines.add(&Line::Member(known(row))).await?;
                }
            }
            if is_last {
                break;
            }
        }
        let named = std::mem::take(&mut self.named);
        let others: Vec<MemberId> = named.into_iter().filter(|member| member.partner() != self.partner).collect();
        for some in others.chunks(MAX_PAGE as usize) {
            let mut rows = members::some(&mut self.view.tx, some).await?;
            rows.sort_unstable_by(|one, other| one.member.cmp(&other.member));
            for row in rows {
                self.lines.add(&Line::Member(known(row))).await?;
            }
        }
        Ok(())
    }

    async fn member(&mut self, id: &MemberId) -> Result<Option<Arc<MemberFacts>>> {
        if let Some(known) = self.known.get(id) {
            return Ok(known.clone());
        }
        let found = state::member(self.view.exchange, &mut self.view.tx, id, self.view.now).await?.map(Arc::new);
        self.known.insert(id.clone(), found.clone());
        Ok(found)
    }

    async fn call(&mut self, id: CallId) -> Result<Arc<CallState>> {
        if let Some(call) = self.calls.get(&id) {
            return Ok(Arc::clone(call));
        }
        let call = state::call(&mut self.view.tx, id, self.view.now).await?.ok_or(ServiceError::Hidden)?;
        Ok(Arc::clone(self.calls.entry(id).or_insert(Arc::new(call))))
    }
}

/// What a member may do on a proposal, and by which policies.
fn access(
    policies: &Policies,
    who: &MemberFacts,
    parts: BTreeSet<String>,
    proposal: &ProposalState,
    is_ours: bool,
) -> MemberAccess {
    let facts = &proposal.facts;
    let may = |action, resource: Resource<'_>| policies.explain(who, action, resource).standing == Standing::Permitted;
    let whole = Resource::Proposal(facts);
    let on_read = policies.explain(who, Action::Read, whole);
    let reads = on_read.standing == Standing::Permitted;
    let decision = if reads { on_read } else { policies.explain(who, Action::View, whole) };
    let verdicts = decision.steps.iter().flat_map(|step| &step.verdicts);
    let decisive = verdicts.filter(|verdict| verdict.permitted == (decision.standing == Standing::Permitted));
    let by = decisive.flat_map(|verdict| {
        let owner = match &verdict.side {
            Side::Guardrails => PolicyOwner::Guardrails,
            Side::Release(code) | Side::Reader(code) => PolicyOwner::Partner(code.clone()),
        };
        let policies = verdict.reasons.iter().filter_map(|reason| reason.policy.as_ref());
        policies.map(move |policy| format!("{owner}/{}", policy.id))
    });
    let by = by.collect();
    let restricted = |owner: &&PartnerCode| may(Action::ReadStaff, Resource::StaffSlots { proposal: facts, owner });
    let declared = || match (facts.conflicts.contains(&who.id), facts.declared_clear.contains(&who.id)) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    MemberAccess {
        member: who.id.clone(),
        parts,
        sees: decision.standing == Standing::Permitted,
        reads,
        reads_restricted_of: facts.parties.iter().filter(restricted).cloned().collect(),
        reads_reviews: may(Action::ViewDeliberation, whole),
        conflict: is_ours.then(declared).flatten(),
        reviewed: is_ours.then(|| facts.reviewed.contains(&who.id)),
        by,
    }
}

/// Lines on their way out.
struct VisibilityLines {
    spool: Spool,
    buffer: Vec<u8>,
    digest: Context,
    count: u64,
}

impl VisibilityLines {
    async fn add(&mut self, line: &Line) -> Result<()> {
        let start = self.buffer.len();
        self.put(line);
        self.digest.update(&self.buffer[start..]);
        self.count += 1;
        if self.buffer.len() >= PIECE { self.hand_over().await } else { Ok(()) }
    }

    fn digest(&self) -> Sha256 {
        let digest = self.digest.clone().finish();
        Sha256::from_bytes(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    async fn end(mut self, line: &Line) -> Result<()> {
        self.put(line);
        self.hand_over().await?;
        self.spool.end();
        Ok(())
    }

    fn put(&mut self, line: &Line) {
        serde_json::to_writer(&mut self.buffer, line).expect("our lines have string keys, and a vector takes all");
        self.buffer.push(b'\n');
    }

    async fn hand_over(&mut self) -> Result<()> {
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        if self.spool.add(piece).await? { Ok(()) } else { Err(ServiceError::Interrupted) }
    }
}

/// Every owner's version in force.
async fn versions(view: &mut View<'_>) -> Result<Vec<VersionInForce>> {
    let mut owners: BTreeSet<PolicyOwner> = policies::owners(&mut view.tx).await?.into_iter().collect();
    owners.insert(PolicyOwner::Guardrails);
    let mut versions = Vec::with_capacity(owners.len());
    for owner in owners {
        let standing = policies::standing(&mut view.tx, &owner, view.now).await?;
        let version = in_force(&standing, view.now).map(|version| version.number);
        if let Some(version) = version.or((owner == PolicyOwner::Guardrails).then_some(0)) {
            versions.push(VersionInForce { owner, version });
        }
    }
    Ok(versions)
}

fn known(row: members::MemberRow) -> KnownMember {
    KnownMember {
        member: row.member,
        key_card_sha256: Sha256::of(row.key_card.as_bytes()),
        serial: row.serial,
        organisation: row.organisation,
        roles: row.roles,
    }
}
