//! What `verify` names when somebody with the database in hand has changed it so that every signature still verifies; and that it
//! names nothing while members act. Members act with the real client over mutual TLS, on both engines.

mod running;

use crate::harness::{
    stage::{Stage, code, id, review, slug},
    world::Store,
};
use entente::{
    client::labels::LabelChoice,
    domain::{
        ambient::SystemRng,
        decision::Outcome,
        id::{ProposalId, Sha256},
    },
    sealing::{
        canonical,
        jws::SigningKey,
        statement::{CallPublication, Manifest, Statement as _, sign_statement, verify_signed},
    },
    service::verify::{Finding, VerificationEvent, verify},
    storage::{Arg, BlobEngine, BlobFolder, Row, Sql, args, db::tables::Tables},
};
use std::{fs, path::PathBuf, sync::Arc};

/// The place with the documents of an exchange.
fn documents(stage: &Stage) -> Arc<dyn BlobEngine> {
    Arc::new(BlobFolder::new(stage.blobs_folder(), 0))
}

/// What a verification finds, a line each, in order.
async fn found(stage: &Stage) -> Vec<String> {
    let exchange = &stage.server.exchange;
    let mut found = Vec::new();
    let mut hear = |look| {
        if let VerificationEvent::Found(Finding { what, fault }) = look {
            found.push(format!("{what}: {fault}"));
        }
    };
    let verified = verify(&Tables::In(exchange.db.clone()), &documents(stage), &mut hear).await.unwrap();
    assert_eq!(verified.findings, found.len() as u64);
    found.sort();
    found
}

/// Changes what the exchange holds, as its operator could; it must have changed something.
async fn tamper(stage: &Stage, sql: impl Into<String>, args: Vec<Arg>) {
    let sql = sql.into();
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    assert!(tx.execute(Sql::once(sql.clone()), args).await.unwrap() > 0, "nothing was changed: {sql}");
    tx.commit().await.unwrap();
}

async fn row(stage: &Stage, sql: impl Into<String>) -> Row {
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    tx.fetch_one(Sql::once(sql.into()), args![]).await.unwrap()
}

async fn look(stage: &Stage, sql: impl Into<String>) -> String {
    row(stage, sql).await.text("it").unwrap()
}

/// Lets two rows of a table change what they hold in these columns; `*` before a name: bytes.
async fn swap(stage: &Stage, table: &str, columns: &[&str], rows: [&str; 2]) {
    let name = |column: &&str| column.trim_start_matches('*').to_owned();
    let names: Vec<String> = columns.iter().map(name).collect();
    let mut held = Vec::new();
    for condition in rows {
        let row = row(stage, format!("SELECT {} FROM {table} WHERE {condition}", names.join(", "))).await;
        let value = |column: &&str| match column.strip_prefix('*') {
            Some(bytes) => Arg::Bytes(Some(row.bytes(bytes).unwrap())),
            None => Arg::Text(Some(row.text(column).unwrap())),
        };
        held.push(columns.iter().map(value).collect::<Vec<Arg>>());
    }
    assert_ne!(held[0], held[1], "{table}");
    let set: Vec<String> = (1..).zip(&names).map(|(n, name)| format!("{name} = ${n}")).collect();
    for (condition, values) in rows.into_iter().zip(held.into_iter().rev()) {
        tamper(stage, format!("UPDATE {table} SET {} WHERE {condition}", set.join(", ")), values).await;
    }
}

/// The file of the document with this digest.
async fn file_of(stage: &Stage, sha256: Sha256) -> PathBuf {
    let key = look(stage, format!("SELECT blob_key AS it FROM documents WHERE sha256 = '{sha256}'")).await;
    stage.blobs_folder().join("blobs").join(&key[..2]).join(key)
}

/// Two proposals of the same parties, relabelled, reviewed by Carol, decided, with letters sent.
async fn two_decided(stage: &Stage) -> [ProposalId; 2] {
    let both = [stage.submitted().await, stage.submitted().await];
    let choice = LabelChoice::Put { others: [].into(), caveats: [slug("propin")].into() };
    for proposal in both {
        for member in ["ISR:avi", "USA:bob"] {
            let client = stage.client(member);
            client.sign_label(&client.plan_label(proposal, &choice).await.unwrap()).await.unwrap();
        }
    }
    stage.pass_the_opening();
    for proposal in both {
        stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
        stage.assign(&[(proposal, "USA:carol")], false).await;
        stage.clear(proposal, &["USA:carol"]).await;
    }
    stage.prepare_panel().await;
    for proposal in both {
        stage.client("USA:carol").submit_review(proposal, &review(4.5, 4.0)).await.unwrap();
        for member in ["USA:frank", "ISR:eitan"] {
            stage.client(member).sign_decision(proposal, Outcome::Fund).await.unwrap();
        }
        stage.client("USA:dana").send_letter(proposal, "You are funded.").await.unwrap();
    }
    both
}

async fn on_both_engines(test: impl AsyncFn(Stage)) {
    for store in [Store::Sqlite, Store::Postgres] {
        if let Some(stage) = Stage::open_on(store).await {
            test(stage).await;
        }
    }
}

#[tokio::test]
async fn submission_that_was_replaced_with_everything_that_names_it_is_not_what_was_signed() {
    on_both_engines(async |stage| {
        let proposal = stage.submitted().await;
        assert_eq!(found(&stage).await, Vec::<String>::new());
        let body = look(&stage, "SELECT body AS it FROM manifests").await;
        let mut manifest: Manifest = serde_json::from_str(&body).unwrap();
        let plan = manifest.documents.iter_mut().find(|document| document.slot == slug("work-plan")).unwrap();
        let (before, after) = (plan.sha256, b"another plan".as_slice());
        fs::write(file_of(&stage, before).await, after).unwrap();
        (plan.sha256, plan.size) = (Sha256::of(after), after.len() as u64);
        let digests = args![plan.sha256, plan.size, before];
        tamper(&stage, "UPDATE documents SET sha256 = $1, size = $2 WHERE sha256 = $3", digests).await;
        let body = String::from_utf8(canonical::to_vec(&manifest).unwrap()).unwrap();
        let sha256 = manifest.digest().unwrap();
        tamper(&stage, "UPDATE manifests SET body = $1, sha256 = $2", args![body, sha256]).await;
        let version = format!("version 1 of proposal {proposal}");
        assert_eq!(found(&stage).await, [format!("{version}: is not what was signed for ISR and USA")]);
        // Nor does it help to take away what it contradicts.
        tamper(&stage, "DELETE FROM manifest_signatures WHERE partner = 'ISR'", args![]).await;
        assert_eq!(found(&stage).await, [format!("{version}: is not what was signed for USA")]);
        tamper(&stage, "DELETE FROM manifest_signatures", args![]).await;
        assert_eq!(found(&stage).await, [format!("{version}: has no signature for ISR and USA")]);
        stage.stop().await;
    })
    .await;
}

#[tokio::test]
async fn names_that_differ_from_what_was_signed_are_named() {
    on_both_engines(async |stage| {
        let proposal = stage.submitted().await;
        assert_eq!(found(&stage).await, Vec::<String>::new());
        tamper(&stage, "UPDATE proposals SET number = '1' || number", args![]).await;
        tamper(&stage, "UPDATE calls SET code = 'OTHER26'", args![]).await;
        let mut expected = [
            format!("version 1 of proposal {proposal}: its manifest names another reference than the proposal has"),
            format!("the text of call {}: has another code than is on record", stage.call),
        ];
        expected.sort();
        let mut found = found(&stage).await;
        found.sort();
        assert_eq!(found, expected);
        stage.stop().await;
    })
    .await;
}

#[tokio::test]
async fn statements_of_one_member_that_changed_their_places_are_named() {
    on_both_engines(async |stage| {
        let both = two_decided(&stage).await;
        assert_eq!(found(&stage).await, Vec::<String>::new());
        let mut expected = Vec::new();
        let of = |more: &str| both.map(|proposal| format!("proposal_id = '{proposal}'{more}"));
        for (table, columns, more, key, other) in [
            ("reviews", &["statement", "*ciphertext"][..], "", "review_id", "proposal_id"),
            ("letters", &["statement", "*ciphertext"], "", "letter_id", "proposal_id"),
            ("assignments", &["statement"], "", "proposal_id || ' ' || reviewer", "proposal_id"),
            ("vaults", &["statement"], " AND kind = 'panel'", "vault_id", "vault_id"),
            ("party_invitations", &["acceptance"], "", "proposal_id || ' USA:bob 1'", "proposal_id"),
            ("manifest_signatures", &["jws"], " AND partner = 'ISR'", "proposal_id || ' 1 ISR'", "proposal_id"),
            ("label_signatures", &["jws"], " AND partner = 'ISR'", "proposal_id || ' 1 ISR'", "proposal_id"),
            (
                "declaration_statements",
                &["statement", "statement_sha256"],
                " AND member = 'USA:carol'",
                "proposal_id || ' USA:carol 1'",
                "proposal_id",
            ),
        ] {
            let rows = of(more);
            swap(&stage, table, columns, [&rows[0], &rows[1]]).await;
            for condition in rows {
                let key = look(&stage, format!("SELECT {key} AS it FROM {table} WHERE {condition}")).await;
                expected.push(format!("`{}` of `{table}` {key}: says another `{other}` than its row", columns[0]));
            }
        }
        let changes = ["number = 2", "number = 3"];
        swap(&stage, "role_statements", &["statement", "statement_sha256", "stated_by"], changes).await;
        for number in [2, 3] {
            let call = stage.call;
            let fault = "says another `number` than its row";
            expected.push(format!("`statement` of `role_statements` {call} {number}: {fault}"));
        }
        // Who decides says of which proposal, not in which row.
        let mut decisions = Vec::new();
        for proposal in both {
            let sql = format!("SELECT decision_id AS it FROM decisions WHERE proposal_id = '{proposal}'");
            let decision = look(&stage, sql).await;
            decisions.push(format!("decision_id = '{decision}' AND partner = 'USA'"));
            expected.push(format!("decision {decision} on proposal {proposal}: is not what was signed for USA"));
        }
        swap(&stage, "decision_signatures", &["jws"], [&decisions[0], &decisions[1]]).await;
        expected.sort();
        assert_eq!(found(&stage).await, expected);
        stage.stop().await;
    })
    .await;
}

#[tokio::test]
async fn rows_that_contradict_what_was_signed_or_lack_it_are_named_each() {
    on_both_engines(async |stage| {
        let [first, second] = two_decided(&stage).await;
        let call = stage.call;
        let decision =
            look(&stage, format!("SELECT decision_id AS it FROM decisions WHERE proposal_id = '{first}'")).await;
        let document = look(
            &stage,
            format!("SELECT document_id AS it FROM documents WHERE slot = 'work-plan' AND proposal_id = '{first}'"),
        )
        .await;
        let entries = stage.log().await.len();
        for sql in [
            format!("UPDATE decisions SET outcome = 'decline' WHERE proposal_id = '{first}'"),
            format!("UPDATE label_statements SET manifest_sha256 = sha256 WHERE proposal_id = '{first}'"),
            format!("UPDATE label_statements SET body = body || ' ' WHERE proposal_id = '{second}'"),
            format!("DELETE FROM decision_signatures WHERE decision_id <> '{decision}' AND partner = 'ISR'"),
            format!("UPDATE assignments SET statement = NULL WHERE proposal_id = '{first}'"),
            format!("UPDATE reviews SET revision = 2 WHERE proposal_id = '{second}'"),
            format!("UPDATE documents SET sha256 = 'none' WHERE document_id = '{document}'"),
            format!("UPDATE documents SET slot = 'annex' WHERE slot = 'work-plan' AND proposal_id = '{second}'"),
            "UPDATE calls SET publication = NULL, text_json = text_json || ' '".to_owned(),
            "UPDATE call_texts SET text_json = text_json || ' '".to_owned(),
            "UPDATE policy_versions SET approval = NULL WHERE owner = 'ISR'".to_owned(),
            "UPDATE partners SET card_sha256 = 'none' WHERE partner = 'KOR'".to_owned(),
            "INSERT INTO log_entries (seq, at, kind, readers, payload, salt) SELECT seq + 1, at, 'partner.changed', readers, \
             '{', salt FROM log_entries ORDER BY seq DESC LIMIT 1"
                .to_owned(),
            "INSERT INTO log_entries (seq, at, kind, readers, payload, salt) SELECT seq + 1, at, 'call.edited', readers, '', \
             salt FROM log_entries ORDER BY seq DESC LIMIT 1"
                .to_owned(),
        ] {
            tamper(&stage, sql, args![]).await;
        }
        let review = look(&stage, format!("SELECT review_id AS it FROM reviews WHERE proposal_id = '{second}'")).await;
        let unsigned =
            look(&stage, format!("SELECT decision_id AS it FROM decisions WHERE proposal_id = '{second}'")).await;
        let mut expected = vec![
            format!("decision {decision} on proposal {first}: is not what was signed for ISR and USA"),
            format!("decision {unsigned} on proposal {second}: is final and has no signature for ISR"),
            format!("label 1 of proposal {first}: its statement is of another proposal, number or version"),
            format!("label 1 of proposal {second}: its body does not have the digest on record"),
            format!("`statement` of `assignments` {first} USA:carol: is missing"),
            format!("`statement` of `reviews` {review}: says another `revision` than its row"),
            format!("document {document} of proposal {first}: its row has no key, size and digest of a document"),
            format!("version 1 of proposal {first}: 1 of the documents that it names have no row that says the same"),
            format!("version 1 of proposal {second}: 1 of the documents that it names have no row that says the same"),
            format!("`publication` of `calls` {call}: is missing"),
            format!("the text of call {call}: does not have the digest on record"),
            format!("`publication` of `call_texts` {call} 1: `text_json` has other bytes than the statement names"),
            "`approval` of `policy_versions` ISR 1: is missing".to_owned(),
            "the card of partner KOR: does not have the digest on record".to_owned(),
            format!("entry {} of the log: its payload is not JSON", entries + 1),
            format!("entry {} of the log: its payload is not JSON", entries + 2),
        ];
        expected.sort();
        assert_eq!(found(&stage).await, expected);
        stage.stop().await;
    })
    .await;
}

#[tokio::test]
async fn text_of_a_call_counts_under_a_key_that_a_key_card_of_its_host_names_and_no_other() {
    on_both_engines(async |stage| {
        assert_eq!(found(&stage).await, Vec::<String>::new());
        let jws = look(&stage, "SELECT publication AS it FROM calls").await;
        let mut publication = verify_signed::<CallPublication>(&jws).unwrap().statement;
        publication.text["title"] = "Another title".into();
        let text = String::from_utf8(canonical::to_vec(&publication.text).unwrap()).unwrap();
        publication.text_sha256 = Sha256::of(text.as_bytes());
        // A new key of the host's own authority that no key card names, and one that a key card of another nation names.
        let authority = &stage.pki.partners[&code("USA")].authority;
        let fresh = authority.issue(&authority.member(&id("USA:dana")), &SystemRng).unwrap();
        for credential in [&fresh, stage.credential("ISR:noa")] {
            let pem = credential.private_key.expose().as_bytes();
            let key = SigningKey::from_pem(pem, credential.certificate.as_bytes()).unwrap();
            let jws = sign_statement(&key, &publication).unwrap();
            for table in ["calls", "call_texts"] {
                let sql = format!("UPDATE {table} SET publication = $1, text_json = $2, text_sha256 = $3");
                tamper(&stage, sql, args![jws, text, publication.text_sha256]).await;
            }
            let fault = "is signed by a key that no key card of a member of USA names";
            let call = stage.call;
            let expected = [
                format!("`publication` of `call_texts` {call} 1: {fault}"),
                format!("`publication` of `calls` {call}: {fault}"),
            ];
            assert_eq!(found(&stage).await, expected);
        }
        stage.stop().await;
    })
    .await;
}

#[tokio::test]
async fn member_who_was_put_into_a_party_without_having_joined_is_named() {
    on_both_engines(async |stage| {
        let proposal = stage.begun().await;
        assert_eq!(found(&stage).await, Vec::<String>::new(), "who began it, and who was asked and joined");
        let put = "INSERT INTO proposal_members (proposal_id, member, partner, added_at) \
                   SELECT proposal_id, 'ISR:tamar', 'ISR', added_at FROM proposal_members WHERE member = 'ISR:avi'";
        tamper(&stage, put.to_owned(), Vec::new()).await;
        let wanted = format!(
            "member ISR:tamar of proposal {proposal}: is on record in one of its parties, but no signed statement of theirs says that they joined"
        );
        assert_eq!(found(&stage).await, [wanted]);
        tamper(&stage, "DELETE FROM proposal_members WHERE member = 'ISR:tamar'".to_owned(), Vec::new()).await;
        // One who did, by an invitation of somebody else than is said now.
        tamper(&stage, "DELETE FROM party_invitations WHERE member = 'USA:bob'".to_owned(), Vec::new()).await;
        let found = found(&stage).await;
        assert!(found.len() == 1 && found[0].starts_with("member USA:bob"), "{found:?}");
    })
    .await;
}
