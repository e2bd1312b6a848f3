//! The visibility manifest: what a nation's members see and who sees what is its own, signed, kept, and compared with an earlier one.

use crate::harness::{
    process::{Site, ended, entente},
    stage::{NATIONS, Stage, Step, id},
};
use entente::{
    client::{
        ExitClass,
        visibility::{AccessCause, AccessChange, VisibilityManifest, compare},
    },
    domain::{id::ProposalId, member::CallRole},
    sealing::{statement::sign_statement, visibility::VisibilityStatement},
    wire::visibility::{Line, MemberAccess, SignatureLine},
};
use std::{collections::BTreeSet, fs, path::PathBuf};

const NO_REVIEWERS: &str = r#"@id("no-reviewers") @side("release") @reason("reviewers read nothing for now")
forbid(principal, action == Action::"Read", resource) when { resource.assigned.contains(principal) };"#;

/// What Israel's policy officer fetches now, in a file of this name.
async fn fetched(stage: &Stage, name: &str) -> (PathBuf, VisibilityManifest) {
    let file = stage.file(&format!("visibility/{name}.jsonl"), b"");
    let manifest = stage.client("ISR:drafter").fetch_visibility(&"ISR".parse().unwrap(), &file).await.unwrap();
    (file, manifest)
}

/// The changes as `member what` with a plus or minus, and the causes that all of them have.
fn told(old: &VisibilityManifest, new: &VisibilityManifest) -> (Vec<String>, Vec<AccessCause>) {
    let changes = compare(old, new);
    let causes = changes.first().map(|change| change.causes.clone()).unwrap_or_default();
    assert!(changes.iter().all(|change| change.causes == causes), "{changes:?}");
    let line = |AccessChange { member, what, gains, .. }: &AccessChange| {
        format!("{}{member} {what}", if *gains { '+' } else { '-' })
    };
    (changes.iter().map(line).collect(), causes)
}

#[tokio::test]
async fn change_of_sight_is_told_with_what_changed() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (_, first) = fetched(&stage, "1").await;
    assert_eq!(told(&first, &first), (Vec::new(), Vec::new()));

    stage.israel_adds(NO_REVIEWERS).await;
    let (_, second) = fetched(&stage, "2").await;
    let version = AccessCause::Policy { owner: "ISR".parse().unwrap(), from: Some(1), to: Some(2) };
    assert_eq!(told(&first, &second), (vec!["-ISR:maya read".into(), "-USA:carol read".into()], vec![version]));

    let text = stage.client("ISR:drafter").policy_version(&"ISR".parse().unwrap(), 1).await.unwrap().text.unwrap();
    stage.israel_writes(&text).await;
    let (_, before) = fetched(&stage, "3").await;
    stage.client("USA:dana").api().unassign(proposal, &id("ISR:maya")).await.unwrap();
    let (_, after) = fetched(&stage, "4").await;
    let cause = vec![AccessCause::Assignment { assigned: false }];
    assert_eq!(told(&before, &after), (vec!["-ISR:maya read".into(), "-ISR:maya view".into()], cause));

    stage.assign(&[(proposal, "ISR:yael")], false).await;
    let (_, before) = fetched(&stage, "5").await;
    stage.client("ISR:yael").declare(proposal, Some("employment".parse().unwrap())).await.unwrap();
    let (_, after) = fetched(&stage, "6").await;
    let cause = vec![AccessCause::Declaration { conflict: Some(true) }];
    assert_eq!(told(&before, &after), (vec!["-ISR:yael view".into()], cause));
    let access = &after.proposals[&proposal].access;
    let yael = access.iter().find(|access| access.member == id("ISR:yael")).unwrap();
    assert!(!yael.sees && yael.by.contains("guardrails/conflict"), "{yael:?}");

    let (noa, nothing) = (stage.client("ISR:noa"), BTreeSet::new());
    noa.grant_roles(stage.call, &id("ISR:eitan"), &nothing).await.unwrap();
    let (_, after_role) = fetched(&stage, "7").await;
    let (lost, causes) = told(&after, &after_role);
    assert_eq!(causes, [AccessCause::Role { from: ["decider".to_owned()].into(), to: BTreeSet::new() }]);
    assert!(lost.len() > 2 && lost.iter().all(|line| line.starts_with("-ISR:eitan ")), "{lost:?}");

    // For another nation's member the report says that they lost it, and not that there is more to know.
    stage.client("USA:dana").grant_roles(stage.call, &id("USA:frank"), &nothing).await.unwrap();
    let (_, last) = fetched(&stage, "8").await;
    let (lost, causes) = told(&after_role, &last);
    assert_eq!(causes, [AccessCause::Undisclosed]);
    assert!(lost.len() > 2 && lost.iter().all(|line| line.starts_with("-USA:frank ")), "{lost:?}");
    stage.stop().await;
}

#[tokio::test]
async fn manifest_says_what_everybody_finds_who_asks() {
    let (stage, begun) = Stage::at(Step::Prepared).await;
    let proposal = stage.under_review().await;
    let (_, manifest) = fetched(&stage, "now").await;
    assert_eq!(manifest.proposals.keys().copied().collect::<BTreeSet<_>>(), [begun, proposal].into());
    let all = |member: &str, wanted: fn(&MemberAccess) -> bool| -> BTreeSet<ProposalId> {
        let sees = |access: &MemberAccess| access.member == id(member) && wanted(access);
        let seen = manifest.proposals.values().filter(|proposal| proposal.access.iter().any(sees));
        seen.map(|proposal| proposal.proposal).collect()
    };
    for nation in NATIONS {
        for cast in nation.cast {
            let (member, client) = (cast.member, stage.client(cast.member));
            let listed: BTreeSet<ProposalId> =
                client.api().all_proposals(None).await.unwrap().into_iter().map(|proposal| proposal.id).collect();
            // Of what Israel has not handed in its officer learns what Israel's members see.
            let is_told = |id: &ProposalId| member.starts_with("ISR") || *id == proposal;
            let listed: BTreeSet<ProposalId> = listed.into_iter().filter(is_told).collect();
            assert_eq!(all(member, |access| access.sees), listed, "{member}");
            let mut reads = BTreeSet::new();
            for proposal in listed {
                let found = client.api().explanation(proposal, None, "Read", None).await.unwrap();
                reads.extend((found.outcome == "permitted").then_some(proposal));
            }
            assert_eq!(all(member, |access| access.reads), reads, "{member}");
        }
    }
    let readers = stage.client("ISR:drafter").api().readers(proposal).await.unwrap();
    let readers: Vec<_> = readers
        .into_iter()
        .map(|reader| (reader.member, reader.parts, reader.reads, reader.reads_restricted_of, reader.reads_reviews))
        .collect();
    let seen = manifest.proposals[&proposal].access.iter().filter(|access| access.sees).cloned();
    let seen: Vec<_> = seen
        .map(|access| (access.member, access.parts, access.reads, access.reads_restricted_of, access.reads_reviews))
        .collect();
    assert_eq!(seen, readers);
    assert!(manifest.members.contains_key(&id("ISR:tamar")) && manifest.members.contains_key(&id("USA:carol")));
    for member in ["USA:opal", "USA:walt"] {
        assert!(
            !manifest.members.contains_key(&id(member)),
            "{member} sees nothing of Israel's, with a part or without"
        );
    }
    stage.stop().await;
}

#[tokio::test]
async fn manifest_that_was_changed_or_signed_by_somebody_else_is_refused() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (file, manifest) = fetched(&stage, "genuine").await;
    let drafter = stage.client("ISR:drafter");
    assert_eq!(drafter.read_visibility(&file).unwrap(), manifest);
    let text = fs::read_to_string(&file).unwrap();
    let refused = |text: &str, saying: &str| {
        let changed = stage.file("visibility/changed.jsonl", text.as_bytes());
        let error = drafter.read_visibility(&changed).unwrap_err();
        assert_eq!(error.class(), ExitClass::Unverified, "{error:?}");
        assert!(error.to_string().contains(saying), "{error}");
    };
    let lines: Vec<&str> = text.lines().collect();
    let (last, body) = lines.split_last().unwrap();
    let joined = |lines: &[&str]| lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>();
    refused(&text.replacen("\"reads\":true", "\"reads\":false", 1), "it was changed since");
    refused(&text.replacen("ISR:maya", "ISR:mayo", 1), "it was changed since");
    let without: Vec<&str> = lines.iter().copied().filter(|line| !line.contains("\"line\":\"proposal\"")).collect();
    refused(&joined(&without), "it was changed since");
    refused(&joined(body), "breaks off");
    refused(text.trim_end(), "breaks off");
    refused(&format!("{text}\n"), "follows the signature");
    refused(&joined(&lines[1..]), "out of order");
    refused(&joined(&[&lines[..], &[last]].concat()), "follows the signature");

    // The same lines, signed by a member instead of the exchange.
    let Line::Signature(signature) = serde_json::from_str(last).unwrap() else { panic!("{last}") };
    let genuine = entente::sealing::statement::verify_signed::<VisibilityStatement>(&signature.statement).unwrap();
    let credential = stage.plan.dir.join("pki/ISR");
    let read = |ending: &str| fs::read(credential.join(format!("drafter.{ending}"))).unwrap();
    let key = entente::sealing::jws::SigningKey::from_pem(&read("key"), &read("crt")).unwrap();
    let statement = sign_statement(&key, &genuine.statement).unwrap();
    let forged = serde_json::to_string(&Line::Signature(SignatureLine { statement, ..signature })).unwrap();
    refused(&joined(&[body, &[forged.as_str()]].concat()), "not signed by the exchange");
    assert!(manifest.proposals.contains_key(&proposal));
    stage.stop().await;
}

#[tokio::test]
async fn officer_in_conflict_is_told_nothing_of_it_and_others_nothing_at_all() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    let reviewer = BTreeSet::from([CallRole::Reviewer]);
    stage.client("ISR:noa").grant_roles(stage.call, &id("ISR:drafter"), &reviewer).await.unwrap();
    assert!(fetched(&stage, "before").await.1.proposals.contains_key(&proposal));
    stage.assign(&[(proposal, "ISR:drafter")], false).await;
    stage.client("ISR:drafter").declare(proposal, Some("employment".parse().unwrap())).await.unwrap();
    let (file, manifest) = fetched(&stage, "after").await;
    assert!(manifest.proposals.is_empty() && !fs::read_to_string(&file).unwrap().contains(&proposal.to_string()));

    let israel = "ISR".parse().unwrap();
    let to = stage.file("visibility/never.jsonl", b"as it was");
    for member in ["USA:drafter", "ISR:avi", "KOR:minjun"] {
        let error = stage.client(member).fetch_visibility(&israel, &to).await.unwrap_err();
        assert_eq!(error.slug(), Some("denied"), "{member}: {error:?}");
    }
    let error = stage.client("ISR:drafter").fetch_visibility(&"GBR".parse().unwrap(), &to).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert_eq!(fs::read(&to).unwrap(), b"as it was");
    stage.stop().await;
}

#[tokio::test]
async fn command_line_keeps_and_compares() {
    let site = Site::new(None);
    site.world(NATIONS).await.stop().await;
    let server = site.serve().await;
    let home = site.point_home("ISR:drafter", &server);
    let file = site.path("today.jsonl");
    let (home, file) = (home.to_str().unwrap(), file.to_str().unwrap());
    let run = async |words: &[&str]| {
        let done = ended(entente(&[&["--home", home], words].concat())).await;
        let said = String::from_utf8(done.stdout).unwrap();
        (done.status.code().unwrap(), said, String::from_utf8(done.stderr).unwrap())
    };
    let (code, said, faults) = run(&["--json", "policy", "visibility", "--out", file]).await;
    assert_eq!(code, 0, "{faults}");
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&answer["partner"], &answer["own_proposals"]), (&"ISR".into(), &0.into()), "{answer}");
    let (code, said, faults) = run(&["policy", "visibility-diff", file, file]).await;
    assert_eq!((code, said.trim()), (0, "nobody gained or lost access to anything"), "{faults}");
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replacen("\"serial\":1", "\"serial\":2", 1)).unwrap();
    let (code, _, faults) = run(&["policy", "visibility-diff", file, file]).await;
    assert!(code == 4 && faults.contains("it was changed since"), "{code}: {faults}");
    assert!(server.stop().await.success());
}
