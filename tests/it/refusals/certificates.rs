//! Who does not get in: no certificate, one that has ended or was revoked, one that claims another partner's member.

use crate::harness::{
    stage::{NATIONS, code, id},
    world::{Store, TestWorld},
};
use entente::{
    client::{Client, ClientError},
    dev_pki::{CertificateAndKey, LeafProfile},
    domain::ambient::{Clock, SystemRng},
};
use jiff::SignedDuration;
use reqwest::Method;

async fn world() -> TestWorld {
    TestWorld::start(NATIONS, Store::Sqlite).await.unwrap()
}

/// A client of Avi's with another certificate.
fn avi_with(world: &TestWorld, name: &str, credential: &CertificateAndKey) -> Client {
    let folder = world.plan.dir.join("others");
    credential.write(&folder, name).unwrap();
    let home = folder.join(format!("{name}-home"));
    std::fs::create_dir_all(&home).unwrap();
    let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    world.client_with(home, &id("ISR:avi"), certificate, key).unwrap()
}

/// Refused in the handshake: there was no connection over which a request could have been numbered.
async fn is_turned_away(world: &TestWorld, client: &Client) {
    let before = world.census().await;
    let error = client.api().me().await.unwrap_err();
    assert_eq!(error.slug(), Some("certificate-refused"), "{error:?}");
    assert!(matches!(error, ClientError::Problem { request_id: None, .. }), "{error:?}");
    assert_eq!(world.census().await, before);
}

/// Refused on a connection that was good a moment ago: the request was answered, with 401.
async fn is_refused_midway(world: &TestWorld, client: &Client) {
    let before = world.census().await;
    let error = client.api().me().await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.slug(), problem.status), ("certificate-refused", 401));
    assert!(matches!(error, ClientError::Problem { request_id: Some(_), .. }), "{error:?}");
    assert_eq!(world.census().await, before);
    is_turned_away(world, client).await;
}

#[tokio::test]
async fn stranger_without_a_certificate_gets_no_answer() {
    let world = world().await;
    let before = world.census().await;
    let error = world.raw(None).request(Method::GET, "/v1/me").send().await.unwrap_err();
    assert!(!error.is_timeout() && error.status().is_none(), "{error:?}");
    assert_eq!(world.census().await, before);
    world.stop().await;
}

#[tokio::test]
async fn certificate_that_has_ended_is_turned_away_and_one_that_ends_is_refused_on_its_connection() {
    let world = world().await;
    let (authority, now) = (&world.pki.partners[&code("ISR")].authority, world.clock.now());
    let ended = authority.expired(&id("ISR:avi"), now, &SystemRng).unwrap();
    is_turned_away(&world, &avi_with(&world, "ended", &ended)).await;
    let valid_until = now + SignedDuration::from_mins(1);
    let ending = LeafProfile { valid_until, ..authority.member(&id("ISR:avi")) };
    let ending = avi_with(&world, "ending", &authority.issue(&ending, &SystemRng).unwrap());
    ending.api().me().await.unwrap();
    world.clock.set(valid_until + SignedDuration::from_secs(1));
    is_refused_midway(&world, &ending).await;
    world.stop().await;
}

#[tokio::test]
async fn revoked_certificate_is_refused_on_a_live_connection() {
    let world = world().await;
    let (avi, tamar) = (world.client("ISR:avi"), world.client("ISR:tamar"));
    avi.api().me().await.unwrap();
    tamar.api().me().await.unwrap();
    let authority = &world.pki.partners[&code("ISR")].authority;
    let list = authority.crl(&[world.credential("ISR:avi")], 2).unwrap();
    std::fs::write(world.plan.dir.join("crls/ISR.pem"), list).unwrap();
    assert!(world.server.tls.reload().await.is_ok());
    is_refused_midway(&world, avi).await;
    assert_eq!(tamar.api().me().await.unwrap().member, Some(id("ISR:tamar")), "the others go on");
    world.stop().await;
}

#[tokio::test]
async fn partner_cannot_vouch_for_another_partners_member() {
    let world = world().await;
    // Korea's authority says that this is Israel's Avi.
    let korea = &world.pki.partners[&code("KOR")].authority;
    let forged = korea.issue(&korea.member(&id("ISR:avi")), &SystemRng).unwrap();
    is_turned_away(&world, &avi_with(&world, "forged", &forged)).await;
    world.stop().await;
}
