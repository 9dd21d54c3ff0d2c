//! An item as the API shows it.

use domain::content::{Content, Message, Part, Role, Source};
use domain::items::{ToolCall, ToolResult};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Something that was said or done in a conversation. Which fields there are follows from the type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = ConversationItem)]
pub(crate) struct ItemOut {
    pub(crate) id: String,
    /// `message`, `function_call`, `function_call_output` or `mcp_call`.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    role: Option<&'static str>,
    status: &'static str,
    /// `input_text`, `output_text`, `input_image` and `input_file` parts of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>, required = false)]
    content: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    name: Option<String>,
    /// JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    arguments: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    output: Option<String>,
    /// Why a call of this server gave no output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    error: Option<String>,
    /// The name of the MCP server that a call went to, else `hosted`, `webhook` or `memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    server_label: Option<String>,
}

const COMPLETED: &str = "completed";

impl ItemOut {
    pub(super) fn message(id: String, message: &Message) -> Self {
        let text = |text: &str| match message.role {
            Role::User => json!({"type": "input_text", "text": text}),
            Role::Assistant => json!({"type": "output_text", "text": text, "annotations": []}),
        };
        let content = match &message.content {
            Content::Text(whole) => vec![text(whole)],
            Content::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text { text: whole } => text(whole),
                    Part::Image(source) => image(source),
                    Part::File(source) => file(source),
                })
                .collect(),
        };
        let role = Some(message.role.as_str());
        Self { id, kind: "message", role, status: COMPLETED, content: Some(content), ..Self::default() }
    }

    pub(super) fn function_call(id: String, call_id: String, call: &ToolCall) -> Self {
        Self {
            id,
            kind: "function_call",
            status: COMPLETED,
            call_id: Some(call_id),
            name: Some(call.name.clone()),
            arguments: Some(call.arguments.clone()),
            ..Self::default()
        }
    }

    pub(super) fn function_call_output(id: String, call_id: String, result: &ToolResult) -> Self {
        Self {
            id,
            kind: "function_call_output",
            status: COMPLETED,
            call_id: Some(call_id),
            output: Some(result.output.clone()),
            ..Self::default()
        }
    }

    /// Shows a call of this server with what came of it, if something did yet.
    pub(super) fn mcp_call(id: String, call: &ToolCall, label: &str, result: Option<&ToolResult>) -> Self {
        let told = result.map(|result| result.output.clone());
        let failed = result.is_some_and(|result| result.is_error);
        let (output, error) = if failed { (None, told) } else { (told, None) };
        let status = match (result.is_some(), failed) {
            (false, _) => "in_progress",
            (true, false) => COMPLETED,
            (true, true) => "failed",
        };
        Self {
            id,
            kind: "mcp_call",
            status,
            name: Some(call.name.clone()),
            arguments: Some(call.arguments.clone()),
            output,
            error,
            server_label: Some(label.to_owned()),
            ..Self::default()
        }
    }
}

fn image(source: &Source) -> Value {
    let mut part = json!({"type": "input_image", "detail": "auto"});
    add(&mut part, "image_url", source.image_url.clone());
    add(&mut part, "file_id", source.file_id.map(|id| id.to_string()));
    part
}

fn file(source: &Source) -> Value {
    let mut part = json!({"type": "input_file"});
    add(&mut part, "file_id", source.file_id.map(|id| id.to_string()));
    add(&mut part, "file_url", source.file_url.clone());
    add(&mut part, "filename", source.filename.clone());
    part
}

fn add(part: &mut Value, name: &str, value: Option<String>) {
    if let (Value::Object(part), Some(value)) = (part, value) {
        part.insert(name.to_owned(), value.into());
    }
}
