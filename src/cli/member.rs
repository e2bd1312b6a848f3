//! `entente member`: members with the keys that their registrar vouched for, each verified before it is shown as such.

use super::{
    act::{DryRun, Question},
    card,
    cell::TableCell,
    context::{Context, joined},
    enrolment,
    error::{CliError, Result},
    handover::{Earlier, require_new},
    join,
    output::{Screen, Style},
    partner_status,
    preview::PreviewArgs,
    table::Table,
    time::Zone,
};
use crate::{
    client::{directory::ListedMember, joining::handover_name, preview::PreviewedAct},
    domain::{
        id::{MemberId, PartnerCode},
        member::PartnerRole,
    },
    wire::directory::MemberRefusal,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

/// Look up members and their key cards
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List members, and whether each one's key card verifies
    #[command(after_help = "Examples:
  entente member list
  entente member list --partner ISR
  entente --json member list | jq -r '.items[] | select(.verified) | .member'")]
    List {
        /// Of this partner only
        #[arg(long)]
        partner: Option<PartnerCode>,
    },
    /// Show a member; fails with exit code 4 if the key card does not verify
    #[command(after_help = "Examples:\n  entente member show ISR:avi")]
    Show {
        /// Its name
        member: MemberId,
    },
    /// Show what a new, changed or revoked key card would change (policy officers)
    #[command(after_help = "Examples:
  entente member preview ISR:avi --organisation 'Galil Optics'
  entente member preview ISR:avi --role policy_officer
  entente member preview ISR:avi --revoked
  entente member preview ISR:avi --revoked --signed-summary avi-leaves.json

Shows what the member would gain and lose access to. If the member is party to a proposal, it also shows who could not \
judge it because they work for the same organisation. `entente policy summary` checks the file that `--signed-summary` \
writes.")]
    Preview(MemberPreview),
    /// Invite people to become members: one file for each (registrars)
    #[command(after_help = "Examples:
  entente member invite ISR:avi --name 'Avi Levi' --organisation 'Galil Optics'
  entente member invite --file people.csv --to invitations --dry-run
  entente member invite --file people.csv --to invitations

The table has a header with the columns member, name, organisation and, where somebody has roles in your nation, roles. \
An invitation names the exchange, its authority and the partner cards that are pinned on this machine, on your word: pin \
those that your nation has confirmed. Those who are invited answer with `entente join`.")]
    Invite(enrolment::Invite),
    /// Check what invited or renewing members sent back, and vouch for it: certificate, key card, welcome file (registrars)
    #[command(after_help = "Examples:
  entente member approve requests/*.json --ca-certificate ca.crt \\
      --ca-key ca.key --to welcomes
  entente member approve requests/*.json --requests-to csr
      the national PKI signs
  entente member approve requests/*.json --certificates signed --to welcomes

Checks that each sender has the keys that they name, that a registrar of yours invited them or the key in force signs for \
the new one, and that nobody else has their recipients. Shows each key card before and after, and asks once. If any request \
is at fault, nothing is done.")]
    Approve(Box<enrolment::Approve>),
    /// Invite a member again whose keys are lost or whose machine is gone (registrars)
    #[command(after_help = "Examples:
  entente member replace ISR:avi --dry-run
      which keys would end, and who would wrap again
  entente member replace ISR:avi

The member answers with `entente join`. If somebody else may have the old keys, revoke them first: `entente \
key-card revoke`. Once the new key card is published, members who have keys wrap them again for the new recipient; agents \
do it by themselves.")]
    Replace(enrolment::Replace),
    /// Give a member another name, organisation or role; the keys stay (registrars)
    #[command(after_help = "Examples:
  entente member move ISR:avi --organisation 'Haifa Photonics' --dry-run
  entente member move ISR:avi --role program_officer
  entente member move ISR:avi --no-role
  entente member move ISR:avi --newest-key-alone   once a renewed key is in use

A member who works where a party works is kept from judging it, by the name of the organisation alone.")]
    Move(enrolment::Move),
    /// Make a new key for yourself before the certificate ends, and ask your registrar to certify it
    #[command(after_help = "Examples:
  entente member renew --dry-run         what ends when
  entente member renew
  entente join welcome-ISR-avi.json      once the registrar has approved it

The key in force signs the request, and is good until its certificate ends. Your age identity stays. A passphrase protects the \
new key; with that of your identity, commands ask for both at once.")]
    Renew {
        /// Where to write the request [default: request-CODE-HANDLE.json]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Begin again although a request of yours is under way
        #[arg(long)]
        again: bool,
        /// Leave the new key unprotected by a passphrase, for machines
        #[arg(long)]
        plain: bool,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// List what members of your nation were refused, and how often (policy officers)
    #[command(after_help = "Examples:
  entente member refusals
  entente --json member refusals | \\
      jq -r '.items[] | select(.problem == \"not-found\") | .member'

Shows the last 500 different refusals of the server that answers, since it was started. They say who asked and on \
which route, never about what. For calls and proposals, `refused` stands for every problem that would show that \
something hidden exists. `TLS` marks a certificate that was refused when it connected, with the reason. \
`entente policy explain` says why a policy refuses.")]
    Refusals,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("card").required(true).multiple(true).args(["organisation", "role", "no_role", "revoked"]))]
pub struct MemberPreview {
    /// The member
    member: MemberId,
    /// Where they would work
    #[arg(long)]
    organisation: Option<String>,
    /// A role that they would have in the partner; may be given several times; then only these count
    #[arg(long)]
    role: Vec<PartnerRole>,
    /// They would have no role in the partner
    #[arg(long, conflicts_with = "role")]
    no_role: bool,
    /// They would have no key card in force
    #[arg(long, conflicts_with_all = ["organisation", "role", "no_role"])]
    revoked: bool,
    #[command(flatten)]
    shown: PreviewArgs,
}

/// Runs the command.
pub(super) async fn run(command: MemberCommand, context: &Context) -> Result<()> {
    let client = context.client().await?;
    match command {
        MemberCommand::List { partner } => {
            let members = client.list_members(partner.as_ref()).await?;
            let items: Vec<_> = members.iter().map(as_json).collect();
            context.out.answer(&json!({ "items": items }), |screen| lines(screen, &members))?;
            if let Some(warning) = partner_status::warning(&client.own_ending_cards(&members).await?) {
                context.out.warn(&warning);
            }
            Ok(())
        }
        MemberCommand::Preview(MemberPreview { member, organisation, role, no_role, revoked, shown }) => {
            let roles = (no_role || !role.is_empty()).then(|| role.into_iter().collect());
            let act = if revoked {
                PreviewedAct::KeyCardRevoked { member }
            } else {
                PreviewedAct::KeyCard { member, organisation, roles }
            };
            let (changes, summary) = client.preview_member(&act).await?;
            shown.show(context, &client, (&changes, &summary)).await
        }
        MemberCommand::Invite(args) => enrolment::invite(args, context).await,
        MemberCommand::Approve(args) => enrolment::approve(*args, context).await,
        MemberCommand::Replace(args) => enrolment::replace(args, context).await,
        MemberCommand::Move(args) => enrolment::move_member(args, context).await,
        MemberCommand::Renew { to, again, plain, dry_run } => {
            let me = client.member_id().await?;
            let to = to.unwrap_or_else(|| handover_name("request", &me).into());
            let earlier = if again { Earlier::IsReplaced } else { Earlier::Stays };
            if !again {
                require_new(&to)?;
            }
            // A request changes nothing by itself: the registrar approves it.
            if !card::goes_ahead(context, &client.forecast_renewal().await?, dry_run, Question::Never).await? {
                return Ok(());
            }
            let passphrase = if plain {
                None
            } else {
                // On a thread of its own: an interruption is heard meanwhile.
                let keyboard = context.keyboard();
                let typed = tokio::task::spawn_blocking(move || keyboard.new_passphrase()).await;
                Some(typed.map_err(CliError::failed)??)
            };
            join::write_request(&client.renew(again, passphrase.as_ref()).await?, &to, earlier, context)
        }
        MemberCommand::Refusals => {
            let refusals = client.refusals().await?;
            let zone = context.zone()?;
            context.out.answer(&json!({ "items": refusals }), |screen| show_refusals(screen, &refusals, &zone))
        }
        MemberCommand::Show { member } => {
            // Shown only once it is verified: a substituted key must not be copied from here.
            let verified = client.issued_member(&member).await?;
            let listed = client.api().member(&member).await?;
            let zone = context.zone()?;
            let card = &verified.card;
            let state = card
                .check_usable(client.now())
                .map_or_else(|error| format!("NOT IN FORCE: {error}"), |()| "active".into());
            context.out.answer(&listed, |screen| {
                screen.fields(&[
                    ("member", card.member.to_string()),
                    ("name", card.name.clone()),
                    ("organisation", card.organisation.clone()),
                    ("roles", joined(&card.roles)),
                    ("recipients", card.recipients.join("\n")),
                    ("certificates", joined(&card.certificates).replace(' ', "\n")),
                    ("serial", card.serial.to_string()),
                    ("valid from", zone.both(card.valid_from)),
                    ("valid until", zone.both(card.valid_until)),
                    ("status", state),
                    ("verified", format!("signed by a registrar of {}", card.member.partner())),
                ]);
            })
        }
    }
}

/// Members, one a line.
pub(super) fn lines(screen: &mut Screen, members: &[ListedMember]) {
    let mut table = Table::new(["MEMBER", "NAME", "STATUS", "VERIFIED", "ROLES", "ORGANISATION"]);
    for ListedMember { member, verified } in members {
        let verified = if verified.is_ok() { "yes" } else { "NO" };
        let (id, roles) = (member.member.to_string(), joined(&member.roles));
        table.row([&*id, &member.name, &member.status, verified, &roles, &member.organisation]);
    }
    screen.table(&table, "no members");
    for ListedMember { member, verified } in members {
        if let Err(error) = verified {
            screen.styled(&[(Style::Yellow, &format!("{}: ", member.member)), (Style::Plain, &error.to_string())]);
        }
    }
}

/// What members were refused, one kind of request a line.
pub(super) fn show_refusals(screen: &mut Screen, refusals: &[MemberRefusal], zone: &Zone) {
    let mut table = Table::new(["MEMBER", "REFUSED", "TIMES", "LAST", "REQUEST"]);
    for refusal in refusals {
        let whose = || {
            let certificate = refusal.certificate.to_string();
            TableCell::new(format!("certificate {certificate:.12}"), format!("certificate {certificate}"))
        };
        table.row([
            refusal.member.as_ref().map_or_else(whose, |member| member.to_string().into()),
            refusal.problem.as_str().into(),
            refusal.times.to_string().into(),
            zone.cell(refusal.last_at.0),
            format!("{} {}", refusal.method, refusal.route).into(),
        ]);
    }
    screen.table(&table, "no member of your nation was refused anything since the server started");
}

fn as_json(listed: &ListedMember) -> serde_json::Value {
    let mut value = serde_json::to_value(&listed.member).unwrap_or_default();
    value["verified"] = json!(listed.verified.is_ok());
    if let Err(error) = &listed.verified {
        value["fault"] = json!(error.to_string());
    }
    value
}
