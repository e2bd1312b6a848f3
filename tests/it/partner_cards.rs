//! A nation's way in, from the registrar's key to the status of the nation, by the commands of the README.

use crate::{
    harness::process::{Site, ended, entente, until},
    process::{NATIONS, spoken},
};
use entente::{
    domain::ambient::{Clock, SystemClock},
    sealing::card::PartnerCard,
};
use jiff::SignedDuration;
use serde_json::Value;
use std::{fs, path::Path};

async fn ran(home: &Path, words: &[&str]) -> Value {
    let words: Vec<&str> = ["--json", "--home", home.to_str().unwrap()].iter().chain(words).copied().collect();
    let output = ended(entente(&words)).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap_or_default()
}

async fn refused(home: &Path, words: &[&str]) -> String {
    let words: Vec<&str> = ["--home", home.to_str().unwrap()].iter().chain(words).copied().collect();
    let output = ended(entente(&words)).await;
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[tokio::test]
async fn nation_comes_in_by_one_card_from_its_first_registrar_on() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let (office, pki) = (site.path("office"), site.path("other"));
    fs::create_dir_all(&office).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    ran(&office, &["dev-pki", &text(&pki)]).await;
    let (ca, ca_key) = (text(&pki.join("EU/ca.crt")), text(&pki.join("EU/ca.key")));

    // The registrar's key and the card.
    let to = text(&office);
    ran(
        &office,
        &[
            "partner",
            "card",
            "key",
            "EU:registrar",
            "--plain",
            "--ca-certificate",
            &ca,
            "--ca-key",
            &ca_key,
            "--to",
            &to,
        ],
    )
    .await;
    let (certificate, key) = (text(&office.join("EU-registrar.crt")), text(&office.join("EU-registrar.key")));
    let card = text(&office.join("eu-card.json"));
    let new = ["partner", "card", "new", "--code", "EU", "--name", "European Commission", "--zone", "Europe/Brussels"];
    let parts = ["--anchor", &ca, "--registrar", &certificate, "--to", &card];
    let made = ran(&office, &[&new[..], &parts].concat()).await;
    let fingerprint = made["fingerprint"].as_str().unwrap().to_owned();
    let again = refused(&office, &[&new[..], &parts].concat()).await;
    assert!(again.contains("exists already"), "{again}");

    // Another registrar in the place of this one ends what this one vouched for, which is said beforehand.
    let (home, another) = (text(&office), "ab".repeat(32));
    let renew = ["--home", &home, "partner", "card", "renew", &card, "--registrar", &another];
    let output = ended(entente(&[&renew[..], &["--without-registrar", &certificate, "--dry-run"]].concat())).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("have receipts and dossiers made first"), "{told}");
    let output = ended(entente(&[&renew[..], &["--dry-run"]].concat())).await;
    assert!(!String::from_utf8_lossy(&output.stderr).contains("receipts"), "{output:?}");

    // The host takes it with its present command, and shows the same digits.
    let (code, said, told) = spoken(site.operate(&["partner", "card", &card]).await);
    assert!(code == 0 && said.contains("`EU` is enrolled"), "{said}{told}");
    let digits: String = said.split("fingerprint").nth(1).unwrap().split_whitespace().take(16).collect();
    assert_eq!(digits, fingerprint);
    let server = site.serve().await;
    let server_ca = text(&site.path("pki/server/ca.crt"));

    // The README's order for the first registrar.
    ran(&office, &["keys", "new", "--plain"]).await;
    let identity = text(&office.join("identity.key"));
    let recipients = ran(&office, &["keys", "show", &identity]).await;
    let recipient = recipients["items"][0]["recipients"][0].as_str().unwrap().to_owned();
    let base = server.base();
    let profile = ["profile", "add", "registrar", "--server", &base, "--server-ca", &server_ca];
    let files = ["--certificate", &certificate, "--private-key", &key, "--identity", &identity];
    ran(&office, &[&profile[..], &files].concat()).await;
    let unconfirmed = refused(&office, &["partner", "status"]).await;
    assert!(!unconfirmed.contains(&fingerprint), "{unconfirmed}");
    ran(&office, &["trust", "add", &card, "--fingerprint", &fingerprint]).await;
    let issue = ["key-card", "issue", "EU:registrar", "--name", "Registrar", "--organisation", "Commission"];
    let rest = ["--role", "registrar", "--recipient", &recipient, "--certificate", &certificate, "--valid-until"];
    let end = format!("{:.0}", SystemClock.now() + SignedDuration::from_hours(24 * 20));
    ran(&office, &[&issue[..], &rest, &[end.as_str()], &["--yes"]].concat()).await;

    let status = ran(&office, &["partner", "status"]).await;
    assert_eq!(status["registrars"][0]["member"], "EU:registrar", "{status}");
    assert_eq!(status["key_cards_ending"][0]["within_days"], 30, "{status}");
    assert_eq!(status["members_in_force"], 1);
    assert_eq!(status["trust"]["needs_lists"], false);
    assert!(status["authorities"][0]["not_after"].is_string(), "{status}");
    // Another nation's card is not confirmed here: nothing that could be pasted is shown.
    let output = ended(entente(&["--home", &to, "partner", "show", "USA"])).await;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let usa: Value = serde_json::from_slice(&fs::read(site.path("pki/USA/card.json")).unwrap()).unwrap();
    let usa = PartnerCard::from_json(usa.to_string().as_bytes()).unwrap();
    assert!(!shown.contains(&usa.fingerprint().unwrap().to_string()), "{shown}");
    let listed = ended(entente(&["--home", &to, "partner", "list"])).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!listed.contains(&usa.fingerprint().unwrap().to_string()[..8]), "{listed}");
    let told = refused(&office, &["trust", "fetch", "USA", "--fingerprint", &fingerprint]).await;
    assert!(!told.contains(&usa.fingerprint().unwrap().to_string()), "{told}");

    // The figures say how many end, and of whom nothing.
    let line = "entente_ending_soon{partner=\"EU\",what=\"key_card\",days=\"30\"} ";
    assert!(server.stop().await.success());
    let server = site.serve().await;
    let counted = async || {
        let (_, figures) = server.admin("/metrics").await;
        figures.lines().find_map(|found| found.strip_prefix(line).map(ToOwned::to_owned))
    };
    assert_eq!(until("the figure", counted).await, "1");
    assert!(!server.admin("/metrics").await.1.contains("EU:registrar"), "no names");
    assert!(server.stop().await.success());

    // The next card, with another registrar beside the first.
    ran(
        &office,
        &["partner", "card", "key", "EU:second", "--plain", "--ca-certificate", &ca, "--ca-key", &ca_key, "--to", &to],
    )
    .await;
    let (second, next) = (text(&office.join("EU-second.crt")), text(&office.join("eu-card-2.json")));
    let renew = ["partner", "card", "renew", &card, "--registrar", &second];
    let would = ran(&office, &[&renew[..], &["--dry-run"]].concat()).await;
    assert_eq!(would["before"], fingerprint, "{would}");
    assert!(would["changes"][0].as_str().unwrap().starts_with("+ registrar "), "{would}");
    let made = ran(&office, &[&renew[..], &["--to", &next, "--yes"]].concat()).await;
    assert_eq!(made["fingerprint"], would["after"]);
    let (code, said, told) = spoken(site.operate(&["partner", "card", &next]).await);
    assert!(code == 0 && said.contains("+ registrar"), "{said}{told}");
    let shown = ran(&office, &["partner", "card", "show", &next]).await;
    assert_eq!(shown["fingerprint"], would["after"]);
}
