//! The input of a response: a text, or items of every kind that clients send.

use domain::content::{Content, InputLimits, Message, Role, parse_content};
use domain::items::{Item, ToolCall, ToolResult};
use domain::run::Choice;
use domain::{Code, Problem};
use serde_json::Value;

use crate::openai::turn::{Answer, Conversation, Entry, Given, composite};

/// One step of an input.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Entry(Entry),
    Instruction(String),
    /// An item that is stored here, by its id.
    Reference {
        id: String,
        at: String,
    },
}

/// Reads an input.
pub(super) fn read(value: Option<&Value>, limits: InputLimits) -> Result<Vec<Step>, Problem> {
    let items = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) => {
            bound(text.len(), limits)?;
            return Ok(vec![Step::Entry(Entry::Item(Item::user(text.clone())))]);
        }
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Problem::invalid_input("input", "`input` must be a text or a list of items.")),
    };
    if items.len() > limits.messages {
        let message = format!("`input` may hold at most {} items.", limits.messages);
        return Err(Problem::invalid_input("input", message));
    }
    let mut steps = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        steps.extend(step(item, &format!("input[{index}]"), limits)?);
    }
    bound(steps.iter().map(length).fold(0, usize::saturating_add), limits)?;
    Ok(steps)
}

fn bound(bytes: usize, limits: InputLimits) -> Result<(), Problem> {
    if bytes <= limits.text_bytes {
        return Ok(());
    }
    let message = format!("The texts of `input` may have {} bytes together. Send less.", limits.text_bytes);
    Err(Problem::invalid_input("input", message))
}

fn length(step: &Step) -> usize {
    match step {
        Step::Entry(Entry::Item(Item::Message(message))) => message.content.text().len(),
        Step::Entry(Entry::Item(Item::ToolCall(call))) => call.arguments.len(),
        Step::Entry(Entry::Item(Item::ToolResult(result))) => result.output.len(),
        Step::Entry(Entry::Answer(Answer { given: Given::Text(text), .. })) => text.len(),
        Step::Instruction(text) => text.len(),
        Step::Entry(Entry::Answer(_)) | Step::Reference { .. } => 0,
    }
}

/// Reads one item, which may stand for several steps or for none.
pub(super) fn step(item: &Value, at: &str, limits: InputLimits) -> Result<Vec<Step>, Problem> {
    if !item.is_object() {
        return Err(Problem::invalid_input(at, "An item must be an object."));
    }
    // Some clients leave the type of messages out.
    let kind = match item.get("type").and_then(Value::as_str) {
        None if item.get("role").is_some() => "message",
        None => "",
        Some(kind) => kind,
    };
    let text = |key: &str| {
        let param = format!("{at}.{key}");
        let message = format!("`{key}` must be given, as a text.");
        let text = item.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| Problem::invalid_input(param, message))
    };
    let entry = |entry: Entry| Ok(vec![Step::Entry(entry)]);
    match kind {
        "message" => message(item, at, limits),
        "function_call" => {
            let id = text("call_id")?;
            // Its result is on record under the name that the run knows it by.
            let id = composite(id).map_or(id, |(_, call)| call);
            entry(Entry::Item(call(id, text("name")?, item)))
        }
        "function_call_output" => {
            let call_id = text("call_id")?;
            let output = output(item.get("output"), &format!("{at}.output"), limits)?;
            entry(match composite(call_id) {
                Some((run, call)) => Entry::Answer(Answer {
                    run,
                    call_id: call.to_owned(),
                    given: Given::Text(output),
                    at: format!("{at}.call_id"),
                }),
                None => Entry::Item(result(call_id, "", output, false)),
            })
        }
        "mcp_call" => mcp_call(item, text("id")?, text("name")?),
        "mcp_approval_response" => entry(Entry::Answer(approval(item, text("approval_request_id")?, at)?)),
        "item_reference" => {
            let id = text("id")?;
            // Clients name what they answer in front of the answer.
            if composite(id).is_some() {
                return Ok(Vec::new());
            }
            Ok(vec![Step::Reference { id: id.to_owned(), at: format!("{at}.id") }])
        }
        "mcp_approval_request" | "mcp_list_tools" | "reasoning" | "file_search_call" => Ok(Vec::new()),
        _ => {
            let message = "`type` is no kind of item that a response takes.";
            Err(Problem::invalid_input(format!("{at}.type"), message))
        }
    }
}

fn message(item: &Value, at: &str, limits: InputLimits) -> Result<Vec<Step>, Problem> {
    let role = match item.get("role").and_then(Value::as_str) {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system" | "developer") => {
            let content = content(item, Role::Assistant, at, limits)?;
            return Ok(vec![Step::Instruction(content.text())]);
        }
        _ => {
            let message = "`role` must be `user`, `assistant`, `system` or `developer`.";
            return Err(Problem::invalid_input(format!("{at}.role"), message));
        }
    };
    let content = content(item, role, at, limits)?;
    Ok(vec![Step::Entry(Entry::Item(Item::Message(Message { role, content })))])
}

fn content(item: &Value, role: Role, at: &str, limits: InputLimits) -> Result<Content, Problem> {
    let at = format!("{at}.content");
    match item.get("content").and_then(Value::as_array) {
        // An assistant that said nothing before its call.
        Some(parts) if parts.is_empty() && role == Role::Assistant => Ok(Content::Text(String::new())),
        _ => parse_content(item.get("content"), role, &at, limits),
    }
}

fn call(id: &str, name: &str, item: &Value) -> Item {
    let arguments = item.get("arguments").and_then(Value::as_str).unwrap_or("{}");
    Item::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        provider_data: None,
    })
}

fn result(call_id: &str, name: &str, output: String, is_error: bool) -> Item {
    Item::ToolResult(ToolResult {
        call_id: call_id.to_owned(),
        name: name.to_owned(),
        output,
        is_error,
        attachments: Vec::new(),
    })
}

/// Reads the result of a call: a text, or parts of which the model is given the text.
fn output(value: Option<&Value>, at: &str, limits: InputLimits) -> Result<String, Problem> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) if parts.is_empty() => Ok(String::new()),
        Some(Value::Array(_)) => Ok(parse_content(value, Role::User, at, limits)?.text()),
        _ => Err(Problem::invalid_input(at, "`output` must be a text or a list of parts.")),
    }
}

/// A call that a server has carried out, with what came of it.
fn mcp_call(item: &Value, id: &str, name: &str) -> Result<Vec<Step>, Problem> {
    let said = |key: &str| item.get(key).and_then(Value::as_str);
    let (output, is_error) = match (said("output"), said("error")) {
        (Some(output), _) => (output, false),
        (None, Some(error)) => (error, true),
        // It was never finished, so nothing is known of it.
        (None, None) => return Ok(Vec::new()),
    };
    let items = [call(id, name, item), result(id, name, output.to_owned(), is_error)];
    Ok(items.into_iter().map(|item| Step::Entry(Entry::Item(item))).collect())
}

fn approval(item: &Value, request: &str, at: &str) -> Result<Answer, Problem> {
    let Some((run, call)) = composite(request) else {
        let message = "`approval_request_id` must be the id of an approval request: `<run>::<call>`.";
        return Err(Problem::invalid_input(format!("{at}.approval_request_id"), message));
    };
    let Some(approve) = item.get("approve").and_then(Value::as_bool) else {
        let message = "`approve` must be `true` or `false`.";
        return Err(Problem::new(Code::InvalidDecision, message).at(format!("{at}.approve")));
    };
    let reason = item.get("reason").and_then(Value::as_str).map(str::to_owned);
    let choice = if approve {
        let content = item.get("content").filter(|content| !content.is_null()).cloned();
        Choice::Approve { args: None, content }
    } else {
        Choice::Reject { reason: reason.clone() }
    };
    let given = Given::Decision { choice, reason };
    Ok(Answer { run, call_id: call.to_owned(), given, at: format!("{at}.approval_request_id") })
}

/// Puts steps whose references were resolved into a conversation.
pub(super) fn conversation(steps: Vec<Step>) -> Conversation {
    let mut conversation = Conversation::default();
    for step in steps {
        match step {
            Step::Entry(entry) => conversation.entries.push(entry),
            Step::Instruction(text) => conversation.instructions.push(text),
            Step::Reference { .. } => {}
        }
    }
    name_results(&mut conversation.entries);
    conversation
}

/// Gives results the names of the calls that they belong to, which clients leave out.
fn name_results(entries: &mut [Entry]) {
    let mut names = std::collections::HashMap::new();
    for entry in entries {
        match entry {
            Entry::Item(Item::ToolCall(call)) => {
                names.insert(call.id.clone(), call.name.clone());
            }
            Entry::Item(Item::ToolResult(result)) if result.name.is_empty() => {
                if let Some(name) = names.get(&result.call_id) {
                    result.name.clone_from(name);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: InputLimits = InputLimits { messages: 8, parts: 4, text_bytes: 100 };

    fn items(value: Value) -> Vec<Item> {
        let read = conversation(read(Some(&value), LIMITS).unwrap());
        let items = read.entries.into_iter().filter_map(|entry| match entry {
            Entry::Item(item) => Some(item),
            Entry::Answer(_) => None,
        });
        items.collect()
    }

    #[test]
    fn items_are_read_in_every_form_that_clients_send() {
        let read = items(json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "b", "annotations": [], "logprobs": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "r"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "mcp_call", "id": "mcp_1", "name": "g", "arguments": "{}", "output": "o", "error": null},
        ]));
        let mut expected = vec![Item::user("a"), Item::assistant("b")];
        expected.push(call("c1", "f", &json!({})));
        expected.push(result("c1", "f", "r".into(), false));
        expected.push(call("mcp_1", "g", &json!({})));
        expected.push(result("mcp_1", "g", "o".into(), false));
        assert_eq!(read, expected);
        assert_eq!(items(json!("hello")), vec![Item::user("hello")]);
    }

    #[test]
    fn what_is_wrong_with_an_item_is_named_by_its_place() {
        let param = |value: Value| read(Some(&value), LIMITS).unwrap_err().param.unwrap();
        assert_eq!(param(json!(7)), "input");
        assert_eq!(param(json!(["a"])), "input[0]");
        assert_eq!(param(json!([{"type": "song"}])), "input[0].type");
        assert_eq!(param(json!([{"role": "king", "content": "a"}])), "input[0].role");
        assert_eq!(param(json!([{"type": "function_call", "call_id": "c"}])), "input[0].name");
        assert_eq!(
            param(json!([{"type": "mcp_approval_response", "approval_request_id": "a", "approve": true}])),
            "input[0].approval_request_id"
        );
        assert_eq!(param(json!("x".repeat(101))), "input");
        assert_eq!(param(json!(vec![json!({"role": "user", "content": "a"}); 9])), "input");
    }
}
