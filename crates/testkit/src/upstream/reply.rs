//! What the fake provider is to answer.

use serde_json::Value;

use super::Gate;

/// Tokens of a generation. `input` contains `cached`, `output` contains `reasoning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub cached: u64,
    pub reasoning: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { input: 12, output: 5, cached: 0, reasoning: 0 }
    }
}

/// A call of a tool that the model asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: Value,
}

/// Why the model stops. With tool calls the wires say so by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    EndTurn,
    MaxTokens,
    ContentFilter,
}

/// How a reply breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing more comes, and the connection stays open.
    Stall,
    /// Bytes come that are neither text nor JSON, then the reply ends.
    Garbage,
    /// The connection breaks.
    Drop,
    /// The reply ends as if it were whole, without its last event.
    EndEarly,
    /// The provider tells of an error of its own in the stream, then ends.
    ErrorEvent,
}

/// One scripted reply; the same script serves all wires, streamed or not.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) chunks: Vec<String>,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) usage: Usage,
    pub(super) stop: Stop,
    pub(super) gate: Option<Gate>,
    pub(super) stalls_before_head: bool,
    /// The fault, and after how many pieces (chunks and tool calls) it strikes.
    pub(super) fault: Option<(Fault, usize)>,
}

impl Reply {
    /// Answers with a text, streamed in the chunks given.
    pub fn chunks<Chunk: Into<String>>(chunks: impl IntoIterator<Item = Chunk>) -> Self {
        Self {
            status: 200,
            retry_after: None,
            chunks: chunks.into_iter().map(Into::into).collect(),
            tool_calls: Vec::new(),
            usage: Usage::default(),
            stop: Stop::EndTurn,
            gate: None,
            stalls_before_head: false,
            fault: None,
        }
    }

    /// Answers with a text in one chunk.
    pub fn text(text: &str) -> Self {
        Self::chunks([text])
    }

    /// Answers with a text cut into so many chunks of about the same length, never inside a character.
    pub fn text_in(text: &str, count: usize) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let size = characters.len().div_ceil(count.max(1)).max(1);
        Self::chunks(characters.chunks(size).map(|chunk| chunk.iter().collect::<String>()))
    }

    /// Answers with one tool call and no text.
    pub fn tool_call(id: &str, name: &str, arguments: Value) -> Self {
        Self::chunks(Vec::<String>::new()).and_tool_call(id, name, arguments)
    }

    /// Refuses with a status and the provider's own error body.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::text("") }
    }

    /// Never answers, not even with the head of a response.
    pub fn silence() -> Self {
        Self { stalls_before_head: true, ..Self::text("") }
    }

    pub fn and_tool_call(mut self, id: &str, name: &str, arguments: Value) -> Self {
        self.tool_calls.push(ToolCall { id: id.to_owned(), name: name.to_owned(), arguments });
        self
    }

    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Sends a `Retry-After` header of this value.
    pub fn with_retry_after(mut self, value: &str) -> Self {
        self.retry_after = Some(value.to_owned());
        self
    }

    /// Passes each piece through a gate.
    pub fn through(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Breaks after so many pieces; 0 is after the head and the opening events.
    pub fn breaking(mut self, fault: Fault, after: usize) -> Self {
        self.fault = Some((fault, after));
        self
    }

    pub(super) fn whole_text(&self) -> String {
        self.chunks.concat()
    }
}
