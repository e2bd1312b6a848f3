//! `entente member`: members with the keys that their registrar vouched for, each verified before it is shown as such.

use super::{
    context::{Context, joined},
    error::Result,
    output::{Screen, Style},
    preview::PreviewArgs,
    table::Table,
    time::Zone,
};
use crate::{
    client::{directory::ListedMember, preview::PreviewedAct},
    domain::{
        id::{MemberId, PartnerCode},
        member::PartnerRole,
    },
    wire::directory::MemberRefusal,
};
use clap::{Args, Subcommand};
use serde_json::json;

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
    /// List what members of your nation were refused, and how often (policy officers)
    #[command(after_help = "Examples:
  entente member refusals
  entente --json member refusals | jq -r '.items[] | select(.problem == \"not-found\") | .member'

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
            context.out.answer(&json!({ "items": items }), |screen| lines(screen, &members))
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
    let mut table = Table::new(["MEMBER", "NAME", "ORGANISATION", "ROLES", "STATUS", "VERIFIED"]);
    for ListedMember { member, verified } in members {
        let verified = if verified.is_ok() { "yes" } else { "NO" };
        let (id, roles) = (member.member.to_string(), joined(&member.roles));
        table.row([&*id, &member.name, &member.organisation, &roles, &member.status, verified]);
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
        let unknown = || format!("certificate {:.12}", refusal.certificate.to_string());
        let member = refusal.member.as_ref().map_or_else(unknown, ToString::to_string);
        let request = format!("{} {}", refusal.method, refusal.route);
        let last = zone.both(refusal.last_at.0);
        table.row([&*member, &refusal.problem, &refusal.times.to_string(), &last, &request]);
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
