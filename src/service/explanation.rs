//! Who can see a proposal, and why: the decisions of the exchange, shown to those who may ask.
//!
//! A partner asks about its own members and its own proposals. Policy officers of an owner learn who may see their nation's
//! proposals, no matter of which nation; others learn why they themselves, or members of their own nation, may do what on a proposal that
//! these may know of. Nobody learns here of anything that is hidden from the member in question and not their own nation's.

use super::{
    Exchange, Principal, Result, ServiceError,
    cursors::{EXAMINED, SealedCursors},
    evaluation,
    state::{self, ProposalState},
    unit::View,
};
use crate::{
    domain::{
        id::{MemberId, PartnerCode, ProposalId},
        member::CallRole,
        policy::{PolicyOwner, in_force},
    },
    policy::{
        Action, AuthorizationTrace, Engine, Resource, Side, Standing,
        counts::works_at_one_of,
        facts::{MemberFacts, ProposalFacts},
    },
    storage::policies,
    wire::{
        explanation::{ExplainedReason, ExplainedSide, ExplainedStep, Explanation, Reader},
        page::{Page, PageRoom},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The number of members that are evaluated in one turn.
const DECIDED_AT_ONCE: usize = 40;

/// The question to explain.
#[derive(Debug, Clone)]
pub struct ExplainRequest {
    pub proposal: ProposalId,
    /// The caller, if nobody is named.
    pub member: Option<MemberId>,
    pub action: Action,
    /// With [`Action::ReadStaff`]: whose restricted slots.
    pub owner: Option<PartnerCode>,
}

/// How the exchange decides about a member and a proposal, by which policies, and what would change it.
pub async fn explain(exchange: &Exchange, principal: &Principal, request: &ExplainRequest) -> Result<Explanation> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = state::proposal(&mut view.tx, request.proposal, view.now).await?.ok_or(ServiceError::Hidden)?;
    let subject = request.member.as_ref().unwrap_or(&view.me.id).clone();
    let hearing = Hearing::of(&view.me, &proposal.facts);
    let is_owners_officer =
        !matches!(hearing, Hearing::Nobody) && view.may(Action::Explain, Resource::Proposal(&proposal.facts));
    let facts = state::member(exchange, &mut view.tx, &subject, view.now).await?.ok_or(ServiceError::Hidden)?;
    if !is_owners_officer {
        // Of others' proposals one learns only as much as the member in question may know of, and nothing of those of which one hears
        // nothing oneself. A party does not hear who judges its proposal, whatever office its member holds besides.
        let is_own = subject == view.me.id
            || matches!(hearing, Hearing::Everybody)
                && view.may(Action::ExplainMembers, Resource::Partner(subject.partner()));
        if !is_own || !view.policies.visible(&facts, Resource::Proposal(&proposal.facts)) {
            return Err(ServiceError::Hidden);
        }
    }
    let is_asked_of_all_sides = match (&request.owner, request.action) {
        (Some(owner), Action::ReadStaff) => proposal.facts.parties.contains(owner),
        (None, action) => action.is_three_sided() && action != Action::ReadStaff,
        _ => false,
    };
    if !is_asked_of_all_sides {
        return Err(ServiceError::Malformed("name the party with `ReadStaff`, and with no other action".into()));
    }
    // Why another nation's member is kept out may be a conflict or that nation's own reasons: one learns that, not why.
    let is_of_another = subject.partner() != view.me.id.partner();
    let versions = versions(&mut view, &proposal, &subject).await?;
    let (reference, action, owner) = (proposal.reference(), request.action, request.owner.clone());
    // A place at reading is not kept while a turn is waited for.
    let View { tx, asker, policies, .. } = view;
    drop(tx);
    // What would change a decision is found by many more, and what each costs is for the nations' policies to say.
    let decide = move || {
        let on = &proposal.facts;
        let resource =
            owner.as_ref().map_or(Resource::Proposal(on), |owner| Resource::StaffSlots { proposal: on, owner });
        let decision = policies.explain(&facts, action, resource);
        let is_others_secret = is_of_another && decision.standing != Standing::Permitted;
        let would_permit =
            if is_others_secret { Vec::new() } else { policies.what_would_permit(&facts, action, on, owner.as_ref()) };
        (decision, is_others_secret, would_permit)
    };
    let (decision, is_others_secret, would_permit) = evaluation::done(exchange, &asker, usize::MAX, decide).await?;
    let own = is_others_secret.then(|| asker.partner());
    let steps = steps(&decision, own, &versions);
    Ok(Explanation {
        member: subject,
        proposal: request.proposal,
        reference,
        action: request.action.to_string(),
        outcome: decision.standing.to_string(),
        steps,
        would_permit: would_permit
            .into_iter()
            .map(|changes| changes.iter().map(ToString::to_string).collect())
            .collect(),
    })
}

/// A page of those who may know of a proposal, for the policy officers of its owners.
///
/// It examines so many of those who have a part: it can be short, or empty, and still have a `next`.
pub async fn readers(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Reader>> {
    let cursors = SealedCursors::of(exchange, "readers", &principal.member).within("proposal", &id);
    let mut after: Option<MemberId> = cursors.open(cursor)?;
    let mut view = View::open(exchange, principal).await?;
    let proposal = state::proposal(&mut view.tx, id, view.now).await?.ok_or(ServiceError::Hidden)?;
    if matches!(Hearing::of(&view.me, &proposal.facts), Hearing::Nobody) {
        return Err(ServiceError::Hidden);
    }
    view.authorize(Action::Explain, Resource::Proposal(&proposal.facts))?;
    let mut rest = parts(&proposal);
    if let Some(after) = &after {
        rest.retain(|member, _| member > after);
    }
    let goes_on = rest.len() > EXAMINED;
    let examined: Vec<MemberId> = rest.keys().take(EXAMINED).cloned().collect();
    let mut facts = state::members(exchange, &mut view.tx, &examined, view.now).await?;
    let known: Vec<_> = rest.into_iter().filter_map(|(member, parts)| Some((facts.remove(&member)?, parts))).collect();
    // A place at reading is not kept while a turn is waited for.
    let View { tx, asker, policies, .. } = view;
    drop(tx);
    let (mut known, proposal) = (known.into_iter(), Arc::new(proposal));
    let (mut items, mut room) = (Vec::new(), PageRoom::new(limit));
    loop {
        let some: Vec<(MemberFacts, BTreeSet<String>)> = known.by_ref().take(DECIDED_AT_ONCE).collect();
        let Some(last) = some.last().map(|(facts, _)| facts.id.clone()) else { break };
        // What a decision costs is for the owners' policies to say.
        let (policies, proposal) = (Arc::clone(&policies), Arc::clone(&proposal));
        let decide = move || {
            let whole = Resource::Proposal(&proposal.facts);
            let seen = some.into_iter().filter(|(facts, _)| policies.visible(facts, whole));
            seen.map(|(facts, parts)| reader(&policies, &facts, parts, &proposal)).collect::<Vec<_>>()
        };
        for item in evaluation::done(exchange, &asker, usize::MAX, decide).await? {
            if !room.takes(&item) {
                return Ok(Page { items, next: after.map(|after| cursors.seal(after)) });
            }
            after = Some(item.member.clone());
            items.push(item);
        }
        after = Some(last);
    }
    Ok(Page { items, next: examined.last().filter(|_| goes_on).map(|last| cursors.seal(last)) })
}

/// Everybody who has a part in the proposal or its call. No guardrail lets anybody else at it: that is refused when guardrails
/// are read.
pub(super) fn parts(proposal: &ProposalState) -> BTreeMap<MemberId, BTreeSet<String>> {
    let in_call = CallRole::ALL.iter().map(|role| (role.as_str(), proposal.call.row.holders(*role)));
    let of_proposal = [
        ("party", proposal.facts.party_members.clone()),
        ("invited", proposal.facts.invited.clone()),
        ("assigned", proposal.facts.assigned.clone()),
    ];
    let mut parts: BTreeMap<MemberId, BTreeSet<String>> = BTreeMap::new();
    for (part, members) in in_call.chain(of_proposal) {
        for member in members {
            parts.entry(member).or_default().insert(part.to_owned());
        }
    }
    parts
}

/// The members about whom a caller may learn on one proposal, whatever their office: the caller can be recused, too.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hearing<'p> {
    Everybody,
    /// A party does not hear who judges its proposal, whatever office its member holds besides.
    Parties(&'p BTreeSet<MemberId>),
    /// They have a conflict, work where a party member works, or are invited to a party: they would bring along what they learn now. Or the
    /// call is not opened yet, and they are neither a party nor an officer of it, who alone know what is handed in.
    Nobody,
}

impl<'p> Hearing<'p> {
    pub(super) fn of(me: &MemberFacts, proposal: &'p ProposalFacts) -> Self {
        if proposal.conflicts.contains(&me.id) || proposal.invites(&me.id) {
            return Self::Nobody;
        }
        if proposal.party_members.contains(&me.id) {
            return Self::Parties(&proposal.party_members);
        }
        if !proposal.call.opened && !proposal.call.officers().contains(&me.id) {
            return Self::Nobody;
        }
        if works_at_one_of(me, &proposal.organisations) { Self::Nobody } else { Self::Everybody }
    }

    pub(super) fn of_member(self, member: &MemberId) -> bool {
        match self {
            Self::Everybody => true,
            Self::Parties(members) => members.contains(member),
            Self::Nobody => false,
        }
    }
}

fn reader(policies: &Engine, facts: &MemberFacts, parts: BTreeSet<String>, proposal: &ProposalState) -> Reader {
    let may =
        |action, resource: Resource<'_>| policies.authorize(facts, action, resource).standing() == Standing::Permitted;
    let whole = Resource::Proposal(&proposal.facts);
    let restricted =
        |owner: &&PartnerCode| may(Action::ReadStaff, Resource::StaffSlots { proposal: &proposal.facts, owner });
    Reader {
        member: facts.id.clone(),
        parts,
        reads: may(Action::Read, whole),
        reads_restricted_of: proposal.facts.parties.iter().filter(restricted).cloned().collect(),
        reads_reviews: may(Action::ViewDeliberation, whole),
    }
}

/// The version in force of each text that has a say about a member and a proposal; none where its owner has none.
async fn versions(
    view: &mut View<'_>,
    proposal: &ProposalState,
    member: &MemberId,
) -> Result<BTreeMap<PolicyOwner, Option<u32>>> {
    let partners = proposal.facts.parties.iter().chain([member.partner()]).cloned().map(PolicyOwner::Partner);
    let mut versions = BTreeMap::new();
    for owner in partners.chain([PolicyOwner::Guardrails]) {
        let standing = policies::standing(&mut view.tx, &owner, view.now).await?;
        let version = in_force(&standing, view.now).map(|version| version.number);
        versions.insert(owner, version);
    }
    Ok(versions)
}

/// The steps as they are shown; `own` leaves only the sides of that partner.
fn steps(
    decision: &AuthorizationTrace,
    own: Option<&PartnerCode>,
    versions: &BTreeMap<PolicyOwner, Option<u32>>,
) -> Vec<ExplainedStep> {
    let mut steps = Vec::with_capacity(decision.steps.len());
    for step in &decision.steps {
        let mut sides = Vec::with_capacity(step.verdicts.len());
        for verdict in &step.verdicts {
            let (side, owner) = match &verdict.side {
                Side::Guardrails => ("guardrails", PolicyOwner::Guardrails),
                Side::Release(code) => ("release", PolicyOwner::Partner(code.clone())),
                Side::Reader(code) => ("reader", PolicyOwner::Partner(code.clone())),
            };
            if own.is_some_and(|own| owner != PolicyOwner::Partner(own.clone())) {
                continue;
            }
            let version = versions.get(&owner).copied().flatten();
            let version = version.or((owner == PolicyOwner::Guardrails).then_some(0));
            let reasons = verdict.reasons.iter().map(|reason| ExplainedReason {
                policy: reason.policy.as_ref().map(|policy| policy.id.to_string()),
                reason: reason.sentence.to_string(),
                text: reason.text.as_ref().map(ToString::to_string),
            });
            let (permitted, reasons) = (verdict.permitted, reasons.collect());
            sides.push(ExplainedSide { side: side.to_owned(), owner, version, permitted, reasons });
        }
        steps.push(ExplainedStep { action: step.action.to_string(), sides });
    }
    steps
}
