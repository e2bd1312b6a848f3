//! Request bodies and cursors: what parses can be turned into the domain's types without a panic.
#![no_main]

use entente::wire::{
    call::{CallText, DraftCall, ExtendCall},
    page,
    proposal::CreateProposal,
    review::Assign,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = serde_json::from_slice::<CallText>(bytes) {
        let digest = text.digest();
        let again: CallText = serde_json::from_str(&text.canonical()).expect("canonical text reads back");
        assert_eq!(again.digest(), digest);
        if let Ok(rules) = text.to_domain() {
            let _ = rules.validate(&rules.eligible);
        }
    }
    let _ = serde_json::from_slice::<DraftCall>(bytes);
    let _ = serde_json::from_slice::<ExtendCall>(bytes);
    let _ = serde_json::from_slice::<CreateProposal>(bytes);
    let _ = serde_json::from_slice::<Assign>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = page::last_key(text);
    }
});
