//! Reading a run as a response: its record, its journal, and the frames that are stored of it.

use domain::frames::Frame;
use domain::ids::RunId;
use domain::principals::Permission;
use domain::run::Status;
use domain::{Code, Problem};
use engine::Follower;
use serde_json::Value;
use store::runs::{RunRecord, Saved};
use store::{ProjectStore, SmithSeal};

use super::facts::Facts;
use super::object;
use super::projection::Projection;
use crate::app::App;
use crate::extract::{ActingSmith, Caller};
use crate::openai::labels::Labels;
use crate::stored::each_frame;

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
    facts.labels = Labels::find(project, facts.tools()).await?;
    Ok(facts)
}

/// Folds what is stored of a run up to what its record and journal say.
pub(super) async fn folded(
    project: &ProjectStore,
    saved: &Saved,
    facts: &Facts,
) -> Result<Projection, Problem> {
    let record = &saved.record;
    let mut projection = Projection::new(record.id, object::shell(record));
    each_frame(project, record, &saved.seal, |seq, frame| projection.take(seq, frame, facts)).await?;
    Ok(projection)
}

/// Shows a response as it stands, with the items that began with the frame `since` or later.
pub(super) async fn show(project: &ProjectStore, saved: &Saved, since: u64) -> Result<Value, Problem> {
    let facts = facts(project, saved).await?;
    let projection = folded(project, saved, &facts).await?;
    Ok(shown(projection, &saved.record, since))
}

/// Shows a response whose run has come to rest, by the frames that its follower has. What a run without calls said is told
/// without the database.
pub(super) async fn show_rested(
    project: &ProjectStore,
    mut follower: Follower,
    record: &RunRecord,
    since: u64,
) -> Result<Value, Problem> {
    let mut projection = Projection::new(record.id, object::shell(record));
    let mut facts = Facts::of_ended(record);
    let mut has_journal = false;
    let mut next = 0;
    // A run that was paused may go on meanwhile, which is no part of this rest.
    while next < record.next_seq {
        let Some(frames) = follower.next().await? else { break };
        let goes_beyond = frames.iter().any(|frame| frame.seq >= record.next_seq);
        for frame in frames.iter().filter(|frame| frame.seq < record.next_seq) {
            if !has_journal && Projection::tells_calls(&frame.frame) {
                facts = self::facts(project, &saved(project, record.id).await?).await?;
                has_journal = true;
            }
            projection.take(frame.seq, &frame.frame, &facts);
            next = frame.seq.saturating_add(1);
        }
        // What is missing before it is lost, and will not come.
        if goes_beyond {
            break;
        }
    }
    Ok(shown(projection, record, since))
}

fn shown(projection: Projection, record: &RunRecord, since: u64) -> Value {
    let output = projection.output(since);
    let Projection { shell, outcome, .. } = projection;
    let rests = record.status.is_final() || record.status.is_paused();
    match outcome.filter(|_| rests) {
        Some(outcome) => {
            // Of this rest, which is not that of facts which were read later.
            let ended_at = record.status.is_final().then_some(record.updated_at);
            object::ended(shell, &outcome, output, record.tokens, ended_at)
        }
        None => object::under_way(shell, record.status == Status::Queued, output),
    }
}

/// Skips the pauses that followed at once on the first of several answers: the caller is told what came of all of them.
pub(super) async fn last_stretch(
    project: &ProjectStore,
    seal: &SmithSeal,
    run: RunId,
    from: u64,
) -> Result<u64, Problem> {
    let (status, end) = project.run_position(run).await?.ok_or_else(unknown)?;
    let mut from = from;
    while from.saturating_add(1) < end || !status.is_paused() {
        let blocks = project.readable_frames(run, seal, from, 1).await?;
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
