//! `IC-Api-Version`: asked for on the native surface, checked wherever it is sent.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::{Code, Problem};
use http::{HeaderMap, HeaderName};

use crate::API_VERSION;
use crate::errors::ApiError;

pub(crate) const VERSION: HeaderName = HeaderName::from_static("ic-api-version");

/// Refuses a version that is sent and is not ours. On every route.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let is_ours = headers.get_all(VERSION).iter().all(|version| version.as_bytes() == API_VERSION.as_bytes());
    if is_ours { Ok(()) } else { Err(unsupported("This version of the API is not known.")) }
}

/// Refuses requests without a version, for the routes of the native surface.
pub(crate) async fn require_version(request: Request, next: Next) -> Response {
    if request.headers().contains_key(VERSION) {
        return next.run(request).await;
    }
    ApiError(unsupported("This route needs the version of the API.")).into_response()
}

fn unsupported(what: &str) -> Problem {
    let message = format!("{what} Send the header `IC-Api-Version: {API_VERSION}`.");
    Problem::new(Code::UnsupportedApiVersion, message).at("IC-Api-Version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_or_ours_passes_and_any_other_is_refused() {
        let check = |versions: &[&str]| {
            let headers = versions.iter().map(|version| (VERSION, version.parse().unwrap()));
            check(&headers.collect()).map_err(|problem| problem.message)
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[API_VERSION]), Ok(()));
        for versions in [&["2025-01-01"][..], &[""], &[API_VERSION, "2025-01-01"]] {
            assert!(check(versions).unwrap_err().contains("`IC-Api-Version: 2026-05-01`"), "{versions:?}");
        }
    }
}
