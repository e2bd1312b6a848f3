//! Changes of roles in a call by the program: what was before is shown and kept, and a nation does not lose its last officer or decider
//! without a question.

use crate::harness::stage::{Stage, id, run};
use entente::{client::roles::RoleChange, domain::member::CallRole};
use std::collections::BTreeSet;

use CallRole::{Decider, Observer, Officer, Reviewer};

async fn roles(stage: &Stage, member: &str) -> BTreeSet<CallRole> {
    let holders = stage.client("USA:dana").api().roles(stage.call).await.unwrap();
    holders.into_iter().find(|holder| holder.member == id(member)).map(|holder| holder.roles).unwrap_or_default()
}

#[tokio::test]
async fn role_is_added_and_removed_beside_the_others_with_before_and_after_shown() {
    let stage = Stage::open().await;
    let call = stage.call.to_string();
    let change = |verb: &'static str, role: &'static str, more: &'static [&'static str]| {
        let (stage, call) = (&stage, call.as_str());
        async move {
            run(stage, "USA:dana", &[&["call", "role", verb, call, "USA:carol", "--role", role], more].concat()).await
        }
    };
    let (code, _, said) = change("add", "observer", &["--dry-run"]).await;
    assert!(code == 0 && said.contains("before  reviewer") && said.contains("reviewer observer"), "{said}");
    assert_eq!(roles(&stage, "USA:carol").await, [Reviewer].into());
    let (code, shown, said) = change("add", "observer", &[]).await;
    assert!(code == 0 && shown.contains("reviewer observer"), "{shown}{said}");
    assert_eq!(roles(&stage, "USA:carol").await, [Observer, Reviewer].into());
    let before = stage.log().await.len();
    let (code, shown, _) = change("add", "observer", &[]).await;
    assert!(code == 0 && shown.contains("as before"), "{shown}");
    assert_eq!(stage.log().await.len(), before, "what changes nothing is not signed again");
    let (code, shown, _) = change("remove", "reviewer", &[]).await;
    assert!(code == 0 && shown.contains("before") && shown.contains("after"), "{shown}");
    assert_eq!(roles(&stage, "USA:carol").await, [Observer].into());
    // Roles that no member may have together are refused, as ever.
    let (code, _, said) = change("add", "officer", &[]).await;
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = change("add", "decider", &[]).await;
    assert!(code != 0 && said.contains("officer and decider"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn several_members_get_a_role_by_one_command_and_the_same_again_goes_on() {
    let stage = Stage::open().await;
    let call = stage.call.to_string();
    let add = async |members: &[&str], more: &[&str]| {
        run(&stage, "USA:dana", &[&["call", "role", "add", &call], members, &["--role", "observer"], more].concat())
            .await
    };
    let (code, shown, said) = add(&["USA:carol", "ISR:maya"], &["--dry-run"]).await;
    assert!(code == 0 && shown.contains("ISR:maya") && said.contains("nothing was done"), "{shown}{said}");
    assert_eq!(roles(&stage, "ISR:maya").await, [Reviewer].into());
    let (code, shown, said) = add(&["USA:carol", "ISR:maya"], &[]).await;
    assert!(code == 0 && shown.contains("USA:carol") && shown.contains("ISR:maya"), "{shown}{said}");
    for member in ["USA:carol", "ISR:maya"] {
        assert_eq!(roles(&stage, member).await, [Observer, Reviewer].into(), "{member}");
    }
    // Again, it goes on with who does not have it yet.
    let (code, shown, said) = add(&["USA:carol", "ISR:yael"], &[]).await;
    assert!(code == 0 && shown.contains("as before"), "{shown}{said}");
    assert!(roles(&stage, "ISR:yael").await.contains(&Observer));
    stage.stop().await;
}

#[tokio::test]
async fn nation_loses_its_last_officer_or_decider_only_after_a_yes() {
    let stage = Stage::open().await;
    let call = stage.call.to_string();
    for (by, member, words, role) in [
        ("USA:dana", "USA:frank", ["remove", "--role", "decider"], Decider),
        ("ISR:noa", "ISR:eitan", ["set", "--role", "observer"], Decider),
        ("ISR:noa", "ISR:noa", ["remove", "--role", "officer"], Officer),
    ] {
        let [verb, option, value] = words;
        let line = ["call", "role", verb, &call, member, option, value];
        let (code, _, said) = run(&stage, by, &line).await;
        let wanted = format!("{} has no other {role}", &member[..3]);
        assert!(code == 2 && said.contains(&wanted) && said.contains("--yes"), "{member}: {code}: {said}");
        assert_eq!(roles(&stage, member).await, [role].into());
        let (code, _, said) = run(&stage, by, &[&line[..], &["--dry-run"]].concat()).await;
        assert!(code == 0 && said.contains(&wanted), "{member}: {said}");
        let (code, _, said) = run(&stage, by, &[&line[..], &["--yes"]].concat()).await;
        assert_eq!(code, 0, "{member}: {said}");
        assert!(!roles(&stage, member).await.contains(&role));
    }
    // Of two officers one goes without a question.
    let line = ["call", "role", "remove", &call, "USA:olivia", "--role", "officer"];
    let (code, _, said) = run(&stage, "USA:dana", &line).await;
    assert_eq!(code, 0, "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn change_is_made_only_to_the_roles_that_it_was_planned_from() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let plan = dana.plan_roles(stage.call, &id("ISR:maya"), &RoleChange::Add([Observer].into())).await.unwrap();
    assert_eq!((&plan.before, &plan.after), (&[Reviewer].into(), &[Observer, Reviewer].into()));
    stage.client("ISR:noa").grant_roles(stage.call, &id("ISR:maya"), &BTreeSet::new()).await.unwrap();
    let error = dana.change_roles(&plan, None).await.unwrap_err();
    assert!(error.to_string().contains("have changed meanwhile"), "{error}");
    assert_eq!(roles(&stage, "ISR:maya").await, BTreeSet::new());
    // An observer, who is not shown who has which role, lays that role down.
    let walt = stage.client("USA:walt");
    let plan = walt.plan_roles(stage.call, &id("USA:walt"), &RoleChange::Remove([Observer].into())).await.unwrap();
    walt.change_roles(&plan, None).await.unwrap();
    assert_eq!(roles(&stage, "USA:walt").await, BTreeSet::new());
    stage.stop().await;
}
