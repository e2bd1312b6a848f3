//! A database full of proposals: 15 partners, 2,000 members and 40 calls, all of them opened, most proposals handed in.

use crate::{
    common::{self, OPEN, PARTNERS, member, now},
    many::{Call, Chance, Proposal, Rows, id, index, text},
};
use entente::{
    domain::id::{CallId, MemberId, PartnerCode},
    service::Exchange,
    storage::{Db, migrate},
};
use jiff::SignedDuration;
use std::{collections::BTreeSet, path::Path};

const MEMBERS: usize = 2_000;
const CALLS: u64 = 40;
const TOPICS: [&str; 8] = ["ai", "robotics", "energy", "space", "sensors", "materials", "ocean", "health"];

/// The exchange over a database full of proposals, under policies like those that are shipped.
pub(crate) async fn build(url: &str, folder: &Path, proposals: u64) -> Exchange {
    let db = Db::open(url).await.unwrap();
    migrate::run(&db, now()).await.unwrap();
    let mut chance = Chance::new(1);
    let mut rows = Rows::new();
    let partners: Vec<PartnerCode> = PARTNERS.iter().map(|code| code.parse().unwrap()).collect();
    let everybody: BTreeSet<PartnerCode> = partners.iter().cloned().collect();
    for partner in &partners {
        rows.partner(partner);
    }
    for number in 0..MEMBERS {
        let (partner, own) = (number % PARTNERS.len(), number / PARTNERS.len());
        // The readers' employers have few who propose, as is so with officials.
        let organisation = if own <= 1 { format!("Office {partner}") } else { format!("Institute {}", number % 400) };
        rows.member(&member(partner, own), &organisation, "");
    }
    let program = id("prog", 1);
    rows.program(program, &partners[0], &everybody, &member(0, 0));
    let calls: Vec<CallId> = (1..=CALLS).map(|number| id("call", number)).collect();
    for (number, call) in calls.iter().enumerate() {
        let (opens_at, deadline_at) = (now() - SignedDuration::from_hours(900), now() - SignedDuration::from_hours(90));
        let text = text(&everybody, &BTreeSet::from([partners[0].clone()]), opens_at, deadline_at, 0);
        rows.call(&Call { id: *call, program, text, version: 1, baseline: 1, is_cancelled: false, by: &member(0, 0) });
        rows.role(*call, &member(0, 0), "officer");
        rows.role(*call, &member(5, 0), "reviewer");
        if number % 2 == 0 {
            rows.role(*call, &member(6, 0), "decider");
        }
        if number >= 10 {
            rows.role(*call, &member(2, 0), "reviewer");
        }
    }
    rows.write(&db).await;
    let each = proposals / 10;
    for number in 0..proposals {
        let call = chance.below(calls.len());
        let (mut left, mut right) = (chance.below(15), chance.below(14));
        right += usize::from(right >= left);
        let open = |partner: usize| OPEN.contains(&PARTNERS[partner]);
        if open(left) && open(right) && call >= 10 {
            (left, right) = (0, 1);
        }
        let of = |partner: usize, chance: &mut Chance| member(partner, 1 + chance.below(MEMBERS / PARTNERS.len() - 1));
        let members = [of(left, &mut chance), of(right, &mut chance)];
        let id = id("prop", number);
        let created_at =
            now() - SignedDuration::from_hours(800) + SignedDuration::from_millis(i64::try_from(number * 700).unwrap());
        let is_withdrawn = chance.percent(3);
        let topic = Some(*chance.pick(&TOPICS));
        rows.proposal(&Proposal { id, call: calls[call], topic, members: &members, created_at, is_withdrawn });
        if chance.percent(90) {
            rows.version(id, 1, 1, "{}", true, true);
        }
        if number % each == each / 2 {
            rows.assignment(id, &member(2, 0));
        }
        let reviewers: BTreeSet<MemberId> = (0..2).map(|_| of(chance.below(15), &mut chance)).collect();
        for reviewer in &reviewers {
            rows.assignment(id, reviewer);
        }
        if number % 50 == 0 {
            rows.declaration(id, &member(chance.below(7), 0), true);
        }
        if number % 5_000 == 4_999 {
            rows.write(&db).await;
        }
    }
    rows.write(&db).await;
    index(&db).await;
    common::exchange(url, db, folder, &partners[0]).await
}
