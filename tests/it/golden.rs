//! What users read, as files that somebody who writes no programs can review: the help of every command, a sentence of every refusal,
//! and one of every other problem and error.
//!
//! `ENTENTE_BLESS=1` writes them again. Read a changed line before you accept it.

use axum::{body::to_bytes, response::IntoResponse};
use clap::{Command, CommandFactory};
use entente::{
    cli::{Cli, output::Screen},
    client::ClientError,
    domain::{
        DailyQuota, Refusal,
        call::Phase,
        suspension::{Suspension, SuspensionReason},
        text::LimitNoun,
    },
    http::{
        arguments::Arguments,
        refusal::{CertificateRefusal, EdgeRefusal, Shared, Spent},
    },
    sealing::signer::SignerError,
    service::{Answer, ServiceError, time::ClockFault},
    storage::StoreError,
    wire::problem::{Kind, LineFault, Problem},
};
use jiff::SignedDuration;
use std::{fmt::Write as _, fs, path::Path, time::Duration};

/// The width of the terminal for which the help is written.
const WIDTH: usize = 80;

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

/// The help of a program and of each command below it.
fn help(mut command: Command) -> String {
    fn walk(command: &Command, path: &str, text: &mut String) {
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
    command.build();
    let mut text = String::new();
    walk(&command, "", &mut text);
    text
}

#[test]
fn help_of_every_command() {
    agrees("help.txt", &help(Cli::command()));
}

#[test]
fn help_of_every_command_of_the_server() {
    agrees("server-help.txt", &help(Arguments::command()));
}

/// A list with one of each, which does not compile when a variant is missing.
macro_rules! samples {
    ($list:ident of $kind:ident {
        $($variant:ident $(( $($value:expr),* ))? $({ $($field:ident: $content:expr),* })?)*
    }) => {
        fn $list() -> Vec<$kind> {
            fn is_sampled(sample: &$kind) {
                match sample {
                    $($kind::$variant { .. })|* => {}
                }
            }
            let samples = vec![$($kind::$variant $(( $($value),* ))? $({ $($field: $content),* })?),*];
            samples.iter().for_each(is_sampled);
            samples
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

samples! { refusals of Refusal {
    WrongPhase { phase: Phase::Review, needed: "a published call before its deadline" }
    QuotaReached { what: LimitNoun::new("version", "versions", "of one proposal"), limit: 200 }
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
    NotEligible { partner: of("KOR"), choices: "ISR, USA".into() }
    PartyRule { fault: "at least two partners".into() }
    UnknownTopic { topic: of("energy"), choices: "sensing, robotics, water".into() }
    UnknownSlot { slot: of("annex"), choices: "summary, work-plan".into() }
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
    AssignmentReplaced { member: of("ISR:avi") }
    NotAssigned { member: of("ISR:avi") }
    AlreadyReviewed { member: of("ISR:avi") }
    NoReview { member: of("ISR:avi") }
    OtherVersion { given: of(DIGEST), standing: of(OTHER) }
    DecisionDiffers { outcome: "fund".into() }
    CallUnfinished {}
    ReopenedLately { until: of(LATER) }
    DecisionFinal {}
    AlreadyWished { partner: of("ISR") }
    NoDecision {}
    DecisionOpen { missing: "KOR".into() }
    NotFunder { partner: of("KOR") }
    Exists { what: "ISR".into() }
    Statement { fault: "it is for another call".into() }
    StaleKeyCard { given: 2, present: 3 }
    MemberCertificate { fault: "the certificate of `ISR:avi`, or an authority above it, ends on 2026-03-01T12:00:00Z, before the key card, on 2026-03-04T12:00:00Z".into() }
    OfficeDropped { member: of("ISR:avi"), roles: "`registrar`, `custodian`".into() }
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
} }

samples! { answers_of_the_service of ServiceError {
    Hidden
    Denied("guardrails: only officers of the call may do this".into())
    Repeated(Box::new(Answer::json(200, &())))
    Refused(Refusal::DecisionFinal {})
    Malformed("`deadline_at` is not an instant".into())
    NotSealed("its header has no recipient".into())
    NotAsAnnounced("size")
    TooLarge { limit: 20_000 }
    Interrupted
    OutOfRange { size: 20_000 }
    Damaged
    NotAMember
    CertificateRefused("the key card in force no longer names this certificate".into())
    PreconditionRequired
    PreconditionFailed { current: "\"v3\"".into() }
    IdempotencyKeyReused
    Lines(vec![LineFault { line: 2, problem: "already-assigned".into(), detail: "`ISR:avi` is already assigned".into() }])
    BadCursor
    Policies("policy `ISR/embargo` cannot be evaluated".into())
    CannotSign("the signing key failed: no answer".into())
    Clock(ClockFault::Behind(SignedDuration::from_secs(90)))
    OtherOffset { at: 1_048_576 }
    UploadBusy
    Store(StoreError::NoSuchBlob("01J9ZQ4N6M8V7X5T3R2P1K0HGF".into()))
} }

samples! { refusals_of_the_edge of EdgeRefusal {
    CertificateRefused(CertificateRefusal::Revoked)
    CertificateRequired
    PartnerSuspended { partner: of("KOR"), suspension: SUSPENDED }
    HeadersTooLarge { limit: 32_768 }
    Overloaded
    OverloadedPartner { what: Shared::Requests, limit: 512 }
    TooManyRequests { limit: 64 }
    TooManyBodies { limit: 64_000_000 }
    TooManyDownloads { limit: 8 }
    TooManyWaits { limit: 8 }
    TooManyReads(SPENT)
    TooManyActs(SPENT)
    TooManyActsOfPartner(SPENT)
    AnswersWaiting { limit: 64_000_000 }
    BodyTooSlow
    Internal
} }

samples! { refusals_of_certificates of CertificateRefusal {
    UnknownIssuer
    BadSignature
    Malformed("its encoding is wrong")
    Expired
    NotYetValid
    Revoked
    RevocationUnknown
    RevocationListExpired
    RevocationListForeign
    NoCrlSign
    AnchorExpired
    PathTooLong
    NotAuthority
    CriticalExtension("2.5.29.36".into())
    NameConstraint("DNS name")
    NoPolicy
    OtherPartnersAnchor { other: of("KOR") }
    IsAuthority
    NoClientAuth
    NoDigitalSignature
    ClaimsOtherPartner { anchor: of("ISR"), claimed: of("USA") }
    SeveralMembers
    MalformedMember
    Other
} }

samples! { errors_of_the_client of ClientError {
    Problem { problem: Box::new(Problem::from(&Refusal::DecisionFinal {})), request_id: Some("7f3a".into()) }
    Unverified { what: "the statement is signed by a key of no key card".into(), help: "tell the call's officers".into() }
    Transport { what: "the connection broke".into(), help: "try again".into() }
    Usage { what: "`work-plan` is not a slot of this call".into(), help: "`entente call show` lists them".into() }
    NotShown { what: "no key to the panel vault is wrapped to you".into(), help: "ask an officer for one".into() }
    NothingNamed { what: "no proposal `BIRD26-48179` is shown to you".into(), help: "compare it with what you were told".into() }
    Local { what: "cannot read `identity.key`".into(), help: "check that the file is there and yours".into() }
    NotSigned(SignerError::OtherKey)
} }

samples! { errors_of_signers of SignerError {
    Absent("no card is in the reader".into())
    Refused("the PIN is wrong, 2 tries are left".into())
    OtherKey
    Failed("the helper program ended".into())
} }

const SUSPENDED: Suspension =
    Suspension { since: jiff::Timestamp::constant(1_772_366_400, 0), reason: SuspensionReason::KeysInDoubt };

const SPENT: Spent = Spent { per_minute: 60, at_once: 600, window: 600, wait: Duration::from_secs(1) };

/// As the command line shows it.
fn shown(message: &str, help: &str) -> String {
    Screen::text_at(WIDTH, |screen| screen.error(message, &[], Some(help)))
}

#[test]
fn sentence_of_every_refusal() {
    let mut text = String::new();
    for refusal in refusals() {
        let kind = Kind::from(&refusal);
        let shown = shown(&refusal.to_string(), kind.remedy());
        write!(text, "{} {}\n{}\n{shown}\n", kind.status(), kind.slug(), kind.title()).unwrap();
    }
    agrees("refusals.txt", &text);
}

#[tokio::test]
async fn sentence_of_every_other_problem_and_error() {
    let mut text = String::new();
    // The edge's own and a certificate's are problems too, with a remedy that is closer to the case.
    let edge = refusals_of_the_edge().into_iter().map(IntoResponse::into_response);
    let certificates = refusals_of_certificates().into_iter().map(EdgeRefusal::CertificateRefused);
    let certificates = certificates.map(IntoResponse::into_response);
    let service = answers_of_the_service().into_iter().map(IntoResponse::into_response);
    for (title, answers) in [
        ("The service", service.collect::<Vec<_>>()),
        ("The edge", edge.collect()),
        ("Certificates", certificates.collect()),
    ] {
        write!(text, "# {title}\n\n").unwrap();
        for answer in answers {
            // One that was done before is answered as it was then.
            if answer.headers().get("content-type").is_none_or(|media| media != "application/problem+json") {
                continue;
            }
            let body = to_bytes(answer.into_body(), 65_536).await.unwrap();
            let problem: Problem = serde_json::from_slice(&body).unwrap();
            let Problem { status, title, detail, remedy, .. } = &problem;
            write!(text, "{status} {}\n{title}\n{}\n", problem.slug(), shown(detail, remedy)).unwrap();
        }
    }
    text.push_str("# The client\n\n");
    let signers = errors_of_signers().into_iter().map(ClientError::from);
    for error in errors_of_the_client().into_iter().chain(signers) {
        write!(text, "exit code {}\n{}\n", error.class().code(), shown(&error.to_string(), error.help())).unwrap();
    }
    agrees("problems.txt", &text);
}
