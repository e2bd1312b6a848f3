//! A list is what is left when each proposal is decided on by itself: on both engines, in random worlds under random policies.
//!
//! `ENTENTE_LISTS_SEED` repeats a run, `ENTENTE_LISTS_WORLDS` makes it longer. Each answer of the database is compared
//! with Cedar's own decision, and a condition that was tampered with must be found out.

mod bounds;
mod policies;
mod world;

use crate::harness::many::Chance;
use entente::{
    domain::{
        id::ProposalId,
        member::CallRole,
        proposal::{Relation, Sort, Status},
    },
    policy::{
        Action, Engine, Predicate, Resource,
        facts::MemberFacts,
        predicate::{Atom, Flag, Members, Piece, RowFact, Set, Value},
    },
    service::{lists, state, unit::View},
    storage::{
        self, Tx, args,
        proposals::ProposalRow,
        visible::{self, CallGroup, CallGroups, ListPosition, PageRequest, PageSearch, ProposalQuery},
    },
    wire::proposal::Filter,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::Arc,
    time::Instant,
};
use world::{Ground, World};

/// A change to the condition, and whether it applies to an atom.
type Mutation = (&'static str, fn(&Atom) -> Option<Predicate>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_holds_what_the_policies_let_one_know_of_and_nothing_else() {
    let (seed, worlds) = (number("ENTENTE_LISTS_SEED", 20_260_301), number("ENTENTE_LISTS_WORLDS", 2));
    println!("ENTENTE_LISTS_SEED={seed} ENTENTE_LISTS_WORLDS={worlds}");
    let (began, mut tally) = (Instant::now(), Tally::default());
    let mut unnoticed: Vec<&str> = MUTATIONS.iter().map(|(name, _)| *name).chain(STRUCTURAL).collect();
    for number in 0..worlds.max(12) {
        let seed = seed + number;
        let mut chance = Chance::new(seed);
        let world = World::new(&mut chance);
        if number >= worlds {
            // Each change is found in some world; one that survives all of them would survive for good.
            if unnoticed.is_empty() {
                break;
            }
            let ground = world.on_sqlite().await;
            unnoticed = survivors(&ground, &world, &Truth::of(&ground, &world).await, unnoticed).await;
            continue;
        }
        let grounds = world.grounds().await;
        let truth = Truth::of(&grounds[0], &world).await;
        unnoticed = survivors(&grounds[0], &world, &truth, unnoticed).await;
        tally.decisions += truth.visible.iter().map(Vec::len).sum::<usize>();
        tally.visible += truth.visible.iter().flatten().filter(|visible| **visible).count();
        for ground in &grounds {
            compare(ground, &world, &truth, &mut chance, &mut tally, seed).await;
        }
    }
    println!("{tally:?} in {:.1} s", began.elapsed().as_secs_f64());
    assert!(tally.decisions >= 25_000 * usize::try_from(worlds).unwrap(), "{tally:?}");
    assert!(tally.visible * 50 > tally.decisions, "almost nothing was visible, so this proves little: {tally:?}");
    assert!(unnoticed.is_empty(), "conditions were tampered with and nobody noticed: {unnoticed:?}");
}

/// Whatever a nation writes changes no decision about a proposal that it does not own, for a member who is not its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_of_a_nation_reach_its_own_members_and_its_own_proposals_alone() {
    let seed = number("ENTENTE_LISTS_SEED", 20_260_301);
    println!("ENTENTE_LISTS_SEED={seed}");
    let (mut decisions, mut own, mut own_changed) = (0, 0, 0);
    let mut chance = Chance::new(seed);
    let world = World::new(&mut chance);
    let ground = world.on_sqlite().await;
    let facts = Facts::of(&ground, &world).await;
    for round in 0..2 {
        for code in world::PARTNERS {
            let partner = code.parse().unwrap();
            let Ok(rules) = policies::rules(&mut chance, code) else { continue };
            let changed = world.engine.with_partner(Arc::new(rules));
            for member in &facts.members {
                for _ in 0..20 {
                    let proposal = &chance.pick(&facts.proposals).facts;
                    let is_own = *member.id.partner() == partner || proposal.parties.contains(&partner);
                    for action in [Action::View, Action::Read, Action::ViewDeliberation] {
                        let decide =
                            |engine: &Engine| engine.explain(member, action, Resource::Proposal(proposal)).standing;
                        let (before, after) = (decide(&world.engine), decide(&changed));
                        let context = format!(
                            "seed {seed}, round {round}: `{code}` and {action} of {} by {}",
                            proposal.id, member.id
                        );
                        assert!(is_own || before == after, "{context}: {before:?} became {after:?}");
                        own += usize::from(is_own);
                        own_changed += usize::from(before != after);
                        decisions += 2;
                    }
                }
            }
        }
    }
    println!("{decisions} decisions, {own_changed} of {own} changed for the nation's own");
    assert!(own_changed * 100 > own, "almost nothing changed, so this proves little: {own_changed} of {own}");
}

/// A count joins what a page asks for row by row, up to some number of tables; so conditions that ask for more of them, and for
/// each alone, count what their pages hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_is_of_what_the_pages_hold_however_many_tables_are_asked() {
    let seed = number("ENTENTE_LISTS_SEED", 20_260_301);
    println!("ENTENTE_LISTS_SEED={seed}");
    let mut chance = Chance::new(seed);
    let world = World::new(&mut chance);
    let sets =
        [Members::PartyMembers, Members::Assigned, Members::Conflicts, Members::DeclaredClear, Members::Reviewed];
    let mut atoms: Vec<Atom> = sets.into_iter().map(Atom::Mine).collect();
    atoms.push(Atom::Flag(Flag::Decided));
    atoms.extend(world::CAVEATS.map(|name| Atom::Contains(Set::Caveats, Value::Written(name.to_owned()))));
    atoms.extend(["acme", "bureau"].map(|name| Atom::Contains(Set::Organisations, Value::Written(name.to_owned()))));
    let mut sizes = Vec::new();
    for ground in world.grounds().await {
        let truth = Truth::of(&ground, &world).await;
        ground.exchange.db.keep_statistics().await.unwrap();
        let mut tx = ground.exchange.db.read().await.unwrap();
        if ground.name == "SQLite" {
            let known = tx.fetch_one("SELECT COUNT(*) AS n FROM sqlite_stat1", args![]).await.unwrap();
            assert!(known.count("n").unwrap() > 0, "SQLite plans without knowing its tables");
        }
        for me in &truth.members {
            let most: Vec<Predicate> = atoms
                .iter()
                .map(|atom| Predicate::from(atom.clone()))
                .map(|holds| if chance.percent(50) { holds } else { holds.negated() })
                .collect();
            let alone = Predicate::from(chance.pick(&atoms).clone());
            let halves = most.chunks(2).map(|two| Predicate::any(two.to_vec()));
            for holds in [alone, Predicate::any(most.clone()), Predicate::all(halves), Predicate::all(most.clone())] {
                let groups = CallGroups::from(vec![CallGroup { calls: world.calls.clone(), holds }]);
                let query = ProposalQuery::new(&me.id, &groups, truth.proposals.len() as u64);
                let counted = visible::count(&mut tx, &query).await.unwrap();
                let found = all(&mut tx, &query, Sort::Created, 200).await.len();
                assert_eq!(counted, Some(found as u64), "{} for {}: {:?}", ground.name, me.id, groups.all());
                sizes.push(found);
            }
        }
    }
    let some = sizes.iter().filter(|size| **size > 0).count();
    println!("{} counts, {some} of something", sizes.len());
    assert!(some * 4 > sizes.len(), "almost nothing was counted, so this proves little");
}

const MUTATIONS: &[Mutation] = &[
    ("assigned is party member", |atom| match atom {
        Atom::Mine(Members::Assigned) => Some(Atom::Mine(Members::PartyMembers).into()),
        _ => None,
    }),
    ("no conflict", |atom| matches!(atom, Atom::Mine(Members::Conflicts)).then_some(false.into())),
    ("clear is conflict", |atom| match atom {
        Atom::Mine(Members::DeclaredClear) => Some(Atom::Mine(Members::Conflicts).into()),
        _ => None,
    }),
    ("nobody has reviewed", |atom| matches!(atom, Atom::Mine(Members::Reviewed)).then_some(false.into())),
    ("underscore is a wildcard", |atom| match atom {
        Atom::Like(text, pattern) => {
            let wild = |piece: &Piece| if *piece == Piece::Letter('_') { Piece::Anything } else { *piece };
            Some(Atom::Like(*text, pattern.iter().map(wild).collect()).into())
        }
        _ => None,
    }),
    ("every topic is given", |atom| matches!(atom, Atom::HasTopic).then_some(true.into())),
    ("owners do not matter", |atom| matches!(atom, Atom::Contains(Set::Parties, _)).then_some(false.into())),
    ("all owners are fine", |atom| matches!(atom, Atom::Within(Set::Parties, _)).then_some(true.into())),
    ("colleagues do not matter", |atom| matches!(atom, Atom::Contains(Set::Organisations, _)).then_some(false.into())),
    ("nothing is labelled", |atom| matches!(atom, Atom::Flag(Flag::Labelled)).then_some(false.into())),
    ("every label is for all", |atom| matches!(atom, Atom::Contains(Set::ReleasableTo, _)).then_some(true.into())),
    ("no label has a caveat", |atom| matches!(atom, Atom::Contains(Set::Caveats, _)).then_some(false.into())),
    ("nothing is withdrawn", |atom| matches!(atom, Atom::Row(RowFact::Withdrawn)).then_some(false.into())),
    ("any version counts", |atom| match atom {
        Atom::Row(RowFact::CompleteSince(_)) => Some(Atom::Row(RowFact::CompleteSince(1)).into()),
        _ => None,
    }),
    ("signed is complete", |atom| match atom {
        Atom::Row(RowFact::CompleteSince(version)) => Some(Atom::Row(RowFact::CommittedSince(*version)).into()),
        _ => None,
    }),
    ("nobody got more time", |atom| matches!(atom, Atom::Row(RowFact::OneOf(_))).then_some(false.into())),
    ("nothing is decided", |atom| matches!(atom, Atom::Flag(Flag::Decided)).then_some(false.into())),
];

const STRUCTURAL: [&str; 3] = ["negations are lost", "all is any", "forbids are lost"];

fn mutated(name: &str, holds: &Predicate) -> Predicate {
    if let Some((_, atom)) = MUTATIONS.iter().find(|(known, _)| *known == name) {
        return holds.replaced(&mut |known| atom(known));
    }
    let parts = |parts: &[Predicate]| parts.iter().map(|part| mutated(name, part)).collect::<Vec<_>>();
    match (holds, name) {
        (Predicate::IsNot(atom), "negations are lost") => atom.clone().into(),
        (Predicate::IsNot(_), "forbids are lost") => true.into(),
        (Predicate::All(all), "all is any") => Predicate::any(parts(all)),
        (Predicate::All(all), _) => Predicate::all(parts(all)),
        (Predicate::Any(any), _) => Predicate::any(parts(any)),
        _ => holds.clone(),
    }
}

/// Asserts that the tables that lists are planned by, as acts wrote them, follow from the rows.
#[cfg(feature = "client")]
pub(crate) async fn acts_kept_what_lists_go_by(db: &storage::Db) {
    let kept = async || {
        let (mut tx, mut kept) = (db.read().await.unwrap(), Vec::new());
        let sql = "SELECT proposal_id, parties_key, releasable_key, committed_under, complete_under FROM proposals \
             ORDER BY proposal_id";
        for row in tx.fetch_all(sql, args![]).await.unwrap() {
            let (id, key) = (row.text("proposal_id").unwrap(), row.text("parties_key").unwrap());
            let under = (row.int("committed_under").unwrap(), row.int("complete_under").unwrap());
            let releasable = row.text("releasable_key").unwrap();
            kept.push(format!("{id} `{key}` `{releasable}` {under:?}"));
        }
        let sql = "SELECT call_id, parties_key, proposals FROM proposal_tallies ORDER BY call_id, parties_key";
        for row in tx.fetch_all(sql, args![]).await.unwrap() {
            let (call, key) = (row.text("call_id").unwrap(), row.text("parties_key").unwrap());
            kept.push(format!("{call} `{key}` {}", row.int("proposals").unwrap()));
        }
        let sql = "SELECT partner, document_bytes FROM partner_tallies WHERE document_bytes > 0 ORDER BY partner";
        for row in tx.fetch_all(sql, args![]).await.unwrap() {
            kept.push(format!("{} {}", row.text("partner").unwrap(), row.int("document_bytes").unwrap()));
        }
        for row in tx.fetch_all("SELECT organisation_folded AS o FROM members ORDER BY member", args![]).await.unwrap()
        {
            kept.push(row.text("o").unwrap());
        }
        let sql = "SELECT deadline_organisation_folded AS o FROM proposal_members \
                   WHERE deadline_organisation_folded IS NOT NULL ORDER BY proposal_id, member";
        for row in tx.fetch_all(sql, args![]).await.unwrap() {
            kept.push(row.text("o").unwrap());
        }
        kept
    };
    let before = kept().await;
    visible::reindex(db).await.unwrap();
    assert_eq!(before, kept().await, "as acts wrote it on the left, made again on the right");
    let is_handed_in = |line: &String| line.starts_with("prop_") && !line.ends_with("(0, 0)");
    assert!(before.iter().any(is_handed_in), "nothing was handed in: {before:?}");
}

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    decisions: usize,
    visible: usize,
    lists: usize,
    pages: usize,
    counts: usize,
}

/// Everybody and everything of a world.
struct Facts {
    members: Vec<MemberFacts>,
    /// In the order of creation.
    proposals: Vec<state::ProposalState>,
}

/// Cedar's own decision about every proposal for every member.
struct Truth {
    members: Vec<MemberFacts>,
    /// In the order of creation.
    proposals: Vec<state::ProposalState>,
    /// By member, then by proposal.
    visible: Vec<Vec<bool>>,
}

impl Facts {
    async fn of(ground: &Ground, world: &World) -> Self {
        let (exchange, now) = (&ground.exchange, world::now());
        let mut tx = exchange.db.read().await.unwrap();
        let mut calls = BTreeMap::new();
        for call in &world.calls {
            calls.insert(*call, Arc::new(state::call(&mut tx, *call, now).await.unwrap().unwrap()));
        }
        let ids = tx.fetch_all("SELECT proposal_id FROM proposals", args![]).await.unwrap();
        let ids: Vec<ProposalId> = ids.iter().map(|row| row.parse("proposal_id").unwrap()).collect();
        let rows = storage::proposals::some(&mut tx, &ids).await.unwrap();
        let state = |row: ProposalRow| state::proposal_state(row.clone(), calls[&row.call].clone(), now);
        let mut proposals: Vec<_> = rows.into_iter().map(state).collect();
        proposals.sort_by_key(key);
        let mut members = Vec::new();
        for id in &world.members {
            members.push(state::member(exchange, &mut tx, id, now).await.unwrap().unwrap());
        }
        Self { members, proposals }
    }
}

impl Truth {
    async fn of(ground: &Ground, world: &World) -> Self {
        let Facts { members, proposals } = Facts::of(ground, world).await;
        let decide = |me: &MemberFacts| -> Vec<bool> {
            proposals.iter().map(|proposal| world.engine.visible(me, Resource::Proposal(&proposal.facts))).collect()
        };
        // Unoptimised, deciding is what takes the time.
        let (left, right) = members.split_at(members.len() / 2);
        let visible = std::thread::scope(|scope| {
            let right = scope.spawn(|| right.iter().map(decide).collect::<Vec<_>>());
            let mut visible: Vec<_> = left.iter().map(decide).collect();
            visible.extend(right.join().unwrap());
            visible
        });
        Self { members, proposals, visible }
    }

    /// What the member's list is to be.
    fn list(&self, member: usize, fits: impl Fn(&state::ProposalState) -> bool) -> Vec<ListPosition> {
        let all = self.proposals.iter().zip(&self.visible[member]);
        all.filter(|(proposal, visible)| **visible && fits(proposal)).map(|(proposal, _)| key(proposal)).collect()
    }
}

fn key(proposal: &state::ProposalState) -> ListPosition {
    ListPosition { created_at: proposal.row.created_at, id: proposal.row.id }
}

/// The changes to conditions after which everybody's list is still what it should be.
async fn survivors<'a>(ground: &Ground, world: &World, truth: &Truth, mut changes: Vec<&'a str>) -> Vec<&'a str> {
    for (place, me) in truth.members.iter().enumerate() {
        let mut tx = ground.exchange.db.read().await.unwrap();
        let list =
            lists::ask(&ground.exchange, &world.engine, &mut tx, me, &Filter::default(), true.into(), world::now())
                .await
                .unwrap();
        let wanted = truth.list(place, |_| true);
        let mut survivors = Vec::new();
        for name in changes {
            let groups =
                list.groups.all().iter().map(|group| CallGroup { holds: mutated(name, &group.holds), ..group.clone() });
            let groups = CallGroups::from(groups.collect::<Vec<_>>());
            let query = ProposalQuery { groups: &groups, ..list.query(&me.id) };
            if all(&mut tx, &query, Sort::Created, 200).await == wanted {
                survivors.push(name);
            }
        }
        changes = survivors;
    }
    changes
}

async fn compare(ground: &Ground, world: &World, truth: &Truth, chance: &mut Chance, tally: &mut Tally, seed: u64) {
    for (place, me) in truth.members.iter().enumerate() {
        for filter in [Filter::default(), filter(chance, world)] {
            let mut wanted = truth.list(place, |proposal| fits(&filter, proposal, me));
            let (few, walked) = (*chance.pick(&[0, 0, 20, 1000]), *chance.pick(&[40, 300, 50_000, 50_000]));
            let values = *chance.pick(&[0, 60, usize::MAX, usize::MAX, usize::MAX]);
            let bounds = format!("few {few}, walked {walked}, values {values}");
            let context = format!("{} of seed {seed} for {} with {filter:?}, {bounds}", ground.name, me.id);
            let mut tx = ground.exchange.db.read().await.unwrap();
            let list = lists::ask(&ground.exchange, &world.engine, &mut tx, me, &filter, true.into(), world::now())
                .await
                .unwrap();
            let query = ProposalQuery { few, walked, values, ..list.query(&me.id) };
            let counted = visible::count(&mut tx, &query).await.unwrap();
            assert!(counted.is_some() || values != usize::MAX, "{context}");
            assert_eq!(counted.unwrap_or(wanted.len() as u64), wanted.len() as u64, "count: {context}");
            let sort = *chance.pick(&[Sort::Created, Sort::Newest]);
            if sort == Sort::Newest {
                wanted.reverse();
            }
            let size = *chance.pick(&[3, 7, 50, 51, 199]);
            // Small pages of long lists add nothing but time.
            let size = size.max(u32::try_from(wanted.len() / 6).unwrap()).max(if counted.is_none() { 100 } else { 1 });
            let mut found = all(&mut tx, &query, sort, size).await;
            if counted.is_none() {
                // What else there is the caller leaves out.
                let wanted: BTreeSet<_> = wanted.iter().collect();
                found.retain(|position| wanted.contains(position));
            }
            if found != wanted {
                report(truth, world, me, &found, &wanted);
                panic!("{context}");
            }
            tally.lists += 1;
            tally.counts += 1;
            tally.pages += 1 + wanted.len() / size as usize;
        }
        if chance.percent(15) {
            served(ground, world, truth, place, chance).await;
        }
    }
}

/// The same through what serves members: each row is decided on again, and the database and Cedar never differ.
async fn served(ground: &Ground, world: &World, truth: &Truth, place: usize, chance: &mut Chance) {
    let (exchange, filter) = (&ground.exchange, Filter::default());
    let (tx, me, policies) = (exchange.db.read().await.unwrap(), truth.members[place].clone(), world.engine.clone());
    let mut view = View::of(exchange, tx, me, world::now(), policies);
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let cut = PageRequest { sort: Sort::Created, after, limit: *chance.pick(&[33, 200]) };
        let (page, next) = view.proposals(&filter, cut).await.unwrap();
        found.extend(page.iter().map(key));
        // What a cursor carries reads back as the same place.
        after = next.map(|next| next.to_string().parse().unwrap());
        if after.is_none() {
            break;
        }
    }
    let wanted = truth.list(place, |_| true);
    assert_eq!(found, wanted);
    assert_eq!(view.count_proposals(&filter).await.unwrap(), wanted.len() as u64);
}

/// The whole list, page by page.
async fn all(tx: &mut Tx, query: &ProposalQuery<'_>, sort: Sort, limit: u32) -> Vec<ListPosition> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let PageSearch { found: page, until, .. } =
            visible::page(tx, query, PageRequest { sort, after, limit }).await.unwrap();
        let is_full = page.len() == limit as usize;
        assert!(is_full && until.is_none() || page.len() < limit as usize, "{page:?}, {until:?}");
        after = until.or(page.last().copied().filter(|_| is_full));
        found.extend(page);
        if after.is_none() {
            return found;
        }
    }
}

fn filter(chance: &mut Chance, world: &World) -> Filter {
    let mut filter = Filter::default();
    for _ in 0..=chance.below(2) {
        match chance.below(6) {
            0 => filter.call = Some(*chance.pick(&world.calls)),
            1 => filter.phase = Some(*chance.pick(entente::domain::call::Phase::ALL)),
            2 => filter.topic = Some(world::topic(chance)),
            3 => filter.party = Some(chance.pick(&world::PARTNERS).parse().unwrap()),
            4 => filter.status = Some(*chance.pick(Status::ALL)),
            _ => filter.mine = Some(*chance.pick(Relation::ALL)),
        }
    }
    filter
}

fn fits(filter: &Filter, proposal: &state::ProposalState, me: &MemberFacts) -> bool {
    let facts = &proposal.facts;
    filter.call.is_none_or(|call| call == proposal.row.call)
        && filter.phase.is_none_or(|phase| phase == facts.call.phase)
        && filter.topic.as_ref().is_none_or(|topic| facts.topic.as_ref() == Some(topic))
        && filter.party.as_ref().is_none_or(|party| facts.parties.contains(party))
        && filter.status.is_none_or(|status| status == facts.status)
        && filter.mine.is_none_or(|mine| match mine {
            Relation::Party => facts.party_members.contains(&me.id),
            Relation::Assigned => facts.assigned.contains(&me.id),
            Relation::Undeclared => {
                let judges = facts.assigned.contains(&me.id)
                    || [CallRole::Officer, CallRole::Decider].iter().any(|role| facts.call.has_role(&me.id, *role));
                let is_asked = !facts.decided || facts.call.has_role(&me.id, CallRole::Officer);
                judges && is_asked && !facts.declared_clear.contains(&me.id) && !facts.conflicts.contains(&me.id)
            }
        })
}

fn report(truth: &Truth, world: &World, me: &MemberFacts, found: &[ListPosition], wanted: &[ListPosition]) {
    for proposal in &truth.proposals {
        let (is, should) = (found.contains(&key(proposal)), wanted.contains(&key(proposal)));
        if is != should {
            let decision = world.engine.explain(me, Action::View, Resource::Proposal(&proposal.facts));
            eprintln!("listed {is}, wanted {should}: {:?}\n{:?}\n{decision:?}", proposal.facts, proposal.row.versions);
            eprintln!("{:?}", world.engine.predicate(me, Action::View));
            return;
        }
    }
    eprintln!("the same proposals in another order or number: {found:?} and not {wanted:?}");
}

fn number(name: &str, usual: u64) -> u64 {
    env::var(name).map_or(usual, |text| text.parse().unwrap())
}
