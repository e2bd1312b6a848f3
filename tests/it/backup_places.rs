//! Backup, restore and verification ask no more of a place for documents than every engine promises. Here both places are in memory,
//! and the backup between them is a folder.

use crate::harness::{memory_blobs::MemoryBlobs, scratch::scratch, stage::Stage};
use entente::{
    domain::ambient::{Clock as _, SystemClock, SystemRng},
    service::verify::{VerificationEvent, verify},
    storage::{
        BlobEngine, BlobFolder, BlobKey, Db, PostgresLimits,
        backup::{self, Site},
        db::tables::Tables,
    },
};
use std::{collections::BTreeMap, io::Read as _, slice, sync::Arc};

/// Every blob that a place serves.
fn served(place: &dyn BlobEngine) -> BTreeMap<String, Vec<u8>> {
    let listed = (0..=u8::MAX).flat_map(|part| place.list(part).unwrap());
    let read = |key: &BlobKey| {
        let (mut opened, mut bytes) = (place.open(key, 0).unwrap().unwrap(), Vec::new());
        opened.bytes.read_to_end(&mut bytes).unwrap();
        bytes
    };
    listed.map(|blob| (blob.key.to_string(), read(&blob.key))).collect()
}

fn publish(place: &dyn BlobEngine, key: &BlobKey, bytes: &[u8]) {
    let mut incoming = place.begin(key, bytes.len() as u64).unwrap();
    incoming.write(bytes).unwrap();
    incoming.publish().unwrap();
}

/// What a verification finds of documents and everything else, a line each.
async fn found(url: &str, place: &Arc<dyn BlobEngine>) -> Vec<String> {
    let tables = Tables::In(Db::look(url, true).await.unwrap());
    let mut found = Vec::new();
    let mut hear = |event| {
        if let VerificationEvent::Found(finding) = event {
            found.push(format!("{}: {}", finding.what, finding.fault));
        }
    };
    verify(&tables, place, &mut hear).await.unwrap();
    tables.close().await;
    found
}

#[tokio::test]
async fn documents_in_a_place_that_is_no_folder_are_backed_up_and_restored_and_verified() {
    let stage = Stage::open().await;
    stage.submitted().await;
    let (from, to): (Arc<dyn BlobEngine>, Arc<dyn BlobEngine>) =
        (Arc::new(MemoryBlobs::default()), Arc::new(MemoryBlobs::default()));
    let in_folder = BlobFolder::new(stage.blobs_folder(), 0);
    let all = served(&in_folder);
    for (key, bytes) in &all {
        publish(&*from, &key.parse().unwrap(), bytes);
    }
    from.set_mark(&in_folder.mark().unwrap().unwrap()).unwrap();
    // One that a sweep moved aside.
    let first: BlobKey = all.keys().next().unwrap().parse().unwrap();
    from.set_aside(slice::from_ref(&first), stage.clock.now()).unwrap();

    let scratch = scratch();
    let (backups, host) = (scratch.path().join("backups"), "USA".parse().unwrap());
    let url = &stage.plan.database_url;
    let site = Site { database_url: url, blobs: &from, host: &host, limits: PostgresLimits::default() };
    let taken = backup::take(site, &backups, &SystemClock, &mut |_| ()).await.unwrap();
    assert!(taken.is_complete() && taken.copied == all.len() as u64, "{taken:?}");
    assert_eq!(backup::last_backup(&from).await.unwrap().unwrap().name, taken.name);
    let taken = backup::take(site, &backups, &SystemClock, &mut |_| ()).await.unwrap();
    assert!(taken.is_complete() && taken.copied == 0, "{taken:?}");
    assert_eq!(from.quarantined().unwrap().len(), 1, "a backup moves nothing");
    assert_eq!(found(url, &from).await, Vec::<String>::new());

    let url = format!("sqlite://{}", scratch.path().join("restored.db").display());
    let site = Site { database_url: &url, blobs: &to, ..site };
    let ambient = (&SystemClock as _, &SystemRng as _);
    let restored = backup::restore(site, &backups, None, ambient, &mut |_| ()).await.unwrap();
    assert!(restored.is_complete() && restored.copied == all.len() as u64, "{restored:?}");
    assert_eq!(served(&*to), all);
    assert_eq!(backup::restored_from(&to).await.unwrap().unwrap().name, restored.name);
    backup::refuse_half_restored(&to).await.unwrap();
    assert!(to.mark().unwrap().is_some() && to.mark().unwrap() != from.mark().unwrap());
    assert_eq!(found(&url, &to).await, Vec::<String>::new());

    // Other bytes of the same number.
    to.delete(&first).unwrap();
    publish(&*to, &first, &vec![0; all[&first.to_string()].len()]);
    let damaged = found(&url, &to).await;
    let [line] = &damaged[..] else { panic!("{damaged:?}") };
    assert!(line.contains(&format!("blob {first} has other bytes than when it was stored")), "{line}");
    stage.stop().await;
}
