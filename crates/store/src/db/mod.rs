//! The database, whichever of the two it is: reads, and guarded batches of writes.
//!
//! One SQL text serves both engines. Placeholders are `$1`, types are TEXT, BIGINT, DOUBLE and BLOB, ids are 16 bytes, times
//! are microseconds, JSON is text. What the engines cannot share are three named holes, `Dialect::skip_locked`,
//! `Dialect::holding_smith` and notifications.

mod batch;
mod checkpoint;
mod migrate;
mod postgres;
mod remembered;
mod sqlite;
#[cfg(test)]
mod tests;
mod value;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

pub use batch::{Batch, Outcome, Statement};
pub use migrate::{Schema, Upgrade};
pub(crate) use value::params;
pub use value::{FromValue, Row, Value};

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A statement of a batch did not change exactly one row. Nothing of the batch was kept.
    #[error("the guard `{0}` did not hold")]
    Guard(&'static str),
    /// A row with the same key is there already. Nothing of the batch was kept.
    #[error("a unique key was violated")]
    Conflict,
    /// A row that another one refers to is not there, or one would go that others refer to. Nothing of the batch was kept.
    #[error("a reference between rows was violated")]
    Reference,
    /// The database cannot be reached, is full or is overloaded; nothing of the batch was kept as far as we know.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The connection was lost before the database had answered: whether the batch was kept is not known.
    #[error("it is not known whether a batch was kept: {0}")]
    Unknown(String),
    /// A stored value is not what the program wrote.
    #[error("a stored value is not as expected: {0}")]
    Corrupt(&'static str),
    /// The statement itself is wrong.
    #[error("the database refused a statement: {0}")]
    Statement(String),
}

/// Where the database is.
#[derive(Clone, Debug)]
pub enum Location {
    /// The file of an embedded database.
    Sqlite(PathBuf),
    /// A connection string (`postgres://…`).
    Postgres(String),
}

/// How the database is used.
#[derive(Clone, Debug)]
pub struct DbOptions {
    pub location: Location,
    /// Connections: read-only ones beside the writer for SQLite, all of them for PostgreSQL.
    pub connections: usize,
    /// How long a caller waits for a connection or a place in the writer's queue.
    pub wait: Duration,
    /// Batches that may wait for the SQLite writer.
    pub queue: usize,
    /// What the embedded database keeps in memory of rows that seldom change. 0: nothing.
    pub cache_bytes: usize,
    /// How long PostgreSQL may work on one statement, waits for locks included. Zero: as long as it likes.
    pub statement_timeout: Duration,
}

/// The parts of SQL that differ between the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Returns the clause with which rivals claim different rows: they must not wait for each other's locks.
    pub(crate) const fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " for update skip locked",
        }
    }

    /// Returns the clause that keeps a smith as it was read until the batch is kept.
    ///
    /// Without it, what is written for a smith could be kept after its erasure has looked for it.
    pub(crate) const fn holding_smith(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " for share of smiths",
        }
    }
}

/// What has become of the bytes of deleted rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scrubbed {
    Now,
    /// Something else was in the way; to be tried again.
    Blocked,
    /// They stay until [`Db::vacuum`] has been over their tables.
    Later,
}

/// A handle on the database. Cheap to clone.
#[derive(Clone)]
pub struct Db(Engine);

#[derive(Clone)]
enum Engine {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Db {
    /// Opens the database and brings its schema up to date.
    pub async fn open(options: &DbOptions) -> Result<Self, DbError> {
        Self::open_with(options, Upgrade::Always).await
    }

    /// Opens the database and does to its schema what `upgrade` allows.
    pub async fn open_with(options: &DbOptions, upgrade: Upgrade) -> Result<Self, DbError> {
        let db = match &options.location {
            Location::Sqlite(path) => {
                Self(Engine::Sqlite(sqlite::Sqlite::open(path, options, upgrade).await?))
            }
            Location::Postgres(url) => Self(Engine::Postgres(postgres::Postgres::open(url, options).await?)),
        };
        migrate::run(&db, migrate::MIGRATIONS, upgrade).await?;
        Ok(db)
    }

    /// Opens the database with the schema that it had at an older version.
    #[cfg(test)]
    pub(crate) async fn open_at_version(options: &DbOptions, version: i64) -> Result<Self, DbError> {
        let db = Self::open_with(options, Upgrade::Never).await?;
        let older: Vec<_> =
            migrate::MIGRATIONS.iter().copied().filter(|(number, ..)| *number <= version).collect();
        migrate::run(&db, &older, Upgrade::Always).await?;
        Ok(db)
    }

    /// Reads which version of the schema the database has.
    pub async fn schema(&self) -> Result<Schema, DbError> {
        migrate::schema(self, migrate::MIGRATIONS).await
    }

    pub fn dialect(&self) -> Dialect {
        match &self.0 {
            Engine::Sqlite(_) => Dialect::Sqlite,
            Engine::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Reads rows.
    pub async fn read(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        count_read();
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.read(sql, params).await,
            Engine::Postgres(postgres) => postgres.read(sql, params).await,
        }
    }

    /// Looks a row up by its key and returns it, if it is there.
    ///
    /// Only for what an index finds at once: the embedded database answers on the thread that asks.
    pub async fn read_one(&self, sql: &str, params: Vec<Value>) -> Result<Option<Row>, DbError> {
        Ok(self.look_up(sql, params).await?.into_iter().next())
    }

    /// Looks up a few rows by their key, as [`Self::read_one`] does.
    pub async fn look_up(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        count_read();
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.look_up(sql, &params).await,
            Engine::Postgres(postgres) => postgres.read(sql, params).await,
        }
    }

    /// Looks up rows of tables that seldom change, as [`Self::look_up`] does.
    ///
    /// The embedded database answers from memory what it has found before, until one of those tables is written. PostgreSQL,
    /// which other servers write too, is asked each time.
    pub async fn recall(&self, sql: &str, params: Vec<Value>) -> Result<Arc<[Row]>, DbError> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.recall(sql, &params, count_read).await,
            Engine::Postgres(_) => Ok(self.look_up(sql, params).await?.into()),
        }
    }

    /// Writes a batch: all of it, on disk, or nothing.
    pub async fn commit(&self, batch: Batch) -> Result<Outcome, DbError> {
        metrics::counter!("ingram_database_statements_total", "kind" => "write")
            .increment(batch.len() as u64);
        metrics::counter!("ingram_database_commits_total").increment(1);
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.commit(batch).await,
            Engine::Postgres(postgres) => postgres.commit(batch).await,
        }
    }

    /// Clears the files of the database of what was deleted, as far as the engine can and in no time.
    pub(crate) async fn scrub(&self) -> Result<Scrubbed, DbError> {
        match &self.0 {
            Engine::Sqlite(sqlite) if sqlite.scrub().await? => Ok(Scrubbed::Now),
            Engine::Sqlite(_) => Ok(Scrubbed::Blocked),
            Engine::Postgres(_) => Ok(Scrubbed::Later),
        }
    }

    /// Has PostgreSQL free the space of deleted rows, and of their entries in indexes. It may take long.
    pub(crate) async fn vacuum(&self, tables: &[&str]) -> Result<(), DbError> {
        match &self.0 {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.vacuum(tables).await,
        }
    }

    /// Answers whether the database can be reached now.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.read("select 1", Vec::new()).await.map(|_| ())
    }

    /// Listens to what batches of other processes announced. None where no other process can write.
    ///
    /// An empty text says that announcements may have been missed.
    pub fn announcements(&self) -> Option<broadcast::Receiver<String>> {
        match &self.0 {
            Engine::Sqlite(_) => None,
            Engine::Postgres(postgres) => Some(postgres.announcements()),
        }
    }

    /// Runs a script of several statements, for migrations.
    pub(crate) async fn script(&self, sql: &str) -> Result<(), DbError> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.script(sql.to_owned()).await,
            Engine::Postgres(postgres) => postgres.script(sql).await,
        }
    }

    /// Closes connections and waits for the writer to finish what it has.
    pub async fn close(&self) {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close(),
        }
    }
}

fn count_read() {
    metrics::counter!("ingram_database_statements_total", "kind" => "read").increment(1);
}
