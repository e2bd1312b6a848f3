//! An exchange that makes up who takes which part: no key goes to whom nobody signed into it.

use super::lies::tamper;
use crate::harness::stage::{Stage, Step, id};
use entente::{
    client::{ExitClass, naming::FoundProposal, vaults::Wrapped},
    storage::args,
};

fn names(wrapped: &Wrapped) -> (Vec<String>, Vec<String>) {
    assert!(wrapped.refused.iter().all(|(_, error)| error.class() == ExitClass::Unverified), "{:?}", wrapped.refused);
    let mut refused: Vec<_> = wrapped.refused.iter().map(|(key, _)| key.holder.to_string()).collect();
    refused.dedup();
    (wrapped.done.iter().map(|key| key.holder.to_string()).collect(), refused)
}

#[tokio::test]
async fn reviewer_whom_nobody_assigned_gets_no_key() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    let assigned = "INSERT INTO assignments (proposal_id, reviewer, assigned_by, assigned_at, statement) \
                    SELECT proposal_id, 'ISR:yael', assigned_by, assigned_at, statement FROM assignments LIMIT 1";
    tamper(&stage, assigned, args![]).await;
    stage.clear(proposal, &["ISR:yael"]).await;
    let asked = stage.client("USA:dana").api().missing_keys(proposal).await.unwrap();
    assert!(asked.iter().any(|key| key.holder == id("ISR:yael")), "so it asks: {asked:?}");
    // Foreseen as it is done, with nothing wrapped by it.
    let found = FoundProposal { id: proposal, reference: None };
    let foreseen = stage.again("USA:dana").forecast_keys(&found).await.unwrap().prepared.wrapped;
    let done: Vec<String> = foreseen.done.iter().map(|key| key.key.holder.to_string()).collect();
    assert_eq!(done, ["ISR:maya", "USA:carol"]);
    assert!(foreseen.refused.iter().all(|(key, _)| key.key.holder == id("ISR:yael")) && !foreseen.refused.is_empty());
    let (done, refused) = names(&stage.again("USA:dana").wrap_missing(proposal).await.unwrap());
    assert_eq!((done, refused), (vec!["ISR:maya".into(), "USA:carol".into()], vec!["ISR:yael".to_owned()]));
    stage.stop().await;
}

#[tokio::test]
async fn declaration_that_the_member_did_not_sign_clears_nobody() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    tamper(&stage, "DELETE FROM declaration_statements WHERE member = 'ISR:maya'", args![]).await;
    let (done, refused) = names(&stage.again("USA:dana").wrap_missing(proposal).await.unwrap());
    assert_eq!((done, refused), (vec!["USA:carol".to_owned()], vec!["ISR:maya".to_owned()]));

    // Another member's word, under her name.
    let of_carol = "INSERT INTO declaration_statements SELECT proposal_id, 'ISR:maya', number, statement, statement_sha256, \
                    stated_by, stated_at FROM declaration_statements WHERE member = 'USA:carol'";
    tamper(&stage, of_carol, args![]).await;
    let (done, refused) = names(&stage.again("USA:dana").wrap_missing(proposal).await.unwrap());
    assert_eq!((done, refused), (vec![], vec!["ISR:maya".to_owned()]));
    stage.stop().await;
}

#[tokio::test]
async fn role_that_no_officer_gave_is_none_and_what_was_stated_stays() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    let role = "INSERT INTO call_roles (call_id, member, role, granted_by, granted_at) \
                SELECT call_id, 'USA:opal', 'decider', granted_by, granted_at FROM call_roles LIMIT 1";
    tamper(&stage, role, args![]).await;
    stage.clear(proposal, &["USA:opal"]).await;
    let asked = stage.client("USA:dana").api().missing_keys(proposal).await.unwrap();
    assert!(asked.iter().any(|key| key.holder == id("USA:opal")), "so it asks: {asked:?}");
    let wrapped = stage.again("USA:dana").wrap_missing(proposal).await.unwrap();
    let (done, refused) = names(&wrapped);
    assert_eq!((done, refused), (vec!["ISR:maya".into(), "USA:carol".into()], vec!["USA:opal".to_owned()]));

    let last = "DELETE FROM role_statements WHERE number = (SELECT MAX(number) FROM role_statements)";
    tamper(&stage, last, args![]).await;
    let wrapped = stage.again("USA:dana").wrap_missing(proposal).await.unwrap();
    let (_, error) = &wrapped.refused[0];
    assert!(error.to_string().contains("that were seen here are gone"), "{error}");

    let first = "UPDATE role_statements SET stated_by = 'USA:bob' WHERE number = 2";
    tamper(&stage, first, args![]).await;
    let wrapped = stage.again("USA:dana").wrap_missing(proposal).await.unwrap();
    let (_, error) = &wrapped.refused[0];
    assert!(error.to_string().contains("without being an officer"), "{error}");
    stage.stop().await;
}
