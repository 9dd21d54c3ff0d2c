//! Checkpoints of the write-ahead log, beside the writer instead of in its way.
//!
//! SQLite would copy the log into the database within the commit that makes it long enough, and every other commit would
//! wait. Here a thread of its own copies while the writer goes on. A copy syncs both files, and the syncs of the writer's
//! commits wait for those: a copy after each commit makes all commits slow, and a large copy makes those slow that meet it. So
//! the log is copied in pieces. It starts anew once all of it is copied, at once where commits leave time for that. Where they
//! do not, there is always something left: the thread copies a log that is too long until little is left, and the writer copies
//! that little itself.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{self, TrySendError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::DbError;
use super::sqlite::{open_writable, translate};

/// Pages, 4 KiB each, by which the log grows between two copies.
const PIECE: c_int = 250;
/// Pages from which on the writer is to finish the copying.
const TOO_LONG: c_int = 8_000;
/// Pages that are few enough to be left to the writer.
const FEW: c_int = 50;
/// How often the thread copies what has been added meanwhile, before it leaves more than that.
const ROUNDS: usize = 4;
/// How many commits finish the copying at most. A reader may have kept the log from starting anew, rarely twice.
const FINISHES: u8 = 3;

/// What the thread and the writer know of the log.
#[derive(Default)]
struct Log {
    /// Its length, in pages.
    pages: AtomicI32,
    /// Set when little is left to be copied.
    is_prepared: AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
enum Task {
    Copy,
    /// Copy until little is left.
    Prepare,
}

/// What is to be done after a commit.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    None,
    /// The thread is to be asked.
    Ask(Task),
    /// The writer copies what is left.
    Finish,
}

/// What the writer remembers between two commits.
#[derive(Default)]
struct Upkeep {
    pages: c_int,
    /// How long the log was when the thread was last asked for something.
    asked: c_int,
    /// How many commits may still finish the copying.
    finishes: u8,
}

impl Upkeep {
    fn after_commit(&mut self, pages: c_int, is_prepared: bool) -> Step {
        if pages < std::mem::replace(&mut self.pages, pages) {
            // The log has started anew.
            (self.asked, self.finishes) = (0, 0);
        }
        if is_prepared && pages >= TOO_LONG {
            self.finishes = FINISHES;
        }
        if let Some(left) = self.finishes.checked_sub(1) {
            self.finishes = left;
            return Step::Finish;
        }
        match pages.saturating_sub(self.asked) >= PIECE {
            true if pages >= TOO_LONG => Step::Ask(Task::Prepare),
            true => Step::Ask(Task::Copy),
            false => Step::None,
        }
    }
}

/// Lets a thread copy the log of this connection. It ends when the connection is closed, and hands back its own.
pub(super) fn keep_short(writer: &mut Connection, path: &Path) -> Result<JoinHandle<Connection>, DbError> {
    let other = open_writable(path)?;
    let log = Arc::new(Log::default());
    let (tasks, given) = mpsc::sync_channel(1);
    let of_thread = Arc::clone(&log);
    let thread = std::thread::Builder::new()
        .name("sqlite-checkpoint".to_owned())
        .spawn(move || {
            while let Ok(task) = given.recv() {
                if let Err(error) = of_thread.carry_out(&task, &other) {
                    tracing::warn!(error = %error, "The log of the database could not be copied; later commits try again.");
                }
            }
            // Closed by whoever ends the writer, after that one's connection: two that close at once both leave the log behind.
            other
        })
        .map_err(|error| DbError::Unavailable(format!("the checkpoint thread cannot be started: {error}")))?;
    let mut upkeep = Upkeep::default();
    writer
        .wal_hook(Some(move |wal: &mut rusqlite::hooks::Wal, pages: c_int| {
            log.pages.store(pages, Ordering::Relaxed);
            match upkeep.after_commit(pages, log.is_prepared.swap(false, Ordering::Relaxed)) {
                Step::None => {}
                // Where that fails, what is left stays in the log until it is prepared again.
                Step::Finish => drop(wal.checkpoint()),
                Step::Ask(task) => match tasks.try_send(task) {
                    Ok(()) => upkeep.asked = pages,
                    // It is at work still.
                    Err(TrySendError::Full(_)) => {}
                    // It has died: better slow than without an end.
                    Err(TrySendError::Disconnected(_)) => drop(wal.checkpoint()),
                },
            }
            Ok(())
        }))
        .map_err(|error| translate(&error))?;
    Ok(thread)
}

impl Log {
    fn carry_out(&self, task: &Task, connection: &Connection) -> Result<(), rusqlite::Error> {
        match task {
            Task::Copy => copy(connection),
            Task::Prepare => {
                let done = self.prepare(connection);
                // Also where that failed: the writer's own copying may not.
                self.is_prepared.store(true, Ordering::Relaxed);
                done
            }
        }
    }

    fn prepare(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        for _ in 0..ROUNDS {
            let before = self.pages.load(Ordering::Relaxed);
            copy(connection)?;
            if self.pages.load(Ordering::Relaxed).saturating_sub(before) <= FEW {
                break;
            }
        }
        Ok(())
    }
}

fn copy(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets the log grow to so many pages, the thread accepting what it is asked for.
    fn step(upkeep: &mut Upkeep, pages: c_int, is_prepared: bool) -> Step {
        let step = upkeep.after_commit(pages, is_prepared);
        if matches!(step, Step::Ask(_)) {
            upkeep.asked = pages;
        }
        step
    }

    #[test]
    fn the_log_is_copied_in_pieces() {
        let mut upkeep = Upkeep::default();
        assert_eq!(step(&mut upkeep, PIECE - 1, false), Step::None);
        assert_eq!(step(&mut upkeep, PIECE, false), Step::Ask(Task::Copy));
        assert_eq!(step(&mut upkeep, 2 * PIECE - 1, false), Step::None);
        assert_eq!(step(&mut upkeep, 2 * PIECE, false), Step::Ask(Task::Copy));
        // It starts anew, and so do the pieces.
        assert_eq!(step(&mut upkeep, 10, false), Step::None);
        assert_eq!(step(&mut upkeep, PIECE, false), Step::Ask(Task::Copy));
    }

    #[test]
    fn a_thread_that_is_at_work_is_asked_again_by_the_next_commit() {
        let mut upkeep = Upkeep::default();
        assert_eq!(upkeep.after_commit(PIECE, false), Step::Ask(Task::Copy));
        assert_eq!(upkeep.after_commit(PIECE + 1, false), Step::Ask(Task::Copy));
    }

    #[test]
    fn the_writer_finishes_a_log_that_is_too_long_once_little_is_left() {
        let mut upkeep = Upkeep::default();
        assert_eq!(step(&mut upkeep, TOO_LONG, false), Step::Ask(Task::Prepare));
        assert_eq!(step(&mut upkeep, TOO_LONG + 1, false), Step::None);
        assert_eq!(step(&mut upkeep, TOO_LONG + 2, true), Step::Finish);
        assert_eq!(step(&mut upkeep, 10, false), Step::None, "it has started anew");
    }

    #[test]
    fn a_log_that_readers_keep_from_starting_anew_is_prepared_again() {
        let mut upkeep = Upkeep::default();
        assert_eq!(step(&mut upkeep, TOO_LONG, true), Step::Finish);
        for pages in 1..c_int::from(FINISHES) {
            assert_eq!(step(&mut upkeep, TOO_LONG + pages, false), Step::Finish);
        }
        assert_eq!(step(&mut upkeep, TOO_LONG + PIECE, false), Step::Ask(Task::Prepare));
    }

    #[test]
    fn what_was_prepared_of_a_log_that_has_started_anew_meanwhile_is_left_to_the_thread() {
        let mut upkeep = Upkeep::default();
        assert_eq!(step(&mut upkeep, 10, true), Step::None);
    }
}
