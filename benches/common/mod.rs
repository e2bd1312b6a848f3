//! What the benchmarks of lists and of previews have in common: who takes part, and an exchange over rows that were made.

use crate::many::Still;
use entente::{
    domain::{
        ambient::SystemRng,
        id::{MemberId, PartnerCode},
    },
    policy::{Engine, Guardrails, PartnerRules},
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
    storage::{BlobEngine, BlobFolder, Blobs, Db, Spools, args},
};
use jiff::Timestamp;
use std::{fs, path::Path, sync::Arc};

pub(crate) const PARTNERS: [&str; 15] =
    ["USA", "ISR", "KOR", "GBR", "EU", "CAN", "AUS", "NZL", "JPN", "FRA", "DEU", "NOR", "SWE", "NLD", "ITA"];
/// These release to any panel member; the others to assigned reviewers, officers and deciders.
pub(crate) const OPEN: [&str; 2] = ["GBR", "NLD"];

pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn member(partner: usize, number: usize) -> MemberId {
    format!("{}:m{number}", PARTNERS[partner]).parse().unwrap()
}

/// An exchange over a database that is full already.
pub(crate) async fn exchange(url: &str, db: Db, folder: &Path, host: &PartnerCode) -> Exchange {
    db.keep_statistics().await.unwrap();
    // What PostgreSQL does by itself, if it is let.
    if url.starts_with("postgres") {
        let mut tx = db.write().await.unwrap();
        tx.execute("ANALYZE", args![]).await.unwrap();
        tx.commit().await.unwrap();
    }
    let rng = Arc::new(SystemRng);
    // A folder of ciphertext belongs to one database.
    let of_it = if url.starts_with("postgres") { "blobs-postgres" } else { "blobs-sqlite" };
    let beside = BlobFolder::new(folder.join(of_it), 0);
    let engine: Arc<dyn BlobEngine> = Arc::new(beside.clone());
    let mark = marks::settle(&db, &engine, &*rng, now()).await.unwrap();
    Exchange {
        spools: Spools::new(beside, mark.clone()),
        blobs: Blobs::open(engine, mark, rng.clone()).await.unwrap(),
        rules: Rules::default(),
        db,
        time: Arc::new(ExchangeTime::new(Arc::new(Still(now())), TOLERANCE)),
        clock: Arc::new(Still(now())),
        rng,
        calls: KnownCalls::default(),
        lists: KnownLists::default(),
        leftover_keys: LeftoverKeys::default(),
        long_work: LongWorkQueues::default(),
        feed: Feed::default(),
        signer: ExchangeKey::new("".into(), "".into()),
        host: host.clone(),
        document_limit: 0,
        quotas: Quotas::default(),
        usage: Usage::default(),
        appends: Appends::default(),
        seen_certificates: SeenCertificates::default(),
    }
}

/// Each partner with the policies of Israel (assigned reviewers alone) or of the United Kingdom (the panel).
pub(crate) fn policies() -> Arc<Engine> {
    let partners = PARTNERS.map(|code| Arc::new(rules(code, if OPEN.contains(&code) { "GBR" } else { "ISR" })));
    Arc::new(Engine::new(Arc::new(Guardrails::built_in()), partners))
}

/// The policies that are shipped for one partner, as another's.
pub(crate) fn rules(code: &str, of: &str) -> PartnerRules {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/partners");
    let text = fs::read_to_string(shipped.join(format!("{of}.cedar"))).unwrap();
    let text = text.replace(&format!("\"{of}\""), &format!("\"{code}\""));
    PartnerRules::parse(code, &code.parse().unwrap(), &text).unwrap()
}
