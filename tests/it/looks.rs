//! Long looks end, whatever they look at: each request examines so much and says where to go on, and holds nothing while it waits.
//!
//! What is hidden here is written to the tables in numbers that no member could make by acting.

use crate::{
    harness::{
        exchange::Answered,
        many::{self, Rows, Scope},
        stage::{self, Stage, id},
        world::Store,
    },
    previews::moves,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entente::{
    client::labels::LabelChoice,
    domain::{
        ambient::Clock,
        entry::{EntryKind, Readers},
        id::{CallId, DocumentId, ProposalId, Sha256},
    },
    sealing::identity::new_identity,
    service::Principal,
    storage::{
        args,
        db::READERS,
        entries::{self, EntryRow},
    },
    wire::page,
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::Value;

/// A stage on each engine that is here.
async fn stages() -> Vec<Stage> {
    let mut stages = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        if let Some(stage) = Stage::open_on(store).await {
            stages.push(stage);
        }
    }
    stages
}

/// Joint proposals of Israel and the United States, in numbers.
async fn begin_many(stage: &Stage, count: u64) -> Vec<ProposalId> {
    let (mut rows, members) = (Rows::new(), [id("ISR:avi"), id("USA:bob")]);
    let proposals: Vec<ProposalId> = (1..=count).map(|number| many::id("prop", number)).collect();
    for proposal in &proposals {
        rows.proposal(&many::Proposal {
            id: *proposal,
            call: stage.call,
            topic: Some("navigation"),
            members: &members,
            created_at: stage.clock.now(),
            is_withdrawn: false,
        });
    }
    rows.write(&stage.server.exchange.db).await;
    many::index(&stage.server.exchange.db).await;
    proposals
}

fn entry(stage: &Stage, proposal: Option<ProposalId>) -> EntryRow {
    let is_about_one = proposal.is_some();
    EntryRow {
        seq: 0,
        at: stage.clock.now(),
        kind: if is_about_one { EntryKind::ProposalCreated } else { EntryKind::KeyCardPublished },
        readers: if is_about_one { Readers::Parties } else { Readers::Members },
        actor: Some(id(if is_about_one { "ISR:avi" } else { "KOR:registrar" })),
        program: is_about_one.then_some(stage.program),
        call: is_about_one.then_some(stage.call),
        proposal,
        payload: "{}".to_owned(),
        salt: vec![0; 32],
    }
}

/// An entry about each of many proposals that Korea may not know of, then one for everybody. Returns the number of the last.
async fn hidden_entries(stage: &Stage, count: u64) -> u64 {
    let proposals = begin_many(stage, count).await;
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    for proposal in proposals {
        entries::append(&mut tx, &entry(stage, Some(proposal))).await.unwrap();
    }
    let last = entries::append(&mut tx, &entry(stage, None)).await.unwrap();
    tx.commit().await.unwrap();
    last
}

/// Where the log ends for a member.
async fn bookmark(stage: &Stage, member: &str) -> String {
    let mut cursor = String::new();
    loop {
        let found = get(stage, member, &format!("/v1/entries?limit=200{cursor}")).await;
        if let Some(bookmark) = found["bookmark"].as_str() {
            return bookmark.to_owned();
        }
        cursor = format!("&cursor={}", found["next"].as_str().unwrap());
    }
}

async fn get(stage: &Stage, member: &str, path: &str) -> Value {
    let raw = stage.raw(Some(stage.credential(member)));
    raw.request(Method::GET, path).send().await.unwrap().expect_status(200).await
}

/// What a cursor shows to somebody who takes its letters apart.
fn told(cursor: &str) -> String {
    String::from_utf8_lossy(&BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap()).into_owned()
}

fn principal(member: &str) -> Principal {
    Principal { member: id(member), certificate: Sha256::of(b"any") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_of_the_log_ends_after_so_many_hidden_proposals_and_the_next_goes_on() {
    for stage in stages().await {
        let (mut cursor, owners) = (bookmark(&stage, "KOR:minjun").await, bookmark(&stage, "ISR:avi").await);
        let last = hidden_entries(&stage, 450).await;
        let mut pages = 0;
        loop {
            let found = get(&stage, "KOR:minjun", &format!("/v1/entries?limit=200&cursor={cursor}")).await;
            pages += 1;
            let Some(next) = found["next"].as_str() else {
                assert_eq!(found["items"].as_array().unwrap().len(), 1);
                assert_eq!(found["items"][0]["seq"], last);
                break;
            };
            assert_eq!(found["items"], serde_json::json!([]), "all of it is hidden");
            assert!(told(next).parse::<u64>().is_err(), "a position tells nothing");
            next.clone_into(&mut cursor);
        }
        assert!((3..=10).contains(&pages), "{pages}");
        // A member who may read everything is shown all of it.
        let (mut cursor, mut seen) = (Some(owners), 0);
        while let Some(after) = cursor {
            let found = get(&stage, "ISR:avi", &format!("/v1/entries?limit=200&cursor={after}")).await;
            seen += found["items"].as_array().unwrap().len();
            cursor = found["next"].as_str().map(ToOwned::to_owned);
        }
        assert_eq!(seen, 451);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_over_much_of_the_log_waits_for_a_turn_and_holds_no_place_meanwhile() {
    for stage in stages().await {
        let after = bookmark(&stage, "KOR:minjun").await;
        hidden_entries(&stage, 100).await;
        let exchange = &stage.server.exchange;
        let others = [
            exchange.long_work.log(&principal("USA:dana")).await.unwrap(),
            exchange.long_work.log(&principal("ISR:avi")).await.unwrap(),
        ];
        let raw = stage.raw(Some(stage.credential("KOR:minjun")));
        let waiting = raw.request(Method::GET, &format!("/v1/entries?limit=200&cursor={after}"));
        let waiting = tokio::spawn(waiting.send());
        // What is short comes at once, and all places at reading are free for it.
        for _ in 0..5 {
            assert!(!get(&stage, "KOR:minjun", "/v1/entries?limit=1").await["items"].as_array().unwrap().is_empty());
        }
        let mut reads = Vec::new();
        for _ in 0..READERS {
            reads.push(exchange.db.read().await.unwrap());
        }
        assert!(!waiting.is_finished(), "nobody's turn has ended");
        drop(reads);
        drop(others);
        let found = waiting.await.unwrap().unwrap().expect_status(200).await;
        assert_eq!(found["items"].as_array().unwrap().len(), 1);
        stage.stop().await;
    }
}

/// Calls that their officer alone may know of, and one that every member of the program may know of after them.
async fn hidden_calls(stage: &Stage, count: u64) -> CallId {
    let (mut rows, dana) = (Rows::new(), id("USA:dana"));
    let text = serde_json::to_value(stage::text(stage.clock.now(), stage.deadline)).unwrap();
    for number in 1..=count + 1 {
        rows.call(&many::Call {
            // In the order of their numbers, and after every identifier that is made here and now.
            id: format!("call_7{number:025}").parse().unwrap(),
            program: stage.program,
            text: text.clone(),
            version: u32::from(number > count),
            baseline: u32::from(number > count),
            is_cancelled: false,
            by: &dana,
        });
    }
    rows.write(&stage.server.exchange.db).await;
    format!("call_7{:025}", count + 1).parse().unwrap()
}

/// Everything that is on a list, and how many pages it took.
async fn listed(stage: &Stage, member: &str, path: &str) -> (Vec<Value>, usize) {
    let (mut items, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let mut found = get(stage, member, &format!("{path}?limit=200{cursor}")).await;
        items.append(found["items"].as_array_mut().unwrap());
        pages += 1;
        let Some(next) = found["next"].as_str() else { return (items, pages) };
        let told = told(next);
        assert!(!told.contains("call") && !told.contains("prog"), "{told}");
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_calls_and_programs_end_after_so_many_hidden_ones_and_go_on_from_a_sealed_cursor() {
    for stage in stages().await {
        let last = hidden_calls(&stage, 1000).await;
        let (calls, pages) = listed(&stage, "ISR:avi", "/v1/calls").await;
        let ids: Vec<&str> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [stage.call.to_string(), last.to_string()]);
        assert_eq!(pages, 3, "400 are examined for each");
        let (mut rows, usa, dana) = (Rows::new(), stage::code("USA"), id("USA:dana"));
        for number in 1..=500 {
            let program = format!("prog_7{number:025}").parse().unwrap();
            rows.program(program, &usa, &[usa.clone()].into(), &dana);
        }
        rows.write(&stage.server.exchange.db).await;
        let (programs, pages) = listed(&stage, "ISR:avi", "/v1/programs").await;
        assert_eq!((programs.len(), pages), (1, 2));
        let (programs, _) = listed(&stage, "USA:dana", "/v1/programs").await;
        assert_eq!(programs.len(), 501);

        // A cursor is for its list and its reader.
        let next = get(&stage, "ISR:avi", "/v1/calls?limit=1").await["next"].as_str().unwrap().to_owned();
        for (member, list, status) in [
            ("ISR:avi", "calls?", 200),
            ("ISR:avi", "calls?limit=7&", 200),
            ("ISR:avi", "programs?", 400),
            ("ISR:yael", "calls?", 400),
            ("ISR:avi", &format!("calls?program={}&", stage.program), 400),
        ] {
            assert_eq!(status_of(&stage, member, &format!("/v1/{list}cursor={next}")).await, status, "{member} {list}");
        }
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursor_of_a_list_of_proposals_tells_nothing_and_is_for_its_reader() {
    for stage in stages().await {
        begin_many(&stage, 3).await;
        let (found, pages) = listed(&stage, "ISR:avi", "/v1/proposals").await;
        assert_eq!((found.len(), pages), (3, 1));
        let next = get(&stage, "ISR:avi", "/v1/proposals?limit=1").await["next"].as_str().unwrap().to_owned();
        assert!(!told(&next).contains("prop"));
        let one = get(&stage, "ISR:avi", &format!("/v1/proposals?limit=1&cursor={next}")).await;
        assert_eq!(one["items"].as_array().unwrap().len(), 1);
        for (member, list) in [("USA:bob", "proposals"), ("ISR:avi", "calls")] {
            let status = status_of(&stage, member, &format!("/v1/{list}?cursor={next}")).await;
            assert_eq!(status, 400, "{member} {list}");
        }
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursor_of_a_list_of_proposals_is_for_its_filters_and_order() {
    for stage in stages().await {
        begin_many(&stage, 3).await;
        let call = format!("call={}", stage.call);
        let filters = ["", &call, "phase=open", "topic=navigation", "party=ISR", "party=USA", "status=preparing"];
        let filters = filters.into_iter().chain(["mine=party", "sort=-created", "party=ISR&status=preparing"]);
        let mut cursors = Vec::new();
        for filter in filters.clone() {
            let first = get(&stage, "ISR:avi", &format!("/v1/proposals?limit=1&{filter}")).await;
            cursors.push((filter, first["next"].as_str().expect("three fit each filter").to_owned()));
        }
        for (of, cursor) in &cursors {
            for with in filters.clone() {
                let status =
                    status_of(&stage, "ISR:avi", &format!("/v1/proposals?limit=2&{with}&cursor={cursor}")).await;
                assert_eq!(status, if *of == with { 200 } else { 400 }, "a cursor of `{of}` with `{with}`");
            }
        }
        // The order that is meant when none is named, and the same parameters in another order.
        for (of, with) in [("", "sort=created"), ("party=ISR&status=preparing", "status=preparing&party=ISR")] {
            let (_, cursor) = cursors.iter().find(|(filter, _)| *filter == of).unwrap();
            let status = status_of(&stage, "ISR:avi", &format!("/v1/proposals?{with}&cursor={cursor}")).await;
            assert_eq!(status, 200, "{with}");
        }
        stage.stop().await;
    }
}

/// How a read is answered.
async fn status_of(stage: &Stage, member: &str, path: &str) -> u16 {
    let raw = stage.raw(Some(stage.credential(member)));
    raw.request(Method::GET, path).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_of_extensions_ends_after_so_many_hidden_ones_and_goes_on_from_a_sealed_cursor() {
    for stage in stages().await {
        let (mut rows, mut number, dana) = (Rows::new(), 0, id("USA:dana"));
        let until = stage.deadline + SignedDuration::from_hours(1);
        let proposals = begin_many(&stage, 450).await.into_iter().map(Scope::Proposal);
        for scope in proposals.chain([Scope::Everyone]) {
            number += 1;
            rows.extension(stage.call, number, &scope, until, &dana);
        }
        rows.write(&stage.server.exchange.db).await;
        let path = format!("/v1/calls/{}/extensions", stage.call);
        // Before the opening no reviewer may know who has more time.
        let (found, pages) = listed(&stage, "USA:carol", &path).await;
        assert_eq!((found.len(), &found[0]["number"], pages), (1, &451.into(), 2), "400 are examined for each");
        // A party knows of its own proposals, an officer of those that they may know of.
        for (member, own) in [("ISR:avi", Some(450)), ("USA:dana", None), ("ISR:yael", Some(0))] {
            let known = listed(&stage, member, "/v1/proposals").await.0.len();
            assert_eq!(own.unwrap_or(known), known, "{member}");
            let (found, _) = listed(&stage, member, &path).await;
            assert_eq!(found.len(), known + 1, "{member}");
        }
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_of_readers_ends_after_so_many_members_with_a_part() {
    for stage in stages().await {
        let (proposal, mut rows) = (stage.under_review().await, Rows::new());
        let path = format!("/v1/proposals/{proposal}/readers");
        let (before, _) = listed(&stage, "ISR:drafter", &path).await;
        for number in 0..450 {
            let member = id(&format!("ISR:r{number:04}"));
            rows.member(&member, "Elsewhere", "");
            rows.role(stage.call, &member, "reviewer");
        }
        rows.write(&stage.server.exchange.db).await;
        let (found, pages) = listed(&stage, "ISR:drafter", &path).await;
        assert!(pages >= 2, "{pages}");
        assert!(before.iter().all(|reader| found.contains(reader)));
        stage.stop().await;
    }
}

/// Gives each of these members another recipient, for which nobody has wrapped a key.
async fn add_recipients(stage: &Stage, members: &[&str]) {
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    for member in members {
        let sql = "INSERT INTO member_recipients (member, recipient) VALUES ($1, $2)";
        tx.execute(sql, args![member, new_identity().recipient()]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_of_missing_keys_ends_after_so_many_members_and_goes_on_from_a_sealed_cursor() {
    for stage in stages().await {
        let (proposal, mut rows) = (stage.under_review().await, Rows::new());
        add_recipients(&stage, &["ISR:avi", "USA:bob", "USA:carol", "ISR:maya", "USA:frank"]).await;
        let path = format!("/v1/proposals/{proposal}/missing-keys");
        let (before, pages) = listed(&stage, "USA:dana", &path).await;
        assert_eq!(pages, 1);
        for holder in ["ISR:avi", "USA:bob", "USA:carol", "ISR:maya", "USA:frank"] {
            assert!(before.iter().any(|key| key["holder"] == holder), "{holder}: {before:?}");
        }
        // Who has not declared may read nothing, and is passed.
        for number in 0..450 {
            let member = id(&format!("ISR:d{number:04}"));
            rows.member(&member, "Elsewhere", "");
            rows.role(stage.call, &member, "decider");
        }
        rows.write(&stage.server.exchange.db).await;
        let (found, pages) = listed(&stage, "USA:dana", &path).await;
        assert_eq!(found, before);
        assert!(pages >= 5, "{pages}: 400 are examined for each");
        // A cursor of one list is none of another.
        let first = get(&stage, "USA:dana", &format!("{path}?limit=1")).await;
        let next = first["next"].as_str().unwrap();
        assert!(!told(next).contains("vault"), "a position tells nothing");
        let other = format!("/v1/calls/{}/missing-keys?cursor={next}", stage.call);
        assert_eq!(status_of(&stage, "USA:dana", &other).await, 400);
        assert_eq!(status_of(&stage, "ISR:noa", &format!("{path}?cursor={next}")).await, 400);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_of_officers_without_a_key_ends_after_so_many_of_them() {
    for stage in stages().await {
        let mut rows = Rows::new();
        let path = format!("/v1/calls/{}/missing-keys", stage.call);
        for number in 0..450 {
            let member = id(&format!("ISR:o{number:04}"));
            rows.member(&member, "Elsewhere", "");
            rows.role(stage.call, &member, "officer");
        }
        rows.write(&stage.server.exchange.db).await;
        // The last of them, too.
        add_recipients(&stage, &["ISR:o0000", "USA:olivia"]).await;
        let (found, pages) = listed(&stage, "USA:dana", &path).await;
        let holders: Vec<_> = found.iter().map(|key| key["holder"].as_str().unwrap()).collect();
        assert_eq!((&*holders, pages), (&["ISR:o0000", "USA:olivia"][..], 2), "400 are examined for each");
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preview_ends_after_so_many_hidden_proposals_and_goes_on_from_a_sealed_cursor() {
    for stage in stages().await {
        let israel = "ISR".parse().unwrap();
        let drafter = stage.client("ISR:drafter");
        let text = drafter.policy(&israel).await.unwrap().text.unwrap();
        let proposed = drafter.propose_policy(&israel, "ISR", &format!("{text}\n// again\n"), None).await.unwrap();
        // Who works where a party works hears nothing of its proposals.
        moves(&stage, "ISR:approver", "Kinneret Sensing").await;
        begin_many(&stage, 10_200).await;
        let mut places = vec![format!("/v1/policies/ISR/versions/{}/preview?", proposed.version)];
        places.push("/v1/members/ISR:avi/preview?revoked=true&".to_owned());
        for place in places {
            let first = get(&stage, "ISR:approver", &place).await;
            assert_eq!((&first["considered"], &first["items"]), (&0.into(), &serde_json::json!([])), "{place}");
            let next = first["next"].as_str().expect("no more than 10,000 are looked at");
            assert!(!told(next).contains("prop"));
            let second = get(&stage, "ISR:approver", &format!("{place}cursor={next}")).await;
            assert_eq!((&second["considered"], &second["next"]), (&0.into(), &Value::Null), "{place}");
            // A cursor of one change is none of another.
            let other = format!("/v1/members/ISR:avi/preview?organisation=Elsewhere&cursor={next}");
            assert_eq!(status_of(&stage, "ISR:approver", &other).await, 400, "{place}");
        }
        stage.stop().await;
    }
}

/// The items of a list, from pages of at most `limit`.
async fn in_pages(stage: &Stage, member: &str, path: &str, limit: u32) -> Vec<Vec<Value>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let found = get(stage, member, &format!("{path}?limit={limit}{cursor}")).await;
        let size = serde_json::to_vec(&found).unwrap().len();
        assert!(size < page::PAGE_BYTES + 4096, "{path}: {size} bytes");
        pages.push(found["items"].as_array().unwrap().clone());
        let Some(next) = found["next"].as_str() else { return pages };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_of_large_statements_ends_by_bytes_and_goes_on() {
    for stage in stages().await {
        let proposal = begin_many(&stage, 1).await[0];
        let (db, mut rows) = (&stage.server.exchange.db, Rows::new());
        for version in 1..=20 {
            rows.version(proposal, version, 1, "{}", false, false);
        }
        rows.write(db).await;
        let (mut tx, jws) = (db.write().await.unwrap(), "x".repeat(400 << 10));
        for version in 1..=20_i64 {
            let sql = "INSERT INTO manifest_signatures (proposal_id, version, partner, member, jws, signed_at) \
                       VALUES ($1, $2, 'ISR', 'ISR:avi', $3, 0)";
            tx.execute(sql, args![proposal, version, jws]).await.unwrap();
        }
        tx.commit().await.unwrap();
        let pages = in_pages(&stage, "ISR:avi", &format!("/v1/proposals/{proposal}/manifests"), 200).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10]);
        let versions: Vec<u64> = pages.concat().iter().map(|item| item["version"].as_u64().unwrap()).collect();
        assert_eq!(versions, (1..=20).collect::<Vec<_>>());
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_statements_hold_the_same_in_pages_of_any_size() {
    for stage in stages().await {
        let proposal = stage.under_review().await;
        for others in [vec!["KOR"], vec![]] {
            let others = others.into_iter().map(stage::code).collect();
            let choice = LabelChoice::Put { others, caveats: [].into() };
            for member in ["ISR:avi", "USA:bob"] {
                let client = stage.client(member);
                client.sign_label(&client.plan_label(proposal, &choice).await.unwrap()).await.unwrap();
            }
        }
        let (db, mut rows) = (&stage.server.exchange.db, Rows::new());
        for revision in 1..=12 {
            rows.review(proposal, &id("USA:carol"), revision, revision < 12);
        }
        rows.review(proposal, &id("ISR:maya"), 1, false);
        rows.write(db).await;
        let mut tx = db.write().await.unwrap();
        for number in 1..=15 {
            let letter: DocumentId = many::id("doc", number);
            let withdrawn_at = (number % 3 == 0).then_some(1_i64);
            let sql = "INSERT INTO letters (letter_id, proposal_id, sent_by, sent_at, statement, ciphertext, withdrawn_at) \
                       VALUES ($1, $2, 'USA:dana', 0, 'a.b.c', $3, $4)";
            tx.execute(sql, args![letter, proposal, vec![0_u8; 10], withdrawn_at]).await.unwrap();
        }
        tx.commit().await.unwrap();
        add_recipients(&stage, &["ISR:avi", "USA:bob", "USA:carol", "ISR:maya", "USA:olivia", "ISR:noa"]).await;
        let of = |list: &str| format!("/v1/proposals/{proposal}/{list}");
        for (member, path, count) in [
            ("ISR:avi", of("manifests"), 1),
            ("ISR:avi", of("labels"), 2),
            ("ISR:avi", of("joined"), 1),
            ("ISR:avi", of("letters"), 10),
            ("USA:dana", of("declarations"), 6),
            ("USA:dana", of("reviews"), 13),
            ("USA:carol", of("reviews"), 12),
            ("USA:dana", of("assignments"), 2),
            ("USA:carol", of("assignments"), 1),
            ("ISR:drafter", of("readers"), 4),
            ("USA:dana", of("missing-keys"), 6),
            ("ISR:avi", of("missing-keys"), 4),
            ("USA:dana", format!("/v1/calls/{}/missing-keys", stage.call), 2),
            ("USA:dana", format!("/v1/calls/{}/role-statements", stage.call), 9),
        ] {
            let whole = in_pages(&stage, member, &path, 200).await.concat();
            assert!(whole.len() >= count, "{member} {path}: {whole:?}");
            for limit in [1, 4] {
                let pages = in_pages(&stage, member, &path, limit).await;
                assert!(pages.iter().all(|page| page.len() <= limit as usize));
                assert_eq!(pages.concat(), whole, "{member} {path} by {limit}");
            }
            let raw = stage.raw(Some(stage.credential(member)));
            for wrong in ["cursor=!", "limit=0", "page=2"] {
                let answer = raw.request(Method::GET, &format!("{path}?{wrong}")).send().await.unwrap();
                assert_eq!(answer.status(), 400, "{path}?{wrong}");
            }
        }
        stage.stop().await;
    }
}
