//! A releasability label: the nations that a proposal is releasable to, and the caveats that policies may ask for.
//!
//! Without a label there is no restriction by label. With one, a member whose nation is not in it has nothing of the proposal, whatever
//! else permits it. The owners are always in it, and are written out like all others, so that what is signed reads as it is meant.

use super::{
    Refusal,
    id::{PartnerCode, Slug},
};
use std::{collections::BTreeSet, fmt};

/// The most nations of one label.
pub const MAX_RELEASABLE: usize = 64;
/// The most caveats of one label.
pub const MAX_CAVEATS: usize = 16;

/// What the owners say about a proposal's release.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// The nations that may have it, the owners among them.
    pub releasable_to: BTreeSet<PartnerCode>,
    /// Short names that mean what the nations agreed they mean, such as `no-contractors`.
    pub caveats: BTreeSet<Slug>,
}

impl Label {
    /// A label of these owners that releases to others as well.
    pub fn of<'a>(
        owners: impl IntoIterator<Item = &'a PartnerCode>,
        others: impl IntoIterator<Item = PartnerCode>,
        caveats: impl IntoIterator<Item = Slug>,
    ) -> Self {
        let releasable_to = owners.into_iter().cloned().chain(others).collect();
        Self { releasable_to, caveats: caveats.into_iter().collect() }
    }

    /// Whether members of a nation may have the proposal as far as the label goes.
    #[must_use]
    pub fn admits(&self, partner: &PartnerCode) -> bool {
        self.releasable_to.contains(partner)
    }

    /// The rules within a label of these owners.
    pub fn check(&self, owners: &BTreeSet<PartnerCode>) -> Result<(), Refusal> {
        let fault = |fault: String| Err(Refusal::Label { fault });
        if self.releasable_to.len() > MAX_RELEASABLE || self.caveats.len() > MAX_CAVEATS {
            return fault(format!("a label names at most {MAX_RELEASABLE} nations and {MAX_CAVEATS} caveats"));
        }
        match owners.iter().find(|owner| !self.admits(owner)) {
            Some(owner) => fault(format!("it leaves `{owner}` out, which owns the proposal; owners are always named")),
            None => Ok(()),
        }
    }

    /// Whether it may be put on a proposal of the exchange: every nation is one of its partners, and nobody is left out who funds
    /// under the call, for without its signature there is no decision, or who opens the call's vault, for the proposal's own vaults
    /// are wrapped to that one.
    pub fn check_place(
        &self,
        known: &BTreeSet<PartnerCode>,
        funders: &BTreeSet<PartnerCode>,
        openers: &BTreeSet<PartnerCode>,
    ) -> Result<(), Refusal> {
        let fault = |fault: String| Err(Refusal::Label { fault });
        if let Some(unknown) = self.releasable_to.iter().find(|code| !known.contains(code)) {
            return fault(format!("it names `{unknown}`, which is not a partner of this exchange"));
        }
        if let Some(funder) = funders.iter().find(|funder| !self.admits(funder)) {
            return fault(format!(
                "it leaves `{funder}` out, which funds under the call and has to sign the decision; add `{funder}` to the label"
            ));
        }
        match openers.iter().find(|opener| !self.admits(opener)) {
            Some(opener) => fault(format!(
                "it leaves `{opener}` out, whose officers hold the key that opens the call; add `{opener}` to the label"
            )),
            None => Ok(()),
        }
    }
}

/// In the classic form: `REL TO ISR, USA // NO-CONTRACTORS`.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("REL TO ")?;
        for (at, code) in self.releasable_to.iter().enumerate() {
            write!(f, "{}{code}", if at == 0 { "" } else { ", " })?;
        }
        for (at, caveat) in self.caveats.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { " // " } else { ", " }, caveat.as_str().to_uppercase())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(list: &[&str]) -> BTreeSet<PartnerCode> {
        list.iter().map(|code| code.parse().unwrap()).collect()
    }

    fn label(others: &[&str], caveats: &[&str]) -> Label {
        let caveats = caveats.iter().map(|caveat| caveat.parse().unwrap());
        Label::of(&codes(&["ISR", "USA"]), codes(others), caveats)
    }

    #[test]
    fn owners_are_always_in_the_label_and_others_only_if_named() {
        let label = label(&["GBR"], &[]);
        let admitted = ["ISR", "USA", "GBR", "KOR"].map(|code| label.admits(&code.parse().unwrap()));
        assert_eq!(admitted, [true, true, true, false]);
        assert!(label.check(&codes(&["ISR", "USA"])).is_ok());
        assert!(label.check(&codes(&["ISR", "KOR"])).unwrap_err().to_string().contains("`KOR`"));
    }

    #[test]
    fn label_reads_in_the_classic_form() {
        assert_eq!(label(&[], &[]).to_string(), "REL TO ISR, USA");
        assert_eq!(
            label(&["GBR"], &["propin", "no-contractors"]).to_string(),
            "REL TO GBR, ISR, USA // NO-CONTRACTORS, PROPIN"
        );
    }

    #[test]
    fn funder_cannot_be_left_out() {
        let known = codes(&["ISR", "USA", "GBR", "KOR"]);
        let refused = label(&["GBR"], &[]).check_place(&known, &codes(&["ISR", "KOR"]), &codes(&["USA"]));
        assert!(refused.unwrap_err().to_string().contains("leaves `KOR` out, which funds"));
        assert!(label(&["KOR"], &[]).check_place(&known, &codes(&["ISR", "KOR"]), &codes(&["USA"])).is_ok());
    }

    #[test]
    fn nation_that_opens_the_call_cannot_be_left_out() {
        let known = codes(&["ISR", "USA", "GBR"]);
        let label = label(&["GBR"], &[]);
        assert!(label.check_place(&known, &codes(&["USA"]), &codes(&["USA", "GBR"])).is_ok());
        let refused = label.check_place(&known, &codes(&[]), &codes(&["KOR"])).unwrap_err().to_string();
        assert!(refused.contains("add `KOR`"), "{refused}");
        let refused = label.check_place(&codes(&["ISR", "USA"]), &codes(&[]), &codes(&[])).unwrap_err().to_string();
        assert!(refused.contains("`GBR`, which is not a partner"), "{refused}");
    }

    #[test]
    fn label_is_bounded() {
        let owners = codes(&["ISR", "USA"]);
        let many = (0..=MAX_CAVEATS).map(|n| format!("c{n}").parse().unwrap());
        assert!(Label::of(&owners, [], many).check(&owners).is_err());
        let many = (10..10 + MAX_RELEASABLE).map(|n| format!("N{n}").parse().unwrap());
        assert!(Label::of(&owners, many, []).check(&owners).is_err());
    }
}
