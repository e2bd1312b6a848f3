//! The console, as a browser and those who attack it ask it: who is let in, which site may act, what is shown of what others wrote, when the
//! keys are forgotten. Chromium itself is in [`browser`].

mod browser;

use crate::harness::{
    console::{Browser, TestConsole, form},
    loud::loud,
    programs::has_all,
    stage::{Stage, id, quiet, summary},
};
use entente::{
    domain::ambient::Clock,
    sealing::identity::{SecretText, protect},
};
use jiff::SignedDuration;
use reqwest::Method;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// Every page that shows something of the member's.
const PAGES: [&str; 7] = ["/", "/search", "/log", "/why", "/trust", "/me", "/help"];
/// Every act but the door's.
const ACTS: [&str; 5] = ["/unlock", "/lock", "/seen", "/trust", "/help"];

async fn console(stage: &Stage, member: &str) -> TestConsole {
    TestConsole::start(&stage.home(&id(member)), stage.clock.clone()).await
}

#[tokio::test]
async fn pages_show_what_the_member_may_see_and_what_waits() {
    let stage = Stage::open().await;
    let proposal = stage.under_review().await;
    let reference = stage.client("ISR:maya").api().proposal(proposal).await.unwrap().reference.to_string();
    let console = console(&stage, "ISR:maya").await;
    let mut browser = console.entered().await;
    let home = browser.get("/").await;
    assert_eq!(home.status, 200, "{}", home.text);
    for shown in ["ISR:maya", "What waits for you", &reference, "entente proposal open", "Deadlines"] {
        assert!(home.text.contains(shown), "{shown}: {}", home.text);
    }
    for path in PAGES {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        assert!(page.text.contains("<main id=\"main\""), "{path}");
    }
    let why = browser.get(&format!("/why?proposal={reference}&action=reviews")).await;
    assert!(why.text.contains("may not read its reviews: ") && why.text.contains("status no"), "{}", why.text);
    let why = browser.get("/why?proposal=BIRD26-11111").await;
    assert!(why.text.contains("role=\"alert\""), "{}", why.text);
    let none = browser.get("/nothing/here").await;
    assert_eq!(none.status, 404);
    console.stop().await;
    stage.stop().await;
}

#[tokio::test]
async fn search_finds_by_title_and_shows_what_others_wrote_as_text() {
    const TITLE: &str = r#"<script src="https://evil.example/x.js"></script> & "quotes" לודסטון"#;
    let stage = Stage::open().await;
    let begun = stage.begun().await;
    let avi = stage.client("ISR:avi");
    stage.upload_all(begun).await;
    avi.put_summary(begun, &summary(TITLE), quiet()).await.unwrap();
    stage.sign("ISR:avi", begun).await;
    let console = console(&stage, "ISR:avi").await;
    let mut browser = console.entered().await;
    // Titles are opened beside the pages; this page waits for none.
    avi.titles(
        &avi.api().all_proposals(None).await.unwrap(),
        entente::client::titles::ListExtent::Everything,
        entente::client::titles::PassphraseRule::Never,
        quiet(),
    )
    .await;
    for words in ["evil.example", "%D7%9C%D7%95%D7%93", "quotes"] {
        let found = browser.get(&format!("/search?q={words}&sort=-title")).await;
        assert!(found.text.contains("1 of 1 proposal"), "{words}: {}", found.text);
        assert!(
            found.text.contains("&#60;script src=&#34;https://evil.example")
                && !found.text.contains("<script src=\"https")
        );
    }
    let narrowed = browser.get("/search?call=NONE").await;
    assert!(narrowed.text.contains("0 of 1 proposal"), "{}", narrowed.text);
    let echoed = browser.get("/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&sort=%3Cb%3E").await;
    assert!(!echoed.text.contains("<script>alert") && !echoed.text.contains("<b>"), "{}", echoed.text);
    assert!(echoed.text.contains("0 of 1 proposal"));
    console.stop().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_of_this_machine_are_not_answered() {
    let stage = Stage::open().await;
    let console = console(&stage, "ISR:avi").await;
    let browser = console.entered().await;
    let host = browser.origin.strip_prefix("http://").unwrap().to_owned();
    let port = host.rsplit(':').next().unwrap().to_owned();
    let wrong = [
        format!("127.0.0.1:{port}"),
        format!("{host}.evil.example"),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        format!("127.1:{port}"),
        "127.0.0.1".to_owned(),
        "127.0.0.1:1".to_owned(),
        format!("{host}."),
        String::new(),
    ];
    let cookie = browser.cookie();
    for name in wrong.iter().map(String::as_str) {
        let answer =
            asked(&host, &format!("GET / HTTP/1.1\r\nHost: {name}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 403"), "{name}: {answer}");
        assert!(!answer.contains("ISR:avi"), "{answer}");
    }
    let both = format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    let absolute = format!("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let none = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned();
    for request in [both, absolute, none] {
        let answer = asked(&host, &request);
        assert!(answer.starts_with("HTTP/1.1 40"), "{request}: {answer}");
        assert!(!answer.contains("ISR:avi"), "{answer}");
    }
    console.stop().await;
    stage.stop().await;
}

/// The answer to bytes that no client would send.
fn asked(host: &str, request: &str) -> String {
    let port: u16 = host.rsplit(':').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_and_forms_without_the_word_do_nothing() {
    let stage = Stage::open().await;
    let console = console(&stage, "ISR:avi").await;
    let mut browser = console.entered().await;
    let csrf = browser.csrf.clone();
    for path in ACTS {
        for (site, origin) in [
            (Some("cross-site"), Some("https://evil.example")),
            (Some("same-site"), Some("http://127.0.0.1:1")),
            (Some("none"), None),
            (Some("same-origin"), Some("null")),
            (None, Some("http://127.0.0.1.evil.example")),
            (None, None),
        ] {
            let request = browser.http.post(format!("{}{path}", browser.origin)).header("cookie", browser.cookie());
            let request =
                [("sec-fetch-site", site), ("origin", origin)].into_iter().fold(request, |request, (name, value)| {
                    value.into_iter().fold(request, |to, value| to.header(name, value))
                });
            let refused = browser.send(request.body(form(&[("csrf", csrf.as_str())]))).await;
            assert_eq!(refused.status, 403, "{path} {site:?} {origin:?}: {}", refused.text);
        }
        for fields in [&[][..], &[("csrf", "")], &[("csrf", "another")], &[("csrf", csrf.as_str()), ("csrf", "x")]] {
            let refused = browser.send(browser.request(Method::POST, path).body(form(fields))).await;
            assert_eq!(refused.status, 403, "{path} {fields:?}: {}", refused.text);
        }
        let long =
            browser.request(Method::POST, path).body(form(&[("csrf", csrf.as_str()), ("x", &"y".repeat(70_000))]));
        assert_eq!(browser.send(long).await.status, 413, "{path}");
    }
    // A link on another site leads nowhere, either.
    for path in PAGES {
        let request = browser.http.get(format!("{}{path}", browser.origin)).header("cookie", browser.cookie());
        assert_eq!(browser.send(request.header("sec-fetch-site", "cross-site")).await.status, 403, "{path}");
    }
    for path in ["/lock", "/seen"] {
        assert_eq!(browser.get(path).await.status, 405, "a link does nothing: {path}");
    }
    assert_eq!(browser.send(browser.request(Method::DELETE, "/")).await.status, 405);
    assert_eq!(browser.get("/me").await.status, 200, "nothing of that has locked it");
    assert_eq!(browser.post("/lock", &[]).await.status, 303);
    assert_eq!(browser.get("/me").await.status, 303, "the form itself has");
    console.stop().await;
    stage.stop().await;
}

#[tokio::test]
async fn browser_that_did_not_come_by_an_address_sees_nothing() {
    let stage = Stage::open().await;
    let console = console(&stage, "ISR:avi").await;
    let mut stranger = console.browser();
    for path in PAGES.into_iter().chain(["/unlock"]) {
        let page = stranger.get(path).await;
        assert_eq!(page.status, 401, "{path}");
        assert!(!page.text.contains("ISR:avi") && !page.text.contains("name=\"csrf\""), "{}", page.text);
    }
    for path in ACTS {
        assert_eq!(stranger.post(path, &[]).await.status, 401, "{path}");
    }
    let guessed = stranger.get("/enter?word=guessed").await;
    assert!(guessed.status == 403 && !guessed.text.contains("ISR:avi"), "{}", guessed.text);
    let refused = stranger.send(stranger.request(Method::POST, "/enter").body(form(&[("word", "guessed")]))).await;
    assert_eq!((refused.status, stranger.get("/").await.status), (403, 401));
    // Looking at an address uses nothing up, and takes no session away.
    let address = console.doorkeeper.new_address();
    let mut browser = console.entered().await;
    browser
        .get(
            address.split_once("//").unwrap().1.split_once('/').map(|(_, path)| format!("/{path}")).as_deref().unwrap(),
        )
        .await;
    assert_eq!(browser.get("/me").await.status, 200);
    let mut second = console.browser();
    assert_eq!(second.enter(&address).await.status, 303);
    assert_eq!((browser.get("/me").await.status, second.get("/me").await.status), (200, 200));
    console.stop().await;
    stage.stop().await;
}

#[tokio::test]
async fn address_that_two_browsers_use_ends_all_sessions_and_forgets_the_keys() {
    let stage = Stage::open().await;
    let console = console(&stage, "ISR:avi").await;
    let address = console.doorkeeper.new_address();
    let mut browser = console.browser();
    assert_eq!(browser.enter(&address).await.status, 303);
    // The same browser presses once more, and comes back to the address later.
    assert_eq!(browser.enter_again(&address).await, 303);
    let path = address.splitn(4, '/').nth(3).unwrap();
    assert_eq!(browser.get(&format!("/{path}")).await.place.as_deref(), Some("/"));
    assert_eq!(browser.enter_again(&address).await, 303);
    assert_eq!(browser.get("/me").await.status, 200);
    let mut other = console.browser();
    let refused = other.enter(&address).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("This address was used in two browsers"), "{}", refused.text);
    assert_eq!((browser.get("/me").await.status, other.get("/me").await.status), (401, 401));
    console.stop().await;
    stage.stop().await;
}

impl Browser {
    /// Sends the button of the door once more, as a double click does.
    async fn enter_again(&mut self, address: &str) -> u16 {
        let (_, word) = address.split_once("word=").unwrap();
        self.send(self.request(Method::POST, "/enter").body(form(&[("word", word)]))).await.status
    }
}

#[tokio::test]
async fn every_answer_forbids_what_a_page_must_not_do() {
    let stage = Stage::open().await;
    let console = console(&stage, "ISR:avi").await;
    let mut browser = console.entered().await;
    let home = browser.get("/").await;
    let style = home.text.split("href=\"/assets/").nth(2).unwrap().split('"').next().unwrap().to_owned();
    let assets = [format!("/assets/{style}")];
    let mut stranger = console.browser();
    for path in PAGES
        .into_iter()
        .chain(["/nothing", "/enter", "/enter?word=x", "/unlock", "/assets/none.js"])
        .chain(assets.iter().map(String::as_str))
    {
        for browser in [&mut browser, &mut stranger] {
            let page = browser.get(path).await;
            let header = |name: &str| page.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
            let policy = header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
            assert!(policy.contains("frame-ancestors 'none'") && policy.contains("require-trusted-types-for 'script'"));
            assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"));
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
            assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
            assert_eq!(header("x-frame-options"), "DENY", "{path}");
            let kept = header("cache-control");
            assert!(
                kept == "no-store" || (path.starts_with("/assets/console-") && kept.contains("immutable")),
                "{path}: {kept}"
            );
        }
    }
    console.stop().await;
    stage.stop().await;
}

/// Protects the identity in a member's home by a passphrase, and gives it back.
fn protected(home: &Path) -> PathBuf {
    let path = home.join("identity.txt");
    let bare = fs::read_to_string(&path).unwrap();
    let sealed = protect(&SecretText::from(bare), &SecretText::from("correct horse battery".to_owned()), 10).unwrap();
    fs::write(&path, sealed).unwrap();
    path
}

#[tokio::test]
async fn passphrase_opens_the_keys_until_they_are_locked_or_nobody_used_them() {
    let stage = Stage::open().await;
    protected(&stage.home(&id("ISR:avi")));
    let console = console(&stage, "ISR:avi").await;
    let mut browser = console.entered().await;
    let sent = browser.get("/search?q=a%20b").await;
    assert_eq!((sent.status, sent.place.as_deref()), (303, Some("/unlock?next=%2Fsearch%3Fq%3Da%2520b")));
    let asked = browser.get(sent.place.as_deref().unwrap()).await;
    assert!(asked.text.contains("type=\"password\"") && !asked.text.contains("autocomplete=\"on\""), "{}", asked.text);
    let wrong = browser.post("/unlock", &[("passphrase", "wrong horse"), ("next", "/me")]).await;
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.text.contains("Nothing that you typed is the passphrase for <code>")
            && !wrong.text.contains("wrong horse")
    );
    assert_eq!(browser.get("/me").await.status, 303);
    let right = [("passphrase", "wrong horse"), ("passphrase", "correct horse battery"), ("next", "//evil.example")];
    let open = browser.post("/unlock", &right).await;
    assert_eq!((open.status, open.place.as_deref()), (303, Some("/")));
    assert_eq!(browser.get("/me").await.status, 200);
    assert_eq!(browser.get("/unlock").await.status, 303, "they are open");
    assert_eq!(browser.post("/lock", &[]).await.place.as_deref(), Some("/unlock"));
    assert_eq!(browser.get("/me").await.status, 303);
    // What was sent while they are forgotten is not done, and says so.
    let nothing = browser.post("/seen", &[("last", "1")]).await;
    assert_eq!(nothing.status, 409);
    assert!(nothing.text.contains("and nothing was done"), "{}", nothing.text);

    browser.post("/unlock", &[("passphrase", "correct horse battery")]).await;
    stage.clock.set(stage.clock.now() + SignedDuration::from_mins(14));
    assert_eq!(browser.get("/me").await.status, 200, "it was used in time");
    stage.clock.set(stage.clock.now() + SignedDuration::from_mins(14));
    assert_eq!(browser.get("/me").await.status, 200, "and again");
    stage.clock.set(stage.clock.now() + SignedDuration::from_mins(15));
    assert_eq!(browser.get("/me").await.status, 303, "for 15 minutes nobody did");
    console.stop().await;
    stage.stop().await;
}

#[tokio::test]
async fn fingerprint_is_typed_and_never_shown_before() {
    let stage = Stage::open().await;
    let home = stage.home(&id("ISR:avi"));
    let avi = stage.again("ISR:avi");
    let card = avi.home().pinned(&"USA".parse().unwrap()).unwrap().unwrap();
    avi.home().unpin_partner(&"USA".parse().unwrap()).unwrap();
    let console = TestConsole::start(&home, stage.clock.clone()).await;
    let mut browser = console.entered().await;
    let digits = card.fingerprint.to_string();
    let shown = browser.get("/trust").await;
    assert!(shown.text.contains("not pinned"), "{}", shown.text);
    let groups: Vec<&str> = (0..16).map(|group| &digits[group * 4..group * 4 + 4]).collect();
    assert!(
        !shown.text.contains(&digits) && !shown.text.contains(&groups[..3].join("</span> <span>")),
        "{}",
        shown.text
    );
    let other = "ab".repeat(32);
    for (typed, said) in [(other.as_str(), "has another fingerprint than"), ("12", "has 64 digits")] {
        let refused = browser.post("/trust", &[("partner", "USA"), ("fingerprint", typed)]).await;
        assert_eq!(refused.status, 422);
        assert!(refused.text.contains(said) && !refused.text.contains(&digits), "{}", refused.text);
    }
    assert!(avi.home().pinned(&"USA".parse().unwrap()).unwrap().is_none());
    let pinned = browser.post("/trust", &[("partner", "USA"), ("fingerprint", &groups.join(" ").to_uppercase())]).await;
    assert_eq!((pinned.status, pinned.place.as_deref()), (303, Some("/trust?pinned=USA#USA")));
    assert_eq!(avi.home().pinned(&"USA".parse().unwrap()).unwrap().unwrap().fingerprint, card.fingerprint);
    assert!(browser.get("/trust").await.text.contains(&groups[..3].join("</span> <span>")));
    console.stop().await;
    stage.stop().await;
}

#[tokio::test]
async fn log_is_in_sentences_and_what_was_seen_is_not_new_again() {
    let stage = Stage::open().await;
    let proposal = stage.submitted().await;
    let reference = stage.client("ISR:avi").api().proposal(proposal).await.unwrap().reference.to_string();
    let console = console(&stage, "ISR:avi").await;
    let mut browser = console.entered().await;
    // The first reading goes on beside; it is short here, and this one may meet it.
    let mut home = browser.get("/").await;
    while home.text.contains("is being read for the first time") {
        home = browser.get("/").await;
    }
    assert!(home.text.contains("What happened") && home.text.contains("submitted"), "{}", home.text);
    assert!(!home.text.contains("ISR:avi signed"), "what the member did is no news: {}", home.text);
    assert_eq!(browser.post("/seen", &[("last", "1")]).await.status, 303);
    // What comes meanwhile, such as the fetch of a title, is shown before it is marked.
    let home = loop {
        let home = browser.get("/").await;
        if !home.text.contains("What happened") {
            break home;
        }
        let last = home.text.split("name=\"last\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(browser.post("/seen", &[("last", &last)]).await.status, 303);
    };
    assert!(home.text.contains("Since you last looked") && !home.text.contains("submitted"), "{}", home.text);
    for path in ["/log", &format!("/log?about={reference}"), "/log?kind=proposal"] {
        let log = browser.get(path).await;
        assert!(log.text.contains(&reference) && log.text.contains("submitted"), "{path}: {}", log.text);
    }
    for (path, said) in [
        ("/log?about=%3Cb%3E", "is neither a reference nor the code of a call"),
        ("/log?kind=nonsense", "has no entries of a kind"),
    ] {
        let refused = browser.get(path).await;
        assert!(
            refused.text.contains("aria-invalid=\"true\"")
                && refused.text.contains(said)
                && !refused.text.contains("<b>"),
            "{}",
            refused.text
        );
    }
    console.stop().await;
    // The mark is kept on the machine.
    let console = TestConsole::start(&stage.home(&id("ISR:avi")), stage.clock.clone()).await;
    let mut browser = console.entered().await;
    let mut home = browser.get("/").await;
    while home.text.contains("is being read for the first time") {
        home = browser.get("/").await;
    }
    assert!(home.text.contains("Since you last looked"), "{}", home.text);
    console.stop().await;
    stage.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn another_account_of_the_machine_is_not_answered() {
    if !has_all(&["curl", "setpriv"], "no other account asks a console for pages") {
        return;
    }
    let stage = Stage::open().await;
    let console = console(&stage, "ISR:avi").await;
    let address = console.doorkeeper.new_address();
    let curl = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        let host = address.split('/').nth(2).unwrap();
        let found = format!("{host}:127.0.0.1");
        command.args(&words[1..]).args(["curl", "--silent", "--noproxy", "*", "--max-time", "10"]);
        command.args(["--resolve", &found, &address]);
        async move { command.output().await.unwrap() }
    };
    let own = curl(&["env"]).await;
    assert!(String::from_utf8(own.stdout).unwrap().contains("Open the console"), "{:?}", own.stderr);
    let other = curl(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]).await;
    if String::from_utf8_lossy(&other.stderr).contains("setpriv: ") {
        loud("AS THIS ACCOUNT NOBODY CAN BE ANOTHER ONE: no other account asks a console for pages");
    } else {
        assert!(other.stdout.is_empty() && !other.status.success(), "{other:?}");
    }
    console.stop().await;
    stage.stop().await;
}
