//! Who is refused takes no turn at writing from others, and hears no as it would in its turn.

use super::arrivals::waiting;
use crate::harness::{
    exchange::fresh_key,
    many::{self, Proposal, Rows},
    process::until,
    stage::{Stage, code, id, slug},
    world::Store,
};
use entente::{
    client::ClientError,
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        entry::EntryKind,
        id::{ProposalId, Sha256, VaultId, WrappedKeyId},
    },
    service::{self, Principal},
    storage::{
        Turn, args,
        entries::{self, EntryRow},
    },
    wire::{call::Amended, directory::CreateProgram, problem::Problem, proposal::Filter},
};
use futures_util::poll;
use reqwest::Method;
use std::{collections::BTreeSet, pin::Pin, task::Poll};

/// Who takes turns at long work.
fn principal(member: &str) -> Principal {
    Principal { member: id(member), certificate: Sha256::of(b"one of theirs") }
}

async fn refused_act_waits_for_nobody(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (proposal, withdrawn) = (stage.begun().await, stage.begun().await);
    let (avi, annex) = (stage.client("ISR:avi").api(), slug("annex"));
    let raw = |member: &str| stage.raw(Some(stage.credential(member)));
    let (avis, tamars) = (raw("ISR:avi"), raw("ISR:tamar"));
    let withdraw = async |key: &str, of: ProposalId| {
        let path = format!("/v1/proposals/{of}/withdraw");
        let answer = avis.request(Method::POST, &path).header("idempotency-key", key).send().await.unwrap();
        let is_replay = answer.headers().contains_key("idempotent-replay");
        (answer.status().as_u16(), is_replay, answer.text().await.unwrap())
    };
    stage.put("ISR:avi", proposal, "annex", &stage.file("annex.bin", b"measurements")).await;
    let (status, _, first) = withdraw("once", withdrawn).await;
    assert_eq!(status, 200);
    avi.remove_document(proposal, &annex).await.unwrap();
    let before = stage.census().await;

    let busy = stage.server.exchange.db.write().await.unwrap();
    // What was answered a moment ago is seen.
    stage.refuses("slot-empty", avi.remove_document(proposal, &annex)).await;
    let partners = ["USA", "ISR"].map(code).into();
    let body = CreateProgram { name: "Another".into(), lead: code("USA"), partners };
    stage.refuses("denied", stage.client("USA:carol").api().create_program(&body)).await;
    // What is hidden is as what does not exist, also for a read that would leave an entry.
    let absent = ProposalId::new(&SystemClock, &SystemRng);
    for (method, what) in [(Method::POST, "withdraw"), (Method::GET, "vaults")] {
        let mut told = Vec::new();
        for of in [proposal, absent] {
            let request = tamars.request(method.clone(), &format!("/v1/proposals/{of}/{what}"));
            let answer = request.header("idempotency-key", fresh_key()).send().await.unwrap();
            assert_eq!(answer.status(), 404);
            told.push(answer.text().await.unwrap());
        }
        assert_eq!(told[0], told[1]);
    }
    // A repetition is answered as before, and a key that was used for something else is refused.
    assert_eq!(withdraw("once", withdrawn).await, (200, true, first));
    let (status, _, reused) = withdraw("once", proposal).await;
    assert_eq!((status, serde_json::from_str::<Problem>(&reused).unwrap().slug()), (422, "idempotency-key-reused"));
    assert_eq!(stage.census().await, before);

    // What is permitted waits, and is done in its turn.
    let turn = async {
        waiting(&stage, 1).await;
        drop(busy);
    };
    let key = fresh_key();
    let (allowed, ()) = tokio::join!(withdraw(&key, proposal), turn);
    assert_eq!((allowed.0, allowed.1), (200, false));
    stage.stop().await;
}

#[tokio::test]
async fn refused_act_takes_no_turn_at_writing_and_a_permitted_one_waits_for_its() {
    refused_act_waits_for_nobody(Store::Sqlite).await;
    refused_act_waits_for_nobody(Store::Postgres).await;
}

/// Dana amends the call so that what was handed in has to be signed again.
async fn amended_voiding(stage: &Stage, voids: u32) -> Result<Amended, ClientError> {
    let dana = stage.client("USA:dana");
    let mut text = dana.call(stage.call).await?.text.clone();
    text.total_threshold = Some(7.0);
    dana.amend_call(stage.call, &text, "the funders agreed", Some(voids)).await
}

#[tokio::test]
async fn amendment_counts_before_its_turn_and_keeps_nobody_from_writing() {
    let stage = Stage::open().await;
    stage.submitted().await;
    let turns = &stage.server.exchange.long_work;
    let (noa, minjun) = (principal("ISR:noa"), principal("KOR:minjun"));
    let under_way = [turns.look_before_act(&noa).await, turns.look_before_act(&minjun).await];
    let mut amendment = Box::pin(amended_voiding(&stage, 1));
    tokio::select! {
        amended = &mut amendment => panic!("it counted beside two others: {amended:?}"),
        _ = stage.prepared() => {}
    }
    drop(under_way);
    assert_eq!(amendment.await.unwrap().voided, 1);
    stage.stop().await;
}

/// Takes all turns that there are for one, and waits for another.
pub(super) async fn greedy<F: Future<Output = service::Result<Turn>>>(
    mut ask: impl FnMut() -> F,
    held: &mut Vec<Turn>,
) -> Pin<Box<F>> {
    loop {
        let mut asked = Box::pin(ask());
        match poll!(&mut asked) {
            Poll::Ready(turn) => held.push(turn.unwrap()),
            Poll::Pending => return asked,
        }
    }
}

#[tokio::test]
async fn long_work_of_one_nation_leaves_previews_counts_and_acts_to_the_others() {
    let stage = Stage::open().await;
    stage.submitted().await;
    let (turns, noa) = (&stage.server.exchange.long_work, principal("ISR:noa"));
    let mut held = Vec::new();
    let waiting = (
        greedy(|| turns.manifest(&noa), &mut held).await,
        greedy(|| turns.scan(&noa), &mut held).await,
        greedy(|| turns.count(&noa), &mut held).await,
        greedy(|| turns.look_before_act(&noa), &mut held).await,
        greedy(|| turns.log(&noa), &mut held).await,
        greedy(|| turns.upload(&noa.member), &mut held).await,
    );
    assert_eq!(held.len(), 1 + 1 + 2 + 1 + 1 + 1);
    let dana = stage.client("USA:dana");
    dana.preview_roles(stage.call, &id("USA:frank"), &BTreeSet::new()).await.unwrap();
    assert_eq!(dana.api().count_proposals(&Filter::default()).await.unwrap().proposals, 1);
    assert_eq!(amended_voiding(&stage, 1).await.unwrap().voided, 1);
    // A manifest and a preview of one nation do not wait for each other.
    drop((waiting, held));
    let _manifest = turns.manifest(&principal("ISR:drafter")).await.unwrap();
    stage.client("ISR:noa").preview_roles(stage.call, &id("ISR:eitan"), &BTreeSet::new()).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn amendment_waits_for_no_counts() {
    let stage = Stage::open().await;
    stage.submitted().await;
    let turns = &stage.server.exchange.long_work;
    let (noa, minjun) = (principal("ISR:noa"), principal("KOR:minjun"));
    let _under_way = [turns.count(&noa).await, turns.count(&noa).await, turns.count(&minjun).await];
    assert_eq!(amended_voiding(&stage, 1).await.unwrap().voided, 1);
    stage.stop().await;
}

async fn amendment_counts_again(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    stage.submitted().await;
    let second = stage.prepared().await;
    stage.sign("ISR:avi", second).await;
    let bob = stage.client("USA:bob");
    let plan = bob.plan_signature(second).await.unwrap();
    let busy = stage.server.exchange.db.write().await.unwrap();
    // One proposal is handed in when the amendment is counted, two when it has its turn.
    let amendment = async {
        waiting(&stage, 1).await;
        amended_voiding(&stage, 1).await
    };
    let turn = async {
        waiting(&stage, 2).await;
        drop(busy);
    };
    let (signed, refused, ()) = tokio::join!(bob.sign(&plan), amendment, turn);
    signed.unwrap();
    let refused = refused.unwrap_err();
    assert_eq!(refused.slug(), Some("voids-differ"));
    assert!(refused.to_string().contains("voids 2 proposals; the request says 1"), "{refused}");
    assert_eq!(amended_voiding(&stage, 2).await.unwrap().voided, 2);
    stage.stop().await;
}

#[tokio::test]
async fn amendment_counts_again_what_was_handed_in_before_its_turn() {
    amendment_counts_again(Store::Sqlite).await;
    amendment_counts_again(Store::Postgres).await;
}

/// Frank and Eitan hold a key to a vault of each of these proposals under the call; to the last one's Eitan alone.
async fn write_keys(stage: &Stage, proposals: u64) {
    let (members, mut rows) = ([id("USA:bob"), id("ISR:avi")], Rows::new());
    for number in 0..proposals {
        let (id, created_at) = (many::id("prop", number), stage.clock.now());
        rows.proposal(&Proposal {
            id,
            call: stage.call,
            topic: None,
            members: &members,
            created_at,
            is_withdrawn: false,
        });
    }
    let db = &stage.server.exchange.db;
    rows.write(db).await;
    many::index(db).await;
    let mut tx = db.write().await.unwrap();
    for number in 0..proposals {
        let (vault, proposal) = (many::id::<VaultId>("vault", number), many::id::<ProposalId>("prop", number));
        let sql = "INSERT INTO vaults (vault_id, place, kind, call_id, proposal_id, recipient, statement, created_by, created_at) \
                   VALUES ($1, $2, 'panel', $3, $2, 'age1', 'a.b.c', 'USA:bob', 0)";
        tx.execute(sql, args![vault, proposal, stage.call]).await.unwrap();
        let holders = ["ISR:eitan", "USA:frank"].into_iter().take(if number + 1 == proposals { 1 } else { 2 });
        for (holder, key) in holders.zip([2 * number, 2 * number + 1]) {
            tx.execute(KEY, args![many::id::<WrappedKeyId>("key", key), vault, holder, vec![1_u8]]).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
}

const KEY: &str = "INSERT INTO wrapped_keys (key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by, wrapped_at) \
                   VALUES ($1, $2, $3, 'age1', 'a.b.c', $4, 'USA:bob', 0)";

/// How many keys the member holds, and how many the log says were removed.
async fn held(stage: &Stage, member: &str) -> (u64, u64) {
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    let sql = "SELECT (SELECT COUNT(*) FROM wrapped_keys k WHERE k.holder = $1) AS held, \
               (SELECT COUNT(*) FROM log_entries WHERE kind = 'key.removed' AND proposal_id IS NOT NULL AND payload LIKE $2) AS gone";
    let row = tx.fetch_one(sql, args![member, format!("%{member}%")]).await.unwrap();
    (row.count("held").unwrap(), row.count("gone").unwrap())
}

/// How many of the entries that a member lost a proposal's key are of the act, and how many of the exchange itself.
async fn removals(stage: &Stage) -> (u64, u64) {
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    let sql = "SELECT COUNT(actor) AS of_act, COUNT(*) - COUNT(actor) AS of_exchange FROM log_entries \
               WHERE kind = 'key.removed' AND proposal_id IS NOT NULL";
    let row = tx.fetch_one(sql, args![]).await.unwrap();
    (row.count("of_act").unwrap(), row.count("of_exchange").unwrap())
}

/// Waits until Frank holds none of his keys any more, and the log says so of each.
async fn frank_has_lost(stage: &Stage, keys: u64) {
    until("the keys that the act left behind", async || (held(stage, "USA:frank").await == (0, keys)).then_some(()))
        .await;
}

async fn keys_go_with_a_role(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    write_keys(&stage, 131).await;
    let (frank, nothing) = (id("USA:frank"), BTreeSet::new());
    stage.client("USA:dana").grant_roles(stage.call, &frank, &nothing).await.unwrap();
    frank_has_lost(&stage, 130).await;
    assert_eq!(removals(&stage).await, (50, 80), "others wait for the removal of a few");
    assert_eq!(held(&stage, "ISR:eitan").await, (131, 0));
    stage.stop().await;
}

#[tokio::test]
async fn act_that_takes_a_role_removes_few_keys_in_its_turn_and_the_exchange_the_others() {
    keys_go_with_a_role(Store::Sqlite).await;
    keys_go_with_a_role(Store::Postgres).await;
}

/// Something that was done about the call, or one of its proposals.
fn entry(stage: &Stage, kind: EntryKind, proposal: Option<u64>) -> EntryRow {
    EntryRow {
        seq: 0,
        at: stage.clock.now(),
        kind,
        readers: kind.readers(true),
        actor: Some(id("ISR:noa")),
        program: Some(stage.program),
        call: Some(stage.call),
        proposal: proposal.map(|number| many::id("prop", number)),
        payload: "{}".into(),
        salt: vec![0; 32],
    }
}

async fn key_of_the_last_moment(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    write_keys(&stage, 61).await;
    let mut busy = stage.server.exchange.db.write().await.unwrap();
    let (frank, nothing) = (id("USA:frank"), BTreeSet::new());
    let change = stage.client("USA:dana").grant_roles(stage.call, &frank, &nothing);
    // The act has been asked for when one more is wrapped for Frank.
    let turn = async {
        waiting(&stage, 1).await;
        let (key, vault) = (many::id::<WrappedKeyId>("key", 1_000), many::id::<VaultId>("vault", 60));
        busy.execute(KEY, args![key, vault, "USA:frank", vec![1_u8]]).await.unwrap();
        entries::append(&mut busy, &entry(&stage, EntryKind::KeyWrapped, Some(60))).await.unwrap();
        busy.commit().await.unwrap();
    };
    let (changed, ()) = tokio::join!(change, turn);
    changed.unwrap();
    frank_has_lost(&stage, 61).await;
    assert_eq!(held(&stage, "ISR:eitan").await, (61, 0));
    stage.stop().await;
}

#[tokio::test]
async fn role_takes_along_a_key_that_was_wrapped_before_its_turn() {
    key_of_the_last_moment(Store::Sqlite).await;
    key_of_the_last_moment(Store::Postgres).await;
}

/// So much is done each time an act has looked and waits for its turn.
async fn disturb(stage: &Stage, times: usize, kind: EntryKind, about: &[Option<u64>]) {
    let db = &stage.server.exchange.db;
    for _ in 0..times {
        let mut busy = db.write().await.unwrap();
        until("the act that waits for the writer", async || {
            // PostgreSQL ends a unit of work that falls silent.
            entries::last(&mut busy).await.unwrap();
            (db.members_waiting() == 1).then_some(())
        })
        .await;
        for proposal in about {
            entries::append(&mut busy, &entry(stage, kind, *proposal)).await.unwrap();
        }
        busy.commit().await.unwrap();
    }
}

async fn nobody_keeps_a_role_from_being_taken(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    write_keys(&stage, 61).await;
    let (frank, nothing) = (id("USA:frank"), BTreeSet::new());
    // It waits for its turn once, whatever is done under the call meanwhile.
    let many: Vec<_> = (0..51).map(Some).chain([None]).collect();
    tokio::select! {
        changed = stage.client("USA:dana").grant_roles(stage.call, &frank, &nothing) => drop(changed.unwrap()),
        () = disturb(&stage, 2, EntryKind::KeyWrapped, &many) => panic!("it waited for its turn twice"),
    }
    frank_has_lost(&stage, 60).await;
    stage.stop().await;
}

#[tokio::test]
async fn role_in_a_call_under_which_something_is_done_all_the_time_is_taken() {
    nobody_keeps_a_role_from_being_taken(Store::Sqlite).await;
    nobody_keeps_a_role_from_being_taken(Store::Postgres).await;
}

async fn nobody_keeps_a_call_from_being_amended(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    stage.submitted().await;
    // A fifth time is that of the client, which tries once more when it was refused.
    tokio::select! {
        amended = amended_voiding(&stage, 1) => assert_eq!(amended.unwrap().voided, 1),
        () = disturb(&stage, 5, EntryKind::MemberJoined, &[None]) => panic!("it was refused after four looks"),
    }
    stage.stop().await;
}

#[tokio::test]
async fn call_under_which_something_is_done_all_the_time_is_amended() {
    nobody_keeps_a_call_from_being_amended(Store::Sqlite).await;
    nobody_keeps_a_call_from_being_amended(Store::Postgres).await;
}
