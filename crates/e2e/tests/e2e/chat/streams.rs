//! Chats as streams of chunks.

use e2e::{Engine, Server, Setup, Smith, both};
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::upstream::{Gate, Reply, Upstream};

use super::{PATH, acting, says};
use crate::support::redacted;

fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

/// Reads a stream to its end: the seq, if there is one, and the data of each event.
async fn events(client: &Client, body: &Value) -> Vec<String> {
    let answer = client.post(PATH, body).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.header("content-type").starts_with("text/event-stream"), "{answer}");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains('\r'), "{text}");
    let events = text.split("\n\n").filter(|event| !event.is_empty() && *event != ":");
    events.map(shown).collect()
}

/// Shows an event without what differs from one to the next.
fn shown(event: &str) -> String {
    let (id, data) = match event.split_once('\n') {
        Some((id, data)) => (format!("{id} "), data),
        None => (String::new(), event),
    };
    let data = data.strip_prefix("data: ").unwrap();
    let Ok(mut chunk) = serde_json::from_str::<Value>(data) else { return data.to_owned() };
    if chunk.get("created").is_some() {
        chunk["created"] = 0.into();
    }
    format!("{id}{}", redacted(&chunk))
}

#[tokio::test]
async fn a_chat_is_told_in_chunks() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text_in("Hello you.", 2));
        let smith = server.smith_on(&upstream).await;
        let mut body = streamed(says("Hi"));
        body["stream_options"] = json!({"include_usage": true});
        let told = events(&acting(&server, &smith), &body).await;
        assert_snapshot!("a_stream_of_chunks", told.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn a_call_of_the_callers_own_function_is_one_chunk() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "weather", json!({"city": "Bern"})));
        let smith = server.smith_on(&upstream).await;
        let mut body = streamed(says("Weather?"));
        body["tools"] = json!([{"type": "function", "function": {"name": "weather"}}]);
        let told = events(&acting(&server, &smith), &body).await;
        assert_snapshot!("a_stream_with_a_call", told.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn a_failure_in_the_middle_is_told_before_the_end() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::status(400));
        let smith = server.smith_on(&upstream).await;
        let told = events(&acting(&server, &smith), &streamed(says("Hi"))).await;
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[1].contains("\"code\":\"model_request_failed\""), "{told:?}");
        assert_eq!(told[2], "[DONE]");
    })
    .await;
}

/// Waits until a smith's only run has a status.
async fn run_becomes(server: &Server, smith: &Smith, status: &str) -> Value {
    loop {
        let runs = server.admin().get(&smith.path("/runs")).await.expect(200);
        if let Some(run) = runs["data"].as_array().unwrap().iter().find(|run| run["status"] == status) {
            return run.clone();
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_run() {
    both(async |server| {
        for stream in [true, false] {
            let gate = Gate::hold();
            let upstream = Upstream::start().await;
            upstream.answer(Reply::text_in("Hello you.", 2).through(&gate));
            let smith = server.smith_on(&upstream).await;
            let client = acting(&server, &smith);
            let mut body = says("Hi");
            body["stream"] = stream.into();
            let request = client.send_or_break(Method::POST, PATH, Some(body.to_string().into()));
            let gone = async {
                gate.wait_for_arrivals(1).await;
            };
            // The request is dropped once the model has begun.
            tokio::select! { _ = request => panic!("it cannot have ended"), () = gone => {} }
            let run = run_becomes(&server, &smith, "cancelled").await;
            let events = smith.path(&format!("/runs/{}/events?follow=false", run["id"].as_str().unwrap()));
            let frames = server.admin().follow(&events, None).await.collect_until_end().await;
            assert_eq!(frames.last().unwrap().data["reason"], "client_disconnected");
            gate.open();
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_with_a_key_or_a_thread_outlives_its_client() {
    for (header, value) in [("idempotency-key", "k"), ("ic-thread-id", "t")] {
        let server = Setup::on(Engine::Sqlite).start().await;
        let gate = Gate::hold();
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text_in("Hello you.", 2).through(&gate));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith).with_header(header, value);
        let body = streamed(says("Hi"));
        let request = client.send_or_break(Method::POST, PATH, Some(body.to_string().into()));
        tokio::select! { _ = request => panic!("it cannot have ended"), () = gate.wait_for_arrivals(1) => {} }
        gate.open();
        let run = run_becomes(&server, &smith, "completed").await;
        assert_eq!(run["output"]["content"], "Hello you.");
        if header == "idempotency-key" {
            let told = events(&client, &body).await;
            assert!(told.iter().any(|event| event.contains("Hello")), "told once more: {told:?}");
            assert_eq!(upstream.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_chat_goes_on_in_its_stream_when_its_answer_is_said_again_after_a_crash() {
    let mut server = Setup::on(Engine::Sqlite).start().await;
    let upstream = Upstream::start().await;
    let gate = Gate::hold();
    upstream.answer(Reply::text_in("Hello you.", 2).through(&gate));
    upstream.answer_otherwise(Reply::text("Hello you."));
    let smith = server.smith_on(&upstream).await;
    let client = acting(&server, &smith).with_header("idempotency-key", "k");
    let body = streamed(says("Hi"));
    let request = client.send_or_break(Method::POST, PATH, Some(body.to_string().into()));
    tokio::select! { _ = request => panic!("it cannot have ended"), () = gate.wait_for_arrivals(1) => {} }
    server.kill().await;
    server.start_again().await;
    let client = acting(&server, &smith).with_header("idempotency-key", "k");
    let told = events(&client, &body).await.join("\n");
    assert!(told.contains("Hello you.") && told.contains("\"finish_reason\":\"stop\""), "{told}");
    assert_eq!(upstream.requests().len(), 2);
}
