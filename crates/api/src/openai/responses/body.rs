//! Shapes of this surface for the OpenAPI document.

use serde_json::Value;
use utoipa::ToSchema;

/// A response: a run as OpenAI's clients read it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the object in the OpenAPI document; it is made as JSON")]
pub(super) struct ResponsesOut {
    /// The id of the run.
    id: String,
    /// Always `response`.
    #[schema(inline)]
    object: ResponseObject,
    /// Unix seconds.
    created_at: i64,
    model: String,
    #[schema(inline)]
    output: Vec<OutputItem>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a constant in the OpenAPI document")]
#[schema(rename_all = "snake_case")]
enum ResponseObject {
    Response,
}

/// An output item: a message, a call, or a request for an approval.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the items in the OpenAPI document; they are made as JSON")]
struct OutputItem {
    #[schema(rename = "type")]
    kind: String,
}

/// An event of a response's stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the events in the OpenAPI document; they are made as JSON")]
pub(super) struct ResponsesEvent {
    #[schema(rename = "type")]
    kind: String,
}

/// What a response is to answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body in the OpenAPI document; it is read field by field")]
pub(super) struct ResponsesIn {
    /// Empty or absent: the smith's own.
    #[schema(required = false)]
    model: String,
    /// A text, or a list of items.
    #[schema(value_type = Option<Value>)]
    input: Option<Value>,
    /// Added behind the instructions of the smith's agent.
    instructions: Option<String>,
    #[schema(default = false, required = false)]
    stream: bool,
    /// True: the answer comes at once; read it again until it has ended.
    #[schema(default = false, required = false)]
    background: bool,
    previous_response_id: Option<String>,
    /// The id of a conversation; an object `{id}` will do, too.
    conversation: Option<String>,
    user: Option<String>,
    #[schema(value_type = Vec<Object>, required = false)]
    tools: Vec<Value>,
    #[schema(value_type = Option<Value>)]
    tool_choice: Option<Value>,
    #[schema(value_type = Option<Object>)]
    reasoning: Option<Value>,
    #[schema(required = false)]
    include: Vec<String>,
    #[schema(value_type = Option<Object>)]
    text: Option<Value>,
}
