//! `POST /v1/smiths/{pid}/runs/{rid}/submit`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::ids::RunId;
use domain::principals::{ActorKind, Permission};
use domain::run::Choice;
use domain::{Code, Problem};
use engine::{ResultIn, Submission};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use store::ProjectStore;
use store::runs::RunRecord;
use utoipa::ToSchema;

use super::events::unreadable;
use super::get;
use super::record::RunOut;
use super::reply::{self, Told, Wanted};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Fields, Idempotency, JsonBody, Once, PathParams};

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
enum Read {
    Move(Box<Submission>),
    Cancel { reason: Option<String> },
}

/// How many results one request may bring.
const RESULTS: usize = 100;
/// Characters of the text that says who decided.
const ACTOR: usize = 255;
/// Characters of a reason.
const REASON: usize = 1_000;

/// Moves a waiting run on: a tool result, a decision on an approval, or a cancellation.
///
/// The answer is the run at its next rest, or the frames that follow. Cancelling twice is no error, nor is deciding the same
/// twice: the second call returns the same.
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
            description = "The acknowledged cancellation, or the run at its next rest (its frames with `stream`).",
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
    let get::Found { project, record, seal } = get::find(&app, &caller, &path, permission).await?;
    let wanted = Wanted::from_flag(fields.flag("stream")?);
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(response) = reply::repeated(&project, &once, wanted).await? {
        return Ok(response);
    }
    let submission = match read(&fields, &caller)? {
        Read::Cancel { reason } => return cancel(&app, &project, &record, once, reason.as_deref()).await,
        Read::Move(submission) => *submission,
    };
    let seal = seal.ok_or_else(unreadable)?;
    let seat = app.engine.seat()?;
    let Some(submitted) = app.engine.submit(&project, record.id, submission, once.key()).await? else {
        // The same request was faster elsewhere.
        return reply::repeated(&project, &once, wanted).await?.ok_or_else(|| Problem::internal().into());
    };
    if submitted.repeats && wanted == Wanted::Record {
        // Whoever waits for the run waits already; this one asks how it stands.
        return reply::current(&project, record.id).await;
    }
    let told = Told { run: record.id, thread_id: submitted.thread_id, from: submitted.from };
    let answer = reply::answer(&app, &project, &seal, told, wanted, seat).await;
    answer.map_err(|problem| taken(problem, record.id).into())
}

async fn cancel(
    app: &App,
    project: &ProjectStore,
    record: &RunRecord,
    once: Once,
    reason: Option<&str>,
) -> Result<Response, ApiError> {
    app.engine.cancel(project, record.id, reason).await?;
    let acknowledged = RunCancelAck { id: record.id.to_string(), status: "cancelled" };
    let answer = Answer::json(StatusCode::OK, &acknowledged).about(Some(record.smith));
    // A repetition that comes before this is kept cancels what is cancelled already, to the same answer.
    if let Err(error) = once.keep(&answer).await {
        tracing::warn!(run.id = %record.id, error = %error, "A cancellation's key could not be kept.");
    }
    Ok(answer.into_response())
}

/// Says of a submission that was taken that the run goes on, though its caller cannot be told how.
fn taken(problem: Problem, run: RunId) -> Problem {
    let mut problem = problem.after_work();
    problem.message = format!(
        "What was submitted is stored and the run {run} goes on, but this answer cannot wait for it. Read it with \
         GET …/runs/{run}."
    );
    problem
}

fn read(fields: &Fields<'_>, caller: &Caller) -> Result<Read, Problem> {
    match fields.value("kind").and_then(Value::as_str) {
        Some("cancel") => {
            let reason = fields.text_of("reason", 0..=REASON)?.map(str::to_owned);
            Ok(Read::Cancel { reason })
        }
        Some("tool_result") => {
            let results = read_results(fields)?;
            Ok(Read::Move(Box::new(Submission::Results { results, messages: Vec::new() })))
        }
        Some("approval_decision") => Ok(Read::Move(Box::new(read_decision(fields, caller)?))),
        _ => Err(Problem::new(
            Code::InvalidKind,
            "`kind` must be `tool_result`, `approval_decision` or `cancel`.",
        )
        .at("kind")),
    }
}

fn read_results(fields: &Fields<'_>) -> Result<Vec<ResultIn>, Problem> {
    let Some(results) = fields.list("results")?.filter(|results| !results.is_empty()) else {
        let call_id = fields.required_text("tool_call_id")?.to_owned();
        let Some(result) = fields.object("result")? else {
            return Err(fields.refuse("result", "given, as an object"));
        };
        let output = Value::Object(result.clone()).to_string();
        return Ok(vec![ResultIn { call_id, output, is_error: false, at: "tool_call_id".to_owned() }]);
    };
    if results.len() > RESULTS {
        return Err(fields.refuse("results", &format!("an array of at most {RESULTS} entries")));
    }
    let read = |(index, entry): (usize, &Value)| {
        let at = |key: &str| format!("results[{index}].{key}");
        let entry_of = |key: &str| entry.get(key);
        let Some(call_id) = entry_of("tool_call_id").and_then(Value::as_str) else {
            let param = at("tool_call_id");
            return Err(Problem::invalid_input(&param, format!("`{param}` must be a text.")));
        };
        let Some(result) = entry_of("result") else {
            let param = at("result");
            return Err(Problem::invalid_input(
                &param,
                format!("`{param}` must be given; any JSON value will do."),
            ));
        };
        let is_error = match entry_of("is_error") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(is_error)) => *is_error,
            Some(_) => {
                let param = at("is_error");
                return Err(Problem::invalid_input(&param, format!("`{param}` must be true or false.")));
            }
        };
        // A text is what the model reads; anything else is given to it as JSON.
        let output = result.as_str().map_or_else(|| result.to_string(), str::to_owned);
        Ok(ResultIn { call_id: call_id.to_owned(), output, is_error, at: at("tool_call_id") })
    };
    results.iter().enumerate().map(read).collect()
}

fn read_decision(fields: &Fields<'_>, caller: &Caller) -> Result<Submission, Problem> {
    let approval = fields.required_text("approval_id")?;
    let reason = fields.text_of("reason", 0..=REASON)?.map(str::to_owned);
    let choice = match fields.value("decision").and_then(Value::as_str) {
        Some("approve") => Choice::Approve {
            args: fields.object("args")?.cloned(),
            content: fields.object("content")?.cloned().map(Value::Object),
        },
        Some("reject") => Choice::Reject { reason: reason.clone() },
        _ => {
            let message = "`decision` must be `approve` or `reject`.";
            return Err(Problem::new(Code::InvalidDecision, message).at("decision"));
        }
    };
    let approval = approval.parse().map_err(|_| {
        Problem::invalid_input(
            "approval_id",
            "The run has no such approval. Its pending ones are in `output.tool_calls`.",
        )
    })?;
    let given = fields.text_of("actor", 1..=ACTOR)?;
    Ok(Submission::Decision { approval, choice, actor: actor(caller, given), reason, messages: Vec::new() })
}

/// Returns who decided: whoever a tenant names, the token otherwise. A smith's token can speak for its smith only.
fn actor(caller: &Caller, given: Option<&str>) -> String {
    let actor = caller.actor();
    match (actor.kind, given) {
        (ActorKind::Smith, _) => actor.id,
        (_, Some(given)) => given.to_owned(),
        (_, None) => actor.token_id,
    }
}
