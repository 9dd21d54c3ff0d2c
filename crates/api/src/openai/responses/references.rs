//! `item_reference`: items that are stored here, named by a later request.

use domain::Problem;
use domain::content::InputLimits;
use domain::ids::SmithId;
use serde_json::{Value, json};
use store::ProjectStore;
use store::runs::RunFilter;

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

/// Finds an item of the smith, also of a run that has not ended.
async fn find(project: &ProjectStore, smith: SmithId, id: &str) -> Result<Option<Value>, Problem> {
    let Some((least, most)) = runs_of(id) else { return Ok(None) };
    let filter = RunFilter { smith: Some(smith), ..RunFilter::default() };
    let runs = project.runs(&filter, Some(most), CANDIDATES).await?;
    for record in runs.into_iter().take_while(|record| record.id >= least) {
        for (number, message) in record.request.input.iter().enumerate() {
            if item_id(Kind::Message, record.id, Place::Asked(number)) == id {
                return Ok(Some(
                    json!({"type": "message", "role": message.role, "content": message.content}),
                ));
            }
        }
        let saved = reading::saved(project, record.id).await?;
        let facts = reading::facts(project, &saved).await?;
        let (projection, _) = reading::folded(project, &saved, &facts).await?;
        let found = projection.items().find(|item| item.get("id").and_then(Value::as_str) == Some(id));
        if let Some(item) = found {
            return Ok(Some(item));
        }
    }
    Ok(None)
}
