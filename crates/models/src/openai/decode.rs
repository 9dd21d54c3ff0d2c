//! The Responses stream, and a stored response, in our events.

use domain::items::ToolCall;
use domain::run::StopReason;
use domain::usage::Tokens;
use egress::sse::SseEvent;
use serde_json::Value;

use crate::call::Event;
use crate::trouble::Trouble;
use crate::wire::{Decode, arguments_or_empty, closing, count, json, text};

/// Decodes one stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    calls: Vec<ToolCall>,
    refused: bool,
    reasoned: bool,
    finished: bool,
}

impl Decode for Decoder {
    fn on_event(&mut self, event: &SseEvent) -> Result<Vec<Event>, Trouble> {
        // Servers in front of OpenAI may end the stream in the manner of chat completions.
        if event.data == "[DONE]" {
            return Ok(Vec::new());
        }
        let value = json(event)?;
        let events = match text(&value, "/type") {
            "response.created" => match text(&value, "/response/id") {
                "" => Vec::new(),
                id => vec![Event::Accepted { reference: id.to_owned() }],
            },
            "response.output_text.delta" => delta(&value).map(Event::Text).into_iter().collect(),
            "response.refusal.delta" => {
                self.refused = true;
                delta(&value).map(Event::Text).into_iter().collect()
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.reasoned = true;
                delta(&value).map(Event::Reasoning).into_iter().collect()
            }
            // Paragraphs of a summary come as parts of their own.
            "response.reasoning_summary_part.added" if self.reasoned => vec![Event::Reasoning("\n\n".into())],
            "response.output_item.done" => {
                self.calls.extend(value.get("item").and_then(function_call));
                Vec::new()
            }
            "response.completed" | "response.incomplete" => {
                self.finished = true;
                let response = value.get("response").unwrap_or(&Value::Null);
                closing(std::mem::take(&mut self.calls), stop_of(response, self.refused), tokens_of(response))
            }
            "response.failed" => {
                return Err(failed(value.pointer("/response/error").unwrap_or(&Value::Null)));
            }
            "error" => return Err(failed(value.get("error").unwrap_or(&value))),
            _ => Vec::new(),
        };
        Ok(events)
    }

    fn finish(&mut self) -> Result<Vec<Event>, Trouble> {
        if self.finished { Ok(Vec::new()) } else { Err(Trouble::cut()) }
    }
}

fn delta(value: &Value) -> Option<String> {
    let delta = text(value, "/delta");
    (!delta.is_empty()).then(|| delta.to_owned())
}

fn function_call(item: &Value) -> Option<ToolCall> {
    (text(item, "/type") == "function_call").then(|| ToolCall {
        id: text(item, "/call_id").to_owned(),
        name: text(item, "/name").to_owned(),
        arguments: arguments_or_empty(text(item, "/arguments")),
        provider_data: None,
    })
}

fn stop_of(response: &Value, refused: bool) -> StopReason {
    if refused {
        return StopReason::ContentFilter;
    }
    match text(response, "/incomplete_details/reason") {
        "" => StopReason::EndTurn,
        "content_filter" => StopReason::ContentFilter,
        _ => StopReason::MaxTokens,
    }
}

fn tokens_of(response: &Value) -> Tokens {
    Tokens {
        input: count(response, "/usage/input_tokens"),
        output: count(response, "/usage/output_tokens"),
        cache_read: count(response, "/usage/input_tokens_details/cached_tokens"),
        cache_write: 0,
        reasoning: count(response, "/usage/output_tokens_details/reasoning_tokens"),
    }
}

fn failed(error: &Value) -> Trouble {
    let code = match text(error, "/code") {
        "" => text(error, "/type"),
        code => code,
    };
    let words = error.get("message").and_then(Value::as_str);
    match code {
        "invalid_prompt"
        | "invalid_request_error"
        | "context_length_exceeded"
        | "content_policy_violation" => {
            Trouble::refused("refused the call", "Check the model and the options of the request.")
                .said(words)
        }
        // The codes about images are many, and all say that the request has to change.
        code if code.contains("image") => {
            Trouble::refused("refused an image", "Check the images of the request.").said(words)
        }
        "insufficient_quota" => {
            Trouble::refused("has no quota left for this key", "Raise the quota or use another key.")
                .said(words)
        }
        _ => Trouble::unavailable("failed while answering").said(words),
    }
}

/// What became of an answer that OpenAI stored.
#[derive(Debug, PartialEq)]
pub(crate) enum Stored {
    /// The whole answer.
    Answer(Vec<Event>),
    /// It is still being made.
    Pending,
    /// It will never be whole.
    Lost,
}

/// Reads a stored response.
pub(crate) fn stored(response: &Value) -> Stored {
    let whole = match text(response, "/status") {
        "queued" | "in_progress" => return Stored::Pending,
        "completed" => true,
        // Other reasons, or none, are those of a broken answer, not of one that ended.
        "incomplete" => {
            matches!(text(response, "/incomplete_details/reason"), "max_output_tokens" | "content_filter")
        }
        _ => false,
    };
    let Some(items) = response.get("output").and_then(Value::as_array).filter(|_| whole) else {
        return Stored::Lost;
    };
    let mut events = Vec::new();
    let mut refused = false;
    for item in items {
        let parts = |name: &str| item.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        match text(item, "/type") {
            "reasoning" => {
                let summary =
                    parts("summary").iter().map(|part| text(part, "/text").to_owned()).collect::<Vec<_>>();
                if !summary.is_empty() {
                    events.push(Event::Reasoning(summary.join("\n\n")));
                }
            }
            "message" => {
                for part in parts("content") {
                    let words = match text(&part, "/type") {
                        "refusal" => {
                            refused = true;
                            text(&part, "/refusal")
                        }
                        _ => text(&part, "/text"),
                    };
                    if !words.is_empty() {
                        events.push(Event::Text(words.to_owned()));
                    }
                }
            }
            _ => {}
        }
    }
    let calls = items.iter().filter_map(function_call).collect();
    events.extend(closing(calls, stop_of(response, refused), tokens_of(response)));
    Stored::Answer(events)
}

#[cfg(test)]
mod tests;
