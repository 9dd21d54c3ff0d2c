//! The driver around the run machine: the only place that awaits models, and the one that commits what they say.
//!
//! A run has one commit under way at most, and one may follow the storing of the run itself. What its model says
//! meanwhile waits and rides in the next one, so a fast stream costs few commits and a slow one is on disk and with its
//! followers as soon as it is said.

mod choosing;
mod commit;
mod first_word;
mod model;
mod starting;
mod tools;
mod under_way;

use std::sync::Arc;

use domain::Problem;
use domain::frames::{Frame, Warning};
use domain::run::{Action, Input, Limits, Run, Status, Step};
use store::SmithSeal;
use store::runs::{JournalEntry, RunConfig, RunRecord, Saved};
use tokio_util::sync::CancellationToken;

use crate::hub::Topic;
use crate::toolbox::Toolbox;
use crate::{Inner, cancel, context, structured};

pub(crate) use choosing::Chosen;
use commit::Pending;
pub(crate) use commit::{pause_of, published, result_of};
pub(crate) use starting::Starting;
pub(crate) use tools::cut;

/// Why a driver let go of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The run has come to rest and nobody waits behind it.
    Ended,
    /// The run has come to rest, and another waits on its thread.
    EndedBeforeAnother,
    /// The run waits for somebody outside, and keeps its lane.
    Paused,
    /// Somebody else has taken the run: a cancellation, or a replica that thought this one dead.
    Superseded,
    /// The server shuts down; the run was given back.
    HandedOver,
    /// The database did not take what was to be written; the run is given back for another try.
    Broken,
    /// What is stored of the run makes no sense; that counts like a crash.
    Unreadable,
    /// The run broke its driver, or the database is there and refuses what was to be written; that counts like a crash.
    Crashed,
    /// The run was not stored, so there is none.
    NotStored,
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
    Unreadable,
    Crashed,
    NotStored,
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
    /// The storing of the run itself, while it is under way.
    starting: Option<Starting>,
    origin: Origin,
    /// Whether nothing can have been said on the thread before.
    is_fresh_thread: bool,
    /// How the model is called, as it was found out last.
    chosen: Option<Chosen>,
    /// What the driver shows its topic when it goes.
    generation: u64,
    /// Whether the last commit found another run waiting on the thread.
    another_waits: bool,
    /// The tools of the run, once they were needed.
    toolbox: Option<Arc<Toolbox>>,
    /// What the run has to do without, and was not told yet.
    found_missing: Vec<Warning>,
    /// Whether the calls under way were planned with these tools, and not by an earlier driver.
    has_planned: bool,
    /// Ends when somebody took the run from this driver.
    stop: CancellationToken,
}

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
        let limits = Limits { model_calls: config.max_model_calls };
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
            starting: None,
            origin,
            is_fresh_thread: false,
            chosen: None,
            generation: 0,
            another_waits: false,
            toolbox: None,
            found_missing: Vec::new(),
            has_planned: false,
            stop,
        };
        driver.machine.frames_end_at(stored_seq);
        driver.generation = driver.topic.attach();
        Ok(driver)
    }

    /// Takes up a run that was stored a moment ago by this process, with the frames that it began with.
    pub(crate) fn begin(
        engine: Arc<Inner>,
        saved: Saved,
        beginning: Vec<Frame>,
        thread: Thread,
        chosen: Chosen,
        stop: CancellationToken,
    ) -> Result<Self, Problem> {
        let driver = Self::resume(engine, saved, Origin::Lane, stop)?.beginning(thread, chosen);
        let window = driver.engine.hub.window();
        driver.topic.publish(published(driver.record.id, 0, beginning), None, window);
        Ok(driver)
    }

    /// Takes up a run that is being stored.
    pub(crate) fn begin_meanwhile(
        engine: Arc<Inner>,
        saved: Saved,
        starting: Starting,
        thread: Thread,
        chosen: Chosen,
        stop: CancellationToken,
    ) -> Result<Self, Problem> {
        let mut driver = Self::resume(engine, saved, Origin::Lane, stop)?.beginning(thread, chosen);
        driver.starting = Some(starting);
        Ok(driver)
    }

    fn beginning(mut self, thread: Thread, chosen: Chosen) -> Self {
        self.is_fresh_thread = thread == Thread::Fresh;
        self.chosen = Some(chosen);
        self
    }

    pub(crate) fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Drives the run until it rests or has to be let go.
    pub(crate) async fn drive(mut self) -> Left {
        let stopped = match self.run().await {
            Ok(()) if self.machine.status().is_paused() => return Left::Paused,
            Ok(()) if self.another_waits => return Left::EndedBeforeAnother,
            Ok(()) => return Left::Ended,
            Err(stopped) => stopped,
        };
        match stopped {
            Stop::Superseded => Left::Superseded,
            Stop::Broken => Left::Broken,
            Stop::Unreadable => Left::Unreadable,
            Stop::Crashed => Left::Crashed,
            Stop::NotStored => Left::NotStored,
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
                "The run was under way {} times when its server went down or could not go on with it, and was given up.",
                self.record.crashes
            );
            self.apply(Input::Abandoned { message, said: self.machine.saying().to_owned() })?;
            return self.flush().await;
        }
        let mut cut = self.origin == Origin::Orphan && self.machine.decide() == Action::CallModel;
        if self.origin == Origin::Orphan && self.machine.step().is_some_and(Step::is_under_way) {
            self.apply(Input::Resumed)?;
        }
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
                    // Nothing is called before what led to it is on disk, but the first model of a run that is sure to be
                    // stored.
                    if self.starting.is_none() || !self.pending.is_empty() {
                        self.flush().await?;
                    }
                    self.call_model().await?;
                }
                Action::CallTools(calls) => self.call_tools(calls).await?,
                Action::Pause => self.apply(Input::Paused { at: self.engine.store.ids().now() })?,
                // Nothing is under way that this driver has not begun.
                Action::AwaitTools => return Err(Stop::Unreadable),
                Action::Wait | Action::Rest => return self.flush().await,
            }
        }
    }

    /// Begins a run that comes from the queue.
    fn begin_if_queued(&mut self) -> Result<(), Stop> {
        if self.machine.status() == Status::Queued {
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
            Stop::Unreadable
        })?;
        for frame in &frames {
            if let Frame::Delta { delta } | Frame::Reasoning { delta } = frame {
                self.pending.bytes = self.pending.bytes.saturating_add(delta.len());
            }
        }
        self.pending.frames.extend(frames);
        if let Some(input) = journaled {
            self.pending.journal.push(JournalEntry { input, next_seq: self.machine.next_seq() });
        }
        Ok(())
    }

    /// Tells the run what it has to do without.
    fn tell_missing(&mut self) -> Result<(), Stop> {
        if self.found_missing.is_empty() {
            return Ok(());
        }
        let warnings = std::mem::take(&mut self.found_missing);
        self.apply(Input::Warned { warnings })
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
}

/// However a driver goes, by a panic too, its followers must not go on to trust what it has shown.
impl Drop for Driver {
    fn drop(&mut self) {
        self.topic.detach(self.generation);
    }
}
