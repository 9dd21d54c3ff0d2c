//! `POST /v1/smiths/{pid}/runs/{rid}/replay`

use axum::extract::State;
use axum::response::Response;
use domain::principals::Permission;
use domain::{Code, Problem};
use engine::StartRun;
use serde_json::json;
use utoipa::ToSchema;

use super::record::RunOut;
use super::reply::{self, Wanted};
use super::{create, get};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Idempotency, JsonBody, PathParams};

/// How the replay is answered.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body in the OpenAPI document; it is read field by field")]
pub(super) struct RunReplayIn {
    #[schema(default = false, required = false)]
    stream: bool,
}

/// Runs an earlier run's input again, on a fresh thread, with the configuration that the run had.
#[utoipa::path(
    post,
    path = "/v1/smiths/{pid}/runs/{rid}/replay",
    operation_id = "smiths.runs.replay",
    tag = "Runs",
    params(("pid" = String, Path, description = "The smith"), ("rid" = String, Path, description = "The run")),
    request_body(content = RunReplayIn, content_type = "application/json"),
    responses((status = 200, description = "The new run once it rests, or its frames as they come.", content(
        (RunOut = "application/json"),
        (super::events::RunStreamFrame = "text/event-stream"),
    )))
)]
pub(crate) async fn replay(
    caller: Caller,
    path: PathParams,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let get::Found { project, record, .. } = get::find(&app, &caller, &path, Permission::RunsWrite).await?;
    let wanted = Wanted::from_flag(body.fields().flag("stream")?);
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(response) = reply::repeated(&project, &once, wanted).await? {
        return Ok(response);
    }
    if !record.request.overlay.tools.is_empty() {
        let message = "This run calls functions of its client, which a replay could not carry out. Send the request again.";
        return Err(Problem::new(Code::ReplayUnsupported, message).into());
    }
    if !record.request.overlay.servers.is_empty() {
        // What the request was allowed to do in its author's name is not everybody's who may start runs.
        let message = "This run calls MCP servers with what its request brought along, which is used for that run only. Send the \
                       request again.";
        return Err(Problem::new(Code::ReplayUnsupported, message).into());
    }
    if record.request.input.is_empty() && record.request.overlay.past.is_empty() {
        let message = "This run went on with what its thread held and brought no input of its own, so there is nothing to replay on a \
                       fresh one. Replay the run before it.";
        return Err(Problem::new(Code::ReplayUnsupported, message).into());
    }
    let smith = project.smith(record.smith).await?.ok_or_else(|| Problem::not_found("smith"))?;
    let recorded = project.run_config(record.id).await.map_err(|error| {
        if error.is_damage() {
            let message = "What is stored of this run cannot be read, so it cannot be run again.";
            return Problem::new(Code::ReplayUnsupported, message);
        }
        error.into()
    })?;
    let deterministic = recorded.is_some();
    let (config, rendered_instructions) = match recorded {
        Some(recorded) => {
            let mut config = recorded.config;
            config.model = Some(recorded.resolved_model);
            // As they were read then, whatever the person is called or the time is now.
            (config, recorded.rendered_instructions)
        }
        None => {
            let config = smith.effective();
            let rendered = create::rendered(&smith, &config, app.ids.now())?;
            (config, rendered)
        }
    };
    let mut metadata = record.request.metadata;
    metadata.insert("replay".to_owned(), json!({ "run_id": record.id, "deterministic": deterministic }));
    let start = StartRun {
        smith: smith.id,
        agent: record.agent,
        agent_version: record
            .agent_version
            .map_or_else(|| create::version(&smith), |version| Ok(Some(version)))?,
        config,
        rendered_instructions,
        seal: smith.seal,
        thread_id: None,
        input: record.request.input,
        channel: record.channel,
        metadata,
        response_format: record.request.response_format,
        overlay: record.request.overlay,
        actor: caller.actor(),
        idempotency: once.key(),
        is_followed: wanted == Wanted::Frames,
    };
    reply::start(&app, &project, once, start, wanted).await
}
