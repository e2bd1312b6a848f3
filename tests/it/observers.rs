//! What an observer of a call sees by default: counts, what was done in time, extensions and recusals, and no content.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, id, review},
};
use entente::{
    client::log::{LogFilter, LogReader},
    domain::{decision::Outcome, entry::EntryKind, id::ProposalId, member::ConflictGround},
    wire::call::{Call, ExtendCall},
};
use jiff::SignedDuration;
use std::{collections::BTreeSet, time::Duration};

/// What the observer reads on the log about a proposal.
async fn kinds(stage: &Stage, proposal: ProposalId) -> BTreeSet<EntryKind> {
    let mut reader = LogReader::new(LogFilter::default(), None);
    let found = reader.rest(stage.client("USA:walt").api(), usize::MAX, Duration::ZERO).await.unwrap();
    found.entries.into_iter().filter(|entry| entry.proposal == Some(proposal)).map(|entry| entry.kind).collect()
}

/// Israel puts the starter in force; the United States has what it has, which shows rows to observers, too.
async fn israel_begins_with_the_starter(stage: &Stage) {
    let output = ended(entente(&["policy", "example"])).await;
    stage.israel_writes(&String::from_utf8(output.stdout).unwrap()).await;
}

async fn extend(stage: &Stage, proposal: Option<ProposalId>, partner: Option<&str>) -> Call {
    let body = ExtendCall {
        until: (stage.deadline + SignedDuration::from_hours(24)).into(),
        reason: "the server of one party was down".into(),
        partner: partner.map(|code| code.parse().unwrap()),
        proposal,
        reviews: false,
        dry_run: false,
    };
    stage.client("USA:dana").api().extend_call(stage.call, &body).await.unwrap().call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observer_sees_counts_times_extensions_and_recusals_once_the_starter_is_in_force() {
    let stage = Stage::open().await;
    let walt = stage.client("USA:walt");
    let proposal = stage.submitted().await;
    stage.clear(proposal, &["USA:dana"]).await;
    let call = extend(&stage, Some(proposal), None).await;
    extend(&stage, None, Some("ISR")).await;

    // Before the opening nobody but parties and officers knows what was handed in.
    israel_begins_with_the_starter(&stage).await;
    let progress = walt.api().call_progress(stage.call).await.unwrap();
    assert!(progress.proposals.is_empty() && kinds(&stage, proposal).await.is_empty(), "{progress:?}");
    let numbers = async || {
        let extensions = walt.api().extensions(stage.call).await.unwrap();
        extensions.into_iter().map(|extension| (extension.number, extension.proposal)).collect::<Vec<_>>()
    };
    assert_eq!(numbers().await, [(2, None)], "an extension for one proposal would say that it exists");

    stage.clock.set(call.sealed_until.0 + SignedDuration::from_millis(1));
    stage.clear(proposal, &["ISR:noa", "USA:frank", "ISR:eitan"]).await;
    stage.assign(&[(proposal, "USA:carol"), (proposal, "ISR:maya"), (proposal, "ISR:yael")], false).await;
    stage.clear(proposal, &["USA:carol", "ISR:maya"]).await;
    stage.client("ISR:yael").declare(proposal, Some(ConflictGround::Collaboration)).await.unwrap();
    stage.prepare_panel().await;
    stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();

    let progress = walt.api().call_progress(stage.call).await.unwrap();
    assert_eq!(progress.proposals, [("submitted".to_owned(), 1)].into(), "{progress:?}");
    assert_eq!((progress.assignments, progress.reviews, progress.decided), (2, 1, 0), "{progress:?}");
    assert_eq!(numbers().await, [(1, Some(proposal)), (2, None)]);
    let expected = [EntryKind::ProposalExtended, EntryKind::ProposalSubmitted, EntryKind::ConflictDeclared];
    assert_eq!(kinds(&stage, proposal).await, expected.into(), "and not who judges");

    // It happened: what was written, judged and decided is not for an observer.
    assert!(walt.api().manifests(proposal).await.is_err());
    assert!(walt.api().reviews(proposal).await.is_err());
    assert!(walt.api().roles(stage.call).await.is_err());
    let row = walt.api().proposal(proposal).await.unwrap();
    assert!(row.decided.is_none(), "{row:?}");

    // A nation that shows observers nothing is in no number and no entry.
    let none = "@id(\"none\") @side(\"release\") @reason(\"nothing to observers\")\n\
                forbid(principal, action, resource is Proposal) when { resource.call.observers.contains(principal) };\n";
    stage.israel_adds(none).await;
    let progress = walt.api().call_progress(stage.call).await.unwrap();
    assert!(progress.proposals.is_empty() && progress.assignments == 0, "{progress:?}");
    assert!(kinds(&stage, proposal).await.is_empty());
    assert_eq!(numbers().await, [(2, None)]);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_follows_a_call_by_the_observers_role_beside_another_or_as_a_party() {
    let stage = Stage::open().await;
    israel_begins_with_the_starter(&stage).await;
    let proposal = stage.submitted().await;
    let (dana, call) = (stage.client("USA:dana"), stage.call);
    for roles in [&["reviewer", "observer"][..], &["reviewer"]] {
        let roles = roles.iter().map(|role| role.parse().unwrap()).collect();
        dana.grant_roles(call, &id("ISR:maya"), &roles).await.unwrap();
        let refused = stage.client("ISR:maya").api().call_progress(call).await.unwrap_err();
        assert_eq!(refused.problem().map(|problem| problem.status), Some(403), "{refused}");
    }
    stage.pass_the_opening();
    dana.grant_roles(call, &id("USA:walt"), &BTreeSet::new()).await.unwrap();
    assert!(stage.client("USA:walt").api().call_progress(call).await.is_err());
    assert!(kinds(&stage, proposal).await.is_empty(), "who is no observer any longer reads nothing more");
    stage.stop().await;
}
