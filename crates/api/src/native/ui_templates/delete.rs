//! `DELETE /v1/agents/{aid}/ui/{name}`

use axum::extract::State;
use http::StatusCode;

use super::{Templates, no_template};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// Takes a UI template out of an agent's draft. Versions that were published with it keep it.
#[utoipa::path(
    delete,
    path = "/v1/agents/{aid}/ui/{name}",
    operation_id = "agents.ui.delete",
    tag = "agents",
    params(
        ("aid" = String, Path, description = "The agent's id."),
        ("name" = String, Path, description = "The template's name.")
    ),
    responses((status = 204, description = "The template is gone."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<StatusCode, ApiError> {
    let templates = Templates::find(&app, &caller, &path).await?;
    let is_deleted = templates.project.delete_ui_template(templates.agent, path.text("name")).await?;
    if is_deleted { Ok(StatusCode::NO_CONTENT) } else { Err(no_template().into()) }
}
