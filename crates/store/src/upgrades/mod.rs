//! Databases of older versions, as SQL text that both engines load, brought up to date and read.
//!
//! `fixtures/0001.sql` holds the rows that the program made when its newest migration was 0001. CONTRIBUTING.md says how the
//! next one is made.

mod filled;
mod fixture;

use domain::run::Status;

use crate::Store;
use crate::testing::{Driven, both, open, open_at, options};
use filled::Filled;

/// The fixtures there are, with the version of the schema that they were made at.
const FIXTURES: &[(i64, &str)] = &[(1, include_str!("../../fixtures/0001.sql"))];

#[tokio::test]
async fn a_database_of_every_older_version_is_brought_up_to_date_and_read() {
    for (version, rows) in FIXTURES {
        both(async |location| {
            fixture::load(&options(location.clone()), *version, rows).await;
            let store = open(location).await;
            let schema = store.db().schema().await.unwrap();
            assert_eq!(schema.found, Some(schema.brought));
            Filled::find(&store).await.check(&store).await;
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_fixture_is_filled_with_is_found_again() {
    both(async |location| {
        let store = open_at(location, &Driven::new()).await;
        filled::fill(&store).await;
        Filled::find(&store).await.check(&store).await;
    })
    .await;
}

/// Not a test: writes the fixture of the present version, for the test of the versions that come.
#[tokio::test]
#[ignore = "writes fixtures/<version>.sql; run it by name before the first migration after a release"]
async fn write_the_fixture_of_this_version() {
    let directory = tempfile::tempdir().unwrap();
    let location = crate::Location::Sqlite(directory.path().join("ingram.db"));
    let store: Store = open_at(location, &Driven::new()).await;
    filled::fill(&store).await;
    let version = store.db().schema().await.unwrap().brought;
    let path = format!("{}/fixtures/{version:04}.sql", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(path, fixture::dump(store.db(), version).await).unwrap();
}

/// The statuses of the runs on the fixture's thread, oldest first.
const STATUSES: [Status; 4] = [Status::Completed, Status::Failed, Status::Running, Status::Queued];
