use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;

use super::*;
use crate::testing::{call, serve};

/// What a provider was asked last: the request line, the header with the key, and the body.
type Asked = Arc<Mutex<(String, String, String)>>;

/// Starts a provider that gives one answer to everything.
async fn provider(status: u16, answer: &str) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let (kept, answer) = (Arc::clone(&asked), answer.to_owned());
    let handler = async move |request: Request| {
        let (head, body) = request.into_parts();
        let header =
            |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let key = format!("{}{}", header("x-subscription-token"), header("authorization"));
        let body: Bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
        *kept.lock().unwrap() =
            (format!("{} {}", head.method, head.uri), key, String::from_utf8(body.to_vec()).unwrap());
        (StatusCode::from_u16(status).unwrap(), answer.clone()).into_response()
    };
    (serve(Router::new().fallback(handler)).await, asked)
}

fn search(
    provider: SearchProvider,
    key: Option<&str>,
    base_url: Option<String>,
) -> Option<Result<WebSearch, Unusable>> {
    let search =
        Search { provider: Some(provider), api_key: key.map(ApiKey::new), base_url, ..Search::default() };
    WebSearch::new(&Egress::new().unwrap(), &Options { search, ..Options::default() }).unwrap()
}

async fn ask(provider: SearchProvider, key: Option<&str>, address: SocketAddr, args: Value) -> Answer {
    let search = search(provider, key, Some(format!("http://{address}/base/"))).unwrap().unwrap();
    search.call(&call(NAME, args)).await
}

#[track_caller]
fn check(answer: &Answer, expected: Value) {
    assert!(!answer.is_error, "{answer:?}");
    assert_eq!(serde_json::from_str::<Value>(&answer.output).unwrap(), expected);
}

#[tokio::test]
async fn brave_is_asked_in_its_way() {
    let (address, asked) = provider(
        200,
        &json!({
            "type": "search",
            "query": {"original": "rust"},
            "web": {"type": "search", "results": [
                {"title": "Rust &amp; you", "url": "https://rust.example/", "description": "It&#x27;s\n <strong>fast</strong>"},
                {"title": "No address"},
                {"title": "Second", "url": "https://second.example/a", "description": "b", "extra_snippets": []},
            ]},
        })
        .to_string(),
    )
    .await;
    let answer =
        ask(SearchProvider::Brave, Some("key-1"), address, json!({"query": " rust & c ", "count": 7})).await;
    check(
        &answer,
        json!({"results": [
            {"title": "Rust & you", "url": "https://rust.example/", "snippet": "It's fast"},
            {"title": "Second", "url": "https://second.example/a", "snippet": "b"},
        ]}),
    );
    let (line, key, _) = asked.lock().unwrap().clone();
    assert_eq!(line, "GET /base/web/search?q=rust+%26+c&count=7&text_decorations=false&result_filter=web");
    assert_eq!(key, "key-1");
}

#[tokio::test]
async fn tavily_is_asked_in_its_way() {
    let hit =
        |n: u8| json!({"title": "T", "url": format!("https://t.example/{n}"), "content": "c", "score": 0.9});
    let hits: Vec<_> = (0..9).map(hit).collect();
    let (address, asked) =
        provider(200, &json!({"query": "x", "results": hits, "response_time": 1.2}).to_string()).await;
    let answer = ask(SearchProvider::Tavily, Some("tvly-1"), address, json!({"query": "x"})).await;
    let results =
        serde_json::from_str::<Value>(&answer.output).unwrap()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), DEFAULT_COUNT);
    assert_eq!(results[4], json!({"title": "T", "url": "https://t.example/4", "snippet": "c"}));
    let (line, key, body) = asked.lock().unwrap().clone();
    assert_eq!((line.as_str(), key.as_str()), ("POST /base/search", "Bearer tvly-1"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"query": "x", "max_results": 5}));
}

#[tokio::test]
async fn searxng_is_asked_in_its_way() {
    let long = "s".repeat(5_000);
    let answer = json!({"query": "x", "number_of_results": 0, "results": [
        {"url": "https://s.example/", "title": "S", "content": long, "engine": "e", "engines": ["e"]},
        {"url": "javascript:alert(1)", "title": "Not a page"},
        {"url": "http://plain.example/", "title": "P", "content": null},
    ], "answers": [], "suggestions": []});
    let (address, asked) = provider(200, &answer.to_string()).await;
    let answer = ask(SearchProvider::Searxng, None, address, json!({"query": "x", "count": null})).await;
    check(
        &answer,
        json!({"results": [
            {"title": "S", "url": "https://s.example/", "snippet": "s".repeat(MAX_SNIPPET)},
            {"title": "P", "url": "http://plain.example/", "snippet": ""},
        ]}),
    );
    let (line, key, _) = asked.lock().unwrap().clone();
    assert_eq!((line.as_str(), key.as_str()), ("GET /base/search?q=x&format=json", ""));
    ask(SearchProvider::Searxng, Some("proxy"), address, json!({"query": "x"})).await;
    assert_eq!(asked.lock().unwrap().1, "Bearer proxy");
}

#[tokio::test]
async fn a_search_that_finds_nothing_is_no_error() {
    for provider_name in [SearchProvider::Brave, SearchProvider::Tavily, SearchProvider::Searxng] {
        let (address, _) = provider(200, "{}").await;
        check(&ask(provider_name, Some("k"), address, json!({"query": "x"})).await, json!({"results": []}));
    }
}

#[tokio::test]
async fn what_fails_is_told_without_the_key_or_the_providers_words() {
    for (status, words) in [(401, "key"), (402, "quota"), (429, "too many"), (500, "error")] {
        let (address, _) = provider(status, "canary-key was refused").await;
        let answer = ask(SearchProvider::Brave, Some("canary-key"), address, json!({"query": "x"})).await;
        assert!(answer.is_error && answer.output.contains(words), "{answer:?}");
        assert!(!answer.output.contains("canary"), "{answer:?}");
    }
    let (address, _) = provider(200, "<html>").await;
    assert!(ask(SearchProvider::Brave, Some("k"), address, json!({"query": "x"})).await.is_error);
    let (address, _) = provider(200, &"x".repeat(MAX_BYTES + 1)).await;
    assert!(ask(SearchProvider::Brave, Some("k"), address, json!({"query": "x"})).await.is_error);
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = ask(SearchProvider::Brave, Some("k"), closed, json!({"query": "x"})).await;
    assert!(answer.is_error && answer.output.contains("could not be reached"), "{answer:?}");
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_given_up() {
    let address = serve(Router::new().fallback(std::future::pending::<()>)).await;
    let search = Search {
        provider: Some(SearchProvider::Searxng),
        base_url: Some(format!("http://{address}")),
        timeout: Duration::from_millis(50),
        ..Search::default()
    };
    let search = WebSearch::new(&Egress::new().unwrap(), &Options { search, ..Options::default() });
    let answer = search.unwrap().unwrap().unwrap().call(&call(NAME, json!({"query": "x"}))).await;
    assert!(answer.is_error && answer.output.contains("in time"), "{answer:?}");
}

#[tokio::test]
async fn questions_have_their_bounds() {
    let (address, asked) = provider(200, "{}").await;
    for wrong in
        [json!({"query": " "}), json!({"query": "x".repeat(401)}),
        json!({"query": "x ".repeat(51)}), json!({}), json!({"query": "x", "q": 1})]
    {
        assert!(ask(SearchProvider::Brave, Some("k"), address, wrong.clone()).await.is_error, "{wrong}");
    }
    assert_eq!(asked.lock().unwrap().0, "");
    ask(SearchProvider::Brave, Some("k"), address, json!({"query": "x", "count": 1_000})).await;
    assert!(asked.lock().unwrap().0.contains("count=20"));
}

#[test]
fn without_a_key_or_an_address_there_is_no_search() {
    let unusable =
        |provider, key, base: Option<&str>| search(provider, key, base.map(str::to_owned)).unwrap().err();
    assert_eq!(unusable(SearchProvider::Brave, None, None), Some(Unusable::Key));
    assert_eq!(unusable(SearchProvider::Tavily, Some(" "), None), Some(Unusable::Key));
    assert_eq!(unusable(SearchProvider::Searxng, None, None), Some(Unusable::Address));
    assert_eq!(unusable(SearchProvider::Searxng, None, Some("host")), Some(Unusable::InvalidAddress));
    assert_eq!(
        unusable(SearchProvider::Brave, Some("k"), Some("ftp://host")),
        Some(Unusable::InvalidAddress)
    );
    assert_eq!(unusable(SearchProvider::Brave, Some("k"), None), None);
    assert_eq!(unusable(SearchProvider::Tavily, Some("k"), None), None);
    assert!(WebSearch::new(&Egress::new().unwrap(), &Options::default()).unwrap().is_none());
}
