//! Databases that are full, locked, slow, silent or gone.

use testkit::proxy::Proxy;

use super::*;

fn insert(name: &str) -> Batch {
    let mut batch = Batch::new();
    batch.exec("insert into things (name, number) values ($1, 1)", params![name]);
    batch
}

async fn names(db: &Db) -> Vec<String> {
    dump(db).await.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn on_a_full_disk_what_was_acknowledged_is_there_and_the_rest_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ingram.db");
    let db = open(Location::Sqlite(path.clone())).await;
    // No page more than there is.
    db.script("pragma max_page_count = 1").await.unwrap();
    let names_to_write: Vec<String> = (0..40)
        .map(|number| {
            format!("{number:02}{}", if number % 8 == 4 { "x".repeat(100_000) } else { String::new() })
        })
        .collect();
    // Another process holds the lock until everything waits, so that it is written in groups.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let writes = names_to_write.iter().map(|name| db.commit(insert(name)));
    let (done, ()) = futures::future::join(futures::future::join_all(writes), async {
        other.execute_batch("rollback").unwrap()
    })
    .await;
    let kept: Vec<String> = names_to_write
        .iter()
        .zip(&done)
        .filter(|(_, done)| done.is_ok())
        .map(|(name, _)| name.clone())
        .collect();
    let is_full = |done: &_| matches!(done, Err(DbError::Unavailable(why)) if why.contains("full; make room on its disk"));
    assert!(done.iter().any(is_full), "{done:?}");
    assert!(done.iter().all(|done| matches!(done, Ok(_) | Err(DbError::Unavailable(_)))), "{done:?}");
    assert_eq!(names(&db).await, kept, "acknowledged is there, refused is not");
    // There is room again.
    db.script("pragma max_page_count = 100000").await.unwrap();
    for (name, done) in names_to_write.iter().zip(&done) {
        if done.is_err() {
            db.commit(insert(name)).await.unwrap();
        }
    }
    assert_eq!(names(&db).await, names_to_write);
}

#[tokio::test]
async fn a_file_that_another_process_has_locked_is_unavailable_until_it_lets_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ingram.db");
    let db = open(Location::Sqlite(path.clone())).await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let refused = db.commit(insert("a")).await;
    assert!(matches!(&refused, Err(DbError::Unavailable(why)) if why.contains("locked")), "{refused:?}");
    assert!(names(&db).await.is_empty(), "reading goes on");
    other.execute_batch("rollback").unwrap();
    db.commit(insert("a")).await.unwrap();
    assert_eq!(names(&db).await, ["a"]);
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_unavailable_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(Location::Sqlite(directory.path().join("ingram.db"))).await;
    // What SQLite says of a file system that is mounted read-only; permissions do not stop root.
    db.script("pragma query_only = on").await.unwrap();
    let refused = db.commit(insert("a")).await;
    assert!(matches!(&refused, Err(DbError::Unavailable(why)) if why.contains("readonly")), "{refused:?}");
    db.script("pragma query_only = off").await.unwrap();
    db.commit(insert("a")).await.unwrap();
    let nowhere = Location::Sqlite(directory.path().join("missing").join("ingram.db"));
    let refusal = Db::open(&options(nowhere)).await.err().unwrap();
    assert!(matches!(&refusal, DbError::Unavailable(why) if why.contains("unable to open")), "{refusal}");
}

#[tokio::test]
async fn a_file_that_is_damaged_says_what_to_do_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ingram.db");
    let refusal =
        async || Db::open(&options(Location::Sqlite(path.clone()))).await.err().unwrap().to_string();
    std::fs::write(&path, "no database at all, but longer than the head of one: ".repeat(10)).unwrap();
    let told = refusal().await;
    assert!(told.contains("file is not a database; something else was written into the file"), "{told}");
    assert!(told.contains("restore it from your backup"), "{told}");

    std::fs::remove_file(&path).unwrap();
    Db::open(&options(Location::Sqlite(path.clone()))).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind the head of the file, where its table of tables is.
    bytes[100..4096].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let told = refusal().await;
    assert!(told.contains("malformed; the file is damaged: stop the server and restore it"), "{told}");

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let told = refusal().await;
    assert!(told.contains("unable to open") && told.contains("check that it is a file"), "{told}");
}

/// A database whose statements may take a third of a second, through a proxy.
async fn impatient() -> (testkit::postgres::Database, Proxy, Db) {
    let database = testkit::postgres::database().await;
    let proxy = Proxy::start(&database.url()).await;
    let mut options = options(Location::Postgres(proxy.url(&database.url())));
    options.statement_timeout = Duration::from_millis(300);
    let db = Db::open(&options).await.unwrap();
    db.script("create table things (name text primary key, number bigint not null)").await.unwrap();
    (database, proxy, db)
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up_and_nothing_is_done() {
    let (_database, _proxy, db) = impatient().await;
    let refused = db.read("select pg_sleep(60)", params![]).await;
    assert!(matches!(refused, Err(DbError::Unavailable(_))), "{refused:?}");
    let mut batch = insert("a");
    batch.exec("select pg_sleep(60)", params![]);
    let refused = db.commit(batch).await;
    assert!(matches!(refused, Err(DbError::Unavailable(_))), "{refused:?}");
    assert!(names(&db).await.is_empty());
    // A migration may take its time.
    db.script("begin; set local statement_timeout = 0; select pg_sleep(0.5); commit").await.unwrap();
    db.commit(insert("a")).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_waits_too_long_for_a_lock_is_given_up_and_nothing_is_done() {
    let (database, _proxy, db) = impatient().await;
    db.commit(insert("a")).await.unwrap();
    let other = database.client().await;
    other.batch_execute("begin; update things set number = 2").await.unwrap();
    let mut batch = insert("b");
    batch.exec("update things set number = 3 where name = 'a'", params![]).must_change_one_row("a");
    let refused = db.commit(batch).await;
    assert!(matches!(refused, Err(DbError::Unavailable(_))), "{refused:?}");
    other.batch_execute("rollback").await.unwrap();
    assert_eq!(dump(&db).await, [("a".to_owned(), 1)]);
    db.commit(insert("b")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_and_a_commit_is_then_unknown() {
    let (_database, proxy, db) = impatient().await;
    db.commit(insert("a")).await.unwrap();
    assert_eq!(names(&db).await, ["a"]);
    proxy.freeze();
    let refused = db.read("select name, number from things order by name", params![]).await;
    assert!(matches!(refused, Err(DbError::Unavailable(_))), "{refused:?}");
    proxy.open();
    // Known on this connection, so that only the batch itself is silent.
    db.commit(insert("b")).await.unwrap();
    proxy.freeze();
    let refused = db.commit(insert("c")).await;
    assert!(matches!(refused, Err(DbError::Unknown(_))), "{refused:?}");
    proxy.open();
    db.commit(insert("d")).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_dies_after_the_commit_leaves_the_outcome_unknown() {
    let (_database, proxy, db) = impatient().await;
    let mut batch = insert("kept");
    batch.exec("insert into things (name, number) values ('too', 1)", params![]);
    proxy.lose_answer(&[b"kept", b"commit"], b"COMMIT");
    let unknown = db.commit(batch).await;
    assert!(matches!(unknown, Err(DbError::Unknown(_))), "{unknown:?}");
    assert_eq!(names(&db).await, ["kept", "too"]);
    proxy.lose_answer(&[b"alone"], b"INSERT");
    let unknown = db.commit(insert("alone")).await;
    assert!(matches!(unknown, Err(DbError::Unknown(_))), "{unknown:?}");
    assert_eq!(names(&db).await, ["alone", "kept", "too"]);
}

#[tokio::test]
async fn a_database_that_was_gone_is_used_again_when_it_is_back() {
    let (_database, proxy, db) = impatient().await;
    db.commit(insert("a")).await.unwrap();
    proxy.close();
    for _ in 0..6 {
        let refused = db.commit(insert("b")).await;
        assert!(matches!(refused, Err(DbError::Unavailable(_) | DbError::Unknown(_))), "{refused:?}");
        let refused = db.ping().await;
        assert!(matches!(refused, Err(DbError::Unavailable(_))), "{refused:?}");
    }
    proxy.open();
    db.commit(insert("b")).await.unwrap();
    assert_eq!(names(&db).await, ["a", "b"]);
}
