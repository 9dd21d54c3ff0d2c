//! Answers that OpenAI stored.

use std::time::Duration;

use domain::models::Provider;
use models::{Event, Options};
use serde_json::{Value, json as value};

use crate::upstream::{Reply, Step, Upstream, json, status, stream};
use crate::{KEY, call, credentials, models, quick};

fn completed() -> Value {
    let content = value!([{"type": "output_text", "text": "Done."}]);
    value!({"status": "completed", "output": [{"type": "message", "content": content}]})
}

/// A stream that names its answer and then goes on as told.
fn accepted(then: Step) -> Reply {
    let created = value!({"type": "response.created", "response": {"id": "resp_0a"}});
    Reply::Stream(vec![Step::Send(format!("data: {created}\n\n")), then])
}

async fn check(options: Options, replies: Vec<Reply>) -> (Option<Vec<Event>>, usize) {
    let upstream = Upstream::start(replies).await;
    let credentials = credentials(Provider::Openai, &upstream.base);
    let events = models(options).reattach(&credentials, "gpt-5", "resp_0a").await;
    let requests = upstream.requests();
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/v1/responses/resp_0a"));
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    (events, requests)
}

#[tokio::test]
async fn a_stored_answer_is_waited_for() {
    let pending = json(200, &value!({"status": "in_progress"}));
    let (events, requests) = check(quick(), vec![pending, status(503), json(200, &completed())]).await;
    let events = events.unwrap();
    assert_eq!(events[0], Event::Text("Done.".into()));
    assert!(matches!(events[1], Event::Finished { .. }));
    assert_eq!(requests, 3);
}

#[tokio::test]
async fn a_lost_answer_is_none() {
    for lost in [
        json(200, &value!({"status": "cancelled"})),
        json(200, &value!({"status": "failed"})),
        json(404, &value!({"error": {"message": "not found"}})),
        Reply::Status(200, vec![], "<html>".to_owned()),
    ] {
        assert_eq!(check(quick(), vec![lost]).await, (None, 1));
    }
}

#[tokio::test]
async fn the_wait_for_a_stored_answer_ends() {
    let options = Options { reattach: Duration::from_millis(40), ..quick() };
    let pending = json(200, &value!({"status": "queued"}));
    assert_eq!(check(options.clone(), vec![pending]).await.0, None);
    assert_eq!(check(options, vec![Reply::Hang]).await, (None, 1));
}

#[tokio::test]
async fn a_call_that_broke_after_it_was_accepted_is_not_paid_twice() {
    let upstream = Upstream::start(vec![accepted(Step::Break), json(200, &completed())]).await;
    let outcome = call(&models(quick()), &credentials(Provider::Openai, &upstream.base)).await;
    assert!(outcome.is_finished(), "{:?}", outcome.failure);
    assert_eq!((outcome.text().as_str(), upstream.requests()), ("Done.", 2));
    assert_eq!(upstream.last().path, "/v1/responses/resp_0a");
}

#[tokio::test]
async fn a_call_that_failed_after_it_was_accepted_is_repeated() {
    let failed =
        "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"}}}\n\n";
    let replies = vec![
        accepted(Step::Send(failed.into())),
        json(200, &value!({"status": "failed"})),
        stream(include_str!("../streams/openai_text.sse")),
    ];
    let upstream = Upstream::start(replies).await;
    let outcome = call(&models(quick()), &credentials(Provider::Openai, &upstream.base)).await;
    assert!(outcome.is_finished(), "{:?}", outcome.failure);
    assert_eq!((outcome.text().as_str(), upstream.requests()), ("Grüß dich 👋", 3));
}

#[tokio::test]
async fn only_openai_and_only_a_name_is_asked_for() {
    let upstream = Upstream::start(vec![json(200, &completed())]).await;
    let models = models(quick());
    let anthropic = credentials(Provider::Anthropic, &upstream.base);
    assert_eq!(models.reattach(&anthropic, "claude-sonnet-4-5", "resp_1").await, None);
    let openai = credentials(Provider::Openai, &upstream.base);
    for reference in ["", "..", "a/b", "a?b"] {
        assert_eq!(models.reattach(&openai, "gpt-5", reference).await, None, "{reference}");
    }
    assert_eq!(upstream.requests(), 0);
}
