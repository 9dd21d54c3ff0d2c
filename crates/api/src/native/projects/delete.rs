//! `DELETE /v1/organization/projects/{pid}`

use axum::extract::State;
use domain::ids::ProjectId;
use http::StatusCode;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};
use crate::native::deleted;

/// Archives a project: its tokens are revoked at once, its name is free again, and its open runs are cancelled.
#[utoipa::path(
    delete,
    path = "/v1/organization/projects/{pid}",
    operation_id = "organization.projects.delete",
    tag = "Projects",
    params(("pid" = String, Path, description = "The project's id.")),
    responses((status = 204, description = "The project is archived."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    PathId(project): PathId<ProjectId>,
) -> Result<StatusCode, ApiError> {
    let organization = caller.organized(&app)?;
    let is_archived = organization.archive_project(project).await?;
    if is_archived {
        app.engine.cancel_archived_soon();
    }
    deleted(is_archived, "project")
}
