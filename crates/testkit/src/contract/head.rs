//! Rules on the headers of every answer (behaviour 2.2, 2.7).

use http::HeaderMap;

use super::API_VERSION;

pub(super) fn check(status: u16, headers: &HeaderMap, violations: &mut Vec<String>) {
    if text(headers, "ic-api-version") != Some(API_VERSION) {
        violations.push(format!("IC-Api-Version is {:?}", text(headers, "ic-api-version")));
    }
    let id = text(headers, "x-request-id").unwrap_or_default();
    let well_formed = id.strip_prefix("req_").is_some_and(|body| body.len() == 22);
    if !well_formed {
        violations.push(format!("X-Request-Id is {id:?}, not req_ and 22 characters"));
    }
    if status == 401 && !text(headers, "www-authenticate").is_some_and(|value| value.starts_with("Bearer")) {
        violations.push("401 without WWW-Authenticate: Bearer".to_owned());
    }
    if status == 405 && text(headers, "allow").is_none() {
        violations.push("405 without Allow".to_owned());
    }
    check_retry_after(status, text(headers, "retry-after"), violations);
}

/// Checks that an answer that creates a run names it in its head, where a client finds it before the body (behaviour 2.2).
pub(super) fn check_run(
    method: &str,
    template: &str,
    status: u16,
    headers: &HeaderMap,
    violations: &mut Vec<String>,
) {
    let creates = matches!(template, "/v1/smiths/{pid}/runs" | "/v1/smiths/{pid}/runs/{rid}/replay");
    if !creates || method != "POST" || status != 200 {
        return;
    }
    for name in ["ic-run-id", "ic-thread-id"] {
        if text(headers, name).is_none_or(str::is_empty) {
            violations.push(format!("a run was created, but there is no header {name}"));
        }
    }
}

fn check_retry_after(status: u16, value: Option<&str>, violations: &mut Vec<String>) {
    let seconds = value.and_then(|value| value.parse::<u32>().ok());
    match (status, value) {
        (429 | 503, _) if seconds.is_none_or(|seconds| seconds > 60) => {
            violations.push(format!("{status} with Retry-After {value:?}, not 0 to 60 seconds"));
        }
        // 409 is judged by its code, with the body.
        (409 | 429 | 503, _) | (_, None) => {}
        (_, Some(value)) => violations.push(format!("{status} with Retry-After: {value}")),
    }
}

/// Returns the media type without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    text(headers, "content-type")?.split(';').next().map(str::trim)
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
