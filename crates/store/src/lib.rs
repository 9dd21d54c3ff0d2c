//! The store: the only room with SQL, and the only way to data.
//!
//! Data is reached through a handle that already carries the tenant: `store.project(id)` for a project's data,
//! `store.organization(id)` for what an organization key administers, `store.server()` for what belongs to no tenant
//! (tokens by their id, signing keys, nodes, runs to recover). No query takes a bare id of a tenant's entity.

pub mod agents;
pub mod approvals;
pub mod belongings;
pub mod bootstrap;
pub mod checkup;
mod codec;
pub mod conversations;
pub mod db;
pub mod files;
mod filter;
pub mod idempotency;
pub mod mcp_servers;
pub mod model_keys;
pub mod project_tools;
pub mod projects;
pub mod runs;
mod signing;
pub mod smiths;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod ui_templates;
#[cfg(test)]
mod upgrades;

use std::sync::Arc;

use domain::ids::{AgentId, OrganizationId, ProjectId, SmithId};
use domain::smiths::Config;
use domain::{Code, Problem};
use moka::sync::Cache;
use vault::{DataKey, Ids, MasterKey, SealError};

pub use codec::SmithSeal;
pub use db::{Batch, Db, DbError, DbOptions, Dialect, Location, Schema, Upgrade};

/// How many unwrapped data keys are kept at hand; each is 32 bytes and the time of one decryption.
const DATA_KEYS: u64 = 50_000;

/// How many bytes of agents' versions are kept at hand.
const AGENT_VERSION_BYTES: u64 = 32 * 1024 * 1024;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("sealed data cannot be opened: {0}")]
    Sealed(#[from] SealError),
    #[error("stored JSON cannot be read")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Signing(#[from] vault::KeyError),
    /// The database belongs to another master key than the one that was given.
    #[error(
        "the database was filled under another master key (fingerprint {stored}) than the one given now ({given}): give the \
         server the key that belongs to this database, with INGRAM_MASTER_KEY or INGRAM_MASTER_KEY_FILE"
    )]
    OtherMasterKey { stored: String, given: String },
}

impl Error {
    /// Tells whether a row with the same key was there already.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Db(DbError::Conflict))
    }

    /// Tells whether what is stored is not what the program wrote: it will be no better the next time.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Sealed(_) | Self::Json(_) | Self::Db(DbError::Corrupt(_)))
    }

    /// Tells whether the database was away or had no room: the same may go well once it is back.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Db(DbError::Unavailable(_) | DbError::Unknown(_)))
    }

    /// Tells whether the database went away before it had answered: what it was to do may be done.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Db(DbError::Unknown(_)))
    }

    /// Tells whether what the batch refers to is gone: a smith that was erased meanwhile.
    pub fn is_reference(&self) -> bool {
        matches!(self, Self::Db(DbError::Reference))
    }

    /// Tells whether this guard of a batch did not hold.
    pub fn is_guard(&self, label: &str) -> bool {
        matches!(self, Self::Db(DbError::Guard(guard)) if *guard == label)
    }
}

/// What a caller is told when the store fails where no failure was expected.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Db(DbError::Unavailable(_)) => {
                tracing::error!(error = %error, "The database is not available.");
                Self::new(
                    Code::StorageUnavailable,
                    "The database is not available right now. Nothing was done; retry shortly.",
                )
            }
            Error::Db(DbError::Unknown(_)) => {
                tracing::error!(error = %error, "The database went away in the middle of a request.");
                let mut problem = Self::internal();
                problem.message = "The database went away before it had answered. Whether the request had its effect is not \
                                   known: look before you repeat it, or repeat it with its `Idempotency-Key`."
                    .to_owned();
                problem
            }
            // What was asked for is about a smith that was erased at the same moment.
            Error::Db(DbError::Reference) => Self::not_found("smith"),
            error => {
                tracing::error!(error = %error, "The store failed.");
                Self::internal()
            }
        }
    }
}

/// Registrations that were read together, whether all of them can be read or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Readable<T> {
    pub found: Vec<T>,
    /// The names of those whose rows are damaged.
    pub damaged: Vec<String>,
}

impl<T> Default for Readable<T> {
    fn default() -> Self {
        Self { found: Vec::new(), damaged: Vec::new() }
    }
}

/// The store of one server. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    master: MasterKey,
    ids: Ids,
    data_keys: Cache<SmithId, Arc<DataKey>>,
    /// What versions of agents say, by project, agent and number.
    agent_versions: Cache<(ProjectId, AgentId, u32), Arc<Config>>,
    /// What MCP servers offer.
    manifests: mcp_servers::Manifests,
    signing: signing::Signing,
}

/// The data of one project.
#[derive(Clone)]
pub struct ProjectStore {
    store: Store,
    project: ProjectId,
}

/// What an organization administers.
#[derive(Clone)]
pub struct OrganizationStore {
    store: Store,
    organization: OrganizationId,
}

/// What belongs to no tenant.
#[derive(Clone)]
pub struct ServerStore {
    store: Store,
}

impl Store {
    /// Opens the database and brings its schema up to date. `master` is the key that its content is sealed with.
    pub async fn open(options: &DbOptions, master: MasterKey, ids: Ids) -> Result<Self, Error> {
        Self::open_with(options, Upgrade::Always, master, ids).await
    }

    /// Opens the database and does to its schema what `upgrade` allows.
    pub async fn open_with(
        options: &DbOptions,
        upgrade: Upgrade,
        master: MasterKey,
        ids: Ids,
    ) -> Result<Self, Error> {
        let db = Db::open_with(options, upgrade).await?;
        let data_keys = Cache::new(DATA_KEYS);
        let agent_versions = Cache::builder()
            .max_capacity(AGENT_VERSION_BYTES)
            .weigher(|_, config: &Arc<Config>| u32::try_from(config.size()).unwrap_or(u32::MAX))
            .build();
        let manifests = mcp_servers::Manifests::default();
        let signing = signing::Signing::default();
        let inner = Inner { db, master, ids, data_keys, agent_versions, manifests, signing };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn project(&self, project: ProjectId) -> ProjectStore {
        ProjectStore { store: self.clone(), project }
    }

    pub fn organization(&self, organization: OrganizationId) -> OrganizationStore {
        OrganizationStore { store: self.clone(), organization }
    }

    pub fn server(&self) -> ServerStore {
        ServerStore { store: self.clone() }
    }

    pub fn ids(&self) -> &Ids {
        &self.inner.ids
    }

    /// The database itself, for readiness checks and announcements.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }
}

impl ProjectStore {
    pub fn id(&self) -> ProjectId {
        self.project
    }
}
