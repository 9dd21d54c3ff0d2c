//! `DELETE /v1/tenant/tools/{name}`

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};
use crate::native::deleted;

/// Removes a tool of the project's own, and the secret that signed its calls.
#[utoipa::path(
    delete,
    path = "/v1/tenant/tools/{name}",
    operation_id = "tenant.custom.delete",
    tag = "Tools",
    params(("name" = String, Path, description = "The tool's name.")),
    responses((status = 204, description = "The tool is gone."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<StatusCode, ApiError> {
    let project = caller.administered(&app)?;
    deleted(project.delete_project_tool(path.text("name")).await?, "tool")
}
