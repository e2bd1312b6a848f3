//! By what a person named proposals and calls. The exchange resolves a reference; it must not mean something else by it in a later answer:
//! who was asked whether to act on a reference acts on the proposal that has it, or not at all.

use super::{Client, ClientError, Result};
use crate::{
    domain::{
        id::{CallId, ProposalId},
        reference::{CallCode, Reference},
    },
    wire::{call::Call, proposal::Proposal},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What was named, as the exchange resolved it.
#[derive(Debug, Default)]
pub(super) struct NamesUsed {
    proposals: Mutex<BTreeMap<ProposalId, Reference>>,
    calls: Mutex<BTreeMap<CallId, CallCode>>,
    /// What proposals are called that were asked for one by one. A list may have a million.
    shown: Mutex<BTreeMap<ProposalId, Reference>>,
}

impl NamesUsed {
    pub(super) fn proposal(&self, found: &Proposal) {
        held(&self.proposals).insert(found.id, found.reference.clone());
    }

    pub(super) fn call(&self, found: &Call) {
        held(&self.calls).insert(found.id, found.text.code.clone());
    }

    /// Refuses a proposal that was named by another reference than it is shown with.
    pub(super) fn check(&self, shown: &Proposal) -> Result<()> {
        match held(&self.proposals).get(&shown.id) {
            Some(named) if *named != shown.reference => Err(contradicted(format!(
                "the exchange was asked for `{named}`, and shows the same proposal as `{}` now",
                shown.reference
            ))),
            _ => Ok(()),
        }
    }

    /// The same of one that was asked for by itself, whose reference messages go by from then on.
    pub(super) fn check_one(&self, shown: &Proposal) -> Result<()> {
        self.check(shown)?;
        held(&self.shown).insert(shown.id, shown.reference.clone());
        Ok(())
    }

    pub(super) fn check_all(&self, shown: &[Proposal]) -> Result<()> {
        shown.iter().try_for_each(|proposal| self.check(proposal))
    }

    /// Refuses a call that was named by another code than its text was signed with.
    pub(super) fn check_call(&self, id: CallId, signed: &CallCode) -> Result<()> {
        match held(&self.calls).get(&id) {
            Some(named) if named != signed => {
                Err(contradicted(format!("the exchange shows the call `{named}`, whose text was signed as `{signed}`")))
            }
            _ => Ok(()),
        }
    }
}

impl Client {
    /// What messages call a proposal: its reference, if it was shown here, now or before; else its identifier.
    pub(super) fn proposal_name(&self, id: ProposalId) -> String {
        let shown = held(&self.api().named().shown).get(&id).map(ToString::to_string);
        shown.unwrap_or_else(|| self.home().seen_name(id))
    }
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn contradicted(what: String) -> ClientError {
    ClientError::unverified(what, "nothing was signed; tell your partner's registrar and the host's operator")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{call, proposal};

    #[test]
    fn what_was_named_is_shown_by_the_same_name_from_then_on() {
        let (named, shown) = (NamesUsed::default(), proposal());
        assert!(named.check(&shown).is_ok(), "nobody named it");
        named.proposal(&shown);
        assert!(named.check_all(std::slice::from_ref(&shown)).is_ok());
        let other = Proposal { reference: Reference::new(shown.reference.code(), "7777"), ..shown };
        let said = named.check_all(&[other]).unwrap_err().to_string();
        assert!(said.ends_with(" now") && said.contains("-7777"), "{said}");
    }

    #[test]
    fn call_that_was_named_by_a_code_is_signed_with_it() {
        let (named, call) = (NamesUsed::default(), call().call);
        let (code, forged): (CallCode, CallCode) = (call.text.code.clone(), "FORGED9".parse().unwrap());
        assert!(named.check_call(call.id, &forged).is_ok(), "nobody named it");
        named.call(&call);
        assert!(named.check_call(call.id, &code).is_ok());
        let said = named.check_call(call.id, &forged).unwrap_err().to_string();
        assert_eq!(said, format!("the exchange shows the call `{code}`, whose text was signed as `FORGED9`"));
    }
}
