//! `DELETE /v1/conversations/{cnvId}`

use axum::Json;
use axum::extract::State;
use domain::principals::Permission;
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::{named, no_conversation};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathParams};
use crate::openai::identity::acting_smith;

/// Says that the conversation is gone.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationDeleted {
    id: String,
    #[schema(inline)]
    object: DeletedObject,
    /// Always true.
    deleted: bool,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
enum DeletedObject {
    #[serde(rename = "conversation.deleted")]
    Deleted,
}

/// Deletes a conversation, and nothing else: its runs and what the smith knows stay.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{cnvId}",
    operation_id = "conversations.delete",
    tag = "Conversations",
    params(("cnvId" = String, Path, description = "The conversation's id.")),
    responses((status = 200, description = "It is gone.", body = ConversationDeleted))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    headers: HeaderMap,
    path: PathParams,
) -> Result<Json<ConversationDeleted>, ApiError> {
    let project = caller.permitted(&app, Permission::ConversationsWrite)?;
    let smith = acting_smith(&project, &caller, &headers, None, None).await?;
    let id = named(&path)?;
    if !project.delete_conversation(&smith, id).await? {
        return Err(no_conversation().into());
    }
    Ok(Json(ConversationDeleted { id: id.to_string(), object: DeletedObject::Deleted, deleted: true }))
}
