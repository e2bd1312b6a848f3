//! Declarations of a whole call from one sheet: what is ticked is a conflict, the rest is clear, and nothing is declared that nobody said.

use crate::{
    harness::stage::{Stage, id, run},
    refusals::lies::key_of,
};
use entente::{
    domain::{id::ProposalId, member::Declared},
    sealing::statement::{DeclarationStatement, sign_statement, verify_signed},
    wire::{proposal::Proposal, review::DeclareConflict},
};
use std::fs;

/// Three proposals of the same parties, opened, with a reviewer: Israel shows them to assigned reviewers alone.
async fn opened() -> (Stage, Vec<Proposal>) {
    let stage = Stage::open().await;
    for _ in 0..3 {
        stage.submitted().await;
    }
    stage.pass_the_opening();
    for row in stage.client("USA:dana").api().all_proposals(Some(stage.call)).await.unwrap() {
        stage.clear(row.id, &["USA:dana"]).await;
        stage.assign(&[(row.id, "USA:carol")], false).await;
    }
    let mut rows = stage.client("USA:carol").api().all_proposals(Some(stage.call)).await.unwrap();
    rows.sort_by_key(|row| row.reference.to_string());
    (stage, rows)
}

async fn declarations(stage: &Stage, member: &str, proposal: ProposalId) -> usize {
    let lines = stage.client("USA:dana").api().declarations(proposal).await.unwrap();
    lines.iter().filter(|line| line.member == id(member)).count()
}

#[tokio::test]
async fn sheet_that_is_filled_in_declares_each_once_and_leaves_out_what_it_does_not_name() {
    let (stage, rows) = opened().await;
    let call = stage.call.to_string();
    let (code, sheet, notes) = run(&stage, "USA:carol", &["--csv", "conflict", "sheet", &call]).await;
    assert_eq!(code, 0, "{notes}");
    let mut lines: Vec<String> = sheet.lines().map(str::to_owned).collect();
    assert!(lines[0].ends_with(",CONFLICT") && lines.len() == 4, "{sheet}");
    for (line, row) in lines[1..].iter().zip(&rows) {
        assert!(line.contains(&row.reference.to_string()) && line.contains("ISR:avi"), "{line}");
        assert!(line.contains(&*row.organisations.first().unwrap().clone()), "{line}");
    }
    // A conflict in the second, the third left out.
    lines[2].push_str("collaboration");
    lines.truncate(3);
    let file = stage.file("sheet.csv", lines.join("\r\n").as_bytes());
    let file = file.display().to_string();
    let words = ["conflict", "sheet", &call, "--file", &file];

    let (code, said, _) = run(&stage, "USA:carol", &[&words[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, 0);
    assert!(said.contains("CONFLICT: collaboration") && said.contains("1 is not named and stays undeclared"), "{said}");
    let (code, _, said) = run(&stage, "USA:carol", &words).await;
    assert_eq!(code, 2, "nobody could be asked");
    assert!(said.contains("no conflict with 1 proposal, and a conflict with 1 proposal"), "{said}");
    for row in &rows {
        assert_eq!(declarations(&stage, "USA:carol", row.id).await, 0);
    }

    let words = [&words[..], &["--yes"]].concat();
    let (code, said, notes) = run(&stage, "USA:carol", &words).await;
    assert_eq!(code, 0, "{notes}");
    assert!(said.contains("declared no conflict with 1 proposal, a conflict with 1 proposal"), "{said}");
    let carol = stage.client("USA:carol").api();
    assert!(carol.proposal(rows[0].id).await.unwrap().mine.is_clear);
    stage.refuses("not-found", carol.proposal(rows[1].id)).await;
    assert!(!carol.proposal(rows[2].id).await.unwrap().mine.is_clear);

    // The same again says nothing twice.
    let (code, said, _) = run(&stage, "USA:carol", &words).await;
    assert!(code == 0 && said.contains("nothing was left to declare"), "{said}");
    let counts = [&rows[0], &rows[1], &rows[2]].map(|row| row.id);
    for (proposal, declared) in counts.into_iter().zip([1, 1, 0]) {
        assert_eq!(declarations(&stage, "USA:carol", proposal).await, declared);
    }
    stage.stop().await;
}

#[tokio::test]
async fn sheet_goes_on_where_it_was_interrupted_and_all_that_is_left_is_declared() {
    let (stage, rows) = opened().await;
    let carol = stage.client("USA:carol");
    // As an interruption leaves it.
    carol.declare(rows[0].id, None).await.unwrap();
    let text = rows.iter().map(|row| format!("{},\r\n", row.reference)).collect::<Vec<_>>().concat();
    let file = stage.file("sheet.csv", format!("proposal,conflict\r\n{text}").as_bytes());
    let words = ["conflict", "sheet", &stage.call.to_string(), "--yes", "--file", &file.display().to_string()];
    let (code, said, notes) = run(&stage, "USA:carol", &words).await;
    assert!(code == 0 && said.contains("no conflict with 2 proposals"), "{said}{notes}");
    for row in carol.api().all_proposals(Some(stage.call)).await.unwrap() {
        assert!(row.mine.is_clear, "{}", row.reference);
    }
    stage.stop().await;
}

#[tokio::test]
async fn those_who_judge_nothing_have_no_sheet_and_a_mistyped_one_declares_nothing() {
    let (stage, rows) = opened().await;
    let call = stage.call.to_string();
    for member in ["USA:bob", "USA:walt"] {
        let (code, _, said) = run(&stage, member, &["conflict", "sheet", &call]).await;
        assert!(code == 2 && said.contains("there is nothing to declare"), "{member}: {said}");
    }
    let text = format!("proposal,conflict\n{},\n{},perhaps\n", rows[0].reference, rows[1].reference);
    let file = stage.file("sheet.csv", text.as_bytes()).display().to_string();
    let (code, _, said) = run(&stage, "USA:carol", &["conflict", "sheet", &call, "--file", &file, "--yes"]).await;
    assert!(code == 2 && said.contains("line 3: `perhaps` is no ground of a conflict"), "{said}");
    let text = format!("proposal,conflict\n{0},\n{0},family\n", rows[0].reference);
    fs::write(&file, text).unwrap();
    let (code, _, said) = run(&stage, "USA:carol", &["conflict", "sheet", &call, "--file", &file, "--yes"]).await;
    assert!(code == 2 && said.contains("line 3: ") && said.contains("is in line 2 already"), "{said}");
    assert!(!stage.client("USA:carol").api().proposal(rows[0].id).await.unwrap().mine.is_clear);
    stage.stop().await;
}

#[tokio::test]
async fn declaration_names_what_the_proposal_is_called_and_another_name_is_refused() {
    let (stage, rows) = opened().await;
    let [one, other] = [&rows[0], &rows[1]];
    let said = DeclarationStatement {
        proposal: one.id,
        member: id("USA:carol"),
        number: 1,
        previous: None,
        declared: Declared::Clear,
        ground: None,
        reference: Some(other.reference.clone()),
    };
    let statement = sign_statement(&key_of(&stage, "USA:carol"), &said).unwrap();
    let body = DeclareConflict { conflict: false, ground: None, statement };
    let carol = stage.client("USA:carol");
    stage.refuses("statement-invalid", carol.api().declare(one.id, &body)).await;
    carol.declare(one.id, None).await.unwrap();
    let shown = stage.client("USA:dana").api().declarations(one.id).await.unwrap();
    let line = shown.iter().find(|line| line.member == id("USA:carol")).unwrap();
    let signed = verify_signed::<DeclarationStatement>(&line.statement).unwrap().statement;
    assert_eq!(signed.reference.as_ref(), Some(&one.reference));
    stage.stop().await;
}
