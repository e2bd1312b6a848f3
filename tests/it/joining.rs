//! Becoming a member, renewing and replacing keys, by one file each way.

use crate::harness::{
    process::{Site, ended, entente},
    programs::has_all,
    scratch::scratch,
    stage::{Stage, Step, id, quiet, slug},
};
use entente::{
    client::{
        Ambient, Client, Home, Profile,
        agent::Agent,
        approval::{Certification, NewInvitation},
        directory::NewKeyCard,
        joining::{JoinChoice, read_invitation, welcome},
        verified::VersionChoice,
    },
    demo::world::DemoWorld,
    dev_pki::cast::{DemoNation, GBR, ISR, KOR, USA},
    domain::{
        ambient::Clock,
        id::{MemberId, Sha256},
    },
    sealing::{
        certificates::MemberAuthority,
        identity::{Keyring, NoPrompt, new_identity, write_identity_file},
        joining::{InvitationFile, RequestFile, WelcomeFile},
    },
};
use jiff::SignedDuration;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

const NATIONS: &[DemoNation] = &[USA, ISR, KOR, GBR];
const OF_A_NATION: usize = 15;

/// How many commands were run in each folder since somebody asked.
static COMMANDS: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// How many commands were run in the folder since this was last asked.
fn commands(home: &Path) -> usize {
    COMMANDS.lock().unwrap().remove(home).unwrap_or_default()
}

/// Runs the program; what it answered.
async fn ran(home: &Path, words: &[&str]) -> Value {
    *COMMANDS.lock().unwrap().entry(home.to_owned()).or_default() += 1;
    let words: Vec<&str> = ["--json", "--home", home.to_str().unwrap()].iter().chain(words).copied().collect();
    let output = ended(entente(&words)).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap_or_default()
}

/// Runs the program, which is to refuse; its exit code and what it said.
async fn refused(home: &Path, words: &[&str]) -> (i32, String) {
    let words: Vec<&str> = ["--home", home.to_str().unwrap()].iter().chain(words).copied().collect();
    let output = ended(entente(&words)).await;
    assert!(!output.status.success(), "{words:?}");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs the program; what it said besides its answer.
async fn said(home: &Path, words: &[&str]) -> String {
    let words: Vec<&str> = ["--home", text(home)].iter().chain(words).copied().collect();
    String::from_utf8_lossy(&ended(entente(&words)).await.stderr).into_owned()
}

/// What a command warned of, in its words.
fn warnings(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.strip_prefix("warning: ")).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A registrar's folder, authority and fingerprint.
struct Office {
    nation: &'static str,
    home: PathBuf,
    ca: [PathBuf; 2],
    fingerprint: String,
    folder: PathBuf,
}

impl Office {
    fn of(site: &Site, world: &DemoWorld, nation: &'static str) -> Self {
        let registrar: MemberId = format!("{nation}:registrar").parse().unwrap();
        let ca = ["crt", "key"].map(|kind| site.path(&format!("pki/{nation}/ca.{kind}")));
        let fingerprint = world.pki.partners[registrar.partner()].card.fingerprint().unwrap().to_string();
        Self { nation, home: world.home(&registrar), ca, fingerprint, folder: site.path(&format!("office-{nation}")) }
    }

    fn file(&self, kind: &str, handle: &str) -> PathBuf {
        self.folder.join(kind).join(format!("{kind}-{}-{handle}.json", self.nation))
    }

    async fn approves(&self, requests: &[PathBuf]) -> Value {
        let mut words = vec!["member", "approve", "--yes", "--ca-certificate", text(&self.ca[0])];
        words.extend(["--ca-key", text(&self.ca[1]), "--to"]);
        let to = self.folder.join("welcome");
        words.push(text(&to));
        words.extend(requests.iter().map(|path| text(path)));
        ran(&self.home, &words).await
    }

    /// Everybody of a table comes in.
    async fn takes_in(&self, site: &Site) {
        commands(&self.home);
        let mut table = "member,name,organisation,roles\n".to_owned();
        for at in 0..OF_A_NATION {
            let roles = if at == 0 { "policy_officer" } else { "" };
            writeln!(table, "{0}:new{at},\"Newcomer, {at}\",Institute {0} {at},{roles}", self.nation).unwrap();
        }
        fs::create_dir_all(&self.folder).unwrap();
        let people = self.folder.join("people.csv");
        fs::write(&people, table).unwrap();
        let to = self.folder.join("invitation");
        let invite = ["member", "invite", "--file", text(&people), "--to", text(&to), "--yes"];
        let would = ran(&self.home, &[&invite[..], &["--dry-run"]].concat()).await;
        assert_eq!((would["items"].as_array().unwrap().len(), to.exists()), (OF_A_NATION, false));
        ran(&self.home, &invite).await;
        let mut requests = Vec::new();
        for at in 0..OF_A_NATION {
            let (handle, home) = (format!("new{at}"), self.home_of(site, &format!("new{at}")));
            let (invitation, request) = (self.file("invitation", &handle), home.join("request.json"));
            fs::create_dir_all(&home).unwrap();
            let words =
                ["join", text(&invitation), "--plain", "--fingerprint", &self.fingerprint, "--to", text(&request)];
            let joined = ran(&home, &words).await;
            assert_eq!(joined["pinned"].as_array().unwrap().len(), NATIONS.len());
            requests.push(request);
        }
        let welcomed = self.approves(&requests).await;
        assert_eq!(welcomed["items"].as_array().unwrap().len(), OF_A_NATION);
        for at in 0..OF_A_NATION {
            let handle = format!("new{at}");
            let me = ran(&self.home_of(site, &handle), &["join", text(&self.file("welcome", &handle))]).await;
            assert_eq!(me["member"], format!("{}:{handle}", self.nation));
            assert!(commands(&self.home_of(site, &handle)) <= 3, "`join` twice");
        }
        assert!(commands(&self.home) <= 4, "a dry run, `member invite`, `member approve`");
    }

    fn home_of(&self, site: &Site, handle: &str) -> PathBuf {
        site.path(&format!("newcomers/{}-{handle}", self.nation))
    }
}

#[tokio::test]
async fn sixty_members_of_four_nations_come_in_by_one_file_each_way() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let offices = ["USA", "ISR", "KOR", "GBR"].map(|nation| Office::of(&site, &world, nation));
    for office in &offices {
        office.takes_in(&site).await;
    }
    // Each verifies the others, whose cards came with the invitation.
    let israel = &offices[1];
    let home = israel.home_of(&site, "new3");
    let listed = ran(&home, &["member", "list"]).await;
    let items = listed["items"].as_array().unwrap();
    // With the registrar and the two policy officers of each nation.
    assert_eq!(items.len(), NATIONS.len() * (OF_A_NATION + 3));
    assert!(items.iter().all(|member| member["verified"] == true), "{listed}");

    // A certificate that is about to end: two commands on each side, and the old key serves until the welcome is taken.
    let request = site.path("renewal.json");
    commands(&home);
    let passphrase = site.path("passphrase");
    write_identity_file(&passphrase, b"twelve letters at least\n").unwrap();
    let asked = ["--passphrase-file", text(&passphrase)];
    let renewed = ran(&home, &[&asked[..], &["member", "renew", "--to", text(&request)]].concat()).await;
    let mut of_member = commands(&home);
    ran(&home, &["me"]).await;
    fs::remove_file(israel.file("welcome", "new3")).unwrap();
    israel.approves(std::slice::from_ref(&request)).await;
    assert_eq!(ran(&home, &["me"]).await["member"], "ISR:new3", "by the key that was in force");
    commands(&home);
    ran(&home, &[&asked[..], &["join", text(&israel.file("welcome", "new3"))]].concat()).await;
    of_member += commands(&home);
    // The new key is protected, and OpenSSL opens it as the program does, where it is installed.
    let key = renewed["private_key"].as_str().unwrap();
    assert!(fs::read_to_string(key).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let from = format!("file:{}", passphrase.display());
    if has_all(&["openssl"], "NO OTHER PROGRAM OPENED THE PRIVATE KEY THAT `entente member renew` PROTECTED") {
        let opened = Command::new("openssl").args(["pkey", "-noout", "-in", key, "-passin", &from]).status();
        assert!(opened.is_ok_and(|status| status.success()), "OpenSSL reads it");
    }
    let (code, told) = refused(&home, &["me"]).await;
    assert!(code != 0 && told.contains("needs a passphrase"), "{told}");
    assert_eq!(ran(&home, &[&asked[..], &["me"]].concat()).await["member"], "ISR:new3");
    assert!(of_member <= 2 && commands(&israel.home) <= 2, "{of_member} of the member");

    // A year ahead nobody is warned.
    let told = said(&home, &[&asked[..], &["me"]].concat()).await;
    assert!(warnings(&told).is_empty(), "{told}");

    // Done twice: the card stays, and the welcome is made again.
    let show = [&asked[..], &["member", "show", "ISR:new3"]].concat();
    let before = ran(&home, &show).await;
    fs::remove_file(israel.file("welcome", "new3")).unwrap();
    israel.approves(&[request]).await;
    assert_eq!(ran(&home, &show).await["serial"], before["serial"]);
    world.stop().await;
}

#[tokio::test]
async fn registrar_is_asked_before_an_invitation_only_about_organisations_that_are_nearly_another() {
    let site = Site::new(None);
    let world = site.world(&[USA, ISR]).await;
    let office = Office::of(&site, &world, "ISR");
    fs::create_dir_all(&office.folder).unwrap();
    let to = office.folder.join("invitation");
    let table = |name: &str, rows: &str| {
        let path = office.folder.join(name);
        fs::write(&path, format!("member,name,organisation\n{rows}")).unwrap();
        path
    };
    let known = ran(&office.home, &["member", "show", "ISR:registrar"]).await;
    let known = known["organisation"].as_str().unwrap();

    // Two organisations that nobody mistakes for another, one of them known: nothing to ask.
    let apart = table("apart.csv", &format!("ISR:lior,Lior,Gilboa Laboratory\nISR:gal,Gal,{known}\n"));
    ran(&office.home, &["member", "invite", "--file", text(&apart), "--to", text(&to)]).await;
    assert!(office.file("invitation", "lior").exists() && office.file("invitation", "gal").exists());

    // Nearly alike in the table itself, and one person at an organisation that is nearly a known one.
    let alike = table("alike.csv", "ISR:shir,Shir,Arava Optics\nISR:maya,Maya,Arava Optic\n");
    let of_table = ["member", "invite", "--file", text(&alike), "--to", text(&to)];
    let near = format!("{known} Unit");
    let of_one = ["member", "invite", "ISR:tal", "--name", "Tal", "--organisation", &near, "--to", text(&to)];
    for (words, handle, people) in
        [(&of_table[..], "shir", "2 people are invited"), (&of_one[..], "tal", "1 person is invited")]
    {
        let (code, refusal) = refused(&office.home, words).await;
        assert!(code == 2 && refusal.contains("is nearly") && refusal.contains(people), "{code}: {refusal}");
        assert!(refusal.contains("--yes") && !office.file("invitation", handle).exists(), "{refusal}");
        ran(&office.home, &[words, &["--yes"]].concat()).await;
        assert!(office.file("invitation", handle).exists());
    }
    world.stop().await;
}

#[tokio::test]
async fn national_pki_signs_what_the_registrar_checked() {
    let site = Site::new(None);
    let world = site.world(&[USA, ISR]).await;
    let office = Office::of(&site, &world, "ISR");
    let (home, invitations) = (office.home_of(&site, "lior"), office.folder.join("invitation"));
    fs::create_dir_all(&home).unwrap();
    let invite = ["member", "invite", "ISR:lior", "--name", "Lior Gal", "--organisation", "Galil Optics", "--to"];
    ran(&office.home, &[&invite[..], &[text(&invitations)]].concat()).await;
    let (invitation, request) = (office.file("invitation", "lior"), home.join("request.json"));

    // The fingerprint is what makes the file worth anything.
    let other = Sha256::of(b"what a host would like").to_string();
    let words = ["join", text(&invitation), "--plain", "--fingerprint", &other, "--to", text(&request)];
    let (code, refusal) = refused(&home, &words).await;
    assert_eq!(code, 4, "{refusal}");
    assert!(!refusal.contains(&office.fingerprint), "nobody pastes it: {refusal}");
    let words = ["join", text(&invitation), "--plain", "--fingerprint", &office.fingerprint, "--to", text(&request)];
    ran(&home, &words).await;
    let (_, under_way) = refused(&home, &words).await;
    assert!(under_way.contains("under way"), "{under_way}");

    let (csr, signed) = (site.path("csr"), site.path("signed"));
    let approve = ["member", "approve", text(&request), "--yes"];
    let written = ran(&office.home, &[&approve[..], &["--requests-to", text(&csr)]].concat()).await;
    fs::create_dir_all(&signed).unwrap();
    let none = refused(&office.home, &[&approve[..], &["--certificates", text(&signed)]].concat()).await;
    assert!(none.1.contains("none of the certificates"), "{}", none.1);
    let asked = fs::read_to_string(written["items"][0].as_str().unwrap()).unwrap();
    let [ca, key] = office.ca.each_ref().map(|path| fs::read_to_string(path).unwrap());
    let authority = MemberAuthority::from_pem(&ca, &key.into()).unwrap();
    let now = world.clock.now();
    let valid = (now - SignedDuration::from_hours(1), now + SignedDuration::from_hours(24 * 20));
    let certificate = authority.issue(&id("ISR:lior"), &asked, valid, &*world.rng).unwrap();
    fs::write(signed.join("lior.pem"), certificate).unwrap();
    let to = office.folder.join("welcome");
    let words = [&approve[..], &["--certificates", text(&signed), "--to", text(&to)]].concat();
    ran(&office.home, &words).await;
    let me = ran(&home, &["join", text(&office.file("welcome", "lior"))]).await;
    assert_eq!(me["member"], "ISR:lior");
    let shown = ran(&home, &["member", "show", "ISR:lior"]).await;
    assert_eq!(shown["name"], "Lior Gal");
    // It ends in twenty days, and its holder and the registrar are told.
    let told = said(&home, &["me"]).await;
    let [ends] = warnings(&told)[..] else { panic!("{told}") };
    assert!(ends.starts_with("your key card ends in 19 days") && ends.contains("entente member renew"), "{told}");
    let told = said(&office.home, &["member", "list"]).await;
    let [ends] = warnings(&told)[..] else { panic!("{told}") };
    assert!(ends.starts_with("1 key card of your nation ends within 30 days: ISR:lior"), "{told}");

    // Another organisation and another role, with the same keys.
    let moved =
        ["member", "move", "ISR:lior", "--organisation", "Haifa Photonics", "--role", "program_officer", "--yes"];
    ran(&office.home, &moved).await;
    let shown = ran(&home, &["member", "show", "ISR:lior"]).await;
    assert_eq!((&shown["organisation"], &shown["roles"][0]), (&"Haifa Photonics".into(), &"program_officer".into()));
    assert_eq!(ran(&home, &["me"]).await["member"], "ISR:lior");
    world.stop().await;
}

/// The commands of a page that join in a folder of their own, with what stands there in the place of the page's examples.
fn recipe(page: &str, places: &[(&str, &str)]) -> Vec<Vec<String>> {
    let text = places.iter().fold(page.replace("\\\n", " "), |text, (from, to)| text.replace(from, to));
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("sudo -u entente-relay entente "));
    let words = lines.map(|line| line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect());
    words.filter(|words: &Vec<String>| words.iter().any(|word| word == "join")).collect()
}

#[tokio::test]
async fn relay_joins_by_the_commands_of_its_page() {
    let site = Site::new(None);
    let world = site.world(&[USA, ISR]).await;
    let (office, folder) = (Office::of(&site, &world, "ISR"), site.path("relay"));
    fs::create_dir_all(&folder).unwrap();
    let to = text(&folder);
    let invite =
        ["member", "invite", "ISR:relay", "--name", "Relay", "--organisation", "Gilboa Laboratory", "--role", "relay"];
    ran(&office.home, &[&invite[..], &["--to", to]].concat()).await;
    let places = [("/var/lib/entente-relay", to), ("3f9a…", &office.fingerprint)];
    let commands = recipe(include_str!("../../docs/relay.md"), &places);
    let [asks, ends] = commands.as_slice() else { panic!("{commands:?}") };
    let types = async |words: &[String]| {
        let output = ended(entente(&words.iter().map(String::as_str).collect::<Vec<_>>())).await;
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    types(asks).await;
    office.approves(&[folder.join("request-ISR-relay.json")]).await;
    fs::copy(office.file("welcome", "relay"), folder.join("welcome-ISR-relay.json")).unwrap();
    types(ends).await;
    assert_eq!(ran(&folder, &["me"]).await["member"], "ISR:relay");
    world.stop().await;
}

/// A registrar and somebody of their nation on a stage whose clock is the test's.
struct Desk<'s> {
    stage: &'s Stage,
    registrar: Client,
    certification: Certification,
}

impl<'s> Desk<'s> {
    fn of(stage: &'s Stage, nation: &str) -> Self {
        let files = stage.plan.dir.join("pki").join(nation);
        let [ca, key] = ["crt", "key"].map(|kind| fs::read_to_string(files.join(format!("ca.{kind}"))).unwrap());
        let certification = Certification::Authority(Box::new(MemberAuthority::from_pem(&ca, &key.into()).unwrap()));
        Self { stage, registrar: stage.again(&format!("{nation}:registrar")), certification }
    }

    fn ambient(&self) -> Ambient {
        Ambient { clock: self.stage.clock.clone(), rng: self.stage.rng.clone() }
    }

    async fn invites(&self, member: &str, replaces: bool) -> InvitationFile {
        let new = NewInvitation {
            member: id(member),
            name: "Avi Levi".to_owned(),
            organisation: "Galil Optics".to_owned(),
            roles: [].into(),
            expires_at: self.stage.clock.now() + SignedDuration::from_hours(24),
        };
        let trust = self.registrar.trust_file().await.unwrap();
        self.registrar.invite_member(&new, &trust, replaces).await.unwrap()
    }

    /// Answers in a new folder, with a new identity.
    fn answers(&self, file: &InvitationFile, root: &Path) -> RequestFile {
        let home = Home::locate(Some(root)).unwrap();
        let (identity, path) = (new_identity(), root.join("next.txt"));
        fs::create_dir_all(root).unwrap();
        write_identity_file(&path, identity.file_text(self.stage.clock.now()).expose().as_bytes()).unwrap();
        let keyring = Keyring::load(&path, &NoPrompt).unwrap();
        let fingerprint = self.stage.pki.partners[&"ISR".parse().unwrap()].card.fingerprint().unwrap();
        let invitation = read_invitation(file, &fingerprint, self.stage.clock.now()).unwrap();
        let choice = JoinChoice {
            profile: "work".to_owned(),
            identities: vec![path],
            zone: None,
            again: false,
            passphrase: None,
        };
        invitation.answer(&home, &choice, &keyring, &self.ambient()).unwrap().request
    }

    async fn welcomes(&self, request: &RequestFile) -> WelcomeFile {
        let checked = self.registrar.check_request(request).await.unwrap();
        let until = self.stage.clock.now() + SignedDuration::from_hours(24 * 30);
        self.registrar.approve_request(&checked, &self.certification, until).await.unwrap()
    }

    fn machine(&self, root: &Path, file: &WelcomeFile) -> Client {
        let home = Home::locate(Some(root)).unwrap();
        let profile: Profile = welcome(&home, file, &NoPrompt, self.stage.clock.now()).unwrap();
        Client::new(home, profile, NoPrompt, self.ambient()).unwrap()
    }
}

#[tokio::test]
async fn who_lost_a_laptop_reads_everything_again() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (desk, folder) = (Desk::of(&stage, "ISR"), scratch());
    let root = folder.path().join("avi");
    let request = desk.answers(&desk.invites("ISR:avi", true).await, &root);
    let avi = desk.machine(&root, &desk.welcomes(&request).await);
    assert_eq!(avi.member_id().await.unwrap(), id("ISR:avi"));
    // The key in force is the new one alone.
    let refused = stage.again("ISR:avi").api().proposal(proposal).await.unwrap_err();
    assert_eq!(refused.slug(), Some("not-a-member"), "{refused}");

    avi.read_summary(proposal, VersionChoice::Standing).await.unwrap_err();
    for member in ["USA:bob", "USA:dana", "ISR:noa"] {
        let mut agent = Agent::new(|| Ok(stage.again(member)), Some(stage.call));
        agent.round(&|| false, &mut |_| {}).await.unwrap();
    }
    avi.read_summary(proposal, VersionChoice::Standing).await.unwrap();
    let out = folder.path().join("restricted.pdf");
    let party = "ISR".parse().unwrap();
    let slot = slug("shareholders");
    avi.open_document(proposal, &slot, Some(&party), VersionChoice::Standing, &out, quiet()).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn request_that_somebody_else_could_have_made_is_refused() {
    let stage = Stage::open().await;
    let (desk, folder) = (Desk::of(&stage, "ISR"), scratch());
    let file = desk.invites("ISR:lior", false).await;
    let good = desk.answers(&file, &folder.path().join("lior"));
    desk.registrar.check_request(&good).await.unwrap();
    let fault = async |request: &RequestFile| desk.registrar.check_request(request).await.unwrap_err().to_string();

    // Nothing shows that the sender has the identity, or it is shown for another request.
    let silent = RequestFile { possession: [].into(), ..good.clone() };
    assert!(fault(&silent).await.contains("does not prove"));
    let other = desk.answers(&file, &folder.path().join("eve"));
    let borrowed = good.possession.keys().cloned().zip(other.possession.values().cloned()).collect();
    let borrowed = RequestFile { possession: borrowed, ..good.clone() };
    assert!(fault(&borrowed).await.contains("does not prove"));
    // Another invitation than the one that is answered, and one by a registrar of another nation.
    let again = desk.invites("ISR:lior", false).await;
    let mixed = RequestFile { invitation: Some(again.invitation), ..good.clone() };
    assert!(fault(&mixed).await.contains("another invitation"));
    let usa = Desk::of(&stage, "USA");
    let refused = usa.registrar.check_request(&good).await.unwrap_err().to_string();
    assert!(refused.contains("`ISR:lior` does not belong to `USA`"), "{refused}");
    // A renewal that the key in force did not sign, and neither of the two.
    let renewal = stage.again("USA:bob").renew(false, None).await.unwrap().request.renewal;
    let stolen = RequestFile { invitation: None, possession: [].into(), renewal, ..good.clone() };
    assert!(fault(&stolen).await.contains("without a key card"));
    let neither = RequestFile { invitation: None, renewal: None, ..good.clone() };
    assert!(fault(&neither).await.contains("no invitation and is no renewal"));
    // Somebody has a card already.
    let trust = desk.registrar.trust_file().await.unwrap();
    let new = NewInvitation {
        member: id("ISR:avi"),
        name: "Avi".to_owned(),
        organisation: "Galil Optics".to_owned(),
        roles: [].into(),
        expires_at: stage.clock.now() + SignedDuration::from_hours(1),
    };
    let refused = desk.registrar.invite_member(&new, &trust, false).await.unwrap_err().to_string();
    assert!(refused.contains("has a key card already"), "{refused}");

    // The invitation's time, and a card that was published since.
    let replaced = desk.answers(&desk.invites("ISR:avi", true).await, &folder.path().join("avi"));
    let before = desk.answers(&desk.invites("ISR:avi", true).await, &folder.path().join("avi-before"));
    desk.welcomes(&replaced).await;
    assert!(fault(&before).await.contains("another key card"));
    stage.clock.pass(stage.clock.now() + SignedDuration::from_hours(25));
    assert!(fault(&good).await.contains("expired"));
    stage.stop().await;
}

#[tokio::test]
async fn renewal_counts_for_the_card_that_it_was_made_under_and_by_the_key_in_force() {
    let stage = Stage::open().await;
    let desk = Desk::of(&stage, "ISR");
    let fault = async |request: &RequestFile| desk.registrar.check_request(request).await.unwrap_err().to_string();
    let avi = stage.again("ISR:avi");
    let abandoned = avi.renew(false, None).await.unwrap().request;
    let refused = avi.renew(false, None).await.unwrap_err().to_string();
    assert!(refused.contains("under way"), "{refused}");
    let renewed = avi.renew(true, None).await.unwrap().request;
    let file = desk.welcomes(&renewed).await;
    // What was abandoned, and what the former key signs from then on for the key that it was itself.
    assert!(fault(&abandoned).await.contains("another key card"));
    let former = stage.again("ISR:avi").renew(true, None).await.unwrap().request;
    let swapped = RequestFile { request: renewed.request.clone(), ..former };
    assert!(fault(&swapped).await.contains("not signed by the key in force"));
    // A welcome for a key that was given up since is not taken.
    let home = Home::locate(Some(&stage.home(&id("ISR:avi")))).unwrap();
    let refused = welcome(&home, &file, &NoPrompt, stage.clock.now()).unwrap_err().to_string();
    assert!(refused.contains("another key than the one that was made here"), "{refused}");
    stage.stop().await;
}

#[tokio::test]
async fn trust_list_of_another_nation_or_of_before_is_not_taken() {
    let stage = Stage::open().await;
    let (isr, usa) = (Desk::of(&stage, "ISR"), Desk::of(&stage, "USA"));
    let folder = scratch();
    let home = Home::locate(Some(folder.path())).unwrap();
    let avi = id("ISR:avi");
    for code in ["ISR", "USA"] {
        let card = &stage.pki.partners[&code.parse().unwrap()].card;
        home.pin_partner(&card.canonical().unwrap(), &card.fingerprint().unwrap()).unwrap();
    }
    let before = isr.registrar.trust_file().await.unwrap();
    stage.clock.pass(stage.clock.now() + SignedDuration::from_secs(60));
    let now = isr.registrar.trust_file().await.unwrap();
    let refused = home.read_trust_list(&usa.registrar.trust_file().await.unwrap(), &avi).unwrap_err().to_string();
    assert!(refused.contains("the list is by `USA`"), "{refused}");
    let (list, cards) = home.read_trust_list(&now, &avi).unwrap();
    assert_eq!(cards.len(), 3);
    home.see_trust_list(&list).unwrap();
    let refused = home.read_trust_list(&before, &avi).unwrap_err().to_string();
    assert!(refused.contains("was taken here before"), "{refused}");
    home.read_trust_list(&now, &avi).unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn authority_gives_nothing_away_and_another_nations_certifies_nobody() {
    let stage = Stage::open().await;
    let (isr, usa, folder) = (Desk::of(&stage, "ISR"), Desk::of(&stage, "USA"), scratch());
    let request = isr.answers(&isr.invites("ISR:lior", false).await, &folder.path().join("lior"));
    let checked = isr.registrar.check_request(&request).await.unwrap();
    let until = stage.clock.now() + SignedDuration::from_hours(24);
    let refused = isr.registrar.approve_request(&checked, &usa.certification, until).await.unwrap_err().to_string();
    assert!(refused.contains("does not lead to an authority of the nation's card"), "{refused}");
    assert!(isr.registrar.api().member(&id("ISR:lior")).await.unwrap_err().is_not_found(), "nothing was published");

    let files = stage.plan.dir.join("pki/ISR");
    let [ca, key] = ["crt", "key"].map(|kind| fs::read_to_string(files.join(format!("ca.{kind}"))).unwrap());
    let authority = MemberAuthority::from_pem(&format!("{ca}{key}"), &key.clone().into()).unwrap();
    assert!(!authority.certificate().contains("PRIVATE"), "it goes out with every welcome");
    let certification = Certification::Authority(Box::new(authority));
    let file = isr.registrar.approve_request(&checked, &certification, until).await.unwrap();
    assert!(!serde_json::to_string(&file).unwrap().contains("PRIVATE"));
    stage.stop().await;
}

#[tokio::test]
async fn nobody_is_vouched_for_with_the_recipient_of_somebody_else_or_a_broken_one() {
    let stage = Stage::open().await;
    let registrar = stage.again("ISR:registrar");
    let avis = registrar.issued_member(&id("ISR:avi")).await.unwrap().card.recipients[0].clone();
    let lior = stage.next_credential("ISR:lior");
    let new = |recipient: &str| NewKeyCard {
        member: id("ISR:lior"),
        name: "Lior Gal".to_owned(),
        organisation: "Galil Optics".to_owned(),
        roles: [].into(),
        without: [].into(),
        recipients: vec![recipient.to_owned()],
        certificates: vec![lior.spki],
        shown: vec![lior.certificate.clone()],
        valid_from: None,
        valid_until: stage.clock.now() + SignedDuration::from_hours(24),
    };
    let refused = registrar.issue_key_card(&new(&avis)).await.unwrap_err();
    assert_eq!(refused.slug(), Some("statement-invalid"), "{refused}");
    assert!(refused.to_string().contains("is that of `ISR:avi`"), "{refused}");
    let broken = avis.replace(&avis[10..12], "qq");
    let refused = registrar.issue_key_card(&new(&broken)).await.unwrap_err().to_string();
    assert!(refused.contains("a letter of it was lost, added or changed"), "{refused}");
    registrar.issue_key_card(&new(new_identity().recipient())).await.unwrap();
    stage.stop().await;
}
