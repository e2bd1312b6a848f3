//! Who could see what, and why: asked of the exchange over the API, explained by the same policies.

use super::{
    narrator::Narrator,
    world::{Error, World},
};
use crate::{
    client::opening::Version,
    domain::id::{MemberId, ProposalId},
    policy::{Action, Resource, Standing},
    service::state,
};

/// Prints the table for the given members and proposals. Each cell is what the exchange really answers the member; the reason
/// beneath is the policies' own, and the two must agree.
pub async fn table(
    world: &World,
    members: &[&str],
    proposals: &[(&'static str, ProposalId)],
    narrator: &Narrator,
) -> Result<(), Error> {
    narrator.line("\nWho could see what");
    let names: String = proposals.iter().map(|(name, _)| format!("{name:<14}")).collect();
    narrator.line(&format!("  {:<14}{names}", ""));
    let mut reasons = Vec::new();
    for member in members {
        let mut line = format!("  {member:<14}");
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
            line.push_str(&format!("{word:<14}"));
            if standing != Standing::Permitted {
                reasons.push(format!("  {member:<14}{name:<14}{why}"));
            }
        }
        narrator.line(&line);
    }
    narrator.line("\nWhy not");
    for reason in reasons {
        narrator.line(&reason);
    }
    Ok(())
}

async fn explained(world: &World, member: &MemberId, proposal: ProposalId) -> Result<(Standing, String), Error> {
    let exchange = &*world.server.exchange;
    let now = exchange.clock.now();
    let mut tx = exchange.db.read().await?;
    let facts = state::member(exchange, &mut tx, member, now).await?.ok_or("a member of the cast has a key card")?;
    let proposal = state::proposal(&mut tx, proposal, now).await?.ok_or("the story made the proposal")?;
    let decision = exchange.policies.load().explain(&facts, Action::Read, Resource::Proposal(&proposal.facts));
    Ok((decision.standing, decision.reasons().first().to_owned()))
}

async fn answered(world: &World, member: &str, proposal: ProposalId) -> Result<Standing, Error> {
    let client = world.client(member);
    match client.api().proposal(proposal).await {
        Ok(_) => match client.manifest(proposal, Version::Standing).await {
            Ok(_) => Ok(Standing::Permitted),
            Err(error) if error.slug() == Some("denied") => Ok(Standing::Denied),
            Err(error) => Err(error.into()),
        },
        Err(error) if error.is_not_found() => Ok(Standing::Hidden),
        Err(error) => Err(error.into()),
    }
}
