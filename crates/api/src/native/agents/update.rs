//! `PATCH /v1/agents/{aid}`

use axum::Json;
use axum::extract::State;
use domain::ids::AgentId;
use domain::{Code, Problem};
use store::agents::{AgentEdit, ChangeError};

use super::AgentOut;
use super::body::{agent_body, name, no_agent};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, JsonBody, PathId};

agent_body! {
    /// What is to change. What is not named stays, null clears.
    AgentPatch {
        name: Option<String>,
    }
}

/// Changes an agent's draft, and nothing of what its smiths run.
#[utoipa::path(
    patch,
    path = "/v1/agents/{aid}",
    operation_id = "agents.update",
    tag = "agents",
    params(("aid" = String, Path, description = "The agent's id.")),
    request_body = AgentPatch,
    responses((status = 200, description = "The agent after the change.", body = AgentOut))
)]
pub(crate) async fn update(
    caller: Caller,
    State(app): State<App>,
    PathId(agent): PathId<AgentId>,
    body: JsonBody,
) -> Result<Json<AgentOut>, ApiError> {
    let project = caller.administered(&app)?;
    match project.change_agent(agent, |edit| apply(&body, edit)).await {
        Ok(changed) => Ok(Json(changed.into())),
        Err(ChangeError::NoAgent) => Err(no_agent().into()),
        Err(ChangeError::Refused(problem)) => Err(problem.into()),
        Err(ChangeError::Store(error)) => Err(error.into()),
    }
}

fn apply(body: &JsonBody, edit: &mut AgentEdit) -> Result<(), Problem> {
    let fields = body.fields();
    // An agent always has a name: null leaves the one that it has.
    if let Some(name) = name(&fields)? {
        edit.name = name.to_owned();
    }
    if edit.draft.edit(&body.0)? || fields.has("name") {
        return Ok(());
    }
    let message = "The body changes nothing. Name at least one field of an agent; a `slug` never changes.";
    Err(Problem::new(Code::EmptyPatch, message))
}
