//! Signed statements and cards: nothing but a valid signature passes, and nothing panics.
#![no_main]

use entente::sealing::{
    card::{KeyCard, PartnerCard},
    statement::{CallPublication, Manifest, VaultStatement, WrapStatement, verify_signed},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = PartnerCard::from_json(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = verify_signed::<KeyCard>(text);
        let _ = verify_signed::<CallPublication>(text);
        let _ = verify_signed::<Manifest>(text);
        let _ = verify_signed::<VaultStatement>(text);
        let _ = verify_signed::<WrapStatement>(text);
    }
});
