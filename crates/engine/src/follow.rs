//! Followers: cursors over a run's frames. A waiting one costs no task, only its place in its connection.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::RunId;
use domain::{Code, Problem};
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::hub::{Glimpse, Published, Topic, Watch};
use crate::{Engine, driver};

/// How long a follower trusts that another process would have told it; then it looks for itself.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The same where a driver of this process tells.
const TRUST: Duration = Duration::from_secs(300);
/// How many commits a follower reads from the database at once.
const BLOCKS: usize = 64;

/// Whether a follower stays when it has seen what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Follows until the run rests, and wants each frame as soon as it is there.
    Follow,
    /// Follows until the run rests. Frames may wait until they share a commit.
    Unhurried,
    /// Ends after what is stored.
    Stored,
}

/// A follower's place. It is taken before the run that is to be followed is stored or moved on: where there is none, nothing
/// has been done.
#[derive(Debug)]
pub struct Seat {
    _permit: OwnedSemaphorePermit,
}

/// A cursor over the frames of one run.
pub struct Follower {
    project: ProjectStore,
    seal: SmithSeal,
    run: RunId,
    next: u64,
    mode: Mode,
    topic: Arc<Topic>,
    wake: watch::Receiver<u64>,
    drained: CancellationToken,
    /// Whether the server shuts down: streams end where they are.
    closing: bool,
    /// Makes the driver store each frame at once.
    _watch: Option<Watch>,
    _seat: Seat,
}

impl Engine {
    /// Takes a place for a follower.
    pub fn seat(&self) -> Result<Seat, Problem> {
        let seat = Arc::clone(&self.inner.followers).try_acquire_owned();
        seat.map(|permit| Seat { _permit: permit }).map_err(|_| {
            Problem::new(Code::ServiceOverloaded, "Too many streams are open on this server. Retry shortly.")
        })
    }

    /// Follows a run from a seq on.
    pub fn follow(
        &self,
        seat: Seat,
        project: ProjectStore,
        seal: SmithSeal,
        run: RunId,
        from: u64,
        mode: Mode,
    ) -> Follower {
        let inner = &self.inner;
        let topic = inner.hub.topic(run);
        let wake = topic.subscribe();
        let watch = (mode == Mode::Follow).then(|| topic.watch());
        Follower {
            project,
            seal,
            run,
            next: from,
            mode,
            topic,
            wake,
            drained: inner.drained.clone(),
            closing: false,
            _watch: watch,
            _seat: seat,
        }
    }

    /// Waits until a run rests, and returns its record.
    pub async fn rested(
        &self,
        seat: Seat,
        project: &ProjectStore,
        seal: &SmithSeal,
        run: RunId,
    ) -> Result<RunRecord, Problem> {
        self.follow(seat, project.clone(), seal.clone(), run, 0, Mode::Unhurried).rest().await
    }
}

impl Follower {
    /// Returns the frames that come next, at least one, or None when the run rests.
    pub async fn next(&mut self) -> Result<Option<Vec<Arc<Published>>>, Problem> {
        loop {
            // Marked as seen before looking: what comes after wakes the wait below.
            self.wake.borrow_and_update();
            match self.topic.look(self.next) {
                Glimpse::Frames(frames) => return Ok(self.hand_out(frames)),
                Glimpse::Rests => return Ok(None),
                Glimpse::UpToDate if self.mode == Mode::Stored => return Ok(None),
                Glimpse::UpToDate => {}
                Glimpse::Unknown => {
                    let frames = self.read_stored().await?;
                    if !frames.is_empty() {
                        return Ok(self.hand_out(frames));
                    }
                    if self.mode == Mode::Stored || self.rests().await? {
                        return Ok(None);
                    }
                }
            }
            // What was stored last may have come together with the end of the server: one more look.
            if self.closing {
                return Ok(None);
            }
            self.waited().await;
        }
    }

    /// Waits until the run rests and returns its record. The frames up to there are still to be had.
    pub async fn rest(&mut self) -> Result<RunRecord, Problem> {
        self.skip_to_rest().await?;
        self.record().await
    }

    /// Returns the record of the run as it stands.
    pub async fn record(&self) -> Result<RunRecord, Problem> {
        if let Some(record) = self.ended() {
            return Ok(Arc::unwrap_or_clone(record));
        }
        self.project.run(self.run).await?.ok_or_else(|| Problem::not_found("run"))
    }

    /// Returns the record of a run that a driver here has brought to its end.
    pub fn ended(&self) -> Option<Arc<RunRecord>> {
        self.topic.rest()
    }

    /// Waits until the run rests, without the frames.
    async fn skip_to_rest(&mut self) -> Result<(), Problem> {
        loop {
            self.wake.borrow_and_update();
            match self.topic.rests() {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => {
                    let position = self.project.run_position(self.run).await?;
                    if position.is_none_or(|(status, _)| status.is_final() || status.is_paused()) {
                        return Ok(());
                    }
                }
            }
            if self.closing {
                return Err(self.goes_on());
            }
            self.waited().await;
        }
    }

    /// Waits for news of the run, or of the server.
    async fn waited(&mut self) {
        let pause = if self.topic.rests().is_some() { TRUST } else { LOOK_AGAIN };
        tokio::select! {
            () = self.drained.cancelled() => self.closing = true,
            // The pause is only for announcements that never came.
            _ = tokio::time::timeout(pause, self.wake.changed()) => {}
        }
    }

    /// What a caller is told who waited for a run when the server had to go. Not a 503: those say that nothing was done.
    fn goes_on(&self) -> Problem {
        let message = format!(
            "The server shuts down before the run {} has ended. The run goes on; read it with GET …/runs/{}.",
            self.run, self.run
        );
        Problem::new(Code::InternalError, message).after_work()
    }

    fn hand_out(&mut self, frames: Vec<Arc<Published>>) -> Option<Vec<Arc<Published>>> {
        if let Some(last) = frames.last() {
            self.next = last.seq.saturating_add(1);
        }
        Some(frames)
    }

    /// Reads what is stored from the cursor on. The cursor passes over what cannot be read.
    async fn read_stored(&mut self) -> Result<Vec<Arc<Published>>, Problem> {
        loop {
            let blocks = self.project.readable_frames(self.run, &self.seal, self.next, BLOCKS).await?;
            let Some(end) = blocks.last().map(|block| block.next) else { return Ok(Vec::new()) };
            let frames =
                blocks.into_iter().flat_map(|block| driver::published(self.run, block.from, block.frames));
            // A commit's frames lie in one block; the cursor may stand inside it.
            let frames: Vec<_> = frames.filter(|frame| frame.seq >= self.next).collect();
            if !frames.is_empty() {
                return Ok(frames);
            }
            self.next = end;
        }
    }

    /// Tells whether the run rests and everything of it was handed out.
    async fn rests(&self) -> Result<bool, Problem> {
        let Some((status, next_seq)) = self.project.run_position(self.run).await? else { return Ok(true) };
        if !status.is_final() && !status.is_paused() {
            return Ok(false);
        }
        if self.next >= next_seq {
            return Ok(true);
        }
        // Its last frames may have come in between; if there still are none, they are lost and will not come.
        let left = self.project.readable_frames(self.run, &self.seal, self.next, 1).await?;
        Ok(left.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use domain::frames::Frame;
    use domain::run::Ending;

    use super::*;
    use crate::driver::{Driver, Origin};
    use crate::testing::both;

    #[tokio::test]
    async fn followers_of_a_driver_that_panics_look_for_themselves() {
        both(async |world| {
            let inner = &world.engine.inner;
            let run = world.run_elsewhere([9; 16]).await;
            let saved = world.project.saved_run(run).await.unwrap().unwrap();
            let (seal, fence) = (saved.seal.clone(), saved.record.fence);
            let driver =
                Driver::resume(Arc::clone(inner), saved, Origin::Orphan, CancellationToken::new()).unwrap();
            let started = Frame::Started { smith_id: world.smith.id, thread_id: "t".to_owned() };
            inner.hub.topic(run).publish(driver::published(run, 0, vec![started]), None, inner.hub.window());
            let seat = world.engine.seat().unwrap();
            let mut follower = world.engine.follow(seat, world.project.clone(), seal, run, 0, Mode::Follow);
            assert_eq!(follower.next().await.unwrap().unwrap().len(), 1);
            // The run ends in the database, and nobody says so: the follower trusts the driver here to tell it.
            let ending =
                Ending::Failed { code: Code::RunFailed, message: "It ended.".to_owned(), transient: false };
            world.store.server().end_unreadable_run(run, fence, &ending).await.unwrap().unwrap();
            let panicking = inner.tasks.spawn(async move {
                let _driver = driver;
                panic!("A driver panics.");
            });
            assert!(panicking.await.is_err());
            let told = tokio::time::timeout(TRUST / 10, follower.next()).await.expect("it does not wait");
            assert_eq!(told.unwrap().unwrap().last().unwrap().frame.event(), "run.failed");
            assert!(follower.next().await.unwrap().is_none());
        })
        .await;
    }
}
