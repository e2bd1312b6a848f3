//! A nation changes its policies after the calls: proposed, previewed, approved by a second officer, in force, explained, and not
//! widened by anybody else.

use super::{
    narrator,
    world::{DemoWorld, Error},
};
use crate::{
    client::{Client, verified::VersionChoice},
    domain::{
        id::{MemberId, ProposalId},
        policy::PolicyOwner,
        text::counted,
    },
    wire::policy::PolicyVersion,
};

/// What Israel adds.
const CLOSED: &str = r#"
@id("closed-after-decision")
@side("release")
@reason("reviewers stop reading once the decision is final")
forbid(principal, action in [Action::"Read", Action::"ViewDeliberation"], resource)
when { resource.decided && resource.call.reviewers.contains(principal) };
"#;

/// What the United States tries.
const OPEN: &str = r#"
@id("everything") @side("release") @reason("everything is released")
permit(principal, action, resource is Proposal);
@id("everything-read") @side("reader") @reason("everything may be read")
permit(principal, action, resource is Proposal);
"#;

/// Israel closes decided proposals to reviewers; `proposal` is one of Israel and the United States that `reviewer` has read.
pub(super) async fn change(world: &DemoWorld, proposal: ProposalId, name: &str, reviewer: &str) -> Result<(), Error> {
    narrator::date(world.clock.now(), "Israel changes whom it releases to, once the decision is final");
    let [israel, united_states] = ["ISR", "USA"].map(str::parse::<PolicyOwner>);
    let (israel, united_states) = (israel?, united_states?);
    let drafter = world.client("ISR:drafter");
    let before = text(&drafter.policy(&israel).await?)?;
    let proposed = drafter.propose_policy(&israel, "ISR.cedar", &format!("{before}{CLOSED}"), None).await?;
    let version = proposed.version;
    narrator::act(
        "ISR:drafter",
        &format!("proposes version {version} of Israel's policies: reviewers stop reading decided proposals"),
    );
    if !reads(world.client(reviewer), proposal).await? {
        return Err(format!("{reviewer} cannot read {name} before anything is approved").into());
    }

    let approver = world.client("ISR:approver");
    let (changes, summary) = approver.preview_policy(&proposed).await?;
    let considered = counted(summary.considered, "proposal", "proposals");
    narrator::act("ISR:approver", &format!("looks at what it would change, over {considered}:"));
    for (nation, tally) in &summary.losses {
        let members = counted(tally.members, "member loses", "members lose");
        let line = format!("{nation}: {members} the content of {}", counted(tally.readings, "proposal", "proposals"));
        narrator::consequence(&line);
    }
    let fetched = changes.iter().filter(|change| change.has_fetched).count();
    narrator::consequence(&format!("{fetched} of those have fetched content already; what was read stays read"));
    approver.approve_policy(&proposed, &summary).await?;
    narrator::act("ISR:approver", "approves and signs for that preview; it is in force");

    if reads(world.client(reviewer), proposal).await? {
        return Err(format!("{reviewer} still reads {name}").into());
    }
    let member: MemberId = reviewer.parse()?;
    let found = world.client(reviewer).api().explanation(proposal, Some(&member), "Read", None).await?;
    let sides = found.steps.iter().flat_map(|step| &step.sides);
    let refusing =
        sides.filter(|side| !side.permitted).flat_map(|side| side.reasons.iter().map(move |reason| (side, reason)));
    for (side, reason) in refusing {
        let policy = reason.policy.as_deref().unwrap_or("no policy");
        let version = side.version.unwrap_or_default();
        let why = format!(
            "{}: {} ({policy}, {} of {}, version {version})",
            found.outcome, reason.reason, side.side, side.owner
        );
        narrator::refusal(reviewer, &format!("opens {name} again, and asks why not"), &why);
    }

    let (drafter, approver) = (world.client("USA:drafter"), world.client("USA:approver"));
    let own = text(&drafter.policy(&united_states).await?)?;
    replace(drafter, approver, &united_states, OPEN).await?;
    if reads(world.client(reviewer), proposal).await? {
        return Err("one nation widened what another released".into());
    }
    narrator::refusal(
        "USA:drafter, approver",
        "release and read everything that the United States has a say in",
        &format!("{reviewer} still does not read {name}: what Israel does not release, nobody else can"),
    );
    replace(drafter, approver, &united_states, &own).await?;
    replace(world.client("ISR:drafter"), world.client("ISR:approver"), &israel, &before).await?;
    narrator::act(
        "both nations",
        "put their earlier texts in force again, each as a new version that two officers signed",
    );
    Ok(())
}

async fn replace(drafter: &Client, approver: &Client, owner: &PolicyOwner, text: &str) -> Result<(), Error> {
    let proposed = drafter.propose_policy(owner, &owner.to_string(), text, None).await?;
    let (_, summary) = approver.preview_policy(&proposed).await?;
    approver.approve_policy(&proposed, &summary).await?;
    Ok(())
}

async fn reads(client: &Client, proposal: ProposalId) -> Result<bool, Error> {
    match client.manifest(proposal, VersionChoice::Standing).await {
        Ok(_) => Ok(true),
        Err(error) if error.slug() == Some("denied") || error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn text(policy: &PolicyVersion) -> Result<String, Error> {
    policy.text.clone().ok_or_else(|| "the policies in force came without their text".into())
}
