//! A strict reader of event streams: what a lenient client would forgive is an error here (behaviour 6.1, 6.6).

mod parser;
mod reader;

use serde_json::Value;

pub use parser::{Event, Parser};
pub use reader::{Ended, Reader};

/// The mark that ends a stream of chat completions, which is the one frame whose data is no JSON.
pub const DONE: &str = "[DONE]";

/// One event of a stream. `event` is empty where the stream has no `event:` line; the data of `[DONE]` is that text.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub id: Option<u64>,
    pub event: String,
    pub data: Value,
}

impl Frame {
    /// Returns a text field of the payload, or the empty text.
    pub fn text(&self, field: &str) -> &str {
        self.data.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Joins the increments of a run's frames, leaving out those that a `run.resumed` has made void.
pub fn text_of(frames: &[Frame]) -> String {
    let mut deltas: Vec<&Frame> = Vec::new();
    for frame in frames {
        match frame.event.as_str() {
            "message.delta" => deltas.push(frame),
            "run.resumed" => {
                let last = frame.data.get("discard_after").and_then(Value::as_u64);
                deltas.retain(|delta| delta.id <= last);
            }
            _ => {}
        }
    }
    deltas.iter().map(|delta| delta.text("delta")).collect()
}
