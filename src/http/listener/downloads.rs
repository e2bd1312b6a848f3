//! What answers that nobody takes may hold, and for how long: on connections in memory and on a clock that is moved, so that every
//! byte is counted.

use super::*;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use hyper::client::conn as client;
use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::Context,
};
use tokio::io::{AsyncReadExt, DuplexStream, ReadBuf, duplex};

const CHUNK: usize = 256 << 10;
const STREAMS: usize = 32;

/// What a server has read for its downloads, and how many of them it still holds.
#[derive(Debug, Default)]
struct Sources {
    read: AtomicUsize,
    open: AtomicUsize,
}

struct OpenDownload(Arc<Sources>);

impl Drop for OpenDownload {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A client's end that stops reading on command.
struct Deaf {
    stream: DuplexStream,
    is_deaf: Arc<AtomicBool>,
}

impl AsyncRead for Deaf {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf.load(Ordering::SeqCst) { Poll::Pending } else { Pin::new(&mut self.stream).poll_read(cx, buf) }
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A server whose `/big` never ends, on one end of a pipe.
fn serve_pipe(protocol: Protocol, pipe: usize) -> (DuplexStream, Arc<Sources>, tokio::task::JoinHandle<()>) {
    let sources = Arc::new(Sources::default());
    let counted = Arc::clone(&sources);
    let big = move || {
        let sources = Arc::clone(&counted);
        sources.open.fetch_add(1, Ordering::SeqCst);
        let open = OpenDownload(Arc::clone(&sources));
        async move {
            Body::from_stream(stream::repeat_with(move || {
                open.0.read.fetch_add(CHUNK, Ordering::SeqCst);
                Ok::<_, std::convert::Infallible>(Bytes::from(vec![7; CHUNK]))
            }))
        }
    };
    let server = Arc::new(Server {
        router: Router::new().route("/big", get(big)).route("/small", get(async || "small")),
        handshakes: Strangers::new(1, 1, KnownMembers::new()),
        connections: ConnectionSlots::new(Quota { total: 1, per_partner: 1, per_member: 1 }, 1, KnownMembers::new()),
        known: KnownMembers::new(),
        tls: None,
        limits: Limits::default(),
    });
    let (near, far) = duplex(pipe);
    let activity = ConnectionActivity::new(protocol == Protocol::Http1, CancellationToken::new());
    let speaking = tokio::spawn(async move { server.speak(far, protocol, None, activity).await });
    (near, sources, speaking)
}

#[tokio::test(start_paused = true)]
async fn downloads_over_http_2_that_nobody_reads_hold_a_chunk_each_and_give_way() {
    let began = Instant::now();
    let (near, sources, speaking) = serve_pipe(Protocol::Http2, 64 << 10);
    let mut http = client::http2::Builder::new(TokioExecutor::new());
    // As wide as the protocol allows.
    http.initial_stream_window_size((1 << 31) - 1).initial_connection_window_size((1 << 31) - 1);
    let is_deaf = Arc::new(AtomicBool::new(false));
    let near = Deaf { stream: near, is_deaf: Arc::clone(&is_deaf) };
    let (mut send, connection) = http.handshake::<_, Body>(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..STREAMS {
        let request = http::Request::get("http://localhost/big").body(Body::empty()).unwrap();
        answers.push(send.send_request(request).await.unwrap());
    }
    is_deaf.store(true, Ordering::SeqCst);
    let taken = sources.read.load(Ordering::SeqCst);
    // From here on nobody reads the connection. Time passes only when the server has nothing left to do.
    sleep(Duration::from_secs(1)).await;
    let held = sources.read.load(Ordering::SeqCst);
    assert_eq!(sources.open.load(Ordering::SeqCst), STREAMS);
    assert!(held - taken <= STREAMS * CHUNK, "{held} bytes read, {taken} while they were taken");
    speaking.await.unwrap();
    assert!(began.elapsed() < Limits::default().stall + Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(sources.open.load(Ordering::SeqCst), 0, "all of it is given back");
}

#[tokio::test(start_paused = true)]
async fn unread_download_gives_way_though_its_connection_moves() {
    let began = Instant::now();
    let (near, sources, speaking) = serve_pipe(Protocol::Http2, 1 << 20);
    let (mut send, connection) =
        client::http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection);
    let request = |path: &str| http::Request::get(format!("http://localhost{path}")).body(Body::empty()).unwrap();
    // Its window is never opened again.
    let unread = send.send_request(request("/big")).await.unwrap();
    while !speaking.is_finished() {
        if let Ok(answer) = send.send_request(request("/small")).await {
            axum::body::to_bytes(Body::new(answer.into_body()), 100).await.unwrap();
        }
        sleep(Duration::from_secs(10)).await;
    }
    let limit = Limits::default().stall;
    assert!((limit..limit + Duration::from_secs(15)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(sources.open.load(Ordering::SeqCst), 0);
    drop(unread);
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
    assert!(sources.read.load(Ordering::SeqCst) <= 2 * CHUNK, "no more was read than hyper holds ahead");
    drop(near);
    speaking.await.unwrap();
    assert_eq!(sources.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn connection_that_begins_another_header_has_the_time_of_one() {
    let (mut near, _, speaking) = serve_pipe(Protocol::Http1, 4 << 10);
    let mut answer = Vec::new();
    near.write_all(b"GET /small HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    while !answer.ends_with(b"small") {
        assert_ne!(near.read_buf(&mut answer).await.unwrap(), 0);
    }
    // Most of the time between two requests is over when the next one begins.
    sleep(Limits::default().idle.saturating_sub(Duration::from_secs(1))).await;
    let began = Instant::now();
    near.write_all(b"GET").await.unwrap();
    speaking.await.unwrap();
    let limit = Limits::default().header;
    assert!((limit..limit + Duration::from_secs(1)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

/// Over a real socket: what a client takes shows before it has taken what it needs minutes for at a KiB a second.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn system_takes_little_ahead_and_asks_for_more_when_half_of_it_has_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = tokio::net::TcpSocket::new_v4().unwrap();
    // What waits at the client's side is not the server's.
    client.set_recv_buffer_size(8 << 10).unwrap();
    let connecting = client.connect(listener.local_addr().unwrap());
    let (mut client, served) = {
        let (client, served) = tokio::join!(connecting, listener.accept());
        (client.unwrap(), served.unwrap().0)
    };
    hold_little_unsent(&served);
    served.writable().await.unwrap();
    let mut taken = 0;
    while let Ok(written) = served.try_write(&[7; 4 << 10]) {
        taken += written;
    }
    assert!((16 << 10..=64 << 10).contains(&taken), "{taken} bytes ahead of a client that takes none");
    let (mut piece, mut read) = ([0; 1 << 10], 0);
    loop {
        tokio::select! {
            biased;
            writable = served.writable() => break writable.unwrap(),
            came = client.read(&mut piece) => read += came.unwrap(),
        }
    }
    assert!(read <= 48 << 10, "{read} bytes were taken before the server was asked for more");
}
