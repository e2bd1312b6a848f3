//! The parts of the tour from which an exchange and a nation begin: the host's operator, a nation's officials, its registrar, everybody, and
//! its policy officers, against the server as a process.

use super::{Tour, fingerprint};
use crate::harness::process::{Site, ended, entente};
use entente::dev_pki::cast::{DemoNation, KOR, USA};
use std::fs;

const OFFICIALS: &str = "A nation's officials, once";
const EVERYBODY: &str = "Everybody, once";
const REGISTRAR: &str = "Registrar";
const POLICY: &str = "Policy officer";

/// The parts that are played here.
pub(super) const OFFICES: [&str; 5] = ["Host operator", OFFICIALS, EVERYBODY, REGISTRAR, POLICY];

/// Who is there before Israel comes.
const BEFORE: &[DemoNation] = &[USA, KOR];

const PEOPLE: &str = "member,name,organisation,roles\n\
    ISR:avi,Avi Levi,Galil Optics,\n\
    ISR:lior,Lior Gal,Policy Office,policy_officer\n\
    ISR:ruth,Ruth Peretz,Policy Office,policy_officer\n";

#[tokio::test]
async fn nation_comes_in_and_writes_its_rules_by_the_tour_alone() {
    let site = Site::new(None);
    site.world(BEFORE).await.stop().await;
    let (folder, pki) = (site.path("tour"), site.path("national-pki"));
    let mut tour = Tour::of(&OFFICES, site.path("homes"), folder.clone());
    assert!(ended(entente(&["dev-pki", pki.to_str().unwrap()])).await.status.success());
    let given = [("ISR/ca.crt", "ca.crt"), ("ISR/ca.key", "ca.key"), ("EU/ca.crt", "next-ca.crt")];
    for (from, to) in given.map(|(from, to)| (pki.join(from), to)) {
        fs::copy(from, folder.join(to)).unwrap();
    }
    fs::copy(site.path("pki/server/ca.crt"), folder.join("server-ca.crt")).unwrap();
    // There is nobody to type passphrases.
    tour.here.push(("keys new --passphrase", "keys new --plain".to_owned()));
    tour.here.push(("identity.age", "identity.key".to_owned()));
    tour.here.push(("/backup/entente", site.path("backup").display().to_string()));

    // The first registrar's key and the nation's card, which the host enrols.
    let first = "ISR:registrar";
    tour.operate(&site, " --check").await;
    tour.play(OFFICIALS, "partner card key", first, &["--plain"]).await;
    tour.play(OFFICIALS, "partner card new", first, &[]).await;
    let own = fingerprint(&folder.join("ISR-card.json"));
    let said = tour.operate(&site, " partner card ISR-card.json").await;
    let digits: String = said.split("fingerprint").nth(1).unwrap().split_whitespace().take(16).collect();
    assert_eq!(digits, own);
    tour.operate(&site, " partner suspend").await;
    let server = site.serve().await;
    tour.take("Host operator", "entente-server --config server.toml");
    tour.operate(&site, " backup").await;
    tour.here.push(("https://exchange.example:8443", server.base()));
    tour.is_told(own.clone());
    for beginning in ["keys new", "profile add", "trust add", "key-card issue"] {
        tour.play(OFFICIALS, beginning, first, &[]).await;
    }
    tour.play(OFFICIALS, "partner card renew", first, &["--yes"]).await;

    // Everybody else, by one file each way.
    tour.is_told(fingerprint(&site.path("pki/USA/card.json")));
    tour.play(REGISTRAR, "trust fetch", first, &[]).await;
    tour.is_told(fingerprint(&site.path("pki/KOR/card.json")));
    tour.run(first, "trust fetch KOR --fingerprint 3f9a…", &[]).await;
    tour.is_told(own);
    tour.write("people.csv", PEOPLE.as_bytes());
    tour.play(REGISTRAR, "member invite", first, &["--yes"]).await;
    fs::create_dir(folder.join("requests")).unwrap();
    // Each carries files between their machine and the registrar's.
    let carried = |from: &str, to: &str| fs::rename(folder.join(from), folder.join(to)).unwrap();
    for handle in ["avi", "lior", "ruth"] {
        let (member, invitation) = (format!("ISR:{handle}"), format!("invitation-ISR-{handle}.json"));
        carried(&format!("invitations/{invitation}"), &invitation);
        if handle == "avi" {
            tour.play(EVERYBODY, "join invitation", &member, &["--plain"]).await;
        } else {
            tour.run(&member, &format!("join {invitation} --fingerprint 3f9a…"), &["--plain"]).await;
        }
        let request = format!("request-ISR-{handle}.json");
        carried(&request, &format!("requests/{request}"));
        fs::remove_file(folder.join(invitation)).unwrap();
    }
    tour.play(REGISTRAR, "member approve", first, &["--yes"]).await;
    for handle in ["avi", "lior", "ruth"] {
        let (member, welcome) = (format!("ISR:{handle}"), format!("welcome-ISR-{handle}.json"));
        carried(&format!("welcomes/{welcome}"), &welcome);
        let said = if handle == "avi" {
            tour.play(EVERYBODY, "join welcome", &member, &[]).await
        } else {
            tour.run(&member, &format!("join {welcome}"), &[]).await
        };
        assert!(said.contains(&member), "{said}");
    }
    tour.play(EVERYBODY, "todo", "ISR:avi", &[]).await;

    // The nation's rules.
    for beginning in ["policy example", "policy example", "policy check", "policy test", "policy propose"] {
        tour.play(POLICY, beginning, "ISR:lior", &[]).await;
    }
    tour.play(POLICY, "policy diff", "ISR:ruth", &[]).await;
    tour.play(POLICY, "policy preview", "ISR:ruth", &[]).await;
    tour.play(POLICY, "policy approve", "ISR:ruth", &["--yes"]).await;
    tour.play(POLICY, "member preview", "ISR:lior", &[]).await;
    let listed = tour.play(POLICY, "policy list", "ISR:avi", &[]).await;
    assert!(listed.contains("ISR"), "{listed}");

    // What comes later: a renewal, another organisation, a lost machine, somebody who leaves.
    tour.play(EVERYBODY, "member renew", "ISR:avi", &["--plain"]).await;
    tour.play(REGISTRAR, "member move", first, &["--yes"]).await;
    tour.play(REGISTRAR, "member replace", first, &[]).await;
    tour.play(REGISTRAR, "key-card revoke", first, &["--yes"]).await;
    let status = tour.play(REGISTRAR, "partner status", first, &[]).await;
    assert!(status.contains(first), "{status}");

    // Keys without passphrases are not unlocked; `unlock.rs` does it with some. `console.rs` has a browser for the console.
    tour.left.retain(|(_, command)| !["unlock", "lock", "console"].contains(&command.as_str()));
    assert_eq!(tour.left, [], "every command of these parts was played");
    assert!(server.stop().await.success());
}
