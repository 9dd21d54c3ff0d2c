//! `GET /v1/agents/{aid}`

use axum::Json;
use axum::extract::State;
use domain::ids::AgentId;

use super::AgentOut;
use super::body::no_agent;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};

/// Shows an agent.
#[utoipa::path(
    get,
    path = "/v1/agents/{aid}",
    operation_id = "agents.get",
    tag = "agents",
    params(("aid" = String, Path, description = "The agent's id.")),
    responses((status = 200, description = "The agent.", body = AgentOut))
)]
pub(crate) async fn get(
    caller: Caller,
    State(app): State<App>,
    PathId(agent): PathId<AgentId>,
) -> Result<Json<AgentOut>, ApiError> {
    let found = caller.administered(&app)?.agent_record(agent).await?;
    Ok(Json(found.ok_or_else(no_agent)?.into()))
}
