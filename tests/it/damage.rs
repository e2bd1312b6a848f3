//! What is done when stored bytes are not what was acknowledged: nobody gets them as the document, the log reports no download that did
//! not happen, the operator hears of it, and what was put right is handed out again.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, Step, pdf, review},
    world::{Raw, Store},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    domain::{
        decision::Outcome,
        id::{DocumentId, ProposalId, Sha256},
    },
    service::{Exchange, upkeep},
    storage::{
        args,
        documents::{self, DocumentRow},
        held_blobs::HeldBlob,
    },
    wire::{AGE_MEDIA_TYPE, page::Page, proposal::Document},
};
use reqwest::{Method, Response};
use std::{fs, os::unix::fs::symlink, path::PathBuf};

/// A proposal with a small and a large document, and somebody of its parties who speaks HTTP.
struct Case {
    stage: Stage,
    proposal: ProposalId,
    raw: Raw,
}

impl Case {
    async fn new() -> Self {
        Self::on(Store::Sqlite).await.unwrap()
    }

    async fn on(store: Store) -> Option<Self> {
        let stage = Stage::open_on(store).await?;
        let proposal = stage.prepared().await;
        // Larger than what is read at a time.
        let large = [pdf("the work plan"), vec![7; 2_000_000]].concat();
        stage.put("ISR:avi", proposal, "work-plan", &stage.file("large.pdf", &large)).await;
        let raw = stage.raw(Some(stage.credential("ISR:avi")));
        Some(Self { stage, proposal, raw })
    }

    fn exchange(&self) -> &Exchange {
        &self.stage.server.exchange
    }

    async fn row(&self, slot: &str) -> DocumentRow {
        let mut tx = self.exchange().db.read().await.unwrap();
        let rows = documents::current(&mut tx, self.proposal).await.unwrap();
        // Each party has shareholders of its own; the other's are not for Avi.
        let own = |row: &DocumentRow| row.slot.as_str() == slot && row.uploaded_by.to_string() == "ISR:avi";
        rows.into_iter().find(own).unwrap()
    }

    fn file(&self, row: &DocumentRow) -> PathBuf {
        let key = row.blob.to_string();
        self.stage.blobs_folder().join("blobs").join(&key[..2]).join(key)
    }

    /// Changes a bit in the middle.
    fn flip(&self, row: &DocumentRow) {
        let mut bytes = fs::read(self.file(row)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(self.file(row), bytes).unwrap();
    }

    async fn ask(&self, method: Method, document: DocumentId, range: Option<&str>) -> Response {
        let path = format!("/v1/proposals/{}/ciphertexts/{document}", self.proposal);
        let mut request = self.raw.request(method, &path);
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, document: DocumentId) -> Response {
        self.ask(Method::GET, document, None).await
    }

    /// How many entries of the log say that something was handed out.
    async fn handed_out(&self) -> i64 {
        let mut tx = self.exchange().db.read().await.unwrap();
        let sql = "SELECT COUNT(*) AS count FROM log_entries WHERE kind LIKE '%.fetched'";
        tx.fetch_one(sql, args![]).await.unwrap().int("count").unwrap()
    }

    async fn damaged(&self) -> u64 {
        upkeep::state(self.exchange()).await.unwrap().0
    }
}

async fn is_refused_as_damaged(answer: Response) {
    let status = answer.status().as_u16();
    let problem: entente::wire::problem::Problem = answer.json().await.unwrap();
    assert_eq!((status, problem.slug()), (500, "document-damaged"), "{problem:?}");
}

#[tokio::test]
async fn document_whose_file_is_missing_or_cut_is_refused_and_leaves_no_entry() {
    let case = Case::new().await;
    let (summary, plan) = (case.row("shareholders").await, case.row("work-plan").await);
    let entries = case.handed_out().await;
    fs::rename(case.file(&summary), case.file(&summary).with_extension("away")).unwrap();
    is_refused_as_damaged(case.get(summary.id).await).await;
    let whole = fs::read(case.file(&plan)).unwrap();
    for len in [0, whole.len() - 1] {
        fs::write(case.file(&plan), &whole[..len]).unwrap();
        is_refused_as_damaged(case.get(plan.id).await).await;
        is_refused_as_damaged(case.ask(Method::GET, plan.id, Some("bytes=0-9")).await).await;
        assert_eq!(case.ask(Method::HEAD, plan.id, None).await.status(), 500);
    }
    assert_eq!(case.handed_out().await, entries, "nothing was handed out");
    assert_eq!(case.damaged().await, 2);
    case.stage.stop().await;
}

#[tokio::test]
async fn flipped_bit_in_a_small_document_is_refused_before_its_first_byte() {
    let case = Case::new().await;
    let row = case.row("shareholders").await;
    let entries = case.handed_out().await;
    case.flip(&row);
    is_refused_as_damaged(case.get(row.id).await).await;
    is_refused_as_damaged(case.ask(Method::GET, row.id, Some("bytes=1-")).await).await;
    assert_eq!(case.handed_out().await, entries);
    case.stage.stop().await;
}

#[tokio::test]
async fn flipped_bit_in_a_large_document_breaks_the_download_off_and_refuses_the_next() {
    let case = Case::new().await;
    let row = case.row("work-plan").await;
    let entries = case.handed_out().await;
    case.flip(&row);
    let mut answer = case.get(row.id).await;
    assert_eq!(answer.status(), 200);
    let mut given = 0;
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => given += piece.len() as u64,
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken && given < row.size, "{given} of {} bytes were given out as if they were all", row.size);
    // What is missing cannot be had as a part either.
    is_refused_as_damaged(case.ask(Method::GET, row.id, Some("bytes=1000000-")).await).await;
    is_refused_as_damaged(case.get(row.id).await).await;
    assert_eq!(case.handed_out().await, entries + 1, "most of the bytes were given once, and not again");
    case.stage.stop().await;
}

#[tokio::test]
async fn head_tells_of_a_document_and_leaves_no_entry() {
    let case = Case::new().await;
    let row = case.row("work-plan").await;
    let entries = case.handed_out().await;
    let head = case.ask(Method::HEAD, row.id, None).await;
    assert_eq!(
        (head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()),
        (200, &*row.size.to_string())
    );
    for path in [format!("/v1/proposals/{}/vaults", case.proposal), format!("/v1/calls/{}/vault", case.stage.call)] {
        let raw =
            case.stage.raw(Some(case.stage.credential(if path.contains("calls") { "USA:dana" } else { "ISR:avi" })));
        assert_eq!(raw.request(Method::HEAD, &path).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(case.handed_out().await, entries);
    assert_eq!(Sha256::of(&case.get(row.id).await.bytes().await.unwrap()), row.sha256);
    assert_eq!(case.handed_out().await, entries + 1, "a download leaves one");
    case.stage.stop().await;
}

#[tokio::test]
async fn head_of_a_review_and_of_a_letter_leaves_no_entry_and_a_read_leaves_one() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let raw = stage.raw(Some(stage.credential("USA:dana")));
    let case = Case { stage, proposal, raw };
    let Case { stage, raw, .. } = &case;
    let review = stage.client("USA:carol").submit_review(proposal, &review(4.0, 4.0)).await.unwrap().id;
    for decider in ["USA:frank", "ISR:eitan"] {
        stage.client(decider).sign_decision(proposal, Outcome::Fund).await.unwrap();
    }
    let letter = stage.client("USA:dana").send_letter(proposal, "It is funded.").await.unwrap().id;
    for path in [format!("/v1/reviews/{review}"), format!("/v1/proposals/{proposal}/letters/{letter}")] {
        let before = case.handed_out().await;
        assert_eq!(raw.request(Method::HEAD, &path).send().await.unwrap().status(), 200, "{path}");
        assert_eq!(case.handed_out().await, before, "{path}");
        assert_eq!(raw.request(Method::GET, &path).send().await.unwrap().status(), 200, "{path}");
        assert_eq!(case.handed_out().await, before + 1, "{path}");
    }
    case.stage.stop().await;
}

#[tokio::test]
async fn same_bytes_uploaded_again_stand_in_for_damaged_ones() {
    let case = Case::new().await;
    let row = case.row("work-plan").await;
    for member in ["ISR:avi", "USA:bob"] {
        case.stage.sign(member, case.proposal).await;
    }
    let bytes = case.get(row.id).await.bytes().await.unwrap();
    case.flip(&row);
    upkeep::scrub_now(case.exchange(), false).await.unwrap();
    is_refused_as_damaged(case.get(row.id).await).await;
    let digest = BASE64_STANDARD.encode(row.sha256.as_bytes());
    let again = case
        .raw
        .request(Method::PUT, &format!("/v1/proposals/{}/documents/work-plan", case.proposal))
        .header("Idempotency-Key", "again")
        .header("Repr-Digest", format!("sha-256=:{digest}:"))
        .header("Content-Type", AGE_MEDIA_TYPE)
        .header("Entente-Media-Type", "application/pdf")
        .body(bytes);
    assert_eq!(again.send().await.unwrap().status(), 201);
    let again = case.row("work-plan").await;
    assert!(again.id != row.id && again.sha256 == row.sha256);

    // A member who reads the version that both signed is shown the sound one.
    case.stage.pass_the_opening();
    case.stage.clear(case.proposal, &["USA:dana"]).await;
    case.stage.assign(&[(case.proposal, "USA:carol")], false).await;
    case.stage.clear(case.proposal, &["USA:carol"]).await;
    let carol = case.stage.raw(Some(case.stage.credential("USA:carol")));
    let listed =
        carol.request(Method::GET, &format!("/v1/proposals/{}/documents", case.proposal)).send().await.unwrap();
    let listed: Page<Document> = listed.json().await.unwrap();
    let plans: Vec<_> =
        listed.items.iter().filter(|document| document.slot == again.slot).map(|plan| plan.id).collect();
    assert_eq!(plans, [again.id]);
    case.stage.stop().await;
}

/// On both engines, since what is found is noted in the database.
#[tokio::test]
async fn daily_check_finds_what_is_damaged_and_what_is_right_again() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(case) = Case::on(store).await else { continue };
        let (plan, other) = (case.row("work-plan").await, case.row("shareholders").await);
        // The server that runs has looked at everything already, or is about to.
        let looked = async || upkeep::scrub_now(case.exchange(), false).await.unwrap();
        let sound = looked().await;
        assert_eq!((sound.damaged, sound.recovered, case.damaged().await), (0, 0, 0));
        assert_eq!(sound.documents, 5, "also what was replaced");
        case.flip(&plan);
        fs::rename(case.file(&other), case.file(&other).with_extension("away")).unwrap();
        assert_eq!((looked().await.damaged, case.damaged().await), (2, 2));
        is_refused_as_damaged(case.get(plan.id).await).await;
        case.flip(&plan);
        fs::rename(case.file(&other).with_extension("away"), case.file(&other)).unwrap();
        let recovered = upkeep::scrub_now(case.exchange(), true).await.unwrap();
        assert_eq!((recovered.documents, recovered.recovered, recovered.damaged, case.damaged().await), (2, 2, 0, 0));
        assert_eq!(Sha256::of(&case.get(plan.id).await.bytes().await.unwrap()), plan.sha256);
        case.stage.stop().await;
    }
}

#[tokio::test]
async fn document_that_cannot_be_read_is_named_and_not_called_damaged() {
    let case = Case::new().await;
    let plan = case.row("work-plan").await;
    let (file, away) = (case.file(&plan), case.file(&plan).with_extension("away"));
    fs::rename(&file, &away).unwrap();
    // It leads to itself, so nobody can open it, whatever their rights.
    symlink(&file, &file).unwrap();
    let looked = upkeep::scrub_now(case.exchange(), false).await.unwrap();
    assert_eq!((looked.documents, looked.unreadable, looked.damaged, case.damaged().await), (5, 1, 0, 0));
    let named: Vec<_> = looked.named.iter().map(|(held, _)| held.clone()).collect();
    assert_eq!(named, [HeldBlob::Document(plan.clone())]);
    fs::rename(&away, &file).unwrap();
    assert_eq!(upkeep::scrub_now(case.exchange(), false).await.unwrap().unreadable, 0);
    assert_eq!(Sha256::of(&case.get(plan.id).await.bytes().await.unwrap()), plan.sha256);
    case.stage.stop().await;
}

#[tokio::test]
async fn download_reads_its_own_row_and_no_other_of_its_proposal() {
    let case = Case::new().await;
    let (plan, other) = (case.row("work-plan").await, case.row("shareholders").await);
    let mut tx = case.exchange().db.write().await.unwrap();
    tx.execute("UPDATE documents SET sha256 = 'x' WHERE document_id = $1", args![other.id]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = case.exchange().db.read().await.unwrap();
    assert!(documents::current(&mut tx, case.proposal).await.is_err(), "reading it fails");
    drop(tx);
    assert_eq!(case.get(other.id).await.status(), 500);
    let answer = case.get(plan.id).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(Sha256::of(&answer.bytes().await.unwrap()), plan.sha256);
    case.stage.stop().await;
}

/// What `proposal verify --fetch` of Avi's says, and how it ends.
async fn verified(case: &Case) -> (Option<i32>, String, String) {
    let home = case.stage.plan.dir.join("homes/ISR.avi");
    let output = ended(entente(&[
        "--home",
        home.to_str().unwrap(),
        "proposal",
        "verify",
        &case.proposal.to_string(),
        "--fetch",
        "--json",
    ]))
    .await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn client_says_of_no_bytes_that_it_verified_them_unless_it_had_them() {
    let case = Case::new().await;
    for member in ["ISR:avi", "USA:bob"] {
        case.stage.sign(member, case.proposal).await;
    }
    let (code, said, _) = verified(&case).await;
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
    // The other party's shareholders are not for Avi.
    assert_eq!((code, &answer["ciphertexts_checked"]), (Some(0), &false.into()), "{answer}");
    assert_eq!(answer["not_fetched"].as_array().unwrap().len(), 1, "{answer}");

    for slot in ["work-plan", "shareholders"] {
        let row = case.row(slot).await;
        let whole = fs::read(case.file(&row)).unwrap();
        case.flip(&row);
        let (code, said, error) = verified(&case).await;
        assert_ne!(code, Some(0), "{slot}: {said}");
        assert!(!said.contains("\"verified\":true") && !error.is_empty(), "{slot}: {said} {error}");
        fs::write(case.file(&row), whole).unwrap();
    }
    case.stage.stop().await;
}
