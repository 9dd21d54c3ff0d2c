use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::*;
use crate::client::{Client, Exchange};

async fn mock() -> (Mock, Client) {
    let mock = Mock::start().await.unwrap();
    let client = Client::new(mock.address()).unwrap();
    (mock, client)
}

fn body(model: &str, stream: bool) -> Bytes {
    Bytes::from(json!({ "model": model, "stream": stream, "messages": [] }).to_string())
}

fn events(text: &str) -> Vec<&str> {
    text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect()
}

#[tokio::test]
async fn a_stream_opens_says_its_chunks_and_ends_with_usage() {
    let (_mock, client) = mock().await;
    let text = client.text(Method::POST, PATH, body("mock-3", true)).await.unwrap();
    let events = events(&text);
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let said: String =
        chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/content")?.as_str()).collect();
    assert_eq!(said, "A word word");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[5]["usage"], json!({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}));
}

#[tokio::test]
async fn an_answer_in_one_piece_says_the_same() {
    let (_mock, client) = mock().await;
    let request = json!({ "model": "mock-3", "messages": [] });
    let answer = client.json(Method::POST, PATH, &request).await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "A word word");
    assert_eq!(answer["usage"]["total_tokens"], 13);
}

#[tokio::test]
async fn what_it_does_not_know_is_refused() {
    let (_mock, client) = mock().await;
    let refused = client.text(Method::POST, PATH, body("gpt-5", true)).await.unwrap_err();
    assert!(refused.to_string().contains("404"), "{refused}");
    let refused = client.text(Method::POST, PATH, Bytes::from_static(b"{")).await.unwrap_err();
    assert!(refused.to_string().contains("400"), "{refused}");
    assert!(client.text(Method::GET, "/", Bytes::new()).await.is_err());
}

#[tokio::test]
async fn a_stalling_model_says_one_chunk_and_stays() {
    let (_mock, client) = mock().await;
    let request = client.request(Method::POST, PATH, body("mock-stall", true)).unwrap();
    let (response, _lease) = client.send(request).await.unwrap();
    let mut answer = response.into_body();
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&first).contains(r#""content":"A""#));
    let more = futures::poll!(std::pin::pin!(answer.frame()));
    assert!(more.is_pending());
}

#[tokio::test]
async fn the_first_token_is_seen_before_the_end() {
    let (_mock, client) = mock().await;
    let exchange = Exchange {
        path: PATH.to_owned(),
        body: body("mock-100", true),
        first: r#""content":"A""#,
        done: "[DONE]",
    };
    let start = Instant::now();
    let timing = exchange.perform(&client).await.unwrap();
    assert!(start < timing.first && timing.first < timing.end);
    let wrong = Exchange { done: "no such text", ..exchange };
    assert!(wrong.perform(&client).await.is_err());
}

fn told(model: &str, results: &[(&str, &str)]) -> Bytes {
    let mut messages = vec![json!({ "role": "user", "content": "Pay." })];
    messages.extend(
        results
            .iter()
            .map(|(call, content)| json!({ "role": "tool", "tool_call_id": call, "content": content })),
    );
    Bytes::from(json!({ "model": model, "stream": true, "messages": messages }).to_string())
}

#[tokio::test]
async fn a_model_asks_for_its_tool_until_it_has_all_results() {
    let (mock, client) = mock().await;
    let asked = client.text(Method::POST, PATH, told("mock-pay-1", &[])).await.unwrap();
    let call: Value = serde_json::from_str(events(&asked)[1]).unwrap();
    let call = &call["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(call["function"], json!({ "name": "pay", "arguments": r#"{"amount":1}"# }));
    assert!(asked.contains(r#""finish_reason":"tool_calls""#), "{asked}");
    let id = call["id"].as_str().unwrap();
    assert_eq!(mock.arrival(id), None, "nobody has told its result");
    let before = Instant::now();
    let said = client.text(Method::POST, PATH, told("mock-pay-1", &[(id, "{}")])).await.unwrap();
    assert!(said.contains(r#""content":"A""#), "{said}");
    assert!(mock.arrival(id).is_some_and(|arrived| arrived >= before));
    assert_eq!(mock.arrival(id), None, "it is told once");
}

#[tokio::test]
async fn a_tool_that_fails_is_no_measurement() {
    let (_mock, client) = mock().await;
    let failed = told("mock-pay-1", &[("call_1", r#"{"error":"no"}"#)]);
    let refused = client.text(Method::POST, PATH, failed).await.unwrap_err();
    assert!(refused.to_string().contains("400"), "{refused}");
}

#[tokio::test]
async fn the_tool_answers_any_call() {
    let (mock, client) = mock().await;
    assert!(mock.tool_url().ends_with(TOOL_PATH));
    let paid = client.json(Method::POST, TOOL_PATH, &json!({ "tool": "pay" })).await.unwrap();
    assert_eq!(paid, json!({ "paid": true }));
}
