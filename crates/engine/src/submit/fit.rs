//! Whether what is submitted fits what a run waits for.

use domain::frames::PendingCall;
use domain::ids::ApprovalId;
use domain::items::ToolResult;
use domain::run::{Choice, Question, Run, Status, Step};
use domain::{Code, Problem, Timestamp};
use serde_json::{Map, Value};
use store::ProjectStore;
use store::runs::{RunRecord, Saved};

use super::{ResultIn, Submitted};
use crate::toolbox::{Gathered, Requested, fits};
use crate::{Engine, driver};

/// What was known of an approval before a decision came.
pub(super) enum Before {
    /// The same was decided already.
    Decided(Submitted),
    Open {
        expires_at: Timestamp,
    },
}

impl Engine {
    /// Answers a decision that was taken before: the same again is no error, the opposite is one.
    pub(super) async fn before(
        &self,
        project: &ProjectStore,
        record: &RunRecord,
        approval: ApprovalId,
        choice: &Choice,
    ) -> Result<Before, Problem> {
        let found = project.approval(approval).await?.filter(|found| found.run == record.id);
        if found.is_none() && !record.status.is_paused() {
            return Err(not_paused(record.status));
        }
        let Some(found) = found else {
            let message = "The run has no such approval. Its pending ones are in `output.tool_calls`.";
            return Err(Problem::invalid_input("approval_id", message));
        };
        let wanted = match choice {
            Choice::Approve { .. } => "approved",
            Choice::Reject { .. } => "rejected",
        };
        match found.status.as_str() {
            "pending" => Ok(Before::Open { expires_at: found.expires_at }),
            status if status == wanted || (found.was_withdrawn && wanted == "approved") => {
                let thread_id = record.thread_id.clone();
                Ok(Before::Decided(Submitted { thread_id, from: record.next_seq, repeats: true }))
            }
            status => {
                let message = format!("The approval was {status} already; that is not taken back.");
                Err(Problem::new(Code::RunNotPaused, message).at("approval_id"))
            }
        }
    }

    /// Checks what comes with an approval: arguments against the tool's schema, an answer against what was asked for.
    pub(super) async fn check(
        &self,
        project: &ProjectStore,
        saved: &Saved,
        machine: &Run,
        question: &Question,
        choice: &Choice,
    ) -> Result<(), Problem> {
        let Choice::Approve { args, content } = choice else { return Ok(()) };
        if let Some(elicitation) = &question.elicitation {
            if args.is_some() {
                let message = "The tool asks for something, and its call is made already: `args` cannot be changed. Give `content`.";
                return Err(Problem::invalid_input("args", message));
            }
            // Who only sends the person somewhere asks for nothing.
            let nothing = Value::Object(Map::new());
            return fits(&elicitation.requested_schema, content.as_ref().unwrap_or(&nothing)).map_err(|why| {
                let message = match content {
                    Some(_) => format!("`content` is not what was asked for. {why}"),
                    None => "The tool asks for something: give it as `content`, an object that fits `requested_schema`.".to_owned(),
                };
                Problem::invalid_input("content", message)
            });
        }
        let Some(args) = args else { return Ok(()) };
        let step = machine.step();
        let call = step.and_then(|step| {
            step.questions().find(|(_, other)| other.approval == question.approval).map(|(call, _)| call)
        });
        let inner = &self.inner;
        let request = Requested::of(&saved.record.request);
        let gathered = Gathered::of_run(inner, project, &saved.config.config, request).await?;
        let Some(offer) = call.and_then(|call| gathered.toolbox.of(call)) else {
            let message = "The tool is not there any more, so its arguments cannot be checked. Approve or reject the call as it is.";
            return Err(Problem::invalid_input("args", message));
        };
        offer.check(args).map_err(|why| {
            Problem::invalid_input("args", format!("`args` do not fit the tool's schema. {why}"))
        })
    }
}

pub(super) fn not_paused(status: Status) -> Problem {
    let message = format!("The run is {} and does not wait for this.", status.as_str());
    Problem::new(Code::RunNotPaused, message)
}

fn at_work() -> Problem {
    let message = "Another call of the same answer is being made, and the run takes this result after it. Send it again shortly.";
    Problem::new(Code::ServiceOverloaded, message)
}

/// Returns what was approved in the present pause.
pub(super) fn approved(machine: &Run) -> Vec<ApprovalId> {
    let questions = machine.step().into_iter().flat_map(Step::questions);
    let approved = questions.filter(|(_, question)| matches!(question.choice, Some(Choice::Approve { .. })));
    approved.map(|(_, question)| question.approval).collect()
}

pub(super) fn find(machine: &Run, approval: ApprovalId) -> Option<&Question> {
    let mut questions = machine.step()?.questions();
    questions.find(|(_, question)| question.approval == approval).map(|(_, question)| question)
}

pub(super) fn open_question<'a>(
    machine: &'a Run,
    record: &RunRecord,
    approval: ApprovalId,
) -> Result<&'a Question, Problem> {
    let question = find(machine, approval).filter(|question| question.choice.is_none());
    question.filter(|_| machine.status().is_paused()).ok_or_else(|| not_paused(record.status))
}

/// Makes the input of results, each of a call that waits for one.
pub(super) fn results_for(
    machine: &Run,
    record: &RunRecord,
    results: &[ResultIn],
    limit: usize,
) -> Result<Vec<ToolResult>, Problem> {
    if !machine.status().is_paused() {
        // A call of its answer is being made; once that has its result, the run pauses again for what it still waits for.
        let awaited = machine.step().map(Step::pending).unwrap_or_default();
        let is_awaited =
            |call: &PendingCall| results.iter().any(|result| result.call_id == call.tool_call_id);
        return Err(if awaited.iter().any(is_awaited) { at_work() } else { not_paused(record.status) });
    }
    let pending = machine.pending();
    let mut made: Vec<ToolResult> = Vec::with_capacity(results.len());
    for result in results {
        let call = pending.iter().find(|call| call.tool_call_id == result.call_id);
        let is_second = made.iter().any(|other| other.call_id == result.call_id);
        match call {
            Some(call) if call.approval_id.is_none() && !is_second => made.push(ToolResult {
                call_id: result.call_id.clone(),
                name: call.tool.clone(),
                output: driver::cut(result.output.clone(), limit),
                is_error: result.is_error,
                attachments: Vec::new(),
            }),
            Some(_) if !is_second => {
                let message =
                    "That call waits for a decision, not for a result. Submit an `approval_decision` first.";
                return Err(Problem::invalid_input(&result.at, message));
            }
            _ => {
                let message = "The run waits for no result of such a call. The pending calls are in `output.tool_calls`.";
                return Err(Problem::invalid_input(&result.at, message));
            }
        }
    }
    Ok(made)
}
