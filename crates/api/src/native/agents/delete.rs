//! `DELETE /v1/agents/{aid}`

use axum::extract::State;
use domain::ids::AgentId;
use domain::{Code, Problem};
use http::StatusCode;
use store::agents::ArchiveError;

use super::body::no_agent;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};

/// Archives an agent that has no live smiths: its slug is free again. The default agent stays.
#[utoipa::path(
    delete,
    path = "/v1/agents/{aid}",
    operation_id = "agents.delete",
    tag = "agents",
    params(("aid" = String, Path, description = "The agent's id.")),
    responses((status = 204, description = "The agent is archived."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    PathId(agent): PathId<AgentId>,
) -> Result<StatusCode, ApiError> {
    match caller.administered(&app)?.archive_agent(agent).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(refusal(error).into()),
    }
}

fn refusal(error: ArchiveError) -> Problem {
    match error {
        ArchiveError::NoAgent => no_agent(),
        ArchiveError::Default => {
            let message = "This is the project's default agent, which smiths get that name none. It cannot be deleted; change its \
                draft instead.";
            Problem::new(Code::DefaultAgent, message)
        }
        ArchiveError::InUse => {
            let message = "The agent has smiths. Move them with POST /v1/agents/{aid}/attach of another agent, or archive them, first.";
            Problem::new(Code::AgentInUse, message)
        }
        ArchiveError::Store(error) => error.into(),
    }
}
