//! What an exchange holds, counted from beneath: a refusal must leave every count as it was.

use super::{stage::Stage, world::TestWorld};
use entente::{
    client::{ClientError, ExitClass},
    storage::{
        Sql, args,
        entries::{self, EntryRow},
    },
};
use reqwest::RequestBuilder;
use std::{collections::BTreeMap, path::Path};

const TABLES: &[&str] = &[
    "partners",
    "members",
    "policy_versions",
    "member_certificates",
    "member_recipients",
    "key_cards",
    "programs",
    "program_partners",
    "calls",
    "call_texts",
    "call_roles",
    "call_extensions",
    "proposals",
    "proposal_parties",
    "proposal_members",
    "party_invitations",
    "manifests",
    "manifest_signatures",
    "label_partners",
    "label_caveats",
    "label_statements",
    "label_signatures",
    "vaults",
    "wrapped_keys",
    "documents",
    "announced_bytes",
    "uploads",
    "declarations",
    "assignments",
    "declined_assignments",
    "reviews",
    "ranking_lines",
    "decisions",
    "decision_signatures",
    "letters",
    "withdrawal_wishes",
    "idempotency_keys",
];

/// Rows by table, ciphertexts in the folder, and the acts that the log records. Reads leave entries too, those of what was
/// fetched, and are not counted: a client looks before it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Census {
    rows: BTreeMap<&'static str, u64>,
    ciphertexts: usize,
    acts: usize,
}

impl TestWorld {
    /// Counts everything.
    pub(crate) async fn census(&self) -> Census {
        let mut rows = BTreeMap::new();
        let mut tx = self.server.exchange.db.read().await.unwrap();
        for table in TABLES {
            let count = Sql::built(format!("SELECT COUNT(*) AS n FROM {table}"));
            rows.insert(*table, tx.fetch_one(count, args![]).await.unwrap().count("n").unwrap());
        }
        drop(tx);
        let acts = self.log().await.iter().filter(|entry| is_act(entry)).count();
        Census { rows, ciphertexts: files(&self.plan.dir.join("blobs")).len(), acts }
    }

    /// The whole log.
    pub(crate) async fn log(&self) -> Vec<EntryRow> {
        let mut tx = self.server.exchange.db.read().await.unwrap();
        let mut log: Vec<EntryRow> = Vec::new();
        loop {
            let mut page = entries::page(&mut tx, log.last().map_or(0, |entry| entry.seq), &[], 500).await.unwrap().0;
            entries::add_payloads(&mut tx, &mut page).await.unwrap();
            if page.is_empty() {
                return log;
            }
            log.extend(page);
        }
    }
}

impl Stage {
    /// What must be refused by the exchange with this slug, and leave nothing.
    pub(crate) fn refuses<T>(
        &self,
        slug: &str,
        attempt: impl Future<Output = Result<T, ClientError>>,
    ) -> impl Future<Output = ()> {
        let attempt = Box::pin(attempt);
        async move {
            let before = self.census().await;
            match attempt.await {
                Ok(_) => panic!("`{slug}` was expected, and it succeeded"),
                Err(error) => assert_eq!(error.slug(), Some(slug), "{error:?}"),
            }
            assert_eq!(self.census().await, before, "`{slug}` left something behind");
        }
    }

    /// The same of a request put together by hand; also the status.
    pub(crate) async fn refuses_raw(&self, status: u16, slug: &str, request: RequestBuilder) {
        let before = self.census().await;
        let response = request.send().await.unwrap();
        let found = response.status().as_u16();
        let text = response.text().await.unwrap();
        let problem: entente::wire::problem::Problem = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        assert_eq!((found, problem.slug()), (status, slug), "{text}");
        assert_eq!(self.census().await, before, "`{slug}` left something behind");
    }

    /// What the member's own client must refuse to do, whatever the exchange says.
    pub(crate) fn declines<T>(
        &self,
        class: ExitClass,
        saying: &str,
        attempt: impl Future<Output = Result<T, ClientError>>,
    ) -> impl Future<Output = ()> {
        let attempt = Box::pin(attempt);
        async move {
            let before = self.census().await;
            match attempt.await {
                Ok(_) => panic!("the client was expected to refuse ({saying}), and did it"),
                Err(error) => {
                    assert_eq!(error.class(), class, "{error:?}");
                    assert!(error.to_string().contains(saying), "{error}");
                }
            }
            assert_eq!(self.census().await, before, "the client wrote something all the same");
        }
    }
}

/// Whether an entry records a change, not a look at something sealed.
pub(crate) fn is_act(entry: &EntryRow) -> bool {
    !entry.kind.as_str().ends_with(".fetched")
}

/// Every file under a folder, but for the one by which a server tries it, which comes and goes.
pub(crate) fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().is_none_or(|name| name != ".entente-probe") {
            found.push(path);
        }
    }
    found
}
