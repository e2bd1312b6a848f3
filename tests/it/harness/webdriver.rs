//! Chromium as a person uses it, by the protocol that its driver speaks: pages are loaded, keys pressed, pictures taken. What Chromium itself
//! asks of its makers goes nowhere; what pages ask of anybody is noted, and asserted to be the console alone.

use super::{console::plain_http, process::until, programs::has_all};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// By which the driver knows an element in an answer.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The keys that have no letter, as the protocol writes them.
pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const DOWN: char = '\u{e015}';

/// Whether pages run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scripts {
    Run,
    AreOff,
}

/// A window of Chromium.
pub(crate) struct Window {
    http: reqwest::Client,
    session: String,
    profile: TempDir,
    driver: Child,
}

impl Drop for Window {
    fn drop(&mut self) {
        // A test that fails closes no window: Chromium would stay.
        if let Some(group) = self.driver.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A window, or none where there is no Chromium; with `ENTENTE_REQUIRE_CHROMIUM` that is a failure.
pub(crate) async fn window(scripts: Scripts) -> Option<Window> {
    if !has_all(&["chromium", "chromedriver"], "NO BROWSER LOADS THE CONSOLE'S PAGES") {
        assert!(env::var_os("ENTENTE_REQUIRE_CHROMIUM").is_none(), "`ENTENTE_REQUIRE_CHROMIUM` is set");
        return None;
    }
    let profile = tempfile::tempdir().unwrap();
    let mut driver = Command::new("chromedriver")
        .args(["--port=0"])
        .env("HOME", profile.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = loop {
        let line = lines.next_line().await.unwrap().expect("the driver says where it listens");
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            break port.trim_end_matches('.').to_owned();
        }
    };
    // What it says later is read, so that it never waits.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let content = json!({ "profile.managed_default_content_settings.javascript": 2 });
    let options = json!({
        "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage",
            "--disable-domain-reliability", "--disable-client-side-phishing-detection", "--lang=en-US", "--window-size=1280,900",
            "--disable-features=OptimizationHints,MediaRouter,Translate,AutofillServerCommunication",
            format!("--user-data-dir={}", profile.path().join("profile").display()),
            // Nobody listens there, and loopback is asked without it.
            "--proxy-server=127.0.0.1:9",
        ],
        "prefs": if scripts == Scripts::AreOff { content } else { json!({}) },
    });
    let http = plain_http();
    let capabilities = json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { "performance": "ALL" },
    } } });
    let base = format!("http://127.0.0.1:{port}/session");
    let made = http.post(&base).json(&capabilities).send().await.unwrap().json::<Value>().await.unwrap();
    let Some(id) = made["value"]["sessionId"].as_str() else { panic!("Chromium did not start: {made}") };
    Some(Window { http, session: format!("{base}/{id}"), profile, driver })
}

impl Window {
    async fn call(&self, verb: &str, path: &str, body: Value) -> Value {
        let address = format!("{}{path}", self.session);
        let request = match verb {
            "GET" => self.http.get(address),
            "DELETE" => self.http.delete(address),
            _ => self.http.post(address).json(&body),
        };
        let mut answer = request.send().await.unwrap().json::<Value>().await.unwrap();
        assert!(answer["value"].get("error").is_none(), "{verb} {path}: {answer}");
        answer["value"].take()
    }

    /// Loads an address, as if it was typed.
    pub(crate) async fn load(&self, address: &str) {
        self.call("POST", "/url", json!({ "url": address })).await;
    }

    /// The path of the page, with its query.
    pub(crate) async fn path(&self) -> String {
        let address = self.call("GET", "/url", json!({})).await;
        let address = address.as_str().unwrap();
        address.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default()
    }

    /// Goes on once the page is the one at this path, and loaded.
    pub(crate) async fn arrives(&self, path: &str) {
        until(&format!("the page `{path}`"), async || {
            let is_there = self.path().await == path && self.script("return document.readyState").await == "complete";
            is_there.then_some(())
        })
        .await;
    }

    /// The same without a look at whether all of it is there.
    pub(crate) async fn comes_to(&self, path: &str) {
        until(&format!("the page `{path}`"), async || (self.path().await == path).then_some(())).await;
    }

    /// What a script of the test returns.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// What a script of the test answers by its last argument.
    pub(crate) async fn waiting_script(&self, script: &str, argument: Value) -> Value {
        self.call("POST", "/execute/async", json!({ "script": script, "args": [argument] })).await
    }

    /// The text that a reader sees.
    pub(crate) async fn text(&self) -> String {
        let body = self.call("POST", "/element", json!({ "using": "css selector", "value": "body" })).await;
        let text = self.call("GET", &format!("/element/{}/text", body[ELEMENT].as_str().unwrap()), json!({})).await;
        text.as_str().unwrap().to_owned()
    }

    /// Clicks what a selector finds first.
    pub(crate) async fn click(&self, selector: &str) {
        let found = self.call("POST", "/element", json!({ "using": "css selector", "value": selector })).await;
        self.call("POST", &format!("/element/{}/click", found[ELEMENT].as_str().unwrap()), json!({})).await;
    }

    /// Writes into what a selector finds first.
    pub(crate) async fn write(&self, selector: &str, text: &str) {
        let found = self.call("POST", "/element", json!({ "using": "css selector", "value": selector })).await;
        let path = format!("/element/{}/value", found[ELEMENT].as_str().unwrap());
        self.call("POST", &path, json!({ "text": text })).await;
    }

    /// Presses keys, one after the other.
    pub(crate) async fn press(&self, keys: impl IntoIterator<Item = char>) {
        let strokes: Vec<Value> = keys
            .into_iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })))
            .collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.call("POST", "/actions", keyboard).await;
    }

    /// Presses Tab until what a selector finds has the focus.
    pub(crate) async fn tab_to(&self, selector: &str) {
        for _ in 0..60 {
            let question = format!("return document.activeElement.matches({})", json!(selector));
            if self.script(&question).await == true {
                return;
            }
            self.press([TAB]).await;
        }
        panic!("no Tab leads to `{selector}`");
    }

    /// Makes the window as wide as this, light or dark.
    pub(crate) async fn looks(&self, width: u32, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        for (command, parameters) in [
            (
                "Emulation.setEmulatedMedia",
                json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
            ),
            (
                "Emulation.setDeviceMetricsOverride",
                json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 }),
            ),
        ] {
            self.call("POST", "/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await;
        }
    }

    /// Writes a picture of the page to a file in the target folder.
    pub(crate) async fn picture(&self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.call("GET", "/screenshot", json!({})).await;
        let bytes = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// The folder in which Chromium keeps what it keeps.
    pub(crate) fn folder(&self) -> PathBuf {
        self.profile.path().to_owned()
    }

    /// Closes it, and asserts that its pages asked nobody but the console for anything.
    pub(crate) async fn close(self, origin: &str) {
        let log = self.call("POST", "/se/log", json!({ "type": "performance" })).await;
        let events = log.as_array().unwrap().iter().filter_map(|line| line["message"].as_str());
        let asked: Vec<String> = events
            .filter_map(|event| {
                let event: Value = serde_json::from_str(event).unwrap();
                let message = &event["message"];
                let is_request = message["method"] == "Network.requestWillBeSent";
                is_request.then(|| message["params"]["request"]["url"].as_str().unwrap().to_owned())
            })
            .collect();
        assert!(asked.iter().any(|url| url.starts_with(origin)), "the log has requests: {asked:?}");
        let own = format!("{origin}/");
        // Chromium's own pages, of a new window.
        let is_own = |url: &str| url.starts_with(&own) || url.starts_with("data:") || url.starts_with("chrome://");
        let elsewhere: Vec<&String> = asked.iter().filter(|url| !is_own(url)).collect();
        assert!(elsewhere.is_empty(), "a page asked elsewhere: {elsewhere:?}");
        self.call("DELETE", "", json!({})).await;
    }
}
