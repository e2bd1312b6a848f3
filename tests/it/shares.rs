//! What is shared is divided: a holder who takes more than a share makes room among their own.

use crate::harness::{
    exchange::{Exchange, Nation, Person},
    process::PATIENCE,
};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A connection that stays open after one request.
struct Kept(TlsStream<TcpStream>);

impl Kept {
    async fn open(exchange: &Exchange, person: &Person, path: &str) -> (Self, String) {
        let connector = TlsConnector::from(Arc::new(exchange.tls(Some(person))));
        let tcp = TcpStream::connect(exchange.running.api_addr).await.unwrap();
        let mut kept = Self(connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap());
        let status = kept.ask(path).await.unwrap();
        (kept, status)
    }

    /// The status of an answer, if there is one; it is read to its end.
    async fn ask(&mut self, path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        loop {
            if let Some((header, body)) = answer.split_once("\r\n\r\n") {
                let length = header.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.unwrap().parse().unwrap() {
                    return Some(answer[9..12].to_owned());
                }
            }
            let mut piece = [0; 4096];
            let len = timeout(PATIENCE, self.0.read(&mut piece)).await.expect("neither an answer nor an end").ok()?;
            answer += (len > 0).then(|| str::from_utf8(&piece[..len]).unwrap())?;
        }
    }

    /// Whether the exchange has ended it.
    async fn has_ended(mut self) -> bool {
        timeout(PATIENCE, self.0.read(&mut [0; 1])).await.is_ok_and(|read| !matches!(read, Ok(1..)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_that_no_key_card_names_holds_few_connections_until_one_does() {
    let (usa, isr) = (Nation::new("USA"), Nation::new("ISR"));
    let exchange = Exchange::start(&[&usa, &isr]).await;
    let avi = isr.ca.person("ISR:avi");
    let mut kept = Vec::new();
    for _ in 0..6 {
        let (connection, status) = Kept::open(&exchange, &avi, "/v1/partners").await;
        assert_eq!(status, "403");
        kept.push(connection);
    }
    for displaced in kept.drain(..2) {
        assert!(displaced.has_ended().await);
    }
    for connection in &mut kept {
        assert_eq!(connection.ask("/v1/me").await.as_deref(), Some("200"));
    }
    exchange.publish(&isr, &[(&avi, &[])]).await;
    assert_eq!(kept[0].ask("/v1/partners").await.as_deref(), Some("200"));
    for _ in 0..6 {
        let (connection, status) = Kept::open(&exchange, &avi, "/v1/partners").await;
        assert_eq!(status, "200");
        kept.push(connection);
    }
    for connection in &mut kept {
        assert_eq!(connection.ask("/v1/me").await.as_deref(), Some("200"), "all ten are still there");
    }
    drop(kept);
    exchange.stop().await;
}
