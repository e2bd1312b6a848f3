//! Forecasts of what officers do with programs and calls as a whole.

use super::{Effect, Forecast, Undo, listed};
use crate::{
    client::{
        Client, ClientError, Result,
        calls::PublicationPlan,
        log::{LogFilter, LogReader},
    },
    domain::{
        Refusal,
        call::{Extension, ExtensionScope, Phase, taken_back},
        entry::EntryKind,
        id::{CallId, PartnerCode, ProposalId},
        member::CallRole,
        text::counted,
    },
    wire::{
        call::{Call, CallExtension, CallText},
        directory::CreateProgram,
        proposal::Filter,
    },
};
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};

impl Client {
    /// What creating a program would do.
    pub async fn forecast_program(&self, new: &CreateProgram) -> Result<Forecast> {
        let known: BTreeSet<PartnerCode> = self.api().partners().await?.into_iter().map(|it| it.code).collect();
        let unknown: Vec<&PartnerCode> = new.partners.difference(&known).collect();
        if !unknown.is_empty() {
            return Err(ClientError::usage(
                format!("not a partner of this exchange: {}", listed(unknown)),
                format!("its partners are {}", listed(&known)),
            ));
        }
        let effects = [
            Effect::that(format!("the members of {} see it", listed(&new.partners))),
            Effect::that(format!("officers of {} sign the calls under it", new.lead)),
        ];
        Ok(Forecast::new(format!("creating the program `{}`", new.name), effects, Undo::Nobody))
    }

    /// What publishing a draft would do, as planned.
    #[must_use]
    pub fn forecast_publication(&self, plan: &PublicationPlan) -> Forecast {
        let text = &plan.call().text;
        let mut effects = vec![
            Effect::that(format!("the members of {} see it, with the text as it is now", listed(plan.partners()))),
            Effect::at("it opens at", text.schedule.opens_at),
            Effect::at("the deadline of everyone is", text.schedule.deadline_at),
            Effect::that(format!("its opening key is wrapped to {}", listed(plan.members_with(CallRole::Officer)))),
        ];
        for role in [CallRole::Reviewer, CallRole::Decider, CallRole::Observer] {
            let members = plan.members_with(role);
            if !members.is_empty() {
                effects.push(Effect::that(format!("the roll that you sign names as {role}: {}", listed(members))));
            }
        }
        effects.push(Effect::that("amending it, or cancelling it, is all that can be done about it later"));
        Forecast::new(format!("publishing {}", text.code), effects, Undo::Nobody)
    }

    /// What deleting a draft would do.
    pub async fn forecast_deletion(&self, id: CallId) -> Result<Forecast> {
        let call = self.api().call(id).await?.body;
        if call.version > 0 {
            return Err(ClientError::usage(
                format!("{} was published", call.text.code),
                "cancel it instead: `entente call cancel`",
            ));
        }
        let effect = Effect::that("its text and the roles given in it are gone");
        Ok(Forecast::new(format!("deleting {}", call.text.code), [effect], Undo::Nobody))
    }

    /// What cancelling a call would do.
    pub async fn forecast_cancellation(&self, id: CallId) -> Result<Forecast> {
        let call = self.api().call(id).await?.body;
        if call.phase == Phase::Cancelled {
            return Err(wrong_phase(&call, "a call that is not cancelled"));
        }
        let code = &call.text.code;
        let mut effects = vec![Effect::that(
            "it ends for everybody: its proposals go no further until an officer brings it back with `entente call reopen`",
        )];
        let shown = self.api().count_proposals(&Filter { call: Some(id), ..Filter::default() }).await?.proposals;
        if shown > 0 {
            let proposals = counted(shown, "proposal that you may see is", "proposals that you may see are");
            effects.push(Effect::that(format!("{proposals} held up by that")));
        }
        let undo = Undo::Yourself(format!("entente call reopen {code} --reason WHY"));
        Ok(Forecast::new(format!("cancelling {code}"), effects, undo))
    }

    /// What closing a call would do. Whether all under it is decided and answered the exchange alone knows.
    pub async fn forecast_closing(&self, id: CallId) -> Result<Forecast> {
        let call = self.api().call(id).await?.body;
        if call.phase != Phase::Review {
            return Err(wrong_phase(&call, "a call under review"));
        }
        let code = &call.text.code;
        let effects = [
            "it is read from then on, and nothing is judged under it: no review, decision, letter or role is added",
            "everybody who reads it now goes on reading it, and parties open their letters",
            "it leaves the inbox of everybody, but for letters that were not read and keys to pass on",
        ];
        let undo = Undo::Yourself(format!("entente call reopen {code} --reason WHY"));
        Ok(Forecast::new(format!("closing {code}"), effects.map(Effect::that), undo))
    }

    /// What bringing a cancelled or closed call back would do, by the rule of the exchange and as far as its log and extensions are shown.
    pub async fn forecast_reopening(&self, id: CallId) -> Result<Forecast> {
        let call = self.api().call(id).await?.body;
        if !matches!(call.phase, Phase::Cancelled | Phase::Closed) {
            return Err(wrong_phase(&call, "a cancelled or closed call"));
        }
        let code = &call.text.code;
        if call.phase == Phase::Closed {
            let effect =
                Effect::that("its officers, reviewers and deciders can go on with it for 72 hours; no date moves");
            let undo = Undo::Yourself(format!("entente call close {code}"));
            return Ok(Forecast::new(format!("bringing {code} back"), [effect], undo));
        }
        let mut effects = vec![Effect::that("it goes on for everybody")];
        if call.version > 0 {
            effects.extend(self.time_given_back(&call).await?);
        }
        let undo = Undo::Yourself(format!("entente call cancel {code} --reason WHY"));
        Ok(Forecast::new(format!("bringing {code} back"), effects, undo))
    }

    /// The instants that move so that nobody is late for the time in which the call was cancelled.
    async fn time_given_back(&self, call: &Call) -> Result<Vec<Effect>> {
        let filter = LogFilter {
            kinds: BTreeSet::from([EntryKind::CallCancelled]),
            calls: BTreeSet::from([call.id]),
            ..LogFilter::default()
        };
        let mut cancelled = LogReader::new(filter, None).rest(self.api(), 1, Duration::ZERO).await?.entries;
        let Some(cancelled) = cancelled.pop_back() else {
            return Ok(vec![Effect::that(
                "a deadline that had not passed when it was cancelled leaves 72 hours again",
            )]);
        };
        let schedule = call.text.to_domain()?.schedule;
        let (on_record, _) = in_force(&self.api().extensions(call.id).await?);
        let (at, now) = (cancelled.at.0, self.exchange_now());
        let deadline = schedule.deadline_after_cancellation(&on_record, at, now);
        let due = call.reviews_due_at.0;
        let reviews = schedule.review_date_after_cancellation(&on_record, due, deadline, at, now);
        Ok([("the deadline of everyone moves to", deadline), ("the date by which reviews are due moves to", reviews)]
            .into_iter()
            .map(|(what, until)| match until {
                Some(until) => Effect::at(what, until),
                None => Effect::that(what.replace("moves to", "stays")),
            })
            .collect())
    }

    /// What taking an extension back would do.
    pub async fn forecast_withdrawn_extension(&self, id: CallId, number: u32) -> Result<Forecast> {
        let call = self.api().call(id).await?.body;
        let shown = self.api().extensions(id).await?;
        let code = &call.text.code;
        let Some(extension) = shown.iter().find(|extension| extension.number == number) else {
            return Err(ClientError::nothing_named(
                format!("no extension {number} of {code} in force is shown to you"),
                "`entente call show` lists them with their numbers",
            ));
        };
        let moved = match &extension.proposal {
            Some(id) => MovedInstant::Proposal(*id, self.api().proposal(*id).await?.parties.into_keys().collect()),
            None if extension.reviews => MovedInstant::Reviews,
            None => extension.partner.clone().map_or(MovedInstant::Everyone, MovedInstant::Partner),
        };
        let without: Vec<CallExtension> = shown.iter().filter(|other| other.number != number).cloned().collect();
        let (present, rest) = (moved.instant(&call.text, &shown)?, moved.instant(&call.text, &without)?);
        let until = taken_back(present, rest, self.exchange_now())?.unwrap_or(rest);
        let what = moved.named(extension);
        let effects = if until == present {
            vec![Effect::at(format!("{what} stays, by another extension or an amendment:"), present)]
        } else {
            vec![Effect::at(format!("{what} is now"), present), Effect::at("it moves back to", until)]
        };
        let again = if moved == MovedInstant::Reviews { " --reviews" } else { "" };
        let undo = Undo::Yourself(format!("entente call extend {code} --until INSTANT --reason WHY{again}"));
        Ok(Forecast::new(format!("taking extension {number} of {code} back"), effects, undo))
    }
}

/// What an extension moved, with what it takes to find the instant that holds.
#[derive(Debug, PartialEq, Eq)]
enum MovedInstant {
    Everyone,
    Partner(PartnerCode),
    Proposal(ProposalId, BTreeSet<PartnerCode>),
    Reviews,
}

impl MovedInstant {
    /// The instant that holds by these extensions.
    fn instant(&self, text: &CallText, extensions: &[CallExtension]) -> Result<Timestamp> {
        let schedule = text.to_domain()?.schedule;
        let (deadlines, reviews) = in_force(extensions);
        Ok(match self {
            Self::Everyone => schedule.deadline_for(&deadlines, None),
            Self::Partner(partner) => schedule.partner_deadline(&deadlines, partner),
            Self::Proposal(id, parties) => schedule.deadline_for(&deadlines, Some((*id, parties))),
            Self::Reviews => reviews.map_or(schedule.reviews_due_at, |until| until.max(schedule.reviews_due_at)),
        })
    }

    fn named(&self, extension: &CallExtension) -> String {
        match self {
            Self::Everyone => "the deadline of everyone".to_owned(),
            Self::Partner(partner) => format!("the deadline of {partner}"),
            Self::Proposal(id, _) => {
                let name = extension.reference.as_ref().map_or_else(|| id.to_string(), ToString::to_string);
                format!("the deadline of {name}")
            }
            Self::Reviews => "the date by which reviews are due".to_owned(),
        }
    }
}

/// The deadlines and the date for reviews that extensions in force come to.
fn in_force(extensions: &[CallExtension]) -> (Vec<Extension>, Option<Timestamp>) {
    let deadlines = extensions.iter().filter(|extension| !extension.reviews).map(|extension| {
        let scope = match (&extension.proposal, &extension.partner) {
            (Some(proposal), _) => ExtensionScope::Proposal(*proposal),
            (None, Some(partner)) => ExtensionScope::Partner(partner.clone()),
            (None, None) => ExtensionScope::Everyone,
        };
        Extension { scope, until: extension.until.0 }
    });
    let reviews = extensions.iter().filter(|extension| extension.reviews).map(|extension| extension.until.0).max();
    (deadlines.collect(), reviews)
}

fn wrong_phase(call: &Call, needed: &'static str) -> ClientError {
    Refusal::WrongPhase { phase: call.phase, needed }.into()
}
