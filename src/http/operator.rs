//! What the host's operator does from the command line, on the database itself: enrolling and suspending partners, and waiving their
//! revocation lists.
//!
//! An anchor that could not be honoured is refused here with the reason, since afterwards nobody would look again; nothing is
//! stored then. A running server takes up a change within a second.

mod suspension;

use super::{
    anchor::{Anchor, check_anchor, check_anchors},
    trust::{PartnerTrust, Registry},
};
use crate::{
    domain::{
        id::{PartnerCode, Sha256},
        suspension::SuspensionReason,
    },
    sealing::{card::PartnerCard, jws, statement::StatementError},
    service::{Exchange, ServiceError, operator, suspension as standing, time},
    storage::partners::ListRecord,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write},
    path::{Path, PathBuf},
};
pub use suspension::DryRunOrYes;

/// `entente-server partner …`.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Enrol a partner, or replace what is enrolled of it
    Add(AddPartnerArgs),
    /// Enrol a partner from the card that its officials sent
    Card {
        /// Partner cards, JSON
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        clock: ClockWord,
    },
    /// List the enrolled partners
    List,
    /// Show a partner, with the fingerprint that its officials confirm
    Show {
        /// Code of the partner
        code: PartnerCode,
    },
    /// Accept that a partner no longer publishes revocation lists: its certificates need none from then on
    WaiveLists {
        /// Code of the partner
        code: PartnerCode,
        #[command(flatten)]
        clock: ClockWord,
    },
    /// Shut a partner out for a while; nothing that was signed or handed in is touched
    #[command(
        after_help = "Members of a suspended partner can ask for nothing but who they are; its registrars can still read partners and \
        members, and publish and revoke key cards. Every member of the exchange reads it in the log, with the reason: own_request, \
        keys_in_doubt, agreement_ended or host_decision. Deadlines go on.\n\nExamples:\n  entente-server --config server.toml partner \
        suspend KOR --reason keys_in_doubt --dry-run\n  entente-server --config server.toml partner suspend KOR --reason \
        keys_in_doubt --yes"
    )]
    Suspend {
        /// Code of the partner
        code: PartnerCode,
        /// Why, in a word that everybody reads
        #[arg(long, value_name = "WORD")]
        reason: SuspensionReason,
        #[command(flatten)]
        how: DryRunOrYes,
        #[command(flatten)]
        clock: ClockWord,
    },
    /// End a suspension
    #[command(
        after_help = "Examples:\n  entente-server --config server.toml partner resume KOR --dry-run\n  entente-server --config \
        server.toml partner resume KOR --yes"
    )]
    Resume {
        /// Code of the partner
        code: PartnerCode,
        #[command(flatten)]
        how: DryRunOrYes,
        #[command(flatten)]
        clock: ClockWord,
    },
    /// Take back an enrolment on which nothing depends yet
    #[command(
        after_help = "A partner with members, programs or calls stays on the record; suspend it instead.\n\nExamples:\n  entente-server \
        --config server.toml partner remove KOR --dry-run\n  entente-server --config server.toml partner remove KOR --yes"
    )]
    Remove {
        /// Code of the partner
        code: PartnerCode,
        #[command(flatten)]
        how: DryRunOrYes,
        #[command(flatten)]
        clock: ClockWord,
    },
}

/// What the operator who enters something says of this machine's clock.
#[derive(Debug, Clone, Copy, Args)]
pub struct ClockWord {
    /// This machine's clock is right, although it is more than a minute ahead of what is on record: no server has run since
    #[arg(long)]
    pub clock_is_right: bool,
}

/// The parts of a partner card.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  entente-server --config server.toml partner add --code ISR --name Israel \\\n    --zone Asia/Jerusalem --anchor isr-ca.pem --registrar isr-registrar.pem"
)]
pub struct AddPartnerArgs {
    /// Two to eight capital letters or digits
    #[arg(long)]
    code: PartnerCode,
    /// Name that people know the partner by
    #[arg(long)]
    name: String,
    /// IANA time zone in which the partner reads deadlines
    #[arg(long)]
    zone: String,
    /// PEM or DER file with CA certificates that issue its members' certificates
    #[arg(long = "anchor", value_name = "FILE", required = true, num_args = 1..)]
    anchors: Vec<PathBuf>,
    /// Certificate (PEM or DER file) of a registrar, or the SHA-256 of its public key
    #[arg(long = "registrar", value_name = "FILE|SHA256", required = true, num_args = 1..)]
    registrars: Vec<String>,
    #[command(flatten)]
    clock: ClockWord,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("cannot read `{}`: {error}", .file.display())]
    Read { file: PathBuf, error: io::Error },
    /// One line a fault, with its help.
    #[error("nothing was enrolled:\n{0}")]
    Faults(String),
    #[error("the card contradicts itself: {0}")]
    Card(#[from] StatementError),
    #[error("`{}` is neither a certificate nor the SHA-256 of a public key", .0)]
    Registrar(String),
    #[error(
        "this machine's clock shows {clock}, but the latest on record is of {last}: nothing was done\n  set the clock right; if it is, \
         and no server has run since, repeat with `--clock-is-right`"
    )]
    ClockAhead { clock: Timestamp, last: Timestamp },
    #[error("no partner `{0}` is enrolled")]
    Unknown(PartnerCode),
    #[error(
        "`{0}` hosts the exchange and stays: without it nobody could write guardrails or set up programs\n  to stop the exchange for \
         everybody, stop the server"
    )]
    Host(PartnerCode),
    #[error("`{0}` was not removed\n  to shut it out, see `entente-server partner suspend --help`; its record stays")]
    Needed(PartnerCode),
    #[error(transparent)]
    Exchange(#[from] ServiceError),
    #[error("cannot write the answer: {0}")]
    Write(#[from] io::Error),
}

/// Does what was asked and says what it did on `out`.
pub async fn partner(exchange: &Exchange, command: OperatorCommand, out: &mut impl Write) -> Result<(), OperatorError> {
    match command {
        OperatorCommand::Add(parts) => enrol(exchange, card_of(exchange, &parts)?, parts.clock, out).await,
        OperatorCommand::Card { files, clock } => {
            // All are checked before the first one is enrolled.
            let cards: Vec<_> = files.iter().map(|file| card_in(exchange, file)).collect::<Result<_, _>>()?;
            for card in cards {
                enrol(exchange, card, clock, out).await?;
            }
            Ok(())
        }
        OperatorCommand::List => list(exchange, out).await,
        OperatorCommand::Show { code } => {
            let card = find(exchange, &code).await?.ok_or_else(|| OperatorError::Unknown(code.clone()))?;
            write!(out, "{}", described(&card)?)?;
            if let Some(present) = standing::suspensions(exchange).await?.get(&code) {
                writeln!(out, "suspended    since {:.0}: {}", present.since, present.reason.sentence())?;
            }
            if let Some(ListRecord::Found(files)) = operator::list_records(exchange).await?.get(&code) {
                writeln!(out, "lists        {}", files.join("\n             "))?;
            }
            Ok(())
        }
        OperatorCommand::WaiveLists { code, clock } => waive_lists(exchange, code, clock, out).await,
        OperatorCommand::Suspend { code, reason, how, clock } => {
            suspension::suspend(exchange, code, reason, (how, clock), out).await
        }
        OperatorCommand::Resume { code, how, clock } => suspension::resume(exchange, code, (how, clock), out).await,
        OperatorCommand::Remove { code, how, clock } => suspension::remove(exchange, code, (how, clock), out).await,
    }
}

/// Before anything is entered: an entry of a wrong instant would move the time of all servers, which never goes back. A command that is
/// repeated at every start of a machine, and changes nothing, is not asked.
async fn refuse_clock_ahead(exchange: &Exchange, word: ClockWord) -> Result<(), OperatorError> {
    match time::left_behind(exchange).await? {
        Some(last) if !word.clock_is_right => Err(OperatorError::ClockAhead { clock: exchange.clock.now(), last }),
        _ => Ok(()),
    }
}

async fn waive_lists(
    exchange: &Exchange,
    code: PartnerCode,
    clock: ClockWord,
    out: &mut impl Write,
) -> Result<(), OperatorError> {
    find(exchange, &code).await?.ok_or_else(|| OperatorError::Unknown(code.clone()))?;
    if operator::list_records(exchange).await?.get(&code) != Some(&ListRecord::Waived) {
        refuse_clock_ahead(exchange, clock).await?;
    }
    let Some(files) = operator::waive_lists(exchange, &code).await? else {
        return Ok(writeln!(out, "revocation lists of `{code}` are waived already: nothing changed")?);
    };
    writeln!(out, "certificates of `{code}` need no revocation list, unless there is a file of it in the folder")?;
    if !files.is_empty() {
        writeln!(out, "lists were found in `{}`", files.join("`, `"))?;
    }
    Ok(())
}

fn card_in(exchange: &Exchange, file: &Path) -> Result<PartnerCard, OperatorError> {
    let card = PartnerCard::from_json(&read(file)?)?;
    let checked = card.anchors.iter().map(|anchor| check_anchor(anchor.as_bytes(), exchange.clock.now()));
    let faults = (1..).zip(checked).filter_map(|(place, checked)| Some((place, checked.err()?)));
    let file = file.display();
    refuse(faults.map(|(place, fault)| format!("anchor {place} of the card `{file}` {fault}: {}", fault.help())))?;
    Ok(card)
}

fn card_of(exchange: &Exchange, parts: &AddPartnerArgs) -> Result<PartnerCard, OperatorError> {
    let (mut bundle, mut faults) = (Vec::new(), Vec::new());
    for file in &parts.anchors {
        match check_anchors(&read(file)?, exchange.clock.now()) {
            Ok(anchors) => bundle.extend(anchors.iter().flat_map(|anchor| pem(&anchor.der))),
            Err(found) => faults.extend(found.into_iter().map(|(place, fault)| {
                format!("certificate {place} of `{}` {fault}: {}", file.display(), fault.help())
            })),
        }
    }
    refuse(faults)?;
    let registrars: Result<BTreeSet<_>, _> = parts.registrars.iter().map(|text| registrar(text)).collect();
    Ok(PartnerCard::new(parts.code.clone(), &parts.name, &parts.zone, &bundle, registrars?)?)
}

/// Stores a card whose anchors were found fit, unless a server could not honour it together with the others.
async fn enrol(
    exchange: &Exchange,
    card: PartnerCard,
    clock: ClockWord,
    out: &mut impl Write,
) -> Result<(), OperatorError> {
    let cards = operator::partners(exchange).await?;
    let before = cards.iter().find(|(code, _)| *code == card.code).map(|(_, card)| card.clone());
    let others = cards.into_iter().map(|(_, card)| card).filter(|other| other.code != card.code);
    let all: Result<Vec<_>, _> = others.chain([card.clone()]).map(|card| trust_of(&card)).collect();
    let (_, faults) = Registry::build(1, all?);
    let own = faults.iter().filter(|fault| fault.partner() == Some(&card.code));
    refuse(own.map(|fault| format!("{fault}: {}", fault.help())))?;
    match &before {
        Some(before) if *before == card => {
            writeln!(out, "`{}` is enrolled with this very card: nothing changed", card.code)?;
        }
        Some(before) => {
            refuse_clock_ahead(exchange, clock).await?;
            operator::enrol(exchange, &card).await?;
            writeln!(out, "`{}` was replaced:\n{}", card.code, changes(before, &card)?)?;
        }
        None => {
            refuse_clock_ahead(exchange, clock).await?;
            operator::enrol(exchange, &card).await?;
            writeln!(out, "`{}` is enrolled", card.code)?;
        }
    }
    write!(out, "{}", described(&card)?)?;
    writeln!(
        out,
        "\nBefore anybody relies on it, have the partner's officials confirm the fingerprint by another channel."
    )?;
    Ok(())
}

async fn list(exchange: &Exchange, out: &mut impl Write) -> Result<(), OperatorError> {
    let cards = operator::partners(exchange).await?;
    let suspensions = standing::suspensions(exchange).await?;
    if cards.is_empty() {
        writeln!(out, "no partner is enrolled; see `entente-server partner add --help`")?;
    }
    for (code, card) in cards {
        let host = if code == exchange.host { "host" } else { "" };
        let (fingerprint, name, zone) = (card.fingerprint()?, &card.name, &card.zone);
        let aside = if suspensions.contains_key(&code) { ", suspended" } else { "" };
        writeln!(out, "{:8} {host:4} {fingerprint}  {name} ({zone}){aside}", code.as_str())?;
    }
    Ok(())
}

async fn find(exchange: &Exchange, code: &PartnerCode) -> Result<Option<PartnerCard>, OperatorError> {
    let cards = operator::partners(exchange).await?;
    Ok(cards.into_iter().find(|(found, _)| found == code).map(|(_, card)| card))
}

/// The card in words, its fingerprint in groups that can be read out over the telephone.
fn described(card: &PartnerCard) -> Result<String, OperatorError> {
    let mut text = format!("code         {}\nname         {}\nzone         {}\n", card.code, card.name, card.zone);
    for (subject, line) in anchors(card)? {
        writeln!(text, "anchor       {subject}\n             {line}").expect("a string grows");
    }
    for registrar in &card.registrars {
        writeln!(text, "registrar    {registrar}").expect("a string grows");
    }
    let [first, second] = card.spoken_fingerprint()?;
    writeln!(text, "fingerprint  {first}\n             {second}").expect("a string grows");
    Ok(text)
}

fn changes(before: &PartnerCard, after: &PartnerCard) -> Result<String, OperatorError> {
    let mut lines = Vec::new();
    for (what, old, new) in [("name", &before.name, &after.name), ("zone", &before.zone, &after.zone)] {
        if old != new {
            lines.push(format!("  {what}: `{old}` is now `{new}`"));
        }
    }
    let (old, new) = (anchors(before)?, anchors(after)?);
    lines.extend(
        old.iter().filter(|anchor| !new.contains(anchor)).map(|(name, key)| format!("  - anchor {name}, {key}")),
    );
    lines.extend(
        new.iter().filter(|anchor| !old.contains(anchor)).map(|(name, key)| format!("  + anchor {name}, {key}")),
    );
    lines.extend(before.registrars.difference(&after.registrars).map(|key| format!("  - registrar {key}")));
    lines.extend(after.registrars.difference(&before.registrars).map(|key| format!("  + registrar {key}")));
    Ok(lines.join("\n"))
}

/// Subject, and key with end of validity, of each anchor.
fn anchors(card: &PartnerCard) -> Result<Vec<(String, String)>, OperatorError> {
    let ders = card.anchors_der()?;
    let line = |der: Vec<u8>| match Anchor::read(der.into()) {
        Ok(anchor) => (anchor.subject, format!("until {}, key {}", anchor.not_after, anchor.spki_sha256)),
        Err(fault) => ("(unusable)".to_owned(), fault.to_string()),
    };
    Ok(ders.into_iter().map(line).collect())
}

fn trust_of(card: &PartnerCard) -> Result<PartnerTrust, OperatorError> {
    let anchors = card.anchors_der()?.into_iter().map(Into::into).collect();
    Ok(PartnerTrust {
        code: card.code.clone(),
        anchors,
        registrars: card.registrars.clone(),
        crls: Vec::new(),
        record: ListRecord::Never,
        suspension: None,
    })
}

fn registrar(text: &str) -> Result<Sha256, OperatorError> {
    if let Ok(digest) = text.parse() {
        return Ok(digest);
    }
    let bytes = read(Path::new(text))?;
    let certificate = CertificateDer::from_pem_slice(&bytes).unwrap_or_else(|_| CertificateDer::from(bytes));
    jws::spki_sha256(&certificate).map_err(|_| OperatorError::Registrar(text.to_owned()))
}

fn pem(der: &[u8]) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(der)).into_bytes()
}

fn read(file: &Path) -> Result<Vec<u8>, OperatorError> {
    std::fs::read(file).map_err(|error| OperatorError::Read { file: file.to_owned(), error })
}

fn refuse(faults: impl IntoIterator<Item = String>) -> Result<(), OperatorError> {
    let lines: Vec<_> = faults.into_iter().map(|fault| format!("  {fault}")).collect();
    if lines.is_empty() { Ok(()) } else { Err(OperatorError::Faults(lines.join("\n"))) }
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests {
    use super::*;
    use crate::{
        domain::ambient::SystemRng,
        http::{
            config::Config,
            serve,
            test_pki::{Ca, Calendar, day},
        },
        storage::partners::FoundLists,
    };
    use clap::Parser;
    use std::sync::Arc;
    use tempfile::TempDir;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: OperatorCommand,
    }

    struct Desk {
        folder: TempDir,
        exchange: Arc<Exchange>,
    }

    impl Desk {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name).display().to_string();
            let settings = [
                ("host", "USA".to_owned()),
                ("api.listen", "127.0.0.1:0".into()),
                ("api.certificate", at("none")),
                ("api.private_key", at("none")),
                ("database.url", format!("sqlite://{}", at("entente.db"))),
                ("blobs.folder", at("blobs")),
            ];
            let settings = settings.map(|(key, value)| (key.to_owned(), value));
            let config = Config::load(None, [], &settings).unwrap();
            let exchange = serve::open(&config, Calendar::at_day(0), Arc::new(SystemRng)).await.unwrap();
            Self { folder, exchange }
        }

        fn put(&self, name: &str, bytes: &[u8]) -> String {
            let path = self.folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.display().to_string()
        }

        /// Runs a command; its output, or what was wrong.
        async fn run(&self, words: &[&str]) -> Result<String, String> {
            let line = Line::try_parse_from([&["partner"], words].concat()).map_err(|error| error.to_string())?;
            let mut out = Vec::new();
            partner(&self.exchange, line.command, &mut out).await.map_err(|error| error.to_string())?;
            Ok(String::from_utf8(out).unwrap())
        }

        async fn add(&self, code: &str, name: &str, anchors: &[&str], registrar: &str) -> Result<String, String> {
            let words = [&["add", "--code", code, "--name", name, "--zone", "UTC", "--anchor"], anchors].concat();
            self.run(&[&words[..], &["--registrar", registrar]].concat()).await
        }
    }

    const REGISTRAR: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[tokio::test]
    async fn enrolled_partner_is_shown_with_its_fingerprint_and_a_change_is_told() {
        let desk = Desk::new().await;
        let (old, new) = (Ca::new("Root"), Ca::new("Root"));
        let (old, new) = (desk.put("old.der", &old.der), desk.put("new.pem", &pem(&new.der)));
        let said = desk.add("ISR", "Israel", &[&old], REGISTRAR).await.unwrap();
        assert!(said.starts_with("`ISR` is enrolled\n"), "{said}");
        let card = find(&desk.exchange, &"ISR".parse().unwrap()).await.unwrap().unwrap();
        let fingerprint = card.fingerprint().unwrap().to_string();
        let shown = desk.run(&["show", "ISR"]).await.unwrap();
        let digits: String = shown.split("fingerprint").nth(1).unwrap().split_whitespace().collect();
        assert_eq!(digits, fingerprint);
        assert!(desk.run(&["list"]).await.unwrap().contains(&fingerprint));

        let same = desk.add("ISR", "Israel", &[&old], REGISTRAR).await.unwrap();
        assert!(same.contains("nothing changed"), "{same}");
        let certificate = desk.put("registrar.pem", Ca::new("x").member("ISR:registrar").pem.as_bytes());
        let said = desk.add("ISR", "State of Israel", &[&new], &certificate).await.unwrap();
        for line in ["name: `Israel` is now `State of Israel`", "- anchor", "+ anchor", "- registrar", "+ registrar"] {
            assert!(said.contains(line), "{line} in {said}");
        }
    }

    #[tokio::test]
    async fn unfit_anchor_is_refused_with_its_reason_and_nothing_is_stored() {
        let desk = Desk::new().await;
        let expired = Ca::with("Old", |params| params.not_after = day(-1));
        let (expired, fit) = (desk.put("expired.pem", &pem(&expired.der)), desk.put("fit.der", &Ca::new("Fit").der));
        let leaf = desk.put("leaf.der", &Ca::new("Root").member("KOR:kim").der);
        let garbage = desk.put("garbage.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let error = desk.add("KOR", "Korea", &[&fit, &expired, &leaf, &garbage], REGISTRAR).await.unwrap_err();
        for part in ["expired.pem` expired at", "leaf.der` is not a CA certificate", "garbage.pem` is malformed"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("fit.der"), "{error}");
        assert!(desk.run(&["list"]).await.unwrap().contains("no partner is enrolled"));
    }

    #[tokio::test]
    async fn key_that_vouches_for_another_partner_is_refused() {
        let desk = Desk::new().await;
        let anchor = desk.put("ca.der", &Ca::new("Root").der);
        desk.add("ISR", "Israel", &[&anchor], REGISTRAR).await.unwrap();
        let error = desk.add("KOR", "Korea", &[&anchor], REGISTRAR).await.unwrap_err();
        assert!(error.contains("have an anchor with the same key"), "{error}");
        assert_eq!(desk.run(&["show", "KOR"]).await.unwrap_err(), "no partner `KOR` is enrolled");
    }

    #[tokio::test]
    async fn lists_are_waived_until_some_are_found_again() {
        let desk = Desk::new().await;
        let anchor = desk.put("ca.der", &Ca::new("Root").der);
        desk.add("ISR", "Israel", &[&anchor], REGISTRAR).await.unwrap();
        let said = desk.run(&["waive-lists", "ISR"]).await.unwrap();
        assert!(said.contains("need no revocation list") && !said.contains("were found"), "{said}");
        assert_eq!(desk.run(&["waive-lists", "KOR"]).await.unwrap_err(), "no partner `KOR` is enrolled");
        let files = ["ISR.pem".to_owned(), "ISR/b.crl".to_owned()];
        let found = |before| [FoundLists { partner: "ISR".parse().unwrap(), files: files.to_vec(), before }];
        operator::record_lists(&desk.exchange, &found(ListRecord::Never)).await.unwrap();
        assert!(!desk.run(&["show", "ISR"]).await.unwrap().contains("lists "), "the waiver came after they were found");
        operator::record_lists(&desk.exchange, &found(ListRecord::Waived)).await.unwrap();
        assert!(desk.run(&["show", "ISR"]).await.unwrap().contains("lists        ISR.pem\n             ISR/b.crl\n"));
        let generation = operator::trust_generation(&desk.exchange).await.unwrap();
        let said = desk.run(&["waive-lists", "ISR"]).await.unwrap();
        assert!(said.contains("need no revocation list") && said.contains("`ISR.pem`, `ISR/b.crl`"), "{said}");
        assert!(operator::trust_generation(&desk.exchange).await.unwrap() > generation, "a running server looks again");
        assert!(!desk.run(&["show", "ISR"]).await.unwrap().contains("lists "));
        assert!(desk.run(&["waive-lists", "ISR"]).await.unwrap().contains("nothing changed"));
    }

    #[tokio::test]
    async fn partner_is_suspended_and_resumed_with_a_word_that_stays_until_then() {
        let desk = Desk::new().await;
        let anchor = desk.put("ca.der", &Ca::new("Root").der);
        desk.add("ISR", "Israel", &[&anchor], REGISTRAR).await.unwrap();
        let generation = operator::trust_generation(&desk.exchange).await.unwrap();
        let suspend = ["suspend", "ISR", "--reason", "own_request"];
        assert!(desk.run(&suspend).await.is_err(), "it is a dry run or meant");
        assert!(desk.run(&["suspend", "ISR", "--reason", "dislike", "--yes"]).await.is_err());
        assert_eq!(
            desk.run(&["suspend", "KOR", "--reason", "own_request", "--yes"]).await.unwrap_err(),
            "no partner `KOR` is enrolled"
        );
        let said = desk.run(&[&suspend[..], &["--dry-run"]].concat()).await.unwrap();
        assert!(said.contains("0 members") && said.contains("nothing was changed"), "{said}");
        assert_eq!(operator::trust_generation(&desk.exchange).await.unwrap(), generation);
        let said = desk.run(&[&suspend[..], &["--yes"]].concat()).await.unwrap();
        assert!(said.contains("partner resume ISR --yes"), "{said}");
        assert!(operator::trust_generation(&desk.exchange).await.unwrap() > generation, "a running server looks again");
        assert!(desk.run(&["list"]).await.unwrap().contains(", suspended"));
        assert!(desk.run(&["show", "ISR"]).await.unwrap().contains("its own officials asked for it"));
        // Another card neither ends a suspension nor begins one.
        let next = desk.put("next.der", &Ca::new("Next").der);
        desk.add("ISR", "Israel", &[&next], REGISTRAR).await.unwrap();
        assert!(desk.run(&["list"]).await.unwrap().contains(", suspended"));
        desk.run(&["resume", "ISR", "--yes"]).await.unwrap();
        assert!(!desk.run(&["list"]).await.unwrap().contains(", suspended"));
        assert!(desk.run(&["resume", "ISR", "--yes"]).await.unwrap().contains("nothing changed"));
    }

    #[tokio::test]
    async fn card_of_a_partner_is_enrolled_as_it_is() {
        let desk = Desk::new().await;
        let registrars = || [REGISTRAR.parse().unwrap()].into();
        let ca = pem(&Ca::new("Root").der);
        let card = PartnerCard::new("ISR".parse().unwrap(), "Israel", "Asia/Jerusalem", &ca, registrars()).unwrap();
        let file = desk.put("card.json", &serde_json::to_vec_pretty(&card).unwrap());
        desk.run(&["card", &file]).await.unwrap();
        let found = find(&desk.exchange, &card.code).await.unwrap().unwrap();
        assert_eq!(found.fingerprint().unwrap(), card.fingerprint().unwrap());
        let expired = pem(&Ca::with("Old", |params| params.not_after = day(-1)).der);
        let card = PartnerCard::new("KOR".parse().unwrap(), "Korea", "Asia/Seoul", &expired, registrars()).unwrap();
        let file = desk.put("card.json", &card.canonical().unwrap());
        let other = pem(&Ca::new("Other").der);
        let other = PartnerCard::new("GBR".parse().unwrap(), "Britain", "Europe/London", &other, registrars()).unwrap();
        let fine = desk.put("other.json", &other.canonical().unwrap());
        let told = desk.run(&["card", &fine, &file]).await.unwrap_err();
        assert!(told.contains("anchor 1 of the card `") && told.contains("` expired at"), "{told}");
        assert!(find(&desk.exchange, &other.code).await.unwrap().is_none(), "with one card refused none is enrolled");
    }
}
