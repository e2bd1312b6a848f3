//! As many keys as one request may bring: all are taken or none, the first that cannot be is named, and a repetition does nothing.

use super::{junk::to, publish, recipients, shown, vault_id};
use crate::{
    harness::{
        bulk::{self, KEYS, signing_key, wrap},
        stage::{NATIONS, Stage, Step, id},
        world::{Raw, Store, TestWorld},
    },
    refusals::lies::tamper,
};
use entente::{
    domain::{
        entry::EntryKind,
        id::{ProposalId, VaultId},
        vault::VaultKind,
    },
    sealing::{
        identity::new_identity,
        statement::{VaultStatement, verify_signed},
    },
    storage::{args, entries::EntryRow},
    wire::proposal::{AddKeys, CreateProposal, WrappedKeyIn},
};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Members of the parties, of whom each names this many recipients.
const HOLDERS: [&str; 8] =
    ["ISR:tamar", "ISR:drafter", "ISR:approver", "ISR:registrar", "USA:bob", "USA:opal", "USA:registrar", "ISR:avi"];
const RECIPIENTS: usize = KEYS / HOLDERS.len();

/// A joint proposal of these members, and the recipients that their new key cards name.
async fn of_many_recipients(stage: &Stage) -> (ProposalId, Vec<(&'static str, String)>) {
    let proposal = stage.begun().await;
    for member in &HOLDERS[..4] {
        stage.joins("ISR:avi", proposal, member).await;
    }
    for member in &HOLDERS[5..7] {
        stage.joins("USA:bob", proposal, member).await;
    }
    let mut places = Vec::new();
    for holder in HOLDERS {
        let new: Vec<String> = (0..RECIPIENTS).map(|_| new_identity().recipient().to_owned()).collect();
        publish(stage, holder, &new).await;
        places.extend(new.into_iter().map(|recipient| (holder, recipient)));
    }
    (proposal, places)
}

/// The problem with which the exchange refuses keys of a member, who leaves nothing behind, and what it says.
async fn refused(stage: &Stage, by: &str, vault: VaultId, keys: Vec<WrappedKeyIn>) -> (String, String) {
    let before = stage.census().await;
    let error = stage.client(by).api().add_keys(vault, &AddKeys { keys }).await.unwrap_err();
    assert_eq!(stage.census().await, before, "{error}");
    (error.slug().unwrap().to_owned(), error.to_string())
}

/// Sends a body under a key: the status, and whether the answer is one that was given before.
async fn sent(raw: &Raw, path: &str, key: &str, body: &impl Serialize) -> (u16, bool, String) {
    let request = raw.request(Method::POST, path).header("Idempotency-Key", key).json(body);
    let response = request.send().await.unwrap();
    let is_repeated = response.headers().contains_key("idempotent-replay");
    (response.status().as_u16(), is_repeated, response.text().await.unwrap())
}

/// What entries of a kind say of one field, in the order of the log.
fn told(entries: &[EntryRow], kind: EntryKind, field: &str) -> Vec<String> {
    let said = entries.iter().filter(|entry| entry.kind == kind).map(|entry| {
        let payload: Value = serde_json::from_str(&entry.payload).unwrap();
        payload[field].as_str().unwrap_or_default().to_owned()
    });
    said.collect()
}

async fn as_many_keys_as_there_may_be(store: Store) {
    let Some(world) = TestWorld::start(NATIONS, store).await else { return };
    let stage = Stage::open_in(world).await;
    let (proposal, places) = of_many_recipients(&stage).await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    let parties = vault_id(&stage, "ISR:avi", proposal, VaultKind::Parties).await;
    let key = signing_key(&stage, "ISR:avi");
    let good: Vec<_> = places.iter().map(|(holder, recipient)| wrap(&key, panel, to(holder), recipient)).collect();
    assert_eq!(good.len(), KEYS);

    // Of several lines that cannot be taken the first is named, whatever it is for.
    let unnamed = wrap(&key, panel, to("ISR:tamar"), new_identity().recipient());
    let elsewhere = wrap(&key, parties, to("USA:bob"), &places[70].1);
    let minjuns = recipients(&stage, "KOR:minjun").await.remove(0);
    let unread = wrap(&key, panel, to("KOR:minjun"), &minjuns);
    for (first, saying) in [
        (&unnamed, "the key card of `ISR:tamar` does not name that recipient"),
        (&elsewhere, "the statement is for another vault or another file"),
        (&unread, "policy does not let `KOR:minjun` read what this vault protects"),
    ] {
        let mut keys = good.clone();
        (keys[70], keys[100], keys[127]) = (first.clone(), unread.clone(), unnamed.clone());
        let (slug, told) = refused(&stage, "ISR:avi", panel, keys).await;
        assert!(slug == "wrap-refused" && told.contains(saying), "{slug}: {told}");
    }
    let mut keys = good.clone();
    keys[127] = good[3].clone();
    let (slug, told_twice) = refused(&stage, "ISR:avi", panel, keys).await;
    assert!(slug == "already-wrapped" && told_twice.contains("`ISR:tamar`"), "{told_twice}");

    let (before, body) = (stage.log().await.len(), AddKeys { keys: good });
    let (avi, path) = (stage.raw(Some(stage.credential("ISR:avi"))), format!("/v1/vaults/{panel}/keys"));
    assert_eq!(sent(&avi, &path, "keys", &body).await, (204, false, String::new()));
    let entries = stage.log().await.split_off(before);
    let (holders, named): (Vec<_>, Vec<_>) =
        places.iter().map(|(holder, to)| ((*holder).to_owned(), to.clone())).unzip();
    assert_eq!(told(&entries, EntryKind::KeyWrapped, "holder"), holders);
    assert_eq!(told(&entries, EntryKind::KeyWrapped, "recipient"), named);
    assert_eq!(
        entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        (before as u64 + 1..).take(KEYS).collect::<Vec<_>>()
    );
    let tamars = shown(&stage, "ISR:tamar", proposal, VaultKind::Panel).await.keys;
    for recipient in &named[..RECIPIENTS] {
        assert!(tamars.iter().any(|key| key.recipient == *recipient), "{recipient}");
    }

    let after = stage.census().await;
    assert_eq!(sent(&avi, &path, "keys", &body).await, (204, true, String::new()));
    let (status, _, problem) = sent(&avi, &path, "again", &body).await;
    assert!(status == 409 && problem.contains("already-wrapped"), "{problem}");
    assert_eq!(stage.census().await, after, "nothing is done twice");
    stage.stop().await;
}

#[tokio::test]
async fn as_many_keys_as_a_request_may_bring_are_all_taken_or_none_on_sqlite() {
    as_many_keys_as_there_may_be(Store::Sqlite).await;
}

#[tokio::test]
async fn as_many_keys_as_a_request_may_bring_are_all_taken_or_none_on_postgresql() {
    as_many_keys_as_there_may_be(Store::Postgres).await;
}

async fn proposal_that_begins_with_many(store: Store) {
    let Some(world) = TestWorld::start(NATIONS, store).await else { return };
    let stage = Stage::open_in(world).await;
    let mut guests = bulk::guests(&stage, &["ISR", "USA"], 21).await;
    guests.push((id("USA:bob"), recipients(&stage, "USA:bob").await.remove(0)));
    let body = bulk::beginning(&stage, &guests).await;
    let api = stage.client("ISR:avi").api();

    // The very last line of each kind, and nothing of the others stays.
    let (mut unnamed, mut unasked) = (body.clone(), body.clone());
    let last = unnamed.vaults.last_mut().unwrap();
    let vault = verify_signed::<VaultStatement>(&last.statement).unwrap().statement.vault;
    let key = signing_key(&stage, "ISR:avi");
    *last.keys.last_mut().unwrap() = wrap(&key, vault, to("USA:bob"), new_identity().recipient());
    unasked.invitations.remove(&id("USA:bob"));
    for (body, slug, saying) in [
        (&unnamed, "wrap-refused", "the key card of `USA:bob` does not name that recipient"),
        (&unasked, "statement-invalid", "the invitation of `USA:bob` is missing"),
    ] {
        let before = stage.census().await;
        let error = api.create_proposal(body).await.unwrap_err();
        assert_eq!((error.slug(), error.to_string().contains(saying)), (Some(slug), true), "{error}");
        assert_eq!(stage.census().await, before, "{error}");
    }

    let (before, avi) = (stage.log().await.len(), stage.raw(Some(stage.credential("ISR:avi"))));
    let path = format!("/v1/proposals?call={}", body.call);
    let (status, is_repeated, answer) = sent(&avi, &path, "begin", &body).await;
    assert_eq!((status, is_repeated), (201, false), "{answer}");
    let entries = stage.log().await.split_off(before);
    let asked: Vec<String> = body.invitations.keys().map(ToString::to_string).collect();
    assert_eq!(told(&entries, EntryKind::MemberInvited, "member"), asked);
    assert_eq!(told(&entries, EntryKind::KeyWrapped, "holder").len(), CreateProposal::MOST_KEYS);
    let kinds: Vec<EntryKind> = entries.iter().map(|entry| entry.kind).collect();
    assert_eq!((kinds.len(), kinds[0]), (1 + asked.len() + 3 + CreateProposal::MOST_KEYS, EntryKind::ProposalCreated));
    let vault = |place: usize| (kinds[place], kinds[place + 1]) == (EntryKind::VaultCreated, EntryKind::KeyWrapped);
    let first = 1 + asked.len();
    assert!(vault(first) && vault(first + 2) && vault(first + 2 + 1 + 1 + guests.len()), "{kinds:?}");
    let begun = api.proposal(body.id).await.unwrap();
    assert_eq!(begun.invited, body.invitations.keys().cloned().collect());

    let after = stage.census().await;
    assert_eq!(sent(&avi, &path, "begin", &body).await, (201, true, answer));
    stage.refuses("exists", api.create_proposal(&body)).await;
    assert_eq!(stage.census().await, after, "nothing is done twice");
    let bob = stage.client("USA:bob").api();
    let joined = bob.accept_invitation(body.id, &bulk::acceptance(&stage, "USA:bob", &body)).await.unwrap();
    assert!(joined.mine.is_party && joined.invited.len() == body.invitations.len() - 1);
    stage.stop().await;
}

#[tokio::test]
async fn proposal_begins_with_many_invitations_and_keys_or_not_at_all_on_sqlite() {
    proposal_that_begins_with_many(Store::Sqlite).await;
}

#[tokio::test]
async fn proposal_begins_with_many_invitations_and_keys_or_not_at_all_on_postgresql() {
    proposal_that_begins_with_many(Store::Postgres).await;
}

#[tokio::test]
async fn own_key_that_comes_twice_in_a_request_is_replaced_by_the_later_one() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    let avis = recipients(&stage, "ISR:avi").await.remove(0);
    let key = signing_key(&stage, "ISR:avi");
    let before = shown(&stage, "ISR:avi", proposal, VaultKind::Panel).await.keys;
    let log = stage.log().await.len();
    let keys = (0..3).map(|_| wrap(&key, panel, to("ISR:avi"), &avis)).collect();
    stage.client("ISR:avi").api().add_keys(panel, &AddKeys { keys }).await.unwrap();
    let entries = stage.log().await.split_off(log);
    let (made, replaced) =
        (told(&entries, EntryKind::KeyWrapped, "key"), told(&entries, EntryKind::KeyWrapped, "replaces"));
    let [first, second, third] = &made[..] else { panic!("{made:?}") };
    let theirs: Vec<String> = before.iter().map(|key| key.id.to_string()).collect();
    assert_eq!(replaced, [theirs[0].clone(), first.clone(), second.clone()]);
    let after = shown(&stage, "ISR:avi", proposal, VaultKind::Panel).await.keys;
    assert_eq!(after.iter().map(|key| key.id.to_string()).collect::<Vec<_>>(), std::slice::from_ref(third));
    stage.stop().await;
}

#[tokio::test]
async fn last_key_to_the_calls_vault_is_replaced_once_another_of_the_same_request_counts() {
    let stage = Stage::open().await;
    let vault = stage.client("USA:dana").call(stage.call).await.unwrap().publication.vault;
    let present = recipients(&stage, "USA:dana").await.remove(0);
    let next = new_identity().recipient().to_owned();
    publish(&stage, "USA:dana", &[present.clone(), next.clone()]).await;
    tamper(&stage, "DELETE FROM wrapped_keys WHERE vault_id = $1 AND holder <> 'USA:dana'", args![vault]).await;
    let key = signing_key(&stage, "USA:dana");
    let of = |recipient: &String| wrap(&key, vault, to("USA:dana"), recipient);
    let (slug, told_last) = refused(&stage, "USA:dana", vault, vec![of(&present), of(&next)]).await;
    assert_eq!(slug, "last-key", "{told_last}");
    let body = AddKeys { keys: vec![of(&next), of(&present)] };
    stage.client("USA:dana").api().add_keys(vault, &body).await.unwrap();
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    let sql = "SELECT recipient FROM wrapped_keys WHERE vault_id = $1";
    let rows = tx.fetch_all(sql, args![vault]).await.unwrap();
    let held: BTreeSet<String> = rows.iter().map(|row| row.text("recipient").unwrap()).collect();
    assert_eq!((rows.len(), held), (2, [next, present].into()));
    drop(tx);
    stage.stop().await;
}
