//! The messages of a chat, read as a conversation.

use std::collections::HashMap;

use domain::Problem;
use domain::content::{Content, InputLimits, Message, Role, parse_content};
use domain::items::{Item, ToolCall, ToolResult};
use serde_json::{Value, json};

use crate::openai::turn::{Answer, Conversation, Entry, Given, composite};

/// Reads `messages`.
pub(super) fn read(messages: &[Value], limits: InputLimits) -> Result<Conversation, Problem> {
    if messages.len() > limits.messages {
        let message = format!("`messages` may hold at most {} messages.", limits.messages);
        return Err(Problem::invalid_input("messages", message));
    }
    let mut reader = Reader { limits, read: Conversation::default(), called: HashMap::new(), text_bytes: 0 };
    for (index, message) in messages.iter().enumerate() {
        reader.take(message, &format!("messages[{index}]"))?;
    }
    if reader.text_bytes > limits.text_bytes {
        let message = format!(
            "The text of `messages` may have at most {} bytes. Send less, or name a thread with `IC-Thread-Id` and send only \
             what is new.",
            limits.text_bytes
        );
        return Err(Problem::invalid_input("messages", message));
    }
    Ok(reader.read)
}

struct Reader {
    limits: InputLimits,
    read: Conversation,
    /// The names of the functions that were called, by the ids of the calls.
    called: HashMap<String, String>,
    text_bytes: usize,
}

impl Reader {
    fn take(&mut self, message: &Value, at: &str) -> Result<(), Problem> {
        match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => {
                let text = self.text(message.get("content"), at)?;
                self.read.instructions.push(text);
            }
            Some("user") => {
                let content = self.content(message.get("content"), Role::User, at)?;
                self.push(Item::Message(Message { role: Role::User, content }));
            }
            Some("assistant") => self.take_assistant(message, at)?,
            Some("tool") => self.take_result(message, at)?,
            Some("function") => {
                let text = "The role `function` is not taken: send `tool` messages with a `tool_call_id`.";
                return Err(Problem::invalid_input(format!("{at}.role"), text));
            }
            _ => {
                let text = "`role` must be `system`, `developer`, `user`, `assistant` or `tool`.";
                return Err(Problem::invalid_input(format!("{at}.role"), text));
            }
        }
        Ok(())
    }

    fn push(&mut self, item: Item) {
        self.read.entries.push(Entry::Item(item));
    }

    fn content(&mut self, content: Option<&Value>, role: Role, at: &str) -> Result<Content, Problem> {
        let content = parse_content(content, role, &format!("{at}.content"), self.limits)?;
        self.text_bytes = self.text_bytes.saturating_add(content.text().len());
        Ok(content)
    }

    /// Reads content that has to be text, whole or in parts: as that of an assistant has to be.
    fn text(&mut self, content: Option<&Value>, at: &str) -> Result<String, Problem> {
        self.content(content, Role::Assistant, at).map(|content| content.text())
    }

    fn take_assistant(&mut self, message: &Value, at: &str) -> Result<(), Problem> {
        let text = match message.get("content").filter(|content| !content.is_null()) {
            // Without content the answer was nothing but calls, or a refusal.
            None => message.get("refusal").and_then(Value::as_str).unwrap_or_default().to_owned(),
            Some(Value::Array(parts)) if parts.is_empty() => String::new(),
            Some(Value::Array(parts)) => {
                let parts: Vec<_> = parts.iter().map(spoken).collect();
                self.text(Some(&Value::Array(parts)), at)?
            }
            content => self.text(content, at)?,
        };
        if !text.is_empty() {
            self.push(Item::assistant(text));
        }
        let Some(calls) = message.get("tool_calls").filter(|calls| !calls.is_null()) else { return Ok(()) };
        let Some(calls) = calls.as_array() else {
            let text = "`tool_calls` must be an array.";
            return Err(Problem::invalid_input(format!("{at}.tool_calls"), text));
        };
        for (index, call) in calls.iter().enumerate() {
            self.take_call(call, &format!("{at}.tool_calls[{index}]"))?;
        }
        Ok(())
    }

    fn take_call(&mut self, call: &Value, at: &str) -> Result<(), Problem> {
        let text = |path: &[&str]| {
            let value = path.iter().try_fold(call, |value, key| value.get(key));
            value.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
                let text = "A call needs its `id`, and its `function` with `name` and `arguments`, as texts.";
                Problem::invalid_input(format!("{at}.{}", path.join(".")), text)
            })
        };
        let id = text(&["id"])?;
        let (name, arguments) = (text(&["function", "name"])?, text(&["function", "arguments"])?);
        self.text_bytes = self.text_bytes.saturating_add(arguments.len());
        self.called.insert(id.clone(), name.clone());
        let id = composite(&id).map(|(_, call)| call.to_owned()).unwrap_or(id);
        self.push(Item::ToolCall(ToolCall { id, name, arguments, provider_data: None }));
        Ok(())
    }

    fn take_result(&mut self, message: &Value, at: &str) -> Result<(), Problem> {
        let Some(id) = message.get("tool_call_id").and_then(Value::as_str) else {
            let text = "A `tool` message needs the `tool_call_id` of the call that it answers.";
            return Err(Problem::invalid_input(format!("{at}.tool_call_id"), text));
        };
        let text = self.text(message.get("content"), at)?;
        if let Some((run, call)) = composite(id) {
            let at = format!("{at}.content");
            let answer = Answer { run, call_id: call.to_owned(), given: Given::Text(text), at };
            self.read.entries.push(Entry::Answer(answer));
            return Ok(());
        }
        let name = self.called.get(id).cloned().unwrap_or_default();
        let call_id = id.to_owned();
        let result = ToolResult { call_id, name, output: text, is_error: false, attachments: Vec::new() };
        self.push(Item::ToolResult(result));
        Ok(())
    }
}

/// A refusal is something that was said, too.
fn spoken(part: &Value) -> Value {
    match part.get("refusal") {
        Some(refusal) if part.get("type").is_some_and(|kind| kind == "refusal") => {
            json!({"type": "text", "text": refusal})
        }
        _ => part.clone(),
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{Id as _, RunId};

    use super::*;

    const LIMITS: InputLimits = InputLimits { messages: 10, parts: 3, text_bytes: 100 };

    fn conversation(messages: &Value) -> Result<Conversation, Problem> {
        read(messages.as_array().unwrap(), LIMITS)
    }

    #[test]
    fn a_chat_with_a_function_becomes_items() {
        let read = conversation(&json!([
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sunny"}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": null}
        ]))
        .unwrap();
        assert_eq!(read.instructions, ["Be brief.", "Be kind."]);
        let call =
            ToolCall { id: "c1".into(), name: "weather".into(), arguments: "{}".into(), provider_data: None };
        let result = ToolResult {
            call_id: "c1".into(),
            name: "weather".into(),
            output: "sunny".into(),
            is_error: false,
            attachments: vec![],
        };
        let items =
            [Item::user("Weather?"), Item::ToolCall(call), Item::ToolResult(result), Item::assistant("No.")];
        assert_eq!(read.entries, items.map(Entry::Item));
    }

    #[test]
    fn an_answer_to_a_call_of_a_run_is_told_from_a_result_of_ones_own() {
        let run = RunId::from_bytes([1; 16]);
        let id = format!("{run}::c1");
        let read = conversation(&json!([
            {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "pay", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": id, "content": "approve"}
        ]))
        .unwrap();
        assert!(matches!(&read.entries[0], Entry::Item(Item::ToolCall(call)) if call.id == "c1"));
        assert!(
            matches!(&read.entries[1], Entry::Answer(answer) if answer.run == run && answer.call_id == "c1")
        );
    }

    #[test]
    fn what_is_wrong_with_a_message_is_named_by_its_place() {
        let param = |messages: Value| conversation(&messages).unwrap_err().param.unwrap();
        assert_eq!(param(json!([{"role": "robot"}])), "messages[0].role");
        assert_eq!(param(json!([{"role": "function", "content": "a"}])), "messages[0].role");
        assert_eq!(param(json!([{"role": "user", "content": 7}])), "messages[0].content");
        assert_eq!(param(json!([{"role": "tool", "content": "a"}])), "messages[0].tool_call_id");
        assert_eq!(param(json!([{"role": "assistant", "tool_calls": 7}])), "messages[0].tool_calls");
        assert_eq!(
            param(json!([{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}])),
            "messages[0].tool_calls[0].function.arguments"
        );
        let long = json!({"role": "user", "content": "x".repeat(60)});
        assert_eq!(param(json!([long, long])), "messages");
        assert_eq!(param(json!(vec![json!({"role": "user", "content": ""}); 11])), "messages");
    }
}
