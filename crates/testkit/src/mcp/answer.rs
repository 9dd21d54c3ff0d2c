//! What the fake server offers and says.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::upstream::Gate;

/// A tool of the server, and what it answers.
#[derive(Clone, Debug)]
pub struct Tool {
    pub(super) definition: Value,
    pub(super) answer: Answer,
}

impl Tool {
    /// Makes a tool that takes any object and answers `done`.
    pub fn new(name: &str) -> Self {
        Self::raw(json!({
            "name": name,
            "description": format!("Does {name}."),
            "inputSchema": {"type": "object", "properties": {}},
        }))
    }

    /// Makes a tool with a definition of any shape.
    pub fn raw(definition: Value) -> Self {
        Self { definition, answer: Answer::text("done") }
    }

    /// Sets the JSON Schema of its arguments.
    #[must_use]
    pub fn schema(mut self, schema: Value) -> Self {
        self.definition["inputSchema"] = schema;
        self
    }

    /// Says something of itself, such as `readOnlyHint`.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> Self {
        self.definition["annotations"][hint] = Value::Bool(true);
        self
    }

    /// Sets what it answers where a test has scripted nothing else.
    #[must_use]
    pub fn answers(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    pub(super) fn name(&self) -> &str {
        self.definition["name"].as_str().unwrap_or_default()
    }
}

/// An answer to one request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) body: Body,
    /// What is answered once the questions of this one are.
    pub(super) then: Option<Box<Self>>,
    pub(super) is_json: bool,
    pub(super) progress: usize,
    pub(super) pace: Duration,
    pub(super) gate: Option<Gate>,
    pub(super) asks: Option<String>,
    pub(super) fault: Option<Fault>,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Result(Value),
    Error { code: i64, message: String, data: Value },
}

/// What goes wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is refused with this status and a body that is no message of the protocol.
    Status(u16),
    /// The error of the answer comes with this status.
    ErrorStatus(u16),
    /// Nothing is answered, not even a status.
    Silence,
    /// The stream begins, and nothing follows.
    Stall,
    /// The connection breaks before the answer.
    Drop,
    /// The stream ends without the answer.
    EndEarly,
    /// The stream ends after an event with an id. The answer is had by asking for the rest.
    EndNamed,
    /// The answer is for another request.
    WrongId,
    /// The answer is no JSON, although it says so.
    Garbage,
    /// The answer is a page.
    Html,
}

impl Answer {
    /// Makes a result of any shape.
    pub fn result(result: Value) -> Self {
        Self {
            body: Body::Result(result),
            then: None,
            is_json: false,
            progress: 0,
            pace: Duration::ZERO,
            gate: None,
            asks: None,
            fault: None,
        }
    }

    pub fn text(text: &str) -> Self {
        Self::content(json!([{"type": "text", "text": text}]))
    }

    /// Makes a result of these blocks of content.
    pub fn content(blocks: Value) -> Self {
        Self::result(json!({"content": blocks}))
    }

    /// Makes the result of a tool that has failed.
    pub fn failed(text: &str) -> Self {
        Self::result(json!({"content": [{"type": "text", "text": text}], "isError": true}))
    }

    /// Makes an error of the protocol.
    pub fn error(code: i64, message: &str) -> Self {
        Self {
            body: Body::Error { code, message: message.into(), data: Value::Null },
            ..Self::result(Value::Null)
        }
    }

    /// Makes questions to the person, by their keys, in revision 2026-07-28.
    pub fn asking(requests: Value, state: Option<&str>) -> Self {
        let mut result = Map::new();
        result.insert("resultType".into(), "input_required".into());
        result.insert("inputRequests".into(), requests);
        if let Some(state) = state {
            result.insert("requestState".into(), state.into());
        }
        Self::result(Value::Object(result))
    }

    /// Makes a question for a form, under the key `form`.
    pub fn asking_form(message: &str, schema: Value, state: &str) -> Self {
        let params = json!({"mode": "form", "message": message, "requestedSchema": schema});
        Self::asking(json!({"form": {"method": "elicitation/create", "params": params}}), Some(state))
    }

    /// Says what is answered to a call that brings answers or a state back.
    #[must_use]
    pub fn then(mut self, answer: Self) -> Self {
        self.then = Some(Box::new(answer));
        self
    }

    /// Answers with one JSON object instead of a stream.
    #[must_use]
    pub const fn as_json(mut self) -> Self {
        self.is_json = true;
        self
    }

    /// Tells of its progress so many times before the answer.
    #[must_use]
    pub const fn progress(mut self, times: usize) -> Self {
        self.progress = times;
        self
    }

    /// Waits so long before each thing that it says.
    #[must_use]
    pub const fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Passes the gate before each notice of progress and before the answer.
    #[must_use]
    pub fn gated(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Sends a request of its own first, as servers of older revisions may.
    #[must_use]
    pub fn asking_the_client(mut self, method: &str) -> Self {
        self.asks = Some(method.into());
        self
    }

    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Writes the answer as a message.
    pub(super) fn message(&self, id: &Value, is_stateless: bool) -> String {
        let id = if self.fault == Some(Fault::WrongId) { json!(4_000_000) } else { id.clone() };
        let message = match &self.body {
            Body::Error { code, message, data } => {
                let mut error = json!({"code": code, "message": message});
                if !data.is_null() {
                    error["data"] = data.clone();
                }
                json!({"jsonrpc": "2.0", "id": id, "error": error})
            }
            Body::Result(result) => {
                let mut result = result.clone();
                if let Some(fields) = result.as_object_mut().filter(|_| is_stateless) {
                    fields.entry("resultType").or_insert_with(|| "complete".into());
                }
                json!({"jsonrpc": "2.0", "id": id, "result": result})
            }
        };
        message.to_string()
    }
}
