//! A request as its author wrote it, with the profile's credentials, and the answer as it came.
//!
//! Sent once: what to repeat, and under which idempotency key, is the author's to say. The address is always the profile's exchange.

use super::{IDEMPOTENCY_KEY, MAX_ANSWER, PATIENCE, Transport, body, may_have_arrived};
use crate::client::{ClientError, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// A request to the exchange.
#[derive(Debug, Clone)]
pub struct PlainRequest {
    pub method: Method,
    /// Path and query, such as `/v1/me`.
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Option<Vec<u8>>,
}

/// What the exchange answered, a refusal included.
#[derive(Debug, Clone)]
pub struct PlainAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Transport {
    /// Sends a request once and returns whatever is answered.
    ///
    /// # Errors
    /// When no whole answer comes; the text says whether the request may have been done.
    pub async fn send_plain(&self, request: &PlainRequest) -> Result<PlainAnswer> {
        let mut sent = self.http.request(request.method.clone(), self.address(&request.path)).timeout(PATIENCE);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        let response =
            sent.send().await.map_err(|error| self.plain_failure(request, &error, may_have_arrived(&error)))?;
        self.clock.hear(response.headers());
        let (status, headers) = (response.status(), response.headers().clone());
        match body(response, MAX_ANSWER).await {
            Ok(Some(body)) => Ok(PlainAnswer { status, headers, body }),
            Ok(None) => Err(ClientError::Transport {
                what: "the answer is longer than 64 MiB".into(),
                help: "ask for a page at a time, with `limit` and `cursor`".into(),
            }),
            Err(error) => Err(self.plain_failure(request, &error, true)),
        }
    }

    fn plain_failure(&self, request: &PlainRequest, error: &reqwest::Error, may_have_arrived: bool) -> ClientError {
        let failure = self.failure(error, if may_have_arrived { super::Fate::Unknown } else { super::Fate::Unsent });
        match failure {
            ClientError::Transport { what, .. } if may_have_arrived && !request.method.is_safe() => {
                let key = request.headers.iter().find(|(name, _)| *name == IDEMPOTENCY_KEY);
                let key = key.and_then(|(_, key)| key.to_str().ok()).unwrap_or("…");
                ClientError::Transport {
                    what: format!("{what}; whether it was done is not known"),
                    help: format!("send it again with `--header 'Idempotency-Key: {key}'`: nothing is done twice"),
                }
            }
            failure => failure,
        }
    }
}
