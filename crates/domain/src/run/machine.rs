//! `decide` and `apply`: what a run does next, and what an outcome changes. Without I/O, clock or chance.

mod calling;
mod reading;

use super::calls::{Carrier, State, Step};
use super::input::{Choice, Input, Reply, Verdict};
use super::phase::{Action, Ending, Limits, Phase, Refusal};
use super::status::StopReason;
use crate::content::Message;
use crate::frames::{Frame, Warning};
use crate::items::Item;
use crate::problems::Code;
use crate::tools::OnReject;
use crate::usage::Tokens;

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
    /// What the model is told about its last answer, which was not what was asked for.
    repair: Option<String>,
    reference: Option<String>,
    tokens: Option<Tokens>,
    warnings: Vec<Warning>,
    suggested_replies: Vec<String>,
    /// What came with decisions and results, to be read behind them.
    added: Vec<Message>,
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
            suggested_replies: Vec::new(),
            added: Vec::new(),
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
            let same_call = matches!(input, Input::Accepted { .. } | Input::Warned { .. });
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
            Phase::Queued | Phase::Paused(_) => Action::Wait,
            Phase::Thinking => Action::CallModel,
            Phase::Calling(step) => {
                let ready = step.ready();
                if !ready.is_empty() {
                    Action::CallTools(ready)
                } else if step.is_under_way() {
                    Action::AwaitTools
                } else {
                    Action::Pause
                }
            }
            Phase::Ended(_) => Action::Rest,
        }
    }

    /// Applies an outcome and returns the frames that tell it. A refused input changes nothing.
    pub fn apply(&mut self, input: Input) -> Result<Vec<Frame>, Refusal> {
        let refusal = Refusal { phase: self.phase.name(), input: input.name() };
        let frames = match (&mut self.phase, input) {
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
            (Phase::Thinking, Input::Reasoning { text }) => vec![Frame::Reasoning { delta: text }],
            (Phase::Thinking, Input::Accepted { reference }) => {
                self.reference = Some(reference);
                Vec::new()
            }
            (Phase::Thinking, Input::Replied { reply }) => self.replied(reply),
            (Phase::Thinking, Input::CallFailed { code, message, transient, said }) => {
                self.say(&said);
                // Once tools have run, the failure is the run's, whatever the provider said.
                let tools_have_run = self.transcript.iter().any(|item| matches!(item, Item::ToolResult(_)));
                let code =
                    if tools_have_run && code == Code::ModelRequestFailed { Code::RunFailed } else { code };
                self.end(Ending::Failed { code, message, transient })
            }
            (Phase::Thinking | Phase::Calling(_), Input::Warned { warnings }) => {
                warnings.into_iter().for_each(|warning| self.warn(warning));
                Vec::new()
            }
            (Phase::Calling(step), Input::Intended { calls }) => {
                calling::intended(step, &calls).ok_or(refusal)?
            }
            (Phase::Calling(step), Input::Settled { settlement }) => {
                let frame = calling::settled(step, &settlement).ok_or(refusal)?;
                if !settlement.suggested_replies.is_empty() {
                    self.suggested_replies = settlement.suggested_replies;
                }
                self.go_on_if_settled(vec![frame])
            }
            (Phase::Calling(step), Input::Asked { call_id, questions, gate, request_state }) => {
                let call = step.call_mut(&call_id).filter(|call| call.state == State::Begun);
                call.ok_or(refusal)?.ask(questions, gate, request_state);
                Vec::new()
            }
            (Phase::Calling(step), Input::Paused { at }) => {
                if !step.ready().is_empty() || step.is_under_way() {
                    return Err(refusal);
                }
                let frames = step.pause(at);
                self.phase = Phase::Paused(step.clone());
                frames
            }
            (Phase::Paused(step), Input::Decided { approval, choice, messages }) => {
                let is_rejection = matches!(choice, Choice::Reject { .. });
                let on_reject = step.decide(approval, choice).ok_or(refusal)?;
                self.added.extend(messages);
                if is_rejection && on_reject == OnReject::End {
                    self.end(Ending::Completed { stop_reason: StopReason::ApprovalRejected })
                } else {
                    self.go_on_after_pause()
                }
            }
            (Phase::Paused(step), Input::Delivered { results, messages }) => {
                // On a copy: a delivery with one result too many changes nothing.
                let mut delivered = step.clone();
                if results.is_empty() || !delivered.deliver(results) {
                    return Err(refusal);
                }
                *step = delivered;
                self.added.extend(messages);
                self.go_on_after_pause()
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
            (Phase::Calling(_), Input::Resumed) => self.take_up_calls(),
            (Phase::Thinking | Phase::Calling(_) | Phase::Paused(_), Input::Cancelled { reason, said }) => {
                self.say(&said);
                self.end(Ending::Cancelled { reason })
            }
            (Phase::Thinking | Phase::Calling(_), Input::Abandoned { message, said }) => {
                self.say(&said);
                self.end(Ending::Failed { code: Code::ResumeFailed, message, transient: false })
            }
            _ => return Err(refusal),
        };
        self.next_seq = self.next_seq.saturating_add(u64::try_from(frames.len()).unwrap_or(0));
        // What a model says next begins behind what was told.
        if !matches!(frames.last(), None | Some(Frame::Delta { .. } | Frame::Reasoning { .. })) {
            self.call_first_seq = self.next_seq;
        }
        Ok(frames)
    }

    fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn replied(&mut self, reply: Reply) -> Vec<Frame> {
        self.model_calls = self.model_calls.saturating_add(1);
        if !reply.tokens.is_unknown() {
            self.tokens = Some(self.tokens.unwrap_or_default().plus(reply.tokens));
        }
        self.reference = None;
        // The deltas said the same; on a fold over the journal there are none, and the reply stands for them.
        self.text.truncate(self.call_text_start);
        let missed = match reply.verdict {
            Verdict::Misses { why } => Some((
                Code::StructuredOutputFailed,
                format!("The model's answer does not have the form that was asked for: {why}"),
                format!(
                    "Your answer does not have the form that was asked for: {why}\nAnswer again, with nothing but the corrected JSON."
                ),
            )),
            Verdict::LacksCall { why } => Some((
                Code::RunFailed,
                format!("The model did not make the call that it had to make: {why}"),
                format!("You have to call a tool now: {why}\nMake the call, and say nothing else."),
            )),
            Verdict::NotAsked | Verdict::Conforms => None,
        };
        if let Some((code, message, repair)) = missed {
            if self.repair.is_some() {
                return self.end(Ending::Failed { code, message, transient: false });
            }
            if !reply.text.is_empty() {
                self.transcript.push(Item::assistant(reply.text));
            }
            self.repair = Some(repair);
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
        if reply.plans.iter().any(|plan| plan.carrier == Carrier::Client) {
            return self.hand_over(&reply.tool_calls, &reply.plans);
        }
        self.call_text_start = self.text.len();
        self.phase = Phase::Calling(Step::new(reply.tool_calls, reply.plans));
        self.go_on_if_settled(Vec::new())
    }

    fn begin_call(&mut self) -> Vec<Frame> {
        if self.model_calls >= self.limits.model_calls {
            let message = format!(
                "The model was called {} times without coming to an end. Simplify the task or its tools.",
                self.model_calls
            );
            return self.end(Ending::Failed { code: Code::ToolLoopFailed, message, transient: false });
        }
        self.call_text_start = self.text.len();
        self.call_first_seq = self.next_seq;
        self.phase = Phase::Thinking;
        Vec::new()
    }

    fn end(&mut self, ending: Ending) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.leave_begun_calls();
        if let Phase::Calling(step) | Phase::Paused(step) = &self.phase {
            let why = match &ending {
                Ending::Completed { .. } => {
                    "The call was not made: a human rejected it, or another one beside it."
                }
                Ending::Failed { .. } => "The call was not finished: the run failed.",
                Ending::Cancelled { .. } => "The call was not finished: the run was cancelled.",
            };
            let results = step.clone().into_results(why);
            self.transcript.extend(results.map(Item::ToolResult));
        }
        self.take_added();
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
            Ending::Failed { code, message, .. } => {
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
}
