//! Forecasts of what those who judge and decide do: declare, hand in and reopen reviews, sign decisions, send letters; and of taking a version
//! of policies back.

use super::{Effect, Forecast, Undo, listed};
use crate::{
    client::{
        Client, ClientError, Result,
        decisions::{DecisionBatch, DecisionPlan, GrantAmount, LetterAbout},
        letters::LetterBatch,
        naming::FoundReview,
        ranking::{Ranking, RankingPlan},
        reviews::ReviewBody,
    },
    domain::{
        Refusal,
        decision::Outcome,
        id::{DocumentId, MemberId, PartnerCode, ProposalId},
        member::{ConflictGround, Declared},
        policy::PolicyOwner,
        reference::{CallCode, Reference},
        text::counted,
    },
    sealing::statement::{DeclarationStatement, verify_signed},
    wire::review::{Assignment, Declaration, Review},
};

impl Client {
    /// What declaring an interest in a proposal, or none, would do.
    pub async fn forecast_declaration(
        &self,
        id: ProposalId,
        which: &str,
        ground: Option<ConflictGround>,
    ) -> Result<Forecast> {
        let (me, proposal) = (self.member_id().await?, self.api().proposal(id).await?);
        let present = declared(&self.api().declarations(id).await?, &me)?;
        let reference = &proposal.reference;
        let Some(ground) = ground else {
            if present == Some(Declared::Clear) {
                return Err(ClientError::usage(
                    format!("you are on record as having no conflict with {reference}"),
                    "nothing is to be done; if you have one by now, declare it with `--ground`",
                ));
            }
            let effect =
                Effect::that("you are on record as having no conflict; those who hold the keys can pass them to you");
            let undo = Undo::Yourself(format!("entente conflict declare {reference} --ground GROUND"));
            return Ok(Forecast::new(format!("declaring no conflict with {which}"), [effect], undo));
        };
        let mut effects = vec![Effect::that("you no longer see it, not even in a count, and lose your keys to it")];
        if proposal.mine.is_assigned {
            effects.push(Effect::that("you no longer review it"));
        }
        if proposal.mine.has_reviewed {
            effects.push(Effect::that("your review no longer counts"));
        }
        let undo = Undo::Others("only an officer from another nation can lift the conflict".to_owned());
        Ok(Forecast::new(format!("declaring a conflict ({ground}) with {which}"), effects, undo))
    }

    /// What declining one's own assignment would do.
    pub async fn forecast_decline(&self, id: ProposalId, which: &str) -> Result<Forecast> {
        let (reference, own) = self.own_assignment(id).await?;
        let Some(own) = own.filter(|own| own.declined.is_none()) else {
            return Err(ClientError::usage(
                format!("you are not assigned to {reference}"),
                "nothing is to be declined; `entente proposal list --assigned` shows what you are assigned to",
            ));
        };
        if own.has_reviewed {
            return Err(ClientError::usage(
                format!("your review of {reference} is in"),
                "nothing is to be declined; if it is not to count, ask an officer of the call",
            ));
        }
        let effects = [
            Effect::that("you no longer review it, and lose your keys to it"),
            Effect::that("the call's officers are told, so that they can assign somebody else"),
            Effect::that("it does not count against you: it is no conflict of interest"),
        ];
        let undo = Undo::Meanwhile(format!(
            "`entente assignment decline {reference} --withdraw` takes it back until somebody else is assigned"
        ));
        Ok(Forecast::new(format!("declining to review {which}"), effects, undo))
    }

    /// What taking that back would do.
    pub async fn forecast_resumed_assignment(&self, id: ProposalId, which: &str) -> Result<Forecast> {
        let resumed = |reference: &str, unknown: Option<&str>| {
            let certain =
                ["you are assigned again", "you get your keys as soon as somebody who holds them passes them on"];
            let effects = certain.into_iter().chain(unknown).map(Effect::that);
            let undo = Undo::Yourself(format!("entente assignment decline {reference}"));
            Forecast::new(format!("reviewing {which} after all"), effects, undo)
        };
        let (reference, own) = match self.own_assignment(id).await {
            // Hidden from all who are not assigned.
            Err(error) if error.is_not_found() => {
                let unless = "if you declined it and nobody else was assigned since, which is not shown to you";
                return Ok(resumed(&self.proposal_name(id), Some(unless)));
            }
            found => found?,
        };
        let Some(declined) = own.and_then(|own| own.declined) else {
            return Err(ClientError::usage(
                format!("you have not declined to review {reference}"),
                "nothing is to be taken back; `entente proposal list --assigned` shows what you are assigned to",
            ));
        };
        if declined.replaced_at.is_some() {
            return Err(ClientError::usage(
                format!("somebody else was assigned to {reference} since you declined"),
                "ask an officer of the call, who can assign you again",
            ));
        }
        Ok(resumed(&reference.to_string(), None))
    }

    async fn own_assignment(&self, id: ProposalId) -> Result<(Reference, Option<Assignment>)> {
        let (me, reference) = (self.member_id().await?, self.api().proposal(id).await?.reference);
        let own = match self.api().assignments_and_declined(id).await {
            // The exchange names assignments to officers and to those who are assigned.
            Err(ClientError::Problem { problem, .. }) if problem.status == 403 => Vec::new(),
            assignments => assignments?,
        };
        Ok((reference, own.into_iter().find(|assignment| assignment.reviewer == me)))
    }

    /// What taking a member's conflict off the record would do.
    pub async fn forecast_lifting(&self, id: ProposalId, member: &MemberId) -> Result<Forecast> {
        let reference = self.api().proposal(id).await?.reference;
        if self.member_id().await?.partner() == member.partner() {
            return Err(ClientError::usage(
                format!("`{member}` is of your own nation"),
                "an officer of another nation lifts the conflict",
            ));
        }
        if declared(&self.api().declarations(id).await?, member)? != Some(Declared::Conflict) {
            return Err(ClientError::usage(
                format!("no conflict of `{member}` with {reference} is on record"),
                "check the proposal and the name: `entente log --proposal` shows who declared one",
            ));
        }
        let effects = [
            Effect::that(format!("the conflict of {member} is off the record")),
            Effect::that(format!("{member} declares again, and sees nothing more of the proposal before that")),
        ];
        let undo = Undo::Others(format!("{member} alone can declare a conflict again"));
        Ok(Forecast::new(format!("lifting the conflict of {member} with {reference}"), effects, undo))
    }

    /// What handing a review in would do.
    pub async fn forecast_review(&self, id: ProposalId, which: &str, body: &ReviewBody) -> Result<Forecast> {
        let (version, revision) = self.review_to_be(id, body).await?;
        let effects = [
            Effect::that(format!("revision {revision} of your review is sealed to the panel, about version {version}")),
            Effect::that("your draft on this machine is gone then"),
        ];
        let undo = Undo::Others("only an officer can reopen it: `entente review reopen`".to_owned());
        Ok(Forecast::new(format!("handing in your review of {which}"), effects, undo))
    }

    /// What reopening a review would do.
    pub async fn forecast_reopened_review(&self, found: FoundReview, named: &str) -> Result<Forecast> {
        let review = self.review_to_reopen(found).await?;
        let reviewer = &review.reviewer;
        if review.reopened_at.is_some() {
            return Err(ClientError::usage(
                format!("{named} is reopened already"),
                format!("{reviewer} hands in a new revision; `entente review reinstate` takes the reopening back"),
            ));
        }
        let effects = [
            Effect::that(format!(
                "revision {} no longer counts, and {reviewer} can hand in a new one",
                review.revision
            )),
            Effect::that(format!("until then {reviewer} has no key to the reviews of others")),
        ];
        let undo = Undo::Meanwhile(format!(
            "`entente review reinstate {} {reviewer} --reason WHY` takes it back until a new revision is in",
            review.reference
        ));
        Ok(Forecast::new(format!("reopening {named}"), effects, undo))
    }

    /// What taking a reopening back would do.
    pub async fn forecast_reinstated_review(&self, found: FoundReview, named: &str) -> Result<Forecast> {
        let review = self.review_to_reopen(found).await?;
        let (reviewer, reference) = (&review.reviewer, &review.reference);
        if review.reopened_at.is_none() {
            return Err(ClientError::usage(
                format!("{named} is not reopened"),
                "nothing is to be done: it counts as it was handed in",
            ));
        }
        let effects = [
            Effect::that(format!("revision {} counts again as it was handed in", review.revision)),
            Effect::that(format!(
                "{reviewer} needs a key to the reviews of others again: `entente key share {reference}`"
            )),
        ];
        let undo = Undo::Yourself(format!("entente review reopen {reference} {reviewer} --reason WHY"));
        Ok(Forecast::new(format!("reinstating {named}"), effects, undo))
    }

    async fn review_to_reopen(&self, found: FoundReview) -> Result<Review> {
        // The list comes without content; reading one review is on the log.
        let review = match found.proposal {
            Some(proposal) => self.api().reviews(proposal).await?.into_iter().find(|review| review.id == found.id),
            None => Some(self.api().review(found.id).await?),
        };
        let review = review.ok_or_else(|| {
            let what = format!("the review {} is not shown to you", found.id);
            ClientError::nothing_named(what, "`entente review list` shows whose reviews are in")
        })?;
        match self.api().decision(review.proposal).await? {
            Some(decision) if decision.body.final_at.is_some() => Err(Refusal::DecisionFinal.into()),
            _ => Ok(review),
        }
    }

    /// What sending a ranking would do, as planned.
    #[must_use]
    pub fn forecast_ranking(&self, plan: &RankingPlan, code: &CallCode) -> Forecast {
        let Ranking { lines, invalid, closed, .. } = &plan.ranking;
        let replaced = plan.lines.values().filter(|is_replaced| **is_replaced).count();
        let mut effects = vec![Effect::that(format!(
            "{} sealed: officers and deciders open those about proposals whose reviews they may read, and no others",
            counted(plan.lines.len(), "line is", "lines are")
        ))];
        let mut tell = |number: usize, one: &str, several: &str| {
            if number > 0 {
                effects.push(Effect::that(counted(number, one, several)));
            }
        };
        tell(replaced, "of them takes the place of an earlier one", "of them take the place of earlier ones");
        tell(plan.unchanged.len(), "other line was sent before and stays", "other lines were sent before and stay");
        let missing = lines.iter().filter(|line| !line.missing.is_empty()).count();
        tell(missing, "proposal has reviews that are missing", "proposals have reviews that are missing");
        let aside = lines.iter().filter(|line| !line.set_aside.is_empty()).count();
        tell(aside, "proposal has reviews that are set aside", "proposals have reviews that are set aside");
        tell(
            invalid.len(),
            "review does not verify and counts as missing",
            "reviews do not verify and count as missing",
        );
        tell(
            closed.len(),
            "proposal is left out, for its reviews do not open here",
            "proposals are left out, for their reviews do not open here",
        );
        let is_own = |id: &&ProposalId| plan.ranking.notes.contains_key(id) && !plan.kept_notes.contains(id);
        let notes = plan.lines.keys().filter(is_own).count();
        tell(notes, "note goes with its line", "notes go with their lines");
        tell(
            plan.kept_notes.len(),
            "note that was sent before stays, though this machine has none",
            "notes that were sent before stay, though this machine has none",
        );
        tell(
            plan.dropped_notes.len(),
            "note that was sent before is left out, for you removed it",
            "notes that were sent before are left out, for you removed them",
        );
        tell(
            plan.unread.len(),
            "line that was sent before cannot be read here: a note on it is lost",
            "lines that were sent before cannot be read here: notes on them are lost",
        );
        let undo = Undo::Yourself(format!("entente ranking withdraw {code}"));
        Forecast::new(format!("sending the ranking of {code}"), effects, undo)
    }

    /// What taking a ranking back would do.
    #[must_use]
    pub fn forecast_withdrawn_ranking(&self, lines: usize, code: &CallCode) -> Forecast {
        let effects = [
            Effect::that(format!("nobody can open {} any more", counted(lines, "line", "lines"))),
            Effect::that("who opened them keeps what they read"),
            Effect::that("sent again, they have your notes and no longer those of other officers"),
        ];
        let undo = Undo::Yourself(format!("entente ranking send {code}"));
        Forecast::new(format!("taking back the ranking of {code}"), effects, undo)
    }

    /// What signing a decision would do, as planned.
    #[must_use]
    pub fn forecast_decision(&self, plan: &DecisionPlan, which: &str) -> Forecast {
        let (outcome, reference) = (plan.outcome(), plan.proposal());
        let over = plan.supersedes().map(|(before, why)| format!(" in place of `{before}`, because: {why}"));
        let over = over.unwrap_or_default();
        if plan.is_last() {
            let effects = [Effect::that(
                "the decision is final then, and only another one that every funder signs takes its place",
            )];
            return Forecast::new(format!("signing last for `{outcome}` on {which}{over}"), effects, Undo::Nobody);
        }
        let others = have(&listed(plan.others_missing()), plan.others_missing().len());
        let mut effects = vec![Effect::that(format!(
            "it is final once {others} signed the same; the exchange shows no such signature yet, and nothing else proves it"
        ))];
        if let Some((before, _)) = plan.supersedes() {
            effects.push(Effect::that(format!("until then the decision in force stays `{before}`")));
        }
        let undo = Undo::Yourself(format!("entente decision unsign {reference}"));
        Forecast::new(format!("signing for `{outcome}` on {which}{over}"), effects, undo)
    }

    /// What signing many decisions would do, as planned.
    #[must_use]
    pub fn forecast_decisions(&self, batch: &DecisionBatch, code: &CallCode) -> Forecast {
        let mut effects = Vec::new();
        for outcome in Outcome::ALL {
            let of = || batch.plans().filter(|(line, _)| line.outcome == *outcome).map(|(line, _)| line);
            let amounts: Vec<_> = of().filter_map(|line| line.amount.clone()).collect();
            let sums = GrantAmount::sums(&amounts);
            match of().count() {
                0 => {}
                count if sums.is_empty() => effects.push(Effect::that(format!("`{outcome}` for {count}"))),
                count => {
                    let of_them =
                        if amounts.len() < count { format!(" for {} of them", amounts.len()) } else { String::new() };
                    effects.push(Effect::that(format!("`{outcome}` for {count}, {}{of_them}", listed(sums))));
                }
            }
        }
        let last = batch.plans().filter(|(_, plan)| plan.is_last()).count();
        if last > 0 {
            effects.push(Effect::that(format!(
                "{} final then, and only another decision that every funder signs takes its place",
                counted(last, "of them is", "of them are")
            )));
        }
        effects
            .push(Effect::that("whether another funder has signed is the exchange's word where it shows no signature"));
        if batch.signed() > 0 {
            let before =
                counted(batch.signed(), "other was signed before and stays", "others were signed before and stay");
            effects.push(Effect::that(before));
        }
        let superseding = batch.plans().filter(|(_, plan)| plan.supersedes().is_some());
        effects.extend(few(superseding, |(line, plan)| {
            let (before, why) = plan.supersedes().unwrap_or((line.outcome, ""));
            format!("{} in place of `{before}`, because: {why}", line.proposal)
        }));
        let without = batch.plans().filter_map(|(line, _)| Some((line, batch.reviews.get(&line.proposal.id)?)));
        let without = without.filter(|(_, it)| it.missing + it.set_aside > 0 || it.is_outdated);
        effects.extend(few(without, |(line, it)| {
            let missing = (it.missing > 0).then(|| counted(it.missing, "review missing", "reviews missing"));
            let aside = (it.set_aside > 0).then(|| counted(it.set_aside, "review set aside", "reviews set aside"));
            let since = it.is_outdated.then(|| "reviews changed since the ranking was sent".to_owned());
            format!("{}: {}", line.proposal, listed([missing, aside, since].into_iter().flatten()))
        }));
        effects.extend(few(batch.held(), |(line, error)| format!("{} is not signed: {error}", line.proposal)));
        let undo = Undo::Meanwhile(
            "`entente decision unsign PROPOSAL` takes a signature back until every funder has signed".to_owned(),
        );
        let count = counted(batch.plans().count(), "decision", "decisions");
        Forecast::new(format!("signing {count} under {code}"), effects, undo)
    }

    /// What taking one's partner's signature back would do.
    pub async fn forecast_unsigning(&self, id: ProposalId) -> Result<Forecast> {
        let own = self.member_id().await?.partner().clone();
        let shown = self.api().decision(id).await?.map(|decision| decision.body);
        let table = match shown {
            Some(shown) if shown.final_at.is_some() => shown.next.map(|next| *next).ok_or(Refusal::DecisionFinal)?,
            Some(shown) => shown,
            None => return Err(unsigned(&own)),
        };
        let Some(signature) = table.signatures.get(&own) else { return Err(unsigned(&own)) };
        let rest = table.signatures.keys().filter(|partner| **partner != own);
        let mut effects =
            vec![Effect::that(format!("the signature of {} for `{}` is gone", signature.member, table.outcome))];
        if rest.count() == 0 {
            effects.push(Effect::that("nothing is proposed any more"));
        }
        let undo = Undo::Yourself(format!("entente decision sign {} {}", table.reference, table.outcome));
        Ok(Forecast::new(format!("taking back the signature of {own} on {}", table.reference), effects, undo))
    }

    /// What sending a letter would do.
    pub async fn forecast_letter(
        &self,
        id: ProposalId,
        about: LetterAbout<'_>,
        which: &str,
        text: &str,
    ) -> Result<Forecast> {
        let (party, (proposal, decision)) = (about.party, self.letter_may_be_sent(id, about, text).await?);
        let is_for = |other: &PartnerCode| party.is_none_or(|party| party == other);
        let members: Vec<&MemberId> =
            proposal.parties.iter().filter(|(other, _)| is_for(other)).flat_map(|(_, members)| members).collect();
        let who = party.map_or_else(|| "every party".to_owned(), |party| format!("{party}, and no other party,"));
        let effects = [
            Effect::that(format!("{who} can open it at once; taken back later, it stays read")),
            Effect::that(format!("it goes to {}, about the decision `{}`", listed(members), decision.outcome)),
        ];
        Ok(Forecast::new(format!("sending a letter about {which}"), effects, Undo::Nobody))
    }

    /// What sending the letters of a template would do.
    #[must_use]
    pub fn forecast_letters(&self, batch: &LetterBatch, code: &CallCode) -> Forecast {
        let is_for_one = batch.letters.iter().any(|letter| letter.party.is_some());
        let whom = if is_for_one { "the party that a letter is for, and no other party," } else { "every party" };
        let mut effects =
            vec![Effect::that(format!("{whom} can open its letter at once; taken back later, it stays read"))];
        for outcome in Outcome::ALL {
            let count = batch.letters.iter().filter(|letter| letter.outcome == *outcome).count();
            if count > 0 {
                effects.push(Effect::that(if is_for_one {
                    format!("`{outcome}` to {}", counted(count, "party", "parties"))
                } else {
                    format!("`{outcome}` to the parties of {}", counted(count, "proposal", "proposals"))
                }));
            }
        }
        let (before, undecided) = (batch.sent_before.len(), batch.undecided.len());
        if before > 0 {
            let had = counted(before, "other decision has its letter", "other decisions have their letters");
            effects.push(Effect::that(format!("{had} and gets no second one")));
        }
        if undecided > 0 {
            let none =
                counted(undecided, "proposal is not decided and gets none", "proposals are not decided and get none");
            effects.push(Effect::that(none));
        }
        effects.extend(few(batch.held.iter(), |(proposal, error)| format!("{proposal} gets none: {error}")));
        let letters = counted(batch.letters.len(), "letter", "letters");
        Forecast::new(format!("sending {letters} under {code}"), effects, Undo::Nobody)
    }

    /// What taking a letter back would do.
    pub async fn forecast_withdrawn_letter(&self, id: ProposalId, letter: DocumentId) -> Result<Forecast> {
        let letters = self.api().letters(id).await?;
        let Some(found) = letters.iter().find(|shown| shown.id == letter) else {
            return Err(ClientError::nothing_named(
                format!("no letter `{letter}` about the proposal is shown to you"),
                "`entente letter list` shows them",
            ));
        };
        let effects = [
            Effect::at(format!("nobody can open it any more; it was sent by {} at", found.sent_by), found.sent_at),
            Effect::that("those who opened it keep what they read"),
        ];
        let party = found.party.as_ref().map(|party| format!(" --party {party}")).unwrap_or_default();
        let undo = Undo::Yourself(format!("entente letter send {} --file FILE{party}", found.reference));
        Ok(Forecast::new(format!("taking the letter {letter} about {} back", found.reference), effects, undo))
    }

    /// What taking a version of policies back would do.
    pub async fn forecast_withdrawn_policy(&self, owner: &PolicyOwner, number: u32) -> Result<Forecast> {
        let policy = self.policy_version(owner, number).await?;
        if let Some(by) = &policy.withdrawn_by {
            return Err(ClientError::usage(
                format!("version {number} of {owner} was taken back by `{by}`"),
                "`entente policy history` lists the versions",
            ));
        }
        let mut effects = vec![Effect::that("it takes no effect, and what is in force stays")];
        let at = policy.active_at.filter(|_| policy.approved.is_some());
        effects.extend(at.map(|at| Effect::at("it is approved, and would take effect at", at)));
        let undo = Undo::Yourself(format!("entente policy restore {owner} {number}"));
        Ok(Forecast::new(format!("taking version {number} of {owner} back"), effects, undo))
    }
}

/// What a member is on record with, by the exchange's word on which statement is the last.
fn declared(lines: &[Declaration], member: &MemberId) -> Result<Option<Declared>> {
    let last = lines.iter().filter(|line| line.member == *member).max_by_key(|line| line.number);
    let Some(last) = last else { return Ok(None) };
    Ok(Some(verify_signed::<DeclarationStatement>(&last.statement)?.statement.declared))
}

fn have(who: &str, count: usize) -> String {
    format!("{who} {}", if count == 1 { "has" } else { "have" })
}

fn unsigned(own: &PartnerCode) -> ClientError {
    ClientError::usage(
        format!("no decision that waits for others has a signature of {own}"),
        "`entente decision show` shows who has signed",
    )
}

/// So many lines of a kind are named, and of the others how many there are.
const NAMED: usize = 5;

/// An effect for each of a few, and one for how many more there are.
fn few<T>(all: impl Iterator<Item = T>, worded: impl Fn(T) -> String) -> Vec<Effect> {
    let all: Vec<String> = all.map(worded).collect();
    let more = all.len().saturating_sub(NAMED);
    let mut effects: Vec<Effect> = all.into_iter().take(NAMED).map(Effect::that).collect();
    if more > 0 {
        effects.push(Effect::that(format!("the same holds for {more} more")));
    }
    effects
}
