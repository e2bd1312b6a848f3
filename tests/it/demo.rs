//! The demonstration, as somebody runs it who has just got the program.

use crate::harness::process::{ended, entente};

#[tokio::test]
async fn demonstration_plays_its_cycle_and_ends_with_who_could_see_what() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let output = ended(entente(&["demo", "--once", "--data", data.to_str().unwrap()])).await;
    let (said, faults) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{faults}\n{said}");
    assert!(said.trim_end().ends_with("The cycle is complete."), "{said}");
    let (_, table) = said.split_once("Who could see what").unwrap();
    for (member, lodestone) in [("ISR:avi", "reads"), ("USA:olivia", "·"), ("USA:carol", "reads")] {
        let line = table.lines().find(|line| line.trim_start().starts_with(member)).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(lodestone), "{said}");
    }
}
