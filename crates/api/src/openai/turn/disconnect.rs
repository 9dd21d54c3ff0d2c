//! Cancelling a run whose client has gone away.

use domain::ids::RunId;
use engine::Engine;
use store::ProjectStore;

/// What a run is cancelled with when nobody listens any more.
const REASON: &str = "client_disconnected";

/// Cancels a run when it is dropped, unless it was released: a connection that ends drops whatever answers it.
pub(crate) struct CancelOnDrop {
    run: Option<(Engine, ProjectStore, RunId)>,
}

impl CancelOnDrop {
    pub(crate) fn new(engine: Engine, project: ProjectStore, run: RunId) -> Self {
        Self { run: Some((engine, project, run)) }
    }

    /// Makes one that lets the run go on, whatever becomes of its client.
    pub(crate) fn never() -> Self {
        Self { run: None }
    }

    /// Lets the run be: it rests, or the client is told everything that it can be told.
    pub(crate) fn release(&mut self) {
        self.run = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some((engine, project, run)) = self.run.take() else { return };
        if engine.is_closing() {
            // Here the server goes, and not the client: the next process takes the run up.
            return;
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let canceller = engine.clone();
        canceller.spawn(async move {
            if let Err(problem) = engine.cancel(&project, run, Some(REASON)).await {
                tracing::warn!(run.id = %run, error = %problem.code, "A run could not be cancelled after its client.");
            }
        });
    }
}
