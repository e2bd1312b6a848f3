//! The life of policies: nothing changes without two officers of the nation, what is in force decides, and what the host changes
//! behind everybody's back counts for nothing.

use crate::harness::{
    exchange::fresh_key,
    stage::{NATIONS, Stage, Step, id},
    world::{Raw, Store, TestWorld},
};
use entente::{
    client::{Client, ClientError, api::Paging, directory::NewKeyCard, verified::VersionChoice},
    domain::{
        ambient::Clock,
        entry::EntryKind,
        id::Sha256,
        policy::{PolicyOwner, PolicyStatus},
    },
    policy::GUARDRAILS,
    sealing::statement::{PolicyApproval, PolicyStatement, sign_statement, verify_signed},
    service::operator,
    storage::{args, policies},
    wire::policy::PolicyVersion,
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const SHUT: &str = r#"@id("nobody") @side("release") @reason("nothing is released")
forbid(principal, action, resource is Proposal);"#;

/// Everything released, everything read.
const OPEN: &str = r#"@id("all-released") @side("release") @reason("everything")
permit(principal, action, resource is Proposal);
@id("all-read") @side("reader") @reason("everything")
permit(principal, action, resource is Proposal);"#;

fn owner(text: &str) -> PolicyOwner {
    text.parse().unwrap()
}

/// Looks at what it would change and approves, as the command line does.
async fn approved(client: &Client, policy: &PolicyVersion) -> Result<PolicyVersion, ClientError> {
    let (_, told) = client.preview_policy(policy).await?;
    client.approve_policy(policy, &told).await
}

fn paging() -> Paging {
    Paging { cursor: None, limit: Some(200) }
}

async fn present(client: &Client, of: &str) -> u32 {
    client.policy(&owner(of)).await.unwrap().version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_decides_from_its_time_on_and_the_earlier_text_comes_back_as_a_new_one() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        let proposal = stage.submitted().await;
        let (dana, drafter, approver) =
            (stage.client("USA:dana"), stage.client("ISR:drafter"), stage.client("ISR:approver"));
        assert!(dana.api().proposal(proposal).await.is_ok());

        let later = stage.clock.now() + SignedDuration::from_hours(1);
        let proposed = drafter.propose_policy(&owner("ISR"), "ISR", SHUT, Some(later)).await.unwrap();
        assert_eq!((proposed.version, proposed.status), (2, PolicyStatus::Proposed));
        assert!(dana.api().proposal(proposal).await.is_ok(), "one officer changes nothing");
        let second = approved(approver, &proposed).await.unwrap();
        assert_eq!(second.status, PolicyStatus::Scheduled);
        assert!(dana.api().proposal(proposal).await.is_ok(), "its time has not come");

        stage.clock.set(later);
        assert!(dana.api().proposal(proposal).await.unwrap_err().is_not_found());
        assert!(stage.client("ISR:avi").api().proposal(proposal).await.is_err(), "not even the parties");
        assert_eq!(present(dana, "ISR").await, 2);

        let first = drafter.policy_version(&owner("ISR"), 1).await.unwrap();
        assert_eq!(first.status, PolicyStatus::Superseded);
        let again = approver.propose_policy(&owner("ISR"), "ISR", &first.text.unwrap(), None).await.unwrap();
        assert_eq!(again.text_sha256, first.text_sha256);
        approved(drafter, &again).await.unwrap();
        assert!(dana.api().proposal(proposal).await.is_ok());
        assert_eq!(present(dana, "ISR").await, 3);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_two_officers_of_the_nation_changes_its_policies() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let (drafter, approver) = (world.client("ISR:drafter"), world.client("ISR:approver"));
    let isr = owner("ISR");

    // The host's own officers, its registrar and another nation's officers are denied, whatever they sign.
    for member in ["USA:drafter", "USA:dana", "USA:registrar", "ISR:noa", "ISR:registrar"] {
        let refused = world.client(member).propose_policy(&isr, "ISR", OPEN, None).await.unwrap_err();
        assert_eq!(refused.slug(), Some("denied"), "{member}");
    }
    let proposed = drafter.propose_policy(&isr, "ISR", OPEN, None).await.unwrap();
    assert_eq!(approved(drafter, &proposed).await.unwrap_err().slug(), Some("second-officer"));
    assert_eq!(approved(world.client("USA:approver"), &proposed).await.unwrap_err().slug(), Some("denied"));
    assert_eq!(present(approver, "ISR").await, 1);

    // A second proposal waits for the first; others may not know of it.
    let waiting = approver.propose_policy(&isr, "ISR", SHUT, None).await.unwrap_err();
    assert_eq!(waiting.slug(), Some("policy-waiting"));
    assert!(world.client("USA:drafter").policy_version(&isr, 2).await.unwrap_err().is_not_found());
    assert_eq!(world.client("USA:drafter").api().policy_versions(&isr).await.unwrap().len(), 1);
    assert_eq!(approver.api().policy_versions(&isr).await.unwrap().len(), 2);
    for (member, knows) in [("ISR:approver", true), ("ISR:noa", false), ("USA:drafter", false)] {
        let kinds = [EntryKind::PolicyProposed];
        let entries = world.client(member).api().entries(&kinds, &paging()).await.unwrap().items;
        let knows_now = entries.iter().any(|entry| entry.payload.contains(&proposed.text_sha256.to_string()));
        assert_eq!(knows_now, knows, "{member}");
    }

    // What was signed for something else approves nothing.
    let key = approver.signer().unwrap();
    let statement = &proposed.proposed.as_ref().unwrap().statement;
    let policy_sha256 = verify_signed::<PolicyStatement>(statement).unwrap().payload_sha256;
    let raw = world.raw(Some(world.credential("ISR:approver")));
    for (of, version, digest) in
        [("USA", 2, policy_sha256), ("ISR", 1, policy_sha256), ("ISR", 2, Sha256::of(b"another"))]
    {
        let approval = PolicyApproval { owner: owner(of), version, policy_sha256: digest, preview_sha256: None };
        let approval = sign_statement(&*key, &approval).unwrap();
        assert_eq!(approve(&raw, "ISR", 2, &approval).await, (422, "statement-invalid".into()));
    }
    // Signed by the first officer, handed in by the second.
    let theirs = PolicyApproval { owner: isr.clone(), version: 2, policy_sha256, preview_sha256: None };
    let theirs = sign_statement(&*drafter.signer().unwrap(), &theirs).unwrap();
    assert_eq!(approve(&raw, "ISR", 2, &theirs).await, (422, "statement-invalid".into()));

    let withdrawn = drafter.api().withdraw_policy(&isr, 2).await.unwrap();
    assert_eq!(withdrawn.status, PolicyStatus::Withdrawn);
    assert_eq!(approved(approver, &proposed).await.unwrap_err().slug(), Some("policy-settled"));
    assert_eq!(drafter.api().withdraw_policy(&isr, 1).await.unwrap_err().slug(), Some("policy-settled"));
    assert_eq!(present(approver, "ISR").await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_database_could_answer_is_refused_at_the_door_with_its_line() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let raw = world.raw(Some(world.credential("ISR:drafter")));
    let key = world.client("ISR:drafter").signer().unwrap();
    let named = format!(
        "{SHUT}\n\n@id(\"dana\") @side(\"release\") @reason(\"by name\")\n\
        permit(principal, action, resource is Proposal) when {{ principal == Member::\"USA:dana\" }};"
    );
    let follows = verify_signed::<PolicyStatement>(
        &world.client("ISR:drafter").policy(&owner("ISR")).await.unwrap().proposed.unwrap().statement,
    );
    let statement = |text: &str, version: u32, follows: Option<Sha256>| {
        let text_sha256 = Sha256::of(text.as_bytes());
        let active_at = world.clock.now();
        let statement = PolicyStatement { owner: owner("ISR"), version, text_sha256, active_at, follows };
        sign_statement(&*key, &statement).unwrap()
    };
    let follows = Some(follows.unwrap().payload_sha256);
    let (status, problem) = propose(&raw, "ISR", &named, &statement(&named, 2, follows)).await;
    assert_eq!((status, problem["type"].as_str().unwrap()), (422, "urn:entente:problem:policy-invalid"));
    assert!(problem["detail"].as_str().unwrap().starts_with("ISR:4: policy `dana`"), "{problem}");

    // Another text than was signed; a version out of turn; one that follows another than the last.
    let (_, problem) = propose(&raw, "ISR", OPEN, &statement(SHUT, 2, follows)).await;
    assert_eq!(problem["type"], "urn:entente:problem:statement-invalid");
    for (version, follows) in [(3, follows), (1, follows), (2, None), (2, Some(Sha256::of(b"another")))] {
        let (status, problem) = propose(&raw, "ISR", OPEN, &statement(OPEN, version, follows)).await;
        assert_eq!((status, problem["type"].as_str().unwrap()), (409, "urn:entente:problem:policy-outdated"));
    }
    assert_eq!(propose(&raw, "ISR", OPEN, &statement(OPEN, 2, follows)).await.0, 201);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guardrails_are_the_hosts_announced_to_everybody_and_never_let_a_stranger_in() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let (drafter, approver, foreign) =
        (world.client("USA:drafter"), world.client("USA:approver"), world.client("ISR:drafter"));
    let guardrails = PolicyOwner::Guardrails;
    assert_eq!(foreign.policy(&guardrails).await.unwrap().version, 0);
    let stricter = format!(
        "{GUARDRAILS}\n@id(\"quiet\") @reason(\"no programs are set up for now\")\n\
         forbid(principal, action == Action::\"CreateProgram\", resource);\n"
    );
    assert_eq!(
        foreign.propose_policy(&guardrails, "guardrails", &stricter, None).await.unwrap_err().slug(),
        Some("denied")
    );
    let wider = format!(
        "{GUARDRAILS}\n@id(\"host\") @reason(\"the host sees all\")\n\
         permit(principal, action == Action::\"View\", resource) when {{ principal.host }};\n"
    );
    let refused = drafter.propose_policy(&guardrails, "guardrails", &wider, None).await.unwrap_err();
    assert!(refused.to_string().contains("without asking for a role"), "{refused}");

    let soon = drafter.propose_policy(&guardrails, "guardrails", &stricter, None).await.unwrap();
    assert_eq!(approved(approver, &soon).await.unwrap_err().slug(), Some("notice-too-short"));
    drafter.api().withdraw_policy(&guardrails, 1).await.unwrap();
    let at = world.clock.now() + SignedDuration::from_hours(73);
    let announced = drafter.propose_policy(&guardrails, "guardrails", &stricter, Some(at)).await.unwrap();
    approved(approver, &announced).await.unwrap();
    let seen = foreign.policy_version(&guardrails, 2).await.unwrap();
    assert_eq!(seen.status, PolicyStatus::Scheduled, "every nation reads it before it takes effect");
    Stage::program(&world).await;
    world.clock.set(at);
    let program = json!({ "name": "Late", "lead": "USA", "partners": ["USA"] });
    let request = world.raw(Some(world.credential("USA:dana"))).request(Method::POST, "/v1/programs");
    let response = request.header("Idempotency-Key", fresh_key()).json(&program).send().await.unwrap();
    let problem: Value = response.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("no programs are set up for now"), "{problem}");
    assert_eq!(foreign.policy(&guardrails).await.unwrap().version, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_were_taken_back_are_read_by_their_own_list_alone() {
    const TAKEN_BACK: u32 = 500;
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        let (exchange, isr) = (&stage.server.exchange, owner("ISR"));
        let mut tx = exchange.db.write().await.unwrap();
        for number in 2..2 + TAKEN_BACK {
            let sql = "INSERT INTO policy_versions (owner, version, text, statement, statement_sha256, active_at, proposed_by, \
                       proposed_at, withdrawn_by, withdrawn_at) VALUES ('ISR', $1, $2, 'a.b.c', $3, 0, 'ISR:drafter', 0, \
                       'ISR:drafter', 0)";
            tx.execute(sql, args![number, SHUT, Sha256::of(SHUT.as_bytes())]).await.unwrap();
        }
        tx.commit().await.unwrap();
        // What acts, looks and the engine read.
        let mut tx = exchange.db.read().await.unwrap();
        let standing = policies::standing(&mut tx, &isr, stage.clock.now()).await.unwrap();
        assert_eq!(standing.iter().map(|version| version.number).collect::<Vec<_>>(), [1]);
        drop(tx);
        let in_force = async || {
            let mut tx = exchange.db.read().await.unwrap();
            exchange.rules.at(&mut tx, &exchange.host, stage.clock.now()).await.unwrap()
        };
        let raw = stage.raw(Some(stage.credential("ISR:drafter")));
        let made = loop {
            let engine = in_force().await;
            let before = engine.decisions_made();
            let page = raw.request(Method::GET, "/v1/policies/ISR/versions?limit=200").send().await.unwrap();
            let page: Value = page.json().await.unwrap();
            assert_eq!((page["items"].as_array().unwrap().len(), page["next"].is_string()), (200, true));
            // Somebody else can read new policies at the same moment, and the last reading is kept: it is counted on that one.
            if Arc::ptr_eq(&engine, &in_force().await) {
                break engine.decisions_made() - before;
            }
        };
        assert_eq!(made, 2, "it may read policies, and it may read drafts");
        let (drafter, approver) = (stage.client("ISR:drafter"), stage.client("ISR:approver"));
        assert_eq!(drafter.api().policy_versions(&isr).await.unwrap().len(), 501);
        assert_eq!(stage.client("USA:drafter").api().policy_versions(&isr).await.unwrap().len(), 1);

        // Their numbers stay taken.
        let proposed = drafter.propose_policy(&isr, "ISR", OPEN, None).await.unwrap();
        assert_eq!((proposed.version, proposed.status), (TAKEN_BACK + 2, PolicyStatus::Proposed));
        assert_eq!(approved(approver, &proposed).await.unwrap().status, PolicyStatus::InForce);
        let status = |number| drafter.api().policy_version(&isr, number);
        assert_eq!(status(1).await.unwrap().status, PolicyStatus::Superseded);
        assert_eq!(status(2).await.unwrap().status, PolicyStatus::Withdrawn);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_changed_in_the_database_counts_for_nothing_and_is_noticed_by_client_and_server() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        let proposal = stage.submitted().await;
        let exchange = &stage.server.exchange;
        let (avi, dana) = (stage.client("ISR:avi"), stage.client("USA:dana"));
        assert!(dana.policy(&owner("ISR")).await.is_ok() && avi.api().proposal(proposal).await.is_ok());
        assert_eq!(operator::check_policies(exchange).await.unwrap(), []);

        // The host's operator, with the database in hand and its triggers out of the way.
        let mut tx = exchange.db.write().await.unwrap();
        let trigger = match store {
            Store::Sqlite => "DROP TRIGGER policy_texts_are_final",
            Store::Postgres => "DROP TRIGGER policy_texts_are_final ON policy_versions",
        };
        let forbidden = tx.execute("UPDATE policy_versions SET text = $1 WHERE owner = 'ISR'", args![OPEN]).await;
        assert_eq!(forbidden.unwrap_err().constraint(), Some("policy_versions_append_only"));
        drop(tx);
        let mut tx = exchange.db.write().await.unwrap();
        tx.execute(trigger, args![]).await.unwrap();
        tx.execute("UPDATE policy_versions SET text = $1 WHERE owner = 'ISR'", args![OPEN]).await.unwrap();
        tx.commit().await.unwrap();

        let noticed = dana.policy(&owner("ISR")).await.unwrap_err();
        assert_eq!(noticed.class().code(), 4, "{noticed}");
        let listed = dana.list_policies().await.unwrap();
        let faults: Vec<_> =
            listed.iter().filter(|one| one.verified.is_err()).map(|one| one.policy.owner.to_string()).collect();
        assert_eq!(faults, ["ISR"]);
        let faults = operator::check_policies(exchange).await.unwrap();
        assert_eq!(faults.len(), 1);
        assert_eq!((faults[0].owner.to_string(), faults[0].version), ("ISR".into(), 1));
        assert!(faults[0].what.contains("not the one that was signed"));
        assert!(avi.api().proposal(proposal).await.is_err(), "left out, it releases nothing");
        assert!(dana.api().proposal(proposal).await.is_err());
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn officers_who_leave_leave_their_policies_in_force_and_stolen_keys_do_not() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let (registrar, exchange) = (world.client("ISR:registrar"), &world.server.exchange);
    let isr = owner("ISR");
    registrar.revoke_key_card(&id("ISR:drafter"), true).await.unwrap();
    assert_eq!(operator::check_policies(exchange).await.unwrap(), []);
    assert!(world.client("USA:dana").policy(&isr).await.is_ok(), "read again by somebody who knew no card yet");
    registrar.revoke_key_card(&id("ISR:approver"), false).await.unwrap();
    let faults = operator::check_policies(exchange).await.unwrap();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].what.contains("no key card of a policy officer"), "{faults:?}");
    assert_eq!(world.client("USA:olivia").policy(&isr).await.unwrap_err().class().code(), 4);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_nation_widens_nothing_that_another_released() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    // Walt observes; Israel does not release to observers. The United States opens everything it has a say in.
    let walt = stage.client("USA:walt");
    assert!(walt.api().proposal(proposal).await.unwrap_err().is_not_found());
    let proposed = stage.client("USA:drafter").propose_policy(&owner("USA"), "USA", OPEN, None).await.unwrap();
    approved(stage.client("USA:approver"), &proposed).await.unwrap();
    assert!(walt.api().proposal(proposal).await.unwrap_err().is_not_found());
    assert!(walt.api().all_proposals(None).await.unwrap().is_empty());
    // And Korea, which has no part in it, changes nothing for anybody by opening or shutting all it has.
    for text in [OPEN, SHUT] {
        let proposed = stage.client("KOR:drafter").propose_policy(&owner("KOR"), "KOR", text, None).await.unwrap();
        approved(stage.client("KOR:approver"), &proposed).await.unwrap();
        assert!(stage.client("ISR:avi").api().proposal(proposal).await.is_ok());
        assert!(stage.client("KOR:minjun").api().proposal(proposal).await.unwrap_err().is_not_found());
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_nation_asks_who_sees_and_why_about_its_own_and_learns_nothing_of_the_hidden() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa"]).await;
    stage.assign(&[(proposal, "ISR:maya")], false).await;
    let why = async |asker: &str, member: &str, action: &str| {
        stage.client(asker).api().explanation(proposal, Some(&id(member)), action, None).await
    };

    // An owner's policy officer, who has no part in the call, learns everybody who may know of it.
    let readers = stage.client("ISR:drafter").api().readers(proposal).await.unwrap();
    let names: Vec<String> = readers.iter().map(|reader| reader.member.to_string()).collect();
    // Reviewers only when assigned, observers never: so Israel says.
    let expected = ["ISR:avi", "ISR:eitan", "ISR:maya", "ISR:noa", "USA:bob", "USA:dana", "USA:frank", "USA:olivia"];
    assert_eq!(names, expected);
    for reader in &readers {
        let (client, me) = (stage.client(&reader.member.to_string()), &reader.member);
        assert!(client.api().proposal(proposal).await.is_ok(), "{me}");
        let reads = client.api().manifests(proposal).await.is_ok();
        assert_eq!(reads, reader.reads, "{me}: the list says what the exchange does");
    }

    // Why, with the policy's text and what would change it.
    let found = why("ISR:drafter", "USA:carol", "View").await.unwrap();
    assert_eq!(found.outcome, "hidden");
    let sides: Vec<_> = found.steps[0].sides.iter().map(|side| (side.side.as_str(), side.owner.to_string())).collect();
    assert_eq!(sides, [("release", "ISR".to_owned())], "of another nation's member only one's own say is told");
    assert!(!found.steps[0].sides[0].permitted && found.would_permit.is_empty());
    let own = why("ISR:drafter", "ISR:maya", "Read").await.unwrap();
    assert_eq!(own.outcome, "denied");
    assert_eq!(own.would_permit, [["the member declares to have no conflict of interest"]]);
    let release = &own.steps[0].sides.iter().find(|side| side.side == "release" && side.permitted).unwrap();
    assert_eq!((release.version, release.reasons[0].policy.as_deref()), (Some(1), Some("assigned-reviewers")));
    assert!(release.reasons[0].text.as_ref().unwrap().contains("resource.assigned.contains(principal)"));
    stage.clear(proposal, &["ISR:maya"]).await;
    assert_eq!(why("ISR:maya", "ISR:maya", "Read").await.unwrap().outcome, "permitted");
    assert!(stage.client("ISR:maya").api().manifests(proposal).await.is_ok());

    // Korea has no part in it: not for itself, not for its own, not for others.
    for (asker, member) in [
        ("KOR:drafter", "KOR:minjun"),
        ("KOR:drafter", "ISR:maya"),
        ("KOR:minjun", "KOR:minjun"),
        ("USA:walt", "USA:walt"),
        ("USA:carol", "USA:carol"),
        ("ISR:maya", "ISR:noa"),
        ("USA:dana", "ISR:maya"),
    ] {
        assert!(why(asker, member, "View").await.unwrap_err().is_not_found(), "{asker} about {member}");
    }
    for asker in ["KOR:drafter", "ISR:maya", "USA:dana", "ISR:avi"] {
        assert!(stage.client(asker).api().readers(proposal).await.unwrap_err().is_not_found(), "{asker}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preview_says_who_gains_and_loses_and_the_exchange_does_so_once_it_is_approved() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (drafter, approver) = (stage.client("ISR:drafter"), stage.client("ISR:approver"));
    stage.client("USA:carol").read_summary(proposal, VersionChoice::Standing).await.unwrap();
    let everybody = ["USA:dana", "USA:carol", "ISR:maya", "ISR:yael", "USA:walt", "USA:frank", "ISR:avi", "KOR:minjun"];
    let seen = async || {
        let mut seen = BTreeMap::new();
        for member in everybody {
            let api = stage.client(member).api();
            seen.insert(member, (api.proposal(proposal).await.is_ok(), api.manifests(proposal).await.is_ok()));
        }
        seen
    };
    let before = seen().await;

    // Israel releases to its own reviewers alone, assigned or not; the counterpart's reviewer loses what she has fetched.
    let current = drafter.policy(&owner("ISR")).await.unwrap().text.unwrap();
    let text = current.replace(
        "when { resource.assigned.contains(principal) };",
        "when { resource.call.reviewers.contains(principal) && principal.partner == Partner::\"ISR\" };",
    );
    assert_ne!(text, current);
    let proposed = drafter.propose_policy(&owner("ISR"), "ISR", &text, None).await.unwrap();
    let (changes, told) = approver.preview_policy(&proposed).await.unwrap();
    let found: Vec<_> = changes
        .iter()
        .map(|c| (c.member.to_string(), c.action.as_str(), c.gains, c.has_fetched, c.needs_key, c.admits_nation))
        .collect();
    assert_eq!(
        found,
        [
            ("ISR:yael".to_owned(), "View", true, false, false, false),
            ("USA:carol".to_owned(), "View", false, false, false, false),
            ("USA:carol".to_owned(), "Read", false, true, false, false),
        ]
    );
    assert_eq!((told.considered, told.fetched_before, told.keys_needed), (1, 1, 0));
    assert_eq!(told.gains[&"ISR".parse().unwrap()].views, 1);
    assert_eq!(told.losses[&"USA".parse().unwrap()].readings, 1);
    assert_eq!(seen().await, before, "looking changes nothing");

    approver.approve_policy(&proposed, &told).await.unwrap();
    let after = seen().await;
    for member in everybody {
        let change = |action: &str| {
            changes.iter().find(|c| c.member.to_string() == member && c.action == action).map(|c| c.gains)
        };
        assert_eq!(after[member].0, change("View").unwrap_or(before[member].0), "{member} sees");
        assert_eq!(after[member].1, change("Read").unwrap_or(before[member].1), "{member} reads");
    }
    let kept = approver.policy(&owner("ISR")).await.unwrap();
    assert!(kept.preview.unwrap().contains("\"fetched_before\":1"), "the summary stays with the approval");

    // Only its writers look; and they see exactly what was signed for.
    for member in ["USA:drafter", "USA:dana", "ISR:noa", "ISR:avi"] {
        let refused = stage.client(member).api().preview(&owner("ISR"), 2, None).await.unwrap_err();
        assert_eq!(refused.slug(), Some("denied"), "{member}");
    }
    let again = drafter.propose_policy(&owner("ISR"), "ISR", &current, None).await.unwrap();
    assert!(approver.approve_policy(&again, &told).await.is_err(), "a preview of another version is none");
    let exchange = &stage.server.exchange;
    let mut tx = exchange.db.write().await.unwrap();
    tx.execute("UPDATE policy_versions SET preview = '{}' WHERE owner = 'ISR' AND version = 2", args![]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(approver.policy(&owner("ISR")).await.unwrap_err().class().code(), 4);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn widening_names_each_newly_admitted_nation() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    // Walt observes for the United States, whose officers see it anyway; nobody gains a first access by letting observers in.
    let (drafter, approver) = (stage.client("ISR:drafter"), stage.client("ISR:approver"));
    let current = drafter.policy(&owner("ISR")).await.unwrap().text.unwrap();
    let observers = format!(
        "{current}\n@id(\"observers\") @side(\"release\") @reason(\"observers know of it\")\n\
         permit(principal, action == Action::\"View\", resource) when {{ resource.call.observers.contains(principal) }};\n"
    );
    let proposed = drafter.propose_policy(&owner("ISR"), "ISR", &observers, None).await.unwrap();
    let (changes, told) = approver.preview_policy(&proposed).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].member.to_string(), changes[0].proposal), ("USA:walt".into(), proposal));
    assert!(told.admits.is_empty());
    drafter.api().withdraw_policy(&owner("ISR"), 2).await.unwrap();

    // From a text that shows it to Israel alone, the present one admits the United States.
    let alone = format!(
        "{current}\n@id(\"alone\") @side(\"release\") @reason(\"nobody else for now\")\n\
         forbid(principal, action, resource is Proposal) unless {{ principal.partner == Partner::\"ISR\" }};\n"
    );
    let shut = drafter.propose_policy(&owner("ISR"), "ISR", &alone, None).await.unwrap();
    approved(approver, &shut).await.unwrap();
    let reopened = drafter.propose_policy(&owner("ISR"), "ISR", &current, None).await.unwrap();
    let (_, told) = approver.preview_policy(&reopened).await.unwrap();
    let admits: Vec<_> = told.admits.iter().map(|(code, proposals)| (code.to_string(), *proposals)).collect();
    assert_eq!(admits, [("USA".to_owned(), 1)]);
    stage.stop().await;
}

async fn propose(raw: &Raw, of: &str, text: &str, statement: &str) -> (u16, Value) {
    let request = raw.request(Method::POST, &format!("/v1/policies/{of}/versions"));
    let body = json!({ "text": text, "statement": statement });
    let response = request.header("Idempotency-Key", fresh_key()).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn approve(raw: &Raw, of: &str, version: u32, approval: &str) -> (u16, String) {
    let request = raw.request(Method::POST, &format!("/v1/policies/{of}/versions/{version}/approve"));
    let response =
        request.header("Idempotency-Key", fresh_key()).json(&json!({ "approval": approval })).send().await.unwrap();
    let status = response.status().as_u16();
    let problem: entente::wire::problem::Problem = response.json().await.unwrap();
    (status, problem.slug().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_whose_approvers_key_was_stolen_are_followed_by_others() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let (registrar, drafter) = (world.client("ISR:registrar"), world.client("ISR:drafter"));
    registrar.revoke_key_card(&id("ISR:approver"), false).await.unwrap();
    let next = drafter.propose_policy(&owner("ISR"), "ISR", OPEN, None).await.unwrap();
    assert_eq!((next.version, next.status), (2, PolicyStatus::Proposed));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_whose_proposers_key_was_stolen_is_not_approved() {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let (drafter, approver) = (world.client("KOR:drafter"), world.client("KOR:approver"));
    let next = approver.propose_policy(&owner("KOR"), "KOR", SHUT, None).await.unwrap();
    let (_, told) = drafter.preview_policy(&next).await.unwrap();
    world.client("KOR:registrar").revoke_key_card(&id("KOR:approver"), false).await.unwrap();
    let refused = drafter.approve_policy(&next, &told).await.unwrap_err();
    assert_eq!(refused.slug(), Some("policy-invalid"), "{refused}");
    assert_eq!(drafter.api().policy_version(&owner("KOR"), next.version).await.unwrap().status, PolicyStatus::Proposed);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guardrails_outlive_a_key_that_was_stolen() {
    let settings = [("quotas.key_cards_per_day_per_member", "1000")];
    let world = TestWorld::start_with(NATIONS, Store::Sqlite, &settings).await.unwrap();
    let (registrar, drafter, approver) =
        (world.client("USA:registrar"), world.client("USA:drafter"), world.client("USA:approver"));
    let guardrails = PolicyOwner::Guardrails;
    let at = world.clock.now() + SignedDuration::from_hours(73);
    let text = format!("{GUARDRAILS}// the same\n");
    let announced = drafter.propose_policy(&guardrails, "guardrails", &text, Some(at)).await.unwrap();
    approved(approver, &announced).await.unwrap();
    for (instant, member) in [(world.clock.now(), "USA:approver"), (at, "USA:drafter")] {
        world.clock.set(instant);
        let refused = registrar.revoke_key_card(&id(member), false).await.unwrap_err();
        assert_eq!(refused.slug(), Some("signed-guardrails"), "{refused}");
    }
    // Nor do so many other cards that the one it was signed under is no longer looked for.
    let card = registrar.issued_member(&id("USA:approver")).await.unwrap().card.clone();
    let mut outcome = Ok(());
    for _ in 0..=200 {
        let next = world.next_credential("USA:approver");
        let new = NewKeyCard {
            certificates: vec![next.spki],
            shown: vec![next.certificate],
            valid_until: at + SignedDuration::from_hours(24 * 300),
            ..NewKeyCard::like(card.clone())
        };
        outcome = registrar.issue_key_card(&new).await.map(drop);
        if outcome.is_err() {
            break;
        }
    }
    assert_eq!(outcome.unwrap_err().slug(), Some("signed-guardrails"));
    // What ends the use of the key at once is possible, and nothing stands still.
    registrar.revoke_key_card(&id("USA:drafter"), true).await.unwrap();
    Stage::program(&world).await;
    world.stop().await;
}
