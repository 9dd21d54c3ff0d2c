//! Approvals: a human decides before a call is made.

use e2e::{Engine, Server, Setup, Smith, both};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::receiver::Receiver;
use testkit::upstream::{Gate, Reply, Upstream};

use super::{asks_for, events, register, results, smith_with, submit, submit_path};
use crate::support::{entries, id, pages, redacted};

/// A server with a webhook tool whose calls a human must agree to.
pub(super) struct Gated {
    pub(super) receiver: Receiver,
    pub(super) upstream: Upstream,
    pub(super) smith: Smith,
}

pub(super) async fn gated(server: &Server, on_reject: &str) -> Gated {
    let receiver = Receiver::start().await;
    let tool =
        json!({"execution": "webhook", "url": receiver.url(), "approval": "always", "on_reject": on_reject});
    register(server, "refund", tool).await;
    let upstream = Upstream::start().await;
    upstream.answer(Reply::text("Refunding. ").and_tool_call("c1", "refund", json!({"amount": 12})));
    upstream.answer_otherwise(Reply::text("Done."));
    let smith = smith_with(server, &upstream, &["refund"]).await;
    Gated { receiver, upstream, smith }
}

pub(super) fn decision(run: &Value, decision: &str) -> Value {
    let approval = &run["output"]["tool_calls"][0]["approval_id"];
    json!({"kind": "approval_decision", "approval_id": approval, "decision": decision})
}

async fn approval(server: &Server, run: &Value) -> Value {
    let id = run["output"]["tool_calls"][0]["approval_id"].as_str().unwrap();
    server.admin().get(&format!("/v1/approvals/{id}")).await.expect(200)
}

#[tokio::test]
async fn an_approved_call_is_made_once_and_the_run_goes_on() {
    both(async |server| {
        let Gated { receiver, upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        assert_json_snapshot!("a_run_paused_for_approval", redacted(&paused));
        assert_json_snapshot!("a_pending_approval", redacted(&approval(&server, &paused).await));
        assert!(receiver.received().is_empty(), "nobody has agreed yet");
        let mut approve = decision(&paused, "approve");
        approve["actor"] = "ana@example.com".into();
        approve["reason"] = "looks right".into();
        let run = submit(&server, &smith, &paused, &approve).await;
        assert_eq!(run["status"], "completed");
        assert_eq!(run["output"]["content"], "Refunding. Done.");
        assert_eq!(receiver.received().len(), 1);
        assert_eq!(results(&upstream), [("c1".to_owned(), r#"{"ok":true}"#.to_owned())]);
        assert_json_snapshot!("an_approved_approval", redacted(&approval(&server, &paused).await));
        assert_eq!(
            events(&server, &smith, &run).await,
            [
                "run.started",
                "message.delta",
                "approval.required refund",
                "run.paused",
                "tool.executing refund",
                "tool.completed refund",
                "message.delta",
                "message.completed",
                "run.completed",
            ]
        );
        // The same again is no error and changes nothing; the opposite is one.
        let again = submit(&server, &smith, &paused, &approve).await;
        assert_eq!(again["status"], "completed");
        let opposite = server.admin().post(&submit_path(&smith, &run), &decision(&paused, "reject")).await;
        opposite.expect_error(409, "run_not_paused");
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_rejection_ends_the_run_or_is_told_to_the_model() {
    both(async |server| {
        let Gated { receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let mut reject = decision(&paused, "reject");
        reject["reason"] = "too much".into();
        let run = submit(&server, &smith, &paused, &reject).await;
        assert_eq!((&run["status"], &run["stop_reason"]), (&json!("completed"), &json!("approval_rejected")));
        assert_eq!(run["output"]["content"], "Refunding. ");
        assert_eq!(approval(&server, &paused).await["status"], "rejected");
        assert!(receiver.received().is_empty());
        let told = events(&server, &smith, &run).await;
        assert_eq!(told[told.len() - 2..], ["message.completed", "run.completed"]);
    })
    .await;
    both(async |server| {
        let Gated { receiver, upstream, smith } = gated(&server, "continue").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let mut reject = decision(&paused, "reject");
        reject["reason"] = "too much".into();
        let run = submit(&server, &smith, &paused, &reject).await;
        assert_eq!(run["output"]["content"], "Refunding. Done.");
        assert!(results(&upstream)[0].1.contains("too much"));
        assert!(receiver.received().is_empty());
    })
    .await;
}

#[tokio::test]
async fn edited_arguments_are_checked_used_and_told() {
    both(async |server| {
        let Gated { receiver, upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let mut approve = decision(&paused, "approve");
        approve["args"] = json!({"amount": 0});
        let refused = server.admin().post(&submit_path(&smith, &paused), &approve).await;
        refused.expect_error_about(422, "invalid_input", "args");
        assert_eq!(approval(&server, &paused).await["status"], "pending");
        approve["args"] = json!({"amount": 5});
        submit(&server, &smith, &paused, &approve).await;
        assert_eq!(receiver.received()[0].body["args"], json!({"amount": 5}));
        assert!(results(&upstream)[0].1.contains(r#"{"amount":5}"#));
        let approval = approval(&server, &paused).await;
        assert_eq!(
            (&approval["args"], &approval["edited_args"]),
            (&json!({"amount": 12}), &json!({"amount": 5}))
        );
    })
    .await;
}

#[tokio::test]
async fn a_decision_that_is_sent_again_is_answered_with_the_run_as_it_stands() {
    both(async |server| {
        let Gated { receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let gate = Gate::hold();
        receiver.through(&gate);
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let approve = decision(&paused, "approve");
        let first = submit(&server, &smith, &paused, &approve);
        let again = async {
            receiver.wait_for(1).await;
            let standing = submit(&server, &smith, &paused, &approve).await;
            assert_eq!(standing["status"], "running", "it does not wait for the call");
            let path = submit_path(&smith, &paused);
            let opposite = server.admin().post(&path, &decision(&paused, "reject")).await;
            opposite.expect_error(409, "run_not_paused");
            gate.open();
        };
        let (first, ()) = futures::join!(first, again);
        assert_eq!(first["status"], "completed");
        let standing = submit(&server, &smith, &paused, &approve).await;
        assert_eq!(standing, first);
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn ungated_calls_finish_first_and_one_rejection_keeps_every_gated_call_from_being_made() {
    both(async |server| {
        let Gated { receiver, upstream, smith } = gated(&server, "end").await;
        let harmless = Receiver::start().await;
        register(&server, "look", json!({"execution": "webhook", "url": harmless.url()})).await;
        server.admin().patch(&smith.path(""), &json!({"tools": ["refund", "look"]})).await.expect(200);
        // The answer that was set up for others comes first.
        smith.run(&Smith::says("Refund order 12")).await;
        let calls = asks_for("c1", "refund", 1).and_tool_call("c2", "look", json!({"amount": 2}));
        upstream.answer(calls.and_tool_call("c3", "refund", json!({"amount": 3})));
        let paused = smith.run(&Smith::says("Refund two")).await;
        assert_eq!(harmless.received().len(), 1);
        let pending = paused["output"]["tool_calls"].as_array().unwrap().clone();
        assert_eq!(pending.len(), 2);
        let decide = |index: usize, decision: &str| {
            let approval = &pending[index]["approval_id"];
            json!({"kind": "approval_decision", "approval_id": approval, "decision": decision})
        };
        let still = submit(&server, &smith, &paused, &decide(1, "approve")).await;
        assert_eq!(still["status"], "paused_for_approval");
        assert_eq!(still["output"]["tool_calls"].as_array().unwrap().len(), 1);
        let run = submit(&server, &smith, &paused, &decide(0, "reject")).await;
        assert_eq!(run["stop_reason"], "approval_rejected");
        assert!(receiver.received().is_empty(), "not even the approved call is made");
        let path = format!("/v1/approvals/{}", pending[1]["approval_id"].as_str().unwrap());
        let other = server.admin().get(&path).await.expect(200);
        assert_eq!((&other["status"], &other["reason"]), (&json!("rejected"), &json!("run_ended")));
        assert_eq!(other["actor"], Value::Null, "whoever approved it has not rejected it");
        let again = submit(&server, &smith, &paused, &decide(1, "approve")).await;
        assert_eq!(again["stop_reason"], "approval_rejected", "who sends the approval again gets the record");
    })
    .await;
}

#[tokio::test]
async fn a_result_that_comes_while_another_call_is_being_made_can_be_sent_again() {
    both(async |server| {
        let Gated { receiver, upstream, smith } = gated(&server, "end").await;
        register(&server, "read_meter", json!({"execution": "external"})).await;
        server.admin().patch(&smith.path(""), &json!({"tools": ["refund", "read_meter"]})).await.expect(200);
        // The answer that was set up for others comes first.
        smith.run(&Smith::says("Refund order 12")).await;
        let calls = asks_for("c1", "refund", 1).and_tool_call("c2", "read_meter", json!({"amount": 2}));
        upstream.answer(calls);
        let gate = Gate::hold();
        receiver.through(&gate);
        let paused = smith.run(&Smith::says("Refund and read")).await;
        let approve = decision(&paused, "approve");
        let approved = submit(&server, &smith, &paused, &approve);
        let result = json!({"kind": "tool_result", "tool_call_id": "c2", "result": {"kwh": 2}});
        let early = async {
            receiver.wait_for(1).await;
            let path = submit_path(&smith, &paused);
            let early = server.admin().post(&path, &result).await;
            assert_eq!(early.header("retry-after"), "1");
            early.expect_error(503, "service_overloaded");
            let unknown = json!({"kind": "tool_result", "tool_call_id": "c9", "result": {}});
            server.admin().post(&path, &unknown).await.expect_error(409, "run_not_paused");
            gate.open();
        };
        let (approved, ()) = futures::join!(approved, early);
        assert_eq!(approved["status"], "paused_for_tool");
        let run = submit(&server, &smith, &paused, &result).await;
        assert_eq!(run["output"]["content"], "Done.");
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_approval_that_nobody_decides_expires_and_the_lane_is_free() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_configuration("[engine]\nlease_ms = 400\n").start().await;
        let Gated { receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let follow = smith.path(&format!("/runs/{}/events", id(&paused)));
        // Time is a value in the database: the day is over.
        server.alter("update approvals set expires_at = 1").await;
        let approve = decision(&paused, "approve");
        let late = server.admin().post(&submit_path(&smith, &paused), &approve).await;
        let run =
            async || server.admin().get(&smith.path(&format!("/runs/{}", id(&paused)))).await.expect(200);
        // Whether a round or the late decision came first, the question ends as expired.
        if late.status == 200 {
            panic!("an expired approval was approved: {}", run().await);
        }
        let frames = server.admin().follow(&follow, Some(3)).await.collect_until_end().await;
        let run = run().await;
        assert_eq!(run["stop_reason"], "approval_rejected", "{frames:?}");
        let expired = approval(&server, &paused).await;
        assert_eq!((&expired["status"], &expired["reason"]), (&json!("rejected"), &json!("expired")));
        assert_eq!(expired["actor"], Value::Null);
        assert!(receiver.received().is_empty());
    }
}

#[tokio::test]
async fn a_cancelled_run_leaves_no_approval_open() {
    both(async |server| {
        let Gated { receiver: _receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        assert_eq!(paused["status"], "paused_for_approval", "{paused:#}");
        submit(&server, &smith, &paused, &json!({"kind": "cancel", "reason": "enough"})).await;
        let closed = approval(&server, &paused).await;
        assert_eq!((&closed["status"], &closed["reason"]), (&json!("rejected"), &json!("run_cancelled")));
        let late = server.admin().post(&submit_path(&smith, &paused), &decision(&paused, "approve")).await;
        late.expect_error(409, "run_not_paused");
    })
    .await;
}

#[tokio::test]
async fn a_decision_on_another_replica_resumes_the_run_there() {
    let server = Setup::on(Engine::Postgres).start().await;
    let replica = server.replica().await;
    let Gated { receiver, upstream: _upstream, smith } = gated(&server, "end").await;
    let paused = smith.run(&Smith::says("Refund order 12")).await;
    let run =
        replica.admin().post(&submit_path(&smith, &paused), &decision(&paused, "approve")).await.expect(200);
    assert_eq!(run["output"]["content"], "Refunding. Done.");
    assert_eq!(receiver.received().len(), 1);
    let told = events(&server, &smith, &run).await;
    assert_eq!(told.last().map(String::as_str), Some("run.completed"));
}

#[tokio::test]
async fn of_many_decisions_at_once_the_first_counts_and_the_call_is_made_once() {
    both(async |server| {
        let Gated { receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let path = submit_path(&smith, &paused);
        let admin = server.admin();
        let (approve, reject) = (decision(&paused, "approve"), decision(&paused, "reject"));
        let attempts = (0..8).map(|index| admin.post(&path, if index % 2 == 0 { &approve } else { &reject }));
        let statuses: Vec<_> =
            futures::future::join_all(attempts).await.into_iter().map(|answer| answer.status).collect();
        assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
        let run = admin.get(&smith.path(&format!("/runs/{}", id(&paused)))).await.expect(200);
        let approved = approval(&server, &paused).await["status"] == "approved";
        assert_eq!(receiver.received().len(), usize::from(approved));
        assert_eq!(run["stop_reason"], if approved { "end_turn" } else { "approval_rejected" });
    })
    .await;
}

#[tokio::test]
async fn decisions_that_make_no_sense_are_refused() {
    both(async |server| {
        let Gated { receiver: _receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let path = submit_path(&smith, &paused);
        let post = async |body: Value| server.admin().post(&path, &body).await;
        let mut maybe = decision(&paused, "approve");
        maybe["decision"] = "maybe".into();
        post(maybe).await.expect_error_about(422, "invalid_decision", "decision");
        for unknown in ["apr_11111111111111111111zz", "nothing"] {
            let body = json!({"kind": "approval_decision", "approval_id": unknown, "decision": "approve"});
            post(body).await.expect_error_about(422, "invalid_input", "approval_id");
        }
        let result = post(json!({"kind": "tool_result", "tool_call_id": "c1", "result": {}})).await;
        result.expect_error_about(422, "invalid_input", "tool_call_id");
        let mut long = decision(&paused, "reject");
        long["reason"] = "x".repeat(1_001).into();
        post(long).await.expect_error_about(422, "invalid_input", "reason");
        assert_eq!(approval(&server, &paused).await["status"], "pending");
    })
    .await;
}

#[tokio::test]
async fn a_smith_token_decides_with_the_permission_alone_and_speaks_for_its_smith() {
    both(async |server| {
        let Gated { receiver: _receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        let mut approve = decision(&paused, "approve");
        approve["actor"] = "somebody else".into();
        let path = submit_path(&smith, &paused);
        let may_run = server.smith_client(&smith, &["runs:write"]).await;
        may_run.post(&path, &approve).await.expect_error(403, "insufficient_scope");
        let may_decide = server.smith_client(&smith, &["approvals:write"]).await;
        may_decide.post(&path, &approve).await.expect(200);
        assert_eq!(approval(&server, &paused).await["actor"], smith.id.as_str());
        let reads = server.smith_client(&smith, &["approvals:read"]).await;
        assert_eq!(entries(&reads.get("/v1/approvals").await.expect(200)).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn approvals_are_listed_newest_first_page_by_page_and_filtered() {
    both(async |server| {
        let Gated { receiver: _receiver, upstream, smith } = gated(&server, "end").await;
        let mut runs = vec![smith.run(&Smith::says("Refund order 12")).await];
        for amount in 1..4 {
            upstream.answer(asks_for("c1", "refund", amount));
            runs.push(smith.run(&Smith::says("Another")).await);
        }
        submit(&server, &smith, &runs[0], &decision(&runs[0], "reject")).await;
        let all = pages(&server.admin(), "/v1/approvals", 2).await;
        let amounts: Vec<_> =
            all.iter().map(|approval| approval["args"]["amount"].as_i64().unwrap()).collect();
        assert_eq!(amounts, [3, 2, 1, 12]);
        let pending = server.admin().get("/v1/approvals?status=pending&limit=1").await.expect(200);
        assert_json_snapshot!("a_page_of_approvals", redacted(&pending));
        let of_smith = format!("/v1/approvals?status=rejected&smith_id={}", smith.id);
        assert_eq!(entries(&server.admin().get(&of_smith).await.expect(200)).len(), 1);
        for nothing in ["/v1/approvals?smith_id=nobody", "/v1/approvals?status=unheard_of"] {
            assert_eq!(entries(&server.admin().get(nothing).await.expect(200)).len(), 0);
        }
        server.admin().get("/v1/approvals/nothing").await.expect_error(404, "not_found");
    })
    .await;
}

#[tokio::test]
async fn an_approval_survives_a_restart() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut server = Setup::on(engine).start().await;
        let Gated { receiver, upstream: _upstream, smith } = gated(&server, "end").await;
        let paused = smith.run(&Smith::says("Refund order 12")).await;
        server.kill().await;
        server.start_again().await;
        let run = server
            .admin()
            .post(&submit_path(&smith, &paused), &decision(&paused, "approve"))
            .await
            .expect(200);
        assert_eq!(run["output"]["content"], "Refunding. Done.");
        assert_eq!(receiver.received().len(), 1);
    }
}
