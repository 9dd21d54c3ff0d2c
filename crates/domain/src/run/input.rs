//! What happens to a run: the inputs of its machine.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::calls::{Elicitation, Plan};
use super::status::StopReason;
use crate::clock::Timestamp;
use crate::content::Message;
use crate::frames::Warning;
use crate::ids::{ApprovalId, SmithId};
use crate::items::{ToolCall, ToolResult};
use crate::problems::Code;
use crate::tools::Gate;
use crate::usage::Tokens;

/// What a model answered, once its stream has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// All text of this answer.
    pub text: String,
    pub tool_calls: Vec<ToolCall>,
    /// How each of the calls is to be carried out, in their order.
    #[serde(default)]
    pub plans: Vec<Plan>,
    pub stop: StopReason,
    pub tokens: Tokens,
    pub verdict: Verdict,
}

/// Whether an answer has the form that was asked for. Judged by the engine, which knows JSON Schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    NotAsked,
    Conforms,
    Misses {
        why: String,
    },
    /// It makes none of the calls that it had to make.
    LacksCall {
        why: String,
    },
}

/// What came of a call that this server carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    pub result: ToolResult,
    /// What the person may want to say next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggested_replies: Vec<String>,
}

/// What a human decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Choice {
    Approve {
        /// Arguments in place of the model's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        args: Option<Map<String, Value>>,
        /// The answer to what a tool has asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Value>,
    },
    Reject {
        reason: Option<String>,
    },
}

/// Something that happened to a run. All but the deltas under way are kept in its journal.
///
/// What cuts an answer off carries in `said` what the answer had said until then, see
/// [`Run::saying`](super::Run::saying): the fold over the journal sees no deltas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Input {
    /// The run left the queue.
    Started {
        smith_id: SmithId,
        thread_id: String,
        warnings: Vec<Warning>,
    },
    /// The model said a little more.
    Delta {
        text: String,
    },
    /// The model let a little more of its thinking be seen.
    Reasoning {
        text: String,
    },
    /// The provider took the call and named it, so that its answer can be fetched after a crash.
    Accepted {
        reference: String,
    },
    /// The model's answer is complete.
    Replied {
        reply: Reply,
    },
    /// The model could not be made to answer.
    CallFailed {
        code: Code,
        message: String,
        /// The provider is down or throttling: the same may succeed later.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        transient: bool,
        said: String,
    },
    /// Some sources of tools are missing; the run does without them.
    Warned {
        warnings: Vec<Warning>,
    },
    /// These calls are about to be made.
    Intended {
        calls: Vec<String>,
    },
    /// A call of this server has its result.
    Settled {
        settlement: Settlement,
    },
    /// A tool wants to know something from the person before it goes on with a call.
    Asked {
        call_id: String,
        questions: Vec<Elicitation>,
        gate: Gate,
        request_state: Option<String>,
    },
    /// Nothing is left to do before somebody outside decides or answers.
    Paused {
        at: Timestamp,
    },
    /// A human decided, or time did.
    Decided {
        approval: ApprovalId,
        choice: Choice,
        /// What came with the decision for the model to read, once the calls have their results.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        messages: Vec<Message>,
    },
    /// Whoever carries calls out for the run submitted their results.
    Delivered {
        results: Vec<ToolResult>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        messages: Vec<Message>,
    },
    /// The server died during the run; what was under way is done again.
    Resumed,
    Cancelled {
        reason: Option<String>,
        said: String,
    },
    /// The run cannot go on: it brought its server down too often, or its stored state makes no sense.
    Abandoned {
        message: String,
        said: String,
    },
}

impl Input {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Delta { .. } => "delta",
            Self::Reasoning { .. } => "reasoning",
            Self::Accepted { .. } => "accepted",
            Self::Replied { .. } => "replied",
            Self::CallFailed { .. } => "call_failed",
            Self::Warned { .. } => "warned",
            Self::Intended { .. } => "intended",
            Self::Settled { .. } => "settled",
            Self::Asked { .. } => "asked",
            Self::Paused { .. } => "paused",
            Self::Decided { .. } => "decided",
            Self::Delivered { .. } => "delivered",
            Self::Resumed => "resumed",
            Self::Cancelled { .. } => "cancelled",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// Tells whether the input is kept in the journal. Deltas are not: the frames hold them, the reply repeats those of the
    /// answer, and the run does not depend on those of the thinking.
    pub const fn is_journaled(&self) -> bool {
        !matches!(self, Self::Delta { .. } | Self::Reasoning { .. })
    }

    /// Tells whether the input brings the run on. What only repeats a step that a crash cut off does not: a step that
    /// brings its server down each time must not look like progress.
    pub const fn is_progress(&self) -> bool {
        !matches!(
            self,
            Self::Delta { .. }
                | Self::Reasoning { .. }
                | Self::Accepted { .. }
                | Self::Resumed
                | Self::Intended { .. }
                | Self::Warned { .. }
        )
    }
}
