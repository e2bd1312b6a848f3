//! Texts of policies: whatever is sent is taken or refused, never ends the process, and what is taken stays within its bounds when it is
//! evaluated. How long that may take, `-timeout` says.
#![no_main]

use entente::policy::{Action, Engine, Guardrails, PartnerRules, facts::MemberFacts};
use libfuzzer_sys::fuzz_target;
use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

/// Twice what one owner's policies may come to: each may stand in two parts of a condition.
const MOST: usize = 8_000;

static GUARDRAILS: LazyLock<Arc<Guardrails>> = LazyLock::new(|| Arc::new(Guardrails::built_in()));

fuzz_target!(|text: &str| {
    let _ = Guardrails::parse("fuzz", text);
    let Ok(rules) = PartnerRules::parse("fuzz", &"ISR".parse().expect("a code"), text) else { return };
    let engine = Engine::new(Arc::clone(&GUARDRAILS), [Arc::new(rules)]);
    let member = MemberFacts {
        id: "ISR:avi".parse().expect("a member"),
        organisation: "Institute".to_owned(),
        roles: BTreeSet::new(),
        host: false,
    };
    if let Ok(predicate) = engine.predicate(&member, Action::View) {
        assert!(predicate.size() <= MOST, "{} conditions", predicate.size());
    }
});
