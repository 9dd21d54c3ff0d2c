use bytes::Bytes;
use domain::items::ToolCall;
use serde_json::json;

use super::*;
use crate::call::{Attachment, Turn};
use crate::samples::{self, user};

fn body(request: &Request) -> Value {
    encode(request, &samples::credentials(), 8_192).body
}

#[test]
fn a_full_request_is_encoded() {
    let wire = encode(&samples::full_request("claude-sonnet-4-5"), &samples::credentials(), 8_192);
    assert_eq!(wire.path, ["messages"]);
    assert_eq!(wire.headers[0].1, samples::KEY);
    insta::assert_json_snapshot!(wire.body);
}

#[test]
fn a_plain_request_has_nothing_that_was_not_asked_for() {
    insta::assert_json_snapshot!(body(&samples::plain_request("claude-sonnet-4-5")), @r#"
    {
      "model": "claude-sonnet-4-5",
      "max_tokens": 8192,
      "stream": true,
      "messages": [
        {
          "role": "user",
          "content": [
            {
              "type": "text",
              "text": "Hello",
              "cache_control": {
                "type": "ephemeral"
              }
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_form_that_the_wire_cannot_hold_to_is_asked_for_by_a_tool() {
    let request = Request {
        response_format: Some(samples::city_format(false)),
        reasoning_effort: Some(Effort::High),
        ..samples::plain_request("claude-sonnet-4-5")
    };
    insta::assert_json_snapshot!(body(&request), @r#"
    {
      "model": "claude-sonnet-4-5",
      "max_tokens": 8192,
      "stream": true,
      "messages": [
        {
          "role": "user",
          "content": [
            {
              "type": "text",
              "text": "Hello",
              "cache_control": {
                "type": "ephemeral"
              }
            }
          ]
        }
      ],
      "tools": [
        {
          "name": "structured_answer",
          "description": "Takes the answer to the user, in the form that was asked for.",
          "input_schema": {
            "type": "object",
            "properties": {
              "city": {
                "type": "string"
              }
            },
            "additionalProperties": false
          }
        }
      ],
      "tool_choice": {
        "type": "tool",
        "name": "structured_answer",
        "disable_parallel_tool_use": true
      }
    }
    "#);
    let choice = |model: &str, format| {
        let request = Request { response_format: Some(format), ..samples::plain_request(model) };
        body(&request).get("tool_choice").cloned()
    };
    assert!(choice("claude-3-5-haiku-latest", samples::city_format(true)).is_some());
    assert!(choice("claude-sonnet-4-5", ResponseFormat::JsonObject).is_some());
    assert!(choice("claude-sonnet-4-5", samples::city_format(true)).is_none());
}

#[test]
fn with_tools_the_model_chooses_between_a_call_and_the_answer() {
    let request = Request {
        response_format: Some(ResponseFormat::JsonObject),
        tools: vec![samples::weather_tool()],
        ..samples::plain_request("claude-sonnet-4-5")
    };
    let body = body(&request);
    assert_eq!(body["tool_choice"], json!({"type": "any", "disable_parallel_tool_use": true}));
    assert_eq!(body["tools"].as_array().map(Vec::len), Some(2));
}

#[test]
fn models_that_refuse_a_forced_tool_are_told_in_words() {
    let request = Request {
        instructions: "Be brief.".into(),
        response_format: Some(ResponseFormat::JsonObject),
        ..samples::plain_request("claude-opus-5-5")
    };
    let told = body(&request);
    assert!(told["system"][0]["text"].as_str().unwrap().starts_with("Be brief.\n\nWhen you answer in text"));
    assert!(told.get("tools").is_none() && told.get("tool_choice").is_none());

    for choice in [ToolChoice::Required, ToolChoice::Named("get_weather".into())] {
        let request = Request {
            tools: vec![samples::weather_tool()],
            tool_choice: choice,
            reasoning_effort: Some(Effort::Low),
            ..samples::plain_request("claude-fable-5-1")
        };
        let body = body(&request);
        assert_eq!(body["tool_choice"], json!({"type": "auto"}));
        assert_eq!(body["thinking"]["type"], "adaptive");
        let request = Request { model: "claude-opus-5".into(), ..request };
        assert_ne!(
            encode(&request, &samples::credentials(), 8_192).body["tool_choice"],
            json!({"type": "auto"})
        );
    }
    let strict = Request { response_format: Some(samples::city_format(true)), ..request };
    assert_eq!(body(&strict)["output_config"]["format"]["type"], "json_schema");
}

#[test]
fn a_schema_that_leaves_out_its_type_is_one_of_an_object() {
    let tool = Tool { parameters: json!({}), ..samples::weather_tool() };
    let request = Request { tools: vec![tool], ..samples::plain_request("claude-sonnet-4-5") };
    assert_eq!(body(&request)["tools"][0]["input_schema"], json!({"type": "object"}));
}

#[test]
fn bounds_are_left_out_of_what_the_model_is_held_to() {
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}});
    let tool = |strict| Tool { parameters: schema.clone(), strict, ..samples::weather_tool() };
    let format = ResponseFormat::JsonSchema { name: "a".into(), schema: schema.clone(), strict: true };
    let request = Request {
        tools: vec![tool(true), tool(false)],
        response_format: Some(format),
        ..samples::plain_request("claude-sonnet-4-5")
    };
    let body = body(&request);
    let has_bound = |place: &str| body.pointer(place).unwrap()["properties"]["age"].get("minimum").is_some();
    assert!(!has_bound("/output_config/format/schema"));
    assert!(!has_bound("/tools/0/input_schema"));
    assert!(has_bound("/tools/1/input_schema"));
}

#[test]
fn effort_becomes_a_budget_or_an_effort_by_generation() {
    let thinking = |model: &str, effort, most| {
        let body = body(&Request {
            reasoning_effort: Some(effort),
            max_output_tokens: most,
            sampling: Map::from_iter([("temperature".to_owned(), json!(0.5))]),
            ..samples::plain_request(model)
        });
        (
            body["thinking"].clone(),
            body["output_config"]["effort"].clone(),
            body["max_tokens"].clone(),
            body["temperature"].clone(),
        )
    };
    let budget = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    let adaptive = json!({"type": "adaptive"});
    let shown = json!({"type": "adaptive", "display": "summarized"});
    let null = Value::Null;
    let check = |model, effort, most, expected: (&Value, Value, u64, Value)| {
        let (block, word, tokens, temperature) = expected;
        assert_eq!(
            thinking(model, effort, most),
            (block.clone(), word, json!(tokens), temperature),
            "{model} {effort:?} {most:?}"
        );
    };
    check("claude-sonnet-4-5", Effort::Medium, None, (&budget(8_192), null.clone(), 16_384, null.clone()));
    check(
        "claude-sonnet-4-5",
        Effort::High,
        Some(4_000),
        (&budget(3_000), null.clone(), 4_000, null.clone()),
    );
    check("claude-sonnet-4-5", Effort::High, Some(1_000), (&null, null.clone(), 1_000, json!(0.5)));
    check("claude-sonnet-4-5", Effort::None, None, (&null, null.clone(), 8_192, json!(0.5)));
    check("claude-3-5-haiku-latest", Effort::High, None, (&null, null.clone(), 8_192, json!(0.5)));
    check("claude-opus-4-6", Effort::ExtraHigh, None, (&adaptive, json!("high"), 31_744, null.clone()));
    check("claude-opus-4-7", Effort::High, None, (&shown, json!("high"), 24_576, null.clone()));
    check("claude-sonnet-5", Effort::ExtraHigh, None, (&shown, json!("xhigh"), 31_744, null.clone()));
    check("claude-sonnet-5", Effort::None, Some(500), (&null, json!("low"), 500, null.clone()));
}

#[test]
fn thoughts_go_back_in_front_of_the_answer_that_is_under_way() {
    let thought = json!({"type": "thinking", "thinking": "Look it up.", "signature": "c2ln"});
    let mut call = samples::call("toolu_1", "get_weather", "{}");
    call.provider_data = Some(json!({"anthropic": {"thinking": [thought]}}));
    let mut request = Request {
        turns: vec![
            user("Weather?"),
            Turn::Assistant { text: "One moment.".into() },
            Turn::ToolCall(call),
            samples::result("toolu_1", "get_weather", "21"),
        ],
        reasoning_effort: Some(Effort::Low),
        ..samples::plain_request("claude-sonnet-4-5")
    };
    let kinds = |body: &Value| -> Vec<String> {
        let blocks = body["messages"][1]["content"].as_array().unwrap();
        blocks.iter().map(|block| block["type"].as_str().unwrap().to_owned()).collect()
    };
    let encoded = body(&request);
    assert_eq!(kinds(&encoded), ["thinking", "text", "tool_use"]);
    assert!(encoded.get("thinking").is_some());

    let shown = Turn::User {
        text: String::new(),
        attachments: vec![Attachment::ImageUrl("https://a.example/x".into())],
    };
    request.turns.push(shown);
    assert_eq!(kinds(&body(&request)), ["thinking", "text", "tool_use"], "the tool has shown an image");
    let binding = Request { model: "claude-opus-5-5".into(), ..request.clone() };
    assert_eq!(kinds(&body(&binding)), ["text", "tool_use"], "whose words these are cannot be told");

    request.turns.extend([Turn::Assistant { text: "Warm.".into() }, user("And now?")]);
    assert_eq!(kinds(&body(&request)), ["text", "tool_use"], "an answer of the past has no need of them");
}

#[test]
fn thoughts_between_calls_go_back_to_their_places() {
    let thought = |text: &str| json!({"type": "thinking", "thinking": text, "signature": "c2ln"});
    let call = |id: &str, own: Value| {
        Turn::ToolCall(ToolCall {
            provider_data: Some(json!({"anthropic": own})),
            ..samples::call(id, "now", "{}")
        })
    };
    let request = Request {
        turns: vec![
            user("What time is it, and where?"),
            Turn::Assistant { text: "Looking.".into() },
            call("a", json!({"thinking": [thought("First.")], "thinking_before_call": [thought("Second.")]})),
            call("b", json!({"thinking_before_call": [thought("Third.")]})),
            samples::result("a", "now", "noon"),
            samples::result("b", "now", "noon"),
        ],
        ..samples::plain_request("claude-opus-5-5")
    };
    let body = body(&request);
    let blocks = body["messages"][1]["content"].as_array().unwrap();
    let told: Vec<_> = blocks.iter().map(|block| block.get("thinking").unwrap_or(&block["type"])).collect();
    assert_eq!(told, ["First.", "text", "Second.", "tool_use", "Third.", "tool_use"]);
}

#[test]
fn newer_models_are_asked_to_go_on_where_nobody_has_asked_anything() {
    let last = |model: &str| {
        let turns = vec![user("Tell me a story."), Turn::Assistant { text: "Once upon a time".into() }];
        let body = body(&Request { turns, ..samples::plain_request(model) });
        let last = body["messages"].as_array().unwrap().last().unwrap().clone();
        (last["role"].clone(), last["content"][0]["text"].clone())
    };
    assert_eq!(last("claude-opus-4-6"), (json!("user"), json!("Go on.")));
    assert_eq!(last("claude-sonnet-4-5"), (json!("assistant"), json!("Once upon a time")));
}

#[test]
fn calls_of_another_provider_switch_the_budget_off() {
    let mut call = samples::call("call.1/x", "get_weather", "{}");
    call.provider_data = Some(json!({"gemini": {"thought_signature": "c2ln"}}));
    let request = Request {
        turns: vec![user("Weather?"), Turn::ToolCall(call), samples::result("call.1/x", "get_weather", "")],
        reasoning_effort: Some(Effort::Low),
        ..samples::plain_request("claude-sonnet-4-5")
    };
    let body = body(&request);
    assert!(body.get("thinking").is_none());
    assert_eq!(body["messages"][1]["content"][0]["id"], "call_1_x");
    assert_eq!(body["messages"][2]["content"][0]["tool_use_id"], "call_1_x");
}

#[test]
fn files_become_documents() {
    let with = |attachment| Request {
        turns: vec![Turn::User { text: String::new(), attachments: vec![attachment] }],
        ..samples::plain_request("claude-sonnet-4-5")
    };
    let file = |media_type: &str| Attachment::File {
        media_type: media_type.into(),
        filename: "a".into(),
        bytes: Bytes::from_static(b"hi"),
    };
    let source = |attachment| body(&with(attachment))["messages"][0]["content"][0]["source"]["type"].clone();
    assert_eq!(source(file("text/csv")), "text");
    assert_eq!(source(file("application/pdf")), "base64");
    assert_eq!(
        source(Attachment::FileUrl { url: "https://example.com/a.pdf".into(), filename: None }),
        "url"
    );
}
