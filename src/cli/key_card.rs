//! `entente key-card`: what a partner's registrar does: vouch for members and their keys, and take that back.

use super::{
    context::{Context, joined},
    error::{CliError, Result, read_input},
    output::Screen,
    prompt::Consent,
    time::instant,
};
use crate::{
    client::{
        Client, ClientError,
        directory::{NearOrganisation, NewKeyCard},
    },
    domain::{
        id::{MemberId, Sha256},
        member::PartnerRole,
    },
    sealing::certificates::check_member_certificate,
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
      --certificate avi.crt --valid-until 2027-01-01T00:00:00Z
  entente key-card issue ISR:registrar --name 'Registrar' \\
      --organisation 'Innovation Authority' \\
      --role registrar --recipient age1ql3z7hjy… --certificate registrar.crt \\
      --valid-until '2027-01-01 00:00 Asia/Jerusalem'

To renew a certificate, issue a card with the new one: what the old one signed stays provable. \
If a key may be stolen, revoke first, then issue.

The first card of a partner is its registrar's own. Look at the certificate and recipient in person \
before you sign: everybody else believes them because you did. A member who works where a member of a party works is kept \
from judging, by the name of the organisation alone: names in the directory that look nearly the same are shown, and \
at a terminal you are asked whether yours is another one.")]
    Issue(Box<Issue>),
    /// Revoke a member's key card: the member can no longer connect, and nothing more is sealed to them
    #[command(after_help = "Examples:
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
    /// age recipient; what is wrapped to the member is wrapped to each
    #[arg(long, value_name = "AGE1…", required = true)]
    recipient: Vec<String>,
    /// Certificate, PEM, whose key the member connects and signs with
    #[arg(long, value_name = "FILE", required = true)]
    certificate: Vec<PathBuf>,
    /// First instant of validity [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
    valid_from: Option<Timestamp>,
    /// First instant past validity: RFC 3339 or `2027-01-01 00:00 Asia/Seoul`
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
    valid_until: Timestamp,
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
                consent,
                without,
            } = *args;
            let mut pins: Vec<Sha256> = Vec::new();
            for file in &certificate {
                let pem = read_input(file, 1 << 20)?;
                if let Some(named) = super::profile::member_of(&pem)
                    && named != member
                {
                    let message = format!("certificate `{}` names `{named}`, not `{member}`", file.display());
                    return Err(
                        CliError::usage(message).help("issue the card for the member that the certificate names")
                    );
                }
                let key = check_member_certificate(&pem, &member)
                    .map_err(|error| CliError::usage(format!("`{}`: {error}", file.display())).help(CERTIFICATES))?;
                if key.not_after < valid_until {
                    let message = format!(
                        "certificate `{}` ends on {:.0}, before the key card, on {valid_until:.0}",
                        file.display(),
                        key.not_after
                    );
                    return Err(CliError::usage(message).help("let the card end with the certificate: `--valid-until`"));
                }
                if !pins.contains(&key.pin) {
                    pins.push(key.pin);
                }
            }
            require_offices(&client, &member, &role, &without).await?;
            let near = client.near_organisations(&organisation, &member).await?;
            for NearOrganisation { organisation: other, partners } in near.iter().take(SHOWN) {
                context.out.warn(&format!("`{other}` of {} is nearly `{organisation}`", joined(partners)));
            }
            if near.len() > SHOWN {
                context
                    .out
                    .warn(&format!("{} more are nearly `{organisation}`: `entente member list`", near.len() - SHOWN));
            }
            if !near.is_empty() && !context.out.is_json() {
                context
                    .keyboard()
                    .meant(consent, "write the organisation as the others do if it is the same one")
                    .await?;
            }
            let card = NewKeyCard {
                member,
                name,
                organisation,
                roles: role.into_iter().collect(),
                recipients: recipient,
                certificates: pins,
                valid_from,
                valid_until,
            };
            let published = client.issue_key_card(&card).await?;
            context.out.answer(&published, |screen| show(screen, &published))
        }
        KeyCardCommand::Revoke(Revoke { member, keep_signatures, distrust_signatures: _, consent }) => {
            let consequence = if keep_signatures {
                "the member can no longer connect, and nothing more is sealed to them, unless you issue another card"
            } else {
                "nothing that the member ever signed is believed any longer, and nobody can open the vaults that the member \
                 made, nor the proposals in them"
            };
            context.keyboard().consent(consent, &format!("revoking the key card of {member}"), consequence).await?;
            let published = client.revoke_key_card(&member, keep_signatures).await?;
            context.out.answer(&published, |screen| show(screen, &published))?;
            context.out.note("keys wrapped to the member earlier stay where they are; revoke the certificate as well");
            Ok(())
        }
    }
}

/// Refuses to drop a role of the present card that the command does not speak of.
async fn require_offices(
    client: &Client,
    member: &MemberId,
    given: &[PartnerRole],
    without: &[PartnerRole],
) -> Result<()> {
    let present = match client.issued_member(member).await {
        Ok(present) => present.card.roles.clone(),
        // The first card of a member, or of a partner.
        Err(ClientError::Usage { .. }) => return Ok(()),
        Err(error) if error.slug() == Some("not-a-member") => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let dropped = present.iter().filter(|role| !given.contains(role) && !without.contains(role));
    let dropped = dropped.map(|role| role.as_str()).collect::<Vec<_>>();
    if dropped.is_empty() {
        return Ok(());
    }
    let roles = dropped.join("`, `");
    Err(CliError::usage(format!("`{member}` is {roles} by the present card, and would no longer be"))
        .help(format!("give `--role {0}` again, or drop it with `--without {0}`", dropped[0])))
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
