//! Releasability labels: signed with a version by all its parties, or by all of them again for the version that stands.
//!
//! A label narrows whatever policies permit. When one takes effect, the keys of those whom it takes the content from go in the
//! same unit of work.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, ServiceError,
    comparison::{Comparison, PreviewAudience},
    cursors::SealedCursors,
    decided_readers::DecidedReaders,
    described::describe,
    explanation::Hearing,
    label_losses::{self, ProposalKeys, with_label},
    preview::note,
    quotas,
    state::{self, ProposalState},
    stepwise::{STEP, StepwisePage},
    unit::{Act, Subject, View},
    vaults,
    verified::Verified,
    versions,
};
use crate::{
    domain::{
        Refusal,
        id::{MemberId, PartnerCode, ProposalId, Sha256, Slug},
        label::Label,
        proposal::Status,
    },
    policy::{Action, Permit, Resource},
    sealing::statement::{LabelStatement, Signed},
    storage::{
        StoreError, Tx,
        labels::{self, LabelRow},
        partners,
        proposals::SignatureRow,
        vaults::VaultRow,
    },
    wire::{
        entry::payloads::{LabelInForce, LabelSigned},
        page::Page,
        policy::{PreviewedChange, Tally},
        proposal::{LabelPreview, SignLabel, SignedLabel},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Proposes a relabelling of the version that stands, or adds the caller's party's signature to the one that waits. The last
/// signature puts it in force.
pub async fn sign(exchange: &Exchange, context: &RequestContext, id: ProposalId, body: &SignLabel) -> Result<Answer> {
    let verified = Verified::<LabelStatement>::of(&body.statement).await?;
    // A rehearsal ends before a label takes effect.
    let decided = match verified.statement().filter(|_| !context.is_rehearsal) {
        Some(statement) => {
            DecidedReaders::of(label_losses::before_label(exchange, &context.principal, id, statement)).await?
        }
        None => DecidedReaders::default(),
    };
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Sign, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let signed = act.signed(verified).await?;
    let partner = act.me.id.partner().clone();
    let known = labels::with_digest(&mut act.tx, id, signed.payload_sha256).await?;
    let newest = labels::newest(&mut act.tx, id).await?;
    if let Some(known) = &known {
        let signatures = labels::signatures(&mut act.tx, id, known.number).await?;
        if signatures.iter().any(|signature| signature.partner == partner) {
            return Err(Refusal::AlreadySigned { manifest: known.sha256, partner }.into());
        }
    }
    let expected = if known.as_ref().is_some_and(|known| known.number == newest) { newest } else { newest + 1 };
    if signed.statement.number != expected {
        return Err(Refusal::LabelTaken { expected, given: signed.statement.number }.into());
    }
    check_fits(&mut act, &proposal, &signed.statement).await?;
    let now = act.now;
    if known.is_none() {
        quotas::check_labels(&act, newest)?;
        act.require_recent(&signed)?;
        labels::add(&mut act.tx, &permit, id, &row(&signed)?, now).await?;
    }
    labels::sign(&mut act.tx, &permit, id, expected, &body.statement, now).await?;
    let payload = LabelSigned {
        number: expected,
        label_sha256: signed.payload_sha256,
        manifest_sha256: signed.statement.manifest_sha256,
        partner,
        statement: body.statement.clone(),
    };
    act.log(Subject::proposal(&proposal), payload).await?;
    let signatures = labels::signatures(&mut act.tx, id, expected).await?;
    if signatures.len() == proposal.row.parties.len() {
        labels::complete(&mut act.tx, &permit, id, expected, now).await?;
        let label = signed.statement.label.as_ref();
        let said = (label, signed.statement.manifest_sha256, Some(expected));
        take_effect(&mut act, &permit, &proposal, said, &decided).await?;
    }
    let proposal = act.proposal(id).await?;
    let answer = Answer::json(200, &describe(&mut act.tx, &proposal, &act.me, &act.policies).await?);
    act.finish(answer).await
}

/// A page of the relabellings of a proposal: all for its parties, the one in force for anyone who may read it.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<SignedLabel>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    view.authorize(Action::Read, Resource::Proposal(&proposal.facts))?;
    let is_party = proposal.facts.shows_as_party(&view.me.id);
    let in_force = match proposal.standing() {
        Some(version) => labels::in_force(&mut view.tx, id, version.manifest).await?,
        None => None,
    };
    let standing = in_force.as_ref().map(|row| row.number);
    let cursors = SealedCursors::of(exchange, "labels", &principal.member).within("proposal", &id);
    let mut page = StepwisePage::<u32, _>::new(limit, cursors, cursor)?;
    while page.is_open() {
        let after = page.after().copied().unwrap_or(0);
        let rows = if is_party {
            labels::some_statements(&mut view.tx, id, after, STEP).await?
        } else {
            in_force.clone().into_iter().filter(|row| row.number > after).collect()
        };
        let mut step = Vec::with_capacity(rows.len());
        for row in rows {
            let signatures = labels::signatures(&mut view.tx, id, row.number).await?;
            step.push((row.number, signed_label(&row, signatures, standing == Some(row.number))?));
        }
        page.add(step);
    }
    Ok(page.finish())
}

fn signed_label(row: &LabelRow, signatures: Vec<SignatureRow>, is_in_force: bool) -> Result<SignedLabel> {
    let statement = statement(row)?;
    Ok(SignedLabel {
        number: row.number,
        label_sha256: row.sha256,
        manifest_sha256: row.manifest,
        label: statement.label,
        signatures: signatures.into_iter().map(|signature| (signature.partner, signature.jws)).collect(),
        stated_at: statement.stated_at.into(),
        in_force_at: row.in_force_at.map(Into::into),
        is_in_force,
    })
}

/// Previews another label: evaluates everybody who has a role with that label in place of the present one. Parties learn of nations alone,
/// the policy officers of an owner of members.
pub async fn preview(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    wanted: Option<&(BTreeSet<PartnerCode>, BTreeSet<Slug>)>,
) -> Result<LabelPreview> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = state::proposal(&mut view.tx, id, view.now).await?.ok_or(ServiceError::Hidden)?;
    let hears = !matches!(Hearing::of(&view.me, &proposal.facts), Hearing::Nobody);
    let names = hears && view.may(Action::Explain, Resource::Proposal(&proposal.facts));
    if !names {
        view.authorize(Action::Sign, Resource::Proposal(&proposal.facts))?;
    }
    let owners = &proposal.facts.parties;
    let label = wanted.map(|(others, caveats)| Label::of(owners, others.iter().cloned(), caveats.iter().cloned()));
    if let Some(label) = &label {
        label.check(owners)?;
        check_place_in(&mut view.tx, &proposal, label).await?;
    }
    let (proposal, then) = (Arc::new(proposal.clone()), Arc::new(with_label(&proposal, label.as_ref())));
    let (now, policies) = (view.now, view.policies.clone());
    let mut comparison = Comparison::new(exchange, &view.me.id, policies.clone(), policies.clone(), now);
    let mut items = Vec::new();
    let everybody = PreviewAudience::Insiders(Hearing::Everybody);
    comparison.add(&mut view.tx, (&proposal, &then), everybody, &mut items).await?;
    note(&mut view.tx, &mut items).await?;
    let mut keys_removed = BTreeMap::new();
    let held = ProposalKeys::of(exchange, &mut view.tx, now, id, label.as_ref()).await?;
    let decided = held.decided(exchange, &view.me.id, &policies, &proposal, &then).await?;
    for (_, holder, count) in held.lost(&decided, &policies, &proposal, &then)? {
        *keys_removed.entry(holder.partner().clone()).or_default() += count;
    }
    let count = |which: fn(&PreviewedChange) -> bool| items.iter().filter(|change| which(change)).count() as u64;
    Ok(LabelPreview {
        gains: tallies(&items, true),
        losses: tallies(&items, false),
        keys_needed: count(|change| change.needs_key),
        fetched_before: count(|change| change.has_fetched),
        keys_removed,
        label: proposal.row.label.clone(),
        then: label,
        items: if names { items } else { Vec::new() },
    })
}

/// Whether a label can be put on a proposal.
pub(super) async fn check_place(act: &mut Act<'_>, proposal: &ProposalState, label: &Label) -> Result<()> {
    check_place_in(&mut act.tx, proposal, label).await
}

/// Puts in force what the newest version that stands says, or what its parties signed for it since. Before any stands, what
/// the newest one says that all have signed.
pub(super) async fn follow_versions(
    act: &mut Act<'_>,
    permit: &Permit,
    proposal: &ProposalState,
    decided: &DecidedReaders,
) -> Result<()> {
    let signed = proposal.row.versions.iter().filter(|version| version.committed_at.is_some());
    let Some(version) = signed.max_by_key(|version| (version.complete_at.is_some(), version.number)).cloned() else {
        return Ok(());
    };
    let (label, number) = match labels::in_force(&mut act.tx, proposal.row.id, version.manifest).await? {
        Some(row) => (statement(&row)?.label, Some(row.number)),
        None => (versions::of_version(&mut act.tx, proposal.row.id, version.number).await?.label, None),
    };
    if label == proposal.row.label {
        return Ok(());
    }
    take_effect(act, permit, proposal, (label.as_ref(), version.manifest, number), decided).await
}

/// Puts in force what a relabelling of that number, or else a manifest, says.
async fn take_effect(
    act: &mut Act<'_>,
    permit: &Permit,
    proposal: &ProposalState,
    (label, manifest, number): (Option<&Label>, Sha256, Option<u32>),
    decided: &DecidedReaders,
) -> Result<()> {
    let id = proposal.row.id;
    labels::put(&mut act.tx, permit, id, label).await?;
    let payload = LabelInForce { number, manifest_sha256: manifest, label: label.cloned() };
    act.log(Subject::proposal(proposal), payload).await?;
    let then = act.proposal(id).await?;
    let held = ProposalKeys::of(act.exchange, &mut act.tx, act.now, id, label).await?;
    let lost = held.lost(decided, &act.policies, proposal, &then)?;
    let lost = lost.into_iter().map(|(vault, holder, _)| (Subject::proposal(&then), VaultRow::clone(&vault), holder));
    vaults::remove_held_keys(act, permit, &lost.collect::<Vec<_>>()).await
}

async fn check_fits(act: &mut Act<'_>, proposal: &ProposalState, statement: &LabelStatement) -> Result<()> {
    let fault = |fault: &str| Err(Refusal::Label { fault: fault.to_owned() }.into());
    if statement.proposal != proposal.row.id {
        return fault("it is for another proposal");
    }
    let standing = proposal.standing().filter(|_| proposal.status == Status::Submitted).ok_or_else(|| {
        let needed = "a submitted proposal; before that the label is signed with the manifest";
        Refusal::WrongStatus { status: proposal.status.to_string(), needed }
    })?;
    if statement.manifest_sha256 != standing.manifest {
        return fault("it is for another version than the one that stands; read the proposal again");
    }
    let in_force = labels::in_force(&mut act.tx, proposal.row.id, standing.manifest).await?;
    if statement.replaces != in_force.map(|row| row.sha256) {
        return fault("it replaces another label than the one in force; read the labels again");
    }
    if statement.label == proposal.row.label {
        return fault("it says what the label in force says, so there is nothing to sign");
    }
    match &statement.label {
        Some(label) => {
            label.check(&proposal.facts.parties)?;
            check_place(act, proposal, label).await
        }
        None => Ok(()),
    }
}

async fn check_place_in(tx: &mut Tx, proposal: &ProposalState, label: &Label) -> Result<()> {
    let known = partners::all(tx).await?.into_iter().map(|row| row.partner).collect();
    let openers = proposal.call.facts.officers().iter().map(|officer| officer.partner().clone()).collect();
    Ok(label.check_place(&known, &proposal.call.text.funders, &openers)?)
}

fn tallies(changes: &[PreviewedChange], gains: bool) -> BTreeMap<PartnerCode, Tally> {
    let mut of: BTreeMap<PartnerCode, (BTreeSet<&MemberId>, Tally)> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.gains == gains) {
        let nothing = || (BTreeSet::new(), Tally { members: 0, views: 0, readings: 0 });
        let (members, tally) = of.entry(change.member.partner().clone()).or_insert_with(nothing);
        members.insert(&change.member);
        tally.members = members.len() as u64;
        let sees = change.action == Action::View.as_str();
        *(if sees { &mut tally.views } else { &mut tally.readings }) += 1;
    }
    of.into_iter().map(|(code, (_, tally))| (code, tally)).collect()
}

fn row(signed: &Signed<LabelStatement>) -> Result<LabelRow> {
    let body = crate::sealing::canonical::to_vec(&signed.statement)
        .map_err(crate::sealing::statement::StatementError::from)?;
    Ok(LabelRow {
        number: signed.statement.number,
        manifest: signed.statement.manifest_sha256,
        sha256: signed.payload_sha256,
        body: String::from_utf8(body).expect("canonical JSON is UTF-8"),
        in_force_at: None,
    })
}

fn statement(row: &LabelRow) -> Result<LabelStatement> {
    let damaged = || StoreError::Corrupt { place: "body".into(), expected: "a label statement".into() };
    Ok(serde_json::from_str(&row.body).map_err(|_| damaged())?)
}
