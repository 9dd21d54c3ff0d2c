//! What is wrong with the file of the embedded database, in words that say what to do next.

use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};

use crate::db::DbError;

/// Says what has become of a statement, or of opening the file. Whoever knows its name adds it.
pub(in crate::db) fn translate(error: &rusqlite::Error) -> DbError {
    let Some(code) = error.sqlite_error_code() else { return DbError::Statement(error.to_string()) };
    let extended = error.sqlite_error().map(|error| error.extended_code);
    match (code, extended) {
        (ErrorCode::ConstraintViolation, Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY)) => {
            DbError::Conflict
        }
        (ErrorCode::ConstraintViolation, Some(SQLITE_CONSTRAINT_FOREIGNKEY)) => DbError::Reference,
        (ErrorCode::OutOfMemory, _) => DbError::Unavailable(error.to_string()),
        (code, _) => match advice(code) {
            Some(advice) => DbError::Unavailable(format!("{error}; {advice}")),
            None => DbError::Statement(error.to_string()),
        },
    }
}

/// Says what to do about what is wrong with the file, and not with the statement.
const fn advice(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::NotADatabase => {
            "something else was written into the file: restore it from your backup, or move it away to begin with nothing"
        }
        ErrorCode::DatabaseCorrupt => {
            "the file is damaged: stop the server and restore it from your backup; `sqlite3 FILE .recover` saves what can \
             still be read"
        }
        ErrorCode::DiskFull => "make room on its disk",
        ErrorCode::SystemIoFailure => {
            "its disk could not be read or written: look into the system's log, and at its room"
        }
        ErrorCode::CannotOpen => {
            "check that it is a file, and that this user may read and write it and the folder that it is in"
        }
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            "this user cannot write it: run as the user that owns it, and check that its disk is not mounted read-only"
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => "another program holds it: end that one",
        _ => return None,
    })
}
