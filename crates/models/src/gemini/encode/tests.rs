use serde_json::json;

use super::*;
use crate::call::{Attachment, Turn};
use crate::samples::{self, user};

fn body(request: &Request) -> Value {
    encode(request, &samples::credentials()).body
}

#[test]
fn a_full_request_is_encoded() {
    let wire = encode(&samples::full_request("gemini-3-pro-preview"), &samples::credentials());
    assert_eq!(wire.path, ["models", "gemini-3-pro-preview:streamGenerateContent"]);
    assert_eq!(wire.query, Some(("alt", "sse")));
    assert_eq!(wire.headers[0].1, samples::KEY);
    insta::assert_json_snapshot!(wire.body);
}

#[test]
fn a_plain_request_has_nothing_that_was_not_asked_for() {
    insta::assert_json_snapshot!(body(&samples::plain_request("models/gemini-2.5-flash")), @r#"
    {
      "contents": [
        {
          "role": "user",
          "parts": [
            {
              "text": "Hello"
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_form_beside_tools_is_told_in_words_to_older_models() {
    let request = |model| Request {
        response_format: Some(samples::city_format(true)),
        tools: vec![samples::weather_tool()],
        ..samples::plain_request(model)
    };
    let older = body(&request("gemini-2.5-pro"));
    assert!(older["systemInstruction"]["parts"][0]["text"].as_str().unwrap().contains("JSON Schema"));
    assert!(older.get("generationConfig").is_none());
    let newer = body(&request("gemini-3-flash-preview"));
    assert!(newer.get("systemInstruction").is_none());
    assert_eq!(newer["generationConfig"]["responseMimeType"], "application/json");
}

#[test]
fn effort_becomes_a_level_or_a_budget_by_generation() {
    let config = |model: &str, effort| thinking(effort, model).unwrap_or_default();
    let check = |model, effort, name: &str, expected: Value| {
        assert_eq!(config(model, effort)[name], expected, "{model} {effort:?}");
    };
    check("gemini-3-pro-preview", Effort::Medium, "thinkingLevel", json!("high"));
    check("gemini-3.1-pro-preview", Effort::Medium, "thinkingLevel", json!("medium"));
    check("gemini-3-pro-preview", Effort::None, "thinkingLevel", json!("low"));
    check("gemini-3-flash-preview", Effort::None, "thinkingLevel", json!("minimal"));
    check("gemini-3-flash-preview", Effort::None, "includeThoughts", json!(false));
    check("gemini-2.5-flash", Effort::None, "thinkingBudget", json!(0));
    check("gemini-2.5-pro", Effort::None, "thinkingBudget", json!(128));
    check("gemini-2.5-pro", Effort::ExtraHigh, "thinkingBudget", json!(24_576));
    check("gemini-2.5-pro", Effort::ExtraHigh, "includeThoughts", json!(true));
    assert_eq!(thinking(Effort::High, "gemini-2.0-flash"), None);
}

#[test]
fn the_generation_is_read_from_the_name() {
    for newer in ["gemini-3-pro-preview", "gemini-3.5-flash", "gemini-10-pro", "gemini-flash-latest"] {
        assert!(is_third_generation(newer), "{newer}");
    }
    for older in ["gemini-2.5-pro", "gemini-1.5-flash-latest", "gemini-pro", "gemma-3-27b-it"] {
        assert!(!is_third_generation(older), "{older}");
    }
}

#[test]
fn signatures_and_ids_go_back_with_their_call() {
    let mut call = samples::call("fc-1", "get_weather", r#"{"city":"Ulm"}"#);
    call.provider_data = Some(json!({"gemini": {"thought_signature": "c2ln", "id": "fc-1"}}));
    let foreign = samples::call("toolu_1", "now", "{}");
    let request = Request {
        turns: vec![
            user("?"),
            Turn::ToolCall(call),
            samples::result("fc-1", "get_weather", "[21]"),
            Turn::ToolCall(foreign),
            samples::result("toolu_1", "now", "noon"),
        ],
        ..samples::plain_request("gemini-3-pro-preview")
    };
    insta::assert_json_snapshot!(body(&request)["contents"], @r#"
    [
      {
        "role": "user",
        "parts": [
          {
            "text": "?"
          }
        ]
      },
      {
        "role": "model",
        "parts": [
          {
            "functionCall": {
              "id": "fc-1",
              "name": "get_weather",
              "args": {
                "city": "Ulm"
              }
            },
            "thoughtSignature": "c2ln"
          }
        ]
      },
      {
        "role": "user",
        "parts": [
          {
            "functionResponse": {
              "id": "fc-1",
              "name": "get_weather",
              "response": {
                "result": [
                  21
                ]
              }
            }
          }
        ]
      },
      {
        "role": "model",
        "parts": [
          {
            "functionCall": {
              "name": "now",
              "args": {}
            },
            "thoughtSignature": "skip_thought_signature_validator"
          }
        ]
      },
      {
        "role": "user",
        "parts": [
          {
            "functionResponse": {
              "name": "now",
              "response": {
                "result": "noon"
              }
            }
          }
        ]
      }
    ]
    "#);
}

#[test]
fn attachments_are_given_inline_or_by_address() {
    let attachments = vec![
        Attachment::FileUrl { url: "https://example.com/a.pdf?x=1".into(), filename: None },
        Attachment::ImageUrl("https://example.com/a".into()),
        Attachment::FileUrl { url: "https://example.com/a.json".into(), filename: None },
        Attachment::FileUrl { url: "https://example.com/a.MP4#t=1".into(), filename: None },
        Attachment::FileUrl { url: "https://example.com/a".into(), filename: None },
    ];
    let request = Request {
        turns: vec![Turn::User { text: String::new(), attachments }],
        ..samples::plain_request("gemini-2.5-flash")
    };
    let parts = &body(&request)["contents"][0]["parts"];
    assert_eq!(parts[0]["fileData"]["mimeType"], "application/pdf");
    assert_eq!(parts[1]["fileData"]["fileUri"], "https://example.com/a");
    let types: Vec<_> = (2..5).map(|at| &parts[at]["fileData"]["mimeType"]).collect();
    assert_eq!(types, ["application/json", "video/mp4", "application/pdf"]);
}
