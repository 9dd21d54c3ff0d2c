//! Our request in the Chat Completions wire.

use domain::items::ToolCall;
use domain::response_format::ResponseFormat;
use http::header::AUTHORIZATION;
use serde_json::{Map, Value, json};

use super::{OWN, server};
use crate::call::{Attachment, Credentials, Request, Tool, ToolChoice, Turn};
use crate::openai::effort_name;
use crate::wire::{
    WireRequest, copy_sampling, data_url, instructions_naming_json, own_data, parameters, text,
};

const SAMPLING: &[&str] = &[
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "logit_bias",
    "parallel_tool_calls",
    "service_tier",
    "verbosity",
];

pub(crate) fn encode(request: &Request, credentials: &Credentials) -> WireRequest {
    let mut body = Map::new();
    body.insert("model".into(), request.model.clone().into());
    body.insert("stream".into(), true.into());
    body.insert("stream_options".into(), json!({"include_usage": true}));
    body.insert("messages".into(), messages(request, &server(credentials)).into());
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
        body.insert("tool_choice".into(), tool_choice(&request.tool_choice));
    }
    if let Some(format) = &request.response_format {
        body.insert("response_format".into(), response_format(format));
    }
    if let Some(effort) = request.reasoning_effort {
        body.insert("reasoning_effort".into(), effort_name(effort).into());
    }
    if let Some(most) = request.max_output_tokens {
        // The newer `max_completion_tokens` is unknown to most servers of this kind.
        body.insert("max_tokens".into(), most.into());
    }
    copy_sampling(request, SAMPLING, &mut body);
    if request.tools.is_empty() {
        body.remove("parallel_tool_calls");
    }
    WireRequest {
        path: vec!["chat".into(), "completions".into()],
        query: None,
        headers: vec![(AUTHORIZATION, format!("Bearer {}", credentials.api_key))],
        body: Value::Object(body),
    }
}

fn messages(request: &Request, server: &str) -> Vec<Value> {
    let mut messages = Vec::new();
    let instructions = instructions_naming_json(request);
    if !instructions.is_empty() {
        messages.push(json!({"role": "system", "content": instructions}));
    }
    // A server that wants its thoughts back wants them with every answer of the conversation, and takes empty ones.
    let has_thoughts = |turn: &Turn| matches!(turn, Turn::ToolCall(call) if thoughts(call, server).is_some());
    let thinks = request.turns.iter().any(has_thoughts).then_some(server);
    // An assistant's text and its calls are one message in this wire.
    let mut said: Option<Said<'_>> = None;
    for turn in &request.turns {
        match turn {
            Turn::Assistant { text } => {
                messages.extend(said.take().map(|said| said.message(thinks)));
                said = Some(Said { text, calls: Vec::new() });
            }
            Turn::ToolCall(call) => said.get_or_insert_default().calls.push(call),
            Turn::User { text, attachments } => {
                messages.extend(said.take().map(|said| said.message(thinks)));
                add_user(&mut messages, user_content(text, attachments));
            }
            Turn::ToolResult(result) => {
                messages.extend(said.take().map(|said| said.message(thinks)));
                messages
                    .push(json!({"role": "tool", "tool_call_id": result.call_id, "content": result.output}));
            }
        }
    }
    messages.extend(said.take().map(|said| said.message(thinks)));
    messages
}

#[derive(Default)]
struct Said<'turn> {
    text: &'turn str,
    calls: Vec<&'turn ToolCall>,
}

impl Said<'_> {
    fn message(self, thinks: Option<&str>) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), "assistant".into());
        let has_content = self.calls.is_empty() || !self.text.is_empty();
        message.insert("content".into(), if has_content { self.text.into() } else { Value::Null });
        if let Some(server) = thinks {
            let thoughts = self.calls.iter().find_map(|call| thoughts(call, server)).unwrap_or_default();
            message.insert("reasoning_content".into(), thoughts.into());
        }
        let call = |call: &ToolCall| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": call.id, "type": "function", "function": function})
        };
        if !self.calls.is_empty() {
            message.insert("tool_calls".into(), self.calls.into_iter().map(call).collect());
        }
        message.into()
    }
}

/// Returns what this server thought before it made a call.
fn thoughts<'call>(call: &'call ToolCall, server: &str) -> Option<&'call str> {
    let own = own_data(call, OWN).filter(|own| text(own, "/server") == server)?;
    own.get("reasoning_content").and_then(Value::as_str)
}

/// Adds words of the user. They join others of theirs right before them: the templates of Mistral's and Gemma's models refuse a
/// thread in which nobody answers in between, as nobody has where a run failed.
fn add_user(messages: &mut Vec<Value>, content: Value) {
    let last = messages.last_mut().filter(|last| text(last, "/role") == "user");
    match last.and_then(|last| last.get_mut("content")) {
        Some(before) => *before = joined(before.take(), content),
        None => messages.push(json!({"role": "user", "content": content})),
    }
}

fn joined(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::String(first), second) if first.is_empty() => second,
        (Value::String(first), Value::String(second)) => format!("{first}\n\n{second}").into(),
        (first, second) => [first, second].into_iter().flat_map(as_parts).collect(),
    }
}

fn as_parts(content: Value) -> Vec<Value> {
    match content {
        Value::Array(parts) => parts,
        text => vec![json!({"type": "text", "text": text})],
    }
}

fn user_content(text: &str, attachments: &[Attachment]) -> Value {
    if attachments.is_empty() {
        return text.into();
    }
    let mut parts = Vec::new();
    if !text.is_empty() {
        parts.push(json!({"type": "text", "text": text}));
    }
    for attachment in attachments {
        parts.push(match attachment {
            Attachment::ImageUrl(url) => json!({"type": "image_url", "image_url": {"url": url}}),
            Attachment::Image { media_type, bytes } => {
                json!({"type": "image_url", "image_url": {"url": data_url(media_type, bytes)}})
            }
            // OpenAI, whose wire this is, refuses an image as a file.
            Attachment::File { media_type, bytes, .. } if media_type.starts_with("image/") => {
                json!({"type": "image_url", "image_url": {"url": data_url(media_type, bytes)}})
            }
            Attachment::File { media_type, filename, bytes } => {
                let file = json!({"filename": filename, "file_data": data_url(media_type, bytes)});
                json!({"type": "file", "file": file})
            }
            // The wire has no part for a file by address, and `parts` lets none through.
            Attachment::FileUrl { url, .. } => json!({"type": "text", "text": url}),
        });
    }
    parts.into()
}

fn tool(tool: &Tool) -> Value {
    let mut function = Map::new();
    function.insert("name".into(), tool.name.clone().into());
    function.insert("description".into(), tool.description.clone().into());
    function.insert("parameters".into(), parameters(&tool.parameters));
    // Servers that do not know the field may refuse it, so it is sent only where it says something.
    if tool.strict {
        function.insert("strict".into(), true.into());
    }
    json!({"type": "function", "function": function})
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn response_format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema { name, schema, strict } => {
            json!({"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": strict}})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_full_request_is_encoded() {
        let wire = encode(&samples::full_request("llama3.3"), &samples::credentials());
        assert_eq!(wire.path, ["chat", "completions"]);
        assert_eq!(wire.headers, [(AUTHORIZATION, "Bearer sk-test-secret".to_owned())]);
        insta::assert_json_snapshot!(wire.body);
    }

    #[test]
    fn a_plain_request_has_nothing_that_was_not_asked_for() {
        let wire = encode(&samples::plain_request("llama3.3"), &samples::credentials());
        insta::assert_json_snapshot!(wire.body, @r#"
        {
          "model": "llama3.3",
          "stream": true,
          "stream_options": {
            "include_usage": true
          },
          "messages": [
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
        let request = Request { tools: vec![tool], ..samples::plain_request("llama3.3") };
        let wire = encode(&request, &samples::credentials());
        let parameters = &wire.body["tools"][0]["function"]["parameters"];
        assert_eq!(*parameters, json!({"type": "object", "properties": {}}));
    }

    #[test]
    fn an_image_that_comes_as_a_file_is_shown_as_an_image() {
        let request = samples::request_with_file("image/png");
        let wire = encode(&request, &samples::credentials());
        let part = &wire.body["messages"][0]["content"][0];
        assert_eq!(*part, json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}));
    }

    #[test]
    fn words_that_nobody_has_answered_join_those_that_follow() {
        let mut request = samples::request_with_file("application/pdf");
        request.turns.splice(0..0, [samples::user("One."), samples::user("Two.")]);
        request.turns.extend([Turn::Assistant { text: "Well.".into() }, samples::user("Three.")]);
        let messages = encode(&request, &samples::credentials()).body["messages"].clone();
        assert_eq!(messages.as_array().map(Vec::len), Some(3));
        assert_eq!(messages[0]["content"][0], json!({"type": "text", "text": "One.\n\nTwo."}));
        assert_eq!(messages[0]["content"][1]["type"], "file");
        assert_eq!(messages[2], json!({"role": "user", "content": "Three."}));
    }

    #[test]
    fn thoughts_go_back_to_the_server_that_had_them() {
        let mut call = samples::call("a", "now", "{}");
        let own = json!({"reasoning_content": "Look at the clock.", "server": "api.deepseek.com:443/v1"});
        call.provider_data = Some(json!({ "openai_chat": own }));
        let turns = vec![
            samples::user("Hello"),
            Turn::Assistant { text: "Hello.".into() },
            samples::user("What time is it?"),
            Turn::ToolCall(call),
            samples::result("a", "now", "noon"),
        ];
        let mut request = Request { turns, ..samples::plain_request("deepseek-v4-pro") };
        let messages = |request: &Request, base: &str| {
            let credentials = Credentials { base_url: Some(base.into()), ..samples::credentials() };
            encode(request, &credentials).body["messages"].clone()
        };
        let encoded = messages(&request, "https://api.deepseek.com/v1");
        assert_eq!(encoded[1], json!({"role": "assistant", "content": "Hello.", "reasoning_content": ""}));
        assert_eq!(encoded[3]["reasoning_content"], "Look at the clock.");

        for other in
            ["https://api.example.com/v1", "http://api.deepseek.com:8000/v1", "https://api.deepseek.com/beta"]
        {
            let elsewhere = messages(&request, other).to_string();
            assert!(!elsewhere.contains("reasoning_content"), "others do not know the field: {elsewhere}");
        }
        request.turns[3] = Turn::ToolCall(samples::call("a", "now", "{}"));
        let unthinking = messages(&request, "https://api.deepseek.com/v1").to_string();
        assert!(!unthinking.contains("reasoning_content"), "{unthinking}");
    }
}
