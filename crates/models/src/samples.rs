//! Requests that the tests of all encoders share.

use bytes::Bytes;
use domain::items::{ToolCall, ToolResult};
use domain::models::Provider;
use domain::response_format::ResponseFormat;
use serde_json::{Map, json};

use crate::call::{Attachment, Credentials, Effort, Origin, Request, Summary, Tool, ToolChoice, Turn};

pub(crate) const KEY: &str = "sk-test-secret";

pub(crate) fn credentials() -> Credentials {
    Credentials { provider: Provider::Openai, api_key: KEY.into(), base_url: None, origin: Origin::Operator }
}

pub(crate) fn plain_request(model: &str) -> Request {
    Request { model: model.into(), turns: vec![user("Hello")], ..Request::default() }
}

pub(crate) fn user(text: &str) -> Turn {
    Turn::User { text: text.into(), attachments: vec![] }
}

pub(crate) fn request_with_file(media_type: &str) -> Request {
    let file = Attachment::File {
        media_type: media_type.into(),
        filename: "a".into(),
        bytes: Bytes::from_static(b"hi"),
    };
    let turn = Turn::User { text: String::new(), attachments: vec![file] };
    Request { turns: vec![turn], ..Request::default() }
}

pub(crate) fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), provider_data: None }
}

pub(crate) fn result(call_id: &str, name: &str, output: &str) -> Turn {
    Turn::ToolResult(ToolResult {
        call_id: call_id.into(),
        name: name.into(),
        output: output.into(),
        is_error: false,
        attachments: Vec::new(),
    })
}

pub(crate) fn weather_tool() -> Tool {
    Tool {
        name: "get_weather".into(),
        description: "Looks up the weather.".into(),
        parameters: json!({
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": false,
        }),
        strict: true,
    }
}

pub(crate) fn city_format(strict: bool) -> ResponseFormat {
    ResponseFormat::JsonSchema {
        name: "city".into(),
        schema: json!({"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": false}),
        strict,
    }
}

/// Everything that a conversation can hold, except what only some wires take.
pub(crate) fn full_request(model: &str) -> Request {
    let failed = Turn::ToolResult(ToolResult {
        call_id: "call_b".into(),
        name: "get_weather".into(),
        output: "no such city".into(),
        is_error: true,
        attachments: Vec::new(),
    });
    Request {
        model: model.into(),
        instructions: "You are brief.".into(),
        turns: vec![
            Turn::User {
                text: "What is this, and how is the weather there?".into(),
                attachments: vec![
                    Attachment::ImageUrl("https://example.com/a.png".into()),
                    Attachment::Image { media_type: "image/jpeg".into(), bytes: Bytes::from_static(b"jpeg") },
                    Attachment::File {
                        media_type: "application/pdf".into(),
                        filename: "map.pdf".into(),
                        bytes: Bytes::from_static(b"pdf"),
                    },
                ],
            },
            Turn::Assistant { text: "Let me look.".into() },
            Turn::ToolCall(call("call_a", "get_weather", r#"{"city":"Ulm"}"#)),
            Turn::ToolCall(call("call_b", "get_weather", r#"{"city":"Atlantis"}"#)),
            result("call_a", "get_weather", r#"{"celsius":21}"#),
            failed,
            user("Thanks. And tomorrow?"),
        ],
        tools: vec![weather_tool()],
        tool_choice: ToolChoice::Named("get_weather".into()),
        response_format: Some(city_format(true)),
        reasoning_effort: Some(Effort::Low),
        reasoning_summary: Some(Summary::Auto),
        max_output_tokens: Some(2_000),
        sampling: Map::from_iter([
            ("temperature".to_owned(), json!(0.2)),
            ("top_p".to_owned(), json!(0.9)),
            ("stop".to_owned(), json!(["END"])),
            ("seed".to_owned(), json!(7)),
            ("parallel_tool_calls".to_owned(), json!(false)),
            ("unheard_of".to_owned(), json!(true)),
        ]),
        cache_key: Some("thread-1".into()),
    }
}
