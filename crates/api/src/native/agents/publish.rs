//! `POST /v1/agents/{aid}/versions`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::ids::AgentId;
use http::StatusCode;
use store::agents::{Publication, PublishError, VersionRecord};
use utoipa::ToSchema;

use super::body::no_agent;
use super::render::AgentVersionOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody, PathId};

const LONGEST_NOTE: usize = 2_000;

/// What is kept beside the version.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct PublishIn {
    /// What has changed, for people.
    #[schema(max_length = 2000)]
    note: Option<String>,
}

/// Freezes the draft as the agent's next version. The first version goes live by itself, later ones by a rollout.
#[utoipa::path(
    post,
    path = "/v1/agents/{aid}/versions",
    operation_id = "agents.versions.create",
    tag = "agents",
    params(("aid" = String, Path, description = "The agent's id.")),
    request_body = PublishIn,
    responses((status = 201, description = "The new version.", body = AgentVersionOut))
)]
pub(crate) async fn publish(
    caller: Caller,
    State(app): State<App>,
    PathId(agent): PathId<AgentId>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let note = body.fields().text_of("note", 0..=LONGEST_NOTE)?.map(str::to_owned);
    let publication = Publication { note, created_by: Some(caller.token().to_string()) };
    let answer =
        |version: &VersionRecord| Answer::json(StatusCode::CREATED, &AgentVersionOut::from(version.clone()));
    let remember = once.remembering(&answer);
    match project.publish_agent(agent, &publication, remember.as_ref().map(|remember| remember as _)).await {
        Ok(version) => Ok(answer(&version).into_response()),
        Err(PublishError::NoAgent) => Err(no_agent().into()),
        Err(PublishError::Refused(problem)) => Err(problem.into()),
        Err(PublishError::Store(error)) => once.lost(error).await,
    }
}
