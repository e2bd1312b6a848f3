//! Rankings that officers send: opened by those who may read the reviews of each proposal, and by nobody else; no line and no rank tells of
//! a proposal that its reader is kept from.

use crate::{
    harness::{
        exchange::Answered,
        stage::{Stage, id, review, run},
        world::Store,
    },
    refusals::lies::tamper,
};
use entente::{
    client::{ClientError, ExitClass, roles::RoleChange},
    domain::{
        ambient::{Clock, SystemClock},
        entry::EntryKind,
        id::ProposalId,
        member::{CallRole, ConflictGround},
        review::Points,
    },
    storage::args,
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Three proposals under review by Carol, the best one last.
pub(crate) async fn judged(stage: &Stage) -> [ProposalId; 3] {
    let proposals = [stage.submitted().await, stage.submitted().await, stage.submitted().await];
    stage.pass_the_opening();
    for proposal in proposals {
        stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
        stage.assign(&[(proposal, "USA:carol"), (proposal, "ISR:maya")], false).await;
        stage.clear(proposal, &["USA:carol", "ISR:maya"]).await;
    }
    stage.prepare_panel().await;
    for (proposal, score) in proposals.into_iter().zip([3.0, 4.0, 5.0]) {
        stage.client("USA:carol").submit_review(proposal, &review(score, score)).await.unwrap();
    }
    stage.prepare_panel().await;
    proposals
}

async fn send(stage: &Stage, officer: &str) -> (usize, usize) {
    let client = stage.client(officer);
    let plan = client.plan_ranking(stage.call).await.unwrap();
    let came = client.send_ranking(stage.call, &plan).await.unwrap();
    assert!(came.failed.is_empty(), "{came:?}");
    (came.done.len(), plan.unchanged.len())
}

/// What a member opens: proposal, rank and total of each line.
async fn opened(stage: &Stage, member: &str) -> Vec<(ProposalId, Option<u32>, Points)> {
    let sent = stage.client(member).sent_ranking(stage.call).await.unwrap();
    assert!(sent.ranking.closed.is_empty(), "{:?}", sent.ranking.closed);
    sent.ranking.lines.iter().map(|line| (line.proposal, line.rank, line.total.unwrap().rounded())).collect()
}

async fn answered(stage: &Stage, member: &str, method: Method, proposal: ProposalId) -> u16 {
    let raw = stage.raw(Some(stage.credential(member)));
    raw.request(method, &format!("/v1/proposals/{proposal}/ranking")).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn ranking_is_opened_by_those_who_decide_and_tells_nobody_of_what_they_are_kept_from() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        let [low, middle, high] = judged(&stage).await;
        stage.client("USA:dana").note_for_ranking(middle, "high cost").await.unwrap();
        assert_eq!(send(&stage, "USA:dana").await, (3, 0));
        let points = |hundredths| Points::from_hundredths(hundredths);
        let all = vec![(high, Some(1), points(1000)), (middle, Some(2), points(800)), (low, Some(3), points(600))];
        for member in ["USA:frank", "ISR:noa", "ISR:eitan"] {
            assert_eq!(opened(&stage, member).await, all, "{member}");
        }
        let sent = stage.client("USA:frank").sent_ranking(stage.call).await.unwrap();
        assert_eq!(sent.ranking.notes, [(middle, "high cost".to_owned())].into());
        assert_eq!(sent.about[&low].sent_by, id("USA:dana"));

        // From a conflict on there is neither a line about the proposal, nor a gap where it was.
        stage.client("ISR:eitan").declare(middle, Some(ConflictGround::Financial)).await.unwrap();
        let without = vec![(high, Some(1), points(1000)), (low, Some(2), points(600))];
        assert_eq!(opened(&stage, "ISR:eitan").await, without);
        let sent = stage.client("ISR:eitan").sent_ranking(stage.call).await.unwrap();
        assert!(sent.unsent.is_empty() && sent.ranking.notes.is_empty(), "{sent:?}");
        assert_eq!(answered(&stage, "ISR:eitan", Method::GET, middle).await, 404);

        // Who reviews, watches or proposes gets none of it, whether there is one or not.
        for (member, status) in [("USA:carol", 403), ("USA:walt", 404), ("ISR:avi", 403), ("KOR:minjun", 404)] {
            assert_eq!(answered(&stage, member, Method::GET, high).await, status, "{member}");
            let row = stage.client(member).api().proposal(high).await;
            assert!(row.is_ok_and(|row| row.ranking_sent_at.is_none()) || status == 404, "{member}");
        }
        // An officer who declared nothing, and one in conflict.
        assert_eq!(answered(&stage, "USA:olivia", Method::GET, high).await, 403);
        stage.client("USA:olivia").declare(high, Some(ConflictGround::Employment)).await.unwrap();
        assert_eq!(answered(&stage, "USA:olivia", Method::GET, high).await, 404);
        stage.stop().await;
    }
}

#[tokio::test]
async fn notes_of_another_officer_stay_and_ones_own_go_where_they_were_removed() {
    let stage = Stage::open().await;
    let [low, ..] = judged(&stage).await;
    let (dana, noa, frank) = (stage.client("USA:dana"), stage.client("ISR:noa"), stage.client("USA:frank"));
    dana.note_for_ranking(low, "high cost").await.unwrap();
    assert_eq!(send(&stage, "USA:dana").await, (3, 0));
    assert_eq!(send(&stage, "ISR:noa").await, (0, 3), "a machine without the note has nothing else to say");
    stage.client("ISR:maya").submit_review(low, &review(5.0, 5.0)).await.unwrap();
    stage.prepare_panel().await;
    let plan = noa.plan_ranking(stage.call).await.unwrap();
    assert_eq!((&plan.kept_notes, plan.dropped_notes.len()), (&[low].into(), 0));
    let code = &stage.client("ISR:noa").call(stage.call).await.unwrap().rules.code;
    let forecast = noa.forecast_ranking(&plan, code);
    assert!(
        forecast.effects.iter().any(|effect| effect.what.contains("note that was sent before stays")),
        "{forecast:?}"
    );
    noa.send_ranking(stage.call, &plan).await.unwrap();
    assert_eq!(frank.sent_ranking(stage.call).await.unwrap().ranking.notes, [(low, "high cost".to_owned())].into());

    assert_eq!(send(&stage, "ISR:noa").await, (0, 3), "nor does it go by her sending again");

    // Where it was removed, it goes.
    stage.clock.set(stage.clock.now() + SignedDuration::from_secs(1));
    assert!(dana.remove_note(low).unwrap());
    let plan = dana.plan_ranking(stage.call).await.unwrap();
    assert_eq!((plan.kept_notes.len(), &plan.dropped_notes, plan.lines.len()), (0, &[low].into(), 1));
    dana.send_ranking(stage.call, &plan).await.unwrap();
    assert!(frank.sent_ranking(stage.call).await.unwrap().ranking.notes.is_empty());
    assert_eq!(send(&stage, "ISR:noa").await, (0, 3));

    // What another officer notes afterwards is theirs.
    noa.note_for_ranking(low, "new partner").await.unwrap();
    stage.clock.set(stage.clock.now() + SignedDuration::from_secs(1));
    assert_eq!(send(&stage, "ISR:noa").await, (1, 2));
    let plan = dana.plan_ranking(stage.call).await.unwrap();
    assert_eq!((plan.kept_notes.len(), plan.dropped_notes.len(), plan.lines.len()), (1, 0, 0));

    // A line that no officer of now sent is not read, so it is said that a note in it goes.
    let lays_down = RoleChange::Remove([CallRole::Officer].into());
    let lays_down = noa.plan_roles(stage.call, &id("ISR:noa"), &lays_down).await.unwrap();
    noa.change_roles(&lays_down, None).await.unwrap();
    let plan = dana.plan_ranking(stage.call).await.unwrap();
    assert_eq!((plan.unread.len(), plan.lines.get(&low)), (1, Some(&true)));
    let forecast = dana.forecast_ranking(&plan, code);
    assert!(forecast.effects.iter().any(|effect| effect.what.contains("a note on it is lost")), "{forecast:?}");
    stage.stop().await;
}

#[tokio::test]
async fn ranking_sent_again_replaces_what_changed_alone_and_is_taken_back() {
    let stage = Stage::open().await;
    let [low, middle, high] = judged(&stage).await;
    assert_eq!(send(&stage, "USA:dana").await, (3, 0));
    assert_eq!(send(&stage, "USA:dana").await, (0, 3), "nothing is sent twice");
    assert_eq!(send(&stage, "ISR:noa").await, (0, 3), "by no officer");
    let maya = stage.client("ISR:maya");
    maya.submit_review(low, &review(5.0, 5.0)).await.unwrap();
    stage.prepare_panel().await;
    assert_eq!(opened(&stage, "USA:frank").await[2].0, low, "what stands, stands until it is replaced");
    let sent = stage.client("USA:frank").sent_ranking(stage.call).await.unwrap();
    assert_eq!(sent.about[&low].came_since, [(id("ISR:maya"), 1)].into());
    assert!(sent.about[&high].came_since.is_empty() && sent.about[&high].gone_since.is_empty());

    assert_eq!(send(&stage, "USA:dana").await, (1, 2));
    let replaced = stage.log().await.into_iter().filter(|entry| entry.kind == EntryKind::RankingSent).map(|entry| {
        let payload: Value = serde_json::from_str(&entry.payload).unwrap();
        (entry.proposal.unwrap(), payload["in_place_of"].is_string())
    });
    let replaced: Vec<_> = replaced.collect();
    assert_eq!(replaced.iter().filter(|(_, is_instead)| *is_instead).collect::<Vec<_>>(), [&(low, true)]);
    let sent = stage.client("USA:frank").sent_ranking(stage.call).await.unwrap();
    assert!(sent.about[&low].came_since.is_empty());

    let dana = stage.client("USA:dana");
    let lines = dana.sent_lines(stage.call).await.unwrap();
    assert_eq!(dana.withdraw_ranking(&lines).await.unwrap().done.len(), 3);
    assert!(dana.withdraw_ranking(&lines).await.unwrap().done.is_empty(), "done twice, done once");
    for proposal in [low, middle, high] {
        assert_eq!(answered(&stage, "USA:frank", Method::GET, proposal).await, 404);
    }
    assert_eq!(stage.client("USA:frank").sent_ranking(stage.call).await.unwrap().unsent.len(), 3);
    stage.stop().await;
}

#[tokio::test]
async fn ranking_is_sent_by_officers_who_may_read_the_reviews_and_for_what_stands() {
    let stage = Stage::open().await;
    let [low, ..] = judged(&stage).await;
    let refused = |error: ClientError| error.slug().map(str::to_owned);
    let dana = stage.client("USA:dana");
    let plan = dana.plan_ranking(stage.call).await.unwrap();
    // A decider plans nothing, and what an officer planned they may not send.
    assert_eq!(stage.client("USA:frank").plan_ranking(stage.call).await.unwrap_err().class(), ExitClass::Usage);
    let came = stage.client("USA:frank").send_ranking(stage.call, &plan).await.unwrap();
    assert!(came.done.is_empty() && came.failed.len() == 3, "{came:?}");
    for (_, error) in came.failed {
        assert_eq!(refused(error).as_deref(), Some("denied"));
    }
    // One who has a conflict meanwhile sends the others, and learns nothing of that one.
    dana.declare(low, Some(ConflictGround::Family)).await.unwrap();
    let came = dana.send_ranking(stage.call, &plan).await.unwrap();
    assert_eq!((came.done.len(), came.failed.len()), (2, 1), "{came:?}");
    assert_eq!(refused(came.failed.into_iter().next().unwrap().1).as_deref(), Some("not-found"));
    stage.stop().await;
}

#[tokio::test]
async fn line_that_no_officer_signed_or_that_was_changed_is_not_shown() {
    let stage = Stage::open().await;
    let [low, middle, high] = judged(&stage).await;
    send(&stage, "USA:dana").await;
    tamper(&stage, "UPDATE ranking_lines SET sent_by = 'USA:frank' WHERE proposal_id = $1", args![low]).await;
    tamper(
        &stage,
        "UPDATE ranking_lines SET ciphertext = (SELECT o.ciphertext FROM ranking_lines o WHERE o.proposal_id = $1) \
         WHERE proposal_id = $2",
        args![high, middle],
    )
    .await;
    let sent = stage.client("ISR:eitan").sent_ranking(stage.call).await.unwrap();
    assert_eq!(sent.ranking.lines.iter().map(|line| line.proposal).collect::<Vec<_>>(), [high]);
    let closed: BTreeMap<_, _> = sent.ranking.closed.into_iter().collect();
    assert!(closed.values().all(|error| error.class() == ExitClass::Unverified), "{closed:?}");
    assert_eq!(closed.into_keys().collect::<BTreeSet<_>>(), [low, middle].into());
    stage.stop().await;
}

#[tokio::test]
async fn reader_sees_what_they_have_not_opened_and_what_no_longer_counts() {
    let stage = Stage::open().await;
    let [low, _, high] = judged(&stage).await;
    send(&stage, "USA:dana").await;
    let frank = stage.client("USA:frank");
    let about = frank.sent_ranking(stage.call).await.unwrap().about;
    assert!(about.values().all(|line| line.is_unopened && line.unopened_reviews == 1), "{about:?}");
    frank.open_reviews(low).await.unwrap();
    let carols = stage.client("USA:dana").api().reviews(high).await.unwrap().remove(0);
    stage.client("USA:dana").api().reopen_review(carols.id, "scored the wrong version").await.unwrap();
    let about = frank.sent_ranking(stage.call).await.unwrap().about;
    assert_eq!((about[&low].unopened_reviews, about[&low].is_unopened), (0, true));
    assert_eq!(about[&high].gone_since, [id("USA:carol")].into());
    stage.stop().await;
}

/// Runs a command as a script does.
pub(crate) async fn ran(stage: &Stage, member: &str, line: &str) -> (i32, String, String) {
    run(stage, member, &line.split(' ').collect::<Vec<_>>()).await
}

#[tokio::test]
async fn officer_looks_agrees_once_and_sends_and_a_decider_reads() {
    let stage = Stage::open().await;
    let [low, middle, high] = judged(&stage).await;
    // The program signs by the machine's clock.
    stage.clock.set(SystemClock.now());
    let (code, said, notes) = ran(&stage, "USA:dana", &format!("ranking note {middle} costly")).await;
    assert_eq!(code, 0, "{said}{notes}");
    let line = format!("ranking send {}", stage.call);
    let (code, said, _) = ran(&stage, "USA:dana", &format!("{line} --dry-run")).await;
    assert!(code == 0 && said.contains("3 lines are sealed") && said.contains("1 note goes"), "{said}");
    let (code, _, refused) = ran(&stage, "USA:dana", &line).await;
    assert!(code == 2 && refused.contains("--yes") && refused.contains("ranking withdraw"), "{refused}");
    assert!(stage.client("USA:dana").sent_lines(stage.call).await.unwrap().is_empty());
    let (code, said, notes) = ran(&stage, "USA:dana", &format!("{line} --yes")).await;
    assert!(code == 0 && said.contains("3 lines"), "{said}{notes}");
    let (code, said, _) = ran(&stage, "USA:dana", &format!("{line} --yes")).await;
    assert!(code == 0 && said.contains("nothing is to be sent"), "{said}");

    let (code, said, notes) = ran(&stage, "USA:frank", &format!("--json ranking show {}", stage.call)).await;
    assert_eq!(code, 0, "{said}{notes}");
    let shown: Value = serde_json::from_str(&said).unwrap();
    let order: Vec<&str> = shown["items"].as_array().unwrap().iter().map(|i| i["proposal"].as_str().unwrap()).collect();
    assert_eq!(order, [high, middle, low].map(|id| id.to_string()));
    assert_eq!(
        (shown["items"][1]["note"].as_str(), shown["items"][1]["title"].as_str()),
        (Some("costly"), Some("Lodestone"))
    );
    let (code, said, _) = ran(&stage, "USA:frank", &format!("ranking show {}", stage.call)).await;
    assert!(code == 0 && said.contains("USA:dana") && said.contains("proposal, 1 review"), "{said}");
    let (code, said, _) = ran(&stage, "USA:frank", &format!("--csv ranking show {}", stage.call)).await;
    let rows: Vec<&str> = said.split("\r\n").collect();
    assert!(code == 0 && rows[0].starts_with("RANK,PROPOSAL,TITLE,TOTAL,MEDIAN,SPREAD"), "{said}");
    assert!(rows[1].starts_with("1,") && rows[1].contains(",Lodestone,10.00,10.00,0.00,"), "{said}");

    let (code, said, _) = ran(&stage, "USA:dana", &format!("ranking withdraw {}", stage.call)).await;
    assert!(code == 0 && said.contains("3 lines"), "{said}");
    let (code, said, notes) = ran(&stage, "USA:frank", &format!("ranking show {}", stage.call)).await;
    assert!(code == 0 && notes.contains("no ranking was sent") && said.contains("10.00"), "{said}{notes}");
    stage.stop().await;
}

#[tokio::test]
async fn rankings_are_logged_for_officers_who_may_know_of_the_proposal() {
    let stage = Stage::open().await;
    let [low, ..] = judged(&stage).await;
    send(&stage, "USA:dana").await;
    stage.client("USA:frank").sent_ranking(stage.call).await.unwrap();
    stage.clock.set(stage.clock.now() + SignedDuration::from_secs(1));
    let dana = stage.raw(Some(stage.credential("USA:dana")));
    let read = async |path: &str| dana.request(Method::GET, path).send().await.unwrap().expect_status(200).await;
    let entries: Value = read("/v1/entries?kind=ranking&limit=200").await;
    let kinds: Vec<&str> = entries["items"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, [["ranking.sent"; 3], ["ranking.fetched"; 3]].concat());
    stage.client("USA:dana").declare(low, Some(ConflictGround::Family)).await.unwrap();
    let entries: Value = read("/v1/entries?kind=ranking&limit=200").await;
    assert_eq!(entries["items"].as_array().unwrap().len(), 4, "none about what its reader is kept from");
    stage.stop().await;
}
