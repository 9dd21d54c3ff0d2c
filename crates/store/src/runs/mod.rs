//! Runs: their rows, journals and frames.

mod append;
mod claim;
mod read;
mod shown;
mod start;
#[cfg(test)]
mod tests;
mod thread;
mod turns;
mod unreadable;

use domain::content::Message;
use domain::frames::{Frame, PendingCall, Warning};
use domain::ids::{AgentId, ProjectId, RunId, SmithId};
use domain::items::Item;
use domain::overlay::Overlay;
use domain::principals::Actor;
use domain::response_format::ResponseFormat;
use domain::run::{Input, Status};
use domain::smiths::Config;
use domain::usage::Tokens;
use domain::{Code, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use append::{Append, Appended, End, Pause, Standing, TAKEN};
pub use claim::{Archived, ArchivedWith, Claimed};
pub(crate) use read::after_prefix;
pub use read::{Block, RunFilter, Saved};
pub use start::{NewRun, StartError, Started};
pub use thread::ThreadRun;
pub use turns::WaitingThread;

use crate::codec::Place;

const REQUEST: Place = Place::new("run_requests", "request");
const CONFIG: Place = Place::new("run_requests", "config");
const RESULT: Place = Place::new("run_results", "body");
const JOURNAL: Place = Place::new("run_journal", "body");
const FRAMES: Place = Place::new("run_frames", "body");

/// Identifies a process that runs runs; made anew at each start.
pub type NodeId = [u8; 16];

/// What a run was asked. Fixed when it starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    pub input: Vec<Message>,
    #[serde(default)]
    pub metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// What a request of the OpenAI surface has the run do otherwise than its configuration.
    #[serde(default, skip_serializing_if = "Overlay::is_empty")]
    pub overlay: Overlay,
}

impl RunRequest {
    /// Returns what the request added to the thread.
    pub fn items(self) -> impl Iterator<Item = Item> {
        self.overlay.past.into_iter().chain(self.input.into_iter().map(Item::Message))
    }
}

/// The configuration that a run keeps to, whatever becomes of its smith's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    #[serde(flatten)]
    pub config: Config,
    /// The model that answers, resolved: `provider/model` or an id with a well-known prefix.
    pub resolved_model: String,
    /// How often the run may call the model: what bounded its past has to bound its fold.
    pub max_model_calls: u32,
    /// The instructions with their variables filled in, as the person was when the run started. None: as they are in `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered_instructions: Option<String>,
}

impl RunConfig {
    /// Returns the instructions that the model is given.
    pub fn instructions(&self) -> &str {
        let rendered = self.rendered_instructions.as_deref();
        rendered.or(self.config.instructions.as_deref()).unwrap_or_default()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// All valid text of the run.
    pub content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What the run added to its thread after its input.
    pub transcript: Vec<Item>,
    /// What a paused run waits for, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingCall>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggested_replies: Vec<String>,
    #[serde(default)]
    pub warnings: Vec<Warning>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    pub code: Code,
    pub message: String,
    /// The same may succeed later: the provider was down or throttling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transient: bool,
}

/// A run as its record shows it.
#[derive(Clone, Debug)]
pub struct RunRecord {
    pub id: RunId,
    pub project: ProjectId,
    pub smith: SmithId,
    pub agent: AgentId,
    pub agent_version: Option<u32>,
    pub thread_id: String,
    pub status: Status,
    pub channel: String,
    pub model: String,
    pub owner: Option<NodeId>,
    pub fence: u64,
    pub crashes: u32,
    pub next_seq: u64,
    pub stop_reason: Option<String>,
    pub tokens: Option<Tokens>,
    /// None where it cannot be read.
    pub actor: Option<Actor>,
    pub request: RunRequest,
    pub result: Option<RunResult>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A journaled input of a run's machine, with the seq that followed it.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    pub input: Input,
    pub next_seq: u64,
}

/// Frames that one commit adds, numbered from `from`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewFrames {
    pub from: u64,
    pub frames: Vec<Frame>,
}
