//! Rules on the error envelope that its schema cannot say (behaviour 2.3, 2.7).

use serde_json::Value;

use super::{Observed, head};

/// Judges only bodies in the envelope: which operations may answer with something else is declared in the document.
pub(super) fn check(answer: &Observed<'_>, violations: &mut Vec<String>) {
    let body: Option<Value> = crate::json::parse(answer.body).ok();
    let Some(error) = body.as_ref().and_then(|body| body.get("error")).filter(|error| error.is_object())
    else {
        return;
    };
    let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = kind_of(answer.status);
    if part("type") != kind {
        violations.push(format!("{} has error type {:?}, not {kind}", answer.status, part("type")));
    }
    if part("message").trim().is_empty() {
        violations.push("an error without a message".to_owned());
    }
    let may_repeat = part("code") == "idempotency_in_progress";
    let refused = head::text(answer.headers, "x-should-retry") == Some("false");
    let retry_after = head::text(answer.headers, "retry-after");
    if matches!(answer.status, 402 | 409) && refused == may_repeat {
        violations.push(format!("{} {} with x-should-retry false: {refused}", answer.status, part("code")));
    }
    if answer.status == 409 && (retry_after == Some("1")) != may_repeat {
        violations.push(format!("409 {} with Retry-After {retry_after:?}", part("code")));
    }
}

fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 | 403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
