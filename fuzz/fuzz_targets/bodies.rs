//! Request bodies and instants: what parses can be turned into the domain's types without a panic, and is written as it was read.
#![no_main]

use entente::{
    domain::instant::instant,
    reading,
    wire::{
        call::{CallText, DraftCall, EditCall, ExtendCall, GrantRoles, PublishCall, Reason},
        decision::{SendLetter, SignDecision},
        directory::{CreateProgram, PublishKeyCard},
        policy::{ApprovePolicy, ProposePolicy},
        proposal::{AcceptInvitation, AddKeys, AddMember, CreateProposal, NewVault, SignLabel, SignManifest},
        review::{Assign, DeclareConflict, DeclineAssignment, LiftConflict, SendRanking, SubmitReview},
    },
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(body) = reading::json::<T>(bytes) else { return };
    let text = serde_json::to_string(&body).expect("what was read can be written");
    assert_eq!(reading::json::<T>(text.as_bytes()).expect("and read again"), body);
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = serde_json::from_slice::<CallText>(bytes) {
        let digest = text.digest();
        let again: CallText = serde_json::from_str(&text.canonical()).expect("canonical text reads back");
        assert_eq!(again.digest(), digest);
        if let Ok(rules) = text.to_domain() {
            let _ = rules.validate(&rules.eligible);
        }
    }
    read::<DraftCall>(bytes);
    read::<EditCall>(bytes);
    read::<PublishCall>(bytes);
    read::<ExtendCall>(bytes);
    read::<Reason>(bytes);
    read::<GrantRoles>(bytes);
    read::<CreateProgram>(bytes);
    read::<PublishKeyCard>(bytes);
    read::<ProposePolicy>(bytes);
    read::<ApprovePolicy>(bytes);
    read::<CreateProposal>(bytes);
    read::<NewVault>(bytes);
    read::<AddKeys>(bytes);
    read::<AddMember>(bytes);
    read::<AcceptInvitation>(bytes);
    read::<SignManifest>(bytes);
    read::<SignLabel>(bytes);
    read::<Assign>(bytes);
    read::<DeclareConflict>(bytes);
    read::<LiftConflict>(bytes);
    read::<SubmitReview>(bytes);
    read::<DeclineAssignment>(bytes);
    read::<SendRanking>(bytes);
    read::<SignDecision>(bytes);
    read::<SendLetter>(bytes);
    if let Some(at) = std::str::from_utf8(bytes).ok().and_then(|text| instant(text).ok()) {
        assert_eq!(instant(&at.to_string()), Ok(at));
    }
});
