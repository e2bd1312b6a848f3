//! Who waits for whom at the database, and what those hear who waited too long.

use super::*;
use std::{
    pin::pin,
    task::{Context, Waker},
};

#[tokio::test]
async fn flood_of_reads_keeps_another_partner_waiting_for_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite://{}/exchange.db", folder.path().display())).await.unwrap();
    let member = |text: &str| Whose::Member(text.parse().unwrap());
    let mut reads = Vec::new();
    for _ in 1..READERS {
        reads.push(db.read_for(member("USA:dana")).await.unwrap());
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut flood: Vec<_> = (0..100).map(|_| Box::pin(db.read_for(member("USA:dana")))).collect();
    assert!(flood.iter_mut().all(|read| read.as_mut().poll(&mut cx).is_pending()));
    // The last place is for another partner.
    let _last = db.read_for(member("ISR:avi")).await.unwrap();
    let mut other = pin!(db.read_for(member("KOR:minjun")));
    assert!(other.as_mut().poll(&mut cx).is_pending());
    // All of the flood were there first, and are of a partner that reads.
    reads.pop();
    drop(other.await.unwrap());
}

#[tokio::test]
async fn rehearsal_takes_no_turn_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite://{}/exchange.db", folder.path().display())).await.unwrap();
    assert!(!db.is_writing());
    let turn = db.write().await.unwrap();
    assert!(db.is_writing());
    let mut rehearsal = db.rehearse_for(Whose::Exchange).await.unwrap();
    let sql = "CREATE TABLE kept (number INTEGER) STRICT";
    assert!(matches!(rehearsal.execute(sql, args![]).await, Err(StoreError::Rehearsed)));
    // What is written in another way the engine refuses.
    let tx: &mut Tx = &mut rehearsal;
    assert!(tx.execute(sql, args![]).await.is_err());
    assert!(matches!(rehearsal.commit().await, Err(StoreError::Rehearsed)));
    drop(turn);
    assert!(!db.is_writing());
    db.close().await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test stops time")]
async fn error_says_what_a_caller_of_sqlite_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite://{}/exchange.db", folder.path().display())).await.unwrap();
    let (mut reads, write) = (Vec::new(), db.write().await.unwrap());
    for _ in 0..READERS {
        reads.push(db.read().await.unwrap());
    }
    // Nothing else happens here meanwhile, so time is led on to the limit.
    tokio::time::pause();
    let refused = [db.read().await.map(drop), db.write().await.map(drop)];
    tokio::time::resume();
    for (refused, wanted) in refused.into_iter().zip([READERS_BUSY, WRITER_BUSY]) {
        match refused.unwrap_err() {
            StoreError::Unavailable(cause) => assert_eq!(cause.to_string(), wanted),
            other => panic!("{other:?}"),
        }
    }
    drop((reads, write));
    db.close().await;
}
