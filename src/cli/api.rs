//! `entente api`: a request with the profile's credentials, for what no command does and for finding out how the API answers.
//!
//! Prints the answer as it came: nothing of it is verified, and nothing is sealed or opened.

use super::{
    context::Context,
    error::{CliError, Exit, Result, read_input},
};
use crate::{
    client::{
        profile::Profile,
        transport::{PlainAnswer, PlainRequest},
    },
    wire::problem::Problem,
};
use clap::Args;
use http::{HeaderName, HeaderValue, Method, header};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// The longest body that is sent, in bytes.
const MAX_BODY: u64 = 64 << 20;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Send one request to the API and print the answer
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente api GET /v1/me
  entente api GET '/v1/proposals?limit=10'
  entente api POST /v1/programs --body program.json
  entente api POST /v1/calls/call_01…/cancel --body reason.json
  entente api PUT /v1/calls/call_01… --body text.json --header 'If-Match: \"7\"'
  entente api POST /v1/programs --body program.json --curl

The answer goes to standard output as it came; a refusal ends with code 3 and two lines on standard error. A request that changes something gets an `Idempotency-Key`, unless you give one. Nothing of the answer is verified: use the other commands to trust it.

The API is described in docs/openapi.json, and at /openapi.json of the exchange.")]
pub struct ApiArgs {
    /// GET, HEAD, POST, PUT or DELETE
    #[arg(value_name = "METHOD", value_parser = method)]
    method: Method,
    /// Path and query, such as `/v1/me`
    #[arg(value_name = "PATH", value_parser = path)]
    path: String,
    // Not `--json FILE`: that every command has, for its own answer.
    /// Send this file as the JSON body; `-` for standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Send this header, such as `If-Match: "…"`; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header_line)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Print status and headers of the answer before it
    #[arg(long, short)]
    include: bool,
    /// Print the request as a `curl` command instead of sending it
    #[arg(long, conflicts_with = "include")]
    curl: bool,
}

fn method(text: &str) -> Result<Method, String> {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let given = text.to_ascii_uppercase();
    known
        .into_iter()
        .find(|method| method.as_str() == given)
        .ok_or_else(|| "give GET, HEAD, POST, PUT or DELETE".into())
}

fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("begin it with `/`: the exchange's address is the profile's".into());
    }
    if let Some(odd) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("write {odd:?} as percent and two hexadecimal digits"));
    }
    Ok(text.to_owned())
}

fn header_line(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
    let name =
        name.trim().parse::<HeaderName>().map_err(|_| "a name has letters, digits and `-`, such as `If-Match`")?;
    let value = value.trim().parse::<HeaderValue>().map_err(|_| "a value has no control characters")?;
    Ok((name, value))
}

pub(super) async fn run(args: ApiArgs, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let transport = client.api().transport();
    let mut request = PlainRequest { method: args.method, path: args.path, headers: args.headers, body: None };
    let given = |request: &PlainRequest, name: &HeaderName| request.headers.iter().any(|(known, _)| known == name);
    if args.body.is_some() && !given(&request, &header::CONTENT_TYPE) {
        request.headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    }
    if !request.method.is_safe() && !given(&request, &IDEMPOTENCY_KEY) {
        let key = transport.new_key().parse().map_err(CliError::failed)?;
        request.headers.push((IDEMPOTENCY_KEY, key));
    }
    if args.curl {
        let line = curl(client.profile(), &request, args.body.as_deref());
        return context.out.bytes(line.as_bytes());
    }
    request.body = args.body.as_deref().map(|file| read_input(file, MAX_BODY)).transpose()?;
    let answer = transport.send_plain(&request).await?;
    if args.include {
        context.out.bytes(head(&answer).as_bytes())?;
    }
    context.out.bytes(&answer.body)?;
    if answer.status.is_success() {
        return Ok(());
    }
    if context.out.is_at_terminal() && !answer.body.ends_with(b"\n") {
        context.out.bytes(b"\n")?;
    }
    Err(refused(&answer))
}

fn head(answer: &PlainAnswer) -> String {
    let mut head = format!("HTTP/1.1 {}\n", answer.status);
    for (name, value) in &answer.headers {
        let _ = writeln!(head, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    head.push('\n');
    head
}

fn refused(answer: &PlainAnswer) -> CliError {
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
    let what = problem.as_ref().map_or_else(
        || format!("the exchange answered {}", answer.status),
        |problem| format!("the exchange answered {}: {}", answer.status.as_u16(), problem.detail),
    );
    let help = problem.as_ref().map_or("see the answer", |problem| &problem.remedy).to_owned();
    CliError { exit: Exit::Refused, message: what, help: Some(help), problem: problem.map(Box::new) }
}

/// The request as one command for a POSIX shell.
fn curl(profile: &Profile, request: &PlainRequest, body: Option<&Path>) -> String {
    let mut words: Vec<String> = ["curl", "--tlsv1.3", "--globoff"].map(str::to_owned).into();
    match request.method {
        Method::HEAD => words.push("--head".to_owned()),
        ref method => words.extend(["--request".to_owned(), method.to_string()]),
    }
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), quoted(value)]);
    // `curl` reads one file of authorities.
    for authority in profile.server_ca.iter().take(1) {
        option("--cacert", &authority.to_string_lossy());
    }
    option("--cert", &profile.certificate.to_string_lossy());
    option("--key", &profile.private_key.to_string_lossy());
    for (name, value) in &request.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        // `curl` leaves out a header that is written with a colon and nothing after it.
        option("--header", &if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") });
    }
    if let Some(body) = body {
        option("--data-binary", &format!("@{}", body.display()));
    }
    words.push(quoted(&format!("{}{}", profile.server.trim_end_matches('/'), request.path)));
    words.join(" ") + "\n"
}

/// A word that a POSIX shell takes as it is.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_of_the_exchange_that_the_profile_names() {
        assert_eq!(path("/v1/me"), Ok("/v1/me".to_owned()));
        for wrong in ["", "v1/me", "https://elsewhere.example/v1/me", "@elsewhere.example/", "/v1/a b", "/v1\n"] {
            assert!(path(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, shell) in [
            ("/etc/key.pem", "/etc/key.pem"),
            ("If-Match: \"a\"", "'If-Match: \"a\"'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("/v1/proposals?limit=1&sort=x", "'/v1/proposals?limit=1&sort=x'"),
        ] {
            assert_eq!(quoted(word), shell);
        }
    }
}
