//! What is decided can be undone: by all who decided, by name, with a reason, and on record.

use crate::{
    harness::{
        stage::{GRACE, NATIONS, Stage, Step, code, id, pdf, review},
        world::{Store, TestWorld},
    },
    refusals::{lies::tamper, set_aside::moves_to},
};
use entente::{
    client::{Client, ExitClass, api::Paging},
    domain::{
        ambient::Clock,
        call::Phase,
        decision::Outcome,
        entry::EntryKind,
        id::{ProposalId, Sha256},
        proposal::Status,
    },
    sealing::statement::{DecisionStatement, sign_statement},
    storage::args,
    wire::{
        call::Call,
        decision::{Decision, SignDecision},
    },
};
use jiff::SignedDuration;
use std::collections::BTreeMap;

const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Frank and Eitan sign, and it is final.
async fn decide(stage: &Stage, proposal: ProposalId, outcome: Outcome) -> Decision {
    stage.client("USA:frank").sign_decision(proposal, outcome).await.unwrap();
    let last = stage.client("ISR:eitan").sign_decision(proposal, outcome).await.unwrap();
    assert!(last.final_at.is_some(), "{last:?}");
    last
}

/// The same in place of a final one.
async fn supersede(stage: &Stage, proposal: ProposalId, outcome: Outcome, reason: &str) -> Decision {
    stage.client("USA:frank").supersede_decision(proposal, outcome, reason).await.unwrap();
    stage.client("ISR:eitan").supersede_decision(proposal, outcome, reason).await.unwrap()
}

async fn shown(client: &Client, proposal: ProposalId) -> Decision {
    client.decision(proposal).await.unwrap().unwrap()
}

fn outcomes(decision: &Decision) -> (Outcome, Vec<Outcome>, Option<Outcome>) {
    let before = decision.before.iter().map(|before| before.outcome).collect();
    (decision.outcome, before, decision.next.as_ref().map(|next| next.outcome))
}

#[tokio::test]
async fn reserve_becomes_fund_when_every_funder_signs_again() {
    use Outcome::{Fund, Reserve};
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    decide(&stage, proposal, Reserve).await;
    let (dana, avi, eitan) = (stage.client("USA:dana"), stage.client("ISR:avi"), stage.client("ISR:eitan"));
    let first = dana.send_letter(proposal, "You are on the reserve list.").await.unwrap();
    assert_eq!(outcomes(&shown(avi, proposal).await), (Reserve, vec![], None));

    let signing = stage.client("USA:frank").sign_decision(proposal, Fund);
    stage.declines(ExitClass::Usage, "the decision is final: `reserve`", signing).await;
    let why = "another award was not taken up";
    stage.client("USA:frank").supersede_decision(proposal, Fund, why).await.unwrap();
    assert_eq!(outcomes(&shown(dana, proposal).await), (Reserve, vec![], Some(Fund)), "in force until all have signed");
    assert_eq!(outcomes(&shown(avi, proposal).await), (Reserve, vec![], None), "parties hear of what is final");
    stage.client("USA:frank").unsign_decision(proposal).await.unwrap();
    assert_eq!(outcomes(&shown(dana, proposal).await), (Reserve, vec![], None), "a proposal is taken back as ever");

    stage.client("USA:frank").supersede_decision(proposal, Fund, why).await.unwrap();
    let signing = eitan.supersede_decision(proposal, Fund, "it is better than we thought");
    stage.declines(ExitClass::Usage, "because: another award was not taken up", signing).await;
    let planned = eitan.plan_decision(proposal, Fund).await.unwrap();
    assert_eq!((planned.is_last(), planned.supersedes()), (true, Some((Reserve, why))));
    let last = eitan.decide(&planned).await.unwrap();
    assert!(last.final_at.is_some() && last.reason.as_deref() == Some(why), "{last:?}");
    for member in ["ISR:avi", "USA:bob", "USA:dana", "ISR:noa", "USA:frank"] {
        assert_eq!(outcomes(&shown(stage.client(member), proposal).await), (Fund, vec![Reserve], None), "{member}");
    }
    assert!(avi.older_states().await.unwrap().is_empty(), "what he saw before is on record");
    let log = stage.log().await;
    let last = log.iter().rfind(|entry| entry.kind == EntryKind::DecisionFinal).unwrap();
    assert!(last.payload.contains(why), "{}", last.payload);

    let second = dana.send_letter(proposal, "You are funded.").await.unwrap();
    let letters = avi.api().letters(proposal).await.unwrap();
    let about: BTreeMap<_, _> = letters.iter().map(|it| (it.id, it.is_superseded)).collect();
    assert_eq!(about, [(first.id, true), (second.id, false)].into());
    for (letter, is_superseded) in about {
        assert_eq!(avi.read_letter(proposal, letter).await.unwrap().is_superseded, is_superseded);
    }
    stage.stop().await;
}

#[tokio::test]
async fn rescinded_decision_leaves_the_proposal_undecided_and_on_record() {
    use Outcome::{Decline, Fund, Rescind};
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let review = stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap().id;
    decide(&stage, proposal, Fund).await;
    let dana = stage.client("USA:dana").api();
    stage.refuses("decision-final", dana.reopen_review(review, "look again")).await;
    assert_eq!(dana.call_progress(stage.call).await.unwrap().decided, 1);
    stage.client("USA:frank").supersede_decision(proposal, Rescind, "a conflict came to light").await.unwrap();
    stage.refuses("decision-final", dana.reopen_review(review, "look again")).await;
    stage.client("ISR:eitan").sign_decision(proposal, Rescind).await.unwrap();

    assert_eq!(dana.call_progress(stage.call).await.unwrap().decided, 0);
    dana.reopen_review(review, "look again").await.unwrap();
    assert_eq!(outcomes(&shown(stage.client("ISR:avi"), proposal).await), (Rescind, vec![Fund], None));
    // As at the first time nobody has to say why.
    let last = decide(&stage, proposal, Decline).await;
    assert_eq!(outcomes(&last), (Decline, vec![Fund, Rescind], None));
    stage.stop().await;
}

#[tokio::test]
async fn decision_is_superseded_by_who_names_it_only() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let frank = stage.client("USA:frank");
    let manifest_sha256 = frank.api().proposal(proposal).await.unwrap().manifest_sha256.unwrap();
    let sign = async |outcome: Outcome, supersedes: Option<Sha256>, reason: Option<&'static str>| {
        let (partner, reason) = (code("USA"), reason.map(str::to_owned));
        let said = DecisionStatement { proposal, manifest_sha256, outcome, partner, supersedes, reason };
        let decision = sign_statement(&*frank.signer().unwrap(), &said).unwrap();
        frank.api().sign_decision(proposal, &SignDecision { decision }, None).await
    };
    let (why, another) = (Some("an error"), Some(Sha256::of(b"another")));
    stage.refuses("no-decision", sign(Outcome::Rescind, None, None)).await;
    stage.refuses("statement-invalid", sign(Outcome::Fund, another, why)).await;
    decide(&stage, proposal, Outcome::Fund).await;
    stage.refuses("decision-final", sign(Outcome::Decline, None, None)).await;
    stage.refuses("statement-invalid", sign(Outcome::Decline, another, why)).await;
    supersede(&stage, proposal, Outcome::Decline, "an error").await;
    stage.refuses("decision-final", frank.unsign_decision(proposal)).await;
    stage.stop().await;
}

#[tokio::test]
async fn history_of_a_decision_that_nobody_signed_is_not_believed() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    decide(&stage, proposal, Outcome::Reserve).await;
    supersede(&stage, proposal, Outcome::Fund, "money became free").await;
    let avi = stage.client("ISR:avi");
    tamper(&stage, "UPDATE decisions SET outcome = 'decline' WHERE supersedes IS NULL", args![]).await;
    stage.declines(ExitClass::Unverified, "does not follow from the one before", avi.decision(proposal)).await;
    tamper(&stage, "UPDATE decisions SET outcome = 'reserve' WHERE supersedes IS NULL", args![]).await;
    shown(avi, proposal).await;
    tamper(&stage, "UPDATE decisions SET reason = 'a favour' WHERE supersedes IS NOT NULL", args![]).await;
    stage.declines(ExitClass::Unverified, "not the decision that is shown", avi.decision(proposal)).await;
    stage.stop().await;
}

async fn status(stage: &Stage, proposal: ProposalId) -> Status {
    stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status
}

#[tokio::test]
async fn joint_proposal_that_all_signed_is_withdrawn_by_all() {
    let stage = Stage::open().await;
    let (avi, bob) = (stage.client("ISR:avi").api(), stage.client("USA:bob").api());
    let alone = stage.prepared().await;
    avi.withdraw_proposal(alone).await.unwrap();
    assert_eq!(status(&stage, alone).await, Status::Withdrawn, "before all have signed it takes one");

    let proposal = stage.submitted().await;
    avi.withdraw_proposal(proposal).await.unwrap();
    stage.refuses("already-wished", avi.withdraw_proposal(proposal)).await;
    let shown = bob.proposal(proposal).await.unwrap();
    let wishes: Vec<_> = shown.withdrawal.iter().map(|(party, wish)| (party.clone(), wish.member.clone())).collect();
    assert_eq!((shown.status, wishes), (Status::Submitted, vec![(code("ISR"), id("ISR:avi"))]));
    assert!(stage.client("USA:dana").api().proposal(proposal).await.unwrap().withdrawal.is_empty(), "for the parties");
    avi.reinstate_proposal(proposal).await.unwrap();
    stage.refuses("wrong-status", avi.reinstate_proposal(proposal)).await;
    // A member who signs a newer version takes back their wish to withdraw the one before.
    avi.withdraw_proposal(proposal).await.unwrap();
    stage.put("ISR:avi", proposal, "work-plan", &stage.file("newer.pdf", &pdf("a newer plan"))).await;
    stage.sign("ISR:avi", proposal).await;
    assert!(avi.proposal(proposal).await.unwrap().withdrawal.is_empty());
    bob.withdraw_proposal(proposal).await.unwrap();
    assert_eq!(status(&stage, proposal).await, Status::Submitted, "a wish that was taken back is none");
    avi.withdraw_proposal(proposal).await.unwrap();
    assert_eq!(status(&stage, proposal).await, Status::Withdrawn);

    // What is withdrawn by all stands again as soon as one of them does not wish it any more, until the deadline.
    bob.reinstate_proposal(proposal).await.unwrap();
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    bob.withdraw_proposal(proposal).await.unwrap();
    stage.pass_the_opening();
    stage.refuses("deadline-passed", bob.reinstate_proposal(proposal)).await;
    stage.stop().await;
}

#[tokio::test]
async fn winner_steps_back_and_the_decision_stays_on_record() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    decide(&stage, proposal, Outcome::Fund).await;
    let (avi, bob, dana) = (stage.client("ISR:avi"), stage.client("USA:bob"), stage.client("USA:dana"));
    bob.api().withdraw_proposal(proposal).await.unwrap();
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    avi.api().withdraw_proposal(proposal).await.unwrap();
    assert_eq!(status(&stage, proposal).await, Status::Withdrawn);
    for client in [avi, dana] {
        assert_eq!(client.api().decision(proposal).await.unwrap().unwrap().body.outcome, Outcome::Fund);
    }
    stage.stop().await;
}

#[tokio::test]
async fn nobody_steps_back_from_what_was_declined() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    decide(&stage, proposal, Outcome::Decline).await;
    stage.refuses("decision-final", stage.client("ISR:avi").api().withdraw_proposal(proposal)).await;
    stage.stop().await;
}

/// The call as it is once Dana has brought it back, and the numbers of the extensions in force.
async fn reopened(stage: &Stage) -> (Call, Vec<u32>) {
    let call = stage.client("USA:dana").api().reopen_call(stage.call, "there is money after all").await.unwrap();
    let extensions = stage.client("USA:bob").api().extensions(stage.call).await.unwrap();
    (call, extensions.iter().map(|extension| extension.number).collect())
}

async fn cancel(stage: &Stage) {
    stage.client("ISR:noa").api().cancel_call(stage.call, "no money this year").await.unwrap();
}

/// One officer of any nation ends the call at whatever instant; another one brings it back, and nobody is short of time because of it.
async fn cancelled_call_is_brought_back_with_three_days_for_everybody(store: Store) {
    let Some(world) = TestWorld::start(NATIONS, store).await else { return };
    let stage = Stage::open_in(world).await;
    let (dana, bob) = (stage.client("USA:dana"), stage.client("USA:bob"));
    stage.refuses("wrong-phase", dana.api().reopen_call(stage.call, "it is open")).await;
    let proposal = stage.prepared().await;
    cancel(&stage).await;
    stage.refuses("denied", bob.api().reopen_call(stage.call, "please")).await;
    stage.refuses("malformed", dana.api().reopen_call(stage.call, " ")).await;
    stage.clock.set(stage.deadline - HOUR * 72);
    let (call, extensions) = reopened(&stage).await;
    assert_eq!(
        (call.phase, call.deadline_at.0, extensions),
        (Phase::Open, stage.deadline, vec![]),
        "three days are left"
    );
    let told = bob.api().entries(&[EntryKind::CallReopened], &Paging::default()).await.unwrap().items;
    assert!(told.len() == 1 && told[0].payload.contains("there is money after all"), "{told:?}");

    cancel(&stage).await;
    stage.clock.set(stage.deadline - HOUR * 72 + MILLISECOND);
    let (call, extensions) = reopened(&stage).await;
    assert_eq!((call.deadline_at.0, extensions), (stage.deadline + MILLISECOND, vec![1]));
    let told = bob.api().entries(&[EntryKind::CallExtended], &Paging::default()).await.unwrap().items;
    assert!(told.len() == 1 && told[0].payload.contains("there is money after all"), "{told:?}");

    // At the last instant, for longer than the call would have been sealed.
    stage.clock.set(stage.deadline + MILLISECOND);
    cancel(&stage).await;
    stage.clock.set(stage.deadline + HOUR * 240);
    let (call, extensions) = reopened(&stage).await;
    let deadline = stage.deadline + HOUR * 312;
    assert_eq!((call.phase, call.deadline_at.0, extensions), (Phase::Open, deadline, vec![1, 2]));
    let kept = dana.api().withdraw_extension(stage.call, 2, "no more than was lost");
    stage.refuses("extension-relied-on", kept).await;
    stage.clock.set(deadline);
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    assert_eq!(status(&stage, proposal).await, Status::Submitted);

    // At the end of the grace period.
    stage.clock.set(deadline + GRACE);
    cancel(&stage).await;
    stage.clock.set(deadline + GRACE + HOUR);
    let (call, extensions) = reopened(&stage).await;
    let deadline = deadline + GRACE + HOUR * 73;
    assert_eq!((call.phase, call.deadline_at.0, extensions), (Phase::Open, deadline, vec![1, 2, 3]));
    assert_eq!(call.reviews_due_at.0, stage.deadline + HOUR * (24 * 45), "it is far enough away");

    // Nothing is closed again that was open to those who judge.
    stage.clock.set(deadline + GRACE + MILLISECOND);
    cancel(&stage).await;
    let (call, extensions) = reopened(&stage).await;
    assert_eq!((call.phase, call.deadline_at.0, extensions), (Phase::Review, deadline, vec![1, 2, 3]));
    stage.stop().await;
}

#[tokio::test]
async fn cancelled_call_is_brought_back_with_three_days_for_everybody_on_sqlite() {
    cancelled_call_is_brought_back_with_three_days_for_everybody(Store::Sqlite).await;
}

#[tokio::test]
async fn cancelled_call_is_brought_back_with_three_days_for_everybody_on_postgres() {
    cancelled_call_is_brought_back_with_three_days_for_everybody(Store::Postgres).await;
}

#[tokio::test]
async fn key_cards_count_again_for_a_call_that_is_brought_back_past_its_deadline() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.clock.set(stage.deadline);
    cancel(&stage).await;
    stage.clock.set(stage.deadline + HOUR);
    moves_to(&stage, "ISR:avi", "Galil Optics").await;
    reopened(&stage).await;
    let shown = stage.client("USA:bob").api().proposal(proposal).await.unwrap();
    assert_eq!(shown.organisations, ["Blue Ridge Navigation", "Galil Optics"].map(String::from).into());
    assert!(shown.later_organisations.is_empty(), "{:?}", shown.later_organisations);
    stage.stop().await;
}

#[tokio::test]
async fn call_that_was_cancelled_under_review_is_brought_back_whenever() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let due = stage.deadline + HOUR * (24 * 45);
    cancel(&stage).await;
    // Nothing of it is open to reviewers meanwhile.
    stage.refuses("not-found", stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0))).await;
    stage.clock.set(stage.clock.now() + HOUR * (24 * 20));
    let (call, extensions) = reopened(&stage).await;
    assert_eq!((call.phase, call.reviews_due_at.0, extensions), (Phase::Review, due, vec![]));
    // Reviewers are not short of time because of it, either.
    stage.clock.set(due);
    cancel(&stage).await;
    stage.clock.set(due + HOUR);
    let (call, extensions) = reopened(&stage).await;
    assert_eq!((call.reviews_due_at.0, extensions), (due + HOUR * 73, vec![1]));
    assert_eq!((call.phase, call.deadline_at.0), (Phase::Review, stage.deadline));
    stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    // What was past then stays so.
    stage.clock.set(due + HOUR * 74);
    cancel(&stage).await;
    assert_eq!(reopened(&stage).await.1, [1]);
    stage.stop().await;
}
