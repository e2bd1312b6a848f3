//! The rules of a call: its text, its schedule, and what an amendment may change.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule() -> Schedule {
    Schedule {
        opens_at: at("2026-03-01T00:00:00Z"),
        deadline_at: at("2026-04-01T15:00:00Z"),
        grace: SignedDuration::from_hours(2),
        reviews_due_at: at("2026-06-01T00:00:00Z"),
        extendable_until: None,
    }
}

fn text() -> CallText {
    let partners: BTreeSet<PartnerCode> = ["ISR", "USA"].map(|code| code.parse().unwrap()).into();
    let criterion = |name: &str, weight| Criterion {
        name: name.parse().unwrap(),
        title: name.into(),
        max: Points::from_hundredths(500),
        step: Points::from_hundredths(10),
        weight,
        threshold: None,
    };
    CallText {
        code: "WATER26".parse().unwrap(),
        title: "Water".into(),
        text: String::new(),
        topics: BTreeSet::new(),
        criteria: vec![criterion("excellence", 3), criterion("impact", 2), criterion("plan", 2)],
        total_threshold: Some(Points::from_hundredths(1500)),
        slots: Vec::new(),
        eligible: partners.clone(),
        parties: PartyRule { at_least: 2, at_most: 2, required: partners.clone() },
        funders: partners,
        combined_roles: BTreeSet::new(),
        letters: LetterAudience::AllParties,
        schedule: schedule(),
    }
}

fn slot(name: &str, audience: Audience, max_bytes: u64, media_types: &[&str]) -> Slot {
    Slot {
        name: name.parse().unwrap(),
        title: name.into(),
        required: true,
        media_types: media_types.iter().map(|&media_type| media_type.to_owned()).collect(),
        max_bytes,
        audience,
    }
}

fn published(extensions: Vec<Extension>) -> CallActs {
    CallActs { is_published: true, is_cancelled: false, is_closed: false, extensions }
}

#[test]
fn phase_follows_time_and_acts() {
    let (schedule, acts) = (schedule(), published(vec![]));
    for (now, phase) in [
        ("2026-02-28T23:59:59.999Z", Phase::Announced),
        ("2026-03-01T00:00:00Z", Phase::Open),
        ("2026-04-01T15:00:00Z", Phase::Open),
        ("2026-04-01T15:00:00.001Z", Phase::Grace),
        ("2026-04-01T17:00:00Z", Phase::Grace),
        ("2026-04-01T17:00:00.001Z", Phase::Review),
    ] {
        assert_eq!(schedule.phase(&acts, at(now)), phase, "{now}");
    }
    assert_eq!(schedule.phase(&CallActs::default(), at("2026-03-02T00:00:00Z")), Phase::Draft);
    let closed = CallActs { is_closed: true, ..acts.clone() };
    assert_eq!(schedule.phase(&closed, at("2026-05-02T00:00:00Z")), Phase::Closed);
    assert_eq!(schedule.phase(&closed, at("2026-03-02T00:00:00Z")), Phase::Open, "nothing is closed before its time");
    let cancelled = CallActs { is_cancelled: true, ..acts };
    assert_eq!(schedule.phase(&cancelled, at("2026-03-02T00:00:00Z")), Phase::Cancelled);
}

#[test]
fn one_partners_extension_keeps_everyones_content_sealed() {
    let isr: PartnerCode = "ISR".parse().unwrap();
    let until = at("2026-04-05T15:00:00Z");
    let extensions = vec![Extension { scope: ExtensionScope::Partner(isr.clone()), until }];
    let schedule = schedule();
    assert_eq!(schedule.deadline_for(&extensions, None), schedule.deadline_at);
    let id: ProposalId = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
    assert_eq!(schedule.deadline_for(&extensions, Some((id, &BTreeSet::from([isr])))), until);
    let others = BTreeSet::from(["KOR".parse().unwrap()]);
    assert_eq!(schedule.deadline_for(&extensions, Some((id, &others))), schedule.deadline_at);
    assert_eq!(schedule.sealed_until(&extensions), at("2026-04-05T17:00:00Z"));
    assert_eq!(schedule.phase(&published(extensions), at("2026-04-05T14:00:00Z")), Phase::Open);
}

#[test]
fn text_that_nobody_could_meet_is_refused() {
    let fault = |change: &dyn Fn(&mut CallText)| {
        let mut text = text();
        change(&mut text);
        text.validate(&text.eligible.clone()).unwrap_err().to_string()
    };
    assert_eq!(text().validate(&text().eligible), Ok(()), "the highest total is within reach");
    let found = fault(&|text| text.total_threshold = Some(Points::from_hundredths(1501)));
    assert!(found.contains("can reach the least total"), "{found}");
    let found = fault(&|text| (text.parties.at_least, text.parties.at_most) = (1, 1));
    assert!(found.contains("2 parties are required, but a proposal has at most 1"), "{found}");
    let found = fault(&|text| text.schedule.reviews_due_at = at("2026-04-01T17:00:00Z"));
    assert!(found.contains("stays sealed until 2026-04-01T17:00:00Z"), "{found}");
    for (size, types) in [
        (1, &["application/pdf"][..]),
        ((16 << 10) - 1, &["application/pdf"]),
        ((64 << 30) + 1, &["application/pdf"]),
        (1 << 20, &[]),
    ] {
        let found = fault(&|text| text.slots = vec![slot("plan", Audience::Panel, size, types)]);
        assert!(found.contains("slot `plan` needs a media type and a size from 16 KiB to 64 GiB"), "{found}");
    }
    for unmatched in ["APPLICATION/PDF", "Application/pdf", "x", "", "application/", "text/csv; charset=utf-8", "a/b/c"]
    {
        let types = ["application/pdf", unmatched];
        let found = fault(&|text| text.slots = vec![slot("plan", Audience::Panel, 1 << 20, &types)]);
        assert!(found.contains("slot `plan` has an invalid media type"), "{unmatched}: {found}");
    }
    for outside in ["2026-04-01T14:59:59Z", "2027-04-02T15:00:01Z"] {
        let found = fault(&|text| text.schedule.extendable_until = Some(at(outside)));
        assert!(found.contains("`extendable_until` lies between"), "{found}");
    }
}

/// Every text of a grid around the bounds of its rules.
fn texts_around_the_bounds() -> Vec<CallText> {
    let codes = ["ISR", "KOR", "USA"].map(|code| code.parse::<PartnerCode>().unwrap());
    let some = |bits: usize| -> BTreeSet<PartnerCode> {
        codes.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, code)| code.clone()).collect()
    };
    let (mut found, points) = (Vec::new(), Points::from_hundredths);
    for (eligible, required) in (0..8).flat_map(|eligible| (0..8).map(move |required| (eligible, required))) {
        for (at_least, at_most) in (0..5).flat_map(|least| (0..5).map(move |most| (least, most))) {
            let parties = PartyRule { at_least, at_most, required: some(required) };
            found.push(CallText { eligible: some(eligible), parties, ..text() });
        }
    }
    for (total, threshold, step) in (1498..1503)
        .flat_map(|total| [None, Some(499), Some(500), Some(501)].map(|threshold| (total, threshold)))
        .flat_map(|(total, threshold)| [10, 30, 500, 600].map(|step| (total, threshold, step)))
    {
        let mut text = CallText { total_threshold: Some(points(total)), ..text() };
        text.criteria.iter_mut().for_each(|criterion| {
            (criterion.threshold, criterion.step) = (threshold.map(points), points(step));
        });
        found.push(text);
    }
    for (max_bytes, types) in [(MIN_SLOT_BYTES - 1, &["text/csv"][..]), (MIN_SLOT_BYTES, &["text/csv"]), (1 << 20, &[])]
    {
        for audience in [Audience::Panel, Audience::Staff] {
            found.push(CallText { slots: vec![slot("plan", audience, max_bytes, types)], ..text() });
        }
    }
    for hours in -1..6 {
        let mut text = text();
        text.schedule.reviews_due_at = text.schedule.deadline_at + SignedDuration::from_hours(hours);
        found.push(text);
    }
    found
}

#[test]
fn text_that_is_taken_can_be_met_by_a_proposal_and_its_reviews() {
    use crate::domain::{
        proposal::{Listed, Parties, check_documents},
        review::{Reviewed, check_scores, rank},
    };
    let participants: BTreeSet<PartnerCode> = ["ISR", "KOR", "USA"].map(|code| code.parse().unwrap()).into();
    let (mut taken, mut refused) = (0, 0);
    for text in texts_around_the_bounds() {
        if text.validate(&participants).is_err() {
            refused += 1;
            continue;
        }
        taken += 1;
        let mut owners = text.parties.required.clone();
        for partner in &text.eligible {
            if owners.len() < text.fewest_parties() {
                owners.insert(partner.clone());
            }
        }
        let member = |owner: &PartnerCode| format!("{owner}:avi").parse::<MemberId>().unwrap();
        let parties: Parties = owners.iter().map(|owner| (owner.clone(), [member(owner)].into())).collect();
        assert_eq!(text.parties.check(&text.eligible, &parties), Ok(()), "{text:?}");
        let document = |slot: &Slot, party: Option<&PartnerCode>| Listed {
            slot: slot.name.clone(),
            party: party.cloned(),
            size: MIN_SLOT_BYTES,
            media_type: slot.media_types.first().unwrap().clone(),
        };
        let documents: Vec<Listed> = text
            .all_slots()
            .iter()
            .flat_map(|slot| match slot.audience {
                Audience::Panel => vec![document(slot, None)],
                Audience::Staff => owners.iter().map(|owner| document(slot, Some(owner))).collect(),
            })
            .collect();
        assert_eq!(check_documents(&text, &documents, &parties), Ok(()), "{text:?}");
        let scores = text.criteria.iter().map(|criterion| (criterion.name.clone(), criterion.max)).collect();
        assert_eq!(check_scores(&text.criteria, &scores), Ok(()), "{text:?}");
        let reviewed = Reviewed {
            proposal: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            scores: [("KOR:maya".parse().unwrap(), scores)].into(),
            missing: BTreeSet::new(),
            set_aside: std::collections::BTreeMap::new(),
            reopened: std::collections::BTreeMap::new(),
        };
        let ranked = rank(&text.criteria, text.total_threshold, &[reviewed]);
        assert_eq!(ranked[0].rank, Some(1), "the best proposal misses a threshold: {text:?}");
        assert!(text.schedule.sealed_until(&[]) < text.schedule.reviews_due_at, "nobody can review: {text:?}");
    }
    assert!(taken > 50 && refused > 500, "{taken} taken, {refused} refused");
}

#[test]
fn text_for_more_parties_than_a_proposal_has_is_refused() {
    let partners: BTreeSet<PartnerCode> = (10..50).map(|n| format!("N{n}").parse().unwrap()).collect();
    let of = |at_least: u32, slots: u32| {
        let parties = PartyRule { at_least, at_most: 40, required: BTreeSet::new() };
        let each = |n| slot(&format!("s{n}"), Audience::Staff, 16 << 10, &["text/csv"]);
        CallText { eligible: partners.clone(), parties, slots: (0..slots).map(each).collect(), ..text() }
    };
    let participants: BTreeSet<PartnerCode> = partners.iter().chain(&text().funders).cloned().collect();
    let refused = |text: CallText| text.validate(&participants).err().map(|refusal| refusal.to_string());
    assert_eq!(refused(of(24, 40)), None);
    assert!(refused(of(24, 41)).unwrap().contains("at most 40 slots"));
    let found = refused(of(25, 1)).unwrap();
    assert!(found.contains("asks for 25 parties, and a proposal has at most 24"), "{found}");
    let mut required = of(2, 1);
    required.parties.required = partners.iter().take(33).cloned().collect();
    assert!(refused(required).unwrap().contains("asks for 33 parties"));
}

#[test]
fn title_is_measured_in_characters() {
    let titled = |title: String| CallText { title, ..text() }.validate(&text().eligible);
    assert_eq!(titled("\u{d55c}".repeat(200)), Ok(()));
    assert!(titled("a".repeat(201)).is_err() && titled(" ".into()).is_err());
}

#[test]
fn deadlines_move_to_the_bound_of_the_text_and_never_a_decade_away() {
    let bounded = |extendable_until, reviews_due_at| Schedule { reviews_due_at, extendable_until, ..schedule() };
    let (review, own) = (at("2026-06-01T00:00:00Z"), at("2026-07-01T00:00:00Z"));
    assert_eq!(bounded(None, review).extension_bound(), review);
    assert_eq!(bounded(Some(own), review).extension_bound(), own);
    assert_eq!(bounded(None, at("9999-01-01T00:00:00Z")).extension_bound(), at("2027-04-02T15:00:00Z"));
    assert_eq!(schedule().check_extension(review), Ok(()));
    let until = at("2072-04-01T15:00:00Z");
    assert_eq!(schedule().check_extension(until), Err(Refusal::ExtensionTooFar { until, bound: review }));
}

fn for_everyone(until: &str) -> Extension {
    Extension { scope: ExtensionScope::Everyone, until: at(until) }
}

fn for_partner(until: &str) -> Extension {
    Extension { scope: ExtensionScope::Partner("ISR".parse().unwrap()), until: at(until) }
}

#[test]
fn what_is_taken_back_leaves_three_days_and_never_more_than_there_were() {
    let now = at("2026-04-01T12:00:00Z");
    let left = |present, without| taken_back(at(present), at(without), now);
    assert_eq!(left("2026-05-01T00:00:00Z", "2026-04-04T12:00:00Z"), Ok(None));
    assert_eq!(left("2026-05-01T00:00:00Z", "2026-04-04T11:59:59Z"), Ok(Some(at("2026-04-04T12:00:00Z"))));
    assert_eq!(left("2026-05-01T00:00:00Z", "2026-03-01T00:00:00Z"), Ok(Some(at("2026-04-04T12:00:00Z"))));
    assert_eq!(left("2026-04-02T00:00:00Z", "2026-04-02T00:00:00Z"), Ok(None), "another gives as much");
    let until = at("2026-04-04T12:00:00Z");
    let kept = Err(Refusal::ExtensionReliedOn { until, now });
    assert_eq!(taken_back(until, at("2026-04-01T15:00:00Z"), now), kept);
}

#[test]
fn call_that_is_brought_back_leaves_three_days_of_what_had_not_passed() {
    let moved = |extensions: &[Extension], cancelled_at, now| {
        schedule().deadline_after_cancellation(extensions, at(cancelled_at), at(now))
    };
    let (minute_before, deadline) = ("2026-04-01T14:59:00Z", "2026-04-01T15:00:00Z");
    assert_eq!(moved(&[], "2026-03-02T00:00:00Z", "2026-03-29T15:00:00Z"), None);
    assert_eq!(moved(&[], "2026-03-02T00:00:00Z", "2026-03-29T15:00:01Z"), Some(at("2026-04-01T15:00:01Z")));
    assert_eq!(moved(&[], minute_before, deadline), Some(at("2026-04-04T15:00:00Z")));
    // Announced bytes had an hour and more left.
    assert_eq!(moved(&[], "2026-04-01T17:00:00Z", "2026-04-10T00:00:00Z"), Some(at("2026-04-13T00:00:00Z")));
    assert_eq!(moved(&[], "2026-04-01T17:00:01Z", "2026-04-10T00:00:00Z"), None, "it was open to those who judge");
    // What counts is the time that somebody has, not what the text said before it was moved.
    assert_eq!(moved(&[for_everyone("2026-05-01T00:00:00Z")], minute_before, deadline), None);
    let late = "2026-04-20T00:00:00Z";
    let of_one = moved(&[for_partner("2026-04-21T00:00:00Z")], late, late);
    assert_eq!(of_one, Some(at("2026-04-23T00:00:00Z")));
    assert_eq!(moved(&[for_partner("2026-04-23T00:00:00Z")], late, late), None, "that partner has three days");
    // Near the bound of the text what was left then is left again.
    let bounded = Schedule { extendable_until: Some(at(deadline)), ..schedule() };
    let given = |cancelled_at, now| bounded.deadline_after_cancellation(&[], at(cancelled_at), at(now));
    assert_eq!(given("2026-04-01T05:00:00Z", "2026-04-09T05:00:00Z"), Some(at("2026-04-09T15:00:00Z")));
    // An hour of grace was left, and a deadline is never made in the past.
    assert_eq!(given("2026-04-01T16:00:00Z", "2026-04-09T16:00:00Z"), Some(at("2026-04-09T16:00:00Z")));
}

#[test]
fn date_for_reviews_of_a_call_that_is_brought_back_lies_three_days_after_now_or_the_opening() {
    let due = |deadline_at: Option<&str>, cancelled_at, now| {
        let (due, deadline_at) = (at("2026-06-01T00:00:00Z"), deadline_at.map(at));
        schedule().review_date_after_cancellation(&[], due, deadline_at, at(cancelled_at), at(now))
    };
    let cancelled_at = "2026-05-30T00:00:00Z";
    assert_eq!(due(None, cancelled_at, cancelled_at), Some(at("2026-06-02T00:00:00Z")));
    assert_eq!(due(None, "2026-04-10T00:00:00Z", "2026-05-29T00:00:00Z"), None);
    assert_eq!(due(None, "2026-06-01T00:00:01Z", "2026-06-02T00:00:00Z"), None, "it had passed");
    let moved = due(Some("2026-06-13T00:00:00Z"), "2026-04-01T00:00:00Z", "2026-06-10T00:00:00Z");
    assert_eq!(moved, Some(at("2026-06-16T02:00:00Z")));
}

#[test]
fn amendments_one_after_another_move_nothing_further_than_a_year_from_now() {
    let (mut present, now) = (text(), at("2026-03-01T00:00:00Z"));
    let year = now + SignedDuration::from_hours(366 * 24);
    let tried = |present: &CallText, deadline: Timestamp, until: Option<Timestamp>, reviews: Timestamp| {
        let mut next = present.clone();
        (next.schedule.deadline_at, next.schedule.extendable_until, next.schedule.reviews_due_at) =
            (deadline, until, reviews);
        next.validate(&next.eligible).unwrap();
        present.check_amendment(&next, Phase::Open, now).map(|()| next)
    };
    let deadline = present.schedule.deadline_at;
    let second = SignedDuration::from_secs(1);
    for (until, reviews) in [(Some(year + second), year), (None, year + second)] {
        let too_far = tried(&present, deadline, until, reviews);
        assert_eq!(too_far, Err(Refusal::ExtensionTooFar { until: year + second, bound: year }));
    }
    present = tried(&present, deadline, Some(year), year).unwrap();
    // A deadline at the bound leaves no time for reviews, so it lies before it.
    let last = year - SignedDuration::from_hours(24 * 30);
    present = tried(&present, last, Some(year), year).unwrap();
    assert!(tried(&present, last, Some(year + second), year).is_err());
    assert!(tried(&present, last, None, year + second).is_err());
}

#[test]
fn amendment_takes_no_time_away_and_changes_no_funder() {
    let tried = |phase, change: &dyn Fn(&mut CallText)| {
        let mut next = text();
        change(&mut next);
        text().check_amendment(&next, phase, at("2026-03-01T00:00:00Z"))
    };
    for phase in [Phase::Announced, Phase::Open] {
        assert_eq!(tried(phase, &|_| {}), Ok(()));
        assert_eq!(tried(phase, &|text| text.schedule.deadline_at = at("2026-06-01T00:00:00Z")), Ok(()));
        assert_eq!(tried(phase, &|text| text.schedule.grace = SignedDuration::from_hours(3)), Ok(()));
        let too_far = tried(phase, &|text| text.schedule.deadline_at = at("2026-06-01T00:00:01Z"));
        assert!(matches!(too_far, Err(Refusal::ExtensionTooFar { .. })), "{too_far:?}");
        let earlier = tried(phase, &|text| text.schedule.deadline_at = at("2026-04-01T14:59:59Z"));
        assert!(matches!(earlier, Err(Refusal::ExtensionBackwards { .. })), "{earlier:?}");
        // A later deadline does not make up for it: where it was extended, the end would come earlier.
        let shorter = tried(phase, &|text| {
            text.schedule.deadline_at = at("2026-04-02T15:00:00Z");
            text.schedule.grace = SignedDuration::from_hours(1);
        });
        assert!(matches!(shorter, Err(Refusal::ScheduleFixed { .. })), "{shorter:?}");
        assert_eq!(tried(phase, &|text| text.schedule.reviews_due_at = at("2026-04-04T17:00:00Z")), Ok(()));
        let hasty = tried(phase, &|text| text.schedule.reviews_due_at = at("2026-04-04T16:59:59Z"));
        assert!(matches!(hasty, Err(Refusal::ScheduleFixed { .. })), "{hasty:?}");
        let funders = tried(phase, &|text| text.funders = ["USA".parse().unwrap()].into());
        assert!(matches!(funders, Err(Refusal::FundersFixed { .. })), "{funders:?}");
        let shut_out = tried(phase, &|text| drop(text.eligible.pop_first()));
        assert!(matches!(shut_out, Err(Refusal::EligibleFixed { .. })), "{shut_out:?}");
        assert_eq!(tried(phase, &|text| text.eligible.extend(["FIN".parse().unwrap()])), Ok(()));
    }
    let late: &dyn Fn(&mut CallText) = &|text| text.schedule.opens_at = at("2026-03-29T15:00:01Z");
    assert!(
        matches!(tried(Phase::Announced, late), Err(Refusal::ScheduleFixed { .. })),
        "71 hours 59 minutes are left"
    );
    let moved: &dyn Fn(&mut CallText) = &|text| text.schedule.opens_at = at("2026-03-02T00:00:00Z");
    assert_eq!(tried(Phase::Announced, moved), Ok(()));
    assert!(matches!(tried(Phase::Open, moved), Err(Refusal::ScheduleFixed { .. })));
}
