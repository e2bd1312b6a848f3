//! `entente-server --check`: what a start would stumble over, found without starting. Nothing is made, migrated or written; a port is
//! opened and closed again.

use super::{
    config::{Config, ConfigFault, DatabaseKind, folder_of},
    trust::{PartnerTrust, Trust, TrustFault},
};
use crate::{
    domain::{ambient::Clock, text::counted},
    sealing::card::PartnerCard,
    service::{marks, visibility::ExchangeKey},
    storage::{
        StoreError,
        backup::refuse_half_restored,
        blob_engine::ask,
        db::copy::Serving,
        inspect::{self, FoundDatabase},
        mark::DatabaseMark,
        migrate,
        partners::{ListRecord, PartnerRow},
    },
};
use rustix::fs::{Access, access};
use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpListener;

/// What a check came to.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Why a start would fail, or serve less than it is to.
    pub faults: Vec<ConfigFault>,
    /// What a start would do or leave aside, and what is no fault.
    pub notes: Vec<String>,
}

impl CheckReport {
    fn fault(&mut self, key: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(ConfigFault { key, message: message.into(), help: help.into() });
    }
}

/// Looks at everything that a start needs. `variables` are the names in the environment.
pub async fn check(config: &Config, variables: impl Iterator<Item = String>, clock: Arc<dyn Clock>) -> CheckReport {
    let mut checked = CheckReport::default();
    for path in config.missing_folders() {
        checked.notes.push(format!("`{}` is not there and will be made on start", path.display()));
    }
    folders(config, &mut checked);
    if let Err(error) = refuse_half_restored(&config.blob_engine()).await {
        checked.fault(config.blob_setting(), error.to_string(), error.help());
    }
    let partners = database(config, &mut checked).await;
    if let Some(partners) = partners {
        trust(config, partners, clock, &mut checked).await;
    }
    ports(config, &mut checked).await;
    let signer = ExchangeKey::new(config.api.certificate.clone(), config.api.private_key.clone());
    if let Err(cause) = signer.check().await {
        checked.notes.push(format!("visibility manifests cannot be signed here, all else works: {cause}"));
    }
    for name in variables.filter(|name| is_unused(name)) {
        checked.notes.push(format!("`{name}` in the environment is not a setting of the server and is ignored"));
    }
    checked
}

/// Whether a variable looks like one of ours and is not read: settings have `__` after their section.
fn is_unused(name: &str) -> bool {
    name.starts_with("ENTENTE_") && !name.contains("__") && name != "ENTENTE_HOST" && name != "ENTENTE_CONFIG"
}

/// Folders and files that are there must be open to this account, and had better be its own.
fn folders(config: &Config, checked: &mut CheckReport) {
    let engine = config.blob_engine();
    let mut places: Vec<(&'static str, PathBuf)> = Vec::new();
    if let Some(blobs) = engine.folder() {
        for folder in [blobs.to_owned(), blobs.join("blobs"), blobs.join("quarantine")] {
            places.extend(folder.exists().then_some(("blobs.folder", folder)));
        }
        if !blobs.exists() {
            places.push(("blobs.folder", existing(blobs)));
        }
    }
    places.extend(config.blobs.spool_folder.as_deref().map(|folder| ("blobs.spool_folder", existing(folder))));
    if let Some(DatabaseKind::Sqlite(file)) = config.database.url.kind() {
        places.push(("database.url", existing(folder_of(&file))));
        for ending in ["", "-wal", "-shm", ".server", ".opening"] {
            let mut path = file.clone();
            path.as_mut_os_string().push(ending);
            places.extend(path.exists().then_some(("database.url", path)));
        }
    }
    for (key, path) in places {
        let wanted = if path.is_dir() {
            Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK
        } else {
            Access::READ_OK | Access::WRITE_OK
        };
        let owner = other_owner(&path);
        if let Err(error) = access(&path, wanted) {
            let whose = owner
                .map_or(String::new(), |(owner, me)| format!("; it belongs to account {owner}, this is account {me}"));
            checked.fault(
                key,
                format!("`{}` cannot be written: {}{whose}", path.display(), std::io::Error::from(error)),
                "give it to the account that runs the server, and run the check as that account",
            );
        } else if let Some((owner, me)) = owner {
            let message = format!("`{}` belongs to account {owner}, and this is account {me}", path.display());
            if me == 0 {
                let help = "run server and commands as that account: it cannot open what another account makes there";
                checked.fault(key, message, help);
            } else {
                checked.notes.push(format!("{message}: it can be written, but files that {owner} makes may be closed"));
            }
        }
    }
}

/// The owner of something and this account, if they differ.
fn other_owner(path: &Path) -> Option<(u32, u32)> {
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).ok()?);
    let me = rustix::process::geteuid().as_raw();
    (owner != me).then_some((owner, me))
}

/// The path itself, or the nearest folder above it that is there.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new(".")).to_owned()
}

/// The partners of the database with what is on record of their revocation lists, if it can be read.
async fn database(config: &Config, checked: &mut CheckReport) -> Option<Vec<(PartnerRow, ListRecord)>> {
    let url = config.database.url.reveal();
    let shown = config.database.url.place();
    match Serving::is_taken(url) {
        Ok(Some(process)) => checked.fault(
            "database.url",
            format!("another server runs on `{shown}`, process {process}"),
            "stop it before the next one starts; a SQLite file is for one server",
        ),
        Ok(None) => {}
        Err(error) => checked.fault("database.url", format!("`{shown}`: {}", whole(&error)), "see the cause"),
    }
    match inspect::inspect(url).await {
        Ok(FoundDatabase::Nothing) => {
            checked.notes.push(format!("the database `{shown}` is empty and gets its tables on start"));
            common_mark(config, None, checked).await;
            None
        }
        Ok(FoundDatabase::Strange(tables)) => {
            checked.fault(
                "database.url",
                format!("`{shown}` holds {} of another program", counted(tables, "table", "tables")),
                "name a database that the exchange has for itself",
            );
            None
        }
        Ok(FoundDatabase::Exchange { schema, partners, mut lists, mark }) => {
            let waiting = migrate::ALL.iter().filter(|step| step.version > schema).count();
            if waiting > 0 {
                let waiting = counted(waiting, "migration runs", "migrations run");
                checked.notes.push(format!("{waiting} on start, from schema {schema}: back up before"));
            }
            common_mark(config, mark, checked).await;
            let with_lists = |row: PartnerRow| {
                let record = lists.remove(&row.partner).unwrap_or_default();
                (row, record)
            };
            Some(partners.into_iter().map(with_lists).collect())
        }
        Err(error) => {
            let help = match &error {
                StoreError::NewerSchema { .. } => "start the program that made it, or a newer one",
                StoreError::Corrupt { .. } => "restore it from a backup, and keep the damaged file for analysis",
                StoreError::Unfit(_) => "the message says what to do",
                _ => "see that it runs, and that address, account and password are right",
            };
            checked.fault("database.url", format!("`{shown}`: {}", whole(&error)), help);
            None
        }
    }
}

/// Database and place of documents must be known to belong together.
async fn common_mark(config: &Config, database: Option<DatabaseMark>, checked: &mut CheckReport) {
    let documents = config.blob_engine();
    match ask(&documents, |place| place.mark()).await {
        Ok(found) => {
            if let Err(fault) = marks::compare(database, found) {
                let (place, database) = (documents.describe(), config.database.url.place());
                let what = format!("{place} is not known to belong to the database `{database}`: {fault}");
                checked.fault(config.blob_setting(), what, fault.help());
            }
        }
        Err(error) => {
            let what = format!("{}: {}", documents.describe(), whole(&error));
            checked.fault(config.blob_setting(), what, "see the cause");
        }
    }
}

/// Partners, their anchors and revocation lists, as a start would take them.
async fn trust(
    config: &Config,
    partners: Vec<(PartnerRow, ListRecord)>,
    clock: Arc<dyn Clock>,
    checked: &mut CheckReport,
) {
    if partners.is_empty() {
        checked
            .notes
            .push("no partner is enrolled, so nobody can connect; see `entente-server partner add --help`".into());
    } else if partners.iter().all(|(row, _)| row.partner != config.host) {
        checked.fault(
            "host",
            format!("`{}` is not enrolled as a partner", config.host),
            "correct the code, or enrol the host with `entente-server partner add`",
        );
    }
    let mut cards = Vec::new();
    for (row, record) in partners {
        let card = PartnerCard::from_json(row.card.as_bytes());
        match card.and_then(|card| Ok((card.anchors_der()?, card.registrars))) {
            Ok((anchors, registrars)) => cards.push(PartnerTrust {
                code: row.partner,
                anchors: anchors.into_iter().map(Into::into).collect(),
                registrars,
                crls: Vec::new(),
                record,
                suspension: row.suspension,
            }),
            Err(error) => checked.fault(
                "database.url",
                format!("the card of `{}`: {error}", row.partner),
                "enrol the partner again",
            ),
        }
    }
    let source = move || {
        let cards = cards.clone();
        async move { Ok(cards) }
    };
    match Trust::start(clock, config.trust.crl_folder.clone(), source).await {
        Ok((trust, learnt)) => {
            let now = trust.clock().now();
            let registry = trust.registry();
            for fault in learnt.faults {
                // An anchor that has ended beside its successor is as it should be until the next card.
                let goes_on = |partner| registry.anchor_expiries(now).any(|(code, end)| code == partner && now <= end);
                if matches!(&fault, TrustFault::AnchorExpired { partner, .. } if goes_on(partner)) {
                    checked.notes.push(fault.to_string());
                    continue;
                }
                checked.fault("trust.crl_folder", fault.to_string(), fault.help());
            }
        }
        Err(error) => checked.fault("trust.crl_folder", whole(&error), "let the account that runs the server read it"),
    }
}

async fn ports(config: &Config, checked: &mut CheckReport) {
    let listeners: [(&'static str, SocketAddr); 2] =
        [("api.listen", config.api.listen), ("admin.listen", config.admin.listen)];
    // A start has them at the same time, and one may be in the other's way.
    let mut held = Vec::new();
    for (key, address) in listeners {
        let error = match TcpListener::bind(address).await {
            Ok(listener) => {
                held.push(listener);
                continue;
            }
            Err(error) => error,
        };
        let has_port = |listener: &TcpListener| listener.local_addr().is_ok_and(|own| own.port() == address.port());
        let help = match error.kind() {
            std::io::ErrorKind::AddrInUse if held.iter().any(has_port) => {
                "give `api.listen` and `admin.listen` a port each"
            }
            std::io::ErrorKind::AddrInUse => "stop what listens there, or choose another port",
            std::io::ErrorKind::PermissionDenied => "choose a port above 1023, or allow the account to use lower ones",
            _ => "name an address of this machine",
        };
        checked.fault(key, format!("cannot listen on `{address}`: {error}"), help);
    }
}

/// An error with its causes.
#[must_use]
pub fn whole(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors quote their cause themselves.
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}
