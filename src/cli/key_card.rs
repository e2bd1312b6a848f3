//! `entente key-card`: what a partner's registrar does: vouch for members and their keys, and take that back.

use super::{
    act::{DryRun, Question},
    card,
    context::{Context, joined},
    error::{CliError, Result, read_input},
    output::Screen,
    prompt::Consent,
    time::instant,
};
use crate::{
    client::{
        Client,
        directory::{NearOrganisation, NewKeyCard},
    },
    domain::{
        id::{MemberId, Sha256},
        member::PartnerRole,
    },
    sealing::{card::normal_pem, certificates::check_member_certificate},
    wire::directory::Member,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::path::PathBuf;

const CERTIFICATES: &str = "docs/operations.md says what a member's certificate must contain";

/// How many organisations that are nearly the same are named.
const SHOWN: usize = 10;

/// Vouch for members' keys (registrars)
#[derive(Debug, Subcommand)]
pub enum KeyCardCommand {
    /// Sign and publish a member's key card; replaces an earlier one
    #[command(after_help = "Examples:
  entente key-card issue ISR:avi --name 'Avi Levi' \\
      --organisation 'Galil Optics' --recipient age1ql3z7hjy… \\
      --certificate avi.crt --valid-until 2027-01-01T00:00:00Z --dry-run
  entente key-card issue ISR:registrar --name 'Registrar' \\
      --organisation 'Innovation Authority' \\
      --role registrar --certificate registrar.crt

To renew a certificate, issue a card with the new one: what the old one signed stays provable. \
If a key may be stolen, revoke first, then issue.

The first card of a partner is its registrar's own. Look at the certificate and recipient in person \
before you sign: everybody else believes them because you did. A member who works where a member of a party works is kept \
from judging, by the name of the organisation alone: names in the directory that look nearly the same are shown, and \
at a terminal you are asked whether yours is another one.")]
    Issue(Box<Issue>),
    /// Revoke a member's key card: the member can no longer connect, and nothing more is sealed to them
    #[command(after_help = "Examples:
  entente key-card revoke ISR:avi --keep-signatures --dry-run
  entente key-card revoke ISR:avi --keep-signatures   somebody left
  entente key-card revoke ISR:avi --distrust-signatures
      the signing key was stolen

Distrust reaches back: everybody's client refuses whatever the member ever signed. Vaults that the member made stay \
closed, with the proposals in them, and versions, reviews and decisions that need the member's signature do not \
verify. Choose it only if somebody else may have signed with the key. Asks first, unless a script says `--yes`.")]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub struct Issue {
    /// The member, of your own partner
    member: MemberId,
    /// The person's or system's name
    #[arg(long)]
    name: String,
    /// Its organisation; conflicts of interest are found by it, so write it the same way every time
    #[arg(long)]
    organisation: String,
    /// Role in the partner itself: registrar, `policy_officer`, custodian, `program_officer` or relay
    #[arg(long)]
    role: Vec<PartnerRole>,
    /// Role that the member's present card has and the new one lacks; none is dropped unsaid
    #[arg(long, value_name = "ROLE")]
    without: Vec<PartnerRole>,
    /// age recipient; what is wrapped to the member is wrapped to each [default: those of your profile, for your own card]
    #[arg(long, value_name = "AGE1…")]
    recipient: Vec<String>,
    /// Certificate, PEM, whose key the member connects and signs with, with the authorities above it
    #[arg(long, value_name = "FILE", required = true)]
    certificate: Vec<PathBuf>,
    /// First instant of validity [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
    valid_from: Option<Timestamp>,
    /// First instant past validity: RFC 3339 or `2027-01-01 00:00 Asia/Seoul` [default: the end of the first certificate]
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
    valid_until: Option<Timestamp>,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("signatures").required(true).args(["keep_signatures", "distrust_signatures"]))]
pub struct Revoke {
    /// The member
    member: MemberId,
    /// The member left or lost the key: what was signed so far stays provable
    #[arg(long)]
    keep_signatures: bool,
    /// Somebody else may have signed with the key: no signature by it is believed, old or new
    #[arg(long)]
    distrust_signatures: bool,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) async fn run(command: KeyCardCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        KeyCardCommand::Issue(args) => {
            let Issue {
                member,
                name,
                organisation,
                role,
                recipient,
                certificate,
                valid_from,
                valid_until,
                dry_run,
                consent,
                without,
            } = *args;
            let VouchedCertificates { pins, shown, valid_until } = vouched(&member, &certificate, valid_until)?;
            let recipients = if recipient.is_empty() { own_recipients(&client, &member).await? } else { recipient };
            let near = client.near_organisations(&organisation, &member).await?;
            for NearOrganisation { organisation: other, partners } in near.iter().take(SHOWN) {
                context.out.warn(&format!("`{other}` of {} is nearly `{organisation}`", joined(partners)));
            }
            if near.len() > SHOWN {
                context
                    .out
                    .warn(&format!("{} more are nearly `{organisation}`: `entente member list`", near.len() - SHOWN));
            }
            if !near.is_empty() && !context.out.is_json() && !dry_run.is_meant() {
                context
                    .keyboard()
                    .meant(consent, "write the organisation as the others do if it is the same one")
                    .await?;
            }
            let new = NewKeyCard {
                member,
                name,
                organisation,
                roles: role.into_iter().collect(),
                without: without.into_iter().collect(),
                recipients,
                certificates: pins,
                shown,
                valid_from,
                valid_until,
            };
            if !card::goes_ahead(context, &client.forecast_issue(&new).await?, dry_run, Question::Never).await? {
                return Ok(());
            }
            let published = client.issue_key_card(&new).await?;
            context.out.answer(&published, |screen| show(screen, &published))
        }
        KeyCardCommand::Revoke(Revoke { member, keep_signatures, distrust_signatures: _, dry_run, consent }) => {
            let forecast = client.forecast_revocation(&member, keep_signatures).await?;
            if !card::goes_ahead(context, &forecast, dry_run, Question::Always(consent)).await? {
                return Ok(());
            }
            let published = client.revoke_key_card(&member, keep_signatures).await?;
            context.out.answer(&published, |screen| show(screen, &published))?;
            context.out.note("keys wrapped to the member earlier stay where they are; revoke the certificate as well");
            Ok(())
        }
    }
}

/// What a card states of certificates, and the certificates themselves, for the exchange to look at.
struct VouchedCertificates {
    pins: Vec<Sha256>,
    shown: Vec<String>,
    valid_until: Timestamp,
}

/// Reads the member's certificates. Refuses those that nobody could connect or sign with, and a card that ends after all of them.
fn vouched(member: &MemberId, files: &[PathBuf], valid_until: Option<Timestamp>) -> Result<VouchedCertificates> {
    let (mut pins, mut shown, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        let pem = read_input(file, 1 << 20)?;
        if let Some(named) = super::profile::member_of(&pem)
            && named != *member
        {
            let message = format!("certificate `{}` names `{named}`, not `{member}`", file.display());
            return Err(CliError::usage(message).help("issue the card for the member that the certificate names"));
        }
        let unfit = |error: String| CliError::usage(format!("`{}`: {error}", file.display())).help(CERTIFICATES);
        let key = check_member_certificate(&pem, member).map_err(|error| unfit(error.to_string()))?;
        // Without what else may be in the file, such as the key.
        shown.push(normal_pem(&pem).map_err(|error| unfit(error.to_string()))?.concat());
        if !pins.contains(&key.pin) {
            pins.push(key.pin);
        }
        ends.push(key.not_after);
    }
    let (Some(first), Some(last)) = (ends.first().copied(), ends.iter().max().copied()) else {
        return Err(CliError::usage("no certificate is given").help("`--certificate`"));
    };
    let valid_until = valid_until.unwrap_or(first);
    // Certificates end with a whole second. An old one may end before the card, beside one that lasts.
    if last.as_second() < valid_until.as_second() {
        let at = ends.iter().position(|end| *end == last).unwrap_or_default();
        let message = format!(
            "certificate `{}` ends on {last:.0}, before the key card, on {valid_until:.0}",
            files[at].display()
        );
        return Err(CliError::usage(message).help("let the card end with the certificate: `--valid-until`"));
    }
    Ok(VouchedCertificates { pins, shown, valid_until })
}

/// The recipients of the registrar's own card, so that nobody copies one.
async fn own_recipients(client: &Client, member: &MemberId) -> Result<Vec<String>> {
    let help = "give it with `--recipient`, or invite the member with `entente member invite`";
    if client.member_id().await? != *member {
        return Err(CliError::usage(format!("the recipient of `{member}` is missing")).help(help));
    }
    let own = client.own_recipients().await?;
    if own.is_empty() {
        return Err(CliError::usage("the identities of the profile do not tell their recipients").help(help));
    }
    Ok(own)
}

/// An instant as an argument.
pub(super) fn instant_argument(text: &str) -> Result<Timestamp, String> {
    instant(text).map_err(|error| match error.help {
        Some(help) => format!("{}; {help}", error.message),
        None => error.message,
    })
}

fn show(screen: &mut Screen, member: &Member) {
    screen.fields(&[
        ("member", member.member.to_string()),
        ("name", member.name.clone()),
        ("organisation", member.organisation.clone()),
        ("roles", joined(&member.roles)),
        ("serial", member.serial.to_string()),
        ("status", member.status.clone()),
    ]);
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::{Parser, error::ErrorKind};

    fn parsed(flags: &[&str]) -> Result<(), ErrorKind> {
        let words = ["entente", "key-card", "revoke", "ISR:avi"];
        Cli::try_parse_from(words.iter().chain(flags)).map(drop).map_err(|error| error.kind())
    }

    #[test]
    fn revocation_says_what_becomes_of_the_signatures() {
        assert_eq!(parsed(&[]), Err(ErrorKind::MissingRequiredArgument));
        let (keep, distrust) = ("--keep-signatures", "--distrust-signatures");
        assert_eq!(parsed(&[keep, distrust]), Err(ErrorKind::ArgumentConflict));
        assert_eq!((parsed(&[keep]), parsed(&[distrust])), (Ok(()), Ok(())));
    }
}
