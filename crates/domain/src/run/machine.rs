//! `decide` and `apply`: what a run does next, and what an outcome changes. Without I/O, clock or chance.

use serde::{Deserialize, Serialize};

use super::status::{Status, StopReason};
use crate::frames::{Frame, Warning};
use crate::ids::SmithId;
use crate::items::{Item, ToolCall, ToolResult};
use crate::problems::Code;
use crate::usage::{Tokens, Usage};

/// What bounds a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often a run may call the model before it is stopped as a loop.
    pub model_calls: u32,
}

/// What a model answered, once its stream has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// All text of this answer.
    pub text: String,
    pub tool_calls: Vec<ToolCall>,
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
    Misses { why: String },
}

/// Something that happened to a run. All but the deltas of an answer under way are kept in its journal.
///
/// What cuts an answer off carries in `said` what the answer had said until then, see [`Run::saying`]: the fold over the
/// journal sees no deltas.
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
        said: String,
    },
    /// The calls that the model asked for have their results.
    Answered {
        results: Vec<ToolResult>,
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
            Self::Accepted { .. } => "accepted",
            Self::Replied { .. } => "replied",
            Self::CallFailed { .. } => "call_failed",
            Self::Answered { .. } => "answered",
            Self::Resumed => "resumed",
            Self::Cancelled { .. } => "cancelled",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// Tells whether the input is kept in the journal. Deltas are not: the frames hold them, and the reply repeats them.
    pub const fn is_journaled(&self) -> bool {
        !matches!(self, Self::Delta { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    Queued,
    Thinking,
    Calling(Vec<ToolCall>),
    Ended(Ending),
}

impl Phase {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Thinking => "thinking",
            Self::Calling(_) => "calling",
            Self::Ended(_) => "ended",
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ending {
    Completed { stop_reason: StopReason },
    Failed { code: Code, message: String },
    Cancelled { reason: Option<String> },
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
    /// These calls have no result yet.
    CallTools(Vec<ToolCall>),
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

/// The state of a run: a fold over its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    limits: Limits,
    /// The media type of the answer when a form was asked for.
    content_type: Option<String>,
    phase: Phase,
    next_seq: u64,
    /// All valid text of the run.
    text: String,
    /// How much of `text` was there when the present model call began.
    call_text_start: usize,
    /// The seq that the first frame of the present model call has or will have.
    call_first_seq: u64,
    model_calls: u32,
    /// Counts from 1; each crash that cut a model call adds one.
    attempt: u32,
    /// What the run said and did after its input.
    transcript: Vec<Item>,
    /// How the last answer missed the form that was asked for.
    repair: Option<String>,
    reference: Option<String>,
    tokens: Option<Tokens>,
    warnings: Vec<Warning>,
}

impl Run {
    pub fn new(limits: Limits, content_type: Option<String>) -> Self {
        Self {
            limits,
            content_type,
            phase: Phase::Queued,
            next_seq: 0,
            text: String::new(),
            call_text_start: 0,
            call_first_seq: 0,
            model_calls: 0,
            attempt: 1,
            transcript: Vec::new(),
            repair: None,
            reference: None,
            tokens: None,
            warnings: Vec::new(),
        }
    }

    /// Rebuilds a run from its journal: each input with the seq that followed it.
    ///
    /// Deltas are not in the journal, so the seq is taken from there instead of being counted.
    pub fn replay(
        limits: Limits,
        content_type: Option<String>,
        journal: impl IntoIterator<Item = (Input, u64)>,
    ) -> Result<Self, Refusal> {
        let mut run = Self::new(limits, content_type);
        for (input, next_seq) in journal {
            // Naming the call does not begin another one: deltas of it may already lie before that entry.
            let same_call = matches!(input, Input::Accepted { .. });
            run.apply(input)?;
            run.next_seq = next_seq;
            if !same_call {
                run.call_first_seq = next_seq;
            }
        }
        Ok(run)
    }

    /// Continues the numbering behind frames that were stored after the last journaled input.
    pub fn frames_end_at(&mut self, next_seq: u64) {
        self.next_seq = self.next_seq.max(next_seq);
    }

    /// Takes back text that a cut model call had already streamed, so that its answer can be continued instead of repeated.
    pub fn recall_streamed(&mut self, text: &str) {
        if matches!(self.phase, Phase::Thinking) {
            self.say(text);
        }
    }

    /// Returns what the present model call has said.
    pub fn saying(&self) -> &str {
        self.text.get(self.call_text_start..).unwrap_or_default()
    }

    /// Makes `text` what the present model call has said.
    fn say(&mut self, text: &str) {
        self.text.truncate(self.call_text_start);
        self.text.push_str(text);
    }

    /// Decides what the run needs next.
    pub fn decide(&self) -> Action {
        match &self.phase {
            Phase::Queued => Action::Wait,
            Phase::Thinking => Action::CallModel,
            Phase::Calling(calls) => Action::CallTools(calls.clone()),
            Phase::Ended(_) => Action::Rest,
        }
    }

    /// Applies an outcome and returns the frames that tell it.
    pub fn apply(&mut self, input: Input) -> Result<Vec<Frame>, Refusal> {
        let refusal = Refusal { phase: self.phase.name(), input: input.name() };
        let frames = match (&self.phase, input) {
            (Phase::Queued, Input::Started { smith_id, thread_id, warnings }) => {
                self.warnings = warnings;
                let started = vec![Frame::Started { smith_id, thread_id }];
                self.phase = Phase::Thinking;
                started
            }
            (Phase::Thinking, Input::Delta { text }) => {
                self.text.push_str(&text);
                vec![Frame::Delta { delta: text }]
            }
            (Phase::Thinking, Input::Accepted { reference }) => {
                self.reference = Some(reference);
                Vec::new()
            }
            (Phase::Thinking, Input::Replied { reply }) => self.replied(reply),
            (Phase::Thinking, Input::CallFailed { code, message, said }) => {
                self.say(&said);
                // Once tools have run, the failure is the run's, whatever the provider said.
                let tools_have_run = self.transcript.iter().any(|item| matches!(item, Item::ToolResult(_)));
                let code =
                    if tools_have_run && code == Code::ModelRequestFailed { Code::RunFailed } else { code };
                self.end(Ending::Failed { code, message })
            }
            (Phase::Calling(calls), Input::Answered { results }) => {
                let complete =
                    calls.iter().all(|call| results.iter().any(|result| result.call_id == call.id));
                if !complete {
                    return Err(refusal);
                }
                self.transcript.extend(results.into_iter().map(Item::ToolResult));
                self.begin_call()
            }
            (Phase::Thinking, Input::Resumed) => {
                self.attempt = self.attempt.saturating_add(1);
                self.text.truncate(self.call_text_start);
                self.reference = None;
                vec![Frame::Resumed {
                    attempt: self.attempt,
                    discard_after: self.call_first_seq.saturating_sub(1),
                }]
            }
            // Calls are repeated without a word to the client: no frame of theirs was cut.
            (Phase::Calling(_), Input::Resumed) => Vec::new(),
            (Phase::Thinking | Phase::Calling(_), Input::Cancelled { reason, said }) => {
                self.say(&said);
                self.end(Ending::Cancelled { reason })
            }
            (Phase::Thinking | Phase::Calling(_), Input::Abandoned { message, said }) => {
                self.say(&said);
                self.end(Ending::Failed { code: Code::ResumeFailed, message })
            }
            _ => return Err(refusal),
        };
        self.next_seq = self.next_seq.saturating_add(u64::try_from(frames.len()).unwrap_or(0));
        let resumed = matches!(frames.last(), Some(Frame::Resumed { .. } | Frame::Started { .. }));
        if resumed {
            self.call_first_seq = self.next_seq;
        }
        Ok(frames)
    }

    fn replied(&mut self, reply: Reply) -> Vec<Frame> {
        self.model_calls = self.model_calls.saturating_add(1);
        self.tokens = Some(self.tokens.unwrap_or_default().plus(reply.tokens));
        self.reference = None;
        // The deltas said the same; on a fold over the journal there are none, and the reply stands for them.
        self.text.truncate(self.call_text_start);
        if let Verdict::Misses { why } = reply.verdict {
            if self.repair.is_some() {
                let message = format!("The model's answer does not have the form that was asked for: {why}");
                return self.end(Ending::Failed { code: Code::StructuredOutputFailed, message });
            }
            self.transcript.push(Item::assistant(reply.text));
            self.repair = Some(why);
            return self.begin_call();
        }
        self.text.push_str(&reply.text);
        if !reply.text.is_empty() {
            self.transcript.push(Item::assistant(reply.text));
        }
        if reply.tool_calls.is_empty() {
            return self.end(Ending::Completed { stop_reason: reply.stop });
        }
        self.transcript.extend(reply.tool_calls.iter().cloned().map(Item::ToolCall));
        self.call_text_start = self.text.len();
        self.phase = Phase::Calling(reply.tool_calls);
        Vec::new()
    }

    fn begin_call(&mut self) -> Vec<Frame> {
        if self.model_calls >= self.limits.model_calls {
            let message = format!(
                "The model was called {} times without coming to an end. Simplify the task or its tools.",
                self.model_calls
            );
            return self.end(Ending::Failed { code: Code::ToolLoopFailed, message });
        }
        self.call_text_start = self.text.len();
        self.call_first_seq = self.next_seq;
        self.phase = Phase::Thinking;
        Vec::new()
    }

    fn end(&mut self, ending: Ending) -> Vec<Frame> {
        let mut frames = Vec::new();
        match &ending {
            Ending::Completed { stop_reason } => {
                if !self.text.is_empty() {
                    let content_type = self.content_type.clone();
                    frames.push(Frame::MessageCompleted { content: self.text.clone(), content_type });
                }
                frames.push(Frame::Completed {
                    stop_reason: stop_reason.as_str().to_owned(),
                    usage: self.usage(),
                    warnings: self.warnings.clone(),
                });
            }
            Ending::Failed { code, message } => {
                self.keep_partial_text();
                frames.push(Frame::Failed { error: message.clone(), code: *code });
            }
            Ending::Cancelled { reason } => {
                self.keep_partial_text();
                frames.push(Frame::Cancelled { reason: reason.clone() });
            }
        }
        self.phase = Phase::Ended(ending);
        frames
    }

    /// What a cut answer had said belongs to the thread: the person has seen it.
    fn keep_partial_text(&mut self) {
        if !self.saying().is_empty() {
            self.transcript.push(Item::assistant(self.saying()));
        }
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    pub fn ending(&self) -> Option<&Ending> {
        match &self.phase {
            Phase::Ended(ending) => Some(ending),
            _ => None,
        }
    }

    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The seq of the first frame that the present model call made or will make.
    pub fn call_first_seq(&self) -> u64 {
        self.call_first_seq
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub fn model_calls(&self) -> u32 {
        self.model_calls
    }

    pub fn transcript(&self) -> &[Item] {
        &self.transcript
    }

    pub fn repair(&self) -> Option<&str> {
        self.repair.as_deref()
    }

    /// The provider's name for the call under way, if it gave one.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    pub fn tokens(&self) -> Option<Tokens> {
        self.tokens
    }

    pub fn usage(&self) -> Option<Usage> {
        self.tokens.map(Usage::from)
    }

    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
