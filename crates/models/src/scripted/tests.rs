use std::sync::LazyLock;

use domain::items::{ToolCall, ToolResult};
use domain::response_format::ResponseFormat;
use domain::run::StopReason;
use futures::FutureExt;
use proptest::prelude::*;
use serde_json::json;
use tokio::time::{Duration, Instant};

use super::*;
use crate::call::{Attachment, Tool, ToolChoice, Turn};

mod demo;
mod faults;

fn scripts(text: &str) -> Scripts {
    let script = Script::parse(text).unwrap_or_else(|fault| panic!("{fault}"));
    Scripts { scripts: Arc::new(BTreeMap::from([("test".to_owned(), Entry::Loaded(script))])) }
}

fn user(text: &str) -> Turn {
    Turn::User { text: text.to_owned(), attachments: Vec::new() }
}

fn assistant(text: &str) -> Turn {
    Turn::Assistant { text: text.to_owned() }
}

fn result(name: &str, output: &str, is_error: bool) -> Turn {
    Turn::ToolResult(ToolResult {
        call_id: "call_1".into(),
        name: name.into(),
        output: output.into(),
        is_error,
        attachments: Vec::new(),
    })
}

fn tool(name: &str) -> Tool {
    let parameters =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    Tool { name: name.into(), description: String::new(), parameters, strict: false }
}

fn request(turns: Vec<Turn>) -> Request {
    Request { model: "test".into(), turns, ..Request::default() }
}

/// Plays without the delays.
fn events(scripts: &Scripts, request: &Request) -> Vec<Result<Event, Failure>> {
    let script = scripts.scripts[&request.model].script().unwrap();
    let steps =
        player::plan(script, request).into_iter().filter(|step| !matches!(step, player::Step::Wait(_)));
    player::play(steps.collect()).collect().now_or_never().unwrap()
}

fn text_of(events: &[Result<Event, Failure>]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Ok(Event::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn calls_of(events: &[Result<Event, Failure>]) -> Vec<(&str, &str, &str)> {
    let calls = events.iter().filter_map(|event| match event {
        Ok(Event::ToolCall(call)) => Some((call.id.as_str(), call.name.as_str(), call.arguments.as_str())),
        _ => None,
    });
    calls.collect()
}

fn end_of(events: &[Result<Event, Failure>]) -> (StopReason, domain::usage::Tokens) {
    match events.last() {
        Some(Ok(Event::Finished { stop, tokens })) => (*stop, *tokens),
        other => panic!("the answer did not end: {other:?}"),
    }
}

fn answer(script: &str, turns: Vec<Turn>) -> String {
    text_of(&events(&scripts(script), &request(turns)))
}

#[test]
fn the_first_rule_whose_conditions_all_hold_answers() {
    let script = r#"
        [[rule]]
        when = { equals = "Ping" }
        say = "exact"
        [[rule]]
        when = { contains = "PING", turn = 2 }
        say = "second turn"
        [[rule]]
        when = { contains = "ping" }
        say = "part"
        [[rule]]
        say = "fallback"
    "#;
    assert_eq!(answer(script, vec![user(" ping\n")]), "exact");
    assert_eq!(answer(script, vec![user("a ping")]), "part");
    assert_eq!(answer(script, vec![user("x"), assistant("y"), user("a ping")]), "second turn");
    assert_eq!(answer(script, vec![user("x"), assistant("y"), user("z"), user("a ping")]), "part");
    assert_eq!(answer(script, vec![user("pong")]), "fallback");
    assert_eq!(answer(script, Vec::new()), "fallback");
}

#[test]
fn captures_and_variables_fill_the_text() {
    let script = r#"
        [[rule]]
        when = { matches = '(\d+) plus (?<second>\d+)', previous = 'am (?<name>\w+)', instructions = 'You are (\w+)' }
        say = "{{ instructions.1 }} to {{previous.name}}: {{ 1 }}+{{ second }} ({{ turn }}, {{ messages }}), after “{{ previous_message }}” and “{{ previous_reply }}” \\{{"
        [[rule]]
        say = "{{ last_message }} {{ tools }}"
    "#;
    let turns = vec![user("I am Ada"), assistant("Hello"), user("well"), user("1 plus 2")];
    let request = Request { instructions: "You are Bob.".into(), ..request(turns) };
    assert_eq!(
        text_of(&events(&scripts(script), &request)),
        "Bob to Ada: 1+2 (3, 4), after “well” and “Hello” {{"
    );
    let request = Request { tools: vec![tool("a"), tool("b")], turns: vec![user("so")], ..request };
    assert_eq!(text_of(&events(&scripts(script), &request)), "so a, b");
}

#[test]
fn a_rule_about_a_message_does_not_answer_a_tool_result() {
    let script = r#"
        [[rule]]
        when = { contains = "weather", offers = "weather" }
        tool_calls = [{ name = "weather", arguments = { city = "{{ last_message }}", days = 2 } }, { name = "clock" }]
        [[rule]]
        when = { tool = "weather", tool_error = true }
        say = "no weather"
        [[rule]]
        when = { tool = "weather", tool_output = '(?<degrees>\d+) degrees' }
        say = "{{ tool_name }}: {{ degrees }}"
        [[rule]]
        say = "fallback"
    "#;
    let call =
        ToolCall { id: "call_7".into(), name: "weather".into(), arguments: "{}".into(), provider_data: None };
    let ask = || vec![user("weather"), Turn::ToolCall(call.clone())];
    let asked = Request { tools: vec![tool("weather")], ..request(vec![user("weather")]) };
    let scripts = scripts(script);
    let answered = events(&scripts, &asked);
    assert_eq!(
        calls_of(&answered),
        [("call_1", "weather", r#"{"city":"weather","days":2}"#), ("call_2", "clock", "{}")]
    );
    assert_eq!(end_of(&answered).0, StopReason::ToolCalls);

    let after = |results: Vec<Turn>| {
        let turns = ask().into_iter().chain(results).collect();
        text_of(&events(&scripts, &Request { turns, ..asked.clone() }))
    };
    assert_eq!(
        after(vec![result("weather", "21 degrees", false), result("clock", "noon", false)]),
        "weather: 21"
    );
    assert_eq!(after(vec![result("weather", "down", true)]), "no weather");
    assert_eq!(after(vec![result("clock", "noon", false)]), "fallback");
    assert_eq!(text_of(&events(&scripts, &Request { tools: Vec::new(), ..asked.clone() })), "fallback");

    let again = Request { turns: ask().into_iter().chain([user("weather")]).collect(), ..asked.clone() };
    assert_eq!(calls_of(&events(&scripts, &again))[0].0, "call_8");
}

#[test]
fn a_tool_choice_is_obeyed() {
    let scripts = scripts(
        "[[rule]]\nwhen = { contains = 'go' }\ntool_calls = [{ name = 'a' }]\n[[rule]]\nsay = 'no call'",
    );
    let calls = |tool_choice, message: &str| {
        let tools = vec![tool("a"), tool("b")];
        let events = events(&scripts, &Request { tools, tool_choice, ..request(vec![user(message)]) });
        let calls: Vec<_> =
            calls_of(&events).iter().map(|(_, name, arguments)| format!("{name}{arguments}")).collect();
        calls
    };
    assert_eq!(calls(ToolChoice::None, "go"), [""; 0]);
    assert_eq!(calls(ToolChoice::Required, "go"), ["a{}"]);
    assert_eq!(calls(ToolChoice::Required, "stay"), [r#"a{"city":"scripted"}"#]);
    assert_eq!(calls(ToolChoice::Named("b".into()), "go"), [r#"b{"city":"scripted"}"#]);
}

#[test]
fn an_attachment_is_a_condition() {
    let script = "[[rule]]\nwhen = { attachments = true }\nsay = '{{ attachments }}'\n[[rule]]\nsay = 'none'";
    let image = Attachment::ImageUrl("https://example.com/a.png".into());
    assert_eq!(answer(script, vec![Turn::User { text: String::new(), attachments: vec![image] }]), "1");
    assert_eq!(answer(script, vec![user("")]), "none");
}

#[test]
fn an_answer_is_cut_as_its_rule_says() {
    let chunks = |chunk: &str| -> Vec<String> {
        let scripts = scripts(&format!("[[rule]]\nchunk = {chunk}\nsay = 'Grüß  dich, Welt'"));
        let events = events(&scripts, &request(vec![user("")]));
        events
            .iter()
            .filter_map(|event| if let Ok(Event::Text(text)) = event { Some(text.clone()) } else { None })
            .collect()
    };
    assert_eq!(chunks("'words'"), ["Grüß ", " ", "dich, ", "Welt"]);
    assert_eq!(chunks("'whole'"), ["Grüß  dich, Welt"]);
    assert_eq!(chunks("7"), ["Grüß  d", "ich, We", "lt"]);
    assert_eq!(chunks("'chars'").len(), 16);
}

#[test]
fn usage_is_counted_or_taken_from_the_rule() {
    let count = |script: &str| end_of(&events(&scripts(script), &request(vec![user("12345678")]))).1;
    let counted = count("[[rule]]\nsay = '123456789'\nreasoning = '1234'");
    assert_eq!((counted.input, counted.output, counted.reasoning), (2, 4, 1));
    let given = count("[[rule]]\nsay = '1'\nusage = { input = 100, cache_read = 50 }");
    assert_eq!((given.input, given.output, given.cache_read), (100, 1, 50));
}

#[test]
fn a_token_limit_cuts_the_answer() {
    let scripts = scripts("[[rule]]\nsay = 'äöüäöüäöü'\ntool_calls = [{ name = 'a' }]");
    let cut = events(&scripts, &Request { max_output_tokens: Some(1), ..request(vec![user("")]) });
    assert_eq!((text_of(&cut).as_str(), end_of(&cut).0), ("äö", StopReason::MaxTokens));
    assert!(calls_of(&cut).is_empty());
}

#[test]
fn an_error_can_come_at_once_or_in_the_middle_and_nothing_follows_it() {
    let play = |after: &str| {
        let script = format!(
            "[[rule]]\nsay = 'a b c'\nreasoning = 'hm'\nerror = {{ kind = 'unavailable', message = 'gone: {{{{ last_message }}}}'{after} }}"
        );
        events(&scripts(&script), &request(vec![user("x")]))
    };
    let failure = Err(Failure { kind: FailureKind::Unavailable, message: "gone: x".into() });
    assert_eq!(play(""), std::slice::from_ref(&failure));
    let middle = play(", after_chunks = 2");
    assert_eq!(text_of(&middle), "a b ");
    assert_eq!(middle.last(), Some(&failure));
    let end = play(", after_chunks = 99");
    assert_eq!(text_of(&end), "a b c");
    assert_eq!(end.last(), Some(&failure));
}

#[test]
fn a_structured_answer_has_the_form_that_was_asked_for() {
    let scripts = scripts(
        "[[rule]]\nwhen = { contains = 'ada' }\njson = { name = '{{ last_message }}', age = 36 }\n[[rule]]\nsay = 'hm'",
    );
    let schema = json!({"type": "object", "required": ["name", "age"],
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 1}}});
    let format = ResponseFormat::JsonSchema { name: "person".into(), schema: schema.clone(), strict: true };
    let ask = |message: &str, format: ResponseFormat| {
        let request = Request { response_format: Some(format), ..request(vec![user(message)]) };
        let text = text_of(&events(&scripts, &request));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    assert_eq!(ask("ada", format.clone()), json!({"name": "ada", "age": 36}));
    let made = ask("bob", format);
    assert!(jsonschema::is_valid(&schema, &made), "{made}");
    assert_eq!(ask("bob", ResponseFormat::JsonObject), json!({"message": "hm"}));
}

#[tokio::test(start_paused = true)]
async fn delays_pass_before_the_first_chunk_and_between_chunks() {
    let scripts = scripts("[defaults]\ndelay_ms = 500\n[[rule]]\nsay = 'a b c'\nchunk_delay_ms = 100");
    let start = Instant::now();
    let mut stream = scripts.call(request(vec![user("")]));
    let mut times = Vec::new();
    while stream.next().await.is_some() {
        times.push(start.elapsed());
    }
    assert_eq!(times, [500, 600, 700, 700].map(Duration::from_millis));
}

#[test]
fn an_unknown_script_is_refused_with_what_to_do() {
    let scripts = Scripts::bundled();
    let request = Request { model: "missing".into(), ..Request::default() };
    let events: Vec<_> = scripts.call(request).collect().now_or_never().unwrap();
    let [Err(failure)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(
        failure.message,
        "No script named `missing`. Put `missing.toml` into the scripts folder (INGRAM_SCRIPTS) and restart the server, \
         or use one of: `scripted/demo`."
    );
}

#[test]
fn a_rendered_text_is_bounded() {
    let script = format!("[[rule]]\nchunk = 'whole'\nsay = '{}'", "{{ last_message }}".repeat(1_000));
    assert!(answer(&script, vec![user(&"ü".repeat(10_000))]).len() <= 256 * 1024);
}

#[test]
fn every_example_of_the_guide_is_a_script() {
    let guide = include_str!("../../../../docs/scripted-model.md");
    let blocks: Vec<_> = guide
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block that ends").0)
        .collect();
    assert!(blocks.len() > 5);
    for block in blocks {
        // Most examples show a rule or two, without the fallback that a whole script ends with.
        let whole =
            Script::parse(block).or_else(|_| Script::parse(&format!("{block}\n[[rule]]\nsay = 'fallback'")));
        assert!(whole.is_ok(), "{}\n{block}", whole.unwrap_err());
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let text = prop_oneof!["hello.*", "my name is \\w+", "what is my name", ".*"];
    let turn = prop_oneof![
        text.clone().prop_map(|text| Turn::User { text, attachments: Vec::new() }),
        text.clone().prop_map(|text| Turn::Assistant { text }),
        (text, any::<bool>()).prop_map(|(text, is_error)| result("weather", &text, is_error)),
    ];
    prop::collection::vec(turn, 0..8)
}

proptest! {
    #[test]
    fn the_same_request_gets_the_same_events_and_one_end(turns in turns(), limit in prop::option::of(0_u64..50)) {
        static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::bundled);
        let scripts = SCRIPTS.clone();
        let request = Request { model: "demo".into(), max_output_tokens: limit, ..request(turns) };
        let first = events(&scripts, &request);
        prop_assert_eq!(&first, &events(&scripts, &request));
        let is_end = |event: &Result<Event, Failure>| matches!(event, Err(_) | Ok(Event::Finished { .. }));
        prop_assert_eq!(first.iter().filter(|event| is_end(event)).count(), 1);
        prop_assert!(first.last().is_some_and(is_end));
    }

    #[test]
    fn chunks_make_up_the_text_however_it_is_cut(text in "[^{}']*", size in 1_usize..9) {
        for chunk in ["'words'".to_owned(), "'chars'".to_owned(), size.to_string()] {
            let script = format!("[[rule]]\nchunk = {chunk}\nsay = '{{{{ last_message }}}}'");
            prop_assert_eq!(&answer(&script, vec![user(&text)]), &text);
        }
    }

    #[test]
    fn no_file_brings_the_parser_down(text in "(\\[\\[rule\\]\\]\n|say = |when = |\\{ | \\}|'|\"|\n|turn|=|[a-z{}]|.){0,40}") {
        let _ = Script::parse(&text);
    }
}
