use domain::ids::{ApprovalId, Id as _, SmithId};
use domain::items::{Item, ToolCall};
use domain::run::{Carrier, Input, Limits, Plan, Reply, Run, StopReason, Verdict};
use domain::tools::{Annotations, Gate};
use domain::usage::Tokens;
use serde_json::json;

use super::plan::{Repetition, fits, tell_apart};
use super::*;
use crate::Options;

fn offer(source: Source) -> Offer {
    Offer {
        name: String::new(),
        description: "Looks something up.".into(),
        is_strict: false,
        schema: json!({
            "type": "object",
            "properties": {"number": {"type": "integer", "minimum": 1}},
            "required": ["number"],
        }),
        annotations: Annotations::default(),
        gate: None,
        asks: Gate::default(),
        source,
    }
}

fn hosted(function: &str) -> Source {
    Source::Hosted { function: function.into() }
}

fn external(tool: &str) -> Source {
    Source::External { id: ProjectToolId::from_bytes([1; 16]), tool: tool.into() }
}

fn mcp(registration: &str, tool: &str) -> Source {
    let server = tools::mcp::Server {
        url: egress::Url::parse("https://mcp.example").unwrap(),
        bearer: None,
        headers: Vec::new(),
        protocol: None,
    };
    let mut id = [0; 16];
    id[..registration.len()].copy_from_slice(registration.as_bytes());
    let id = McpServerId::from_bytes(id);
    Source::Mcp { id, registration: registration.into(), tool: tool.into(), server: Arc::new(server) }
}

fn names(sources: Vec<Source>) -> Vec<String> {
    let toolbox = Toolbox::new(sources.into_iter().map(offer).collect());
    toolbox.offers().iter().map(|offer| offer.name.clone()).collect()
}

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: "call_1".into(), name: name.into(), arguments: arguments.into(), provider_data: None }
}

const LIMITS: Repetition = Repetition { calls: 3, same: 2 };

fn plan(toolbox: &Toolbox, calls: &[ToolCall], transcript: &[Item]) -> Vec<Plan> {
    toolbox.plan(calls, transcript, LIMITS, || ApprovalId::from_bytes([1; 16]))
}

fn why(plan: &Plan) -> &str {
    match &plan.carrier {
        Carrier::Nobody { why } => why,
        carrier => panic!("{carrier:?}"),
    }
}

#[test]
fn a_name_that_one_source_alone_has_stays_bare() {
    assert_eq!(
        names(vec![hosted("think"), external("read_meter"), mcp("crm", "list_orders")]),
        ["think", "read_meter", "list_orders"]
    );
}

#[test]
fn a_name_that_sources_share_gets_the_source_in_front_in_all_of_them() {
    assert_eq!(
        names(vec![hosted("search"), external("search"), mcp("crm", "search"), mcp("wiki", "search")]),
        ["hosted_search", "project_search", "crm_search", "wiki_search"]
    );
}

#[test]
fn names_are_made_so_that_every_provider_takes_them_and_stay_apart() {
    let long = "x".repeat(100);
    let made = names(vec![mcp("a", "files.read"), mcp("b", "files/read"), mcp("c", &long), mcp("d", "ünï")]);
    assert_eq!(made[0], "a_files_read");
    assert_eq!(made[1], "b_files_read");
    assert_eq!(made[2].len(), 64);
    assert_eq!(made[3], "_n_");
    let twins = names(vec![mcp("a", &format!("{long}1")), mcp("a", &format!("{long}2"))]);
    assert_ne!(twins[0], twins[1]);
    assert!(twins.iter().all(|name| name.len() <= 64));
}

#[test]
fn nothing_is_held_against_a_schema_that_is_not_bounded() {
    let why = fits(&json!({"$ref": "#"}), &json!({"a": 1})).unwrap_err();
    assert!(why.contains("refers to its parts so often"), "{why}");
}

#[test]
fn no_more_tools_are_offered_than_one_call_of_a_model_may_bring_along() {
    let gathered = |options: Options| {
        let sources = (0..4).map(|number| offer(hosted(&format!("t{number}"))));
        let toolbox = Toolbox::new(sources.collect());
        Gathered { toolbox, warnings: vec![] }.within(&options)
    };
    let size = offer(hosted("t0")).schema.to_string().len() + "Looks something up.".len() + 2;
    for (options, kept) in [
        (Options::default(), 4),
        (Options { max_tools: 3, ..Options::default() }, 3),
        (Options { max_tools_bytes: 3 * size, ..Options::default() }, 3),
        (Options { max_tools_bytes: 3 * size - 1, ..Options::default() }, 2),
        (Options { max_tools: 0, ..Options::default() }, 0),
    ] {
        let gathered = gathered(options);
        let names: Vec<_> = gathered.toolbox.offers().iter().map(|offer| offer.name.as_str()).collect();
        assert_eq!(names, ["t0", "t1", "t2", "t3"][..kept]);
        assert_eq!(gathered.warnings.len(), usize::from(kept < 4));
        assert!(gathered.warnings.iter().all(|warning| warning.code == "tool_unavailable"));
    }
}

#[test]
fn a_name_that_was_numbered_is_no_other_tools_own() {
    let made = names(vec![mcp("a", "x y"), mcp("a", "x.y"), mcp("b", "a_x_y_2"), hosted("a_x_y")]);
    let distinct: HashSet<_> = made.iter().collect();
    assert_eq!(distinct.len(), made.len(), "{made:?}");
}

#[test]
fn a_call_of_something_else_is_answered_with_what_there_is() {
    let toolbox = Toolbox::new(vec![offer(hosted("look"))]);
    assert!(why(&plan(&toolbox, &[call("lock", "{}")], &[])[0]).contains("look"));
    assert!(why(&plan(&Toolbox::default(), &[call("look", "{}")], &[])[0]).contains("no tools"));
}

#[test]
fn arguments_that_miss_the_schema_are_not_sent_and_the_model_learns_where() {
    let toolbox = Toolbox::new(vec![offer(hosted("look"))]);
    for (arguments, tells) in [
        (r#"{"number": 0}"#, "/number"),
        (r#"{"number": "one"}"#, "/number"),
        ("", "required"),
        ("{", "not JSON"),
        ("[1]", "must be a JSON object"),
    ] {
        let plans = plan(&toolbox, &[call("look", arguments)], &[]);
        assert!(why(&plans[0]).contains(tells), "{arguments}: {}", why(&plans[0]));
    }
    let plans = plan(&toolbox, &[call("look", r#"{"number": 1}"#)], &[]);
    assert_eq!(plans[0].carrier, Carrier::Server { is_repeatable: false });
}

#[test]
fn a_plan_says_who_carries_the_call_out_and_whether_a_human_must_agree() {
    let gate = Gate { expires_in_seconds: 60, ..Gate::default() };
    let gated = Offer { gate: Some(gate), ..offer(external("void")) };
    let read_only = Annotations { read_only: true, ..Annotations::default() };
    let repeatable = Offer { annotations: read_only, ..offer(hosted("look")) };
    let toolbox = Toolbox::new(vec![gated, repeatable]);
    let plans = plan(&toolbox, &[call("void", r#"{"number": 1}"#), call("look", r#"{"number": 1}"#)], &[]);
    assert_eq!(plans[0].carrier, Carrier::Caller);
    assert_eq!(plans[0].gate.unwrap().gate, gate);
    assert_eq!(plans[1].carrier, Carrier::Server { is_repeatable: true });
    assert_eq!(plans[1].gate, None);
}

#[test]
fn the_same_call_is_made_so_often_and_no_more() {
    let toolbox = Toolbox::new(vec![offer(hosted("look"))]);
    let made = vec![Item::ToolCall(call("look", r#"{"number": 7}"#))];
    let again = call("look", r#"{ "number" : 7 }"#);
    let plans = plan(&toolbox, &[again.clone(), again.clone(), call("look", r#"{"number": 8}"#)], &made);
    assert_eq!(plans[0].carrier, Carrier::Server { is_repeatable: false });
    assert!(why(&plans[1]).contains("2 times"));
    assert_eq!(plans[2].carrier, Carrier::Server { is_repeatable: false });
}

#[test]
fn an_answer_may_ask_for_so_many_calls_and_no_more() {
    let toolbox = Toolbox::new(vec![offer(hosted("look"))]);
    let calls: Vec<_> = (1..=4).map(|number| call("look", &format!(r#"{{"number": {number}}}"#))).collect();
    let plans = plan(&toolbox, &calls, &[]);
    assert_eq!(plans[2].carrier, Carrier::Server { is_repeatable: false });
    assert!(why(&plans[3]).contains("3 calls at most"));
}

#[test]
fn calls_get_ids_of_their_own_in_the_run() {
    let named = |id: &str| ToolCall { id: id.into(), ..call("look", "{}") };
    let mut calls = vec![named("call_1"), named("call_1"), named(""), named("")];
    tell_apart(&mut calls, &[Item::ToolCall(named("call_1"))]);
    let ids: Vec<_> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["call_1_2", "call_1_3", "call", "call_2"]);
}

#[test]
fn many_calls_of_one_id_get_numbers_that_others_have_not() {
    let named = |id: &str| ToolCall { id: id.into(), ..call("look", "{}") };
    let mut calls = vec![named("a_3"), named("a"), named("a"), named("a"), named("a_2")];
    tell_apart(&mut calls, &[]);
    let ids: Vec<_> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["a_3", "a", "a_2", "a_4", "a_2_2"]);
    // Counted up from one each time, these would take minutes.
    let mut calls = vec![named("a"); 100_000];
    tell_apart(&mut calls, &[]);
    assert_eq!(calls.last().map(|call| call.id.as_str()), Some("a_100000"));
}

#[test]
fn a_model_is_told_the_names_of_the_tools_up_to_a_length() {
    let sources = |count: usize| (0..count).map(|number| hosted(&format!("tool_{number:03}"))).collect();
    let told = |count: usize| {
        let sources: Vec<Source> = sources(count);
        let toolbox = Toolbox::new(sources.into_iter().map(offer).collect());
        why(&plan(&toolbox, &[call("nobody", "{}")], &[])[0]).to_owned()
    };
    assert!(told(2).ends_with("The tools are: tool_000, tool_001."), "{}", told(2));
    let many = told(1_000);
    assert!(many.len() < 2_100 && many.ends_with(" more."), "{many}");
}

#[test]
fn a_value_is_told_at_most_a_few_places_where_it_misses() {
    let schema = json!({"type": "array", "items": {"type": "integer"}});
    let wrong = fits(&schema, &json!(["a", "b", "c", "d", "e", "f", "g"])).unwrap_err();
    assert_eq!(wrong.matches("At `").count(), 5);
    assert!(fits(&schema, &json!([1])).is_ok());
}

/// Plans a call with these tools, and returns it as a later driver finds it.
fn planned(toolbox: &Toolbox, name: &str) -> Call {
    let tool_calls = vec![call(name, r#"{"number": 1}"#)];
    let plans = plan(toolbox, &tool_calls, &[]);
    let reply = Reply {
        text: String::new(),
        tool_calls,
        plans,
        stop: StopReason::EndTurn,
        tokens: Tokens::default(),
        verdict: Verdict::NotAsked,
    };
    let mut run = Run::new(Limits { model_calls: 9 }, None);
    let smith_id = SmithId::from_bytes([1; 16]);
    run.apply(Input::Started { smith_id, thread_id: "t".into(), warnings: vec![] }).unwrap();
    run.apply(Input::Replied { reply }).unwrap();
    run.step().unwrap().calls()[0].clone()
}

#[test]
fn a_planned_call_goes_to_its_tool_whatever_that_is_called_by_now() {
    let toolbox = |sources: &[Source]| Toolbox::new(sources.iter().cloned().map(offer).collect());
    for source in [hosted("search"), external("search"), mcp("wiki", "search")] {
        let call = planned(&toolbox(std::slice::from_ref(&source)), "search");
        let with_others = toolbox(&[mcp("crm", "search"), source.clone()]);
        let found = with_others.take_up(&call).unwrap();
        assert_eq!((&found.source.identity(), found.name == "search"), (&source.identity(), false));
        // And back: it was planned among others, and is alone with its name now.
        let call = planned(&with_others, &found.name);
        assert_eq!(
            toolbox(std::slice::from_ref(&source)).take_up(&call).unwrap().source.identity(),
            source.identity()
        );
    }
}

#[test]
fn a_planned_call_goes_to_no_other_tool_of_the_same_name() {
    let anew = Source::External { id: ProjectToolId::from_bytes([2; 16]), tool: "search".into() };
    let sources = [hosted("search"), external("search"), anew, mcp("crm", "search"), mcp("wiki", "search")];
    for (index, source) in sources.iter().enumerate() {
        let call = planned(&Toolbox::new(vec![offer(source.clone())]), "search");
        for (other_index, other) in sources.iter().enumerate() {
            let taken_up = Toolbox::new(vec![offer(other.clone())]);
            let taken_up = taken_up.take_up(&call);
            assert_eq!(taken_up.is_ok(), index == other_index, "{source:?} {other:?}");
            if let Err(why) = taken_up {
                assert!(why.contains("not there any more"), "{why}");
            }
        }
    }
}

#[test]
fn a_planned_call_whose_arguments_miss_the_new_schema_is_not_made() {
    let call = planned(&Toolbox::new(vec![offer(hosted("look"))]), "look");
    let schema = json!({"type": "object", "required": ["place"]});
    let changed = Toolbox::new(vec![Offer { schema, ..offer(hosted("look")) }]);
    let why = changed.take_up(&call).unwrap_err();
    assert!(why.starts_with("Not called") && why.contains("place"), "{why}");
}

#[test]
fn a_plan_that_does_not_say_which_tool_it_means_goes_by_the_name() {
    let toolbox = Toolbox::new(vec![offer(hosted("look"))]);
    let mut call = planned(&toolbox, "look");
    call.plan.tool = None;
    assert!(toolbox.take_up(&call).is_ok());
    assert!(Toolbox::new(vec![offer(hosted("lock"))]).take_up(&call).is_err());
}
