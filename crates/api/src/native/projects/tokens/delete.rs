//! `DELETE /v1/organization/projects/{pid}/tokens/{tid}`

use axum::extract::State;
use domain::ids::TokenId;
use http::StatusCode;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};
use crate::native::deleted;
use crate::native::projects::find;

/// Revokes a token of a project, at once and for good; again is no error.
#[utoipa::path(
    delete,
    path = "/v1/organization/projects/{pid}/tokens/{tid}",
    operation_id = "organization.projects.tokens.delete",
    tag = "Projects",
    params(
        ("pid" = String, Path, description = "The project's id."),
        ("tid" = String, Path, description = "The token's id.")
    ),
    responses((status = 204, description = "The token is revoked."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
) -> Result<StatusCode, ApiError> {
    let organization = caller.organized(&app)?;
    let project = find(&organization, path.id("pid")?).await?;
    let token: TokenId = path.id("tid")?;
    deleted(app.store.project(project.id).revoke_token(token).await?, "token")
}
