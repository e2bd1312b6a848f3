//! What reviewers and deciders are refused: what they are in conflict with, what they have not declared upon, scores off the
//! scale, versions that no longer stand, and two outcomes at once.

use crate::harness::{
    census::is_act,
    stage::{Stage, Step, code, id, pdf, quiet, review, slug},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{ClientError, ExitClass, verified::VersionChoice},
    domain::{
        ambient::{SystemClock, SystemRng},
        decision::Outcome,
        entry::EntryKind,
        id::{ProposalId, Sha256},
        member::{CallRole, ConflictGround},
        vault::VaultKind,
    },
    sealing::{
        identity::new_identity,
        seal::seal_bytes,
        statement::{DecisionStatement, ReviewStatement, sign_statement},
    },
    storage::args,
    wire::{
        decision::SignDecision,
        review::{Review, SubmitReview},
    },
};
use reqwest::Method;
use std::collections::BTreeSet;

/// A review of a version by somebody, well formed and signed, whether or not they may hand it in.
async fn review_of(stage: &Stage, reviewer: &str, proposal: ProposalId, manifest: Sha256) -> SubmitReview {
    let sealed = seal_bytes(&[new_identity().recipient().to_owned()], b"{}").unwrap();
    signed_review(stage, reviewer, proposal, manifest, &sealed).await
}

async fn signed_review(
    stage: &Stage,
    reviewer: &str,
    proposal: ProposalId,
    manifest: Sha256,
    sealed: &[u8],
) -> SubmitReview {
    let statement = ReviewStatement {
        proposal,
        manifest_sha256: manifest,
        call_text_sha256: stage.client("USA:dana").api().call(stage.call).await.unwrap().body.text_sha256,
        reviewer: id(reviewer),
        revision: 1,
        sha256: Sha256::of(sealed),
    };
    let key = stage.client(reviewer).signer().unwrap();
    SubmitReview { statement: sign_statement(&*key, &statement).unwrap(), ciphertext: BASE64_STANDARD.encode(sealed) }
}

async fn hand_in(
    stage: &Stage,
    reviewer: &str,
    proposal: ProposalId,
    body: &SubmitReview,
) -> Result<Review, ClientError> {
    stage.client(reviewer).api().submit_review(proposal, body).await
}

async fn standing(stage: &Stage, proposal: ProposalId) -> Sha256 {
    stage.client("USA:dana").api().proposal(proposal).await.unwrap().manifest_sha256.unwrap()
}

#[tokio::test]
async fn review_in_conflict_is_refused_as_if_the_proposal_did_not_exist() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.assign(&[(proposal, "ISR:yael")], false).await;
    let yael = stage.client("ISR:yael");
    yael.declare(proposal, Some(ConflictGround::Financial)).await.unwrap();
    let body = review_of(&stage, "ISR:yael", proposal, standing(&stage, proposal).await).await;
    stage.refuses("not-found", hand_in(&stage, "ISR:yael", proposal, &body)).await;
    stage.refuses("not-found", yael.submit_review(proposal, &review(3.0, 3.0))).await;
    stage.refuses("not-found", yael.declare(proposal, None)).await;

    // Byte for byte the answer about what never was.
    let raw = stage.raw(Some(stage.credential("ISR:yael")));
    let absent = ProposalId::new(&SystemClock, &SystemRng);
    let mut answers = Vec::new();
    for id in [proposal, absent] {
        let path = format!("/v1/proposals/{id}/reviews");
        let request = raw.request(Method::POST, &path).header("Idempotency-Key", "hidden").json(&body);
        let response = request.send().await.unwrap();
        let headers: Vec<_> = response.headers().keys().map(ToString::to_string).collect();
        answers.push((response.status(), headers, response.text().await.unwrap()));
    }
    assert_eq!(answers[0], answers[1]);
    stage.stop().await;
}

#[tokio::test]
async fn reviewer_declares_before_reading_or_reviewing() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.assign(&[(proposal, "ISR:yael")], false).await;
    let yael = stage.client("ISR:yael");
    let body = review_of(&stage, "ISR:yael", proposal, standing(&stage, proposal).await).await;
    stage.refuses("not-declared", hand_in(&stage, "ISR:yael", proposal, &body)).await;
    stage.refuses("not-declared", yael.manifest(proposal, VersionChoice::Standing)).await;
    stage.refuses("not-declared", yael.submit_review(proposal, &review(3.0, 3.0))).await;
    stage.clear(proposal, &["ISR:yael"]).await;
    hand_in(&stage, "ISR:yael", proposal, &body).await.unwrap();
    stage.refuses("already-reviewed", hand_in(&stage, "ISR:yael", proposal, &body)).await;
    stage.stop().await;
}

#[tokio::test]
async fn score_off_the_scale_does_not_leave_the_reviewers_machine() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let carol = stage.client("USA:carol");
    for wrong in [review(5.5, 4.0), review(4.0, 3.3), review(4.0, -1.0)] {
        stage.declines(ExitClass::Usage, "is scored", carol.submit_review(proposal, &wrong)).await;
    }
    let mut partial = review(4.0, 4.0);
    partial.scores.pop_last();
    stage.declines(ExitClass::Usage, "impact", carol.submit_review(proposal, &partial)).await;
    stage.stop().await;
}

#[tokio::test]
async fn review_of_a_version_that_no_longer_stands_is_refused() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let first = standing(&stage, proposal).await;
    stage.put("USA:bob", proposal, "work-plan", &stage.file("again.pdf", &pdf("again"))).await;
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    stage.assign(&[(proposal, "USA:carol")], false).await;
    stage.clear(proposal, &["USA:carol"]).await;
    stage.prepare_panel().await;
    let old = review_of(&stage, "USA:carol", proposal, first).await;
    stage.refuses("other-version", hand_in(&stage, "USA:carol", proposal, &old)).await;
    // Nor can it be handed in for somebody else.
    let others = review_of(&stage, "ISR:maya", proposal, standing(&stage, proposal).await).await;
    stage.refuses("statement-invalid", hand_in(&stage, "USA:carol", proposal, &others)).await;
    stage.stop().await;
}

#[tokio::test]
async fn of_two_outcomes_decided_at_once_one_stands() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let manifest_sha256 = standing(&stage, proposal).await;
    let decision = |member: &str, outcome| {
        let partner = id(member).partner().clone();
        let statement =
            DecisionStatement { proposal, manifest_sha256, outcome, partner, supersedes: None, reason: None };
        let key = stage.client(member).signer().unwrap();
        SignDecision { decision: sign_statement(&*key, &statement).unwrap() }
    };
    let (fund, decline) = (decision("USA:frank", Outcome::Fund), decision("ISR:eitan", Outcome::Decline));
    let (frank, eitan) = (stage.client("USA:frank").api(), stage.client("ISR:eitan").api());
    let (one, other) =
        tokio::join!(frank.sign_decision(proposal, &fund, None), eitan.sign_decision(proposal, &decline, None));
    let (won, lost, winner) = match (one, other) {
        (Ok(won), Err(lost)) => (won, lost, "USA:frank"),
        (Err(lost), Ok(won)) => (won, lost, "ISR:eitan"),
        both => panic!("one was to win: {both:?}"),
    };
    assert_eq!(lost.slug(), Some("decision-differs"));
    assert_eq!((won.body.final_at, won.body.signatures.len()), (None, 1));
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    for (table, count) in [
        ("decisions", "SELECT COUNT(*) AS n FROM decisions"),
        ("decision_signatures", "SELECT COUNT(*) AS n FROM decision_signatures"),
    ] {
        assert_eq!(tx.fetch_one(count, args![]).await.unwrap().count("n").unwrap(), 1, "{table}");
    }
    drop(tx);
    let log = stage.log().await;
    let signed: Vec<_> = log.iter().filter(|entry| is_act(entry) && entry.kind == EntryKind::DecisionSigned).collect();
    assert_eq!(signed.iter().map(|entry| entry.actor.clone().unwrap()).collect::<Vec<_>>(), [id(winner)]);

    // Who lost sees what is on the table and may join it; then nothing moves it any more.
    let loser = if winner == "USA:frank" { "ISR:eitan" } else { "USA:frank" };
    let joined = stage.client(loser).sign_decision(proposal, won.body.outcome).await.unwrap();
    assert!(joined.final_at.is_some());
    stage.refuses("decision-final", stage.client(winner).unsign_decision(proposal)).await;
    stage.stop().await;
}

#[tokio::test]
async fn letter_waits_for_the_decision_to_be_final() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let dana = stage.client("USA:dana");
    stage.declines(ExitClass::Usage, "not final", dana.send_letter(proposal, "Dear all")).await;
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    stage.declines(ExitClass::Usage, "not final", dana.send_letter(proposal, "Dear all")).await;
    let out = stage.plan.dir.join("never.pdf");
    let (slot, party, carol) = (slug("shareholders"), code("ISR"), stage.client("USA:carol"));
    let opening = carol.open_document(proposal, &slot, Some(&party), VersionChoice::Standing, &out, quiet());
    stage.declines(ExitClass::Usage, "does not show", opening).await;
    assert!(!out.exists());
    stage.stop().await;
}

#[tokio::test]
async fn officer_declares_before_assigning_reopening_or_giving_more_time() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (olivia, carol) = (stage.client("USA:olivia"), stage.client("USA:carol"));
    let review = carol.submit_review(proposal, &review(4.0, 4.0)).await.unwrap().id;
    let pair = [(proposal, id("ISR:yael"))];
    stage.refuses("lines-refused", olivia.assign(stage.call, &pair, false)).await;
    let tried = olivia.assign(stage.call, &pair, true).await.unwrap();
    assert_eq!(tried.faults[0].problem, "not-declared");
    stage.refuses("not-declared", olivia.api().unassign(proposal, &id("ISR:maya"))).await;
    let refused = olivia.api().unassign(proposal, &id("ISR:maya")).await.unwrap_err().problem().unwrap().clone();
    assert!(refused.remedy.contains("`entente conflict declare PROPOSAL --none`"), "{}", refused.remedy);
    assert!(refused.remedy.contains("`PUT /v1/proposals/{proposal}/declaration`"), "{}", refused.remedy);
    // Whether there is such a review is not for her before.
    stage.refuses("not-found", olivia.api().reopen_review(review, "once more")).await;

    stage.clear(proposal, &["USA:olivia"]).await;
    olivia.assign(stage.call, &pair, false).await.unwrap();
    olivia.api().unassign(proposal, &id("ISR:maya")).await.unwrap();
    olivia.api().reopen_review(review, "once more").await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn nation_with_an_officer_names_and_recalls_its_deciders_itself() {
    let stage = Stage::open().await;
    let (dana, noa) = (stage.client("USA:dana"), stage.client("ISR:noa"));
    let decides = |roles: &[CallRole]| roles.iter().copied().collect::<BTreeSet<_>>();
    let tamar = id("ISR:tamar");
    stage.refuses("denied", dana.grant_roles(stage.call, &tamar, &decides(&[CallRole::Decider]))).await;
    // Nor in company of a role that is hers to give, nor by taking away what Israel gave.
    let both = decides(&[CallRole::Decider, CallRole::Observer]);
    stage.refuses("denied", dana.grant_roles(stage.call, &tamar, &both)).await;
    for member in ["ISR:eitan", "ISR:noa"] {
        stage.refuses("denied", dana.grant_roles(stage.call, &id(member), &[].into())).await;
        let other = decides(&[CallRole::Observer]);
        stage.refuses("denied", dana.grant_roles(stage.call, &id(member), &other)).await;
    }
    noa.grant_roles(stage.call, &tamar, &decides(&[CallRole::Decider])).await.unwrap();
    noa.grant_roles(stage.call, &id("ISR:eitan"), &[].into()).await.unwrap();
    let holders = dana.api().roles(stage.call).await.unwrap();
    let deciders = holders.iter().filter(|holder| holder.roles.contains(&CallRole::Decider));
    let deciders: Vec<_> = deciders.map(|holder| holder.member.to_string()).collect();
    assert_eq!(deciders, ["ISR:tamar", "USA:frank"]);
    stage.stop().await;
}

#[tokio::test]
async fn review_that_its_reviewer_sealed_broken_off_stops_no_ranking() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.client("ISR:maya").submit_review(proposal, &review(3.0, 4.0)).await.unwrap();
    let vaults = stage.client("USA:carol").api().vaults(proposal).await.unwrap();
    let vault = vaults.iter().find(|vault| vault.kind == VaultKind::Deliberation).unwrap();
    // Whole pieces of 64 KiB, and the last one is missing.
    let mut sealed = seal_bytes(std::slice::from_ref(&vault.recipient), &vec![b' '; (64 << 10) + 100]).unwrap();
    sealed.truncate(sealed.len() - 116);
    let body = signed_review(&stage, "USA:carol", proposal, standing(&stage, proposal).await, &sealed).await;
    hand_in(&stage, "USA:carol", proposal, &body).await.unwrap();
    let ranking = stage.client("USA:dana").ranking(stage.call).await.unwrap();
    let invalid: Vec<_> = ranking.invalid.iter().map(|invalid| invalid.reviewer.to_string()).collect();
    assert_eq!((ranking.lines.len(), invalid), (1, vec!["USA:carol".to_owned()]));
    stage.stop().await;
}
