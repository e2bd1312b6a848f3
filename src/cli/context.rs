//! What every command is given: where to print, which member to be, whose clock to trust.

use super::{
    error::{CliError, Result},
    output::Out,
    progress::{Interrupted, Meter},
    prompt::Keyboard,
    time::Zone,
};
use crate::{
    client::{Ambient, Client, Home, Profile, ProgressListener, api::Paging, pages::Pages, unlock::KeyHolder},
    domain::{id::PartnerCode, label::Label},
    wire::page::{MAX_PAGE, Page},
};
use clap::{Args, builder::FalseyValueParser};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Act as the member of this profile
    #[arg(long, global = true, env = "ENTENTE_PROFILE", value_name = "NAME", help_heading = "Global options")]
    pub profile: Option<String>,
    /// Folder with profiles, pinned partners and drafts [default: ~/.config/entente; on Windows %LOCALAPPDATA%\entente]
    #[arg(long, global = true, env = "ENTENTE_HOME", value_name = "DIR", help_heading = "Global options")]
    pub home: Option<PathBuf>,
    /// Show times in this IANA zone; single things show UTC as well [default: the profile's, else your partner's]
    #[arg(long, global = true, env = "ENTENTE_ZONE", value_name = "ZONE", help_heading = "Global options")]
    pub zone: Option<String>,
    /// File whose first line is the passphrase of your identity, for scripts
    #[arg(long, global = true, env = "ENTENTE_PASSPHRASE_FILE", value_name = "FILE", help_heading = "Global options")]
    pub passphrase_file: Option<PathBuf>,
    /// Ask for passphrases, even if `entente unlock` holds your keys
    #[arg(long, global = true, env = "ENTENTE_NO_UNLOCK", value_parser = FalseyValueParser::new(), help_heading = "Global options")]
    pub no_unlock: bool,
    /// Print JSON: answers on standard output, problems and progress on standard error
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print the tables of the answer alone, as CSV; all else goes to standard error
    ///
    /// By RFC 4180, in UTF-8, under the headings that people see: every column in full, times in UTC, sizes in bytes. A second
    /// table follows after an empty line. A cell that a spreadsheet would take for a formula begins with `'`. A command whose
    /// answer has no table is refused before it does anything.
    #[arg(long, global = true, help_heading = "Global options")]
    pub csv: bool,
    /// Show identifiers beside references, codes and names
    #[arg(long, global = true, help_heading = "Global options")]
    pub ids: bool,
    /// Print answers only: no notes, no progress
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub quiet: bool,
}

/// What a command works with.
#[derive(Debug, Clone)]
pub struct Context {
    pub out: Out,
    pub global: Global,
    pub ambient: Ambient,
    pub interrupted: Arc<Interrupted>,
    /// The client in use, for what is to be said of what it met.
    client: Arc<Mutex<Option<Client>>>,
    keyboard: Keyboard,
    said: Arc<Mutex<ShownWarnings>>,
}

/// Whether keys that `entente unlock` holds are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unlocked {
    IsUsed,
    IsLeft,
}

/// What was said of the exchange's clock and state, by whichever client met it: once, however long a command runs.
#[derive(Debug, Default)]
struct ShownWarnings {
    of_the_clock: bool,
    of_states: BTreeSet<String>,
    has_gone_back: bool,
}

/// A list stops after so many if nothing else is said.
const USUAL_LIST: u32 = 100;

impl Context {
    /// The context of a command on this machine.
    pub fn new(out: Out, global: Global) -> Self {
        Self {
            out,
            keyboard: Keyboard::new(global.passphrase_file.clone()),
            global,
            ambient: Ambient::system(),
            interrupted: Arc::default(),
            client: Arc::default(),
            said: Arc::default(),
        }
    }

    /// The member's folder.
    pub fn home(&self) -> Result<Home> {
        Ok(Home::locate(self.global.home.as_deref())?)
    }

    /// Whom to ask for passphrases.
    pub fn keyboard(&self) -> Keyboard {
        self.keyboard.clone()
    }

    /// The way to the exchange as the member of the chosen profile.
    ///
    /// # Errors
    /// Among others when its private key needs a passphrase that nobody gives.
    pub async fn client(&self) -> Result<Client> {
        self.connected(self.keyboard(), Unlocked::IsUsed).await
    }

    /// The same, with this keyboard to ask for all passphrases: for a process that outlives what `entente unlock` holds.
    pub(super) async fn client_asking(&self, keyboard: Keyboard) -> Result<Client> {
        self.connected(keyboard, Unlocked::IsLeft).await
    }

    /// The same, on the caller's thread.
    pub(super) fn new_client(&self, keyboard: Keyboard) -> Result<Client> {
        self.connect(keyboard, Unlocked::IsLeft)
    }

    async fn connected(&self, keyboard: Keyboard, unlocked: Unlocked) -> Result<Client> {
        // On a thread of its own: a person may be asked for a passphrase, and an interruption is heard meanwhile.
        let context = self.clone();
        tokio::task::spawn_blocking(move || context.connect(keyboard, unlocked)).await.map_err(CliError::failed)?
    }

    fn connect(&self, keyboard: Keyboard, unlocked: Unlocked) -> Result<Client> {
        let home = self.home()?;
        let profile = home.profile(self.global.profile.as_deref())?;
        let out = self.out.clone();
        let holder = match unlocked {
            Unlocked::IsUsed if !self.global.no_unlock => self.key_holder(&home, &profile),
            _ => None,
        };
        let client = Client::with_holder(home, profile, keyboard, self.ambient.clone(), holder)?;
        let client = client.on_warning(move |sentence| out.warn(sentence));
        *self.in_use() = Some(client.clone());
        Ok(client)
    }

    /// What holds the keys of a profile. Where it does not answer as it should, passphrases are asked for.
    fn key_holder(&self, home: &Home, profile: &Profile) -> Option<Arc<KeyHolder>> {
        KeyHolder::find(home, &profile.name).unwrap_or_else(|error| {
            self.out.warn(&format!("{error}; {}", error.help()));
            None
        })
    }

    /// The instant by the exchange's clock, as far as it has answered: deadlines go by it.
    pub fn exchange_now(&self) -> Timestamp {
        self.in_use().as_ref().map_or_else(|| self.now(), Client::exchange_now)
    }

    /// Says what a command has met that concerns all of them, once it is done. That the exchange has gone back is an error, although
    /// the command did what it was asked.
    pub async fn last_words(&self) -> Result<()> {
        self.warn_of_exchange().await?;
        if !self.has_gone_back() {
            return Ok(());
        }
        let error = CliError::unverified("the exchange shows an older state than this machine saw before");
        Err(error.help("what was asked is done; the warnings above say what went back, and do not rely on it before it is explained"))
    }

    /// Warns of clocks that are apart and of an exchange that has gone back, as far as that was not said yet. A command that goes on
    /// and on says it after each round.
    pub async fn warn_of_exchange(&self) -> Result<()> {
        let Some(client) = self.in_use().clone() else { return Ok(()) };
        if let Some(apart) = client.api().transport().clock().apart()
            && !std::mem::replace(&mut self.said().of_the_clock, true)
        {
            self.out.warn(&apart);
        }
        for older in client.older_states().await? {
            let mut said = self.said();
            said.has_gone_back |= !older.may_be_in_order;
            if said.of_states.insert(older.subject) {
                self.out.warn(&older.notice);
            }
        }
        Ok(())
    }

    /// Whether the exchange showed an older state than this machine saw before.
    pub fn has_gone_back(&self) -> bool {
        self.said().has_gone_back
    }

    fn said(&self) -> MutexGuard<'_, ShownWarnings> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_use(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a process reports, with the instant: one line of JSON each.
    pub(super) fn stamped(&self, event: &impl serde::Serialize) -> Result<Value> {
        let mut value = serde_json::to_value(event).map_err(CliError::failed)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("at".to_owned(), json!(self.now()));
        }
        Ok(value)
    }

    /// The instant by this machine's clock.
    pub fn now(&self) -> Timestamp {
        self.ambient.clock.now()
    }

    /// The reader's zone: what was asked for, the profile's, that of the reader's partner, else UTC.
    pub fn zone(&self) -> Result<Zone> {
        if let Some(name) = &self.global.zone {
            return Ok(Zone::named(name)?);
        }
        let home = self.home()?;
        let Ok(profile) = home.profile(self.global.profile.as_deref()) else { return Ok(Zone::utc()) };
        Ok(home.reader_zone(&profile)?)
    }

    /// The zones of partners, from their pinned cards; partners that are not pinned are left out.
    pub fn zones_of<'a>(
        &self,
        partners: impl IntoIterator<Item = &'a PartnerCode>,
    ) -> Result<Vec<(PartnerCode, String)>> {
        let home = self.home()?;
        let mut zones = Vec::new();
        for partner in partners {
            if let Some(pinned) = home.pinned(partner)? {
                zones.push((partner.clone(), pinned.card.zone));
            }
        }
        Ok(zones)
    }

    /// Shows the progress of a file.
    pub fn meter(&self, label: impl Into<String>) -> Arc<dyn ProgressListener> {
        Arc::new(Meter::new(&self.out, label, &self.interrupted))
    }
}

/// How much of a list to fetch.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Stop after this many [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Fetch everything
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// Go on after an earlier list, from its `next`
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

impl ListArgs {
    /// Fetches page after page until there is enough.
    pub async fn collect<T>(&self, fetch: impl AsyncFn(Paging) -> crate::client::Result<Page<T>>) -> Result<Page<T>> {
        let (mut list, mut pages) = (Page { items: Vec::new(), next: self.cursor.clone() }, Pages::default());
        loop {
            let had = u32::try_from(list.items.len()).unwrap_or(u32::MAX);
            let missing = if self.all { MAX_PAGE } else { self.most().saturating_sub(had).min(MAX_PAGE) };
            if missing == 0 {
                return Ok(list);
            }
            let page = fetch(Paging { cursor: list.next.take(), limit: Some(missing) }).await?;
            list.items.extend(page.items);
            list.next = pages.follow(page.next)?;
            if list.next.is_none() {
                return Ok(list);
            }
        }
    }

    fn most(&self) -> u32 {
        self.limit.unwrap_or(USUAL_LIST)
    }

    /// Whether it begins with the first of all.
    pub fn is_from_the_start(&self) -> bool {
        self.cursor.is_none()
    }

    /// Says how to go on when there is more.
    pub fn note_more<T>(&self, out: &Out, list: &Page<T>) {
        if list.next.is_some() {
            out.note(&format!("there is more; see it with `--all` or `--limit {}`", self.most().saturating_mul(10)));
        }
    }
}

/// A whole list in the shape of a page.
#[derive(Debug, serde::Serialize)]
pub(super) struct Whole<'a, T> {
    items: &'a [T],
}

/// A whole list in the shape of a page.
pub(super) fn whole<T>(items: &[T]) -> Whole<'_, T> {
    Whole { items }
}

/// Words of a set, for a cell or a field.
pub(super) fn joined<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

/// A label for people.
pub(super) fn label_worded(label: Option<&Label>) -> String {
    label.map_or_else(|| "no label".to_owned(), ToString::to_string)
}

/// Text or a usage error: reasons are needed where they are asked for.
pub(super) fn reason(text: &str) -> Result<&str> {
    let text = text.trim();
    if text.is_empty() {
        return Err(CliError::usage("the reason is empty").help("say why; it is logged and shown to those concerned"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fetch(list: &ListArgs) -> Page<u32> {
        let pages = async |paging: Paging| {
            let from: u32 = paging.cursor.map_or(0, |cursor| cursor.parse().unwrap());
            let upto = (from + paging.limit.unwrap().min(3)).min(7);
            Ok(Page { items: (from..upto).collect(), next: (upto < 7).then(|| upto.to_string()) })
        };
        list.collect(pages).await.unwrap()
    }

    #[tokio::test]
    async fn list_is_fetched_page_after_page_up_to_the_limit() {
        let some = ListArgs { limit: Some(5), all: false, cursor: None };
        let list = fetch(&some).await;
        assert_eq!((list.items, list.next.as_deref()), (vec![0, 1, 2, 3, 4], Some("5")));
        let all = ListArgs { limit: Some(1), all: true, cursor: Some("2".into()) };
        assert_eq!(fetch(&all).await, Page { items: vec![2, 3, 4, 5, 6], next: None });
        // A server that answers every page with the same `next` keeps nobody busy for ever.
        let circle = async |_: Paging| Ok(Page { items: vec![1], next: Some("2".into()) });
        assert_eq!(all.collect(circle).await.unwrap_err().exit, crate::cli::error::Exit::Unverified);
    }
}
