//! What a registrar vouches for: their own keys, with which the office goes, those of several who ask at once, and those of somebody whose
//! key card has ended.

use crate::harness::{
    exchange::Answered,
    process::{Site, ended, entente},
    stage::{Stage, id, run},
};
use entente::{
    client::{approval::NewInvitation, directory::NewKeyCard},
    demo::world::DemoWorld,
    dev_pki::{
        CertificateAndKey,
        cast::{ISR, USA},
    },
    domain::ambient::Clock,
    sealing::card::PartnerCard,
    service::operator,
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the program; its exit code, its answer, and what it said besides.
async fn ran(home: &Path, words: &[&str]) -> (i32, Value, String) {
    let output = ended(entente(&[&["--json", "--home", text(home)], words].concat())).await;
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), answer, String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn done(home: &Path, words: &[&str]) -> Value {
    let (code, answer, told) = ran(home, words).await;
    assert_eq!(code, 0, "{words:?}: {told}");
    answer
}

/// Israel's registrar, who is the only one.
struct Office {
    home: PathBuf,
    ca: [PathBuf; 2],
    folder: PathBuf,
}

impl Office {
    fn of(site: &Site, world: &DemoWorld) -> Self {
        let ca = ["crt", "key"].map(|kind| site.path(&format!("pki/ISR/ca.{kind}")));
        let folder = site.path("office");
        fs::create_dir_all(&folder).unwrap();
        Self { home: world.home(&id("ISR:registrar")), ca, folder }
    }

    async fn approves(&self, request: &Path) -> (i32, Value, String) {
        self.approves_all(&[request]).await
    }

    async fn approves_all(&self, requests: &[&Path]) -> (i32, Value, String) {
        let authority = ["--ca-certificate", text(&self.ca[0]), "--ca-key", text(&self.ca[1])];
        let words = ["member", "approve", "--yes", "--to", text(&self.folder)];
        let requests: Vec<&str> = requests.iter().map(|request| text(request)).collect();
        ran(&self.home, &[&words[..], &authority, &requests].concat()).await
    }

    /// The command that a refusal names, run as it is printed, by officials who mean it.
    async fn does_as_told(&self, told: &str) -> PathBuf {
        let command = told.split('`').find(|part| part.starts_with("entente partner card renew")).unwrap();
        let words: Vec<String> =
            command.split_whitespace().skip(1).map(|word| word.trim_matches('\'').to_owned()).collect();
        let next = self.folder.join(words.last().unwrap());
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        *words.last_mut().unwrap() = text(&next);
        words.push("--yes");
        done(&self.home, &words).await;
        next
    }

    /// The host enrols the card, and each confirms its fingerprint.
    async fn confirmed(world: &DemoWorld, file: &Path, members: &[&str]) {
        let card = PartnerCard::from_json(&fs::read(file).unwrap()).unwrap();
        operator::enrol(&world.server.exchange, &card).await.unwrap();
        let fingerprint = card.fingerprint().unwrap().to_string();
        for member in members {
            let home = world.home(&id(member));
            done(&home, &["trust", "fetch", "ISR", "--fingerprint", &fingerprint]).await;
        }
    }
}

#[tokio::test]
async fn sole_registrar_renews_without_losing_the_office() {
    let site = Site::new(None);
    let world = site.world(&[USA, ISR]).await;
    let office = Office::of(&site, &world);
    let request = office.folder.join("request.json");
    let own = ["member", "show", "ISR:registrar"];
    let before = done(&office.home, &own).await;

    // The renewal says what it takes, to a registrar alone.
    let look = ["member", "renew", "--dry-run"];
    let told = done(&office.home, &look).await.to_string();
    assert!(told.contains("partner card names registrars by their keys"), "{told}");
    let told = done(&world.home(&id("ISR:drafter")), &look).await.to_string();
    assert!(!told.contains("partner card names registrars"), "{told}");
    let renewed = done(&office.home, &["member", "renew", "--plain", "--to", text(&request)]).await;

    // Approved now, the welcome would end the office. Nothing is published, and the refusal names the key and what adds it.
    let (code, _, told) = office.approves(&request).await;
    assert_eq!(code, 2, "{told}");
    assert!(told.contains(&format!("--registrar {}", renewed["key"].as_str().unwrap())), "{told}");
    assert_eq!(done(&office.home, &own).await["serial"], before["serial"], "nothing is published");

    // The next card names both keys, so what the present one signed is believed on.
    let next = office.does_as_told(&told).await;
    Office::confirmed(&world, &next, &["ISR:registrar", "ISR:drafter"]).await;
    let (code, _, told) = office.approves(&request).await;
    assert_eq!(code, 0, "{told}");
    let welcome = office.folder.join("welcome-ISR-registrar.json");
    assert_eq!(done(&office.home, &["join", text(&welcome)]).await["member"], "ISR:registrar");

    // The new key vouches, and another member believes it, as well as what the former key signed.
    let to = text(&office.folder);
    let invite = ["member", "invite", "ISR:lior", "--name", "Lior Gal", "--organisation", "Galil Optics", "--to", to];
    done(&office.home, &invite).await;
    done(&office.home, &["member", "move", "ISR:approver", "--name", "Ron Barak", "--yes"]).await;
    done(&office.home, &["member", "move", "ISR:registrar", "--newest-key-alone", "--yes"]).await;
    let listed = done(&world.home(&id("ISR:drafter")), &["member", "list", "--partner", "ISR"]).await;
    let listed = listed["items"].as_array().unwrap();
    assert!(listed.len() >= 3 && listed.iter().all(|member| member["verified"] == true), "{listed:?}");
    world.stop().await;
}

#[tokio::test]
async fn nobody_becomes_a_registrar_whose_key_the_partner_card_does_not_name() {
    let site = Site::new(None);
    let world = site.world(&[USA, ISR]).await;
    let office = Office::of(&site, &world);
    let to = text(&office.folder);

    // By the role alone, which is refused in the look as well.
    let promote = ["member", "move", "ISR:drafter", "--role", "policy_officer", "--role", "registrar"];
    for more in [["--dry-run"], ["--yes"]] {
        let (code, _, told) = ran(&office.home, &[&promote[..], &more].concat()).await;
        assert!(code == 2 && told.contains("does not name"), "{told}");
    }

    // By an invitation: the key is known once it is answered.
    let invite = [
        "member",
        "invite",
        "ISR:lior",
        "--name",
        "Lior Gal",
        "--organisation",
        "Gilboa Laboratory",
        "--role",
        "registrar",
    ];
    // A note is for people: programs are told by the refusal.
    let output = ended(entente(&[&["--home", text(&office.home)], &invite[..], &["--to", to]].concat())).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("before you approve a registrar's request"), "{told}");
    let (home, request) = (site.path("lior"), office.folder.join("lior.json"));
    fs::create_dir_all(&home).unwrap();
    let fingerprint = world.pki.partners[&"ISR".parse().unwrap()].card.fingerprint().unwrap().to_string();
    let invitation = office.folder.join("invitation-ISR-lior.json");
    let join = ["join", text(&invitation), "--plain", "--fingerprint", &fingerprint, "--to", text(&request)];
    done(&home, &join).await;
    let (code, _, told) = office.approves(&request).await;
    assert!(code == 2 && told.contains("does not name"), "{told}");
    assert!(ran(&office.home, &["member", "show", "ISR:lior"]).await.2.contains("no key card"), "nothing is published");
    let next = office.does_as_told(&told).await;
    Office::confirmed(&world, &next, &["ISR:registrar"]).await;
    let (code, _, told) = office.approves(&request).await;
    assert_eq!(code, 0, "{told}");
    world.stop().await;
}

#[tokio::test]
async fn requests_of_which_the_exchange_would_refuse_the_second_are_refused_before_the_first() {
    let site = Site::new(None);
    let world = site.world(&[USA, ISR]).await;
    let office = Office::of(&site, &world);
    let fingerprint = world.pki.partners[&"ISR".parse().unwrap()].card.fingerprint().unwrap().to_string();
    // Two who answer with one identity.
    let identity = site.path("shared.key");
    done(&office.home, &["keys", "new", "--plain", "--output", text(&identity)]).await;
    let mut requests = Vec::new();
    for handle in ["lior", "gal"] {
        let (member, to) = (format!("ISR:{handle}"), text(&office.folder));
        let invite = ["member", "invite", &member, "--name", handle, "--organisation", "Gilboa Laboratory", "--to", to];
        done(&office.home, &invite).await;
        let (home, request) = (site.path(handle), office.folder.join(format!("{handle}.json")));
        fs::create_dir_all(&home).unwrap();
        let invitation = office.folder.join(format!("invitation-ISR-{handle}.json"));
        let join = ["join", text(&invitation), "--plain", "--fingerprint", &fingerprint, "--to", text(&request)];
        done(&home, &[&join[..], &["--identity", text(&identity)]].concat()).await;
        requests.push(request);
    }
    let (code, _, told) = office.approves_all(&[&requests[0], &requests[1]]).await;
    assert!(code == 2 && told.contains("is that of `ISR:lior` in another of these requests"), "{code}: {told}");
    for member in ["ISR:lior", "ISR:gal"] {
        assert!(ran(&office.home, &["member", "show", member]).await.2.contains("no key card"), "{member}");
    }
    let (code, _, told) = office.approves(&requests[1]).await;
    assert_eq!(code, 0, "{told}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_key_card_that_ended_is_told_so_and_the_registrar_how_to_invite_them_again() {
    let stage = Stage::open().await;
    let (registrar, avi) = (stage.again("ISR:registrar"), id("ISR:avi"));
    let card = registrar.issued_member(&avi).await.unwrap().card.clone();
    let valid_until = stage.clock.now() + SignedDuration::from_hours(1);
    let (name, organisation) = (card.name.clone(), card.organisation.clone());
    registrar.issue_key_card(&NewKeyCard { valid_until, ..NewKeyCard::like(card) }).await.unwrap();
    stage.clock.pass(valid_until + SignedDuration::from_secs(60));
    let (_, answer, told) = run(&stage, "ISR:avi", &["me"]).await;
    assert!(answer.contains("the key card of ISR:avi ended on"), "{answer}");
    assert!(told.contains("`entente member replace ISR:avi`"), "{told}");

    let expires_at = stage.clock.now() + SignedDuration::from_hours(24);
    let new = NewInvitation { member: avi, name, organisation, roles: [].into(), expires_at };
    let trust = registrar.trust_file().await.unwrap();
    let refused = registrar.invite_member(&new, &trust, false).await.unwrap_err();
    assert!(refused.to_string().contains("ended on") && refused.help().contains("member replace ISR:avi"), "{refused}");
    registrar.invite_member(&new, &trust, true).await.unwrap();
    stage.stop().await;
}

/// Which member the certificate belongs to, and whose key card that ended it names.
async fn taken_for(stage: &Stage, certificate: &CertificateAndKey) -> (Value, Value) {
    let asked = stage.raw(Some(certificate)).request(Method::GET, "/v1/me").send().await.unwrap();
    let me = asked.expect_status(200).await;
    (me["member"].clone(), me["ended"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_card_is_said_to_have_ended_only_while_it_is_the_newest_and_its_time_is_over() {
    let stage = Stage::open().await;
    let (registrar, avi) = (stage.again("ISR:registrar"), id("ISR:avi"));
    let (former, next) = (stage.credential("ISR:avi").clone(), stage.next_credential("ISR:avi"));
    let card = registrar.issued_member(&avi).await.unwrap().card.clone();
    let (hour, second) = (SignedDuration::from_hours(1), SignedDuration::from_secs(1));
    let (nobody, member) = ((Value::Null, Value::Null), (json!("ISR:avi"), Value::Null));

    // Not yet valid: it has not ended, and nobody is to ask for another one.
    let (begins, ends) = (stage.clock.now() + hour, stage.clock.now() + hour * 2);
    let later = NewKeyCard { valid_from: Some(begins), valid_until: ends, ..NewKeyCard::like(card.clone()) };
    registrar.issue_key_card(&later).await.unwrap();
    assert_eq!(taken_for(&stage, &former).await, nobody, "it begins in an hour");
    for within in [begins, ends] {
        stage.clock.set(within);
        assert_eq!(taken_for(&stage, &former).await, member, "{within}");
    }
    stage.clock.set(ends + second);
    let ended = json!({ "member": "ISR:avi", "valid_until": ends });
    assert_eq!(taken_for(&stage, &former).await, (Value::Null, ended));

    // Replaced by one that names another certificate, while that is in force and when it has ended.
    let ends = stage.clock.now() + hour;
    let (certificates, shown) = (vec![next.spki], vec![next.certificate.clone()]);
    let other = NewKeyCard { certificates, shown, valid_until: ends, ..NewKeyCard::like(card) };
    registrar.issue_key_card(&other).await.unwrap();
    assert_eq!(taken_for(&stage, &former).await, nobody, "whose certificate it was is nobody's business any more");
    assert_eq!(taken_for(&stage, &next).await, member);
    stage.clock.set(ends + second);
    assert_eq!(taken_for(&stage, &former).await, nobody);
    let ended = json!({ "member": "ISR:avi", "valid_until": ends });
    assert_eq!(taken_for(&stage, &next).await, (Value::Null, ended));

    // Revoked, also one whose time is over and that names the certificate for what it signed.
    registrar.revoke_key_card(&avi, true).await.unwrap();
    for certificate in [&former, &next] {
        assert_eq!(taken_for(&stage, certificate).await, nobody);
    }
    stage.stop().await;
}
