//! The wires of the providers: from a scripted reply to what travels.

mod anthropic;
mod chat;
mod embeddings;
mod gemini;
mod responses;

use serde_json::{Value, json};

use super::{Received, Reply};

/// A provider's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Responses,
    Chat,
    Embeddings,
    Anthropic,
    Gemini,
}

/// Bytes that are sent at once. Gates and faults lie before the gated ones.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) is_gated: bool,
}

/// A reply on a wire: streamed, and as a whole.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) pieces: Vec<Piece>,
    pub(super) whole: Value,
}

impl Piece {
    fn opening(text: String) -> Self {
        Self { text, is_gated: false }
    }

    fn gated(text: String) -> Self {
        Self { text, is_gated: true }
    }
}

impl Script {
    /// Leaves out the events up to a sequence number.
    pub(super) fn after(mut self, number: Option<u64>) -> Self {
        let Some(number) = number else {
            return self;
        };
        for piece in &mut self.pieces {
            let events = piece.text.split_inclusive("\n\n");
            piece.text =
                events.filter(|event| sequence_number(event).is_none_or(|its| its > number)).collect();
        }
        self.pieces.retain(|piece| !piece.text.is_empty());
        self
    }
}

fn sequence_number(event: &str) -> Option<u64> {
    let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
    serde_json::from_str::<Value>(data).ok()?.get("sequence_number")?.as_u64()
}

impl Wire {
    pub(super) fn of(received: &Received) -> Option<Self> {
        let path = received.path.as_str();
        match received.method.as_str() {
            "POST" if path.ends_with("/responses") => Some(Self::Responses),
            "POST" if path.ends_with("/chat/completions") => Some(Self::Chat),
            "POST" if path.ends_with("/embeddings") => Some(Self::Embeddings),
            "POST" if path.ends_with("/messages") => Some(Self::Anthropic),
            "POST" if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") => {
                Some(Self::Gemini)
            }
            _ => None,
        }
    }

    /// Returns the id in `.../responses/{id}` or `.../responses/{id}/cancel`.
    pub(super) fn stored_id(path: &str) -> Option<&str> {
        let (_, id) = path.split_once("/responses/")?;
        Some(id.strip_suffix("/cancel").unwrap_or(id))
    }

    pub(super) fn is_streamed(self, received: &Received) -> bool {
        match self {
            Self::Gemini => received.path.ends_with(":streamGenerateContent"),
            _ => received.body.get("stream") == Some(&Value::Bool(true)),
        }
    }

    pub(super) fn script(self, reply: &Reply, request: &Value, number: usize) -> Script {
        match self {
            Self::Responses => responses::script(reply, request, number),
            Self::Chat => chat::script(reply, request, number),
            Self::Embeddings => embeddings::script(reply, request),
            Self::Anthropic => anthropic::script(reply, request, number),
            Self::Gemini => gemini::script(reply, number),
        }
    }

    /// Returns the body of a refusal. Its message repeats nothing of the request.
    pub(super) fn error(self, status: u16) -> Value {
        let message = format!("scripted refusal {status}");
        match self {
            Self::Responses | Self::Chat | Self::Embeddings => {
                let (kind, code) = match status {
                    401 => ("invalid_request_error", "invalid_api_key"),
                    404 => ("invalid_request_error", "model_not_found"),
                    429 => ("requests", "rate_limit_exceeded"),
                    500.. => ("server_error", "server_error"),
                    _ => ("invalid_request_error", "invalid_value"),
                };
                json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
            }
            Self::Anthropic => {
                let kind = match status {
                    401 => "authentication_error",
                    404 => "not_found_error",
                    429 => "rate_limit_error",
                    529 => "overloaded_error",
                    500.. => "api_error",
                    _ => "invalid_request_error",
                };
                json!({"type": "error", "error": {"type": kind, "message": message}})
            }
            Self::Gemini => {
                let name = match status {
                    401 => "UNAUTHENTICATED",
                    404 => "NOT_FOUND",
                    429 => "RESOURCE_EXHAUSTED",
                    503 => "UNAVAILABLE",
                    500.. => "INTERNAL",
                    _ => "INVALID_ARGUMENT",
                };
                json!({"error": {"code": status, "message": message, "status": name}})
            }
        }
    }

    /// Returns the event by which the wire tells of an error after the stream has begun.
    pub(super) fn error_event(self) -> String {
        match self {
            Self::Responses => {
                named(&json!({"type": "error", "code": "server_error", "message": "scripted error",
                "param": null, "sequence_number": 1000}))
            }
            Self::Chat | Self::Embeddings => unnamed(&self.error(500)),
            Self::Anthropic => named(&self.error(529)),
            Self::Gemini => unnamed(&self.error(503)),
        }
    }
}

/// Writes an event whose name is the `type` of its data.
fn named(data: &Value) -> String {
    let name = data.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}

fn unnamed(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// Cuts text in two, so that a reader must join the arguments of a tool call.
fn halves(text: &str) -> [&str; 2] {
    let middle = (text.len() / 2..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let (head, tail) = text.split_at(middle);
    [head, tail]
}

fn model_of(request: &Value) -> &str {
    request.get("model").and_then(Value::as_str).unwrap_or("fake-model")
}
