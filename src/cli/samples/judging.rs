//! Assignments, reviews, the ranking, decisions and letters.

use super::{
    CALL, DIGEST, OTHER, OTHER_DIGEST, PROPOSAL, Pages, REFERENCE, THIRD, calls, of, proposals, read, reference_of,
    zone,
};
use crate::{
    cli::{
        assignment::{self, suggest},
        conflict::sheet,
        decision, letter, ranking, review, todo,
    },
    client::{
        ClientError,
        decisions::{DecisionBatch, DecisionLine, DecisionSheet, LineState, SignedOutcomes},
        inbox::{BegunHere, Todo, TodoItem, in_words},
        interests::{InterestPlan, PlannedDeclaration},
        letters::{LetterBatch, LetterWithReaders, PlannedLetter},
        naming::FoundProposal,
        ranking::{Ranking, SentLine},
        review_batch::{LeftReview, ReadyReview, ReviewBatch},
        review_form::{FilledForm, FilledReview, FilledState},
        reviews::{OpenedReview, ReviewBody},
        suggest::{BarredReviewer, Chosen, SuggestedLoad, SuggestedPanel, Suggestion},
        titles::{KnownTitle, Titles},
    },
    domain::{
        decision::Outcome,
        id::MemberId,
        member::ConflictGround,
        reopening::Reopening,
        review::{Points, Ranked},
        score_total::ScoreTotal,
        set_aside::SetAside,
    },
    wire::review::{Assignment, Review},
};
use serde_json::json;
use std::collections::BTreeSet;

const REVIEW: &str = "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

pub(super) fn show(pages: &mut Pages) {
    waiting(pages);
    interests(pages);
    assignments(pages);
    reviews(pages);
    forms(pages);
    ranked(pages);
    to_decide(pages);
    decided(pages);
}

fn waiting(pages: &mut Pages) {
    let item = |kind: &str, about: serde_json::Value, due: Option<&str>| {
        let mut item = json!({ "kind": kind, "due_at": due });
        item.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
        in_words(of(item), &BegunHere::default())
    };
    let proposal = |proposal: &str| json!({ "call": CALL, "code": "BIRD26", "proposal": proposal, "reference": reference_of(proposal) });
    let title = Some("Lodestone: navigation without satellites, by what the magnetic field tells".to_owned());
    let items = vec![
        TodoItem { title, ..item("review", proposal(PROPOSAL), Some("2026-03-01T08:00:00Z")) },
        item("declare", proposal(OTHER), Some("2026-03-09T08:00:00Z")),
        item("approve_policy", json!({ "owner": "ISR", "version": 3 }), Some("2026-03-12T22:00:00Z")),
        item("pass_keys", json!({ "call": CALL, "code": "BIRD26" }), None),
    ];
    let todo = Todo { items, more: true, next_deadline: None, now: of(json!("2026-03-02T09:00:00Z")) };
    pages.show("todo", |screen| todo::show(screen, &todo, &zone()));
    pages.show_csv("todo", |screen| todo::show(screen, &todo, &zone()));
    let next_deadline = of(json!({ "call": CALL, "code": "BIRD26", "at": "2026-04-01T15:00:00Z" }));
    let nothing = Todo { items: Vec::new(), more: false, next_deadline: Some(next_deadline), now: todo.now };
    pages.show("todo", |screen| todo::show(screen, &nothing, &zone()));
}

fn interests(pages: &mut Pages) {
    let lines = titles().joined(proposals::proposals().into(), |proposal| proposal.id);
    let names = [(read("ISR:avi"), "Avi Levi".to_owned()), (read("USA:bob"), "Bob Stone".to_owned())].into();
    pages.show("conflict sheet $CALL", |screen| sheet::list(screen, &lines, &names));
    pages.show_csv("conflict sheet $CALL", |screen| sheet::list(screen, &lines, &names));
    let planned = |proposal: &str, ground: Option<ConflictGround>, ends_assignment: bool| PlannedDeclaration {
        proposal: read(proposal),
        reference: read(reference_of(proposal)),
        ground,
        ends_assignment,
        sets_review_aside: false,
    };
    let plan = InterestPlan {
        declarations: vec![planned(OTHER, Some(ConflictGround::Employment), true), planned(PROPOSAL, None, false)],
        already: vec![read("BIRD26-77534")],
        unnamed: Vec::new(),
        not_shown: vec!["BIRD26-11112".to_owned()],
    };
    pages.show("conflict sheet $CALL --file sheet.csv --dry-run", |screen| sheet::show(screen, &plan, &titles()));
}

fn assignments(pages: &mut Pages) {
    let found = |id: &str| FoundProposal { id: read(id), reference: Some(read(reference_of(id))) };
    let pairs: Vec<(FoundProposal, MemberId)> =
        [(PROPOSAL, "USA:carol"), (PROPOSAL, "ISR:yael"), (OTHER, "ISR:maya")].map(|(p, m)| (found(p), read(m))).into();
    let states = ["yes", "NO: `ISR:yael` has declared a conflict of interest in this proposal", "there already"];
    pages.show("assignment load pairs.csv --dry-run", |screen| {
        let lines = (2..)
            .zip(&pairs)
            .zip(states)
            .map(|((line, (proposal, reviewer)), state)| (line, proposal, reviewer, state.to_owned()));
        assignment::show_lines(screen, "POSSIBLE", lines, &titles());
    });
    suggested(pages);
    let line = |proposal: &str,
                reviewer: &str,
                conflict: Option<bool>,
                has_reviewed: bool,
                set_aside: Option<SetAside>| {
        json!({
            "proposal": proposal, "reference": reference_of(proposal), "reviewer": reviewer, "assigned_at": "2026-04-10T22:30:00Z", "assigned_by": "USA:olivia",
            "conflict": conflict, "has_reviewed": has_reviewed, "set_aside": set_aside.map(SetAside::as_str),
        })
    };
    let mut reopened = line(PROPOSAL, "USA:carol", Some(false), false, None);
    reopened["reopened_at"] = json!("2026-05-12T08:00:00Z");
    reopened["reopened_by"] = json!("ISR:noa");
    let mut declined = line(OTHER, "ISR:gal", Some(false), false, None);
    declined["declined"] = json!({ "declined_at": "2026-05-02T08:00:00Z", "reason": "time" });
    let lines: Vec<Assignment> = of(json!([
        reopened,
        line(OTHER, "USA:carol", Some(false), true, None),
        line(PROPOSAL, "ISR:yael", Some(true), true, Some(SetAside::Conflict)),
        line(PROPOSAL, "ISR:maya", None, false, None),
        line(OTHER, "USA:rhea", Some(false), false, Some(SetAside::SameOrganisation)),
        declined,
    ]));
    let lines = titles().joined(lines, |line| line.proposal);
    pages.show("assignment list --call $CALL", |screen| assignment::lines(screen, &lines, &zone()));
}

fn suggested(pages: &mut Pages) {
    let chosen = |reviewer: &str, why: &str| Chosen { reviewer: read(reviewer), why: why.to_owned() };
    let barred = |reviewer: &str, why: &str| BarredReviewer { reviewer: read(reviewer), why: why.to_owned() };
    let panel = |proposal: &str, chosen: Vec<Chosen>, barred: Vec<BarredReviewer>, unmet: &[&str]| SuggestedPanel {
        proposal: read(proposal),
        reference: read(reference_of(proposal)),
        topic: Some(read("navigation")),
        assigned: BTreeSet::new(),
        chosen,
        barred,
        unmet: unmet.iter().map(|unmet| (*unmet).to_owned()).collect(),
    };
    let load = |reviewer: &str, assigned, suggested| SuggestedLoad { reviewer: read(reviewer), assigned, suggested };
    let suggestion = Suggestion {
        code: read("BIRD26"),
        panels: vec![
            panel(
                PROPOSAL,
                vec![chosen("ISR:maya", "ISR funds, knows navigation"), chosen("USA:carol", "USA funds")],
                vec![barred("ISR:yael", "declared a conflict"), barred("USA:rhea", "declined (no time)")],
                &[],
            ),
            panel(
                OTHER,
                vec![chosen("USA:carol", "USA funds")],
                vec![
                    barred("ISR:maya", "works where a member of a party works"),
                    barred("ISR:yael", "declared a conflict"),
                ],
                &["no reviewer of ISR: none of its reviewers can be assigned", "1 reviewer of 2 missing"],
            ),
        ],
        loads: vec![load("ISR:maya", 1, 1), load("ISR:yael", 0, 0), load("USA:carol", 0, 2), load("USA:rhea", 2, 0)],
    };
    pages.show("assignment suggest $CALL", |screen| suggest::show(screen, &suggestion, &titles()));
}

/// Of one of the proposals.
fn titles() -> Titles {
    let title = KnownTitle { title: "Lodestone: navigation without satellites".into(), organisations: Vec::new() };
    [(read(PROPOSAL), title)].into_iter().collect()
}

fn handed_in() -> [Review; 2] {
    let review = |id: &str, reviewer: &str, revision: u32, reopened: Option<&str>, set_aside: Option<&str>| {
        json!({
            "id": id, "proposal": PROPOSAL, "reference": REFERENCE, "reviewer": reviewer, "revision": revision, "manifest_sha256": OTHER_DIGEST,
            "submitted_at": "2026-05-11T12:00:00Z", "reopened_at": reopened, "reopened_by": reopened.map(|_| "ISR:noa"),
            "set_aside": set_aside, "statement": "",
        })
    };
    of(json!([
        review(REVIEW, "USA:carol", 1, Some("2026-05-12T08:00:00Z"), None),
        review("rev_01J9ZR8C2D4E6F8G0H2J4K6M8N", "ISR:yael", 2, None, Some("conflict")),
    ]))
}

fn reviews(pages: &mut Pages) {
    let reviews = handed_in();
    pages.show("review list $PROPOSAL", |screen| review::lines(screen, &reviews, &zone()));
    let body: ReviewBody = of(json!({
        "scores": { "excellence": 4.5, "impact": 3.0, "implementation": 4.0 },
        "comments": {
            "excellence": "A clear step beyond what either company has today, and the measurements of last year support it.",
            "impact": "Two markets.",
        },
        "overall": "Fund it, if the flight tests move to the first year.", "recommendation": "fund",
    }));
    let criteria = calls::bilateral().text.to_domain().unwrap().criteria;
    let [reopened, review] = reviews;
    let opened = OpenedReview { review, body };
    pages.show("review open $PROPOSAL", |screen| {
        review::show_opened(screen, &opened, &criteria, &zone());
        review::show_reopened(screen, &reopened, &zone());
    });
    pages.show_csv("review open $PROPOSAL", |screen| review::show_opened(screen, &opened, &criteria, &zone()));
}

/// What a form brought back, and what would be handed in at once.
fn forms(pages: &mut Pages) {
    let criteria = calls::bilateral().text.to_domain().unwrap().criteria;
    let body = |scores: serde_json::Value| -> ReviewBody { of(json!({ "scores": scores, "recommendation": "fund" })) };
    let title = || Some("Lodestone: navigation without satellites".to_owned());
    let total = |body: &ReviewBody| {
        let scores = body.scores.iter().map(|(name, score)| (name.clone(), Points::from_number(*score).unwrap()));
        ScoreTotal::of(&criteria, Points::from_number(10.0), &scores.collect())
    };
    let filled = |id: &str, title: Option<String>, scores, state| {
        let body = body(scores);
        let (total, reference, mark) = (total(&body), read(reference_of(id)), String::new());
        FilledReview { id: read(id), reference, title, total, body, mark, state }
    };
    let whole = json!({ "excellence": 4.5, "impact": 2.5, "implementation": 4.0 });
    let form = FilledForm {
        reviews: vec![
            filled(PROPOSAL, title(), whole.clone(), FilledState::Saved),
            filled(OTHER, None, json!({ "impact": 3.5 }), FilledState::Unchanged),
        ],
        handed_in: vec![read(reference_of(THIRD))],
    };
    pages.show("review form $CALL --file reviews.md", |screen| review::form::show(screen, &form));
    let body = body(whole);
    let ready = ReadyReview {
        id: read(PROPOSAL),
        reference: read(REFERENCE),
        title: title(),
        total: total(&body),
        body,
        version: 2,
        revision: 1,
    };
    let left = LeftReview {
        id: read(OTHER),
        reference: read(reference_of(OTHER)),
        why: "criterion `excellence` has no score".into(),
    };
    let batch = ReviewBatch { code: read("BIRD26"), ready: vec![ready], left: vec![left] };
    pages.show("review submit --call $CALL --dry-run", |screen| review::batch::show(screen, &batch));
}

fn ranked(pages: &mut Pages) {
    let points = |number: f64| Points::from_number(number).unwrap();
    let line = |proposal: &str, rank: Option<u32>, total: Option<f64>, scores: &[(&str, f64)], spread: f64| Ranked {
        proposal: read(proposal),
        rank,
        is_tied: false,
        total: total.map(|total| points(total).into()),
        median: total.map(|total| points(total).into()),
        averages: scores.iter().map(|(name, score)| (read(name), points(*score))).collect(),
        spread: points(spread).into(),
        below: [].into(),
        missing: [].into(),
        set_aside: [].into(),
        reopened: [].into(),
        reviews: u32::from(total.is_some()) * 2,
    };
    let scores = |[one, two, three]: [f64; 3]| [("excellence", one), ("impact", two), ("implementation", three)];
    let mut lines = vec![
        line(PROPOSAL, Some(1), Some(13.5), &scores([4.75, 4.25, 4.5]), 0.5),
        line(OTHER, None, Some(9.5), &scores([4.0, 2.5, 3.0]), 2.0),
        line(THIRD, None, None, &[], 0.0),
    ];
    lines[0].set_aside = [(read("ISR:yael"), SetAside::Conflict)].into();
    lines[1].below = ["total".to_owned()].into();
    lines[2].missing = [read("USA:carol"), read("ISR:maya")].into();
    let reopening = Reopening { at: "2026-05-12T08:00:00Z".parse().unwrap(), by: None };
    lines[2].reopened = [(read("USA:carol"), reopening)].into();
    let references = [PROPOSAL, OTHER, THIRD].map(|id| (read(id), read(reference_of(id)))).into();
    let notes = [(read(OTHER), "costly".to_owned())].into();
    let ranking = Ranking {
        lines,
        invalid: Vec::new(),
        closed: Vec::new(),
        references,
        notes,
        comments: [].into(),
        counted: [].into(),
    };
    let criteria = calls::bilateral().text.to_domain().unwrap().criteria;
    pages.show("ranking show $CALL", |screen| {
        ranking::show(screen, &criteria, (&ranking, None, &titles()), &zone());
    });
    pages.show_csv("ranking show $CALL", |screen| {
        ranking::show(screen, &criteria, (&ranking, None, &titles()), &zone());
    });
    let mut lines = vec![
        line(PROPOSAL, Some(1), Some(13.5), &scores([4.75, 4.25, 4.5]), 0.5),
        line(OTHER, Some(1), Some(13.5), &scores([4.5, 4.5, 4.5]), 2.0),
    ];
    for line in &mut lines {
        line.is_tied = true;
    }
    let ranking = Ranking { lines, notes: [].into(), counted: [].into(), ..ranking };
    let sent = |came: Option<&str>, gone: Option<&str>, is_unopened: bool, unopened_reviews: usize| SentLine {
        sent_by: read("USA:olivia"),
        sent_at: read("2026-06-01T22:30:00Z"),
        came_since: came.map(|who| (read(who), 1)).into_iter().collect(),
        gone_since: gone.map(read).into_iter().collect(),
        is_unopened,
        unopened_reviews,
    };
    let about = [
        (read(PROPOSAL), sent(None, None, false, 0)),
        (read(OTHER), sent(Some("ISR:maya"), Some("USA:rhea"), true, 2)),
    ];
    let about = about.into();
    pages.show("ranking show $CALL --sent", |screen| {
        ranking::show(screen, &criteria, (&ranking, Some(&about), &titles()), &zone());
    });
}

/// What a decider decides by, and the lines of a file as they would be signed.
fn to_decide(pages: &mut Pages) {
    let line = |proposal: &str, rank: Option<u32>, total: f64| Ranked {
        proposal: read(proposal),
        rank,
        is_tied: false,
        total: Some(Points::from_number(total).unwrap().into()),
        median: None,
        averages: [].into(),
        spread: Points::from_hundredths(50).into(),
        below: [].into(),
        missing: [].into(),
        set_aside: [].into(),
        reopened: [].into(),
        reviews: 2,
    };
    let lines = vec![
        line(PROPOSAL, Some(1), 13.5),
        Ranked { missing: [read("USA:carol")].into(), ..line(OTHER, Some(2), 12.0) },
    ];
    let ranking = Ranking {
        lines,
        invalid: Vec::new(),
        closed: Vec::new(),
        references: [PROPOSAL, OTHER, THIRD].map(|id| (read(id), read(reference_of(id)))).into(),
        notes: [(read(OTHER), "high cost".to_owned())].into(),
        comments: [].into(),
        counted: [].into(),
    };
    let signed = |by: &[(&str, Outcome)]| SignedOutcomes {
        by: by.iter().map(|(partner, outcome)| (read(partner), *outcome)).collect(),
        is_final: false,
    };
    let sheet = DecisionSheet {
        ranking,
        is_sent: true,
        signed: [
            (read(PROPOSAL), signed(&[("USA", Outcome::Fund), ("ISR", Outcome::Fund)])),
            (read(OTHER), signed(&[("USA", Outcome::Decline)])),
            (read(THIRD), signed(&[])),
        ]
        .into(),
        closed: Vec::new(),
        funders: ["ISR", "USA"].map(read).into(),
        own: read("ISR"),
    };
    pages.show("decision sheet $CALL", |screen| decision::sheet::show(screen, &sheet, &titles()));
    pages.show_csv("decision sheet $CALL", |screen| decision::sheet::show(screen, &sheet, &titles()));
    let line = |proposal: &str, outcome: Outcome, amount: Option<&str>| DecisionLine {
        proposal: FoundProposal { id: read(proposal), reference: Some(read(reference_of(proposal))) },
        outcome,
        reason: None,
        amount: amount.map(read),
    };
    let refused = ClientError::usage("the proposed decision is `decline`", "sign that one");
    let lines = vec![
        (line(PROPOSAL, Outcome::Fund, Some("250000 USD")), LineState::Signed),
        (line(OTHER, Outcome::Fund, None), LineState::Held(refused)),
    ];
    let batch = DecisionBatch { lines, reviews: [].into() };
    pages.show("decision sign $CALL --from sheet.csv --dry-run", |screen| {
        decision::lines_shown(screen, &batch, &titles());
    });
    let letter = PlannedLetter {
        proposal: FoundProposal { id: read(PROPOSAL), reference: Some(read(REFERENCE)) },
        title: Some("Lodestone: navigation without satellites".to_owned()),
        outcome: Outcome::Fund,
        party: None,
        to: ["ISR:avi", "USA:bob"].map(read).into(),
        text: String::new().into(),
        decision_sha256: read(DIGEST),
    };
    let letters = LetterBatch {
        letters: vec![letter],
        held: vec![(
            FoundProposal { id: read(OTHER), reference: Some(read(reference_of(OTHER))) },
            ClientError::usage("the decision is `reserve`, and the template has no such section", "add it"),
        )],
        ..LetterBatch::default()
    };
    pages.show("letter send $CALL --template letters.txt --dry-run", |screen| letter::many::lines(screen, &letters));
}

fn decided(pages: &mut Pages) {
    let decision = of(json!({
        "id": "dec_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "proposal": PROPOSAL, "reference": REFERENCE, "revision": 1, "outcome": "fund",
        "manifest_sha256": DIGEST, "missing": ["USA"],
        "signatures": { "ISR": { "member": "ISR:eitan", "jws": "", "signed_at": "2026-06-20T09:00:00Z" } },
    }));
    pages.show("decision show $PROPOSAL", |screen| {
        decision::show(screen, Some("Lodestone: navigation without satellites"), &decision, &zone());
    });
    let letter = |id: &str, by: &str, at: &str, is_superseded: bool| {
        json!({ "id": id, "proposal": PROPOSAL, "reference": REFERENCE, "sent_by": by, "sent_at": at, "is_superseded": is_superseded,
                "statement": "" })
    };
    let letters: Vec<crate::wire::decision::Letter> = of(json!([
        letter("doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "USA:olivia", "2026-06-21T09:00:00Z", true),
        letter("doc_01J9ZR8C2D4E6F8G0H2J4K6M8N", "ISR:noa", "2026-06-28T22:00:00Z", false),
    ]));
    pages.show("letter list $PROPOSAL", |screen| {
        letter::lines(screen, Some("Lodestone: navigation without satellites"), &letters, &zone());
    });
    let fetched: Vec<&str> = vec!["ISR:avi", "USA:bob"];
    let letters: Vec<LetterWithReaders> = letters
        .into_iter()
        .zip([fetched, Vec::new()])
        .map(|(letter, who)| LetterWithReaders {
            letter,
            fetched_by: who.into_iter().map(|who| (read(who), read("2026-06-22T07:15:00Z"))).collect(),
        })
        .collect();
    pages.show("letter list --call $CALL", |screen| letter::readers(screen, &letters, &titles(), &zone()));
    let mut letters: Vec<_> = letters.into_iter().map(|it| it.letter).collect();
    for (letter, party) in letters.iter_mut().zip(["ISR", "USA"]) {
        letter.party = Some(read(party));
    }
    pages.show("letter list $PROPOSAL   (each to one party alone)", |screen| {
        letter::lines(screen, None, &letters, &zone());
    });
}
