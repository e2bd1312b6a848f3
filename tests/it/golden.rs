//! What users read, as files that somebody who writes no programs can review: the help of every command, and a sentence of every refusal.
//!
//! `ENTENTE_BLESS=1` writes them again. Read a changed line before you accept it.

use clap::CommandFactory;
use entente::{
    cli::Cli,
    domain::{DailyQuota, Refusal, call::Phase},
    wire::problem::Kind,
};
use std::{fmt::Write as _, fs, path::Path};

/// The width of the terminal for which the help is written.
const WIDTH: usize = 100;

/// Compares with the file, or writes it.
fn agrees(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("ENTENTE_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = |(kept, now): &(&str, &str)| kept != now;
    let first = kept.lines().zip(text.lines()).find(differs);
    assert!(kept == text, "{name} differs, first in {first:?}; if it should, run with ENTENTE_BLESS=1");
}

#[test]
fn help_of_every_command() {
    fn walk(command: &clap::Command, path: &str, text: &mut String) {
        let path = format!("{path}{}", command.get_name());
        // Options that all commands have are listed once, with the program itself.
        let own = command.clone().mut_args(|argument| {
            let is_of_all = argument.is_global_set() && path.contains(' ');
            argument.hide(is_of_all)
        });
        let help = own.bin_name(&path).term_width(WIDTH).render_long_help().to_string();
        let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        write!(text, "# {path}\n\n{}\n\n\n", help.trim_end()).unwrap();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            walk(sub, &format!("{path} "), text);
        }
    }
    let mut command = Cli::command();
    command.build();
    let mut text = String::new();
    walk(&command, "", &mut text);
    agrees("help.txt", &text);
}

/// One of each, and a match that the compiler refuses when one is missing.
macro_rules! samples {
    ($($variant:ident { $($field:ident: $value:expr),* })*) => {
        fn samples() -> Vec<Refusal> {
            vec![$(Refusal::$variant { $($field: $value),* }),*]
        }

        fn is_sampled(refusal: &Refusal) {
            match refusal {
                $(Refusal::$variant { $($field: _),* } => {})*
            }
        }
    };
}

fn of<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const PROPOSAL: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
const EARLIER: &str = "2026-03-01T12:00:00Z";
const LATER: &str = "2026-03-04T12:00:00Z";
const DIGEST: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
const OTHER: &str = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9";

samples! {
    WrongPhase { phase: Phase::Review, needed: "a published call before its deadline" }
    QuotaReached { what: "versions of one proposal", limit: 200 }
    DailyQuotaReached { quota: DailyQuota::Calls, limit: 50, left: 0, again_at: of(LATER), now: of(EARLIER) }
    DeadlinePassed { deadline_at: of(EARLIER), arrived_at: of(LATER) }
    GracePassed { until: of(EARLIER), arrived_at: of(LATER) }
    NotCommitted { slot: of("work-plan") }
    StillSealed { until: of(LATER), now: of(EARLIER) }
    CallText { fault: "the deadline has already passed".into() }
    ExtensionBackwards { until: of(EARLIER), present: of(LATER) }
    ExtensionTooFar { until: of(LATER), bound: of(EARLIER) }
    ExtensionReliedOn { until: of(LATER), now: of(EARLIER) }
    ExtensionWithdrawn { number: 2 }
    ScheduleFixed { fault: "the deadline cannot move earlier".into() }
    NoTimeToSign { deadline_at: of(LATER), now: of(EARLIER) }
    FundersFixed { funders: "ISR, USA".into() }
    EligibleFixed { partners: "KOR".into() }
    VoidsDiffer { voids: 1, given: None }
    NotEligible { partner: of("KOR") }
    PartyRule { fault: "at least two partners".into() }
    UnknownTopic { topic: of("energy") }
    UnknownSlot { slot: of("annex") }
    MediaType { slot: of("work-plan"), allowed: "`application/pdf`".into(), given: "text/csv".into() }
    TooLarge { slot: of("work-plan"), limit: 20_000, size: 30_000 }
    ManifestMismatch { fault: "it is for another proposal or call".into() }
    Label { fault: "it leaves `KOR` out, which funds".into() }
    LabelTaken { expected: 2, given: 1 }
    SlotEmpty { slot: of("budget"), party: Some(of("ISR")) }
    AlreadySigned { manifest: of(DIGEST), partner: of("ISR") }
    VersionTaken { expected: 3, given: 2 }
    WrongStatus { status: "withdrawn".into(), needed: "one that is not withdrawn" }
    NotOfParty { member: of("ISR:avi"), partner: of("USA") }
    LastOfParty { member: of("ISR:avi"), partner: of("ISR") }
    StillCounted { member: of("ISR:avi"), deadline_at: of(EARLIER) }
    NotInvited { member: of("ISR:avi") }
    NeedsConsent { member: of("ISR:avi"), deadline_at: of(EARLIER) }
    RolesCombined { member: of("ISR:avi"), roles: "officer and reviewer".into() }
    Unsuitable { member: of("ISR:avi"), fault: "cannot take this part".into() }
    NoKeyCard { member: of("ISR:avi") }
    NotDeclared { member: of("ISR:avi"), proposal: of(PROPOSAL) }
    AlreadyDeclared { member: of("ISR:avi") }
    NoConflict { member: of("ISR:avi") }
    AlreadyAssigned { member: of("ISR:avi") }
    NotAssigned { member: of("ISR:avi") }
    AlreadyReviewed { member: of("ISR:avi") }
    NoReview { member: of("ISR:avi") }
    OtherVersion { given: of(DIGEST), standing: of(OTHER) }
    DecisionDiffers { outcome: "fund".into() }
    DecisionFinal {}
    AlreadyWished { partner: of("ISR") }
    NoDecision {}
    DecisionOpen { missing: "KOR".into() }
    NotFunder { partner: of("KOR") }
    Exists { what: "ISR".into() }
    Statement { fault: "it is for another call".into() }
    StaleKeyCard { given: 2, present: 3 }
    StillAdmitted { holder: of("ISR:avi") }
    AlreadyWrapped { holder: "ISR:avi".into() }
    WrappedOften { holder: "ISR:avi".into(), partner: of("USA"), most: 3 }
    LastKey { call: of(CALL) }
    WrapRefused { fault: "officer `ISR:avi` would hold no key to the call vault".into() }
    PolicyWaiting { version: 2 }
    PolicyOutdated { given: 2, expected: 3 }
    PolicySettled { version: 2, status: "withdrawn" }
    SecondOfficer { member: of("ISR:avi") }
    SignedGuardrails { member: of("USA:drafter"), version: 3 }
    NoticeTooShort { active_at: of(EARLIER), earliest: of(LATER) }
    PolicyInvalid { fault: "line 3: `resource.calls` is not an attribute".into() }
}

#[test]
fn sentence_of_every_refusal() {
    let mut text = String::new();
    for refusal in samples() {
        is_sampled(&refusal);
        let kind = Kind::from(&refusal);
        write!(text, "{} {}\n{}\n  {refusal}\n  -> {}\n\n", kind.status(), kind.slug(), kind.title(), kind.remedy())
            .unwrap();
    }
    agrees("refusals.txt", &text);
}
