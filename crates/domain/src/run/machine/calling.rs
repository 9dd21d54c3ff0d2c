//! The part of the machine that deals with the calls of an answer.

use super::Run;
use crate::frames::{Frame, Warning};
use crate::items::{Item, ToolCall, ToolResult};
use crate::run::calls::{Carrier, Plan, State, Step};
use crate::run::input::Settlement;
use crate::run::phase::{Ending, Phase};
use crate::run::status::StopReason;

impl Run {
    /// Goes on with the calls that a dead process had under way: what may be repeated is, of the rest nobody knows.
    pub(super) fn take_up_calls(&mut self) -> Vec<Frame> {
        let Phase::Calling(step) = &mut self.phase else { return Vec::new() };
        let mut frames = Vec::new();
        let mut unknown = Vec::new();
        for call in step.calls_mut().filter(|call| call.state == State::Begun) {
            if call.is_repeatable() {
                call.state = State::Ready;
                continue;
            }
            call.settle(call.unknown());
            let (tool, tool_call_id) = (call.call.name.clone(), call.call.id.clone());
            unknown.push(Warning {
                code: "outcome_unknown".to_owned(),
                message: format!(
                    "The server died during the call {tool_call_id} of `{tool}`. Whether it was carried out is not known; it \
                     was not repeated."
                ),
            });
            frames.push(Frame::ToolCompleted { tool, tool_call_id, is_error: true });
        }
        unknown.into_iter().for_each(|warning| self.warn(warning));
        self.go_on_if_settled(frames)
    }

    /// Notes of the calls that are under way when a run ends that nobody knows their outcome: each may have been carried out.
    pub(super) fn leave_begun_calls(&mut self) {
        let Phase::Calling(step) = &mut self.phase else { return };
        let mut unknown = Vec::new();
        for call in step.calls_mut().filter(|call| call.state == State::Begun) {
            call.settle(call.unknown());
            let (tool, id) = (&call.call.name, &call.call.id);
            unknown.push(Warning {
                code: "outcome_unknown".to_owned(),
                message: format!(
                    "The run ended during the call {id} of `{tool}`. Whether it was carried out is not known."
                ),
            });
        }
        unknown.into_iter().for_each(|warning| self.warn(warning));
    }

    /// Calls the model again once every call has its result.
    pub(super) fn go_on_if_settled(&mut self, mut frames: Vec<Frame>) -> Vec<Frame> {
        if let Phase::Calling(step) | Phase::Paused(step) = &self.phase
            && step.is_settled()
        {
            let results = step.clone().into_results("");
            self.transcript.extend(results.map(Item::ToolResult));
            self.take_added();
            // The calls are over, also for a run that ends here because its model was called too often.
            self.phase = Phase::Thinking;
            let ended = self.begin_call();
            frames.extend(ended);
        }
        frames
    }

    /// Ends the turn with calls that its caller carries out; their results come with the next one. What nobody can carry out
    /// is answered here.
    pub(super) fn hand_over(&mut self, calls: &[ToolCall], plans: &[Plan]) -> Vec<Frame> {
        let refused = calls.iter().zip(plans).filter_map(|(call, plan)| match &plan.carrier {
            Carrier::Nobody { why } => Some(Item::ToolResult(ToolResult::error(call, why.clone()))),
            _ => None,
        });
        self.transcript.extend(refused);
        self.call_text_start = self.text.len();
        self.end(Ending::Completed { stop_reason: StopReason::ToolCalls })
    }

    /// Puts what came with decisions and results behind these.
    pub(super) fn take_added(&mut self) {
        self.transcript.extend(self.added.drain(..).map(Item::Message));
    }

    /// Goes on after a decision or a delivery: with the calls that may be made now, or with the rest of the pause.
    pub(super) fn go_on_after_pause(&mut self) -> Vec<Frame> {
        let Phase::Paused(step) = &mut self.phase else { return Vec::new() };
        step.resolve();
        if !step.is_open() && !step.ready().is_empty() {
            self.phase = Phase::Calling(step.clone());
            return Vec::new();
        }
        if !step.is_settled() {
            return vec![step.paused()];
        }
        self.go_on_if_settled(Vec::new())
    }
}

/// Notes that calls are about to be made, unless one of them may not.
pub(super) fn intended(step: &mut Step, ids: &[String]) -> Option<Vec<Frame>> {
    let mut frames = Vec::with_capacity(ids.len());
    for id in ids {
        let call = step.call(id).filter(|call| call.state == State::Ready)?;
        // A call that is made again, after a crash or with an answer, was told already.
        if !call.was_told {
            frames.push(Frame::ToolExecuting { tool: call.call.name.clone(), tool_call_id: id.clone() });
        }
    }
    for id in ids {
        if let Some(call) = step.call_mut(id) {
            call.state = State::Begun;
            call.was_told = true;
        }
    }
    Some(frames)
}

pub(super) fn settled(step: &mut Step, settlement: &Settlement) -> Option<Frame> {
    if !step.settled(settlement) {
        return None;
    }
    let ToolResult { name, call_id, is_error, .. } = &settlement.result;
    Some(Frame::ToolCompleted { tool: name.clone(), tool_call_id: call_id.clone(), is_error: *is_error })
}
