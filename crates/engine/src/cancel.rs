//! Cancelling runs. Any node can cancel any run: the fence takes it from whoever runs it.

use std::sync::Arc;

use domain::frames::Frame;
use domain::ids::RunId;
use domain::run::{Input, Limits, Run, Status};
use domain::{Code, Problem};
use store::ProjectStore;
use store::approvals::{ApprovalChanges, Resolution};
use store::runs::{Append, Archived, ArchivedWith, End, JournalEntry, NewFrames, Saved, Standing};

use crate::{Engine, context, driver, structured};

/// How many runs of what was archived are cancelled between two looks.
const HANDFUL: usize = 64;
/// How often a cancellation is tried again because somebody else took the run in between.
const RACES: usize = 16;

impl Engine {
    /// Cancels a run. Cancelling one that is cancelled already is no error; one that has ended otherwise is.
    pub async fn cancel(
        &self,
        project: &ProjectStore,
        run: RunId,
        reason: Option<&str>,
    ) -> Result<(), Problem> {
        let (engine, project, reason) = (self.clone(), project.clone(), reason.map(str::to_owned));
        // In a task of its own: a caller that goes away must not leave a cancelled run with its driver.
        let cancelled =
            self.inner.tasks.spawn(async move { engine.cancel_here(&project, run, reason.as_deref()).await });
        cancelled.await.map_err(|_| Problem::internal())?
    }

    pub(crate) async fn cancel_here(
        &self,
        project: &ProjectStore,
        run: RunId,
        reason: Option<&str>,
    ) -> Result<(), Problem> {
        let mut taken = None;
        for _ in 0..RACES {
            let saved = match project.saved_run(run).await {
                Ok(Some(saved)) => saved,
                Ok(None) => return Err(Problem::not_found("run")),
                Err(error) if error.is_damage() => return self.cancel_unreadable(project, run, reason).await,
                Err(error) => return Err(error.into()),
            };
            match saved.record.status {
                Status::Cancelled => return Ok(()),
                status if status.is_final() => return Err(has_ended(status)),
                _ => {}
            }
            match self.end_by_cancelling(saved, reason).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(Trouble::Damaged) => return self.cancel_unreadable(project, run, reason).await,
                Err(Trouble::Problem(problem)) => {
                    self.hand_back(run, taken);
                    return Err(problem);
                }
            }
            // The run's own progress got in the way. From here on nothing is appended to it, however fast its model speaks.
            taken = self.inner.store.server().take_run(run, self.inner.node()).await?;
        }
        self.hand_back(run, taken);
        Err(too_busy())
    }

    /// Cancels the open runs of smiths and projects that were archived, unless this node is about that already.
    pub fn cancel_archived_soon(&self) {
        let engine = self.clone();
        self.spawn(async move {
            let Ok(_only) = engine.inner.cancels_archived.try_lock() else { return };
            if let Err(error) = engine.cancel_archived().await {
                tracing::warn!(error = %error, "Runs of what was archived could not be cancelled; the next round tries again.");
            }
        });
    }

    async fn cancel_archived(&self) -> Result<(), store::Error> {
        loop {
            let archived = self.inner.store.server().runs_of_the_archived(HANDFUL).await?;
            let mut goes_on = archived.len() == HANDFUL;
            for Archived { run, project, with } in archived {
                if self.inner.closing.is_cancelled() {
                    return Ok(());
                }
                let project = self.inner.store.project(project);
                let reason = match with {
                    ArchivedWith::Smith => "The smith was archived.",
                    ArchivedWith::Project => "The project was archived.",
                };
                match self.cancel_here(&project, run, Some(reason)).await {
                    Ok(()) => {}
                    // It ended by itself meanwhile, or was erased.
                    Err(problem) if matches!(problem.code, Code::RunNotPaused | Code::NotFound) => {}
                    Err(problem) => {
                        // It would be found again at once: the next round is soon enough.
                        goes_on = false;
                        tracing::warn!(run.id = %run, error = %problem, "A run of what was archived could not be cancelled.");
                    }
                }
            }
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Gives a run back that was taken for a cancellation which did not come about.
    fn hand_back(&self, run: RunId, taken: Option<u64>) {
        if let Some(fence) = taken {
            let inner = Arc::clone(&self.inner);
            self.inner.tasks.spawn(async move { inner.give_back(run, fence).await });
        }
    }

    /// Appends the cancellation behind what is stored. Returns false when the run moved on meanwhile.
    async fn end_by_cancelling(&self, saved: Saved, reason: Option<&str>) -> Result<bool, Trouble> {
        let Saved { record, config, journal, seal } = saved;
        let position = u64::try_from(journal.len()).unwrap_or(u64::MAX);
        let content_type = structured::content_type(record.request.response_format.as_ref());
        let entries = journal.into_iter().map(|entry| (entry.input, entry.next_seq));
        let mut machine = Run::replay(Limits { model_calls: config.max_model_calls }, content_type, entries)
            .map_err(|_| Trouble::Damaged)?;
        machine.frames_end_at(record.next_seq);
        let project = self.inner.store.project(record.project);
        let streamed = streamed(&project, &record, &seal, machine.call_first_seq()).await?;
        machine.recall_streamed(&streamed);

        let closes = machine.status().is_paused().then_some(Resolution::RunCancelled);
        let mut inputs = Vec::new();
        if machine.status() == Status::Queued {
            // Also a run that never had its turn begins before it ends.
            let thread_id = record.thread_id.clone();
            inputs.push(Input::Started {
                smith_id: record.smith,
                thread_id,
                warnings: context::warnings(&config.config),
            });
        }
        inputs.push(Input::Cancelled { reason: reason.map(str::to_owned), said: streamed });
        let mut frames = Vec::new();
        let mut entries = Vec::new();
        for input in inputs {
            // The journal may be newer than the record beside it: then the run has moved on.
            let Ok(said) = machine.apply(input.clone()) else { return Ok(false) };
            frames.extend(said);
            entries.push(JournalEntry { input, next_seq: machine.next_seq() });
        }
        let Some(ending) = machine.ending().cloned() else { return Err(Problem::internal().into()) };
        let append = Append {
            run: record.id,
            seal: &seal,
            fence: record.fence,
            expected_seq: record.next_seq,
            takes_over: true,
            frames: NewFrames { from: record.next_seq, frames },
            journal: (position, entries),
            standing: Standing::Ends(End {
                tokens: machine.tokens(),
                result: driver::result_of(&machine),
                ending,
            }),
            approvals: ApprovalChanges { closes, ..ApprovalChanges::default() },
            remember: None,
            meanwhile: false,
            announce: self.inner.store.server().shares_database(),
            at: self.inner.store.ids().now(),
        };
        if !self.inner.store.server().append_to_run(&append).await?.is_kept() {
            return Ok(false);
        }
        metrics::counter!("ingram_runs_ended_total", "status" => Status::Cancelled.as_str()).increment(1);
        let had_driver = self.inner.supersede(record.id);
        self.inner.hub.wake(record.id);
        if !had_driver {
            // With a driver here, that one moves the lane on when it has stopped.
            self.inner.move_on(record.project, record.smith, &record.thread_id).await;
        }
        Ok(true)
    }
}

/// Why a cancellation was not written.
enum Trouble {
    /// What is stored of the run makes no sense.
    Damaged,
    Problem(Problem),
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        if error.is_damage() { Self::Damaged } else { Self::Problem(error.into()) }
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

pub(crate) fn has_ended(status: Status) -> Problem {
    let message = format!("The run has ended already ({}); there is nothing to cancel.", status.as_str());
    Problem::new(Code::RunNotPaused, message)
}

pub(crate) fn too_busy() -> Problem {
    Problem::new(Code::ServiceOverloaded, "The run is too busy to be cancelled just now. Retry.")
}

/// Reads the text that a model call had streamed so far.
pub(crate) async fn streamed(
    project: &ProjectStore,
    record: &store::runs::RunRecord,
    seal: &store::SmithSeal,
    from: u64,
) -> Result<String, store::Error> {
    const BLOCKS: usize = 256;
    let mut text = String::new();
    let mut from = from;
    loop {
        let blocks = project.frames(record.id, seal, from, BLOCKS).await?;
        if blocks.is_empty() {
            return Ok(text);
        }
        for block in blocks {
            for (seq, frame) in (block.from..).zip(block.frames) {
                if seq < from {
                    continue;
                }
                from = seq.saturating_add(1);
                if let Frame::Delta { delta } = frame {
                    text.push_str(&delta);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
