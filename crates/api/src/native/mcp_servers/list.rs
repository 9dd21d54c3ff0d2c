//! `GET /v1/tenant/mcp`

use axum::Json;
use axum::extract::State;
use domain::ids::McpServerId;
use utoipa::ToSchema;

use super::render::McpServerOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Query};
use crate::lists::{List, Page};

/// A page of MCP servers.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(super) struct McpServerListOut {
    data: Vec<McpServerOut>,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Lists the project's MCP servers, newest first.
#[utoipa::path(
    get,
    path = "/v1/tenant/mcp",
    operation_id = "tenant.mcp.list",
    tag = "MCP",
    params(
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page of servers.", body = McpServerListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<McpServerOut>>, ApiError> {
    let project = caller.administered(&app)?;
    let page: Page<McpServerId> = query.page("mcp_servers", project.id())?;
    let servers = project.mcp_servers(page.before, page.fetch()).await?;
    Ok(Json(page.list(servers, |server| server.id, McpServerOut::from)))
}
