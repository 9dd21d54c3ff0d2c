//! The answer of a chat in one piece.

use domain::frames::PendingCall;
use domain::ids::RunId;
use domain::items::{ToolCall, open_calls};
use domain::run::{Status, StopReason};
use domain::usage::Tokens;
use domain::{Code, Problem};
use serde::Serialize;
use serde_json::{Value, json};
use store::runs::{RunRecord, RunResult};
use utoipa::ToSchema;

use crate::openai::turn;

/// A chat completion: the run's answer, or the calls that the caller has to do something about.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer in the OpenAPI document; it is rendered key by key")]
pub(super) struct ChatCompletionOut {
    /// The id of the run.
    id: String,
    /// Always `chat.completion`.
    object: String,
    /// Unix seconds.
    created: u64,
    /// The model that ran.
    model: String,
    #[schema(value_type = Vec<Object>)]
    choices: Vec<Value>,
    #[schema(value_type = Option<Object>)]
    usage: Option<Value>,
}

/// A call as a chat shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct CallOut {
    pub(super) id: String,
    pub(super) r#type: &'static str,
    pub(super) function: FunctionOut,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct FunctionOut {
    pub(super) name: String,
    /// JSON text.
    pub(super) arguments: String,
}

/// How a turn has come to rest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rest {
    pub(super) finish_reason: &'static str,
    pub(super) calls: Vec<CallOut>,
    pub(super) usage: Option<Value>,
}

impl Rest {
    /// Reads off a record how its run has come to rest. A run that failed or was cancelled is a problem.
    pub(super) fn of(record: &RunRecord) -> Result<Self, Problem> {
        let usage = record.tokens.map(usage);
        let result = record.result.as_ref();
        match record.status {
            Status::Failed => {
                let error = result.and_then(|result| result.error.as_ref());
                Err(error.map_or_else(Problem::internal, turn::failed))
            }
            Status::Cancelled => Err(Problem::new(Code::RunCancelled, "The run was cancelled.")),
            Status::PausedForApproval | Status::PausedForTool => {
                let pending = result.map(|result| result.pending.as_slice()).unwrap_or_default();
                Ok(pending_of(record, pending))
            }
            Status::Completed | Status::Queued | Status::Running => {
                let stop = record.stop_reason.as_deref().and_then(StopReason::parse);
                let calls = match stop {
                    Some(StopReason::ToolCalls) => result.map(own).unwrap_or_default(),
                    _ => Vec::new(),
                };
                Ok(Self { finish_reason: finish_reason(stop), calls, usage })
            }
        }
    }
}

fn finish_reason(stop: Option<StopReason>) -> &'static str {
    match stop {
        Some(StopReason::MaxTokens) => "length",
        Some(StopReason::ContentFilter) => "content_filter",
        Some(StopReason::ToolCalls) => "tool_calls",
        Some(StopReason::EndTurn | StopReason::ApprovalRejected) | None => "stop",
    }
}

/// Tells what a paused run waits for: one call each, however many questions a call asks.
pub(super) fn pending_of(record: &RunRecord, pending: &[PendingCall]) -> Rest {
    Rest { finish_reason: "tool_calls", calls: waiting(record.id, pending), usage: record.tokens.map(usage) }
}

fn waiting(run: RunId, pending: &[PendingCall]) -> Vec<CallOut> {
    let mut calls: Vec<CallOut> = Vec::new();
    for call in pending {
        let id = format!("{run}::{}", call.tool_call_id);
        if calls.iter().all(|other| other.id != id) {
            let arguments = Value::Object(call.args.clone()).to_string();
            let function = FunctionOut { name: call.tool.clone(), arguments };
            calls.push(CallOut { id, r#type: "function", function });
        }
    }
    calls
}

/// Lists the calls of the caller's own functions.
fn own(result: &RunResult) -> Vec<CallOut> {
    let open = open_calls(&result.transcript).into_iter();
    let shown = |call: &ToolCall| CallOut {
        id: call.id.clone(),
        r#type: "function",
        function: FunctionOut { name: call.name.clone(), arguments: call.arguments.clone() },
    };
    open.map(shown).collect()
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    })
}

/// Renders a completion. `text` is what was said since the request.
pub(super) fn render(record: &RunRecord, text: &str, rest: Rest) -> Value {
    let Rest { finish_reason, calls, usage } = rest;
    // Clients take an empty list for calls, so the key is there only where there are some.
    let mut message = serde_json::Map::new();
    message.insert("role".to_owned(), "assistant".into());
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
    message.insert("content".to_owned(), content);
    message.insert("refusal".to_owned(), Value::Null);
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), json!(calls));
    }
    json!({
        "id": record.id,
        "object": "chat.completion",
        "created": record.created_at.as_seconds(),
        "model": record.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason}],
        "usage": usage,
    })
}
