//! Both engines, driven with the same batches.

mod failures;
mod recall;
mod refusals;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::testing::{both, options};

async fn open(location: Location) -> Db {
    let db = Db::open(&options(location)).await.unwrap();
    db.script("create table things (name text primary key, number bigint not null)").await.unwrap();
    db
}

async fn dump(db: &Db) -> Vec<(String, i64)> {
    let rows = db.read("select name, number from things order by name", params![]).await.unwrap();
    rows.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect()
}

#[tokio::test]
async fn values_of_every_kind_survive() {
    both(async |location| {
        let db = Db::open(&options(location)).await.unwrap();
        let blob = if db.dialect() == Dialect::Sqlite { "blob" } else { "bytea" };
        db.script(&format!("create table kinds (a text, b bigint, c double precision, d {blob}, e text)"))
            .await
            .unwrap();
        let mut batch = Batch::new();
        batch.exec(
            "insert into kinds (a, b, c, d, e) values ($1, $2, $3, $4, $5)",
            params!["text \u{1F600}", i64::MIN, 0.5, vec![0_u8, 255], None::<String>],
        );
        db.commit(batch).await.unwrap();
        let row = db.read_one("select a, b, c, d, e from kinds", params![]).await.unwrap().unwrap();
        assert_eq!(row.get::<String>(0).unwrap(), "text \u{1F600}");
        assert_eq!(row.get::<i64>(1).unwrap(), i64::MIN);
        assert_eq!(row.get::<f64>(2).unwrap(), 0.5);
        assert_eq!(row.get::<Vec<u8>>(3).unwrap(), [0, 255]);
        assert_eq!(row.get::<Option<String>>(4).unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_batch_whose_guard_does_not_hold_leaves_nothing() {
    both(async |location| {
        let db = open(location).await;
        let mut batch = Batch::new();
        batch.exec("insert into things (name, number) values ($1, 1)", params!["a"]);
        batch
            .exec("update things set number = 2 where name = $1", params!["missing"])
            .must_change_one_row("there");
        assert!(matches!(db.commit(batch).await, Err(DbError::Guard("there"))));
        assert!(dump(&db).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_guard_wants_exactly_one_row() {
    both(async |location| {
        let db = open(location).await;
        let mut batch = Batch::new();
        batch.exec("insert into things (name, number) values ('a', 1), ('b', 1)", params![]);
        batch.exec("update things set number = 2 where number = 1", params![]).must_change_one_row("one");
        assert!(matches!(db.commit(batch).await, Err(DbError::Guard("one"))));
        let mut batch = Batch::new();
        batch.exec("insert into things (name, number) values ('a', 1)", params![]).must_change_one_row("one");
        db.commit(batch).await.unwrap();
        assert_eq!(dump(&db).await, [("a".to_owned(), 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_guarded_statement_returns_the_column_that_was_asked_for() {
    both(async |location| {
        let db = open(location).await;
        let mut batch = Batch::new();
        batch
            .exec("insert into things (name, number) values ('a', 41 + 1)", params![])
            .must_change_one_row("one")
            .returning("number");
        batch.exec("update things set number = number + 1", params![]).must_change_one_row("one");
        let outcome = db.commit(batch).await.unwrap();
        assert_eq!(outcome.rows(0).first().map(|row| row.get::<i64>(0).unwrap()), Some(42));
        let mut batch = Batch::new();
        batch
            .exec("delete from things where number = 7", params![])
            .must_change_one_row("one")
            .returning("name");
        assert!(matches!(db.commit(batch).await, Err(DbError::Guard("one"))));
    })
    .await;
}

#[tokio::test]
async fn what_is_independent_is_kept_with_the_guarded_statement_before_it_or_not_at_all() {
    both(async |location| {
        let db = open(location).await;
        let count = async || dump(&db).await.len();
        let batch = |number: i64, name: &'static str, others: [&'static str; 2]| {
            let mut batch = Batch::new();
            batch
                .exec("insert into things (name, number) values ($1, $2)", params![name, number])
                .must_change_one_row("one")
                .returning("number");
            for other in others {
                batch
                    .exec("insert into things (number, name) values ($1, $2)", params![number, other])
                    .independent();
            }
            batch.exec("select count(*) from things", params![]);
            batch
        };
        let outcome = db.commit(batch(7, "a", ["b", "c"])).await.unwrap();
        let numbers: Vec<Vec<i64>> =
            (0..4).map(|place| outcome.rows(place).iter().map(|row| row.get(0).unwrap()).collect()).collect();
        assert_eq!(numbers, [vec![7], vec![], vec![], vec![3]]);
        // One of those that ride along fails: nothing is kept of any.
        assert!(matches!(db.commit(batch(8, "d", ["e", "a"])).await, Err(DbError::Conflict)));
        assert_eq!(count().await, 3);
        // The guard fails, and is what is told of.
        let mut guarded = Batch::new();
        guarded
            .exec("update things set number = 9 where name = 'nobody'", params![])
            .must_change_one_row("one");
        guarded.exec("insert into things (name, number) values ('a', $1)", params![9_i64]).independent();
        assert!(matches!(db.commit(guarded).await, Err(DbError::Guard("one"))));
        assert_eq!(count().await, 3);
    })
    .await;
}

#[tokio::test]
async fn the_log_of_the_embedded_database_stays_short() {
    const MOST: u64 = 96 * 1024 * 1024;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ingram.db");
    let db = open(Location::Sqlite(path.clone())).await;
    let text = "x".repeat(100_000);
    let log = path.with_extension("db-wal");
    // Far more than the log may hold, each commit of its own.
    for number in 0..2_000_i64 {
        let mut batch = Batch::new();
        batch.exec(
            "insert into things (name, number) values ($1, $2) on conflict (name) do update set number = excluded.number",
            params![format!("{} {text}", number % 8), number],
        );
        db.commit(batch).await.unwrap();
    }
    let size = std::fs::metadata(&log).unwrap().len();
    assert!(size < MOST, "{size}");
    assert_eq!(dump(&db).await.len(), 8);
    db.close().await;
    assert!(!log.exists(), "closing leaves nothing in the log");
}

#[tokio::test]
async fn a_second_row_with_the_same_key_is_a_conflict() {
    both(async |location| {
        let db = open(location).await;
        for expected in [true, false] {
            let mut batch = Batch::new();
            batch.exec("insert into things (name, number) values ('a', 1)", params![]);
            batch.exec("select 1", params![]);
            let done = db.commit(batch).await;
            assert_eq!(done.is_ok(), expected);
            assert!(expected || matches!(done, Err(DbError::Conflict)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_hands_back_the_rows_of_each_statement() {
    both(async |location| {
        let db = open(location).await;
        let mut batch = Batch::new();
        batch.exec("insert into things (name, number) values ('a', 1), ('b', 2)", params![]);
        batch.exec("update things set number = number + $1 returning name, number", params![10_i64]);
        batch.exec("select count(*) from things", params![]);
        let outcome = db.commit(batch).await.unwrap();
        assert_eq!(outcome.rows(1).len(), 2);
        assert_eq!(outcome.rows(2)[0].get::<i64>(0).unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
    both(async |location| {
        let db = open(location).await;
        let mut batch = Batch::new();
        batch.exec("insert into things (name, number) values ('sum', 0)", params![]);
        db.commit(batch).await.unwrap();
        let writers = (0..100).map(|_| async {
            let mut batch = Batch::new();
            batch
                .exec("update things set number = number + 1 where name = 'sum'", params![])
                .must_change_one_row("sum");
            db.commit(batch).await.unwrap();
        });
        futures::future::join_all(writers).await;
        assert_eq!(dump(&db).await, [("sum".to_owned(), 100)]);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_was_left_open_is_rolled_back_by_the_next_batch() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(Location::Sqlite(directory.path().join("ingram.db"))).await;
    db.script("begin immediate; insert into things (name, number) values ('left', 1);").await.unwrap();
    let mut batch = Batch::new();
    batch.exec("insert into things (name, number) values ('kept', 2)", params![]);
    db.commit(batch).await.unwrap();
    assert_eq!(dump(&db).await, [("kept".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_on_several_threads_lose_nothing() {
    both(async |location| {
        let db = open(location).await;
        let mut batch = Batch::new();
        batch.exec("insert into things (name, number) values ('sum', 0)", params![]);
        db.commit(batch).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8_i64 {
            let db = db.clone();
            writers.spawn(async move {
                for turn in 0..25_i64 {
                    let mut batch = Batch::new();
                    // Some commit themselves where they can, and some never do.
                    if turn % 3 == 0 {
                        batch.aside();
                    }
                    batch.exec(
                        "insert into things (name, number) values ($1, 0)",
                        params![format!("{writer}-{turn}")],
                    );
                    batch
                        .exec("update things set number = number + 1 where name = 'sum'", params![])
                        .must_change_one_row("sum");
                    if turn % 5 == 0 {
                        batch
                            .exec("update things set number = 0 where name = 'missing'", params![])
                            .must_change_one_row("missing");
                    }
                    let is_kept = db.commit(batch).await.is_ok();
                    assert_eq!(is_kept, turn % 5 != 0, "{writer}-{turn}");
                }
            });
        }
        writers.join_all().await;
        let rows = dump(&db).await;
        assert_eq!(rows.len(), 8 * 20 + 1);
        assert!(rows.contains(&("sum".to_owned(), 8 * 20)), "{rows:?}");
    })
    .await;
}

#[tokio::test]
async fn a_failing_batch_takes_no_neighbour_with_it() {
    both(async |location| {
        let db = open(location).await;
        let batches = (0..50).map(|number| {
            let mut batch = Batch::new();
            batch.exec(
                "insert into things (name, number) values ($1, $2)",
                params![format!("{number:02}"), i64::from(number)],
            );
            if number % 2 == 1 {
                batch
                    .exec("update things set number = 0 where name = 'missing'", params![])
                    .must_change_one_row("odd");
            }
            db.commit(batch)
        });
        let done = futures::future::join_all(batches).await;
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 25);
        assert_eq!(dump(&db).await.len(), 25);
    })
    .await;
}

#[tokio::test]
async fn opening_twice_changes_nothing_and_a_newer_schema_is_refused() {
    both(async |location| {
        let db = Db::open(&options(location.clone())).await.unwrap();
        Db::open(&options(location.clone())).await.unwrap();
        db.script("insert into schema_migrations (version, name) values (999999, 'from the future')")
            .await
            .unwrap();
        let refusal = Db::open(&options(location)).await.err().unwrap();
        assert!(refusal.to_string().contains("run a newer program"), "{refusal}");
    })
    .await;
}

#[tokio::test]
async fn an_announcement_reaches_every_process_once_the_batch_is_kept() {
    let database = testkit::postgres::database().await;
    let location = Location::Postgres(database.url());
    let (here, there) = (open(location.clone()).await, Db::open(&options(location)).await.unwrap());
    let mut heard = there.announcements().unwrap();
    // The other process listens once it has heard something.
    loop {
        let mut probe = Batch::new();
        probe.exec("select 1", params![]);
        probe.announce("probe".into());
        here.commit(probe).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(200), heard.recv()).await.is_ok() {
            break;
        }
    }
    let mut refused = Batch::new();
    refused.exec("update things set number = 1", params![]).must_change_one_row("nothing there");
    refused.announce("refused".into());
    here.commit(refused).await.unwrap_err();
    let mut kept = Batch::new();
    // It rides with a guarded statement, as the one that is refused.
    kept.exec("insert into things (name, number) values ('a', 1)", params![]).must_change_one_row("one");
    kept.announce("kept".into());
    here.commit(kept).await.unwrap();
    let mut news = heard.recv().await.unwrap();
    while news.is_empty() || news == "probe" {
        news = heard.recv().await.unwrap();
    }
    assert_eq!(news, "kept");
}

#[tokio::test]
async fn a_full_writer_queue_says_so_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(Location::Sqlite(directory.path().join("ingram.db")));
    options.wait = Duration::from_secs(1);
    options.queue = 1;
    let db = Db::open(&options).await.unwrap();
    // Another process holds the write lock, so that the queue does not move.
    let other = rusqlite::Connection::open(directory.path().join("ingram.db")).unwrap();
    other.execute_batch("begin immediate").unwrap();
    // More than one group and one place in the queue can hold.
    let writes = (0..400).map(|_| {
        let mut batch = Batch::new();
        batch.exec("delete from server_values", params![]);
        tokio::time::timeout(Duration::from_secs(4), db.commit(batch))
    });
    let done = futures::future::join_all(writes).await;
    assert!(done.iter().any(|done| matches!(done, Ok(Err(DbError::Unavailable(_))))));
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u8, i64),
    Update(u8, i64),
    Delete(u8),
    Guarded(u8, i64),
}

fn change() -> impl Strategy<Value = Change> {
    let name = 0_u8..6;
    prop_oneof![
        (name.clone(), any::<i32>()).prop_map(|(name, number)| Change::Insert(name, number.into())),
        (name.clone(), any::<i32>()).prop_map(|(name, number)| Change::Update(name, number.into())),
        name.clone().prop_map(Change::Delete),
        (name, any::<i32>()).prop_map(|(name, number)| Change::Guarded(name, number.into())),
    ]
}

fn batch_of(changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for change in changes {
        let name = |name: &u8| name.to_string();
        match change {
            Change::Insert(key, number) => {
                batch.exec("insert into things (name, number) values ($1, $2)", params![name(key), *number]);
            }
            Change::Update(key, number) => {
                batch.exec("update things set number = $2 where name = $1", params![name(key), *number]);
            }
            Change::Delete(key) => {
                batch.exec("delete from things where name = $1", params![name(key)]);
            }
            Change::Guarded(key, number) => {
                batch
                    .exec("update things set number = $1 where name = $2", params![*number, name(key)])
                    .must_change_one_row("guarded");
            }
        }
    }
    batch
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn both_engines_end_up_with_the_same_rows(batches in prop::collection::vec(prop::collection::vec(change(), 1..5), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let sqlite = open(Location::Sqlite(directory.path().join("ingram.db"))).await;
            let database = testkit::postgres::database().await;
            let postgres = open(Location::Postgres(database.url())).await;
            for changes in &batches {
                let left = sqlite.commit(batch_of(changes)).await;
                let right = postgres.commit(batch_of(changes)).await;
                assert_eq!(
                    left.as_ref().err().map(ToString::to_string),
                    right.as_ref().err().map(ToString::to_string),
                    "{changes:?}"
                );
            }
            assert_eq!(dump(&sqlite).await, dump(&postgres).await);
        });
    }
}
