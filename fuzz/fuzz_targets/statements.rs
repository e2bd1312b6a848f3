//! Signed statements and cards: nothing but a valid signature passes, nothing panics, and what is well formed has one form.
#![no_main]

use entente::sealing::{
    canonical,
    card::{KeyCard, PartnerCard},
    recipient,
    statement::{
        AcceptanceStatement, AssignmentStatement, CallPublication, DecisionStatement, DeclarationStatement,
        DossierStatement, InvitationStatement, JoinRequest, LabelStatement, LetterStatement, Manifest, MemberInvitation,
        PolicyApproval, PolicyStatement, PreviewStatement, RankingStatement, RenewalStatement, ReviewStatement, RoleStatement, RollStatement, Statement,
        TrustList, VaultStatement, WrapStatement, verify_signed,
    },
    visibility::VisibilityStatement,
};
use libfuzzer_sys::fuzz_target;

/// As a JWS, and as what a JWS with a good signature would carry.
fn read<T: Statement>(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = verify_signed::<T>(text);
    }
    let Ok(statement) = serde_json::from_slice::<T>(bytes) else { return };
    if statement.validate().is_err() {
        return;
    }
    let _ = statement.stated_at();
    let Ok(normal) = canonical::to_vec(&statement) else { return };
    let again: T = serde_json::from_slice(&normal).expect("canonical JSON reads back");
    assert_eq!(canonical::to_vec(&again).expect("canonical once, canonical twice"), normal);
    assert_eq!(again.digest().expect("a digest"), statement.digest().expect("a digest"));
}

fuzz_target!(|bytes: &[u8]| {
    let _ = PartnerCard::from_json(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = recipient::check_whole(text);
    }
    read::<KeyCard>(bytes);
    read::<CallPublication>(bytes);
    read::<Manifest>(bytes);
    read::<VaultStatement>(bytes);
    read::<WrapStatement>(bytes);
    read::<LabelStatement>(bytes);
    read::<ReviewStatement>(bytes);
    read::<RankingStatement>(bytes);
    read::<PolicyStatement>(bytes);
    read::<PolicyApproval>(bytes);
    read::<PreviewStatement>(bytes);
    read::<DecisionStatement>(bytes);
    read::<LetterStatement>(bytes);
    read::<InvitationStatement>(bytes);
    read::<AcceptanceStatement>(bytes);
    read::<RollStatement>(bytes);
    read::<RoleStatement>(bytes);
    read::<AssignmentStatement>(bytes);
    read::<DeclarationStatement>(bytes);
    read::<DossierStatement>(bytes);
    read::<VisibilityStatement>(bytes);
    read::<MemberInvitation>(bytes);
    read::<TrustList>(bytes);
    read::<JoinRequest>(bytes);
    read::<RenewalStatement>(bytes);
});
