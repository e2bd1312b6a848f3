//! `entente me` and `entente partner`: which member the certificate belongs to, and which partners there are.

use super::{
    context::{Context, joined, whole},
    error::{CliError, Result},
    output::Screen,
    partner_card::{self, PartnerCardCommand},
    partner_status,
    table::Table,
    time::Zone,
};
use crate::{
    client::{directory::ListedPartner, own_standing::StandingNote},
    domain::id::PartnerCode,
    wire::directory::{Me, Partner},
};
use clap::Subcommand;

/// Look up partners, and make your own nation's card
#[derive(Debug, Subcommand)]
pub enum PartnerCommand {
    /// List the partners of the exchange, and which of them you have pinned
    #[command(after_help = "Examples:\n  entente partner list")]
    List,
    /// Show a partner
    #[command(
        after_help = "Examples:\n  entente partner show ISR\n  entente --json partner show ISR | jq -r .card > isr-card.json"
    )]
    Show {
        /// Its code
        partner: PartnerCode,
    },
    /// Show who vouches in a nation, which policies hold, what waits, and what ends when
    #[command(after_help = "Examples:
  entente partner status                    your own nation
  entente partner status KOR
  entente --json partner status | jq -r '.key_cards_ending[].member'

For registrars and policy officers of the nation it also says until when its revocation lists hold, and which of its members' \
certificates end within 60 days, as far as they came to the server that answers. Policies that wait are shown to those who \
may see them.")]
    Status {
        /// Its code [default: your own]
        partner: Option<PartnerCode>,
    },
    #[command(subcommand)]
    Card(PartnerCardCommand),
}

/// Shows which member the certificate belongs to.
pub(super) async fn me(context: &Context) -> Result<()> {
    let client = context.client().await?;
    let zone = context.zone()?;
    let standing = client.own_standing(&zone).await?;
    let me = &standing.me;
    context.out.answer(me, |screen| {
        screen.fields(&[
            ("member", named(me, &zone)),
            ("partner", me.partner.to_string()),
            ("organisation", me.organisation.clone().unwrap_or_default()),
            ("roles", joined(&me.roles)),
            ("certificate", me.certificate.to_string()),
            ("host", me.host.to_string()),
            ("server time", zone.both(me.now.0)),
        ]);
    })?;
    match standing.note {
        Some(StandingNote::Warning(sentence)) => context.out.warn(&sentence),
        Some(StandingNote::Hint(sentence)) => context.out.note(&sentence),
        None => {}
    }
    Ok(())
}

/// Which member the certificate belongs to, or belonged to.
fn named(me: &Me, zone: &Zone) -> String {
    match (&me.member, &me.ended) {
        (Some(member), _) => member.to_string(),
        (None, Some(ended)) => {
            format!("none: the key card of {} ended on {}", ended.member, zone.both(ended.valid_until.0))
        }
        (None, None) => "none: no key card is published".to_owned(),
    }
}

/// Runs a `partner` command.
pub(super) async fn partner(command: PartnerCommand, context: &Context) -> Result<()> {
    match command {
        PartnerCommand::Card(command) => partner_card::run(command, context).await,
        PartnerCommand::Status { partner } => partner_status::run(partner, context).await,
        PartnerCommand::List => {
            let listed = context.client().await?.list_partners().await?;
            let items: Vec<_> = listed.iter().map(as_json).collect();
            context.out.answer(&whole(&items), |screen| lines(screen, &listed))
        }
        PartnerCommand::Show { partner } => {
            let listed =
                context.client().await?.list_partners().await?.into_iter().find(|line| line.partner.code == partner);
            let line = listed.ok_or_else(|| {
                CliError::failed(format!("`{partner}` is not a partner of this exchange"))
                    .help("see `entente partner list`")
            })?;
            let (partner, pin) = (&line.partner, pinned(&line));
            context.out.answer(&as_json(&line), |screen| {
                screen.fields(&[
                    ("partner", partner.code.to_string()),
                    ("name", partner.name.clone()),
                    ("zone", partner.zone.clone()),
                    ("takes part", takes_part(partner).to_owned()),
                    ("fingerprint", confirmed(&line)),
                    ("pinned", pin.to_owned()),
                ]);
            })?;
            if pin != "yes" {
                context.out.note(&format!(
                    "have the partner's officials tell you the fingerprint, by a way that does not pass through the exchange, and type it: \
                     `entente trust fetch {} --fingerprint FINGERPRINT`",
                    partner.code
                ));
            }
            Ok(())
        }
    }
}

/// Partners, one a line.
pub(super) fn lines(screen: &mut Screen, listed: &[ListedPartner]) {
    let mut table = Table::new(["PARTNER", "NAME", "ZONE", "TAKES PART", "PINNED", "FINGERPRINT"]);
    for line in listed {
        let ListedPartner { partner, .. } = line;
        let (takes_part, fingerprint) = (takes_part(partner), confirmed(line));
        table.row([partner.code.as_str(), &partner.name, &partner.zone, takes_part, pinned(line), &fingerprint]);
    }
    screen.table(&table, "no partners");
}

fn pinned(line: &ListedPartner) -> &'static str {
    match (&line.pinned, line.is_verified) {
        (None, _) => "no",
        (Some(_), true) => "yes",
        (Some(_), false) => "DIFFERS",
    }
}

/// The fingerprint that people confirmed. The exchange's own is never shown: it would be pasted instead of compared.
fn confirmed(line: &ListedPartner) -> String {
    line.pinned.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn takes_part(partner: &Partner) -> &'static str {
    match (partner.is_host, partner.suspended.is_some()) {
        (_, true) => "SUSPENDED",
        (true, false) => "as host",
        (false, false) => "yes",
    }
}

fn as_json(line: &ListedPartner) -> serde_json::Value {
    let mut value = serde_json::to_value(&line.partner).unwrap_or_default();
    value["pinned"] = serde_json::json!(line.pinned);
    value["is_verified"] = serde_json::json!(line.is_verified);
    value
}
