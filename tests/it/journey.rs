//! One call from draft to letter, as the members live it: what each act leaves in the log, what each role sees after it, and
//! that asking again does nothing twice. The same on both engines.

mod access;
mod detours;

use crate::harness::{
    census::is_act,
    stage::{GRACE, NATIONS, Stage, code, id, pdf, quiet, review, slug, text},
    world::{Raw, Store, TestWorld},
};
use access::Onlookers;
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{api::Paging, verified::VersionChoice},
    domain::{
        ambient::Clock,
        call::{AmendmentEffect, Phase},
        decision::Outcome,
        entry::{EntryKind, Readers},
        id::{ProposalId, Sha256},
        member::ConflictGround,
        proposal::Status,
        review::Points,
    },
    wire::{AGE_MEDIA_TYPE, call::ExtendCall, entry::Entry},
};
use jiff::SignedDuration;
use reqwest::{Method, RequestBuilder};
use std::collections::BTreeSet;

/// Reads the log on from where it stopped.
#[derive(Default)]
struct Chronicle {
    read: usize,
}

impl Chronicle {
    /// Reads on from the log's present end.
    async fn from_here(world: &TestWorld) -> Self {
        Self { read: world.log().await.len() }
    }

    /// Asserts which acts were recorded since, in order; `name ×n` stands for n in a row. Looks at sealed things are left out.
    async fn expect(&mut self, world: &TestWorld, expected: &[&str]) {
        let log = world.log().await;
        let mut found: Vec<(String, usize)> = Vec::new();
        for entry in log[self.read..].iter().filter(|entry| is_act(entry)) {
            match found.last_mut() {
                Some((kind, times)) if kind == entry.kind.as_str() => *times += 1,
                _ => found.push((entry.kind.to_string(), 1)),
            }
        }
        self.read = log.len();
        let told = |(kind, times): (String, usize)| if times == 1 { kind } else { format!("{kind} ×{times}") };
        assert_eq!(found.into_iter().map(told).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn cycle_from_draft_to_letter_on_sqlite() {
    Box::pin(journey(TestWorld::start(NATIONS, Store::Sqlite).await.unwrap())).await;
}

#[tokio::test]
async fn cycle_from_draft_to_letter_on_postgres() {
    // Without PostgreSQL the harness has said so, or failed if it is required.
    if let Some(world) = TestWorld::start(NATIONS, Store::Postgres).await {
        Box::pin(journey(world)).await;
    }
}

async fn journey(world: TestWorld) {
    let (mut log, all) = (Chronicle::default(), Onlookers::new(&world));
    let mut founding = vec!["partner.enrolled ×3", "key_card.published ×23"];
    founding.extend(["policy.proposed", "policy.approved"].repeat(3));
    log.expect(&world, &founding).await;
    let stage = publication(world, &mut log).await;
    let proposal = preparation(&stage, &mut log, &all).await;
    changes_of_the_call(&stage, &mut log, &all, proposal).await;
    hand_over(&stage, &mut log, &all, proposal).await;
    commitment(&stage, &mut log, &all, proposal).await;
    opening(&stage, &mut log, &all, proposal).await;
    assignment(&stage, &mut log, &all, proposal).await;
    reviews(&stage, &mut log, &all, proposal).await;
    decision(&stage, &mut log, &all, proposal).await;
    letters(&stage, &mut log, &all, proposal).await;
    log_is_whole_and_each_reads_their_part(&stage, proposal).await;
    filter_of_the_log_leaves_out_other_kinds_and_nothing_else(&stage).await;
    crate::lists::acts_kept_what_lists_go_by(&stage.server.exchange.db).await;
    stage.stop().await;
}

async fn publication(world: TestWorld, log: &mut Chronicle) -> Stage {
    let program = Stage::program(&world).await;
    let now = world.clock.now();
    let deadline = now + SignedDuration::from_hours(24 * 30);
    let (dana, avi) = (world.client("USA:dana"), world.client("ISR:avi"));
    let mut first = text(now, deadline);
    first.title = "Working title".into();
    let draft = dana.draft_call(program, &first).await.unwrap();
    assert_eq!((draft.phase, draft.version), (Phase::Draft, 0));
    assert_eq!(avi.api().call(draft.id).await.unwrap_err().slug(), Some("not-found"), "a draft is its officers' own");
    dana.edit_call(draft.id, &text(now, deadline)).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap();
    assert_eq!((call.phase, call.version, call.deadline_at.0), (Phase::Open, 1, deadline));
    assert_eq!(avi.call(call.id).await.unwrap().text.title, "Joint industrial research");
    let minjun = world.client("KOR:minjun").api().call(call.id).await;
    assert_eq!(minjun.unwrap_err().slug(), Some("not-found"), "Korea takes no part");
    let published =
        ["program.created", "call.drafted", "call.edited", "vault.created", "key.wrapped", "call.published"];
    log.expect(&world, &published).await;
    let stage = Stage::around(world, program, call.id, deadline);
    stage.grant().await;
    let granted = ["call.role_granted", "key.wrapped", "call.role_granted", "key.wrapped", "call.role_granted ×6"];
    log.expect(&stage, &granted).await;
    stage
}

async fn preparation(stage: &Stage, log: &mut Chronicle, all: &Onlookers) -> ProposalId {
    let proposal = stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap();
    assert_eq!(proposal.status, Status::Preparing);
    let begun = [
        "proposal.created",
        "proposal.member_invited",
        "vault.created",
        "key.wrapped ×3",
        "vault.created",
        "key.wrapped ×3",
        "vault.created",
        "key.wrapped ×2",
    ];
    log.expect(stage, &begun).await;
    stage.join_all(&proposal).await.unwrap();
    log.expect(stage, &["proposal.member_joined"]).await;
    let proposal = proposal.id;
    stage.upload_all(proposal).await;
    log.expect(stage, &["document.stored ×3", "vault.created", "key.wrapped ×2", "document.stored"]).await;
    let (avi, bob): (&[&str], &[&str]) = (&["ISR:avi"], &["USA:bob"]);
    all.see(stage, proposal, &[(avi, "preparing swi pli - - 0"), (bob, "preparing swu plu - - 0")]).await;
    stage.sign("ISR:avi", proposal).await;
    let half = stage.client("USA:bob").api().proposal(proposal).await.unwrap();
    assert_eq!((half.status, half.version), (Status::Preparing, None));
    assert_eq!(half.pending.unwrap().awaiting_signatures, [code("USA")].into());
    stage.sign("USA:bob", proposal).await;
    log.expect(stage, &["manifest.signed ×2", "proposal.submitted"]).await;
    let officers: &[&str] = &["USA:dana", "ISR:noa", "USA:olivia"];
    let expected =
        [(avi, "submitted swi pli - - 0"), (bob, "submitted swu plu - - 0"), (officers, "submitted - - - - -")];
    all.see(stage, proposal, &expected).await;
    proposal
}

async fn changes_of_the_call(stage: &Stage, log: &mut Chronicle, all: &Onlookers, proposal: ProposalId) {
    let dana = stage.client("USA:dana");
    let mut clarified = dana.call(stage.call).await.unwrap().text.clone();
    clarified.text.push_str(" Work begins within a year.");
    let amended = dana.amend_call(stage.call, &clarified, "a question was asked", None).await.unwrap();
    assert_eq!((amended.effect, amended.voided, amended.call.version), (AmendmentEffect::Keeps, 0, 2));
    let stands = stage.client("ISR:avi").manifest(proposal, VersionChoice::Standing).await.unwrap();
    assert!(!stands.is_current_text, "it stands, bound to the text it was signed under");
    log.expect(stage, &["call.amended"]).await;

    let mut stricter = clarified;
    stricter.criteria[1].threshold = Some(3.5);
    let tried = dana.preview_amendment(stage.call, &stricter, "the funders agreed").await.unwrap();
    assert_eq!((tried.effect, tried.voided, tried.call.version), (AmendmentEffect::Resubmit, 1, 2));
    log.expect(stage, &[]).await;
    for other in [None, Some(0), Some(2)] {
        stage.refuses("voids-differ", dana.amend_call(stage.call, &stricter, "the funders agreed", other)).await;
    }
    dana.amend_call(stage.call, &stricter, "the funders agreed", Some(1)).await.unwrap();
    let (avi, bob): (&[&str], &[&str]) = (&["ISR:avi"], &["USA:bob"]);
    all.see(stage, proposal, &[(avi, "preparing swi pli - - 0"), (bob, "preparing swu plu - - 0")]).await;
    stage.sign("USA:bob", proposal).await;
    stage.sign("ISR:avi", proposal).await;
    assert_eq!(dana.api().proposal(proposal).await.unwrap().version, Some(2));
    log.expect(stage, &["call.amended", "manifest.signed ×2", "proposal.submitted"]).await;

    let by_a_day = ExtendCall {
        until: (stage.deadline + SignedDuration::from_hours(24)).into(),
        reason: "an outage at the partner".into(),
        partner: Some(code("ISR")),
        proposal: None,
        reviews: false,
        dry_run: false,
    };
    let extend = |key: &str, body: &ExtendCall| {
        let path = format!("/v1/calls/{}/extend", stage.call);
        let connection = stage.raw(Some(stage.credential("USA:dana")));
        connection.request(Method::POST, &path).header("Idempotency-Key", key).json(body)
    };
    same_answer_twice(|| extend("extension", &by_a_day)).await;
    let other = ExtendCall { reason: "another reason".into(), ..by_a_day.clone() };
    stage.refuses_raw(422, "idempotency-key-reused", extend("extension", &other)).await;
    log.expect(stage, &["call.extended"]).await;
    let extended = dana.api().proposal(proposal).await.unwrap();
    assert_eq!(extended.deadline_at, by_a_day.until);
    let call = stage.client("KOR:minjun").api().call(stage.call).await;
    assert!(call.is_err(), "an outsider learns of none of this");
    assert_eq!(dana.api().call(stage.call).await.unwrap().body.deadline_at.0, stage.deadline, "everyone's stays");
}

async fn hand_over(stage: &Stage, log: &mut Chronicle, all: &Onlookers, proposal: ProposalId) {
    let avi = stage.client("ISR:avi");
    avi.hand_over(proposal, &id("ISR:tamar"), true).await.unwrap();
    stage.client("ISR:tamar").accept_invitation(proposal).await.unwrap();
    log.expect(stage, &["proposal.member_invited", "key.wrapped ×3", "proposal.member_joined"]).await;
    avi.hand_over(proposal, &id("ISR:tamar"), true).await.unwrap();
    log.expect(stage, &["proposal.member_removed", "key.removed ×3"]).await;
    let (tamar, bob): (&[&str], &[&str]) = (&["ISR:tamar"], &["USA:bob"]);
    let officers: &[&str] = &["USA:dana", "ISR:noa", "USA:olivia"];
    let handed =
        [(tamar, "submitted swi pli - - 0"), (bob, "submitted swu plu - - 0"), (officers, "submitted - - - - -")];
    all.see(stage, proposal, &handed).await;
    let out = stage.plan.dir.join("shareholders-opened.pdf");
    let (own, opening) = (slug("shareholders"), VersionChoice::Standing);
    stage.client("ISR:tamar").open_document(proposal, &own, None, opening, &out, quiet()).await.unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), pdf("ISR:avi"), "what was handed over opens, byte for byte");

    let withdraw = |path: &str| {
        let connection = stage.raw(Some(stage.credential("USA:bob")));
        connection.request(Method::POST, &format!("/v1/proposals/{proposal}/{path}")).header("Idempotency-Key", "bob-1")
    };
    same_answer_twice(|| withdraw("withdraw")).await;
    all.see(stage, proposal, &handed).await;
    stage.client("ISR:tamar").api().withdraw_proposal(proposal).await.unwrap();
    stage.refuses_raw(422, "idempotency-key-reused", withdraw("reinstate")).await;
    let withdrawn =
        [(tamar, "withdrawn swi pli - - 0"), (bob, "withdrawn swu plu - - 0"), (officers, "withdrawn - - - - -")];
    all.see(stage, proposal, &withdrawn).await;
    stage.client("ISR:tamar").api().reinstate_proposal(proposal).await.unwrap();
    // Asked once more, the old request has its old answer and no effect.
    assert_eq!(withdraw("withdraw").send().await.unwrap().headers()["idempotent-replay"], "true");
    all.see(stage, proposal, &handed).await;
    stage.client("USA:bob").api().reinstate_proposal(proposal).await.unwrap();
    let wishes = ["proposal.withdrawal_wished ×2", "proposal.withdrawn", "proposal.withdrawal_unwished"];
    log.expect(stage, &[&wishes[..], &["proposal.reinstated", "proposal.withdrawal_unwished"]].concat()).await;
}

async fn commitment(stage: &Stage, log: &mut Chronicle, all: &Onlookers, proposal: ProposalId) {
    let deadline = stage.deadline + SignedDuration::from_hours(24);
    stage.clock.set(deadline - SignedDuration::from_secs(30));
    let tamar = stage.client("ISR:tamar");
    let better = stage.file("work-plan-2.pdf", &pdf("the better work plan"));
    let record = tamar.seal_document(proposal, &slug("work-plan"), &better, None, quiet()).await.unwrap();
    stage.sign("ISR:tamar", proposal).await;
    stage.clock.set(deadline);
    stage.sign("USA:bob", proposal).await;
    log.expect(stage, &["manifest.signed ×2"]).await;
    let committed = tamar.api().proposal(proposal).await.unwrap();
    let pending = committed.pending.unwrap();
    assert_eq!(
        (committed.version, pending.version),
        (Some(2), 3),
        "the second version stands until the third is whole"
    );
    assert!(pending.awaiting_signatures.is_empty() && pending.awaiting_documents.len() == 1);
    let seen = stage.client("USA:dana").api().proposal(proposal).await.unwrap();
    assert_eq!((seen.version, seen.pending), (Some(2), None), "what is under way concerns the parties alone");

    stage.clock.set(deadline + GRACE - SignedDuration::from_secs(1));
    let bytes = std::fs::read(record.sealed.as_ref().unwrap()).unwrap();
    tamar.resume_upload(&record, quiet()).await.unwrap();
    log.expect(stage, &["document.stored", "proposal.submitted"]).await;
    assert_eq!(stage.client("USA:dana").api().proposal(proposal).await.unwrap().version, Some(3));
    let raw = stage.raw(Some(stage.credential("ISR:tamar")));
    let again = upload(&raw, proposal, &record.idempotency_key, &bytes).send().await.unwrap();
    assert_eq!((again.status().as_u16(), &again.headers()["idempotent-replay"]), (201, &"true".parse().unwrap()));
    stage
        .refuses_raw(422, "idempotency-key-reused", upload(&raw, proposal, &record.idempotency_key, &bytes[1..]))
        .await;
    log.expect(stage, &[]).await;
    let officers: &[&str] = &["USA:dana", "ISR:noa", "USA:olivia"];
    let expected: [(&[&str], &str); 3] = [
        (&["ISR:tamar"], "submitted swxi pli - - 0"),
        (&["USA:bob"], "submitted swxu plu - - 0"),
        (officers, "submitted - - - - -"),
    ];
    all.see(stage, proposal, &expected).await;
}

async fn opening(stage: &Stage, log: &mut Chronicle, all: &Onlookers, proposal: ProposalId) {
    let sealed_until = stage.deadline + SignedDuration::from_hours(24) + GRACE;
    stage.clock.set(sealed_until);
    let dana = stage.client("USA:dana");
    assert_eq!(dana.api().call(stage.call).await.unwrap().body.phase, Phase::Grace, "to its last millisecond");
    stage.refuses("denied", dana.manifest(proposal, VersionChoice::Standing)).await;
    stage.clock.set(sealed_until + SignedDuration::from_millis(1));
    assert_eq!(dana.api().call(stage.call).await.unwrap().body.phase, Phase::Review);
    log.expect(stage, &[]).await;
    let expected: [(&[&str], &str); 3] = [
        (&["ISR:tamar"], "submitted swxi pli - - 0"),
        (&["USA:bob"], "submitted swxu plu - - 0"),
        // Content, keys and letters wait for a declaration of interests.
        (&["USA:dana", "ISR:noa", "USA:olivia", "USA:frank", "ISR:eitan"], "submitted - - - - -"),
    ];
    all.see(stage, proposal, &expected).await;
}

async fn assignment(stage: &Stage, log: &mut Chronicle, all: &Onlookers, proposal: ProposalId) {
    stage.client("USA:olivia").declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
    stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
    let progress = stage.client("USA:olivia").api().call_progress(stage.call).await.unwrap();
    assert!(progress.proposals.is_empty(), "not even a count for her: {progress:?}");
    let pairs = [(proposal, "USA:carol"), (proposal, "ISR:yael")];
    assert_eq!(stage.assign(&pairs, true).await.accepted, 2);
    log.expect(stage, &["interest.declared_conflict", "interest.declared_clear ×4"]).await;
    stage.assign(&pairs, false).await;
    stage.client("ISR:yael").declare(proposal, Some(ConflictGround::Collaboration)).await.unwrap();
    stage.assign(&[(proposal, "ISR:maya")], false).await;
    stage.clear(proposal, &["USA:carol", "ISR:maya"]).await;
    log.expect(
        stage,
        &["reviewer.assigned ×2", "interest.declared_conflict", "reviewer.assigned", "interest.declared_clear ×2"],
    )
    .await;
    stage.prepare_panel().await;
    // To the call's vault and both deciders; the panel vault to them and both reviewers.
    log.expect(stage, &["vault.created", "key.wrapped ×7"]).await;
    let expected: [(&[&str], &str); 5] = [
        (&["ISR:tamar"], "submitted swxi pli - - 0"),
        (&["USA:bob"], "submitted swxu plu - - 0"),
        (&["USA:dana", "ISR:noa"], "submitted sxiu pliud 0 - 0"),
        (&["USA:frank", "ISR:eitan"], "submitted sx pd 0 - -"),
        (&["USA:carol", "ISR:maya"], "submitted sx p 0 - -"),
    ];
    all.see(stage, proposal, &expected).await;
}

async fn reviews(stage: &Stage, log: &mut Chronicle, all: &Onlookers, proposal: ProposalId) {
    let (carol, maya, noa) = (stage.client("USA:carol"), stage.client("ISR:maya"), stage.client("ISR:noa"));
    let out = stage.plan.dir.join("carol-reads.pdf");
    carol.open_document(proposal, &slug("work-plan"), None, VersionChoice::Standing, &out, quiet()).await.unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), pdf("the better work plan"));
    assert_eq!(carol.read_summary(proposal, VersionChoice::Standing).await.unwrap().title, "Lodestone");
    carol.save_draft(proposal, &review(4.5, 4.0)).await.unwrap();
    let first = carol.submit_review(proposal, &review(4.5, 4.0)).await.unwrap();
    assert!(carol.draft(proposal).await.unwrap().is_none(), "the draft has become the review");
    log.expect(stage, &["review.submitted"]).await;
    let parties: [(&[&str], &str); 2] =
        [(&["ISR:tamar"], "submitted swxi pli - - 0"), (&["USA:bob"], "submitted swxu plu - - 0")];
    let one_in: [(&[&str], &str); 4] = [
        (&["USA:dana", "ISR:noa"], "submitted sxiu pliud 1 - 0"),
        (&["USA:frank", "ISR:eitan"], "submitted sx pd 1 - -"),
        (&["USA:carol"], "submitted sx p 1 - -"),
        (&["ISR:maya"], "submitted sx p 0 - -"),
    ];
    all.see(stage, proposal, &[&parties[..], &one_in].concat()).await;
    maya.submit_review(proposal, &review(3.5, 4.0)).await.unwrap();
    stage.prepare_panel().await;
    log.expect(stage, &["review.submitted", "key.wrapped ×2"]).await;
    assert_eq!(carol.open_reviews(proposal).await.unwrap().reviews.len(), 2, "now each reads the other's");

    noa.api().reopen_review(first.id, "the impact is to be explained").await.unwrap();
    log.expect(stage, &["review.reopened", "key.removed"]).await;
    let reopened: [(&[&str], &str); 4] = [
        (&["USA:dana", "ISR:noa"], "submitted sxiu pliud 2 - 0"),
        (&["USA:frank", "ISR:eitan"], "submitted sx pd 2 - -"),
        (&["USA:carol"], "submitted sx p 1 - -"),
        (&["ISR:maya"], "submitted sx pd 2 - -"),
    ];
    all.see(stage, proposal, &[&parties[..], &reopened].concat()).await;
    let second = carol.submit_review(proposal, &review(4.5, 3.0)).await.unwrap();
    assert_eq!(second.revision, 2);
    stage.prepare_panel().await;
    log.expect(stage, &["review.submitted", "key.wrapped"]).await;

    let ranking = stage.client("USA:dana").ranking(stage.call).await.unwrap();
    assert!(ranking.invalid.is_empty() && ranking.closed.is_empty(), "{ranking:?}");
    let [line] = &ranking.lines[..] else { panic!("{ranking:?}") };
    // Means of 4.5 and 3.5, and of 3.0 and 4.0: the revision counts, not what it replaced.
    assert_eq!((line.rank, line.reviews, line.total), (Some(1), 2, Some(Points::from_hundredths(750).into())));
    assert!(line.missing.is_empty());
}

async fn decision(stage: &Stage, log: &mut Chronicle, all: &Onlookers, proposal: ProposalId) {
    let (frank, eitan) = (stage.client("USA:frank"), stage.client("ISR:eitan"));
    frank.sign_decision(proposal, Outcome::Reserve).await.unwrap();
    frank.unsign_decision(proposal).await.unwrap();
    log.expect(stage, &["decision.signed", "decision.unsigned", "decision.withdrawn"]).await;
    let open = frank.sign_decision(proposal, Outcome::Fund).await.unwrap();
    assert_eq!((open.final_at, open.missing), (None, [code("ISR")].into()));
    let tail: [(&[&str], &str); 5] = [
        (&["ISR:tamar"], "submitted swxi pli - - 0"),
        (&["USA:bob"], "submitted swxu plu - - 0"),
        (&["USA:dana", "ISR:noa"], "submitted sxiu pliud 3 fund? 0"),
        (&["USA:frank", "ISR:eitan"], "submitted sx pd 3 fund? -"),
        (&["USA:carol", "ISR:maya"], "submitted sx pd 3 - -"),
    ];
    all.see(stage, proposal, &tail).await;
    let final_one = eitan.sign_decision(proposal, Outcome::Fund).await.unwrap();
    assert_eq!(final_one.final_at.unwrap().0, stage.clock.now());
    log.expect(stage, &["decision.signed ×2", "decision.final"]).await;
}

async fn letters(stage: &Stage, log: &mut Chronicle, all: &Onlookers, proposal: ProposalId) {
    let dana = stage.client("USA:dana");
    let mistaken = dana.send_letter(proposal, "You are funded wit").await.unwrap();
    dana.api().withdraw_letter(proposal, mistaken.id).await.unwrap();
    let letter = dana.send_letter(proposal, "You are funded.").await.unwrap();
    log.expect(stage, &["letter.sent", "letter.withdrawn", "letter.sent"]).await;
    for member in ["ISR:tamar", "USA:bob", "ISR:noa"] {
        let read = stage.client(member).read_letter(proposal, letter.id).await.unwrap();
        assert_eq!(&*read.text, "You are funded.", "{member}");
    }
    let expected: [(&[&str], &str); 5] = [
        (&["ISR:tamar"], "submitted swxi pli - fund! 1"),
        (&["USA:bob"], "submitted swxu plu - fund! 1"),
        (&["USA:dana", "ISR:noa"], "submitted sxiu pliud 3 fund! 1"),
        (&["USA:frank", "ISR:eitan"], "submitted sx pd 3 fund! -"),
        (&["USA:carol", "ISR:maya"], "submitted sx pd 3 - -"),
    ];
    all.see(stage, proposal, &expected).await;
}

async fn log_is_whole_and_each_reads_their_part(stage: &Stage, proposal: ProposalId) {
    let log = stage.log().await;
    assert!(log.iter().map(|entry| entry.seq).eq(1..=log.len() as u64), "a number is missing or a duplicate");
    assert!(log.windows(2).all(|pair| pair[0].at <= pair[1].at), "the log goes back in time");
    assert!(log.iter().all(|entry| entry.salt.len() == 32));
    let of_proposal: Vec<_> = log.iter().filter(|entry| entry.proposal == Some(proposal)).collect();

    for gone in ["ISR:avi", "USA:olivia", "ISR:yael", "USA:walt", "KOR:minjun"] {
        let read = entries(stage, gone).await;
        assert!(
            read.iter().all(|entry| entry.proposal.is_none()),
            "{gone} reads of a proposal that is hidden from them"
        );
        assert!(!read.is_empty());
    }
    let minjun = entries(stage, "KOR:minjun").await;
    assert!(minjun.iter().all(|entry| entry.call.is_none() && entry.program.is_none()));
    let dana = entries(stage, "USA:dana").await;
    assert_eq!(dana.iter().filter(|entry| entry.proposal.is_some()).count(), of_proposal.len(), "an officer reads all");
    // All but what policy officers prepare among themselves.
    let open = log.iter().filter(|entry| entry.readers != Readers::PolicyOfficers);
    assert!(dana.iter().zip(open).all(|(read, stored)| read.seq == stored.seq && read.payload == stored.payload));

    let theirs = |kind: &str| {
        ["proposal.", "document.stored", "document.removed", "manifest.", "letter.", "decision.final"]
            .iter()
            .any(|begin| kind.starts_with(begin))
    };
    for (member, more) in [("ISR:tamar", true), ("USA:carol", false), ("USA:frank", false)] {
        let read: BTreeSet<u64> =
            entries(stage, member).await.iter().filter(|entry| entry.proposal.is_some()).map(|e| e.seq).collect();
        let wanted =
            of_proposal.iter().filter(|entry| entry.actor == Some(id(member)) || more && theirs(entry.kind.as_str()));
        assert_eq!(read, wanted.map(|entry| entry.seq).collect(), "{member}");
    }
}

async fn filter_of_the_log_leaves_out_other_kinds_and_nothing_else(stage: &Stage) {
    let keys = EntryKind::named("key");
    for member in ["USA:dana", "ISR:tamar", "USA:olivia", "KOR:minjun"] {
        let all = entries(stage, member).await;
        for kinds in [&[EntryKind::KeyCardPublished][..], &keys, &[EntryKind::CallExtended, EntryKind::LetterSent]] {
            let wanted: Vec<Entry> = all.iter().filter(|entry| kinds.contains(&entry.kind)).cloned().collect();
            assert_eq!(entries_of(stage, member, kinds).await, wanted, "{member} {kinds:?}");
        }
    }
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let answer = raw.request(Method::GET, "/v1/entries?kind=secrets").send().await.unwrap();
    assert_eq!(answer.status(), 400);
}

/// Everything that a member reads of the log, page after page.
async fn entries(stage: &Stage, member: &str) -> Vec<Entry> {
    entries_of(stage, member, &[]).await
}

/// The same of some kinds.
async fn entries_of(stage: &Stage, member: &str, kinds: &[EntryKind]) -> Vec<Entry> {
    let (mut all, mut paging) =
        (Vec::new(), Paging { cursor: None, limit: Some(if kinds.is_empty() { 50 } else { 2 }) });
    loop {
        let page = stage.client(member).api().entries(kinds, &paging).await.unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => paging.cursor = Some(next),
            None => return all,
        }
    }
}

/// Sends a request twice: one effect, and the same answer, marked the second time.
async fn same_answer_twice(build: impl Fn() -> RequestBuilder) {
    let first = build().send().await.unwrap();
    assert!(first.status().is_success() && !first.headers().contains_key("idempotent-replay"), "{first:?}");
    let second = build().send().await.unwrap();
    assert_eq!(second.headers()["idempotent-replay"], "true");
    assert_eq!((first.status(), first.headers().get("etag")), (second.status(), second.headers().get("etag")));
    assert_eq!(first.bytes().await.unwrap(), second.bytes().await.unwrap());
}

fn upload(raw: &Raw, proposal: ProposalId, key: &str, bytes: &[u8]) -> RequestBuilder {
    let digest = BASE64_STANDARD.encode(Sha256::of(bytes).as_bytes());
    raw.request(Method::PUT, &format!("/v1/proposals/{proposal}/documents/work-plan"))
        .header("Idempotency-Key", key)
        .header("Content-Type", AGE_MEDIA_TYPE)
        .header("Repr-Digest", format!("sha-256=:{digest}:"))
        .header("Entente-Media-Type", "application/pdf")
        .body(bytes.to_vec())
}
