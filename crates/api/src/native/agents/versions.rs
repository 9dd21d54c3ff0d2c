//! `GET /v1/agents/{aid}/versions`

use axum::Json;
use axum::extract::State;
use domain::ids::AgentId;
use utoipa::ToSchema;

use super::body::no_agent;
use super::render::AgentVersionOut;
use crate::app::App;
use crate::cursor::Number;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId, Query};
use crate::lists::{List, Page};

/// A page of versions.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(crate) struct AgentVersionListOut {
    data: Vec<AgentVersionOut>,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Lists an agent's published versions, newest first.
#[utoipa::path(
    get,
    path = "/v1/agents/{aid}/versions",
    operation_id = "agents.versions.list",
    tag = "agents",
    params(
        ("aid" = String, Path, description = "The agent's id."),
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page of versions.", body = AgentVersionListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    PathId(agent): PathId<AgentId>,
    query: Query,
) -> Result<Json<List<AgentVersionOut>>, ApiError> {
    let project = caller.administered(&app)?;
    let page: Page<Number> = query.page("versions", agent)?;
    let before = page.before.map(|Number(version)| version);
    let versions = project.agent_versions(agent, before, page.fetch()).await?.ok_or_else(no_agent)?;
    Ok(Json(page.list(versions, |version| Number(version.version), AgentVersionOut::from)))
}
