//! `entente policy diff`: the lines in which two versions of an owner's policies differ, or a version and a file; and the same before a
//! text is proposed.

use super::super::{
    context::Context,
    error::{CliError, Result},
    output::{Screen, Style},
};
use super::{TextFile, read};
use crate::{
    client::{
        Client, ClientError,
        text_diff::{DiffLine, LineChange, differing_lines},
    },
    domain::policy::PolicyOwner,
    wire::policy::PolicyVersion,
};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Difference {
    /// Code of a partner, or `guardrails`
    owner: PolicyOwner,
    /// One version, compared with the one in force, or two, the earlier first
    #[arg(value_name = "VERSION", num_args = 0..=2)]
    versions: Vec<u32>,
    /// Compare with the text in this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Two texts, each with what it is called, and where they differ.
#[derive(Debug)]
pub(super) struct ComparedTexts {
    earlier: String,
    later: String,
    groups: Vec<Vec<DiffLine>>,
}

/// A text with what it is called.
type NamedText = (String, String);

/// Shows the difference.
pub(super) async fn run(args: &Difference, context: &Context) -> Result<()> {
    let (client, owner) = (context.client().await?, &args.owner);
    let (earlier, later) = match (&args.versions[..], &args.file) {
        ([version], None) => (in_force(&client, owner).await?, numbered(&client, owner, *version).await?),
        ([earlier, later], None) => {
            (numbered(&client, owner, *earlier).await?, numbered(&client, owner, *later).await?)
        }
        ([], Some(file)) => (in_force(&client, owner).await?, in_file(owner, file)?),
        ([version], Some(file)) => (numbered(&client, owner, *version).await?, in_file(owner, file)?),
        _ => {
            return Err(CliError::usage("it is not clear which two texts are meant")
                .help("name one version or a file, to compare it with the text in force, or two versions"));
        }
    };
    let compared = ComparedTexts::of(earlier, later);
    context.out.answer(&compared.json(owner), |screen| compared.show(screen))
}

/// How a text differs from the one in force, for those who are about to propose it; none where what is in force cannot be verified
/// any longer, for then a new text takes its place.
pub(super) async fn from_in_force(
    client: &Client,
    owner: &PolicyOwner,
    place: &str,
    text: &str,
    context: &Context,
) -> Result<Option<ComparedTexts>> {
    let earlier = match client.policy_in_force(owner).await {
        Ok(Some(policy)) => named(policy),
        Ok(None) => nothing(owner),
        Err(error @ (ClientError::NotSigned(_) | ClientError::Unverified { .. })) => {
            context.out.warn(&format!("the text is not compared with the one in force: {error}"));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Some(ComparedTexts::of(earlier, (format!("`{place}`"), text.to_owned()))))
}

async fn in_force(client: &Client, owner: &PolicyOwner) -> Result<NamedText> {
    Ok(client.policy_in_force(owner).await?.map_or_else(|| nothing(owner), named))
}

async fn numbered(client: &Client, owner: &PolicyOwner, version: u32) -> Result<NamedText> {
    Ok(named(client.policy_version(owner, version).await?))
}

fn in_file(owner: &PolicyOwner, file: &std::path::Path) -> Result<NamedText> {
    let (_, place, text) = read(&TextFile { file: file.to_owned(), owner: Some(owner.clone()) })?;
    Ok((format!("`{place}`"), text))
}

fn named(policy: PolicyVersion) -> NamedText {
    let PolicyVersion { owner, version, status, text, .. } = policy;
    (format!("version {version} of {owner} ({status})"), text.unwrap_or_default())
}

fn nothing(owner: &PolicyOwner) -> NamedText {
    (format!("no policies of {owner}"), String::new())
}

impl ComparedTexts {
    fn of((earlier, earlier_text): NamedText, (later, later_text): NamedText) -> Self {
        Self { earlier, later, groups: differing_lines(&earlier_text, &later_text) }
    }

    pub(super) fn json(&self, owner: &PolicyOwner) -> Value {
        json!({ "owner": owner, "earlier": self.earlier, "later": self.later, "groups": self.groups })
    }

    /// The places that differ, one after another.
    pub(super) fn show(&self, screen: &mut Screen) {
        if self.groups.is_empty() {
            return screen.line(&format!("{} and {} are the same text", self.earlier, self.later));
        }
        screen.styled(&[(Style::Red, &format!("- {}", self.earlier))]);
        screen.styled(&[(Style::Green, &format!("+ {}", self.later))]);
        for group in &self.groups {
            screen.gap();
            for line in group {
                let (style, sign) = match line.change {
                    LineChange::Same => (Style::Plain, ' '),
                    LineChange::Removed => (Style::Red, '-'),
                    LineChange::Added => (Style::Green, '+'),
                };
                let number = line.later.or(line.earlier).unwrap_or_default();
                screen.styled(&[(Style::Dim, &format!("{number:>4} ")), (style, &format!("{sign} {}", line.text))]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_shown_with_signs_and_numbers_and_nothing_steers_the_terminal() {
        let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let compared = ComparedTexts::of(
            text("version 1", "one\ntwo\nthree\n"),
            text("version 2", "one\n\u{1b}[2Jtwo\u{202e}\nthree\n"),
        );
        let (shown, _) = Screen::shown_at(80, |screen| compared.show(screen));
        let expected =
            "- version 1\n+ version 2\n\n   1   one\n   2 - two\n   2 + \\u{1b}[2Jtwo\\u{202e}\n   3   three\n";
        assert_eq!(shown, expected);
        let same = ComparedTexts::of(text("version 1", "one\n"), text("version 2", "one\n"));
        let (shown, _) = Screen::shown_at(80, |screen| same.show(screen));
        assert_eq!(shown, "version 1 and version 2 are the same text\n");
    }
}
