//! `/log`: what happened, in sentences, as far as the member may know. The latest entries, or all of some kinds.

use super::{
    fields::Fields,
    frame::{Frame, Section, Visit},
    home::{NewsRow, row},
    words::{self, Trouble},
};
use crate::{
    client::{
        ClientError, Result,
        log::{LogFilter, LogReader},
        naming::{CallName, ProposalName},
    },
    domain::{entry::EntryKind, text::counted},
    wire::entry::Entry,
};
use askama::Template;
use axum::response::Response;
use std::time::Duration;

/// So many entries are on a page.
const SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
    zone: String,
    kinds: Vec<(&'static str, bool)>,
    about: String,
    with_keys: bool,
    rows: Vec<NewsRow>,
    /// What is left out.
    earlier: Option<String>,
    is_reading: bool,
    /// What is wrong with what was asked for.
    trouble: Option<Trouble>,
}

/// What is asked for.
#[derive(Debug)]
struct LogQuery {
    kind: String,
    /// A proposal or a call.
    about: String,
    with_keys: bool,
}

impl LogQuery {
    fn read(fields: &Fields) -> Self {
        let [kind, about] = ["kind", "about"].map(|name| fields.get(name).to_owned());
        Self { kind, about, with_keys: !fields.get("keys").is_empty() }
    }

    fn is_all(&self) -> bool {
        self.kind.is_empty() && self.about.is_empty() && !self.with_keys
    }
}

/// Shows the log.
pub(super) async fn show(visit: Visit, fields: Fields) -> Response {
    let made = log(&visit, LogQuery::read(&fields)).await;
    visit.answer(Section::Log, made).await
}

async fn log(visit: &Visit, asked: LogQuery) -> Result<LogPage> {
    let unlocked = &visit.unlocked;
    let (mut trouble, mut is_reading) = (None, false);
    let (entries, left_out) = if asked.is_all() {
        match unlocked.log.try_lock() {
            Ok(mut reader) => {
                reader.read_on(&unlocked.client).await?;
                let latest = reader.latest(SHOWN);
                (latest.entries, latest.earlier)
            }
            Err(_) => {
                is_reading = true;
                (Vec::new(), 0)
            }
        }
    } else {
        // What was typed stays in the form, with what is wrong with it.
        filtered(visit, &asked).await.unwrap_or_else(|error| {
            trouble = Some(words::trouble(&error));
            (Vec::new(), 0)
        })
    };
    let programs = unlocked.client.programs_of(&entries).await;
    let now = unlocked.client.exchange_now();
    let families = EntryKind::families().into_iter().map(|family| (family, family == asked.kind));
    Ok(LogPage {
        frame: visit.frame(Section::Log, "Log").await,
        zone: unlocked.zone.name().to_owned(),
        kinds: families.collect(),
        rows: entries.iter().map(|entry| row(entry, &programs, now, &unlocked.zone)).collect(),
        earlier: (left_out > 0)
            .then(|| counted(left_out, "earlier entry is not shown", "earlier entries are not shown")),
        about: asked.about,
        with_keys: asked.with_keys,
        is_reading,
        trouble,
    })
}

/// The latest entries of those that are asked for, newest first, and how many came before them.
async fn filtered(visit: &Visit, asked: &LogQuery) -> Result<(Vec<Entry>, u64)> {
    let client = &visit.unlocked.client;
    let mut filter = LogFilter { with_keys: asked.with_keys, ..LogFilter::default() };
    if !asked.kind.is_empty() {
        let kinds = EntryKind::named(&asked.kind);
        if kinds.is_empty() {
            let what = format!("the log has no entries of a kind “{}”", asked.kind);
            return Err(ClientError::usage(what, "choose one of the list"));
        }
        filter.kinds = kinds.into_iter().collect();
    }
    if !asked.about.is_empty() {
        // A reference names a proposal, a code a call. Where neither is right, what is said of a proposal is more of a help.
        match asked.about.parse::<CallName>() {
            Ok(name @ CallName::Code(_)) => drop(filter.calls.insert(client.find_call(&name).await?)),
            _ => {
                let name: ProposalName = asked.about.parse().map_err(|_| {
                    ClientError::usage(
                        format!("“{}” is neither a reference nor the code of a call", asked.about),
                        "write it like `BIRD26-48179` or `BIRD26`",
                    )
                })?;
                filter.proposals.insert(client.find_proposal(&name).await?.id);
            }
        }
    }
    let mut reader = LogReader::new(filter, None);
    let read = reader.rest(client.api(), SHOWN, Duration::ZERO).await?;
    let left_out = read.left_out.map_or(0, |left_out| left_out.count);
    Ok((read.entries.into_iter().rev().collect(), left_out))
}
