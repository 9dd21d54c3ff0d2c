//! Rows that are kept in memory.

use super::*;

const SQL: &str = "select name from projects where id = $1";

/// Makes a project for each of the names, whose id is 16 times its place.
async fn projects(db: &Db, names: &[&str]) {
    let mut batch = Batch::new();
    let organization = params![[0_u8; 16]];
    batch.exec("insert into organizations (id, name, created_at) values ($1, 'us', 0)", organization);
    for (place, name) in (1_u8..).zip(names) {
        batch.exec(
            "insert into projects (id, organization_id, name, metadata, created_at) values ($1, $2, $3, '{}', 0)",
            params![[place; 16], [0_u8; 16], *name],
        );
    }
    db.commit(batch).await.unwrap();
}

async fn recalled(db: &Db, place: u8) -> Option<String> {
    let rows = db.recall(SQL, params![[place; 16]]).await.unwrap();
    rows.first().map(|row| row.get(0).unwrap())
}

async fn rename(db: &Db, place: u8, name: &str, aside: bool) {
    let mut batch = Batch::new();
    batch.exec("update projects set name = $1 where id = $2", params![name, [place; 16]]);
    if aside {
        batch.aside();
    }
    db.commit(batch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_written_is_recalled_at_once_whoever_else_reads_and_writes() {
    both(async |location| {
        let db = Db::open(&options(location)).await.unwrap();
        projects(&db, &["one", "two", "three", "four"]).await;
        let tasks = tokio_util::task::TaskTracker::new();
        let writers: Vec<_> = (1..=4)
            .map(|place| {
                let db = db.clone();
                tasks.spawn(async move {
                    for round in 0..40 {
                        let name = format!("{place}-{round}");
                        rename(&db, place, &name, (round + u32::from(place)) % 3 == 0).await;
                        assert_eq!(recalled(&db, place).await, Some(name));
                        recalled(&db, place % 4 + 1).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        db.close().await;
    })
    .await;
}

#[tokio::test]
async fn the_embedded_database_is_not_asked_again_for_what_it_has_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ingram.db");
    let db = Db::open(&options(Location::Sqlite(path.clone()))).await.unwrap();
    projects(&db, &["one", "two"]).await;
    assert_eq!(recalled(&db, 1).await.as_deref(), Some("one"));
    assert_eq!(recalled(&db, 3).await, None);
    // Behind its back: what it has said stands for a while; what it has not said is read.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("update projects set name = name || '!'", []).unwrap();
    let third =
        "insert into projects select ?1, organization_id, 'three', metadata, 0, null from projects limit 1";
    other.execute(third, [[3_u8; 16]]).unwrap();
    let known = [recalled(&db, 1).await, recalled(&db, 2).await, recalled(&db, 3).await];
    assert_eq!(known.map(Option::unwrap), ["one", "two!", "three"]);
    rename(&db, 2, "deux", false).await;
    let known = [recalled(&db, 1).await, recalled(&db, 2).await];
    assert_eq!(known.map(Option::unwrap), ["one!", "deux"]);
    other.execute("update projects set name = 'uno' where id = ?1", [[1_u8; 16]]).unwrap();
    db.script("create table later (name text)").await.unwrap();
    assert_eq!(recalled(&db, 1).await.as_deref(), Some("uno"));
    db.close().await;
}

#[tokio::test]
async fn a_table_that_is_kept_is_there_and_no_other_statement_changes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ingram.db");
    let db = Db::open(&options(Location::Sqlite(path.clone()))).await.unwrap();
    let schema = rusqlite::Connection::open(&path).unwrap();
    let count = |sql: &str| schema.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    for table in remembered::TABLES {
        let sql = format!("select count(*) from sqlite_schema where type = 'table' and name = '{table}'");
        assert_eq!(count(&sql), 1, "{table}");
    }
    assert_eq!(count("select count(*) from sqlite_schema where type in ('trigger', 'view')"), 0);
    let acting = "select count(*) from sqlite_schema as tables, pragma_foreign_key_list(tables.name) as keys \
                  where keys.on_delete <> 'NO ACTION' or keys.on_update <> 'NO ACTION'";
    assert_eq!(count(acting), 0);
    db.close().await;
}
