//! The server runs on whatever place for documents its configuration has, and takes no folder for granted. Here the place is in memory.

use crate::harness::{
    exchange::{Exchange, Nation},
    memory_blobs::MemoryBlobs,
};
use entente::{
    domain::ambient::{Clock as _, SystemClock, SystemRng},
    http::{check::check, config::Config, serve},
    storage::{BlobEngine as _, Expected, mark::Mark},
};
use futures_util::stream;
use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
};

#[tokio::test(flavor = "multi_thread")]
async fn place_that_is_no_folder_is_chosen_by_the_configuration_alone() {
    let place = MemoryBlobs::default();
    let (usa, config) = (Nation::new("USA"), Mutex::new(None));
    let exchange = Exchange::start_changed(&[&usa], "", |changed| {
        changed.blobs.engine = Some(Arc::new(place.clone()));
        *config.lock().unwrap() = Some(changed.clone());
    })
    .await;
    let config = config.into_inner().unwrap().unwrap();
    let folder: PathBuf = config.blobs.folder.clone();
    let running = &exchange.running.exchange;
    assert_eq!(place.mark().unwrap().as_ref(), Some(running.blobs.mark()));

    let pieces = stream::iter([Ok::<_, Infallible>(bytes::Bytes::from_static(b"sealed"))]);
    let staged = running.blobs.stage(pieces, 100, Expected::default(), |_| Ok::<_, Infallible>(()));
    staged.await.unwrap().keep();
    assert_eq!(place.count(), 1);
    let (mut made, mut taken) = running.spools.begin().await.unwrap();
    assert!(made.add(b"an answer".to_vec()).await.unwrap());
    assert_eq!(taken.next().await.unwrap().unwrap(), "an answer");
    assert!(!folder.exists(), "nothing is kept in a folder of documents, nor is one made");

    // Ports are taken and a server runs on the database, as `--check` says; nothing is wrong with the place.
    let found = check(&config, std::iter::empty(), Arc::new(SystemClock)).await;
    assert!(found.faults.iter().all(|fault| !fault.key.starts_with("blobs")), "{found:?}");
    assert!(found.notes.iter().all(|note| !note.contains("blobs")), "{found:?}");
    assert!(config.validate(SystemClock.now()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_about_the_place_name_it_as_it_calls_itself() {
    let (usa, kept) = (Nation::new("USA"), Mutex::new(None));
    let exchange = Exchange::start_changed(&[&usa], "", |changed| *kept.lock().unwrap() = Some(changed.clone())).await;
    let mut config = kept.into_inner().unwrap().unwrap();
    let in_folder = config.blobs.folder.clone();
    std::fs::remove_file(in_folder.join(entente::storage::mark::FILE)).unwrap();
    let open =
        async |config: &Config| serve::open(config, Arc::new(SystemClock), Arc::new(SystemRng)).await.unwrap_err();
    let said = open(&config).await.to_string();
    assert!(said.contains(&format!("documents the folder `{}`", in_folder.display())), "{said}");

    let other = MemoryBlobs::default();
    other.set_mark(&Mark::random(&SystemRng)).unwrap();
    config.blobs.engine = Some(Arc::new(other));
    let said = open(&config).await.to_string();
    assert!(said.contains("documents the memory of this test") && !said.contains("folder `"), "{said}");
    drop(exchange);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_wait_in_a_folder_of_their_own_if_the_settings_name_one() {
    let (usa, kept) = (Nation::new("USA"), Mutex::new(None));
    // Still within `[blobs]`, with which the settings of the harness end.
    let exchange = Exchange::start_changed(&[&usa], "spool_folder = \"spool\"", |changed| {
        *kept.lock().unwrap() = Some(changed.clone());
    })
    .await;
    let own = kept.into_inner().unwrap().unwrap().blobs.spool_folder.unwrap();
    assert!(own.is_absolute() && own.is_dir(), "made on the first start, beside the configuration");
    // Without its mark the folder of documents takes nothing; answers do not depend on it.
    let documents = own.with_file_name("blobs");
    std::fs::remove_file(documents.join(entente::storage::mark::FILE)).unwrap();
    let (mut made, _taken) = exchange.running.exchange.spools.begin().await.unwrap();
    assert!(made.add(b"an answer".to_vec()).await.unwrap());
}
