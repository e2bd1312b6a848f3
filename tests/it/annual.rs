//! The year of four nations: sixty members, two calls at once, from draft to letters, with every command counted that somebody types.
//!
//! Thirty proposals and twelve reviewers are under the larger call, six proposals under the other. Members come in elsewhere
//! (`joining.rs`); programs are set up once, for years. Of each kind of people some act by the program itself, and those are counted;
//! others do the same through the client.
//!
//! No test takes longer. Tests begin in the order of their names, and this one among the first: at the end it would run alone.

mod call;
mod papers;
mod people;

use crate::harness::world::{Store, TestWorld};
use call::{CallYear, Plan};
use entente::domain::ambient::Clock;
use jiff::SignedDuration;
use people::{nations, settle};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// One panel of all four nations.
const LARGE: Plan = Plan {
    code: "FOUR27",
    template: "multilateral-panel",
    partners: &["GBR", "ISR", "KOR", "USA"],
    officer: "USA:officer",
    // Names the decider of her nation.
    second: Some("ISR:officer"),
    reviewers: &[
        "GBR:judge1",
        "GBR:judge2",
        "GBR:judge3",
        "ISR:judge1",
        "ISR:judge2",
        "ISR:judge3",
        "KOR:judge1",
        "KOR:judge2",
        "KOR:judge3",
        "USA:judge1",
        "USA:judge2",
        "USA:judge3",
    ],
    counted_reviewers: &["ISR:judge1", "USA:judge1"],
    // Finds a conflict once assigned, and is replaced by a colleague.
    conflicted: Some("KOR:judge2"),
    deciders: &["GBR:decider", "ISR:decider", "KOR:decider", "USA:decider"],
    counted_deciders: &["ISR:decider", "USA:decider"],
    observers: &["GBR:observer", "USA:observer"],
    proposals: 30,
    each: 3,
    topic: "secure-sensing",
    panel_slots: &["description", "budget"],
    staff_slot: "national-annex",
};

/// Two of them, at the same time.
const SMALL: Plan = Plan {
    code: "PAIR27",
    template: "bilateral-industry",
    partners: &["GBR", "ISR"],
    officer: "ISR:officer",
    second: None,
    reviewers: &["GBR:judge4", "ISR:judge4"],
    counted_reviewers: &["GBR:judge4", "ISR:judge4"],
    conflicted: None,
    deciders: &["GBR:decider", "ISR:decider"],
    counted_deciders: &["GBR:decider", "ISR:decider"],
    observers: &["GBR:observer"],
    proposals: 6,
    each: 2,
    topic: "sensing",
    panel_slots: &["executive-summary", "work-plan"],
    staff_slot: "shareholders",
};

#[tokio::test]
async fn year_of_four_nations_takes_each_person_so_many_commands() {
    let world = TestWorld::start(nations(), Store::Sqlite).await.unwrap();
    assert_eq!(nations().iter().map(|nation| nation.cast.len()).sum::<usize>(), 60);
    let began = world.clock.now();
    let days = |days: i32| world.clock.set(began + DAY * days);
    let (large, small) = (CallYear::new(&world, LARGE), CallYear::new(&world, SMALL));
    tokio::join!(large.publishes(), small.publishes());
    tokio::join!(large.proposes(), small.proposes());
    // Past the deadline and the two days of grace.
    days(33);
    tokio::join!(large.assigns(), small.assigns());
    days(50);
    tokio::join!(large.reviews(), small.reviews());
    days(80);
    tokio::join!(large.ranks(), small.ranks());
    tokio::join!(large.decides(), small.decides());
    days(90);
    tokio::join!(large.answers(), small.answers());
    settle(large.tallies().chain(small.tallies()).collect());
    drop((large, small));
    world.stop().await;
}
