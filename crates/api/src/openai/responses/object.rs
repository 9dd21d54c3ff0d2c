//! The Response object. Every key is always there, null where there is nothing to say.

use domain::Timestamp;
use domain::ids::RunId;
use domain::usage::Tokens;
use engine::StartedRun;
use serde_json::{Map, Value, json};
use store::runs::RunRecord;

/// How a stretch of a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    /// It waits for somebody, who is told by its items.
    Paused,
    Incomplete(&'static str),
    Failed {
        kind: &'static str,
        code: &'static str,
        message: String,
    },
    Cancelled {
        message: String,
    },
}

/// What of a request its response shows again.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) metadata: Map<String, Value>,
    pub(super) echo: Map<String, Value>,
}

/// Makes the response of a run before anything came of it.
pub(super) fn shell(record: &RunRecord) -> Map<String, Value> {
    let request = &record.request;
    begun(record.id, record.created_at, &record.model, &request.metadata, &request.overlay.echo)
}

/// The same of a run that was started a moment ago.
pub(super) fn started(run: &StartedRun, request: &Request) -> Map<String, Value> {
    begun(run.id, run.created_at, &run.model, &request.metadata, &request.echo)
}

fn begun(
    id: RunId,
    created_at: Timestamp,
    model: &str,
    metadata: &Map<String, Value>,
    echo: &Map<String, Value>,
) -> Map<String, Value> {
    let shown = json!({
        "id": id,
        "object": "response",
        "created_at": seconds(created_at),
        "status": "in_progress",
        "model": model,
        "output": [],
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": metadata,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "conversation": null,
        "tools": [],
        "tool_choice": "auto",
        "text": {"format": {"type": "text"}},
        "reasoning": null,
        "usage": null,
        "user": null,
        "store": true,
        "background": false,
        "completed_at": null,
        "truncation": "disabled",
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "max_output_tokens": null,
        "max_tool_calls": null,
        "service_tier": "default",
        "safety_identifier": null,
        "prompt_cache_key": null,
    });
    let Value::Object(mut shown) = shown else { return Map::new() };
    for (key, value) in echo {
        // Only what the object has a place for: it says how the run stands, and no request can say otherwise.
        if ECHOED.contains(&key.as_str()) {
            shown.insert(key.clone(), value.clone());
        }
    }
    shown
}

/// What an answer shows again of its request.
pub(super) const ECHOED: &[&str] = &[
    "instructions",
    "parallel_tool_calls",
    "previous_response_id",
    "conversation",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "user",
    "store",
    "background",
    "truncation",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "max_output_tokens",
    "max_tool_calls",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
];

/// Fills in what came of a stretch.
pub(super) fn ended(
    mut shell: Map<String, Value>,
    outcome: &Outcome,
    output: Vec<Value>,
    tokens: Option<Tokens>,
    ended_at: Option<Timestamp>,
) -> Value {
    let (status, error, details) = match outcome {
        Outcome::Completed | Outcome::Paused => ("completed", Value::Null, Value::Null),
        Outcome::Incomplete(reason) => ("incomplete", Value::Null, json!({"reason": reason})),
        Outcome::Failed { kind, code, message } => {
            ("failed", json!({"type": kind, "code": code, "message": message}), Value::Null)
        }
        Outcome::Cancelled { message } => {
            let error = json!({"type": "invalid_request_error", "code": "run_cancelled", "message": message});
            ("cancelled", error, Value::Null)
        }
    };
    shell.insert("status".to_owned(), Value::from(status));
    shell.insert("error".to_owned(), error);
    shell.insert("incomplete_details".to_owned(), details);
    shell.insert("output".to_owned(), Value::Array(output));
    shell.insert("usage".to_owned(), tokens.map(usage).unwrap_or_default());
    if status == "completed" {
        shell.insert("completed_at".to_owned(), ended_at.map(seconds).into());
    }
    Value::Object(shell)
}

/// Shows a response that has not come to a rest.
pub(super) fn under_way(mut shell: Map<String, Value>, is_queued: bool, output: Vec<Value>) -> Value {
    let status = if is_queued { "queued" } else { "in_progress" };
    shell.insert("status".to_owned(), Value::from(status));
    shell.insert("output".to_owned(), Value::Array(output));
    Value::Object(shell)
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input.saturating_add(tokens.output),
    })
}

fn seconds(at: Timestamp) -> i64 {
    at.as_seconds()
}
