//! Worlds that were made once and are copied for each test that begins with them. Making one takes everybody's first acts: their
//! key cards, their nations' policies. A copy is the same world at the same instant, served again.
//!
//! What is kept stays in memory, on PostgreSQL in a database of its own, until the tests end. No test may change it.

use super::postgres::{self, Database};
use entente::{
    demo::world::{DemoPlan, DemoWorld, example_policies},
    dev_pki::{DevPki, cast::DemoNation},
    domain::{
        ambient::{Clock, SystemRng},
        id::PartnerCode,
    },
    policy::{GUARDRAILS, Guardrails, PartnerRules},
    storage::PostgresLimits,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a world left when it stopped.
#[derive(Debug)]
pub(crate) struct KeptWorld {
    plan: DemoPlan,
    pki: Arc<DevPki>,
    folder: Vec<Kept>,
    /// Its rows, on PostgreSQL.
    pub(super) database: Option<Database>,
    /// In use as long as there can be copies, so that no copy reads the shipped texts again.
    _policies: (Arc<Guardrails>, Vec<Arc<PartnerRules>>),
}

/// A folder, or a file with its bytes.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    mode: u32,
    bytes: Option<Vec<u8>>,
}

impl KeptWorld {
    /// Stops a world and keeps what it leaves in its folder and in its database.
    pub(super) async fn of(world: DemoWorld, database: Option<Database>) -> Self {
        let (plan, pki) = (world.plan.clone(), Arc::clone(&world.pki));
        let rules = |(code, text): (&PartnerCode, &String)| PartnerRules::shared(code.as_str(), code, text).unwrap();
        let policies =
            (Guardrails::shared("guardrails", GUARDRAILS).unwrap(), plan.policies.iter().map(rules).collect());
        world.stop().await;
        let mut folder = Vec::new();
        read(&plan.dir, Path::new(""), &mut folder);
        Self { plan, pki, folder, database, _policies: policies }
    }

    /// The same world in another folder, and on a copy of its database if it has one, which is waited for so long.
    pub(super) async fn copy(
        &self,
        dir: PathBuf,
        (database_url, database_limits): (String, PostgresLimits),
        settings: &[(&str, &str)],
        clock: Arc<dyn Clock>,
    ) -> DemoWorld {
        for Kept { path, mode, bytes } in &self.folder {
            let path = dir.join(path);
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::create_dir_all(&path).unwrap(),
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        let settings = self.plan.settings.iter().cloned().chain(owned(settings)).collect();
        let plan = DemoPlan { dir, database_url, settings, database_limits, ..self.plan.clone() };
        DemoWorld::resume(plan, Arc::clone(&self.pki), clock, Arc::new(SystemRng)).await.unwrap()
    }
}

/// A world of these nations with the shipped policies; the first hosts.
pub(super) fn plan(dir: PathBuf, database_url: String, nations: &'static [DemoNation]) -> DemoPlan {
    DemoPlan {
        dir,
        database_url,
        policies: example_policies(nations),
        host: nations[0].code,
        nations,
        settings: owned(UNHURRIED),
        database_limits: postgres::LIMITS,
    }
}

/// Limits that a machine does not reach that is busy with other things.
pub(super) const UNHURRIED: &[(&str, &str)] = &[
    ("limits.handshake_seconds", "60"),
    ("limits.header_seconds", "60"),
    ("limits.idle_seconds", "300"),
    ("limits.stall_seconds", "300"),
];

pub(super) fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Everything below `root`, folders before what is in them.
fn read(root: &Path, below: &Path, found: &mut Vec<Kept>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let (path, metadata) = (below.join(entry.file_name()), entry.metadata().unwrap());
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            found.push(Kept { path: path.clone(), mode, bytes: None });
            read(root, &path, found);
        } else {
            found.push(Kept { bytes: Some(fs::read(entry.path()).unwrap()), path, mode });
        }
    }
}
