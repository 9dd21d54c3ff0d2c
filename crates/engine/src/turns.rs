//! Giving runs that wait their turn: on their thread, and in a project that may have only so many running at once.

use std::sync::Arc;

use domain::ids::{ProjectId, SmithId};

use crate::{Inner, Origin};

/// How many runs of a project are given their turn because one of them made room. There is room for one, and for those whose
/// own turn came to nothing.
const HANDFUL: usize = 16;

impl Inner {
    /// Lets in who waits, after a run has left its thread's lane.
    pub(crate) async fn move_on(self: &Arc<Self>, project: ProjectId, smith: SmithId, thread_id: &str) {
        match self.options.at_once() {
            // Whoever waits on the same thread is in line with all others of the project.
            Some(at_once) => self.fill(project, at_once).await,
            None => self.take_turn(smith, thread_id).await,
        }
    }

    /// Lets in who waits for the project, after a run has paused: it keeps its lane, and is not running.
    pub(crate) async fn has_paused(self: &Arc<Self>, project: ProjectId) {
        if let Some(at_once) = self.options.at_once() {
            self.fill(project, at_once).await;
        }
    }

    /// Gives the runs of a project their turns, the oldest first, until as many are running as may.
    pub(crate) async fn fill(self: &Arc<Self>, project: ProjectId, at_once: usize) {
        let mut before = None;
        for _ in 0..HANDFUL {
            if self.closing.is_cancelled() {
                return;
            }
            match self.store.server().next_of_project(project, at_once).await {
                // What could not be taken a moment ago is left to the next round.
                Ok(next) if next == before => return,
                Ok(Some(waiting)) => {
                    // Somebody else may be faster; then there may be room for another one still.
                    self.take_turn(waiting.smith, &waiting.thread_id).await;
                    before = Some(waiting);
                }
                Ok(None) => return,
                Err(error) => return failed(&error),
            }
        }
    }

    /// Gives a free lane to the run that has waited longest on it.
    pub(crate) async fn take_turn(self: &Arc<Self>, smith: SmithId, thread_id: &str) {
        if self.closing.is_cancelled() {
            return;
        }
        let (server, at_once) = (self.store.server(), self.options.at_once());
        match server.next_on_thread(self.node(), smith, thread_id, at_once).await {
            Ok(Some(claimed)) => {
                self.take_up(claimed, Origin::Lane).await;
            }
            Ok(None) => {}
            Err(error) => failed(&error),
        }
    }
}

fn failed(error: &store::Error) {
    tracing::warn!(error = %error, "The next run that waits could not be started; the next round tries again.");
}
