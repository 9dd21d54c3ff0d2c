//! A server built with the Python SDK, which speaks every revision.

use std::time::Duration;

use serde_json::json;
use tools::mcp::Options;
use tools::{Outcome, Reply, Resumption};

use super::process::python;
use super::{answer, call, mcp, mcp_with, server, tool};

#[tokio::test]
async fn its_tools_are_listed_in_the_newest_revision() {
    let peer = python().await;
    let manifest = mcp().discover(&server(&peer.url, None)).await.unwrap();
    assert_eq!(manifest.protocol, "2026-07-28");
    let add = tool(&manifest.tools, "add");
    assert_eq!(add.description.as_deref(), Some("Adds two numbers."));
    assert_eq!(add.input_schema["properties"]["a"]["type"], "integer");
    assert!(add.annotations.read_only && !add.annotations.destructive);
    assert!(tool(&manifest.tools, "pay").annotations.destructive);
    let old = mcp().discover(&server(&peer.url, Some("2025-11-25"))).await.unwrap();
    assert_eq!((old.protocol.as_str(), old.tools), ("2025-11-25", manifest.tools));
}

#[tokio::test]
async fn its_tools_are_called_in_both_revisions() {
    let peer = python().await;
    for protocol in ["2026-07-28", "2025-11-25"] {
        let (mcp, server) = (mcp(), server(&peer.url, Some(protocol)));
        let added = answer(&mcp, &server, &call("add", json!({"a": 20, "b": 22}))).await;
        assert_eq!(serde_json::from_str::<serde_json::Value>(&added.output).unwrap(), json!({"value": 42}));
        let key = call("key", json!({}));
        assert_eq!(answer(&mcp, &server, &key).await.output, key.idempotency_key);
        let drawn = answer(&mcp, &server, &call("draw", json!({}))).await;
        assert_eq!(drawn.attachments[0].media_type, "image/png");
        assert!(drawn.attachments[0].bytes.starts_with(b"\x89PNG"));
        let failed = answer(&mcp, &server, &call("fail", json!({}))).await;
        assert!(failed.is_error && failed.trouble.is_none(), "{failed:?}");
        let wrong = answer(&mcp, &server, &call("add", json!({"a": "many"}))).await;
        assert!(wrong.is_error, "{wrong:?}");
    }
}

#[tokio::test]
async fn its_progress_puts_the_end_of_a_call_off() {
    let peer = python().await;
    for protocol in ["2026-07-28", "2025-11-25"] {
        let mcp = mcp_with(Options { call: Duration::from_millis(800), ..Options::default() });
        let worked =
            answer(&mcp, &server(&peer.url, Some(protocol)), &call("work", json!({"steps": 12}))).await;
        assert_eq!(worked.output, "worked", "{protocol}");
    }
}

#[tokio::test]
async fn its_questions_are_answered() {
    let peer = python().await;
    let (mcp, server) = (mcp(), server(&peer.url, Some("2026-07-28")));
    let mut pay = call("pay", json!({"amount": 7}));
    let Outcome::Asks { questions, request_state } = mcp.call(&server, &pay).await else { panic!() };
    assert_eq!(questions[0].message, "Pay 7?");
    assert_eq!(questions[0].requested_schema["properties"]["sure"]["type"], "boolean");
    let key = questions[0].key.clone();
    let resume = |reply| {
        Some(Resumption { request_state: request_state.clone(), replies: vec![(key.clone(), reply)] })
    };
    pay.resumption = resume(Reply::Accept(json!({"sure": true})));
    assert_eq!(answer(&mcp, &server, &pay).await.output, "paid 7");
    pay.resumption = resume(Reply::Decline);
    assert!(answer(&mcp, &server, &pay).await.is_error);
}

#[tokio::test]
async fn its_questions_are_not_to_be_had_in_an_older_revision() {
    let peer = python().await;
    let (mcp, server) = (mcp(), server(&peer.url, Some("2025-11-25")));
    let pay = answer(&mcp, &server, &call("pay", json!({"amount": 7}))).await;
    assert!(pay.is_error && !pay.output.contains("refused the connection"), "{pay:?}");
}
