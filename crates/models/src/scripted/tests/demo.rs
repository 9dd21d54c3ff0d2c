//! What the built-in script says to a newcomer.

use std::sync::LazyLock;

use super::*;

/// Says one thing after the other in one thread; returns the answers.
fn talk(messages: &[&str]) -> Vec<String> {
    static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::bundled);
    let scripts = SCRIPTS.clone();
    let mut turns = Vec::new();
    let mut answers = Vec::new();
    for message in messages {
        turns.push(user(message));
        let events = events(&scripts, &Request { model: "demo".into(), ..request(turns.clone()) });
        let answer = text_of(&events);
        turns.push(assistant(&answer));
        answers.push(answer);
    }
    answers
}

#[track_caller]
fn check(messages: &[&str], expected: &str) {
    let answer = talk(messages).pop().unwrap();
    assert!(answer.contains(expected), "{answer}");
}

#[test]
fn it_has_no_fault() {
    if let Err(fault) = Script::parse(include_str!("../demo.toml")) {
        panic!("{fault}");
    }
}

#[test]
fn it_says_that_it_is_a_script_when_greeted_asked_and_at_a_loss() {
    for message in
        ["Hello", "hi there!", "Who are you?", "Are you a real AI?", "help", "Explain quantum physics"]
    {
        let answer = talk(&[message]).pop().unwrap();
        assert!(answer.contains("script"), "{message}: {answer}");
    }
}

#[test]
fn it_greets_by_name_and_remembers_the_name() {
    check(&["Hi, I'm Ada."], "Hello Ada, nice");
    check(&["hello! My name is Grace Hopper"], "Hello Grace, nice");
    check(&["My name is Ada", "What's my name?"], "Your name is Ada.");
    check(&["Hi, I am Ada", "Count to ten", "do you remember my name?"], "Your name is Ada.");
    check(&["My name is Ada", "My name is Grace", "What is my name"], "Your name is Grace.");
    check(&["my name is ada", "Hello"], "Hello again, ada!");
    check(&["What is my name?"], "You have not told me your name");
    check(&["Hello, I’m Élodie!"], "Hello Élodie, nice");
    check(&["Hi, I'm trying this out"], "Hello! I am the demo script");
}

#[test]
fn small_talk_does_not_swallow_a_question() {
    check(&["Hello! What can you do?"], "Count to ten");
    check(&["Hey, write me a poem"], "No mind is at work");
    check(&["Thanks!"], "You are welcome");
    check(&["Great, and who won the cup?"], "no rule for that");
}

#[test]
fn it_remembers_the_turn_before() {
    check(&["The sky is green.", "What did I just say?"], "you said: \"The sky is green.\"");
    check(&["What did I just say?"], "Nothing yet");
    check(&["Count to ten", "What did you just say?"], "I said: \"One, two");
}

#[test]
fn a_long_message_is_not_echoed_in_full() {
    let answer = talk(&["x".repeat(10_000).as_str()]).pop().unwrap();
    assert!(answer.len() < 1_000 && answer.contains("x…\""), "{answer}");
}

#[test]
fn it_streams_word_by_word() {
    let scripts = Scripts::bundled();
    let events = events(&scripts, &Request { model: "demo".into(), ..request(vec![user("count to ten")]) });
    assert_eq!(events.len(), 11);
    assert_eq!(end_of(&events).0, StopReason::EndTurn);
}

#[test]
fn it_tells_what_a_tool_brought_back_and_fails_when_asked_to() {
    let scripts = Scripts::bundled();
    let ask = |turns| events(&scripts, &Request { model: "demo".into(), ..request(turns) });
    assert_eq!(
        text_of(&ask(vec![user("hi"), result("clock", "noon", false)])),
        "The tool clock answered: noon"
    );
    assert!(
        text_of(&ask(vec![user("hi"), result("clock", "broken", true)]))
            .starts_with("The tool clock failed.")
    );
    let failed = ask(vec![user("Simulate an error")]);
    assert_eq!(text_of(&failed), "I start to answer, and then ");
    assert!(failed.last().is_some_and(Result::is_err));
}

#[test]
fn it_calls_the_tools_that_it_knows_where_they_are_offered() {
    let scripts = Scripts::bundled();
    let calls = |message: &str, tools: &[&str]| {
        let tools = tools.iter().map(|name| tool(name)).collect();
        let request = Request { model: "demo".into(), tools, ..request(vec![user(message)]) };
        let events = events(&scripts, &request);
        calls_of(&events).first().map(|(_, name, arguments)| ((*name).to_owned(), (*arguments).to_owned()))
    };
    let called = |name: &str, arguments: &str| Some((name.to_owned(), arguments.to_owned()));
    assert_eq!(
        calls("What is 12 * (3 + 4)?", &["calculate"]),
        called("calculate", r#"{"expression":"12 * (3 + 4)"}"#)
    );
    assert_eq!(calls("Please refund order 12.", &["refund"]), called("refund", r#"{"order": 12}"#));
    assert_eq!(calls("What is 12 * 3?", &[]), None);
    assert_eq!(calls("What is my name?", &["calculate", "refund"]), None);
}
