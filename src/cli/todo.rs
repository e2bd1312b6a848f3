//! `entente todo`: what waits for the member, by due date, each item with the command that does it.

use super::{
    cell::TableCell,
    context::Context,
    error::Result,
    output::{Screen, Style, clean},
    table::{Table, cut},
    time::{Zone, until},
};
use crate::{
    client::inbox::{Todo, TodoItem},
    domain::inbox::ItemKind,
};
use clap::Args;
use jiff::Timestamp;

/// The width of a terminal that a line is made for.
const WIDTH: usize = 80;

/// Show what waits for you, when it is due, and the command for it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente todo
  entente todo --kind declare --kind review
  entente --json todo | jq -r '.items[] | [.kind, .due_at, .command] | @tsv'

Kinds: invited, void (sign again, since an amendment), sign, bytes_missing, deadline_near, sign_label, read_letter, declare, \
pass_keys, declined (a reviewer declined: assign another), read, review, sign_decision, approve_policy, card_expiring, renew_members.

Before you declare, look at who takes part; then `entente conflict declare` with `--none` or the ground.

The exchange finds it at the moment you ask, by the same policies that decide on each act. Nothing is opened for it; \
titles that were opened on this machine are shown while `entente unlock` holds your keys.")]
pub struct TodoArgs {
    /// Only what is of this kind; may be given several times
    #[arg(long, value_name = "KIND")]
    kind: Vec<ItemKind>,
}

/// Runs the command.
pub(super) async fn run(args: TodoArgs, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let mut todo = client.todo().await?;
    let all = todo.items.len();
    if !args.kind.is_empty() {
        todo.items.retain(|item| args.kind.contains(&item.item.kind));
    }
    let zone = context.zone()?;
    context.out.answer(&todo, |screen| {
        if todo.items.is_empty() && all > 0 {
            screen.line("Nothing of that kind waits for you; `entente todo` shows the rest.");
        } else {
            show(screen, &todo, &zone);
        }
    })
}

/// One line an item, and when something comes next where nothing waits.
pub(super) fn show(screen: &mut Screen, todo: &Todo, zone: &Zone) {
    let now = todo.now.0;
    if todo.items.is_empty() {
        screen.line("Nothing waits for you.");
    }
    if screen.is_csv() {
        items(screen, todo, zone);
    } else {
        lines(screen, todo, zone);
    }
    if todo.more {
        screen.styled(&[(Style::Yellow, "More waits than is shown; it comes up as you do what is here.")]);
    }
    if todo.items.is_empty()
        && let Some(next) = &todo.next_deadline
    {
        screen.line(&next_deadline(next.at.0, now, &next.code.to_string(), zone));
    }
}

/// A table of them, for programs.
fn items(screen: &mut Screen, todo: &Todo, zone: &Zone) {
    let mut table = Table::new(["DUE", "WHAT", "CALL", "PROPOSAL", "TITLE", "COMMAND"]);
    for TodoItem { item, what, command, title } in &todo.items {
        let due = item.due_at.map(|due| zone.cell(due.0)).unwrap_or_default();
        let call = item.code.as_ref().map(ToString::to_string).or_else(|| item.call.map(|id| id.to_string()));
        let proposal = item.reference.as_ref().map(ToString::to_string);
        let proposal = proposal.or_else(|| item.proposal.map(|id| id.to_string()));
        let about = [call, proposal, title.clone()].map(|name| TableCell::from(name.unwrap_or_default()));
        table.row([due, what.as_str().into()].into_iter().chain(about).chain([command.as_str().into()]));
    }
    screen.table(&table, "");
}

/// A line each, for people. The command stands on a second one where it does not fit, or where there is a title.
fn lines(screen: &mut Screen, todo: &Todo, zone: &Zone) {
    let now = todo.now.0;
    if todo.items.iter().any(|item| item.item.due_at.is_some()) {
        screen.zone(zone.name());
    }
    let due = |item: &TodoItem| item.item.due_at.map(|due| due.0);
    let width = |cell: &dyn Fn(&TodoItem) -> String| todo.items.iter().map(|item| cell(item).len()).max().unwrap_or(0);
    let day = |item: &TodoItem| due(item).map_or_else(|| "-".to_owned(), |due| zone.short(due, now));
    let left = |item: &TodoItem| due(item).map(|due| until(due, now)).unwrap_or_default();
    let what = |item: &TodoItem| item.what.clone();
    let (days, lefts, whats) = (width(&day), width(&left), width(&what));
    for item in &todo.items {
        let begin = format!("{:days$}  {:lefts$}  {:whats$}", day(item), left(item), what(item));
        let style = if due(item).is_some_and(|due| due <= now) { Style::Yellow } else { Style::Plain };
        if let Some(title) = &item.title {
            let title = cut(&clean(title), WIDTH.saturating_sub(begin.len() + 2));
            screen.styled(&[(style, &begin), (Style::Plain, &format!("  {title}"))]);
            screen.line(&format!("    {}", item.command));
        } else if begin.len() + 2 + item.command.len() <= WIDTH {
            screen.styled(&[(style, &begin), (Style::Plain, &format!("  {}", item.command))]);
        } else {
            screen.styled(&[(style, begin.trim_end())]);
            screen.line(&format!("    {}", item.command));
        }
    }
}

fn next_deadline(at: Timestamp, now: Timestamp, call: &str, zone: &Zone) -> String {
    format!("The next deadline is {}, {}, of {call}.", zone.both(at), until(at, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::Cli,
        client::inbox::{BegunHere, in_words},
        wire::{
            Time,
            inbox::{InboxItem, NextDeadline},
        },
    };
    use clap::Parser;
    use unicode_width::UnicodeWidthStr;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn of_every_kind() -> Todo {
        let items = ItemKind::ALL.iter().map(|kind| {
            let item = InboxItem {
                kind: *kind,
                call: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().ok(),
                code: "BIRD26".parse().ok(),
                proposal: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().ok(),
                reference: "BIRD26-48179".parse().ok(),
                letter: "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().ok(),
                owner: "ISR".parse().ok(),
                version: Some(3),
                members: Some(12),
                due_at: Some(Time(at("2026-04-04T12:00:00Z"))),
                since: None,
            };
            in_words(item, &BegunHere::default())
        });
        let now = Time(at("2026-04-01T12:00:00Z"));
        Todo { items: items.collect(), more: false, next_deadline: None, now }
    }

    fn shown(todo: &Todo) -> String {
        let zone = Zone::named("Asia/Jerusalem").unwrap();
        Screen::shown_at(WIDTH, |screen| show(screen, todo, &zone)).0
    }

    #[test]
    fn command_of_every_item_is_one_that_parses() {
        for item in of_every_kind().items {
            Cli::try_parse_from(item.command.split(' ')).unwrap_or_else(|error| panic!("{}: {error}", item.command));
            let without = InboxItem { proposal: None, reference: None, ..item.item };
            if without.kind == ItemKind::PassKeys {
                let command = in_words(without, &BegunHere::default()).command;
                Cli::try_parse_from(command.split(' ')).unwrap_or_else(|error| panic!("{command}: {error}"));
            }
        }
    }

    #[test]
    fn lines_fit_a_terminal_and_say_when_in_the_readers_zone() {
        let text = shown(&of_every_kind());
        assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
        assert!(text.contains("4 Apr 15:00  in 3 days"), "{text}");
        let mut titled = of_every_kind();
        titled.items[2].title = Some("위성 없는 항법 ".repeat(9));
        let text = shown(&titled);
        assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
        assert!(text.contains("sign        위성 없는 항법"), "{text}");
        assert!(text.starts_with("times are in Asia/Jerusalem\n"), "{text}");
    }

    #[test]
    fn where_nothing_waits_the_next_deadline_is_named() {
        let call = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
        let next = NextDeadline { call, code: "BIRD26".parse().unwrap(), at: Time(at("2026-04-11T12:00:00Z")) };
        let todo = Todo { items: Vec::new(), next_deadline: Some(next), ..of_every_kind() };
        let text = shown(&todo);
        assert!(text.starts_with("Nothing waits for you.\n"), "{text}");
        assert!(text.contains("2026-04-11 12:00 UTC (15:00 Asia/Jerusalem), in 10 days"), "{text}");
    }
}
