//! The conversation as Gemini's contents.

use domain::items::{ToolCall, ToolResult};
use serde_json::{Map, Value, json};

use super::OWN;
use crate::call::{Attachment, Turn};
use crate::wire::{arguments_object, base64, media_type_of, own_data, text};

/// What the API takes in place of a signature for a call that another model made, instead of refusing the conversation.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Encodes the conversation; neighbours of the same side become one content.
///
/// With `signatures_required`, calls that came without a signature of Gemini's get the documented stand-in.
pub(crate) fn contents(turns: &[Turn], signatures_required: bool) -> Vec<Value> {
    let mut contents: Vec<(&'static str, Vec<Value>)> = Vec::new();
    let mut last_was_call = false;
    for turn in turns {
        let side = match turn {
            Turn::User { .. } | Turn::ToolResult(_) => "user",
            Turn::Assistant { .. } | Turn::ToolCall(_) => "model",
        };
        if contents.last().is_none_or(|(last, _)| *last != side) {
            contents.push((side, Vec::new()));
        }
        let Some((_, parts)) = contents.last_mut() else { continue };
        match turn {
            Turn::User { text, attachments } => {
                for attachment in attachments {
                    parts.push(attachment_part(attachment));
                }
                parts.extend(text_part(text));
            }
            Turn::Assistant { text } => parts.extend(text_part(text)),
            // Of calls that were made side by side the first alone is signed.
            Turn::ToolCall(call) => parts.push(call_part(call, signatures_required && !last_was_call)),
            Turn::ToolResult(result) => parts.push(result_part(result, turns)),
        }
        last_was_call = matches!(turn, Turn::ToolCall(_));
    }
    contents.retain(|(_, parts)| !parts.is_empty());
    contents.into_iter().map(|(side, parts)| json!({"role": side, "parts": parts})).collect()
}

fn text_part(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"text": text}))
}

fn call_part(call: &ToolCall, signature_required: bool) -> Value {
    let mut function = Map::new();
    function.extend(given_id(call).map(|id| ("id".to_owned(), id.into())));
    function.insert("name".into(), call.name.clone().into());
    function.insert("args".into(), arguments_object(&call.arguments));
    let mut part = Map::new();
    part.insert("functionCall".into(), function.into());
    let signature = own_data(call, OWN).map_or("", |data| text(data, "/thought_signature"));
    if !signature.is_empty() {
        part.insert("thoughtSignature".into(), signature.into());
    } else if signature_required {
        part.insert("thoughtSignature".into(), NO_SIGNATURE.into());
    }
    part.into()
}

/// Returns the call's id if Gemini gave it; it does not know the ones that were made here or by others.
fn given_id(call: &ToolCall) -> Option<&str> {
    own_data(call, OWN).and_then(|data| data.get("id")).and_then(Value::as_str)
}

fn result_part(result: &ToolResult, turns: &[Turn]) -> Value {
    let id = turns.iter().find_map(|turn| match turn {
        Turn::ToolCall(call) if call.id == result.call_id => given_id(call),
        _ => None,
    });
    // The API wants an object; a tool may give anything.
    let response = match serde_json::from_str(&result.output) {
        _ if result.is_error => json!({"error": result.output}),
        Ok(Value::Object(object)) => Value::Object(object),
        Ok(other) => json!({"result": other}),
        Err(_) => json!({"result": result.output}),
    };
    let mut function = Map::new();
    function.extend(id.map(|id| ("id".to_owned(), id.into())));
    function.insert("name".into(), result.name.clone().into());
    function.insert("response".into(), response);
    json!({"functionResponse": function})
}

fn attachment_part(attachment: &Attachment) -> Value {
    match attachment {
        Attachment::ImageUrl(url) => {
            json!({"fileData": {"mimeType": media_type_of(url).unwrap_or("image/jpeg"), "fileUri": url}})
        }
        Attachment::FileUrl { url, .. } => {
            json!({"fileData": {"mimeType": media_type_of(url).unwrap_or("application/pdf"), "fileUri": url}})
        }
        Attachment::Image { media_type, bytes } | Attachment::File { media_type, bytes, .. } => {
            json!({"inlineData": {"mimeType": media_type, "data": base64(bytes)}})
        }
    }
}
