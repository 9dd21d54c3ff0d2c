//! Brings the schema up to date: numbered scripts, forward only, each in one transaction.

use super::{Db, DbError, Dialect, params};

/// A version of the schema, its name, and the script that leads to it from the version before.
type Migration = (i64, &'static str, &'static str);

/// The scripts in the order in which they run. A script that was released is never changed again.
pub(super) const MIGRATIONS: &[Migration] = &[
    (1, "first", include_str!("../../migrations/0001_first.sql")),
    (2, "agents", include_str!("../../migrations/0002_agents.sql")),
    (3, "designs", include_str!("../../migrations/0003_designs.sql")),
    (4, "erase", include_str!("../../migrations/0004_erase.sql")),
    (5, "turns", include_str!("../../migrations/0005_turns.sql")),
    (6, "tools", include_str!("../../migrations/0006_tools.sql")),
    (7, "approvals", include_str!("../../migrations/0007_approvals.sql")),
    (8, "traces", include_str!("../../migrations/0008_traces.sql")),
    (9, "conversations", include_str!("../../migrations/0009_conversations.sql")),
    (10, "light_runs", include_str!("../../migrations/0010_light_runs.sql")),
];

/// The line of a script from which on it is for SQLite alone.
const SQLITE_ONLY: &str = "-- On SQLite only:\n";

/// Serialises replicas that start at the same time.
const LOCK: i64 = 0x696e_6772_616d;

/// What opening a database may do to its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// It is made, or brought up to date. For the server, which owns the schema.
    Always,
    /// It is made where there is none. One of another version is refused: an older server may be running on it.
    OnlyFirst,
    /// It stays as it is.
    Never,
}

/// Which version of the schema a database has, and which this program brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// None where nothing was ever made.
    pub found: Option<i64>,
    pub brought: i64,
}

impl Schema {
    /// Tells whether the database waits for a server of this program to bring its schema up to date.
    pub fn is_older(&self) -> bool {
        self.found.is_some_and(|found| found < self.brought)
    }

    /// Tells whether a newer program has changed the schema.
    pub fn is_newer(&self) -> bool {
        self.found.is_some_and(|found| found > self.brought)
    }
}

/// Reads which version of the schema a database has; `migrations` are those that the program brings.
pub(super) async fn schema(db: &Db, migrations: &[Migration]) -> Result<Schema, DbError> {
    let brought = migrations.last().map_or(0, |(version, ..)| *version);
    let is_there = match db.dialect() {
        Dialect::Sqlite => "select count(*) from sqlite_master where name = 'schema_migrations'",
        Dialect::Postgres => "select count(to_regclass('schema_migrations'))",
    };
    let tables: i64 = db.read_one(is_there, params![]).await?.map_or(Ok(0), |row| row.get(0))?;
    if tables == 0 {
        return Ok(Schema { found: None, brought });
    }
    let applied = db.read_one("select max(version) from schema_migrations", params![]).await?;
    Ok(Schema { found: applied.map_or(Ok(None), |row| row.get(0))?, brought })
}

/// Does to the schema what `upgrade` allows.
pub(super) async fn run(db: &Db, migrations: &[Migration], upgrade: Upgrade) -> Result<(), DbError> {
    if upgrade == Upgrade::Never {
        return Ok(());
    }
    let Schema { found, brought } = schema(db, migrations).await?;
    let refuse = |what: &str| {
        let message = format!("the database has schema version {}, this program {what}", found.unwrap_or(0));
        Err(DbError::Unavailable(message))
    };
    match found {
        Some(found) if found > brought => refuse(&format!("knows {brought}: run a newer program")),
        Some(found) if found < brought && upgrade == Upgrade::OnlyFirst => {
            refuse(&format!("brings {brought}: start its server first, which brings the schema up to date"))
        }
        Some(found) if found == brought && upgrade == Upgrade::OnlyFirst => Ok(()),
        _ => bring_up_to_date(db, migrations).await,
    }
}

async fn bring_up_to_date(db: &Db, migrations: &[Migration]) -> Result<(), DbError> {
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
    for (version, name, script) in migrations.iter().filter(|(version, ..)| *version > applied) {
        let script = spelled(dialect, script);
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

/// Returns what of a script is for an engine, with the column types as that one names them. Text is compared byte by byte on
/// both.
fn spelled(dialect: Dialect, script: &str) -> String {
    let for_both = script.split_once(SQLITE_ONLY).map_or(script, |(for_both, _)| for_both);
    match dialect {
        Dialect::Sqlite => script.to_owned(),
        Dialect::Postgres => for_both
            .replace(" BLOB", " BYTEA")
            .replace(" DOUBLE", " DOUBLE PRECISION")
            .replace(" TEXT", " TEXT collate \"C\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{both, options};

    const FIRST: Migration = (1, "first", "create table things (name TEXT primary key);");
    const SECOND: Migration = (2, "second", "create table more_things (name TEXT primary key);");

    async fn has(db: &Db, table: &str) -> bool {
        db.read(&format!("select name from {table}"), params![]).await.is_ok()
    }

    #[tokio::test]
    async fn a_schema_is_left_alone_by_whoever_is_not_the_server() {
        both(async |location| {
            let db = Db::open_with(&options(location), Upgrade::Never).await.unwrap();
            assert_eq!(schema(&db, &[FIRST]).await.unwrap(), Schema { found: None, brought: 1 });
            run(&db, &[FIRST], Upgrade::Never).await.unwrap();
            assert!(!has(&db, "things").await);

            run(&db, &[FIRST], Upgrade::OnlyFirst).await.unwrap();
            assert!(has(&db, "things").await, "there was none yet");
            run(&db, &[FIRST], Upgrade::OnlyFirst).await.unwrap();

            let older = schema(&db, &[FIRST, SECOND]).await.unwrap();
            assert_eq!((older, older.is_older()), (Schema { found: Some(1), brought: 2 }, true));
            run(&db, &[FIRST, SECOND], Upgrade::Never).await.unwrap();
            let refused = run(&db, &[FIRST, SECOND], Upgrade::OnlyFirst).await.unwrap_err().to_string();
            assert!(
                refused.contains("schema version 1, this program brings 2: start its server"),
                "{refused}"
            );
            assert!(!has(&db, "more_things").await);

            run(&db, &[FIRST, SECOND], Upgrade::Always).await.unwrap();
            assert!(has(&db, "more_things").await);
            assert!(schema(&db, &[FIRST]).await.unwrap().is_newer());
            for upgrade in [Upgrade::Always, Upgrade::OnlyFirst] {
                let refused = run(&db, &[FIRST], upgrade).await.unwrap_err().to_string();
                assert!(refused.contains("schema version 2, this program knows 1"), "{refused}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_for_sqlite_alone_is_left_out_elsewhere() {
        let script = "create table things (name TEXT primary key);\n-- On SQLite only:\n\
                      create table more_things (name TEXT primary key) without rowid;";
        both(async |location| {
            let db = Db::open_with(&options(location), Upgrade::Never).await.unwrap();
            run(&db, &[(1, "first", script)], Upgrade::Always).await.unwrap();
            assert!(has(&db, "things").await);
            assert_eq!(has(&db, "more_things").await, db.dialect() == Dialect::Sqlite);
        })
        .await;
    }

    #[tokio::test]
    async fn a_start_that_was_cut_before_the_first_script_is_taken_up() {
        both(async |location| {
            let db = Db::open_with(&options(location), Upgrade::Never).await.unwrap();
            run(&db, &[], Upgrade::Always).await.unwrap();
            assert_eq!(schema(&db, &[FIRST]).await.unwrap().found, None);
            run(&db, &[FIRST], Upgrade::OnlyFirst).await.unwrap();
            assert_eq!(schema(&db, &[FIRST]).await.unwrap().found, Some(1));
        })
        .await;
    }
}
