//! The lines in which two texts differ, for those who sign the later one.

use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use std::time::Duration;

/// Whether a line is in both texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineChange {
    /// In both: shown for its neighbours.
    Same,
    /// In the earlier one alone.
    Removed,
    /// In the later one alone.
    Added,
}

/// A line of one text or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiffLine {
    pub change: LineChange,
    /// Its number in the earlier text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<usize>,
    /// Its number in the later text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub later: Option<usize>,
    pub text: String,
}

/// So many lines that are the same are shown around each that differs.
const AROUND: usize = 3;
/// After so long a difference may be longer than it need be, and is still right.
const LONGEST: Duration = Duration::from_secs(2);

/// The lines in which two texts differ, with some around them: one group for each place. None when they are the same.
#[must_use]
pub fn differing_lines(earlier: &str, later: &str) -> Vec<Vec<DiffLine>> {
    let diff = TextDiff::configure().timeout(LONGEST).diff_lines(earlier, later);
    let groups = diff.grouped_ops(AROUND).into_iter();
    groups
        .map(|operations| {
            let changes = operations.iter().flat_map(|operation| diff.iter_changes(operation));
            changes
                .map(|change| DiffLine {
                    change: match change.tag() {
                        ChangeTag::Equal => LineChange::Same,
                        ChangeTag::Delete => LineChange::Removed,
                        ChangeTag::Insert => LineChange::Added,
                    },
                    earlier: change.old_index().map(|index| index + 1),
                    later: change.new_index().map(|index| index + 1),
                    text: change.value().trim_end_matches(['\r', '\n']).to_owned(),
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_differ_are_shown_with_three_lines_around_each() {
        let earlier = (1..=30).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
        let later = earlier.replace("line 5\n", "line five\n").replace("line 25\n", "");
        let groups = differing_lines(&earlier, &later);
        assert_eq!(groups.len(), 2);
        let said = |group: &[DiffLine]| group.iter().map(|line| (line.change, line.text.clone())).collect::<Vec<_>>();
        let first = said(&groups[0]);
        assert_eq!(first.len(), 8);
        assert_eq!(first[3], (LineChange::Removed, "line 5".to_owned()));
        assert_eq!(first[4], (LineChange::Added, "line five".to_owned()));
        let gone = groups[1].iter().find(|line| line.change == LineChange::Removed).unwrap();
        assert_eq!((gone.earlier, gone.later, gone.text.as_str()), (Some(25), None, "line 25"));
        assert_eq!(differing_lines(&earlier, &earlier), Vec::<Vec<DiffLine>>::new());
    }

    #[test]
    fn removed_and_added_lines_turn_one_text_into_the_other() {
        let texts = ["", "a\n", "a\nb\nc", "c\nb\na\n", "b\n\n\nb\n", "한\nא\n"];
        for earlier in texts {
            for later in texts {
                let lines: Vec<DiffLine> = differing_lines(earlier, later).concat();
                // What is not shown is the same in both, so each side has its own number of lines.
                let only = |change| lines.iter().filter(|line| line.change == change).count();
                let (removed, added) = (only(LineChange::Removed), only(LineChange::Added));
                assert_eq!(earlier.lines().count() + added, later.lines().count() + removed, "{earlier:?} {later:?}");
                for line in &lines {
                    let at =
                        |text: &str, number: Option<usize>| number.map(|n| text.lines().nth(n - 1).unwrap().to_owned());
                    assert!(at(earlier, line.earlier).is_none_or(|found| found == line.text), "{line:?}");
                    assert!(at(later, line.later).is_none_or(|found| found == line.text), "{line:?}");
                }
            }
        }
    }
}
