//! An exchange that lies: rows and files are changed beneath it, and the members' own clients notice and do nothing.

use crate::harness::{
    census::files,
    stage::{ANNEX_LIMIT, Stage, Step, code, id, pdf, quiet, review, slug},
};
use entente::{
    client::{ExitClass, directory::NewKeyCard, verified::VersionChoice},
    dev_pki::cast::TAMAR,
    domain::{
        ambient::Clock,
        entry::EntryKind,
        id::{ProposalId, Sha256, VaultId},
        vault::VaultKind,
    },
    sealing::{
        card::{CardStatus, KeyCard},
        identity::new_identity,
        jws::SigningKey,
        statement::{VaultStatement, sign_statement},
    },
    service::upkeep,
    storage::{Arg, args},
};
use jiff::SignedDuration;
use std::path::PathBuf;

/// Changes what the exchange holds, as its operator could; it must have changed something.
pub(crate) async fn tamper(stage: &Stage, sql: &'static str, args: Vec<Arg>) {
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    assert!(tx.execute(sql, args).await.unwrap() > 0, "nothing was changed");
    tx.commit().await.unwrap();
}

async fn look(stage: &Stage, sql: &'static str, args: Vec<Arg>) -> String {
    stage.server.exchange.db.read().await.unwrap().fetch_one(sql, args).await.unwrap().text("it").unwrap()
}

/// The key with which a member of the cast signs.
pub(crate) fn key_of(stage: &Stage, member: &str) -> SigningKey {
    let credential = stage.credential(member);
    SigningKey::from_pem(credential.private_key.expose().as_bytes(), credential.certificate.as_bytes()).unwrap()
}

/// A card that names a recipient of somebody else's making.
fn card(stage: &Stage, serial: u64) -> KeyCard {
    KeyCard {
        member: id(TAMAR.member),
        name: TAMAR.name.into(),
        organisation: TAMAR.organisation.into(),
        roles: [].into(),
        recipients: vec![new_identity().recipient().to_owned()],
        certificates: vec![stage.credential("ISR:tamar").spki],
        serial,
        valid_from: stage.clock.now(),
        valid_until: stage.clock.now() + SignedDuration::from_hours(24),
        status: CardStatus::Active,
    }
}

const PUT_CARD: &str = "UPDATE members SET key_card = $1 WHERE member = 'ISR:tamar'";

#[tokio::test]
async fn nothing_is_wrapped_to_a_key_card_that_is_not_the_registrars() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (avi, tamar) = (stage.client("ISR:avi"), id("ISR:tamar"));
    let genuine = look(&stage, "SELECT key_card AS it FROM members WHERE member = 'ISR:tamar'", args![]).await;
    let by_korea = sign_statement(&key_of(&stage, "KOR:registrar"), &card(&stage, 2)).unwrap();
    let by_herself = sign_statement(&key_of(&stage, "ISR:tamar"), &card(&stage, 2)).unwrap();
    let of_avi = look(&stage, "SELECT key_card AS it FROM members WHERE member = 'ISR:avi'", args![]).await;
    for forged in [by_korea, by_herself, of_avi] {
        tamper(&stage, PUT_CARD, args![forged]).await;
        let adding = avi.invite(proposal, &tamar);
        stage.declines(ExitClass::Unverified, "is not their registrar's", adding).await;
    }
    tamper(&stage, PUT_CARD, args![genuine]).await;
    avi.invite(proposal, &tamar).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn older_key_card_does_not_come_back() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let member = id("ISR:tamar");
    let old = look(&stage, "SELECT key_card AS it FROM members WHERE member = 'ISR:tamar'", args![]).await;
    // The old key was lost, so the registrar vouches for a new one; Avi has seen that.
    let registrar = stage.client("ISR:registrar");
    let new = NewKeyCard::like(card(&stage, 2));
    registrar.issue_key_card(&new).await.unwrap();
    let home = stage.home(&id("ISR:avi"));
    let files = stage.plan.dir.join("pki/ISR");
    let again =
        || stage.client_with(home.clone(), &id("ISR:avi"), files.join("avi.crt"), files.join("avi.key")).unwrap();
    assert_eq!(again().member(&member).await.unwrap().card.serial, 2);
    tamper(&stage, PUT_CARD, args![old]).await;
    stage.declines(ExitClass::Unverified, "serial", again().invite(proposal, &member)).await;
    stage.stop().await;
}

#[tokio::test]
async fn nothing_is_sealed_to_a_vault_that_no_party_made() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (slot, annex) = (slug("annex"), stage.file("annex.bin", b"measurements"));
    let recipient = new_identity().recipient().to_owned();
    let sql = "UPDATE vaults SET recipient = $1 WHERE kind = 'panel'";
    tamper(&stage, sql, args![recipient]).await;
    for member in ["USA:bob", "ISR:avi"] {
        let putting = stage.client(member).put_document(proposal, &slot, &annex, None, quiet());
        stage.declines(ExitClass::Unverified, "says something else", putting).await;
    }
    // With a statement to match, by somebody who is a member, but of no party.
    let vault: VaultId =
        look(&stage, "SELECT vault_id AS it FROM vaults WHERE kind = 'panel'", args![]).await.parse().unwrap();
    let statement = VaultStatement {
        vault,
        kind: VaultKind::Panel,
        call: stage.call,
        proposal: Some(proposal),
        party: None,
        recipient,
    };
    let statement = sign_statement(&key_of(&stage, "KOR:minjun"), &statement).unwrap();
    tamper(&stage, "UPDATE vaults SET statement = $1 WHERE kind = 'panel'", args![statement]).await;
    let putting = stage.client("USA:bob").put_document(proposal, &slot, &annex, None, quiet());
    stage.declines(ExitClass::Unverified, "no key card of", putting).await;
    assert!(stage.client("USA:bob").interrupted_uploads().unwrap().is_empty(), "nothing was sealed");
    stage.stop().await;
}

#[tokio::test]
async fn size_that_the_exchange_makes_up_for_what_nobody_signed_is_held_against_the_call_s_text() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    stage.put("ISR:avi", proposal, "annex", &stage.file("annex.bin", b"measurements")).await;
    let (bob, annex, out) = (stage.client("USA:bob"), slug("annex"), stage.plan.dir.join("opened.bin"));
    let set = "UPDATE documents SET size = $1 WHERE slot = 'annex'";
    tamper(&stage, set, args![ANNEX_LIMIT + 1]).await;
    let saying = "holds 200001 bytes, and by the call's text it takes at most 200000";
    for sealed in [false, true] {
        let opening = async {
            if sealed {
                bob.download_document(proposal, &annex, None, VersionChoice::Working, &out, quiet()).await
            } else {
                bob.open_document(proposal, &annex, None, VersionChoice::Working, &out, quiet()).await
            }
        };
        stage.declines(ExitClass::Unverified, saying, opening).await;
        assert!(!out.exists());
    }
    assert!(stage.log().await.iter().all(|entry| entry.kind != EntryKind::DocumentFetched), "nothing was asked for");
    stage.stop().await;
}

/// Dana tries to open the work plan; nothing may appear.
async fn opens_nothing(stage: &Stage, proposal: ProposalId, saying: &str) {
    let folder = stage.plan.dir.join("opened");
    std::fs::create_dir_all(&folder).unwrap();
    let (dana, slot, out) = (stage.client("USA:dana"), slug("work-plan"), folder.join("work-plan.pdf"));
    let opening = Box::pin(dana.open_document(proposal, &slot, None, VersionChoice::Standing, &out, quiet()));
    stage.declines(ExitClass::Unverified, saying, opening).await;
    assert_eq!(files(&folder), Vec::<PathBuf>::new(), "not even a part of it");
}

#[tokio::test]
async fn manifest_that_the_parties_did_not_sign_opens_nothing() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    let signature = "SELECT jws AS it FROM manifest_signatures WHERE partner = $1";
    let (isr, usa) = (look(&stage, signature, args!["ISR"]).await, look(&stage, signature, args!["USA"]).await);
    let sign = "UPDATE manifest_signatures SET jws = $1 WHERE partner = 'ISR'";

    tamper(&stage, sign, args![usa]).await;
    opens_nothing(&stage, proposal, "no key card of ISR").await;
    let forged = {
        let signed = entente::sealing::statement::verify_signed::<entente::sealing::statement::Manifest>(&isr).unwrap();
        sign_statement(&key_of(&stage, "ISR:tamar"), &{
            let mut manifest = signed.statement;
            manifest.documents.pop();
            manifest
        })
        .unwrap()
    };
    tamper(&stage, sign, args![forged]).await;
    opens_nothing(&stage, proposal, "not over one and the same manifest").await;
    let mut flipped = isr.clone().into_bytes();
    let middle = isr.find('.').unwrap() + 40;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    tamper(&stage, sign, args![String::from_utf8(flipped).unwrap()]).await;
    opens_nothing(&stage, proposal, "").await;
    tamper(&stage, sign, args![isr]).await;

    let sha256 = look(&stage, "SELECT sha256 AS it FROM manifests", args![]).await;
    tamper(&stage, "UPDATE manifests SET sha256 = $1", args![Sha256::of(b"another")]).await;
    opens_nothing(&stage, proposal, "not over one and the same manifest").await;
    tamper(&stage, "UPDATE manifests SET sha256 = $1", args![sha256]).await;
    // A version shown as standing with one signature less.
    tamper(&stage, "DELETE FROM manifest_signatures WHERE partner = 'USA'", args![]).await;
    opens_nothing(&stage, proposal, "`USA` has not signed").await;
    stage.stop().await;
}

/// The exchange itself compares what it hands out. What a client does with other bytes from one that lies is proven in
/// `sealing::seal`, where it opens them.
#[tokio::test]
async fn ciphertext_changed_on_the_disk_opens_nothing() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    let key = look(&stage, "SELECT blob_key AS it FROM documents WHERE slot = 'work-plan'", args![]).await;
    let blobs = files(&stage.plan.dir.join("blobs"));
    let path = blobs.iter().find(|path| path.to_string_lossy().replace('/', "").ends_with(&key)).unwrap();
    let whole = std::fs::read(path).unwrap();
    let (dana, out) = (stage.client("USA:dana"), stage.plan.dir.join("whole.pdf"));
    // In the stanza of the key, in the header's own proof, and in the content.
    for at in [40, 150, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(path, flipped).unwrap();
        let plan = slug("work-plan");
        let opening = dana.open_document(proposal, &plan, None, VersionChoice::Standing, &out, quiet());
        stage.refuses("document-damaged", opening).await;
        assert!(!out.exists(), "not even a part of it");
        std::fs::write(path, &whole).unwrap();
        let looked = upkeep::scrub_now(&stage.server.exchange, true).await.unwrap();
        assert_eq!((looked.documents, looked.recovered), (1, 1), "what is right again is handed out");
    }
    dana.open_document(proposal, &slug("work-plan"), None, VersionChoice::Standing, &out, quiet()).await.unwrap();
    assert_eq!(std::fs::read(out).unwrap(), pdf("the work plan"));
    stage.stop().await;
}

#[tokio::test]
async fn exchange_cannot_have_a_key_wrapped_to_somebody_without_a_place() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    // A party's restricted vault, shown to the client as if it were the panel's.
    let sql = "UPDATE vaults SET place = 'elsewhere', kind = 'panel', party = NULL WHERE kind = 'staff' AND party = $1";
    tamper(
        &stage,
        "DELETE FROM wrapped_keys WHERE vault_id IN (SELECT vault_id FROM vaults WHERE kind = 'panel')",
        args![],
    )
    .await;
    tamper(
        &stage,
        "DELETE FROM documents WHERE vault_id IN (SELECT vault_id FROM vaults WHERE kind = 'panel')",
        args![],
    )
    .await;
    tamper(&stage, "DELETE FROM vaults WHERE kind = 'panel'", args![]).await;
    tamper(&stage, sql, args![code("ISR")]).await;
    let before = stage.census().await;
    let prepared = stage.client("USA:dana").wrap_missing(proposal).await.unwrap();
    assert!(!prepared.refused.is_empty() && prepared.done.is_empty(), "{prepared:?}");
    assert!(prepared.refused.iter().all(|(_, error)| error.class() == ExitClass::Unverified), "{prepared:?}");
    assert_eq!(stage.census().await, before);
    stage.stop().await;
}

/// The card of a member with another certificate in place of the one they sign with.
async fn renew(stage: &Stage, member: &str) {
    let next = stage.next_credential(member);
    let (member, registrar) = (id(member), format!("{}:registrar", &member[..3]));
    let present = stage.client("USA:dana").issued_member(&member).await.unwrap().card.clone();
    let new = NewKeyCard { certificates: vec![next.spki], shown: vec![next.certificate], ..NewKeyCard::like(present) };
    stage.client(&registrar).issue_key_card(&new).await.unwrap();
}

#[tokio::test]
async fn what_was_signed_stays_provable_after_a_renewal_and_not_after_a_theft() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    for reviewer in ["USA:carol", "ISR:maya"] {
        stage.client(reviewer).submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
    }
    stage.clock.set(stage.clock.now() + SignedDuration::from_secs(1));
    for member in ["ISR:avi", "USA:carol"] {
        renew(&stage, member).await;
    }
    // Each time by a machine that has seen nothing since it was started.
    let (home, files) = (stage.home(&id("USA:dana")), stage.plan.dir.join("pki/USA"));
    let dana =
        || stage.client_with(home.clone(), &id("USA:dana"), files.join("dana.crt"), files.join("dana.key")).unwrap();
    dana().read_summary(proposal, VersionChoice::Standing).await.unwrap();
    assert_eq!(dana().open_reviews(proposal).await.unwrap().reviews.len(), 2);

    // Said to have been handed in when the card had been replaced already.
    let late = stage.clock.now() + SignedDuration::from_hours(1);
    tamper(&stage, "UPDATE reviews SET submitted_at = $1 WHERE reviewer = 'USA:carol'", args![late]).await;
    let opened = dana().open_reviews(proposal).await.unwrap();
    assert_eq!(opened.reviews.len(), 1, "hers is by no card that was in force then");

    for (member, registrar) in [("ISR:avi", "ISR:registrar"), ("ISR:maya", "ISR:registrar")] {
        stage.client(registrar).revoke_key_card(&id(member), false).await.unwrap();
    }
    stage
        .declines(ExitClass::Unverified, "no key card of", dana().read_summary(proposal, VersionChoice::Standing))
        .await;
    renew(&stage, "ISR:avi").await;
    stage
        .declines(ExitClass::Unverified, "no key card of", dana().read_summary(proposal, VersionChoice::Standing))
        .await;
    stage.stop().await;
}
