//! `verify` of an exchange whose members act meanwhile.

use super::{documents, on_both_engines, row};
use crate::harness::stage::{Stage, id};
use entente::{
    client::directory::NewKeyCard,
    domain::ambient::SystemRng,
    service::verify::{VerificationEvent, verify},
    storage::{Db, db::tables::Tables},
};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use std::{sync::mpsc, thread};
use tokio::sync::mpsc::unbounded_channel;

/// Verifies the exchange from outside. Whatever it comes by is handed to `meanwhile`, and it stands still until that is done.
async fn verify_beside(stage: &Stage, mut meanwhile: impl AsyncFnMut(&VerificationEvent)) {
    let (looks, mut heard) = unbounded_channel();
    let (go_on, may_go_on) = mpsc::channel();
    let (url, documents) = (stage.plan.database_url.clone(), documents(stage));
    let verifying = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tables = Tables::In(Db::look(&url, true).await.unwrap());
            let mut hear = |look| {
                looks.send(look).unwrap();
                may_go_on.recv().unwrap();
            };
            verify(&tables, &documents, &mut hear).await.unwrap();
            tables.close().await;
        });
    });
    while let Some(look) = heard.recv().await {
        meanwhile(&look).await;
        go_on.send(()).unwrap();
    }
    verifying.join().unwrap();
}

/// Avi gets a second certificate, his registrar a card for it, and he begins a proposal under it.
async fn act_under_a_new_key(stage: &Stage) {
    let avi = id("ISR:avi");
    let authority = &stage.pki.partners[avi.partner()].authority;
    let credential = authority.issue(&authority.member(&avi), &SystemRng).unwrap();
    let present = stage.again("USA:dana").issued_member(&avi).await.unwrap().card.clone();
    let card = NewKeyCard {
        certificates: present.certificates.iter().copied().chain([credential.spki]).collect(),
        shown: vec![credential.certificate.clone()],
        ..NewKeyCard::like(present)
    };
    stage.client("ISR:registrar").issue_key_card(&card).await.unwrap();
    credential.write(&stage.plan.dir, "avi-2").unwrap();
    let (certificate, key) = (stage.plan.dir.join("avi-2.crt"), stage.plan.dir.join("avi-2.key"));
    let renewed = stage.client_with(stage.home(&avi), &avi, certificate, key).unwrap();
    renewed.create_proposal(&stage.joint()).await.unwrap();
}

#[tokio::test]
async fn what_members_do_meanwhile_is_no_damage() {
    on_both_engines(async |stage| {
        stage.submitted().await;
        let cards = "SELECT (SELECT COUNT(*) FROM key_cards) + (SELECT COUNT(*) FROM members) AS it";
        let cards = row(&stage, cards).await.count("it").unwrap();
        let (mut has_acted, mut has_handed_in, mut findings) = (false, false, Vec::new());
        verify_beside(&stage, async |look| match look {
            // Once all key cards are read, there is another one and a statement under it.
            VerificationEvent::Statements(count) if *count > cards && !has_acted => {
                has_acted = true;
                act_under_a_new_key(&stage).await;
            }
            // Once documents are being read, another version is completed with documents of its own.
            VerificationEvent::Documents { .. } if !has_handed_in => {
                has_handed_in = true;
                stage.submitted().await;
            }
            VerificationEvent::Found(finding) => findings.push(finding.clone()),
            _ => {}
        })
        .await;
        assert!(has_acted && has_handed_in);
        assert_eq!(findings, []);
        stage.stop().await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_held_open_in_the_database_while_documents_are_read() {
    let stage = Stage::open().await;
    stage.submitted().await;
    let url = stage.plan.database_url.clone();
    let mut taken_in = Vec::new();
    verify_beside(&stage, async |look| {
        if matches!(look, VerificationEvent::Documents { .. }) {
            // What is written now is taken in from the log only when nobody reads an older state.
            stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap();
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            let answer = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await.unwrap();
            taken_in.push(answer.get::<i64, _>(0) == 0);
            connection.close().await.unwrap();
        }
    })
    .await;
    assert_eq!(taken_in, [true; 4], "one of each document");
    stage.stop().await;
}
