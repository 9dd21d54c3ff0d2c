//! `GET /v1/agents/{aid}/ui`

use axum::Json;
use axum::extract::State;

use super::Templates;
use super::render::UiResourceListOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// Lists the UI templates of an agent's draft.
#[utoipa::path(
    get,
    path = "/v1/agents/{aid}/ui",
    operation_id = "agents.ui.list",
    tag = "agents",
    params(("aid" = String, Path, description = "The agent's id.")),
    responses((status = 200, description = "The templates.", body = UiResourceListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<Json<UiResourceListOut>, ApiError> {
    let templates = Templates::find(&app, &caller, &path).await?;
    Ok(Json(UiResourceListOut { data: templates.records }))
}
