//! Starting while the run is being stored: the model is called meanwhile. What it says may follow the run to a database that
//! keeps that order, and nobody is told of it before the run is stored.

use std::sync::Arc;
use std::task::Poll;

use domain::frames::Frame;
use domain::ids::RunId;
use store::runs::{StartError, Started};
use tokio::sync::oneshot;
use tokio_util::sync::ReusableBoxFuture;

use super::commit::published;
use super::model::Prepared;
use super::{Driver, Stop};
use crate::hub::{Published, Topic, Window};

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

    /// Tells what came of it: its followers see how the run began, and then its caller hears.
    fn tells(self, topic: &Topic, window: Window, outcome: Outcome) -> Result<(), Stop> {
        let stop = match &outcome {
            Ok(Started::Running) => {
                topic.publish(self.frames, None, window);
                Ok(())
            }
            // It waits for its turn: somebody was there before it, on a thread that was new.
            Ok(Started::Queued) => Err(Stop::Superseded),
            // It may be there: then somebody has to drive it.
            Err(StartError::Store(error)) if error.is_unknown() => Err(Stop::Broken),
            Err(_) => Err(Stop::NotStored),
        };
        // The caller may have gone away; its run goes on.
        let _ = self.tell.send(outcome);
        stop
    }
}

impl Driver {
    /// Waits until the run is stored, where that is still under way.
    pub(super) async fn settle_start(&mut self) -> Result<(), Stop> {
        let Some(mut starting) = self.starting.take() else { return Ok(()) };
        let outcome = starting.outcome().await;
        self.stored(starting, outcome)
    }

    /// Deals with what came of storing the run.
    pub(super) fn stored(&mut self, starting: Starting, outcome: Outcome) -> Result<(), Stop> {
        starting.tells(&self.topic, self.engine.hub.window(), outcome)
    }

    /// Prepares the call of the model. It may have to ask tool servers: whoever waits for the run to be stored hears meanwhile.
    pub(super) async fn prepared(&mut self) -> Result<Prepared, Stop> {
        let Some(starting) = self.starting.take() else { return Ok(self.prepare().await) };
        let (topic, window) = (Arc::clone(&self.topic), self.engine.hub.window());
        let mut starting = Some(starting);
        let prepared = {
            let mut preparing = std::pin::pin!(self.prepare());
            let outcome = tokio::select! {
                biased;
                prepared = &mut preparing => Err(prepared),
                outcome = async { match starting.as_mut() { Some(starting) => starting.outcome().await, None => std::future::pending().await } } => Ok(outcome),
            };
            match (outcome, starting.take()) {
                (Ok(outcome), Some(starting)) => {
                    starting.tells(&topic, window, outcome)?;
                    preparing.await
                }
                (Ok(_), None) => preparing.await,
                (Err(prepared), left) => {
                    starting = left;
                    prepared
                }
            }
        };
        self.starting = starting;
        Ok(prepared)
    }
}
