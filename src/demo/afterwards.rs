//! What is left when the story ends: a call that stays open, and commands for another terminal.
//!
//! Every command works as it is printed, in this order, in any POSIX shell; a test runs them. Those under a line with
//! “refused” are refused.

use super::{
    cast,
    documents::Documents,
    narrator,
    story::{self, Outcomes},
    world::{DemoWorld, Error},
};
use crate::{
    client::{Ambient, Home},
    console::{ConsoleName, ConsoleOptions, RunningConsole, USUAL_IDLE},
    domain::reference::CallCode,
    wire::call::Call,
};
use jiff::SignedDuration;
use std::{future::pending, path::Path};

/// Officers publish a third call, now, that stays open for a month.
pub(super) async fn open_call(world: &DemoWorld, outcomes: &Outcomes) -> Result<Call, Error> {
    let now = world.clock.now();
    narrator::date(now, "A third call stays open, for you to hand in to");
    let deadline_at = now.checked_add(SignedDuration::from_hours(24 * 30))?;
    story::publish(world, outcomes.bilateral_program, &cast::second_cut_off(now, deadline_at)).await
}

/// Prints what to try.
pub(super) async fn commands(
    world: &DemoWorld,
    outcomes: &Outcomes,
    call: &CallCode,
    documents: &Documents,
) -> Result<(), Error> {
    let program = std::env::current_exe().unwrap_or_else(|_| "entente".into());
    let homes = world.plan.dir.join("homes");
    let summary = world.plan.dir.join("documents/summary.json");
    std::fs::write(&summary, SUMMARY)?;
    let (program, homes, summary) = (quoted(&program), quoted(&homes), quoted(&summary));
    let (plan, budget) = (quoted(&documents.work_plan), quoted(&documents.budget));
    let lodestone = world.client("ISR:avi").api().proposal(outcomes.proposals[0].1).await?.reference;
    let lines = format!(
        "
The exchange keeps serving. Try it in another terminal; first a short way to be one member or another:
  as() {{ who=$1; shift; {program} --home {homes}/$who \"$@\"; }}
as a reviewer who may read:
  as USA.carol proposal open {lodestone} work-plan --output plan.pdf
as the host's own officer with a conflict, for whom the same proposal does not exist (refused):
  as USA.olivia proposal show {lodestone}
as anybody, to see what the log tells them:
  as ISR.avi log --limit 10

Hand in a joint proposal yourself, as a company of each nation:
  ref=$(as ISR.gal --json proposal create --call {call} --with USA:kate --topic navigation | grep -o '{call}-[0-9]*' | head -1)
  as USA.kate proposal accept $ref
  as ISR.gal proposal summary $ref --file {summary}
  as ISR.gal proposal put $ref work-plan {plan}
  as ISR.gal proposal put $ref budget {budget}
  as ISR.gal proposal sign $ref --yes
  as USA.kate proposal sign $ref --yes
  as ISR.gal proposal status $ref
as the officer who runs the call, before its deadline (refused):
  as USA.dana proposal open $ref work-plan --output early.pdf
and as a stranger to it, for whom it does not exist (refused):
  as KOR.jiwoo proposal show $ref"
    );
    for line in lines.lines() {
        // Commands are copied as they are.
        if line.starts_with("  ") { narrator::line(line) } else { narrator::text(line) }
    }
    consoles(world).await?;
    narrator::text("\nCtrl-C ends it.");
    Ok(())
}

/// Who is shown in a browser, and as what.
const IN_A_BROWSER: [(&str, &str); 5] = [
    ("ISR:avi", "a submitter"),
    ("USA:carol", "a reviewer"),
    ("USA:dana", "the officer"),
    ("USA:frank", "a decider"),
    ("KOR:jiwoo", "a submitter of another nation"),
];

/// Starts a console for each of some members, and prints its address.
async fn consoles(world: &DemoWorld) -> Result<(), Error> {
    narrator::text("\nOr look at it in your browser; each address is good once, for one browser:");
    for (member, part) in IN_A_BROWSER {
        let home = Home::locate(Some(&world.home(&member.parse()?)))?;
        let console = RunningConsole::start(ConsoleOptions {
            profile: home.profile_name(None)?,
            home,
            ambient: Ambient { clock: world.clock.clone(), rng: world.rng.clone() },
            port: None,
            name: ConsoleName::Random,
            idle: USUAL_IDLE,
        })
        .await?;
        narrator::text(&format!("as {member}, {part}:"));
        narrator::line(&console.doorkeeper().new_address());
        // It ends with the demonstration.
        tokio::spawn(console.run(pending()));
    }
    Ok(())
}

/// A path as one word of a POSIX shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

const SUMMARY: &str = r#"{
  "title": "Orchard lanterns: robots that see in the dark",
  "abstract": "Cheap active lighting for field robots, and the navigation that goes with it.",
  "team": [{ "name": "Gal Shaked", "organisation": "Negev Robotics", "role": "principal investigator" }],
  "budget": [{ "item": "Field season", "party": "ISR", "amount": 240000, "currency": "USD" }]
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_stays_one_word_of_the_shell() {
        let quoted = |text: &str| super::quoted(Path::new(text));
        assert_eq!(quoted("/tmp/entente-demo-x/plan.pdf"), "/tmp/entente-demo-x/plan.pdf");
        assert_eq!(quoted("/tmp/my $demo"), "'/tmp/my $demo'");
        assert_eq!(quoted("/tmp/dana's"), r"'/tmp/dana'\''s'");
    }
}
