//! Files of calls: the templates and earlier calls that new ones begin from, each written, filled in and drafted by the program.

use crate::harness::stage::{Stage, run};
use entente::{
    domain::ambient::Clock,
    wire::{call::CallText, directory::CreateProgram},
};
use jiff::{SignedDuration, Timestamp};
use std::{fs, path::Path};

/// Fills in what is blank, as an officer does.
fn fill_in(file: &Path, code: &str, opens_at: Timestamp) {
    let later = |days: i64| opens_at + SignedDuration::from_hours(24 * days);
    let values = [
        ("code", format!("\"{code}\"")),
        ("opens_at", later(0).to_string()),
        ("deadline_at", later(30).to_string()),
        ("reviews_due_at", later(60).to_string()),
    ];
    let text = fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let blank = values.iter().find(|(name, _)| line.starts_with(&format!("{name} = \"\"")));
        blank.map_or_else(|| line.to_owned(), |(name, value)| format!("{name} = {value}"))
    };
    fs::write(file, text.lines().map(line).collect::<Vec<_>>().join("\n")).unwrap();
}

#[tokio::test]
async fn each_template_is_drafted_once_it_is_filled_in_and_refused_before() {
    let stage = Stage::open().await;
    let partners = ["ISR", "KOR", "USA"].map(|code| code.parse().unwrap()).into();
    let body = CreateProgram { name: "Three nations".into(), lead: "USA".parse().unwrap(), partners };
    stage.client("USA:dana").api().create_program(&body).await.unwrap();
    let templates = ["bilateral-industry", "joint-foundation", "multilateral-panel", "short-first-stage"];
    for (at, template) in templates.into_iter().enumerate() {
        let file = stage.plan.dir.join(format!("{template}.toml"));
        let path = file.display().to_string();
        let (code, _, said) = run(&stage, "USA:dana", &["call", "new", "--from", template, "--to", &path]).await;
        assert_eq!(code, 0, "{template}: {said}");
        let draft = ["call", "draft", "--program", "Three nations", "--file", &path];
        let (code, _, said) = run(&stage, "USA:dana", &draft).await;
        assert!(code == 2 && said.contains("fill in `code`, `opens_at`"), "{template}: {said}");
        fill_in(&file, &format!("NEW{at}0"), stage.clock.now());
        // The world of this test has three nations.
        let text = fs::read_to_string(&file).unwrap().replace("\"EU\", \"GBR\", ", "");
        fs::write(&file, text).unwrap();
        let (code, shown, said) = run(&stage, "USA:dana", &draft).await;
        assert!(code == 0 && shown.contains(&format!("NEW{at}0")), "{template}: {shown}{said}");
        // A file that was filled in is not written over.
        let (code, _, said) = run(&stage, "USA:dana", &["call", "new", "--from", template, "--to", &path]).await;
        assert!(code != 0 && said.contains("cannot write"), "{template}: {said}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn earlier_call_is_drafted_again_from_its_verified_text_with_other_dates() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let earlier = dana.call(stage.call).await.unwrap().text.clone();
    let (file, call) = (stage.plan.dir.join("again.toml"), earlier.code.to_string());
    let path = file.display().to_string();
    let from = ["call", "new", "--from", &call, "--to", &path];
    // Somebody whose nation has no part in it may not know of it.
    let (code, _, said) = run(&stage, "KOR:minjun", &from).await;
    assert!(code == 3 && !file.exists(), "{code}: {said}");
    let (code, _, said) = run(&stage, "USA:dana", &from).await;
    assert_eq!(code, 0, "{said}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&format!("# A call from version 1 of {call}, as USA:dana signed it.")), "{text}");
    assert!(text.contains(&format!("deadline_at = \"\"       # was {}", stage.deadline)), "{text}");
    fill_in(&file, "AGAIN28", stage.clock.now());
    let program = stage.program.to_string();
    let draft = ["--json", "call", "draft", "--program", &program, "--file", &path];
    let (code, _, said) = run(&stage, "USA:dana", &draft).await;
    assert_eq!(code, 0, "{said}");
    let calls = dana.api().all_calls().await.unwrap();
    let drafted = calls.into_iter().find(|call| call.text.code.as_str() == "AGAIN28").unwrap().text;
    let dated = CallText { code: drafted.code.clone(), schedule: drafted.schedule.clone(), ..earlier };
    assert_eq!(drafted, dated);
    stage.stop().await;
}
