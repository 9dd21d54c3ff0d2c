//! What was said in a conversation, read off the runs of its thread.

pub(super) mod list;
mod render;

use domain::ids::RunId;
use domain::items::{Item, ToolResult};
use domain::run::Carrier;
use domain::tools::Identity;
use store::runs::ThreadRun;

use crate::openai::item_ids::{Kind, Place, item_id};
use crate::openai::labels::Labels;
use render::ItemOut;

/// Returns the items of a run, in their order.
fn items_of(run: &ThreadRun, labels: &Labels) -> Vec<ItemOut> {
    let asked = run.asked.iter().enumerate().map(|(index, item)| asked(run.id, index, item));
    let mut items: Vec<ItemOut> = asked.collect();
    let mut said = 0_usize;
    for item in &run.added {
        match item {
            Item::Message(message) => {
                let id = item_id(Kind::Message, run.id, Place::Said(said));
                said = said.saturating_add(1);
                items.push(ItemOut::message(id, message));
            }
            Item::ToolCall(call) if is_own(run, &call.id) => {
                let id = item_id(Kind::McpCall, run.id, Place::Call(&call.id));
                items.push(ItemOut::mcp_call(
                    id,
                    call,
                    labels.of(tool_of(run, &call.id)),
                    result_of(run, &call.id),
                ));
            }
            // It is part of its call.
            Item::ToolResult(result) if is_own(run, &result.call_id) => {}
            Item::ToolCall(call) => {
                let id = item_id(Kind::FunctionCall, run.id, Place::Call(&call.id));
                items.push(ItemOut::function_call(id, shown_call(run, &call.id), call));
            }
            Item::ToolResult(result) => {
                let id = item_id(Kind::FunctionCall, run.id, Place::Result(&result.call_id));
                items.push(ItemOut::function_call_output(id, shown_call(run, &result.call_id), result));
            }
        }
    }
    items
}

fn asked(run: RunId, index: usize, item: &Item) -> ItemOut {
    let id = |kind| item_id(kind, run, Place::Asked(index));
    match item {
        Item::Message(message) => ItemOut::message(id(Kind::Message), message),
        Item::ToolCall(call) => ItemOut::function_call(id(Kind::FunctionCall), call.id.clone(), call),
        Item::ToolResult(result) => {
            ItemOut::function_call_output(id(Kind::FunctionCall), result.call_id.clone(), result)
        }
    }
}

/// Tells whether a call is this server's to carry out. Calls that nobody could carry out were answered by it too.
fn is_own(run: &ThreadRun, call: &str) -> bool {
    matches!(carrier_of(run, call), Some(Carrier::Server { .. } | Carrier::Nobody { .. }))
}

fn carrier_of<'a>(run: &'a ThreadRun, call: &str) -> Option<&'a Carrier> {
    run.plans.get(call).map(|plan| &plan.carrier)
}

fn tool_of<'a>(run: &'a ThreadRun, call: &str) -> Option<&'a Identity> {
    run.plans.get(call).and_then(|plan| plan.tool.as_ref())
}

/// Names a call. A run waits for the result of one that its caller carries out, and the name has to lead back to that run.
fn shown_call(run: &ThreadRun, call: &str) -> String {
    match carrier_of(run, call) {
        Some(Carrier::Caller) => format!("{}::{call}", run.id),
        _ => call.to_owned(),
    }
}

fn result_of<'a>(run: &'a ThreadRun, call: &str) -> Option<&'a ToolResult> {
    run.added.iter().find_map(|item| match item {
        Item::ToolResult(result) if result.call_id == call => Some(result),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
