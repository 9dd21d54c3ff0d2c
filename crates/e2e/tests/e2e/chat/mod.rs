//! Chat completions: OpenAI's older form, as a view of runs.

mod answers;
mod functions;
mod streams;

use e2e::{Server, Smith, both};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::upstream::{Reply, Stop, Upstream};

use crate::support::redacted;

const PATH: &str = "/v1/chat/completions";

/// A client that acts as a smith.
fn acting(server: &Server, smith: &Smith) -> Client {
    server.admin().with_header("ic-smith-id", &smith.id)
}

fn says(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

/// A completion without what differs from one to the next.
fn shown(completion: &Value) -> Value {
    let mut shown = redacted(completion);
    assert!(shown["created"].as_i64().is_some_and(|created| created > 1_700_000_000), "{completion}");
    shown["created"] = "[seconds]".into();
    shown
}

/// The messages of the last request to the provider.
fn given(upstream: &Upstream) -> Value {
    upstream.last_request().body["messages"].clone()
}

#[tokio::test]
async fn a_chat_is_a_run_that_can_be_read_as_one() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        server.admin().patch(&smith.path(""), &json!({"instructions": "You are Ada."})).await.expect(200);
        let body = json!({
            "model": "",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Yes?"},
                {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
            ],
            "temperature": 0.5,
            "max_completion_tokens": 50,
            "metadata": {"order": "7"},
            "unheard_of": true,
        });
        let answer = acting(&server, &smith).post(PATH, &body).await;
        let run = answer.header("ic-run-id").to_owned();
        let completion = answer.expect(200);
        assert_eq!(completion["id"], run.as_str());
        assert_json_snapshot!("a_completion", shown(&completion));
        let asked = upstream.last_request().body;
        assert_eq!((&asked["temperature"], &asked["max_tokens"]), (&json!(0.5), &json!(50)));
        assert_eq!(
            given(&upstream),
            json!([
                {"role": "system", "content": "You are Ada.\n\nBe brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Yes?"},
                {"role": "user", "content": "Hello"},
            ])
        );
        let record = server.admin().get(&smith.path(&format!("/runs/{run}"))).await.expect(200);
        assert_eq!(record["input"], json!([{"role": "user", "content": "Hello"}]));
        assert_eq!((&record["channel"], &record["metadata"]), (&json!("openai"), &json!({"order": "7"})));
    })
    .await;
}

#[tokio::test]
async fn a_thread_is_remembered_and_a_chat_without_one_is_not() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith);
        client.post(PATH, &says("One")).await.expect(200);
        client.post(PATH, &says("Two")).await.expect(200);
        assert_eq!(given(&upstream), json!([{"role": "user", "content": "Two"}]));
        let thread = client.with_header("ic-thread-id", "Gr%C3%BC%C3%9Fe");
        assert_eq!(thread.post(PATH, &says("Three")).await.header("ic-thread-id"), "Gr%C3%BC%C3%9Fe");
        thread.post(PATH, &says("Four")).await.expect(200);
        assert_eq!(given(&upstream).as_array().unwrap().len(), 3, "with what was said before");
        let native = json!({"input": [{"role": "user", "content": "Five"}], "thread_id": "Grüße"});
        smith.run(&native).await;
        assert_eq!(given(&upstream).as_array().unwrap().len(), 5, "one thread on both surfaces");
        let wrong = client.with_header("ic-thread-id", "%zz").post(PATH, &says("Six")).await;
        wrong.expect_error_about(422, "invalid_input", "IC-Thread-Id");
        // What looks like a conversation is one of the smith, or nothing.
        let other = acting(&server, &server.smith(json!({})).await);
        let foreign = other.post("/v1/conversations", &json!({})).await.expect(200);
        for id in ["cnv_1111111111111111111111", foreign["id"].as_str().unwrap()] {
            let unknown = client.with_header("ic-thread-id", id).post(PATH, &says("Seven")).await;
            unknown.expect_error_about(404, "conversation_not_found", "IC-Thread-Id");
        }
    })
    .await;
}

#[tokio::test]
async fn a_user_is_a_smith_that_is_made_when_it_first_speaks() {
    both(async |server| {
        let mut body = says("Hi");
        server.admin().post(PATH, &body).await.expect_error(422, "smith_required");
        body["user"] = "ada".into();
        server.admin().post(PATH, &body).await.expect(200);
        server.admin().post(PATH, &body).await.expect(200);
        let found = server.admin().get("/v1/smiths?external_id=ada").await.expect(200);
        assert_eq!(found["data"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_answer_has_the_form_that_was_asked_for() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text(r#"{"city":"Bern"}"#));
        let smith = server.smith_on(&upstream).await;
        let mut body = says("Where?");
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        body["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": true}});
        let completion = acting(&server, &smith).post(PATH, &body).await.expect(200);
        assert_eq!(completion["choices"][0]["message"]["content"], r#"{"city":"Bern"}"#);
        let threaded = acting(&server, &smith).with_header("ic-thread-id", "t");
        threaded.post(PATH, &body).await.expect_error(400, "invalid_response_format");
    })
    .await;
}

#[tokio::test]
async fn why_an_answer_ended_is_told_in_openais_words() {
    both(async |server| {
        let upstream = Upstream::start().await;
        let smith = server.smith_on(&upstream).await;
        for (stop, word) in [(Stop::MaxTokens, "length"), (Stop::ContentFilter, "content_filter")] {
            upstream.answer(Reply::text("So").with_stop(stop));
            let completion = acting(&server, &smith).post(PATH, &says("Go on")).await.expect(200);
            assert_eq!(completion["choices"][0]["finish_reason"], word);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_chat_cannot_ask_for_is_refused_before_anything_is_done() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let client = acting(&server, &smith);
        let refused = async |more: Value, code: &str, param: &str| {
            let mut body = says("Hi");
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client.post(PATH, &body).await.expect_error_about(422, code, param);
        };
        refused(json!({"n": 2}), "invalid_input", "n").await;
        refused(json!({"functions": [{"name": "f"}]}), "invalid_input", "functions").await;
        refused(json!({"modalities": ["text", "audio"]}), "invalid_input", "modalities").await;
        refused(json!({"reasoning_effort": "most"}), "invalid_reasoning_effort", "reasoning_effort").await;
        refused(json!({"messages": []}), "invalid_input", "messages").await;
        refused(json!({"tools": [{"type": "mcp"}]}), "unsupported_tools", "tools[0].type").await;
        refused(json!({"tool_choice": "always"}), "invalid_tool_choice", "tool_choice").await;
        refused(json!({"tool_choice": "required"}), "invalid_tool_choice", "tool_choice").await;
        let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,???"}}]);
        refused(json!({"messages": [{"role": "user", "content": image}]}), "invalid_input", "messages").await;
        let runs = server.admin().get(&smith.path("/runs")).await.expect(200);
        assert_eq!(runs["data"], json!([]));
        let unknown = json!({"model": "nobody/nothing", "messages": [{"role": "user", "content": "Hi"}]});
        assert_eq!(client.post(PATH, &unknown).await.status, 422);
    })
    .await;
}

#[tokio::test]
async fn a_chat_that_fails_is_an_error_that_is_not_tried_again() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::status(400));
        let smith = server.smith_on(&upstream).await;
        let keyed = acting(&server, &smith).with_header("idempotency-key", "k");
        let answer = keyed.post(PATH, &says("Hi")).await;
        answer.expect_error(422, "model_request_failed");
        assert_eq!(answer.header("x-should-retry"), "false");
        let runs = server.admin().get(&smith.path("/runs")).await.expect(200);
        assert_eq!(answer.header("ic-run-id"), runs["data"][0]["id"], "there is a run to look at");
        let again = keyed.post(PATH, &says("Hi")).await;
        again.expect_error(422, "model_request_failed");
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.header("ic-run-id"), answer.header("ic-run-id"));
        let mut upstream = upstream;
        upstream.stop().await;
        let answer = acting(&server, &smith).post(PATH, &says("Hi")).await;
        answer.expect_error(502, "model_request_failed");
        assert_eq!(answer.header("x-should-retry"), "false");
    })
    .await;
}

#[tokio::test]
async fn a_repeated_chat_gets_the_answer_of_its_run() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text("Once."));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith).with_header("idempotency-key", "k");
        let first = client.post(PATH, &says("Hi")).await.expect(200);
        let again = client.post(PATH, &says("Hi")).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.expect(200), first);
        assert_eq!(upstream.requests().len(), 1);
    })
    .await;
}
