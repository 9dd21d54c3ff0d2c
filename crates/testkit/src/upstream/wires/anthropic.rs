//! Anthropic Messages.

use serde_json::{Value, json};

use super::{Piece, Script, halves, model_of, named};
use crate::upstream::{Reply, Stop};

pub(super) fn script(reply: &Reply, request: &Value, number: usize) -> Script {
    let mut message = json!({"id": format!("msg_{number}"), "type": "message", "role": "assistant",
        "model": model_of(request), "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": usage(reply, 1)});
    let opening =
        named(&json!({"type": "message_start", "message": message})) + &named(&json!({"type": "ping"}));
    let mut pieces = vec![Piece::opening(opening)];
    let mut content = Vec::new();

    for (position, chunk) in reply.chunks.iter().enumerate() {
        let mut text = String::new();
        if position == 0 {
            text += &start(0, &json!({"type": "text", "text": ""}));
        }
        text += &delta(0, &json!({"type": "text_delta", "text": chunk}));
        if position + 1 == reply.chunks.len() {
            text += &stop(0);
        }
        pieces.push(Piece::gated(text));
    }
    if !reply.chunks.is_empty() {
        content.push(json!({"type": "text", "text": reply.whole_text()}));
    }
    for call in &reply.tool_calls {
        let index = content.len();
        let mut block = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
        let mut text = start(index, &block);
        for half in halves(&call.arguments.to_string()) {
            text += &delta(index, &json!({"type": "input_json_delta", "partial_json": half}));
        }
        pieces.push(Piece::gated(text + &stop(index)));
        block["input"] = call.arguments.clone();
        content.push(block);
    }

    let reason = stop_reason(reply);
    let end = json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": reply.usage.output}});
    pieces.push(Piece::gated(named(&end) + &named(&json!({"type": "message_stop"}))));
    message["content"] = content.into();
    message["stop_reason"] = reason.into();
    message["usage"] = usage(reply, reply.usage.output);
    Script { pieces, whole: message }
}

fn start(index: usize, block: &Value) -> String {
    named(&json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn delta(index: usize, delta: &Value) -> String {
    named(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn stop(index: usize) -> String {
    named(&json!({"type": "content_block_stop", "index": index}))
}

fn stop_reason(reply: &Reply) -> &'static str {
    match reply.stop {
        Stop::MaxTokens => "max_tokens",
        Stop::ContentFilter => "refusal",
        Stop::EndTurn if reply.tool_calls.is_empty() => "end_turn",
        Stop::EndTurn => "tool_use",
    }
}

/// This wire counts cached input apart from the rest of the input.
fn usage(reply: &Reply, output: u64) -> Value {
    let usage = reply.usage;
    json!({"input_tokens": usage.input.saturating_sub(usage.cached), "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached, "output_tokens": output})
}
