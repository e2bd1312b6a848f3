//! Refusals are accounted for: a nation's policy officers see what their own members were refused, how often and on which route; nobody
//! sees about what, nor that something hidden exists, and no other nation's officer sees anything.

use crate::harness::stage::{NATIONS, Stage, Step, code, id, review, slug};
use entente::{
    dev_pki::CertificateAndKey,
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::{MemberId, ProposalId, Sha256},
    },
    sealing::jws::SigningKey,
    wire::{directory::MemberRefusal, page::Page},
};
use reqwest::Method;
use rustls::AlertDescription;
use std::{collections::BTreeSet, fs, process::Output};

use crate::harness::process::{Site, ended, entente as program, until};

/// The refusals that a policy officer of Israel sees.
async fn told(stage: &Stage) -> Vec<MemberRefusal> {
    stage.client("ISR:drafter").refusals().await.unwrap()
}

/// Where a refusal is shown that would say what is there.
const SOMETHING: &str = "/v1/calls/{call}/…";

fn times(refusals: &[MemberRefusal], member: &str, problem: &str, route: &str) -> u64 {
    let member: MemberId = id(member);
    let found = refusals.iter().filter(|refusal| {
        refusal.member.as_ref() == Some(&member) && refusal.problem == problem && refusal.route == route
    });
    found.map(|refusal| refusal.times).sum()
}

#[tokio::test]
async fn policy_officers_see_what_their_own_members_were_refused_and_nobody_sees_about_what() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let absent: ProposalId = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
    let yael = stage.client("ISR:yael");
    let before = times(&told(&stage).await, "ISR:avi", "refused", SOMETHING);
    for hidden in [proposal, proposal, absent] {
        stage.refuses("not-found", yael.api().proposal(hidden)).await;
    }
    stage.refuses("unknown-slot", stage.client("ISR:avi").api().remove_document(proposal, &slug("nowhere"))).await;
    stage.refuses("not-found", stage.client("USA:carol").api().proposal(proposal)).await;

    let refusals = told(&stage).await;
    assert_eq!(times(&refusals, "ISR:yael", "not-found", "/v1/proposals/{proposal}"), 3);
    assert_eq!(times(&refusals, "ISR:avi", "refused", SOMETHING), before + 1);
    assert!(refusals.iter().all(|refusal| refusal.member.as_ref().unwrap().partner() == &code("ISR")), "{refusals:?}");
    let raw = stage.raw(Some(stage.credential("ISR:drafter")));
    let text = raw.request(Method::GET, "/v1/partners/ISR/refusals").send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("prop_") && !text.contains("nowhere"), "{text}");

    // Nobody else: not their colleagues, nor another nation's policy officer, nor the host's.
    for member in ["ISR:yael", "ISR:registrar", "USA:drafter", "USA:dana"] {
        let raw = stage.raw(Some(stage.credential(member)));
        stage.refuses_raw(403, "denied", raw.request(Method::GET, "/v1/partners/ISR/refusals")).await;
    }
    let raw = stage.raw(Some(stage.credential("USA:drafter")));
    let page = raw.request(Method::GET, "/v1/partners/USA/refusals").send().await.unwrap();
    let page: Page<MemberRefusal> = page.json().await.unwrap();
    assert_eq!(times(&page.items, "USA:carol", "not-found", "/v1/proposals/{proposal}"), 1);
    assert!(page.items.iter().all(|refusal| refusal.member.as_ref().unwrap().partner() == &code("USA")));

    let home = stage.home(&id("ISR:drafter")).display().to_string();
    let Output { status, stdout, .. } = ended(program(&["--home", &home, "member", "refusals"])).await;
    let screen = String::from_utf8(stdout).unwrap();
    assert!(status.success() && screen.contains("ISR:yael") && screen.contains("not-found"), "{screen}");
    stage.stop().await;
}

/// The lines about a member, without their times.
fn lines(refusals: &[MemberRefusal], member: &str) -> BTreeSet<(String, String, String)> {
    let member: MemberId = id(member);
    let of = refusals.iter().filter(|refusal| refusal.member.as_ref() == Some(&member));
    of.map(|refusal| (refusal.method.clone(), refusal.route.clone(), refusal.problem.clone())).collect()
}

/// Fails where a line about the member says more than that they were refused something.
fn says_nothing(refusals: &[MemberRefusal], member: &str) {
    let lines = lines(refusals, member);
    let is_absent = |route: &str, problem: &str| route == "/v1/proposals/{proposal}" && problem == "not-found";
    for (method, route, problem) in &lines {
        let is_something = (&**method, &**route, &**problem) == ("any", SOMETHING, "refused");
        assert!(is_something || is_absent(route, problem), "{member}: {lines:?}");
    }
    assert!(times(refusals, member, "refused", SOMETHING) > 0, "{member}: {lines:?}");
}

#[tokio::test]
async fn refusals_show_neither_that_a_proposal_exists_nor_who_takes_part_in_it() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (avi, yael) = (stage.client("ISR:avi"), stage.client("ISR:yael"));
    let before = times(&told(&stage).await, "ISR:avi", "refused", SOMETHING);
    // One of a party, about the proposal; and one who knows of none, about the call.
    stage.refuses("unknown-slot", avi.api().remove_document(proposal, &slug("nowhere"))).await;
    stage.refuses("last-of-party", avi.api().remove_member(proposal, &id("ISR:avi"))).await;
    stage.refuses("denied", yael.api().cancel_call(stage.call, "no more")).await;
    let refusals = told(&stage).await;
    for member in ["ISR:avi", "ISR:yael"] {
        says_nothing(&refusals, member);
    }
    assert_eq!(times(&refusals, "ISR:avi", "refused", SOMETHING), before + 2, "shown together");

    // A question about what exists is shown like one about what does not.
    let absent: ProposalId = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
    for asked in [proposal, absent] {
        stage.refuses("not-found", yael.api().documents(asked)).await;
    }
    assert_eq!(times(&told(&stage).await, "ISR:yael", "not-found", "/v1/proposals/{proposal}"), 2);
    stage.stop().await;
}

#[tokio::test]
async fn refusals_do_not_show_who_judges() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (maya, noa, yael) = (stage.client("ISR:maya"), stage.client("ISR:noa"), stage.client("ISR:yael"));
    let review = maya.submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    stage.refuses("denied", maya.api().reopen_review(review.id, "once more")).await;
    stage.refuses("already-declared", maya.declare(proposal, None)).await;
    stage.refuses("not-assigned", noa.api().unassign(proposal, &id("ISR:yael"))).await;
    stage.refuses("denied", yael.api().cancel_call(stage.call, "no more")).await;
    let refusals = told(&stage).await;
    for member in ["ISR:maya", "ISR:noa", "ISR:yael"] {
        says_nothing(&refusals, member);
    }
    let raw = stage.raw(Some(stage.credential("ISR:drafter")));
    let text = raw.request(Method::GET, "/v1/partners/ISR/refusals").send().await.unwrap().text().await.unwrap();
    for word in ["review", "assign", "declar", "vault"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn operator_finds_the_certificate_and_the_problem_of_a_refusal_and_nothing_of_what_it_was_about() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    let (avi, absent) = (site.speaker("ISR:avi"), "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF");
    let address = format!("{}/v1/proposals/{absent}", server.base());
    assert_eq!(avi.http.get(address).send().await.unwrap().status(), 404);
    let figures = server.admin("/metrics").await.1;
    let counted = "entente_refusals_total{partner=\"ISR\",problem=\"not-found\"} 1";
    assert!(figures.lines().any(|line| line == counted), "{figures}");
    assert!(server.stop().await.success());
    let log = fs::read_to_string(site.path("server.log")).unwrap();
    let refused = log.lines().filter(|line| line.contains("\"not-found\"")).collect::<Vec<_>>();
    let [line] = refused[..] else { panic!("{} lines of refusals in\n{log}", refused.len()) };
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["certificate"], avi.signing.spki_sha256().to_string());
    assert_eq!((&line["partner"], &line["route"]), (&"ISR".into(), &"/v1/proposals/{proposal}".into()));
    assert!(!log.contains(absent) && !figures.contains(absent));
}

#[tokio::test]
async fn policy_officers_see_which_certificates_of_their_own_partner_were_refused_in_the_handshake() {
    let stage = Stage::open().await;
    let authority = &stage.pki.partners[&code("ISR")].authority;
    let ended = authority.expired(&id("ISR:avi"), stage.clock.now(), &SystemRng).unwrap();
    for _ in 0..2 {
        assert_eq!(stage.alert(Some(&ended)).await, Some(AlertDescription::CertificateExpired));
    }
    let key = key_of(&ended);
    let refusals = told(&stage).await;
    let found: Vec<_> = refusals.iter().filter(|refusal| refusal.certificate == key).collect();
    let [refusal] = found[..] else { panic!("{refusals:?}") };
    let shown = (&*refusal.method, &*refusal.route, &*refusal.problem, refusal.times);
    assert_eq!(shown, ("TLS", "(handshake: expired)", "certificate-refused", 2));
    assert_eq!(refusal.member, None, "no key card names it");
    let others = stage.client("USA:drafter").refusals().await.unwrap();
    assert!(others.iter().all(|refusal| refusal.certificate != key), "{others:?}");
    stage.stop().await;
}

#[tokio::test]
async fn certificate_refused_in_the_handshake_is_logged_and_counted_for_the_partner_that_issued_it() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let authority = &world.pki.partners[&code("ISR")].authority;
    let ended = authority.expired(&id("ISR:avi"), SystemClock.now(), &SystemRng).unwrap();
    ended.write(&site.path("pki/ISR"), "ended").unwrap();
    world.stop().await;
    let server = site.serve().await;
    let request = site.speaker("ISR:ended").http.get(format!("{}/v1/me", server.base()));
    assert!(request.send().await.is_err());
    let counted = "entente_refusals_total{partner=\"ISR\",problem=\"certificate-refused\"} ";
    // The client hears of it a moment before it is counted.
    until("that it is counted", async || server.admin("/metrics").await.1.contains(counted).then_some(())).await;
    assert!(server.stop().await.success());
    let log = fs::read_to_string(site.path("server.log")).unwrap();
    let line = log.lines().find(|line| line.contains("a certificate was refused")).unwrap_or_else(|| panic!("{log}"));
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["certificate"], key_of(&ended).to_string());
    let told = ["partner", "problem", "reason"].map(|field| line[field].as_str().unwrap().to_owned());
    assert_eq!(told, ["ISR", "certificate-refused", "expired"]);
}

fn key_of(credential: &CertificateAndKey) -> Sha256 {
    let (key, certificate) = (credential.private_key.expose(), &credential.certificate);
    SigningKey::from_pem(key.as_bytes(), certificate.as_bytes()).unwrap().spki_sha256()
}
