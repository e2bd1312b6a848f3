//! Dossiers of a call: exported by those who take part in it, each with what they are shown, and checked where there is no exchange.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, Step, id, quiet, review, run},
};
use DossierPart::{
    Assignments, Decisions, Declarations, Invitations, Letters, Manifests, Rankings, Reviews, Roles, Texts,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entente::{
    client::{
        Client, NoProgress,
        dossier::{DossierPart, DossierReport, verify},
        receipt::trusted,
    },
    domain::{decision::Outcome, id::ProposalId, member::ConflictGround},
    wire::call::ExtendCall,
};
use jiff::SignedDuration;
use serde_json::Value;
use std::{collections::BTreeSet, fs, process::Output};

/// Words of titles, summaries, documents, reviews and letters on the stage.
const CONTENT: [&str; 6] = [
    "Lodestone",
    "Finding the way without satellites",
    "Sensor heads",
    "the work plan",
    "Sound.",
    "zqLetterWillowCairn31",
];

/// A proposal that got more time, was judged and decided, with a recusal, a ranking and a letter.
async fn decided(stage: &Stage) -> ProposalId {
    let extension = ExtendCall {
        until: (stage.deadline + SignedDuration::from_hours(24)).into(),
        reason: "the server of one party was down".into(),
        partner: Some("ISR".parse().unwrap()),
        proposal: None,
        reviews: false,
        dry_run: false,
    };
    let call = stage.client("USA:dana").api().extend_call(stage.call, &extension).await.unwrap().call;
    let proposal = stage.submitted().await;
    stage.clock.set(call.sealed_until.0 + SignedDuration::from_millis(1));
    stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
    stage.client("USA:olivia").declare(proposal, Some(ConflictGround::Collaboration)).await.unwrap();
    stage.assign(&[(proposal, "USA:carol"), (proposal, "ISR:maya")], false).await;
    stage.clear(proposal, &["USA:carol", "ISR:maya"]).await;
    stage.prepare_panel().await;
    for member in ["USA:carol", "ISR:maya"] {
        stage.client(member).submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    }
    stage.prepare_panel().await;
    let dana = stage.client("USA:dana");
    let ranking = dana.plan_ranking(stage.call).await.unwrap();
    assert!(dana.send_ranking(stage.call, &ranking).await.unwrap().failed.is_empty());
    for member in ["USA:frank", "ISR:eitan"] {
        stage.client(member).sign_decision(proposal, Outcome::Fund).await.unwrap();
    }
    dana.send_letter(proposal, "zqLetterWillowCairn31: both nations fund it.").await.unwrap();
    proposal
}

async fn export(stage: &Stage, member: &str) -> Vec<u8> {
    stage.client(member).export_dossier(stage.call, &quiet()).await.unwrap()
}

fn check(client: &Client, bytes: &[u8]) -> DossierReport {
    let pinned = client.home().pins().unwrap().into_iter().map(|pinned| pinned.card);
    verify(bytes, &trusted(pinned, []).unwrap(), &NoProgress).unwrap()
}

/// Everything that a file says, with what its statements have in base64.
fn opened(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let parts = text.split(|c| !is_base64(c)).filter(|part| part.len() > 40);
    let decoded: Vec<String> = parts
        .filter_map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect();
    text + &decoded.join("\n")
}

/// How many statements of each part verified.
fn parts(report: &DossierReport) -> Vec<(DossierPart, u64)> {
    report.tallies.iter().map(|(part, tally)| (*part, tally.verified)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn officer_exports_a_whole_case_that_is_checked_where_there_is_no_exchange() {
    let stage = Stage::open().await;
    decided(&stage).await;
    let file = stage.plan.dir.join("dossier.json");
    let (shown, out) = (stage.call.to_string(), file.display().to_string());
    let (code, _, notes) = run(&stage, "USA:dana", &["dossier", &shown, "--out", &out]).await;
    assert_eq!(code, 0, "{notes}");
    let (code, _, notes) = run(&stage, "USA:dana", &["dossier", &shown, "--out", &out]).await;
    assert!(code == 2 && notes.contains("exists already"), "{notes}");

    let bytes = fs::read(&file).unwrap();
    let dana = stage.client("USA:dana");
    let report = check(dana, &bytes);
    assert_eq!(report.faults, []);
    let expected = [
        (Texts, 1),
        (Roles, 9),
        (Manifests, 2),
        (Declarations, 7),
        (Assignments, 2),
        (Reviews, 2),
        (Rankings, 1),
        (Decisions, 2),
        (Letters, 1),
    ];
    let (invited, others): (Vec<_>, Vec<_>) = parts(&report).into_iter().partition(|(part, _)| *part == Invitations);
    assert_eq!(others, expected);
    assert!(invited.iter().all(|(_, count)| *count >= 2) && invited.len() == 1, "{invited:?}");
    let said = opened(&bytes);
    for (word, is_there) in CONTENT.map(|word| (word, false)).into_iter().chain([("one party was down", true)]) {
        assert_eq!(said.contains(word), is_there, "{word}");
    }

    // An auditor's machine without a network or a profile, which trusts nobody yet; the exchange is gone.
    let pins = dana.home().pins().unwrap();
    let _folder = stage.stop_keeping().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let home = elsewhere.path().display().to_string();
    let check = async |cards: &[&str]| {
        let mut words = vec!["--json", "--home", &home, "verify", "dossier", &out];
        for card in cards {
            words.extend(["--card", *card]);
        }
        let Output { status, stdout, stderr } = ended(entente(&words)).await;
        (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let (code, _, notes) = check(&[]).await;
    assert!(code == 4 && notes.contains("neither pinned on this machine nor given"), "{notes}");
    let card = |code: &str| {
        let pinned = pins.iter().find(|pinned| pinned.card.code.as_str() == code).unwrap();
        let path = elsewhere.path().join(format!("{code}.json"));
        fs::write(&path, pinned.card.canonical().unwrap()).unwrap();
        path.display().to_string()
    };
    let (usa, isr) = (card("USA"), card("ISR"));
    let (code, said, notes) = check(&[&usa]).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert!(code == 4 && answer["verified"] == false && notes.contains("in the dossier"), "{said} {notes}");
    assert!(answer["faults"][0]["what"].as_str().unwrap().contains("`ISR`"), "{said}");
    let (code, said, notes) = check(&[&usa, &isr]).await;
    assert_eq!(code, 0, "{notes}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(answer["parts"]["decisions"]["verified"], 2, "{said}");
    assert!(answer["partner_cards"].as_array().unwrap().iter().all(|card| card["is_given"] == true), "{said}");
    // A line is taken out, and one is changed.
    let text = fs::read_to_string(&file).unwrap();
    for (from, to) in [("\"kind\":\"letter.sent\"", "\"kind\":\"letter.read\""), ("2026", "2025"), ("fund", "reserve")]
    {
        fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let (code, _, notes) = check(&[&usa, &isr]).await;
        assert_eq!(code, 4, "{from}: {notes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_exports_what_they_are_shown_and_no_more() {
    let stage = Stage::open().await;
    let output = ended(entente(&["policy", "example"])).await;
    stage.israel_writes(&String::from_utf8(output.stdout).unwrap()).await;
    let proposal = decided(&stage).await;
    let reference = stage.client("USA:dana").api().proposal(proposal).await.unwrap().reference.to_string();

    // The decider sees no declaration but their own, nor who is assigned, nor letters.
    let frank = export(&stage, "USA:frank").await;
    let report = check(stage.client("USA:frank"), &frank);
    assert_eq!(report.faults, []);
    let tallied: BTreeSet<DossierPart> = report.tallies.keys().copied().collect();
    assert_eq!(tallied, [Texts, Roles, Manifests, Declarations, Reviews, Rankings, Decisions].into());
    assert_eq!(report.tallies[&Declarations].verified, 1);
    let said = opened(&frank);
    assert!(!said.contains("letter.sent") && !said.contains("reviewer.assigned"), "of officers alone");
    assert!(CONTENT.iter().all(|word| !said.contains(word)));
    for part in [Declarations, Assignments, Letters] {
        let sentence = format!("All {} are not shown of 1 proposal.", part.in_words());
        assert!(report.cannot_show.contains(&sentence), "{:#?}", report.cannot_show);
    }

    // The observer sees that it was handed in and who stepped aside, and not who judges.
    let walt = export(&stage, "USA:walt").await;
    let report = check(stage.client("USA:walt"), &walt);
    assert_eq!(report.faults, []);
    assert_eq!(parts(&report), [(Texts, 1), (Declarations, 1)]);
    let said = opened(&walt);
    assert!(said.contains("proposal.submitted") && said.contains("call.extended") && said.contains("USA:olivia"));
    for hidden in ["ISR:maya", "USA:carol", "USA:frank", "decision.signed", "review.submitted", "entente-roll+jws"] {
        assert!(!said.contains(hidden), "{hidden}");
    }
    assert!(report.cannot_show.iter().any(|said| said.contains("Who had which role is not shown")));

    // The officer who stepped aside is shown nothing of the proposal.
    let olivia = export(&stage, "USA:olivia").await;
    let report = check(stage.client("USA:olivia"), &olivia);
    assert_eq!((report.proposals, report.faults.len()), (0, 0));
    let said = opened(&olivia);
    assert!(!said.contains(&reference) && !said.contains(&proposal.to_string()));

    // Reviewers and parties have none, and nobody else has.
    for member in ["USA:carol", "ISR:avi", "ISR:tamar"] {
        let (code, _, notes) =
            run(&stage, member, &["dossier", &stage.call.to_string(), "--out", "nowhere.json"]).await;
        assert!(code == 2 && notes.contains("you have no part in"), "{member}: {notes}");
    }
    let refused = stage.client("KOR:minjun").export_dossier(stage.call, &quiet()).await.unwrap_err();
    assert_eq!(refused.slug(), Some("not-found"), "{refused}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dossier_is_as_it_was_when_it_was_exported_and_a_role_that_was_lost_exports_no_other() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let early = export(&stage, "ISR:noa").await;
    assert!(check(stage.client("ISR:noa"), &early).is_sound());
    stage.pass_the_opening();
    stage.clear(proposal, &["ISR:noa", "USA:dana"]).await;
    let late = export(&stage, "ISR:noa").await;
    let report = check(stage.client("ISR:noa"), &late);
    assert_eq!((report.faults.len(), report.tallies[&DossierPart::Declarations].verified), (0, 2));
    assert!(check(stage.client("USA:dana"), &early).is_sound(), "it stays what it was");
    stage.client("ISR:noa").grant_roles(stage.call, &id("ISR:noa"), &BTreeSet::new()).await.unwrap();
    let refused = stage.client("ISR:noa").export_dossier(stage.call, &quiet()).await.unwrap_err();
    assert_eq!(refused.class().code(), 2, "{refused}");
    stage.stop().await;
}
