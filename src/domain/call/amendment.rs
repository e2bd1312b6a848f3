//! Replacing the text of a published call: what that does to proposals that were handed in, and what it may not take from anybody.

use super::{CallText, LEAST_TIME, after_grace, furthest_from, worded_list};
use crate::domain::{Refusal, id::PartnerCode, phase::Phase, worded};
use jiff::Timestamp;
use std::collections::BTreeSet;

worded! {
    /// What an amendment does to proposals already handed in.
    pub enum AmendmentEffect: "an effect, one of" {
        /// They stand, bound to the text that they were signed under.
        Keeps = "keeps",
        /// They are void until handed in again under the new text.
        Resubmit = "resubmit",
    }
}

impl CallText {
    /// What replacing this text by `next` does to proposals already handed in.
    ///
    /// Whatever changes what was asked for (criteria, slots, topics, parties, eligibility) voids them: their parties
    /// hand in again under the new text; so does whatever lets one member judge in more roles than was public. Clarifications and the schedule
    /// leave them standing.
    #[must_use]
    pub fn amendment_effect(&self, next: &Self) -> AmendmentEffect {
        let same = self.criteria == next.criteria
            && self.total_threshold == next.total_threshold
            && self.slots == next.slots
            && self.topics == next.topics
            && self.eligible == next.eligible
            && self.parties == next.parties
            && next.combined_roles.is_subset(&self.combined_roles);
        if same { AmendmentEffect::Keeps } else { AmendmentEffect::Resubmit }
    }

    /// Checks that replacing this published text by `next` takes from nobody what they were promised: time to prepare, and who
    /// decides on what they hand in. The phase is `announced` or `open`.
    pub fn check_amendment(&self, next: &Self, phase: Phase, at: Timestamp) -> Result<(), Refusal> {
        if next.code != self.code {
            let fault =
                format!("an amendment keeps the code of the call, `{}`: its proposals are known by it", self.code);
            return Err(Refusal::CallText { fault });
        }
        if next.letters != self.letters {
            let fault =
                format!("an amendment keeps whom letters are for, `{}`: proposals are prepared for it", self.letters);
            return Err(Refusal::CallText { fault });
        }
        if next.funders != self.funders {
            return Err(Refusal::FundersFixed { funders: worded_list(&self.funders) });
        }
        let shut_out: BTreeSet<PartnerCode> = self.eligible.difference(&next.eligible).cloned().collect();
        if !shut_out.is_empty() {
            return Err(Refusal::EligibleFixed { partners: worded_list(&shut_out) });
        }
        let (now, then) = (&self.schedule, &next.schedule);
        if phase != Phase::Announced && then.opens_at != now.opens_at {
            let (present, given) = (now.opens_at, then.opens_at);
            let fault = format!("the call opened at {present}; an amendment cannot move that to {given}");
            return Err(Refusal::ScheduleFixed { fault });
        }
        if then.opens_at > now.opens_at && then.deadline_at.duration_since(then.opens_at) < LEAST_TIME {
            let (given, least) = (then.opens_at, then.deadline_at - LEAST_TIME);
            let fault = format!(
                "the call is to open by {least}, 72 hours before its deadline; an amendment cannot move that to {given}"
            );
            return Err(Refusal::ScheduleFixed { fault });
        }
        if then.deadline_at < now.deadline_at {
            return Err(Refusal::ExtensionBackwards { until: then.deadline_at, present: now.deadline_at });
        }
        // By its length, since each extension ends in a grace period, too.
        if then.grace < now.grace {
            let (present, given) = (now.grace_end(now.deadline_at), after_grace(now.deadline_at, then.grace));
            let fault = format!(
                "the grace period after the deadline of {} ends at {present}; an amendment cannot move that to {given}",
                now.deadline_at
            );
            return Err(Refusal::ScheduleFixed { fault });
        }
        if then.reviews_due_at < now.reviews_due_at {
            let (present, given) = (now.reviews_due_at, then.reviews_due_at);
            let least = after_grace(then.sealed_until(&[]), LEAST_TIME).min(present);
            if given < least {
                let fault = format!(
                    "reviews are due at {present}; an amendment moves that to {least} at the earliest, 72 hours after the call is opened, \
                     and cannot move it to {given}"
                );
                return Err(Refusal::ScheduleFixed { fault });
            }
        }
        if then.deadline_at > now.deadline_at {
            now.check_extension(then.deadline_at)?;
        }
        // Nothing brings them back, and each amendment could go on from the one before.
        let furthest = furthest_from(at);
        for (until, present) in
            [(then.reviews_due_at, now.reviews_due_at), (then.extension_bound(), now.extension_bound())]
        {
            let bound = furthest.max(present);
            if until > bound {
                return Err(Refusal::ExtensionTooFar { until, bound });
            }
        }
        Ok(())
    }
}
