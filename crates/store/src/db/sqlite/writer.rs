//! The thread that writes, and how batches share a transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Writing, lock, numbered, query, run, translate};
use crate::db::batch::Statement;
use crate::db::remembered::{Remembered, Written};
use crate::db::{Batch, DbError, Outcome, Row};

/// How many batches share one commit at most; beyond that the first would wait for too long.
const GROUP: usize = 256;
/// How long the writer waits otherwise, as `open_writer` says.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for readers before it gives up emptying the log of writes.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(200);

pub(super) type Reply = oneshot::Sender<Result<Outcome, DbError>>;

pub(super) enum Job {
    Batch(Batch, Reply),
    Script(String, Reply),
    /// Empties the log of writes into the database file.
    Checkpoint(Reply),
    Close(oneshot::Sender<()>),
}

/// What the writer's thread shares with those who commit on theirs.
pub(super) struct Writer {
    pub(super) writing: Writing,
    pub(super) takes: Arc<AtomicBool>,
    pub(super) remembered: Arc<Remembered>,
}

pub(super) fn write_loop(own: &Writer, checkpoints: JoinHandle<Connection>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        own.takes.store(true, Ordering::Relaxed);
        let mut writing = lock(&own.writing);
        own.takes.store(false, Ordering::Relaxed);
        let Some(connection) = writing.as_ref() else { return };
        let mut group = Vec::new();
        let mut replies = Vec::new();
        let mut other = None;
        let mut next = Some(first);
        // What is waiting when a commit starts rides in that commit.
        while let Some(job) = next.take() {
            match job {
                Job::Batch(batch, reply) => {
                    group.push(batch);
                    replies.push(reply);
                }
                job => {
                    other = Some(job);
                    break;
                }
            }
            if group.len() < GROUP {
                next = jobs.try_recv().ok();
            }
        }
        if !group.is_empty() {
            for (answer, reply) in write_group(connection, &own.remembered, group).into_iter().zip(replies) {
                let _ = reply.send(answer);
            }
        }
        match other {
            Some(Job::Script(sql, reply)) => {
                let forgets = own.remembered.forget_after(Written::ALL);
                let done = connection.execute_batch(&sql).map(|()| Outcome::default());
                drop(forgets);
                let _ = reply.send(done.map_err(|error| translate(&error)));
            }
            Some(Job::Checkpoint(reply)) => {
                let _ = reply.send(checkpoint(connection));
            }
            Some(Job::Close(done)) => {
                drop(writing.take());
                drop(checkpoints.join());
                let _ = done.send(());
                return;
            }
            Some(Job::Batch(..)) | None => {}
        }
    }
}

/// Writes the log of writes into the database file and empties it. Nobody can write meanwhile, so readers get little time.
fn checkpoint(connection: &Connection) -> Result<Outcome, DbError> {
    connection.busy_timeout(CHECKPOINT_PATIENCE).map_err(|error| translate(&error))?;
    let done = query(connection, "pragma wal_checkpoint(truncate)", &[]);
    connection.busy_timeout(PATIENCE).map_err(|error| translate(&error))?;
    done.map(|rows| Outcome { results: vec![rows] })
}

/// Writes batches in one transaction, each behind its own savepoint: one that fails takes no other with it. Returns what came
/// of each. What is remembered of the tables that they write is forgotten by then.
pub(super) fn write_group(
    connection: &Connection,
    remembered: &Remembered,
    group: Vec<Batch>,
) -> Vec<Result<Outcome, DbError>> {
    // Whatever comes of it: a commit that fails may have been kept all the same.
    let _forgets = remembered.forget_after(Written::by(&group));
    write_together(connection, group)
}

fn write_together(connection: &Connection, group: Vec<Batch>) -> Vec<Result<Outcome, DbError>> {
    // A panic, or a rollback that failed, may have left a transaction open, in which no other can begin.
    if !connection.is_autocommit() {
        let _ = run(connection, "rollback");
    }
    if let Err(error) = run(connection, "begin immediate") {
        let message = error.to_string();
        return group.iter().map(|_| Err(DbError::Unavailable(message.clone()))).collect();
    }
    let is_alone = group.len() == 1;
    let mut answers = Vec::with_capacity(group.len());
    for batch in &group {
        // One that is alone has the transaction to itself.
        let answer = if is_alone { write_all(connection, batch) } else { write_batch(connection, batch) };
        let failed = answer.is_err();
        answers.push(answer);
        // A full disk makes SQLite roll back everything by itself: what follows must not open a transaction of its own.
        if failed && (is_alone || connection.is_autocommit()) {
            break;
        }
    }
    let lost = connection.is_autocommit();
    answers.resize_with(group.len(), || Err(given_up()));
    let is_kept = answers.iter().any(Result::is_ok);
    let committed = match (lost, is_kept) {
        (true, _) => Err(given_up()),
        (false, true) => run(connection, "commit"),
        // Nothing of the group was kept, so that there is nothing to wait for.
        (false, false) => run(connection, "rollback"),
    };
    if committed.is_err() && !connection.is_autocommit() {
        let _ = run(connection, "rollback");
    }
    if let Err(error) = committed {
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            *answer = Err(DbError::Unavailable(error.to_string()));
        }
    }
    answers
}

pub(super) fn given_up() -> DbError {
    DbError::Unavailable("the database gave up a group of writes".to_owned())
}

fn write_all(connection: &Connection, batch: &Batch) -> Result<Outcome, DbError> {
    let results =
        batch.statements.iter().map(|statement| write(connection, statement)).collect::<Result<_, _>>()?;
    Ok(Outcome { results })
}

fn write_batch(connection: &Connection, batch: &Batch) -> Result<Outcome, DbError> {
    run(connection, "savepoint batch")?;
    let outcome = write_all(connection, batch);
    // Where SQLite has rolled back everything by itself, the savepoint is gone too.
    if outcome.is_err() && connection.is_autocommit() {
        return outcome;
    }
    if outcome.is_err() {
        run(connection, "rollback to batch")?;
    }
    run(connection, "release batch")?;
    outcome
}

fn write(connection: &Connection, statement: &Statement) -> Result<Vec<Row>, DbError> {
    let mut sql = numbered(&statement.sql);
    if let Some(column) = statement.returning {
        sql.push_str(" returning ");
        sql.push_str(column);
    }
    let rows = query(connection, &sql, &statement.params)?;
    match statement.guard {
        Some(label) if connection.changes() != 1 => Err(DbError::Guard(label)),
        _ => Ok(rows),
    }
}
