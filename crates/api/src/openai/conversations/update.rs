//! `POST /v1/conversations/{cnvId}`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::principals::Permission;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use store::conversations::{ChangeError, Conversation};
use utoipa::ToSchema;

use super::render::{ConversationOut, Said};
use super::{named, no_conversation};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody, PathParams};
use crate::openai::identity::acting_smith;

/// What is to change. Nothing is required.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct ConversationUpdate {
    /// Null clears it: the next turn gives the conversation a title.
    #[schema(required = false, max_length = 255)]
    title: Option<String>,
    /// Merged into what is there: null removes a key.
    #[schema(value_type = Object, required = false)]
    metadata: Value,
}

/// Changes a conversation of the acting smith.
#[utoipa::path(
    post,
    path = "/v1/conversations/{cnvId}",
    operation_id = "conversations.update",
    tag = "Conversations",
    params(("cnvId" = String, Path, description = "The conversation's id.")),
    request_body = ConversationUpdate,
    responses((status = 200, description = "The conversation as it is now.", body = ConversationOut))
)]
pub(crate) async fn update(
    caller: Caller,
    State(app): State<App>,
    headers: HeaderMap,
    path: PathParams,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.permitted(&app, Permission::ConversationsWrite)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let fields = body.fields();
    let said = Said::read(&fields)?;
    let id = named(&path)?;
    let smith = acting_smith(&project, &caller, &headers, fields.value("user"), None).await?;
    let answer = |changed: &Conversation| {
        Answer::json(StatusCode::OK, &ConversationOut::of(changed)).about(Some(changed.smith))
    };
    let remember = once.remembering(&answer);
    let remember = remember.as_ref().map(|remember| remember as _);
    match project.change_conversation(&smith, id, |edit| said.apply(edit), remember).await {
        Ok(changed) => Ok(answer(&changed).into_response()),
        Err(ChangeError::NoConversation) => Err(no_conversation().into()),
        Err(ChangeError::Refused(problem)) => Err(problem.into()),
        Err(ChangeError::Store(error)) => once.lost(error).await,
    }
}
