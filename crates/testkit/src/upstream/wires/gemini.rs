//! Gemini `generateContent` and `streamGenerateContent?alt=sse`.

use serde_json::{Value, json};

use super::{Piece, Script, unnamed};
use crate::upstream::{Reply, Stop};

pub(super) fn script(reply: &Reply, number: usize) -> Script {
    let answer = |parts: Value, finish: Option<&str>| {
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
        if let Some(finish) = finish {
            candidate["finishReason"] = finish.into();
        }
        json!({"candidates": [candidate], "modelVersion": "fake-model", "responseId": format!("gemini_{number}"),
            "usageMetadata": usage(reply)})
    };
    let texts = reply.chunks.iter().map(|text| json!({ "text": text }));
    let calls = reply
        .tool_calls
        .iter()
        .map(|call| json!({"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}));
    let mut pieces: Vec<Piece> =
        texts.chain(calls.clone()).map(|part| Piece::gated(unnamed(&answer(json!([part]), None)))).collect();
    let finish = match reply.stop {
        Stop::EndTurn => "STOP",
        Stop::MaxTokens => "MAX_TOKENS",
        Stop::ContentFilter => "SAFETY",
    };
    pieces.push(Piece::gated(unnamed(&answer(json!([{"text": ""}]), Some(finish)))));

    let text = (!reply.chunks.is_empty()).then(|| json!({ "text": reply.whole_text() }));
    let parts: Vec<Value> = text.into_iter().chain(calls).collect();
    Script { pieces, whole: answer(parts.into(), Some(finish)) }
}

/// This wire counts thoughts apart from the rest of the output.
fn usage(reply: &Reply) -> Value {
    let usage = reply.usage;
    json!({"promptTokenCount": usage.input, "cachedContentTokenCount": usage.cached,
        "candidatesTokenCount": usage.output.saturating_sub(usage.reasoning),
        "thoughtsTokenCount": usage.reasoning, "totalTokenCount": usage.input + usage.output})
}
