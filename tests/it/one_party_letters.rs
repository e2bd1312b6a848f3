//! Letters under a call whose text says that each is for one party alone: its members open it, the other party is shown neither the letter nor a
//! count of it, and nobody signs whom no such letter could reach.

use crate::{
    harness::{
        stage::{Stage, code, id, quiet, run, summary, text},
        world::Store,
    },
    refusals::lies::{key_of, tamper},
};
use entente::{
    client::{api::Paging, error::ExitClass, letters::LetterTemplate, titles::Titles},
    domain::{
        ambient::{Clock, SystemClock},
        call::{LetterAudience, Phase},
        decision::Outcome,
        entry::EntryKind,
        id::ProposalId,
        inbox::ItemKind,
    },
    sealing::statement::{
        AcceptanceStatement, CallPublication, InvitationStatement, LetterStatement, sign_statement, verify_signed,
    },
    storage::args,
    wire::{
        call::CallText,
        decision::SendLetter,
        proposal::{AcceptInvitation, SignManifest},
    },
};

/// A stage around one more call, with this text.
async fn around(store: Store, change: impl FnOnce(&mut CallText)) -> Option<Stage> {
    let mut stage = Stage::open_on(store).await?;
    let mut text = text(stage.clock.now(), stage.deadline);
    change(&mut text);
    let dana = stage.client("USA:dana");
    let draft = dana.draft_call(stage.program, &text).await.unwrap();
    stage.call = dana.publish_call(draft.id).await.unwrap().id;
    stage.grant().await;
    Some(stage)
}

fn to_one_party(text: &mut CallText) {
    text.letters = LetterAudience::OneParty;
}

async fn decide(stage: &Stage, proposal: ProposalId, outcome: Outcome) {
    for member in ["USA:frank", "ISR:eitan"] {
        stage.client(member).sign_decision(proposal, outcome).await.unwrap();
    }
}

/// How many letters a member is shown: counted, listed, and waiting in the inbox.
async fn shown(stage: &Stage, member: &str, proposal: ProposalId) -> (u64, usize, usize) {
    let api = stage.client(member).api();
    let waiting = api.inbox().await.unwrap().items.into_iter().filter(|item| item.kind == ItemKind::ReadLetter).count();
    (api.proposal(proposal).await.unwrap().letters, api.letters(proposal).await.unwrap().len(), waiting)
}

async fn letter_is_for_its_party_alone(store: Store) {
    let Some(stage) = around(store, to_one_party).await else { return };
    let proposal = stage.under_review().await;
    let [dana, noa, avi, bob] = ["USA:dana", "ISR:noa", "ISR:avi", "USA:bob"].map(|who| stage.client(who));
    decide(&stage, proposal, Outcome::Fund).await;
    stage.declines(ExitClass::Usage, "each letter is for one party alone", dana.send_letter(proposal, "Yes.")).await;
    let korea = code("KOR");
    stage.declines(ExitClass::Usage, "`KOR` is not a party", dana.send_letter_to(proposal, &korea, "Yes.")).await;

    let letter = dana.send_letter_to(proposal, &code("ISR"), "Israel pays its half in May.").await.unwrap();
    assert_eq!(letter.party, Some(code("ISR")));
    assert_eq!(shown(&stage, "ISR:avi", proposal).await, (1, 1, 1));
    assert_eq!(shown(&stage, "USA:bob", proposal).await, (0, 0, 0));
    assert_eq!(shown(&stage, "ISR:noa", proposal).await, (1, 1, 0), "an officer sees what was sent");
    let read = avi.read_letter(proposal, letter.id).await.unwrap();
    assert_eq!((&**read.text, read.letter.party), ("Israel pays its half in May.", Some(code("ISR"))));
    assert_eq!(shown(&stage, "ISR:avi", proposal).await, (1, 1, 0));
    // That it was sent stands in the log of all parties, as with restricted documents; what it says does not.
    stage.refuses("denied", bob.api().letter(proposal, letter.id)).await;
    assert_eq!(bob.api().entries(&[EntryKind::LetterSent], &Paging::default()).await.unwrap().items.len(), 1);

    // Taken back, it is as if it had not been sent.
    dana.api().withdraw_letter(proposal, letter.id).await.unwrap();
    assert_eq!(shown(&stage, "ISR:avi", proposal).await, (0, 0, 0));
    dana.send_letter_to(proposal, &code("ISR"), "Israel pays its half in June.").await.unwrap();

    // A letter to one of two parties is half of what is to be done.
    stage.refuses("call-unfinished", dana.api().close_call(stage.call)).await;
    noa.send_letter_to(proposal, &code("USA"), "The United States pay in June.").await.unwrap();
    assert_eq!(shown(&stage, "USA:bob", proposal).await, (1, 1, 1));
    assert_eq!(shown(&stage, "ISR:avi", proposal).await, (1, 1, 1));
    assert_eq!(shown(&stage, "USA:dana", proposal).await.0, 2);
    assert_eq!(dana.api().close_call(stage.call).await.unwrap().phase, Phase::Closed);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letter_is_for_its_party_alone_on_sqlite() {
    letter_is_for_its_party_alone(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letter_is_for_its_party_alone_on_postgres() {
    letter_is_for_its_party_alone(Store::Postgres).await;
}

#[tokio::test]
async fn template_makes_a_letter_for_each_party_that_has_none() {
    let stage = around(Store::Sqlite, to_one_party).await.unwrap();
    let proposal = stage.under_review().await;
    let dana = stage.client("USA:dana");
    decide(&stage, proposal, Outcome::Decline).await;
    let rules = dana.call(stage.call).await.unwrap().rules.clone();
    let template =
        LetterTemplate::of_file("=== decline ===\nTo {organisations}: {reference} is not funded.\n", &rules.criteria);
    let template = template.unwrap();
    let plan = async || dana.plan_letters(stage.call, &template, &Titles::default()).await.unwrap();
    let batch = plan().await;
    let to: Vec<_> = batch.letters.iter().map(|it| (it.party.clone().unwrap(), it.to.clone())).collect();
    assert_eq!(to, [(code("ISR"), [id("ISR:avi")].into()), (code("USA"), [id("USA:bob")].into())]);
    // Each names its own employers and not the other's.
    let organisations =
        [&batch.letters[0].text, &batch.letters[1].text].map(|text| text.split(':').next().unwrap().to_owned());
    assert!(
        organisations[0] != organisations[1] && !organisations.iter().any(|it| it.contains(',')),
        "{organisations:?}"
    );
    let forecast = serde_json::to_string(&dana.forecast_letters(&batch, &rules.code)).unwrap();
    assert!(
        forecast.contains("and no other party, can open its letter") && forecast.contains("`decline` to 2 parties"),
        "{forecast}"
    );

    // One was sent by hand before; done again, nothing is left.
    let line = dana.api().proposal(proposal).await.unwrap().reference.to_string();
    let file = stage.file("letter.txt", b"It is not funded.");
    let words =
        ["letter", "send", &line, "--file", file.to_str().unwrap(), "--party", "USA", "--outcome", "decline", "--yes"];
    stage.clock.set(SystemClock.now());
    let (exit, said, refused) = run(&stage, "USA:dana", &words).await;
    assert!(exit == 0 && said.contains("USA alone"), "{said}{refused}");
    let batch = plan().await;
    assert_eq!(batch.letters.iter().map(|it| it.party.clone()).collect::<Vec<_>>(), [Some(code("ISR"))]);
    let came = dana.send_letters(&batch).await.unwrap();
    assert_eq!((came.sent.len(), came.failed.len()), (1, 0));
    let batch = plan().await;
    assert_eq!((batch.letters.len(), batch.sent_before.len()), (0, 1));
    let (exit, said, _) = run(&stage, "USA:dana", &["letter", "list", &line]).await;
    assert!(exit == 0 && said.contains("ISR alone") && said.contains("USA alone"), "{said}");
    let (exit, said, _) = run(&stage, "USA:bob", &["letter", "open", &line]).await;
    assert!(exit == 0 && said.contains("It is not funded.") && !said.contains("ISR alone"), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn letter_is_for_whom_the_text_says_and_an_amendment_keeps_that() {
    let stage = around(Store::Sqlite, to_one_party).await.unwrap();
    let proposal = stage.submitted().await;
    let dana = stage.client("USA:dana");
    let call = dana.call(stage.call).await.unwrap();
    let amended = CallText { letters: LetterAudience::AllParties, ..call.text.clone() };
    let amending = dana.amend_call(stage.call, &amended, "all may read all", Some(0));
    stage.refuses("call-text-invalid", amending).await;

    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
    decide(&stage, proposal, Outcome::Fund).await;
    let letter = dana.send_letter_to(proposal, &code("ISR"), "Yes.").await.unwrap();
    let said = verify_signed::<LetterStatement>(&letter.statement).unwrap().statement;
    let ciphertext = stage.client("ISR:avi").api().letter(proposal, letter.id).await.unwrap().ciphertext.unwrap();
    for party in [None, Some(code("KOR"))] {
        let said = LetterStatement { party, ..said.clone() };
        let statement = sign_statement(&key_of(&stage, "USA:dana"), &said).unwrap();
        let body = SendLetter { statement: statement.clone(), ciphertext: ciphertext.clone() };
        stage.refuses("statement-invalid", dana.api().send_letter(proposal, &body)).await;
        // Nor is it read if the exchange shows it.
        tamper(&stage, "UPDATE letters SET statement = $1", args![statement]).await;
        let reading = stage.client("ISR:avi").read_letter(proposal, letter.id);
        stage.declines(ExitClass::Unverified, "another party", reading).await;
    }
    let stage_of_all = Stage::open().await;
    let proposal = stage_of_all.under_review().await;
    decide(&stage_of_all, proposal, Outcome::Fund).await;
    let dana = stage_of_all.client("USA:dana");
    let israel = code("ISR");
    let sending = dana.send_letter_to(proposal, &israel, "Yes.");
    stage_of_all.declines(ExitClass::Usage, "a letter is for all parties", sending).await;
    stage_of_all.stop().await;
    stage.stop().await;
}

#[tokio::test]
async fn nobody_signs_whom_no_letter_could_reach() {
    let stage = around(Store::Sqlite, |text| {
        to_one_party(text);
        text.slots.retain(|slot| slot.name.as_str() == "annex");
    });
    let stage = stage.await.unwrap();
    let [avi, bob] = ["ISR:avi", "USA:bob"].map(|who| stage.client(who));
    let proposal = avi.create_proposal(&stage.joint()).await.unwrap().id;
    // Bob joins by a program of his own, which makes no vault.
    let line = bob.api().joined(proposal).await.unwrap().into_iter().find(|line| line.member == id("USA:bob")).unwrap();
    let acceptance = AcceptanceStatement {
        proposal,
        member: id("USA:bob"),
        invitation_sha256: verify_signed::<InvitationStatement>(&line.invitation).unwrap().payload_sha256,
        stated_at: stage.clock.now(),
    };
    let statement = sign_statement(&key_of(&stage, "USA:bob"), &acceptance).unwrap();
    bob.api().accept_invitation(proposal, &AcceptInvitation { statement }).await.unwrap();
    avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
    let plan = bob.plan_signature(proposal).await.unwrap();
    let manifest = sign_statement(&key_of(&stage, "USA:bob"), &plan.manifest).unwrap();
    let body = SignManifest { manifest };
    let signing = bob.api().sign_manifest(proposal, &body);
    stage.refuses("manifest-mismatch", signing).await;
    // The client makes what is missing.
    stage.sign("USA:bob", proposal).await;
    stage.sign("ISR:avi", proposal).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
    decide(&stage, proposal, Outcome::Fund).await;
    let letter = stage.client("ISR:noa").send_letter_to(proposal, &code("USA"), "Yes.").await.unwrap();
    assert_eq!(&**bob.read_letter(proposal, letter.id).await.unwrap().text, "Yes.");
    stage.stop().await;
}

/// Who made the vault can have left: its party is written to all the same, and the call can be closed.
#[tokio::test]
async fn party_is_written_to_whose_vault_was_made_by_a_member_who_left() {
    let stage = around(Store::Sqlite, |text| {
        to_one_party(text);
        text.slots.retain(|slot| slot.name.as_str() == "annex");
    });
    let stage = stage.await.unwrap();
    let [dana, avi, bob] = ["USA:dana", "ISR:avi", "USA:bob"].map(|who| stage.client(who));
    // Bob begins; Avi, who joins, makes the vault of Israel and hands over to Tamar.
    let proposal = bob.create_proposal(&stage.joint()).await.unwrap().id;
    avi.accept_invitation(proposal).await.unwrap();
    avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    avi.api().remove_member(proposal, &id("ISR:avi")).await.unwrap();
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
    decide(&stage, proposal, Outcome::Fund).await;
    for (party, reader) in [("ISR", "ISR:tamar"), ("USA", "USA:bob")] {
        let letter = dana.send_letter_to(proposal, &code(party), "Yes.").await.unwrap();
        assert_eq!(&**stage.client(reader).read_letter(proposal, letter.id).await.unwrap().text, "Yes.");
    }
    assert_eq!(dana.api().close_call(stage.call).await.unwrap().phase, Phase::Closed);
    stage.stop().await;
}

/// Israel withholds restricted documents from everybody, its own members too: its party gets its letters, and an officer of another nation
/// writes what they cannot read again.
#[tokio::test]
async fn letters_of_a_party_do_not_hang_on_what_its_nation_releases() {
    let stage = around(Store::Sqlite, to_one_party).await.unwrap();
    let proposal = stage.submitted().await;
    let none = "@id(\"none-restricted\") @side(\"release\") @reason(\"restricted documents stay closed\") forbid(principal, \
                action == Action::\"ReadStaff\", resource);";
    stage.israel_adds(none).await;
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
    decide(&stage, proposal, Outcome::Fund).await;
    let dana = stage.client("USA:dana");
    let letter = dana.send_letter_to(proposal, &code("ISR"), "Yes.").await.unwrap();
    stage.refuses("denied", dana.api().letter(proposal, letter.id)).await;
    assert_eq!(shown(&stage, "ISR:avi", proposal).await, (1, 1, 1));
    assert_eq!(&**stage.client("ISR:avi").read_letter(proposal, letter.id).await.unwrap().text, "Yes.");
    stage.stop().await;
}

/// A host and the lead together: a text that has letters for others is not taken by who saw the one before.
#[tokio::test]
async fn text_with_letters_for_others_is_not_believed() {
    let stage = around(Store::Sqlite, to_one_party).await.unwrap();
    let avi = stage.client("ISR:avi");
    let call = avi.call(stage.call).await.unwrap();
    let text = CallText { letters: LetterAudience::AllParties, ..call.text.clone() };
    let said = CallPublication {
        version: call.publication.version + 1,
        text_sha256: text.digest(),
        text: serde_json::to_value(&text).unwrap(),
        ..call.publication.clone()
    };
    let statement = sign_statement(&key_of(&stage, "USA:dana"), &said).unwrap();
    tamper(
        &stage,
        "UPDATE calls SET text_json = $1, text_sha256 = $2, publication = $3, version = version + 1, revision = revision + 1 \
         WHERE call_id = $4",
        args![text.canonical(), text.digest(), statement, stage.call],
    )
    .await;
    stage.declines(ExitClass::Unverified, "has letters for others", stage.again("ISR:avi").call(stage.call)).await;
    stage.stop().await;
}
