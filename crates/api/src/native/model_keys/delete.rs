//! `DELETE /v1/tenant/model_keys/{provider}`, `DELETE /v1/smiths/{pid}/model_keys/{provider}`

use axum::extract::State;
use domain::models::Provider;
use domain::principals::Permission;
use http::StatusCode;
use store::ProjectStore;
use store::model_keys::KeyOwner;

use super::of_smith;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};
use crate::native::deleted;

/// Removes the project's key for a provider.
#[utoipa::path(
    delete,
    path = "/v1/tenant/model_keys/{provider}",
    operation_id = "tenant.models.keys.delete",
    tag = "Tenant",
    params(("provider" = String, Path, description = "The provider's name.")),
    responses((status = 204, description = "The key is gone."))
)]
pub(crate) async fn project(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<StatusCode, ApiError> {
    let project = caller.administered(&app)?;
    delete(&project, KeyOwner::Project, &path).await
}

/// Removes a smith's own key for a provider.
#[utoipa::path(
    delete,
    path = "/v1/smiths/{pid}/model_keys/{provider}",
    operation_id = "smiths.models.keys.delete",
    tag = "Smiths",
    params(
        ("pid" = String, Path, description = "The smith's id."),
        ("provider" = String, Path, description = "The provider's name.")
    ),
    responses((status = 204, description = "The key is gone."))
)]
pub(crate) async fn smith(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<StatusCode, ApiError> {
    let (project, owner) = of_smith(&app, &caller, &path, Permission::ModelKeysWrite).await?;
    delete(&project, owner, &path).await
}

async fn delete(project: &ProjectStore, owner: KeyOwner, path: &PathParams) -> Result<StatusCode, ApiError> {
    // A provider that nobody knows has no key either.
    let was_there = match Provider::parse(path.text("provider")) {
        Some(provider) => project.delete_model_key(owner, provider).await?,
        None => false,
    };
    deleted(was_there, "key")
}
