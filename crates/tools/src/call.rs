//! A call as the rest of the server sees it, and what may come of it.

use bytes::Bytes;
use domain::ids::{Id as _, RunId, SmithId};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

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

impl Call {
    /// Returns the W3C trace context of the call: the same however often it is made. The run is the trace, the call its span.
    pub fn traceparent(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let digest = Sha256::digest(self.idempotency_key.as_bytes());
        let mut span: Vec<u8> = digest.iter().take(8).copied().collect();
        // One of nothing but zeros would be none.
        if span.iter().all(|byte| *byte == 0) {
            span = vec![1; 8];
        }
        format!("00-{}-{}-01", hex(&self.run.as_bytes()), hex(&span))
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::call;

    #[test]
    fn a_call_has_one_trace_context_and_shares_the_trace_with_its_run() {
        let first = call("pay", json!({}));
        let mut second = first.clone();
        second.idempotency_key.push('2');
        let (one, other) = (first.traceparent(), second.traceparent());
        assert_eq!(one, first.traceparent());
        assert_ne!(one, other);
        assert_eq!(one[..36], other[..36]);
        let parts: Vec<_> = one.split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len(), parts[3]), ("00", 32, 16, "01"));
        assert!(
            one.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        );
    }
}
