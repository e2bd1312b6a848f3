//! What answers that nobody takes may hold, and for how long: on connections in memory and on a clock that is moved, so that every
//! byte is counted.

use super::*;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use hyper::client::conn as client;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

const CHUNK: usize = 256 << 10;
const STREAMS: usize = 32;

/// What a server has read for its downloads, and how many of them it still holds.
#[derive(Debug, Default)]
struct Sources {
    read: AtomicUsize,
    open: AtomicUsize,
}

struct Open(Arc<Sources>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server whose `/big` never ends, on one end of a pipe.
fn serve_pipe(protocol: Protocol, pipe: usize) -> (DuplexStream, Arc<Sources>, tokio::task::JoinHandle<()>) {
    let sources = Arc::new(Sources::default());
    let counted = Arc::clone(&sources);
    let big = move || {
        let sources = Arc::clone(&counted);
        sources.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&sources));
        async move {
            Body::from_stream(stream::repeat_with(move || {
                open.0.read.fetch_add(CHUNK, Ordering::SeqCst);
                Ok::<_, std::convert::Infallible>(Bytes::from(vec![7; CHUNK]))
            }))
        }
    };
    let server = Arc::new(Server {
        router: Router::new().route("/big", get(big)),
        handshakes: Places::new(1, 1),
        connections: Places::new(1, 1),
        tls: None,
        limits: Limits::default(),
    });
    let (near, far) = duplex(pipe);
    let pace = Pace::new(protocol == Protocol::Http1, CancellationToken::new());
    let speaking = tokio::spawn(async move { server.speak(far, protocol, None, pace).await });
    (near, sources, speaking)
}

#[tokio::test(start_paused = true)]
async fn downloads_over_http_2_that_nobody_reads_hold_a_chunk_each_and_give_way_after_the_stall_limit() {
    let began = Instant::now();
    let (near, sources, speaking) = serve_pipe(Protocol::Http2, 64 << 10);
    let mut http = client::http2::Builder::new(TokioExecutor::new());
    // As wide as the protocol allows.
    http.initial_stream_window_size((1 << 31) - 1).initial_connection_window_size((1 << 31) - 1);
    let (mut send, connection) = http.handshake::<_, Body>(TokioIo::new(near)).await.unwrap();
    let mut connection = Box::pin(connection);
    let mut answers = Vec::new();
    for _ in 0..STREAMS {
        let request = http::Request::get("http://localhost/big").body(Body::empty()).unwrap();
        let answer = send.send_request(request);
        tokio::select! {
            answer = answer => answers.push(answer.unwrap()),
            _ = &mut connection => panic!("the connection ended"),
        }
    }
    let taken = sources.read.load(Ordering::SeqCst);
    // From here on nobody reads the connection. Time passes only when the server has nothing to do any more.
    sleep(Duration::from_secs(1)).await;
    let held = sources.read.load(Ordering::SeqCst);
    assert_eq!(sources.open.load(Ordering::SeqCst), STREAMS);
    assert!(held - taken <= STREAMS * CHUNK, "{held} bytes read, {taken} while they were taken");
    speaking.await.unwrap();
    let limit = Limits::default().stall;
    assert!((limit..limit + Duration::from_secs(5)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(sources.open.load(Ordering::SeqCst), 0, "all of it is given back");
}

#[tokio::test(start_paused = true)]
async fn download_that_moves_by_a_few_bytes_is_not_cut() {
    let (mut near, sources, speaking) = serve_pipe(Protocol::Http1, 4 << 10);
    near.write_all(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = vec![0; 1 << 10];
    // 20 bytes a second, for an hour.
    for minute in 0..70 {
        near.read_exact(&mut bytes).await.unwrap_or_else(|error| panic!("after {minute} pieces: {error}"));
        sleep(Duration::from_secs(50)).await;
    }
    assert_eq!(sources.read.load(Ordering::SeqCst), CHUNK, "one chunk was enough for all of them");
    drop(near);
    speaking.await.unwrap();
    assert_eq!(sources.open.load(Ordering::SeqCst), 0);
}
