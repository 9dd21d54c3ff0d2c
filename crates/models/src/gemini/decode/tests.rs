use super::*;
use crate::call::FailureKind;
use crate::samples;
use crate::wire::tests::{decode, every_early_end_is_trouble};

const TEXT: &str = include_str!("../../../tests/streams/gemini_text.sse");
const TOOLS: &str = include_str!("../../../tests/streams/gemini_tools.sse");

fn decoder() -> Decoder {
    Decoder::new(&Request::default())
}

fn one(value: &Value) -> Result<Vec<Event>, Trouble> {
    decode(&format!("data: {value}\r\n\r\n"), decoder)
}

#[test]
fn an_answer_is_decoded_however_it_is_cut_and_thoughts_count_as_output() {
    assert_eq!(
        decode(TEXT, decoder).unwrap(),
        [
            Event::Reasoning("A greeting.".into()),
            Event::Text("Grüß".into()),
            Event::Text(" dich".into()),
            Event::Finished {
                stop: StopReason::EndTurn,
                tokens: Tokens { input: 30, output: 17, cache_read: 16, cache_write: 0, reasoning: 12 },
            },
        ]
    );
}

#[test]
fn calls_keep_their_signature_and_get_an_id_where_they_have_none() {
    let mut signed = samples::call("call_1", "get_weather", r#"{"city":"Ulm"}"#);
    signed.provider_data = Some(json!({"gemini": {"thought_signature": "c2lnbmF0dXJl"}}));
    let mut named = samples::call("fc-9", "now", "{}");
    named.provider_data = Some(json!({"gemini": {"id": "fc-9"}}));
    assert_eq!(
        decode(TOOLS, decoder).unwrap(),
        [
            Event::ToolCall(signed),
            Event::ToolCall(samples::call("call_2", "now", "{}")),
            Event::ToolCall(named),
            Event::Finished {
                stop: StopReason::ToolCalls,
                tokens: Tokens { input: 80, output: 30, ..Tokens::default() },
            },
        ]
    );
}

#[test]
fn a_cut_stream_is_trouble() {
    // The last chunk holds the end, so a stream is whole only with the whole of it.
    let last = TEXT.rfind("data: ").unwrap();
    every_early_end_is_trouble(TEXT, &TEXT[last..], decoder);
    let last = TOOLS.rfind("data: ").unwrap();
    every_early_end_is_trouble(TOOLS, &TOOLS[last..], decoder);
}

#[test]
fn reasons_to_finish_are_mapped() {
    let stop = |reason: &str| {
        let value = json!({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": reason}]});
        match one(&value).unwrap().pop() {
            Some(Event::Finished { stop, .. }) => stop,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stop("STOP"), StopReason::EndTurn);
    assert_eq!(stop("MAX_TOKENS"), StopReason::MaxTokens);
    assert_eq!(stop("SAFETY"), StopReason::ContentFilter);
    assert_eq!(stop("PROHIBITED_CONTENT"), StopReason::ContentFilter);
    assert_eq!(stop("OTHER"), StopReason::EndTurn);
}

#[test]
fn an_answer_that_never_began_is_trouble_or_filtered() {
    let lost = one(&json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]})).unwrap_err();
    assert_eq!(lost.kind, FailureKind::Unavailable);
    let blocked =
        one(&json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}));
    let tokens = Tokens { input: 3, ..Tokens::default() };
    assert_eq!(blocked.unwrap(), [Event::Finished { stop: StopReason::ContentFilter, tokens }]);
}

#[test]
fn errors_in_the_stream_are_told_apart() {
    let kind = |status: &str| {
        one(&json!({"error": {"code": 1, "status": status, "message": "m"}})).unwrap_err().kind
    };
    assert_eq!(kind("UNAVAILABLE"), FailureKind::Unavailable);
    assert_eq!(kind("RESOURCE_EXHAUSTED"), FailureKind::Unavailable);
    assert_eq!(kind("INVALID_ARGUMENT"), FailureKind::Refused);
    assert_eq!(kind("PERMISSION_DENIED"), FailureKind::Refused);
}

#[test]
fn garbage_is_trouble() {
    assert_eq!(decode("data: }{\n\n", decoder), Err(Trouble::garbage()));
    assert_eq!(decode("[{\"candidates\":[]}]", decoder), Err(Trouble::cut()));
}
