//! The log as a member may read it.

use super::{
    Exchange, LONGEST_LOOK, Principal, Result, ServiceError,
    cursors::SealedCursors,
    evaluation,
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
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                let mut step = Vec::with_capacity(STEP as usize);
                while step.len() < STEP as usize
                    && self.decided < entries
                    && let Some(row) = rows.peek()
                    && reading.load(row).await?
                {
                    self.decided += 1;
                    step.extend(rows.next());
                }
                if step.is_empty() {
                    return Ok(Stopped::AtTheBounds);
                }
                if !self.take(reading, step).await? {
                    return Ok(Stopped::Full);
                }
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

    /// Passes a few entries whose subjects are loaded, and takes those that the caller may read: few, since a payload can be long. Returns
    /// whether all of them fit.
    async fn take(&mut self, reading: &mut LogReading<'_>, step: Vec<EntryRow>) -> Result<bool> {
        let last = step.last().map(|row| row.seq);
        let mut readables = reading.readable(step).await?;
        entries::add_payloads(&mut reading.view.tx, &mut readables).await?;
        for row in readables {
            let item = entry(row, &reading.known);
            if !self.room.takes(&item) {
                // It comes first on the next page.
                self.after = item.seq - 1;
                return Ok(false);
            }
            self.items.push(item);
        }
        self.after = last.unwrap_or(self.after);
        Ok(true)
    }
}

/// The subjects of entries, each loaded once in one snapshot.
#[derive(Default)]
struct LoadedSubjects {
    programs: HashMap<ProgramId, Option<ProgramState>>,
    calls: HashMap<CallId, Option<Arc<CallState>>>,
    proposals: HashMap<ProposalId, Option<Arc<ProposalState>>>,
}

/// A look at the log in one snapshot.
struct LogReading<'e> {
    view: View<'e>,
    /// How much more may be loaded.
    room: usize,
    known: LoadedSubjects,
}

/// A question to the policies, of all that an entry is about.
type Asked = (Action, Arc<ProposalState>);

impl LogReading<'_> {
    /// Whether what the entry is about is known now, or known not to be there: there is no room to load everything.
    async fn load(&mut self, row: &EntryRow) -> Result<bool> {
        match (row.proposal, row.call, row.program) {
            (Some(id), _, _) => self.load_proposal(id).await,
            (_, Some(id), _) => self.load_call(id).await,
            (_, _, Some(id)) => self.load_program(id).await,
            (None, None, None) => Ok(true),
        }
    }

    /// Those of these entries that the caller may read. What they are about is loaded.
    async fn readable(&self, rows: Vec<EntryRow>) -> Result<Vec<EntryRow>> {
        let me = &self.view.me.id;
        // What one did oneself one may read, as long as one may know of the proposal at all.
        let by_circle = |row: &EntryRow| match row.readers {
            _ if row.actor.as_ref() == Some(me) => Action::View,
            Readers::Parties => Action::ViewPartyLog,
            _ => Action::ViewOfficerLog,
        };
        let is_permitted = self.decided(rows.iter().map(|row| self.asked(row, by_circle(row))).collect()).await?;
        let observed = rows.iter().zip(&is_permitted).map(|(row, is_permitted)| {
            let is_asked = !is_permitted && row.kind.is_for_observers();
            is_asked.then(|| self.asked(row, Action::ObserveProposal)).flatten()
        });
        let is_observed = self.decided(observed.collect()).await?;
        let may_read = is_permitted.into_iter().zip(is_observed).map(|(one, other)| one || other);
        let may_read = rows.into_iter().zip(may_read);
        Ok(may_read
            .filter(|(row, of_proposal)| *of_proposal || self.may_read_of_others(row))
            .map(|(row, _)| row)
            .collect())
    }

    /// The question about the proposal that an entry is about.
    fn asked(&self, row: &EntryRow, action: Action) -> Option<Asked> {
        let proposal = self.known.proposals.get(&row.proposal?).and_then(Option::as_ref)?;
        Some((action, Arc::clone(proposal)))
    }

    /// Whether each is permitted to the caller; what is not asked is not.
    async fn decided(&self, asked: Vec<Option<Asked>>) -> Result<Vec<bool>> {
        let (policies, me) = (Arc::clone(&self.view.policies), Arc::new(self.view.me.clone()));
        let steps = {
            let (policies, me) = (Arc::clone(&policies), Arc::clone(&me));
            move |some: &[Option<Asked>]| {
                let is_known =
                    |(action, proposal): &Asked| policies.known_decision(&me, *action, &proposal.facts).is_some();
                // What a decision costs is for the owners' policies to say.
                if some.iter().flatten().all(is_known) { some.len() } else { usize::MAX }
            }
        };
        let decide = move |some: Vec<Option<Asked>>| -> Vec<bool> {
            let is_permitted = |asked: Option<Asked>| {
                asked.is_some_and(|(action, proposal)| policies.decides(&me, action, &proposal.facts))
            };
            some.into_iter().map(is_permitted).collect()
        };
        evaluation::decided(self.view.exchange, &self.view.asker, asked, steps, decide).await
    }

    /// Whether the caller may read an entry that is about no proposal. The guardrails alone are asked about it.
    fn may_read_of_others(&self, row: &EntryRow) -> bool {
        if row.proposal.is_some() {
            return false;
        }
        if let Some(id) = row.call {
            let action = if row.readers == Readers::Call { Action::ViewCall } else { Action::ViewCallLog };
            return match self.known.calls.get(&id).and_then(Option::as_ref) {
                Some(call) => self.view.may(action, Resource::Call(&call.facts)),
                // A draft that was deleted: each reads on what they did themselves.
                None => row.actor.as_ref() == Some(&self.view.me.id),
            };
        }
        if let Some(id) = row.program {
            let program = self.known.programs.get(&id).and_then(Option::as_ref);
            return program
                .is_some_and(|program| self.view.may(Action::ViewProgram, Resource::Program(&program.facts)));
        }
        match (row.readers, &row.actor) {
            (Readers::Members, _) => true,
            (Readers::PolicyOfficers, Some(actor)) => {
                self.view.may(Action::ViewPolicyDrafts, Resource::Partner(actor.partner()))
            }
            _ => false,
        }
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
                Some(Arc::new(state::proposal_state(row, Arc::clone(call), self.view.now)))
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
        reference: proposal.map(|proposal| proposal.reference()),
        code: call.map(|call| call.text.code.clone()),
        payload: row.payload,
        salt: BASE64_STANDARD.encode(row.salt),
    }
}
