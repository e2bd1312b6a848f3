//! Uploads that can be resumed: begun, added to, looked at and taken back by the member who began them, and made a document by their last byte.
//!
//! An upload is its member's alone: to everybody else it is not there, so nobody learns that a colleague is about to hand something in. It is
//! no act of the proposal until it is a document, so it leaves no entry before that. What may become a document here is decided by
//! [`documents`], as for bytes that come at once.

use super::{
    Answer, Exchange, Idempotency, Principal, RequestContext, Result, ServiceError,
    documents::{self, Announced, Room, Sent},
    quotas,
    sealed_bytes::{self, give_up},
    unit::{Act, Rehearsal, View},
};
use crate::{
    domain::id::{MemberId, ProposalId, Sha256, UploadId},
    policy::{Action, Permit, Resource},
    storage::{
        Tx, Whose,
        documents::find as find_document,
        uploads::{self, UploadRow},
    },
    wire::proposal::ResumableUpload,
};
use bytes::Bytes;
use futures_util::Stream;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// For so long an upload whose bytes are all here counts as arrived when the last of them was. Whatever keeps the exchange from making the
/// document is over by then; nobody chooses days after a deadline whether a document of theirs was in time.
const ARRIVAL_COUNTS_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Bytes that are to follow those of an upload that are here.
#[derive(Debug, Clone, Copy)]
pub struct Continuation {
    pub proposal: ProposalId,
    pub upload: UploadId,
    /// How many bytes there are before them.
    pub offset: u64,
    /// When the last of them was here, if it was before anything was asked of the database.
    pub here_at: Option<Timestamp>,
}

/// Begins an upload. Another one of the same member to the same slot is over: nobody has more than one for it.
pub async fn begin(exchange: &Exchange, context: &RequestContext, announced: &Announced) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let (proposal, permit) = documents::own(&mut act, announced.proposal).await?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let (place, named) = documents::check_place(&mut act, proposal, announced).await?;
    quotas::check_uploads(&mut act, announced.proposal, &announced.slot).await?;
    let Room { is_awaited, .. } =
        documents::check_room(&mut act, &place, announced, named.as_ref(), Sent::OverTime(None)).await?;
    let hours = SignedDuration::from_hours(exchange.quotas.unfinished_uploads_hours.max(1).into());
    let row = UploadRow {
        id: UploadId::new(&*exchange.clock, &*exchange.rng),
        proposal: announced.proposal,
        slot: announced.slot.clone(),
        member: act.me.id.clone(),
        size: announced.size,
        media_type: announced.media_type.clone(),
        sha256: announced.sha256,
        blob: exchange.blobs.new_key(),
        begun_at: act.now,
        expires_at: act.now.saturating_add(hours).unwrap_or(Timestamp::MAX),
        document: None,
        is_awaited,
        whole_at: None,
        whole_sha256: None,
    };
    let earlier = uploads::begin(&mut act.tx, &permit, &row).await?;
    let location = format!("/v1/proposals/{}/uploads/{}", row.proposal, row.id);
    let answer = act.finish(Answer::created(location, &shown(row, 0))).await?;
    if let Some(earlier) = earlier {
        give_up(exchange, &earlier).await;
    }
    Ok(answer)
}

/// How far an upload of one's own has come.
pub async fn show(
    exchange: &Exchange,
    principal: &Principal,
    proposal: ProposalId,
    upload: UploadId,
) -> Result<ResumableUpload> {
    let (row, document) = {
        let mut view = View::open(exchange, principal).await?;
        view.proposal(proposal).await?;
        let row = own(&mut view.tx, &view.me.id, proposal, upload).await?;
        let document = match row.document {
            Some(document) => find_document(&mut view.tx, document).await?,
            None => None,
        };
        (row, document)
    };
    // No transaction is open while the disk is waited for.
    let offset = offset(exchange, &row).await?;
    Ok(ResumableUpload { document: document.map(documents::answer), ..shown(row, offset) })
}

/// Adds bytes to an upload, and makes a document of it when all are here. A request that still adds to it ends here, and so does this one when
/// another follows.
pub async fn append<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    exchange: &Arc<Exchange>,
    context: &RequestContext,
    continuation: Continuation,
    bytes: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<ResumableUpload> {
    let Continuation { proposal, upload, offset, here_at } = continuation;
    let at_its_end = |row: UploadRow| match row.size {
        size if size == offset => Ok(shown(row, offset)),
        size => Err(ServiceError::OtherOffset { at: size }),
    };
    {
        // Whose it is comes first: nobody ends somebody else's request.
        let mut view = View::open(exchange, &context.principal).await?;
        view.proposal(proposal).await?;
        let row = own(&mut view.tx, &view.me.id, proposal, upload).await?;
        if row.document.is_some() {
            return at_its_end(row);
        }
    }
    let turn = exchange.appends.begin(upload).await.ok_or(ServiceError::UploadBusy)?;
    let (row, permit) = {
        let mut first = Rehearsal::rehearse(exchange, context).await?;
        let (state, permit) = documents::own(&mut first, proposal).await?;
        let me = first.me.id.clone();
        let row = own(&mut first.tx, &me, proposal, upload).await?;
        if row.document.is_some() {
            return at_its_end(row);
        }
        first.arrived_at = arrival(&row, first.arrived_at);
        let announced = announced(&row, None);
        let (place, named) = documents::check_place(&mut first, state, &announced).await?;
        documents::check_room(&mut first, &place, &announced, named.as_ref(), Sent::OverTime(Some(&row))).await?;
        (row, permit)
    };
    let resumed = exchange.blobs.resume(&row.blob, row.size).await?.ok_or(ServiceError::UploadBusy)?;
    // INVARIANT: no bytes lie where no row counts them. It may have been taken back, or replaced, while the file was waited for. And only now
    // nobody else changes what the row says of the file.
    let Some(mut row) = still(exchange, context, proposal, upload).await? else {
        drop(resumed);
        exchange.blobs.remove_resumable(&row.blob).await?;
        return Err(ServiceError::Hidden);
    };
    if row.document.is_some() {
        drop(resumed);
        exchange.blobs.remove_resumable(&row.blob).await?;
        return at_its_end(row);
    }
    let at = told(&row, resumed.at());
    if offset != at {
        return Err(ServiceError::OtherOffset { at });
    }
    // INVARIANT: the instant is that of the bytes that are here. Others came by it that were thrown away since, or that no backup has.
    if resumed.at() < row.size && row.whole_at.is_some() {
        note_whole(exchange, &permit, &mut row, None, None).await?;
    }
    let mut taken = sealed_bytes::append(exchange, &row, resumed, turn.until_ended(bytes)).await?;
    let arrived_at = here_at.unwrap_or_else(|| taken.arrived_at());
    if taken.at() == row.size && row.whole_at.is_none() {
        // Before all that can take long: whatever ends this request, the bytes were here at this instant.
        note_whole(exchange, &permit, &mut row, Some(arrived_at), None).await?;
    }
    if taken.at() == row.size && row.whole_sha256.is_none() && !taken.came_at_once() {
        let looking = tokio::spawn(look_through(Arc::clone(exchange), permit, row));
        row = looking.await.map_err(|_| ServiceError::Interrupted)??;
    }
    let Some(arrived) = sealed_bytes::whole(exchange, &row, &mut taken).await? else {
        let at = told(&row, taken.at());
        return Ok(shown(row, at));
    };
    let announced = announced(&row, Some(arrival(&row, arrived_at)));
    let context = &RequestContext { idempotency: Some(of_its_end(&row)), ..context.clone() };
    let adopted = documents::adopt(exchange, context, &announced, arrived, Sent::OverTime(Some(&row))).await;
    if matches!(adopted, Err(ServiceError::Hidden)) {
        exchange.blobs.remove_resumable(&row.blob).await?;
    }
    adopted?;
    if let Err(error) = exchange.blobs.remove_resumable(&row.blob).await {
        tracing::warn!(%error, "what is left of an upload that became a document remains until the next sweep");
    }
    taken.release().await;
    let size = row.size;
    Ok(shown(row, size))
}

/// Takes an upload back, whatever else its member may do by now. A document that was made of it stays.
pub async fn remove(
    exchange: &Exchange,
    context: &RequestContext,
    proposal: ProposalId,
    upload: UploadId,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let state = act.proposal(proposal).await?;
    let permit = act.authorize(Action::View, Resource::Proposal(&state.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let me = act.me.id.clone();
    let row = own(&mut act.tx, &me, proposal, upload).await?;
    uploads::remove(&mut act.tx, &permit, &row).await?;
    let answer = act.finish(Answer::done()).await?;
    give_up(exchange, &row).await;
    Ok(answer)
}

/// An upload as it is now, if it is still there.
async fn still(
    exchange: &Exchange,
    context: &RequestContext,
    proposal: ProposalId,
    upload: UploadId,
) -> Result<Option<UploadRow>> {
    let mut view = View::open(exchange, &context.principal).await?;
    let me = view.me.id.clone();
    match own(&mut view.tx, &me, proposal, upload).await {
        Ok(row) => Ok(Some(row)),
        Err(ServiceError::Hidden) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks through the bytes of an upload that came over several requests, and notes their digest. It goes on when the request has gone: else a
/// look that takes longer than a request lasts would begin from the first byte with each. An upload that is not sealed is empty again.
async fn look_through(exchange: Arc<Exchange>, permit: Permit, mut row: UploadRow) -> Result<UploadRow> {
    let turn = exchange.long_work.upload(&row.member).await?;
    // While the turn was waited for, the look of an earlier request may have come to its end.
    let mut tx = exchange.db.read_for(Whose::Member(row.member.clone())).await?;
    let present = uploads::find(&mut tx, row.id).await?.ok_or(ServiceError::Hidden)?;
    drop(tx);
    if present.whole_at != row.whole_at {
        return Err(ServiceError::UploadBusy);
    }
    if present.whole_sha256.is_some() {
        row.whole_sha256 = present.whole_sha256;
        return Ok(row);
    }
    let looked = sealed_bytes::look_through(&exchange, &row, turn).await;
    if looked.as_ref().is_err_and(|error| !matches!(error, ServiceError::NotSealed(_))) {
        return Err(looked.err().unwrap_or(ServiceError::Interrupted));
    }
    let mut tx = exchange.db.write_for(Whose::Member(row.member.clone())).await?;
    // INVARIANT: a digest is noted of the bytes that were looked through. Others came where they were here at another instant.
    let present = uploads::find(&mut tx, row.id).await?.ok_or(ServiceError::Hidden)?;
    if present.whole_at != row.whole_at {
        return Err(ServiceError::UploadBusy);
    }
    let noted = looked.as_ref().ok().copied();
    uploads::note_whole(&mut tx, &permit, &row, row.whole_at.filter(|_| noted.is_some()), noted).await?;
    tx.commit().await?;
    if noted.is_none() {
        exchange.blobs.remove_resumable(&row.blob).await?;
    }
    row.whole_sha256 = Some(looked?);
    Ok(row)
}

/// Notes when all bytes of an upload were here, and their digest if it was taken. The file is this request's alone meanwhile.
async fn note_whole(
    exchange: &Exchange,
    permit: &Permit,
    row: &mut UploadRow,
    whole_at: Option<Timestamp>,
    sha256: Option<Sha256>,
) -> Result<()> {
    let mut tx = exchange.db.write_for(Whose::Member(row.member.clone())).await?;
    uploads::note_whole(&mut tx, permit, row, whole_at, sha256).await?;
    tx.commit().await?;
    (row.whole_at, row.whole_sha256) = (whole_at, sha256);
    Ok(())
}

/// By which instant it is judged whether an upload is in time, to which a request adds that arrived then.
fn arrival(row: &UploadRow, arrived_at: Timestamp) -> Timestamp {
    let counts = |at: &Timestamp| *at <= arrived_at && arrived_at.duration_since(*at) <= ARRIVAL_COUNTS_FOR;
    row.whole_at.filter(counts).unwrap_or(arrived_at)
}

/// An upload of the member's own to this proposal.
async fn own(tx: &mut Tx, me: &MemberId, proposal: ProposalId, upload: UploadId) -> Result<UploadRow> {
    let row = uploads::find(tx, upload).await?;
    row.filter(|row| row.proposal == proposal && row.member == *me).ok_or(ServiceError::Hidden)
}

fn announced(row: &UploadRow, here_at: Option<Timestamp>) -> Announced {
    let UploadRow { proposal, slot, sha256, whole_sha256, size, media_type, .. } = row.clone();
    let sha256 = sha256.or(whole_sha256);
    Announced { proposal, slot, sha256, size, media_type, here_at }
}

/// By what its end is recognised when it is not known whether the database kept it. No client sends a key with a space.
fn of_its_end(row: &UploadRow) -> Idempotency {
    let sha256 = Sha256::of(row.id.to_string().as_bytes());
    Idempotency { key: format!("upload {}", row.id), request_sha256: sha256, address_sha256: sha256 }
}

async fn offset(exchange: &Exchange, row: &UploadRow) -> Result<u64> {
    match row.document {
        Some(_) => Ok(row.size),
        None => Ok(told(row, exchange.blobs.resumable_size(&row.blob).await?)),
    }
}

/// The byte at which an upload goes on that is no document yet. Clients take one whose bytes are all here for done, so the last byte is asked
/// for again where it did not become one.
fn told(row: &UploadRow, here: u64) -> u64 {
    here.min(row.size.saturating_sub(1))
}

fn shown(row: UploadRow, offset: u64) -> ResumableUpload {
    let UploadRow { id, slot, size, expires_at, .. } = row;
    ResumableUpload { id, slot, size, offset, expires_at: expires_at.into(), document: None }
}
