//! The configuration: defaults, then `ingram.toml`, then the environment, then flags.
//!
//! Every setting has a place in the file (`listen`, `http.max_body_bytes`) and a variable (`INGRAM_LISTEN`,
//! `INGRAM_HTTP_MAX_BODY_BYTES`). Settings outside of sections are texts. What is wrong is reported with the file, variable
//! or flag that it came from, and a setting that nobody knows is an error.

mod bounds;
mod environment;
mod hosted;
mod listen;
mod load;
mod names;
mod places;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use api::Secret;
use engine::keys::HostedKeys;
use serde::{Deserialize, Deserializer, de};
use store::{DbOptions, Location};

pub use environment::Environment;
pub(crate) use hosted::key_variable;
pub use listen::Listen;
pub(crate) use load::FILE;
pub use load::{Invalid, Overrides};
pub use places::Places;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder for the master key and the embedded database.
    pub data: PathBuf,
    /// The address to listen on, or the name of a host.
    #[serde(deserialize_with = "parsed")]
    pub listen: Listen,
    /// A PostgreSQL database instead of the embedded one.
    pub database_url: Option<Secret>,
    /// The master key itself, in base64 or hexadecimal.
    pub master_key: Option<Secret>,
    /// The file with the master key, instead of `master.key` in the data folder.
    pub master_key_file: Option<PathBuf>,
    /// A folder of scripts for the scripted model.
    pub scripts: Option<PathBuf>,
    /// The model of smiths that name none.
    pub default_model: Option<String>,
    /// Which addresses tenants may give: `auto` or `any`.
    #[serde(deserialize_with = "parsed")]
    pub egress: ::egress::Setting,
    /// What is logged, as a level or as directives by module.
    pub log: String,
    /// The bearer that `/metrics` wants.
    pub metrics_token: Option<Secret>,
    pub http: api::Options,
    pub engine: engine::Options,
    pub models: models::Options,
    pub tools: tools::Options,
    pub mcp: tools::mcp::Options,
    pub database: Database,
    pub server: Connections,
}

/// How the database is used (`[database]`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Connections: read-only ones beside the writer for the embedded database, all of them for PostgreSQL.
    pub connections: usize,
    /// Milliseconds that a request waits for a connection.
    pub wait_ms: u64,
    /// Batches that may wait for the writer of the embedded database.
    pub queue: usize,
    /// What the embedded database keeps in memory of rows that seldom change, in bytes; 0: nothing.
    pub cache_bytes: usize,
    /// Milliseconds that PostgreSQL may work on one statement; 0: as long as it likes.
    pub statement_timeout_ms: u64,
}

/// Connections from clients (`[server]`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// Connections that may be open at once; more wait until one is closed.
    pub max_connections: usize,
    /// Milliseconds in which the head of a request must arrive, and that a connection may lie idle between two requests.
    pub header_timeout_ms: u64,
    /// Milliseconds that answers get to end once the runs have drained.
    pub close_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: "data".into(),
            listen: Listen::Address(SocketAddr::from(([127, 0, 0, 1], 8080))),
            database_url: None,
            master_key: None,
            master_key_file: None,
            scripts: None,
            default_model: None,
            egress: ::egress::Setting::Auto,
            log: "info".to_owned(),
            metrics_token: None,
            http: api::Options::default(),
            engine: engine::Options::default(),
            models: models::Options::default(),
            tools: tools::Options::default(),
            mcp: tools::mcp::Options::default(),
            database: Database::default(),
            server: Connections::default(),
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            connections: 8,
            wait_ms: 5_000,
            queue: 10_000,
            cache_bytes: 4_000_000,
            statement_timeout_ms: 30_000,
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self { max_connections: 60_000, header_timeout_ms: 75_000, close_ms: 5_000 }
    }
}

/// The settings with where each came from, and the keys of providers that the environment holds.
#[derive(Clone, Default)]
pub struct Config {
    pub settings: Settings,
    pub places: Places,
    pub hosted: HostedKeys,
    /// The configuration file that was named. The one with the usual name is found without that.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads the configuration. What is wrong is reported all at once.
    pub fn load(environment: &Environment, overrides: &Overrides) -> Result<Self, Invalid> {
        let (mut settings, places) = load::settings(environment, overrides)?;
        hosted::find_search_key(environment, &mut settings.tools.search);
        let file = load::named_file(environment, overrides);
        Ok(Self { settings, places, hosted: hosted::keys(environment)?, file })
    }
}

impl Settings {
    /// Says where the database is and how it is used.
    pub fn database(&self) -> DbOptions {
        let location = match &self.database_url {
            Some(url) => Location::Postgres(url.expose().to_owned()),
            None => Location::Sqlite(self.database_path()),
        };
        DbOptions {
            location,
            connections: self.database.connections,
            wait: Duration::from_millis(self.database.wait_ms),
            queue: self.database.queue,
            cache_bytes: self.database.cache_bytes,
            statement_timeout: Duration::from_millis(self.database.statement_timeout_ms),
        }
    }

    /// Returns the file of the embedded database.
    pub fn database_path(&self) -> PathBuf {
        self.data.join("ingram.db")
    }

    /// Returns the file that the master key is in, unless the key itself is given.
    pub fn master_key_path(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.data.join("master.key"))
    }

    /// Tells whether anything is kept in the data folder.
    pub fn uses_data(&self) -> bool {
        let has_key_elsewhere = self.master_key.is_some() || self.master_key_file.is_some();
        self.database_url.is_none() || !has_key_elsewhere
    }

    pub fn scripts(&self) -> Option<&Path> {
        self.scripts.as_deref()
    }
}

/// Reads a text as its type does.
fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}
