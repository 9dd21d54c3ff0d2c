//! Items: what stands in a thread once a run has said it, and what the next model call is given.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::{Content, Message, Part, Role};

/// A call that a model wants made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Free text, unique in its run.
    pub id: String,
    pub name: String,
    /// The arguments as the model wrote them: JSON text, not yet checked.
    pub arguments: String,
    /// What the provider wants back with the call on the next turn (a thought signature), untouched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_data: Option<Value>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    pub call_id: String,
    pub name: String,
    pub output: String,
    pub is_error: bool,
    /// Images and files that came with the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Part>,
}

impl ToolResult {
    /// Makes a result that tells the model why the call was not carried out.
    pub fn error(call: &ToolCall, output: impl Into<String>) -> Self {
        Self {
            call_id: call.id.clone(),
            name: call.name.clone(),
            output: output.into(),
            is_error: true,
            attachments: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Item {
    Message(Message),
    ToolCall(ToolCall),
    ToolResult(ToolResult),
}

impl Item {
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::Message(Message { role: Role::Assistant, content: Content::Text(text.into()) })
    }

    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::ToolCall(_) | Self::ToolResult(_) => None,
        }
    }

    pub fn message_mut(&mut self) -> Option<&mut Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::ToolCall(_) | Self::ToolResult(_) => None,
        }
    }

    pub fn user(text: impl Into<String>) -> Self {
        Self::Message(Message { role: Role::User, content: Content::Text(text.into()) })
    }

    /// Estimates what the item costs of a context window, in tokens.
    ///
    /// Four bytes a token and a little for the frame around it: deliberately on the high side for English, so that a
    /// budget is not overrun by an estimate. An image or a file counts as a flat thousand.
    pub fn estimated_tokens(&self) -> u64 {
        const FRAME: usize = 8;
        const ATTACHMENT: usize = 4_000;
        let bytes = match self {
            Self::Message(message) => {
                let attachments = match &message.content {
                    Content::Text(_) => 0,
                    Content::Parts(parts) => {
                        parts.iter().filter(|part| !matches!(part, Part::Text { .. })).count()
                    }
                };
                message.content.text().len().saturating_add(attachments.saturating_mul(ATTACHMENT))
            }
            Self::ToolCall(call) => call.name.len().saturating_add(call.arguments.len()),
            Self::ToolResult(result) => {
                result.output.len().saturating_add(result.attachments.len().saturating_mul(ATTACHMENT))
            }
        };
        u64::try_from(bytes.div_ceil(4).saturating_add(FRAME)).unwrap_or(u64::MAX)
    }
}

/// Returns the calls at the end of a run that have no result: the caller carries them out and brings their results with the
/// next run.
pub fn open_calls(transcript: &[Item]) -> Vec<&ToolCall> {
    let is_answered = |id: &str| {
        transcript.iter().any(|item| matches!(item, Item::ToolResult(result) if result.call_id == id))
    };
    let calls = transcript.iter().filter_map(|item| match item {
        Item::ToolCall(call) => Some(call),
        _ => None,
    });
    calls.filter(|call| !is_answered(&call.id)).collect()
}

/// Makes a conversation one that every provider takes: behind calls come their results, one each, and nothing else.
///
/// A call that nobody answered gets a result that says so. A result without its call, which may have been cut off with the
/// beginning of the conversation, is told as a message.
pub fn with_calls_answered(items: Vec<Item>) -> Vec<Item> {
    let mut answered = Vec::with_capacity(items.len());
    let mut open: Vec<ToolCall> = Vec::new();
    let mut is_answering = false;
    // Behind the results, because nothing may stand between those.
    let mut told = Vec::new();
    for item in items {
        match &item {
            Item::ToolResult(result) => match open.iter().position(|call| call.id == result.call_id) {
                Some(at) => {
                    open.remove(at);
                    is_answering = true;
                    answered.push(item);
                }
                None => told
                    .push(Item::user(format!("[Result of a call of `{}`:] {}", result.name, result.output))),
            },
            Item::ToolCall(call) if !is_answering || open.is_empty() => {
                if open.is_empty() {
                    answered.append(&mut told);
                }
                is_answering = false;
                open.push(call.clone());
                answered.push(item);
            }
            Item::ToolCall(_) | Item::Message(_) => {
                close(&mut open, &mut answered);
                answered.append(&mut told);
                is_answering = false;
                if let Item::ToolCall(call) = &item {
                    open.push(call.clone());
                }
                answered.push(item);
            }
        }
    }
    close(&mut open, &mut answered);
    answered.append(&mut told);
    answered
}

fn close(open: &mut Vec<ToolCall>, answered: &mut Vec<Item>) {
    let results = open.drain(..).map(|call| ToolResult::error(&call, "Nobody has answered this call."));
    answered.extend(results.map(Item::ToolResult));
}

/// Chooses how much of a thread's past fits a token budget: whole turns, newest first, never a half one.
///
/// `turns` is ordered from newest to oldest, each turn's items in their own order. Returns how many turns fit.
pub fn turns_within_budget(turns: &[Vec<Item>], budget: u64) -> usize {
    let mut left = budget;
    for (index, turn) in turns.iter().enumerate() {
        let cost = turn.iter().map(Item::estimated_tokens).fold(0_u64, u64::saturating_add);
        let Some(rest) = left.checked_sub(cost) else { return index };
        left = rest;
    }
    turns.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> Item {
        Item::ToolCall(ToolCall {
            id: id.into(),
            name: "f".into(),
            arguments: "{}".into(),
            provider_data: None,
        })
    }

    fn result(id: &str) -> Item {
        Item::ToolResult(ToolResult {
            call_id: id.into(),
            name: "f".into(),
            output: format!("of {id}"),
            is_error: false,
            attachments: vec![],
        })
    }

    /// Writes items down as a line: `c1` a call, `r1` its result, `x1` a result that nobody gave, the text of messages.
    fn line(items: &[Item]) -> String {
        let words = items.iter().map(|item| match item {
            Item::Message(message) => message.content.text(),
            Item::ToolCall(call) => format!("c{}", call.id),
            Item::ToolResult(result) if result.is_error => format!("x{}", result.call_id),
            Item::ToolResult(result) => format!("r{}", result.call_id),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn calls_without_a_result_are_the_callers() {
        let items = [call("1"), call("2"), result("1"), Item::assistant("a")];
        assert_eq!(open_calls(&items).iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn every_call_of_a_conversation_is_answered_right_behind_it() {
        let answered = |items: Vec<Item>| line(&with_calls_answered(items));
        let said = || Item::assistant("a");
        assert_eq!(answered(vec![call("1"), call("2"), result("2"), result("1"), said()]), "c1 c2 r2 r1 a");
        assert_eq!(answered(vec![call("1"), call("2"), result("2"), said()]), "c1 c2 r2 x1 a");
        assert_eq!(answered(vec![call("1")]), "c1 x1");
        assert_eq!(answered(vec![call("1"), said(), result("1")]), "c1 x1 a [Result of a call of `f`:] of 1");
        assert_eq!(
            answered(vec![call("1"), call("2"), result("1"), call("3"), result("3")]),
            "c1 c2 r1 x2 c3 r3"
        );
        assert_eq!(
            answered(vec![result("0"), call("1"), result("1")]),
            "[Result of a call of `f`:] of 0 c1 r1"
        );
        assert_eq!(
            answered(vec![call("1"), result("0"), result("1")]),
            "c1 r1 [Result of a call of `f`:] of 0"
        );
    }

    #[test]
    fn the_window_holds_whole_turns_from_the_newest_on() {
        let turn = |length: usize| vec![Item::user("x".repeat(length)), Item::assistant("")];
        let turns = vec![turn(40), turn(400), turn(4)];
        assert_eq!(turns_within_budget(&turns, 1_000), 3);
        assert_eq!(turns_within_budget(&turns, 30), 1);
        assert_eq!(turns_within_budget(&turns, 3), 0);
    }
}
