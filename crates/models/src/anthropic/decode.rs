//! The Messages stream in our events.

use domain::items::ToolCall;
use domain::run::StopReason;
use domain::usage::Tokens;
use egress::sse::SseEvent;
use serde_json::{Map, Value, json};

use super::{ANSWER_TOOL, AT_FIRST, BEFORE_CALL, Hold, OWN, hold};
use crate::call::{Event, Request};
use crate::trouble::Trouble;
use crate::wire::{Decode, arguments_or_empty, closing, count, json, text};

/// Decodes one stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The input of the answering tool is the answer's text.
    answers_by_tool: bool,
    block: Block,
    calls: Vec<ToolCall>,
    /// The thoughts that the answer began with, and those since then, as the API wants them back: in their places.
    thoughts: Vec<Value>,
    later_thoughts: Vec<Value>,
    /// Something else than thoughts has been told.
    begun: bool,
    stop: Option<StopReason>,
    tokens: Usage,
    finished: bool,
}

/// The content block that is being told. Blocks come one after the other.
#[derive(Debug, Default)]
enum Block {
    #[default]
    Other,
    Call(ToolCall),
    Answer {
        said: bool,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
}

/// The API's own counts: its input leaves out what went through the cache.
#[derive(Debug, Default)]
struct Usage {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
}

impl Decoder {
    pub(crate) fn new(request: &Request) -> Self {
        Self { answers_by_tool: hold(request) == Hold::Tool, ..Self::default() }
    }

    fn start(&mut self, block: &Value) -> Option<Event> {
        self.block = Block::Other;
        let kind = text(block, "/type");
        self.begun |= !matches!(kind, "thinking" | "redacted_thinking");
        match kind {
            "text" => return said(text(block, "/text")).map(Event::Text),
            "tool_use" if self.answers_by_tool && text(block, "/name") == ANSWER_TOOL => {
                self.block = Block::Answer { said: false };
            }
            "tool_use" => {
                let input =
                    block.get("input").filter(|input| input.as_object().is_some_and(|all| !all.is_empty()));
                self.block = Block::Call(ToolCall {
                    id: text(block, "/id").to_owned(),
                    name: text(block, "/name").to_owned(),
                    arguments: input.map(Value::to_string).unwrap_or_default(),
                    provider_data: None,
                });
            }
            "thinking" => {
                self.block = Block::Thinking {
                    thinking: text(block, "/thinking").to_owned(),
                    signature: text(block, "/signature").to_owned(),
                };
            }
            "redacted_thinking" => self.thought(block.clone()),
            _ => {}
        }
        None
    }

    fn delta(&mut self, delta: &Value) -> Option<Event> {
        match (text(delta, "/type"), &mut self.block) {
            ("text_delta", _) => said(text(delta, "/text")).map(Event::Text),
            ("input_json_delta", Block::Call(call)) => {
                call.arguments.push_str(text(delta, "/partial_json"));
                None
            }
            ("input_json_delta", Block::Answer { said: already }) => {
                let event = said(text(delta, "/partial_json")).map(Event::Text);
                *already |= event.is_some();
                event
            }
            ("thinking_delta", Block::Thinking { thinking, .. }) => {
                let more = text(delta, "/thinking");
                thinking.push_str(more);
                said(more).map(Event::Reasoning)
            }
            ("signature_delta", Block::Thinking { signature, .. }) => {
                signature.push_str(text(delta, "/signature"));
                None
            }
            _ => None,
        }
    }

    fn stop_block(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.block) {
            Block::Other => {}
            Block::Call(mut call) => {
                call.arguments = arguments_or_empty(&call.arguments);
                call.provider_data = self.thoughts_for_call();
                self.calls.push(call);
            }
            Block::Answer { said } => return (!said).then(|| Event::Text("{}".into())),
            Block::Thinking { thinking, signature } => {
                self.thought(json!({"type": "thinking", "thinking": thinking, "signature": signature}));
            }
        }
        None
    }

    fn thought(&mut self, thought: Value) {
        if self.begun { self.later_thoughts.push(thought) } else { self.thoughts.push(thought) }
    }

    /// Takes the thoughts that a call follows.
    fn thoughts_for_call(&mut self) -> Option<Value> {
        let mut own = Map::new();
        for (place, thoughts) in [(AT_FIRST, &mut self.thoughts), (BEFORE_CALL, &mut self.later_thoughts)] {
            if !thoughts.is_empty() {
                own.insert(place.into(), std::mem::take(thoughts).into());
            }
        }
        (!own.is_empty()).then(|| json!({OWN: own}))
    }

    /// Later counts are totals and replace earlier ones; what an event leaves out stays.
    fn count(&mut self, usage: &Value) {
        let set = |field: &mut u64, pointer: &str| {
            if usage.pointer(pointer).is_some_and(Value::is_u64) {
                *field = count(usage, pointer);
            }
        };
        set(&mut self.tokens.input, "/input_tokens");
        set(&mut self.tokens.output, "/output_tokens");
        set(&mut self.tokens.cache_read, "/cache_read_input_tokens");
        set(&mut self.tokens.cache_write, "/cache_creation_input_tokens");
        set(&mut self.tokens.reasoning, "/output_tokens_details/thinking_tokens");
    }

    fn close(&mut self, stop: StopReason) -> Vec<Event> {
        self.finished = true;
        let calls = std::mem::take(&mut self.calls);
        let Usage { input, output, cache_read, cache_write, reasoning } = self.tokens;
        let input = input.saturating_add(cache_read).saturating_add(cache_write);
        closing(calls, stop, Tokens { input, output, cache_read, cache_write, reasoning })
    }
}

impl Decode for Decoder {
    fn on_event(&mut self, event: &SseEvent) -> Result<Vec<Event>, Trouble> {
        let value = json(event)?;
        let nothing = &Value::Null;
        let told = match text(&value, "/type") {
            "message_start" => {
                self.count(value.pointer("/message/usage").unwrap_or(nothing));
                None
            }
            "content_block_start" => self.start(value.get("content_block").unwrap_or(nothing)),
            "content_block_delta" => self.delta(value.get("delta").unwrap_or(nothing)),
            "content_block_stop" => self.stop_block(),
            "message_delta" => {
                self.count(value.get("usage").unwrap_or(nothing));
                self.stop = stop_of(text(&value, "/delta/stop_reason")).or(self.stop);
                None
            }
            "message_stop" => return Ok(self.close(self.stop.unwrap_or(StopReason::EndTurn))),
            "error" => return Err(failed(value.get("error").unwrap_or(nothing))),
            _ => None,
        };
        Ok(told.into_iter().collect())
    }

    fn finish(&mut self) -> Result<Vec<Event>, Trouble> {
        match self.stop {
            _ if self.finished => Ok(Vec::new()),
            Some(stop) => Ok(self.close(stop)),
            None => Err(Trouble::cut()),
        }
    }
}

fn said(words: &str) -> Option<String> {
    (!words.is_empty()).then(|| words.to_owned())
}

fn stop_of(reason: &str) -> Option<StopReason> {
    match reason {
        "" => None,
        "max_tokens" | "model_context_window_exceeded" => Some(StopReason::MaxTokens),
        "refusal" => Some(StopReason::ContentFilter),
        "tool_use" => Some(StopReason::ToolCalls),
        _ => Some(StopReason::EndTurn),
    }
}

fn failed(error: &Value) -> Trouble {
    let words = error.get("message").and_then(Value::as_str);
    match text(error, "/type") {
        "invalid_request_error" | "not_found_error" | "request_too_large" => {
            Trouble::refused("refused the call", "Check the model and the options of the request.")
                .said(words)
        }
        "authentication_error" | "permission_error" => {
            Trouble::refused("refused the key", "Set a valid key for this provider.")
        }
        "billing_error" => Trouble::refused("refused the call", "Check the account's billing.").said(words),
        _ => Trouble::unavailable("failed while answering").said(words),
    }
}

#[cfg(test)]
mod tests;
