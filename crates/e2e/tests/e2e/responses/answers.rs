//! Calls that a response hands over, what it waits for, and the answers to both.

use e2e::{Server, Smith, both};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::receiver::Receiver;
use testkit::upstream::{Reply, Upstream};

use super::{PATH, acting, given, shown, text};

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

fn response_to(request: &Value, approve: bool) -> Value {
    json!({"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve})
}

fn types(response: &Value) -> Vec<&str> {
    response["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_call_that_waits_for_consent_is_an_approval_request() {
    both(async |server| {
        let Shop { receiver, upstream: _upstream, smith, client } = shop(&server, refunding()).await;
        let paused = client.post(PATH, &json!({"input": "Refund order 12"})).await.expect(200);
        assert_eq!(types(&paused), ["message", "mcp_approval_request"]);
        assert_json_snapshot!("a_paused_response", shown(&paused)["output"]);
        let request = &paused["output"][1];
        // In the form of clients that name the items of before instead of repeating them.
        let approve = json!({"input": [
            {"role": "user", "content": "Refund order 12"},
            {"type": "item_reference", "id": paused["output"][0]["id"]},
            {"type": "item_reference", "id": request["id"]},
            response_to(request, true),
        ]});
        let runs_only = server.smith_client(&smith, &["runs:write"]).await;
        let without = json!({"input": [response_to(request, true)]});
        runs_only.post(PATH, &without).await.expect_error(403, "insufficient_scope");
        assert!(receiver.received().is_empty());
        let done = client.post(PATH, &approve).await.expect(200);
        assert_eq!(done["id"], paused["id"]);
        assert_json_snapshot!("a_response_that_went_on", shown(&done)["output"]);
        assert_eq!(receiver.received().len(), 1);
        let whole = client.get(&format!("{PATH}/{}", done["id"].as_str().unwrap())).await.expect(200);
        assert_eq!(types(&whole), ["message", "mcp_approval_request", "mcp_call", "message"]);

        // A repetition gets the same answer; the opposite is too late, and not worth trying again.
        assert_eq!(client.post(PATH, &approve).await.expect(200)["output"], done["output"]);
        let late = client.post(PATH, &json!({"input": [response_to(request, false)]})).await;
        late.expect_error(409, "run_not_paused");
        assert_eq!(late.header("x-should-retry"), "false");
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_external_call_is_a_function_call_of_the_run() {
    both(async |server| {
        let both_calls = refunding().and_tool_call("c2", "read_meter", json!({"amount": 7}));
        let Shop { receiver, upstream, client, .. } = shop(&server, both_calls).await;
        let paused = client.post(PATH, &json!({"input": "Refund order 12"})).await.expect(200);
        assert_eq!(types(&paused), ["message", "mcp_approval_request", "function_call"]);
        let (request, call) = (&paused["output"][1], &paused["output"][2]);
        assert_eq!(call["call_id"], format!("{}::c2", paused["id"].as_str().unwrap()));
        let one = client.post(PATH, &json!({"input": [response_to(request, true)]})).await.expect(200);
        assert!(one["output"].as_array().unwrap().contains(call), "the rest is shown again");
        let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "42 kWh"});
        let done = client.post(PATH, &json!({"input": [call, output]})).await.expect(200);
        assert_eq!((text(&done), &done["id"]), (&json!("Done."), &paused["id"]));
        assert_eq!(receiver.received().len(), 1);
        assert_eq!(given(&upstream).as_array().unwrap().last().unwrap()["content"], "42 kWh");
    })
    .await;
}

#[tokio::test]
async fn a_call_that_was_agreed_to_and_waits_for_its_result_is_asked_for_once() {
    both(async |server| {
        let first = Reply::tool_call("c1", "pay_out", json!({"amount": 12}));
        let Shop { upstream, client, .. } = shop(&server, first).await;
        let paused = client.post(PATH, &json!({"input": "Pay out 12"})).await.expect(200);
        assert_eq!(types(&paused), ["mcp_approval_request"]);
        let decide = |approve: bool| json!({"input": [response_to(&paused["output"][0], approve)]});
        let approved = client.post(PATH, &decide(true)).await.expect(200);
        assert_eq!(types(&approved), ["function_call"], "what was agreed to is not asked again");
        let again = client.post(PATH, &decide(true)).await.expect(200);
        assert_eq!(again["output"], approved["output"]);
        client.post(PATH, &decide(false)).await.expect_error(409, "run_not_paused");
        assert_eq!(upstream.requests().len(), 1);
        let call = &approved["output"][0];
        let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "paid"});
        let done = client.post(PATH, &json!({"input": [call, output]})).await.expect(200);
        assert_eq!((text(&done), &done["id"]), (&json!("Done."), &paused["id"]));
    })
    .await;
}

#[tokio::test]
async fn functions_of_the_request_go_back_to_the_caller() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::tool_call("c1", "weather", json!({"city": "Bern"})));
        upstream.answer_otherwise(Reply::text("Rain."));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith);
        let tools = json!([{"type": "function", "name": "weather", "parameters": null, "strict": null}]);
        let asked = json!({"input": "Weather?", "tools": tools});
        let response = client.post(PATH, &asked).await.expect(200);
        assert_json_snapshot!("a_response_with_a_call", shown(&response));
        let output = json!({"type": "function_call_output", "call_id": "c1", "output": "rain"});
        // On the thread only what is new; without one the whole.
        let on = json!({"input": [output], "tools": tools, "previous_response_id": response["id"]});
        let whole = json!({"input": [
            {"role": "user", "content": "Weather?"},
            {"type": "item_reference", "id": response["output"][0]["id"]},
            output,
        ], "tools": tools});
        let mut shown_to_model = Vec::new();
        for body in [on, whole] {
            assert_eq!(text(&client.post(PATH, &body).await.expect(200)), "Rain.");
            shown_to_model.push(given(&upstream));
        }
        assert_eq!(shown_to_model[0].as_array().unwrap().len(), 3);
        assert_eq!(shown_to_model[0], shown_to_model[1]);
    })
    .await;
}
