//! What the adapters have in common: the shape of a request on the wire, and steps of encoding and decoding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::items::ToolCall;
use domain::response_format::ResponseFormat;
use domain::run::StopReason;
use domain::usage::Tokens;
use egress::sse::SseEvent;
use http::HeaderName;
use serde_json::{Map, Value};

use crate::call::{Event, Request, Turn};
use crate::trouble::Trouble;

/// A request in a provider's wire, still without the provider's address.
#[derive(Debug)]
pub(crate) struct WireRequest {
    /// What is appended to the base address, one entry a path segment.
    pub(crate) path: Vec<String>,
    pub(crate) query: Option<(&'static str, &'static str)>,
    /// The values hold the key: never shown, never logged.
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Value,
}

/// Turns a provider's stream into our events.
pub(crate) trait Decode: Send {
    fn on_event(&mut self, event: &SseEvent) -> Result<Vec<Event>, Trouble>;

    /// The stream is over. Trouble if it was over too early.
    fn finish(&mut self) -> Result<Vec<Event>, Trouble>;
}

/// Reads an event's data as JSON.
pub(crate) fn json(event: &SseEvent) -> Result<Value, Trouble> {
    serde_json::from_str(&event.data).map_err(|_| Trouble::garbage())
}

/// Reads a text at a JSON pointer; empty where there is none.
pub(crate) fn text<'value>(value: &'value Value, pointer: &str) -> &'value str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Reads a number of tokens at a JSON pointer; 0 where there is none.
pub(crate) fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// The end of an answer: its calls, then how it stopped.
///
/// Calls are kept back until here because only the end tells whether the last one is whole: an answer that ran into its
/// token limit may stop in the middle of a call's arguments, and such a call must not be made.
pub(crate) fn closing(mut calls: Vec<ToolCall>, stop: StopReason, tokens: Tokens) -> Vec<Event> {
    if stop == StopReason::MaxTokens {
        calls.retain(|call| serde_json::from_str::<Value>(&call.arguments).is_ok());
    }
    // Providers do not agree on whether an answer with calls ends in `stop` or in `tool_calls`.
    let stop = match stop {
        StopReason::EndTurn if !calls.is_empty() => StopReason::ToolCalls,
        StopReason::ToolCalls if calls.is_empty() => StopReason::EndTurn,
        stop => stop,
    };
    let finished = Event::Finished { stop, tokens };
    calls.into_iter().map(Event::ToolCall).chain([finished]).collect()
}

/// Returns a call's arguments; a call without any has the empty object.
pub(crate) fn arguments_or_empty(arguments: &str) -> String {
    if arguments.trim().is_empty() { "{}".to_owned() } else { arguments.to_owned() }
}

/// Reads a call's arguments as an object, for wires that want one.
pub(crate) fn arguments_object(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => Value::Object(Map::new()),
    }
}

/// Returns the schema of a function's parameters as OpenAI takes it: of an object, with its properties, also where there are
/// none. Tools without arguments often leave them out.
pub(crate) fn parameters(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(object) = schema.as_object_mut() {
        object.entry("type").or_insert_with(|| "object".into());
        object.entry("properties").or_insert_with(|| Map::new().into());
    }
    schema
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", base64(bytes))
}

/// Copies the sampling parameters that a wire knows under the same name.
pub(crate) fn copy_sampling(request: &Request, known: &[&str], body: &mut Map<String, Value>) {
    for name in known {
        if let Some(value) = request.sampling.get(*name).filter(|value| !value.is_null()) {
            body.insert((*name).to_owned(), value.clone());
        }
    }
}

/// Reads the sampling parameter `stop`, one text or several, as a list.
pub(crate) fn stop_sequences(request: &Request) -> Vec<String> {
    match request.sampling.get("stop") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Asks for JSON: OpenAI refuses `json_object` where nobody speaks of it.
pub(crate) const NAMING_JSON: &str = "Answer with one JSON object.";

/// Returns the instructions; with `json_object` they speak of JSON, unless somebody does.
pub(crate) fn instructions_naming_json(request: &Request) -> String {
    if request.response_format != Some(ResponseFormat::JsonObject)
        || names_json(&request.instructions)
        || turns_name_json(request)
    {
        return request.instructions.clone();
    }
    with_sentence(&request.instructions, NAMING_JSON)
}

/// Appends a sentence to instructions.
pub(crate) fn with_sentence(instructions: &str, sentence: &str) -> String {
    if instructions.is_empty() { sentence.to_owned() } else { format!("{instructions}\n\n{sentence}") }
}

/// Says which form an answer is to have, for models that nothing else holds to it.
pub(crate) fn form_in_words(format: &ResponseFormat) -> String {
    match format {
        ResponseFormat::JsonObject => {
            "When you answer in text, answer with one JSON object alone, and no code fence around it."
                .to_owned()
        }
        ResponseFormat::JsonSchema { schema, .. } => format!(
            "When you answer in text, answer with JSON alone, and no code fence around it, that conforms to this JSON \
             Schema: {schema}"
        ),
    }
}

/// Tells whether somebody in the conversation speaks of JSON.
pub(crate) fn turns_name_json(request: &Request) -> bool {
    request.turns.iter().any(|turn| match turn {
        Turn::User { text, .. } | Turn::Assistant { text } => names_json(text),
        Turn::ToolCall(_) | Turn::ToolResult(_) => false,
    })
}

fn names_json(text: &str) -> bool {
    text.to_ascii_lowercase().contains("json")
}

/// Names the calls of a provider that gives them no ids, without repeating an id of the conversation.
#[derive(Debug)]
pub(crate) struct CallNames {
    taken: Vec<String>,
    next: usize,
}

impl CallNames {
    pub(crate) fn after(request: &Request) -> Self {
        let ids = request.turns.iter().filter_map(|turn| match turn {
            Turn::ToolCall(call) => Some(call.id.clone()),
            _ => None,
        });
        let taken = ids.collect::<Vec<_>>();
        Self { next: taken.len().saturating_add(1), taken }
    }

    /// Returns the provider's id, or a new one if it gave none.
    pub(crate) fn name(&mut self, given: &str) -> String {
        if !given.is_empty() {
            return given.to_owned();
        }
        loop {
            let name = format!("call_{}", self.next);
            self.next = self.next.saturating_add(1);
            if !self.taken.contains(&name) {
                return name;
            }
        }
    }
}

/// Reads what an adapter left with a call for itself.
pub(crate) fn own_data<'call>(call: &'call ToolCall, adapter: &str) -> Option<&'call Value> {
    // A thread may have been led by another provider before; its data means nothing here.
    call.provider_data.as_ref().and_then(|data| data.get(adapter))
}

/// Guesses an attachment's media type from the end of its address, where a wire wants one.
pub(crate) fn media_type_of(address: &str) -> Option<&'static str> {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending?.as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "gif" => Some("image/gif"),
        "webp" => Some("image/webp"),
        "heic" => Some("image/heic"),
        "heif" => Some("image/heif"),
        "pdf" => Some("application/pdf"),
        "txt" | "md" | "csv" | "log" => Some("text/plain"),
        "html" | "htm" => Some("text/html"),
        "xml" => Some("text/xml"),
        "json" => Some("application/json"),
        "mp3" => Some("audio/mp3"),
        "wav" => Some("audio/wav"),
        "mp4" => Some("video/mp4"),
        "mov" => Some("video/mov"),
        "webm" => Some("video/webm"),
        _ => None,
    }
}

/// Tells whether a file is text that can stand in a prompt as it is.
pub(crate) fn is_text(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    media_type.starts_with("text/") || media_type.starts_with("application/json")
}

#[cfg(test)]
pub(crate) mod tests {
    use egress::sse::Parser;
    use serde_json::json;

    use super::*;

    /// Parses a whole stream.
    fn parse(chunks: &[&[u8]]) -> Vec<SseEvent> {
        let mut parser = Parser::new(1 << 20);
        let mut events: Vec<_> =
            chunks.iter().flat_map(|chunk| parser.push(chunk).expect("the stream is small")).collect();
        events.extend(parser.finish());
        events
    }

    /// Decodes a recorded stream whole, then cut in two at every byte, and returns the events, deltas joined.
    pub(crate) fn decode<D: Decode>(stream: &str, decoder: impl Fn() -> D) -> Result<Vec<Event>, Trouble> {
        let run = |chunks: &[&[u8]]| {
            let mut decoder = decoder();
            let mut events = Vec::new();
            for event in parse(chunks) {
                events.extend(decoder.on_event(&event)?);
                if matches!(events.last(), Some(Event::Finished { .. })) {
                    return Ok(events);
                }
            }
            events.extend(decoder.finish()?);
            Ok(events)
        };
        let bytes = stream.as_bytes();
        let whole = run(&[bytes]);
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(run(&[head, tail]), whole, "cut at byte {cut}");
        }
        whole
    }

    /// A recorded stream that ends anywhere before its last line must be trouble, never a short answer.
    pub(crate) fn every_early_end_is_trouble<D: Decode>(
        stream: &str,
        terminal: &str,
        decoder: impl Fn() -> D,
    ) {
        let end = stream.find(terminal).expect("the stream has its terminal event");
        for (cut, _) in stream.char_indices().take_while(|(cut, _)| *cut < end) {
            let mut decoder = decoder();
            let events = parse(&[&stream.as_bytes()[..cut]]);
            let ended = events
                .iter()
                .try_for_each(|event| decoder.on_event(event).map(|_| ()))
                .and_then(|()| decoder.finish());
            assert!(ended.is_err(), "cut at byte {cut}");
        }
    }

    fn call(arguments: &str) -> ToolCall {
        ToolCall { id: "c".into(), name: "n".into(), arguments: arguments.into(), provider_data: None }
    }

    #[test]
    fn a_call_that_the_token_limit_cut_is_not_made() {
        let events =
            closing(vec![call("{\"a\":1}"), call("{\"a\":")], StopReason::MaxTokens, Tokens::default());
        assert_eq!(events.len(), 2);
        assert_eq!(events[0], Event::ToolCall(call("{\"a\":1}")));
    }

    #[test]
    fn the_stop_reason_agrees_with_the_calls() {
        let stop = |calls, stop| match closing(calls, stop, Tokens::default()).pop() {
            Some(Event::Finished { stop, .. }) => stop,
            other => panic!("{other:?}"),
        };
        assert_eq!(stop(vec![call("{}")], StopReason::EndTurn), StopReason::ToolCalls);
        assert_eq!(stop(vec![], StopReason::ToolCalls), StopReason::EndTurn);
        assert_eq!(stop(vec![], StopReason::ContentFilter), StopReason::ContentFilter);
    }

    #[test]
    fn new_names_avoid_those_of_the_conversation() {
        let turn = |id: &str| Turn::ToolCall(ToolCall { id: id.into(), ..call("{}") });
        let mut names = CallNames::after(&Request { turns: vec![turn("call_2")], ..Request::default() });
        assert_eq!(names.name(""), "call_3");
        assert_eq!(names.name("theirs"), "theirs");
        let mut names = CallNames::after(&Request {
            turns: vec![turn("call_4"), turn("a"), turn("b")],
            ..Request::default()
        });
        assert_eq!(names.name(""), "call_5");
    }

    #[test]
    fn a_function_without_arguments_has_properties_all_the_same() {
        let none = json!({"type": "object", "properties": {}});
        assert_eq!(parameters(&json!({})), none);
        assert_eq!(parameters(&json!({"type": "object"})), none);
        let some = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        assert_eq!(parameters(&some), some);
    }

    #[test]
    fn json_mode_speaks_of_json() {
        let mut request = Request { response_format: Some(ResponseFormat::JsonObject), ..Request::default() };
        assert_eq!(instructions_naming_json(&request), "Answer with one JSON object.");
        request.turns = vec![Turn::User { text: "As JSON, please.".into(), attachments: vec![] }];
        assert_eq!(instructions_naming_json(&request), "");
    }

    #[test]
    fn stop_is_one_text_or_several() {
        let request =
            |stop: Value| Request { sampling: Map::from_iter([("stop".into(), stop)]), ..Request::default() };
        assert_eq!(stop_sequences(&request(json!("END"))), ["END"]);
        assert_eq!(stop_sequences(&request(json!(["a", "b"]))), ["a", "b"]);
        assert!(stop_sequences(&request(json!(null))).is_empty());
    }
}
