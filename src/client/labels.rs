//! Labels, verified: what every owner signed about a version's release, with the version or since, and never going back.
//!
//! The exchange says which label is in force; that all owners signed it, for this very version, this machine finds out itself. That
//! a newer one is kept from a machine that never saw it, it cannot notice.

use super::{
    Client, ClientError, Result,
    verified::{VerifiedCall, VerifiedManifest, VersionChoice},
    verify::invalid,
};
use crate::{
    domain::{
        id::{MemberId, PartnerCode, ProposalId, Sha256, Slug},
        label::Label,
        reference::Reference,
    },
    sealing::statement::{LabelStatement, Signed, Statement, verify_signed},
    wire::proposal::{Proposal, SignLabel, SignedLabel},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Which label a member wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LabelChoice {
    /// The one that there is.
    #[default]
    Keep,
    /// None.
    Remove,
    /// These nations beside the owners, and these caveats.
    Put { others: BTreeSet<PartnerCode>, caveats: BTreeSet<Slug> },
}

impl LabelChoice {
    /// The label that comes of it.
    #[must_use]
    pub fn of<'a>(&self, owners: impl IntoIterator<Item = &'a PartnerCode>, present: Option<&Label>) -> Option<Label> {
        match self {
            Self::Keep => present.cloned(),
            Self::Remove => None,
            Self::Put { others, caveats } => Some(Label::of(owners, others.iter().cloned(), caveats.iter().cloned())),
        }
    }
}

/// A label that two versions do not share; none: no label.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LabelChange {
    pub before: Option<Label>,
    pub after: Option<Label>,
}

/// The label of a version, with who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedLabel {
    pub label: Option<Label>,
    /// Of the relabelling; 0 for what the manifest says.
    pub number: u32,
    /// Digest of the label statement, if it is one's.
    pub sha256: Option<Sha256>,
    pub signed_by: BTreeMap<PartnerCode, MemberId>,
}

/// What a signature under a relabelling would say.
#[derive(Debug, Clone, PartialEq)]
pub struct Relabelling {
    /// What the proposal is called, as its parties signed it.
    pub reference: Reference,
    pub statement: LabelStatement,
    /// In force now.
    pub present: Option<Label>,
    /// The parties that have signed this very statement.
    pub signed_by: BTreeSet<PartnerCode>,
}

impl Client {
    /// The label of the version that stands, verified.
    pub async fn label(&self, id: ProposalId) -> Result<VerifiedLabel> {
        let (proposal, standing, _) = self.standing(id).await?;
        self.label_in_force(&proposal, &standing).await
    }

    /// What signing would sign: the relabelling that waits for this party, if it says what is wanted or nothing else is, or else
    /// the next one.
    pub async fn plan_label(&self, id: ProposalId, choice: &LabelChoice) -> Result<Relabelling> {
        let (proposal, standing, call) = self.standing(id).await?;
        let me = self.member_id().await?;
        if !proposal.parties.get(me.partner()).is_some_and(|members| members.contains(&me)) {
            return Err(ClientError::usage("you are not a party of this proposal", "only its parties relabel it"));
        }
        let present = self.label_in_force(&proposal, &standing).await?;
        let made = self.api().labels(id).await?;
        let newest = made.iter().max_by_key(|label| label.number);
        let waiting = newest.filter(|label| {
            label.in_force_at.is_none() && label.manifest_sha256 == standing.sha256 && !label.signatures.is_empty()
        });
        let wanted = choice.of(&standing.manifest.parties, present.label.as_ref());
        if let Some(waiting) = waiting {
            let (statement, signers) = self.verify_label(waiting, &proposal, &standing).await?;
            let is_open = statement.replaces == present.sha256 && !signers.contains_key(me.partner());
            if is_open && (*choice == LabelChoice::Keep || statement.label == wanted) {
                let signed_by = signers.into_keys().collect();
                let reference = standing.manifest.reference.clone();
                return Ok(Relabelling { reference, statement, present: present.label, signed_by });
            }
        }
        if *choice == LabelChoice::Keep {
            return Err(ClientError::usage(
                "no relabelling waits for your party",
                "say what the label is to be with `--rel-to` and `--caveat`, or `--none`",
            ));
        }
        if wanted == present.label {
            return Err(ClientError::usage("that is the label in force", "nothing to do"));
        }
        if let Some(label) = &wanted {
            self.check_label(label, &standing.manifest.parties, &call).await?;
        }
        let now = self.now();
        let statement = LabelStatement {
            proposal: id,
            manifest_sha256: standing.sha256,
            number: newest.map_or(0, |label| label.number) + 1,
            replaces: present.sha256,
            label: wanted,
            stated_at: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
        };
        let reference = standing.manifest.reference.clone();
        Ok(Relabelling { reference, statement, present: present.label, signed_by: BTreeSet::new() })
    }

    /// Signs a relabelling for one's own party.
    pub async fn sign_label(&self, plan: &Relabelling) -> Result<Proposal> {
        let statement = self.signed(&plan.statement).await?;
        let (id, sha256) = (plan.statement.proposal, plan.statement.digest()?);
        let proposal = self.api().sign_label(id, &SignLabel { statement }).await?;
        let held = self.api().labels(id).await?;
        if held.iter().any(|label| label.number == plan.statement.number && label.label_sha256 == sha256) {
            Ok(proposal)
        } else {
            Err(invalid("the exchange shows another label than was signed"))
        }
    }

    /// The label in force for a version that stands: the newest relabelling that all owners signed, or what the manifest says.
    pub(super) async fn label_in_force(
        &self,
        proposal: &Proposal,
        standing: &VerifiedManifest,
    ) -> Result<VerifiedLabel> {
        let made = self.api().labels(proposal.id).await?;
        let of_version =
            made.iter().filter(|label| label.in_force_at.is_some() && label.manifest_sha256 == standing.sha256);
        let found = match of_version.max_by_key(|label| label.number) {
            Some(listed) => {
                let (statement, signed_by) = self.verify_label(listed, proposal, standing).await?;
                if let Some(missing) = standing.manifest.parties.iter().find(|party| !signed_by.contains_key(party)) {
                    return Err(invalid(format!(
                        "label {} is shown as in force, but `{missing}` has not signed it",
                        listed.number
                    )));
                }
                let sha256 = Some(listed.label_sha256);
                VerifiedLabel { label: statement.label, number: listed.number, sha256, signed_by }
            }
            None => VerifiedLabel {
                label: standing.manifest.label.clone(),
                number: 0,
                sha256: None,
                signed_by: standing.signed_by.clone(),
            },
        };
        self.home().see_label(proposal.id, standing.sha256, found.number, found.sha256)?;
        if found.label != proposal.label {
            return Err(invalid("the exchange shows another label than the one that the owners signed"));
        }
        Ok(found)
    }

    /// That a label can be signed: no funder of the signed text is left out, and nobody of whom this machine knows that they open the
    /// call. The exchange knows all its officers.
    pub(super) async fn check_label(
        &self,
        label: &Label,
        owners: &BTreeSet<PartnerCode>,
        call: &VerifiedCall,
    ) -> Result<()> {
        label.check(owners)?;
        let known = self.api().partners().await?.into_iter().map(|partner| partner.code).collect();
        Ok(label.check_place(&known, &call.rules.funders, &BTreeSet::from([call.call.lead.clone()]))?)
    }

    async fn standing(&self, id: ProposalId) -> Result<(Proposal, VerifiedManifest, std::sync::Arc<VerifiedCall>)> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        let standing = self.verified_manifest(&proposal, &call, &vaults, VersionChoice::Standing).await?;
        Ok((proposal, standing, call))
    }

    /// The signatures under a relabelling: all over the same statement, each by a member of its party.
    async fn verify_label(
        &self,
        listed: &SignedLabel,
        proposal: &Proposal,
        standing: &VerifiedManifest,
    ) -> Result<(LabelStatement, BTreeMap<PartnerCode, MemberId>)> {
        let (mut statement, mut signers) = (None, BTreeMap::new());
        for (party, jws) in &listed.signatures {
            let signed: Signed<LabelStatement> = verify_signed(jws)?;
            check_statement(&signed, listed, proposal.id, standing)?;
            if !standing.manifest.parties.contains(party) {
                return Err(invalid(format!("`{party}` signed a label of a proposal that it is not a party of")));
            }
            let signer = self.verified_signer(&signed, &BTreeSet::from([party.clone()])).await?;
            signers.insert(party.clone(), signer.card.member.clone());
            statement = Some(signed.statement);
        }
        let unsigned = || invalid(format!("label {} of `{}` has no signature", listed.number, proposal.reference));
        Ok((statement.ok_or_else(unsigned)?, signers))
    }
}

fn check_statement(
    signed: &Signed<LabelStatement>,
    listed: &SignedLabel,
    proposal: ProposalId,
    standing: &VerifiedManifest,
) -> Result<()> {
    let says = &signed.statement;
    if signed.payload_sha256 != listed.label_sha256 || says.number != listed.number || says.label != listed.label {
        return Err(invalid("the parties' signatures are not over one and the same label"));
    }
    if says.proposal != proposal || says.manifest_sha256 != standing.sha256 {
        return Err(invalid("the label is for another proposal or another version"));
    }
    if let Some(label) = &says.label {
        label.check(&standing.manifest.parties)?;
    }
    Ok(())
}
