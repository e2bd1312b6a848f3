//! Titles in lists: for those who may open the summary, opened once, kept sealed, and gone with the right to see them.

use crate::harness::{
    census::files,
    process::{ended, entente},
    stage::{Stage, Step, id, quiet, summary},
};
use entente::{
    client::{
        Ambient, Client, Home, Profile,
        reviews::ReviewBody,
        titles::{ListExtent, PassphraseRule, Titles},
    },
    domain::{ambient::SystemRng, id::ProposalId, member::ConflictGround},
    sealing::identity::{Prompt, SecretText, protect},
    storage::args,
    wire::proposal::Proposal,
};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The title of the proposals of a stage.
const TITLE: &str = "Lodestone";

async fn rows(client: &Client) -> Vec<Proposal> {
    client.api().all_proposals(None).await.unwrap()
}

/// The titles of everything that the member sees, without asking anybody.
async fn titles(client: &Client) -> Titles {
    client.titles(&rows(client).await, ListExtent::Everything, PassphraseRule::Never, quiet()).await
}

async fn title(client: &Client, proposal: ProposalId) -> Option<String> {
    titles(client).await.title(proposal).map(str::to_owned)
}

/// Where a member's titles are kept.
fn kept(stage: &Stage, member: &str) -> PathBuf {
    stage.home(&id(member)).join("titles").join("default.json")
}

/// Whether a title of the proposal is kept on the member's machine.
fn is_kept(stage: &Stage, member: &str, proposal: ProposalId) -> bool {
    fs::read_to_string(kept(stage, member)).is_ok_and(|text| text.contains(&proposal.to_string()))
}

#[tokio::test]
async fn reviewer_sees_the_title_once_declared_and_given_a_key() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let carol = stage.client("USA:carol");
    assert!(titles(carol).await.is_empty(), "before the opening nobody who judges knows of it");
    stage.pass_the_opening();
    stage.clear(proposal, &["USA:dana"]).await;
    stage.assign(&[(proposal, "USA:carol")], false).await;
    assert_eq!(rows(carol).await.len(), 1);
    assert_eq!(title(carol, proposal).await, None, "she has declared nothing");
    stage.clear(proposal, &["USA:carol"]).await;
    assert_eq!(title(carol, proposal).await, None, "she holds no key");
    assert!(!kept(&stage, "USA:carol").exists());
    stage.prepare_panel().await;
    assert_eq!(title(carol, proposal).await.as_deref(), Some(TITLE));
    assert!(is_kept(&stage, "USA:carol", proposal));
    // Those who see the row and may not read have none; officers who are clear open it through the call's vault.
    assert_eq!(title(stage.client("USA:olivia"), proposal).await, None);
    assert_eq!(title(stage.client("USA:dana"), proposal).await.as_deref(), Some(TITLE));
    stage.stop().await;
}

#[tokio::test]
async fn parties_see_the_title_of_what_one_of_them_has_signed() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let (avi, bob, dana) = (stage.client("ISR:avi"), stage.client("USA:bob"), stage.client("USA:dana"));
    assert_eq!(title(avi, proposal).await, None, "nobody has signed what is in");
    stage.sign("ISR:avi", proposal).await;
    assert_eq!(title(avi, proposal).await.as_deref(), Some(TITLE));
    assert_eq!(title(bob, proposal).await.as_deref(), Some(TITLE), "it waits for his signature");
    stage.sign("USA:bob", proposal).await;
    assert_eq!(title(bob, proposal).await.as_deref(), Some(TITLE));
    // An officer knows that it is there, and could declare; nothing opens before the deadline.
    stage.clear(proposal, &["USA:dana"]).await;
    assert_eq!((rows(dana).await.len(), title(dana, proposal).await), (1, None));
    // The title of a newer version takes the place of the earlier one.
    avi.put_summary(proposal, &summary("Compass"), quiet()).await.unwrap();
    assert_eq!(title(avi, proposal).await.as_deref(), Some(TITLE), "the version that stands");
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    assert_eq!(title(avi, proposal).await.as_deref(), Some("Compass"));
    assert_eq!(fs::read_to_string(kept(&stage, "ISR:avi")).unwrap().matches("\"sealed\"").count(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn titles_that_are_known_are_shown_without_a_request() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let carol = stage.client("USA:carol");
    assert_eq!(title(carol, proposal).await.as_deref(), Some(TITLE));
    let (shown, again) = (rows(carol).await, stage.again("USA:carol"));
    let before = fs::read(kept(&stage, "USA:carol")).unwrap();
    let todo = again.todo().await.unwrap();
    let of_proposal: Vec<_> = todo.items.iter().filter(|item| item.item.proposal == Some(proposal)).collect();
    assert!(!of_proposal.is_empty() && of_proposal.iter().all(|item| item.title.as_deref() == Some(TITLE)), "{todo:?}");
    let unopened = stage.client("USA:dana").todo().await.unwrap();
    assert!(unopened.items.iter().all(|item| item.title.is_none()), "{unopened:?}");
    // Whatever is asked for from here on is not answered.
    let _folder = stage.stop_keeping().await;
    let titles = again.titles(&shown, ListExtent::Everything, PassphraseRule::Never, quiet()).await;
    assert_eq!(titles.title(proposal), Some(TITLE));
    assert_eq!(titles.known(proposal).unwrap().organisations.len(), 1);
    let path = again.home().root().join("titles").join("default.json");
    assert_eq!(fs::read(path).unwrap(), before, "and nothing is written");
}

#[tokio::test]
async fn title_is_in_no_file_of_the_members_folder_in_the_clear() {
    const WORD: &str = "zqTitleOchreLantern91";
    let (stage, proposal) = Stage::at(Step::Begun).await;
    stage.upload_all(proposal).await;
    stage.client("ISR:avi").put_summary(proposal, &summary(WORD), quiet()).await.unwrap();
    stage.sign("ISR:avi", proposal).await;
    let bob = stage.client("USA:bob");
    assert_eq!(title(bob, proposal).await.as_deref(), Some(WORD));
    let found = |word: &str| {
        let places = files(&stage.home(&id("USA:bob"))).into_iter();
        places.filter(|path| memchr::memmem::find(&fs::read(path).unwrap(), word.as_bytes()).is_some()).count()
    };
    assert!(is_kept(&stage, "USA:bob", proposal));
    assert_eq!((found(WORD), found("OchreLantern")), (0, 0));
    assert_eq!(found("AGE-SECRET-KEY-"), 1, "the same search finds what is there");
    stage.stop().await;
}

#[tokio::test]
async fn damaged_titles_are_set_aside_and_opened_again() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    assert_eq!(title(stage.client("USA:carol"), proposal).await.as_deref(), Some(TITLE));
    let path = kept(&stage, "USA:carol");
    let whole = fs::read_to_string(&path).unwrap();
    let key = serde_json::from_str::<Value>(&whole).unwrap()["key"].as_str().unwrap().to_owned();
    let sealed = serde_json::from_str::<Value>(&whole).unwrap()["titles"][0]["sealed"].as_str().unwrap().to_owned();
    let foreign = fs::read_to_string(kept(&stage, "USA:carol")).unwrap().replace(&key, "bm90IGFuIGFnZSBmaWxl");
    for (content, is_malformed) in [
        (whole[..whole.len() / 2].to_owned(), true),
        (String::new(), true),
        ("[1, 2]".to_owned(), true),
        (foreign, false),
        (whole.replace(&sealed, &sealed.to_lowercase()), false),
    ] {
        fs::write(&path, &content).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let carol =
            stage.again("USA:carol").on_warning(move |sentence| hears.lock().unwrap().push(sentence.to_owned()));
        assert_eq!(title(&carol, proposal).await.as_deref(), Some(TITLE), "{content}");
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard.iter().any(|sentence| sentence.contains("are damaged")), is_malformed, "{content}: {heard:?}");
        // It is whole again: the next look says nothing.
        let carol = stage.again("USA:carol").on_warning(|sentence| panic!("{sentence}"));
        assert_eq!(title(&carol, proposal).await.as_deref(), Some(TITLE));
    }
    let aside = path.with_extension("json.damaged");
    assert!(aside.exists());
    // What was set aside may hold the title, too.
    stage.client("USA:carol").declare(proposal, Some(ConflictGround::Family)).await.unwrap();
    assert!(!aside.exists() && !path.exists());
    stage.stop().await;
}

#[tokio::test]
async fn recused_member_has_no_title_on_any_machine_that_looks() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let carol = stage.client("USA:carol");
    assert_eq!(title(carol, proposal).await.as_deref(), Some(TITLE));
    let elsewhere = fs::read(kept(&stage, "USA:carol")).unwrap();
    carol.declare(proposal, Some(ConflictGround::Family)).await.unwrap();
    assert!(!kept(&stage, "USA:carol").exists(), "at once where it was declared");
    // Another machine of hers learns of it from a whole list.
    fs::write(kept(&stage, "USA:carol"), &elsewhere).unwrap();
    let again = stage.again("USA:carol");
    let part = again.titles(&[], ListExtent::Part, PassphraseRule::Never, quiet()).await;
    assert!(part.is_empty() && is_kept(&stage, "USA:carol", proposal), "a part of a list says nothing of the rest");
    assert!(titles(&again).await.is_empty());
    assert!(!kept(&stage, "USA:carol").exists());
    // Or from asking for it.
    fs::write(kept(&stage, "USA:carol"), &elsewhere).unwrap();
    assert_eq!(stage.again("USA:carol").title_by_id(proposal).await, None);
    assert!(!kept(&stage, "USA:carol").exists());
    stage.stop().await;
}

#[tokio::test]
async fn title_goes_with_the_assignment_and_with_the_proposal() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (carol, dana, avi) = (stage.client("USA:carol"), stage.client("USA:dana"), stage.client("ISR:avi"));
    for member in [carol, dana, avi] {
        assert_eq!(title(member, proposal).await.as_deref(), Some(TITLE));
    }
    dana.api().unassign(proposal, &id("USA:carol")).await.unwrap();
    assert_eq!(rows(carol).await, [], "a reviewer sees what is assigned");
    assert_eq!(title(carol, proposal).await, None);
    assert!(!is_kept(&stage, "USA:carol", proposal));
    for party in ["ISR:avi", "USA:bob"] {
        stage.client(party).api().withdraw_proposal(proposal).await.unwrap();
    }
    assert_eq!(rows(dana).await.len(), 1, "an officer sees the row of what was withdrawn");
    assert_eq!(title(dana, proposal).await, None);
    assert!(!is_kept(&stage, "USA:dana", proposal));
    assert_eq!(title(avi, proposal).await.as_deref(), Some(TITLE), "the parties' own stays theirs");
    stage.stop().await;
}

#[tokio::test]
async fn summary_that_does_not_verify_gives_no_title_and_is_named() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    // The exchange shows Bob's signature as that of Israel, too.
    let sql = "UPDATE manifest_signatures SET jws = (SELECT jws FROM manifest_signatures WHERE proposal_id = $1 AND partner = 'USA') \
               WHERE proposal_id = $1 AND partner = 'ISR'";
    tx.execute(sql, args![proposal]).await.unwrap();
    tx.commit().await.unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let carol = stage.again("USA:carol").on_warning(move |sentence| hears.lock().unwrap().push(sentence.to_owned()));
    assert_eq!(title(&carol, proposal).await, None);
    let heard = heard.lock().unwrap().clone();
    assert!(heard.len() == 1 && heard[0].contains("its summary does not verify"), "{heard:?}");
    assert!(!kept(&stage, "USA:carol").exists());
    stage.stop().await;
}

/// Somebody at a terminal who knows the passphrase, and perhaps a file with it. Counts how often they are asked.
#[derive(Clone, Default)]
struct Person {
    asked: Arc<AtomicUsize>,
    has_file: bool,
}

impl Prompt for Person {
    fn passphrase(&self, _purpose: &str) -> Option<SecretText> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Some("open sesame".to_owned().into())
    }

    fn given(&self, _purpose: &str) -> Option<SecretText> {
        self.has_file.then(|| "open sesame".to_owned().into())
    }

    fn message(&self, _text: &str) {}
}

/// A member whose identity a passphrase protects.
struct Protected<'s> {
    stage: &'s Stage,
    home: Home,
    profile: Profile,
}

impl<'s> Protected<'s> {
    fn of(stage: &'s Stage, member: &str) -> Self {
        let home = Home::locate(Some(&stage.home(&id(member)))).unwrap();
        let bare = fs::read_to_string(home.root().join("identity.txt")).unwrap();
        let protected = protect(&bare.into(), &"open sesame".to_owned().into(), 2).unwrap();
        let profile = home.profile(None).unwrap();
        let profile = Profile { identities: vec![stage.file("protected.age", &protected)], ..profile };
        Self { stage, home, profile }
    }

    /// Lists everything: how many titles are known, how many are sealed, and how often somebody was asked.
    async fn looks(&self, rule: PassphraseRule, has_file: bool) -> (usize, usize, usize) {
        let person = Person { has_file, ..Person::default() };
        let ambient = Ambient { clock: self.stage.clock.clone(), rng: Arc::new(SystemRng) };
        let client = Client::new(self.home.clone(), self.profile.clone(), person.clone(), ambient).unwrap();
        let found = client.titles(&rows(&client).await, ListExtent::Everything, rule, quiet()).await;
        (found.len(), found.sealed(), person.asked.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn officer_without_a_key_to_the_calls_vault_is_not_asked_for_a_passphrase() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.clear(proposal, &["USA:olivia"]).await;
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    tx.execute("DELETE FROM wrapped_keys WHERE holder = 'USA:olivia'", args![]).await.unwrap();
    tx.commit().await.unwrap();
    let olivia = Protected::of(&stage, "USA:olivia");
    assert_eq!(olivia.looks(PassphraseRule::ForNew, false).await, (0, 0, 0));
    stage.prepare_panel().await;
    assert_eq!(olivia.looks(PassphraseRule::ForNew, false).await, (1, 0, 1));
    stage.stop().await;
}

#[tokio::test]
async fn passphrase_is_asked_for_only_where_there_is_something_to_open() {
    let stage = Stage::open().await;
    let maya = Protected::of(&stage, "ISR:maya");
    let look = async |rule, has_file| maya.looks(rule, has_file).await;
    let proposal = stage.awaiting_keys().await;
    assert_eq!(look(PassphraseRule::ForNew, false).await, (0, 0, 0), "she holds no key yet");
    stage.prepare_panel().await;
    assert_eq!(look(PassphraseRule::Never, false).await, (0, 0, 0));
    assert_eq!(look(PassphraseRule::ForNew, false).await, (1, 0, 1));
    assert_eq!(look(PassphraseRule::ForNew, false).await, (0, 1, 0), "nothing is new");
    assert_eq!(look(PassphraseRule::Never, true).await, (1, 0, 0), "it is given");
    assert_eq!(look(PassphraseRule::Always, false).await, (1, 0, 1));
    // What may not be seen any more goes without an identity.
    stage.client("USA:dana").api().unassign(proposal, &id("ISR:maya")).await.unwrap();
    assert_eq!(look(PassphraseRule::Never, false).await, (0, 0, 0));
    assert!(!is_kept(&stage, "ISR:maya", proposal));
    stage.stop().await;
}

/// What a command of a member's says: exit code, answer, notes.
async fn run(stage: &Stage, member: &str, words: &[&str]) -> (i32, String, String) {
    let home = stage.home(&id(member)).display().to_string();
    let words: Vec<&str> = ["--home", &home, "--ids"].into_iter().chain(words.iter().copied()).collect();
    let Output { status, stdout, stderr } = ended(entente(&words)).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test]
async fn lists_and_prompts_show_titles_and_are_searched_and_ordered_by_them() {
    let stage = Stage::open().await;
    let (first, second) = (stage.submitted().await, stage.prepared().await);
    stage.client("ISR:avi").put_summary(second, &summary("Ämbar ניווט"), quiet()).await.unwrap();
    stage.sign("ISR:avi", second).await;
    let (code, said, notes) = run(&stage, "ISR:avi", &["proposal", "list", "--sort", "title"]).await;
    assert_eq!(code, 0, "{notes}");
    let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("no `{text}` in {said}"));
    assert!(at(TITLE) < at("Ämbar ניווט"), "{said}");
    assert!(!said.contains('\u{2068}'), "what is piped has no marks for terminals");
    let (_, said, _) = run(&stage, "ISR:avi", &["proposal", "list", "--sort", "-title"]).await;
    assert!(said.find(&second.to_string()) < said.find(&first.to_string()), "{said}");
    // A number that was typed cuts what was put in order, and says so; what programs read is never cut unsaid.
    let (_, said, notes) = run(&stage, "ISR:avi", &["proposal", "list", "--sort", "title", "--limit", "1"]).await;
    assert!(said.contains(TITLE) && !said.contains("Ämbar") && notes.contains("1 more is left out"), "{said} {notes}");
    let (_, said, _) = run(&stage, "ISR:avi", &["--json", "proposal", "list", "--sort", "title", "--limit", "1"]).await;
    let list: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((list["items"].as_array().unwrap().len(), &list["next"]), (2, &Value::Null), "{said}");
    let found = async |text: &str| {
        let (code, said, _) = run(&stage, "ISR:avi", &["--json", "proposal", "list", "--search", text]).await;
        let list: Value = serde_json::from_str(&said).unwrap();
        let items = list["items"].as_array().unwrap().iter();
        (code, items.map(|item| item["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(found("a\u{308}MBAR").await, (0, vec!["Ämbar ניווט".to_owned()]));
    let reference = stage.client("ISR:avi").api().proposal(first).await.unwrap().reference.to_string();
    assert_eq!(found(&reference.to_lowercase()).await, (0, vec![TITLE.to_owned()]));
    assert_eq!(found("nowhere").await, (0, Vec::new()));
    let (_, said, _) = run(&stage, "ISR:avi", &["proposal", "list", "--no-titles"]).await;
    assert!(said.contains(&first.to_string()) && !said.contains(TITLE), "{said}");
    let (code, _, notes) = run(&stage, "ISR:avi", &["proposal", "list", "--sort", "title", "--cursor", "x"]).await;
    assert!(code == 2 && notes.contains("`created` only"), "{notes}");
    let (_, said, _) = run(&stage, "ISR:avi", &["proposal", "status", &first.to_string()]).await;
    assert!(said.contains(TITLE), "{said}");
    // What a search could not look into is told, to programs, too.
    let words = ["--json", "proposal", "list", "--search", "lodestone"];
    let avi = Home::locate(Some(&stage.home(&id("ISR:avi")))).unwrap();
    let open = avi.profile(None).unwrap();
    avi.save_profile(&Profile { identities: Vec::new(), ..open.clone() }).unwrap();
    let (code, said, notes) = run(&stage, "ISR:avi", &words).await;
    assert!(code == 0 && said.contains("\"items\":[]"), "{said}");
    assert!(notes.contains("the titles of 2 proposals were not searched"), "{notes}");
    avi.save_profile(&open).unwrap();
    // One without an identity has a list all the same.
    let home = Home::locate(Some(&stage.home(&id("ISR:avi")))).unwrap();
    home.save_profile(&Profile { identities: Vec::new(), ..home.profile(None).unwrap() }).unwrap();
    let (code, said, notes) = run(&stage, "ISR:avi", &["proposal", "list"]).await;
    assert!(code == 0 && said.contains(&first.to_string()) && !said.contains(TITLE), "{said} {notes}");
    stage.stop().await;
}

#[tokio::test]
async fn ranking_and_letters_name_proposals_by_their_titles() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let (code, said, notes) = run(&stage, "USA:dana", &["ranking", "show", &stage.call.to_string()]).await;
    assert!(code == 0 && said.contains(TITLE), "{said} {notes}");
    let (_, said, _) = run(&stage, "USA:dana", &["assignment", "list", "--call", &stage.call.to_string()]).await;
    assert_eq!(said.matches(TITLE).count(), 2, "{said}");
    let (code, said, _) = run(&stage, "USA:olivia", &["proposal", "list"]).await;
    assert!(code == 0 && said.contains(&proposal.to_string()) && !said.contains(TITLE), "{said}");
    stage.stop().await;
}

#[tokio::test]
async fn drafts_are_listed_without_an_exchange() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    stage.client("USA:carol").save_draft(proposal, &ReviewBody::default()).await.unwrap();
    let (code, said, notes) = run(&stage, "USA:carol", &["review", "drafts"]).await;
    assert!(code == 0 && said.contains(TITLE), "{said} {notes}");
    let home = stage.home(&id("USA:carol")).display().to_string();
    let _folder = stage.stop_keeping().await;
    let Output { status, stdout, stderr } = ended(entente(&["--home", &home, "review", "drafts"])).await;
    let said = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    assert!(said.contains(&proposal.to_string()) && !said.contains(TITLE), "{said}");
}
