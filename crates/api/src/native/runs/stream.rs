//! Streams of frames as server-sent events.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use domain::one_line;
use engine::Follower;
use futures::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

/// Silence after which a comment is sent, so that nobody in between takes the connection for dead.
pub(crate) const SILENCE: Duration = Duration::from_secs(15);
/// A comment line; readers of event streams skip it.
pub(crate) const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// The two ways a stream goes on.
enum State {
    /// The comment that opens every stream.
    Opening(Box<Follower>),
    Following(Box<Follower>),
}

/// Answers with the frames of a run as they come.
pub(crate) fn follow(follower: Follower) -> Response {
    let state = State::Opening(Box::new(follower));
    let frames = stream::unfold(Some(state), |state| async move {
        let mut follower = match state? {
            State::Opening(follower) => return Some((Ok(COMMENT), Some(State::Following(follower)))),
            State::Following(follower) => follower,
        };
        match tokio::time::timeout(SILENCE, follower.next()).await {
            Err(_) => Some((Ok(COMMENT), Some(State::Following(follower)))),
            Ok(Ok(Some(frames))) => {
                let bytes = match frames.as_slice() {
                    [frame] => frame.sse.clone(),
                    frames => frames.iter().flat_map(|frame| frame.sse.iter().copied()).collect(),
                };
                Some((Ok(bytes), Some(State::Following(follower))))
            }
            Ok(Ok(None)) => None,
            // The head is out already: a stream that breaks off tells its reader to come back.
            Ok(Err(problem)) => Some((Err(std::io::Error::other(problem.code.as_str())), None)),
        }
    });
    event_stream(Body::from_stream(frames))
}

/// Answers with one event that belongs to no log.
pub(crate) fn single(event: &str, payload: &serde_json::Value) -> Response {
    let mut bytes = format!(":\n\nevent: {event}\ndata: ").into_bytes();
    one_line::write(payload, &mut bytes);
    bytes.extend_from_slice(b"\n\n");
    event_stream(Body::from(bytes))
}

pub(crate) fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
