//! The console in Chromium: by the keyboard alone, without scripts, as axe judges it, and as it looks.

use super::{PAGES, console, protected};
use crate::harness::{
    console::TestConsole,
    fetched::{Untried, copy, installed, place},
    process::{ended, until},
    stage::{Stage, id, quiet, summary},
    webdriver::{DOWN, ENTER, Scripts, Window, window},
};
use serde_json::{Value, json};
use std::fs;
use tokio::process::Command;

/// Where what Node's registry has cannot be had.
const NOT_JUDGED: Untried = Untried {
    required_by: "ENTENTE_REQUIRE_CHROMIUM",
    said: "NO RULE OF ACCESSIBILITY IS TRIED ON THE CONSOLE'S PAGES",
};

/// What fetches it.
const STEPS: [&[&str]; 1] = [&["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]];

/// Comes by an address and presses the button.
async fn come_in(window: &Window, console: &TestConsole) {
    window.load(&console.doorkeeper.new_address()).await;
    window.click("main button").await;
    window.comes_to("/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn member_unlocks_searches_and_locks_by_the_keyboard_alone() {
    let Some(window) = window(Scripts::Run).await else { return };
    let stage = Stage::open().await;
    let proposal = stage.under_review().await;
    let reference = stage.client("ISR:maya").api().proposal(proposal).await.unwrap().reference.to_string();
    protected(&stage.home(&id("ISR:maya")));
    let console = console(&stage, "ISR:maya").await;
    let origin = console.browser().origin;
    window.load(&console.doorkeeper.new_address()).await;
    window.tab_to("main button").await;
    window.press([ENTER]).await;
    window.arrives("/unlock?next=%2F").await;
    // The field has the focus.
    window.press("correct horse battery".chars().chain([ENTER])).await;
    window.arrives("/").await;
    let text = window.text().await;
    assert!(text.contains("ISR:maya") && text.contains(&reference) && text.contains("entente proposal open"), "{text}");
    window.press(['/']).await;
    window.press(reference.chars().chain([ENTER])).await;
    window.arrives(&format!("/search?q={reference}")).await;
    assert!(window.text().await.contains("1 of 1 proposal"));
    window.tab_to("tbody tr").await;
    window.press([DOWN]).await;
    window.press(['?']).await;
    window.arrives("/help").await;
    window.tab_to("header form[action='/lock'] button").await;
    window.press([ENTER]).await;
    window.arrives("/unlock").await;
    window.load(&format!("{origin}/me")).await;
    assert!(window.path().await.starts_with("/unlock"), "the keys are forgotten");
    window.close(&origin).await;
    console.stop().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_work_without_scripts_and_leave_nothing_readable_behind() {
    const TITLE: &str = "Lodestone of the quiet valley";
    let Some(window) = window(Scripts::AreOff).await else { return };
    let stage = Stage::open().await;
    let begun = stage.begun().await;
    let avi = stage.client("ISR:avi");
    stage.upload_all(begun).await;
    avi.put_summary(begun, &summary(TITLE), quiet()).await.unwrap();
    stage.sign("ISR:avi", begun).await;
    let console = console(&stage, "ISR:avi").await;
    come_in(&window, &console).await;
    let origin = console.browser().origin;
    for path in PAGES {
        window.load(&format!("{origin}{path}")).await;
        assert_eq!(window.path().await, path);
    }
    window.write("#find", "quiet valley").await;
    window.click("header form[action='/lock'] button").await;
    window.comes_to("/unlock").await;
    // Keys without a passphrase are open again at once.
    window.click("main button").await;
    window.comes_to("/").await;
    // The title is opened beside the pages.
    until("the title in a page", async || {
        window.load(&format!("{origin}/search?q=lodestone")).await;
        window.text().await.contains(TITLE).then_some(())
    })
    .await;
    window.click("header form[action='/lock'] button").await;
    window.comes_to("/unlock").await;
    let folder = window.folder();
    window.close(&origin).await;
    for file in files(&folder) {
        let bytes = fs::read(&file).unwrap_or_default();
        let found = memchr::memmem::find(&bytes, TITLE.as_bytes()).is_some();
        assert!(!found, "the browser kept a title in {}", file.display());
    }
    console.stop().await;
    stage.stop().await;
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_on_any_page() {
    let Some(window) = window(Scripts::Run).await else { return };
    let (folder, _lock) = place("console");
    copy("scripts/console", &folder, &["json"]);
    if installed(&folder, "package-lock.json", &STEPS, NOT_JUDGED).await.is_none() {
        return;
    }
    let axe = fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).unwrap();
    let stage = Stage::open().await;
    let proposal = stage.under_review().await;
    let reference = stage.client("ISR:maya").api().proposal(proposal).await.unwrap().reference.to_string();
    let maya = stage.again("ISR:maya");
    maya.home().unpin_partner(&"KOR".parse().unwrap()).unwrap();
    let home = stage.home(&id("ISR:maya"));
    let console = TestConsole::start(&home, stage.clock.clone()).await;
    let origin = console.browser().origin;
    judge(&window, &axe, &console.doorkeeper.new_address(), "enter").await;
    judge(&window, &axe, &format!("{origin}/"), "stranger").await;
    come_in(&window, &console).await;
    let why = format!("/why?proposal={reference}&action=reviews");
    let pages = PAGES.into_iter().chain([why.as_str(), "/search?q=nothing", "/log?about=x", "/why?proposal=x"]);
    for path in pages {
        let name = path.trim_start_matches('/').replace(['?', '=', '&'], "-").replace(&reference, "found");
        judge(&window, &axe, &format!("{origin}{path}"), if name.is_empty() { "home" } else { &name }).await;
    }
    judge_colours(&window, &axe, &format!("{origin}/help")).await;
    window.load(&origin).await;
    window.click("header form[action='/lock'] button").await;
    window.comes_to("/unlock").await;
    judge(&window, &axe, &format!("{origin}/unlock"), "unlock").await;
    window.close(&origin).await;
    console.stop().await;
    stage.stop().await;
}

#[tokio::test]
async fn evaluator_of_content_policies_finds_nothing_that_could_be_left_out() {
    let (folder, _lock) = place("console");
    copy("scripts/console", &folder, &["json"]);
    if installed(&folder, "package-lock.json", &STEPS, NOT_JUDGED).await.is_none() {
        return;
    }
    let stage = Stage::open().await;
    let console = console(&stage, "ISR:avi").await;
    let page = console.browser().get("/enter").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    let script = "const { CspEvaluator } = require('csp_evaluator/dist/evaluator.js'); \
                  const { CspParser } = require('csp_evaluator/dist/parser.js'); \
                  console.log(JSON.stringify(new CspEvaluator(new CspParser(process.argv[1]).csp).evaluate()))";
    let mut node = Command::new("node");
    node.args(["-e", script, policy]).current_dir(&folder);
    let output = ended(node).await;
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<&str> = found.iter().map(|finding| finding["description"].as_str().unwrap()).collect();
    // The console serves nothing of others from its own address.
    assert_eq!(found, ["'self' can be problematic if you host JSONP, AngularJS or user uploaded files."]);
    console.stop().await;
    stage.stop().await;
}

/// Asserts that each partner's colour can be read on a page with links and buttons, light and dark.
async fn judge_colours(window: &Window, axe: &str, address: &str) {
    for is_dark in [false, true] {
        window.looks(1280, is_dark).await;
        window.load(address).await;
        window.script(axe).await;
        let run = "const done = arguments[arguments.length - 1]; \
                   (async () => { const found = []; \
                     for (let hue = 0; hue < 36; hue++) { \
                       document.documentElement.className = 'hue-' + hue; \
                       const { violations } = await axe.run(document, arguments[0]); \
                       if (violations.length) found.push(hue + ': ' + violations[0].nodes[0].failureSummary); \
                     } done(found); })();";
        let found = window.waiting_script(run, json!({ "runOnly": ["color-contrast"] })).await;
        assert_eq!(found, json!([]), "dark: {is_dark}");
    }
}

/// Asserts that axe has nothing to say about a page, wide and narrow, light and dark, and takes pictures of it.
async fn judge(window: &Window, axe: &str, address: &str, name: &str) {
    for (width, is_dark) in [(1280, false), (1280, true), (390, false), (320, true)] {
        window.looks(width, is_dark).await;
        window.load(address).await;
        let scheme = if is_dark { "dark" } else { "light" };
        window.picture(&format!("{name}-{width}-{scheme}")).await;
        window.script(axe).await;
        let run = "const done = arguments[arguments.length - 1]; \
                   axe.run(document, arguments[0]).then((found) => done(found.violations), (error) => done(String(error)));";
        let found = window.waiting_script(run, json!({ "resultTypes": ["violations"] })).await;
        let Value::Array(violations) = &found else { panic!("{name}: {found}") };
        let said: Vec<String> = violations
            .iter()
            .map(|fault| format!("{}: {} {}", fault["id"], fault["help"], fault["nodes"][0]["html"]))
            .collect();
        assert!(said.is_empty(), "{name} at {width} {scheme}: {}", said.join("\n"));
        let wide = window.script("return document.documentElement.scrollWidth").await.as_u64().unwrap();
        assert!(wide <= u64::from(width), "{name} is {wide} pixels wide in a window of {width}");
    }
}
