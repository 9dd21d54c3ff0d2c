//! Answers that are no streams: what a status and an error body mean.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::trouble::Trouble;

/// Turns an error answer into trouble.
pub(crate) fn trouble(status: StatusCode, body: &str, retry_after: Option<Duration>) -> Trouble {
    let error = Error::read(body);
    let words = error.message.as_deref();
    let number = status.as_u16();
    if matches!(number, 401 | 403) || error.is_about_the_key() {
        // Providers quote the key in these, shortened in ways of their own, so their words are left out.
        let what = format!("refused the key ({number})");
        return Trouble::refused(what, "Set a valid key for this provider, one that may use this model.");
    }
    if error.is_about_money() || number == 402 {
        let what = format!("has no credit or quota left for this key ({number})");
        return Trouble::refused(what, "Check the account's billing, or use another key.").said(words);
    }
    match number {
        408 | 409 | 425 => Trouble::unavailable(format!("did not take the call now ({number})")),
        429 => Trouble::unavailable("is throttling this key (429)"),
        529 => Trouble::unavailable("is overloaded (529)"),
        500.. => Trouble::unavailable(format!("failed ({number})")),
        404 => Trouble::refused(
            "refused the call (404)",
            "Check the model's name, and the address if one is set for this provider.",
        ),
        413 => Trouble::refused(
            "refused the call (413)",
            "Send less: fewer or smaller files, or a shorter thread.",
        ),
        300..400 => Trouble::refused(
            format!("answered with a redirect ({number}), which is not followed"),
            "Set the address that it leads to.",
        ),
        _ => Trouble::refused(
            format!("refused the call ({number})"),
            "Check the model and the options of the request.",
        ),
    }
    .said(words)
    .retry_after(retry_after.or(error.retry_after))
}

/// What an error body says, in any of the forms that are in use.
#[derive(Debug, Default)]
struct Error {
    message: Option<String>,
    /// `code`, `type` and `status`, and Google's `reason`s and quotas, whichever are there.
    words: Vec<String>,
    /// How long Google asks to be left alone: it says so here and in no header.
    retry_after: Option<Duration>,
}

impl Error {
    fn read(body: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(body) else {
            // A page of HTML says nothing; a line of text may.
            let text = body.trim();
            let message = (!text.is_empty() && !text.starts_with('<')).then(|| text.to_owned());
            return Self { message, ..Self::default() };
        };
        // Gemini wraps the object in a list when it was asked for a stream.
        let value = value.get(0).unwrap_or(&value);
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        let message = ["message", "detail"].iter().find_map(|name| error.get(*name).and_then(Value::as_str));
        let mut words: Vec<_> = ["code", "type", "status"]
            .iter()
            .filter_map(|name| error.get(*name).and_then(Value::as_str))
            .map(ToOwned::to_owned)
            .collect();
        let details = || error.get("details").and_then(Value::as_array).into_iter().flatten();
        words.extend(details().filter_map(|detail| detail.get("reason")?.as_str()).map(ToOwned::to_owned));
        let violations = details().filter_map(|detail| detail.get("violations")?.as_array()).flatten();
        words.extend(violations.filter_map(|one| one.get("quotaId")?.as_str()).map(ToOwned::to_owned));
        let retry_after = details().find_map(|detail| seconds(detail.get("retryDelay")?.as_str()?));
        Self { message: message.or_else(|| error.as_str()).map(ToOwned::to_owned), words, retry_after }
    }

    fn is_about_the_key(&self) -> bool {
        self.words.iter().any(|word| matches!(word.as_str(), "API_KEY_INVALID" | "invalid_api_key"))
    }

    fn is_about_money(&self) -> bool {
        const EMPTY: &[&str] =
            &["insufficient_quota", "billing_error", "billing_not_active", "billing_hard_limit_reached"];
        // Google's quotas are named after what they are counted by. What is left of a day is longer than any wait.
        self.words.iter().any(|word| EMPTY.contains(&word.as_str()) || word.contains("PerDay"))
    }
}

/// Reads a duration as Google writes it: `34s`, `45.837906927s`.
fn seconds(duration: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(duration.strip_suffix('s')?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use domain::models::Provider;
    use serde_json::json;

    use super::*;
    use crate::call::{Failure, FailureKind};

    fn failure(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        trouble(status, body, None).into_failure(Provider::Openai, "sk-test-secret", 1)
    }

    #[test]
    fn only_what_may_pass_is_unavailable() {
        for status in [408, 409, 425, 429, 500, 502, 503, 504, 529, 599] {
            assert_eq!(failure(status, "").kind, FailureKind::Unavailable, "{status}");
        }
        for status in [301, 307, 400, 401, 402, 403, 404, 405, 413, 415, 422, 431] {
            assert_eq!(failure(status, "").kind, FailureKind::Refused, "{status}");
        }
    }

    #[test]
    fn the_providers_words_are_found_in_every_form() {
        let check = |body: &str| {
            let message = failure(400, body).message;
            assert!(message.contains("refused the call (400): \"too long\"."), "{body}: {message}");
        };
        check(r#"{"error":{"message":"too long","type":"invalid_request_error","code":null}}"#);
        check(r#"{"type":"error","error":{"type":"invalid_request_error","message":"too long"}}"#);
        check(r#"[{"error":{"code":400,"message":"too long","status":"INVALID_ARGUMENT"}}]"#);
        check(r#"{"error":"too long"}"#);
        check(r#"{"object":"error","message":"too long"}"#);
        check(r#"{"detail":"too long"}"#);
        check("too long\n");
    }

    #[test]
    fn a_page_says_nothing() {
        assert_eq!(failure(502, "<html>oh no</html>").message, "OpenAI failed (502). Try again later.");
    }

    #[test]
    fn a_bad_key_is_told_without_the_providers_words() {
        let expected = "Set a valid key for this provider, one that may use this model.";
        let body = r#"{"error":{"message":"Incorrect API key provided: sk-te***cret"}}"#;
        assert_eq!(failure(401, body).message, format!("OpenAI refused the key (401). {expected}"));
        let body = r#"{"error":{"code":400,"message":"bad","details":[{"reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(failure(400, body).message, format!("OpenAI refused the key (400). {expected}"));
    }

    #[test]
    fn an_empty_account_is_not_asked_again() {
        let body = r#"{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}"#;
        assert_eq!(failure(429, body).kind, FailureKind::Refused);
        let body = r#"{"error":{"message":"Your account is not active","type":"billing_not_active"}}"#;
        assert_eq!(failure(429, body).kind, FailureKind::Refused);
        let quota = |id: &str| {
            let violations = json!([{"quotaMetric": "requests", "quotaId": id}]);
            let details =
                json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}]);
            let error =
                json!({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m", "details": details});
            failure(429, &json!([{"error": error}]).to_string()).kind
        };
        assert_eq!(quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), FailureKind::Refused);
        assert_eq!(quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), FailureKind::Unavailable);
    }

    #[test]
    fn the_wait_that_google_asks_for_is_read_from_the_body() {
        let asked = |delay: &str, header: Option<Duration>| {
            let info = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
            let error =
                json!({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m", "details": [{}, info]});
            let body = json!([{"error": error}]).to_string();
            trouble(StatusCode::TOO_MANY_REQUESTS, &body, header).retry_after
        };
        assert_eq!(asked("34s", None), Some(Duration::from_secs(34)));
        assert_eq!(asked("0.25s", None), Some(Duration::from_millis(250)));
        assert_eq!(asked("34s", Some(Duration::from_secs(1))), Some(Duration::from_secs(1)));
        for wrong in ["34", "s", "-1s", "nans", "1e300s"] {
            assert_eq!(asked(wrong, None), None, "{wrong}");
        }
    }
}
