//! Who could see what, and why: asked of the exchange over the API, explained by the same policies.

use super::{
    narrator,
    world::{DemoWorld, Error},
};
use crate::{
    client::verified::VersionChoice,
    domain::id::{MemberId, ProposalId},
    policy::{Action, Resource, Side, Standing, VerdictReason},
    service::state,
};

/// Prints the table for the given members and proposals. Each cell is what the exchange really answers the member; the reason
/// beneath is the policies' own, and the two must agree.
pub(super) async fn table(
    world: &DemoWorld,
    members: &[&str],
    proposals: &[(&'static str, ProposalId)],
) -> Result<(), Error> {
    narrator::line("\nWho could see what");
    let heading = proposals.iter().map(|(name, _)| format!("{name:<14}")).collect::<Vec<_>>().concat();
    narrator::line(&format!("  {:<14}{heading}", ""));
    let mut reasons = Vec::new();
    for member in members {
        let mut words = vec![format!("  {member:<14}")];
        // Proposals under the same reason share a line.
        let mut why_not: Vec<(String, Vec<&str>)> = Vec::new();
        for (name, proposal) in proposals {
            let (standing, why) = explained(world, &member.parse()?, *proposal).await?;
            let answered = answered(world, member, *proposal).await?;
            if answered != standing {
                return Err(format!("{member} gets `{answered}` for {name}, but policy says `{standing}`").into());
            }
            let word = match standing {
                Standing::Permitted => "reads",
                Standing::Denied => "knows of it",
                Standing::Hidden => "·",
            };
            words.push(format!("{word:<14}"));
            if standing != Standing::Permitted {
                match why_not.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, names)) => names.push(name),
                    None => why_not.push((why, vec![name])),
                }
            }
        }
        narrator::line(&words.concat());
        let told = |(why, names): &(String, Vec<&str>)| format!("{}: {why}", names.join(", "));
        reasons.extend(why_not.iter().map(|why_not| (format!("  {member:<14}"), told(why_not))));
    }
    narrator::line("\nWhy not");
    for (member, why) in reasons {
        narrator::after(&member, &why);
    }
    Ok(())
}

async fn explained(world: &DemoWorld, member: &MemberId, proposal: ProposalId) -> Result<(Standing, String), Error> {
    let exchange = &*world.server.exchange;
    let now = exchange.clock.now();
    let mut tx = exchange.db.read().await?;
    let policies = exchange.rules.at(&mut tx, &exchange.host, now).await?;
    let facts = state::member(exchange, &mut tx, member, now).await?.ok_or("a member of the cast has a key card")?;
    let proposal = state::proposal(&mut tx, proposal, now).await?.ok_or("the story made the proposal")?;
    let decision = policies.explain(&facts, Action::Read, Resource::Proposal(&proposal.facts));
    let reasons = decision.reasons();
    let outside = |reason: &VerdictReason| reason.side == Side::Guardrails && reason.policy.is_none();
    let no_part = decision.standing == Standing::Hidden && reasons.iter().next().is_some_and(outside);
    let why = if no_part { "takes no part in the call or in the proposal" } else { reasons.first() };
    Ok((decision.standing, why.to_owned()))
}

async fn answered(world: &DemoWorld, member: &str, proposal: ProposalId) -> Result<Standing, Error> {
    let client = world.client(member);
    match client.api().proposal(proposal).await {
        Ok(_) => match client.manifest(proposal, VersionChoice::Standing).await {
            Ok(_) => Ok(Standing::Permitted),
            Err(error) if matches!(error.slug(), Some("denied" | "not-declared")) => Ok(Standing::Denied),
            Err(error) => Err(error.into()),
        },
        Err(error) if error.is_not_found() => Ok(Standing::Hidden),
        Err(error) => Err(error.into()),
    }
}
