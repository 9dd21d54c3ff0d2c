//! What bounds and shapes the HTTP side, as `[http]` of the configuration file may set it.

use std::fmt;

use serde::Deserialize;

/// Limits of requests, and who may send how many.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The largest JSON body, in bytes. More is refused with 413.
    pub max_body_bytes: usize,
    /// Milliseconds without a byte after which a body that is not complete is given up.
    pub body_silence_ms: u64,
    /// Messages in the input of one run. More is refused with 422.
    pub max_input_messages: usize,
    /// Parts in one message of an input. More is refused with 422.
    pub max_input_parts: usize,
    /// Bytes of text in the input of one run. More is refused with 422.
    pub max_input_text_bytes: usize,
    /// Bytes of text in one request for embeddings; a token counts for four. More is refused with 422.
    pub max_embedding_bytes: usize,
    /// The largest HTML of a UI template, in bytes. More is refused with 413.
    pub max_ui_template_bytes: usize,
    /// Requests whose answer has not begun yet; one more is refused with 503.
    pub max_requests: usize,
    /// Archives of smiths that are made at once; one more is refused with 503.
    pub max_exports: usize,
    /// Requests a minute of one token; one more is refused with 429. 0: no bound.
    pub requests_per_minute: u32,
    /// The browser origins that may call bearer routes: `*` for all, or full origins (`https://app.example`).
    pub cors_origins: Vec<String>,
    /// The bearer that `/metrics` wants. Unset: nobody may read the metrics. Set outside of `[http]`.
    #[serde(skip)]
    pub metrics_token: Option<Secret>,
    /// Seconds for which a checked signature is trusted without a second look. Revocation and expiry are read on every
    /// request all the same.
    pub signature_cache_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 * 1024 * 1024,
            body_silence_ms: 30_000,
            max_input_messages: 1_000,
            max_input_parts: 100,
            max_input_text_bytes: 2 * 1024 * 1024,
            max_embedding_bytes: 8 * 1024 * 1024,
            max_ui_template_bytes: 5 * 1024 * 1024,
            max_requests: 20_000,
            max_exports: 8,
            requests_per_minute: 0,
            cors_origins: vec!["*".to_owned()],
            metrics_token: None,
            signature_cache_seconds: 60,
        }
    }
}

/// A text that is compared and never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, for where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time. An empty secret equals nothing.
    pub(crate) fn is(&self, given: &str) -> bool {
        !self.0.is_empty() && vault::constant_time_eq(self.0.as_bytes(), given.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_neither_shown_nor_equal_to_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(…)");
        assert!(Secret::new("hush").is("hush"));
        assert!(!Secret::new("hush").is("hus"));
        assert!(!Secret::new("").is(""));
    }
}
