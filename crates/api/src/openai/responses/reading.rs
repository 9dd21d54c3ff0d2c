//! Reading a run as a response: its record, its journal, and the frames that are stored of it.

use domain::frames::Frame;
use domain::ids::RunId;
use domain::principals::Permission;
use domain::{Code, Problem};
use serde_json::Value;
use store::runs::Saved;
use store::{ProjectStore, SmithSeal};

use super::facts::Facts;
use super::object;
use super::projection::{Event, Projection};
use crate::app::App;
use crate::extract::{ActingSmith, Caller};

/// How many commits are read from the database at once.
const BLOCKS: usize = 64;

/// A run that a path names.
pub(super) struct Found {
    pub(super) project: ProjectStore,
    pub(super) saved: Saved,
}

/// Finds the run of a response, if the caller may do what it wants with it. Whoever acts as a smith sees its runs alone.
pub(super) async fn find(
    app: &App,
    caller: &Caller,
    acting: &ActingSmith,
    run: RunId,
    permission: Permission,
) -> Result<Found, Problem> {
    let project = caller.permitted(app, permission)?;
    let smith = acting.find(caller, &project).await?;
    let saved = saved(&project, run).await?;
    if smith.is_some_and(|smith| smith != saved.record.smith) {
        return Err(unknown());
    }
    Ok(Found { project, saved })
}

pub(super) fn unknown() -> Problem {
    Problem::not_found("response")
}

pub(super) async fn saved(project: &ProjectStore, run: RunId) -> Result<Saved, Problem> {
    match project.saved_run(run).await {
        Ok(Some(saved)) => Ok(saved),
        Ok(None) => Err(unknown()),
        Err(error) if error.is_damage() => Err(Problem::new(
            Code::ResumeFailed,
            "What is stored of this response cannot be read. GET /v1/smiths/{pid}/runs/{rid} shows what is left of it.",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Reads what the journal says, and who stands behind the tools that were called.
pub(super) async fn facts(project: &ProjectStore, saved: &Saved) -> Result<Facts, Problem> {
    let mut facts = Facts::of(saved);
    if facts.has_servers() {
        let servers = project.mcp_servers_for(None).await?.found;
        facts.servers = servers.into_iter().map(|(server, _)| (server.id, server.name.clone())).collect();
    }
    Ok(facts)
}

/// Folds what is stored of a run up to what its record and journal say.
pub(super) async fn folded(
    project: &ProjectStore,
    saved: &Saved,
    facts: &Facts,
) -> Result<(Projection, Vec<Event>), Problem> {
    let run = saved.record.id;
    let end = saved.record.next_seq;
    let mut projection = Projection::new(run, object::shell(&saved.record));
    let mut events = Vec::new();
    let mut next = 0;
    while next < end {
        let blocks = project.readable_frames(run, &saved.seal, next, BLOCKS).await?;
        if blocks.is_empty() {
            break;
        }
        for block in blocks {
            for (seq, frame) in (block.from..).zip(&block.frames) {
                if (next..end).contains(&seq) {
                    events.extend(projection.apply(seq, frame, facts));
                }
            }
            next = next.max(block.next);
        }
    }
    Ok((projection, events))
}

/// Shows a response as it stands, with the items that began with the frame `since` or later.
pub(super) async fn show(project: &ProjectStore, run: RunId, since: u64) -> Result<Value, Problem> {
    let saved = saved(project, run).await?;
    let facts = facts(project, &saved).await?;
    let (projection, _) = folded(project, &saved, &facts).await?;
    let record = &saved.record;
    let shell = object::shell(record);
    let output = projection.output(since);
    let Some(outcome) = projection.outcome.filter(|_| record.status.is_final() || record.status.is_paused())
    else {
        return Ok(object::under_way(shell, record.status == domain::run::Status::Queued, output));
    };
    Ok(object::ended(shell, &outcome, output, record.tokens, facts.ended_at))
}

/// Skips the pauses that followed at once on the first of several answers: the caller is told what came of all of them.
pub(super) async fn last_stretch(project: &ProjectStore, saved: &Saved, from: u64) -> Result<u64, Problem> {
    let mut from = from;
    while from.saturating_add(1) < saved.record.next_seq || !saved.record.status.is_paused() {
        let blocks = project.readable_frames(saved.record.id, &saved.seal, from, 1).await?;
        let frame = blocks.first().and_then(|block| {
            let at = usize::try_from(from.checked_sub(block.from)?).ok()?;
            block.frames.get(at)
        });
        if !matches!(frame, Some(Frame::Paused { .. })) {
            break;
        }
        from = from.saturating_add(1);
    }
    Ok(from)
}

/// Reads the seal and the record that a stream of the run begins with.
pub(super) fn parts(saved: &Saved) -> (SmithSeal, RunId) {
    (saved.seal.clone(), saved.record.id)
}
