//! A reviewer who declines: the assignment and its keys go, the officer is told, it counts against nobody, and it can be taken
//! back until somebody else is assigned.

use crate::harness::{
    stage::{Stage, Step, id, review, run},
    world::Store,
};
use entente::{
    client::api::Paging,
    domain::{entry::EntryKind, id::ProposalId, inbox::ItemKind, member::DeclineReason},
    wire::review::{Assignment, DeclineAssignment},
};

async fn kinds(stage: &Stage, member: &str) -> Vec<ItemKind> {
    let inbox = stage.client(member).api().inbox().await.unwrap();
    inbox.items.into_iter().map(|item| item.kind).collect()
}

async fn listed(stage: &Stage, proposal: ProposalId, reviewer: &str) -> Option<Assignment> {
    let all = stage.client("USA:dana").api().assignments_and_declined(proposal).await.unwrap();
    all.into_iter().find(|line| line.reviewer == id(reviewer))
}

async fn keys(stage: &Stage, member: &str, proposal: ProposalId) -> usize {
    let vaults = stage.client(member).api().vaults(proposal).await.unwrap();
    vaults.iter().flat_map(|vault| &vault.keys).filter(|key| key.holder == member).count()
}

fn decline(reason: DeclineReason) -> DeclineAssignment {
    DeclineAssignment { reason: Some(reason) }
}

async fn declined_is_no_assignment_and_can_be_taken_back(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.under_review().await;
    let (carol, dana) = (stage.client("USA:carol"), stage.client("USA:dana"));
    assert!(keys(&stage, "USA:carol", proposal).await > 0);
    let before = listed(&stage, proposal, "USA:carol").await.unwrap();

    carol.api().decline_assignment(proposal, &decline(DeclineReason::Time)).await.unwrap();
    // Israel shows it to assigned reviewers alone.
    stage.refuses("not-found", carol.api().proposal(proposal)).await;
    assert_eq!(kinds(&stage, "USA:carol").await, []);
    stage.refuses("not-found", carol.api().decline_assignment(proposal, &decline(DeclineReason::Time))).await;
    // The officer is told: in the inbox, in the list, in the log.
    assert!(kinds(&stage, "USA:dana").await.contains(&ItemKind::Declined));
    assert!(!kinds(&stage, "USA:olivia").await.contains(&ItemKind::Declined), "who has not declared assigns nobody");
    let line = listed(&stage, proposal, "USA:carol").await.unwrap();
    let declined = line.declined.unwrap();
    assert_eq!((declined.reason, declined.replaced_at, line.set_aside), (Some(DeclineReason::Time), None, None));
    let log = dana.api().entries(&[EntryKind::AssignmentDeclined], &Paging::default()).await.unwrap().items;
    assert_eq!((log.len(), log[0].actor.as_ref()), (1, Some(&id("USA:carol"))));
    let parties = stage.client("ISR:avi").api().entries(&[EntryKind::AssignmentDeclined], &Paging::default()).await;
    assert!(parties.unwrap().items.is_empty(), "parties do not hear who judges");

    // Taken back it is what it was, and the keys can be passed on again.
    carol.api().resume_assignment(proposal).await.unwrap();
    let row = carol.api().proposal(proposal).await.unwrap();
    assert!(row.mine.is_assigned && row.mine.is_clear, "her declaration stands");
    assert_eq!(keys(&stage, "USA:carol", proposal).await, 0, "the keys went");
    assert_eq!(listed(&stage, proposal, "USA:carol").await.unwrap(), before);
    stage.refuses("already-assigned", carol.api().resume_assignment(proposal)).await;
    assert!(!kinds(&stage, "USA:dana").await.contains(&ItemKind::Declined));
    stage.prepare_panel().await;
    assert!(keys(&stage, "USA:carol", proposal).await > 0);
    carol.submit_review(proposal, &review(4.0, 3.5)).await.unwrap();
    stage.refuses("already-reviewed", carol.api().decline_assignment(proposal, &decline(DeclineReason::Other))).await;
    stage.stop().await;
}

#[tokio::test]
async fn declined_is_no_assignment_and_can_be_taken_back_on_sqlite() {
    declined_is_no_assignment_and_can_be_taken_back(Store::Sqlite).await;
}

#[tokio::test]
async fn declined_is_no_assignment_and_can_be_taken_back_on_postgresql() {
    declined_is_no_assignment_and_can_be_taken_back(Store::Postgres).await;
}

async fn somebody_else_ends_it_and_officers_assign_again(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let proposal = stage.under_review().await;
    let (carol, maya) = (stage.client("USA:carol"), stage.client("ISR:maya"));
    carol.api().decline_assignment(proposal, &decline(DeclineReason::Absence)).await.unwrap();
    stage.assign(&[(proposal, "ISR:yael")], false).await;
    stage.refuses("assignment-replaced", carol.api().resume_assignment(proposal)).await;
    assert!(!kinds(&stage, "USA:dana").await.contains(&ItemKind::Declined), "somebody else reviews it");
    assert!(listed(&stage, proposal, "USA:carol").await.unwrap().declined.unwrap().replaced_at.is_some());
    // It does not count against her.
    stage.assign(&[(proposal, "USA:carol")], false).await;
    assert_eq!(listed(&stage, proposal, "USA:carol").await.unwrap().declined, None);

    // An officer ends it, too, and the reviewer's role does.
    maya.api().decline_assignment(proposal, &DeclineAssignment { reason: None }).await.unwrap();
    stage.client("USA:dana").api().unassign(proposal, &id("ISR:maya")).await.unwrap();
    assert_eq!(listed(&stage, proposal, "ISR:maya").await, None);
    stage.refuses("not-found", maya.api().resume_assignment(proposal)).await;
    stage.refuses("not-assigned", stage.client("USA:dana").api().unassign(proposal, &id("ISR:maya"))).await;
    carol.api().decline_assignment(proposal, &decline(DeclineReason::Field)).await.unwrap();
    stage.client("USA:dana").grant_roles(stage.call, &id("USA:carol"), &[].into()).await.unwrap();
    stage.refuses("not-found", carol.api().resume_assignment(proposal)).await;
    stage.stop().await;
}

#[tokio::test]
async fn somebody_else_ends_it_and_officers_assign_again_on_sqlite() {
    somebody_else_ends_it_and_officers_assign_again(Store::Sqlite).await;
}

#[tokio::test]
async fn somebody_else_ends_it_and_officers_assign_again_on_postgresql() {
    somebody_else_ends_it_and_officers_assign_again(Store::Postgres).await;
}

/// Where owners release to assigned reviewers alone, who declined sees nothing meanwhile and can still take it back.
#[tokio::test]
async fn reviewer_to_whom_it_is_hidden_meanwhile_takes_it_back() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let only_assigned = "@id(\"only-assigned\") @side(\"release\") @reason(\"reviewers see what they are assigned to\") forbid(principal, \
                         action == Action::\"View\", resource) when { resource.call.reviewers.contains(principal) } \
                         unless { resource.assigned.contains(principal) };";
    stage.israel_adds(only_assigned).await;
    let carol = stage.client("USA:carol").api();
    carol.decline_assignment(proposal, &decline(DeclineReason::Time)).await.unwrap();
    stage.refuses("not-found", carol.proposal(proposal)).await;
    carol.resume_assignment(proposal).await.unwrap();
    assert!(carol.proposal(proposal).await.unwrap().mine.is_assigned);
    stage.refuses("not-found", stage.client("ISR:yael").api().resume_assignment(proposal)).await;
    stage.stop().await;
}

/// Israel shows its proposals to assigned reviewers alone: after declining, only the own machine knows what the reference names.
#[tokio::test]
async fn what_is_hidden_since_is_taken_back_by_its_reference() {
    let stage = Stage::open().await;
    let proposal = stage.under_review().await;
    let reference = stage.client("ISR:maya").api().proposal(proposal).await.unwrap().reference.to_string();
    let words = ["assignment", "decline", &reference, "--reason", "time"];
    let (code, said, notes) = run(&stage, "ISR:maya", &words).await;
    assert!(code == 0 && said.contains("declined to review"), "{said}{notes}");
    stage.refuses("not-found", stage.client("ISR:maya").api().proposal(proposal)).await;
    let words = ["assignment", "decline", &reference, "--withdraw"];
    let (code, said, notes) = run(&stage, "ISR:maya", &[&words[..], &["--dry-run"]].concat()).await;
    assert!(
        code == 0
            && said.contains(&reference)
            && said.contains("if you declined it and nobody else was assigned since"),
        "{said}{notes}"
    );
    // It is hidden by what Maya did herself, so nothing is amiss.
    assert!(!notes.contains("gone back to an older state"), "{notes}");
    let (code, said, notes) = run(&stage, "ISR:maya", &words).await;
    assert!(code == 0 && said.contains("after all"), "{said}{notes}");
    assert!(stage.client("ISR:maya").api().proposal(proposal).await.unwrap().mine.is_assigned);
    // On a machine that was never shown it, a reference names nothing.
    let (code, _, refused) = run(&stage, "ISR:yael", &words).await;
    assert!(code == 3 && !refused.contains("after all"), "{refused}");
    stage.stop().await;
}

#[tokio::test]
async fn command_says_what_follows_declines_and_takes_it_back() {
    let stage = Stage::open().await;
    let proposal = stage.under_review().await.to_string();
    let words = ["assignment", "decline", &proposal, "--reason", "time"];
    let (code, said, _) = run(&stage, "USA:carol", &[&words[..], &["--dry-run"]].concat()).await;
    assert!(code == 0 && said.contains("it is no conflict of interest") && said.contains("--withdraw"), "{said}");
    let (code, said, notes) = run(&stage, "USA:carol", &words).await;
    assert!(code == 0 && said.contains("declined to review"), "{said}{notes}");
    let (code, said, _) = run(&stage, "USA:dana", &["assignment", "list", &proposal]).await;
    assert!(code == 0 && said.contains("declined") && said.contains("(no time)"), "{said}");
    let (code, said, _) = run(&stage, "USA:dana", &["log", "--kind", "reviewer.declined"]).await;
    assert!(code == 0 && said.contains("USA:carol declined to review") && said.contains("(no time)"), "{said}");
    let (code, _, said) = run(&stage, "USA:carol", &[&words[..], &["--dry-run"]].concat()).await;
    assert!(code == 3 && said.contains("nothing is here for you"), "{said}");
    let (code, said, notes) = run(&stage, "USA:carol", &["assignment", "decline", &proposal, "--withdraw"]).await;
    assert!(code == 0 && said.contains("after all"), "{said}{notes}");
    stage.stop().await;
}
