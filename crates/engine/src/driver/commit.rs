//! Committing: what a run added goes to disk first and to its followers after.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::frames::Frame;
use domain::ids::RunId;
use domain::run::{Ending, Run};
use store::runs::{Append, End, JournalEntry, NewFrames, RunError, RunResult};

use super::{Driver, Stop};
use crate::hub::Published;

/// What was said and is not on its way to disk yet.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) frames: Vec<Frame>,
    pub(super) journal: Vec<JournalEntry>,
    pub(super) bytes: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.journal.is_empty()
    }
}

pub(super) type Commit = Pin<Box<dyn Future<Output = Result<bool, store::Error>> + Send>>;

impl Driver {
    pub(super) fn start_commit(&mut self) -> (Commit, Vec<Arc<Published>>) {
        let pending = std::mem::take(&mut self.pending);
        let from = self.stored_seq;
        let count = u64::try_from(pending.frames.len()).unwrap_or(0);
        self.stored_seq = from.saturating_add(count);
        let position = self.position;
        self.position = position.saturating_add(u64::try_from(pending.journal.len()).unwrap_or(0));
        let frames = published(self.record.id, from, pending.frames.clone());
        let end = self.end();
        if end.is_some() {
            self.count_end();
        }
        let engine = Arc::clone(&self.engine);
        let (run, fence, seal) = (self.record.id, self.record.fence, self.seal.clone());
        let announce = engine.has_peers();
        let commit = async move {
            let append = Append {
                run,
                seal: &seal,
                fence,
                expected_seq: from,
                takes_over: false,
                frames: NewFrames { from, frames: pending.frames },
                journal: (position, pending.journal),
                end,
                announce,
            };
            engine.store.server().append_to_run(&append).await
        };
        (Box::pin(commit), frames)
    }

    /// Deals with the outcome of a commit: what is on disk goes to the followers.
    pub(super) fn kept(
        &self,
        kept: Result<bool, store::Error>,
        frames: Vec<Arc<Published>>,
    ) -> Result<(), Stop> {
        match kept {
            Ok(true) => {
                let rests = frames.last().is_some_and(|last| last.frame.is_terminal());
                self.topic.publish(frames, rests, self.engine.hub.window());
                Ok(())
            }
            Ok(false) => Err(Stop::Superseded),
            Err(error) => Err(self.broken(&error)),
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (commit, frames) = self.start_commit();
        self.kept(commit.await, frames)
    }

    pub(super) fn broken(&self, error: &store::Error) -> Stop {
        if error.is_damage() {
            tracing::error!(run.id = %self.record.id, error = %error, "What is stored of a run cannot be read.");
            return Stop::Unreadable;
        }
        tracing::error!(run.id = %self.record.id, error = %error, "A run could not be stored; it will be taken up again.");
        Stop::Broken
    }

    fn end(&self) -> Option<End> {
        let ending = self.machine.ending()?.clone();
        Some(End { tokens: self.machine.tokens(), result: result_of(&self.machine, &ending), ending })
    }

    fn count_end(&self) {
        let status = self.machine.ending().map_or("", |ending| ending.status().as_str());
        metrics::counter!("ingram_runs_ended_total", "status" => status).increment(1);
    }
}

/// Makes the stored result of a run that has ended.
pub(crate) fn result_of(machine: &Run, ending: &Ending) -> RunResult {
    let error = match ending {
        Ending::Failed { code, message } => Some(RunError { code: *code, message: message.clone() }),
        _ => None,
    };
    RunResult {
        content: machine.text().to_owned(),
        content_type: machine.content_type().map(str::to_owned),
        transcript: machine.transcript().to_vec(),
        warnings: machine.warnings().to_vec(),
        error,
    }
}

pub(crate) fn published(run: RunId, from: u64, frames: Vec<Frame>) -> Vec<Arc<Published>> {
    (from..).zip(frames).map(|(seq, frame)| Published::new(run, seq, frame)).collect()
}
