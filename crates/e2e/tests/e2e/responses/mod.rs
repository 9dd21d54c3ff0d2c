//! Responses: runs as OpenAI's Responses API shows them.

mod answers;
mod context;
mod reasoning;
mod servers;
mod streams;

use e2e::{Server, Smith, both};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::upstream::{Gate, Reply, Upstream};

use crate::support::redacted;

const PATH: &str = "/v1/responses";

/// A client that acts as a smith.
fn acting(server: &Server, smith: &Smith) -> Client {
    server.admin().with_header("ic-smith-id", &smith.id)
}

/// A response without what differs from one to the next.
fn shown(response: &Value) -> Value {
    let mut shown = redacted(response);
    for key in ["created_at", "completed_at"] {
        if shown[key].is_number() {
            shown[key] = "[seconds]".into();
        }
    }
    shown
}

/// The messages of the last request to the provider.
fn given(upstream: &Upstream) -> Value {
    upstream.last_request().body["messages"].clone()
}

fn text(response: &Value) -> &Value {
    let output = response["output"].as_array().unwrap();
    let message = output.iter().find(|item| item["type"] == "message");
    &message.unwrap_or_else(|| panic!("no message in {response}"))["content"][0]["text"]
}

#[tokio::test]
async fn a_response_is_a_run_that_can_be_read_on_both_surfaces() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        server.admin().patch(&smith.path(""), &json!({"instructions": "You are Ada."})).await.expect(200);
        let client = acting(&server, &smith);
        let body = json!({
            "model": "",
            "instructions": "Be brief.",
            "input": [
                {"role": "developer", "content": "No jokes."},
                {"role": "assistant", "content": "Yes?"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            ],
            "temperature": 0.5,
            "max_output_tokens": 50,
            "metadata": {"order": "7"},
            "tools": [],
            "include": [],
            "unheard_of": true,
        });
        let answer = client.post(PATH, &body).await;
        let run = answer.header("ic-run-id").to_owned();
        let response = answer.expect(200);
        assert_eq!(response["id"], run.as_str());
        assert_json_snapshot!("a_response", shown(&response));
        assert_eq!(
            given(&upstream),
            json!([
                {"role": "system", "content": "You are Ada.\n\nBe brief.\n\nNo jokes."},
                {"role": "assistant", "content": "Yes?"},
                {"role": "user", "content": "Hello"},
            ])
        );
        assert_eq!(client.get(&format!("{PATH}/{run}")).await.expect(200), response);
        let record = server.admin().get(&smith.path(&format!("/runs/{run}"))).await.expect(200);
        assert_eq!((&record["channel"], &record["metadata"]), (&json!("openai"), &json!({"order": "7"})));
        let native = smith.run(&json!({"input": [{"role": "user", "content": "Hi"}]})).await;
        let path = format!("{PATH}/{}", native["id"].as_str().unwrap());
        assert_eq!(client.get(&path).await.expect(200)["status"], "completed");
    })
    .await;
}

#[tokio::test]
async fn a_response_in_the_background_is_read_later_and_can_be_cancelled() {
    both(async |server| {
        let gate = Gate::hold();
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text_in("Hello you.", 2).through(&gate));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith);
        let begun = client.post(PATH, &json!({"input": "Hi", "background": true})).await.expect(200);
        assert_eq!((&begun["status"], &begun["background"]), (&json!("in_progress"), &json!(true)));
        gate.wait_for_arrivals(1).await;
        let path = format!("{PATH}/{}", begun["id"].as_str().unwrap());
        assert_eq!(client.get(&path).await.expect(200)["status"], "in_progress");
        let cancelled = client.post(&format!("{path}/cancel"), &json!({})).await.expect(200);
        assert_json_snapshot!("a_cancelled_response", shown(&cancelled));
        let again = client.post(&format!("{path}/cancel"), &json!({})).await.expect(200);
        assert_eq!(again, cancelled);
        assert_eq!(client.get(&path).await.expect(200), cancelled);
    })
    .await;
}

#[tokio::test]
async fn what_fails_is_an_error_and_no_empty_answer() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::status(400));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith).with_header("idempotency-key", "k");
        let failed = client.post(PATH, &json!({"input": "Hi"})).await;
        failed.expect_error(422, "model_request_failed");
        assert_eq!(failed.header("x-should-retry"), "false");
        let runs = server.admin().get(&smith.path("/runs")).await.expect(200);
        assert_eq!(failed.header("ic-run-id"), runs["data"][0]["id"]);
        let again = client.post(PATH, &json!({"input": "Hi"})).await;
        again.expect_error(422, "model_request_failed");
        assert_eq!(again.header("idempotency-replayed"), "true");
        let path = format!("{PATH}/{}", runs["data"][0]["id"].as_str().unwrap());
        let response = client.get(&path).await.expect(200);
        assert_eq!(
            (&response["status"], &response["error"]["code"]),
            (&json!("failed"), &json!("model_request_failed"))
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_request_cannot_ask_for_is_refused_by_name() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let client = acting(&server, &smith);
        let refused = async |body: Value, status: u16, code: &str, param: &str| {
            client.post(PATH, &body).await.expect_error_about(status, code, param);
        };
        let tool = json!([{"type": "file_search", "vector_store_ids": ["vs_1"]}]);
        refused(json!({"input": "Hi", "tools": tool}), 422, "unsupported_tools", "tools[0].type").await;
        let previous = json!({"input": "Hi", "previous_response_id": "run_x"});
        refused(previous, 404, "not_found", "previous_response_id").await;
        let both = json!({"input": "Hi", "previous_response_id": "run_x", "conversation": "cnv_x"});
        refused(both, 400, "invalid_request", "conversation").await;
        refused(
            json!({"input": "Hi", "conversation": "cnv_x"}),
            404,
            "conversation_not_found",
            "conversation",
        )
        .await;
        let effort = json!({"input": "Hi", "reasoning": {"effort": "most"}});
        refused(effort, 422, "invalid_reasoning_effort", "reasoning.effort").await;
        let reference = json!({"input": [{"type": "item_reference", "id": "msg_1"}]});
        refused(reference, 404, "not_found", "input[0].id").await;
        server.admin().post(PATH, &json!({"input": "Hi"})).await.expect_error(422, "smith_required");
    })
    .await;
}

#[tokio::test]
async fn an_answer_has_the_form_that_was_asked_for() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text(r#"{"city":"Bern"}"#));
        let smith = server.smith_on(&upstream).await;
        let schema =
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        let format = json!({"type": "json_schema", "name": "place", "schema": schema, "strict": true});
        let mut body = json!({"input": "Where?", "text": {"format": format}});
        let client = acting(&server, &smith);
        let response = client.post(PATH, &body).await.expect(200);
        assert_eq!(text(&response), r#"{"city":"Bern"}"#);
        assert_eq!(response["text"]["format"]["description"], Value::Null);
        body["previous_response_id"] = response["id"].clone();
        client.post(PATH, &body).await.expect_error_about(400, "invalid_response_format", "text.format");
    })
    .await;
}
