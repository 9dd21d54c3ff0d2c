//! Starting runs.

use std::sync::Arc;

use domain::content::Message;
use domain::frames::Frame;
use domain::ids::{AgentId, MintedThreadId, RunId, SmithId};
use domain::items::Item;
use domain::overlay::{Overlay, ToolChoice};
use domain::principals::Actor;
use domain::response_format::ResponseFormat;
use domain::run::{Input, Limits, Run, Status};
use domain::smiths::Config;
use domain::{Code, Problem, Timestamp};
use serde_json::{Map, Value};
use store::idempotency::{IdempotencyKey, Remember};
use store::runs::{
    JournalEntry, NewFrames, NewRun, RunConfig, RunRecord, RunRequest, Saved, StartError, Started,
};
use store::{ProjectStore, SmithSeal};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::driver::{Chosen, Starting, Thread};
use crate::hub::Watch;
use crate::toolbox::{Gathered, Requested};
use crate::{Driver, Engine, Inner, attachments, context, structured};

/// What a run is to do, for whom and as whom.
pub struct StartRun {
    pub smith: SmithId,
    pub agent: AgentId,
    pub agent_version: Option<u32>,
    /// The smith's effective configuration; the run keeps to it.
    pub config: Config,
    /// The instructions with their variables filled in, where there were any.
    pub rendered_instructions: Option<String>,
    pub seal: SmithSeal,
    /// None: a fresh thread.
    pub thread_id: Option<String>,
    /// Inline bytes are moved to file storage with the run.
    pub input: Vec<Message>,
    pub channel: String,
    pub metadata: Map<String, Value>,
    pub response_format: Option<ResponseFormat>,
    /// What the run does otherwise than its configuration. Inline bytes in its past are moved to file storage, too.
    pub overlay: Overlay,
    pub actor: Actor,
    /// The key of the request; it becomes known in one transaction with the run.
    pub idempotency: Option<IdempotencyKey>,
    /// Whether whoever starts it wants each frame as soon as it is there.
    pub is_followed: bool,
}

/// A run that was stored and runs, or waits for its turn.
pub struct StartedRun {
    pub id: RunId,
    pub thread_id: String,
    pub status: Status,
    /// The model that answers.
    pub model: String,
    pub created_at: Timestamp,
    /// Has the first frames stored at once, before whoever started the run follows it. For them to hold until they do.
    pub watch: Option<Watch>,
}

impl Engine {
    /// Refuses where no more runs fit, for whoever has something to do before the start. The place itself is taken by that.
    pub fn check_room(&self) -> Result<(), Problem> {
        if self.inner.places.available_permits() == 0 { Err(no_room()) } else { Ok(()) }
    }

    /// Starts a run. What is wrong with it is said before anything is stored.
    ///
    /// Returns None when a request with the same idempotency key was faster.
    pub async fn start(
        &self,
        project: &ProjectStore,
        start: StartRun,
    ) -> Result<Option<StartedRun>, Problem> {
        let (engine, project) = (self.clone(), project.clone());
        // In a task of its own: a caller that goes away must not leave a stored run that nobody drives.
        let started = self.inner.tasks.spawn(async move { engine.start_here(&project, start).await });
        started.await.map_err(|_| Problem::internal())?
    }

    async fn start_here(
        &self,
        project: &ProjectStore,
        start: StartRun,
    ) -> Result<Option<StartedRun>, Problem> {
        let inner = &self.inner;
        if inner.closing.is_cancelled() {
            return Err(Problem::new(Code::ServiceOverloaded, "The server is shutting down. Retry shortly."));
        }
        if let Some(format) = &start.response_format {
            if start.thread_id.is_some() {
                return Err(Problem::new(
                    Code::InvalidResponseFormat,
                    "Structured output is one stateless shot: leave out `thread_id` or `response_format`.",
                )
                .at("response_format"));
            }
            structured::check(format, inner.options.max_schema_bytes)?;
        }
        let mut overlay = start.overlay;
        if start.input.is_empty() && overlay.past.is_empty() {
            let has_history = match &start.thread_id {
                Some(thread_id) => project.thread_exists(start.smith, thread_id).await?,
                None => false,
            };
            if !has_history {
                return Err(Problem::invalid_input(
                    "input",
                    "`input` may be empty only on a thread with history.",
                ));
            }
        }
        let request = Requested { overlay: &overlay, response_format: start.response_format.as_ref() };
        self.check_tool_choice(project, &start.config, request).await?;
        let ids = inner.store.ids();
        let mut input = start.input;
        let brought = overlay.past.iter_mut().filter_map(Item::message_mut).chain(&mut input);
        let files = attachments::take_inline(brought, ids)?;
        let mut attached = 0_u64;
        let brought: Vec<&Message> = overlay.past.iter().filter_map(Item::message).chain(&input).collect();
        for (file, at) in attachments::referenced(&brought) {
            let new = files.iter().find(|new| new.id == file).map(|new| new.bytes.len());
            let size = match new {
                Some(size) => u64::try_from(size).ok(),
                None => project.file_size(start.smith, file).await?,
            };
            let Some(size) = size else {
                let message = "The smith has no such file. Upload it, or give its bytes inline.";
                return Err(Problem::invalid_input(at, message));
            };
            attached = attached.saturating_add(size);
            let limit = inner.options.max_attachment_bytes;
            if usize::try_from(attached).map_or(true, |attached| attached > limit) {
                let message =
                    format!("The images and files of one run may have {limit} bytes together. Give fewer.");
                return Err(Problem::invalid_input(at, message));
            }
        }
        // Before anything that may wait for others.
        let place = inner.place()?;
        let has_looked_up = inner.addresses.check(&inner.models, &brought).await?;
        let asked = Instant::now();
        let choice = inner.keys.choose(project, Some(start.smith), start.config.shown_model()).await?;
        attachments::Types { project, smith: start.smith, seal: &start.seal, new: &files }
            .check(choice.route.provider, &brought)
            .await?;

        let id: RunId = ids.mint();
        let model = choice.model.clone();
        let thread = if start.thread_id.is_some() { Thread::Named } else { Thread::Fresh };
        let thread_id = start.thread_id.unwrap_or_else(|| ids.mint::<MintedThreadId>().to_string());
        let content_type = structured::content_type(start.response_format.as_ref());
        let mut machine = Run::new(Limits { model_calls: inner.options.max_model_calls }, content_type);
        let begins = Input::Started {
            smith_id: start.smith,
            thread_id: thread_id.clone(),
            warnings: context::warnings(&start.config),
        };
        let frames = machine.apply(begins.clone()).map_err(|_| Problem::internal())?;
        let entry = JournalEntry { input: begins, next_seq: machine.next_seq() };
        let node = inner.node();
        let now = ids.now();
        let remember = start.idempotency.map(|key| Remember::run(key, id).of_smith(Some(start.smith)));
        // Hardly anything but a database that fails can keep it from being stored: its smith was there a moment ago. Not where
        // tool servers or name servers were asked since, which may take seconds, nor where it may have to wait.
        let has_asked =
            has_looked_up || matches!(overlay.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
        let at_once = inner.options.at_once();
        let may_wait = thread == Thread::Named || at_once.is_some();
        let is_certain = !may_wait && remember.is_none() && files.is_empty() && !has_asked;
        let unstored = if is_certain { inner.place_unstored() } else { None };
        let run = NewRun {
            id,
            smith: start.smith,
            agent: start.agent,
            agent_version: start.agent_version,
            thread_id: thread_id.clone(),
            channel: start.channel,
            model: model.clone(),
            actor: start.actor,
            request: RunRequest {
                input,
                metadata: start.metadata,
                response_format: start.response_format,
                overlay,
            },
            config: RunConfig {
                config: start.config,
                resolved_model: choice.model.clone(),
                max_model_calls: inner.options.max_model_calls,
                rendered_instructions: start.rendered_instructions,
            },
            node,
            beginning: (entry, NewFrames { from: 0, frames: frames.clone() }),
            waiting: inner.options.max_waiting_per_thread,
            at_once,
            files,
            meanwhile: unstored.is_some(),
            remember,
            at: now,
        };
        let watch = start.is_followed.then(|| inner.hub.topic(id).watch());
        let chosen = Chosen::new(choice, asked);
        let begun = Begun { run, seal: start.seal, frames, chosen, thread, place };
        let started = match unstored {
            Some(_held) => inner.start_meanwhile(project, begun).await,
            None => inner.start_stored(project, begun).await,
        };
        let status = match started? {
            None => return Ok(None),
            Some(Started::Running) => Status::Running,
            Some(Started::Queued) => Status::Queued,
        };
        metrics::counter!("ingram_runs_started_total").increment(1);
        Ok(Some(StartedRun { id, thread_id, status, model, created_at: now, watch }))
    }
}

/// A run that can begin.
struct Begun {
    run: NewRun,
    seal: SmithSeal,
    frames: Vec<Frame>,
    chosen: Chosen,
    thread: Thread,
    place: OwnedSemaphorePermit,
}

impl Inner {
    /// Takes a place for a run of this node.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| no_room())
    }

    /// Stores a run and then drives it. None when a request with the same idempotency key was faster.
    async fn start_stored(
        self: &Arc<Self>,
        project: &ProjectStore,
        begun: Begun,
    ) -> Result<Option<Started>, Problem> {
        let Begun { run, seal, frames, chosen, thread, place } = begun;
        let run_project = project.id();
        let started = project.start_run(&seal, &run).await;
        self.note_storing(started.as_ref().err());
        match started {
            Ok(Started::Running) => {
                let registration = self.register(run.id);
                let saved = saved(project, run, seal);
                let stop = registration.stop.clone();
                let driver = Driver::begin(Arc::clone(self), saved, frames, thread, chosen, stop)?;
                self.spawn(driver, registration, place);
                Ok(Some(Started::Running))
            }
            Ok(Started::Queued) => {
                drop(place);
                // The run that it waits for may have ended between the look at it and the commit.
                self.move_on(run_project, run.smith, &run.thread_id).await;
                Ok(Some(Started::Queued))
            }
            Err(StartError::KeyTaken) => Ok(None),
            Err(error) => Err(refusal(error)),
        }
    }

    /// Stores a run while its model is being called. Only for runs that are all but certain to be stored: what a model says to
    /// one that is not goes nowhere, and is paid for.
    async fn start_meanwhile(
        self: &Arc<Self>,
        project: &ProjectStore,
        begun: Begun,
    ) -> Result<Option<Started>, Problem> {
        let Begun { run, seal, frames, chosen, thread, place } = begun;
        let registration = self.register(run.id);
        let saved = saved(project, run.clone(), seal.clone());
        let (tell, told) = oneshot::channel();
        let (id, project) = (run.id, project.clone());
        let commit = async move { project.start_run(&seal, &run).await };
        let starting = Starting::send(id, frames, commit, tell).await;
        let stop = registration.stop.clone();
        let driver = Driver::begin_meanwhile(Arc::clone(self), saved, starting, thread, chosen, stop)?;
        self.spawn(driver, registration, place);
        let started = told.await.map_err(|_| Problem::internal())?;
        self.note_storing(started.as_ref().err());
        started.map(Some).map_err(refusal)
    }
}

impl Engine {
    /// Refuses to have a tool called that the run does not have.
    async fn check_tool_choice(
        &self,
        project: &ProjectStore,
        config: &Config,
        request: Requested<'_>,
    ) -> Result<(), Problem> {
        let choice = &request.overlay.tool_choice;
        if !matches!(choice, ToolChoice::Required | ToolChoice::Named(_)) {
            return Ok(());
        }
        let toolbox = Gathered::of_run(&self.inner, project, config, request).await?.toolbox;
        let message = match choice {
            ToolChoice::Named(name) if toolbox.find(name).is_none() => {
                "`tool_choice` names a tool that is neither in `tools` nor one of the smith's."
            }
            _ if toolbox.offers().is_empty() => {
                "`tool_choice` wants a tool called, and there is none. Give `tools`."
            }
            _ => return Ok(()),
        };
        Err(Problem::new(Code::InvalidToolChoice, message).at("tool_choice"))
    }
}

/// Makes of a run that was stored running what its driver takes up.
fn saved(project: &ProjectStore, run: NewRun, seal: SmithSeal) -> Saved {
    let (entry, _) = run.beginning;
    let record = RunRecord {
        id: run.id,
        project: project.id(),
        smith: run.smith,
        agent: run.agent,
        agent_version: run.agent_version,
        thread_id: run.thread_id,
        status: Status::Running,
        channel: run.channel,
        model: run.model,
        owner: Some(run.node),
        fence: 1,
        crashes: 0,
        next_seq: entry.next_seq,
        stop_reason: None,
        tokens: None,
        actor: Some(run.actor),
        request: run.request,
        result: None,
        created_at: run.at,
        updated_at: run.at,
    };
    Saved { record, config: run.config, journal: vec![entry], seal }
}

fn no_room() -> Problem {
    let message = "Too many runs are under way on this server. Retry shortly.";
    Problem::new(Code::ServiceOverloaded, message)
}

fn refusal(error: StartError) -> Problem {
    match error {
        StartError::Locked(run) => Problem::new(
            Code::ConversationLocked,
            format!("The run {run} on this thread waits for a decision or a result. Submit it or cancel that run first."),
        )
        .at("thread_id"),
        StartError::Full => Problem::new(
            Code::ConcurrencyLimitExceeded,
            "Too many runs wait on this thread already. Retry when some of them have ended.",
        )
        .at("thread_id"),
        StartError::SmithGone => Problem::not_found("smith"),
        StartError::KeyTaken => Problem::internal(),
        StartError::Store(error) => error.into(),
    }
}
