//! Sealed documents: stored, listed, fetched and taken out.
//!
//! This file decides where a document belongs and when it may come. `sealed_bytes` takes and checks the bytes; neither learns more about
//! them than is visible without a key.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError, announcements, damage,
    decided_readers::DecidedReaders,
    label_losses, manifests, quotas,
    sealed_bytes::{self, ArrivedBytes, ExpectedBytes},
    state::{self, ProposalState},
    unit::{Act, Reads, Rehearsal, Subject, View, permit},
    usage::{Arrival, Coming},
    versions,
};
use crate::{
    domain::{
        Refusal,
        call::{Audience, Phase},
        id::{DocumentId, PartnerCode, ProposalId, Sha256, Slug},
        proposal::{Listed, Status, check_document},
        vault::VaultKind,
    },
    policy::{Action, Engine, Permit, Resource, facts::MemberFacts},
    sealing::statement::ManifestDocument,
    storage::{
        Reading, StoreError, Stored, Tx,
        documents::{self, DocumentRow},
        held_blobs::HeldBlob,
        uploads::{self, UploadRow},
        vaults,
    },
    wire::{
        entry::payloads::{DocumentNamed, DocumentRemoved, DocumentStored, Payload},
        page::Page,
        proposal::Document,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use std::{ops::Range, sync::Arc};

/// What is announced of a document before its bytes come.
#[derive(Debug, Clone)]
pub struct Announced {
    pub proposal: ProposalId,
    pub slot: Slug,
    /// Absent while the sender of an upload that can be resumed does not know it yet.
    pub sha256: Option<Sha256>,
    pub size: u64,
    /// Of the plaintext, as the manifest will say.
    pub media_type: String,
    /// When the last byte was here, if it was before anything was asked of the database.
    pub here_at: Option<Timestamp>,
}

/// The place of a document, checked before the first byte is accepted.
pub(super) struct DocumentPlace {
    proposal: ProposalState,
    party: Option<PartnerCode>,
    vault: crate::storage::vaults::VaultRow,
}

/// Stores a sealed document. The bytes stream to the disk while no transaction is open; one short unit of work adopts them. Before the
/// first byte nobody waits for a turn at writing: the document is here when its last byte is, however long others write.
pub async fn put<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    exchange: &Exchange,
    context: &RequestContext,
    announced: &Announced,
    sha256: Sha256,
    bytes: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<Answer> {
    let (arrival, expected) = {
        let mut first = Rehearsal::rehearse(exchange, context).await?;
        let (proposal, _) = own(&mut first, announced.proposal).await?;
        if let Some(answer) = first.replayed()? {
            return Ok(answer);
        }
        let (place, named) = check_place(&mut first, proposal, announced).await?;
        let arrival = exchange.usage.coming(coming(&first, announced));
        let sent = Sent::AtOnce(&arrival);
        let Room { limit, .. } = check_room(&mut first, &place, announced, named.as_ref(), sent).await?;
        (arrival, ExpectedBytes { sha256, size: announced.size, limit })
    };
    let arrived = sealed_bytes::take(exchange, expected, bytes).await?;
    adopt(exchange, context, announced, arrived, Sent::AtOnce(&arrival)).await
}

/// How a document is sent, and by what it counts while it is on its way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sent<'a> {
    AtOnce(&'a Arrival),
    /// In an upload that can be resumed; none while it is being begun.
    OverTime(Option<&'a UploadRow>),
}

impl<'a> Sent<'a> {
    fn arrival(self) -> Option<&'a Arrival> {
        match self {
            Self::AtOnce(arrival) => Some(arrival),
            Self::OverTime(_) => None,
        }
    }
}

/// What its sender may have on its way.
pub(super) struct Room {
    /// How many bytes are taken at most.
    limit: u64,
    /// Whether it is the one that every party has signed for, and counts as announced.
    pub(super) is_awaited: bool,
}

/// Whether a document may come to its place now; what a committed version that is not complete says of it, if it names it.
pub(super) async fn check_place<T: Reads>(
    act: &mut Act<'_, T>,
    proposal: ProposalState,
    announced: &Announced,
) -> Result<(DocumentPlace, Option<ManifestDocument>)> {
    let place = admit(act, proposal, announced).await?;
    if act.names_state() {
        present(act, announced.proposal, &announced.slot, place.party.as_ref()).await?;
    }
    let named = check_time(act, &place, announced).await?;
    Ok((place, named))
}

/// Whether its sender may have it on its way.
pub(super) async fn check_room<T: Reads>(
    act: &mut Act<'_, T>,
    place: &DocumentPlace,
    announced: &Announced,
    named: Option<&ManifestDocument>,
    sent: Sent<'_>,
) -> Result<Room> {
    let coming = coming(act, announced);
    // A second one that is sent meanwhile counts as any other: signed for is one.
    let is_awaited = is_awaited(act, place, announced, named).await? && is_first(act, &coming, sent).await?;
    quotas::check_documents(act, sent.arrival(), &coming, is_awaited).await?;
    let limit = act.exchange.document_limit.min(place.proposal.call.text.slot(&announced.slot)?.max_bytes);
    Ok(Room { limit, is_awaited })
}

/// Whether nobody of its partner began to send the same awaited document before: in one request, or in an upload that can be resumed and that
/// was begun as the awaited one.
async fn is_first<T: Reads>(act: &mut Act<'_, T>, coming: &Coming, sent: Sent<'_>) -> Result<bool> {
    let Coming { member, proposal, slot, .. } = coming;
    let besides = match sent {
        Sent::AtOnce(arrival) if !arrival.is_first() => return Ok(false),
        Sent::AtOnce(_) => None,
        Sent::OverTime(Some(row)) if row.is_awaited => return Ok(true),
        Sent::OverTime(_) if act.exchange.usage.is_coming(coming) => return Ok(false),
        // The one that a member begins takes the place of the one before.
        Sent::OverTime(_) => Some(member),
    };
    Ok(!uploads::is_awaited_of(&mut act.tx, member.partner(), besides, *proposal, slot).await?)
}

/// Makes a document of bytes that are here as a whole.
pub(super) async fn adopt(
    exchange: &Exchange,
    context: &RequestContext,
    announced: &Announced,
    arrived: ArrivedBytes,
    sent: Sent<'_>,
) -> Result<Answer> {
    let announced = &Announced { sha256: Some(arrived.staged.sha256()), ..announced.clone() };
    let arrived_at = announced.here_at.unwrap_or(arrived.arrived_at);
    let context = &RequestContext { arrived_at: Some(arrived_at), ..context.clone() };
    let (id, slot, sha256) = (announced.proposal, &announced.slot, arrived.staged.sha256());
    let look = label_losses::before_document(exchange, &context.principal, id, slot, sha256);
    let decided = DecidedReaders::of(look).await?;
    let mut act = Act::begin(exchange, context).await?;
    // Everything again: minutes or hours passed while the bytes came.
    let (proposal, permit) = own(&mut act, announced.proposal).await?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let (place, named) = check_place(&mut act, proposal, announced).await?;
    let coming = coming(&act, announced);
    // Its bytes are those that were signed for. Of several that came at once the first to be here is the one.
    let is_awaited = is_awaited(&mut act, &place, announced, named.as_ref()).await?;
    quotas::check_documents(&mut act, sent.arrival(), &coming, is_awaited).await?;
    let row = DocumentRow {
        id: DocumentId::new(&*exchange.clock, &*exchange.rng),
        proposal: announced.proposal,
        slot: announced.slot.clone(),
        party: place.party.clone(),
        vault: place.vault.id,
        sha256: arrived.staged.sha256(),
        size: arrived.staged.size(),
        media_type: announced.media_type.clone(),
        blob: arrived.staged.key().clone(),
        uploaded_by: act.me.id.clone(),
        uploaded_at: act.arrived_at,
        is_current: true,
        is_damaged: false,
    };
    if let Sent::OverTime(Some(upload)) = sent {
        // It may have been taken back, or have made room for another, since the last byte came.
        let still = uploads::find(&mut act.tx, upload.id).await?.ok_or(ServiceError::Hidden)?;
        uploads::end(&mut act.tx, &permit, &still, row.id).await?;
    }
    documents::put(&mut act.tx, &permit, &row).await?;
    let payload = DocumentStored {
        document: row.id,
        slot: row.slot.clone(),
        party: row.party.clone(),
        sha256: row.sha256,
        size: row.size,
        arrived_at: row.uploaded_at.into(),
    };
    act.log(Subject::proposal(&place.proposal), payload).await?;
    if named.is_some() {
        manifests::complete_if_all_here(&mut act, &permit, &place.proposal, &decided).await?;
    }
    announcements::recount_after_upload(&mut act, &permit, announced.proposal).await?;
    let location = format!("/v1/proposals/{}/documents/{}", announced.proposal, announced.slot);
    let tag = etag(Some(row.sha256));
    let answer = Answer::created(location, &answer(row)).with_etag(tag);
    arrived.adopt(act, answer).await
}

/// Takes a document out of the working set. Versions that name it keep it.
pub async fn remove(exchange: &Exchange, context: &RequestContext, id: ProposalId, slot: &Slug) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Upload, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let deadline_at = proposal.limits.deadline_at;
    if act.arrived_at > deadline_at {
        return Err(Refusal::DeadlinePassed { deadline_at, arrived_at: act.arrived_at }.into());
    }
    let party = own_party(&act, &proposal, slot)?;
    if present(&mut act, id, slot, party.as_ref()).await?.is_none() {
        return Err(Refusal::SlotEmpty { slot: slot.clone(), party }.into());
    }
    let now = act.now;
    documents::remove(&mut act.tx, &permit, id, slot, party.as_ref(), now).await?;
    let arrived_at = act.arrived_at.into();
    act.log(Subject::proposal(&proposal), DocumentRemoved { slot: slot.clone(), party, arrived_at }).await?;
    act.finish(Answer::done()).await
}

/// The documents of a proposal: for its parties the working set, for everybody else those of the standing version that
/// they may fetch.
///
/// Each party sees that the other's restricted documents are there, since the manifest that both sign names them by digest
/// and size; fetching one is another matter.
pub async fn list(exchange: &Exchange, principal: &Principal, id: ProposalId) -> Result<Page<Document>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    let is_party = proposal.facts.shows_as_party(&view.me.id);
    let rows = if is_party {
        documents::current(&mut view.tx, id).await?
    } else {
        view.authorize(Action::Read, Resource::Proposal(&proposal.facts))?;
        let mut rows = match versions::standing(&mut view.tx, &proposal).await? {
            Some(manifest) => versions::held(&mut view.tx, id, &manifest).await?,
            None => Vec::new(),
        };
        rows.retain(|row| may_fetch(&view, &proposal, row));
        rows
    };
    Ok(Page { items: rows.into_iter().map(answer).collect(), next: None })
}

/// Fetches a document's ciphertext, or the part of it that `wanted` chooses once the document is known. Leaves an entry: owners
/// see who has downloaded what. One that is known before its first byte not to be what was stored is refused, and leaves none.
pub async fn fetch(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    document: DocumentId,
    wanted: impl FnOnce(&Document) -> Result<Option<Range<u64>>>,
) -> Result<(Document, Reading)> {
    let (row, range) = {
        let mut view = View::open(exchange, &context.principal).await?;
        let (_, row) = fetchable(&mut view.tx, &view.policies, &view.me, view.now, id, document).await?;
        let range = wanted(&answer(row.clone()))?;
        (row, range)
    };
    // No transaction is open while the disk is waited for.
    if row.is_damaged {
        return Err(ServiceError::Damaged);
    }
    let stored = Stored { size: row.size, sha256: row.sha256 };
    let reading = match exchange.blobs.read(&row.blob, stored, range).await {
        Err(error @ (StoreError::NoSuchBlob(_) | StoreError::DamagedBlob { .. })) => {
            damage::note(&exchange.db, &HeldBlob::Document(row), exchange.clock.now(), &error).await;
            return Err(ServiceError::Damaged);
        }
        read => read?,
    };
    let mut act = Act::begin_read(exchange, context).await?;
    // Again, since the entry says that this member might have it at that moment.
    let (proposal, row) = fetchable(&mut act.tx, &act.policies, &act.me, act.now, id, document).await?;
    let DocumentRow { id: document, slot, party, sha256, .. } = row.clone();
    let payload = Payload::DocumentFetched(DocumentNamed { document, slot, party, sha256 });
    act.log(Subject::proposal(&proposal), payload).await?;
    act.finish_read(()).await?;
    let reading = Reading { bytes: noting_damage(exchange, row.clone(), reading.bytes), ..reading };
    Ok((answer(row), reading))
}

/// A document that the member may fetch, and its proposal.
async fn fetchable(
    tx: &mut Tx,
    policies: &Engine,
    me: &MemberFacts,
    now: Timestamp,
    id: ProposalId,
    document: DocumentId,
) -> Result<(ProposalState, DocumentRow)> {
    let proposal = state::proposal(tx, id, now).await?.ok_or(ServiceError::Hidden)?;
    permit(policies, me, Action::View, Resource::Proposal(&proposal.facts))?;
    let row = documents::find(tx, document).await?;
    let row = row.filter(|row| row.proposal == id).ok_or(ServiceError::Hidden)?;
    match &row.party {
        None => permit(policies, me, Action::Read, Resource::Proposal(&proposal.facts))?,
        Some(owner) => {
            permit(policies, me, Action::ReadStaff, Resource::StaffSlots { proposal: &proposal.facts, owner })?
        }
    };
    if !proposal.facts.shows_as_party(&me.id) {
        let manifest = versions::standing(tx, &proposal).await?;
        if !manifest.is_some_and(|manifest| versions::names(&manifest, &row)) {
            return Err(ServiceError::Hidden);
        }
    }
    Ok((proposal, row))
}

/// The bytes; should they turn out to be damaged, that is on record before the stream breaks off, so that nobody fetches what is
/// missing as a part.
fn noting_damage(
    exchange: &Exchange,
    row: DocumentRow,
    bytes: BoxStream<'static, Result<Bytes, StoreError>>,
) -> BoxStream<'static, Result<Bytes, StoreError>> {
    let (db, clock) = (exchange.db.clone(), Arc::clone(&exchange.clock));
    let held = HeldBlob::Document(row);
    let noted = bytes.or_else(move |error| {
        let (db, clock, held) = (db.clone(), Arc::clone(&clock), held.clone());
        async move {
            if matches!(error, StoreError::DamagedBlob { .. }) {
                damage::note(&db, &held, clock.now(), &error).await;
            }
            Err(error)
        }
    });
    noted.boxed()
}

/// The proposal, to which the caller may upload.
pub(super) async fn own<T: Reads>(act: &mut Act<'_, T>, id: ProposalId) -> Result<(ProposalState, Permit)> {
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Upload, Resource::Proposal(&proposal.facts))?;
    Ok((proposal, permit))
}

/// Whether this document may be put here at all, apart from the time.
async fn admit<T: Reads>(
    act: &mut Act<'_, T>,
    proposal: ProposalState,
    announced: &Announced,
) -> Result<DocumentPlace> {
    let party = own_party(act, &proposal, &announced.slot)?;
    let listed = Listed {
        slot: announced.slot.clone(),
        party: party.clone(),
        size: announced.size,
        media_type: announced.media_type.clone(),
    };
    check_document(&proposal.call.text, &listed, &proposal.row.parties)?;
    if announced.size > act.exchange.document_limit {
        return Err(ServiceError::TooLarge { limit: act.exchange.document_limit });
    }
    let kind = if party.is_some() { VaultKind::Staff } else { VaultKind::Panel };
    let found = vaults::of_proposal(&mut act.tx, announced.proposal).await?;
    let vault = found.into_iter().find(|vault| vault.kind == kind && vault.party == party);
    let vault = vault.ok_or_else(|| Refusal::ManifestMismatch {
        fault: format!("the proposal has no `{kind}` vault for this slot; make it first"),
    })?;
    Ok(DocumentPlace { proposal, party, vault })
}

/// The `ETag` of a slot: of the document that is in it, or of none.
fn etag(sha256: Option<Sha256>) -> String {
    sha256.map_or_else(|| "\"none\"".to_owned(), |sha256| format!("\"{sha256}\""))
}

/// The digest of the document in a slot, which is the one that `If-Match` names if it names one.
async fn present<T: Reads>(
    act: &mut Act<'_, T>,
    id: ProposalId,
    slot: &Slug,
    party: Option<&PartnerCode>,
) -> Result<Option<Sha256>> {
    let current = documents::current(&mut act.tx, id).await?;
    let found = current.into_iter().find(|document| document.slot == *slot && document.party.as_ref() == party);
    let sha256 = found.map(|document| document.sha256);
    act.check_match(&etag(sha256))?;
    Ok(sha256)
}

/// The party that a document in this slot belongs to: the caller's own for a restricted slot, nobody's otherwise.
fn own_party<T: Reads>(act: &Act<'_, T>, proposal: &ProposalState, slot: &Slug) -> Result<Option<PartnerCode>> {
    let audience = proposal.call.text.slot(slot)?.audience;
    Ok((audience == Audience::Staff).then(|| act.me.id.partner().clone()))
}

/// Refuses a document that may not arrive now; what a committed version that is not complete says of it, if it names it.
async fn check_time<T: Reads>(
    act: &mut Act<'_, T>,
    place: &DocumentPlace,
    announced: &Announced,
) -> Result<Option<ManifestDocument>> {
    let proposal = &place.proposal;
    if proposal.status == Status::Withdrawn {
        return Err(
            Refusal::WrongStatus { status: proposal.status.to_string(), needed: "one that is not withdrawn" }.into()
        );
    }
    if !matches!(proposal.call.phase, Phase::Open | Phase::Grace | Phase::Review) {
        return Err(Refusal::WrongPhase { phase: proposal.call.phase, needed: "an open call" }.into());
    }
    let named = match proposal.versions.committed() {
        Some(version) => versions::of_version(&mut act.tx, proposal.row.id, version.number)
            .await?
            .document(&announced.slot, place.party.as_ref())
            // As long as its digest is not known, it may be the one if it has as many bytes.
            .filter(|document| announced.sha256.map_or(document.size == announced.size, |is| is == document.sha256))
            .cloned(),
        None => None,
    };
    if act.arrived_at <= proposal.limits.deadline_at {
        Ok(named)
    } else if act.arrived_at > proposal.limits.grace_until {
        Err(Refusal::GracePassed { until: proposal.limits.grace_until, arrived_at: act.arrived_at }.into())
    } else if named.is_some() {
        Ok(named)
    } else {
        Err(Refusal::NotCommitted { slot: announced.slot.clone() }.into())
    }
}

/// Whether every party has signed for the document and no undamaged copy of it is in its place.
async fn is_awaited<T: Reads>(
    act: &mut Act<'_, T>,
    place: &DocumentPlace,
    announced: &Announced,
    named: Option<&ManifestDocument>,
) -> Result<bool> {
    let Some(document) = named.filter(|document| document.size == announced.size) else { return Ok(false) };
    let known = documents::with_digests(&mut act.tx, announced.proposal, &[document.sha256]).await?;
    Ok(!known.iter().any(|row| row.slot == announced.slot && row.party == place.party && !row.is_damaged))
}

fn coming<T: Reads>(act: &Act<'_, T>, announced: &Announced) -> Coming {
    let Announced { proposal, slot, sha256, size, .. } = announced;
    let (member, slot, is_awaited) = (act.me.id.clone(), slot.clone(), false);
    Coming { member, proposal: *proposal, slot, sha256: *sha256, size: *size, is_awaited }
}

fn may_fetch(view: &View<'_>, proposal: &ProposalState, row: &DocumentRow) -> bool {
    match &row.party {
        None => view.may(Action::Read, Resource::Proposal(&proposal.facts)),
        Some(owner) => view.may(Action::ReadStaff, Resource::StaffSlots { proposal: &proposal.facts, owner }),
    }
}

pub(super) fn answer(row: DocumentRow) -> Document {
    Document {
        id: row.id,
        slot: row.slot,
        party: row.party,
        vault: row.vault,
        sha256: row.sha256,
        size: row.size,
        media_type: row.media_type,
        uploaded_by: row.uploaded_by,
        uploaded_at: row.uploaded_at.into(),
    }
}
