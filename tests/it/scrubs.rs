//! The contract of the daily check of all bytes: one server at a time holds it, another goes on where it stopped, and no wrong clock
//! stops it.

use crate::store_facade::{Store, on_both_engines};
use entente::storage::{
    BlobKey, migrate,
    scrub::{self, EVERY, LEASE, Scrub},
};
use jiff::{SignedDuration, Timestamp};

on_both_engines! {
    one_server_at_a_time_holds_the_check_and_another_goes_on,
    unreadable_documents_are_remembered_however_often_a_check_is_broken_off,
    check_begins_once_a_day,
    time_in_the_future_binds_nobody,
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn key(digit: char) -> BlobKey {
    digit.to_string().repeat(32).parse().unwrap()
}

async fn claim(store: &Store, holder: &str, now: Timestamp) -> Option<Scrub> {
    let mut tx = store.db.write().await.unwrap();
    let claimed = scrub::claim(&mut tx, holder, now).await.unwrap();
    tx.commit().await.unwrap();
    claimed
}

async fn advance(store: &Store, holder: &str, after: &BlobKey, now: Timestamp) -> bool {
    advance_without(store, holder, after, 0, now).await
}

async fn advance_without(store: &Store, holder: &str, after: &BlobKey, unreadable: u64, now: Timestamp) -> bool {
    let mut tx = store.db.write().await.unwrap();
    let is_held = scrub::advance(&mut tx, holder, after, unreadable, now).await.unwrap();
    tx.commit().await.unwrap();
    is_held
}

async fn end(store: &Store, holder: &str, now: Timestamp) {
    let mut tx = store.db.write().await.unwrap();
    scrub::end(&mut tx, holder, now).await.unwrap();
    tx.commit().await.unwrap();
}

async fn one_server_at_a_time_holds_the_check_and_another_goes_on(store: Store) {
    migrate::run(&store.db, start()).await.unwrap();
    assert_eq!(claim(&store, "one", start()).await.unwrap().after, None);
    assert!(advance(&store, "one", &key('3'), start()).await);
    assert_eq!(claim(&store, "two", start() + SECOND).await, None);
    assert_eq!(claim(&store, "two", start() + LEASE - SECOND).await, None);
    let taken_over = claim(&store, "two", start() + LEASE).await.unwrap();
    assert_eq!(taken_over.checked_at(), start(), "as old as its beginning, however often it is taken over");
    assert_eq!((taken_over.began_at, taken_over.after), (start(), Some(key('3'))));
    assert!(!advance(&store, "one", &key('4'), start() + LEASE).await, "it hears that another goes on");
    assert!(advance(&store, "two", &key('5'), start() + LEASE).await);
    // The same server, started again in the middle, has another name and waits; the same one goes on at once.
    assert_eq!(claim(&store, "two", start() + LEASE + SECOND).await.unwrap().after, Some(key('5')));
}

async fn check_begins_once_a_day(store: Store) {
    migrate::run(&store.db, start()).await.unwrap();
    claim(&store, "one", start()).await.unwrap();
    advance(&store, "one", &key('f'), start()).await;
    end(&store, "one", start() + SECOND).await;
    for holder in ["one", "two"] {
        assert_eq!(claim(&store, holder, start() + EVERY - SECOND).await, None);
    }
    let next = claim(&store, "two", start() + EVERY).await.unwrap();
    assert_eq!((next.began_at, next.after), (start() + EVERY, None), "from the first document");
}

async fn unreadable_documents_are_remembered_however_often_a_check_is_broken_off(store: Store) {
    migrate::run(&store.db, start()).await.unwrap();
    let told = async || scrub::last(&mut store.db.read().await.unwrap()).await.unwrap().unwrap().unreadable();
    claim(&store, "one", start()).await.unwrap();
    assert!(advance_without(&store, "one", &key('3'), 2, start()).await);
    assert_eq!(claim(&store, "two", start() + LEASE).await.unwrap().unreadable(), 2, "another goes on");
    assert!(advance_without(&store, "two", &key('5'), 1, start() + LEASE).await);
    end(&store, "two", start() + LEASE + SECOND).await;
    assert_eq!(told().await, 3);
    // The next one finds less, which is known once it has come to its end.
    claim(&store, "one", start() + EVERY).await.unwrap();
    assert!(advance_without(&store, "one", &key('f'), 1, start() + EVERY).await);
    assert_eq!(told().await, 3);
    end(&store, "one", start() + EVERY + SECOND).await;
    assert_eq!(told().await, 1);
    // The operator has fixed it, and looked while the next one was under way: what that one still found counts no more.
    claim(&store, "one", start() + EVERY * 2).await.unwrap();
    let mut tx = store.db.write().await.unwrap();
    scrub::found_unreadable(&mut tx, 0, start() + EVERY * 2).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!advance_without(&store, "one", &key('5'), 1, start() + EVERY * 2).await);
    assert_eq!(told().await, 0);
}

async fn time_in_the_future_binds_nobody(store: Store) {
    migrate::run(&store.db, start()).await.unwrap();
    let wrong = start() + SignedDuration::from_hours(24 * 365);
    claim(&store, "one", wrong).await.unwrap();
    let claimed = claim(&store, "two", start()).await.expect("a lease from next year");
    assert_eq!(claimed.checked_at(), start(), "it is not younger than it can be");
    end(&store, "two", wrong).await;
    let mut tx = store.db.write().await.unwrap();
    tx.execute("UPDATE blob_scrub SET began_at = $1", vec![entente::storage::Arg::Int(Some(wrong.as_millisecond()))])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(claim(&store, "two", start()).await.is_some(), "a check from next year");
}
