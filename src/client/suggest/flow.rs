//! Reviewers to proposals as a flow of least cost, by successive shortest paths: an allocation that no exchange of reviewers makes better.
//!
//! A unit of flow is one reviewer on one proposal. It goes from the proposal to a nation, from there to a reviewer of it, and is counted
//! against what the reviewer takes. What is worth most comes first: a nation that is wanted, then a place that is filled, then a topic, then
//! an even load. Ties go by the order of what is given, so the same input gives the same allocation.

use crate::domain::id::PartnerCode;
use std::collections::{BTreeSet, VecDeque};

/// What a unit is worth that gives a proposal a reviewer of a nation that it wants, that fills a place, and that is on topic.
const NATION: i64 = 1_000_000_000_000;
const PLACE: i64 = 1_000_000_000;
const TOPIC: i64 = 1_000_000;

/// What one proposal wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Reviewers, at most.
    pub places: u32,
    /// Of each of these nations one.
    pub nations: BTreeSet<&'a PartnerCode>,
    /// Who can be chosen.
    pub bids: Vec<Bid>,
}

/// A reviewer who can be chosen for a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bid {
    /// Their place in the list of reviewers.
    pub reviewer: usize,
    pub is_on_topic: bool,
}

/// Who was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// For each proposal, by place in the list of reviewers, in its order.
    pub chosen: Vec<Vec<usize>>,
    /// How many proposals each reviewer was chosen for.
    pub load: Vec<u32>,
}

/// Chooses reviewers for these proposals. `nations` has the nation of each reviewer, `present` how many proposals they have already, and
/// `limits` how many more they take.
#[must_use]
pub fn allocate(claims: &[Claim<'_>], nations: &[&PartnerCode], present: &[u32], limits: &[u32]) -> Allocation {
    let mut network = Network::default();
    let (source, sink) = (network.node(), network.node());
    let reviewers: Vec<usize> = nations.iter().map(|_| network.node()).collect();
    let mut bids_of = vec![0_u32; nations.len()];
    for bid in claims.iter().flat_map(|claim| &claim.bids) {
        bids_of[bid.reviewer] += 1;
    }
    for (at, reviewer) in reviewers.iter().enumerate() {
        // Each further proposal costs one more, so nobody has two more than somebody else who could.
        for more in 0..limits[at].min(bids_of[at]) {
            network.edge(*reviewer, sink, 1, i64::from(present[at]) + i64::from(more) + 1);
        }
    }
    let mut taken = Vec::new();
    for (place, claim) in claims.iter().enumerate() {
        let proposal = network.node();
        network.edge(source, proposal, claim.places, -PLACE);
        let of_nations: BTreeSet<&PartnerCode> = claim.bids.iter().map(|bid| nations[bid.reviewer]).collect();
        for nation in of_nations {
            let through = network.node();
            if claim.nations.contains(nation) {
                network.edge(proposal, through, 1, -NATION);
            }
            network.edge(proposal, through, claim.places, 0);
            for bid in claim.bids.iter().filter(|bid| nations[bid.reviewer] == nation) {
                let cost = if bid.is_on_topic { -TOPIC } else { 0 };
                taken.push((place, bid.reviewer, network.edge(through, reviewers[bid.reviewer], 1, cost)));
            }
        }
    }
    while network.augment(source, sink) {}
    let mut allocation = Allocation { chosen: vec![Vec::new(); claims.len()], load: vec![0; nations.len()] };
    for (place, reviewer, edge) in taken {
        if network.edges[edge].room == 0 {
            allocation.chosen[place].push(reviewer);
            allocation.load[reviewer] += 1;
        }
    }
    for chosen in &mut allocation.chosen {
        chosen.sort_unstable();
    }
    allocation
}

/// Nodes with edges that take some flow at a cost. Beside each edge is the one that takes it back.
#[derive(Debug, Default)]
struct Network {
    edges: Vec<Edge>,
    from: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Edge {
    to: usize,
    room: u32,
    cost: i64,
}

impl Network {
    fn node(&mut self) -> usize {
        self.from.push(Vec::new());
        self.from.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, room: u32, cost: i64) -> usize {
        let at = self.edges.len();
        self.edges.extend([Edge { to, room, cost }, Edge { to: from, room: 0, cost: -cost }]);
        self.from[from].push(at);
        self.from[to].push(at + 1);
        at
    }

    /// Sends one unit the way that costs least, if it is worth anything.
    // INVARIANT: the network has no circle before the first unit, and a unit along the cheapest way leaves none of negative cost, so the
    // search ends.
    fn augment(&mut self, source: usize, sink: usize) -> bool {
        let mut cost: Vec<Option<i64>> = vec![None; self.from.len()];
        let mut by: Vec<usize> = vec![usize::MAX; self.from.len()];
        let (mut waiting, mut waits) = (VecDeque::from([source]), vec![false; self.from.len()]);
        cost[source] = Some(0);
        while let Some(node) = waiting.pop_front() {
            waits[node] = false;
            let Some(here) = cost[node] else { continue };
            for edge in &self.from[node] {
                let Edge { to, room, cost: step } = &self.edges[*edge];
                if *room > 0 && cost[*to].is_none_or(|known| here + step < known) {
                    cost[*to] = Some(here + step);
                    by[*to] = *edge;
                    if !std::mem::replace(&mut waits[*to], true) {
                        waiting.push_back(*to);
                    }
                }
            }
        }
        if cost[sink].is_none_or(|cost| cost >= 0) {
            return false;
        }
        let mut node = sink;
        while node != source {
            let edge = by[node];
            self.edges[edge].room -= 1;
            self.edges[edge ^ 1].room += 1;
            node = self.edges[edge ^ 1].to;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> PartnerCode {
        text.parse().unwrap()
    }

    /// What an allocation is worth, by the rules as the documentation of this file says them.
    fn worth(claims: &[Claim<'_>], nations: &[&PartnerCode], present: &[u32], chosen: &[Vec<usize>]) -> i64 {
        let mut load: Vec<i64> = present.iter().map(|has| i64::from(*has)).collect();
        let mut worth = 0;
        for (claim, chosen) in claims.iter().zip(chosen) {
            let wanted = claim.nations.iter().filter(|nation| chosen.iter().any(|at| nations[*at] == **nation));
            worth += NATION * i64::try_from(wanted.count()).unwrap();
            for at in chosen {
                load[*at] += 1;
                let bid = claim.bids.iter().find(|bid| bid.reviewer == *at).unwrap();
                worth += PLACE + if bid.is_on_topic { TOPIC } else { 0 } - load[*at];
            }
        }
        worth
    }

    /// The best that there is, by trying everything.
    fn best(claims: &[Claim<'_>], nations: &[&PartnerCode], present: &[u32], limits: &[u32]) -> i64 {
        fn go(
            (claims, nations, present): (&[Claim<'_>], &[&PartnerCode], &[u32]),
            limits: &mut [u32],
            chosen: &mut Vec<Vec<usize>>,
        ) -> i64 {
            let Some(claim) = claims.get(chosen.len()) else { return worth(claims, nations, present, chosen) };
            let mut most = i64::MIN;
            for subset in 0..1_u32 << claim.bids.len() {
                let picked: Vec<usize> = (0..claim.bids.len()).filter(|at| (subset >> at) & 1 == 1).collect();
                let picked: Vec<usize> = picked.into_iter().map(|at| claim.bids[at].reviewer).collect();
                if picked.len() > claim.places as usize || picked.iter().any(|at| limits[*at] == 0) {
                    continue;
                }
                for at in &picked {
                    limits[*at] -= 1;
                }
                chosen.push(picked);
                most = most.max(go((claims, nations, present), limits, chosen));
                for at in chosen.pop().unwrap() {
                    limits[at] += 1;
                }
            }
            most
        }
        go((claims, nations, present), &mut limits.to_vec(), &mut Vec::new())
    }

    #[test]
    fn allocation_is_worth_as_much_as_the_best_of_all() {
        let codes = [code("ISR"), code("KOR"), code("USA")];
        // A sequence without chance: every small world comes again.
        let mut state = 7_u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..60 {
            let reviewers = 2 + usize::try_from(next(3)).unwrap();
            let nations: Vec<&PartnerCode> =
                (0..reviewers).map(|_| &codes[usize::try_from(next(3)).unwrap()]).collect();
            let present: Vec<u32> = (0..reviewers).map(|_| u32::try_from(next(2)).unwrap()).collect();
            let limits: Vec<u32> = (0..reviewers).map(|_| u32::try_from(next(3)).unwrap()).collect();
            let mut claims: Vec<Claim<'_>> = Vec::new();
            for _ in 0..3 {
                let places = u32::try_from(next(3)).unwrap();
                let nations = codes.iter().filter(|_| next(2) == 0).collect();
                let mut bids = Vec::new();
                for reviewer in 0..reviewers {
                    let (is_possible, is_on_topic) = (next(4) > 0, next(2) == 0);
                    bids.extend(is_possible.then_some(Bid { reviewer, is_on_topic }));
                }
                claims.push(Claim { places, nations, bids });
            }
            let found = allocate(&claims, &nations, &present, &limits);
            for (at, load) in found.load.iter().enumerate() {
                assert!(*load <= limits[at], "{found:?}");
            }
            for (claim, chosen) in claims.iter().zip(&found.chosen) {
                let once: BTreeSet<&usize> = chosen.iter().collect();
                assert!(once.len() == chosen.len() && chosen.len() <= claim.places as usize, "{found:?}");
            }
            let (is, could_be) =
                (worth(&claims, &nations, &present, &found.chosen), best(&claims, &nations, &present, &limits));
            assert_eq!(is, could_be, "{claims:?} {nations:?} {limits:?}: {found:?}");
        }
    }

    #[test]
    fn large_call_is_allocated_in_a_moment() {
        let codes = ["ISR", "KOR", "USA", "GBR"].map(code);
        let nations: Vec<&PartnerCode> = (0..40).map(|at| &codes[at % 4]).collect();
        let bids = |place: usize| {
            let can = (0..40).filter(move |reviewer| !(reviewer * 7 + place).is_multiple_of(5));
            can.map(move |reviewer| Bid { reviewer, is_on_topic: (reviewer + place).is_multiple_of(3) }).collect()
        };
        let claim = |place| Claim { places: 3, nations: codes[..2].iter().collect(), bids: bids(place) };
        let claims: Vec<Claim<'_>> = (0..200).map(claim).collect();
        let found = allocate(&claims, &nations, &[0; 40], &[20; 40]);
        assert!(found.chosen.iter().all(|chosen| chosen.len() == 3));
        let (least, most) = (found.load.iter().min().unwrap(), found.load.iter().max().unwrap());
        assert!(most - least <= 20 && *most <= 20, "{:?}", found.load);
    }
}
