//! Where the console listens: one port of this machine's loopback, by both protocols, for this account alone.
//!
//! Decides who may connect, by what the system says of the other side. What a request says of itself is judged by the guard.

use crate::platform::loopback::{LoopbackPeer, peer};
use axum::serve::Listener;
use std::{
    future::pending,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// So often another port is tried, where one is free by one protocol alone.
const TRIES: u32 = 16;
/// The wait after the system could not give a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The address of the pages, as the browser has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `127.0.0.1:50000`: the only `Host` that is answered.
    pub(super) host: String,
    /// `http://127.0.0.1:50000`: the only origin whose pages may act.
    pub(super) origin: String,
}

/// Takes connections of this account.
#[derive(Debug)]
pub(super) struct AccountListener {
    v4: TcpListener,
    /// Where the machine has IPv6: no other program is to have the port there.
    v6: Option<TcpListener>,
}

impl AccountListener {
    /// Listens at a free port, or at the one that was asked for.
    pub(super) async fn bind(port: Option<u16>) -> io::Result<(Self, Address)> {
        for _ in 0..TRIES {
            let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
            let bound = v4.local_addr()?;
            let v6 = match TcpListener::bind((Ipv6Addr::LOCALHOST, bound.port())).await {
                Ok(v6) => Some(v6),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => None,
                Err(error) if port.is_some() => return Err(error),
                Err(_) => continue,
            };
            let host = bound.to_string();
            let address = Address { origin: format!("http://{host}"), host };
            return Ok((Self { v4, v6 }, address));
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no port of loopback is free by both protocols"))
    }

    async fn accept_any(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let v6 = async {
            match &self.v6 {
                Some(v6) => v6.accept().await,
                None => pending().await,
            }
        };
        tokio::select! {
            accepted = self.v4.accept() => accepted,
            accepted = v6 => accepted,
        }
    }
}

impl Listener for AccountListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let Ok((stream, there)) = self.accept_any().await else {
                sleep(PAUSE).await;
                continue;
            };
            // Somebody else's connection is closed without a word.
            if stream.local_addr().is_ok_and(|here| peer(here, there) != LoopbackPeer::OtherAccount) {
                return (stream, there);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.v4.local_addr()
    }
}
