//! Which thread a response belongs to, and what it is given of an earlier one.

use domain::ids::RunId;
use domain::items::Item;
use domain::{Code, Problem};
use http::HeaderMap;
use serde_json::Value;
use store::ProjectStore;
use store::smiths::SmithRecord;

use super::reading;
use crate::extract::Fields;
use crate::native::runs::reply::from_head;
use crate::openai::conversations;

/// The header that names the thread to go on with.
const THREAD: &str = "IC-Thread-Id";
/// How many turns of a chain are read.
const CHAIN: usize = 256;

/// Where a response belongs.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// None: a fresh thread.
    pub(super) thread_id: Option<String>,
    /// Whether the request names what it goes on with.
    pub(super) is_named: bool,
    /// What was said up to an earlier response that is not its thread's newest.
    pub(super) chain: Vec<Item>,
    pub(super) conversation: Option<String>,
}

/// Finds where a response belongs.
pub(super) async fn place(
    project: &ProjectStore,
    smith: &SmithRecord,
    fields: &Fields<'_>,
    headers: &HeaderMap,
) -> Result<Place, Problem> {
    let previous = fields.text("previous_response_id")?.filter(|id| !id.is_empty());
    let conversation = conversation(fields)?;
    if previous.is_some() && conversation.is_some() {
        let message = "`previous_response_id` and `conversation` exclude each other. Give one of them.";
        return Err(Problem::new(Code::InvalidRequest, message).at("conversation"));
    }
    if let Some(previous) = previous {
        return behind(project, smith, previous).await;
    }
    if let Some(id) = conversation {
        return kept(project, smith, &id).await.map_err(|problem| problem.at("conversation"));
    }
    let Some(named) = headers.get(THREAD) else { return Ok(Place::default()) };
    let thread_id = named
        .to_str()
        .ok()
        .and_then(from_head)
        .ok_or_else(|| Problem::invalid_input(THREAD, "`IC-Thread-Id` must have 1 to 255 characters."))?;
    if thread_id.starts_with(conversations::PREFIX) {
        return kept(project, smith, &thread_id).await.map_err(|problem| problem.at(THREAD));
    }
    Ok(Place { thread_id: Some(thread_id), is_named: true, ..Place::default() })
}

/// Goes on with a conversation of the smith.
async fn kept(project: &ProjectStore, smith: &SmithRecord, id: &str) -> Result<Place, Problem> {
    let id = conversations::find(project, smith, id).await?.id.to_string();
    Ok(Place { thread_id: Some(id.clone()), is_named: true, conversation: Some(id), ..Place::default() })
}

/// Reads a conversation: its id, as text or in an object.
fn conversation(fields: &Fields<'_>) -> Result<Option<String>, Problem> {
    let Some(value) = fields.value("conversation") else { return Ok(None) };
    let id = value.as_str().or_else(|| value.get("id").and_then(Value::as_str));
    let id = id.filter(|id| !id.is_empty() && !id.contains('\0'));
    id.map(|id| Some(id.to_owned())).ok_or_else(|| fields.refuse("conversation", "an id, or `{\"id\": …}`"))
}

/// Goes on behind a response: on its thread where it is the newest there, else on a fresh one with what led to it.
async fn behind(project: &ProjectStore, smith: &SmithRecord, previous: &str) -> Result<Place, Problem> {
    let unknown = || Problem::not_found("response").at("previous_response_id");
    let run: RunId = previous.parse().map_err(|_| unknown())?;
    let record = project.run(run).await?.filter(|record| record.smith == smith.id).ok_or_else(unknown)?;
    if !project.has_later_runs(run, smith.id, &record.thread_id).await? {
        return Ok(Place { thread_id: Some(record.thread_id), is_named: true, ..Place::default() });
    }
    let before = project.turns_before(run, smith.id, &record.thread_id, &smith.seal, CHAIN).await?;
    let mut chain: Vec<Item> = before.into_iter().rev().flat_map(|(_, turn)| turn).collect();
    let saved = reading::saved(project, run).await?;
    chain.extend(saved.record.request.items());
    chain.extend(saved.record.result.into_iter().flat_map(|result| result.transcript));
    Ok(Place { is_named: true, chain, ..Place::default() })
}
