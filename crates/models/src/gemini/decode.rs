//! The stream of `streamGenerateContent` in our events.

use domain::items::ToolCall;
use domain::run::StopReason;
use domain::usage::Tokens;
use egress::sse::SseEvent;
use serde_json::{Map, Value, json};

use super::OWN;
use crate::call::{Event, Request};
use crate::trouble::Trouble;
use crate::wire::{CallNames, Decode, closing, count, json as parse, text};

/// Decodes one stream.
///
/// The answer is whole once a reason for its end was given, but counts may still follow, so the end is reported when the
/// stream ends.
#[derive(Debug)]
pub(crate) struct Decoder {
    names: CallNames,
    calls: Vec<ToolCall>,
    /// A signature that came in a part of its own, for the call that follows.
    signature: String,
    spoke: bool,
    stop: Option<StopReason>,
    tokens: Tokens,
}

impl Decoder {
    pub(crate) fn new(request: &Request) -> Self {
        Self {
            names: CallNames::after(request),
            calls: Vec::new(),
            signature: String::new(),
            spoke: false,
            stop: None,
            tokens: Tokens::default(),
        }
    }

    fn part(&mut self, part: &Value) -> Option<Event> {
        let signature = text(part, "/thoughtSignature");
        if let Some(call) = part.get("functionCall") {
            let own = match signature {
                "" => std::mem::take(&mut self.signature),
                signature => signature.to_owned(),
            };
            let call = self.call(call, own);
            self.calls.push(call);
            return None;
        }
        let is_thought = part.get("thought").and_then(Value::as_bool).unwrap_or(false);
        let words = text(part, "/text");
        if words.is_empty() {
            signature.clone_into(&mut self.signature);
            return None;
        }
        if is_thought {
            return Some(Event::Reasoning(words.to_owned()));
        }
        self.spoke = true;
        Some(Event::Text(words.to_owned()))
    }

    fn call(&mut self, call: &Value, signature: String) -> ToolCall {
        let given = text(call, "/id");
        let mut own = Map::new();
        if !signature.is_empty() {
            own.insert("thought_signature".into(), signature.into());
        }
        if !given.is_empty() {
            own.insert("id".into(), given.into());
        }
        ToolCall {
            id: self.names.name(given),
            name: text(call, "/name").to_owned(),
            arguments: call
                .get("args")
                .filter(|args| args.is_object())
                .map_or_else(|| "{}".into(), Value::to_string),
            provider_data: (!own.is_empty()).then(|| json!({OWN: own})),
        }
    }

    fn end(&mut self, reason: &str) -> Result<(), Trouble> {
        self.stop = Some(match reason {
            "" | "FINISH_REASON_UNSPECIFIED" => return Ok(()),
            "STOP" => StopReason::EndTurn,
            "MAX_TOKENS" => StopReason::MaxTokens,
            "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
            | "IMAGE_SAFETY" => StopReason::ContentFilter,
            // The model got lost, for example in the form of a call. What it said until then may do.
            _ if self.spoke || !self.calls.is_empty() => StopReason::EndTurn,
            other => {
                let what = format!("ended the answer before it said anything ({})", word(other));
                return Err(Trouble::unavailable(what));
            }
        });
        Ok(())
    }
}

impl Decode for Decoder {
    fn on_event(&mut self, event: &SseEvent) -> Result<Vec<Event>, Trouble> {
        let value = parse(event)?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(failed(error));
        }
        if value.get("usageMetadata").is_some_and(Value::is_object) {
            self.tokens = tokens_of(&value);
        }
        let mut events = Vec::new();
        for part in
            value.pointer("/candidates/0/content/parts").and_then(Value::as_array).into_iter().flatten()
        {
            events.extend(self.part(part));
        }
        self.end(text(&value, "/candidates/0/finishReason"))?;
        if !text(&value, "/promptFeedback/blockReason").is_empty() {
            self.stop = Some(StopReason::ContentFilter);
        }
        Ok(events)
    }

    fn finish(&mut self) -> Result<Vec<Event>, Trouble> {
        let stop = self.stop.ok_or_else(Trouble::cut)?;
        Ok(closing(std::mem::take(&mut self.calls), stop, self.tokens))
    }
}

fn tokens_of(value: &Value) -> Tokens {
    let thoughts = count(value, "/usageMetadata/thoughtsTokenCount");
    Tokens {
        input: count(value, "/usageMetadata/promptTokenCount")
            .saturating_add(count(value, "/usageMetadata/toolUsePromptTokenCount")),
        output: count(value, "/usageMetadata/candidatesTokenCount").saturating_add(thoughts),
        cache_read: count(value, "/usageMetadata/cachedContentTokenCount"),
        cache_write: 0,
        reasoning: thoughts,
    }
}

/// Keeps what can stand in a message of a word that the provider made up.
fn word(text: &str) -> String {
    text.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').take(60).collect()
}

fn failed(error: &Value) -> Trouble {
    let words = error.get("message").and_then(Value::as_str);
    match text(error, "/status") {
        "INVALID_ARGUMENT" | "NOT_FOUND" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => {
            Trouble::refused("refused the call", "Check the model and the options of the request.")
                .said(words)
        }
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => {
            Trouble::refused("refused the key", "Set a valid key for this provider.")
        }
        _ => Trouble::unavailable("failed while answering").said(words),
    }
}

#[cfg(test)]
mod tests;
