//! The two programs as processes: exit codes, signals, files that change under them, interruptions.

use crate::harness::{
    exchange::{Answered, Ca, Nation},
    pki::{Issued, TestAuthority, dns, self_signed},
    process::{PATIENCE, Server, Site, ended, entente, signal, tls, until},
    process_acts::Numbers,
};
use bytes::Bytes;
use entente::{
    client::{Home, Profile, proposals::NewProposal},
    demo::world::DemoWorld,
    dev_pki::{
        CertificateAndKey, CertificatePurpose, LeafProfile,
        cast::{AVI, BOB, DANA, DemoNation, ISR, USA},
    },
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::{ProposalId, Sha256},
    },
    wire::{call::CallText, directory::CreateProgram, proposal::Document},
};
use futures_util::stream;
use jiff::SignedDuration;
use rcgen::{CertificateParams, CustomExtension, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

pub(crate) const NATIONS: &[DemoNation] =
    &[DemoNation { cast: &[DANA, BOB], ..USA }, DemoNation { cast: &[AVI], ..ISR }];

#[tokio::test]
async fn server_says_what_is_wrong_with_its_configuration_and_does_not_start() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let (code, said, _) = spoken(site.operate(&["--check"]).await);
    assert_eq!(code, 0);
    assert!(said.starts_with("the configuration is in order"), "{said}");

    // A key that serves and cannot sign is reported before somebody asks for what it would sign.
    assert!(!said.contains("cannot be signed"), "{said}");
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let Issued { certificate, key } = self_signed(key, |params| params.subject_alt_names = vec![dns("localhost")]);
    fs::write(site.path("rsa.crt"), certificate.pem()).unwrap();
    fs::write(site.path("rsa.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(site.path("rsa.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let file = |kind: &str, name: &str| format!("api.{kind}={}", site.path(name).display());
    let (certificate, key) = (file("certificate", "rsa.crt"), file("private_key", "rsa.key"));
    let (code, said, faults) = spoken(site.operate(&["--set", &certificate, "--set", &key, "--check"]).await);
    assert!(code == 0 && said.contains("visibility manifests cannot be signed here"), "{said}{faults}");
    assert!(said.contains("P-256, P-384 or Ed25519"), "{said}");

    let (code, said, _) = spoken(site.operate(&["--set", "limits.connections=4000000000", "--check"]).await);
    assert!(code == 0 && said.contains("the limits need 40") && said.contains("LimitNOFILE"), "{said}");

    // A first start: the folder for data is reported, and made by the start alone.
    let (data, place) = (site.path("data"), site.path("data/blobs"));
    let setting = format!("blobs.folder={}", place.display());
    let database = format!("database.url=sqlite://{}", data.join("first.db").display());
    let (code, said, faults) = spoken(site.operate(&["--set", &setting, "--set", &database, "--check"]).await);
    assert!(
        code == 0 && said.contains(&format!("`{}` is not there and will be made", data.display())),
        "{said}{faults}"
    );
    assert!(!data.exists());
    assert_eq!(spoken(site.operate(&["--set", &setting, "--set", &database, "partner", "list"]).await).0, 0);
    assert!(place.is_dir());
    // Another folder for a database that has one is not made: most likely its disk is not mounted.
    let other = site.path("data/other");
    let setting = format!("blobs.folder={}", other.display());
    let (code, _, faults) = spoken(site.operate(&["--set", &setting, "partner", "list"]).await);
    assert!(code == 1 && faults.contains("the folder has none"), "{faults}");
    assert!(!other.exists());

    let fine = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{fine}[limits]\nrequest = 5\n")).unwrap();
    for words in [&["--check"][..], &[]] {
        let (code, _, faults) = spoken(site.operate(words).await);
        assert_eq!(code, 2, "{faults}");
        assert!(faults.contains("limits.request"), "an unknown key is named with its path: {faults}");
    }
    fs::write(site.config(), &fine).unwrap();
    for (setting, fault) in [
        ("admin.listen=0.0.0.0:0", "`admin.listen`: `0.0.0.0:0` is not a loopback address"),
        ("blobs.folder=/nowhere/at/all", "`blobs.folder`"),
        ("limits.drain_seconds=soon", "limits.drain_seconds"),
    ] {
        for words in [&["--set", setting, "--check"][..], &["--set", setting]] {
            let (code, said, faults) = spoken(site.operate(words).await);
            assert_eq!((code, said.as_str()), (2, ""), "{faults}");
            assert!(faults.contains(fault), "{faults}");
        }
    }
}

#[tokio::test]
async fn server_answers_its_operator_and_finishes_open_requests_when_told_to_stop() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    println!(
        "ready in {:.0?}; idle: resident {} KiB, at most {} KiB",
        server.started_in,
        server.memory("VmRSS").unwrap_or_default(),
        server.memory("VmHWM").unwrap_or_default(),
    );
    assert_eq!(server.admin("/healthz").await, (200, "ok\n".to_owned()));
    let ready = until("it is ready", async || {
        let (status, ready) = server.admin("/readyz").await;
        (status == 200).then_some(ready)
    })
    .await;
    assert_eq!(serde_json::from_str::<Value>(&ready).unwrap()["ready"].as_bool(), Some(true), "{ready}");

    // A request of which only half has come.
    let dana = site.speaker("USA:dana");
    let body = json!({ "name": "Joint research", "lead": "USA", "partners": ["ISR", "USA"] }).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let (hand_over, pieces) = mpsc::channel::<Bytes>(1);
    let pieces = stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    hand_over.send(Bytes::copy_from_slice(first.as_bytes())).await.unwrap();
    let request = dana.http.post(format!("{}/v1/programs", server.base())).header("idempotency-key", "slow");
    let request = request.header("content-type", "application/json").header("content-length", body.len());
    let answer = tokio::spawn(request.body(reqwest::Body::wrap_stream(pieces)).send());
    until("the request's arrival", async || {
        let figures = server.admin("/metrics").await.1;
        figures.lines().any(|line| line == "entente_requests_in_flight 1").then_some(())
    })
    .await;
    server.signal("TERM").await;
    until("the refusal of new work", async || (server.admin("/readyz").await.0 == 503).then_some(())).await;
    hand_over.send(Bytes::copy_from_slice(second.as_bytes())).await.unwrap();
    drop(hand_over);
    let program = answer.await.unwrap().unwrap().expect_status(201).await;
    let ended = server.ended().await;
    assert_eq!(ended.code(), Some(0));

    // What it answered last it had done.
    let server = site.serve().await;
    let shown = dana.http.get(format!("{}/v1/programs/{}", server.base(), program["id"].as_str().unwrap()));
    assert_eq!(shown.send().await.unwrap().expect_status(200).await, program);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn running_server_takes_up_a_new_certificate_when_told_and_by_itself() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let fresh: Vec<CertificateAndKey> = (0..2).map(|_| server_certificate(&world)).collect();
    world.stop().await;
    let server = site.serve().await;
    let log = || fs::read_to_string(site.path("server.log")).unwrap();
    let before = served(&site, &server).await.unwrap();
    for (credential, cause) in fresh.iter().zip(["Signal", "Files"]) {
        let wanted = CertificateDer::from_pem_slice(credential.certificate.as_bytes()).unwrap();
        assert_ne!(wanted, before);
        // Replaced as certificate tools do, each by a rename.
        for (name, text) in [("server.crt", &*credential.certificate), ("server.key", credential.private_key.expose())]
        {
            replace(&site.path(&format!("pki/server/{name}")), text);
        }
        if cause == "Signal" {
            server.signal("HUP").await;
        }
        until("the new certificate", async || {
            let found = served(&site, &server).await;
            (found.as_ref() == Some(&wanted)).then_some(())
        })
        .await;
        assert!(log().contains(cause), "{}", log());
    }
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn revoked_member_is_refused_on_the_open_connection_and_on_new_ones() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let usa = &world.pki.partners[&"USA".parse().unwrap()];
    let bob = &usa.members[&"USA:bob".parse().unwrap()];
    let list = usa.authority.crl(&[bob], 2).unwrap();
    world.stop().await;
    let server = site.serve().await;
    let me = format!("{}/v1/me", server.base());
    let (bob, dana) = (site.speaker("USA:bob"), site.speaker("USA:dana"));
    for speaker in [&bob, &dana] {
        speaker.http.get(&me).send().await.unwrap().expect_status(200).await;
    }
    replace(&site.path("crls/USA.pem"), &list);
    // The same connection all the time: it is never idle for long, and nothing else closes it.
    let refusal = until("the revocation", async || {
        let answer = bob.http.get(&me).send().await.unwrap();
        (answer.status() != 200).then_some(answer)
    })
    .await;
    assert_eq!(refusal.problem().await, (401, "certificate-refused".to_owned()));
    assert!(
        site.speaker("USA:bob").http.get(&me).send().await.is_err(),
        "a new connection is refused in the handshake"
    );
    let home = site.point_home("USA:bob", &server);
    let (code, _, faults) = spoken(ended(entente(&["--json", "--home", home.to_str().unwrap(), "me"])).await);
    assert_eq!((code, &problem(&faults)["type"]), (3, &json!("urn:entente:problem:certificate-refused")), "{faults}");
    dana.http.get(&me).send().await.unwrap().expect_status(200).await;
    site.speaker("ISR:avi").http.get(&me).send().await.unwrap().expect_status(200).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn unfit_anchor_is_refused_with_its_reason_and_nothing_is_stored() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let folder = site.path("anchors");
    fs::create_dir(&folder).unwrap();
    let made = |name: &str, change: fn(&mut CertificateParams)| {
        let path = folder.join(name);
        fs::write(&path, TestAuthority::with("Root", change).certificate.pem()).unwrap();
        path
    };
    let broken = folder.join("broken.pem");
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\nMIIBAA==\n-----END CERTIFICATE-----\n").unwrap();
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/http/fixtures/{name}.pem"));
    let unfit = [
        (made("expired.pem", |params| params.not_after = date_time_ymd(2020, 1, 1)), "expired at 2020-01-01"),
        (made("leaf.pem", |params| params.is_ca = IsCa::ExplicitNoCa), "is not a CA certificate"),
        (broken, "is malformed"),
        (made("identifier.pem", only_one_identifier), "has a name constraint on"),
        (fixture("sha1"), "has a weak signature: SHA-1"),
        (fixture("rsa-1024"), "has a weak key: RSA with 1024 bits"),
        (fixture("version-1"), "version 1"),
    ];
    let registrar = "0".repeat(64);
    for (anchor, why) in &unfit {
        let (code, said, faults) = spoken(site.operate(&add("KOR", anchor, &registrar)).await);
        assert_eq!((code, said.as_str()), (1, ""), "{faults}");
        assert!(faults.contains("nothing was enrolled") && faults.contains(why), "{why}: {faults}");
    }
    let (code, said, _) = spoken(site.operate(&["partner", "list"]).await);
    assert!(code == 0 && said.contains("USA") && said.contains("ISR") && !said.contains("KOR"), "{said}");
    assert_eq!(spoken(site.operate(&["partner", "show", "KOR"]).await).0, 1);

    let fit = fixture("p384");
    let (code, said, faults) = spoken(site.operate(&add("KOR", &fit, &registrar)).await);
    assert_eq!(code, 0, "{faults}");
    assert!(said.starts_with("`KOR` is enrolled"), "{said}");
}

#[tokio::test]
async fn partner_enrolled_beside_a_running_server_can_connect() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    let korea = Nation::new("KOR");
    let folder = site.path("pki/KOR");
    fs::create_dir(&folder).unwrap();
    for (name, text) in [
        ("ca.crt", &korea.ca.pem),
        ("registrar.crt", &korea.registrar.certificate_pem),
        ("registrar.key", &korea.registrar.key_pem),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let me = format!("{}/v1/me", server.base());
    let connect = async || site.speaker("KOR:registrar").http.get(&me).send().await;
    assert!(connect().await.is_err(), "nobody knows this partner yet");
    let pin = korea.registrar.signing.spki_sha256().to_string();
    let (code, _, faults) = spoken(site.operate(&add("KOR", &folder.join("ca.crt"), &pin)).await);
    assert_eq!(code, 0, "{faults}");
    let answer = until("the enrolment", async || connect().await.ok()).await.expect_status(200).await;
    assert_eq!(answer["partner"], "KOR", "{answer}");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn command_line_ends_with_a_code_for_each_kind_of_failure() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    let home = site.point_home("USA:bob", &server);
    let home = home.to_str().unwrap();
    let run = async |words: &[&str]| spoken(ended(entente(&[&["--home", home], words].concat())).await);

    let (code, said, faults) = run(&["--json", "me"]).await;
    assert_eq!(code, 0, "{faults}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["member"], "USA:bob");

    let (code, said, faults) = run(&["--json", "proposal", "put"]).await;
    assert_eq!((code, said.as_str()), (2, ""));
    assert_eq!(problem(&faults)["type"], "urn:entente:cli:usage");
    assert_eq!(run(&["no-such-noun"]).await.0, 2);

    let create =
        ["program", "create", "--name", "Mine", "--lead", "USA", "--partner", "USA", "--partner", "ISR", "--yes"];
    let (code, said, faults) = run(&[&["--json"], &create[..]].concat()).await;
    assert_eq!((code, said.as_str()), (3, ""), "{faults}");
    assert_eq!(problem(&faults)["status"], 403, "{faults}");
    let (code, _, faults) = run(&create).await;
    assert!(code == 3 && faults.starts_with("error: ") && faults.contains("help: "), "{faults}");

    // A server that the profile's authority does not vouch for.
    let kept = Home::locate(Some(Path::new(home))).unwrap();
    let profile = kept.profile(None).unwrap();
    let stranger = site.path("stranger.pem");
    fs::write(&stranger, Ca::new("Stranger").pem).unwrap();
    kept.save_profile(&Profile { server_ca: vec![stranger], ..profile.clone() }).unwrap();
    let (code, said, faults) = run(&["--json", "me"]).await;
    assert_eq!((code, said.as_str()), (4, ""), "{faults}");
    assert_eq!(problem(&faults)["type"], "urn:entente:cli:unverified");

    // Not where the server was: another one may listen there by now.
    kept.save_profile(&Profile { server: "https://localhost:1".into(), ..profile }).unwrap();
    assert!(server.stop().await.success());
    let (code, said, faults) = run(&["--json", "me"]).await;
    assert_eq!((code, said.as_str()), (5, ""), "{faults}");
    assert_eq!(problem(&faults)["type"], "urn:entente:cli:unreachable");

    fs::remove_dir_all(home).unwrap();
    assert_eq!(run(&["me"]).await.0, 2, "there is no profile");
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = run(&["completions", shell]).await;
        assert!(code == 0 && script.contains("entente") && script.contains("proposal"), "{shell}");
    }
}

#[tokio::test]
async fn interrupted_upload_goes_on_with_what_was_sealed() {
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let proposal = open_proposal(&world).await;
    world.stop().await;
    let server = site.serve().await;
    let home = site.point_home("ISR:avi", &server);
    let file = site.path("work-plan.pdf");
    let mut content = b"%PDF-1.7\n".to_vec();
    content.resize(50 << 20, b'x');
    content.extend(b"\n%%EOF\n");
    fs::write(&file, content).unwrap();
    let (id, home_word) = (proposal.to_string(), home.to_str().unwrap());
    let words = ["--home", home_word, "proposal", "put", &id, "work-plan", file.to_str().unwrap()];

    let mut command = entente(&words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.starts_with("uploading ")) {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        said.push(line.unwrap_or_else(|| panic!("it ended before it was interrupted: {said:?}")));
    }
    // The server holds its breath, so that the upload cannot end before the client does.
    server.signal("STOP").await;
    signal(&child, "KILL").await;
    assert!(!child.wait().await.unwrap().success());
    server.signal("CONT").await;
    assert!(said.iter().any(|line| line.starts_with("sealing ")), "{said:?}");

    let avi = site.speaker("ISR:avi");
    let documents = format!("{}/v1/proposals/{id}/documents", server.base());
    let held = avi.http.get(&documents).send().await.unwrap().expect_status(200).await;
    assert_eq!(held["items"], json!([]), "half a document is none");
    let sealed = sealed_file(&home);
    let sha256 = Sha256::of(&fs::read(&sealed).unwrap());

    // How far the exchange has come, as the client will ask it.
    let record: Value = serde_json::from_slice(&fs::read(sealed.with_extension("json")).unwrap()).unwrap();
    let upload = format!("{}{}", server.base(), record["upload"].as_str().unwrap());
    let reached = avi.http.get(&upload).send().await.unwrap().expect_status(200).await;
    let tenths = reached["offset"].as_u64().unwrap() * 10 / reached["size"].as_u64().unwrap();
    let (code, said, notes) = spoken(ended(entente(&words)).await);
    assert_eq!(code, 0, "{notes}");
    assert!(notes.contains("not sealed again") && !notes.contains("sealing "), "{notes}");
    let first = notes.lines().find_map(|line| line.strip_prefix("uploading work-plan.pdf: ")?.split(' ').next());
    let first: u64 = first.unwrap().parse().unwrap();
    assert!(first >= (tenths * 10).max(10), "it goes on at {tenths} tenths: {notes}");
    assert!(said.contains(&sha256.to_string()), "{said}");
    assert!(!sealed.exists(), "what the exchange has needs not be kept");
    let held = avi.http.get(&documents).send().await.unwrap().expect_status(200).await;
    let held: Vec<Document> = serde_json::from_value(held["items"].clone()).unwrap();
    assert_eq!(held.iter().map(|document| document.sha256).collect::<Vec<_>>(), [sha256]);

    // A member who runs it a third time means a new version, and gets one.
    let (code, _, notes) = spoken(ended(entente(&words)).await);
    assert!(code == 0 && notes.contains("sealing "), "{notes}");
    assert!(server.stop().await.success());
}

/// Kills the client or the server again and again while a file is sealed and sent.
#[tokio::test]
async fn file_that_is_put_arrives_whichever_side_is_killed_meanwhile() {
    let mut numbers = Numbers::new(20_260_303);
    let site = Site::new(None);
    let world = site.world(NATIONS).await;
    let proposal = open_proposal(&world).await;
    world.stop().await;
    let mut server = site.serve().await;
    let home = site.point_home("ISR:avi", &server);
    let file = site.path("work-plan.pdf");
    let mut content = b"%PDF-1.7\n".to_vec();
    content.resize(20 << 20, b'x');
    content.extend(b"\n%%EOF\n");
    fs::write(&file, &content).unwrap();
    let (id, home_word) = (proposal.to_string(), home.to_str().unwrap().to_owned());
    let words = ["--home", &home_word, "proposal", "put", &id, "work-plan", file.to_str().unwrap()];
    for _ in 0..8 {
        let mut command = entente(&words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // Some tenth of sealing or of sending; the end, if there are not so many lines.
        for _ in 0..=numbers.below(20) {
            if timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().is_none() {
                break;
            }
        }
        if numbers.below(2) == 0 {
            signal(&child, "KILL").await;
            child.wait().await.unwrap();
        } else {
            server.child.kill().await.unwrap();
            signal(&child, "KILL").await;
            child.wait().await.unwrap();
            server = site.serve().await;
            site.point_home("ISR:avi", &server);
        }
    }
    let (code, said, notes) = spoken(ended(entente(&words)).await);
    assert_eq!(code, 0, "{notes}");
    let avi = site.speaker("ISR:avi");
    let documents = format!("{}/v1/proposals/{id}/documents", server.base());
    let held = avi.http.get(&documents).send().await.unwrap().expect_status(200).await;
    let held: Vec<Document> = serde_json::from_value(held["items"].clone()).unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(said.contains(&held[0].sha256.to_string()), "{said}");
    let (code, said, _) = spoken(ended(entente(&["--home", &home_word, "proposal", "resume", "--list"])).await);
    assert!(code == 0 && said.contains("no upload was interrupted"), "{said}");
    assert!(server.stop().await.success());
}

/// Exit code, standard output and standard error.
pub(crate) fn spoken(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("it was not killed"), text(output.stdout), text(output.stderr))
}

/// The last line of standard error, a problem.
fn problem(faults: &str) -> Value {
    let line = faults.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {faults}"))
}

fn add<'a>(code: &'a str, anchor: &'a Path, registrar: &'a str) -> [&'a str; 12] {
    let anchor = anchor.to_str().unwrap();
    [
        "partner",
        "add",
        "--code",
        code,
        "--name",
        "Korea",
        "--zone",
        "Asia/Seoul",
        "--anchor",
        anchor,
        "--registrar",
        registrar,
    ]
}

fn only_one_identifier(params: &mut CertificateParams) {
    // Permitted: the registered identifier 1.2.3.4.
    let value = b"\x30\x09\xa0\x07\x30\x05\x88\x03\x2a\x03\x04".to_vec();
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 30], value)];
}

fn server_certificate(world: &DemoWorld) -> CertificateAndKey {
    let now = SystemClock.now();
    let leaf = LeafProfile {
        common_name: "localhost".into(),
        uri: None,
        names: vec!["localhost".into()],
        valid_from: now - SignedDuration::from_hours(1),
        valid_until: now + SignedDuration::from_hours(24),
        usage: CertificatePurpose::Server,
    };
    world.pki.server_authority.issue(&leaf, &SystemRng).unwrap()
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    let permissions = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(&new, permissions).unwrap();
    fs::rename(new, path).unwrap();
}

/// The certificate that the server shows; none if the handshake fails.
async fn served(site: &Site, server: &Server) -> Option<CertificateDer<'static>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(site.path("pki/server/ca.crt")).unwrap()).unwrap()).unwrap();
    let config = tls().with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(server.api).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.clone().into_owned())
}

/// The one sealed file in a member's home.
fn sealed_file(home: &Path) -> PathBuf {
    let mut folders = vec![home.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "age") {
                found.push(entry);
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// A proposal of two members under a call that stays open.
pub(crate) async fn open_proposal(world: &DemoWorld) -> ProposalId {
    let (dana, avi) = (world.client("USA:dana"), world.client("ISR:avi"));
    let partners = ["ISR", "USA"].map(|code| code.parse().unwrap());
    let program =
        CreateProgram { name: "Joint research".into(), lead: "USA".parse().unwrap(), partners: partners.into() };
    let program = dana.api().create_program(&program).await.unwrap();
    let call = dana.draft_call(program.id, &call_text()).await.unwrap();
    dana.publish_call(call.id).await.unwrap();
    let parties = ["ISR:avi", "USA:bob"].map(|member| {
        let member: entente::domain::id::MemberId = member.parse().unwrap();
        (member.partner().clone(), [member].into())
    });
    let new = NewProposal { call: call.id, topic: None, parties: parties.into() };
    let proposal = avi.create_proposal(&new).await.unwrap();
    world.join_all(&proposal).await.unwrap();
    proposal.id
}

fn call_text() -> CallText {
    let at = |hours: i64| SystemClock.now() + SignedDuration::from_hours(hours);
    serde_json::from_value(json!({
        "code": "JOINT26", "title": "Joint research", "text": "Large files are welcome.",
        "criteria": [{ "name": "excellence", "title": "Excellence", "max": 5.0, "step": 0.5, "weight": 1 }],
        "slots": [{ "name": "work-plan", "title": "Work plan", "required": true, "media_types": ["application/pdf"],
                    "max_bytes": 100 << 20, "audience": "panel" }],
        "eligible": ["ISR", "USA"],
        "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "funders": ["ISR", "USA"],
        "schedule": { "opens_at": at(-1), "deadline_at": at(24), "grace_seconds": 86_400, "reviews_due_at": at(240) },
    }))
    .unwrap()
}
