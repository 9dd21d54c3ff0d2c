use domain::smiths::HOSTED_TOOLS;
use serde_json::{Value, json};

use super::*;
use crate::options::{ApiKey, Search, SearchProvider};
use crate::testing::{call, ids};

fn tools(search: Search) -> HostedTools {
    let options = Options { search, ..Options::default() };
    HostedTools::new(&Egress::new().unwrap(), Policy::Public, &options, ids()).unwrap()
}

fn with_search() -> HostedTools {
    tools(Search {
        provider: Some(SearchProvider::Searxng),
        base_url: Some("http://127.0.0.1:9".to_owned()),
        ..Search::default()
    })
}

fn names(tools: &HostedTools) -> Vec<&'static str> {
    tools.catalogue().into_iter().map(|info| info.name).collect()
}

#[test]
fn the_catalogue_holds_what_a_configuration_may_name() {
    let tools = with_search();
    assert_eq!(
        names(&tools),
        ["web_search", "web_fetch", "calculator", "reasoning", "current_time", "suggest_replies"]
    );
    for info in tools.catalogue() {
        assert!(HOSTED_TOOLS.contains(&info.name), "{}", info.name);
        assert!(!info.title.is_empty() && info.description.ends_with('.'), "{}", info.name);
    }
}

#[test]
fn what_is_not_set_up_is_not_offered() {
    for search in [
        Search::default(),
        Search { provider: Some(SearchProvider::Brave), ..Search::default() },
        Search { api_key: Some(ApiKey::new("k")), ..Search::default() },
    ] {
        let tools = tools(search);
        assert!(!names(&tools).contains(&"web_search"));
        assert_eq!(tools.functions("web_search"), None);
    }
    for name in HOSTED_TOOLS {
        let is_listed = names(&with_search()).contains(name);
        assert_eq!(with_search().functions(name).is_some(), is_listed, "{name}");
    }
    assert_eq!(with_search().functions("nope"), None);
}

#[tokio::test]
async fn every_function_has_a_strict_schema_and_is_carried_out() {
    let tools = with_search();
    let mut seen = Vec::new();
    for function in names(&tools).into_iter().filter_map(|name| tools.functions(name)).flatten() {
        let schema = &function.input_schema;
        let compiled = jsonschema::validator_for(schema).unwrap();
        assert_eq!((&schema["type"], &schema["additionalProperties"]), (&json!("object"), &json!(false)));
        assert!(!compiled.is_valid(&json!({"no_such_argument": 1})), "{}", function.name);
        assert!(function.annotations.is_repeatable() && !function.annotations.destructive);
        assert!(function.description.len() < 1_024, "{}", function.name);
        assert!(!seen.contains(&function.name), "{}", function.name);
        seen.push(function.name);
        // Whoever passes the schema by is told what is wrong, and not that there is no such tool.
        let answer = tools.call(&call(function.name, json!({"no_such_argument": 1}))).await;
        assert!(answer.is_error && answer.output.contains("schema"), "{}: {answer:?}", function.name);
    }
    assert_eq!(seen.len(), 8);
}

#[tokio::test]
async fn calls_go_to_their_functions() {
    let tools = with_search();
    let ask = async |name: &str, args: Value| tools.call(&call(name, args)).await;
    assert_eq!(
        ask("calculate", json!({"expression": "6*7"})).await.output,
        r#"{"result":"42","exact":true}"#
    );
    assert!(ask("current_time", json!({})).await.output.contains("2026-05-01"));
    assert_eq!(ask("suggest_replies", json!({"replies": ["Yes"]})).await.suggested_replies, ["Yes"]);
    assert!(ask("web_fetch", json!({"url": "http://127.0.0.1/"})).await.output.contains("loopback"));
    for unknown in ["nope", "calculator", "file_search"] {
        assert_eq!(
            ask(unknown, json!({})).await,
            Answer::error("This tool is not available on this server.")
        );
    }
}
