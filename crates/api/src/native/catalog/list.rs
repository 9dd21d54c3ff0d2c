//! `GET /v1/catalog`

use axum::Json;
use axum::extract::State;
use domain::tools::presets;
use serde::Serialize;
use utoipa::ToSchema;

use super::render::CatalogEntryOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::Caller;

/// All presets by their slugs; there are no pages.
#[derive(Serialize, ToSchema)]
pub(super) struct CatalogListOut {
    data: Vec<CatalogEntryOut>,
}

/// Lists presets of public MCP servers, which a project can register by their slugs.
#[utoipa::path(
    get,
    path = "/v1/catalog",
    operation_id = "catalog.list",
    tag = "Catalog",
    responses((status = 200, description = "The presets.", body = CatalogListOut))
)]
pub(crate) async fn list(caller: Caller, State(app): State<App>) -> Result<Json<CatalogListOut>, ApiError> {
    caller.administered(&app)?;
    Ok(Json(CatalogListOut { data: presets::all().iter().map(CatalogEntryOut::from).collect() }))
}
