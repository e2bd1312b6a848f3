//! What the operator decides: the server's settings, from a file, then the environment, then flags.
//!
//! An unknown key is refused with its full path, because a misspelt limit that is silently ignored is no limit. Nothing
//! here opens a socket or a database; [`Config::validate`] looks at what the settings point to and reports every fault at
//! once. The database URL may hold a password and is never shown.

use super::tls::{CertificateFiles, ServerCertificate};
use crate::{
    domain::id::PartnerCode,
    service::quotas::Quotas,
    storage::{BlobEngine, BlobFolder, PostgresLimits, Spools, mark::Mark},
};
use config::{ConfigError as Cause, FileFormat};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

mod limits;

pub use limits::Limits;

/// All settings of a server. Relative paths have been resolved against the folder of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The partner that operates this host.
    #[serde(deserialize_with = "from_text")]
    pub host: PartnerCode,
    pub api: ApiConfig,
    #[serde(default)]
    pub admin: AdminConfig,
    pub database: DatabaseConfig,
    pub blobs: BlobsConfig,
    #[serde(default)]
    pub trust: TrustFolders,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub quotas: Quotas,
    #[serde(default)]
    pub log: LogConfig,
}

/// `[api]`: the mutual-TLS listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// PEM file with the server's certificate, the leaf first, then its intermediates.
    pub certificate: PathBuf,
    /// PEM file with the private key of that leaf.
    pub private_key: PathBuf,
}

/// `[admin]`: health, readiness and metrics, in the clear, so on a loopback address unless the operator says that another is meant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Everybody who reaches the address may read what is there.
    #[serde(default)]
    pub beyond_loopback: bool,
}

impl AdminConfig {
    /// Whether the listener may have its address.
    pub(super) fn is_allowed(&self) -> bool {
        self.beyond_loopback || self.listen.ip().is_loopback()
    }
}

/// `[database]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    pub url: DatabaseUrl,
    /// How long PostgreSQL is waited for. No setting says it.
    #[serde(skip)]
    pub limits: PostgresLimits,
}

/// `sqlite://path` or `postgres://…`. Its `Debug` hides everything but the scheme.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

/// `[blobs]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobsConfig {
    /// Folder for sealed documents; made on first start.
    pub folder: PathBuf,
    /// Folder for answers that wait to be taken; made on first start. Without: the folder of documents, or the system's one for temporary
    /// files if documents are in no folder.
    pub spool_folder: Option<PathBuf>,
    /// What uploads leave free on its disk, so that acts go on when it fills.
    #[serde(default = "reserve")]
    pub reserve_bytes: u64,
    /// Another place for documents instead of the folder, from a program that brings its own; no setting names one yet.
    #[serde(skip)]
    pub engine: Option<Arc<dyn BlobEngine>>,
}

fn reserve() -> u64 {
    1 << 30
}

/// `[trust]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFolders {
    /// Folder with revocation lists: `<CODE>.pem`, `<CODE>.crl` or any files in `<CODE>/`.
    pub crl_folder: Option<PathBuf>,
}

/// `[log]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: LogLevel,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

/// The least important line of Entente's own that is still written. Libraries never log below a warning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Settings that could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    message: String,
    help: String,
}

/// One setting that cannot work, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct ConfigFault {
    /// Path of the setting, such as `api.certificate`.
    pub key: &'static str,
    pub message: String,
    pub help: String,
}

impl Config {
    /// Reads the file (if any), lays the environment over it and the flags over both.
    ///
    /// Of the environment only `ENTENTE_HOST` and variables with a `__` are settings (`ENTENTE_API__LISTEN` is
    /// `api.listen`); others, such as those of the command line client, are left alone. `overrides` are pairs of a dotted
    /// key and its value.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
                message: format!("cannot read the configuration `{}`: {error}", path.display()),
                help: "name the file with `--config FILE`; `docs/config.example.toml` is one to start from".into(),
            })?;
            builder = builder.add_source(config::File::from_str(&text, FileFormat::Toml));
        }
        let (settings, others): (HashMap<_, _>, HashMap<_, _>) =
            environment.into_iter().partition(|(name, _)| is_setting(name));
        // `ENTENTE_API_LISTEN` is not read; if it were ignored in silence, the server would listen somewhere else.
        let mut misspelt = others.into_keys().filter_map(|name| Some((meant_by(&name)?, name)));
        let environment = config::Environment::with_prefix("ENTENTE").prefix_separator("_").separator("__");
        builder = builder.add_source(environment.source(Some(settings)));
        for (key, value) in overrides {
            builder = builder.set_override(key, value.as_str()).map_err(|cause| ConfigError::from_cause(&cause))?;
        }
        let built = builder.build().map_err(|cause| ConfigError::from_cause(&cause))?;
        let mut config: Self = built.clone().try_deserialize().map_err(|cause| ConfigError::from_cause(&cause))?;
        if let Some((key, name)) = misspelt.find(|(key, _)| is_key(&built, key)) {
            return Err(ConfigError {
                message: format!("`{name}` is not a setting"),
                help: format!("write `ENTENTE_{}` for `{key}`, or unset it", key.to_uppercase().replacen('.', "__", 1)),
            });
        }
        config.resolve(file.and_then(Path::parent).unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Every fault that can be seen without starting, in the order of the file. Empty when the server can start.
    #[must_use]
    pub fn validate(&self, now: Timestamp) -> Vec<ConfigFault> {
        let mut faults = Faults(Vec::new());
        self.validate_listeners(now, &mut faults);
        self.validate_storage(&mut faults);
        self.limits.validate(&mut faults);
        faults.0
    }

    /// The place for documents that the settings name. Nothing else of the server knows which one it is.
    pub(super) fn blob_engine(&self) -> Arc<dyn BlobEngine> {
        let folder = || Arc::new(BlobFolder::new(&self.blobs.folder, self.blobs.reserve_bytes)) as Arc<dyn BlobEngine>;
        self.blobs.engine.clone().unwrap_or_else(folder)
    }

    /// The setting to look at when something is wrong with that place.
    pub(super) fn blob_setting(&self) -> &'static str {
        if self.blobs.engine.is_some() { "blobs" } else { "blobs.folder" }
    }

    /// Where answers wait to be taken: beside documents with this mark, unless the settings or the place of documents say otherwise.
    pub(super) fn spools(&self, mark: &Mark) -> Spools {
        let reserve = self.blobs.reserve_bytes;
        match (&self.blobs.spool_folder, self.blob_engine().folder()) {
            (Some(own), _) => Spools::in_own_folder(own, reserve),
            (None, Some(beside)) => Spools::new(BlobFolder::new(beside, reserve), mark.clone()),
            (None, None) => Spools::in_own_folder(&std::env::temp_dir(), reserve),
        }
    }

    /// The folders for data that are not there yet and will be made, outer ones first.
    #[must_use]
    pub fn missing_folders(&self) -> Vec<PathBuf> {
        let database = match self.database.url.kind() {
            Some(DatabaseKind::Sqlite(path)) => Some(folder_of(&path).to_owned()),
            _ => None,
        };
        let engine = self.blob_engine();
        let blobs = engine.folder().into_iter().chain(self.blobs.spool_folder.as_deref());
        let blobs = blobs.flat_map(|folder| [folder_of(folder).to_owned(), folder.to_owned()]);
        let mut missing: Vec<PathBuf> = database.into_iter().chain(blobs).filter(|path| !path.exists()).collect();
        missing.sort();
        missing.dedup();
        missing
    }

    fn validate_listeners(&self, now: Timestamp, faults: &mut Faults) {
        if let Err(error) = ServerCertificate::read(&self.api.files(), now) {
            faults.add(error.key(), error.to_string(), error.help());
        }
        if readable_by_all(&self.api.private_key) {
            faults.add(
                "api.private_key",
                format!("`{}` can be read by every account of this machine", self.api.private_key.display()),
                format!("run `chmod 600 {}` as the account that runs the server", self.api.private_key.display()),
            );
        }
        if !self.admin.is_allowed() {
            faults.add(
                "admin.listen",
                format!(
                    "`{}` is not a loopback address, and this listener does not ask for certificates",
                    self.admin.listen
                ),
                "use `127.0.0.1:PORT` or `[::1]:PORT`, and a local agent to carry metrics elsewhere; if everybody who reaches \
                 the address may read them, set `admin.beyond_loopback = true`",
            );
        }
        if self.admin.listen == self.api.listen && self.api.listen.port() != 0 {
            faults.add("admin.listen", "is the address of `api.listen`", "give each listener its own port");
        }
    }

    fn validate_storage(&self, faults: &mut Faults) {
        match self.database.url.kind() {
            Some(DatabaseKind::Sqlite(path)) if path.as_os_str().is_empty() || path.starts_with(":memory:") => faults
                .add("database.url", "names no file, and nothing would be kept", "use `sqlite://FOLDER/entente.db`"),
            Some(DatabaseKind::Sqlite(path)) => faults.can_be_made("database.url", folder_of(&path)),
            Some(DatabaseKind::Postgres) => {}
            None => faults.add(
                "database.url",
                "is neither SQLite nor PostgreSQL",
                "use `sqlite://FOLDER/entente.db` or `postgres://USER:PASSWORD@HOST/DATABASE`",
            ),
        }
        let engine = self.blob_engine();
        let blobs = engine.folder().map(|folder| ("blobs.folder", folder));
        let spools = self.blobs.spool_folder.as_deref().map(|folder| ("blobs.spool_folder", folder));
        for (key, folder) in blobs.into_iter().chain(spools) {
            if folder.exists() {
                faults.is_folder(key, folder);
            } else {
                faults.can_be_made(key, folder_of(folder));
            }
        }
        if let Some(folder) = &self.trust.crl_folder {
            faults.is_folder("trust.crl_folder", folder);
        }
    }

    fn resolve(&mut self, base: &Path) {
        let paths = [&mut self.api.certificate, &mut self.api.private_key, &mut self.blobs.folder];
        let optional = [&mut self.trust.crl_folder, &mut self.blobs.spool_folder];
        for path in paths.into_iter().chain(optional.into_iter().flatten()) {
            *path = base.join(&*path);
        }
        self.database.url.resolve(base);
    }
}

impl ApiConfig {
    /// Where the server's certificate and key are.
    #[must_use]
    pub fn files(&self) -> CertificateFiles {
        CertificateFiles { certificate: self.certificate.clone(), private_key: self.private_key.clone() }
    }
}

/// Which engine a database URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseKind {
    /// The embedded engine, with the file it keeps.
    Sqlite(PathBuf),
    Postgres,
}

impl DatabaseUrl {
    /// The whole URL, password included: for the connection only, never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Which database it is, without account and password: for the operator of this machine.
    #[must_use]
    pub fn place(&self) -> String {
        match self.kind() {
            Some(DatabaseKind::Sqlite(path)) => path.display().to_string(),
            _ => {
                let address = self.0.split('?').next().unwrap_or_default();
                let (scheme, rest) = address.split_once("://").unwrap_or_default();
                format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default())
            }
        }
    }

    /// The engine, if it is one of the two.
    #[must_use]
    pub fn kind(&self) -> Option<DatabaseKind> {
        if let Some(rest) = self.0.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return Some(DatabaseKind::Sqlite(path.split('?').next().unwrap_or_default().into()));
        }
        let postgres = self.0.starts_with("postgres://") || self.0.starts_with("postgresql://");
        postgres.then_some(DatabaseKind::Postgres)
    }

    fn resolve(&mut self, base: &Path) {
        if let Some(DatabaseKind::Sqlite(path)) = self.kind()
            && path.is_relative()
            && !path.as_os_str().is_empty()
            && !path.starts_with(":memory:")
        {
            let query = self.0.find('?').map(|at| self.0[at..].to_owned()).unwrap_or_default();
            self.0 = format!("sqlite://{}{query}", base.join(path).display());
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.0.split(':').next().unwrap_or_default())
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9080)), beyond_loopback: false }
    }
}

impl ConfigError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    fn from_cause(cause: &Cause) -> Self {
        let help = "`docs/config.example.toml` explains every key".to_owned();
        if let Some((key, known)) = unknown_key(cause) {
            return Self { message: format!("unknown key `{key}`"), help: format!("known there are {known}; {help}") };
        }
        // The text of a wrong value is not repeated when it may be the database's password.
        let text = cause.to_string().trim().replace('\n', "; ");
        let message = if text.contains("database") && text.contains("invalid type") {
            "`database.url` is not text".into()
        } else {
            text
        };
        Self { message, help }
    }
}

/// The dotted path of an unknown key and the list of known ones.
fn unknown_key(cause: &Cause) -> Option<(String, String)> {
    let (inner, table) = match cause {
        Cause::At { error, key, .. } => (error.to_string(), key.clone().unwrap_or_default()),
        Cause::Message(text) => (text.clone(), String::new()),
        _ => return None,
    };
    let rest = inner.strip_prefix("unknown field `")?;
    let (field, rest) = rest.split_once('`')?;
    let known = rest.trim_start_matches(", expected ").trim_start_matches("one of ").to_owned();
    let table = table.trim_end_matches('.');
    Some((if table.is_empty() { field.to_owned() } else { format!("{table}.{field}") }, known))
}

fn is_setting(variable: &str) -> bool {
    variable == "ENTENTE_HOST" || (variable.starts_with("ENTENTE_") && variable.contains("__"))
}

/// The dotted key that a variable with one underscore would be if it had two.
fn meant_by(variable: &str) -> Option<String> {
    let (section, key) = variable.strip_prefix("ENTENTE_")?.split_once('_')?;
    (!section.is_empty() && !key.is_empty()).then(|| format!("{section}.{key}").to_lowercase())
}

/// Whether there is such a key, whatever its value may be.
fn is_key(config: &config::Config, key: &str) -> bool {
    let tried = config::Config::builder().add_source(config.clone()).set_override(key, "");
    let built = tried.and_then(config::ConfigBuilder::<config::builder::DefaultState>::build);
    let tried = built.and_then(config::Config::try_deserialize::<Config>);
    tried.err().is_none_or(|cause| unknown_key(&cause).is_none())
}

struct Faults(Vec<ConfigFault>);

impl Faults {
    fn add(&mut self, key: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.0.push(ConfigFault { key, message: message.into(), help: help.into() });
    }

    fn is_folder(&mut self, key: &'static str, path: &Path) {
        if !path.is_dir() {
            self.add(key, format!("`{}` is not a folder", path.display()), "make the folder or correct the path");
        }
    }

    /// A folder that is missing is made on the first start, but not the path to it: that is more likely a slip.
    fn can_be_made(&mut self, key: &'static str, folder: &Path) {
        self.is_folder(key, if folder.exists() { folder } else { folder_of(folder) });
    }
}

/// The folder that a path is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn readable_by_all(_: &Path) -> bool {
    false
}

fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    // A day is more than any of these limits can sensibly be, and keeps deadlines far from overflow.
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(D::Error::custom(format!("`{seconds}` is not a number of seconds between 0 and 86400")))
    }
}

#[cfg(test)]
mod tests;
