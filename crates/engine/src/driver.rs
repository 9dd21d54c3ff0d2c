//! The driver around the run machine: the only place that awaits models, and the one that commits what they say.
//!
//! A run has one commit under way at most. What its model says meanwhile waits and rides in the next one, so a fast stream
//! costs few commits and a slow one is on disk and with its followers as soon as it is said.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::frames::Frame;
use domain::ids::RunId;
use domain::run::{Action, Ending, Input, Reply, Run, Verdict};
use domain::{Code, Problem};
use futures::{FutureExt as _, StreamExt as _};
use models::{Event, Failure, FailureKind};
use store::SmithSeal;
use store::runs::{Append, End, JournalEntry, NewFrames, RunConfig, RunRecord, RunResult, Saved};
use tokio_util::sync::CancellationToken;

use crate::hub::{Published, Topic};
use crate::{Inner, cancel, context, structured};

/// Why a driver let go of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The run has come to rest.
    Ended,
    /// Somebody else has taken the run: a cancellation, or a replica that thought this one dead.
    Superseded,
    /// The server shuts down; the run was given back.
    HandedOver,
    /// The database did not take what was to be written; the run is given back for another try.
    Broken,
}

/// Where a driver has its run from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It begins here and now.
    Lane,
    /// A process had it before; what that one was about has to be done again.
    Orphan,
}

/// Whether a run's thread can have a past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thread {
    /// It was made for this run.
    Fresh,
    Named,
}

/// Why the driver has to stop in the middle.
enum Stop {
    Superseded,
    HandOver,
    Broken,
}

pub(crate) struct Driver {
    engine: Arc<Inner>,
    topic: Arc<Topic>,
    record: RunRecord,
    config: RunConfig,
    seal: SmithSeal,
    machine: Run,
    /// The next free position in the journal.
    position: u64,
    /// The next seq that is not on disk yet.
    stored_seq: u64,
    pending: Pending,
    origin: Origin,
    /// Whether nothing can have been said on the thread before.
    is_fresh_thread: bool,
    /// Ends when somebody took the run from this driver.
    stop: CancellationToken,
}

/// What was said and is not on its way to disk yet.
#[derive(Default)]
struct Pending {
    frames: Vec<Frame>,
    journal: Vec<JournalEntry>,
    bytes: usize,
}

type Commit = Pin<Box<dyn Future<Output = Result<bool, store::Error>> + Send>>;

impl Driver {
    /// Takes up a run as it was saved: fresh from the queue, or from a process that is gone.
    pub(crate) fn resume(
        engine: Arc<Inner>,
        saved: Saved,
        origin: Origin,
        stop: CancellationToken,
    ) -> Result<Self, Problem> {
        let Saved { record, config, journal, seal } = saved;
        let position = u64::try_from(journal.len()).unwrap_or(u64::MAX);
        let limits = engine.machine_limits();
        let content_type = structured::content_type(record.request.response_format.as_ref());
        let entries = journal.into_iter().map(|entry| (entry.input, entry.next_seq));
        let machine = Run::replay(limits, content_type, entries).map_err(|refusal| {
            tracing::error!(run.id = %record.id, error = %refusal, "A run's journal makes no sense.");
            Problem::internal()
        })?;
        let topic = engine.hub.topic(record.id);
        let stored_seq = record.next_seq;
        let mut driver = Self {
            engine,
            topic,
            record,
            config,
            seal,
            machine,
            position,
            stored_seq,
            pending: Pending::default(),
            origin,
            is_fresh_thread: false,
            stop,
        };
        driver.machine.frames_end_at(stored_seq);
        driver.topic.attach();
        Ok(driver)
    }

    /// Takes up a run that was stored a moment ago by this process, with the frames that it began with.
    pub(crate) fn begin(
        engine: Arc<Inner>,
        saved: Saved,
        beginning: Vec<Frame>,
        thread: Thread,
        stop: CancellationToken,
    ) -> Result<Self, Problem> {
        let mut driver = Self::resume(engine, saved, Origin::Lane, stop)?;
        driver.is_fresh_thread = thread == Thread::Fresh;
        let window = driver.engine.hub.window();
        driver.topic.publish(published(driver.record.id, 0, beginning), false, window);
        Ok(driver)
    }

    pub(crate) fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Drives the run until it rests or has to be let go.
    pub(crate) async fn drive(mut self) -> Left {
        let stopped = match self.run().await {
            Ok(()) => return Left::Ended,
            Err(stopped) => stopped,
        };
        self.topic.detach();
        match stopped {
            Stop::Superseded => Left::Superseded,
            Stop::Broken => Left::Broken,
            Stop::HandOver => {
                let node = self.record.owner.unwrap_or_default();
                let released =
                    self.engine.store.server().release_run(self.record.id, node, self.record.fence).await;
                if let Err(error) = released {
                    tracing::warn!(run.id = %self.record.id, error = %error, "A run could not be handed over; it goes with its node.");
                }
                Left::HandedOver
            }
        }
    }

    async fn run(&mut self) -> Result<(), Stop> {
        if self.record.crashes >= self.engine.options.max_crashes {
            self.begin_if_queued()?;
            self.recall_streamed().await?;
            let message = format!(
                "The run was under way {} times when its server went down, and was given up.",
                self.record.crashes
            );
            self.apply(Input::Abandoned { message, said: self.machine.saying().to_owned() })?;
            return self.flush().await;
        }
        let mut cut = self.origin == Origin::Orphan && self.machine.decide() == Action::CallModel;
        self.begin_if_queued()?;
        loop {
            match self.machine.decide() {
                Action::CallModel => {
                    if std::mem::take(&mut cut) {
                        if self.reattached().await? {
                            continue;
                        }
                        self.apply(Input::Resumed)?;
                    }
                    // Nothing is called before what led to it is on disk.
                    self.flush().await?;
                    self.call_model().await?;
                }
                Action::CallTools(calls) => {
                    self.flush().await?;
                    let results = calls.iter().map(context::no_such_tool).collect();
                    self.apply(Input::Answered { results })?;
                }
                Action::Wait | Action::Rest => return self.flush().await,
            }
        }
    }

    /// Begins a run that comes from the queue.
    fn begin_if_queued(&mut self) -> Result<(), Stop> {
        if self.machine.decide() == Action::Wait {
            let warnings = context::warnings(&self.config.config);
            let thread_id = self.record.thread_id.clone();
            self.apply(Input::Started { smith_id: self.record.smith, thread_id, warnings })?;
        }
        Ok(())
    }

    /// Applies an input to the machine and notes what it said and what has to be remembered.
    fn apply(&mut self, input: Input) -> Result<(), Stop> {
        let journaled = input.is_journaled().then(|| input.clone());
        let frames = self.machine.apply(input).map_err(|refusal| {
            tracing::error!(run.id = %self.record.id, error = %refusal, "The run machine refused an input.");
            Stop::Broken
        })?;
        for frame in &frames {
            if let Frame::Delta { delta } = frame {
                self.pending.bytes = self.pending.bytes.saturating_add(delta.len());
            }
        }
        self.pending.frames.extend(frames);
        if let Some(input) = journaled {
            self.pending.journal.push(JournalEntry { input, next_seq: self.machine.next_seq() });
        }
        Ok(())
    }

    fn call_failed(&mut self, code: Code, message: String) -> Result<(), Stop> {
        let said = self.machine.saying().to_owned();
        self.apply(Input::CallFailed { code, message, said })
    }

    async fn call_model(&mut self) -> Result<(), Stop> {
        let (credentials, request) = match self.prepare().await {
            Ok(prepared) => prepared,
            Err(problem) => return self.call_failed(problem.code, problem.message),
        };
        let format = self.record.request.response_format.clone();
        let mut stream = self.engine.models.call(&credentials, request).boxed();
        let mut answer = Answer::default();
        let mut held_back = Vec::new();
        let stop = self.stop.clone();
        let drained = self.engine.drained.clone();
        let mut commit: Option<(Commit, Vec<Arc<Published>>)> = None;
        loop {
            if commit.is_none() && !self.pending.frames.is_empty() {
                commit = Some(self.start_commit());
            }
            let full = self.pending.bytes > self.engine.options.max_pending_bytes;
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Stop::Superseded),
                () = drained.cancelled() => {
                    if let Some((commit, frames)) = commit.take() {
                        self.kept(commit.await, frames)?;
                    }
                    self.flush().await?;
                    return Err(Stop::HandOver);
                }
                kept = async { match commit.as_mut() { Some((commit, _)) => commit.await, None => std::future::pending().await } } => {
                    let frames = commit.take().map(|(_, frames)| frames).unwrap_or_default();
                    self.kept(kept, frames)?;
                    None
                }
                event = stream.next(), if !full => Some(event),
            };
            // Whatever the provider has sent already goes into one commit.
            let mut next = event;
            while let Some(event) = next.take() {
                let end = match event {
                    Some(Ok(Event::Finished { stop, tokens })) => Some(Ok((stop, tokens))),
                    Some(Ok(event)) => {
                        self.said(event, &mut answer, format.is_some(), &mut held_back)?;
                        None
                    }
                    Some(Err(failure)) => Some(Err(failure)),
                    None => Some(Err(cut_off())),
                };
                if let Some(end) = end {
                    drop(stream);
                    if let Some((commit, frames)) = commit.take() {
                        self.kept(commit.await, frames)?;
                    }
                    return self.answered(answer, end, held_back);
                }
                if answer.text.len() > self.engine.options.max_answer_bytes {
                    drop(stream);
                    if let Some((commit, frames)) = commit.take() {
                        self.kept(commit.await, frames)?;
                    }
                    let message = format!(
                        "The answer grew over {} bytes and was cut. Ask for less, or raise engine.max_answer_bytes.",
                        self.engine.options.max_answer_bytes
                    );
                    return self.call_failed(Code::RunFailed, message);
                }
                if self.pending.bytes <= self.engine.options.max_pending_bytes {
                    next = stream.next().now_or_never();
                }
            }
        }
    }

    /// Finds with whom and what the model is called.
    async fn prepare(&self) -> Result<(models::Credentials, models::Request), Problem> {
        let project = self.engine.store.project(self.record.project);
        let choice =
            self.engine.keys.choose(&project, Some(self.record.smith), &self.config.resolved_model).await?;
        let past = match &self.record.request.response_format {
            // A structured answer is one stateless shot.
            Some(_) => Vec::new(),
            None if self.is_fresh_thread => Vec::new(),
            None => {
                let limit = self.engine.options.context_turns;
                project
                    .turns_before(
                        self.record.id,
                        self.record.smith,
                        &self.record.thread_id,
                        &self.seal,
                        limit,
                    )
                    .await?
            }
        };
        let items =
            context::conversation(&self.record, past, &self.machine, self.engine.options.context_tokens);
        let turns = context::turns(&project, self.record.smith, &self.seal, items).await?;
        let request = models::Request {
            model: choice.route.model,
            instructions: self.config.config.instructions.clone().unwrap_or_default(),
            turns,
            response_format: self.record.request.response_format.clone(),
            // Runs of one smith begin with the same instructions.
            cache_key: Some(self.record.smith.to_string()),
            ..models::Request::default()
        };
        Ok((choice.credentials, request))
    }

    fn said(
        &mut self,
        event: Event,
        answer: &mut Answer,
        hold: bool,
        held_back: &mut Vec<String>,
    ) -> Result<(), Stop> {
        match event {
            Event::Accepted { reference } => self.apply(Input::Accepted { reference }),
            Event::Text(text) if text.is_empty() => Ok(()),
            Event::Text(text) => {
                answer.text.push_str(&text);
                if hold {
                    // Text that has to have a form is passed on once it is known to have it.
                    held_back.push(text);
                    return Ok(());
                }
                self.apply(Input::Delta { text })
            }
            Event::ToolCall(call) => {
                answer.tool_calls.push(call);
                Ok(())
            }
            Event::Reasoning(_) | Event::Finished { .. } => Ok(()),
        }
    }

    fn answered(
        &mut self,
        answer: Answer,
        end: Result<(domain::run::StopReason, domain::usage::Tokens), Failure>,
        held_back: Vec<String>,
    ) -> Result<(), Stop> {
        let (stop, tokens) = match end {
            Ok(end) => end,
            Err(failure) => {
                return self.call_failed(Code::ModelRequestFailed, failure.message);
            }
        };
        let verdict = match &self.record.request.response_format {
            Some(format) if answer.tool_calls.is_empty() => structured::judge(format, &answer.text),
            _ => Verdict::NotAsked,
        };
        if !matches!(verdict, Verdict::Misses { .. }) {
            for text in held_back {
                self.apply(Input::Delta { text })?;
            }
        }
        let Answer { text, tool_calls } = answer;
        self.apply(Input::Replied { reply: Reply { text, tool_calls, stop, tokens, verdict } })
    }

    /// Fetches the answer of a call that a dead process had made, where the provider keeps it: nothing is paid twice.
    async fn reattached(&mut self) -> Result<bool, Stop> {
        let Some(reference) = self.machine.reference().map(str::to_owned) else { return Ok(false) };
        let project = self.engine.store.project(self.record.project);
        let choice =
            self.engine.keys.choose(&project, Some(self.record.smith), &self.config.resolved_model).await;
        let Ok(choice) = choice else { return Ok(false) };
        let stop = self.stop.clone();
        let drained = self.engine.drained.clone();
        let events = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Stop::Superseded),
            () = drained.cancelled() => return Err(Stop::HandOver),
            events = self.engine.models.reattach(&choice.credentials, &choice.route.model, &reference) => events,
        };
        let Some(events) = events else { return Ok(false) };
        let mut answer = Answer::default();
        let mut end = None;
        for event in events {
            match event {
                Event::Text(text) => answer.text.push_str(&text),
                Event::ToolCall(call) => answer.tool_calls.push(call),
                Event::Finished { stop, tokens } => end = Some((stop, tokens)),
                Event::Accepted { .. } | Event::Reasoning(_) => {}
            }
        }
        let Some(end) = end else { return Ok(false) };
        let streamed = self.streamed().await?;
        let mut held_back = Vec::new();
        match answer.text.strip_prefix(streamed.as_str()) {
            // The stored answer goes on where the stream was cut.
            Some(rest) => {
                self.machine.recall_streamed(&streamed);
                if !rest.is_empty() {
                    held_back.push(rest.to_owned());
                }
            }
            None => {
                self.apply(Input::Resumed)?;
                held_back.push(answer.text.clone());
            }
        }
        self.answered(answer, Ok(end), held_back)?;
        Ok(true)
    }

    /// Reads what the present model call had streamed before its process died.
    async fn streamed(&self) -> Result<String, Stop> {
        let project = self.engine.store.project(self.record.project);
        let from = self.machine.call_first_seq();
        cancel::streamed(&project, &self.record, &self.seal, from).await.map_err(|error| self.broken(&error))
    }

    async fn recall_streamed(&mut self) -> Result<(), Stop> {
        let streamed = self.streamed().await?;
        self.machine.recall_streamed(&streamed);
        Ok(())
    }

    fn start_commit(&mut self) -> (Commit, Vec<Arc<Published>>) {
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
    fn kept(&self, kept: Result<bool, store::Error>, frames: Vec<Arc<Published>>) -> Result<(), Stop> {
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

    async fn flush(&mut self) -> Result<(), Stop> {
        if self.pending.frames.is_empty() && self.pending.journal.is_empty() {
            return Ok(());
        }
        let (commit, frames) = self.start_commit();
        self.kept(commit.await, frames)
    }

    fn broken(&self, error: &store::Error) -> Stop {
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
        Ending::Failed { code, message } => {
            Some(store::runs::RunError { code: *code, message: message.clone() })
        }
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

#[derive(Default)]
struct Answer {
    text: String,
    tool_calls: Vec<domain::items::ToolCall>,
}

fn cut_off() -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        message: "The provider's stream ended without an end. Try again.".to_owned(),
    }
}
