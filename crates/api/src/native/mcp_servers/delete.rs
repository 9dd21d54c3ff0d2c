//! `DELETE /v1/tenant/mcp/{name}`

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};
use crate::native::deleted;

/// Removes a registered MCP server, and the secret that it was called with.
#[utoipa::path(
    delete,
    path = "/v1/tenant/mcp/{name}",
    operation_id = "tenant.mcp.delete",
    tag = "MCP",
    params(("name" = String, Path, description = "The server's name.")),
    responses((status = 204, description = "The server is gone."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<StatusCode, ApiError> {
    let project = caller.administered(&app)?;
    deleted(project.delete_mcp_server(path.text("name")).await?, "MCP server")
}
