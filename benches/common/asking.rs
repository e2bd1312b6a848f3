//! Requests over HTTP/1.1 and their answers, as attackers write and read them.

use base64::{Engine, prelude::BASE64_STANDARD};
use entente::domain::id::{ProposalId, Sha256};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// Sends a request and reads its answer to the end; the status.
pub(crate) async fn ask(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> io::Result<u16> {
    Ok(hear_all(stream, request).await?.0)
}

/// The same, with the header of the answer as it came.
pub(crate) async fn hear_all(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> io::Result<(u16, String)> {
    stream.write_all(request).await?;
    let (mut answer, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let len = stream.read(&mut piece).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..len]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let told = String::from_utf8_lossy(&answer[..end]).into_owned();
        let head = told.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let is_whole = match length {
            Some(length) => answer.len() - end - 4 >= length.trim().parse::<usize>().map_err(io::Error::other)?,
            None => head[9..12] == *"204" || answer.ends_with(b"0\r\n\r\n"),
        };
        if is_whole {
            return Ok((head[9..12].parse().map_err(io::Error::other)?, told));
        }
    }
}

/// The request that begins an upload that can be resumed, with a digest that its bytes do not have.
pub(crate) fn upload_beginning(proposal: ProposalId, slot: &str, number: u64, length: usize) -> String {
    let key = format!("bench-{}-{number}", std::process::id());
    let media_type = BASE64_STANDARD.encode("application/pdf");
    let digest = BASE64_STANDARD.encode(Sha256::of(b"another").to_string());
    format!(
        "POST /v1/proposals/{proposal}/documents/{slot}/uploads HTTP/1.1\r\nhost: localhost\r\nidempotency-key: {key}\r\n\
         tus-resumable: 1.0.0\r\nupload-length: {length}\r\n\
         upload-metadata: media_type {media_type},sha256 {digest}\r\ncontent-length: 0\r\n\r\n"
    )
}

/// The request that adds bytes to an upload.
pub(crate) fn upload_part(path: &str, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-offset: {offset}\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    [head.as_bytes(), bytes].concat()
}
