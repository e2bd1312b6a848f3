//! Who signed counts: certificates that name somebody else or are out of their time, and vaults that none of those made whose it is to
//! make them.

use super::lies::{key_of, tamper};
use crate::harness::{
    pki::{Issued, self_signed, uri},
    stage::{Stage, Step, code, id, pdf, quiet, review, slug},
};
use entente::{
    client::{ClientError, ExitClass},
    domain::{
        decision::Outcome,
        id::{ProposalId, VaultId},
        member::CallRole,
        vault::VaultKind,
    },
    sealing::{
        identity::new_identity,
        jws::SigningKey,
        statement::{DecisionStatement, LetterStatement, VaultStatement, sign_statement, verify_signed},
    },
    storage::args,
    wire::{call::CallText, decision::SignDecision},
};
use rcgen::{KeyPair, date_time_ymd};
use std::collections::BTreeSet;

/// The key of a member under another certificate than theirs: one that names somebody, until the end of a year.
fn key_under(stage: &Stage, member: &str, named: &str, until: i32) -> SigningKey {
    let pem = stage.credential(member).private_key.expose().to_owned();
    let Issued { certificate, .. } = self_signed(KeyPair::from_pem(&pem).unwrap(), |params| {
        params.subject_alt_names = vec![uri(&id(named).san_uri())];
        params.not_after = date_time_ymd(until, 12, 31);
    });
    SigningKey::from_pem(pem.as_bytes(), certificate.pem().as_bytes()).unwrap()
}

#[tokio::test]
async fn certificate_in_a_statement_names_its_signer_and_is_valid() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let frank = stage.client("USA:frank").api();
    let manifest_sha256 = frank.proposal(proposal).await.unwrap().manifest_sha256.unwrap();
    let (outcome, partner) = (Outcome::Fund, code("USA"));
    let said = DecisionStatement { proposal, manifest_sha256, outcome, partner, supersedes: None, reason: None };
    let sign = async |named: &str, until: i32| {
        let decision = sign_statement(&key_under(&stage, "USA:frank", named, until), &said).unwrap();
        frank.sign_decision(proposal, &SignDecision { decision }, None).await
    };
    stage.refuses("statement-invalid", sign("USA:opal", 2100)).await;
    stage.refuses("statement-invalid", sign("ISR:eitan", 2100)).await;
    stage.refuses("statement-invalid", sign("USA:frank", 2001)).await;
    // A renewed certificate over the same key is as good as the one that the key card was made with.
    sign("USA:frank", 2100).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn signature_under_a_certificate_out_of_its_time_is_believed_by_no_client() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (frank, noa) = (stage.client("USA:frank"), stage.client("ISR:noa"));
    let signed = frank.sign_decision(proposal, Outcome::Fund).await.unwrap();
    let jws = &signed.signatures[&code("USA")].jws;
    let said = verify_signed::<DecisionStatement>(jws).unwrap().statement;
    for (until, is_valid) in [(2100, true), (2001, false)] {
        // The host puts it there: the key is Frank's each time.
        let jws = sign_statement(&key_under(&stage, "USA:frank", "USA:frank", until), &said).unwrap();
        tamper(&stage, "UPDATE decision_signatures SET jws = $1", args![jws]).await;
        if is_valid {
            noa.decision(proposal).await.unwrap().unwrap();
        } else {
            stage.declines(ExitClass::Unverified, "that was not valid at", noa.decision(proposal)).await;
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn letter_is_by_an_officer_of_the_signed_roll() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    for member in ["USA:frank", "ISR:eitan"] {
        stage.client(member).sign_decision(proposal, Outcome::Fund).await.unwrap();
    }
    let dana = stage.client("USA:dana");
    let letter = dana.send_letter(proposal, "You are funded.").await.unwrap();
    assert!(dana.read_letter(proposal, letter.id).await.unwrap().is_by_officer);
    // A party does not see the roles, and its client says so.
    assert!(!stage.client("ISR:avi").read_letter(proposal, letter.id).await.unwrap().is_by_officer);

    let said = verify_signed::<LetterStatement>(&letter.statement).unwrap().statement;
    assert_eq!(said.reference.as_ref(), Some(&letter.reference));
    // One of before the reference was signed is read, one about another proposal's reference is not.
    for (reference, is_read) in [(None, true), (Some("BIRD26-48179".parse().unwrap()), false)] {
        let said = LetterStatement { reference, ..said.clone() };
        let statement = sign_statement(&key_of(&stage, "USA:dana"), &said).unwrap();
        tamper(&stage, "UPDATE letters SET statement = $1", args![statement]).await;
        let read = dana.read_letter(proposal, letter.id).await.map(drop).map_err(|error| error.to_string());
        assert_eq!(read.is_ok(), is_read, "{read:?}");
    }
    let by = async |member: &str| {
        let statement = sign_statement(&key_of(&stage, member), &said).unwrap();
        tamper(&stage, "UPDATE letters SET statement = $1, sent_by = $2", args![statement, id(member)]).await;
    };
    by("USA:walt").await;
    let reading = stage.client("ISR:noa").read_letter(proposal, letter.id);
    stage.declines(ExitClass::Unverified, "is not an officer of the call", reading).await;
    by("KOR:minjun").await;
    let reading = stage.client("USA:bob").read_letter(proposal, letter.id);
    stage.declines(ExitClass::Unverified, "does not belong to a partner of the call", reading).await;
    stage.stop().await;
}

/// A vault in the place of one that is there, with a statement by somebody and a recipient of their own.
async fn replace(stage: &Stage, proposal: ProposalId, kind: VaultKind, maker: &str) {
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    let sql = "SELECT vault_id AS it FROM vaults WHERE proposal_id = $1 AND kind = $2";
    let vault: VaultId = tx.fetch_one(sql, args![proposal, kind.as_str()]).await.unwrap().parse("it").unwrap();
    drop(tx);
    let recipient = new_identity().recipient().to_owned();
    let statement = VaultStatement {
        vault,
        kind,
        call: stage.call,
        proposal: Some(proposal),
        party: None,
        recipient: recipient.clone(),
    };
    let statement = sign_statement(&key_of(stage, maker), &statement).unwrap();
    let sql = "UPDATE vaults SET recipient = $1, statement = $2, created_by = $3 WHERE vault_id = $4";
    tamper(stage, sql, args![recipient, statement, maker, vault]).await;
}

#[tokio::test]
async fn nothing_is_sealed_to_a_deliberation_vault_that_no_officer_made() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (carol, maya) = (stage.client("USA:carol"), stage.client("ISR:maya"));
    carol.submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    // Walt is of the lead, and observes: an accomplice of the host.
    replace(&stage, proposal, VaultKind::Deliberation, "USA:walt").await;
    let low = review(2.0, 2.0);
    let submitting = maya.submit_review(proposal, &low);
    stage.declines(ExitClass::Unverified, "is not an officer of the call", submitting).await;

    // Olivia is an officer. Who has seen the vault that was there notices all the same.
    replace(&stage, proposal, VaultKind::Deliberation, "USA:olivia").await;
    let high = review(4.0, 4.0);
    let seen = carol.submit_review(proposal, &high);
    stage.declines(ExitClass::Unverified, "but on this machine it was", seen).await;
    let again = stage.again("USA:carol");
    let seen = again.submit_review(proposal, &high);
    stage.declines(ExitClass::Unverified, "but on this machine it was", seen).await;
    stage.stop().await;
}

#[tokio::test]
async fn nothing_is_sealed_to_a_panel_vault_that_no_member_of_the_proposal_made() {
    let (stage, proposal) = Stage::at(Step::Begun).await;
    let plan = stage.file("plan.pdf", &pdf("the work plan"));
    let put = |member: &'static str| {
        let (client, plan) = (stage.client(member), plan.clone());
        async move { client.put_document(proposal, &slug("work-plan"), &plan, None, quiet()).await }
    };
    put("ISR:avi").await.unwrap();
    // Tamar is of Israel, and of no party.
    replace(&stage, proposal, VaultKind::Panel, "ISR:tamar").await;
    stage.declines(ExitClass::Unverified, "is not a member of the proposal", put("USA:bob")).await;
    stage.declines(ExitClass::Unverified, "but on this machine it was", put("ISR:avi")).await;
    stage.stop().await;
}

#[tokio::test]
async fn machine_that_made_a_vault_seals_to_no_other_from_the_first_file_on() {
    let stage = Stage::open().await;
    let avi = stage.client("ISR:avi");
    let proposal = avi.create_proposal(&stage.joint()).await.unwrap().id;
    // Whatever the exchange says of who made the other one.
    replace(&stage, proposal, VaultKind::Panel, "ISR:tamar").await;
    let plan = stage.file("plan.pdf", &pdf("the work plan"));
    let place = slug("work-plan");
    let putting = avi.put_document(proposal, &place, &plan, None, quiet());
    stage.declines(ExitClass::Unverified, "but on this machine it was", putting).await;
    stage.stop().await;
}

/// Carol lays down her role, which her machine does only on what it can verify.
async fn carol_lays_down(stage: &Stage) -> Result<(), ClientError> {
    let carol = stage.again("USA:carol");
    carol.grant_roles(stage.call, &id("USA:carol"), &BTreeSet::new()).await.map(drop)
}

/// The key card of a member whose key was stolen: nothing that they signed is believed.
async fn key_is_stolen(stage: &Stage, member: &str) {
    let registrar = format!("{}:registrar", id(member).partner());
    stage.client(&registrar).revoke_key_card(&id(member), false).await.unwrap();
}

#[tokio::test]
async fn officer_vouches_for_the_roles_that_they_go_on_from() {
    let stage = Stage::open().await;
    // Noa named Eitan decider, and Dana another role after that.
    key_is_stolen(&stage, "ISR:noa").await;
    carol_lays_down(&stage).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn last_word_of_an_officer_whose_key_was_stolen_is_believed_once_another_goes_on_from_it() {
    let stage = Stage::open().await;
    let (dana, tamar) = (stage.client("USA:dana"), id("ISR:tamar"));
    stage.client("ISR:noa").grant_roles(stage.call, &tamar, &[CallRole::Observer].into()).await.unwrap();
    // Her machine verifies it while it can.
    dana.grant_roles(stage.call, &tamar, &[CallRole::Observer].into()).await.unwrap();
    key_is_stolen(&stage, "ISR:noa").await;
    let told = carol_lays_down(&stage).await.unwrap_err();
    assert_eq!(told.class(), ExitClass::Unverified, "{told}");
    assert!(told.to_string().contains("can no longer be proven"), "{told}");
    // Olivia's machine has not seen it.
    let olivia = stage.again("USA:olivia");
    let told = olivia.grant_roles(stage.call, &tamar, &BTreeSet::new()).await.unwrap_err();
    assert_eq!(told.class(), ExitClass::Unverified, "{told}");
    stage.again("USA:dana").grant_roles(stage.call, &tamar, &BTreeSet::new()).await.unwrap();
    carol_lays_down(&stage).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn officer_vouches_in_so_many_words_for_what_no_machine_had_verified() {
    let stage = Stage::open().await;
    let tamar = id("ISR:tamar");
    stage.client("ISR:noa").grant_roles(stage.call, &tamar, &[CallRole::Observer].into()).await.unwrap();
    key_is_stolen(&stage, "ISR:noa").await;
    let dana = stage.again("USA:dana");
    let told = dana.grant_roles(stage.call, &tamar, &BTreeSet::new()).await.unwrap_err();
    let last = u32::try_from(dana.api().role_statements(stage.call).await.unwrap().len()).unwrap();
    assert!(told.help().contains(&format!("--vouch {last}")), "{}", told.help());
    let vouch = async |number| dana.grant_roles_vouching(stage.call, &tamar, &BTreeSet::new(), Some(number)).await;
    assert_eq!(vouch(last - 1).await.unwrap_err().class(), ExitClass::Unverified, "not for what came after");
    vouch(last).await.unwrap();
    carol_lays_down(&stage).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn who_gives_up_a_role_and_has_their_key_stolen_stops_nobody() {
    let stage = Stage::open().await;
    stage.client("ISR:yael").grant_roles(stage.call, &id("ISR:yael"), &BTreeSet::new()).await.unwrap();
    key_is_stolen(&stage, "ISR:yael").await;
    carol_lays_down(&stage).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn call_whose_publishers_key_was_stolen_is_brought_back_by_another_officer_of_the_lead() {
    let stage = Stage::open().await;
    let (olivia, walt) = (stage.client("USA:olivia"), id("USA:walt"));
    let call = olivia.call(stage.call).await.unwrap();
    olivia.grant_roles(stage.call, &walt, &[CallRole::Observer].into()).await.unwrap();
    key_is_stolen(&stage, "USA:dana").await;
    let told = stage.again("USA:carol").call(stage.call).await.unwrap_err();
    assert_eq!(told.class(), ExitClass::Unverified, "{told}");
    let olivia = stage.again("USA:olivia");
    let text = CallText { title: "Joint call, signed again".into(), ..call.text.clone() };
    olivia.amend_call(stage.call, &text, "signed again", None).await.unwrap();
    assert_eq!(stage.again("USA:carol").call(stage.call).await.unwrap().signed_by, id("USA:olivia"));
    // The roll was Dana's, too: whose word follows is of the lead's.
    assert_eq!(carol_lays_down(&stage).await.unwrap_err().class(), ExitClass::Unverified);
    olivia.grant_roles(stage.call, &walt, &BTreeSet::new()).await.unwrap();
    carol_lays_down(&stage).await.unwrap();
    stage.stop().await;
}
