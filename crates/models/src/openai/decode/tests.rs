use serde_json::json;

use super::*;
use crate::call::FailureKind;
use crate::samples;
use crate::wire::tests::{decode, every_early_end_is_trouble};

const TEXT: &str = include_str!("../../../tests/streams/openai_text.sse");
const TOOLS: &str = include_str!("../../../tests/streams/openai_tools.sse");

fn one(value: &Value) -> Result<Vec<Event>, Trouble> {
    decode(&format!("data: {value}\n\n"), Decoder::default)
}

#[test]
fn an_answer_is_decoded_however_it_is_cut() {
    let events = decode(TEXT, Decoder::default).unwrap();
    assert_eq!(
        events,
        [
            Event::Accepted { reference: "resp_01".into() },
            Event::Reasoning("A greeting.".into()),
            Event::Reasoning("\n\n".into()),
            Event::Reasoning("Greet back.".into()),
            Event::Text("Grüß".into()),
            Event::Text(" dich 👋".into()),
            Event::Finished {
                stop: StopReason::EndTurn,
                tokens: Tokens { input: 120, output: 40, cache_read: 64, cache_write: 0, reasoning: 30 },
            },
        ]
    );
}

#[test]
fn calls_are_handed_out_whole() {
    let events = decode(TOOLS, Decoder::default).unwrap();
    assert_eq!(
        events,
        [
            Event::Accepted { reference: "resp_02".into() },
            Event::ToolCall(samples::call("call_Xa", "get_weather", r#"{"city":"Ulm"}"#)),
            Event::ToolCall(samples::call("call_Xb", "now", "{}")),
            Event::Finished {
                stop: StopReason::ToolCalls,
                tokens: Tokens { input: 50, output: 20, ..Tokens::default() },
            },
        ]
    );
}

#[test]
fn a_cut_stream_is_trouble() {
    every_early_end_is_trouble(TEXT, "event: response.completed", Decoder::default);
    every_early_end_is_trouble(TOOLS, "event: response.completed", Decoder::default);
}

#[test]
fn an_incomplete_answer_says_why_it_stopped() {
    let stop = |reason: &str| {
        let response = json!({"status": "incomplete", "incomplete_details": {"reason": reason}});
        match one(&json!({"type": "response.incomplete", "response": response})).unwrap().pop() {
            Some(Event::Finished { stop, .. }) => stop,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stop("max_output_tokens"), StopReason::MaxTokens);
    assert_eq!(stop("content_filter"), StopReason::ContentFilter);
}

#[test]
fn a_refusal_is_text_that_the_filter_stopped() {
    let stream = concat!(
        "data: {\"type\":\"response.refusal.delta\",\"delta\":\"I cannot.\"}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}\n\n",
    );
    let events = decode(stream, Decoder::default).unwrap();
    assert_eq!(events[0], Event::Text("I cannot.".into()));
    assert!(matches!(events[1], Event::Finished { stop: StopReason::ContentFilter, .. }));
}

#[test]
fn errors_in_the_stream_are_told_apart() {
    let kind = |value: Value| one(&value).unwrap_err().kind;
    let failed = |code: &str| {
        kind(json!({"type": "response.failed", "response": {"error": {"code": code, "message": "m"}}}))
    };
    assert_eq!(failed("server_error"), FailureKind::Unavailable);
    assert_eq!(failed("rate_limit_exceeded"), FailureKind::Unavailable);
    assert_eq!(failed("invalid_prompt"), FailureKind::Refused);
    assert_eq!(failed("invalid_image_format"), FailureKind::Refused);
    assert_eq!(failed("insufficient_quota"), FailureKind::Refused);
    assert_eq!(
        kind(json!({"type": "error", "code": "server_error", "message": "m"})),
        FailureKind::Unavailable
    );
    assert_eq!(
        kind(json!({"type": "error", "error": {"type": "invalid_request_error", "message": "m"}})),
        FailureKind::Refused
    );
}

#[test]
fn garbage_is_trouble() {
    assert_eq!(decode("data: {\"type\":\n\n", Decoder::default), Err(Trouble::garbage()));
    assert_eq!(decode("<html>busy</html>", Decoder::default), Err(Trouble::cut()));
    assert_eq!(decode("data: [1,2]\n\n", Decoder::default), Err(Trouble::cut()));
}

#[test]
fn a_stored_answer_gives_the_events_of_its_stream() {
    let response = json!({
        "status": "completed",
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Looking."}]},
            {"type": "function_call", "call_id": "call_1", "name": "now", "arguments": "{}"},
        ],
        "usage": {"input_tokens": 9, "output_tokens": 4},
    });
    assert_eq!(
        stored(&response),
        Stored::Answer(vec![
            Event::Reasoning("Hm.".into()),
            Event::Text("Looking.".into()),
            Event::ToolCall(samples::call("call_1", "now", "{}")),
            Event::Finished {
                stop: StopReason::ToolCalls,
                tokens: Tokens { input: 9, output: 4, ..Tokens::default() },
            },
        ])
    );
}

#[test]
fn a_stored_answer_may_be_pending_or_lost() {
    assert_eq!(stored(&json!({"status": "in_progress"})), Stored::Pending);
    assert_eq!(stored(&json!({"status": "queued"})), Stored::Pending);
    for status in ["cancelled", "failed", "incomplete", "unheard_of"] {
        assert_eq!(stored(&json!({"status": status, "output": []})), Stored::Lost, "{status}");
    }
    assert_eq!(stored(&json!({"status": "completed"})), Stored::Lost);
    let limited =
        json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []});
    assert!(matches!(stored(&limited), Stored::Answer(_)));
}
