//! The frame around every request: its id, its log line, its measurements, and what becomes of it when the server is full
//! or a handler panics.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::Problem;
use domain::ids::RequestId;
use futures::FutureExt as _;
use http::header::HeaderValue;
use http::{HeaderName, Method};
use tracing::Instrument as _;

use crate::API_VERSION;
use crate::app::App;
use crate::errors::ApiError;
use crate::middleware::cors::Cors;
use crate::middleware::rate_limit::Tally;
use crate::middleware::version;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a request is filed under that no route has matched.
const NO_ROUTE: &str = "none";
/// What the machinery around the server asks for, also when it is full.
const OPERATIONS: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Frames a request. The outermost layer.
pub(crate) async fn frame(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id: RequestId = app.ids.mint();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let cors = Cors::of(&app.options.cors_origins, request.method(), request.uri(), request.headers());
    let tally = Tally::default();
    request.extensions_mut().insert(tally.clone());

    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    // Whatever is logged on the way carries the id that the caller can report.
    let span = tracing::info_span!("request", request.id = %id);
    let answering = answer(&app, route, &cors, request, next).instrument(span);
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        // What it was about is in the log already: the panic hook writes it.
        tracing::error!(request.id = %id, route, "A handler panicked.");
        ApiError(Problem::internal()).into_response()
    });

    let headers = response.headers_mut();
    headers.insert(version::VERSION, HeaderValue::from_static(API_VERSION));
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    cors.add_to(headers);
    tally.add_to(headers);
    note(id, method, route, response.status().as_u16(), started.elapsed());
    response
}

async fn answer(app: &App, route: &str, cors: &Cors, request: Request, next: Next) -> Response {
    if let Some(preflight) = cors.preflight() {
        return preflight;
    }
    if let Err(problem) = version::check(request.headers()) {
        return ApiError(problem).into_response();
    }
    if OPERATIONS.contains(&route) {
        return next.run(request).await;
    }
    match app.shared.admission.enter() {
        Ok(_place) => next.run(request).await,
        Err(problem) => ApiError(problem).into_response(),
    }
}

/// Bounds what a caller can make a label of.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// Counts and logs a request. Of the path only the route's pattern is kept: what callers write into paths and queries can
/// be personal.
fn note(id: RequestId, method: &'static str, route: &str, status: u16, took: Duration) {
    let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
    metrics::counter!("ingram_http_requests_total", &labels).increment(1);
    metrics::histogram!("ingram_http_request_seconds", "route" => route.to_owned())
        .record(took.as_secs_f64());
    let duration_ms = took.as_secs_f64() * 1_000.0;
    if status >= 500 {
        tracing::warn!(request.id = %id, method, route, status, duration_ms, "Answered a request.");
    } else if OPERATIONS.contains(&route) {
        tracing::debug!(request.id = %id, method, route, status, duration_ms, "Answered a request.");
    } else {
        tracing::info!(request.id = %id, method, route, status, duration_ms, "Answered a request.");
    }
}
