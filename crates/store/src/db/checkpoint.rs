//! Checkpoints of the write-ahead log, beside the writer instead of in its way.
//!
//! SQLite would copy the log into the database within the commit that makes it long enough, and every other commit would
//! wait. Here a thread of its own copies while the writer goes on. What the writer has added meanwhile is little; once the
//! log has grown on, the writer copies that little itself and starts the log anew.

use std::ffi::c_int;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::DbError;
use super::sqlite::{open_writable, translate};

/// Pages in the log, 4 KiB each, from which on it is copied.
const LONG: c_int = 4_000;
/// Pages from which on the writer finishes the copying itself.
const TOO_LONG: c_int = 16_000;

/// Lets a thread copy the log of this connection. It ends when the connection is closed, and hands back its own.
pub(super) fn keep_short(writer: &mut Connection, path: &Path) -> Result<JoinHandle<Connection>, DbError> {
    let other = open_writable(path)?;
    let (signal, signals) = mpsc::sync_channel::<()>(1);
    let thread = std::thread::Builder::new()
        .name("sqlite-checkpoint".to_owned())
        .spawn(move || {
            while signals.recv().is_ok() {
                if let Err(error) = copy(&other) {
                    tracing::warn!(error = %error, "The log of the database could not be copied; the next commits try again.");
                }
            }
            // Closed by whoever ends the writer, after that one's connection: two that close at once both leave the log behind.
            other
        })
        .map_err(|error| DbError::Unavailable(format!("the checkpoint thread cannot be started: {error}")))?;
    writer
        .wal_hook(Some(move |wal: &mut rusqlite::hooks::Wal, pages: c_int| {
            if pages >= TOO_LONG {
                // Busy while the thread is at it: then a later commit does it.
                let _ = wal.checkpoint();
            } else if pages >= LONG {
                // A full channel says that the thread knows.
                let _ = signal.try_send(());
            }
            Ok(())
        }))
        .map_err(|error| translate(&error))?;
    Ok(thread)
}

fn copy(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
}
