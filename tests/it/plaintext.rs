//! The host cannot read: words put into everything that is sealed, and into every place where a request can go wrong, are
//! looked for in all that the exchange keeps, logs, counts and answers. None is there, in clear or encoded; and what is there
//! in clear is found by the same search.

use crate::{
    harness::{
        census::files,
        stage::{GRACE, NATIONS, Stage, id, pdf, quiet, slug, text},
        world::{Raw, Store, TestWorld},
    },
    relay,
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use entente::{
    client::{
        parties::HandOver,
        proposals::{BudgetLine, Summary, TeamMember},
        reviews::ReviewBody,
        verified::VersionChoice,
    },
    domain::{
        ambient::Clock,
        decision::Outcome,
        id::{ProposalId, Sha256},
    },
    http::{
        config::{LogConfig, LogFormat, LogLevel},
        logging,
    },
    wire::{AGE_MEDIA_TYPE, UPLOAD_MEDIA_TYPE},
};
use jiff::SignedDuration;
use memchr::memmem::{self, Finder};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Words that stand in sealed content only.
const SEALED: &[&str] = &[
    "zqTitleHalcyonQuartz71",
    "zqAbstractMeridianFinch72",
    "zqTeamOrlandoPebble73",
    "zqTeamOrgVellumAnchor74",
    "zqBudgetSaffronLathe75",
    "zqContentCobaltThistle76",
    "zqSharesHemlockLantern77",
    "zqFileNameMarlinGrove78",
    "zqCommentJuniperSlate79",
    "zqOverallTundraHarp80",
    "zqLetterIndigoWillow81",
    "zqNoteBasaltHeather84",
];
/// Stands where a request has no place for it: in addresses, wrong bodies, unsealed bytes.
const MISPLACED: &str = "zqMisplacedOnyxHeron82";
/// Stands in the title of the call, which everybody may know.
const PUBLIC: &str = "zqCallTitleAmberRidge83";

/// Log lines of this whole process, the servers of other tests included.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything in which something is looked for, by name.
type ConnectionSlots = Vec<(String, Vec<u8>)>;

#[tokio::test]
async fn nothing_sealed_is_found_in_what_the_host_holds_logs_counts_or_answers() {
    let lines = Lines::default();
    let writer = lines.clone();
    // More than `debug`, which is the most that anybody would run with.
    let log = LogConfig { level: LogLevel::Trace, format: LogFormat::Json };
    tracing::subscriber::set_global_default(logging::subscriber(&log, move || writer.clone())).unwrap();
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let stage = call_with_a_public_title(world).await;
    let mut answers = Vec::new();
    let proposal = sealed_journey(&stage, &mut answers).await;
    inboxes(&stage, &mut answers).await;
    misplaced_everywhere(&stage, proposal, &mut answers).await;
    feeds(&stage, &mut answers).await;
    counts(&stage, &mut answers).await;
    assert!(answers.len() > 20, "{}", answers.len());

    let mut places = ConnectionSlots::new();
    for page in ["/metrics", "/readyz", "/healthz"] {
        places.push((page.to_owned(), admin(&stage, page).await));
    }
    for (number, answer) in answers.into_iter().enumerate() {
        places.push((format!("answer {number}"), answer.into_bytes()));
    }
    let kept: Vec<PathBuf> = std::fs::read_dir(&stage.plan.dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("entente.db"))
        .chain(files(&stage.plan.dir.join("blobs")))
        .collect();
    assert!(kept.len() > 6, "the database, its journal and the documents: {kept:?}");
    places.extend(kept.iter().map(|path| (path.display().to_string(), std::fs::read(path).unwrap())));
    let logged = lines.0.lock().unwrap().clone();
    let logged_text = String::from_utf8_lossy(&logged).into_owned();
    assert!(logged_text.contains("/v1/proposals/{proposal}/documents/{slot}"), "requests were logged");
    places.push(("log".to_owned(), logged));

    let mut words: Vec<String> = SEALED.iter().copied().chain([MISPLACED]).map(str::to_owned).collect();
    // Every age identity, those of vaults included, and the very identities and keys of the members.
    words.push("AGE-SECRET-KEY-".to_owned());
    words.push("PRIVATE KEY".to_owned());
    words.extend(secrets(&stage));
    for word in &words {
        assert_eq!(found(word, &places), Vec::<String>::new(), "`{word}`");
    }
    the_search_finds_what_is_there(&stage, &places);
    stage.stop().await;
}

/// The same search, of the same places, for what may be known; and of members' own machines, for what is secret.
fn the_search_finds_what_is_there(stage: &Stage, places: &ConnectionSlots) {
    let places_of_title = found(PUBLIC, places);
    assert!(places_of_title.iter().any(|place| place.contains("entente.db")), "{places_of_title:?}");
    let signed: ConnectionSlots = places.iter().filter(|(name, _)| name.contains("entente.db")).cloned().collect();
    let without_clear: ConnectionSlots =
        signed.into_iter().map(|(name, bytes)| (name, replaced(&bytes, PUBLIC.as_bytes()))).collect();
    assert!(!found(PUBLIC, &without_clear).is_empty(), "encoded in the signed publication it is found too");
    let own: ConnectionSlots = files(&stage.plan.dir.join("files"))
        .into_iter()
        .chain(files(&stage.plan.dir.join("homes")))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    for word in ["zqContentCobaltThistle76", "AGE-SECRET-KEY-"] {
        assert!(!found(word, &own).is_empty(), "{word}");
    }
}

async fn call_with_a_public_title(world: TestWorld) -> Stage {
    let program = Stage::program(&world).await;
    let now = world.clock.now();
    let deadline = now + SignedDuration::from_hours(24 * 30);
    let mut titled = text(now, deadline);
    titled.title = format!("Joint research {PUBLIC}");
    let dana = world.client("USA:dana");
    let draft = dana.draft_call(program, &titled).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let stage = Stage::around(world, program, call, deadline);
    stage.grant().await;
    stage
}

/// From a proposal to its letter, with a word in everything that is sealed. Gathers refusals on the way.
async fn sealed_journey(stage: &Stage, answers: &mut Vec<String>) -> ProposalId {
    let (avi, bob, dana) = (stage.client("ISR:avi"), stage.client("USA:bob"), stage.client("USA:dana"));
    let proposal = stage.begun().await;
    let summary = Summary {
        title: SEALED[0].into(),
        abstract_text: SEALED[1].repeat(50),
        team: vec![TeamMember { name: SEALED[2].into(), organisation: SEALED[3].into(), role: None }],
        budget: vec![BudgetLine { item: SEALED[4].into(), party: None, amount: 1, currency: "USD".into() }],
    };
    avi.put_summary(proposal, &summary, quiet()).await.unwrap();
    let plan = stage.file(&format!("{}.pdf", SEALED[7]), &pdf(&SEALED[5].repeat(300)));
    stage.put("ISR:avi", proposal, "work-plan", &plan).await;
    for (member, code) in [("ISR:avi", "ISR"), ("USA:bob", "USA")] {
        let file = stage.file(&format!("{}-{code}.pdf", SEALED[7]), &pdf(SEALED[6]));
        stage.put(member, proposal, "shareholders", &file).await;
    }
    stage.sign("ISR:avi", proposal).await;
    answers.push(dana.declare(proposal, None).await.unwrap_err().to_string());
    stage.sign("USA:bob", proposal).await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    assert_eq!(avi.hand_over(proposal, &id("ISR:tamar"), true).await.unwrap(), HandOver::Done);
    stage.clock.set(stage.deadline + SignedDuration::from_millis(1));
    answers.push(bob.put_summary(proposal, &summary, quiet()).await.unwrap_err().to_string());
    stage.clock.set(stage.deadline + GRACE + SignedDuration::from_millis(1));
    stage.clear(proposal, &["USA:dana", "USA:frank", "ISR:eitan"]).await;
    stage.assign(&[(proposal, "USA:carol")], false).await;
    stage.clear(proposal, &["USA:carol"]).await;
    stage.prepare_panel().await;
    inboxes(stage, answers).await;
    let carol = stage.client("USA:carol");
    assert_eq!(carol.read_summary(proposal, VersionChoice::Standing).await.unwrap().title, SEALED[0]);
    let scores = ["excellence", "impact"].map(|name| (slug(name), 4.5));
    let review = ReviewBody {
        scores: scores.into(),
        comments: [(slug("impact"), SEALED[8].repeat(20))].into(),
        overall: SEALED[9].into(),
        recommendation: None,
    };
    carol.submit_review(proposal, &review).await.unwrap();
    answers.push(carol.submit_review(proposal, &review).await.unwrap_err().to_string());
    dana.note_for_ranking(proposal, SEALED[11]).await.unwrap();
    let plan = dana.plan_ranking(stage.call).await.unwrap();
    assert_eq!((plan.ranking.lines[0].reviews, plan.ranking.notes[&proposal].as_str()), (1, SEALED[11]));
    dana.send_ranking(stage.call, &plan).await.unwrap();
    let sent = stage.client("USA:frank").sent_ranking(stage.call).await.unwrap();
    assert_eq!(sent.ranking.notes[&proposal], SEALED[11]);
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    stage.client("ISR:eitan").sign_decision(proposal, Outcome::Fund).await.unwrap();
    let letter = dana.send_letter(proposal, &SEALED[10].repeat(10)).await.unwrap();
    assert!(bob.read_letter(proposal, letter.id).await.unwrap().text.starts_with(SEALED[10]));
    proposal
}

/// Gathers the log as each of them reads it to its end.
async fn feeds(stage: &Stage, answers: &mut Vec<String>) {
    for member in ["USA:dana", "USA:bob", "USA:carol", "ISR:avi", "ISR:eitan"] {
        let raw = stage.raw(Some(stage.credential(member)));
        let ask = async |path: String| raw.request(Method::GET, &path).send().await.unwrap().text().await.unwrap();
        let mut cursor = String::new();
        loop {
            let page = ask(format!("/v1/entries?limit=200{cursor}")).await;
            let read: Value = serde_json::from_str(&page).unwrap();
            answers.push(page);
            let Some(next) = read["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
    }
}

/// Gathers what waits for everybody who takes part.
async fn inboxes(stage: &Stage, answers: &mut Vec<String>) {
    for member in ["ISR:avi", "USA:bob", "ISR:tamar", "USA:dana", "USA:carol", "USA:frank"] {
        let raw = stage.raw(Some(stage.credential(member)));
        let answer = raw.request(Method::GET, "/v1/inbox").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answers.push(answer.text().await.unwrap());
    }
}

/// Gathers what a relay is answered.
async fn counts(stage: &Stage, answers: &mut Vec<String>) {
    relay::employ(stage).await;
    let raw = stage.raw(Some(stage.credential("ISR:tamar")));
    let answer = raw.request(Method::GET, "/v1/waiting").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answers.push(answer.text().await.unwrap());
}

/// Puts the word wherever a request can carry it and be refused, and gathers every answer.
async fn misplaced_everywhere(stage: &Stage, proposal: ProposalId, answers: &mut Vec<String>) {
    let dana = stage.raw(Some(stage.credential("USA:dana")));
    let (bob, registrar) =
        (stage.raw(Some(stage.credential("USA:bob"))), stage.raw(Some(stage.credential("USA:registrar"))));
    let carol = stage.raw(Some(stage.credential("USA:carol")));
    let mut requests = Vec::new();
    for path in [
        format!("/v1/{MISPLACED}"),
        format!("/v1/calls/{MISPLACED}"),
        format!("/v1/calls/call_{MISPLACED}"),
        format!("/v1/members/{MISPLACED}"),
        format!("/v1/members/USA:{MISPLACED}"),
        format!("/v1/partners/{MISPLACED}"),
        format!("/v1/proposals/{MISPLACED}"),
        format!("/v1/proposals/{proposal}/ciphertexts/{MISPLACED}"),
        format!("/v1/proposals/{proposal}/uploads/{MISPLACED}"),
        format!("/v1/proposals?call={MISPLACED}"),
        format!("/v1/proposals?cursor={MISPLACED}"),
        format!("/v1/proposals?limit={MISPLACED}"),
        format!("/v1/entries?cursor={MISPLACED}"),
    ] {
        requests.push(dana.request(Method::GET, &path));
    }
    for body in [
        MISPLACED.to_owned(),
        format!("{{\"name\": \"{MISPLACED}"),
        json!({ "name": MISPLACED, "lead": MISPLACED, "partners": [] }).to_string(),
        json!({ "name": [MISPLACED], "lead": "USA", "partners": ["USA"] }).to_string(),
        json!({ "name": "x", "lead": "USA", "partners": { MISPLACED: 1 } }).to_string(),
        json!({ "name": MISPLACED, "lead": "USA" }).to_string(),
        json!(MISPLACED).to_string(),
    ] {
        requests
            .push(change(&dana, Method::POST, "/v1/programs").header("Content-Type", "application/json").body(body));
    }
    let of = |rest: &str| format!("/v1/proposals/{proposal}/{rest}");
    let payload = BASE64_URL_SAFE_NO_PAD.encode(json!({ "title": MISPLACED }).to_string());
    let jws = format!("{}.{payload}.{MISPLACED}", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#));
    for (connection, method, path, body) in [
        (&bob, Method::POST, of("manifests"), json!({ "manifest": jws })),
        (&bob, Method::POST, of("manifests"), json!({ "manifest": MISPLACED })),
        (&bob, Method::POST, of("manifests"), json!({ "manifest": 7, "title": MISPLACED })),
        (&carol, Method::POST, of("reviews"), json!({ "statement": jws, "ciphertext": MISPLACED })),
        (
            &carol,
            Method::PUT,
            of("declaration"),
            json!({ "conflict": true, "ground": MISPLACED, "statement": MISPLACED }),
        ),
        (&dana, Method::POST, of("letters"), json!({ "statement": jws, "ciphertext": MISPLACED })),
        (&dana, Method::POST, of("letters"), json!({ "text": MISPLACED })),
        (&dana, Method::PUT, of("ranking"), json!({ "statement": jws, "ciphertext": MISPLACED })),
        (&dana, Method::PUT, of("ranking"), json!({ "note": MISPLACED })),
        (&dana, Method::PUT, of("decision"), json!({ "decision": jws })),
        (&registrar, Method::PUT, "/v1/members/USA:bob/key-card".into(), json!({ "key_card": jws })),
        (&registrar, Method::PUT, "/v1/members/USA:bob/key-card".into(), json!({ "name": MISPLACED })),
    ] {
        requests.push(change(connection, method, &path).json(&body));
    }
    // What somebody uploads who forgot to seal, before anybody else's deadline.
    let officer = stage.client("USA:dana");
    let short = text(stage.clock.now(), stage.clock.now() + GRACE);
    let call = officer.draft_call(stage.program, &short).await.unwrap().id;
    officer.publish_call(call).await.unwrap();
    let new = entente::client::proposals::NewProposal { call, ..stage.joint() };
    let open = stage.client("USA:bob").create_proposal(&new).await.unwrap().id;
    for content in [MISPLACED.repeat(40), format!("age-encryption.org/v1\n-> X25519 {MISPLACED}\n"), jws.clone()] {
        let digest = BASE64_STANDARD.encode(Sha256::of(content.as_bytes()).as_bytes());
        let path = format!("/v1/proposals/{open}/documents/annex");
        let request = change(&bob, Method::PUT, &path).header("Repr-Digest", format!("sha-256=:{digest}:"));
        let request =
            request.header("Content-Type", AGE_MEDIA_TYPE).header("Entente-Media-Type", "application/octet-stream");
        requests.push(request.body(content));
    }
    // What a client of tus likes to send beside the bytes, and bytes that nobody sealed.
    let path = format!("/v1/proposals/{open}/documents/annex/uploads");
    let begins = |key: &str, metadata: String| {
        let request = bob.request(Method::POST, &path).header("Idempotency-Key", key).header("Tus-Resumable", "1.0.0");
        request.header("Upload-Length", 1000).header("Upload-Metadata", metadata)
    };
    let media_type = format!("media_type {}", BASE64_STANDARD.encode("application/octet-stream"));
    let word = BASE64_STANDARD.encode(MISPLACED);
    for metadata in [
        format!("{media_type},filename {word}"),
        format!("{media_type},sha256 {word}"),
        format!("media_type {word}"),
        format!("{media_type},{MISPLACED} {word}"),
        format!("{media_type},{MISPLACED}"),
    ] {
        requests.push(begins("misplaced", metadata));
    }
    let begun = begins("well-placed", media_type).send().await.unwrap();
    let upload = begun.headers()["location"].to_str().unwrap().to_owned();
    let append = bob.request(Method::PATCH, &upload).header("Tus-Resumable", "1.0.0").header("Upload-Offset", 0);
    requests.push(append.header("Content-Type", UPLOAD_MEDIA_TYPE).body(MISPLACED.repeat(10)));
    for request in requests {
        let response = request.send().await.unwrap();
        let (status, address) = (response.status(), response.url().path().to_owned());
        let body = response.text().await.unwrap();
        assert!(status.is_client_error(), "{status} {address} {body}");
        answers.push(body);
    }
}

fn change(connection: &Raw, method: Method, path: &str) -> RequestBuilder {
    connection.request(method, path).header("Idempotency-Key", "misplaced")
}

/// The members' identities and signing keys, as they lie on their own machines.
fn secrets(stage: &Stage) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(&stage.plan.dir.join("homes")) {
        if path.file_name().is_some_and(|name| name == "identity.txt") {
            let text = std::fs::read_to_string(path).unwrap();
            found.extend(text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned));
        }
    }
    for partner in stage.pki.partners.values() {
        for credential in partner.members.values() {
            found.extend(credential.private_key.expose().lines().filter(|line| line.len() == 64).map(str::to_owned));
        }
    }
    assert!(found.len() > 30, "{}", found.len());
    found
}

async fn admin(stage: &Stage, page: &str) -> Vec<u8> {
    let mut connection = TcpStream::connect(stage.server.admin_addr).await.unwrap();
    let request = format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{page}: {}", String::from_utf8_lossy(&answer));
    answer
}

/// The places that hold a word, in clear, in hexadecimal digits or in either base64, wherever in the encoded text it begins.
fn found(word: &str, places: &ConnectionSlots) -> Vec<String> {
    let hex = word.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let mut forms: Vec<Vec<u8>> = vec![word.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for before in 0..3_usize {
        let padded = [&b"\0\0"[..before], word.as_bytes()].concat();
        // Of whole groups of three, and without the first character that mixes in what stands before.
        let whole = &padded[..padded.len() / 3 * 3];
        for encoded in [BASE64_STANDARD.encode(whole), BASE64_URL_SAFE_NO_PAD.encode(whole)] {
            forms.push(encoded.into_bytes()[if before == 0 { 0 } else { 4 }..].to_vec());
        }
    }
    let finders: Vec<Finder> = forms.iter().map(Finder::new).collect();
    let holds = |bytes: &[u8]| finders.iter().any(|form| form.find(bytes).is_some());
    places.iter().filter(|(_, bytes)| holds(bytes)).map(|(name, _)| name.clone()).collect()
}

fn replaced(bytes: &[u8], word: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = memmem::find(&bytes, word) {
        bytes[at..at + word.len()].fill(b'.');
    }
    bytes
}
