//! Distance: what is carried arrives later, each way by the same time, as over a long path.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

/// An address by which the server is reached from so far away, for as long as the runtime is there.
pub(crate) async fn from_away(server: SocketAddr, away: Duration) -> SocketAddr {
    let listener = TcpListener::bind((server.ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((near, _)) = listener.accept().await else { continue };
            tokio::spawn(reach(near, server, away));
        }
    });
    address
}

async fn reach(near: TcpStream, server: SocketAddr, away: Duration) {
    // The handshake of TCP goes there, back and there again; what the client says first arrives together with its last part.
    sleep(3 * away).await;
    let Ok(far) = TcpStream::connect(server).await else { return };
    if near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err() {
        return;
    }
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    tokio::join!(carry(from_near, to_far, away, true), carry(from_far, to_near, away, false));
}

/// Forwards each piece so much after it came, the first one at once if it has waited already; and then the end.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, away: Duration, mut has_waited: bool) {
    let (pieces, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut piece = vec![0; 64 << 10];
        loop {
            let len = from.read(&mut piece).await.unwrap_or(0);
            let at = if has_waited { Instant::now() } else { Instant::now() + away };
            has_waited = false;
            // An empty piece is the end.
            if pieces.send((at, piece[..len].to_vec())).is_err() || len == 0 {
                return;
            }
        }
    };
    let write = async move {
        while let Some((at, piece)) = due.recv().await {
            sleep_until(at).await;
            if piece.is_empty() || to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}
