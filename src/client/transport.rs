//! Requests and answers over mutual TLS: TLS 1.3, the member's certificate, no roots but those the profile names.
//!
//! Every unsafe request has a fresh idempotency key and is repeated with that same key when the connection breaks, so that
//! nothing is done twice. A refusal is never repeated; `Retry-After` is honoured once. When the exchange does not know itself what
//! became of an act, it is asked again with that same key a few times. What is in doubt after that is said to be ([`fate`]).

mod fate;
mod plain;
mod resumable;
mod signed;
mod tls;

pub use plain::{PlainAnswer, PlainRequest};
pub use resumable::{GrowingFile, RecentBytes};
pub(super) use tls::roots;

use super::{
    Ambient, ClientError, Profile, Result,
    clock::ExchangeClock,
    progress::{ProgressListener, ProgressStep},
};
use crate::{
    domain::id::Sha256,
    reading,
    sealing::signer::Signer,
    wire::{
        AGE_MEDIA_TYPE, PROBLEM_JSON,
        problem::{Kind, Problem},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use fate::{ANOTHER_ACT, FOREIGN, Fate, SAME_ACT, Tries, in_doubt, is_unknown, leaves_open, may_have_arrived};
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use reqwest::{Body, RequestBuilder, Response};
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use signed::signer_fault;
use std::{error::Error as _, fmt::Write, fs, path::Path, sync::Arc, time::Duration};
use tls::{certificate_fault, is_about_certificate, refused_because, tls_error, untimely};
use tokio_util::io::ReaderStream;

/// How often a request is tried when the connection breaks.
const TRIES: u32 = 3;
/// The longest wait that a `Retry-After` can ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How long an answer in JSON may take, and how long the next piece of a document: longer than an exchange works on a request
/// (`share_table::LONGEST_WORK`).
const PATIENCE: Duration = Duration::from_mins(4);
/// The longest answer in JSON that is taken, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// The longest refusal that is read, in bytes.
const MAX_PROBLEM: usize = 1 << 20;
/// Files are read in pieces of this size.
const PIECE: usize = 256 << 10;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MEDIA_TYPE: HeaderName = HeaderName::from_static("entente-media-type");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The connection to one exchange as one member.
#[derive(Debug, Clone)]
pub struct Transport {
    http: reqwest::Client,
    server: String,
    ambient: Ambient,
    clock: ExchangeClock,
    /// The wait before the second try; each further one is three times as long.
    first_wait: Duration,
}

/// An answer and the `ETag` it came with.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged<T> {
    pub body: T,
    pub etag: Option<String>,
}

/// A sealed file to send, and what is announced of it.
#[derive(Debug, Clone)]
pub struct Upload<'a> {
    pub file: &'a Path,
    pub sha256: Sha256,
    pub size: u64,
    /// Of the plaintext.
    pub media_type: &'a str,
    /// Sent again with the same file after an interruption, so that the answer is the same.
    pub idempotency_key: &'a str,
}

impl Transport {
    /// Reads the certificates that the profile names, of which `private_key` in PEM is the member's; connects only when something is
    /// asked.
    pub fn new(profile: &Profile, private_key: &[u8], ambient: Ambient) -> Result<Self> {
        Self::by(profile, || tls::tls(profile, private_key), ambient)
    }

    /// The same, where the private key is with a signer.
    pub fn by_signer(profile: &Profile, signer: Arc<dyn Signer>, ambient: Ambient) -> Result<Self> {
        Self::by(profile, || tls::by_signer(profile, signer), ambient)
    }

    fn by(profile: &Profile, config: impl FnOnce() -> Result<ClientConfig>, ambient: Ambient) -> Result<Self> {
        let server = profile.server.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&server).ok().filter(|url| url.scheme() == "https" && url.path() == "/");
        if url.is_none() {
            let help = "write it as `https://exchange.example:8443`";
            return Err(ClientError::usage(format!("`{server}` is not a valid address of an exchange"), help));
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(config()?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(20))
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("entente/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::local(chain(&error), "check the profile"))?;
        let clock = ExchangeClock::new(ambient.clock.clone());
        Ok(Self { http, server, ambient, clock, first_wait: Duration::from_millis(250) })
    }

    /// What time it is at the exchange, as far as its answers said.
    #[must_use]
    pub fn clock(&self) -> &ExchangeClock {
        &self.clock
    }

    /// A fresh idempotency key.
    #[must_use]
    pub fn new_key(&self) -> String {
        let mut bytes = [0; 16];
        self.ambient.rng.fill(&mut bytes);
        bytes.iter().fold(String::with_capacity(32), |mut key, byte| {
            write!(key, "{byte:02x}").expect("a string takes all");
            key
        })
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<Tagged<T>> {
        let build = || Ok(self.request(Method::GET, path).query(query));
        self.whole(build, &mut Tries::default()).await?.read()
    }

    /// Reads something that may be absent, or not for the caller.
    pub async fn get_optional<T: DeserializeOwned>(&self, path: &str) -> Result<Option<Tagged<T>>> {
        match self.get(path, &[]).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Does something that has an answer.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        if_match: Option<&str>,
    ) -> Result<Tagged<T>> {
        let answer = self.act(method, path, body, if_match).await?;
        answer.read().map_err(|error| in_doubt(error, Fate::Done, ANOTHER_ACT))
    }

    /// Does something that has no answer but that it was done.
    pub async fn send_only(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        if_match: Option<&str>,
    ) -> Result<()> {
        self.act(method, path, body, if_match).await.map(drop)
    }

    /// Sends a sealed file.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        upload: &Upload<'_>,
        progress: &Arc<dyn ProgressListener>,
    ) -> Result<T> {
        let build = || {
            let file = fs::File::open(upload.file).map_err(|error| ClientError::io("open", upload.file, &error))?;
            let (progress, size, mut done) = (progress.clone(), upload.size, 0);
            let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE);
            let pieces = pieces.inspect_ok(move |piece: &Bytes| {
                done += piece.len() as u64;
                progress.update(ProgressStep::Uploading, done, size);
            });
            let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(upload.sha256.as_bytes()));
            let request = self.http.put(self.address(path)).header(header::CONTENT_TYPE, AGE_MEDIA_TYPE);
            let request = request.header(header::CONTENT_LENGTH, upload.size).header(REPR_DIGEST, digest);
            let request = request.header(MEDIA_TYPE, upload.media_type).header(IDEMPOTENCY_KEY, upload.idempotency_key);
            Ok(request.body(Body::wrap_stream(pieces)))
        };
        let mut tries = Tries::default();
        let sent = self.whole(build, &mut tries).await.and_then(Whole::read);
        sent.map(|tagged| tagged.body).map_err(|error| in_doubt(error, tries.fate, SAME_ACT))
    }

    /// Fetches at most `max` bytes and hands each piece to `take`; an error when there are more. When the connection breaks it is
    /// taken up where it stopped.
    pub async fn download<F>(&self, path: &str, max: u64, mut take: impl FnMut(Bytes) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let (mut received, mut broken) = (0_u64, 0);
        loop {
            let before = received;
            let build = || {
                let request = self.http.get(self.address(path)).header(header::ACCEPT, AGE_MEDIA_TYPE);
                Ok(if received > 0 { request.header(header::RANGE, format!("bytes={received}-")) } else { request })
            };
            let mut response = self.answered(build, &mut Tries::default()).await?;
            if received > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                return Err(ClientError::Transport {
                    what: "the exchange does not go on where the download stopped".into(),
                    help: "nothing was written; try again".into(),
                });
            }
            let error = loop {
                match tokio::time::timeout(PATIENCE, response.chunk()).await {
                    Ok(Ok(Some(piece))) => {
                        received += piece.len() as u64;
                        if received > max {
                            let what = format!("the exchange sends more than the {max} bytes that there can be");
                            return Err(ClientError::unverified(what, "nothing was kept; tell the host's operator"));
                        }
                        take(piece).await?;
                    }
                    Ok(Ok(None)) => return Ok(()),
                    Ok(Err(error)) => break self.failure(&error, Fate::Unknown),
                    Err(_) => break self.silence(),
                }
            };
            // Only tries that bring nothing are counted.
            broken = if received > before { 1 } else { broken + 1 };
            if broken >= TRIES {
                return Err(error);
            }
            tokio::time::sleep(self.wait(broken)).await;
        }
    }

    async fn act(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        if_match: Option<&str>,
    ) -> Result<Whole> {
        let (key, mut tries) = (self.new_key(), Tries::default());
        let build = || {
            let mut request = self.request(method.clone(), path).header(IDEMPOTENCY_KEY, &key);
            if let Some(tag) = if_match {
                request = request.header(header::IF_MATCH, tag);
            }
            Ok(match body {
                Some(body) => request.json(body),
                None => request,
            })
        };
        let done = self.whole(build, &mut tries).await;
        done.map_err(|error| in_doubt(error, tries.fate, ANOTHER_ACT))
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let accept = format!("application/json, {PROBLEM_JSON}");
        self.http.request(method, self.address(path)).header(header::ACCEPT, accept).timeout(PATIENCE)
    }

    /// Tries until there is a whole answer.
    async fn whole(&self, build: impl Fn() -> Result<RequestBuilder>, tries: &mut Tries) -> Result<Whole> {
        loop {
            let response = self.answered(&build, tries).await?;
            let headers = response.headers().clone();
            match body(response, MAX_ANSWER).await {
                Ok(Some(body)) => return Ok(Whole { headers, body }),
                Ok(None) => {
                    let help = "tell the host's operator".into();
                    return Err(ClientError::Transport { what: "the answer is longer than 64 MiB".into(), help });
                }
                Err(error) => {
                    tries.broken += 1;
                    if tries.broken >= TRIES {
                        return Err(self.failure(&error, tries.fate));
                    }
                    tokio::time::sleep(self.wait(tries.broken)).await;
                }
            }
        }
    }

    /// Tries until there is an answer, and makes an error of a refusal.
    async fn answered(&self, build: impl Fn() -> Result<RequestBuilder>, tries: &mut Tries) -> Result<Response> {
        loop {
            let sent = build()?.send().await;
            if let Ok(response) = &sent {
                self.clock.hear(response.headers());
            }
            let error = match sent {
                Ok(response) if response.status().is_success() => {
                    tries.learn(Fate::Done);
                    return Ok(response);
                }
                Ok(response) => {
                    let wait = retry_after(&response);
                    let refused = refusal(response).await;
                    tries.learn(if leaves_open(&refused) { Fate::Unknown } else { Fate::NotDone });
                    let waits = if is_unknown(&refused) { TRIES - 1 } else { 1 };
                    match wait.filter(|_| tries.waited < waits) {
                        Some(wait) => tokio::time::sleep(wait).await,
                        None => return Err(refused),
                    }
                    tries.waited += 1;
                    continue;
                }
                Err(error) => error,
            };
            tries.broken += 1;
            tries.learn(if may_have_arrived(&error) { Fate::Unknown } else { Fate::Unsent });
            if tries.broken >= TRIES || tls_error(&error).is_some() || error.is_builder() {
                return Err(self.failure(&error, tries.fate));
            }
            tokio::time::sleep(self.wait(tries.broken)).await;
        }
    }

    fn wait(&self, tries: u32) -> Duration {
        self.first_wait * 3_u32.pow(tries.saturating_sub(1).min(4))
    }

    fn failure(&self, error: &reqwest::Error, fate: Fate) -> ClientError {
        let unsent = if fate == Fate::Unsent { "; nothing was sent" } else { "" };
        if let Some(fault) = tls_error(error).and_then(signer_fault) {
            // What holds the key has ended, or a card was taken out: the network has no part in it.
            return ClientError::local(fault.to_string(), "run the command again");
        }
        match tls_error(error) {
            Some(rustls::Error::AlertReceived(alert)) if is_about_certificate(*alert) => {
                let problem = Box::new(Problem::new(Kind::CertificateRefused, refused_because(*alert)));
                ClientError::Problem { problem, request_id: None }
            }
            Some(rustls::Error::InvalidCertificate(fault)) if untimely(fault).is_some() => ClientError::unverified(
                format!("the certificate of `{}` {}", self.server, untimely(fault).unwrap_or_default()),
                format!("check this machine's clock and set it; if it is right, tell the host's operator{unsent}"),
            ),
            Some(rustls::Error::InvalidCertificate(fault)) => ClientError::unverified(
                format!(
                    "the certificate of `{}` is not issued by the profile's `server_ca`: {}",
                    self.server,
                    certificate_fault(fault)
                ),
                format!("check `server` and `server_ca` of the profile with the host's operator{unsent}"),
            ),
            _ => ClientError::Transport {
                what: format!("cannot reach `{}`: {}", self.server, chain(error)),
                help: format!("check the address and the network, then try again; {}", fate.advice()),
            },
        }
    }

    fn silence(&self) -> ClientError {
        ClientError::Transport {
            what: format!("`{}` has stopped sending", self.server),
            help: "try again; repeating is safe".into(),
        }
    }
}

/// An answer that has arrived as a whole.
struct Whole {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Whole {
    fn read<T: DeserializeOwned>(self) -> Result<Tagged<T>> {
        let etag = self.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = serde_json::from_slice(&self.body).map_err(|error| ClientError::Transport {
            what: format!(
                "this version of the client does not understand the answer: {}",
                reading::worded(&error.to_string())
            ),
            help: "check that client and exchange have compatible versions".into(),
        })?;
        Ok(Tagged { body, etag })
    }
}

/// The body, unless it is longer than `max` bytes.
async fn body(mut response: Response, max: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > max {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

async fn refusal(response: Response) -> ClientError {
    let (status, is_problem) = (response.status(), is_problem(&response));
    let request_id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let body = body(response, MAX_PROBLEM).await.ok().flatten().unwrap_or_default();
    let problem = serde_json::from_slice::<Problem>(&body).ok().filter(|_| is_problem).unwrap_or_else(|| Problem {
        kind: FOREIGN.into(),
        title: status.canonical_reason().unwrap_or("refused").to_lowercase(),
        status: status.as_u16(),
        detail: format!("something other than an exchange answered, with status {}", status.as_u16()),
        remedy: "check `server` of the profile: there may be a proxy in between".into(),
        faults: Vec::new(),
    });
    ClientError::Problem { problem: Box::new(problem), request_id }
}

fn is_problem(response: &Response) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| media_type.starts_with(PROBLEM_JSON))
}

fn retry_after(response: &Response) -> Option<Duration> {
    if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= LONGEST_WAIT)
}

/// The innermost words, which say most; the outer ones repeat the address.
fn chain(error: &reqwest::Error) -> String {
    let mut last = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        last = error.to_string();
        next = error.source();
    }
    last
}

#[cfg(test)]
#[cfg(feature = "server")]
mod tests;
