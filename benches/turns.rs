//! How long a request with as many lines as one may have holds its turn at writing, and so everybody else's acts up: assignments,
//! wrapped keys, a proposal with invitations and wrapped keys, beside acts of one line: a declaration, an acceptance of one of many
//! invitations, and those that look at more than one thing: a call that is published, the last signature under a label, a key card, and the
//! approval of a version of policies.
//!
//! `cargo bench --bench turns` on SQLite and, where it is installed, PostgreSQL, through the whole exchange. Another writer asks for the turn again and
//! again meanwhile; the longest that it waits is how long the turn was held. The database is in memory, as in tests, so what the disk takes for
//! the one sync at the end comes on top.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so and ends")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, reason = "made for tests, which use all of it")]
mod harness;

use entente::{
    client::{directory::NewKeyCard, labels::LabelChoice},
    domain::{
        ambient::Clock,
        id::{ProposalId, VaultId},
        policy::PolicyOwner,
        vault::{VaultKind, WrapTarget},
    },
    sealing::identity::new_identity,
    wire::{
        directory::CreateProgram,
        proposal::{AddKeys, CreateProposal},
        review::Assign,
    },
};
use harness::{
    bulk::{self, KEYS, signing_key, wrap},
    stage::{self, NATIONS, Stage, code, id},
    world::{Store, TestWorld},
};
use jiff::SignedDuration;
use std::{
    collections::BTreeSet,
    env,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::sleep};

/// As many invitations as a request may have.
const INVITATIONS: usize = CreateProposal::MOST_INVITATIONS;
/// How many proposals there are; one request assigns to `Assign::MOST` of them.
const PROPOSALS: usize = 40;
/// How many requests with many lines are measured.
const TIMES: usize = 3;
/// How long nothing is done: what the other writer waits for then is what its own beginnings take.
const MEANWHILE: Duration = Duration::from_millis(300);
const REVIEWERS: [&str; TIMES] = ["USA:carol", "ISR:yael", "ISR:maya"];
/// Those for whom keys are wrapped, each with as many recipients as a key card may name.
const HOLDERS: [&str; 9] =
    ["USA:carol", "ISR:yael", "ISR:maya", "USA:frank", "ISR:eitan", "USA:bob", "ISR:avi", "ISR:tamar", "ISR:drafter"];
const RECIPIENTS: usize = 16;
/// As many members as a party may have.
const MEMBERS: usize = 40;

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
            if let Some(world) = TestWorld::start(NATIONS, store).await {
                measure_beginnings(name, world).await;
            }
        }
    });
}

async fn measure(engine: &str, stage: Stage) {
    let mut proposals = Vec::new();
    for _ in 0..PROPOSALS {
        proposals.push(stage.submitted().await);
    }
    let mut crowded = labels_of_crowds(&stage, &proposals[TIMES..2 * TIMES]).await;
    for proposal in &proposals[..TIMES] {
        for member in &HOLDERS[7..] {
            stage.joins("ISR:avi", *proposal, member).await;
        }
    }
    stage.pass_the_opening();
    let (mut nothing, mut one, mut assigned) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        nothing.push(held(&stage, sleep(MEANWHILE)).await);
    }
    for proposal in &proposals {
        one.push(held(&stage, stage.clear(*proposal, &["USA:dana"])).await);
    }
    for reviewer in REVIEWERS {
        let pairs: Vec<_> = proposals[..Assign::MOST].iter().map(|proposal| (*proposal, reviewer)).collect();
        assigned.push(held(&stage, async { drop(stage.assign(&pairs, false).await) }).await);
    }
    let recipients = many_recipients(&stage).await;
    let mut wrapped = Vec::new();
    for proposal in &proposals[..TIMES] {
        stage.clear(*proposal, &["ISR:noa"]).await;
        stage.clear(*proposal, &HOLDERS[..5]).await;
        let (vault, keys) = keys(&stage, *proposal, &recipients).await;
        let api = stage.client("ISR:noa").api();
        wrapped.push(held(&stage, async { api.add_keys(vault, &keys).await.unwrap() }).await);
    }
    let others = Box::pin(other_acts(&stage, &proposals[..TIMES])).await;
    report(engine, "no act", &mut nothing);
    report(engine, "one declaration", &mut one);
    report(engine, &format!("{} assignments", Assign::MOST), &mut assigned);
    report(engine, &format!("{KEYS} wrapped keys"), &mut wrapped);
    report(engine, &format!("a label for {} holders", 2 * MEMBERS), &mut crowded);
    for (what, mut times) in others {
        report(engine, what, &mut times);
    }
    stage.stop().await;
}

/// The last signature under a label of a proposal whose parties have as many members as they may, each with a key to each vault.
async fn labels_of_crowds(stage: &Stage, proposals: &[ProposalId]) -> Vec<Duration> {
    let guests = bulk::guests(stage, &["ISR", "USA"], 2 * (MEMBERS - 1)).await;
    let label = LabelChoice::Put { others: BTreeSet::new(), caveats: BTreeSet::from(["propin".parse().unwrap()]) };
    let (avi, bob) = (stage.client("ISR:avi"), stage.client("USA:bob"));
    let mut labelled = Vec::new();
    for proposal in proposals {
        avi.sign_label(&avi.plan_label(*proposal, &label).await.unwrap()).await.unwrap();
        let plan = bob.plan_label(*proposal, &label).await.unwrap();
        bulk::hold_keys(stage, *proposal, &guests).await;
        labelled.push(held(stage, async { drop(bob.sign_label(&plan).await.unwrap()) }).await);
    }
    labelled
}

/// Acts of one line that look at more than one thing.
async fn other_acts(stage: &Stage, proposals: &[ProposalId]) -> [(&'static str, Vec<Duration>); 4] {
    let [mut published, mut labelled, mut carded, mut approved] = [const { Vec::new() }; 4];
    let (dana, registrar) = (stage.client("USA:dana"), stage.client("USA:registrar"));
    let [drafter, approver] = ["ISR:drafter", "ISR:approver"].map(|who| stage.client(who));
    let owner: PolicyOwner = "ISR".parse().unwrap();
    let text = drafter.policy(&owner).await.unwrap().text.unwrap();
    let label = LabelChoice::Put { others: BTreeSet::new(), caveats: BTreeSet::from(["propin".parse().unwrap()]) };
    for (number, proposal) in proposals.iter().enumerate() {
        let now = stage.clock.now();
        let mut call = stage::text(now, now + SignedDuration::from_hours(24 * 30));
        call.code = format!("TURN{number}").parse().unwrap();
        let draft = dana.draft_call(stage.program, &call).await.unwrap();
        published.push(held(stage, async { drop(dana.publish_call(draft.id).await.unwrap()) }).await);
        for member in ["ISR:avi", "USA:bob"] {
            let client = stage.client(member);
            let plan = client.plan_label(*proposal, &label).await.unwrap();
            let time = held(stage, async { drop(client.sign_label(&plan).await.unwrap()) }).await;
            // The last signature is the one with which the label takes effect.
            labelled.extend((member == "USA:bob").then_some(time));
        }
        let present = stage.again("USA:dana").issued_member(&id("USA:opal")).await.unwrap().card.clone();
        let new = NewKeyCard::like(present);
        carded.push(held(stage, async { drop(registrar.issue_key_card(&new).await.unwrap()) }).await);
        let version = format!("{text}\n// {number}\n");
        let proposed = drafter.propose_policy(&owner, "ISR", &version, None).await.unwrap();
        let (_, told) = approver.preview_policy(&proposed).await.unwrap();
        approved.push(held(stage, async { drop(approver.approve_policy(&proposed, &told).await.unwrap()) }).await);
    }
    [
        ("a call is published", published),
        ("a label takes effect", labelled),
        ("a key card is issued", carded),
        ("a version is approved", approved),
    ]
}

/// Proposals of three parties that begin with as many invitations and keys as a request may have, and of which one member accepts.
async fn measure_beginnings(engine: &str, world: TestWorld) {
    let dana = world.client("USA:dana");
    let partners = ["USA", "ISR", "KOR"].map(code).into();
    let body = CreateProgram { name: "Three nations".into(), lead: code("USA"), partners };
    let program = dana.api().create_program(&body).await.unwrap().id;
    let now = world.clock.now();
    let deadline = now + SignedDuration::from_hours(24 * 30);
    let mut text = stage::text(now, deadline);
    text.eligible.insert(code("KOR"));
    text.parties.at_most = 3;
    let draft = dana.draft_call(program, &text).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let stage = Stage::around(world, program, call, deadline);
    let mut guests = bulk::guests(&stage, &["ISR", "USA", "KOR"], INVITATIONS - 1).await;
    let card = stage.client("ISR:avi").issued_member(&id("USA:bob")).await.unwrap().card.clone();
    guests.push((card.member, card.recipients[0].clone()));
    let (mut begun, mut accepted) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let body = bulk::beginning(&stage, &guests).await;
        let (avi, bob) = (stage.client("ISR:avi").api(), stage.client("USA:bob").api());
        begun.push(held(&stage, async { drop(avi.create_proposal(&body).await.unwrap()) }).await);
        let acceptance = bulk::acceptance(&stage, "USA:bob", &body);
        accepted.push(held(&stage, async { drop(bob.accept_invitation(body.id, &acceptance).await.unwrap()) }).await);
    }
    report(engine, &format!("{INVITATIONS} invitations, {} keys", CreateProposal::MOST_KEYS), &mut begun);
    report(engine, &format!("one of {INVITATIONS} accepts"), &mut accepted);
    stage.stop().await;
}

fn report(engine: &str, what: &str, times: &mut [Duration]) {
    times.sort();
    let (median, longest) = (times[times.len() / 2].as_secs_f64() * 1e3, times[times.len() - 1].as_secs_f64() * 1e3);
    println!("{engine:<11} {what:<26} {median:6.1} ms   longest {longest:6.1} ms");
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
        let recipients: Vec<String> = more.chain(present.recipients.clone()).collect();
        all.extend(recipients[..RECIPIENTS - 1].iter().map(|recipient| (holder, recipient.clone())));
        let new = NewKeyCard { recipients, ..NewKeyCard::like(present) };
        stage.client(&format!("{}:registrar", &holder[..3])).issue_key_card(&new).await.unwrap();
    }
    all.truncate(KEYS);
    assert_eq!(all.len(), KEYS);
    all
}

/// A request that wraps the panel's vault for each of them.
async fn keys(stage: &Stage, proposal: ProposalId, recipients: &[(&'static str, String)]) -> (VaultId, AddKeys) {
    let vaults = stage.client("ISR:noa").api().vaults(proposal).await.unwrap();
    let vault = vaults.iter().find(|vault| vault.kind == VaultKind::Panel).unwrap().id;
    let key = signing_key(stage, "ISR:noa");
    let to = |(holder, recipient): &(&str, String)| wrap(&key, vault, WrapTarget::Member(id(holder)), recipient);
    (vault, AddKeys { keys: recipients.iter().map(to).collect() })
}
