//! Compares who may see a proposal now with who may see it after a change: the findings of previews.

use super::{
    Exchange, Result,
    evaluation::{self, Pace},
    explanation::Hearing,
    state::{self, ProposalState},
    unit::View,
    vaults::needs_own_key,
};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode},
        member::CallRole,
        vault::VaultKind,
    },
    policy::{
        Action, Engine, HeldRoles, Predicate, Resource,
        facts::{MemberFacts, ProposalFacts},
    },
    storage::Tx,
    wire::policy::PreviewedChange,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// The audience of a preview, which decides which members it may name on one proposal.
#[derive(Debug, Clone, Copy)]
pub(super) enum PreviewAudience<'a> {
    /// Readers who see the proposal and its participants, as officers do; or readers who receive sums alone.
    Insiders(Hearing<'a>),
    /// Policy officers of a nation. On its own proposals they learn about everybody; on other nations' proposals about its own members, and
    /// about nothing before one of these may know of the proposal.
    Nation { code: &'a PartnerCode, asks_of_all: bool, hearing: Hearing<'a> },
}

impl<'a> PreviewAudience<'a> {
    pub(super) fn of_nation(view: &View<'_>, code: &'a PartnerCode, proposal: &'a ProposalState) -> Self {
        let facts = &proposal.facts;
        let asks_of_all = facts.parties.contains(code) && view.may(Action::Explain, Resource::Proposal(facts));
        Self::Nation { code, asks_of_all, hearing: Hearing::of(&view.me, facts) }
    }

    fn hears_of(self, member: &MemberId) -> bool {
        match self {
            Self::Insiders(hearing) => hearing.of_member(member),
            Self::Nation { code, asks_of_all, hearing } => {
                (asks_of_all || member.partner() == code) && hearing.of_member(member)
            }
        }
    }
}

/// How many differences are evaluated for a proposal before any member is.
const MAX_SHARED_DIFFERENCES: usize = 64;
/// How much one question may cost, in atoms that were looked at: some seconds.
const MAX_STEPS: usize = 100_000_000;

/// The parts of a condition that differ before and after the change. Most members have the same.
#[derive(Debug)]
struct Difference {
    now: Predicate,
    then: Predicate,
    /// Of both.
    size: usize,
    /// Among all that a comparison found.
    index: usize,
}

impl Difference {
    /// Whether anything can change for anybody while the proposal and its call stay as they are; of some proposal, if none is given.
    fn concerns(&self, proposal: Option<&ProposalFacts>) -> bool {
        self.now != self.then && proposal.is_none_or(|proposal| self.now.of(proposal) != self.then.of(proposal))
    }
}

/// One action of a member, before and after the change. A change concerns a small part of the policies, and that part is evaluated first.
#[derive(Debug)]
struct Condition {
    shared: Arc<Predicate>,
    shared_size: usize,
    differs: Arc<Difference>,
}

impl Condition {
    /// Whether it is permitted now.
    fn holds_now(&self, participant: &Participant, now: &ProposalFacts) -> bool {
        let holds = |condition: &Predicate| condition.holds(&participant.conditions.member, now, participant.now);
        holds(&self.differs.now) && holds(&self.shared)
    }

    /// Whether it would be permitted, if that is not as it is. `concerned` are the differences that matter to a proposal that stays
    /// as it is.
    fn change(
        &self,
        participant: &Participant,
        (now, then): (&ProposalFacts, &ProposalFacts),
        concerned: Option<&[bool]>,
    ) -> Option<bool> {
        let would = |condition: &Predicate| condition.holds(&participant.conditions.member, then, participant.then);
        if let Some(concerned) = concerned {
            if !concerned[self.differs.index] {
                return None;
            }
            let (is, would_be) = (
                self.differs.now.holds(&participant.conditions.member, now, participant.now),
                would(&self.differs.then),
            );
            return (is != would_be && would(&self.shared)).then_some(would_be);
        }
        let would_be = would(&self.differs.then) && would(&self.shared);
        (self.holds_now(participant, now) != would_be).then_some(would_be)
    }
}

/// The conditions under which a member may see and read proposals.
#[derive(Debug)]
struct MemberConditions {
    member: MemberId,
    sees: Condition,
    /// Includes seeing, since reading is evaluated in both steps.
    reads: Condition,
}

impl MemberConditions {
    /// The cost of evaluating both conditions, or of the parts that a change of policies concerns.
    fn steps(&self, differences_alone: bool) -> usize {
        let steps =
            |condition: &Condition| condition.differs.size + if differences_alone { 0 } else { condition.shared_size };
        steps(&self.sees) + steps(&self.reads)
    }
}

/// A member at a call, with their roles there now and after the change.
#[derive(Debug, Clone)]
struct Participant {
    conditions: Arc<MemberConditions>,
    now: HeldRoles,
    then: HeldRoles,
}

impl Participant {
    fn add_changes(
        &self,
        states: (&ProposalState, &ProposalState),
        concerned: Option<&[bool]>,
        items: &mut Vec<PreviewedChange>,
    ) {
        let facts = (&states.0.facts, &states.1.facts);
        for (action, condition) in [(Action::View, &self.conditions.sees), (Action::Read, &self.conditions.reads)] {
            if let Some(gains) = condition.change(self, facts, concerned) {
                items.push(previewed_change(states.1, &self.conditions.member, action, gains));
            }
        }
    }
}

/// Everybody with a role in a proposal or its call, now or after the change.
struct Participants {
    /// Those with a role in the call.
    panel: Arc<Vec<Participant>>,
    besides: Vec<Participant>,
}

impl Participants {
    fn all(&self) -> impl Iterator<Item = &Participant> {
        self.panel.iter().chain(&self.besides)
    }

    /// Whether somebody of a nation can know of the proposal as it is.
    fn sees_now(&self, nation: &PartnerCode, now: &ProposalFacts) -> bool {
        let theirs = self.all().filter(|participant| participant.conditions.member.partner() == nation);
        theirs.into_iter().any(|participant| participant.conditions.sees.holds_now(participant, now))
    }
}

/// Things as they stand beside things as they would be.
pub struct Comparison<'e> {
    exchange: &'e Exchange,
    /// Who asks.
    who: MemberId,
    now: Arc<Engine>,
    then: Arc<Engine>,
    at: Timestamp,
    /// The conditions of the members who were looked up or given.
    members: HashMap<MemberId, Arc<MemberConditions>>,
    /// Of all of them, each once.
    differences: Vec<Arc<Difference>>,
    /// The places of differences among them, by a digest.
    places: HashMap<u64, Vec<usize>>,
    /// The parts that are evaluated both times, each once.
    shared: HashSet<Arc<Predicate>>,
    pace: Pace,
    /// Everybody with a role in a call, now or then.
    panels: HashMap<CallId, Arc<Vec<Participant>>>,
}

impl<'e> Comparison<'e> {
    /// Compares these policies; the same twice when something else would change. `who` is the caller.
    #[must_use]
    pub fn new(exchange: &'e Exchange, who: &MemberId, now: Arc<Engine>, then: Arc<Engine>, at: Timestamp) -> Self {
        Self {
            exchange,
            who: who.clone(),
            now,
            then,
            at,
            members: HashMap::new(),
            differences: Vec::new(),
            places: HashMap::new(),
            shared: HashSet::new(),
            pace: Pace::default(),
            panels: HashMap::new(),
        }
    }

    /// With one member as they would be; none without a key card in force.
    pub(super) async fn with_member(
        mut self,
        member: &MemberId,
        facts: (Option<&MemberFacts>, Option<&MemberFacts>),
    ) -> Result<Self> {
        let conditions = self.member_conditions(member, facts).await?;
        self.members.insert(member.clone(), Arc::new(conditions));
        Ok(self)
    }

    /// Whether it has cost as much as one question may.
    pub(super) fn is_tired(&self) -> bool {
        self.pace.in_all() >= MAX_STEPS
    }

    /// Adds what changes between two states of one proposal, as far as the audience may learn it. Returns whether the audience learns
    /// anything of the proposal, or would if anything changed. The states are of the same call each time that the call is met.
    pub(super) async fn add(
        &mut self,
        tx: &mut Tx,
        states: (&ProposalState, &ProposalState),
        audience: PreviewAudience<'_>,
        items: &mut Vec<PreviewedChange>,
    ) -> Result<bool> {
        let (PreviewAudience::Insiders(hearing) | PreviewAudience::Nation { hearing, .. }) = audience;
        if matches!(hearing, Hearing::Nobody) {
            return Ok(false);
        }
        let facts = (&states.0.facts, &states.1.facts);
        let is_same = std::ptr::eq(states.0, states.1) || facts.0 == facts.1;
        let participants = self.participants(tx, states).await?;
        let start = items.len();
        // Where they are as many as members, which is so when a change speaks of employers, to ask beforehand saves nothing.
        let looked_at = (self.differences.len() <= MAX_SHARED_DIFFERENCES).then_some(facts.0);
        let mut concerned = is_same.then(Vec::new);
        if let Some(concerned) = &mut concerned {
            for differs in &self.differences {
                concerned.push(differs.concerns(looked_at));
                self.pace.took(differs.size).await;
            }
        }
        if concerned.as_ref().is_none_or(|concerned| concerned.contains(&true)) {
            for participant in
                participants.all().filter(|participant| audience.hears_of(&participant.conditions.member))
            {
                participant.add_changes(states, concerned.as_deref(), items);
                self.pace.took(participant.conditions.steps(is_same)).await;
            }
        }
        if let PreviewAudience::Nation { code, asks_of_all: false, .. } = audience {
            // Gains are shown only on proposals that some member of theirs can know of already.
            if items.len() > start && !participants.sees_now(code, facts.0) {
                items.truncate(start);
            }
            return Ok(items.len() > start);
        }
        // Of a nation that gains: whether anybody of theirs could know of it before.
        let mut knew: BTreeMap<PartnerCode, bool> = BTreeMap::new();
        for change in items[start..].iter_mut().filter(|change| change.gains && change.action == Action::View.as_str())
        {
            let nation = change.member.partner();
            change.admits_nation =
                !*knew.entry(nation.clone()).or_insert_with(|| participants.sees_now(nation, facts.0));
        }
        Ok(true)
    }

    /// Whether a nation's policy officer may hear that there is such a proposal.
    pub(super) async fn is_known(
        &mut self,
        tx: &mut Tx,
        proposal: &ProposalState,
        audience: PreviewAudience<'_>,
    ) -> Result<bool> {
        Ok(match audience {
            PreviewAudience::Insiders(Hearing::Nobody) | PreviewAudience::Nation { hearing: Hearing::Nobody, .. } => {
                false
            }
            PreviewAudience::Insiders(_) | PreviewAudience::Nation { asks_of_all: true, .. } => true,
            PreviewAudience::Nation { code, .. } => {
                self.participants(tx, (proposal, proposal)).await?.sees_now(code, &proposal.facts)
            }
        })
    }

    /// Adds what changes for one member alone.
    pub(super) async fn add_one(
        &mut self,
        tx: &mut Tx,
        states: (&ProposalState, &ProposalState),
        member: &MemberId,
        items: &mut Vec<PreviewedChange>,
    ) -> Result<()> {
        let [now, then] = [states.0, states.1].map(|state| HeldRoles::of(member, &state.facts.call));
        for conditions in self.conditions_of(tx, [member]).await? {
            Participant { conditions, now, then }.add_changes(states, None, items);
        }
        Ok(())
    }

    async fn participants(&mut self, tx: &mut Tx, states: (&ProposalState, &ProposalState)) -> Result<Participants> {
        let panel = self.panel(tx, states).await?;
        let others: BTreeSet<&MemberId> = [states.0, states.1]
            .into_iter()
            .flat_map(|state| state.facts.party_members.iter().chain(&state.facts.invited).chain(&state.facts.assigned))
            .filter(|member| panel.binary_search_by(|participant| participant.conditions.member.cmp(member)).is_err())
            .collect();
        let participant =
            |conditions| Participant { conditions, now: HeldRoles::default(), then: HeldRoles::default() };
        let besides = self.conditions_of(tx, others).await?.into_iter().map(participant).collect();
        Ok(Participants { panel, besides })
    }

    /// The conditions of these members, in their order.
    async fn conditions_of(
        &mut self,
        tx: &mut Tx,
        members: impl IntoIterator<Item = &MemberId>,
    ) -> Result<Vec<Arc<MemberConditions>>> {
        let members: Vec<&MemberId> = members.into_iter().collect();
        let missing: Vec<MemberId> = members
            .iter()
            .filter(|member| !self.members.contains_key(**member))
            .map(|member| (*member).clone())
            .collect();
        if !missing.is_empty() {
            let facts = state::members(self.exchange, tx, &missing, self.at).await?;
            for member in missing {
                let facts = facts.get(&member);
                let conditions = self.member_conditions(&member, (facts, facts)).await?;
                self.members.insert(member, Arc::new(conditions));
            }
        }
        Ok(members.into_iter().filter_map(|member| self.members.get(member).cloned()).collect())
    }

    async fn member_conditions(
        &mut self,
        member: &MemberId,
        facts: (Option<&MemberFacts>, Option<&MemberFacts>),
    ) -> Result<MemberConditions> {
        let sees = self.condition(facts, Action::View).await?;
        let reads = self.condition(facts, Action::Read).await?;
        Ok(MemberConditions { member: member.clone(), sees, reads })
    }

    async fn condition(
        &mut self,
        (now, then): (Option<&MemberFacts>, Option<&MemberFacts>),
        action: Action,
    ) -> Result<Condition> {
        let now = predicate(self.exchange, &self.who, &self.now, now, action).await?;
        let then = predicate(self.exchange, &self.who, &self.then, then, action).await?;
        let size = now.size() + then.size();
        let put_apart = move || Predicate::apart(&now, &then);
        let [shared, now, then] = evaluation::done(self.exchange, &self.who, size, put_apart).await?;
        let shared = match self.shared.get(&shared) {
            Some(known) => Arc::clone(known),
            None => {
                let shared = Arc::new(shared);
                self.shared.insert(Arc::clone(&shared));
                shared
            }
        };
        let places = self.places.entry(digest(&(&now, &then))).or_default();
        let mut alike = places.iter().map(|place| &self.differences[*place]);
        let differs = match alike.find(|differs| differs.now == now && differs.then == then) {
            Some(known) => Arc::clone(known),
            None => {
                let size = now.size() + then.size();
                let differs = Arc::new(Difference { now, then, size, index: self.differences.len() });
                places.push(differs.index);
                self.differences.push(Arc::clone(&differs));
                differs
            }
        };
        Ok(Condition { shared_size: shared.size(), shared, differs })
    }

    async fn panel(&mut self, tx: &mut Tx, states: (&ProposalState, &ProposalState)) -> Result<Arc<Vec<Participant>>> {
        let (now, then) = (&states.0.call, &states.1.call);
        if let Some(panel) = self.panels.get(&now.row.id) {
            return Ok(Arc::clone(panel));
        }
        let holders: BTreeSet<MemberId> = [now, then]
            .into_iter()
            .flat_map(|call| CallRole::ALL.iter().flat_map(|role| call.row.holders(*role)))
            .collect();
        let conditions = self.conditions_of(tx, &holders).await?.into_iter();
        let participants = conditions.map(|conditions| {
            let [now, then] = [now, then].map(|call| HeldRoles::of(&conditions.member, &call.facts));
            Participant { conditions, now, then }
        });
        let panel = Arc::new(participants.collect::<Vec<_>>());
        self.panels.insert(now.row.id, Arc::clone(&panel));
        Ok(panel)
    }
}

impl std::fmt::Debug for Comparison<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Comparison").field("at", &self.at).finish_non_exhaustive()
    }
}

/// The condition that remains once a member is known. A member without a key card in force has no access.
async fn predicate(
    exchange: &Exchange,
    who: &MemberId,
    policies: &Arc<Engine>,
    member: Option<&MemberFacts>,
    action: Action,
) -> Result<Arc<Predicate>> {
    match member {
        Some(facts) => evaluation::predicate(exchange, who, policies, facts, action).await,
        None => Ok(Arc::new(Predicate::Const(false))),
    }
}

fn digest(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A change for one member; what is fetched and wrapped already is noted later, for many at a time.
fn previewed_change(proposal: &ProposalState, member: &MemberId, action: Action, gains: bool) -> PreviewedChange {
    PreviewedChange {
        proposal: proposal.row.id,
        reference: proposal.reference(),
        member: member.clone(),
        action: action.to_string(),
        gains,
        admits_nation: false,
        has_fetched: false,
        needs_key: gains && action == Action::Read && needs_own_key(VaultKind::Panel, proposal, member),
    }
}
