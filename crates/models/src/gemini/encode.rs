//! Our request in the wire of `generateContent`.

use domain::response_format::ResponseFormat;
use http::HeaderName;
use serde_json::{Map, Value, json};

use super::contents::contents;
use crate::call::{Credentials, Effort, Request, Tool, ToolChoice};
use crate::wire::{WireRequest, form_in_words, stop_sequences, with_sentence};

/// Sampling parameters: OpenAI's name, Gemini's name.
const SAMPLING: &[(&str, &str)] = &[
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
];

pub(crate) fn encode(request: &Request, credentials: &Credentials) -> WireRequest {
    let model = request.model.strip_prefix("models/").unwrap_or(&request.model);
    let mut body = Map::new();
    let instructions = instructions(request, model);
    if !instructions.is_empty() {
        body.insert("systemInstruction".into(), json!({"parts": [{"text": instructions}]}));
    }
    body.insert("contents".into(), contents(&request.turns, is_third_generation(model)).into());
    if !request.tools.is_empty() {
        let declarations: Value = request.tools.iter().map(declaration).collect();
        body.insert("tools".into(), json!([{"functionDeclarations": declarations}]));
        body.insert("toolConfig".into(), json!({"functionCallingConfig": calling(&request.tool_choice)}));
    }
    let config = generation_config(request, model);
    if !config.is_empty() {
        body.insert("generationConfig".into(), config.into());
    }
    WireRequest {
        path: vec!["models".into(), format!("{model}:streamGenerateContent")],
        query: Some(("alt", "sse")),
        headers: vec![(HeaderName::from_static("x-goog-api-key"), credentials.api_key.to_string())],
        body: Value::Object(body),
    }
}

/// Tells whether a model is of the third generation or newer, as those are that `gemini-flash-latest` and its kin stand for.
fn is_third_generation(model: &str) -> bool {
    let Some(name) = model.strip_prefix("gemini-") else { return false };
    let number = name.split(['-', '.']).next().and_then(|number| number.parse::<u32>().ok());
    number.map_or_else(|| name.ends_with("-latest"), |number| number >= 3)
}

/// Models before the third generation refuse a form for the answer together with tools, and are told in words instead.
fn told_in_words(request: &Request, model: &str) -> bool {
    !request.tools.is_empty() && !is_third_generation(model)
}

fn instructions(request: &Request, model: &str) -> String {
    match &request.response_format {
        Some(format) if told_in_words(request, model) => {
            with_sentence(&request.instructions, &form_in_words(format))
        }
        _ => request.instructions.clone(),
    }
}

fn declaration(tool: &Tool) -> Value {
    json!({
        "name": tool.name,
        "description": tool.description,
        "parametersJsonSchema": tool.parameters,
    })
}

fn calling(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    }
}

fn generation_config(request: &Request, model: &str) -> Map<String, Value> {
    let mut config = Map::new();
    for (theirs, ours) in SAMPLING {
        if let Some(value) = request.sampling.get(*theirs).filter(|value| !value.is_null()) {
            config.insert((*ours).to_owned(), value.clone());
        }
    }
    let stop = stop_sequences(request);
    if !stop.is_empty() {
        config.insert("stopSequences".into(), stop.into());
    }
    if let Some(most) = request.max_output_tokens {
        config.insert("maxOutputTokens".into(), most.into());
    }
    if let Some(format) = request.response_format.as_ref().filter(|_| !told_in_words(request, model)) {
        config.insert("responseMimeType".into(), "application/json".into());
        if let ResponseFormat::JsonSchema { schema, .. } = format {
            config.insert("responseJsonSchema".into(), schema.clone());
        }
    }
    if let Some(thinking) = request.reasoning_effort.and_then(|effort| thinking(effort, model)) {
        config.insert("thinkingConfig".into(), thinking);
    }
    config
}

/// Returns how much the model is to think: a level for the third generation, a budget of tokens for 2.5. Models that do
/// not think are not told to.
fn thinking(effort: Effort, model: &str) -> Option<Value> {
    let is_pro = model.contains("pro");
    let shown = effort != Effort::None;
    if is_third_generation(model) {
        let level = match effort {
            // The first Pro model knows two levels, and no Pro model knows the least.
            Effort::None | Effort::Minimal if !is_pro => "minimal",
            Effort::None | Effort::Minimal | Effort::Low => "low",
            Effort::Medium if !model.starts_with("gemini-3-pro") => "medium",
            Effort::Medium | Effort::High | Effort::ExtraHigh => "high",
        };
        return Some(json!({"thinkingLevel": level, "includeThoughts": shown}));
    }
    if !model.starts_with("gemini-2.5") {
        return None;
    }
    let budget = match effort {
        // Pro models cannot stop thinking; this is their least.
        Effort::None if is_pro => 128,
        Effort::None => 0,
        Effort::Minimal => 512,
        Effort::Low => 1_024,
        Effort::Medium => 8_192,
        Effort::High | Effort::ExtraHigh => 24_576,
    };
    Some(json!({"thinkingBudget": budget, "includeThoughts": shown}))
}

#[cfg(test)]
mod tests;
