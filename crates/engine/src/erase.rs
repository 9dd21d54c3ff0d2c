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
        let mut patience = Patience::default();
        loop {
            if self.inner.drained.is_cancelled() {
                return Err(goes_on());
            }
            match patience.after(project.erase_some(smith).await?) {
                Next::Again => {}
                // The other one may have it; what is left is looked at again.
                Next::Pause => tokio::time::sleep(ELSEWHERE).await,
                Next::End => return Ok(project.receipt(smith).await?),
                Next::GiveUp => {
                    tracing::error!(
                        "An erasure does not come to its end: something refers to the smith or its runs."
                    );
                    return Err(Problem::internal());
                }
            }
        }
    }
}

/// What is done after a part of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Again,
    Pause,
    End,
    GiveUp,
}

/// Counts how often in a row something got in the way of a part.
#[derive(Default)]
struct Patience {
    races: usize,
}

impl Patience {
    fn after(&mut self, part: Progress) -> Next {
        self.races = if part == Progress::Raced { self.races.saturating_add(1) } else { 0 };
        match part {
            Progress::Raced if self.races >= RACES => Next::GiveUp,
            Progress::Raced | Progress::More => Next::Again,
            // However often: each time, somebody else has done it.
            Progress::Elsewhere => Next::Pause,
            Progress::Done => Next::End,
            Progress::Blocked => {
                tracing::warn!("Readers held up the end of an erasure; the next round tries again.");
                Next::End
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::both;

    #[test]
    fn who_is_always_second_never_gives_up_and_who_gets_nowhere_does() {
        let mut patience = Patience::default();
        for _ in 0..10 * RACES {
            assert_eq!(patience.after(Progress::Elsewhere), Next::Pause);
        }
        for _ in 1..RACES {
            assert_eq!(patience.after(Progress::Raced), Next::Again);
        }
        assert_eq!(patience.after(Progress::More), Next::Again, "a part that is done begins the count anew");
        for _ in 1..RACES {
            assert_eq!(patience.after(Progress::Raced), Next::Again);
        }
        assert_eq!(patience.after(Progress::Raced), Next::GiveUp);
        for last in [Progress::Done, Progress::Blocked] {
            assert_eq!(patience.after(last), Next::End);
        }
    }

    #[tokio::test]
    async fn erasers_that_meet_have_the_same_receipt() {
        both(async |world| {
            for _ in 0..4 {
                world.run_elsewhere([9; 16]).await;
            }
            let smith = world.smith.id;
            let erasers = (0..4).map(|_| world.engine.erase(&world.project, smith));
            let receipts = futures::future::join_all(erasers).await;
            let first = receipts[0].as_ref().unwrap().as_ref().unwrap();
            assert_eq!(first.smith, smith);
            for receipt in &receipts {
                assert_eq!(receipt.as_ref().unwrap().as_ref(), Some(first));
            }
        })
        .await;
    }
}
