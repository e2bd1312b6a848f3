//! Dry runs of the program itself: each names what follows and what takes it back, and leaves the exchange as it was.

use crate::harness::{
    process::{ended, entente},
    stage::{Stage, Step, fresh_code, id, review, text},
};
use entente::{
    client::naming::ProposalName,
    domain::{
        ambient::Clock, call::Phase, decision::Outcome, entry::EntryKind, id::ProposalId, member::ConflictGround,
        policy::PolicyOwner, proposal::Status,
    },
    wire::call::ExtendCall,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Runs a command as a script does, which wants the answer for programs: exit code, answer and what was said besides.
async fn ran(stage: &Stage, member: &str, line: &str) -> (i32, String, String) {
    let home = stage.home(&id(member)).display().to_string();
    let words: Vec<&str> = ["--json", "--home", &home].into_iter().chain(line.split(' ')).collect();
    let output = ended(entente(&words)).await;
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), said(output.stdout), said(output.stderr))
}

/// What is on the log, but for keys that somebody fetched to read and verify.
async fn acts(stage: &Stage) -> usize {
    stage.log().await.iter().filter(|entry| entry.kind != EntryKind::KeyFetched).count()
}

/// Looks ahead: what is told has these words, and no act is on the log that was not there before.
async fn foresees(stage: &Stage, member: &str, line: &str, words: &[&str]) -> Value {
    let before = acts(stage).await;
    let (code, answer, besides) = ran(stage, member, &format!("{line} --dry-run")).await;
    assert_eq!(code, 0, "{member}: {line}: {answer}{besides}");
    for words in words {
        assert!(answer.contains(words), "{line} does not say `{words}`: {answer}");
    }
    assert_eq!(acts(stage).await, before, "{line} is on the log");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["undo"]["by"].is_string() && answer["act"].is_string(), "{answer}");
    answer
}

/// A script that does not say yes is refused, with what would follow.
async fn asks(stage: &Stage, member: &str, line: &str, consequence: &str) {
    let (code, _, refusal) = ran(stage, member, line).await;
    assert!(code == 2 && refusal.contains(consequence) && refusal.contains("--yes"), "{line}: {code}: {refusal}");
}

/// The instant with which the sentence that begins so ends.
fn instant(forecast: &Value, beginning: &str) -> Timestamp {
    let effects = forecast["effects"].as_array().unwrap();
    let found = effects.iter().find(|effect| effect["what"].as_str().unwrap().starts_with(beginning));
    found.and_then(|effect| effect["at"].as_str()).unwrap_or_else(|| panic!("{forecast}")).parse().unwrap()
}

/// The client's clock hears the exchange's to the second.
fn is_about(one: Timestamp, other: Timestamp) -> bool {
    one.duration_since(other).abs() <= SignedDuration::from_secs(2)
}

#[tokio::test]
async fn call_is_published_deleted_cancelled_and_brought_back_as_foreseen() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let now = stage.clock.now();
    let mut draft = text(now, stage.deadline);
    draft.code = fresh_code();
    let code = draft.code.clone();
    let id = dana.draft_call(stage.program, &draft).await.unwrap().id;
    let phase = async || dana.api().call(id).await.unwrap().body.phase;
    let line = format!("call publish {code}");
    let told = ["the members of ISR and USA see it", "its opening key is wrapped to USA:dana", "\"nobody\""];
    let foreseen = foresees(&stage, "USA:dana", &line, &told).await;
    assert_eq!(instant(&foreseen, "the deadline of everyone is"), stage.deadline);
    asks(&stage, "USA:dana", &line, "cannot be undone").await;
    foresees(&stage, "USA:dana", &format!("call delete {code}"), &["its text and the roles given in it are gone"])
        .await;
    assert_eq!(phase().await, Phase::Draft);
    let (status, _, said) = ran(&stage, "USA:dana", &format!("{line} --yes")).await;
    assert_eq!((status, phase().await), (0, Phase::Open), "{said}");

    let told = ["until an officer brings it back", &format!("entente call reopen {code}")];
    foresees(&stage, "USA:dana", &format!("call cancel {code} --reason budget"), &told).await;
    assert_eq!(phase().await, Phase::Open);
    // Ten hours before the deadline, for five hours: everybody has 72 hours again, and so foresees the officer.
    stage.clock.set(stage.deadline - HOUR * 10);
    dana.api().cancel_call(id, "budget").await.unwrap();
    stage.clock.set(stage.deadline - HOUR * 5);
    let line = format!("call reopen {code} --reason restored");
    let told = ["it goes on for everybody", &format!("entente call cancel {code}")];
    let foreseen = foresees(&stage, "USA:dana", &line, &told).await;
    assert_eq!(phase().await, Phase::Cancelled);
    let reopened = dana.api().reopen_call(id, "restored").await.unwrap();
    let deadline = instant(&foreseen, "the deadline of everyone moves to");
    assert!(reopened.deadline_at.0 > stage.deadline && is_about(deadline, reopened.deadline_at.0), "{foreseen}");
    assert!(foreseen.to_string().contains("the date by which reviews are due stays"), "{foreseen}");
    assert_eq!(reopened.reviews_due_at, draft.schedule.reviews_due_at);
    stage.stop().await;
}

#[tokio::test]
async fn extension_is_taken_back_as_foreseen() {
    let stage = Stage::open().await;
    let dana = stage.client("USA:dana");
    let until = stage.deadline + HOUR * 24 * 30;
    let body = ExtendCall {
        until: until.into(),
        reason: "outage".into(),
        partner: None,
        proposal: None,
        reviews: false,
        dry_run: false,
    };
    dana.api().extend_call(stage.call, &body).await.unwrap();
    let line = format!("call withdraw-extension {} 1 --reason slip", stage.call);
    let foreseen = foresees(&stage, "USA:dana", &line, &["entente call extend"]).await;
    assert_eq!(instant(&foreseen, "the deadline of everyone is now"), until);
    assert_eq!(instant(&foreseen, "it moves back to"), stage.deadline);
    // Past the first deadline those who went by it keep 72 hours.
    stage.clock.set(stage.deadline + HOUR);
    let foreseen = foresees(&stage, "USA:dana", &line, &[]).await;
    let shown = dana.api().withdraw_extension(stage.call, 1, "slip").await.unwrap();
    let back = instant(&foreseen, "it moves back to");
    assert!(shown.deadline_at.0 < until && is_about(back, shown.deadline_at.0), "{foreseen}");
    let (code, _, refusal) = ran(&stage, "USA:dana", &format!("{line} --dry-run")).await;
    assert!(code == 3 && refusal.contains("no extension 1"), "{refusal}");
    stage.stop().await;
}

#[tokio::test]
async fn parties_see_beforehand_who_joins_leaves_and_withdraws() {
    let stage = Stage::open().await;
    let begin = format!("proposal create --call {} --with USA:bob --topic navigation", stage.call);
    foresees(&stage, "ISR:avi", &begin, &["its parties are ISR and USA", "USA:bob is asked to join"]).await;
    assert!(stage.client("ISR:avi").api().all_proposals(None).await.unwrap().is_empty());
    let proposal = stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap().id;
    let told = ["you are a member of the party of USA", "nobody who works at `"];
    foresees(&stage, "USA:bob", &format!("proposal accept {proposal}"), &told).await;
    let decline = format!("proposal decline {proposal}");
    foresees(&stage, "USA:bob", &decline, &["you lose your keys to it", "\"others\""]).await;
    asks(&stage, "USA:bob", &decline, "somebody of its parties can ask you again").await;
    let told = ["ISR:tamar is asked to join, with keys", "entente proposal member remove"];
    foresees(&stage, "ISR:avi", &format!("proposal member invite {proposal} ISR:tamar"), &told).await;
    foresees(&stage, "ISR:avi", &format!("proposal hand-over {proposal} ISR:tamar"), &told).await;
    let shown = stage.client("ISR:avi").api().proposal(proposal).await.unwrap();
    assert_eq!(shown.invited, [id("USA:bob")].into(), "nobody was asked, nobody joined");
    stage.client("USA:bob").accept_invitation(proposal).await.unwrap();
    stage.joins("ISR:avi", proposal, "ISR:tamar").await;
    let told = ["you lose your keys to it", "handing", "\"others\""];
    foresees(&stage, "ISR:avi", &format!("proposal hand-over {proposal} ISR:tamar"), &told).await;
    asks(&stage, "ISR:avi", &format!("proposal hand-over {proposal} ISR:tamar"), "cannot be undone by you").await;
    let told = ["ISR:tamar loses the keys to it", "entente proposal member invite"];
    foresees(&stage, "ISR:avi", &format!("proposal member remove {proposal} ISR:tamar"), &told).await;

    // The exchange's clock decides: on this machine it is long past the deadline, and it says so rather than not.
    let told = ["it is withdrawn for every party", "it cannot be reinstated, for the deadline was"];
    foresees(&stage, "ISR:avi", &format!("proposal withdraw {proposal}"), &told).await;
    let (code, _, refusal) = ran(&stage, "ISR:avi", &format!("proposal reinstate {proposal} --dry-run")).await;
    assert!(code == 2 && refusal.contains("withdrawn"), "{refusal}");
    stage.client("ISR:avi").api().withdraw_proposal(proposal).await.unwrap();
    foresees(&stage, "ISR:avi", &format!("proposal reinstate {proposal}"), &["it stands again"]).await;
    let shown = stage.client("ISR:avi").api().proposal(proposal).await.unwrap();
    assert_eq!(shown.status, Status::Withdrawn);
    stage.stop().await;
}

#[tokio::test]
async fn those_who_judge_see_beforehand_what_they_cannot_take_back() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let declare = format!("conflict declare {proposal} --ground employment");
    let told = ["not even in a count", "you no longer review it", "only an officer from another nation"];
    foresees(&stage, "USA:carol", &declare, &told).await;
    asks(&stage, "USA:carol", &declare, "only an officer from another nation can lift the conflict").await;
    let declared = async || stage.client("USA:dana").api().assignments(proposal).await.unwrap();
    assert!(declared().await.iter().all(|line| line.conflict == Some(false)));

    let file = stage.file("review.json", &serde_json::to_vec(&review(4.0, 4.0)).unwrap());
    let submit = format!("review submit {proposal} --file {}", file.display());
    foresees(&stage, "USA:carol", &submit, &["revision 1 of your review", "only an officer can reopen it"]).await;
    asks(&stage, "USA:carol", &submit, "only an officer can reopen it").await;
    assert!(stage.client("USA:dana").api().reviews(proposal).await.unwrap().is_empty());
    let (code, _, said) = ran(&stage, "USA:carol", &format!("{submit} --yes")).await;
    assert_eq!(code, 0, "{said}");
    let reopen = format!("review reopen {proposal} USA:carol --reason slip");
    let told = ["revision 1 no longer counts", "entente review reinstate", "\"meanwhile\""];
    foresees(&stage, "USA:dana", &reopen, &told).await;
    let (code, _, refusal) =
        ran(&stage, "USA:dana", &format!("review reinstate {proposal} USA:carol --reason x --dry-run")).await;
    assert!(code == 2 && refusal.contains("is not reopened"), "{refusal}");
    assert_eq!(ran(&stage, "USA:dana", &reopen).await.0, 0, "it is taken back, so it does not ask");
    let reinstate = format!("review reinstate {proposal} USA:carol --reason leave");
    foresees(&stage, "USA:dana", &reinstate, &["revision 1 counts again", "entente review reopen"]).await;
    assert!(stage.client("USA:dana").api().reviews(proposal).await.unwrap()[0].reopened_at.is_some());

    // A conflict that was declared, lifted by another nation.
    stage.client("ISR:maya").declare(proposal, Some(ConflictGround::Other)).await.unwrap();
    let lift = format!("conflict lift {proposal} ISR:maya --reason namesake");
    foresees(&stage, "USA:dana", &lift, &["is off the record", "ISR:maya alone can declare"]).await;
    let (code, _, refusal) = ran(&stage, "ISR:noa", &format!("{lift} --dry-run")).await;
    assert!(code == 2 && refusal.contains("of your own nation"), "{refusal}");
    let (code, _, refusal) =
        ran(&stage, "USA:dana", &format!("conflict lift {proposal} ISR:yael --reason x --dry-run")).await;
    assert!(code == 2 && refusal.contains("no conflict of `ISR:yael`"), "{refusal}");
    stage.stop().await;
}

#[tokio::test]
async fn deciders_and_officers_see_beforehand_whether_it_is_final() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (sign, unsign) = (format!("decision sign {proposal} fund"), format!("decision unsign {proposal}"));
    let told = ["it is final once ISR has signed the same", "entente decision unsign"];
    foresees(&stage, "USA:frank", &sign, &told).await;
    assert_eq!(stage.client("USA:dana").decision(proposal).await.unwrap(), None);
    stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
    let told = ["the signature of USA:frank for `fund` is gone", "nothing is proposed any more"];
    foresees(&stage, "USA:frank", &unsign, &told).await;
    let told = ["signing last for `fund`", "only another one that every funder signs", "\"nobody\""];
    foresees(&stage, "ISR:eitan", &sign, &told).await;
    let letter = stage.file("letter.txt", b"You are funded.");
    let send = format!("letter send {proposal} --file {}", letter.display());
    let (code, _, refusal) = ran(&stage, "USA:dana", &format!("{send} --dry-run")).await;
    assert!(code == 2 && refusal.contains("the decision is not final yet"), "{refusal}");
    stage.client("ISR:eitan").sign_decision(proposal, Outcome::Fund).await.unwrap();
    let told = ["every party can open it at once", "it goes to ISR:avi and USA:bob, about the decision `fund`"];
    foresees(&stage, "USA:dana", &send, &told).await;
    assert!(stage.client("USA:dana").api().letters(proposal).await.unwrap().is_empty());
    stage.client("USA:dana").send_letter(proposal, "You are funded.").await.unwrap();
    let told = ["those who opened it keep what they read", "entente letter send"];
    foresees(&stage, "USA:dana", &format!("letter withdraw {proposal}"), &told).await;
    assert_eq!(stage.client("USA:dana").api().letters(proposal).await.unwrap().len(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn officers_and_parties_see_beforehand_whom_they_pass_which_key() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    let dana = stage.client("USA:dana");
    let reference = dana.api().proposal(proposal).await.unwrap().reference.to_string();
    let (of_call, of_one) = (format!("key share --call {}", stage.call), format!("key share {proposal}"));
    let vault = format!("1 vault is made for reviews of {reference}");
    let told = ["2 keys are passed on to ISR:maya and USA:carol", &vault, "\"others\""];
    let foreseen = foresees(&stage, "USA:dana", &of_call, &told).await;
    let wrapped = foreseen["wrapped"].as_array().unwrap().clone();
    assert!(wrapped.len() == 2 && wrapped.iter().all(|key| key["reference"] == *reference), "{foreseen}");
    foresees(&stage, "USA:dana", &of_one, &["2 keys are passed on to ISR:maya and USA:carol"]).await;
    assert_eq!(dana.api().missing_keys(proposal).await.unwrap().len(), 2);
    let told = ["vaults that you open are wrapped to the call's vault again"];
    foresees(&stage, "ISR:avi", &format!("{of_one} --to-call"), &told).await;

    // Done as foreseen.
    let (code, done, said) = ran(&stage, "USA:dana", &of_call).await;
    let done: Value = serde_json::from_str(&done).unwrap();
    let done = done["wrapped"].as_array().unwrap();
    assert!(code == 0 && wrapped.iter().all(|key| done.contains(key)), "{said}{done:?}");
    foresees(&stage, "USA:dana", &of_call, &["nobody lacks a key"]).await;
    stage.stop().await;
}

#[tokio::test]
async fn policy_officers_see_beforehand_what_a_proposed_text_waits_for() {
    let stage = Stage::open().await;
    let (drafter, israel) = (stage.client("ISR:drafter"), PolicyOwner::Partner("ISR".parse().unwrap()));
    let present = drafter.policy(&israel).await.unwrap();
    let (text, number) = (present.text.unwrap(), present.version);
    let file = stage.file("ISR.cedar", format!("{text}\n// again\n").as_bytes());
    let propose = format!("policy propose {}", file.display());
    let (preview, withdraw) =
        (format!("entente policy preview ISR {}", number + 1), format!("entente policy withdraw ISR {}", number + 1));
    let told = ["until they approve it, nothing changes", "as soon as it is approved", &preview, &withdraw];
    foresees(&stage, "ISR:drafter", &propose, &told).await;
    let later = stage.clock.now() + HOUR * 48;
    let foreseen = foresees(&stage, "ISR:drafter", &format!("{propose} --active-at {later}"), &[&preview]).await;
    assert!(is_about(instant(&foreseen, "approved before then, it takes effect at"), later), "{foreseen}");
    let restore = format!("policy restore ISR {number}");
    let told = ["the one that is in force, so it changes nothing", &format!("the text of version {number} of ISR")];
    foresees(&stage, "ISR:drafter", &restore, &told).await;
    let versions = async || drafter.api().policy_versions(&israel).await.unwrap().len();
    assert_eq!(versions().await, number as usize);

    // What the act would be refused for.
    let (code, _, refusal) = ran(&stage, "ISR:noa", &format!("{propose} --dry-run")).await;
    assert!(code == 2 && refusal.contains("no policy officer of ISR"), "{code}: {refusal}");
    let broken = stage.file("broken.cedar", b"permit(");
    let broken = format!("policy propose {} --owner ISR --dry-run", broken.display());
    assert_eq!(ran(&stage, "ISR:drafter", &broken).await.0, 2);
    assert_eq!(ran(&stage, "ISR:drafter", &propose).await.0, 0);
    for line in [&propose, &restore] {
        let (code, _, refusal) = ran(&stage, "ISR:drafter", &format!("{line} --dry-run")).await;
        assert!(code != 0 && refusal.contains(&format!("version {}", number + 1)), "{code}: {refusal}");
    }
    assert_eq!(versions().await, number as usize + 1);
    stage.stop().await;
}

#[tokio::test]
async fn registrars_and_members_see_beforehand_which_keys_end_and_who_wraps_again() {
    let stage = Stage::open().await;
    let card = async || stage.client("USA:dana").api().member(&id("ISR:maya")).await.unwrap();
    let before = card().await;
    let told = ["can no longer connect", "what they signed so far stays provable"];
    foresees(&stage, "ISR:registrar", "key-card revoke ISR:maya --keep-signatures", &told).await;
    let told = ["nobody can open the vaults", "\"nobody\""];
    foresees(&stage, "ISR:registrar", "key-card revoke ISR:maya --distrust-signatures", &told).await;
    let told = [
        "no longer connects",
        "members who hold keys wrap them again for the new recipient",
        "the invitation is good until",
    ];
    let folder = stage.plan.dir.join("invitations");
    let replace = format!("member replace ISR:maya --to {}", folder.display());
    let foreseen = foresees(&stage, "ISR:registrar", &replace, &told).await;
    assert!(!folder.exists() && foreseen["before"]["member"] == "ISR:maya", "{foreseen}");
    let told = ["ends at", "nobody wraps keys again", "entente member renew --again"];
    foresees(&stage, "ISR:maya", "member renew", &told).await;
    let moved = "member move ISR:maya --organisation Technion";
    let foreseen =
        foresees(&stage, "ISR:registrar", moved, &["ISR:maya judges nothing of parties at `Technion`"]).await;
    assert_eq!((&foreseen["after"]["organisation"], &foreseen["undo"]["by"]), (&"Technion".into(), &"yourself".into()));
    asks(&stage, "ISR:registrar", moved, "judges nothing of parties at").await;
    assert_eq!(card().await, before);
    // What a script reads is shown before it is done, too.
    let home = stage.home(&id("ISR:registrar")).display().to_string();
    let output = ended(entente(&[&["--home", &home][..], &replace.split(' ').collect::<Vec<_>>()].concat())).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("wrap them again") && folder.exists(), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn many_proposals_are_found_as_each_by_itself() {
    let stage = Stage::open().await;
    let mut proposals = Vec::new();
    for _ in 0..6 {
        proposals.push(stage.begun().await);
    }
    let avi = stage.client("ISR:avi");
    let mut names = Vec::new();
    for id in &proposals {
        let shown = avi.api().proposal(*id).await.unwrap();
        names.push(ProposalName::Reference(shown.reference));
    }
    // An identifier, a beginning and one that is there twice.
    names.push(ProposalName::Id(proposals[0]));
    names.push(names[2].clone());
    names.push(proposals[3].to_string()[..24].parse().unwrap());
    let found = avi.find_proposals(&names).await.unwrap();
    let ids: Vec<ProposalId> = found.iter().map(|found| found.id).collect();
    let expected = [&proposals[..], &[proposals[0], proposals[2], proposals[3]]].concat();
    assert_eq!(ids, expected);
    for (name, found) in names.iter().zip(&found) {
        assert_eq!(*found, avi.find_proposal(name).await.unwrap());
    }
    // One that is not shown is refused as when it is asked for alone.
    let stranger = stage.client("KOR:minjun");
    let (many, one) =
        (stranger.find_proposals(&names).await.unwrap_err(), stranger.find_proposal(&names[0]).await.unwrap_err());
    assert_eq!(many.to_string(), one.to_string());
    stage.stop().await;
}
