//! Calls of tools: which the mock asks for, and when it hears of their results.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Body;

/// The fields of a request that matter here.
#[derive(Deserialize)]
pub(super) struct Request {
    pub(super) model: String,
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    tool_call_id: Option<String>,
    #[serde(default)]
    content: Value,
}

impl Request {
    /// Returns how many results of tools the model has got.
    pub(super) fn results(&self) -> usize {
        self.told().count()
    }

    pub(super) fn has_failed_results(&self) -> bool {
        self.told().any(|message| message.content.to_string().contains("error"))
    }

    fn told(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| message.role == "tool")
    }
}

/// A model that asks for a tool so many times, one call an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) tool: &'static str,
    calls: usize,
}

impl Script {
    /// Reads the name of a model.
    pub(super) fn of_model(name: &str) -> Option<Self> {
        let (tool, calls) = name.strip_prefix("mock-")?.rsplit_once('-')?;
        let tool = ["calculate", "pay"].into_iter().find(|known| *known == tool)?;
        Some(Self { tool, calls: calls.parse().ok()? })
    }

    /// Returns the arguments of the next call, none of which are those of an earlier one.
    pub(super) fn next(self, results: usize) -> Option<Value> {
        let number = results + 1;
        let arguments = match self.tool {
            "calculate" => json!({ "expression": format!("6 * {number}") }),
            _ => json!({ "amount": number }),
        };
        (results < self.calls).then_some(arguments)
    }
}

/// The answer of the tool.
pub(super) fn paid() -> Body {
    Full::new(Bytes::from_static(br#"{"paid":true}"#)).boxed_unsync()
}

/// The calls of all models.
#[derive(Debug, Default)]
pub(super) struct Calls {
    asked: AtomicU64,
    /// A few thousand at the most: one for each call of the longest row.
    told: Mutex<HashMap<String, Instant>>,
}

impl Calls {
    /// Returns an id that no other call has.
    pub(super) fn next_id(&self) -> String {
        format!("call_{}", self.asked.fetch_add(1, Ordering::Relaxed))
    }

    /// Remembers when a request has come in that ends with the result of a call.
    pub(super) fn note(&self, request: &Request, arrived: Instant) {
        if let Some(call) = request.messages.last().and_then(|message| message.tool_call_id.clone()) {
            self.told().insert(call, arrived);
        }
    }

    pub(super) fn arrival(&self, call: &str) -> Option<Instant> {
        self.told().remove(call)
    }

    fn told(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_says_which_tool_it_asks_for_and_how_often() {
        let script = Script::of_model("mock-calculate-2").unwrap();
        assert_eq!(script.next(0), Some(json!({ "expression": "6 * 1" })));
        assert_ne!(script.next(0), script.next(1));
        assert_eq!(script.next(2), None);
        assert_eq!(Script::of_model("mock-pay-1").unwrap().next(0), Some(json!({ "amount": 1 })));
        for other in ["mock-1", "mock-stall", "mock-calculate", "mock-calculate-x", "mock-100-5ms"] {
            assert_eq!(Script::of_model(other), None, "{other}");
        }
    }
}
