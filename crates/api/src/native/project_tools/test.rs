//! `POST /v1/tenant/tools/{name}/test`

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use domain::Problem;
use domain::ids::RunId;
use domain::tools::{CallError, ProjectTool};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use store::ProjectStore;
use tools::webhook::{Target, WebhookAnswer};
use tools::{Call, Person};
use utoipa::ToSchema;
use vault::SigningSecret;

use super::no_tool;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody, PathParams};

/// The id of a call that no run has made.
const CALL: &str = "test";

/// What the tool is called with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct ToolTestIn {
    /// Sent as they are, whatever the schema says. Left out: none.
    #[schema(value_type = Object, required = false)]
    args: Option<Value>,
}

/// How the call went.
#[derive(Serialize, ToSchema)]
struct ToolTestOut {
    /// Whether a model would have got a result.
    ok: bool,
    /// The HTTP status that came back, if one did.
    #[schema(required)]
    status: Option<u16>,
    duration_ms: u64,
    /// JSON as such, other text as a text, null when there is none.
    result: Value,
    #[schema(required)]
    error: Option<String>,
}

/// Calls a webhook tool once with the given arguments, outside of any run, and shows what came back.
#[utoipa::path(
    post,
    path = "/v1/tenant/tools/{name}/test",
    operation_id = "tenant.custom.test",
    tag = "Tools",
    params(("name" = String, Path, description = "The tool's name.")),
    request_body = ToolTestIn,
    responses((status = 200, description = "How the call went.", body = ToolTestOut))
)]
pub(crate) async fn test(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let name = path.text("name");
    let args = body.fields().object("args")?.cloned().unwrap_or_default();
    let mut read = project.project_tools_named(&[name.to_owned()]).await?;
    if !read.damaged.is_empty() {
        return Err(Problem::internal().into());
    }
    let found = read.found.pop();
    let (record, secret) = found.ok_or_else(no_tool)?;
    let target = target(&record.tool, secret.as_deref())?;
    let work = try_out(app.clone(), project, target, call(&app, name, args));
    once.alone(&app, Box::pin(work)).await
}

async fn try_out(app: App, project: ProjectStore, target: Target, call: Call) -> Result<Answer, Problem> {
    let WebhookAnswer { answer, status, duration } = app.tools.webhooks.call(&target, &call, None).await;
    let error = answer.is_error.then(|| answer.trouble.unwrap_or_default());
    if let Some(message) = &error {
        let error = CallError { message: message.clone(), at: app.ids.now() };
        // The call was made, and its answer is what was asked for.
        if let Err(error) = project.note_project_tool_error(&call.tool, &error).await {
            tracing::warn!(error = %error, "The failure of a tool could not be kept with it.");
        }
    }
    let shown = ToolTestOut {
        ok: error.is_none(),
        status,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        result: if error.is_none() { json_or_text(answer.output) } else { Value::Null },
        error,
    };
    Ok(Answer::json(StatusCode::OK, &shown))
}

/// Says where the tool is called, if it is called at all.
fn target(tool: &ProjectTool, secret: Option<&str>) -> Result<Target, Problem> {
    let (Some(url), Some(secret)) = (&tool.url, secret) else {
        let message =
            "An external tool is carried out by whoever calls the run: there is nothing to call here.";
        return Err(Problem::invalid_input("name", message));
    };
    let secret = SigningSecret::parse(secret).map_err(|error| {
        tracing::error!(error = %error, "The secret of a webhook tool cannot be used.");
        Problem::internal()
    })?;
    let timeout = Duration::from_secs(tool.timeout_seconds.into());
    // One call, whatever the tool says of itself.
    Ok(Target { url: url.clone(), secret, timeout, is_repeatable: false })
}

/// Makes a call of no run. Its ids name nothing, so that the tool can tell it from others by its own records.
fn call(app: &App, tool: &str, args: Map<String, Value>) -> Call {
    let run: RunId = app.ids.mint();
    Call {
        tool: tool.to_owned(),
        args,
        call_id: CALL.to_owned(),
        idempotency_key: format!("{run}::{CALL}"),
        run,
        smith: app.ids.mint(),
        thread_id: CALL.to_owned(),
        resumption: None,
        person: Person::default(),
    }
}

fn json_or_text(text: String) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
