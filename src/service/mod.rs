//! The operations, one readable function each: visible? permitted? does the rule allow it? then the effect and its log entry
//! in one unit of work.
//!
//! Nothing here knows HTTP, and nothing here compares roles: policy does. A function that changes anything goes through
//! [`unit::Act`], a function that only looks through [`unit::View`].

mod announcements;
pub mod appends;
pub mod assignments;
pub mod calls;
pub mod cancellation;
pub mod comparison;
mod cursors;
pub mod damage;
mod decided_readers;
pub mod decisions;
pub mod declines;
mod described;
pub mod directory;
pub mod documents;
pub mod endings;
pub mod entries;
mod evaluation;
pub mod explanation;
pub mod extensions;
pub mod feed;
pub mod first_look;
mod foreseen;
pub mod inbox;
mod label_losses;
pub mod labels;
pub mod leftover_keys;
pub mod lists;
pub mod manifests;
pub mod marks;
pub mod member_certificates;
pub mod missing_keys;
pub mod operator;
mod outcome;
pub mod own_keys;
pub mod panel;
pub mod parties;
pub mod policies;
pub mod preview;
pub mod programs;
pub mod proposals;
pub mod quotas;
pub mod rankings;
pub mod reviews;
pub mod roles;
pub mod rules;
mod sealed_bytes;
pub mod state;
mod stepwise;
pub mod surplus_keys;
pub mod suspension;
mod ties;
pub mod time;
pub mod unit;
pub mod upkeep;
pub mod uploads;
pub mod usage;
mod vault_access;
pub mod vaults;
mod verified;
pub mod verify;
mod versions;
pub mod visibility;
mod voided;
mod wraps;

/// How many wrapped keys one request brings, and how large each is.
pub use wraps::{MAX_WRAPPED_KEY, MOST as MOST_KEYS};

use crate::{
    domain::{
        Refusal,
        ambient::{Clock, Rng},
        id::{MemberId, PartnerCode, Sha256},
        text::counted,
    },
    sealing::statement::StatementError,
    share_table::{self, LONGEST_LOOK, WAIT_FOR_LONG_WORK},
    storage::{Blobs, Db, Queue, Spools, StoreError, Turn, Whose, idempotency::Recorded},
    wire::problem::LineFault,
};
use jiff::Timestamp;
use serde::Serialize;
use std::{fmt, sync::Arc};
use tokio::{task::spawn_blocking, time::timeout};

/// Queues for work that takes long: manifests, previews, counts, looks before acts and looks over much of the log, which keep a snapshot
/// open and leave a reader of the database to others, looks through uploads, and reading and evaluating policies. No partner has all places of a queue that has
/// several. A member without permission does not queue.
#[derive(Debug)]
pub struct LongWorkQueues {
    manifests: Queue,
    scans: Queue,
    counts: Queue,
    looks_before_acts: Queue,
    logs: Queue,
    uploads: Queue,
    policy_texts: Queue,
    evaluations: Queue,
}

impl LongWorkQueues {
    /// A turn at a manifest, which can take an hour: nobody's preview waits for one.
    pub async fn manifest(&self, principal: &Principal) -> Result<Turn> {
        take(&self.manifests, &principal.member).await
    }

    /// A turn at a scan over many proposals: a preview, a dry run.
    pub async fn scan(&self, principal: &Principal) -> Result<Turn> {
        take(&self.scans, &principal.member).await
    }

    /// A turn at a count, which reads all that it counts.
    pub async fn count(&self, principal: &Principal) -> Result<Turn> {
        take(&self.counts, &principal.member).await
    }

    /// A turn at what an act counts or looks for before it takes place: it waits for no mere count.
    pub async fn look_before_act(&self, principal: &Principal) -> Result<Turn> {
        take(&self.looks_before_acts, &principal.member).await
    }

    /// A turn at a look over much of the log.
    pub async fn log(&self, principal: &Principal) -> Result<Turn> {
        take(&self.logs, &principal.member).await
    }

    /// A turn at looking through an upload that came over several requests, which reads all of its bytes again.
    pub async fn upload(&self, who: &MemberId) -> Result<Turn> {
        take(&self.uploads, who).await
    }

    /// How many uploads wait to be looked through.
    #[must_use]
    pub fn uploads_waiting(&self) -> usize {
        self.uploads.members()
    }

    /// A turn at reading the text of policies, which takes processor time: one at a time, so that some is left for
    /// others.
    pub async fn policy_text(&self, principal: &Principal) -> Result<Turn> {
        take(&self.policy_texts, &principal.member).await
    }

    /// A turn at evaluating policies for a read of many things, which takes processor time that another nation's text decides.
    pub async fn evaluation(&self, who: &MemberId) -> Result<Turn> {
        take(&self.evaluations, who).await
    }

    /// How many wait for a turn at evaluating.
    #[must_use]
    pub fn evaluations_waiting(&self) -> usize {
        self.evaluations.members()
    }
}

/// Waits for a turn, which the caller holds while the work runs.
async fn take(queue: &Queue, who: &MemberId) -> Result<Turn> {
    let turn = timeout(WAIT_FOR_LONG_WORK, queue.take(Whose::Member(who.clone()))).await;
    Ok(turn.map_err(|_| {
        StoreError::Unavailable(
            "others look and count over many proposals, or have texts read or uploads checked".into(),
        )
    })?)
}

impl Default for LongWorkQueues {
    fn default() -> Self {
        Self {
            manifests: Queue::of(share_table::MANIFESTS),
            scans: Queue::of(share_table::SCANS),
            counts: Queue::of(share_table::COUNTS),
            looks_before_acts: Queue::of(share_table::LOOKS_BEFORE_ACTS),
            logs: Queue::of(share_table::LOG_LOOKS),
            uploads: Queue::of(share_table::LOOKS_THROUGH_UPLOADS),
            policy_texts: Queue::of(share_table::POLICY_TEXTS),
            evaluations: Queue::of(share_table::EVALUATIONS),
        }
    }
}

/// Does what takes the processor's time and nothing else, off the threads that serve others.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Ok(spawn_blocking(work).await.map_err(|error| StoreError::Io(error.into()))?)
}

/// The exchange: everything that an operation needs.
#[derive(Debug)]
pub struct Exchange {
    pub db: Db,
    pub blobs: Blobs,
    /// Answers that clients read slowly wait here.
    pub spools: Spools,
    /// Which policies are in force.
    pub rules: rules::Rules,
    /// For identifiers and certificates. What happens on the exchange goes by its time.
    pub clock: Arc<dyn Clock>,
    pub time: Arc<time::ExchangeTime>,
    pub rng: Arc<dyn Rng>,
    /// Calls as they were last read.
    pub calls: state::KnownCalls,
    /// The conditions of earlier lists.
    pub lists: lists::KnownLists,
    /// The partner that hosts the exchange.
    pub host: PartnerCode,
    /// Keys that went with a role and that no act has removed yet.
    pub leftover_keys: leftover_keys::LeftoverKeys,
    /// The turns at long looks.
    pub long_work: LongWorkQueues,
    /// What requests that wait for new entries have in common.
    pub feed: feed::Feed,
    /// The exchange's signing key.
    pub signer: visibility::ExchangeKey,
    /// Largest ciphertext that any slot takes here, in bytes.
    pub document_limit: u64,
    /// How much one may keep here.
    pub quotas: quotas::Quotas,
    /// The amounts that count towards them and are in no row of the database.
    pub usage: usage::Usage,
    /// The uploads to which requests of this server add.
    pub appends: appends::Appends,
    /// The certificates that came to this server and end soon.
    pub seen_certificates: endings::SeenCertificates,
}

/// The caller: a certificate under a partner's anchor, and the member that a key card names for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub member: MemberId,
    /// The certificate the caller came with.
    pub certificate: Sha256,
}

/// The key and digest by which a repeated request is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// Digest over method, path, precondition and body.
    pub request_sha256: Sha256,
    /// Digest over method and path.
    pub address_sha256: Sha256,
}

impl Idempotency {
    /// The request of that method and path, for the state that its sender saw; `said` is its body, or whatever stands for it.
    #[must_use]
    pub fn of(key: &str, (method, path): (&str, &str), if_match: Option<&str>, said: &[u8]) -> Self {
        // No part can hold a line feed, so no two requests look alike.
        let address = format!("{method}\n{path}");
        let request = format!("{address}\n{}\n{}", if_match.unwrap_or_default(), Sha256::of(said));
        let [request_sha256, address_sha256] = [&request, &address].map(|text| Sha256::of(text.as_bytes()));
        Self { key: key.to_owned(), request_sha256, address_sha256 }
    }
}

/// The context of a request: everything about it that is not its body.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub principal: Principal,
    /// None for reads, which are repeated rather than remembered.
    pub idempotency: Option<Idempotency>,
    /// The `If-Match` header.
    pub if_match: Option<String>,
    /// Whether only the head of the answer is wanted: nothing is handed out then, so nothing is logged.
    pub is_head: bool,
    /// The caller's certificate, if it can become invalid while the request is under way.
    pub credential: Option<Arc<dyn Credential>>,
    /// When the last byte of the request was here; none for what is judged when it takes place.
    pub arrived_at: Option<Timestamp>,
    /// Of its body, in bytes.
    pub size: u64,
    /// Whether the act is only rehearsed: see [`RequestContext::rehearsal`].
    pub is_rehearsal: bool,
}

/// The certificate that admitted a caller. The upload may have taken hours since, so an act checks it again.
pub trait Credential: fmt::Debug + Send + Sync {
    /// Says why it no longer counts, if it does not.
    fn check(&self) -> Result<(), String>;

    /// Whether the request goes on although its partner is suspended: it is a registrar's, and one of those that are left to registrars.
    fn outlasts_suspension(&self) -> bool {
        false
    }
}

impl RequestContext {
    /// A read that leaves an entry in the log, unless only its head is wanted.
    #[must_use]
    pub fn read(principal: Principal, is_head: bool) -> Self {
        Self {
            principal,
            idempotency: None,
            if_match: None,
            is_head,
            credential: None,
            arrived_at: None,
            size: 0,
            is_rehearsal: false,
        }
    }

    /// The same for a rehearsal, by which an act that is refused takes no turn from others: while somebody writes or waits to, everything
    /// up to the first thing that it would write is decided on a snapshot first. It was taken after the request came, so the request
    /// sees all that was answered before it was sent. None while nobody waits.
    #[must_use]
    pub fn rehearsal(&self, exchange: &Exchange) -> Option<Self> {
        exchange.db.is_writing().then(|| Self { is_rehearsal: true, ..self.clone() })
    }
}

/// The result of a rehearsal: a refusal, or an earlier answer. Everything else is left to the act in its turn, and so is a failure of the
/// snapshot.
pub fn settled<T>(rehearsed: Result<T>) -> Option<Result<T>> {
    match rehearsed {
        Err(ServiceError::Store(_)) => None,
        settled => Some(settled),
    }
}

/// Why an operation was not done. Nothing of it remains, unless [`ServiceError::is_certain`] says no.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The thing does not exist, or the caller may not know of it: one answer for both.
    #[error("not found")]
    Hidden,
    /// Policy does not permit it.
    #[error("{0}")]
    Denied(String),
    /// This very request was done before, or its caller has what it would get, and this is what they are answered.
    #[error("nothing is left to be done")]
    Repeated(Box<Answer>),
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The body has the right shape but a value that cannot be meant.
    #[error("{0}")]
    Malformed(String),
    #[error("the bytes are not a complete age file: {0}")]
    NotSealed(String),
    #[error("the bytes have another {0} than announced")]
    NotAsAnnounced(&'static str),
    #[error("at most {limit} bytes are taken")]
    TooLarge { limit: u64 },
    #[error("the upload ended before all bytes had arrived")]
    Interrupted,
    #[error("the upload goes on at byte {at}")]
    OtherOffset { at: u64 },
    #[error("another request still adds to this upload")]
    UploadBusy,
    #[error("the range begins past the end, {size} bytes")]
    OutOfRange { size: u64 },
    #[error("the stored bytes of the document are missing or damaged")]
    Damaged,
    #[error("no key card in force names this certificate")]
    NotAMember,
    /// It did when the request began.
    #[error("{0}")]
    CertificateRefused(String),
    #[error("send the `ETag` you read in `If-Match`")]
    PreconditionRequired,
    #[error("its `ETag` is now `{current}`")]
    PreconditionFailed { current: String },
    #[error("the key was first used for another request")]
    IdempotencyKeyReused,
    #[error("{} be done", counted(.0.len(), "line cannot", "lines cannot"))]
    Lines(Vec<LineFault>),
    #[error("the cursor is invalid")]
    BadCursor,
    /// The policies cannot be evaluated as a whole, though each could be when it was loaded.
    #[error("{0}")]
    Policies(String),
    /// The exchange's own key cannot sign.
    #[error("the exchange cannot sign this: {0}")]
    CannotSign(String),
    #[error(transparent)]
    Clock(#[from] time::ClockFault),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StatementError> for ServiceError {
    fn from(error: StatementError) -> Self {
        Refusal::Statement { fault: error.to_string() }.into()
    }
}

/// The result of an operation.
pub type Result<T, E = ServiceError> = std::result::Result<T, E>;

/// The answer to an act, as it is recorded for a repeated request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// JSON; empty with status 204.
    pub body: Vec<u8>,
    pub etag: Option<String>,
    pub location: Option<String>,
    /// Whether it is the answer that an earlier, equal request got.
    pub is_replay: bool,
}

impl Answer {
    /// An answer with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("our bodies have string keys and finite numbers");
        Self { status, body, etag: None, location: None, is_replay: false }
    }

    /// 201 with the address of what was made.
    #[must_use]
    pub fn created(location: String, body: &impl Serialize) -> Self {
        Self { location: Some(location), ..Self::json(201, body) }
    }

    /// 204: done, nothing to say.
    #[must_use]
    pub fn done() -> Self {
        Self { status: 204, body: Vec::new(), etag: None, location: None, is_replay: false }
    }

    /// 304: the caller has the state with this `ETag`.
    #[must_use]
    pub fn not_modified(etag: String) -> Self {
        Self { status: 304, etag: Some(etag), ..Self::done() }
    }

    /// The same with an `ETag`.
    #[must_use]
    pub fn with_etag(self, etag: String) -> Self {
        Self { etag: Some(etag), ..self }
    }

    /// The bare fact that it was done, without the content of the answer.
    fn without_content(self) -> Self {
        Self { body: Vec::new(), etag: None, location: None, ..self }
    }

    fn recorded(&self, idempotency: &Idempotency, created_at: Timestamp) -> Recorded {
        Recorded {
            request_sha256: idempotency.request_sha256,
            address_sha256: Some(idempotency.address_sha256),
            status: self.status,
            content_type: (!self.body.is_empty()).then(|| "application/json".to_owned()),
            body: self.body.clone(),
            etag: self.etag.clone(),
            location: self.location.clone(),
            created_at,
        }
    }

    fn replayed(recorded: Recorded) -> Self {
        Self {
            status: recorded.status,
            body: recorded.body,
            etag: recorded.etag,
            location: recorded.location,
            is_replay: true,
        }
    }
}

/// Asks a policy outcome for its permit, or says why there is none.
fn permitted(outcome: crate::policy::Authorization) -> Result<crate::policy::Permit> {
    match outcome {
        crate::policy::Authorization::Permitted(permit) => Ok(permit),
        crate::policy::Authorization::Denied(reasons) => Err(ServiceError::Denied(reasons.to_string())),
        crate::policy::Authorization::Hidden(_) => Err(ServiceError::Hidden),
    }
}
