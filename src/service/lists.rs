//! The proposals that a member may know of, by the policies that decide on each one: the database evaluates them as one condition.
//!
//! The condition is what the policies leave open once the member is known, and the caller's filters. Calls are few and change
//! seldom, so what the condition says of a call, its phase and the statuses under it are settled here by the rules of the domain, call by
//! call; what remains speaks of the proposal's own rows. Every proposal that comes back is put to the policies once more before
//! it is shown: should the two ever differ, the row is withheld and the difference counted.
//!
//! A condition of more values than a statement takes is evaluated here, for so many proposals a page.

mod evaluated;
mod referred;

use super::{
    Exchange, Result, evaluation,
    state::{self, CallState, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        call::{ExtensionScope, Phase},
        id::{CallId, MemberId, PartnerCode},
        member::CallRole,
        proposal::{Relation, Status},
    },
    policy::{
        Action, Engine, Predicate,
        facts::MemberFacts,
        predicate::{Atom, Flag, Members, Piece, RowFact, Set, Text, Value},
    },
    remembered::Remembered,
    storage::{
        Tx,
        proposals::{self, ProposalRow},
        visible::{
            self, CallGroup, CallGroups, CallScope, ListPosition, PageRequest, PageSearch, ProposalQuery, Totals,
        },
    },
    wire::proposal::Filter,
};
use jiff::Timestamp;
use std::{
    borrow::Borrow,
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Counts rows that the database gave and the policies refuse. It raises an alarm, because the two must agree.
pub const DIFFERENCES: &str = "entente_list_differences_total";

/// The filters of a list but for the reference, as a condition.
fn narrowed(filter: &Filter) -> Predicate {
    let equals = |text, value: String| Predicate::from(Atom::Equals(text, value));
    let mine = |members| Predicate::from(Atom::Mine(members));
    let related = |relation| match relation {
        Relation::Party => mine(Members::PartyMembers),
        Relation::Assigned => mine(Members::Assigned),
        Relation::Undeclared => {
            let judges = [Members::Assigned, Members::With(CallRole::Officer), Members::With(CallRole::Decider)];
            let has_declared = [Members::DeclaredClear, Members::Conflicts].map(mine);
            // Once it is decided, only officers have anything left to do there.
            let is_asked = [mine(Members::With(CallRole::Officer)), Predicate::IsNot(Atom::Flag(Flag::Decided))];
            let has_not = Predicate::any(has_declared).negated();
            Predicate::all([Predicate::any(judges.map(mine)), Predicate::any(is_asked), has_not])
        }
    };
    let closed = Atom::Flag(Flag::Closed);
    let in_phase = |phase| match phase {
        Phase::Closed => Predicate::from(closed.clone()),
        // For policies a closed call is in that phase, too.
        Phase::Review => Predicate::all([equals(Text::Phase, phase.to_string()), Predicate::IsNot(closed.clone())]),
        phase => equals(Text::Phase, phase.to_string()),
    };
    // The call is not among them: it is the only one that is asked about.
    let parts = [
        filter.phase.map(in_phase),
        filter.topic.as_ref().map(|topic| equals(Text::Topic, topic.to_string())),
        filter.party.as_ref().map(|code| Atom::Contains(Set::Parties, Value::Written(code.to_string())).into()),
        filter.status.map(|status| equals(Text::Status, status.to_string())),
        filter.mine.map(related),
        filter.begins.clone().map(|beginning| Atom::Row(RowFact::Begins(beginning)).into()),
    ];
    Predicate::all(parts.into_iter().flatten())
}

/// The condition for one member at one instant, with the calls that it was evaluated for.
#[derive(Debug, Clone)]
pub struct ListCondition {
    pub groups: Arc<CallGroups>,
    pub calls: Arc<BTreeMap<CallId, Arc<CallState>>>,
    /// How many proposals there are, whether the caller may know of them or not.
    begun: u64,
    /// The same as the groups say, of any call.
    whole: Arc<Predicate>,
    now: Timestamp,
}

impl ListCondition {
    /// The question that one member puts to the database.
    #[must_use]
    pub fn query<'a>(&'a self, me: &'a MemberId) -> ProposalQuery<'a> {
        ProposalQuery::new(me, &self.groups, self.begun)
    }

    /// How many proposals there are in the list.
    pub(super) async fn count(&self, exchange: &Exchange, tx: &mut Tx, me: &MemberId) -> Result<u64> {
        match visible::count(tx, &self.query(me)).await? {
            Some(count) => Ok(count),
            None => Ok(self.evaluated_totals(exchange, tx, me, false).await?.proposals),
        }
    }

    /// The totals of the proposals in the list.
    async fn totals(&self, exchange: &Exchange, tx: &mut Tx, me: &MemberId) -> Result<Totals> {
        match visible::totals(tx, &self.query(me)).await? {
            Some(totals) => Ok(totals),
            None => self.evaluated_totals(exchange, tx, me, true).await,
        }
    }

    /// The proposals at these positions, in their order, under the calls of the list.
    async fn loaded(&self, tx: &mut Tx, positions: &[ListPosition]) -> Result<Vec<ProposalState>> {
        let ids: Vec<_> = positions.iter().map(|position| position.id).collect();
        let rows = proposals::some(tx, &ids).await?;
        let mut found: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        let rows = ids.iter().filter_map(|id| found.remove(id));
        let state = |row: ProposalRow| {
            let call = self.calls.get(&row.call)?;
            Some(state::proposal_state(row, Arc::clone(call), self.now))
        };
        Ok(rows.filter_map(state).collect())
    }
}

/// The conditions of recent lists, by member and filter, because each page needs the same one.
#[derive(Debug, Default)]
pub struct KnownLists(Remembered<(MemberId, Filter), Arc<KnownList>, REMEMBERED, REMEMBERED_SIZE>);

/// For whom a condition is evaluated, and who asks for it.
#[derive(Debug, Clone, Copy)]
pub struct ListReader<'a> {
    pub facts: &'a MemberFacts,
    /// Takes the turns at evaluating. What somebody asks for about others is not remembered: it would take the places of their own lists.
    pub asker: &'a MemberId,
}

impl<'a> From<&'a MemberFacts> for ListReader<'a> {
    fn from(facts: &'a MemberFacts) -> Self {
        Self { facts, asker: &facts.id }
    }
}

/// How many are remembered.
const REMEMBERED: usize = 512;
/// The size of all conditions that are remembered.
const REMEMBERED_SIZE: usize = 1 << 19;

/// The condition for one member. It is valid while their policies, the calls and the statuses under these stay the same.
#[derive(Debug)]
struct KnownList {
    /// The condition that the policies left. The same place in memory means the same version of policies and the same facts about the
    /// member.
    visible: Arc<Predicate>,
    /// The condition that follows from that and the filter.
    condition: Arc<Predicate>,
    own: BTreeSet<Members>,
    call_scope: CallScope,
    groups: Arc<CallGroups>,
    calls: Arc<BTreeMap<CallId, Arc<CallState>>>,
    /// No deadline passes between these.
    from: Timestamp,
    until: Timestamp,
}

impl KnownList {
    fn holds_for(&self, calls: &BTreeMap<CallId, Arc<CallState>>, now: Timestamp) -> bool {
        let mut each = self.calls.iter().zip(calls);
        (self.from..=self.until).contains(&now)
            && self.calls.len() == calls.len()
            && each.all(|((id, known), (other, call))| id == other && Arc::ptr_eq(known, call))
    }
}

impl View<'_> {
    /// The proposals of one part of the list, in its order, and where it goes on. There can be fewer than the page takes, or none, and
    /// more after them: so many are examined.
    pub async fn proposals(
        &mut self,
        filter: &Filter,
        page: PageRequest,
    ) -> Result<(Vec<ProposalState>, Option<ListPosition>)> {
        if let Some(reference) = &filter.reference {
            return Ok(referred::part(self.referred(filter, reference).await?, page));
        }
        let list = self.list(filter).await?;
        let query = list.query(&self.me.id);
        let wanted = PageRequest { limit: page.limit + 1, ..page };
        let search = visible::page(&mut self.tx, &query, wanted).await?;
        if search.is_open {
            return self.proposals_evaluated(&list, page, search).await;
        }
        let PageSearch { mut found, until, .. } = search;
        let has_more = found.len() > page.limit as usize;
        found.truncate(page.limit as usize);
        let next = if has_more { found.last().copied() } else { until };
        let states = list.loaded(&mut self.tx, &found).await?;
        Ok((self.confirmed(states).await?, next))
    }

    /// Proposals for which the condition holds, as far as the policies show them.
    async fn confirmed(&self, states: Vec<ProposalState>) -> Result<Vec<ProposalState>> {
        let found = states.len();
        let states = self.seen_among(states).await?;
        for _ in states.len()..found {
            // INVARIANT: who reads the log learns that it happened, and to nobody's proposal in particular.
            metrics::counter!(DIFFERENCES).increment(1);
            tracing::error!("a list held a proposal that the policies hide; it was withheld");
        }
        Ok(states)
    }

    /// Those that the policies let the member know of.
    pub(super) async fn seen_among<S>(&self, states: Vec<S>) -> Result<Vec<S>>
    where
        S: Borrow<ProposalState> + Send + 'static,
    {
        let (policies, me) = (Arc::clone(&self.policies), Arc::new(self.me.clone()));
        let steps = {
            let (policies, me) = (Arc::clone(&policies), Arc::clone(&me));
            move |some: &[S]| {
                let is_known = |state: &S| policies.known_decision(&me, Action::View, &state.borrow().facts).is_some();
                if some.iter().all(is_known) { some.len() } else { usize::MAX }
            }
        };
        let decide = move |some: Vec<S>| -> Vec<S> {
            let facts: Vec<_> = some.iter().map(|state| &state.borrow().facts).collect();
            let is_seen = policies.visible_among(&me, &facts);
            some.into_iter().zip(is_seen).filter_map(|(state, is_seen)| is_seen.then_some(state)).collect()
        };
        evaluation::decided(self.exchange, &self.asker, states, steps, decide).await
    }

    /// The condition of a list of the member's.
    async fn list(&mut self, filter: &Filter) -> Result<ListCondition> {
        let reader = ListReader { facts: &self.me, asker: &self.asker };
        ask(self.exchange, &self.policies, &mut self.tx, reader, filter, true.into(), self.now).await
    }

    /// How many proposals there are in the list.
    pub async fn count_proposals(&mut self, filter: &Filter) -> Result<u64> {
        if let Some(reference) = &filter.reference {
            return Ok(self.referred(filter, reference).await?.len() as u64);
        }
        let list = self.list(filter).await?;
        list.count(self.exchange, &mut self.tx, &self.me.id).await
    }

    /// The totals of the proposals in the list.
    pub(super) async fn proposal_totals(&mut self, filter: &Filter) -> Result<Totals> {
        let list = self.list(filter).await?;
        list.totals(self.exchange, &mut self.tx, &self.me.id).await
    }
}

/// The condition for proposals that a member may know of and that satisfy one more condition.
///
/// INVARIANT: a unit of work calls this before it writes, because the facts about calls are cached beyond it.
pub async fn ask<'a>(
    exchange: &Exchange,
    policies: &Arc<Engine>,
    tx: &mut Tx,
    reader: impl Into<ListReader<'a>>,
    filter: &Filter,
    also: Predicate,
    now: Timestamp,
) -> Result<ListCondition> {
    let ListReader { facts: me, asker } = reader.into();
    let visible = evaluation::predicate(exchange, asker, policies, me, Action::View).await?;
    let is_plain = also == Predicate::Const(true);
    let key = (me.id.clone(), filter.clone());
    let found = is_plain.then(|| exchange.lists.0.get(&key)).flatten();
    let found = found.filter(|known| Arc::ptr_eq(&known.visible, &visible));
    let (own, call_scope, condition) = match &found {
        Some(known) => (known.own.clone(), known.call_scope, Arc::clone(&known.condition)),
        None => {
            let (size, visible) = (visible.size(), Arc::clone(&visible));
            let (narrowed, one) = (narrowed(filter), filter.call);
            let begin = move || {
                let condition = Predicate::all([(*visible).clone(), narrowed, also]);
                let call_scope = one.map_or_else(|| call_scope(&condition), CallScope::One);
                (visible::own_sets(&condition), call_scope, Arc::new(condition))
            };
            evaluation::done(exchange, asker, size, begin).await?
        }
    };
    let visible::Calls { found: listed, begun } = visible::calls(tx, &me.id, &own, call_scope).await?;
    let calls = Arc::new(state::calls(exchange, tx, &listed, now).await?);
    let whole = Arc::clone(&condition);
    if let Some(known) = found.filter(|known| known.holds_for(&calls, now)) {
        let (groups, calls) = (Arc::clone(&known.groups), Arc::clone(&known.calls));
        return Ok(ListCondition { groups, calls, begun, whole, now });
    }
    let steps = condition.size().saturating_mul(calls.len());
    let grouped = {
        let (condition, calls, me) = (Arc::clone(&condition), Arc::clone(&calls), me.id.clone());
        move || {
            let moment = Moment::new(now);
            let groups = groups(&condition, &calls, &me, &moment);
            (Arc::new(CallGroups::from(groups)), moment.until.get())
        }
    };
    let (groups, until) = evaluation::done(exchange, asker, steps, grouped).await?;
    let list = ListCondition { groups: Arc::clone(&groups), calls: Arc::clone(&calls), begun, whole, now };
    if is_plain && *asker == me.id {
        let size = condition.size() + groups.all().iter().map(|group| group.holds.size()).sum::<usize>();
        let known = KnownList { visible, condition, own, call_scope, groups, calls, from: now, until };
        exchange.lists.0.insert_weighing(key, Arc::new(known), size);
    }
    Ok(list)
}

/// An instant, and until when every comparison with it that was made stays as it was.
struct Moment {
    now: Timestamp,
    until: Cell<Timestamp>,
}

impl Moment {
    fn new(now: Timestamp) -> Self {
        Self { now, until: Cell::new(Timestamp::MAX) }
    }

    /// Whether it is no later than a limit.
    fn is_by(&self, limit: Timestamp) -> bool {
        let is_by = self.now <= limit;
        if is_by {
            self.until.set(self.until.get().min(limit));
        }
        is_by
    }
}

/// The calls for which the condition can hold at all.
fn call_scope(condition: &Predicate) -> CallScope {
    let could_hold = |roles: bool, own: bool| {
        condition.could_hold(&mut |atom| match atom {
            Atom::Mine(members) if members.is_of_call() => (!roles).then_some(false),
            Atom::Mine(_) => (!own).then_some(false),
            _ => None,
        })
    };
    if could_hold(false, false) { CallScope::All } else { CallScope::Own { roles: could_hold(true, false) } }
}

/// Replaces in a condition what each call settles, and groups the calls for which the same condition remains.
fn groups(
    condition: &Predicate,
    calls: &BTreeMap<CallId, Arc<CallState>>,
    me: &MemberId,
    now: &Moment,
) -> Vec<CallGroup> {
    let attributes = CallAttributes::used_by(condition);
    let mut alike: HashMap<CallValues, Vec<CallId>> = HashMap::new();
    for (id, call) in calls {
        alike.entry(attributes.of(call, me, now)).or_default().push(*id);
    }
    let mut groups: HashMap<Predicate, Vec<CallId>> = HashMap::new();
    for (values, calls) in alike {
        let holds = condition.replaced(&mut |atom| values.reduced(atom));
        if holds != Predicate::Const(false) {
            groups.entry(holds).or_default().extend(calls);
        }
    }
    groups.into_iter().map(|(holds, calls)| CallGroup { calls, holds }).collect()
}

/// The attributes of calls that a condition uses.
#[derive(Default)]
struct CallAttributes {
    roles: BTreeSet<CallRole>,
    texts: BTreeSet<Text>,
    sets: BTreeSet<Set>,
}

/// The values of these attributes in one call. Where two calls have the same values the same condition remains.
#[derive(PartialEq, Eq, Hash)]
struct CallValues {
    draft: bool,
    opened: bool,
    closed: bool,
    /// Those of the roles that the member has.
    roles: BTreeSet<CallRole>,
    /// Each value that a text of the call or a status can have, with when it has it.
    texts: BTreeMap<Text, Vec<(String, Predicate)>>,
    sets: BTreeMap<Set, BTreeSet<String>>,
}

impl CallAttributes {
    fn used_by(condition: &Predicate) -> Self {
        let mut used = Self::default();
        condition.each_atom(&mut |atom, _| match atom {
            Atom::Mine(Members::With(role)) => drop(used.roles.insert(*role)),
            Atom::Equals(text, _) | Atom::Like(text, _) => drop(used.texts.insert(*text)),
            Atom::Same(left, right) => used.texts.extend([*left, *right]),
            Atom::Contains(set, value) => {
                used.sets.insert(*set);
                if let Value::Of(text) = value {
                    used.texts.insert(*text);
                }
            }
            Atom::Within(set, _) => drop(used.sets.insert(*set)),
            Atom::Mine(_) | Atom::Flag(_) | Atom::HasTopic | Atom::Row(_) => {}
        });
        used
    }

    fn of(&self, call: &CallState, me: &MemberId, now: &Moment) -> CallValues {
        let facts = &call.facts;
        let texts = self.texts.iter().filter_map(|text| {
            let values = match text {
                Text::Phase => vec![(facts.phase.to_string(), true.into())],
                Text::Lead => vec![(facts.program.lead.to_string(), true.into())],
                Text::Status => {
                    Status::ALL.iter().map(|status| (status.to_string(), has_status(call, *status, now))).collect()
                }
                Text::Topic => return None,
            };
            Some((*text, values))
        });
        let sets = self.sets.iter().filter_map(|set| {
            let of = |codes: &BTreeSet<PartnerCode>| codes.iter().map(ToString::to_string).collect();
            let codes = match set {
                Set::Participants => {
                    facts.program.partners.iter().chain([&facts.program.lead]).map(ToString::to_string).collect()
                }
                Set::OfficerPartners => facts.officers().iter().map(|id| id.partner().to_string()).collect(),
                Set::Eligible => of(&facts.eligible),
                Set::Funders => of(&facts.funders),
                Set::Parties | Set::Organisations | Set::ReleasableTo | Set::Caveats => return None,
            };
            Some((*set, codes))
        });
        CallValues {
            draft: facts.draft,
            opened: facts.opened,
            closed: facts.closed,
            roles: self.roles.iter().copied().filter(|role| call.facts.has_role(me, *role)).collect(),
            texts: texts.collect(),
            sets: sets.collect(),
        }
    }
}

impl CallValues {
    /// The remainder of an atom for the proposals under the call; none where the call settles no part of it.
    fn reduced(&self, atom: &Atom) -> Option<Predicate> {
        match atom {
            Atom::Flag(Flag::Draft) => Some(self.draft.into()),
            Atom::Flag(Flag::Opened) => Some(self.opened.into()),
            Atom::Flag(Flag::Closed) => Some(self.closed.into()),
            Atom::Mine(Members::With(role)) => Some(self.roles.contains(role).into()),
            Atom::Equals(text, wanted) => self.some_value(*text, |value| (value == wanted).into()),
            Atom::Like(text, pattern) => self.some_value(*text, |value| Piece::fit(pattern, value).into()),
            Atom::Same(left, right) => {
                // A call has no topic.
                let (of_call, other) = if *left == Text::Topic { (right, left) } else { (left, right) };
                self.some_value(*of_call, |value| self.reduced_or_same(Atom::Equals(*other, value.to_owned())))
            }
            Atom::Contains(set, Value::Written(value)) => self.sets.get(set).map(|codes| codes.contains(value).into()),
            Atom::Contains(set, Value::Of(text)) => match self.sets.get(set) {
                Some(codes) => {
                    let each = codes.iter().map(|code| self.reduced_or_same(Atom::Equals(*text, code.clone())));
                    Some(Predicate::any(each.collect::<Vec<_>>()))
                }
                None => self.some_value(*text, |value| Atom::Contains(*set, Value::Written(value.to_owned())).into()),
            },
            Atom::Within(set, values) => self.sets.get(set).map(|codes| codes.is_subset(values).into()),
            Atom::Mine(_) | Atom::Flag(Flag::Decided | Flag::Labelled) | Atom::HasTopic | Atom::Row(_) => None,
        }
    }

    fn reduced_or_same(&self, atom: Atom) -> Predicate {
        self.reduced(&atom).unwrap_or_else(|| atom.into())
    }

    /// The condition that the text has some value for which it holds; none if it is neither a text of a call nor a status.
    fn some_value(&self, text: Text, condition: impl Fn(&str) -> Predicate) -> Option<Predicate> {
        let values = self.texts.get(&text)?;
        let each = values.iter().map(|(value, when)| Predicate::all([when.clone(), condition(value)]));
        Some(Predicate::any(each.collect::<Vec<_>>()))
    }
}

/// The condition that a proposal under the call is neither withdrawn nor lapsed at an instant.
pub(super) fn is_alive(call: &CallState, now: Timestamp) -> Predicate {
    let moment = Moment::new(now);
    let alive = [Status::Preparing, Status::Committed, Status::Submitted];
    Predicate::any(alive.map(|status| has_status(call, status, &moment)))
}

/// When a proposal under the call has the status at `now`: [`crate::domain::proposal::Versions::status`] in the opposite direction.
fn has_status(call: &CallState, status: Status, now: &Moment) -> Predicate {
    let schedule = &call.text.schedule;
    // Whether `now` is no later than a limit that the deadlines of the call, of a party or of the proposal lead to.
    let in_time = |limit: &dyn Fn(Timestamp) -> Timestamp| {
        let everyones = schedule.deadline_for(&call.row.extensions, None);
        let mut ways = vec![now.is_by(limit(everyones)).into()];
        let mut proposals = BTreeSet::new();
        for extension in call.row.extensions.iter().filter(|extension| now.is_by(limit(extension.until))) {
            match &extension.scope {
                ExtensionScope::Everyone => ways.push(Predicate::Const(true)),
                ExtensionScope::Partner(code) => {
                    ways.push(Atom::Contains(Set::Parties, Value::Written(code.to_string())).into());
                }
                ExtensionScope::Proposal(id) => drop(proposals.insert(*id)),
            }
        }
        if !proposals.is_empty() {
            ways.push(Atom::Row(RowFact::OneOf(proposals)).into());
        }
        Predicate::any(ways)
    };
    // No text before the first is published has proposals, and 0 stands for no version.
    let baseline = call.row.baseline.max(1);
    let withdrawn = Predicate::from(Atom::Row(RowFact::Withdrawn));
    let complete = Predicate::from(Atom::Row(RowFact::CompleteSince(baseline)));
    let committed = Predicate::from(Atom::Row(RowFact::CommittedSince(baseline)));
    let in_grace = Predicate::all([committed, in_time(&|deadline| schedule.grace_end(deadline))]);
    let in_time = in_time(&|deadline| deadline);
    match status {
        Status::Withdrawn => withdrawn,
        Status::Submitted => Predicate::all([withdrawn.negated(), complete]),
        Status::Committed => Predicate::all([withdrawn.negated(), complete.negated(), in_grace]),
        Status::Preparing => Predicate::all([withdrawn.negated(), complete.negated(), in_grace.negated(), in_time]),
        Status::Lapsed => {
            Predicate::all([withdrawn.negated(), complete.negated(), in_grace.negated(), in_time.negated()])
        }
    }
}
