use http::Method;
use serde_json::{Value, json};
use testkit::upstream::{Reply, Upstream};

use super::*;
use crate::Options;
use crate::testing::{Reply as Answer, TestApp, both_with};

struct Embedding {
    server: TestApp,
    upstream: Upstream,
    admin: String,
}

/// Runs a test body with an application that takes small inputs, and a provider.
async fn both(body: impl AsyncFn(Embedding)) {
    let options = Options { max_embedding_bytes: 100, ..Options::default() };
    both_with(options, crate::router, async |server| {
        let admin = server.admin_token().await;
        let upstream = Upstream::start().await;
        body(Embedding { server, upstream, admin }).await;
    })
    .await;
}

impl Embedding {
    async fn set_key(&self) {
        let key = json!({"api_key": "sk-project", "base_url": self.upstream.openai_url()});
        let put = self.server.call(&self.admin, Method::PUT, "/v1/tenant/model_keys/openai", key).await;
        assert_eq!(put.status, 200, "{put:?}");
    }

    async fn create(&self, body: Value) -> Answer {
        self.server.call(&self.admin, Method::POST, "/v1/embeddings", body).await
    }
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_input() {
    both(async |embedding| {
        embedding.set_key().await;
        let answer = embedding.create(json!({"input": ["one", "three"], "dimensions": 2})).await;
        let expected = json!({"object": "list", "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 12, "total_tokens": 12},
            "data": [{"object": "embedding", "index": 0, "embedding": [3.0, 0.125]},
                {"object": "embedding", "index": 1, "embedding": [5.0, 0.125]}]});
        assert_eq!((answer.status.as_u16(), answer.body), (200, expected));
        embedding.create(json!({"input": "one", "encoding_format": "float"})).await;
        let seen = embedding.upstream.last_request();
        assert_eq!(seen.header("authorization"), "Bearer sk-project");
        assert_eq!(seen.body["input"], json!(["one"]));
        embedding.create(json!({"input": [1, 2, 3]})).await;
        assert_eq!(embedding.upstream.last_request().body["input"], json!([[1, 2, 3]]));
    })
    .await;
}

/// The contract's schema knows vectors as numbers only, so that this form is looked at before it is an answer.
#[test]
fn vectors_come_in_base64_where_that_is_asked_for() {
    let body = json!({"encoding_format": "base64"});
    let encoding = encoding(&Fields::of_body(body.as_object().unwrap())).unwrap();
    let made = Embeddings {
        vectors: vec![vec![3.0, 0.125]],
        model: "m".to_owned(),
        prompt_tokens: 1,
        total_tokens: 1,
    };
    let shown = serde_json::to_value(shown(made, encoding)).unwrap();
    assert_eq!(shown["data"], json!([{"object": "embedding", "index": 0, "embedding": "AABAQAAAAD4="}]));
}

#[tokio::test]
async fn a_model_may_come_under_its_bare_name() {
    both(async |embedding| {
        embedding.set_key().await;
        for (given, asked) in [
            (json!(null), "text-embedding-3-small"),
            (json!(""), "text-embedding-3-small"),
            (json!("openai.text-embedding-3-small"), "text-embedding-3-small"),
            (json!("text-embedding-3-large"), "text-embedding-3-large"),
            (json!("openai.text-embedding-3-large"), "text-embedding-3-large"),
            (json!("openai/own/model"), "own/model"),
        ] {
            let answer = embedding.create(json!({"input": "a", "model": given})).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(embedding.upstream.last_request().body["model"], asked);
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_key_there_are_no_embeddings() {
    both(async |embedding| {
        let answer = embedding.create(json!({"input": "a"})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "embedding_unavailable"));
        // What is wrong with the request is told all the same.
        let answer = embedding.create(json!({"input": vec!["a"; 2_049]})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "too_many_inputs"));
        let answer = embedding.create(json!({"input": "x".repeat(101)})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid_input"));
        for wrong in
            [json!({"encoding_format": "hex"}), json!({"dimensions": 0}), json!({"model": "m".repeat(256)})]
        {
            let mut body = json!({"input": "a"});
            body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
            let answer = embedding.create(body).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid_input"), "{wrong}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_refuses_and_one_that_is_down_are_told_apart() {
    both(async |embedding| {
        embedding.set_key().await;
        for (status, expected) in [(400, 422), (401, 422), (404, 422), (500, 502)] {
            embedding.upstream.answer_otherwise(Reply::status(status));
            let answer = embedding.create(json!({"input": "a"})).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (expected, "model_request_failed"),
                "{status}"
            );
            assert!(!answer.text.contains("sk-project"));
            assert_eq!(answer.header("retry-after"), "");
        }
    })
    .await;
}
