//! `entente trust`: which partner cards this machine believes. A card is pinned only with the fingerprint that the
//! partner's officials confirmed by a way that does not pass through the exchange.

use super::{
    context::{Context, joined, whole},
    error::{CliError, Result, read_input},
    handover::{Earlier, write_file},
    output::Screen,
    prompt::Consent,
    table::Table,
};
use crate::{
    client::{directory::typed_fingerprint, joining::read_json_file, profile::Pinned},
    domain::{
        id::{PartnerCode, Sha256},
        text::counted,
    },
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Pin the cards of partners, by which everything is verified
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Pin a partner card from a file
    #[command(after_help = "Examples:
  entente trust add isr-card.json --fingerprint 3f9a…

Get the fingerprint from the partner's officials by telephone, in person or on paper, never through the exchange. \
Colons and capitals do not matter. Put a fingerprint that has blanks into quotation marks.")]
    Add {
        /// The card, JSON
        file: PathBuf,
        /// SHA-256 that the partner's officials confirmed
        #[arg(long, value_name = "SHA256", value_parser = typed_fingerprint)]
        fingerprint: Sha256,
    },
    /// Fetch a partner card from the exchange and pin it if its fingerprint is the confirmed one
    #[command(after_help = "Examples:
  entente trust fetch ISR --fingerprint 3f9a…

Colons and capitals do not matter. Put a fingerprint that has blanks into quotation marks.")]
    Fetch {
        /// The partner's code
        partner: PartnerCode,
        /// SHA-256 that the partner's officials confirmed
        #[arg(long, value_name = "SHA256", value_parser = typed_fingerprint)]
        fingerprint: Sha256,
    },
    /// Write the cards that are pinned here as a list for the members of your nation (registrars)
    #[command(after_help = "Examples:
  entente trust export trust-ISR.json

You sign for it that your nation confirmed each card. Members take it with `entente trust import`; those whom you invite \
have it in the invitation.")]
    Export {
        /// Where to write it
        file: PathBuf,
    },
    /// Pin the cards of a list that a registrar of your nation signed
    #[command(after_help = "Examples:
  entente trust import trust-ISR.json

The card of your own nation must be pinned. Shows which cards are new, and which take the place of another, and asks.")]
    Import {
        /// The list
        file: PathBuf,
        #[command(flatten)]
        consent: Consent,
    },
    /// List pinned partners
    #[command(after_help = "Examples:\n  entente trust list")]
    List,
    /// Show a pinned card
    #[command(after_help = "Examples:\n  entente trust show ISR")]
    Show {
        /// The partner's code
        partner: PartnerCode,
    },
    /// Forget a pinned card; from then on nothing that the partner signs is believed
    #[command(after_help = "Examples:\n  entente trust remove ISR")]
    Remove {
        /// The partner's code
        partner: PartnerCode,
    },
}

/// Runs the command.
pub(super) async fn run(command: TrustCommand, context: &Context) -> Result<()> {
    let home = context.home()?;
    match command {
        TrustCommand::Add { file, fingerprint } => {
            let pinned = home.pin_partner(&read_input(&file, 1 << 20)?, &fingerprint)?;
            context.out.answer(&as_json(&pinned), |screen| show(screen, &pinned))
        }
        TrustCommand::Fetch { partner, fingerprint } => {
            let pinned = context.client().await?.pin_offered(&partner, &fingerprint).await?;
            context.out.answer(&as_json(&pinned), |screen| show(screen, &pinned))
        }
        TrustCommand::Export { file } => {
            let list = context.client().await?.trust_file().await?;
            write_file(&file, &list, Earlier::Stays)?;
            context.out.done(&format!("{} in `{}`", counted(list.partner_cards.len(), "card", "cards"), file.display()))
        }
        TrustCommand::Import { file, consent } => {
            let list = read_json_file(&file, &read_input(&file, 16 << 20)?, "trust list")?;
            let member = context.client().await?.member_id().await?;
            let (list, offered) = home.read_trust_list(&list, &member)?;
            let mut changes = Vec::new();
            for card in offered {
                match home.pinned(&card.card.code)? {
                    Some(present) if present.fingerprint == card.fingerprint => {}
                    present => changes.push((card, present.is_some())),
                }
            }
            if changes.is_empty() {
                home.see_trust_list(&list)?;
                return context.out.done("every card of the list is pinned already");
            }
            let named = |replacing: bool| {
                let codes = changes.iter().filter(|(_, is_other)| *is_other == replacing);
                joined(codes.map(|(card, _)| &card.card.code))
            };
            let what = match (named(false), named(true)) {
                (new, other) if other.is_empty() => format!("the cards of {new} are pinned"),
                (new, other) if new.is_empty() => format!("the cards of {other} take the place of other ones"),
                (new, other) => {
                    format!("the cards of {new} are pinned, and those of {other} take the place of other ones")
                }
            };
            let signed = format!("by the list of {}, made on {:.0}, {what}", list.partner, list.stated_at);
            context.keyboard().agree(consent, &signed).await?;
            home.see_trust_list(&list)?;
            for (card, _) in &changes {
                home.pin_partner(&card.card.canonical().map_err(CliError::failed)?, &card.fingerprint)?;
            }
            context.out.done(&what)
        }
        TrustCommand::List => {
            let pins = home.pins()?;
            let items: Vec<Value> = pins.iter().map(as_json).collect();
            context.out.answer(&whole(&items), |screen| lines(screen, &pins))
        }
        TrustCommand::Show { partner } => {
            let pinned = home.pinned(&partner)?.ok_or_else(|| {
                CliError::failed(format!("no card of `{partner}` is pinned")).help("see `entente trust add --help`")
            })?;
            context.out.answer(&as_json(&pinned), |screen| show(screen, &pinned))
        }
        TrustCommand::Remove { partner } => {
            if !home.unpin_partner(&partner)? {
                return Err(CliError::failed(format!("no card of `{partner}` is pinned")));
            }
            context.out.done(&format!("card of `{partner}` forgotten"))
        }
    }
}

fn show(screen: &mut Screen, Pinned { card, fingerprint }: &Pinned) {
    screen.fields(&[
        ("partner", card.code.to_string()),
        ("name", card.name.clone()),
        ("zone", card.zone.clone()),
        ("fingerprint", fingerprint.to_string()),
        ("anchors", card.anchors.len().to_string()),
        ("registrars", joined(&card.registrars).replace(' ', "\n")),
    ]);
}

/// Pinned partners, one a line.
pub(super) fn lines(screen: &mut Screen, pins: &[Pinned]) {
    let mut table = Table::new(["PARTNER", "NAME", "ZONE", "FINGERPRINT"]);
    for Pinned { card, fingerprint } in pins {
        table.row([card.code.to_string(), card.name.clone(), card.zone.clone(), fingerprint.to_string()]);
    }
    screen.table(&table, "no partner is pinned; see `entente trust add --help`");
}

fn as_json(pinned: &Pinned) -> Value {
    json!({ "fingerprint": pinned.fingerprint, "card": pinned.card })
}
