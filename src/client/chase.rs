//! How far a call is and what holds it up: by step, by reviewer and by proposal, each with those on whom it waits.
//!
//! All of it is counted here, from what the exchange shows of the panels, at one instant of the exchange's clock. It is the exchange's word
//! and a hint: whatever is done because of it is verified by the command that does it.

use super::{Client, Result};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, MemberId, PartnerCode, ProposalId},
        member::CallRole,
        reference::{CallCode, Reference},
    },
    wire::{
        Time,
        call::RoleHolder,
        review::{Assignment, PanelLine},
    },
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Where the judging under a call stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chase {
    pub code: CallCode,
    pub phase: Phase,
    pub reviews_due_at: Time,
    /// The exchange's clock.
    pub now: Time,
    pub steps: Vec<CallStep>,
    /// By reviewer.
    pub reviewers: Vec<ChasedReviewer>,
    /// Those that are not decided; what is late first.
    pub proposals: Vec<ChasedProposal>,
}

/// A step that every proposal or assignment takes, and how many have taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CallStep {
    pub step: &'static str,
    pub done: u32,
    pub of: u32,
}

/// What one reviewer has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChasedReviewer {
    pub reviewer: MemberId,
    /// Assignments that count.
    pub assigned: u32,
    pub declared: u32,
    /// With a key to what is to be read.
    pub with_key: u32,
    pub handed_in: u32,
    /// Of these, those that came for the first time after they were due.
    pub handed_in_late: u32,
    /// Not in, and due before now.
    pub late: u32,
    pub set_aside: u32,
    pub declined: u32,
}

/// What holds one proposal up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChasedProposal {
    pub proposal: ProposalId,
    pub reference: Reference,
    /// If it was opened on this machine and nobody has to be asked for a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether a review is late.
    pub is_late: bool,
    /// In the order in which they can be done.
    pub blocks: Vec<Block>,
}

/// Something that is to be done, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    pub what: BlockKind,
    /// Members, or nations whose deciders sign.
    pub by: BTreeSet<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// An officer declares, who can assign then.
    OfficerDeclares,
    /// An officer assigns a reviewer.
    Assign,
    /// An officer assigns somebody in place of these.
    Replace,
    /// A reviewer declares.
    Declare,
    /// These get a key.
    Key,
    /// A review is handed in.
    Review,
    /// The same, after it was due.
    ReviewLate,
    /// A decider of these nations declares.
    DeciderDeclares,
    /// These nations sign the decision.
    Decide,
}

impl BlockKind {
    /// In a few words, before the names.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::OfficerDeclares => "an officer declares",
            Self::Assign => "a reviewer is assigned",
            Self::Replace => "declined, to be replaced",
            Self::Declare => "declares",
            Self::Key => "gets a key",
            Self::Review => "reviews",
            Self::ReviewLate => "LATE with the review",
            Self::DeciderDeclares => "a decider declares",
            Self::Decide => "signs the decision",
        }
    }
}

/// Who has which part in the call.
#[derive(Debug, Default)]
struct Offices {
    officers: BTreeSet<MemberId>,
    deciders: BTreeMap<PartnerCode, BTreeSet<MemberId>>,
    reviewers: BTreeSet<MemberId>,
}

impl Offices {
    fn of(holders: &[RoleHolder], funders: &BTreeSet<PartnerCode>) -> Self {
        let with = |role: CallRole| holders.iter().filter(move |holder| holder.roles.contains(&role));
        let named = |role: CallRole| with(role).map(|holder| holder.member.clone()).collect();
        let mut deciders: BTreeMap<PartnerCode, BTreeSet<MemberId>> =
            funders.iter().map(|funder| (funder.clone(), BTreeSet::new())).collect();
        for holder in with(CallRole::Decider) {
            if let Some(of_nation) = deciders.get_mut(holder.member.partner()) {
                of_nation.insert(holder.member.clone());
            }
        }
        Self { officers: named(CallRole::Officer), deciders, reviewers: named(CallRole::Reviewer) }
    }
}

impl Client {
    /// Where the judging under a call stands, for its officers.
    pub async fn chase(&self, call: CallId) -> Result<Chase> {
        let call = self.call(call).await?;
        let holders = self.api().roles(call.call.id).await?;
        let lines = self.api().panel(call.call.id, false).await?;
        let me = self.member_id().await?;
        let readable = lines.iter().filter(|line| line.clear.contains(&me)).map(|line| line.proposal);
        let titles = self.kept_titles(&readable.collect()).await;
        let offices = Offices::of(&holders, &call.rules.funders);
        let head = (call.text.code.clone(), call.call.phase);
        let mut chase = chased(head, lines, &offices, call.call.reviews_due_at, self.exchange_now());
        for proposal in &mut chase.proposals {
            proposal.title = titles.title(proposal.proposal).map(str::to_owned);
        }
        Ok(chase)
    }
}

/// Whether an assignment is one that is waited for, or was.
fn counts(assignment: &Assignment) -> bool {
    assignment.declined.is_none() && assignment.set_aside.is_none()
}

fn chased(
    (code, phase): (CallCode, Phase),
    lines: Vec<PanelLine>,
    offices: &Offices,
    due: Time,
    now: Timestamp,
) -> Chase {
    let is_due = now > due.0;
    let mut reviewers: BTreeMap<MemberId, ChasedReviewer> =
        offices.reviewers.iter().map(|reviewer| (reviewer.clone(), idle(reviewer))).collect();
    let mut proposals = Vec::new();
    let [mut cleared, mut assigned, mut decided] = [0_u32; 3];
    let of = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    for line in lines {
        tally(&line, due, now, &mut reviewers);
        cleared += u32::from(offices.officers.iter().any(|officer| line.clear.contains(officer)));
        assigned += u32::from(line.assignments.iter().any(counts));
        decided += u32::from(line.decided.is_some());
        if line.decided.is_none() {
            let blocks = blocks(&line, offices, is_due);
            proposals.push(ChasedProposal {
                is_late: blocks.iter().any(|block| block.what == BlockKind::ReviewLate),
                proposal: line.proposal,
                reference: line.reference,
                title: None,
                blocks,
            });
        }
    }
    proposals.sort_by(|one, other| {
        let key = |proposal: &ChasedProposal| (!proposal.is_late, proposal.reference.number().to_owned());
        key(one).cmp(&key(other))
    });
    let reviewers: Vec<ChasedReviewer> = reviewers.into_values().collect();
    let all = |count: fn(&ChasedReviewer) -> u32| reviewers.iter().map(count).sum::<u32>();
    let assignments = all(|reviewer| reviewer.assigned);
    let steps = vec![
        CallStep { step: "officer declared", done: cleared, of },
        CallStep { step: "reviewer assigned", done: assigned, of },
        CallStep { step: "reviewers declared", done: all(|reviewer| reviewer.declared), of: assignments },
        CallStep { step: "reviewers with a key", done: all(|reviewer| reviewer.with_key), of: assignments },
        CallStep { step: "reviews in", done: all(|reviewer| reviewer.handed_in), of: assignments },
        CallStep { step: "decided", done: decided, of },
    ];
    Chase { code, phase, reviews_due_at: due, now: now.into(), steps, reviewers, proposals }
}

fn idle(reviewer: &MemberId) -> ChasedReviewer {
    ChasedReviewer {
        reviewer: reviewer.clone(),
        assigned: 0,
        declared: 0,
        with_key: 0,
        handed_in: 0,
        handed_in_late: 0,
        late: 0,
        set_aside: 0,
        declined: 0,
    }
}

/// Adds what the reviewers of one proposal have done.
fn tally(line: &PanelLine, due: Time, now: Timestamp, reviewers: &mut BTreeMap<MemberId, ChasedReviewer>) {
    let is_due = now > due.0;
    for assignment in &line.assignments {
        let reviewer = &assignment.reviewer;
        let tally = reviewers.entry(reviewer.clone()).or_insert_with(|| idle(reviewer));
        if assignment.declined.is_some() {
            tally.declined += 1;
        } else if assignment.set_aside.is_some() {
            tally.set_aside += 1;
        } else {
            tally.assigned += 1;
            tally.declared += u32::from(assignment.conflict == Some(false));
            tally.with_key += u32::from(line.with_key.contains(reviewer));
            tally.handed_in += u32::from(assignment.has_reviewed);
            let came_late = assignment.handed_in_at.is_some_and(|at| at > due);
            tally.handed_in_late += u32::from(assignment.has_reviewed && came_late);
            tally.late += u32::from(is_due && !assignment.has_reviewed && line.decided.is_none());
        }
    }
}

/// What holds a proposal up that is not decided.
fn blocks(line: &PanelLine, offices: &Offices, is_due: bool) -> Vec<Block> {
    let names = |members: &BTreeSet<MemberId>| members.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let clear: BTreeSet<MemberId> = offices.officers.intersection(&line.clear).cloned().collect();
    let mut blocks = Vec::new();
    let mut add = |what: BlockKind, by: BTreeSet<String>| blocks.push(Block { what, by });
    if clear.is_empty() {
        add(BlockKind::OfficerDeclares, names(&offices.officers));
    }
    let counting: Vec<&Assignment> = line.assignments.iter().filter(|assignment| counts(assignment)).collect();
    let declined = line.assignments.iter().filter_map(|assignment| Some((assignment, assignment.declined.as_ref()?)));
    let waiting = declined.filter(|(_, declined)| declined.replaced_at.is_none());
    let waiting: BTreeSet<String> = waiting.map(|(assignment, _)| assignment.reviewer.to_string()).collect();
    if !waiting.is_empty() {
        add(BlockKind::Replace, waiting);
    } else if counting.is_empty() && !clear.is_empty() {
        add(BlockKind::Assign, names(&clear));
    }
    let missing = counting.iter().filter(|assignment| !assignment.has_reviewed);
    let mut by: BTreeMap<BlockKind, BTreeSet<String>> = BTreeMap::new();
    for assignment in missing {
        let step = match assignment.conflict {
            None => BlockKind::Declare,
            _ if !line.with_key.contains(&assignment.reviewer) => BlockKind::Key,
            _ => BlockKind::Review,
        };
        by.entry(step).or_default().insert(assignment.reviewer.to_string());
        if is_due {
            by.entry(BlockKind::ReviewLate).or_default().insert(assignment.reviewer.to_string());
        }
    }
    // Who is late is not said to review twice.
    if is_due {
        by.remove(&BlockKind::Review);
    }
    let all_in = !counting.is_empty() && by.is_empty();
    for (what, by) in by {
        add(what, by);
    }
    if all_in {
        let unsigned = offices.deciders.iter().filter(|(nation, _)| !line.signed_by.contains(*nation));
        let (ready, others): (Vec<_>, Vec<_>) =
            unsigned.partition(|(_, deciders)| deciders.iter().any(|decider| line.clear.contains(decider)));
        for (what, nations) in [(BlockKind::DeciderDeclares, others), (BlockKind::Decide, ready)] {
            if !nations.is_empty() {
                add(what, nations.iter().map(|(nation, _)| nation.to_string()).collect());
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{at, proposal};
    use serde_json::{Value, json};

    fn offices() -> Offices {
        let roles = [
            ("USA:dana", CallRole::Officer),
            ("USA:carol", CallRole::Reviewer),
            ("ISR:maya", CallRole::Reviewer),
            ("USA:frank", CallRole::Decider),
            ("ISR:eitan", CallRole::Decider),
        ];
        let holders = roles.map(|(member, role)| RoleHolder { member: member.parse().unwrap(), roles: [role].into() });
        Offices::of(&holders, &["ISR", "USA"].map(|code| code.parse().unwrap()).into())
    }

    fn assignment(reviewer: &str, more: Value) -> Value {
        let mut assignment = json!({
            "proposal": proposal().id, "reference": proposal().reference, "reviewer": reviewer, "has_reviewed": false,
            "assigned_at": "2026-05-01T00:00:00Z", "assigned_by": "USA:dana",
        });
        assignment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assignment
    }

    fn line(more: Value) -> PanelLine {
        let mut line = json!({
            "proposal": proposal().id, "reference": proposal().reference, "parties": ["ISR", "USA"], "clear": ["USA:dana"],
            "assignments": [], "with_key": [], "has_deliberation": true,
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(line).unwrap()
    }

    fn head() -> (CallCode, Phase) {
        ("WATER26".parse().unwrap(), Phase::Review)
    }

    const DUE: &str = "2026-06-01T00:00:00Z";

    fn of(line: PanelLine, now: &str) -> Chase {
        chased(head(), vec![line], &offices(), at(DUE).into(), at(now))
    }

    fn blocked(line: PanelLine, now: &str) -> Vec<String> {
        let chase = of(line, now);
        let block = |block: &Block| {
            format!("{} {}", block.what.in_words(), block.by.iter().cloned().collect::<Vec<_>>().join(" "))
        };
        chase.proposals.iter().flat_map(|proposal| &proposal.blocks).map(block).collect()
    }

    const BEFORE: &str = "2026-05-20T00:00:00Z";
    const AFTER: &str = "2026-06-01T00:00:01Z";

    #[test]
    fn each_step_names_those_on_whom_it_waits() {
        assert_eq!(blocked(line(json!({ "clear": [] })), BEFORE), ["an officer declares USA:dana"]);
        assert_eq!(blocked(line(json!({})), BEFORE), ["a reviewer is assigned USA:dana"]);
        let (clear, undeclared) = (json!({ "conflict": false }), json!({}));
        let both = json!({
            "assignments": [assignment("USA:carol", clear.clone()), assignment("ISR:maya", undeclared)], "with_key": [],
        });
        assert_eq!(blocked(line(both), BEFORE), ["declares ISR:maya", "gets a key USA:carol"]);
        let reads = json!({ "assignments": [assignment("USA:carol", clear)], "with_key": ["USA:carol"] });
        assert_eq!(blocked(line(reads.clone()), BEFORE), ["reviews USA:carol"]);
        assert_eq!(blocked(line(reads.clone()), DUE), ["reviews USA:carol"], "the instant itself is in time");
        assert_eq!(blocked(line(reads), AFTER), ["LATE with the review USA:carol"]);
    }

    #[test]
    fn what_is_in_waits_for_the_funders_that_have_not_signed() {
        let done = |more: Value| {
            let mut all = json!({
                "assignments": [assignment("USA:carol", json!({ "conflict": false, "has_reviewed": true }))],
                "with_key": ["USA:carol"], "clear": ["USA:dana", "USA:frank", "ISR:eitan"],
            });
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            line(all)
        };
        assert_eq!(blocked(done(json!({})), AFTER), ["signs the decision ISR USA"]);
        assert_eq!(blocked(done(json!({ "signed_by": ["USA"] })), AFTER), ["signs the decision ISR"]);
        let undeclared = json!({ "clear": ["USA:dana", "USA:frank"] });
        assert_eq!(blocked(done(undeclared), AFTER), ["a decider declares ISR", "signs the decision USA"]);
        let chase = of(done(json!({ "decided": "fund" })), AFTER);
        assert!(chase.proposals.is_empty() && chase.steps.iter().all(|step| step.done == step.of), "{chase:?}");
    }

    #[test]
    fn review_that_came_after_it_was_due_stays_marked() {
        let came = |at: &str| {
            let carol = assignment("USA:carol", json!({ "conflict": false, "has_reviewed": true, "handed_in_at": at }));
            let chase = of(line(json!({ "assignments": [carol] })), "2026-06-20T00:00:00Z");
            let carol = chase.reviewers.iter().find(|of| of.reviewer.handle() == "carol").unwrap();
            (carol.handed_in, carol.handed_in_late, carol.late)
        };
        assert_eq!((came(DUE), came(AFTER)), ((1, 0, 0), (1, 1, 0)));
    }

    #[test]
    fn who_declined_is_replaced_and_neither_late_nor_counted() {
        let declined = |more: Value| {
            let mut said = json!({ "declined_at": "2026-05-02T00:00:00Z" });
            said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assignment("USA:carol", json!({ "conflict": false, "declined": said }))
        };
        let aside = assignment("ISR:maya", json!({ "conflict": true, "set_aside": "conflict" }));
        let chase = of(line(json!({ "assignments": [declined(json!({})), aside.clone()] })), AFTER);
        assert_eq!(chase.proposals[0].blocks[0].what, BlockKind::Replace);
        let tallies: Vec<_> =
            chase.reviewers.iter().map(|of| (of.assigned, of.late, of.set_aside, of.declined)).collect();
        assert_eq!(tallies, [(0, 0, 1, 0), (0, 0, 0, 1)], "ISR:maya and USA:carol");
        let replaced = declined(json!({ "replaced_at": "2026-05-03T00:00:00Z" }));
        assert_eq!(
            blocked(line(json!({ "assignments": [replaced, aside] })), AFTER),
            ["a reviewer is assigned USA:dana"]
        );
    }

    #[test]
    fn steps_count_proposals_and_assignments() {
        let lines = vec![
            line(
                json!({ "assignments": [assignment("USA:carol", json!({ "conflict": false })), assignment("ISR:maya", json!({}))] }),
            ),
            line(json!({ "clear": [] })),
        ];
        let steps = chased(head(), lines, &offices(), at(DUE).into(), at(BEFORE)).steps;
        let counted: Vec<_> = steps.iter().map(|step| (step.step, step.done, step.of)).collect();
        assert_eq!(
            counted,
            [
                ("officer declared", 1, 2),
                ("reviewer assigned", 1, 2),
                ("reviewers declared", 1, 2),
                ("reviewers with a key", 0, 2),
                ("reviews in", 0, 2),
                ("decided", 0, 2),
            ]
        );
    }
}
