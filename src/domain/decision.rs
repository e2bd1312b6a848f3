//! A funding decision on one proposal: proposed and signed by deciders of the partners that the call names as funders.
//!
//! It is final once every funder has signed; until then each signature can be taken back and the decision withdrawn.

use super::{
    id::{MemberId, PartnerCode},
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
    }
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
}
