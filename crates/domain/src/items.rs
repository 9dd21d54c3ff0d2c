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

    #[test]
    fn the_window_holds_whole_turns_from_the_newest_on() {
        let turn = |length: usize| vec![Item::user("x".repeat(length)), Item::assistant("")];
        let turns = vec![turn(40), turn(400), turn(4)];
        assert_eq!(turns_within_budget(&turns, 1_000), 3);
        assert_eq!(turns_within_budget(&turns, 30), 1);
        assert_eq!(turns_within_budget(&turns, 3), 0);
    }
}
