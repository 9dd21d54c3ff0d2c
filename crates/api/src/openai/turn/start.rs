//! Starting the run of a turn.

use std::borrow::Cow;

use domain::content::{Message, Role};
use domain::conversations::title_of;
use domain::ids::{ConversationId, RunId};
use domain::items::Item;
use domain::overlay::Overlay;
use domain::principals::Actor;
use domain::response_format::ResponseFormat;
use domain::{Code, Problem};
use engine::{StartRun, StartedRun};
use serde_json::{Map, Value};
use store::ProjectStore;
use store::idempotency::IdempotencyKey;
use store::smiths::SmithRecord;
use tokio::sync::oneshot;

use super::CancelOnDrop;
use crate::app::App;
use crate::openai::conversations;

/// Where runs of this surface come from, for their records.
const CHANNEL: &str = "openai";

/// A turn as a request of this surface describes it.
pub(crate) struct Turn {
    /// The model that is asked for, in place of the smith's own.
    pub(crate) model: Option<String>,
    /// None: a fresh thread.
    pub(crate) thread_id: Option<String>,
    pub(crate) past: Vec<Item>,
    pub(crate) input: Vec<Message>,
    pub(crate) overlay: Overlay,
    pub(crate) response_format: Option<ResponseFormat>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) actor: Actor,
    pub(crate) key: Option<IdempotencyKey>,
    /// Whether the caller is told as it goes.
    pub(crate) is_streamed: bool,
}

/// Starts the run of a turn, and guards it with what `guard` makes. None when a request with the same idempotency key was
/// faster.
pub(crate) async fn start(
    app: &App,
    project: &ProjectStore,
    smith: SmithRecord,
    turn: Turn,
    guard: impl FnOnce(RunId) -> CancelOnDrop + Send + 'static,
) -> Result<Option<(StartedRun, CancelOnDrop)>, Problem> {
    let (app, project) = (app.clone(), project.clone());
    // A client may go away while its run is being stored. Then nobody takes the guard, and it does its work.
    let (sender, receiver) = oneshot::channel();
    let engine = app.engine.clone();
    engine.spawn(async move {
        let started = start_here(&app, &project, smith, turn).await;
        drop(sender.send(started.map(|started| started.map(|started| (guard(started.id), started)))));
    });
    let started = receiver.await.map_err(|_| Problem::internal())??;
    Ok(started.map(|(guard, started)| (started, guard)))
}

async fn start_here(
    app: &App,
    project: &ProjectStore,
    smith: SmithRecord,
    turn: Turn,
) -> Result<Option<StartedRun>, Problem> {
    let untitled = Untitled::of(&smith, &turn);
    let mut config = smith.effective();
    if turn.model.is_some() {
        config.model = turn.model;
    }
    let rendered_instructions = match smith.render(&config, app.ids.now())? {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    };
    let Some(version) = smith.agent_version else {
        let message =
            "The smith's agent has no published version. Publish one with POST /v1/agents/{aid}/versions.";
        return Err(Problem::new(Code::AgentUnpublished, message));
    };
    let start = StartRun {
        smith: smith.id,
        agent: smith.agent,
        agent_version: Some(version),
        config,
        rendered_instructions,
        seal: smith.seal,
        thread_id: turn.thread_id,
        input: turn.input,
        channel: CHANNEL.to_owned(),
        metadata: turn.metadata,
        response_format: turn.response_format,
        overlay: Overlay { past: turn.past, ..turn.overlay },
        actor: turn.actor,
        idempotency: turn.key,
        is_followed: turn.is_streamed,
    };
    let started = app.engine.start(project, start).await?;
    if let Some(untitled) = untitled.filter(|_| started.is_some()) {
        untitled.title(project).await;
    }
    Ok(started)
}

/// A conversation that gets its title from a turn, unless it has one.
struct Untitled {
    smith: SmithRecord,
    conversation: ConversationId,
    title: String,
}

impl Untitled {
    fn of(smith: &SmithRecord, turn: &Turn) -> Option<Self> {
        let thread = turn.thread_id.as_deref().filter(|thread| thread.starts_with(conversations::PREFIX))?;
        let conversation = thread.parse().ok()?;
        let said = turn.input.iter().find(|message| message.role == Role::User)?;
        let title = title_of(&said.content.text())?;
        Some(Self { smith: smith.clone(), conversation, title })
    }

    /// Gives the title. The turn goes on without it: it is for lists, and the next turn may give one.
    async fn title(self, project: &ProjectStore) {
        let titled = project.title_if_untitled(&self.smith, self.conversation, &self.title).await;
        if let Err(error) = titled {
            tracing::warn!(error = %error, "A conversation could not be given its title.");
        }
    }
}
