//! What a person who runs the tests has to hear, although they pass: that something was not tried on this machine.

use std::{
    collections::BTreeSet,
    io::{Write as _, stderr},
    sync::Mutex,
};

/// Says it once, past what the test runner keeps of a test that passes.
#[expect(clippy::explicit_write, reason = "`eprintln!` is what the test runner keeps")]
pub(crate) fn loud(said: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(said.to_owned()) {
        writeln!(stderr(), "*** {said} ***").unwrap();
    }
}
