//! What a run waits for, as calls of a chat, and the answers to them.

use e2e::{Server, Smith, both};
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::receiver::Receiver;
use testkit::upstream::{Reply, Upstream};

use super::{PATH, acting, given, says};
use crate::support::redacted;

struct Shop {
    receiver: Receiver,
    upstream: Upstream,
    smith: Smith,
    client: Client,
}

/// A smith with a tool whose calls a human must agree to, and one that its caller carries out.
async fn shop(server: &Server, first: Reply) -> Shop {
    let receiver = Receiver::start().await;
    let schema = json!({"type": "object", "properties": {"amount": {"type": "integer"}}});
    for (name, more) in [
        ("refund", json!({"execution": "webhook", "url": receiver.url(), "approval": "always"})),
        ("read_meter", json!({"execution": "external"})),
        ("pay_out", json!({"execution": "external", "approval": "always"})),
    ] {
        let mut tool = json!({"description": "Does something.", "input_schema": schema});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.admin().put(&format!("/v1/tenant/tools/{name}"), &tool).await.expect(200);
    }
    let upstream = Upstream::start().await;
    upstream.answer(first);
    upstream.answer_otherwise(Reply::text("Done."));
    let smith = server.smith_on(&upstream).await;
    let tools = json!({"tools": ["refund", "read_meter", "pay_out"]});
    server.admin().patch(&smith.path(""), &tools).await.expect(200);
    let client = acting(server, &smith);
    Shop { receiver, upstream, smith, client }
}

fn refunding() -> Reply {
    Reply::text("Refunding. ").and_tool_call("c1", "refund", json!({"amount": 12}))
}

/// The chat so far, with answers to its calls.
fn answered(completion: &Value, answers: &[&str]) -> Value {
    let message = &completion["choices"][0]["message"];
    let calls = message["tool_calls"].as_array().unwrap();
    let mut messages = vec![json!({"role": "user", "content": "Refund order 12"}), message.clone()];
    messages.extend(
        calls
            .iter()
            .zip(answers)
            .map(|(call, answer)| json!({"role": "tool", "tool_call_id": call["id"], "content": answer})),
    );
    json!({ "messages": messages })
}

fn text(completion: &Value) -> &Value {
    &completion["choices"][0]["message"]["content"]
}

#[tokio::test]
async fn a_call_that_waits_for_consent_is_approved_by_a_tool_message() {
    both(async |server| {
        let Shop { receiver, upstream, smith, client } = shop(&server, refunding()).await;
        let paused = client.post(PATH, &says("Refund order 12")).await.expect(200);
        assert_eq!(
            redacted(&paused)["choices"],
            json!([{
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Refunding. ",
                    "refusal": null,
                    "tool_calls": [{
                        "id": "run_[id]::c1",
                        "type": "function",
                        "function": {"name": "refund", "arguments": "{\"amount\":12}"},
                    }],
                },
                "logprobs": null,
                "finish_reason": "tool_calls",
            }])
        );
        let unclear = client.post(PATH, &answered(&paused, &["maybe"])).await;
        unclear.expect_error_about(422, "invalid_decision", "messages[2].content");
        assert!(receiver.received().is_empty());
        let approve = answered(&paused, &["approve"]);
        let done = client.post(PATH, &approve).await.expect(200);
        assert_eq!((text(&done), &done["id"]), (&json!("Done."), &paused["id"]));
        assert_eq!(receiver.received().len(), 1);

        // A repetition gets the same answer; the opposite is too late, and not worth trying again.
        assert_eq!(text(&client.post(PATH, &approve).await.expect(200)), "Done.");
        let late = client.post(PATH, &answered(&paused, &["reject"])).await;
        late.expect_error(409, "run_not_paused");
        assert_eq!(late.header("x-should-retry"), "false");
        assert_eq!(receiver.received().len(), 1);

        // Later the call is history, and its recorded result stands for the decision.
        let mut later = approve;
        later["messages"].as_array_mut().unwrap().extend([
            json!({"role": "assistant", "content": "Done."}),
            json!({"role": "user", "content": "Thanks"}),
        ]);
        let next = client.post(PATH, &later).await.expect(200);
        assert_ne!(next["id"], paused["id"]);
        let given = given(&upstream);
        assert_eq!(given[2], json!({"role": "tool", "tool_call_id": "c1", "content": "{\"ok\":true}"}));
        let runs = server.admin().get(&smith.path("/runs")).await.expect(200);
        assert_eq!(runs["data"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_rejection_may_give_a_reason() {
    both(async |server| {
        let Shop { receiver, upstream: _upstream, client, .. } = shop(&server, refunding()).await;
        let paused = client.post(PATH, &says("Refund order 12")).await.expect(200);
        let reject = json!({"decision": "reject", "reason": "too much"}).to_string();
        let ended = client.post(PATH, &answered(&paused, &[&reject])).await.expect(200);
        assert_eq!(ended["choices"][0]["finish_reason"], "stop");
        assert!(receiver.received().is_empty());
        let approvals = server.admin().get("/v1/approvals?status=rejected").await.expect(200);
        assert_eq!(approvals["data"][0]["reason"], "too much");
    })
    .await;
}

#[tokio::test]
async fn several_answers_come_together_or_one_by_one_with_a_word_behind_them() {
    both(async |server| {
        let both_calls = refunding().and_tool_call("c2", "read_meter", json!({"amount": 7}));
        let Shop { receiver, upstream, client, .. } = shop(&server, both_calls).await;
        let paused = client.post(PATH, &says("Refund order 12")).await.expect(200);
        let calls = paused["choices"][0]["message"]["tool_calls"].clone();
        assert_eq!(calls.as_array().unwrap().len(), 2);
        let one = client.post(PATH, &answered(&paused, &["approve"])).await.expect(200);
        let left = &one["choices"][0]["message"]["tool_calls"];
        assert_eq!(left, &json!([calls[1]]), "the rest is shown again");
        let mut both_answers = answered(&paused, &["approve", "42 kWh"]);
        let word = json!({"role": "user", "content": "Hurry."});
        both_answers["messages"].as_array_mut().unwrap().push(word.clone());
        let done = client.post(PATH, &both_answers).await.expect(200);
        assert_eq!(text(&done), "Done.");
        assert_eq!(receiver.received().len(), 1);
        let given = given(&upstream);
        let given = given.as_array().unwrap();
        assert_eq!(given[given.len() - 2]["content"], "42 kWh");
        assert_eq!(given.last(), Some(&word));
    })
    .await;
}

#[tokio::test]
async fn a_smith_may_answer_for_itself_only_with_the_permission() {
    both(async |server| {
        let Shop { receiver, upstream: _upstream, smith, client } = shop(&server, refunding()).await;
        let paused = client.post(PATH, &says("Refund order 12")).await.expect(200);
        let approve = answered(&paused, &["approve"]);
        let runs_only = server.smith_client(&smith, &["runs:write"]).await;
        runs_only.post(PATH, &approve).await.expect_error(403, "insufficient_scope");
        let other = server.smith(json!({})).await;
        let stranger = server.smith_client(&other, &["runs:write", "approvals:write"]).await;
        stranger.post(PATH, &approve).await.expect_error(404, "not_found");
        assert!(receiver.received().is_empty());
        let own = server.smith_client(&smith, &["runs:write", "approvals:write"]).await;
        own.post(PATH, &approve).await.expect(200);
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_decision_that_is_repeated_is_never_taken_for_the_result_of_its_call() {
    both(async |server| {
        let first = Reply::tool_call("c1", "pay_out", json!({"amount": 12}));
        let Shop { upstream, client, .. } = shop(&server, first).await;
        let paused = client.post(PATH, &says("Pay out 12")).await.expect(200);
        let approved = client.post(PATH, &answered(&paused, &["approve"])).await.expect(200);
        let call = &approved["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(call["id"], paused["choices"][0]["message"]["tool_calls"][0]["id"]);
        // Its answer was lost, and it comes again.
        for again in ["approve", r#"{"decision": "approve"}"#] {
            let again = client.post(PATH, &answered(&paused, &[again])).await.expect(200);
            assert_eq!(again["choices"], approved["choices"]);
        }
        let opposite = client.post(PATH, &answered(&paused, &["reject"])).await;
        opposite.expect_error(409, "run_not_paused");
        assert_eq!(upstream.requests().len(), 1, "nobody has paid anything out yet");
        let done = client.post(PATH, &answered(&approved, &["paid"])).await.expect(200);
        assert_eq!(text(&done), "Done.");
        assert_eq!(given(&upstream).as_array().unwrap().last().unwrap()["content"], "paid");
    })
    .await;
}
