//! The log as a member may read it.

use super::{
    Exchange, LONGEST_LOOK, Principal, Result, ServiceError,
    cursors::SealedCursors,
    state::{self, CallState, ProgramState, ProposalState},
    stepwise::STEP,
    unit::View,
};
use crate::{
    domain::{
        entry::{EntryKind, Readers},
        id::{CallId, ProgramId, ProposalId},
    },
    policy::{Action, Resource},
    storage::{
        entries::{self, EntryRow},
        members, proposals,
    },
    wire::{
        entry::{Entry, EntryPage},
        page::{self, PageRoom},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{collections::HashMap, sync::Arc};

/// How many entries one request passes, those of other kinds than are wanted included.
const PASSED: u32 = 10 * page::MAX_PAGE;

/// How much one look may decide: on so many entries, most of which the caller may not be able to read, and by so many proposals, calls
/// and programs that have to be loaded for it.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    entries: u32,
    loaded: usize,
}

/// The bounds of a request that takes no turn of its own.
const AT_ONCE: Bounds = Bounds { entries: page::MAX_PAGE, loaded: 50 };
/// The bounds of a request that found nothing for the caller within the first ones. It waits for a turn for that.
const IN_ALL: Bounds = Bounds { entries: PASSED, loaded: 200 };

/// A page of the log while it is put together.
struct LogPage<'k> {
    kinds: &'k [EntryKind],
    items: Vec<Entry>,
    room: PageRoom,
    /// The number of the last entry that was passed.
    after: u64,
    /// How many were passed, in whole steps.
    passed: u32,
    /// How many were decided on.
    decided: u32,
    /// How many things were loaded.
    loaded: usize,
}

/// Why a look at the log stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// There are no more entries.
    AtTheEnd,
    /// The page takes no more.
    Full,
    /// As much was examined as the bounds allow.
    AtTheBounds,
}

/// What of the log is asked for.
#[derive(Debug, Clone, Copy)]
pub struct LogQuestion<'q> {
    /// Entries of these kinds alone, in order and each once; of all where none is named.
    pub kinds: &'q [EntryKind],
    /// `next` or `bookmark` of an earlier page.
    pub cursor: Option<&'q str>,
    /// Most items on the page.
    pub limit: u32,
}

/// A part of the log that was looked at.
#[derive(Debug)]
pub(super) struct FoundEntries {
    items: Vec<Entry>,
    /// The number of the last entry that was passed.
    after: u64,
    stopped: Stopped,
}

/// A page of the entries that the caller may read, oldest first; of these kinds alone, or of all where no kind is named.
///
/// It ends after so many items, so many bytes, so many entries that were passed or decided on or so many things that were loaded for
/// that, whichever comes first: it can be short, or empty, and still have a `next`. The last page has a bookmark instead.
///
/// Numbers count over the whole exchange: a gap says that something happened that the reader may not know of, nothing more.
pub async fn list(exchange: &Exchange, principal: &Principal, question: &LogQuestion<'_>) -> Result<EntryPage> {
    let after = position(exchange, principal, question)?;
    let mut page = LogPage::after(after, question);
    let mut view = opened(exchange, principal).await?;
    // A log that was restored from a backup is shorter than the one that the position is of. What is appended to it since would be passed over.
    if after > entries::last(&mut view.tx).await? {
        return Err(ServiceError::BadCursor);
    }
    let mut stopped = page.look(view, AT_ONCE).await?;
    if stopped == Stopped::AtTheBounds && page.items.is_empty() && page.passed < PASSED {
        // The first look has ended by now: who waits holds neither a snapshot nor a place at reading.
        let turn = exchange.long_work.log(principal).await?;
        let mut view = opened(exchange, principal).await?;
        view.tx.hold(turn, LONGEST_LOOK).await?;
        stopped = page.look(view, IN_ALL).await?;
    }
    Ok(page.found(stopped).page(exchange, principal, question))
}

/// Where in the log the cursor of a question is.
pub(super) fn position(exchange: &Exchange, principal: &Principal, question: &LogQuestion<'_>) -> Result<u64> {
    let after: u64 = cursors(exchange, principal, question).open(question.cursor)?.unwrap_or_default();
    if i64::try_from(after).is_err() {
        return Err(ServiceError::BadCursor);
    }
    Ok(after)
}

/// Looks at what follows the entry of that number, as far as it can be done without a turn: who waits comes again.
pub(super) async fn look_at_once(
    exchange: &Exchange,
    principal: &Principal,
    question: &LogQuestion<'_>,
    after: u64,
) -> Result<FoundEntries> {
    let mut page = LogPage::after(after, question);
    let stopped = page.look(opened(exchange, principal).await?, AT_ONCE).await?;
    Ok(page.found(stopped))
}

/// The page of one who waited and for whom nothing came.
pub(super) fn empty(exchange: &Exchange, principal: &Principal, question: &LogQuestion<'_>, after: u64) -> EntryPage {
    FoundEntries { items: Vec::new(), after, stopped: Stopped::AtTheEnd }.page(exchange, principal, question)
}

impl FoundEntries {
    pub(super) fn has_items(&self) -> bool {
        !self.items.is_empty()
    }

    /// The number of the last entry that was passed.
    pub(super) fn position(&self) -> u64 {
        self.after
    }

    pub(super) fn page(self, exchange: &Exchange, principal: &Principal, question: &LogQuestion<'_>) -> EntryPage {
        let cursors = cursors(exchange, principal, question);
        // INVARIANT: all positions are equally long, and a bookmark does not show whether it is another than the one before: by what is hidden
        // a position moves, too.
        let position = format!("{:020}", self.after);
        let (next, bookmark) = match self.stopped {
            Stopped::AtTheEnd => (None, Some(cursors.bookmark(position, &*exchange.rng))),
            Stopped::Full | Stopped::AtTheBounds => (Some(cursors.seal(position)), None),
        };
        EntryPage { items: self.items, next, bookmark }
    }
}

fn cursors(exchange: &Exchange, principal: &Principal, question: &LogQuestion<'_>) -> SealedCursors {
    let kinds: Vec<&str> = question.kinds.iter().map(|kind| kind.as_str()).collect();
    SealedCursors::of(exchange, "entries", &principal.member).within("kind", &kinds.join(","))
}

async fn opened<'e>(exchange: &'e Exchange, principal: &Principal) -> Result<View<'e>> {
    let mut view = View::open(exchange, principal).await?;
    // The request may have waited since its caller was let in.
    if !members::has_certificate(&mut view.tx, &principal.member, &principal.certificate).await? {
        return Err(ServiceError::NotAMember);
    }
    view.authorize(Action::ReadDirectory, Resource::Exchange)?;
    Ok(view)
}

impl<'k> LogPage<'k> {
    /// An empty page that begins after the entry of that number.
    fn after(after: u64, question: &LogQuestion<'k>) -> Self {
        let (kinds, room) = (question.kinds, PageRoom::new(question.limit));
        Self { kinds, items: Vec::new(), room, after, passed: 0, decided: 0, loaded: 0 }
    }

    fn found(self, stopped: Stopped) -> FoundEntries {
        FoundEntries { items: self.items, after: self.after, stopped }
    }

    /// Goes on with the page in one snapshot.
    async fn look(&mut self, view: View<'_>, bounds: Bounds) -> Result<Stopped> {
        let mut reading =
            LogReading { view, room: bounds.loaded.saturating_sub(self.loaded), known: LoadedSubjects::default() };
        let stopped = self.go_on(&mut reading, bounds.entries).await;
        self.loaded = bounds.loaded.saturating_sub(reading.room);
        stopped
    }

    async fn go_on(&mut self, reading: &mut LogReading<'_>, entries: u32) -> Result<Stopped> {
        while self.passed < PASSED {
            let (rows, until) = entries::page(&mut reading.view.tx, self.after, self.kinds, page::MAX_PAGE).await?;
            let mut readables = Vec::new();
            for row in rows {
                let readable = if self.decided == entries { None } else { reading.may_read(&row).await? };
                let Some(readable) = readable else {
                    let fits = self.take(reading, &mut readables).await?;
                    return Ok(if fits { Stopped::AtTheBounds } else { Stopped::Full });
                };
                (self.after, self.decided) = (row.seq, self.decided + 1);
                if readable {
                    readables.push(row);
                }
                if readables.len() == STEP as usize && !self.take(reading, &mut readables).await? {
                    return Ok(Stopped::Full);
                }
            }
            if !self.take(reading, &mut readables).await? {
                return Ok(Stopped::Full);
            }
            let Some(until) = until else {
                // Those of other kinds are passed as well, or they would be looked at again each time.
                self.after = self.after.max(entries::last(&mut reading.view.tx).await?);
                return Ok(Stopped::AtTheEnd);
            };
            (self.after, self.passed) = (until, self.passed + page::MAX_PAGE);
        }
        Ok(Stopped::AtTheBounds)
    }

    /// Takes entries that the caller may read, a few at a time, since a payload can be long. Returns whether all of them fit.
    async fn take(&mut self, reading: &mut LogReading<'_>, readables: &mut Vec<EntryRow>) -> Result<bool> {
        entries::add_payloads(&mut reading.view.tx, readables).await?;
        for row in readables.drain(..) {
            let item = entry(row, &reading.known);
            if !self.room.takes(&item) {
                // It comes first on the next page.
                self.after = item.seq - 1;
                return Ok(false);
            }
            self.items.push(item);
        }
        Ok(true)
    }
}

/// The subjects of entries, each loaded once in one snapshot.
#[derive(Default)]
struct LoadedSubjects {
    programs: HashMap<ProgramId, Option<ProgramState>>,
    calls: HashMap<CallId, Option<Arc<CallState>>>,
    proposals: HashMap<ProposalId, Option<ProposalState>>,
}

/// A look at the log in one snapshot.
struct LogReading<'e> {
    view: View<'e>,
    /// How much more may be loaded.
    room: usize,
    known: LoadedSubjects,
}

impl LogReading<'_> {
    /// Whether the caller may read an entry; none if there is no room to load what it is about.
    async fn may_read(&mut self, row: &EntryRow) -> Result<Option<bool>> {
        if let Some(id) = row.proposal {
            if !self.load_proposal(id).await? {
                return Ok(None);
            }
            let proposal = self.known.proposals.get(&id).and_then(Option::as_ref);
            return Ok(Some(proposal.is_some_and(|proposal| {
                // What one did oneself one may read, as long as one may know of the proposal at all.
                let action = match row.readers {
                    _ if row.actor.as_ref() == Some(&self.view.me.id) => Action::View,
                    Readers::Parties => Action::ViewPartyLog,
                    _ => Action::ViewOfficerLog,
                };
                let facts = &proposal.facts;
                self.view.may(action, Resource::Proposal(facts))
                    || row.kind.is_for_observers() && self.view.may(Action::ObserveProposal, Resource::Proposal(facts))
            })));
        }
        if let Some(id) = row.call {
            if !self.load_call(id).await? {
                return Ok(None);
            }
            let action = if row.readers == Readers::Call { Action::ViewCall } else { Action::ViewCallLog };
            return Ok(Some(match self.known.calls.get(&id).and_then(Option::as_ref) {
                Some(call) => self.view.may(action, Resource::Call(&call.facts)),
                // A draft that was deleted: each reads on what they did themselves.
                None => row.actor.as_ref() == Some(&self.view.me.id),
            }));
        }
        if let Some(id) = row.program {
            if !self.load_program(id).await? {
                return Ok(None);
            }
            let program = self.known.programs.get(&id).and_then(Option::as_ref);
            return Ok(Some(
                program.is_some_and(|program| self.view.may(Action::ViewProgram, Resource::Program(&program.facts))),
            ));
        }
        Ok(Some(match (row.readers, &row.actor) {
            (Readers::Members, _) => true,
            (Readers::PolicyOfficers, Some(actor)) => {
                self.view.may(Action::ViewPolicyDrafts, Resource::Partner(actor.partner()))
            }
            _ => false,
        }))
    }

    /// Whether one more thing may be loaded.
    fn takes_one(&mut self) -> bool {
        let takes = self.room > 0;
        self.room = self.room.saturating_sub(1);
        takes
    }

    /// Whether the proposal is known now, or known not to be there.
    async fn load_proposal(&mut self, id: ProposalId) -> Result<bool> {
        if self.known.proposals.contains_key(&id) {
            return Ok(true);
        }
        if !self.takes_one() {
            return Ok(false);
        }
        let row = proposals::find(&mut self.view.tx, id).await?;
        let proposal = match row {
            None => None,
            Some(row) => {
                if !self.load_call(row.call).await? {
                    return Ok(false);
                }
                let call = self.known.calls.get(&row.call).and_then(Option::as_ref).ok_or(ServiceError::Hidden)?;
                Some(state::proposal_state(row, Arc::clone(call), self.view.now))
            }
        };
        self.known.proposals.insert(id, proposal);
        Ok(true)
    }

    async fn load_call(&mut self, id: CallId) -> Result<bool> {
        if self.known.calls.contains_key(&id) {
            return Ok(true);
        }
        if !self.takes_one() {
            return Ok(false);
        }
        let call = state::call(&mut self.view.tx, id, self.view.now).await?.map(Arc::new);
        self.known.calls.insert(id, call);
        Ok(true)
    }

    async fn load_program(&mut self, id: ProgramId) -> Result<bool> {
        if self.known.programs.contains_key(&id) {
            return Ok(true);
        }
        if !self.takes_one() {
            return Ok(false);
        }
        let program = state::program(&mut self.view.tx, id).await?;
        self.known.programs.insert(id, program);
        Ok(true)
    }
}

fn entry(row: EntryRow, known: &LoadedSubjects) -> Entry {
    let proposal = row.proposal.and_then(|id| known.proposals.get(&id)).and_then(Option::as_ref);
    let call = row.call.and_then(|id| known.calls.get(&id)).and_then(Option::as_ref);
    Entry {
        seq: row.seq,
        at: row.at.into(),
        kind: row.kind,
        actor: row.actor,
        program: row.program,
        call: row.call,
        proposal: row.proposal,
        reference: proposal.map(ProposalState::reference),
        code: call.map(|call| call.text.code.clone()),
        payload: row.payload,
        salt: BASE64_STANDARD.encode(row.salt),
    }
}
