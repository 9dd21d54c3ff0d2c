//! Starting while the run is being stored: the model is called meanwhile, and nothing that it says leaves the driver before.

use std::sync::Arc;
use std::task::Poll;

use domain::frames::Frame;
use domain::ids::RunId;
use store::runs::{StartError, Started};
use tokio::sync::oneshot;
use tokio_util::sync::ReusableBoxFuture;

use super::commit::published;
use super::{Driver, Stop};
use crate::hub::Published;

/// The storing of a run under way.
pub(crate) struct Starting {
    commit: ReusableBoxFuture<'static, Outcome>,
    /// What the run began with, for its followers once it is stored.
    frames: Vec<Arc<Published>>,
    /// Whoever started the run.
    tell: oneshot::Sender<Outcome>,
}

type Outcome = Result<Started, StartError>;

impl Starting {
    /// Sends a run to be stored, and tells `tell` what came of it once a driver is through with that.
    pub(crate) async fn send(
        run: RunId,
        frames: Vec<Frame>,
        commit: impl Future<Output = Outcome> + Send + 'static,
        tell: oneshot::Sender<Outcome>,
    ) -> Self {
        let mut commit = ReusableBoxFuture::new(commit);
        // It is on its way before anything else is done. What is known at once is kept for whoever asks.
        if let Poll::Ready(outcome) = futures::poll!(&mut commit) {
            commit = ReusableBoxFuture::new(std::future::ready(outcome));
        }
        Self { commit, frames: published(run, 0, frames), tell }
    }

    /// Waits until it is known what came of it. It may be asked again if the wait was cut.
    pub(super) async fn outcome(&mut self) -> Outcome {
        (&mut self.commit).await
    }
}

impl Driver {
    /// Waits until the run is stored, where that is still under way.
    pub(super) async fn settle_start(&mut self) -> Result<(), Stop> {
        let Some(mut starting) = self.starting.take() else { return Ok(()) };
        let outcome = starting.outcome().await;
        self.stored(starting, outcome)
    }

    /// Deals with what came of storing the run: its followers see how it began, and then its caller is told.
    pub(super) fn stored(&mut self, starting: Starting, outcome: Outcome) -> Result<(), Stop> {
        let stop = match &outcome {
            Ok(Started::Running) => {
                self.topic.publish(starting.frames, None, self.engine.hub.window());
                Ok(())
            }
            // It waits for its turn: somebody was there before it, on a thread that was new.
            Ok(Started::Queued) => Err(Stop::Superseded),
            Err(_) => Err(Stop::NotStored),
        };
        // The caller may have gone away; its run goes on.
        let _ = starting.tell.send(outcome);
        stop
    }
}
