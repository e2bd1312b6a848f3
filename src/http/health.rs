//! `entente-server health`: asks the server that runs here whether it is ready, for probes in a container without a shell.
//!
//! It reads the settings that the server reads, and asks the admin listener. It never opens the database or the folder of
//! documents.

use serde_json::Value;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longer than `/readyz` takes to find that a part hangs.
const PATIENCE: Duration = Duration::from_secs(4);

/// The most that is read of an answer, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Without a `Connection: keep-alive` the answer of HTTP/1.0 ends with the connection.
const REQUEST: &[u8] = b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n";

/// Why the server does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    #[error(
        "`admin.listen` takes any free port, so the port in use is not known\n  set a port there, or name the one in use: \
         `--set admin.listen=127.0.0.1:PORT`"
    )]
    AnyPort,
    #[error(
        "no server answers on `{address}`: {error}\n  start the server, or name the configuration that it was started with"
    )]
    NoAnswer { address: SocketAddr, error: io::Error },
    #[error("the server is not ready: {0}")]
    NotReady(String),
    #[error("something other than an exchange answers on `{0}`\n  correct `admin.listen`")]
    NoExchange(SocketAddr),
}

/// Asks the server whose admin listener has this address.
pub fn ask(address: SocketAddr) -> Result<(), HealthError> {
    ask_within(address, PATIENCE)
}

fn ask_within(address: SocketAddr, patience: Duration) -> Result<(), HealthError> {
    if address.port() == 0 {
        return Err(HealthError::AnyPort);
    }
    let answer = exchange(address, patience).map_err(|error| HealthError::NoAnswer { address, error })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(()),
        Some("503") => Err(HealthError::NotReady(faults(body))),
        _ => Err(HealthError::NoExchange(address)),
    }
}

fn exchange(address: SocketAddr, patience: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The parts that are at fault, each with its reason.
fn faults(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let parts = body["parts"].as_array().into_iter().flatten();
    let faults = parts.filter_map(|part| Some(format!("{}: {}", part["part"].as_str()?, part["fault"].as_str()?)));
    let faults: Vec<String> = faults.collect();
    if faults.is_empty() { "it gives no reason".to_owned() } else { faults.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    /// What comes of asking a server that gives this answer.
    fn asked(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let told = ask_within(address, Duration::from_mins(1)).map_err(|error| error.to_string());
        assert_eq!(server.join().unwrap(), REQUEST);
        told
    }

    #[test]
    fn only_a_ready_server_is_healthy_and_any_other_says_why() {
        assert_eq!(asked("HTTP/1.0 200 OK\r\n\r\n{\"ready\":true}"), Ok(()));
        let told = asked(
            "HTTP/1.0 503 Service Unavailable\r\n\r\n{\"parts\":[{\"part\":\"database\",\"ready\":false,\"fault\":\"disk full\"},\
             {\"part\":\"blobs\",\"ready\":true}]}",
        );
        assert_eq!(told.unwrap_err(), "the server is not ready: database: disk full");
        assert_eq!(
            asked("HTTP/1.0 503 Service Unavailable\r\n\r\n").unwrap_err(),
            "the server is not ready: it gives no reason"
        );
        for other in ["HTTP/1.0 404 Not Found\r\n\r\n", "220 mail.example\r\n", ""] {
            assert!(asked(other).unwrap_err().starts_with("something other than an exchange"), "{other}");
        }
    }

    #[test]
    fn port_that_nobody_knows_or_listens_on_is_a_fault() {
        assert!(matches!(ask(([127, 0, 0, 1], 0).into()), Err(HealthError::AnyPort)));
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(ask(free), Err(HealthError::NoAnswer { .. })));
    }
}
