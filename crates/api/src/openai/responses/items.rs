//! Output items, every one with all of its keys.

use serde_json::{Value, json};

/// The type of items that ask for an agreement.
pub(super) const APPROVAL_REQUEST: &str = "mcp_approval_request";

pub(super) const IN_PROGRESS: &str = "in_progress";
pub(super) const COMPLETED: &str = "completed";
pub(super) const INCOMPLETE: &str = "incomplete";
pub(super) const FAILED: &str = "failed";

/// Makes a message. One that begins has no parts yet: they are added.
pub(super) fn message(id: &str, status: &str, text: Option<&str>) -> Value {
    let content: Vec<Value> = text.map(text_part).into_iter().collect();
    json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": content})
}

pub(super) fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// Makes what a model lets be seen of its thinking.
pub(super) fn reasoning(id: &str, text: Option<&str>) -> Value {
    let summary: Vec<Value> = text.map(summary_part).into_iter().collect();
    json!({"id": id, "type": "reasoning", "summary": summary})
}

pub(super) fn summary_part(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

/// Makes a call that the caller carries out.
pub(super) fn function_call(id: &str, call_id: &str, name: &str, arguments: &str, status: &str) -> Value {
    json!({
        "id": id,
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    })
}

/// A call that this server carries out.
pub(super) struct McpCall<'a> {
    pub(super) id: &'a str,
    pub(super) server_label: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
    /// The request for an approval that came before the call.
    pub(super) approval_request_id: Option<&'a str>,
}

impl McpCall<'_> {
    pub(super) fn render(&self, status: &str, output: Option<&str>, error: Option<&str>) -> Value {
        let mut item = json!({
            "id": self.id,
            "type": "mcp_call",
            "server_label": self.server_label,
            "name": self.name,
            "arguments": self.arguments,
            "output": output,
            "error": error,
            "status": status,
        });
        if let (Some(request), Some(item)) = (self.approval_request_id, item.as_object_mut()) {
            item.insert("approval_request_id".to_owned(), Value::from(request));
        }
        item
    }
}

pub(super) fn approval_request(id: &str, server_label: &str, name: &str, arguments: &str) -> Value {
    json!({
        "id": id,
        "type": APPROVAL_REQUEST,
        "server_label": server_label,
        "name": name,
        "arguments": arguments,
    })
}
