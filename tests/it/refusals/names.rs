//! Names that look alike are alike: a member who works where a party works is recused however the name was typed, and nobody publishes a
//! name with a character that nobody sees.

use super::lies::{key_of, tamper};
use crate::harness::{
    process::{ended, entente},
    stage::{Stage, Step, fresh_code, id, quiet, summary, text},
};
use entente::{
    client::{ExitClass, directory::NewKeyCard},
    domain::ambient::Clock,
    sealing::{
        card::{KeyCard, PartnerCard},
        statement::sign_statement,
    },
    service::{ServiceError, operator},
    storage::args,
    wire::{
        directory::{CreateProgram, PublishKeyCard},
        proposal::Filter,
    },
};
use jiff::SignedDuration;
use reqwest::Method;
use std::collections::BTreeSet;

/// The member's present card, but for the organisation.
async fn card_at(stage: &Stage, member: &str, organisation: &str) -> NewKeyCard {
    let card = stage.again("USA:dana").issued_member(&id(member)).await.unwrap().card.clone();
    NewKeyCard { organisation: organisation.into(), ..NewKeyCard::like(card) }
}

async fn moves(stage: &Stage, member: &str, organisation: &str) {
    let new = card_at(stage, member, organisation).await;
    stage.client(&format!("{}:registrar", &member[..3])).issue_key_card(&new).await.unwrap();
}

#[tokio::test]
async fn officer_at_a_partys_organisation_in_another_spelling_is_recused() {
    let stage = Stage::open().await;
    moves(&stage, "USA:bob", "Universit\u{e4}t Stra\u{df}burg").await;
    let proposal = stage.submitted().await;
    stage.pass_the_opening();
    let olivia = stage.client("USA:olivia");
    let shown = async || olivia.api().count_proposals(&Filter::default()).await.unwrap().proposals;
    assert_eq!(shown().await, 1);
    let raw = stage.raw(Some(stage.credential("USA:olivia")));
    let answer = async |proposal: &str| {
        let answer = raw.request(Method::GET, &format!("/v1/proposals/{proposal}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let absent = answer("prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF").await;
    assert_eq!(absent.0, 404);
    for spelling in [
        "Universita\u{308}t Strassburg",
        "UNIVERSIT\u{c4}T\u{a0}STRASSBURG",
        "\u{ff35}niversit\u{e4}t  stra\u{1e9e}burg",
    ] {
        moves(&stage, "USA:olivia", "Office of Cooperative Programs").await;
        assert_eq!((answer(&proposal.to_string()).await.0, shown().await), (200, 1), "{spelling}");
        moves(&stage, "USA:olivia", spelling).await;
        assert_eq!((answer(&proposal.to_string()).await, shown().await), (absent.clone(), 0), "{spelling}");
        assert!(olivia.api().all_proposals(Some(stage.call)).await.unwrap().is_empty(), "{spelling}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn holder_wraps_nothing_to_a_reviewer_at_a_partys_organisation_in_another_spelling() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    moves(&stage, "ISR:maya", "\u{ff2b}INNERET\u{3000}sensing").await;
    // An exchange that keeps silent about it.
    tamper(&stage, "UPDATE members SET organisation = 'Elsewhere' WHERE member = 'ISR:maya'", args![]).await;
    let wrapped = stage.again("USA:dana").wrap_missing(proposal).await.unwrap();
    let names = |holders: Vec<String>| holders.into_iter().collect::<BTreeSet<_>>();
    let done = names(wrapped.done.iter().map(|key| key.holder.to_string()).collect());
    let refused = names(wrapped.refused.iter().map(|(key, _)| key.holder.to_string()).collect());
    assert_eq!((done, refused), (["USA:carol".into()].into(), ["ISR:maya".into()].into()));
    stage.stop().await;
}

#[tokio::test]
async fn name_with_a_character_that_nobody_sees_is_not_published_and_an_old_one_can_be_revoked() {
    let stage = Stage::open().await;
    let registrar = stage.client("ISR:registrar");
    let unseen = card_at(&stage, "ISR:maya", "Kinneret\u{200b} Sensing").await;
    let said = "the organisation has the character U+200B, which nobody sees; write it without";
    stage.declines(ExitClass::Usage, said, registrar.issue_key_card(&unseen)).await;
    let present = stage.again("USA:dana").issued_member(&id("ISR:maya")).await.unwrap().card.clone();
    let card = KeyCard { name: "Maya\u{202e}".into(), serial: 2, ..present };
    let key_card = sign_statement(&key_of(&stage, "ISR:registrar"), &card).unwrap();
    let body = PublishKeyCard { key_card: key_card.clone(), certificates: Vec::new(), without: [].into() };
    stage.refuses("statement-invalid", registrar.api().publish_key_card(&id("ISR:maya"), &body)).await;

    // One from before this was asked.
    let sql = "UPDATE members SET key_card = $1, serial = 2, name = $2 WHERE member = 'ISR:maya'";
    tamper(&stage, sql, args![key_card, card.name]).await;
    let sql = "INSERT INTO key_cards (member, serial, key_card, published_at) SELECT member, serial, key_card, published_at \
               FROM members WHERE member = 'ISR:maya'";
    tamper(&stage, sql, args![]).await;
    assert_eq!(stage.again("USA:dana").issued_member(&id("ISR:maya")).await.unwrap().card, card);
    let revoked = stage.again("ISR:registrar").revoke_key_card(&id("ISR:maya"), true).await.unwrap();
    assert_eq!((revoked.status.as_str(), revoked.serial), ("revoked", 3));
    stage.stop().await;
}

#[tokio::test]
async fn partner_or_call_with_a_character_in_its_name_that_nobody_sees_is_refused() {
    let stage = Stage::open().await;
    let card = stage.client("USA:dana").partner(&"ISR".parse().unwrap()).await.unwrap();
    let card = PartnerCard { name: "Israel\u{2066}".into(), ..(*card).clone() };
    assert!(PartnerCard::from_json(&card.canonical().unwrap()).is_ok(), "one from before stays readable");
    let before = stage.census().await;
    let Err(ServiceError::Refused(refused)) = operator::enrol(&stage.server.exchange, &card).await else {
        panic!("it was enrolled")
    };
    let said = refused.to_string();
    assert!(said.contains("the name has the character U+2066, which nobody sees; write it without"), "{said}");
    assert_eq!(stage.census().await, before);

    let (dana, now) = (stage.client("USA:dana"), stage.clock.now());
    let mut wanted = text(now, now + SignedDuration::from_hours(240));
    wanted.title = "Joint\u{ad} research".into();
    stage.refuses("call-text-invalid", dana.draft_call(stage.program, &wanted)).await;
    let program = CreateProgram {
        name: "Joint\u{202e} research".into(),
        lead: "USA".parse().unwrap(),
        partners: ["USA".parse().unwrap()].into(),
    };
    stage.refuses("malformed", dana.api().create_program(&program)).await;
    wanted.title = "Joint research".into();
    wanted.slots[0].title = "Work\u{feff} plan".into();
    stage.refuses("call-text-invalid", dana.draft_call(stage.program, &wanted)).await;
    stage.stop().await;
}

#[tokio::test]
async fn criterion_with_a_character_in_its_title_that_nobody_sees_is_neither_drafted_nor_in_an_amendment() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let mut wanted = dana.call(stage.call).await.unwrap().text.clone();
    for (unseen, code) in [('\u{202e}', "U+202E"), ('\u{200b}', "U+200B"), ('\n', "U+000A")] {
        wanted.criteria[1].title = format!("Imp{unseen}act");
        stage.refuses("call-text-invalid", dana.draft_call(stage.program, &wanted)).await;
        stage.refuses("call-text-invalid", dana.amend_call(stage.call, &wanted, "a reason", None)).await;
        let refused = dana.draft_call(stage.program, &wanted).await.unwrap_err().to_string();
        let said = format!("the title of a criterion has the character {code}, which nobody sees; write it without");
        assert!(refused.contains(&said), "{refused}");
    }
    wanted.criteria[1].title = "영향 — השפעה".into();
    wanted.code = fresh_code();
    dana.draft_call(stage.program, &wanted).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn summary_with_a_character_in_a_name_that_nobody_sees_is_not_sealed() {
    let stage = Stage::open().await;
    let (avi, proposal) = (stage.client("ISR:avi"), stage.begun().await);
    let written = summary("Lodestone");
    let mut titled = written.clone();
    titled.title = "Lode\u{202e}stone".into();
    let mut led = written.clone();
    led.team[0].organisation = "Kinneret\u{200b} Sensing".into();
    for (summary, said) in [(titled, "the title has the character U+202E"), (led, "organisation of a team member has")]
    {
        stage.declines(ExitClass::Usage, said, avi.put_summary(proposal, &summary, quiet())).await;
    }
    avi.put_summary(proposal, &written, quiet()).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn registrar_is_shown_organisations_that_are_nearly_the_same() {
    let stage = Stage::open().await;
    let card = stage.again("USA:dana").issued_member(&id("ISR:maya")).await.unwrap().card.clone();
    let (pki, home) = (stage.plan.dir.join("pki/ISR"), stage.home(&id("ISR:registrar")).display().to_string());
    let (recipient, certificate) = (card.recipients[0].clone(), pki.join("maya.crt").display().to_string());
    let until = card.valid_until.to_string();
    let issue = async |organisation: &str, flags: &[&str]| {
        let mut words = vec!["--home", &home];
        words.extend(flags);
        words.extend(["key-card", "issue", "ISR:maya", "--name", "Maya Peretz", "--organisation", organisation]);
        words.extend(["--recipient", &recipient, "--certificate", &certificate, "--valid-until", &until]);
        let output = ended(entente(&words)).await;
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = issue("Kineret Sensing", &[]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("warning: `Kinneret Sensing` of ISR is nearly `Kineret Sensing`"), "{said}");
    let (code, said) = issue("Blue-Ridge Navigation Inc.", &["--json"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("`Blue Ridge Navigation` of USA is nearly"), "{said}");
    // Neither one's own former name nor the very name of others is one to ask about.
    for organisation in ["Blue-Ridge Navigation Incorporated", "KINNERET sensing", "Technion"] {
        let (code, said) = issue(organisation, &[]).await;
        let asks = said.contains("nearly");
        assert_eq!((code, asks), (0, organisation.starts_with("Blue")), "{said}");
    }
    assert_eq!(stage.client("USA:dana").api().member(&id("ISR:maya")).await.unwrap().serial, 6);
    stage.stop().await;
}
