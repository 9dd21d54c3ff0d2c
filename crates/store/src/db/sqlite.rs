//! SQLite: one connection that writes, and a few that only read.
//!
//! A batch that finds the writing connection idle is committed on the thread that asks: that saves waking the writer's thread
//! and being woken by it, which takes longer than many a disk. Batches that find it at work wait for the writer's thread, which
//! commits them in groups.

mod faults;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::RuntimeFlavor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::remembered::{Question, Remembered};
use super::{Batch, DbError, DbOptions, Outcome, Row, Upgrade, Value, checkpoint};
pub(super) use faults::translate;
use writer::{Job, Writer, given_up, write_group, write_loop};

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 128;

/// The connection that writes, while it is open.
type Writing = Arc<Mutex<Option<Connection>>>;

#[derive(Clone)]
pub(super) struct Sqlite {
    writer: mpsc::Sender<Job>,
    writing: Writing,
    /// Whether the writer's thread has taken a batch and waits for the connection.
    takes: Arc<AtomicBool>,
    readers: Arc<Readers>,
    remembered: Arc<Remembered>,
    wait: Duration,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
}

impl Sqlite {
    pub(super) async fn open(path: &Path, options: &DbOptions, upgrade: Upgrade) -> Result<Self, DbError> {
        let (writer, jobs) = mpsc::channel(options.queue.max(1));
        let path = path.to_owned();
        let writer_path = path.clone();
        let (opened, ready) = oneshot::channel();
        let writing = Writing::default();
        let takes = Arc::new(AtomicBool::new(false));
        let remembered = Arc::new(Remembered::new(options.cache_bytes));
        let own = Writer {
            writing: Arc::clone(&writing),
            takes: Arc::clone(&takes),
            remembered: Arc::clone(&remembered),
        };
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || match open_writer(&writer_path, upgrade) {
                Ok((connection, checkpoints)) => {
                    *lock(&own.writing) = Some(connection);
                    let _ = opened.send(Ok(()));
                    write_loop(&own, checkpoints, jobs);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| DbError::Unavailable(format!("the writer thread cannot be started: {error}")))?;
        ready.await.map_err(|_| DbError::Unavailable("the writer thread ended".to_owned()))??;
        let readers = Readers {
            path,
            idle: Mutex::new(Vec::new()),
            places: Arc::new(Semaphore::new(options.connections.max(1))),
        };
        Ok(Self { writer, writing, takes, readers: Arc::new(readers), remembered, wait: options.wait })
    }

    pub(super) async fn read(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        let place = self.place().await?;
        let sql = numbered(sql);
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || {
            // Held until the read is done, also when whoever asked has gone.
            let _place = place;
            readers.query(&sql, &params)
        })
        .await
        .map_err(|_| DbError::Unavailable("a reader ended".to_owned()))?
    }

    /// Reads on the thread that asks. For look-ups by key only: they take less time than waking another thread does.
    pub(super) async fn look_up(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let _place = self.place().await?;
        self.readers.query(&numbered(sql), params)
    }

    /// The same for rows that seldom change: they are read only where they are not known from before. `reads` hears of that.
    pub(super) async fn recall(
        &self,
        sql: &str,
        params: &[Value],
        reads: impl FnOnce(),
    ) -> Result<Arc<[Row]>, DbError> {
        // One that is closed says so.
        if self.readers.places.is_closed() {
            return Ok(self.look_up(sql, params).await?.into());
        }
        let question = Question::new(sql, params);
        let before = match self.remembered.answer(&question) {
            Ok(rows) => {
                metrics::counter!("ingram_database_remembered_total").increment(1);
                return Ok(rows);
            }
            Err(before) => before,
        };
        reads();
        let rows: Arc<[Row]> = self.look_up(sql, params).await?.into();
        self.remembered.keep(before, sql, question, &rows);
        Ok(rows)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, DbError> {
        let places = Arc::clone(&self.readers.places);
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => return Ok(place),
            Err(_) => tokio::time::timeout(self.wait, places.acquire_owned()).await,
        };
        place
            .map_err(|_| DbError::Unavailable("no reader became free".to_owned()))?
            .map_err(|_| DbError::Unavailable("the database is closed".to_owned()))
    }

    pub(super) async fn commit(&self, batch: Batch) -> Result<Outcome, DbError> {
        let batch = match self.commit_here(batch) {
            Ok(outcome) => return outcome,
            Err(batch) => batch,
        };
        let (reply, answer) = oneshot::channel();
        self.send(Job::Batch(batch, reply)).await?;
        answer.await.map_err(|_| DbError::Unavailable("the writer ended".to_owned()))?
    }

    /// Commits a batch on the thread that asks. Returns it where that has something else to do meanwhile, where the connection
    /// is at work or others wait for it, or where nobody can take over the thread's other tasks.
    fn commit_here(&self, batch: Batch) -> Result<Result<Outcome, DbError>, Batch> {
        // A thread that has died takes no batch any more: nobody's may pass it by as if all were well.
        let others_wait = self.takes.load(Ordering::Relaxed)
            || self.writer.capacity() < self.writer.max_capacity()
            || self.writer.is_closed();
        let runtime = tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor());
        if batch.is_aside || others_wait || !matches!(runtime, Ok(RuntimeFlavor::MultiThread)) {
            return Err(batch);
        }
        let writing = match self.writing.try_lock() {
            Ok(writing) => writing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(batch),
        };
        let Some(connection) = writing.as_ref() else { return Err(batch) };
        // Another thread takes the other tasks of this one over meanwhile.
        let outcome =
            tokio::task::block_in_place(|| write_group(connection, &self.remembered, vec![batch]).pop());
        Ok(outcome.unwrap_or_else(|| Err(given_up())))
    }

    pub(super) async fn script(&self, sql: String) -> Result<(), DbError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Script(sql, reply)).await?;
        answer.await.map_err(|_| DbError::Unavailable("the writer ended".to_owned()))?.map(|_| ())
    }

    /// Empties the log of writes, in which old content of pages stays otherwise. Returns false when a reader was in the way.
    pub(super) async fn scrub(&self) -> Result<bool, DbError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Checkpoint(reply)).await?;
        let outcome = answer.await.map_err(|_| DbError::Unavailable("the writer ended".to_owned()))??;
        let blocked: Option<i64> = outcome.rows(0).first().map(|row| row.get(0)).transpose()?;
        Ok(blocked == Some(0))
    }

    async fn send(&self, job: Job) -> Result<(), DbError> {
        self.writer
            .send_timeout(job, self.wait)
            .await
            .map_err(|_| DbError::Unavailable("the writer's queue is full".to_owned()))
    }

    pub(super) async fn close(&self) {
        // Readers first: whoever closes last and may write empties the log.
        self.readers.places.close();
        lock(&self.readers.idle).clear();
        let (done, closed) = oneshot::channel();
        if self.writer.send(Job::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

impl Readers {
    /// Reads with a connection that is free, or a new one. The caller holds a place.
    fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let rows = query(&connection, sql, params);
        let mut idle = lock(&self.idle);
        // Once the database is closed, a connection that is kept would leave the log behind.
        if !self.places.is_closed() {
            idle.push(connection);
        }
        rows
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic cannot leave the list of readers half changed, and what it leaves of a transaction is rolled back by the next.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a connection that may write. Its log is not copied by its own commits.
pub(super) fn open_writable(path: &Path) -> Result<Connection, DbError> {
    let connection = Connection::open(path).map_err(|error| translate(&error))?;
    // Acknowledged means on disk: with the log of writes that `open_writer` asks for, a sync on each commit.
    connection
        .execute_batch(
            "pragma synchronous = full; pragma foreign_keys = on; pragma busy_timeout = 5000; \
             pragma secure_delete = on; pragma wal_autocheckpoint = 0; pragma temp_store = memory; pragma cache_size = -8000;",
        )
        .map_err(|error| translate(&error))?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Keeps prepared statements, with their plans: left to itself, SQLite plans a statement anew when other values are bound to
/// a column that a partial index mentions.
fn keep_statements(connection: &Connection) -> Result<(), DbError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(|error| translate(&error))?;
    Ok(())
}

fn open_writer(path: &Path, upgrade: Upgrade) -> Result<(Connection, JoinHandle<Connection>), DbError> {
    let mut connection = open_writable(path)?;
    if upgrade != Upgrade::Never {
        // The file keeps this: whoever only looks at a backup must not change it.
        connection.execute_batch("pragma journal_mode = wal").map_err(|error| translate(&error))?;
    }
    let checkpoints = checkpoint::keep_short(&mut connection, path)?;
    Ok((connection, checkpoints))
}

fn open_reader(path: &Path) -> Result<Connection, DbError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| translate(&error))?;
    connection
        .execute_batch("pragma busy_timeout = 5000; pragma query_only = on; pragma cache_size = -2000;")
        .map_err(|error| translate(&error))?;
    keep_statements(&connection)?;
    Ok(connection)
}

fn run(connection: &Connection, sql: &str) -> Result<(), DbError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| translate(&error))?;
    statement.execute([]).map(|_| ()).map_err(|error| translate(&error))
}

fn query(connection: &Connection, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| translate(&error))?;
    let columns = statement.column_count();
    let mut found = statement.query(rusqlite::params_from_iter(params)).map_err(|error| translate(&error))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(|error| translate(&error))? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            let value = row.get_ref(column).map_err(|error| translate(&error))?;
            values.push(match value {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Int(value),
                ValueRef::Real(value) => Value::Real(value),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            });
        }
        rows.push(Row(values));
    }
    Ok(rows)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput::Borrowed;
        Ok(Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

/// Rewrites `$1` to `?1`: SQLite would take `$1` for a name and number it by order of appearance.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}
