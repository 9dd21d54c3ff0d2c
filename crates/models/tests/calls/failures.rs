//! What goes wrong, and how it is told.

use domain::models::Provider;
use egress::{Egress, Policy};
use models::scripted::Scripts;
use models::{Credentials, FailureKind, Models, Origin};
use serde_json::json as value;

use crate::upstream::{Reply, Step, Upstream, json, status, stream};
use crate::{KEY, call, credentials, models, quick};

const FIRST: &str = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Half\"}\n\n";

#[tokio::test]
async fn what_may_pass_is_tried_as_often_as_allowed() {
    let check = async |answer: Reply, message: &str| {
        let upstream = Upstream::start(vec![answer]).await;
        let failure = call(&models(quick()), &credentials(Provider::Openai, &upstream.base)).await.failure();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Unavailable, message));
        assert_eq!(upstream.requests(), 3, "{message}");
    };
    check(status(500), "OpenAI failed (500) (3 attempts). Try again later.").await;
    check(status(503), "OpenAI failed (503) (3 attempts). Try again later.").await;
    check(status(529), "OpenAI is overloaded (529) (3 attempts). Try again later.").await;
    check(status(408), "OpenAI did not take the call now (408) (3 attempts). Try again later.").await;
    check(
        json(429, &value!({"error": {"message": format!("Too many requests with {KEY}")}})),
        "OpenAI is throttling this key (429) (3 attempts): \"Too many requests with [key]\". Try again later.",
    )
    .await;
    check(
        stream("<html>Welcome to the captive portal</html>"),
        "OpenAI ended the stream before the answer was complete (3 attempts). Try again later.",
    )
    .await;
    check(
        stream("data: <html>\n\n"),
        "OpenAI sent something that is not an answer in its own format (3 attempts). Try again later.",
    )
    .await;
    check(
        Reply::Stream(vec![Step::Break]),
        "OpenAI broke the connection before the answer was complete (3 attempts). Try again later.",
    )
    .await;
}

#[tokio::test]
async fn what_will_not_pass_is_tried_once() {
    let check = async |answer: Reply, message: &str| {
        let upstream = Upstream::start(vec![answer]).await;
        let failure =
            call(&models(quick()), &credentials(Provider::Anthropic, &upstream.base)).await.failure();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Refused, message));
        assert_eq!(upstream.requests(), 1, "{message}");
    };
    check(
        json(401, &value!({"error": {"message": format!("invalid key {KEY}")}})),
        "Anthropic refused the key (401). Set a valid key for this provider, one that may use this model.",
    )
    .await;
    check(
        json(400, &value!({"error": {"message": format!("max_tokens: too large, key {KEY}")}})),
        "Anthropic refused the call (400): \"max_tokens: too large, key [key]\". Check the model and the options of \
         the request.",
    )
    .await;
    check(
        json(404, &value!({"error": {"message": "model: some-model"}})),
        "Anthropic refused the call (404): \"model: some-model\". Check the model's name, and the address if one is \
         set for this provider.",
    )
    .await;
    check(
        Reply::Status(302, vec![("location", "http://169.254.169.254/".to_owned())], String::new()),
        "Anthropic answered with a redirect (302), which is not followed. Set the address that it leads to.",
    )
    .await;
}

#[tokio::test]
async fn after_the_first_event_nothing_is_repeated() {
    let check = async |then: Step, message: &str| {
        let upstream = Upstream::start(vec![Reply::Stream(vec![Step::Send(FIRST.into()), then])]).await;
        let outcome = call(&models(quick()), &credentials(Provider::Openai, &upstream.base)).await;
        assert_eq!(outcome.text(), "Half");
        let failure = outcome.failure();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Unavailable, message));
        assert_eq!(upstream.requests(), 1, "{message}");
    };
    check(Step::Break, "OpenAI broke the connection before the answer was complete. Try again later.").await;
    check(
        Step::Send(String::new()),
        "OpenAI ended the stream before the answer was complete. Try again later.",
    )
    .await;
    check(
        Step::Send("data: {\"type\":\n\n".into()),
        "OpenAI sent something that is not an answer in its own format. Try again later.",
    )
    .await;
    let failed = value!({"type": "response.failed", "response": {"error": {
        "code": "server_error", "message": format!("Lost {KEY}"),
    }}});
    check(
        Step::Send(format!("data: {failed}\n\n")),
        "OpenAI failed while answering: \"Lost [key]\". Try again later.",
    )
    .await;
}

#[tokio::test]
async fn an_address_without_a_server_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = call(&models(quick()), &credentials(Provider::OpenaiCompatible, &base)).await.failure();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(
        failure.message,
        "OpenAI-compatible refused the connection (3 attempts). Check the address and the network, or try again later."
    );
}

#[tokio::test]
async fn a_tenants_address_passes_the_guard() {
    let upstream = Upstream::start(vec![stream("data: [DONE]\n\n")]).await;
    let check = async |base: &str| {
        let credentials =
            Credentials { origin: Origin::Tenant, ..credentials(Provider::OpenaiCompatible, base) };
        let failure = call(&models(quick()), &credentials).await.failure();
        assert_eq!(failure.kind, FailureKind::Forbidden, "{}", failure.message);
        assert!(failure.message.contains("a loopback address"), "{}", failure.message);
    };
    check(&upstream.base).await;
    check(&upstream.base.replace("127.0.0.1", "localhost")).await;
    assert_eq!(upstream.requests(), 0);

    let egress = Egress::new().unwrap();
    let scripts = Scripts::bundled();
    let local =
        Models::new(quick(), &egress, Policy::LocalToo, scripts, std::sync::Arc::new(|| 0.0)).unwrap();
    let credentials =
        Credentials { origin: Origin::Tenant, ..credentials(Provider::OpenaiCompatible, &upstream.base) };
    assert!(call(&local, &credentials).await.is_finished());
}

#[tokio::test]
async fn credentials_that_cannot_be_sent_are_refused() {
    let models = models(quick());
    let mut credentials = credentials(Provider::OpenaiCompatible, "not an address");
    let failure = call(&models, &credentials).await.failure();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("Set a base_url"), "{}", failure.message);

    credentials.base_url = None;
    assert_eq!(call(&models, &credentials).await.failure().kind, FailureKind::Refused);

    credentials.base_url = Some("http://127.0.0.1:9".into());
    credentials.api_key = format!("{KEY}\n").into();
    let failure = call(&models, &credentials).await.failure();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("Set the key again"), "{}", failure.message);
}
