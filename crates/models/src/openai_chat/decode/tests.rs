use serde_json::json;

use super::*;
use crate::call::{FailureKind, Turn};
use crate::samples;
use crate::wire::tests::{decode, every_early_end_is_trouble};

const TEXT: &str = include_str!("../../../tests/streams/chat_text.sse");
const TOOLS: &str = include_str!("../../../tests/streams/chat_tools.sse");

fn decoder() -> Decoder {
    Decoder::new(&Request::default(), "api.deepseek.com".to_owned())
}

fn chunks(chunks: &[Value]) -> Result<Vec<Event>, Trouble> {
    let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    decode(&stream, decoder)
}

#[test]
fn an_answer_is_decoded_however_it_is_cut() {
    assert_eq!(
        decode(TEXT, decoder).unwrap(),
        [
            Event::Reasoning("Be short.".into()),
            Event::Text("Hé".into()),
            Event::Text("llo".into()),
            Event::Finished {
                stop: StopReason::EndTurn,
                tokens: Tokens { input: 11, output: 7, cache_read: 4, cache_write: 0, reasoning: 3 },
            },
        ]
    );
}

#[test]
fn content_in_parts_is_read() {
    let content = |content: Value| json!({"choices": [{"delta": {"content": content}}]});
    let thinking = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]);
    let events = chunks(&[
        content(thinking),
        content(json!([{"type": "text", "text": "It is "}, {"type": "reference", "reference_ids": [1]}])),
        content(json!("noon.")),
        json!({"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}),
    ])
    .unwrap();
    let said = [Event::Reasoning("Hm.".into()), Event::Text("It is ".into()), Event::Text("noon.".into())];
    assert_eq!(events[..3], said);
    assert_eq!(events.len(), 4);
}

#[test]
fn fragments_are_joined_and_calls_without_an_id_get_one() {
    let finished = Event::Finished { stop: StopReason::ToolCalls, tokens: Tokens::default() };
    assert_eq!(
        decode(TOOLS, decoder).unwrap(),
        [
            Event::ToolCall(samples::call("call_q", "get_weather", r#"{"city":"Ulm"}"#)),
            Event::ToolCall(samples::call("call_1", "now", "{}")),
            finished,
        ]
    );
    let request =
        Request { turns: vec![Turn::ToolCall(samples::call("call_1", "now", "{}"))], ..Request::default() };
    let again = decode(TOOLS, || Decoder::new(&request, String::new())).unwrap();
    assert_eq!(again[1], Event::ToolCall(samples::call("call_2", "now", "{}")));
}

#[test]
fn a_cut_stream_is_trouble() {
    every_early_end_is_trouble(TEXT, "\"finish_reason\":\"stop\"", decoder);
    every_early_end_is_trouble(TOOLS, "\"finish_reason\":\"tool_calls\"", decoder);
}

#[test]
fn an_answer_without_usage_and_without_done_is_whole() {
    let events =
        chunks(&[json!({"choices": [{"delta": {"content": "x"}, "finish_reason": "length"}]})]).unwrap();
    assert_eq!(
        events,
        [Event::Text("x".into()), Event::Finished { stop: StopReason::MaxTokens, tokens: Tokens::default() },]
    );
}

#[test]
fn fragments_without_an_index_are_joined_by_id() {
    let fragment = |call: Value| json!({"choices": [{"delta": {"tool_calls": [call]}}]});
    let events = chunks(&[
        fragment(json!({"id": "a", "function": {"name": "f", "arguments": "{\"x\":"}})),
        fragment(json!({"function": {"arguments": "1}"}})),
        fragment(json!({"id": "b", "function": {"name": "g", "arguments": {"y": 2}}})),
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
    ])
    .unwrap();
    assert_eq!(events[0], Event::ToolCall(samples::call("a", "f", r#"{"x":1}"#)));
    assert_eq!(events[1], Event::ToolCall(samples::call("b", "g", r#"{"y":2}"#)));
    assert!(matches!(events[2], Event::Finished { stop: StopReason::ToolCalls, .. }));
}

#[test]
fn the_first_call_keeps_the_thoughts() {
    let events = chunks(&[
        json!({"choices": [{"delta": {"reasoning_content": "Look "}}]}),
        json!({"choices": [{"delta": {"reasoning_content": "it up."}}]}),
        json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "now"}}]}}]}),
        json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
    ])
    .unwrap();
    let mut call = samples::call("a", "now", "{}");
    call.provider_data =
        Some(json!({"openai_chat": {"reasoning_content": "Look it up.", "server": "api.deepseek.com"}}));
    assert_eq!(events[2], Event::ToolCall(call));
}

#[test]
fn calls_that_share_an_index_are_told_apart() {
    let fragments = |fragments: &[Value]| {
        let delta = |call: &Value| json!({"choices": [{"delta": {"tool_calls": [call]}}]});
        let mut stream: Vec<_> = fragments.iter().map(delta).collect();
        stream.push(json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}));
        chunks(&stream).unwrap()
    };
    let call = |id: &str, name: &str, arguments: &str| Event::ToolCall(samples::call(id, name, arguments));

    let same_index = fragments(&[
        json!({"index": 0, "id": "a", "function": {"name": "add", "arguments": "{\"x\":1}"}}),
        json!({"index": 0, "id": "b", "function": {"name": "add", "arguments": "{\"x\":"}}),
        json!({"index": 0, "function": {"arguments": "2}"}}),
    ]);
    assert_eq!(same_index[..2], [call("a", "add", r#"{"x":1}"#), call("b", "add", r#"{"x":2}"#)]);

    let nothing_but_a_name = fragments(&[
        json!({"id": "", "function": {"name": "add", "arguments": "{}"}}),
        json!({"id": "", "function": {"name": "add", "arguments": "{\"x\":"}}),
        json!({"id": "", "function": {"name": "add", "arguments": "2}"}}),
        json!({"id": "", "function": {"name": "now", "arguments": ""}}),
    ]);
    let expected =
        [call("call_1", "add", "{}"), call("call_2", "add", r#"{"x":2}"#), call("call_3", "now", "{}")];
    assert_eq!(nothing_but_a_name[..3], expected);

    let made_up_ids = fragments(&[
        json!({"index": 0, "id": "a", "function": {"name": "add", "arguments": "{\"x\":"}}),
        json!({"index": 0, "id": "b", "function": {"arguments": "1}"}}),
    ]);
    assert!(matches!(&made_up_ids[0], Event::ToolCall(call) if call.arguments == r#"{"x":1}"#));
    assert_eq!(made_up_ids.len(), 2);
}

#[test]
fn reasons_to_finish_are_mapped() {
    let stop = |reason: &str| -> Result<StopReason, Trouble> {
        let choice = json!({"delta": {"content": "x"}, "finish_reason": reason});
        match chunks(&[json!({"choices": [choice]})])?.pop() {
            Some(Event::Finished { stop, .. }) => Ok(stop),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stop("stop"), Ok(StopReason::EndTurn));
    assert_eq!(stop("length"), Ok(StopReason::MaxTokens));
    assert_eq!(stop("model_length"), Ok(StopReason::MaxTokens));
    assert_eq!(stop("content_filter"), Ok(StopReason::ContentFilter));
    assert_eq!(stop("something_new"), Ok(StopReason::EndTurn));
    for broken_off in ["error", "insufficient_system_resource", "abort"] {
        assert_eq!(stop(broken_off).unwrap_err().kind, FailureKind::Unavailable, "{broken_off}");
    }
}

#[test]
fn a_refusal_is_text_that_the_filter_stopped() {
    let events = chunks(&[
        json!({"choices": [{"delta": {"refusal": "I cannot."}}]}),
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
    ])
    .unwrap();
    assert_eq!(events[0], Event::Text("I cannot.".into()));
    assert!(matches!(events[1], Event::Finished { stop: StopReason::ContentFilter, .. }));
}

#[test]
fn errors_in_the_stream_are_told_apart() {
    let kind = |error: Value| chunks(&[json!({"error": error})]).unwrap_err().kind;
    assert_eq!(kind(json!({"code": 502, "message": "upstream"})), FailureKind::Unavailable);
    assert_eq!(kind(json!("out of memory")), FailureKind::Unavailable);
    assert_eq!(kind(json!({"code": 429, "message": "slow down"})), FailureKind::Unavailable);
    assert_eq!(kind(json!({"type": "invalid_request_error", "message": "m"})), FailureKind::Refused);
    for status in [400, 401, 402, 403] {
        assert_eq!(kind(json!({"code": status, "message": "m"})), FailureKind::Refused, "{status}");
    }
    assert_eq!(kind(json!({"code": "insufficient_quota", "message": "m"})), FailureKind::Refused);
    assert_eq!(kind(json!({"code": "invalid_api_key", "message": "m"})), FailureKind::Refused);
}

#[test]
fn garbage_is_trouble() {
    assert_eq!(decode("data: nonsense\n\n", decoder), Err(Trouble::garbage()));
    assert_eq!(decode("{\"choices\":[]}", decoder), Err(Trouble::cut()));
}

#[test]
fn calls_without_end_are_trouble() {
    let fragments: Vec<_> =
        (0..=MOST_CALLS).map(|index| json!({"index": index, "id": index.to_string()})).collect();
    let mut decoder = decoder();
    let chunk = json!({"choices": [{"delta": {"tool_calls": fragments}}]});
    let event = SseEvent { name: String::new(), data: chunk.to_string() };
    assert_eq!(decoder.on_event(&event), Err(Trouble::garbage()));
}
