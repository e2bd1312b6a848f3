//! What a holder of keys and a command say to each other: no bytes make either panic, and what is read is written as it was read.
#![no_main]

use entente::{
    client::unlock::protocol::{HolderAnswer, HolderQuestion, MAX_ANSWER, MAX_QUESTION, Reply, ask, read_piece},
    sealing::{held::is_ours_to_sign, identity::Keyring},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(question) = HolderQuestion::parse(bytes) {
        let mut written = Vec::new();
        ask(&mut written, &question).expect("memory takes all");
        let again = read_piece(&mut written.as_slice(), MAX_QUESTION).expect("what was parsed fits");
        assert_eq!(HolderQuestion::parse(&again), Ok(question.clone()));
        match question {
            HolderQuestion::FileKey { stanzas, .. } => {
                let _ = Keyring::new().file_key(&stanzas);
            }
            HolderQuestion::Sign { message } => {
                let _ = message.bytes().is_some_and(|message| is_ours_to_sign(&message));
            }
            HolderQuestion::Status {} | HolderQuestion::Lock {} => {}
        }
    }
    if let Ok(reply) = Reply::read(&mut &*bytes) {
        let mut written = Vec::new();
        reply.write(&mut written).expect("memory takes all");
        if matches!(reply.answer, HolderAnswer::FileKey { is_found: true }) {
            assert!(reply.file_key.is_some());
        }
        if written.len() <= MAX_ANSWER {
            assert_eq!(Reply::read(&mut written.as_slice()).expect("what was written is read"), reply);
        }
    }
    let _ = is_ours_to_sign(bytes);
});
