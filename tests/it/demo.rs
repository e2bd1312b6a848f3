//! The demonstration, as somebody runs it who has just got the program.

use crate::harness::{
    console::http_of,
    process::{PATIENCE, ended, entente, signal},
    scratch::scratch,
};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};
use unicode_width::UnicodeWidthStr;

/// What one can do by hand once the cycle is played.
#[derive(Debug, Default)]
struct Printed {
    /// Each command, and whether it is said to be refused.
    commands: Vec<(String, bool)>,
}

impl Printed {
    /// The commands between the line that asks to try them and the one that says how it ends: each is set off by blanks.
    fn read(said: &str) -> Self {
        let (_, printed) = said.split_once("Try it in another terminal").unwrap();
        let (mut commands, mut sentence, mut is_over) = (Vec::new(), String::new(), false);
        for line in printed.lines() {
            if let Some(command) = line.strip_prefix("  ") {
                commands.push((command.to_owned(), sentence.contains("(refused)")));
                is_over = true;
            } else {
                if std::mem::take(&mut is_over) {
                    sentence.clear();
                }
                sentence.push_str(line);
            }
        }
        Self { commands }
    }

    /// One script of them all, which stops where something else happens than was said.
    fn script(&self) -> String {
        let mut script = "set -eu\n".to_owned();
        for (command, is_refused) in &self.commands {
            let check = if *is_refused { "&& exit 90 || [ $? -eq 3 ]" } else { "" };
            let word = if *is_refused { "refused" } else { "done" };
            script.extend(["echo ", word, "\n", command, " ", check, "\n"]);
        }
        script
    }
}

#[tokio::test]
async fn demonstration_plays_its_cycle_and_what_it_prints_to_try_works() {
    let folder = scratch();
    // A name that a shell would take apart.
    let data = folder.path().join("my demo");
    let mut demo = entente(&["demo", "--data", data.to_str().unwrap()]);
    let mut demo = demo.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let (mut said, mut lines) = (String::new(), BufReader::new(demo.stdout.take().unwrap()).lines());
    while !said.ends_with("Ctrl-C ends it.\n") {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        said.push_str(&line.unwrap_or_else(|| panic!("it ended by itself: {said}")));
        said.push('\n');
    }
    let (_, table) = said.split_once("Who could see what").unwrap();
    for (member, lodestone) in [("ISR:avi", "reads"), ("USA:olivia", "·"), ("USA:carol", "reads")] {
        let line = table.lines().find(|line| line.trim_start().starts_with(member)).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(lodestone), "{said}");
    }

    let addresses: Vec<&str> = said.lines().filter(|line| line.contains(".localhost:")).collect();
    assert_eq!(addresses.len(), 5, "{said}");
    let page = http_of(addresses[0]).get(addresses[0]).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Open the console"), "{page}");

    let printed = Printed::read(&said);
    let wide: Vec<&str> = said
        .lines()
        .filter(|line| line.width() > 80 && !printed.commands.iter().any(|(command, _)| line.ends_with(command)))
        .collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert_eq!(printed.commands.iter().filter(|(_, is_refused)| *is_refused).count(), 3, "{printed:?}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &printed.script()]).current_dir(folder.path());
    let output = ended(shell).await;
    let (told, faults) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{faults}");
    assert!(told.contains("submitted"), "the proposal is handed in: {told}");
    assert!(folder.path().join("plan.pdf").is_file() && !folder.path().join("early.pdf").exists());

    signal(&demo, "INT").await;
    assert!(timeout(PATIENCE, demo.wait()).await.unwrap().unwrap().success());
}
