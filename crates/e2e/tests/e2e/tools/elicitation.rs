//! A remote tool asks the person something in the middle of a call.

use e2e::{Server, Smith, both};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::mcp::{Answer, McpServer, Tool, Wire};
use testkit::upstream::{Reply, Upstream};

use super::{events, results, submit, submit_path};
use crate::support::redacted;

struct Asking {
    peer: McpServer,
    upstream: Upstream,
    smith: Smith,
}

/// A tool that asks how many before it answers.
async fn asking(server: &Server, policy: Value) -> Asking {
    let peer = McpServer::start(Wire::Stateless).await;
    let schema = json!({
        "type": "object",
        "properties": {"seats": {"type": "integer", "minimum": 1}},
        "required": ["seats"],
    });
    let asks = Answer::asking_form("How many seats?", schema, "opaque-state");
    peer.offer(Tool::new("book").answers(asks.then(Answer::text("Booked."))));
    let body = json!({"url": peer.url(), "auth": {"kind": "none"}, "approval_policy": policy});
    server.admin().put("/v1/tenant/mcp/cinema", &body).await.expect(200);
    let upstream = Upstream::start().await;
    upstream.answer(Reply::tool_call("c1", "book", json!({})));
    upstream.answer_otherwise(Reply::text("Done."));
    let smith = server.smith_on(&upstream).await;
    Asking { peer, upstream, smith }
}

fn decision(run: &Value, more: Value) -> Value {
    let mut body = json!({
        "kind": "approval_decision",
        "approval_id": run["output"]["tool_calls"][0]["approval_id"],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_question_of_a_tool_is_an_approval_and_its_answer_goes_back_with_the_state() {
    both(async |server| {
        let Asking { peer, upstream, smith } = asking(&server, json!(null)).await;
        let paused = smith.run(&Smith::says("Book")).await;
        assert_json_snapshot!("a_run_paused_for_a_question", redacted(&paused["output"]));
        let path = submit_path(&smith, &paused);
        let without = decision(&paused, json!({"decision": "approve"}));
        server.admin().post(&path, &without).await.expect_error_about(422, "invalid_input", "content");
        let wrong = decision(&paused, json!({"decision": "approve", "content": {"seats": 0}}));
        server.admin().post(&path, &wrong).await.expect_error_about(422, "invalid_input", "content");
        assert_eq!(peer.calls().len(), 1);
        let two = decision(&paused, json!({"decision": "approve", "content": {"seats": 2}}));
        let run = submit(&server, &smith, &paused, &two).await;
        assert_eq!(run["status"], "completed");
        assert_eq!(results(&upstream)[0].1, "Booked.");
        let calls = peer.calls();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].idempotency_key, calls[1].idempotency_key);
        let id = paused["output"]["tool_calls"][0]["approval_id"].as_str().unwrap();
        let approval = server.admin().get(&format!("/v1/approvals/{id}")).await.expect(200);
        assert_json_snapshot!("an_answered_question", redacted(&approval));
        assert_eq!(
            events(&server, &smith, &run).await,
            [
                "run.started",
                "tool.executing book",
                "approval.required book",
                "run.paused",
                "tool.completed book",
                "message.delta",
                "message.completed",
                "run.completed",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_tool_that_only_sends_the_person_somewhere_is_approved_without_content() {
    both(async |server| {
        let Asking { peer, upstream, smith } = asking(&server, json!(null)).await;
        let params = json!({"mode": "url", "message": "Sign in.", "url": "https://example.com/in"});
        let asks = json!({"in": {"method": "elicitation/create", "params": params}});
        peer.offer(Tool::new("book").answers(Answer::asking(asks, None).then(Answer::text("Booked."))));
        let paused = smith.run(&Smith::says("Book")).await;
        let question = &paused["output"]["tool_calls"][0]["elicitation"];
        assert_eq!(question["message"], "Sign in.\nhttps://example.com/in");
        let run = submit(&server, &smith, &paused, &decision(&paused, json!({"decision": "approve"}))).await;
        assert_eq!(run["status"], "completed");
        assert_eq!(results(&upstream)[0].1, "Booked.");
    })
    .await;
}

#[tokio::test]
async fn a_rejected_question_ends_the_run_or_declines_to_the_tool() {
    both(async |server| {
        let Asking { peer, upstream: _upstream, smith } = asking(&server, json!(null)).await;
        let paused = smith.run(&Smith::says("Book")).await;
        let reject = decision(&paused, json!({"decision": "reject"}));
        let run = submit(&server, &smith, &paused, &reject).await;
        assert_eq!(run["stop_reason"], "approval_rejected");
        assert_eq!(peer.calls().len(), 1);
    })
    .await;
    both(async |server| {
        // The rule gates the call, too: it is approved first.
        let rules = json!([{"match": "bo*", "require": "approval", "on_reject": "continue"}]);
        let Asking { peer, upstream: _upstream, smith } = asking(&server, rules).await;
        let paused = smith.run(&Smith::says("Book")).await;
        assert!(peer.calls().is_empty());
        let approve = decision(&paused, json!({"decision": "approve"}));
        let asked = submit(&server, &smith, &paused, &approve).await;
        assert_eq!(asked["output"]["tool_calls"][0]["elicitation"]["message"], "How many seats?");
        let reject = decision(&asked, json!({"decision": "reject"}));
        let run = submit(&server, &smith, &asked, &reject).await;
        assert_eq!(run["output"]["content"], "Done.");
        let calls = peer.calls();
        assert_eq!(calls.len(), 2);
    })
    .await;
}
