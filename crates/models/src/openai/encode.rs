//! Our request in the Responses wire.

use domain::response_format::ResponseFormat;
use http::header::AUTHORIZATION;
use serde_json::{Map, Value, json};

use crate::call::{Attachment, Credentials, Effort, Request, Tool, ToolChoice, Turn};
use crate::wire::{NAMING_JSON, WireRequest, copy_sampling, data_url, parameters, turns_name_json};

/// Sampling parameters that the wire knows under the same name. Others of chat completions do not exist in it.
const SAMPLING: &[&str] =
    &["temperature", "top_p", "parallel_tool_calls", "service_tier", "truncation", "safety_identifier"];

pub(crate) fn encode(request: &Request, credentials: &Credentials) -> WireRequest {
    let mut body = Map::new();
    body.insert("model".into(), request.model.clone().into());
    body.insert("stream".into(), true.into());
    body.insert("store".into(), true.into());
    if !request.instructions.is_empty() {
        body.insert("instructions".into(), request.instructions.clone().into());
    }
    // This wire looks for the word in the input alone, and not in the instructions.
    let lacks_json = request.response_format == Some(ResponseFormat::JsonObject) && !turns_name_json(request);
    let naming_json = lacks_json.then(|| json!({"role": "developer", "content": NAMING_JSON}));
    let input = naming_json.into_iter().chain(request.turns.iter().map(input_item));
    body.insert("input".into(), input.collect());
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
        body.insert("tool_choice".into(), tool_choice(&request.tool_choice));
    }
    if let Some(text) = text_options(request) {
        body.insert("text".into(), text);
    }
    let mut reasoning = Map::new();
    if let Some(effort) = request.reasoning_effort {
        reasoning.insert("effort".into(), effort_name(effort).into());
    }
    if let Some(summary) = request.reasoning_summary {
        reasoning.insert("summary".into(), summary.as_str().into());
    }
    if !reasoning.is_empty() {
        body.insert("reasoning".into(), reasoning.into());
    }
    if let Some(most) = request.max_output_tokens {
        body.insert("max_output_tokens".into(), most.into());
    }
    if let Some(key) = &request.cache_key {
        body.insert("prompt_cache_key".into(), key.clone().into());
    }
    copy_sampling(request, SAMPLING, &mut body);
    WireRequest {
        path: vec!["responses".into()],
        query: None,
        headers: vec![(AUTHORIZATION, format!("Bearer {}", credentials.api_key))],
        body: Value::Object(body),
    }
}

/// Asks for an answer that OpenAI stored. The body is not sent.
pub(crate) fn retrieve(reference: &str, credentials: &Credentials) -> WireRequest {
    WireRequest {
        path: vec!["responses".into(), reference.to_owned()],
        query: None,
        headers: vec![(AUTHORIZATION, format!("Bearer {}", credentials.api_key))],
        body: Value::Null,
    }
}

fn input_item(turn: &Turn) -> Value {
    match turn {
        Turn::User { text, attachments } if attachments.is_empty() => {
            json!({"role": "user", "content": text})
        }
        Turn::User { text, attachments } => {
            let text = (!text.is_empty()).then(|| json!({"type": "input_text", "text": text}));
            let parts: Value = text.into_iter().chain(attachments.iter().map(attachment)).collect();
            json!({"role": "user", "content": parts})
        }
        Turn::Assistant { text } => json!({"role": "assistant", "content": text}),
        Turn::ToolCall(call) => json!({
            "type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments,
        }),
        Turn::ToolResult(result) => json!({
            "type": "function_call_output", "call_id": result.call_id, "output": result.output,
        }),
    }
}

fn attachment(attachment: &Attachment) -> Value {
    match attachment {
        Attachment::ImageUrl(url) => json!({"type": "input_image", "image_url": url, "detail": "auto"}),
        Attachment::Image { media_type, bytes } => {
            json!({"type": "input_image", "image_url": data_url(media_type, bytes), "detail": "auto"})
        }
        // As a file, OpenAI refuses an image.
        Attachment::File { media_type, bytes, .. } if media_type.starts_with("image/") => {
            json!({"type": "input_image", "image_url": data_url(media_type, bytes), "detail": "auto"})
        }
        // A file by address takes no name beside it.
        Attachment::FileUrl { url, filename: _ } => json!({"type": "input_file", "file_url": url}),
        Attachment::File { media_type, filename, bytes } => {
            json!({"type": "input_file", "filename": filename, "file_data": data_url(media_type, bytes)})
        }
    }
}

fn tool(tool: &Tool) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": parameters(&tool.parameters),
        "strict": tool.strict,
    })
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "name": name}),
    }
}

fn text_options(request: &Request) -> Option<Value> {
    let mut options = Map::new();
    match &request.response_format {
        Some(ResponseFormat::JsonObject) => {
            options.insert("format".into(), json!({"type": "json_object"}));
        }
        Some(ResponseFormat::JsonSchema { name, schema, strict }) => {
            options.insert(
                "format".into(),
                json!({"type": "json_schema", "name": name, "schema": schema, "strict": strict}),
            );
        }
        None => {}
    }
    if let Some(verbosity) = request.sampling.get("verbosity") {
        options.insert("verbosity".into(), verbosity.clone());
    }
    (!options.is_empty()).then_some(Value::Object(options))
}

/// Returns an effort in OpenAI's words.
pub(crate) const fn effort_name(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh => "xhigh",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_full_request_is_encoded() {
        let wire = encode(&samples::full_request("gpt-5"), &samples::credentials());
        assert_eq!(wire.path, ["responses"]);
        assert_eq!(wire.headers, [(AUTHORIZATION, "Bearer sk-test-secret".to_owned())]);
        insta::assert_json_snapshot!(wire.body);
    }

    #[test]
    fn a_plain_request_has_nothing_that_was_not_asked_for() {
        let wire = encode(&samples::plain_request("gpt-5-mini"), &samples::credentials());
        insta::assert_json_snapshot!(wire.body, @r#"
        {
          "model": "gpt-5-mini",
          "stream": true,
          "store": true,
          "input": [
            {
              "role": "user",
              "content": "Hello"
            }
          ]
        }
        "#);
    }

    #[test]
    fn a_function_without_arguments_is_taken() {
        let tool = Tool { parameters: json!({"type": "object"}), ..samples::weather_tool() };
        let request = Request { tools: vec![tool], ..samples::plain_request("gpt-5") };
        let wire = encode(&request, &samples::credentials());
        assert_eq!(wire.body["tools"][0]["parameters"], json!({"type": "object", "properties": {}}));
    }

    #[test]
    fn an_image_that_comes_as_a_file_is_shown_as_an_image() {
        let request = samples::request_with_file("image/png");
        let wire = encode(&request, &samples::credentials());
        let part = &wire.body["input"][0]["content"][0];
        assert_eq!(part["type"], "input_image");
        assert_eq!(part["image_url"], "data:image/png;base64,aGk=");
    }

    #[test]
    fn the_input_speaks_of_json_where_an_object_is_asked_for() {
        let mut request = Request {
            instructions: "Use JSON.".into(),
            response_format: Some(ResponseFormat::JsonObject),
            ..samples::plain_request("gpt-5")
        };
        let body = encode(&request, &samples::credentials()).body;
        assert_eq!(body["instructions"], "Use JSON.");
        assert_eq!(body["input"][0], json!({"role": "developer", "content": "Answer with one JSON object."}));

        request.turns = vec![samples::user("As JSON, please.")];
        let body = encode(&request, &samples::credentials()).body;
        assert_eq!(body["input"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_stored_answer_is_asked_for_by_its_reference() {
        let wire = retrieve("resp_1", &samples::credentials());
        assert_eq!(wire.path, ["responses", "resp_1"]);
    }
}
