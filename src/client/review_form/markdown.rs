//! The form in Markdown: a heading for each proposal and criterion, lines of explanation that begin with `>`, and what the reviewer writes.
//!
//! A heading is the only structure below `comment:`. A line of the reviewer's own that begins like one is written with a backslash
//! before it, and read back without.

use super::{FormPart, FormSection, OVERALL, RECOMMENDATION, ReviewForm, one_line, plain};
use crate::{
    client::form_lines::{FormFault, escaped, heading, numbered, unescaped},
    domain::{review::Points, text::counted},
};
use std::fmt::Write;

const SCORE: &str = "score:";
const COMMENT: &str = "comment:";
const DRAFT: &str = "draft:";

/// The form as text.
#[must_use]
pub fn written(form: &ReviewForm) -> String {
    let mut text = String::new();
    let code = &form.code;
    let count = counted(form.proposals.len(), "proposal", "proposals");
    // Writing to memory does not fail.
    let _ = write!(
        text,
        "# Reviews for {code}\n\n> {}\n> {count}; reviews are due at {:.0}\n> Write each score after `score:`, and what you have to say \
         below `comment:`. Leave the other lines as they are.\n> A line of yours that begins with `#` and a blank is written `\\#`.\n> Read it \
         back with `entente review form {code} --file FILE`, as often as you like; nobody else sees it before you hand it in.\n",
        one_line(&form.title),
        form.reviews_due_at,
    );
    for proposal in &form.proposals {
        let title = proposal.title.as_deref().map_or_else(|| "(the title is not open here)".to_owned(), one_line);
        let _ = write!(text, "\n## {}\n\n> {title}\n\n{DRAFT} {}\n", proposal.reference, proposal.mark);
        for criterion in &form.criteria {
            let score = proposal.body.scores.get(&criterion.name).and_then(|score| Points::from_number(*score));
            let score = score.map(plain).unwrap_or_default();
            let words = ReviewForm::criterion_in_words(criterion);
            let _ = write!(text, "\n### {}\n\n> {words}\n\n{}\n\n", criterion.name, format!("{SCORE} {score}").trim());
            comment(&mut text, proposal.body.comments.get(&criterion.name).map_or("", String::as_str));
        }
        for (name, words, content) in [
            (OVERALL, "The assessment as a whole", proposal.body.overall.as_str()),
            (RECOMMENDATION, "What you recommend, in a word", proposal.body.recommendation.as_deref().unwrap_or("")),
        ] {
            let _ = write!(text, "\n### {name}\n\n> {words}\n\n");
            comment(&mut text, content);
        }
    }
    text
}

fn comment(text: &mut String, content: &str) {
    text.push_str(COMMENT);
    text.push('\n');
    if content.is_empty() {
        return;
    }
    text.push('\n');
    for line in content.split('\n') {
        text.push_str(&escaped(line));
        text.push('\n');
    }
}

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinePlace {
    /// Before the first proposal.
    Head,
    /// Below a heading, before `comment:`.
    Section,
    Comment,
    /// Below a heading that was not understood.
    Lost,
}

/// What a form has, section by section, and what is wrong with its lines.
#[must_use]
pub fn read(text: &str) -> (Vec<FormSection>, Vec<FormFault>) {
    let (mut sections, mut faults, mut place) = (Vec::<FormSection>::new(), Vec::new(), LinePlace::Head);
    for (number, line) in numbered(text) {
        let mut fault = |detail: String| faults.push(FormFault { line: number, detail });
        if let Some((level, name)) = heading(line) {
            place = match (level, sections.last_mut()) {
                (1, None) if place == LinePlace::Head => LinePlace::Head,
                (2, _) => {
                    let proposal = name.to_owned();
                    sections.push(FormSection { line: number, proposal, ..FormSection::default() });
                    LinePlace::Section
                }
                (3, Some(section)) => {
                    section.parts.push(FormPart { line: number, name: name.to_owned(), ..FormPart::default() });
                    LinePlace::Section
                }
                _ => {
                    fault("it begins like a heading; if it belongs to a comment, write `\\` before it".into());
                    LinePlace::Lost
                }
            };
            continue;
        }
        let trimmed = line.trim();
        match (place, sections.last_mut()) {
            (LinePlace::Comment, Some(section)) => {
                if let Some(part) = section.parts.last_mut() {
                    part.comment.push_str(unescaped(line));
                    part.comment.push('\n');
                }
            }
            (LinePlace::Lost, _) => {}
            _ if trimmed.is_empty() || trimmed.starts_with('>') => {}
            (LinePlace::Section, Some(section)) => {
                if let Err(detail) = field(section, (number, trimmed), &mut place) {
                    fault(detail);
                }
            }
            _ => fault("it belongs to no proposal; comments go below `comment:`".into()),
        }
    }
    (sections, faults)
}

/// Takes a line that is neither a heading nor an explanation nor part of a comment.
fn field(section: &mut FormSection, (number, line): (u64, &str), place: &mut LinePlace) -> Result<(), String> {
    let Some(part) = section.parts.last_mut() else {
        let mark = after(line, DRAFT).ok_or("it belongs to no criterion; comments go below `comment:`")?;
        mark.clone_into(&mut section.mark);
        return Ok(());
    };
    if let Some(score) = after(line, SCORE) {
        if part.score.is_some() {
            return Err("a criterion has one score".into());
        }
        part.score = Some((number, score.to_owned()));
        return Ok(());
    }
    let comment =
        after(line, COMMENT).ok_or("wanted `score:` or `comment:`; what you have to say goes below `comment:`")?;
    part.comment = if comment.is_empty() { String::new() } else { format!("{comment}\n") };
    *place = LinePlace::Comment;
    Ok(())
}

/// What follows a word at the beginning of a line, in any case.
fn after<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    let (begin, rest) = line.split_at_checked(word.len())?;
    begin.eq_ignore_ascii_case(word).then(|| rest.trim())
}
