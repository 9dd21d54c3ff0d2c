//! `GET /v1/tenant/tools`

use axum::Json;
use axum::extract::State;
use domain::ids::ProjectToolId;
use utoipa::ToSchema;

use super::render::ToolOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Query};
use crate::lists::{List, Page};

/// A page of tools.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(super) struct ToolListOut {
    data: Vec<ToolOut>,
    has_more: bool,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Lists the tools of the project's own, newest first.
#[utoipa::path(
    get,
    path = "/v1/tenant/tools",
    operation_id = "tenant.custom.list",
    tag = "Tools",
    params(
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page of tools.", body = ToolListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<ToolOut>>, ApiError> {
    let project = caller.administered(&app)?;
    let page: Page<ProjectToolId> = query.page("tools", project.id())?;
    let tools = project.project_tools(page.before, page.fetch()).await?;
    Ok(Json(page.list(tools, |record| record.id, |record| ToolOut::from(record.tool))))
}
