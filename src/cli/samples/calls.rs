//! Programs and calls.

use super::{CALL, DIGEST, OTHER, PROGRAM, PROPOSAL, Pages, VAULT, now, of, read, reference_of, zone};
use crate::{
    cli::{
        act,
        call::{chase, show},
        program,
    },
    client::{
        chase::{Block, BlockKind, CallStep, Chase, ChasedProposal, ChasedReviewer},
        forecast::{Effect, Forecast, Undo},
    },
    domain::call::Phase,
    wire::{
        Time,
        call::{Call, CallExtension, Progress, RoleHolder},
    },
};
use serde_json::{Value, json};

pub(super) fn show(pages: &mut Pages) {
    let zone = zone();
    pages.show("program list", |screen| program::lines(screen, &of::<Vec<_>>(json!([program()]))));
    let calls = [bilateral(), multilateral()];
    pages.show("call list", |screen| show::lines(screen, &calls, &zone, now()));
    let zones = [("ISR", "Asia/Jerusalem"), ("USA", "America/New_York")];
    let zones = zones.map(|(partner, name)| (super::read(partner), name.to_owned()));
    pages.show("call show $CALL", |screen| show::page(screen, &bilateral(), &extensions(), (&zone, now(), &zones)));
    let effects = [
        ("the members of ISR and USA see it, with the text as it is now", None),
        ("the deadline of everyone is", Some(super::read("2026-04-01T15:00:00Z"))),
        ("its opening key is wrapped to ISR:noa and USA:dana", None),
    ];
    let effects = effects.map(|(what, at)| Effect { what: what.to_owned(), at: at.map(Time) });
    let forecast = Forecast { act: "publishing BIRD26".to_owned(), effects: effects.into(), undo: Undo::Nobody };
    pages.show("call publish $CALL --dry-run", |screen| act::show(screen, &forecast, &zone));
    let holders: Vec<RoleHolder> = of(json!([
        { "member": "USA:dana", "roles": ["officer"] },
        { "member": "ISR:yael", "roles": ["reviewer"] },
        { "member": "USA:frank", "roles": ["decider", "reviewer"] },
    ]));
    pages.show("call role list $CALL", |screen| show::holders(screen, &holders));
    let progress: Progress = of(json!({
        "phase": "review", "proposals": { "submitted": 12, "withdrawn": 1 }, "assignments": 24, "reviews": 19,
        "reopened": 2, "decided": 3,
    }));
    let steps =
        [("officer declared", 12, 12), ("reviewer assigned", 11, 12), ("reviews in", 19, 24), ("decided", 3, 12)];
    let steps = steps.map(|(step, done, of)| CallStep { step, done, of });
    pages.show("call progress $CALL", |screen| chase::show_progress(screen, &progress, &steps));
    pages.show("call chase $CALL", |screen| chase::show(screen, &chased(), &zone));
}

/// After the date for reviews.
fn chased() -> Chase {
    let reviewer = |reviewer: &str, [assigned, declared, with_key, handed_in, late, set_aside, declined]: [u32; 7]| {
        let (reviewer, handed_in_late) = (read(reviewer), handed_in);
        ChasedReviewer { reviewer, assigned, declared, with_key, handed_in, handed_in_late, late, set_aside, declined }
    };
    let block = |what: BlockKind, by: &[&str]| Block { what, by: by.iter().map(|name| (*name).to_owned()).collect() };
    let proposal = |id: &str, title: Option<&str>, is_late: bool, blocks: Vec<Block>| ChasedProposal {
        proposal: read(id),
        reference: read(reference_of(id)),
        title: title.map(str::to_owned),
        is_late,
        blocks,
    };
    let title = "Lodestone: navigation without satellites, by what the magnetic field tells";
    let late = vec![block(BlockKind::Key, &["ISR:maya"]), block(BlockKind::ReviewLate, &["ISR:maya", "USA:carol"])];
    let waiting = vec![block(BlockKind::Replace, &["USA:rhea"])];
    Chase {
        code: read("BIRD26"),
        phase: Phase::Review,
        reviews_due_at: of(json!("2026-03-01T15:00:00Z")),
        now: now().into(),
        steps: Vec::new(),
        reviewers: vec![
            reviewer("ISR:maya", [2, 2, 1, 1, 1, 0, 0]),
            reviewer("ISR:yael", [0, 0, 0, 0, 0, 1, 0]),
            reviewer("USA:carol", [3, 3, 3, 2, 1, 0, 0]),
            reviewer("USA:rhea", [0, 0, 0, 0, 0, 0, 1]),
        ],
        proposals: vec![proposal(PROPOSAL, Some(title), true, late), proposal(OTHER, None, false, waiting)],
    }
}

fn program() -> Value {
    json!({
        "id": PROGRAM, "name": "Joint industrial research", "lead": "USA", "partners": ["ISR", "USA"],
        "created_by": "USA:dana", "created_at": "2026-02-21T10:15:00Z",
    })
}

/// Open, with a later deadline for Israel.
pub(super) fn bilateral() -> Call {
    call(&json!({
        "id": CALL,
        "code": "BIRD26",
        "title": "Israel–United States joint industrial research 2026",
        "eligible": ["ISR", "USA"],
        "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "phase": "open",
        "my_deadline_at": "2026-04-08T15:00:00Z",
        "my_roles": ["officer"],
    }))
}

/// In review, with the same deadline for everybody.
fn multilateral() -> Call {
    call(&json!({
        "id": "call_01J9ZR8C2D4E6F8G0H2J4K6M8N",
        "code": "FIVE26",
        "title": "Five partners on energy storage and secure sensing 2026",
        "eligible": ["EU", "GBR", "ISR", "KOR", "USA"],
        "parties": { "at_least": 2, "at_most": 5 },
        "phase": "review",
        "my_deadline_at": "2026-04-01T15:00:00Z",
        "my_roles": [],
    }))
}

fn call(differs: &Value) -> Call {
    let slot = |name: &str, title: &str, required: bool, media: &[&str], max_bytes: u64, audience: &str| {
        json!({ "name": name, "title": title, "required": required, "media_types": media, "max_bytes": max_bytes,
                "audience": audience })
    };
    let criterion =
        |name: &str, title: &str| json!({ "name": name, "title": title, "max": 5.0, "step": 0.5, "threshold": 3.0 });
    of(json!({
        "id": differs["id"], "program": PROGRAM, "lead": "USA", "phase": differs["phase"], "version": 1,
        "text": {
            "code": differs["code"], "title": differs["title"], "text": "One company from each nation proposes jointly.",
            "topics": ["energy", "navigation", "quantum-sensing"],
            "criteria": [
                criterion("excellence", "Excellence"), criterion("impact", "Impact"),
                criterion("implementation", "Implementation"),
            ],
            "total_threshold": 10.0,
            "slots": [
                slot("work-plan", "Work plan", true, &["application/pdf"], 50 << 20, "panel"),
                slot("dataset", "Measurement data", false, &["application/octet-stream", "text/csv"], 8 << 30, "panel"),
                slot("shareholders", "Shareholder list", true, &["application/pdf"], 10 << 20, "staff"),
            ],
            "eligible": differs["eligible"], "parties": differs["parties"], "funders": ["ISR", "USA"],
            "schedule": {
                "opens_at": "2026-03-01T00:00:00Z", "deadline_at": "2026-04-01T15:00:00Z", "grace_seconds": 86_400,
                "reviews_due_at": "2026-06-01T00:00:00Z",
            },
        },
        "text_sha256": DIGEST, "vault": VAULT,
        "deadline_at": "2026-04-01T15:00:00Z", "my_deadline_at": differs["my_deadline_at"],
        "sealed_until": "2026-04-09T15:00:00Z", "reviews_due_at": "2026-06-01T00:00:00Z",
        "my_roles": differs["my_roles"],
    }))
}

fn extensions() -> Vec<CallExtension> {
    let reason = "holidays fall on the last week";
    of(json!([
        { "number": 1, "until": "2026-04-08T15:00:00Z", "partner": "ISR", "reviews": false, "reason": reason,
          "made_by": "USA:dana", "made_at": "2026-03-01T10:00:00Z" },
        { "number": 2, "until": "2026-04-08T15:00:00Z", "proposal": OTHER, "reference": reference_of(OTHER), "reviews": false,
          "reason": "the server of one party was down on the day of the deadline", "made_by": "ISR:noa",
          "made_at": "2026-03-01T11:00:00Z" },
        { "number": 3, "until": "2026-06-15T15:00:00Z", "reviews": true, "reason": reason, "made_by": "USA:dana",
          "made_at": "2026-03-01T12:00:00Z" },
    ]))
}
