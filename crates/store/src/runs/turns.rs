//! Whose turn it is: the next run of a thread, and of a project that may have only so many at once.

use domain::ids::{ProjectId, SmithId};

use super::{Claimed, NodeId};
use crate::db::{Row, params};
use crate::{Batch, DbError, Error, ServerStore};

const TURN: &str = "turn";

/// A thread on which a run waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingThread {
    pub smith: SmithId,
    pub thread_id: String,
}

/// Tells in SQL whether as many runs of a project are running as may. Counts no further than that.
///
/// On PostgreSQL, batches that are committed at one moment do not see each other, and may go beyond it by as many.
pub(super) fn is_full(project: &str, at_once: &str) -> String {
    format!(
        "(select count(*) from (select 1 from runs where project_id = {project} and status = 'running' \
         limit {at_once}) as running) >= {at_once}"
    )
}

/// Tells in SQL that the run `waiting` waits for nothing but its turn: its lane is free, and nothing of it is archived.
const COULD_RUN: &str = "not exists (select 1 from runs as active where active.smith_id = waiting.smith_id \
    and active.thread_id = waiting.thread_id \
    and active.status in ('running', 'paused_for_approval', 'paused_for_tool')) \
    and exists (select 1 from smiths where smiths.id = waiting.smith_id and smiths.archived_at is null) \
    and exists (select 1 from projects where projects.id = waiting.project_id and projects.archived_at is null)";

/// How many of a project's waiting runs are looked through for whether somebody comes first, the oldest first: those behind
/// threads that pause can be many.
const LOOKED_THROUGH: usize = 256;

/// Selects in SQL runs that wait in a project. The second condition says nothing more, but the databases know the index by it.
fn waiting_in(project: &str) -> String {
    format!("project_id = {project} and status = 'queued' and status <> 'running'")
}

/// Tells in SQL whether a run of a project waits for nothing but its turn: whoever comes later waits behind it.
pub(super) fn somebody_waits(project: &str) -> String {
    let waiting_in = waiting_in(project);
    format!(
        "exists (select 1 from (select project_id, smith_id, thread_id from runs where {waiting_in} order by id \
         limit {LOOKED_THROUGH}) as waiting where {COULD_RUN})"
    )
}

/// Selects in SQL the thread of the oldest run of the project `$1` that could run, where fewer than `$2` are running.
pub(super) fn next_of_project() -> String {
    let (waiting_in, is_full) = (waiting_in("$1"), is_full("$1", "$2"));
    format!(
        "select smith_id, thread_id from runs as waiting where {waiting_in} and {COULD_RUN} and not {is_full} \
         order by id limit 1"
    )
}

impl ServerStore {
    /// Gives the free lane of a thread to the run that has waited longest, if there is one and its project may run one more.
    pub async fn next_on_thread(
        &self,
        node: NodeId,
        smith: SmithId,
        thread_id: &str,
        at_once: Option<usize>,
    ) -> Result<Option<Claimed>, Error> {
        let waiting = self
            .store
            .db()
            .read_one(
                "select id, project_id, fence, crashes from runs where smith_id = $1 and thread_id = $2 and status = 'queued' order by turn limit 1",
                params![smith, thread_id],
            )
            .await?;
        let Some(waiting) = waiting else { return Ok(None) };
        let fence: u64 = waiting.get(2)?;
        let claimed = Claimed {
            run: waiting.get(0)?,
            project: waiting.get(1)?,
            fence: fence.saturating_add(1),
            crashes: waiting.get(3)?,
        };
        let mut values =
            params![node, self.store.ids().now(), claimed.run, smith, thread_id, fence, claimed.project];
        let mut room = String::new();
        if let Some(at_once) = at_once {
            room = format!(" and not {}", is_full("$7", "$8"));
            values.push(at_once.into());
        }
        let mut batch = Batch::new();
        batch
            .exec(
                format!(
                    "update runs set status = 'running', owner = $1, fence = fence + 1, updated_at = $2 \
                     where id = $3 and status = 'queued' and fence = $6 and not exists (select 1 from runs where smith_id = $4 and thread_id = $5 \
                     and status in ('running', 'paused_for_approval', 'paused_for_tool')) \
                     and exists (select 1 from smiths where id = $4 and archived_at is null) \
                     and exists (select 1 from projects where id = $7 and archived_at is null){room}"
                ),
                values,
            )
            .must_change_one_row(TURN);
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(Some(claimed)),
            // Somebody else moved the lane on, a run is on it, or the project has as many as it may: whoever ends one of them
            // comes here again. What is archived has no turn any more, and is about to be cancelled.
            Err(error) if error.is_guard(TURN) || error.is_conflict() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Finds the thread of the oldest run of a project that could run now: it waits for its turn, and fewer than `at_once` are running.
    pub async fn next_of_project(
        &self,
        project: ProjectId,
        at_once: usize,
    ) -> Result<Option<WaitingThread>, Error> {
        let row = self.store.db().read_one(&next_of_project(), params![project, at_once]).await?;
        Ok(row.as_ref().map(waiting_thread).transpose()?)
    }

    /// Finds threads whose lane is free although a run waits on it: whoever should have moved them on has died.
    pub async fn stalled_threads(&self, limit: usize) -> Result<Vec<WaitingThread>, Error> {
        let sql = format!(
            "select distinct smith_id, thread_id from runs as waiting where status = 'queued' and {COULD_RUN} limit $1"
        );
        let rows = self.store.db().read(&sql, params![limit]).await?;
        Ok(rows.iter().map(waiting_thread).collect::<Result<_, _>>()?)
    }

    /// Finds projects of which runs wait although fewer than `at_once` are running.
    pub async fn stalled_projects(&self, at_once: usize, limit: usize) -> Result<Vec<ProjectId>, Error> {
        let (waiting_in, is_full) = (waiting_in("projects.id"), is_full("projects.id", "$1"));
        let sql = format!(
            "select id from projects where archived_at is null and not {is_full} \
             and exists (select 1 from runs as waiting where {waiting_in} and {COULD_RUN}) limit $2"
        );
        let rows = self.store.db().read(&sql, params![at_once, limit]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?)
    }
}

fn waiting_thread(row: &Row) -> Result<WaitingThread, DbError> {
    Ok(WaitingThread { smith: row.get(0)?, thread_id: row.get(1)? })
}
