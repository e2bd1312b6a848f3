//! Who takes part in the demonstration, and the two calls they run.

use crate::{
    dev_pki::cast::{
        AVI, BOB, CAROL, DANA, DemoNation, EITAN, EMMA, EU, FRANK, GAL, GBR, GRACE, HARRY, ISLA, ISR, JIWOO, KATE, KOR,
        LUCA, MAYA, MINJUN, NOA, OLIVIA, SEOYEON, SOFIA, TAMAR, USA, YAEL,
    },
    wire::call::CallText,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// Five nations. The authorities of Korea and the United Kingdom have the same name, as it happens.
pub(super) const NATIONS: &[DemoNation] = &[
    DemoNation { cast: &[DANA, OLIVIA, BOB, KATE, CAROL, FRANK], ..USA },
    DemoNation { cast: &[NOA, AVI, TAMAR, GAL, YAEL, MAYA, EITAN], ..ISR },
    DemoNation { cast: &[JIWOO, MINJUN, SEOYEON], ..KOR },
    DemoNation { cast: &[GRACE, HARRY, ISLA], ..GBR },
    DemoNation { cast: &[EMMA, LUCA, SOFIA], ..EU },
];

/// Handles of the two proposals' documents in each call, so that the story reads well.
pub(super) const PDF: &str = "application/pdf";
pub(super) const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
pub(super) const DATA: &str = "application/octet-stream";

/// A call of industry with industry, one party from each of two nations, with a restricted shareholder list.
pub(super) fn bilateral(opens_at: Timestamp, deadline_at: Timestamp) -> CallText {
    text(&json!({
        "code": "BIRD26",
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
        "code": "BIRD26B",
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
        "code": "FIVE26",
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
