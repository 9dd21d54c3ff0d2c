//! OpenAI's embeddings. They are no generations: vectors follow from the input, and a reply only says how it goes wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Script, model_of};
use crate::upstream::Reply;

/// How long a vector is unless the request says otherwise.
const DIMENSIONS: usize = 4;

pub(super) fn script(reply: &Reply, request: &Value) -> Script {
    let dimensions =
        request.get("dimensions").and_then(Value::as_u64).and_then(|number| number.try_into().ok());
    let is_base64 = request.get("encoding_format").is_some_and(|format| format == "base64");
    let input = request.get("input").unwrap_or(&Value::Null);
    let entries = match input {
        Value::Array(entries) if entries.first().is_some_and(|entry| !entry.is_number()) => {
            entries.as_slice()
        }
        one => std::slice::from_ref(one),
    };
    let data = entries.iter().enumerate().map(|(index, entry)| {
        let vector = vector(entry, dimensions.unwrap_or(DIMENSIONS));
        let embedding = if is_base64 {
            let bytes: Vec<u8> = vector.iter().copied().flat_map(f32::to_le_bytes).collect();
            json!(STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let tokens = reply.usage.input;
    // The last comes first: whoever reads the answer has to look at the index.
    let whole = json!({"object": "list", "data": data.rev().collect::<Vec<_>>(), "model": model_of(request),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}});
    Script { pieces: Vec::new(), whole }
}

/// Makes the vector of an input: its length, and then eighths.
fn vector(entry: &Value, dimensions: usize) -> Vec<f32> {
    let length = match entry {
        Value::String(text) => text.chars().count(),
        Value::Array(tokens) => tokens.len(),
        _ => 0,
    };
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let rest = std::iter::repeat_n(0.125, dimensions.saturating_sub(1));
    std::iter::once(f32::from(length)).chain(rest).take(dimensions).collect()
}
