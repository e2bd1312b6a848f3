//! A funding decision on one proposal: proposed and signed by deciders of the partners that the call names as funders.
//!
//! It is final once every funder has signed; until then each signature can be taken back and the decision withdrawn. A final decision is
//! undone in one way: by another one that names it, says why, and is signed by every funder again. Until that is final the earlier one
//! is in force.

use super::{
    Refusal,
    id::{MemberId, PartnerCode, Sha256},
    worded,
};
use std::collections::{BTreeMap, BTreeSet};

worded! {
    /// What was decided. Routing metadata: the host learns it; reasons and amounts stand in the sealed letter.
    pub enum Outcome: "an outcome, one of" {
        Fund = "fund",
        /// Funded if money becomes free.
        Reserve = "reserve",
        Decline = "decline",
        /// The decision in force is taken back, and the proposal is undecided.
        Rescind = "rescind",
    }
}

/// The longest reason for which a decision is superseded, in characters.
pub const MAX_REASON: usize = 1000;

/// Whether a text is a reason that somebody gives: not blank, and not too long.
#[must_use]
pub fn is_reason(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_REASON
}

/// A decision and who has signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    pub signatures: BTreeMap<PartnerCode, MemberId>,
}

impl Decision {
    /// The funders whose signature is still missing.
    #[must_use]
    pub fn missing<'a>(&self, funders: &'a BTreeSet<PartnerCode>) -> BTreeSet<&'a PartnerCode> {
        funders.iter().filter(|f| !self.signatures.contains_key(f)).collect()
    }

    /// Whether every funder has signed.
    #[must_use]
    pub fn is_final(&self, funders: &BTreeSet<PartnerCode>) -> bool {
        self.missing(funders).is_empty()
    }
}

/// What a decision says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms<'a> {
    pub outcome: Outcome,
    pub manifest: Sha256,
    /// Digest of the final decision that it takes the place of.
    pub supersedes: Option<Sha256>,
    pub reason: Option<&'a str>,
}

impl Terms<'_> {
    /// Whether it may be proposed while `in_force`, with its digest, is the last final decision, if there is one.
    pub fn check_follows(&self, in_force: Option<(&Terms<'_>, Sha256)>) -> Result<(), Refusal> {
        let refuse = |fault: &str| Err(Refusal::Statement { fault: fault.to_owned() });
        let Some((before, digest)) = in_force else {
            return match (self.supersedes, self.outcome) {
                (None, Outcome::Rescind) => Err(Refusal::NoDecision),
                (None, _) if self.reason.is_some() => refuse("only a decision that supersedes another gives a reason"),
                (None, _) => Ok(()),
                (Some(_), _) => refuse("no final decision is in force that it could supersede"),
            };
        };
        match self.supersedes {
            None => return Err(Refusal::DecisionFinal),
            Some(named) if named != digest => return refuse("it supersedes another decision than the one in force"),
            Some(_) => {}
        }
        if (self.outcome, self.manifest) == (before.outcome, before.manifest) {
            return refuse("the decision in force says the same");
        }
        if self.outcome == Outcome::Rescind && before.outcome == Outcome::Rescind {
            return Err(Refusal::NoDecision);
        }
        match self.reason {
            Some(reason) if !is_reason(reason) => refuse("a reason has 1 to 1000 characters"),
            // After a rescission the proposal is undecided, and a decision on it needs no more reason than a first one.
            None if before.outcome != Outcome::Rescind => refuse("a decision that supersedes another gives a reason"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_is_final_with_the_last_funders_signature_and_not_before() {
        let (usa, isr): (PartnerCode, PartnerCode) = ("USA".parse().unwrap(), "ISR".parse().unwrap());
        let funders = BTreeSet::from([usa.clone(), isr.clone()]);
        let mut decision = Decision { outcome: Outcome::Fund, signatures: BTreeMap::new() };
        decision.signatures.insert(usa, "USA:dana".parse().unwrap());
        assert_eq!(decision.missing(&funders), BTreeSet::from([&isr]));
        decision.signatures.insert(isr.clone(), "ISR:noa".parse().unwrap());
        assert!(decision.is_final(&funders));
    }

    fn terms(outcome: Outcome, supersedes: Option<&[u8]>, reason: Option<&'static str>) -> Terms<'static> {
        Terms { outcome, manifest: Sha256::of(b"manifest"), supersedes: supersedes.map(Sha256::of), reason }
    }

    #[test]
    fn final_decision_is_superseded_by_name_and_with_a_reason_only() {
        use Outcome::{Decline, Fund, Rescind, Reserve};
        let (reserve, rescission) = (terms(Reserve, None, None), terms(Rescind, Some(b"first"), Some("an error")));
        let over = |before: &Terms<'_>, next: Terms<'_>| next.check_follows(Some((before, Sha256::of(b"before"))));
        for good in [Fund, Decline, Rescind] {
            assert_eq!(over(&reserve, terms(good, Some(b"before"), Some("money became free"))), Ok(()), "{good}");
        }
        assert_eq!(over(&reserve, terms(Fund, None, None)), Err(Refusal::DecisionFinal));
        for bad in [
            terms(Fund, Some(b"another"), Some("money became free")),
            terms(Fund, Some(b"before"), None),
            terms(Fund, Some(b"before"), Some(" ")),
            terms(Reserve, Some(b"before"), Some("once more")),
        ] {
            assert!(matches!(over(&reserve, bad.clone()), Err(Refusal::Statement { .. })), "{bad:?}");
        }
        assert_eq!(over(&rescission, terms(Fund, Some(b"before"), None)), Ok(()), "undecided as at first");
        assert_eq!(over(&rescission, terms(Fund, None, None)), Err(Refusal::DecisionFinal));
    }

    #[test]
    fn first_decision_supersedes_nothing() {
        assert_eq!(terms(Outcome::Fund, None, None).check_follows(None), Ok(()));
        assert_eq!(terms(Outcome::Rescind, None, None).check_follows(None), Err(Refusal::NoDecision));
        assert!(terms(Outcome::Fund, Some(b"before"), Some("why")).check_follows(None).is_err());
        assert!(terms(Outcome::Fund, None, Some("why")).check_follows(None).is_err());
    }
}
