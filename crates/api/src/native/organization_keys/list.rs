//! `GET /v1/organization/keys`

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

/// A key without its text.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrganizationKeyOut {
    #[schema(value_type = String)]
    id: TokenId,
    #[schema(required)]
    name: Option<String>,
    /// How the key's text begins.
    #[schema(required)]
    prefix: Option<&'static str>,
    #[schema(required)]
    created_at: Option<String>,
    #[schema(required)]
    expires_at: Option<String>,
    #[schema(required)]
    revoked_at: Option<String>,
}

/// A page of keys.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the list envelope renders")]
pub(crate) struct OrganizationKeyListOut {
    data: Vec<OrganizationKeyOut>,
    #[schema(required)]
    next_cursor: Option<String>,
    has_more: bool,
}

impl From<TokenRecord> for OrganizationKeyOut {
    fn from(record: TokenRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            prefix: Some(record.subject.kind().prefix()),
            created_at: Some(record.created_at.to_string()),
            expires_at: record.expires_at.map(|time| time.to_string()),
            revoked_at: record.revoked_at.map(|time| time.to_string()),
        }
    }
}

/// Lists the organization's keys, newest first, expired and revoked ones too.
#[utoipa::path(
    get,
    path = "/v1/organization/keys",
    operation_id = "organization.keys.list",
    tag = "Projects",
    params(
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 50 by default."),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before.")
    ),
    responses((status = 200, description = "A page of keys.", body = OrganizationKeyListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    query: Query,
) -> Result<Json<List<OrganizationKeyOut>>, ApiError> {
    let organization = caller.organized(&app)?;
    let page = query.page("organization.keys", organization.id())?;
    let keys = organization.keys(page.before, page.fetch()).await?;
    Ok(Json(page.list(keys, |key| key.id, OrganizationKeyOut::from)))
}
