//! What goes well.

use domain::models::Provider;
use futures::StreamExt;
use models::{Event, Request};

use crate::upstream::{Reply, Step, Upstream, status, stream};
use crate::{KEY, call, credentials, models, quick, request};

#[tokio::test]
async fn every_provider_is_called_in_its_own_wire() {
    let check = async |provider, recorded: &str, path: &str, header: &str, key: &str, text: &str| {
        let upstream = Upstream::start(vec![stream(recorded)]).await;
        let outcome = call(&models(quick()), &credentials(provider, &upstream.base)).await;
        assert!(outcome.is_finished(), "{:?}", outcome.failure);
        assert_eq!(outcome.text(), text);
        let seen = upstream.last();
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", path));
        assert_eq!(seen.headers[header], key);
        assert_eq!(seen.headers["content-type"], "application/json");
        assert!(seen.body.is_object());
    };
    let bearer = format!("Bearer {KEY}");
    check(
        Provider::Openai,
        include_str!("../streams/openai_text.sse"),
        "/v1/responses",
        "authorization",
        &bearer,
        "Grüß dich 👋",
    )
    .await;
    check(
        Provider::OpenaiCompatible,
        include_str!("../streams/chat_text.sse"),
        "/v1/chat/completions",
        "authorization",
        &bearer,
        "Héllo",
    )
    .await;
    check(
        Provider::Anthropic,
        include_str!("../streams/anthropic_text.sse"),
        "/v1/messages",
        "x-api-key",
        KEY,
        "Grüß dich",
    )
    .await;
    check(
        Provider::Gemini,
        include_str!("../streams/gemini_text.sse"),
        "/v1/models/some-model:streamGenerateContent?alt=sse",
        "x-goog-api-key",
        KEY,
        "Grüß dich",
    )
    .await;
}

#[tokio::test]
async fn what_an_address_has_besides_its_path_is_kept() {
    let upstream = Upstream::start(vec![stream("data: [DONE]\n\n")]).await;
    let base = format!("{}?api-version=1", upstream.base);
    call(&models(quick()), &credentials(Provider::OpenaiCompatible, &base)).await;
    assert_eq!(upstream.last().path, "/v1/chat/completions?api-version=1");
}

#[tokio::test]
async fn a_call_that_was_throttled_succeeds_with_the_next_attempt() {
    let throttled = Reply::Status(429, vec![("retry-after", "0".to_owned())], "slow down".to_owned());
    let recorded = include_str!("../streams/anthropic_text.sse");
    let upstream = Upstream::start(vec![throttled, status(529), stream(recorded)]).await;
    let outcome = call(&models(quick()), &credentials(Provider::Anthropic, &upstream.base)).await;
    assert!(outcome.is_finished());
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_event_is_tried_again() {
    let broken = Reply::Stream(vec![Step::Send("event: message_start\n".into()), Step::Break]);
    let overloaded = stream(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
    );
    let recorded = include_str!("../streams/anthropic_text.sse");
    let upstream = Upstream::start(vec![broken, overloaded, stream(recorded)]).await;
    let outcome = call(&models(quick()), &credentials(Provider::Anthropic, &upstream.base)).await;
    assert!(outcome.is_finished(), "{:?}", outcome.failure);
    assert_eq!(outcome.text(), "Grüß dich");
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test]
async fn an_answer_is_complete_although_its_stream_does_not_end_well() {
    let said = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    let options = models::Options { idle: std::time::Duration::from_millis(30), ..quick() };
    for ending in [Step::Break, Step::Stall, Step::Send("data: [DONE]".into())] {
        let upstream = Upstream::start(vec![Reply::Stream(vec![Step::Send(said.into()), ending])]).await;
        let outcome =
            call(&models(options.clone()), &credentials(Provider::OpenaiCompatible, &upstream.base)).await;
        assert!(outcome.is_finished(), "{:?}", outcome.failure);
        assert_eq!((outcome.text().as_str(), upstream.requests()), ("x", 1));
    }
}

#[tokio::test]
async fn a_dropped_stream_closes_its_connection() {
    let said = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    let mut upstream =
        Upstream::start(vec![Reply::Stream(vec![Step::Send(said.into()), Step::Drip(": on\n")])]).await;
    let mut stream =
        models(quick()).call(&credentials(Provider::OpenaiCompatible, &upstream.base), request());
    assert_eq!(stream.next().await, Some(Ok(Event::Text("x".into()))));
    assert!(upstream.closed.try_recv().is_err());
    drop(stream);
    assert_eq!(upstream.closed.recv().await, Some(()));
}

#[tokio::test]
async fn a_scripted_model_is_called_without_a_network() {
    let request = Request { model: "demo".into(), ..request() };
    let stream = models(quick()).call(&credentials(Provider::Scripted, "http://192.0.2.1"), request);
    let events: Vec<_> = stream.collect().await;
    assert!(matches!(events.last(), Some(Ok(Event::Finished { .. }))), "{events:?}");
}
