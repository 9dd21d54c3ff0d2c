//! Calls that were planned before the tools changed: they go to the tool that was meant, or nowhere.

use e2e::{Smith, both};
use serde_json::json;
use testkit::mcp::{Answer, McpServer, Tool, Wire};
use testkit::receiver::Receiver;
use testkit::upstream::{Reply, Upstream};

use super::approvals::{Gated, decision, gated};
use super::{register, results, submit, submit_path};

#[tokio::test]
async fn an_approved_call_does_not_go_to_another_tool_of_the_same_name() {
    both(async |server| {
        let Gated { receiver, upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        server.admin().delete("/v1/tenant/tools/refund").await.expect(204);
        let other = Receiver::start().await;
        register(&server, "refund", json!({"execution": "webhook", "url": other.url()})).await;
        // Nor can its schema say anything about other arguments.
        let mut edited = decision(&paused, "approve");
        edited["args"] = json!({"amount": 5});
        let refused = server.admin().post(&submit_path(&smith, &paused), &edited).await;
        refused.expect_error_about(422, "invalid_input", "args");
        let run = submit(&server, &smith, &paused, &decision(&paused, "approve")).await;
        assert_eq!(run["output"]["content"], "Refunding. Done.");
        assert!(results(&upstream)[0].1.contains("not there any more"), "{:?}", results(&upstream));
        assert!(other.received().is_empty() && receiver.received().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_approved_call_does_not_go_to_another_mcp_server_of_the_same_name() {
    both(async |server| {
        let body = |peer: &McpServer| {
            json!({"url": peer.url(), "auth": {"kind": "none"}, "approval_policy": [{"match": "*"}]})
        };
        let (first, second) = (McpServer::start(Wire::Stateless).await, McpServer::start(Wire::Stateless).await);
        for peer in [&first, &second] {
            peer.offer(Tool::new("pay").answers(Answer::text("paid")));
        }
        server.admin().put("/v1/tenant/mcp/bank", &body(&first)).await.expect(200);
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "pay", json!({})));
        upstream.answer_otherwise(Reply::text("Done."));
        let smith = server.smith_on(&upstream).await;
        let paused = smith.run(&Smith::says("Pay")).await;
        server.admin().delete("/v1/tenant/mcp/bank").await.expect(204);
        server.admin().put("/v1/tenant/mcp/bank", &body(&second)).await.expect(200);
        let run = submit(&server, &smith, &paused, &decision(&paused, "approve")).await;
        assert_eq!(run["output"]["content"], "Done.");
        assert!(results(&upstream)[0].1.contains("not there any more"), "{:?}", results(&upstream));
        assert!(first.calls().is_empty() && second.calls().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_approved_call_whose_arguments_miss_a_new_schema_is_not_made() {
    both(async |server| {
        let Gated { receiver, upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let schema = json!({"type": "object", "required": ["order"]});
        let changed = json!({"execution": "webhook", "url": receiver.url(), "input_schema": schema});
        register(&server, "refund", changed).await;
        let run = submit(&server, &smith, &paused, &decision(&paused, "approve")).await;
        assert_eq!(run["output"]["content"], "Refunding. Done.");
        let told = &results(&upstream)[0].1;
        assert!(told.contains("Not called") && told.contains("order"), "{told}");
        assert!(receiver.received().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_approved_call_reaches_its_tool_when_another_source_has_the_name_too_by_now() {
    both(async |server| {
        let Gated { receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let peer = McpServer::start(Wire::Stateless).await;
        peer.offer(Tool::new("refund").answers(Answer::text("refunded")));
        let body = json!({"url": peer.url(), "auth": {"kind": "none"}});
        server.admin().put("/v1/tenant/mcp/bank", &body).await.expect(200);
        let run = submit(&server, &smith, &paused, &decision(&paused, "approve")).await;
        assert_eq!(run["output"]["content"], "Refunding. Done.");
        assert_eq!(receiver.received().len(), 1);
        assert_eq!(receiver.received()[0].body["tool"], "refund");
        assert!(peer.calls().is_empty());
    })
    .await;
}
