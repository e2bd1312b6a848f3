//! `docs/api.md` does what it says: its blocks, in order, as one script, against PostgreSQL and the server as `scripts/up-local`
//! starts them. Only the programs that the page names take part in it.

use crate::harness::{programs::has_all, scratch::scratch};
use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// The topology of the script; stops when this process lets go of its standard input.
struct Up {
    script: Child,
    exchange: String,
    pki: String,
}

impl Up {
    fn start(data: &Path) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_entente-server")).parent().unwrap();
        let mut script = Command::new(root().join("scripts/up-local"));
        script.args(["--port", "0", "--admin-port", "0", "--until-eof", "--data"]).arg(data).arg("--bin").arg(programs);
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let mut words = said.split_whitespace();
        assert_eq!(words.next(), Some("ready"), "{said}");
        let exchange = words.next().unwrap().to_owned();
        let pki = words.find_map(|word| word.strip_prefix("pki=")).unwrap().to_owned();
        Self { script, exchange, pki }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

#[test]
fn page_hands_in_a_proposal_with_stock_tools_and_stops_at_a_card_that_is_not_pinned() {
    let programs = ["age", "age-keygen", "basenc", "curl", "initdb", "jq", "openssl"];
    if !has_all(&programs, "THE PAGE docs/api.md IS NOT TRIED") {
        for required in ["ENTENTE_REQUIRE_AGE", "ENTENTE_REQUIRE_POSTGRES"] {
            assert!(env::var_os(required).is_none(), "`{required}` is set, and one of {programs:?} is not installed");
        }
        return;
    }
    let folder = scratch();
    let up = Up::start(&folder.path().join("up"));
    let page = blocks();
    let tools = page[1..4].join("\n");
    let setup = fs::read_to_string(root().join("tests/it/api_page/setup.sh")).unwrap();
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("page.sh"), page.join("\n")).unwrap();
    // The page must not lean on the functions of the setup, so it runs in a shell of its own.
    let other_pin = "sed 's/^USA ..../USA 0000/' pins > other && PINS=$PWD/other sh page.sh || echo it stopped";
    let script = format!("set -eu\n{tools}\n{setup}\nsh page.sh\n{other_pin}\n");
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(&work).env("EXCHANGE", &up.exchange).env("PKI", &up.pki);
        shell
            .env("EXCHANGE_CA", format!("{}/server/ca.crt", up.pki))
            .env("DOCUMENTS", root().join("examples/documents"))
            .env("POLICIES", root().join("policies/partners"));
        let output = shell.env("TMPDIR", &work).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), said)
    };
    let (done, said) = shell(&script);
    assert!(done && said.contains(" is submitted, version 1, manifest "), "{said}");
    let stopped = said.ends_with("the card of USA is not the one you pinned\n") && said.contains("it stopped");
    assert!(stopped, "with another fingerprint pinned the page must not go on: {said}");
}

/// The blocks of the page that are shell.
fn blocks() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/api.md")).unwrap();
    page.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
