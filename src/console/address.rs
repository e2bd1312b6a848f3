//! Where the console listens: one port of this machine's loopback, by both protocols, for this account alone.
//!
//! Decides who may connect, by what the system says of the other side. What a request says of itself is judged by the guard.

use crate::{
    domain::ambient::Rng,
    platform::loopback::{LoopbackPeer, peer, says_whose},
};
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
/// So often the system is asked whose a connection is.
const LOOKS: u32 = 5;
/// The wait after the system could not give a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// By which name the console is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsoleName {
    /// A new one below `localhost` each time: no other program of the machine has its cookies, or can have left anything under it.
    #[default]
    Random,
    /// 127.0.0.1, for browsers that know no names below `localhost`.
    Number,
}

/// The address of the pages, as the browser has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `a1b2c3d4e5f6.localhost:50000`: the only `Host` that is answered.
    pub(super) host: String,
    /// `http://a1b2c3d4e5f6.localhost:50000`: the only origin whose pages may act.
    pub(super) origin: String,
}

/// Takes connections of this account.
#[derive(Debug)]
pub(super) struct AccountListener {
    v4: TcpListener,
    /// Where the machine has IPv6: no other program is to have the port there.
    v6: Option<TcpListener>,
    /// Whether the system says whose connections are.
    says_whose: bool,
}

impl AccountListener {
    /// Listens at a free port, or at the one that was asked for.
    pub(super) async fn bind(port: Option<u16>, name: ConsoleName, rng: &dyn Rng) -> io::Result<(Self, Address)> {
        for _ in 0..TRIES {
            let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
            let bound = v4.local_addr()?;
            let v6 = match TcpListener::bind((Ipv6Addr::LOCALHOST, bound.port())).await {
                Ok(v6) => Some(v6),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => None,
                Err(error) if port.is_some() => return Err(error),
                Err(_) => continue,
            };
            let name = match name {
                ConsoleName::Random => format!("{}.localhost", label(rng)),
                ConsoleName::Number => bound.ip().to_string(),
            };
            // A browser leaves the usual port out.
            let host = if bound.port() == 80 { name } else { format!("{name}:{}", bound.port()) };
            let address = Address { origin: format!("http://{host}"), host };
            return Ok((Self { v4, v6, says_whose: says_whose(bound) }, address));
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

    /// Whether a connection is this account's. Where the system says whose connections are, it has to say so of this one.
    async fn is_own(&self, here: SocketAddr, there: SocketAddr) -> bool {
        for _ in 0..LOOKS {
            let found = tokio::task::spawn_blocking(move || peer(here, there)).await;
            match found.unwrap_or(LoopbackPeer::OtherAccount) {
                LoopbackPeer::OwnAccount => return true,
                LoopbackPeer::OtherAccount => return false,
                LoopbackPeer::Unknown if !self.says_whose => return true,
                // The list changed while it was read.
                LoopbackPeer::Unknown => {}
            }
        }
        false
    }
}

/// A label of a name that nobody can know before.
fn label(rng: &dyn Rng) -> String {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes[2..]);
    format!("{:012x}", u64::from_be_bytes(bytes))
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
            let Ok(here) = stream.local_addr() else { continue };
            if self.is_own(here, there).await {
                return (stream, there);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.v4.local_addr()
    }
}
