//! `GET /v1/conversations`

use axum::Json;
use axum::extract::State;
use domain::Problem;
use domain::ids::ConversationId;
use domain::principals::Permission;
use http::HeaderMap;
use store::ProjectStore;
use store::smiths::SmithRecord;
use utoipa::ToSchema;

use super::render::ConversationOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Query};
use crate::openai::ListObject;
use crate::openai::identity::acting_smith;
use crate::openai::pages::{Page, Window, names_nothing};

/// A page of conversations.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the list envelope in the OpenAPI document")]
struct ConversationListOut {
    #[schema(inline)]
    object: ListObject,
    data: Vec<ConversationOut>,
    /// Null for an empty page, like `last_id`.
    #[schema(required)]
    first_id: Option<String>,
    #[schema(required)]
    last_id: Option<String>,
    has_more: bool,
}

/// Lists the conversations of the acting smith.
#[utoipa::path(
    get,
    path = "/v1/conversations",
    operation_id = "conversations.list",
    tag = "Conversations",
    params(
        ("limit" = Option<String>, Query, description = "How many, 1 to 200; 20 unless set."),
        ("order" = Option<String>, Query, description = "`desc`, newest first, or `asc`."),
        ("after" = Option<String>, Query, description = "The `last_id` of the page before.")
    ),
    responses((status = 200, description = "A page.", body = ConversationListOut))
)]
pub(crate) async fn list(
    caller: Caller,
    State(app): State<App>,
    headers: HeaderMap,
    query: Query,
) -> Result<Json<Page<ConversationOut>>, ApiError> {
    let project = caller.permitted(&app, Permission::ConversationsRead)?;
    let window = Window::of(&query)?;
    let smith = acting_smith(&project, &caller, &headers, None, None).await?;
    let after = match &window.after {
        Some(after) => Some(find(&project, &smith, after).await?),
        None => None,
    };
    let found = project.conversations(&smith, window.order, after, window.fetch()).await?;
    let shown = found.iter().map(ConversationOut::of).collect();
    Ok(Json(window.page(shown, ConversationOut::id)))
}

/// Finds the conversation that a page goes on behind.
async fn find(project: &ProjectStore, smith: &SmithRecord, after: &str) -> Result<ConversationId, Problem> {
    let id = after.parse().map_err(|_| names_nothing())?;
    match project.conversation(smith, id).await? {
        Some(_) => Ok(id),
        None => Err(names_nothing()),
    }
}
