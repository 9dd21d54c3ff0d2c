//! `DELETE /v1/organization/keys/{kid}`

use axum::extract::State;
use domain::ids::TokenId;
use http::StatusCode;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};
use crate::native::deleted;

/// Revokes an organization key, at once and for good; again is no error. A key may revoke itself.
#[utoipa::path(
    delete,
    path = "/v1/organization/keys/{kid}",
    operation_id = "organization.keys.delete",
    tag = "Projects",
    params(("kid" = String, Path, description = "The key's id.")),
    responses((status = 204, description = "The key is revoked."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    PathId(key): PathId<TokenId>,
) -> Result<StatusCode, ApiError> {
    let organization = caller.organized(&app)?;
    deleted(organization.revoke_key(key).await?, "key")
}
