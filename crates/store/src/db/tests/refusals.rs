//! What a PostgreSQL that lets nobody in says to whoever starts a server on it.

use std::net::TcpListener;

use testkit::proxy::Proxy;

use super::*;

async fn refusal(url: &str) -> String {
    let mut options = options(Location::Postgres(url.to_owned()));
    options.wait = Duration::from_secs(2);
    match Db::open(&options).await.err() {
        Some(DbError::Unavailable(why) | DbError::Statement(why)) => why,
        other => panic!("it should have been refused: {other:?}"),
    }
}

/// Splits an address into what is before the host, and the host with the port.
fn split(url: &str) -> (String, String) {
    let (before, behind) = url.split_once('@').unwrap();
    (format!("{before}@"), behind.split(['/', '?']).next().unwrap().to_owned())
}

fn check(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("hush"), "{told}");
}

#[tokio::test]
async fn a_port_on_which_nothing_listens_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let told = refusal(&format!("postgres://me:hush@127.0.0.1:{port}/name")).await;
    check(&told, &[&format!("nothing listens on 127.0.0.1:{port}"), "check that PostgreSQL runs there"]);
}

#[tokio::test]
async fn a_host_without_an_address_is_named() {
    let told = refusal("postgres://me:hush@nowhere.invalid/name").await;
    check(&told, &["nowhere.invalid:5432", "check its name in the database URL"]);
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_database_that_is_not_there() {
    let database = testkit::postgres::database().await;
    let (_, place) = split(&database.url());
    let told = refusal(&format!("postgres://postgres:hush@{place}/{}", database.name())).await;
    check(&told, &[&place, "password authentication failed", "check user and password in the database URL"]);
    let told = refusal(&format!("postgres://postgres@{place}/{}", database.name())).await;
    check(&told, &[&place, "asks for a password, and the database URL has none"]);
    let missing = database.url().replace(database.name(), "nowhere");
    let told = refusal(&missing).await;
    check(&told, &["database \"nowhere\" does not exist", "createdb --owner postgres nowhere"]);
}

#[tokio::test]
async fn encryption_that_is_asked_for_and_not_there_is_no_connection() {
    let database = testkit::postgres::database().await;
    let told = refusal(&format!("{}?sslmode=require", database.url())).await;
    check(&told, &["offers no encryption, and the database URL asks for it", "take sslmode out of the URL"]);
}

#[tokio::test]
async fn a_server_that_hangs_up_or_says_nothing_is_named() {
    let database = testkit::postgres::database().await;
    let proxy = Proxy::start(&database.url()).await;
    let url = proxy.url(&database.url());
    let (_, place) = split(&url);
    proxy.close();
    check(&refusal(&url).await, &[&place, "closed the connection", "check that it is PostgreSQL"]);
    proxy.freeze();
    check(&refusal(&url).await, &[&place, "has not answered in time"]);
}

#[tokio::test]
async fn a_role_that_may_make_no_tables_is_told_what_it_lacks() {
    let database = testkit::postgres::database().await;
    let admin = database.client().await;
    let role = format!("{}_guest", database.name());
    admin.batch_execute(&format!("create role \"{role}\" login password 'hush'")).await.unwrap();
    let (_, place) = split(&database.url());
    let told = refusal(&format!("postgres://{role}:hush@{place}/{}", database.name())).await;
    admin.batch_execute(&format!("drop role \"{role}\"")).await.unwrap();
    check(&told, &["42501", "permission denied", "alter database NAME owner to ROLE"]);
}

#[tokio::test]
async fn an_address_that_cannot_be_read_is_told_without_a_word_of_it() {
    check(
        &refusal("postgres://me:hush@host:port/name").await,
        &["the database URL is malformed", "its port"],
    );
}
