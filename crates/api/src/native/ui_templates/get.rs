//! `GET /v1/agents/{aid}/ui/{name}`

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::Templates;
use super::render::UiResource;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// Shows what is said about a UI template.
#[utoipa::path(
    get,
    path = "/v1/agents/{aid}/ui/{name}",
    operation_id = "agents.ui.get",
    tag = "agents",
    params(
        ("aid" = String, Path, description = "The agent's id."),
        ("name" = String, Path, description = "The template's name.")
    ),
    responses((status = 200, description = "The template.", body = UiResource))
)]
pub(crate) async fn get(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<Json<Value>, ApiError> {
    let templates = Templates::find(&app, &caller, &path).await?;
    Ok(Json(templates.named(&path)?.clone()))
}
