use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::config::{Environment, Listen, Overrides};

fn config(folder: &std::path::Path) -> Config {
    let data = folder.join("data").display().to_string();
    let overrides =
        Overrides { data: Some(data), listen: Some("127.0.0.1:0".into()), ..Overrides::default() };
    Config::load(&Environment::default(), &overrides).unwrap()
}

#[tokio::test]
async fn a_server_starts_answers_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::build(&config(folder.path())).await.unwrap();
    let client = testkit::http::Client::new(&format!("http://{}", server.address()));
    let shutdown = CancellationToken::new();
    let mut idle = TcpStream::connect(server.address()).await.unwrap();
    let running = TaskTracker::new().spawn(server.run(shutdown.clone()));
    assert_eq!(client.get("/health").await.status, 200);
    assert_eq!(client.get("/ready").await.status, 200);
    shutdown.cancel();
    let started = Instant::now();
    running.await.unwrap().unwrap();
    // An idle connection is closed and does not hold the server up.
    assert!(started.elapsed() < Duration::from_secs(4));
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::build(&config(folder.path())).await.unwrap();
    let error = Server::build(&config(folder.path())).await.err().unwrap();
    assert!(error.to_string().contains("another server"), "{error:#}");
    drop(first);
    assert!(Server::build(&config(folder.path())).await.is_ok());
}

#[tokio::test]
async fn a_database_of_another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    drop(Server::build(&config).await.unwrap());
    config.settings.master_key = Some(api::Secret::new("00".repeat(32)));
    let error = Server::build(&config).await.err().unwrap();
    assert!(format!("{error:#}").contains("another master key"), "{error:#}");
}

#[tokio::test]
async fn scripts_that_cannot_be_read_name_where_their_folder_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let environment: Environment = [("INGRAM_SCRIPTS", "/nowhere")].into_iter().collect();
    let data = folder.path().join("data").display().to_string();
    let overrides =
        Overrides { data: Some(data), listen: Some("127.0.0.1:0".into()), ..Overrides::default() };
    let config = Config::load(&environment, &overrides).unwrap();
    let error = Server::build(&config).await.err().unwrap();
    assert!(format!("{error:#}").starts_with("INGRAM_SCRIPTS: /nowhere cannot be read"), "{error:#}");
}

#[tokio::test]
async fn a_server_listens_on_an_address_of_the_host_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.settings.listen = Listen::Name { host: "localhost".to_owned(), port: 0 };
    let server = Server::build(&config).await.unwrap();
    assert!(server.address().ip().is_loopback() && server.address().port() != 0, "{}", server.address());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::build(&config(folder.path())).await.unwrap();
    let address = first.address().to_string();
    let data = folder.path().join("other").display().to_string();
    let overrides = Overrides { data: Some(data), listen: Some(address.clone()), ..Overrides::default() };
    let config = Config::load(&Environment::default(), &overrides).unwrap();
    let error = format!("{:#}", Server::build(&config).await.err().unwrap());
    assert!(error.starts_with(&format!("--listen: cannot listen on {address}")), "{error}");
}

#[tokio::test]
async fn paths_that_are_not_encoded_are_just_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::build(&config(folder.path())).await.unwrap();
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let running = TaskTracker::new().spawn(server.run(shutdown.clone()));
    for path in ["/v1/nowhere/a\"b{c}", "/v1/nowhere/\u{e4}\u{1f600}", "/v1/nowhere/%zz"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(answer.contains("x-request-id: req_"), "{answer}");
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_larger_than_the_buffer_arrives_whole_and_one_over_the_bound_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.settings.http.max_body_bytes = 2_000_000;
    let server = Server::build(&config).await.unwrap();
    let first = server.store().server().bootstrap().await.unwrap();
    let project = server.store().project(first.project);
    let token = project.mint_admin_token(&Default::default(), None).await.unwrap().unwrap().text;
    let client = testkit::http::Client::new(&format!("http://{}", server.address())).with_bearer(&token);
    let shutdown = CancellationToken::new();
    let running = TaskTracker::new().spawn(server.run(shutdown.clone()));
    let body = |bytes: usize| serde_json::json!({"scope": "admin", "ignored": "a".repeat(bytes)});
    assert_eq!(client.post("/v1/tenant/tokens", &body(1_900_000)).await.status, 201);
    assert_eq!(client.post("/v1/tenant/tokens", &body(2_000_000)).await.status, 413);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
