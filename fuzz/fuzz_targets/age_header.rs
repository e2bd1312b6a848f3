//! The shape of an age file, in whatever pieces it arrives: the verdict must not depend on the pieces.
#![no_main]

use entente::sealing::header::HeaderCheck;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u8)| {
    let (bytes, step) = input;
    let whole = HeaderCheck::check(bytes);
    let mut pieces = HeaderCheck::new();
    let mut verdict = Ok(());
    for piece in bytes.chunks(usize::from(step) + 1) {
        if let Err(error) = pieces.push(piece) {
            verdict = Err(error);
            break;
        }
    }
    let in_pieces = verdict.and_then(|()| pieces.finish(bytes.len() as u64));
    assert_eq!(whole.is_ok(), in_pieces.is_ok());
});
