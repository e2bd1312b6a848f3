//! Texts of policies: whatever is sent is taken or refused, and never ends the process.
#![no_main]

use entente::policy::{Guardrails, PartnerRules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = PartnerRules::parse("fuzz", &"ISR".parse().expect("a code"), text);
    let _ = Guardrails::parse("fuzz", text);
});
