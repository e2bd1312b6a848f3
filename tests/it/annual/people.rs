//! Sixty people of four nations, and how many commands each of those who are counted types.

use crate::harness::{
    process::{ended, entente},
    stage::id,
    world::TestWorld,
};
use entente::{
    dev_pki::cast::{Cast, DemoNation, GBR, ISR, KOR, USA},
    domain::member::PartnerRole,
};
use std::{
    fmt,
    sync::{Mutex, OnceLock},
};

/// What the fifteen of each nation are, by their handles.
const HANDLES: [&str; 15] = [
    "officer", "decider", "observer", "judge1", "judge2", "judge3", "judge4", "firm1", "firm2", "firm3", "firm4",
    "firm5", "firm6", "firm7", "firm8",
];

/// Four nations of fifteen members each; registrars and policy officers come by themselves.
pub(super) fn nations() -> &'static [DemoNation] {
    static NATIONS: OnceLock<Vec<DemoNation>> = OnceLock::new();
    NATIONS.get_or_init(|| {
        let people = |nation: DemoNation| {
            let text = |text: String| -> &'static str { text.leak() };
            let cast = HANDLES.map(|handle| Cast {
                member: text(format!("{}:{handle}", nation.code)),
                name: text(format!("{} {handle}", nation.name)),
                organisation: text(format!("House of {handle}, {}", nation.name)),
                job: "",
                roles: if handle == "officer" { &[PartnerRole::ProgramOfficer] } else { &[] },
            });
            DemoNation { cast: Vec::from(cast).leak(), ..nation }
        };
        [USA, ISR, KOR, GBR].map(people).into()
    })
}

/// What somebody does in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Office {
    Officer,
    Reviewer,
    Decider,
    Submitter,
    Counterpart,
}

impl Office {
    /// So many commands may it take.
    fn at_most(self) -> usize {
        match self {
            Self::Officer => 25,
            Self::Reviewer => 6,
            Self::Decider => 4,
            Self::Submitter => 8,
            Self::Counterpart => 3,
        }
    }
}

impl fmt::Display for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Officer => "officer",
            Self::Reviewer => "reviewer",
            Self::Decider => "decider",
            Self::Submitter => "submitter",
            Self::Counterpart => "counterpart",
        })
    }
}

/// What somebody typed in one call.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) office: Office,
    member: String,
    call: &'static str,
    typed: Vec<String>,
}

/// A person whose commands are counted.
pub(super) struct Counted<'w> {
    world: &'w TestWorld,
    tally: Mutex<Tally>,
}

impl<'w> Counted<'w> {
    pub(super) fn new(world: &'w TestWorld, office: Office, member: &str, call: &'static str) -> Self {
        let tally = Tally { office, member: member.to_owned(), call, typed: Vec::new() };
        Self { world, tally: Mutex::new(tally) }
    }

    pub(super) fn member(&self) -> String {
        self.tally.lock().unwrap().member.clone()
    }

    /// Types one command; what it answered.
    pub(super) async fn types(&self, line: &str) -> String {
        let words = line.split(' ').filter(|word| !word.starts_with('-'));
        let named: Vec<&str> = words.take(2).collect();
        self.tally.lock().unwrap().typed.push(named.join(" "));
        runs(self.world, &self.member(), line).await
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }
}

/// Runs a command that nobody types.
pub(super) async fn runs(world: &TestWorld, member: &str, line: &str) -> String {
    let home = world.home(&id(member)).display().to_string();
    let words: Vec<&str> = ["--home", &home].into_iter().chain(line.split(' ')).collect();
    let output = ended(entente(&words)).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{member}: {line}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Prints the table, and holds each person to what their office may take.
pub(super) fn settle(mut tallies: Vec<Tally>) {
    tallies.sort_by_key(|tally| (tally.office, tally.call, tally.member.clone()));
    println!("{:<12}{:<13}{:<9}{:>8}{:>9}  typed", "office", "member", "call", "commands", "at most");
    for Tally { office, member, call, typed } in &tallies {
        let (count, most) = (typed.len(), office.at_most());
        println!("{office:<12}{member:<13}{call:<9}{count:>8}{most:>9}  {}", typed.join(", "));
    }
    for Tally { office, member, call, typed } in &tallies {
        assert!(typed.len() <= office.at_most(), "{member} types {} commands under {call}: {typed:?}", typed.len());
    }
    for office in [Office::Officer, Office::Reviewer, Office::Decider, Office::Submitter, Office::Counterpart] {
        assert!(tallies.iter().any(|tally| tally.office == office), "nobody was counted as {office}");
    }
}
