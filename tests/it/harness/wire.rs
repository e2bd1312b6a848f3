//! A wire between a client and the exchange that stops passing on what the exchange sends once enough has passed, for holding a
//! client still in the middle of a download.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Where to connect instead of to the exchange.
pub(crate) struct Wire {
    pub(crate) port: u16,
}

impl Wire {
    /// Passes `enough` bytes of the exchange on in all, then none; what clients send always.
    pub(crate) async fn to(exchange: SocketAddr, enough: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicUsize::new(enough));
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let left = Arc::clone(&left);
                tokio::spawn(async move {
                    let server = TcpStream::connect(exchange).await.unwrap();
                    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                    let mut piece = [0; 16 << 10];
                    while let Ok(len @ 1..) = from_server.read(&mut piece).await {
                        let passes = left.load(Ordering::Relaxed).min(len);
                        left.fetch_sub(passes, Ordering::Relaxed);
                        if to_client.write_all(&piece[..passes]).await.is_err() {
                            return;
                        }
                        if passes < len {
                            // Neither more nor an end.
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self { port }
    }

    /// Passes everything on, to the exchange that is there at the time; where there is none it hangs up.
    pub(crate) async fn to_present(exchange: Arc<Mutex<Option<SocketAddr>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let Some(exchange) = *exchange.lock().unwrap() else { continue };
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(exchange).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { port }
    }
}
