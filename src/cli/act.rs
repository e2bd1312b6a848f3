//! The frame of acts that affect others: a dry run says what would be done, for whom and what takes it back; an act that asks is done after a
//! yes; every other one at once.

use super::{context::Context, error::Result, output::Screen, prompt::Consent, time::Zone, titles::named};
use crate::client::{
    self, Client,
    forecast::{Effect, Forecast, Undo},
    naming::FoundProposal,
};
use clap::Args;
use serde::Serialize;

/// The look ahead.
#[derive(Debug, Clone, Copy, Args)]
pub struct DryRun {
    /// Only say what it would do
    #[arg(long)]
    dry_run: bool,
}

impl DryRun {
    /// Whether nothing is to be done.
    pub(super) fn is_meant(self) -> bool {
        self.dry_run
    }
}

/// When an act asks first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    Never,
    Always(Consent),
    /// When the forecast says that the member cannot take it back.
    IfFinal(Consent),
}

/// Whether an act goes ahead: not in a dry run, which shows the forecast, and not without a yes where it asks. The forecast is made only for
/// somebody who sees it.
///
/// # Errors
/// When the person at the terminal does not mean it, or nobody can be asked.
pub(super) async fn goes_ahead(
    context: &Context,
    dry_run: DryRun,
    question: Question,
    forecast: impl Future<Output = client::Result<Forecast>>,
) -> Result<bool> {
    let (given, always) = match question {
        Question::Never => (None, false),
        Question::Always(given) => (Some(given), true),
        Question::IfFinal(given) => (Some(given), false),
    };
    let unanswered = given.filter(|given| !given.is_given());
    if !dry_run.is_meant() && unanswered.is_none() {
        return Ok(true);
    }
    let (forecast, zone) = (forecast.await?, context.zone()?);
    if dry_run.is_meant() {
        shown(context, &forecast, |screen| show(screen, &forecast, &zone))?;
        return Ok(false);
    }
    if let Some(given) = unanswered.filter(|_| always || forecast.is_final()) {
        context.keyboard().agree(given, &sentence(&forecast, &zone)).await?;
    }
    Ok(true)
}

/// A proposal as the question about it names it: with its title, where somebody reads the question. A look ahead opens nothing.
pub(super) async fn name_in_question(
    client: &Client,
    found: &FoundProposal,
    dry_run: DryRun,
    given: Consent,
) -> String {
    if dry_run.is_meant() || given.is_given() { found.to_string() } else { named(client, found).await }
}

/// The answer of a dry run.
pub(super) fn shown(context: &Context, answer: &impl Serialize, show: impl FnOnce(&mut Screen)) -> Result<()> {
    context.out.answer(answer, show)?;
    context.out.note("dry run: nothing was done");
    Ok(())
}

/// A forecast on a screen.
pub(super) fn show(screen: &mut Screen, forecast: &Forecast, zone: &Zone) {
    let effects: Vec<String> = forecast.effects.iter().map(|effect| worded(effect, zone)).collect();
    let undo = match &forecast.undo {
        Undo::Yourself(command) => format!("`{command}`"),
        Undo::Meanwhile(how) | Undo::Others(how) => how.clone(),
        Undo::Nobody => "nothing".to_owned(),
    };
    screen.fields(&[("act", forecast.act.clone()), ("does", effects.join("\n")), ("taken back by", undo)]);
}

/// The same as the sentence that somebody has to agree to.
fn sentence(forecast: &Forecast, zone: &Zone) -> String {
    let effects: Vec<String> = forecast.effects.iter().map(|effect| worded(effect, zone)).collect();
    let (act, effects) = (&forecast.act, effects.join("; "));
    match &forecast.undo {
        Undo::Yourself(command) => format!("{act}: {effects}; `{command}` takes it back"),
        Undo::Meanwhile(how) => format!("{act}: {effects}; {how}"),
        Undo::Others(how) => format!("{act} cannot be undone by you: {effects}; {how}"),
        Undo::Nobody => format!("{act} cannot be undone: {effects}"),
    }
}

fn worded(effect: &Effect, zone: &Zone) -> String {
    match effect.at {
        Some(at) => format!("{} {}", effect.what, zone.both(at.0)),
        None => effect.what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_says_who_can_take_an_act_back() {
        let zone = Zone::named("UTC").unwrap();
        let at = Some("2026-04-01T15:00:00Z".parse::<jiff::Timestamp>().unwrap().into());
        let effects = vec![Effect { what: "it opens at".into(), at }, Effect { what: "ISR sees it".into(), at: None }];
        let said =
            |undo| sentence(&Forecast { act: "publishing BIRD26".into(), effects: effects.clone(), undo }, &zone);
        let last = said(Undo::Nobody);
        assert!(last.starts_with("publishing BIRD26 cannot be undone: it opens at "), "{last}");
        assert!(last.ends_with("; ISR sees it"), "{last}");
        assert!(said(Undo::Others("an officer can".into())).contains("cannot be undone by you"));
        assert!(said(Undo::Yourself("entente x".into())).ends_with("`entente x` takes it back"));
    }
}
