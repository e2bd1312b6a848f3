//! What everybody sees of one proposal, asked for real over everybody's own connection.

use crate::harness::{
    stage::Stage,
    world::{Raw, TestWorld},
};
use entente::{
    domain::id::{DocumentId, ProposalId},
    storage::args,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Everybody in the story: parties, officers, reviewers, deciders, an observer and somebody of a nation that takes no part.
const EVERYBODY: &[&str] = &[
    "ISR:avi",
    "ISR:tamar",
    "USA:bob",
    "USA:dana",
    "ISR:noa",
    "USA:olivia",
    "USA:carol",
    "ISR:yael",
    "ISR:maya",
    "USA:frank",
    "ISR:eitan",
    "USA:walt",
    "KOR:minjun",
];

/// Everybody's connections.
pub(super) struct Onlookers(Vec<(&'static str, Raw)>);

impl Onlookers {
    pub(super) fn new(world: &TestWorld) -> Self {
        Self(EVERYBODY.iter().map(|member| (*member, world.raw(Some(world.credential(member))))).collect())
    }

    /// Asserts what each sees. Who is not named must see nothing: no row, no document, no count. A line says the status, the
    /// documents that can be fetched (`s`ummary, `w`ork plan and its e`x`changed version, shareholders of `i`srael and the
    /// `u`nited states), the vaults to which there are usable keys (`p`anel, `l`etters, staff of `i` and `u`,
    /// `d`eliberation), and how many reviews, which decision and how many letters.
    pub(super) async fn see(&self, stage: &Stage, proposal: ProposalId, expected: &[(&[&str], &str)]) {
        let documents = documents(stage, proposal).await;
        for (member, connection) in &self.0 {
            let wanted =
                expected.iter().find(|(members, _)| members.contains(member)).map_or("nothing", |(_, line)| line);
            let found = access(connection, stage, proposal, &documents).await;
            assert_eq!(found, wanted, "{member}");
        }
    }
}

async fn access(connection: &Raw, stage: &Stage, proposal: ProposalId, documents: &[(DocumentId, char)]) -> String {
    let base = format!("/v1/proposals/{proposal}");
    let listed = get(connection, &format!("/v1/proposals?call={}", stage.call)).await;
    let row = get(connection, &base).await;
    let in_list = listed
        .as_ref()
        .is_ok_and(|list| list["items"].as_array().unwrap().iter().any(|item| item["id"] == proposal.to_string()));
    let Ok(row) = row else {
        assert!(!in_list, "a list shows what cannot be looked at");
        for rest in
            ["documents", "vaults", "manifests", "reviews", "decision", "letters", "assignments", "missing-keys"]
        {
            assert_eq!(get(connection, &format!("{base}/{rest}")).await, Err(StatusCode::NOT_FOUND), "{rest}");
        }
        for (document, _) in documents {
            let path = format!("{base}/ciphertexts/{document}");
            assert_eq!(get(connection, &path).await, Err(StatusCode::NOT_FOUND), "a document");
        }
        return "nothing".to_owned();
    };
    assert!(in_list, "what can be looked at is in the list");
    let mut read = String::new();
    for (document, letter) in documents {
        let request = connection.request(Method::GET, &format!("{base}/ciphertexts/{document}"));
        let status = request.header("Range", "bytes=0-0").send().await.unwrap().status();
        assert!(status == 206 || status == 403 || status == 404, "{status}");
        read.extend((status == 206).then_some(*letter));
    }
    let vaults = get(connection, &format!("{base}/vaults")).await.unwrap();
    let mut keys: Vec<char> = Vec::new();
    for vault in vaults["items"].as_array().unwrap() {
        if !vault["keys"].as_array().unwrap().is_empty() {
            keys.push(match (vault["kind"].as_str().unwrap(), vault["party"].as_str()) {
                ("panel", _) => 'p',
                ("parties", _) => 'l',
                ("deliberation", _) => 'd',
                ("staff", Some("ISR")) => 'i',
                ("staff", Some("USA")) => 'u',
                other => panic!("{other:?}"),
            });
        }
    }
    keys.sort_by_key(|letter| "pliud".find(*letter));
    let count = |list: Result<Value, StatusCode>| {
        list.map_or_else(|_| "-".to_owned(), |list| list["items"].as_array().unwrap().len().to_string())
    };
    let reviews = count(get(connection, &format!("{base}/reviews")).await);
    let letters = count(get(connection, &format!("{base}/letters")).await);
    let decision = get(connection, &format!("{base}/decision")).await.map_or_else(
        |_| "-".to_owned(),
        |decision| {
            format!(
                "{}{}",
                decision["outcome"].as_str().unwrap(),
                if decision["final_at"].is_null() { "?" } else { "!" }
            )
        },
    );
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let (read, keys) = (or_dash(read), or_dash(keys.into_iter().collect()));
    format!("{} {read} {keys} {reviews} {decision} {letters}", row["status"].as_str().unwrap())
}

async fn get(connection: &Raw, path: &str) -> Result<Value, StatusCode> {
    let response = connection.request(Method::GET, path).send().await.unwrap();
    let status = response.status();
    if status.is_success() { Ok(response.json().await.unwrap()) } else { Err(status) }
}

/// Every document that was ever stored, whether or not anybody may know of it.
async fn documents(stage: &Stage, proposal: ProposalId) -> Vec<(DocumentId, char)> {
    let sql = "SELECT document_id, slot, party FROM documents WHERE proposal_id = $1 ORDER BY uploaded_at, document_id";
    let rows = stage.server.exchange.db.read().await.unwrap().fetch_all(sql, args![proposal]).await.unwrap();
    let mut found: Vec<(DocumentId, char)> = Vec::new();
    for row in rows {
        let letter = match (&*row.text("slot").unwrap(), row.opt_text("party").unwrap().as_deref()) {
            ("summary", _) => 's',
            ("work-plan", _) if found.iter().any(|(_, letter)| *letter == 'w') => 'x',
            ("work-plan", _) => 'w',
            ("shareholders", Some("ISR")) => 'i',
            ("shareholders", Some("USA")) => 'u',
            other => panic!("{other:?}"),
        };
        found.push((row.parse("document_id").unwrap(), letter));
    }
    found.sort_by_key(|(_, letter)| "swxiu".find(*letter));
    found
}
