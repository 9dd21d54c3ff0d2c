//! `GET /v1/tenant/model_keys`, `GET /v1/smiths/{pid}/model_keys`

use axum::Json;
use axum::extract::State;
use domain::principals::Permission;
use serde::Serialize;
use store::model_keys::{KeyOwner, ModelKeyRecord};
use utoipa::ToSchema;

use super::of_smith;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};

/// That a key is set. The key itself is never shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelKeyOut {
    provider: &'static str,
    #[schema(required)]
    base_url: Option<String>,
    /// Always null.
    #[schema(required)]
    workspace_id: Option<String>,
    has_key: bool,
    #[schema(required)]
    updated_at: Option<String>,
}

/// All keys that are set; there are no pages.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelKeyListOut {
    data: Vec<ModelKeyOut>,
}

impl From<Vec<ModelKeyRecord>> for ModelKeyListOut {
    fn from(keys: Vec<ModelKeyRecord>) -> Self {
        let show = |key: ModelKeyRecord| ModelKeyOut {
            provider: key.provider.as_str(),
            base_url: key.base_url,
            workspace_id: None,
            has_key: true,
            updated_at: Some(key.updated_at.to_string()),
        };
        Self { data: keys.into_iter().map(show).collect() }
    }
}

/// Lists for which providers the project has a key.
#[utoipa::path(
    get,
    path = "/v1/tenant/model_keys",
    operation_id = "tenant.models.keys.list",
    tag = "Tenant",
    responses((status = 200, description = "The keys that are set.", body = ModelKeyListOut))
)]
pub(crate) async fn project(
    caller: Caller,
    State(app): State<App>,
) -> Result<Json<ModelKeyListOut>, ApiError> {
    let project = caller.administered(&app)?;
    Ok(Json(project.model_keys(KeyOwner::Project).await?.into()))
}

/// Lists for which providers a smith has a key of its own.
#[utoipa::path(
    get,
    path = "/v1/smiths/{pid}/model_keys",
    operation_id = "smiths.models.keys.list",
    tag = "Smiths",
    params(("pid" = String, Path, description = "The smith's id.")),
    responses((status = 200, description = "The keys that are set.", body = ModelKeyListOut))
)]
pub(crate) async fn smith(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<Json<ModelKeyListOut>, ApiError> {
    let (project, owner) = of_smith(&app, &caller, &path, Permission::ModelKeysRead).await?;
    Ok(Json(project.model_keys(owner).await?.into()))
}
