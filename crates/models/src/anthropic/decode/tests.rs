use domain::response_format::ResponseFormat;

use super::*;
use crate::call::FailureKind;
use crate::samples;
use crate::wire::tests::{decode, every_early_end_is_trouble};

const TEXT: &str = include_str!("../../../tests/streams/anthropic_text.sse");
const TOOLS: &str = include_str!("../../../tests/streams/anthropic_tools.sse");
const ANSWER: &str = include_str!("../../../tests/streams/anthropic_answer_tool.sse");

#[test]
fn an_answer_is_decoded_however_it_is_cut_and_cached_input_counts_as_input() {
    assert_eq!(
        decode(TEXT, Decoder::default).unwrap(),
        [
            Event::Text("Grüß".into()),
            Event::Text(" dich".into()),
            Event::Finished {
                stop: StopReason::EndTurn,
                tokens: Tokens {
                    input: 1_210,
                    output: 12,
                    cache_read: 1_000,
                    cache_write: 200,
                    reasoning: 0
                },
            },
        ]
    );
}

#[test]
fn calls_are_handed_out_whole_and_the_first_keeps_the_thoughts() {
    let mut first = samples::call("toolu_01", "get_weather", r#"{"city": "Ulm"}"#);
    first.provider_data = Some(json!({"anthropic": {"thinking": [
        {"type": "thinking", "thinking": "Two things to look up.", "signature": "c2lnbmF0dXJl"},
        {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
    ]}}));
    assert_eq!(
        decode(TOOLS, Decoder::default).unwrap(),
        [
            Event::Reasoning("Two things".into()),
            Event::Reasoning(" to look up.".into()),
            Event::Text("Looking.".into()),
            Event::ToolCall(first),
            Event::ToolCall(samples::call("toolu_02", "now", "{}")),
            Event::Finished {
                stop: StopReason::ToolCalls,
                tokens: Tokens { input: 40, output: 90, ..Tokens::default() },
            },
        ]
    );
}

#[test]
fn thoughts_between_calls_stay_where_they_were() {
    let block = |block: Value| {
        let start = json!({"type": "content_block_start", "content_block": block});
        format!("data: {start}\n\ndata: {}\n\n", json!({"type": "content_block_stop"}))
    };
    let thought = |text: &str| json!({"type": "thinking", "thinking": text, "signature": "c2ln"});
    let call = |id: &str| block(json!({"type": "tool_use", "id": id, "name": "now", "input": {}}));
    let stream = [
        block(thought("First.")),
        block(json!({"type": "text", "text": "Looking."})),
        block(thought("Second.")),
        call("a"),
        block(thought("Third.")),
        call("b"),
        call("c"),
        "data: {\"type\":\"message_stop\"}\n\n".to_owned(),
    ]
    .concat();
    let events = decode(&stream, Decoder::default).unwrap();
    let kept = events.iter().filter_map(|event| match event {
        Event::ToolCall(call) => Some(call.provider_data.clone().unwrap_or_default()),
        _ => None,
    });
    let expected = [
        json!({"anthropic": {"thinking": [thought("First.")], "thinking_before_call": [thought("Second.")]}}),
        json!({"anthropic": {"thinking_before_call": [thought("Third.")]}}),
        Value::Null,
    ];
    assert_eq!(kept.collect::<Vec<_>>(), expected);
}

#[test]
fn the_input_of_the_answering_tool_is_the_text() {
    let request = Request {
        response_format: Some(ResponseFormat::JsonObject),
        ..samples::plain_request("claude-sonnet-4-5")
    };
    let events = decode(ANSWER, || Decoder::new(&request)).unwrap();
    assert_eq!(
        events,
        [
            Event::Text("{\"city\":".into()),
            Event::Text("\"Ulm\"}".into()),
            Event::Finished {
                stop: StopReason::EndTurn,
                tokens: Tokens { input: 5, output: 9, ..Tokens::default() },
            },
        ]
    );
    let plain = decode(ANSWER, Decoder::default).unwrap();
    assert!(
        matches!(plain[0], Event::ToolCall(_)),
        "a tool of that name is a tool where none was asked to answer"
    );
}

#[test]
fn a_cut_stream_is_trouble() {
    for stream in [TEXT, TOOLS] {
        every_early_end_is_trouble(stream, "event: message_delta", Decoder::default);
    }
}

#[test]
fn stop_reasons_are_mapped() {
    assert_eq!(stop_of("max_tokens"), Some(StopReason::MaxTokens));
    assert_eq!(stop_of("refusal"), Some(StopReason::ContentFilter));
    assert_eq!(stop_of("stop_sequence"), Some(StopReason::EndTurn));
    assert_eq!(stop_of("something_new"), Some(StopReason::EndTurn));
}

#[test]
fn errors_in_the_stream_are_told_apart() {
    let kind = |word: &str| {
        let event = json!({"type": "error", "error": {"type": word, "message": "m"}});
        decode(&format!("event: error\ndata: {event}\n\n"), Decoder::default).unwrap_err().kind
    };
    assert_eq!(kind("overloaded_error"), FailureKind::Unavailable);
    assert_eq!(kind("api_error"), FailureKind::Unavailable);
    assert_eq!(kind("invalid_request_error"), FailureKind::Refused);
    assert_eq!(kind("authentication_error"), FailureKind::Refused);
}

#[test]
fn garbage_is_trouble() {
    assert_eq!(decode("data: <html>\n\n", Decoder::default), Err(Trouble::garbage()));
    assert_eq!(decode("busy\n\n", Decoder::default), Err(Trouble::cut()));
}
