//! Calls that wait for somebody outside.

use serde_json::{Map, Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::frames::PauseReason;
use crate::tools::{Gate, OnReject};

fn approval(number: u8) -> ApprovalId {
    ApprovalId::from_bytes([number; 16])
}

fn gated(number: u8, on_reject: OnReject, carrier: Carrier) -> Plan {
    let gate = Gate { on_reject, expires_in_seconds: 60 };
    Plan { carrier, gate: Some(Gated { approval: approval(number), gate }) }
}

fn ends(number: u8) -> Plan {
    gated(number, OnReject::End, Carrier::Server { is_repeatable: false })
}

fn continues(number: u8) -> Plan {
    gated(number, OnReject::Continue, Carrier::Server { is_repeatable: false })
}

fn external() -> Plan {
    Plan { carrier: Carrier::Caller, gate: None }
}

fn pause() -> Input {
    Input::Paused { at: Timestamp::from_seconds(1_000) }
}

fn approve(number: u8) -> Input {
    Input::Decided {
        approval: approval(number),
        choice: Choice::Approve { args: None, content: None },
        messages: vec![],
    }
}

fn reject(number: u8) -> Input {
    Input::Decided {
        approval: approval(number),
        choice: Choice::Reject { reason: Some("too much".into()) },
        messages: vec![],
    }
}

fn delivered(ids: &[&str]) -> Input {
    Input::Delivered { results: ids.iter().map(|id| result(id)).collect(), messages: vec![] }
}

fn paused(plans: &[(&str, Plan)]) -> (Run, Vec<Frame>) {
    drive(vec![started(), asking(plans), pause()])
}

fn output_of(run: &Run, id: &str) -> String {
    let found = run.transcript().iter().find_map(|item| match item {
        Item::ToolResult(result) if result.call_id == id => Some(result.output.clone()),
        _ => None,
    });
    found.unwrap_or_default()
}

#[test]
fn ungated_calls_finish_before_the_run_pauses_for_the_others() {
    let (mut run, _) = drive(vec![started(), asking(&[("look", server(true)), ("void", ends(1))])]);
    assert!(run.apply(pause()).is_err(), "a call may still be made");
    run.apply(intended(&["look"])).unwrap();
    assert!(run.apply(pause()).is_err(), "a call is under way");
    run.apply(settled("look")).unwrap();
    assert_eq!(run.decide(), Action::Pause);
    let frames = run.apply(pause()).unwrap();
    assert_eq!(events(&frames), ["approval.required", "run.paused"]);
    let Frame::ApprovalRequired { expires_at, .. } = &frames[0] else { panic!() };
    assert_eq!(expires_at, "1970-01-01T00:17:40.000Z");
    assert_eq!(run.status(), Status::PausedForApproval);
    assert_eq!(run.decide(), Action::Wait);
}

#[test]
fn an_approved_call_is_made_once_nothing_is_open() {
    let (mut run, _) = paused(&[("a", ends(1)), ("b", ends(2))]);
    let frames = run.apply(approve(2)).unwrap();
    let [Frame::Paused { reason: PauseReason::Approval, tool_calls }] = frames.as_slice() else { panic!() };
    assert_eq!(tool_calls.len(), 1);
    assert_eq!(tool_calls[0].approval_id, Some(approval(1)));
    assert_eq!(run.status(), Status::PausedForApproval);
    assert!(run.apply(approve(2)).is_err(), "that was decided already");
    assert!(run.apply(approve(1)).unwrap().is_empty());
    assert_eq!(run.status(), Status::Running);
    let Action::CallTools(calls) = run.decide() else { panic!() };
    assert_eq!(calls.len(), 2);
}

#[test]
fn a_rejection_that_ends_the_run_lets_no_gated_call_of_the_pause_run() {
    let (mut run, _) = paused(&[("a", ends(1)), ("b", continues(2))]);
    run.apply(approve(2)).unwrap();
    let frames = run.apply(reject(1)).unwrap();
    assert_eq!(events(&frames), ["run.completed"]);
    assert_eq!(run.ending(), Some(&Ending::Completed { stop_reason: StopReason::ApprovalRejected }));
    assert!(output_of(&run, "b").contains("not made"));
}

#[test]
fn a_rejection_that_goes_on_is_the_tools_result() {
    let (mut run, _) = paused(&[("a", continues(1))]);
    assert!(run.apply(reject(1)).unwrap().is_empty());
    assert_eq!(run.decide(), Action::CallModel);
    assert!(output_of(&run, "a").contains("too much"));
}

#[test]
fn edited_arguments_are_used_and_the_model_is_told() {
    let (mut run, _) = paused(&[("a", ends(1))]);
    let args: Map<String, Value> = json!({"amount": 5}).as_object().cloned().unwrap();
    let choice = Choice::Approve { args: Some(args.clone()), content: None };
    run.apply(Input::Decided { approval: approval(1), choice, messages: vec![] }).unwrap();
    let Action::CallTools(calls) = run.decide() else { panic!() };
    assert_eq!(calls[0].args, args);
    run.apply(intended(&["a"])).unwrap();
    run.apply(settled("a")).unwrap();
    assert!(output_of(&run, "a").contains(r#"{"amount":5}"#));
}

#[test]
fn results_from_outside_move_the_run_on_when_the_last_is_there() {
    let (mut run, frames) = paused(&[("a", external()), ("b", external())]);
    assert!(
        matches!(frames.last(), Some(Frame::Paused { reason: PauseReason::Tool, tool_calls }) if tool_calls.len() == 2)
    );
    assert_eq!(run.status(), Status::PausedForTool);
    let before = run.clone();
    assert!(run.apply(delivered(&["a", "x"])).is_err());
    assert_eq!(run, before, "a delivery with an unknown call changes nothing");
    let frames = run.apply(delivered(&["b"])).unwrap();
    assert!(
        matches!(frames.as_slice(), [Frame::Paused { tool_calls, .. }] if tool_calls[0].tool_call_id == "a")
    );
    assert!(run.apply(delivered(&["b"])).is_err(), "it has its result already");
    assert!(run.apply(delivered(&["a"])).unwrap().is_empty());
    assert_eq!(run.decide(), Action::CallModel);
}

#[test]
fn what_comes_with_a_result_is_read_behind_all_results() {
    let external = || Plan { carrier: Carrier::Caller, gate: None };
    let (mut run, _) = drive(vec![
        started(),
        asking(&[("c1", external()), ("c2", external())]),
        Input::Paused { at: Timestamp::from_seconds(1) },
    ]);
    let hurry = Message { role: Role::User, content: Content::Text("Hurry.".into()) };
    run.apply(Input::Delivered { results: vec![result("c1")], messages: vec![hurry.clone()] }).unwrap();
    assert_eq!(run.transcript().last(), Some(&Item::ToolCall(call("c2"))));
    run.apply(delivered(&["c2"])).unwrap();
    assert_eq!(run.decide(), Action::CallModel);
    assert_eq!(run.transcript().last(), Some(&Item::Message(hurry)));
}

#[test]
fn after_the_last_decision_the_run_pauses_again_for_results_that_are_missing() {
    let (mut run, frames) = paused(&[("look", external()), ("void", continues(1))]);
    assert!(
        matches!(frames.last(), Some(Frame::Paused { reason: PauseReason::Approval, tool_calls }) if tool_calls.len() == 2)
    );
    let mut rejected = run.clone();
    let frames = rejected.apply(reject(1)).unwrap();
    assert!(matches!(frames.as_slice(), [Frame::Paused { reason: PauseReason::Tool, .. }]));
    run.apply(approve(1)).unwrap();
    run.apply(intended(&["void"])).unwrap();
    run.apply(settled("void")).unwrap();
    assert_eq!(run.decide(), Action::Pause);
    let frames = run.apply(pause()).unwrap();
    assert!(matches!(frames.as_slice(), [Frame::Paused { reason: PauseReason::Tool, .. }]));
    run.apply(delivered(&["look"])).unwrap();
    assert_eq!(run.decide(), Action::CallModel);
}

#[test]
fn an_external_call_that_needs_consent_is_handed_out_once_it_has_it() {
    let (mut run, _) = paused(&[("a", gated(1, OnReject::End, Carrier::Caller))]);
    assert!(run.apply(delivered(&["a"])).is_err());
    let frames = run.apply(approve(1)).unwrap();
    assert!(matches!(frames.as_slice(), [Frame::Paused { reason: PauseReason::Tool, .. }]));
    run.apply(delivered(&["a"])).unwrap();
    assert_eq!(run.decide(), Action::CallModel);
}

fn asked(numbers: &[u8], on_reject: OnReject) -> Input {
    let questions = numbers
        .iter()
        .map(|number| Elicitation {
            approval: approval(*number),
            key: format!("q{number}"),
            message: "How many?".into(),
            requested_schema: json!({"type": "object", "properties": {"n": {"type": "integer"}}}),
        })
        .collect();
    let gate = Gate { on_reject, expires_in_seconds: 60 };
    Input::Asked { call_id: "a".into(), questions, gate, request_state: Some("opaque".into()) }
}

#[test]
fn a_tool_that_asks_is_called_again_with_all_the_answers() {
    let (mut run, _) = drive(vec![started(), asking(&[("a", server(false))]), intended(&["a"])]);
    assert!(run.apply(asked(&[1, 2], OnReject::Continue)).unwrap().is_empty());
    assert_eq!(run.decide(), Action::Pause);
    let frames = run.apply(pause()).unwrap();
    assert_eq!(events(&frames), ["approval.required", "approval.required", "run.paused"]);
    let Frame::ApprovalRequired { elicitation: Some(elicitation), .. } = &frames[0] else { panic!() };
    assert_eq!((elicitation.key.as_str(), elicitation.request_state.as_deref()), ("q1", Some("opaque")));
    let choice = Choice::Approve { args: None, content: Some(json!({"n": 3})) };
    run.apply(Input::Decided { approval: approval(1), choice, messages: vec![] }).unwrap();
    run.apply(reject(2)).unwrap();
    let Action::CallTools(calls) = run.decide() else { panic!() };
    let resumption = calls[0].resumption.clone().unwrap();
    assert_eq!(resumption.request_state.as_deref(), Some("opaque"));
    assert_eq!(resumption.replies, [("q1".to_owned(), Some(json!({"n": 3}))), ("q2".to_owned(), None)]);
    assert!(run.apply(intended(&["a"])).unwrap().is_empty(), "the call was told when it began");
}

#[test]
fn a_paused_run_can_be_cancelled_and_not_decided_after_that() {
    let (mut run, _) = paused(&[("a", ends(1))]);
    let frames = run.apply(Input::Cancelled { reason: None, said: String::new() }).unwrap();
    assert_eq!(events(&frames), ["run.cancelled"]);
    assert!(run.apply(approve(1)).is_err());
    assert!(run.pending().is_empty());
}
