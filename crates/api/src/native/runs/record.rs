//! The record of a run as the API shows it.

use domain::content::Message;
use domain::frames::{PendingCall, Warning};
use domain::items::{ToolCall, open_calls};
use domain::principals::Actor;
use domain::run::{Status, StopReason};
use domain::usage::Usage;
use serde::Serialize;
use serde_json::{Map, Value};
use store::runs::{RunError, RunRecord, RunResult};
use utoipa::ToSchema;

/// A run: what was asked, where it stands, what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunOut {
    id: String,
    smith_id: String,
    thread_id: String,
    status: &'static str,
    channel: String,
    #[schema(value_type = Vec<InputMessage>)]
    input: Vec<Message>,
    /// Null until something exists.
    #[schema(required)]
    output: Option<OutputOut>,
    #[schema(required)]
    stop_reason: Option<String>,
    /// What the answer had to do without.
    #[schema(value_type = Vec<RunWarning>)]
    warnings: Vec<Warning>,
    #[schema(required, value_type = Option<RunUsage>)]
    usage: Option<Usage>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    #[schema(required, value_type = Option<ActorOut>)]
    actor: Option<Actor>,
    /// Why a failed run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RunErrorOut>)]
    error: Option<RunError>,
    created_at: String,
    updated_at: String,
}

/// What a run said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunOutput)]
struct OutputOut {
    /// All valid text of the run.
    content: String,
    /// `application/json` where a form was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// What a paused run waits for, oldest first: `{tool_call_id, tool, args, approval_id?, elicitation?}`; or the calls of
    /// functions that came with the request, for its caller to carry out: `{id, type, function}`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>, required = false)]
    tool_calls: Vec<CallOut>,
    /// What the person may want to say next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    suggested_replies: Vec<String>,
}

/// A call that somebody outside has to do something about.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum CallOut {
    Pending(PendingCall),
    Function { id: String, r#type: &'static str, function: FunctionOut },
}

#[derive(Debug, Serialize)]
struct FunctionOut {
    name: String,
    /// JSON text, as the model wrote it.
    arguments: String,
}

impl From<&ToolCall> for CallOut {
    fn from(call: &ToolCall) -> Self {
        let function = FunctionOut { name: call.name.clone(), arguments: call.arguments.clone() };
        Self::Function { id: call.id.clone(), r#type: "function", function }
    }
}

/// A message of the input.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a type of another crate in the OpenAPI document")]
pub(super) struct InputMessage {
    /// `user` or `assistant`.
    role: String,
    /// A text, or parts: `{type: "text", text}`, `{type: "image", …}`, `{type: "file", …}`.
    #[schema(value_type = Value)]
    content: Value,
}

/// Something the answer had to do without.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a type of another crate in the OpenAPI document")]
pub(super) struct RunWarning {
    code: String,
    message: String,
}

/// Tokens of a run, over all of its model calls.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a type of another crate in the OpenAPI document")]
pub(super) struct RunUsage {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
}

/// Who started the run.
#[derive(ToSchema)]
#[schema(as = Actor)]
#[expect(dead_code, reason = "describes a type of another crate in the OpenAPI document")]
pub(super) struct ActorOut {
    /// `smith`, `tenant` or `operator`.
    kind: String,
    id: String,
    token_id: String,
    email: String,
}

/// Why a run failed.
#[derive(ToSchema)]
#[schema(as = RunError)]
#[expect(dead_code, reason = "describes a type of another crate in the OpenAPI document")]
pub(super) struct RunErrorOut {
    code: String,
    message: String,
}

impl From<RunRecord> for RunOut {
    fn from(record: RunRecord) -> Self {
        let RunResult { content, content_type, transcript, warnings, error, pending, suggested_replies } =
            record.result.unwrap_or_default();
        // A run that was taken up again has still on record what it had waited for.
        let tool_calls = if record.status.is_paused() {
            pending.into_iter().map(CallOut::Pending).collect()
        } else if record.stop_reason.as_deref() == Some(StopReason::ToolCalls.as_str()) {
            open_calls(&transcript).into_iter().map(CallOut::from).collect()
        } else {
            Vec::new()
        };
        let says_something =
            record.status == Status::Completed || record.status.is_paused() || !content.is_empty();
        Self {
            id: record.id.to_string(),
            smith_id: record.smith.to_string(),
            thread_id: record.thread_id,
            status: record.status.as_str(),
            channel: record.channel,
            input: record.request.input,
            output: says_something.then_some(OutputOut {
                content,
                content_type,
                tool_calls,
                suggested_replies,
            }),
            stop_reason: record.stop_reason,
            warnings,
            usage: record.tokens.map(Usage::from),
            metadata: record.request.metadata,
            actor: record.actor,
            error,
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// A page of runs, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the list envelope in the OpenAPI document")]
pub(super) struct RunListOut {
    data: Vec<RunOut>,
    #[schema(required)]
    next_cursor: Option<String>,
    has_more: bool,
}
