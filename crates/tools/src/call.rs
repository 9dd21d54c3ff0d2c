//! A call as the rest of the server sees it, and what may come of it.

use bytes::Bytes;
use domain::ids::{RunId, SmithId};
use serde_json::{Map, Value};

/// One call of a tool, with arguments that fit its schema.
#[derive(Clone, Debug)]
pub struct Call {
    /// The tool's own name at its source, whatever the model knows it as.
    pub tool: String,
    pub args: Map<String, Value>,
    /// Free text, unique in its run.
    pub call_id: String,
    /// Stays the same however often the call is made: `<run id>::<call id>`.
    pub idempotency_key: String,
    pub run: RunId,
    pub smith: SmithId,
    pub thread_id: String,
    /// For a call that is made again because the tool had asked something back.
    pub resumption: Option<Resumption>,
    pub person: Person,
}

/// What tools may know of the person that the smith works for.
#[derive(Clone, Debug, Default)]
pub struct Person {
    pub external_id: Option<String>,
    pub locale: Option<String>,
    /// An IANA name.
    pub timezone: Option<String>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Answered(Answer),
    /// The tool wants to know something from the person before it goes on.
    Asks {
        questions: Vec<Elicitation>,
        /// Opaque, to be given back with the answers.
        request_state: Option<String>,
    },
}

/// A tool's answer, an error included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What the model reads: text, or JSON as text.
    pub output: String,
    pub is_error: bool,
    /// Images and files for the model besides the text.
    pub attachments: Vec<Attachment>,
    /// What the person may want to say next; from `suggest_replies` only.
    pub suggested_replies: Vec<String>,
    /// What is wrong with the source of the tool, for its `last_call_error`: no arguments, no results, no secrets.
    pub trouble: Option<String>,
}

impl Answer {
    pub fn text(output: impl Into<String>) -> Self {
        Self { output: output.into(), ..Self::default() }
    }

    /// Makes an answer that tells the model what went wrong and what it may do about it.
    pub fn error(output: impl Into<String>) -> Self {
        Self { output: output.into(), is_error: true, ..Self::default() }
    }
}

/// An image or a file that a tool gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub media_type: String,
    pub filename: String,
    pub bytes: Bytes,
}

/// A question of a tool to the person.
#[derive(Clone, Debug, PartialEq)]
pub struct Elicitation {
    /// Tells the questions of one call apart.
    pub key: String,
    pub message: String,
    /// A JSON Schema of an object.
    pub requested_schema: Value,
}

/// The answers to what a tool has asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Resumption {
    pub request_state: Option<String>,
    /// By the key of the question.
    pub replies: Vec<(String, Reply)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Accept(Value),
    Decline,
}
