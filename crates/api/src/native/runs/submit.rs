//! `POST /v1/smiths/{pid}/runs/{rid}/submit`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::principals::Permission;
use domain::{Code, Problem};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::get;
use super::record::RunOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Fields, Idempotency, JsonBody, PathParams};

/// What moves a waiting run on, or stops one.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body in the OpenAPI document; it is read field by field")]
pub(super) struct Submit {
    /// `tool_result`, `approval_decision` or `cancel`.
    kind: String,
    tool_call_id: Option<String>,
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    #[schema(value_type = Vec<Object>, required = false)]
    results: Vec<Value>,
    approval_id: Option<String>,
    /// `approve` or `reject`.
    decision: Option<String>,
    #[schema(value_type = Option<Object>)]
    content: Option<Value>,
    #[schema(value_type = Option<Object>)]
    args: Option<Value>,
    actor: Option<String>,
    reason: Option<String>,
    #[schema(default = false, required = false)]
    stream: bool,
}

/// The run is cancelled.
#[derive(Serialize, ToSchema)]
pub(super) struct RunCancelAck {
    id: String,
    status: &'static str,
}

/// What a submission is answered with.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the answers in the OpenAPI document")]
enum Submitted {
    Run(Box<RunOut>),
    Cancelled(RunCancelAck),
}

/// What is submitted.
enum Submission<'a> {
    ToolResult,
    Decision,
    Cancel { reason: Option<&'a str> },
}

/// Moves a waiting run on: a tool result, a decision on an approval, or a cancellation.
///
/// Cancelling twice is no error: the second call returns the same acknowledgement.
#[utoipa::path(
    post,
    path = "/v1/smiths/{pid}/runs/{rid}/submit",
    operation_id = "smiths.runs.submit",
    tag = "Runs",
    params(("pid" = String, Path, description = "The smith"), ("rid" = String, Path, description = "The run")),
    request_body(content = Submit, content_type = "application/json"),
    responses(
        (
            status = 200,
            description = "The acknowledged cancellation, or the run at its next rest.",
            body = inline(Submitted)
        ),
        (status = 409, description = "The run does not wait for this."),
    )
)]
pub(crate) async fn submit(
    caller: Caller,
    path: PathParams,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let fields = body.fields();
    let permission = match fields.value("kind").and_then(Value::as_str) {
        Some("approval_decision") => Permission::ApprovalsWrite,
        _ => Permission::RunsWrite,
    };
    let get::Found { project, record, .. } = get::find(&app, &caller, &path, permission).await?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(response) = once.replay().await? {
        return Ok(response);
    }
    match read(&fields)? {
        Submission::Cancel { reason } => {
            app.engine.cancel(&project, record.id, reason).await?;
            let answer = Answer::json(
                StatusCode::OK,
                &RunCancelAck { id: record.id.to_string(), status: "cancelled" },
            )
            .about(Some(record.smith));
            // A repetition that comes before this is kept cancels what is cancelled already, to the same answer.
            if let Err(error) = once.keep(&answer).await {
                tracing::warn!(run.id = %record.id, error = %error, "A cancellation's key could not be kept.");
            }
            Ok(answer.into_response())
        }
        Submission::ToolResult | Submission::Decision => Err(Problem::new(
            Code::RunNotPaused,
            format!("The run is {} and waits for nothing.", record.status.as_str()),
        )
        .into()),
    }
}

fn read<'a>(fields: &Fields<'a>) -> Result<Submission<'a>, Problem> {
    match fields.value("kind").and_then(Value::as_str) {
        Some("cancel") => Ok(Submission::Cancel { reason: fields.text_of("reason", 0..=1_000)? }),
        Some("tool_result") => {
            if fields.list("results")?.is_none() {
                fields.required_text("tool_call_id")?;
                if fields.object("result")?.is_none() {
                    return Err(fields.refuse("result", "given, as an object"));
                }
            }
            Ok(Submission::ToolResult)
        }
        Some("approval_decision") => {
            fields.required_text("approval_id")?;
            match fields.value("decision").and_then(Value::as_str) {
                Some("approve" | "reject") => Ok(Submission::Decision),
                _ => Err(Problem::new(Code::InvalidDecision, "`decision` must be `approve` or `reject`.")
                    .at("decision")),
            }
        }
        _ => Err(Problem::new(
            Code::InvalidKind,
            "`kind` must be `tool_result`, `approval_decision` or `cancel`.",
        )
        .at("kind")),
    }
}
