//! Forecasts of what the parties of a proposal do: begin it, join, ask, leave, withdraw it and take that back. Each names the proposal in the
//! words that the caller gives.

use super::{Effect, Forecast, Undo, listed};
use crate::{
    client::{Client, ClientError, Result, proposals::NewProposal},
    domain::{
        Refusal,
        call::Phase,
        id::{MemberId, PartnerCode, ProposalId},
        proposal::Status,
        text::choices,
    },
    wire::proposal::Proposal,
};

impl Client {
    /// What beginning a proposal would do.
    pub async fn forecast_creation(&self, new: &NewProposal) -> Result<Forecast> {
        let call = self.call(new.call).await?;
        let (code, me) = (&call.rules.code, self.member_id().await?);
        if call.call.phase != Phase::Open {
            return Err(Refusal::WrongPhase { phase: call.call.phase, needed: "an open call" }.into());
        }
        call.rules.parties.check(&call.rules.eligible, &new.parties)?;
        if let Some(topic) = new.topic.as_ref().filter(|topic| !call.rules.topics.contains(*topic)) {
            return Err(Refusal::UnknownTopic { topic: topic.clone(), choices: choices(&call.rules.topics) }.into());
        }
        let asked: Vec<&MemberId> = new.parties.values().flatten().filter(|member| **member != me).collect();
        for member in &asked {
            self.member(member).await?;
        }
        let mut effects = vec![Effect::that(format!(
            "its parties are {}, and you are a member of yours",
            listed(new.parties.keys())
        ))];
        if !asked.is_empty() {
            effects.push(Effect::that(format!("{} asked to join, with keys to it", are(&asked))));
        }
        effects.push(Effect::at("its deadline is", call.call.my_deadline_at));
        let undo = Undo::Yourself("entente proposal withdraw PROPOSAL".to_owned());
        Ok(Forecast::new(format!("beginning a proposal under {code}"), effects, undo))
    }

    /// What withdrawing would do now: the proposal itself, or the wish of one's own party. The later of the two clocks decides whether it can
    /// be taken back: it says once too often that it cannot, rather than once too seldom. That the deadline was moved, nobody has signed: after
    /// the one of the signed text it is the exchange's word that there is time left.
    pub async fn forecast_withdrawal(&self, id: ProposalId, which: &str) -> Result<Forecast> {
        let proposal = self.api().proposal(id).await?;
        if proposal.status == Status::Withdrawn {
            return Err(Refusal::WrongStatus {
                status: proposal.status.to_string(),
                needed: "a proposal that is not withdrawn",
            }
            .into());
        }
        let phase = self.api().call(proposal.call).await?.body.phase;
        let signed_deadline_at = self.call(proposal.call).await?.rules.schedule.deadline_at;
        let deadline_at = proposal.deadline_at.0;
        let is_late =
            self.now().max(self.exchange_now()) > deadline_at || !matches!(phase, Phase::Announced | Phase::Open);
        let is_moved = !is_late && self.now().max(self.exchange_now()) > signed_deadline_at;
        let own = self.member_id().await?.partner().clone();
        let waiting = |party: &&PartnerCode| **party != own && !proposal.withdrawal.contains_key(*party);
        let others: Vec<&PartnerCode> = proposal.parties.keys().filter(waiting).collect();
        let is_wish = proposal.version.is_some() && !others.is_empty();
        let mut effects = vec![if is_wish {
            Effect::that(format!("it is on record that {own} wishes it; {} decides, too", listed(others)))
        } else {
            Effect::that("it is withdrawn for every party, and goes no further")
        }];
        if is_late {
            let once = if is_wish { "once every party wishes it, it cannot" } else { "it cannot" };
            effects.push(Effect::at(format!("{once} be reinstated, for the deadline was"), deadline_at));
        }
        if is_moved {
            effects.push(Effect::at(
                "that it can be reinstated is the exchange's word alone: by the call's signed text the deadline was",
                signed_deadline_at,
            ));
        }
        let decision = self.api().decision(id).await?.filter(|decision| decision.body.final_at.is_some());
        if let Some(decision) = decision.filter(|_| is_late) {
            effects.push(Effect::that(format!(
                "the decision `{}` does not bring it back, and another may be funded in its place",
                decision.body.outcome
            )));
        }
        let back = format!("entente proposal reinstate {}", proposal.reference);
        let undo = match (is_late, is_wish) {
            (false, _) => Undo::Yourself(back),
            (true, true) => Undo::Meanwhile(format!("`{back}` takes the wish back until every party has it")),
            (true, false) => Undo::Nobody,
        };
        Ok(Forecast::new(format!("withdrawing {which}"), effects, undo))
    }

    /// What taking a withdrawal back, or the wish for it, would do.
    pub async fn forecast_reinstatement(&self, id: ProposalId) -> Result<Forecast> {
        let proposal = self.api().proposal(id).await?;
        let (reference, own) = (&proposal.reference, self.member_id().await?.partner().clone());
        let is_withdrawn = proposal.status == Status::Withdrawn;
        if !is_withdrawn && !proposal.withdrawal.contains_key(&own) {
            let needed = "a proposal that is withdrawn, or that your party wishes to withdraw";
            return Err(Refusal::WrongStatus { status: proposal.status.to_string(), needed }.into());
        }
        let effects = if is_withdrawn {
            vec![Effect::that("it stands again, for every party"), Effect::at("its deadline is", proposal.deadline_at)]
        } else {
            vec![Effect::that(format!("{own} no longer wishes to withdraw it"))]
        };
        let undo = Undo::Yourself(format!("entente proposal withdraw {reference}"));
        Ok(Forecast::new(format!("reinstating {reference}"), effects, undo))
    }

    /// What joining the party that one is asked to join would do.
    pub async fn forecast_acceptance(&self, id: ProposalId) -> Result<Forecast> {
        self.own_invitation(id).await?;
        let proposal = self.invited_to(id).await?;
        let (reference, me) = (&proposal.reference, self.member_id().await?);
        let organisation = &self.issued_member(&me).await?.card.organisation;
        let effects = [
            Effect::that(format!(
                "you are a member of the party of {}: you read, change and sign for it",
                me.partner()
            )),
            Effect::that(format!("nobody who works at `{organisation}` judges it")),
        ];
        let undo = Undo::Meanwhile(format!(
            "`entente proposal member remove {reference} {me}` takes you out, as long as somebody else is left in the party"
        ));
        Ok(Forecast::new(format!("joining a party of {reference}"), effects, undo))
    }

    /// What declining to join would do.
    pub async fn forecast_declining(&self, id: ProposalId) -> Result<Forecast> {
        let reference = &self.invited_to(id).await?.reference;
        let effect = Effect::that("you lose your keys to it, and it no longer concerns you");
        let undo = Undo::Others("somebody of its parties can ask you again".to_owned());
        Ok(Forecast::new(format!("declining to join a party of {reference}"), [effect], undo))
    }

    async fn invited_to(&self, id: ProposalId) -> Result<Proposal> {
        let proposal = self.api().proposal(id).await?;
        if proposal.mine.is_invited {
            return Ok(proposal);
        }
        Err(ClientError::usage(
            format!("you are not asked to join a party of {}", proposal.reference),
            "leave one with `entente proposal member remove` and your own name",
        ))
    }

    /// What asking somebody to join would do.
    pub async fn forecast_invitation(&self, id: ProposalId, member: &MemberId) -> Result<Forecast> {
        let proposal = self.api().proposal(id).await?;
        let reference = &proposal.reference;
        if is_of(&proposal, member) {
            return Err(ClientError::usage(
                format!("`{member}` is asked to join {reference}, or has joined, already"),
                format!("see `entente proposal show {reference}` for who is in the parties"),
            ));
        }
        let organisation = &self.member(member).await?.card.organisation;
        let effects = [
            Effect::that(format!(
                "{member} is asked to join, with keys to what the party of {} reads",
                member.partner()
            )),
            Effect::that(format!("once they join, nobody who works at `{organisation}` judges it")),
        ];
        let undo = Undo::Yourself(format!("entente proposal member remove {reference} {member}"));
        Ok(Forecast::new(format!("asking {member} to join {reference}"), effects, undo))
    }

    /// What an officer's consent to a late joiner would do, or taking it back.
    pub async fn forecast_consent(&self, id: ProposalId, member: &MemberId, takes_back: bool) -> Result<Forecast> {
        let proposal = self.api().proposal(id).await?;
        let reference = &proposal.reference;
        let command = format!("entente proposal member consent {reference} {member}");
        if takes_back {
            let effect = Effect::that(format!("{member} cannot join until an officer consents again"));
            let act = format!("taking back the consent to {member} joining {reference}");
            return Ok(Forecast::new(act, [effect], Undo::Yourself(command)));
        }
        let organisation = &self.member(member).await?.card.organisation;
        let effects = [
            Effect::that(format!("{member} can join although the deadline has passed")),
            Effect::that(format!("once they do, nobody who works at `{organisation}` judges it")),
        ];
        let undo = Undo::Meanwhile(format!("`{command} --withdraw` takes it back until they have joined"));
        Ok(Forecast::new(format!("consenting to {member} joining {reference}"), effects, undo))
    }

    /// What taking a member out, or an invitation back, would do.
    pub async fn forecast_removal(&self, id: ProposalId, member: &MemberId) -> Result<Forecast> {
        let proposal = self.api().proposal(id).await?;
        let reference = &proposal.reference;
        if !is_of(&proposal, member) {
            return Err(ClientError::usage(
                format!("`{member}` is in no party of {reference}, and not asked to join one"),
                format!("see `entente proposal show {reference}` for who is in the parties"),
            ));
        }
        let is_own = *member == self.member_id().await?;
        let who = if is_own {
            "you lose your keys to it and have".to_owned()
        } else {
            format!("{member} loses the keys to it and has")
        };
        let effects = [
            Effect::that(format!("{who} no further access")),
            Effect::that("what was downloaded before stays readable with the keys of that time"),
        ];
        if is_own {
            let undo = Undo::Others("a colleague in the party can ask you again".to_owned());
            return Ok(Forecast::new(format!("leaving {reference}"), effects, undo));
        }
        let undo = Undo::Yourself(format!("entente proposal member invite {reference} {member}"));
        Ok(Forecast::new(format!("taking {member} out of {reference}"), effects, undo))
    }

    /// What handing over would do now: ask the colleague, or take oneself out.
    pub async fn forecast_hand_over(&self, id: ProposalId, to: &MemberId) -> Result<Forecast> {
        let me = self.check_hands_over(to).await?;
        let proposal = self.api().proposal(id).await?;
        let reference = &proposal.reference;
        if proposal.parties.values().any(|members| members.contains(to)) {
            let leaving = self.forecast_removal(id, &me).await?;
            return Ok(Forecast { act: format!("handing {reference} over to {to}"), ..leaving });
        }
        if proposal.invited.contains(to) {
            let effect = Effect::that(format!("{to} is asked to join already; nothing changes until they have"));
            let undo = Undo::Yourself(format!("entente proposal member remove {reference} {to}"));
            return Ok(Forecast::new(format!("handing {reference} over to {to}"), [effect], undo));
        }
        self.forecast_invitation(id, to).await
    }
}

/// Whether a member is in a party of the proposal, or asked to join one.
fn is_of(proposal: &Proposal, member: &MemberId) -> bool {
    proposal.invited.contains(member) || proposal.parties.values().any(|members| members.contains(member))
}

/// Members as the subject of a sentence: `ISR:avi is`, `ISR:avi and ISR:noa are`.
fn are(members: &[&MemberId]) -> String {
    let verb = if members.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", listed(members))
}
