//! Titles in lists and prompts: whether they are shown, whom that may ask, and how a proposal is named where somebody has to say yes.

use super::{context::Context, prompt::is_attended, table::cut};
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
pub(super) struct TitleArgs {
    /// Show titles, even if that takes your passphrase [default: it is asked for at a terminal, when summaries are new]
    #[arg(long)]
    titles: bool,
    /// Leave titles out: nothing is opened, and no passphrase asked for
    #[arg(long, conflicts_with = "titles")]
    no_titles: bool,
}

impl TitleArgs {
    /// The titles of a list. `is_by_title`: it is searched or ordered by them.
    pub(super) async fn of(
        self,
        context: &Context,
        client: &Client,
        rows: &[Proposal],
        extent: ListExtent,
        is_by_title: bool,
    ) -> Titles {
        let Some(rule) = self.rule(context, is_by_title) else { return Titles::default() };
        let titles = client.titles(rows, extent, rule, meter(context)).await;
        note_sealed(context, &titles);
        titles
    }

    /// The titles of everything in a call that the member may see. None if the list of the call cannot be read.
    pub(super) async fn of_call(self, context: &Context, client: &Client, call: CallId) -> Titles {
        let Some(rule) = self.rule(context, false) else { return Titles::default() };
        let titles = client.titles_of_call(call, rule, meter(context)).await.unwrap_or_default();
        note_sealed(context, &titles);
        titles
    }

    fn rule(self, context: &Context, is_by_title: bool) -> Option<PassphraseRule> {
        // Where programs read the answer nobody waits for a question.
        let is_watched = is_attended() && !context.out.is_json() && !context.out.is_quiet();
        match self {
            Self { no_titles: true, .. } => None,
            Self { titles: true, .. } => Some(PassphraseRule::Always),
            _ if is_watched && is_by_title => Some(PassphraseRule::Always),
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

/// A proposal as sentences name it: with its title, if that is known without asking anybody.
pub(super) async fn named(client: &Client, found: &FoundProposal) -> String {
    worded(found, client.title_by_id(found.id).await.as_deref())
}

/// A proposal as sentences name it, with its title if there is one.
pub(super) fn worded(name: &impl Display, title: Option<&str>) -> String {
    title.map_or_else(|| name.to_string(), |title| format!("{name} (“{}”)", cut(title, IN_A_SENTENCE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposal_is_named_with_its_title_where_it_is_known() {
        let name = "BIRD26-48179";
        assert_eq!(worded(&name, None), name);
        assert_eq!(worded(&name, Some("Lodestone")), "BIRD26-48179 (“Lodestone”)");
        assert!(worded(&name, Some(&"x".repeat(200))).ends_with("xxx…”)"));
    }
}
