//! JSON bodies: bounded in size and depth, absent means `{}`.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use bytes::BytesMut;
use domain::{Code, Problem};
use http::header::CONTENT_LENGTH;
use http_body::Frame;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::Fields;

/// A body that is a JSON object. Keys that a handler does not ask for are ignored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsonBody(pub(crate) Map<String, Value>);

impl JsonBody {
    /// Returns readers for the body's fields.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::of_body(&self.0)
    }

    /// Names what was sent: equal for equal JSON values, in whatever order and form they were written.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        add_object(&mut hash, &self.0);
        hash.finalize().into()
    }
}

/// How many times the longest silence a whole body may take.
const WHOLE: u32 = 20;
/// For how long, and how far, a body is read on that was refused, and after which silence no longer: whoever waits for the answer
/// before sending has it.
const LET_GO: Duration = Duration::from_secs(5);
const LET_GO_SILENCE: Duration = Duration::from_millis(100);
const LET_GO_BYTES: usize = 256 * 1024 * 1024;

impl FromRequest<App> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let bytes = read_whole(request, app.options.max_body_bytes, app).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// Reads a body of at most `limit` bytes. Silence is bounded while it comes, and so is the whole: one byte now and then is no
/// upload.
pub(super) async fn read_whole(request: Request, limit: usize, app: &App) -> Result<Bytes, Problem> {
    let patience = Duration::from_millis(app.options.body_silence_ms);
    let (head, mut body) = request.into_parts();
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let is_too_large =
        length.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit));
    let bytes = match is_too_large {
        true => Err(too_large(limit)),
        false => timeout(patience.saturating_mul(WHOLE), collect(&mut body, limit, patience))
            .await
            .map_err(|_| broken_off())?,
    };
    if bytes.as_ref().is_err_and(|problem| problem.code == Code::PayloadTooLarge) {
        app.engine.spawn(let_go(body));
    }
    bytes
}

/// Reads on in what is too large, for a while: a client that is still sending when the connection ends would not see its answer.
async fn let_go(mut body: Body) {
    let reading = async {
        let mut left = LET_GO_BYTES;
        while let Ok(Some(Ok(frame))) = timeout(LET_GO_SILENCE, body.frame()).await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    // Whether it came to an end or not, nobody reads it.
    let _ = timeout(LET_GO, reading).await;
}

/// Reads a body, as long as it keeps coming: one that stops half-way must not hold a place among the requests.
async fn collect(body: &mut Body, limit: usize, patience: Duration) -> Result<Bytes, Problem> {
    let mut body = Limited::new(body, limit);
    let mut bytes = BytesMut::new();
    while let Some(frame) = timeout(patience, body.frame()).await.map_err(|_| broken_off())? {
        match frame.map(Frame::into_data) {
            // A body in one piece is not copied.
            Ok(Ok(data)) if bytes.is_empty() && body.is_end_stream() => return Ok(data),
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            // Trailers mean nothing here.
            Ok(Err(_)) => {}
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
            Err(_) => return Err(broken_off()),
        }
    }
    Ok(bytes.freeze())
}

fn broken_off() -> Problem {
    Problem::new(Code::InvalidRequest, "The body broke off before it was complete. Send it again.")
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("The body is larger than {limit} bytes. Send less."))
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Problem::invalid_input("body", "The body must be a JSON object.")),
        // The parser's own text can quote the body.
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let message = format!(
                "The body is not JSON, is nested deeper than 127 levels, or has half of a surrogate pair in a text: the parser stopped at line {line}, column {column}."
            );
            Err(Problem::new(Code::InvalidRequest, message))
        }
    }
}

// The depth of what is hashed is bounded by the parser.
fn add(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => add_object(hash, map),
        Value::Array(values) => {
            add_length(hash, b'[', values.len());
            values.iter().for_each(|value| add(hash, value));
        }
        Value::String(text) => add_text(hash, text),
        Value::Number(number) => {
            let text = number.to_string();
            add_length(hash, b'0', text.len());
            hash.update(text);
        }
        Value::Bool(true) => hash.update(b"t"),
        Value::Bool(false) => hash.update(b"f"),
        Value::Null => hash.update(b"n"),
    }
}

fn add_object(hash: &mut Sha256, map: &Map<String, Value>) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    add_length(hash, b'{', entries.len());
    for (name, value) in entries {
        add_text(hash, name);
        add(hash, value);
    }
}

pub(super) fn add_text(hash: &mut Sha256, text: &str) {
    add_length(hash, b'"', text.len());
    hash.update(text);
}

pub(super) fn add_length(hash: &mut Sha256, kind: u8, length: usize) {
    hash.update([kind]);
    hash.update((length as u64).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> JsonBody {
        JsonBody(parse(text.as_bytes()).unwrap())
    }

    fn refusal(text: &str) -> (Code, Option<String>) {
        let problem = parse(text.as_bytes()).unwrap_err();
        (problem.code, problem.param)
    }

    #[test]
    fn an_absent_body_is_an_empty_object() {
        assert_eq!(body(""), body("{}"));
        assert_eq!(body(" \n"), body("{}"));
    }

    #[test]
    fn what_is_no_json_and_what_is_no_object_are_told_apart() {
        assert_eq!(refusal("{").0, Code::InvalidRequest);
        assert_eq!(refusal("\u{feff}{}").0, Code::InvalidRequest);
        assert_eq!(refusal("[1]"), (Code::InvalidInput, Some("body".into())));
        assert_eq!(refusal("null").0, Code::InvalidInput);
        assert_eq!(parse(b"{\"a\":\"\xff\"}").unwrap_err().code, Code::InvalidRequest);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(126).as_bytes()).is_ok());
        assert_eq!(refusal(&nested(127)).0, Code::InvalidRequest);
        assert_eq!(refusal(&nested(1_000_000)).0, Code::InvalidRequest);
    }

    #[test]
    fn a_message_quotes_nothing_of_the_body() {
        let problem = parse(br#"{"password": hunter2}"#).unwrap_err();
        assert!(!problem.message.contains("hunter2") && problem.message.contains("line 1"));
    }

    #[test]
    fn equal_values_have_one_fingerprint_and_others_another() {
        let check = |left: &str, right: &str| body(left).fingerprint() == body(right).fingerprint();
        assert!(check(r#"{"a":1,"b":[true,null]}"#, r#" { "b" : [true, null], "a" : 1 } "#));
        assert!(check(r#"{"a":"\u0041"}"#, r#"{"a":"A"}"#));
        for (left, right) in [
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":["b","c"]}"#, r#"{"a":["bc"]}"#),
            (r#"{"a":[[],[]]}"#, r#"{"a":[[[]]]}"#),
            (r#"{"a":null}"#, "{}"),
        ] {
            assert!(!check(left, right), "{left} {right}");
        }
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_bounded_all_the_same() {
        let chunks =
            futures::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"12345678"))));
        let problem = collect(&mut Body::from_stream(chunks), 64, Duration::from_secs(9)).await.unwrap_err();
        assert_eq!((problem.code, problem.status), (Code::PayloadTooLarge, 413));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_half_way_is_given_up() {
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(futures::StreamExt::chain(first, futures::stream::pending()));
        let problem = collect(&mut { body }, 64, Duration::from_secs(9)).await.unwrap_err();
        assert_eq!(problem.code, Code::InvalidRequest);
    }

    #[tokio::test]
    async fn a_body_in_parts_is_whole() {
        let parts =
            ["{\"a\"", ":1}"].map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part.as_bytes())));
        let body = Body::from_stream(futures::stream::iter(parts));
        assert_eq!(collect(&mut { body }, 64, Duration::from_secs(9)).await.unwrap(), "{\"a\":1}");
    }
}
