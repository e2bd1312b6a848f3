//! References and codes: drawn, signed, found by what people type, and the same answer for what is hidden as for what is not there.

use crate::{
    harness::{
        process::{ended, entente},
        stage::{Stage, Step, fresh_code, id, text},
        world::Store,
    },
    refusals::lies::tamper,
};
use entente::{
    client::{ExitClass, api::Paging, naming::ProposalName, proposals::NewProposal, verified::VersionChoice},
    domain::{
        ambient::Clock,
        entry::EntryKind,
        id::{CallId, ProposalId},
        member::ConflictGround,
        proposal::Sort,
        reference::{CallCode, Reference},
    },
    storage::args,
    wire::{
        call::CallText,
        directory::CreateProgram,
        page::Page,
        proposal::{Filter, Proposal},
    },
};
use jiff::SignedDuration;
use reqwest::Method;
use std::{collections::BTreeSet, process::Output};

async fn reference_of(stage: &Stage, proposal: ProposalId) -> Reference {
    stage.client("ISR:avi").api().proposal(proposal).await.unwrap().reference
}

/// The body of a member's list.
async fn listed(stage: &Stage, member: &str, query: &str) -> String {
    let raw = stage.raw(Some(stage.credential(member)));
    let answer = raw.request(Method::GET, &format!("/v1/proposals{query}")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{query}");
    answer.text().await.unwrap()
}

fn ids(list: &str) -> Vec<ProposalId> {
    let page: Page<Proposal> = serde_json::from_str(list).unwrap();
    page.items.into_iter().map(|proposal| proposal.id).collect()
}

/// A reference of the same call that no proposal has.
fn absent(taken: &Reference) -> Reference {
    let digits = if taken.number().starts_with("0001") { "0002" } else { "0001" };
    Reference::new(taken.code(), digits)
}

/// Runs a command of a member: exit code, standard output and standard error.
async fn run(stage: &Stage, member: &str, words: &[&str]) -> (i32, String, String) {
    let home = stage.home(&id(member)).display().to_string();
    let Output { status, stdout, stderr } = ended(entente(&[&["--home", &home], words].concat())).await;
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

async fn each_proposal_has_a_reference_of_its_own_that_stands_in_every_answer_on(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let code = stage.client("USA:dana").api().call(stage.call).await.unwrap().body.text.code;
    let mut references = BTreeSet::new();
    for _ in 0..6 {
        let begun = stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap();
        assert_eq!((begun.reference.code(), begun.reference.number().len()), (&code, 5));
        assert_eq!(begun.reference.to_string().parse(), Ok(begun.reference.clone()), "with its check digit");
        references.insert(begun.reference);
    }
    assert_eq!(references.len(), 6);
    let proposal = stage.under_review().await;
    let reference = reference_of(&stage, proposal).await;
    let dana = stage.client("USA:dana").api();
    let assignments = dana.assignments(proposal).await.unwrap();
    assert!(!assignments.is_empty() && assignments.iter().all(|line| line.reference == reference));
    let (mut paging, mut entries) = (Paging::default(), Vec::new());
    loop {
        let page = dana.entries(&[EntryKind::ProposalCreated, EntryKind::ProposalSubmitted], &paging).await.unwrap();
        entries.extend(page.items);
        paging.cursor = page.next;
        if paging.cursor.is_none() {
            break;
        }
    }
    let about: Vec<_> = entries.iter().filter(|entry| entry.proposal == Some(proposal)).collect();
    assert!(!about.is_empty() && about.iter().all(|entry| entry.reference.as_ref() == Some(&reference)));
    assert!(
        about.iter().all(|entry| entry.code.as_ref() == Some(&code) && !entry.payload.contains(reference.number()))
    );
    let manifest = stage.client("USA:carol").manifest(proposal, VersionChoice::Standing).await.unwrap().manifest;
    assert_eq!(manifest.reference, reference, "as both parties signed it");
    stage.stop().await;
}

#[tokio::test]
async fn each_proposal_has_a_reference_of_its_own_that_stands_in_every_answer() {
    each_proposal_has_a_reference_of_its_own_that_stands_in_every_answer_on(Store::Sqlite).await;
}

#[tokio::test]
async fn each_proposal_has_a_reference_of_its_own_that_stands_in_every_answer_on_postgres() {
    each_proposal_has_a_reference_of_its_own_that_stands_in_every_answer_on(Store::Postgres).await;
}

async fn list_is_narrowed_by_reference_and_by_beginning_on(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (first, second) = (stage.submitted().await, stage.begun().await);
    let reference = reference_of(&stage, first).await;
    assert_eq!(ids(&listed(&stage, "ISR:avi", &format!("?reference={reference}")).await), [first]);
    assert_eq!(ids(&listed(&stage, "ISR:avi", &format!("?reference={reference}&status=preparing")).await), []);
    assert_eq!(ids(&listed(&stage, "ISR:avi", &format!("?reference={reference}&mine=party")).await), [first]);
    let whole = first.to_string()[5..].to_owned();
    assert_eq!(ids(&listed(&stage, "ISR:avi", &format!("?begins={whole}")).await), [first]);
    let both: BTreeSet<_> =
        ids(&listed(&stage, "ISR:avi", &format!("?begins={}", &whole[..4])).await).into_iter().collect();
    assert_eq!(both, [first, second].into());
    assert_eq!(ids(&listed(&stage, "ISR:avi", "?begins=0000").await), []);
    let filter = Filter { reference: Some(reference), ..Filter::default() };
    assert_eq!(stage.client("ISR:avi").api().count_proposals(&filter).await.unwrap().proposals, 1);
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    for wrong in ["reference=nonsense", "reference=call1-00019", "begins=01J", "begins=prop_01J9", "begins=01j9"] {
        let answer = raw.request(Method::GET, &format!("/v1/proposals?{wrong}")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{wrong}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn list_is_narrowed_by_reference_and_by_beginning() {
    list_is_narrowed_by_reference_and_by_beginning_on(Store::Sqlite).await;
}

#[tokio::test]
async fn list_is_narrowed_by_reference_and_by_beginning_on_postgres() {
    list_is_narrowed_by_reference_and_by_beginning_on(Store::Postgres).await;
}

#[tokio::test]
async fn hidden_proposal_is_found_by_nobody_who_asks_for_its_reference() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let reference = reference_of(&stage, proposal).await;
    stage.pass_the_opening();
    stage.client("USA:olivia").declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
    let (taken, free) = (format!("?reference={reference}"), format!("?reference={}", absent(&reference)));
    for member in ["USA:olivia", "KOR:minjun"] {
        assert_eq!(listed(&stage, member, &taken).await, listed(&stage, member, &free).await, "{member}");
        assert_eq!(
            ids(&listed(&stage, member, &format!("?begins={}", &proposal.to_string()[5..])).await),
            [],
            "{member}"
        );
        let find = async |reference: Reference| {
            let shown = reference.to_string();
            let refused = stage.client(member).find_proposal(&ProposalName::Reference(reference)).await.unwrap_err();
            assert_eq!(refused.class(), ExitClass::Refused, "{member}");
            refused.to_string().replace(&shown, "it")
        };
        assert_eq!(find(reference.clone()).await, find(absent(&reference)).await, "{member}");
    }
    let found = stage.client("USA:dana").find_proposal(&ProposalName::Reference(reference)).await.unwrap();
    assert_eq!(found.id, proposal, "whom nothing keeps from it");
    stage.stop().await;
}

#[tokio::test]
async fn exchange_that_swaps_references_is_noticed_by_those_who_read_what_the_parties_signed() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let (avi, true_one) = (stage.client("ISR:avi"), reference_of(&stage, proposal).await);
    let forged = absent(&true_one);
    let put = "UPDATE proposals SET number = $1 WHERE proposal_id = $2";
    tamper(&stage, put, args![forged.number(), proposal]).await;
    let said = format!("as `{forged}`, but its parties signed it as `{true_one}`");
    let name = ProposalName::Reference(forged.clone());
    let noticed = [
        avi.find_proposal(&name).await.map(drop),
        avi.manifest(proposal, VersionChoice::Standing).await.map(drop),
        avi.plan_signature(proposal).await.map(drop),
    ];
    for refused in noticed.map(Result::unwrap_err) {
        assert!(refused.class() == ExitClass::Unverified && refused.to_string().contains(&said), "{refused}");
    }
    tamper(&stage, put, args![true_one.number(), proposal]).await;
    assert_eq!(avi.find_proposal(&ProposalName::Reference(true_one)).await.unwrap().id, proposal);
    stage.stop().await;
}

#[tokio::test]
async fn reference_that_led_to_a_proposal_once_may_not_lead_to_another_later() {
    let stage = Stage::open().await;
    let (meant, other) = (stage.prepared().await, stage.prepared().await);
    let (reference, of_other) = (reference_of(&stage, meant).await, reference_of(&stage, other).await);
    let avi = stage.again("ISR:avi");
    let put = "UPDATE proposals SET number = $1 WHERE proposal_id = $2";
    let shows = async |first: &str, second: &str| {
        tamper(&stage, put, args!["", other]).await;
        tamper(&stage, put, args![first, meant]).await;
        tamper(&stage, put, args![second, other]).await;
    };
    // Nothing is signed yet, so there is nothing to compare with.
    shows(of_other.number(), reference.number()).await;
    let found = avi.find_proposal(&ProposalName::Reference(reference.clone())).await.unwrap();
    assert_eq!(found.id, other, "the exchange leads to another one");
    shows(reference.number(), of_other.number()).await;
    let acts = [
        avi.plan_signature(other).await.map(drop),
        avi.api().proposal(other).await.map(drop),
        avi.api().all_proposals(None).await.map(drop),
    ];
    for refused in acts.map(Result::unwrap_err) {
        let said = format!("the exchange was asked for `{reference}`, and shows the same proposal as `{of_other}` now");
        assert!(refused.class() == ExitClass::Unverified && refused.to_string().contains(&said), "{refused}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn version_under_another_reference_is_refused() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let avi = stage.client("ISR:avi");
    let mut plan = avi.plan_signature(proposal).await.unwrap();
    plan.manifest.reference = absent(&plan.manifest.reference);
    stage.refuses("manifest-mismatch", avi.sign(&plan)).await;
    stage.stop().await;
}

#[tokio::test]
async fn code_is_of_one_published_call_of_a_program() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let (now, deadline) = (stage.clock.now(), stage.deadline);
    let taken = dana.api().call(stage.call).await.unwrap().body.text.code;
    let with = |code: &CallCode| CallText { code: code.clone(), ..text(now, deadline) };
    stage.refuses("call-text-invalid", dana.draft_call(stage.program, &with(&taken))).await;
    let free = fresh_code();
    let (one, other) = (
        dana.draft_call(stage.program, &with(&free)).await.unwrap().id,
        dana.draft_call(stage.program, &with(&free)).await.unwrap().id,
    );
    stage.refuses("call-text-invalid", dana.edit_call(one, &with(&taken))).await;
    dana.publish_call(one).await.unwrap();
    stage.refuses("call-text-invalid", dana.publish_call(other)).await;
    // The call's own code is no other call's, and no amendment changes it.
    let longer =
        |code: &CallCode| CallText { code: code.clone(), ..text(now, deadline + SignedDuration::from_hours(24)) };
    stage.refuses("call-text-invalid", dana.amend_call(one, &longer(&fresh_code()), "a better name", None)).await;
    dana.amend_call(one, &longer(&free), "more time", None).await.unwrap();
    dana.edit_call(other, &with(&fresh_code())).await.unwrap();
    dana.publish_call(other).await.unwrap();
    // Another program has codes of its own.
    let elsewhere = another_program(&stage, "Another forum", &with(&taken)).await;
    assert_eq!(dana.api().call(elsewhere).await.unwrap().body.text.code, taken);
    stage.stop().await;
}

/// A call that is published under another program.
async fn another_program(stage: &Stage, name: &str, text: &CallText) -> CallId {
    let dana = stage.client("USA:dana");
    let partners = ["USA", "ISR"].map(|code| code.parse().unwrap()).into();
    let body = CreateProgram { name: name.into(), lead: "USA".parse().unwrap(), partners };
    let program = dana.api().create_program(&body).await.unwrap().id;
    let draft = dana.draft_call(program, text).await.unwrap();
    dana.publish_call(draft.id).await.unwrap().id
}

#[tokio::test]
async fn reference_in_two_programs_is_asked_about() {
    let stage = Stage::open().await;
    let avi = stage.client("ISR:avi");
    let first = avi.create_proposal(&stage.joint()).await.unwrap();
    let same = CallText { code: first.reference.code().clone(), ..text(stage.clock.now(), stage.deadline) };
    let call = another_program(&stage, "Another forum", &same).await;
    let second = avi.create_proposal(&NewProposal { call, ..stage.joint() }).await.unwrap();
    let sql = "UPDATE proposals SET number = $1 WHERE proposal_id = $2";
    tamper(&stage, sql, args![first.reference.number(), second.id]).await;
    let name = ProposalName::Reference(first.reference.clone());
    stage.declines(ExitClass::Usage, "could be any of several", avi.find_proposal(&name)).await;
    let filter = Filter { reference: Some(first.reference.clone()), ..Filter::default() };
    let (mut paging, mut found) = (Paging { cursor: None, limit: Some(1) }, Vec::new());
    loop {
        let page = avi.api().proposals(&filter, Sort::Newest, &paging).await.unwrap();
        found.extend(page.items.into_iter().map(|proposal| proposal.id));
        paging.cursor = page.next;
        if paging.cursor.is_none() {
            break;
        }
    }
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), [first.id, second.id].into(), "a page each");
    stage.stop().await;
}

#[tokio::test]
async fn commands_take_what_people_type() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let reference = reference_of(&stage, proposal).await;
    let (code, number) = (reference.code().to_string(), reference.number());
    let shown = reference.to_string();
    for typed in [
        shown.clone(),
        shown.to_lowercase(),
        format!(" {code} – {number} "),
        proposal.to_string(),
        proposal.to_string().to_lowercase(),
        proposal.to_string()[5..].to_owned(),
    ] {
        let (exit, said, faults) = run(&stage, "ISR:avi", &["proposal", "status", &typed]).await;
        assert!(
            exit == 0 && said.contains(&shown) && !said.contains(&proposal.to_string()),
            "`{typed}`: {said}{faults}"
        );
    }
    let (_, said, _) = run(&stage, "ISR:avi", &["--ids", "proposal", "list", "--call", &code.to_lowercase()]).await;
    assert!(said.contains(&shown) && said.contains(&proposal.to_string()), "{said}");
    for call in [code.clone(), code.to_lowercase(), stage.call.to_string(), stage.call.to_string()[5..].to_lowercase()]
    {
        let (exit, said, faults) = run(&stage, "ISR:avi", &["call", "show", &call]).await;
        assert!(exit == 0 && said.contains(&code), "`{call}`: {said}{faults}");
    }
    let (exit, said, faults) = run(&stage, "ISR:avi", &["program", "show", "joint INDUSTRIAL"]).await;
    assert!(exit == 0 && said.contains("Joint industrial research"), "{said}{faults}");
    let (exit, _, faults) = run(&stage, "ISR:avi", &["proposal", "sign", &shown.to_lowercase(), "--yes"]).await;
    assert_eq!(exit, 0, "{faults}");

    let mut digits: Vec<char> = number.chars().collect();
    let last = digits.len() - 1;
    digits[last] = if digits[last] == '9' { '0' } else { '9' };
    let wrong = format!("{code}-{}", digits.into_iter().collect::<String>());
    let (exit, _, faults) = run(&stage, "ISR:avi", &["proposal", "status", &wrong]).await;
    assert!(exit == 2 && faults.contains(&format!("`{wrong}` is mistyped")), "{faults}");
    let unknown = absent(&reference).to_string();
    let (exit, _, faults) = run(&stage, "ISR:avi", &["proposal", "status", &unknown]).await;
    assert!(exit == 3 && faults.contains(&format!("no proposal `{unknown}` is shown to you")), "{faults}");
    stage.stop().await;
}
