//! `GET /v1/tenant/tokens`

use axum::Json;
use axum::extract::State;
use domain::ids::TokenId;
use serde::Serialize;
use store::tokens::TokenRecord;
use utoipa::ToSchema;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Query};
use crate::lists::List;

/// A token without its text.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenOut {
    #[schema(value_type = String)]
    id: TokenId,
    #[schema(required)]
    name: Option<String>,
    sub: String,
    scopes: Vec<String>,
    /// How the token's text begins.
    #[schema(required)]
    prefix: Option<&'static str>,
    #[schema(required)]
    created_at: Option<String>,
    #[schema(required)]
    expires_at: Option<String>,
    #[schema(required)]
    revoked_at: Option<String>,
}

/// A page of tokens.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(crate) struct TokenListOut {
    data: Vec<TokenOut>,
    #[schema(required)]
    next_cursor: Option<String>,
    has_more: bool,
}

impl From<TokenRecord> for TokenOut {
    fn from(record: TokenRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            sub: record.subject.to_string(),
            scopes: record.scopes,
            prefix: Some(record.subject.kind().prefix()),
            created_at: Some(record.created_at.to_string()),
            expires_at: record.expires_at.map(|time| time.to_string()),
            revoked_at: record.revoked_at.map(|time| time.to_string()),
        }
    }
}

/// Lists the project's tokens, newest first, expired and revoked ones too.
#[utoipa::path(
    get,
    path = "/v1/tenant/tokens",
    operation_id = "tenant.tokens.list",
    tag = "Tenant",
    params(
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page of tokens.", body = TokenListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<TokenOut>>, ApiError> {
    let project = caller.administered(&app)?;
    let page = query.page("tenant.tokens", project.id())?;
    let tokens = project.tokens(page.before, page.fetch()).await?;
    Ok(Json(page.list(tokens, |token| token.id, TokenOut::from)))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    #[tokio::test]
    async fn pages_lead_from_the_newest_to_the_oldest() {
        both(async |server| {
            let admin = server.admin_token().await;
            for name in ["a", "b"] {
                let body = json!({"scope": "admin", "name": name});
                server.call(&admin, Method::POST, "/v1/tenant/tokens", body).await;
            }
            let mut names = Vec::new();
            let mut cursor = String::new();
            loop {
                let path = format!("/v1/tenant/tokens?limit=1{cursor}");
                let page = server.call(&admin, Method::GET, &path, Value::Null).await.body;
                names.push(page["data"][0]["name"].clone());
                assert_eq!(page["data"][0]["prefix"], "tha_live_");
                let Some(next) = page["next_cursor"].as_str() else {
                    assert_eq!(page["has_more"], false);
                    break;
                };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(names, [json!("b"), json!("a"), Value::Null]);
            let foreign =
                server.refused(&admin, Method::GET, "/v1/tenant/tokens?cursor=abc", Value::Null).await;
            assert_eq!(foreign, (400, "invalid_cursor".into(), "cursor".into()));
        })
        .await;
    }
}
