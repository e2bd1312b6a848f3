//! Titles in lists and prompts: whether they are shown, whom that may ask, and how a proposal is named where somebody has to say yes.

use super::{context::Context, output::clean, prompt::is_attended, table::cut};
use crate::{
    client::{
        Client, NoProgress, ProgressListener,
        naming::FoundProposal,
        titles::{ListExtent, PassphraseRule, Titles},
    },
    domain::{id::CallId, text::counted},
    wire::proposal::Proposal,
};
use clap::Args;
use std::{fmt::Display, sync::Arc};

/// A title in a sentence has so many columns at most.
const IN_A_SENTENCE: usize = 60;

/// Whether a list shows titles.
#[derive(Debug, Clone, Copy, Args)]
pub struct TitleArgs {
    /// Show titles, even if that takes your passphrase [default: it is asked for at a terminal, when summaries are new]
    #[arg(long)]
    titles: bool,
    /// Leave titles out: no summary is opened, and no passphrase of an identity asked for
    #[arg(long, conflicts_with = "titles")]
    no_titles: bool,
}

/// What the titles of a list are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TitleUse {
    Shown,
    /// The list is searched by them.
    Searched,
    /// The list is put in order by them.
    Ordered,
}

impl TitleArgs {
    /// The titles of a list.
    pub(super) async fn of(
        self,
        context: &Context,
        client: &Client,
        rows: &[Proposal],
        extent: ListExtent,
        purpose: TitleUse,
    ) -> Titles {
        let Some(rule) = self.rule(context, purpose) else { return Titles::default() };
        let titles = client.titles(rows, extent, rule, meter(context)).await;
        match incomplete(purpose, &titles) {
            // What is found or comes first is not the whole answer: programs hear that, too.
            Some(sentence) => context.out.warn(&sentence),
            None => note_sealed(context, &titles),
        }
        titles
    }

    /// The titles of everything in a call that the member may see. None if the list of the call cannot be read.
    pub(super) async fn of_call(self, context: &Context, client: &Client, call: CallId) -> Titles {
        let Some(rule) = self.rule(context, TitleUse::Shown) else { return Titles::default() };
        let titles = client.titles_of_call(call, rule, meter(context)).await.unwrap_or_default();
        note_sealed(context, &titles);
        titles
    }

    fn rule(self, context: &Context, purpose: TitleUse) -> Option<PassphraseRule> {
        // Where programs read the answer nobody waits for a question.
        let is_watched = is_attended() && !context.out.is_json() && !context.out.is_quiet();
        match self {
            Self { no_titles: true, .. } => None,
            Self { titles: true, .. } => Some(PassphraseRule::Always),
            _ if is_watched && purpose != TitleUse::Shown => Some(PassphraseRule::Always),
            _ if is_watched => Some(PassphraseRule::ForNew),
            _ => Some(PassphraseRule::Never),
        }
    }
}

/// The progress of opening titles, for people who watch it: elsewhere a list is not to have lines between.
fn meter(context: &Context) -> Arc<dyn ProgressListener> {
    if context.out.is_live() && !context.out.is_json() { context.meter("") } else { Arc::new(NoProgress) }
}

fn note_sealed(context: &Context, titles: &Titles) {
    if titles.sealed() > 0 {
        let kept = counted(titles.sealed(), "title is", "titles are");
        context
            .out
            .note(&format!("{kept} kept on this machine, sealed; `--titles` asks for your passphrase and shows them"));
    }
}

/// That titles are missing in a list that goes by them, and how to have them.
fn incomplete(purpose: TitleUse, titles: &Titles) -> Option<String> {
    let done = match purpose {
        TitleUse::Shown => return None,
        TitleUse::Searched => "searched",
        TitleUse::Ordered => "put in order",
    };
    let those = match titles.closed() {
        0 => return None,
        1 => "the title of 1 proposal was".to_owned(),
        closed => format!("the titles of {closed} proposals were"),
    };
    let why = if titles.sealed() == titles.closed() {
        "kept on this machine, sealed; `--titles` asks for your passphrase"
    } else {
        "not open here; `--titles` asks for your passphrase, and `entente proposal open` says what stands in the way"
    };
    Some(format!("{those} not {done}: {why}"))
}

/// A proposal as sentences name it: with its title, if that is known without asking anybody.
pub(super) async fn named(client: &Client, found: &FoundProposal) -> String {
    worded(found, client.title_by_id(found.id).await.as_deref())
}

/// A proposal as sentences name it, with its title if there is one.
pub(super) fn worded(name: &impl Display, title: Option<&str>) -> String {
    // Escaped before it is cut, so that it has no more columns, and without the marks that end it.
    let within = |title: &str| cut(&clean(title).replace(['“', '”'], "\""), IN_A_SENTENCE);
    title.map_or_else(|| name.to_string(), |title| format!("{name} (“{}”)", within(title)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn proposal_is_named_with_its_title_where_it_is_known() {
        let name = "BIRD26-48179";
        assert_eq!(worded(&name, None), name);
        assert_eq!(worded(&name, Some("Lodestone")), "BIRD26-48179 (“Lodestone”)");
        assert!(worded(&name, Some(&"x".repeat(200))).ends_with("xxx…”)"));
        assert_eq!(worded(&name, Some("a”) and “b")), "BIRD26-48179 (“a\") and \"b”)");
        let escaped = worded(&name, Some(&"\u{202e}".repeat(40)));
        assert!(escaped.width() <= name.len() + 5 + IN_A_SENTENCE, "{escaped}");
    }

    #[test]
    fn list_that_goes_by_titles_says_how_many_are_missing() {
        let all = Titles::default();
        assert_eq!(incomplete(TitleUse::Searched, &all), None);
        let some = Titles::default().without(2, 1);
        assert_eq!(incomplete(TitleUse::Shown, &some), None);
        let said = incomplete(TitleUse::Searched, &some).unwrap();
        assert!(said.starts_with("the titles of 2 proposals were not searched: not open here"), "{said}");
        let said = incomplete(TitleUse::Ordered, &Titles::default().without(1, 1)).unwrap();
        assert!(said.starts_with("the title of 1 proposal was not put in order: kept on this machine"), "{said}");
    }
}
