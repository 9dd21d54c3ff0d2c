//! A database that goes away under the server, and comes back.

use e2e::{Engine, Setup};
use reqwest::Method;
use serde_json::json;
use testkit::sse::text_of;

use crate::kills::Client;
use crate::support::entries;

/// Impatient, so that the tests need not wait for the defaults.
const CONFIGURATION: &str =
    "[engine]\nlease_ms = 400\n[database]\nwait_ms = 500\nstatement_timeout_ms = 500\n";
const SCRIPT: &str = "[[rule]]\nsay = \"The quick brown fox jumps over the lazy dog.\"\nchunk = \"words\"\nchunk_delay_ms = 60\n";

#[tokio::test]
async fn streams_go_on_without_a_gap_when_the_database_is_back() {
    let setup = Setup::on(Engine::Postgres).behind_proxy().with_configuration(CONFIGURATION);
    let server = setup.with_script("fox", SCRIPT).start().await;
    let smith = server.smith(json!({"model": "scripted/fox"})).await;
    let body = json!({"input": "go", "stream": true});
    let mut clients = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = server.admin().stream(Method::POST, &smith.path("/runs"), Some(&body)).await;
        let mut client = Client::new(smith.path(&format!("/runs/{}/events", stream.header("ic-run-id"))));
        client.seen = stream.take(2).await;
        clients.push(client);
        streams.push(stream);
    }
    server.proxy().close();
    for (client, stream) in clients.iter_mut().zip(&mut streams) {
        // What was stored comes to its end; then the stream breaks off or waits.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(50), async {
            while let Some(frame) = stream.next().await {
                client.seen.push(frame);
            }
        })
        .await;
    }
    drop(streams);
    server.admin().get("/v1/smiths").await.expect_error(503, "storage_unavailable");
    let refused = server.admin().post(&smith.path("/runs"), &json!({"input": "x"})).await;
    refused.expect_error(503, "storage_unavailable");
    assert_eq!(server.anonymous().get("/ready").await.status, 503);
    assert_eq!(server.anonymous().get("/health").await.status, 200);

    server.proxy().open();
    for client in &mut clients {
        while !client.is_done() {
            client.read_on(&server).await;
        }
        let stored = server.admin().follow(&client.path, None).await.collect_until_end().await;
        assert_eq!(client.seen, stored);
        assert!((0..stored.len() as u64).map(Some).eq(stored.iter().map(|frame| frame.id)), "no gap");
        assert_eq!(stored.last().unwrap().event, "run.completed");
        assert_eq!(text_of(&stored), "The quick brown fox jumps over the lazy dog.");
    }
    assert_eq!(server.anonymous().get("/ready").await.status, 200);
    let runs = server.admin().get("/v1/runs").await.expect(200);
    assert_eq!(entries(&runs).len(), 5, "what was refused was not done");
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_one_run_when_it_is_sent_again_with_its_key() {
    let setup = Setup::on(Engine::Postgres).behind_proxy().with_configuration(CONFIGURATION);
    let server = setup.start().await;
    let smith = server.smith(json!({})).await;
    let client = server.admin().with_header("idempotency-key", "once");
    let body = json!({"input": "hello", "thread_id": "cut-here"});
    server.proxy().lose_answer(&[b"cut-here", b"commit"], b"COMMIT");
    let unknown = client.post(&smith.path("/runs"), &body).await;
    unknown.expect_error(500, "internal_error");
    assert!(unknown.error("message").contains("not known"), "{}", unknown.error("message"));
    server.proxy().caught().await;
    // The run is there and is taken up by itself; until it rests, the key is told to come back.
    let record = loop {
        let answer = client.post(&smith.path("/runs"), &body).await;
        if answer.status == 200 {
            break answer.expect(200);
        }
        answer.expect_error(409, "idempotency_in_progress");
    };
    assert_eq!(record["status"], "completed");
    let runs = server.admin().get("/v1/runs").await.expect(200);
    assert_eq!(entries(&runs).len(), 1);
}

#[tokio::test]
async fn a_request_that_waits_too_long_for_a_lock_is_refused_and_changes_nothing() {
    let server = Setup::on(Engine::Postgres).with_configuration(CONFIGURATION).start().await;
    let smith = server.smith(json!({"display_name": "Ana"})).await;
    let other = server.database().unwrap().client().await;
    other.batch_execute("begin; select * from smiths for update").await.unwrap();
    let path = smith.path("");
    let refused = server.admin().patch(&path, &json!({"display_name": "Eva"})).await;
    refused.expect_error(503, "storage_unavailable");
    assert_eq!(server.admin().get(&path).await.expect(200)["display_name"], "Ana");
    other.batch_execute("rollback").await.unwrap();
    server.admin().patch(&path, &json!({"display_name": "Eva"})).await.expect(200);
}
