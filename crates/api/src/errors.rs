//! The one place that renders refusals.

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::{Code, Problem};
use http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A refusal on its way to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(pub Problem);

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        Self(error.into())
    }
}

/// The envelope of every error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorOut<'a> {
    error: ErrorBody<'a>,
}

/// All four keys are always there.
#[derive(Serialize, ToSchema)]
struct ErrorBody<'a> {
    /// What went wrong and what to do next.
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field at fault, as a path.
    #[schema(required)]
    param: Option<&'a str>,
    /// The stable code to match on.
    code: &'static str,
}

/// Writes a refusal as the envelope that a stream carries in one of its events.
pub(crate) fn envelope(problem: &Problem) -> serde_json::Value {
    serde_json::json!({"error": {
        "message": problem.message,
        "type": problem.kind(),
        "param": problem.param,
        "code": problem.code.as_str(),
    }})
}

impl ApiError {
    /// Tells whether the answer says that a repetition is of no use: clients repeat some statuses otherwise.
    fn is_final(&self) -> bool {
        let Problem { status, code, after_work, .. } = &self.0;
        *after_work || *status == 402 || (*status == 409 && *code != Code::IdempotencyInProgress)
    }

    /// Returns when a repetition may succeed, on the answers that promise that nothing was done.
    fn retry_after(&self) -> Option<u32> {
        let Problem { status, code, retry_after, .. } = &self.0;
        let promises = matches!(status, 429 | 503) || *code == Code::IdempotencyInProgress;
        promises.then(|| retry_after.unwrap_or(1).clamp(1, 60))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = &self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = ErrorBody {
            message: &problem.message,
            kind: problem.kind(),
            param: problem.param.as_deref(),
            code: problem.code.as_str(),
        };
        let mut response = (status, Json(ErrorOut { error })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.is_final() {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Answers where no route is.
pub(crate) async fn no_such_route() -> ApiError {
    let message = "No such route. Check the path against GET /openapi.json.";
    Problem::new(Code::NotFound, message).into()
}

/// Answers where a route is, but not with this method. The `Allow` header is added by the routing.
pub(crate) async fn no_such_method() -> ApiError {
    let message = "This route does not know the method. The header `Allow` lists those that it knows.";
    Problem::new(Code::InvalidRequest, message).with_status(405).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(problem: Problem, name: &str) -> Option<String> {
        let response = ApiError(problem).into_response();
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_answers_that_did_nothing_say_when_to_come_back() {
        let retry_after = |problem| header(problem, "retry-after");
        assert_eq!(
            retry_after(Problem::new(Code::RateLimitExceeded, "").retry_after(7)).as_deref(),
            Some("7")
        );
        assert_eq!(retry_after(Problem::new(Code::ServiceOverloaded, "")).as_deref(), Some("1"));
        assert_eq!(retry_after(Problem::new(Code::IdempotencyInProgress, "")).as_deref(), Some("1"));
        assert_eq!(retry_after(Problem::internal().retry_after(5)), None);
        assert_eq!(
            retry_after(Problem::new(Code::ModelRequestFailed, "").with_status(502).retry_after(5)),
            None
        );
    }

    #[test]
    fn what_must_not_be_repeated_says_so() {
        let should_retry = |problem| header(problem, "x-should-retry");
        assert_eq!(should_retry(Problem::new(Code::SmithExists, "")).as_deref(), Some("false"));
        assert_eq!(should_retry(Problem::new(Code::RunFailed, "").after_work()).as_deref(), Some("false"));
        assert_eq!(should_retry(Problem::new(Code::IdempotencyInProgress, "")), None);
        assert_eq!(should_retry(Problem::new(Code::ServiceOverloaded, "")), None);
    }

    #[test]
    fn a_missing_token_is_asked_for() {
        assert_eq!(
            header(Problem::new(Code::AuthRequired, ""), "www-authenticate").as_deref(),
            Some("Bearer")
        );
        assert_eq!(header(Problem::new(Code::NotFound, ""), "www-authenticate"), None);
    }

    #[test]
    fn every_code_is_documented_with_its_status() {
        let documented: Vec<_> = include_str!("../../../docs/errors.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .collect();
        for code in Code::ALL {
            let row = documented.iter().find(|(name, _)| *name == code.as_str());
            let (_, row) = row.unwrap_or_else(|| panic!("{code} is missing"));
            assert!(row.starts_with(&code.status().to_string()), "{code}: {row}");
        }
        assert_eq!(documented.len(), Code::ALL.len());
    }
}
