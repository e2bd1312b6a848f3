//! How a call is shown: deadlines first, in UTC, in the reader's zone and in each party's.

use crate::{
    cli::{
        cell::TableCell,
        context::{Context, joined},
        error::Result,
        output::Screen,
        table::Table,
        time::{self, Zone},
    },
    domain::{call::Audience, id::PartnerCode},
    wire::{
        call::{Call, CallExtension, CallText, RoleHolder},
        page::Page,
    },
};
use jiff::Timestamp;
use serde_json::json;

/// Prints one call, with the extensions in force where they were asked for.
///
/// # Errors
/// When standard output cannot be written, or the reader's zone is invalid.
pub(super) fn call(
    context: &Context,
    call: &Call,
    extensions: Option<&[CallExtension]>,
    with_text: bool,
) -> Result<()> {
    let (zone, now) = (context.zone()?, context.exchange_now());
    let zones = context.zones_of(&call.text.eligible)?;
    let mut answer = serde_json::to_value(call).unwrap_or_default();
    if let Some(extensions) = extensions {
        answer["extensions"] = json!(extensions);
    }
    context.out.answer(&answer, |screen| {
        page(screen, call, extensions.unwrap_or_default(), (&zone, now, &zones));
        if with_text {
            screen.heading("Text");
            screen.paragraph(&call.text.text);
        }
    })
}

/// One call, without its text.
pub(in crate::cli) fn page(
    screen: &mut Screen,
    call: &Call,
    extensions: &[CallExtension],
    (zone, now, zones): (&Zone, Timestamp, &[(PartnerCode, String)]),
) {
    let Call { text, .. } = call;
    let bound = text.to_domain().ok().map(|text| text.schedule.extension_bound());
    let others = if call.my_deadline_at == call.deadline_at { None } else { Some(call.deadline_at.0) };
    screen.fields(&[
        ("call", screen.named(&text.code, &call.id)),
        ("title", text.title.clone()),
        ("program", screen.id(&call.program)),
        ("phase", call.phase.to_string()),
        ("version", if call.version == 0 { "draft".to_owned() } else { call.version.to_string() }),
        ("lead", call.lead.to_string()),
        ("opens", zone.both(text.schedule.opens_at.0)),
        ("deadline", zone.deadline(call.my_deadline_at.0, now, zones)),
        ("for others", others.map(|at| zone.both(at)).unwrap_or_default()),
        ("grace", time::span(text.schedule.grace_seconds.into())),
        ("sealed until", zone.both(call.sealed_until.0)),
        ("reviews due", zone.both(call.reviews_due_at.0)),
        ("extendable to", bound.map(|at| zone.both(at)).unwrap_or_default()),
        ("eligible", joined(&text.eligible)),
        ("parties", parties(text)),
        ("funders", joined(&text.funders)),
        ("combined roles", joined(&text.combined_roles)),
        ("letters", if text.letters.is_all_parties() { String::new() } else { "each to one party alone".to_owned() }),
        ("topics", joined(&text.topics)),
        ("your roles", joined(&call.my_roles)),
        ("text", call.text_sha256.to_string()),
    ]);
    if !extensions.is_empty() {
        extended(screen, extensions, zone);
    }
    criteria(screen, text);
    slots(screen, text);
}

/// Prints calls, one a line.
///
/// # Errors
/// When standard output cannot be written, or the reader's zone is invalid.
pub(super) fn list(context: &Context, calls: &Page<Call>) -> Result<()> {
    let (zone, now): (Zone, _) = (context.zone()?, context.exchange_now());
    context.out.answer(calls, |screen| lines(screen, &calls.items, &zone, now))
}

/// Calls, one a line.
pub(in crate::cli) fn lines(screen: &mut Screen, calls: &[Call], zone: &Zone, now: Timestamp) {
    let heads = ["CALL", "TITLE", "PHASE", "DEADLINE", "LEFT", "YOUR ROLES", "FOR OTHERS"];
    let mut table = Table::new(heads).cutting("TITLE");
    for call in calls {
        let is_same = call.my_deadline_at == call.deadline_at;
        table.row([
            screen.named(&call.text.code, &call.id).into(),
            call.text.title.as_str().into(),
            call.phase.as_str().into(),
            zone.cell(call.my_deadline_at.0),
            time::left_cell(call.my_deadline_at.0, now).into(),
            joined(&call.my_roles).into(),
            if is_same { TableCell::default() } else { zone.cell(call.deadline_at.0) },
        ]);
    }
    screen.table(&table, "no calls that you may see");
}

/// Who has which roles in a call.
pub(in crate::cli) fn holders(screen: &mut Screen, holders: &[RoleHolder]) {
    let mut table = Table::new(["MEMBER", "ROLES"]);
    for holder in holders {
        table.row([holder.member.to_string(), joined(&holder.roles)]);
    }
    screen.table(&table, "nobody has a role");
}

fn extended(screen: &mut Screen, extensions: &[CallExtension], zone: &Zone) {
    screen.heading("Extensions");
    let mut table = Table::new(["NUMBER", "OF", "UNTIL", "BY", "BECAUSE"]);
    for extension in extensions {
        let of = match (&extension.partner, extension.proposal) {
            (Some(partner), _) => partner.to_string(),
            (None, Some(proposal)) => match &extension.reference {
                Some(reference) => screen.named(reference, &proposal),
                None => proposal.to_string(),
            },
            (None, None) if extension.reviews => "the reviews".to_owned(),
            (None, None) => "everyone".to_owned(),
        };
        let (until, by) = (zone.cell(extension.until.0), extension.made_by.to_string());
        table.row([extension.number.to_string().into(), of.into(), until, by.into(), extension.reason.as_str().into()]);
    }
    screen.table(&table, "none");
}

fn parties(text: &CallText) -> String {
    let rule = &text.parties;
    let count = if rule.at_least == rule.at_most {
        rule.at_least.to_string()
    } else {
        format!("{} to {}", rule.at_least, rule.at_most)
    };
    let required = joined(&rule.required);
    if required.is_empty() { count } else { format!("{count}, among them {required}") }
}

fn criteria(screen: &mut Screen, text: &CallText) {
    screen.heading("Criteria");
    let mut table = Table::new(["NAME", "TITLE", "MAX", "STEP", "WEIGHT", "THRESHOLD"]);
    for criterion in &text.criteria {
        let threshold = criterion.threshold.map(|n| n.to_string()).unwrap_or_default();
        let numbers = [criterion.max.to_string(), criterion.step.to_string(), criterion.weight.to_string(), threshold];
        table.row([criterion.name.to_string(), criterion.title.clone()].into_iter().chain(numbers));
    }
    screen.table(&table, "none");
    if let Some(total) = text.total_threshold {
        screen.line(&format!("least total: {total}"));
    }
}

fn slots(screen: &mut Screen, text: &CallText) {
    screen.heading("Documents");
    // Slots as the rules see them: the summary is part of every call.
    let Ok(rules) = text.to_domain() else { return screen.line("the text contradicts itself") };
    let mut table = Table::new(["SLOT", "TITLE", "REQUIRED", "FOR", "AT MOST", "MEDIA TYPES"]);
    for slot in rules.all_slots() {
        let required = if slot.required { "yes" } else { "no" };
        let audience = match slot.audience {
            Audience::Panel => "panel",
            Audience::Staff => "staff only",
        };
        let types = joined(&slot.media_types);
        let first = [slot.name.as_str(), &slot.title, required, audience].map(TableCell::from);
        table.row(first.into_iter().chain([TableCell::bytes(slot.max_bytes), types.into()]));
    }
    screen.table(&table, "none");
}
