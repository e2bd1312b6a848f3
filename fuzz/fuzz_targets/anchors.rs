//! Certificates that a partner hands over for enrolment: refused or accepted, never a panic.
#![no_main]

use entente::{domain::ambient::{Clock, SystemClock}, http::anchor::check_anchors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = check_anchors(bytes, SystemClock.now());
});
