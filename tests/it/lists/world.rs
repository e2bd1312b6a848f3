//! Random worlds: partners, members of few organisations, calls in every phase, joint proposals in every status, and what
//! people have to do with them.

use super::policies;
use crate::harness::{
    many::{Call, Chance, Proposal, Rows, Scope, Still, id, index, reference, text},
    postgres::{Database, LIMITS},
    scratch::scratch,
};
use entente::{
    domain::{
        ambient::SystemRng,
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Sha256, Slug},
        member::CallRole,
    },
    policy::Engine,
    sealing::statement::Manifest,
    service::{
        Exchange, LongWorkQueues,
        appends::Appends,
        endings::SeenCertificates,
        feed::Feed,
        leftover_keys::LeftoverKeys,
        lists::KnownLists,
        marks,
        quotas::Quotas,
        rules::Rules,
        state::KnownCalls,
        time::{ExchangeTime, TOLERANCE},
        usage::Usage,
        visibility::ExchangeKey,
    },
    storage::{BlobEngine, BlobFolder, Blobs, Db, Spools, migrate},
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeSet, sync::Arc};
use tempfile::TempDir;

pub(super) const PARTNERS: [&str; 7] = ["USA", "ISR", "KOR", "GBR", "EU", "US", "FRA"];
pub(super) const TOPICS: [&str; 6] = ["ai", "a-i", "nuclear-a", "nuclear", "quantum-sensing", "x"];
/// One of them is a topic as well.
pub(super) const CAVEATS: [&str; 4] = ["no-contractors", "propin", "ai", "x"];
const ORGANISATIONS: [&str; 8] = ["Acme", " acme ", "ÉLAN Vital", "élan vital", "Institute", "Bureau", "x", ""];
const MEMBERS: usize = 4;
const PROPOSALS: u64 = 1_000;

/// The instant at which everything is asked.
pub(super) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A world that is not written down anywhere yet.
pub(super) struct World {
    rows: Rows,
    pub(super) engine: Arc<Engine>,
    pub(super) members: Vec<MemberId>,
    pub(super) calls: Vec<CallId>,
}

/// The world in one database.
pub(super) struct Ground {
    pub(super) name: &'static str,
    pub(super) exchange: Exchange,
    _folder: TempDir,
    _database: Option<Database>,
}

impl World {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let partners: Vec<PartnerCode> = PARTNERS.iter().map(|code| code.parse().unwrap()).collect();
        let mut rows = Rows::new();
        let mut members: Vec<MemberId> = Vec::new();
        for partner in &partners {
            rows.partner(partner);
            for number in 0..MEMBERS {
                let member: MemberId = format!("{partner}:m{number}").parse().unwrap();
                let roles = ["", "registrar", "program_officer registrar"][chance.below(3)];
                let organisation = *chance.pick(&ORGANISATIONS);
                rows.member(&member, organisation, roles);
                members.push(member);
            }
        }
        let mut programs: Vec<ProgramId> = Vec::new();
        for number in 1..=2 {
            let (program, lead) = (id("prog", number), chance.pick(&partners).clone());
            let participants = chance.some(&partners, 4);
            rows.program(program, &lead, &participants, &members[0]);
            programs.push(program);
        }
        let calls: Vec<CallId> = (1..=5).map(|number| id("call", number)).collect();
        for (at, call) in (1..).zip(&calls) {
            let baseline = 1 + u32::from(chance.percent(30));
            let around = |hours: i64| now() + SignedDuration::from_hours(hours);
            // Announced, open, in its grace, over; the last most often.
            let (opens, deadline) = [(5, 50), (-50, 5), (-50, 0), (-50, -1), (-50, -30), (-50, -30)][chance.below(6)];
            let eligible = chance.some(&partners, 5);
            let funders = chance.some(&partners, 2);
            rows.call(&Call {
                id: *call,
                program: *chance.pick(&programs),
                text: text(&eligible, &funders, around(opens), around(deadline), 7_200),
                version: 2,
                baseline,
                is_cancelled: chance.percent(10),
                by: &members[0],
            });
            for member in &members {
                for role in CallRole::ALL {
                    if chance.percent(if *role == CallRole::Reviewer { 25 } else { 10 }) {
                        rows.role(*call, member, role.as_str());
                    }
                }
            }
            // Moved to before, to just now and to after, and to within the grace period.
            for number in 1..=chance.below(10) {
                let scope = match chance.below(5) {
                    0 => Scope::Everyone,
                    1 | 2 => Scope::Partner(chance.pick(&partners).clone()),
                    _ => Scope::Proposal(id("prop", 5 * (chance.next() % (PROPOSALS / 5)) + at)),
                };
                let until = around([-1, 0, 2, -3][chance.below(4)]);
                rows.extension(*call, i64::try_from(number).unwrap(), &scope, until, &members[0]);
            }
        }
        let mut groups: Vec<BTreeSet<PartnerCode>> = Vec::new();
        for _ in 0..9 {
            let count = 1 + chance.below(3);
            groups.push(chance.some(&partners, count));
        }
        for number in 1..=PROPOSALS {
            // A proposal's own extension stands under its call.
            let call = calls[usize::try_from((number - 1) % 5).unwrap()];
            proposal(&mut rows, chance, number, call, &groups, &members);
        }
        let engine = loop {
            // What the validator finds fault with is no policy to be asked.
            if let Ok(engine) = policies::engine(chance) {
                break Arc::new(engine);
            }
        };
        Self { rows, engine, members, calls }
    }

    pub(super) async fn on_sqlite(&self) -> Ground {
        let folder = scratch();
        let url = format!("sqlite://{}/lists.db", folder.path().display());
        self.ground("SQLite", &url, folder, None).await
    }

    /// The world on each engine that there is.
    pub(super) async fn grounds(&self) -> Vec<Ground> {
        let mut grounds = vec![self.on_sqlite().await];
        if let Some(database) = Database::migrated().await {
            let url = database.url();
            grounds.push(self.ground("PostgreSQL", &url, scratch(), Some(database)).await);
        }
        grounds
    }

    async fn ground(&self, name: &'static str, url: &str, folder: TempDir, database: Option<Database>) -> Ground {
        let db = Db::open_with(url, LIMITS).await.unwrap();
        migrate::run(&db, now()).await.unwrap();
        self.rows.clone().write(&db).await;
        index(&db).await;
        let rng = Arc::new(SystemRng);
        let beside = BlobFolder::new(folder.path().join("blobs"), 0);
        let engine: Arc<dyn BlobEngine> = Arc::new(beside.clone());
        let mark = marks::settle(&db, &engine, &*rng, now()).await.unwrap();
        let exchange = Exchange {
            db,
            spools: Spools::new(beside, mark.clone()),
            blobs: Blobs::open(engine, mark, rng.clone()).await.unwrap(),
            rules: Rules::default(),
            time: Arc::new(ExchangeTime::new(Arc::new(Still(now())), TOLERANCE)),
            clock: Arc::new(Still(now())),
            rng,
            calls: KnownCalls::default(),
            lists: KnownLists::default(),
            leftover_keys: LeftoverKeys::default(),
            long_work: LongWorkQueues::default(),
            feed: Feed::default(),
            signer: ExchangeKey::new("".into(), "".into()),
            host: PARTNERS[0].parse().unwrap(),
            document_limit: 0,
            quotas: Quotas::default(),
            usage: Usage::default(),
            appends: Appends::default(),
            seen_certificates: SeenCertificates::default(),
        };
        Ground { name, exchange, _folder: folder, _database: database }
    }
}

fn proposal(
    rows: &mut Rows,
    chance: &mut Chance,
    number: u64,
    call: CallId,
    groups: &[BTreeSet<PartnerCode>],
    members: &[MemberId],
) {
    // Identifiers come from clients, so their order is not that of creation.
    let proposal: ProposalId = id("prop", number);
    let parties = chance.pick(groups).clone();
    let mut own = Vec::new();
    for party in &parties {
        let of: Vec<MemberId> = members.iter().filter(|member| member.partner() == party).cloned().collect();
        let count = 1 + chance.below(2);
        own.extend(chance.some(&of, count));
    }
    let topic = chance.percent(70).then(|| *chance.pick(&TOPICS));
    let created_at = now() - SignedDuration::from_millis(i64::try_from(chance.next() % 400).unwrap());
    rows.proposal(&Proposal { id: proposal, call, topic, members: &own, created_at, is_withdrawn: chance.percent(10) });
    // Of its own chance, so that what else is in the world does not depend on it.
    let mut moves = Chance::new(number);
    for member in &own {
        if moves.percent(20) {
            rows.kept_employer(proposal, member, moves.pick::<&str>(&ORGANISATIONS));
        }
    }
    for version in 1..=i64::try_from(chance.below(3)).unwrap() {
        let under = 1 + i64::try_from(chance.below(2)).unwrap();
        let committed = chance.percent(80);
        let manifest = Manifest {
            call,
            call_text_sha256: Sha256::of(b"a text"),
            proposal,
            reference: reference(1),
            version: u32::try_from(version).unwrap(),
            parties: parties.clone(),
            documents: Vec::new(),
            label: None,
        };
        let body = serde_json::to_string(&manifest).unwrap();
        rows.version(proposal, version, under, &body, committed, committed && chance.percent(75));
    }
    if chance.percent(25) {
        let everybody: Vec<PartnerCode> = PARTNERS.iter().map(|code| code.parse().unwrap()).collect();
        let (others, caveats) = (chance.below(7), chance.below(3));
        let others = chance.some(&everybody, others);
        rows.label(proposal, parties.union(&others), &chance.some(&CAVEATS, caveats));
    }
    for member in members {
        if chance.percent(12) {
            rows.declaration(proposal, member, chance.percent(40));
        }
        if chance.percent(8) {
            rows.assignment(proposal, member);
        }
        if chance.percent(5) {
            for revision in 1..=1 + i64::try_from(chance.below(2)).unwrap() {
                rows.review(proposal, member, revision, chance.percent(40));
            }
        }
    }
    if chance.percent(30) {
        rows.decision(proposal, chance.percent(60));
    }
}

/// A topic that filters can name.
pub(super) fn topic(chance: &mut Chance) -> Slug {
    chance.pick(&TOPICS).parse().unwrap()
}
