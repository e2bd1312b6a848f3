//! Reviews and signatures of those who may judge no longer: they stay on record, shown with the reason, and count for nothing while
//! the reason holds.

use super::lies::tamper;
use crate::harness::stage::{Stage, Step, code, id, review};
use entente::{
    client::{ExitClass, directory::NewKeyCard, ranking::Ranking},
    domain::{
        ambient::Clock,
        decision::Outcome,
        entry::EntryKind,
        id::{MemberId, ProposalId},
        member::{CallRole, ConflictGround},
        review::Points,
        set_aside::SetAside,
    },
    storage::args,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// Reviews of 5 and 5 by Carol, of 1 and 1 by Maya, which officers can open.
async fn reviewed(stage: &Stage) -> ProposalId {
    let proposal = stage.under_review().await;
    stage.client("USA:carol").submit_review(proposal, &review(5.0, 5.0)).await.unwrap();
    stage.client("ISR:maya").submit_review(proposal, &review(1.0, 1.0)).await.unwrap();
    stage.prepare_panel().await;
    proposal
}

/// Dana ranks, on a machine that asks for what is new.
async fn ranking(stage: &Stage) -> Ranking {
    stage.clock.set(stage.clock.now() + SignedDuration::from_mins(2));
    let ranking = stage.client("USA:dana").ranking(stage.call).await.unwrap();
    assert!(ranking.invalid.is_empty() && ranking.closed.is_empty(), "{ranking:?}");
    ranking
}

/// Whether Carol's review counts wherever reviews are counted, or why it does not.
async fn expect(stage: &Stage, proposal: ProposalId, carol: Option<SetAside>) {
    let (member, count) = (id("USA:carol"), if carol.is_some() { 1 } else { 2 });
    let ranking = ranking(stage).await;
    let line = &ranking.lines[0];
    let total = if carol.is_some() { 200 } else { 600 };
    assert_eq!((line.reviews, line.total), (count, Some(Points::from_hundredths(total).into())), "{carol:?}");
    let aside: BTreeMap<MemberId, SetAside> = carol.map(|why| (member.clone(), why)).into_iter().collect();
    assert_eq!((&line.set_aside, line.missing.len()), (&aside, 0));
    let dana = stage.client("USA:dana").api();
    let progress = dana.call_progress(stage.call).await.unwrap();
    assert_eq!((progress.assignments, progress.reviews), (count, count), "{carol:?}");
    let assigned = dana.assignments(proposal).await.unwrap().into_iter();
    let assigned: BTreeMap<_, _> = assigned.filter_map(|line| Some((line.reviewer, line.set_aside?))).collect();
    let listed = dana.reviews(proposal).await.unwrap().into_iter();
    let listed: BTreeMap<_, _> = listed.filter_map(|review| Some((review.reviewer, review.set_aside?))).collect();
    assert_eq!((&assigned, &listed), (&aside, &aside));
}

/// Another card for a member, of the same keys, from another employer.
pub(crate) async fn moves_to(stage: &Stage, member: &str, organisation: &str) {
    let present = stage.client("USA:dana").issued_member(&id(member)).await.unwrap().card.clone();
    // Also after a card that named no key.
    let shown = vec![stage.credential(member).certificate.clone()];
    let new = NewKeyCard { organisation: organisation.to_owned(), shown, ..NewKeyCard::like(present) };
    stage.client(&format!("{}:registrar", &member[..3])).issue_key_card(&new).await.unwrap();
}

#[tokio::test]
async fn review_counts_only_while_its_reviewer_may_judge() {
    let stage = Stage::open().await;
    let proposal = reviewed(&stage).await;
    let (dana, carol) = (stage.client("USA:dana"), id("USA:carol"));
    expect(&stage, proposal, None).await;

    stage.client("USA:carol").declare(proposal, Some(ConflictGround::Financial)).await.unwrap();
    expect(&stage, proposal, Some(SetAside::Conflict)).await;
    stage.client("ISR:noa").lift_conflict(proposal, &carol, "sold the shares").await.unwrap();
    expect(&stage, proposal, None).await;

    dana.grant_roles(stage.call, &carol, &[].into()).await.unwrap();
    expect(&stage, proposal, Some(SetAside::Role)).await;
    dana.grant_roles(stage.call, &carol, &[CallRole::Reviewer].into()).await.unwrap();
    expect(&stage, proposal, None).await;

    // Bob is of the party of the United States.
    moves_to(&stage, "USA:carol", "blue ridge NAVIGATION").await;
    expect(&stage, proposal, Some(SetAside::SameOrganisation)).await;
    moves_to(&stage, "USA:carol", "Chesapeake Research Laboratory").await;
    expect(&stage, proposal, None).await;

    stage.client("USA:registrar").revoke_key_card(&carol, true).await.unwrap();
    expect(&stage, proposal, Some(SetAside::Card)).await;
    assert_eq!(dana.api().reviews(proposal).await.unwrap().len(), 2, "it stays on record");
    stage.stop().await;
}

#[tokio::test]
async fn ranking_sets_aside_what_the_exchange_counts_and_counts_nothing_that_it_sets_aside() {
    let stage = Stage::open().await;
    let proposal = reviewed(&stage).await;
    stage.client("USA:carol").declare(proposal, Some(ConflictGround::Family)).await.unwrap();
    // The exchange forgets the conflict; what Carol signed says it all the same.
    tamper(&stage, "DELETE FROM declarations WHERE member = 'USA:carol'", args![]).await;
    let shown = stage.client("USA:dana").api().reviews(proposal).await.unwrap();
    assert!(shown.iter().all(|review| review.set_aside.is_none()), "so it says: {shown:?}");
    let line = ranking(&stage).await.lines.remove(0);
    assert_eq!(line.set_aside, [(id("USA:carol"), SetAside::Conflict)].into());

    // It says that Maya has no part any more, which nobody signed.
    tamper(&stage, "DELETE FROM call_roles WHERE member = 'ISR:maya'", args![]).await;
    let line = ranking(&stage).await.lines.remove(0);
    assert_eq!((line.reviews, line.set_aside.get(&id("ISR:maya"))), (0, Some(&SetAside::Role)));
    stage.stop().await;
}

#[tokio::test]
async fn signature_of_who_may_decide_no_longer_is_missing_and_another_decider_signs_in_its_place() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (frank, eitan, opal) = (stage.client("USA:frank"), stage.client("ISR:eitan"), stage.client("USA:opal"));
    stage.client("USA:dana").grant_roles(stage.call, &id("USA:opal"), &[CallRole::Decider].into()).await.unwrap();
    stage.clear(proposal, &["USA:opal"]).await;
    stage.prepare_panel().await;
    frank.sign_decision(proposal, Outcome::Fund).await.unwrap();
    let planned = eitan.plan_decision(proposal, Outcome::Fund).await.unwrap();
    assert!(planned.is_last());
    frank.declare(proposal, Some(ConflictGround::Employment)).await.unwrap();

    // What Eitan saw has changed since.
    stage.refuses("precondition-failed", eitan.decide(&planned)).await;
    assert!(!eitan.plan_decision(proposal, Outcome::Fund).await.unwrap().is_last());
    let open = eitan.sign_decision(proposal, Outcome::Fund).await.unwrap();
    assert_eq!((open.final_at, open.missing), (None, [code("USA")].into()));
    assert_eq!(open.signatures[&code("USA")].set_aside, Some(SetAside::Conflict));
    stage.refuses("already-signed", eitan.sign_decision(proposal, Outcome::Fund)).await;
    let last = opal.sign_decision(proposal, Outcome::Fund).await.unwrap();
    assert!(last.final_at.is_some());
    assert_eq!(last.signatures[&code("USA")].member, id("USA:opal"));
    let log = stage.log().await;
    let signed = log.iter().rfind(|entry| entry.kind == EntryKind::DecisionSigned).unwrap();
    assert!(signed.payload.contains("\"in_place_of\":\"USA:frank\""), "{}", signed.payload);
    stage.stop().await;
}

#[tokio::test]
async fn signature_that_counts_again_becomes_final_only_when_somebody_signs_again() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (frank, eitan) = (stage.client("USA:frank"), stage.client("ISR:eitan"));
    frank.sign_decision(proposal, Outcome::Fund).await.unwrap();
    frank.declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
    eitan.sign_decision(proposal, Outcome::Fund).await.unwrap();
    stage.client("ISR:noa").lift_conflict(proposal, &id("USA:frank"), "it was another Frank").await.unwrap();
    let shown = eitan.decision(proposal).await.unwrap().unwrap();
    assert_eq!((shown.final_at, shown.missing.len()), (None, 0));
    let planned = eitan.plan_decision(proposal, Outcome::Fund).await.unwrap();
    assert!(planned.is_last(), "so that it is asked about");
    assert!(eitan.decide(&planned).await.unwrap().final_at.is_some());
    stage.stop().await;
}

#[tokio::test]
async fn nobody_signs_beside_somebody_who_decides_no_longer_by_what_was_signed() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    stage.client("USA:dana").grant_roles(stage.call, &id("USA:frank"), &[].into()).await.unwrap();
    let role = "INSERT INTO call_roles (call_id, member, role, granted_by, granted_at) \
                SELECT call_id, 'USA:frank', 'decider', granted_by, granted_at FROM call_roles LIMIT 1";
    tamper(&stage, role, args![]).await;
    let signing = stage.client("ISR:eitan").sign_decision(proposal, Outcome::Fund);
    stage.declines(ExitClass::Unverified, "no longer a decider", signing).await;
    stage.stop().await;
}

#[tokio::test]
async fn party_takes_no_review_out_by_a_key_card_of_after_the_deadline() {
    let stage = Stage::open().await;
    let proposal = reviewed(&stage).await;
    let (dana, carol) = (stage.client("USA:dana"), stage.client("USA:carol"));
    let employer = dana.issued_member(&id("USA:carol")).await.unwrap().card.organisation.clone();
    moves_to(&stage, "ISR:avi", &employer).await;
    expect(&stage, proposal, None).await;
    let shown = carol.api().proposal(proposal).await.unwrap();
    assert_eq!(shown.organisations, ["Blue Ridge Navigation", "Kinneret Sensing"].map(String::from).into());
    assert_eq!(shown.later_organisations, [employer.clone()].into(), "she may see a conflict in it, and say so");

    // Nor by one that follows a card which takes everything back, or leaves serials out.
    stage.client("ISR:registrar").revoke_key_card(&id("ISR:avi"), false).await.unwrap();
    moves_to(&stage, "ISR:avi", "Elsewhere").await;
    moves_to(&stage, "ISR:avi", &employer).await;
    expect(&stage, proposal, None).await;

    // Where he worked at the deadline still counts, against a member who comes to work there.
    moves_to(&stage, "USA:carol", "KINNERET sensing").await;
    expect(&stage, proposal, Some(SetAside::SameOrganisation)).await;
    moves_to(&stage, "USA:carol", &employer).await;
    expect(&stage, proposal, None).await;
    // Nobody who judges is held up by it: reviewers read and review, and deciders sign beside each other.
    assert_eq!(carol.open_reviews(proposal).await.unwrap().reviews.len(), 2);
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    let planned = stage.client("ISR:eitan").plan_decision(proposal, Outcome::Fund).await.unwrap();
    assert!(planned.is_last());
    carol.declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
    expect(&stage, proposal, Some(SetAside::Conflict)).await;
    stage.stop().await;
}

#[tokio::test]
async fn who_joins_late_counts_for_where_they_worked_then_on_server_and_client_alike() {
    let stage = Stage::open().await;
    let proposal = reviewed(&stage).await;
    let employer = stage.client("USA:dana").issued_member(&id("USA:carol")).await.unwrap().card.organisation.clone();
    // At the deadline she worked where a reviewer does; she joins as a colleague of Avi's, and goes back.
    moves_to(&stage, "ISR:tamar", &employer).await;
    moves_to(&stage, "ISR:tamar", "Kinneret Sensing").await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    moves_to(&stage, "ISR:tamar", &employer).await;
    expect(&stage, proposal, None).await;
    let shown = stage.client("USA:carol").api().proposal(proposal).await.unwrap();
    assert_eq!(shown.joined_late.keys().collect::<Vec<_>>(), [&id("ISR:tamar")]);
    assert_eq!(shown.later_organisations, [employer].into());
    stage.stop().await;
}

#[tokio::test]
async fn nobody_leaves_a_party_after_the_deadline_who_keeps_somebody_from_judging() {
    let stage = Stage::open().await;
    let proposal = reviewed(&stage).await;
    let avi = stage.client("ISR:avi");
    moves_to(&stage, "USA:carol", "Kinneret Sensing").await;
    expect(&stage, proposal, Some(SetAside::SameOrganisation)).await;
    // By moving, letting a colleague from elsewhere in and leaving to him nobody is brought back.
    moves_to(&stage, "ISR:avi", "Galilee Optics").await;
    moves_to(&stage, "ISR:tamar", "Galilee Optics").await;
    stage.joins_late("ISR:avi", proposal, "ISR:tamar").await;
    stage.refuses("still-counted", avi.remove_member(proposal, &id("ISR:avi"))).await;
    stage.refuses("still-counted", stage.client("ISR:tamar").remove_member(proposal, &id("ISR:avi"))).await;
    expect(&stage, proposal, Some(SetAside::SameOrganisation)).await;
    // Somebody who works there joins, and he can go.
    moves_to(&stage, "ISR:approver", "Kinneret Sensing").await;
    stage.joins("ISR:tamar", proposal, "ISR:approver").await;
    avi.remove_member(proposal, &id("ISR:avi")).await.unwrap();
    expect(&stage, proposal, Some(SetAside::SameOrganisation)).await;
    stage.stop().await;
}

#[tokio::test]
async fn party_takes_no_review_out_by_whom_it_lets_join_after_the_deadline() {
    let stage = Stage::open().await;
    let proposal = reviewed(&stage).await;
    let employer = stage.client("USA:dana").issued_member(&id("USA:carol")).await.unwrap().card.organisation.clone();
    moves_to(&stage, "ISR:tamar", &employer).await;
    stage.client("ISR:avi").invite(proposal, &id("ISR:tamar")).await.unwrap();
    let tamar = stage.client("ISR:tamar");
    stage.refuses("needs-consent", tamar.accept_invitation(proposal)).await;
    expect(&stage, proposal, None).await;
    // An officer who knows what it does lets her, and she joins.
    let dana = stage.client("USA:dana").api();
    dana.consent_to_join(proposal, &id("ISR:tamar")).await.unwrap();
    dana.take_consent_back(proposal, &id("ISR:tamar")).await.unwrap();
    stage.refuses("needs-consent", tamar.accept_invitation(proposal)).await;
    dana.consent_to_join(proposal, &id("ISR:tamar")).await.unwrap();
    // It is for where she works: she cannot change that afterwards.
    moves_to(&stage, "ISR:tamar", "Elsewhere").await;
    stage.refuses("needs-consent", tamar.accept_invitation(proposal)).await;
    moves_to(&stage, "ISR:tamar", &employer).await;
    tamar.accept_invitation(proposal).await.unwrap();
    expect(&stage, proposal, Some(SetAside::SameOrganisation)).await;
    stage.refuses("not-invited", dana.take_consent_back(proposal, &id("ISR:tamar"))).await;
    stage.stop().await;
}
