//! What the files of PostgreSQL hold of a person: its tables and indexes, and its log of writes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use e2e::{Engine, Server, Setup};
use memchr::memmem;
use serde_json::json;
use testkit::postgres::Database;
use testkit::upstream::Upstream;

use super::{CLEAR, LEASE, Person, SEALED};

/// Under this name the smith's data key is looked for, as the master key has wrapped it.
const WRAPPED_KEY: &str = "wrapped key";

/// A person of whom every byte can be found, in whatever file it is.
///
/// The search is for plain bytes. PostgreSQL compresses values of more than 2 KB alone; the words here are short, and what is
/// sealed is as good as random. The cluster is shared by tests that run at the same time, so the name is nobody else's.
struct Suspect {
    person: Person,
    wrapped: Vec<u8>,
}

impl Suspect {
    async fn on(server: &Server, database: &Database) -> Self {
        let upstream = Upstream::start().await;
        let key = json!({"api_key": "sk-test", "base_url": upstream.openai_url()});
        server.admin().put("/v1/tenant/model_keys/openai_compatible", &key).await.expect(200);
        let name = Box::leak(format!("process-{}", std::process::id()).into_boxed_str());
        let person = Person::everywhere(server, &upstream, name).await;
        let sql = "select data_key from smiths where external_id = $1";
        let row = database.client().await.query_one(sql, &[&person.word("external")]).await.unwrap();
        Self { person, wrapped: row.get(0) }
    }

    /// Lists what of the person is somewhere in these files.
    fn traces(&self, files: &[PathBuf]) -> BTreeSet<&'static str> {
        let mut wanted: Vec<_> =
            CLEAR.iter().chain(SEALED).map(|what| (*what, self.person.word(what).into_bytes())).collect();
        wanted.push((WRAPPED_KEY, self.wrapped.clone()));
        let mut found = BTreeSet::new();
        for file in files {
            // Files come and go meanwhile.
            let Ok(bytes) = std::fs::read(file) else { continue };
            found.extend(
                wanted.iter().filter(|(_, text)| memmem::find(&bytes, text).is_some()).map(|(what, _)| *what),
            );
        }
        found
    }
}

/// Where the server keeps a database, and its log of writes.
struct Places {
    database: PathBuf,
    log: PathBuf,
}

impl Places {
    async fn of(database: &Database) -> Self {
        let sql = "select current_setting('data_directory'), oid::text from pg_database where datname = current_database()";
        let row = database.client().await.query_one(sql, &[]).await.unwrap();
        let (folder, id): (PathBuf, String) = (row.get::<_, String>(0).into(), row.get(1));
        Self { database: folder.join("base").join(id), log: folder.join("pg_wal") }
    }
}

/// Lists the files of a folder once everything in memory is in them.
async fn on_disk(database: &Database, folder: &Path) -> Vec<PathBuf> {
    database.client().await.batch_execute("checkpoint").await.unwrap();
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect()
}

/// Waits until the server has had its database vacuumed after erasures.
async fn vacuumed(server: &Server, database: &Database) {
    let client = database.client().await;
    let sql = "select count(*) from erasures where scrubbed_at is null";
    let rounds = async {
        while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            server.anonymous().get("/health").await.expect(200);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), rounds).await.expect("a round vacuums");
}

/// Waits until a statement has left nothing of this in the files of the database.
///
/// A row that a transaction of before the erasure may still see is written anew with the others, and transactions of all
/// databases of the cluster count. Those of other tests do not last.
async fn gone(suspect: &Suspect, database: &Database, places: &Places, sql: &str, words: &[&'static str]) {
    let client = database.client().await;
    let rounds = async {
        loop {
            client.batch_execute(sql).await.unwrap();
            let traces = suspect.traces(&on_disk(database, &places.database).await);
            if words.iter().all(|word| !traces.contains(word)) {
                break;
            }
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), rounds).await;
    ended.unwrap_or_else(|_| panic!("{words:?} are gone after {sql}"));
}

#[tokio::test]
async fn files_of_postgres_hold_no_sealed_word_and_none_at_all_once_they_are_written_anew() {
    if std::env::var_os(testkit::postgres::SERVER_VARIABLE).is_some() {
        // The files of somebody else's server are somewhere else.
        return;
    }
    let server = Setup::on(Engine::Postgres).with_configuration(LEASE).start().await;
    let database = server.database().unwrap();
    let places = Places::of(database).await;
    let suspect = Suspect::on(&server, database).await;
    let clear: BTreeSet<&str> = CLEAR.iter().copied().chain([WRAPPED_KEY]).collect();
    // What is sealed is in no file, not even before. What is not sealed is found: the search works.
    assert_eq!(suspect.traces(&on_disk(database, &places.database).await), clear);
    // A checkpoint may have removed the part of the log already that told of it.
    let logged = suspect.traces(&on_disk(database, &places.log).await);
    assert!(logged.is_subset(&clear), "{logged:?}");

    server.admin().post(&suspect.person.path("/erase"), &json!({})).await.expect(200);
    vacuumed(&server, database).await;
    // Bytes of what was not sealed may lie in free space of pages until something else is written there. They are no rows.
    for folder in [&places.database, &places.log] {
        let traces = suspect.traces(&on_disk(database, folder).await);
        assert!(traces.is_subset(&clear), "{traces:?}");
    }
    let client = database.client().await;
    let vacuumed = "select count(*) from pg_stat_user_tables where relname in ('smiths', 'runs', 'tokens') and vacuum_count = 1";
    assert_eq!(client.query_one(vacuumed, &[]).await.unwrap().get::<_, i64>(0), 3);

    // What the documentation tells operators to do who want to be done with it at once.
    gone(&suspect, database, &places, "vacuum full smiths", &[WRAPPED_KEY]).await;
    gone(&suspect, database, &places, "vacuum full", &clear.into_iter().collect::<Vec<_>>()).await;
    // The cluster of the tests deletes old files of its log instead of using them again (`wal_recycle`).
    client.batch_execute("select pg_switch_wal()").await.unwrap();
    let traces = suspect.traces(&on_disk(database, &places.log).await);
    assert!(traces.is_empty(), "{traces:?}");
}
