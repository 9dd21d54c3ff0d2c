//! What `ingram doctor` wants to know of the database.

use domain::Timestamp;

use crate::db::params;
use crate::{Batch, Error, ServerStore};

const LAST: &str = "last_checkup";

/// What a checkup has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkup {
    /// The latest moment that anything stored carries; a clock that is behind it has been set back.
    pub latest: Option<Timestamp>,
}

impl ServerStore {
    /// Reads from the database and writes to it.
    pub async fn checkup(&self) -> Result<Checkup, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select (select max(created_at) from tokens), \
                 (select created_at from runs order by id desc limit 1), \
                 (select max(created_at) from idempotency_keys)",
                params![],
            )
            .await?;
        let row = rows.first().ok_or(crate::DbError::Corrupt("a query without conditions has a row"))?;
        let moments: [Option<Timestamp>; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
        let mut batch = Batch::new();
        batch.exec(
            "insert into server_values (name, value) values ($1, $2) \
             on conflict (name) do update set value = excluded.value",
            params![LAST, self.store.ids().now().to_string()],
        );
        self.store.db().commit(batch).await?;
        Ok(Checkup { latest: moments.into_iter().flatten().max() })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{both, open};

    #[tokio::test]
    async fn a_checkup_finds_the_latest_moment() {
        both(async |location| {
            let store = open(location).await;
            let first = store.server().bootstrap().await.unwrap();
            assert_eq!(store.server().checkup().await.unwrap().latest, None);
            let project = store.project(first.project);
            let minted = project.mint_admin_token(&Default::default(), None).await.unwrap().unwrap();
            let checkup = store.server().checkup().await.unwrap();
            assert_eq!(checkup.latest, Some(minted.record.created_at));
        })
        .await;
    }
}
