//! OpenAI Chat Completions, and the servers compatible with it.

use serde_json::{Value, json};

use super::{Piece, Script, halves, model_of, unnamed};
use crate::sse::DONE;
use crate::upstream::{Reply, Stop};

pub(super) fn script(reply: &Reply, request: &Value, number: usize) -> Script {
    let id = format!("chatcmpl-{number}");
    let model = model_of(request);
    let chunk = |choices: Value, usage: Value| {
        let data = json!({"id": id, "object": "chat.completion.chunk", "created": 1_770_000_000, "model": model,
            "choices": choices, "usage": usage});
        unnamed(&data)
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), Value::Null)
    };

    let opening = delta(json!({"role": "assistant", "content": ""}), Value::Null);
    let mut pieces = vec![Piece::opening(opening)];
    for text in &reply.chunks {
        pieces.push(Piece::gated(delta(json!({ "content": text }), Value::Null)));
    }
    for (index, call) in reply.tool_calls.iter().enumerate() {
        let begun = json!({"index": index, "id": call.id, "type": "function",
            "function": {"name": call.name, "arguments": ""}});
        let mut text = delta(json!({ "tool_calls": [begun] }), Value::Null);
        for half in halves(&call.arguments.to_string()) {
            let more = json!({"index": index, "function": {"arguments": half}});
            text += &delta(json!({ "tool_calls": [more] }), Value::Null);
        }
        pieces.push(Piece::gated(text));
    }
    let finish = finish_reason(reply);
    let mut end = delta(json!({}), finish.into());
    if request.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)) {
        end += &chunk(json!([]), usage(reply));
    }
    end += &format!("data: {DONE}\n\n");
    pieces.push(Piece::gated(end));

    let calls: Vec<Value> = reply
        .tool_calls
        .iter()
        .map(|call| {
            json!({"id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": call.arguments.to_string()}})
        })
        .collect();
    let content = if reply.chunks.is_empty() { Value::Null } else { reply.whole_text().into() };
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let whole = json!({"id": id, "object": "chat.completion", "created": 1_770_000_000, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage(reply)});
    Script { pieces, whole }
}

fn finish_reason(reply: &Reply) -> &'static str {
    match reply.stop {
        Stop::MaxTokens => "length",
        Stop::ContentFilter => "content_filter",
        Stop::EndTurn if reply.tool_calls.is_empty() => "stop",
        Stop::EndTurn => "tool_calls",
    }
}

fn usage(reply: &Reply) -> Value {
    let usage = reply.usage;
    json!({"prompt_tokens": usage.input, "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens": usage.output, "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output})
}
