//! A nation's relay tells its members that something waits, by a real server of mail or a program: one sentence, and nothing that the seal
//! keeps from others.

use crate::harness::{
    loud::loud,
    many::{self, Proposal, Rows},
    pki::{TestAuthority, dns},
    process::{PATIENCE, ended, entente, heard, signal},
    stage::{Stage, code, id},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{
        Ambient, Client, ClientError,
        directory::NewKeyCard,
        relay::{
            Hook, Mailer, Relay, RelayAct, RelayEvent, RelayPlan, RelayState, RelayTally, Teller,
            contacts::{ContactRow, Contacts},
            notice::sentence,
            schedule::{Habit, MemberLoad},
        },
    },
    domain::{
        ambient::{Clock, SystemRng},
        id::MemberId,
        member::PartnerRole,
    },
    wire::inbox::Waiting,
};
use jiff::{SignedDuration, civil::Time, tz::TimeZone};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    net::UnixDatagram,
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// Debian's own, which has the server of mail.
const PYTHON: &str = "/usr/bin/python3";

/// A server of mail, and what it is sent.
struct MailServer {
    folder: TempDir,
    address: String,
    mails: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl MailServer {
    /// One that is spoken to in this way; none where it is not installed.
    async fn start(security: &str) -> Option<Self> {
        let installed = Command::new(PYTHON).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status().await;
        if !installed.is_ok_and(|status| status.success()) {
            assert!(env::var_os("ENTENTE_REQUIRE_SMTP").is_none(), "`aiosmtpd` is required and not installed");
            loud("WITHOUT `python3-aiosmtpd` THE RELAY SENDS NO MAIL IN A TEST");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let authority = TestAuthority::with("Mail", |_| {});
        let issued = authority.issue(|params| {
            params.subject_alt_names = vec![dns("localhost")];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        file("ca.pem", &authority.certificate.pem());
        let files = [file("server.pem", &issued.certificate.pem()), file("server.key", &issued.key.serialize_pem())];
        let mut command = Command::new(PYTHON);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/relay/server.py")).arg(security);
        if security != "plain" {
            command.args(files);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut mails = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, mails.next_line()).await.unwrap().unwrap().expect("it starts");
        let address = match security {
            "plain" => format!("smtp+plain://127.0.0.1:{port}"),
            "starttls" => format!("smtp://localhost:{port}"),
            _ => format!("smtps://localhost:{port}"),
        };
        Some(Self { folder, address, mails, child })
    }

    fn credentials(&self, password: &str) -> PathBuf {
        let path = self.folder.path().join("credentials");
        fs::write(&path, format!("relay\n{password}\n")).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    fn mailer(&self, password: &str) -> Mailer {
        let (server, authority) = (self.address.parse().unwrap(), self.folder.path().join("ca.pem"));
        let is_plain = self.address.starts_with("smtp+plain");
        let credentials = (!is_plain).then(|| self.credentials(password));
        let authority = (!is_plain).then_some(authority.as_path());
        Mailer::new(&server, "relay@example.org", credentials.as_deref(), authority).unwrap()
    }

    /// Answers what it holds back, and holds nothing back any more.
    fn release(&mut self) {
        drop(self.child.stdin.take());
    }

    /// The next so many mails, by whom they are for.
    async fn take(&mut self, count: usize) -> BTreeMap<String, Value> {
        let mut mails = BTreeMap::new();
        while mails.len() < count {
            let line = timeout(PATIENCE, self.mails.next_line()).await.expect("mail comes").unwrap().unwrap();
            let mail: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(mail["to"].as_array().unwrap().len(), 1);
            let to = mail["to"][0].as_str().unwrap().to_owned();
            assert!(mails.insert(to, mail).is_none(), "nobody is mailed twice");
        }
        mails
    }
}

/// A stage on which much waits for Israel's members, one of whom is its relay.
async fn stage() -> Stage {
    let stage = Stage::open().await;
    let (first, second) = (stage.submitted().await, stage.submitted().await);
    stage.pass_the_opening();
    // Israel's officer and decider have yet to declare on the second, and its reviewer to hand in.
    stage.clear(first, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
    stage.clear(second, &["USA:dana"]).await;
    stage.assign(&[(first, "USA:carol"), (first, "ISR:maya")], false).await;
    stage.clear(first, &["USA:carol", "ISR:maya"]).await;
    stage.prepare_panel().await;
    employ(&stage).await;
    stage
}

/// Tamar is Israel's relay from now on.
pub(crate) async fn employ(stage: &Stage) {
    let registrar = stage.client("ISR:registrar");
    let present = registrar.issued_member(&id("ISR:tamar")).await.unwrap().card.clone();
    let new = NewKeyCard { roles: [PartnerRole::Relay].into(), ..NewKeyCard::like(present) };
    registrar.issue_key_card(&new).await.unwrap();
}

/// What waits for whom, by the exchange's word.
async fn waiting(stage: &Stage) -> Vec<Waiting> {
    stage.client("ISR:tamar").api().waiting().await.unwrap()
}

/// Those for whom something waits.
fn loaded(waiting: &[Waiting]) -> BTreeMap<MemberId, MemberLoad> {
    let load = |waiting: &Waiting| MemberLoad { items: waiting.items, next_due_at: waiting.next_due_at.map(|at| at.0) };
    waiting.iter().filter(|one| one.items > 0).map(|one| (one.member.clone(), load(one))).collect()
}

/// Everybody's address: the handle at a made-up host.
fn contacts(members: &[Waiting]) -> Contacts {
    let rows: Vec<_> = members
        .iter()
        .map(|one| (one.member.handle().to_owned(), format!("{}@example.org", one.member.handle())))
        .collect();
    let rows = (2..).zip(&rows).map(|(line, (handle, address))| ContactRow { line, handle, address, zone: "" });
    Contacts::of(&code("ISR"), rows).unwrap()
}

fn relay<'s>(
    stage: &'s Stage,
    state: &Path,
    contacts: Contacts,
    teller: Teller,
) -> Relay<impl Fn() -> Result<Client, ClientError> + 's> {
    relay_by(|| Ok(stage.again("ISR:tamar")), stage, state, contacts, teller)
}

/// The same, whose rounds begin with this client.
fn relay_by<C: Fn() -> Result<Client, ClientError>>(
    connect: C,
    stage: &Stage,
    state: &Path,
    contacts: Contacts,
    teller: Teller,
) -> Relay<C> {
    let zone = TimeZone::get("Asia/Jerusalem").unwrap();
    let habit = Habit { digest_at: Time::midnight(), zone };
    let plan = RelayPlan { partner: code("ISR"), contacts, habit, teller };
    let (state, _) = RelayState::open(state).unwrap();
    Relay::new(connect, plan, state, Ambient { clock: stage.clock.clone(), rng: Arc::new(SystemRng) })
}

/// A stage so long before the deadline of a proposal that nothing is handed in of, with so many of Israel's members in it.
async fn stage_before_the_deadline(members: usize, before: SignedDuration) -> (Stage, Vec<MemberId>) {
    let stage = Stage::open().await;
    employ(&stage).await;
    stage.clock.set(stage.deadline - before);
    let members: Vec<MemberId> = (1..=members).map(|number| id(&format!("ISR:m{number:02}"))).collect();
    let mut rows = Rows::new();
    for member in &members {
        rows.member(member, "An institute", "");
    }
    rows.proposal(&Proposal {
        id: many::id("prop", 1),
        call: stage.call,
        topic: Some("navigation"),
        members: &[&members[..], &[id("USA:bob")]].concat(),
        created_at: stage.clock.now(),
        is_withdrawn: false,
    });
    rows.write(&stage.server.exchange.db).await;
    many::index(&stage.server.exchange.db).await;
    assert!(loaded(&waiting(&stage).await).into_keys().eq(members.iter().cloned()));
    (stage, members)
}

/// A program in this folder, as a shell runs it.
#[cfg(unix)]
fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("hook");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    path
}

/// A round, with what was reported.
async fn round<C: Fn() -> Result<Client, ClientError>>(relay: &mut Relay<C>) -> (RelayTally, Vec<RelayEvent>) {
    let mut told = Vec::new();
    let tally = relay.round(&|| false, &mut |event| told.push(event.clone())).await.unwrap();
    (tally, told)
}

/// Fails if a text has a password of the server of mail, as it is or as it is sent.
fn assert_keeps_the_password(text: &str) {
    for password in ["a secret", "another secret"] {
        let sent = [password.to_owned(), format!("\0relay\0{password}")].map(|sent| BASE64_STANDARD.encode(sent));
        for said in [password, &sent[0], &sent[1]] {
            assert!(!text.contains(said), "{text}");
        }
    }
}

/// The lines of a mail's head, and its text.
fn read(mail: &Value) -> (Vec<&str>, &str) {
    let (head, text) = mail["content"].as_str().unwrap().split_once("\r\n\r\n").unwrap();
    (head.split("\r\n").collect(), text)
}

#[tokio::test]
async fn members_are_mailed_one_sentence_and_nothing_of_what_waits() {
    for security in ["starttls", "tls"] {
        let Some(mut server) = MailServer::start(security).await else { return };
        let stage = stage().await;
        let members = waiting(&stage).await;
        let loads = loaded(&members);
        assert!(loads.len() > 1, "something waits: {members:?}");
        let state = server.folder.path().join("relay.json");
        let mut relay = relay(&stage, &state, contacts(&members), Teller::Mail(Box::new(server.mailer("a secret"))));
        let (tally, told) = round(&mut relay).await;
        assert_eq!(tally, RelayTally { told: loads.len(), not_told: 0 });
        assert_eq!(told.len(), loads.len());
        let mails = server.take(loads.len()).await;
        // Neither what is reported nor what is kept has an address or what the server of mail asks for.
        for written in [serde_json::to_string(&told).unwrap(), fs::read_to_string(&state).unwrap()] {
            assert!(!written.contains("example.org"), "{written}");
            assert_keeps_the_password(&written);
        }
        assert_keeps_the_password(&format!("{:?}", server.mailer("a secret")));
        let zone = TimeZone::get("Asia/Jerusalem").unwrap();
        let proposal = stage.client("ISR:avi").api().all_proposals(None).await.unwrap().remove(0);
        for (member, load) in &loads {
            let mail = &mails[&format!("{}@example.org", member.handle())];
            assert_eq!((mail["from"].as_str(), mail["tls"].as_bool()), (Some("relay@example.org"), Some(true)));
            let (head, text) = read(mail);
            let said = sentence(load, &zone);
            assert_eq!(text.trim_end(), said);
            assert!(head.contains(&&*format!("Subject: {said}")) && head.contains(&"Auto-Submitted: auto-generated"));
            assert_eq!(head.len(), 8, "{head:?}");
            let whole = mail["content"].as_str().unwrap();
            assert_keeps_the_password(whole);
            let card = stage.client("ISR:registrar").issued_member(member).await.unwrap().card.clone();
            for kept in [
                "Lodestone",
                "prop_",
                "call_",
                &proposal.id.to_string(),
                &stage.call.to_string(),
                &member.to_string(),
                &card.name,
                &card.organisation,
                "navigation",
            ] {
                assert!(!whole.contains(kept), "{kept}: {whole}");
            }
        }
        // The same day again, and a relay that begins again with what is remembered: nothing.
        assert_eq!(round(&mut relay).await, (RelayTally::default(), Vec::new()));
        drop(relay);
        let mut relay =
            self::relay(&stage, &state, contacts(&members), Teller::Mail(Box::new(server.mailer("a secret"))));
        assert_eq!(round(&mut relay).await, (RelayTally::default(), Vec::new()));
        // A day later, once, however long it was away.
        stage.clock.set(stage.clock.now() + SignedDuration::from_hours(72));
        let again = loaded(&waiting(&stage).await);
        assert_eq!(round(&mut relay).await.0, RelayTally { told: again.len(), not_told: 0 });
        assert_eq!(server.take(again.len()).await.len(), again.len());
        drop(relay);
        stage.stop().await;
    }
}

#[tokio::test]
async fn address_that_is_refused_keeps_nobody_else_from_being_told() {
    let Some(mut server) = MailServer::start("plain").await else { return };
    let stage = stage().await;
    let loads = loaded(&waiting(&stage).await);
    let members: Vec<&MemberId> = loads.keys().collect();
    let address = |at: usize, member: &MemberId| match at {
        0 => "refused@example.org".to_owned(),
        1 => "later@example.org".to_owned(),
        _ => format!("{}@example.org", member.handle()),
    };
    let rows: Vec<_> =
        members.iter().enumerate().map(|(at, member)| (member.handle().to_owned(), address(at, member))).collect();
    let rows = (2..).zip(&rows).map(|(line, (handle, address))| ContactRow { line, handle, address, zone: "" });
    let contacts = Contacts::of(&code("ISR"), rows).unwrap();
    let state = server.folder.path().join("relay.json");
    let mut relay = relay(&stage, &state, contacts, Teller::Mail(Box::new(server.mailer(""))));
    let (tally, told) = round(&mut relay).await;
    assert_eq!(tally, RelayTally { told: loads.len() - 1, not_told: 1 });
    let refused = told.iter().find(|event| event.act == RelayAct::NotTold).unwrap();
    assert_eq!(refused.member, *members[0]);
    assert!(refused.reason.as_ref().unwrap().contains("no such mailbox"), "{refused:?}");
    let mails = server.take(loads.len() - 1).await;
    assert!(mails.contains_key("later@example.org"), "who is asked to come again comes again");
    // The one who could not be told is left alone for a while.
    assert_eq!(round(&mut relay).await.0, RelayTally::default());
    drop(relay);
    stage.stop().await;
}

#[tokio::test]
async fn server_that_cannot_be_trusted_or_refuses_the_account_gets_no_mail_and_nobody_counts_as_told() {
    let Some(mut server) = MailServer::start("starttls").await else { return };
    let stage = stage().await;
    let members = waiting(&stage).await;
    let other = TestAuthority::with("Another", |_| {});
    let other_ca = server.folder.path().join("other.pem");
    fs::write(&other_ca, other.certificate.pem()).unwrap();
    let credentials = server.credentials("a secret");
    let stranger =
        Mailer::new(&server.address.parse().unwrap(), "relay@example.org", Some(&credentials), Some(&other_ca))
            .unwrap();
    let state = server.folder.path().join("relay.json");
    for teller in [stranger, server.mailer("another secret")] {
        let mut relay = relay(&stage, &state, contacts(&members), Teller::Mail(Box::new(teller)));
        let failed = relay.round(&|| false, &mut |event| panic!("{event:?}")).await.unwrap_err();
        assert!(failed.to_string().contains("cannot be told"), "{failed}");
        assert_keeps_the_password(&format!("{failed} {} {failed:?}", failed.help()));
    }
    let mut relay = relay(&stage, &state, contacts(&members), Teller::Mail(Box::new(server.mailer("a secret"))));
    let count = loaded(&members).len();
    assert_eq!(round(&mut relay).await.0, RelayTally { told: count, not_told: 0 });
    assert_eq!(server.take(count).await.len(), count);
    drop(relay);
    stage.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn program_is_called_for_each_member_and_a_dry_run_calls_nobody() {
    let stage = stage().await;
    let loads = loaded(&waiting(&stage).await);
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let program = program(folder.path(), &format!("cat >> '{}'", told.display()));
    let state = folder.path().join("relay.json");
    let mut relay = relay(&stage, &state, Contacts::default(), Teller::Hook(Hook::new(program)));
    let mut would = Vec::new();
    let tally = relay.rehearse(&mut |event| would.push(event.clone())).await.unwrap();
    assert!(tally.told == loads.len() && would.iter().all(|event| event.act == RelayAct::WouldTell));
    assert!(!told.exists() && !state.exists(), "a dry run leaves nothing");
    assert_eq!(round(&mut relay).await.0, RelayTally { told: loads.len(), not_told: 0 });
    let lines = fs::read_to_string(&told).unwrap();
    let mut said: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    said.sort_by_key(|line| line["member"].as_str().unwrap().to_owned());
    for ((member, load), line) in loads.iter().zip(&said) {
        assert_eq!(
            (line["member"].as_str(), line["items"].as_u64()),
            (Some(&*member.to_string()), Some(u64::from(load.items)))
        );
        assert_eq!(line.as_object().unwrap().len(), 3);
    }
    assert_eq!(said.len(), loads.len());
    drop(relay);
    stage.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn round_of_more_than_five_minutes_asks_again_and_reminds_nobody_of_what_has_ended() {
    // With 20 members there are two batches, and time passes while the first one is reported. By then the second is asked for again, or not.
    for (passes, asked, told) in [(4, 1, 20), (5, 2, 16)] {
        let (stage, members) = stage_before_the_deadline(20, SignedDuration::from_secs(270)).await;
        let folder = tempfile::tempdir().unwrap();
        let teller = Teller::Hook(Hook::new(program(folder.path(), "cat > /dev/null")));
        let asks = AtomicUsize::new(0);
        let connect = || {
            asks.fetch_add(1, Ordering::Relaxed);
            Ok(stage.again("ISR:tamar"))
        };
        let state = folder.path().join("relay.json");
        let mut relay = relay_by(connect, &stage, &state, Contacts::default(), teller);
        let then = stage.clock.now() + SignedDuration::from_mins(passes);
        let mut events = Vec::new();
        let mut report = |event: &RelayEvent| {
            stage.clock.set(then);
            events.push((event.member.clone(), event.act));
        };
        let tally = relay.round(&|| false, &mut report).await.unwrap();
        assert_eq!(tally, RelayTally { told, not_told: 0 }, "{passes} minutes");
        assert_eq!(asks.load(Ordering::Relaxed), asked, "{passes} minutes");
        events.sort_by(|(one, _), (other, _)| one.cmp(other));
        assert!(events.into_iter().eq(members.into_iter().take(told).map(|member| (member, RelayAct::Told))));
        drop(relay);
        stage.stop().await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn signal_ends_the_relay_within_a_round_and_nobody_is_mailed_twice() {
    let Some(mut server) = MailServer::start("plain").await else { return };
    let (stage, members) = stage_before_the_deadline(6, SignedDuration::from_hours(24)).await;
    let addresses: Vec<String> = members.iter().map(|member| format!("held-{}@example.org", member.handle())).collect();
    let rows = members.iter().zip(&addresses).map(|(member, address)| format!("{},{address}\n", member.handle()));
    let list = server.folder.path().join("members.csv");
    fs::write(&list, format!("handle,address\n{}", rows.collect::<String>())).unwrap();
    let home = stage.home(&id("ISR:tamar"));
    let words = ["--home", home.to_str().unwrap(), "--json", "relay", "run", "--addresses", list.to_str().unwrap()];
    let address = server.address.clone();
    let words = [&words[..], &["--smtp", &address, "--from", "relay@example.org", "--at", "00:00"]].concat();

    let socket = server.folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let mut command = entente(&words);
    command.env("NOTIFY_SOCKET", &socket).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    assert_eq!(heard(&manager).await, "READY=1");
    let first = server.take(4).await;
    // Four are under way, and none has an answer yet.
    signal(&child, "TERM").await;
    assert_eq!(heard(&manager).await, "STOPPING=1");
    server.release();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().success(), "{said}");
    let acts = |said: &str| -> Vec<String> {
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["act"].as_str().or(line["relay"].as_str()).unwrap().to_owned()).collect()
    };
    assert_eq!(acts(&said), ["started", "told", "told", "told", "told", "stopped"]);

    // Those whose mail was not begun have theirs in the next round, and after that nobody.
    let once = async || {
        let once = ended(entente(&[&words[..], &["--once"]].concat())).await;
        assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
        acts(&String::from_utf8(once.stdout).unwrap())
    };
    assert_eq!(once().await, ["told", "told"]);
    let second = server.take(2).await;
    let mailed: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    assert_eq!(mailed, addresses.iter().collect());
    assert_eq!(once().await, [""; 0]);
    stage.stop().await;
}

#[tokio::test]
async fn sentence_is_the_same_for_twelve_undeclared_proposals_as_for_one() {
    let stage = Stage::open().await;
    employ(&stage).await;
    stage.pass_the_opening();
    let folder = tempfile::tempdir().unwrap();
    let relay =
        relay(&stage, &folder.path().join("relay.json"), Contacts::default(), Teller::Hook(Hook::new("".into())));
    let (db, mut rows, members) = (&stage.server.exchange.db, Rows::new(), [id("ISR:avi"), id("USA:bob")]);
    let mut sentences = Vec::new();
    for number in 1..=12 {
        let proposal = Proposal {
            id: many::id("prop", number),
            call: stage.call,
            topic: Some("navigation"),
            members: &members,
            created_at: stage.deadline - SignedDuration::from_hours(24),
            is_withdrawn: false,
        };
        rows.proposal(&proposal);
        rows.version(proposal.id, 1, 1, "{}", true, true);
        if matches!(number, 1 | 12) {
            rows.write(db).await;
            many::index(db).await;
            let undeclared = stage.client("ISR:noa").api().inbox().await.unwrap().items;
            assert_eq!(undeclared.len() as u64, number);
            let mut report =
                |event: &RelayEvent| sentences.extend((event.member == id("ISR:noa")).then(|| event.sentence.clone()));
            relay.rehearse(&mut report).await.unwrap();
        }
    }
    assert_eq!(sentences.len(), 2);
    assert!(sentences[0].starts_with("1 item, ") && sentences[0] == sentences[1], "{sentences:?}");
    drop(relay);
    stage.stop().await;
}
