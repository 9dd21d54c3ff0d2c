//! What a response shows again of its request.

use serde_json::{Map, Value, json};

use super::object::ECHOED;
use super::servers;
use crate::extract::Fields;

/// Picks out of a request what its response shows again, in the shape that strict readers want it in.
pub(super) fn of(fields: &Fields<'_>, conversation: Option<&str>) -> Map<String, Value> {
    let mut echo = Map::new();
    for name in ECHOED {
        let Some(value) = fields.value(name) else { continue };
        let shown = match *name {
            "tools" => tools(value),
            "reasoning" => json!({
                "effort": value.get("effort").cloned().unwrap_or_default(),
                "summary": value.get("summary").cloned().unwrap_or_default(),
            }),
            "text" => text(value),
            "conversation" => json!({"id": conversation}),
            "truncation" if !matches!(value.as_str(), Some("auto" | "disabled")) => continue,
            // Whatever is said, runs are stored.
            "store" => Value::Bool(true),
            "temperature" | "top_p" | "presence_penalty" | "frequency_penalty" if !value.is_number() => {
                continue;
            }
            "top_logprobs" | "max_output_tokens" | "max_tool_calls" if !value.is_u64() => continue,
            "parallel_tool_calls" | "background" if !value.is_boolean() => continue,
            "user" | "service_tier" | "safety_identifier" | "prompt_cache_key" if !value.is_string() => {
                continue;
            }
            _ => value.clone(),
        };
        echo.insert((*name).to_owned(), shown);
    }
    echo
}

fn tools(value: &Value) -> Value {
    let show = |tool: &Value| {
        if tool.get("type").and_then(Value::as_str) == Some("mcp") {
            return servers::shown(tool);
        }
        let given = |key: &str| tool.get(key).cloned().unwrap_or_default();
        json!({
            "type": "function",
            "name": given("name"),
            "description": given("description"),
            "parameters": given("parameters"),
            "strict": given("strict"),
        })
    };
    value.as_array().into_iter().flatten().map(show).collect()
}

fn text(value: &Value) -> Value {
    let mut shown = value.clone();
    let given = value.get("format").filter(|format| !format.is_null());
    let format = match given.and_then(|format| format.get("type")).and_then(Value::as_str) {
        Some("json_schema") => {
            let field = |key: &str| given.and_then(|format| format.get(key)).cloned().unwrap_or_default();
            json!({
                "type": "json_schema",
                "name": field("name").as_str().unwrap_or("response"),
                "description": field("description"),
                "schema": field("schema"),
                "strict": field("strict").as_bool().unwrap_or_default(),
            })
        }
        Some("json_object") => json!({"type": "json_object"}),
        _ => json!({"type": "text"}),
    };
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("format".to_owned(), format);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_again_has_every_key() {
        let body = json!({
            "tools": [{"type": "function", "name": "f"}],
            "reasoning": {"effort": "low"},
            "text": {"format": {"type": "json_schema", "schema": {}}},
            "store": false,
            "truncation": null,
            "temperature": "hot",
            "conversation": "cnv_1",
            "unheard_of": 1,
        });
        let echo = of(&Fields::of_body(body.as_object().unwrap()), Some("cnv_1"));
        assert_eq!(
            Value::Object(echo),
            json!({
                "conversation": {"id": "cnv_1"},
                "tools": [{"type": "function", "name": "f", "description": null, "parameters": null, "strict": null}],
                "text": {"format": {"type": "json_schema", "name": "response", "description": null, "schema": {}, "strict": false}},
                "reasoning": {"effort": "low", "summary": null},
                "store": true,
            })
        );
    }
}
