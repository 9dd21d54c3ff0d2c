//! The calls of one answer: who carries each out, whether a human must agree first, and what came of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::input::{Choice, Settlement};
use crate::clock::Timestamp;
use crate::frames::{ElicitationFrame, Frame, PauseReason, PendingCall};
use crate::ids::ApprovalId;
use crate::items::{ToolCall, ToolResult};
use crate::tools::{Gate, Identity, OnReject};

/// What a model is told of a call that had begun, had asked something back, and did not go on.
const STARTED: &str = "The call had been started and was not finished: it had asked something back, and the run ended before it could go on.";

/// What a model is told of a call whose outcome nobody knows.
pub const OUTCOME_UNKNOWN: &str = r#"{"error":"outcome_unknown"}"#;

/// How a call is to be carried out. Decided when the model's answer is complete, and kept with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub carrier: Carrier,
    /// That a human must agree first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gated>,
    /// The tool that the call is meant for. None: the one of the name that the model called, if there is one at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Identity>,
}

/// Who carries a call out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Carrier {
    /// This server. A repeatable call may be made again when nobody knows what came of it.
    Server { is_repeatable: bool },
    /// Whoever called the run, which waits for the result.
    Caller,
    /// Whoever called the run, and brings the result with another one: a function of the request.
    Client,
    /// Nobody: there is no such tool, its arguments do not fit, or it was called too often.
    Nobody { why: String },
}

/// The approval that a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gated {
    pub approval: ApprovalId,
    #[serde(flatten)]
    pub gate: Gate,
}

impl Plan {
    pub fn nobody(why: impl Into<String>) -> Self {
        Self { carrier: Carrier::Nobody { why: why.into() }, gate: None, tool: None }
    }
}

/// What a tool asks the person in the middle of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elicitation {
    pub approval: ApprovalId,
    /// Tells the questions of one call apart.
    pub key: String,
    pub message: String,
    pub requested_schema: Value,
}

/// Something that a human has to decide before a call goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub approval: ApprovalId,
    pub gate: Gate,
    /// None: whether the call may be made at all.
    pub elicitation: Option<Elicitation>,
    /// When the question was put; None until the run has paused for it.
    pub asked_at: Option<Timestamp>,
    pub choice: Option<Choice>,
}

impl Question {
    /// Returns the moment from which on the question counts as rejected.
    pub fn expires_at(&self) -> Option<Timestamp> {
        Some(self.asked_at?.plus_seconds(i64::from(self.gate.expires_in_seconds)))
    }
}

/// Answers that a tool gets with the repeated call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    pub request_state: Option<String>,
    /// By the key of the question; None declines.
    pub replies: Vec<(String, Option<Value>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for decisions.
    Asking {
        questions: Vec<Question>,
        request_state: Option<String>,
    },
    /// May be made by this server.
    Ready,
    /// Is being made by this server, or was when its process died.
    Begun,
    /// Waits for the result from outside.
    Awaited,
    Settled(ToolResult),
}

/// One call of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub call: ToolCall,
    /// What the call is made with: the model's arguments, or what a human made of them.
    pub args: Map<String, Value>,
    pub plan: Plan,
    pub resumption: Option<Resumption>,
    is_edited: bool,
    /// Whether clients know that the call is being made.
    pub(super) was_told: bool,
    pub(super) state: State,
}

impl Call {
    pub(super) fn new(call: ToolCall, plan: Plan) -> Self {
        let args = match serde_json::from_str(&call.arguments) {
            Ok(Value::Object(args)) => args,
            _ => Map::new(),
        };
        let state = match (&plan.carrier, plan.gate) {
            (Carrier::Nobody { why }, _) => State::Settled(ToolResult::error(&call, why.clone())),
            (_, Some(Gated { approval, gate })) => State::Asking {
                questions: vec![Question { approval, gate, elicitation: None, asked_at: None, choice: None }],
                request_state: None,
            },
            (Carrier::Server { .. }, None) => State::Ready,
            (Carrier::Caller | Carrier::Client, None) => State::Awaited,
        };
        Self { call, args, plan, resumption: None, is_edited: false, was_told: false, state }
    }

    pub fn is_repeatable(&self) -> bool {
        matches!(self.plan.carrier, Carrier::Server { is_repeatable: true })
    }

    /// Makes the result of a call whose outcome nobody knows.
    pub fn unknown(&self) -> ToolResult {
        ToolResult::error(&self.call, OUTCOME_UNKNOWN)
    }

    fn questions(&self) -> &[Question] {
        match &self.state {
            State::Asking { questions, .. } => questions,
            _ => &[],
        }
    }

    /// Notes what the tool wants to know before it goes on.
    pub(super) fn ask(&mut self, questions: Vec<Elicitation>, gate: Gate, request_state: Option<String>) {
        let questions = questions
            .into_iter()
            .map(|elicitation| Question {
                approval: elicitation.approval,
                gate,
                elicitation: Some(elicitation),
                asked_at: None,
                choice: None,
            })
            .collect();
        self.state = State::Asking { questions, request_state };
    }

    /// Settles the call. A model whose arguments were changed has to know, or it would misread the result.
    pub(super) fn settle(&mut self, mut result: ToolResult) {
        if self.is_edited {
            let args = Value::Object(self.args.clone());
            result.output =
                format!("(Whoever approved the call changed its arguments to {args}.)\n{}", result.output);
        }
        self.state = State::Settled(result);
    }

    /// Goes on after the last decision of a pause.
    fn resolve(&mut self) {
        let State::Asking { questions, request_state } = &self.state else { return };
        let mut replies = Vec::new();
        let mut rejection = None;
        for question in questions {
            match (&question.elicitation, &question.choice) {
                (None, Some(Choice::Approve { args, .. })) => {
                    if let Some(args) = args {
                        self.args = args.clone();
                        self.is_edited = true;
                    }
                }
                (Some(elicitation), Some(Choice::Approve { content, .. })) => {
                    let content = content.clone().unwrap_or_else(|| Value::Object(Map::new()));
                    replies.push((elicitation.key.clone(), Some(content)));
                }
                (Some(elicitation), Some(Choice::Reject { .. })) => {
                    replies.push((elicitation.key.clone(), None));
                }
                (None, Some(Choice::Reject { reason })) => rejection = Some(reason.clone()),
                (_, None) => return,
            }
        }
        if let Some(reason) = rejection {
            let why = reason.map_or_else(String::new, |reason| format!(" The reason given: {reason}"));
            let message = format!("The call was not made: a human rejected it.{why}");
            self.settle(ToolResult::error(&self.call, message));
            return;
        }
        if !replies.is_empty() {
            self.resumption = Some(Resumption { request_state: request_state.clone(), replies });
        }
        self.state = match self.plan.carrier {
            Carrier::Caller => State::Awaited,
            _ => State::Ready,
        };
    }
}

/// The calls of one answer, in the model's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step(Vec<Call>);

impl Step {
    pub(super) fn new(calls: Vec<ToolCall>, plans: Vec<Plan>) -> Self {
        let plans = plans.into_iter().map(Some).chain(std::iter::repeat(None));
        let unknown = || Plan::nobody("There is no such tool here. Answer without it.");
        Self(
            calls
                .into_iter()
                .zip(plans)
                .map(|(call, plan)| Call::new(call, plan.unwrap_or_else(unknown)))
                .collect(),
        )
    }

    pub fn calls(&self) -> &[Call] {
        &self.0
    }

    pub fn call(&self, id: &str) -> Option<&Call> {
        self.0.iter().find(|call| call.call.id == id)
    }

    pub(super) fn call_mut(&mut self, id: &str) -> Option<&mut Call> {
        self.0.iter_mut().find(|call| call.call.id == id)
    }

    pub(super) fn calls_mut(&mut self) -> impl Iterator<Item = &mut Call> {
        self.0.iter_mut()
    }

    /// Returns the calls that this server may make now.
    pub fn ready(&self) -> Vec<Call> {
        self.0.iter().filter(|call| call.state == State::Ready).cloned().collect()
    }

    /// Tells whether calls of this server are under way.
    pub fn is_under_way(&self) -> bool {
        self.0.iter().any(|call| call.state == State::Begun)
    }

    pub fn is_settled(&self) -> bool {
        self.0.iter().all(|call| matches!(call.state, State::Settled(_)))
    }

    /// Returns every question that was put or is to be put, with its call.
    pub fn questions(&self) -> impl Iterator<Item = (&Call, &Question)> {
        self.0.iter().flat_map(|call| call.questions().iter().map(move |question| (call, question)))
    }

    fn open_questions(&self) -> impl Iterator<Item = (&Call, &Question)> {
        self.questions().filter(|(_, question)| question.choice.is_none())
    }

    /// Tells whether a human has to decide something.
    pub fn is_open(&self) -> bool {
        self.open_questions().next().is_some()
    }

    /// Puts the questions that were not put yet, and tells what the run waits for.
    pub(super) fn pause(&mut self, at: Timestamp) -> Vec<Frame> {
        let mut frames = Vec::new();
        for call in &mut self.0 {
            let State::Asking { questions, request_state } = &mut call.state else { continue };
            for question in questions.iter_mut().filter(|question| question.asked_at.is_none()) {
                question.asked_at = Some(at);
                frames.push(Frame::ApprovalRequired {
                    approval_id: question.approval,
                    tool: call.call.name.clone(),
                    tool_call_id: call.call.id.clone(),
                    args: call.args.clone(),
                    elicitation: question.elicitation.as_ref().map(|elicitation| {
                        Box::new(ElicitationFrame::new(elicitation, request_state.clone()))
                    }),
                    expires_at: question.expires_at().unwrap_or_default().to_string(),
                });
            }
        }
        frames.push(self.paused());
        frames
    }

    /// Tells what the run waits for.
    pub(super) fn paused(&self) -> Frame {
        let reason = if self.is_open() { PauseReason::Approval } else { PauseReason::Tool };
        Frame::Paused { reason, tool_calls: self.pending() }
    }

    /// Returns what the run waits for, oldest first.
    pub fn pending(&self) -> Vec<PendingCall> {
        let mut pending = Vec::new();
        for call in &self.0 {
            let entry = |question: Option<&Question>| PendingCall {
                tool_call_id: call.call.id.clone(),
                tool: call.call.name.clone(),
                args: call.args.clone(),
                approval_id: question.map(|question| question.approval),
                elicitation: question
                    .and_then(|question| question.elicitation.as_ref())
                    .map(|elicitation| ElicitationFrame::new(elicitation, None)),
            };
            match &call.state {
                State::Awaited => pending.push(entry(None)),
                State::Asking { questions, .. } => {
                    let open = questions.iter().filter(|question| question.choice.is_none());
                    pending.extend(open.map(|question| entry(Some(question))));
                }
                State::Ready | State::Begun | State::Settled(_) => {}
            }
        }
        pending
    }

    /// Records a decision. Returns what its rejection means for the run, or None when there is no such open question.
    pub(super) fn decide(&mut self, approval: ApprovalId, choice: Choice) -> Option<OnReject> {
        for call in &mut self.0 {
            let State::Asking { questions, .. } = &mut call.state else { continue };
            let open = questions.iter_mut().find(|question| {
                question.approval == approval && question.choice.is_none() && question.asked_at.is_some()
            });
            if let Some(question) = open {
                question.choice = Some(choice);
                return Some(question.gate.on_reject);
            }
        }
        None
    }

    /// Lets the calls go on that were decided, once nothing is open.
    pub(super) fn resolve(&mut self) {
        if !self.is_open() {
            self.0.iter_mut().for_each(Call::resolve);
        }
    }

    /// Takes the results of calls that somebody outside carried out. Returns false when one of them is not awaited.
    pub(super) fn deliver(&mut self, results: Vec<ToolResult>) -> bool {
        for result in results {
            let awaited =
                self.0.iter_mut().find(|call| call.call.id == result.call_id && call.state == State::Awaited);
            let Some(call) = awaited else { return false };
            call.settle(result);
        }
        true
    }

    /// Takes what came of a call of this server.
    pub(super) fn settled(&mut self, settlement: &Settlement) -> bool {
        let Some(call) = self.call_mut(&settlement.result.call_id) else { return false };
        if call.state != State::Begun {
            return false;
        }
        call.settle(settlement.result.clone());
        true
    }

    /// Returns the results in the model's order. A call without one gets one that says so, as providers want an answer to
    /// each; one that was begun and then asked something back is not told as if it had never been made.
    pub(super) fn into_results(self, why: &str) -> impl Iterator<Item = ToolResult> {
        self.0.into_iter().map(move |call| match call.state {
            State::Settled(result) => result,
            _ if call.was_told => ToolResult::error(&call.call, STARTED),
            _ => ToolResult::error(&call.call, why),
        })
    }
}
