//! The machine, driven through every interleaving that chance comes up with.

mod calls;
mod interleavings;
mod pauses;

use super::*;
use crate::content::{Content, Message, Role};
use crate::frames::Frame;
use crate::ids::{ApprovalId, Id as _, SmithId};
use crate::items::{Item, ToolCall, ToolResult, open_calls};
use crate::problems::Code;
use crate::usage::Tokens;

const LIMITS: Limits = Limits { model_calls: 4 };

fn started() -> Input {
    Input::Started { smith_id: SmithId::from_bytes([1; 16]), thread_id: "t1".into(), warnings: vec![] }
}

fn reply(text: &str) -> Reply {
    Reply {
        text: text.into(),
        tool_calls: vec![],
        plans: vec![],
        stop: StopReason::EndTurn,
        tokens: Tokens { input: 9, output: 4, ..Tokens::default() },
        verdict: Verdict::NotAsked,
    }
}

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "look".into(), arguments: "{}".into(), provider_data: None }
}

fn result(id: &str) -> ToolResult {
    let output = "{}".into();
    ToolResult { call_id: id.into(), name: "look".into(), output, is_error: false, attachments: vec![] }
}

/// A call that this server makes at once.
fn server(is_repeatable: bool) -> Plan {
    Plan { carrier: Carrier::Server { is_repeatable }, gate: None, tool: None }
}

fn asking(calls: &[(&str, Plan)]) -> Input {
    let mut asking = reply("");
    asking.tool_calls = calls.iter().map(|(id, _)| call(id)).collect();
    asking.plans = calls.iter().map(|(_, plan)| plan.clone()).collect();
    Input::Replied { reply: asking }
}

fn intended(ids: &[&str]) -> Input {
    Input::Intended { calls: ids.iter().map(|id| (*id).to_owned()).collect() }
}

fn settled(id: &str) -> Input {
    Input::Settled { settlement: Settlement { result: result(id), suggested_replies: vec![] } }
}

fn delta(text: &str) -> Input {
    Input::Delta { text: text.into() }
}

fn events(frames: &[Frame]) -> Vec<&'static str> {
    frames.iter().map(Frame::event).collect()
}

fn drive(inputs: Vec<Input>) -> (Run, Vec<Frame>) {
    let mut run = Run::new(LIMITS, None);
    let mut frames = Vec::new();
    for input in inputs {
        frames.extend(run.apply(input).unwrap());
    }
    (run, frames)
}

#[test]
fn a_plain_run_says_what_the_contract_says() {
    let (run, frames) = drive(vec![
        started(),
        delta("It is "),
        delta("noon."),
        Input::Replied { reply: reply("It is noon.") },
    ]);
    assert_eq!(
        events(&frames),
        ["run.started", "message.delta", "message.delta", "message.completed", "run.completed"]
    );
    assert_eq!(run.next_seq(), 5);
    assert_eq!(run.text(), "It is noon.");
    assert_eq!(run.decide(), Action::Rest);
}

#[test]
fn a_run_without_text_completes_without_a_message() {
    let (_, frames) = drive(vec![started(), Input::Replied { reply: reply("") }]);
    assert_eq!(events(&frames), ["run.started", "run.completed"]);
}

#[test]
fn usage_is_known_once_a_call_has_any() {
    let untold = || Reply { tokens: Tokens::default(), ..reply("It is noon.") };
    let (run, frames) = drive(vec![started(), Input::Replied { reply: untold() }]);
    assert_eq!(run.tokens(), None);
    assert!(matches!(frames.last(), Some(Frame::Completed { usage: None, .. })));
    let mut first = untold();
    first.tool_calls = vec![call("c1")];
    first.plans = vec![server(true)];
    let (run, _) = drive(vec![
        started(),
        Input::Replied { reply: first },
        intended(&["c1"]),
        settled("c1"),
        Input::Replied { reply: reply("Found.") },
    ]);
    assert_eq!(run.tokens(), Some(reply("").tokens));
}

#[test]
fn a_cut_answer_is_void_and_said_again() {
    let (run, frames) = drive(vec![
        started(),
        delta("It i"),
        Input::Resumed,
        delta("It is noon."),
        Input::Replied { reply: reply("It is noon.") },
    ]);
    assert_eq!(frames[2], Frame::Resumed { attempt: 2, discard_after: 0 });
    assert!(frames.contains(&Frame::MessageCompleted { content: "It is noon.".into(), content_type: None }));
    assert_eq!(run.attempt(), 2);
}

#[test]
fn a_second_cut_voids_only_what_followed_the_first() {
    let (_, frames) =
        drive(vec![started(), delta("a"), Input::Resumed, delta("b"), Input::Resumed, delta("c")]);
    assert_eq!(frames[4], Frame::Resumed { attempt: 3, discard_after: 2 });
}

#[test]
fn what_was_said_before_a_tool_call_stays_valid_when_the_next_answer_is_cut() {
    let mut first = reply("Looking. ");
    first.tool_calls = vec![call("c1")];
    first.plans = vec![server(true)];
    let (run, frames) = drive(vec![
        started(),
        delta("Looking. "),
        Input::Replied { reply: first },
        intended(&["c1"]),
        settled("c1"),
        delta("Fou"),
        Input::Resumed,
        delta("Found."),
        Input::Replied { reply: reply("Found.") },
    ]);
    assert_eq!(run.text(), "Looking. Found.");
    assert!(frames.contains(&Frame::Resumed { attempt: 2, discard_after: 3 }));
}

#[test]
fn a_run_that_only_calls_tools_is_stopped_as_a_loop() {
    let mut run = Run::new(LIMITS, None);
    run.apply(started()).unwrap();
    let mut last = Vec::new();
    for step in 0..LIMITS.model_calls {
        let id = format!("c{step}");
        run.apply(asking(&[(&id, server(true))])).unwrap();
        run.apply(intended(&[&id])).unwrap();
        last = run.apply(settled(&id)).unwrap();
    }
    assert!(matches!(last.last(), Some(Frame::Failed { code: Code::ToolLoopFailed, .. })));
    let results = run.transcript().iter().filter(|item| matches!(item, Item::ToolResult(_)));
    assert_eq!(results.count(), 4, "each call has one result, the last one's too");
}

#[test]
fn a_provider_failure_after_tools_have_run_is_the_runs_failure() {
    let failed = || Input::CallFailed {
        code: Code::ModelRequestFailed,
        message: "down".into(),
        transient: true,
        said: String::new(),
    };
    let (before, _) = drive(vec![started(), failed()]);
    assert!(matches!(before.ending(), Some(Ending::Failed { code: Code::ModelRequestFailed, .. })));
    let calling = asking(&[("c1", server(true))]);
    let (after, _) = drive(vec![started(), calling, intended(&["c1"]), settled("c1"), failed()]);
    assert!(matches!(after.ending(), Some(Ending::Failed { code: Code::RunFailed, .. })));
}

#[test]
fn an_answer_without_the_form_is_asked_for_once_more_and_then_fails() {
    let misses = |text: &str| Input::Replied {
        reply: Reply { verdict: Verdict::Misses { why: "it is not JSON.".into() }, ..reply(text) },
    };
    let mut run = Run::new(LIMITS, Some("application/json".into()));
    run.apply(started()).unwrap();
    run.apply(misses("oops")).unwrap();
    assert_eq!(run.decide(), Action::CallModel);
    assert!(run.repair().unwrap().contains("it is not JSON."));
    let mut mended = run.clone();
    let frames =
        mended.apply(Input::Replied { reply: Reply { verdict: Verdict::Conforms, ..reply("{}") } }).unwrap();
    assert_eq!(
        frames[0],
        Frame::MessageCompleted { content: "{}".into(), content_type: Some("application/json".into()) }
    );
    let frames = run.apply(misses("oops again")).unwrap();
    assert!(matches!(frames.as_slice(), [Frame::Failed { code: Code::StructuredOutputFailed, .. }]));
}

#[test]
fn an_answer_without_the_call_that_was_asked_for_is_asked_for_once_more_and_then_fails() {
    let lacking = || Input::Replied {
        reply: Reply { verdict: Verdict::LacksCall { why: "`f` has to be called.".into() }, ..reply("No.") },
    };
    let (mut run, _) = drive(vec![started(), lacking()]);
    assert_eq!(run.decide(), Action::CallModel);
    assert!(run.repair().unwrap().contains("`f` has to be called."));
    assert_eq!(run.text(), "");
    let frames = run.apply(lacking()).unwrap();
    assert!(matches!(frames.last(), Some(Frame::Failed { code: Code::RunFailed, .. })));
}

#[test]
fn calls_of_the_callers_own_functions_end_the_turn_and_stay_open() {
    let client = || Plan { tool: None, carrier: Carrier::Client, gate: None };
    let (run, frames) = drive(vec![
        started(),
        asking(&[("c1", client()), ("c2", Plan::nobody("no such")), ("c3", client())]),
    ]);
    assert!(
        matches!(frames.last(), Some(Frame::Completed { stop_reason, .. }) if stop_reason == "tool_calls"),
        "{frames:?}"
    );
    let open: Vec<_> = open_calls(run.transcript()).into_iter().map(|call| call.id.as_str()).collect();
    assert_eq!(open, ["c1", "c3"]);
}

#[test]
fn a_cancelled_run_keeps_what_it_had_said() {
    let (run, frames) = drive(vec![
        started(),
        delta("Half a"),
        Input::Cancelled { reason: Some("enough".into()), said: "Half a".into() },
    ]);
    assert_eq!(frames.last(), Some(&Frame::Cancelled { reason: Some("enough".into()) }));
    assert_eq!(run.text(), "Half a");
    assert_eq!(run.transcript().len(), 1);
}

#[test]
fn naming_the_call_in_the_middle_of_its_deltas_moves_no_boundary() {
    let journal = vec![(started(), 1), (Input::Accepted { reference: "resp_1".into() }, 3)];
    let mut run = Run::replay(LIMITS, None, journal).unwrap();
    run.frames_end_at(5);
    assert_eq!(run.reference(), Some("resp_1"));
    assert_eq!(run.apply(Input::Resumed).unwrap(), [Frame::Resumed { attempt: 2, discard_after: 0 }]);
}
