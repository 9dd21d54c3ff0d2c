use serde_json::json;
use testkit::mcp::{Answer, Tool, Wire};

use super::{BEARER, answer, call, known, mcp, object, offering, server};

#[tokio::test]
async fn a_call_carries_its_key_and_says_in_headers_what_its_body_says() {
    let fake = offering(Wire::Stateless, Tool::new("pay").answers(Answer::text("paid"))).await;
    let call = call("pay");
    assert_eq!(answer(&mcp(), &known(&fake, "2026-07-28"), &call).await, tools::Answer::text("paid"));
    let called = fake.calls();
    assert_eq!((called[0].tool.as_str(), &called[0].args), ("pay", &json!({"n": 1})));
    assert_eq!(called[0].idempotency_key, call.idempotency_key);
    assert_eq!(called[0].traceparent, call.traceparent());
    let requests = fake.requests();
    let meta = &requests[0].body["params"]["_meta"];
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("mcp-protocol-version"), "2026-07-28");
    assert_eq!(requests[0].header("mcp-method"), "tools/call");
    assert_eq!(requests[0].header("mcp-name"), "pay");
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "ingram");
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({"elicitation": {"form": {}, "url": {}}})
    );
    assert_eq!(meta["progressToken"], requests[0].body["id"]);
}

#[tokio::test]
async fn a_call_of_an_older_revision_carries_its_key_and_its_trace_too_and_nothing_of_the_newer_one() {
    let fake = offering(Wire::Sessions, Tool::new("pay").answers(Answer::text("paid"))).await;
    let call = call("pay");
    assert_eq!(answer(&mcp(), &server(&fake), &call).await.output, "paid");
    let called = fake.calls();
    assert_eq!(called[0].idempotency_key, call.idempotency_key);
    let requests = fake.requests();
    let request = requests.iter().find(|received| received.rpc() == "tools/call").unwrap();
    let meta = object(request.body["params"]["_meta"].clone());
    let keys: Vec<_> = meta.keys().map(String::as_str).collect();
    assert_eq!(keys, ["ingram-cloud/idempotency-key", "traceparent", "progressToken"]);
    assert_eq!(request.header("mcp-method"), "");
    assert_eq!(request.header("mcp-session-id"), "session-1");
}

#[tokio::test]
async fn an_answer_is_read_as_a_stream_and_as_one_object() {
    for wire in [Wire::Stateless, Wire::Sessions] {
        for reply in [Answer::text("paid"), Answer::text("paid").as_json(), Answer::text("paid").progress(3)]
        {
            let fake = offering(wire, Tool::new("pay").answers(reply)).await;
            assert_eq!(answer(&mcp(), &server(&fake), &call("pay")).await.output, "paid");
        }
    }
}

#[tokio::test]
async fn a_name_that_no_header_can_hold_is_sent_wrapped() {
    let fake = offering(Wire::Stateless, Tool::new("zahle — 払う")).await;
    assert_eq!(answer(&mcp(), &server(&fake), &call("zahle — 払う")).await.output, "done");
    assert!(fake.calls()[0].headers["mcp-name"].to_str().unwrap().starts_with("=?base64?"));
}

#[tokio::test]
async fn the_bearer_is_sent_with_every_request() {
    for wire in [Wire::Stateless, Wire::Sessions] {
        let fake = offering(wire, Tool::new("pay")).await;
        fake.require_bearer(BEARER);
        let mut server = server(&fake);
        server.bearer = Some(BEARER.into());
        let mcp = mcp();
        mcp.discover(&server).await.unwrap();
        assert!(!answer(&mcp, &server, &call("pay")).await.is_error);
        mcp.finish().await;
        let bearer = format!("Bearer {BEARER}");
        assert!(fake.requests().iter().all(|received| received.header("authorization") == bearer));
    }
}

#[tokio::test]
async fn a_tool_that_fails_is_an_error_answer_without_trouble_of_the_server() {
    let fake = offering(Wire::Both, Tool::new("pay").answers(Answer::failed("no money"))).await;
    assert_eq!(answer(&mcp(), &server(&fake), &call("pay")).await, tools::Answer::error("no money"));
}

#[tokio::test]
async fn a_known_revision_that_is_wrong_costs_no_call_twice() {
    for (wire, wrong) in [(Wire::Sessions, "2026-07-28"), (Wire::Stateless, "2025-11-25")] {
        let fake = offering(wire, Tool::new("pay").answers(Answer::text("paid"))).await;
        assert_eq!(answer(&mcp(), &known(&fake, wrong), &call("pay")).await.output, "paid");
        assert_eq!(fake.calls().len(), 1);
    }
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own() {
    let fake = offering(Wire::Both, Tool::new("pay")).await;
    let mcp = mcp();
    for _ in 0..3 {
        answer(&mcp, &server(&fake), &call("pay")).await;
    }
    let mut ids: Vec<_> =
        fake.requests().iter().map(|received| received.body["id"].as_u64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}
