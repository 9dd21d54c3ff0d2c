//! `GET /v1/tenant/tools/{name}`

use axum::Json;
use axum::extract::State;

use super::no_tool;
use super::render::ToolOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// Shows a tool of the project's own.
#[utoipa::path(
    get,
    path = "/v1/tenant/tools/{name}",
    operation_id = "tenant.custom.get",
    tag = "Tools",
    params(("name" = String, Path, description = "The tool's name.")),
    responses((status = 200, description = "The tool.", body = ToolOut))
)]
pub(crate) async fn get(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<Json<ToolOut>, ApiError> {
    let project = caller.administered(&app)?;
    let tool = project.project_tool(path.text("name")).await?.ok_or_else(no_tool)?;
    Ok(Json(tool.into()))
}
