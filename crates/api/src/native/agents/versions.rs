//! `GET /v1/agents/{aid}/versions`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::ids::{AgentId, Id as _};
use utoipa::ToSchema;

use super::body::no_agent;
use super::render::AgentVersionOut;
use crate::app::App;
use crate::cursor;
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
    let page: Page<AgentId> = query.page("agent_versions")?;
    let before = page.before.map(|place| version_at(agent, place)).transpose()?;
    let versions = project.agent_versions(agent, before, page.fetch()).await?.ok_or_else(no_agent)?;
    Ok(Json(page.list(versions, |version| place_of(agent, version.version), AgentVersionOut::from)))
}

/// Names a version within its agent as cursors name entries: the beginning of the agent's id, and the number.
fn place_of(agent: AgentId, version: u32) -> AgentId {
    let mut place = agent.as_bytes();
    for (byte, digit) in place.iter_mut().rev().zip(version.to_le_bytes()) {
        *byte = digit;
    }
    AgentId::from_bytes(place)
}

/// Reads the number back. A cursor of another agent is foreign.
fn version_at(agent: AgentId, place: AgentId) -> Result<u32, Problem> {
    let [.., a, b, c, d] = place.as_bytes();
    let version = u32::from_be_bytes([a, b, c, d]);
    if place_of(agent, version) == place { Ok(version) } else { Err(cursor::foreign()) }
}

#[cfg(test)]
mod tests {
    use domain::Code;

    use super::*;

    #[test]
    fn a_place_in_the_versions_of_one_agent_is_none_in_those_of_another() {
        let (own, other) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        for version in [1, 256, 70_000, u32::MAX] {
            assert_eq!(version_at(own, place_of(own, version)), Ok(version));
            let refusal = version_at(other, place_of(own, version)).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidCursor);
        }
    }
}
