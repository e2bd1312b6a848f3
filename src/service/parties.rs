//! The members of a proposal's parties: each is invited by one of them, joins by a signature and leaves at will.
//!
//! An invitation makes nobody a party: it keeps nobody from a role, recuses no colleague, and lets its member look and answer alone.
//! Whether the member could be a party is checked when they accept and not sooner: the inviting member must not learn who reviews or
//! decides.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError, aside,
    cursors::SealedCursors,
    described::describe,
    quotas,
    sealed_bytes::give_up,
    state::{self, CallState, ProposalState},
    stepwise::{STEP, StepwisePage},
    surplus_keys,
    unit::{Act, Subject, View},
    verified::Verified,
    wraps::{self, Holders, Wraps},
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId, PartnerCode, ProposalId},
        name,
        proposal::Status,
        text::choices,
    },
    policy::{Action, Engine, Permit, Resource, counts::works_at_one_of, facts::MemberFacts},
    sealing::statement::{AcceptanceStatement, InvitationStatement, Signed},
    storage::{
        documents,
        invitations::{self, FirstInvitation, InvitationRow},
        proposals,
        stated::NumberedPosition,
        uploads, vaults as vault_store,
    },
    wire::{
        entry::payloads::{JoinConsent, MemberInvited, MemberJoined, PartyMemberNamed, Payload},
        page::Page,
        proposal::{AcceptInvitation, AddMember, CreateProposal, Joined},
    },
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Asks a colleague to join the caller's own party, or somebody to join a party that nobody has joined, with keys to what they will read.
pub async fn invite(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    member: &MemberId,
    body: &AddMember,
) -> Result<Answer> {
    let keys: Vec<_> = body.keys.values().map(Vec::as_slice).collect();
    let wraps = Wraps::of_all(&keys, wraps::MOST).await?;
    let invitation = Verified::of(&body.invitation).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    act.authorize(Action::View, Resource::Proposal(&proposal.facts))?;
    let subject = act.member(member).await?;
    let permit =
        speaks_for(&proposal, &subject, Action::AddMember, |action, resource| act.authorize(action, resource))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let partner = member.partner();
    let Some(members) = proposal.row.parties.get(partner) else {
        let choices = choices(proposal.row.parties.keys());
        return Err(Refusal::NotEligible { partner: partner.clone(), choices }.into());
    };
    if members.contains(member) || proposal.row.invited.contains(member) {
        return Err(Refusal::Exists { what: member.to_string() }.into());
    }
    let asked = proposal.row.invited.iter().filter(|other| other.partner() == partner).count();
    quotas::check_party(exchange, members.len() + asked)?;
    quotas::check_invitations(exchange, invitations::count(&mut act.tx, id, partner).await?)?;
    let invitation = checked(&mut act, id, member, invitation).await?;
    let statement = (&*invitation.jws, invitation.payload_sha256);
    invitations::invite(&mut act.tx, &permit, id, member, statement, act.now).await?;
    act.log(Subject::proposal(&proposal), entry_of(member, &invitation)).await?;
    let proposal = act.proposal(id).await?;
    let holders = Holders::of(&mut act, &wraps, &proposal.call).await?;
    for (vault, wraps) in body.keys.keys().zip(wraps) {
        let vault = vault_store::find(&mut act.tx, *vault).await?.filter(|vault| vault.proposal == Some(id));
        let vault = vault.ok_or_else(|| Refusal::WrapRefused { fault: "the vault is not this proposal's".into() })?;
        wraps.add_for(&holders, &mut act, &permit, &proposal, &vault, std::slice::from_ref(member)).await?;
    }
    finish(act, id).await
}

/// Joins the party to which the caller is invited.
pub async fn accept(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &AcceptInvitation,
) -> Result<Answer> {
    let verified = Verified::<AcceptanceStatement>::of(&body.statement).await?;
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::AnswerInvitation, Resource::Proposal(&proposal.facts)).map_err(|refused| {
        let is_repeated = matches!(refused, ServiceError::Repeated(_));
        kept_by(&act, &proposal).filter(|_| !is_repeated).map_or(refused, |part| keeps_part(&act.me.id, part))
    })?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let me = act.me.id.clone();
    let invitation = open_invitation(&mut act, &proposal, &me).await?;
    let signed = act.signed(verified).await?;
    act.require_recent(&signed)?;
    let AcceptanceStatement { proposal: about, member, invitation_sha256, .. } = &signed.statement;
    if *about != id || *member != me || *invitation_sha256 != invitation.sha256 {
        let fault = "it must name this proposal, yourself and the digest of the invitation".to_owned();
        return Err(Refusal::Statement { fault }.into());
    }
    let joining = act.me.clone();
    check_suits(&act, &proposal.call, &joining)?;
    check_late(&mut act, &proposal, &invitation).await?;
    let (now, subject) = (act.now, Subject::proposal(&proposal));
    proposals::join(&mut act.tx, &permit, id, now).await?;
    invitations::accept(&mut act.tx, &permit, id, &body.statement, now).await?;
    let (statement, arrived_at) = (body.statement.clone(), act.arrived_at.into());
    act.log(subject, MemberJoined { member: me, statement, arrived_at }).await?;
    finish(act, id).await
}

/// Takes a member out of the caller's own party, or an invitation back; the invited member declines. The member's keys go too, and so do uploads
/// that they began and that are no document yet.
pub async fn remove(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    member: &MemberId,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    act.authorize(Action::View, Resource::Proposal(&proposal.facts))?;
    let declines = *member == act.me.id && proposal.facts.invites(member);
    let permit = if declines {
        act.authorize(Action::AnswerInvitation, Resource::Proposal(&proposal.facts))?
    } else {
        // A member whose key card is no longer in force can be taken out all the same.
        let subject = state::member(exchange, &mut act.tx, member, act.now).await?;
        let subject = subject.unwrap_or_else(|| state::bare_member(exchange, member));
        speaks_for(&proposal, &subject, Action::RemoveMember, |action, resource| act.authorize(action, resource))?
    };
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let (subject, mut given_up) = (Subject::proposal(&proposal), Vec::new());
    if proposal.row.invited.contains(member) {
        invitations::remove(&mut act.tx, &permit, id, member).await?;
        let kind = if declines { Payload::InvitationDeclined } else { Payload::InvitationWithdrawn };
        act.log(subject, kind(PartyMemberNamed { member: member.clone() })).await?;
        // A member who takes a part in the call by now keeps what that lets them read: a party takes nothing from who judges it.
        let proposal = act.proposal(id).await?;
        surplus_keys::drop_unreadable_keys(&mut act, &permit, &proposal, member).await?;
    } else {
        check_leaves(&mut act, &proposal, member).await?;
        proposals::remove_member(&mut act.tx, &permit, id, member).await?;
        act.log(subject, Payload::MemberRemoved(PartyMemberNamed { member: member.clone() })).await?;
        surplus_keys::remove_all_keys(&mut act, &permit, &proposal, member).await?;
        given_up = uploads::drop_of_leaver(&mut act.tx, &permit, id, member).await?;
    }
    let answer = act.finish(Answer::done()).await?;
    for upload in &given_up {
        give_up(exchange, upload).await;
    }
    Ok(answer)
}

/// Consents to a member joining after the deadline from an organisation that no party member works at: everybody who works there judges the
/// proposal no more. Of no effect before the member accepts; taken back until then by [`take_consent_back`].
pub async fn consent(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    member: &MemberId,
) -> Result<Answer> {
    set_consent(exchange, context, id, member, true).await
}

/// The inverse of [`consent`].
pub async fn take_consent_back(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    member: &MemberId,
) -> Result<Answer> {
    set_consent(exchange, context, id, member, false).await
}

async fn set_consent(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    member: &MemberId,
    consents: bool,
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    act.authorize(Action::View, Resource::Proposal(&proposal.facts))?;
    let subject = state::member(exchange, &mut act.tx, member, act.now).await?;
    let subject = subject.unwrap_or_else(|| state::bare_member(exchange, member));
    let resource = Resource::ProposalMember { proposal: &proposal.facts, subject: &subject };
    let permit = act.authorize(Action::ConsentToJoin, resource)?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let invitation = open_invitation(&mut act, &proposal, member).await?;
    let organisation = consents.then_some(&*subject.organisation);
    if invitation.consent.as_ref().map(|(_, of)| &**of) == organisation {
        // Said once, however often it is asked for.
        return act.finish(Answer::done()).await;
    }
    invitations::set_consent(&mut act.tx, &permit, id, member, organisation).await?;
    let kind = if consents { Payload::ConsentGiven } else { Payload::ConsentWithdrawn };
    let payload = JoinConsent { member: member.clone(), organisation: organisation.map(str::to_owned) };
    act.log(Subject::proposal(&proposal), kind(payload)).await?;
    act.finish(Answer::done()).await
}

/// The signed invitations and acceptances, also those of members who have left since; for the parties, and for members who wrap keys to
/// them. It leads each member back to the one who began the proposal.
pub async fn joined(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Joined>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    if !view.may(Action::WrapKey, Resource::Proposal(&proposal.facts)) {
        view.authorize(Action::AnswerInvitation, Resource::Proposal(&proposal.facts))?;
    }
    let cursors = SealedCursors::of(exchange, "joined", &principal.member).within("proposal", &id);
    let mut page = StepwisePage::<NumberedPosition, _>::new(limit, cursors, cursor)?;
    while page.is_open() {
        let rows = invitations::of_proposal(&mut view.tx, id, page.after(), STEP).await?;
        let position = |row: &InvitationRow| NumberedPosition { member: row.member.clone(), number: row.number };
        page.add(rows.into_iter().map(|row| (position(&row), answer(row))).collect());
    }
    Ok(page.finish())
}

fn answer(row: InvitationRow) -> Joined {
    let (acceptance, accepted_at) = row.acceptance.map(|(jws, at)| (jws, at.into())).unzip();
    Joined {
        member: row.member,
        number: row.number,
        invited_by: row.invited_by,
        invited_at: row.invited_at.into(),
        invitation: row.statement,
        consented_by: row.consent.map(|(by, _)| by),
        acceptance,
        accepted_at,
    }
}

/// Verifies the invitations that a request brings, before its turn and off the threads that serve others.
pub(super) async fn verified(
    invitations: &BTreeMap<MemberId, String>,
) -> Result<BTreeMap<MemberId, Verified<InvitationStatement>>> {
    if invitations.len() > CreateProposal::MOST_INVITATIONS {
        let fault = format!(
            "at most {} invitations at a time; ask the others once the proposal is begun",
            CreateProposal::MOST_INVITATIONS
        );
        return Err(ServiceError::Malformed(fault));
    }
    let invitations = invitations.clone();
    aside(move || invitations.into_iter().map(|(member, jws)| (member, Verified::look(&jws))).collect()).await
}

/// The members whom the founder of a proposal invites: everybody named but the founder, each with an invitation.
pub(super) async fn asked_at_the_beginning(
    act: &mut Act<'_>,
    body: &CreateProposal,
    mut invitations: BTreeMap<MemberId, Verified<InvitationStatement>>,
) -> Result<Vec<(MemberId, Signed<InvitationStatement>)>> {
    let me = act.me.id.clone();
    for members in body.parties.values() {
        quotas::check_party(act.exchange, members.len().saturating_sub(1))?;
    }
    let named: Vec<&MemberId> = body.parties.values().flatten().filter(|member| **member != me).collect();
    if let Some(other) = body.invitations.keys().find(|member| !named.contains(member)) {
        return Err(Refusal::Statement { fault: format!("`{other}` is invited and not among the members") }.into());
    }
    let members = act.members(&named.iter().copied().cloned().collect::<Vec<_>>()).await?;
    let mut invited = Vec::with_capacity(named.len());
    for member in named {
        act.known(&members, member)?;
        let missing = || Refusal::Statement { fault: format!("the invitation of `{member}` is missing") };
        let invitation = invitations.remove(member).ok_or_else(missing)?;
        invited.push((member.clone(), checked(act, body.id, member, invitation).await?));
    }
    Ok(invited)
}

/// Keeps the invitations with which a proposal begins. Each member finds theirs in their list.
pub(super) async fn keep_first_invitations(
    act: &mut Act<'_>,
    permit: &Permit,
    (call, id): (CallId, ProposalId),
    subject: Subject,
    asked: &[(MemberId, Signed<InvitationStatement>)],
) -> Result<()> {
    let rows: Vec<_> = asked
        .iter()
        .map(|(member, signed)| FirstInvitation { member, statement: &signed.jws, sha256: signed.payload_sha256 })
        .collect();
    invitations::invite_first(&mut act.tx, permit, (call, id), &rows, act.now).await?;
    let entries = asked.iter().map(|(member, signed)| (subject, entry_of(member, signed).into()));
    act.log_all(entries.collect()).await
}

fn entry_of(member: &MemberId, signed: &Signed<InvitationStatement>) -> MemberInvited {
    MemberInvited { member: member.clone(), statement: signed.jws.clone() }
}

/// Refuses where somebody of a party runs the call, reviews or decides by now: nobody judges or runs what they take part in.
pub(super) fn require_no_roles(proposal: &ProposalState) -> Result<()> {
    let call = &proposal.call.facts;
    let Some(member) = proposal.facts.party_members.iter().find(|member| call.runs_or_judges(member)) else {
        return Ok(());
    };
    Err(keeps_part(member, &format!("{HAS_ROLE}, or let the party hand over to somebody else")))
}

/// The caller's permit to ask the subject to join a party, or to take them out of it. A party that nobody has joined has nobody to speak
/// for it, so the other ones do.
pub(super) fn speaks_for(
    proposal: &ProposalState,
    subject: &MemberFacts,
    action: Action,
    authorize: impl Fn(Action, Resource<'_>) -> Result<Permit>,
) -> Result<Permit> {
    let is_empty = proposal.row.parties.get(subject.id.partner()).is_some_and(BTreeSet::is_empty);
    if is_empty {
        return authorize(Action::Edit, Resource::Proposal(&proposal.facts));
    }
    authorize(action, Resource::ProposalMember { proposal: &proposal.facts, subject })
}

/// Whether the member could be a party under the call at all.
fn check_suits(act: &Act<'_>, call: &CallState, subject: &MemberFacts) -> Result<()> {
    let may_begin = act.policies.authorize(subject, Action::CreateProposal, Resource::Call(&call.facts));
    if may_begin.permit().is_some() {
        return Ok(());
    }
    Err(Refusal::Unsuitable { member: subject.id.clone(), fault: "cannot take this part".into() }.into())
}

const HAS_ROLE: &str = "runs the call, reviews or decides, and cannot be a party; lay that role down first";

/// The reason that keeps an invited caller from accepting, if it is their part in the call alone.
fn kept_by(act: &Act<'_>, proposal: &ProposalState) -> Option<&'static str> {
    let (me, facts) = (&act.me.id, &proposal.facts);
    let mut without = facts.without_roles_of(me);
    without.assigned.remove(me);
    let could = facts.invited.contains(me)
        && act.policies.authorize(&act.me, Action::AnswerInvitation, Resource::Proposal(&without)).permit().is_some();
    let has_role = facts.call.runs_or_judges(me);
    let is_assigned = facts.assigned.contains(me);
    let part = if has_role {
        HAS_ROLE
    } else {
        "is assigned to review the proposal, and cannot be a party; let an officer take that back first"
    };
    (could && (has_role || is_assigned)).then_some(part)
}

fn keeps_part(member: &MemberId, fault: &str) -> ServiceError {
    Refusal::Unsuitable { member: member.clone(), fault: fault.to_owned() }.into()
}

async fn checked(
    act: &mut Act<'_>,
    id: ProposalId,
    member: &MemberId,
    verified: Verified<InvitationStatement>,
) -> Result<Signed<InvitationStatement>> {
    let signed = act.signed(verified).await?;
    act.require_recent(&signed)?;
    if signed.statement.proposal != id || signed.statement.member != *member {
        return Err(Refusal::Statement { fault: format!("it must ask `{member}` to join this proposal") }.into());
    }
    Ok(signed)
}

/// The invitation that the member has not answered yet.
async fn open_invitation(act: &mut Act<'_>, proposal: &ProposalState, member: &MemberId) -> Result<InvitationRow> {
    let found = invitations::find(&mut act.tx, proposal.row.id, member).await?;
    let open = found.filter(|invitation| invitation.acceptance.is_none());
    Ok(open.ok_or_else(|| Refusal::NotInvited { member: member.clone() })?)
}

/// After the deadline a party could take a review or a signature out of a judgement that it knows or fears, by letting somebody join who
/// works where the one who judges works. So a member who brings another organisation then joins with the consent of an officer, whether
/// somebody of it judges or not: a request reveals nothing.
async fn check_late(act: &mut Act<'_>, proposal: &ProposalState, invitation: &InvitationRow) -> Result<()> {
    if !needs_consent(proposal, &act.me, act.arrived_at) {
        return Ok(());
    }
    if let Some((officer, of)) = &invitation.consent
        && let Some(officer) = state::member(act.exchange, &mut act.tx, officer, act.now).await?
        && consent_stands(&act.policies, proposal, &act.me, (&officer, of))
    {
        return Ok(());
    }
    let deadline_at = proposal.limits.deadline_at;
    Err(Refusal::NeedsConsent { member: act.me.id.clone(), deadline_at }.into())
}

/// Whether the member would join after the deadline and bring another organisation.
pub(super) fn needs_consent(proposal: &ProposalState, subject: &MemberFacts, at: Timestamp) -> bool {
    at > proposal.limits.deadline_at && !works_at_one_of(subject, &proposal.facts.organisations)
}

/// A consent is to somebody of the organisation for which it was given, and by somebody who could still give it.
pub(super) fn consent_stands(
    policies: &Engine,
    proposal: &ProposalState,
    subject: &MemberFacts,
    (officer, of): (&MemberFacts, &str),
) -> bool {
    let resource = Resource::ProposalMember { proposal: &proposal.facts, subject };
    name::is_same(of, &subject.organisation)
        && policies.authorize(officer, Action::ConsentToJoin, resource).permit().is_some()
}

/// A deadline that is open again lets the newest key cards say where the members of a party work, as before any deadline.
/// Of the one proposal alone, if one is named.
pub(super) async fn follow_newest_employers(
    act: &mut Act<'_>,
    permit: &Permit,
    call: &CallState,
    only: Option<ProposalId>,
) -> Result<()> {
    let mut kept = proposals::with_kept_employers(&mut act.tx, call.row.id).await?;
    kept.retain(|row| only.is_none_or(|only| row.id == only) && act.now <= call.deadline_of(row.id, &row.parties));
    Ok(proposals::follow_newest_employers(&mut act.tx, permit, &kept).await?)
}

/// Whether the member may leave: the last one of a party that has not signed what counts and keeps no restricted documents here, which
/// a later member would inherit; and not the last of all.
async fn check_leaves(act: &mut Act<'_>, proposal: &ProposalState, member: &MemberId) -> Result<()> {
    let partner = member.partner();
    let own = proposal.row.parties.get(partner).filter(|members| members.contains(member));
    let own = own.ok_or_else(|| Refusal::NotOfParty { member: member.clone(), partner: partner.clone() })?;
    if own.len() == 1 {
        check_not_last(act, proposal, member).await?;
    }
    check_still_counted(act, proposal, member)
}

/// Checks that a member who is alone in their party may leave it.
async fn check_not_last(act: &mut Act<'_>, proposal: &ProposalState, member: &MemberId) -> Result<()> {
    let partner = member.partner();
    let is_last = proposal.facts.party_members.len() == 1;
    let kept = documents::current(&mut act.tx, proposal.row.id).await?;
    if is_last
        || kept.iter().any(|row| row.party.as_ref() == Some(partner))
        || has_signed(act, proposal, partner).await?
    {
        return Err(Refusal::LastOfParty { member: member.clone(), partner: partner.clone() }.into());
    }
    Ok(())
}

/// After the deadline a member leaves only if another one stays who works where they do: otherwise a party could bring somebody back into
/// the judging who was kept from it.
fn check_still_counted(act: &Act<'_>, proposal: &ProposalState, member: &MemberId) -> Result<()> {
    let deadline_at = proposal.limits.deadline_at;
    let is_over = matches!(proposal.status, Status::Withdrawn | Status::Lapsed);
    if act.arrived_at <= deadline_at || is_over {
        return Ok(());
    }
    let employers = &proposal.row.employers;
    let Some(leaves) =
        employers.get(member).map(|employer| &*employer.counts).filter(|name| !name::folded(name).is_empty())
    else {
        return Ok(());
    };
    let mut others = employers.iter().filter(|(other, _)| *other != member);
    if others.any(|(_, employer)| name::is_same(&employer.counts, leaves)) {
        return Ok(());
    }
    Err(Refusal::StillCounted { member: member.clone(), deadline_at }.into())
}

/// Whether the party has signed a version that can still stand.
async fn has_signed(act: &mut Act<'_>, proposal: &ProposalState, partner: &PartnerCode) -> Result<bool> {
    let versions = &proposal.versions;
    for version in [versions.standing(), versions.committed(), versions.pending()].into_iter().flatten() {
        let signatures = proposals::signatures(&mut act.tx, proposal.row.id, version.number).await?;
        if signatures.iter().any(|signature| signature.partner == *partner) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn finish(mut act: Act<'_>, id: ProposalId) -> Result<Answer> {
    let proposal = act.proposal(id).await?;
    let answer = Answer::json(200, &describe(&mut act.tx, &proposal, &act.me, &act.policies).await?);
    act.finish(answer).await
}
