use serde_json::json;
use testkit::mcp::{Answer, Fault, McpServer, Tool, Wire};
use tools::mcp::FailureKind;

use super::{answer, call, known, mcp, offering, server};

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_trouble_and_the_call_is_not_made_again() {
    for (fault, words) in [
        (Fault::Garbage, "no message of the protocol"),
        (Fault::Html, "no message of the protocol"),
        (Fault::WrongId, "broke the connection"),
        (Fault::Drop, "broke the connection"),
        (Fault::EndEarly, "broke the connection"),
    ] {
        for (wire, protocol) in [(Wire::Stateless, "2026-07-28"), (Wire::Sessions, "2025-11-25")] {
            let reply = Answer::text("paid").fault(fault.clone());
            let fake = offering(wire, Tool::new("pay").answers(reply)).await;
            let answer = answer(&mcp(), &known(&fake, protocol), &call("pay")).await;
            assert!(answer.is_error && answer.output.contains(words), "{fault:?}: {answer:?}");
            assert!(answer.output.contains("Whether the call was carried out is not known."), "{answer:?}");
            assert!(answer.trouble.unwrap().contains(words));
            assert_eq!(fake.calls().len(), 1, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn an_object_for_another_request_is_no_answer() {
    let fake =
        offering(Wire::Both, Tool::new("pay").answers(Answer::text("").as_json().fault(Fault::WrongId)))
            .await;
    let answer = answer(&mcp(), &server(&fake), &call("pay")).await;
    assert!(
        answer.output.starts_with("The MCP server answered a request that it was not sent."),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_named_stream_of_the_newest_revision_is_not_asked_for_again() {
    let fake =
        offering(Wire::Stateless, Tool::new("pay").answers(Answer::text("paid").fault(Fault::EndNamed)))
            .await;
    assert!(answer(&mcp(), &server(&fake), &call("pay")).await.is_error);
    assert!(fake.requests().iter().all(|received| received.method == "POST"));
}

#[tokio::test]
async fn a_list_that_is_none_is_a_failure() {
    for result in [json!({}), json!({"tools": {}}), json!([1]), json!("tools")] {
        let fake = McpServer::start(Wire::Both).await;
        fake.answer_method("tools/list", Answer::result(result.clone()).as_json());
        let failure = mcp().discover(&server(&fake)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Protocol, "{result}");
    }
}

#[tokio::test]
async fn a_site_that_is_no_mcp_server_is_a_failure() {
    let fake = McpServer::start(Wire::Both).await;
    let mut elsewhere = server(&fake);
    elsewhere.url.set_path("/index.html");
    let failure = mcp().discover(&elsewhere).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Protocol);
    assert_eq!(
        failure.to_string(),
        "The MCP server answered with status 404. Check the path of its address."
    );
    for method in ["server/discover", "tools/list"] {
        fake.answer_method(method, Answer::text("").fault(Fault::Html));
    }
    fake.answer_method("initialize", Answer::text("").fault(Fault::Html));
    let failure = mcp().discover(&server(&fake)).await.unwrap_err();
    assert!(failure.to_string().contains("no message of the protocol"), "{failure}");
}
