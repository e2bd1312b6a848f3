//! Templates of letters: a section for each outcome, with fields that are filled in for each proposal.
//!
//! Which section a letter is made of is decided by the verified decision and by nothing else, so that no letter says something else than was
//! decided. What is filled in is never looked at for further fields.

use crate::domain::{decision::Outcome, id::Slug, review::Criterion};
use std::collections::BTreeMap;

/// What a line of a template is marked with that begins a section: `=== fund ===`.
const MARK: &str = "===";

/// A template that was read for the criteria of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterTemplate {
    sections: BTreeMap<Outcome, Vec<Piece>>,
}

/// What is filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Reference,
    Title,
    Organisations,
    Code,
    Call,
    Outcome,
    Total,
    Scores,
    Comments,
    Score(Slug),
    Comment(Slug),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

/// The fields that every template knows, with what each stands for.
const FIELDS: [(&str, Field); 9] = [
    ("reference", Field::Reference),
    ("title", Field::Title),
    ("organisations", Field::Organisations),
    ("code", Field::Code),
    ("call", Field::Call),
    ("outcome", Field::Outcome),
    ("total", Field::Total),
    ("scores", Field::Scores),
    ("comments", Field::Comments),
];

impl LetterTemplate {
    /// Reads a file whose sections begin with lines such as `=== fund ===`. Before the first there are only notes, which begin with `#`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn of_file(text: &str, criteria: &[Criterion]) -> Result<Self, String> {
        let mut written: BTreeMap<Outcome, (usize, Vec<&str>)> = BTreeMap::new();
        let mut under = None;
        for (at, line) in (1..).zip(text.lines()) {
            match (marked(line), under) {
                (Some(word), _) => {
                    let outcome = section(word).map_err(|fault| format!("line {at}: {fault}"))?;
                    if written.insert(outcome, (at, Vec::new())).is_some() {
                        return Err(format!("line {at}: there are two sections `{outcome}`"));
                    }
                    under = Some(outcome);
                }
                (None, Some(outcome)) => written.entry(outcome).or_default().1.push(line),
                (None, None) if line.trim().is_empty() || line.starts_with('#') => {}
                (None, None) => {
                    return Err(format!(
                        "line {at}: no section begins above this text; begin it with `=== fund ===`, say"
                    ));
                }
            }
        }
        if written.is_empty() {
            return Err("it has no section: begin one with a line `=== fund ===`, say".to_owned());
        }
        let sections = written.into_iter().map(|(outcome, (at, lines))| {
            let pieces = pieces(&lines, at, criteria)?;
            Ok((outcome, pieces))
        });
        Ok(Self { sections: sections.collect::<Result<_, String>>()? })
    }

    /// Reads files that are each for one outcome. A file may repeat the mark of its section; another one contradicts its name.
    ///
    /// # Errors
    /// What is wrong, in which file and where.
    pub fn of_files<'t>(
        files: impl IntoIterator<Item = (Outcome, &'t str, String)>,
        criteria: &[Criterion],
    ) -> Result<Self, String> {
        let mut sections = BTreeMap::new();
        for (outcome, text, name) in files {
            let mut lines: Vec<&str> = text.lines().collect();
            let mut first = 0;
            if let Some(at) = lines.iter().position(|line| marked(line).is_some()) {
                let said = section(marked(lines[at]).unwrap_or_default());
                if said.as_ref() != Ok(&outcome) || lines[..at].iter().any(|line| !line.trim().is_empty()) {
                    return Err(format!("`{name}`, line {}: this is not the section `{outcome}`", at + 1));
                }
                lines.drain(..=at);
                first = at + 1;
            }
            let pieces = pieces(&lines, first, criteria).map_err(|fault| format!("`{name}`, {fault}"))?;
            if sections.insert(outcome, pieces).is_some() {
                return Err(format!("`{name}`: there are two files for `{outcome}`"));
            }
        }
        if sections.is_empty() {
            return Err("it has no file `fund.txt`, `reserve.txt` or `decline.txt`".to_owned());
        }
        Ok(Self { sections })
    }

    /// The outcomes that there is a section for.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.sections.keys().copied().collect()
    }

    /// Whether there is a section for this outcome.
    pub(super) fn has(&self, outcome: Outcome) -> bool {
        self.sections.contains_key(&outcome)
    }

    /// Whether one of the sections has one of these fields.
    pub(super) fn asks_for(&self, is_meant: impl Fn(&Field) -> bool) -> bool {
        let mut fields = self.sections.values().flatten().filter_map(|piece| match piece {
            Piece::Field(field) => Some(field),
            Piece::Text(_) => None,
        });
        fields.any(is_meant)
    }

    /// The letter for an outcome, each field filled in by `value`; or the first field that nothing is known for.
    pub(super) fn filled(&self, outcome: Outcome, value: impl Fn(&Field) -> Option<String>) -> Result<String, &Field> {
        let mut text = String::new();
        for piece in self.sections.get(&outcome).into_iter().flatten() {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Field(field) => text.push_str(&value(field).ok_or(field)?),
            }
        }
        Ok(text)
    }
}

/// Whether a text is a template rather than a letter: a line of it begins a section.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.lines().any(|line| marked(line).is_some_and(|word| section(word).is_ok()))
}

impl Field {
    /// Its name in a template.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Score(criterion) => format!("score.{criterion}"),
            Self::Comment(criterion) => format!("comment.{criterion}"),
            plain => FIELDS.iter().find(|(_, field)| field == plain).map_or("", |(name, _)| name).to_owned(),
        }
    }

    fn read(name: &str, criteria: &[Criterion]) -> Result<Self, String> {
        if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
            return Ok(field.clone());
        }
        let of_criterion = |word: &str| criteria.iter().find(|criterion| criterion.name.as_str() == word);
        let found = name.split_once('.').and_then(|(kind, word)| {
            let criterion = of_criterion(word)?.name.clone();
            match kind {
                "score" => Some(Self::Score(criterion)),
                "comment" => Some(Self::Comment(criterion)),
                _ => None,
            }
        });
        found.ok_or_else(|| {
            let plain = FIELDS.iter().map(|(name, _)| format!("`{{{name}}}`"));
            let of = criteria.iter().map(|criterion| format!("`{{score.{0}}}`, `{{comment.{0}}}`", criterion.name));
            let known = plain.chain(of).collect::<Vec<_>>().join(", ");
            format!("`{{{name}}}` is not a field; there are {known}; a brace of its own is written twice, `{{{{`")
        })
    }
}

/// The word in a mark.
fn marked(line: &str) -> Option<&str> {
    let inner = line.trim().strip_prefix(MARK)?.strip_suffix(MARK)?;
    Some(inner.trim_matches(|c: char| c == '=' || c.is_whitespace())).filter(|word| !word.is_empty())
}

fn section(word: &str) -> Result<Outcome, String> {
    match word.to_lowercase().parse() {
        Ok(outcome @ (Outcome::Fund | Outcome::Reserve | Outcome::Decline)) => Ok(outcome),
        _ => Err(format!("`{word}` is not a section, one of `fund`, `reserve`, `decline`")),
    }
}

/// The pieces of a section whose mark stands in line `at`. Blank lines around it are no part of the letter.
fn pieces(lines: &[&str], at: usize, criteria: &[Criterion]) -> Result<Vec<Piece>, String> {
    let is_text = |line: &str| !line.trim().is_empty();
    let first = lines.iter().position(|line| is_text(line)).ok_or_else(|| match at {
        0 => "it is empty".to_owned(),
        at => format!("line {at}: the section is empty"),
    })?;
    let last = lines.iter().rposition(|line| is_text(line)).unwrap_or(first);
    let mut pieces = Vec::new();
    let mut text = String::new();
    for (line, number) in lines[first..=last].iter().zip(at + first + 1..) {
        let mut rest = line.char_indices().peekable();
        while let Some((column, c)) = rest.next() {
            let fault = |fault: String| {
                let column = line[..column].chars().count() + 1;
                format!("line {number}, column {column}: {fault}")
            };
            match c {
                '{' | '}' if rest.peek().is_some_and(|(_, next)| *next == c) => {
                    rest.next();
                    text.push(c);
                }
                '}' => {
                    return Err(fault("this `}` ends nothing; a brace of its own is written twice, `}}`".to_owned()));
                }
                '{' => {
                    let end = line[column..].find('}').map(|end| column + end);
                    let end = end.ok_or_else(|| {
                        fault(
                            "this `{` is not closed on its line; a brace of its own is written twice, `{{`".to_owned(),
                        )
                    })?;
                    let field = Field::read(line[column + 1..end].trim(), criteria).map_err(fault)?;
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(Piece::Field(field));
                    while rest.next_if(|(at, _)| *at <= end).is_some() {}
                }
                c => text.push(c),
            }
        }
        text.push('\n');
    }
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::call;

    fn read(text: &str) -> Result<LetterTemplate, String> {
        LetterTemplate::of_file(text, &call().rules.criteria)
    }

    fn filled(template: &LetterTemplate, outcome: Outcome) -> String {
        template.filled(outcome, |field| Some(format!("<{}>", field.name()))).unwrap()
    }

    #[test]
    fn letter_is_made_of_the_section_for_its_outcome() {
        let template = read(
            "# Notes for the office\n\n=== fund ===\n\nDear {organisations},\n{reference} {{sic}} is funded.\n\n\
             === Decline ===\n{ title } is not: {score.merit}, {comment.impact}\n",
        )
        .unwrap();
        assert_eq!(filled(&template, Outcome::Fund), "Dear <organisations>,\n<reference> {sic} is funded.\n");
        assert_eq!(filled(&template, Outcome::Decline), "<title> is not: <score.merit>, <comment.impact>\n");
        assert!(template.has(Outcome::Fund) && !template.has(Outcome::Reserve));
        assert!(
            template.asks_for(|field| *field == Field::Title) && !template.asks_for(|field| *field == Field::Total)
        );
    }

    #[test]
    fn what_is_filled_in_is_not_read_for_fields() {
        let template = read("=== fund ===\n{title}\n").unwrap();
        let text = template.filled(Outcome::Fund, |_| Some("{comments} {{".to_owned())).unwrap();
        assert_eq!(text, "{comments} {{\n");
        assert_eq!(template.filled(Outcome::Fund, |_| None), Err(&Field::Title));
    }

    #[test]
    fn fault_of_a_template_names_its_place() {
        for (text, fault) in [
            ("", "no section"),
            ("Dear all\n=== fund ===\nx\n", "line 1: no section begins above"),
            ("=== maybe ===\nx\n", "line 1: `maybe` is not a section"),
            ("=== rescind ===\nx\n", "line 1: `rescind` is not a section"),
            ("=== fund ===\nx\n=== FUND ===\ny\n", "line 3: there are two sections `fund`"),
            ("=== fund ===\n\n=== decline ===\nx\n", "line 1: the section is empty"),
            (
                "=== fund ===\n\nDear ü {titel},\n",
                "line 3, column 8: `{titel}` is not a field; there are `{reference}`",
            ),
            ("=== fund ===\n{score.style}\n", "line 2, column 1: `{score.style}` is not a field"),
            ("=== fund ===\nx {title\n", "line 2, column 3: this `{` is not closed"),
            ("=== fund ===\nx } y\n", "line 2, column 3: this `}` ends nothing"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(fault), "{text}: {refused}");
        }
    }

    #[test]
    fn file_that_says_another_section_than_its_name_is_refused() {
        let criteria = call().rules.criteria;
        let of = |files: &[(Outcome, &'static str)]| {
            let files = files.iter().map(|(outcome, text)| (*outcome, *text, format!("{outcome}.txt")));
            LetterTemplate::of_files(files, &criteria)
        };
        let both = of(&[(Outcome::Fund, "Yes.\n"), (Outcome::Decline, "=== decline ===\n\nNo.\n")]).unwrap();
        assert_eq!((filled(&both, Outcome::Fund), filled(&both, Outcome::Decline)), ("Yes.\n".into(), "No.\n".into()));
        let crossed = of(&[(Outcome::Decline, "=== fund ===\nYes.\n")]).unwrap_err();
        assert!(crossed.contains("`decline.txt`, line 1: this is not the section `decline`"), "{crossed}");
        let hidden = of(&[(Outcome::Decline, "No.\n=== fund ===\nYes.\n")]).unwrap_err();
        assert!(hidden.contains("line 2"), "{hidden}");
        assert!(of(&[]).unwrap_err().contains("fund.txt"));
        let fault = of(&[(Outcome::Fund, "=== fund ===\n\n{x}\n")]).unwrap_err();
        assert!(fault.contains("line 3, column 1"), "{fault}");
    }

    #[test]
    fn letter_is_told_from_a_template() {
        assert!(is_template("=== fund ===\nx") && is_template("a\n  === DECLINE ===  \n"));
        assert!(!is_template("Dear {sic}\n======\nYours") && !is_template("=== enclosed ===\n"));
    }
}
