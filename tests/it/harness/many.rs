//! Rows in numbers no test could make by acting: written to the tables as the program would have, and indexed for lists.
//!
//! Chance comes from a seed alone, so that whatever was found can be found again.

use entente::{
    domain::{
        ambient::Clock,
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Sha256},
        name::folded,
        reference::{CallCode, Reference},
    },
    storage::{Arg, Db, Row, Sql, WriteTx, args, visible},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering},
};

/// Numbers that look random and follow from a seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// True this many times in a hundred.
    pub(crate) fn percent(&mut self, of: usize) -> bool {
        self.below(100) < of
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// So many different ones, or all.
    pub(crate) fn some<T: Clone + Ord>(&mut self, of: &[T], count: usize) -> BTreeSet<T> {
        let mut found = BTreeSet::new();
        while found.len() < count.min(of.len()) {
            found.insert(self.pick(of).clone());
        }
        found
    }
}

/// Stands at one instant.
#[derive(Debug)]
pub(crate) struct Still(pub(crate) Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The tables in the order in which they refer to each other, with the columns that are given.
const TABLES: &[(&str, &[&str])] = &[
    ("partners", &["partner", "name", "zone", "card", "card_sha256", "enrolled_at", "changed_at"]),
    (
        "members",
        &[
            "member",
            "partner",
            "name",
            "organisation",
            "roles",
            "key_card",
            "serial",
            "status",
            "valid_from",
            "valid_until",
            "published_at",
        ],
    ),
    ("programs", &["program_id", "name", "lead", "created_by", "created_at"]),
    ("program_partners", &["program_id", "partner"]),
    (
        "calls",
        &[
            "call_id",
            "program_id",
            "text_json",
            "text_sha256",
            "version",
            "baseline",
            "revision",
            "created_by",
            "created_at",
            "cancelled_at",
        ],
    ),
    ("call_roles", &["call_id", "member", "role", "granted_by", "granted_at"]),
    (
        "call_extensions",
        &["call_id", "number", "scope", "partner", "proposal_id", "until_at", "reason", "made_by", "made_at"],
    ),
    ("proposals", &["proposal_id", "call_id", "number", "topic", "created_by", "created_at", "withdrawn_at"]),
    ("proposal_members", &["proposal_id", "member", "partner", "added_at"]),
    (
        "manifests",
        &["proposal_id", "version", "call_version", "sha256", "body", "created_at", "committed_at", "complete_at"],
    ),
    ("label_partners", &["proposal_id", "partner"]),
    ("label_caveats", &["proposal_id", "caveat"]),
    ("declarations", &["proposal_id", "member", "conflict", "ground", "declared_at"]),
    ("assignments", &["proposal_id", "reviewer", "assigned_by", "assigned_at"]),
    (
        "reviews",
        &[
            "review_id",
            "proposal_id",
            "reviewer",
            "revision",
            "manifest_sha256",
            "statement",
            "ciphertext",
            "submitted_at",
            "reopened_at",
        ],
    ),
    ("decisions", &["decision_id", "proposal_id", "revision", "outcome", "manifest_sha256", "proposed_at", "final_at"]),
];

/// Rows of one statement; SQLite takes some 32,000 values.
const AT_ONCE: usize = 1_000;

/// Rows waiting to be written.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    waiting: Vec<Vec<Arg>>,
    /// Written once everything else is there.
    kept_employers: Vec<Vec<Arg>>,
    reviews: u32,
    decisions: u32,
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self {
            waiting: TABLES.iter().map(|_| Vec::new()).collect(),
            kept_employers: Vec::new(),
            reviews: 0,
            decisions: 0,
        }
    }

    fn add(&mut self, table: &str, row: Vec<Arg>) {
        let place = TABLES.iter().position(|(name, _)| *name == table).unwrap();
        assert_eq!(row.len(), TABLES[place].1.len(), "{table}");
        self.waiting[place].extend(row);
    }

    /// Writes all that waits.
    pub(crate) async fn write(&mut self, db: &Db) {
        let mut tx = db.write().await.unwrap();
        for ((table, columns), waiting) in TABLES.iter().zip(&mut self.waiting) {
            let mut waiting = std::mem::take(waiting);
            if *table == "proposals" && !waiting.is_empty() {
                number(&mut tx, &mut waiting, columns.len()).await;
            }
            for rows in waiting.chunks(columns.len() * AT_ONCE) {
                let marks = (1..=rows.len()).map(|n| format!("${n}")).collect::<Vec<_>>();
                let marks: Vec<_> = marks.chunks(columns.len()).map(|row| format!("({})", row.join(", "))).collect();
                let sql = format!("INSERT INTO {table} ({}) VALUES {}", columns.join(", "), marks.join(", "));
                tx.execute(Sql::built(sql), rows.to_vec()).await.unwrap();
            }
        }
        for values in std::mem::take(&mut self.kept_employers) {
            let sql = "UPDATE proposal_members SET deadline_organisation = $3, deadline_organisation_folded = $4 \
                       WHERE proposal_id = $1 AND member = $2";
            tx.execute(sql, values).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    pub(crate) fn partner(&mut self, code: &PartnerCode) {
        self.add("partners", args![code, "A nation", "UTC", "{}", "", 0_i64, 0_i64]);
    }

    pub(crate) fn member(&mut self, member: &MemberId, organisation: &str, roles: &str) {
        let forever = 32_503_680_000_000_i64;
        self.add(
            "members",
            args![
                member,
                member.partner(),
                "Somebody",
                organisation,
                roles,
                "",
                1_i64,
                "active",
                0_i64,
                forever,
                0_i64
            ],
        );
    }

    pub(crate) fn program(
        &mut self,
        id: ProgramId,
        lead: &PartnerCode,
        partners: &BTreeSet<PartnerCode>,
        by: &MemberId,
    ) {
        self.add("programs", args![id, "A program", lead, by, 0_i64]);
        for partner in partners {
            self.add("program_partners", args![id, partner]);
        }
    }

    pub(crate) fn call(&mut self, call: &Call<'_>) {
        let sha256 = Sha256::of(b"a text");
        let (version, cancelled) = (i64::from(call.version), call.is_cancelled.then_some(1_i64));
        let (text, baseline) = (call.text.to_string(), i64::from(call.baseline));
        self.add(
            "calls",
            args![call.id, call.program, text, sha256, version, baseline, 1_i64, call.by, 0_i64, cancelled],
        );
    }

    pub(crate) fn role(&mut self, call: CallId, member: &MemberId, role: &str) {
        self.add("call_roles", args![call, member, role, member, 0_i64]);
    }

    pub(crate) fn extension(&mut self, call: CallId, number: i64, scope: &Scope, until: Timestamp, by: &MemberId) {
        let (word, partner, proposal) = match scope {
            Scope::Everyone => ("everyone", None, None),
            Scope::Partner(partner) => ("partner", Some(partner), None),
            Scope::Proposal(proposal) => ("proposal", None, Some(*proposal)),
        };
        self.add("call_extensions", args![call, number, word, partner, proposal, until, "a reason", by, 0_i64]);
    }

    pub(crate) fn proposal(&mut self, proposal: &Proposal<'_>) {
        // The digits of its reference; the check digit follows from the call's code, once that is written.
        static NUMBERS: AtomicU32 = AtomicU32::new(1);
        let id = proposal.id;
        let withdrawn = proposal.is_withdrawn.then_some(1_i64);
        let by = &proposal.members[0];
        let digits = format!("{:08}", NUMBERS.fetch_add(1, Ordering::Relaxed));
        self.add("proposals", args![id, proposal.call, digits, proposal.topic, by, proposal.created_at, withdrawn]);
        for member in proposal.members {
            self.add("proposal_members", args![id, member, member.partner(), 0_i64]);
        }
    }

    /// Where a member of the proposal worked at its deadline, whatever their newest key card says.
    pub(crate) fn kept_employer(&mut self, id: ProposalId, member: &MemberId, organisation: &str) {
        self.kept_employers.push(args![id, member, organisation, folded(organisation)]);
    }

    /// A version under a text of the call, signed by all if `committed`, and complete.
    pub(crate) fn version(
        &mut self,
        id: ProposalId,
        number: i64,
        under: i64,
        body: &str,
        committed: bool,
        complete: bool,
    ) {
        let (committed, complete) = (committed.then_some(1_i64), complete.then_some(1_i64));
        let sha256 = Sha256::of(format!("{id} {number}").as_bytes());
        self.add("manifests", args![id, number, under, sha256, body, 0_i64, committed, complete]);
    }

    /// A label in force.
    pub(crate) fn label<'a>(
        &mut self,
        id: ProposalId,
        nations: impl IntoIterator<Item = &'a PartnerCode>,
        caveats: &BTreeSet<&str>,
    ) {
        for partner in nations {
            self.add("label_partners", args![id, partner]);
        }
        for caveat in caveats {
            self.add("label_caveats", args![id, caveat]);
        }
    }

    pub(crate) fn declaration(&mut self, id: ProposalId, member: &MemberId, conflict: bool) {
        self.add("declarations", args![id, member, conflict, None::<String>, 0_i64]);
    }

    pub(crate) fn assignment(&mut self, id: ProposalId, reviewer: &MemberId) {
        self.add("assignments", args![id, reviewer, reviewer, 0_i64]);
    }

    pub(crate) fn review(&mut self, id: ProposalId, reviewer: &MemberId, revision: i64, is_reopened: bool) {
        self.reviews += 1;
        let review = format!("rev_{:026}", self.reviews);
        let (sha256, reopened) = (Sha256::of(b"a version"), is_reopened.then_some(1_i64));
        self.add("reviews", args![review, id, reviewer, revision, sha256, "", vec![0_u8], 0_i64, reopened]);
    }

    pub(crate) fn decision(&mut self, id: ProposalId, is_final: bool) {
        self.decisions += 1;
        let decision = format!("dec_{:026}", self.decisions);
        let (sha256, final_at) = (Sha256::of(b"a version"), is_final.then_some(1_i64));
        self.add("decisions", args![decision, id, 1_i64, "fund", sha256, 0_i64, final_at]);
    }
}

/// A call to be written.
pub(crate) struct Call<'a> {
    pub(crate) id: CallId,
    pub(crate) program: ProgramId,
    pub(crate) text: Value,
    pub(crate) version: u32,
    pub(crate) baseline: u32,
    pub(crate) is_cancelled: bool,
    pub(crate) by: &'a MemberId,
}

/// For whom a deadline was moved.
pub(crate) enum Scope {
    Everyone,
    Partner(PartnerCode),
    Proposal(ProposalId),
}

/// A proposal to be written.
pub(crate) struct Proposal<'a> {
    pub(crate) id: ProposalId,
    pub(crate) call: CallId,
    pub(crate) topic: Option<&'a str>,
    pub(crate) members: &'a [MemberId],
    pub(crate) created_at: Timestamp,
    pub(crate) is_withdrawn: bool,
}

/// The code of every call: calls that are written as rows need no code of their own.
const CODE: &str = "MANY";

/// A reference under that code.
pub(crate) fn reference(number: u32) -> Reference {
    Reference::new(&CODE.parse().unwrap(), &format!("{number:08}"))
}

/// Adds the check digits to the numbers of proposals that are about to be written, each by the code of its call.
async fn number(tx: &mut WriteTx, proposals: &mut [Arg], width: usize) {
    let calls = tx.fetch_all("SELECT call_id, text_json FROM calls", args![]).await.unwrap();
    let code = |row: &Row| {
        let text: Value = serde_json::from_str(&row.text("text_json").unwrap()).unwrap();
        (row.text("call_id").unwrap(), text["code"].as_str().unwrap().parse::<CallCode>().unwrap())
    };
    let codes: BTreeMap<String, CallCode> = calls.iter().map(code).collect();
    for row in proposals.chunks_mut(width) {
        let (Arg::Text(Some(call)), Arg::Text(Some(digits))) = (&row[1], &row[2]) else { panic!("{row:?}") };
        row[2] = Arg::text(Reference::new(&codes[call], digits).number());
    }
}

/// The text of a call, with these instants in seconds.
pub(crate) fn text(
    eligible: &BTreeSet<PartnerCode>,
    funders: &BTreeSet<PartnerCode>,
    opens_at: Timestamp,
    deadline_at: Timestamp,
    grace_seconds: u32,
) -> Value {
    let codes = |set: &BTreeSet<PartnerCode>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
    let due = deadline_at.checked_add(jiff::SignedDuration::from_hours(1000)).unwrap();
    json!({
        "code": CODE, "title": "A call", "text": "", "topics": [], "slots": [],
        "criteria": [{ "name": "merit", "title": "Merit", "max": 5.0, "step": 0.5 }],
        "eligible": codes(eligible), "funders": codes(funders), "parties": { "at_least": 1, "at_most": 3 },
        "schedule": {
            "opens_at": opens_at.to_string(), "deadline_at": deadline_at.to_string(), "grace_seconds": grace_seconds,
            "reviews_due_at": due.to_string(),
        },
    })
}

/// An identifier that is a number.
pub(crate) fn id<T: std::str::FromStr>(prefix: &str, number: u64) -> T {
    let text = format!("{prefix}_{number:026}");
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no identifier"))
}

/// Makes lists know of all that was written.
pub(crate) async fn index(db: &Db) {
    visible::reindex(db).await.unwrap();
}
