//! What the mock says.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

use super::Body;

/// The text of every chunk but the first.
const WORD: &str = " word";

/// How an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Chunks of text, with a pause before each but the first.
    Chunks { count: usize, pause: Duration },
    /// One chunk, and then silence.
    Stall,
}

impl Shape {
    /// Reads the name of a model.
    pub(super) fn of_model(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("mock-")?;
        if rest == "stall" {
            return Some(Self::Stall);
        }
        let (count, pause) = match rest.split_once('-') {
            Some((count, pause)) => (count, pause.strip_suffix("ms")?.parse().ok()?),
            None => (rest, 0),
        };
        Some(Self::Chunks { count: count.parse().ok()?, pause: Duration::from_millis(pause) })
    }

    fn chunks(self) -> usize {
        match self {
            Self::Chunks { count, .. } => count,
            Self::Stall => 1,
        }
    }
}

/// Where a streamed answer is.
#[derive(Clone, Copy)]
enum Next {
    Opening,
    Chunk(usize),
    End,
}

/// Streams the answer: the opening with the first chunk at once, the others, then usage and the end.
pub(super) fn streamed(shape: Shape) -> Body {
    let frames = stream::unfold(Some(Next::Opening), move |next| async move {
        let (text, then) = match next? {
            Next::Opening => (opening() + &first(shape), Some(following(shape, 1))),
            Next::Chunk(number) => {
                pause(shape).await;
                (chunk(WORD), Some(following(shape, number + 1)))
            }
            Next::End => {
                pause(shape).await;
                (end(shape.chunks()), None)
            }
        };
        Some((Ok(Frame::data(Bytes::from(text))), then))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn following(shape: Shape, sent: usize) -> Next {
    if sent < shape.chunks() { Next::Chunk(sent) } else { Next::End }
}

/// Waits before the next piece.
async fn pause(shape: Shape) {
    match shape {
        Shape::Stall => pending().await,
        // Pieces that are ready together are written together; a provider writes them one by one.
        Shape::Chunks { pause, .. } if pause.is_zero() => tokio::task::yield_now().await,
        Shape::Chunks { pause, .. } => tokio::time::sleep(pause).await,
    }
}

fn first(shape: Shape) -> String {
    if shape.chunks() == 0 { String::new() } else { chunk("A") }
}

fn opening() -> String {
    event(r#"[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]"#, "null")
}

fn chunk(text: &str) -> String {
    let choices = format!(r#"[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]"#);
    event(&choices, "null")
}

fn end(chunks: usize) -> String {
    finished("stop", chunks)
}

fn finished(reason: &str, tokens: usize) -> String {
    let finish = event(&format!(r#"[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]"#), "null");
    finish + &event("[]", &usage(tokens)) + "data: [DONE]\n\n"
}

/// Streams a call of a tool, all at once: nobody can do anything before the end of it.
pub(super) fn asking(id: &str, tool: &str, arguments: &serde_json::Value) -> Body {
    let call = serde_json::json!([{ "index": 0, "id": id, "type": "function",
        "function": { "name": tool, "arguments": arguments.to_string() } }]);
    let choices = format!(r#"[{{"index":0,"delta":{{"tool_calls":{call}}},"finish_reason":null}}]"#);
    let text = opening() + &event(&choices, "null") + &finished("tool_calls", 1);
    Full::new(Bytes::from(text)).boxed_unsync()
}

fn usage(chunks: usize) -> String {
    let total = chunks + 10;
    format!(r#"{{"prompt_tokens":10,"completion_tokens":{chunks},"total_tokens":{total}}}"#)
}

fn event(choices: &str, usage: &str) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1770000000,"model":"mock","choices":{choices},"usage":{usage}}}"#
    ) + "\n\n"
}

/// Answers in one piece; a stalling model never does.
pub(super) fn whole(shape: Shape) -> Body {
    let Shape::Chunks { count, .. } = shape else {
        return StreamBody::new(stream::pending()).boxed_unsync();
    };
    let text = if count == 0 { String::new() } else { "A".to_owned() + &WORD.repeat(count - 1) };
    let usage = usage(count);
    let body = format!(
        r#"{{"id":"chatcmpl-mock","object":"chat.completion","created":1770000000,"model":"mock","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
    );
    Full::new(Bytes::from(body)).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_says_how_it_answers() {
        let chunks = |count, pause| Some(Shape::Chunks { count, pause: Duration::from_millis(pause) });
        assert_eq!(Shape::of_model("mock-1"), chunks(1, 0));
        assert_eq!(Shape::of_model("mock-100-5ms"), chunks(100, 5));
        assert_eq!(Shape::of_model("mock-stall"), Some(Shape::Stall));
        for unknown in ["gpt-5", "mock", "mock-", "mock-x", "mock-1-", "mock-1-5", "mock--1"] {
            assert_eq!(Shape::of_model(unknown), None, "{unknown}");
        }
    }
}
