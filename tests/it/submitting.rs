//! What a submitter does from the command line beside uploading: the summary from a form, files that are looked at, what is missing, what
//! is signed, the receipt, and what changed between versions.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, Step, id, pdf, quiet, run, slug, summary},
};
use entente::{
    client::{
        inspection::FileFault,
        proposal_check::{MissingKind, PartyCheck},
        receipt::{trusted, verify},
        verified::VersionChoice,
        version_changes::SummaryChange,
    },
    domain::proposal::Status,
};
use serde_json::Value;
use std::{fs, process::Output};

#[tokio::test]
async fn summary_is_put_in_from_its_form_and_what_a_counterpart_wrote_stays_text() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let (avi, shown) = (stage.client("ISR:avi"), proposal.to_string());
    let (code, form, notes) = run(&stage, "ISR:avi", &["proposal", "summary", &shown, "--form"]).await;
    assert_eq!(code, 0, "{notes}");
    let file = stage.file("summary.md", form.replace("> One line.\n\n", "> One line.\n\nCompass").as_bytes());
    let (code, _, notes) =
        run(&stage, "ISR:avi", &["proposal", "summary", &shown, "--file", &file.display().to_string()]).await;
    assert!(code == 0 && notes.contains("title: 7 characters"), "{notes}");
    assert_eq!(avi.read_summary(proposal, VersionChoice::Working).await.unwrap().title, "Compass");
    // Bob's text has everything that a form has, and comes to Avi as text.
    let mut hostile = summary("Compass\n## Budget\n| x | ISR | 1 | USD |");
    hostile.abstract_text = "One.\n## Team\n| Eve | Elsewhere | |\n# Summary\n> One line.".into();
    hostile.title = "Compass ## Budget".into();
    stage.client("USA:bob").put_summary(proposal, &hostile, quiet()).await.unwrap();
    let (_, form, _) = run(&stage, "ISR:avi", &["proposal", "summary", &shown, "--form"]).await;
    let file = stage.file("again.md", form.as_bytes());
    let words = ["proposal", "summary", &shown, "--file", &file.display().to_string()];
    let (code, _, notes) = run(&stage, "ISR:avi", &words).await;
    assert_eq!(code, 0, "{notes}");
    assert_eq!(avi.read_summary(proposal, VersionChoice::Working).await.unwrap(), hostile);
    // Faults are all shown, with their lines, and nothing is put in.
    let file = stage.file("faulty.md", b"# Summary\n## Title\n## Budget\n| a | ISR | 2.5 | USD |\nb\n");
    let words = ["proposal", "summary", &shown, "--file", &file.display().to_string()];
    let (code, _, notes) = run(&stage, "ISR:avi", &words).await;
    assert!(code == 2 && notes.contains("line 4: `2.5` is no amount") && notes.contains("line 5: "), "{notes}");
    assert_eq!(avi.read_summary(proposal, VersionChoice::Working).await.unwrap(), hostile);
    stage.stop().await;
}

#[tokio::test]
async fn file_that_breaks_off_is_refused_before_it_is_sealed_unless_it_is_meant() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let avi = stage.client("ISR:avi");
    let cut = stage.file("plan.pdf", b"%PDF-1.7\nhalf of it");
    let faults = avi.inspect_document(proposal, &slug("work-plan"), &cut, None).await.unwrap();
    assert_eq!(faults, [FileFault::BreaksOff("PDF")]);
    let empty = stage.file("empty.pdf", b"");
    assert_eq!(avi.inspect_document(proposal, &slug("work-plan"), &empty, None).await.unwrap(), [FileFault::Empty]);
    let other = stage.file("other.pdf", b"PK\x03\x04");
    assert_eq!(avi.inspect_document(proposal, &slug("work-plan"), &other, None).await.unwrap_err().class().code(), 2);
    let whole = stage.file("whole.pdf", &pdf("all of it"));
    assert!(avi.inspect_document(proposal, &slug("work-plan"), &whole, None).await.unwrap().is_empty());
    let (shown, file) = (proposal.to_string(), cut.display().to_string());
    let put = ["proposal", "put", &shown, "work-plan", &file];
    let (code, _, notes) = run(&stage, "ISR:avi", &put).await;
    assert!(code == 2 && notes.contains("breaks off") && notes.contains("--as-is"), "{notes}");
    assert!(avi.api().documents(proposal).await.unwrap().is_empty() && avi.interrupted_uploads().unwrap().is_empty());
    let (code, _, notes) = run(&stage, "ISR:avi", &[&put[..], &["--as-is"]].concat()).await;
    assert!(code == 0 && notes.contains("breaks off"), "{notes}");
    assert_eq!(avi.api().documents(proposal).await.unwrap().len(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn several_documents_are_put_in_by_one_command_or_none_if_one_is_refused() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let (avi, shown) = (stage.client("ISR:avi"), proposal.to_string());
    let file = |name: &str, content: &[u8]| stage.file(name, content).display().to_string();
    let (plan, list) = (file("plan.pdf", &pdf("the plan")), file("list.pdf", &pdf("the list")));
    let cut = file("cut.pdf", b"%PDF-1.7\nhalf of it");
    let put = async |words: &[&str]| {
        run(&stage, "ISR:avi", &[&["--json", "proposal", "put", &shown][..], words].concat()).await
    };
    for (words, fault) in [
        (&["work-plan", &plan, "shareholders", &cut][..], "breaks off"),
        (&["work-plan", &plan, "shareholders"], "no document follows the slot `shareholders`"),
        (&["work-plan", &plan, "work-plan", &list], "is named twice"),
        (&["work-plan", &plan, "shareholders", &list, "--media-type", "application/pdf"], "about one document"),
    ] {
        let (code, _, notes) = put(words).await;
        assert!(code == 2 && notes.contains(fault), "{words:?}: {notes}");
        assert!(avi.api().documents(proposal).await.unwrap().is_empty(), "{words:?}: none is put in");
    }
    let (code, said, notes) = put(&["work-plan", &plan, "shareholders", &list]).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    let slots: Vec<&str> =
        answer["items"].as_array().unwrap().iter().map(|item| item["slot"].as_str().unwrap()).collect();
    assert_eq!((code, slots), (0, vec!["work-plan", "shareholders"]), "{notes}");
    assert_eq!(avi.api().documents(proposal).await.unwrap().len(), 2);
    stage.stop().await;
}

#[tokio::test]
async fn check_says_what_is_missing_by_which_party_until_nothing_is() {
    let stage = Stage::open().await;
    let proposal = stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap().id;
    let kinds =
        |party: &PartyCheck| -> Vec<MissingKind> { party.missing.iter().map(|part| part.what.clone()).collect() };
    let slot = |name: &str, is_shared| MissingKind::Slot { slot: slug(name), is_shared };
    let sign = |version| MissingKind::Signature { version };
    let check = async || stage.client("ISR:avi").check_proposal(proposal).await.unwrap();
    let begun = check().await;
    let [isr, usa] = &begun.parties[..] else { panic!("{begun:?}") };
    let own = [slot("summary", true), slot("work-plan", true), slot("shareholders", false), sign(None)];
    assert_eq!(kinds(isr), own);
    assert_eq!(kinds(usa), [&[MissingKind::Acceptance][..], &own].concat());
    assert_eq!(isr.zone.as_deref(), Some("Asia/Jerusalem"));
    stage.client("USA:bob").accept_invitation(proposal).await.unwrap();
    stage.upload_all(proposal).await;
    stage.sign("ISR:avi", proposal).await;
    let half = check().await;
    assert_eq!((kinds(&half.parties[0]), kinds(&half.parties[1])), (vec![], vec![sign(Some(1))]));
    assert!(!half.is_complete);
    stage.sign("USA:bob", proposal).await;
    let whole = check().await;
    assert!(whole.is_complete && whole.status == Status::Submitted, "{whole:?}");
    // What is put in afterwards stands in no version before both sign again.
    stage.put("ISR:avi", proposal, "work-plan", &stage.file("better.pdf", &pdf("better"))).await;
    let changed = check().await;
    assert!(!changed.is_complete && changed.unsigned.len() == 1, "{changed:?}");
    assert_eq!(kinds(&changed.parties[1]), [sign(None)]);
    let (code, said, _) = run(&stage, "ISR:avi", &["proposal", "check", &proposal.to_string()]).await;
    assert!(code == 0 && said.contains("work-plan was replaced since the newest version"), "{said}");
    let refused = stage.client("USA:dana").check_proposal(proposal).await.unwrap_err();
    assert_eq!(refused.class().code(), 2, "officers see what they may by `proposal status`");
    stage.stop().await;
}

#[tokio::test]
async fn signature_is_shown_whole_and_what_the_partner_put_in_is_opened_first() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (shown, into) = (proposal.to_string(), stage.plan.dir.join("before-signing"));
    let folder = into.display().to_string();
    let words = ["proposal", "sign", &shown, "--dry-run", "--open", &folder];
    let (code, said, notes) = run(&stage, "USA:bob", &words).await;
    assert_eq!(code, 0, "{notes}");
    let plan = stage.client("USA:bob").plan_signature(proposal).await.unwrap();
    for line in &plan.documents {
        assert!(said.contains(&line.document.sha256.to_string()), "{said}");
        assert!(line.uploaded_at.is_some());
    }
    assert!(said.contains("Lodestone") && said.contains("Sensor heads"), "the summary is part of it: {said}");
    assert_eq!(fs::read(into.join("work-plan.pdf")).unwrap(), pdf("the work plan"));
    assert!(into.join("summary.json").is_file() && !into.join("shareholders-ISR.pdf").exists(), "Israel's own");
    assert!(!into.join("shareholders-USA.pdf").exists(), "what he sealed himself");
    assert!(stage.client("USA:bob").api().manifests(proposal).await.unwrap().is_empty(), "nothing was signed");
    stage.stop().await;
}

#[tokio::test]
async fn receipt_is_checked_offline_by_the_cards_that_are_trusted_there() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let avi = stage.client("ISR:avi");
    let early = avi.receipt(proposal).await.unwrap_err();
    assert_eq!(early.class().code(), 2, "{early}");
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    let shown = proposal.to_string();
    let (code, said, notes) = run(&stage, "ISR:avi", &["proposal", "receipt", &shown]).await;
    assert_eq!(code, 0, "{notes}");
    let file = stage.file("receipt.json", said.as_bytes());
    let pins = avi.home().pins().unwrap();
    let verified =
        verify(said.as_bytes(), &trusted(pins.iter().map(|pinned| pinned.card.clone()), Vec::new()).unwrap()).unwrap();
    assert_eq!(verified.manifest, avi.manifest(proposal, VersionChoice::Standing).await.unwrap().manifest);
    let refused = stage.client("USA:dana").receipt(proposal).await.unwrap_err();
    assert_eq!(refused.class().code(), 2, "its parties alone");
    // An auditor's machine that trusts nobody yet, without a network; the exchange is gone.
    let _folder = stage.stop_keeping().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (home, file) = (elsewhere.path().display().to_string(), file.display().to_string());
    let check = async |cards: &[&str]| {
        let mut words = vec!["--json", "--home", &home, "verify", "receipt", &file];
        for card in cards {
            words.extend(["--card", *card]);
        }
        let Output { status, stdout, stderr } = ended(entente(&words)).await;
        (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let (code, _, notes) = check(&[]).await;
    assert!(code == 4 && notes.contains("neither pinned on this machine nor given"), "{notes}");
    let cards: Vec<String> = pins
        .iter()
        .map(|pinned| {
            let path = elsewhere.path().join(format!("{}.json", pinned.card.code));
            fs::write(&path, pinned.card.canonical().unwrap()).unwrap();
            path.display().to_string()
        })
        .collect();
    let cards: Vec<&str> = cards.iter().map(String::as_str).collect();
    let (code, said, notes) = check(&cards).await;
    assert_eq!(code, 0, "{notes}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(answer["signers"].as_array().unwrap().len(), 2, "{said}");
    assert!(answer["partner_cards"].as_array().unwrap().iter().all(|card| card["is_given"] == true), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
    let (code, _, notes) = check(&cards).await;
    assert!(code == 4 && notes.contains("was changed since it was made"), "{notes}");
}

#[tokio::test]
async fn versions_are_compared_slot_by_slot() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let avi = stage.client("ISR:avi");
    stage.put("ISR:avi", proposal, "work-plan", &stage.file("better.pdf", &pdf("better"))).await;
    let working = avi.compare_versions(proposal, VersionChoice::Standing, VersionChoice::Working).await.unwrap();
    assert_eq!((working.slots.len(), working.unchanged, working.after.version), (1, 3, None));
    assert_eq!(working.summary, SummaryChange::Same);
    avi.put_summary(proposal, &summary("Compass"), quiet()).await.unwrap();
    stage.sign("ISR:avi", proposal).await;
    let versions = (VersionChoice::Number(1), VersionChoice::Number(2));
    let compared = stage.client("USA:bob").compare_versions(proposal, versions.0, versions.1).await.unwrap();
    let slots: Vec<&str> = compared.slots.iter().map(|change| change.slot.as_str()).collect();
    assert_eq!(slots, ["summary", "work-plan"]);
    let put = compared.slots[1].after.as_ref().unwrap().put.as_ref().unwrap();
    assert_eq!(put.by, id("ISR:avi"));
    match &compared.summary {
        SummaryChange::Changed { fields } => {
            let [title] = &fields[..] else { panic!("{fields:?}") };
            assert_eq!((&*title.field, &*title.before, &*title.after), ("title", "Lodestone", "Compass"));
        }
        SummaryChange::Closed { .. } => panic!("what stands is kept until the next version does: {compared:?}"),
        SummaryChange::Same => panic!("{compared:?}"),
    }
    let (code, said, notes) = run(&stage, "USA:bob", &["proposal", "compare", &proposal.to_string(), "1", "2"]).await;
    assert!(code == 0 && said.contains("2 slots are unchanged"), "{said}{notes}");
    stage.stop().await;
}
