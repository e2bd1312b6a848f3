//! What the exchange really answers is what its description promises: the status, the media type, every member of the body, and of a
//! refusal its name.

mod schema;

use crate::harness::stage::{Stage, Step, review};
use entente::http::api;
use reqwest::Method;
use schema::Description;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What stands in the place of each parameter of a path.
type Ids = BTreeMap<&'static str, String>;

#[tokio::test]
async fn every_read_is_answered_as_the_description_says() {
    let (stage, waiting) = Stage::at(Step::Prepared).await;
    stage.sign("ISR:avi", waiting).await;
    let ids = Box::pin(reviewed(&stage)).await;
    let description = Description::new(serde_json::from_str(&api::openapi_json()).unwrap());
    let (mut faults, mut answered) = (Vec::new(), BTreeSet::new());
    for member in ["USA:dana", "ISR:avi", "USA:carol", "ISR:drafter", "ISR:registrar", "USA:frank", "KOR:minjun"] {
        let raw = stage.raw(Some(stage.credential(member)));
        let own = Ids::from([("proposal", waiting.to_string()), ("member", member.to_owned())]);
        for (path, operation) in description.reads() {
            for ids in [&ids, &own] {
                let Some(address) = address(path, ids, &description) else { continue };
                let response = raw.request(Method::GET, &address).send().await.unwrap();
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let media_type = headers.get("content-type").map(|text| text.to_str().unwrap().to_owned());
                let body = response.bytes().await.unwrap();
                let found = description.check_answer(operation, status, media_type.as_deref(), &body);
                faults.extend(found.into_iter().map(|fault| format!("{member} GET {address}: {status}: {fault}")));
                if status == 200 {
                    answered.insert(path.to_owned());
                }
                if status == 200 && operation["responses"]["200"]["headers"]["ETag"].is_object() {
                    assert!(headers.contains_key("etag"), "{address}");
                }
                assert!(headers.contains_key("x-request-id"), "{address}");
            }
        }
    }
    // An address with a character that no text may have, which the edge refuses for every operation.
    let raw = stage.raw(Some(stage.credential("ISR:avi")));
    for (path, operation) in description.reads() {
        let Some(address) = address(path, &ids, &description) else { continue };
        let mark = if address.contains('?') { '&' } else { '?' };
        let response = raw.request(Method::GET, &format!("{address}{mark}nul=%00")).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        assert_eq!(status, 422, "{address}");
        let media_type = headers.get("content-type").map(|text| text.to_str().unwrap().to_owned());
        let body = response.bytes().await.unwrap();
        let found = description.check_answer(operation, status, media_type.as_deref(), &body);
        faults.extend(found.into_iter().map(|fault| format!("GET {address}: {status}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(answered.len() >= 30, "only {answered:#?} were answered");
    stage.stop().await;
}

/// A proposal with a review, and what else there is to read by name.
async fn reviewed(stage: &Stage) -> Ids {
    let proposal = stage.submitted().await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank"]).await;
    stage.assign(&[(proposal, "USA:carol")], false).await;
    stage.clear(proposal, &["USA:carol"]).await;
    stage.prepare_panel().await;
    let written = stage.client("USA:carol").submit_review(proposal, &review(4.5, 4.0)).await.unwrap();
    let document = stage.client("ISR:avi").api().documents(proposal).await.unwrap().remove(0);
    Ids::from([
        ("partner", "ISR".to_owned()),
        ("owner", "ISR".to_owned()),
        ("version", "1".to_owned()),
        ("member", "ISR:avi".to_owned()),
        ("program", stage.program.to_string()),
        ("call", stage.call.to_string()),
        ("proposal", proposal.to_string()),
        ("document", document.id.to_string()),
        ("review", written.id.to_string()),
    ])
}

/// The path with identifiers in it and the parameters that a query needs; none where there is nothing by that name.
fn address(path: &str, ids: &Ids, description: &Description) -> Option<String> {
    let mut address = path.to_owned();
    for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        address = address.replace(&format!("{{{name}}}"), ids.get(name)?);
    }
    match description.example_of_query(path) {
        query if query.is_empty() => Some(address),
        query => Some(format!("{address}?{query}")),
    }
}

#[test]
fn every_example_of_a_parameter_a_body_and_a_schema_fits_its_own_schema() {
    let description = Description::new(serde_json::from_str(&api::openapi_json()).unwrap());
    let faults = description.check_examples();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn schemas_refuse_what_the_server_refuses() {
    let description = Description::new(serde_json::from_str(&api::openapi_json()).unwrap());
    let refuses = |schema: &str, value: Value| {
        let schema = serde_json::json!({ "$ref": format!("#/components/schemas/{schema}") });
        assert!(!description.check(&schema, &value).is_empty(), "{value}");
    };
    for (schema, text) in [
        ("MemberId", "isr:avi"),
        ("MemberId", "ISR"),
        ("PartnerCode", "I"),
        ("ProposalId", "prop_01j9zq4n6m8v7x5t3rgy5rs8gg"),
        ("ProposalId", "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF"),
        ("Slug", "Work Plan"),
        ("Sha256", "abc"),
        ("Status", "handed-in"),
        ("ConflictGround", "none"),
        ("Time", "yesterday"),
    ] {
        refuses(schema, text.into());
    }
    refuses("Reason", serde_json::json!({ "reason": "" }));
    refuses("Reason", serde_json::json!({ "reason": "x", "note": "y" }));
    refuses("Reason", serde_json::json!({}));
    refuses("SignManifest", serde_json::json!({ "manifest": "not a JWS" }));
}
