//! `GET /v1/models`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ModelOut, usable};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{ActingSmith, Caller};
use crate::openai::ListObject;

/// Everything that the caller can run; there are no pages.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenAIModelListOut)]
pub(crate) struct ModelListOut {
    #[schema(inline)]
    object: ListObject,
    data: Vec<ModelOut>,
}

/// Lists the models that the caller can run. Others can be named as well: the provider judges them.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "models.list",
    tag = "OpenAI-compatible",
    responses((status = 200, description = "The models.", body = ModelListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    acting: ActingSmith,
    State(app): State<App>,
) -> Result<Json<ModelListOut>, ApiError> {
    let data = usable(&app, &caller, &acting).await?;
    Ok(Json(ModelListOut { object: ListObject::List, data }))
}
