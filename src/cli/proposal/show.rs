//! How a proposal is shown: its state, what is in its slots, and what is missing from whom.

use super::place;
use crate::{
    cli::{
        cell::TableCell,
        context::{Context, joined, label_worded},
        error::Result,
        output::{Screen, Style},
        table::Table,
        time::{self, Zone},
    },
    client::{Client, ClientError, proposal_check::empty_slots, titles::rows::Titled},
    domain::{call::CallText, id::PartnerCode, proposal::Status, text::counted},
    wire::{
        call::Call,
        page::Page,
        proposal::{Document, Pending, Proposal, Void},
    },
};
use jiff::Timestamp;
use serde_json::json;

/// Prints one proposal with its documents.
///
/// # Errors
/// When the exchange cannot be asked, or standard output cannot be written.
pub(super) async fn one(context: &Context, client: &Client, proposal: &Proposal) -> Result<()> {
    let (zone, now) = (context.zone()?, context.exchange_now());
    let zones = context.zones_of(proposal.parties.keys())?;
    let documents = match client.api().documents(proposal.id).await {
        Ok(documents) => Some(documents),
        // Who may see the row but not read learns nothing about documents.
        Err(ClientError::Problem { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let call = client.call(proposal.call).await?;
    let title = client.title_of(proposal).await;
    let mut answer = serde_json::to_value(proposal).unwrap_or_default();
    answer["documents"] = json!(documents);
    if let Some(title) = &title {
        answer["title"] = json!(title);
    }
    context.out.answer(&answer, |screen| {
        let under = (&call.call, &call.rules);
        page(screen, (proposal, title.as_deref()), documents.as_deref(), under, (&zone, now, &zones));
    })
}

/// One proposal under its call, with its title and the documents that the reader may know of.
pub(in crate::cli) fn page(
    screen: &mut Screen,
    (proposal, title): (&Proposal, Option<&str>),
    documents: Option<&[Document]>,
    (call, rules): (&Call, &CallText),
    (zone, now, zones): (&Zone, Timestamp, &[(PartnerCode, String)]),
) {
    screen.fields(&[
        ("proposal", screen.named(&proposal.reference, &proposal.id)),
        ("title", title.unwrap_or_default().to_owned()),
        ("call", format!("{}  {}", screen.named(&call.text.code, &proposal.call), call.text.title)),
        ("status", standing(proposal)),
        ("topic", proposal.topic.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("parties", parties(proposal)),
        ("organisations", proposal.organisations.iter().cloned().collect::<Vec<_>>().join("\n")),
        ("deadline", zone.deadline(proposal.deadline_at.0, now, zones)),
        ("bytes until", zone.both(proposal.grace_until.0)),
        ("stands", proposal.version.map(|version| format!("version {version}")).unwrap_or_default()),
        ("manifest", proposal.manifest_sha256.map(|sha256| sha256.to_string()).unwrap_or_default()),
        ("label", label_worded(proposal.label.as_ref())),
        ("you are", mine(proposal)),
    ]);
    if let Some(at) = proposal.mine.reopened_at {
        let reopened = zone.both_by(at.0, proposal.mine.reopened_by.as_ref());
        let sentence = format!("your review was reopened {reopened}: hand it in again with `entente review submit`");
        screen.styled(&[(Style::Yellow, &sentence)]);
    }
    if !proposal.later_organisations.is_empty() {
        let later = proposal.later_organisations.iter().cloned().collect::<Vec<_>>().join(", ");
        let help = format!(
            "since the deadline a member of a party also works at: {later}. That alone bars nobody from judging; if it \
             gives you a conflict of interest, use `entente conflict declare`"
        );
        screen.styled(&[(Style::Dim, &help)]);
    }
    if proposal.mine.is_invited {
        let help = "you are asked to join: `entente proposal accept` or `entente proposal decline`";
        screen.styled(&[(Style::Yellow, help)]);
    }
    if let Some(void) = &proposal.void {
        screen.styled(&[(Style::Yellow, &voided(proposal, void, zone, now))]);
    }
    if let Some(pending) = &proposal.pending {
        waiting(screen, pending);
    }
    if !proposal.withdrawal.is_empty() {
        wishes(screen, proposal, zone);
    }
    match documents {
        Some(documents) => slots(screen, proposal, documents, rules, zone),
        None => screen.styled(&[(Style::Dim, closed(proposal, call.sealed_until.0 >= now))]),
    }
}

/// Prints proposals, one a line.
///
/// # Errors
/// When standard output cannot be written, or the reader's zone is invalid.
pub(super) fn list(context: &Context, page: &Page<Titled<Proposal>>) -> Result<()> {
    let (zone, now) = (context.zone()?, context.exchange_now());
    context.out.answer(page, |screen| lines(screen, &page.items, &zone, now))
}

/// Proposals, one a line.
pub(in crate::cli) fn lines(screen: &mut Screen, proposals: &[Titled<Proposal>], zone: &Zone, now: Timestamp) {
    let heads = ["PROPOSAL", "TITLE", "STATUS", "DEADLINE", "LEFT", "YOU", "PARTIES", "TOPIC", "VERSION"];
    let mut table = Table::new(heads).cutting("TITLE");
    for Titled { item: proposal, title, .. } in proposals {
        let (id, status) = (screen.named(&proposal.reference, &proposal.id), standing(proposal));
        let topic = proposal.topic.as_ref().map(ToString::to_string).unwrap_or_default();
        let version = match (proposal.version, &proposal.void) {
            (Some(version), _) => version.to_string(),
            (None, Some(void)) => format!("{} void", void.version),
            (None, None) => String::new(),
        };
        let (deadline, left) = (zone.cell(proposal.deadline_at.0), time::left_cell(proposal.deadline_at.0, now));
        let (title, parties) = (title.clone().unwrap_or_default(), joined(proposal.parties.keys()));
        let first = [id, title, status].map(TableCell::from).into_iter().chain([deadline]);
        table.row(first.chain([left, mine(proposal), parties, topic, version].map(TableCell::from)));
    }
    screen.table(&table, "no proposals that you may see");
}

/// The status with what came of it, as the exchange has it: `submitted, fund, 1 letter`.
fn standing(proposal: &Proposal) -> String {
    let decided = proposal.decided.map(|outcome| outcome.to_string());
    let letters = (proposal.letters > 0).then(|| counted(proposal.letters, "letter", "letters"));
    let parts = std::iter::once(proposal.status.to_string()).chain(decided).chain(letters);
    parts.collect::<Vec<_>>().join(", ")
}

/// Since when and why what the parties signed no longer counts, and what to do while there is time.
fn voided(proposal: &Proposal, void: &Void, zone: &Zone, now: Timestamp) -> String {
    let because = void.reason.as_deref().map(|reason| format!(", because {reason}")).unwrap_or_default();
    let again = if now <= proposal.deadline_at.0 { ": sign again" } else { "" };
    format!("version {} is void since {}{because}{again}", void.version, zone.both(void.since.0))
}

/// Why the documents are not shown, as far as the row shows it.
fn closed(proposal: &Proposal, is_sealed: bool) -> &'static str {
    if is_sealed {
        "its documents stay sealed until every deadline and grace have passed"
    } else if proposal.mine.is_clear {
        "its documents are not for you"
    } else {
        "its documents are not open to you; if you judge it, begin with `entente conflict declare`"
    }
}

fn parties(proposal: &Proposal) -> String {
    let lines = proposal.parties.iter().map(|(partner, members)| {
        let asked = proposal.invited.iter().filter(|member| member.partner() == partner);
        let asked: Vec<String> = asked.map(|member| format!("{member} (invited)")).collect();
        let all: Vec<String> = members.iter().map(ToString::to_string).chain(asked).collect();
        let all = if all.is_empty() { "nobody yet".to_owned() } else { joined(&all) };
        format!("{partner}: {all}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn mine(proposal: &Proposal) -> String {
    let mine = &proposal.mine;
    let parts = [
        (mine.is_party, "party"),
        (mine.is_invited, "invited"),
        (mine.is_assigned, "assigned"),
        (mine.is_clear, "declared clear"),
        (mine.has_reviewed, "reviewed"),
        (mine.reopened_at.is_some(), "review reopened"),
    ];
    parts.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

/// Who wishes to withdraw it, and what that comes to.
fn wishes(screen: &mut Screen, proposal: &Proposal, zone: &Zone) {
    for (partner, wish) in &proposal.withdrawal {
        let wishes = format!("{partner} wishes to withdraw it, by {} at {}", wish.member, zone.both(wish.wished_at.0));
        screen.styled(&[(Style::Yellow, &wishes)]);
    }
    let others: Vec<_> = proposal.parties.keys().filter(|party| !proposal.withdrawal.contains_key(*party)).collect();
    if !others.is_empty() {
        let help = format!(
            "it is withdrawn once {} wishes it too, with `entente proposal withdraw`; a wish is taken back with \
             `entente proposal reinstate`",
            joined(others)
        );
        screen.styled(&[(Style::Dim, &help)]);
    }
}

fn waiting(screen: &mut Screen, pending: &Pending) {
    screen.heading(&format!("Version {} waits", pending.version));
    let documents = pending.awaiting_documents.iter().map(|missing| place(&missing.slot, missing.party.as_ref()));
    screen.fields(&[
        ("manifest", pending.manifest_sha256.to_string()),
        ("signed by", joined(&pending.signed_by)),
        ("signatures of", joined(&pending.awaiting_signatures)),
        ("documents", documents.collect::<Vec<_>>().join("\n")),
    ]);
}

fn slots(screen: &mut Screen, proposal: &Proposal, documents: &[Document], rules: &CallText, zone: &Zone) {
    screen.heading("Documents");
    let mut table = Table::new(["SLOT", "FOR", "SIZE", "PUT IN BY", "AT", "MEDIA TYPE"]);
    for document in documents {
        let audience = rules.slot(&document.slot).map_or("", |slot| slot.audience.as_str());
        table.row([
            place(&document.slot, document.party.as_ref()).into(),
            audience.into(),
            TableCell::bytes(document.size),
            document.uploaded_by.to_string().into(),
            zone.cell(document.uploaded_at.0),
            document.media_type.as_str().into(),
        ]);
    }
    screen.table(&table, "no documents that you may know of");
    if proposal.mine.is_party && matches!(proposal.status, Status::Preparing | Status::Submitted) {
        for missing in empty_slots(proposal, documents, rules) {
            let missing = place(&missing.slot, missing.party.as_ref());
            screen.styled(&[(Style::Yellow, "missing: "), (Style::Plain, &missing)]);
        }
    }
}
