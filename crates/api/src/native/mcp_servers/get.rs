//! `GET /v1/tenant/mcp/{name}`

use axum::Json;
use axum::extract::State;

use super::no_server;
use super::render::McpServerOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// Shows a registered MCP server.
#[utoipa::path(
    get,
    path = "/v1/tenant/mcp/{name}",
    operation_id = "tenant.mcp.get",
    tag = "MCP",
    params(("name" = String, Path, description = "The server's name.")),
    responses((status = 200, description = "The server.", body = McpServerOut))
)]
pub(crate) async fn get(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<Json<McpServerOut>, ApiError> {
    let project = caller.administered(&app)?;
    let (server, _) = project.mcp_server(path.text("name")).await?.ok_or_else(no_server)?;
    Ok(Json(server.into()))
}
