//! `GET /metrics`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use crate::app::App;
use crate::extract::bearer;

/// Renders what the process has counted, for whoever has the metrics token.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "Operations",
    responses(
        (status = 200, description = "The Prometheus text format.", body = String, content_type = "text/plain"),
        (status = 401, description = "The metrics token is not set or differs.", body = String, content_type = "text/plain")
    )
)]
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let given = bearer(&headers).unwrap_or_default();
    if !app.options.metrics_token.as_ref().is_some_and(|token| token.is(given)) {
        let message = "Send the metrics token as a bearer; the operator sets it with INGRAM_METRICS_TOKEN.\n";
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], message).into_response();
    }
    let metrics = &app.shared.metrics;
    metrics.run_upkeep();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}
