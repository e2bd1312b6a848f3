//! Programs: the agreements and forums that calls run under.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError,
    cursors::{EXAMINED, SealedCursors},
    quotas, state,
    unit::{Act, Subject, View},
};
use crate::{
    domain::{id::ProgramId, name},
    policy::{Action, Resource},
    storage::{
        partners,
        programs::{self, ProgramRow},
    },
    wire::{
        directory::{CreateProgram, Program},
        entry::payloads::ProgramCreated,
        page::{MAX_PAGE, Page},
    },
};

/// Most characters of a program's name.
pub const MAX_NAME: usize = 200;

/// Creates a program.
pub async fn create(exchange: &Exchange, context: &RequestContext, body: &CreateProgram) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let permit = act.authorize(Action::CreateProgram, Resource::Exchange)?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    if body.name.trim().is_empty() || body.name.chars().count() > MAX_NAME {
        return Err(ServiceError::Malformed("the name has 1 to 200 characters".into()));
    }
    if let Some(c) = name::unseen(&body.name) {
        return Err(ServiceError::Malformed(name::unseen_fault("name", c)));
    }
    if !body.partners.contains(&body.lead) {
        return Err(ServiceError::Malformed("the lead takes part in the program".into()));
    }
    for code in &body.partners {
        if partners::find(&mut act.tx, code).await?.is_none() {
            return Err(ServiceError::Malformed(format!("no partner `{code}` is enrolled")));
        }
    }
    quotas::check_programs(&mut act, &body.lead).await?;
    let row = ProgramRow {
        id: ProgramId::new(&*exchange.clock, &*exchange.rng),
        name: body.name.clone(),
        lead: body.lead.clone(),
        partners: body.partners.clone(),
        created_by: act.me.id.clone(),
        created_at: act.now,
    };
    programs::create(&mut act.tx, &permit, &row).await?;
    let subject = Subject { program: Some(row.id), ..Subject::default() };
    act.log(subject, ProgramCreated { lead: row.lead.clone(), partners: row.partners.clone() }).await?;
    act.finish(Answer::created(format!("/v1/programs/{}", row.id), &program(row))).await
}

/// A page of the programs that the caller may know of. It examines so many: it can be short, or empty, and still have a `next`.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Program>> {
    let cursors = SealedCursors::of(exchange, "programs", &principal.member);
    let mut after: Option<ProgramId> = cursors.open(cursor)?;
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ListPrograms, Resource::Exchange)?;
    let mut items: Vec<Program> = Vec::new();
    for _ in 0..EXAMINED / MAX_PAGE as usize {
        let ids = programs::ids(&mut view.tx, after, MAX_PAGE).await?;
        let is_last = ids.len() < MAX_PAGE as usize;
        for id in ids {
            let before = after.replace(id);
            let Some(found) = state::program(&mut view.tx, id).await? else { continue };
            if !view.sees(Resource::Program(&found.facts)) {
                continue;
            }
            if items.len() == limit as usize {
                return Ok(Page { next: before.map(|before| cursors.seal(before)), items });
            }
            items.push(program(found.row));
        }
        if is_last {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: after.map(|after| cursors.seal(after)) })
}

/// One program.
pub async fn show(exchange: &Exchange, principal: &Principal, id: ProgramId) -> Result<Program> {
    let mut view = View::open(exchange, principal).await?;
    Ok(program(view.program(id).await?.row))
}

fn program(row: ProgramRow) -> Program {
    Program {
        id: row.id,
        name: row.name,
        lead: row.lead,
        partners: row.partners,
        created_by: row.created_by,
        created_at: row.created_at.into(),
    }
}
