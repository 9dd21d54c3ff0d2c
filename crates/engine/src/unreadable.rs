//! Runs whose stored state cannot be read: given up after a few tries, so that their thread goes on.

use std::sync::Arc;

use domain::ids::RunId;
use domain::run::{Ending, Status};
use domain::{Code, Problem};
use store::ProjectStore;

use crate::{Engine, Inner};

/// How often an unreadable run is taken again that somebody else took in between.
const RACES: usize = 16;

impl Inner {
    /// Deals with a run of this node that could not be loaded. That counts like a crash, and so many in a row end it.
    pub(crate) fn set_aside(self: &Arc<Self>, run: RunId, fence: u64, crashes: u32) {
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            let tries = crashes.saturating_add(1);
            let server = inner.store.server();
            if tries < inner.options.max_crashes {
                if let Err(error) = server.release_broken_run(run, inner.node(), fence).await {
                    tracing::warn!(run.id = %run, error = %error, "A run could not be given back yet; the next round does it.");
                }
                return;
            }
            let message = format!("The run failed {tries} times in a row to be taken up from what is stored of it, and was given up.");
            let ending = Ending::Failed { code: Code::ResumeFailed, message, transient: false };
            match inner.end_unreadable(run, fence, &ending).await {
                Ok(true) => tracing::error!(run.id = %run, "A run was given up because what is stored of it cannot be read."),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(run.id = %run, error = %error, "An unreadable run could not be ended yet; the next round tries again.");
                }
            }
        });
    }

    /// Ends a run without its content and moves its lane on. Returns false when somebody else has the run.
    async fn end_unreadable(
        self: &Arc<Self>,
        run: RunId,
        fence: u64,
        ending: &Ending,
    ) -> Result<bool, store::Error> {
        let Some(freed) = self.store.server().end_unreadable_run(run, fence, ending).await? else {
            return Ok(false);
        };
        metrics::counter!("ingram_runs_ended_total", "status" => ending.status().as_str()).increment(1);
        let had_driver = self.supersede(run);
        self.hub.wake(run);
        if !had_driver {
            // With a driver here, that one moves the lane on when it has stopped.
            self.move_on(freed.project, freed.smith, &freed.thread_id).await;
        }
        Ok(true)
    }
}

impl Engine {
    /// Cancels a run of this project whose content cannot be read.
    pub(crate) async fn cancel_unreadable(
        &self,
        project: &ProjectStore,
        run: RunId,
        reason: Option<&str>,
    ) -> Result<(), Problem> {
        let inner = &self.inner;
        let ending = Ending::Cancelled { reason: reason.map(str::to_owned) };
        for _ in 0..RACES {
            let Some((status, _)) = project.run_position(run).await? else {
                return Err(Problem::not_found("run"));
            };
            if status == Status::Cancelled {
                return Ok(());
            }
            let Some(fence) = inner.store.server().take_run(run, inner.node()).await? else {
                return Err(super::cancel::has_ended(status));
            };
            if inner.end_unreadable(run, fence, &ending).await? {
                return Ok(());
            }
        }
        Err(super::cancel::too_busy())
    }
}

#[cfg(test)]
mod tests;
