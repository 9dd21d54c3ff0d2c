//! What `ingram doctor` wants to know of the database.

use domain::Timestamp;

use crate::db::params;
use crate::{Batch, DbError, Dialect, Error, ServerStore};

/// The guard that never holds.
const NEVER: &str = "never";

/// What a checkup has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkup {
    /// What this machine's clock said.
    pub now: Timestamp,
    /// What the clock of the database's machine said, where that may be another one.
    pub of_database: Option<Timestamp>,
    /// The latest moment that anything stored carries; a clock that is behind it has been set back.
    pub latest: Option<Timestamp>,
}

impl ServerStore {
    /// Reads all of the embedded database, and returns what is damaged first. PostgreSQL looks after itself.
    pub async fn find_damage(&self) -> Result<Option<String>, Error> {
        let db = self.store.db();
        if db.dialect() == Dialect::Postgres {
            return Ok(None);
        }
        let rows = db.read("pragma quick_check(1)", params![]).await?;
        let found = rows.first().map(|row| row.get::<String>(0)).transpose()?;
        Ok(found.filter(|found| found != "ok"))
    }

    /// Reads from the database, and tries whether it can be written, without leaving anything behind.
    pub async fn checkup(&self) -> Result<Checkup, Error> {
        let db = self.store.db();
        let rows = db
            .read(
                "select (select max(created_at) from tokens), \
                 (select created_at from runs order by id desc limit 1), \
                 (select max(created_at) from idempotency_keys)",
                params![],
            )
            .await?;
        let row = rows.first().ok_or(DbError::Corrupt("a query without conditions has a row"))?;
        let moments: [Option<Timestamp>; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
        let mut batch = Batch::new();
        batch
            .exec("update server_values set value = value where name = $1", params![NEVER])
            .must_change_one_row(NEVER);
        match db.commit(batch).await {
            // It would have been written, had there been anything to write.
            Ok(_) | Err(DbError::Guard(NEVER)) => {}
            Err(error) => return Err(error.into()),
        }
        let of_database = match db.dialect() {
            Dialect::Sqlite => None,
            Dialect::Postgres => {
                let clock = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
                db.read_one(clock, params![]).await?.map(|row| row.get(0)).transpose()?
            }
        };
        let now = self.store.ids().now();
        Ok(Checkup { now, of_database, latest: moments.into_iter().flatten().max() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vault::{Ids, MasterKey, SystemClock};

    use crate::db::params;
    use crate::testing::{both, open, options};
    use crate::{Dialect, Location, Store, Upgrade};

    async fn look(location: Location) -> Store {
        let ids = Ids::new(Arc::new(SystemClock));
        let key = MasterKey::from_bytes([7; 32]);
        Store::open_with(&options(location), Upgrade::Never, key, ids).await.unwrap()
    }

    #[tokio::test]
    async fn a_checkup_finds_the_latest_moment_and_writes_nothing() {
        both(async |location| {
            let store = open(location).await;
            let first = store.server().bootstrap().await.unwrap();
            let values = async || {
                let read = store.db().read("select name, value from server_values order by name", params![]);
                read.await.unwrap()
            };
            assert_eq!(store.server().checkup().await.unwrap().latest, None);
            let project = store.project(first.project);
            let minted = project.mint_admin_token(&Default::default(), None).await.unwrap().unwrap();
            let before = values().await;
            let checkup = store.server().checkup().await.unwrap();
            assert_eq!(checkup.latest, Some(minted.record.created_at));
            assert_eq!(checkup.of_database.is_some(), store.db().dialect() == Dialect::Postgres);
            assert_eq!(values().await, before);
        })
        .await;
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_written_fails_its_checkup() {
        both(async |location| {
            let store = open(location.clone()).await;
            store.server().bootstrap().await.unwrap();
            let on_sqlite = store.db().dialect() == Dialect::Sqlite;
            let read_only = if on_sqlite {
                "pragma query_only = on"
            } else {
                "do $$ begin execute format('alter database %I set default_transaction_read_only = on', \
                 current_database()); end $$"
            };
            store.db().script(read_only).await.unwrap();
            // On PostgreSQL it is so for connections that are made from now on.
            let looking = if on_sqlite { store } else { look(location).await };
            let refusal = looking.server().checkup().await.unwrap_err();
            assert!(refusal.is_outage(), "{refusal}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_page_that_is_damaged_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(directory.path().join("ingram.db"));
        let Location::Sqlite(path) = &location else { return };
        let store = open(location.clone()).await;
        store.server().bootstrap().await.unwrap();
        assert_eq!(store.server().find_damage().await.unwrap(), None);
        let root = store.db().read_one("select rootpage from sqlite_master where name = 'runs'", params![]);
        let root: i64 = root.await.unwrap().unwrap().get(0).unwrap();
        store.db().close().await;
        let mut bytes = std::fs::read(path).unwrap();
        let page = usize::try_from(root - 1).unwrap() * 4096;
        bytes[page..page + 100].fill(0x5a);
        std::fs::write(path, bytes).unwrap();
        let store = look(location).await;
        assert!(store.server().find_damage().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_file_that_is_only_looked_at_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ingram.db");
        let store = open(Location::Sqlite(path.clone())).await;
        store.server().bootstrap().await.unwrap();
        // A backup has no log of writes before a server has opened it.
        let backup = directory.path().join("backup.db");
        store.db().script(&format!("vacuum into '{}'", backup.display())).await.unwrap();
        store.db().close().await;
        for path in [path, backup] {
            let before = std::fs::read(&path).unwrap();
            let store = look(Location::Sqlite(path.clone())).await;
            store.server().checkup().await.unwrap();
            store.db().close().await;
            assert!(std::fs::read(&path).unwrap() == before, "{}", path.display());
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "no file is left beside them");
    }
}
