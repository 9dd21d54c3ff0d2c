use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::sse::Ended;

const RUNS: &str = "/v1/smiths/smt_1/runs";
const EVENTS: &str = "/v1/smiths/smt_1/runs/run_1/events";

/// Serves one response to everything, and returns its address.
async fn serve(respond: impl Fn(HeaderMap) -> Response + Clone + Send + Sync + 'static) -> Client {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(async move |headers: HeaderMap| respond(headers));
    #[expect(clippy::disallowed_methods, reason = "the server ends with the runtime of its test")]
    tokio::spawn(async move { axum::serve(listener, app).await });
    Client::new(&format!("http://{address}/"))
}

fn head(status: u16) -> http::response::Builder {
    let response = Response::builder().status(status).header("ic-api-version", API_VERSION);
    response.header("x-request-id", "req_1111111111111111111111")
}

fn answer(status: u16, body: &Value) -> Response {
    head(status).header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

/// Sends pieces, then ends, or breaks the connection once the pieces are out.
fn event_stream(pieces: Vec<String>, breaks: Option<&'static str>) -> Response {
    let response = head(200).header("content-type", "text/event-stream; charset=utf-8");
    let response = response.header("cache-control", "no-store").header("x-accel-buffering", "no");
    let response = response.header("ic-run-id", "run_1").header("ic-thread-id", "t");
    let end = stream::iter(breaks).then(async |reason| {
        tokio::task::yield_now().await;
        Err(std::io::Error::other(reason))
    });
    response.body(Body::from_stream(stream::iter(pieces.into_iter().map(Ok)).chain(end))).unwrap()
}

fn frame(seq: u64, event: &str, fields: &str) -> String {
    format!("id: {seq}\nevent: {event}\ndata: {{\"v\":1,\"run_id\":\"run_1\"{fields}}}\n\n")
}

fn run() -> Vec<String> {
    vec![
        ": open\n\n".to_owned(),
        frame(0, "run.started", r#","smith_id":"smt_1","thread_id":"t""#),
        frame(1, "message.delta", r#","delta":"Hi""#),
        frame(2, "message.completed", r#","content":"Hi""#),
        frame(3, "run.completed", r#","stop_reason":"end_turn","usage":{}"#),
    ]
}

#[tokio::test]
async fn a_request_carries_version_and_bearer_unless_told_otherwise() {
    let client = serve(|headers| {
        let sent = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let told = format!("{:?} {:?}", sent("ic-api-version"), sent("authorization"));
        answer(200, &json!({"ok": true, "service": told, "commit": ""}))
    })
    .await;
    let told = async |client: Client| client.get("/health").await.expect(200)["service"].clone();
    assert_eq!(told(client.with_bearer("t")).await, "Some(\"2026-05-01\") Some(\"Bearer t\")");
    assert_eq!(told(client.without_header("ic-api-version")).await, "None None");
}

#[tokio::test]
#[should_panic(expected = "the answer breaks the contract")]
async fn an_answer_that_breaks_the_contract_fails_the_test() {
    let client = serve(|_| answer(200, &json!({"ok": true}))).await;
    client.get("/health").await;
}

#[tokio::test]
async fn an_error_is_told_apart_by_code_and_field() {
    let error =
        json!({"type": "invalid_request_error", "code": "invalid_input", "param": "model", "message": "No."});
    let client = serve(move |_| answer(422, &json!({ "error": error }))).await;
    client.post("/v1/smiths", &json!({})).await.expect_error_about(422, "invalid_input", "model");
    let refused = client.try_stream(Method::POST, RUNS, Some(&json!({"stream": true}))).await.err().unwrap();
    assert_eq!(refused.error("message"), "No.");
}

#[tokio::test]
async fn a_stream_is_read_frame_by_frame() {
    let client = serve(|_| event_stream(run(), None)).await;
    let mut reader = client.stream(Method::POST, RUNS, Some(&json!({"input": "x", "stream": true}))).await;
    let first = reader.take(2).await;
    assert_eq!((first[1].text("delta"), reader.last_id(), reader.comments()), ("Hi", Some(1), 1));
    let rest = reader.collect_until_end().await;
    assert_eq!(rest.last().unwrap().event, "run.completed");
}

#[tokio::test]
async fn a_cut_stream_ends_as_cut() {
    let client = serve(|_| event_stream(run().into_iter().take(3).collect(), Some("cut"))).await;
    let mut reader = client.stream(Method::POST, RUNS, Some(&json!({}))).await;
    let frames = reader.drain().await;
    assert_eq!((frames.len(), reader.last_id(), reader.ended()), (2, Some(1), Some(Ended::Cut)));
}

#[tokio::test]
async fn a_cut_at_any_byte_keeps_the_whole_frames_before_it() {
    let client = serve(|_| event_stream(run(), None)).await;
    let ends: Vec<usize> = run()
        .iter()
        .scan(0, |sum, piece| {
            *sum += piece.len();
            Some(*sum)
        })
        .skip(1)
        .collect();
    for cut in [0, 1, ends[0] - 1, ends[0], ends[1], ends[3]] {
        let reader = client.stream(Method::POST, RUNS, Some(&json!({}))).await;
        let expected = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(reader.cut_after_bytes(cut).await.len(), expected, "cut after {cut}");
    }
}

#[tokio::test]
async fn a_reader_that_resumes_gets_what_lies_after() {
    let client = serve(|headers| {
        let seen: usize = headers["last-event-id"].to_str().unwrap().parse().unwrap();
        let frames = run().into_iter().enumerate().filter(|(at, _)| *at == 0 || *at > seen + 1);
        event_stream(frames.map(|(_, piece)| piece).collect(), None)
    })
    .await;
    let frames = client.follow(EVENTS, Some(1)).await.collect_until_end().await;
    assert_eq!(frames.iter().map(|frame| frame.id.unwrap()).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
#[should_panic(expected = "expected was 2")]
async fn a_gap_after_a_resume_fails_the_test() {
    let gap = || run().into_iter().take(1).chain(run().into_iter().skip(4)).collect();
    let client = serve(move |_| event_stream(gap(), None)).await;
    client.follow(EVENTS, Some(1)).await.collect_until_end().await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_for_who_expects_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    assert!(client.stream_or_break(Method::POST, RUNS, Some(&json!({}))).await.is_err());
    assert!(client.send_or_break(Method::GET, "/health", None).await.is_err());
}
