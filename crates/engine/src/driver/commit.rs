//! Committing: what a run added goes to disk first and to its followers after.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use domain::Timestamp;
use domain::frames::Frame;
use domain::ids::RunId;
use domain::run::{Ending, Run};
use store::approvals::{ApprovalChanges, ApprovalRequest, Elicited, NewApproval};
use store::runs::{
    Append, Appended, End, JournalEntry, NewFrames, Pause, RunError, RunRecord, RunResult, Standing,
};
use tokio::time::Instant;

use super::{Driver, Stop};
use crate::hub::Published;

/// What was said and is not on its way to disk yet.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) frames: Vec<Frame>,
    pub(super) journal: Vec<JournalEntry>,
    pub(super) bytes: usize,
    /// When the first of it has to be on its way at the latest.
    pub(super) due: Option<Instant>,
}

/// How long what nobody on this node waits for may be held back, so that it shares a commit with what follows.
const LINGER: Duration = Duration::from_millis(25);

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.journal.is_empty()
    }
}

/// A commit under way.
pub(super) type Commit = Pin<Box<dyn Future<Output = Result<Appended, store::Error>> + Send>>;

/// What followers are shown once a commit is on disk.
#[derive(Default)]
pub(super) struct News {
    frames: Vec<Arc<Published>>,
    /// The run as the commit leaves it, if that brings it to rest.
    rest: Option<Arc<RunRecord>>,
    /// Whether the run waits for somebody outside from here on, and this node has nothing more to do with it.
    pauses: bool,
}

impl Driver {
    /// Tells whether a commit can be sent: the run is stored, or the database takes what is sent behind it in that order.
    pub(super) fn may_commit(&self) -> bool {
        self.starting.is_none() || self.engine.store.server().commits_in_order()
    }

    /// Tells whether what is pending has to go to disk now: somebody waits for it, or it has waited long enough.
    pub(super) fn is_due(&mut self) -> bool {
        if self.pending.is_empty() || !self.may_commit() {
            return false;
        }
        // Followers on other nodes are not known here.
        let is_watched = self.engine.has_peers() || self.topic.is_watched();
        let is_full = self.pending.bytes > self.engine.options.max_pending_bytes;
        if is_full || (is_watched && !self.pending.frames.is_empty()) {
            return true;
        }
        let now = Instant::now();
        *self.pending.due.get_or_insert_with(|| now + LINGER) <= now
    }

    /// Begins to commit what is pending. `meanwhile` says that the driver has something else to do until it is on disk.
    pub(super) fn start_commit(&mut self, meanwhile: bool) -> (Commit, News) {
        // Behind a run that is being stored: its guard is what that run leaves, so without the run nothing is kept.
        let meanwhile = meanwhile || self.starting.is_some();
        let pending = std::mem::take(&mut self.pending);
        let from = self.stored_seq;
        let count = u64::try_from(pending.frames.len()).unwrap_or(0);
        self.stored_seq = from.saturating_add(count);
        let position = self.position;
        self.position = position.saturating_add(u64::try_from(pending.journal.len()).unwrap_or(0));
        let frames = published(self.record.id, from, pending.frames.clone());
        let at = self.engine.store.ids().now();
        let (standing, approvals) = self.standing();
        let rest = match &standing {
            Standing::Ends(end) => {
                self.count_end();
                Some(Arc::new(self.record_at_rest(end, at)))
            }
            _ => None,
        };
        let pauses = matches!(standing, Standing::Pauses(_));
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
                standing,
                approvals,
                remember: None,
                meanwhile,
                announce,
                at,
            };
            engine.store.server().append_to_run(&append).await
        };
        (Box::pin(commit), News { frames, rest, pauses })
    }

    /// Returns the record as the batch that ends the run leaves it.
    fn record_at_rest(&self, end: &End, at: Timestamp) -> RunRecord {
        let mut record = self.record.clone();
        record.status = end.ending.status();
        record.stop_reason = Some(end.ending.stop_reason().to_owned());
        record.tokens = end.tokens;
        record.result = Some(end.result.clone());
        record.next_seq = self.stored_seq;
        record.owner = None;
        record.fence = record.fence.saturating_add(1);
        record.updated_at = at;
        record
    }

    /// Deals with the outcome of a commit: what is on disk goes to the followers.
    pub(super) fn kept(&mut self, kept: Result<Appended, store::Error>, news: News) -> Result<(), Stop> {
        let kept = kept.map_err(|error| self.broken(&error))?;
        if !kept.is_kept() {
            return Err(Stop::Superseded);
        }
        self.another_waits = kept == Appended::KeptAndAnotherWaits;
        self.topic.publish(news.frames, news.rest, self.engine.hub.window());
        if news.pauses {
            // Whoever takes the run up from its pause may be on another node: from now on only the database knows.
            self.topic.detach(self.generation);
        }
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        if self.pending.is_empty() || !self.may_commit() {
            self.settle_start().await?;
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        // A run that rests has nothing else to do. In the middle of one, a thread that is taken out of its runtime again and
        // again costs more than it saves.
        let rests = self.machine.ending().is_some() || self.machine.status().is_paused();
        let (mut commit, news) = self.start_commit(!rests);
        if self.starting.is_some() {
            // It is on its way before the run is waited for. What is known at once is kept.
            if let Poll::Ready(kept) = futures::poll!(&mut commit) {
                commit = Box::pin(std::future::ready(kept));
            }
            self.settle_start().await?;
        }
        let kept = commit.await;
        self.kept(kept, news)
    }

    pub(super) fn broken(&self, error: &store::Error) -> Stop {
        if error.is_damage() {
            tracing::error!(run.id = %self.record.id, error = %error, "What is stored of a run cannot be read.");
            return Stop::Unreadable;
        }
        if error.is_outage() {
            tracing::error!(run.id = %self.record.id, error = %error, "A run could not be stored; it will be taken up again.");
            return Stop::Broken;
        }
        // The database is there and does not want what the run has to say: it may never want it.
        tracing::error!(run.id = %self.record.id, error = %error, "The database refused what a run had to store.");
        Stop::Crashed
    }

    /// Returns how the run stands with what is pending, and the questions that it puts.
    fn standing(&self) -> (Standing, ApprovalChanges) {
        if let Some(ending) = self.machine.ending().cloned() {
            let result = result_of(&self.machine);
            let end = End { tokens: self.machine.tokens(), result, ending };
            return (Standing::Ends(end), ApprovalChanges::default());
        }
        if !self.machine.status().is_paused() {
            return (Standing::Runs, ApprovalChanges::default());
        }
        let approvals = ApprovalChanges {
            project: Some(self.record.project),
            smith: Some(self.record.smith),
            asked: asked(&self.machine),
            ..ApprovalChanges::default()
        };
        (Standing::Pauses(pause_of(&self.machine)), approvals)
    }

    fn count_end(&self) {
        let status = self.machine.ending().map_or("", |ending| ending.status().as_str());
        metrics::counter!("ingram_runs_ended_total", "status" => status).increment(1);
    }
}

/// Makes the stored result of a run that has ended.
pub(crate) fn result_of(machine: &Run) -> RunResult {
    let error = match machine.ending() {
        Some(Ending::Failed { code, message, transient }) => {
            Some(RunError { code: *code, message: message.clone(), transient: *transient })
        }
        _ => None,
    };
    RunResult {
        content: machine.text().to_owned(),
        content_type: machine.content_type().map(str::to_owned),
        transcript: machine.transcript().to_vec(),
        pending: machine.pending(),
        suggested_replies: machine.suggested_replies().to_vec(),
        warnings: machine.warnings().to_vec(),
        error,
    }
}

/// Makes the stored record of a run that waits for somebody outside.
pub(crate) fn pause_of(machine: &Run) -> Pause {
    Pause { status: machine.status(), tokens: machine.tokens(), result: result_of(machine) }
}

/// Returns the questions that the latest pause has put.
fn asked(machine: &Run) -> Vec<NewApproval> {
    let Some(step) = machine.step() else { return Vec::new() };
    let latest = step.questions().filter_map(|(_, question)| question.asked_at).max();
    let new =
        step.questions().filter(|(_, question)| question.asked_at == latest && question.choice.is_none());
    new.filter_map(|(call, question)| {
        Some(NewApproval {
            id: question.approval,
            request: ApprovalRequest {
                tool_call_id: call.call.id.clone(),
                tool: call.call.name.clone(),
                args: call.args.clone(),
                elicitation: question.elicitation.as_ref().map(|elicitation| Elicited {
                    message: elicitation.message.clone(),
                    requested_schema: elicitation.requested_schema.clone(),
                }),
            },
            expires_at: question.expires_at()?,
        })
    })
    .collect()
}

pub(crate) fn published(run: RunId, from: u64, frames: Vec<Frame>) -> Vec<Arc<Published>> {
    (from..).zip(frames).map(|(seq, frame)| Published::new(run, seq, frame)).collect()
}
