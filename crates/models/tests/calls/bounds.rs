//! Every wait and every size has an end.

use std::time::Duration;

use domain::models::Provider;
use models::{FailureKind, Options};

use crate::upstream::{Reply, Step, Upstream};
use crate::{call, credentials, models, quick};

const TINY: Duration = Duration::from_millis(40);

/// Calls an upstream that does the same every time; returns the message and the number of requests.
async fn check(options: Options, reply: Reply) -> (String, usize) {
    let upstream = Upstream::start(vec![reply]).await;
    let failure = call(&models(options), &credentials(Provider::Anthropic, &upstream.base)).await.failure();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    (failure.message, upstream.requests())
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_given_up() {
    let (message, requests) = check(Options { first_byte: TINY, ..quick() }, Reply::Hang).await;
    assert_eq!(message, "Anthropic did not begin to answer in time (3 attempts). Try again later.");
    assert_eq!(requests, 3);
}

#[tokio::test]
async fn a_stream_that_does_not_begin_is_given_up() {
    let (message, _) = check(Options { first_byte: TINY, ..quick() }, Reply::Stream(vec![Step::Stall])).await;
    assert_eq!(message, "Anthropic did not begin to answer in time (3 attempts). Try again later.");
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    let delta =
        "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n";
    let reply = Reply::Stream(vec![Step::Send(delta.into()), Step::Stall]);
    let (message, requests) = check(Options { idle: TINY, ..quick() }, reply).await;
    assert_eq!(message, "Anthropic fell silent in the middle of the answer. Try again later.");
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn single_bytes_now_and_then_are_no_sign_of_life() {
    let options = Options { idle: TINY, attempts: 1, ..quick() };
    let (message, _) = check(options, Reply::Stream(vec![Step::Drip("d")])).await;
    assert_eq!(message, "Anthropic fell silent in the middle of the answer. Try again later.");
}

#[tokio::test]
async fn a_stream_that_only_says_that_it_lives_ends_with_the_call() {
    let options = Options { total: Duration::from_millis(200), attempts: 1, ..quick() };
    let (message, _) = check(options, Reply::Stream(vec![Step::Drip(": still here\n")])).await;
    assert_eq!(message, "Anthropic took longer than a call may take. Try again later.");
}

#[tokio::test]
async fn attempts_end_with_the_call() {
    let options = Options { total: TINY * 3, first_byte: TINY, attempts: 1_000, ..quick() };
    let (_, requests) = check(options, Reply::Hang).await;
    assert!(requests <= 4, "{requests}");
}

#[tokio::test]
async fn sizes_are_bounded() {
    let options = Options { max_event_bytes: 10_000, attempts: 1, ..quick() };
    let (message, _) = check(options, Reply::Stream(vec![Step::Flood("data: no end to this line")])).await;
    assert_eq!(message, "Anthropic sent more than an answer may have. Try again later.");
    let options = Options { max_answer_bytes: 10_000, attempts: 1, ..quick() };
    let (message, _) = check(options, Reply::Stream(vec![Step::Flood("event: ping\ndata: {}\n\n")])).await;
    assert_eq!(message, "Anthropic sent more than an answer may have. Try again later.");
}
