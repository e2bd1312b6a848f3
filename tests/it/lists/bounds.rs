//! However many proposals a page passes, and however long the texts are: it ends, and the pages together are the list.

use super::{
    Facts, Truth, all, policies, served,
    world::{self, World},
};
use crate::harness::many::Chance;
use entente::{
    domain::proposal::Sort,
    policy::{
        Predicate, Resource,
        predicate::{Atom, Text},
    },
    service::{lists, state::ProposalState},
    storage::{
        Tx,
        visible::{self, CallGroup, CallGroups, ListPosition, PageRequest, PageSearch, ProposalQuery},
    },
    wire::proposal::Filter,
};
use std::{collections::BTreeSet, sync::Arc};

fn is(topic: &str) -> Predicate {
    Atom::Equals(Text::Topic, topic.to_owned()).into()
}

/// A whole list and how many pages it took.
async fn paged(tx: &mut Tx, query: &ProposalQuery<'_>, sort: Sort, limit: u32) -> (Vec<ListPosition>, usize) {
    let (mut whole, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = visible::page(tx, query, PageRequest { sort, after, limit }).await.unwrap();
        pages += 1;
        let end = page.found.last().copied().filter(|_| page.found.len() == limit as usize);
        after = page.until.or(end);
        whole.extend(page.found);
        if after.is_none() {
            return (whole, pages);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_stops_after_so_many_proposals_and_the_pages_together_are_the_list() {
    let world = World::new(&mut Chance::new(7));
    let me = &world.members[0];
    for ground in world.grounds().await {
        let mut tx = ground.exchange.db.read().await.unwrap();
        // A walk past all proposals, and one past those of a call.
        for (calls, least) in [(world.calls.clone(), 1_000 / 40), (world.calls[..1].to_vec(), 200 / 20)] {
            for topic in ["no-such-topic", "ai"] {
                let groups = CallGroups::from(vec![CallGroup { calls: calls.clone(), holds: is(topic) }]);
                let usual = ProposalQuery { few: 0, ..ProposalQuery::new(me, &groups, 1_000) };
                let bounded = ProposalQuery { walked: 40, ..usual.clone() };
                for sort in [Sort::Created, Sort::Newest] {
                    let whole = all(&mut tx, &usual, sort, 200).await;
                    let (found, pages) = paged(&mut tx, &bounded, sort, 10).await;
                    assert_eq!(found, whole, "{}: {topic} of {} calls", ground.name, calls.len());
                    assert!(pages >= least, "{}: {topic} of {} calls in {pages}", ground.name, calls.len());
                    assert_eq!(whole.is_empty(), topic != "ai");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn condition_of_more_values_than_a_statement_takes_is_left_to_the_caller() {
    let world = World::new(&mut Chance::new(7));
    let me = &world.members[0];
    let few = CallGroups::from(vec![CallGroup { calls: world.calls.clone(), holds: is("ai") }]);
    // SQLite takes 32,766.
    let topics = (0..33_000).map(|number| is(&format!("t{number}"))).chain([is("ai")]);
    let holds = Predicate::Any(topics.collect());
    let many = CallGroups::from(vec![CallGroup { calls: world.calls.clone(), holds }]);
    for ground in world.grounds().await {
        let mut tx = ground.exchange.db.read().await.unwrap();
        let [few, many] = [&few, &many].map(|groups| ProposalQuery::new(me, groups, 1_000));
        let request = PageRequest { sort: Sort::Created, after: None, limit: 200 };
        let PageSearch { found, until, is_open } = visible::page(&mut tx, &many, request).await.unwrap();
        assert_eq!((found.len(), until, is_open), (200, None, true), "{}", ground.name);
        let whole: BTreeSet<_> = all(&mut tx, &many, Sort::Created, 200).await.into_iter().collect();
        let wanted = all(&mut tx, &few, Sort::Created, 200).await;
        assert!(!wanted.is_empty() && wanted.iter().all(|position| whole.contains(position)));
        assert_eq!(visible::count(&mut tx, &many).await.unwrap(), None);
        assert_eq!(visible::count(&mut tx, &few).await.unwrap(), Some(wanted.len() as u64));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_under_long_texts_of_all_nations_holds_what_the_policies_show() {
    let mut chance = Chance::new(7);
    let mut world = World::new(&mut chance);
    for code in world::PARTNERS {
        world.engine = Arc::new(world.engine.with_partner(Arc::new(policies::long(code))));
    }
    for ground in world.grounds().await {
        let Facts { members, proposals } = Facts::of(&ground, &world).await;
        let mut long = 0;
        for me in members {
            let mut tx = ground.exchange.db.read().await.unwrap();
            let (exchange, filter, now) = (&ground.exchange, Filter::default(), world::now());
            let list = lists::ask(exchange, &world.engine, &mut tx, &me, &filter, true.into(), now).await.unwrap();
            if visible::count(&mut tx, &list.query(&me.id)).await.unwrap().is_some() {
                continue;
            }
            let see = |state: &ProposalState| world.engine.visible(&me, Resource::Proposal(&state.facts));
            let visible: Vec<bool> = proposals.iter().map(see).collect();
            // Of a member who sees nothing little is proven.
            if !visible.contains(&true) {
                continue;
            }
            drop(tx);
            let truth = Truth { members: vec![me], proposals: proposals.clone(), visible: vec![visible] };
            served(&ground, &world, &truth, 0, &mut chance).await;
            long += 1;
            if long == 2 {
                break;
            }
        }
        assert!(long > 0, "{}: no condition was long, or nobody sees anything", ground.name);
    }
}
