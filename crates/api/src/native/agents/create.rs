//! `POST /v1/agents`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::agents::Slug;
use domain::smiths::Config;
use domain::{Code, Problem};
use http::StatusCode;
use store::agents::{AgentRecord, CreateError, NewAgent};

use super::AgentOut;
use super::body::{agent_body, required_name};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody};

agent_body! {
    /// What the agent is to be.
    AgentIn {
        name: String,
        /// Names the agent for programs, for good. Left out: made from the name.
        slug: Option<String>,
    }
}

/// Creates an agent. Smiths can have it once a version of its draft is published.
#[utoipa::path(
    post,
    path = "/v1/agents",
    operation_id = "agents.create",
    tag = "agents",
    request_body = AgentIn,
    responses((status = 201, description = "The new agent.", body = AgentOut))
)]
pub(crate) async fn create(
    caller: Caller,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let new = read(&body)?;
    let remember = once.remembering(&created);
    match project.create_agent(&new, remember.as_ref().map(|remember| remember as _)).await {
        Ok(record) => Ok(created(&record).into_response()),
        Err(CreateError::SlugTaken) => Err(slug_taken().into()),
        Err(CreateError::Store(error)) => once.lost(error).await,
    }
}

/// How a new agent is answered.
pub(super) fn created(record: &AgentRecord) -> Answer {
    Answer::json(StatusCode::CREATED, &AgentOut::from(record.clone()))
}

pub(super) fn slug_taken() -> Problem {
    let message = "Another agent of the project has this slug. Choose another, or leave `slug` out to have one made from the name.";
    Problem::new(Code::AgentExists, message).at("slug")
}

fn read(body: &JsonBody) -> Result<NewAgent, Problem> {
    let fields = body.fields();
    let name = required_name(&fields)?.to_owned();
    let slug = fields.text("slug")?.map(Slug::parse).transpose()?;
    let mut draft = Config::default();
    draft.edit(&body.0)?;
    Ok(NewAgent { name, slug, draft })
}
