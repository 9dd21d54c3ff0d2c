//! Running a test on both engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::{Clock, Timestamp};
use vault::{Ids, MasterKey, SystemClock};

use crate::{DbOptions, Location, Store};

pub(crate) fn options(location: Location) -> DbOptions {
    DbOptions {
        location,
        connections: 4,
        wait: Duration::from_secs(10),
        queue: 1_000,
        cache_bytes: 1_000_000,
        statement_timeout: Duration::from_secs(30),
    }
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

/// A clock that moves when a test says so.
#[derive(Clone, Default)]
pub(crate) struct Driven(Arc<AtomicI64>);

impl Driven {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000_000_000)))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for Driven {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) async fn open_at(location: Location, clock: &Driven) -> Store {
    let ids = Ids::new(Arc::new(clock.clone()));
    Store::open(&options(location), MasterKey::from_bytes([7; 32]), ids).await.unwrap()
}
