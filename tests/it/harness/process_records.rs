//! Looks into the database and the folder of an exchange from outside, with queries of its own, to say whether anything in
//! there is half done. Trusts nothing of the storage layer.

use super::process::Site;
use entente::domain::id::Sha256;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::PathBuf,
    str::FromStr,
};

/// A second pair of eyes on an exchange's records.
#[derive(Debug)]
pub(crate) struct Records {
    connection: Engine,
    blobs: PathBuf,
    /// Documents whose bytes were read and found right.
    checked: HashSet<String>,
}

#[derive(Debug)]
enum Engine {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Entries of the log by kind.
pub(crate) type Kinds = BTreeMap<String, u64>;

/// What must never be found, and what it would be.
const HALF_DONE: &[(&str, &str)] = &[
    (
        "a version without a signature",
        "SELECT COUNT(*) FROM manifests m WHERE NOT EXISTS (SELECT 1 FROM manifest_signatures s \
         WHERE s.proposal_id = m.proposal_id AND s.version = m.version)",
    ),
    (
        "a version committed before every party signed, or signed by every party and not committed",
        "SELECT COUNT(*) FROM manifests m WHERE (m.committed_at IS NOT NULL) <> (\
         (SELECT COUNT(*) FROM manifest_signatures s WHERE s.proposal_id = m.proposal_id AND s.version = m.version) = \
         (SELECT COUNT(*) FROM proposal_parties p WHERE p.proposal_id = m.proposal_id))",
    ),
    (
        "a complete version that is not committed",
        "SELECT COUNT(*) FROM manifests WHERE complete_at IS NOT NULL AND committed_at IS NULL",
    ),
    (
        "a proposal without its parties",
        "SELECT COUNT(*) FROM proposals p WHERE (SELECT COUNT(*) FROM proposal_parties m \
         WHERE m.proposal_id = p.proposal_id) < 2",
    ),
    (
        "somebody who accepted and is no member, or is one and has not accepted",
        "SELECT COUNT(*) FROM party_invitations i WHERE (i.acceptance IS NOT NULL) <> EXISTS \
         (SELECT 1 FROM proposal_members m WHERE m.proposal_id = i.proposal_id AND m.member = i.member)",
    ),
    (
        "a proposal without its vaults",
        "SELECT COUNT(*) FROM proposals p WHERE (SELECT COUNT(*) FROM vaults v WHERE v.proposal_id = p.proposal_id \
         AND v.kind IN ('panel', 'parties', 'staff')) < 3",
    ),
    (
        "a vault that nobody can open",
        "SELECT COUNT(*) FROM vaults v WHERE v.proposal_id IS NOT NULL AND (SELECT COUNT(*) FROM wrapped_keys k \
         WHERE k.vault_id = v.vault_id) < 2",
    ),
    (
        "two documents in one slot",
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM documents WHERE removed_at IS NULL \
         GROUP BY proposal_id, slot, COALESCE(party, '') HAVING COUNT(*) > 1) doubles",
    ),
    ("a blob that two documents share", "SELECT COUNT(*) - COUNT(DISTINCT blob_key) FROM documents"),
    ("a gap in the log", "SELECT COALESCE(MAX(seq), 0) - COUNT(*) FROM log_entries"),
    (
        "a published call without its text",
        "SELECT COUNT(*) FROM calls c WHERE c.version > 0 AND NOT EXISTS (SELECT 1 FROM call_texts t \
         WHERE t.call_id = c.call_id AND t.version = c.version)",
    ),
];

/// Rows and the entries that report them: as many of the one as of the other.
const TOLD: &[(&str, &str)] = &[
    ("proposal.created", "SELECT COUNT(*) FROM proposals"),
    ("document.stored", "SELECT COUNT(*) FROM documents"),
    ("manifest.signed", "SELECT COUNT(*) FROM manifest_signatures"),
    ("proposal.submitted", "SELECT COUNT(*) FROM manifests WHERE complete_at IS NOT NULL"),
    ("vault.created", "SELECT COUNT(*) FROM vaults"),
    ("key.wrapped", "SELECT COUNT(*) FROM wrapped_keys"),
    ("call.drafted", "SELECT COUNT(*) FROM calls"),
    ("call.published", "SELECT COUNT(*) FROM calls WHERE version > 0"),
];

impl Records {
    pub(crate) async fn open(site: &Site) -> Self {
        let url = site.database_url();
        let connection = if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).unwrap().read_only(true);
            Engine::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
        } else {
            Engine::Postgres(PgConnection::connect(url).await.unwrap())
        };
        Self { connection, blobs: site.path("blobs").join("blobs"), checked: HashSet::new() }
    }

    /// Requires that nothing is half done; how many blobs no row refers to.
    pub(crate) async fn check(&mut self) -> u64 {
        for (fault, sql) in HALF_DONE {
            assert_eq!(self.number(sql).await, 0, "there is {fault}");
        }
        let kinds = self.kinds().await;
        for (kind, sql) in TOLD {
            let (rows, told) = (self.number(sql).await, kinds.get(*kind).copied().unwrap_or_default());
            assert_eq!(rows, i64::try_from(told).unwrap(), "rows against entries `{kind}`");
        }
        if matches!(self.connection, Engine::Sqlite(_)) {
            let verdict = self.rows("PRAGMA integrity_check").await;
            assert_eq!(verdict, [["ok"]], "the database is damaged");
            assert!(self.rows("PRAGMA foreign_key_check").await.is_empty(), "a row refers to one that is not there");
        }
        self.check_manifests().await;
        self.check_blobs().await
    }

    /// How many entries of each kind the log has.
    pub(crate) async fn kinds(&mut self) -> Kinds {
        let rows = self.rows("SELECT kind, CAST(COUNT(*) AS TEXT) FROM log_entries GROUP BY kind").await;
        rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
    }

    /// How many answers are kept for repeated requests.
    pub(crate) async fn answers(&mut self) -> i64 {
        self.number("SELECT COUNT(*) FROM idempotency_keys").await
    }

    /// Every manifest has the digest it is known by, and what a complete one names is here.
    async fn check_manifests(&mut self) {
        let sql =
            "SELECT proposal_id, sha256, body, CASE WHEN complete_at IS NULL THEN '' ELSE 'yes' END FROM manifests";
        let manifests = self.rows(sql).await;
        let held = self.rows("SELECT proposal_id, slot, COALESCE(party, ''), sha256 FROM documents").await;
        let held: BTreeSet<Vec<String>> = held.into_iter().collect();
        for manifest in manifests {
            let [proposal, sha256, body, complete] = manifest.as_slice() else { panic!("{manifest:?}") };
            assert_eq!(Sha256::of(body.as_bytes()).to_string(), *sha256, "a manifest of {proposal} is damaged");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            for document in body["documents"].as_array().unwrap().iter().filter(|_| complete == "yes") {
                let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
                let wanted = vec![proposal.clone(), text("slot"), text("party"), text("sha256")];
                assert!(held.contains(&wanted), "a complete version names a document that is not here: {wanted:?}");
            }
        }
    }

    /// Every document has its bytes, and they are those it says; the log reports each once.
    async fn check_blobs(&mut self) -> u64 {
        let documents = self.rows("SELECT document_id, blob_key, sha256, CAST(size AS TEXT) FROM documents").await;
        for document in &documents {
            let [id, key, sha256, size] = document.as_slice() else { panic!("{document:?}") };
            if self.checked.contains(id) {
                continue;
            }
            let bytes = fs::read(self.blobs.join(&key[..2]).join(key));
            let bytes = bytes.unwrap_or_else(|error| panic!("document {id} has no bytes: {error}"));
            assert_eq!(
                (Sha256::of(&bytes).to_string(), bytes.len().to_string()),
                (sha256.clone(), size.clone()),
                "{id}"
            );
            self.checked.insert(id.clone());
        }
        let told = self.rows("SELECT payload FROM log_entries WHERE kind = 'document.stored'").await;
        let told: Vec<String> = told
            .iter()
            .map(|row| {
                serde_json::from_str::<serde_json::Value>(&row[0]).unwrap()["document"].as_str().unwrap().to_owned()
            })
            .collect();
        let (unique, ids): (BTreeSet<_>, BTreeSet<_>) =
            (told.iter().collect(), documents.iter().map(|document| &document[0]).collect());
        assert!(unique.len() == told.len() && unique == ids, "each document is reported once");
        let keys: HashSet<&String> = documents.iter().map(|document| &document[1]).collect();
        let folders = fs::read_dir(&self.blobs).into_iter().flatten().map(|folder| folder.unwrap().path());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !keys.contains(name)).count() as u64
    }

    async fn number(&mut self, sql: &str) -> i64 {
        let counted = format!("SELECT CAST(({sql}) AS TEXT)");
        self.rows(&counted).await[0][0].parse().unwrap()
    }

    /// Rows whose columns are all text.
    async fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let query = AssertSqlSafe(sql.to_owned());
        match &mut self.connection {
            Engine::Sqlite(connection) => {
                let rows = sqlx::query(query).fetch_all(connection).await.unwrap();
                rows.iter().map(|row| (0..row.len()).map(|at| row.get(at)).collect()).collect()
            }
            Engine::Postgres(connection) => {
                let rows = sqlx::query(query).fetch_all(connection).await.unwrap();
                rows.iter().map(|row| (0..row.len()).map(|at| row.get(at)).collect()).collect()
            }
        }
    }
}
