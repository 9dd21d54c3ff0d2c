//! Calls from browsers: smith tokens may live in web pages, so the API answers pages of every origin that is configured.

use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, StatusCode, Uri};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// Every header of an answer that means something to a client.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "IC-Api-Version, X-Request-Id, IC-Run-Id, IC-Thread-Id, Idempotency-Replayed, Retry-After, x-should-retry, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, Allow, WWW-Authenticate, ETag",
);
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// What the answer to a request from a browser needs to know of the request.
pub(crate) struct Cors {
    /// The value of `Access-Control-Allow-Origin`, if the origin may call.
    allowed: Option<HeaderValue>,
    /// Whether other origins get other answers.
    varies: bool,
    preflight: Option<HeaderMap>,
}

impl Cors {
    /// Looks at a request. Only the routes of the API are open to browsers.
    pub(crate) fn of(origins: &[String], method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let is_open_to_all = origins.iter().any(|origin| origin == "*");
        let origin = headers.get(ORIGIN).filter(|_| uri.path().starts_with("/v1/"));
        let allowed = match origin {
            Some(_) if is_open_to_all => Some(HeaderValue::from_static("*")),
            Some(origin) => {
                origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
            }
            None => None,
        };
        let asks = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = (asks && allowed.is_some()).then(|| {
            let mut answer = HeaderMap::new();
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            answer
        });
        Self { allowed, varies: !is_open_to_all && !origins.is_empty(), preflight }
    }

    /// Answers a browser that asks whether it may send a request.
    pub(crate) fn preflight(&self) -> Option<Response> {
        let headers = self.preflight.clone()?;
        Some((StatusCode::NO_CONTENT, headers).into_response())
    }

    /// Adds what a browser needs before it shows an answer to the page.
    pub(crate) fn add_to(self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(allowed) = self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(origins: &[&str], path: &str, origin: &str) -> HeaderMap {
        let origins: Vec<_> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let mut request = HeaderMap::new();
        request.insert(ORIGIN, origin.parse().unwrap());
        request.insert(ACCESS_CONTROL_REQUEST_METHOD, "POST".parse().unwrap());
        request.insert(ACCESS_CONTROL_REQUEST_HEADERS, "authorization".parse().unwrap());
        let cors = Cors::of(&origins, &Method::OPTIONS, &path.parse().unwrap(), &request);
        let mut headers = cors.preflight().map(|response| response.headers().clone()).unwrap_or_default();
        cors.add_to(&mut headers);
        headers
    }

    #[test]
    fn a_page_of_any_origin_may_call_the_api_by_default() {
        let headers = answer(&["*"], "/v1/runs", "https://app.example");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "authorization");
        assert!(headers[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("X-Request-Id"));
    }

    #[test]
    fn only_listed_origins_may_call_where_some_are_listed() {
        let origins = ["https://app.example"];
        assert_eq!(
            answer(&origins, "/v1/runs", "https://app.example")[ACCESS_CONTROL_ALLOW_ORIGIN],
            "https://app.example"
        );
        let other = answer(&origins, "/v1/runs", "https://other.example");
        assert!(
            !other.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
                && !other.contains_key(ACCESS_CONTROL_ALLOW_METHODS)
        );
        assert_eq!(other[VARY], "Origin");
    }

    #[test]
    fn what_is_no_route_of_the_api_is_closed() {
        assert!(answer(&["*"], "/metrics", "https://app.example").is_empty());
        assert!(answer(&[], "/v1/runs", "https://app.example").is_empty());
    }
}
