//! A call is closed once all under it is decided and answered. Then it is read, and nothing else is done, until an officer reopens it.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, id, quiet, review, slug},
    world::Store,
};
use entente::{
    client::{ClientError, api::Paging, labels::LabelChoice, verified::VersionChoice},
    domain::{
        ambient::Clock,
        call::Phase,
        decision::Outcome,
        entry::EntryKind,
        id::ProposalId,
        inbox::ItemKind,
        member::{CallRole, ConflictGround},
        proposal::Status,
    },
    wire::{call::ExtendCall, proposal::Filter},
};
use jiff::SignedDuration;
use std::collections::BTreeSet;

async fn decide(stage: &Stage, proposal: ProposalId) {
    for member in ["USA:frank", "ISR:eitan"] {
        stage.client(member).sign_decision(proposal, Outcome::Fund).await.unwrap();
    }
}

async fn waits(stage: &Stage, member: &str) -> Vec<ItemKind> {
    let inbox = stage.client(member).api().inbox().await.unwrap();
    inbox.items.into_iter().map(|item| item.kind).collect()
}

/// How many proposals the officer sees under calls in a phase.
async fn in_phase(stage: &Stage, phase: Phase) -> u64 {
    let filter = Filter { phase: Some(phase), ..Filter::default() };
    stage.client("USA:dana").api().count_proposals(&filter).await.unwrap().proposals
}

/// Everything that changes something is refused, by whatever way it is asked for.
async fn nothing_is_done(stage: &Stage, proposal: ProposalId) {
    let [dana, frank] = ["USA:dana", "USA:frank"].map(|who| stage.client(who));
    let refuses = async |what: &str, done: Result<(), ClientError>| {
        let refused = done.unwrap_err();
        let slug = refused.problem().map(|problem| problem.slug().to_owned());
        assert_eq!(slug.as_deref(), Some("wrong-phase"), "{what}: {refused}");
    };
    let before = stage.census().await;
    let later = ExtendCall {
        until: (stage.deadline + SignedDuration::from_hours(24 * 90)).into(),
        reason: "late".into(),
        partner: None,
        proposal: None,
        reviews: true,
        dry_run: false,
    };
    refuses("reviews", dana.api().extend_call(stage.call, &later).await.map(drop)).await;
    let roles = BTreeSet::from([CallRole::Reviewer]);
    refuses("a role", dana.grant_roles(stage.call, &id("USA:opal"), &roles).await.map(drop)).await;
    refuses("taken back", dana.api().unassign(proposal, &id("USA:carol")).await).await;
    refuses("a letter", dana.send_letter(proposal, "Once more.").await.map(drop)).await;
    refuses("decision", frank.supersede_decision(proposal, Outcome::Decline, "a slip").await.map(drop)).await;
    let reopened = dana.find_review(proposal, &id("USA:carol")).await.unwrap();
    refuses("a review", dana.api().reopen_review(reopened, "once more").await).await;
    refuses("cancelled", dana.api().cancel_call(stage.call, "no money").await.map(drop)).await;
    refuses("closed", dana.api().close_call(stage.call).await.map(drop)).await;
    assert_eq!(stage.census().await, before, "a refusal left something behind");
}

/// They narrow the label, and take their proposal back.
async fn what_parties_do_by_themselves_goes_on(stage: &Stage, proposal: ProposalId) {
    let narrower = LabelChoice::Put { others: BTreeSet::new(), caveats: BTreeSet::from([slug("propin")]) };
    for member in ["ISR:avi", "USA:bob"] {
        let client = stage.client(member);
        client.sign_label(&client.plan_label(proposal, &narrower).await.unwrap()).await.unwrap();
    }
    for member in ["ISR:avi", "USA:bob"] {
        stage.client(member).api().withdraw_proposal(proposal).await.unwrap();
    }
    let shown = stage.client("ISR:avi").api().proposal(proposal).await.unwrap();
    assert_eq!(shown.status, Status::Withdrawn);
}

async fn closed_call_is_read_and_nothing_else_is_done_until_it_is_reopened(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let [dana, noa, avi, maya] = ["USA:dana", "ISR:noa", "ISR:avi", "ISR:maya"].map(|who| stage.client(who));
    stage.refuses("wrong-phase", dana.api().close_call(stage.call)).await;
    let proposal = stage.under_review().await;
    stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    stage.refuses("call-unfinished", dana.api().close_call(stage.call)).await;
    let waiting = waits(&stage, "ISR:maya").await;
    assert!(waiting.contains(&ItemKind::Read), "{waiting:?}");
    decide(&stage, proposal).await;
    stage.refuses("call-unfinished", dana.api().close_call(stage.call)).await;
    dana.send_letter(proposal, "Congratulations.").await.unwrap();
    // Another decision is on the table. What was sent before it is in force is no letter about it.
    stage.clock.set(stage.clock.now() + SignedDuration::from_secs(1));
    stage.client("USA:frank").supersede_decision(proposal, Outcome::Reserve, "less money").await.unwrap();
    stage.refuses("call-unfinished", dana.api().close_call(stage.call)).await;
    stage.client("ISR:eitan").supersede_decision(proposal, Outcome::Reserve, "less money").await.unwrap();
    stage.refuses("call-unfinished", dana.api().close_call(stage.call)).await;
    dana.send_letter(proposal, "You are on the reserve list.").await.unwrap();
    stage.refuses("denied", avi.api().close_call(stage.call)).await;
    assert_eq!((in_phase(&stage, Phase::Review).await, in_phase(&stage, Phase::Closed).await), (1, 0));

    let closed = dana.api().close_call(stage.call).await.unwrap();
    assert_eq!(closed.phase, Phase::Closed);
    let listed = noa.api().all_calls().await.unwrap();
    assert!(listed.iter().any(|call| call.id == stage.call && call.phase == Phase::Closed));
    assert_eq!((in_phase(&stage, Phase::Review).await, in_phase(&stage, Phase::Closed).await), (0, 1));
    let told = avi.api().entries(&[EntryKind::CallClosed], &Paging::default()).await.unwrap().items;
    assert_eq!(told.len(), 1, "{told:?}");
    nothing_is_done(&stage, proposal).await;

    // Everybody reads what they read before, and parties open their letters.
    let out = stage.plan.dir.join("after-the-closing.pdf");
    let plan = slug("work-plan");
    maya.open_document(proposal, &plan, None, VersionChoice::Standing, &out, quiet()).await.unwrap();
    // Whose review is in may read the others, and keys are passed on as ever.
    assert_eq!(waits(&stage, "USA:dana").await, [ItemKind::PassKeys]);
    stage.prepare_panel().await;
    for member in ["USA:dana", "ISR:noa", "USA:frank", "ISR:maya", "USA:carol"] {
        assert_eq!(waits(&stage, member).await, [], "{member}");
    }
    assert_eq!(waits(&stage, "ISR:avi").await, [ItemKind::ReadLetter; 2]);
    for letter in avi.api().letters(proposal).await.unwrap() {
        avi.read_letter(proposal, letter.id).await.unwrap();
    }
    assert_eq!(waits(&stage, "ISR:avi").await, []);
    // What takes access from somebody goes on.
    noa.declare(proposal, Some(ConflictGround::Financial)).await.unwrap();
    maya.grant_roles(stage.call, &id("ISR:maya"), &BTreeSet::new()).await.unwrap();
    assert!(noa.api().proposal(proposal).await.is_err());

    // An officer with a conflict reopens it as well: somebody must be able to.
    stage.refuses("malformed", noa.api().reopen_call(stage.call, " ")).await;
    let call = noa.api().reopen_call(stage.call, "a slip in the letter").await.unwrap();
    assert_eq!((call.phase, call.deadline_at.0), (Phase::Review, stage.deadline));
    stage.refuses("unsuitable", noa.api().close_call(stage.call)).await;
    dana.send_letter(proposal, "A slip is corrected.").await.unwrap();
    let reopened_at = stage.clock.now();
    stage.clock.set(reopened_at + SignedDuration::from_hours(72) - SignedDuration::from_millis(1));
    stage.refuses("reopened-lately", dana.api().close_call(stage.call)).await;
    stage.clock.set(reopened_at + SignedDuration::from_hours(72));
    assert_eq!(dana.api().close_call(stage.call).await.unwrap().phase, Phase::Closed);
    what_parties_do_by_themselves_goes_on(&stage, proposal).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_call_is_read_and_nothing_else_is_done_until_it_is_reopened_on_sqlite() {
    closed_call_is_read_and_nothing_else_is_done_until_it_is_reopened(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_call_is_read_and_nothing_else_is_done_until_it_is_reopened_on_postgres() {
    closed_call_is_read_and_nothing_else_is_done_until_it_is_reopened(Store::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn officer_looks_ahead_closes_and_reopens_by_the_program_and_what_was_never_handed_in_holds_up_nothing() {
    let stage = Stage::open().await;
    // Begun and never signed: it lapses.
    stage.prepared().await;
    stage.pass_the_opening();
    let home = stage.home(&id("ISR:noa")).display().to_string();
    let call = stage.client("ISR:noa").call(stage.call).await.unwrap().text.code.to_string();
    let ran = async |words: &[&str]| {
        let output = ended(entente(&[&["--home", &home, "call"], words].concat())).await;
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    };
    let phase = async || stage.client("ISR:noa").api().call(stage.call).await.unwrap().body.phase;
    let (code, said) = ran(&["close", &call, "--dry-run"]).await;
    assert!(code == 0 && said.contains("leaves the inbox") && said.contains(&format!("call reopen {call}")), "{said}");
    let (code, said) = ran(&["close", &call]).await;
    assert!(code == 2 && said.contains("--yes"), "{said}");
    assert_eq!(phase().await, Phase::Review);
    let (code, said) = ran(&["close", &call, "--yes"]).await;
    assert!(code == 0 && said.contains("closed"), "{said}");
    // Who audits the call sees that it was closed.
    let file = stage.plan.dir.join("dossier.json");
    let exported = ended(entente(&["--home", &home, "dossier", &call, "--out", &file.display().to_string()])).await;
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    assert!(std::fs::read_to_string(&file).unwrap().contains("\"call.closed\""));
    let (code, said) = ran(&["reopen", &call, "--reason", "a slip", "--dry-run"]).await;
    assert!(code == 0 && said.contains("no date moves") && said.contains(&format!("call close {call}")), "{said}");
    let (code, said) = ran(&["cancel", &call, "--reason", "no money", "--yes"]).await;
    assert!(code != 0 && said.contains("closed"), "{said}");
    assert_eq!(phase().await, Phase::Closed);
    let (code, said) = ran(&["reopen", &call, "--reason", "a slip"]).await;
    assert_eq!((code, phase().await), (0, Phase::Review), "{said}");
    stage.stop().await;
}
