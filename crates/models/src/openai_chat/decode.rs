//! The Chat Completions stream in our events.

use domain::items::ToolCall;
use domain::run::StopReason;
use domain::usage::Tokens;
use egress::sse::SseEvent;
use serde_json::{Map, Value, json};

use super::OWN;
use crate::call::{Event, Request};
use crate::trouble::Trouble;
use crate::wire::{CallNames, Decode, arguments_or_empty, closing, count, json as parse, text};

/// More calls than this in one answer are nonsense, and would let a server make us keep anything.
const MOST_CALLS: usize = 256;

/// Decodes one stream.
///
/// The answer is whole once a reason for its end was given. Usage may follow in a chunk of its own, or never; `[DONE]`
/// may be missing; so the end is reported at `[DONE]` or at the end of the stream, whichever comes.
#[derive(Debug)]
pub(crate) struct Decoder {
    names: CallNames,
    calls: Vec<Fragments>,
    /// What was said as `reasoning_content`: DeepSeek and Kimi refuse calls in whose past it is missing.
    thoughts: String,
    /// Which server that is.
    server: String,
    refused: bool,
    stop: Option<StopReason>,
    tokens: Tokens,
    finished: bool,
}

/// A call as far as it was told.
#[derive(Debug, Default)]
struct Fragments {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Fragments {
    /// Tells whether a fragment that came under this call's index begins another call.
    fn ends_before(&self, fragment: &Value) -> bool {
        let (id, name) = (text(fragment, "/id"), text(fragment, "/function/name"));
        // Only what begins has a name; some servers repeat it, and some make up an id for every fragment.
        if name.is_empty() || self.name.is_empty() {
            return false;
        }
        if !self.id.is_empty() || !id.is_empty() {
            return !self.id.is_empty() && !id.is_empty() && self.id != id;
        }
        let says_more = fragment.pointer("/function/arguments").is_some_and(|more| more != "");
        let is_whole = || serde_json::from_str::<Map<String, Value>>(&self.arguments).is_ok();
        self.name != name || (says_more && is_whole())
    }
}

impl Decoder {
    pub(crate) fn new(request: &Request, server: String) -> Self {
        Self {
            names: CallNames::after(request),
            calls: Vec::new(),
            thoughts: String::new(),
            server,
            refused: false,
            stop: None,
            tokens: Tokens::default(),
            finished: false,
        }
    }

    fn on_chunk(&mut self, chunk: &Value) -> Result<Vec<Event>, Trouble> {
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(failed(error));
        }
        if chunk.get("usage").is_some_and(Value::is_object) {
            self.tokens = tokens_of(chunk);
        }
        let Some(choice) = chunk.pointer("/choices/0") else { return Ok(Vec::new()) };
        let mut events = Vec::new();
        // The field has two names in the wild; a server uses one of them.
        let reasoning = match text(choice, "/delta/reasoning_content") {
            "" => text(choice, "/delta/reasoning"),
            reasoning => {
                self.thoughts.push_str(reasoning);
                reasoning
            }
        };
        if !reasoning.is_empty() {
            events.push(Event::Reasoning(reasoning.to_owned()));
        }
        events.extend(parts_of_content(choice));
        for field in ["/delta/content", "/delta/refusal"] {
            let words = text(choice, field);
            if !words.is_empty() {
                self.refused |= field == "/delta/refusal";
                events.push(Event::Text(words.to_owned()));
            }
        }
        for fragment in choice.pointer("/delta/tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.join(fragment)?;
        }
        match text(choice, "/finish_reason") {
            "" => {}
            "length" | "model_length" => self.stop = Some(StopReason::MaxTokens),
            "content_filter" => self.stop = Some(StopReason::ContentFilter),
            "tool_calls" | "function_call" => self.stop = Some(StopReason::ToolCalls),
            // What DeepSeek and vLLM say of an answer that they broke off.
            "error" | "insufficient_system_resource" | "abort" => {
                return Err(Trouble::unavailable("failed while answering"));
            }
            _ => self.stop = Some(StopReason::EndTurn),
        }
        Ok(events)
    }

    /// Adds a fragment to its call: by index, or, where a server sends none, by id.
    ///
    /// Ollama and Gemini's compatible endpoint give calls that are made side by side the same index, so that what a fragment
    /// says of itself counts more.
    fn join(&mut self, fragment: &Value) -> Result<(), Trouble> {
        let index = fragment.get("index").and_then(Value::as_u64);
        let id = text(fragment, "/id");
        let known = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index),
            None if id.is_empty() => self.calls.len().checked_sub(1),
            None => self.calls.iter().rposition(|call| call.id == id),
        };
        let known = known.filter(|at| self.calls.get(*at).is_some_and(|call| !call.ends_before(fragment)));
        if known.is_none() {
            if self.calls.len() >= MOST_CALLS {
                return Err(Trouble::garbage());
            }
            self.calls.push(Fragments { index, ..Fragments::default() });
        }
        let position = known.unwrap_or(self.calls.len().saturating_sub(1));
        let Some(call) = self.calls.get_mut(position) else { return Ok(()) };
        // Some servers repeat the id and the name with every fragment, so they are set, not appended.
        if !id.is_empty() {
            id.clone_into(&mut call.id);
        }
        let name = text(fragment, "/function/name");
        if !name.is_empty() {
            name.clone_into(&mut call.name);
        }
        match fragment.pointer("/function/arguments") {
            Some(Value::String(arguments)) => call.arguments.push_str(arguments),
            // Not in the format, but seen: arguments as an object, in one piece.
            Some(object @ Value::Object(_)) => call.arguments = object.to_string(),
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, stop: StopReason) -> Vec<Event> {
        self.finished = true;
        let stop = if self.refused { StopReason::ContentFilter } else { stop };
        let names = &mut self.names;
        let calls = std::mem::take(&mut self.calls).into_iter().map(|call| ToolCall {
            id: names.name(&call.id),
            name: call.name,
            arguments: arguments_or_empty(&call.arguments),
            provider_data: None,
        });
        let mut calls: Vec<_> = calls.collect();
        if let Some(first) = calls.first_mut().filter(|_| !self.thoughts.is_empty()) {
            let thoughts = std::mem::take(&mut self.thoughts);
            first.provider_data = Some(json!({OWN: {"reasoning_content": thoughts, "server": self.server}}));
        }
        closing(calls, stop, self.tokens)
    }
}

impl Decode for Decoder {
    fn on_event(&mut self, event: &SseEvent) -> Result<Vec<Event>, Trouble> {
        if self.finished {
            return Ok(Vec::new());
        }
        if event.data.trim() == "[DONE]" {
            return Ok(self.close(self.stop.unwrap_or(StopReason::EndTurn)));
        }
        self.on_chunk(&parse(event)?)
    }

    fn finish(&mut self) -> Result<Vec<Event>, Trouble> {
        match self.stop {
            _ if self.finished => Ok(Vec::new()),
            Some(stop) => Ok(self.close(stop)),
            None => Err(Trouble::cut()),
        }
    }
}

/// Reads content that comes in parts: so Mistral tells thoughts, and what follows them, from text.
fn parts_of_content(choice: &Value) -> impl Iterator<Item = Event> {
    let parts = choice.pointer("/delta/content").and_then(Value::as_array).into_iter().flatten();
    parts
        .flat_map(|part| {
            let thoughts = part.get("thinking").and_then(Value::as_array).into_iter().flatten();
            let thoughts = thoughts.map(|thought| Event::Reasoning(text(thought, "/text").to_owned()));
            thoughts.chain([Event::Text(text(part, "/text").to_owned())])
        })
        .filter(|event| !matches!(event, Event::Reasoning(words) | Event::Text(words) if words.is_empty()))
}

fn tokens_of(chunk: &Value) -> Tokens {
    Tokens {
        input: count(chunk, "/usage/prompt_tokens"),
        output: count(chunk, "/usage/completion_tokens"),
        cache_read: count(chunk, "/usage/prompt_tokens_details/cached_tokens"),
        cache_write: 0,
        reasoning: count(chunk, "/usage/completion_tokens_details/reasoning_tokens"),
    }
}

fn failed(error: &Value) -> Trouble {
    let words = error.get("message").and_then(Value::as_str).or_else(|| error.as_str());
    let status = error.get("code").and_then(Value::as_u64);
    let kinds = [text(error, "/type"), text(error, "/code")];
    let is_called = |name: &str| kinds.contains(&name);
    if status == Some(401) || is_called("invalid_api_key") {
        return Trouble::refused("refused the key", "Set a valid key for this provider.");
    }
    if status == Some(402) || is_called("insufficient_quota") {
        let advice = "Check the account's billing, or use another key.";
        return Trouble::refused("has no credit or quota left for this key", advice).said(words);
    }
    if matches!(status, Some(400 | 403 | 404 | 413 | 422)) || is_called("invalid_request_error") {
        return Trouble::refused("refused the call", "Check the model and the options of the request.")
            .said(words);
    }
    Trouble::unavailable("failed while answering").said(words)
}

#[cfg(test)]
mod tests;
