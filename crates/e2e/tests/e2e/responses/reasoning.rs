//! What a model lets be seen of its thinking: beside the answer on every surface that has a place for it, and never in it.

use e2e::{Engine, Setup, both};
use serde_json::{Value, json};
use testkit::upstream::{Reply, Upstream};

use super::streams::events;
use super::{PATH, acting};

const SCRIPT: &str = r#"
[[rule]]
reasoning = "The sun is high."
say = "It is noon."
"#;

#[tokio::test]
async fn what_a_model_thinks_is_told_beside_its_answer() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_script("sun", SCRIPT).start().await;
        let smith = server.smith(json!({"model": "scripted/sun"})).await;
        let run = smith.run(&json!({"input": "What time is it?"})).await;
        assert_eq!(run["output"]["content"], "It is noon.");
        let run = run["id"].as_str().unwrap();
        let path = smith.path(&format!("/runs/{run}/events"));
        let frames = server.admin().follow(&path, None).await.collect_until_end().await;
        let joined = |event: &str| -> String {
            frames.iter().filter(|frame| frame.event == event).map(|frame| frame.text("delta")).collect()
        };
        assert_eq!(joined("reasoning.delta"), "The sun is high.");
        assert_eq!(joined("message.delta"), "It is noon.");
        assert_eq!(frames[1].event, "reasoning.delta");

        let client = acting(&server, &smith);
        let response = client.get(&format!("{PATH}/{run}")).await.expect(200);
        let output = response["output"].as_array().unwrap();
        assert_eq!(output.iter().map(|item| &item["type"]).collect::<Vec<_>>(), ["reasoning", "message"]);
        assert_eq!(output[0]["summary"][0]["text"], "The sun is high.");
        let told = events(&client.get(&format!("{PATH}/{run}?stream=true")).await);
        let thought = told.iter().find(|(_, event)| event["type"] == "response.reasoning_summary_text.done");
        assert_eq!(thought.unwrap().1["text"], "The sun is high.");

        // Clients send it back, as it is or by its id. The model is told what was said, and not what it thought.
        let mut input = output.clone();
        input.push(json!({"type": "item_reference", "id": output[0]["id"]}));
        input.push(json!({"role": "user", "content": "And now?"}));
        client.post(PATH, &json!({"input": input})).await.expect(200);

        for stream in [true, false] {
            let body =
                json!({"messages": [{"role": "user", "content": "What time is it?"}], "stream": stream});
            let chat = client.post("/v1/chat/completions", &body).await;
            let text = String::from_utf8(chat.body.to_vec()).unwrap();
            assert!(text.contains("noon") && !text.contains("sun is"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_summary_is_asked_of_the_provider_where_the_request_wants_one() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Noon."));
        let key = json!({"api_key": "sk-test", "base_url": upstream.openai_url()});
        server.admin().put("/v1/tenant/model_keys/openai", &key).await.expect(200);
        let smith = server.smith(json!({"model": "openai/gpt-5"})).await;
        let client = acting(&server, &smith);
        let asked = async |reasoning: Value| {
            client.post(PATH, &json!({"input": "Hi", "reasoning": reasoning})).await.expect(200);
            upstream.last_request().body["reasoning"].clone()
        };
        let both = json!({"effort": "low", "summary": "concise"});
        assert_eq!(asked(both.clone()).await, both);
        assert_eq!(asked(json!({"summary": "unheard of"})).await, Value::Null);
    })
    .await;
}
