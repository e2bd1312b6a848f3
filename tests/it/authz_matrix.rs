//! Who may do what, as one table: every operation of the API, asked by everybody who can be somebody.
//!
//! The table is kept in `authz_matrix/golden.txt`, to be read and judged by people; `ENTENTE_BLESS=1` writes it again. It says
//! what authorization answered, not whether the operation then succeeded: see `authz_matrix/requests.rs`.

mod answers;
mod requests;
mod setting;

use crate::harness::{
    exchange::fresh_key,
    world::{Raw, Store},
};
use answers::{Answer, Cell};
use entente::{http::api, wire::problem::Kind};
use requests::Ask;
use reqwest::Method;
use serde_json::{Value, json};
use setting::{Ids, Setting};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

const LEGEND: &str = "\
Who may do what. Compared by the tests; written again with ENTENTE_BLESS=1. Read a changed line before you accept it.

A call of Israel and the United States is under review; both own the proposal, both fund. Words: `refused-tls` (no connection),
`not-a-member` (no key card in force names the certificate), `denied` (may know of it, may not do this), `undeclared` (the same,
and a declaration to be free of conflict is all that is missing), `hidden` (answered as what does not exist), `permitted`
(authorization let it through; `then` is what it met after that).

Certificates: none · unknown-ca (of nobody enrolled) · forged-ca (of nobody enrolled, with the name of Israel's authority) ·
namesake-ca (Korea's authority, which has the name of Israel's, for a member of Israel) · wrong-partner (the United States'
authority, for a member of Israel) · revoked · expired · unnamed (Korea's authority, names nobody and nobody's card pins it) ·
no-card (Israel's authority, for somebody without a key card) · revoked-card (its member's key card was revoked).

Members: outsider (of Korea, which takes no part) · member (of the United States, without a role) · registrar (of the United
States) · submitter (party, ISR) · counterpart (party, USA) · invited (by the submitter to its party, ISR) · assigned (reviewer,
declared clear, USA) · reviewed (the same with the own review in, ISR) · undeclared (reviewer, assigned, ISR) · unassigned (reviewer,
USA) · conflicted (reviewer, assigned, then in conflict, ISR) · officer (of the host, declared clear) · partner-off. (officer of ISR,
declared clear) · undecl.-off. (officer of the host) · conflict-off. (officer of the host, in conflict) · decider (USA, declared clear) · undecl.-dec. (decider, USA) ·
observer (USA) · policy-off. (policy officer of ISR) · conflict-pol. (policy officer of ISR, who works where the submitter does) ·
invited-pol. (policy officer of ISR, invited by the submitter to its party) · host-policy (policy officer of USA, the host) ·
relay (of ISR: asks how much waits for its nation's members).
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_answers_everybody_as_the_matrix_says() {
    let setting = Setting::build().await;
    let found = matrix(&setting).await;
    setting.world.stop().await;
    if std::env::var_os("ENTENTE_BLESS").is_some() {
        std::fs::write(golden(), &found).unwrap();
    }
    compare(&found);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_answers_everybody_as_the_matrix_says() {
    let Some(setting) = Setting::build_on(Store::Postgres).await else { return };
    let found = matrix(&setting).await;
    setting.world.stop().await;
    if std::env::var_os("ENTENTE_BLESS").is_none() {
        compare(&found);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_hidden_answers_byte_for_byte_as_what_is_absent() {
    let setting = Setting::build().await;
    spend_keys(&setting).await;
    let asks = requests::all(&setting.ids);
    let absent_proposals = requests::all(&setting.ids.without_proposals());
    let absent_calls = requests::all(&setting.ids.without_calls());
    let mut compared: BTreeMap<&str, u32> = BTreeMap::new();
    for (column, caller) in setting.members() {
        for (index, ask) in asks.iter().enumerate() {
            let answer = Answer::to(ask, &caller).await.unwrap();
            if answer.cell(ask) != Cell::Hidden {
                // Of a proposal in conflict nothing but hidden comes back, whatever is asked.
                let names_proposal = ask.template.contains("{proposal}") || ask.template.contains("{review}");
                assert!(!(column.starts_with("conflict") && names_proposal), "{column}: {}", ask.name());
                continue;
            }
            for other in [&absent_proposals[index], &absent_calls[index]] {
                if ask.is_same(other) {
                    continue;
                }
                let other = Answer::to(other, &caller).await.unwrap();
                assert_eq!(answer, other, "{column} can tell: {}", ask.name());
                *compared.entry(column).or_default() += 1;
            }
        }
    }
    for column in ["outsider", "member", "unassigned", "conflicted", "conflict-off.", "observer"] {
        assert!(compared[column] >= 30, "{column}: only {} answers compared", compared[column]);
    }
    setting.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicted_officer_of_the_host_learns_nothing() {
    let setting = Setting::build().await;
    let (ids, neutral) = (&setting.ids, setting.neutral);
    let (olivia, dana) = (setting.member("USA:olivia"), setting.member("USA:dana"));
    let absent = ids.without_proposals();

    // No row.
    for path in ["/v1/proposals".to_owned(), format!("/v1/proposals?call={}", ids.call), "/v1/proposals?limit=1".into()]
    {
        let page = read(&olivia, &path).await;
        let rows: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        assert_eq!(rows, [json!(neutral)], "{path}");
        assert_eq!(page["next"], Value::Null, "{path}");
    }

    // No count.
    for (caller, proposals) in [(&olivia, 1), (&dana, 3)] {
        assert_eq!(read(caller, "/v1/proposals/count").await, json!({ "proposals": proposals }));
    }
    let progress = format!("/v1/calls/{}/progress", ids.call);
    let all = read(&dana, &progress).await;
    assert_eq!(
        all,
        json!({ "phase": "review", "proposals": { "submitted": 3 }, "assignments": 7, "reviews": 1, "reopened": 0,
                "decided": 1 })
    );
    let hers = read(&olivia, &progress).await;
    assert_eq!(
        hers,
        json!({ "phase": "review", "proposals": { "submitted": 1 }, "assignments": 1, "reviews": 0, "reopened": 0, "decided": 0 })
    );

    // No entry, her own acts included.
    let words: Vec<String> = [ids.open, ids.decided].iter().map(ToString::to_string).collect();
    let vaults = [ids.panel, ids.israel_staff, ids.parties, ids.deliberation].map(|id| id.to_string());
    let documents = [ids.panel_document, ids.israel_restricted, ids.us_restricted, ids.letter].map(|id| id.to_string());
    let words: Vec<String> = words.into_iter().chain(vaults).chain(documents).chain([ids.review.to_string()]).collect();
    let (hers, all) = (log(&olivia).await, log(&dana).await);
    for word in &words {
        assert!(all.contains(word), "`{word}` is nowhere in the log, so this proves nothing");
        assert!(!hers.contains(word), "`{word}` is in the log that she reads");
    }
    assert!(hers.contains(&neutral.to_string()));

    // No difference to what does not exist, in a body either.
    let assignments = format!("/v1/calls/{}/assignments", ids.call);
    for dry_run in [true, false] {
        let assign =
            |proposal| json!({ "assignments": [{ "proposal": proposal, "reviewer": "USA:rhea" }], "dry_run": dry_run });
        let real = change(&olivia, Method::POST, &assignments, &assign(ids.open)).await;
        let none = change(&olivia, Method::POST, &assignments, &assign(absent.open)).await;
        assert_eq!(real, none);
        assert_eq!(real.1["faults"][0]["problem"], Kind::NotFound.slug());
    }

    // Nor by what can be done to those who take part in it: naming its party is like naming anybody.
    let role = |member: &str| format!("/v1/calls/{}/roles/{member}", ids.call);
    let observer = json!({ "roles": ["observer"] });
    assert_eq!(change(&dana, Method::PUT, &role("USA:bob"), &observer).await.0, 422);
    let (party, anybody) = (
        change(&olivia, Method::PUT, &role("USA:bob"), &observer).await,
        change(&olivia, Method::PUT, &role("USA:mia"), &observer).await,
    );
    assert_eq!(party.0, 422, "a recused member leaves roles to others");
    assert_eq!(party, anybody);
    setting.world.stop().await;
}

#[test]
fn every_operation_of_the_description_is_in_the_matrix() {
    let description = serde_json::to_value(api::openapi()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let asks = requests::all(&Ids::made_up());
    let asked: BTreeSet<String> = asks.iter().map(|ask| format!("{} {}", ask.method, ask.template)).collect();
    assert_eq!(asked, described, "asked on the left, described on the right");
    assert!(described.len() >= 80);
}

/// The whole table, as it is kept.
async fn matrix(setting: &Setting) -> String {
    let asks = requests::all(&setting.ids);
    let before = state_of(setting).await;
    spend_keys(setting).await;
    let strangers = setting.strangers().await;
    let mut alerts = String::from("Alerts:");
    for (column, credential) in &strangers {
        if let Some(alert) = setting.world.alert(credential.as_ref()).await {
            write!(alerts, " {column} {alert:?}").unwrap();
        }
    }
    let strangers: Vec<_> =
        strangers.into_iter().map(|(column, credential)| (column, setting.world.raw(credential.as_ref()))).collect();
    let certificates = Table::ask(&asks, &strangers).await;
    let members = Table::ask(&asks, &setting.members()).await;
    let after = state_of(setting).await;
    assert_eq!(before, after, "asking changed something");
    format!("{LEGEND}\n{alerts}\n\n{certificates}\n{members}")
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/authz_matrix/golden.txt")
}

fn compare(found: &str) {
    let kept = std::fs::read_to_string(golden()).unwrap_or_default();
    let mut difference = String::new();
    for (number, pair) in (1..).zip(lines(&kept, found)) {
        if let (kept, found) = pair
            && kept != found
        {
            writeln!(difference, "line {number}\n  kept  {kept}\n  found {found}").unwrap();
        }
    }
    assert!(difference.is_empty(), "the matrix changed; if it should, run with ENTENTE_BLESS=1\n{difference}");
}

/// Rows by columns, and what permitted callers met.
struct Table {
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<Cell>, BTreeSet<String>)>,
}

impl Table {
    async fn ask(asks: &[Ask], callers: &[(&'static str, Raw)]) -> Self {
        let mut rows = Vec::with_capacity(asks.len());
        for ask in asks {
            let (mut cells, mut then) = (Vec::with_capacity(callers.len()), BTreeSet::new());
            for (_, caller) in callers {
                let answer = Answer::to(ask, caller).await;
                let cell = answer.as_ref().map_or(Cell::RefusedTls, |answer| answer.cell(ask));
                cells.push(cell);
                then.extend(answer.filter(|_| cell == Cell::Permitted).map(|answer| answer.outcome()));
            }
            rows.push((ask.name(), cells, then));
        }
        Self { columns: callers.iter().map(|(column, _)| *column).collect(), rows }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = self.rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        write!(f, "{:width$}", "")?;
        for column in &self.columns {
            write!(f, "  {column:<13}")?;
        }
        writeln!(f, "  then")?;
        for (name, cells, then) in &self.rows {
            write!(f, "{name:width$}")?;
            for cell in cells {
                write!(f, "  {cell:<13}")?;
            }
            let then: Vec<&str> = then.iter().map(String::as_str).collect();
            writeln!(f, "  {}", if then.is_empty() { "-".to_owned() } else { then.join(", ") })?;
        }
        Ok(())
    }
}

/// Lets every officer use one key, so that whatever else comes under it is refused after authorization.
async fn spend_keys(setting: &Setting) {
    let path = format!("/v1/calls/{}/roles/KOR:jiwoo", setting.ids.call);
    for officer in ["USA:dana", "USA:olivia", "USA:omar", "ISR:noa"] {
        let request = setting.member(officer).request(Method::PUT, &path).json(&json!({ "roles": [] }));
        let response = request.header("Idempotency-Key", requests::SPENT).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

/// What the matrix must not change, as those who see most of it see it.
async fn state_of(setting: &Setting) -> Vec<Value> {
    let (dana, avi) = (setting.member("USA:dana"), setting.member("ISR:avi"));
    let (ids, mut found) = (&setting.ids, Vec::new());
    for path in ["", "/roles", "/progress"] {
        found.push(read(&dana, &format!("/v1/calls/{}{path}", ids.call)).await);
    }
    found.push(read(&dana, "/v1/programs").await);
    found.push(read(&dana, "/v1/members").await);
    found.push(read(&dana, "/v1/proposals").await);
    for proposal in [ids.open, ids.decided] {
        for path in ["/assignments", "/reviews", "/decision", "/letters", "/vaults", "/documents", "/missing-keys"] {
            found.push(read(&dana, &format!("/v1/proposals/{proposal}{path}")).await);
        }
        for path in ["", "/documents", "/manifests", "/vaults"] {
            found.push(read(&avi, &format!("/v1/proposals/{proposal}{path}")).await);
        }
    }
    found
}

async fn read(caller: &Raw, path: &str) -> Value {
    let response = caller.request(Method::GET, path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

async fn change(caller: &Raw, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let request = caller.request(method, path).header("Idempotency-Key", fresh_key());
    let response = request.json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Everything in the log that somebody may read, as text.
async fn log(caller: &Raw) -> String {
    let (mut text, mut cursor) = (String::new(), String::new());
    loop {
        let page = read(caller, &format!("/v1/entries?limit=200{cursor}")).await;
        text.push_str(&page["items"].to_string());
        let Some(next) = page["next"].as_str() else { return text };
        cursor = format!("&cursor={next}");
    }
}

/// The lines of both, side by side, to the end of the longer.
fn lines<'t>(kept: &'t str, found: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
    let count = kept.lines().count().max(found.lines().count());
    let padded = |text: &'t str| text.lines().chain(std::iter::repeat("")).take(count);
    padded(kept).zip(padded(found))
}
