//! Functions that a client brings along and carries out.

use e2e::both;
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::upstream::{Reply, Upstream};

use super::{PATH, acting, given, says, shown};

fn weather() -> Value {
    json!([{"type": "function", "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }}])
}

fn with_weather(mut body: Value) -> Value {
    body["tools"] = weather();
    body
}

#[tokio::test]
async fn calls_go_back_to_the_caller_who_brings_their_results_with_the_whole_chat() {
    both(async |server| {
        let upstream = Upstream::start().await;
        let calls = Reply::tool_call("c1", "weather", json!({"city": "Bern"}));
        upstream.answer(calls.and_tool_call("c2", "weather", json!({"city": "Rome"})));
        upstream.answer(Reply::text("Bern: rain. Rome: sun."));
        let smith = server.smith_on(&upstream).await;
        let hosted = json!({"enabled_hosted_tools": ["calculator"]});
        server.admin().patch(&smith.path(""), &hosted).await.expect(200);
        let client = acting(&server, &smith);
        let completion = client.post(PATH, &with_weather(says("Weather?"))).await.expect(200);
        assert_json_snapshot!("a_completion_with_calls", shown(&completion));
        let offered = upstream.last_request().body["tools"].clone();
        assert_eq!(offered.as_array().unwrap().len(), 1, "the smith's own tools sit out: {offered}");
        let run = completion["id"].as_str().unwrap();
        let record = server.admin().get(&smith.path(&format!("/runs/{run}"))).await.expect(200);
        assert_eq!((&record["status"], &record["stop_reason"]), (&json!("completed"), &json!("tool_calls")));
        let message = completion["choices"][0]["message"].clone();
        assert_eq!(record["output"]["tool_calls"], message["tool_calls"]);
        let replay = server.admin().post(&smith.path(&format!("/runs/{run}/replay")), &json!({})).await;
        replay.expect_error(422, "replay_unsupported");

        let chat = json!({"messages": [
            {"role": "user", "content": "Weather?"},
            message,
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "tool", "tool_call_id": "c2", "content": "sun"},
        ]});
        let completion = client.post(PATH, &with_weather(chat)).await.expect(200);
        assert_eq!(completion["choices"][0]["message"]["content"], "Bern: rain. Rome: sun.");
        assert_eq!(completion["choices"][0]["finish_reason"], "stop");
        let given = given(&upstream);
        let roles: Vec<_> = given.as_array().unwrap().iter().map(|message| &message["role"]).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool"]);
        assert_eq!(given[2]["content"], "rain");
    })
    .await;
}

#[tokio::test]
async fn on_a_thread_the_results_alone_are_enough() {
    both(async |server| {
        let upstream = Upstream::start().await;
        let calls = Reply::tool_call("c1", "weather", json!({"city": "Bern"}));
        upstream.answer(calls.and_tool_call("c2", "weather", json!({"city": "Rome"})));
        upstream.answer_otherwise(Reply::text("Rain."));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith).with_header("ic-thread-id", "t");
        client.post(PATH, &with_weather(says("Weather?"))).await.expect(200);
        let result = json!({"messages": [{"role": "tool", "tool_call_id": "c1", "content": "rain"}]});
        client.post(PATH, &with_weather(result)).await.expect(200);
        let given = given(&upstream);
        assert_eq!(given[2], json!({"role": "tool", "tool_call_id": "c1", "content": "rain"}));
        assert_eq!(given[3]["tool_call_id"], "c2", "a call that nobody answered has an answer: {given}");
        assert_eq!(given.as_array().unwrap().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_has_to_be_made_is_asked_for_once_more() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text("I would rather not."));
        upstream.answer(Reply::tool_call("c1", "weather", json!({})));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith);
        let mut body = with_weather(says("Weather?"));
        body["tool_choice"] = json!({"type": "function", "function": {"name": "weather"}});
        let completion = client.post(PATH, &body).await.expect(200);
        let message = &completion["choices"][0]["message"];
        assert_eq!((&message["content"], &message["tool_calls"][0]["id"]), (&Value::Null, &json!("c1")));
        upstream.answer_otherwise(Reply::text("No."));
        body["tool_choice"] = "required".into();
        client.post(PATH, &body).await.expect_error(422, "run_failed");
        body["tool_choice"] = json!({"type": "function", "function": {"name": "other"}});
        client.post(PATH, &body).await.expect_error_about(422, "invalid_tool_choice", "tool_choice");
        body["tool_choice"] = "none".into();
        client.post(PATH, &body).await.expect(200);
        assert_eq!(upstream.last_request().body["tool_choice"], "none");
    })
    .await;
}
