//! What is wrong between this program and PostgreSQL, in words that say what to do next.
//!
//! What the driver's errors say of themselves is no more than "db error": the cause is behind them.

use std::error::Error as _;
use std::io;

use deadpool_postgres::{HookError, PoolError, TimeoutType};

use super::DbError;
use super::address::Address;

/// Says why there is no connection.
pub(super) fn no_connection(error: &PoolError, address: &Address) -> DbError {
    DbError::Unavailable(match error {
        PoolError::Timeout(TimeoutType::Wait) => "no connection became free in time".to_owned(),
        PoolError::Timeout(_) => silent(address),
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            refused(error, address)
        }
        PoolError::Closed => "the database is closed".to_owned(),
        other => other.to_string(),
    })
}

fn silent(Address { hosts, .. }: &Address) -> String {
    format!(
        "{hosts} has not answered in time; check host and port in the database URL, and that no firewall is in between"
    )
}

fn refused(error: &tokio_postgres::Error, address: &Address) -> String {
    let hosts = &address.hosts;
    if let Some(refusal) = error.as_db_error() {
        return by_server(refusal.code().code(), refusal.message(), address);
    }
    let told = in_full(error);
    if told.starts_with("error performing TLS handshake") {
        return without_encryption(&told, hosts);
    }
    if told.ends_with("password missing") {
        return format!("{hosts} asks for a password, and the database URL has none; add it");
    }
    let Some(cause) = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) else {
        return format!(
            "{hosts} cannot be spoken to ({told}); check that it is PostgreSQL that listens there"
        );
    };
    match cause.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "nothing listens on {hosts} ({cause}); check that PostgreSQL runs there, and host and port in the database URL"
        ),
        io::ErrorKind::TimedOut => silent(address),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => format!(
            "{hosts} closed the connection before it had answered; check that it is PostgreSQL that listens there"
        ),
        _ if cause.to_string().contains("lookup") => {
            format!("the host of {hosts} is not known ({cause}); check its name in the database URL")
        }
        _ => format!("{hosts} cannot be reached ({cause}); check host and port in the database URL"),
    }
}

/// Explains what the server itself has said. It does not repeat passwords.
fn by_server(code: &str, message: &str, address: &Address) -> String {
    let Address { hosts, user, database } = address;
    let user = user.as_deref().unwrap_or("USER");
    let database = database.as_deref().unwrap_or("NAME");
    let next = match code {
        "28P01" => {
            format!(
                "check user and password in the database URL, or give `{user}` this password: \\password {user}"
            )
        }
        "28000" => format!(
            "check that the role `{user}` exists and that pg_hba.conf lets it in from here; where that asks for \
             encryption, add sslmode=require to the database URL"
        ),
        "3D000" => format!(
            "make it with `createdb --owner {user} {database}`, or correct the name in the database URL"
        ),
        "42501" => format!("grant connect on database {database} to {user}"),
        "53300" => "lower database.connections, or raise max_connections of PostgreSQL".to_owned(),
        "57P03" => "wait until it has started".to_owned(),
        _ => "check the database URL, and the log of PostgreSQL".to_owned(),
    };
    format!("PostgreSQL on {hosts} refused the connection: {message} ({code}); {next}")
}

fn without_encryption(told: &str, hosts: &str) -> String {
    if told.ends_with("server does not support TLS") {
        return format!(
            "{hosts} offers no encryption, and the database URL asks for it; set ssl = on in postgresql.conf, or, in a \
             network that you trust, take sslmode out of the URL"
        );
    }
    format!(
        "no encrypted connection to {hosts} ({told}); its certificate must be valid for this host, and of an authority that \
         the system trusts (SSL_CERT_FILE names others)"
    )
}

/// Writes an error with what is behind it.
fn in_full(error: &tokio_postgres::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        told = format!("{told}: {next}");
        cause = next.source();
    }
    told
}

/// Says what has become of a statement.
pub(super) fn translate(error: &tokio_postgres::Error) -> DbError {
    let Some(database) = error.as_db_error() else {
        if error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()) {
            return DbError::Unavailable(in_full(error));
        }
        return DbError::Statement(in_full(error));
    };
    let code = database.code().code();
    match code {
        "23505" => DbError::Conflict,
        "23503" => DbError::Reference,
        // Since PostgreSQL 15 nobody but its owner may make a table in a database.
        "42501" => DbError::Statement(format!(
            "{code} {}; let the role of the database URL own the database (alter database NAME owner to ROLE) and the tables \
             that are in it (reassign owned by OTHER to ROLE)",
            database.message()
        )),
        _ if ["08", "53", "57", "58", "40", "25"].iter().any(|class| code.starts_with(class)) => {
            DbError::Unavailable(format!("{code} {}", database.message()))
        }
        _ => DbError::Statement(format!("{code} {}", database.message())),
    }
}
