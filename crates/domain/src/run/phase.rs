//! Where a run stands, what it needs next, and how it ended.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Step};
use super::status::{Status, StopReason};
use crate::problems::Code;

/// What bounds a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often a run may call the model before it is stopped as a loop.
    pub model_calls: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    Queued,
    Thinking,
    /// The model has asked for calls, and this server has something to do with them.
    Calling(Step),
    /// Somebody outside has to decide, or to carry calls out.
    Paused(Step),
    Ended(Ending),
}

impl Phase {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Thinking => "thinking",
            Self::Calling(_) => "calling",
            Self::Paused(_) => "paused",
            Self::Ended(_) => "ended",
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ending {
    Completed {
        stop_reason: StopReason,
    },
    Failed {
        code: Code,
        message: String,
        /// The same may succeed later.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        transient: bool,
    },
    Cancelled {
        reason: Option<String>,
    },
}

impl Ending {
    pub const fn status(&self) -> Status {
        match self {
            Self::Completed { .. } => Status::Completed,
            Self::Failed { .. } => Status::Failed,
            Self::Cancelled { .. } => Status::Cancelled,
        }
    }

    pub const fn stop_reason(&self) -> &'static str {
        match self {
            Self::Completed { stop_reason } => stop_reason.as_str(),
            Self::Failed { .. } => "error",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// What has to be done for a run to move on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: its turn on the thread has not come.
    Wait,
    CallModel,
    /// These calls can be made now, side by side.
    CallTools(Vec<Call>),
    /// Nothing new: calls are under way.
    AwaitTools,
    /// Nothing is left to do before somebody outside decides or answers.
    Pause,
    /// Nothing, ever.
    Rest,
}

/// The input does not fit where the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {phase} cannot take the input {input}")]
pub struct Refusal {
    pub phase: &'static str,
    pub input: &'static str,
}
