//! Tools in runs: who carries calls out, what the model is told, and what a human decides.

mod approvals;
mod calls;
mod elicitation;
mod external;
mod faults;
mod planned;
mod sources;

use e2e::{Server, Smith};
use serde_json::{Value, json};
use testkit::upstream::{Reply, Upstream};

/// Registers a tool of the project that takes an amount.
async fn register(server: &Server, name: &str, more: Value) {
    let mut body = json!({
        "description": "Does something with an amount.",
        "input_schema": {
            "type": "object",
            "properties": {"amount": {"type": "integer", "minimum": 1}},
            "required": ["amount"],
        },
    });
    let fields = body.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    let answer = server.admin().put(&format!("/v1/tenant/tools/{name}"), &body).await;
    answer.expect(200);
}

/// Makes a smith with these tools that is answered by a fake provider.
async fn smith_with(server: &Server, upstream: &Upstream, tools: &[&str]) -> Smith {
    let smith = server.smith_on(upstream).await;
    server.admin().patch(&smith.path(""), &json!({"tools": tools})).await.expect(200);
    smith
}

/// The model asks for a call with an amount.
fn asks_for(call: &str, tool: &str, amount: i64) -> Reply {
    Reply::tool_call(call, tool, json!({"amount": amount}))
}

/// The results of calls in the last request to the fake provider, by call.
fn results(upstream: &Upstream) -> Vec<(String, String)> {
    let request = upstream.last_request();
    let messages = request.body["messages"].as_array().unwrap();
    let results = messages.iter().filter(|message| message["role"] == "tool");
    results
        .map(|message| {
            let text = |field: &str| message[field].as_str().unwrap().to_owned();
            (text("tool_call_id"), text("content"))
        })
        .collect()
}

/// Submits something to a run, and returns the record that comes of it.
async fn submit(server: &Server, smith: &Smith, run: &Value, body: &Value) -> Value {
    server.admin().post(&submit_path(smith, run), body).await.expect(200)
}

fn submit_path(smith: &Smith, run: &Value) -> String {
    smith.path(&format!("/runs/{}/submit", run["id"].as_str().unwrap()))
}

/// The frames of a run so far, as `event` or `event tool`.
async fn events(server: &Server, smith: &Smith, run: &Value) -> Vec<String> {
    let path = smith.path(&format!("/runs/{}/events?follow=false", run["id"].as_str().unwrap()));
    let frames = server.admin().follow(&path, None).await.collect_until_end().await;
    let told = frames.into_iter().map(|frame| match frame.data["tool"].as_str() {
        Some(tool) => format!("{} {tool}", frame.event),
        None => frame.event,
    });
    told.collect()
}
