//! `entente policy explain` and `who`: who can see a proposal, and why, as the exchange decides it now.

use super::super::{
    context::{Context, joined, whole},
    error::Result,
    output::{Screen, Style},
    table::Table,
};
use crate::{
    client::{
        explanations::{ExplainedAction, NO_ACT_WOULD},
        naming::ProposalName,
    },
    domain::id::{MemberId, PartnerCode},
    wire::explanation::{ExplainedSide, Explanation, Reader},
};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub struct Explain {
    /// The proposal
    #[arg(long)]
    proposal: ProposalName,
    /// Whose access [default: yours]
    #[arg(long)]
    member: Option<MemberId>,
    /// What they would do
    #[arg(long, value_enum, default_value_t = ActionArgument::Read)]
    action: ActionArgument,
    /// With `read-restricted`: the party whose restricted slots are meant
    #[arg(long, value_name = "PARTNER", required_if_eq("action", "read-restricted"))]
    owner: Option<PartnerCode>,
    /// Leave the policies' texts out
    #[arg(long)]
    brief: bool,
}

/// What a member may be let at.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ActionArgument {
    /// Know that the proposal exists
    View,
    /// Read its documents
    Read,
    /// Read the restricted slots of a party
    ReadRestricted,
    /// Read the reviews
    ReadReviews,
}

impl From<ActionArgument> for ExplainedAction {
    fn from(argument: ActionArgument) -> Self {
        match argument {
            ActionArgument::View => Self::View,
            ActionArgument::Read => Self::Read,
            ActionArgument::ReadRestricted => Self::ReadRestricted,
            ActionArgument::ReadReviews => Self::ReadReviews,
        }
    }
}

/// Why a member may or may not.
pub(super) async fn explain(args: &Explain, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let Explain { proposal, member, action, owner, brief } = args;
    let found = client.explain(proposal, member.as_ref(), (*action).into(), owner.as_ref()).await?;
    context.out.answer(&found, |screen| show(screen, &found, *brief))
}

/// Everybody who may know of a proposal.
pub(super) async fn who(proposal: &ProposalName, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let proposal = client.find_proposal(proposal).await?.id;
    let mut readers = client.api().readers(proposal).await?;
    readers.sort_by(|a, b| (a.member.partner(), &a.member).cmp(&(b.member.partner(), &b.member)));
    context.out.answer(&whole(&readers), |screen| lines(screen, &readers))
}

/// Those who may know of a proposal, one a line.
pub(in crate::cli) fn lines(screen: &mut Screen, readers: &[Reader]) {
    let mut table = Table::new(["PARTNER", "MEMBER", "AS", "READS", "RESTRICTED SLOTS OF", "REVIEWS"]);
    for Reader { member, parts, reads, reads_restricted_of, reads_reviews } in readers {
        let yes = |may: bool| if may { "yes" } else { "" }.to_owned();
        table.row([
            member.partner().to_string(),
            member.to_string(),
            joined(parts),
            yes(*reads),
            joined(reads_restricted_of),
            yes(*reads_reviews),
        ]);
    }
    screen.table(&table, "nobody may know of it");
}

pub(in crate::cli) fn show(screen: &mut Screen, found: &Explanation, brief: bool) {
    screen.fields(&[
        ("member", found.member.to_string()),
        ("proposal", screen.named(&found.reference, &found.proposal)),
        ("action", found.action.clone()),
        ("outcome", found.outcome.clone()),
    ]);
    for step in &found.steps {
        screen.gap();
        screen.heading(&step.action);
        for side in &step.sides {
            print_side(screen, side, brief);
        }
    }
    if found.would_permit.is_empty() {
        if found.outcome != "permitted" {
            screen.gap();
            screen.line(NO_ACT_WOULD);
        }
        return;
    }
    screen.gap();
    screen.heading("it would be permitted if");
    for (n, changes) in found.would_permit.iter().enumerate() {
        let line = changes.join(", and ");
        screen.line(&if n == 0 { line } else { format!("or {line}") });
    }
}

fn print_side(screen: &mut Screen, side: &ExplainedSide, brief: bool) {
    let version = side.version.map_or_else(|| "no policies".to_owned(), |version| format!("version {version}"));
    let who = if side.side == "guardrails" { String::new() } else { format!(" of {}", side.owner) };
    let (style, verdict) = if side.permitted { (Style::Green, "yes") } else { (Style::Red, "no") };
    screen.styled(&[(style, verdict), (Style::Plain, &format!("  {}{who} ({version})", side.side))]);
    for reason in &side.reasons {
        let policy = reason.policy.as_ref().map(|id| format!(" [{id}]")).unwrap_or_default();
        screen.line(&format!("     {}{policy}", reason.reason));
        if !brief {
            for line in reason.text.as_deref().unwrap_or_default().lines() {
                screen.line(&format!("       {line}"));
            }
        }
    }
}
