//! `entente log`: the entries of the exchange's log that the member may read, in sentences.

use super::{
    cell::TableCell,
    context::Context,
    error::{CliError, Result},
    key_card::instant_argument,
    output::Screen,
    rounds::pause,
    table::Table,
    time::Zone,
};
use crate::{
    client::{
        Client, ClientError,
        log::{
            EntriesLeftOut, LogFilter, LogReader, ReadEntries,
            names::{ProgramNames, ReaderNames},
            read_bookmark,
            words::sentence,
            write_bookmark,
        },
        naming::{CallName, ProposalName},
    },
    domain::{entry::EntryKind, id::MemberId, text::counted},
    wire::{entry::Entry, problem::Kind},
};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How many of the latest entries are shown if nobody says.
const LATEST: usize = 50;
/// So long the exchange may wait until there is something new.
const WAIT: Duration = Duration::from_secs(30);
/// An exchange that does not wait is asked no more often.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente log                   the latest 50 entries that you may read
  entente log --follow          the latest, then new ones as they come
  entente log --kind proposal.submitted --kind decision \\
      --since 2026-04-01T00:00:00Z
  entente log --proposal BIRD26-48179 --member ISR:avi --all
  entente log --kind key-card   what registrars did: key_card.published
  entente --json log --bookmark seen.txt   what is new since the last run
  entente --json log --follow --limit 0 --kind proposal | jq -r .proposal

Entries are numbered over the whole exchange. A gap only means that something happened that you may not know of. \
Vaults and the keys to them are left out unless you ask for them. What you may read only later, because a call opens or \
you get a role, does not come after a bookmark that has passed it.")]
pub struct LogArgs {
    /// Only entries of this kind, such as `proposal.submitted`, or of all that begin so, such as `proposal`; may be
    /// given several times
    #[arg(long, value_name = "KIND", value_parser = kind_argument)]
    kind: Vec<Kinds>,
    /// Only entries about this call and its proposals
    #[arg(long, value_name = "CALL")]
    call: Vec<CallName>,
    /// Only entries about this proposal
    #[arg(long, value_name = "PROPOSAL")]
    proposal: Vec<ProposalName>,
    /// Only entries that this member made or is named in
    #[arg(long, value_name = "MEMBER")]
    member: Vec<MemberId>,
    /// Only entries from this instant on, such as `2026-04-01T15:00:00Z` or `2026-04-01 17:00 Asia/Seoul`
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
    since: Option<Timestamp>,
    /// Only entries up to this instant
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument, conflicts_with_all = ["follow", "bookmark"])]
    until: Option<Timestamp>,
    /// Show vaults and the keys to them as well
    #[arg(long)]
    keys: bool,
    /// Show this many of the latest entries [default: 50, and all with `--since` or `--bookmark`]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Show every entry
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on showing new entries until interrupted; with `--json` one entry a line
    #[arg(long, short)]
    follow: bool,
    /// Begin after the bookmark in this file, if it is there, and leave the new one in it once everything is shown; with
    /// `--limit` it says which entries it passed
    #[arg(long, value_name = "FILE")]
    bookmark: Option<PathBuf>,
}

impl LogArgs {
    /// Whether only an interruption ends it.
    pub(super) fn is_endless(&self) -> bool {
        self.follow
    }

    async fn filter(&self, client: &Client) -> Result<LogFilter> {
        let (mut calls, mut proposals) = (BTreeSet::new(), BTreeSet::new());
        for call in &self.call {
            calls.insert(client.find_call(call).await?);
        }
        for proposal in &self.proposal {
            proposals.insert(client.find_proposal(proposal).await?.id);
        }
        Ok(LogFilter {
            kinds: self.kind.iter().flat_map(|kinds| kinds.0.iter().copied()).collect(),
            with_keys: self.keys,
            calls,
            proposals,
            members: self.member.iter().cloned().collect(),
            since: self.since,
            until: self.until,
        })
    }

    /// How many of the latest entries are shown.
    fn keep(&self) -> usize {
        let is_about_all = self.all || self.since.is_some() || self.bookmark.is_some();
        self.limit.unwrap_or(if is_about_all { usize::MAX } else { LATEST })
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

/// Entries, and where to go on.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    items: &'a VecDeque<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bookmark: Option<&'a str>,
}

/// Runs the command.
pub(super) async fn run(args: LogArgs, context: &Context) -> Result<()> {
    if args.follow && context.out.is_csv() {
        return Err(
            CliError::usage("a log that goes on has no table").help("use `--json`, which prints one entry a line")
        );
    }
    let client = context.client().await?;
    let zone = context.zone()?;
    let bookmark = match &args.bookmark {
        Some(path) => read_bookmark(path)?,
        None => None,
    };
    let goes_on = bookmark.is_some();
    let mut reader = LogReader::new(args.filter(&client).await?, bookmark);
    let first = reader.rest(client.api(), args.keep(), Duration::ZERO).await;
    let ReadEntries { entries, left_out } = first.map_err(|error| refused_bookmark(error, args.bookmark.as_deref()))?;
    let programs = programs(context, &client, &entries).await;
    if args.follow {
        context.out.note(&format!("times are in {}", zone.name()));
        show_each(context, &entries, &programs, &zone)?;
    } else {
        let listed = Listed { items: &entries, bookmark: reader.bookmark() };
        context.out.answer(&listed, |screen| lines(screen, &entries, &programs, &zone))?;
    }
    match left_out {
        // Programs hear that too: what comes after the new bookmark has none of them.
        Some(left_out) if goes_on => context.out.warn(&passed(&left_out)),
        Some(left_out) if args.limit.is_none() || args.bookmark.is_some() => {
            let earlier = counted(left_out.count, "earlier entry is", "earlier entries are");
            context.out.note(&format!("{earlier} left out; `--all` shows everything"));
        }
        _ => {}
    }
    let keep_place = |reader: &LogReader| match (&args.bookmark, reader.bookmark()) {
        (Some(path), Some(bookmark)) => write_bookmark(path, bookmark),
        _ => Ok(()),
    };
    keep_place(&reader)?;
    if !args.follow {
        return Ok(());
    }
    let mut failures = 0_u32;
    loop {
        let asked_at = Instant::now();
        let new = match reader.rest(client.api(), usize::MAX, WAIT).await {
            Ok(read) => read.entries,
            // The exchange is started again, or the line is broken: it is said once, and the log goes on where it was.
            Err(error) if error.is_passing() => {
                if failures == 0 {
                    let error = CliError::from(error);
                    context.out.warn(&format!("{}; the log goes on once the exchange answers", error.message));
                }
                failures = failures.saturating_add(1);
                tokio::time::sleep(pause(PAUSE, failures, &*context.ambient.rng)).await;
                continue;
            }
            Err(error) => return Err(refused_bookmark(error, args.bookmark.as_deref())),
        };
        if std::mem::take(&mut failures) > 0 {
            context.out.note("the exchange answers again");
        }
        context.warn_of_exchange().await?;
        show_each(context, &new, &self::programs(context, &client, &new).await, &zone)?;
        keep_place(&reader)?;
        if new.is_empty() {
            tokio::time::sleep(PAUSE.saturating_sub(asked_at.elapsed())).await;
        }
    }
}

/// A bookmark that is refused: there is nothing to go on from, and the reader says where to begin again.
fn refused_bookmark(error: ClientError, bookmark: Option<&Path>) -> CliError {
    let is_refused = error.slug() == Some(Kind::BadCursor.slug());
    match bookmark {
        Some(path) if is_refused => CliError::usage(format!(
            "the exchange does not take the bookmark in `{}`: it is for the member who got it and for the kinds that were asked for, and \
             a log that was restored may end before it",
            path.display()
        ))
        .help("remove the file, and the log is read from its beginning; or name another one with `--bookmark`"),
        _ => error.into(),
    }
}

/// Which entries between the old bookmark and the new one are not shown, and how to see them.
fn passed(EntriesLeftOut { count, first, since, last }: &EntriesLeftOut) -> String {
    let entries = counted(*count, "entry", "entries");
    let (which, them) = match count {
        1 => (format!("{entries} after the bookmark, number {first}, is"), "it"),
        _ => (format!("{entries} after the bookmark, numbers {first} to {last}, are"), "them"),
    };
    format!(
        "{which} not shown because of `--limit`, and the new bookmark is after {them}: `--since {since}` in place of `--bookmark` and \
         `--limit` shows {them}"
    )
}

/// What the programs are called that entries are about. It is asked only for people.
async fn programs(context: &Context, client: &Client, entries: &VecDeque<Entry>) -> ProgramNames {
    if context.out.is_json() { ProgramNames::new() } else { client.programs_of(entries).await }
}

fn show_each(context: &Context, entries: &VecDeque<Entry>, programs: &ProgramNames, zone: &Zone) -> Result<()> {
    entries.iter().try_for_each(|entry| {
        context.out.answer(entry, |screen| {
            let (place, said) = line(entry, programs, zone);
            screen.fields(&[(&place, said)]);
        })
    })
}

/// Entries, each as a sentence behind its number and time.
pub(super) fn lines<'e>(
    screen: &mut Screen,
    entries: impl IntoIterator<Item = &'e Entry>,
    programs: &ProgramNames,
    zone: &Zone,
) {
    if screen.is_csv() {
        return table(screen, entries, programs, zone);
    }
    let said: Vec<_> = entries.into_iter().map(|entry| line(entry, programs, zone)).collect();
    if said.is_empty() {
        return screen.line("no entries");
    }
    screen.zone(zone.name());
    screen.gap();
    let fields: Vec<(&str, String)> = said.iter().map(|(place, said)| (place.as_str(), said.clone())).collect();
    screen.fields(&fields);
}

/// The same as a table, for programs.
fn table<'e>(screen: &mut Screen, entries: impl IntoIterator<Item = &'e Entry>, programs: &ProgramNames, zone: &Zone) {
    let mut table = Table::new(["NUMBER", "AT", "KIND", "BY", "CALL", "PROPOSAL", "WHAT"]);
    for entry in entries {
        let call = entry.code.as_ref().map(ToString::to_string).or_else(|| entry.call.map(|id| id.to_string()));
        let proposal = entry.reference.as_ref().map(ToString::to_string);
        let proposal = proposal.or_else(|| entry.proposal.map(|id| id.to_string()));
        let (number, by) = (entry.seq.to_string(), entry.actor.as_ref().map(ToString::to_string));
        let about =
            [Some(entry.kind.to_string()), by, call, proposal].map(|name| TableCell::from(name.unwrap_or_default()));
        let said = zone.cell_of(|instant| sentence(entry, &ReaderNames { instant, programs }));
        table.row([number.into(), zone.cell(entry.at.0)].into_iter().chain(about).chain([said]));
    }
    screen.table(&table, "no entries");
}

/// Number and time, and the sentence.
fn line(entry: &Entry, programs: &ProgramNames, zone: &Zone) -> (String, String) {
    let names = ReaderNames { instant: &|at| zone.here(at), programs };
    (format!("{:>6}  {}", entry.seq, zone.here(entry.at.0)), sentence(entry, &names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_a_word_of_the_log_or_what_it_begins_with() {
        assert_eq!(kind_argument("key-card").unwrap().0, [EntryKind::KeyCardPublished]);
        assert_eq!(kind_argument("decision.final").unwrap().0, [EntryKind::DecisionFinal]);
        assert!(kind_argument("dec").unwrap_err().contains("decision, document"));
    }

    #[test]
    fn entries_between_bookmarks_that_are_not_shown_are_named() {
        let since = "2026-04-01T15:00:00Z".parse().unwrap();
        let said = passed(&EntriesLeftOut { count: 12, first: 5, since, last: 19 });
        assert!(said.starts_with("12 entries after the bookmark, numbers 5 to 19, are not shown"), "{said}");
        assert!(said.contains("`--since 2026-04-01T15:00:00Z` in place of"), "{said}");
    }

    #[test]
    fn entry_is_a_sentence_behind_its_number_and_the_time_in_one_zone() {
        let entry: Entry = serde_json::from_value(serde_json::json!({
            "seq": 7, "at": "2026-04-01T15:00:00Z", "kind": "key_card.published", "actor": "ISR:registrar",
            "payload": serde_json::json!({
                "member": "ISR:avi", "serial": 2, "is_active": true, "key_card_sha256": "ab".repeat(32),
            }).to_string(),
            "salt": "",
        }))
        .unwrap();
        let (none, zone) = (ProgramNames::new(), Zone::named("Asia/Seoul").unwrap());
        let said = line(&entry, &none, &zone);
        let (table, _) = Screen::shown_as_csv(|screen| lines(screen, [&entry], &none, &zone));
        let row =
            "7,2026-04-01T15:00:00Z,key_card.published,ISR:registrar,,,ISR:registrar issued key card 2 of ISR:avi";
        assert_eq!(table, format!("NUMBER,AT,KIND,BY,CALL,PROPOSAL,WHAT\r\n{row}\r\n"));
        assert_eq!(
            said,
            ("     7  2026-04-02 00:00".to_owned(), "ISR:registrar issued key card 2 of ISR:avi".to_owned())
        );
    }
}
