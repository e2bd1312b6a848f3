//! `entente me` and `entente partner`: whom the exchange takes the caller for, and which partners there are.

use super::{
    context::{Context, joined, whole},
    error::{CliError, Result},
    output::Screen,
    table::Table,
};
use crate::{
    client::directory::ListedPartner,
    domain::{id::PartnerCode, text::counted},
};
use clap::Subcommand;
use jiff::Timestamp;

/// Look up partners
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
}

/// Shows whom the exchange takes the caller for.
pub(super) async fn me(context: &Context) -> Result<()> {
    let client = context.client().await?;
    let me = client.api().me().await?;
    let zone = context.zone()?;
    context.out.answer(&me, |screen| {
        screen.fields(&[
            ("member", me.member.as_ref().map_or("none: no key card is published".to_owned(), ToString::to_string)),
            ("partner", me.partner.to_string()),
            ("organisation", me.organisation.clone().unwrap_or_default()),
            ("roles", joined(&me.roles)),
            ("certificate", me.certificate.to_string()),
            ("host", me.host.to_string()),
            ("server time", zone.both(me.now.0)),
        ]);
    })?;
    if me.member.is_none() {
        context.out.note("ask your partner's registrar for an invitation, which `entente join` answers");
        return Ok(());
    }
    // Where the own nation's card is not pinned, nothing is known of the key card.
    if let Ok(expiry) = client.key_expiry().await
        && let Some(left) = days_left(expiry.first(), client.exchange_now())
    {
        let what = if expiry.key_card <= expiry.certificate { "key card" } else { "certificate" };
        let then = if left <= LAST_DAYS { ", and then you are shut out" } else { "" };
        context.out.warn(&format!(
            "your {what} ends in {}, on {}{then}: renew it with `entente member renew`",
            counted(left, "day", "days"),
            zone.both(expiry.first())
        ));
    }
    Ok(())
}

/// So many days before keys end their members are warned, and told what follows.
const WARNED_DAYS: u64 = 60;
const LAST_DAYS: u64 = 7;

/// How many whole days are left, if they are few enough to warn of.
pub(super) fn days_left(end: Timestamp, now: Timestamp) -> Option<u64> {
    let left = u64::try_from(end.duration_since(now).as_hours() / 24).unwrap_or(0);
    (left <= WARNED_DAYS).then_some(left)
}

/// Runs a `partner` command.
pub(super) async fn partner(command: PartnerCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        PartnerCommand::List => {
            let listed = client.list_partners().await?;
            let items: Vec<_> = listed.iter().map(as_json).collect();
            context.out.answer(&whole(&items), |screen| lines(screen, &listed))
        }
        PartnerCommand::Show { partner } => {
            let listed = client.list_partners().await?.into_iter().find(|line| line.partner.code == partner);
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
                    ("host", if partner.is_host { "yes" } else { "no" }.to_owned()),
                    ("fingerprint", partner.card_sha256.to_string()),
                    ("pinned", pin.to_owned()),
                ]);
            })?;
            if pin != "yes" {
                context.out.note("confirm the fingerprint with the partner's officials, then `entente trust fetch`");
            }
            Ok(())
        }
    }
}

/// Partners, one a line.
pub(super) fn lines(screen: &mut Screen, listed: &[ListedPartner]) {
    let mut table = Table::new(["PARTNER", "NAME", "ZONE", "HOST", "PINNED", "FINGERPRINT"]);
    for line in listed {
        let ListedPartner { partner, .. } = line;
        let host = if partner.is_host { "yes" } else { "" };
        let fingerprint = partner.card_sha256.to_string();
        table.row([partner.code.as_str(), &partner.name, &partner.zone, host, pinned(line), &fingerprint]);
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

fn as_json(line: &ListedPartner) -> serde_json::Value {
    let mut value = serde_json::to_value(&line.partner).unwrap_or_default();
    value["pinned"] = serde_json::json!(line.pinned);
    value["is_verified"] = serde_json::json!(line.is_verified);
    value
}
