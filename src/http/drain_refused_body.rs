//! Lets a client that is refused in the middle of its body read why.
//!
//! Closing a connection on which bytes still arrive resets it, and the reset can overtake the answer: the client would see a
//! broken pipe instead of the problem. So what is left of a body that nobody wants is taken for a moment and thrown
//! away, and when that was all of it the connection serves the next request. A client that waits for `100 Continue` and has
//! not received it is left alone: reading would send it. The listener sees to connections that close all the same.

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{Version, header},
};
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{runtime::Handle, time::timeout};

/// A client far away has the answer after a few seconds; one that goes on sending without reading has none coming.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Has the rest of the request's body thrown away when its reader gives up on it.
pub(super) async fn drain_refused_body(request: Request) -> Request {
    // HTTP/2 ends one request without touching the others.
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return request;
    }
    let waits = request.headers().contains_key(header::EXPECT);
    request.map(|body| Body::new(DrainedBody { rest: Some(body), waits }))
}

struct DrainedBody {
    /// None once it ended.
    rest: Option<Body>,
    /// Whether the client waits for leave to send.
    waits: bool,
}

impl HttpBody for DrainedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.waits = false;
        let Some(body) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.rest = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for DrainedBody {
    fn drop(&mut self) {
        let Some(body) = self.rest.take().filter(|body| !self.waits && !body.is_end_stream()) else { return };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(DRAIN_LIMIT, drain(body)));
        }
    }
}

async fn drain(mut body: Body) {
    while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use tokio::sync::Notify;

    /// A body of ten pieces that counts those taken, and signals when it is gone.
    fn counted(taken: &Arc<AtomicUsize>, gone: &Arc<Notify>) -> Body {
        struct Tell(Arc<Notify>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let (taken, tell) = (Arc::clone(taken), Tell(Arc::clone(gone)));
        Body::from_stream(stream::iter(0..10).map(move |_| {
            let _held = &tell;
            taken.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(b"piece"))
        }))
    }

    async fn taken_after(expect: bool, pieces: usize) -> usize {
        let (taken, gone) = (Arc::default(), Arc::new(Notify::new()));
        let mut request = Request::new(counted(&taken, &gone));
        if expect {
            request.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
        }
        let mut body = drain_refused_body(request).await.into_body().into_data_stream();
        for _ in 0..pieces {
            body.next().await.unwrap().unwrap();
        }
        drop(body);
        gone.notified().await;
        taken.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn rest_of_an_unwanted_body_is_taken() {
        assert_eq!(taken_after(false, 0).await, 10);
        assert_eq!(taken_after(false, 3).await, 10);
        assert_eq!(taken_after(true, 1).await, 10);
    }

    #[tokio::test]
    async fn client_that_waits_for_leave_is_not_given_it() {
        assert_eq!(taken_after(true, 0).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn body_without_end_is_let_go_after_a_while() {
        let gone = Arc::new(Notify::new());
        let endless = counted(&Arc::default(), &gone).into_data_stream().chain(stream::pending());
        drop(drain_refused_body(Request::new(Body::from_stream(endless))).await);
        gone.notified().await;
    }
}
