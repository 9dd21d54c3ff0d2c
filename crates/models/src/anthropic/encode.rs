//! Our request in the Messages wire.

use domain::response_format::ResponseFormat;
use http::HeaderName;
use serde_json::{Map, Value, json};

use super::generation::Generation;
use super::messages::{can_think, messages};
use super::schema::without_bounds;
use super::{ANSWER_TOOL, Hold, hold};
use crate::call::{Credentials, Effort, Request, Tool, ToolChoice};
use crate::wire::{WireRequest, copy_sampling, form_in_words, stop_sequences, with_sentence};

const API_VERSION: &str = "2023-06-01";

/// The least that the API takes as a budget for thinking.
const LEAST_BUDGET: u64 = 1_024;

/// Encodes a request. `default_max_tokens` is the length of an answer where the request names none: the wire wants one.
pub(crate) fn encode(request: &Request, credentials: &Credentials, default_max_tokens: u64) -> WireRequest {
    let generation = Generation::of(&request.model);
    let thinking = Thinking::of(request, generation, default_max_tokens);
    let mut body = Map::new();
    body.insert("model".into(), request.model.clone().into());
    body.insert("max_tokens".into(), thinking.max_tokens.into());
    body.insert("stream".into(), true.into());
    let instructions = instructions(request);
    if !instructions.is_empty() {
        let system = json!({"type": "text", "text": instructions, "cache_control": {"type": "ephemeral"}});
        body.insert("system".into(), json!([system]));
    }
    body.insert("messages".into(), messages(&request.turns, generation).into());
    let tools = tools(request, generation);
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
        body.insert("tool_choice".into(), tool_choice(request, generation));
    }
    let mut output = Map::new();
    if let Some(ResponseFormat::JsonSchema { schema, .. }) =
        request.response_format.as_ref().filter(|_| hold(request) == Hold::Format)
    {
        output.insert("format".into(), json!({"type": "json_schema", "schema": without_bounds(schema)}));
    }
    if let Some(effort) = thinking.effort {
        output.insert("effort".into(), effort.into());
    }
    if !output.is_empty() {
        body.insert("output_config".into(), output.into());
    }
    let thinks = thinking.block.is_some();
    if let Some(block) = thinking.block {
        body.insert("thinking".into(), block);
    }
    if generation.samples() && !thinks {
        copy_sampling(request, &["temperature", "top_p", "top_k"], &mut body);
        // The API takes one of the two.
        if body.contains_key("temperature") {
            body.remove("top_p");
        }
    }
    let stop = stop_sequences(request);
    if !stop.is_empty() {
        body.insert("stop_sequences".into(), stop.into());
    }
    WireRequest {
        path: vec!["messages".into()],
        query: None,
        headers: vec![
            (HeaderName::from_static("x-api-key"), credentials.api_key.to_string()),
            (HeaderName::from_static("anthropic-version"), API_VERSION.to_owned()),
        ],
        body: Value::Object(body),
    }
}

/// Says the form of the answer, where nothing else holds the model to it. The words are the same in every call of a run: its
/// thoughts are good for the instructions that it had.
fn instructions(request: &Request) -> String {
    match &request.response_format {
        Some(format) if hold(request) == Hold::Words => {
            with_sentence(&request.instructions, &form_in_words(format))
        }
        _ => request.instructions.clone(),
    }
}

/// How much the model is to think, in the words of its generation.
struct Thinking {
    max_tokens: u64,
    block: Option<Value>,
    effort: Option<&'static str>,
}

impl Thinking {
    fn of(request: &Request, generation: Generation, default_max_tokens: u64) -> Self {
        let effort = request.reasoning_effort;
        // The API refuses thinking where a tool is forced.
        let forced = generation.takes_forced_calls()
            && (hold(request) == Hold::Tool
                || (!request.tools.is_empty()
                    && matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_))));
        let wanted = match effort {
            None if generation.thinks_unasked() => budget(Effort::High),
            None => 0,
            Some(effort) => budget(effort),
        };
        // Thinking counts as output, so room for it comes on top where the caller named no limit.
        let max_tokens = |extra: u64| {
            request.max_output_tokens.unwrap_or_else(|| default_max_tokens.saturating_add(extra)).max(1)
        };
        if generation.thinks_adaptively() {
            let block = if generation.hides_thoughts() {
                json!({"type": "adaptive", "display": "summarized"})
            } else {
                json!({"type": "adaptive"})
            };
            return Self {
                max_tokens: max_tokens(wanted),
                block: effort.filter(|effort| *effort != Effort::None && !forced).map(|_| block),
                effort: effort.map(|effort| effort_name(effort, generation)),
            };
        }
        let possible = generation.thinks() && !forced && can_think(&request.turns, generation);
        let limit = max_tokens(if possible { wanted } else { 0 });
        let budget = wanted.min(limit / 2 + limit / 4);
        let block =
            (possible && budget >= LEAST_BUDGET).then(|| json!({"type": "enabled", "budget_tokens": budget}));
        Self { max_tokens: limit, block, effort: None }
    }
}

/// Returns a budget for thinking, in tokens. The largest leaves room for an answer within the 32,000 tokens of the models
/// with the smallest limit.
const fn budget(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal => LEAST_BUDGET,
        Effort::Low => 2_048,
        Effort::Medium => 8_192,
        Effort::High => 16_384,
        Effort::ExtraHigh => 23_552,
    }
}

fn effort_name(effort: Effort, generation: Generation) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::ExtraHigh if generation.knows_extra_high_effort() => "xhigh",
        Effort::High | Effort::ExtraHigh => "high",
    }
}

fn tools(request: &Request, generation: Generation) -> Vec<Value> {
    let mut tools: Vec<_> = request.tools.iter().map(|each| tool(each, generation)).collect();
    if hold(request) == Hold::Tool {
        let schema = match &request.response_format {
            Some(ResponseFormat::JsonSchema { schema, .. }) => schema.clone(),
            _ => json!({"type": "object"}),
        };
        tools.push(json!({
            "name": ANSWER_TOOL,
            "description": "Takes the answer to the user, in the form that was asked for.",
            "input_schema": object_schema(schema),
        }));
    }
    tools
}

fn tool(tool: &Tool, generation: Generation) -> Value {
    let strict = tool.strict && generation.knows_output_format();
    let schema = if strict { without_bounds(&tool.parameters) } else { tool.parameters.clone() };
    let mut value = json!({
        "name": tool.name,
        "description": tool.description,
        "input_schema": object_schema(schema),
    });
    if let Some(object) = value.as_object_mut().filter(|_| strict) {
        object.insert("strict".into(), true.into());
    }
    value
}

/// The API wants the type said, also where it can be no other.
fn object_schema(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.entry("type").or_insert_with(|| "object".into());
    }
    schema
}

fn tool_choice(request: &Request, generation: Generation) -> Value {
    let by_tool = hold(request) == Hold::Tool;
    let mut choice = match &request.tool_choice {
        // Whether it has called what it was to call is looked at behind its answer.
        ToolChoice::Named(_) | ToolChoice::Required if !generation.takes_forced_calls() => {
            json!({"type": "auto"})
        }
        ToolChoice::Named(name) if !request.tools.is_empty() => json!({"type": "tool", "name": name}),
        ToolChoice::Required if !request.tools.is_empty() => json!({"type": "any"}),
        ToolChoice::Auto if by_tool && !request.tools.is_empty() => json!({"type": "any"}),
        _ if by_tool => json!({"type": "tool", "name": ANSWER_TOOL}),
        ToolChoice::None => return json!({"type": "none"}),
        ToolChoice::Auto | ToolChoice::Required | ToolChoice::Named(_) => json!({"type": "auto"}),
    };
    let one_at_a_time = request.sampling.get("parallel_tool_calls") == Some(&Value::Bool(false));
    if let Some(object) = choice.as_object_mut().filter(|_| by_tool || one_at_a_time) {
        object.insert("disable_parallel_tool_use".into(), true.into());
    }
    choice
}

#[cfg(test)]
mod tests;
