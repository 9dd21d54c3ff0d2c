//! `GET /v1/smiths/{pid}`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::ids::SmithId;
use domain::principals::Principal;

use super::SmithOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};

/// Shows a smith. A smith token needs no particular permission to see its own.
#[utoipa::path(
    get,
    path = "/v1/smiths/{pid}",
    operation_id = "smiths.get",
    tag = "Smiths",
    params(("pid" = String, Path, description = "The smith's id.")),
    responses((status = 200, description = "The smith.", body = SmithOut))
)]
pub(crate) async fn get(
    caller: Caller,
    State(app): State<App>,
    PathId(smith): PathId<SmithId>,
) -> Result<Json<SmithOut>, ApiError> {
    let project = caller.project()?;
    if let Principal::Smith { smith: own, .. } = &caller.0
        && *own != smith
    {
        return Err(Principal::mismatch().into());
    }
    let found = app.store.project(project).smith(smith).await?;
    let found = found.ok_or_else(|| Problem::not_found("smith"))?;
    Ok(Json(SmithOut::of(found, app.ids.now())))
}
