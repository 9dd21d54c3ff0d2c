use std::collections::{HashMap, HashSet};

use domain::Code;
use domain::frames::PauseReason;
use domain::ids::{ApprovalId, Id as _, SmithId};
use domain::items::{ToolCall, ToolResult};
use domain::run::{Carrier, Input, OUTCOME_UNKNOWN, Plan, Reply, Settlement, StopReason, Verdict};
use domain::usage::Tokens;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn run() -> RunId {
    RunId::from_bytes([7; 16])
}

fn shell() -> Map<String, Value> {
    let shell = json!({"id": run(), "object": "response", "created_at": 1, "model": "m", "status": "in_progress", "output": []});
    shell.as_object().unwrap().clone()
}

fn started() -> Frame {
    Frame::Started { smith_id: SmithId::from_bytes([1; 16]), thread_id: "t".into() }
}

fn delta(text: &str) -> Frame {
    Frame::Delta { delta: text.into() }
}

fn thought(text: &str) -> Frame {
    Frame::Reasoning { delta: text.into() }
}

fn executing(call: &str) -> Frame {
    Frame::ToolExecuting { tool: "look".into(), tool_call_id: call.into() }
}

fn completed_call(call: &str, is_error: bool) -> Frame {
    Frame::ToolCompleted { tool: "look".into(), tool_call_id: call.into(), is_error }
}

fn asked(call: &str) -> Frame {
    Frame::ApprovalRequired {
        approval_id: ApprovalId::from_bytes([2; 16]),
        tool: "look".into(),
        tool_call_id: call.into(),
        args: Map::new(),
        elicitation: None,
        expires_at: String::new(),
    }
}

fn pending(call: &str, is_gated: bool) -> PendingCall {
    PendingCall {
        tool_call_id: call.into(),
        tool: "look".into(),
        args: Map::new(),
        approval_id: is_gated.then(|| ApprovalId::from_bytes([2; 16])),
        elicitation: None,
    }
}

fn paused(tool_calls: Vec<PendingCall>) -> Frame {
    Frame::Paused { reason: PauseReason::Tool, tool_calls }
}

fn completed(stop_reason: &str) -> Frame {
    Frame::Completed { stop_reason: stop_reason.into(), usage: None, warnings: vec![] }
}

fn facts() -> Facts {
    let call = |id: &str| ToolCall {
        id: id.into(),
        name: "look".into(),
        arguments: r#"{"at":1}"#.into(),
        provider_data: None,
    };
    let plan = |carrier: Carrier| Plan { carrier, ..Plan::nobody("") };
    let reply = |calls: Vec<ToolCall>, carrier: &Carrier| Input::Replied {
        reply: Reply {
            text: String::new(),
            plans: calls.iter().map(|_| plan(carrier.clone())).collect(),
            tool_calls: calls,
            stop: StopReason::EndTurn,
            tokens: Tokens { input: 1, output: 2, ..Tokens::default() },
            verdict: Verdict::NotAsked,
        },
    };
    let result = ToolResult {
        call_id: "a".into(),
        name: "look".into(),
        output: "seen".into(),
        is_error: false,
        attachments: vec![],
    };
    let server = Carrier::Server { is_repeatable: false };
    let inputs = [
        reply(vec![call("a"), call("b")], &server),
        Input::Settled { settlement: Settlement { result, suggested_replies: vec![] } },
        reply(vec![call("own")], &Carrier::Client),
    ];
    Facts::of_journal(inputs.iter().map(|input| (input, 1)))
}

fn data_of(event: &Event) -> Value {
    serde_json::from_slice(&event.data).unwrap()
}

fn tell(frames: &[Frame]) -> (Projection, Vec<Event>) {
    let facts = facts();
    let mut projection = Projection::new(run(), shell());
    let mut events = Vec::new();
    for (seq, frame) in (0..).zip(frames) {
        events.extend(projection.apply(seq, frame, &facts));
    }
    (projection, events)
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.strip_prefix("response.").unwrap_or(event.kind)).collect()
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("`{key}` is missing in {value}"))
}

/// Checks what strict clients check: numbers without gaps, brackets, and items that begin, go on and end under one id.
fn check(events: &[Event]) {
    let mut open: HashMap<u64, (String, String)> = HashMap::new();
    let mut ids = HashSet::new();
    let mut texts: HashMap<String, String> = HashMap::new();
    let mut next_index = 0;
    let mut in_stretch = false;
    for (number, event) in (0..).zip(events) {
        let data = &data_of(event);
        assert_eq!(event.number, number);
        assert_eq!(data["sequence_number"], json!(number));
        assert_eq!(data["type"], json!(event.kind));
        assert_eq!(data.get("error").is_some(), event.kind == "error", "{data}");
        let index = data.get("output_index").and_then(Value::as_u64);
        match event.kind {
            "response.created" => {
                assert!(!in_stretch, "a stretch begins within another");
                assert_eq!(data["response"]["output"], json!([]));
                in_stretch = true;
            }
            "response.in_progress" => assert_eq!(events[event.number as usize - 1].kind, "response.created"),
            "response.output_item.added" => {
                let item = &data["item"];
                assert_eq!(index, Some(next_index), "places are given once, in order");
                next_index += 1;
                let id = text_of(item, "id").to_owned();
                assert!(ids.insert(id.clone()), "{id} is there twice");
                match text_of(item, "type") {
                    "message" => assert_eq!(item["content"], json!([])),
                    "reasoning" => assert_eq!(item["summary"], json!([])),
                    _ => {}
                }
                assert!(
                    open.values().all(|(_, kind)| kind == "mcp_call"),
                    "one item at a time, but for calls that are made side by side"
                );
                open.insert(index.unwrap(), (id, text_of(item, "type").to_owned()));
            }
            "response.output_item.done" => {
                let (id, kind) = open.remove(&index.unwrap()).expect("it was added");
                assert_eq!(
                    (text_of(&data["item"], "id"), text_of(&data["item"], "type")),
                    (id.as_str(), kind.as_str())
                );
                match kind.as_str() {
                    "message" => assert_eq!(data["item"]["content"][0]["text"], json!(texts[&id])),
                    "reasoning" => assert_eq!(data["item"]["summary"][0]["text"], json!(texts[&id])),
                    _ => {}
                }
                if !matches!(kind.as_str(), "mcp_approval_request" | "reasoning") {
                    text_of(&data["item"], "status");
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                assert!(in_stretch && open.is_empty(), "items are left open: {open:?}");
                in_stretch = false;
            }
            "error" => {
                let next = events.get(number as usize + 1).map(|event| event.kind);
                assert_eq!(next, Some("response.failed"));
                for key in ["message", "code"] {
                    assert_eq!(data[key], data["error"][key]);
                }
            }
            _ => {
                let (id, _) = &open[&index.unwrap()];
                assert_eq!(text_of(data, "item_id"), id);
                if event.kind.ends_with("text.delta") {
                    texts.entry(id.clone()).or_default().push_str(text_of(data, "delta"));
                }
            }
        }
    }
}

#[test]
fn a_text_is_one_message() {
    let frames = [
        started(),
        delta("It is "),
        delta("noon."),
        Frame::MessageCompleted { content: "".into(), content_type: None },
        completed("end_turn"),
    ];
    let (projection, events) = tell(&frames);
    check(&events);
    assert_eq!(
        kinds(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed"
        ]
    );
    let output = projection.output(0);
    assert_eq!(output.len(), 1);
    assert_eq!(
        output[0]["content"],
        json!([{"type": "output_text", "text": "It is noon.", "annotations": [], "logprobs": []}])
    );
    let response = &data_of(events.last().unwrap())["response"];
    assert_eq!(response["output"], json!(output));
    assert_eq!(response["usage"]["total_tokens"], json!(6));
}

#[test]
fn what_is_thought_is_an_item_of_its_own() {
    let frames =
        [started(), thought("Noon, "), thought("I think."), delta("It is noon."), completed("end_turn")];
    let (projection, events) = tell(&frames);
    check(&events);
    assert_eq!(
        kinds(&events)[2..10],
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added"
        ]
    );
    let output = projection.output(0);
    assert!(text_of(&output[0], "id").starts_with("rs_"));
    assert_eq!(output[0]["summary"], json!([{"type": "summary_text", "text": "Noon, I think."}]));
    assert_eq!(output[1]["content"][0]["text"], "It is noon.");
}

#[test]
fn what_is_thought_in_the_middle_of_a_message_is_told_behind_it() {
    let frames = [started(), delta("It is "), thought("Look."), delta("noon."), completed("end_turn")];
    let (projection, events) = tell(&frames);
    check(&events);
    let output = projection.output(0);
    assert_eq!(output[0]["content"][0]["text"], "It is noon.");
    assert_eq!(output[1]["summary"][0]["text"], "Look.");
}

#[test]
fn what_a_crash_makes_void_is_left_out_wherever_it_was_thought_or_said() {
    let cut = |frames: &[Frame]| {
        let (projection, events) = tell(frames);
        check(&events);
        let text = |item: &Value| {
            let parts = item.get("content").or_else(|| item.get("summary"));
            parts.map(|parts| parts[0]["text"].clone())
        };
        json!(projection.output(0).iter().map(text).collect::<Vec<_>>())
    };
    let resumed = Frame::Resumed { attempt: 2, discard_after: 1 };
    let again = [thought("Again."), delta("Noon."), completed("end_turn")];
    let with = |before: &[Frame]| [&[started()], before, std::slice::from_ref(&resumed), &again].concat();
    // The thought began before the cut call, and the message within it.
    assert_eq!(cut(&with(&[thought("A"), thought("b"), delta("It i")])), json!(["A", "Again.", "Noon."]));
    assert_eq!(cut(&with(&[executing("a"), thought("b"), delta("It i")])[..4]), json!([null, "b", "It i"]));
    // A thought in the middle of a message that is void is, too.
    assert_eq!(cut(&with(&[delta("A"), thought("b"), delta("c")])), json!(["A", "Again.", "Noon."]));
    assert_eq!(cut(&with(&[delta("A"), thought("b")])), json!(["A", "Again.", "Noon."]));
}

#[test]
fn calls_of_this_server_show_what_they_were_and_what_came_of_them() {
    let frames = [
        started(),
        executing("a"),
        executing("b"),
        completed_call("b", true),
        completed_call("a", false),
        completed("end_turn"),
    ];
    let (projection, events) = tell(&frames);
    check(&events);
    let output = projection.output(0);
    let shown = |index: usize| {
        ["server_label", "name", "arguments", "output", "error", "status"]
            .map(|key| output[index][key].clone())
    };
    assert_eq!(json!(shown(0)), json!(["hosted", "look", r#"{"at":1}"#, "seen", null, "completed"]));
    assert_eq!(json!(shown(1)), json!(["hosted", "look", r#"{"at":1}"#, null, OUTCOME_UNKNOWN, "failed"]));
}

#[test]
fn a_pause_ends_a_stretch_and_the_next_begins_another() {
    let frames = [
        started(),
        delta("Voiding 12. "),
        asked("a"),
        paused(vec![pending("a", true), pending("out", false)]),
        paused(vec![pending("out", false)]),
        executing("a"),
        completed_call("a", false),
        delta("Done."),
        completed("end_turn"),
    ];
    let (projection, events) = tell(&frames[..4]);
    check(&events);
    assert_eq!(projection.outcome, Some(Outcome::Paused));
    let output = projection.output(0);
    assert_eq!(
        output.iter().map(|item| text_of(item, "type")).collect::<Vec<_>>(),
        ["message", "mcp_approval_request", "function_call"]
    );
    assert_eq!(output[1]["id"], json!(format!("{}::a", run())));
    assert_eq!(output[2]["call_id"], json!(format!("{}::out", run())));
    let (projection, _) = tell(&frames[..5]);
    assert_eq!(projection.output(4).len(), 1, "what is still missing is shown again");
    let (projection, events) = tell(&frames);
    check(&events);
    assert_eq!(kinds(&events).iter().filter(|kind| **kind == "completed").count(), 3);
    assert_eq!(projection.output(0).len(), 5);
    assert_eq!(projection.output(5).len(), 2, "a reply has what was made since");
}

#[test]
fn a_call_that_asks_is_told_again_once_it_goes_on() {
    let frames = [
        started(),
        executing("a"),
        asked("a"),
        paused(vec![pending("a", true)]),
        completed_call("a", false),
        completed("end_turn"),
    ];
    let (projection, events) = tell(&frames);
    check(&events);
    let output = projection.output(0);
    assert_eq!(
        output.iter().map(|item| text_of(item, "type")).collect::<Vec<_>>(),
        ["mcp_approval_request", "mcp_call"]
    );
    assert_eq!(output[1]["approval_request_id"], output[0]["id"]);
}

#[test]
fn functions_of_the_caller_keep_their_own_ids() {
    let (projection, events) = tell(&[started(), delta("Hm."), completed("tool_calls")]);
    check(&events);
    let output = projection.output(0);
    assert_eq!(
        (output[1]["call_id"].clone(), output[1]["arguments"].clone()),
        (json!("own"), json!(r#"{"at":1}"#))
    );
}

#[test]
fn a_broken_message_is_closed_and_left_out() {
    let frames = [
        started(),
        delta("It i"),
        Frame::Resumed { attempt: 2, discard_after: 0 },
        delta("It is noon."),
        completed("end_turn"),
    ];
    let (projection, events) = tell(&frames);
    check(&events);
    let broken = events.iter().find(|event| event.kind == "response.output_item.done").unwrap();
    assert_eq!(
        (data_of(broken)["output_index"].clone(), data_of(broken)["item"]["status"].clone()),
        (json!(0), json!("incomplete"))
    );
    let output = projection.output(0);
    assert_eq!((output.len(), output[0]["content"][0]["text"].clone()), (1, json!("It is noon.")));
    assert_eq!(projection.items().count(), 2);
}

#[test]
fn what_is_cut_is_closed_and_the_error_told() {
    let failed = Frame::Failed { error: "no".into(), code: Code::ModelRequestFailed };
    let (_, events) = tell(&[started(), delta("a"), executing("a"), failed]);
    check(&events);
    assert_eq!(kinds(&events).iter().rev().take(2).collect::<Vec<_>>(), [&"failed", &"error"]);
    let response = &data_of(events.last().unwrap())["response"];
    assert_eq!(
        response["error"],
        json!({"type": "invalid_request_error", "code": "model_request_failed", "message": "no"})
    );
    let (_, events) = tell(&[started(), Frame::Cancelled { reason: None }]);
    check(&events);
    assert_eq!(kinds(&events), ["created", "in_progress", "error", "failed"]);
    let (_, events) = tell(&[started(), delta("a"), Frame::Cancelled { reason: Some("stop".into()) }]);
    check(&events);
    assert!(!kinds(&events).contains(&"error"));
    assert_eq!(data_of(events.last().unwrap())["response"]["status"], json!("cancelled"));
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let call = prop_oneof![Just("a"), Just("b"), Just("c")];
    let frame = prop_oneof![
        5 => "[a-z]{0,3}".prop_map(|text| delta(&text)),
        3 => "[a-z]{0,3}".prop_map(|text| thought(&text)),
        2 => call.clone().prop_map(executing),
        2 => (call.clone(), any::<bool>()).prop_map(|(call, is_error)| completed_call(call, is_error)),
        1 => call.clone().prop_map(asked),
        1 => (call, any::<bool>()).prop_map(|(call, is_gated)| paused(vec![pending(call, is_gated)])),
        1 => Just(Frame::Resumed { attempt: 2, discard_after: 1 }),
    ];
    let end = prop_oneof![
        Just(completed("end_turn")),
        Just(completed("tool_calls")),
        Just(completed("max_tokens")),
        Just(Frame::Cancelled { reason: None }),
        Just(Frame::Failed { error: "no".into(), code: Code::RunFailed }),
    ];
    (prop::collection::vec(frame, 0..12), end).prop_map(|(mut frames, end)| {
        frames.insert(0, started());
        frames.push(end);
        frames
    })
}

/// Leaves out calls that no machine makes: again while under way, or ended before they began.
fn sensible(frames: Vec<Frame>) -> Vec<Frame> {
    let mut open = HashSet::new();
    let mut over = HashSet::new();
    let mut kept = Vec::new();
    for frame in frames {
        let is_kept = match &frame {
            Frame::ToolExecuting { tool_call_id, .. } => {
                !over.contains(tool_call_id) && open.insert(tool_call_id.clone())
            }
            Frame::ToolCompleted { tool_call_id, .. } => {
                open.remove(tool_call_id) && over.insert(tool_call_id.clone())
            }
            // A run pauses once its calls are over or ask something.
            Frame::Paused { .. } => open.is_empty(),
            _ => true,
        };
        if is_kept {
            kept.push(frame);
        }
    }
    kept
}

proptest! {
    #[test]
    fn every_log_is_told_in_order(frames in frames()) {
        let frames = sensible(frames);
        let (projection, events) = tell(&frames);
        check(&events);
        prop_assert!(projection.outcome.is_some());
        let terminal = events.last().unwrap().kind;
        prop_assert!(matches!(terminal, "response.completed" | "response.incomplete" | "response.failed"));
    }

    #[test]
    fn a_fold_that_is_cut_goes_on_equally(frames in frames(), cut in 0_usize..14) {
        let frames = sensible(frames);
        let (whole, events) = tell(&frames);
        let cut = cut.min(frames.len());
        let (mut projection, mut told) = tell(&frames[..cut]);
        let facts = facts();
        for (seq, frame) in (cut as u64..).zip(&frames[cut..]) {
            told.extend(projection.apply(seq, frame, &facts));
        }
        prop_assert_eq!(told, events);
        prop_assert_eq!(projection, whole);
    }
}
