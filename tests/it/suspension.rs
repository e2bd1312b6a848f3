//! Partners that stop: who is shut out and what is shown before, what stays, and how it ends (ADR 42).

use crate::{
    harness::{
        exchange::{Answered, fresh_key},
        process::{Server, Site, Speaker, ended, entente, until},
        stage::{Stage, code, id},
        world::Store,
    },
    process::{NATIONS, open_proposal, spoken},
};
use entente::{
    domain::{decision::Outcome, id::PartnerCode, suspension::SuspensionReason},
    service::{Credential, Principal, RequestContext, ServiceError, suspension, unit::Act},
    storage::args,
};
use reqwest::Response;
use serde_json::json;
use std::sync::Arc;

/// An exchange on which Israel takes part in a call that is led by the host, with a proposal of both.
async fn site() -> Site {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    open_proposal(&world).await;
    world.stop().await;
    site
}

async fn asked(speaker: &Speaker, server: &Server, path: &str) -> Response {
    speaker.http.get(format!("{}{path}", server.base())).send().await.unwrap()
}

async fn operated(site: &Site, words: &[&str]) -> String {
    let (code, said, told) = spoken(site.operate(&[&["partner"], words].concat()).await);
    assert_eq!(code, 0, "{said}{told}");
    said
}

async fn takes_part(speaker: &Speaker, server: &Server, wanted: bool) {
    let is_so = async || {
        let status = asked(speaker, server, "/v1/calls").await.status();
        (status.is_success() == wanted).then_some(())
    };
    until("the server applies it", is_so).await;
}

#[tokio::test]
async fn suspended_partner_is_shut_out_until_it_is_resumed_and_others_go_on() {
    let site = site().await;
    let server = site.serve().await;
    let (avi, registrar, bob) = (site.speaker("ISR:avi"), site.speaker("ISR:registrar"), site.speaker("USA:bob"));
    takes_part(&avi, &server, true).await;

    // The preview says who loses what, and changes nothing.
    let said = operated(&site, &["suspend", "ISR", "--reason", "keys_in_doubt", "--dry-run"]).await;
    for part in [
        "somebody else may have its keys",
        "  call         JOINT26 (Joint research; call_",
        "), open",
        "funds, so each decision needs its signature",
        "may propose",
        "1 proposal of its members in preparation",
        "nothing was changed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("leads it"), "{said}");
    asked(&avi, &server, "/v1/calls").await.expect_status(200).await;

    let said = operated(&site, &["suspend", "ISR", "--reason", "keys_in_doubt", "--yes"]).await;
    assert!(said.contains("`ISR` is suspended"), "{said}");
    takes_part(&avi, &server, false).await;
    let again = operated(&site, &["suspend", "ISR", "--reason", "host_decision", "--yes"]).await;
    assert!(again.contains("nothing changed") && again.contains("somebody else may have its keys"), "{again}");

    // Its members learn that, and nothing else.
    let me = asked(&avi, &server, "/v1/me").await.expect_status(200).await;
    assert_eq!((&me["suspended"]["reason"], &me["member"]), (&json!("keys_in_doubt"), &json!("ISR:avi")));
    for path in
        ["/v1/calls", "/v1/proposals", "/v1/members", "/v1/partners", "/v1/entries", "/v1/policies", "/v1/nothing"]
    {
        let problem = asked(&avi, &server, path).await.problem().await;
        assert_eq!(problem, (403, "partner-suspended".to_owned()), "{path}");
    }
    let lift = avi.http.post(format!("{}/v1/programs", server.base())).header("Idempotency-Key", fresh_key());
    let refused = lift.json(&json!({ "name": "x", "lead": "USA", "partners": ["USA"] })).send().await.unwrap();
    assert_eq!(refused.problem().await, (403, "partner-suspended".to_owned()));

    // A registrar puts keys in order, and does nothing else.
    for path in [
        "/v1/partners",
        "/v1/members",
        "/v1/members/ISR:avi",
        "/v1/members/ISR:avi/key-cards",
        "/v1/partners/ISR/trust",
    ] {
        asked(&registrar, &server, path).await.expect_status(200).await;
    }
    for path in ["/v1/calls", "/v1/entries", "/v1/members/ISR:avi/preview", "/v1/partners/ISR/visibility"] {
        let problem = asked(&registrar, &server, path).await.problem().await;
        assert_eq!(problem, (403, "partner-suspended".to_owned()), "{path}");
    }

    // The others go on, see it in lists, and read it in the log.
    asked(&bob, &server, "/v1/calls").await.expect_status(200).await;
    let listed = asked(&bob, &server, "/v1/partners/ISR").await.expect_status(200).await;
    assert_eq!(listed["suspended"]["reason"], "keys_in_doubt");
    let log = asked(&bob, &server, "/v1/entries?kind=partner.suspended").await.expect_status(200).await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");

    // A server that starts meanwhile knows it, and the inverse ends it.
    assert!(server.stop().await.success());
    let server = site.serve().await;
    let problem = asked(&avi, &server, "/v1/calls").await.problem().await;
    assert_eq!(problem.1, "partner-suspended");
    let said = operated(&site, &["resume", "ISR", "--dry-run"]).await;
    assert!(said.contains("nothing was changed"), "{said}");
    let said = operated(&site, &["resume", "ISR", "--yes"]).await;
    assert!(said.contains("takes part again") && said.contains("call extend"), "{said}");
    takes_part(&avi, &server, true).await;
    let me = asked(&avi, &server, "/v1/me").await.expect_status(200).await;
    assert!(me.get("suspended").is_none(), "{me}");
    let log = asked(&avi, &server, "/v1/entries?kind=partner.resumed").await.expect_status(200).await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");
    let proposals = asked(&avi, &server, "/v1/proposals").await.expect_status(200).await;
    assert_eq!(proposals["items"].as_array().unwrap().len(), 1, "what it had is there");
    assert!(operated(&site, &["resume", "ISR", "--yes"]).await.contains("nothing changed"));
    assert!(server.stop().await.success());
}

async fn preview_counts_what_waits_for_the_nation_on(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let isr: PartnerCode = "ISR".parse().unwrap();
    let exchange = Arc::clone(&stage.server.exchange);
    stage.prepared().await;
    let of_call = async || suspension::ties(&exchange, &isr).await.unwrap().calls.remove(0);
    let call = of_call().await;
    assert_eq!((call.preparing, call.handed_in, call.awaits_signature), (1, 0, 0));
    assert!(call.funds && call.is_eligible && !call.leads && !call.runs_alone, "{call:?}");
    let proposal = stage.under_review().await;
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    let call = of_call().await;
    // The one that was never handed in has lapsed.
    assert_eq!((call.preparing, call.handed_in, call.awaits_signature), (0, 1, 1));
    stage.client("ISR:eitan").sign_decision(proposal, Outcome::Fund).await.unwrap();
    assert_eq!(of_call().await.awaits_signature, 0);
    let ties = suspension::ties(&exchange, &isr).await.unwrap();
    assert!(ties.members_in_force > 1 && !ties.is_none() && ties.programs.iter().all(|program| !program.leads));
    // Korea has members, and nothing more.
    let korea = suspension::ties(&exchange, &"KOR".parse().unwrap()).await.unwrap();
    assert!(korea.calls.is_empty() && korea.programs.is_empty() && korea.members > 0 && !korea.is_none());
    let refused = suspension::remove(&exchange, &"KOR".parse().unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("suspend it instead"), "{refused}");
    stage.stop().await;
}

#[tokio::test]
async fn preview_counts_what_waits_for_the_nation() {
    preview_counts_what_waits_for_the_nation_on(Store::Sqlite).await;
    preview_counts_what_waits_for_the_nation_on(Store::Postgres).await;
}

/// A certificate that is as good as it was, under which a request came that is left to registrars or is not.
#[derive(Debug)]
struct GoodCertificate {
    is_left_to_registrars: bool,
}

impl Credential for GoodCertificate {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn outlasts_suspension(&self) -> bool {
        self.is_left_to_registrars
    }
}

async fn act_under_way_goes_by_the_suspension_on_record_on(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (exchange, israel) = (Arc::clone(&stage.server.exchange), code("ISR"));
    let sql = "SELECT spki FROM member_certificates WHERE member = 'ISR:registrar'";
    let row = exchange.db.read().await.unwrap().fetch_one(sql, args![]).await.unwrap();
    let principal = Principal { member: id("ISR:registrar"), certificate: row.parse("spki").unwrap() };
    // What the server holds in memory of partners has no part in it.
    let begun = async |is_left_to_registrars: bool| {
        let credential: Arc<dyn Credential> = Arc::new(GoodCertificate { is_left_to_registrars });
        let context = RequestContext { credential: Some(credential), ..RequestContext::read(principal.clone(), false) };
        Act::begin(&exchange, &context).await.map(drop)
    };
    begun(false).await.unwrap();
    suspension::suspend(&exchange, &israel, SuspensionReason::OwnRequest).await.unwrap();
    match begun(false).await {
        Err(ServiceError::CertificateRefused(why)) => assert!(why.contains("`ISR` is suspended"), "{why}"),
        other => panic!("{other:?}"),
    }
    begun(true).await.unwrap();
    suspension::resume(&exchange, &israel).await.unwrap();
    begun(false).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn act_under_way_goes_by_the_suspension_on_record() {
    act_under_way_goes_by_the_suspension_on_record_on(Store::Sqlite).await;
    act_under_way_goes_by_the_suspension_on_record_on(Store::Postgres).await;
}

#[tokio::test]
async fn host_is_neither_suspended_nor_removed_and_who_is_on_the_record_stays() {
    let site = site().await;
    for words in [&["suspend", "USA", "--reason", "host_decision", "--yes"][..], &["remove", "USA", "--yes"]] {
        let (code, said, told) = spoken(site.operate(&[&["partner"], words].concat()).await);
        assert!(code == 1 && told.contains("hosts the exchange and stays"), "{said}{told}");
    }
    let (code, said, told) = spoken(site.operate(&["partner", "remove", "ISR", "--yes"]).await);
    assert!(code == 1 && told.contains("`ISR` was not removed"), "{said}{told}");
    for part in ["members", "program", "call", "1 proposal of its members in preparation"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(operated(&site, &["list"]).await.contains("ISR"));
    let (code, _, told) = spoken(site.operate(&["partner", "suspend", "ISR", "--yes"]).await);
    assert!(code == 2 && told.contains("--reason"), "everybody reads why: {told}");
}

#[tokio::test]
async fn enrolment_by_mistake_is_taken_back() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let pki = site.path("other");
    let pki = pki.to_str().unwrap();
    assert!(ended(entente(&["dev-pki", pki])).await.status.success());
    let card = format!("{pki}/EU/card.json");
    operated(&site, &["card", &card]).await;
    let said = operated(&site, &["remove", "EU", "--dry-run"]).await;
    assert!(said.contains("nothing on the record depends on it") && said.contains("nothing was changed"), "{said}");
    assert!(operated(&site, &["list"]).await.contains("EU "));
    operated(&site, &["remove", "EU", "--yes"]).await;
    assert!(!operated(&site, &["list"]).await.contains("EU "));
    assert!(operated(&site, &["card", &card]).await.contains("`EU` is enrolled"), "and it is enrolled again");
    let server = site.serve().await;
    let bob = site.speaker("USA:bob");
    let log = asked(&bob, &server, "/v1/entries?kind=partner.removed").await.expect_status(200).await;
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");
    assert!(server.stop().await.success());
}
