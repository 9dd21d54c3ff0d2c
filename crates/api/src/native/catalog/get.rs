//! `GET /v1/catalog/{slug}`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::tools::presets;

use super::render::CatalogEntryOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// Shows a preset of a public MCP server.
#[utoipa::path(
    get,
    path = "/v1/catalog/{slug}",
    operation_id = "catalog.get",
    tag = "Catalog",
    params(("slug" = String, Path, description = "The preset's slug.")),
    responses((status = 200, description = "The preset.", body = CatalogEntryOut))
)]
pub(crate) async fn get(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<Json<CatalogEntryOut>, ApiError> {
    caller.administered(&app)?;
    let preset = presets::find(path.text("slug")).ok_or_else(|| Problem::not_found("preset"))?;
    Ok(Json(preset.into()))
}
