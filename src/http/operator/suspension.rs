//! `entente-server partner suspend`, `resume` and `remove`. Each shows first what it would do to whom, and does it with `--yes` alone.

use super::{ClockWord, OperatorError, find, refuse_clock_ahead};
use crate::{
    domain::{
        id::PartnerCode,
        suspension::{Suspension, SuspensionReason},
        text::counted,
    },
    service::{
        Exchange,
        suspension::{self, CallTie, PartnerTies},
    },
};
use clap::Args;
use std::io::Write;

/// How far an act goes.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
pub struct DryRunOrYes {
    /// Show what it would do to whom, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// Suspends a partner, or shows what that would do.
pub(super) async fn suspend(
    exchange: &Exchange,
    code: PartnerCode,
    reason: SuspensionReason,
    (how, clock): (DryRunOrYes, ClockWord),
    out: &mut impl Write,
) -> Result<(), OperatorError> {
    find(exchange, &code).await?.ok_or_else(|| OperatorError::Unknown(code.clone()))?;
    if code == exchange.host {
        return Err(OperatorError::Host(code));
    }
    if let Some(present) = suspension::suspensions(exchange).await?.get(&code) {
        return Ok(writeln!(out, "{}: nothing changed", in_words(&code, present))?);
    }
    writeln!(out, "suspending `{code}` ({reason}: {})", reason.sentence())?;
    match suspension::ties(exchange, &code).await {
        Ok(ties) => {
            writeln!(
                out,
                "  shuts out    {} with a key card in force; registrars can still put key cards in order",
                counted(ties.members_in_force, "member", "members")
            )?;
            tell(&ties, out)?;
        }
        // In an emergency nothing waits for what is only shown.
        Err(error) if how.yes => writeln!(out, "  warning      what it does to whom could not be read: {error}")?,
        Err(error) => return Err(error.into()),
    }
    writeln!(out, "  stays        everything that was signed, handed in and wrapped; deadlines go on")?;
    if !how.yes {
        return Ok(writeln!(out, "nothing was changed: with `--yes` instead of `--dry-run` it is suspended")?);
    }
    refuse_clock_ahead(exchange, clock).await?;
    suspension::suspend(exchange, &code, reason).await?;
    writeln!(
        out,
        "`{code}` is suspended: every member reads it in the log, and a running server applies it within a second"
    )?;
    writeln!(out, "to end it: entente-server partner resume {code} --yes")?;
    Ok(())
}

/// Ends a suspension, or shows what that would do.
pub(super) async fn resume(
    exchange: &Exchange,
    code: PartnerCode,
    (how, clock): (DryRunOrYes, ClockWord),
    out: &mut impl Write,
) -> Result<(), OperatorError> {
    find(exchange, &code).await?.ok_or_else(|| OperatorError::Unknown(code.clone()))?;
    let Some(present) = suspension::suspensions(exchange).await?.remove(&code) else {
        return Ok(writeln!(out, "`{code}` is not suspended: nothing changed")?);
    };
    let ties = suspension::ties(exchange, &code).await?;
    writeln!(out, "{}; ending that", in_words(&code, &present))?;
    let members = counted(ties.members_in_force, "member", "members");
    writeln!(out, "  lets in      {members} with a key card in force")?;
    tell(&ties, out)?;
    if !how.yes {
        return Ok(writeln!(out, "nothing was changed: with `--yes` instead of `--dry-run` the suspension ends")?);
    }
    refuse_clock_ahead(exchange, clock).await?;
    suspension::resume(exchange, &code).await?;
    writeln!(out, "`{code}` takes part again: every member reads it in the log")?;
    writeln!(
        out,
        "deadlines went on meanwhile; officers of a call can give the nation more time: `entente call extend --partner {code}`"
    )?;
    Ok(())
}

/// Takes back an enrolment on which nothing depends, or shows what does.
pub(super) async fn remove(
    exchange: &Exchange,
    code: PartnerCode,
    (how, clock): (DryRunOrYes, ClockWord),
    out: &mut impl Write,
) -> Result<(), OperatorError> {
    let card = find(exchange, &code).await?.ok_or_else(|| OperatorError::Unknown(code.clone()))?;
    if code == exchange.host {
        return Err(OperatorError::Host(code));
    }
    let ties = suspension::ties_that_keep(exchange, &code).await?;
    if !ties.is_none() {
        writeln!(out, "`{code}` stays, since these depend on it:")?;
        if ties.members > 0 {
            writeln!(
                out,
                "  members      {} with a key card, in force or not",
                counted(ties.members, "member", "members")
            )?;
        }
        tell(&ties, out)?;
        if ties.labels > 0 {
            writeln!(out, "  labels       {}", counted(ties.labels, "label names it", "labels name it"))?;
        }
        return Err(OperatorError::Needed(code));
    }
    writeln!(
        out,
        "removing `{code}`: nothing on the record depends on it; the log keeps its card, {}",
        card.fingerprint()?
    )?;
    if !how.yes {
        return Ok(writeln!(out, "nothing was changed: with `--yes` instead of `--dry-run` it is removed")?);
    }
    refuse_clock_ahead(exchange, clock).await?;
    suspension::remove(exchange, &code).await?;
    Ok(writeln!(out, "`{code}` is no longer enrolled; to take it back, enrol its card again")?)
}

/// A suspension in a sentence.
pub(super) fn in_words(code: &PartnerCode, suspension: &Suspension) -> String {
    suspension.of(code)
}

/// The programs and calls, and what waits there.
fn tell(ties: &PartnerTies, out: &mut impl Write) -> Result<(), OperatorError> {
    for program in &ties.programs {
        let leads = if program.leads { ", which it leads" } else { "" };
        writeln!(out, "  program      {} ({}){leads}", program.name, program.id)?;
    }
    for call in &ties.calls {
        writeln!(out, "  call         {} ({}; {}), {}", call.code, call.title, call.id, call.phase)?;
        let parts = parts_in(call);
        if !parts.is_empty() {
            writeln!(out, "               {}", parts.join("; "))?;
        }
    }
    Ok(())
}

fn parts_in(call: &CallTie) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(call.leads.then(|| "leads it, so nobody else publishes and amends it".to_owned()));
    parts.extend((call.runs_alone && call.is_under_way()).then(|| "no other nation has an officer in it".to_owned()));
    parts.extend(call.funds.then(|| "funds, so each decision needs its signature".to_owned()));
    parts.extend(call.is_eligible.then(|| "may propose".to_owned()));
    for (number, one, many) in [
        (call.preparing, "proposal of its members in preparation", "proposals of its members in preparation"),
        (call.handed_in, "proposal of its members handed in", "proposals of its members handed in"),
        (call.awaits_signature, "decision waits for its signature", "decisions wait for its signature"),
    ] {
        parts.extend((number > 0).then(|| counted(number, one, many)));
    }
    parts
}
