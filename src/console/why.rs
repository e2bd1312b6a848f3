//! `/why`: which side says no to something with a proposal, and what would change that.

use super::{
    fields::Fields,
    frame::{Frame, Section, Visit},
    words::{Trouble, sentence, trouble},
};
use crate::{
    client::{
        Client, ClientError, Result,
        explanations::{ExplainedAction, NO_ACT_WOULD},
        naming::ProposalName,
    },
    domain::name::visible,
    wire::explanation::{ExplainedSide, Explanation},
};
use askama::Template;
use axum::response::Response;

/// What can be asked about, with its word in the form.
const ACTIONS: [(&str, &str, ExplainedAction); 4] = [
    ("view", "know that it exists", ExplainedAction::View),
    ("read", "read its documents", ExplainedAction::Read),
    ("restricted", "read the restricted documents of a party", ExplainedAction::ReadRestricted),
    ("reviews", "read its reviews", ExplainedAction::ReadReviews),
];

#[derive(Template)]
#[template(path = "why.html")]
struct WhyPage {
    frame: Frame,
    asked: WhyQuery,
    found: Option<ExplainedAccess>,
    trouble: Option<Trouble>,
}

/// What is asked.
#[derive(Debug, Clone)]
struct WhyQuery {
    proposal: String,
    member: String,
    action: String,
    owner: String,
}

impl WhyQuery {
    fn read(fields: &Fields) -> Self {
        let [proposal, member, action, owner] =
            ["proposal", "member", "action", "owner"].map(|name| fields.get(name).to_owned());
        Self { proposal, member, action: if action.is_empty() { "read".to_owned() } else { action }, owner }
    }

    fn actions(&self) -> Vec<(&'static str, &'static str, bool)> {
        ACTIONS.iter().map(|(word, said, _)| (*word, *said, self.action == *word)).collect()
    }
}

/// What the exchange says.
struct ExplainedAccess {
    /// Who may or may not do what.
    said: String,
    is_permitted: bool,
    outcome: String,
    steps: Vec<ExplainedAccessStep>,
    would_permit: Vec<String>,
    /// What is said where nothing would.
    nothing_would: Option<String>,
}

struct ExplainedAccessStep {
    action: String,
    /// The sides that say no.
    denying: Vec<ExplainedAccessSide>,
    permitting: Vec<ExplainedAccessSide>,
}

struct ExplainedAccessSide {
    name: String,
    reasons: Vec<ExplainedAccessReason>,
}

struct ExplainedAccessReason {
    reason: String,
    policy: String,
    text: String,
}

/// Asks the exchange, once there is a proposal to ask about.
pub(super) async fn show(visit: Visit, fields: Fields) -> Response {
    let asked = WhyQuery::read(&fields);
    let (found, trouble) = if asked.proposal.is_empty() {
        (None, None)
    } else {
        match explain(&visit.unlocked.client, &asked).await {
            Ok(found) => (Some(shown(&found)), None),
            Err(error) => (None, Some(trouble(&error))),
        }
    };
    let frame = visit.frame(Section::Why, "Why not").await;
    visit.answer(Section::Why, Ok(WhyPage { frame, asked, found, trouble })).await
}

async fn explain(client: &Client, asked: &WhyQuery) -> Result<Explanation> {
    let usage =
        |field: &str, what: &str, help: &str| ClientError::usage(format!("“{field}” is not {what}"), help.to_owned());
    let proposal: ProposalName = asked
        .proposal
        .parse()
        .map_err(|_| usage(&asked.proposal, "a reference", "write the reference, such as `BIRD26-48179`"))?;
    let member = (!asked.member.is_empty()).then(|| asked.member.parse()).transpose();
    let member = member
        .map_err(|_| usage(&asked.member, "a member", "write the member like `ISR:avi`, or leave it empty for you"))?;
    let owner = (!asked.owner.is_empty()).then(|| asked.owner.parse()).transpose();
    let owner = owner
        .map_err(|_| usage(&asked.owner, "the code of a partner", "write the code of a partner, such as `ISR`"))?;
    let action = ACTIONS.iter().find(|(word, ..)| *word == asked.action).map(|(.., action)| *action);
    let action =
        action.ok_or_else(|| usage(&asked.action, "something that is asked about", "choose one of the list"))?;
    if action == ExplainedAction::ReadRestricted && owner.is_none() {
        let what = "restricted documents are those of one party, and none is named";
        return Err(ClientError::usage(what, "write the code of the party, such as `ISR`"));
    }
    client.explain(&proposal, member.as_ref(), action, owner.as_ref()).await
}

fn shown(found: &Explanation) -> ExplainedAccess {
    let is_permitted = found.outcome == "permitted";
    let steps = found.steps.iter().map(|step| {
        let (permitting, denying): (Vec<_>, Vec<_>) = step.sides.iter().partition(|side| side.permitted);
        let shown = |sides: Vec<&ExplainedSide>| sides.into_iter().map(shown_side).collect();
        ExplainedAccessStep {
            action: action_said(&step.action),
            denying: shown(denying),
            permitting: shown(permitting),
        }
    });
    let may = if is_permitted { "may" } else { "may not" };
    let action = action_said(&found.action);
    ExplainedAccess {
        said: format!("{} {may} {action}: {}", found.member, found.reference),
        is_permitted,
        outcome: visible(&found.outcome),
        steps: steps.collect(),
        would_permit: found.would_permit.iter().map(|acts| sentence(&acts.join(", and "))).collect(),
        nothing_would: (!is_permitted && found.would_permit.is_empty()).then(|| sentence(NO_ACT_WOULD)),
    }
}

/// What is asked about, in the words of the form.
fn action_said(action: &str) -> String {
    let found = ACTIONS.iter().find(|(.., known)| known.as_str() == action);
    found.map_or_else(|| visible(action), |(_, said, _)| (*said).to_owned())
}

fn shown_side(side: &ExplainedSide) -> ExplainedAccessSide {
    let who = match side.side.as_str() {
        "guardrails" => "The rules of the exchange".to_owned(),
        "release" => format!("{}, who releases it", side.owner),
        "reader" => format!("{}, the reader's own nation", side.owner),
        other => visible(other),
    };
    let version = match side.version {
        Some(0) => String::new(),
        Some(version) => format!(" (policies, version {version})"),
        None => " (no policies)".to_owned(),
    };
    let reasons = side.reasons.iter().map(|reason| ExplainedAccessReason {
        reason: sentence(&reason.reason),
        policy: reason.policy.as_deref().map(visible).unwrap_or_default(),
        text: reason.text.as_deref().map(lines).unwrap_or_default(),
    });
    ExplainedAccessSide { name: format!("{who}{version}"), reasons: reasons.collect() }
}

/// A text of several lines.
fn lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}
