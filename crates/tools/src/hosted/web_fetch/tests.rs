use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap as Sent, StatusCode};
use axum::response::Redirect;
use axum::routing::get;
use egress::reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::Value;

use super::*;
use crate::testing::{call, serve};

const PAGE: &str =
    "<title>Hello</title><body><h1>Hi</h1><p>Text with a <a href=/more>link</a>.<script>x</script>";

async fn server() -> SocketAddr {
    let typed = |kind: &'static str, body: &'static [u8]| {
        get(async move || ([("content-type", kind)], Bytes::from_static(body)))
    };
    serve(
        Router::new()
            .route("/page", typed("text/html; charset=utf-8", PAGE.as_bytes()))
            .route("/latin", typed("text/html; charset=iso-8859-1", b"<p>caf\xe9"))
            .route("/json", typed("application/json", b"{\"a\": [1, 2]}"))
            .route("/pdf", typed("application/pdf", b"%PDF"))
            .route("/empty", typed("text/html", b"<div id=app></div><script>go()</script>"))
            .route("/long", get(async || ([("content-type", "text/plain")], "0123456789".repeat(1_000))))
            .route("/gzip", get(async || ([("content-encoding", "gzip")], "\u{1f}")))
            .route("/gone", get(async || StatusCode::GONE))
            .route("/moved", get(async || Redirect::permanent("/page")))
            .route("/circle", get(async || Redirect::temporary("/circle")))
            .route("/inside", get(async || Redirect::temporary("http://169.254.169.254/latest/meta-data/")))
            .route("/never", get(std::future::pending::<()>))
            .route(
                "/headers",
                get(async |headers: Sent| {
                    let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
                    names.sort();
                    names.join(" ")
                }),
            ),
    )
    .await
}

fn fetcher(policy: Policy, options: &Options) -> WebFetch {
    WebFetch::new(&Egress::new().unwrap(), policy, options).unwrap()
}

async fn fetch(policy: Policy, args: Value) -> Answer {
    fetcher(policy, &Options::default()).call(&call(NAME, args)).await
}

async fn local(address: SocketAddr, path: &str) -> Answer {
    fetch(Policy::LocalToo, json!({"url": format!("http://{address}{path}")})).await
}

#[track_caller]
fn refused(answer: &Answer, words: &str) {
    assert!(answer.is_error && answer.output.contains(words), "{answer:?}");
}

#[tokio::test]
async fn a_page_is_read_with_its_title_and_links() {
    let address = server().await;
    let expected = format!(
        "URL: http://{address}/page\nTitle: Hello\n\n# Hi\n\nText with a [link](http://{address}/more)."
    );
    assert_eq!(local(address, "/page").await, Answer::text(&expected));
    assert_eq!(local(address, "/moved").await, Answer::text(&expected));
}

#[tokio::test]
async fn texts_of_other_kinds_are_read_as_they_are() {
    let address = server().await;
    assert_eq!(
        local(address, "/json").await.output,
        format!("URL: http://{address}/json\n\n{{\"a\": [1, 2]}}")
    );
    assert!(local(address, "/latin").await.output.ends_with("\n\ncafé"));
    assert!(local(address, "/empty").await.output.contains("no readable text"));
}

#[tokio::test]
async fn a_request_tells_nothing_of_the_person_or_the_project() {
    let address = server().await;
    let answer = local(address, "/headers").await;
    assert!(answer.output.ends_with("\n\naccept accept-encoding host user-agent"), "{answer:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_its_reason() {
    let address = server().await;
    refused(&local(address, "/pdf").await, "application/pdf");
    refused(&local(address, "/gzip").await, "compressed");
    refused(&local(address, "/gone").await, "410");
    refused(&local(address, "/circle").await, "more than 5 times");
    for (url, words) in [
        ("example.com", "full address"),
        ("https://me:secret@example.com/", "password"),
        ("file:///etc/passwd", "`http:` and `https:`"),
    ] {
        refused(&fetch(Policy::Any, json!({"url": url})).await, words);
    }
    let long = format!("https://example.com/{}", "x".repeat(MAX_URL));
    refused(&fetch(Policy::Any, json!({"url": long})).await, "2048");
    refused(&fetch(Policy::Any, json!({})).await, "schema");
    // Nobody listens on the port of a listener that is gone.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    refused(&local(closed, "/").await, "no connection");
}

#[tokio::test]
async fn the_limits_of_size_are_kept() {
    let address = server().await;
    let options = Options {
        fetch_max_bytes: 5_000,
        fetch_max_characters: 300,
        fetch_default_characters: 200,
        ..Options::default()
    };
    let limited = fetcher(Policy::LocalToo, &options);
    let read = async |limited: &WebFetch, more: Value| {
        let mut args = json!({"url": format!("http://{address}/long")});
        args.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let answer = limited.call(&call(NAME, args)).await;
        assert!(answer.output.ends_with("\n\n[Cut here: the page has more.]"), "{answer:?}");
        answer.output.matches(|c: char| c.is_ascii_digit()).count()
            - format!("{address}").matches(char::is_numeric).count()
    };
    assert_eq!(read(&limited, json!({})).await, 200);
    assert_eq!(read(&limited, json!({"max_characters": 250})).await, 250);
    assert_eq!(read(&limited, json!({"max_characters": 10_000})).await, 300);
    let unlimited = Options { fetch_max_bytes: 5_000, ..Options::default() };
    assert_eq!(read(&fetcher(Policy::LocalToo, &unlimited), json!({})).await, 5_000);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let address = server().await;
    let options = Options { fetch_timeout: Duration::from_millis(50), ..Options::default() };
    let limited = fetcher(Policy::LocalToo, &options);
    let answer = limited.call(&call(NAME, json!({"url": format!("http://{address}/never")}))).await;
    refused(&answer, "within 0.05 seconds");
}

#[tokio::test]
async fn addresses_that_the_guard_refuses_are_not_fetched() {
    let address = server().await;
    refused(&local(address, "/inside").await, "169.254.169.254");
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/page", address.port());
        refused(&fetch(Policy::Public, json!({"url": url})).await, "loopback");
    }
    for policy in [Policy::Public, Policy::LocalToo] {
        for host in ["169.254.169.254", "[fd00:ec2::254]", "0xa9fea9fe", "[64:ff9b::a9fe:a9fe]"] {
            refused(&fetch(policy, json!({"url": format!("http://{host}/")})).await, "does not call");
        }
    }
}

/// Leads every name to the metadata service of a cloud.
struct Metadata;

impl Resolve for Metadata {
    fn resolve(&self, _: Name) -> Resolving {
        let address = SocketAddr::from(([169, 254, 169, 254], 0));
        Box::pin(async move { Ok(Box::new(std::iter::once(address)) as Addrs) })
    }
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_behind_it() {
    let egress = Egress::with_resolver(Arc::new(Metadata)).unwrap();
    let fetcher = WebFetch::new(&egress, Policy::LocalToo, &Options::default()).unwrap();
    let answer = fetcher.call(&call(NAME, json!({"url": "http://harmless.example/"}))).await;
    refused(&answer, "link-local");
    assert!(!answer.output.contains("169.254"), "{answer:?}");
}
