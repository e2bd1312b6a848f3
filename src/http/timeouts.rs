//! How long a connection may take over what it does.
//!
//! Every state of a connection has an end: waiting for the first header, reading one, idling between requests, moving a
//! body. Nobody can hold a place by being slow. The clock here is the monotonic one of the runtime, never the wall clock.

use super::{config::Limits, shares::HeldByAnswer};
use crate::metrics;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// What one connection is doing and since when. Times are microseconds since it began; 0 stands for never.
#[derive(Debug)]
pub(super) struct ConnectionActivity {
    began: Instant,
    /// HTTP/1 alone: in HTTP/2 bytes arrive for many reasons and a slow header costs no connection.
    watches_heads: bool,
    open_requests: AtomicUsize,
    /// Since when no request is open.
    idle_since: AtomicU64,
    /// When the header now being read began to arrive.
    head_since: AtomicU64,
    /// When a piece of a body last moved, either way, or a request was opened.
    moved_at: AtomicU64,
    requests: AtomicU64,
    /// How far each answer under way is, by its request's number. HTTP/2 has several.
    answers: Mutex<BTreeMap<u64, Arc<AnswerProgress>>>,
    /// HTTP/1: an answer went out before its request's body was read to the end.
    body_left: AtomicBool,
    retire: CancellationToken,
    displaced: CancellationToken,
}

/// How far an answer is.
#[derive(Debug, Default)]
struct AnswerProgress {
    /// When a piece of it last went out, or was made.
    moved_at: AtomicU64,
    /// Whether the next piece is still to be made: nobody can take it.
    is_in_making: AtomicBool,
}

/// Which limit a connection ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overrun {
    Header,
    Idle,
    Stall,
    /// Somebody else has its place.
    Displaced,
}

impl ConnectionActivity {
    pub(super) fn new(watches_heads: bool, retire: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            watches_heads,
            open_requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            moved_at: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            answers: Mutex::default(),
            body_left: AtomicBool::new(false),
            retire,
            displaced: CancellationToken::new(),
        })
    }

    /// Has the connection finish what it does and close.
    pub(super) fn retire(&self) {
        self.retire.cancel();
    }

    pub(super) fn retired(&self) -> &CancellationToken {
        &self.retire
    }

    /// Ends the connection whatever it does: another has its place, and there are no more.
    pub(super) fn displace(&self) {
        self.displaced.cancel();
    }

    pub(super) fn displaced(&self) -> &CancellationToken {
        &self.displaced
    }

    /// Since when the connection has no request open, if so.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.open_requests.load(Ordering::Acquire) == 0).then(|| self.instant(&self.idle_since))
    }

    /// The moment at which the connection, unless something happens, has overrun a limit, and which.
    pub(super) fn deadline(&self, limits: &Limits) -> (Instant, Overrun) {
        if self.open_requests.load(Ordering::Acquire) > 0 {
            let ours = limits.stall.max(limits.work);
            let limit = |answer: &Arc<AnswerProgress>| {
                if answer.is_in_making.load(Ordering::Acquire) { ours } else { limits.stall }
            };
            let answers = self.answers();
            // INVARIANT: an answer that nobody takes is not kept by what else moves on its connection.
            let due = if self.watches_heads {
                answers.values().next().map(|answer| self.instant(&self.moved_at) + limit(answer))
            } else {
                answers.values().map(|answer| self.instant(&answer.moved_at) + limit(answer)).min()
            };
            // Without an answer the exchange is at work. A body that is still to come has limits of its own.
            return (due.unwrap_or_else(|| self.instant(&self.moved_at) + ours), Overrun::Stall);
        }
        if self.head_since.load(Ordering::Acquire) > 0 {
            return (self.instant(&self.head_since) + limits.header, Overrun::Header);
        }
        if self.requests.load(Ordering::Acquire) == 0 {
            return (self.began + limits.header, Overrun::Header);
        }
        (self.instant(&self.idle_since) + limits.idle, Overrun::Idle)
    }

    /// Opens a request; it stays open until the guard is dropped.
    pub(super) fn open_request(self: &Arc<Self>) -> OpenRequest {
        self.head_since.store(0, Ordering::Release);
        self.mark(&self.moved_at);
        let number = self.requests.fetch_add(1, Ordering::AcqRel);
        self.open_requests.fetch_add(1, Ordering::AcqRel);
        OpenRequest { activity: Arc::clone(self), number }
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<AnswerProgress>>> {
        // Nothing that holds the lock can panic half-way.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// HTTP/1.1 alone: HTTP/2 writes for many reasons, and an answer's own pieces show progress.
    fn bytes_left(&self) {
        if self.watches_heads && self.open_requests.load(Ordering::Acquire) > 0 {
            self.mark(&self.moved_at);
        }
    }

    fn bytes_arrived(&self) {
        if self.watches_heads
            && self.open_requests.load(Ordering::Acquire) == 0
            && self.head_since.load(Ordering::Acquire) == 0
        {
            self.mark(&self.head_since);
        }
    }

    fn mark(&self, at: &AtomicU64) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        at.store(micros.max(1), Ordering::Release);
    }

    fn instant(&self, at: &AtomicU64) -> Instant {
        self.began + Duration::from_micros(at.load(Ordering::Acquire))
    }
}

/// A request from its header to the last byte of its answer.
#[derive(Debug)]
pub(super) struct OpenRequest {
    activity: Arc<ConnectionActivity>,
    number: u64,
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let activity = &self.activity;
        activity.mark(&activity.idle_since);
        activity.open_requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An answer on its way out, with what it holds until its last byte has gone.
#[derive(Debug)]
pub(super) struct OpenAnswer {
    request: OpenRequest,
    progress: Arc<AnswerProgress>,
    _held: Option<HeldByAnswer>,
}

impl OpenAnswer {
    pub(super) fn begin(request: OpenRequest, held: Option<HeldByAnswer>) -> Arc<Self> {
        let progress = Arc::new(AnswerProgress::default());
        request.activity.answers().insert(request.number, Arc::clone(&progress));
        let answer = Arc::new(Self { request, progress, _held: held });
        answer.moved();
        answer
    }

    /// A piece of it has gone out.
    pub(super) fn moved(&self) {
        let activity = &self.request.activity;
        activity.mark(&self.progress.moved_at);
        activity.mark(&activity.moved_at);
    }

    /// Its next piece is not made yet.
    pub(super) fn waits_for_a_piece(&self) {
        if !self.progress.is_in_making.swap(true, Ordering::AcqRel) {
            self.moved();
        }
    }

    /// The piece that it waited for is made, and can be taken from now.
    pub(super) fn has_a_piece(&self) {
        if self.progress.is_in_making.swap(false, Ordering::AcqRel) {
            self.moved();
        }
    }

    pub(super) fn is_http_1(&self) -> bool {
        self.request.activity.watches_heads
    }
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        self.request.activity.answers().remove(&self.request.number);
    }
}

/// A stream that notes when bytes arrive, and closes so that the last answer is not lost.
#[derive(Debug)]
pub(super) struct TimedIo<T> {
    inner: T,
    activity: Arc<ConnectionActivity>,
    close_limit: Option<Pin<Box<Sleep>>>,
}

/// For a client to notice that its answer has come and stop sending.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Reads and discards what still comes until the other side closes or `CLOSE_LIMIT` is over.
///
/// A socket closed with bytes unread is reset, and a reset may overtake what was sent last: the alert that says why a
/// certificate is refused, or the answer that says why an upload is.
pub(super) async fn drain_before_close<T: AsyncRead + Unpin>(stream: &mut T) {
    let mut sink = [0; 8192];
    let discard = async { while let Ok(1..) = stream.read(&mut sink).await {} };
    let _ = timeout(CLOSE_LIMIT, discard).await;
}

impl<T> TimedIo<T> {
    pub(super) fn new(inner: T, activity: Arc<ConnectionActivity>) -> Self {
        Self { inner, activity, close_limit: None }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TimedIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.bytes_arrived();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.activity.bytes_left();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.close_limit.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if !this.activity.body_left.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
        }
        // The other half of `drain_before_close`, in the form hyper asks for.
        let over = this.close_limit.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + CLOSE_LIMIT)));
        let mut sink = [0; 8192];
        while over.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut sink);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.activity.bytes_left();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// The body came more slowly than the limits allow. Handlers that read a body find it as the source of the error and
/// answer [`EdgeRefusal::BodyTooSlow`](super::refusal::EdgeRefusal::BodyTooSlow).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request body arrived too slowly")]
pub struct BodyTooSlow;

impl BodyTooSlow {
    /// Whether this is at the root of a failed read.
    #[must_use]
    pub fn caused(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

/// A request body that must keep coming. Only waiting for the client counts, not what the server does with a piece.
#[derive(Debug)]
pub(super) struct RequestBody<B> {
    inner: B,
    activity: Arc<ConnectionActivity>,
    /// Waiting that is still allowed; grows with every byte.
    allowance: Duration,
    per_byte: Duration,
    longest_wait: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    ended: bool,
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if !self.ended && self.activity.watches_heads {
            self.activity.body_left.store(true, Ordering::Release);
        }
    }
}

impl<B: Body> RequestBody<B> {
    pub(super) fn new(inner: B, activity: Arc<ConnectionActivity>, limits: &Limits) -> Self {
        let per_byte = match limits.upload_bytes_per_second {
            0 => Duration::from_secs(1),
            rate => Duration::from_nanos(1_000_000_000 / rate),
        };
        let ended = inner.is_end_stream();
        Self { inner, activity, allowance: limits.idle, per_byte, longest_wait: limits.idle, waiting: None, ended }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some((since, _)) = this.waiting.take() {
                    this.allowance = this.allowance.saturating_sub(since.elapsed());
                }
                if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
                    let bytes = data.map_or(0, Bytes::len);
                    let earned = this.per_byte.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
                    this.allowance = this.allowance.saturating_add(earned);
                    this.activity.mark(&this.activity.moved_at);
                    metrics::received(bytes);
                }
                this.ended = frame.is_none() || this.inner.is_end_stream();
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let wait = this.allowance.min(this.longest_wait);
                let (_, sleep) = this.waiting.get_or_insert_with(|| {
                    let now = Instant::now();
                    (now, Box::pin(sleep_until(now + wait)))
                });
                ready!(sleep.as_mut().poll(cx));
                Poll::Ready(Some(Err(Box::new(BodyTooSlow))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share_table::{LONGEST_LOOK, WAIT_FOR_LONG_WORK};
    use axum::body::Body as AxumBody;
    use futures_util::{StreamExt, stream};
    use tokio::time::advance;

    fn activity() -> Arc<ConnectionActivity> {
        ConnectionActivity::new(true, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn each_state_has_its_own_deadline() {
        let (limits, activity, start) = (Limits::default(), activity(), Instant::now());
        assert_eq!(activity.deadline(&limits), (start + limits.header, Overrun::Header));
        advance(Duration::from_secs(3)).await;
        let open = activity.open_request();
        assert_eq!(activity.deadline(&limits), (start + Duration::from_secs(3) + limits.work, Overrun::Stall));
        assert_eq!(activity.idle_since(), None);
        advance(Duration::from_secs(4)).await;
        drop(open);
        assert_eq!(activity.deadline(&limits), (start + Duration::from_secs(7) + limits.idle, Overrun::Idle));
        advance(Duration::from_secs(2)).await;
        activity.bytes_arrived();
        assert_eq!(activity.deadline(&limits), (start + Duration::from_secs(9) + limits.header, Overrun::Header));
        advance(Duration::from_secs(2)).await;
        activity.bytes_arrived();
        assert_eq!(
            activity.deadline(&limits).0,
            start + Duration::from_secs(9) + limits.header,
            "a trickle buys no time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_stops_is_cut() {
        let parts = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"abc"))]).chain(stream::pending());
        let body = RequestBody::new(AxumBody::from_stream(parts), activity(), &Limits::default());
        let error = axum::body::to_bytes(AxumBody::new(body), 100).await.unwrap_err();
        assert!(BodyTooSlow::caused(&error), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_trickles_is_cut_and_a_steady_one_is_not() {
        // A piece each second: 10 bytes are below the minimum of 1024 a second, 4096 are above.
        for (size, fine) in [(10, false), (4096, true)] {
            let parts = stream::unfold(0, move |sent| async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                (sent < 200).then(|| (Ok::<_, io::Error>(Bytes::from(vec![0; size])), sent + 1))
            });
            let body = RequestBody::new(AxumBody::from_stream(parts), activity(), &Limits::default());
            let read = axum::body::to_bytes(AxumBody::new(body), 1 << 20).await;
            assert_eq!(read.is_ok(), fine, "{size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answer_that_nobody_takes_ends_its_connection_whatever_else_moves() {
        let activity = ConnectionActivity::new(false, CancellationToken::new());
        advance(Duration::from_secs(1)).await;
        let (limits, start) = (Limits::default(), Instant::now());
        let unread = OpenAnswer::begin(activity.open_request(), None);
        advance(Duration::from_secs(10)).await;
        let read = OpenAnswer::begin(activity.open_request(), None);
        advance(Duration::from_secs(10)).await;
        read.moved();
        assert_eq!(activity.deadline(&limits), (start + limits.stall, Overrun::Stall));
        unread.moved();
        assert_eq!(activity.deadline(&limits).0, start + Duration::from_secs(20) + limits.stall);
        advance(Duration::from_secs(5)).await;
        read.moved();
        drop(unread);
        assert_eq!(activity.deadline(&limits).0, start + Duration::from_secs(25) + limits.stall);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_cut_for_what_the_exchange_takes_to_answer() {
        for watches_heads in [true, false] {
            let activity = ConnectionActivity::new(watches_heads, CancellationToken::new());
            advance(Duration::from_secs(1)).await;
            let (limits, start) = (Limits::default(), Instant::now());
            assert!(limits.work > WAIT_FOR_LONG_WORK + LONGEST_LOOK && limits.work > limits.stall);
            let open = activity.open_request();
            assert_eq!(activity.deadline(&limits), (start + limits.work, Overrun::Stall));
            let waited = WAIT_FOR_LONG_WORK + LONGEST_LOOK;
            advance(waited).await;
            let answer = OpenAnswer::begin(open, None);
            assert_eq!(activity.deadline(&limits).0, start + waited + limits.stall, "what is there is to be taken");
            answer.waits_for_a_piece();
            advance(limits.stall).await;
            answer.waits_for_a_piece();
            assert_eq!(activity.deadline(&limits).0, start + waited + limits.work, "and waiting does not begin again");
            answer.has_a_piece();
            assert_eq!(activity.deadline(&limits).0, start + waited + limits.stall + limits.stall);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn download_that_moves_at_all_is_not_cut() {
        let (limits, start) = (Limits::default(), Instant::now());
        let activity = activity();
        let answer = OpenAnswer::begin(activity.open_request(), None);
        let mut io = TimedIo::new(tokio::io::join(tokio::io::empty(), tokio::io::sink()), Arc::clone(&activity));
        let almost = Duration::from_secs(59);
        for minute in 1..=10 {
            advance(almost).await;
            assert!(Instant::now() < activity.deadline(&limits).0, "{minute}");
            tokio::io::AsyncWriteExt::write(&mut io, b"a few bytes").await.unwrap();
        }
        assert_eq!(activity.deadline(&limits).0, start + 10 * almost + limits.stall);
        drop(answer);
    }
}
