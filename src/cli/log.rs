//! `entente log`: the entries of the exchange's log that the member may read.

use super::{
    context::{Context, whole},
    error::Result,
    output::Screen,
    table::Table,
    time::Zone,
};
use crate::{
    client::{api::Paging, pages::Pages},
    domain::entry::EntryKind,
    wire::{
        entry::Entry,
        page::{MAX_PAGE, Page},
    },
};
use clap::Args;
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente log                        the latest 50 entries that you may read
  entente log --all
  entente log --follow               the latest, then new ones as they come
  entente log --kind key-card        what registrars did: key_card.published
  entente log --kind proposal.submitted --kind decision
  entente --json log --follow --limit 0 --kind proposal | jq -r .proposal

Entries are numbered over the whole exchange. A gap only means that something happened that you may not know of.")]
pub struct LogArgs {
    /// Only entries of this kind, such as `proposal.submitted`, or of all that begin so, such as `proposal`; may be
    /// given several times
    #[arg(long, value_name = "KIND", value_parser = kind_argument)]
    kind: Vec<Kinds>,
    /// Show this many of the latest entries
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Show every entry
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on showing new entries until interrupted; with `--json` one entry a line
    #[arg(long, short)]
    follow: bool,
    /// Seconds between two looks when following
    #[arg(long, value_name = "SECONDS", default_value_t = 2, requires = "follow",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

impl LogArgs {
    /// Whether only an interruption ends it.
    pub(super) fn is_endless(&self) -> bool {
        self.follow
    }
}

/// The kinds that one word of the command line names.
#[derive(Debug, Clone)]
struct Kinds(Vec<EntryKind>);

/// A kind or a family of kinds; words are joined as one likes, `key-card` or `key_card`.
fn kind_argument(text: &str) -> Result<Kinds, String> {
    let kinds = EntryKind::named(&text.replace('-', "_"));
    if kinds.is_empty() {
        let families: Vec<&str> = EntryKind::families().into_iter().collect();
        return Err(format!("give one as the log shows it, or what it begins with: {}", families.join(", ")));
    }
    Ok(Kinds(kinds))
}

/// Where in the log a reader is: cursors are opaque, so the last page is read again and what was seen of it left out.
#[derive(Debug, Default)]
struct Reader {
    cursor: Option<String>,
    seen: u64,
}

/// Runs the command.
pub(super) async fn run(args: LogArgs, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let zone = context.zone()?;
    let kinds: BTreeSet<EntryKind> = args.kind.iter().flat_map(|kinds| kinds.0.iter().copied()).collect();
    let kinds: Vec<EntryKind> = kinds.into_iter().collect();
    let fetch = async |paging: Paging| client.api().entries(&kinds, &paging).await;
    let mut reader = Reader::default();
    let keep = if args.all { usize::MAX } else { args.limit };
    let latest = reader.rest(&fetch, keep).await?;
    if !args.follow {
        return context.out.answer(&whole(&latest), |screen| table(screen, &latest, &zone));
    }
    let show = |entry: &Entry| {
        context.out.answer(entry, |screen| {
            let line = cells(screen, entry, &zone).join("  ");
            screen.line(&line);
        })
    };
    latest.iter().try_for_each(show)?;
    loop {
        context.warn_of_exchange().await?;
        tokio::time::sleep(Duration::from_secs(args.interval)).await;
        reader.rest(&fetch, usize::MAX).await?.iter().try_for_each(show)?;
    }
}

impl Reader {
    /// Everything that was not seen yet, the latest `keep` of it, oldest first.
    async fn rest(
        &mut self,
        fetch: &impl AsyncFn(Paging) -> crate::client::Result<Page<Entry>>,
        keep: usize,
    ) -> Result<Vec<Entry>> {
        let (mut latest, mut pages) = (VecDeque::new(), Pages::default());
        loop {
            let page = fetch(Paging { cursor: self.cursor.clone(), limit: Some(MAX_PAGE) }).await?;
            for entry in page.items {
                if entry.seq > self.seen {
                    self.seen = entry.seq;
                    latest.push_back(entry);
                }
            }
            while latest.len() > keep {
                latest.pop_front();
            }
            match pages.follow(page.next)? {
                Some(next) => self.cursor = Some(next),
                None => return Ok(latest.into()),
            }
        }
    }
}

/// Entries, one a line.
pub(super) fn table(screen: &mut Screen, entries: &[Entry], zone: &Zone) {
    let mut table = Table::new(["SEQ", "AT", "KIND", "ACTOR", "ABOUT"]);
    for entry in entries {
        table.row(cells(screen, entry, zone));
    }
    screen.table(&table, "no entries");
}

fn cells(screen: &Screen, entry: &Entry, zone: &Zone) -> [String; 5] {
    let Entry { seq, at, kind, actor, program, call, proposal, reference, code, .. } = entry;
    let named = |name: Option<String>, id: String| match name {
        Some(name) => screen.named(&name, &id),
        None => id,
    };
    let about = proposal
        .map(|id| named(reference.as_ref().map(ToString::to_string), id.to_string()))
        .or_else(|| call.map(|id| named(code.as_ref().map(ToString::to_string), id.to_string())))
        .or_else(|| program.map(|id| id.to_string()));
    let actor = actor.as_ref().map_or("(operator)".to_owned(), ToString::to_string);
    [seq.to_string(), zone.both(at.0), kind.to_string(), actor, about.unwrap_or_else(|| detail(entry))]
}

/// What an entry without a call or proposal is about: the member or partner in its payload.
fn detail(entry: &Entry) -> String {
    let payload: serde_json::Value = serde_json::from_str(&entry.payload).unwrap_or_default();
    ["member", "partner"].iter().find_map(|key| payload[key].as_str()).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        serde_json::from_value(serde_json::json!({
            "seq": seq, "at": "2026-04-01T15:00:00Z", "kind": "key_card.published",
            "payload": "{\"member\":\"ISR:avi\"}", "salt": "",
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn follower_sees_each_entry_once_and_in_order() {
        let fetch = async |paging: Paging| {
            let from: u64 = paging.cursor.map_or(1, |cursor| cursor.parse().unwrap());
            let next = (from == 1).then(|| "3".to_owned());
            Ok(Page { items: (from..from + 2).map(entry).collect(), next })
        };
        let mut reader = Reader::default();
        let seen = |entries: Vec<Entry>| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
        assert_eq!(seen(reader.rest(&fetch, 3).await.unwrap()), [2, 3, 4]);
        assert!(reader.rest(&fetch, 3).await.unwrap().is_empty());
    }

    #[test]
    fn kind_is_a_word_of_the_log_or_what_it_begins_with() {
        assert_eq!(kind_argument("key-card").unwrap().0, [EntryKind::KeyCardPublished]);
        assert_eq!(kind_argument("decision.final").unwrap().0, [EntryKind::DecisionFinal]);
        assert!(kind_argument("dec").unwrap_err().contains("decision, document"));
    }

    #[test]
    fn entry_shows_whom_it_is_about() {
        let cells = cells(&Screen::default(), &entry(7), &Zone::utc());
        assert_eq!(cells, ["7", "2026-04-01 15:00 UTC", "key_card.published", "(operator)", "ISR:avi"]);
    }
}
