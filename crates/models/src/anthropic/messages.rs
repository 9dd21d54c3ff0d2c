//! The conversation as Anthropic's alternating messages.

use domain::items::{ToolCall, ToolResult};
use serde_json::{Map, Value, json};

use super::generation::Generation;
use super::{AT_FIRST, BEFORE_CALL, OWN};
use crate::call::{Attachment, Turn};
use crate::parts::is_pdf;
use crate::wire::{arguments_object, base64, own_data};

/// Encodes the conversation; neighbours of the same side become one message.
pub(crate) fn messages(turns: &[Turn], generation: Generation) -> Vec<Value> {
    let latest = answered_from(turns, generation);
    let mut messages: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for (index, turn) in turns.iter().enumerate() {
        let side = match turn {
            Turn::User { .. } | Turn::ToolResult(_) => "user",
            Turn::Assistant { .. } | Turn::ToolCall(_) => "assistant",
        };
        if messages.last().is_none_or(|(last, _)| *last != side) {
            messages.push((side, Vec::new()));
        }
        let Some((_, blocks)) = messages.last_mut() else { continue };
        match turn {
            Turn::User { text, attachments } => {
                blocks.extend(attachments.iter().map(attachment_block));
                blocks.extend(text_block(text));
            }
            Turn::Assistant { text } => blocks.extend(text_block(text)),
            Turn::ToolCall(call) => {
                // What the model thought before it called is wanted back in its place, but only in the turn that is still
                // being answered.
                if index >= latest {
                    blocks.splice(0..0, thoughts(call, AT_FIRST));
                    blocks.extend(thoughts(call, BEFORE_CALL));
                }
                blocks.push(tool_use(call));
            }
            Turn::ToolResult(result) => blocks.push(tool_result(result)),
        }
    }
    messages.retain(|(_, blocks)| !blocks.is_empty());
    // A run without input goes on with its thread, whose last words are the assistant's.
    if !generation.goes_on_unasked() && messages.last().is_some_and(|(side, _)| *side == "assistant") {
        messages.push(("user", vec![json!({"type": "text", "text": "Go on."})]));
    }
    // Everything up to here will be the beginning of the next call's prompt.
    if let Some(last) =
        messages.last_mut().and_then(|(_, blocks)| blocks.last_mut()).and_then(Value::as_object_mut)
    {
        last.insert("cache_control".into(), json!({"type": "ephemeral"}));
    }
    messages.into_iter().map(|(side, blocks)| json!({"role": side, "content": blocks})).collect()
}

/// Tells whether the API would take this conversation with a budget for thinking.
///
/// An answer that began with a call has to begin with thoughts then, and they are missing where the call was made by
/// another provider or without thinking.
pub(crate) fn can_think(turns: &[Turn], generation: Generation) -> bool {
    let answered = turns.get(answered_from(turns, generation)..).unwrap_or_default();
    let mut calls = answered
        .iter()
        .take_while(|turn| !matches!(turn, Turn::ToolResult(_)))
        .filter_map(|turn| match turn {
            Turn::ToolCall(call) => Some(call),
            _ => None,
        })
        .peekable();
    calls.peek().is_none() || calls.any(|call| !thoughts(call, AT_FIRST).is_empty())
}

/// Returns where the turns begin that follow the user's last words.
///
/// Words right behind results of tools are one message with them and begin nothing: the API wants the thoughts before those
/// calls all the same. So come images that a tool has returned, and what a user says after a run that was cut. Models that
/// bind their thoughts to the instructions do without, and would refuse those of a run that had others.
fn answered_from(turns: &[Turn], generation: Generation) -> usize {
    let mut from = 0;
    let mut is_behind_results = false;
    for (next, turn) in (1..).zip(turns) {
        match turn {
            Turn::ToolResult(_) => is_behind_results = !generation.binds_thoughts(),
            Turn::Assistant { .. } | Turn::ToolCall(_) => is_behind_results = false,
            Turn::User { .. } if is_behind_results => {}
            Turn::User { .. } => from = next,
        }
    }
    from
}

fn thoughts(call: &ToolCall, place: &str) -> Vec<Value> {
    let thoughts = own_data(call, OWN).and_then(|data| data.get(place)).and_then(Value::as_array);
    thoughts.cloned().unwrap_or_default()
}

/// The API refuses blocks of text without text.
fn text_block(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn tool_use(call: &ToolCall) -> Value {
    json!({
        "type": "tool_use",
        "id": call_id(&call.id),
        "name": call.name,
        "input": arguments_object(&call.arguments),
    })
}

fn tool_result(result: &ToolResult) -> Value {
    let mut block = Map::new();
    block.insert("type".into(), "tool_result".into());
    block.insert("tool_use_id".into(), call_id(&result.call_id).into());
    if !result.output.trim().is_empty() {
        block.insert("content".into(), result.output.clone().into());
    }
    if result.is_error {
        block.insert("is_error".into(), true.into());
    }
    block.into()
}

/// The API takes letters, digits, `_` and `-` in ids; those of other providers may hold more.
fn call_id(id: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    id.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
}

/// Encodes what [`crate::parts`] lets through.
fn attachment_block(attachment: &Attachment) -> Value {
    let source = |media_type: &str, bytes: &[u8]| json!({"type": "base64", "media_type": media_type, "data": base64(bytes)});
    match attachment {
        Attachment::ImageUrl(url) => json!({"type": "image", "source": {"type": "url", "url": url}}),
        Attachment::Image { media_type, bytes } => {
            json!({"type": "image", "source": source(media_type, bytes)})
        }
        Attachment::File { media_type, bytes, .. } if media_type.starts_with("image/") => {
            json!({"type": "image", "source": source(media_type, bytes)})
        }
        Attachment::FileUrl { url, filename } => {
            titled(json!({"type": "document", "source": {"type": "url", "url": url}}), filename.as_deref())
        }
        Attachment::File { media_type, filename, bytes } if is_pdf(media_type) => {
            titled(json!({"type": "document", "source": source(media_type, bytes)}), Some(filename))
        }
        Attachment::File { filename, bytes, .. } => {
            let data = String::from_utf8_lossy(bytes);
            let source = json!({"type": "text", "media_type": "text/plain", "data": data});
            titled(json!({"type": "document", "source": source}), Some(filename))
        }
    }
}

fn titled(mut block: Value, title: Option<&str>) -> Value {
    if let (Some(object), Some(title)) = (block.as_object_mut(), title.filter(|title| !title.is_empty())) {
        object.insert("title".into(), title.into());
    }
    block
}
