//! Revocation lists that are gone when a server starts again: their partner is shut out until they are back or the operator waives them.

use crate::{
    harness::{
        exchange::Answered,
        process::{Server, Site, until},
    },
    process::{NATIONS, spoken},
};
use std::fs;

async fn is_let_in(site: &Site, server: &Server, member: &str) -> bool {
    let me = format!("{}/v1/me", server.base());
    match site.speaker(member).http.get(&me).send().await {
        Ok(answer) => {
            answer.expect_status(200).await;
            true
        }
        Err(_) => false,
    }
}

async fn faults(server: &Server) -> String {
    let (_, figures) = server.admin("/metrics").await;
    figures.lines().find_map(|line| line.strip_prefix("entente_trust_faults ")).unwrap().to_owned()
}

#[tokio::test]
async fn partner_whose_lists_are_gone_at_a_start_is_shut_out_until_they_are_waived_or_back() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let kept = fs::read(site.path("crls/USA.pem")).unwrap();
    fs::remove_file(site.path("crls/ISR.pem")).unwrap();
    let (_, said, told) = spoken(site.operate(&["--check"]).await);
    assert!(
        told.contains("`ISR` needs revocation lists") && told.contains("there were lists in `ISR.pem`"),
        "{said}{told}"
    );
    let server = site.serve().await;
    assert!(is_let_in(&site, &server, "USA:dana").await);
    assert!(!is_let_in(&site, &server, "ISR:avi").await);
    assert_eq!(faults(&server).await, "1");
    let log = fs::read_to_string(site.path("server.log")).unwrap();
    assert!(log.contains("there were lists in `ISR.pem`") && log.contains("waive-lists"), "{log}");

    let (code, said, told) = spoken(site.operate(&["partner", "waive-lists", "ISR"]).await);
    assert!(code == 0 && said.contains("need no revocation list"), "{said}{told}");
    until("the running server lets Israel in", async || is_let_in(&site, &server, "ISR:avi").await.then_some(())).await;
    assert_eq!(faults(&server).await, "0");
    let entries = format!("{}/v1/entries?kind=partner.lists_waived", server.base());
    let told = site.speaker("USA:bob").http.get(&entries).send().await.unwrap().text().await.unwrap();
    assert!(told.contains("ISR.pem"), "other nations read it in the log: {told}");
    assert!(server.stop().await.success());

    // A disk that is not mounted.
    fs::remove_file(site.path("crls/USA.pem")).unwrap();
    let server = site.serve().await;
    assert!(is_let_in(&site, &server, "ISR:avi").await);
    assert!(!is_let_in(&site, &server, "USA:dana").await);
    assert_eq!(faults(&server).await, "2", "the folder and the nation");
    fs::write(site.path("crls/usa.CRL"), kept).unwrap();
    until("the lists are back", async || is_let_in(&site, &server, "USA:dana").await.then_some(())).await;
    assert_eq!(faults(&server).await, "0");
    assert!(server.stop().await.success());
}
