//! Texts of policies that cost more than they say: refused with their line at the door, and not counted where they stand already.
//! Their senders take nothing from anybody.

use crate::harness::{
    exchange::fresh_key,
    innocent::{acts_in_time, innocent_acts_in_time},
    stage::Stage,
    world::{Raw, Store},
    worst_texts::worst_texts,
};
use entente::{
    domain::{id::Sha256, policy::PolicyOwner},
    policy::PartnerRules,
    sealing::statement::{PolicyApproval, PolicyStatement, sign_statement, verify_signed},
    service::operator,
    storage::args,
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

const RELEASED: &str = "resource.call.funders.contains(Partner::\"ISR\")";

fn policy(condition: &str) -> String {
    format!(
        "@id(\"x\")\n@side(\"release\")\n@reason(\"a test of bounds\")\n\
         permit(principal, action, resource is Proposal) when {{ {condition} }};"
    )
}

/// What ended the process, or kept it busy for a minute, each once.
fn costly() -> Vec<(String, &'static str)> {
    let equal = (0..22).fold(RELEASED.to_owned(), |inner, _| format!("{RELEASED} == ({inner})"));
    let topics = (0..3_990).map(|number| format!("\"t{number}\"")).collect::<Vec<_>>().join(", ");
    let doubled = (0..12).fold(RELEASED.to_owned(), |inner, _| format!("{RELEASED} == ({inner})"));
    vec![
        (policy(&format!("{}true{}", "(".repeat(200), ")".repeat(200))), "deep"),
        (policy(&format!("{}true{}", "!(".repeat(200), ")".repeat(200))), "deep"),
        (policy(&vec!["true"; 1_000].join(" && ")), "operators"),
        (policy(&format!("{}true{}", "if true then ".repeat(1_000), " else false".repeat(1_000))), "operators"),
        (policy(&format!("resource{} == 1", "[\"a\"]".repeat(12_000))), "attributes"),
        (policy(&equal), "deep"),
        (policy(&doubled), "conditions"),
        (policy(&format!("resource has topic && [{topics}].contains(resource.topic)")), "more than 200 values"),
        (policy(&format!("resource has topic && resource.topic like \"{}\"", "*a".repeat(30_000))), "200 characters"),
        (policy(&format!("true{}", " } when { true".repeat(4_000))), "operators"),
    ]
}

async fn propose(raw: &Raw, text: &str) -> (u16, Value) {
    let request = raw.request(Method::POST, "/v1/policies/ISR/versions");
    let body = json!({ "text": text, "statement": "no statement at all" });
    let response = request.header("Idempotency-Key", fresh_key()).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_costs_more_than_it_says_is_refused_with_its_line_while_others_go_on() {
    let stage = Stage::open().await;
    let raw = stage.raw(Some(stage.credential("ISR:drafter")));
    // So many connections at once are for those whom the server knows for members since its start.
    assert_eq!(raw.request(Method::GET, "/v1/me").send().await.unwrap().status(), 200);
    let texts = costly();
    let refused = join_all(texts.iter().map(|(text, _)| propose(&raw, text)));
    let innocent = async {
        for _ in 0..3 {
            stage.prepared().await;
        }
    };
    let (refused, ()) = tokio::join!(refused, innocent);
    for ((status, problem), (_, word)) in refused.iter().zip(&texts) {
        assert_eq!((*status, &problem["type"]), (422, &json!("urn:entente:problem:policy-invalid")), "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("ISR:") && detail.contains(word), "{detail}");
    }
    // The text of a member who may not propose is not read at all.
    let (status, problem) = propose(&stage.raw(Some(stage.credential("ISR:avi"))), &texts[0].0).await;
    assert_eq!((status, &problem["type"]), (403, &json!("urn:entente:problem:denied")));
    // The command reads with the same code.
    let there = PartnerRules::parse("ISR.cedar", &"ISR".parse().unwrap(), &texts[0].0).unwrap_err();
    assert_eq!((there.place(), there.line()), ("ISR.cedar", Some(4)));
    stage.stop().await;
}

/// While Israel previews such a text and puts it in force, and while its members and all others list under it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn worst_texts_that_are_taken_keep_no_other_nation_waiting() {
    const ACTS: usize = 10;
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        stage.submitted().await;
        for (what, text) in worst_texts(false) {
            eprintln!("{store:?}: {what}");
            let innocent = stage.raw(Some(stage.credential("USA:dana")));
            let acts = tokio::spawn(async move {
                for _ in 0..ACTS {
                    acts_in_time(&innocent, "USA:dana").await;
                }
            });
            stage.israel_writes(&text).await;
            acts.await.unwrap();
            let call = Some(stage.call);
            let lists = ["ISR:avi", "ISR:noa", "ISR:yael", "USA:bob", "USA:carol", "KOR:minjun"].map(|member| {
                let client = stage.client(member).api();
                async move { client.all_proposals(call).await.unwrap() }
            });
            tokio::join!(join_all(lists), innocent_acts_in_time(&stage, "USA:dana"));
            // What the innocent may still know of is listed, too.
            stage.client("USA:dana").api().all_proposals(Some(stage.call)).await.unwrap();
        }
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_past_a_bound_that_is_in_force_already_counts_as_none_and_is_told() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(stage) = Stage::open_on(store).await else { continue };
        let proposal = stage.submitted().await;
        let (exchange, owner): (_, PolicyOwner) = (&stage.server.exchange, "ISR".parse().unwrap());
        let (drafter, approver) = (stage.client("ISR:drafter"), stage.client("ISR:approver"));
        // As both officers could have signed it under an earlier version of the program.
        let (text, _) = costly().swap_remove(2);
        let statement = PolicyStatement {
            owner: owner.clone(),
            version: 1,
            text_sha256: Sha256::of(text.as_bytes()),
            active_at: drafter.policy(&owner).await.unwrap().active_at.unwrap().0,
            follows: None,
        };
        let statement = sign_statement(&*drafter.signer().unwrap(), &statement).unwrap();
        let policy_sha256 = verify_signed::<PolicyStatement>(&statement).unwrap().payload_sha256;
        let approval = PolicyApproval { owner: owner.clone(), version: 1, policy_sha256, preview_sha256: None };
        let approval = sign_statement(&*approver.signer().unwrap(), &approval).unwrap();
        let mut tx = exchange.db.write().await.unwrap();
        let trigger = match store {
            Store::Sqlite => "DROP TRIGGER policy_texts_are_final",
            Store::Postgres => "DROP TRIGGER policy_texts_are_final ON policy_versions",
        };
        tx.execute(trigger, args![]).await.unwrap();
        tx.execute(
            "UPDATE policy_versions SET text = $1, statement = $2, statement_sha256 = $3, approval = $4, proposed_by = $5, \
             approved_by = $6 WHERE owner = 'ISR'",
            args![text, statement, policy_sha256, approval, "ISR:drafter", "ISR:approver"],
        )
        .await
        .unwrap();
        tx.execute("UPDATE policy_generation SET generation = generation + 1", args![]).await.unwrap();
        tx.commit().await.unwrap();

        let faults = operator::check_policies(exchange).await.unwrap();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!((&faults[0].owner, faults[0].version), (&owner, 1));
        assert!(faults[0].what.contains("more than 200 operators"), "{faults:?}");
        assert!(stage.client("ISR:avi").api().proposal(proposal).await.is_err(), "it releases nothing");
        assert!(stage.client("USA:dana").call(stage.call).await.is_ok(), "the others go on");
        stage.stop().await;
    }
}
