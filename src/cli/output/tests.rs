//! What is printed where, in each of the forms of an answer.

use super::*;

#[test]
fn fields_are_aligned_and_empty_ones_left_out() {
    let mut screen = Screen::default();
    let fields = [("id", "prop_1".into()), ("topic", String::new()), ("deadline", "one\ntwo".into())];
    screen.fields(&fields);
    assert_eq!(screen.text, "id        prop_1\ndeadline  one\n          two\n");
}

#[test]
fn sentences_are_broken_between_words_where_the_terminal_ends() {
    let (text, _) = Screen::shown_at(20, |screen| {
        screen.styled(&[(Style::Yellow, "warning: "), (Style::Plain, "the budget is missing")]);
        screen.line("  indented lines go on below");
        screen.fields(&[("signed", "ISR by ISR:avi at noon".into())]);
        screen.paragraph("a call's own text is kept as it is");
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["warning: the budget", "is missing"]);
    assert_eq!(lines[2..4], ["  indented lines go", "  on below"]);
    assert_eq!(lines[4..6], ["signed  ISR by", "        ISR:avi at"]);
    assert_eq!(lines[7..], ["a call's own text is kept as it is"]);
}

#[test]
fn text_of_others_cannot_steer_the_terminal() {
    let mut screen = Screen::default();
    screen.line("a\x1b[2Jb\u{202e}c");
    assert_eq!(screen.text, "a\\u{1b}[2Jb\\u{202e}c\n");
}

#[test]
fn json_steers_no_terminal_and_means_the_same() {
    let value = serde_json::json!({ "title": "a\u{9b}2J\u{7f}\u{1b}[1m\u{202e}\u{200f}\u{2028}\u{5d0}\u{1f600}" });
    for pretty in [false, true] {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let shown = clean_json(&text.unwrap());
        assert!(!shown.chars().any(|c| misleads(c) && c != '\n'), "{shown:?}");
        assert!(shown.contains("\u{5d0}\u{1f600}"), "letters stay as they are");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
    let (out, stdout, stderr) = Out::captured(true);
    out.json(&value).unwrap();
    out.warn("a\u{202e}b");
    assert!(stdout.text().contains("\\u009b2J\\u007f\\u001b[1m\\u202e"), "{}", stdout.text());
    assert_eq!(stderr.text(), "{\"warning\":\"a\\u202eb\"}\n");
}

#[test]
fn answer_is_one_line_of_json_when_piped() {
    let (out, stdout, _) = Out::captured(true);
    out.answer(&serde_json::json!({ "a": 1 }), |screen| screen.line("for people")).unwrap();
    assert_eq!(stdout.text(), "{\"a\":1}\n");
}

#[test]
fn tables_alone_go_to_standard_output_as_csv() {
    let (out, stdout, stderr) = Out::captured(false);
    let out = out.with_csv(true);
    let mut table = Table::new(["ID", "TITLE"]).cutting("TITLE");
    table.row(["a", &*"long ".repeat(60)]);
    table.row(["b", "=1+1"]);
    table.row(["c", ""]);
    out.answer(&(), |screen| {
        screen.heading("Proposals");
        screen.table(&table, "none");
        screen.table(&Table::new(["NOTE"]), "no notes");
        screen.line("one was left out");
    })
    .unwrap();
    let long = "long ".repeat(60);
    assert_eq!(stdout.text(), format!("ID,TITLE\r\na,{long}\r\nb,'=1+1\r\nc,\r\n\r\nNOTE\r\n"));
    assert_eq!(stderr.text(), "Proposals\nno notes\none was left out\n");
    out.done("keys shared").unwrap();
    assert!(
        stderr
            .text()
            .ends_with("done  keys shared\nthis answer has no table: `--json` prints all of it for programs\n")
    );
    assert_eq!(out.bytes(b"permit(...);").unwrap_err().message, "this answer is a text and has no table");
    assert!(stdout.text().ends_with("NOTE\r\n"), "nothing else is there");
    assert_eq!(clean_csv("a,\"b\u{1b}[2J\nc\"\r\n"), "a,\"b\\u{1b}[2J\nc\"\r\n");
}

#[test]
fn zone_of_the_times_is_named_once() {
    let zone = super::super::time::Zone::named("Asia/Jerusalem").unwrap();
    let (text, _) = Screen::shown_at(80, |screen| {
        for at in ["2026-04-01T15:00:00Z", "2026-04-02T15:00:00Z"] {
            let mut table = Table::new(["AT"]);
            table.row([zone.cell(at.parse().unwrap())]);
            screen.table(&table, "");
        }
    });
    assert_eq!(text, "times are in Asia/Jerusalem\nAT\n2026-04-01 18:00\nAT\n2026-04-02 18:00\n");
}

#[test]
fn colours_stay_away_from_pipes() {
    let (out, stdout, stderr) = Out::captured(false);
    out.done("keys shared").unwrap();
    out.warn("careful");
    assert_eq!(stdout.text(), "done  keys shared\n");
    assert_eq!(stderr.text(), "warning: careful\n");
}
