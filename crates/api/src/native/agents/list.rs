//! `GET /v1/agents`

use axum::Json;
use axum::extract::State;
use domain::ids::AgentId;
use utoipa::ToSchema;

use super::AgentOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Query};
use crate::lists::{List, Page};

/// A page of agents.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(crate) struct AgentListOut {
    data: Vec<AgentOut>,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Lists the project's live agents, newest first.
#[utoipa::path(
    get,
    path = "/v1/agents",
    operation_id = "agents.list",
    tag = "agents",
    params(
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page of agents.", body = AgentListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<AgentOut>>, ApiError> {
    let project = caller.administered(&app)?;
    let page: Page<AgentId> = query.page("agents", project.id())?;
    let agents = project.agents(page.before, page.fetch()).await?;
    Ok(Json(page.list(agents, |record| record.agent.id, AgentOut::from)))
}
