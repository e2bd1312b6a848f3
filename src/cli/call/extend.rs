//! Giving more time: what held, what would hold and how much later that is are shown before it is done.

use crate::{
    cli::{
        context::{Context, reason},
        error::Result,
        key_card::instant_argument,
        prompt::Consent,
        time::{self, Zone},
    },
    client::{
        Client,
        naming::{CallName, FoundProposal, ProposalName},
    },
    domain::id::PartnerCode,
    wire::call::{ExtendCall, Extended},
};
use clap::Args;
use jiff::Timestamp;

#[derive(Debug, Args)]
pub struct Extend {
    /// The call
    call: CallName,
    /// The new instant: RFC 3339 or `2026-04-01 17:00 Asia/Seoul`
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
    until: Timestamp,
    /// Why; logged
    #[arg(long)]
    reason: String,
    /// For proposals of this partner only
    #[arg(long, conflicts_with_all = ["proposal", "reviews"])]
    partner: Option<PartnerCode>,
    /// For this proposal only
    #[arg(long, conflicts_with = "reviews")]
    proposal: Option<ProposalName>,
    /// Move the date by which reviews are due, and no deadline
    #[arg(long)]
    reviews: bool,
    /// Only say what it would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
///
/// # Errors
/// When the exchange refuses, or the person at the terminal does not mean it.
pub(super) async fn run(args: Extend, client: &Client, context: &Context) -> Result<()> {
    let Extend { call: name, until, reason: why, partner, proposal, reviews, dry_run, consent } = args;
    let reason = reason(&why)?.to_owned();
    let call = client.find_call(&name).await?;
    let found = match &proposal {
        Some(proposal) => Some(client.find_proposal(proposal).await?),
        None => None,
    };
    let proposal = found.as_ref().map(|found| found.id);
    let body = ExtendCall { until: until.into(), reason, partner, proposal, reviews, dry_run: false };
    let seen = client.api().preview_extension(call, &body).await?;
    let zone = context.zone()?;
    if dry_run {
        let what = change(&body, found.as_ref(), &seen.body, &zone);
        context.out.answer(&seen.body, |screen| screen.line(&what))?;
        context.out.note("dry run: nothing was done");
        return Ok(());
    }
    context.keyboard().agree(consent, &change(&body, found.as_ref(), &seen.body, &zone)).await?;
    // Exactly the shown change is made: had the call changed meanwhile, it is refused.
    let extended = client.api().extend_call_as_seen(call, seen.etag.as_deref(), &body).await?;
    let what = change(&body, found.as_ref(), &extended, &zone);
    context.out.answer(&extended, |screen| screen.line(&what))?;
    if let Some(number) = extended.number {
        context.out.note(&format!(
            "taking it back leaves at least 72 hours: entente call withdraw-extension {name} {number} --reason WHY"
        ));
    }
    Ok(())
}

/// What moves from where to where, and what it would pass.
fn change(body: &ExtendCall, found: Option<&FoundProposal>, extended: &Extended, zone: &Zone) -> String {
    let what = match (&body.partner, found, body.reviews) {
        (_, _, true) => "the date by which reviews are due".to_owned(),
        (Some(partner), ..) => format!("the deadline of {partner}"),
        (_, Some(proposal), _) => format!("the deadline of {proposal}"),
        _ => "the deadline of everyone".to_owned(),
    };
    let (from, until) = (zone.both(extended.from.0), zone.both(extended.until.0));
    let due = extended.call.reviews_due_at;
    let warning = if !body.reviews && extended.until > due {
        format!("; that is past {}, when reviews are due", zone.both(due.0))
    } else if extended.grace_until.is_some_and(|grace| grace > due) {
        format!("; the grace period after it ends past {}, when reviews are due", zone.both(due.0))
    } else {
        String::new()
    };
    format!("{what} moves from {from} to {until}, {} later{warning}", time::span(extended.seconds))
}
