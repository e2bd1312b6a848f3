//! Uploads that can be resumed: begun, added to, looked at and taken back by the member who began them, and made a document by their last byte.
//!
//! An upload is its member's alone: to everybody else it is not there, so nobody learns that a colleague is about to hand something in. It is
//! no act of the proposal until it is a document, so it leaves no entry before that. What may become a document here is decided by
//! [`documents`], as for bytes that come at once.

use super::{
    Answer, Exchange, Idempotency, Principal, RequestContext, Result, ServiceError,
    documents::{self, Announced, Counted},
    sealed_bytes,
    unit::{Act, Rehearsal, View},
};
use crate::{
    domain::id::{MemberId, ProposalId, Sha256, UploadId},
    storage::{
        Tx,
        documents::find as find_document,
        uploads::{self, UploadRow},
    },
    wire::proposal::ResumableUpload,
};
use bytes::Bytes;
use futures_util::Stream;
use jiff::{SignedDuration, Timestamp};

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
    documents::check_room(&mut act, &place, announced, named.as_ref(), None).await?;
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
    exchange: &Exchange,
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
    let (row, announced) = {
        let mut first = Rehearsal::rehearse(exchange, context).await?;
        let (state, _) = documents::own(&mut first, proposal).await?;
        let me = first.me.id.clone();
        let row = own(&mut first.tx, &me, proposal, upload).await?;
        if row.document.is_some() {
            return at_its_end(row);
        }
        let announced = announced(&row, here_at);
        let (place, named) = documents::check_place(&mut first, state, &announced).await?;
        documents::check_room(&mut first, &place, &announced, named.as_ref(), None).await?;
        (row, announced)
    };
    let resumed = exchange.blobs.resume(&row.blob, row.size).await?.ok_or(ServiceError::UploadBusy)?;
    // INVARIANT: no bytes lie where no row counts them. It may have been taken back, or replaced, while the file was waited for.
    if is_gone(exchange, context, proposal, upload).await? {
        drop(resumed);
        exchange.blobs.remove_resumable(&row.blob).await?;
        return Err(ServiceError::Hidden);
    }
    let at = told(&row, resumed.at());
    if offset != at {
        return Err(ServiceError::OtherOffset { at });
    }
    let mut taken = sealed_bytes::append(exchange, &row, resumed, turn.until_ended(bytes)).await?;
    let Some(arrived) = sealed_bytes::whole(exchange, &row, &mut taken).await? else {
        let at = told(&row, taken.at());
        return Ok(shown(row, at));
    };
    let context = &RequestContext { idempotency: Some(of_its_end(&row)), ..context.clone() };
    let adopted = documents::adopt(exchange, context, &announced, arrived, Counted::Upload(&row)).await;
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

/// Takes an upload back. A document that was made of it stays.
pub async fn remove(
    exchange: &Exchange,
    context: &RequestContext,
    proposal: ProposalId,
    upload: UploadId,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let (_, permit) = documents::own(&mut act, proposal).await?;
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

/// Lets go what is here of an upload whose row is gone.
pub(super) async fn give_up(exchange: &Exchange, row: &UploadRow) {
    exchange.appends.end(row.id);
    if let Err(error) = exchange.blobs.remove_resumable(&row.blob).await {
        tracing::warn!(%error, "what is left of an upload that was given up remains until the next sweep");
    }
}

/// Whether an upload has no row any more.
async fn is_gone(
    exchange: &Exchange,
    context: &RequestContext,
    proposal: ProposalId,
    upload: UploadId,
) -> Result<bool> {
    let mut view = View::open(exchange, &context.principal).await?;
    let me = view.me.id.clone();
    match own(&mut view.tx, &me, proposal, upload).await {
        Ok(_) => Ok(false),
        Err(ServiceError::Hidden) => Ok(true),
        Err(error) => Err(error),
    }
}

/// An upload of the member's own to this proposal.
async fn own(tx: &mut Tx, me: &MemberId, proposal: ProposalId, upload: UploadId) -> Result<UploadRow> {
    let row = uploads::find(tx, upload).await?;
    row.filter(|row| row.proposal == proposal && row.member == *me).ok_or(ServiceError::Hidden)
}

fn announced(row: &UploadRow, here_at: Option<Timestamp>) -> Announced {
    let UploadRow { proposal, slot, sha256, size, media_type, .. } = row.clone();
    Announced { proposal, slot, sha256, size, media_type, here_at }
}

/// By what its end is recognised when it is not known whether the database kept it. No client sends a key with a space.
fn of_its_end(row: &UploadRow) -> Idempotency {
    Idempotency { key: format!("upload {}", row.id), request_sha256: Sha256::of(row.id.to_string().as_bytes()) }
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
