//! A console in this process, and browsers that ask it: what they send besides what a browser sends is up to the test.

use super::process::{PATIENCE, entente, signal, tls};
use entente::{
    client::{Ambient, Home},
    console::{ConsoleName, ConsoleOptions, Doorkeeper, RunningConsole, USUAL_IDLE},
    domain::ambient::{Clock, SystemRng},
};
use reqwest::{Method, RequestBuilder, Response, redirect::Policy};
use rustls::RootCertStore;
use std::{
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// A console of one member.
pub(crate) struct TestConsole {
    pub(crate) doorkeeper: Doorkeeper,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// `entente console`, as a program of its own.
pub(crate) struct ConsoleProgram {
    child: Child,
    pub(crate) address: String,
}

impl ConsoleProgram {
    /// The console of the member whose home this is.
    pub(crate) async fn start(home: &Path) -> Self {
        let home = home.display().to_string();
        let mut command = entente(&["--home", &home, "--json", "console", "--no-open"]);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        Self { child, address: said["address"].as_str().unwrap().to_owned() }
    }

    /// How much of the machine's memory the process has, in KiB; none where the system does not say.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// Ends it as somebody at its terminal does.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        signal(&self.child, "INT").await;
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }
}

/// A browser, as far as the console sees one.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) http: reqwest::Client,
    /// `http://a1b2c3d4e5f6.localhost:50000`.
    pub(crate) origin: String,
    /// What it sends back, by name.
    pub(crate) cookies: Vec<(String, String)>,
    /// The word of its forms, once a page has shown it.
    pub(crate) csrf: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) place: Option<String>,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl TestConsole {
    /// The console of the member whose home this is.
    pub(crate) async fn start(home: &Path, clock: Arc<dyn Clock>) -> Self {
        let home = Home::locate(Some(home)).unwrap();
        let profile = home.profile_name(None).unwrap();
        let ambient = Ambient { clock, rng: Arc::new(SystemRng) };
        let options =
            ConsoleOptions { home, profile, ambient, port: None, name: ConsoleName::Random, idle: USUAL_IDLE };
        let console = RunningConsole::start(options).await.unwrap();
        let doorkeeper = console.doorkeeper();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move { console.run(async { drop(stopped.await) }).await.unwrap() });
        Self { doorkeeper, stop, running }
    }

    /// A browser that has not come yet.
    pub(crate) fn browser(&self) -> Browser {
        Browser::of(&self.doorkeeper.new_address())
    }

    /// A browser that came by an address and pressed the button.
    pub(crate) async fn entered(&self) -> Browser {
        let mut browser = self.browser();
        let address = self.doorkeeper.new_address();
        assert_eq!(browser.enter(&address).await.status, 303);
        browser
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
    }
}

impl Browser {
    /// One that has not come yet, of the console with this address.
    pub(crate) fn of(address: &str) -> Self {
        let (origin, _) = address.split_once("/enter").unwrap();
        Self { http: http_of(address), origin: origin.to_owned(), cookies: Vec::new(), csrf: String::new() }
    }

    /// Comes by an address and presses the button.
    pub(crate) async fn enter(&mut self, address: &str) -> Page {
        let (_, word) = address.split_once("word=").unwrap();
        assert_eq!(self.get(&format!("/enter?word={word}")).await.status, 200);
        let page = self.send(self.request(Method::POST, "/enter").body(form(&[("word", word)]))).await;
        if page.status == 303 {
            self.get("/unlock").await;
        }
        page
    }

    /// A request as a browser makes it of a page of the console.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method.clone(), format!("{}{path}", self.origin));
        let request = request.header("sec-fetch-site", "same-origin").header("cookie", self.cookie());
        if method != Method::POST {
            return request;
        }
        request.header("origin", &self.origin).header("content-type", "application/x-www-form-urlencoded")
    }

    pub(crate) fn cookie(&self) -> String {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a form of the console.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = self.csrf.clone();
        let fields = [&[("csrf", csrf.as_str())], fields].concat();
        self.send(self.request(Method::POST, path).body(form(&fields))).await
    }

    /// What comes back; cookies and the word of forms are kept.
    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Page {
        let page = read(request.send().await.unwrap()).await;
        for cookie in page.headers.get_all("set-cookie") {
            let (pair, attributes) = cookie.to_str().unwrap().split_once("; ").unwrap();
            assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/");
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        if let Some((_, rest)) = page.text.split_once(r#"name="csrf" value=""#) {
            let (word, _) = rest.split_once('"').unwrap();
            if !word.is_empty() {
                word.clone_into(&mut self.csrf);
            }
        }
        page
    }
}

/// Asks without TLS, and follows nothing by itself.
pub(crate) fn plain_http() -> reqwest::Client {
    without_tls().build().unwrap()
}

fn without_tls() -> reqwest::ClientBuilder {
    let none = tls().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(none).redirect(Policy::none()).no_proxy()
}

/// The same, of a console: a browser finds names below `localhost` by itself.
pub(crate) fn http_of(address: &str) -> reqwest::Client {
    let host = address.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let (name, port) = host.split_once(':').unwrap();
    without_tls().resolve(name, SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))).build().unwrap()
}

/// Fields as a browser sends them.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

async fn read(response: Response) -> Page {
    let place = response.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Page { status, place, headers, text: response.text().await.unwrap() }
}
