//! Reads that leave an entry are gathered: those whose turns follow one another are in one transaction. Each keeps what it wrote or leaves
//! nothing, as if it were alone, and nobody whose turn comes before is passed over.

use crate::store_facade::{Store, on_both_engines};
use entente::storage::{Db, Gathering, StoreError, Whose, WriteTx, args};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
    poll,
};
use std::time::Duration;

on_both_engines! {
    reads_share_one_commit,
    part_that_is_dropped_or_fails_leaves_nothing_and_takes_nothing_along,
    act_that_comes_next_is_not_passed_over,
    read_that_nobody_waits_for_any_more_takes_no_part,
    no_more_than_sixteen_share_a_commit,
    commit_that_fails_fails_for_all_of_them,
    read_that_is_alone_is_committed,
}

type Begun = BoxFuture<'static, Result<WriteTx, StoreError>>;

/// With a table for what is left, and one of which a commit refuses what refers to nothing.
async fn with_entries(store: &Store) -> Db {
    let mut tx = store.db.write().await.unwrap();
    for sql in [
        "CREATE TABLE entries (name TEXT NOT NULL PRIMARY KEY)",
        "CREATE TABLE parts (name TEXT NOT NULL REFERENCES entries (name) DEFERRABLE INITIALLY DEFERRED)",
    ] {
        tx.execute(sql, args![]).await.unwrap();
    }
    tx.commit().await.unwrap();
    // However slow this machine is, it is the number that counts.
    store.db.clone().gathering(Gathering { longest: Duration::from_hours(1), ..Gathering::default() })
}

fn whose(member: &str) -> Whose {
    Whose::Member(member.parse().unwrap())
}

/// Puts reads of these members into the queue, in this order.
async fn waiting(db: &Db, members: &[&str]) -> Vec<Begun> {
    let mut all = Vec::new();
    for member in members {
        let (db, whose) = (db.clone(), whose(member));
        let mut read = async move { db.write_gathered_for(whose).await }.boxed();
        assert!(poll!(&mut read).is_pending());
        all.push(read);
    }
    all
}

async fn add(tx: &mut WriteTx, name: &str) -> Result<(), StoreError> {
    tx.execute("INSERT INTO entries (name) VALUES ($1)", args![name]).await.map(drop)
}

/// How many entries a new snapshot shows.
async fn durable(db: &Db) -> u64 {
    let mut tx = db.read().await.unwrap();
    tx.fetch_one("SELECT COUNT(*) AS c FROM entries", args![]).await.unwrap().count("c").unwrap()
}

async fn reads_share_one_commit(store: Store) {
    let db = &with_entries(&store).await;
    let turn = db.write().await.unwrap();
    let mut reads = waiting(db, &["USA:a", "ISR:b", "USA:a"]).await.into_iter();
    drop(turn);
    let mut first = reads.next().unwrap().await.unwrap();
    add(&mut first, "first").await.unwrap();
    let mut first = first.commit().boxed();
    assert!(poll!(&mut first).is_pending());
    let mut second = reads.next().unwrap().await.unwrap();
    // It sees what the first wrote, and nobody else does.
    let row = second.fetch_one("SELECT COUNT(*) AS c FROM entries", args![]).await.unwrap();
    assert_eq!(row.count("c").unwrap(), 1);
    assert_eq!(durable(db).await, 0);
    add(&mut second, "second").await.unwrap();
    let mut second = second.commit().boxed();
    assert!(poll!(&mut second).is_pending());
    let mut third = reads.next().unwrap().await.unwrap();
    add(&mut third, "third").await.unwrap();
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    assert_eq!(durable(db).await, 0);
    third.commit().await.unwrap();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(durable(db).await, 3);
}

async fn part_that_is_dropped_or_fails_leaves_nothing_and_takes_nothing_along(store: Store) {
    let db = &with_entries(&store).await;
    let turn = db.write().await.unwrap();
    let mut reads = waiting(db, &["USA:a"; 6]).await.into_iter();
    let mut next = async || reads.next().unwrap().await.unwrap();
    drop(turn);
    // What the first wrote goes with its transaction; the next one begins another.
    let mut first = next().await;
    add(&mut first, "first").await.unwrap();
    drop(first);
    let mut second = next().await;
    add(&mut second, "second").await.unwrap();
    let second = tokio::spawn(second.commit());
    let mut dropped = next().await;
    add(&mut dropped, "dropped").await.unwrap();
    drop(dropped);
    let mut fails = next().await;
    add(&mut fails, "fails").await.unwrap();
    assert!(matches!(add(&mut fails, "second").await, Err(StoreError::Constraint { .. })));
    drop(fails);
    let mut fifth = next().await;
    add(&mut fifth, "fifth").await.unwrap();
    let fifth = tokio::spawn(fifth.commit());
    drop(next().await);
    second.await.unwrap().unwrap();
    fifth.await.unwrap().unwrap();
    let mut tx = db.read().await.unwrap();
    let rows = tx.fetch_all("SELECT name FROM entries ORDER BY name", args![]).await.unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.text("name").unwrap()).collect();
    assert_eq!(names, ["fifth", "second"]);
}

async fn act_that_comes_next_is_not_passed_over(store: Store) {
    let db = &with_entries(&store).await;
    let turn = db.write().await.unwrap();
    let mut reads = waiting(db, &["USA:a"]).await;
    let mut act = db.write_for(whose("ISR:b")).boxed();
    assert!(poll!(&mut act).is_pending());
    reads.extend(waiting(db, &["KOR:c", "USA:a"]).await);
    let mut reads = reads.into_iter();
    drop(turn);
    let mut first = reads.next().unwrap().await.unwrap();
    add(&mut first, "first").await.unwrap();
    // Committed without waiting for the reads that come after the act.
    first.commit().await.unwrap();
    let mut act = act.await.unwrap();
    let mut others: Vec<_> = reads.collect();
    for other in &mut others {
        assert!(poll!(other).is_pending());
    }
    add(&mut act, "act").await.unwrap();
    act.commit().await.unwrap();
    assert_eq!(durable(db).await, 2);
    drop(others);
}

async fn read_that_nobody_waits_for_any_more_takes_no_part(store: Store) {
    let db = &with_entries(&store).await;
    let turn = db.write().await.unwrap();
    let mut reads = waiting(db, &["USA:a"; 4]).await;
    let last = reads.pop().unwrap();
    let given = reads.pop().unwrap();
    drop(reads.remove(1));
    drop(turn);
    let mut first = reads.remove(0).await.unwrap();
    add(&mut first, "first").await.unwrap();
    let first = tokio::spawn(first.commit());
    let last = tokio::spawn(async move {
        let mut last = last.await.unwrap();
        add(&mut last, "last").await.unwrap();
        last.commit().await
    });
    // The transaction may be theirs by now, and they never look.
    tokio::task::yield_now().await;
    drop(given);
    first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    assert_eq!(durable(db).await, 2);
}

async fn no_more_than_sixteen_share_a_commit(store: Store) {
    let db = &with_entries(&store).await;
    let turn = db.write().await.unwrap();
    let reads = waiting(db, &["USA:a"; 40]).await;
    drop(turn);
    let mut commits = Vec::new();
    for (number, read) in reads.into_iter().enumerate() {
        let mut read = read.await.unwrap();
        add(&mut read, &format!("read {number}")).await.unwrap();
        let undecided = number as u64 + 1 - durable(db).await;
        assert!(undecided <= 16, "{undecided} wait for one commit");
        commits.push(tokio::spawn(read.commit()));
    }
    for commit in join_all(commits).await {
        commit.unwrap().unwrap();
    }
    assert_eq!(durable(db).await, 40);
}

async fn commit_that_fails_fails_for_all_of_them(store: Store) {
    let db = &with_entries(&store).await;
    let turn = db.write().await.unwrap();
    let mut reads = waiting(db, &["USA:a"; 2]).await.into_iter();
    drop(turn);
    let mut first = reads.next().unwrap().await.unwrap();
    add(&mut first, "first").await.unwrap();
    let first = tokio::spawn(first.commit());
    let mut second = reads.next().unwrap().await.unwrap();
    second.execute("INSERT INTO parts (name) VALUES ('of nothing')", args![]).await.unwrap();
    let refused = [second.commit().await, first.await.unwrap()];
    assert!(refused.iter().all(|refused| matches!(refused, Err(StoreError::Constraint { .. }))), "{refused:?}");
    assert_eq!(durable(db).await, 0);
    drop(db.write().await.unwrap());
}

async fn read_that_is_alone_is_committed(store: Store) {
    let db = &with_entries(&store).await;
    for number in 1..3 {
        let mut read = db.write_gathered_for(whose("USA:a")).await.unwrap();
        assert!(db.is_writing());
        add(&mut read, &format!("read {number}")).await.unwrap();
        read.commit().await.unwrap();
        assert_eq!(durable(db).await, number);
        assert!(!db.is_writing());
    }
}
