//! Brings the schema up to date: numbered scripts, forward only, each in one transaction.

use super::{Db, DbError, Dialect, params};

/// The scripts in the order in which they run. A script that was released is never changed again.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../../migrations/0001_first.sql")),
    (5, "turns", include_str!("../../migrations/0005_turns.sql")),
];

/// Serialises replicas that start at the same time.
const LOCK: i64 = 0x696e_6772_616d;

/// The version that this program works with.
pub(super) const NEWEST: i64 = match MIGRATIONS.last() {
    Some((version, ..)) => *version,
    None => 0,
};

/// Runs what is missing up to a version.
pub(super) async fn run(db: &Db, newest: i64) -> Result<(), DbError> {
    let dialect = db.dialect();
    if dialect == Dialect::Postgres {
        db.script(GUARD_FUNCTION).await?;
    }
    db.script(&in_transaction(
        dialect,
        "create table if not exists schema_migrations (version bigint primary key, name text not null)",
    ))
    .await?;
    let applied = db.read("select coalesce(max(version), 0) from schema_migrations", params![]).await?;
    let applied: i64 = applied.first().map_or(Ok(0), |row| row.get(0))?;
    if applied > newest {
        return Err(DbError::Unavailable(format!(
            "the database has schema version {applied}, this program knows {newest}: run a newer program"
        )));
    }
    let missing = MIGRATIONS.iter().filter(|(version, ..)| *version > applied && *version <= newest);
    for (version, name, script) in missing {
        let script = types(dialect, script);
        let guarded =
            format!("{script}\ninsert into schema_migrations (version, name) values ({version}, '{name}');");
        match db.script(&in_transaction(dialect, &guarded)).await {
            Ok(()) => tracing::info!(schema.version = version, "The database schema was brought up to date."),
            // Another replica was faster: what it did is what we wanted.
            Err(error) => {
                if dialect == Dialect::Sqlite {
                    let _ = db.script("rollback").await;
                }
                let there = db
                    .read("select version from schema_migrations where version = $1", params![*version])
                    .await?;
                if there.is_empty() {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

const GUARD_FUNCTION: &str =
    "begin; set local statement_timeout = 0; select pg_advisory_xact_lock(115891384280429);
create or replace function ingram_guard(changed bigint, label text) returns bigint language plpgsql as $$
begin
    if changed <> 1 then
        raise exception using errcode = 'IG001', message = label;
    end if;
    return changed;
end $$; commit;";

fn in_transaction(dialect: Dialect, script: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("begin immediate; {script}; commit;"),
        // A migration takes as long as it takes, and so does the wait for a replica that runs one.
        Dialect::Postgres => format!(
            "begin; set local statement_timeout = 0; select pg_advisory_xact_lock({LOCK}); {script}; commit;"
        ),
    }
}

/// Spells the column types that the engines name differently. Text is compared byte by byte on both.
fn types(dialect: Dialect, script: &str) -> String {
    match dialect {
        Dialect::Sqlite => script.to_owned(),
        Dialect::Postgres => script
            .replace(" BLOB", " BYTEA")
            .replace(" DOUBLE", " DOUBLE PRECISION")
            .replace(" TEXT", " TEXT collate \"C\""),
    }
}
