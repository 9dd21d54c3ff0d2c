//! OpenAI Responses.

use serde_json::{Value, json};

use super::{Piece, Script, halves, model_of, named};
use crate::upstream::{Reply, Stop, ToolCall};

/// Numbers the events as they are written.
#[derive(Default)]
struct Events {
    next: u64,
}

impl Events {
    fn write(&mut self, kind: &str, mut fields: Value) -> String {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("type".to_owned(), kind.into());
            fields.insert("sequence_number".to_owned(), self.next.into());
        }
        self.next += 1;
        named(&fields)
    }
}

pub(super) fn script(reply: &Reply, request: &Value, number: usize) -> Script {
    let mut events = Events::default();
    let begun = response(request, number, "in_progress");
    let mut opening = events.write("response.created", json!({ "response": begun }));
    opening += &events.write("response.in_progress", json!({ "response": begun }));

    let mut output = Vec::new();
    let mut pieces = Vec::new();
    if !reply.chunks.is_empty() {
        let (begin, chunks, end) = message(&mut events, reply, number);
        opening += &begin;
        pieces.extend(chunks);
        output.push(end);
    }
    for (position, call) in reply.tool_calls.iter().enumerate() {
        let index = output.len();
        let item = call_item(call, number, position, "completed");
        pieces.push(Piece::gated(tool_call(&mut events, call, &item, index)));
        output.push(item);
    }

    let (status, event, reason) = match reply.stop {
        Stop::EndTurn => ("completed", "response.completed", None),
        Stop::MaxTokens => ("incomplete", "response.incomplete", Some("max_output_tokens")),
        Stop::ContentFilter => ("incomplete", "response.incomplete", Some("content_filter")),
    };
    let mut whole = response(request, number, status);
    whole["output"] = output.into();
    whole["usage"] = usage(reply);
    whole["incomplete_details"] = reason.map_or(Value::Null, |reason| json!({ "reason": reason }));
    pieces.push(Piece::gated(events.write(event, json!({ "response": whole }))));
    pieces.insert(0, Piece::opening(opening));
    Script { pieces, whole }
}

/// Writes the events of the message: its opening, one piece per chunk (the last closes the item), and the final item.
fn message(events: &mut Events, reply: &Reply, number: usize) -> (String, Vec<Piece>, Value) {
    let id = format!("msg_{number}");
    let at = |part: Value| {
        let mut fields = json!({"item_id": id, "output_index": 0, "content_index": 0});
        if let (Some(fields), Value::Object(part)) = (fields.as_object_mut(), part) {
            fields.extend(part);
        }
        fields
    };
    let item = |status: &str, content: Value| json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": content});
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});

    let begun = json!({"output_index": 0, "item": item("in_progress", json!([]))});
    let mut opening = events.write("response.output_item.added", begun);
    opening += &events.write("response.content_part.added", at(json!({ "part": part("") })));

    let chunks = reply.chunks.iter();
    let mut pieces: Vec<Piece> = chunks
        .map(|chunk| Piece::gated(events.write("response.output_text.delta", at(json!({ "delta": chunk })))))
        .collect();
    let text = reply.whole_text();
    let done = item("completed", json!([part(&text)]));
    if let Some(last) = pieces.last_mut() {
        last.text += &events.write("response.output_text.done", at(json!({ "text": text })));
        last.text += &events.write("response.content_part.done", at(json!({ "part": part(&text) })));
        last.text += &events.write("response.output_item.done", json!({"output_index": 0, "item": done}));
    }
    (opening, pieces, done)
}

fn tool_call(events: &mut Events, call: &ToolCall, done: &Value, index: usize) -> String {
    let id = &done["id"];
    let mut begun = done.clone();
    begun["status"] = "in_progress".into();
    begun["arguments"] = "".into();
    let arguments = call.arguments.to_string();
    let mut text = events.write("response.output_item.added", json!({"output_index": index, "item": begun}));
    for half in halves(&arguments) {
        let fields = json!({"item_id": id, "output_index": index, "delta": half});
        text += &events.write("response.function_call_arguments.delta", fields);
    }
    let fields = json!({"item_id": id, "output_index": index, "arguments": arguments});
    text += &events.write("response.function_call_arguments.done", fields);
    text + &events.write("response.output_item.done", json!({"output_index": index, "item": done}))
}

fn call_item(call: &ToolCall, number: usize, position: usize, status: &str) -> Value {
    json!({"id": format!("fc_{number}_{position}"), "type": "function_call", "status": status, "call_id": call.id,
        "name": call.name, "arguments": call.arguments.to_string()})
}

fn response(request: &Value, number: usize, status: &str) -> Value {
    json!({"id": format!("resp_{number}"), "object": "response", "created_at": 1_770_000_000, "status": status,
        "model": model_of(request), "output": [], "error": null, "incomplete_details": null, "usage": null,
        "background": request.get("background").cloned().unwrap_or(Value::Bool(false))})
}

fn usage(reply: &Reply) -> Value {
    let usage = reply.usage;
    json!({"input_tokens": usage.input, "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output})
}
