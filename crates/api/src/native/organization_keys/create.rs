//! `POST /v1/organization/keys`

use axum::extract::State;
use axum::response::Response;
use domain::Problem;
use domain::ids::TokenId;
use http::StatusCode;
use serde::Serialize;
use store::tokens::Minted;
use utoipa::ToSchema;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody};
use crate::native::tokens::{LONGEST_LIFE, new_token};

/// What the key is to be.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct OrganizationKeyIn {
    name: Option<String>,
    /// Seconds until the key expires; it does not by default.
    #[schema(minimum = 1, maximum = 315_360_000)]
    ttl_seconds: Option<u32>,
}

/// A key with its text, which is shown this once only.
#[derive(Serialize, ToSchema)]
struct OrganizationKeyCreatedOut {
    #[schema(value_type = String)]
    id: TokenId,
    token: String,
    #[schema(required)]
    name: Option<String>,
    #[schema(required)]
    expires_at: Option<String>,
}

impl From<&Minted> for OrganizationKeyCreatedOut {
    fn from(minted: &Minted) -> Self {
        let record = &minted.record;
        Self {
            id: record.id,
            token: minted.text.clone(),
            name: record.name.clone(),
            expires_at: record.expires_at.map(|time| time.to_string()),
        }
    }
}

/// Mints an organization key.
#[utoipa::path(
    post,
    path = "/v1/organization/keys",
    operation_id = "organization.keys.create",
    tag = "Projects",
    request_body = OrganizationKeyIn,
    responses((status = 201, description = "The key; its text is shown this once only.", body = OrganizationKeyCreatedOut))
)]
pub(crate) async fn create(
    caller: Caller,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let organization = caller.organized(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let new = new_token(&body.fields(), LONGEST_LIFE)?;
    let answer =
        |minted: &Minted| Answer::json(StatusCode::CREATED, &OrganizationKeyCreatedOut::from(minted));
    let remember = once.remembering(&answer);
    let minted = organization.mint_key(&new, remember.as_ref().map(|remember| remember as _)).await;
    once.made(minted, &answer, || Problem::not_found("organization")).await
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    const PATH: &str = "/v1/organization/keys";

    #[tokio::test]
    async fn a_key_is_minted_listed_and_revoked() {
        both(async |server| {
            let key = server.organization_key().await;
            let body = json!({"name": "ci", "ttl_seconds": 60});
            let minted = server.call(&key, Method::POST, PATH, body).await;
            assert_eq!(minted.status, 201);
            let (id, token) = (minted.body["id"].as_str().unwrap(), minted.body["token"].as_str().unwrap());
            assert!(token.starts_with("oka_live_"));
            let listed = server.call(token, Method::GET, PATH, Value::Null).await.body;
            assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["name"]), (&json!(id), &json!("ci")));
            assert_eq!(listed["data"].as_array().unwrap().len(), 2);
            let path = format!("{PATH}/{id}");
            assert_eq!(server.call(&key, Method::DELETE, &path, Value::Null).await.status, 204);
            assert_eq!(server.refused(token, Method::GET, PATH, Value::Null).await.1, "unauthenticated");
            let refused = server.refused(&key, Method::POST, PATH, json!({"ttl_seconds": 0})).await;
            assert_eq!(refused, (422, "invalid_input".into(), "ttl_seconds".into()));
        })
        .await;
    }

    #[tokio::test]
    async fn a_project_token_is_no_organization_key() {
        both(async |server| {
            let admin = server.admin_token().await;
            for (method, path) in
                [(Method::GET, PATH), (Method::POST, PATH), (Method::GET, "/v1/organization/projects")]
            {
                let refused = server.refused(&admin, method, path, Value::Null).await;
                assert_eq!(refused, (403, "organization_required".into(), String::new()));
            }
            let key = server.organization_key().await;
            let refused = server.refused(&key, Method::GET, "/v1/tenant/tokens", Value::Null).await;
            assert_eq!(refused, (403, "tenant_token_required".into(), String::new()));
        })
        .await;
    }
}
