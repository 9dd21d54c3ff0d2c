use std::collections::HashMap;

use domain::content::{Content, Message, Part, Role, Source};
use domain::ids::{FileId, Id as _};
use domain::items::ToolCall;
use domain::run::Plan;
use serde_json::{Value, json};

use super::*;

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "look".into(), arguments: "{\"a\":1}".into(), provider_data: None }
}

fn result(id: &str, is_error: bool) -> ToolResult {
    let (name, output) = ("look".to_owned(), format!("of {id}"));
    ToolResult { call_id: id.into(), name, output, is_error, attachments: Vec::new() }
}

fn run(asked: Vec<Item>, added: Vec<Item>, carriers: &[(&str, Carrier)]) -> ThreadRun {
    let plan = |carrier: &Carrier| Plan { carrier: carrier.clone(), ..Plan::nobody("") };
    let plans = carriers.iter().map(|(id, carrier)| ((*id).to_owned(), plan(carrier)));
    ThreadRun {
        id: RunId::from_bytes([7; 16]),
        turn: 1,
        asked,
        added,
        plans: plans.collect::<HashMap<_, _>>(),
    }
}

/// Shows the items of a run, without their ids.
fn shown(run: &ThreadRun) -> Value {
    let items = items_of(run, &Labels::default());
    let mut shown = serde_json::to_value(&items).unwrap();
    for item in shown.as_array_mut().unwrap() {
        let id = item.as_object_mut().unwrap().shift_remove("id").unwrap();
        assert_eq!(id.as_str().unwrap().len(), id.as_str().unwrap().find('_').unwrap() + 23, "{id}");
    }
    shown
}

#[test]
fn messages_have_parts_of_their_side() {
    let parts = vec![
        Part::Text { text: "What is this?".into() },
        Part::Image(Source { image_url: Some("https://host.example/a.png".into()), ..Source::default() }),
        Part::File(Source { file_id: Some(FileId::from_bytes([1; 16])), ..Source::default() }),
    ];
    let asked = vec![Item::Message(Message { role: Role::User, content: Content::Parts(parts) })];
    let expected = json!([
        {"type": "message", "role": "user", "status": "completed", "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "detail": "auto", "image_url": "https://host.example/a.png"},
            {"type": "input_file", "file_id": FileId::from_bytes([1; 16])},
        ]},
        {"type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "A cat.", "annotations": []}]},
    ]);
    assert_eq!(shown(&run(asked, vec![Item::assistant("A cat.")], &[])), expected);
}

#[test]
fn calls_of_this_server_are_one_item_with_what_came_of_them() {
    let server = Carrier::Server { is_repeatable: true };
    let nobody = Carrier::Nobody { why: "no such tool".into() };
    let added = vec![
        Item::ToolCall(call("a")),
        Item::ToolCall(call("b")),
        Item::ToolCall(call("c")),
        Item::ToolResult(result("a", false)),
        Item::ToolResult(result("b", true)),
    ];
    let expected = json!([
        {"type": "mcp_call", "status": "completed", "name": "look", "arguments": "{\"a\":1}", "output": "of a",
            "server_label": "hosted"},
        {"type": "mcp_call", "status": "failed", "name": "look", "arguments": "{\"a\":1}", "error": "of b",
            "server_label": "hosted"},
        {"type": "mcp_call", "status": "in_progress", "name": "look", "arguments": "{\"a\":1}", "server_label": "hosted"},
    ]);
    let carriers = [("a", server.clone()), ("b", nobody), ("c", server)];
    assert_eq!(shown(&run(Vec::new(), added, &carriers)), expected);
}

#[test]
fn calls_of_others_are_answered_by_an_item_of_their_own() {
    let added = |id: &str| vec![Item::ToolCall(call(id)), Item::ToolResult(result(id, false))];
    let expected = |call_id: &str| {
        json!([
            {"type": "function_call", "status": "completed", "call_id": call_id, "name": "look", "arguments": "{\"a\":1}"},
            {"type": "function_call_output", "status": "completed", "call_id": call_id, "output": "of a"},
        ])
    };
    // A run that waited for the result is named with the call.
    let waited = run(Vec::new(), added("a"), &[("a", Carrier::Caller)]);
    assert_eq!(shown(&waited), expected(&format!("{}::a", waited.id)));
    assert_eq!(shown(&run(added("a"), Vec::new(), &[])), expected("a"));
}

#[test]
fn every_item_of_a_run_has_an_id_of_its_own() {
    let both = |id: &str| [Item::ToolCall(call(id)), Item::ToolResult(result(id, false))];
    let text = || vec![Item::user("a"), Item::assistant("a"), Item::user("a")];
    let asked = text().into_iter().chain(both("a")).collect();
    let added = text().into_iter().chain(both("a")).chain(both("b")).collect();
    let run = run(asked, added, &[("b", Carrier::Server { is_repeatable: false })]);
    let ids: std::collections::HashSet<_> =
        items_of(&run, &Labels::default()).into_iter().map(|item| item.id).collect();
    assert_eq!(ids.len(), 5 + 6);
}
