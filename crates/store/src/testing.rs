//! Running a test on both engines.

use std::sync::Arc;
use std::time::Duration;

use vault::{Ids, MasterKey, SystemClock};

use crate::{DbOptions, Location, Store};

pub(crate) fn options(location: Location) -> DbOptions {
    DbOptions { location, connections: 4, wait: Duration::from_secs(10), queue: 1_000 }
}

/// Runs a test body on a fresh SQLite file and on a fresh PostgreSQL database.
pub(crate) async fn both(body: impl AsyncFn(Location)) {
    let directory = tempfile::tempdir().unwrap();
    body(Location::Sqlite(directory.path().join("ingram.db"))).await;
    let database = testkit::postgres::database().await;
    body(Location::Postgres(database.url())).await;
}

pub(crate) async fn open(location: Location) -> Store {
    let ids = Ids::new(Arc::new(SystemClock));
    Store::open(&options(location), MasterKey::from_bytes([7; 32]), ids).await.unwrap()
}
