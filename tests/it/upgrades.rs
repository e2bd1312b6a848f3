//! Migrations over data that an earlier program wrote, on both engines.

use crate::store_facade::{Store, at, on_both_engines};
use entente::{
    domain::{
        entry::EntryKind,
        id::{PartnerCode, Sha256},
    },
    storage::{
        args, documents,
        inspect::{self, FoundDatabase},
        migrate,
        partners::{self, ListRecord, PartnerRow},
        visible,
    },
};
use std::collections::BTreeMap;

on_both_engines! {
    wrapped_keys_from_before_are_kept_and_stand_side_by_side,
    partners_from_before_need_no_lists_until_some_are_found,
    entries_about_interests_get_the_names_of_what_was_done,
    organisations_from_before_are_compared_as_people_see_them,
    party_members_from_before_work_where_lists_look,
    documents_from_before_count_for_their_nation,
    reviews_from_before_name_who_reopened_them,
    calls_from_before_have_no_code_and_their_proposals_no_number,
}

async fn wrapped_keys_from_before_are_kept_and_stand_side_by_side(store: Store) {
    migrate::apply(&store.db, &migrate::ALL[..7], at(0)).await.unwrap();
    let before = [
        "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) \
         VALUES ('ISR', 'Israel', 'UTC', '{}', '', 1, 1)",
        "INSERT INTO members (member, partner, name, organisation, roles, key_card, serial, status, valid_from, valid_until, \
         published_at) VALUES ('ISR:avi', 'ISR', 'Avi', 'Optics', '', 'a.b.c', 1, 'active', 1, 9, 1), \
         ('ISR:tamar', 'ISR', 'Tamar', 'Optics', '', 'a.b.c', 1, 'active', 1, 9, 1)",
        "INSERT INTO programs (program_id, name, lead, created_by, created_at) VALUES ('prog', 'Joint', 'ISR', 'ISR:avi', 1)",
        "INSERT INTO calls (call_id, program_id, text_json, text_sha256, version, baseline, revision, created_by, created_at) \
         VALUES ('call', 'prog', '{}', '', 1, 1, 1, 'ISR:avi', 1)",
        "INSERT INTO vaults (vault_id, place, kind, call_id, recipient, statement, created_by, created_at) \
         VALUES ('vault', 'call', 'call', 'call', 'age1v', 'a.b.c', 'ISR:avi', 1)",
    ];
    let wrap = |key: &'static str, by: &'static str| {
        let sql = "INSERT INTO wrapped_keys (key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by, wrapped_at) \
                   VALUES ($1, 'vault', 'ISR:avi', 'age1a', 'a.b.c', $2, $3, 1)";
        (sql, args![key, vec![1_u8, 2], by])
    };
    let mut tx = store.db.write().await.unwrap();
    for sql in before {
        tx.execute(sql, args![]).await.unwrap();
    }
    let (sql, args) = wrap("key_1", "ISR:avi");
    tx.execute(sql, args).await.unwrap();
    tx.commit().await.unwrap();
    let (sql, args) = wrap("key_2", "ISR:tamar");
    assert_eq!(store.refusal(sql, args).await, "wrapped_keys_vault_id_holder_recipient_key", "one for all until now");

    migrate::run(&store.db, at(8)).await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    let (sql, args) = wrap("key_2", "ISR:tamar");
    tx.execute(sql, args).await.unwrap();
    tx.commit().await.unwrap();
    let (sql, args) = wrap("key_3", "ISR:tamar");
    assert_eq!(store.refusal(sql, args).await, "wrapped_keys_vault_id_holder_recipient_wrapped_by_key");
    let change = "UPDATE wrapped_keys SET wrapped_by = 'ISR:tamar'";
    assert_eq!(store.refusal(change, args![]).await, "wrapped_keys_final");
    let mut tx = store.db.read().await.unwrap();
    let kept = tx.fetch_all("SELECT key_id, ciphertext FROM wrapped_keys ORDER BY key_id", args![]).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|row| (row.text("key_id").unwrap(), row.bytes("ciphertext").unwrap())).collect();
    assert_eq!(kept, [("key_1".to_owned(), vec![1, 2]), ("key_2".to_owned(), vec![1, 2])]);
}

async fn entries_about_interests_get_the_names_of_what_was_done(store: Store) {
    migrate::apply(&store.db, &migrate::ALL[..17], at(0)).await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    for (seq, kind) in [(1, "conflict.declared"), (2, "conflict.denied"), (3, "conflict.lifted"), (4, "call.drafted")] {
        let sql = "INSERT INTO log_entries (seq, at, kind, readers, payload, salt) VALUES ($1, 0, $2, 'x', '{}', $3)";
        tx.execute(sql, args![seq, kind, Vec::<u8>::new()]).await.unwrap();
    }
    tx.commit().await.unwrap();
    migrate::run(&store.db, at(1)).await.unwrap();
    let mut tx = store.db.read().await.unwrap();
    let kinds = tx.fetch_all("SELECT kind FROM log_entries ORDER BY seq", args![]).await.unwrap();
    let kinds: Vec<EntryKind> = kinds.iter().map(|row| row.parse("kind").unwrap()).collect();
    let (conflict, clear, lifted) = (EntryKind::ConflictDeclared, EntryKind::ClearDeclared, EntryKind::ConflictLifted);
    assert_eq!(kinds, [conflict, clear, lifted, EntryKind::CallDrafted]);
    drop(tx);
    let refused = store.refusal("UPDATE log_entries SET kind = 'call.edited'", args![]).await;
    assert_eq!(refused, "log_entries_append_only", "as before");
}

async fn partners_from_before_need_no_lists_until_some_are_found(store: Store) {
    migrate::apply(&store.db, &migrate::ALL[..10], at(0)).await.unwrap();
    let isr: PartnerCode = "ISR".parse().unwrap();
    let row = PartnerRow {
        partner: isr.clone(),
        name: "Israel".into(),
        zone: "UTC".into(),
        card: "{}".into(),
        card_sha256: Sha256::of(b"{}"),
        suspension: None,
    };
    let mut tx = store.db.write().await.unwrap();
    partners::enrol(&mut tx, &row, at(1)).await.unwrap();
    tx.commit().await.unwrap();
    // The program looks at an older database before it changes it.
    let found = inspect::inspect(store.url()).await.unwrap();
    assert!(matches!(found, FoundDatabase::Exchange { schema: 10, .. }), "{found:?}");

    migrate::run(&store.db, at(2)).await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    assert_eq!(partners::list_records(&mut tx).await.unwrap(), BTreeMap::new());
    let files = ["ISR.pem".to_owned(), "ISR/b.crl".to_owned()];
    partners::record_lists(&mut tx, &isr, &files).await.unwrap();
    // Another card of the partner changes nothing about it.
    partners::enrol(&mut tx, &row, at(3)).await.unwrap();
    tx.commit().await.unwrap();
    let record = ListRecord::Found(files.to_vec());
    match inspect::inspect(store.url()).await.unwrap() {
        FoundDatabase::Exchange { lists, .. } => assert_eq!(lists, BTreeMap::from([(isr.clone(), record)])),
        found => panic!("{found:?}"),
    }
    let mut tx = store.db.write().await.unwrap();
    partners::record_lists(&mut tx, &isr, &[]).await.unwrap();
    assert_eq!(partners::list_records(&mut tx).await.unwrap(), BTreeMap::from([(isr, ListRecord::Waived)]));
}

async fn organisations_from_before_are_compared_as_people_see_them(store: Store) {
    migrate::run(&store.db, at(0)).await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    let partner = "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) \
                   VALUES ('ISR', 'Israel', 'UTC', '{}', '', 1, 1)";
    tx.execute(partner, args![]).await.unwrap();
    let member = "INSERT INTO members (member, partner, name, organisation, roles, key_card, serial, status, valid_from, \
                  valid_until, published_at, organisation_folded) VALUES ($1, 'ISR', 'A', $2, '', 'a.b.c', 1, 'active', 1, 9, 1, $3)";
    // More than are looked at at once; the earlier program only knew lower case and outer blanks, and some rows have no form yet.
    for number in 0..600 {
        let (organisation, before) = match number % 3 {
            0 => ("Universita\u{308}t  Straße", Some("universita\u{308}t  straße")),
            1 => ("UNIVERSITÄT STRASSE", Some("universität strasse")),
            _ => ("universität\u{a0}strasse", None),
        };
        tx.execute(member, args![format!("ISR:m{number}"), organisation, before.map(str::to_owned)]).await.unwrap();
    }
    tx.commit().await.unwrap();
    visible::fold_organisations(&store.db).await.unwrap();
    let folded = "SELECT organisation_folded AS form, COUNT(*) AS n FROM members GROUP BY organisation_folded";
    let forms = store.db.read().await.unwrap().fetch_all(folded, args![]).await.unwrap();
    let forms: Vec<_> = forms.iter().map(|row| (row.text("form").unwrap(), row.count("n").unwrap())).collect();
    assert_eq!(forms, [("universität strasse".to_owned(), 600)]);
}

async fn party_members_from_before_work_where_lists_look(store: Store) {
    migrate::apply(&store.db, &migrate::ALL[..19], at(0)).await.unwrap();
    let before = [
        "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) \
         VALUES ('ISR', 'Israel', 'UTC', '{}', '', 1, 1)",
        "INSERT INTO members (member, partner, name, organisation, roles, key_card, serial, status, valid_from, valid_until, \
         published_at, organisation_folded) VALUES \
         ('ISR:stayed', 'ISR', 'A', 'Optics', '', 'a.b.c', 1, 'active', 1, 9, 1, 'optics'), \
         ('ISR:moved', 'ISR', 'A', 'Sensing', '', 'a.b.c', 1, 'active', 1, 9, 1, 'sensing'), \
         ('ISR:alone', 'ISR', 'A', '', '', 'a.b.c', 1, 'active', 1, 9, 1, ''), \
         ('ISR:raw', 'ISR', 'A', 'ROBOTICS', '', 'a.b.c', 1, 'active', 1, 9, 1, NULL)",
        "INSERT INTO programs (program_id, name, lead, created_by, created_at) VALUES ('prog', 'Joint', 'ISR', 'ISR:stayed', 1)",
        "INSERT INTO calls (call_id, program_id, text_json, text_sha256, version, baseline, revision, created_by, created_at) \
         VALUES ('call', 'prog', '{}', '', 1, 1, 1, 'ISR:stayed', 1)",
        "INSERT INTO proposals (proposal_id, call_id, created_by, created_at) VALUES ('prop', 'call', 'ISR:stayed', 1)",
        "INSERT INTO proposal_members (proposal_id, member, partner, added_at, deadline_organisation, deadline_organisation_folded) \
         VALUES ('prop', 'ISR:stayed', 'ISR', 1, NULL, NULL), ('prop', 'ISR:moved', 'ISR', 1, 'Optics', 'optics'), \
         ('prop', 'ISR:alone', 'ISR', 1, NULL, NULL), ('prop', 'ISR:raw', 'ISR', 1, NULL, NULL)",
    ];
    let mut tx = store.db.write().await.unwrap();
    for sql in before {
        tx.execute(sql, args![]).await.unwrap();
    }
    tx.commit().await.unwrap();
    migrate::run(&store.db, at(1)).await.unwrap();
    visible::fold_organisations(&store.db).await.unwrap();
    let employers = async || {
        let sql = "SELECT member, employer_folded FROM proposal_members ORDER BY member";
        let rows = store.db.read().await.unwrap().fetch_all(sql, args![]).await.unwrap();
        rows.iter().map(|row| (row.text("member").unwrap(), row.text("employer_folded").unwrap())).collect::<Vec<_>>()
    };
    let right = [("ISR:alone", ""), ("ISR:moved", "optics"), ("ISR:raw", "robotics"), ("ISR:stayed", "optics")];
    let right = right.map(|(member, employer)| (member.to_owned(), employer.to_owned()));
    assert_eq!(employers().await, right);
    // Made again from the rows they follow from.
    let mut tx = store.db.write().await.unwrap();
    tx.execute("UPDATE proposal_members SET employer_folded = 'elsewhere'", args![]).await.unwrap();
    tx.commit().await.unwrap();
    visible::reindex(&store.db).await.unwrap();
    assert_eq!(employers().await, right);
}

async fn documents_from_before_count_for_their_nation(store: Store) {
    migrate::apply(&store.db, &migrate::ALL[..20], at(0)).await.unwrap();
    let before = [
        "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) VALUES \
         ('ISR', 'Israel', 'UTC', '{}', '', 1, 1), ('USA', 'United States', 'UTC', '{}', '', 1, 1)",
        "INSERT INTO members (member, partner, name, organisation, roles, key_card, serial, status, valid_from, valid_until, \
         published_at) VALUES ('ISR:avi', 'ISR', 'A', '', '', 'a.b.c', 1, 'active', 1, 9, 1), \
         ('ISR:tamar', 'ISR', 'A', '', '', 'a.b.c', 1, 'active', 1, 9, 1)",
        "INSERT INTO programs (program_id, name, lead, created_by, created_at) VALUES ('prog', 'Joint', 'ISR', 'ISR:avi', 1)",
        "INSERT INTO calls (call_id, program_id, text_json, text_sha256, version, baseline, revision, created_by, created_at) \
         VALUES ('call', 'prog', '{}', '', 1, 1, 1, 'ISR:avi', 1)",
        "INSERT INTO proposals (proposal_id, call_id, created_by, created_at) VALUES ('prop', 'call', 'ISR:avi', 1)",
        "INSERT INTO vaults (vault_id, place, kind, call_id, proposal_id, recipient, statement, created_by, created_at) \
         VALUES ('vault', 'prop/panel', 'panel', 'call', 'prop', 'age1v', 'a.b.c', 'ISR:avi', 1)",
        "INSERT INTO documents (document_id, proposal_id, slot, vault_id, sha256, size, media_type, blob_key, uploaded_by, \
         uploaded_at, removed_at) VALUES ('doc_1', 'prop', 'plan', 'vault', '', 6442450944, 'x', 'b1', 'ISR:avi', 1, 2), \
         ('doc_2', 'prop', 'plan', 'vault', '', 5, 'x', 'b2', 'ISR:tamar', 2, NULL)",
    ];
    let mut tx = store.db.write().await.unwrap();
    for sql in before {
        tx.execute(sql, args![]).await.unwrap();
    }
    tx.commit().await.unwrap();
    migrate::run(&store.db, at(1)).await.unwrap();
    let bytes = async |partner: &str| {
        let partner: PartnerCode = partner.parse().unwrap();
        documents::bytes_of_partner(&mut store.db.read().await.unwrap(), &partner).await.unwrap()
    };
    assert_eq!((bytes("ISR").await, bytes("USA").await), ((6 << 30) + 5, 0), "replaced ones included");
}

async fn reviews_from_before_name_who_reopened_them(store: Store) {
    migrate::apply(&store.db, &migrate::ALL[..23], at(0)).await.unwrap();
    let before = [
        "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) VALUES \
         ('ISR', 'Israel', 'UTC', '{}', '', 1, 1)",
        "INSERT INTO members (member, partner, name, organisation, roles, key_card, serial, status, valid_from, valid_until, \
         published_at) VALUES ('ISR:noa', 'ISR', 'A', '', '', 'a.b.c', 1, 'active', 1, 9, 1), \
         ('ISR:maya', 'ISR', 'A', '', '', 'a.b.c', 1, 'active', 1, 9, 1)",
        "INSERT INTO programs (program_id, name, lead, created_by, created_at) VALUES ('prog', 'Joint', 'ISR', 'ISR:noa', 1)",
        "INSERT INTO calls (call_id, program_id, text_json, text_sha256, version, baseline, revision, created_by, created_at) \
         VALUES ('call', 'prog', '{}', '', 1, 1, 1, 'ISR:noa', 1)",
        "INSERT INTO proposals (proposal_id, call_id, created_by, created_at) VALUES ('prop', 'call', 'ISR:noa', 1)",
    ];
    let reviews = [("rev_1", 1_i64, Some(5_i64)), ("rev_2", 2, Some(7)), ("rev_3", 3, None)];
    let reopened = [("rev_1", "ISR:noa"), ("rev_2", "ISR:maya")];
    let mut tx = store.db.write().await.unwrap();
    for sql in before {
        tx.execute(sql, args![]).await.unwrap();
    }
    for (review, revision, reopened_at) in reviews {
        let sql = "INSERT INTO reviews (review_id, proposal_id, reviewer, revision, manifest_sha256, statement, ciphertext, \
                   submitted_at, reopened_at) VALUES ($1, 'prop', 'ISR:maya', $2, '', 'a.b.c', $3, 1, $4)";
        tx.execute(sql, args![review, revision, Vec::<u8>::new(), reopened_at]).await.unwrap();
    }
    for (seq, (review, actor)) in (1_i64..).zip(reopened) {
        let sql = "INSERT INTO log_entries (seq, at, kind, readers, actor, proposal_id, payload, salt) \
                   VALUES ($1, 0, 'review.reopened', 'officers', $2, 'prop', $3, $4)";
        let payload =
            format!("{{\"reason\":\"a slip\",\"review\":\"{review}\",\"reviewer\":\"ISR:maya\",\"revision\":1}}");
        tx.execute(sql, args![seq, actor, payload, Vec::<u8>::new()]).await.unwrap();
    }
    tx.commit().await.unwrap();
    migrate::run(&store.db, at(1)).await.unwrap();
    let mut tx = store.db.read().await.unwrap();
    let rows = tx.fetch_all("SELECT reopened_by FROM reviews ORDER BY review_id", args![]).await.unwrap();
    let by: Vec<_> = rows.iter().map(|row| row.opt_text("reopened_by").unwrap()).collect();
    assert_eq!(by, [Some("ISR:noa".to_owned()), Some("ISR:maya".to_owned()), None]);
}

async fn calls_from_before_have_no_code_and_their_proposals_no_number(store: Store) {
    migrate::apply(&store.db, &migrate::ALL[..25], at(0)).await.unwrap();
    let before = [
        "INSERT INTO partners (partner, name, zone, card, card_sha256, enrolled_at, changed_at) VALUES \
         ('ISR', 'Israel', 'UTC', '{}', '', 1, 1)",
        "INSERT INTO members (member, partner, name, organisation, roles, key_card, serial, status, valid_from, valid_until, \
         published_at) VALUES ('ISR:avi', 'ISR', 'A', '', '', 'a.b.c', 1, 'active', 1, 9, 1)",
        "INSERT INTO programs (program_id, name, lead, created_by, created_at) VALUES ('prog', 'Joint', 'ISR', 'ISR:avi', 1)",
        "INSERT INTO calls (call_id, program_id, text_json, text_sha256, version, baseline, revision, created_by, created_at) \
         VALUES ('call_1', 'prog', '{}', '', 1, 1, 1, 'ISR:avi', 1), ('call_2', 'prog', '{}', '', 1, 1, 1, 'ISR:avi', 1)",
        "INSERT INTO proposals (proposal_id, call_id, created_by, created_at) VALUES ('prop_1', 'call_1', 'ISR:avi', 1), \
         ('prop_2', 'call_1', 'ISR:avi', 1)",
    ];
    let mut tx = store.db.write().await.unwrap();
    for sql in before {
        tx.execute(sql, args![]).await.unwrap();
    }
    tx.commit().await.unwrap();
    migrate::run(&store.db, at(1)).await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    let named = "SELECT (SELECT COUNT(*) FROM calls WHERE code <> '') + (SELECT COUNT(*) FROM proposals WHERE number <> '') AS n";
    assert_eq!(tx.fetch_one(named, args![]).await.unwrap().count("n").unwrap(), 0);
    tx.execute("UPDATE proposals SET number = '48179' WHERE proposal_id = 'prop_1'", args![]).await.unwrap();
    tx.commit().await.unwrap();
    let again = "UPDATE proposals SET number = '48179' WHERE proposal_id = 'prop_2'";
    assert_eq!(store.refusal(again, args![]).await, "proposals_call_id_number_key");
}
