//! Runs whose stored state cannot be read: they are ended without it, so that their lane moves on.

use domain::frames::Frame;
use domain::ids::{Id as _, ProjectId, RunId, SmithId};
use domain::run::Ending;

use super::append::place;
use super::{FRAMES, NodeId, RESULT, RunError, RunResult};
use crate::approvals::Resolution;
use crate::codec::SmithSeal;
use crate::db::{Row, params};
use crate::{Batch, Error, ServerStore};

/// The guard that keeps out whoever lost the run meanwhile.
const FENCE: &str = "unreadable_fence";

/// The thread of a run that was ended, for its lane to move on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freed {
    pub project: ProjectId,
    pub smith: SmithId,
    pub thread_id: String,
}

impl ServerStore {
    /// Gives a running run back that could not be loaded, or that broke its driver. That counts like a crash.
    pub async fn release_broken_run(&self, run: RunId, node: NodeId, fence: u64) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.exec(
            "update runs set owner = null, crashes = crashes + 1 \
             where id = $1 and owner = $2 and fence = $3 and status = 'running'",
            params![run, node, fence],
        );
        self.store.db().commit(batch).await?;
        Ok(())
    }

    /// Ends a run with nothing but what its row says in the clear. Its readers are told in a last frame where the smith's seal
    /// opens. Returns None, with nothing kept, when the run is no longer the writer's.
    pub async fn end_unreadable_run(
        &self,
        run: RunId,
        fence: u64,
        ending: &Ending,
    ) -> Result<Option<Freed>, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select runs.smith_id, runs.thread_id, runs.next_seq, smiths.data_key, runs.project_id from runs \
                 join smiths on smiths.id = runs.smith_id where runs.id = $1 and runs.fence = $2",
                params![run, fence],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let freed = Freed { project: row.get(4)?, smith: row.get(0)?, thread_id: row.get(1)? };
        let telling = self.last_words(&row, &freed, ending);
        let mut ended = self.end_with(run, fence, ending, telling.as_ref()).await;
        // Where frames lie that the row knows nothing of, nothing more is added to them.
        if telling.is_some() && ended.as_ref().is_err_and(Error::is_conflict) {
            ended = self.end_with(run, fence, ending, None).await;
        }
        match ended {
            Ok(()) => Ok(Some(freed)),
            Err(error) if error.is_guard(FENCE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Finds what the run's readers can be told: with which seal, from which seq on, which frames.
    fn last_words(&self, row: &Row, freed: &Freed, ending: &Ending) -> Option<LastWords> {
        let wrapped: Vec<u8> = row.get(3).ok()?;
        let seal = self.store.seal_of(freed.smith, &wrapped).ok()?;
        let from: u64 = row.get(2).ok()?;
        let mut frames = Vec::new();
        if from == 0 {
            // Also a run that never had its turn begins before it ends.
            frames.push(Frame::Started { smith_id: freed.smith, thread_id: freed.thread_id.clone() });
        }
        frames.push(match ending {
            Ending::Failed { code, message, .. } => Frame::Failed { error: message.clone(), code: *code },
            Ending::Cancelled { reason } => Frame::Cancelled { reason: reason.clone() },
            Ending::Completed { .. } => return None,
        });
        Some(LastWords { seal, from, frames })
    }

    async fn end_with(
        &self,
        run: RunId,
        fence: u64,
        ending: &Ending,
        telling: Option<&LastWords>,
    ) -> Result<(), Error> {
        let now = self.store.ids().now();
        let error = match ending {
            Ending::Failed { code, message, transient } => {
                Some(RunError { code: *code, message: message.clone(), transient: *transient })
            }
            _ => None,
        };
        let count = telling.map_or(0, |words| words.frames.len());
        let mut batch = Batch::new();
        batch
            .exec(
                "update runs set status = $1, stop_reason = $2, error_code = $3, next_seq = next_seq + $4, updated_at = $5, \
                 owner = null, fence = fence + 1 \
                 where id = $6 and fence = $7 and status not in ('completed', 'failed', 'cancelled')",
                params![
                    ending.status().as_str(),
                    ending.stop_reason(),
                    error.as_ref().map(|error| error.code.as_str()),
                    count,
                    now,
                    run,
                    fence
                ],
            )
            .must_change_one_row(FENCE);
        batch.exec(
            "update approvals set status = 'rejected', resolution = $3, resolved_at = $2 \
             where run_id = $1 and status = 'pending'",
            params![run, now, resolution(ending).as_str()],
        );
        if let Some(LastWords { seal, from, frames }) = telling {
            let last = from.saturating_add(u64::try_from(count).unwrap_or(0)).saturating_sub(1);
            batch.exec(
                "insert into run_frames (run_id, seq_from, seq_to, body, created_at) values ($1, $2, $3, $4, $5)",
                params![run, *from, last, seal.seal(FRAMES, &place(run, *from), frames)?, now],
            );
            batch.exec(
                "insert into run_results (run_id, body) values ($1, $2) \
                 on conflict (run_id) do update set body = excluded.body",
                params![
                    run,
                    seal.seal(RESULT, &run.as_bytes(), &RunResult { error, ..RunResult::default() })?
                ],
            );
        }
        if self.shares_database() {
            batch.announce(run.to_string());
        }
        self.store.db().commit(batch).await?;
        Ok(())
    }
}

/// The frames with which an unreadable run ends.
struct LastWords {
    seal: SmithSeal,
    from: u64,
    frames: Vec<Frame>,
}

/// Says what became of the questions of a run that ends like this.
fn resolution(ending: &Ending) -> Resolution {
    match ending {
        Ending::Cancelled { reason } if reason.as_deref() == Some(Resolution::Expired.as_str()) => {
            Resolution::Expired
        }
        Ending::Cancelled { .. } => Resolution::RunCancelled,
        Ending::Completed { .. } | Ending::Failed { .. } => Resolution::RunEnded,
    }
}
