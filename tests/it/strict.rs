//! What other servers take in silence: a time in one form of many, a header or a name twice, the character U+0000, a cursor under another
//! question. Each is taken as meant or refused with the rule, alike on both engines.

use crate::harness::{
    exchange::{Answered, fresh_key},
    stage::{Stage, id, text},
    world::{Raw, Store},
};
use entente::{
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::VaultId,
    },
    sealing::{
        canonical,
        identity::new_identity,
        statement::{CallPublication, sign_statement},
    },
};
use jiff::SignedDuration;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A stage on each engine that is here.
async fn stages() -> Vec<Stage> {
    let mut stages = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        stages.extend(Stage::open_on(store).await);
    }
    stages
}

fn raw(stage: &Stage, member: &str) -> Raw {
    stage.raw(Some(stage.credential(member)))
}

async fn change(raw: &Raw, method: Method, path: &str, body: String) -> Response {
    let request = raw.request(method, path).header("Idempotency-Key", fresh_key());
    request.header("Content-Type", "application/json").body(body).send().await.unwrap()
}

/// Status and whole problem.
async fn refused(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

fn is(problem: &(u16, Value), status: u16, slug: &str) -> bool {
    problem.0 == status && problem.1["type"] == format!("urn:entente:problem:{slug}")
}

fn detail(problem: &(u16, Value)) -> &str {
    problem.1["detail"].as_str().unwrap()
}

/// The body of a draft, with the deadline written like this.
fn draft(stage: &Stage, deadline: &str) -> Value {
    let mut text = serde_json::to_value(text(stage.clock.now(), stage.deadline)).unwrap();
    text["schedule"]["deadline_at"] = json!(deadline);
    json!({ "program": stage.program, "text": text })
}

#[tokio::test]
async fn instant_is_taken_in_every_form_in_which_programs_write_it() {
    let stage = Stage::open().await;
    let dana = raw(&stage, "USA:dana");
    let second = stage.deadline.to_string();
    let second = second.strip_suffix('Z').unwrap();
    for (written, kept) in [
        (format!("{second}.000Z"), format!("{second}Z")),
        (format!("{second}+00:00"), format!("{second}Z")),
        (format!("{second}.250000+00:00"), format!("{second}.25Z")),
        (format!("{second}.25-00:00"), format!("{second}.25Z")),
        (format!("{second}.250000000000Z"), format!("{second}.25Z")),
        (format!("{}z", second.replace('T', "t")), format!("{second}Z")),
        (format!("{}Z", second.replace('T', " ")), format!("{second}Z")),
    ] {
        let drafted = change(&dana, Method::POST, "/v1/calls", draft(&stage, &written).to_string()).await;
        let drafted = drafted.expect_status(201).await;
        assert_eq!(drafted["text"]["schedule"]["deadline_at"], kept, "{written}");
    }
    // The third has letters of several bytes where a date ends: a fuzzer ended the connection with one.
    for written in [second, &second[..10], "2026-04-0é15:00:00Z", &format!("{second}Z[UTC]"), "next week"] {
        let response = change(&dana, Method::POST, "/v1/calls", draft(&stage, written).to_string()).await;
        let problem = refused(response).await;
        assert!(is(&problem, 400, "malformed"), "{written}: {problem:?}");
        let detail = detail(&problem);
        assert!(
            detail.contains("`/text/schedule/deadline_at`: wanted an instant with its offset, such as"),
            "{detail}"
        );
        assert!(!detail.contains("week"), "{detail}");
    }
    let body = json!({ "until": format!("{second}.000+00:00"), "reason": "x", "dry_run": true });
    let path = format!("/v1/calls/{}/extend", stage.call);
    let problem = refused(change(&dana, Method::POST, &path, body.to_string()).await).await;
    assert!(is(&problem, 422, "extension-backwards"), "it was read: {problem:?}");
    stage.stop().await;
}

#[tokio::test]
async fn signed_instant_in_another_form_is_refused_with_the_one_form() {
    let stage = Stage::open().await;
    let dana = raw(&stage, "USA:dana");
    let second = stage.deadline.to_string();
    let javascript = second.replace('Z', ".000Z");
    let body = draft(&stage, &javascript);
    let drafted = change(&dana, Method::POST, "/v1/calls", body.to_string()).await;
    let tag = drafted.headers()["etag"].clone();
    let call = drafted.expect_status(201).await["id"].as_str().unwrap().to_owned();
    let given = body["text"].clone();
    let publication = CallPublication {
        call: call.parse().unwrap(),
        version: 1,
        text_sha256: canonical::digest(&given).unwrap(),
        text: given,
        vault: VaultId::new_of(&id("USA:dana"), &SystemClock, &SystemRng),
        recipient: new_identity().recipient().to_owned(),
        host: "USA".parse().unwrap(),
    };
    let publication = sign_statement(&*stage.client("USA:dana").signer().unwrap(), &publication).unwrap();
    let request = dana.request(Method::POST, &format!("/v1/calls/{call}/publish")).header("If-Match", tag);
    let request = request.header("Idempotency-Key", fresh_key()).json(&json!({ "publication": publication }));
    let problem = refused(request.send().await.unwrap()).await;
    assert!(is(&problem, 422, "statement-invalid"), "{problem:?}");
    let wanted = format!("`/schedule/deadline_at`: write `{second}`, not `{javascript}`");
    assert!(detail(&problem).contains(&wanted), "{problem:?}");
    stage.stop().await;
}

#[tokio::test]
async fn fault_of_a_body_or_a_query_names_its_place_and_the_choices() {
    let stage = Stage::open().await;
    let dana = raw(&stage, "USA:dana");
    let program = |lead: Value| json!({ "name": "P", "lead": lead, "partners": ["USA"] }).to_string();
    for (body, wanted) in [
        (program(json!(7)), "the body: `/lead`: wanted text, not a number"),
        (program(json!("usa")), "the body: `/lead`: the value is not a partner"),
        ("{}".to_owned(), "the body: `name` is missing"),
        (
            program(json!("USA")).replace("name", "title"),
            "there is no `title` here; it takes `name`, `lead`, `partners`",
        ),
        ("{\"name\":".to_owned(), "the body: it ends too early (line 1, column 8)"),
    ] {
        let problem = refused(change(&dana, Method::POST, "/v1/programs", body.clone()).await).await;
        assert!(is(&problem, 400, "malformed") && detail(&problem).contains(wanted), "{body}: {problem:?}");
    }
    for (query, wanted) in [
        ("limit=many", "the query: `limit`: wanted a whole number"),
        ("colour=red", "there is no `colour` here; it takes `program`, `cursor`, `limit`"),
        ("program=7", "the query: `program`: the value is not an identifier"),
        ("limit=1&limit=1", "a parameter is given twice"),
    ] {
        let response = dana.request(Method::GET, &format!("/v1/calls?{query}")).send().await.unwrap();
        let problem = refused(response).await;
        assert!(is(&problem, 400, "malformed") && detail(&problem).contains(wanted), "{query}: {problem:?}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn character_that_no_database_keeps_is_refused_alike_on_both_engines() {
    let mut found: Vec<Vec<(u16, Value)>> = Vec::new();
    for stage in stages().await {
        let dana = raw(&stage, "USA:dana");
        let mut problems = Vec::new();
        let name = json!({ "name": "a\u{0}b", "lead": "USA", "partners": ["USA"] }).to_string();
        problems.push(refused(change(&dana, Method::POST, "/v1/programs", name).await).await);
        let mut body = draft(&stage, "2026-01-01T00:00:00Z");
        body["text"]["criteria"][1]["title"] = json!("\u{0}");
        problems.push(refused(change(&dana, Method::POST, "/v1/calls", body.to_string()).await).await);
        for path in ["/v1/proposals/%00", "/v1/calls?program=a%00", "/v1/nothing/%00", "/v1/me?%00"] {
            problems.push(refused(dana.request(Method::GET, path).send().await.unwrap()).await);
        }
        assert!(detail(&problems[1]).contains("`/text/criteria/1/title` has the character U+0000"), "{problems:?}");
        assert!(problems.iter().all(|problem| is(problem, 422, "nul-character")), "{problems:?}");
        found.push(problems);
        stage.stop().await;
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
}

#[tokio::test]
async fn what_is_named_twice_is_refused() {
    let stage = Stage::open().await;
    let dana = raw(&stage, "USA:dana");
    for (body, wanted) in [
        (r#"{"name":"P","lead":"USA","partners":["USA","ISR","USA"]}"#, "`/partners/2`: it is in this list before"),
        (r#"{"name":"P","lead":"USA","partners":["USA"],"name":"Q"}"#, "member `name` appears twice"),
    ] {
        let problem = refused(change(&dana, Method::POST, "/v1/programs", body.to_owned()).await).await;
        assert!(is(&problem, 400, "malformed") && detail(&problem).contains(wanted), "{problem:?}");
    }
    let program = json!({ "name": "P", "lead": "USA", "partners": ["USA"] });
    let post = |key: &str| dana.request(Method::POST, "/v1/programs").header("Idempotency-Key", key).json(&program);
    let twice = |request: RequestBuilder, name: &str, value: &str| request.header(name, value).header(name, value);
    for request in [
        post("once").header("Idempotency-Key", "once"),
        twice(post("twice-1"), "Content-Digest", "sha-256=:AAAA:"),
        twice(post("twice-2"), "Repr-Digest", "sha-256=:AAAA:"),
        twice(dana.request(Method::GET, "/v1/me"), "Range", "bytes=0-1"),
    ] {
        let problem = refused(request.send().await.unwrap()).await;
        assert!(is(&problem, 400, "malformed") && detail(&problem).contains("is to be sent once"), "{problem:?}");
    }
    stage.stop().await;
}

/// The first bytes of the answer to these lines.
async fn answered(stage: &Stage, head: &str) -> String {
    let tcp = tokio::net::TcpStream::connect(stage.address()).await.unwrap();
    let tls = stage.tls(Some(stage.credential("USA:dana")));
    let mut stream =
        tokio_rustls::TlsConnector::from(Arc::new(tls)).connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn request_names_exactly_one_host() {
    let stage = Stage::open().await;
    for (hosts, status) in [
        ("Host: localhost\r\n", "200"),
        ("Host: localhost:8443\r\n", "200"),
        ("", "400"),
        ("Host: \r\n", "400"),
        ("Host: local host\r\n", "400"),
        ("Host: localhost\r\nHost: localhost\r\n", "400"),
        ("Host: localhost\r\nHost: elsewhere\r\n", "400"),
    ] {
        let answer = answered(&stage, &format!("GET /v1/me HTTP/1.1\r\n{hosts}\r\n")).await;
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{hosts:?}");
    }
    let elsewhere = "GET https://localhost/v1/me HTTP/1.1\r\nHost: elsewhere\r\n\r\n";
    assert_eq!(answered(&stage, elsewhere).await, "HTTP/1.1 400");
    stage.stop().await;
}

#[tokio::test]
async fn cursor_counts_for_the_question_that_it_came_from() {
    let stage = Stage::open().await;
    let (dana, avi) = (raw(&stage, "USA:dana"), raw(&stage, "ISR:avi"));
    let proposal = stage.begun().await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    // An own question, what it is asked in another way, and another list.
    let lists = [
        ("/v1/entries".to_owned(), "/v1/entries?kind=key_card".to_owned(), "/v1/members".to_owned()),
        ("/v1/entries?kind=key_card".into(), "/v1/entries?kind=policy".into(), "/v1/entries".into()),
        ("/v1/members".into(), "/v1/members?partner=ISR".into(), "/v1/members/ISR:avi/key-cards".into()),
        ("/v1/members?partner=ISR".into(), "/v1/members?partner=USA".into(), "/v1/members".into()),
        (
            format!("/v1/proposals/{proposal}/joined"),
            format!("/v1/proposals/{proposal}/manifests"),
            format!("/v1/proposals/{proposal}/labels"),
        ),
    ];
    for (list, other, another) in lists {
        let get = async |raw: &Raw, path: &str, more: &str| {
            let separator = if path.contains('?') { '&' } else { '?' };
            raw.request(Method::GET, &format!("{path}{separator}{more}")).send().await.unwrap()
        };
        let first = get(&avi, &list, "limit=1").await.expect_status(200).await;
        let Some(next) = first["next"].as_str() else { panic!("{list}: {first}") };
        // Another length of the page is the same question.
        for limit in [1, 7] {
            let page = get(&avi, &list, &format!("limit={limit}&cursor={next}")).await.expect_status(200).await;
            assert!(
                page["items"].as_array().unwrap().len() <= limit && page["items"][0] != first["items"][0],
                "{list}"
            );
        }
        for path in [&other, &another] {
            let problem = get(&avi, path, &format!("limit=1&cursor={next}")).await.problem().await;
            assert_eq!(problem, (400, "bad-cursor".into()), "{list} to {path}");
        }
        let (status, slug) = get(&dana, &list, &format!("limit=1&cursor={next}")).await.problem().await;
        assert!(slug == "bad-cursor" || matches!(status, 403 | 404), "{list}: {slug}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn slot_says_no_more_than_the_exchange_takes() {
    let Some(stage) = Stage::open_with(Store::Sqlite, &[("limits.document_bytes", "100000")]).await else { return };
    let dana = raw(&stage, "USA:dana");
    let deadline = (stage.deadline + SignedDuration::from_hours(1)).to_string();
    let problem = refused(change(&dana, Method::POST, "/v1/calls", draft(&stage, &deadline).to_string()).await).await;
    assert!(is(&problem, 422, "call-text-invalid"), "{problem:?}");
    let wanted = "slot `work-plan` would take 4000000 bytes, and this exchange takes documents of at most 100000";
    assert!(detail(&problem).contains(wanted), "{problem:?}");
    stage.stop().await;
}

#[tokio::test]
async fn reason_and_name_are_counted_in_characters() {
    let stage = Stage::open().await;
    let dana = raw(&stage, "USA:dana");
    let program = |name: &str| json!({ "name": name, "lead": "USA", "partners": ["USA"] }).to_string();
    let korean = "공".repeat(200);
    change(&dana, Method::POST, "/v1/programs", program(&korean)).await.expect_status(201).await;
    let problem = refused(change(&dana, Method::POST, "/v1/programs", program(&format!("{korean}공"))).await).await;
    assert!(is(&problem, 400, "malformed") && detail(&problem).contains("1 to 200 characters"), "{problem:?}");
    stage.stop().await;
}
