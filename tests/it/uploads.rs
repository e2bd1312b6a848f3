//! Sealed files on their way up: what parties signed for stays on the machine that alone has it until the exchange has it, too, whatever
//! else is put, discarded, taken out or interrupted; and a member who resumes hears of each.

use crate::harness::{
    census::files,
    process::{ended, entente, until},
    stage::{GRACE, Stage, Step, id, pdf, quiet, slug, summary},
    world::Store,
};
use entente::{
    client::{ClientError, ExitClass, ProgressListener, ProgressStep, records::UploadRecord},
    domain::{
        id::{ProposalId, Sha256},
        proposal::Status,
    },
};
use jiff::SignedDuration;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Output,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

async fn status(stage: &Stage, proposal: ProposalId) -> Status {
    stage.client("ISR:avi").api().proposal(proposal).await.unwrap().status
}

/// A work plan that is sealed on Avi's machine alone, and a version with it that everybody has signed.
async fn committed(stage: &Stage) -> (ProposalId, UploadRecord) {
    let proposal = stage.prepared().await;
    let plan = stage.file("final.pdf", &pdf("the final work plan"));
    let avi = stage.client("ISR:avi");
    let record = avi.seal_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    assert_eq!(status(stage, proposal).await, Status::Committed);
    (proposal, record)
}

fn is_kept(record: &UploadRecord) -> bool {
    let sealed = record.sealed.as_ref().unwrap();
    sealed.exists() && Sha256::of(&fs::read(sealed).unwrap()) == record.sha256
}

/// Runs Avi's command line: exit code, standard output, standard error.
async fn run(stage: &Stage, line: &str) -> (i32, String, String) {
    run_from(&stage.home(&id("ISR:avi")), line).await
}

/// The same from another home.
async fn run_from(home: &Path, line: &str) -> (i32, String, String) {
    let home = home.display().to_string();
    let words: Vec<&str> = ["--home", &home].into_iter().chain(line.split(' ')).collect();
    let Output { status, stdout, stderr } = ended(entente(&words)).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test]
async fn second_put_sends_first_what_everybody_signed_for() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let better = stage.file("better.pdf", &pdf("an even better work plan"));
    stage.put("ISR:avi", proposal, "work-plan", &better).await;
    let shown = stage.client("ISR:avi").api().proposal(proposal).await.unwrap();
    assert_eq!((shown.status, shown.version), (Status::Submitted, Some(1)));
    assert!(!record.sealed.as_ref().unwrap().exists(), "the exchange has it");
    assert!(stage.client("ISR:avi").interrupted_uploads().unwrap().is_empty());
    // What is put in is the second file, and the next version has it.
    let held = stage.client("ISR:avi").api().documents(proposal).await.unwrap();
    let plan = held.into_iter().find(|document| document.slot == slug("work-plan")).unwrap();
    assert_ne!(plan.sha256, record.sha256);
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    let shown = stage.client("ISR:avi").api().proposal(proposal).await.unwrap();
    assert_eq!((shown.status, shown.version), (Status::Submitted, Some(2)));
    stage.stop().await;
}

#[tokio::test]
async fn second_put_by_the_program_says_what_it_sent_first() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let better = stage.file("better.pdf", &pdf("an even better work plan"));
    let (code, said, notes) = run(&stage, &format!("proposal put {proposal} work-plan {}", better.display())).await;
    assert_eq!(code, 0, "{notes}");
    assert!(notes.contains("the file that was signed in version 1 was sent first"), "{notes}");
    assert!(!said.contains(&record.sha256.to_string()), "{said}");
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn put_of_what_was_sealed_before_sends_first_what_everybody_signed_for() {
    let stage = Stage::open().await;
    let (proposal, signed) = committed(&stage).await;
    let avi = stage.client("ISR:avi");
    let better = stage.file("better.pdf", &pdf("an even better work plan"));
    let sealed = avi.seal_document(proposal, &slug("work-plan"), &better, None, quiet()).await.unwrap();
    stage.put("ISR:avi", proposal, "work-plan", &better).await;
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    assert!(!signed.sealed.unwrap().exists() && avi.interrupted_uploads().unwrap().is_empty());
    let held = avi.api().documents(proposal).await.unwrap();
    assert!(held.iter().any(|document| document.sha256 == sealed.sha256), "the slot has what was put last");
    stage.stop().await;
}

#[tokio::test]
async fn signed_file_is_found_wherever_its_home_is_now() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let home = stage.home(&id("ISR:avi"));
    // Keys are where the profile says; all that the home keeps is somewhere else.
    let moved = home.with_file_name("moved");
    fs::create_dir(&moved).unwrap();
    for entry in ["profiles", "trust", "seen", "uploads", "default-profile"] {
        fs::rename(home.join(entry), moved.join(entry)).unwrap();
    }
    let (code, said, notes) = run_from(&moved, "proposal resume").await;
    assert!(code == 0 && said.contains(&record.sha256.to_string()), "{said}{notes}");
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    let sealed = moved.join("uploads").join("default").join(record.sealed.unwrap().file_name().unwrap());
    assert!(sealed.parent().unwrap().exists() && !sealed.exists(), "the exchange has it");
    stage.stop().await;
}

#[tokio::test]
async fn signed_file_that_is_missing_is_reported_not_forgotten_and_sent_once_it_is_back() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let sealed = record.sealed.clone().unwrap();
    let away = sealed.with_extension("away");
    fs::rename(&sealed, &away).unwrap();
    for _ in 0..2 {
        let (code, _, faults) = run(&stage, "proposal resume").await;
        assert!(code == 1 && faults.contains("A signed version names it"), "{faults}");
        assert!(faults.contains(&format!("was looked for at `{}`", sealed.display())), "{faults}");
    }
    let (code, _, faults) = run(&stage, "proposal resume --discard").await;
    assert!(code == 2 && faults.contains("is kept"), "{faults}");
    let avi = stage.client("ISR:avi");
    // Something else takes the slot meanwhile, and it is said when the signed file takes it back.
    stage.put("ISR:avi", proposal, "work-plan", &stage.file("better.pdf", &pdf("an even better work plan"))).await;
    assert_eq!(avi.interrupted_uploads().unwrap().len(), 1);
    fs::rename(&away, &sealed).unwrap();
    let (code, said, notes) = run(&stage, "proposal resume").await;
    assert!(code == 0 && said.contains(&record.sha256.to_string()), "{said}{notes}");
    assert!(notes.contains("is in its slot again, in place of what was put there later"), "{notes}");
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    assert!(avi.interrupted_uploads().unwrap().is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn after_the_deadline_put_says_where_a_signed_file_was_looked_for_that_is_missing() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let sealed = record.sealed.unwrap();
    fs::rename(&sealed, sealed.with_extension("away")).unwrap();
    stage.clock.set(stage.deadline + SECOND);
    let (avi, plan) = (stage.client("ISR:avi"), slug("work-plan"));
    let again = record.source.unwrap().path;
    let put = avi.put_document(proposal, &plan, &again, None, quiet());
    stage.declines(ExitClass::Failure, &sealed.display().to_string(), put).await;
    stage.stop().await;
}

/// The file has no name yet while another command that seals it has only written the record.
#[tokio::test]
async fn record_whose_file_is_not_there_yet_outlives_a_resume() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let annex = stage.file("annex.bin", b"measurements");
    let avi = stage.client("ISR:avi");
    let record = avi.seal_document(proposal, &slug("annex"), &annex, None, quiet()).await.unwrap();
    let sealed = record.sealed.clone().unwrap();
    let unnamed = sealed.with_extension("unnamed");
    fs::rename(&sealed, &unnamed).unwrap();
    stage.declines(ExitClass::Failure, "is not there", avi.resume_upload(&record, quiet())).await;
    fs::rename(&unnamed, &sealed).unwrap();
    assert!(is_kept(&record) && avi.interrupted_uploads().unwrap() == [record]);
    // Nobody signed for it, so it can be discarded, file or no file.
    fs::rename(&sealed, &unnamed).unwrap();
    let (code, _, faults) = run(&stage, "proposal resume --discard").await;
    assert!(code == 0 && avi.interrupted_uploads().unwrap().is_empty(), "{faults}");
    stage.stop().await;
}

#[tokio::test]
async fn after_the_deadline_put_says_to_resume_instead_and_seals_nothing() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let avi = stage.client("ISR:avi");
    let other = stage.file("other.pdf", &pdf("another work plan"));
    let again = record.source.clone().unwrap().path;
    stage.clock.set(stage.deadline + SECOND);
    let put = avi.put_document(proposal, &slug("work-plan"), &other, None, quiet()).await.unwrap_err();
    assert!(put.class() == ExitClass::Usage && put.help().contains("resume instead"), "{put:?}");
    let plan = slug("work-plan");
    let sealing = avi.seal_document(proposal, &plan, &other, None, quiet());
    stage.declines(ExitClass::Usage, "and signed is not sent yet", sealing).await;
    stage.declines(ExitClass::Usage, "waits here", avi.put_summary(proposal, &summary("Other"), quiet())).await;
    assert!(is_kept(&record) && avi.interrupted_uploads().unwrap().len() == 1);
    // The same file again is what was sealed, and nothing else than to resume.
    avi.put_document(proposal, &slug("work-plan"), &again, None, quiet()).await.unwrap();
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    stage.stop().await;
}

/// Writes to a file as soon as it is being sealed.
struct Meddler(PathBuf, AtomicBool);

impl ProgressListener for Meddler {
    fn update(&self, step: ProgressStep, _: u64, _: u64) {
        if step == ProgressStep::Sealing && !self.1.swap(true, Ordering::Relaxed) {
            fs::File::options().append(true).open(&self.0).unwrap().write_all(b"more").unwrap();
        }
    }
}

#[tokio::test]
async fn sealing_that_fails_halfway_leaves_what_was_sealed_before() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let avi = stage.client("ISR:avi");
    let other = stage.file("other.pdf", &pdf("another work plan"));
    let meddler: Arc<dyn ProgressListener> = Arc::new(Meddler(other.clone(), AtomicBool::new(false)));
    let failed = avi.seal_document(proposal, &slug("work-plan"), &other, None, meddler).await.unwrap_err();
    assert!(failed.to_string().contains("changed while it was sealed"), "{failed}");
    assert!(is_kept(&record) && avi.interrupted_uploads().unwrap().len() == 1);
    // Sealed beside it and not sent, another one does not harm it either.
    avi.seal_document(proposal, &slug("work-plan"), &other, None, quiet()).await.unwrap();
    assert!(is_kept(&record) && avi.interrupted_uploads().unwrap().len() == 2);
    let (code, _, notes) = run(&stage, "proposal resume").await;
    assert_eq!(code, 0, "{notes}");
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    assert!(avi.interrupted_uploads().unwrap().is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn what_was_signed_for_is_not_discarded_while_it_can_still_be_sent() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let annex = stage.file("annex.bin", b"nobody signed for this");
    let avi = stage.client("ISR:avi");
    let annex = avi.seal_document(proposal, &slug("annex"), &annex, None, quiet()).await.unwrap();
    let (code, said, faults) = run(&stage, "proposal resume --discard").await;
    assert_eq!(code, 2, "{faults}");
    assert!(said.contains("1 interrupted upload is forgotten") && faults.contains("work-plan"), "{said}{faults}");
    assert!(is_kept(&record) && !annex.sealed.unwrap().exists());
    stage.clock.set(stage.deadline + GRACE);
    stage.declines(ExitClass::Usage, "is kept", avi.discard_upload(&record)).await;
    stage.clock.set(stage.deadline + GRACE + SECOND + SECOND);
    avi.discard_upload(&record).await.unwrap();
    assert!(!record.sealed.unwrap().exists() && avi.interrupted_uploads().unwrap().is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn where_the_exchange_cannot_be_asked_nothing_is_thrown_away() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let avi = stage.client("ISR:avi").clone();
    let plan = stage.file("final.pdf", &pdf("the final work plan"));
    let record = avi.seal_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    // Not even one that no version names: that only the exchange knows.
    let folder = stage.stop_keeping().await;
    let kept = avi.discard_upload(&record).await.unwrap_err();
    assert!(matches!(kept, ClientError::Usage { .. }) && is_kept(&record), "{kept:?}");
    drop(folder);
}

/// What another terminal does while somebody looks at what is to be signed.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Puts,
    Discards,
    TakesOut,
}

#[tokio::test]
async fn version_is_not_signed_whose_file_another_terminal_threw_away_meanwhile() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (avi, slot) = (stage.client("ISR:avi"), slug("work-plan"));
    for meanwhile in [Meanwhile::Discards, Meanwhile::TakesOut, Meanwhile::Puts] {
        let file = stage.file("final.pdf", &pdf(&format!("the work plan, before somebody {meanwhile:?}")));
        let record = avi.seal_document(proposal, &slot, &file, None, quiet()).await.unwrap();
        let plan = avi.plan_signature(proposal).await.unwrap();
        assert!(plan.manifest.documents.iter().any(|document| document.sha256 == record.sha256), "{meanwhile:?}");
        let terminal = stage.again("ISR:avi");
        match meanwhile {
            Meanwhile::Puts => {
                let other = stage.file("better.pdf", &pdf("an even better work plan"));
                terminal.put_document(proposal, &slot, &other, None, quiet()).await.unwrap();
            }
            Meanwhile::Discards => terminal.discard_upload(&record).await.unwrap(),
            Meanwhile::TakesOut => assert!(terminal.remove_document(proposal, &slot).await.unwrap().is_empty()),
        }
        assert!(!record.sealed.as_ref().unwrap().exists(), "{meanwhile:?}: nobody had signed for it");
        stage.declines(ExitClass::Failure, "what was to be signed has changed", avi.sign(&plan)).await;
        assert!(avi.api().manifests(proposal).await.unwrap().is_empty(), "{meanwhile:?}: nothing was signed");
    }
    // One that it sent meanwhile is with the exchange.
    let file = stage.file("final.pdf", &pdf("the final work plan"));
    let record = avi.seal_document(proposal, &slot, &file, None, quiet()).await.unwrap();
    let plan = avi.plan_signature(proposal).await.unwrap();
    stage.again("ISR:avi").resume_upload(&record, quiet()).await.unwrap();
    avi.sign(&plan).await.unwrap();
    stage.sign("USA:bob", proposal).await;
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    stage.stop().await;
}

/// Has two files sealed at the same time: neither goes on before both have begun.
struct Together(Arc<Barrier>, AtomicBool);

impl ProgressListener for Together {
    fn update(&self, step: ProgressStep, _: u64, _: u64) {
        if step == ProgressStep::Sealing && !self.1.swap(true, Ordering::Relaxed) {
            self.0.wait();
        }
    }
}

#[tokio::test]
async fn files_that_are_sealed_at_the_same_time_are_numbered_one_after_the_other() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (avi, terminal, slot) = (stage.client("ISR:avi"), stage.again("ISR:avi"), slug("work-plan"));
    let files = ["one.pdf", "two.pdf"].map(|name| stage.file(name, &pdf(name)));
    let barrier = Arc::new(Barrier::new(2));
    let together = || -> Arc<dyn ProgressListener> { Arc::new(Together(barrier.clone(), AtomicBool::new(false))) };
    let (one, two) = tokio::join!(
        avi.seal_document(proposal, &slot, &files[0], None, together()),
        terminal.seal_document(proposal, &slot, &files[1], None, together()),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    let (older, newer) = if one.is_before(&two) { (one, two) } else { (two, one) };
    assert!(older.sequence < newer.sequence, "{older:?} {newer:?}");
    // One of them is what the next version has, and what a resume leaves in the slot.
    let plan = avi.plan_signature(proposal).await.unwrap();
    assert!(plan.manifest.documents.iter().any(|document| document.sha256 == newer.sha256));
    assert!(avi.is_replaced(&older).await.unwrap() && !avi.is_replaced(&newer).await.unwrap());
    avi.resume_upload(&newer, quiet()).await.unwrap();
    assert!(avi.interrupted_uploads().unwrap().is_empty(), "the older one went with it");
    stage.stop().await;
}

#[tokio::test]
async fn what_was_signed_for_outlives_its_removal_from_the_slot() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let avi = stage.client("ISR:avi");
    let annex = stage.file("annex.bin", b"nobody signed for this");
    let annex = avi.seal_document(proposal, &slug("annex"), &annex, None, quiet()).await.unwrap();
    let (code, _, notes) = run(&stage, &format!("proposal remove {proposal} work-plan")).await;
    assert!(code == 0 && notes.contains("version 1 names stays sealed here"), "{notes}");
    assert!(is_kept(&record));
    // Only on this machine, it is out of the slot all the same.
    assert!(avi.remove_document(proposal, &slug("annex")).await.unwrap().is_empty());
    assert!(!annex.sealed.unwrap().exists());
    stage.refuses("slot-empty", avi.remove_document(proposal, &slug("work-plan"))).await;
    let (code, _, notes) = run(&stage, "proposal resume").await;
    assert_eq!(code, 0, "{notes}");
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn resume_tries_every_upload_and_reports_each() {
    let stage = Stage::open().await;
    let (proposal, record) = committed(&stage).await;
    let annex = stage.file("annex.bin", b"nobody signed for this");
    let avi = stage.client("ISR:avi");
    avi.seal_document(proposal, &slug("annex"), &annex, None, quiet()).await.unwrap();
    stage.clock.set(stage.deadline + SECOND);
    // The hopeless one comes first.
    let (code, said, faults) = run(&stage, "proposal resume").await;
    assert_eq!(code, 3, "{faults}");
    let code = avi.call(stage.call).await.unwrap().text.code.clone();
    assert!(
        faults.contains(&format!("annex of {code}-"))
            && faults.contains("1 of 2 interrupted uploads could not be sent"),
        "{faults}"
    );
    assert!(said.contains(&record.sha256.to_string()), "{said}");
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn program_tells_how_long_there_is_by_the_exchange_s_clock_and_that_the_own_one_is_off() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    // The exchange's clock stands a hundred and ten days back; the deadline is thirty days from there.
    let (code, said, notes) = run(&stage, &format!("proposal status {proposal}")).await;
    assert!(code == 0 && said.contains("UTC, 30 d 0 h left"), "{said}");
    let off = notes.lines().filter(|line| line.contains("ahead of the exchange's")).count();
    assert_eq!(off, 1, "once: {notes}");
    let (_, said, _) = run(&stage, &format!("call show {}", stage.call)).await;
    assert!(said.contains("UTC, 30 d 0 h left"), "{said}");
    let (_, said, _) = run(&stage, "proposal list").await;
    assert!(said.contains("LEFT") && said.contains("30 d 0 h"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn profile_is_not_removed_while_sealed_files_of_it_wait_to_be_sent() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let avi = stage.client("ISR:avi");
    let annex = stage.file("annex.bin", b"measurements");
    let record = avi.seal_document(proposal, &slug("annex"), &annex, None, quiet()).await.unwrap();
    let name = avi.home().profile(None).unwrap().name;
    let remove = format!("profile remove {name}");
    let (code, _, faults) = run(&stage, &remove).await;
    assert_eq!(code, 2, "{faults}");
    assert!(faults.contains("has 1 sealed file to send"), "{faults}");
    assert!(faults.contains(&format!("entente --profile {name} proposal resume")), "{faults}");
    assert!(is_kept(&record) && avi.home().profile(None).is_ok());
    let (code, _, faults) = run(&stage, "proposal resume").await;
    assert_eq!(code, 0, "{faults}");
    let (code, _, faults) = run(&stage, &remove).await;
    assert!(code == 0 && avi.home().profile(None).is_err(), "{faults}");
    stage.stop().await;
}

#[tokio::test]
async fn sealed_file_of_a_client_that_was_killed_once_the_exchange_had_it_goes_with_the_next_look() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let avi = stage.client("ISR:avi");
    let annex = stage.file("annex.bin", b"measurements");
    let record = avi.seal_document(proposal, &slug("annex"), &annex, None, quiet()).await.unwrap();
    let sealed = record.sealed.clone().unwrap();
    let bytes = fs::read(&sealed).unwrap();
    avi.resume_upload(&record, quiet()).await.unwrap();
    // As it is when the record says so and the process ends before the file is removed.
    fs::write(&sealed, bytes).unwrap();
    let (code, said, faults) = run(&stage, "proposal resume --list").await;
    assert!(code == 0 && said.contains("no upload was interrupted"), "{said}{faults}");
    assert!(!sealed.exists());
    stage.stop().await;
}

/// What a large file is, which is sent while it is sealed.
fn large() -> Vec<u8> {
    let mut content = b"%PDF-1.7\n".to_vec();
    content.resize(3 << 20, b'x');
    content
}

/// Changes the file that is sealed once so much of it was read.
struct Changer(PathBuf, AtomicBool);

impl ProgressListener for Changer {
    fn update(&self, step: ProgressStep, done: u64, total: u64) {
        if step == ProgressStep::Sealing && done == total && !self.1.swap(true, Ordering::Relaxed) {
            fs::OpenOptions::new().append(true).open(&self.0).unwrap().write_all(b"more").unwrap();
        }
    }
}

#[tokio::test]
async fn file_that_changes_while_it_is_sealed_and_sent_becomes_no_document() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let plan = stage.file("plan.pdf", &large());
    let avi = stage.client("ISR:avi");
    let changer = Arc::new(Changer(plan.clone(), AtomicBool::new(false)));
    let changed = avi.put_document(proposal, &slug("work-plan"), &plan, None, changer).await.unwrap_err();
    assert!(changed.to_string().contains("changed while it was sealed"), "{changed}");
    assert!(avi.api().documents(proposal).await.unwrap().is_empty());
    assert!(avi.interrupted_uploads().unwrap().is_empty());
    // What was sent of it is gone from the exchange, too, once the request that it broke off has ended; the same command does it again.
    let folder = stage.blobs_folder().join("resumable");
    until("that what was sent is gone", async || files(&folder).is_empty().then_some(())).await;
    let document = avi.put_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    assert_eq!(avi.api().documents(proposal).await.unwrap(), [document]);
    stage.stop().await;
}

#[tokio::test]
async fn large_file_that_is_refused_is_kept_and_goes_on_where_it_stopped() {
    let stage = Stage::open_with(Store::Sqlite, &[("quotas.bytes_per_party", "4000000")]).await.unwrap();
    let proposal = stage.begun().await;
    let plan = stage.file("plan.pdf", &large());
    let avi = stage.client("ISR:avi");
    let first = avi.put_document(proposal, &slug("work-plan"), &plan, None, quiet()).await.unwrap();
    // A second one has no room. It is sealed all the same, so that it can be signed for.
    let better = stage.file("better.pdf", &large());
    let refused = avi.put_document(proposal, &slug("work-plan"), &better, None, quiet()).await.unwrap_err();
    assert_eq!(refused.slug(), Some("quota-reached"), "{refused}");
    let kept = avi.interrupted_uploads().unwrap();
    assert!(kept.len() == 1 && is_kept(&kept[0]), "{kept:?}");
    assert_eq!(avi.api().documents(proposal).await.unwrap(), [first]);
    for member in ["ISR:avi", "USA:bob"] {
        stage.put(member, proposal, "shareholders", &stage.file(&format!("{}.pdf", &member[..3]), &pdf(member))).await;
    }
    avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
    avi.discard_upload(&kept[0]).await.unwrap();
    for member in ["ISR:avi", "USA:bob"] {
        stage.sign(member, proposal).await;
    }
    assert_eq!(status(&stage, proposal).await, Status::Submitted);
    stage.stop().await;
}
