//! Who takes part in the demonstration, and the two calls they run.

use super::world::{Cast, DemoNation};
use crate::{domain::member::PartnerRole, wire::call::CallText};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const OFFICER: &[PartnerRole] = &[PartnerRole::ProgramOfficer];
const NONE: &[PartnerRole] = &[];

const fn cast(member: &'static str, name: &'static str, organisation: &'static str) -> Cast {
    Cast { member, name, organisation, roles: NONE }
}

const fn officer(member: &'static str, name: &'static str, organisation: &'static str) -> Cast {
    Cast { member, name, organisation, roles: OFFICER }
}

/// Five nations. The authorities of Korea and the United Kingdom have the same name, as it happens.
pub(super) const NATIONS: &[DemoNation] = &[
    DemoNation {
        code: "USA",
        name: "United States",
        zone: "America/New_York",
        authority: ("US Research Root CA", "Office of Cooperative Programs"),
        cast: &[
            officer("USA:dana", "Dana Whitfield", "Office of Cooperative Programs"),
            officer("USA:olivia", "Olivia Grant", "Office of Cooperative Programs"),
            cast("USA:bob", "Bob Larsen", "Blue Ridge Navigation"),
            cast("USA:kate", "Kate Romero", "Plains Robotics"),
            cast("USA:carol", "Carol Nakamura", "Chesapeake Research Laboratory"),
            cast("USA:frank", "Frank Odell", "Office of the Comptroller"),
        ],
    },
    DemoNation {
        code: "ISR",
        name: "Israel",
        zone: "Asia/Jerusalem",
        authority: ("Israel Innovation Root CA", "Directorate of Joint Research"),
        cast: &[
            officer("ISR:noa", "Noa Barak", "Directorate of Joint Research"),
            cast("ISR:avi", "Avi Levi", "Kinneret Sensing"),
            cast("ISR:tamar", "Tamar Golan", "Kinneret Sensing"),
            cast("ISR:gal", "Gal Shaked", "Negev Robotics"),
            cast("ISR:yael", "Yael Stern", "Carmel Institute of Technology"),
            cast("ISR:maya", "Maya Peretz", "Galilee University"),
            cast("ISR:eitan", "Eitan Cohen", "Ministry Board"),
        ],
    },
    DemoNation {
        code: "KOR",
        name: "Republic of Korea",
        zone: "Asia/Seoul",
        authority: ("National Research Root CA", "Ministry of Science"),
        cast: &[
            cast("KOR:jiwoo", "Jiwoo Han", "Hanbit Materials"),
            cast("KOR:minjun", "Minjun Park", "Daejeon Institute of Energy"),
            cast("KOR:seoyeon", "Seoyeon Kim", "Agency for Joint Programs"),
        ],
    },
    DemoNation {
        code: "GBR",
        name: "United Kingdom",
        zone: "Europe/London",
        authority: ("National Research Root CA", "Ministry of Science"),
        cast: &[
            cast("GBR:grace", "Grace Bell", "Severn Recycling"),
            cast("GBR:harry", "Harry Dunn", "Mersey Science Laboratory"),
            cast("GBR:isla", "Isla Reid", "Research Funding Office"),
        ],
    },
    DemoNation {
        code: "EU",
        name: "European Union",
        zone: "Europe/Brussels",
        authority: ("EU Research Root CA", "European Commission"),
        cast: &[
            cast("EU:emma", "Emma Claes", "University of the Meuse"),
            cast("EU:luca", "Luca Ferri", "Joint Centre for Energy"),
            cast("EU:sofia", "Sofia Lind", "Court of Auditors"),
        ],
    },
];

/// Handles of the two proposals' documents in each call, so that the story reads well.
pub(super) const PDF: &str = "application/pdf";
pub(super) const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
pub(super) const DATA: &str = "application/octet-stream";

/// A call of industry with industry, one party from each of two nations, with a restricted shareholder list.
pub(super) fn bilateral(opens_at: Timestamp, deadline_at: Timestamp) -> CallText {
    text(&json!({
        "title": "Israel–United States joint industrial research 2026",
        "text": "One company from each nation proposes jointly. Up to half of the joint budget is funded. The shareholder \
                 list is seen by the officers of both nations only, neither by the counterpart nor by the reviewers.",
        "topics": ["energy", "navigation", "quantum-sensing"],
        "criteria": criteria(),
        "total_threshold": 10.0,
        "slots": [
            slot("work-plan", "Work plan", true, &[PDF], 50 << 20, "panel"),
            slot("budget", "Joint budget", true, &[DOCX, PDF], 50 << 20, "panel"),
            slot("dataset", "Measurement data", false, &[DATA, "text/csv"], 8 << 30, "panel"),
            slot("shareholders", "Shareholder list", true, &[PDF], 10 << 20, "staff"),
        ],
        "eligible": ["ISR", "USA"],
        "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "funders": ["ISR", "USA"],
        "schedule": schedule(opens_at, deadline_at),
    }))
}

/// A small call of industry with industry that is still open when the story ends.
pub(super) fn second_cut_off(opens_at: Timestamp, deadline_at: Timestamp) -> CallText {
    text(&json!({
        "title": "Israel–United States joint industrial research, second cut-off",
        "text": "One company from each nation proposes jointly. Up to half of the joint budget is funded.",
        "topics": ["energy", "navigation", "quantum-sensing"],
        "criteria": criteria(),
        "total_threshold": 10.0,
        "slots": [
            slot("work-plan", "Work plan", true, &[PDF], 50 << 20, "panel"),
            slot("budget", "Joint budget", true, &[DOCX, PDF], 50 << 20, "panel"),
        ],
        "eligible": ["ISR", "USA"],
        "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "funders": ["ISR", "USA"],
        "schedule": schedule(opens_at, deadline_at),
    }))
}

/// A call of five nations: any two or more together, one panel, each nation pays for its own.
pub(super) fn multilateral(opens_at: Timestamp, deadline_at: Timestamp) -> CallText {
    text(&json!({
        "title": "Five partners on energy storage and secure sensing 2026",
        "text": "Consortia of two to five parties from different partners. One international panel reviews; Korea, the \
                 United Kingdom and the European Union fund their own.",
        "topics": ["battery-recycling", "grid-storage", "quantum-sensing"],
        "criteria": criteria(),
        "total_threshold": 10.0,
        "slots": [
            slot("work-plan", "Work plan", true, &[PDF], 50 << 20, "panel"),
            slot("budget", "Budget by party", true, &[DOCX, PDF], 50 << 20, "panel"),
        ],
        "eligible": ["USA", "ISR", "KOR", "GBR", "EU"],
        "parties": { "at_least": 2, "at_most": 5, "required": [] },
        "funders": ["KOR", "GBR"],
        "schedule": schedule(opens_at, deadline_at),
    }))
}

fn criteria() -> serde_json::Value {
    json!([
        { "name": "excellence", "title": "Excellence", "max": 5.0, "step": 0.5, "weight": 1, "threshold": 3.0 },
        { "name": "impact", "title": "Impact", "max": 5.0, "step": 0.5, "weight": 1, "threshold": 3.0 },
        { "name": "implementation", "title": "Implementation", "max": 5.0, "step": 0.5, "weight": 1, "threshold": 3.0 },
    ])
}

fn slot(name: &str, title: &str, required: bool, media: &[&str], max_bytes: u64, audience: &str) -> serde_json::Value {
    json!({
        "name": name, "title": title, "required": required, "media_types": media, "max_bytes": max_bytes,
        "audience": audience,
    })
}

fn schedule(opens_at: Timestamp, deadline_at: Timestamp) -> serde_json::Value {
    let reviews_due_at = deadline_at.checked_add(SignedDuration::from_hours(24 * 45)).expect("within the calendar");
    json!({
        "opens_at": opens_at, "deadline_at": deadline_at, "grace_seconds": 86_400, "reviews_due_at": reviews_due_at,
    })
}

fn text(json: &serde_json::Value) -> CallText {
    serde_json::from_value(json.clone()).expect("the story's calls are well formed")
}
