//! How long a request with as many lines as one may have holds its turn at writing, and so everybody else's acts up: fifty
//! assignments, a hundred wrapped keys, beside an act of one line.
//!
//! `cargo bench --bench turns` on SQLite and, where it is installed, PostgreSQL, through the whole exchange. Another writer asks for the turn again and
//! again meanwhile; the longest that it waits is how long the turn was held. The database is in memory, as in tests, so what the disk takes for
//! the one sync at the end comes on top.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so and ends")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, reason = "made for tests, which use all of it")]
mod harness;

use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::directory::NewKeyCard,
    domain::{
        id::{ProposalId, Sha256},
        vault::{VaultKind, WrapTarget},
    },
    sealing::{
        identity::new_identity,
        jws::SigningKey,
        seal::seal_bytes,
        statement::{WrapStatement, sign_statement},
    },
    wire::{
        proposal::{AddKeys, WrappedKeyIn},
        review::Assign,
    },
};
use harness::{
    stage::{NATIONS, Stage, id},
    world::{Store, TestWorld},
};
use std::{
    env,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// In one request, but for assignments, of which one may have fewer.
const LINES: usize = 100;
const REVIEWERS: [&str; 3] = ["USA:carol", "ISR:yael", "ISR:maya"];
/// Those for whom keys are wrapped, each with as many recipients as a key card may name.
const HOLDERS: [&str; 7] = ["USA:carol", "ISR:yael", "ISR:maya", "USA:frank", "ISR:eitan", "USA:bob", "ISR:avi"];
const RECIPIENTS: usize = 16;

fn main() {
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (name, store) in [("SQLite", Store::Sqlite), ("PostgreSQL", Store::Postgres)] {
            match TestWorld::start(NATIONS, store).await {
                Some(world) => measure(name, Stage::open_in(world).await).await,
                None => println!("{name} is not installed"),
            }
        }
    });
}

async fn measure(engine: &str, stage: Stage) {
    let mut proposals = Vec::new();
    for _ in 0..LINES {
        proposals.push(stage.submitted().await);
    }
    stage.pass_the_opening();
    let (mut one, mut assigned) = (Vec::new(), Vec::new());
    for proposal in &proposals {
        one.push(held(&stage, stage.clear(*proposal, &["USA:dana"])).await);
    }
    for reviewer in REVIEWERS {
        let pairs: Vec<_> = proposals[..Assign::MOST].iter().map(|proposal| (*proposal, reviewer)).collect();
        assigned.push(held(&stage, async { drop(stage.assign(&pairs, false).await) }).await);
    }
    let recipients = many_recipients(&stage).await;
    let mut wrapped = Vec::new();
    for proposal in &proposals[..3] {
        stage.clear(*proposal, &["ISR:noa"]).await;
        stage.clear(*proposal, &HOLDERS[..5]).await;
        let (vault, keys) = keys(&stage, *proposal, &recipients).await;
        let api = stage.client("ISR:noa").api();
        wrapped.push(held(&stage, async { api.add_keys(vault, &keys).await.unwrap() }).await);
    }
    let line = |what: &str, times: &mut Vec<Duration>, one: Duration| {
        times.sort();
        let (median, ratio) = (times[times.len() / 2], times[times.len() / 2].as_secs_f64() / one.as_secs_f64());
        println!("{engine:<11} {what:<18} {:6.1} ms   {ratio:5.1} × one declaration", median.as_secs_f64() * 1e3);
        median
    };
    one.sort();
    let median = one[one.len() / 2];
    line("one declaration", &mut one, median);
    line("50 assignments", &mut assigned, median);
    line("100 wrapped keys", &mut wrapped, median);
    stage.stop().await;
}

/// For how long the act held the turn: the longest that another writer waited meanwhile.
async fn held(stage: &Stage, act: impl Future<Output = ()>) -> Duration {
    let db = stage.server.exchange.db.clone();
    let (ended, mut end) = oneshot::channel::<()>();
    let other = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        while end.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty) {
            let began = Instant::now();
            drop(db.write().await.unwrap());
            longest = longest.max(began.elapsed());
        }
        longest
    });
    act.await;
    drop(ended);
    other.await.unwrap()
}

/// Gives each holder a key card with as many recipients as it may name.
async fn many_recipients(stage: &Stage) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for holder in HOLDERS {
        let present = stage.again("USA:dana").issued_member(&id(holder)).await.unwrap().card.clone();
        let more = (1..RECIPIENTS).map(|_| new_identity().recipient().to_owned());
        let recipients: Vec<String> = more.chain(present.recipients).collect();
        all.extend(recipients[..RECIPIENTS - 1].iter().map(|recipient| (holder, recipient.clone())));
        let new = NewKeyCard {
            member: id(holder),
            name: present.name,
            organisation: present.organisation,
            roles: present.roles,
            recipients,
            certificates: present.certificates,
            valid_from: None,
            valid_until: present.valid_until,
        };
        stage.client(&format!("{}:registrar", &holder[..3])).issue_key_card(&new).await.unwrap();
    }
    all.truncate(LINES);
    assert_eq!(all.len(), LINES);
    all
}

/// A request that wraps the panel's vault for each of them.
async fn keys(
    stage: &Stage,
    proposal: ProposalId,
    recipients: &[(&'static str, String)],
) -> (entente::domain::id::VaultId, AddKeys) {
    let vaults = stage.client("ISR:noa").api().vaults(proposal).await.unwrap();
    let vault = vaults.iter().find(|vault| vault.kind == VaultKind::Panel).unwrap().id;
    let credential = stage.credential("ISR:noa");
    let key = SigningKey::from_pem(credential.private_key.expose().as_bytes(), credential.certificate.as_bytes());
    let key = key.unwrap();
    let wrap = |(holder, recipient): &(&'static str, String)| {
        let ciphertext = seal_bytes(std::slice::from_ref(recipient), b"nothing").unwrap();
        let (to, sha256) = (WrapTarget::Member(id(holder)), Sha256::of(&ciphertext));
        let statement = WrapStatement { vault, to, recipient: recipient.clone(), sha256 };
        let statement = sign_statement(&key, &statement).unwrap();
        WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) }
    };
    (vault, AddKeys { keys: recipients.iter().map(wrap).collect() })
}
