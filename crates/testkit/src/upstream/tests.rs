use http::Method;
use serde_json::json;

use super::*;
use crate::http::plain;
use crate::sse::{DONE, Ended, Frame, Reader};

async fn post(url: &str, body: &Value) -> reqwest::Response {
    plain()
        .post(url)
        .header("x-api-key", "k")
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

async fn get(url: &str) -> Value {
    let text = plain().request(Method::GET, url).send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn stream(url: &str, body: &Value) -> Reader {
    Reader::new(post(url, body).await)
}

async fn json_of(url: &str, body: &Value) -> Value {
    serde_json::from_str(&post(url, body).await.text().await.unwrap()).unwrap()
}

fn streamed() -> Value {
    json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}})
}

fn reply() -> Reply {
    let usage = Usage { input: 10, output: 6, cached: 4, reasoning: 2 };
    Reply::text_in("It is n\u{f6}\u{f6}n.", 3)
        .and_tool_call("c1", "clock", json!({"zone": "UTC"}))
        .with_usage(usage)
}

fn urls(upstream: &Upstream) -> [String; 4] {
    [
        format!("{}/responses", upstream.openai_url()),
        format!("{}/chat/completions", upstream.openai_url()),
        format!("{}/v1/messages", upstream.anthropic_url()),
        format!("{}/models/m:streamGenerateContent?alt=sse", upstream.gemini_url()),
    ]
}

/// Joins the texts at a pointer in all frames.
fn join(frames: &[Frame], pointer: &str) -> String {
    frames.iter().filter_map(|frame| frame.data.pointer(pointer)?.as_str()).collect()
}

fn only(frames: &[Frame], event: &str) -> Vec<Frame> {
    frames.iter().filter(|frame| frame.event == event).cloned().collect()
}

#[tokio::test]
async fn responses_stream_text_calls_and_usage() {
    let upstream = Upstream::start().await;
    upstream.answer_otherwise(reply());
    let [url, ..] = urls(&upstream);
    let frames = stream(&url, &streamed()).await.collect_until_end().await;
    let numbers: Vec<u64> =
        frames.iter().map(|frame| frame.data["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..frames.len() as u64).collect::<Vec<_>>());
    assert_eq!(join(&only(&frames, "response.output_text.delta"), "/delta"), "It is n\u{f6}\u{f6}n.");
    assert_eq!(join(&only(&frames, "response.function_call_arguments.delta"), "/delta"), r#"{"zone":"UTC"}"#);
    let end = frames.last().unwrap();
    assert_eq!(
        (end.event.as_str(), &end.data["response"]["usage"]["total_tokens"]),
        ("response.completed", &json!(16))
    );
    let whole = json_of(&url, &json!({"model": "m"})).await;
    assert_eq!(
        whole["output"],
        end.data["response"]["output"].to_string().replace("_1", "_2").parse::<Value>().unwrap()
    );
}

#[tokio::test]
async fn chat_streams_text_calls_usage_and_done() {
    let upstream = Upstream::start().await;
    upstream.answer_otherwise(reply());
    let [_, url, ..] = urls(&upstream);
    let frames = stream(&url, &streamed()).await.collect_until_end().await;
    assert_eq!(join(&frames, "/choices/0/delta/content"), "It is n\u{f6}\u{f6}n.");
    assert_eq!(join(&frames, "/choices/0/delta/tool_calls/0/function/arguments"), r#"{"zone":"UTC"}"#);
    assert_eq!(join(&frames, "/choices/0/finish_reason"), "tool_calls");
    assert_eq!(frames[frames.len() - 2].data["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    assert_eq!(frames.last().unwrap().data, DONE);
    let whole = json_of(&url, &json!({"model": "m"})).await;
    assert_eq!(whole["choices"][0]["message"]["content"], "It is n\u{f6}\u{f6}n.");
}

#[tokio::test]
async fn anthropic_streams_blocks_and_counts_cached_input_apart() {
    let upstream = Upstream::start().await;
    upstream.answer_otherwise(reply());
    let [_, _, url, _] = urls(&upstream);
    let frames = stream(&url, &streamed()).await.collect_until_end().await;
    assert_eq!(join(&frames, "/delta/text"), "It is n\u{f6}\u{f6}n.");
    assert_eq!(join(&frames, "/delta/partial_json"), r#"{"zone":"UTC"}"#);
    assert_eq!(join(&frames, "/delta/stop_reason"), "tool_use");
    assert_eq!(frames[0].data["message"]["usage"]["input_tokens"], 6);
    assert_eq!(frames.last().unwrap().event, "message_stop");
    let whole = json_of(&url, &json!({"model": "m"})).await;
    assert_eq!(whole["content"][1]["input"]["zone"], "UTC");
}

#[tokio::test]
async fn gemini_streams_parts_and_counts_thoughts_apart() {
    let upstream = Upstream::start().await;
    upstream.answer_otherwise(reply());
    let [.., url] = urls(&upstream);
    let frames = stream(&url, &json!({})).await.collect_until_end().await;
    assert_eq!(join(&frames, "/candidates/0/content/parts/0/text"), "It is n\u{f6}\u{f6}n.");
    assert_eq!(join(&frames, "/candidates/0/finishReason"), "STOP");
    assert_eq!(frames[0].data["usageMetadata"]["thoughtsTokenCount"], 2);
    let url = url.replace("streamGenerateContent?alt=sse", "generateContent");
    let whole = json_of(&url, &json!({})).await;
    assert_eq!(whole["candidates"][0]["content"]["parts"][1]["functionCall"]["args"]["zone"], "UTC");
}

#[tokio::test]
async fn replies_come_in_the_order_scripted_and_requests_are_kept() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::status(429).with_retry_after("7"));
    upstream.answer(Reply::status(529));
    for url in urls(&upstream).iter().take(2) {
        let refused = post(url, &json!({"model": "m", "n": 1})).await;
        assert!(refused.status() == 529 || refused.headers()["retry-after"] == "7");
    }
    let [_, _, url, _] = urls(&upstream);
    assert_eq!(json_of(&url, &json!({"model": "m"})).await["content"][0]["text"], "Hello.");
    let requests = upstream.wait_for_requests(3).await;
    assert_eq!((requests[0].body["n"].as_u64(), requests[2].header("x-api-key")), (Some(1), "k"));
}

#[tokio::test]
async fn a_gate_lets_out_as_much_as_it_is_told() {
    let upstream = Upstream::start().await;
    for url in urls(&upstream) {
        let gate = Gate::hold();
        upstream.answer(Reply::chunks(["a", "b"]).through(&gate));
        let mut reader = stream(&url, &streamed()).await;
        gate.wait_for_arrivals(1).await;
        gate.release(1);
        gate.wait_for_arrivals(2).await;
        let mut seen = String::new();
        while !seen.contains("\"a\"") {
            seen = reader.next().await.unwrap().data.to_string();
        }
        gate.open();
        reader.collect_until_end().await;
    }
}

#[tokio::test]
async fn faults_strike_after_the_pieces_before_them() {
    let upstream = Upstream::start().await;
    for url in urls(&upstream) {
        for fault in [Fault::Drop, Fault::EndEarly, Fault::ErrorEvent] {
            upstream.answer(Reply::chunks(["a", "b"]).breaking(fault, 1));
            let mut reader = stream(&url, &streamed()).await;
            let text: String = reader.drain().await.iter().map(|frame| frame.data.to_string()).collect();
            assert!(!text.contains("\"b\""), "{fault:?}: {text}");
            assert_eq!(text.contains("scripted"), fault == Fault::ErrorEvent, "{fault:?}: {text}");
            assert_eq!(reader.ended() == Some(Ended::Cut), fault == Fault::Drop, "{fault:?}");
        }
        upstream.answer(Reply::chunks(["a", "b"]).breaking(Fault::Garbage, 1));
        let bytes = post(&url, &streamed()).await.bytes().await.unwrap();
        assert!(String::from_utf8(bytes.to_vec()).is_err());
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_stalled_reply_is_noticed() {
    let upstream = Upstream::start().await;
    let [url, ..] = urls(&upstream);
    upstream.answer(Reply::chunks(["a"]).breaking(Fault::Stall, 1));
    let mut reader = stream(&url, &streamed()).await;
    while reader.next().await.unwrap().text("delta") != "a" {}
    drop(reader);
    upstream.wait_for_abandoned(1).await;

    upstream.answer(Reply::silence());
    let body = streamed();
    let asking = Box::pin(post(&url, &body));
    let asked = Box::pin(upstream.wait_for_requests(2));
    assert!(matches!(futures::future::select(asking, asked).await, futures::future::Either::Right(_)));
    upstream.wait_for_abandoned(2).await;
}

#[tokio::test]
async fn a_stored_generation_can_be_read_again() {
    let upstream = Upstream::start().await;
    let [url, ..] = urls(&upstream);
    let gate = Gate::hold();
    upstream.answer(Reply::chunks(["a", "b"]).through(&gate).breaking(Fault::Drop, 1));
    let mut reader = stream(&url, &streamed()).await;
    gate.release(1);
    let frames = reader.drain().await;
    let id = frames[0].data["response"]["id"].as_str().unwrap().to_owned();
    assert_eq!(get(&format!("{url}/{id}")).await["status"], "in_progress");
    gate.open();
    let whole = get(&format!("{url}/{id}")).await;
    assert_eq!(
        (&whole["status"], &whole["output"][0]["content"][0]["text"]),
        (&json!("completed"), &json!("ab"))
    );
    let rest = plain().get(format!("{url}/{id}?stream=true&starting_after=3")).send().await.unwrap();
    let rest = Reader::new(rest).collect_until_end().await;
    assert_eq!(rest[0].data["sequence_number"], 4);
    assert_eq!(rest.last().unwrap().event, "response.completed");
    assert_eq!(get(&format!("{url}/resp_99")).await["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_stopped_provider_refuses_connections() {
    let mut upstream = Upstream::start().await;
    let [url, ..] = urls(&upstream);
    upstream.stop().await;
    assert!(plain().post(url).send().await.unwrap_err().is_connect());
}
