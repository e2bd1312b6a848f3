//! What a refusal says to do next is something that its reader can do, and it leads on.

use super::set_aside::moves_to;
use crate::harness::stage::{Stage, id};
use entente::{
    client::ClientError,
    domain::member::{CallRole::Officer, ConflictGround},
};

/// What the exchange says to do next, refusing by that name.
async fn remedy<T>(slug: &str, attempt: impl Future<Output = Result<T, ClientError>>) -> String {
    let Err(refused) = attempt.await else { panic!("`{slug}` was expected, and it succeeded") };
    let problem = refused.problem().unwrap_or_else(|| panic!("{refused}"));
    assert_eq!(problem.slug(), slug, "{refused}");
    problem.remedy.clone()
}

#[tokio::test]
async fn member_on_record_as_clear_is_told_to_declare_a_conflict_themselves() {
    let stage = Stage::open().await;
    let proposal = stage.under_review().await;
    let maya = stage.client("ISR:maya");
    let said = remedy("already-declared", maya.declare(proposal, None)).await;
    assert!(said.contains("declare it yourself") && said.contains("--ground") && !said.contains("officer"), "{said}");
    maya.declare(proposal, Some(ConflictGround::Financial)).await.unwrap();
    stage.refuses("not-found", maya.declare(proposal, None)).await;
    stage.stop().await;
}

#[tokio::test]
async fn member_whose_nation_alone_has_officers_is_told_to_ask_for_another_one() {
    let stage = Stage::open().await;
    let proposal = stage.under_review().await;
    let (dana, noa, opal) = (stage.client("USA:dana"), stage.client("ISR:noa"), id("USA:opal"));
    noa.grant_roles(stage.call, &id("ISR:noa"), &[].into()).await.unwrap();
    moves_to(&stage, "USA:opal", "Elsewhere").await;
    stage.client("USA:bob").invite(proposal, &opal).await.unwrap();
    let said = remedy("needs-consent", stage.client("USA:opal").accept_invitation(proposal)).await;
    assert!(said.contains("ask them to name one of another nation"), "{said}");
    stage.refuses("denied", dana.api().consent_to_join(proposal, &opal)).await;
    dana.grant_roles(stage.call, &id("ISR:noa"), &[Officer].into()).await.unwrap();
    noa.api().consent_to_join(proposal, &opal).await.unwrap();
    stage.client("USA:opal").accept_invitation(proposal).await.unwrap();
    stage.stop().await;
}
