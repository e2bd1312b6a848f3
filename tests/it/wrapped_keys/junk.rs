//! Keys that do not open, made by somebody who may wrap.

use super::{first, machine, made, missing, publish, recipients, shown, vault_id};
use crate::{
    harness::{
        process::{ended, entente},
        stage::{Stage, Step, id},
        world::Store,
    },
    refusals::lies::{key_of, tamper},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{ExitClass, own_keys::KeyState, verified::VersionChoice},
    domain::{
        decision::Outcome,
        entry::EntryKind,
        id::{ProposalId, Sha256, VaultId, WrappedKeyId},
        vault::{VaultKind, WrapTarget},
    },
    sealing::{
        seal::seal_bytes,
        statement::{WrapStatement, sign_statement},
    },
    storage::args,
    wire::proposal::{AddKeys, WrappedKeyIn},
};
use serde_json::Value;
use std::{
    process::Output,
    sync::{Arc, Mutex},
};

/// A wrapped key with nothing in it, under a statement that fits.
pub(super) fn junk(stage: &Stage, by: &str, vault: VaultId, to: &WrapTarget, recipient: &str) -> AddKeys {
    let ciphertext = seal_bytes(&[recipient.to_owned()], b"nothing").unwrap();
    let statement =
        WrapStatement { vault, to: to.clone(), recipient: recipient.to_owned(), sha256: Sha256::of(&ciphertext) };
    let statement = sign_statement(&key_of(stage, by), &statement).unwrap();
    AddKeys { keys: vec![WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) }] }
}

pub(super) fn to(member: &str) -> WrapTarget {
    WrapTarget::Member(id(member))
}

/// The keys to the panel's vault that a member is given.
async fn panel_keys(stage: &Stage, member: &str, proposal: ProposalId) -> Vec<WrappedKeyId> {
    shown(stage, member, proposal, VaultKind::Panel).await.keys.into_iter().map(|key| key.id).collect()
}

#[tokio::test]
async fn nobody_overwrites_a_key_of_another_holder_not_even_who_made_it() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    let bobs = recipients(&stage, "USA:bob").await.remove(0);
    let spoil = async || {
        let body = junk(&stage, "ISR:avi", panel, &to("USA:bob"), &bobs);
        stage.refuses("already-wrapped", stage.client("ISR:avi").api().add_keys(panel, &body)).await;
    };
    // Avi made Bob's key when the proposal began.
    spoil().await;
    for decider in ["USA:frank", "ISR:eitan"] {
        stage.client(decider).sign_decision(proposal, Outcome::Fund).await.unwrap();
    }
    spoil().await;
    stage.again("USA:bob").read_summary(proposal, VersionChoice::Standing).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn request_brings_so_many_keys_and_no_more() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let panel = vault_id(&stage, "ISR:noa", proposal, VaultKind::Panel).await;
    let carols = recipients(&stage, "USA:carol").await.remove(0);
    let one = junk(&stage, "ISR:noa", panel, &to("USA:carol"), &carols);
    let of = |count| AddKeys { keys: one.keys.iter().cycle().take(count).cloned().collect() };
    let noa = stage.client("ISR:noa");
    stage.refuses("wrap-refused", noa.api().add_keys(panel, &of(129))).await;
    // As many as there may be are looked at one by one: the second for the same recipient is one too many.
    stage.refuses("already-wrapped", noa.api().add_keys(panel, &of(128))).await;
    stage.stop().await;
}

#[tokio::test]
async fn key_that_does_not_open_stands_beside_one_that_does_and_is_told_of() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let panel = vault_id(&stage, "USA:carol", proposal, VaultKind::Panel).await;
    let carols = recipients(&stage, "USA:carol").await.remove(0);
    // Another officer, who has declared to be clear; in front of the good one or behind it.
    let body = junk(&stage, "ISR:noa", panel, &to("USA:carol"), &carols);
    stage.client("ISR:noa").api().add_keys(panel, &body).await.unwrap();
    assert_eq!(panel_keys(&stage, "USA:carol", proposal).await.len(), 2);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let carol = stage.again("USA:carol").on_warning(move |told| heard.lock().unwrap().push(told.to_owned()));
    carol.read_summary(proposal, VersionChoice::Standing).await.unwrap();
    let checked = carol.check_keys(proposal).await.unwrap();
    let broken: Vec<_> = checked
        .iter()
        .filter_map(|key| match &key.found {
            KeyState::Broken { key: id, wrapped_by, .. } => Some((key.vault, *id, wrapped_by.to_string())),
            _ => None,
        })
        .collect();
    assert_eq!(broken.len(), 1, "{checked:?}");
    assert_eq!(broken[0].2, "ISR:noa");
    for told in told.lock().unwrap().iter() {
        assert!(told.starts_with("the key to the panel vault that `ISR:noa` wrapped for `USA:carol`"), "{told}");
    }
    carol.discard_key(broken[0].0, broken[0].1).await.unwrap();
    assert!(missing(&stage, "USA:dana", proposal).await.is_empty(), "the other one counts");
    carol.check_keys(proposal).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn officer_with_an_own_key_that_does_not_open_still_opens_through_the_call() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let panel = vault_id(&stage, "USA:dana", proposal, VaultKind::Panel).await;
    let danas = recipients(&stage, "USA:dana").await.remove(0);
    let body = junk(&stage, "ISR:noa", panel, &to("USA:dana"), &danas);
    stage.client("ISR:noa").api().add_keys(panel, &body).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let dana = stage.again("USA:dana").on_warning(move |told| heard.lock().unwrap().push(told.to_owned()));
    dana.read_summary(proposal, VersionChoice::Standing).await.unwrap();
    let told = told.lock().unwrap().clone();
    assert!(matches!(&told[..], [one] if one.contains("that `ISR:noa` wrapped")), "{told:?}");
    stage.stop().await;
}

#[tokio::test]
async fn holder_says_that_a_key_does_not_open_and_gets_another() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    // Bob has a new identity, and Avi is the first to wrap for it.
    let (identity, path) = made(&stage, "USA:bob", "next.txt");
    publish(&stage, "USA:bob", &[identity.recipient().to_owned()]).await;
    let bob = machine(&stage, "USA:bob", &[path]);
    let body = || junk(&stage, "ISR:avi", panel, &to("USA:bob"), identity.recipient());
    stage.client("ISR:avi").api().add_keys(panel, &body()).await.unwrap();
    assert!(
        !missing(&stage, "ISR:avi", proposal).await.contains(&"panel USA:bob".to_owned()),
        "the exchange cannot tell"
    );
    let saying = "the one that `ISR:avi` wrapped: the wrapped key does not hold the identity of a vault";
    stage.declines(ExitClass::Unverified, saying, bob.read_summary(proposal, VersionChoice::Standing)).await;

    let checked = bob.check_keys(proposal).await.unwrap();
    let broken = checked.iter().find_map(|key| match &key.found {
        KeyState::Broken { key: id, .. } if key.vault == panel => Some(*id),
        _ => None,
    });
    let broken = broken.unwrap();
    // Nobody else discards it: neither who made it, nor an officer, nor with the name of another vault.
    for member in ["ISR:avi", "USA:dana", "KOR:minjun"] {
        let slug = if member == "USA:dana" { "denied" } else { "not-found" };
        stage.refuses(slug, stage.client(member).api().discard_key(panel, broken)).await;
    }
    let parties = vault_id(&stage, "USA:bob", proposal, VaultKind::Parties).await;
    stage.refuses("not-found", bob.api().discard_key(parties, broken)).await;
    bob.discard_key(panel, broken).await.unwrap();
    stage.refuses("not-found", bob.api().discard_key(panel, broken)).await;
    let removed = stage.log().await.into_iter().filter(|entry| entry.kind == EntryKind::KeyRemoved);
    let removed: Vec<_> =
        removed.map(|entry| (entry.actor, entry.payload.contains("\"wrapped_by\":\"ISR:avi\""))).collect();
    assert_eq!(removed, [(Some(id("USA:bob")), true)]);
    assert!(missing(&stage, "ISR:avi", proposal).await.contains(&"panel USA:bob".to_owned()));
    let wrapped = stage.again("ISR:avi").wrap_missing(proposal).await.unwrap();
    assert!(wrapped.refused.is_empty(), "{wrapped:?}");
    bob.read_summary(proposal, VersionChoice::Standing).await.unwrap();
    stage.refuses("already-wrapped", stage.client("ISR:avi").api().add_keys(panel, &body())).await;
    stage.stop().await;
}

#[tokio::test]
async fn junk_makers_of_one_nation_fill_their_own_share_and_lock_nobody_out() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    let (identity, path) = made(&stage, "USA:bob", "next.txt");
    let both = [recipients(&stage, "USA:bob").await.remove(0), identity.recipient().to_owned()];
    publish(&stage, "USA:bob", &both).await;
    let makers = ["ISR:avi", "ISR:tamar", "ISR:drafter", "ISR:approver", "ISR:registrar"];
    for maker in &makers[1..] {
        stage.joins("ISR:avi", proposal, maker).await;
    }
    for (place, maker) in makers.iter().enumerate() {
        let body = junk(&stage, maker, panel, &to("USA:bob"), identity.recipient());
        let adding = stage.client(maker).api().add_keys(panel, &body);
        if place < 4 {
            adding.await.unwrap();
        } else {
            stage.refuses("wrapped-often", adding).await;
        }
    }
    // Bob wraps for his new identity with the old one, and replaces what is his own.
    let bob = machine(&stage, "USA:bob", &[first(&stage, "USA:bob"), path.clone()]);
    let vault = shown(&stage, "USA:bob", proposal, VaultKind::Panel).await;
    let own = junk(&stage, "USA:bob", panel, &to("USA:bob"), identity.recipient());
    bob.api().add_keys(panel, &own).await.unwrap();
    bob.api().add_keys(panel, &own).await.unwrap();
    let now = shown(&stage, "USA:bob", proposal, VaultKind::Panel).await;
    assert_eq!(now.keys.len(), vault.keys.len() + 1, "his own took the place of his own");
    for key in vault.keys {
        assert!(now.keys.contains(&key), "nobody else's went: {key:?}");
    }
    for key in bob.check_keys(proposal).await.unwrap() {
        if let KeyState::Broken { key: broken, .. } = key.found {
            bob.discard_key(key.vault, broken).await.unwrap();
        }
    }
    bob.wrap_missing(proposal).await.unwrap();
    let next = machine(&stage, "USA:bob", &[path]);
    next.read_summary(proposal, VersionChoice::Working).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn operator_sets_how_many_of_a_nation_wrap_for_one_recipient() {
    let settings = [("quotas.wrapped_keys_per_recipient_per_partner", "1")];
    let stage = Stage::open_with(Store::Sqlite, &settings).await.unwrap();
    let proposal = stage.begun().await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    let (identity, _) = made(&stage, "USA:bob", "next.txt");
    let both = [recipients(&stage, "USA:bob").await.remove(0), identity.recipient().to_owned()];
    publish(&stage, "USA:bob", &both).await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let adding = async |maker: &str| {
        let body = junk(&stage, maker, panel, &to("USA:bob"), identity.recipient());
        stage.client(maker).api().add_keys(panel, &body).await
    };
    adding("ISR:avi").await.unwrap();
    let refused = adding("ISR:tamar").await.unwrap_err();
    assert_eq!(refused.slug(), Some("wrapped-often"));
    assert!(refused.to_string().contains("1 member of `ISR` has wrapped a key"), "{refused}");
    stage.stop().await;
}

#[tokio::test]
async fn key_of_the_call_that_does_not_open_is_mended_by_another_party_member() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    let call = stage.client("ISR:avi").call(stage.call).await.unwrap();
    // As if Avi's client had made it so when the proposal began.
    let sql = "DELETE FROM wrapped_keys WHERE vault_id = $1 AND holder = $2";
    tamper(&stage, sql, args![panel, call.publication.vault]).await;
    let target = WrapTarget::Vault(call.publication.vault);
    let body = junk(&stage, "ISR:avi", panel, &target, &call.publication.recipient);
    stage.client("ISR:avi").api().add_keys(panel, &body).await.unwrap();
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    let dana = || stage.again("USA:dana");
    stage
        .declines(
            ExitClass::Unverified,
            "that `ISR:avi` wrapped",
            dana().read_summary(proposal, VersionChoice::Standing),
        )
        .await;
    let checked = dana().check_keys(proposal).await.unwrap();
    assert!(
        checked.iter().any(|key| matches!(key.found, KeyState::Broken { .. }) && key.vault == panel),
        "{checked:?}"
    );
    // Its maker cannot take it back, and the officers cannot remove what is all officers'.
    assert_eq!(stage.again("ISR:avi").wrap_to_call(proposal).await.unwrap(), 0);
    assert!(stage.again("USA:bob").wrap_to_call(proposal).await.unwrap() >= 1);
    dana().read_summary(proposal, VersionChoice::Standing).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn command_says_which_key_does_not_open_and_discards_it() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    let (identity, path) = made(&stage, "USA:bob", "next.txt");
    publish(&stage, "USA:bob", &[identity.recipient().to_owned()]).await;
    let body = junk(&stage, "ISR:avi", panel, &to("USA:bob"), identity.recipient());
    stage.client("ISR:avi").api().add_keys(panel, &body).await.unwrap();
    let bob = machine(&stage, "USA:bob", &[path]);
    bob.home().save_profile(bob.profile()).unwrap();
    let id = proposal.to_string();
    let run = async |member: &str, words: &[&str], code: i32| -> Value {
        let home = stage.home(&member.parse().unwrap());
        let words = [&["--json", "--home", home.to_str().unwrap(), "key"], words].concat();
        let done = ended(entente(&words)).await;
        assert_eq!(done.status.code(), Some(code), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let found = |answer: &Value, what: &str| -> Vec<Value> {
        let items = answer["items"].as_array().unwrap().iter();
        items.filter(|item| item["vault"] == panel.to_string() && item["found"] == what).cloned().collect()
    };
    let checked = run("USA:bob", &["check", &id], 4).await;
    let broken = found(&checked, "broken");
    assert_eq!((broken.len(), broken[0]["wrapped_by"].as_str()), (1, Some("ISR:avi")), "{checked}");
    assert_eq!((&broken[0]["discarded"], found(&checked, "elsewhere").len()), (&false.into(), 1), "{checked}");
    let removed = run("USA:bob", &["check", &id, "--remove"], 4).await;
    assert_eq!(found(&removed, "broken")[0]["discarded"], true, "{removed}");

    let told = run("ISR:avi", &["missing", &id], 0).await;
    let of_panel = told["items"].as_array().unwrap().iter().find(|item| item["vault"] == panel.to_string()).unwrap();
    assert_eq!(of_panel["recipients"][0], identity.recipient());
    let shared = run("ISR:avi", &["share", &id], 0).await;
    assert_eq!(shared["wrapped"].as_array().unwrap().len(), 2, "{shared}");
    let last = run("USA:bob", &["check", &id, "--remove-replaced"], 4).await;
    assert_eq!((found(&last, "opens").len(), found(&last, "elsewhere").len()), (1, 1), "{last}");
    assert_eq!(found(&last, "elsewhere")[0]["discarded"], true, "{last}");
    // His restricted vault nobody but he could open before the opening.
    let lacking = last["items"].as_array().unwrap().iter().filter(|item| item["found"] == "missing");
    assert_eq!(lacking.map(|item| item["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["staff"]);
    stage.stop().await;
}

#[tokio::test]
async fn junk_for_an_identity_that_is_not_here_is_discarded_by_its_identifier() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let panel = vault_id(&stage, "ISR:avi", proposal, VaultKind::Panel).await;
    // An identity that works on no machine any more, as one of a token that is lost.
    let (identity, _) = made(&stage, "USA:bob", "lost.txt");
    let both = [recipients(&stage, "USA:bob").await.remove(0), identity.recipient().to_owned()];
    publish(&stage, "USA:bob", &both).await;
    let body = junk(&stage, "ISR:avi", panel, &to("USA:bob"), identity.recipient());
    stage.client("ISR:avi").api().add_keys(panel, &body).await.unwrap();
    let lacks = async || missing(&stage, "ISR:avi", proposal).await.contains(&"panel USA:bob".to_owned());
    assert!(!lacks().await, "it counts as there");
    let home = stage.home(&id("USA:bob")).display().to_string();
    let proposal_id = proposal.to_string();
    let run = async |words: &[&str]| {
        let words = [&["--json", "--home", &home, "key", "check", &proposal_id], words].concat();
        let Output { status, stdout, stderr } = ended(entente(&words)).await;
        (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let (_, checked, _) = run(&["--remove"]).await;
    let checked: Value = serde_json::from_str(&checked).unwrap();
    let of_panel = |item: &&Value| item["vault"] == panel.to_string() && item["recipient"] == identity.recipient();
    let junk = checked["items"].as_array().unwrap().iter().find(of_panel).unwrap();
    assert_eq!((&junk["found"], &junk["discarded"]), (&"elsewhere".into(), &false.into()), "{checked}");
    // No identity is asked for, and of keys that are not his none goes.
    let bob = machine(&stage, "USA:bob", &[]);
    bob.home().save_profile(bob.profile()).unwrap();
    let avis = panel_keys(&stage, "ISR:avi", proposal).await.remove(0).to_string();
    let (code, _, faults) = run(&["--discard", &avis]).await;
    assert!(code == 2 && faults.contains("is not one of your keys"), "{faults}");
    let before = panel_keys(&stage, "USA:bob", proposal).await;
    let (code, _, faults) = run(&["--discard", junk["key"].as_str().unwrap()]).await;
    assert_eq!(code, 0, "{faults}");
    let left = panel_keys(&stage, "USA:bob", proposal).await;
    assert_eq!(left.len(), before.len() - 1);
    assert!(left.iter().all(|key| before.contains(key) && junk["key"] != key.to_string()), "{left:?}");
    assert!(lacks().await && panel_keys(&stage, "ISR:avi", proposal).await.len() == 1);
    stage.stop().await;
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

#[tokio::test]
async fn whatever_others_wrap_and_remove_a_holder_opens_what_they_could_open() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let holders = ["USA:bob", "USA:carol", "USA:frank"];
    let others = ["ISR:avi", "ISR:tamar", "ISR:noa", "USA:dana", "ISR:maya"];
    let kinds = [VaultKind::Panel, VaultKind::Parties, VaultKind::Deliberation];
    let mut vaults = Vec::new();
    for kind in kinds {
        vaults.push(vault_id(&stage, "USA:dana", proposal, kind).await);
    }
    let mut good = Vec::new();
    for holder in holders {
        good.push((holder, panel_keys(&stage, holder, proposal).await, recipients(&stage, holder).await.remove(0)));
    }
    let (mut numbers, mut taken, mut refused) = (Numbers(2026), 0, 0);
    for _ in 0..120 {
        let (by, vault) = (others[numbers.below(others.len())], vaults[numbers.below(vaults.len())]);
        let (holder, keys, recipient) = &good[numbers.below(good.len())];
        let api = stage.client(by).api();
        let done = match numbers.below(3) {
            0 => api.add_keys(vault, &junk(&stage, by, vault, &to(holder), recipient)).await,
            1 => api.remove_key(vault, &id(holder)).await,
            _ => api.discard_key(vault, keys[0]).await,
        };
        match done {
            Ok(()) => taken += 1,
            Err(error) => {
                assert!(error.problem().is_some_and(|problem| problem.status < 500), "{error:?}");
                refused += 1;
            }
        }
        for (holder, keys, _) in &good {
            let now = panel_keys(&stage, holder, proposal).await;
            assert!(keys.iter().all(|key| now.contains(key)), "`{holder}` lost a key");
        }
    }
    assert!(taken >= 3 && refused > 60, "{taken} taken, {refused} refused: this tries nothing");
    for holder in holders {
        stage.again(holder).read_summary(proposal, VersionChoice::Standing).await.unwrap();
    }
    stage.stop().await;
}
