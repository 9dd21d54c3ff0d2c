use super::*;

async fn count(database: &Database, query: &str) -> i64 {
    database.client().await.query_one(query, &[]).await.unwrap().get(0)
}

async fn create_table(url: String) -> Result<()> {
    let client = connect(&url).await?;
    client.batch_execute("create table notes (text text); insert into notes values ('a'), ('b')").await?;
    Ok(())
}

#[tokio::test]
async fn two_databases_do_not_see_each_other() {
    let (first, second) = (database().await, database().await);
    create_table(first.url()).await.unwrap();
    let tables = "select count(*) from pg_tables where tablename = 'notes'";
    assert_eq!((count(&first, tables).await, count(&second, tables).await), (1, 0));
}

#[tokio::test]
async fn a_database_is_gone_when_its_owner_is() {
    let (watcher, short_lived) = (database().await, database().await);
    let open = short_lived.client().await;
    let known = format!("select count(*) from pg_database where datname = '{}'", short_lived.name());
    assert_eq!(count(&watcher, &known).await, 1);
    drop(short_lived);
    assert_eq!(count(&watcher, &known).await, 0);
    assert!(open.batch_execute("select 1").await.is_err());
}

#[tokio::test]
async fn a_template_is_filled_once_for_all_who_ask_at_the_same_time() {
    let name = format!("once_{}", cluster::random_text(4).unwrap());
    let fills = AtomicU64::new(0);
    let ask = || {
        ensure_template(&name, async |url| {
            fills.fetch_add(1, Ordering::Relaxed);
            create_table(url).await
        })
    };
    futures::future::join4(ask(), ask(), ask(), ask()).await;
    assert_eq!(fills.load(Ordering::Relaxed), 1);
    let (one, other) = futures::future::join(database_from(&name), database_from(&name)).await;
    one.client().await.batch_execute("delete from notes").await.unwrap();
    assert_eq!(count(&other, "select count(*) from notes").await, 2);
}

#[tokio::test]
async fn a_failed_fill_leaves_no_template() {
    let name = format!("failed_{}", cluster::random_text(4).unwrap());
    assert!(make_template(&name, async |_| anyhow::bail!("no")).await.is_err());
    ensure_template(&name, create_table).await;
    assert_eq!(count(&database_from(&name).await, "select count(*) from notes").await, 2);
}

#[tokio::test]
async fn cut_connections_fail_and_new_ones_work() {
    let database = database().await;
    let old = database.client().await;
    database.cut_connections().await;
    assert!(old.batch_execute("select 1").await.is_err());
    assert_eq!(count(&database, "select 1::bigint").await, 1);
}

#[test]
fn the_database_is_replaced_in_any_server_url() {
    let cases = [
        ("postgres://u:p@h:5432/postgres", "postgres://u:p@h:5432/x"),
        ("postgres://h", "postgres://h/x"),
        ("postgres://h/?sslmode=disable", "postgres://h/x?sslmode=disable"),
        ("postgres://h?host=/tmp/s", "postgres://h/x?host=/tmp/s"),
    ];
    for (server, expected) in cases {
        assert_eq!(url_of(server, "x"), expected);
    }
}
