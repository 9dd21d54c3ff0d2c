//! `GET /v1/organization/projects/{pid}`

use axum::Json;
use axum::extract::State;
use domain::ids::ProjectId;

use super::{ProjectOut, find};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};

/// Shows a live project.
#[utoipa::path(
    get,
    path = "/v1/organization/projects/{pid}",
    operation_id = "organization.projects.get",
    tag = "Projects",
    params(("pid" = String, Path, description = "The project's id.")),
    responses((status = 200, description = "The project.", body = ProjectOut))
)]
pub(crate) async fn get(
    caller: Caller,
    State(app): State<App>,
    PathId(project): PathId<ProjectId>,
) -> Result<Json<ProjectOut>, ApiError> {
    Ok(Json(find(&caller.organized(&app)?, project).await?.into()))
}
