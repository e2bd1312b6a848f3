//! Decisions and letters: signed for exactly the version that stands, shown only when every signature verified.

mod many;

pub use many::{
    DecisionBatch, DecisionLine, DecisionSheet, GrantAmount, LineState, ReviewsMissing, SignedBatch, SignedOutcomes,
};

use super::{
    Client, ClientError, Result, blocking,
    transport::Tagged,
    verified::{VerifiedCall, VerifiedVault, VersionChoice},
    verify::{check_reference, digest, invalid},
};
use crate::{
    domain::{
        decision::{MAX_REASON, Outcome, is_reason},
        id::{DocumentId, PartnerCode, ProposalId, Sha256},
        member::CallRole,
        text::choices,
        vault::VaultKind,
    },
    sealing::{
        card::CardStatus,
        seal::{open_bytes, seal_bytes},
        statement::{DecisionStatement, LetterStatement},
    },
    wire::{
        decision::{Decision, Letter, SendLetter, SignDecision},
        proposal::Proposal,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{collections::BTreeSet, fmt, sync::Arc};
use zeroize::Zeroizing;

/// The longest letter, in bytes of plaintext.
const MAX_LETTER: usize = 500_000;

/// The tag of a proposal without a decision, as the API documents it.
const NOTHING_ON_THE_TABLE: &str = "\"none\"";

/// A signature on a decision, about to be given.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionPlan {
    statement: DecisionStatement,
    /// The outcome in force that it takes the place of.
    supersedes: Option<Outcome>,
    funders: BTreeSet<PartnerCode>,
    etag: Option<String>,
    /// The other funders whose signature is missing.
    others: BTreeSet<PartnerCode>,
}

impl DecisionPlan {
    /// Whether every other funder has signed, so that this signature makes the decision final: true where it is, and false also where the
    /// exchange keeps a signature from this machine.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.others.is_empty()
    }

    /// The other funders whose signature is missing.
    #[must_use]
    pub fn others_missing(&self) -> &BTreeSet<PartnerCode> {
        &self.others
    }

    /// What is signed for.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.statement.outcome
    }

    /// What is decided about.
    #[must_use]
    pub fn proposal(&self) -> ProposalId {
        self.statement.proposal
    }

    /// The outcome in force that the decision takes the place of, if there is one, and why.
    #[must_use]
    pub fn supersedes(&self) -> Option<(Outcome, &str)> {
        self.supersedes.map(|outcome| (outcome, self.statement.reason.as_deref().unwrap_or_default()))
    }
}

/// A letter that verified and opened.
#[derive(Clone)]
pub struct OpenedLetter {
    pub letter: Letter,
    /// Whether the decision that it is about, by its signature, is no longer in force.
    pub is_superseded: bool,
    /// Whether the sender is an officer of the call by the signed roll. False where that is not shown to the reader, as to parties.
    pub is_by_officer: bool,
    pub text: Zeroizing<String>,
}

impl fmt::Debug for OpenedLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedLetter").field("letter", &self.letter.id).finish_non_exhaustive()
    }
}

impl Client {
    /// Signs a decision on the version that stands, for one's own partner: proposes it, or joins the proposed one.
    pub async fn sign_decision(&self, id: ProposalId, outcome: Outcome) -> Result<Decision> {
        self.decide(&self.plan_decision(id, outcome).await?).await
    }

    /// Signs a decision in place of the final one, for this reason: proposes it, or joins the proposed one.
    pub async fn supersede_decision(&self, id: ProposalId, outcome: Outcome, reason: &str) -> Result<Decision> {
        self.decide(&self.plan_superseding(id, outcome, Some(reason)).await?).await
    }

    /// What a signature on this outcome would say now, and whether it would be the last one.
    pub async fn plan_decision(&self, id: ProposalId, outcome: Outcome) -> Result<DecisionPlan> {
        self.plan_superseding(id, outcome, None).await
    }

    /// The same with a reason, which it takes over a final decision unless one with a reason is proposed already.
    pub async fn plan_superseding(
        &self,
        id: ProposalId,
        outcome: Outcome,
        reason: Option<&str>,
    ) -> Result<DecisionPlan> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let present = self.api().decision(id).await?;
        self.plan_on(&proposal, &call, present, outcome, reason).await
    }

    /// The same of a proposal that is at hand, with the decision that is shown.
    async fn plan_on(
        &self,
        proposal: &Proposal,
        call: &Arc<VerifiedCall>,
        present: Option<Tagged<Decision>>,
        outcome: Outcome,
        reason: Option<&str>,
    ) -> Result<DecisionPlan> {
        let id = proposal.id;
        let partner = self.member_id().await?.partner().clone();
        let funders = call.rules.funders.clone();
        if !funders.contains(&partner) {
            return Err(ClientError::usage(
                format!("`{partner}` does not fund under this call"),
                "only deciders of the funding partners sign",
            ));
        }
        let vaults = self.api().vaults(id).await?;
        let manifest = self.verified_manifest(proposal, call, &vaults, VersionChoice::Standing).await?;
        let mut missing = funders.clone();
        if let Some(present) = &present {
            self.verify_decision(&present.body, &funders).await?;
        }
        let shown = present.as_ref().map(|present| &present.body);
        let in_force = shown.filter(|shown| shown.final_at.is_some());
        let table = if in_force.is_some() { in_force.and_then(|it| it.next.as_deref()) } else { shown };
        let reason = reason.map(str::trim).or(table.and_then(|table| table.reason.as_deref())).map(str::to_owned);
        if let Some(in_force) = in_force.filter(|it| it.outcome != Outcome::Rescind && reason.is_none()) {
            return Err(ClientError::usage(
                format!("the decision is final: `{}`", in_force.outcome),
                "every funder together can put another in its place, or rescind it, by signing it with a reason (`--reason`)",
            ));
        }
        check_reason(reason.as_deref(), in_force)?;
        if let Some(table) = table {
            if table.outcome != outcome || table.reason != reason {
                let because = table.reason.as_deref().map(|reason| format!(", because: {reason}")).unwrap_or_default();
                return Err(ClientError::usage(
                    format!("the proposed decision is `{}`{because}", table.outcome),
                    "sign that one, or agree with the others that it is taken back before another is proposed",
                ));
            }
            self.check_cosigners(table, proposal, call, &partner).await?;
            let signed = |funder: &PartnerCode| table.signatures.get(funder);
            // One's own that was set aside and counts again makes it final, too.
            missing.retain(|funder| *funder == partner || signed(funder).is_none_or(|it| it.set_aside.is_some()));
        }
        missing.remove(&partner);
        let supersedes = in_force.map(digest);
        let superseded = in_force.map(|it| it.outcome);
        let etag = match present {
            Some(present) => present.etag,
            None => Some(NOTHING_ON_THE_TABLE.to_owned()),
        };
        let manifest_sha256 = manifest.sha256;
        let statement = DecisionStatement { proposal: id, manifest_sha256, outcome, partner, supersedes, reason };
        Ok(DecisionPlan { statement, supersedes: superseded, funders, etag, others: missing })
    }

    /// Whether those who signed before, as far as the exchange counts them, may still decide: by the signed roll and their key cards.
    /// A conflict of theirs is shown to officers alone.
    async fn check_cosigners(
        &self,
        decision: &Decision,
        proposal: &Proposal,
        call: &VerifiedCall,
        own: &PartnerCode,
    ) -> Result<()> {
        if decision.final_at.is_some() {
            return Ok(());
        }
        let deciders = self.verified_roles(call).await?.members_with(CallRole::Decider);
        let counted = decision.signatures.iter().filter(|(partner, it)| *partner != own && it.set_aside.is_none());
        for (_, signature) in counted {
            let card = &self.recent_member(&signature.member).await?.card;
            self.check_not_of_party(card, proposal, call).await?;
            if card.status != CardStatus::Active || !deciders.contains(&signature.member) {
                return Err(ClientError::unverified(
                    format!(
                        "`{}` signed the decision and is no longer a decider, but the exchange counts the signature",
                        card.member
                    ),
                    "do not sign; tell the call's officers and the host's operator",
                ));
            }
        }
        Ok(())
    }

    /// Signs what was planned, if the table is still as it was then: nobody signs last without having been warned.
    pub async fn decide(&self, plan: &DecisionPlan) -> Result<Decision> {
        let decision = self.signed(&plan.statement).await?;
        let body = SignDecision { decision };
        let signed = self.api().sign_decision(plan.statement.proposal, &body, plan.etag.as_deref()).await?.body;
        self.verify_decision(&signed, &plan.funders).await?;
        Ok(signed)
    }

    /// Takes one's partner's signature back, until the last funder has signed.
    pub async fn unsign_decision(&self, id: ProposalId) -> Result<()> {
        let etag = self.api().decision(id).await?.and_then(|present| present.etag);
        self.api().unsign_decision(id, etag.as_deref()).await
    }

    /// The proposed or final decision, if there is one for the caller, with every signature verified.
    pub async fn decision(&self, id: ProposalId) -> Result<Option<Decision>> {
        let Some(decision) = self.api().decision(id).await? else { return Ok(None) };
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        self.check_decision(&decision.body, &proposal, &call).await?;
        Ok(Some(decision.body))
    }

    /// Seals a letter to all parties of a proposal whose decision is final, and sends it.
    pub async fn send_letter(&self, id: ProposalId, text: &str) -> Result<Letter> {
        self.send_letter_about(id, LetterAbout::default(), text).await
    }

    /// The same to one party alone, under a call whose letters are.
    pub async fn send_letter_to(&self, id: ProposalId, party: &PartnerCode, text: &str) -> Result<Letter> {
        self.send_letter_about(id, LetterAbout { party: Some(party), outcome: None }, text).await
    }

    /// The same, to whom and about what it says.
    pub async fn send_letter_about(&self, id: ProposalId, about: LetterAbout<'_>, text: &str) -> Result<Letter> {
        self.send_letter_as_planned(id, about, text, None).await
    }

    /// The same, if the decision is still the one with this digest.
    pub(super) async fn send_letter_as_planned(
        &self,
        id: ProposalId,
        about: LetterAbout<'_>,
        text: &str,
        planned: Option<Sha256>,
    ) -> Result<Letter> {
        check_length(text)?;
        let party = about.party;
        let (proposal, call, decision) = self.decided(id).await?;
        if planned.is_some_and(|planned| planned != digest(&decision)) {
            return Err(ClientError::usage(
                "the decision is another one than at the look",
                "run the command again, and look at the letter that it makes now",
            ));
        }
        about.check_outcome(&decision)?;
        check_audience(&proposal, &call, party)?;
        let vault = self.letters_vault(&proposal, &call, party).await?;
        let (recipient, text) = (vault.statement.recipient, Zeroizing::new(text.as_bytes().to_vec()));
        let sealed = blocking(move || Ok(seal_bytes(&[recipient], &text)?)).await?;
        let statement = LetterStatement {
            proposal: id,
            manifest_sha256: decision.manifest_sha256,
            sha256: Sha256::of(&sealed),
            decision_sha256: Some(digest(&decision)),
            reference: Some(proposal.reference),
            party: party.cloned(),
        };
        let statement = self.signed(&statement).await?;
        let letter = SendLetter { statement, ciphertext: BASE64_STANDARD.encode(sealed) };
        self.api().send_letter(id, &letter).await
    }

    /// A proposal whose decision is final, for a letter about it.
    async fn decided(&self, id: ProposalId) -> Result<(Proposal, Arc<VerifiedCall>, Decision)> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        check_reference(&proposal, &call)?;
        let decision = self.api().decision(id).await?.map(|shown| shown.body);
        let decision = decision.filter(|decision| decision.final_at.is_some()).ok_or_else(|| {
            ClientError::usage("the decision is not final yet", "letters go out once every funder has signed")
        })?;
        self.check_decision(&decision, &proposal, &call).await?;
        Ok((proposal, call, decision))
    }

    /// The proposal and the decision that a letter would be about, if it may be sent.
    pub(super) async fn letter_may_be_sent(
        &self,
        id: ProposalId,
        about: LetterAbout<'_>,
        text: &str,
    ) -> Result<(Proposal, Decision)> {
        check_length(text)?;
        let (proposal, call, decision) = self.decided(id).await?;
        about.check_outcome(&decision)?;
        check_audience(&proposal, &call, about.party)?;
        self.letters_vault(&proposal, &call, about.party).await?;
        Ok((proposal, decision))
    }

    /// A letter, verified and opened. It is fetched, which goes on record as the member's, once the vault that it is sealed to has opened.
    pub async fn read_letter(&self, id: ProposalId, letter: DocumentId) -> Result<OpenedLetter> {
        let Some(listed) = self.api().letters(id).await?.into_iter().find(|listed| listed.id == letter) else {
            let what = format!("no letter `{letter}` about this proposal is shown to you");
            return Err(ClientError::usage(what, "`entente letter list` shows those that are"));
        };
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        check_reference(&proposal, &call)?;
        let vault = self.letters_vault(&proposal, &call, listed.party.as_ref()).await?;
        let secret = self.open_vault(&vault, &call).await?;
        let letter = self.api().letter(id, letter).await?;
        if letter.proposal != id || letter.party != listed.party {
            return Err(invalid("the exchange answered with a letter about another proposal, or for another party"));
        }
        let sealed = letter.ciphertext.as_deref().and_then(|text| BASE64_STANDARD.decode(text).ok());
        let sealed = sealed.ok_or_else(|| invalid("the letter came without its content"))?;
        let statement = self.verify_letter(&letter, &sealed).await?;
        let is_signed = statement.reference.as_ref().is_none_or(|signed| *signed == letter.reference);
        if letter.reference != proposal.reference || !is_signed {
            return Err(invalid("the letter's statement, the letter and the proposal do not have the same reference"));
        }
        if !call.rules.letters.admits(statement.party.as_ref()) {
            return Err(invalid("the letter is not for whom the call's text says that letters are"));
        }
        let is_by_officer = self.is_by_officer(&letter, &call).await?;
        let decision = self.decision(id).await?;
        let is_superseded = decision.as_ref().is_some_and(|decision| !is_about(&statement, decision));
        if let Some(decision) = decision {
            let about = decision.before.iter().find(|before| is_about(&statement, before)).unwrap_or(&decision);
            if !is_about(&statement, about) {
                return Err(invalid("the letter is about a decision that is not on record"));
            }
            if about.manifest_sha256 != statement.manifest_sha256 {
                return Err(invalid("the letter is about another version than the one that was decided on"));
            }
        }
        let text = blocking(move || Ok(open_bytes(&[secret.identity()], &sealed, MAX_LETTER)?)).await?;
        let text = str::from_utf8(&text).map_err(|_| ClientError::local("the letter is not text", "ask its sender"))?;
        Ok(OpenedLetter { text: Zeroizing::new(text.to_owned()), letter, is_superseded, is_by_officer })
    }

    /// Whether the sender of a letter is an officer of the call by the signed roll; false where the roll is not shown to the reader.
    ///
    /// # Errors
    /// When the roll says that they are not an officer, or when they are of no partner that could have one.
    async fn is_by_officer(&self, letter: &Letter, call: &VerifiedCall) -> Result<bool> {
        let sender = &letter.sent_by;
        let refused = |fault: &str| {
            let what = format!("the letter was sent by `{sender}`, who {fault}");
            Err(ClientError::unverified(what, "do not rely on it; tell the call's officers and the host's operator"))
        };
        match self.verified_roles(call).await {
            Ok(roles) if roles.was_officer(sender) => Ok(true),
            Ok(_) => refused("is not an officer of the call by the signed roles"),
            // Roles are shown to those who judge. A party sees of which nation the sender is.
            Err(error) if matches!(error.slug(), Some("denied" | "not-found")) => {
                let partners = self.unsigned_roles(call).await?.partners;
                if partners.contains(sender.partner()) {
                    Ok(false)
                } else {
                    refused("does not belong to a partner of the call")
                }
            }
            Err(error) => Err(error),
        }
    }

    /// What letters to all parties, or to one alone, are sealed to.
    async fn letters_vault(
        &self,
        proposal: &Proposal,
        call: &Arc<VerifiedCall>,
        party: Option<&PartnerCode>,
    ) -> Result<VerifiedVault> {
        let vaults = self.api().vaults(proposal.id).await?;
        let kind = if party.is_some() { VaultKind::Staff } else { VaultKind::Parties };
        let vault = self.find_vault(&vaults, kind, party, proposal, call).await?;
        vault.ok_or_else(|| {
            ClientError::usage("the vault for letters is not shown to you", "letters are for parties and officers")
        })
    }

    /// Whether a decision's signatures are right, and about the version that stands.
    pub(super) async fn check_decision(
        &self,
        decision: &Decision,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<()> {
        self.verify_decision(decision, &call.rules.funders).await?;
        if decision.proposal != proposal.id || Some(decision.manifest_sha256) != proposal.manifest_sha256 {
            return Err(invalid("the decision is about another proposal, or another version than the one that stands"));
        }
        Ok(())
    }
}

/// Refuses a reason that no signature could give, before somebody agrees to it.
fn check_reason(reason: Option<&str>, in_force: Option<&Decision>) -> Result<()> {
    match reason {
        Some(_) if in_force.is_none() => Err(ClientError::usage(
            "a reason is given where a decision supersedes a final one, and here none is final",
            "leave the reason out: what the parties are to know goes into their letter, which is sealed",
        )),
        Some(reason) if !is_reason(reason) => {
            Err(ClientError::usage(format!("a reason has 1 to {MAX_REASON} characters"), "write one that long"))
        }
        _ => Ok(()),
    }
}

/// What somebody says of a letter that they send.
#[derive(Debug, Clone, Copy, Default)]
pub struct LetterAbout<'l> {
    /// The party that it is for, under a call whose letters are for one party alone.
    pub party: Option<&'l PartnerCode>,
    /// The outcome that its text is about, if they say it.
    pub outcome: Option<Outcome>,
}

impl LetterAbout<'_> {
    fn check_outcome(&self, decision: &Decision) -> Result<()> {
        match self.outcome {
            Some(outcome) if outcome != decision.outcome => Err(ClientError::usage(
                format!("the letter is about `{outcome}`, and the decision is `{}`", decision.outcome),
                "send the text that fits the decision; `entente decision show` shows who signed it",
            )),
            _ => Ok(()),
        }
    }
}

/// Refuses a letter that is not for whom the call's text says that letters are.
fn check_audience(proposal: &Proposal, call: &VerifiedCall, party: Option<&PartnerCode>) -> Result<()> {
    let (reference, parties) = (&proposal.reference, choices(proposal.parties.keys()));
    match party {
        None if call.rules.letters.is_all_parties() => Ok(()),
        None => Err(ClientError::usage(
            format!("under {} each letter is for one party alone", call.rules.code),
            format!("name it with `--party`, one of {parties}"),
        )),
        Some(_) if call.rules.letters.is_all_parties() => Err(ClientError::usage(
            format!("under {} a letter is for all parties", call.rules.code),
            "leave out `--party`: the call's text says whom letters are for",
        )),
        Some(party) if !proposal.parties.contains_key(party) => Err(ClientError::usage(
            format!("`{party}` is not a party of {reference}"),
            format!("its parties are {parties}"),
        )),
        Some(_) => Ok(()),
    }
}

fn check_length(text: &str) -> Result<()> {
    if text.trim().is_empty() || text.len() > MAX_LETTER {
        return Err(ClientError::usage("a letter has 1 to 500,000 bytes", "shorten it"));
    }
    Ok(())
}

/// Whether a letter is about the decision. One that names none is about a first one.
pub(super) fn is_about(letter: &LetterStatement, decision: &Decision) -> bool {
    letter.decision_sha256.map_or(decision.supersedes.is_none(), |named| named == digest(decision))
}
