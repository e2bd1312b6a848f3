//! Releasability labels with the real client over mutual TLS: who is left out has nothing of the proposal, no key is wrapped past
//! the label, and it is the owners' to change, all of them together.

use super::{
    evaluations::decisions_in_turn,
    lies::{key_of, tamper},
};
use crate::harness::{
    bulk,
    stage::{NATIONS, Stage, code, id, slug, text},
    world::{Store, TestWorld},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{Client, ExitClass, labels::LabelChoice},
    domain::{
        ambient::Clock,
        entry::EntryKind,
        id::{MemberId, ProposalId, Sha256},
        label::Label,
        member::CallRole,
        policy::PolicyOwner,
        vault::{VaultKind, WrapTarget},
    },
    policy::GUARDRAILS,
    sealing::{
        statement::{LabelStatement, WrapStatement, sign_statement},
        vault::VaultSecret,
    },
    storage::args,
    wire::{
        directory::CreateProgram,
        proposal::{AddKeys, Filter, SignLabel, WrappedKeyIn},
    },
};
use jiff::SignedDuration;
use std::collections::BTreeSet;

const MINJUN: &str = "KOR:minjun";

/// The usual call, in a program in which Korea takes part: Minjun reviews.
async fn three_nations() -> Stage {
    three_nations_funded_by(&["ISR", "USA"]).await
}

async fn three_nations_funded_by(funders: &[&str]) -> Stage {
    let world = TestWorld::start(NATIONS, Store::Sqlite).await.unwrap();
    let partners = ["USA", "ISR", "KOR"].map(code).into();
    let dana = world.client("USA:dana");
    let body = CreateProgram { name: "Joint industrial research".into(), lead: code("USA"), partners };
    let program = dana.api().create_program(&body).await.unwrap().id;
    let now = world.clock.now();
    let deadline = now + SignedDuration::from_hours(24 * 30);
    let mut text = text(now, deadline);
    text.funders = funders.iter().map(|funder| code(funder)).collect();
    let draft = dana.draft_call(program, &text).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let stage = Stage::around(world, program, call, deadline);
    stage.grant().await;
    let reviewer = BTreeSet::from([CallRole::Reviewer]);
    stage.client("USA:dana").grant_roles(call, &id(MINJUN), &reviewer).await.unwrap();
    stage
}

fn to(others: &[&str], caveats: &[&str]) -> LabelChoice {
    LabelChoice::Put {
        others: others.iter().map(|partner| code(partner)).collect(),
        caveats: caveats.iter().map(|caveat| slug(caveat)).collect(),
    }
}

fn label(others: &[&str], caveats: &[&str]) -> Option<Label> {
    to(others, caveats).of(&["ISR", "USA"].map(code), None)
}

/// Handed in under a label.
async fn submitted(stage: &Stage, choice: &LabelChoice) -> ProposalId {
    let proposal = stage.prepared().await;
    let avi: &Client = stage.client("ISR:avi");
    avi.sign(&avi.plan_labelled(proposal, false, choice).await.unwrap()).await.unwrap();
    let bob: &Client = stage.client("USA:bob");
    let plan = bob.plan_signature(proposal).await.unwrap();
    assert_eq!(plan.manifest.label, choice.of(&plan.manifest.parties, None), "what waits is signed as it is");
    bob.sign(&plan).await.unwrap();
    proposal
}

/// Relabels with the signatures of both parties.
async fn relabel(stage: &Stage, proposal: ProposalId, choice: &LabelChoice) {
    for member in ["ISR:avi", "USA:bob"] {
        let client = stage.client(member);
        client.sign_label(&client.plan_label(proposal, choice).await.unwrap()).await.unwrap();
    }
}

async fn parties_relabel_so_often(store: Store) {
    let settings = [("quotas.labels_per_proposal", "2")];
    let Some(world) = TestWorld::start_with(NATIONS, store, &settings).await else { return };
    let stage = Stage::open_in(world).await;
    let proposal = submitted(&stage, &LabelChoice::Keep).await;
    // The second party signs what waits, however many there are.
    relabel(&stage, proposal, &to(&[], &["propin"])).await;
    relabel(&stage, proposal, &to(&[], &[])).await;
    let before = stage.census().await;
    let avi = stage.client("ISR:avi");
    let plan = avi.plan_label(proposal, &to(&[], &["propin"])).await.unwrap();
    let told = avi.sign_label(&plan).await.map(drop).unwrap_err();
    assert_eq!(told.slug(), Some("quota-reached"), "{told}");
    assert!(told.to_string().contains("no more than 2 relabellings of one proposal"), "{told}");
    assert_eq!(stage.census().await, before);
    stage.stop().await;
}

#[tokio::test]
async fn parties_relabel_a_proposal_so_often() {
    parties_relabel_so_often(Store::Sqlite).await;
    parties_relabel_so_often(Store::Postgres).await;
}

/// Opened, everybody clear, Carol and those named assigned and clear, keys wrapped.
async fn reviewed_by(stage: &Stage, proposal: ProposalId, others: &[&str]) {
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa"]).await;
    let mut reviewers = vec!["USA:carol"];
    reviewers.extend(others);
    let pairs: Vec<_> = reviewers.iter().map(|reviewer| (proposal, *reviewer)).collect();
    stage.assign(&pairs, false).await;
    stage.clear(proposal, &reviewers).await;
    stage.prepare_panel().await;
}

/// Who holds a key to what the panel reads, the call's vault left out.
async fn holders(stage: &Stage, proposal: ProposalId) -> BTreeSet<MemberId> {
    let sql = "SELECT k.holder AS holder FROM wrapped_keys k JOIN vaults v ON v.vault_id = k.vault_id \
               WHERE v.proposal_id = $1 AND v.kind = 'panel'";
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    let rows = tx.fetch_all(sql, args![proposal]).await.unwrap();
    rows.iter().filter_map(|row| row.text("holder").unwrap().parse().ok()).collect()
}

async fn seen(stage: &Stage, member: &str) -> (usize, u64) {
    let api = stage.client(member).api();
    let listed = api.all_proposals(Some(stage.call)).await.unwrap().len();
    (listed, api.count_proposals(&Filter::default()).await.unwrap().proposals)
}

#[tokio::test]
async fn who_is_outside_the_label_has_nothing_of_the_proposal() {
    let stage = three_nations().await;
    let (closed, open) = (submitted(&stage, &to(&[], &["propin"])).await, submitted(&stage, &LabelChoice::Keep).await);
    stage.pass_the_opening();
    stage.clear(closed, &["USA:dana"]).await;
    stage.clear(open, &["USA:dana"]).await;
    stage.assign(&[(open, MINJUN), (open, "USA:carol"), (closed, "USA:carol")], false).await;
    assert_eq!(seen(&stage, MINJUN).await, (1, 1), "the one without a label");
    assert_eq!(seen(&stage, "USA:carol").await, (2, 2));
    let minjun = stage.client(MINJUN).api();
    stage.refuses("not-found", minjun.proposal(closed)).await;
    stage.refuses("not-found", minjun.labels(closed)).await;
    let absent = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
    let (hidden, absent) = (minjun.proposal(closed).await.unwrap_err(), minjun.proposal(absent).await.unwrap_err());
    assert_eq!(hidden.problem(), absent.problem());
    let refused = stage.assign(&[(closed, MINJUN)], true).await;
    assert_eq!((refused.accepted, refused.faults[0].problem.as_str()), (0, "unsuitable"));
    let shown = stage.client("USA:carol").api().proposal(closed).await.unwrap();
    assert_eq!(shown.label, label(&[], &["propin"]));
    crate::lists::acts_kept_what_lists_go_by(&stage.server.exchange.db).await;
    stage.stop().await;
}

#[tokio::test]
async fn label_never_leaves_out_a_funder() {
    let stage = three_nations_funded_by(&["ISR", "KOR", "USA"]).await;
    let proposal = stage.prepared().await;
    let avi = stage.client("ISR:avi");
    let leaving = avi.plan_labelled(proposal, false, &to(&[], &[])).await.unwrap_err().to_string();
    assert!(leaving.contains("leaves `KOR` out, which funds"), "{leaving}");
    avi.sign(&avi.plan_labelled(proposal, false, &to(&["KOR"], &[])).await.unwrap()).await.unwrap();
    stage.sign("USA:bob", proposal).await;
    let mut plan = avi.plan_label(proposal, &to(&["KOR"], &["propin"])).await.unwrap();
    // By a client that does not look.
    plan.statement.label = label(&[], &[]);
    stage.refuses("label-refused", avi.sign_label(&plan)).await;
    stage.refuses("label-refused", avi.api().preview_label(proposal, label(&[], &[]).as_ref())).await;
    stage.stop().await;
}

#[tokio::test]
async fn label_that_leaves_out_who_opens_the_call_is_refused_before_anybody_signs_or_after() {
    let stage = three_nations().await;
    let officer = BTreeSet::from([CallRole::Officer]);
    stage.client("USA:dana").grant_roles(stage.call, &id(MINJUN), &officer).await.unwrap();
    let proposal = stage.prepared().await;
    let avi = stage.client("ISR:avi");
    let plan = avi.plan_labelled(proposal, false, &to(&[], &[])).await.unwrap();
    stage.refuses("label-refused", avi.sign(&plan)).await;
    let plan = avi.plan_labelled(proposal, false, &to(&["FRA", "KOR"], &[])).await;
    assert!(plan.unwrap_err().to_string().contains("`FRA`, which is not a partner"));
    avi.sign(&avi.plan_labelled(proposal, false, &to(&["KOR"], &[])).await.unwrap()).await.unwrap();
    stage.sign("USA:bob", proposal).await;
    let plan = avi.plan_label(proposal, &to(&[], &[])).await.unwrap();
    stage.refuses("label-refused", avi.sign_label(&plan)).await;
    stage.refuses("label-refused", avi.api().preview_label(proposal, label(&[], &[]).as_ref())).await;
    // The other way round: once the label leaves Korea out, no Korean gets the key to the call.
    stage.client(MINJUN).grant_roles(stage.call, &id(MINJUN), &BTreeSet::new()).await.unwrap();
    relabel(&stage, proposal, &to(&[], &[])).await;
    stage.refuses("unsuitable", stage.client("USA:dana").grant_roles(stage.call, &id(MINJUN), &officer)).await;
    stage.stop().await;
}

#[tokio::test]
async fn narrower_label_takes_keys_and_sight_once_every_owner_has_signed() {
    let stage = three_nations().await;
    let proposal = submitted(&stage, &to(&["KOR"], &[])).await;
    reviewed_by(&stage, proposal, &[MINJUN]).await;
    assert!(holders(&stage, proposal).await.contains(&id(MINJUN)));
    stage.client(MINJUN).read_summary(proposal, entente::client::verified::VersionChoice::Standing).await.unwrap();

    let (avi, bob) = (stage.client("ISR:avi"), stage.client("USA:bob"));
    let plan = avi.plan_label(proposal, &to(&[], &["propin"])).await.unwrap();
    let preview = avi.api().preview_label(proposal, plan.statement.label.as_ref()).await.unwrap();
    let korea = &preview.losses[&code("KOR")];
    assert_eq!((korea.members, korea.views, korea.readings), (1, 1, 1));
    assert_eq!((preview.losses.len(), preview.gains.len(), preview.fetched_before), (1, 0, 1));
    assert_eq!(preview.keys_removed.get(&code("KOR")), Some(&1));
    assert!(preview.items.is_empty(), "parties do not hear who judges them");
    let told = stage.client("ISR:drafter").api().preview_label(proposal, plan.statement.label.as_ref()).await.unwrap();
    assert!(told.items.iter().all(|change| change.member == id(MINJUN) && !change.gains), "{told:?}");
    stage.refuses("not-found", stage.client("KOR:drafter").api().preview_label(proposal, None)).await;

    let waiting = avi.sign_label(&plan).await.unwrap();
    assert_eq!(waiting.label, label(&["KOR"], &[]), "one party alone relabels nothing");
    assert!(holders(&stage, proposal).await.contains(&id(MINJUN)));
    stage.refuses("already-signed", avi.sign_label(&plan)).await;
    let plan = bob.plan_label(proposal, &LabelChoice::Keep).await.unwrap();
    assert_eq!(plan.signed_by, [code("ISR")].into());
    assert_eq!(bob.sign_label(&plan).await.unwrap().label, label(&[], &["propin"]));

    let left = holders(&stage, proposal).await;
    assert_eq!(left, ["ISR:avi", "USA:bob", "USA:carol"].map(id).into());
    assert_eq!(seen(&stage, MINJUN).await, (0, 0));
    stage.refuses("not-found", stage.client(MINJUN).api().vaults(proposal)).await;
    let log = stage.log().await;
    let of = |kind| log.iter().filter(move |entry| entry.kind == kind && entry.proposal == Some(proposal));
    assert_eq!((of(EntryKind::LabelSigned).count(), of(EntryKind::LabelInForce).count()), (2, 2));
    assert!(of(EntryKind::KeyRemoved).any(|entry| entry.payload.contains(MINJUN)));
    let verified = stage.client("USA:carol").label(proposal).await.unwrap();
    assert_eq!((verified.number, verified.signed_by.len()), (1, 2));

    // Wider again: access comes back, and the key when somebody who holds one wraps it.
    relabel(&stage, proposal, &to(&["KOR"], &[])).await;
    assert_eq!(seen(&stage, MINJUN).await, (1, 1));
    assert!(!holders(&stage, proposal).await.contains(&id(MINJUN)));
    stage.prepare_panel().await;
    assert!(holders(&stage, proposal).await.contains(&id(MINJUN)));
    relabel(&stage, proposal, &LabelChoice::Remove).await;
    assert_eq!(stage.client("USA:carol").api().proposal(proposal).await.unwrap().label, None);
    crate::lists::acts_kept_what_lists_go_by(&stage.server.exchange.db).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn label_is_decided_on_before_its_turn_for_all_holders_of_keys() {
    let stage = three_nations().await;
    let (avi, bob) = (stage.client("ISR:avi"), stage.client("USA:bob"));
    let guests = bulk::guests(&stage, &["ISR", "USA"], 6).await;
    // Those who hold keys come in between, so that no client looks at members whom nobody asked.
    let mut made = Vec::new();
    for guests in [&[][..], &guests] {
        let prepared = stage.prepared().await;
        avi.sign(&avi.plan_labelled(prepared, false, &to(&["KOR"], &[])).await.unwrap()).await.unwrap();
        let plan = bob.plan_signature(prepared).await.unwrap();
        bulk::hold_keys(&stage, prepared, guests).await;
        let (signed, of_version) = decisions_in_turn(&stage, bob.sign(&plan)).await;
        assert_eq!(signed.unwrap().label, label(&["KOR"], &[]));

        let proposal = submitted(&stage, &to(&["KOR"], &[])).await;
        avi.sign_label(&avi.plan_label(proposal, &to(&[], &[])).await.unwrap()).await.unwrap();
        let plan = bob.plan_label(proposal, &LabelChoice::Keep).await.unwrap();
        bulk::hold_keys(&stage, proposal, guests).await;
        let (signed, of_label) = decisions_in_turn(&stage, bob.sign_label(&plan)).await;
        assert_eq!(signed.unwrap().label, label(&[], &[]));
        made.push([of_version, of_label]);
    }
    assert_eq!(made[0], made[1]);
    stage.stop().await;
}

#[tokio::test]
async fn relabelling_that_is_malformed_late_or_anothers_is_refused() {
    let stage = three_nations().await;
    let prepared = stage.prepared().await;
    let avi = stage.client("ISR:avi");
    let proposal = submitted(&stage, &to(&["KOR"], &[])).await;
    let plan = avi.plan_label(proposal, &to(&[], &[])).await.unwrap();
    let send = |member: &'static str, statement: LabelStatement| {
        let signed = sign_statement(&key_of(&stage, member), &statement).unwrap();
        let client = stage.client(member);
        async move { client.api().sign_label(statement.proposal, &SignLabel { statement: signed }).await }
    };
    let changed = |change: &dyn Fn(&mut LabelStatement)| {
        let mut statement = plan.statement.clone();
        change(&mut statement);
        statement
    };
    let early = changed(&|statement| statement.proposal = prepared);
    stage.refuses("wrong-status", send("ISR:avi", early)).await;
    let other = changed(&|statement| statement.manifest_sha256 = Sha256::of(b"another"));
    stage.refuses("label-refused", send("ISR:avi", other)).await;
    stage.refuses("label-taken", send("ISR:avi", changed(&|statement| statement.number = 2))).await;
    let replaces = changed(&|statement| statement.replaces = Some(Sha256::of(b"another")));
    stage.refuses("label-refused", send("ISR:avi", replaces)).await;
    stage.refuses("label-refused", send("ISR:avi", changed(&|s| s.label = label(&["KOR"], &[])))).await;
    // A label of 2099, or one that lay about.
    let (ahead, old) = (SignedDuration::from_mins(11), SignedDuration::from_hours(25));
    for stated_at in ["2099-01-01T00:00:00Z".parse().unwrap(), stage.clock.now() + ahead, stage.clock.now() - old] {
        stage.refuses("statement-invalid", send("ISR:avi", changed(&|s| s.stated_at = stated_at))).await;
    }
    let without_owner = Label { releasable_to: [code("ISR")].into(), caveats: [].into() };
    stage.refuses("label-refused", send("ISR:avi", changed(&|s| s.label = Some(without_owner.clone())))).await;
    stage.refuses("denied", send("USA:dana", plan.statement.clone())).await;
    let garbage = SignLabel { statement: "no statement".into() };
    stage.refuses("statement-invalid", avi.api().sign_label(proposal, &garbage)).await;
    stage.declines(ExitClass::Usage, "no relabelling waits", avi.plan_label(proposal, &LabelChoice::Keep)).await;
    stage.declines(ExitClass::Usage, "that is the label", avi.plan_label(proposal, &to(&["KOR"], &[]))).await;
    stage.stop().await;
}

#[tokio::test]
async fn new_version_keeps_the_label_unless_it_says_otherwise() {
    let stage = three_nations().await;
    let proposal = submitted(&stage, &to(&["KOR"], &["propin"])).await;
    relabel(&stage, proposal, &to(&[], &["propin"])).await;
    let annex = stage.file("annex.bin", b"measurements");
    stage.put("ISR:avi", proposal, "annex", &annex).await;
    let plan = stage.client("ISR:avi").plan_signature(proposal).await.unwrap();
    assert_eq!(plan.manifest.label, label(&[], &["propin"]));
    stage.client("ISR:avi").sign(&plan).await.unwrap();
    assert_eq!(stage.client("USA:bob").api().proposal(proposal).await.unwrap().label, label(&[], &["propin"]));
    // Bob wants another: that is another version, and the client says so.
    let wanted = to(&["KOR"], &[]);
    let another = stage.client("USA:bob").plan_labelled(proposal, false, &wanted);
    stage.declines(ExitClass::Usage, "the label is to be", another).await;
    let plan = stage.client("USA:bob").plan_labelled(proposal, true, &wanted).await.unwrap();
    stage.client("USA:bob").sign(&plan).await.unwrap();
    stage.sign("ISR:avi", proposal).await;
    let shown = stage.client("USA:bob").api().proposal(proposal).await.unwrap();
    assert_eq!((shown.version, shown.label), (Some(3), label(&["KOR"], &[])));
    assert_eq!(
        stage.client("USA:bob").label(proposal).await.unwrap().number,
        0,
        "the relabelling was of a version before"
    );
    stage.stop().await;
}

#[tokio::test]
async fn key_is_not_wrapped_past_the_signed_label_whatever_the_exchange_says() {
    let stage = three_nations().await;
    let proposal = submitted(&stage, &to(&["KOR"], &[])).await;
    reviewed_by(&stage, proposal, &[]).await;
    relabel(&stage, proposal, &to(&[], &[])).await;
    // The exchange forgets the relabelling, so that it would have Minjun read, and asks for his key.
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    for sql in [
        "INSERT INTO label_partners (proposal_id, partner) VALUES ($1, 'KOR')",
        "UPDATE proposals SET releasable_key = ' ISR KOR USA ' WHERE proposal_id = $1",
        "INSERT INTO assignments (proposal_id, reviewer, assigned_by, assigned_at) VALUES ($1, 'KOR:minjun', 'USA:dana', 0)",
        "INSERT INTO declarations (proposal_id, member, conflict, declared_at) VALUES ($1, 'KOR:minjun', FALSE, 0)",
    ] {
        tx.execute(sql, args![proposal]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let dana = stage.client("USA:dana");
    let asked = dana.api().missing_keys(proposal).await.unwrap();
    assert!(asked.iter().any(|key| key.holder == id(MINJUN) && key.kind == VaultKind::Panel), "so it asks: {asked:?}");
    let refused = |wrapped: entente::client::vaults::Wrapped, saying: &str| {
        assert!(wrapped.done.is_empty(), "{wrapped:?}");
        for (_, error) in &wrapped.refused {
            assert_eq!(error.class(), ExitClass::Unverified, "{error:?}");
            assert!(error.to_string().contains(saying), "{error}");
        }
        assert!(!wrapped.refused.is_empty());
    };
    refused(dana.wrap_missing(proposal).await.unwrap(), "another label than the one that the owners signed");
    // It hides the relabelling as well: a client that has seen it notices.
    dana.label(proposal).await.unwrap_err();
    for sql in [
        "DELETE FROM label_signatures WHERE proposal_id = $1 AND number = 1",
        "DELETE FROM label_statements WHERE proposal_id = $1 AND number = 1",
    ] {
        tamper(&stage, sql, args![proposal]).await;
    }
    refused(dana.wrap_missing(proposal).await.unwrap(), "label 0 of");
    assert_eq!(holders(&stage, proposal).await, ["ISR:avi", "USA:bob", "USA:carol"].map(id).into());
    stage.stop().await;
}

/// Puts guardrails in force that say nothing of labels, as the host could.
async fn forget_labels(stage: &Stage) {
    let (before, rest) = GUARDRAILS.split_once("@id(\"outside-the-label\")").unwrap();
    let text = format!("{before}@id({}", rest.split_once("@id(").unwrap().1);
    let owner = PolicyOwner::Guardrails;
    let (drafter, approver) = (stage.client("USA:drafter"), stage.client("USA:approver"));
    let at = stage.clock.now() + SignedDuration::from_hours(73);
    let proposed = drafter.propose_policy(&owner, "guardrails", &text, Some(at)).await.unwrap();
    let (_, told) = approver.preview_policy(&proposed).await.unwrap();
    approver.approve_policy(&proposed, &told).await.unwrap();
    stage.clock.set(at);
}

#[tokio::test]
async fn label_holds_for_keys_under_guardrails_that_do_not_know_of_it() {
    let stage = three_nations().await;
    let proposal = submitted(&stage, &to(&[], &[])).await;
    reviewed_by(&stage, proposal, &[]).await;
    forget_labels(&stage).await;
    stage.assign(&[(proposal, MINJUN)], false).await;
    stage.clear(proposal, &[MINJUN]).await;
    let dana = stage.client("USA:dana");
    let asked = dana.api().missing_keys(proposal).await.unwrap();
    assert_eq!(asked.iter().map(|key| key.holder.clone()).collect::<Vec<_>>(), [id(MINJUN)], "so it asks");
    let wrapped = dana.wrap_missing(proposal).await.unwrap();
    assert!(wrapped.done.is_empty());
    let (_, error) = &wrapped.refused[0];
    assert_eq!(error.class(), ExitClass::Unverified, "{error:?}");
    assert!(error.to_string().contains("the owners signed `REL TO ISR, USA`"), "{error}");

    // A client that wraps all the same is refused by the exchange.
    let recipient = dana.member(&id(MINJUN)).await.unwrap().card.recipients[0].clone();
    let ciphertext = VaultSecret::generate().wrap(&recipient).unwrap();
    let (vault, to) = (asked[0].vault, WrapTarget::Member(id(MINJUN)));
    let statement = WrapStatement { vault, to, recipient, sha256: Sha256::of(&ciphertext) };
    let statement = sign_statement(&key_of(&stage, "USA:dana"), &statement).unwrap();
    let keys = vec![WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) }];
    stage.refuses("wrap-refused", dana.api().add_keys(vault, &AddKeys { keys })).await;
    stage.stop().await;
}
