//! `GET /v1/organization/projects`

use axum::Json;
use axum::extract::State;
use utoipa::ToSchema;

use super::ProjectOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Query};
use crate::lists::List;

/// A page of projects.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(crate) struct ProjectListOut {
    data: Vec<ProjectOut>,
    #[schema(required)]
    next_cursor: Option<String>,
    has_more: bool,
}

/// Lists the organization's live projects, newest first.
#[utoipa::path(
    get,
    path = "/v1/organization/projects",
    operation_id = "organization.projects.list",
    tag = "Projects",
    params(
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before."),
        ("name" = Option<String>, Query, description = "Only the project of exactly this name.")
    ),
    responses((status = 200, description = "A page of projects.", body = ProjectListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<ProjectOut>>, ApiError> {
    let organization = caller.organized(&app)?;
    let page = query.page("organization.projects", organization.id())?;
    let projects = organization.projects(query.filter("name"), page.before, page.fetch()).await?;
    Ok(Json(page.list(projects, |project| project.id, ProjectOut::from)))
}
