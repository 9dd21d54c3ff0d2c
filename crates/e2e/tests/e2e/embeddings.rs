//! Embeddings: on the project's key for OpenAI or the server's own.

use e2e::{Engine, Server, Setup, both};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::upstream::{Reply, Upstream};

const PATH: &str = "/v1/embeddings";

async fn with_key(server: &Server) -> Upstream {
    let upstream = Upstream::start().await;
    upstream.answer_otherwise(Reply::text(""));
    let key = json!({"api_key": "sk-test-canary", "base_url": upstream.openai_url()});
    server.admin().put("/v1/tenant/model_keys/openai", &key).await.expect(200);
    upstream
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_input_and_in_the_form_that_was_asked_for() {
    both(async |server| {
        let upstream = with_key(&server).await;
        let body = json!({"input": ["one", "three", "seventeen"]});
        let answer = server.admin().post(PATH, &body).await.expect(200);
        assert_json_snapshot!("embeddings", answer);
        let received = upstream.last_request();
        assert_eq!(received.body["model"], "text-embedding-3-small", "unless another is named");
        assert_eq!(received.header("authorization"), "Bearer sk-test-canary");

        let body = json!({
            "input": "one",
            "model": "openai.text-embedding-3-large",
            "dimensions": 2,
            "encoding_format": "base64",
        });
        // What the contract adds for OpenAI's clients is not in its schema, so the answer is read past its checks.
        let request = testkit::http::plain().post(format!("{}{PATH}", server.base_url()));
        let request = request.bearer_auth(server.admin_token()).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(upstream.last_request().body["model"], "text-embedding-3-large");
        assert_eq!(upstream.last_request().body["dimensions"], 2);
        // 3.0 and 0.125, as little-endian numbers of 32 bits.
        assert_eq!(answer["data"][0]["embedding"], "AABAQAAAAD4=");

        // Cut into tokens already: one input, or several.
        for (input, count) in [(json!([1, 2, 3]), 1), (json!([[1, 2], [3]]), 2)] {
            let answer = server.admin().post(PATH, &json!({"input": input})).await.expect(200);
            assert_eq!(answer["data"].as_array().unwrap().len(), count);
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_before_a_provider_is_asked() {
    both(async |server| {
        let refused = async |body: Value| {
            let answer = server.admin().post(PATH, &body).await.expect(422);
            (answer["error"]["code"].as_str().unwrap().to_owned(), answer["error"]["param"].clone())
        };
        let no_key = refused(json!({"input": "one"})).await;
        assert_eq!(no_key.0, "embedding_unavailable");
        let upstream = with_key(&server).await;
        let many: Vec<String> = (0..2_049).map(|number| number.to_string()).collect();
        assert_eq!(refused(json!({"input": many})).await, ("too_many_inputs".to_owned(), json!("input")));
        server.admin().post(PATH, &json!({"input": many[1..]})).await.expect(200);
        let asked = upstream.requests().len();
        for (body, param) in [
            (json!({}), "input"),
            (json!({"input": []}), "input"),
            (json!({"input": ["a", 7]}), "input[1]"),
            (json!({"input": "a", "dimensions": 0}), "dimensions"),
            (json!({"input": "a", "encoding_format": "hex"}), "encoding_format"),
        ] {
            assert_eq!(refused(body).await.1, param);
        }
        assert_eq!(upstream.requests().len(), asked);
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_refuses_or_is_down_is_told_apart() {
    both(async |server| {
        let upstream = with_key(&server).await;
        upstream.answer(Reply::status(400));
        let refused = server.admin().post(PATH, &json!({"input": "one"})).await.expect(422);
        assert_eq!(refused["error"]["code"], "model_request_failed");
        assert!(!refused.to_string().contains("canary"), "{refused}");
    })
    .await;
    let setup = Setup::on(Engine::Sqlite).with_variable("INGRAM_MODELS_ATTEMPTS", "1");
    let server = setup.start().await;
    let upstream = with_key(&server).await;
    upstream.answer(Reply::status(503));
    server.admin().post(PATH, &json!({"input": "one"})).await.expect(502);
}

#[tokio::test]
async fn a_failure_leaves_its_key_free_and_vectors_are_paid_for_once() {
    both(async |server| {
        let upstream = with_key(&server).await;
        let client = server.admin().with_header("idempotency-key", "k");
        let body = json!({"input": "one"});
        upstream.answer(Reply::status(400));
        client.post(PATH, &body).await.expect_error(422, "model_request_failed");
        let first = client.post(PATH, &body).await.expect(200);
        let asked = upstream.requests().len();
        let again = client.post(PATH, &body).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!((again.expect(200), upstream.requests().len()), (first, asked));
    })
    .await;
}
