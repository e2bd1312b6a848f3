//! An answer's bytes on their way out, in small pieces.
//!
//! What a client does not take stays in memory somewhere: here, in hyper, in the buffers of HTTP/2. So every piece knows its answer:
//! the answer holds its request open and what it counts for until the last piece has gone to the connection's encryption, and
//! notes whenever one has. That is where progress is seen, on both protocols and however slow the client is.

use super::timeouts::OpenAnswer;
use crate::metrics;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// HTTP/1.1 knows one answer at a time, and larger pieces are cheaper.
const PIECE_HTTP_1: usize = 64 << 10;
/// As long as a frame of HTTP/2. A client that takes one in the stall limit moves.
const PIECE_HTTP_2: usize = 16 << 10;

/// An answer's body.
#[derive(Debug)]
pub(super) struct ResponseBody {
    inner: axum::body::Body,
    rest: Bytes,
    piece: usize,
    answer: Arc<OpenAnswer>,
}

impl ResponseBody {
    pub(super) fn new(inner: axum::body::Body, answer: Arc<OpenAnswer>) -> Self {
        let piece = if answer.is_http_1() { PIECE_HTTP_1 } else { PIECE_HTTP_2 };
        Self { inner, rest: Bytes::new(), piece, answer }
    }

    fn next_piece(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.piece.min(self.rest.len()));
        metrics::sent(bytes.len());
        Bytes::from_owner(AnswerPiece { bytes, answer: Arc::clone(&self.answer) })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            if !this.rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(this.next_piece()))));
            }
            let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
                this.answer.waits_for_a_piece();
                return Poll::Pending;
            };
            this.answer.has_a_piece();
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Some bytes, until they have gone.
struct AnswerPiece {
    bytes: Bytes,
    answer: Arc<OpenAnswer>,
}

impl AsRef<[u8]> for AnswerPiece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for AnswerPiece {
    fn drop(&mut self) {
        self.answer.moved();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::timeouts::ConnectionActivity;
    use axum::body::Body as AxumBody;
    use std::future::poll_fn;
    use tokio_util::sync::CancellationToken;

    fn body(bytes: usize, http_1: bool) -> (Arc<ConnectionActivity>, ResponseBody) {
        let activity = ConnectionActivity::new(http_1, CancellationToken::new());
        let answer = OpenAnswer::begin(activity.open_request(), None);
        (activity, ResponseBody::new(AxumBody::from(vec![7; bytes]), answer))
    }

    async fn next(body: &mut ResponseBody) -> Option<Bytes> {
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn answer_goes_out_whole_in_pieces_of_its_protocol() {
        for (http_1, most) in [(true, PIECE_HTTP_1), (false, PIECE_HTTP_2)] {
            let (_, mut body) = body(200_001, http_1);
            let mut length = 0;
            assert_eq!(body.size_hint().exact(), Some(200_001));
            while let Some(piece) = next(&mut body).await {
                assert!((1..=most).contains(&piece.len()));
                length += piece.len();
                assert_eq!(body.size_hint().exact(), Some(200_001 - length as u64));
            }
            assert_eq!(length, 200_001);
        }
    }

    #[tokio::test]
    async fn request_stays_open_until_the_last_piece_has_gone() {
        let (activity, mut body) = body(20_000, false);
        let pieces = [next(&mut body).await.unwrap(), next(&mut body).await.unwrap()];
        drop(body);
        let [first, second] = pieces;
        drop(second);
        assert!(activity.idle_since().is_none(), "the first piece waits in a buffer");
        drop(first);
        assert!(activity.idle_since().is_some());
    }
}
