//! SIGTERM: what is under way ends or is handed over.

use std::time::Duration;

use e2e::{Engine, Setup};
use serde_json::json;
use testkit::sse::text_of;
use testkit::upstream::{Gate, Reply, Upstream};
use tokio::time::timeout;

use crate::erase::archives::{begun, noise};
use crate::support::{TRIED, held_tool};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

#[tokio::test]
async fn a_run_that_ends_in_time_ends_before_the_server_does() {
    for engine in ENGINES {
        let mut server = Setup::on(engine).start().await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::chunks(["One ", "two."]).through(&gate));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "x", "stream": true});
        let mut stream =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.release(1);
        stream.take(2).await;
        server.terminate();
        gate.open();
        assert_eq!(stream.drain().await.last().unwrap().event, "run.completed");
        assert!(server.ended().await, "{}", server.log());
    }
}

#[tokio::test]
async fn a_run_that_does_not_end_in_time_is_handed_to_the_next_start() {
    for engine in ENGINES {
        let configuration = "[engine]\nlease_ms = 400\ndrain_ms = 50\n";
        let mut server = Setup::on(engine).with_configuration(configuration).start().await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::chunks(["One ", "two."]).through(&gate));
        upstream.answer(Reply::text("One two."));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "x", "stream": true});
        let mut stream =
            server.admin().stream(reqwest::Method::POST, &smith.path("/runs"), Some(&body)).await;
        gate.release(1);
        let mut seen = stream.take(2).await;
        let path = smith.path(&format!("/runs/{}/events", stream.header("ic-run-id")));
        server.terminate();
        assert!(server.ended().await, "{}", server.log());
        seen.extend(stream.drain().await);
        server.start_again().await;
        let last = seen.last().unwrap().id;
        seen.extend(server.admin().follow(&path, last).await.collect_until_end().await);
        assert_eq!(text_of(&seen), "One two.");
        assert_eq!(seen.last().unwrap().event, "run.completed");
    }
}

#[tokio::test]
async fn who_does_not_read_its_answer_holds_a_shutdown_up_for_a_bounded_time() {
    let mut server = Setup::on(Engine::Sqlite).with_variable("INGRAM_SERVER_CLOSE_MS", "100").start().await;
    let smith = server.smith(json!({"model": "scripted/demo"})).await;
    for _ in 0..2 {
        // More than fits between the two, however much the system keeps for them.
        smith.run(&json!({"input": noise()})).await;
    }
    let unread = begun(&server, &smith).await;
    server.terminate();
    // Less than the time that answers get by default.
    let ended = timeout(Duration::from_secs(4), server.ended()).await;
    assert!(ended.is_ok_and(|well| well), "{}", server.log());
    assert!(server.log().contains("Closed connections whose answers had not ended."), "{}", server.log());
    drop(unread);
}

#[tokio::test]
async fn a_call_under_a_key_that_does_not_end_in_time_is_broken_off_and_its_key_is_free() {
    for engine in ENGINES {
        let configuration = "[engine]\nlease_ms = 400\ndrain_ms = 50\n";
        let mut server = Setup::on(engine).with_configuration(configuration).start().await;
        let (receiver, gate) = held_tool(&server).await;
        let client = server.admin().with_header("idempotency-key", "k");
        let stop = async {
            receiver.wait_for(1).await;
            server.terminate();
        };
        let body = json!({});
        let (broken, ()) = futures::join!(client.post(TRIED, &body), stop);
        broken.expect_error(500, "internal_error");
        assert!(server.ended().await, "{}", server.log());
        gate.open();
        server.start_again().await;
        let client = server.admin().with_header("idempotency-key", "k");
        let again = client.post(TRIED, &body).await;
        assert_eq!(again.expect(200)["ok"], true);
        assert_eq!(receiver.received().len(), 2);
    }
}
