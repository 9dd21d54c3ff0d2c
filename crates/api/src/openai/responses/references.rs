//! `item_reference`: items that are stored here, named by a later request.

use domain::Problem;
use domain::content::InputLimits;
use domain::ids::SmithId;
use domain::items::{Item, ToolResult};
use serde_json::{Value, json};
use store::ProjectStore;
use store::runs::{RunFilter, RunRecord};

use super::input::{self, Step};
use super::reading;
use crate::openai::item_ids::{Kind, Place, item_id, runs_of};
use crate::openai::turn::Entry;

/// How many runs may have ids so close together that an item's id does not tell them apart.
const CANDIDATES: usize = 8;

/// Puts stored items in the place of references to them.
pub(super) async fn resolve(
    project: &ProjectStore,
    smith: SmithId,
    steps: Vec<Step>,
    limits: InputLimits,
) -> Result<Vec<Step>, Problem> {
    let mut resolved = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            Step::Reference { id, at } => match find(project, smith, &id).await? {
                Some(item) => resolved.extend(input::step(&item, &at, limits)?),
                None => return Err(unknown(&at)),
            },
            step => resolved.push(step),
        }
    }
    Ok(resolved)
}

/// Refuses references of a caller that may not read what they name.
pub(super) fn refuse(steps: &[Step]) -> Result<(), Problem> {
    let reference = steps.iter().find_map(|step| match step {
        Step::Reference { at, .. } => Some(at),
        Step::Entry(Entry::Item(_) | Entry::Answer(_)) | Step::Instruction(_) => None,
    });
    reference.map_or(Ok(()), |at| Err(unknown(at)))
}

fn unknown(at: &str) -> Problem {
    Problem::not_found("item").at(at)
}

/// Finds an item among those that a run was asked.
fn asked(record: &RunRecord, id: &str) -> Option<Value> {
    let items = record.request.overlay.past.iter().cloned();
    let items = items.chain(record.request.input.iter().cloned().map(Item::Message));
    items.enumerate().find_map(|(number, item)| {
        let is_it = |kind| item_id(kind, record.id, Place::Asked(number)) == id;
        match item {
            Item::Message(message) if is_it(Kind::Message) => {
                Some(json!({"type": "message", "role": message.role, "content": message.content}))
            }
            Item::ToolCall(call) if is_it(Kind::FunctionCall) => Some(json!({
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            })),
            Item::ToolResult(result) if is_it(Kind::FunctionCall) => Some(output(&result)),
            _ => None,
        }
    })
}

/// Finds the result of a call among those that a run was given.
fn delivered(record: &RunRecord, id: &str) -> Option<Value> {
    let transcript = record.result.as_ref().map(|result| result.transcript.as_slice()).unwrap_or_default();
    transcript.iter().find_map(|item| match item {
        Item::ToolResult(result)
            if item_id(Kind::FunctionCall, record.id, Place::Result(&result.call_id)) == id =>
        {
            Some(output(result))
        }
        _ => None,
    })
}

/// Makes an item of a result. Its call goes by the name that the run knows it by: what is over is no answer to anything.
fn output(result: &ToolResult) -> Value {
    json!({"type": "function_call_output", "call_id": result.call_id, "output": result.output})
}

/// Finds an item of the smith, also of a run that has not ended.
async fn find(project: &ProjectStore, smith: SmithId, id: &str) -> Result<Option<Value>, Problem> {
    let Some((least, most)) = runs_of(id) else { return Ok(None) };
    let filter = RunFilter { smith: Some(smith), ..RunFilter::default() };
    let runs = project.runs(&filter, Some(most), CANDIDATES).await?;
    for record in runs.into_iter().take_while(|record| record.id >= least) {
        if let Some(item) = asked(&record, id).or_else(|| delivered(&record, id)) {
            return Ok(Some(item));
        }
        let saved = reading::saved(project, record.id).await?;
        let facts = reading::facts(project, &saved).await?;
        let projection = reading::folded(project, &saved, &facts).await?;
        let found = projection.items().find(|item| item.get("id").and_then(Value::as_str) == Some(id));
        if let Some(item) = found {
            return Ok(Some(item));
        }
    }
    Ok(None)
}
