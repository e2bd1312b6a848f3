//! The key agent: it passes keys on and takes them away by the signed policies alone, next to people and other agents, and goes on
//! when the exchange comes back.

use crate::harness::{
    process::{PATIENCE, Site, ended, entente, signal},
    stage::{NATIONS, Stage, Step, id, slug, text},
};
use entente::{
    client::{
        Client, ClientError, ExitClass, Home, Profile,
        agent::{Agent, AgentAct, Event, RoundTally},
        directory::NewKeyCard,
        proposals::NewProposal,
        verified::VersionChoice,
    },
    domain::{
        ambient::{Clock, SystemClock},
        entry::EntryKind,
        id::ProposalId,
        member::CallRole,
        vault::VaultKind,
    },
    storage::args,
    wire::directory::CreateProgram,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{collections::BTreeSet, process::Stdio, sync::Mutex};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

const NO_REVIEWERS: &str = r#"@id("no-reviewers") @side("release") @reason("reviewers read nothing for now")
forbid(principal, action == Action::"Read", resource) when { resource.assigned.contains(principal) };"#;

/// The agent of a member, with a machine of its own in each round.
fn agent<'s>(stage: &'s Stage, member: &'static str) -> Agent<impl Fn() -> Result<Client, ClientError> + 's> {
    Agent::new(move || Ok(stage.again(member)), Some(stage.call))
}

/// A round, with what was reported.
async fn round<C: Fn() -> Result<Client, ClientError>>(agent: &mut Agent<C>) -> (RoundTally, Vec<Event>) {
    let mut told = Vec::new();
    let tally = agent.round(&|| false, &mut |event| told.push(event.clone())).await.unwrap();
    (tally, told)
}

/// Who is named in acts of a kind.
fn holders(told: &[Event], act: AgentAct) -> Vec<String> {
    let of_kind = told.iter().filter(|event| event.act == act);
    let mut holders: Vec<String> = of_kind.filter_map(|event| Some(event.key.as_ref()?.holder.to_string())).collect();
    holders.sort();
    holders
}

/// How many keys to the panel's vault a member is given.
async fn keys(stage: &Stage, member: &str, proposal: ProposalId) -> usize {
    let vaults = stage.client(member).api().vaults(proposal).await.unwrap();
    vaults.iter().filter(|vault| vault.kind == VaultKind::Panel).map(|vault| vault.keys.len()).sum()
}

#[tokio::test]
async fn assigned_reviewers_get_their_keys_with_nobody_at_the_keyboard() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    let mut agent = agent(&stage, "USA:dana");
    agent.check().await.unwrap();
    let (tally, told) = round(&mut agent).await;
    assert_eq!(tally, RoundTally { wrapped: 2, removed: 0, not_done: 0 });
    assert_eq!(holders(&told, AgentAct::Wrapped), ["ISR:maya", "USA:carol"]);
    assert_eq!(told.iter().filter(|event| event.act == AgentAct::VaultMade).count(), 1);
    assert_eq!(keys(&stage, "USA:carol", proposal).await, 1);
    // Nothing to do: nothing is fetched either, which the log would show.
    let before = stage.log().await.len();
    assert_eq!(round(&mut agent).await, (RoundTally::default(), Vec::new()));
    assert_eq!(stage.log().await.len(), before);
    let fetched = stage
        .log()
        .await
        .iter()
        .any(|entry| entry.kind == EntryKind::DocumentFetched && entry.actor == Some(id("USA:dana")));
    assert!(!fetched, "no document is fetched");
    drop(agent);
    stage.stop().await;
}

#[tokio::test]
async fn reader_whom_the_nations_exclude_gets_no_key_although_the_exchange_asks() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    let not_them = r#"@id("not-galilee") @side("release") @reason("not to Galilee University")
forbid(principal, action == Action::"Read", resource) when { principal.organisation == "galilee university" };"#;
    stage.israel_adds(not_them).await;
    execute(&stage, "UPDATE members SET organisation = 'Elsewhere' WHERE member = 'ISR:maya'").await;
    let mut agent = agent(&stage, "USA:dana");
    let (tally, told) = round(&mut agent).await;
    assert_eq!(tally, RoundTally { wrapped: 1, removed: 0, not_done: 1 });
    assert_eq!(holders(&told, AgentAct::Refused), ["ISR:maya"]);
    let refused = told.iter().find(|event| event.act == AgentAct::Refused).unwrap();
    let (reason, help) = (refused.reason.as_deref().unwrap(), refused.help.as_deref().unwrap());
    assert!(reason.contains("`ISR/not-galilee`") && help.contains("officers of `ISR`"), "{refused:?}");
    // Reported once, counted always, and not tried again at once.
    let before = stage.log().await.len();
    assert_eq!(round(&mut agent).await, (RoundTally { wrapped: 0, removed: 0, not_done: 1 }, Vec::new()));
    assert_eq!(stage.log().await.len(), before);
    stage.clock.set(stage.clock.now() + SignedDuration::from_mins(16));
    let (tally, told) = round(&mut agent).await;
    assert_eq!((tally.not_done, told), (1, Vec::new()), "tried again");
    assert!(stage.log().await.len() > before);
    assert_eq!(stage.client("USA:dana").api().missing_keys(proposal).await.unwrap().len(), 1);
    drop(agent);
    stage.stop().await;
}

#[tokio::test]
async fn key_goes_with_the_permission_and_comes_back_with_it() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let mut agent = agent(&stage, "USA:dana");
    assert_eq!(round(&mut agent).await.0, RoundTally::default());
    let text = stage.client("ISR:drafter").policy(&"ISR".parse().unwrap()).await.unwrap().text.unwrap();
    stage.israel_adds(NO_REVIEWERS).await;
    let (tally, told) = round(&mut agent).await;
    assert_eq!(tally, RoundTally { wrapped: 0, removed: 2, not_done: 0 });
    assert_eq!(holders(&told, AgentAct::Removed), ["ISR:maya", "USA:carol"]);
    assert!(told.iter().all(|event| event.reason.as_ref().unwrap().contains("`ISR/no-reviewers`")), "{told:?}");
    let removed = stage.log().await.into_iter().filter(|entry| entry.kind == EntryKind::KeyRemoved);
    let removed: Vec<_> = removed.map(|entry| (entry.actor, entry.proposal)).collect();
    assert_eq!(removed, [(Some(id("USA:dana")), Some(proposal)), (Some(id("USA:dana")), Some(proposal))]);
    assert_eq!(keys(&stage, "ISR:avi", proposal).await, 1, "a party keeps what it holds");
    stage.israel_writes(&text).await;
    let (tally, told) = round(&mut agent).await;
    assert_eq!((tally.wrapped, holders(&told, AgentAct::Wrapped).len()), (2, 2));
    drop(agent);
    stage.stop().await;
}

/// The member's registrar publishes a new card of theirs, good until then.
async fn renew(stage: &Stage, member: &str, valid_until: Timestamp) {
    let present = stage.again("USA:dana").issued_member(&id(member)).await.unwrap().card.clone();
    let registrar = format!("{}:registrar", present.member.partner());
    let shown = vec![stage.credential(member).certificate.clone()];
    let new = NewKeyCard { shown, valid_until, ..NewKeyCard::like(present) };
    stage.client(&registrar).issue_key_card(&new).await.unwrap();
}

#[tokio::test]
async fn holder_whose_card_ran_out_keeps_their_keys_and_one_whose_card_was_revoked_does_not() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let mut agent = agent(&stage, "USA:dana");
    let soon = stage.clock.now() + SignedDuration::from_hours(1);
    renew(&stage, "USA:carol", soon).await;
    stage.client("ISR:registrar").revoke_key_card(&id("ISR:maya"), true).await.unwrap();
    stage.clock.set(soon + SignedDuration::from_secs(1));
    let surplus = stage.client("USA:dana").api().surplus_keys(proposal).await.unwrap();
    assert_eq!(surplus.iter().map(|key| key.holder.to_string()).collect::<Vec<_>>(), ["ISR:maya", "USA:carol"]);
    let (tally, told) = round(&mut agent).await;
    assert_eq!(tally, RoundTally { wrapped: 0, removed: 1, not_done: 1 });
    assert_eq!(
        (holders(&told, AgentAct::Removed), holders(&told, AgentAct::Kept)),
        (vec!["ISR:maya".into()], vec!["USA:carol".into()])
    );
    let kept = told.iter().find(|event| event.act == AgentAct::Kept).unwrap();
    assert!(kept.reason.as_deref().unwrap().contains("their keys stay"), "{kept:?}");
    // Renewed a little late: what she held is good again, and nobody has to wrap anything.
    renew(&stage, "USA:carol", soon + SignedDuration::from_hours(24 * 100)).await;
    stage.again("USA:carol").read_summary(proposal, VersionChoice::Standing).await.unwrap();
    stage.clock.set(stage.clock.now() + SignedDuration::from_mins(16));
    assert_eq!(round(&mut agent).await, (RoundTally::default(), Vec::new()));
    drop(agent);
    stage.stop().await;
}

#[tokio::test]
async fn agents_and_people_get_on_with_each_other() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    stage.clear(proposal, &["ISR:noa"]).await;
    let (mut one, mut twin, mut other) =
        (agent(&stage, "USA:dana"), agent(&stage, "USA:dana"), agent(&stage, "ISR:noa"));
    let ((first, _), (second, _), (third, _)) = tokio::join!(round(&mut one), round(&mut twin), round(&mut other));
    assert_eq!([first, second, third].map(|tally| tally.not_done), [0, 0, 0]);
    for member in ["USA:carol", "ISR:maya"] {
        // Two agents that see at the same moment that a key is missing both make one; a member makes no second.
        assert!((1..=2).contains(&keys(&stage, member, proposal).await), "{member}");
        stage.again(member).read_summary(proposal, VersionChoice::Standing).await.unwrap();
    }
    stage.israel_adds(NO_REVIEWERS).await;
    let ((first, _), (second, _), (third, _)) = tokio::join!(round(&mut one), round(&mut twin), round(&mut other));
    assert_eq!([first, second, third].map(|tally| tally.not_done), [0, 0, 0]);
    assert_eq!(
        [first, second, third].iter().map(|tally| tally.removed).sum::<usize>(),
        2,
        "each holder's keys go once"
    );
    drop((one, twin, other));
    stage.stop().await;
}

#[tokio::test]
async fn round_that_does_not_reach_the_exchange_is_made_up_for_by_the_next() {
    let stage = Stage::open().await;
    stage.awaiting_keys().await;
    let away = Mutex::new(true);
    let connect = || {
        if *away.lock().unwrap() {
            return Err(ClientError::Transport { what: "the exchange was not reached".into(), help: String::new() });
        }
        Ok(stage.again("USA:dana"))
    };
    let mut agent = Agent::new(connect, None);
    let failed = agent.round(&|| false, &mut |event| panic!("{event:?}")).await.unwrap_err();
    assert_eq!(failed.class(), ExitClass::Unreachable);
    *away.lock().unwrap() = false;
    assert_eq!(round(&mut agent).await.0.wrapped, 2);
    // After the order to stop it does not begin with the next proposal.
    stage.israel_adds(NO_REVIEWERS).await;
    let stopped = agent.round(&|| true, &mut |event| panic!("{event:?}")).await.unwrap();
    assert_eq!(stopped, RoundTally::default());
    drop(agent);
    stage.stop().await;
}

#[tokio::test]
async fn nobody_takes_a_key_from_whom_policy_admits() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let panel = async |member: &str| {
        let vaults = stage.client(member).api().vaults(proposal).await.unwrap();
        vaults.into_iter().find(|vault| vault.kind == VaultKind::Panel).unwrap().id
    };
    let vault = panel("ISR:avi").await;
    let remove = |by: &str, holder: &str| {
        let (client, holder) = (stage.client(by).clone(), id(holder));
        async move { client.api().remove_key(vault, &holder).await }
    };
    // Neither the counterpart nor the panel, nor a colleague, nor oneself; and a party does not learn who judges.
    stage.refuses("still-admitted", remove("USA:dana", "ISR:avi")).await;
    stage.refuses("still-admitted", remove("USA:dana", "USA:carol")).await;
    stage.refuses("still-admitted", remove("ISR:avi", "USA:bob")).await;
    stage.refuses("still-admitted", remove("ISR:avi", "ISR:avi")).await;
    stage.refuses("not-found", remove("ISR:avi", "USA:carol")).await;
    stage.refuses("not-found", remove("ISR:avi", "ISR:yael")).await;
    stage.refuses("not-found", remove("USA:dana", "ISR:yael")).await;
    stage.refuses("denied", remove("USA:carol", "ISR:maya")).await;

    stage.israel_adds(NO_REVIEWERS).await;
    let surplus = stage.client("USA:dana").api().surplus_keys(proposal).await.unwrap();
    assert_eq!(surplus.iter().map(|key| key.holder.to_string()).collect::<Vec<_>>(), ["ISR:maya", "USA:carol"]);
    assert!(stage.client("ISR:avi").api().surplus_keys(proposal).await.unwrap().is_empty(), "a party hears of parties");
    stage.refuses("not-found", remove("ISR:avi", "USA:carol")).await;
    remove("USA:dana", "USA:carol").await.unwrap();
    stage.refuses("not-found", remove("USA:dana", "USA:carol")).await;
    stage.stop().await;
}

/// By requests that no client of ours would make: neither the counterpart nor an officer.
#[tokio::test]
async fn nobody_takes_a_key_from_whose_card_ran_out_until_it_is_revoked() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (dana, frank) = (stage.client("USA:dana"), id("USA:frank"));
    // From a time when a call did not keep the two apart.
    let reviews_too = "INSERT INTO call_roles (call_id, member, role, granted_by, granted_at) \
                       SELECT call_id, member, 'reviewer', granted_by, granted_at FROM call_roles WHERE member = 'USA:frank'";
    execute(&stage, reviews_too).await;
    let vaults = stage.client("ISR:avi").api().vaults(proposal).await.unwrap();
    let vault = vaults.into_iter().find(|vault| vault.kind == VaultKind::Panel).unwrap().id;
    let remove = |by: &str, holder: &str| {
        let (client, holder) = (stage.client(by).clone(), id(holder));
        async move { client.api().remove_key(vault, &holder).await }
    };
    let soon = stage.clock.now() + SignedDuration::from_hours(1);
    for member in ["USA:bob", "USA:frank"] {
        renew(&stage, member, soon).await;
    }
    stage.clock.set(soon + SignedDuration::from_secs(1));
    stage.refuses("still-admitted", remove("ISR:avi", "USA:bob")).await;
    stage.refuses("still-admitted", remove("USA:dana", "USA:bob")).await;
    stage.refuses("still-admitted", remove("USA:dana", "USA:frank")).await;
    // One of two roles goes, and the other lets him read once he has a card again.
    dana.grant_roles(stage.call, &frank, &BTreeSet::from([CallRole::Decider])).await.unwrap();
    for member in ["USA:bob", "USA:frank"] {
        renew(&stage, member, soon + SignedDuration::from_hours(24 * 100)).await;
        stage.again(member).read_summary(proposal, VersionChoice::Standing).await.unwrap();
    }
    stage.client("USA:registrar").revoke_key_card(&id("USA:bob"), true).await.unwrap();
    remove("ISR:avi", "USA:bob").await.unwrap();
    stage.refuses("not-found", remove("ISR:avi", "USA:bob")).await;
    stage.stop().await;
}

#[tokio::test]
async fn process_passes_keys_on_goes_through_an_outage_and_stops_when_told() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let (dana, avi) = (world.client("USA:dana"), world.client("ISR:avi"));
    let partners = ["ISR", "USA"].map(|code| code.parse().unwrap());
    let program =
        CreateProgram { name: "Joint research".into(), lead: "USA".parse().unwrap(), partners: partners.into() };
    let program = dana.api().create_program(&program).await.unwrap().id;
    let now = SystemClock.now();
    let draft = dana.draft_call(program, &text(now, now + SignedDuration::from_hours(24))).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let party = |members: &[&str]| members.iter().map(|member| id(member)).collect();
    let parties =
        [("ISR".parse().unwrap(), party(&["ISR:avi", "ISR:tamar"])), ("USA".parse().unwrap(), party(&["USA:bob"]))];
    let proposal = avi
        .create_proposal(&NewProposal { call, topic: Some(slug("navigation")), parties: parties.into() })
        .await
        .unwrap();
    world.join_all(&proposal).await.unwrap();
    let proposal = proposal.id;
    let mut tx = world.server.exchange.db.write().await.unwrap();
    let lost = tx.execute("DELETE FROM wrapped_keys WHERE holder = 'ISR:tamar'", args![]).await.unwrap();
    assert!(lost > 0);
    tx.commit().await.unwrap();
    world.stop().await;

    // Away at first: once says so with its exit code.
    let home = site.path("homes").join("ISR.avi");
    let words = ["--json", "--home", home.to_str().unwrap(), "agent", "run"];
    let unreachable = Home::locate(Some(&home)).unwrap();
    let profile = unreachable.profile(None).unwrap();
    unreachable.save_profile(&Profile { server: "https://localhost:1".into(), ..profile }).unwrap();
    let once = ended(entente(&[&words[..], &["--once"]].concat())).await;
    assert_eq!(once.status.code(), Some(5), "{}", String::from_utf8_lossy(&once.stderr));

    let mut command = entente(&[&words[..], &["--every", "1s"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = timeout(PATIENCE, lines.next_line()).await.expect("the agent says something").unwrap();
        serde_json::from_str(&line.expect("the agent goes on")).unwrap()
    };
    assert_eq!(next().await["agent"], "started");
    let interrupted = next().await;
    assert_eq!(interrupted["agent"], "interrupted", "{interrupted}");
    let server = site.serve().await;
    site.point_home("ISR:avi", &server);
    let mut acts = Vec::new();
    loop {
        let line = next().await;
        if line["agent"] == "resumed" {
            break;
        }
        assert_eq!((&line["act"], &line["holder"]), (&"wrapped".into(), &"ISR:tamar".into()), "{line}");
        assert_eq!(line["proposal"], proposal.to_string());
        acts.push(line);
    }
    assert_eq!(acts.len() as u64, lost);
    signal(&child, "TERM").await;
    assert_eq!(next().await["agent"], "stopped");
    assert!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().success());

    // Once, for cron: a line of text for each act, and nothing to do the second time.
    let words = ["--home", home.to_str().unwrap(), "agent", "run", "--once"];
    let once = ended(entente(&words)).await;
    let said = String::from_utf8(once.stdout).unwrap();
    assert_eq!((once.status.code(), &*said), (Some(0), ""));
    assert!(server.stop().await.success());
}

async fn execute(stage: &Stage, sql: &'static str) {
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    assert!(tx.execute(sql, args![]).await.unwrap() > 0, "nothing was changed");
    tx.commit().await.unwrap();
}
