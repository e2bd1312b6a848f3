//! What is remembered of a list never outlives what it was made of: after each thing that happens every list, narrowed by status or
//! not, holds what its reader can know of when asked for one by one.

use crate::{
    harness::stage::{Stage, id, text},
    refusals::set_aside::moves_to,
};
use entente::{
    client::api::Paging,
    domain::{
        ambient::Clock,
        id::ProposalId,
        member::CallRole,
        proposal::{Sort, Status},
    },
    wire::{call::ExtendCall, proposal::Filter},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

const READERS: [&str; 7] = ["ISR:avi", "ISR:maya", "ISR:noa", "USA:dana", "USA:carol", "USA:frank", "USA:walt"];

/// Each reader's lists.
type Lists = BTreeMap<(&'static str, Option<Status>), BTreeSet<ProposalId>>;

async fn lists_are_true(stage: &Stage, proposals: &[ProposalId], when: &str) -> Lists {
    let mut lists = Lists::new();
    for member in READERS {
        let api = stage.client(member).api();
        let mut seen = Vec::new();
        for proposal in proposals {
            seen.extend(api.proposal(*proposal).await.ok().map(|proposal| (proposal.id, proposal.status)));
        }
        for status in iter::once(None).chain(Status::ALL.iter().copied().map(Some)) {
            let filter = Filter { status, ..Filter::default() };
            let wanted = seen.iter().filter(|(_, is)| status.is_none_or(|status| *is == status));
            let wanted: BTreeSet<ProposalId> = wanted.map(|(proposal, _)| *proposal).collect();
            let page = api.proposals(&filter, Sort::Created, &Paging::default()).await.unwrap();
            let found: BTreeSet<ProposalId> = page.items.iter().map(|proposal| proposal.id).collect();
            assert_eq!(found, wanted, "{when}: {member}, {status:?}");
            let counted = api.count_proposals(&filter).await.unwrap().proposals;
            assert_eq!(counted, wanted.len() as u64, "{when}: {member}, {status:?}");
            lists.insert((member, status), wanted);
        }
    }
    lists
}

fn until(at: Timestamp) -> ExtendCall {
    serde_json::from_value(serde_json::json!({ "until": at, "reason": "a network failed" })).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_follow_everything_that_happens_at_once() {
    let stage = Stage::open().await;
    let (dana, avi) = (stage.client("USA:dana"), stage.client("ISR:avi"));
    let minute = SignedDuration::from_mins(1);
    let mut lists = vec![lists_are_true(&stage, &[], "nothing begun").await];
    let first = stage.submitted().await;
    lists.push(lists_are_true(&stage, &[first], "one handed in").await);
    // The first under a call that lists have left out so far, because nothing was begun there.
    let draft = dana.draft_call(stage.program, &text(stage.clock.now(), stage.deadline)).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    lists.push(lists_are_true(&stage, &[first], "another call").await);
    let mut joint = stage.joint();
    joint.call = call;
    let second = avi.create_proposal(&joint).await.unwrap();
    stage.join_all(&second).await.unwrap();
    let second = second.id;
    let both = [first, second];
    lists.push(lists_are_true(&stage, &both, "one begun under another call").await);
    stage.upload_all(second).await;
    stage.sign("ISR:avi", second).await;
    lists.push(lists_are_true(&stage, &both, "half signed").await);
    // A party member moves to the officer's employer, and back.
    let employer = async |member: &str| dana.issued_member(&id(member)).await.unwrap().card.organisation.clone();
    let (kinneret, of_dana, of_carol) =
        (employer("ISR:avi").await, employer("USA:dana").await, employer("USA:carol").await);
    moves_to(&stage, "ISR:avi", &of_dana).await;
    lists.push(lists_are_true(&stage, &both, "a party member at the officer's employer").await);
    moves_to(&stage, "ISR:avi", &kinneret).await;
    lists.push(lists_are_true(&stage, &both, "back again").await);

    // Nobody does anything: the time comes, on the millisecond.
    stage.clock.set(stage.deadline);
    lists.push(lists_are_true(&stage, &both, "at the deadline").await);
    stage.clock.set(stage.deadline + SignedDuration::from_millis(1));
    lists.push(lists_are_true(&stage, &both, "past the deadline").await);
    dana.api().extend_call(call, &until(stage.deadline + minute)).await.unwrap();
    lists.push(lists_are_true(&stage, &both, "extended").await);
    stage.clock.set(stage.deadline + minute + SignedDuration::from_millis(1));
    lists.push(lists_are_true(&stage, &both, "past that, too").await);
    stage.pass_the_opening();
    lists.push(lists_are_true(&stage, &both, "opened").await);

    stage.clear(first, &["USA:dana", "ISR:noa"]).await;
    stage.assign(&[(first, "USA:carol"), (first, "ISR:maya")], false).await;
    lists.push(lists_are_true(&stage, &both, "assigned").await);
    // After the deadline a party member's move keeps no reviewer away, but the reviewer's own does.
    moves_to(&stage, "ISR:avi", &of_carol).await;
    lists.push(lists_are_true(&stage, &both, "a party member at a reviewer's employer").await);
    moves_to(&stage, "USA:carol", &kinneret).await;
    lists.push(lists_are_true(&stage, &both, "a reviewer where a party member was").await);
    moves_to(&stage, "USA:carol", &of_carol).await;
    lists.push(lists_are_true(&stage, &both, "the reviewer back").await);
    let not_navigation = r#"@id("no-navigation") @side("reader") @reason("not for now")
forbid(principal, action == Action::"View", resource is Proposal) when { resource has topic && resource.topic == "navigation" };"#;
    stage.israel_adds(not_navigation).await;
    lists.push(lists_are_true(&stage, &both, "hidden by a policy").await);
    dana.grant_roles(call, &id("USA:walt"), &[CallRole::Observer].into()).await.unwrap();
    lists.push(lists_are_true(&stage, &both, "observed").await);
    stage.client("USA:frank").declare(first, Some("employment".parse().unwrap())).await.unwrap();
    lists.push(lists_are_true(&stage, &both, "a conflict").await);
    let changed = lists.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changed >= 12, "most of this changes some list: {changed}");
    stage.stop().await;
}
