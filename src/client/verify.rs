//! Statements, verified to a person: the signature, the signer's key card, and that the signer is one who can say so.
//!
//! A certificate in a statement only hints at who signed; what counts is that the verified key card of that member pins the key,
//! or that one did which it replaced (`lineage`). Old statements are believed by cards that have expired since: an expired key was
//! not a stolen one. A card that was revoked for theft names no certificate, and nothing signed before it is believed.

use super::{
    Client, ClientError, Result,
    verified::{VerifiedCall, VerifiedMember, VerifiedVault},
};
use crate::{
    domain::{
        id::{MemberId, PartnerCode, Sha256},
        name,
        vault::{VaultKind, WrapTarget},
    },
    sealing::{
        card::{KeyCard, check_signer},
        leaf,
        statement::{
            DecisionStatement, LetterStatement, Manifest, ReviewStatement, Signed, Statement, StatementError,
            VaultStatement, WrapStatement, decision_digest, verify_signed,
        },
    },
    wire::{
        decision::{Decision, Letter, Signature},
        proposal::{Proposal, SignedManifest, Vault, WrappedKey},
        review::Review,
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Client {
    /// Who signed: a member of one of `partners` whose verified key card pins the key.
    pub(super) async fn verified_signer<T: Statement>(
        &self,
        signed: &Signed<T>,
        partners: &BTreeSet<PartnerCode>,
    ) -> Result<Arc<VerifiedMember>> {
        if let Some(hint) = leaf::named(&signed.leaf).into_iter().find(|hint| partners.contains(hint.partner())) {
            // The second time the card is fetched again: their keys may have changed since it was read.
            for read_again in [false, true] {
                let member = if read_again { self.fetch_member(&hint).await } else { self.issued_member(&hint).await };
                match member {
                    Ok(member) if member.card.pins(&signed.signer_spki) => return Ok(member),
                    Ok(member) if read_again && self.signed_earlier(&member, &signed.signer_spki, None).await? => {
                        return Ok(member);
                    }
                    // No such member: the name in the certificate may be any.
                    Ok(_) | Err(ClientError::Usage { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // A partner whose authority cannot put names in certificates: whose card pins the key, or else did? A name that is there has to
        // agree.
        let mut others = Vec::new();
        let is_unnamed = leaf::named(&signed.leaf).is_empty();
        for partner in partners.iter().filter(|_| is_unnamed) {
            for member in self.list_members(Some(partner)).await?.into_iter().filter_map(|listed| listed.verified.ok())
            {
                if member.card.pins(&signed.signer_spki) {
                    return Ok(member);
                }
                others.push(member);
            }
        }
        for member in others {
            if self.signed_earlier(&member, &signed.signer_spki, None).await? {
                return Ok(member);
            }
        }
        let names: Vec<&str> = partners.iter().map(PartnerCode::as_str).collect();
        Err(ClientError::unverified(
            format!("a statement is signed by a key that no key card of {} names", names.join(", ")),
            "do not go on; tell the call's officers",
        ))
    }

    /// Checks that `member` signed what the exchange recorded at that instant, under a certificate that was valid then.
    pub(super) async fn check_signed_by<T: Statement>(
        &self,
        signed: &Signed<T>,
        member: &MemberId,
        recorded_at: Timestamp,
    ) -> Result<()> {
        check_valid(signed, member, recorded_at)?;
        if check_signer(signed, &self.issued_member(member).await?.card).is_ok() {
            return Ok(());
        }
        let member = self.fetch_member(member).await?;
        match check_signer(signed, &member.card) {
            Err(_) if self.signed_earlier(&member, &signed.signer_spki, Some(recorded_at)).await? => Ok(()),
            checked => Ok(checked?),
        }
    }

    /// A vault of a proposal: its statement, and that its maker is one who makes such vaults.
    pub(super) async fn verify_vault(
        &self,
        vault: &Vault,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<VerifiedVault> {
        let signed: Signed<VaultStatement> = verify_signed(&vault.statement)?;
        check_vault(vault, &signed.statement, proposal, call).map_err(|error| error.about(vault.id))?;
        let parties: BTreeSet<PartnerCode> = proposal.parties.keys().cloned().collect();
        let makers = match (&signed.statement.kind, &signed.statement.party) {
            (VaultKind::Staff, Some(party)) => BTreeSet::from([party.clone()]),
            (VaultKind::Deliberation, _) => self.partners_of(call).await?,
            _ => parties,
        };
        let maker = self.verified_signer(&signed, &makers).await.map_err(|error| error.about(vault.id))?;
        if signed.statement.kind == VaultKind::Deliberation {
            self.check_not_of_party(&maker.card, proposal, call).await.map_err(|error| error.about(vault.id))?;
        }
        let signed_by = maker.card.member.clone();
        let may_make = self.check_maker(&signed.statement, &signed_by, proposal, call).await;
        may_make.map_err(|error| error.about(vault.id))?;
        Ok(VerifiedVault { vault: vault.clone(), statement: signed.statement, signed_by })
    }

    /// Refuses somebody who belongs to a party, or works where one of its members works.
    pub(super) async fn check_not_of_party(
        &self,
        card: &KeyCard,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<()> {
        let refused = |fault: &str| {
            let what = format!("`{}` {fault}", card.member);
            Err(ClientError::unverified(what, "tell the call's officers; they can assign or appoint somebody else"))
        };
        if proposal.parties.values().flatten().any(|party_member| *party_member == card.member) {
            return refused("is a party of this proposal");
        }
        let organisations = self.organisations_of(proposal, call).await?;
        if organisations.iter().any(|organisation| name::is_same(&card.organisation, organisation)) {
            return refused("works at the same organisation as a party of this proposal");
        }
        Ok(())
    }

    /// A version's signatures: all over the same payload, each by a member of its party. Whether all parties signed, and
    /// whether the vaults are right, is the caller's to ask.
    pub(super) async fn verify_signatures(
        &self,
        version: &SignedManifest,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<(Manifest, BTreeMap<PartnerCode, MemberId>)> {
        let (mut manifest, mut signers) = (None, BTreeMap::new());
        for (party, jws) in &version.signatures {
            let signed: Signed<Manifest> = verify_signed(jws)?;
            check_manifest(&signed, version, proposal, call)?;
            if !signed.statement.parties.contains(party) {
                return Err(invalid(format!("`{party}` signed a manifest of a proposal that it is not a party of")));
            }
            let signer = self.verified_signer(&signed, &BTreeSet::from([party.clone()])).await?;
            signers.insert(party.clone(), signer.card.member.clone());
            manifest = Some(signed.statement);
        }
        let unsigned = || invalid(format!("version {} of `{}` has no signature", version.version, proposal.reference));
        Ok((manifest.ok_or_else(unsigned)?, signers))
    }

    /// A review's statement: by its reviewer, about this version, these criteria and these bytes.
    pub(super) async fn verify_review(
        &self,
        review: &Review,
        manifest_sha256: Sha256,
        call: &VerifiedCall,
        ciphertext: &[u8],
    ) -> Result<()> {
        let signed: Signed<ReviewStatement> = verify_signed(&review.statement)?;
        check_review(&signed.statement, review, manifest_sha256, call, ciphertext)?;
        self.check_signed_by(&signed, &review.reviewer, review.submitted_at.0).await
    }

    /// A decision's signatures: each by its partner's member, all for the same outcome and version; final only with all funders. It
    /// superseded the decision that its signers name, and a pending one names it.
    pub(super) async fn verify_decision(&self, decision: &Decision, funders: &BTreeSet<PartnerCode>) -> Result<()> {
        let mut previous = None;
        for before in decision.before.iter().chain([decision]) {
            if before.supersedes != previous || before.proposal != decision.proposal {
                return Err(invalid("a decision does not follow from the one before it"));
            }
            previous = Some(digest(before));
        }
        self.verify_decision_alone(decision, funders).await?;
        let Some(next) = &decision.next else { return Ok(()) };
        if next.supersedes != previous || next.proposal != decision.proposal || decision.final_at.is_none() {
            return Err(invalid("the proposed decision is not to take the place of the one in force"));
        }
        self.verify_decision_alone(next, funders).await
    }

    async fn verify_decision_alone(&self, decision: &Decision, funders: &BTreeSet<PartnerCode>) -> Result<()> {
        for (partner, Signature { member, jws, signed_at, .. }) in &decision.signatures {
            let signed: Signed<DecisionStatement> = verify_signed(jws)?;
            check_decision(&signed.statement, decision, partner, member)?;
            if !funders.contains(partner) {
                return Err(invalid(format!("`{partner}` signed a decision, but does not fund under this call")));
            }
            self.check_signed_by(&signed, member, signed_at.0).await?;
        }
        let missing = funders.iter().find(|funder| !decision.signatures.contains_key(funder));
        match missing {
            Some(missing) if decision.final_at.is_some() => {
                Err(invalid(format!("the decision is shown as final, but `{missing}` has not signed it")))
            }
            _ => Ok(()),
        }
    }

    /// A letter's statement: by its sender, about this proposal and these bytes.
    pub(super) async fn verify_letter(&self, letter: &Letter, ciphertext: &[u8]) -> Result<LetterStatement> {
        let signed: Signed<LetterStatement> = verify_signed(&letter.statement)?;
        let LetterStatement { proposal, sha256, party, .. } = &signed.statement;
        if *proposal != letter.proposal || *sha256 != Sha256::of(ciphertext) || *party != letter.party {
            return Err(invalid("the letter's statement is for another proposal, another party or other bytes"));
        }
        self.check_signed_by(&signed, &letter.sent_by, letter.sent_at.0).await?;
        Ok(signed.statement)
    }

    /// The partners whose members can be officers of a call: those of its program, and its lead.
    async fn partners_of(&self, call: &VerifiedCall) -> Result<BTreeSet<PartnerCode>> {
        Ok(self.unsigned_roles(call).await?.partners)
    }
}

/// That the certificate which came with a statement was valid when the exchange recorded it, as the exchange asks itself.
pub(super) fn check_valid<T: Statement>(signed: &Signed<T>, member: &MemberId, recorded_at: Timestamp) -> Result<()> {
    leaf::check_time(&signed.leaf, recorded_at).map_err(|_| {
        invalid(format!(
            "`{member}` signed under a certificate that was not valid at {recorded_at:.0}, when it was recorded"
        ))
    })
}

/// A wrapped key's own statement: signed, and about this vault, this holder and these bytes.
pub(super) fn check_wrap(key: &WrappedKey, vault: &VaultStatement, ciphertext: &[u8]) -> Result<()> {
    let signed: Signed<WrapStatement> = verify_signed(&key.statement)?;
    let holder: WrapTarget = key.holder.parse().map_err(|_| invalid("a wrapped key names no holder"))?;
    let WrapStatement { vault: about, to, recipient, sha256 } = signed.statement;
    let fits = about == vault.vault && to == holder && recipient == key.recipient && sha256 == Sha256::of(ciphertext);
    if fits { Ok(()) } else { Err(invalid("the statement of a wrapped key is for another vault, holder or file")) }
}

fn check_vault(vault: &Vault, statement: &VaultStatement, proposal: &Proposal, call: &VerifiedCall) -> Result<()> {
    let fits = statement.vault == vault.id
        && statement.kind == vault.kind
        && statement.party == vault.party
        && statement.recipient == vault.recipient
        && statement.proposal == Some(proposal.id)
        && statement.call == call.call.id
        && statement.party.as_ref().is_none_or(|party| proposal.parties.contains_key(party));
    if fits { Ok(()) } else { Err(invalid("the vault's statement says something else than the exchange does")) }
}

fn check_manifest(
    signed: &Signed<Manifest>,
    version: &SignedManifest,
    proposal: &Proposal,
    call: &VerifiedCall,
) -> Result<()> {
    let manifest = &signed.statement;
    if signed.payload_sha256 != version.manifest_sha256 || manifest.version != version.version {
        return Err(invalid("the parties' signatures are not over one and the same manifest"));
    }
    if manifest.proposal != proposal.id || manifest.call != call.call.id {
        return Err(invalid("the manifest is for another proposal or call"));
    }
    if manifest.reference != proposal.reference {
        let (shown, signed) = (&proposal.reference, &manifest.reference);
        return Err(invalid(format!(
            "the exchange shows `{}` as `{shown}`, but its parties signed it as `{signed}`",
            proposal.id
        )));
    }
    check_reference(proposal, call)?;
    if !manifest.parties.iter().eq(proposal.parties.keys()) {
        return Err(invalid("the manifest names other parties than the exchange does"));
    }
    // Signed under an earlier text, it stands if the amendment let it stand; that text is no longer shown.
    if version.call_version == call.publication.version && manifest.call_text_sha256 != call.publication.text_sha256 {
        return Err(invalid("the manifest was made for another text of the call"));
    }
    if version.call_version > call.publication.version {
        return Err(invalid("the manifest was made for a text of the call that is not published"));
    }
    Ok(())
}

/// Checks that the reference is one of the call: its code was signed with the text of the call.
pub(super) fn check_reference(proposal: &Proposal, call: &VerifiedCall) -> Result<()> {
    let (reference, code) = (&proposal.reference, &call.rules.code);
    if reference.code() == code {
        Ok(())
    } else {
        Err(invalid(format!(
            "the exchange shows `{}` as `{reference}`, but its call has the code `{code}`",
            proposal.id
        )))
    }
}

fn check_review(
    statement: &ReviewStatement,
    review: &Review,
    manifest_sha256: Sha256,
    call: &VerifiedCall,
    ciphertext: &[u8],
) -> Result<()> {
    if statement.proposal != review.proposal
        || statement.reviewer != review.reviewer
        || statement.revision != review.revision
    {
        return Err(invalid("the review's statement is for another proposal, reviewer or revision"));
    }
    if statement.sha256 != Sha256::of(ciphertext) {
        return Err(invalid("the review was signed for other bytes"));
    }
    if statement.manifest_sha256 != manifest_sha256 || review.manifest_sha256 != manifest_sha256 {
        return Err(invalid("the review is of another version than the one that stands"));
    }
    if statement.call_text_sha256 != call.publication.text_sha256 {
        return Err(invalid("the review was made for another text of the call"));
    }
    Ok(())
}

fn check_decision(
    statement: &DecisionStatement,
    decision: &Decision,
    partner: &PartnerCode,
    member: &MemberId,
) -> Result<()> {
    let fits = statement.proposal == decision.proposal
        && statement.partner == *partner
        && member.partner() == partner
        && statement.outcome == decision.outcome
        && (statement.supersedes, &statement.reason) == (decision.supersedes, &decision.reason)
        && statement.manifest_sha256 == decision.manifest_sha256;
    if fits { Ok(()) } else { Err(invalid(format!("what `{partner}` signed is not the decision that is shown"))) }
}

/// What names a decision, as its signers said it.
pub(super) fn digest(decision: &Decision) -> Sha256 {
    let Decision { proposal, manifest_sha256, outcome, supersedes, reason, .. } = decision;
    decision_digest(proposal, manifest_sha256, outcome, supersedes.as_ref(), reason.as_deref())
}

pub(super) fn invalid(fault: impl Into<String>) -> ClientError {
    StatementError::Invalid(fault.into()).into()
}
