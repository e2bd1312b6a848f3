//! `/`: what waits for the member, which deadlines come, and what happened since they last looked.
//!
//! Each part is asked for beside the others, and one that cannot be had keeps none of the others away.

use super::{
    answer::see,
    fields::Fields,
    frame::{Frame, Section, Visit},
    words::{PagePart, SentencePiece, When, part, pieces},
};
use crate::{
    client::{
        Client, Result,
        deadlines::{DeadlineOf, deadlines},
        inbox::{Todo, TodoItem, in_a_sentence},
        log::{
            names::{ProgramNames, ReaderNames},
            words::sentence as log_sentence,
        },
        own_standing::StandingNote,
        zone::Zone,
    },
    domain::{name::visible, text::counted},
    wire::entry::Entry,
};
use askama::Template;
use axum::response::Response;
use jiff::Timestamp;

/// So many entries of the log are on the page.
const NEWS: usize = 12;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    zone: String,
    notices: Vec<Vec<SentencePiece>>,
    waiting: PagePart<WaitingItems>,
    deadlines: PagePart<Vec<DeadlineRow>>,
    news: PagePart<ShownNews>,
}

/// What waits.
struct WaitingItems {
    items: Vec<WaitingItem>,
    more: bool,
}

struct WaitingItem {
    due: Option<When>,
    what: String,
    call: String,
    reference: String,
    title: String,
    command: String,
}

struct DeadlineRow {
    when: When,
    of: &'static str,
    code: String,
    title: String,
}

struct ShownNews {
    entries: Vec<NewsRow>,
    earlier: u64,
    is_since_mark: bool,
    /// By which all of it is marked as seen.
    last: Option<u64>,
    /// Whether the log is still being read.
    is_reading: bool,
}

/// An entry of the log in words.
pub(super) struct NewsRow {
    pub(super) number: u64,
    pub(super) when: When,
    pub(super) said: Vec<SentencePiece>,
}

impl ShownNews {
    fn earlier_said(&self) -> String {
        counted(self.earlier, "earlier entry", "earlier entries")
    }

    /// How many the button marks.
    fn all_said(&self) -> String {
        counted(self.earlier + self.entries.len() as u64, "entry", "entries")
    }
}

/// The first page.
pub(super) async fn show(visit: Visit) -> Response {
    let client = &visit.unlocked.client;
    let zone = &visit.unlocked.zone;
    let (frame, standing, waiting, calls, news) = tokio::join!(
        visit.frame(Section::Home, "Home"),
        client.own_standing(zone),
        client.todo(),
        client.api().all_calls(),
        news(&visit),
    );
    let now = client.exchange_now();
    let mut notices = exchange_notices(client).await;
    if let Ok(Some(StandingNote::Warning(note) | StandingNote::Hint(note))) = standing.map(|standing| standing.note) {
        notices.insert(0, pieces(&note));
    }
    let deadlines = calls.map(|calls| {
        let coming = deadlines(&calls, now).into_iter().map(|deadline| DeadlineRow {
            when: When::new(deadline.at, now, zone),
            of: match deadline.of {
                DeadlineOf::Proposals => "proposals",
                DeadlineOf::Reviews => "reviews",
            },
            code: deadline.code.to_string(),
            title: visible(&deadline.title),
        });
        coming.collect()
    });
    let page = HomePage {
        frame,
        zone: zone.name().to_owned(),
        notices,
        waiting: part(waiting.map(|todo| items(todo, zone))),
        deadlines: part(deadlines),
        news: part(news),
    };
    visit.answer(Section::Home, Ok(page)).await
}

/// Marks what the page shows of the log as seen.
pub(super) async fn seen(visit: Visit, fields: Fields) -> Response {
    let done = match fields.get("last").parse() {
        // What came since is shown first.
        Ok(last) => visit.unlocked.news.lock().await.mark(&visit.unlocked.client, last).map(drop),
        Err(_) => Ok(()),
    };
    visit.acted(Section::Home, done.map(|()| see("/#news"))).await
}

/// Clocks that are apart, and an exchange that shows an older state than this machine has seen.
async fn exchange_notices(client: &Client) -> Vec<Vec<SentencePiece>> {
    let mut notices = Vec::new();
    notices.extend(client.api().transport().clock().apart().as_deref().map(pieces));
    match client.older_states().await {
        Ok(older) => notices.extend(older.into_iter().map(|older| pieces(&older.notice))),
        Err(error) => notices.push(pieces(&error.to_string())),
    }
    notices
}

fn items(todo: Todo, zone: &Zone) -> WaitingItems {
    let now = todo.now.0;
    let shown = |TodoItem { item, command, title, .. }: TodoItem| WaitingItem {
        due: item.due_at.map(|due| When::new(due.0, now, zone)),
        what: in_a_sentence(&item),
        call: item.code.as_ref().map(ToString::to_string).unwrap_or_default(),
        reference: item.reference.as_ref().map(ToString::to_string).unwrap_or_default(),
        title: title.as_deref().map(visible).unwrap_or_default(),
        command,
    };
    WaitingItems { more: todo.more, items: todo.items.into_iter().map(shown).collect() }
}

async fn news(visit: &Visit) -> Result<ShownNews> {
    let unlocked = &visit.unlocked;
    // The first reading may be long, and goes on beside the pages.
    let Ok(mut reader) = unlocked.news.try_lock() else {
        return Ok(ShownNews { entries: Vec::new(), earlier: 0, is_since_mark: false, last: None, is_reading: true });
    };
    reader.read_on(&unlocked.client).await?;
    let news = reader.news(NEWS);
    drop(reader);
    let programs = unlocked.client.programs_of(&news.entries).await;
    let now = unlocked.client.exchange_now();
    Ok(ShownNews {
        last: news.last,
        earlier: news.earlier,
        is_since_mark: news.is_since_mark,
        entries: news.entries.iter().map(|entry| row(entry, &programs, now, &unlocked.zone)).collect(),
        is_reading: false,
    })
}

/// An entry for a reader.
pub(super) fn row(entry: &Entry, programs: &ProgramNames, now: Timestamp, zone: &Zone) -> NewsRow {
    let said = log_sentence(entry, &ReaderNames { instant: &|at| zone.here(at), programs });
    NewsRow { number: entry.seq, when: When::new(entry.at.0, now, zone), said: pieces(&said) }
}
