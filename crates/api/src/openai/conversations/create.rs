//! `POST /v1/conversations`

use axum::extract::State;
use axum::response::Response;
use domain::Problem;
use domain::principals::Permission;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use store::conversations::Conversation;
use utoipa::ToSchema;

use super::render::{ConversationOut, Said};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody};
use crate::openai::identity::acting_smith;

/// What the conversation is to be called, and what is to be noted of it. Nothing is required.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct ConversationCreate {
    /// Left out: the conversation is named after its first turn.
    #[schema(required = false, max_length = 255)]
    title: String,
    #[schema(value_type = Object, required = false)]
    metadata: Value,
}

/// Makes a conversation of the acting smith. Runs join it by its id.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    operation_id = "conversations.create",
    tag = "Conversations",
    request_body = ConversationCreate,
    responses((status = 200, description = "The new conversation.", body = ConversationOut))
)]
pub(crate) async fn create(
    caller: Caller,
    State(app): State<App>,
    headers: HeaderMap,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.permitted(&app, Permission::ConversationsWrite)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let fields = body.fields();
    let new = Said::read(&fields)?.first_edit();
    let smith = acting_smith(&project, &caller, &headers, fields.value("user"), None).await?;
    let answer = |made: &Conversation| {
        Answer::json(StatusCode::OK, &ConversationOut::of(made)).about(Some(made.smith))
    };
    let remember = once.remembering(&answer);
    let remember = remember.as_ref().map(|remember| remember as _);
    let made = project.create_conversation(&smith, &new, remember).await;
    once.made(made, answer, || Problem::not_found("smith")).await
}
