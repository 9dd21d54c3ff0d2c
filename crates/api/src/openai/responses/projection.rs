//! The fixed projection of a run's log: a fold of its frames into Responses events and output items.
//!
//! It reads nothing but the log, so every reader at any time gets the same numbers, ids and items. Each stretch between pauses
//! is a response of its own: created, its items, a terminal event.

mod calls;
mod speech;
mod teller;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use domain::frames::{Frame, PendingCall};
use domain::ids::RunId;
use serde_json::{Map, Value};

use self::calls::Calling;
use self::speech::{Speech, Spoken};
use self::teller::Teller;
use super::facts::Facts;
use super::items::{APPROVAL_REQUEST, COMPLETED};
use super::object::Outcome;

/// Why a run ends whose calls are its caller's to carry out.
const HANDED_OVER: &str = "tool_calls";

/// An event of the stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) number: u64,
    /// The frame that it was made from.
    pub(super) seq: u64,
    pub(super) kind: &'static str,
    /// JSON.
    pub(super) data: Vec<u8>,
}

/// An item that was told.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    item: Item,
    /// The frame with which it began.
    seq: u64,
    /// Whether it is no part of the output: a crash has cut it off.
    is_void: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Made(Value),
    /// Grows with each delta, so it is made when it is asked for.
    Speech(Speech),
}

impl Item {
    fn made(&self) -> Value {
        match self {
            Self::Made(item) => item.clone(),
            Self::Speech(speech) => speech.item(),
        }
    }
}

/// The state of the fold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Projection {
    run: RunId,
    /// The response as it is before anything came of it.
    pub(super) shell: Map<String, Value>,
    number: u64,
    told: Vec<Told>,
    /// The first item of the present stretch; None between stretches.
    stretch: Option<usize>,
    /// How many messages and how many thoughts were told.
    messages: usize,
    thoughts: usize,
    /// The place of what is being said.
    saying: Option<usize>,
    /// What was thought in the middle of a message, with the seq of each part. It is told behind the message.
    asides: Vec<(u64, String)>,
    calling: Vec<Calling>,
    /// How often each call was told: once more each time that its tool asked something in the middle of it.
    times: HashMap<String, usize>,
    /// What the run waits for at its present pause.
    pending: Vec<PendingCall>,
    pub(super) outcome: Option<Outcome>,
}

impl Projection {
    pub(super) fn new(run: RunId, shell: Map<String, Value>) -> Self {
        Self {
            run,
            shell,
            number: 0,
            told: Vec::new(),
            stretch: None,
            messages: 0,
            thoughts: 0,
            saying: None,
            asides: Vec::new(),
            calling: Vec::new(),
            times: HashMap::new(),
            pending: Vec::new(),
            outcome: None,
        }
    }

    /// Tells whether a frame is told with what only the journal knows.
    pub(super) const fn needs_facts(frame: &Frame) -> bool {
        !matches!(
            frame,
            Frame::Started { .. }
                | Frame::Delta { .. }
                | Frame::Reasoning { .. }
                | Frame::MessageCompleted { .. }
                | Frame::Resumed { .. }
        )
    }

    /// Tells whether a frame is about calls, whose arguments and results only the journal knows. The tokens of a run that has
    /// ended are known by its record, too.
    pub(super) fn tells_calls(frame: &Frame) -> bool {
        match frame {
            Frame::Completed { stop_reason, .. } => stop_reason == HANDED_OVER,
            Frame::Failed { .. } | Frame::Cancelled { .. } => false,
            frame => Self::needs_facts(frame),
        }
    }

    /// Takes the next frame of the log and returns the events that tell it.
    pub(super) fn apply(&mut self, seq: u64, frame: &Frame, facts: &Facts) -> Vec<Event> {
        self.fold(seq, frame, facts, true)
    }

    /// Takes the next frame of the log for somebody who wants to know only what came of it.
    pub(super) fn take(&mut self, seq: u64, frame: &Frame, facts: &Facts) {
        self.fold(seq, frame, facts, false);
    }

    fn fold(&mut self, seq: u64, frame: &Frame, facts: &Facts, is_heard: bool) -> Vec<Event> {
        let mut to = Teller::new(self, seq, is_heard);
        to.begin();
        match frame {
            Frame::Started { .. } => {}
            Frame::Delta { delta } => to.say(Spoken::Message, delta),
            Frame::Reasoning { delta } => to.say(Spoken::Reasoning, delta),
            Frame::MessageCompleted { .. } => to.end_speech(COMPLETED),
            Frame::Resumed { discard_after, .. } => to.void_speech(*discard_after),
            Frame::ToolExecuting { tool, tool_call_id } => {
                to.end_speech(COMPLETED);
                to.call(tool, tool_call_id, facts);
            }
            Frame::ToolCompleted { tool, tool_call_id, is_error } => {
                to.end_speech(COMPLETED);
                to.end_call(tool, tool_call_id, *is_error, facts);
            }
            Frame::ApprovalRequired { tool, tool_call_id, args, .. } => {
                to.end_speech(COMPLETED);
                to.interrupt_call(tool_call_id, facts);
                to.ask(tool, tool_call_id, args, facts);
            }
            Frame::Paused { tool_calls, .. } => {
                to.end_speech(COMPLETED);
                to.pause(tool_calls, facts);
            }
            Frame::Completed { stop_reason, .. } => {
                to.end_speech(COMPLETED);
                if stop_reason == HANDED_OVER {
                    to.hand_over(facts);
                }
                let outcome = match stop_reason.as_str() {
                    "max_tokens" => Outcome::Incomplete("max_output_tokens"),
                    "content_filter" => Outcome::Incomplete("content_filter"),
                    _ => Outcome::Completed,
                };
                to.end(outcome, facts);
            }
            Frame::Failed { error, code } => to.fail(*code, error, facts),
            Frame::Cancelled { reason } => to.cancel(reason.as_deref(), facts),
        }
        to.events()
    }

    /// Returns the items that began with the frame `since` or later, and what the run waits for though it was told before.
    pub(super) fn output(&self, since: u64) -> Vec<Value> {
        let is_pending = |item: &Item| {
            let Item::Made(item) = item else { return false };
            let name = item.get("call_id").or_else(|| item.get("id")).and_then(Value::as_str);
            // A call that was agreed to may wait for its result now: what asked for the agreement is answered.
            let asks = item.get("type").is_some_and(|kind| kind == APPROVAL_REQUEST);
            let mut pending = self.pending.iter().filter(|call| call.approval_id.is_some() == asks);
            pending.any(|call| name == Some(composite(self.run, &call.tool_call_id).as_str()))
        };
        let shown = |told: &&Told| !told.is_void && (told.seq >= since || is_pending(&told.item));
        self.told.iter().filter(shown).map(|told| told.item.made()).collect()
    }

    /// Returns every item that was ever told, the cut off ones, too: they can be referred to.
    pub(super) fn items(&self) -> impl Iterator<Item = Value> {
        self.told.iter().map(|told| told.item.made())
    }
}

/// Names a call of a run for whoever answers it.
pub(super) fn composite(run: RunId, call: &str) -> String {
    format!("{run}::{call}")
}
