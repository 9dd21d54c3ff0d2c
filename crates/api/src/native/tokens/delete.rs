//! `DELETE /v1/tenant/tokens/{tid}`

use axum::extract::State;
use domain::ids::TokenId;
use http::StatusCode;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};
use crate::native::deleted;

/// Revokes a token, at once and for good; again is no error. A token may revoke itself.
#[utoipa::path(
    delete,
    path = "/v1/tenant/tokens/{tid}",
    operation_id = "tenant.tokens.delete",
    tag = "Tenant",
    params(("tid" = String, Path, description = "The token's id.")),
    responses((status = 204, description = "The token is revoked."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    PathId(token): PathId<TokenId>,
) -> Result<StatusCode, ApiError> {
    let project = caller.administered(&app)?;
    deleted(project.revoke_token(token).await?, "token")
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    #[tokio::test]
    async fn a_token_is_revoked_at_once_and_may_revoke_itself() {
        both(async |server| {
            let (admin, other) = (server.admin_token().await, server.admin_token().await);
            let minted =
                server.call(&admin, Method::POST, "/v1/tenant/tokens", json!({"scope": "admin"})).await.body;
            let path = format!("/v1/tenant/tokens/{}", minted["id"].as_str().unwrap());
            let token = minted["token"].as_str().unwrap();
            assert_eq!(server.call(token, Method::DELETE, &path, Value::Null).await.status, 204);
            assert_eq!(server.refused(token, Method::DELETE, &path, Value::Null).await.1, "unauthenticated");
            assert_eq!(server.call(&other, Method::DELETE, &path, Value::Null).await.status, 204);
            for unknown in ["nobody", "tok_1111111111111111111111"] {
                let path = format!("/v1/tenant/tokens/{unknown}");
                assert_eq!(server.refused(&admin, Method::DELETE, &path, Value::Null).await.1, "not_found");
            }
        })
        .await;
    }
}
