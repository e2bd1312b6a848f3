//! The log as a member may read it.

use super::{
    Exchange, Principal, Result, ServiceError,
    state::{self, CallState, ProgramState, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        entry::{EntryKind, Readers},
        id::{CallId, ProgramId, ProposalId},
    },
    policy::{Action, Resource},
    storage::entries::{self, EntryRow},
    wire::{
        entry::Entry,
        page::{self, Page, PageRoom},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::HashMap;

/// How many entries are looked at for one page, most of which the caller may not be able to read. A page can so be short, or empty, and go on.
const EXAMINED: u32 = 10 * page::MAX_PAGE;

/// What entries of one page are about, loaded once each.
#[derive(Default)]
struct Known {
    programs: HashMap<ProgramId, Option<ProgramState>>,
    calls: HashMap<CallId, Option<CallState>>,
    proposals: HashMap<ProposalId, Option<ProposalState>>,
}

/// A page of the entries that the caller may read, oldest first; of these kinds alone, or of all where no kind is named.
///
/// It ends after so many items, so many bytes or so many entries that were looked at, whichever comes first.
///
/// Numbers count over the whole exchange: a gap says that something happened that the reader may not know of, nothing more.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    kinds: &[EntryKind],
    mut after: u64,
    limit: u32,
) -> Result<Page<Entry>> {
    if i64::try_from(after).is_err() {
        return Err(ServiceError::BadCursor);
    }
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadDirectory, Resource::Exchange)?;
    let (mut items, mut known): (Vec<Entry>, _) = (Vec::new(), Known::default());
    let mut room = PageRoom::new(limit);
    for _ in 0..EXAMINED / page::MAX_PAGE {
        let (rows, until) = entries::page(&mut view.tx, after, kinds, page::MAX_PAGE).await?;
        for row in rows {
            let before = after;
            after = row.seq;
            if !may_read(&mut view, &mut known, &row).await? {
                continue;
            }
            let item = entry(row);
            if !room.takes(&item) {
                return Ok(Page { items, next: Some(page::cursor(&before.to_string())) });
            }
            items.push(item);
        }
        let Some(until) = until else { return Ok(Page { items, next: None }) };
        after = until;
    }
    Ok(Page { items, next: Some(page::cursor(&after.to_string())) })
}

async fn may_read(view: &mut View<'_>, known: &mut Known, row: &EntryRow) -> Result<bool> {
    let now = view.now;
    if let Some(id) = row.proposal {
        let proposal = match known.proposals.remove(&id) {
            Some(found) => found,
            None => state::proposal(&mut view.tx, id, now).await?,
        };
        let readable = proposal.as_ref().is_some_and(|proposal| {
            let resource = Resource::Proposal(&proposal.facts);
            // What one did oneself one may read, as long as one may know of the proposal at all.
            let action = match row.readers {
                _ if row.actor.as_ref() == Some(&view.me.id) => Action::View,
                Readers::Parties => Action::ViewPartyLog,
                _ => Action::ViewOfficerLog,
            };
            view.may(action, resource)
        });
        known.proposals.insert(id, proposal);
        return Ok(readable);
    }
    if let Some(id) = row.call {
        let call = match known.calls.remove(&id) {
            Some(found) => found,
            None => state::call(&mut view.tx, id, now).await?,
        };
        let action = if row.readers == Readers::Call { Action::ViewCall } else { Action::ViewCallLog };
        let readable = match &call {
            Some(call) => view.may(action, Resource::Call(&call.facts)),
            // A draft that was deleted: each reads on what they did themselves.
            None => row.actor.as_ref() == Some(&view.me.id),
        };
        known.calls.insert(id, call);
        return Ok(readable);
    }
    if let Some(id) = row.program {
        let program = match known.programs.remove(&id) {
            Some(found) => found,
            None => state::program(&mut view.tx, id).await?,
        };
        let readable =
            program.as_ref().is_some_and(|program| view.may(Action::ViewProgram, Resource::Program(&program.facts)));
        known.programs.insert(id, program);
        return Ok(readable);
    }
    Ok(match (row.readers, &row.actor) {
        (Readers::Members, _) => true,
        (Readers::PolicyOfficers, Some(actor)) => {
            view.may(Action::ViewPolicyDrafts, Resource::Partner(actor.partner()))
        }
        _ => false,
    })
}

fn entry(row: EntryRow) -> Entry {
    Entry {
        seq: row.seq,
        at: row.at.into(),
        kind: row.kind,
        actor: row.actor,
        program: row.program,
        call: row.call,
        proposal: row.proposal,
        payload: row.payload,
        salt: BASE64_STANDARD.encode(row.salt),
    }
}
