//! Calls that this server carries out.

use super::*;

fn calling(plans: &[(&str, Plan)]) -> Run {
    drive(vec![started(), asking(plans)]).0
}

fn ready(run: &Run) -> Vec<String> {
    match run.decide() {
        Action::CallTools(calls) => calls.into_iter().map(|call| call.call.id).collect(),
        action => panic!("{action:?}"),
    }
}

#[test]
fn calls_are_told_when_they_begin_and_when_they_end_and_the_model_gets_their_results_in_its_own_order() {
    let mut run = calling(&[("c1", server(false)), ("c2", server(false))]);
    assert_eq!(ready(&run), ["c1", "c2"]);
    assert_eq!(events(&run.apply(intended(&["c1", "c2"])).unwrap()), ["tool.executing", "tool.executing"]);
    assert_eq!(run.decide(), Action::AwaitTools);
    assert_eq!(events(&run.apply(settled("c2")).unwrap()), ["tool.completed"]);
    assert_eq!(run.decide(), Action::AwaitTools);
    run.apply(settled("c1")).unwrap();
    assert_eq!(run.decide(), Action::CallModel);
    let results: Vec<_> = run
        .transcript()
        .iter()
        .filter_map(|item| match item {
            Item::ToolResult(result) => Some(result.call_id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(results, ["c1", "c2"]);
}

#[test]
fn a_call_is_neither_begun_twice_nor_settled_before_it_began() {
    let mut run = calling(&[("c1", server(false))]);
    assert!(run.apply(settled("c1")).is_err());
    run.apply(intended(&["c1"])).unwrap();
    assert!(run.apply(intended(&["c1"])).is_err());
    assert!(run.apply(intended(&["c9"])).is_err());
    run.apply(settled("c1")).unwrap();
    assert!(run.apply(settled("c1")).is_err());
}

#[test]
fn calls_that_nobody_can_carry_out_are_answered_at_once() {
    let run = calling(&[("c1", Plan::nobody("no such tool"))]);
    assert_eq!(run.decide(), Action::CallModel);
    assert!(matches!(run.transcript().last(), Some(Item::ToolResult(result)) if result.is_error));
    let mut without_plans = reply("");
    without_plans.tool_calls = vec![call("c1")];
    let (run, _) = drive(vec![started(), Input::Replied { reply: without_plans }]);
    assert_eq!(run.decide(), Action::CallModel, "a call without a plan has nobody either");
}

#[test]
fn after_a_crash_a_repeatable_call_is_made_again_and_of_another_nobody_knows_the_outcome() {
    let mut run = calling(&[("read", server(true)), ("pay", server(false)), ("later", server(false))]);
    run.apply(intended(&["read", "pay"])).unwrap();
    let frames = run.apply(Input::Resumed).unwrap();
    assert_eq!(events(&frames), ["tool.completed"]);
    assert_eq!(run.warnings()[0].code, "outcome_unknown");
    assert_eq!(ready(&run), ["read", "later"]);
    let frames = run.apply(intended(&["read", "later"])).unwrap();
    assert_eq!(events(&frames), ["tool.executing"], "the repeated call was told already");
    run.apply(settled("read")).unwrap();
    run.apply(settled("later")).unwrap();
    let unknown = run.transcript().iter().find_map(|item| match item {
        Item::ToolResult(result) if result.call_id == "pay" => Some(result.output.as_str()),
        _ => None,
    });
    assert_eq!(unknown, Some(r#"{"error":"outcome_unknown"}"#));
}

#[test]
fn a_repeated_intent_is_no_progress_and_its_outcome_is() {
    assert!(!intended(&["c1"]).is_progress());
    assert!(!Input::Resumed.is_progress());
    assert!(settled("c1").is_progress());
}

#[test]
fn a_run_that_ends_in_the_middle_of_its_calls_leaves_an_answer_to_each() {
    let mut run = calling(&[("c1", server(false)), ("c2", server(false))]);
    run.apply(intended(&["c1", "c2"])).unwrap();
    run.apply(settled("c1")).unwrap();
    run.apply(Input::Cancelled { reason: None, said: String::new() }).unwrap();
    let answered = run.transcript().iter().filter(|item| matches!(item, Item::ToolResult(_))).count();
    assert_eq!(answered, 2);
}

#[test]
fn suggested_replies_are_those_of_the_last_call_that_made_some() {
    let mut run = calling(&[("c1", server(true))]);
    run.apply(intended(&["c1"])).unwrap();
    let settlement = Settlement { result: result("c1"), suggested_replies: vec!["Yes".into(), "No".into()] };
    run.apply(Input::Settled { settlement }).unwrap();
    assert_eq!(run.suggested_replies(), ["Yes", "No"]);
}

#[test]
fn a_warning_is_kept_once() {
    let warning = crate::frames::Warning { code: "tool_source_unavailable".into(), message: "down".into() };
    let warned = || Input::Warned { warnings: vec![warning.clone()] };
    let (run, frames) = drive(vec![started(), warned(), warned()]);
    assert_eq!(run.warnings(), std::slice::from_ref(&warning));
    assert_eq!(frames.len(), 1);
}
