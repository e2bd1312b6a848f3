//! Previews: each is compared with what the change then does, and shows nobody what they may not know.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, Step, id},
};
use entente::{
    client::{
        ClientError,
        directory::NewKeyCard,
        preview::{ChangeSummary, PreviewedAct, SignedSummary},
        verified::VersionChoice,
    },
    domain::{
        id::{MemberId, ProposalId},
        member::CallRole,
    },
    wire::policy::PreviewedChange,
};
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};

/// Everybody whose access may change in these tests.
const EVERYBODY: [&str; 11] = [
    "USA:dana",
    "USA:olivia",
    "USA:opal",
    "USA:carol",
    "USA:walt",
    "USA:frank",
    "ISR:noa",
    "ISR:maya",
    "ISR:yael",
    "ISR:eitan",
    "ISR:avi",
];

/// Whether each can know of the proposal, and read it.
async fn seen(stage: &Stage, proposal: ProposalId) -> BTreeMap<String, (bool, bool)> {
    let mut seen = BTreeMap::new();
    for member in EVERYBODY {
        let api = stage.client(member).api();
        seen.insert(member.to_owned(), (api.proposal(proposal).await.is_ok(), api.manifests(proposal).await.is_ok()));
    }
    seen
}

/// What there is between two of those, as a preview gives it.
fn difference(
    before: &BTreeMap<String, (bool, bool)>,
    after: &BTreeMap<String, (bool, bool)>,
) -> BTreeSet<(String, &'static str, bool)> {
    let mut found = BTreeSet::new();
    for (member, (saw, read)) in before {
        let (sees, reads) = after[member];
        for (action, was, is) in [("View", *saw, sees), ("Read", *read, reads)] {
            if was != is {
                found.insert((member.clone(), action, is));
            }
        }
    }
    found
}

fn told(changes: &[PreviewedChange]) -> BTreeSet<(String, &'static str, bool)> {
    let action = |change: &PreviewedChange| if change.action == "View" { "View" } else { "Read" };
    changes.iter().map(|change| (change.member.to_string(), action(change), change.gains)).collect()
}

fn words(of: &[(&str, &'static str, bool)]) -> BTreeSet<(String, &'static str, bool)> {
    of.iter().map(|(member, action, gains)| ((*member).to_owned(), *action, *gains)).collect()
}

fn one<'a>(changes: &'a [PreviewedChange], member: &str, action: &str) -> &'a PreviewedChange {
    changes.iter().find(|change| change.member == id(member) && change.action == action).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dry_run_of_assignments_tells_what_then_comes_of_them_and_so_does_taking_one_back() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa"]).await;
    let before = seen(&stage, proposal).await;
    let lines = [(proposal, "USA:carol"), (proposal, "ISR:maya"), (proposal, "USA:walt")];
    let dry = stage.assign(&lines, true).await;
    assert_eq!((dry.accepted, dry.faults.len()), (2, 1), "an observer is no reviewer");
    assert_eq!(told(&dry.changes), words(&[("ISR:maya", "View", true), ("USA:carol", "View", true)]));
    assert!(!one(&dry.changes, "USA:carol", "View").admits_nation, "her nation's officers see it anyway");
    assert_eq!(seen(&stage, proposal).await, before, "looking changes nothing");
    stage.assign(&lines[..2], false).await;
    assert_eq!(difference(&before, &seen(&stage, proposal).await), told(&dry.changes));

    stage.clear(proposal, &["USA:carol", "ISR:maya"]).await;
    stage.prepare_panel().await;
    stage.client("ISR:maya").read_summary(proposal, VersionChoice::Standing).await.unwrap();
    let before = seen(&stage, proposal).await;
    let dana = stage.client("USA:dana");
    let (changes, sum) = dana.preview_unassignment(proposal, &id("ISR:maya")).await.unwrap();
    assert_eq!(told(&changes), words(&[("ISR:maya", "View", false), ("ISR:maya", "Read", false)]));
    assert_eq!((sum.sums.fetched_before, sum.sums.keys_needed), (1, 0));
    let (changes_of_carol, _) = dana.preview_unassignment(proposal, &id("USA:carol")).await.unwrap();
    assert!(!one(&changes_of_carol, "USA:carol", "Read").has_fetched);
    dana.api().unassign(proposal, &id("ISR:maya")).await.unwrap();
    assert_eq!(difference(&before, &seen(&stage, proposal).await), told(&changes));

    // What the act refuses its preview refuses, and to the same people.
    stage.refuses("not-assigned", dana.preview_unassignment(proposal, &id("ISR:maya"))).await;
    stage.refuses("not-declared", stage.client("USA:olivia").preview_unassignment(proposal, &id("USA:carol"))).await;
    stage.refuses("denied", stage.client("ISR:avi").preview_unassignment(proposal, &id("USA:carol"))).await;
    stage.refuses("not-found", stage.client("KOR:minjun").preview_unassignment(proposal, &id("USA:carol"))).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preview_of_roles_tells_what_then_comes_of_them() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.client("USA:frank").read_summary(proposal, VersionChoice::Standing).await.unwrap();
    let (dana, noa) = (stage.client("USA:dana"), stage.client("ISR:noa"));
    let mut looked = 0;
    for (officer, member, roles) in [
        (dana, "USA:frank", BTreeSet::new()),
        (noa, "ISR:eitan", BTreeSet::from([CallRole::Observer])),
        (dana, "USA:opal", BTreeSet::from([CallRole::Officer])),
        (dana, "USA:walt", BTreeSet::from([CallRole::Decider, CallRole::Observer])),
        (noa, "ISR:maya", BTreeSet::new()),
        (dana, "USA:carol", BTreeSet::from([CallRole::Reviewer])),
    ] {
        let before = seen(&stage, proposal).await;
        let (changes, sum) = officer.preview_roles(stage.call, &id(member), &roles).await.unwrap();
        assert_eq!(sum.considered, u64::from(member != "USA:carol"), "what changes nothing is not looked into");
        assert_eq!(seen(&stage, proposal).await, before, "looking changes nothing");
        if member == "USA:frank" {
            assert!(one(&changes, member, "Read").has_fetched);
        }
        if member == "USA:opal" {
            assert_eq!(sum.sums.keys_needed, 1, "the call's, which opens every proposal");
            assert!(told(&changes).contains(&("USA:opal".to_owned(), "View", true)));
        }
        officer.grant_roles(stage.call, &id(member), &roles).await.unwrap();
        assert_eq!(difference(&before, &seen(&stage, proposal).await), told(&changes), "{member}");
        looked += changes.len();
    }
    assert!(looked >= 5, "{looked}");

    // What the act refuses its preview refuses, and to the same people.
    let reviewer = BTreeSet::from([CallRole::Reviewer]);
    stage.refuses("unsuitable", dana.preview_roles(stage.call, &id("USA:bob"), &reviewer)).await;
    stage.refuses("denied", dana.preview_roles(stage.call, &id("KOR:minjun"), &reviewer)).await;
    let both = BTreeSet::from([CallRole::Reviewer, CallRole::Officer]);
    stage.refuses("roles-combined", dana.preview_roles(stage.call, &id("USA:carol"), &both)).await;
    let decider = BTreeSet::from([CallRole::Decider]);
    stage.refuses("denied", dana.preview_roles(stage.call, &id("ISR:yael"), &decider)).await;
    for member in ["ISR:avi", "USA:walt"] {
        let refused = stage.client(member).preview_roles(stage.call, &id("USA:carol"), &reviewer).await.unwrap_err();
        let act = stage.client(member).api().roles(stage.call).await.unwrap_err();
        assert_eq!(refused.slug(), act.slug(), "{member}");
    }
    stage.refuses("not-found", stage.client("KOR:minjun").preview_roles(stage.call, &id("USA:carol"), &reviewer)).await;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let of =
        |query: &str| raw.request(Method::GET, &format!("/v1/calls/{}/roles/USA:carol/preview{query}", stage.call));
    for wrong in ["", "?roles=judge", "?roles=reviewer&rolle=x", "?roles=reviewer&cursor=x"] {
        let answer = of(wrong).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{wrong}");
    }
    stage.stop().await;
}

fn revoked(member: &str) -> PreviewedAct {
    PreviewedAct::KeyCardRevoked { member: id(member) }
}

fn at(member: &str, organisation: &str) -> PreviewedAct {
    PreviewedAct::KeyCard { member: id(member), organisation: Some(organisation.into()), roles: None }
}

/// Issues a card as the present one, but for where the member works.
pub(crate) async fn moves(stage: &Stage, member: &str, organisation: &str) {
    let registrar = stage.client("ISR:registrar");
    let card = registrar.issued_member(&id(member)).await.unwrap().card.clone();
    let new = NewKeyCard { organisation: organisation.into(), ..NewKeyCard::like(card) };
    registrar.issue_key_card(&new).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preview_of_a_key_card_tells_what_then_comes_of_it() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let drafter = stage.client("ISR:drafter");
    let both = |member| words(&[(member, "View", false), (member, "Read", false)]);

    // Wherever a party member goes to work after the deadline, nobody is kept from the proposal by that.
    let before = seen(&stage, proposal).await;
    for organisation in ["Galilee University", "Kinneret Sensing"] {
        let (changes, sum) = drafter.preview_member(&at("ISR:avi", organisation)).await.unwrap();
        assert_eq!((told(&changes), sum.considered), (words(&[]), 1), "{organisation}");
        moves(&stage, "ISR:avi", organisation).await;
        assert_eq!(seen(&stage, proposal).await, before, "{organisation}");
    }

    // A reviewer who goes to where a party member works, or away altogether.
    let (changes, _) = drafter.preview_member(&at("ISR:maya", "kinneret sensing")).await.unwrap();
    assert_eq!(told(&changes), both("ISR:maya"));
    let (changes, _) = drafter.preview_member(&at("ISR:maya", "Technion")).await.unwrap();
    assert!(changes.is_empty(), "another employer is none of this proposal's");
    let (changes, _) = drafter.preview_member(&revoked("ISR:maya")).await.unwrap();
    assert_eq!(told(&changes), both("ISR:maya"));
    stage.client("ISR:registrar").revoke_key_card(&id("ISR:maya"), true).await.unwrap();
    assert_eq!(difference(&before, &seen(&stage, proposal).await), told(&changes));
    stage
        .refuses(
            "no-key-card",
            drafter.preview_member(&PreviewedAct::KeyCard {
                member: id("ISR:maya"),
                organisation: None,
                roles: Some(BTreeSet::new()),
            }),
        )
        .await;
    let (changes, _) = drafter.preview_member(&at("ISR:maya", "Galilee University")).await.unwrap();
    let back = words(&[("ISR:maya", "View", true), ("ISR:maya", "Read", true)]);
    assert_eq!(told(&changes), back);

    // A nation's policy officers ask about its own members.
    for member in ["ISR:noa", "ISR:registrar", "ISR:avi", "USA:drafter", "USA:dana", "KOR:drafter"] {
        stage.refuses("denied", stage.client(member).preview_member(&revoked("ISR:yael"))).await;
    }
    let raw = stage.raw(Some(stage.credential("ISR:drafter")));
    for wrong in ["", "?revoked=false", "?revoked=true&organisation=x", "?roles=king", "?organisation=x&cursor=!"] {
        let answer = raw.request(Method::GET, &format!("/v1/members/ISR:yael/preview{wrong}")).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{wrong}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_officer_with_an_interest_hears_nothing_from_any_preview() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (drafter, approver) = (stage.client("ISR:drafter"), stage.client("ISR:approver"));
    let nobody =
        "forbid(principal, action, resource is Proposal) unless { resource.party_members.contains(principal) };";
    let nobody = format!("@id(\"shut\") @side(\"release\") @reason(\"nobody for now\")\n{nobody}");
    let text = approver.policy(&"ISR".parse().unwrap()).await.unwrap().text.unwrap();
    let proposed =
        approver.propose_policy(&"ISR".parse().unwrap(), "ISR", &format!("{text}\n{nobody}"), None).await.unwrap();
    let of_policy = async |client: &entente::client::Client| client.preview_policy(&proposed).await.unwrap().0;
    let of_member =
        async |client: &entente::client::Client| client.preview_member(&revoked("ISR:maya")).await.unwrap().0;
    assert!(told(&of_policy(approver).await).contains(&("USA:carol".to_owned(), "Read", false)));
    assert!(!of_member(approver).await.is_empty());

    // In the party now: who judges the proposal is nothing for its parties' ears.
    stage.joins_late("ISR:avi", proposal, "ISR:approver").await;
    assert!(of_policy(approver).await.is_empty() && of_member(approver).await.is_empty());
    let shown = approver.api().preview_label(proposal, None).await.unwrap();
    assert!(shown.items.is_empty());
    // Nor for a colleague of the same organisation; for another colleague it is.
    assert!(of_policy(drafter).await.is_empty());
    moves(&stage, "ISR:drafter", "Ministry of Another Matter").await;
    assert!(told(&of_policy(drafter).await).contains(&("USA:carol".to_owned(), "Read", false)));

    // Employed by a party: the same.
    moves(&stage, "ISR:drafter", "Kinneret Sensing").await;
    assert!(of_policy(drafter).await.is_empty() && of_member(drafter).await.is_empty());
    stage.stop().await;
}

async fn tampered(stage: &Stage, signed: &SignedSummary) -> ClientError {
    stage.client("USA:dana").verify_summary(signed).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn summary_is_signed_and_anybody_can_check_it() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (drafter, dana) = (stage.client("ISR:drafter"), stage.client("USA:dana"));
    let (_, summary) = drafter.preview_member(&revoked("ISR:maya")).await.unwrap();
    let signed = drafter.sign_summary(&summary).await.unwrap();
    let verified = dana.verify_summary(&signed).await.unwrap();
    assert_eq!((&verified.summary, verified.is_policy_officer), (&summary, true));
    let (_, of_roles) = dana.preview_roles(stage.call, &id("USA:frank"), &BTreeSet::new()).await.unwrap();
    assert!(!drafter.verify_summary(&dana.sign_summary(&of_roles).await.unwrap()).await.unwrap().is_policy_officer);

    let milder = signed.summary.replace("\"readings\":1", "\"readings\":0");
    assert_ne!(milder, signed.summary);
    assert_eq!(tampered(&stage, &SignedSummary { summary: milder, ..signed.clone() }).await.class().code(), 4);
    // Somebody else's name over one's own signature.
    let borrowed = ChangeSummary { by: id("ISR:approver"), ..summary };
    assert_eq!(tampered(&stage, &drafter.sign_summary(&borrowed).await.unwrap()).await.class().code(), 4);

    // The same by the program itself.
    let file = stage.plan.dir.join("summary.json");
    let place = file.display().to_string();
    let run = async |member: &str, line: &str| {
        let home = stage.home(&id(member)).display().to_string();
        let words: Vec<&str> = ["--home", &home].into_iter().chain(line.split(' ')).collect();
        let output = ended(entente(&words)).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    for (member, line) in [
        ("ISR:drafter", format!("member preview ISR:maya --revoked --signed-summary {place}")),
        ("USA:dana", format!("call role set {} USA:frank --none --dry-run --signed-summary {place}", stage.call)),
        ("USA:dana", format!("assignment remove {proposal} USA:carol --dry-run --signed-summary {place}")),
        ("USA:dana", format!("assignment add {proposal} ISR:yael --dry-run --signed-summary {place}")),
        ("ISR:avi", format!("proposal label {proposal} --rel-to KOR --dry-run --signed-summary {place}")),
    ] {
        let _ = std::fs::remove_file(&file);
        let (code, screen, notes) = run(member, &line).await;
        assert_eq!(code, 0, "{line}: {screen}{notes}");
        assert!(screen.contains("signed: ") && notes.contains("dry run"), "{line}: {screen}{notes}");
        let (code, screen, notes) = run("USA:walt", &format!("policy summary {place}")).await;
        assert_eq!(code, 0, "{line}: {notes}");
        // All who have a part here are of the owners' nations, whom no label leaves out.
        let what = if line.starts_with("proposal label") { "nobody gains or loses" } else { "NO LONGER READ" };
        assert!(screen.contains(member) && screen.contains(what), "{line}: {screen}");
        let (code, json, _) = run(member, &format!("--json {line}")).await;
        assert!(code == 0 && serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{line}: {json}");
    }
    let line = format!("assignment remove {proposal} USA:carol --signed-summary {place}");
    assert_eq!(run("USA:dana", &line).await.0, 2, "a signature goes with a look ahead");
    assert!(dana.api().assignments(proposal).await.unwrap().iter().any(|line| line.reviewer == id("USA:carol")));
    stage.stop().await;
}

/// What a nation has nothing to do with is neither shown nor counted; what is being prepared is no officer's to find out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preview_counts_and_refuses_by_nothing_that_is_hidden_from_who_asks() {
    let (stage, prepared) = Stage::at(Step::Prepared).await;
    let (dana, drafter) = (stage.client("USA:dana"), stage.client("KOR:drafter"));
    let korea = "KOR".parse().unwrap();
    let text = drafter.policy(&korea).await.unwrap().text.unwrap();
    let proposed = drafter.propose_policy(&korea, "KOR", &format!("{text}\n// again\n"), None).await.unwrap();
    let counted = async || drafter.preview_policy(&proposed).await.unwrap().1.considered;
    assert_eq!(counted().await, 0);
    // Bob is party to what nobody on the panel may know of; only the act says that he cannot be on it.
    let reviewer = BTreeSet::from([CallRole::Reviewer]);
    let (changes, sum) = dana.preview_roles(stage.call, &id("USA:bob"), &reviewer).await.unwrap();
    assert!(changes.is_empty() && sum.considered == 0);
    stage.refuses("unsuitable", dana.grant_roles(stage.call, &id("USA:bob"), &reviewer)).await;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let unsigned = raw
        .request(Method::PUT, &format!("/v1/calls/{}/roles/USA:bob", stage.call))
        .header("Idempotency-Key", "unsigned")
        .json(&serde_json::json!({ "roles": ["reviewer"] }));
    stage.refuses_raw(422, "statement-invalid", unsigned).await;

    stage.sign("ISR:avi", prepared).await;
    stage.sign("USA:bob", prepared).await;
    stage.pass_the_opening();
    assert_eq!(counted().await, 0, "whatever the others hand in");
    let israel = "ISR".parse().unwrap();
    let (drafter, approver) = (stage.client("ISR:drafter"), stage.client("ISR:approver"));
    let text = drafter.policy(&israel).await.unwrap().text.unwrap();
    let proposed = drafter.propose_policy(&israel, "ISR", &format!("{text}\n// again\n"), None).await.unwrap();
    assert_eq!(approver.preview_policy(&proposed).await.unwrap().1.considered, 1);
    moves(&stage, "ISR:approver", "Kinneret Sensing").await;
    assert_eq!(approver.preview_policy(&proposed).await.unwrap().1.considered, 0, "who works where a party works");
    assert_eq!(approver.preview_member(&revoked("ISR:avi")).await.unwrap().1.considered, 0);
    stage.stop().await;
}

#[tokio::test]
async fn before_the_deadline_an_officer_learns_whom_a_key_card_of_a_party_recuses() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let officer = [CallRole::Officer].into();
    stage.client("USA:dana").grant_roles(stage.call, &id("ISR:drafter"), &officer).await.unwrap();
    stage.clear(proposal, &["ISR:noa"]).await;
    let before = seen(&stage, proposal).await;
    let act = at("ISR:avi", "Directorate of Joint Research");
    let (changes, _) = stage.client("ISR:drafter").preview_member(&act).await.unwrap();
    assert!(changes.iter().any(|change| change.member == id("ISR:noa") && !change.gains), "{changes:?}");
    moves(&stage, "ISR:avi", "Directorate of Joint Research").await;
    assert_eq!(difference(&before, &seen(&stage, proposal).await), told(&changes));
    let back = at("ISR:avi", "Kinneret Sensing");
    let (changes, _) = stage.client("ISR:drafter").preview_member(&back).await.unwrap();
    assert!(one(&changes, "ISR:noa", "View").gains, "{changes:?}");
    stage.pass_the_opening();
    let (changes, _) = stage.client("ISR:drafter").preview_member(&back).await.unwrap();
    assert!(changes.is_empty(), "{changes:?}");
    stage.stop().await;
}

#[tokio::test]
async fn hidden_members_and_unheard_of_ones_answer_alike() {
    let stage = Stage::open().await;
    let drafter = stage.client("ISR:drafter");
    let ask = async |member: &str| -> Result<usize, Option<String>> {
        let member: MemberId = id(member);
        let act = PreviewedAct::KeyCard { member, organisation: Some("Technion".into()), roles: None };
        drafter.preview_member(&act).await.map(|found| found.0.len()).map_err(|error| error.slug().map(str::to_owned))
    };
    assert_eq!(ask("ISR:nobody-yet").await, Ok(0), "whose card is not issued sees nothing new");
    assert_eq!(ask("FRA:anybody").await, Err(Some("not-found".into())), "no partner");
    assert_eq!(ask("KOR:minjun").await, Err(Some("denied".into())));
    stage.stop().await;
}
