//! `POST /v1/smiths/{pid}/runs`

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use domain::content::{InputLimits, parse_input};
use domain::ids::SmithId;
use domain::overlay::Overlay;
use domain::principals::Permission;
use domain::response_format::parse_response_format;
use domain::smiths::{Config, parse_metadata};
use domain::{Code, Problem, Timestamp};
use engine::StartRun;
use serde_json::Value;
use store::smiths::SmithRecord;
use utoipa::ToSchema;

use super::record::RunOut;
use super::reply::{self, Wanted};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Idempotency, JsonBody, PathId};

/// What a run is asked. Nothing is required.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body in the OpenAPI document; it is read field by field")]
pub(super) struct RunIn {
    /// Messages `{role, content}`; empty is legal only on a thread with history.
    #[schema(value_type = Vec<super::record::InputMessage>, required = false)]
    input: Vec<Value>,
    /// The conversation to go on with; absent: a fresh one.
    #[schema(max_length = 255)]
    thread_id: Option<String>,
    /// True: server-sent events; false: the record once the run rests.
    #[schema(default = false, required = false)]
    stream: bool,
    /// Where the run came from, for the record.
    #[schema(default = "api", max_length = 64, required = false)]
    channel: String,
    #[schema(value_type = Object, required = false)]
    metadata: Value,
    /// `{type: "json_schema", json_schema: {name, schema, strict}}`, `{type: "json_object"}` or `{type: "text"}`.
    #[schema(value_type = Option<Object>)]
    response_format: Option<Value>,
}

/// Starts a run of a smith.
///
/// The run belongs to the server: a client that goes away does not cancel it. With an `Idempotency-Key` a repetition starts
/// no second run.
#[utoipa::path(
    post,
    path = "/v1/smiths/{pid}/runs",
    operation_id = "smiths.runs.create",
    tag = "Runs",
    params(("pid" = String, Path, description = "The smith")),
    request_body(content = RunIn, content_type = "application/json"),
    responses((status = 200, description = "The run once it rests, or its frames as they come.", content(
        (RunOut = "application/json"),
        (super::events::RunStreamFrame = "text/event-stream"),
    )))
)]
pub(crate) async fn create(
    caller: Caller,
    PathId(smith): PathId<SmithId>,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = app.store.project(caller.allow_on(smith, Permission::RunsWrite)?);
    let smith = project.smith(smith).await?.ok_or_else(|| Problem::not_found("smith"))?;
    let fields = body.fields();
    let wanted = Wanted::from_flag(fields.flag("stream")?);
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(response) = reply::repeated(&project, &once, wanted).await? {
        return Ok(response);
    }
    let limits = InputLimits {
        messages: app.options.max_input_messages,
        parts: app.options.max_input_parts,
        text_bytes: app.options.max_input_text_bytes,
    };
    let input = parse_input(fields.value("input"), limits)?;
    let thread_id = fields.text_of("thread_id", 1..=255)?.map(str::to_owned);
    let channel = fields.text_of("channel", 1..=64)?.unwrap_or("api").to_owned();
    let metadata = fields.value("metadata").map(parse_metadata).transpose()?.unwrap_or_default();
    let response_format = parse_response_format(fields.value("response_format"), "response_format")?;
    let config = smith.effective();
    let rendered_instructions = rendered(&smith, &config, app.ids.now())?;
    let start = StartRun {
        agent_version: version(&smith)?,
        smith: smith.id,
        agent: smith.agent,
        config,
        rendered_instructions,
        seal: smith.seal,
        thread_id,
        input,
        channel,
        metadata,
        response_format,
        overlay: Overlay::default(),
        actor: caller.actor(),
        idempotency: once.key(),
        is_followed: wanted == Wanted::Frames,
    };
    reply::start(&app, &project, once, start, wanted).await
}

/// Fills in the variables of the instructions; None where there are none to fill in.
pub(super) fn rendered(
    smith: &SmithRecord,
    config: &Config,
    now: Timestamp,
) -> Result<Option<String>, Problem> {
    match smith.render(config, now)? {
        Cow::Borrowed(_) => Ok(None),
        Cow::Owned(text) => Ok(Some(text)),
    }
}

/// Returns the version that the smith runs; an agent without one cannot run.
pub(super) fn version(smith: &SmithRecord) -> Result<Option<u32>, Problem> {
    if smith.agent_version.is_some() {
        return Ok(smith.agent_version);
    }
    Err(Problem::new(
        Code::AgentUnpublished,
        "The smith's agent has no published version. Publish one with POST /v1/agents/{aid}/versions.",
    ))
}
