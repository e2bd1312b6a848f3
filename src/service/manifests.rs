//! Versions of a proposal: a manifest signed by every party, and the moment at which it stands.

use super::{
    Answer, Exchange, Principal, RequestContext, Result, announcements,
    cursors::SealedCursors,
    decided_readers::DecidedReaders,
    described::describe,
    label_losses, labels, parties, quotas,
    state::ProposalState,
    stepwise::StepwisePage,
    unit::{Act, Subject, View},
    verified::Verified,
    versions::{held, missing, of_version},
};
use crate::{
    domain::{
        Refusal,
        call::{LetterAudience, Phase},
        id::{PartnerCode, ProposalId, Sha256},
        proposal::{Listed, Status, Version, check_documents},
        text::choices,
        vault::VaultKind,
    },
    policy::{Action, Permit, Resource},
    sealing::statement::{Manifest, Signed},
    storage::{
        proposals,
        vaults::{self, VaultRow},
        withdrawals,
    },
    wire::{
        entry::payloads::{ManifestSigned, Payload, ProposalSubmitted, WithdrawalWish},
        page::Page,
        proposal::{SignManifest, SignedManifest},
    },
};

/// Proposes a version, or adds the caller's party's signature to the one that waits. The last signature commits it.
pub async fn sign(
    exchange: &Exchange,
    context: &RequestContext,
    id: ProposalId,
    body: &SignManifest,
) -> Result<Answer> {
    let verified = Verified::<Manifest>::of(&body.manifest).await?;
    // A rehearsal ends before a label takes effect.
    let decided = match verified.clone().signed() {
        Ok(signed) if !context.is_rehearsal => {
            DecidedReaders::of(label_losses::before_version(exchange, &context.principal, id, &signed)).await?
        }
        _ => DecidedReaders::default(),
    };
    let mut act = Act::begin(exchange, context).await?;
    let proposal = act.proposal(id).await?;
    let permit = act.authorize(Action::Sign, Resource::Proposal(&proposal.facts))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    if proposal.status == Status::Withdrawn {
        let (status, needed) = (proposal.status.to_string(), "one that is not withdrawn");
        return Err(Refusal::WrongStatus { status, needed }.into());
    }
    if matches!(proposal.call.phase, Phase::Cancelled | Phase::Closed | Phase::Draft | Phase::Announced) {
        return Err(Refusal::WrongPhase { phase: proposal.call.phase, needed: "an open call" }.into());
    }
    let deadline_at = proposal.limits.deadline_at;
    if act.arrived_at > deadline_at {
        return Err(Refusal::DeadlinePassed { deadline_at, arrived_at: act.arrived_at }.into());
    }
    parties::require_no_roles(&proposal)?;
    let signed = act.signed(verified).await?;
    check_fits(&mut act, &proposal, &signed.statement).await?;
    let partner = act.me.id.partner().clone();
    require_letters_vault(&mut act, &proposal, &partner).await?;
    let version = match proposal.versions.versions.iter().find(|v| v.manifest == signed.payload_sha256) {
        Some(version) => {
            let signatures = proposals::signatures(&mut act.tx, id, version.number).await?;
            if signatures.iter().any(|signature| signature.partner == partner) {
                return Err(Refusal::AlreadySigned { manifest: version.manifest, partner }.into());
            }
            let newest = proposal.versions.next_number() - 1;
            if version.number != newest {
                return Err(Refusal::VersionTaken { expected: newest + 1, given: version.number }.into());
            }
            // A version that an amendment voided stays void, also when a later amendment brings the same text back.
            if version.call_version < proposal.call.row.baseline {
                let fault = "an amendment of the call has voided this version; sign a new one".to_owned();
                return Err(Refusal::ManifestMismatch { fault }.into());
            }
            announcements::check(&mut act, &proposal, &signed.statement).await?;
            version.clone()
        }
        None => add_version(&mut act, &permit, &proposal, &signed).await?,
    };
    let at = act.arrived_at;
    proposals::sign(&mut act.tx, &permit, id, version.number, &body.manifest, at).await?;
    let payload = ManifestSigned {
        version: version.number,
        manifest_sha256: version.manifest,
        partner: partner.clone(),
        manifest: body.manifest.clone(),
        arrived_at: at.into(),
    };
    act.log(Subject::proposal(&proposal), payload).await?;
    // A member who signs a version takes back their wish to withdraw an earlier one.
    if withdrawals::take_back(&mut act.tx, &permit, id).await? {
        act.log(Subject::proposal(&proposal), Payload::WithdrawalUnwished(WithdrawalWish { partner })).await?;
    }
    let signatures = proposals::signatures(&mut act.tx, id, version.number).await?;
    if signatures.len() == proposal.row.parties.len() {
        proposals::advance(&mut act.tx, &permit, id, version.number, at, None).await?;
        let proposal = act.proposal(id).await?;
        labels::follow_versions(&mut act, &permit, &proposal, &decided).await?;
        complete_if_all_here(&mut act, &permit, &proposal, &decided).await?;
    }
    let proposal = act.proposal(id).await?;
    announcements::recount(&mut act, &permit, &proposal).await?;
    let answer = Answer::json(200, &describe(&mut act.tx, &proposal, &act.me, &act.policies).await?);
    act.finish(answer).await
}

/// A page of the versions of a proposal with their signatures: all for its parties, the standing one for anyone who may read it.
pub async fn list(
    exchange: &Exchange,
    principal: &Principal,
    id: ProposalId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<SignedManifest>> {
    let mut view = View::open(exchange, principal).await?;
    let proposal = view.proposal(id).await?;
    view.authorize(Action::Read, Resource::Proposal(&proposal.facts))?;
    let is_party = proposal.facts.shows_as_party(&view.me.id);
    let standing = proposal.standing().map(|version| version.number);
    let cursors = SealedCursors::of(exchange, "manifests", &principal.member).within("proposal", &id);
    let mut page = StepwisePage::<u32, _>::new(limit, cursors, cursor)?;
    let after = page.after().copied();
    for version in &proposal.row.versions {
        let is_standing = standing == Some(version.number);
        if version.number <= after.unwrap_or(0) || !is_party && !is_standing {
            continue;
        }
        let signatures = proposals::signatures(&mut view.tx, id, version.number).await?;
        let item = SignedManifest {
            version: version.number,
            manifest_sha256: version.manifest,
            call_version: version.call_version,
            signatures: signatures.into_iter().map(|signature| (signature.partner, signature.jws)).collect(),
            committed_at: version.committed_at.map(Into::into),
            complete_at: version.complete_at.map(Into::into),
            is_standing,
        };
        if !page.takes(version.number, item) {
            break;
        }
    }
    Ok(page.finish())
}

/// Under a call whose letters are for one party alone, nobody signs whom no such letter could reach.
async fn require_letters_vault(act: &mut Act<'_>, proposal: &ProposalState, partner: &PartnerCode) -> Result<()> {
    if proposal.call.text.letters == LetterAudience::AllParties {
        return Ok(());
    }
    let is_its_own = |vault: &VaultRow| vault.kind == VaultKind::Staff && vault.party.as_ref() == Some(partner);
    if vaults::of_proposal(&mut act.tx, proposal.row.id).await?.iter().any(is_its_own) {
        return Ok(());
    }
    let fault = format!(
        "under this call each party gets letters of its own, and `{partner}` has no `staff` vault that they are sealed to; make it \
         beforehand: `POST /v1/proposals/{}/vaults/staff`",
        proposal.row.id
    );
    Err(Refusal::ManifestMismatch { fault }.into())
}

/// Lets a committed version stand once its last byte is here.
pub(super) async fn complete_if_all_here(
    act: &mut Act<'_>,
    permit: &Permit,
    proposal: &ProposalState,
    decided: &DecidedReaders,
) -> Result<()> {
    let id = proposal.row.id;
    let Some(version) = proposal.versions.committed().cloned() else { return Ok(()) };
    let manifest = of_version(&mut act.tx, id, version.number).await?;
    let held = held(&mut act.tx, id, &manifest).await?;
    if missing(&manifest, &held).next().is_some() {
        return Ok(());
    }
    // It may have lapsed, when it barred nobody, and come back by an extension.
    parties::require_no_roles(proposal)?;
    if let Some(label) = &manifest.label {
        labels::check_place(act, proposal, label).await?;
    }
    let at = act.arrived_at;
    let committed_at = version.committed_at.unwrap_or(at);
    proposals::advance(&mut act.tx, permit, id, version.number, committed_at, Some(at)).await?;
    let payload = ProposalSubmitted { version: version.number, manifest_sha256: version.manifest };
    act.log(Subject::proposal(proposal), payload).await?;
    let proposal = act.proposal(id).await?;
    labels::follow_versions(act, permit, &proposal, decided).await
}

async fn add_version(
    act: &mut Act<'_>,
    permit: &Permit,
    proposal: &ProposalState,
    signed: &Signed<Manifest>,
) -> Result<Version> {
    let expected = proposal.versions.next_number();
    if signed.statement.version != expected {
        return Err(Refusal::VersionTaken { expected, given: signed.statement.version }.into());
    }
    quotas::check_versions(act, proposal.versions.versions.len())?;
    let held = held(&mut act.tx, proposal.row.id, &signed.statement).await?;
    let awaited = missing(&signed.statement, &held).map(|document| document.size).fold(0, u64::saturating_add);
    quotas::check_awaited(act, proposal.row.id, proposal.facts.parties.len(), awaited).await?;
    announcements::check(act, proposal, &signed.statement).await?;
    let version = Version {
        number: expected,
        manifest: signed.payload_sha256,
        call_version: proposal.call.row.version,
        committed_at: None,
        complete_at: None,
    };
    let body = crate::sealing::canonical::to_vec(&signed.statement)
        .map_err(crate::sealing::statement::StatementError::from)?;
    let body = String::from_utf8(body).expect("canonical JSON is UTF-8");
    let at = act.arrived_at;
    proposals::add_version(&mut act.tx, permit, proposal.row.id, &version, &body, at).await?;
    Ok(version)
}

/// Checks that a manifest names this proposal, this text, these vaults and everything that the call requires.
async fn check_fits(act: &mut Act<'_>, proposal: &ProposalState, manifest: &Manifest) -> Result<()> {
    let mismatch = |fault: &str| Err(Refusal::ManifestMismatch { fault: fault.to_owned() }.into());
    if manifest.proposal != proposal.row.id || manifest.call != proposal.row.call {
        return mismatch("it is for another proposal or call");
    }
    if manifest.reference != proposal.reference() {
        return mismatch("it names another reference than the proposal has; read the proposal again");
    }
    if manifest.call_text_sha256 != proposal.call.row.text_sha256 {
        return mismatch("it was made under another text of the call; read the call again");
    }
    if manifest.parties != proposal.facts.parties {
        return mismatch("it names other parties");
    }
    // An amendment can ask for other parties and topics than those that the proposal was begun with, which never change.
    let text = &proposal.call.text;
    text.parties.check_owners(&text.eligible, &proposal.row.parties)?;
    match &proposal.row.topic {
        Some(topic) if !text.topics.contains(topic) => {
            return Err(Refusal::UnknownTopic { topic: topic.clone(), choices: choices(&text.topics) }.into());
        }
        None if !text.topics.is_empty() => {
            return mismatch(
                "the call has topics by now, and the proposal was begun without one; begin another proposal",
            );
        }
        _ => {}
    }
    if let Some(label) = &manifest.label {
        labels::check_place(act, proposal, label).await?;
    }
    let listed: Vec<Listed> = manifest
        .documents
        .iter()
        .map(|document| Listed {
            slot: document.slot.clone(),
            party: document.party.clone(),
            size: document.size,
            media_type: document.media_type.clone(),
        })
        .collect();
    check_documents(text, &listed, &proposal.row.parties)?;
    let vaults = vaults::of_proposal(&mut act.tx, proposal.row.id).await?;
    let held = held(&mut act.tx, proposal.row.id, manifest).await?;
    for document in &manifest.documents {
        let kind = if document.party.is_some() { VaultKind::Staff } else { VaultKind::Panel };
        let vault = vaults.iter().find(|vault| vault.kind == kind && vault.party == document.party);
        if vault.is_none_or(|vault| vault.id != document.vault || vault.recipient != document.recipient) {
            return mismatch("a document names another vault than the one of its slot");
        }
        let stored = held
            .iter()
            .find(|row| row.slot == document.slot && row.party == document.party && row.sha256 == document.sha256);
        if stored.is_none() && document.size > act.exchange.document_limit {
            let (slot, limit, size) = (document.slot.clone(), act.exchange.document_limit, document.size);
            return Err(Refusal::TooLarge { slot, limit, size }.into());
        }
        if stored.is_some_and(|row| row.size != document.size || row.media_type != document.media_type) {
            return mismatch("a document's size or media type differs from what is stored");
        }
    }
    Ok(())
}

/// The manifest that reviews and decisions on the proposal are bound to.
pub(super) fn require_standing(proposal: &ProposalState, given: Sha256) -> Result<()> {
    let needed = "a submitted proposal";
    let standing = proposal
        .standing()
        .filter(|_| proposal.status == Status::Submitted)
        .ok_or_else(|| Refusal::WrongStatus { status: proposal.status.to_string(), needed })?;
    if standing.manifest == given {
        Ok(())
    } else {
        Err(Refusal::OtherVersion { given, standing: standing.manifest }.into())
    }
}
