//! Embeddings.

use std::time::Duration;

use domain::models::Provider;
use models::{
    Credentials, EmbeddingInput, EmbeddingRequest, Embeddings, Failure, FailureKind, Options, Origin,
};
use serde_json::json as value;

use crate::upstream::{Reply, Step, Upstream, json, status};
use crate::{KEY, credentials, models, quick};

fn request() -> EmbeddingRequest {
    let input = EmbeddingInput::Texts(vec!["one".into(), "two".into()]);
    EmbeddingRequest { model: "text-embedding-3-small".into(), input, dimensions: Some(2) }
}

fn answer() -> Reply {
    let data = value!([{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]);
    json(200, &value!({"data": data, "model": "m", "usage": {"prompt_tokens": 2, "total_tokens": 2}}))
}

async fn embed(options: Options, upstream: &Upstream) -> Result<Embeddings, Failure> {
    let outcome = models(options).embed(&credentials(Provider::Openai, &upstream.base), &request()).await;
    outcome.inspect_err(|failure| assert!(!failure.message.contains(KEY), "{failure}"))
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_input_after_another_try() {
    let upstream = Upstream::start(vec![status(503), answer()]).await;
    let made = embed(quick(), &upstream).await.unwrap();
    assert_eq!(made.vectors, [[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!((made.model.as_str(), made.prompt_tokens, made.total_tokens), ("m", 2, 2));
    assert_eq!(upstream.requests(), 2);
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/embeddings"));
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    let expected = value!({"model": "text-embedding-3-small", "input": ["one", "two"], "encoding_format": "base64",
        "dimensions": 2});
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    for (reply, kind, requests) in [
        (status(500), FailureKind::Unavailable, 3),
        (status(429), FailureKind::Unavailable, 3),
        (json(200, &value!({"data": []})), FailureKind::Unavailable, 3),
        (Reply::Status(200, vec![], "<html>".to_owned()), FailureKind::Unavailable, 3),
        (json(404, &value!({"error": {"message": "no such model"}})), FailureKind::Refused, 1),
        (json(401, &value!({"error": {"message": format!("no key {KEY}")}})), FailureKind::Refused, 1),
    ] {
        let upstream = Upstream::start(vec![reply]).await;
        let failure = embed(quick(), &upstream).await.unwrap_err();
        assert_eq!((failure.kind, upstream.requests()), (kind, requests), "{failure}");
    }
}

#[tokio::test]
async fn time_and_size_are_bounded() {
    let tiny = Duration::from_millis(40);
    let check = async |options: Options, reply: Reply| {
        let upstream = Upstream::start(vec![reply]).await;
        embed(Options { attempts: 1, ..options }, &upstream).await.unwrap_err().message
    };
    let late = "OpenAI did not answer in time. Try again later.";
    assert_eq!(check(Options { first_byte: tiny, ..quick() }, Reply::Hang).await, late);
    let stalls = || Reply::Stream(vec![Step::Send("{\"data\":".into()), Step::Stall]);
    assert_eq!(check(Options { idle: tiny, ..quick() }, stalls()).await, late);
    assert_eq!(check(Options { total: tiny, ..quick() }, stalls()).await, late);
    let flood = Reply::Stream(vec![Step::Flood("                ")]);
    let message = check(Options { max_answer_bytes: 10_000, ..quick() }, flood).await;
    assert_eq!(message, "OpenAI sent more than an answer may have. Try again later.");
}

#[tokio::test]
async fn a_tenants_address_passes_the_guard() {
    let upstream = Upstream::start(vec![answer()]).await;
    let of_tenant = Credentials { origin: Origin::Tenant, ..credentials(Provider::Openai, &upstream.base) };
    let failure = models(quick()).embed(&of_tenant, &request()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Forbidden);
    assert_eq!(upstream.requests(), 0);
}
