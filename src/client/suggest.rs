//! Suggests who could review what: a plan for a person to look at and load, which changes nothing.
//!
//! Who can be assigned at all is the exchange's word, asked of the same function as assigning itself, and asked again when the plan is loaded.
//! What is weighed here is the rest: how many reviewers each proposal wants, how many proposals a reviewer takes, a reviewer of each nation
//! that funds or takes part, and topics, where the officer has them for their reviewers: no key card says what somebody knows about.

pub mod flow;

use super::{Client, Result};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProposalId, Slug},
        reference::{CallCode, Reference},
        text::counted,
    },
    wire::review::{PanelCandidate, PanelLine},
};
use flow::{Allocation, Bid, Claim, allocate};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestionRules {
    /// Reviewers for each proposal.
    pub each: u32,
    /// Proposals for each reviewer, those that they have included. None: as many as it takes.
    pub most: Option<u32>,
    /// What reviewers know about, as the officer has it.
    pub topics: BTreeMap<MemberId, BTreeSet<Slug>>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    pub code: CallCode,
    pub panels: Vec<SuggestedPanel>,
    /// How many proposals each reviewer has, and would have.
    pub loads: Vec<SuggestedLoad>,
}

/// What is suggested for one proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuggestedPanel {
    pub proposal: ProposalId,
    pub reference: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Slug>,
    /// Who is assigned already.
    pub assigned: BTreeSet<MemberId>,
    pub chosen: Vec<Chosen>,
    /// Who cannot be assigned, and why not.
    pub barred: Vec<BarredReviewer>,
    /// What is wanted and cannot be had.
    pub unmet: Vec<String>,
}

/// A reviewer who is suggested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chosen {
    pub reviewer: MemberId,
    pub why: String,
}

/// A reviewer who is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BarredReviewer {
    pub reviewer: MemberId,
    pub why: String,
}

/// What a reviewer has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuggestedLoad {
    pub reviewer: MemberId,
    pub assigned: u32,
    pub suggested: u32,
}

impl Client {
    /// Suggests reviewers for the submitted proposals of a call that are not decided.
    pub async fn suggest_assignments(&self, call: CallId, rules: &SuggestionRules) -> Result<Suggestion> {
        let call = self.call(call).await?;
        let lines = self.api().panel(call.call.id, true).await?;
        Ok(suggest(&call.text.code, &call.rules.funders, lines, rules))
    }
}

/// The plan for these panels. The same panels and rules give the same plan.
fn suggest(
    code: &CallCode,
    funders: &BTreeSet<PartnerCode>,
    mut lines: Vec<PanelLine>,
    rules: &SuggestionRules,
) -> Suggestion {
    // What somebody reviewed counts, whether it is decided or not.
    let assigned: Vec<MemberId> = lines.iter().flat_map(assigned_to).collect();
    lines.retain(|line| line.decided.is_none());
    lines.sort_by(|one, other| one.reference.number().cmp(other.reference.number()));
    let mut reviewers: BTreeSet<MemberId> =
        lines.iter().flat_map(|line| &line.candidates).map(|candidate| candidate.reviewer.clone()).collect();
    reviewers.extend(lines.iter().flat_map(assigned_to));
    let reviewers: Vec<MemberId> = reviewers.into_iter().collect();
    let place: BTreeMap<&MemberId, usize> = reviewers.iter().zip(0..).collect();
    let mut present = vec![0_u32; reviewers.len()];
    for at in assigned.iter().filter_map(|reviewer| place.get(reviewer)) {
        present[*at] += 1;
    }
    let claims: Vec<Claim> = lines.iter().map(|line| claim(line, funders, &place, rules)).collect();
    let limits: Vec<u32> =
        present.iter().map(|has| rules.most.map_or(u32::MAX, |most| most.saturating_sub(*has))).collect();
    let nations: Vec<&PartnerCode> = reviewers.iter().map(MemberId::partner).collect();
    let allocation = allocate(&claims, &nations, &present, &limits);
    let panels = lines.iter().zip(&claims).zip(&allocation.chosen).map(|((line, claim), chosen)| {
        let context = PanelContext { funders, reviewers: &reviewers, rules, limits: &limits, allocation: &allocation };
        context.panel(line, claim, chosen)
    });
    let panels = panels.collect();
    let loads = reviewers.iter().zip(&present).zip(&allocation.load).map(|((reviewer, assigned), suggested)| {
        SuggestedLoad { reviewer: reviewer.clone(), assigned: *assigned, suggested: *suggested }
    });
    Suggestion { code: code.clone(), panels, loads: loads.collect() }
}

/// Who reviews a proposal, as far as it counts.
fn assigned_to(line: &PanelLine) -> impl Iterator<Item = MemberId> + '_ {
    let counting = line.assignments.iter().filter(|line| line.declined.is_none() && line.set_aside.is_none());
    counting.map(|line| line.reviewer.clone())
}

/// The nations of which a proposal wants a reviewer: those that fund, and those of its parties.
fn wanted_nations<'a>(line: &'a PanelLine, funders: &'a BTreeSet<PartnerCode>) -> BTreeSet<&'a PartnerCode> {
    funders.iter().chain(&line.parties).collect()
}

/// Why the reviewer is not suggested for the proposal, whatever is wanted; none if they can be.
fn bar(line: &PanelLine, candidate: &PanelCandidate) -> Option<String> {
    let own = line.assignments.iter().find(|assignment| assignment.reviewer == candidate.reviewer);
    if let Some(declined) = own.and_then(|own| own.declined.as_ref()) {
        let reason = declined.reason.map(|reason| format!(" ({})", reason.in_words())).unwrap_or_default();
        return Some(format!("declined{reason}"));
    }
    let refusal = candidate.refusal.as_ref()?;
    Some(match (candidate.conflict, candidate.same_organisation, &*refusal.problem) {
        (_, _, "already-assigned") => return None,
        (Some(true), _, _) => "declared a conflict".to_owned(),
        (_, true, "denied") => "works where a member of a party works".to_owned(),
        (_, _, "not-declared") => "you have not declared your own interests in it".to_owned(),
        _ => refusal.detail.clone(),
    })
}

/// What one proposal wants.
fn claim<'a>(
    line: &'a PanelLine,
    funders: &'a BTreeSet<PartnerCode>,
    place: &BTreeMap<&MemberId, usize>,
    rules: &SuggestionRules,
) -> Claim<'a> {
    let assigned: BTreeSet<MemberId> = assigned_to(line).collect();
    let mut nations = wanted_nations(line, funders);
    nations.retain(|nation| !assigned.iter().any(|reviewer| reviewer.partner() == *nation));
    let named: BTreeSet<&MemberId> = line.assignments.iter().map(|assignment| &assignment.reviewer).collect();
    let possible = line.candidates.iter().filter(|candidate| !named.contains(&candidate.reviewer));
    let possible = possible.filter(|candidate| candidate.refusal.is_none());
    let bids = possible.map(|candidate| Bid {
        reviewer: place[&candidate.reviewer],
        is_on_topic: knows(rules, &candidate.reviewer, line.topic.as_ref()),
    });
    let places = rules.each.saturating_sub(u32::try_from(assigned.len()).unwrap_or(u32::MAX));
    Claim { places, nations, bids: bids.collect() }
}

/// Whether the reviewer knows about the topic, as far as the officer says.
fn knows(rules: &SuggestionRules, reviewer: &MemberId, topic: Option<&Slug>) -> bool {
    topic.is_some_and(|topic| rules.topics.get(reviewer).is_some_and(|topics| topics.contains(topic)))
}

struct PanelContext<'a> {
    funders: &'a BTreeSet<PartnerCode>,
    reviewers: &'a [MemberId],
    rules: &'a SuggestionRules,
    limits: &'a [u32],
    allocation: &'a Allocation,
}

impl PanelContext<'_> {
    fn panel(&self, line: &PanelLine, claim: &Claim<'_>, chosen: &[usize]) -> SuggestedPanel {
        let assigned: BTreeSet<MemberId> = assigned_to(line).collect();
        let barred = line.candidates.iter().filter_map(|candidate| {
            Some(BarredReviewer { reviewer: candidate.reviewer.clone(), why: bar(line, candidate)? })
        });
        let barred: Vec<BarredReviewer> = barred.collect();
        let unmet = self.unmet(line, claim, chosen);
        let picks = chosen.iter().map(|at| {
            let reviewer = self.reviewers[*at].clone();
            Chosen { why: self.why(line, claim, &reviewer), reviewer }
        });
        SuggestedPanel {
            chosen: picks.collect(),
            proposal: line.proposal,
            reference: line.reference.clone(),
            topic: line.topic.clone(),
            assigned,
            barred,
            unmet,
        }
    }

    /// Why somebody was chosen, in a few words.
    fn why(&self, line: &PanelLine, claim: &Claim<'_>, reviewer: &MemberId) -> String {
        let mut why = Vec::new();
        let nation = reviewer.partner();
        if claim.nations.contains(nation) {
            let part = if self.funders.contains(nation) { "funds" } else { "takes part" };
            why.push(format!("{nation} {part}"));
        }
        if let Some(topic) = line.topic.as_ref().filter(|topic| knows(self.rules, reviewer, Some(topic))) {
            why.push(format!("knows {topic}"));
        }
        if why.is_empty() {
            why.push("has room".to_owned());
        }
        why.join(", ")
    }

    /// What is wanted and cannot be had, and why.
    fn unmet(&self, line: &PanelLine, claim: &Claim<'_>, chosen: &[usize]) -> Vec<String> {
        let has_room = |at: usize| self.allocation.load[at] < self.limits[at];
        let mut unmet = Vec::new();
        for nation in &claim.nations {
            if chosen.iter().any(|at| self.reviewers[*at].partner() == *nation) {
                continue;
            }
            let of_nation = |at: &usize| self.reviewers[*at].partner() == *nation;
            let bids: Vec<usize> = claim.bids.iter().map(|bid| bid.reviewer).filter(of_nation).collect();
            let why = if claim.places == 0 {
                "all places are taken".to_owned()
            } else if !bids.is_empty() && bids.iter().any(|at| has_room(*at)) {
                let places = counted(claim.places, "place is", "places are");
                format!("{places} left, for {}", counted(claim.nations.len() as u64, "nation", "nations"))
            } else if !bids.is_empty() {
                "each of its reviewers who could has as many as they take".to_owned()
            } else if line.candidates.iter().any(|candidate| candidate.reviewer.partner() == *nation) {
                "none of its reviewers can be assigned".to_owned()
            } else {
                "it has no reviewer in the call".to_owned()
            };
            unmet.push(format!("no reviewer of {nation}: {why}"));
        }
        let missing = claim.places.saturating_sub(u32::try_from(chosen.len()).unwrap_or(u32::MAX));
        if missing > 0 {
            unmet.push(format!("{} of {} missing", counted(missing, "reviewer", "reviewers"), self.rules.each));
        }
        unmet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(number: &str, parties: &[&str], assigned: &[&str], candidates: &[(&str, Option<&str>)]) -> PanelLine {
        let reference = format!("WATER26-{number}");
        let id = format!("prop_01J9ZQ4N6M8V7X5T3R2P1K{}", &format!("{number:0>4}")[..4]);
        let assignments = assigned.iter().map(|reviewer| {
            json!({
                "proposal": id, "reference": reference, "reviewer": reviewer, "has_reviewed": false,
                "assigned_at": "2026-05-01T00:00:00Z", "assigned_by": "USA:dana",
            })
        });
        let candidates = candidates.iter().map(|(reviewer, refusal)| {
            json!({
                "reviewer": reviewer, "same_organisation": false, "conflict": refusal.map(|why| why == "conflict"),
                "refusal": refusal.map(|why| json!({ "problem": "denied", "detail": why })),
            })
        });
        let line = json!({
            "proposal": id, "reference": reference, "topic": "sensing", "parties": parties, "clear": [],
            "assignments": assignments.collect::<Vec<_>>(), "with_key": [], "has_deliberation": true,
            "candidates": candidates.collect::<Vec<_>>(),
        });
        serde_json::from_value(line).unwrap()
    }

    /// The first numbers that have their check digits.
    fn numbers(count: usize) -> Vec<String> {
        let numbers = (48_170..).map(|number| number.to_string());
        numbers.filter(|number| Reference::typed(&format!("WATER26-{number}")).is_ok()).take(count).collect()
    }

    fn rules(each: u32, most: Option<u32>) -> SuggestionRules {
        SuggestionRules { each, most, topics: BTreeMap::new() }
    }

    fn plan(lines: Vec<PanelLine>, rules: &SuggestionRules) -> Suggestion {
        let funders = ["ISR", "USA"].map(|code| code.parse().unwrap()).into();
        suggest(&"WATER26".parse().unwrap(), &funders, lines, rules)
    }

    fn chosen(panel: &SuggestedPanel) -> Vec<String> {
        panel.chosen.iter().map(|chosen| chosen.reviewer.to_string()).collect()
    }

    const FREE: &[(&str, Option<&str>)] =
        &[("ISR:maya", None), ("ISR:yael", None), ("USA:carol", None), ("USA:rhea", None)];

    #[test]
    fn each_nation_has_a_reviewer_and_the_load_is_even() {
        let numbers = numbers(4);
        let lines = numbers.iter().map(|number| line(number, &["ISR", "USA"], &[], FREE)).collect();
        let plan = plan(lines, &rules(2, None));
        for panel in &plan.panels {
            let nations: BTreeSet<&str> =
                panel.chosen.iter().map(|chosen| chosen.reviewer.partner().as_str()).collect();
            assert_eq!(nations, BTreeSet::from(["ISR", "USA"]), "{panel:?}");
            assert!(panel.unmet.is_empty() && panel.chosen[0].why.ends_with(" funds"), "{panel:?}");
        }
        assert!(plan.loads.iter().all(|load| load.suggested == 2), "{:?}", plan.loads);
    }

    #[test]
    fn nobody_is_suggested_who_cannot_be_assigned_and_it_is_said_why() {
        let numbers = numbers(1);
        let barred =
            [("ISR:maya", Some("conflict")), ("ISR:yael", None), ("USA:carol", Some("no release")), ("USA:rhea", None)];
        let mut declined = line(&numbers[0], &["ISR", "USA"], &["USA:rhea"], &barred);
        declined.assignments[0].declined =
            serde_json::from_value(json!({ "declined_at": "2026-05-02T00:00:00Z", "reason": "time" })).unwrap();
        let plan = plan(vec![declined], &rules(2, None));
        let panel = &plan.panels[0];
        assert_eq!(chosen(panel), ["ISR:yael"]);
        let why: Vec<_> = panel.barred.iter().map(|barred| format!("{} {}", barred.reviewer, barred.why)).collect();
        assert_eq!(why, ["ISR:maya declared a conflict", "USA:carol no release", "USA:rhea declined (no time)"]);
        let unmet = ["no reviewer of USA: none of its reviewers can be assigned", "1 reviewer of 2 missing"];
        assert_eq!(panel.unmet, unmet);
    }

    #[test]
    fn who_is_assigned_already_counts_and_nobody_has_more_than_they_take() {
        let numbers = numbers(3);
        let lines = vec![
            line(&numbers[0], &["ISR", "USA"], &["ISR:maya"], FREE),
            line(&numbers[1], &["ISR", "USA"], &[], FREE),
            line(&numbers[2], &["ISR", "USA"], &[], FREE),
        ];
        let plan = plan(lines, &rules(2, Some(1)));
        assert!(chosen(&plan.panels[0]).iter().all(|reviewer| reviewer.starts_with("USA")), "{:?}", plan.panels[0]);
        assert!(plan.loads.iter().all(|load| load.assigned + load.suggested <= 1), "{:?}", plan.loads);
        let unmet: Vec<&String> = plan.panels.iter().flat_map(|panel| &panel.unmet).collect();
        assert!(unmet.iter().any(|why| why.contains("has as many as they take")), "{unmet:?}");
    }

    #[test]
    fn what_somebody_reviewed_of_a_decided_proposal_counts_and_who_only_did_that_is_not_listed() {
        let numbers = numbers(2);
        let mut decided = line(&numbers[0], &["ISR", "USA"], &["ISR:maya", "GBR:grace"], FREE);
        decided.decided = serde_json::from_value(json!("fund")).unwrap();
        let plan = plan(vec![decided, line(&numbers[1], &["ISR", "USA"], &[], FREE)], &rules(2, Some(1)));
        assert_eq!(plan.panels.len(), 1);
        assert!(!chosen(&plan.panels[0]).contains(&"ISR:maya".to_owned()), "{:?}", plan.panels[0]);
        let loads: Vec<_> = plan.loads.iter().map(|load| (load.reviewer.to_string(), load.assigned)).collect();
        let wanted = [("ISR:maya", 1), ("ISR:yael", 0), ("USA:carol", 0), ("USA:rhea", 0)];
        assert_eq!(loads, wanted.map(|(reviewer, has)| (reviewer.to_owned(), has)));
    }

    #[test]
    fn topic_decides_among_those_of_a_nation_and_never_against_a_nation() {
        let numbers = numbers(1);
        let mut rules = rules(2, None);
        for reviewer in ["ISR:yael", "USA:carol", "USA:rhea"] {
            rules.topics.insert(reviewer.parse().unwrap(), ["sensing".parse().unwrap()].into());
        }
        let plan = plan(vec![line(&numbers[0], &["ISR", "USA"], &[], FREE)], &rules);
        assert_eq!(chosen(&plan.panels[0]), ["ISR:yael", "USA:carol"]);
        assert_eq!(plan.panels[0].chosen[0].why, "ISR funds, knows sensing");
    }

    #[test]
    fn same_panels_give_the_same_plan_in_any_order() {
        let numbers = numbers(12);
        let make = || numbers.iter().map(|number| line(number, &["ISR", "USA"], &[], FREE)).collect::<Vec<_>>();
        let (mut other, rules) = (make(), rules(3, Some(10)));
        other.reverse();
        assert_eq!(plan(make(), &rules), plan(other, &rules));
    }
}
