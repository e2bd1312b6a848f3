//! `entente call chase` and `entente call progress`: how far a call is, what holds it up, and on whom it waits.

use crate::{
    cli::{
        context::Context,
        error::Result,
        output::{Screen, Style},
        table::Table,
        time::{Zone, until},
    },
    client::{
        Client,
        chase::{Block, CallStep, Chase},
    },
    domain::{id::CallId, member::CallRole, text::counted},
    wire::call::Progress,
};
use serde_json::json;

/// The columns of a bar.
const BAR: usize = 24;

/// What holds a call up.
pub(super) async fn run(context: &Context, client: &Client, call: CallId) -> Result<()> {
    let (chase, zone) = (client.chase(call).await?, context.zone()?);
    context.out.answer(&chase, |screen| show(screen, &chase, &zone))?;
    if chase.proposals.iter().any(|proposal| proposal.is_late) {
        let code = &chase.code;
        context.out.note(&format!(
            "more time for reviews, told to all: entente call extend {code} --reviews --until ... --reason ..."
        ));
    }
    Ok(())
}

/// How far a call is. Its officers see each step of the judging.
pub(super) async fn progress(context: &Context, client: &Client, call: CallId) -> Result<()> {
    let progress = client.api().call_progress(call).await?;
    let is_officer = client.api().call(call).await?.body.my_roles.contains(&CallRole::Officer);
    let steps = if is_officer { client.chase(call).await?.steps } else { Vec::new() };
    let mut answer = serde_json::to_value(&progress).unwrap_or_default();
    answer["steps"] = json!(steps);
    context.out.answer(&answer, |screen| show_progress(screen, &progress, &steps))
}

/// Who has done what, and what each proposal waits for.
pub(in crate::cli) fn show(screen: &mut Screen, chase: &Chase, zone: &Zone) {
    let (due, now) = (chase.reviews_due_at.0, chase.now.0);
    let when = if due < now { "passed".to_owned() } else { until(due, now) };
    screen.fields(&[
        ("call", format!("{}, {}", chase.code, chase.phase)),
        ("reviews due", format!("{} ({when})", zone.both(due))),
    ]);
    screen.heading("By reviewer");
    let mut table =
        Table::new(["REVIEWER", "ASSIGNED", "DECLARED", "KEY", "IN", "IN LATE", "LATE", "SET ASIDE", "DECLINED"]);
    for of in &chase.reviewers {
        let before = [of.assigned, of.declared, of.with_key, of.handed_in, of.handed_in_late];
        let numbers = before.into_iter().chain([of.late, of.set_aside, of.declined]);
        table.row(std::iter::once(of.reviewer.to_string()).chain(numbers.map(|number| number.to_string())));
    }
    screen.table(&table, "the call has no reviewers");
    screen.heading("By proposal");
    let mut table = Table::new(["PROPOSAL", "TITLE", "NEXT", "WHO"]).cutting("TITLE");
    for proposal in &chase.proposals {
        for Block { what, by } in &proposal.blocks {
            let named = screen.named(&proposal.reference, &proposal.proposal);
            let title = proposal.title.clone().unwrap_or_default();
            let who = by.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            table.row([named, title, what.in_words().to_owned(), who]);
        }
    }
    screen.table(&table, "nothing is open: every submitted proposal that you may know of is decided");
    let late = chase.proposals.iter().filter(|proposal| proposal.is_late).count();
    if late > 0 {
        let said = format!("{} a late review", counted(late as u64, "proposal has", "proposals have"));
        screen.styled(&[(Style::Yellow, &said)]);
    }
}

/// How far a call is: the counts, and a bar for each step.
pub(in crate::cli) fn show_progress(screen: &mut Screen, progress: &Progress, steps: &[CallStep]) {
    let proposals = progress.proposals.iter().map(|(status, count)| format!("{count} {status}"));
    let proposals: Vec<String> = proposals.collect();
    let reviews = match progress.reopened {
        0 => progress.reviews.to_string(),
        reopened => format!("{}, and {reopened} reopened", progress.reviews),
    };
    screen.fields(&[
        ("phase", progress.phase.to_string()),
        ("proposals", if proposals.is_empty() { "none".to_owned() } else { proposals.join(", ") }),
        ("assignments", progress.assignments.to_string()),
        ("reviews", reviews),
        ("decided", progress.decided.to_string()),
    ]);
    if steps.is_empty() {
        return;
    }
    screen.gap();
    let width = steps.iter().map(|step| step.step.len()).max().unwrap_or_default();
    for CallStep { step, done, of } in steps {
        let full = bar(*done, *of);
        let style = if done == of { Style::Green } else { Style::Plain };
        let (done_part, rest) = ("#".repeat(full), ".".repeat(BAR - full));
        let count = format!("  {done} of {of}");
        screen.styled(&[
            (Style::Plain, &format!("{step:width$}  ")),
            (style, &done_part),
            (Style::Dim, &rest),
            (Style::Plain, &count),
        ]);
    }
}

/// How many columns of a bar are full: all of them only if everything is done, and none only if nothing is.
fn bar(done: u32, of: u32) -> usize {
    if done >= of {
        return if of == 0 { 0 } else { BAR };
    }
    let full = u64::from(done) * BAR as u64 / u64::from(of);
    let full = usize::try_from(full).unwrap_or(BAR);
    if done == 0 { 0 } else { full.clamp(1, BAR - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_is_full_only_when_all_is_done_and_empty_only_when_nothing_is() {
        assert_eq!((bar(0, 0), bar(0, 5), bar(5, 5), bar(9, 5)), (0, 0, BAR, BAR));
        assert_eq!((bar(1, 1000), bar(999, 1000), bar(1, 2)), (1, BAR - 1, BAR / 2));
    }
}
