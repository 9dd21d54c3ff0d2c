//! An answer that has been read to its end.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// What a server has answered. Its display is a report for the message of a failing test.
#[derive(Clone, Debug)]
pub struct Answer {
    request: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body as JSON, null when it is none.
    pub json: Value,
}

impl Answer {
    pub(super) fn new(request: String, status: u16, headers: HeaderMap, body: Bytes) -> Self {
        let json = crate::json::parse(&body).unwrap_or(Value::Null);
        Self { request, status, headers, body, json }
    }

    /// Returns a header as text, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the body of an answer that must have a status.
    ///
    /// # Panics
    /// When the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.json
    }

    /// Checks that the answer is an error of this status and code.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.error("code")), (status, code), "{self}");
    }

    /// Checks that the answer is an error of this status and code about this field.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn expect_error_about(&self, status: u16, code: &str, param: &str) {
        self.expect_error(status, code);
        assert_eq!(self.error("param"), param, "{self}");
    }

    /// Returns a text of the error envelope (`code`, `message`, `param`, `type`), or the empty text.
    pub fn error(&self, part: &str) -> &str {
        self.json.get("error").and_then(|error| error.get(part)?.as_str()).unwrap_or_default()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} was answered with {}", self.request, self.status)?;
        for (name, value) in &self.headers {
            writeln!(formatter, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        match &self.json {
            Value::Null => write!(formatter, "\n{}", String::from_utf8_lossy(&self.body)),
            json => write!(formatter, "\n{json:#}"),
        }
    }
}
