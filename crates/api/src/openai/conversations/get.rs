//! `GET /v1/conversations/{cnvId}`

use axum::Json;
use axum::extract::State;
use domain::principals::Permission;
use http::HeaderMap;

use super::render::ConversationOut;
use super::{named, no_conversation};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};
use crate::openai::identity::acting_smith;

/// Shows a conversation of the acting smith.
#[utoipa::path(
    get,
    path = "/v1/conversations/{cnvId}",
    operation_id = "conversations.get",
    tag = "Conversations",
    params(("cnvId" = String, Path, description = "The conversation's id.")),
    responses((status = 200, description = "The conversation.", body = ConversationOut))
)]
pub(crate) async fn get(
    caller: Caller,
    State(app): State<App>,
    headers: HeaderMap,
    path: PathParams,
) -> Result<Json<ConversationOut>, ApiError> {
    let project = caller.permitted(&app, Permission::ConversationsRead)?;
    let smith = acting_smith(&project, &caller, &headers, None, None).await?;
    let found = project.conversation(&smith, named(&path)?).await?;
    Ok(Json(ConversationOut::of(&found.ok_or_else(no_conversation)?)))
}
