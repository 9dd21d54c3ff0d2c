//! Erasing smiths. The store knows what belongs to one; here its runs are stopped first, and an erasure is brought to its end.

use std::time::Duration;

use domain::ids::SmithId;
use domain::{Code, Problem};
use store::ProjectStore;
use store::belongings::{Progress, Receipt};

use crate::Engine;

/// How long one waits who met another at the same erasure.
const ELSEWHERE: Duration = Duration::from_millis(50);

/// Why the runs of an erased smith end, as their frames tell it for as long as they are there.
const REASON: &str = "The smith was erased.";
/// How often in a row a part is tried again that something got in the way of.
const RACES: usize = 100;

impl Engine {
    /// Erases a smith, live or archived: for good, and the same receipt however often it is asked for.
    ///
    /// Returns None when the project has no such smith and never erased one.
    pub async fn erase(&self, project: &ProjectStore, smith: SmithId) -> Result<Option<Receipt>, Problem> {
        let (engine, project) = (self.clone(), project.clone());
        // In a task of its own: a caller that goes away does not stop what cannot be undone.
        let erased = self.inner.tasks.spawn(async move { engine.erase_here(&project, smith).await });
        erased.await.map_err(|_| Problem::internal())?
    }

    pub(crate) async fn erase_here(
        &self,
        project: &ProjectStore,
        smith: SmithId,
    ) -> Result<Option<Receipt>, Problem> {
        let Some(open_runs) = project.begin_erasing(smith).await? else { return Ok(None) };
        // The newest first: else the end of one would let the next one on its thread begin.
        for run in open_runs.into_iter().rev() {
            match self.cancel_here(project, run, Some(REASON)).await {
                Ok(()) => {}
                // It ended by itself meanwhile, or another process is further with the same erasure.
                Err(problem) if matches!(problem.code, Code::RunNotPaused | Code::NotFound) => {}
                // It loses the run with the key.
                Err(problem) => {
                    tracing::warn!(run.id = %run, code = %problem.code, "A run of a smith that is erased could not be cancelled.");
                }
            }
        }
        for run in project.destroy_key(smith).await? {
            self.inner.supersede(run);
            self.inner.hub.wake(run);
        }
        let mut races = 0;
        while races < RACES {
            if self.inner.drained.is_cancelled() {
                return Err(goes_on());
            }
            match project.erase_some(smith).await? {
                Progress::More => races = 0,
                Progress::Elsewhere => {
                    // The other one may have it; what is left is looked at again.
                    races = 0;
                    tokio::time::sleep(ELSEWHERE).await;
                }
                Progress::Raced => races += 1,
                Progress::Done => return Ok(project.receipt(smith).await?),
                Progress::Blocked => {
                    tracing::warn!("Readers held up the end of an erasure; the next round tries again.");
                    return Ok(project.receipt(smith).await?);
                }
            }
        }
        tracing::error!("An erasure does not come to its end: something refers to the smith or its runs.");
        Err(Problem::internal())
    }
}

impl crate::Inner {
    /// Forgets the key of a smith that another process has erased.
    pub(crate) fn heard_of_erasure(&self, smith: &str) {
        match smith.parse::<SmithId>() {
            Ok(smith) => self.store.forget_key(smith),
            Err(_) => self.store.forget_keys(),
        }
    }
}

/// What a caller is told when the server has to go in the middle. Not a 503: those say that nothing was done.
fn goes_on() -> Problem {
    let message = "The server shuts down before all rows of the smith are deleted. Its key is destroyed, and the erasure goes \
                   on when a server runs again. Repeat the request for the receipt.";
    Problem::new(Code::InternalError, message).after_work()
}
